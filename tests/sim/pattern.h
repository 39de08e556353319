/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A service for tests: each end of a connection sends a stream of bytes that depend on their
 * position, and verifies the other's. How much each sends, who closes how, where a reader or a
 * writer pauses: all follows from a seed and the opener's port, which both ends know.
 *
 * Thread: the wire's; the workers of one host share their struct pattern. Time: the worker's.
 * Memory: a record a connection, on the heap.
 */
#ifndef POSTERN_SIM_PATTERN_H
#define POSTERN_SIM_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/address.h"
#include "worker/worker.h"

/* One host's side; the service_config of its workers. */
struct pattern {
	uint64_t seed;	     /* the same on both sides */
	uint32_t octets_max; /* a stream; 1.. */
	/* Both not 0: the opener's streams and the answerer's have just so many. */
	uint32_t octets_up, octets_down;
	/* Another bound for the conversations with this host; its own octets_max is the same. */
	struct ip_addr brief_remote;
	uint32_t brief_octets_max; /* 0: there is no such host */
	/* How long a reader or writer pauses at most, and how often before a step. */
	uint64_t pause_max_us;
	uint32_t pause_ppm;
	/* Connections to open, by worker `opener`, or by every worker: -1. 0: it only answers. */
	uint32_t opens;
	int opener;
	struct ip_addr remote;
	uint16_t port;

	/* What became of them. */
	uint32_t opened, finished, failed;
	uint32_t reset_at_last; /* of those finished: by a reset after all had come and gone */
	uint64_t octets_sent, octets_received;
	char failure[200]; /* the first one, in words */
};

extern const struct worker_service pattern_service;

#endif
