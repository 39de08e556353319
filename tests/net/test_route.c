/* SPDX-License-Identifier: BSD-3-Clause */
/* Routes and neighbours: the order they are put in, and the way to an address. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/random.h"
#include "frames.h"

#define GATEWAY4      "192.0.2.1"
#define SLOW_GATEWAY4 "192.0.2.2"
#define GATEWAY6      "fe80::1"
#define FAR_GATEWAY4  "198.51.100.1"
#define ON_LINK4      "192.0.2.99"
#define SILENT4	      "192.0.2.98"

static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 1, 1}, slow_mac[6] = {2, 0, 0, 0, 1, 2},
		     far_mac[6] = {2, 0, 0, 0, 1, 3}, on_link_mac[6] = {2, 0, 0, 0, 1, 4};

static struct route *add_route(struct routes *r, const char *prefix, uint8_t len, uint8_t port)
{
	struct route *route = &r->routes[r->n_routes++];

	route->prefix = address(prefix);
	route->prefix_len = ip_addr_is_v4(&route->prefix) ? 96 + len : len;
	route->port = port;
	route->on_link = true;
	return route;
}

static struct route *add_via(struct routes *r, const char *prefix, uint8_t len, uint8_t port,
			     const char *gateway)
{
	struct route *route = add_route(r, prefix, len, port);

	route->on_link = false;
	route->gateway = address(gateway);
	return route;
}

static void add_neighbour(struct routes *r, const char *ip, uint8_t port, const uint8_t *mac)
{
	struct neighbour *n = &r->neighbours[r->n_neighbours++];

	n->address = address(ip);
	n->port = port;
	memcpy(n->mac, mac, 6);
}

static struct routes *routes_of_tests(void)
{
	struct routes *r = routes_new(16, 16);

	assert_non_null(r);
	add_via(r, "0.0.0.0", 0, 0, SLOW_GATEWAY4)->metric = 200;
	add_via(r, "0.0.0.0", 0, 0, GATEWAY4)->metric = 100;
	add_via(r, "::", 0, 0, GATEWAY6);
	add_route(r, "192.0.2.0", 24, 0);
	add_route(r, "2001:db8::", 64, 0);
	add_via(r, "10.0.0.0", 8, 1, FAR_GATEWAY4);
	add_via(r, "10.1.0.0", 16, 0, GATEWAY4);
	add_via(r, "10.1.2.3", 32, 0, SLOW_GATEWAY4);
	add_via(r, "2001:db8:5::", 48, 1, "2001:db8:1::1");
	add_via(r, "203.0.113.0", 24, 0, GATEWAY6);
	add_neighbour(r, ON_LINK4, 0, on_link_mac);
	add_neighbour(r, FAR_GATEWAY4, 1, far_mac);
	add_neighbour(r, GATEWAY6, 0, gateway_mac);
	add_neighbour(r, SLOW_GATEWAY4, 0, slow_mac);
	add_neighbour(r, GATEWAY4, 0, gateway_mac);
	add_neighbour(r, GATEWAY4, 1, far_mac);
	routes_sort(r);
	return r;
}

struct row {
	const char *to;
	enum net_route found;
	const char *next_hop, *source;
	uint8_t port;
	const uint8_t *mac;
};

static const struct row rows[] = {
	{ON_LINK4, NET_ROUTE_READY, ON_LINK4, OUR4, 0, on_link_mac},
	{SILENT4, NET_ROUTE_UNRESOLVED, SILENT4, OUR4, 0, NULL},
	{"8.8.8.8", NET_ROUTE_READY, GATEWAY4, OUR4, 0, gateway_mac},
	{"10.9.9.9", NET_ROUTE_READY, FAR_GATEWAY4, OTHER_OUR4, 1, far_mac},
	{"10.1.9.9", NET_ROUTE_READY, GATEWAY4, OUR4, 0, gateway_mac},
	{"10.1.2.3", NET_ROUTE_READY, SLOW_GATEWAY4, OUR4, 0, slow_mac},
	{"10.1.2.4", NET_ROUTE_READY, GATEWAY4, OUR4, 0, gateway_mac},
	/* RFC 8950: an IPv4 route over an IPv6 gateway */
	{"203.0.113.9", NET_ROUTE_READY, GATEWAY6, OUR4, 0, gateway_mac},
	{"2001:db8::9", NET_ROUTE_UNRESOLVED, "2001:db8::9", OUR6, 0, NULL},
	{"2001:db8:5::1", NET_ROUTE_UNRESOLVED, "2001:db8:1::1", OTHER_OUR6, 1, NULL},
	{"2001:4860::1", NET_ROUTE_READY, GATEWAY6, OUR6, 0, gateway_mac},
	/* nobody speaks to himself over a wire */
	{OUR4, NET_ROUTE_NONE, NULL, NULL, 0, NULL},
	{OTHER_OUR6, NET_ROUTE_NONE, NULL, NULL, 0, NULL},
};

