/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's routes and neighbours, as a worker needs them to open connections: an immutable
 * snapshot that control builds from netlink and publishes whole.
 *
 * Thread: built by control; read by workers under their quiescent state; freed by control after
 * the grace period. Memory: one block from routes_new, freed by routes_free.
 */
#ifndef POSTERN_ROUTES_H
#define POSTERN_ROUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/address.h"

struct route {
	struct ip_addr prefix;	/* bits behind prefix_len are zero */
	struct ip_addr gateway; /* meaningful unless on_link */
	struct ip_addr source;	/* all zero: the interface's configured address of that version */
	uint32_t metric;	/* the lower the better */
	uint8_t prefix_len;	/* 0..128; an IPv4 prefix counts from 96 */
	uint8_t port;		/* index of the interface in the configuration */
	bool on_link;		/* the destination itself is the next hop */
};

struct neighbour {
	struct ip_addr address;
	uint8_t mac[6];
	uint8_t port;
};

struct routes {
	uint32_t n_routes, n_neighbours;
	struct route *routes;	      /* longest prefix first, then by prefix, compared as octets,
					 then lowest metric */
	struct neighbour *neighbours; /* only those the kernel holds usable; sorted by
					 (port, address), compared as octets */
};

/* An empty snapshot (both counts 0) with room for so many, which the builder counts up; NULL when
 * there is no memory. */
struct routes *routes_new(uint32_t n_routes, uint32_t n_neighbours);
void routes_free(struct routes *r);

/* Puts both lists in the order readers rely on. */
void routes_sort(struct routes *r);

#endif
