/* SPDX-License-Identifier: BSD-3-Clause */
/* Masks of 64 octets: the widest form and the plain one against a loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/octets.h"

static uint64_t random_state;

/* splitmix64 */
static uint64_t random_u64(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static uint64_t by_loop(const uint8_t *p, uint8_t octet)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < OCTETS_AT_ONCE; i++)
		mask |= (uint64_t)(p[i] == octet) << i;
	return mask;
}

static void check(const uint8_t *p, uint8_t octet)
{
	uint64_t wanted = by_loop(p, octet);

	assert_true(octets_equal_plain(p, octet) == wanted);
	assert_true(octets_equal(octets_load(p), octet) == wanted);
}

static void every_octet_is_found_in_every_place_and_taken_for_no_other(void **state)
{
	uint8_t *p = malloc(OCTETS_AT_ONCE);

	assert_non_null(p);
	for (unsigned octet = 0; octet < 256; octet++) {
		for (unsigned other = 0; other < 256; other++) {
			memset(p, (int)other, OCTETS_AT_ONCE);
			check(p, (uint8_t)octet);
			p[(octet + other) % OCTETS_AT_ONCE] = (uint8_t)octet;
			check(p, (uint8_t)octet);
		}
	}
	free(p);
}

static void random_octets_make_the_loops_mask(void **state)
{
	uint8_t bytes[OCTETS_AT_ONCE + 8];

	for (unsigned i = 0; i < 100000; i++) {
		/* Few different ones, so that they are found, at any alignment. */
		for (size_t at = 0; at < sizeof(bytes); at++)
			bytes[at] = "\0\r\n.\x80\xffra"[random_u64() % 8];
		check(bytes + i % 8, bytes[random_u64() % sizeof(bytes)]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_octet_is_found_in_every_place_and_taken_for_no_other),
		cmocka_unit_test(random_octets_make_the_loops_mask),
	};
	const char *seed = getenv("POSTERN_SEED");

	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
	printf("POSTERN_SEED=%llu\n", (unsigned long long)random_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
