/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hand-over: a square of single-producer single-consumer rings, one for each ordered pair.
 *
 * Thread: row `from` is written by worker from, column `to` read by worker to.
 * Time: none. Memory: handover_new's; a full ring drops.
 * Rules: putting wakes a sleeper by one write to its eventfd; the flag and the ring are ordered
 * against each other (store, fence, load on both sides), so no frame is left to a sleeper.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_atomic.h>
#include <rte_common.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "base/counter.h"
#include "port/handover.h"

struct handover_worker {
	bool asleep;
	int wake_fd;
	uint16_t next_from; /* whose ring is looked at first, so that none starves */
} __rte_cache_aligned;

struct handover {
	uint16_t n_workers;
	struct rte_ring **rings; /* [from * n_workers + to]; NULL where from == to */
	struct handover_worker workers[];
};

static struct rte_ring *ring_of(const struct handover *h, uint16_t from, uint16_t to)
{
	return h->rings[from * h->n_workers + to];
}

static struct rte_ring *ring_new(void)
{
	/* RING_F_EXACT_SZ: HANDOVER_RING frames fit, not one fewer; it takes twice the slots. */
	size_t size = (size_t)rte_ring_get_memsize(HANDOVER_RING * 2);
	struct rte_ring *ring =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));

	if (ring && rte_ring_init(ring, "handover", HANDOVER_RING,
				  RING_F_SP_ENQ | RING_F_SC_DEQ | RING_F_EXACT_SZ)) {
		free(ring);
		ring = NULL;
	}
	return ring;
}

struct handover *handover_new(uint16_t n_workers, const int *wake_fds)
{
	size_t size = sizeof(struct handover) + n_workers * sizeof(struct handover_worker);
	struct handover *h =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));

	if (!h)
		return NULL;
	memset(h, 0, size);
	h->n_workers = n_workers;
	h->rings = calloc((size_t)n_workers * n_workers, sizeof(struct rte_ring *));
	if (!h->rings)
		goto fail;
	for (uint16_t from = 0; from < n_workers; from++) {
		h->workers[from].wake_fd = wake_fds[from];
		for (uint16_t to = 0; to < n_workers; to++) {
			struct rte_ring **ring = &h->rings[from * n_workers + to];

			if (from != to && !(*ring = ring_new()))
				goto fail;
		}
	}
	return h;
fail:
	handover_free(h);
	return NULL;
}

static void ring_free(struct rte_ring *ring)
{
	void *m;

	while (rte_ring_dequeue(ring, &m) == 0)
		rte_pktmbuf_free(m);
	free(ring);
}

void handover_free(struct handover *h)
{
	if (!h)
		return;
	for (size_t i = 0; h->rings && i < (size_t)h->n_workers * h->n_workers; i++) {
		if (h->rings[i])
			ring_free(h->rings[i]);
	}
	free(h->rings);
	free(h);
}

static void wake(struct handover_worker *w)
{
	const uint64_t one = 1;
	ssize_t refused;

	if (w->wake_fd < 0)
		return;
	/* A full eventfd is readable all the same. */
	refused = write(w->wake_fd, &one, sizeof(one));
	(void)refused;
}

void handover_put_take(struct handover *h, uint16_t from, uint16_t to, struct rte_mbuf **frames,
		       uint16_t n, struct postern_counters *counters)
{
	struct rte_ring *ring = ring_of(h, from, to);
	struct handover_worker *w = &h->workers[to];
	uint16_t put = (uint16_t)rte_ring_enqueue_burst(ring, (void **)frames, n, NULL);

	counter_add(&counters->handover_out, put);
	if (put < n) {
		counter_add(&counters->handover_full, n - put);
		rte_pktmbuf_free_bulk(&frames[put], n - put);
	}
	if (put == 0)
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&w->asleep, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&w->asleep, false, __ATOMIC_RELAXED))
		wake(w);
}

uint16_t handover_get(struct handover *h, uint16_t to, struct rte_mempool *pool,
		      struct rte_mbuf **frames, uint16_t n, struct postern_counters *counters)
{
	struct handover_worker *w = &h->workers[to];
	uint16_t taken = 0, got = 0;

	for (uint16_t i = 0; i < h->n_workers && taken < n; i++) {
		uint16_t from = w->next_from;

		w->next_from = (uint16_t)((from + 1) % h->n_workers);
		if (from != to)
			taken += (uint16_t)rte_ring_dequeue_burst(
				ring_of(h, from, to), (void **)&frames[taken], n - taken, NULL);
	}
	for (uint16_t i = 0; i < taken; i++) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(frames[i], pool, 0, UINT32_MAX);

		rte_pktmbuf_free(frames[i]);
		if (copy)
			frames[got++] = copy;
	}
	if (taken > 0)
		counter_add(&counters->handover_in, got);
	if (got < taken)
		counter_add(&counters->port_no_buffer, taken - got);
	return got;
}

bool handover_sleep(struct handover *h, uint16_t to)
{
	__atomic_store_n(&h->workers[to].asleep, true, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint16_t from = 0; from < h->n_workers; from++) {
		if (from != to && !rte_ring_empty(ring_of(h, from, to))) {
			handover_awake(h, to);
			return false;
		}
	}
	return true;
}

void handover_awake(struct handover *h, uint16_t to)
{
	__atomic_store_n(&h->workers[to].asleep, false, __ATOMIC_RELAXED);
}