static void check_row(const struct net *n, const struct row *row)
{
	struct ip_addr to = address(row->to), source, next_hop, expected;
	struct net_path path;

	memset(&path, 0xff, sizeof(path));
	if (net_route_find(n, &to, &path, &source, &next_hop) != row->found)
		fail_msg("on the way to %s", row->to);
	if (row->found == NET_ROUTE_NONE)
		return;
	expected = address(row->next_hop);
	assert_memory_equal(&next_hop, &expected, sizeof(expected));
	expected = address(row->source);
	assert_memory_equal(&source, &expected, sizeof(expected));
	assert_int_equal(path.port, row->port);
	assert_int_equal(path.n_vlans, 0);
	if (row->found == NET_ROUTE_READY)
		assert_memory_equal(path.mac, row->mac, 6);
}

static void the_longest_prefix_with_the_lowest_metric_is_taken(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct routes *r = routes_of_tests();

	net_of_tests(&n, &counters);
	n.routes = r;
	for (unsigned i = 0; i < RTE_DIM(rows); i++)
		check_row(&n, &rows[i]);
	routes_free(r);
}

static void routes_are_sorted_by_prefix_and_metric_from_any_order(void **state)
{
	uint64_t seed = test_seed((uint64_t)time(NULL));

	for (unsigned round = 0; round < 200; round++) {
		struct routes *r = routes_new(40, 0);

		for (unsigned i = 0; i < 40; i++)
			add_route(r, "10.0.0.0", test_random(&seed) % 4, 0)->metric =
				(uint32_t)(test_random(&seed) % 3 * UINT32_MAX / 2);
		routes_sort(r);
		for (unsigned i = 1; i < 40; i++) {
			const struct route *a = &r->routes[i - 1], *b = &r->routes[i];

			assert_true(a->prefix_len >= b->prefix_len);
			assert_true(a->prefix_len > b->prefix_len || a->metric <= b->metric);
		}
		routes_free(r);
	}
}

static struct ip_addr random_address(uint64_t *seed)
{
	const uint8_t v4[4] = {10, test_random(seed) % 2, test_random(seed) % 4,
			       test_random(seed) % 4};
	const uint8_t v6[16] = {0x20, [1] = test_random(seed) % 2, [2] = test_random(seed) % 4,
				[15] = test_random(seed) % 4};

	return test_random(seed) % 2 ? ip_addr_from_v4(v4) : ip_addr_from_v6(v6);
}

static void add_random_route(struct routes *r, uint64_t *seed)
{
	struct route *route = &r->routes[r->n_routes++];
	const struct ip_addr from = random_address(seed);
	unsigned shortest = ip_addr_is_v4(&from) ? 96 : 0, len;

	len = shortest + test_random(seed) % (129 - shortest);
	for (unsigned bit = 0; bit < len; bit++)
		route->prefix.octets[bit / 8] |= from.octets[bit / 8] & 0x80 >> bit % 8;
	/* Of a default route nothing but this says which version it is of. */
	if (shortest)
		route->prefix.octets[10] = route->prefix.octets[11] = 0xff;
	route->prefix_len = (uint8_t)len;
	route->metric = (uint32_t)test_random(seed) % 3;
	route->on_link = true;
}

