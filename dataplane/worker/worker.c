/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One turn of a worker, top to bottom.
 *
 * Thread: the worker, but for worker_next_unresolved (control).
 * Time: worker_turn's argument, the same for everything in the turn.
 * Memory: worker_new's. Rules: an mbuf has one owner: port_rx gives it to the worker, the worker
 * to tcp, to another worker, or back to its pool.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <rte_tcp.h>

#include "base/counter.h"
#include "worker/steering.h"
#include "worker/worker.h"

enum {
	BURST = PORT_BURST,
	OUTPUT_BURST = 64,
	OUTPUT_ROUNDS = 16,   /* of OUTPUT_BURST frames in one turn */
	UNRESOLVED_RING = 16, /* a power of two */
	CONFIRM_US = 100000,  /* from one next hop in use that control hears of to another */
};

/* Next hops for control: one writer, one reader. */
struct unresolved_ring {
	uint32_t head, tail; /* written by the worker, by control */
	struct worker_unresolved at[UNRESOLVED_RING];
};

/* Frames of one burst that belong to another worker. */
struct misdirected {
	uint16_t n;
	struct rte_mbuf *frames[BURST];
};

struct worker {
	struct worker_config config;
	struct net net;
	const struct recipients *recipients; /* the turn's */
	struct tcp *tcp;
	void *service;
	uint64_t service_due_us;
	uint64_t now_us; /* the turn's */
	uint64_t confirm_due_us;
	struct rte_mempool *copies; /* for frames handed over */
	struct unresolved_ring unresolved;
	struct steering steering;
	struct misdirected *misdirected; /* one a worker; NULL: alone */
};

static_assert(BURST <= 64, "tcp_input_take's bound");

/* --- life ---------------------------------------------------------------------------------- */

static bool worker_start(struct worker *w, uint64_t now_us)
{
	struct tcp_config tcp = w->config.tcp;

	tcp.net = &w->net;
	tcp.queue = w->config.index;
	tcp.counters = w->config.counters;
	tcp.worker = w->config.index;
	for (uint32_t i = 0; i < w->config.n_ports; i++)
		tcp.frame_pools[i] = port_pool(w->config.ports[i], w->config.index);
	w->copies = tcp.frame_pools[0];
	w->tcp = tcp_new(&tcp, now_us);
	if (!w->tcp)
		return false;
	for (uint32_t i = 0; i < w->config.n_listen; i++)
		if (!tcp_listen(w->tcp, w->config.listen[i]))
			return false;
	if (w->config.handover) {
		w->misdirected = calloc(w->net.n_workers, sizeof(*w->misdirected));
		if (!w->misdirected)
			return false;
	}
	w->service = w->config.service->start(w, w->config.service_config);
	return w->service != NULL;
}

struct worker *worker_new(const struct worker_config *config, uint64_t now_us)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->config = *config;
	w->net = config->net;
	w->net.counters = config->counters;
	w->steering.self = config->index;
	w->service_due_us = UINT64_MAX;
	if (!worker_start(w, now_us)) {
		worker_free(w);
		return NULL;
	}
	return w;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	if (w->service)
		w->config.service->stop(w->service);
	tcp_free(w->tcp);
	free(w->misdirected);
	free(w);
}

struct tcp *worker_tcp(struct worker *w)
{
	return w->tcp;
}

uint16_t worker_index(const struct worker *w)
{
	return w->config.index;
}

struct postern_counters *worker_counters(const struct worker *w)
{
	return w->config.counters;
}

const struct recipients *worker_recipients(const struct worker *w)
{
	return w->recipients;
}

uint32_t worker_buffers_out(const struct worker *w)
{
	return rte_mempool_in_use_count(w->config.tcp.pool);
}

/* --- in ------------------------------------------------------------------------------------ */

static void misdirect(struct worker *w, uint16_t owner, struct rte_mbuf *m)
{
	struct misdirected *d = &w->misdirected[owner];

	assert(w->misdirected && owner < w->net.n_workers);
	d->frames[d->n++] = m;
}

static void hand_over(struct worker *w)
{
	for (uint16_t to = 0; to < w->net.n_workers; to++) {
		struct misdirected *d = &w->misdirected[to];

		if (!d->n)
			continue;
		handover_put_take(w->config.handover, w->config.index, to, d->frames, d->n,
				  w->config.counters);
		d->n = 0;
	}
}

