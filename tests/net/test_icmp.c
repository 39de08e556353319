/* SPDX-License-Identifier: BSD-3-Clause */
/* ICMP errors: which are about a segment of ours, what they tell, and which are not believed. */
#include <string.h>

#include "frames.h"

enum { QUOTED_SEQ = 0xdeadbeef, ROUTER_MTU = 1400 };

#define ROUTER4 "198.18.0.1"
#define ROUTER6 "2001:db8:ff::1"

/* Patches to the ICMP message count from its first octet: the quoted IP header is at 8. */
struct row {
	const char *name;
	bool v6;
	uint8_t type, code;
	uint32_t rest;	    /* the ICMP header's last four octets */
	uint16_t tcp;	    /* octets of TCP quoted */
	const char *to;	    /* whom the error is sent to; NULL: who sent what it quotes */
	uint8_t at, octets; /* one number overwritten in the message */
	uint32_t value;
	uint16_t bad_checksum;
	enum net_finding finding;
	size_t counter;
	enum net_error_kind error;
	uint16_t mtu;
};

#define SOFT	      NET_ERROR, COUNTER(net_icmp_error), NET_ERROR_UNREACHABLE, 0
#define HARD	      NET_ERROR, COUNTER(net_icmp_error), NET_ERROR_REFUSED, 0
#define TOO_BIG(mtu_) NET_ERROR, COUNTER(net_icmp_error), NET_ERROR_TOO_BIG, mtu_
#define DROPPED(why)  NET_DROP, COUNTER(net_##why), NET_ERROR_NONE, 0

