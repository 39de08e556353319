/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must hold of every connection between two calls: sums that are kept beside what they sum up,
 * orders, and that nothing waits without a timer.
 *
 * Thread: the owning worker. Time, Memory: none.
 * Rules: nothing in a release build; debug builds and the fuzzer call it between their steps.
 */
#include "tcp/conn.h"

#ifndef NDEBUG

static uint32_t list_octets(const struct rte_mbuf *m)
{
	uint32_t octets = 0;

	for (; m; m = m->next)
		octets += m->data_len;
	return octets;
}

static void check_send_queue(const struct tcp_conn *c)
{
	uint32_t seq = c->snd_una;

	assert(list_octets(c->q->send_first) == c->q->send_len);
	for (const struct rte_mbuf *m = c->q->send_first; m; m = m->next) {
		assert(m->hash.usr == seq);
		seq += m->data_len;
	}
	assert(seq_le(c->snd_nxt, seq + !!(c->flags & CONN_FIN_SENT)));
}

static void check_scoreboard(const struct tcp_conn *c)
{
	const struct scoreboard *b = &c->q->sent;
	uint32_t seq = c->snd_una, pipe = 0;
	uint16_t n_lost = 0, n_sacked = 0;

	for (uint16_t i = 0; i < b->count; i++) {
		const struct tcp_sent *s = sent_at(b, i);

		assert(s->len && s->seq == seq);
		assert(!(s->flags & SENT_SACKED) || !(s->flags & SENT_LOST));
		assert(!(s->flags & SENT_FIN) || i == b->count - 1);
		seq += s->len;
		if (s->flags & SENT_SACKED)
			n_sacked++;
		else if (s->flags & SENT_LOST)
			n_lost++;
		else
			pipe += s->len;
	}
	assert(seq == c->snd_nxt);
	assert(pipe == b->pipe && n_lost == b->n_lost && n_sacked == b->n_sacked);
	assert(c->q->credited <= (b->count ? conn_flight(c) - sent_at(b, 0)->len : 0));
}

static void check_congestion(const struct tcp *t, const struct tcp_conn *c)
{
	const struct cubic *k = &c->q->cubic;

	assert(c->cwnd <= TCP_WINDOW_MAX && c->ssthresh >= 2u * c->snd_mss);
	assert(seq_le(c->snd_una, c->q->filled) && seq_le(c->q->filled, c->snd_nxt));
	assert(seq_le(c->snd_una - 1, c->q->recover) && seq_le(c->q->recover, c->snd_nxt));
	if (!(c->flags & CONN_CUBIC))
		assert(!k->epoch_us && !k->w_max);
	if (!k->epoch_us)
		return;
	assert(k->epoch_us <= k->seen_us && k->seen_us <= t->now_us);
	assert(k->w_max <= TCP_WINDOW_MAX && k->w_est <= TCP_WINDOW_MAX);
}

static void check_reassembly(const struct tcp_conn *c)
{
	const struct tcp_queue *q = c->q;
	const struct rte_mbuf *page = q->pages;
	uint32_t after = c->rcv_nxt;

	assert(list_octets(q->read_first) == q->read_len);
	assert(!page == !q->n_ranges);
	assert(!(c->flags & CONN_PEER_DONE) || (!q->n_ranges && !q->fin_known));
	assert(!q->fin_known || seq_lt(c->rcv_nxt, q->fin_seq));
	while (page && page != q->page_last)
		page = page->next;
	assert(page == q->page_last);
	page = q->pages;
	for (uint8_t i = 0; i < q->n_ranges; i++) {
		const struct tcp_range *r = &q->ranges[i];

		/* The first may begin at rcv_nxt, when there was no buffer to deliver it. */
		assert(seq_lt(r->start, r->end) && seq_le(r->end, c->rcv_adv));
		assert(i ? seq_lt(after, r->start) : seq_le(after, r->start));
		after = r->end;
		for (uint32_t seq = r->start & ~(uint32_t)(TCP_PAGE - 1); seq_lt(seq, r->end);
		     seq += TCP_PAGE) {
			while (page && page->hash.usr != seq)
				page = page->next;
			assert(page);
		}
	}
	for (page = q->pages; page && page->next; page = page->next)
		assert(seq_lt(page->hash.usr, page->next->hash.usr));
}

