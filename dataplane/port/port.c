/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port: what all kinds of port share: opening, staging, copying what a driver cannot send.
 *
 * Thread: open and close by control; the rest by the queue's worker.
 * Time: none. Memory: a pool a queue, made at open; frames wait in a staging array of
 * PORT_STAGED_MAX a queue, what does not fit there is dropped and counted.
 * Rules: a copy keeps the metadata (flags, lengths, m->port) of its original.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include "base/counter.h"
#include "port/driver.h"

int port_error(char *error, size_t len, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (len > 0)
		vsnprintf(error, len, format, args);
	va_end(args);
	return code;
}

/* As rte_pktmbuf_pool_create, with flags. */
static struct rte_mempool *pool_new(const char *name, uint32_t n, uint16_t room, unsigned flags)
{
	struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = room};
	struct rte_mempool *pool =
		rte_mempool_create_empty(name, n, sizeof(struct rte_mbuf) + room, PORT_POOL_CACHE,
					 sizeof(private), (int)rte_socket_id(), flags);
	int rc;

	if (!pool)
		return NULL;
	rte_pktmbuf_pool_init(pool, &private);
	rc = rte_mempool_populate_default(pool);
	if (rc < 0) {
		rte_mempool_free(pool);
		rte_errno = -rc;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

/* Pools are named after the port's address: unique among all that live, whatever tests open. */
int port_pool_new(struct port *port, uint16_t queue, uint32_t frames, uint32_t frame_len,
		  unsigned flags, char *error, size_t len)
{
	/* Other lcores free frames of this pool (hand-over) and keep some in their caches. */
	uint32_t kept = port->n_queues * (PORT_POOL_CACHE + PORT_POOL_CACHE / 2);
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *pool;

	frame_len = RTE_MAX(frame_len, (uint32_t)RTE_MBUF_DEFAULT_DATAROOM);
	if (frame_len > UINT16_MAX - RTE_PKTMBUF_HEADROOM)
		return port_error(error, len, -EINVAL, "an MTU of %u needs too large a buffer",
				  frame_len - PORT_FRAME_OVERHEAD);
	snprintf(name, sizeof(name), "p%lx.%u", (unsigned long)(uintptr_t)port, queue);
	pool = pool_new(name, frames + kept, (uint16_t)(frame_len + RTE_PKTMBUF_HEADROOM), flags);
	if (!pool)
		return port_error(error, len, -rte_errno,
				  "no memory for %u buffers of queue %u: %s", frames, queue,
				  rte_strerror(rte_errno));
	port->queues[queue].pool = pool;
	return 0;
}

static const struct port_driver *driver_of(enum port_kind kind)
{
	switch (kind) {
	case PORT_AF_XDP:
		return &port_af_xdp_driver;
	case PORT_VDEV:
	case PORT_PCI:
		return &port_device_driver;
	case PORT_MEMORY:
		return &port_memory_driver;
	}
	return NULL;
}

static enum port_copy copy_needed(const struct port_caps *caps)
{
	if (caps->kernel_shares)
		return PORT_COPY_ALL_BUT_OWN;
	return caps->chains ? PORT_COPY_NOTHING : PORT_COPY_CHAINS;
}

int port_open(struct port **port, const struct port_config *config,
	      struct postern_counters *const *counters, char *error, size_t len)
{
	const struct port_driver *driver = driver_of(config->kind);
	struct port *p;
	size_t size;
	int rc;

	if (!driver)
		return port_error(error, len, -EINVAL, "%s: there is no such kind of port",
				  config->device);
	if (config->queues < 1 || config->queues > PORT_QUEUES_MAX)
		return port_error(error, len, -EINVAL,
				  "%s: %u queues asked for, 1 to %d can be had", config->device,
				  config->queues, PORT_QUEUES_MAX);
	size = sizeof(*p) + config->queues * sizeof(p->queues[0]);
	p = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (!p)
		return port_error(error, len, -ENOMEM, "%s: no memory", config->device);
	memset(p, 0, size);
	p->driver = driver;
	p->n_queues = config->queues;
	for (uint16_t i = 0; i < p->n_queues; i++) {
		struct port_queue *q = &p->queues[i];

		q->driver = driver;
		q->counters = counters[i];
		q->index = config->index;
		q->wait_fd = -1;
	}
	rc = driver->open(p, config, error, len);
	if (rc) {
		port_close(p);
		return rc;
	}
	for (uint16_t i = 0; i < p->n_queues; i++)
		p->queues[i].copy = copy_needed(&p->caps);
	*port = p;
	return 0;
}

void port_close(struct port *port)
{
	if (!port)
		return;
	for (uint16_t i = 0; i < port->n_queues; i++)
		rte_pktmbuf_free_bulk(port->queues[i].staged, port->queues[i].n_staged);
	port->driver->close(port);
	for (uint16_t i = 0; i < port->n_queues; i++)
		rte_mempool_free(port->queues[i].pool);
	free(port);
}

const struct port_caps *port_caps(const struct port *port)
{
	return &port->caps;
}

struct rte_mempool *port_pool(const struct port *port, uint16_t queue)
{
	return port->queues[queue].pool;
}

uint16_t port_rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct port_queue *q = &port->queues[queue];
	uint16_t got = q->driver->rx(q, frames, n);
	uint64_t octets = 0;

	if (got == 0)
		return 0;
	for (uint16_t i = 0; i < got; i++) {
		frames[i]->port = q->index;
		octets += rte_pktmbuf_pkt_len(frames[i]);
	}
	q->blind_sleeps = 0;
	counter_add(&q->counters->port_rx_frames, got);
	counter_add(&q->counters->port_rx_octets, octets);
	return got;
}

