/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who owns a flow.
 *
 * Thread: any. Time: none. Memory: none.
 * Rules: a function of the flow and of what all workers have in common, so that each of them
 * comes to the same answer, whether or not an interface does as it says.
 */
#include <assert.h>

#include "net/rss.h"

static_assert(sizeof(struct flow) == 36, "a flow is hashed as octets and must not hold padding");

uint64_t net_hash(const struct net *n, const struct flow *flow)
{
	return siphash13(&n->hash_key, flow, sizeof(*flow));
}

/* A flow has one home, which its address names: with several interfaces, segments of one flow may
 * come by any of them, and errors about it too. */
static const struct net_rss *rss_at_home(const struct net *n, const struct ip_addr *local)
{
	for (uint32_t i = 0; i < n->n_addresses; i++)
		if (ip_addr_equal(&n->addresses[i].ip, local))
			return n->ports[n->addresses[i].port].rss;
	return NULL;
}

uint16_t net_owner(const struct net *n, const struct flow *flow, uint64_t hash)
{
	uint32_t active = (uint32_t)flow->local_port - n->active_first;
	const struct net_rss *rss;

	/* A port below active_first wraps far beyond every slice. */
	if (active < (uint32_t)n->n_workers * n->active_slice)
		return (uint16_t)(active / n->active_slice);
	rss = rss_at_home(n, &flow->local);
	if (rss && net_rss_knows(rss, &flow->local))
		return net_rss_queue(rss, net_rss_hash(rss, flow));
	return n->owner_of[(hash >> 32) % NET_INDIRECTION];
}
