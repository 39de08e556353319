/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments out: what every connection owes, once a turn.
 *
 * Thread: the owning worker. Time: tcp_output's.
 * Memory: one mbuf of the port's pool a segment, header and payload copied into it in one piece,
 * because the drivers that matter want one buffer a frame. Without an mbuf the segment counts as
 * lost: a timer is armed and sends it again.
 * Rules: RFC 9293 3.8.6.2.1 (silly windows), 3.8.6.1 (probes: one octet behind what the peer has,
 * so that any answer tells its window); RFC 7323 3; RFC 2018 3. No Nagle: what a turn queued
 * leaves together, which is the better cork.
 */
#include <rte_mbuf.h>

#include "tcp/conn.h"

/* Where this turn's frames go. */
struct frames {
	struct rte_mbuf **at;
	uint16_t n, max;
};

static bool is_full(const struct frames *out)
{
	return out->n == out->max;
}

/* An mbuf with room for a header of header_len before len octets of payload; NULL: none. */
static struct rte_mbuf *frame_new(struct tcp *t, uint8_t port, uint8_t header_len, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(t->config.frame_pools[port]);

	if (!m) {
		counter_add(&t->counters->tcp_no_buffer, 1);
		return NULL;
	}
	assert(rte_pktmbuf_headroom(m) >= NET_HEADROOM);
	rte_pktmbuf_append(m, (uint16_t)(header_len + len));
	return m;
}

static void frame_send(struct tcp *t, struct frames *out, struct rte_mbuf *m,
		       const struct flow *flow, const struct net_path *path)
{
	net_output(t->net, m, flow, path, 0);
	out->at[out->n++] = m;
	counter_add(&t->counters->tcp_segments_out, 1);
}

/* --- a connection's segment ------------------------------------------------------------------ */

/* The window field, and the promise that goes with it. */
static uint16_t tell_window(struct tcp *t, struct tcp_conn *c)
{
	uint32_t window;

	c->rcv_adv = receive_edge(t, c);
	window = (c->rcv_adv - c->rcv_nxt) >> c->rcv_wscale;
	return window < UINT16_MAX ? (uint16_t)window : UINT16_MAX;
}

static void header_ack(struct tcp *t, struct tcp_conn *c, struct tcp_header *h)
{
	*h = (struct tcp_header){
		.ack = c->rcv_nxt,
		.flags = TCP_ACK,
		.window = tell_window(t, c),
		.has_ts = c->flags & CONN_TS,
		.ts_value = t->now_ms + c->ts_offset,
		.ts_echo = c->ts_recent,
	};
	h->n_sack = receive_sack(c, h->sack, TCP_SACK_BLOCKS_MAX);
}

/* Sends h with len octets of the send queue from h->seq on. False: no buffer. */
static bool segment_send(struct tcp *t, struct tcp_conn *c, struct frames *out,
			 const struct tcp_header *h, uint32_t len)
{
	uint8_t header_len = tcp_header_len(h);
	struct rte_mbuf *m = frame_new(t, c->path.port, header_len, len);
	struct flow flow;

	if (!m)
		return false;
	conn_flow(t, c, &flow);
	tcp_header_write(h, rte_pktmbuf_mtod(m, uint8_t *), c->local_port, c->remote_port);
	if (len)
		send_copy(c, h->seq, rte_pktmbuf_mtod_offset(m, uint8_t *, header_len), len);
	frame_send(t, out, m, &flow, &c->path);
	if (h->flags & TCP_ACK) {
		c->flags &= ~(uint32_t)CONN_ACK_NOW;
		c->ack_due_ms = 0;
		c->rcv_acked = h->ack;
	}
	return true;
}

static void arm_retransmit(struct tcp *t, struct tcp_conn *c)
{
	c->rtx_due_ms = ms_from(t->now_ms, conn_rto_ms(c));
	conn_schedule(t, c);
}

