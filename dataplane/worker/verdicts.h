/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts on their way: into the kernel's map and to control.
 *
 * Thread: the owning worker. Time: CLOCK_BOOTTIME for the map, read once a verdict.
 * Memory: none beside the struct; what a turn has no system call left for, control does.
 * Rules: the worker that reaches a client's verdict tells the kernel itself, VERDICTS_A_TURN at
 * most in a turn, a microsecond each: a control thread that is busy must not give a guesser its
 * milliseconds. A prefix's goes to control, which knows whom it spares. Of one whom load balancers
 * name the kernel is not told by anybody: it does not see him.
 */
#ifndef POSTERN_WORKER_VERDICTS_H
#define POSTERN_WORKER_VERDICTS_H

#include "postern/counters.h"
#include "postern/settings.h"

enum { VERDICTS_A_TURN = 8 };

struct verdicts {
	const struct mail_shield *shield;
	struct notices *notices;
	struct postern_counters *counters;
	unsigned told; /* the kernel, this turn */
	bool news;     /* for control, this turn */
};

void verdicts_init(struct verdicts *v, const struct mail_shield *shield, struct notices *notices,
		   struct postern_counters *counters);
/* Carries out one. */
void verdicts_take(struct verdicts *v, const struct harvest_verdict *verdict);
/* Wakes control for those of this turn. */
void verdicts_turn(struct verdicts *v);

/* Whether its client is shut out from now on. */
static inline bool verdict_shuts_out(const struct harvest_verdict *verdict)
{
	return verdict->kind == HARVEST_VERDICT_DROP && !verdict->observed;
}

#endif
