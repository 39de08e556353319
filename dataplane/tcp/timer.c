/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Timers: retransmission and persist, delayed ACK, and the bounds of each state in time.
 *
 * Thread: the owning worker. Time: tcp_tick's.
 * Memory: one wheel timer a connection, armed for the earliest of its deadlines. A deadline
 * that moves later leaves it armed: it fires, finds nothing due and is armed again, which costs
 * less than moving it with every ACK.
 * Rules: RFC 6298, with its minimum (2.4) of TCP_RTO_MIN_MS beyond the smoothed round trip, since
 * the variance of a steady path says nothing of the ACK it may delay; a timeout's back-off lasts
 * until a round trip is timed (5, last paragraph). RFC 9293 3.8.3 (giving up), 3.8.6.1 (persist),
 * 3.9.1.1 (the user's timeout). Whatever a peer answers, what it does not acknowledge keeps a
 * connection for user_timeout_ms at most; such connections count against config.conns, and hold
 * config.send_queue octets each. RFC 4821 7.7, black holes, without its search for the largest size
 * that passes.
 */
#include "tcp/conn.h"

uint64_t conn_due_us(const struct tcp *t, uint32_t due_ms)
{
	int32_t ahead = (int32_t)(due_ms - t->now_ms);

	return ahead <= 0 ? t->now_us : ((uint64_t)(t->now_us / 1000) + (uint32_t)ahead) * 1000;
}

static bool is_due(const struct tcp *t, uint32_t due_ms)
{
	return due_ms && seq_le(due_ms, t->now_ms);
}

/* Since when the oldest of ours waits for its acknowledgement; false: nothing does. */
static bool is_stalling(const struct tcp_conn *c, uint32_t *since_ms)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD) {
		*since_ms = c->seen_ms;
		return true;
	}
	if (!c->q || (c->snd_una == c->snd_nxt && !c->q->send_len))
		return false;
	*since_ms = c->q->progress_ms;
	return true;
}

uint64_t conn_deadline_us(const struct tcp *t, const struct tcp_conn *c)
{
	const uint32_t due_ms[] = {c->rtx_due_ms, c->ack_due_ms, c->life_due_ms};
	uint64_t earliest = WHEEL_NEVER;
	uint32_t since_ms;

	for (unsigned i = 0; i < RTE_DIM(due_ms); i++) {
		uint64_t due = due_ms[i] ? conn_due_us(t, due_ms[i]) : WHEEL_NEVER;

		if (due < earliest)
			earliest = due;
	}
	if (is_stalling(c, &since_ms)) {
		uint64_t due = conn_due_us(t, since_ms + t->config.user_timeout_ms);

		if (due < earliest)
			earliest = due;
	}
	if (c->q && c->q->rack.due_us && c->q->rack.due_us < earliest)
		earliest = c->q->rack.due_us;
	if (c->q && c->q->probe.due_us && c->q->probe.due_us < earliest)
		earliest = c->q->probe.due_us;
	return earliest;
}

void conn_schedule(struct tcp *t, struct tcp_conn *c)
{
	uint64_t earliest = conn_deadline_us(t, c);

	if (earliest == WHEEL_NEVER)
		return;
	if (!timer_is_armed(&c->timer) || earliest < c->timer.due_us)
		wheel_arm(&t->wheel, &c->timer, earliest);
}

void rtt_sample(struct tcp_conn *c, uint32_t rtt_us)
{
	if (rtt_us == 0)
		rtt_us = 1;
	if (c->srtt_us == 0) {
		c->srtt_us = rtt_us;
		c->rttvar_us = rtt_us / 2;
	} else {
		uint32_t off = c->srtt_us > rtt_us ? c->srtt_us - rtt_us : rtt_us - c->srtt_us;

		c->rttvar_us = c->rttvar_us - c->rttvar_us / 4 + off / 4;
		c->srtt_us = c->srtt_us - c->srtt_us / 8 + rtt_us / 8;
		if (c->srtt_us == 0)
			c->srtt_us = 1;
	}
}