static void syn_send(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	bool answers = c->state == TCP_SYN_RCVD;
	bool v4 = ip_addr_is_v4(&c->remote);
	struct tcp_header h = {
		.seq = c->snd_una,
		.ack = answers ? c->rcv_nxt : 0,
		.flags = (uint8_t)(TCP_SYN | (answers ? TCP_ACK : 0)),
		.window = conn_syn_window(t),
		.has_mss = true,
		.mss = (uint16_t)(net_segment_max(t->net, c->path.port, v4) - TCP_HEADER_MIN),
		.has_wscale = !answers || c->rcv_wscale || c->snd_wscale,
		.wscale = t->rcv_wscale,
		.has_ts = !answers || (c->flags & CONN_TS),
		.ts_value = t->now_ms + c->ts_offset,
		.ts_echo = c->ts_recent,
		.sack_permitted = !answers || (c->flags & CONN_SACK),
	};

	c->flags &= ~(uint32_t)CONN_SYN_DUE;
	c->snd_nxt = c->snd_max = c->snd_una + 1;
	if (c->tries == 0)
		c->rttvar_us = (uint32_t)t->now_us; /* when it left, until there is a sample */
	segment_send(t, c, out, &h, 0);
	arm_retransmit(t, c);
}

static void ack_send(struct tcp *t, struct tcp_conn *c, struct frames *out, uint32_t seq)
{
	struct tcp_header h;

	header_ack(t, c, &h);
	h.seq = seq;
	segment_send(t, c, out, &h, 0);
}

static bool fin_is_due(const struct tcp_conn *c)
{
	/* Queued, and not yet acknowledged. */
	return (c->flags & CONN_FIN_QUEUED) &&
	       !((c->flags & CONN_FIN_SENT) && c->snd_una == c->snd_max);
}

/* Sends len octets from seq on, with FIN when they are the last. False: no buffer. */
static bool data_send(struct tcp *t, struct tcp_conn *c, struct frames *out, struct tcp_header *h,
		      uint32_t seq, uint32_t len)
{
	uint32_t end = conn_send_end(c), next = seq + len;
	bool fin = fin_is_due(c) && next == end;
	bool again = seq_lt(seq, c->snd_max);

	h->seq = seq;
	h->flags = (uint8_t)(TCP_ACK | (next == end && len ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));
	if (!segment_send(t, c, out, h, len))
		return false;
	if (fin) {
		c->flags |= CONN_FIN_SENT;
		next++;
	}
	if (again) {
		counter_add(&t->counters->tcp_retransmits, 1);
		if (c->q && c->q->timing && seq_lt(seq, c->q->timed_seq))
			c->q->timing = false;
	} else if (c->q && !c->q->timing) {
		c->q->timing = true;
		c->q->timed_seq = next;
		c->q->timed_at_us = t->now_us;
	}
	if (seq_lt(c->snd_nxt, next))
		c->snd_nxt = next;
	c->snd_max = seq_max(c->snd_max, next);
	if (!c->rtx_due_ms)
		arm_retransmit(t, c);
	return true;
}

/* How many octets the segment at snd_nxt shall have; false: none now, also no FIN. */
static bool segment_size(const struct tcp_conn *c, uint32_t most, uint32_t *len)
{
	uint32_t end = conn_send_end(c), queued, room;
	uint32_t limit = c->snd_wnd < c->cwnd ? c->snd_wnd : c->cwnd;
	uint32_t flight = conn_flight(c);

	if (seq_lt(end, c->snd_nxt))
		return false; /* the FIN is under way */
	queued = end - c->snd_nxt;
	room = limit > flight ? limit - flight : 0;
	/* What once fitted the window may be repeated though it was shut since. */
	if ((c->flags & CONN_FORCE) && flight == 0 && room < c->snd_max - c->snd_nxt)
		room = c->snd_max - c->snd_nxt;
	*len = queued < room ? queued : room;
	if (*len > most)
		*len = most;
	if (*len == queued)
		return *len > 0 || (fin_is_due(c) && c->snd_nxt == end);
	if (*len == 0)
		return false;
	/* The window cuts it short: wait unless it is worth sending (RFC 9293 3.8.6.2.1). */
	return *len == most || (c->flags & CONN_FORCE) || *len >= c->q->window_seen / 2;
}

/* Whether bytes or a FIN wait for the peer's window or for an ACK, so that a timer must run. */
static bool waits_for_peer(const struct tcp_conn *c)
{
	return c->snd_una != c->snd_max || seq_lt(c->snd_nxt, conn_send_end(c)) ||
	       (fin_is_due(c) && !(c->flags & CONN_FIN_SENT));
}

