/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CUBIC's curve and rules by themselves (RFC 9438), against numbers that other programs made of the
 * RFC's formulas. At the bar are whole milliseconds and octets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tcp/cubic.h"
#include "tcp/limits.h"

enum { MSS = 1448, SECOND_US = 1000000 };

static const uint64_t begin_us = 77 * SECOND_US;

/* A stage of congestion avoidance that begins at w_epoch after a loss at w_max. */
static struct cubic stage(uint32_t w_max, uint32_t w_epoch, uint32_t mss)
{
	struct cubic k = {0};

	cubic_loss(&k, w_max);
	assert_int_equal(cubic_grow(&k, w_epoch, mss, 0, 0, begin_us), w_epoch);
	return k;
}

/* --- the curve ------------------------------------------------------------------------------- */

/*
 * Columns m, x, a and t in, the others by bc -l with 30 digits:
 *
 *     define r(x) {
 *         if (x == 0) return (0)
 *         return (e(l(x) / 3))
 *     }
 *     k = r((x - a) / m / 0.4); k * 1000
 *     m * 0.4 * (t - k) ^ 3 + x
 */
static const struct {
	uint32_t mss, w_max, w_epoch, t, k_ms, w;
} points[] = {
	{1448, 724000, 506800, 0, 7211, 506800},
	{1448, 724000, 506800, 1, 7211, 585207},
	{1448, 724000, 506800, 5, 7211, 717737},
	{1448, 724000, 506800, 20, 7211, 1935471},
	{1448, 724000, 506800, 60, 7211, 85926579},
	{1448, 14480, 10136, 0, 1957, 10136},
	{1448, 14480, 10136, 1, 1957, 13971},
	{1448, 14480, 10136, 5, 1957, 30793},
	{1448, 14480, 10136, 20, 1957, 3416395},
	{1448, 14480, 10136, 60, 1957, 113272344},
	{1448, 100000, 100000, 0, 0, 100000},
	{1448, 100000, 100000, 1, 0, 100579},
	{1448, 100000, 100000, 5, 0, 172400},
	{1448, 100000, 100000, 20, 0, 4733600},
	{1448, 100000, 100000, 60, 0, 125207200},
	{8948, 1073741824, 751619276, 0, 44813, 751619276},
	{8948, 1073741824, 751619276, 1, 44813, 772705729},
	{8948, 1073741824, 751619276, 5, 44813, 847857193},
	{8948, 1073741824, 751619276, 20, 44813, 1019057163},
	{216, 1073741824, 751619276, 0, 155060, 751619276},
	{216, 1073741824, 751619276, 1, 155060, 757811349},
	{216, 1073741824, 751619276, 5, 155060, 781786176},
	{216, 1073741824, 751619276, 20, 155060, 860877336},
	{216, 1073741824, 751619276, 60, 155060, 999521936},
};

static void the_curve_is_the_rfcs(void **state)
{
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct cubic k = stage(points[i].w_max, points[i].w_epoch, points[i].mss);
		uint32_t w = cubic_curve(&k, points[i].mss, points[i].t * 1000u);
		/* What the curve rises in the millisecond K may be short of. */
		double off_s = (double)points[i].t - points[i].k_ms / 1e3;
		double error = points[i].mss * 1.2 * off_s * off_s / 1e3 + 10;

		assert_int_equal(k.k_ms, points[i].k_ms);
		assert_true(abs((int)(w - points[i].w)) <= error);
	}
}

static void the_curve_ends_at_the_largest_window_and_at_nothing(void **state)
{
	static const uint64_t times[] = {0, 1, 1000, 1 << 18, 1ull << 32, 1ull << 42};
	static const uint32_t segments[] = {TCP_MSS_MIN, MSS, UINT16_MAX};

	for (size_t s = 0; s < 3; s++) {
		struct cubic low = {.w_max = 100, .k_ms = 1 << 18};
		struct cubic k = stage(TCP_WINDOW_MAX, 2 * segments[s], segments[s]);

		assert_int_equal(cubic_curve(&low, segments[s], 0), 0);
		for (size_t i = 0; i < 6; i++) {
			uint32_t w = cubic_curve(&k, segments[s], times[i]);

			assert_true(w <= TCP_WINDOW_MAX);
			assert_true(i == 0 || w >= cubic_curve(&k, segments[s], times[i - 1]));
		}
		assert_int_equal(cubic_curve(&k, segments[s], times[5]), TCP_WINDOW_MAX);
		/* The longest life at the largest window. */
		assert_int_equal(cubic_grow(&k, TCP_WINDOW_MAX, segments[s], TCP_WINDOW_MAX,
					    60 * SECOND_US, UINT64_MAX / 2),
				 TCP_WINDOW_MAX);
		assert_true(cubic_grow(&k, TCP_WINDOW_MAX / 4 * 3, segments[s], TCP_WINDOW_MAX,
				       60 * SECOND_US, UINT64_MAX / 2) <= TCP_WINDOW_MAX);
	}
}

/* --- growth ---------------------------------------------------------------------------------- */

/*
 * cwnd in hundredths of a segment at each step, an ACK of two segments at a time, by
 *
 *     awk -v wmax=500 -v rtt=0.1 -v until=16.5 -v step=2 '
 *     function cube(x) { return x * x * x }
 *     BEGIN {
 *         cwnd = west = wmax * 0.7; k = ((wmax - cwnd) / 0.4) ^ (1 / 3)
 *         for (t = 0; t < until; t += 2 * rtt / cwnd) {
 *             if (t >= next_s) { printf "%d,\n", cwnd * 100; next_s += step }
 *             west += (west < wmax ? 9 / 17 : 1) * 2 / cwnd
 *             now = 0.4 * cube(t - k) + wmax; target = 0.4 * cube(t + rtt - k) + wmax
 *             if (target < cwnd) target = cwnd
 *             if (target > 1.5 * cwnd) target = 1.5 * cwnd
 *             if (now >= west) cwnd += (target - cwnd) * 2 / cwnd
 *             else if (west > cwnd) cwnd = west
 *         }
 *     }'
 *
 * and with wmax=40 rtt=0.01 until=1.05 step=0.1.
 */
