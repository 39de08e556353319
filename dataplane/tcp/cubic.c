/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CUBIC. Thread, Time, Memory, Rules: cubic.h.
 *
 * No product leaves 64 bits: windows are below 2^30 octets, segments below 2^16, and the curve's
 * time is cut to 2^18 ms either way, by when it has passed 2^30 octets with the smallest segments.
 */
#include "tcp/cubic.h"

#include <assert.h>
#include <stdbool.h>

#include "tcp/limits.h"

enum {
	CURVE_MS_MAX = 1 << 18,
	/* W_cubic - W_max = 0.4 * mss * (t_ms / 1000)^3 = mss * t_ms^3 / 2.5e9 */
	CURVE_DIVISOR_1 = 1000,
	CURVE_DIVISOR_2 = 2500000,
};

static_assert(2ull * CURVE_MS_MAX / 5 * CURVE_MS_MAX / 1000 * CURVE_MS_MAX / 1000000 * TCP_MSS_MIN >
		      TCP_WINDOW_MAX,
	      "the curve is cut beyond the largest window");

static uint32_t at_most(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

/* The largest number whose cube is not above n < 2^63, bit by bit: once a loss. */
static uint32_t cube_root(uint64_t n)
{
	uint64_t root = 0;

	for (uint64_t bit = 1 << 20; bit; bit >>= 1) {
		uint64_t next = root | bit;

		if (next * next * next <= n)
			root = next;
	}
	return (uint32_t)root;
}

uint32_t cubic_curve(const struct cubic *k, uint32_t mss, uint64_t t_ms)
{
	bool before = t_ms < k->k_ms;
	uint64_t d = at_most(before ? k->k_ms - t_ms : t_ms - k->k_ms, CURVE_MS_MAX);
	uint64_t octets = d * d * d / CURVE_DIVISOR_1 * mss / CURVE_DIVISOR_2;

	if (before)
		return k->w_max > octets ? k->w_max - (uint32_t)octets : 0;
	return at_most(k->w_max + octets, TCP_WINDOW_MAX);
}

uint32_t cubic_reduced(uint32_t flight)
{
	return (uint32_t)((uint64_t)flight * 7 / 10);
}

void cubic_loss(struct cubic *k, uint32_t cwnd)
{
	/* Fast convergence: others have come, so less than before is ours. */
	k->w_max = cwnd < k->w_max ? (uint32_t)((uint64_t)cwnd * 17 / 20) : cwnd;
	k->prior = cwnd;
	k->epoch_us = 0;
}

void cubic_timeout(struct cubic *k)
{
	k->w_max = 0;
	k->epoch_us = 0;
}

/* 4.2. */
static void begin(struct cubic *k, uint32_t cwnd, uint32_t mss, uint64_t now_us)
{
	if (k->w_max < cwnd)
		k->w_max = cwnd;
	k->k_ms = cube_root((uint64_t)(k->w_max - cwnd) * CURVE_DIVISOR_1 * CURVE_DIVISOR_2 / mss);
	k->w_est = cwnd;
	k->est_acked = 0;
	k->epoch_us = k->seen_us = now_us;
}

/* 4.3, a segment at a time: alpha is 3 * (1 - beta) / (1 + beta) = 9/17 until w_est has come back
 * to where the loss was. */
static void estimate(struct cubic *k, uint32_t cwnd, uint32_t mss, uint32_t acked)
{
	uint64_t needed = k->w_est < k->prior ? (uint64_t)cwnd * 17 / 9 : cwnd;

	k->est_acked += acked;
	if (k->est_acked < needed)
		return;
	k->est_acked -= (uint32_t)needed;
	k->w_est = at_most((uint64_t)k->w_est + mss, TCP_WINDOW_MAX);
}

uint32_t cubic_grow(struct cubic *k, uint32_t cwnd, uint32_t mss, uint32_t acked, uint32_t srtt_us,
		    uint64_t now_us)
{
	uint64_t t_us;
	uint32_t target;

	if (!k->epoch_us)
		begin(k, cwnd, mss, now_us);
	k->seen_us = now_us;
	t_us = now_us - k->epoch_us;
	acked = at_most(acked, cwnd);
	estimate(k, cwnd, mss, acked);
	if (cubic_curve(k, mss, t_us / 1000) < k->w_est)
		return k->w_est > cwnd ? k->w_est : cwnd;
	target = at_most(cubic_curve(k, mss, (t_us + srtt_us) / 1000), cwnd + cwnd / 2);
	if (target <= cwnd)
		return cwnd;
	return cwnd + (uint32_t)((uint64_t)(target - cwnd) * acked / cwnd);
}

void cubic_unused(struct cubic *k, uint64_t now_us)
{
	if (!k->epoch_us)
		return;
	k->epoch_us += now_us - k->seen_us;
	k->seen_us = now_us;
}
