/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection table: from a flow to its connection.
 *
 * Thread: the owning worker. Time: none.
 * Memory: 8-octet slots, at least two for each connection there can be, so a probe is short and
 * the table is never full.
 * Rules: the hash is keyed (siphash13), because the peer chooses most of what is hashed. Removal
 * shifts back what probed past the hole, so there are no tombstones.
 */
#include <string.h>

#include "tcp/conn.h"

static_assert(sizeof(struct flow) == 36, "a flow is hashed as octets: no padding");

uint32_t flow_tag(const struct tcp *t, const struct flow *flow)
{
	return (uint32_t)siphash13(&t->config.hash_key, flow, sizeof(*flow));
}

static bool is_flow_of(const struct tcp *t, const struct tcp_conn *c, const struct flow *flow)
{
	return c->local_port == flow->local_port && c->remote_port == flow->remote_port &&
	       ip_addr_equal(&c->remote, &flow->remote) &&
	       ip_addr_equal(&t->net->addresses[c->local].ip, &flow->local);
}

struct tcp_conn *table_find(const struct tcp *t, const struct flow *flow, uint32_t tag)
{
	for (uint32_t i = tag & t->table_mask; t->table[i].conn; i = (i + 1) & t->table_mask) {
		struct tcp_conn *c;

		if (t->table[i].tag != tag)
			continue;
		c = slab_at(&t->conns, t->table[i].conn - 1);
		if (is_flow_of(t, c, flow))
			return c;
	}
	return NULL;
}

void table_add(struct tcp *t, struct tcp_conn *c, uint32_t tag)
{
	uint32_t i = tag & t->table_mask;

	while (t->table[i].conn)
		i = (i + 1) & t->table_mask;
	t->table[i] = (struct table_slot){
		.tag = tag,
		.conn = slab_index(&t->conns, c) + 1,
	};
}

void table_remove(struct tcp *t, const struct tcp_conn *c)
{
	uint32_t conn = slab_index(&t->conns, c) + 1;
	struct flow flow;
	uint32_t hole;

	conn_flow(t, c, &flow);
	hole = flow_tag(t, &flow) & t->table_mask;
	while (t->table[hole].conn != conn) {
		assert(t->table[hole].conn);
		hole = (hole + 1) & t->table_mask;
	}
	for (uint32_t i = (hole + 1) & t->table_mask; t->table[i].conn;
	     i = (i + 1) & t->table_mask) {
		uint32_t home = t->table[i].tag & t->table_mask;

		/* It may fill the hole unless its home lies behind the hole, cyclically. */
		if (((i - home) & t->table_mask) < ((i - hole) & t->table_mask))
			continue;
		t->table[hole] = t->table[i];
		hole = i;
	}
	t->table[hole].conn = 0;
}
