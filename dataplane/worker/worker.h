/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * worker: the loop of one core. It owns its queues, its connections, its timers and its buffers
 * and shares nothing but its rings and its counters.
 *
 * Thread: one worker, one thread; start-up and release by control.
 * Time: worker_turn is given it; worker_run reads the one clock, once a turn.
 * Memory: from worker_init; nothing is allocated in a turn.
 */
#ifndef POSTERN_WORKER_H
#define POSTERN_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "net/net.h"
#include "port/handover.h"
#include "port/port.h"
#include "postern/counters.h"
#include "postern/recipients.h"
#include "tcp/tcp.h"

struct worker;

/* What speaks over the connections: a table of functions the worker calls, each with the state
 * `start` returned for this worker. Nothing may block. */
struct worker_service {
	const char *name;
	/* Once a worker, before its first turn; NULL: it cannot. */
	void *(*start)(struct worker *w, void *config);
	/* Whether a client's SYN, by an interface, is let in; may be NULL: all are. */
	bool (*admits)(void *state, const struct ip_addr *client, uint8_t port, uint64_t now_us);
	/* News of a connection (enum tcp_news). */
	void (*run)(void *state, struct tcp_conn *conn, unsigned news, uint64_t now_us);
	/* Once a turn after all news: time for what waits (active opens); may be NULL. Returns
	 * when it next wants a turn though no frame arrives; UINT64_MAX: not. */
	uint64_t (*turn)(void *state, uint64_t now_us);
	/* Connections that still live are dropped without news. */
	void (*stop)(void *state);
};

struct worker_config {
	uint16_t index;
	uint32_t n_ports;
	struct port *ports[NET_PORTS_MAX];
	struct handover *handover; /* NULL: one worker alone */
	struct net net;		   /* copied; ports, addresses and steering filled in */
	struct tcp_config tcp; /* net, frame_pools, counters, queue are filled in by worker_new */
	uint16_t listen[TCP_LISTEN_MAX];
	uint32_t n_listen;
	/* Where control publishes; may be NULL. */
	const struct routes *const *routes;
	const struct recipients *const *recipients;
	struct postern_counters *counters;
	int wake_fd; /* eventfd others wake us by; -1: none */
	const struct worker_service *service;
	void *service_config;
};

struct worker *worker_new(const struct worker_config *config, uint64_t now_us);
void worker_free(struct worker *w);

/* One turn, top to bottom; returns how many frames came and went (0: it was idle). */
uint32_t worker_turn(struct worker *w, uint64_t now_us);

/* When a turn next has something to do without a frame arriving; UINT64_MAX: never. */
uint64_t worker_next_due(const struct worker *w);

/* --- for the service --- */

struct tcp *worker_tcp(struct worker *w);
uint16_t worker_index(const struct worker *w);
struct postern_counters *worker_counters(const struct worker *w);
/* Those of this turn, not to be held beyond it; NULL: none are published. */
const struct recipients *worker_recipients(const struct worker *w);

enum worker_connect {
	WORKER_CONNECTING, /* news will tell how it ends */
	WORKER_UNRESOLVED, /* the kernel was asked for the next hop's link address: try again soon
			    */
	WORKER_NO_ROUTE,
	WORKER_FULL, /* no source port, or the connection table is full */
};

/* Opens a connection by the published routes; *conn is set on WORKER_CONNECTING only. */
enum worker_connect worker_connect(struct worker *w, const struct ip_addr *to, uint16_t port,
				   struct tcp_conn **conn);

/* --- for control --- */

struct worker_unresolved {
	struct ip_addr next_hop;
	uint8_t port; /* index of the interface */
};

/* A next hop this worker waits for or, ten times a second at most, one it opens connections
 * through, which the kernel is to confirm; false: none. The one call another thread may make. */
bool worker_next_unresolved(struct worker *w, struct worker_unresolved *u);

/* Mbufs of the worker's kept-bytes pool that are in use, approximately while it runs. */
uint32_t worker_buffers_out(const struct worker *w);

#endif
