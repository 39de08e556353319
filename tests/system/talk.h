/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One conversation as a client holds it that keeps to the rules, if not to its neighbours' manners:
 * it sends ahead of gaps and again what was taken, shuts its window, falls silent and comes back.
 *
 * Thread: one. Time: none; what it does next is a matter of chance. Memory: the struct, and octets
 * of its own to send.
 * Rules: RFC 9293; what went as it was meant is told by talk_sent, so that what was spoilt on the
 * way does not disturb it.
 */
#ifndef POSTERN_TESTS_TALK_H
#define POSTERN_TESTS_TALK_H

#include "segment.h"
#include "sim/sim_random.h"

enum talk_state {
	TALK_OVER,
	TALK_SYN_SENT,
	TALK_OPEN,
	TALK_LEAVING, /* has sent FIN */
};

struct talk {
	struct segment_ends ends;
	enum talk_state state;
	uint32_t seq, ack; /* the next number to send, the next expected */
	uint32_t steps;	   /* since it began */
	bool has_ts, has_scale, has_sack;
	uint32_t ts, ts_echo;
};

/* Begins anew, ends being those of a conversation that never was. */
void talk_begin(struct talk *t, const struct segment_ends *ends, struct sim_random *random);
/* What it says next. The payload stays the talk's. */
void talk_step(struct talk *t, struct sim_random *random, struct segment *s);
/* It was sent as it was meant. */
void talk_sent(struct talk *t, const struct segment *s);
void talk_hear(struct talk *t, const struct segment *s);
/* The RST that ends it, as far as it knows. */
void talk_end(struct talk *t, struct segment *s);

#endif
