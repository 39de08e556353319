/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one rtnetlink message says, for netlink.c and its tests.
 *
 * Thread: any. Time: none. Memory: none.
 * Rules: lengths are checked before a byte is read, whoever wrote the message; an attribute of
 * the wrong length makes the message worthless, an unknown one is passed over.
 */
#ifndef POSTERN_CONTROL_NETLINK_MESSAGE_H
#define POSTERN_CONTROL_NETLINK_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/netlink.h>

#include "control/netlink.h"
#include "postern/routes.h"

/* The kernel's index of each port's interface; 0: there is none. */
struct netlink_interfaces {
	uint32_t n;
	uint32_t index[NETLINK_INTERFACES_MAX];
};

/* RTM_NEWROUTE, RTM_DELROUTE: true when it is a route through one of the interfaces that a
 * snapshot can hold; route is filled in then. */
bool netlink_message_route(const struct nlmsghdr *nlh, const struct netlink_interfaces *interfaces,
			   struct route *route);

enum netlink_neighbour {
	NETLINK_NEIGHBOUR_NONE,	  /* not of our interfaces, or no neighbour at all */
	NETLINK_NEIGHBOUR_USABLE, /* neighbour is filled in */
	NETLINK_NEIGHBOUR_GONE,	  /* its address and port are filled in */
};

/* RTM_NEWNEIGH, RTM_DELNEIGH. */
enum netlink_neighbour netlink_message_neighbour(const struct nlmsghdr *nlh,
						 const struct netlink_interfaces *interfaces,
						 struct neighbour *neighbour);

struct netlink_address {
	struct ip_addr address;
	uint32_t index; /* of the interface */
	bool usable;	/* of global scope, neither temporary nor a duplicate */
	bool deprecated;
};

/* RTM_NEWADDR, RTM_DELADDR: true when it can be read. */
bool netlink_message_address(const struct nlmsghdr *nlh, struct netlink_address *address);

struct netlink_link {
	const char *name; /* within the message, NUL-terminated */
	uint32_t index;
};

/* RTM_NEWLINK, RTM_DELLINK: true when it can be read. */
bool netlink_message_link(const struct nlmsghdr *nlh, struct netlink_link *link);

#endif