/* clang-format off */
static const struct row rows[] = {
	{"net unreachable", false, 3, 0, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"host unreachable", false, 3, 1, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"protocol unreachable", false, 3, 2, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"port unreachable", false, 3, 3, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"source route failed", false, 3, 5, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"network prohibited", false, 3, 9, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"host prohibited", false, 3, 10, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"network unreachable for this service", false, 3, 11, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"administratively prohibited", false, 3, 13, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"a code nobody has defined", false, 3, 255, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"time exceeded", false, 11, 0, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"parameter problem", false, 12, 0, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"fragmentation needed", false, 3, 4, ROUTER_MTU, 8, NULL, 0, 0, 0, 0, TOO_BIG(ROUTER_MTU)},
	{"fragmentation needed, no mtu told", false, 3, 4, 0, 8, NULL, 0, 0, 0, 0, TOO_BIG(0)},
	{"fragmentation needed, the unused half set", false, 3, 4, 0x12340000 | 68, 8, NULL, 0, 0, 0, 0,
	 TOO_BIG(68)},
	{"the whole segment quoted", false, 3, 1, 0, 20, NULL, 0, 0, 0, 0, SOFT},
	{"a quote with another ttl, tos and checksum", false, 3, 1, 0, 8, NULL, 8 + 8, 4, 0x00069999, 0, SOFT},
	{"a quote with other tos", false, 3, 1, 0, 8, NULL, 8 + 1, 1, 0xff, 0, SOFT},

	{"no route", true, 1, 0, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"hop limit exceeded", true, 3, 0, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"administratively prohibited over ipv6", true, 1, 1, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"beyond the scope of the source", true, 1, 2, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"address unreachable", true, 1, 3, 0, 8, NULL, 0, 0, 0, 0, SOFT},
	{"port unreachable over ipv6", true, 1, 4, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"a source that failed a policy", true, 1, 5, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"a route to reject", true, 1, 6, 0, 8, NULL, 0, 0, 0, 0, HARD},
	{"a field in error", true, 4, 0, 6, 8, NULL, 0, 0, 0, 0, SOFT},
	{"unknown next header", true, 4, 1, 6, 8, NULL, 0, 0, 0, 0, HARD},
	{"packet too big", true, 2, 0, ROUTER_MTU, 8, NULL, 0, 0, 0, 0, TOO_BIG(ROUTER_MTU)},
	{"packet too big at the least mtu", true, 2, 0, 1280, 20, NULL, 0, 0, 0, 0, TOO_BIG(1280)},
	{"packet too big for more than 16 bits", true, 2, 0, 0x10000 + 1280, 8, NULL, 0, 0, 0, 0,
	 TOO_BIG(65535)},

	{"echo request", false, 8, 0, 0, 8, NULL, 0, 0, 0, 0, DROPPED(not_tcp)},
	{"echo reply", false, 0, 0, 0, 8, NULL, 0, 0, 0, 0, DROPPED(not_tcp)},
	{"source quench", false, 4, 0, 0, 8, NULL, 0, 0, 0, 0, DROPPED(not_tcp)},
	{"redirect", false, 5, 1, 0xc0000201, 8, NULL, 0, 0, 0, 0, DROPPED(not_tcp)},
	{"echo request over ipv6", true, 128, 0, 0, 8, NULL, 0, 0, 0, 0, DROPPED(not_tcp)},
	{"neighbour solicitation", true, 135, 0, 0, 8, NULL, 0, 0, 0, 0, DROPPED(not_tcp)},
	{"an error message nobody has defined", true, 100, 0, 0, 8, NULL, 0, 0, 0, 0, DROPPED(not_tcp)},
	{"a quoted udp packet", false, 3, 3, 0, 8, NULL, 8 + 9, 1, 17, 0, DROPPED(not_tcp)},
	{"a quoted udp packet over ipv6", true, 1, 4, 0, 8, NULL, 8 + 6, 1, 17, 0, DROPPED(not_tcp)},
	{"a quoted extension header", true, 1, 4, 0, 8, NULL, 8 + 6, 1, 0, 0, DROPPED(not_tcp)},

	{"too short for ports and sequence number", false, 3, 1, 0, 7, NULL, 0, 0, 0, 0, DROPPED(malformed)},
	{"no octet of tcp", true, 1, 0, 0, 0, NULL, 0, 0, 0, 0, DROPPED(malformed)},
	{"a quote of another version", false, 3, 1, 0, 8, NULL, 8, 1, 0x65, 0, DROPPED(malformed)},
	{"a quoted header of 16 octets", false, 3, 1, 0, 8, NULL, 8, 1, 0x44, 0, DROPPED(malformed)},
	{"a quoted header beyond the packet", false, 3, 1, 0, 8, NULL, 8, 1, 0x4f, 0, DROPPED(malformed)},
	{"a quoted length without room for tcp", false, 3, 1, 0, 8, NULL, 8 + 2, 2, 39, 0, DROPPED(malformed)},
	{"an ipv6 quote of another version", true, 1, 0, 0, 8, NULL, 8, 1, 0x45, 0, DROPPED(malformed)},
	{"a quoted payload length without room for tcp", true, 1, 0, 0, 8, NULL, 8 + 4, 2, 19, 0,
	 DROPPED(malformed)},
	{"a quoted mapped address", true, 1, 0, 0, 8, "mapped", 0, 0, 0, 0, DROPPED(malformed)},
	{"an mtu no ipv4 link may have", false, 3, 4, 67, 8, NULL, 0, 0, 0, 0, DROPPED(malformed)},
	{"an mtu no ipv6 link may have", true, 2, 0, 1279, 8, NULL, 0, 0, 0, 0, DROPPED(malformed)},
	{"ipv6 without an mtu", true, 2, 0, 0, 8, NULL, 0, 0, 0, 0, DROPPED(malformed)},

	{"a quoted first fragment", false, 3, 1, 0, 8, NULL, 8 + 6, 2, 0x2000, 0, DROPPED(fragment)},
	{"a quoted later fragment", false, 3, 1, 0, 8, NULL, 8 + 6, 2, 0x0001, 0, DROPPED(fragment)},

	{"an error about what others sent", false, 3, 1, 0, 8, NULL, 8 + 15, 1, 26, 0, DROPPED(not_ours)},
	{"an error about what others sent over ipv6", true, 1, 0, 0, 8, NULL, 8 + 23, 1, 0x26, 0,
	 DROPPED(not_ours)},
	{"an error sent to another of our addresses", false, 3, 1, 0, 8, OTHER_OUR4, 0, 0, 0, 0,
	 DROPPED(not_ours)},
	{"an error to a stranger", false, 3, 1, 0, 8, "192.0.2.26", 0, 0, 0, 0, DROPPED(not_ours)},

	{"a wrong checksum", false, 3, 1, 0, 8, NULL, 0, 0, 0, 0x1234, DROPPED(bad_checksum)},
	{"a wrong checksum over ipv6", true, 1, 1, 0, 8, NULL, 0, 0, 0, 0x1234, DROPPED(bad_checksum)},
};
/* clang-format on */

/* The segment of ours that the error quotes, as far as tcp octets behind the IP header. */
static void quote(struct bytes *message, const struct row *row)
{
	uint8_t *ip = message->octets + 8, *tcp = ip + (row->v6 ? 40 : 20);
	struct ip_addr from = address(row->v6 ? OUR6 : OUR4);
	struct ip_addr to = address(row->v6 ? PEER6 : PEER4);
	static const uint8_t ip4[10] = {0x45, 0, 0, 40, 0, 0, 0x40, 0, 3, 6};
	static const uint8_t ip6[8] = {0x60, 0, 0, 0, 0, 20, 6, 3};
	static const uint8_t header[20] = {OUR_PORT >> 8,	   OUR_PORT & 0xff,
					   PEER_PORT >> 8,	   PEER_PORT & 0xff,
					   QUOTED_SEQ >> 24,	   QUOTED_SEQ >> 16 & 0xff,
					   QUOTED_SEQ >> 8 & 0xff, QUOTED_SEQ & 0xff};

	if (row->to && strcmp(row->to, "mapped") == 0)
		from = address(OUR4);
	if (row->v6) {
		memcpy(ip, ip6, sizeof(ip6));
		memcpy(ip + 8, from.octets, 16);
		memcpy(ip + 24, to.octets, 16);
	} else {
		memcpy(ip, ip4, sizeof(ip4));
		memcpy(ip + 12, from.octets + 12, 4);
		memcpy(ip + 16, to.octets + 12, 4);
	}
	memcpy(tcp, header, row->tcp);
	message->len = (uint16_t)(tcp + row->tcp - message->octets);
}