static bool is_handshake(const struct tcp_conn *c)
{
	return c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD;
}

uint32_t conn_rto_ms(const struct tcp_conn *c)
{
	uint64_t rto = TCP_RTO_INITIAL_MS, beyond_us = 4ull * c->rttvar_us;
	bool waits;

	if ((c->flags & CONN_SYN_LOST) && !is_handshake(c))
		rto = TCP_RTO_UNTIMED_MS;
	if (c->srtt_us) {
		if (beyond_us < TCP_RTO_MIN_MS * 1000)
			beyond_us = TCP_RTO_MIN_MS * 1000;
		rto = (c->srtt_us + beyond_us) / 1000 + 1;
	}
	/* What waits for a window backs off by itself. */
	waits = !c->q || !conn_pipe(c) || !c->snd_wnd;
	rto <<= waits || c->backoff < c->tries ? c->tries : c->backoff;
	return rto < TCP_RTO_MAX_MS ? (uint32_t)rto : TCP_RTO_MAX_MS;
}

static uint8_t patience(const struct tcp *t, const struct tcp_conn *c)
{
	if (is_handshake(c))
		return c->flags & CONN_ACTIVE ? TCP_SYN_RETRIES : TCP_SYNACK_RETRIES;
	if (c->flags & CONN_UNHEARD)
		return 0;
	if (c->snd_una != c->snd_nxt && c->snd_wnd)
		return TCP_RETRIES;
	return t->pool_spare ? TCP_PROBES : TCP_PROBES_LOW;
}

void conn_starve(struct tcp *t, struct tcp_conn *c)
{
	c->flags |= CONN_STARVED;
	c->rtx_due_ms = ms_from(t->now_ms, TCP_STARVED_MS);
	conn_schedule(t, c);
}

void conn_starves_no_more(struct tcp_conn *c)
{
	if (!(c->flags & CONN_STARVED))
		return;
	c->flags &= ~(uint32_t)CONN_STARVED;
	c->rtx_due_ms = 0;
}

/* What a segment of this size is cut to where it does not pass; 0: it is small enough anywhere. */
static uint16_t smaller_size(const struct tcp_conn *c, uint32_t size)
{
	if (size > TCP_MSS_NARROW)
		return TCP_MSS_NARROW;
	return size > TCP_MSS_DEFAULT_V4 && ip_addr_is_v4(&c->remote) ? TCP_MSS_DEFAULT_V4 : 0;
}

/* A path may swallow large packets and say nothing (RFC 2923 2.1). When the first segment was not
 * acknowledged in time, one without octets goes along; when it was not for a second time, though
 * the peer answered, segments become smaller (RFC 4821 7.7). Once would take much mere loss for it,
 * and more cost each connection over such a path seconds; only what fits nearly every path must
 * miss two times more. Without an answer nothing passes, and smaller ones would not either. */
static void look_for_black_hole(struct tcp *t, struct tcp_conn *c)
{
	uint32_t size = sent_at(&c->q->sent, 0)->len + (c->flags & CONN_TS ? TCP_OPTION_TS_LEN : 0);
	/* A full scoreboard keeps one whole that leaves in pieces. */
	uint16_t smaller = smaller_size(c, size < c->snd_mss ? size : c->snd_mss);
	bool answered = c->q->answered;

	c->q->answered = false;
	if (!smaller || (c->tries <= 2 && smaller < TCP_MSS_NARROW))
		return;
	if (c->tries % 2) {
		c->flags |= CONN_PROBE_DUE;
	} else if (answered) {
		counter_add(&t->counters->tcp_black_holes, 1);
		conn_mss_shrinks(t, c, smaller);
	}
}

