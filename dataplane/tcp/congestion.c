/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control: how much may be in flight.
 *
 * Thread: the owning worker. Time, Memory: none.
 * Rules: RFC 5681 with the initial window of RFC 6928, growth by octets (RFC 3465) and, on
 * connections we opened, by CUBIC once slow start is over (RFC 9438); recovery sends
 * in proportion to what is delivered (RFC 6937), its slow start only while nothing more is lost;
 * one reduction a flight, whatever else of it is lost (RFC 6582's recover). An application that
 * does not fill the window does not grow it (RFC 7661 4.2, without its restart); whether it did is
 * judged when it has sent, because ACKs come in bursts, between which nothing is sent.
 */
#include "tcp/conn.h"

static uint32_t at_least(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static bool is_cubic(const struct tcp_conn *c)
{
	return c->flags & CONN_CUBIC;
}

static uint32_t initial_window(const struct tcp_conn *c)
{
	return at_most(10u * c->snd_mss, at_least(2u * c->snd_mss, 14600));
}

void congestion_start(struct tcp_conn *c)
{
	c->cwnd = initial_window(c);
	c->ssthresh = UINT32_MAX / 2;
}

void congestion_restart(struct tcp *t, struct tcp_conn *c)
{
	uint16_t units = (uint16_t)(t->now_ms / TCP_SENT_UNIT_MS - c->sent);

	if (c->q && is_cubic(c))
		cubic_unused(&c->q->cubic, t->now_us);
	/* One of them need not be whole. */
	if (units && (uint32_t)(units - 1) * TCP_SENT_UNIT_MS > conn_rto_ms(c))
		c->cwnd = at_most(c->cwnd, initial_window(c));
}

static uint32_t reduced(const struct tcp_conn *c, uint32_t flight)
{
	return at_least(is_cubic(c) ? cubic_reduced(flight) : flight / 2, 2u * c->snd_mss);
}

/* What went out beyond cwnd since the loss is not counted (RFC 5681 3.2: limited transmit). */
static void lost_some(struct tcp_conn *c, uint32_t flight)
{
	c->ssthresh = reduced(c, at_most(flight, c->cwnd));
	if (is_cubic(c))
		cubic_loss(&c->q->cubic, c->cwnd);
}

/* What earlier ACKs let out (RFC 3042) and has not left: they came in the same burst. */
static uint32_t unspent(const struct tcp_conn *c, const struct delivery *d)
{
	uint32_t room = c->cwnd > d->pipe ? c->cwnd - d->pipe : 0;
	uint32_t sacked = (uint32_t)c->q->sent.n_sacked * c->snd_mss;

	return at_most(room, sacked > d->octets ? sacked - d->octets : 0);
}

static void enter_recovery(struct tcp *t, struct tcp_conn *c, const struct delivery *d)
{
	struct tcp_queue *q = c->q;

	lost_some(c, d->flight);
	q->recover = c->snd_nxt;
	q->prr = (struct prr){.flight = d->flight, .delivered = unspent(c, d)};
	q->probe.due_us = 0;
	c->flags |= CONN_RECOVERY;
	if (t->config.without & TCP_WITHOUT_PRR) {
		c->cwnd = c->ssthresh;
		c->flags |= CONN_FORCE;
	}
	counter_add(&t->counters->tcp_fast_retransmits, 1);
}

/* RFC 6937 3.1, with the conservative bound when the ACK brought news of further loss. */
static void recover_proportionally(struct tcp_conn *c, const struct delivery *d)
{
	struct prr *prr = &c->q->prr;
	uint32_t pipe = conn_pipe(c), send;

	prr->delivered += d->octets;
	if (pipe > c->ssthresh) {
		uint64_t due =
			((uint64_t)prr->delivered * c->ssthresh + prr->flight - 1) / prr->flight;

		send = due > prr->out ? (uint32_t)(due - prr->out) : 0;
	} else {
		uint32_t limit = prr->delivered > prr->out ? prr->delivered - prr->out : 0;

		if (d->acked && !d->lost)
			limit = at_least(limit, d->octets) + c->snd_mss;
		send = at_most(c->ssthresh - pipe, limit);
	}
	if (prr->out == 0)
		send = at_least(send, c->snd_mss); /* the fast retransmit itself */
	c->cwnd = pipe + send;
}

/* RFC 5681 3.1: a segment a round trip. */
static uint32_t avoid(const struct tcp_conn *c, uint32_t acked)
{
	uint64_t step = (uint64_t)c->snd_mss * at_most(acked, c->cwnd) / c->cwnd;

	return c->cwnd + at_least((uint32_t)step, 1);
}

static void grow(const struct tcp *t, struct tcp_conn *c, const struct delivery *d)
{
	bool used = seq_lt(c->snd_una - d->acked, c->q->filled), slow = c->cwnd < c->ssthresh;
	uint32_t segments = c->flags & CONN_LOSS ? 1 : 2;

	/* What was not used proves nothing. */
	if (!used && is_cubic(c))
		cubic_unused(&c->q->cubic, t->now_us);
	if (!used)
		return;
	/* RFC 3465 2.3: after a timeout an ACK may tell of what came long ago. */
	if (slow)
		c->cwnd += at_most(d->acked, segments * c->snd_mss);
	else if (is_cubic(c))
		c->cwnd = cubic_grow(&c->q->cubic, c->cwnd, c->snd_mss, d->acked, c->srtt_us,
				     t->now_us);
	else
		c->cwnd = avoid(c, d->acked);
	c->cwnd = at_most(c->cwnd, TCP_WINDOW_MAX);
}

void congestion_ack(struct tcp *t, struct tcp_conn *c, const struct delivery *d)
{
	bool done = !seq_lt(c->snd_una, c->q->recover);

	if ((c->flags & (CONN_RECOVERY | CONN_LOSS)) && done)
		rack_recovered(c);
	if ((c->flags & CONN_RECOVERY) && done) {
		c->flags &= ~(uint32_t)CONN_RECOVERY;
		c->cwnd = c->ssthresh;
		c->q->dup_acks = 0;
		c->q->credited = 0;
	}
	if ((c->flags & CONN_LOSS) && done)
		c->flags &= ~(uint32_t)CONN_LOSS;
	if (d->lost && !(c->flags & (CONN_RECOVERY | CONN_LOSS)))
		enter_recovery(t, c, d);
	if (!(c->flags & CONN_RECOVERY)) {
		if (d->acked)
			grow(t, c, d);
	} else if (!(t->config.without & TCP_WITHOUT_PRR)) {
		recover_proportionally(c, d);
	}
	/* They follow, so that they never lie half the numbers behind. */
	c->q->recover = seq_max(c->q->recover, c->snd_una - 1);
	c->q->filled = seq_max(c->q->filled, c->snd_una);
}

void congestion_timeout(struct tcp_conn *c)
{
	/* RFC 5681 3.1: a segment sent more than once must not reduce it again. In recovery cwnd is
	 * what may be sent, and tells nothing of what was in flight. */
	if (c->flags & CONN_RECOVERY)
		c->ssthresh = at_most(c->ssthresh, reduced(c, conn_flight(c)));
	else if (c->tries <= 1 && !(c->flags & CONN_LOSS))
		lost_some(c, conn_flight(c));
	if (is_cubic(c))
		cubic_timeout(&c->q->cubic);
	c->cwnd = c->snd_mss;
	c->flags &= ~(uint32_t)CONN_RECOVERY;
	c->flags |= CONN_LOSS;
	c->q->dup_acks = 0;
	c->q->credited = 0;
	c->q->recover = c->snd_nxt;
}

void congestion_reduce(struct tcp *t, struct tcp_conn *c, const struct delivery *d)
{
	if (c->flags & (CONN_RECOVERY | CONN_LOSS))
		return;
	lost_some(c, d->flight);
	c->cwnd = c->ssthresh;
	counter_add(&t->counters->tcp_fast_retransmits, 1);
}

void congestion_sent(struct tcp_conn *c)
{
	uint32_t pipe = conn_pipe(c);

	/* Slow start may double what half of was used. */
	if (c->cwnd < c->ssthresh ? pipe >= c->cwnd / 2 : pipe + c->snd_mss >= c->cwnd)
		c->q->filled = c->snd_nxt;
}