/* The best of all, looked at one by one. */
static const struct route *best_route(const struct routes *r, const struct ip_addr *to)
{
	const struct route *best = NULL;

	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct route *at = &r->routes[i];

		if (ip_addr_is_v4(&at->prefix) != ip_addr_is_v4(to) ||
		    !ip_addr_match(&at->prefix, to, at->prefix_len))
			continue;
		if (!best || at->prefix_len > best->prefix_len ||
		    (at->prefix_len == best->prefix_len && at->metric < best->metric))
			best = at;
	}
	return best;
}

static void the_route_found_is_the_best_of_all(void **state)
{
	uint64_t seed = test_seed((uint64_t)time(NULL));
	struct postern_counters counters;
	unsigned found = 0;
	struct net n;

	net_of_tests(&n, &counters);
	for (unsigned round = 0; round < 500; round++) {
		struct routes *r = routes_new(200, 0);
		unsigned count = test_random(&seed) % 200;

		for (unsigned i = 0; i < count; i++)
			add_random_route(r, &seed);
		routes_sort(r);
		/* What was found shows in the address to speak from. */
		for (unsigned i = 0; i < count; i++)
			r->routes[i].source = n.addresses[0].ip;
		n.routes = r;
		for (unsigned i = 0; i < 50; i++) {
			struct ip_addr to = random_address(&seed), source, next_hop;
			const struct route *best = best_route(r, &to);
			struct net_path path;

			if (best)
				r->routes[best - r->routes].port = 1;
			if (net_route_find(&n, &to, &path, &source, &next_hop) == NET_ROUTE_NONE) {
				assert_null(best);
				continue;
			}
			assert_non_null(best);
			assert_int_equal(path.port, 1);
			r->routes[best - r->routes].port = 0;
			found++;
		}
		routes_free(r);
	}
	assert_true(found > 5000);
}

/* A search takes a worker's turn: a linear one of half a million routes takes milliseconds. */
static void the_whole_internets_routes_are_searched_within_a_turn(void **state)
{
	enum { ROUTES = 500000, SEARCHES = 1000, EACH_US = 200 };
	struct routes *r = routes_new(ROUTES, 0);
	struct ip_addr to = address("8.8.8.8"), source, next_hop;
	struct postern_counters counters;
	struct net_path path;
	struct net n;
	clock_t before;

	assert_non_null(r);
	net_of_tests(&n, &counters);
	add_via(r, "0.0.0.0", 0, 0, GATEWAY4);
	while (r->n_routes < ROUTES) {
		struct route *route = add_via(r, "16.0.0.0", 24, 0, GATEWAY4);

		route->prefix.octets[12] = (uint8_t)(16 + (r->n_routes >> 16));
		route->prefix.octets[13] = (uint8_t)(r->n_routes >> 8);
		route->prefix.octets[14] = (uint8_t)r->n_routes;
	}
	routes_sort(r);
	n.routes = r;
	before = clock();
	for (unsigned i = 0; i < SEARCHES; i++)
		assert_int_equal(net_route_find(&n, &to, &path, &source, &next_hop),
				 NET_ROUTE_UNRESOLVED);
	assert_in_range((clock() - before) * 1000000 / CLOCKS_PER_SEC, 0, SEARCHES * EACH_US);
	routes_free(r);
}

static void without_a_route_there_is_none(void **state)
{
	static const struct row to4 = {.to = "8.8.8.8", .found = NET_ROUTE_NONE};
	static const struct row to6 = {.to = "2001:4860::1", .found = NET_ROUTE_NONE};
	struct postern_counters counters;
	struct net n;
	struct routes *r = routes_new(4, 0);

	net_of_tests(&n, &counters);
	check_row(&n, &to4);
	n.routes = r;
	check_row(&n, &to4);
	add_route(r, "192.0.2.0", 24, 0);
	check_row(&n, &to4);
	/* A default route of the other version is none. */
	add_via(r, "::", 0, 0, GATEWAY6);
	routes_sort(r);
	check_row(&n, &to4);
	r->n_routes = 0;
	add_via(r, "0.0.0.0", 0, 0, GATEWAY4);
	check_row(&n, &to6);
	routes_free(r);
}

