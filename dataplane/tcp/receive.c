/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes from the peer: in order they are handed out in place; ahead of a gap they are copied to
 * the place they will have in the stream.
 *
 * Thread: the owning worker. Time: none.
 * Memory: pages of config.pool. What is ahead of a gap lies in pages of TCP_PAGE octets aligned in
 * the stream, so a connection pins no more than its window (and one page), however small the
 * segments; TCP_RANGES_MAX runs are told apart. What its owner leaves unread at the end of a turn
 * is copied out of the port's buffers. An empty pool drops the segment, which the peer repeats.
 * Rules: RFC 9293 3.10.7.4, 3.8.6.2.2 (silly windows); RFC 2018 4 for the SACK blocks:
 * those told last are told again, because an ACK that told them may be lost.
 */
#include <string.h>

#include <rte_mbuf.h>

#include "tcp/conn.h"

/* --- what waits to be read -------------------------------------------------------------- */

static void read_append(struct tcp_queue *q, struct rte_mbuf *m)
{
	m->next = NULL;
	if (q->read_last)
		q->read_last->next = m;
	else
		q->read_first = m;
	q->read_last = m;
	q->read_len += m->data_len;
}

/* Appends the octets [skip, skip + len) of a chain and frees the rest of it. */
static void read_append_chain(struct tcp_queue *q, struct rte_mbuf *m, uint32_t skip, uint32_t len)
{
	while (m) {
		struct rte_mbuf *next = m->next;
		uint32_t cut = skip < m->data_len ? skip : m->data_len;

		m->data_off = (uint16_t)(m->data_off + cut);
		m->data_len = (uint16_t)(m->data_len - cut);
		skip -= cut;
		if (m->data_len > len)
			m->data_len = (uint16_t)len;
		len -= m->data_len;
		m->next = NULL;
		m->nb_segs = 1;
		if (m->data_len)
			read_append(q, m);
		else
			rte_pktmbuf_free_seg(m);
		m = next;
	}
}

struct span tcp_read(const struct tcp *t, const struct tcp_conn *c, size_t skip)
{
	const struct rte_mbuf *m = c->q ? c->q->read_first : NULL;

	(void)t;
	while (m && skip >= m->data_len) {
		skip -= m->data_len;
		m = m->next;
	}
	if (!m)
		return (struct span){0};
	return (struct span){
		.bytes = rte_pktmbuf_mtod_offset(m, const uint8_t *, skip),
		.len = m->data_len - skip,
	};
}

size_t tcp_readable(const struct tcp_conn *c)
{
	return c->q ? c->q->read_len : 0;
}

bool tcp_is_peer_done(const struct tcp_conn *c)
{
	return c->flags & CONN_PEER_DONE;
}

void tcp_consume(struct tcp *t, struct tcp_conn *c, size_t len)
{
	struct tcp_queue *q = c->q;
	uint32_t edge, step;

	if (len == 0)
		return;
	assert(q && len <= q->read_len);
	q->read_len -= (uint32_t)len;
	while (len > 0) {
		struct rte_mbuf *m = q->read_first;

		if (len < m->data_len) {
			m->data_off = (uint16_t)(m->data_off + len);
			m->data_len = (uint16_t)(m->data_len - len);
			break;
		}
		len -= m->data_len;
		q->read_first = m->next;
		if (!q->read_first)
			q->read_last = NULL;
		rte_pktmbuf_free_seg(m);
	}
	if (q->read_len == 0) {
		q->read_in_place = false;
		if (c->flags & CONN_END_WAITS) {
			conn_end(t, c, TCP_END_CLOSED);
			return;
		}
	}
	/* Tell a peer that may be waiting for it that the window opened a good deal. */
	edge = receive_edge(t, c);
	step = t->window_share / 2;
	if (edge - c->rcv_adv >= step && !(c->flags & (CONN_PEER_DONE | CONN_GONE))) {
		c->flags |= CONN_ACK_NOW;
		conn_want_output(t, c);
	}
}

uint32_t receive_edge(const struct tcp *t, const struct tcp_conn *c)
{
	uint32_t unread = c->q ? c->q->read_len : 0;
	uint32_t room = t->window_share > unread ? t->window_share - unread : 0;
	uint32_t edge = c->rcv_nxt + room;
	uint32_t least = c->snd_mss < t->window_share / 2 ? c->snd_mss : t->window_share / 2;

	if (seq_le(edge, c->rcv_adv) || edge - c->rcv_adv < least)
		return c->rcv_adv;
	return edge;
}

/* What the last kept mbuf still holds. */
static uint32_t keep_room(const struct tcp *t, const struct tcp_queue *q)
{
	const struct rte_mbuf *m = q->read_last;

	return m && m->pool == t->config.pool ? rte_pktmbuf_tailroom(m) : 0;
}

