/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's routes, neighbours and addresses, as the kernel itself tells them: a veth pair
 * between a network namespace of this process's own and one of a child's, both gone with them.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "control/netlink.h"

enum { SKIPPED = 77, PATIENCE_MS = 5000 };

static pid_t peer; /* holds the namespace of the veth's other end */

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static struct ip_addr address(const char *text)
{
	uint8_t octets[16];

	if (inet_pton(AF_INET, text, octets) == 1)
		return ip_addr_from_v4(octets);
	assert_int_equal(inet_pton(AF_INET6, text, octets), 1);
	return ip_addr_from_v6(octets);
}

/* --- the two namespaces -------------------------------------------------------------------- */

static int peer_start(void)
{
	int ready[2];
	char octet;

	if (pipe(ready) < 0)
		return -1;
	peer = fork();
	if (peer == 0) {
		close(ready[0]);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (peer < 0 || read(ready[0], &octet, 1) != 1)
		return -1;
	close(ready[0]);
	return 0;
}

static int peer_stop(void **state)
{
	kill(peer, SIGKILL);
	waitpid(peer, NULL, 0);
	return 0;
}

/* Fresh links for each test: mx0 with 198.18.0.25 and fd00:18::25, its other end with .1. */
static int links_up(void **state)
{
	run("ip link add mx0 type veth peer name mx0p address 02:00:00:00:01:01 && "
	    "ip link set mx0p netns %d",
	    peer);
	run("ip addr add 198.18.0.25/24 dev mx0 && ip addr add fd00:18::25/64 dev mx0 nodad");
	run("ip link set lo up && ip link set mx0 up");
	run("nsenter -t %d -n sh -c 'ip addr add 198.18.0.1/24 dev mx0p && "
	    "ip addr add fd00:18::1/64 dev mx0p nodad && ip link set mx0p up'",
	    peer);
	/* Neighbour discovery speaks from the link's own address, which comes with the carrier. */
	run("timeout 5 sh -c 'until ip -6 addr show dev mx0 scope link | grep -q fe80; do :; done'");
	return 0;
}

static int links_down(void **state)
{
	run("for i in mx0 mx1; do ip link del $i 2>/dev/null; done; true");
	return 0;
}

/* --- the watch ---------------------------------------------------------------------------- */

static struct netlink_watch *watch_open(const char *const *names, uint32_t n)
{
	struct netlink_watch *w = NULL;
	char error[256] = "";

	if (netlink_watch_open(&w, names, n, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return w;
}

static struct netlink_watch *watch_mx0(void)
{
	return watch_open((const char *const[]){"mx0"}, 1);
}

static struct routes *snapshot(struct netlink_watch *w)
{
	struct routes *r = NULL;

	assert_int_equal(netlink_watch_snapshot(w, &r), 0);
	return r;
}

/* Waits for the next event and says what changed. */
static int changes_after_event(struct netlink_watch *w)
{
	struct pollfd pfd = {.fd = netlink_watch_fd(w), .events = POLLIN};

	assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
	return netlink_watch_read(w);
}

/* Waits for a change of this kind. */
static void await(struct netlink_watch *w, int wanted)
{
	int changes;

	do {
		changes = changes_after_event(w);
		assert_true(changes >= 0);
	} while (!(changes & wanted));
}

static const struct route *route_to(const struct routes *r, const char *prefix, unsigned len)
{
	struct ip_addr a = address(prefix);

	if (ip_addr_is_v4(&a))
		len += 96;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		if (r->routes[i].prefix_len == len && ip_addr_equal(&r->routes[i].prefix, &a))
			return &r->routes[i];
	}
	return NULL;
}

static const struct neighbour *neighbour_of(const struct routes *r, const char *text)
{
	struct ip_addr a = address(text);

	for (uint32_t i = 0; i < r->n_neighbours; i++) {
		if (ip_addr_equal(&r->neighbours[i].address, &a))
			return &r->neighbours[i];
	}
	return NULL;
}

static void expect_gateway(const struct routes *r, const char *prefix, unsigned len,
			   const char *gateway)
{
	const struct route *route = route_to(r, prefix, len);
	struct ip_addr a = address(gateway);

	assert_non_null(route);
	assert_false(route->on_link);
	assert_memory_equal(&route->gateway, &a, sizeof(a));
}

/* Waits until the snapshot holds a neighbour, or no longer does. */
static void await_neighbour(struct netlink_watch *w, const char *text, bool present)
{
	for (;;) {
		struct routes *r = snapshot(w);
		bool found = neighbour_of(r, text) != NULL;

		routes_free(r);
		if (found == present)
			return;
		await(w, NETLINK_ROUTES);
	}
}

/* --- routes ------------------------------------------------------------------------------- */

static void longest_prefix_comes_first(void **state)
{
	struct netlink_watch *w = watch_mx0();
	struct routes *r;

	run("ip route add default via 198.18.0.1 && ip route add 10.0.0.0/8 via 198.18.0.2 && "
	    "ip route add 10.1.0.0/16 via 198.18.0.3 && ip -6 route add default via fd00:18::1");
	await(w, NETLINK_ROUTES);
	r = snapshot(w);
	for (uint32_t i = 1; i < r->n_routes; i++)
		assert_true(r->routes[i - 1].prefix_len >= r->routes[i].prefix_len);
	expect_gateway(r, "10.1.0.0", 16, "198.18.0.3");
	expect_gateway(r, "10.0.0.0", 8, "198.18.0.2");
	expect_gateway(r, "0.0.0.0", 0, "198.18.0.1");
	expect_gateway(r, "::", 0, "fd00:18::1");
	routes_free(r);
	netlink_watch_close(w);
}

static void the_interfaces_own_networks_are_on_link(void **state)
{
	struct netlink_watch *w = watch_mx0();
	struct routes *r = snapshot(w);
	const struct route *v4 = route_to(r, "198.18.0.0", 24), *v6 = route_to(r, "fd00:18::", 64);
	struct ip_addr source = address("198.18.0.25");

	assert_non_null(v4);
	assert_non_null(v6);
	assert_true(v4->on_link && v6->on_link);
	assert_memory_equal(&v4->source, &source, sizeof(source));
	assert_null(route_to(r, "198.18.0.25", 32));
	assert_null(route_to(r, "ff00::", 8));
	routes_free(r);
	netlink_watch_close(w);
}

static void lowest_metric_wins_until_it_goes(void **state)
{
	struct netlink_watch *w;
	struct routes *r;

	run("ip route add 10.0.0.0/8 via 198.18.0.2 metric 200 && "
	    "ip route add 10.0.0.0/8 via 198.18.0.3 metric 100");
	w = watch_mx0();
	r = snapshot(w);
	expect_gateway(r, "10.0.0.0", 8, "198.18.0.3");
	routes_free(r);
	run("ip route del 10.0.0.0/8 metric 100");
	await(w, NETLINK_ROUTES);
	r = snapshot(w);
	expect_gateway(r, "10.0.0.0", 8, "198.18.0.2");
	routes_free(r);
	netlink_watch_close(w);
}

static void a_replaced_route_is_read_again(void **state)
{
	struct netlink_watch *w;
	struct routes *r;

	run("ip link add mx1 type veth peer name mx1p && ip addr add 198.18.9.1/24 dev mx1 && "
	    "ip link set mx1p up && ip link set mx1 up && ip route add 10.0.0.0/8 via 198.18.0.2");
	w = watch_mx0();
	routes_free(snapshot(w));
	run("ip route replace 10.0.0.0/8 via 198.18.9.2");
	await(w, NETLINK_ROUTES);
	r = snapshot(w);
	assert_null(route_to(r, "10.0.0.0", 8));
	routes_free(r);
	netlink_watch_close(w);
}

static void other_tables_kinds_and_interfaces_are_left_out(void **state)
{
	struct netlink_watch *w;
	struct routes *r;

	run("ip link add mx1 type veth peer name mx1p && ip addr add 198.18.9.1/24 dev mx1 && "
	    "ip link set mx1p up && ip link set mx1 up && ip route add 10.1.0.0/16 via 198.18.9.2 && "
	    "ip route add blackhole 10.2.0.0/16 && "
	    "ip route add 10.3.0.0/16 via 198.18.0.2 table 100");
	w = watch_mx0();
	r = snapshot(w);
	assert_null(route_to(r, "198.18.9.0", 24));
	assert_null(route_to(r, "10.1.0.0", 16));
	assert_null(route_to(r, "10.2.0.0", 16));
	assert_null(route_to(r, "10.3.0.0", 16));
	routes_free(r);
	netlink_watch_close(w);
}

static void multipath_takes_the_first_hop_whose_link_is_up(void **state)
{
	struct netlink_watch *w;
	struct routes *r;

	run("ip link add mx1 type veth peer name mx1p && ip addr add 198.18.9.1/24 dev mx1 && "
	    "ip link set mx1p up && ip link set mx1 up && ip route add 10.0.0.0/8 "
	    "nexthop via 198.18.9.2 nexthop via 198.18.0.2 nexthop via 198.18.0.3");
	w = watch_open((const char *const[]){NULL, "mx0", "mx1"}, 3);
	r = snapshot(w);
	expect_gateway(r, "10.0.0.0", 8, "198.18.9.2");
	assert_int_equal(route_to(r, "10.0.0.0", 8)->port, 2);
	routes_free(r);
	run("ip link set mx1p down");
	/* The kernel says of a link in words of its own time. */
	for (;;) {
		await(w, NETLINK_ROUTES);
		r = snapshot(w);
		if (route_to(r, "10.0.0.0", 8)->port == 1)
			break;
		routes_free(r);
	}
	expect_gateway(r, "10.0.0.0", 8, "198.18.0.2");
	routes_free(r);
	netlink_watch_close(w);
}

static void a_new_address_is_seen_with_its_network(void **state)
{
	struct netlink_watch *w = watch_mx0();
	struct routes *r;

	routes_free(snapshot(w));
	run("ip addr add 203.0.113.1/28 dev mx0");
	await(w, NETLINK_ADDRESSES);
	r = snapshot(w);
	assert_non_null(route_to(r, "203.0.113.0", 28));
	routes_free(r);
	run("ip addr del 203.0.113.1/28 dev mx0");
	await(w, NETLINK_ADDRESSES);
	r = snapshot(w);
	assert_null(route_to(r, "203.0.113.0", 28));
	routes_free(r);
	netlink_watch_close(w);
}

static void an_interface_made_anew_is_followed(void **state)
{
	struct netlink_watch *w = watch_mx0();
	struct routes *r = snapshot(w);

	assert_non_null(route_to(r, "198.18.0.0", 24));
	routes_free(r);
	run("ip link del mx0");
	await(w, NETLINK_ROUTES);
	r = snapshot(w);
	assert_int_equal(r->n_routes, 0);
	routes_free(r);
	links_up(state);
	do {
		await(w, NETLINK_ROUTES);
		r = snapshot(w);
		if (route_to(r, "198.18.0.0", 24))
			break;
		routes_free(r);
	} while (true);
	routes_free(r);
	netlink_watch_close(w);
}

static void lost_events_are_made_up_for(void **state)
{
	struct netlink_watch *w = watch_mx0();
	int little = 1;
	struct routes *r;

	routes_free(snapshot(w));
	setsockopt(netlink_watch_fd(w), SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	run("for i in $(seq 0 199); do echo route add 10.0.$i.0/24 via 198.18.0.2; done |"
	    " ip -batch -");
	assert_int_equal(netlink_watch_read(w) & NETLINK_ROUTES, NETLINK_ROUTES);
	r = snapshot(w);
	for (int i = 0; i < 200; i++) {
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "10.0.%d.0", i);
		expect_gateway(r, prefix, 24, "198.18.0.2");
	}
	routes_free(r);
	netlink_watch_close(w);
}

static void an_empty_namespace_gives_an_empty_snapshot(void **state)
{
	struct netlink_watch *w;
	struct routes *r;

	run("ip link del mx0");
	w = watch_mx0();
	r = snapshot(w);
	assert_int_equal(r->n_routes, 0);
	assert_int_equal(r->n_neighbours, 0);
	routes_free(r);
	netlink_watch_close(w);
}

/* --- neighbours --------------------------------------------------------------------------- */

/* The veth's other end answers for this address once the kernel was asked to resolve it. */
static void expect_resolution(const char *text)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 1, 1};
	struct netlink_watch *w = watch_mx0();
	struct ip_addr next_hop = address(text);
	struct routes *r = snapshot(w);

	assert_null(neighbour_of(r, text));
	routes_free(r);
	assert_int_equal(netlink_resolve(w, 0, &next_hop), 0);
	await_neighbour(w, text, true);
	r = snapshot(w);
	assert_memory_equal(neighbour_of(r, text)->mac, mac, sizeof(mac));
	assert_int_equal(neighbour_of(r, text)->port, 0);
	routes_free(r);
	netlink_watch_close(w);
}

