/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The timer wheel: its edges one by one, and a long random walk beside a reference that looks at
 * every timer. POSTERN_SEED chooses the walk.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/wheel.h"
#include "common/random.h"

enum {
	TIMERS = 200,
	STEPS = 60000,
};

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	return test_random(&random_state) % n;
}

/* Every magnitude up to 2^bits is as likely as any other. */
static uint64_t random_magnitude(unsigned bits)
{
	return test_random(&random_state) >> (63 - random_below(bits));
}

static uint64_t round_up(uint64_t us, uint32_t shift)
{
	uint64_t mask = (1ULL << shift) - 1;

	return us > UINT64_MAX - mask ? WHEEL_NEVER : (us + mask) & ~mask;
}

static struct wheel *new_wheel(uint64_t now_us, uint32_t shift)
{
	struct wheel *w = malloc(sizeof(*w));

	assert_non_null(w);
	wheel_init(w, now_us, shift);
	return w;
}

/* Goes on until it is sure. */
static struct timer *next_due(struct wheel *w, uint64_t now_us)
{
	struct timer *t;

	do
		t = wheel_next(w, now_us);
	while (t == NULL && wheel_next_due(w) <= now_us);
	return t;
}

/* --- edges --------------------------------------------------------------------------------- */

static void an_empty_wheel_is_never_due(void **state)
{
	struct wheel *w = new_wheel(12345, 3);

	assert_true(wheel_next_due(w) == WHEEL_NEVER);
	assert_null(wheel_next(w, 1ULL << 50));
	assert_true(wheel_next_due(w) == WHEEL_NEVER);
	free(w);
}

static void a_timer_fires_at_its_tick_and_not_before(void **state)
{
	struct wheel *w = new_wheel(0, 10);
	struct timer t = {0};

	wheel_arm(w, &t, 1025);
	assert_true(timer_is_armed(&t));
	assert_null(wheel_next(w, 1025));
	assert_null(wheel_next(w, 2047));
	assert_ptr_equal(wheel_next(w, 2048), &t);
	assert_false(timer_is_armed(&t));
	assert_null(wheel_next(w, 1 << 20));
	free(w);
}

static void a_due_time_on_the_tick_is_not_rounded_up(void **state)
{
	struct wheel *w = new_wheel(0, 10);
	struct timer t = {0};

	wheel_arm(w, &t, 2048);
	assert_null(wheel_next(w, 2047));
	assert_ptr_equal(wheel_next(w, 2048), &t);
	free(w);
}

static void a_due_time_in_the_past_fires_at_once(void **state)
{
	struct wheel *w = new_wheel(1 << 20, 6);
	struct timer t = {0};

	wheel_arm(w, &t, 17);
	assert_in_range(wheel_next_due(w), 0, 1 << 20);
	assert_ptr_equal(wheel_next(w, 1 << 20), &t);
	assert_true(wheel_next_due(w) == WHEEL_NEVER);
	free(w);
}

static void a_timer_armed_for_ever_never_fires(void **state)
{
	struct wheel *w = new_wheel(99, 6);
	struct timer t = {0};

	wheel_arm(w, &t, WHEEL_NEVER);
	assert_true(wheel_next_due(w) > UINT64_MAX / 2);
	assert_null(wheel_next(w, UINT64_MAX - 1));
	assert_true(wheel_next_due(w) == WHEEL_NEVER);
	wheel_cancel(w, &t);
	assert_int_equal(w->armed, 0);
	free(w);
}

static void cancelling_what_is_not_armed_does_nothing(void **state)
{
	struct wheel *w = new_wheel(0, 0);
	struct timer t = {0};

	wheel_cancel(w, &t);
	wheel_arm(w, &t, 5);
	wheel_cancel(w, &t);
	wheel_cancel(w, &t);
	assert_int_equal(w->armed, 0);
	assert_true(wheel_next_due(w) == WHEEL_NEVER);
	free(w);
}

static void one_that_is_due_can_be_cancelled_by_one_that_fired_before_it(void **state)
{
	struct wheel *w = new_wheel(0, 0);
	struct timer t[3] = {0};

	for (unsigned i = 0; i < 3; i++)
		wheel_arm(w, &t[i], 10 + i);
	assert_ptr_equal(wheel_next(w, 100), &t[0]);
	wheel_cancel(w, &t[2]);
	assert_ptr_equal(wheel_next(w, 100), &t[1]);
	assert_null(wheel_next(w, 100));
	free(w);
}

