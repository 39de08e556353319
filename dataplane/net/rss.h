/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Receive side scaling: the queue at which a card that hashes by Toeplitz delivers a flow, computed
 * as the card does.
 *
 * Thread: any, once it is filled in. Time: none. Memory: the caller's, some 7 KiB an interface.
 * Rules: Microsoft, "RSS hashing types" (NDIS), TCP over IPv4 and IPv6: source and destination
 * address, source and destination port, in this order and in network order, as the frame has them.
 * The hash is linear: what each four bits of it add is looked up.
 */
#ifndef POSTERN_NET_RSS_H
#define POSTERN_NET_RSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/net.h"

enum {
	NET_RSS_TABLE_MAX = 2048, /* entries of the indirection table */
	NET_RSS_INPUT4 = 12,	  /* octets hashed */
	NET_RSS_INPUT6 = 36,
	NET_RSS_WINDOW = 4, /* octets of the key that each bit of the input is weighed by */
	NET_RSS_KEY4 = NET_RSS_INPUT4 + NET_RSS_WINDOW, /* octets of the key that take part */
	NET_RSS_KEY6 = NET_RSS_INPUT6 + NET_RSS_WINDOW,
};

struct net_rss {
	bool tcp4, tcp6; /* the card hashes TCP over these; it does nothing we know with others */
	uint32_t table_mask;
	uint32_t adds[2 * NET_RSS_INPUT6][16]; /* to the hash; by place and value of four bits */
	uint8_t queue[NET_RSS_TABLE_MAX];
};

/* From a card's key and indirection table. tcp4, tcp6: what it hashes by addresses and ports. False
 * when nothing is known by that: the key is too short for either, or the table's length no power of
 * two up to NET_RSS_TABLE_MAX. */
bool net_rss_init(struct net_rss *r, const uint8_t *key, size_t key_len, const uint8_t *queues,
		  size_t n_queues, bool tcp4, bool tcp6);

/* Whether the card spreads this version's TCP as we know. */
static inline bool net_rss_knows(const struct net_rss *r, const struct ip_addr *a)
{
	return ip_addr_is_v4(a) ? r->tcp4 : r->tcp6;
}

/* The card's hash of what arrives of a flow. */
uint32_t net_rss_hash(const struct net_rss *r, const struct flow *flow);

static inline uint16_t net_rss_queue(const struct net_rss *r, uint32_t hash)
{
	return r->queue[hash & r->table_mask];
}

/* A flow of which only our port is still open, to be chosen by the queue its answers come to. */
struct net_rss_choice {
	const struct net_rss *rss;
	uint32_t hash;	 /* of all but the port */
	uint8_t port_at; /* its place in adds */
};

void net_rss_choice_init(struct net_rss_choice *choice, const struct net_rss *r,
			 const struct flow *flow);

/* The queue with this port. */
static inline uint16_t net_rss_choice_queue(const struct net_rss_choice *choice, uint16_t port)
{
	const uint32_t(*adds)[16] = &choice->rss->adds[choice->port_at];
	uint32_t hash = choice->hash ^ adds[0][port >> 12] ^ adds[1][port >> 8 & 15] ^
			adds[2][port >> 4 & 15] ^ adds[3][port & 15];

	return net_rss_queue(choice->rss, hash);
}

#endif
