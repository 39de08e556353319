/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dialogues: test_smtp_dialogues FOLDER. Each is replayed as it was written, octet by octet,
 * cut at every place, with the writes right behind each other, and with little room for replies:
 * what happens is the same to the octet. At the end every row of the reply table must have been
 * said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replay.h"

enum {
#ifdef __SANITIZE_ADDRESS__
	CUTS_MAX = 100, /* of a dialogue, spread over it */
#else
	CUTS_MAX = 2000,
#endif
	TESTS_MAX = 400,
};

static uint64_t said[REPLIES + 1];

static void replays_the_same_however_it_arrives(void **state)
{
	static const struct manner manners[] = {
		{.name = "as written"},
		{.name = "with little room", .little_room = true},
		{.name = "octet by octet", .part = 1},
		{.name = "by seven octets", .part = 7},
		{.name = "pipelined", .pipelined = true},
		{.name = "pipelined with little room", .pipelined = true, .little_room = true},
		{.name = "pipelined, octet by octet", .pipelined = true, .part = 1},
	};
	const struct dialogue *d = *state;
	const size_t octets = dialogue_octets(d), stride = 1 + octets / CUTS_MAX;

	for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++)
		replay(d, &manners[i], said);
	for (size_t cut = 1; cut < octets; cut += stride) {
		replay(d, &(struct manner){.name = "cut", .cut = cut}, said);
		replay(d, &(struct manner){.name = "pipelined, cut", .pipelined = true, .cut = cut},
		       said);
	}
}

static void every_row_of_the_reply_table_is_said(void **state)
{
	unsigned missing = 0;

	for (unsigned i = 0; i < REPLIES; i++) {
		if (!said[i]) {
			print_error("no dialogue has %s: %u %s %s\n", reply_rows[i].name,
				    reply_rows[i].code, reply_rows[i].enhanced, reply_rows[i].text);
			missing++;
		}
	}
	assert_true(said[REPLY_OF_NEXT_HOP] > 0);
	assert_int_equal(missing, 0);
}

int main(int argc, char **argv)
{
	static struct CMUnitTest tests[TESTS_MAX];
	struct dialogue *first;
	size_t n = 0;
	int failed;

	if (argc != 2) {
		fputs("usage: test_smtp_dialogues FOLDER\n", stderr);
		return 2;
	}
	first = dialogues_load(argv[1]);
	for (struct dialogue *d = first; d; d = d->next) {
		if (n == TESTS_MAX - 1) {
			fputs("too many dialogues\n", stderr);
			return 2;
		}
		tests[n++] = (struct CMUnitTest){
			.name = d->name,
			.test_func = replays_the_same_however_it_arrives,
			.initial_state = d,
		};
	}
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(every_row_of_the_reply_table_is_said);
	failed = _cmocka_run_group_tests("dialogues", tests, n, NULL, NULL);
	dialogues_free(first);
	return failed;
}
