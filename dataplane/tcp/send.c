/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The send queue: bytes from tcp_send until the peer acknowledges them.
 *
 * Thread: the owning worker. Time: none.
 * Memory: mbufs of config.pool, filled to the brim before the next is taken; config.send_queue
 * octets a connection at most, less when the pool runs low (pool.c). An empty pool makes tcp_send
 * take less.
 */
#include <string.h>

#include <rte_mbuf.h>

#include "tcp/conn.h"

/* Room behind the last mbuf's data, taking a new mbuf when there is none. */
static uint16_t tail_room(struct tcp *t, struct tcp_queue *q, uint32_t seq)
{
	struct rte_mbuf *m = q->send_last;
	uint16_t room = m ? rte_pktmbuf_tailroom(m) : 0;

	if (room)
		return room;
	m = rte_pktmbuf_alloc(t->config.pool);
	if (!m) {
		counter_add(&t->counters->tcp_no_buffer, 1);
		return 0;
	}
	m->data_off = 0;
	m->hash.usr = seq;
	if (q->send_last)
		q->send_last->next = m;
	else
		q->send_first = m;
	q->send_last = m;
	return rte_pktmbuf_tailroom(m);
}

size_t tcp_send_room(const struct tcp *t, const struct tcp_conn *c)
{
	uint32_t queued = c->q ? c->q->send_len : 0;

	if (c->flags & (CONN_FIN_QUEUED | CONN_GONE))
		return 0;
	if (c->state != TCP_ESTABLISHED && c->state != TCP_CLOSE_WAIT)
		return 0;
	return t->queue_share > queued ? t->queue_share - queued : 0;
}

size_t tcp_send(struct tcp *t, struct tcp_conn *c, const void *bytes, size_t len)
{
	size_t room = tcp_send_room(t, c), done = 0;
	const uint8_t *from = bytes;
	struct tcp_queue *q;

	if (len > room)
		len = room;
	if (len == 0)
		return 0;
	q = conn_queue(t, c);
	if (!q)
		return 0;
	while (done < len) {
		size_t run = tail_room(t, q, conn_send_end(c));

		if (run == 0)
			break;
		if (run > len - done)
			run = len - done;
		memcpy(rte_pktmbuf_mtod_offset(q->send_last, uint8_t *, q->send_last->data_len),
		       from + done, run);
		q->send_last->data_len = (uint16_t)(q->send_last->data_len + run);
		q->send_len += (uint32_t)run;
		done += run;
	}
	if (done) {
		if (q->send_len == done && c->snd_una == c->snd_nxt)
			q->progress_ms = t->now_ms;
		conn_starves_no_more(c);
		conn_want_output(t, c);
	} else {
		if (!q->send_len)
			conn_starve(t, c);
		conn_queue_settle(t, c);
	}
	return done;
}

size_t tcp_unacknowledged(const struct tcp_conn *c)
{
	return c->q ? c->q->send_len : 0;
}

void send_acknowledged(struct tcp *t, struct tcp_conn *c, uint32_t len)
{
	struct tcp_queue *q = c->q;

	(void)t;
	assert(len <= q->send_len);
	q->send_len -= len;
	while (len > 0) {
		struct rte_mbuf *m = q->send_first;

		if (len < m->data_len) {
			m->data_off = (uint16_t)(m->data_off + len);
			m->data_len = (uint16_t)(m->data_len - len);
			m->hash.usr += len;
			return;
		}
		len -= m->data_len;
		q->send_first = m->next;
		if (!q->send_first)
			q->send_last = NULL;
		if (q->send_at == m)
			q->send_at = NULL;
		rte_pktmbuf_free_seg(m);
	}
}

void send_copy(struct tcp_conn *c, uint32_t seq, uint8_t *to, uint32_t len)
{
	struct tcp_queue *q = c->q;
	struct rte_mbuf *m = q->send_at;

	if (!m || seq_lt(seq, m->hash.usr))
		m = q->send_first;
	while (seq - m->hash.usr >= m->data_len)
		m = m->next;
	while (len > 0) {
		uint32_t at = seq - m->hash.usr, run = m->data_len - at;

		if (run > len)
			run = len;
		memcpy(to, rte_pktmbuf_mtod_offset(m, uint8_t *, at), run);
		q->send_at = m;
		to += run;
		seq += run;
		len -= run;
		m = m->next;
	}
}

void send_release(struct tcp *t, struct tcp_conn *c)
{
	struct tcp_queue *q = c->q;

	(void)t;
	if (!q)
		return;
	mbufs_free(q->send_first);
	q->send_first = q->send_last = q->send_at = NULL;
	q->send_len = 0;
}