static void ipv4_neighbour_appears_after_resolve(void **state)
{
	expect_resolution("198.18.0.1");
}

static void ipv6_neighbour_appears_after_resolve(void **state)
{
	expect_resolution("fd00:18::1");
}

static void a_silent_neighbour_does_not_appear(void **state)
{
	struct netlink_watch *w = watch_mx0();
	struct ip_addr silent = address("198.18.0.77");
	struct routes *r = snapshot(w);

	routes_free(r);
	assert_int_equal(netlink_resolve(w, 0, &silent), 0);
	/* Incomplete, then failed: neither puts the snapshot out of date. */
	assert_int_equal(changes_after_event(w), 0);
	r = snapshot(w);
	assert_null(neighbour_of(r, "198.18.0.77"));
	routes_free(r);
	netlink_watch_close(w);
}

/* Another machine has taken over the address: what is asked about is looked after. */
static void a_stale_neighbour_that_is_asked_about_is_found_again(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 1, 1};
	const struct ip_addr next_hop = address("198.18.0.1");
	struct netlink_watch *w;
	struct routes *r;

	run("cd /proc/sys/net/ipv4/neigh/mx0 && echo 0 > delay_first_probe_time && "
	    "echo 20 > retrans_time_ms && "
	    "ip neigh replace 198.18.0.1 lladdr 02:00:00:00:00:66 dev mx0 nud stale");
	w = watch_mx0();
	r = snapshot(w);
	assert_memory_not_equal(neighbour_of(r, "198.18.0.1")->mac, mac, sizeof(mac));
	routes_free(r);
	assert_int_equal(netlink_resolve(w, 0, &next_hop), 0);
	await_neighbour(w, "198.18.0.1", false);
	assert_int_equal(netlink_resolve(w, 0, &next_hop), 0);
	await_neighbour(w, "198.18.0.1", true);
	r = snapshot(w);
	assert_memory_equal(neighbour_of(r, "198.18.0.1")->mac, mac, sizeof(mac));
	routes_free(r);
	netlink_watch_close(w);
}

