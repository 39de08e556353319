/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Budgets: how much of what any stranger can provoke this worker does in a while.
 *
 * A stranger who could count on a budget could measure with it what somebody else provoked: whether
 * a segment he forged was answered, and so what its numbers were worth (Cao et al., "Off-path TCP
 * exploits", USENIX Security 2016; Man et al., "DNS cache poisoning attack reloaded", CCS 2020). So
 * each period's is drawn anew, between a half and one and a half of its share, from a generator
 * only this worker can know.
 *
 * Thread: the owning worker. Time: of the turn. Memory: none.
 */
#include "tcp/conn.h"

enum { PERIOD_US = 100000 };

static const uint32_t per_second[BUDGETS] = {
	[BUDGET_RESETS] = TCP_RESETS_PER_SECOND,
	[BUDGET_ERRORS] = TCP_ERRORS_PER_SECOND,
};

struct draw_input {
	uint64_t period;
	uint32_t kind, worker;
};

static_assert(sizeof(struct draw_input) == 16, "hashed as octets: no padding");

static uint32_t draw(const struct tcp *t, enum budget_kind kind, uint64_t period)
{
	const struct draw_input in = {period, kind, t->config.worker};
	uint32_t mean = per_second[kind] / (1000000 / PERIOD_US);

	return mean / 2 + (uint32_t)(siphash24(&t->config.isn_key, &in, sizeof(in)) % (mean + 1));
}

bool budget_take(struct tcp *t, enum budget_kind kind)
{
	struct budget *b = &t->budgets[kind];

	if (t->now_us >= b->until_us) {
		uint64_t period = t->now_us / PERIOD_US;

		b->until_us = (period + 1) * PERIOD_US;
		b->left = draw(t, kind, period);
	}
	if (b->left == 0)
		return false;
	b->left--;
	return true;
}
