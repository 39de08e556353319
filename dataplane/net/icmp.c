/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ICMP errors that quote a segment of ours.
 *
 * Thread: the owning worker. Time: none. Memory: none.
 * Rules: RFC 792, RFC 1122 3.2.2.1, RFC 1191, RFC 1812 4.3.2.3, RFC 4443 3, RFC 8201. An error is
 * believed as far as its form goes: a good checksum, a quoted TCP header whose source is the
 * address the error came to. Whether the sequence number is one under way is TCP's question (RFC
 * 5927 4.1). Deliberately not done: source quench (RFC 6633), redirects, echo and neighbour
 * discovery, which are the kernel's.
 */
#include "net/checksum.h"
#include "net/parse.h"

enum {
	ICMP4_UNREACHABLE = 3,
	ICMP4_PROTOCOL_UNREACHABLE = 2, /* a code of it, and the next */
	ICMP4_PORT_UNREACHABLE = 3,
	ICMP4_FRAGMENTATION_NEEDED = 4,
	ICMP4_NETWORK_PROHIBITED = 9,
	ICMP4_HOST_PROHIBITED = 10,
	ICMP4_PROHIBITED = 13,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER_PROBLEM = 12,

	ICMP6_UNREACHABLE = 1,
	ICMP6_PROHIBITED = 1, /* a code of it, and the next */
	ICMP6_PORT_UNREACHABLE = 4,
	ICMP6_SOURCE_PROHIBITED = 5,
	ICMP6_ROUTE_REJECTED = 6,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER_PROBLEM = 4,
	ICMP6_UNKNOWN_HEADER = 1, /* a code of it: IPv6's protocol unreachable */

	QUOTED_TCP = 8, /* ports and sequence number: all that RFC 792 promises */
};

static bool checksum_is_good(const struct packet *p, bool v4)
{
	uint64_t sum = checksum_add_chain(p->m, packet_offset(p), p->c.total);

	if (!v4)
		sum += checksum_add_pseudo(&p->from, &p->to, PROTOCOL_ICMP6, p->c.total);
	return checksum_fold(sum) == CHECKSUM_GOOD;
}

static enum net_error_kind unreachable4(uint8_t code)
{
	switch (code) {
	case ICMP4_PROTOCOL_UNREACHABLE:
	case ICMP4_PORT_UNREACHABLE:
	case ICMP4_NETWORK_PROHIBITED:
	case ICMP4_HOST_PROHIBITED:
	case ICMP4_PROHIBITED:
		return NET_ERROR_REFUSED;
	case ICMP4_FRAGMENTATION_NEEDED:
		return NET_ERROR_TOO_BIG;
	}
	return NET_ERROR_UNREACHABLE;
}

static enum net_error_kind unreachable6(uint8_t code)
{
	switch (code) {
	case ICMP6_PROHIBITED:
	case ICMP6_PORT_UNREACHABLE:
	case ICMP6_SOURCE_PROHIBITED:
	case ICMP6_ROUTE_REJECTED:
		return NET_ERROR_REFUSED;
	}
	return NET_ERROR_UNREACHABLE;
}

/* What kind of error an ICMP header tells, and the MTU; NET_ERROR_NONE: none of use. */
static enum net_error_kind error_of_icmp4(const uint8_t *header, uint32_t *mtu)
{
	switch (header[0]) {
	case ICMP4_UNREACHABLE:
		if (header[1] == ICMP4_FRAGMENTATION_NEEDED)
			*mtu = load_be16(header + 6);
		return unreachable4(header[1]);
	case ICMP4_TIME_EXCEEDED:
	case ICMP4_PARAMETER_PROBLEM:
		return NET_ERROR_UNREACHABLE;
	}
	return NET_ERROR_NONE;
}

static enum net_error_kind error_of_icmp6(const uint8_t *header, uint32_t *mtu)
{
	switch (header[0]) {
	case ICMP6_TOO_BIG:
		*mtu = load_be32(header + 4);
		return NET_ERROR_TOO_BIG;
	case ICMP6_UNREACHABLE:
		return unreachable6(header[1]);
	case ICMP6_PARAMETER_PROBLEM:
		return header[1] == ICMP6_UNKNOWN_HEADER ? NET_ERROR_REFUSED
							 : NET_ERROR_UNREACHABLE;
	case ICMP6_TIME_EXCEEDED:
		return NET_ERROR_UNREACHABLE;
	}
	return NET_ERROR_NONE;
}

/* No link may have a smaller MTU than its IP version asks for (RFC 1191 3, RFC 8201 4). Routers
 * older than RFC 1191 tell none, which is 0; IPv6 knows no such routers. */
static bool mtu_is_possible(uint32_t mtu, bool v4)
{
	if (v4)
		return mtu == 0 || mtu >= IP4_MTU_MIN;
	return mtu >= IP6_MTU_MIN;
}

static enum parsed parse_quote(struct packet *p, bool v4, struct net_segment *seg)
{
	enum parsed found = v4 ? net_ip4_parse_quote(&p->c, &seg->flow)
			       : net_ip6_parse_quote(&p->c, &seg->flow);
	const uint8_t *tcp;

	if (found != PARSED)
		return found;
	tcp = cursor_take(&p->c, QUOTED_TCP);
	if (!tcp)
		return PARSED_MALFORMED;
	/* An error goes to the source of what it quotes, which is hereby ours. */
	if (!ip_addr_equal(&seg->flow.local, &p->to))
		return PARSED_NOT_OURS;
	seg->flow.local_port = load_be16(tcp);
	seg->flow.remote_port = load_be16(tcp + 2);
	seg->error_seq = load_be32(tcp + 4);
	return PARSED;
}

enum parsed net_icmp_parse(struct packet *p, struct net_segment *seg)
{
	bool v4 = p->protocol == PROTOCOL_ICMP4;
	struct cursor message = p->c;
	const uint8_t *header = cursor_take(&message, ICMP_HEADER);
	enum net_error_kind error;
	uint32_t mtu = 0;

	if (!header)
		return PARSED_MALFORMED;
	error = v4 ? error_of_icmp4(header, &mtu) : error_of_icmp6(header, &mtu);
	if (error == NET_ERROR_NONE)
		return PARSED_NOT_TCP;
	if (!checksum_is_good(p, v4))
		return PARSED_BAD_CHECKSUM;
	if (error == NET_ERROR_TOO_BIG && !mtu_is_possible(mtu, v4))
		return PARSED_MALFORMED;
	seg->error = (uint8_t)error;
	seg->error_mtu = (uint16_t)RTE_MIN(mtu, UINT16_MAX);
	p->c = message;
	return parse_quote(p, v4, seg);
}