static void a_neighbour_that_changes_its_state_alone_is_no_news(void **state)
{
	struct netlink_watch *w;

	run("ip neigh add 198.18.0.9 lladdr 02:00:00:00:00:09 dev mx0 nud reachable");
	w = watch_mx0();
	routes_free(snapshot(w));
	run("ip neigh change 198.18.0.9 lladdr 02:00:00:00:00:09 dev mx0 nud stale");
	assert_int_equal(changes_after_event(w), 0);
	run("ip neigh change 198.18.0.9 lladdr 02:00:00:00:00:0a dev mx0 nud stale");
	assert_int_equal(changes_after_event(w), NETLINK_ROUTES);
	netlink_watch_close(w);
}

static void a_neighbour_that_goes_leaves_the_snapshot(void **state)
{
	struct netlink_watch *w;

	run("ip neigh add 198.18.0.9 lladdr 02:00:00:00:00:09 dev mx0 nud permanent");
	w = watch_mx0();
	await_neighbour(w, "198.18.0.9", true);
	run("ip neigh del 198.18.0.9 dev mx0");
	await_neighbour(w, "198.18.0.9", false);
	netlink_watch_close(w);
}

static void neighbours_are_sorted_by_port_and_address(void **state)
{
	struct netlink_watch *w;
	struct routes *r;

	run("ip link add mx1 type veth peer name mx1p && ip addr add 198.18.9.1/24 dev mx1 && "
	    "ip link set mx1p up && ip link set mx1 up");
	run("for a in 198.18.9.7 198.18.9.3; do "
	    "ip neigh add $a lladdr 02:00:00:00:00:01 dev mx1 nud permanent; done; "
	    "for a in 198.18.0.9 198.18.0.200 198.18.0.3 fd00:18::3; do "
	    "ip neigh add $a lladdr 02:00:00:00:00:02 dev mx0 nud permanent; done");
	w = watch_open((const char *const[]){"mx1", "mx0"}, 2);
	r = snapshot(w);
	assert_int_equal(r->n_neighbours, 6);
	for (uint32_t i = 1; i < r->n_neighbours; i++) {
		const struct neighbour *a = &r->neighbours[i - 1], *b = &r->neighbours[i];

		assert_true(a->port < b->port ||
			    (a->port == b->port &&
			     memcmp(&a->address, &b->address, sizeof(a->address)) < 0));
	}
	routes_free(r);
	netlink_watch_close(w);
}

