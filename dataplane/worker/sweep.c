/* SPDX-License-Identifier: BSD-3-Clause */
/* Sweeps. Thread, Time, Memory: sweep.h. */
#include "worker/sweep.h"

/* The way round becomes longer for those who are on it. */
static void grow(struct sweeps *s, const struct tcp *t)
{
	uint32_t all = tcp_conns_bound(t);

	for (uint32_t i = 0; i < s->n; i++)
		s->at[i].left += all - s->all;
	s->all = all;
}

bool sweeps_begin(struct sweeps *s, const struct tcp *t, const struct ip_addr *address,
		  uint8_t prefix_len)
{
	bool room = s->n < SWEEPS;

	grow(s, t);
	if (!room)
		s->n = 0;
	s->at[s->n++] = (struct sweep){*address, room ? prefix_len : 0, s->all};
	return room;
}

static bool is_sought(const struct sweeps *s, const struct ip_addr *client)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (ip_addr_match(client, &s->at[i].address, s->at[i].prefix_len))
			return true;
	return false;
}

/* Forgets those that have been all the way round. */
static void advance(struct sweeps *s, uint32_t looked)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		struct sweep at = s->at[i];

		if (at.left <= looked)
			continue;
		at.left -= looked;
		s->at[kept++] = at;
	}
	s->n = kept;
}

bool sweeps_turn(struct sweeps *s, const struct tcp *t, const struct sweeps_owner *owner)
{
	if (!s->n)
		return false;
	grow(s, t);
	for (uint32_t i = 0; i < SWEEP_LOOKED && i < s->all; i++) {
		struct tcp_conn *c;
		struct ip_addr client;

		s->cursor = s->cursor + 1 < s->all ? s->cursor + 1 : 0;
		c = tcp_conn_at(t, s->cursor);
		if (c && owner->client(owner->arg, c, &client) && is_sought(s, &client))
			owner->found(owner->arg, c);
	}
	advance(s, SWEEP_LOOKED);
	return s->n;
}
