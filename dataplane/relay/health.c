/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The transitions of a server's health.
 *
 * Of a server that is DOWN or WRONG only the one on trial has news, for what others lose or are
 * refused then began before: a hundred connections that break at once are one failure, not a
 * hundred. A greeting is news of a DOWN one whoever hears it; of a WRONG one it says nothing unless
 * its time has come.
 *
 * Thread: any. Time: given. Memory: none.
 */
#include "relay/health.h"

#include <assert.h>

#include "postern/pools.h"

enum {
	TIME_BITS = 50,
	STATE_SHIFT = TIME_BITS,
	REFUSED_SHIFT = STATE_SHIFT + 2,
	DOWNS_SHIFT = REFUSED_SHIFT + 5,
	WRONGS_SHIFT = DOWNS_SHIFT + 3,
	TRIAL_SHIFT = WRONGS_SHIFT + 3,
	STATE_MASK = 3,
	REFUSED_MASK = 31,
	TIMES_MAX = 7, /* that downs and wrongs count */

	DOWN_FIRST_US = 1000 * 1000,
	DOWN_MOST_US = 30 * 1000 * 1000,
	WRONG_FIRST_US = 5 * 1000 * 1000,
	WRONG_MOST_US = 60 * 1000 * 1000,
	TRIAL_US = 15 * 1000 * 1000, /* a trial without news; then it is another's turn */
	START_US = 10 * 1000 * 1000,
};

static const uint64_t time_mask = ((uint64_t)1 << TIME_BITS) - 1;

static_assert(TRIAL_SHIFT < 64, "a health is one word");
static_assert((int)POOL_REFUSED_MAX <= (int)REFUSED_MASK, "and its refusals have room in it");

uint64_t health_pack(const struct health *h)
{
	return (h->time_us & time_mask) | (uint64_t)h->state << STATE_SHIFT |
	       (uint64_t)h->refused << REFUSED_SHIFT | (uint64_t)h->downs << DOWNS_SHIFT |
	       (uint64_t)h->wrongs << WRONGS_SHIFT | (uint64_t)h->on_trial << TRIAL_SHIFT;
}

struct health health_unpack(uint64_t word)
{
	return (struct health){
		.time_us = word & time_mask,
		.state = word >> STATE_SHIFT & STATE_MASK,
		.refused = word >> REFUSED_SHIFT & REFUSED_MASK,
		.downs = word >> DOWNS_SHIFT & TIMES_MAX,
		.wrongs = word >> WRONGS_SHIFT & TIMES_MAX,
		.on_trial = word >> TRIAL_SHIFT & 1,
	};
}

/* Of its slow start; START_US: it is over. */
static uint64_t started_us(const struct health *h, uint64_t now_us)
{
	if (h->state != HEALTH_WELL || h->time_us == 0)
		return START_US;
	if (now_us <= h->time_us)
		return 0;
	return now_us - h->time_us < START_US ? now_us - h->time_us : START_US;
}

bool health_is_starting(const struct health *h, uint64_t now_us)
{
	return started_us(h, now_us) < START_US;
}

uint32_t health_limit(const struct health *h, uint32_t connections, uint64_t now_us)
{
	return 1 + (uint32_t)((connections - 1) * started_us(h, now_us) / START_US);
}

bool health_try(struct health *h, uint64_t now_us)
{
	if (!health_is_due(h, now_us))
		return false;
	h->time_us = now_us + TRIAL_US;
	h->on_trial = true;
	return true;
}

bool health_untried(struct health *h, uint64_t now_us)
{
	if (h->on_trial) {
		h->time_us = now_us;
		h->on_trial = false;
	}
	return false;
}

/* Whether what is found now is old news. */
static bool is_known(const struct health *h)
{
	return !health_is_well(h) && !h->on_trial;
}

static uint64_t pause_us(uint64_t first_us, uint64_t most_us, uint8_t times)
{
	return first_us << times < most_us ? first_us << times : most_us;
}

static uint8_t once_more(uint8_t times)
{
	return times < TIMES_MAX ? times + 1 : times;
}

static void come_back(struct health *h, uint64_t now_us)
{
	h->state = HEALTH_WELL;
	h->time_us = now_us ? now_us : 1;
	h->downs = 0;
	h->on_trial = false;
}

bool health_greeted(struct health *h, uint64_t now_us)
{
	bool is_new = h->state == HEALTH_UNKNOWN;

	if (h->state == HEALTH_WELL || (h->state == HEALTH_WRONG && !h->on_trial))
		return false;
	come_back(h, now_us);
	if (is_new)
		h->time_us = 0;
	return false;
}

bool health_lost(struct health *h, uint64_t now_us)
{
	if (is_known(h))
		return true;
	h->state = HEALTH_DOWN;
	h->time_us = now_us + pause_us(DOWN_FIRST_US, DOWN_MOST_US, h->downs);
	h->downs = once_more(h->downs);
	h->on_trial = false;
	return true;
}

bool health_wrong(struct health *h, uint64_t now_us)
{
	uint64_t due_us = now_us + pause_us(WRONG_FIRST_US, WRONG_MOST_US, h->wrongs);

	if (h->state == HEALTH_WRONG && !h->on_trial)
		return true;
	if (is_known(h) && due_us < h->time_us)
		due_us = h->time_us;
	h->state = HEALTH_WRONG;
	h->time_us = due_us;
	h->refused = POOL_REFUSED_MAX;
	h->wrongs = once_more(h->wrongs);
	h->on_trial = false;
	return true;
}

bool health_taken(struct health *h, uint64_t now_us)
{
	if (!health_is_well(h) && h->on_trial)
		come_back(h, now_us);
	if (h->state != HEALTH_WRONG)
		h->refused = h->wrongs = 0;
	return false;
}

bool health_refused(struct health *h, uint64_t now_us)
{
	if (h->state == HEALTH_WRONG && !h->on_trial)
		return true;
	if (h->state == HEALTH_DOWN && h->on_trial)
		come_back(h, now_us);
	if (h->refused < POOL_REFUSED_MAX)
		h->refused++;
	return h->refused == POOL_REFUSED_MAX && health_wrong(h, now_us);
}
