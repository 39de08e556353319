/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pairs of client and recipient there were today, and which dead addresses many mail.
 *
 * Thread: any; harvest_tick (control) clears tomorrow's generation. Time: the day of the seconds
 * given. Memory: three generations of config.filter_octets, untouched pages cost nothing.
 * Rules: a Bloom filter ("Space/Time Trade-offs in Hash Coding with Allowable Errors", CACM 1970)
 * whose four bits of a pair lie in one word, so that entering is one atomic or. A pair that is
 * wrongly taken for known is one guess not scored or one recipient without credit: at two bits of
 * three clear in the mean, one in eighty.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "policy/harvest_private.h"

enum { PAIR_BITS = 4 };

static void *map(size_t len)
{
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

int filter_init(struct harvest *h)
{
	h->filter_words = h->config.filter_octets / sizeof(uint64_t);
	for (unsigned i = 0; i < GENERATIONS; i++) {
		h->filter[i] = map(h->config.filter_octets);
		h->dead[i] = map(DEAD_ROWS * DEAD_CELLS);
		if (!h->filter[i] || !h->dead[i])
			return -ENOMEM;
	}
	return 0;
}

void filter_release(struct harvest *h)
{
	for (unsigned i = 0; i < GENERATIONS; i++) {
		if (h->filter[i])
			munmap(h->filter[i], h->config.filter_octets);
		if (h->dead[i])
			munmap(h->dead[i], DEAD_ROWS * DEAD_CELLS);
	}
}

static uint64_t bits_of(uint64_t hashed)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < PAIR_BITS; i++, hashed >>= 6)
		bits |= 1ull << (hashed & 63);
	return bits;
}

bool filter_was_there(struct harvest *h, uint64_t client, uint64_t recipient, enum pair_kind kind,
		      uint32_t now_s)
{
	const uint64_t pair[3] = {client, recipient, kind};
	uint64_t hashed = siphash13(&h->key, pair, sizeof(pair));
	uint64_t at = (hashed >> 24) & (h->filter_words - 1), bits = bits_of(hashed);
	uint32_t day = now_s / DAY_S;
	uint64_t before;

	if (kind == PAIR_UNKNOWN) {
		before = atomic_load_explicit(&h->filter[(day - 1) % GENERATIONS][at],
					      memory_order_relaxed);
		if ((before & bits) == bits)
			return true;
	}
	before = atomic_fetch_or_explicit(&h->filter[day % GENERATIONS][at], bits,
					  memory_order_relaxed);
	return (before & bits) == bits;
}

static _Atomic uint8_t *dead_cell(const struct harvest *h, uint64_t recipient, unsigned row,
				  uint32_t day)
{
	uint64_t at = recipient >> (32 * row) & (DEAD_CELLS - 1);

	return &h->dead[day % GENERATIONS][row * DEAD_CELLS + at];
}

void dead_add(struct harvest *h, uint64_t recipient, uint32_t now_s)
{
	for (unsigned row = 0; row < DEAD_ROWS; row++) {
		_Atomic uint8_t *cell = dead_cell(h, recipient, row, now_s / DAY_S);
		uint8_t n = atomic_load_explicit(cell, memory_order_relaxed);

		if (n < UINT8_MAX)
			atomic_compare_exchange_strong_explicit(cell, &n, (uint8_t)(n + 1),
								memory_order_relaxed,
								memory_order_relaxed);
	}
}

uint32_t dead_count(const struct harvest *h, uint64_t recipient, uint32_t now_s)
{
	uint32_t day = now_s / DAY_S, least = UINT32_MAX;

	for (unsigned row = 0; row < DEAD_ROWS; row++) {
		uint32_t n = atomic_load_explicit(dead_cell(h, recipient, row, day),
						  memory_order_relaxed) +
			     atomic_load_explicit(dead_cell(h, recipient, row, day - 1),
						  memory_order_relaxed);

		least = n < least ? n : least;
	}
	return least;
}

void harvest_tick(struct harvest *h, uint32_t now_s)
{
	uint32_t next = now_s / DAY_S + 1;

	if (atomic_load_explicit(&h->cleared_day, memory_order_relaxed) == next)
		return;
	/* Pages of zeros again. Nobody looks there before tomorrow. */
	madvise(h->filter[next % GENERATIONS], h->config.filter_octets, MADV_DONTNEED);
	madvise(h->dead[next % GENERATIONS], DEAD_ROWS * DEAD_CELLS, MADV_DONTNEED);
	atomic_store_explicit(&h->cleared_day, next, memory_order_relaxed);
}

double filter_share(const struct harvest *h, uint32_t now_s)
{
	enum { LOOKED_AT = 4096 };
	const _Atomic uint64_t *filter = h->filter[now_s / DAY_S % GENERATIONS];
	uint64_t step = h->filter_words / LOOKED_AT ? h->filter_words / LOOKED_AT : 1, bits = 0,
		 n = 0;

	for (uint64_t i = 0; i < h->filter_words; i += step, n++)
		bits += (uint64_t)__builtin_popcountll(
			atomic_load_explicit(&filter[i], memory_order_relaxed));
	return (double)bits / (double)(64 * n);
}
