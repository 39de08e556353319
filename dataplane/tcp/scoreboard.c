/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The scoreboard: which segments are under way, which the peer has, which are lost.
 *
 * Thread: the owning worker. Time: of the turn.
 * Memory: rings of three sizes from the worker's slabs; a connection with one reply under way has
 * the smallest. When the largest is full, or the slab empty, nothing more is sent until an ACK.
 * Rules: RFC 2018, 2883 (DSACK), 6675's bookkeeping with a segment as its unit: a block that
 * covers a part of one tells nothing of it. Blocks outside what is outstanding are ignored.
 */
#include <string.h>

#include "tcp/conn.h"

static struct tcp_sent *ring_take(struct tcp *t, uint8_t size)
{
	uint32_t index = slab_take(&t->rings[size]);

	return index == SLAB_NONE ? NULL : slab_at(&t->rings[size], index);
}

void sent_release(struct tcp *t, struct tcp_conn *c)
{
	struct scoreboard *b = &c->q->sent;

	if (b->ring)
		slab_give(&t->rings[b->size], slab_index(&t->rings[b->size], b->ring));
	*b = (struct scoreboard){0};
}

/* Room for one more; false: there is none. */
static bool ring_grow(struct tcp *t, struct scoreboard *b)
{
	uint8_t size = b->ring ? b->size + 1 : 0;
	struct tcp_sent *ring;

	if (b->ring && b->count < sent_sizes[b->size])
		return true;
	if (size == SENT_SIZES)
		return false;
	ring = ring_take(t, size);
	if (!ring)
		return false;
	for (uint16_t i = 0; i < b->count; i++)
		ring[i] = *sent_at(b, i);
	if (b->ring)
		slab_give(&t->rings[b->size], slab_index(&t->rings[b->size], b->ring));
	b->ring = ring;
	b->size = size;
	b->first = 0;
	return true;
}

struct tcp_sent *sent_push(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint16_t len,
			   uint8_t flags)
{
	struct scoreboard *b = &c->q->sent;
	struct tcp_sent *s;

	if (!ring_grow(t, b)) {
		counter_add(&t->counters->tcp_no_buffer, 1);
		return NULL;
	}
	/* With nothing under way there is nothing to compare with, and times wrap. */
	if (b->count == 0)
		c->q->rack.rtt_us = 0;
	s = sent_at(b, b->count++);
	*s = (struct tcp_sent){
		.seq = seq,
		.sent_us = (uint32_t)t->now_us,
		.len = len,
		.flags = flags,
	};
	b->pipe += len;
	return s;
}

static bool is_in_flight(const struct tcp_sent *s)
{
	return !(s->flags & (SENT_SACKED | SENT_LOST));
}

void sent_again(struct tcp *t, struct tcp_conn *c, struct tcp_sent *s)
{
	struct scoreboard *b = &c->q->sent;

	if (s->flags & SENT_LOST) {
		s->flags &= (uint8_t)~SENT_LOST;
		b->n_lost--;
		b->pipe += s->len;
	}
	s->flags |= SENT_AGAIN;
	s->sent_us = (uint32_t)t->now_us;
	c->q->again_us = t->now_us;
}

void sent_mark_lost(struct tcp_conn *c, struct tcp_sent *s)
{
	struct scoreboard *b = &c->q->sent;

	if (!is_in_flight(s))
		return;
	s->flags |= SENT_LOST;
	b->n_lost++;
	b->pipe -= s->len;
}

void sent_doubt_sacks(struct tcp_conn *c)
{
	struct scoreboard *b = &c->q->sent;

	if (!b->count || !(sent_at(b, 0)->flags & SENT_SACKED))
		return;
	for (uint16_t i = 0; i < b->count; i++) {
		struct tcp_sent *s = sent_at(b, i);

		if (s->flags & SENT_SACKED) {
			s->flags &= (uint8_t)~SENT_SACKED;
			b->n_sacked--;
			b->pipe += s->len;
		}
	}
}

void sent_mark_all_lost(struct tcp_conn *c)
{
	struct scoreboard *b = &c->q->sent;

	sent_doubt_sacks(c);
	for (uint16_t i = 0; i < b->count; i++)
		sent_mark_lost(c, sent_at(b, i));
}

bool sent_split(struct tcp *t, struct tcp_conn *c, uint16_t i, uint16_t len)
{
	struct scoreboard *b = &c->q->sent;
	struct tcp_sent *s, *rest;

	if (!ring_grow(t, b))
		return false;
	b->count++;
	for (uint16_t at = (uint16_t)(b->count - 1); at > i; at--)
		*sent_at(b, at) = *sent_at(b, (uint16_t)(at - 1));
	s = sent_at(b, i);
	rest = sent_at(b, (uint16_t)(i + 1));
	rest->seq += len;
	rest->len = (uint16_t)(rest->len - len);
	s->len = len;
	s->flags &= (uint8_t)~SENT_FIN;
	b->n_lost = (uint16_t)(b->n_lost + !!(s->flags & SENT_LOST));
	return true;
}

/* --- ACKs ------------------------------------------------------------------------------------ */

