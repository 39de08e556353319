/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Segments in: the state machine, in the order of RFC 9293 3.10.7.
 *
 * Thread: the owning worker. Time: tcp_input_take's.
 * Memory: a connection at a SYN, a queue at the first payload; without either the segment is lost.
 * Rules: RFC 9293 3.10.7; RFC 7323 (timestamps, PAWS); RFC 5961 (RST, SYN and ACK checks);
 * RFC 6191 (a SYN in TIME-WAIT, the rest of which is in time_wait.c). Deliberately not done: urgent
 * data is delivered in line (RFC 6093), data on a SYN is left to be sent again.
 */
#include <string.h>

#include <rte_mbuf.h>

#include "tcp/conn.h"

enum { DUP_ACKS = 3 }; /* RFC 5681 3.2 */

/* A segment as the state machine sees it. */
struct segment {
	struct net_segment *net;
	struct rte_mbuf *m; /* NULL once it was taken over */
	uint32_t tag;
	uint32_t len; /* of the payload */
	struct tcp_header h;
};

/* --- answers ------------------------------------------------------------------------------- */

static void ack_now(struct tcp *t, struct tcp_conn *c)
{
	c->flags |= CONN_ACK_NOW;
	conn_want_output(t, c);
}

/* RFC 5961 7: what a blind attacker provokes is limited; for each connection by itself, since on a
 * common limit the owner of one connection could count what he provokes on another's (Cao et al.,
 * "Off-path TCP exploits", USENIX Security 2016). */
static void challenge(struct tcp *t, struct tcp_conn *c)
{
	uint8_t now = challenge_period(t, c);

	if (c->challenged == now)
		return;
	c->challenged = now;
	counter_add(&t->counters->tcp_challenge_acks, 1);
	ack_now(t, c);
}

/* RFC 9293 3.10.7.1: the RST for a segment nobody expects. */
static void refuse(struct tcp *t, const struct segment *s)
{
	uint32_t end = s->h.seq + s->len + !!(s->h.flags & TCP_SYN) + !!(s->h.flags & TCP_FIN);

	if (s->h.flags & TCP_RST)
		return;
	if (!budget_take(t, BUDGET_RESETS)) {
		counter_add(&t->counters->tcp_replies_shed, 1);
		return;
	}
	if (s->h.flags & TCP_ACK)
		reply_reset(t, &s->net->flow, &s->net->path, s->h.ack, 0, TCP_RST);
	else
		reply_reset(t, &s->net->flow, &s->net->path, 0, end, TCP_RST | TCP_ACK);
}

/* --- opening ------------------------------------------------------------------------------- */

static bool is_listening(const struct tcp *t, uint16_t port)
{
	for (uint32_t i = 0; i < t->n_listen; i++)
		if (t->listen[i] == port)
			return true;
	return false;
}

/* What a SYN agrees on. */
static void take_syn_options(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h)
{
	conn_set_mss(t, c, h);
	if (h->has_wscale) {
		c->snd_wscale = h->wscale;
		c->rcv_wscale = t->rcv_wscale;
	} else {
		c->snd_wscale = c->rcv_wscale = 0;
	}
	if (h->has_ts) {
		c->flags |= CONN_TS;
		c->ts_recent = h->ts_value;
	}
	if (h->sack_permitted && !(t->config.without & TCP_WITHOUT_SACK))
		c->flags |= CONN_SACK;
	c->rcv_nxt = c->rcv_acked = h->seq + 1;
	c->rcv_adv = c->rcv_nxt + conn_syn_window(t);
	c->snd_wnd = h->window; /* of a SYN: never scaled */
	c->snd_wl1 = h->seq;
	congestion_start(c);
}

/* Whether the client has twice what it may have open: it was told so that often. */
static bool client_is_refused(struct tcp *t, const struct segment *s)
{
	uint32_t limit = t->config.client_conns;

	if (!limit ||
	    clients_count(t->config.clients, CLIENTS_OPEN, &s->net->flow.remote) / 2 < limit)
		return false;
	counter_add(&t->counters->tcp_client_refused, 1);
	refuse(t, s);
	return true;
}

