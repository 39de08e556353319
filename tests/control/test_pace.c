/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Work that takes long, or fails, in its due time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "control/pace.h"

enum { TICK_MS = 20, TICKS = 5000 };

/* How often it is done in a hundred seconds of ticks. */
static unsigned count(uint64_t takes_ms, bool fails)
{
	struct pace pace = {0};
	unsigned n = 0;

	for (uint64_t now_ms = 1; now_ms < TICKS * TICK_MS; now_ms += TICK_MS) {
		if (!pace_is_due(&pace, now_ms))
			continue;
		pace_worked(&pace, now_ms, now_ms + takes_ms, fails);
		now_ms += takes_ms;
		n++;
	}
	return n;
}

static void what_is_quick_is_done_at_every_tick(void **state)
{
	assert_int_equal(count(0, false), TICKS);
}

static void what_takes_long_gets_a_tenth_of_the_time(void **state)
{
	assert_in_range(count(100, false), 80, 92);
	assert_in_range(count(1000, false), 9, 10);
}

static void what_fails_is_tried_later_and_later(void **state)
{
	assert_in_range(count(0, true), 15, 20);
}

static void a_success_begins_anew(void **state)
{
	struct pace pace = {0};

	for (int i = 0; i < 20; i++)
		pace_worked(&pace, 1000, 1000, true);
	assert_false(pace_is_due(&pace, 1000 + PACE_AGAIN_LAST_MS - 1));
	assert_true(pace_is_due(&pace, 1000 + PACE_AGAIN_LAST_MS));
	pace_worked(&pace, 20000, 20000, false);
	assert_true(pace_is_due(&pace, 20000));
	pace_worked(&pace, 20000, 20000, true);
	assert_true(pace_is_due(&pace, 20000 + PACE_AGAIN_FIRST_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_quick_is_done_at_every_tick),
		cmocka_unit_test(what_takes_long_gets_a_tenth_of_the_time),
		cmocka_unit_test(what_fails_is_tried_later_and_later),
		cmocka_unit_test(a_success_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
