/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the port room's tests share: frames and counters.
 *
 * Thread: the test's. Time: none. Memory: the caller's pools.
 * Rules: none.
 */
#ifndef POSTERN_TESTS_PORT_SUPPORT_H
#define POSTERN_TESTS_PORT_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "common/network.h"
#include "port/port.h"

struct test_frame {
	bool v6;
	uint8_t n_vlans;
	uint16_t payload;	/* octets after the TCP header */
	uint16_t segment;	/* octets a segment of the chain; 0: one segment */
	bool request_checksums; /* ol_flags ask for them, else they are computed */
	uint8_t seed;		/* of the payload */
};

/* A TCP frame in mbufs of pool; NULL without a buffer. */
struct rte_mbuf *test_frame_new(struct rte_mempool *pool, const struct test_frame *frame);

/* Computed apart from the code under test: are the frame's checksums right? */
bool test_checksums_good(const struct rte_mbuf *m, const struct test_frame *frame);

bool test_frames_equal(const struct rte_mbuf *a, const struct rte_mbuf *b);

/* One struct a queue. */
struct test_counters {
	struct postern_counters counters[PORT_QUEUES_MAX];
	struct postern_counters *pointers[PORT_QUEUES_MAX];
};
void test_counters_init(struct test_counters *c);

/* Opens or fails the running test with the port's own sentence. */
struct port *test_port_open(const struct port_config *config, struct test_counters *c);

#endif
