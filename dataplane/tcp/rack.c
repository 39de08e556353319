/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * RACK-TLP: a segment is lost when one that was sent sufficiently later has arrived; and the last
 * segments of a flight, behind which nothing later is sent, are probed for.
 *
 * Thread: the owning worker. Time: of the turn. Memory: the connection's queue.
 * Rules: RFC 8985 whole, its steps in its order. A reordering window of a quarter of the smallest
 * RTT opens once reordering was seen, and grows with DSACKs (6.2 step 4). The smallest RTT is the
 * connection's, not windowed: a conversation is shorter than the 5 minutes its filter would have.
 */
#include "tcp/conn.h"

enum {
	REORDER_STEPS_MAX = 16,	       /* quarters of the smallest RTT; srtt bounds them anyway */
	REORDER_KEEP = 16,	       /* RFC 8985 6.2 step 4 */
	DUP_SEGMENTS = 3,	       /* RFC 8985 6.2: as good as three duplicate ACKs */
	PROBE_DELAYED_ACK_US = 200000, /* RFC 8985 7.2: a lone segment's ACK may be delayed */
	PROBE_MIN_US = 2000,	       /* not below what two hosts' turns take */
};

static bool is_sent_after(uint32_t a_us, uint32_t a_end, uint32_t b_us, uint32_t b_end)
{
	return seq_lt(b_us, a_us) || (a_us == b_us && seq_lt(b_end, a_end));
}

void rack_delivered(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
		    const struct tcp_sent *s)
{
	struct rack *r = &c->q->rack;
	uint32_t rtt_us = (uint32_t)t->now_us - s->sent_us, end = s->seq + s->len;

	if (s->flags & SENT_AGAIN) {
		/* Step 2: it may be the first transmission that arrived. */
		if (rtt_us < r->min_rtt_us)
			return;
		if ((c->flags & CONN_TS) && h->has_ts &&
		    seq_lt(h->ts_echo, sent_timestamp(t, c, s)))
			return;
	} else {
		/* Step 1, and step 3: it filled a hole nobody made. */
		if (r->min_rtt_us == 0 || rtt_us < r->min_rtt_us)
			r->min_rtt_us = rtt_us ? rtt_us : 1;
		if (r->rtt_us && seq_lt(end, r->fack))
			r->reordering = true;
	}
	if (r->rtt_us == 0 || seq_lt(r->fack, end))
		r->fack = end;
	if (r->rtt_us == 0 || is_sent_after(s->sent_us, end, r->sent_us, r->end_seq)) {
		r->rtt_us = rtt_us ? rtt_us : 1;
		r->sent_us = s->sent_us;
		r->end_seq = end;
	}
}

void rack_saw_dsack(struct tcp_conn *c)
{
	struct rack *r = &c->q->rack;

	/* Once a round trip. */
	if (seq_lt(c->snd_una, r->dsack_round))
		return;
	r->dsack_round = c->snd_nxt;
	r->reorder_keep = REORDER_KEEP;
	if (r->reorder_steps < REORDER_STEPS_MAX)
		r->reorder_steps++;
}

void rack_recovered(struct tcp_conn *c)
{
	struct rack *r = &c->q->rack;

	if (r->reorder_keep && --r->reorder_keep == 0)
		r->reorder_steps = 0;
}

/* Step 4. */
static uint32_t reorder_window(const struct tcp_conn *c)
{
	const struct tcp_queue *q = c->q;
	const struct rack *r = &q->rack;
	uint32_t window;

	if (!r->reordering &&
	    ((c->flags & (CONN_RECOVERY | CONN_LOSS)) || q->sent.n_sacked >= DUP_SEGMENTS))
		return 0;
	window = r->min_rtt_us / 4 * (1 + (uint32_t)r->reorder_steps);
	return window < c->srtt_us ? window : c->srtt_us;
}

