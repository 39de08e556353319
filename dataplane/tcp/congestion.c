/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Congestion control: how much may be in flight.
 *
 * Thread: the owning worker. Time, Memory: none.
 * Rules: RFC 5681 with the initial window of RFC 6928; NewReno (RFC 6582), the careful variant:
 * a second fast retransmit waits until what was in flight at the first is acknowledged. Growth in
 * congestion avoidance counts octets (RFC 3465, L = 1 segment an ACK).
 */
#include "tcp/conn.h"

enum { DUP_ACKS = 3 };

static uint32_t half_of_flight(const struct tcp_conn *c)
{
	uint32_t half = (c->snd_max - c->snd_una) / 2;

	return half > 2u * c->snd_mss ? half : 2u * c->snd_mss;
}

void congestion_start(struct tcp_conn *c)
{
	uint32_t ten = 10u * c->snd_mss, floor = 2u * c->snd_mss;

	if (floor < 14600)
		floor = 14600;
	c->cwnd = ten < floor ? ten : floor;
	c->ssthresh = UINT32_MAX / 2;
}

void congestion_acked(struct tcp_conn *c, uint32_t acked)
{
	uint32_t step;

	if (c->cwnd < c->ssthresh) {
		step = acked < c->snd_mss ? acked : c->snd_mss;
	} else {
		step = (uint32_t)((uint64_t)c->snd_mss * c->snd_mss / c->cwnd);
		if (step == 0)
			step = 1;
	}
	/* No further than what a window field can ever ask for. */
	if (c->cwnd < TCP_WINDOW_MAX)
		c->cwnd += step;
}

bool congestion_duplicate(struct tcp *t, struct tcp_conn *c)
{
	if (c->flags & CONN_RECOVERY) {
		c->cwnd += c->snd_mss;
		return false;
	}
	if (++c->dup_acks != DUP_ACKS)
		return false;
	/* RFC 6582 3.2 step 1: the ACKs may still be for what an RTO sent again. */
	if (seq_lt(c->snd_una, c->q->recover))
		return false;
	c->ssthresh = half_of_flight(c);
	c->cwnd = c->ssthresh + DUP_ACKS * c->snd_mss;
	c->q->recover = c->snd_max;
	c->flags |= CONN_RECOVERY;
	counter_add(&t->counters->tcp_fast_retransmits, 1);
	return true;
}

bool congestion_partial(struct tcp_conn *c, uint32_t acked)
{
	if (!seq_lt(c->snd_una, c->q->recover)) {
		uint32_t flight = conn_flight(c);

		/* RFC 6582 3.2 step 3, full acknowledgment: no burst into an empty pipe. */
		flight = (flight > c->snd_mss ? flight : c->snd_mss) + c->snd_mss;
		c->cwnd = flight < c->ssthresh ? flight : c->ssthresh;
		c->flags &= ~(uint32_t)CONN_RECOVERY;
		c->dup_acks = 0;
		return false;
	}
	c->cwnd = c->cwnd > acked ? c->cwnd - acked : 0;
	if (acked >= c->snd_mss)
		c->cwnd += c->snd_mss;
	if (c->cwnd < c->snd_mss)
		c->cwnd = c->snd_mss;
	return true;
}

void congestion_timeout(struct tcp_conn *c)
{
	/* RFC 5681 3.1: a segment sent more than once must not halve it again. */
	if (c->tries <= 1)
		c->ssthresh = half_of_flight(c);
	c->cwnd = c->snd_mss;
	c->flags &= ~(uint32_t)CONN_RECOVERY;
	c->dup_acks = 0;
	if (c->q)
		c->q->recover = c->snd_max;
}
