/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * CUBIC: how cwnd grows on connections we open. They carry messages to backends, which may be long
 * and far; what clients opened gets replies, for which Reno's growth is as good.
 *
 * Thread: the owning worker. Time: given. Memory: a struct cubic in the connection's queue.
 * When the queue goes, because nothing is under way, the curve is forgotten: where the last loss
 * was and since when cwnd grows. cwnd and ssthresh stay with the connection. The next bytes then
 * begin a stage of congestion avoidance as RFC 9438 has it where no W_max is known (4.8, 4.10):
 * from cwnd, with K = 0, and not slower than Reno. After a rest of unknown length that is all one
 * may say; a curve kept through it would need the rest taken out of its time (5.8), and a loss of
 * then tells nothing of the path's room now. Rules: RFC 9438 4.1 to 4.8 and 5.8, C = 0.4, beta =
 * 0.7, with fast convergence. Whole numbers: octets where it has segments, milliseconds where it
 * has seconds. Not done: undoing reductions found to be spurious (4.9), which is a MAY.
 */
#ifndef POSTERN_TCP_CUBIC_H
#define POSTERN_TCP_CUBIC_H

#include <stdint.h>

/* All zero: nothing is known. Octets. */
struct cubic {
	uint64_t epoch_us;  /* when this stage began, put off by what was not used; 0: at the next
			       ACK */
	uint64_t seen_us;   /* up to when epoch_us was put off */
	uint32_t k_ms;	    /* from when it began to when the curve is flat */
	uint32_t w_max;	    /* where it is flat; 0: not known */
	uint32_t w_est;	    /* what Reno would have */
	uint32_t est_acked; /* acknowledged since w_est last grew */
	uint32_t prior;	    /* cwnd before the last reduction */
};

/* What is left of so much in flight (4.6). */
uint32_t cubic_reduced(uint32_t flight);
/* A loss was found at this cwnd (4.7). */
void cubic_loss(struct cubic *k, uint32_t cwnd);
/* A timeout (4.8), which may follow a loss already told of. */
void cubic_timeout(struct cubic *k);
/* cwnd after an ACK of so many octets in congestion avoidance (4.2 to 4.5); mss, srtt_us > 0. */
uint32_t cubic_grow(struct cubic *k, uint32_t cwnd, uint32_t mss, uint32_t acked, uint32_t srtt_us,
		    uint64_t now_us);
/* Since the last call, or cubic_grow, cwnd was not in use (5.8). */
void cubic_unused(struct cubic *k, uint64_t now_us);
/* W_cubic so long after the stage began. */
uint32_t cubic_curve(const struct cubic *k, uint32_t mss, uint64_t t_ms);

#endif