/* Whether a SYN leaves no memory: there is too much of it already, or of this client's. Nobody
 * behind a forged address is harmed by that. */
static bool wants_cookie(struct tcp *t, const struct segment *s)
{
	uint32_t limit = t->config.client_half_open;

	if (cookie_is_due(t)) {
		counter_add(&t->counters->tcp_syn_full, 1);
		return true;
	}
	if (!limit ||
	    clients_count(t->config.clients, CLIENTS_HALF_OPEN, &s->net->flow.remote) < limit)
		return false;
	counter_add(&t->counters->tcp_client_half_open, 1);
	return true;
}

static struct tcp_conn *open_passively(struct tcp *t, const struct segment *s)
{
	struct tcp_conn *c;

	if (client_is_refused(t, s))
		return NULL;
	if (wants_cookie(t, s)) {
		cookie_answer(t, &s->net->flow, &s->net->path, &s->h);
		return NULL;
	}
	c = conn_new(t, &s->net->flow, s->tag, &s->net->path);
	if (!c)
		return NULL;
	c->state = TCP_SYN_RCVD;
	c->flags |= CONN_SYN_DUE;
	conn_count(t, c);
	take_syn_options(t, c, &s->h);
	conn_want_output(t, c);
	counter_add(&t->counters->tcp_passive_opens, 1);
	return c;
}

/* The third ACK of a handshake we kept no memory of: as if we had. NULL when there is still none:
 * the client's next segment tries again. */
static struct tcp_conn *open_by_cookie(struct tcp *t, const struct segment *s,
				       const struct tcp_header *syn)
{
	struct tcp_conn *c;

	if (client_is_refused(t, s))
		return NULL;
	c = conn_new(t, &s->net->flow, s->tag, &s->net->path);
	if (!c)
		return NULL;
	c->state = TCP_SYN_RCVD;
	c->flags |= CONN_COOKIE;
	if (!cookie_is_stamped(t, c, &s->h))
		c->flags |= CONN_UNPROVED;
	c->snd_una = s->h.ack - 1;
	c->snd_nxt = s->h.ack;
	c->tries = 1; /* it was not timed */
	conn_count(t, c);
	take_syn_options(t, c, syn);
	counter_add(&t->counters->tcp_passive_opens, 1);
	return c;
}

