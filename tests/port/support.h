/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the port room's tests share: frames, counters, a network of their own.
 *
 * Thread: the test's. Time: a clock for deadlines. Memory: the caller's pools.
 * Rules: none.
 */
#ifndef POSTERN_TESTS_PORT_SUPPORT_H
#define POSTERN_TESTS_PORT_SUPPORT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "common/eal.h"
#include "port/port.h"

/* Moves the process into a network namespace of its own, which ends with it; ends the process
 * with TEST_SKIPPED where that is not permitted. Before test_eal_start. */
void test_private_network(void);

/* Runs a shell command made of format, quietly; true when it succeeded. */
bool test_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the process as skipped for a reason. */
void test_skip(const char *reason) __attribute__((noreturn));

/* A monotonic clock, for deadlines. */
uint64_t test_now_us(void);

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
