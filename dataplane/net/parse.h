/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of net share: a cursor over one frame, and the findings of each layer.
 *
 * Thread: the owning worker. Time: none. Memory: none.
 * Rules: headers are read through cursor_take() alone, which hands out octets of the frame's
 * first segment and never one beyond it; the rest of a chain is only ever summed.
 */
#ifndef POSTERN_NET_PARSE_H
#define POSTERN_NET_PARSE_H

#include <stddef.h>

#include "net/net.h"

enum {
	ETHERTYPE_IP4 = 0x0800,
	ETHERTYPE_IP6 = 0x86dd,
	ETHERTYPE_VLAN = 0x8100,	 /* 802.1Q customer tag */
	ETHERTYPE_SERVICE_VLAN = 0x88a8, /* 802.1ad service tag */

	PROTOCOL_HOP_BY_HOP = 0,
	PROTOCOL_ICMP4 = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_ROUTING = 43,
	PROTOCOL_FRAGMENT = 44,
	PROTOCOL_ICMP6 = 58,
	PROTOCOL_DESTINATION_OPTIONS = 60,

	ETHERNET_HEADER = 14,
	VLAN_TAG = 4,
	IP4_HEADER = 20, /* without options */
	IP6_HEADER = 40,
	TCP_HEADER = 20, /* without options */
	ICMP_HEADER = 8,

	IP4_MTU_MIN = 68,   /* RFC 791 */
	IP6_MTU_MIN = 1280, /* RFC 8200 5 */
};

/* Where reading has come to. */
struct cursor {
	const uint8_t *at;
	uint32_t left;	/* octets from at to the end of the first segment */
	uint32_t total; /* octets from at to the end of the packet, over all segments; >= left */
};

/* The next n octets, which the cursor passes; NULL when the first segment does not hold them. */
static inline const uint8_t *cursor_take(struct cursor *c, uint32_t n)
{
	const uint8_t *taken = c->at;

	if (c->left < n)
		return NULL;
	c->at += n;
	c->left -= n;
	c->total -= n;
	return taken;
}

/* Ends the packet n octets from here; false: it is shorter than that. */
static inline bool cursor_end(struct cursor *c, uint32_t n)
{
	if (c->total < n)
		return false;
	c->total = n;
	if (c->left > n)
		c->left = n;
	return true;
}

/* What a layer found: to be read on, or the reason why the frame is dropped. */
enum parsed {
	PARSED,
	PARSED_NOT_OURS,
	PARSED_NOT_TCP,
	PARSED_MALFORMED,
	PARSED_FRAGMENT,
	PARSED_BAD_SOURCE,
	PARSED_BAD_CHECKSUM,
};

/* One frame under examination. */
struct packet {
	struct rte_mbuf *m;
	struct cursor c;    /* at the first octet not parsed yet */
	uint16_t ethertype; /* after the VLAN tags */
	uint8_t protocol;   /* what follows the IP header and its extensions */
	uint8_t ecn;
	struct ip_addr to, from;
};

static inline uint32_t packet_offset(const struct packet *p)
{
	return (uint32_t)(p->c.at - rte_pktmbuf_mtod(p->m, const uint8_t *));
}

static inline uint16_t load_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void store_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store_be32(uint8_t *p, uint32_t v)
{
	store_be16(p, (uint16_t)(v >> 16));
	store_be16(p + 2, (uint16_t)v);
}

/* Room for n octets before the frame's data; net_output has made sure of NET_HEADROOM. */
static inline uint8_t *push_header(struct rte_mbuf *m, uint16_t n)
{
	m->data_off -= n;
	m->data_len += n;
	m->pkt_len += n;
	return rte_pktmbuf_mtod(m, uint8_t *);
}

/* eth.c; path comes zeroed. */
enum parsed net_eth_parse(const struct net *n, struct packet *p, struct net_path *path);
void net_eth_write(const struct net *n, struct rte_mbuf *m, const struct net_path *path,
		   uint16_t ethertype);

/* ip4.c, ip6.c: from the IP header to what it carries, addresses and checksum verified. */
enum parsed net_ip4_parse(const struct net *n, struct packet *p);
enum parsed net_ip6_parse(const struct net *n, struct packet *p);
void net_ip4_write(struct rte_mbuf *m, const struct flow *flow, uint8_t ecn, bool checksum);
void net_ip6_write(const struct net *n, struct rte_mbuf *m, const struct flow *flow, uint8_t ecn);

/* The flow an IPv4 or IPv6 header quoted in an ICMP error belongs to, up to the TCP header. */
enum parsed net_ip4_parse_quote(struct cursor *c, struct flow *flow);
enum parsed net_ip6_parse_quote(struct cursor *c, struct flow *flow);

/* icmp.c: the packet carries ICMP of its IP version. */
enum parsed net_icmp_parse(struct packet *p, struct net_segment *seg);

/* address.c */
bool net_is_ours(const struct net *n, const struct ip_addr *a);
/* Whether a packet between these can be one a peer sent to us. */
enum parsed net_check_addresses(const struct net *n, const struct ip_addr *from,
				const struct ip_addr *to);

#endif
