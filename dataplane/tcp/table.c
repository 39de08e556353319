/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection table: from a flow to its connection.
 *
 * Thread: the owning worker. Time: none.
 * Memory: base/tags.h, 12 octets for each connection there can be.
 * Rules: the hash is net's, keyed, because the peer chooses most of what is hashed.
 */
#include <string.h>

#include <rte_prefetch.h>

#include "tcp/conn.h"

uint32_t flow_tag(const struct tcp *t, const struct flow *flow)
{
	return (uint32_t)net_hash(t->net, flow);
}

static bool is_flow_of(const struct tcp *t, const struct tcp_conn *c, const struct flow *flow)
{
	return c->local_port == flow->local_port && c->remote_port == flow->remote_port &&
	       ip_addr_equal(&c->remote, &flow->remote) &&
	       ip_addr_equal(&t->net->addresses[c->local].ip, &flow->local);
}

struct tcp_conn *table_find(const struct tcp *t, const struct flow *flow, uint32_t tag)
{
	struct tags_walk w = tags_find(&t->table, tag);
	uint32_t index;

	while ((index = tags_next(&t->table, tag, &w)) != TAGS_NONE) {
		struct tcp_conn *c = slab_at(&t->conns, index);

		if (is_flow_of(t, c, flow))
			return c;
	}
	return NULL;
}

void table_prefetch_conn(const struct tcp *t, uint32_t tag)
{
	uint32_t index = tags_guess(&t->table, tag);
	const uint8_t *c;

	if (index == TAGS_NONE) {
		if (t->time_waits.entries.in_use)
			tags_prefetch(&t->time_waits.table, tag);
		return;
	}
	c = slab_at(&t->conns, index);
	rte_prefetch0(c);
	rte_prefetch0(c + 64);
}

void table_add(struct tcp *t, struct tcp_conn *c, uint32_t tag)
{
	tags_add(&t->table, tag, slab_index(&t->conns, c));
}

void table_remove(struct tcp *t, const struct tcp_conn *c)
{
	struct flow flow;

	conn_flow(t, c, &flow);
	tags_remove(&t->table, flow_tag(t, &flow), slab_index(&t->conns, c));
}
