/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A frame comes in: read from top to bottom, one layer after the other.
 *
 * Thread: the owning worker. Time: none. Memory: the trailing segments of a chain that hold
 * nothing but link padding go back to their pool.
 * Rules: RFC 9293 3.1 for the TCP header's bounds. A checksum verified here is marked good in
 * the mbuf, so that the owner a frame is handed over to need not verify it again.
 */
#include "base/counter.h"
#include "net/checksum.h"
#include "net/parse.h"

static bool tcp_checksum_is_good(struct packet *p)
{
	uint32_t len = p->c.total;
	uint64_t sum;

	switch (p->m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) {
	case RTE_MBUF_F_RX_L4_CKSUM_GOOD:
	case RTE_MBUF_F_RX_L4_CKSUM_NONE: /* not in the packet, but the segment is intact */
		return true;
	case RTE_MBUF_F_RX_L4_CKSUM_BAD:
		return false;
	}
	sum = checksum_add_pseudo(&p->from, &p->to, PROTOCOL_TCP, len);
	sum += checksum_add_chain(p->m, packet_offset(p), len);
	if (checksum_fold(sum) != CHECKSUM_GOOD)
		return false;
	p->m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	return true;
}

/* Cuts link padding off the end of a chain. */
static void trim_to(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *last = m;
	uint32_t before = 0;
	uint16_t n = 1;

	if (m->pkt_len == len)
		return;
	while (before + last->data_len < len) {
		before += last->data_len;
		last = last->next;
		n++;
	}
	last->data_len = (uint16_t)(len - before);
	rte_pktmbuf_free(last->next);
	last->next = NULL;
	m->nb_segs = n;
	m->pkt_len = len;
}

static enum parsed parse_tcp(struct packet *p, struct net_segment *seg)
{
	struct cursor whole = p->c;
	const uint8_t *tcp = cursor_take(&whole, TCP_HEADER);
	uint32_t header_len;

	if (!tcp)
		return PARSED_MALFORMED;
	header_len = (tcp[12] >> 4) * 4;
	whole = p->c;
	if (header_len < TCP_HEADER || !cursor_take(&whole, header_len))
		return PARSED_MALFORMED;
	if (!tcp_checksum_is_good(p))
		return PARSED_BAD_CHECKSUM;
	seg->flow.local = p->to;
	seg->flow.remote = p->from;
	seg->flow.local_port = load_be16(tcp + 2);
	seg->flow.remote_port = load_be16(tcp);
	seg->tcp_at = (uint16_t)packet_offset(p);
	seg->tcp_len = (uint16_t)p->c.total;
	seg->header_len = (uint8_t)header_len;
	trim_to(p->m, seg->tcp_at + p->c.total);
	return PARSED;
}

static enum parsed parse_ip(const struct net *n, struct packet *p)
{
	switch (p->ethertype) {
	case ETHERTYPE_IP4:
		return net_ip4_parse(n, p);
	case ETHERTYPE_IP6:
		return net_ip6_parse(n, p);
	}
	return PARSED_NOT_OURS;
}

/* Each IP version has an ICMP of its own; the other's number in it is nothing known. */
static bool is_icmp(const struct packet *p)
{
	return p->protocol == (p->ethertype == ETHERTYPE_IP4 ? PROTOCOL_ICMP4 : PROTOCOL_ICMP6);
}

static enum parsed parse_frame(const struct net *n, struct packet *p, struct net_segment *seg)
{
	enum parsed found = net_eth_parse(n, p, &seg->path);

	if (found == PARSED)
		found = parse_ip(n, p);
	if (found != PARSED)
		return found;
	seg->ecn = p->ecn;
	if (p->protocol == PROTOCOL_TCP)
		return parse_tcp(p, seg);
	if (is_icmp(p))
		return net_icmp_parse(p, seg);
	return PARSED_NOT_TCP;
}

static void count_drop(struct postern_counters *counters, enum parsed found)
{
	static const size_t counter[] = {
		[PARSED_NOT_OURS] = offsetof(struct postern_counters, net_not_ours),
		[PARSED_NOT_TCP] = offsetof(struct postern_counters, net_not_tcp),
		[PARSED_MALFORMED] = offsetof(struct postern_counters, net_malformed),
		[PARSED_FRAGMENT] = offsetof(struct postern_counters, net_fragment),
		[PARSED_BAD_SOURCE] = offsetof(struct postern_counters, net_bad_source),
		[PARSED_BAD_CHECKSUM] = offsetof(struct postern_counters, net_bad_checksum),
	};

	counter_add((uint64_t *)((char *)counters + counter[found]), 1);
}

enum net_finding net_input(struct net *n, struct rte_mbuf *m, struct net_segment *seg)
{
	struct packet p = {
		.m = m,
		.c = {rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->pkt_len},
	};
	enum parsed found;

	*seg = (struct net_segment){.m = m};
	found = parse_frame(n, &p, seg);
	if (found != PARSED) {
		count_drop(n->counters, found);
		return NET_DROP;
	}
	seg->hash = net_hash(n, &seg->flow);
	if (seg->error == NET_ERROR_NONE)
		return NET_SEGMENT;
	counter_add(&n->counters->net_icmp_error, 1);
	return NET_ERROR;
}
