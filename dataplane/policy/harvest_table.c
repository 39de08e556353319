/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harvest's table: from a client or a prefix to its words.
 *
 * Thread: any. Finding and changing an entry takes no lock; making one claims its bucket for the
 * some ten nanoseconds that takes, because two workers that meet a client at the same moment must
 * not make two entries of it: its guesses would be counted twice over.
 * Time: seconds since the epoch; minutes modulo 2^21 (4 years) in a score word.
 * Memory: buckets of eight entries. A full one gives up the entry that says least: the oldest of
 * the lowest absolute score, of those not shut out while there is another. One that has just
 * changed counts as one at the line: else in a table full of the guessers of this week each
 * newcomer would end the test of the last one, which would begin anew with its next guess.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "policy/harvest_private.h"

enum {
	MINUTE_BITS = 21,
	MINUTE_MASK = (1 << MINUTE_BITS) - 1,
	MINUTE_SHIFT = 28,
	NULL_SHIFT = 16,
	NULL_MASK = 0xfff,
	BY_PROXY_SHIFT = 49,
	LEVEL_SHIFT = 50,
	TAG_SHIFT = 54,
	DELIVERED_SHIFT = 62,
	BY_HAND_SHIFT = 63,

	EVIDENCE_HALVES_MIN = 24 * 60,	  /* minutes in which evidence fades to a half */
	CREDIT_HALVES_MIN = 14 * 24 * 60, /* and credit */
	LEVEL_FADES_MIN = 7 * 24 * 60,	  /* of quiet, for one level less */
	HALF_WEEK_DAYS = 4,		  /* of two halves that make up a week */
	DAYS = 64,			  /* counted modulo */

	UNDER_TEST_MIN = 5, /* since its score changed */
};

/* --- keys ------------------------------------------------------------------------------------ */

/* Networks are told apart by the top of their key, in numbers no IPv6 client has: 4 and 5 of the
 * first four bits are not allotted, ffff:fff... is multicast. */
static const uint64_t key_v4 = 0xffffffff00000000, key_v4_24 = 0xfffffffe00000000;
static const uint64_t key_v6_56 = 0x4000000000000000, key_v6_48 = 0x5000000000000000,
		      key_digest = 0x6000000000000000, key_top = 0xf000000000000000;

static uint64_t upper_half(const struct ip_addr *a)
{
	uint64_t half = 0;

	for (int i = 0; i < 8; i++)
		half = half << 8 | a->octets[i];
	return half;
}

static uint32_t v4_number(const struct ip_addr *a)
{
	return (uint32_t)a->octets[12] << 24 | (uint32_t)a->octets[13] << 16 |
	       (uint32_t)a->octets[14] << 8 | a->octets[15];
}

uint8_t client_len(const struct ip_addr *address)
{
	return ip_addr_is_v4(address) ? 128 : 64;
}

uint64_t entries_key(const struct ip_addr *address, uint8_t len)
{
	switch (len) {
	case 128:
		return key_v4 | v4_number(address);
	case 120:
		return key_v4_24 | v4_number(address) >> 8;
	case 64:
		return upper_half(address);
	case 56:
		return key_v6_56 | upper_half(address) >> 8;
	default:
		return key_v6_48 | upper_half(address) >> 16;
	}
}

uint64_t entries_key_of_digest(uint64_t digest)
{
	return key_digest | (digest & ~key_top);
}

static void write_upper(struct ip_addr *a, uint64_t half)
{
	memset(a, 0, sizeof(*a));
	for (int i = 7; i >= 0; i--, half >>= 8)
		a->octets[i] = (uint8_t)half;
}

static void write_v4(struct ip_addr *a, uint32_t number)
{
	const uint8_t octets[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
				   (uint8_t)(number >> 8), (uint8_t)number};

	*a = ip_addr_from_v4(octets);
}

