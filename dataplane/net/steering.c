/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who owns a flow.
 *
 * Thread: any. Time: none. Memory: none.
 * Rules: a function of the flow and of what all workers have in common, so that each of them
 * comes to the same answer.
 */
#include <assert.h>

#include "net/net.h"

static_assert(sizeof(struct flow) == 36, "a flow is hashed as octets and must not hold padding");

uint64_t net_hash(const struct net *n, const struct flow *flow)
{
	return siphash13(&n->hash_key, flow, sizeof(*flow));
}

uint16_t net_owner(const struct net *n, const struct flow *flow, uint64_t hash)
{
	uint32_t active = (uint32_t)flow->local_port - n->active_first;

	/* A port below active_first wraps far beyond every slice. */
	if (active < (uint32_t)n->n_workers * n->active_slice)
		return (uint16_t)(active / n->active_slice);
	return n->owner_of[(hash >> 32) % NET_INDIRECTION];
}
