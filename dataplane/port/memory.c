/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-memory form of a port: two rings a queue, and as much of a NIC as its claims need.
 *
 * Thread: port_memory_push and _pop by one thread a queue, which may be the worker's own.
 * Time: none. Memory: rings of `descriptors` frames; full: push says so, transmission waits in
 * the staging array.
 * Rules: offload flags end here as they would on a wire; where checksums are not claimed, a
 * request for one is not honoured.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port/driver.h"

enum {
	MEMORY_FRAMES = 4096,
	MEMORY_DESCRIPTORS = 1024,
	MEMORY_MTU = 1500,
};

static struct rte_ring *ring_new(uint32_t count)
{
	ssize_t size = rte_ring_get_memsize(count);
	struct rte_ring *ring = NULL;

	if (size > 0)
		ring = aligned_alloc(RTE_CACHE_LINE_SIZE,
				     RTE_ALIGN_CEIL((size_t)size, RTE_CACHE_LINE_SIZE));
	if (ring && rte_ring_init(ring, "port", count, RING_F_SP_ENQ | RING_F_SC_DEQ)) {
		free(ring);
		ring = NULL;
	}
	return ring;
}

static void ring_free(struct rte_ring *ring)
{
	void *m;

	if (!ring)
		return;
	while (rte_ring_dequeue(ring, &m) == 0)
		rte_pktmbuf_free(m);
	free(ring);
}

static int memory_open(struct port *port, const struct port_config *config, char *error, size_t len)
{
	const struct rte_ether_addr none = {0}, own = {{2, 'P', 'o', 's', 't', config->index}};
	uint32_t descriptors = config->descriptors ? config->descriptors : MEMORY_DESCRIPTORS;
	struct port_caps *caps = &port->caps;
	int rc;

	caps->mtu = config->memory_mtu ? config->memory_mtu : MEMORY_MTU;
	caps->chains = config->memory_chains;
	caps->tx_ipv4_checksum = config->memory_checksums;
	caps->tx_tcp_checksum = config->memory_checksums;
	caps->rx_checksum = config->memory_checksums;
	if (config->memory_rss)
		caps->rss = port->memory_rss = *config->memory_rss;
	memcpy(caps->mac, config->memory_mac, sizeof(caps->mac));
	if (memcmp(caps->mac, &none, sizeof(caps->mac)) == 0)
		memcpy(caps->mac, &own, sizeof(caps->mac));

	for (uint16_t i = 0; i < port->n_queues; i++) {
		struct port_queue *q = &port->queues[i];

		rc = port_pool_new(port, i, config->frames ? config->frames : MEMORY_FRAMES,
				   caps->mtu + PORT_FRAME_OVERHEAD, 0, error, len);
		if (rc)
			return rc;
		q->checksums = config->memory_checksums;
		q->rx = ring_new(rte_align32pow2(descriptors));
		q->tx = ring_new(rte_align32pow2(descriptors));
		if (!q->rx || !q->tx)
			return port_error(error, len, -ENOMEM,
					  "%s: no memory for rings of %u frames", config->device,
					  descriptors);
	}
	return 0;
}

static void memory_close(struct port *port)
{
	for (uint16_t i = 0; i < port->n_queues; i++) {
		ring_free(port->queues[i].rx);
		ring_free(port->queues[i].tx);
	}
}

static uint16_t memory_rx(struct port_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t got = (uint16_t)rte_ring_dequeue_burst(q->rx, (void **)frames, n, NULL);

	for (uint16_t i = 0; q->checksums && i < got; i++)
		offload_check(frames[i]);
	return got;
}

static uint16_t memory_tx(struct port_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	uint16_t room = (uint16_t)RTE_MIN(rte_ring_free_count(q->tx), (unsigned)n);

	for (uint16_t i = 0; i < room; i++) {
		if (q->checksums)
			offload_fill(frames[i]);
		frames[i]->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	}
	return (uint16_t)rte_ring_enqueue_burst(q->tx, (void **)frames, room, NULL);
}

const struct port_driver port_memory_driver = {
	.open = memory_open,
	.rx = memory_rx,
	.tx = memory_tx,
	.close = memory_close,
};

bool port_memory_push(struct port *port, uint16_t queue, struct rte_mbuf *frame)
{
	frame->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	if (port->memory_rss.hash_in_mbuf &&
	    offload_hash(&port->memory_rss, frame, &frame->hash.rss))
		frame->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
	if (rte_ring_enqueue(port->queues[queue].rx, frame) == 0)
		return true;
	rte_pktmbuf_free(frame);
	return false;
}

struct rte_mbuf *port_memory_pop(struct port *port, uint16_t queue)
{
	void *frame = NULL;

	return rte_ring_dequeue(port->queues[queue].tx, &frame) == 0 ? frame : NULL;
}

void port_memory_set_rss(struct port *port, const struct port_rss *rss)
{
	port->memory_rss = *rss;
}

uint16_t port_memory_queue(const struct port *port, const void *octets, uint16_t len)
{
	const struct port_rss *rss = &port->memory_rss;
	/* An mbuf's own alignment a sanitizer's stack does not keep. */
	uint8_t room[sizeof(struct rte_mbuf) + RTE_CACHE_LINE_SIZE] = {0};
	struct rte_mbuf *m = RTE_PTR_ALIGN((void *)room, RTE_CACHE_LINE_SIZE);
	uint32_t hash;

	m->buf_addr = (void *)octets;
	m->data_len = len;
	m->pkt_len = len;
	m->nb_segs = 1;
	if (!offload_hash(rss, m, &hash))
		return 0;
	return rss->table[hash & (rss->table_len - 1u)];
}
