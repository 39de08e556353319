/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts on their way: into the kernel's map, to control, and to the client's other
 * conversations.
 *
 * Thread: the owning worker. Time: seconds since the epoch given.
 * Memory: bounded here: what a turn has no room for goes to control, who tells the kernel.
 * Rules: the worker that reaches a verdict tells the kernel itself, one system call of a
 * microsecond, VERDICTS_A_TURN in a turn at most: a control thread that is busy must not give a
 * guesser its milliseconds. A prefix's goes to control, which knows whom it spares.
 */
#ifndef POSTERN_WORKER_VERDICTS_H
#define POSTERN_WORKER_VERDICTS_H

#include "postern/counters.h"
#include "postern/settings.h"
#include "tcp/tcp.h"

enum {
	VERDICTS_A_TURN = 8,
	VERDICTS_SWEPT = 64,   /* at once; beyond, the conversations meet it when they next speak */
	VERDICTS_LOOKED = 256, /* connections looked at in a turn */
};

/* A client whose conversations are being looked for, up to where the sweep began. */
struct verdicts_sweep {
	struct ip_addr address;
	uint8_t prefix_len;
	uint32_t left; /* connections still to look at */
};

struct verdicts {
	const struct mail_shield *shield;
	struct notices *notices;
	struct postern_counters *counters;
	unsigned told; /* the kernel, this turn */
	uint32_t n_sweeps, cursor;
	struct verdicts_sweep sweeps[VERDICTS_SWEPT];
};

void verdicts_init(struct verdicts *v, const struct mail_shield *shield, struct notices *notices,
		   struct postern_counters *counters);
/* Carries out what was decided just now. */
void verdicts_take(struct verdicts *v, const struct harvest_verdicts *decided, uint32_t now_s);
/* Looks through some connections for those of clients that were shut out; each ends one. True:
 * there is more to look through. Once a turn. */
bool verdicts_turn(struct verdicts *v, struct tcp *t, void (*each)(void *arg, struct tcp_conn *c),
		   void *arg);

#endif