uint8_t entries_key_address(uint64_t key, struct ip_addr *address)
{
	if ((key & key_v4) == key_v4) {
		write_v4(address, (uint32_t)key);
		return 128;
	}
	if ((key & key_v4) == key_v4_24) {
		write_v4(address, (uint32_t)key << 8);
		return 120;
	}
	if ((key & key_top) == key_v6_56) {
		write_upper(address, key << 8);
		return 56;
	}
	if ((key & key_top) == key_v6_48) {
		write_upper(address, key << 16);
		return 48;
	}
	if ((key & key_top) == key_digest)
		return 0;
	write_upper(address, key);
	return 64;
}

/* --- words ----------------------------------------------------------------------------------- */

uint64_t score_pack(const struct score *s)
{
	return (uint16_t)s->score | (uint64_t)((uint16_t)s->null_score & NULL_MASK) << NULL_SHIFT |
	       (uint64_t)(s->minute & MINUTE_MASK) << MINUTE_SHIFT |
	       (uint64_t)s->by_proxy << BY_PROXY_SHIFT | (uint64_t)s->level << LEVEL_SHIFT |
	       (uint64_t)s->tag << TAG_SHIFT | (uint64_t)s->delivered << DELIVERED_SHIFT |
	       (uint64_t)s->by_hand << BY_HAND_SHIFT;
}

struct score score_unpack(uint64_t word)
{
	uint16_t null_bits = word >> NULL_SHIFT & NULL_MASK;

	return (struct score){
		.score = (int16_t)(uint16_t)word,
		.null_score = (int16_t)((int16_t)(uint16_t)(null_bits << 4) / 16),
		.minute = word >> MINUTE_SHIFT & MINUTE_MASK,
		.level = word >> LEVEL_SHIFT & LEVEL_MAX,
		.tag = (uint8_t)(word >> TAG_SHIFT),
		.delivered = word >> DELIVERED_SHIFT & 1,
		.by_hand = word >> BY_HAND_SHIFT & 1,
		.by_proxy = word >> BY_PROXY_SHIFT & 1,
	};
}

static uint32_t minute_of(uint32_t now_s)
{
	return now_s / 60 & MINUTE_MASK;
}

/* From then to now; 0 when the clock went back. */
static uint32_t minutes_since(uint32_t then, uint32_t now_s)
{
	uint32_t ahead = (minute_of(now_s) - then) & MINUTE_MASK;

	return ahead < 1U << (MINUTE_BITS - 1) ? ahead : 0;
}

uint32_t minutes_since_score(uint64_t word, uint32_t now_s)
{
	return minutes_since(score_unpack(word).minute, now_s);
}

/* What is left of value after so many minutes. What is lost is rounded down: many small steps must
 * not take more than one large one. */
static int16_t faded(const struct harvest *h, int16_t value, uint32_t minutes, uint32_t halves)
{
	enum { LN2 = 45426 }; /* 1/65536 */
	uint32_t whole = minutes / halves, rest = minutes % halves;
	uint32_t step = rest * FADE_STEPS / halves, beyond = rest - step * halves / FADE_STEPS;
	uint64_t share = (uint64_t)h->fade[step] * (65536 - beyond * LN2 / halves) >> 16;
	uint64_t magnitude = (uint64_t)(value < 0 ? -value : value);
	int32_t left = whole > 15 ? 0 : (int32_t)((magnitude * share + 65535) >> 16 >> whole);

	return (int16_t)(value < 0 ? -left : left);
}

static int16_t score_faded(const struct harvest *h, int16_t value, uint32_t minutes)
{
	return faded(h, value, minutes, value < 0 ? CREDIT_HALVES_MIN : EVIDENCE_HALVES_MIN);
}

struct score score_at(const struct harvest *h, uint64_t word, uint32_t now_s)
{
	struct score s = score_unpack(word);
	uint32_t minutes = minutes_since(s.minute, now_s);
	int16_t score, null_score;

