/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How often work is done that may take long, or fail: it gets a tenth of the time at most, and what
 * fails is tried again later and later.
 *
 * Thread: its owner's. Time: given, milliseconds that never go back. Memory: the struct; all zero
 * is due at once.
 */
#ifndef POSTERN_CONTROL_PACE_H
#define POSTERN_CONTROL_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	PACE_REST = 10, /* times as long as the work took */
	PACE_AGAIN_FIRST_MS = 20,
	PACE_AGAIN_LAST_MS = 10000,
};

struct pace {
	uint64_t due_ms;
	uint64_t again_ms; /* after the last failure */
};

static inline bool pace_is_due(const struct pace *p, uint64_t now_ms)
{
	return now_ms >= p->due_ms;
}

static inline void pace_worked(struct pace *p, uint64_t began_ms, uint64_t ended_ms, bool failed)
{
	if (!failed)
		p->again_ms = 0;
	else if (p->again_ms == 0)
		p->again_ms = PACE_AGAIN_FIRST_MS;
	else
		p->again_ms *= 2;
	if (p->again_ms > PACE_AGAIN_LAST_MS)
		p->again_ms = PACE_AGAIN_LAST_MS;
	p->due_ms = ended_ms + p->again_ms + PACE_REST * (ended_ms - began_ms);
}

#endif
