/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool's shares: how much a connection may have of config.pool while all of them want it.
 *
 * Windows and send queues promise many times what the pool holds, because most are empty. When it
 * runs low, promises shrink: above a half free they are whole, from there to a quarter in
 * proportion, below that the least with which a conversation still gets on. The last quarter is
 * therefore all those leasts', and the last eighth what is to be sent alone: bytes kept can go only
 * once their answer finds a buffer.
 *
 * Thread: the owning worker. Time: none.
 * Memory: none. What lies in a core's cache counts as used.
 * Rules: RFC 9293 3.8.6: a window shrinks by what arrives, its right edge never moves left.
 */
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "tcp/conn.h"

/* What rte_mempool_avail_count begins with; it goes on to the cache of every core there could be, a
 * cache line each. */
static uint32_t pool_free(const struct tcp *t)
{
	const struct rte_mempool *pool = t->config.pool;

	return rte_mempool_get_ops(pool->ops_index)->get_count(pool);
}

static uint32_t fraction(const struct tcp *t, uint32_t of)
{
	return t->config.pool->size / of;
}

static uint32_t share(const struct tcp *t, uint32_t whole, uint32_t spare)
{
	uint32_t full = fraction(t, TCP_POOL_FULL) - fraction(t, TCP_POOL_LOW), part;

	if (spare >= full)
		return whole;
	part = (uint32_t)((uint64_t)whole * spare / full);
	part = part > t->share_least ? part : t->share_least;
	return part < whole ? part : whole;
}

void pool_look(struct tcp *t)
{
	uint32_t free = pool_free(t);
	uint32_t low = fraction(t, TCP_POOL_LOW), spare = free > low ? free - low : 0;

	t->pool_spare = (uint64_t)spare * TCP_PAGE;
	t->pool_is_dry = free <= fraction(t, TCP_POOL_SENDERS);
	t->window_share = share(t, t->config.receive_window, spare);
	t->queue_share = share(t, t->config.send_queue, spare);
}

struct rte_mbuf *pool_take(const struct tcp *t, uint32_t but_for)
{
	if (pool_free(t) <= fraction(t, but_for))
		return NULL;
	return rte_pktmbuf_alloc(t->config.pool);
}

bool pool_lets(struct tcp *t, uint32_t had, uint32_t len)
{
	if (had && t->pool_spare < len && (t->pool_is_dry || had + len > t->share_least))
		return false;
	t->pool_spare -= t->pool_spare < len ? t->pool_spare : len;
	return true;
}
