/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How to reach an address, by the kernel's routes and neighbours.
 *
 * Thread: the owning worker, under its quiescent state. Time: none. Memory: none.
 * Rules: longest prefix, then lowest metric (RFC 1812 5.2.4.3); the source is one of our own
 * addresses, because an answer to any other would be the kernel's.
 */
#include "net/parse.h"

/* An IPv6 default route covers the mapped form too, but never means IPv4. */
static bool route_matches(const struct route *r, const struct ip_addr *to)
{
	return ip_addr_is_v4(&r->prefix) == ip_addr_is_v4(to) &&
	       ip_addr_match(&r->prefix, to, r->prefix_len);
}

static const struct route *find_route(const struct routes *routes, const struct ip_addr *to)
{
	for (uint32_t i = 0; i < routes->n_routes; i++) {
		if (route_matches(&routes->routes[i], to))
			return &routes->routes[i];
	}
	return NULL;
}

static int compare_neighbour(const struct neighbour *n, uint8_t port, const struct ip_addr *a)
{
	if (n->port != port)
		return n->port < port ? -1 : 1;
	return memcmp(&n->address, a, sizeof(*a));
}

static const struct neighbour *find_neighbour(const struct routes *routes, uint8_t port,
					      const struct ip_addr *a)
{
	uint32_t low = 0, high = routes->n_neighbours;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct neighbour *n = &routes->neighbours[middle];
		int order = compare_neighbour(n, port, a);

		if (order == 0)
			return n;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The address to speak from: the route's own if it is ours, else the interface's first of that
 * version; NULL: none. */
static const struct ip_addr *find_source(const struct net *n, const struct route *r, bool v4)
{
	if (ip_addr_is_v4(&r->source) == v4 && net_is_ours(n, &r->source))
		return &r->source;
	for (uint32_t i = 0; i < n->n_addresses; i++) {
		const struct ip_addr *ip = &n->addresses[i].ip;

		if (n->addresses[i].port == r->port && ip_addr_is_v4(ip) == v4)
			return ip;
	}
	return NULL;
}

enum net_route net_route_find(const struct net *n, const struct ip_addr *to, struct net_path *path,
			      struct ip_addr *source, struct ip_addr *next_hop)
{
	const struct route *r = n->routes ? find_route(n->routes, to) : NULL;
	const struct neighbour *neighbour;
	const struct ip_addr *from;

	if (!r || r->port >= n->n_ports || net_is_ours(n, to))
		return NET_ROUTE_NONE;
	from = find_source(n, r, ip_addr_is_v4(to));
	if (!from)
		return NET_ROUTE_NONE;
	*source = *from;
	*next_hop = r->on_link ? *to : r->gateway;
	*path = (struct net_path){.port = r->port};
	neighbour = find_neighbour(n->routes, r->port, next_hop);
	if (!neighbour)
		return NET_ROUTE_UNRESOLVED;
	memcpy(path->mac, neighbour->mac, sizeof(path->mac));
	return NET_ROUTE_READY;
}
