/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one rtnetlink message says: built by hand, cut short, and damaged at random.
 *
 * Memory: each message lies in a block of exactly its size, so that a sanitizer sees a byte read
 * behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include "common/random.h"
#include "control/netlink_message.h"

enum { MESSAGE_MAX = 1024, OURS = 7, OTHER = 8 };

static const struct netlink_interfaces interfaces = {.n = 2, .index = {0, OURS}};

static const uint8_t v4[4] = {192, 0, 2, 1};
static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};

static _Alignas(struct nlmsghdr) char buffer[MESSAGE_MAX];

static void *message(uint16_t type, size_t header, struct nlmsghdr **nlh)
{
	memset(buffer, 0, sizeof(buffer));
	*nlh = mnl_nlmsg_put_header(buffer);
	(*nlh)->nlmsg_type = type;
	return mnl_nlmsg_put_extra_header(*nlh, header);
}

static struct nlmsghdr *route_message(uint8_t family, uint8_t prefix_len)
{
	struct nlmsghdr *nlh;
	struct rtmsg *rtm = message(RTM_NEWROUTE, sizeof(*rtm), &nlh);

	rtm->rtm_family = family;
	rtm->rtm_dst_len = prefix_len;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_type = RTN_UNICAST;
	return nlh;
}

static struct nlmsghdr *neighbour_message(uint16_t type, uint16_t state)
{
	struct nlmsghdr *nlh;
	struct ndmsg *ndm = message(type, sizeof(*ndm), &nlh);

	ndm->ndm_family = AF_INET;
	ndm->ndm_ifindex = OURS;
	ndm->ndm_state = state;
	mnl_attr_put(nlh, NDA_DST, sizeof(v4), v4);
	mnl_attr_put(nlh, NDA_LLADDR, sizeof(mac), mac);
	return nlh;
}

static struct nlmsghdr *address_message(uint8_t family, uint32_t flags)
{
	struct nlmsghdr *nlh;
	struct ifaddrmsg *ifa = message(RTM_NEWADDR, sizeof(*ifa), &nlh);

	ifa->ifa_family = family;
	ifa->ifa_index = OURS;
	ifa->ifa_scope = RT_SCOPE_UNIVERSE;
	mnl_attr_put(nlh, IFA_ADDRESS, family == AF_INET ? 4 : 16,
		     family == AF_INET ? (const void *)v4 : v6);
	mnl_attr_put_u32(nlh, IFA_FLAGS, flags);
	return nlh;
}

/* A next hop within RTA_MULTIPATH; returns it, to be ended with hop_end. */
static struct rtnexthop *hop_begin(struct nlmsghdr *nlh, uint32_t index, uint8_t flags)
{
	struct rtnexthop *hop = mnl_nlmsg_get_payload_tail(nlh);

	*hop = (struct rtnexthop){.rtnh_ifindex = index, .rtnh_flags = flags};
	nlh->nlmsg_len += sizeof(*hop);
	return hop;
}

static void hop_end(struct nlmsghdr *nlh, struct rtnexthop *hop)
{
	hop->rtnh_len = (char *)mnl_nlmsg_get_payload_tail(nlh) - (char *)hop;
}

static struct nlmsghdr *multipath_message(void)
{
	struct nlmsghdr *nlh = route_message(AF_INET, 24);
	struct nlattr *multipath;
	struct rtnexthop *hop;
	uint8_t gateway[4] = {192, 0, 2, 1};

	mnl_attr_put(nlh, RTA_DST, 4, "\xc6\x33\x64");
	multipath = mnl_attr_nest_start(nlh, RTA_MULTIPATH);
	for (int i = 0; i < 3; i++) {
		hop = hop_begin(nlh, i == 0 ? OTHER : OURS, i == 1 ? RTNH_F_DEAD : 0);
		gateway[3] = i + 1;
		mnl_attr_put(nlh, RTA_GATEWAY, sizeof(gateway), gateway);
		hop_end(nlh, hop);
	}
	mnl_attr_nest_end(nlh, multipath);
	return nlh;
}