/* Copies a piece behind what the last kept mbuf holds; false: the pool has none for it. */
static bool keep_piece(struct tcp *t, struct tcp_queue *q, const struct rte_mbuf *piece)
{
	const uint8_t *from = rte_pktmbuf_mtod(piece, const uint8_t *);
	uint32_t left = piece->data_len;

	while (left > 0) {
		struct rte_mbuf *m = q->read_last;
		uint32_t run = keep_room(t, q);

		if (run == 0) {
			m = pool_take(t, TCP_POOL_SENDERS);
			if (!m)
				return false;
			m->data_off = 0;
			read_append(q, m);
			run = rte_pktmbuf_tailroom(m);
		}
		if (run > left)
			run = left;
		memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len), from, run);
		m->data_len = (uint16_t)(m->data_len + run);
		q->read_len += run;
		from += run;
		left -= run;
	}
	return true;
}

void receive_keep(struct tcp *t, struct tcp_conn *c)
{
	struct tcp_queue *q = c->q;
	struct rte_mbuf *m;

	if (!q || !q->read_in_place)
		return;
	m = q->read_first;
	q->read_first = q->read_last = NULL;
	q->read_len = 0;
	q->read_in_place = false;
	while (m) {
		struct rte_mbuf *next = m->next;

		if (m->pool == t->config.pool) {
			read_append(q, m);
		} else {
			uint32_t before = q->read_len;

			if (keep_piece(t, q, m)) {
				rte_pktmbuf_free_seg(m);
			} else {
				uint32_t copied = q->read_len - before;

				/* It stays where it is, and nothing more is taken meanwhile. */
				counter_add(&t->counters->tcp_no_buffer, 1);
				m->data_off = (uint16_t)(m->data_off + copied);
				m->data_len = (uint16_t)(m->data_len - copied);
				read_append(q, m);
				q->read_in_place = true;
			}
		}
		m = next;
	}
}

/* --- ahead of a gap --------------------------------------------------------------------- */

static uint32_t page_of(uint32_t seq)
{
	return seq & ~(uint32_t)(TCP_PAGE - 1);
}

/* The page that begins at seq, made when it is not there; NULL: the pool has none to spare. */
static struct rte_mbuf *page_at(struct tcp *t, struct tcp_queue *q, uint32_t seq)
{
	struct rte_mbuf **at = &q->pages, *m;

	/* What comes next mostly lies where the last came, or behind it. */
	if (q->page_last && seq_le(q->page_last->hash.usr, seq)) {
		if (q->page_last->hash.usr == seq)
			return q->page_last;
		at = &q->page_last->next;
	}
	while (*at && seq_lt((*at)->hash.usr, seq))
		at = &(*at)->next;
	if (*at && (*at)->hash.usr == seq)
		return q->page_last = *at;
	/* Any number of peers can make gaps. */
	m = pool_take(t, TCP_POOL_LOW);
	if (!m) {
		counter_add(&t->counters->tcp_pool_low, 1);
		return NULL;
	}
	m->data_off = 0;
	m->hash.usr = seq;
	m->next = *at;
	*at = m;
	return q->page_last = m;
}

/* The SACK block a number lies in; false: none, any more. */
static bool sack_block(const struct tcp_queue *q, uint32_t seq, struct tcp_range *block)
{
	for (uint8_t i = 0; i < q->n_ranges; i++) {
		*block = q->ranges[i];
		if (q->fin_known && q->fin_seq == block->end)
			block->end++;
		if (seq_le(block->start, seq) && seq_lt(seq, block->end))
			return true;
	}
	*block = (struct tcp_range){q->fin_seq, q->fin_seq + 1};
	return q->fin_known && q->fin_seq == seq;
}

/* A segment went where this number is. */
static void recent_put(struct tcp_queue *q, uint32_t seq)
{
	uint32_t before[TCP_SACK_BLOCKS_MAX];
	struct tcp_range block;
	uint8_t n = q->n_recent;

	if (!sack_block(q, seq, &block))
		return;
	memcpy(before, q->recent, sizeof(before));
	q->recent[0] = seq;
	q->n_recent = 1;
	for (uint8_t i = 0; i < n && q->n_recent < TCP_SACK_BLOCKS_MAX; i++)
		if (seq_lt(before[i], block.start) || seq_le(block.end, before[i]))
			q->recent[q->n_recent++] = before[i];
}

