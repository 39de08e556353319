/* SPDX-License-Identifier: BSD-3-Clause */
/* Octets held of messages: in any pieces in, in any pieces out, and out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "worker/held.h"

enum { POOL = 1 << 20, MESSAGE = 40000, CHUNK = 4096 - 8 };

static uint8_t octet_at(size_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

static void add(struct slab *pool, struct held *h, size_t len)
{
	uint8_t octets[MESSAGE];

	for (size_t i = 0; i < len; i++)
		octets[i] = octet_at(h->octets + i);
	assert_true(held_add(pool, h, (struct span){octets, len}));
}

static void read_some(const struct slab *pool, struct held *h, size_t most)
{
	struct span next;

	while (most && (next = held_next(pool, h)).len) {
		const size_t n = next.len < most ? next.len : most;

		for (size_t i = 0; i < n; i++)
			assert_int_equal(next.bytes[i], octet_at(h->read + i));
		held_skip(pool, h, n);
		most -= n;
	}
}

static void what_goes_in_comes_out_as_often_as_it_is_asked_for(void **state)
{
	uint64_t random = test_seed(1);
	struct slab pool = {0};

	assert_true(held_pool_init(&pool, POOL));
	for (unsigned round = 0; round < 300; round++) {
		struct held h;

		held_begin(&h);
		while (h.octets < MESSAGE / 2) {
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			switch (random >> 60 & 3) {
			case 0:
				add(&pool, &h, random >> 33 & 1 ? CHUNK : random >> 40 & 0x1fff);
				break;
			case 1:
				read_some(&pool, &h, random >> 40 & 0x1fff);
				break;
			case 2:
				read_some(&pool, &h, SIZE_MAX);
				assert_true(held_is_read(&h));
				break;
			default:
				held_rewind(&h);
				break;
			}
		}
		held_rewind(&h);
		read_some(&pool, &h, SIZE_MAX);
		assert_true(held_is_read(&h));
		held_forget(&pool, &h);
		assert_int_equal(pool.in_use, 0);
	}
	slab_release(&pool);
}

static void there_is_room_for_what_is_said_to_be_free_and_no_more(void **state)
{
	static const uint8_t octets[CHUNK];
	struct slab pool = {0};
	struct held a, b;

	assert_true(held_pool_init(&pool, 8192));
	held_begin(&a);
	held_begin(&b);
	assert_int_equal(held_free(&pool), 3 * CHUNK);
	assert_true(held_add(&pool, &a, (struct span){octets, CHUNK}));
	assert_true(held_add(&pool, &b, (struct span){octets, 1}));
	assert_int_equal(held_free(&pool), CHUNK);
	assert_true(held_add(&pool, &a, (struct span){octets, CHUNK}));
	assert_int_equal(held_free(&pool), 0);
	assert_false(held_add(&pool, &a, (struct span){octets, 1}));
	/* What has a chunk begun has the rest of it. */
	assert_true(held_add(&pool, &b, (struct span){octets, CHUNK - 1}));
	held_forget(&pool, &a);
	held_forget(&pool, &b);
	assert_int_equal(held_free(&pool), 3 * CHUNK);
	slab_release(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out_as_often_as_it_is_asked_for),
		cmocka_unit_test(there_is_room_for_what_is_said_to_be_free_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