static void re_arming_in_the_past_while_firing_starves_nobody(void **state)
{
	struct wheel *w = new_wheel(0, 0);
	struct timer again = {0}, other = {0};

	wheel_arm(w, &again, 10);
	wheel_arm(w, &other, 20);
	assert_ptr_equal(wheel_next(w, 100), &again);
	wheel_arm(w, &again, 0);
	assert_ptr_equal(wheel_next(w, 100), &other);
	assert_ptr_equal(wheel_next(w, 100), &again);
	assert_null(wheel_next(w, 100));
	free(w);
}

static void timers_on_both_sides_of_a_turn_of_every_level_fire_in_order(void **state)
{
	for (unsigned bits = WHEEL_SLOT_BITS; bits < 60; bits += WHEEL_SLOT_BITS) {
		const uint64_t edge = 1ULL << bits;
		struct wheel *w = new_wheel(edge - 2, 0);
		struct timer t[4] = {0};

		for (unsigned i = 0; i < 4; i++)
			wheel_arm(w, &t[i], edge - 1 + i);
		for (unsigned i = 0; i < 4; i++) {
			assert_null(wheel_next(w, edge - 2 + i));
			assert_ptr_equal(wheel_next(w, edge - 1 + i), &t[i]);
		}
		free(w);
	}
}

static void a_jump_over_years_does_not_walk_the_ticks_between(void **state)
{
	const uint64_t century_us = 100ULL * 365 * 86400 * 1000000;
	struct wheel *w = new_wheel(0, 0);
	struct timer t = {0};
	uint64_t now_us = 0;
	clock_t begin = clock();

	for (unsigned i = 0; i < 1000; i++) {
		wheel_arm(w, &t, now_us + century_us);
		now_us += century_us;
		assert_null(wheel_next(w, now_us - 1));
		assert_ptr_equal(wheel_next(w, now_us), &t);
	}
	assert_true(clock() - begin < 2 * CLOCKS_PER_SEC);
	free(w);
}

/* --- the walk beside the reference ----------------------------------------------------------- */

struct walk {
	struct wheel *w;
	uint64_t now_us;
	struct timer timers[TIMERS];
	uint64_t due_us[TIMERS]; /* the reference: WHEEL_NEVER when not armed */
	uint64_t fired, far, rearmed_firing;
};

static uint64_t random_due(struct walk *walk)
{
	switch (random_below(8)) {
	case 0: /* past or present */
		return walk->now_us - random_below(walk->now_us < 5000 ? walk->now_us + 1 : 5000);
	case 1: /* beyond 2^32 ticks */
		walk->far++;
		return walk->now_us + (1ULL << (32 + walk->w->tick_shift)) + random_magnitude(50);
	default:
		return walk->now_us + random_magnitude(34);
	}
}

static void walk_arm(struct walk *walk, size_t i)
{
	walk->due_us[i] = random_due(walk);
	wheel_arm(walk->w, &walk->timers[i], walk->due_us[i]);
}

static void walk_cancel(struct walk *walk, size_t i)
{
	walk->due_us[i] = WHEEL_NEVER;
	wheel_cancel(walk->w, &walk->timers[i]);
}

static uint64_t earliest(const struct walk *walk)
{
	uint64_t us = WHEEL_NEVER;

	for (size_t i = 0; i < TIMERS; i++)
		if (walk->due_us[i] < us)
			us = walk->due_us[i];
	return us;
}

/* Never late; early by less than the width of a slot that could hold the earliest timer. */
static void check_next_due(const struct walk *walk)
{
	uint64_t next_us = wheel_next_due(walk->w);
	uint64_t earliest_us = earliest(walk), due_us, ahead_us, width_us;

	if (earliest_us == WHEEL_NEVER) {
		assert_true(next_us == WHEEL_NEVER);
		return;
	}
	due_us = round_up(earliest_us, walk->w->tick_shift);
	assert_true(next_us <= due_us || next_us <= walk->now_us);
	if (due_us <= walk->now_us)
		return;
	assert_true(next_us > walk->now_us);
	/* A slot's width is one digit less than the ticks between now and due differ in. */
	ahead_us = (due_us ^ (walk->w->now_tick << walk->w->tick_shift)) >> walk->w->tick_shift;
	for (width_us = 1ULL << walk->w->tick_shift; ahead_us >= WHEEL_SLOTS;
	     ahead_us >>= WHEEL_SLOT_BITS)
		width_us <<= WHEEL_SLOT_BITS;
	assert_true(due_us - next_us < width_us);
}