/* Enters [start, end) among the ranges; false: they are all taken. */
static bool ranges_add(struct tcp_queue *q, uint32_t start, uint32_t end)
{
	uint8_t first = 0, last;

	/* Those from first up to last touch it. */
	while (first < q->n_ranges && seq_lt(q->ranges[first].end, start))
		first++;
	last = first;
	while (last < q->n_ranges && seq_le(q->ranges[last].start, end))
		last++;
	if (last == first && q->n_ranges == TCP_RANGES_MAX)
		return false;
	if (last > first) {
		start = seq_min(start, q->ranges[first].start);
		end = seq_max(end, q->ranges[last - 1].end);
	}
	memmove(&q->ranges[first + 1], &q->ranges[last],
		(size_t)(q->n_ranges - last) * sizeof(q->ranges[0]));
	q->n_ranges = (uint8_t)(q->n_ranges + 1 - (last - first));
	q->ranges[first] = (struct tcp_range){start, end};
	recent_put(q, start);
	return true;
}

/* Whether a run that touches no other still has a place. */
static bool ranges_have_room(const struct tcp_queue *q, uint32_t start, uint32_t end)
{
	if (q->n_ranges < TCP_RANGES_MAX)
		return true;
	for (uint8_t i = 0; i < q->n_ranges; i++)
		if (seq_le(q->ranges[i].start, end) && seq_le(start, q->ranges[i].end))
			return true;
	return false;
}

/* Copies the octets of a chain that belong to [start, end) into pages; m's data begins at seq.
 * Returns how far it came. */
static uint32_t pages_fill(struct tcp *t, struct tcp_queue *q, const struct rte_mbuf *m,
			   uint32_t seq, uint32_t start, uint32_t end)
{
	while (seq_lt(start, end)) {
		struct rte_mbuf *page = page_at(t, q, page_of(start));
		uint32_t within = start - page_of(start), run = TCP_PAGE - within;

		if (!page)
			break;
		while (start - seq >= m->data_len) {
			seq += m->data_len;
			m = m->next;
		}
		if (run > end - start)
			run = end - start;
		if (run > m->data_len - (start - seq))
			run = m->data_len - (start - seq);
		memcpy(rte_pktmbuf_mtod_offset(page, uint8_t *, within),
		       rte_pktmbuf_mtod_offset(m, const uint8_t *, start - seq), run);
		start += run;
	}
	return start;
}

static struct rte_mbuf *pages_pop(struct tcp_queue *q)
{
	struct rte_mbuf *m = q->pages;

	q->pages = m->next;
	if (q->page_last == m)
		q->page_last = NULL;
	return m;
}

/* Frees the pages all of whose octets lie before seq. */
static void pages_trim(struct tcp_queue *q, uint32_t seq)
{
	while (q->pages && seq_le(q->pages->hash.usr + TCP_PAGE, seq))
		rte_pktmbuf_free_seg(pages_pop(q));
}

static void ranges_drop_first(struct tcp_queue *q)
{
	q->n_ranges--;
	memmove(&q->ranges[0], &q->ranges[1], q->n_ranges * sizeof(q->ranges[0]));
}

/* Makes the octets [rcv_nxt, end) of the first page readable. The page itself goes along when no
 * other run lies in it. False: the pool is empty. */
static bool page_deliver(struct tcp *t, struct tcp_conn *c, uint32_t end)
{
	struct tcp_queue *q = c->q;
	struct rte_mbuf *page = q->pages;
	uint32_t within = c->rcv_nxt - page->hash.usr, len = end - c->rcv_nxt;
	bool shared = q->n_ranges > 1 && seq_lt(q->ranges[1].start, page->hash.usr + TCP_PAGE);

	if (shared) {
		struct rte_mbuf *copy = rte_pktmbuf_alloc(t->config.pool);

		if (!copy) {
			counter_add(&t->counters->tcp_no_buffer, 1);
			return false;
		}
		copy->data_off = 0;
		memcpy(rte_pktmbuf_mtod(copy, uint8_t *),
		       rte_pktmbuf_mtod_offset(page, const uint8_t *, within), len);
		copy->data_len = (uint16_t)len;
		read_append(q, copy);
	} else {
		pages_pop(q);
		page->data_off = (uint16_t)(page->data_off + within);
		page->data_len = (uint16_t)len;
		read_append(q, page);
	}
	c->rcv_nxt = end;
	return true;
}

/* The gap is filled up to rcv_nxt: what lies behind it becomes readable. */
static void absorb(struct tcp *t, struct tcp_conn *c)
{
	struct tcp_queue *q = c->q;

	while (q->n_ranges && seq_le(q->ranges[0].start, c->rcv_nxt)) {
		uint32_t end = q->ranges[0].end;

		while (seq_lt(c->rcv_nxt, end)) {
			uint32_t page_end = page_of(c->rcv_nxt) + TCP_PAGE;

			pages_trim(q, c->rcv_nxt);
			if (c->flags & CONN_ORPHAN) {
				c->rcv_nxt = end;
				break;
			}
			if (!page_deliver(t, c, seq_min(end, page_end))) {
				q->ranges[0].start = c->rcv_nxt;
				return;
			}
		}
		ranges_drop_first(q);
	}
	if (q->n_ranges == 0) {
		mbufs_free(q->pages);
		q->pages = q->page_last = NULL;
	} else {
		pages_trim(q, c->rcv_nxt);
	}
}