static void ipv4_routes_are_held_in_mapped_form(void **state)
{
	struct nlmsghdr *nlh = route_message(AF_INET, 24);
	struct ip_addr prefix = ip_addr_from_v4("\xc6\x33\x64\0");
	struct ip_addr gateway = ip_addr_from_v4(v4);
	struct route r;

	mnl_attr_put(nlh, RTA_DST, 4, prefix.octets + 12);
	mnl_attr_put(nlh, RTA_GATEWAY, 4, v4);
	mnl_attr_put_u32(nlh, RTA_OIF, OURS);
	mnl_attr_put_u32(nlh, RTA_PRIORITY, 42);
	assert_true(netlink_message_route(nlh, &interfaces, &r));
	assert_memory_equal(&r.prefix, &prefix, sizeof(prefix));
	assert_memory_equal(&r.gateway, &gateway, sizeof(gateway));
	assert_int_equal(r.prefix_len, 96 + 24);
	assert_int_equal(r.metric, 42);
	assert_int_equal(r.port, 1);
	assert_false(r.on_link);
}

static void default_routes_of_both_versions_differ(void **state)
{
	struct nlmsghdr *nlh = route_message(AF_INET, 0);
	struct route r;

	mnl_attr_put_u32(nlh, RTA_OIF, OURS);
	assert_true(netlink_message_route(nlh, &interfaces, &r));
	assert_int_equal(r.prefix_len, 96);
	assert_true(ip_addr_is_v4(&r.prefix));
	assert_true(r.on_link);
	nlh = route_message(AF_INET6, 0);
	mnl_attr_put_u32(nlh, RTA_OIF, OURS);
	assert_true(netlink_message_route(nlh, &interfaces, &r));
	assert_int_equal(r.prefix_len, 0);
	assert_false(ip_addr_is_v4(&r.prefix));
}

static void routes_of_other_kinds_are_left_out(void **state)
{
	static const struct rtmsg others[] = {
		{.rtm_table = RT_TABLE_LOCAL, .rtm_type = RTN_UNICAST},
		{.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_BLACKHOLE},
		{.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_tos = 8},
		{.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_src_len = 64},
		{.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_flags = RTM_F_CLONED},
		{.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_flags = RTNH_F_DEAD},
		{.rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST, .rtm_dst_len = 129},
	};
	struct route r;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct nlmsghdr *nlh = route_message(AF_INET6, 0);
		struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);

		*rtm = others[i];
		rtm->rtm_family = AF_INET6;
		mnl_attr_put_u32(nlh, RTA_OIF, OURS);
		assert_false(netlink_message_route(nlh, &interfaces, &r));
	}
}

static void routes_of_other_interfaces_are_left_out(void **state)
{
	struct nlmsghdr *nlh = route_message(AF_INET, 0);
	struct route r;

	mnl_attr_put_u32(nlh, RTA_OIF, OTHER);
	assert_false(netlink_message_route(nlh, &interfaces, &r));
	/* A port without a kernel interface is not that of a route without one. */
	assert_false(netlink_message_route(route_message(AF_INET, 0), &interfaces, &r));
}

static void first_usable_next_hop_of_several_is_taken(void **state)
{
	struct ip_addr third = ip_addr_from_v4("\xc0\0\2\3");
	struct route r;

	assert_true(netlink_message_route(multipath_message(), &interfaces, &r));
	assert_memory_equal(&r.gateway, &third, sizeof(third));
	assert_int_equal(r.port, 1);
}

static void gateway_of_the_other_version_is_understood(void **state)
{
	struct nlmsghdr *nlh = route_message(AF_INET, 0);
	struct ip_addr gateway = ip_addr_from_v6(v6);
	struct {
		uint16_t family;
		uint8_t address[16];
	} via = {.family = AF_INET6};
	struct route r;

	memcpy(via.address, v6, sizeof(v6));
	mnl_attr_put_u32(nlh, RTA_OIF, OURS);
	mnl_attr_put(nlh, RTA_VIA, sizeof(via), &via);
	assert_true(netlink_message_route(nlh, &interfaces, &r));
	assert_memory_equal(&r.gateway, &gateway, sizeof(gateway));
	assert_false(r.on_link);
}

static void attributes_of_a_wrong_length_spoil_the_route(void **state)
{
	static const uint16_t types[] = {RTA_DST,      RTA_GATEWAY, RTA_PREFSRC, RTA_OIF,
					 RTA_PRIORITY, RTA_TABLE,   RTA_VIA};
	static const uint8_t bytes[20];
	struct route r;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (size_t len = 0; len <= sizeof(bytes); len++) {
			struct nlmsghdr *nlh = route_message(AF_INET, 24);

			mnl_attr_put_u32(nlh, RTA_OIF, OURS);
			mnl_attr_put(nlh, types[i], len, bytes);
			if (len != 4)
				assert_false(netlink_message_route(nlh, &interfaces, &r));
		}
	}
}

