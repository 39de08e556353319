/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments of strangers: clients that do not exist, of a network no true client is in.
 *
 * A SYN is a template with three fields changed and its checksum corrected for them (RFC 1624), so
 * that one costs little more than the copying. A stranger's initial number follows from its address
 * and port under a key, so that every answer can be judged without remembering whom it is to.
 *
 * Thread: one. Time: none. Memory: frames are the caller's.
 * Rules: the SYN is what a common client sends: MSS, SACK permitted, timestamps, window scale.
 */
#ifndef POSTERN_TESTS_GENERATOR_FORGE_H
#define POSTERN_TESTS_GENERATOR_FORGE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "net/net.h"
#include "tcp/header.h"

enum {
	FORGE_FRAME_MAX = 14 + 40 + TCP_HEADER_MAX,
	FORGE_HOST_BITS_V4 = 16, /* the rest of an address is the network's */
	FORGE_HOST_BITS_V6 = 64,
};

struct forge_config {
	struct ip_addr network; /* host bits zero */
	struct ip_addr gateway;
	uint16_t port;
	uint8_t mac[6], gateway_mac[6];
	uint64_t key;
};

struct stranger {
	uint64_t host; /* the address's host bits */
	uint16_t port;
};

struct forge {
	struct forge_config config;
	struct net net; /* without offloads: what is made is whole */
	struct net_path path;
	bool v4;
	uint16_t ip_at, tcp_at;
	uint16_t syn_len;
	uint8_t syn[FORGE_FRAME_MAX]; /* of host 0, port 0 and number 0 */
};

/* What came for a stranger. */
struct answer {
	struct stranger to;
	struct tcp_header header;
	const uint8_t *payload;
	uint32_t len;
};

/* m: any mbuf, to make the template in; it stays the caller's. */
void forge_init(struct forge *f, const struct forge_config *config, struct rte_mbuf *m);

/* Of random bits those that a stranger has. */
struct stranger forge_stranger(const struct forge *f, uint64_t random, uint16_t more);
/* The number its SYN carries. */
uint32_t forge_isn(const struct forge *f, const struct stranger *s);

/* Fill an empty mbuf. */
void forge_syn(const struct forge *f, const struct stranger *s, struct rte_mbuf *m);
void forge_segment(const struct forge *f, const struct stranger *s, const struct tcp_header *h,
		   struct rte_mbuf *m);

/* Whether a frame is to a stranger's address. */
bool forge_is_for_stranger(const struct forge *f, const struct rte_mbuf *m);
/* Reads one that is. False: it is no whole TCP segment of the gateway's with good checksums. */
bool forge_read(const struct forge *f, const struct rte_mbuf *m, struct answer *a);

#endif