/* Fires what is due, while it arms and cancels others and the one that fired. */
static void walk_fire(struct walk *walk)
{
	const uint32_t shift = walk->w->tick_shift;
	const uint64_t before_us = walk->w->now_tick << shift;
	uint64_t last_us = 0;
	unsigned changes = 20;
	struct timer *t;

	while ((t = next_due(walk->w, walk->now_us)) != NULL) {
		size_t i = (size_t)(t - walk->timers);
		uint64_t due_us = round_up(walk->due_us[i], shift);

		assert_in_range(i, 0, TIMERS - 1);
		assert_false(timer_is_armed(t));
		assert_true(due_us <= walk->now_us);
		if (changes == 20) /* untouched since the turn began: in the order of ticks */
			assert_true(due_us >= last_us || due_us <= before_us);
		last_us = due_us;
		walk->due_us[i] = WHEEL_NEVER;
		walk->fired++;
		if (changes > 0 && random_below(3) == 0) {
			changes--;
			walk->rearmed_firing++;
			walk_arm(walk, i);
			walk_cancel(walk, random_below(TIMERS));
			walk_arm(walk, random_below(TIMERS));
		}
	}
	for (size_t i = 0; i < TIMERS; i++) {
		assert_int_equal(timer_is_armed(&walk->timers[i]), walk->due_us[i] != WHEEL_NEVER);
		assert_true(round_up(walk->due_us[i], shift) > walk->now_us);
	}
}

static void walk_time(struct walk *walk)
{
	uint64_t next_us = wheel_next_due(walk->w);

	switch (random_below(16)) {
	case 0: /* as a simulator does */
		if (next_us != WHEEL_NEVER && next_us > walk->now_us)
			walk->now_us = next_us;
		break;
	case 1:
		walk->now_us += random_magnitude(45);
		break;
	default:
		walk->now_us += random_magnitude(22);
		break;
	}
}

static void walk_step(struct walk *walk)
{
	size_t i = random_below(TIMERS);

	switch (random_below(8)) {
	case 0:
		walk_cancel(walk, i);
		break;
	case 1:
	case 2:
		walk_time(walk);
		walk_fire(walk);
		break;
	default:
		walk_arm(walk, i);
		break;
	}
	check_next_due(walk);
}

static uint64_t armed_in_reference(const struct walk *walk)
{
	uint64_t n = 0;

	for (size_t i = 0; i < TIMERS; i++)
		n += walk->due_us[i] != WHEEL_NEVER;
	return n;
}

static void the_wheel_does_what_a_list_of_all_timers_would(void **state)
{
	static const uint32_t shifts[] = {0, 6, 10};

	for (size_t s = 0; s < sizeof(shifts) / sizeof(shifts[0]); s++) {
		struct walk walk = {.now_us = random_magnitude(50)};

		walk.w = new_wheel(walk.now_us, shifts[s]);
		for (size_t i = 0; i < TIMERS; i++)
			walk.due_us[i] = WHEEL_NEVER;
		for (size_t step = 0; step < STEPS / 3; step++) {
			walk_step(&walk);
			assert_int_equal(walk.w->armed, armed_in_reference(&walk));
		}
		assert_true(walk.fired > 1000 && walk.far > 1000 && walk.rearmed_firing > 100);
		free(walk.w);
	}
}

