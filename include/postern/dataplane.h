/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data plane as control sees it: start it, publish to it, watch it, stop it.
 *
 * Thread: control (the EAL main lcore); of each kind of snapshot, one thread at a time publishes,
 * whichever it is; counters and status may be read by any while the data plane is there. Memory:
 * the data plane's own, freed by dataplane_stop; published snapshots are taken over and freed after
 * the grace period.
 */
#ifndef POSTERN_DATAPLANE_H
#define POSTERN_DATAPLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"
#include "postern/counters.h"
#include "postern/recipients.h"
#include "postern/routes.h"

struct worker_service;

enum dataplane_interface_kind {
	DATAPLANE_AF_XDP,
	DATAPLANE_VDEV,
	DATAPLANE_PCI,
};

enum {
	DATAPLANE_INTERFACES_MAX = 8,
	DATAPLANE_ADDRESSES_MAX = 32, /* an interface */
	DATAPLANE_LISTEN_MAX = 8,
	DATAPLANE_WORKERS_MAX = 64,
};

struct dataplane_interface {
	enum dataplane_interface_kind kind;
	const char *device; /* interface name, vdev string or PCI address */
	uint32_t n_addresses;
	struct ip_addr addresses[DATAPLANE_ADDRESSES_MAX];
	uint8_t mac[6]; /* all zero: the device's own */
	uint16_t mtu;	/* at most the device's own; 0: that */
};

struct dataplane_config {
	uint16_t n_workers; /* run on the first n worker lcores of the EAL */
	uint32_t n_interfaces;
	struct dataplane_interface interfaces[DATAPLANE_INTERFACES_MAX];
	uint32_t n_listen;
	uint16_t listen[DATAPLANE_LISTEN_MAX];
	uint16_t active_first, active_last; /* source ports of active opens; 0, 0: none */
	uint32_t conns;			    /* capacity a worker */
	/* What a client (an IPv4 address, an IPv6 /64) may have over all workers; 0: no limit. */
	uint32_t client_half_open; /* handshakes; beyond that it gets cookies */
	uint32_t client_conns;	   /* beyond that the service is told, beyond twice that it is
				      refused */
	/* Who may have as many as there can be: load balancers. The caller's until dataplane_stop.
	 */
	const struct ip_network *unlimited;
	uint32_t n_unlimited;
	uint32_t receive_window; /* octets a connection */
	uint32_t send_queue;	 /* octets a connection */
	uint32_t buffers;	 /* mbufs a worker for kept bytes */
	uint32_t idle_timeout_ms;
	uint32_t user_timeout_ms; /* for ours to be acknowledged; 0: tcp's own bound */
	int only_owner;		  /* -1: steer by hash; else this worker owns every flow (tests) */
	bool own_nodes;		  /* each worker as if its memory were nobody else's (tests) */
	uint8_t entropy[56];	  /* from the kernel's generator */
	const struct worker_service *service;
	void *service_config;
};

/* What the EAL is started with beside. */
struct dataplane_eal {
	const char *name;	 /* of the program */
	const char *file_prefix; /* NULL: by name and process */
	const uint16_t *cores;	 /* CPUs: control's, then one a worker, twice the same if need be */
	uint32_t n_cores;	 /* n_workers + 1; 0: control on the first CPU this process may use,
				    the workers in turn on the others */
	bool huge_pages;
	bool verbose; /* what libraries say goes to stderr; else only the last line is kept */
};

/* Starts the EAL, once a process, and makes the caller control. 0, or -errno with a sentence. */
int dataplane_eal_start(const struct dataplane_config *config, const struct dataplane_eal *eal,
			char *error, size_t len);
void dataplane_eal_stop(void);

struct dataplane;

/* Opens the interfaces, starts the workers. 0, or -errno with a sentence in error. */
int dataplane_start(struct dataplane **out, const struct dataplane_config *config, char *error,
		    size_t len);

/* Stops the workers after their current turn; what they hold stays to be looked at. */
void dataplane_halt(struct dataplane *dp);

/* Halts, closes the interfaces, frees everything. */
void dataplane_stop(struct dataplane *dp);

/* Publish a snapshot, take it over; the one before is freed once no worker can hold it. NULL: there
 * is none. */
void dataplane_publish_routes_take(struct dataplane *dp, struct routes *routes);
/* Workers on another NUMA node than control's get a copy on theirs; returns the octets of those. */
uint64_t dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients);

/* Workers that sleep have a turn: something waits for them. */
void dataplane_wake(struct dataplane *dp);

/* How things stand, over all workers: exact once nothing moves. */
struct dataplane_status {
	uint32_t connections; /* in any state but TIME-WAIT */
	uint32_t time_waits;
	uint32_t buffers_out; /* mbufs holding bytes */
};
void dataplane_status(const struct dataplane *dp, struct dataplane_status *status);

/* Sum over all workers. */
void dataplane_counters(const struct dataplane *dp, struct postern_counters *sum);

/* A next hop the kernel is to resolve, because a worker needs it, or to confirm, because workers
 * use it and the kernel would not notice otherwise when it is gone: true and filled in, or false.
 */
bool dataplane_next_unresolved(struct dataplane *dp, struct ip_addr *next_hop, uint8_t *port);

#endif
