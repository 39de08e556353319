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
#include "common/random.h"

static uint64_t random_state;

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
			bytes[at] = "\0\r\n.\x80\xffra"[test_random(&random_state) % 8];
		check(bytes + i % 8, bytes[test_random(&random_state) % sizeof(bytes)]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_octet_is_found_in_every_place_and_taken_for_no_other),
		cmocka_unit_test(random_octets_make_the_loops_mask),
	};

	random_state = test_seed((uint64_t)time(NULL));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
