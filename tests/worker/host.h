/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Workers on in-memory interfaces, turned by hand: interface i has the address 10.i.0.1 and the
 * link address 02:00:00:00:00:i.
 *
 * Thread: one, for all workers. Time: given. Memory: mempools of the EAL.
 * Rules: none.
 */
#ifndef POSTERN_TESTS_WORKER_HOST_H
#define POSTERN_TESTS_WORKER_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/counters.h"
#include "worker/worker.h"

enum {
	HOST_WORKERS_MAX = 4,
	HOST_LISTEN = 25,
	HOST_FRAMES = 4096,  /* a queue */
	HOST_BUFFERS = 1024, /* a worker */
};

struct host {
	uint16_t n_workers;
	uint32_t n_ports;
	struct port *ports[NET_PORTS_MAX];
	struct handover *handover;
	struct worker *workers[HOST_WORKERS_MAX];
	struct rte_mempool *pools[HOST_WORKERS_MAX];
	struct postern_counters counters[HOST_WORKERS_MAX];
	struct routes *routes; /* freed with the host */
	const struct routes *published;
	struct net_rss *rss; /* every interface's; NULL: they say nothing */
	uint64_t now_us;
};

/* All flows belong to worker `owner`. False: a worker does not start; the host is to be freed all
 * the same. */
bool host_new(struct host *h, uint16_t workers, uint32_t ports, uint16_t owner,
	      const struct worker_service *service, void *service_config);

/* Flows belong to where one interface says its card delivers them. */
bool host_new_by_rss(struct host *h, uint16_t workers, const struct port_rss *says,
		     const struct worker_service *service, void *service_config);

/* Everything; fails the running test when a frame or a buffer was not given back. */
void host_free(struct host *h);

/* Puts a client's SYN to HOST_LISTEN into a queue; from_port tells it from others. */
void host_push_syn(struct host *h, uint32_t port, uint16_t queue, uint16_t from_port);

/* The same with any flags. */
void host_push_segment(struct host *h, uint32_t port, uint16_t queue, uint16_t from_port,
		       uint8_t flags);

/* The worker whose queue that is, by what the interface says. */
uint16_t host_owner(const struct host *h, uint16_t from_port);

/* Takes the next frame sent, copies its first len octets, and frees it; false: none. */
bool host_pop(struct host *h, uint32_t port, uint16_t queue, uint8_t *octets, uint16_t len);

uint32_t host_turn(struct host *h, uint16_t worker);

#endif