static void resolve_on_a_port_without_interface_is_refused(void **state)
{
	struct netlink_watch *w = watch_open((const char *const[]){NULL, "absent0"}, 2);
	struct ip_addr next_hop = address("198.18.0.1");

	assert_int_equal(netlink_resolve(w, 0, &next_hop), -ENODEV);
	assert_int_equal(netlink_resolve(w, 1, &next_hop), -ENODEV);
	assert_int_equal(netlink_resolve(w, 2, &next_hop), -ENODEV);
	netlink_watch_close(w);
}

/* --- addresses ---------------------------------------------------------------------------- */

static void addresses_of_global_scope_are_ours(void **state)
{
	struct ip_addr got[8], wanted[4];
	uint32_t n = 0;

	run("ip addr add 203.0.113.5/32 dev mx0 && "
	    "ip addr add fd00:18::26/64 dev mx0 nodad preferred_lft 0 && "
	    "ip addr add 169.254.7.7/16 dev mx0 scope link && ip addr add 10.9.9.9/8 dev lo");
	assert_int_equal(netlink_addresses("mx0", got, 8, &n), 0);
	wanted[0] = address("198.18.0.25");
	wanted[1] = address("203.0.113.5");
	wanted[2] = address("fd00:18::25");
	wanted[3] = address("fd00:18::26"); /* deprecated */
	assert_int_equal(n, 4);
	assert_memory_equal(got, wanted, sizeof(wanted));
	run("ip addr del 10.9.9.9/8 dev lo");
}

