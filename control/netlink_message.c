/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one rtnetlink message says.
 *
 * Thread: any. Time: none. Memory: none.
 * Rules: rtnetlink(7); libmnl's validators decide about lengths, and where they allow more than
 * is asked for, this file does not.
 */
#include "control/netlink_message.h"

#include <string.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

enum {
	MAC_LEN = 6,
	V4_LEN = 4,
	V6_LEN = 16,
	V4_PREFIX = 96, /* bits before an IPv4 address in mapped form */
};

/* The attributes of one message by type; max is the largest type that is kept. */
struct attributes {
	const struct nlattr **by_type;
	uint16_t max;
};

static int attribute_keep(const struct nlattr *attr, void *data)
{
	const struct attributes *attributes = data;

	if (mnl_attr_type_valid(attr, attributes->max) > 0)
		attributes->by_type[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

/* Whether the message has its fixed header and its attributes could be walked. They are walked as
 * a payload, because mnl_attr_parse rounds the end of the message up. */
static bool attributes_read(const struct nlmsghdr *nlh, size_t header,
			    const struct nlattr **by_type, uint16_t max)
{
	struct attributes attributes = {by_type, max};
	const char *payload = mnl_nlmsg_get_payload(nlh);

	header = MNL_ALIGN(header);
	return nlh->nlmsg_len >= MNL_NLMSG_HDRLEN + header &&
	       mnl_attr_parse_payload(payload + header, nlh->nlmsg_len - MNL_NLMSG_HDRLEN - header,
				      attribute_keep, &attributes) >= 0;
}

static bool attribute_has(const struct nlattr *attr, uint16_t len)
{
	return mnl_attr_validate2(attr, MNL_TYPE_UNSPEC, len) >= 0 &&
	       mnl_attr_get_payload_len(attr) == len;
}

/* A number, or otherwise when it is absent; false when its length is wrong. */
static bool attribute_u32(const struct nlattr *attr, uint32_t otherwise, uint32_t *value)
{
	*value = otherwise;
	if (!attr)
		return true;
	if (!attribute_has(attr, sizeof(uint32_t)))
		return false;
	*value = mnl_attr_get_u32(attr);
	return true;
}

/* An address, all zero when it is absent; false when its length is wrong. */
static bool attribute_address(const struct nlattr *attr, uint8_t family, struct ip_addr *address)
{
	memset(address, 0, sizeof(*address));
	if (!attr)
		return true;
	if (!attribute_has(attr, family == AF_INET ? V4_LEN : V6_LEN))
		return false;
	*address = family == AF_INET ? ip_addr_from_v4(mnl_attr_get_payload(attr))
				     : ip_addr_from_v6(mnl_attr_get_payload(attr));
	return true;
}

static bool family_is_ip(uint8_t family)
{
	return family == AF_INET || family == AF_INET6;
}

static bool is_multicast(const struct ip_addr *a)
{
	return ip_addr_is_v4(a) ? a->octets[12] >> 4 == 0xe : a->octets[0] == 0xff;
}

static bool port_of(const struct netlink_interfaces *interfaces, uint32_t index, uint8_t *port)
{
	for (uint32_t i = 0; i < interfaces->n; i++) {
		if (index && interfaces->index[i] == index) {
			*port = i;
			return true;
		}
	}
	return false;
}

/* --- routes ------------------------------------------------------------------------------ */

/* One way to go: an interface and, unless the destination is on its link, a gateway. */
struct hop {
	uint32_t index;
	uint8_t flags; /* RTNH_F_* */
	const struct nlattr *gateway, *via, *encapsulation;
};

/* RTA_VIA: a gateway of another family than the destination's (RFC 5549). */
static bool via_read(const struct nlattr *attr, struct ip_addr *gateway)
{
	const struct rtvia *via = mnl_attr_get_payload(attr);
	uint16_t len = mnl_attr_get_payload_len(attr);

	if (len < sizeof(*via))
		return false;
	len -= sizeof(*via);
	if (via->rtvia_family == AF_INET && len == V4_LEN)
		*gateway = ip_addr_from_v4(via->rtvia_addr);
	else if (via->rtvia_family == AF_INET6 && len == V6_LEN)
		*gateway = ip_addr_from_v6(via->rtvia_addr);
	else
		return false;
	return true;
}

static bool hop_read(const struct hop *hop, uint8_t family,
		     const struct netlink_interfaces *interfaces, struct route *route)
{
	if (hop->flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN) || hop->encapsulation ||
	    !port_of(interfaces, hop->index, &route->port))
		return false;
	route->on_link = !hop->gateway && !hop->via;
	if (hop->via)
		return via_read(hop->via, &route->gateway);
	return attribute_address(hop->gateway, family, &route->gateway);
}

/* RTA_MULTIPATH: the first next hop that can be used. */
static bool hops_read(const struct nlattr *multipath, uint8_t family,
		      const struct netlink_interfaces *interfaces, struct route *route)
{
	const uint8_t *at = mnl_attr_get_payload(multipath);
	size_t left = mnl_attr_get_payload_len(multipath);
	struct rtnexthop nexthop;

	while (left >= sizeof(nexthop)) {
		const struct nlattr *by_type[RTA_MAX + 1] = {NULL};
		struct attributes attributes = {by_type, RTA_MAX};
		size_t step;

		memcpy(&nexthop, at, sizeof(nexthop));
		if (nexthop.rtnh_len < sizeof(nexthop) || nexthop.rtnh_len > left)
			return false;
		if (mnl_attr_parse_payload(at + sizeof(nexthop), nexthop.rtnh_len - sizeof(nexthop),
					   attribute_keep, &attributes) < 0)
			return false;
		if (hop_read(&(struct hop){nexthop.rtnh_ifindex, nexthop.rtnh_flags,
					   by_type[RTA_GATEWAY], by_type[RTA_VIA],
					   by_type[RTA_ENCAP_TYPE]},
			     family, interfaces, route))
			return true;
		step = RTNH_ALIGN(nexthop.rtnh_len);
		if (step > left)
			break;
		at += step;
		left -= step;
	}
	return false;
}

static bool route_is_plain(const struct rtmsg *rtm, uint32_t table)
{
	return family_is_ip(rtm->rtm_family) && table == RT_TABLE_MAIN &&
	       rtm->rtm_type == RTN_UNICAST && rtm->rtm_tos == 0 && rtm->rtm_src_len == 0 &&
	       !(rtm->rtm_flags & RTM_F_CLONED) &&
	       rtm->rtm_dst_len <= (rtm->rtm_family == AF_INET ? 32 : 128);
}

bool netlink_message_route(const struct nlmsghdr *nlh, const struct netlink_interfaces *interfaces,
			   struct route *route)
{
	const struct nlattr *attr[RTA_MAX + 1] = {NULL};
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct route found = {.metric = 0};
	uint32_t table, index;

	if (!attributes_read(nlh, sizeof(*rtm), attr, RTA_MAX) ||
	    !attribute_u32(attr[RTA_TABLE], rtm->rtm_table, &table) ||
	    !route_is_plain(rtm, table) || !attribute_u32(attr[RTA_PRIORITY], 0, &found.metric) ||
	    !attribute_u32(attr[RTA_OIF], 0, &index) ||
	    !attribute_address(attr[RTA_DST], rtm->rtm_family, &found.prefix) ||
	    !attribute_address(attr[RTA_PREFSRC], rtm->rtm_family, &found.source))
		return false;
	found.prefix_len = rtm->rtm_dst_len;
	if (rtm->rtm_family == AF_INET) {
		found.prefix_len += V4_PREFIX;
		if (!attr[RTA_DST])
			found.prefix = ip_addr_from_v4("\0\0\0\0");
	}
	if (attr[RTA_MULTIPATH]
		    ? !hops_read(attr[RTA_MULTIPATH], rtm->rtm_family, interfaces, &found)
		    : !hop_read(&(struct hop){index, rtm->rtm_flags, attr[RTA_GATEWAY],
					      attr[RTA_VIA], attr[RTA_ENCAP_TYPE]},
				rtm->rtm_family, interfaces, &found))
		return false;
	*route = found;
	return true;
}

/* --- neighbours -------------------------------------------------------------------------- */

enum {
	USABLE_STATES =
		NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP
};

enum netlink_neighbour netlink_message_neighbour(const struct nlmsghdr *nlh,
						 const struct netlink_interfaces *interfaces,
						 struct neighbour *neighbour)
{
	const struct nlattr *attr[NDA_MAX + 1] = {NULL};
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	struct neighbour found = {.port = 0};

	if (!attributes_read(nlh, sizeof(*ndm), attr, NDA_MAX) || !family_is_ip(ndm->ndm_family) ||
	    ndm->ndm_flags & NTF_PROXY || !attr[NDA_DST] ||
	    !attribute_address(attr[NDA_DST], ndm->ndm_family, &found.address) ||
	    is_multicast(&found.address) || !port_of(interfaces, ndm->ndm_ifindex, &found.port))
		return NETLINK_NEIGHBOUR_NONE;
	if (nlh->nlmsg_type == RTM_NEWNEIGH && ndm->ndm_state & USABLE_STATES && attr[NDA_LLADDR] &&
	    attribute_has(attr[NDA_LLADDR], MAC_LEN)) {
		memcpy(found.mac, mnl_attr_get_payload(attr[NDA_LLADDR]), MAC_LEN);
		*neighbour = found;
		return NETLINK_NEIGHBOUR_USABLE;
	}
	*neighbour = found;
	return NETLINK_NEIGHBOUR_GONE;
}

/* --- addresses and links ------------------------------------------------------------------ */

bool netlink_message_address(const struct nlmsghdr *nlh, struct netlink_address *address)
{
	const struct nlattr *attr[IFA_MAX + 1] = {NULL};
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *own;
	struct netlink_address found;
	uint32_t flags;

	if (!attributes_read(nlh, sizeof(*ifa), attr, IFA_MAX) || !family_is_ip(ifa->ifa_family) ||
	    !attribute_u32(attr[IFA_FLAGS], ifa->ifa_flags, &flags))
		return false;
	/* On a point-to-point link IFA_ADDRESS is the peer's. */
	own = attr[IFA_LOCAL] ? attr[IFA_LOCAL] : attr[IFA_ADDRESS];
	if (!own || !attribute_address(own, ifa->ifa_family, &found.address))
		return false;
	/* IFA_F_TEMPORARY is IPv6's; IPv4 says "secondary" by the same bit. */
	found.usable = ifa->ifa_scope == RT_SCOPE_UNIVERSE && !(flags & IFA_F_DADFAILED) &&
		       !(ifa->ifa_family == AF_INET6 && flags & IFA_F_TEMPORARY);
	found.deprecated = flags & IFA_F_DEPRECATED;
	found.index = ifa->ifa_index;
	*address = found;
	return true;
}

bool netlink_message_link(const struct nlmsghdr *nlh, struct netlink_link *link)
{
	const struct nlattr *attr[IFLA_MAX + 1] = {NULL};
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	if (!attributes_read(nlh, sizeof(*ifi), attr, IFLA_MAX) || ifi->ifi_index <= 0 ||
	    !attr[IFLA_IFNAME] || mnl_attr_validate(attr[IFLA_IFNAME], MNL_TYPE_NUL_STRING) < 0 ||
	    mnl_attr_get_payload_len(attr[IFLA_IFNAME]) > IFNAMSIZ)
		return false;
	link->name = mnl_attr_get_str(attr[IFLA_IFNAME]);
	link->index = ifi->ifi_index;
	return true;
}
