/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside harvest: the table of entries, the day's filter, the words they are made of.
 *
 * Thread: any, by compare-and-swap. Time: seconds and minutes given.
 * Memory: harvest_new's. Rules: an entry's score word carries a tag of its key, so that no change
 * meant for one client lands in an entry that has become another's.
 */
#ifndef POSTERN_POLICY_HARVEST_PRIVATE_H
#define POSTERN_POLICY_HARVEST_PRIVATE_H

#include <assert.h>
#include <stdatomic.h>

#include "base/siphash.h"
#include "postern/harvest.h"

enum {
	BUCKET_ENTRIES = 8,
	GENERATIONS = 3, /* of days: today, yesterday, and tomorrow's, which is being cleared */
	DAY_S = 24 * 3600,
	DEAD_ROWS = 3,
	DEAD_CELLS = 1 << 23, /* a row of a day */
	NETWORK_LENGTHS = 129,

	SCORE_ONE = 256, /* of a score */
	NULL_ONE = 16,	 /* of a null sender's, which has fewer bits */
	FLOOR = -35 * SCORE_ONE,
	LEVEL_MAX = 15,
	FADE_STEPS = 64, /* of a halving */
};

/* What is remembered of a client and a recipient. */
enum pair_kind {
	PAIR_UNKNOWN, /* scored already */
	PAIR_LENT,    /* lent for already */
	PAIR_KINDS,
};

/* One line of keys, one of scores, and two that are looked at less. */
struct harvest_bucket {
	_Atomic uint64_t keys[BUCKET_ENTRIES];	 /* 0: free */
	_Atomic uint64_t scores[BUCKET_ENTRIES]; /* struct score */
	_Atomic uint64_t untils[BUCKET_ENTRIES]; /* struct until */
	_Atomic uint64_t counts[BUCKET_ENTRIES]; /* struct counts */
};

static_assert(sizeof(struct harvest_bucket) == 256, "32 octets an entry");

/* What a score word holds. */
struct score {
	int16_t score;	    /* 1/256 */
	int16_t null_score; /* 1/16, 12 bits */
	uint32_t minute;    /* 21 bits: up to when both have faded */
	uint8_t level;	    /* 4 bits: verdicts before */
	uint8_t tag;
	bool delivered; /* something once was */
	bool by_hand;	/* its verdict is harvest_shut_out's */
	bool by_proxy;	/* its verdict is the workers' alone */
};

struct until {
	uint32_t drop_s, null_s; /* 0: not */
};

/* Recipients of today, and of this half week and the one before. */
struct counts {
	uint8_t day;				 /* modulo 64 */
	uint16_t unknown_today, delivered_today; /* 13 bits */
	uint8_t unknown[2], delivered[2];	 /* halves of a week, the present one first */
};

/* An entry of the table. */
struct place {
	struct harvest_bucket *bucket; /* NULL: there is none */
	unsigned slot;
	uint8_t tag;
};

static inline _Atomic uint64_t *score_word(const struct place *p)
{
	return &p->bucket->scores[p->slot];
}

static inline _Atomic uint64_t *until_word(const struct place *p)
{
	return &p->bucket->untils[p->slot];
}

static inline _Atomic uint64_t *counts_word(const struct place *p)
{
	return &p->bucket->counts[p->slot];
}

struct harvest {
	struct harvest_config config;
	struct siphash_key key;
	int32_t unknown, good, line; /* 1/256 */
	int32_t lent;		     /* of a good one, at once */
	uint32_t fade[FADE_STEPS];   /* 2^-(i / FADE_STEPS), 1/65536 */

	struct harvest_bucket *buckets;
	_Atomic uint8_t *claims; /* a bucket each: an entry is being made in it */
	uint32_t n_buckets;
	_Atomic uint64_t used, evicted, evicted_with_credit;

	_Atomic uint64_t *filter[PAIR_KINDS][GENERATIONS];
	uint64_t filter_words;
	_Atomic uint8_t *dead[GENERATIONS]; /* DEAD_ROWS * DEAD_CELLS */
	_Atomic uint32_t cleared_day;	    /* up to this one generations are fit for use */

	/* The networks that are never flagged: a sequence lock, odd while they change. */
	_Atomic uint32_t networks_sequence;
	_Atomic uint64_t (*networks)[2]; /* halves of their addresses, by length and address */
	_Atomic uint32_t networks_of[NETWORK_LENGTHS + 1]; /* where a length's begin */
};

/* --- harvest_allow.c --- */
/* Clears the bits behind a prefix. */
void network_mask(struct ip_addr *address, uint8_t len);

/* --- harvest_table.c --- */
int entries_init(struct harvest *h);
void entries_release(struct harvest *h);
/* A network's key; len as in the mapped form: 128, 120 (IPv4), 64, 56, 48 (IPv6). */
uint64_t entries_key(const struct ip_addr *address, uint8_t len);
/* Its address again, and its length. */
uint8_t entries_key_address(uint64_t key, struct ip_addr *address);
/* A client's own length: 128 or 64. */
uint8_t client_len(const struct ip_addr *address);
/* A key of something else than a network. */
uint64_t entries_key_of_digest(uint64_t digest);
struct place entries_find(const struct harvest *h, uint64_t key);
/* Makes it when it is not there. */
struct place entries_get(struct harvest *h, uint64_t key, uint32_t now_s);

uint64_t score_pack(const struct score *s);
struct score score_unpack(uint64_t word);
/* As of now: evidence and credit have faded. */
struct score score_at(const struct harvest *h, uint64_t word, uint32_t now_s);
/* Whether a score word is still the one's the place was made for. */
static inline bool is_theirs(const struct place *p, uint64_t word)
{
	return p->bucket && score_unpack(word).tag == p->tag;
}
uint64_t until_pack(const struct until *u);
struct until until_unpack(uint64_t word);
uint64_t counts_pack(const struct counts *c);
struct counts counts_unpack(uint64_t word);
struct counts counts_at(uint64_t word, uint32_t now_s);

/* Since its score was last brought up to date. */
uint32_t minutes_since_score(uint64_t word, uint32_t now_s);

/* --- harvest.c --- */
bool counts_are_established(const struct counts *c);
/* Of its own, and not lent. */
bool has_credit(const struct harvest *h, uint64_t key, uint32_t now_s);
/* False: it was changed before (word is what it is now), or the entry is another's. */
bool until_change(const struct place *p, uint64_t *word, const struct until *until);

/* --- harvest_filter.c --- */
int filter_init(struct harvest *h);
void filter_release(struct harvest *h);
/* Enter a pair of today; true: it was there already (scored: or yesterday). */
bool filter_lent_before(struct harvest *h, uint64_t client, uint64_t recipient, uint32_t now_s);
bool filter_scored_before(struct harvest *h, uint64_t client, uint64_t recipient, uint32_t now_s);
/* One more client with credit mailed this unknown address. */
void dead_add(struct harvest *h, uint64_t recipient, uint32_t now_s);
/* How many have, about. */
uint32_t dead_count(const struct harvest *h, uint64_t recipient, uint32_t now_s);
double filter_share(const struct harvest *h, enum pair_kind kind, uint32_t now_s);

#endif