static void take_ahead(struct tcp *t, struct tcp_conn *c, const struct rte_mbuf *m, uint32_t seq,
		       uint32_t end)
{
	uint32_t reached;

	counter_add(&t->counters->tcp_out_of_order, 1);
	if (!ranges_have_room(c->q, seq, end)) {
		counter_add(&t->counters->tcp_reassembly_full, 1);
		return;
	}
	reached = pages_fill(t, c->q, m, seq, seq, end);
	if (reached != seq)
		ranges_add(c->q, seq, reached);
}

/* Whether bytes a turn before stay in the port's buffers because the pool is still empty: then no
 * more are taken. Its owner may wait for just those, so nothing else would try again. */
static bool stays_choked(struct tcp *t, struct tcp_conn *c)
{
	if (c->q->read_in_place && !(c->flags & CONN_ON_NEWS))
		receive_keep(t, c);
	return c->q->read_in_place && !(c->flags & CONN_ON_NEWS);
}

/* When the pool is low and its owner behind, what comes in order is let come again, promised or
 * not. */
static bool may_keep(struct tcp *t, const struct tcp_queue *q, uint32_t len)
{
	return len <= keep_room(t, q) || pool_lets(t, q->read_len, len);
}

bool receive_payload_take(struct tcp *t, struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq)
{
	uint32_t end = seq_min(seq + m->pkt_len, c->rcv_adv);
	uint32_t before = c->rcv_nxt;

	if (seq_le(end, c->rcv_nxt)) {
		counter_add(&t->counters->tcp_duplicate_data, 1);
		rte_pktmbuf_free(m);
		return false;
	}
	if (!conn_queue(t, c) || stays_choked(t, c)) {
		counter_add(&t->counters->tcp_no_buffer, 1);
		rte_pktmbuf_free(m);
		return false;
	}
	if (seq_lt(c->rcv_nxt, seq)) {
		take_ahead(t, c, m, seq, end);
		rte_pktmbuf_free(m);
		return false;
	}
	if (c->flags & CONN_ORPHAN) {
		rte_pktmbuf_free(m);
	} else if (!may_keep(t, c->q, end - c->rcv_nxt)) {
		counter_add(&t->counters->tcp_pool_low, 1);
		rte_pktmbuf_free(m);
		return false;
	} else {
		read_append_chain(c->q, m, c->rcv_nxt - seq, end - c->rcv_nxt);
		c->q->read_in_place = true;
	}
	c->rcv_nxt = end;
	absorb(t, c);
	return c->rcv_nxt != before;
}

/* Its number is one like any other: the block before it ends with it, or it is one by itself. Else
 * a peer would never learn that its last segment has come. */
bool receive_fin_ahead(struct tcp *t, struct tcp_conn *c, uint32_t fin_seq)
{
	if (!conn_queue(t, c))
		return false;
	c->q->fin_known = true;
	c->q->fin_seq = fin_seq;
	recent_put(c->q, fin_seq);
	return true;
}

/* Appends the block a number lies in, unless it is told already; returns how many there are. */
static uint8_t sack_tell(const struct tcp_queue *q, uint32_t seq, struct tcp_range *blocks,
			 uint8_t n)
{
	if (!sack_block(q, seq, &blocks[n]))
		return n;
	for (uint8_t i = 0; i < n; i++)
		if (blocks[i].start == blocks[n].start)
			return n;
	return n + 1;
}

uint8_t receive_sack(const struct tcp_conn *c, struct tcp_range *blocks, uint8_t max)
{
	const struct tcp_queue *q = c->q;
	uint8_t n = 0;

	if (!q || !(c->flags & CONN_SACK) || (!q->n_ranges && !q->fin_known))
		return 0;
	for (uint8_t i = 0; i < q->n_recent && n < max; i++)
		n = sack_tell(q, q->recent[i], blocks, n);
	for (uint8_t i = 0; i < q->n_ranges && n < max; i++)
		n = sack_tell(q, q->ranges[i].start, blocks, n);
	if (q->fin_known && n < max)
		n = sack_tell(q, q->fin_seq, blocks, n);
	return n;
}

void receive_end(struct tcp_conn *c)
{
	struct tcp_queue *q = c->q;

	if (!q)
		return;
	mbufs_free(q->pages);
	q->pages = q->page_last = NULL;
	q->n_ranges = q->n_recent = 0;
	q->fin_known = false;
}

void receive_release(struct tcp *t, struct tcp_conn *c)
{
	struct tcp_queue *q = c->q;

	(void)t;
	if (!q)
		return;
	mbufs_free(q->read_first);
	q->read_first = q->read_last = NULL;
	q->read_len = 0;
	q->read_in_place = false;
	receive_end(c);
}
