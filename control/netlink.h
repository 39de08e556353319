/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink: the kernel's routes, neighbours and addresses, as the data plane needs them to open
 * connections. The kernel keeps ARP, neighbour discovery and routing; this room reads and asks.
 *
 * Thread: control. Time: none.
 * Memory: a watch keeps the last routes and neighbours it read, at most NETLINK_ROUTES_MAX and
 * NETLINK_NEIGHBOURS_MAX of them; what is beyond fails the snapshot with -E2BIG.
 * Rules: rtnetlink(7). Of the routes: the main table, unicast, of interfaces that are watched
 * (policy routing, type of service, source prefixes and encapsulation are left out: a route that
 * needs one is skipped). Of one prefix only the route the kernel prefers is kept; of several
 * next hops the first one whose link is up. A socket belongs to the network namespace its
 * thread was in when the watch was opened.
 */
#ifndef POSTERN_CONTROL_NETLINK_H
#define POSTERN_CONTROL_NETLINK_H

#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"
#include "postern/routes.h"

enum {
	NETLINK_INTERFACES_MAX = 8,
	NETLINK_ROUTES_MAX = 1 << 21,
	NETLINK_NEIGHBOURS_MAX = 1 << 17,
};

struct netlink_watch;

/* Follows these interfaces; an index in names is the data plane's port index, and NULL stands
 * for a port the kernel knows nothing of. An interface may come later. 0, or -errno with a
 * sentence in error. */
int netlink_watch_open(struct netlink_watch **watch, const char *const *names, uint32_t n,
		       char *error, size_t len);
void netlink_watch_close(struct netlink_watch *w);

/* Readable when the kernel has something to tell. */
int netlink_watch_fd(const struct netlink_watch *w);

/* What netlink_watch_read found, as bits. */
enum netlink_change {
	NETLINK_ROUTES = 1 << 0,    /* a snapshot taken now may differ from the last one */
	NETLINK_ADDRESSES = 1 << 1, /* an address of an interface came or went */
	NETLINK_LINKS = 1 << 2,	    /* an interface came, went, or is in another state */
};

/* Takes what the kernel has told so far, without waiting; everything is read anew when the
 * kernel says it had to drop some. Bits of enum netlink_change, or -errno. */
int netlink_watch_read(struct netlink_watch *w);

/* The routes and neighbours as they are now; the caller's, by routes_free. Reads from the kernel
 * only what changed. 0 or -errno; *routes is untouched on failure. */
int netlink_watch_snapshot(struct netlink_watch *w, struct routes **routes);

/* Asks the kernel to resolve a next hop (ARP, neighbour discovery). The answer shows up as a
 * change. 0 or -errno. */
int netlink_resolve(struct netlink_watch *w, uint8_t port, const struct ip_addr *next_hop);

/* The kernel's own addresses of global scope on an interface, the kernel's order, deprecated
 * ones last, at most room; temporary ones (RFC 8981) and failed duplicates are left out. 0 with
 * *n set, or -errno: -ENODEV when there is no such interface, -E2BIG when there are more. */
int netlink_addresses(const char *name, struct ip_addr *addresses, uint32_t room, uint32_t *n);

#endif
