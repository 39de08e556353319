/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pairs of client and recipient there were today, and which dead addresses many mail.
 *
 * Thread: any; harvest_tick (control) clears tomorrow's generation. Time: the day of the seconds
 * given. Memory: three generations of config.filter_octets for each kind of pair, untouched pages
 * cost nothing.
 * Rules: Bloom filters ("Space/Time Trade-offs in Hash Coding with Allowable Errors", CACM 1970)
 * with four bits of a pair in one word, so that entering is one atomic or. A good pair that is
 * wrongly taken for known is one recipient without credit, which nobody notices: at half of the
 * bits set, one in ten. An unknown one would be a guess answered beyond the line; those are few, so
 * they have a filter of their own, and three words each: with 5 % of 10^8 pairs of a day unknown
 * and 64 MiB, one in 10^8. Two workers that ask for one such pair in the same ten nanoseconds may
 * both find it new.
 * Dead addresses are counted by a sketch with conservative update (Estan, Varghese, "New Directions
 * in Traffic Measurement and Accounting", SIGCOMM 2002): the weight of every guess hangs on it, and
 * with 5 million of them a day one cell alone holds several.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "policy/harvest_private.h"

enum {
	PAIR_BITS = 4, /* in a word */
	UNKNOWN_WORDS = 3,
};

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
		h->dead[i] = map(DEAD_ROWS * DEAD_CELLS);
		if (!h->dead[i])
			return -ENOMEM;
		for (unsigned kind = 0; kind < PAIR_KINDS; kind++) {
			h->filter[kind][i] = map(h->config.filter_octets);
			if (!h->filter[kind][i])
				return -ENOMEM;
		}
	}
	return 0;
}

void filter_release(struct harvest *h)
{
	for (unsigned i = 0; i < GENERATIONS; i++) {
		for (unsigned kind = 0; kind < PAIR_KINDS; kind++)
			if (h->filter[kind][i])
				munmap(h->filter[kind][i], h->config.filter_octets);
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

/* The bits of a pair in a word of its. */
struct pair_word {
	uint64_t at, bits;
};

static struct pair_word word_of(const struct harvest *h, uint64_t client, uint64_t recipient,
				unsigned number)
{
	const uint64_t pair[3] = {client, recipient, number};
	uint64_t hashed = siphash13(&h->key, pair, sizeof(pair));

	return (struct pair_word){(hashed >> 24) & (h->filter_words - 1), bits_of(hashed)};
}

/* Enters it; true: it was there. */
static bool enter(_Atomic uint64_t *filter, const struct pair_word *w)
{
	uint64_t before = atomic_fetch_or_explicit(&filter[w->at], w->bits, memory_order_relaxed);

	return (before & w->bits) == w->bits;
}

static bool is_in(const _Atomic uint64_t *filter, const struct pair_word *words, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t word = atomic_load_explicit(&filter[words[i].at], memory_order_relaxed);

		if ((word & words[i].bits) != words[i].bits)
			return false;
	}
	return true;
}

bool filter_lent_before(struct harvest *h, uint64_t client, uint64_t recipient, uint32_t now_s)
{
	struct pair_word word = word_of(h, client, recipient, 0);

	return enter(h->filter[PAIR_LENT][now_s / DAY_S % GENERATIONS], &word);
}

bool filter_scored_before(struct harvest *h, uint64_t client, uint64_t recipient, uint32_t now_s)
{
	uint32_t day = now_s / DAY_S;
	_Atomic uint64_t *const *filter = h->filter[PAIR_UNKNOWN];
	struct pair_word words[UNKNOWN_WORDS];
	bool there = true;

	for (unsigned i = 0; i < UNKNOWN_WORDS; i++)
		words[i] = word_of(h, client, recipient, i);
	if (is_in(filter[(day - 1) % GENERATIONS], words, UNKNOWN_WORDS))
		return true;
	for (unsigned i = 0; i < UNKNOWN_WORDS; i++)
		there &= enter(filter[day % GENERATIONS], &words[i]);
	return there;
}

static _Atomic uint8_t *dead_cell(const struct harvest *h, uint64_t recipient, unsigned row,
				  uint32_t day)
{
	uint64_t at = (recipient + row * (recipient >> 32 | 1)) & (DEAD_CELLS - 1);

	return &h->dead[day % GENERATIONS][row * DEAD_CELLS + at];
}

static uint8_t dead_of_day(const struct harvest *h, uint64_t recipient, uint32_t day)
{
	uint8_t least = UINT8_MAX;

	for (unsigned row = 0; row < DEAD_ROWS; row++) {
		uint8_t n = atomic_load_explicit(dead_cell(h, recipient, row, day),
						 memory_order_relaxed);

		least = n < least ? n : least;
	}
	return least;
}

void dead_add(struct harvest *h, uint64_t recipient, uint32_t now_s)
{
	uint32_t day = now_s / DAY_S;
	uint8_t least = dead_of_day(h, recipient, day);

	if (least == UINT8_MAX)
		return;
	/* What is more already holds another's count. */
	for (unsigned row = 0; row < DEAD_ROWS; row++) {
		uint8_t n = least;

		atomic_compare_exchange_strong_explicit(dead_cell(h, recipient, row, day), &n,
							(uint8_t)(least + 1), memory_order_relaxed,
							memory_order_relaxed);
	}
}

uint32_t dead_count(const struct harvest *h, uint64_t recipient, uint32_t now_s)
{
	uint32_t day = now_s / DAY_S;

	return (uint32_t)dead_of_day(h, recipient, day) + dead_of_day(h, recipient, day - 1);
}

void harvest_tick(struct harvest *h, uint32_t now_s)
{
	uint32_t next = now_s / DAY_S + 1;

	if (atomic_load_explicit(&h->cleared_day, memory_order_relaxed) == next)
		return;
	/* Pages of zeros again. Nobody looks there before tomorrow. */
	for (unsigned kind = 0; kind < PAIR_KINDS; kind++)
		madvise(h->filter[kind][next % GENERATIONS], h->config.filter_octets,
			MADV_DONTNEED);
	madvise(h->dead[next % GENERATIONS], DEAD_ROWS * DEAD_CELLS, MADV_DONTNEED);
	atomic_store_explicit(&h->cleared_day, next, memory_order_relaxed);
}

double filter_share(const struct harvest *h, enum pair_kind kind, uint32_t now_s)
{
	enum { LOOKED_AT = 4096 };
	const _Atomic uint64_t *filter = h->filter[kind][now_s / DAY_S % GENERATIONS];
	uint64_t step = h->filter_words / LOOKED_AT ? h->filter_words / LOOKED_AT : 1, bits = 0,
		 n = 0;

	for (uint64_t i = 0; i < h->filter_words; i += step, n++)
		bits += (uint64_t)__builtin_popcountll(
			atomic_load_explicit(&filter[i], memory_order_relaxed));
	return (double)bits / (double)(64 * n);
}
