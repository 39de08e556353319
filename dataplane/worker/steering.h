/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose a segment is: what net computes of its flow, and how far an interface that says how it
 * spreads flows over queues is taken at its word.
 *
 * The owner never depends on that word being kept, only on what was said at start, so that every
 * worker computes the same. An interface that has kept it STEERING_PROOF times in a row saves the
 * computing: a segment is its queue's worker's, unless TCP there knows no connection of it; then
 * the owner is computed before anything is opened or refused. One that breaks it once must earn the
 * trust anew.
 *
 * Thread: the owning worker. Time: none. Memory: the worker's.
 * Rules: trust is an interface's and a worker's, and only segments whose owner is computed count
 * for or against it.
 */
#ifndef POSTERN_WORKER_STEERING_H
#define POSTERN_WORKER_STEERING_H

#include "net/net.h"

enum { STEERING_PROOF = 64 };

struct steering {
	uint16_t self;
	uint16_t kept[NET_PORTS_MAX]; /* in a row, up to STEERING_PROOF */
};

/* The owner of a segment that came to our queue; it is us, too, when the segment is on trust. */
uint16_t steering_owner(struct steering *s, const struct net *n, struct net_segment *seg);

/* The owner computed, of a segment that TCP gave back too; it is on trust no longer. */
uint16_t steering_compute(struct steering *s, const struct net *n, struct net_segment *seg);

#endif