/* No ACK came in time: the first segment goes again at once, the rest slowly. */
static void congested(struct tcp *t, struct tcp_conn *c)
{
	look_for_black_hole(t, c);
	congestion_timeout(c);
	if (c->backoff < 15)
		c->backoff++;
	if ((c->flags & CONN_SACK) && !(t->config.without & TCP_WITHOUT_RACK))
		rack_timeout(t, c);
	else
		sent_mark_all_lost(c);
	c->q->probe.due_us = 0;
	c->q->probe.sent = false;
	/* The window may have shrunk to less than it, too. */
	c->flags |= CONN_FORCE;
	counter_add(&t->counters->tcp_rto, 1);
}

/* The peer's window is shut. What was under way when it shrank shows no congestion, and is sent
 * again once it opens (RFC 9293 3.8.6); a FIN alone is probe enough. */
static void persist(struct tcp *t, struct tcp_conn *c)
{
	if (c->snd_una != c->snd_nxt) {
		sent_mark_all_lost(c);
		c->q->rack.due_us = c->q->probe.due_us = 0;
		c->q->probe.sent = false;
		if (c->q->send_len == 0)
			return;
	}
	c->flags |= CONN_PROBE_DUE;
	counter_add(&t->counters->tcp_window_probes, 1);
}

static void give_up(struct tcp *t, struct tcp_conn *c)
{
	counter_add(&t->counters->tcp_timeouts, 1);
	conn_end(t, c, TCP_END_TIMEOUT);
}

/* Nothing is in flight, and what is lost waits for the peer's window, or found no buffer. */
static bool waits_to_go_again(const struct tcp_conn *c)
{
	assert(c->q); /* what is under way lies in it */
	return c->q->sent.n_lost && !c->q->sent.pipe;
}

/* What does not arrive may go to a router that is no more, and the kernel know another by now. */
static void find_path_anew(struct tcp *t, struct tcp_conn *c)
{
	struct ip_addr source, next_hop;
	struct net_path path;

	if (net_route_find(t->net, &c->remote, &path, &source, &next_hop) == NET_ROUTE_READY)
		conn_set_path(t, c, &path);
}

/* False: the connection is over. */
static bool retransmit_timeout(struct tcp *t, struct tcp_conn *c)
{
	c->rtx_due_ms = 0;
	if (c->flags & CONN_STARVED) {
		conn_starves_no_more(c);
		conn_tell(t, c, TCP_ROOM);
		return true;
	}
	if (c->tries >= patience(t, c)) {
		give_up(t, c);
		return false;
	}
	static_assert(TCP_RETRIES < 16 && TCP_PROBES < 16 && TCP_SYN_RETRIES < 16, "four bits");
	c->tries++;
	if (c->flags & CONN_ACTIVE)
		find_path_anew(t, c);
	if (is_handshake(c)) {
		c->flags |= CONN_SYN_DUE | CONN_SYN_LOST;
		counter_add(&t->counters->tcp_rto, 1);
	} else if (c->snd_wnd == 0) {
		persist(t, c);
	} else if (c->snd_una != c->snd_nxt && !waits_to_go_again(c)) {
		congested(t, c);
	} else {
		/* The peer's window is too small to be worth it. */
		c->flags |= CONN_FORCE;
	}
	conn_want_output(t, c);
	return true;
}

/* Not so slowly that it could be kept for ever. */
static bool orphan_moves(const struct tcp_conn *c)
{
	uint32_t since_ms;

	return c->q && is_stalling(c, &since_ms) &&
	       c->snd_una - c->q->orphan_una >= TCP_ORPHAN_OCTETS;
}

/* 0: it may be silent for ever. */
static uint32_t silence_max_ms(const struct tcp *t, const struct tcp_conn *c)
{
	if (t->config.idle_timeout_ms)
		return t->config.idle_timeout_ms;
	return c->flags & CONN_TS ? TCP_TS_RECENT_MS : 0;
}

void conn_watch_silence(struct tcp *t, struct tcp_conn *c)
{
	uint32_t max_ms = silence_max_ms(t, c);

	if (max_ms)
		c->life_due_ms = ms_from(t->now_ms, max_ms);
}