static void forget_first(struct scoreboard *b)
{
	const struct tcp_sent *s = sent_at(b, 0);

	if (s->flags & SENT_SACKED)
		b->n_sacked--;
	else if (s->flags & SENT_LOST)
		b->n_lost--;
	else
		b->pipe -= s->len;
	b->first = (uint16_t)((b->first + 1) & (sent_sizes[b->size] - 1));
	b->count--;
}

/* A part of the first is acknowledged. */
static void cut_first(struct scoreboard *b, uint32_t ack)
{
	struct tcp_sent *s = sent_at(b, 0);
	uint32_t cut = ack - s->seq;

	if (is_in_flight(s))
		b->pipe -= cut;
	s->seq = ack;
	s->len = (uint16_t)(s->len - cut);
}

/* Karn, of the whole connection: whatever was sent again may have brought the ACK about, also of
 * what had long arrived; so only what was sent since then is timed, and that itself if the ACK
 * tells that it answers its last transmission. */
static bool is_timed(const struct tcp *t, const struct tcp_conn *c, const struct tcp_header *h,
		     const struct tcp_sent *s)
{
	if (sent_us(t, s) < c->q->again_us)
		return false;
	if (!(s->flags & SENT_AGAIN))
		return true;
	return (c->flags & CONN_TS) && h->has_ts && seq_le(sent_timestamp(t, c, s), h->ts_echo);
}

static void count_delivered(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
			    const struct tcp_sent *s, struct delivery *d)
{
	uint32_t rtt_us = (uint32_t)t->now_us - s->sent_us;

	d->octets += s->len;
	/* The youngest tells the present. */
	if (is_timed(t, c, h, s) && (d->rtt_us == 0 || rtt_us < d->rtt_us))
		d->rtt_us = rtt_us ? rtt_us : 1;
	rack_delivered(t, c, h, s);
}

static void take_cumulative(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
			    struct delivery *d)
{
	struct scoreboard *b = &c->q->sent;

	while (b->count) {
		const struct tcp_sent *s = sent_at(b, 0);

		if (seq_lt(h->ack, s->seq + s->len)) {
			if (seq_lt(s->seq, h->ack)) {
				d->octets += s->flags & SENT_SACKED ? 0 : h->ack - s->seq;
				cut_first(b, h->ack);
			}
			return;
		}
		if (!(s->flags & SENT_SACKED))
			count_delivered(t, c, h, s, d);
		forget_first(b);
	}
}

static void take_sacked(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
			struct tcp_sent *s, struct delivery *d)
{
	struct scoreboard *b = &c->q->sent;

	if (s->flags & SENT_SACKED)
		return;
	count_delivered(t, c, h, s, d);
	if (s->flags & SENT_LOST) {
		s->flags &= (uint8_t)~SENT_LOST;
		b->n_lost--;
	} else {
		b->pipe -= s->len;
	}
	s->flags |= SENT_SACKED;
	b->n_sacked++;
	d->sacked = true;
}

/* Looks at the segments from the i-th on; returns the first behind the block. */
static uint16_t take_block(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
			   const struct tcp_range *block, uint16_t i, struct delivery *d)
{
	const struct scoreboard *b = &c->q->sent;

	for (; i < b->count; i++) {
		struct tcp_sent *s = sent_at(b, i);

		if (seq_lt(s->seq, block->start))
			continue;
		if (seq_lt(block->end, s->seq + s->len))
			break;
		take_sacked(t, c, h, s, d);
	}
	return i;
}

/* RFC 2883 4: the first block lies below the ACK, or within the second. */
static bool is_dsack(const struct tcp_header *h)
{
	const struct tcp_range *first = &h->sack[0], *second = &h->sack[1];

	if (h->n_sack == 0)
		return false;
	if (seq_lt(first->start, h->ack))
		return true;
	return h->n_sack > 1 && seq_le(second->start, first->start) &&
	       seq_le(first->end, second->end);
}

/* Ascending: within one ACK nothing was reordered, and one pass of the ring is enough for all. */
static void sort_blocks(struct tcp_range *blocks, uint8_t n)
{
	for (uint8_t i = 1; i < n; i++) {
		for (uint8_t k = i; k && seq_lt(blocks[k].start, blocks[k - 1].start); k--) {
			struct tcp_range swap = blocks[k];

			blocks[k] = blocks[k - 1];
			blocks[k - 1] = swap;
		}
	}
}

void sent_delivered(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
		    struct delivery *d)
{
	struct tcp_range blocks[TCP_SACK_BLOCKS_READ];
	uint16_t at = 0;
	uint8_t n;

	if (seq_lt(c->snd_una, h->ack))
		take_cumulative(t, c, h, d);
	if (!(c->flags & CONN_SACK))
		return;
	d->dsack = is_dsack(h);
	n = (uint8_t)(h->n_sack - d->dsack);
	memcpy(blocks, &h->sack[d->dsack], n * sizeof(blocks[0]));
	sort_blocks(blocks, n);
	for (uint8_t i = 0; i < n; i++) {
		const struct tcp_range *block = &blocks[i];

		if (seq_lt(block->start, block->end) && seq_le(h->ack, block->start) &&
		    seq_le(block->end, c->snd_nxt))
			at = take_block(t, c, h, block, at, d);
	}
}
