/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tags: from a 32-bit tag, part of a keyed hash, to the numbers filed under it. Whose a number
 * is the caller knows; several may have the same tag.
 *
 * A bucket is one cache line of eight tags and eight numbers, so that a lookup compares the tags of
 * the line it fetched all at once, without a branch for each. A tag has its home bucket; what finds
 * that full goes to the next that is not. The size is a fixed ratio to the numbers there can be,
 * not a power of two: 12 octets each, two places in three in use at the most, where about one
 * lookup in six goes on to a second bucket.
 *
 * Thread: the owner only. Time: none.
 * Memory: address space for all at tags_init, physical pages only for what was once in use. It
 * cannot overflow: the caller files no more numbers than it said.
 * Rules: tags must be evenly distributed and not the peer's to choose. Removal pulls back what had
 * to pass the bucket that was full, so there are no tombstones.
 */
#ifndef POSTERN_BASE_TAGS_H
#define POSTERN_BASE_TAGS_H

#include <stdbool.h>
#include <stdint.h>

enum { TAGS_PLACES = 8 };

#define TAGS_NONE UINT32_MAX

struct tags_bucket {
	uint32_t tags[TAGS_PLACES];
	uint32_t numbers[TAGS_PLACES]; /* one more than the number; 0: free, and so all behind */
};

struct tags {
	struct tags_bucket *at;
	uint32_t n;
};

/* Where a lookup is. */
struct tags_walk {
	uint32_t bucket;
	uint32_t matches; /* places of it still to be looked at */
};

/* For so many numbers below TAGS_NONE; false: no memory. */
bool tags_init(struct tags *t, uint32_t numbers);
void tags_release(struct tags *t);

void tags_add(struct tags *t, uint32_t tag, uint32_t number);
/* It must be there. */
void tags_remove(struct tags *t, uint32_t tag, uint32_t number);

/* --- looking up ------------------------------------------------------------------------------ */

static inline uint32_t tags_home(const struct tags *t, uint32_t tag)
{
	return (uint32_t)((uint64_t)tag * t->n >> 32);
}

static inline uint32_t tags_after(const struct tags *t, uint32_t i)
{
	return i + 1 == t->n ? 0 : i + 1;
}

static inline uint32_t tags_bucket_matches(const struct tags_bucket *b, uint32_t tag)
{
	uint32_t matches = 0;

	for (unsigned i = 0; i < TAGS_PLACES; i++)
		matches |= (uint32_t)(b->tags[i] == tag) << i;
	return matches;
}

static inline bool tags_bucket_is_full(const struct tags_bucket *b)
{
	return b->numbers[TAGS_PLACES - 1] != 0;
}

static inline struct tags_walk tags_find(const struct tags *t, uint32_t tag)
{
	uint32_t home = tags_home(t, tag);

	return (struct tags_walk){home, tags_bucket_matches(&t->at[home], tag)};
}

/* The next number filed under the tag the walk began with; TAGS_NONE: there is none. */
static inline uint32_t tags_next(const struct tags *t, uint32_t tag, struct tags_walk *w)
{
	for (;;) {
		const struct tags_bucket *bucket = &t->at[w->bucket];

		while (w->matches) {
			uint32_t number = bucket->numbers[__builtin_ctz(w->matches)];

			w->matches &= w->matches - 1;
			if (number)
				return number - 1;
		}
		if (!tags_bucket_is_full(bucket))
			return TAGS_NONE;
		w->bucket = tags_after(t, w->bucket);
		w->matches = tags_bucket_matches(&t->at[w->bucket], tag);
	}
}

/* What is likely found, for the cache's sake: looks into the home bucket alone. */
static inline uint32_t tags_guess(const struct tags *t, uint32_t tag)
{
	const struct tags_bucket *b = &t->at[tags_home(t, tag)];
	uint32_t matches = tags_bucket_matches(b, tag);

	/* Behind the last number lies 0, one less is TAGS_NONE. */
	return matches ? b->numbers[__builtin_ctz(matches)] - 1 : TAGS_NONE;
}

/* To be called well before a lookup. */
static inline void tags_prefetch(const struct tags *t, uint32_t tag)
{
	__builtin_prefetch(&t->at[tags_home(t, tag)]);
}

#endif