static void neighbours_count_by_their_state(void **state)
{
	static const uint16_t usable[] = {NUD_REACHABLE, NUD_STALE,	NUD_DELAY,
					  NUD_PROBE,	 NUD_PERMANENT, NUD_NOARP};
	static const uint16_t not_usable[] = {NUD_NONE, NUD_INCOMPLETE, NUD_FAILED};
	struct neighbour n;

	for (size_t i = 0; i < sizeof(usable) / sizeof(usable[0]); i++) {
		assert_int_equal(
			netlink_message_neighbour(neighbour_message(RTM_NEWNEIGH, usable[i]),
						  &interfaces, &n),
			NETLINK_NEIGHBOUR_USABLE);
		assert_memory_equal(n.mac, mac, sizeof(mac));
		assert_int_equal(n.port, 1);
	}
	for (size_t i = 0; i < sizeof(not_usable) / sizeof(not_usable[0]); i++)
		assert_int_equal(
			netlink_message_neighbour(neighbour_message(RTM_NEWNEIGH, not_usable[i]),
						  &interfaces, &n),
			NETLINK_NEIGHBOUR_GONE);
	assert_int_equal(netlink_message_neighbour(neighbour_message(RTM_DELNEIGH, NUD_REACHABLE),
						   &interfaces, &n),
			 NETLINK_NEIGHBOUR_GONE);
}

static void neighbours_that_are_none_are_left_out(void **state)
{
	struct nlmsghdr *nlh = neighbour_message(RTM_NEWNEIGH, NUD_PERMANENT);
	struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	struct neighbour n;

	ndm->ndm_flags = NTF_PROXY;
	assert_int_equal(netlink_message_neighbour(nlh, &interfaces, &n), NETLINK_NEIGHBOUR_NONE);
	ndm->ndm_flags = 0;
	ndm->ndm_ifindex = OTHER;
	assert_int_equal(netlink_message_neighbour(nlh, &interfaces, &n), NETLINK_NEIGHBOUR_NONE);
	nlh = message(RTM_NEWNEIGH, sizeof(*ndm), &nlh) ? nlh : NULL;
	ndm = mnl_nlmsg_get_payload(nlh);
	ndm->ndm_family = AF_INET;
	ndm->ndm_ifindex = OURS;
	ndm->ndm_state = NUD_NOARP;
	mnl_attr_put(nlh, NDA_DST, 4, "\xe0\0\0\1");
	mnl_attr_put(nlh, NDA_LLADDR, sizeof(mac), mac);
	assert_int_equal(netlink_message_neighbour(nlh, &interfaces, &n), NETLINK_NEIGHBOUR_NONE);
}

static void link_address_of_another_length_is_not_usable(void **state)
{
	struct nlmsghdr *nlh;
	struct ndmsg *ndm = message(RTM_NEWNEIGH, sizeof(*ndm), &nlh);
	struct neighbour n;

	ndm->ndm_family = AF_INET;
	ndm->ndm_ifindex = OURS;
	ndm->ndm_state = NUD_REACHABLE;
	mnl_attr_put(nlh, NDA_DST, sizeof(v4), v4);
	mnl_attr_put(nlh, NDA_LLADDR, 20, buffer);
	assert_int_equal(netlink_message_neighbour(nlh, &interfaces, &n), NETLINK_NEIGHBOUR_GONE);
}

static void addresses_that_come_and_go_by_themselves_are_not_usable(void **state)
{
	struct netlink_address a;

	assert_true(netlink_message_address(address_message(AF_INET6, 0), &a));
	assert_true(a.usable);
	assert_true(netlink_message_address(address_message(AF_INET6, IFA_F_TEMPORARY), &a));
	assert_false(a.usable);
	assert_true(netlink_message_address(address_message(AF_INET6, IFA_F_DADFAILED), &a));
	assert_false(a.usable);
	/* The same bit says "secondary" of an IPv4 address, which stays. */
	assert_true(netlink_message_address(address_message(AF_INET, IFA_F_SECONDARY), &a));
	assert_true(a.usable);
}

