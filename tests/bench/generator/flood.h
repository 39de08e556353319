/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A flood of SYNs from strangers, and the judging of what is answered.
 *
 * Of each n-th answer the handshake is completed, as a true client would: the third ACK, and the
 * greeting must come, to show that what the gateway answers with is good. The stranger resets it
 * then.
 *
 * Thread: one. Time: given. Memory: the struct's own.
 * Rules: at a given rate SYNs are given to the link as the clock says, and what it has no room for
 * is lost, true clients' frames with it, as on a full wire; without a rate no more are made than
 * the link takes. Rates are those of a window that begins a tenth of the time after the flood.
 */
#ifndef POSTERN_TESTS_GENERATOR_FLOOD_H
#define POSTERN_TESTS_GENERATOR_FLOOD_H

#include <stdbool.h>
#include <stdint.h>

#include "forge.h"
#include "host.h"
#include "script.h"
#include "sim/sim_random.h"

enum { FLOOD_SAMPLES = 1024 }; /* handshakes completed and not yet greeted, a power of two */

#define FLOOD_UNLIMITED UINT64_MAX

struct flood_config {
	struct forge_config forge;
	uint64_t rate;		     /* SYNs a second, or FLOOD_UNLIMITED; 0: no flood */
	uint32_t complete_each;	     /* one in so many answers; 0: none */
	const struct step *greeting; /* what a completed one must hear */
	uint64_t begin_us, end_us;
	uint64_t seed;
};

/* A handshake completed, waiting for its greeting. */
struct sample {
	struct stranger who;
	uint32_t isn;	  /* the gateway's */
	uint32_t ts_echo; /* its timestamp */
	uint64_t due_us;  /* when to say it again */
	uint8_t tries;	  /* 0: free */
};

struct flood_counts {
	uint64_t syns;	      /* given to the link */
	uint64_t frames_lost; /* for want of room on it, whosever */
	uint64_t syn_acks;    /* good ones */
	uint64_t wrong;	      /* answers that are not what they must be */
	uint64_t completed;   /* handshakes */
	uint64_t greeted;     /* of them, whole */
	uint64_t ungreeted;   /* of them, given up or refused */
};

struct flood {
	struct flood_config config;
	struct host *host;
	struct forge forge;
	struct sim_random random;
	uint64_t accounted; /* SYNs the clock has asked for: given, or never made */
	uint32_t until_sample;
	uint32_t waiting; /* samples */
	uint32_t look_at; /* the next of them to be looked at */
	struct flood_counts counts, at_window, at_end;
	uint64_t window_us;
	bool in_window, ended;
	struct sample samples[FLOOD_SAMPLES];
};

/* False: no buffer. */
bool flood_init(struct flood *f, const struct flood_config *config, struct host *host);

/* Whether the frame is the flood's business; it is taken over then. */
bool flood_input_take(struct flood *f, struct rte_mbuf *m, uint64_t now_us);

/* Gives what is due to the link; how many frames that were. */
uint32_t flood_turn(struct flood *f, uint64_t now_us);

/* No SYN is made any more; it ends by itself at end_us. */
void flood_stop(struct flood *f, uint64_t now_us);

/* No SYN is made any more, and no completed handshake waits. */
bool flood_over(const struct flood *f);

/* What came and went within the window, and how many seconds that was; 0: it had not begun. */
double flood_window(const struct flood *f, struct flood_counts *counts);

#endif