/* RFC 6675 4, IsLost, in segments. A retransmission it cannot find lost. */
static bool count_overtaken(struct tcp_conn *c)
{
	struct scoreboard *b = &c->q->sent;
	uint16_t above = 0;
	bool found = false;

	for (uint16_t i = b->count; i-- > 0;) {
		struct tcp_sent *s = sent_at(b, i);

		if (s->flags & SENT_SACKED) {
			above++;
		} else if (above >= DUP_SEGMENTS && !(s->flags & (SENT_LOST | SENT_AGAIN))) {
			sent_mark_lost(c, s);
			found = true;
		}
	}
	return found;
}

/* Step 5. */
bool rack_find_lost(struct tcp *t, struct tcp_conn *c)
{
	struct scoreboard *b = &c->q->sent;
	struct rack *r = &c->q->rack;
	uint32_t patience = r->rtt_us + reorder_window(c), wait = 0;
	bool found = false;

	if (t->config.without & TCP_WITHOUT_RACK)
		return count_overtaken(c);
	r->due_us = 0;
	if (r->rtt_us == 0 || b->pipe == 0)
		return false;
	for (uint16_t i = 0; i < b->count; i++) {
		struct tcp_sent *s = sent_at(b, i);
		int32_t remaining;

		if (s->flags & (SENT_SACKED | SENT_LOST))
			continue;
		if (!is_sent_after(r->sent_us, r->end_seq, s->sent_us, s->seq + s->len)) {
			/* Behind a first transmission lie only later ones. */
			if (!(s->flags & SENT_AGAIN))
				break;
			continue;
		}
		remaining = (int32_t)(s->sent_us + patience - (uint32_t)t->now_us);
		if (remaining <= 0) {
			sent_mark_lost(c, s);
			found = true;
		} else if ((uint32_t)remaining > wait) {
			wait = (uint32_t)remaining;
		}
	}
	if (wait)
		r->due_us = t->now_us + wait;
	return found;
}

/* RFC 8985 6.3: the first, and what was sent so long ago that its ACK would have come. */
void rack_timeout(struct tcp *t, struct tcp_conn *c)
{
	struct scoreboard *b = &c->q->sent;
	uint32_t patience = c->q->rack.rtt_us + reorder_window(c);

	sent_doubt_sacks(c);
	c->q->rack.due_us = 0;
	for (uint16_t i = 0; i < b->count; i++) {
		struct tcp_sent *s = sent_at(b, i);

		if (i == 0 || (int32_t)(s->sent_us + patience - (uint32_t)t->now_us) <= 0)
			sent_mark_lost(c, s);
	}
}

/* --- tail loss probes ------------------------------------------------------------------------ */

/* RFC 8985 7.2: at the timeout's hour at the latest. 7.3: not twice without a round trip timed in
 * between, since that may have become longer. */
void probe_arm(struct tcp *t, struct tcp_conn *c)
{
	const uint32_t forbids = CONN_RECOVERY | CONN_LOSS | CONN_PROBED;
	struct tcp_queue *q = c->q;
	uint64_t wait, timeout_us;

	q->probe.due_us = 0;
	if (t->config.without & TCP_WITHOUT_TLP)
		return;
	if (!(c->flags & CONN_SACK) || (c->flags & forbids) || q->probe.sent ||
	    q->sent.count == 0 || q->sent.n_sacked || c->srtt_us == 0 || c->tries)
		return;
	wait = 2ull * c->srtt_us;
	if (q->sent.count == 1)
		wait += PROBE_DELAYED_ACK_US;
	if (wait < PROBE_MIN_US)
		wait = PROBE_MIN_US;
	timeout_us = conn_due_us(t, c->rtx_due_ms);
	q->probe.due_us = t->now_us + wait < timeout_us ? t->now_us + wait : timeout_us;
}

/* RFC 8985 7.4.2. */
bool probe_acked(struct tcp_conn *c, const struct tcp_header *h, const struct delivery *d,
		 bool duplicate)
{
	struct tail_probe *p = &c->q->probe;

	if (!p->sent || seq_lt(h->ack, p->end_seq))
		return false;
	if (!p->again || d->dsack || (duplicate && h->n_sack == 0)) {
		p->sent = false;
		return false;
	}
	if (seq_lt(p->end_seq, h->ack)) {
		p->sent = false;
		return true;
	}
	return false;
}
