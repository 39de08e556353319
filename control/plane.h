/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What control does round a data plane: the addresses it answers at, the shield before it, and the
 * kernel's routes and neighbours, kept published to it.
 *
 * Order at start: plane_complete_addresses, the EAL, plane_open (the shield is up, and what is for
 * the data plane waits for it), dataplane_start, plane_start. At the end plane_close comes after
 * dataplane_stop, since workers write into the shield's map.
 *
 * Thread: control. Time: CLOCK_MONOTONIC; plane_tick some times a second, as workers cannot wake
 * control for the next hops they miss. Memory: the struct, the watch's and the shield's.
 * Rules: int functions return 0, or -errno with a sentence in error. An interface of DPDK's alone
 * has no shield and no routes but to the neighbours that are named.
 */
#ifndef POSTERN_CONTROL_PLANE_H
#define POSTERN_CONTROL_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/shield.h"
#include "postern/dataplane.h"

/* Of a link no kernel knows; reached on link. */
struct plane_neighbour {
	struct ip_addr address;
	uint8_t mac[6];
	uint8_t port; /* index of the interface */
};

struct plane_config {
	const struct dataplane_config *dataplane; /* its addresses complete */
	const char *bpffs;
	const struct ip_endpoint *backends; /* none: nothing comes to our source ports */
	uint32_t n_backends;
	const struct plane_neighbour *neighbours;
	uint32_t n_neighbours;
	bool verbose;			   /* what libbpf says goes to stderr */
	void (*say)(const char *sentence); /* what an operator should know; NULL: nobody is told */
};

struct plane;

/* Where an interface of the kernel's has no address yet, the kernel's own. */
int plane_complete_addresses(struct dataplane_config *config, char *error, size_t len);
/* No more workers than each interface of the kernel's can have queues. */
int plane_limit_workers(struct dataplane_config *config, char *error, size_t len);

/* What config points to must stay. */
int plane_open(struct plane **out, const struct plane_config *config, char *error, size_t len);
void plane_close(struct plane *p);

/* NULL: no interface is the kernel's. */
struct shield *plane_shield(const struct plane *p);

/* Publishes routes to the data plane, and from now on when they change. */
int plane_start(struct plane *p, struct dataplane *dataplane, char *error, size_t len);

/* Readable when plane_read has something to take. -ENODEV: an interface is gone for good, and our
 * sockets with it. */
int plane_fd(const struct plane *p);
int plane_read(struct plane *p, char *error, size_t len);

/* Publishes what has changed, and asks the kernel for next hops that workers miss. A table that
 * takes long to read is read the more seldom, and one that cannot be read is tried again later and
 * later. */
int plane_tick(struct plane *p, char *error, size_t len);

#endif
