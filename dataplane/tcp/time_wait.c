/* SPDX-License-Identifier: BSD-3-Clause */
/* TIME-WAIT. Thread, Time, Memory, Rules: time_wait.h. */
#include "tcp/conn.h"

/* --- the entries ----------------------------------------------------------------------------- */

bool time_waits_init(struct time_waits *all, uint32_t capacity)
{
	all->first = all->last = TIME_WAIT_NONE;
	return slab_init(&all->entries, sizeof(struct time_wait), sizeof(struct time_wait),
			 capacity) &&
	       tags_init(&all->table, capacity);
}

void time_waits_release(struct time_waits *all)
{
	tags_release(&all->table);
	slab_release(&all->entries);
}

static struct time_wait *entry_at(const struct time_waits *all, uint32_t index)
{
	return slab_at(&all->entries, index);
}

static void list_append(struct time_waits *all, struct time_wait *w, uint32_t end_ms)
{
	uint32_t index = slab_index(&all->entries, w);

	w->end_ms = end_ms;
	w->earlier = all->last;
	w->later = TIME_WAIT_NONE;
	if (all->last == TIME_WAIT_NONE)
		all->first = index;
	else
		entry_at(all, all->last)->later = index;
	all->last = index;
}

static void list_remove(struct time_waits *all, const struct time_wait *w)
{
	if (w->earlier == TIME_WAIT_NONE)
		all->first = w->later;
	else
		entry_at(all, w->earlier)->later = w->later;
	if (w->later == TIME_WAIT_NONE)
		all->last = w->earlier;
	else
		entry_at(all, w->later)->earlier = w->earlier;
}

void time_wait_enter(struct tcp *t, const struct tcp_conn *c)
{
	struct time_waits *all = &t->time_waits;
	struct time_wait *w;
	struct flow flow;
	uint32_t index;

	if (all->entries.in_use == all->entries.capacity) {
		counter_add(&t->counters->tcp_time_wait_full, 1);
		time_wait_leave(t, entry_at(all, all->first));
	}
	index = slab_take(&all->entries);
	w = entry_at(all, index);
	conn_flow(t, c, &flow);
	*w = (struct time_wait){
		.tag = flow_tag(t, &flow),
		.ts_offset = c->ts_offset,
		.snd_nxt = c->snd_nxt,
		.rcv_nxt = c->rcv_nxt,
		.ts_recent = c->ts_recent,
		.challenged = c->challenged,
		.ts = (c->flags & CONN_TS) != 0,
	};
	list_append(all, w, t->now_ms + TCP_TIME_WAIT_MS);
	tags_add(&all->table, w->tag, index);
}

void time_wait_leave(struct tcp *t, struct time_wait *w)
{
	struct time_waits *all = &t->time_waits;
	uint32_t index = slab_index(&all->entries, w);

	list_remove(all, w);
	tags_remove(&all->table, w->tag, index);
	slab_give(&all->entries, index);
}

struct time_wait *time_wait_look_up(const struct tcp *t, const struct flow *flow, uint32_t tag)
{
	const struct time_waits *all = &t->time_waits;
	struct tags_walk walk = tags_find(&all->table, tag);
	uint32_t index;

	while ((index = tags_next(&all->table, tag, &walk)) != TAGS_NONE) {
		struct time_wait *w = entry_at(all, index);

		if (w->ts_offset == flow_ts_offset(t, flow))
			return w;
	}
	return NULL;
}

/* --- segments -------------------------------------------------------------------------------- */

