/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers by tag, against a plain list of who has which. POSTERN_SEED chooses the random walk. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/tags.h"
#include "common/random.h"

enum { NUMBERS = 600 };

/* What must be found. */
struct model {
	struct tags by_tag;
	uint32_t tags[NUMBERS];
	bool filed[NUMBERS];
	uint32_t n_filed;
	uint64_t random;
};

static uint64_t next_random(struct model *m)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random;
}

static bool is_found(const struct model *m, uint32_t tag, uint32_t number)
{
	struct tags_walk w = tags_find(&m->by_tag, tag);
	uint32_t found;

	while ((found = tags_next(&m->by_tag, tag, &w)) != TAGS_NONE) {
		assert_true(m->filed[found] && m->tags[found] == tag);
		if (found == number)
			return true;
	}
	return false;
}

static uint32_t places_in_use(const struct model *m)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < m->by_tag.n; i++) {
		const struct tags_bucket *b = &m->by_tag.at[i];

		for (unsigned p = 0; p < TAGS_PLACES; p++) {
			used += b->numbers[p] != 0;
			assert_true(p == 0 || b->numbers[p - 1] || !b->numbers[p]);
		}
	}
	return used;
}

static void check(const struct model *m)
{
	for (uint32_t i = 0; i < NUMBERS; i++)
		assert_int_equal(is_found(m, m->tags[i], i), m->filed[i]);
	assert_int_equal(places_in_use(m), m->n_filed);
}

static void file(struct model *m, uint32_t number, uint32_t tag)
{
	m->tags[number] = tag;
	m->filed[number] = true;
	m->n_filed++;
	tags_add(&m->by_tag, tag, number);
}

static void remove_one(struct model *m, uint32_t number)
{
	m->filed[number] = false;
	m->n_filed--;
	tags_remove(&m->by_tag, m->tags[number], number);
}

static void init(struct model *m)
{
	*m = (struct model){.random = test_seed(1)};
	m->random = m->random * 0x9e3779b97f4a7c15 | 1;
	assert_true(tags_init(&m->by_tag, NUMBERS));
}

/* Adds and removes at random, mostly full; tags from tag_of. */
static void walk(uint32_t (*tag_of)(struct model *m))
{
	struct model m;

	init(&m);
	for (unsigned step = 0; step < 40000; step++) {
		uint32_t number = (uint32_t)(next_random(&m) % NUMBERS);

		if (!m.filed[number])
			file(&m, number, tag_of(&m));
		else if (next_random(&m) % 4 == 0)
			remove_one(&m, number);
		if (step % 100 == 0)
			check(&m);
	}
	assert_in_range(m.n_filed, NUMBERS / 2, NUMBERS);
	for (uint32_t i = 0; i < NUMBERS; i++)
		if (m.filed[i])
			remove_one(&m, i);
	check(&m);
	tags_release(&m.by_tag);
}

static uint32_t any_tag(struct model *m)
{
	return (uint32_t)next_random(m);
}

/* Many numbers to a tag. */
static uint32_t one_of_ten_tags(struct model *m)
{
	return (uint32_t)(next_random(m) % 10) * 0x19999999;
}

/* Half of all have their home in the last two buckets, so that what finds them full goes on at the
 * first. */
static uint32_t tag_at_the_end(struct model *m)
{
	return next_random(m) % 2 ? UINT32_MAX - (uint32_t)(next_random(m) % 50000000) : any_tag(m);
}

static void what_is_filed_is_found_and_nothing_else(void **state)
{
	walk(any_tag);
}

static void numbers_of_one_tag_are_all_found(void **state)
{
	walk(one_of_ten_tags);
}

static void what_goes_around_the_end_is_found(void **state)
{
	walk(tag_at_the_end);
}

static void a_table_for_one_has_room_for_it(void **state)
{
	struct tags b;
	struct tags_walk w;

	assert_true(tags_init(&b, 1));
	for (uint32_t tag = 0; tag < 100; tag++) {
		tags_add(&b, tag * 0x2924924, 0);
		w = tags_find(&b, tag * 0x2924924);
		assert_int_equal(tags_next(&b, tag * 0x2924924, &w), 0);
		assert_int_equal(tags_next(&b, tag * 0x2924924, &w), TAGS_NONE);
		tags_remove(&b, tag * 0x2924924, 0);
	}
	tags_release(&b);
}

static void a_number_costs_twelve_octets(void **state)
{
	struct tags b;

	assert_true(tags_init(&b, 100000));
	assert_in_range((uint64_t)b.n * sizeof(*b.at), 12 * 100000, 12 * 100000 + 128);
	tags_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_filed_is_found_and_nothing_else),
		cmocka_unit_test(numbers_of_one_tag_are_all_found),
		cmocka_unit_test(what_goes_around_the_end_is_found),
		cmocka_unit_test(a_table_for_one_has_room_for_it),
		cmocka_unit_test(a_number_costs_twelve_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
