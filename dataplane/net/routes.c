/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The snapshot of routes and neighbours: made, sorted, freed.
 *
 * Thread: control. Time: none. Memory: one block, the lists behind the struct.
 */
#include <stdlib.h>
#include <string.h>

#include "postern/routes.h"

struct routes *routes_new(uint32_t n_routes, uint32_t n_neighbours)
{
	struct routes *r;

	r = calloc(1, sizeof(*r) + n_routes * sizeof(*r->routes) +
			      n_neighbours * sizeof(*r->neighbours));
	if (!r)
		return NULL;
	r->routes = (struct route *)(r + 1);
	r->neighbours = (struct neighbour *)(r->routes + n_routes);
	return r;
}

void routes_free(struct routes *r)
{
	free(r);
}

static int compare_routes(const void *left, const void *right)
{
	const struct route *a = left, *b = right;
	int order;

	if (a->prefix_len != b->prefix_len)
		return a->prefix_len > b->prefix_len ? -1 : 1;
	order = memcmp(&a->prefix, &b->prefix, sizeof(a->prefix));
	if (order != 0)
		return order;
	return (a->metric > b->metric) - (a->metric < b->metric);
}

static int compare_neighbours(const void *left, const void *right)
{
	const struct neighbour *a = left, *b = right;

	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return memcmp(&a->address, &b->address, sizeof(a->address));
}

void routes_sort(struct routes *r)
{
	qsort(r->routes, r->n_routes, sizeof(*r->routes), compare_routes);
	qsort(r->neighbours, r->n_neighbours, sizeof(*r->neighbours), compare_neighbours);
}
