/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a next hop's server is, and what becomes of that by what is found of it.
 *
 * A finding is a function of the health before it, so that many may report at once: the owner keeps
 * it as one word and swaps it in (pools.c).
 *
 * Thread: any. Time: monotonic microseconds, given, below 2^50; one that goes back counts as no
 * time passed. Memory: none.
 * Rules: postern/pools.h.
 */
#ifndef POSTERN_RELAY_HEALTH_H
#define POSTERN_RELAY_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health_state {
	HEALTH_UNKNOWN, /* nobody was there yet: as good as well, but to be tried */
	HEALTH_WELL,
	HEALTH_DOWN,
	HEALTH_WRONG,
};

struct health {
	/* WELL: when it came back; 0: it always was. Else: from when on it may be tried. */
	uint64_t time_us;
	uint8_t state;
	uint8_t refused; /* recipients in a row; at the maximum while WELL: on probation */
	uint8_t downs;	 /* in a row */
	uint8_t wrongs;	 /* since a recipient was taken */
	bool on_trial;	 /* somebody tries it, and has not said what came of it */
};

uint64_t health_pack(const struct health *h);
struct health health_unpack(uint64_t word);

static inline bool health_is_well(const struct health *h)
{
	return h->state == HEALTH_UNKNOWN || h->state == HEALTH_WELL;
}

/* Whether a trial may begin. */
static inline bool health_is_due(const struct health *h, uint64_t now_us)
{
	return h->state != HEALTH_WELL && h->time_us <= now_us;
}

bool health_is_starting(const struct health *h, uint64_t now_us);
/* How many connections may be open now, of those that may be in all. */
uint32_t health_limit(const struct health *h, uint32_t connections, uint64_t now_us);

/* The trial is the caller's; false: none is due. */
bool health_try(struct health *h, uint64_t now_us);
/* The caller's trial did not begin. */
bool health_untried(struct health *h, uint64_t now_us);

/* Findings. True: what was found is the server's fault. */
bool health_greeted(struct health *h, uint64_t now_us);
bool health_lost(struct health *h, uint64_t now_us);
bool health_wrong(struct health *h, uint64_t now_us);
bool health_taken(struct health *h, uint64_t now_us);
bool health_refused(struct health *h, uint64_t now_us);

#endif