static void a_route_over_an_interface_without_our_address_is_none(void **state)
{
	static const struct row none = {.to = "8.8.8.8", .found = NET_ROUTE_NONE};
	struct postern_counters counters;
	struct net n;
	struct routes *r = routes_new(1, 0);

	net_of_tests(&n, &counters);
	n.routes = r;
	add_via(r, "0.0.0.0", 0, 1, FAR_GATEWAY4);
	n.n_addresses = 2;
	check_row(&n, &none);
	r->routes[0].port = 7;
	n.n_addresses = 4;
	check_row(&n, &none);
	routes_free(r);
}

static void a_route_names_its_source_if_it_is_ours(void **state)
{
	static const struct row ours = {"8.8.8.8", NET_ROUTE_UNRESOLVED, GATEWAY4, OTHER_OUR4, 0,
					NULL};
	static const struct row others = {"8.8.8.8", NET_ROUTE_UNRESOLVED, GATEWAY4, OUR4, 0, NULL};
	struct postern_counters counters;
	struct net n;
	struct routes *r = routes_new(1, 0);
	struct route *route = add_via(r, "0.0.0.0", 0, 0, GATEWAY4);

	net_of_tests(&n, &counters);
	n.routes = r;
	route->source = address(OTHER_OUR4);
	check_row(&n, &ours);
	route->source = address("192.0.2.77");
	check_row(&n, &others);
	route->source = address(OUR6);
	check_row(&n, &others);
	routes_free(r);
}

/* Against the plainest search there is. */
static const struct neighbour *plain_find(const struct routes *r, uint8_t port,
					  const struct ip_addr *a)
{
	for (uint32_t i = 0; i < r->n_neighbours; i++) {
		if (r->neighbours[i].port == port && ip_addr_equal(&r->neighbours[i].address, a))
			return &r->neighbours[i];
	}
	return NULL;
}

static void every_neighbour_is_found_among_many(void **state)
{
	struct postern_counters counters;
	struct net n;
	uint64_t seed = test_seed((uint64_t)time(NULL));

	net_of_tests(&n, &counters);
	for (unsigned count = 0; count < 40; count++) {
		struct routes *r = routes_new(1, count);

		add_route(r, "192.0.2.0", 24, 0);
		for (unsigned i = 0; i < count; i++) {
			uint8_t ip[4] = {192, 0, 2, 100 + test_random(&seed) % 64};
			struct neighbour *neighbour = &r->neighbours[r->n_neighbours];

			neighbour->address = ip_addr_from_v4(ip);
			neighbour->port = test_random(&seed) % 2;
			neighbour->mac[5] = ip[3];
			if (!plain_find(r, neighbour->port, &neighbour->address))
				r->n_neighbours++;
		}
		routes_sort(r);
		n.routes = r;
		for (unsigned last = 100; last < 164; last++) {
			uint8_t ip[4] = {192, 0, 2, (uint8_t)last};
			struct ip_addr to = ip_addr_from_v4(ip), source, next_hop;
			struct net_path path;
			enum net_route found = net_route_find(&n, &to, &path, &source, &next_hop);

			assert_int_equal(found == NET_ROUTE_READY, plain_find(r, 0, &to) != NULL);
			if (found == NET_ROUTE_READY)
				assert_int_equal(path.mac[5], last);
		}
		routes_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_longest_prefix_with_the_lowest_metric_is_taken),
		cmocka_unit_test(routes_are_sorted_by_prefix_and_metric_from_any_order),
		cmocka_unit_test(the_route_found_is_the_best_of_all),
		cmocka_unit_test(the_whole_internets_routes_are_searched_within_a_turn),
		cmocka_unit_test(without_a_route_there_is_none),
		cmocka_unit_test(a_route_over_an_interface_without_our_address_is_none),
		cmocka_unit_test(a_route_names_its_source_if_it_is_ours),
		cmocka_unit_test(every_neighbour_is_found_among_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