static void addresses_beyond_the_room_are_an_error(void **state)
{
	struct ip_addr got[1];
	uint32_t n = 99;

	assert_int_equal(netlink_addresses("mx0", got, 1, &n), -E2BIG);
	assert_int_equal(n, 99);
}

static void addresses_of_no_interface_are_an_error(void **state)
{
	struct ip_addr got[1];
	uint32_t n;

	assert_int_equal(netlink_addresses("absent0", got, 1, &n), -ENODEV);
	assert_int_equal(netlink_addresses("a-name-far-too-long", got, 1, &n), -ENODEV);
}

#define WITH_LINKS(test) cmocka_unit_test_setup_teardown(test, links_up, links_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_LINKS(longest_prefix_comes_first),
		WITH_LINKS(the_interfaces_own_networks_are_on_link),
		WITH_LINKS(lowest_metric_wins_until_it_goes),
		WITH_LINKS(a_replaced_route_is_read_again),
		WITH_LINKS(other_tables_kinds_and_interfaces_are_left_out),
		WITH_LINKS(multipath_takes_the_first_hop_whose_link_is_up),
		WITH_LINKS(a_new_address_is_seen_with_its_network),
		WITH_LINKS(an_interface_made_anew_is_followed),
		WITH_LINKS(lost_events_are_made_up_for),
		WITH_LINKS(an_empty_namespace_gives_an_empty_snapshot),
		WITH_LINKS(ipv4_neighbour_appears_after_resolve),
		WITH_LINKS(ipv6_neighbour_appears_after_resolve),
		WITH_LINKS(a_silent_neighbour_does_not_appear),
		WITH_LINKS(a_stale_neighbour_that_is_asked_about_is_found_again),
		WITH_LINKS(a_neighbour_that_changes_its_state_alone_is_no_news),
		WITH_LINKS(a_neighbour_that_goes_leaves_the_snapshot),
		WITH_LINKS(neighbours_are_sorted_by_port_and_address),
		WITH_LINKS(resolve_on_a_port_without_interface_is_refused),
		WITH_LINKS(addresses_of_global_scope_are_ours),
		WITH_LINKS(addresses_beyond_the_room_are_an_error),
		WITH_LINKS(addresses_of_no_interface_are_an_error),
	};

	/* The peer's namespace is made from the one this process started in. */
	if (peer_start() < 0 || unshare(CLONE_NEWNET) < 0) {
		printf("skipped: no right to make network namespaces\n");
		return SKIPPED;
	}
	run("echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad");
	return cmocka_run_group_tests(tests, NULL, peer_stop);
}
