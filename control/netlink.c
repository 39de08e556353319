/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netlink: follows the kernel's routes and neighbours.
 *
 * Thread: control. Time: none; the kernel answers requests while it takes them.
 * Memory: two sockets and the last lists, grown by doubling up to their bounds.
 * Rules: an event only says which list is out of date; the list itself is always read whole, so
 * that a lost event (ENOBUFS) costs a reading and never the truth. A change of a neighbour that
 * leaves its link address and usefulness alone is none.
 */
#include "control/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include "control/error.h"
#include "control/netlink_message.h"

enum {
	DATAGRAM_MAX = 32768,	  /* octets; what the kernel fills at most at a time */
	RECEIVE_BUFFER = 1 << 20, /* octets of events the kernel may queue for us */
	READ_BURST = 256,	  /* datagrams one netlink_watch_read takes */
	DUMP_TRIES = 5,		  /* when the list changes while it is read */
	ROOM_FIRST = 64,
};

enum {
	STALE_LINKS = 1 << 0,
	STALE_ROUTES = 1 << 1,
	STALE_NEIGHBOURS = 1 << 2,
	STALE_ALL = STALE_LINKS | STALE_ROUTES | STALE_NEIGHBOURS,
};

/* A list that grows; elements of `size` octets. */
struct list {
	void *items;
	size_t size;
	uint32_t n, room, max;
};

/* A socket that asks. */
struct requests {
	struct mnl_socket *nl;
	uint32_t sequence; /* of the last one */
};

struct netlink_watch {
	struct mnl_socket *events;
	struct requests requests;
	char names[NETLINK_INTERFACES_MAX][IFNAMSIZ]; /* empty: the kernel has no such port */
	struct netlink_interfaces interfaces;
	unsigned stale;
	bool addresses_changed, links_changed;
	struct list routes;	/* struct route, as a snapshot wants them */
	struct list neighbours; /* struct neighbour, sorted by (port, address) */
};

static int list_add(struct list *l, const void *item)
{
	if (l->n == l->room) {
		uint32_t room = l->room ? l->room * 2 : ROOM_FIRST;
		void *items;

		if (l->n >= l->max)
			return -E2BIG;
		items = realloc(l->items, room * l->size);
		if (!items)
			return -ENOMEM;
		l->items = items;
		l->room = room;
	}
	memcpy((char *)l->items + l->n++ * l->size, item, l->size);
	return 0;
}

static void list_copy(const struct list *l, void *to)
{
	if (l->n)
		memcpy(to, l->items, l->n * l->size);
}

static void list_sort(struct list *l, int (*compare)(const void *a, const void *b))
{
	if (l->n)
		qsort(l->items, l->n, l->size, compare);
}

/* --- asking ------------------------------------------------------------------------------- */