bool time_wait_may_reopen(const struct time_wait *w, const struct tcp_header *h)
{
	if ((h->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return false;
	if (w->ts && h->has_ts && h->ts_value != w->ts_recent)
		return seq_lt(w->ts_recent, h->ts_value);
	return seq_lt(w->rcv_nxt, h->seq);
}

/* Beyond all numbers the old one used (RFC 9293 3.4.1), which the clock alone does not see to after
 * more than 250 kB/s. */
static uint32_t least_iss(const struct time_wait *w)
{
	return w->snd_nxt + UINT16_MAX;
}

/* Timestamps tell old segments from new ones once their clock has moved on (RFC 6191 2: a second is
 * enough for any clock RFC 7323 5.4 allows); else numbers have to, which then moved on by
 * themselves: the peer's as ours. */
bool time_wait_may_reuse(const struct tcp *t, const struct time_wait *w, const struct flow *flow)
{
	uint32_t left_ms = w->end_ms - t->now_ms;

	return (w->ts && TCP_TIME_WAIT_MS - left_ms >= TCP_REUSE_MS) ||
	       seq_lt(least_iss(w), flow_iss(t, flow));
}

void time_wait_yield(struct tcp *t, struct time_wait *w, struct tcp_conn *c)
{
	if (c) {
		c->snd_una = c->snd_nxt = seq_max(c->snd_una, least_iss(w));
		counter_add(&t->counters->tcp_time_wait_reused, 1);
	}
	time_wait_leave(t, w);
}

static void answer(struct tcp *t, const struct time_wait *w, const struct net_segment *segment)
{
	const struct tcp_header h = {
		.seq = w->snd_nxt,
		.ack = w->rcv_nxt,
		.flags = TCP_ACK,
		.window = conn_syn_window(t), /* of no use to who has sent FIN */
		.has_ts = w->ts,
		.ts_value = t->now_ms + w->ts_offset,
		.ts_echo = w->ts_recent,
	};

	reply(t, &segment->flow, &segment->path, &h);
}

static void challenge(struct tcp *t, struct time_wait *w, const struct net_segment *segment)
{
	uint8_t now = (uint8_t)((t->now_ms + w->ts_offset) / TCP_CHALLENGE_EVERY_MS);

	if (w->challenged == now)
		return;
	w->challenged = now;
	counter_add(&t->counters->tcp_challenge_acks, 1);
	answer(t, w, segment);
}

/* Nothing can come behind the peer's FIN. */
static bool is_acceptable(const struct time_wait *w, const struct tcp_header *h, uint32_t len)
{
	uint32_t end = h->seq + len + !!(h->flags & TCP_SYN) + !!(h->flags & TCP_FIN);

	return seq_le(h->seq, w->rcv_nxt) && seq_le(w->rcv_nxt, end);
}

static bool is_old(const struct time_wait *w, const struct tcp_header *h)
{
	return w->ts && h->has_ts && seq_lt(h->ts_value, w->ts_recent);
}

/* The peer's FIN comes again because our last ACK was lost. */
static void begin_anew(struct tcp *t, struct time_wait *w, const struct tcp_header *h)
{
	if (w->ts && h->has_ts)
		w->ts_recent = h->ts_value;
	list_remove(&t->time_waits, w);
	list_append(&t->time_waits, w, t->now_ms + TCP_TIME_WAIT_MS);
}

void time_wait_input(struct tcp *t, struct time_wait *w, const struct net_segment *segment,
		     const struct tcp_header *h, uint32_t len)
{
	if (h->flags & TCP_RST)
		return; /* RFC 1337: it does not end it */
	if (is_old(w, h)) {
		counter_add(&t->counters->tcp_paws, 1);
		challenge(t, w, segment);
	} else if (!is_acceptable(w, h, len)) {
		counter_add(&t->counters->tcp_unacceptable, 1);
		if (len)
			answer(t, w, segment); /* bytes sent again miss our ACK */
		else
			challenge(t, w, segment);
	} else if (h->flags & TCP_SYN) {
		challenge(t, w, segment);
	} else if ((h->flags & (TCP_ACK | TCP_FIN)) == (TCP_ACK | TCP_FIN)) {
		begin_anew(t, w, h);
		answer(t, w, segment);
	}
}

/* --- time ------------------------------------------------------------------------------------ */

void time_wait_tick(struct tcp *t)
{
	const struct time_waits *all = &t->time_waits;

	for (unsigned n = 0; n < TCP_TIMERS_MAX && all->first != TIME_WAIT_NONE; n++) {
		struct time_wait *w = entry_at(all, all->first);

		if (seq_lt(t->now_ms, w->end_ms))
			return;
		time_wait_leave(t, w);
	}
}

uint64_t time_wait_next_due(const struct tcp *t)
{
	const struct time_waits *all = &t->time_waits;
	int32_t ahead;

	if (all->first == TIME_WAIT_NONE)
		return UINT64_MAX;
	ahead = (int32_t)(entry_at(all, all->first)->end_ms - t->now_ms);
	return ahead <= 0 ? t->now_us : (t->now_us / 1000 + (uint32_t)ahead) * 1000;
}