static void own_end_of_a_point_to_point_link_is_the_address(void **state)
{
	struct nlmsghdr *nlh = address_message(AF_INET, 0);
	struct ip_addr own = ip_addr_from_v4("\xc0\0\2\xfe");
	struct netlink_address a;

	mnl_attr_put(nlh, IFA_LOCAL, 4, own.octets + 12);
	assert_true(netlink_message_address(nlh, &a));
	assert_memory_equal(&a.address, &own, sizeof(own));
}

static struct nlmsghdr *link_message(const char *name, size_t len)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi = message(RTM_NEWLINK, sizeof(*ifi), &nlh);

	ifi->ifi_index = OURS;
	mnl_attr_put(nlh, IFLA_IFNAME, len, name);
	return nlh;
}

static void link_names_end_within_the_message(void **state)
{
	struct netlink_link link;

	assert_true(netlink_message_link(link_message("mx0", 4), &link));
	assert_string_equal(link.name, "mx0");
	assert_int_equal(link.index, OURS);
	assert_false(netlink_message_link(link_message("mx0", 3), &link));
	assert_false(netlink_message_link(link_message("", 0), &link));
	assert_false(netlink_message_link(link_message("a-name-of-17-char", 18), &link));
}

/* Reads a copy of exactly this size by every reader. */
static void read_all(const void *bytes, size_t len)
{
	struct nlmsghdr *nlh = malloc(len);
	struct netlink_address address;
	struct netlink_link link;
	struct neighbour neighbour;
	struct route route;

	assert_non_null(nlh);
	memcpy(nlh, bytes, len);
	nlh->nlmsg_len = len;
	if (netlink_message_route(nlh, &interfaces, &route))
		assert_int_equal(route.port, 1);
	if (netlink_message_neighbour(nlh, &interfaces, &neighbour) != NETLINK_NEIGHBOUR_NONE)
		assert_int_equal(neighbour.port, 1);
	netlink_message_address(nlh, &address);
	if (netlink_message_link(nlh, &link))
		assert_true(strlen(link.name) < IFNAMSIZ);
	free(nlh);
}

static struct nlmsghdr *any_message(unsigned which)
{
	switch (which) {
	case 0:
		return multipath_message();
	case 1:
		return neighbour_message(RTM_NEWNEIGH, NUD_REACHABLE);
	case 2:
		return address_message(AF_INET6, 0);
	default:
		return link_message("mx0", 4);
	}
}

enum { MESSAGES = 4 };

static void nothing_is_read_behind_a_message_cut_short(void **state)
{
	for (unsigned which = 0; which < MESSAGES; which++) {
		struct nlmsghdr *nlh = any_message(which);

		for (size_t len = sizeof(*nlh); len <= nlh->nlmsg_len; len++)
			read_all(nlh, len);
	}
}

static void nothing_is_read_behind_a_damaged_message(void **state)
{
	srandom((unsigned)test_seed((uint64_t)time(NULL)));
	for (int round = 0; round < 20000; round++) {
		struct nlmsghdr *nlh = any_message(random() % MESSAGES);
		uint8_t *bytes = (uint8_t *)nlh;
		size_t len = nlh->nlmsg_len;

		for (int flips = 1 + random() % 4; flips > 0; flips--)
			bytes[sizeof(*nlh) + random() % (len - sizeof(*nlh))] = random();
		read_all(nlh, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_routes_are_held_in_mapped_form),
		cmocka_unit_test(default_routes_of_both_versions_differ),
		cmocka_unit_test(routes_of_other_kinds_are_left_out),
		cmocka_unit_test(routes_of_other_interfaces_are_left_out),
		cmocka_unit_test(first_usable_next_hop_of_several_is_taken),
		cmocka_unit_test(gateway_of_the_other_version_is_understood),
		cmocka_unit_test(attributes_of_a_wrong_length_spoil_the_route),
		cmocka_unit_test(neighbours_count_by_their_state),
		cmocka_unit_test(neighbours_that_are_none_are_left_out),
		cmocka_unit_test(link_address_of_another_length_is_not_usable),
		cmocka_unit_test(addresses_that_come_and_go_by_themselves_are_not_usable),
		cmocka_unit_test(own_end_of_a_point_to_point_link_is_the_address),
		cmocka_unit_test(link_names_end_within_the_message),
		cmocka_unit_test(nothing_is_read_behind_a_message_cut_short),
		cmocka_unit_test(nothing_is_read_behind_a_damaged_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