static void jumping_by_next_due_finds_every_timer_at_its_tick(void **state)
{
	const uint32_t shift = 6;
	struct walk walk = {.now_us = random_magnitude(40)};
	uint64_t jumps = 0;

	walk.w = new_wheel(walk.now_us, shift);
	for (size_t i = 0; i < TIMERS; i++)
		walk_arm(&walk, i);
	while (walk.w->armed != 0) {
		uint64_t next_us = wheel_next_due(walk.w);
		struct timer *t;

		if (next_us > walk.now_us)
			walk.now_us = next_us;
		while ((t = next_due(walk.w, walk.now_us)) != NULL) {
			uint64_t due_us = round_up(walk.due_us[t - walk.timers], shift);

			assert_true(due_us <= walk.now_us && (due_us == walk.now_us || jumps == 0));
		}
		jumps++;
	}
	assert_true(jumps <= TIMERS * WHEEL_LEVELS);
	free(walk.w);
}

/* --- many at once ------------------------------------------------------------------------------
 */

enum { CROWD = 20000, CROWD_SLOTS = 2, FIRED_A_TURN = 32 };

struct crowd {
	struct wheel *w;
	struct timer timers[CROWD];
	uint64_t now_us, last_us;
	uint64_t cut_short; /* turns that left some unsorted */
};

static uint64_t list_len(const struct timer *t)
{
	uint64_t n = 0;

	for (; t != NULL; t = t->next)
		n++;
	return n;
}

/* How many have yet to come to the lowest level. */
static uint64_t unsorted(const struct wheel *w)
{
	uint64_t n = w->armed - list_len(w->fired);

	for (unsigned i = 0; i < WHEEL_SLOTS; i++)
		n -= list_len(w->slots[0][i]);
	return n;
}

/* Fires some of what is due: at or after its tick, and never before one of an earlier tick. */
static void crowd_fire(struct crowd *c)
{
	uint64_t before = unsorted(c->w);
	struct timer *t;

	for (unsigned n = 0; n < FIRED_A_TURN && (t = wheel_next(c->w, c->now_us)); n++) {
		uint64_t due_us = round_up(t->due_us, c->w->tick_shift);

		assert_in_range(due_us, c->last_us, c->now_us);
		c->last_us = due_us;
	}
	assert_true(unsorted(c->w) + WHEEL_SORTED_MAX + FIRED_A_TURN >= before);
	c->cut_short += c->w->opened != NULL;
}

static void many_that_are_due_together_are_sorted_a_part_a_turn(void **state)
{
	struct crowd *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->w = new_wheel(0, 8);
	for (unsigned i = 0; i < CROWD; i++)
		wheel_arm(c->w, &c->timers[i],
			  1 + random_below(CROWD_SLOTS << (8 + WHEEL_SLOT_BITS)));
	while (c->w->armed > 0) {
		if (wheel_next_due(c->w) > c->now_us)
			c->now_us = wheel_next_due(c->w);
		c->now_us += random_below(200);
		crowd_fire(c);
		/* Whatever happens to others meanwhile, the unsorted among them. */
		wheel_cancel(c->w, &c->timers[random_below(CROWD)]);
		if (random_below(4) == 0)
			wheel_arm(c->w, &c->timers[random_below(CROWD)],
				  c->now_us + 1 + random_magnitude(18));
	}
	assert_true(c->cut_short >= CROWD / CROWD_SLOTS / WHEEL_SORTED_MAX);
	free(c->w);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_wheel_is_never_due),
		cmocka_unit_test(a_timer_fires_at_its_tick_and_not_before),
		cmocka_unit_test(a_due_time_on_the_tick_is_not_rounded_up),
		cmocka_unit_test(a_due_time_in_the_past_fires_at_once),
		cmocka_unit_test(a_timer_armed_for_ever_never_fires),
		cmocka_unit_test(cancelling_what_is_not_armed_does_nothing),
		cmocka_unit_test(one_that_is_due_can_be_cancelled_by_one_that_fired_before_it),
		cmocka_unit_test(re_arming_in_the_past_while_firing_starves_nobody),
		cmocka_unit_test(timers_on_both_sides_of_a_turn_of_every_level_fire_in_order),
		cmocka_unit_test(a_jump_over_years_does_not_walk_the_ticks_between),
		cmocka_unit_test(the_wheel_does_what_a_list_of_all_timers_would),
		cmocka_unit_test(jumping_by_next_due_finds_every_timer_at_its_tick),
		cmocka_unit_test(many_that_are_due_together_are_sorted_a_part_a_turn),
	};

	random_state = test_seed((uint64_t)time(NULL));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