/* New segments, and those an RTO put before snd_nxt again. False: no more room for frames. */
static bool data_flow(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	struct tcp_header h;
	uint32_t most, len;

	header_ack(t, c, &h);
	most = c->snd_mss - (tcp_header_len(&h) - TCP_HEADER_MIN);
	while (segment_size(c, most, &len)) {
		if (is_full(out))
			return false;
		if (!data_send(t, c, out, &h, c->snd_nxt, len))
			break;
		c->flags &= ~(uint32_t)CONN_FORCE;
	}
	c->flags &= ~(uint32_t)CONN_FORCE;
	if (!c->rtx_due_ms && waits_for_peer(c))
		arm_retransmit(t, c);
	return true;
}

/* The segment at snd_una once more (RFC 6582). */
static void resend(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	struct tcp_header h;
	uint32_t len, sent;

	c->flags &= ~(uint32_t)CONN_RESEND;
	if (c->snd_una == c->snd_max)
		return;
	header_ack(t, c, &h);
	len = c->snd_mss - (tcp_header_len(&h) - TCP_HEADER_MIN);
	sent = seq_min(conn_send_end(c), c->snd_max) - c->snd_una;
	data_send(t, c, out, &h, c->snd_una, len < sent ? len : sent);
	arm_retransmit(t, c);
}

static bool may_send_bytes(const struct tcp_conn *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT ||
	       c->state == TCP_FIN_WAIT_1 || c->state == TCP_CLOSING || c->state == TCP_LAST_ACK;
}

/* Everything this connection owes. False: no more room for frames. */
static bool conn_output(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	if (is_full(out))
		return false;
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD) {
		if (c->flags & CONN_SYN_DUE)
			syn_send(t, c, out);
		return true;
	}
	if (c->flags & CONN_RESEND)
		resend(t, c, out);
	for (; c->acks_owed; c->acks_owed--) {
		if (is_full(out))
			return false;
		ack_send(t, c, out, c->snd_nxt);
	}
	if (c->flags & CONN_PROBE_DUE) {
		if (is_full(out))
			return false;
		c->flags &= ~(uint32_t)CONN_PROBE_DUE;
		counter_add(&t->counters->tcp_window_probes, 1);
		ack_send(t, c, out, c->snd_una - 1);
	}
	if (may_send_bytes(c) && !data_flow(t, c, out))
		return false;
	if (c->flags & CONN_ACK_NOW) {
		if (is_full(out))
			return false;
		c->flags &= ~(uint32_t)CONN_ACK_NOW;
		ack_send(t, c, out, c->snd_max);
	}
	return true;
}

/* --- answers that belong to no connection ------------------------------------------------------
 */

static void reply_send(struct tcp *t, const struct tcp_reply *r, struct frames *out)
{
	const struct tcp_header h = {.seq = r->seq, .ack = r->ack, .flags = r->flags};
	struct rte_mbuf *m = frame_new(t, r->path.port, TCP_HEADER_MIN, 0);

	if (!m)
		return;
	tcp_header_write(&h, rte_pktmbuf_mtod(m, uint8_t *), r->flow.local_port,
			 r->flow.remote_port);
	frame_send(t, out, m, &r->flow, &r->path);
	counter_add(&t->counters->tcp_resets_out, 1);
}

uint16_t tcp_output(struct tcp *t, struct rte_mbuf **frames, uint16_t n, uint64_t now_us)
{
	struct frames out = {.at = frames, .max = n};

	t->now_us = now_us;
	t->now_ms = (uint32_t)(now_us / 1000);
	while (t->n_replies && !is_full(&out))
		reply_send(t, &t->replies[--t->n_replies], &out);
	while (t->output.first != SLAB_NONE) {
		struct tcp_conn *c = slab_at(&t->conns, t->output.first);

		if (!(c->flags & CONN_GONE) && !conn_output(t, c, &out))
			break;
		conn_list_pop(t, &t->output, CONN_ON_OUTPUT);
		conn_free_if_over(t, c);
	}
	return out.n;
}
