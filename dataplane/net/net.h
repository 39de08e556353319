/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net: a frame becomes a TCP segment, an ICMP error about one of our flows, or a drop; and a TCP
 * segment becomes a frame.
 *
 * Thread: the owning worker. Time: none. Memory: none of its own; the mbuf stays the caller's.
 * Rules: Ethernet II; 802.1Q and 802.1ad tags, at most two; IPv4 (RFC 791, 1122, 6864), IPv6
 * (RFC 8200, extension headers skipped up to NET_EXTENSIONS_MAX); ICMP errors (RFC 792, 4443)
 * only as far as they quote a TCP flow of ours. Deliberately not done: reassembly of fragments
 * (TCP sends with DF and learns the path's MTU; RFC 1858's attacks end with it), ARP, neighbour
 * discovery and routing, which stay the kernel's.
 */
#ifndef POSTERN_NET_H
#define POSTERN_NET_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/siphash.h"
#include "postern/address.h"
#include "postern/counters.h"
#include "postern/routes.h"

enum {
	NET_PORTS_MAX = 8,	/* interfaces */
	NET_ADDRESSES_MAX = 64, /* our own addresses, over all interfaces */
	NET_WORKERS_MAX = 64,
	NET_INDIRECTION = 128,	/* entries of the steering table */
	NET_EXTENSIONS_MAX = 8, /* IPv6 extension headers skipped */
	NET_OPTIONS_MAX = 16,	/* options, padding included, in one of them */
	NET_VLANS_MAX = 2,
};

/* One direction of a connection, as we see it: local is ours. Ports in host order. */
struct flow {
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
};

/* How to reach the peer: the next hop's link address, the VLAN tags and our interface. A passive
 * connection answers on the path its client's segments come by. */
struct net_path {
	uint8_t mac[6];
	uint8_t port;		      /* index of the interface */
	uint8_t n_vlans : 4;	      /* 0..NET_VLANS_MAX */
	uint8_t service_vlans : 4;    /* bit i: tag i is 802.1ad's (0x88a8), else 802.1Q's */
	uint16_t vlan[NET_VLANS_MAX]; /* TCI, host order, outermost first */
};

struct net_rss;

/* What net must know of one interface. */
struct net_port {
	uint8_t mac[6];
	uint16_t mtu;	       /* of IP, octets */
	bool tx_ipv4_checksum; /* the port can fill them in (mbuf offload flags) */
	bool tx_tcp_checksum;
	/* The queue, and so the worker, at which it says that it delivers a flow (net/rss.h); NULL:
	 * it does not say. */
	const struct net_rss *rss;
};

enum net_finding {
	NET_SEGMENT, /* a TCP segment for one of our addresses, checksums good */
	NET_ERROR,   /* an ICMP error that quotes a TCP segment of ours */
	NET_DROP,    /* nothing for us; counted */
};

enum net_error_kind {
	NET_ERROR_NONE,
	NET_ERROR_UNREACHABLE, /* it may pass: a soft error of RFC 1122 4.2.3.9 */
	NET_ERROR_REFUSED,     /* a hard one: the port, the protocol or an administrator says no */
	NET_ERROR_TOO_BIG,     /* packet too big, or fragmentation needed; mtu says what fits */
};

/* A segment found in a frame. Offsets count from the start of the mbuf's data. */
struct net_segment {
	struct rte_mbuf *m;
	struct flow flow;
	uint64_t hash; /* net_hash of flow */
	/* The worker's: that the flow is ours only the queue says at which this came, so TCP is to
	 * give it back when it knows no connection of it. */
	bool on_trust;
	struct net_path path;
	uint16_t tcp_at;    /* where the TCP header begins; it lies in the first mbuf, whole */
	uint16_t tcp_len;   /* header and payload, octets; link padding is cut off */
	uint8_t header_len; /* TCP header with options, 20..60, checked against tcp_len */
	uint8_t ecn;	    /* the IP header's two bits */
	/* NET_ERROR only: flow is the quoted one, seen from us */
	uint8_t error;	    /* enum net_error_kind */
	uint16_t error_mtu; /* NET_ERROR_TOO_BIG: the IP MTU told; 0: not told */
	uint32_t error_seq; /* sequence number quoted */
};

/* One worker's view of the network. Filled in at start-up, constant afterwards but for routes. */
struct net {
	uint32_t n_ports, n_addresses;
	struct net_port ports[NET_PORTS_MAX];
	struct {
		struct ip_addr ip;
		uint8_t port;
	} addresses[NET_ADDRESSES_MAX];

	struct siphash_key hash_key; /* of flows; the same on every worker */

	/* Steering: who owns a flow. A flow to a port within [active_first, active_first +
	 * n_workers * active_slice) was opened by us and belongs to the slice's worker; any other
	 * to the one at whose queue the interface of our address delivers it, where that is known;
	 * else to owner_of[by its hash]. The same on every worker. */
	uint16_t n_workers;
	uint16_t active_first, active_slice; /* slice 0: we open nothing */
	uint8_t owner_of[NET_INDIRECTION];

	const struct routes *routes; /* set by the worker at the start of each turn */
	struct postern_counters *counters;
};

/* Looks at one frame. The mbuf may be chained; NET_SEGMENT leaves headers in the first segment
 * of the chain (frames whose headers are not are dropped as malformed) and the chain trimmed to
 * tcp_at + tcp_len; segments of padding alone go back to their pool. Checksums verified here are
 * marked good in ol_flags. m->port must be the interface's index. The mbuf stays the caller's,
 * whatever the finding. */
enum net_finding net_input(struct net *n, struct rte_mbuf *m, struct net_segment *seg);

/* The keyed hash of a flow. Its high half steers, its low half is for tables: the flows of one
 * worker have much of the high half in common. */
uint64_t net_hash(const struct net *n, const struct flow *flow);

/* The worker that owns a flow, hash being net_hash of it. Whichever interface it comes by. */
uint16_t net_owner(const struct net *n, const struct flow *flow, uint64_t hash);

/* Makes a frame of a TCP segment: m holds a TCP header (checksum field 0) with payload, with at
 * least NET_HEADROOM octets before it. Writes IP, VLAN and Ethernet headers, the checksums or
 * the offload request, and m->port. ecn goes into the IP header. */
enum { NET_HEADROOM = 14 + 4 * NET_VLANS_MAX + 40 };
void net_output(const struct net *n, struct rte_mbuf *m, const struct flow *flow,
		const struct net_path *path, uint8_t ecn);

/* The largest TCP segment (header and payload) that fits the interface's MTU. */
uint16_t net_segment_max(const struct net *n, uint8_t port, bool v4);

enum net_route {
	NET_ROUTE_READY,      /* path is filled in */
	NET_ROUTE_UNRESOLVED, /* the kernel must resolve next_hop first */
	NET_ROUTE_NONE,	      /* there is no route */
};

/* How to reach an address, by the published routes. On READY path, and on READY and UNRESOLVED
 * source (our address to speak from) and next_hop (with its port in path->port) are filled in. */
enum net_route net_route_find(const struct net *n, const struct ip_addr *to, struct net_path *path,
			      struct ip_addr *source, struct ip_addr *next_hop);

#endif
