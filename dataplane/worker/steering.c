/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interface's word against what it did.
 *
 * Thread: the owning worker. Time: none. Memory: none.
 * Rules: cards differ in what they make of IP options, extension headers and more than one VLAN
 * tag, and a peer chooses those; segments with any are no evidence.
 */
#include "worker/steering.h"

#include "base/counter.h"
#include "net/rss.h"

enum { ETHERNET = 14, VLAN = 4, IP4 = 20, IP6 = 40 };

/* What the interface said of this segment's kind; NULL: nothing. */
static const struct net_rss *word_on(const struct net *n, const struct net_segment *seg)
{
	const struct net_rss *rss = n->ports[seg->path.port].rss;

	return rss && net_rss_knows(rss, &seg->flow.local) ? rss : NULL;
}

static bool is_evidence(const struct net_segment *seg)
{
	uint16_t ip = ip_addr_is_v4(&seg->flow.local) ? IP4 : IP6;

	return seg->path.n_vlans <= 1 && seg->tcp_at == ETHERNET + VLAN * seg->path.n_vlans + ip;
}

static bool kept(const struct steering *s, const struct net_rss *rss, const struct net_segment *seg)
{
	uint32_t hash = net_rss_hash(rss, &seg->flow);

	if ((seg->m->ol_flags & RTE_MBUF_F_RX_RSS_HASH) && seg->m->hash.rss != hash)
		return false;
	return net_rss_queue(rss, hash) == s->self;
}

uint16_t steering_compute(struct steering *s, const struct net *n, struct net_segment *seg)
{
	const struct net_rss *rss = word_on(n, seg);
	uint16_t *run = &s->kept[seg->path.port];

	seg->on_trust = false;
	if (rss && is_evidence(seg)) {
		if (kept(s, rss, seg)) {
			counter_add(&n->counters->steering_agreed, 1);
			*run += *run < STEERING_PROOF;
		} else {
			counter_add(&n->counters->steering_disagreed, 1);
			*run = 0;
		}
	}
	return net_owner(n, &seg->flow, seg->hash);
}

uint16_t steering_owner(struct steering *s, const struct net *n, struct net_segment *seg)
{
	if (s->kept[seg->path.port] < STEERING_PROOF || !word_on(n, seg))
		return steering_compute(s, n, seg);
	seg->on_trust = true;
	return s->self;
}
