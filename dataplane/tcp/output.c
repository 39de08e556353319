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

static uint16_t window_field(const struct tcp *t, const struct tcp_conn *c)
{
	uint32_t window = (receive_edge(t, c) - c->rcv_nxt) >> c->rcv_wscale;

	/* What time_wait.c tells, which may leave before this. */
	if (c->state == TCP_TIME_WAIT)
		return conn_syn_window(t);
	return window < UINT16_MAX ? (uint16_t)window : UINT16_MAX;
}

static void header_ack(const struct tcp *t, const struct tcp_conn *c, struct tcp_header *h)
{
	*h = (struct tcp_header){
		.ack = c->rcv_nxt,
		.flags = TCP_ACK,
		.window = window_field(t, c),
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
	if (len) {
		c->sent = (uint16_t)(t->now_ms / TCP_SENT_UNIT_MS);
		send_copy(c, h->seq, rte_pktmbuf_mtod_offset(m, uint8_t *, header_len), len);
	}
	frame_send(t, out, m, &flow, &c->path);
	if (h->flags & TCP_ACK) {
		c->flags &= ~(uint32_t)CONN_ACK_NOW;
		c->ack_due_ms = 0;
		c->rcv_acked = h->ack;
		/* The window is a promise only once it was told. */
		if (!(h->flags & TCP_SYN))
			c->rcv_adv = receive_edge(t, c);
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
	struct tcp_header h = {
		.seq = c->snd_una,
		.ack = answers ? c->rcv_nxt : 0,
		.flags = (uint8_t)(TCP_SYN | (answers ? TCP_ACK : 0)),
		.window = conn_syn_window(t),
		.has_mss = true,
		.mss = interface_mss(t, c->path.port, &c->remote),
		.has_wscale = !answers || c->rcv_wscale || c->snd_wscale,
		.wscale = t->rcv_wscale,
		.has_ts = !answers || (c->flags & CONN_TS),
		.ts_value = t->now_ms + c->ts_offset,
		.ts_echo = c->ts_recent,
		.sack_permitted =
			answers ? c->flags & CONN_SACK : !(t->config.without & TCP_WITHOUT_SACK),
	};

	c->flags &= ~(uint32_t)CONN_SYN_DUE;
	c->snd_nxt = c->snd_una + 1;
	if (c->tries == 0)
		c->rttvar_us = (uint32_t)t->now_us;
	segment_send(t, c, out, &h, 0);
	if (!c->rtx_due_ms)
		arm_retransmit(t, c);
}

/* Without a buffer it is owed for another while: it may tell of a window the peer waits for. */
static void ack_send(struct tcp *t, struct tcp_conn *c, struct frames *out, uint32_t seq)
{
	struct tcp_header h;

	header_ack(t, c, &h);
	h.seq = seq;
	if (segment_send(t, c, out, &h, 0) || (c->flags & CONN_GONE))
		return; /* the peer of one that is over sends its FIN again */
	c->ack_due_ms = ms_from(t->now_ms, TCP_ACK_DELAY_MS);
	conn_schedule(t, c);
}

/* A segment the peer must answer and throw away, its ACK with it: what we owe stays owed. */
static void probe_send(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	uint32_t flags = c->flags & ~(uint32_t)CONN_PROBE_DUE;
	uint32_t ack_due_ms = c->ack_due_ms, rcv_acked = c->rcv_acked, rcv_adv = c->rcv_adv;

	ack_send(t, c, out, c->snd_una - 1);
	c->flags = flags;
	c->ack_due_ms = ack_due_ms;
	c->rcv_acked = rcv_acked;
	c->rcv_adv = rcv_adv;
}

/* Whether a FIN is queued that was never sent. */
static bool fin_is_due(const struct tcp_conn *c)
{
	return (c->flags & (CONN_FIN_QUEUED | CONN_FIN_SENT)) == CONN_FIN_QUEUED;
}

static uint32_t payload_max(const struct tcp_conn *c, const struct tcp_header *h)
{
	return c->snd_mss - (uint32_t)(tcp_header_len(h) - TCP_HEADER_MIN);
}

/* --- new segments ----------------------------------------------------------------------------- */

/* Sends the next len octets of the queue, with FIN when they are the last. False: no buffer. */
static bool new_send(struct tcp *t, struct tcp_conn *c, struct frames *out, struct tcp_header *h,
		     uint32_t len)
{
	bool last = c->snd_nxt + len == conn_send_end(c), fin = last && fin_is_due(c);
	uint16_t numbers = (uint16_t)(len + fin);

	if (!conn_queue(t, c) || !sent_push(t, c, c->snd_nxt, numbers, fin ? SENT_FIN : 0))
		return false;
	if (len == 0 && c->snd_una == c->snd_nxt)
		c->q->progress_ms = t->now_ms; /* the FIN is all that waits */
	h->seq = c->snd_nxt;
	h->flags = (uint8_t)(TCP_ACK | (last && len ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));
	c->snd_nxt += numbers;
	if (fin)
		c->flags |= CONN_FIN_SENT;
	if (c->flags & CONN_RECOVERY)
		c->q->prr.out += numbers;
	/* Without a buffer it counts as sent and lost: the timer brings it back. */
	return segment_send(t, c, out, h, len);
}

/* How many octets the next new segment shall have; false: none now, also no FIN. */
static bool new_size(const struct tcp_conn *c, uint32_t most, uint32_t *len)
{
	uint32_t end = conn_send_end(c), queued, room, window;
	uint32_t pipe = c->q ? conn_pipe(c) : 0, worth = c->q ? c->q->window_seen / 2 : 0;

	if (seq_lt(end, c->snd_nxt))
		return false; /* the FIN is under way */
	queued = end - c->snd_nxt;
	window = c->snd_wnd > conn_flight(c) ? c->snd_wnd - conn_flight(c) : 0;
	room = c->cwnd > pipe ? c->cwnd - pipe : 0;
	if ((c->flags & CONN_TAIL_PROBE) && room < most)
		room = most; /* RFC 8985 7.3: the probe is not held back */
	room = room < window ? room : window;
	*len = queued < room ? queued : room;
	if (*len > most)
		*len = most;
	if (*len == queued)
		return *len > 0 || fin_is_due(c);
	if (*len == 0)
		return false;
	/* The window cuts it short: wait unless it is worth sending (RFC 9293 3.8.6.2.1). */
	return *len == most || (c->flags & CONN_FORCE) || *len >= worth;
}

/* --- lost segments ---------------------------------------------------------------------------- */

/* How much of a segment sent before the peer's window takes now: its right edge may have moved left
 * since (RFC 9293 3.8.6). */
static uint32_t window_left(const struct tcp_conn *c, const struct tcp_sent *s)
{
	uint32_t edge = c->snd_una + c->snd_wnd;

	return seq_lt(s->seq, edge) ? edge - s->seq : 0;
}

/* Whether it may go again, or as much of it as is worth sending. A FIN alone needs no window. */
static bool window_lets(const struct tcp_conn *c, const struct tcp_sent *s)
{
	uint32_t left = window_left(c, s), len = s->len - !!(s->flags & SENT_FIN);

	if (len <= left)
		return true;
	return left &&
	       ((c->flags & CONN_FORCE) || left >= c->snd_mss || left >= c->q->window_seen / 2);
}

/* Sends the i-th segment of the scoreboard once more, in pieces when it no longer fits the path or
 * the window, which lets some of it. */
static bool again_send(struct tcp *t, struct tcp_conn *c, struct frames *out, uint16_t i)
{
	struct tcp_sent *s = sent_at(&c->q->sent, i);
	struct tcp_header h;
	uint32_t most, len;
	bool fin = s->flags & SENT_FIN;

	header_ack(t, c, &h);
	most = payload_max(c, &h);
	len = s->len - fin;
	if (len > most) {
		/* SACK blocks may take the room it had; a narrower path does. */
		h.n_sack = 0;
		most = payload_max(c, &h);
	}
	if (most > window_left(c, s))
		most = window_left(c, s);
	if (len > most) {
		/* Where the scoreboard is full it stays one: its ACK will cut it. */
		if (sent_split(t, c, i, (uint16_t)most))
			s = sent_at(&c->q->sent, i);
		len = most;
		fin = false;
	}
	h.seq = s->seq;
	h.flags = (uint8_t)(TCP_ACK | (fin ? TCP_FIN : 0));
	if (!segment_send(t, c, out, &h, len))
		return false;
	sent_again(t, c, s);
	if (c->flags & CONN_RECOVERY)
		c->q->prr.out += s->len;
	counter_add(&t->counters->tcp_retransmits, 1);
	return true;
}

/* Lost segments first, as far as both windows let; cwnd always lets one when nothing is in flight.
 */
static bool again_flow(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	struct scoreboard *b = &c->q->sent;

	for (uint16_t i = 0; i < b->count && b->n_lost; i++) {
		const struct tcp_sent *s = sent_at(b, i);
		uint32_t pipe = conn_pipe(c);

		if (!(s->flags & SENT_LOST))
			continue;
		if (pipe && pipe + s->len > c->cwnd && !(c->flags & CONN_FORCE))
			break;
		if (!window_lets(c, s))
			break;
		if (is_full(out))
			return false;
		if (!again_send(t, c, out, i))
			break;
		c->flags &= ~(uint32_t)CONN_FORCE;
		/* It times the first; later ones must not put it off. */
		if (i == 0)
			arm_retransmit(t, c);
	}
	return true;
}

/* --- both ------------------------------------------------------------------------------------- */

/* Whether bytes or a FIN wait for the peer's window or for an ACK, so that a timer must run. */
static bool waits_for_peer(const struct tcp_conn *c)
{
	return c->snd_una != c->snd_nxt || seq_lt(c->snd_nxt, conn_send_end(c)) || fin_is_due(c);
}

static bool new_flow(struct tcp *t, struct tcp_conn *c, struct frames *out, bool *sent)
{
	struct tcp_header h;
	uint32_t len;

	if (!waits_for_peer(c))
		return true;
	if (c->snd_una == c->snd_nxt)
		congestion_restart(t, c);
	header_ack(t, c, &h);
	while (new_size(c, payload_max(c, &h), &len)) {
		if (is_full(out))
			return false;
		if (!new_send(t, c, out, &h, len))
			break;
		*sent = true;
		c->flags &= ~(uint32_t)(CONN_FORCE | CONN_TAIL_PROBE);
	}
	return true;
}

/* RFC 8985 7.3: what is new, else the last segment again. */
static void tail_probe(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	struct tcp_queue *q = c->q;
	bool sent = false, again = false;

	/* What was SACKed since is RACK's. */
	if (q && q->sent.count && !q->sent.n_sacked) {
		new_flow(t, c, out, &sent);
		again = !sent && !is_full(out) &&
			window_lets(c, sent_at(&q->sent, (uint16_t)(q->sent.count - 1))) &&
			again_send(t, c, out, (uint16_t)(q->sent.count - 1));
	}
	c->flags &= ~(uint32_t)CONN_TAIL_PROBE;
	if (!sent && !again)
		return; /* the retransmission timer still runs */
	q->probe.sent = true;
	q->probe.again = again;
	q->probe.end_seq = c->snd_nxt;
	c->flags |= CONN_PROBED;
	counter_add(&t->counters->tcp_tail_probes, 1);
	arm_retransmit(t, c);
}

/* Bytes, as the windows allow. False: no more room for frames. */
static bool data_flow(struct tcp *t, struct tcp_conn *c, struct frames *out)
{
	bool sent = false;

	if (c->flags & CONN_TAIL_PROBE)
		tail_probe(t, c, out);
	if (c->q && c->q->sent.n_lost && !again_flow(t, c, out))
		return false;
	if (!new_flow(t, c, out, &sent))
		return false;
	c->flags &= ~(uint32_t)CONN_FORCE;
	if (c->q)
		congestion_sent(c);
	if (!c->rtx_due_ms && waits_for_peer(c))
		arm_retransmit(t, c);
	if (sent) {
		probe_arm(t, c);
		conn_schedule(t, c);
	}
	return true;
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
		else if ((c->flags & CONN_ACK_NOW) && c->state == TCP_SYN_RCVD)
			ack_send(t, c, out, c->snd_nxt);
		c->flags &= ~(uint32_t)CONN_ACK_NOW;
		return true;
	}
	for (; c->acks_owed; c->acks_owed--) {
		if (is_full(out))
			return false;
		ack_send(t, c, out, c->snd_nxt);
	}
	if (c->flags & CONN_PROBE_DUE) {
		if (is_full(out))
			return false;
		probe_send(t, c, out);
	}
	if (may_send_bytes(c) && !data_flow(t, c, out))
		return false;
	if (c->flags & CONN_ACK_NOW) {
		if (is_full(out))
			return false;
		c->flags &= ~(uint32_t)CONN_ACK_NOW;
		ack_send(t, c, out, c->snd_nxt);
	}
	return true;
}

/* One that is over owes nothing but, on its way to TIME-WAIT, the ACK of the peer's FIN. */
static bool owes(const struct tcp_conn *c)
{
	return !(c->flags & CONN_GONE) || (c->state == TCP_TIME_WAIT && (c->flags & CONN_ACK_NOW));
}

/* --- answers that belong to no connection ------------------------------------------------------
 */

static void reply_send(struct tcp *t, const struct tcp_reply *r, struct frames *out)
{
	struct rte_mbuf *m = frame_new(t, r->path.port, tcp_header_len(&r->header), 0);

	if (!m)
		return;
	tcp_header_write(&r->header, rte_pktmbuf_mtod(m, uint8_t *), r->flow.local_port,
			 r->flow.remote_port);
	frame_send(t, out, m, &r->flow, &r->path);
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

		if (owes(c) && !conn_output(t, c, &out))
			break;
		conn_list_pop(t, &t->output, CONN_ON_OUTPUT);
		conn_free_if_over(t, c);
	}
	return out.n;
}
