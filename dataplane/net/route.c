/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How to reach an address, by the kernel's routes and neighbours.
 *
 * Thread: the owning worker, under its quiescent state. Time: none. Memory: none.
 * Rules: longest prefix, then lowest metric (RFC 1812 5.2.4.3); the source is one of our own
 * addresses, because an answer to any other would be the kernel's.
 */
#include "net/parse.h"

/* How the first bits of a route's prefix stand to those of an address. */
static int compare_prefix(const struct route *r, const struct ip_addr *to)
{
	unsigned whole = r->prefix_len / 8, mask = 0xff00u >> r->prefix_len % 8 & 0xff;
	int order = memcmp(&r->prefix, to, whole);

	if (order != 0 || mask == 0)
		return order;
	return (int)(r->prefix.octets[whole] & mask) - (int)(to->octets[whole] & mask);
}

/* Where the routes with as long a prefix as the first's end. */
static uint32_t end_of_length(const struct routes *routes, uint32_t first)
{
	uint32_t low = first, high = routes->n_routes;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (routes->routes[middle].prefix_len == routes->routes[first].prefix_len)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The first of those that match, all prefixes being of one length; NULL: none. */
static const struct route *find_among(const struct routes *routes, uint32_t low, uint32_t high,
				      const struct ip_addr *to)
{
	const uint32_t end = high;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (compare_prefix(&routes->routes[middle], to) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == end || compare_prefix(&routes->routes[low], to) != 0)
		return NULL;
	return &routes->routes[low];
}

/* A search for each length that occurs: a table may be the whole Internet's. An IPv6 default route
 * covers the mapped form too, but never means IPv4. */
static const struct route *find_route(const struct routes *routes, const struct ip_addr *to)
{
	for (uint32_t first = 0, end; first < routes->n_routes; first = end) {
		const struct route *r;

		end = end_of_length(routes, first);
		r = find_among(routes, first, end, to);
		if (r && ip_addr_is_v4(&r->prefix) == ip_addr_is_v4(to))
			return r;
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