	if (minutes == 0)
		return s;
	score = score_faded(h, s.score, minutes);
	null_score = score_faded(h, s.null_score, minutes);
	/* As long as nothing was lost the time goes on counting. */
	if (score == s.score && null_score == s.null_score && (score || null_score))
		return s;
	if (minutes >= LEVEL_FADES_MIN) {
		uint32_t less = minutes / LEVEL_FADES_MIN;

		s.level = less < s.level ? (uint8_t)(s.level - less) : 0;
	}
	s.score = score;
	s.null_score = null_score;
	s.minute = minute_of(now_s);
	return s;
}

uint64_t until_pack(const struct until *u)
{
	return u->drop_s | (uint64_t)u->null_s << 32;
}

struct until until_unpack(uint64_t word)
{
	return (struct until){(uint32_t)word, (uint32_t)(word >> 32)};
}

uint64_t counts_pack(const struct counts *c)
{
	return c->day | (uint64_t)c->unknown_today << 6 | (uint64_t)c->delivered_today << 19 |
	       (uint64_t)c->unknown[0] << 32 | (uint64_t)c->unknown[1] << 40 |
	       (uint64_t)c->delivered[0] << 48 | (uint64_t)c->delivered[1] << 56;
}

struct counts counts_unpack(uint64_t word)
{
	return (struct counts){
		.day = word & (DAYS - 1),
		.unknown_today = word >> 6 & 0x1fff,
		.delivered_today = word >> 19 & 0x1fff,
		.unknown = {(uint8_t)(word >> 32), (uint8_t)(word >> 40)},
		.delivered = {(uint8_t)(word >> 48), (uint8_t)(word >> 56)},
	};
}

struct counts counts_at(uint64_t word, uint32_t now_s)
{
	struct counts c = counts_unpack(word);
	uint32_t day = now_s / DAY_S, days = (day - c.day) & (DAYS - 1);
	uint32_t halves;

	if (days == 0 || days >= DAYS / 2)
		return c;
	halves = day / HALF_WEEK_DAYS - (day - days) / HALF_WEEK_DAYS;
	if (halves > 0) {
		c.unknown[1] = halves == 1 ? c.unknown[0] : 0;
		c.delivered[1] = halves == 1 ? c.delivered[0] : 0;
		c.unknown[0] = c.delivered[0] = 0;
	}
	c.unknown_today = c.delivered_today = 0;
	c.day = day & (DAYS - 1);
	return c;
}

/* --- entries --------------------------------------------------------------------------------- */

int entries_init(struct harvest *h)
{
	size_t len;
	void *map;

	h->n_buckets = h->config.entries / BUCKET_ENTRIES;
	len = (size_t)h->n_buckets * sizeof(struct harvest_bucket);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		   -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	(void)madvise(map, len, MADV_HUGEPAGE);
	h->buckets = map;
	h->claims = calloc(h->n_buckets, sizeof(*h->claims));
	return h->claims ? 0 : -ENOMEM;
}

void entries_release(struct harvest *h)
{
	if (h->buckets)
		munmap(h->buckets, (size_t)h->n_buckets * sizeof(struct harvest_bucket));
	free(h->claims);
}

static uint64_t hash(const struct harvest *h, uint64_t key)
{
	return siphash13(&h->key, &key, sizeof(key));
}

static struct harvest_bucket *bucket_of(const struct harvest *h, uint64_t hashed)
{
	return &h->buckets[(uint32_t)(hashed >> 32) & (h->n_buckets - 1)];
}

static struct place find_in(struct harvest_bucket *b, uint64_t key, uint8_t tag)
{
	for (unsigned i = 0; i < BUCKET_ENTRIES; i++)
		if (atomic_load_explicit(&b->keys[i], memory_order_acquire) == key)
			return (struct place){b, i, tag};
	return (struct place){.tag = tag};
}

struct place entries_find(const struct harvest *h, uint64_t key)
{
	uint64_t hashed = hash(h, key);

	return find_in(bucket_of(h, hashed), key, (uint8_t)hashed);
}

