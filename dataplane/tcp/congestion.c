/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control: how much may be in flight.
 *
 * Thread: the owning worker. Time, Memory: none.
 * Rules: RFC 5681 with the initial window of RFC 6928, growth by octets (RFC 3465); recovery sends
 * in proportion to what is delivered (RFC 6937), its slow start only while nothing more is lost;
 * one reduction a flight, whatever else of it is lost (RFC 6582's recover). An application that
 * does not fill the window does not grow it (RFC 7661 4.2, without its restart).
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
	if (t->now_ms - c->seen_ms > conn_rto_ms(c))
		c->cwnd = at_most(c->cwnd, initial_window(c));
}

static void reduce_threshold(struct tcp_conn *c)
{
	c->ssthresh = at_least(conn_flight(c) / 2, 2u * c->snd_mss);
}

static void enter_recovery(struct tcp *t, struct tcp_conn *c)
{
	struct tcp_queue *q = c->q;

	reduce_threshold(c);
	q->recover = c->snd_nxt;
	q->prr = (struct prr){.flight = conn_flight(c)};
	q->probe.due_us = 0;
	c->flags |= CONN_RECOVERY;
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

		if (d->advanced && !d->lost)
			limit = at_least(limit, d->octets) + c->snd_mss;
		send = at_most(c->ssthresh - pipe, limit);
	}
	if (prr->out == 0)
		send = at_least(send, c->snd_mss); /* the fast retransmit itself */
	c->cwnd = pipe + send;
}

static void grow(struct tcp_conn *c, const struct delivery *d)
{
	uint32_t step;

	/* What was not used proves nothing. */
	if (conn_flight(c) + d->octets + c->snd_mss < c->cwnd / (c->cwnd < c->ssthresh ? 2 : 1))
		return;
	if (c->cwnd < c->ssthresh) {
		step = at_most(d->octets, 2u * c->snd_mss);
	} else {
		step = (uint32_t)((uint64_t)c->snd_mss * at_most(d->octets, 2u * c->snd_mss) /
				  c->cwnd);
		step = at_least(step, 1);
	}
	c->cwnd = at_most(c->cwnd + step, TCP_WINDOW_MAX);
}

void congestion_ack(struct tcp *t, struct tcp_conn *c, const struct delivery *d)
{
	bool done = !seq_lt(c->snd_una, c->q->recover);

	if ((c->flags & CONN_RECOVERY) && done) {
		c->flags &= ~(uint32_t)CONN_RECOVERY;
		c->cwnd = c->ssthresh;
		c->q->dup_acks = 0;
		c->q->credited = 0;
	}
	if ((c->flags & CONN_LOSS) && done)
		c->flags &= ~(uint32_t)CONN_LOSS;
	/* It follows, so that it never lies half the numbers behind. */
	if (seq_lt(c->q->recover, c->snd_una - 1))
		c->q->recover = c->snd_una - 1;
	if (d->lost && !(c->flags & (CONN_RECOVERY | CONN_LOSS)))
		enter_recovery(t, c);
	if (c->flags & CONN_RECOVERY)
		recover_proportionally(c, d);
	else if (d->advanced)
		grow(c, d);
}

void congestion_timeout(struct tcp_conn *c)
{
	/* RFC 5681 3.1: a segment sent more than once must not halve it again. */
	if (c->tries <= 1 && !(c->flags & CONN_LOSS))
		reduce_threshold(c);
	c->cwnd = c->snd_mss;
	c->flags &= ~(uint32_t)CONN_RECOVERY;
	c->flags |= CONN_LOSS;
	c->q->dup_acks = 0;
	c->q->credited = 0;
	c->q->recover = c->snd_nxt;
}

void congestion_reduce(struct tcp *t, struct tcp_conn *c)
{
	if (c->flags & (CONN_RECOVERY | CONN_LOSS))
		return;
	reduce_threshold(c);
	c->cwnd = c->ssthresh;
	counter_add(&t->counters->tcp_fast_retransmits, 1);
}