/* False: the connection is over. */
static bool life_over(struct tcp *t, struct tcp_conn *c)
{
	uint32_t max_ms = silence_max_ms(t, c);

	c->life_due_ms = 0;
	if ((c->flags & CONN_ORPHAN) && orphan_moves(c)) {
		c->q->orphan_una = c->snd_una;
		c->life_due_ms = ms_from(t->now_ms, TCP_ORPHAN_MS);
		return true;
	}
	if (c->flags & CONN_ORPHAN) {
		/* Who has not got all must not take it for the end. */
		if (c->snd_una != c->snd_nxt) {
			conn_reset(t, c);
			counter_add(&t->counters->tcp_aborts, 1);
		}
		conn_drop(t, c);
		return false;
	}
	if (t->now_ms - c->seen_ms < max_ms) {
		c->life_due_ms = ms_from(c->seen_ms, max_ms);
		return true;
	}
	if (!t->config.idle_timeout_ms) {
		c->flags |= CONN_TS_STALE;
		conn_watch_silence(t, c);
		return true;
	}
	conn_end(t, c, TCP_END_IDLE);
	return false;
}

/* What RACK waited for to arrive has not; or nothing at all has (RFC 8985 6.2 step 5, 7.3). */
static void queue_timers(struct tcp *t, struct tcp_conn *c)
{
	struct tcp_queue *q = c->q;

	if (q->rack.due_us && q->rack.due_us <= t->now_us) {
		struct delivery d = {.flight = conn_flight(c), .pipe = conn_pipe(c)};

		d.lost = rack_find_lost(t, c);
		congestion_ack(t, c, &d);
		conn_want_output(t, c);
	}
	if (q->probe.due_us && q->probe.due_us <= t->now_us) {
		q->probe.due_us = 0;
		if (c->flags & CONN_UNHEARD)
			return;
		c->flags |= CONN_TAIL_PROBE;
		/* In its stead, and it begins anew behind it. */
		if (is_due(t, c->rtx_due_ms))
			c->rtx_due_ms = ms_from(t->now_ms, conn_rto_ms(c));
		conn_want_output(t, c);
	}
}

void conn_timer_fired(struct tcp *t, struct tcp_conn *c)
{
	uint32_t since_ms;

	if (is_due(t, c->ack_due_ms)) {
		c->ack_due_ms = 0;
		c->flags |= CONN_ACK_NOW;
		conn_want_output(t, c);
	}
	if (c->q)
		queue_timers(t, c);
	if (is_stalling(c, &since_ms) && t->now_ms - since_ms >= t->config.user_timeout_ms) {
		give_up(t, c);
		return;
	}
	if (is_due(t, c->rtx_due_ms) && !retransmit_timeout(t, c))
		return;
	if (is_due(t, c->life_due_ms) && !life_over(t, c))
		return;
	conn_schedule(t, c);
}

void tcp_tick(struct tcp *t, uint64_t now_us)
{
	struct timer *due;

	t->now_us = now_us;
	t->now_ms = (uint32_t)(now_us / 1000);
	pool_look(t);
	for (unsigned n = 0; n < TCP_TIMERS_MAX && (due = wheel_next(&t->wheel, now_us)); n++)
		conn_timer_fired(
			t, (struct tcp_conn *)((uint8_t *)due - offsetof(struct tcp_conn, timer)));
	time_wait_tick(t);
}

uint64_t tcp_next_due(const struct tcp *t)
{
	uint64_t timers_us = wheel_next_due(&t->wheel), waits_us = time_wait_next_due(t);

	/* What waits for tcp_output or tcp_next_news waits for nothing else. */
	if (t->output.first != SLAB_NONE || t->news.first != SLAB_NONE || t->n_replies)
		return t->now_us;
	return timers_us < waits_us ? timers_us : waits_us;
}