static bool is_cookie(struct tcp *t, const struct segment *s, struct tcp_header *syn)
{
	return t->now_us < t->cookies_until_us &&
	       (s->h.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_ACK &&
	       is_listening(t, s->net->flow.local_port) &&
	       cookie_check(t, &s->net->flow, &s->h, syn);
}

static void in_connection(struct tcp *t, struct tcp_conn *c, struct segment *s);

static void no_connection(struct tcp *t, struct segment *s)
{
	struct tcp_header syn;

	if (is_cookie(t, s, &syn)) {
		struct tcp_conn *c = open_by_cookie(t, s, &syn);

		if (c)
			in_connection(t, c, s);
		return;
	}
	if ((s->h.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN) {
		if (is_listening(t, s->net->flow.local_port)) {
			open_passively(t, s);
			return;
		}
		counter_add(&t->counters->tcp_no_listener, 1);
	} else {
		counter_add(&t->counters->tcp_no_connection, 1);
	}
	refuse(t, s);
}

static void established(struct tcp *t, struct tcp_conn *c)
{
	conn_uncount(t, c);
	c->state = c->flags & CONN_FIN_QUEUED ? TCP_FIN_WAIT_1 : TCP_ESTABLISHED;
	conn_count(t, c);
	c->flags &= ~(uint32_t)CONN_SYN_DUE;
	/* The SYN was timed unless it had to be sent twice (RFC 6298 3, 5.7). */
	if (c->tries == 0 && c->srtt_us == 0)
		rtt_sample(c, (uint32_t)t->now_us - c->rttvar_us);
	/* RFC 6928 2: one SYN sent again may have been so for nothing, two show losses. */
	if (c->tries > 1)
		c->cwnd = c->snd_mss;
	c->tries = 0;
	c->rtx_due_ms = 0;
	conn_watch_silence(t, c);
	conn_schedule(t, c);
	conn_want_output(t, c); /* a FIN may be queued already */
	counter_add(&t->counters->tcp_established, 1);
	conn_tell(t, c, TCP_OPENED);
}

/* Our SYN leaves once more at the peer's wish, which times no round trip (RFC 6298 3) and does not
 * put off our patience's end. */
static void syn_repeat(struct tcp *t, struct tcp_conn *c)
{
	if (c->tries == 0 && c->snd_nxt != c->snd_una)
		c->tries = 1;
	c->flags |= CONN_SYN_DUE;
	conn_want_output(t, c);
}

/* Our SYN must have left: its number can be guessed by who has had the flow before, and a burst may
 * bring the answer together with what makes us send it. */
static bool acknowledges_syn(const struct tcp_conn *c, const struct segment *s)
{
	return c->snd_nxt == c->snd_una + 1 && s->h.ack == c->snd_nxt;
}

/* RFC 9293 3.10.7.3. */
static void in_syn_sent(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	bool has_ack = s->h.flags & TCP_ACK;

	if (has_ack && !acknowledges_syn(c, s)) {
		counter_add(&t->counters->tcp_bad_ack, 1);
		refuse(t, s);
		return;
	}
	if (s->h.flags & TCP_RST) {
		if (has_ack) {
			counter_add(&t->counters->tcp_resets_in, 1);
			conn_end(t, c, TCP_END_REFUSED);
		}
		return;
	}
	if (!(s->h.flags & TCP_SYN))
		return;
	take_syn_options(t, c, &s->h);
	if (!has_ack) {
		/* Simultaneous open (RFC 9293 3.5). */
		c->state = TCP_SYN_RCVD;
		syn_repeat(t, c);
		return;
	}
	c->snd_una = s->h.ack;
	established(t, c);
	ack_now(t, c);
}

/* --- checks (RFC 9293 3.10.7.4, first to fourth) --------------------------------------------- */

static bool is_old_timestamp(const struct tcp_conn *c, const struct segment *s)
{
	if ((c->flags & (CONN_TS | CONN_TS_STALE)) != CONN_TS)
		return false;
	return s->h.has_ts && !(s->h.flags & TCP_RST) && seq_lt(s->h.ts_value, c->ts_recent);
}

/* RFC 9293's test, widened by one octet at either end: a segment that ends where the window begins
 * or begins where it ends still brings its ACK, which a peer that filled our window depends on. */
static bool is_acceptable(const struct tcp_conn *c, const struct segment *s)
{
	uint32_t len = s->len + !!(s->h.flags & TCP_SYN) + !!(s->h.flags & TCP_FIN);

	return seq_le(s->h.seq, c->rcv_adv) && seq_le(c->rcv_nxt, s->h.seq + len);
}

/* Both sides have sent all and the peer has all of it; it only is no longer there to say so of our
 * FIN, TIME-WAIT being over. RFC 9293 3.10.7.4 has no 'connection reset' there. */
static bool is_done_but_for_fin(const struct tcp_conn *c)
{
	return (c->state == TCP_LAST_ACK || c->state == TCP_CLOSING) &&
	       (c->flags & CONN_FIN_SENT) && c->snd_una + 1 == c->snd_nxt;
}

static void take_reset(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if (s->h.seq != c->rcv_nxt) {
		challenge(t, c);
		return;
	}
	counter_add(&t->counters->tcp_resets_in, 1);
	if (is_done_but_for_fin(c)) {
		c->state = TCP_LAST_ACK; /* no TIME-WAIT, which has nobody to answer */
		conn_end(t, c, TCP_END_CLOSED);
		return;
	}
	conn_end(t, c, c->state == TCP_SYN_RCVD ? TCP_END_REFUSED : TCP_END_RESET);
}

/* The peer's SYN comes a second time: either it has not heard our SYN and ACK, or both sides
 * opened at once and this is its ACK to ours (RFC 9293 3.5, figure 7). */
static bool syn_again(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	if ((s->h.flags & TCP_ACK) && acknowledges_syn(c, s)) {
		s->h.seq++; /* bytes, if any, come behind the SYN */
		ack_now(t, c);
		return true;
	}
	/* No checksum covers the link's addresses: the first may have been wrong. */
	conn_set_path(t, c, &s->net->path);
	syn_repeat(t, c);
	return false;
}

/* True: the segment may go on to its ACK. */
static bool passes_checks(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	if (is_old_timestamp(c, s)) {
		counter_add(&t->counters->tcp_paws, 1);
		challenge(t, c);
		return false;
	}
	if (c->state == TCP_SYN_RCVD && (s->h.flags & TCP_SYN) && s->h.seq == c->rcv_nxt - 1)
		return syn_again(t, c, s);
	if (!is_acceptable(c, s)) {
		if (s->h.flags & TCP_RST)
			return false;
		counter_add(&t->counters->tcp_unacceptable, 1);
		/* Bytes sent again miss our ACK. Answers to mere ACKs could go on for ever, when
		 * the peer does not take ours either. */
		if (s->len)
			ack_now(t, c);
		else
			challenge(t, c);
		return false;
	}
	if (s->h.flags & TCP_RST) {
		take_reset(t, c, s);
		return false;
	}
	if (s->h.flags & TCP_SYN) {
		challenge(t, c);
		return false;
	}
	return s->h.flags & TCP_ACK;
}

/* --- fifth: the ACK -------------------------------------------------------------------------- */

static void measure(struct tcp_conn *c, const struct delivery *d)
{
	if (!d->rtt_us)
		return;
	rtt_sample(c, d->rtt_us);
	c->backoff = 0;
	c->flags &= ~(uint32_t)CONN_PROBED;
}

/* What the ACK covers leaves the queue; the rest of it is our FIN. */
static void advance(struct tcp *t, struct tcp_conn *c, uint32_t ack)
{
	uint32_t acked = ack - c->snd_una;
	uint32_t octets = acked < c->q->send_len ? acked : c->q->send_len;

	if (octets) {
		send_acknowledged(t, c, octets);
		conn_tell(t, c, TCP_ROOM);
	}
	c->snd_una = ack;
	c->tries = 0;
	c->flags |= CONN_HEARD;
	c->q->progress_ms = t->now_ms;
}

/* RFC 6937 3: without SACK a duplicate ACK stands for a segment that arrived, never the first one,
 * and a later ACK brings no news of what duplicates stood for. */
static void credit_duplicates(struct tcp_conn *c, struct delivery *d, bool duplicate)
{
	struct tcp_queue *q = c->q;
	uint32_t most = q->sent.count ? conn_flight(c) - sent_at(&q->sent, 0)->len : 0, octets;

	if (duplicate) {
		octets = most - q->credited;
		octets = octets < c->snd_mss ? octets : c->snd_mss;
		q->credited += octets;
		d->octets += octets;
	} else if (d->acked) {
		octets = d->octets > c->snd_mss ? d->octets - c->snd_mss : 0;
		octets = octets < q->credited ? octets : q->credited;
		q->credited -= octets;
		q->credited = q->credited < most ? q->credited : most;
		d->octets -= octets;
	}
}

/* Without SACK the third duplicate ACK says that the first segment was lost, and an ACK of a part
 * that the next is missing too. What was sent again for nothing after a timeout makes duplicates at
 * recover itself: they say nothing (RFC 6582 3.2 step 2). */
static void guess_without_sack(struct tcp_conn *c, struct delivery *d, bool duplicate)
{
	struct tcp_queue *q = c->q;
	bool partial = d->acked && seq_lt(c->snd_una, q->recover);

	if (c->flags & CONN_LOSS)
		return;
	credit_duplicates(c, d, duplicate);
	if (q->sent.count == 0)
		return;
	if (c->flags & CONN_RECOVERY) {
		if (partial) {
			sent_mark_lost(c, sent_at(&q->sent, 0));
			c->flags |= CONN_FORCE;
		}
	} else if (duplicate && q->dup_acks < DUP_ACKS && ++q->dup_acks == DUP_ACKS &&
		   seq_lt(q->recover, c->snd_una)) {
		sent_mark_lost(c, sent_at(&q->sent, 0));
		d->lost = true;
	}
}

static void find_losses(struct tcp *t, struct tcp_conn *c, const struct segment *s,
			struct delivery *d, bool duplicate)
{
	if (!(c->flags & CONN_SACK)) {
		guess_without_sack(c, d, duplicate);
		return;
	}
	if (d->dsack)
		rack_saw_dsack(c);
	d->lost = rack_find_lost(t, c);
	if (probe_acked(c, &s->h, d, duplicate))
		congestion_reduce(t, c, d);
}

/* A SYN's is never scaled (RFC 7323 2.2). */
static uint32_t told_window(const struct tcp_conn *c, const struct tcp_header *h)
{
	return h->flags & TCP_SYN ? h->window : (uint32_t)h->window << c->snd_wscale;
}

/* RFC 5681 2; of a shut window it is a probe's answer. */
static bool is_duplicate_ack(const struct tcp_conn *c, const struct segment *s)
{
	return s->h.ack == c->snd_una && s->len == 0 && !(s->h.flags & TCP_FIN) &&
	       c->snd_una != c->snd_nxt && c->snd_wnd && told_window(c, &s->h) == c->snd_wnd;
}

/* Nothing is under way: what answers a segment sent for nothing tells that a tail probe was it
 * (RFC 8985 7.4.2), by a DSACK or, of a peer that knows none, by nothing new. */
static void answer_at_rest(struct tcp_conn *c, const struct segment *s)
{
	bool nothing_new = s->len == 0 && told_window(c, &s->h) == c->snd_wnd;

	if (s->h.n_sack || nothing_new)
		c->flags &= ~(uint32_t)CONN_PROBE_OPEN;
}

/* An acceptable ACK: what it delivers, what it shows to be lost, what may be sent now. */
static void take_delivery(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	struct delivery d = {.flight = conn_flight(c), .acked = s->h.ack - c->snd_una};
	bool duplicate = is_duplicate_ack(c, s);

	if (!c->q)
		answer_at_rest(c, s);
	if (!c->q || (!d.acked && !duplicate && !s->h.n_sack))
		return;
	d.pipe = conn_pipe(c);
	sent_delivered(t, c, &s->h, &d);
	measure(c, &d);
	if (d.acked)
		advance(t, c, s->h.ack);
	find_losses(t, c, s, &d, duplicate);
	congestion_ack(t, c, &d);
	if (d.acked) {
		if (!(c->flags & CONN_RECOVERY))
			c->q->dup_acks = c->q->credited = 0;
		c->rtx_due_ms = c->snd_una == c->snd_nxt ? 0 : ms_from(t->now_ms, conn_rto_ms(c));
		probe_arm(t, c);
	}
	conn_schedule(t, c);
	conn_want_output(t, c);
}

/* The peer's window shut or opened: whether we wait for an ACK or for a window is another question
 * now. Who shuts it over what is under way has shown that he is alive (RFC 6429), so the patience
 * that had begun for a peer that is silent ends. */
static void wait_anew(struct tcp *t, struct tcp_conn *c)
{
	if (c->flags & CONN_STARVED)
		return;
	c->rtx_due_ms = 0;
	c->tries = 0;
	conn_want_output(t, c);
}

/* RFC 9293 3.10.7.4; that the ACK is no older than the last window's (SND.WL2) goes without saying:
 * it is not older than snd_una. */
static void take_window(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	uint32_t window = told_window(c, &s->h);

	if (seq_lt(s->h.seq, c->snd_wl1))
		return;
	if (window > c->snd_wnd)
		conn_want_output(t, c);
	if (!window != !c->snd_wnd || (window > c->snd_wnd && c->snd_una == c->snd_nxt))
		wait_anew(t, c);
	c->snd_wnd = window;
	c->snd_wl1 = s->h.seq;
	if (c->q && window > c->q->window_seen)
		c->q->window_seen = window;
}

/* Whether our FIN was sent and the peer has acknowledged it. */
static bool fin_is_acknowledged(const struct tcp_conn *c)
{
	return (c->flags & CONN_FIN_SENT) && c->snd_una == c->snd_nxt;
}

/* False: the segment goes no further. */
static bool take_ack(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	uint32_t reach = c->q && c->q->window_seen > c->snd_wnd ? c->q->window_seen : c->snd_wnd;

	if (c->state == TCP_SYN_RCVD) {
		if (!acknowledges_syn(c, s)) {
			counter_add(&t->counters->tcp_bad_ack, 1);
			refuse(t, s);
			return false;
		}
		c->snd_una = s->h.ack;
		c->snd_wnd = told_window(c, &s->h);
		c->snd_wl1 = s->h.seq;
		established(t, c);
		return true;
	}
	/* RFC 5961 5.2. */
	if (seq_lt(c->snd_nxt, s->h.ack) || seq_lt(s->h.ack, c->snd_una - reach)) {
		counter_add(&t->counters->tcp_bad_ack, 1);
		challenge(t, c);
		return false;
	}
	if (seq_le(c->snd_una, s->h.ack)) {
		if (c->q && !s->len)
			c->q->answered = true;
		take_delivery(t, c, s);
		take_window(t, c, s);
	}
	return true;
}

/* Our FIN is acknowledged: the states move on. False: the connection is over. */
static bool after_ack(struct tcp *t, struct tcp_conn *c)
{
	if (!fin_is_acknowledged(c))
		return true;
	switch (c->state) {
	case TCP_FIN_WAIT_1:
		c->state = TCP_FIN_WAIT_2;
		if (c->flags & CONN_ORPHAN) {
			c->life_due_ms = ms_from(t->now_ms, TCP_FIN_WAIT_2_MS);
			conn_schedule(t, c);
		}
		return true;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		conn_end(t, c, TCP_END_CLOSED);
		return false;
	default:
		return true;
	}
}

/* --- seventh and eighth: bytes and FIN ---------------------------------------------------------
 */

static bool receives(const struct tcp_conn *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 ||
	       c->state == TCP_FIN_WAIT_2;
}

/* Every second full segment is acknowledged at once, a smaller one after a while, unless bytes of
 * ours carry the ACK before (RFC 9293 3.8.6.3). */
static void acknowledge_bytes(struct tcp *t, struct tcp_conn *c)
{
	if (c->rcv_nxt - c->rcv_acked >= 2u * c->snd_mss) {
		ack_now(t, c);
	} else if (!c->ack_due_ms) {
		c->ack_due_ms = ms_from(t->now_ms, TCP_ACK_DELAY_MS);
		conn_schedule(t, c);
	}
}

/* False: the connection is over. */
static bool take_bytes(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	struct rte_mbuf *m = s->m;
	bool gap = c->q && c->q->n_ranges;
	bool ahead = seq_lt(c->rcv_nxt, s->h.seq);

	if (!receives(c))
		return true;
	if ((c->flags & CONN_ORPHAN) && c->state == TCP_FIN_WAIT_2 &&
	    seq_lt(c->rcv_nxt, s->h.seq + s->len)) {
		/* It has all of ours and goes on talking to nobody. */
		conn_reset(t, c);
		counter_add(&t->counters->tcp_aborts, 1);
		conn_drop(t, c);
		return false;
	}
	if (!(c->flags & CONN_HEARD) && seq_lt(c->rcv_nxt, s->h.seq + s->len))
		c->flags |= CONN_EARLY;
	rte_pktmbuf_adj(m, (uint16_t)(s->net->tcp_at + s->net->header_len));
	s->m = NULL;
	if (receive_payload_take(t, c, m, s->h.seq)) {
		conn_tell(t, c, TCP_BYTES);
		if (gap)
			ack_now(t, c); /* RFC 5681 4.2: it filled a gap */
		else
			acknowledge_bytes(t, c);
	} else {
		if (ahead && c->acks_owed < TCP_DUP_ACKS_OWED_MAX)
			c->acks_owed++;
		ack_now(t, c);
	}
	return true;
}

/* The peer's FIN, in order: nothing follows. */
static void take_fin(struct tcp *t, struct tcp_conn *c)
{
	c->rcv_nxt++;
	if (seq_lt(c->rcv_adv, c->rcv_nxt))
		c->rcv_adv = c->rcv_nxt;
	c->flags |= CONN_PEER_DONE;
	receive_end(c);
	ack_now(t, c);
	conn_tell(t, c, TCP_PEER_DONE);
	switch (c->state) {
	case TCP_ESTABLISHED:
		c->state = TCP_CLOSE_WAIT;
		break;
	case TCP_FIN_WAIT_1:
		c->state = TCP_CLOSING; /* its ACK, when it had one, moved us to FIN_WAIT_2 */
		break;
	case TCP_FIN_WAIT_2:
		conn_end(t, c, TCP_END_CLOSED);
		break;
	default:
		break;
	}
}

/* A FIN may come before the bytes it follows: it is remembered. */
static void look_at_fin(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	uint32_t fin_seq = s->h.seq + s->len;

	if (!receives(c)) {
		/* A FIN that comes again: our ACK of it was lost. */
		if ((s->h.flags & TCP_FIN) || s->len)
			ack_now(t, c);
		return;
	}
	if (s->h.flags & TCP_FIN) {
		if (fin_seq == c->rcv_nxt) {
			take_fin(t, c);
			return;
		}
		if (seq_lt(c->rcv_nxt, fin_seq) && seq_le(fin_seq, c->rcv_adv) &&
		    receive_fin_ahead(t, c, fin_seq) && s->len == 0 &&
		    c->acks_owed < TCP_DUP_ACKS_OWED_MAX)
			c->acks_owed++;
		ack_now(t, c);
	}
	if (!c->q || !c->q->fin_known)
		return;
	if (c->q->fin_seq == c->rcv_nxt)
		take_fin(t, c);
	else if (seq_lt(c->q->fin_seq, c->rcv_nxt))
		c->q->fin_known = false; /* bytes came in its place */
}

/* --- one segment --------------------------------------------------------------------------- */

static void in_time_wait(struct tcp *t, struct time_wait *w, const struct segment *s)
{
	if (time_wait_may_reopen(w, &s->h) && is_listening(t, s->net->flow.local_port))
		time_wait_yield(t, w, open_passively(t, s));
	else
		time_wait_input(t, w, s->net, &s->h, s->len);
}

/* RFC 7323 4.3; of a segment whose ACK is good, too, because a blind attacker who sets a time far
 * ahead shuts the true peer out. It is not older than the last, or that one is too old to count. */
static void remember_timestamp(struct tcp_conn *c, const struct segment *s)
{
	if (!s->h.has_ts || !seq_le(s->h.seq, c->rcv_acked))
		return;
	c->ts_recent = s->h.ts_value;
	c->flags &= ~(uint32_t)CONN_TS_STALE;
}

/* A client's router may give way to another, and only what it sends tells. An old ACK does not: it
 * may have been under way since before, and guessing the last is harder. Whom we opened to is
 * reached by the kernel's routes, which a timeout looks up. */
static void take_path(struct tcp *t, struct tcp_conn *c, const struct segment *s)
{
	if (!(c->flags & CONN_ACTIVE) && s->h.ack == c->snd_una)
		conn_set_path(t, c, &s->net->path);
}

static void in_connection(struct tcp *t, struct tcp_conn *c, struct segment *s)
{
	if (c->state == TCP_SYN_SENT) {
		in_syn_sent(t, c, s);
		return;
	}
	if (!passes_checks(t, c, s))
		return;
	if (!take_ack(t, c, s))
		return;
	remember_timestamp(c, s);
	take_path(t, c, s);
	if (!after_ack(t, c))
		return;
	c->seen_ms = t->now_ms;
	if (s->len && !take_bytes(t, c, s))
		return;
	look_at_fin(t, c, s);
	if (!(c->flags & CONN_ON_NEWS))
		conn_queue_settle(t, c);
}

/* No sane peer sends these together (RFC 9293 3.10.7; what scanners send). */
static bool are_flags_sane(uint8_t flags)
{
	uint8_t kind = flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK);

	if ((kind & TCP_SYN) && (kind & (TCP_FIN | TCP_RST)))
		return false;
	return kind != 0 && kind != TCP_FIN && !((kind & TCP_FIN) && (kind & TCP_RST));
}

/* False: it may be another worker's, and nothing was made of it. */
static bool one_segment(struct tcp *t, struct segment *s)
{
	struct net_segment *net = s->net;
	struct tcp_conn *c = table_find(t, &net->flow, s->tag);
	struct time_wait *w = c ? NULL : time_wait_find(t, &net->flow, s->tag);

	if (!c && !w && net->on_trust)
		return false;
	if (!tcp_header_read(&s->h, rte_pktmbuf_mtod_offset(s->m, const uint8_t *, net->tcp_at),
			     net->header_len) ||
	    !are_flags_sane(s->h.flags)) {
		counter_add(&t->counters->tcp_bad_header, 1);
		return true;
	}
	counter_add(&t->counters->tcp_segments_in, 1);
	s->len = net->tcp_len - net->header_len;
	if (c)
		in_connection(t, c, s);
	else if (w)
		in_time_wait(t, w, s);
	else
		no_connection(t, s);
	return true;
}

uint32_t tcp_input_take(struct tcp *t, struct net_segment *segments, uint32_t n, uint64_t now_us)
{
	struct segment s[TCP_BURST_MAX];
	uint32_t left = 0;

	assert(n <= TCP_BURST_MAX);
	t->now_us = now_us;
	t->now_ms = (uint32_t)(now_us / 1000);
	pool_look(t);
	for (uint32_t i = 0; i < n; i++) {
		s[i].net = &segments[i];
		s[i].m = segments[i].m;
		assert(segments[i].hash == net_hash(t->net, &segments[i].flow));
		s[i].tag = (uint32_t)segments[i].hash;
		tags_prefetch(&t->table, s[i].tag);
	}
	for (uint32_t i = 0; i < n; i++)
		table_prefetch_conn(t, s[i].tag);
	for (uint32_t i = 0; i < n; i++) {
		if (one_segment(t, &s[i]))
			rte_pktmbuf_free(s[i].m);
		else
			segments[left++] = segments[i];
	}
	return left;
}

/* RFC 1122 4.2.3.9, RFC 5461 3.1: who is still opening takes a no for an answer. What is open does
 * not end by what anybody can send (RFC 5927 5.2). */
static void error_of_open(struct tcp *t, struct tcp_conn *c, enum net_error_kind kind)
{
	if (c->state != TCP_SYN_SENT)
		return;
	if (kind == NET_ERROR_REFUSED)
		conn_end(t, c, TCP_END_REFUSED);
	else
		conn_tell(t, c, TCP_UNREACHED);
}

void tcp_error(struct tcp *t, const struct net_segment *error, uint64_t now_us)
{
	struct tcp_conn *c;

	t->now_us = now_us;
	t->now_ms = (uint32_t)(now_us / 1000);
	if (!budget_take(t, BUDGET_ERRORS)) {
		counter_add(&t->counters->tcp_errors_shed, 1);
		return;
	}
	c = table_find(t, &error->flow, (uint32_t)error->hash);
	if (!c)
		return;
	/* Believed only of a number that is in flight (RFC 5927 4.1). A smaller MTU is honoured by
	 * sending smaller segments; one that a flood hides is found out by what does not arrive. */
	if (seq_lt(error->error_seq, c->snd_una) || !seq_lt(error->error_seq, c->snd_nxt))
		return;
	if (error->error == NET_ERROR_TOO_BIG)
		conn_path_shrinks(t, c, error->error_mtu);
	else
		error_of_open(t, c, error->error);
}
