/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host of the simulation that is the real thing: a port in its in-memory form, one worker a
 * queue, a hand-over between them, published routes. Host n (1..SIM_HOSTS_MAX) has the addresses
 * 10.0.0.n and fd00::n and finds every other by its number.
 *
 * Thread: the wire's. Time: the wire's. Memory: mempools of the EAL.
 */
#ifndef POSTERN_SIM_STACK_H
#define POSTERN_SIM_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"
#include "postern/counters.h"
#include "sim_wire.h"
#include "worker/worker.h"

enum {
	SIM_WORKERS_MAX = 8,
	SIM_ACTIVE_FIRST = 20000, /* source ports of active opens */
	SIM_ACTIVE_SLICE = 1000,
};

/* Which worker's queue a frame arrives at. */
enum sim_arrival {
	SIM_AT_OWNER,
	SIM_AT_ANY,
	SIM_AT_WRONG, /* never the owner's; needs two workers */
	SIM_BY_RSS,   /* where the port's card puts it */
};

struct sim_stack_config {
	uint8_t number;	  /* 1..SIM_HOSTS_MAX */
	uint16_t workers; /* 1..SIM_WORKERS_MAX */
	enum sim_arrival arrival;
	const struct port_rss *rss; /* what the port says of its card's; NULL: nothing */
	uint16_t listen;	    /* port; 0: none */
	uint16_t mtu;		    /* 0: 1500 */
	bool port_checksums;	    /* the port claims to make and check checksums */
	bool port_chains;	    /* ... and to send chained frames */
	uint32_t frames;	    /* of the port, a worker */
	uint32_t buffers;	    /* of TCP, a worker */
	uint32_t conns, receive_window, send_queue, idle_timeout_ms; /* struct tcp_config */
	uint8_t without;					     /* the same */
	struct clients *clients;				     /* the same; may be NULL */
	uint32_t client_half_open, client_conns;
	const struct recipients *const *recipients; /* published to the workers; may be NULL */
	const struct worker_service *service;
	void *service_config;
};

struct sim_stack;

/* Makes the host and joins it to the wire. Keys are drawn from the wire's random numbers. NULL:
 * a sentence is on stderr. */
struct sim_stack *sim_stack_new(struct sim_wire *wire, const struct sim_stack_config *config);
/* The wire must not run afterwards. */
void sim_stack_free(struct sim_stack *stack);

/* What the port's card really does from here on; before, it does as the port says. */
void sim_stack_set_rss(struct sim_stack *stack, const struct port_rss *rss);

/* The number sim_wire_join gave. */
int sim_stack_host(const struct sim_stack *stack);

struct ip_addr sim_address(uint8_t number, bool v6);

/* Connections of all workers, and those in TIME-WAIT, which are none. */
uint32_t sim_stack_conns(const struct sim_stack *stack);
uint32_t sim_stack_time_waits(const struct sim_stack *stack);
/* Sum over all workers. */
void sim_stack_counters(const struct sim_stack *stack, struct postern_counters *sum);
/* TCP frames that arrived at a worker that does not own their flow. */
uint64_t sim_stack_misplaced(const struct sim_stack *stack);
/* Buffers of all pools that are not in them. */
uint32_t sim_stack_buffers_out(const struct sim_stack *stack);

#endif
