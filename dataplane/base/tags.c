/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers by tag.
 *
 * Thread, Time, Memory: tags.h.
 * Rules: the invariant is that every bucket from a number's home up to the one it lies in, that one
 * left out, is full; so a lookup may stop at the first that is not.
 */
#include <assert.h>
#include <stddef.h>
#include <sys/mman.h>

#include "base/tags.h"

static_assert(sizeof(struct tags_bucket) == 64, "a bucket is one cache line");

static size_t size_of(uint32_t n)
{
	return (size_t)n * sizeof(struct tags_bucket);
}

bool tags_init(struct tags *t, uint32_t numbers)
{
	uint32_t n = (uint32_t)(((uint64_t)numbers * 3 / 2 + TAGS_PLACES - 1) / TAGS_PLACES) + 1;
	void *at = mmap(NULL, size_of(n), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return false;
	*t = (struct tags){.at = at, .n = n};
	return true;
}

void tags_release(struct tags *t)
{
	if (t->at)
		munmap(t->at, size_of(t->n));
	*t = (struct tags){.at = NULL};
}

static unsigned places_used(const struct tags_bucket *b)
{
	unsigned used = 0;

	while (used < TAGS_PLACES && b->numbers[used])
		used++;
	return used;
}

static void place_in(struct tags_bucket *b, uint32_t tag, uint32_t number)
{
	unsigned place = places_used(b);

	assert(place < TAGS_PLACES);
	b->tags[place] = tag;
	b->numbers[place] = number;
}

void tags_add(struct tags *t, uint32_t tag, uint32_t number)
{
	uint32_t i = tags_home(t, tag);

	while (tags_bucket_is_full(&t->at[i]))
		i = tags_after(t, i);
	place_in(&t->at[i], tag, number + 1);
}

/* What lies behind moves up. */
static void take_out(struct tags_bucket *b, unsigned place)
{
	unsigned last = places_used(b) - 1;

	b->tags[place] = b->tags[last];
	b->numbers[place] = b->numbers[last];
	b->numbers[last] = 0;
}

static uint32_t distance(const struct tags *t, uint32_t from, uint32_t to)
{
	return to >= from ? to - from : to + t->n - from;
}

/* A place in bucket i whose number passed the bucket `hole` on its way; TAGS_PLACES: none. */
static unsigned place_of_passer(const struct tags *t, uint32_t hole, uint32_t i)
{
	unsigned place = 0;

	for (; place < TAGS_PLACES && t->at[i].numbers[place]; place++) {
		uint32_t home = tags_home(t, t->at[i].tags[place]);

		if (distance(t, home, i) >= distance(t, hole, i))
			return place;
	}
	return TAGS_PLACES;
}

/* The bucket `hole` was full until now: one number that passed it comes back to it, which leaves a
 * hole in turn. */
static void pull_back(struct tags *t, uint32_t hole)
{
	for (uint32_t i = tags_after(t, hole); i != hole; i = tags_after(t, i)) {
		struct tags_bucket *from = &t->at[i];
		unsigned place = place_of_passer(t, hole, i);
		bool was_full = tags_bucket_is_full(from);

		if (place < TAGS_PLACES) {
			place_in(&t->at[hole], from->tags[place], from->numbers[place]);
			take_out(from, place);
			hole = i;
		}
		if (!was_full)
			return;
	}
}

void tags_remove(struct tags *t, uint32_t tag, uint32_t number)
{
	struct tags_walk w = tags_find(t, tag);
	struct tags_bucket *bucket;
	bool was_full;
	unsigned place = 0;
	uint32_t found;

	while ((found = tags_next(t, tag, &w)) != number) {
		assert(found != TAGS_NONE);
		if (found == TAGS_NONE)
			return;
	}
	bucket = &t->at[w.bucket];
	while (bucket->numbers[place] != number + 1)
		place++;
	was_full = tags_bucket_is_full(bucket);
	take_out(bucket, place);
	if (was_full)
		pull_back(t, w.bucket);
}