static int socket_open(struct mnl_socket **nl, int flags)
{
	int on = 1;

	*nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags);
	if (!*nl)
		return -errno;
	if (mnl_socket_bind(*nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int error = -errno;

		mnl_socket_close(*nl);
		*nl = NULL;
		return error;
	}
	/* Lets the kernel filter a dump; one that cannot dumps all, which is filtered here. */
	mnl_socket_setsockopt(*nl, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return 0;
}

/* Takes one message of an answer, data given along; 0 or -errno. */
typedef int (*answer_cb)(const struct nlmsghdr *nlh, void *data);

/* What became of a request. */
struct answer {
	answer_cb take;
	void *data;
	bool done, interrupted;
	int error;
};

/* The kernel's verdict at the end of an answer: an ACK is an error of 0. */
static int verdict(const struct nlmsghdr *nlh)
{
	int error = 0;

	if (nlh->nlmsg_len >= MNL_NLMSG_HDRLEN + sizeof(error))
		memcpy(&error, mnl_nlmsg_get_payload(nlh), sizeof(error));
	else if (nlh->nlmsg_type == NLMSG_ERROR)
		error = -EBADMSG;
	return error < 0 ? error : 0;
}

static void answer_take(struct answer *answer, const struct nlmsghdr *nlh)
{
	int error = 0;

	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		answer->interrupted = true;
	if (nlh->nlmsg_type == NLMSG_ERROR || nlh->nlmsg_type == NLMSG_DONE) {
		answer->done = true;
		error = verdict(nlh);
	} else if (nlh->nlmsg_type >= NLMSG_MIN_TYPE && !answer->error && answer->take) {
		error = answer->take(nlh, answer->data);
	}
	if (!answer->error)
		answer->error = error;
}

/* Sends a request and takes its answer to the end, whatever comes between, because a dump half
 * read would stand in the way of the next. -EINTR: the list changed while it was dumped. */
static int request(struct requests *r, struct nlmsghdr *nlh, answer_cb take, void *data)
{
	struct answer answer = {.take = take, .data = data};
	_Alignas(struct nlmsghdr) char buf[DATAGRAM_MAX];

	nlh->nlmsg_seq = ++r->sequence;
	if (mnl_socket_sendto(r->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (!answer.done) {
		ssize_t received = mnl_socket_recvfrom(r->nl, buf, sizeof(buf));
		const struct nlmsghdr *at = (const struct nlmsghdr *)buf;
		int left = received;

		if (received < 0 && errno != EINTR)
			return -errno;
		for (; mnl_nlmsg_ok(at, left); at = mnl_nlmsg_next(at, &left)) {
			if (at->nlmsg_seq == r->sequence)
				answer_take(&answer, at);
		}
	}
	return answer.error ? answer.error : answer.interrupted ? -EINTR : 0;
}

/* Has a dump taken, which adds what it finds to a list. */
static int dump(struct requests *r, struct nlmsghdr *nlh, struct list *list, answer_cb take,
		void *data)
{
	uint32_t kept = list->n;
	int error = -EINTR;

	for (int tries = 0; error == -EINTR && tries < DUMP_TRIES; tries++) {
		list->n = kept;
		error = request(r, nlh, take, data);
	}
	return error;
}

static struct nlmsghdr *dump_header(char *buf, uint16_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	return nlh;
}

/* --- links -------------------------------------------------------------------------------- */

static int link_take(const struct nlmsghdr *nlh, void *data)
{
	struct netlink_link *found = data;
	struct netlink_link link;

	if (nlh->nlmsg_type == RTM_NEWLINK && netlink_message_link(nlh, &link))
		found->index = link.index;
	return 0;
}

/* The kernel's index of an interface; -ENODEV when there is none of this name. */
static int link_find(struct requests *r, const char *name, uint32_t *index)
{
	_Alignas(struct nlmsghdr) char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	struct netlink_link found = {name, 0};
	int error;

	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	error = request(r, nlh, link_take, &found);
	if (!error && !found.index)
		error = -ENODEV;
	if (!error)
		*index = found.index;
	return error;
}

static int links_refresh(struct netlink_watch *w)
{
	for (uint32_t i = 0; i < w->interfaces.n; i++) {
		uint32_t index = 0;
		int error;

		if (!w->names[i][0])
			continue;
		error = link_find(&w->requests, w->names[i], &index);
		if (error && error != -ENODEV)
			return error;
		w->interfaces.index[i] = index;
	}
	return 0;
}

/* --- routes ------------------------------------------------------------------------------- */

static int route_take(const struct nlmsghdr *nlh, void *data)
{
	struct netlink_watch *w = data;
	struct route route;

	if (nlh->nlmsg_type != RTM_NEWROUTE || !netlink_message_route(nlh, &w->interfaces, &route))
		return 0;
	return list_add(&w->routes, &route);
}

static int routes_dump(struct netlink_watch *w, uint8_t family)
{
	_Alignas(struct nlmsghdr) char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = dump_header(buf, RTM_GETROUTE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int error;

	rtm->rtm_family = family;
	rtm->rtm_table = RT_TABLE_MAIN;
	rtm->rtm_type = RTN_UNICAST;
	error = dump(&w->requests, nlh, &w->routes, route_take, w);
	/* Until its first route a namespace has no main table. */
	return error == -ENOENT ? 0 : error;
}

static int route_compare(const void *pa, const void *pb)
{
	const struct route *a = pa, *b = pb;
	int order = b->prefix_len - a->prefix_len;

	if (order == 0)
		order = memcmp(&a->prefix, &b->prefix, sizeof(a->prefix));
	if (order == 0)
		order = (a->metric > b->metric) - (a->metric < b->metric);
	return order;
}

/* Of each prefix only the first, which is the best, stays. */
static void routes_drop_shadowed(struct list *l)
{
	struct route *routes = l->items;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		if (kept && routes[kept - 1].prefix_len == routes[i].prefix_len &&
		    ip_addr_equal(&routes[kept - 1].prefix, &routes[i].prefix))
			continue;
		routes[kept++] = routes[i];
	}
	l->n = kept;
}

static int routes_refresh(struct netlink_watch *w)
{
	int error;

	w->routes.n = 0;
	error = routes_dump(w, AF_INET);
	if (!error)
		error = routes_dump(w, AF_INET6);
	if (error)
		return error;
	list_sort(&w->routes, route_compare);
	routes_drop_shadowed(&w->routes);
	return 0;
}

/* --- neighbours --------------------------------------------------------------------------- */

static int neighbour_compare(const void *pa, const void *pb)
{
	const struct neighbour *a = pa, *b = pb;

	if (a->port != b->port)
		return a->port - b->port;
	return memcmp(&a->address, &b->address, sizeof(a->address));
}

static int neighbour_take(const struct nlmsghdr *nlh, void *data)
{
	struct netlink_watch *w = data;
	struct neighbour neighbour;

	if (netlink_message_neighbour(nlh, &w->interfaces, &neighbour) != NETLINK_NEIGHBOUR_USABLE)
		return 0;
	return list_add(&w->neighbours, &neighbour);
}

static int neighbours_dump(struct netlink_watch *w, uint8_t family)
{
	_Alignas(struct nlmsghdr) char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = dump_header(buf, RTM_GETNEIGH);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

	ndm->ndm_family = family;
	return dump(&w->requests, nlh, &w->neighbours, neighbour_take, w);
}

static int neighbours_refresh(struct netlink_watch *w)
{
	int error;

	w->neighbours.n = 0;
	error = neighbours_dump(w, AF_INET);
	if (!error)
		error = neighbours_dump(w, AF_INET6);
	if (!error)
		list_sort(&w->neighbours, neighbour_compare);
	return error;
}

/* --- events ------------------------------------------------------------------------------- */

static bool link_is_ours(const struct netlink_watch *w, const struct netlink_link *link)
{
	for (uint32_t i = 0; i < w->interfaces.n; i++) {
		if (w->interfaces.index[i] == link->index || strcmp(w->names[i], link->name) == 0)
			return true;
	}
	return false;
}

static bool index_is_ours(const struct netlink_watch *w, uint32_t index)
{
	for (uint32_t i = 0; i < w->interfaces.n; i++) {
		if (index && w->interfaces.index[i] == index)
			return true;
	}
	return false;
}

static bool neighbour_is_news(const struct netlink_watch *w, const struct nlmsghdr *nlh)
{
	struct neighbour neighbour;
	const struct neighbour *known = NULL;
	enum netlink_neighbour what;

	what = netlink_message_neighbour(nlh, &w->interfaces, &neighbour);
	if (what == NETLINK_NEIGHBOUR_NONE)
		return false;
	if (w->neighbours.n)
		known = bsearch(&neighbour, w->neighbours.items, w->neighbours.n, sizeof(neighbour),
				neighbour_compare);
	if (what == NETLINK_NEIGHBOUR_GONE)
		return known != NULL;
	return !known || memcmp(known->mac, neighbour.mac, sizeof(known->mac)) != 0;
}

/* Which lists a message puts out of date, and whether an address changed. */
static int event_take(const struct nlmsghdr *nlh, void *data)
{
	struct netlink_watch *w = data;
	struct netlink_address address;
	struct route route;
	struct netlink_link link;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (netlink_message_link(nlh, &link) && link_is_ours(w, &link)) {
			w->stale |= STALE_ALL;
			w->links_changed = true;
		}
		break;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		/* A route that replaces one of ours may lead elsewhere, and the kernel tells
		 * nothing more of the old one. */
		if (nlh->nlmsg_flags & NLM_F_REPLACE ||
		    netlink_message_route(nlh, &w->interfaces, &route))
			w->stale |= STALE_ROUTES;
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		w->stale |= STALE_ROUTES;
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (neighbour_is_news(w, nlh))
			w->stale |= STALE_NEIGHBOURS;
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		/* The kernel takes routes away with an address without a word. */
		if (netlink_message_address(nlh, &address) && index_is_ours(w, address.index)) {
			w->stale |= STALE_ROUTES;
			w->addresses_changed = true;
		}
		break;
	}
	return MNL_CB_OK;
}

int netlink_watch_read(struct netlink_watch *w)
{
	_Alignas(struct nlmsghdr) char events[DATAGRAM_MAX];
	int changes = 0;

	w->addresses_changed = w->links_changed = false;
	for (int i = 0; i < READ_BURST; i++) {
		ssize_t len = mnl_socket_recvfrom(w->events, events, sizeof(events));

		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		/* Events were lost, or one was cut off. */
		if (len < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			w->stale = STALE_ALL;
			w->addresses_changed = w->links_changed = true;
			continue;
		}
		if (len < 0)
			return -errno;
		mnl_cb_run(events, len, 0, 0, event_take, w);
	}
	if (w->stale)
		changes |= NETLINK_ROUTES;
	if (w->addresses_changed)
		changes |= NETLINK_ADDRESSES;
	if (w->links_changed)
		changes |= NETLINK_LINKS;
	return changes;
}

int netlink_watch_fd(const struct netlink_watch *w)
{
	return mnl_socket_get_fd(w->events);
}

/* --- the snapshot ------------------------------------------------------------------------- */

static int refresh(struct netlink_watch *w, unsigned list, int (*read)(struct netlink_watch *))
{
	int error = 0;

	if (w->stale & list)
		error = read(w);
	if (!error)
		w->stale &= ~list;
	return error;
}

int netlink_watch_snapshot(struct netlink_watch *w, struct routes **routes)
{
	struct routes *r;
	int error;

	error = refresh(w, STALE_LINKS, links_refresh);
	if (!error)
		error = refresh(w, STALE_ROUTES, routes_refresh);
	if (!error)
		error = refresh(w, STALE_NEIGHBOURS, neighbours_refresh);
	if (error)
		return error;
	r = routes_new(w->routes.n, w->neighbours.n);
	if (!r)
		return -ENOMEM;
	r->n_routes = w->routes.n;
	list_copy(&w->routes, r->routes);
	r->n_neighbours = w->neighbours.n;
	list_copy(&w->neighbours, r->neighbours);
	routes_sort(r);
	*routes = r;
	return 0;
}

int netlink_resolve(struct netlink_watch *w, uint8_t port, const struct ip_addr *next_hop)
{
	_Alignas(struct nlmsghdr) char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	bool v4 = ip_addr_is_v4(next_hop);

	if (port >= w->interfaces.n || !w->interfaces.index[port])
		return -ENODEV;
	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
	ndm->ndm_family = v4 ? AF_INET : AF_INET6;
	ndm->ndm_ifindex = w->interfaces.index[port];
	ndm->ndm_state = NUD_NONE;
	ndm->ndm_flags = NTF_USE;
	mnl_attr_put(nlh, NDA_DST, v4 ? 4 : 16, next_hop->octets + (v4 ? 12 : 0));
	return request(&w->requests, nlh, NULL, NULL);
}

/* --- opening ------------------------------------------------------------------------------ */

static int events_join(struct mnl_socket *nl)
{
	static const int groups[] = {
		RTNLGRP_LINK,	     RTNLGRP_NEIGH,	 RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
	};
	int nexthop = RTNLGRP_NEXTHOP, buffer = RECEIVE_BUFFER;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return -errno;
	}
	/* Kernels before 5.3 know no next hop objects; without the right to a larger buffer the
	 * default one only means more readings in full. */
	mnl_socket_setsockopt(nl, NETLINK_ADD_MEMBERSHIP, &nexthop, sizeof(nexthop));
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	return 0;
}

static int names_take(struct netlink_watch *w, const char *const *names, uint32_t n, char *error,
		      size_t len)
{
	if (n > NETLINK_INTERFACES_MAX)
		return error_set(-EINVAL, error, len, "netlink: %u interfaces, at most %d", n,
				 NETLINK_INTERFACES_MAX);
	for (uint32_t i = 0; i < n; i++) {
		size_t name_len = names[i] ? strlen(names[i]) : 0;

		if (name_len >= IFNAMSIZ)
			return error_set(-EINVAL, error, len, "netlink: '%s' is no interface name",
					 names[i]);
		if (name_len)
			memcpy(w->names[i], names[i], name_len + 1);
	}
	w->interfaces.n = n;
	return 0;
}

static int sockets_open(struct netlink_watch *w)
{
	int error = socket_open(&w->events, SOCK_NONBLOCK);

	if (!error)
		error = events_join(w->events);
	if (!error)
		error = socket_open(&w->requests.nl, 0);
	return error;
}

int netlink_watch_open(struct netlink_watch **watch, const char *const *names, uint32_t n,
		       char *error, size_t len)
{
	struct netlink_watch *w = calloc(1, sizeof(*w));
	int failed;

	if (!w)
		return error_set(-ENOMEM, error, len, "netlink: no memory");
	w->routes = (struct list){.size = sizeof(struct route), .max = NETLINK_ROUTES_MAX};
	w->neighbours =
		(struct list){.size = sizeof(struct neighbour), .max = NETLINK_NEIGHBOURS_MAX};
	w->stale = STALE_ALL;
	failed = names_take(w, names, n, error, len);
	if (failed)
		goto fail;
	failed = sockets_open(w);
	/* The indices must be known before the first event is judged by them. */
	if (!failed)
		failed = refresh(w, STALE_LINKS, links_refresh);
	if (failed) {
		error_set(failed, error, len, "netlink: %s", strerror(-failed));
		goto fail;
	}
	*watch = w;
	return 0;
fail:
	netlink_watch_close(w);
	return failed;
}

void netlink_watch_close(struct netlink_watch *w)
{
	if (!w)
		return;
	if (w->events)
		mnl_socket_close(w->events);
	if (w->requests.nl)
		mnl_socket_close(w->requests.nl);
	free(w->routes.items);
	free(w->neighbours.items);
	free(w);
}

/* --- addresses ---------------------------------------------------------------------------- */

struct addresses {
	uint32_t index;	   /* of the interface */
	struct list found; /* struct netlink_address */
};

static int address_take(const struct nlmsghdr *nlh, void *data)
{
	struct addresses *a = data;
	struct netlink_address address;

	if (nlh->nlmsg_type != RTM_NEWADDR || !netlink_message_address(nlh, &address) ||
	    address.index != a->index || !address.usable)
		return 0;
	return list_add(&a->found, &address);
}

static int addresses_dump(struct requests *r, struct addresses *a)
{
	_Alignas(struct nlmsghdr) char buf[MNL_NLMSG_HDRLEN + 256];
	struct nlmsghdr *nlh = dump_header(buf, RTM_GETADDR);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

	ifa->ifa_family = AF_UNSPEC;
	ifa->ifa_index = a->index;
	return dump(r, nlh, &a->found, address_take, a);
}

/* Those that are deprecated, or those that are not; returns how many. */
static uint32_t addresses_copy(const struct addresses *a, bool deprecated, struct ip_addr *to)
{
	const struct netlink_address *found = a->found.items;
	uint32_t n = 0;

	for (uint32_t i = 0; i < a->found.n; i++)
		if (found[i].deprecated == deprecated)
			to[n++] = found[i].address;
	return n;
}

int netlink_addresses(const char *name, struct ip_addr *addresses, uint32_t room, uint32_t *n)
{
	struct addresses a = {
		.found = {.size = sizeof(struct netlink_address), .max = NETLINK_NEIGHBOURS_MAX},
	};
	struct requests r = {0};
	int error;

	if (strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	error = socket_open(&r.nl, 0);
	if (error)
		return error;
	error = link_find(&r, name, &a.index);
	if (!error)
		error = addresses_dump(&r, &a);
	if (!error && a.found.n > room)
		error = -E2BIG;
	if (!error) {
		*n = addresses_copy(&a, false, addresses);
		*n += addresses_copy(&a, true, addresses + *n);
	}
	free(a.found.items);
	mnl_socket_close(r.nl);
	return error;
}