/* The worker whose segment it is, or whose flow an error quotes; errors come to any queue. */
static uint16_t owner_of(struct worker *w, struct net_segment *s, enum net_finding finding)
{
	if (finding == NET_ERROR)
		return net_owner(&w->net, &s->flow, s->hash);
	return steering_owner(&w->steering, &w->net, s);
}

/* To tcp; and what was ours on trust and is of no connection of ours to its owner, be it us. */
static void take_segments(struct worker *w, struct net_segment *segments, uint32_t n,
			  uint64_t now_us)
{
	uint32_t strange = tcp_input_take(w->tcp, segments, n, now_us), ours = 0;

	for (uint32_t i = 0; i < strange; i++) {
		uint16_t owner = steering_compute(&w->steering, &w->net, &segments[i]);

		if (owner != w->config.index)
			misdirect(w, owner, segments[i].m);
		else
			segments[ours++] = segments[i];
	}
	if (ours)
		tcp_input_take(w->tcp, segments, ours, now_us);
}

/* False: a SYN the service will not have, whose sender hears nothing. */
static bool is_admitted(const struct worker *w, const struct net_segment *s, uint64_t now_us)
{
	const struct rte_tcp_hdr *h =
		rte_pktmbuf_mtod_offset(s->m, const struct rte_tcp_hdr *, s->tcp_at);

	if (!w->config.service->admits ||
	    (h->tcp_flags & (RTE_TCP_SYN_FLAG | RTE_TCP_ACK_FLAG)) != RTE_TCP_SYN_FLAG ||
	    w->config.service->admits(w->service, &s->flow.remote, s->path.port, now_us))
		return true;
	counter_add(&w->config.counters->worker_not_admitted, 1);
	return false;
}

/* Sorts a burst: ours to tcp, others' to their owners, the rest back to the pool. Frames that were
 * handed over have found their owner already. */
static void take_burst(struct worker *w, struct rte_mbuf **frames, uint16_t n, bool handed_over,
		       uint64_t now_us)
{
	struct net_segment segments[BURST];
	uint32_t n_segments = 0;

	for (uint16_t i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		struct net_segment *s = &segments[n_segments];
		enum net_finding finding = net_input(&w->net, frames[i], s);
		uint16_t owner = w->config.index;

		if (finding != NET_DROP && w->misdirected && !handed_over)
			owner = owner_of(w, s, finding);
		if (finding == NET_SEGMENT && owner == w->config.index &&
		    !is_admitted(w, s, now_us))
			finding = NET_DROP;
		if (finding == NET_DROP) {
			rte_pktmbuf_free(frames[i]);
		} else if (owner != w->config.index) {
			misdirect(w, owner, frames[i]);
		} else if (finding == NET_ERROR) {
			tcp_error(w->tcp, s, now_us);
			rte_pktmbuf_free(frames[i]);
		} else {
			n_segments++;
		}
	}
	if (n_segments)
		take_segments(w, segments, n_segments, now_us);
	if (w->misdirected && !handed_over)
		hand_over(w);
}

/* As many bursts as from interfaces of one's own: with several of those, others hand over as
 * many in a turn of theirs. */
static uint32_t receive_handed_over(struct worker *w, uint64_t now_us)
{
	struct rte_mbuf *frames[BURST];
	uint32_t total = 0;

	for (uint32_t i = 0; i < w->config.n_ports; i++) {
		uint16_t n = handover_get(w->config.handover, w->config.index, w->copies, frames,
					  BURST, w->config.counters);

		if (n)
			take_burst(w, frames, n, true, now_us);
		total += n;
		if (n < BURST)
			break;
	}
	return total;
}

static uint32_t receive(struct worker *w, uint64_t now_us)
{
	struct rte_mbuf *frames[BURST];
	uint32_t total = 0;

	for (uint32_t i = 0; i < w->config.n_ports; i++) {
		uint16_t n = port_rx(w->config.ports[i], w->config.index, frames, BURST);

		if (n)
			take_burst(w, frames, n, false, now_us);
		total += n;
	}
	if (w->config.handover)
		total += receive_handed_over(w, now_us);
	return total;
}

/* --- the owner of the bytes ------------------------------------------------------------------- */

static void serve(struct worker *w, uint64_t now_us)
{
	struct tcp_conn *c;
	unsigned news;

	while ((c = tcp_next_news(w->tcp, &news)))
		w->config.service->run(w->service, c, news, now_us);
	if (w->config.service->turn)
		w->service_due_us = w->config.service->turn(w->service, now_us);
}