static const uint32_t far[] = {35000, 44334, 48671, 49927, 50020, 50871, 54399, 62523, 77167};
static const uint32_t near[] = {2800, 3332, 3862, 4735, 5736, 6737, 7738, 8738, 9738, 10737, 11737};

/* Grows from a loss at so many segments and compares each step_us; within so many of a segment's
 * hundredths. */
static void follow(const uint32_t *table, size_t n, uint32_t segments, uint32_t rtt_us,
		   uint64_t step_us, uint32_t error)
{
	uint32_t cwnd = segments * 7 / 10 * MSS;
	struct cubic k = {0};
	double at_us = 0;

	cubic_loss(&k, segments * MSS);
	for (size_t i = 0; i < n;) {
		if (at_us >= (double)step_us * (double)i) {
			assert_in_range((uint64_t)cwnd * 100 / MSS, table[i] - error,
					table[i] + error);
			i++;
		}
		cwnd = cubic_grow(&k, cwnd, MSS, 2 * MSS, rtt_us, begin_us + (uint64_t)at_us);
		at_us += 2.0 * MSS * rtt_us / cwnd;
	}
}

static void growth_is_steep_then_flat_then_steep(void **state)
{
	follow(far, sizeof(far) / sizeof(far[0]), 500, 100000, 2 * SECOND_US, 100);
}

/* Up to a segment behind, because it is grown by whole ones. */
static void where_reno_grows_faster_it_grows_as_reno(void **state)
{
	follow(near, sizeof(near) / sizeof(near[0]), 40, 10000, SECOND_US / 10, 110);
}

static void without_a_known_maximum_it_begins_flat(void **state)
{
	uint32_t cwnd = 100 * MSS;
	struct cubic k = {0};

	cubic_grow(&k, cwnd, MSS, MSS, 100000, begin_us);
	assert_int_equal(k.k_ms, 0);
	assert_int_equal(k.w_max, cwnd);
	assert_int_equal(k.w_est, cwnd);
}

/* --- losses ---------------------------------------------------------------------------------- */

static void a_loss_leaves_seven_tenths_of_the_flight(void **state)
{
	assert_int_equal(cubic_reduced(1000000), 700000);
	assert_int_equal(cubic_reduced(TCP_WINDOW_MAX), 751619276);
}

static void a_loss_below_the_last_maximum_lowers_it_further(void **state)
{
	struct cubic k = {0};

	cubic_loss(&k, 100 * MSS);
	assert_int_equal(k.w_max, 100 * MSS);
	cubic_loss(&k, 120 * MSS);
	assert_int_equal(k.w_max, 120 * MSS);
	cubic_loss(&k, 80 * MSS);
	assert_int_equal(k.w_max, 68 * MSS);
	assert_int_equal(k.prior, 80 * MSS);
	cubic_loss(&k, 68 * MSS);
	assert_int_equal(k.w_max, 68 * MSS);
}

static void a_timeout_forgets_the_maximum(void **state)
{
	struct cubic k = stage(100 * MSS, 70 * MSS, MSS);

	cubic_timeout(&k);
	assert_int_equal(cubic_grow(&k, 35 * MSS, MSS, MSS, 100000, begin_us + SECOND_US),
			 35 * MSS);
	assert_int_equal(k.w_max, 35 * MSS);
	assert_int_equal(k.k_ms, 0);
	/* But not that Reno's growth is slowed until it is back there. */
	assert_int_equal(k.prior, 100 * MSS);
}

static void what_was_not_used_is_no_time(void **state)
{
	struct cubic k = stage(500 * MSS, 350 * MSS, MSS), rested = k;
	uint64_t now_us = begin_us, later_us = begin_us;
	uint32_t cwnd[2] = {350 * MSS, 350 * MSS};

	for (unsigned i = 0; i < 2000; i++) {
		now_us += 2000;
		later_us += 2000;
		cwnd[0] = cubic_grow(&k, cwnd[0], MSS, 5 * MSS, 100000, now_us);
		cwnd[1] = cubic_grow(&rested, cwnd[1], MSS, 5 * MSS, 100000, later_us);
		if (i % 100 == 0) {
			later_us += 7 * SECOND_US;
			cubic_unused(&rested, later_us);
		}
	}
	assert_true(cwnd[0] > 450 * MSS);
	assert_int_equal(cwnd[0], cwnd[1]);
	/* Before a stage has begun there is nothing to put off. */
	cubic_loss(&k, cwnd[0]);
	cubic_unused(&k, later_us);
	assert_int_equal(k.epoch_us, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_curve_is_the_rfcs),
		cmocka_unit_test(the_curve_ends_at_the_largest_window_and_at_nothing),
		cmocka_unit_test(growth_is_steep_then_flat_then_steep),
		cmocka_unit_test(where_reno_grows_faster_it_grows_as_reno),
		cmocka_unit_test(without_a_known_maximum_it_begins_flat),
		cmocka_unit_test(a_loss_leaves_seven_tenths_of_the_flight),
		cmocka_unit_test(a_loss_below_the_last_maximum_lowers_it_further),
		cmocka_unit_test(a_timeout_forgets_the_maximum),
		cmocka_unit_test(what_was_not_used_is_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
