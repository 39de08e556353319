/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames for tests of net: described in a table row, built octet by octet, put into mbufs.
 * Nothing here shares code with what is tested; the checksum is the plainest there is.
 */
#ifndef POSTERN_TESTS_NET_FRAMES_H
#define POSTERN_TESTS_NET_FRAMES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/net.h"

enum {
	FRAME_MAX = 4096,
	PATCHES_MAX = 4,
};

/* The world of these tests: two interfaces, each with an address of both versions. */
#define OUR4	   "192.0.2.25"
#define OUR6	   "2001:db8::25"
#define OTHER_OUR4 "198.51.100.25"
#define OTHER_OUR6 "2001:db8:1::25"
#define PEER4	   "203.0.113.7"
#define PEER6	   "2001:db8:99::7"
enum { OUR_PORT = 25, PEER_PORT = 40000 };

extern const uint8_t our_mac[6], other_mac[6], peer_mac[6];

/* Where a patch counts from. */
enum layer {
	LAYER_ETH,
	LAYER_IP,
	LAYER_L4,
};

/* Overwrites some octets (big endian). */
struct patch {
	enum layer layer;
	uint16_t at;
	uint8_t octets; /* 0: no patch */
	uint32_t value;
	bool after; /* the checksums were made; else before */
};

struct bytes {
	uint16_t len;
	uint8_t octets[128];
};

/* A frame from the peer to us; all zero: a plain IPv4 segment with an ACK and no payload. */
struct frame_spec {
	bool v6;
	const char *from, *to; /* NULL: the peer's and our address */
	uint8_t n_tags;
	uint16_t tag_kinds[3], tags[3];
	struct bytes between; /* IPv4 options or IPv6 extension headers */
	uint8_t first_header; /* IPv6: kind of the first extension header */
	uint8_t protocol;     /* 0: TCP */
	struct bytes l4;      /* len 0: a TCP header of 20 octets */
	uint16_t payload;     /* octets behind it */
	uint16_t padding;     /* octets behind the IP packet */
	uint16_t cut;	      /* octets missing at the frame's end */
	struct patch patches[PATCHES_MAX];
};

struct frame {
	uint32_t len, ip_at, l4_at, l4_len;
	uint8_t octets[FRAME_MAX];
};

void frame_build(struct frame *f, const struct frame_spec *spec);

/* Big-endian words summed with end-around carry, complemented (RFC 1071 1). */
uint16_t plain_checksum(const uint8_t *octets, size_t len, uint32_t initial);
uint32_t plain_pseudo_sum(bool v6, const uint8_t *from, const uint8_t *to, uint8_t kind,
			  uint32_t len);

struct ip_addr address(const char *text);

/* cmocka group fixtures: the EAL and a pool, *state. */
int frames_setup(void **state);
int frames_teardown(void **state);
extern struct rte_mempool *frames_pool;

/* The frame in a chain: segments of the given lengths, the last takes the rest. */
struct rte_mbuf *frame_mbuf(const struct frame *f, const uint16_t *splits, unsigned n_splits);
/* The same, each segment in a heap block of just its size, so that ASan sees a read beyond it. */
struct rte_mbuf *frame_mbuf_exact(const struct frame *f, const uint16_t *splits, unsigned n_splits);
/* The octets of a chain; returns how many. */
uint32_t mbuf_octets(const struct rte_mbuf *m, uint8_t *octets);

/* How much was counted as name. */
#define COUNTER(name) offsetof(struct postern_counters, name)
uint64_t counted(const struct postern_counters *c, size_t counter);
uint64_t counted_in_all(const struct postern_counters *c);

/* The world's view; counters are zeroed. */
void net_of_tests(struct net *n, struct postern_counters *counters);

#endif