static bool must_copy(const struct port_queue *q, const struct rte_mbuf *m)
{
	if (q->copy == PORT_COPY_NOTHING)
		return false;
	if (m->nb_segs > 1 || q->copy == PORT_COPY_CHAINS)
		return m->nb_segs > 1;
	return m->pool != q->pool || !RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1;
}

/* One fresh mbuf of the queue's own pool in place of m, which is freed; NULL: dropped. */
static struct rte_mbuf *copy_take(struct port_queue *q, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, q->pool, 0, UINT32_MAX);
	bool chained = m->nb_segs > 1;

	rte_pktmbuf_free(m);
	if (!copy) {
		counter_add(&q->counters->port_no_buffer, 1);
		return NULL;
	}
	if (copy->nb_segs > 1) {
		rte_pktmbuf_free(copy);
		counter_add(&q->counters->port_tx_refused, 1);
		return NULL;
	}
	if (chained)
		counter_add(&q->counters->port_tx_linearised, 1);
	return copy;
}

void port_tx_take(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n)
{
	struct port_queue *q = &port->queues[queue];

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = frames[i];

		if (q->n_staged == PORT_STAGED_MAX)
			port_flush(port, queue);
		if (q->n_staged == PORT_STAGED_MAX) {
			counter_add(&q->counters->port_tx_full, n - i);
			rte_pktmbuf_free_bulk(&frames[i], n - i);
			return;
		}
		if (must_copy(q, m))
			m = copy_take(q, m);
		if (m && q->driver->prepare && !q->driver->prepare(q, m)) {
			counter_add(&q->counters->port_tx_refused, 1);
			rte_pktmbuf_free(m);
			m = NULL;
		}
		if (m)
			q->staged[q->n_staged++] = m;
	}
}

static uint64_t octets_of(struct rte_mbuf *const *frames, uint16_t n)
{
	uint64_t octets = 0;

	for (uint16_t i = 0; i < n; i++)
		octets += rte_pktmbuf_pkt_len(frames[i]);
	return octets;
}

void port_flush(struct port *port, uint16_t queue)
{
	struct port_queue *q = &port->queues[queue];
	uint64_t octets;
	uint16_t sent;

	if (q->n_staged == 0)
		return;
	octets = octets_of(q->staged, q->n_staged);
	sent = q->driver->tx(q, q->staged, q->n_staged);
	q->n_staged -= sent;
	memmove(q->staged, q->staged + sent, q->n_staged * sizeof(q->staged[0]));
	octets -= octets_of(q->staged, q->n_staged);
	counter_add(&q->counters->port_tx_frames, sent);
	counter_add(&q->counters->port_tx_octets, octets);
}