/* How little an entry says: the higher, the sooner it goes. */
static uint64_t emptiness(const struct harvest *h, const struct harvest_bucket *b, unsigned slot,
			  uint32_t now_s)
{
	uint64_t word = atomic_load_explicit(&b->scores[slot], memory_order_relaxed);
	struct until until =
		until_unpack(atomic_load_explicit(&b->untils[slot], memory_order_relaxed));
	struct score s = score_at(h, word, now_s);
	uint32_t magnitude = (uint32_t)(s.score < 0 ? -s.score : s.score);
	uint32_t null_magnitude =
		(uint32_t)(s.null_score < 0 ? -s.null_score : s.null_score) * SCORE_ONE / NULL_ONE;
	uint32_t told = magnitude > null_magnitude ? magnitude : null_magnitude;
	uint32_t age = minutes_since_score(word, now_s), line = (uint32_t)h->line;
	struct ip_addr address;

	if (until.drop_s > now_s || until.null_s > now_s)
		return 0;
	if (until.drop_s) { /* and it has not been asked for since */
		uint64_t key = atomic_load_explicit(&b->keys[slot], memory_order_relaxed);
		uint32_t left = (uint32_t)harvest_line(h, entries_key_address(key, &address)) / 2;

		told = told < left ? told : left;
	}
	if (age < UNDER_TEST_MIN && told < line)
		told = line;
	/* By whole ones of score, then by age. */
	return (uint64_t)(UINT16_MAX - told / SCORE_ONE) << 32 | (age + 1);
}

/* The slot for a new entry of a claimed bucket, emptied. */
static unsigned make_room(struct harvest *h, struct harvest_bucket *b, uint32_t now_s)
{
	uint64_t most = 0;
	unsigned slot = 0;

	for (unsigned i = 0; i < BUCKET_ENTRIES; i++) {
		uint64_t empty;

		if (!atomic_load_explicit(&b->keys[i], memory_order_relaxed)) {
			atomic_fetch_add_explicit(&h->used, 1, memory_order_relaxed);
			return i;
		}
		empty = emptiness(h, b, i, now_s);
		if (empty > most) {
			most = empty;
			slot = i;
		}
	}
	atomic_fetch_add_explicit(&h->evicted, 1, memory_order_relaxed);
	if (score_unpack(atomic_load_explicit(&b->scores[slot], memory_order_relaxed)).score < 0)
		atomic_fetch_add_explicit(&h->evicted_with_credit, 1, memory_order_relaxed);
	return slot;
}

struct place entries_get(struct harvest *h, uint64_t key, uint32_t now_s)
{
	uint64_t hashed = hash(h, key);
	struct harvest_bucket *b = bucket_of(h, hashed);
	_Atomic uint8_t *claim = &h->claims[b - h->buckets];
	struct place p = find_in(b, key, (uint8_t)hashed);
	struct score fresh = {.minute = minute_of(now_s), .tag = (uint8_t)hashed};

	if (p.bucket)
		return p;
	while (atomic_exchange_explicit(claim, 1, memory_order_acquire))
		__builtin_ia32_pause();
	p = find_in(b, key, (uint8_t)hashed);
	if (!p.bucket) {
		p.slot = make_room(h, b, now_s);
		p.bucket = b;
		/* The key last: whoever finds it finds the rest. Who still holds the place for the
		 * client before sees another tag. */
		atomic_store_explicit(&b->keys[p.slot], 0, memory_order_release);
		atomic_store_explicit(&b->scores[p.slot], score_pack(&fresh), memory_order_release);
		atomic_store_explicit(&b->untils[p.slot], 0, memory_order_release);
		atomic_store_explicit(
			&b->counts[p.slot],
			counts_pack(&(struct counts){.day = now_s / DAY_S & (DAYS - 1)}),
			memory_order_release);
		atomic_store_explicit(&b->keys[p.slot], key, memory_order_release);
	}
	atomic_store_explicit(claim, 0, memory_order_release);
	return p;
}