/* --- out ------------------------------------------------------------------------------------- */

/* Frames of one call usually leave by one port. */
static void transmit_burst(struct worker *w, struct rte_mbuf **frames, uint16_t n)
{
	for (uint16_t first = 0, i = 1; i <= n; i++) {
		if (i < n && frames[i]->port == frames[first]->port)
			continue;
		port_tx_take(w->config.ports[frames[first]->port], w->config.index, frames + first,
			     (uint16_t)(i - first));
		first = i;
	}
}

/* A turn sends a bounded number of frames; what is left has the next turn at once. */
static uint32_t transmit(struct worker *w, uint64_t now_us)
{
	struct rte_mbuf *frames[OUTPUT_BURST];
	uint32_t total = 0;

	for (unsigned round = 0; round < OUTPUT_ROUNDS; round++) {
		uint16_t n = tcp_output(w->tcp, frames, OUTPUT_BURST, now_us);

		transmit_burst(w, frames, n);
		total += n;
		if (n < OUTPUT_BURST)
			break;
	}
	for (uint32_t i = 0; i < w->config.n_ports; i++)
		port_flush(w->config.ports[i], w->config.index);
	return total;
}

/* --- the turn -------------------------------------------------------------------------------- */

uint32_t worker_turn(struct worker *w, uint64_t now_us)
{
	struct postern_counters *counters = w->config.counters;
	uint32_t moved;

	w->now_us = now_us;
	if (w->config.routes)
		w->net.routes = __atomic_load_n(w->config.routes, __ATOMIC_ACQUIRE);
	if (w->config.recipients)
		w->recipients = __atomic_load_n(w->config.recipients, __ATOMIC_ACQUIRE);
	moved = receive(w, now_us);
	tcp_tick(w->tcp, now_us);
	serve(w, now_us);
	moved += transmit(w, now_us);
	/* Not to be held across turns. */
	w->net.routes = NULL;
	w->recipients = NULL;

	counter_add(&counters->worker_turns, 1);
	if (!moved)
		counter_add(&counters->worker_turns_empty, 1);
	return moved;
}

uint64_t worker_next_due(const struct worker *w)
{
	uint64_t due = tcp_next_due(w->tcp);

	return due < w->service_due_us ? due : w->service_due_us;
}

/* --- opening --------------------------------------------------------------------------------- */

static void ask_to_resolve(struct worker *w, const struct ip_addr *next_hop, uint8_t port)
{
	struct unresolved_ring *r = &w->unresolved;
	uint32_t head = r->head;

	if (head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE) == UNRESOLVED_RING)
		return; /* control is busy; the open is tried again anyway */
	r->at[head % UNRESOLVED_RING] = (struct worker_unresolved){*next_hop, port};
	__atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
}

/* The kernel sees none of our traffic: unless it is told that a neighbour is in use, it never
 * looks whether that one is still there (RFC 4861 7.3.3). */
static void ask_to_confirm(struct worker *w, const struct ip_addr *next_hop, uint8_t port)
{
	if (w->now_us < w->confirm_due_us)
		return;
	w->confirm_due_us = w->now_us + CONFIRM_US;
	ask_to_resolve(w, next_hop, port);
}

bool worker_next_unresolved(struct worker *w, struct worker_unresolved *u)
{
	struct unresolved_ring *r = &w->unresolved;
	uint32_t tail = r->tail;

	if (__atomic_load_n(&r->head, __ATOMIC_ACQUIRE) == tail)
		return false;
	*u = r->at[tail % UNRESOLVED_RING];
	__atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
	return true;
}

enum worker_connect worker_connect(struct worker *w, const struct ip_addr *to, uint16_t port,
				   struct tcp_conn **conn)
{
	struct ip_addr source, next_hop;
	struct net_path path;
	struct tcp_conn *c;

	if (!w->net.routes)
		return WORKER_NO_ROUTE;
	switch (net_route_find(&w->net, to, &path, &source, &next_hop)) {
	case NET_ROUTE_READY:
		ask_to_confirm(w, &next_hop, path.port);
		break;
	case NET_ROUTE_UNRESOLVED:
		ask_to_resolve(w, &next_hop, path.port);
		return WORKER_UNRESOLVED;
	case NET_ROUTE_NONE:
	default:
		return WORKER_NO_ROUTE;
	}
	c = tcp_connect(w->tcp, &source, to, port, &path);
	if (!c)
		return WORKER_FULL;
	*conn = c;
	return WORKER_CONNECTING;
}