static bool is_handshake(const struct tcp_conn *c)
{
	return c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD;
}

static void check_timers(const struct tcp *t, const struct tcp_conn *c)
{
	uint64_t due_us = conn_deadline_us(t, c);
	bool waits = c->snd_una != c->snd_nxt || seq_lt(c->snd_nxt, conn_send_end(c));

	if (due_us != WHEEL_NEVER)
		assert(timer_is_armed(&c->timer) && c->timer.due_us <= due_us);
	if (!(c->flags & CONN_ON_OUTPUT) && (waits || is_handshake(c)))
		assert(c->rtx_due_ms);
	if (!is_handshake(c) && (c->flags & CONN_ORPHAN))
		assert(c->life_due_ms);
	if (!is_handshake(c) && c->rcv_nxt != c->rcv_acked && !(c->flags & CONN_ON_OUTPUT))
		assert(c->ack_due_ms);
}

static void check_conn(const struct tcp *t, const struct tcp_conn *c)
{
	assert(!(c->flags & CONN_GONE) && c->state != TCP_CLOSED && c->state != TCP_TIME_WAIT);
	assert(seq_le(c->snd_una, c->snd_nxt));
	check_timers(t, c);
	if (!c->q) {
		assert(is_handshake(c) || c->snd_una == c->snd_nxt);
		return;
	}
	check_send_queue(c);
	check_scoreboard(c);
	check_congestion(t, c);
	check_reassembly(c);
}

/* In the order of their ends, and each to be found. */
static void check_time_waits(const struct tcp *t)
{
	const struct time_waits *all = &t->time_waits;
	uint32_t i = all->first, earlier = TIME_WAIT_NONE, earlier_ms = 0, n = 0;

	while (i != TIME_WAIT_NONE) {
		const struct time_wait *w = slab_at(&all->entries, i);
		struct tags_walk walk = tags_find(&all->table, w->tag);
		uint32_t found;

		assert(w->earlier == earlier && (n == 0 || seq_le(earlier_ms, w->end_ms)));
		assert(seq_le(w->end_ms, t->now_ms + TCP_TIME_WAIT_MS));
		while ((found = tags_next(&all->table, w->tag, &walk)) != i)
			assert(found != TAGS_NONE);
		earlier = i;
		earlier_ms = w->end_ms;
		i = w->later;
		n++;
	}
	assert(all->last == earlier && n == all->entries.in_use);
}

void tcp_check(const struct tcp *t)
{
	uint32_t handshakes = 0, orphans = 0, conns = 0;

	for (uint32_t i = 0; i < t->table.n * TAGS_PLACES; i++) {
		uint32_t number = t->table.at[i / TAGS_PLACES].numbers[i % TAGS_PLACES];
		const struct tcp_conn *c;
		struct flow flow;

		if (!number)
			continue;
		c = slab_at(&t->conns, number - 1);
		conn_flow(t, c, &flow);
		assert(table_find(t, &flow, flow_tag(t, &flow)) == c);
		assert(!time_wait_find(t, &flow, flow_tag(t, &flow)));
		check_conn(t, c);
		conns++;
		handshakes += c->state == TCP_SYN_RCVD && !(c->flags & CONN_ACTIVE);
		orphans += (c->flags & CONN_ORPHAN) != 0;
	}
	assert(conns <= t->conns.in_use && handshakes == t->handshakes && orphans == t->orphans);
	assert(orphans <= orphans_max(t));
	check_time_waits(t);
}

#else

void tcp_check(const struct tcp *t)
{
	(void)t;
}

#endif