static struct frame_spec spec_of(const struct row *row)
{
	struct frame_spec spec = {
		.v6 = row->v6,
		.from = row->v6 ? ROUTER6 : ROUTER4,
		.protocol = row->v6 ? 58 : 1,
		.patches = {{LAYER_L4, row->at, row->octets, row->value, false}},
	};

	if (row->to && strcmp(row->to, "mapped") != 0)
		spec.to = row->to;
	if (row->bad_checksum)
		spec.patches[1] = (struct patch){LAYER_L4, 2, 2, row->bad_checksum, true};
	quote(&spec.l4, row);
	spec.l4.octets[0] = row->type;
	spec.l4.octets[1] = row->code;
	for (unsigned i = 0; i < 4; i++)
		spec.l4.octets[4 + i] = (uint8_t)(row->rest >> (24 - 8 * i));
	return spec;
}

static void check_error(const struct row *row, const struct net_segment *seg)
{
	struct ip_addr local = address(row->v6 ? OUR6 : OUR4);
	struct ip_addr remote = address(row->v6 ? PEER6 : PEER4);

	assert_int_equal(seg->error, row->error);
	assert_int_equal(seg->error_mtu, row->mtu);
	assert_int_equal(seg->error_seq, QUOTED_SEQ);
	assert_true(ip_addr_equal(&seg->flow.local, &local));
	assert_true(ip_addr_equal(&seg->flow.remote, &remote));
	assert_int_equal(seg->flow.local_port, OUR_PORT);
	assert_int_equal(seg->flow.remote_port, PEER_PORT);
}

static void check_row(const struct row *row, struct rte_mbuf *m)
{
	struct postern_counters counters;
	struct net n;
	struct net_segment seg;
	enum net_finding finding;

	net_of_tests(&n, &counters);
	finding = net_input(&n, m, &seg);
	if (finding != row->finding || counted(&counters, row->counter) != 1)
		print_error("in the row '%s'\n", row->name);
	assert_int_equal(finding, row->finding);
	assert_int_equal(counted(&counters, row->counter), 1);
	assert_int_equal(counted_in_all(&counters), 1);
	if (finding == NET_ERROR)
		check_error(row, &seg);
	rte_pktmbuf_free(m);
}

static void every_error_is_believed_or_dropped_as_its_row_says(void **state)
{
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct frame_spec spec = spec_of(&rows[i]);
		struct frame f;

		frame_build(&f, &spec);
		check_row(&rows[i], frame_mbuf_exact(&f, NULL, 0));
	}
}

/* RFC 1812 4.3.2.3 routers quote more than is looked at, and a driver may chain it. */
static void a_long_quote_is_summed_over_the_whole_chain(void **state)
{
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		for (uint16_t extra = 0; extra < 8; extra++) {
			struct frame_spec spec = spec_of(&rows[i]);
			uint16_t splits[] = {0, extra, 3};
			struct frame f;

			if (rows[i].finding != NET_ERROR || rows[i].tcp != 8)
				continue;
			spec.payload = 500;
			spec.padding = 3;
			frame_build(&f, &spec);
			splits[0] = (uint16_t)(f.l4_at + spec.l4.len + extra / 2);
			check_row(&rows[i], frame_mbuf_exact(&f, splits, RTE_DIM(splits)));
		}
	}
}

static void a_quote_beyond_the_first_segment_is_malformed(void **state)
{
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct frame_spec spec = spec_of(&rows[i]);
		struct row row = rows[i];
		struct frame f;
		uint16_t end;

		if (row.finding != NET_ERROR)
			continue;
		row.finding = NET_DROP;
		row.counter = COUNTER(net_malformed);
		frame_build(&f, &spec);
		end = (uint16_t)(f.l4_at + spec.l4.len - (row.tcp - 8));
		for (uint16_t split = 0; split < end; split++)
			check_row(&row, frame_mbuf_exact(&f, &split, 1));
	}
}

static void an_error_from_nobody_is_dropped(void **state)
{
	static const char *const sources[] = {"127.0.0.1", "224.0.0.1", "255.255.255.255", OUR4};

	for (unsigned i = 0; i < RTE_DIM(sources); i++) {
		struct row row = {.name = sources[i], .type = 3, .tcp = 8};
		struct frame_spec spec;
		struct frame f;

		row.finding = NET_DROP;
		row.counter = COUNTER(net_bad_source);
		spec = spec_of(&row);
		spec.from = sources[i];
		frame_build(&f, &spec);
		check_row(&row, frame_mbuf_exact(&f, NULL, 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_is_believed_or_dropped_as_its_row_says),
		cmocka_unit_test(a_long_quote_is_summed_over_the_whole_chain),
		cmocka_unit_test(a_quote_beyond_the_first_segment_is_malformed),
		cmocka_unit_test(an_error_from_nobody_is_dropped),
	};

	return cmocka_run_group_tests(tests, frames_setup, frames_teardown);
}
