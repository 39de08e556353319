/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_recipients_narrow LOOKUPS: with digests of few bits (RECIPIENT_DIGEST_BITS, of the library
 * too) unknown addresses are taken for known ones as often as the arithmetic says, so that it can
 * be believed for 96.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "postern/recipients.h"

enum {
	KNOWN = 1000000,
};

/* Digests a lookup in vain compares, by those a bucket holds: it also looks into followers of a
 * bucket that overflowed. From a simulation of 10^6 balls thrown into so many buckets of five. */
static const double compared = 1.509;

static uint64_t lookups;

/* Ten octets made of a number, cheaper than printing it. */
static void write_local(char *local, char kind, uint32_t i)
{
	local[0] = kind;
	local[1] = '.';
	for (int k = 0; k < 8; k++)
		local[2 + k] = (char)('a' + (i >> (4 * k) & 15));
}

static void as_many_are_taken_for_known_as_predicted(void **state)
{
	struct recipients_config config = {.expected = KNOWN, .entropy = {7, 1, 9}};
	struct recipients_domain domain = {.name = "example.net", .name_len = 11};
	struct recipients *r = recipients_new(&config);
	struct recipient_address asked[RECIPIENTS_ASKED_MAX];
	struct recipient_answer answers[RECIPIENTS_ASKED_MAX];
	char locals[RECIPIENTS_ASKED_MAX][10];
	double buckets, expected, found = 0;
	uint32_t number;

	assert_non_null(r);
	assert_int_equal(recipients_add_domain(r, &domain, &number), 0);
	recipients_set_loaded(r, number, true);
	for (uint32_t k = 0; k < RECIPIENTS_ASKED_MAX; k++)
		asked[k] = (struct recipient_address){locals[k], "example.net", 10, 11};
	for (uint32_t i = 0; i < KNOWN; i++) {
		write_local(locals[0], 'k', i);
		/* One that is taken for another is not put a second time. */
		assert_true(recipients_put(r, &asked[0], RECIPIENT_NORMAL,
					   RECIPIENT_POOL_OF_DOMAIN) <= RECIPIENTS_SAME);
	}
	for (uint64_t i = 0; i < lookups; i += RECIPIENTS_ASKED_MAX) {
		for (uint32_t k = 0; k < RECIPIENTS_ASKED_MAX; k++)
			write_local(locals[k], 'u', (uint32_t)(i + k));
		recipients_find(r, asked, RECIPIENTS_ASKED_MAX, answers);
		for (uint32_t k = 0; k < RECIPIENTS_ASKED_MAX; k++)
			found += answers[k].finding == RECIPIENT_KNOWN;
	}
	buckets = (double)recipients_memory(r) / 64;
	expected = (double)lookups * compared * (KNOWN / buckets) / exp2(RECIPIENT_DIGEST_BITS);
	printf("%.0f taken for known, %.2f predicted\n", found, expected);
	assert_true(fabs(found - expected) < 5 * sqrt(expected));
	recipients_free(r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_are_taken_for_known_as_predicted),
	};

	lookups = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
