/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net_input: a table of frames, what is found in each, and where the dropped ones are counted.
 * Every frame lies in heap blocks of just its size, so a read beyond it ends the test under ASan.
 */
#include <string.h>
#include <time.h>

#include "common/random.h"
#include "frames.h"

/* How a row ends. */
#define FOUND	     NET_SEGMENT, 0
#define DROPPED(why) NET_DROP, COUNTER(net_##why)

#define BYTES(...)                                      \
	{                                               \
		sizeof((const uint8_t[]){__VA_ARGS__}), \
		{                                       \
			__VA_ARGS__                     \
		}                                       \
	}
#define ETH(at_, octets_, value_)                      \
	{                                              \
		LAYER_ETH, at_, octets_, value_, false \
	}
#define IP(at_, octets_, value_)                      \
	{                                             \
		LAYER_IP, at_, octets_, value_, false \
	}
#define L4(at_, octets_, value_)                      \
	{                                             \
		LAYER_L4, at_, octets_, value_, false \
	}
#define LATE(layer_, at_, octets_, value_)                 \
	{                                                  \
		LAYER_##layer_, at_, octets_, value_, true \
	}

/* Destination options of 8 octets: the next header, then PadN. */
#define PADDED(next) next, 0, 1, 4, 0, 0, 0, 0

struct row {
	const char *name;
	struct frame_spec spec;
	uint64_t ol_flags;
	enum net_finding finding;
	size_t counter;
};

/* clang-format off */
static const struct row rows[] = {
	/* What is found. */
	{"ipv4", {0}, 0, FOUND},
	{"ipv6", {.v6 = true}, 0, FOUND},
	{"payload", {.payload = 1000}, 0, FOUND},
	{"payload of odd length", {.v6 = true, .payload = 333}, 0, FOUND},
	{"padding of the link", {.padding = 6}, 0, FOUND},
	{"padding behind ipv6", {.v6 = true, .padding = 46}, 0, FOUND},
	{"our address of the other interface", {.to = OTHER_OUR4}, 0, FOUND},
	{"our ipv6 address of the other interface", {.v6 = true, .to = OTHER_OUR6}, 0, FOUND},
	{"ttl 0", {.patches = {IP(8, 1, 0)}}, 0, FOUND},
	{"ttl 255", {.patches = {IP(8, 1, 255)}}, 0, FOUND},
	{"hop limit 0", {.v6 = true, .patches = {IP(7, 1, 0)}}, 0, FOUND},
	{"traffic class and flow label", {.v6 = true, .patches = {IP(0, 4, 0x6ffabcde)}}, 0, FOUND},
	{"reserved bit of the fragment field", {.patches = {IP(6, 2, 0x8000)}}, 0, FOUND},
	{"without df", {.patches = {IP(6, 2, 0)}}, 0, FOUND},
	{"ipv4 options", {.between = BYTES(1, 1, 1, 0)}, 0, FOUND},
	{"ipv4 options, all 40 octets", {.between = {40, {1}}}, 0, FOUND},
	{"loose source route at its end",
	 {.between = BYTES(131, 7, 8, 192, 0, 2, 1, 0)}, 0, FOUND},
	{"tcp options", {.l4 = {60, {0x9c, 0x40, 0, 25, [12] = 0xf0, 0x10}}}, 0, FOUND},
	{"802.1q tag", {.n_tags = 1, .tag_kinds = {0x8100}, .tags = {0x6064}}, 0, FOUND},
	{"802.1ad tag", {.n_tags = 1, .tag_kinds = {0x88a8}, .tags = {0x0001}}, 0, FOUND},
	{"802.1ad and 802.1q",
	 {.v6 = true, .n_tags = 2, .tag_kinds = {0x88a8, 0x8100}, .tags = {5, 0xf00a}}, 0, FOUND},
	{"802.1q twice", {.n_tags = 2, .tag_kinds = {0x8100, 0x8100}, .tags = {5, 6}}, 0, FOUND},
	{"hop-by-hop options",
	 {.v6 = true, .first_header = 0, .between = BYTES(PADDED(6))}, 0, FOUND},
	{"router alert and an unknown option to pass over",
	 {.v6 = true, .first_header = 0,
	  .between = BYTES(6, 1, 5, 2, 0, 0, 0x1e, 3, 1, 2, 3, 1, 3, 0, 0, 0)}, 0, FOUND},
	{"routing header at its end",
	 {.v6 = true, .first_header = 43, .between = BYTES(6, 0, 4, 0, 0, 0, 0, 0)}, 0, FOUND},
	{"destination options", {.v6 = true, .first_header = 60, .between = BYTES(PADDED(6))}, 0, FOUND},
	{"16 options in a header",
	 {.v6 = true, .first_header = 60,
	  .between = BYTES(6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0)},
	 0, FOUND},
	{"8 extension headers",
	 {.v6 = true, .first_header = 0,
	  .between = BYTES(PADDED(60), PADDED(60), PADDED(60), PADDED(60), PADDED(60), PADDED(60),
			   PADDED(60), PADDED(6))}, 0, FOUND},
	{"link-local source", {.v6 = true, .from = "fe80::1"}, 0, FOUND},
	{"source in 240/4", {.from = "240.0.0.1"}, 0, FOUND},
	{"source next to multicast", {.from = "223.255.255.255"}, 0, FOUND},
	{"source next to loopback", {.from = "128.0.0.1"}, 0, FOUND},
	{"source next to 0/8", {.from = "1.0.0.0"}, 0, FOUND},
	{"source next to ::1", {.v6 = true, .from = "::2"}, 0, FOUND},
	{"checksums the port found good",
	 {.patches = {LATE(IP, 10, 2, 0xbad), LATE(L4, 16, 2, 0xbad)}},
	 RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD, FOUND},
	{"checksums not in the packet of a sender beside us",
	 {.patches = {LATE(IP, 10, 2, 0xbad), LATE(L4, 16, 2, 0xbad)}},
	 RTE_MBUF_F_RX_IP_CKSUM_NONE | RTE_MBUF_F_RX_L4_CKSUM_NONE, FOUND},
	{"ip checksum found good, tcp's unknown", {.patches = {LATE(IP, 10, 2, 0xbad)}},
	 RTE_MBUF_F_RX_IP_CKSUM_GOOD, FOUND},

	/* Not ours. */
	{"another mac", {.patches = {ETH(5, 1, 0x99)}}, 0, DROPPED(not_ours)},
	{"our other interface's mac", {.patches = {ETH(5, 1, 2)}}, 0, DROPPED(not_ours)},
	{"broadcast mac", {.patches = {ETH(0, 4, 0xffffffff), ETH(4, 2, 0xffff)}}, 0, DROPPED(not_ours)},
	{"multicast mac", {.patches = {ETH(0, 1, 0x03)}}, 0, DROPPED(not_ours)},
	{"arp", {.patches = {ETH(12, 2, 0x0806)}}, 0, DROPPED(not_ours)},
	{"802.3 length", {.patches = {ETH(12, 2, 40)}}, 0, DROPPED(not_ours)},
	{"three tags",
	 {.n_tags = 3, .tag_kinds = {0x88a8, 0x8100, 0x8100}, .tags = {1, 2, 3}}, 0, DROPPED(not_ours)},
	{"another address", {.to = "192.0.2.26"}, 0, DROPPED(not_ours)},
	{"limited broadcast", {.to = "255.255.255.255"}, 0, DROPPED(not_ours)},
	{"multicast address", {.to = "224.0.0.1"}, 0, DROPPED(not_ours)},
	{"another ipv6 address", {.v6 = true, .to = "2001:db8::26"}, 0, DROPPED(not_ours)},
	{"ipv6 multicast address", {.v6 = true, .to = "ff02::1"}, 0, DROPPED(not_ours)},
	{"our ipv4 address mapped on the wire",
	 {.v6 = true, .to = "::ffff:192.0.2.25"}, 0, DROPPED(not_ours)},

	/* Nobody's source. */
	{"group mac as source", {.patches = {ETH(6, 1, 0x01)}}, 0, DROPPED(bad_source)},
	{"source 0.0.0.0", {.from = "0.0.0.0"}, 0, DROPPED(bad_source)},
	{"source in 0/8", {.from = "0.255.255.255"}, 0, DROPPED(bad_source)},
	{"source 127.0.0.1", {.from = "127.0.0.1"}, 0, DROPPED(bad_source)},
	{"source in 127/8", {.from = "127.255.255.255"}, 0, DROPPED(bad_source)},
	{"first multicast source", {.from = "224.0.0.0"}, 0, DROPPED(bad_source)},
	{"last multicast source", {.from = "239.255.255.255"}, 0, DROPPED(bad_source)},
	{"broadcast source", {.from = "255.255.255.255"}, 0, DROPPED(bad_source)},
	{"our own address as source (LAND)", {.from = OUR4}, 0, DROPPED(bad_source)},
	{"another address of ours as source", {.from = OTHER_OUR4}, 0, DROPPED(bad_source)},
	{"source ::", {.v6 = true, .from = "::"}, 0, DROPPED(bad_source)},
	{"source ::1", {.v6 = true, .from = "::1"}, 0, DROPPED(bad_source)},
	{"ipv6 multicast source", {.v6 = true, .from = "ff02::1"}, 0, DROPPED(bad_source)},
	{"mapped source", {.v6 = true, .from = "::ffff:203.0.113.7"}, 0, DROPPED(bad_source)},
	{"mapped source of our own", {.v6 = true, .from = "::ffff:192.0.2.25"}, 0, DROPPED(bad_source)},
	{"our own ipv6 address as source (LAND)", {.v6 = true, .from = OUR6}, 0, DROPPED(bad_source)},

	/* Malformed. */
	{"no ethernet header", {.cut = 41}, 0, DROPPED(malformed)},
	{"no octet at all", {.cut = 54}, 0, DROPPED(malformed)},
	{"half a tag",
	 {.n_tags = 1, .tag_kinds = {0x8100}, .cut = 42}, 0, DROPPED(malformed)},
	{"half an ipv4 header", {.cut = 30}, 0, DROPPED(malformed)},
	{"version 6 in ipv4", {.patches = {IP(0, 1, 0x65)}}, 0, DROPPED(malformed)},
	{"version 0", {.patches = {IP(0, 1, 0x05)}}, 0, DROPPED(malformed)},
	{"ipv4 header of 16 octets", {.patches = {IP(0, 1, 0x44)}}, 0, DROPPED(malformed)},
	{"ipv4 header beyond the frame", {.cut = 15, .patches = {IP(0, 1, 0x4f)}}, 0, DROPPED(malformed)},
	{"total length below the header's", {.patches = {IP(2, 2, 19)}}, 0, DROPPED(malformed)},
	{"total length beyond the frame", {.patches = {IP(2, 2, 41)}}, 0, DROPPED(malformed)},
	{"frame cut short", {.payload = 10, .cut = 1}, 0, DROPPED(malformed)},
	{"no tcp header", {.patches = {IP(2, 2, 20)}}, 0, DROPPED(malformed)},
	{"tcp header cut short", {.patches = {IP(2, 2, 39)}}, 0, DROPPED(malformed)},
	{"tcp offset 0", {.patches = {L4(12, 1, 0)}}, 0, DROPPED(malformed)},
	{"tcp offset 4", {.patches = {L4(12, 1, 0x40)}}, 0, DROPPED(malformed)},
	{"tcp offset beyond the segment", {.patches = {L4(12, 1, 0x60)}}, 0, DROPPED(malformed)},
	{"tcp offset into padding",
	 {.padding = 40, .patches = {L4(12, 1, 0x60)}}, 0, DROPPED(malformed)},
	{"half an ipv6 header", {.v6 = true, .cut = 40}, 0, DROPPED(malformed)},
	{"version 4 in ipv6", {.v6 = true, .patches = {IP(0, 1, 0x40)}}, 0, DROPPED(malformed)},
	{"payload length beyond the frame", {.v6 = true, .patches = {IP(4, 2, 21)}}, 0, DROPPED(malformed)},
	{"payload length 0", {.v6 = true, .patches = {IP(4, 2, 0)}}, 0, DROPPED(malformed)},
	{"half an extension header",
	 {.v6 = true, .first_header = 60, .between = BYTES(PADDED(6)), .patches = {IP(4, 2, 1)}},
	 0, DROPPED(malformed)},
	{"extension header beyond the packet",
	 {.v6 = true, .first_header = 60, .between = BYTES(6, 9, 1, 4, 0, 0, 0, 0)},
	 0, DROPPED(malformed)},
	{"9 extension headers",
	 {.v6 = true, .first_header = 0,
	  .between = BYTES(PADDED(60), PADDED(60), PADDED(60), PADDED(60), PADDED(60), PADDED(60),
			   PADDED(60), PADDED(60), PADDED(6))}, 0, DROPPED(malformed)},
	{"hop-by-hop options behind others",
	 {.v6 = true, .first_header = 60, .between = BYTES(PADDED(0), PADDED(6))},
	 0, DROPPED(malformed)},
	{"routing header with a segment left",
	 {.v6 = true, .first_header = 43, .between = BYTES(6, 0, 4, 1, 0, 0, 0, 0)},
	 0, DROPPED(malformed)},
	{"unknown option that asks for a discard",
	 {.v6 = true, .first_header = 60, .between = BYTES(6, 0, 0x40, 4, 0, 0, 0, 0)},
	 0, DROPPED(malformed)},
	{"jumbo payload",
	 {.v6 = true, .first_header = 0, .between = BYTES(6, 0, 0xc2, 4, 0, 1, 0, 0)},
	 0, DROPPED(malformed)},
	{"option beyond its header",
	 {.v6 = true, .first_header = 60, .between = BYTES(6, 0, 1, 5, 0, 0, 0, 0)},
	 0, DROPPED(malformed)},
	{"option without a length",
	 {.v6 = true, .first_header = 60, .between = BYTES(6, 0, 1, 3, 0, 0, 0, 1)},
	 0, DROPPED(malformed)},
	{"17 options in a header",
	 {.v6 = true, .first_header = 60,
	  .between = BYTES(6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0)},
	 0, DROPPED(malformed)},

	/* Fragments. */
	{"first fragment", {.patches = {IP(6, 2, 0x2000)}}, 0, DROPPED(fragment)},
	{"later fragment", {.patches = {IP(6, 2, 0x2001)}}, 0, DROPPED(fragment)},
	{"last fragment", {.patches = {IP(6, 2, 0x0001)}}, 0, DROPPED(fragment)},
	{"ipv6 fragment",
	 {.v6 = true, .first_header = 44, .between = BYTES(6, 0, 0, 1, 0, 0, 0, 9)},
	 0, DROPPED(fragment)},
	{"ipv6 fragment behind options",
	 {.v6 = true, .first_header = 0, .between = BYTES(PADDED(44), 6, 0, 0, 1, 0, 0, 0, 9)},
	 0, DROPPED(fragment)},

	/* Not TCP. */
	{"udp", {.protocol = 17}, 0, DROPPED(not_tcp)},
	{"udp over ipv6", {.v6 = true, .protocol = 17}, 0, DROPPED(not_tcp)},
	{"icmpv6 over ipv4", {.protocol = 58}, 0, DROPPED(not_tcp)},
	{"icmp over ipv6", {.v6 = true, .protocol = 1}, 0, DROPPED(not_tcp)},
	{"no next header", {.v6 = true, .protocol = 59}, 0, DROPPED(not_tcp)},
	{"esp", {.v6 = true, .protocol = 50}, 0, DROPPED(not_tcp)},
	{"an extension header we do not know",
	 {.v6 = true, .first_header = 135, .between = BYTES(PADDED(6))}, 0, DROPPED(not_tcp)},

	/* Checksums. */
	{"wrong ip checksum", {.patches = {LATE(IP, 10, 2, 0x1234)}}, 0, DROPPED(bad_checksum)},
	{"wrong checksum over options",
	 {.between = BYTES(1, 1, 1, 0), .patches = {LATE(IP, 21, 1, 0)}}, 0, DROPPED(bad_checksum)},
	{"wrong tcp checksum", {.patches = {LATE(L4, 16, 2, 0x1234)}}, 0, DROPPED(bad_checksum)},
	{"wrong tcp checksum over ipv6",
	 {.v6 = true, .patches = {LATE(L4, 16, 2, 0x1234)}}, 0, DROPPED(bad_checksum)},
	{"no tcp checksum", {.patches = {LATE(L4, 16, 2, 0)}}, 0, DROPPED(bad_checksum)},
	{"last octet changed",
	 {.payload = 3, .patches = {LATE(L4, 22, 1, 0x99)}}, 0, DROPPED(bad_checksum)},
	{"ip checksum the port found bad", {0}, RTE_MBUF_F_RX_IP_CKSUM_BAD, DROPPED(bad_checksum)},
	{"tcp checksum the port found bad", {0}, RTE_MBUF_F_RX_L4_CKSUM_BAD, DROPPED(bad_checksum)},
	{"tcp checksum the port found bad over ipv6",
	 {.v6 = true}, RTE_MBUF_F_RX_L4_CKSUM_BAD, DROPPED(bad_checksum)},
	{"ip checksum found good, tcp's wrong", {.patches = {LATE(L4, 16, 2, 0x1234)}},
	 RTE_MBUF_F_RX_IP_CKSUM_GOOD, DROPPED(bad_checksum)},
};
/* clang-format on */

/* What a segment must say of the frame its row describes. */
static void check_segment(const struct row *row, const struct frame *f,
			  const struct net_segment *seg)
{
	const struct frame_spec *s = &row->spec;
	const uint8_t *ip = f->octets + f->ip_at;
	struct ip_addr to = address(s->to ? s->to : s->v6 ? OUR6 : OUR4);
	struct ip_addr from = address(s->from ? s->from : s->v6 ? PEER6 : PEER4);
	uint8_t octets[FRAME_MAX];

	assert_int_equal(seg->tcp_at, f->l4_at);
	assert_int_equal(seg->tcp_len, f->l4_len);
	assert_int_equal(seg->header_len, (f->octets[f->l4_at + 12] >> 4) * 4);
	assert_int_equal(seg->ecn, (s->v6 ? ip[1] >> 4 : ip[1]) & 3);
	assert_true(ip_addr_equal(&seg->flow.local, &to));
	assert_true(ip_addr_equal(&seg->flow.remote, &from));
	assert_int_equal(seg->flow.local_port, OUR_PORT);
	assert_int_equal(seg->flow.remote_port, PEER_PORT);
	assert_int_equal(seg->error, NET_ERROR_NONE);
	assert_memory_equal(seg->path.mac, peer_mac, 6);
	assert_int_equal(seg->path.port, 0);
	assert_int_equal(seg->path.n_vlans, s->n_tags);
	for (unsigned i = 0; i < s->n_tags; i++) {
		assert_int_equal(seg->path.vlan[i], s->tags[i]);
		assert_int_equal(seg->path.service_vlans >> i & 1, s->tag_kinds[i] == 0x88a8);
	}
	assert_int_equal(rte_pktmbuf_mtod_offset(seg->m, uint8_t *, 0)[f->l4_at], PEER_PORT >> 8);
	assert_int_equal(mbuf_octets(seg->m, octets), f->l4_at + f->l4_len);
	assert_int_equal(rte_mbuf_check(seg->m, 1, &(const char *){NULL}), 0);
}

static void check_frame(const struct row *row, const struct frame *f, struct rte_mbuf *m)
{
	struct postern_counters counters;
	struct net n;
	struct net_segment seg;
	enum net_finding finding;

	net_of_tests(&n, &counters);
	m->ol_flags |= row->ol_flags;
	finding = net_input(&n, m, &seg);
	if (finding != row->finding || (finding == NET_DROP && !counted(&counters, row->counter)))
		print_error("in the row '%s'\n", row->name);
	assert_int_equal(finding, row->finding);
	assert_int_equal(counted_in_all(&counters), finding == NET_DROP);
	if (finding == NET_DROP)
		assert_int_equal(counted(&counters, row->counter), 1);
	else
		check_segment(row, f, &seg);
	rte_pktmbuf_free(m);
}

static void every_frame_is_found_or_dropped_as_its_row_says(void **state)
{
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct frame f;

		frame_build(&f, &rows[i].spec);
		check_frame(&rows[i], &f, frame_mbuf_exact(&f, NULL, 0));
	}
}

/* Headers in the first segment, the payload and the padding anywhere. */
static void payload_may_lie_in_any_segment(void **state)
{
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct frame f;

		if (rows[i].finding != NET_SEGMENT)
			continue;
		for (uint16_t extra = 0; extra < 12; extra++) {
			struct frame_spec spec = rows[i].spec;
			const struct row row = {rows[i].name, spec, rows[i].ol_flags, FOUND};
			uint16_t splits[] = {0, extra, 0, 5, 1};

			spec.payload = 17;
			spec.padding = 9;
			frame_build(&f, &spec);
			splits[0] =
				(uint16_t)(f.l4_at + (spec.l4.len ? spec.l4.len : 20) + extra / 2);
			check_frame(&row, &f, frame_mbuf_exact(&f, splits, RTE_DIM(splits)));
		}
	}
}

static void headers_beyond_the_first_segment_are_malformed(void **state)
{
	static const struct frame_spec specs[] = {
		{.payload = 40},
		{.v6 = true, .payload = 40},
		{.between = BYTES(1, 1, 1, 0), .payload = 3},
		{.n_tags = 1, .tag_kinds = {0x8100}, .payload = 3},
		{.v6 = true, .first_header = 60, .between = BYTES(PADDED(6)), .payload = 3},
	};

	for (unsigned i = 0; i < RTE_DIM(specs); i++) {
		const struct row row = {"headers cut in two", specs[i], 0, DROPPED(malformed)};
		struct frame f;
		uint16_t end;

		frame_build(&f, &specs[i]);
		end = (uint16_t)(f.l4_at + 20);
		for (uint16_t split = 0; split < end; split++)
			check_frame(&row, &f, frame_mbuf_exact(&f, &split, 1));
	}
}

static void a_frame_cut_short_anywhere_is_malformed(void **state)
{
	for (unsigned i = 0; i < RTE_DIM(rows); i++) {
		struct frame f;

		if (rows[i].finding != NET_SEGMENT)
			continue;
		frame_build(&f, &rows[i].spec);
		for (uint32_t len = f.l4_at + f.l4_len; len-- > 0;) {
			const struct row row = {rows[i].name, rows[i].spec, 0, DROPPED(malformed)};

			f.len = len;
			check_frame(&row, &f, frame_mbuf_exact(&f, NULL, 0));
		}
	}
}

static void a_single_bit_flipped_in_an_ipv4_packet_is_noticed(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct net_segment seg;
	struct frame f;

	net_of_tests(&n, &counters);
	frame_build(&f, &(struct frame_spec){.payload = 21});
	for (uint32_t bit = f.ip_at * 8; bit < f.len * 8; bit++) {
		struct rte_mbuf *m;

		f.octets[bit / 8] ^= 1 << bit % 8;
		m = frame_mbuf_exact(&f, NULL, 0);
		assert_int_equal(net_input(&n, m, &seg), NET_DROP);
		rte_pktmbuf_free(m);
		f.octets[bit / 8] ^= 1 << bit % 8;
	}
}

static void padding_in_segments_of_its_own_is_freed(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct net_segment seg;
	struct frame f;
	struct rte_mbuf *m;
	uint16_t splits[3];
	unsigned before = rte_mempool_in_use_count(frames_pool);

	net_of_tests(&n, &counters);
	frame_build(&f, &(struct frame_spec){.payload = 10, .padding = 30});
	splits[0] = (uint16_t)(f.l4_at + 24);
	splits[1] = 6;
	splits[2] = 10;
	m = frame_mbuf(&f, splits, RTE_DIM(splits));
	assert_int_equal(m->nb_segs, 4);
	assert_int_equal(net_input(&n, m, &seg), NET_SEGMENT);
	assert_int_equal(m->nb_segs, 2);
	assert_int_equal(m->pkt_len, f.l4_at + 30);
	assert_int_equal(rte_mempool_in_use_count(frames_pool), before + 2);
	rte_pktmbuf_free(m);
}

/* The owner a frame is handed over to looks at it again. */
static void a_frame_looked_at_twice_is_found_twice_and_summed_once(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct net_segment first, second;
	struct frame f;
	struct rte_mbuf *m;

	net_of_tests(&n, &counters);
	frame_build(&f, &(struct frame_spec){.payload = 10, .padding = 30});
	m = frame_mbuf(&f, NULL, 0);
	assert_int_equal(net_input(&n, m, &first), NET_SEGMENT);
	assert_int_equal(m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK, RTE_MBUF_F_RX_IP_CKSUM_GOOD);
	assert_int_equal(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	assert_int_equal(net_input(&n, m, &second), NET_SEGMENT);
	assert_memory_equal(&first, &second, sizeof(first));
	rte_pktmbuf_free(m);
}

static void each_interface_has_its_own_mac(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct net_segment seg;
	struct frame f;
	struct rte_mbuf *m;

	net_of_tests(&n, &counters);
	frame_build(&f, &(struct frame_spec){0});
	m = frame_mbuf(&f, NULL, 0);
	m->port = 1;
	assert_int_equal(net_input(&n, m, &seg), NET_DROP);
	assert_int_equal(counters.net_not_ours, 1);
	memcpy(rte_pktmbuf_mtod(m, void *), other_mac, 6);
	assert_int_equal(net_input(&n, m, &seg), NET_SEGMENT);
	assert_int_equal(seg.path.port, 1);
	rte_pktmbuf_free(m);
}

/* Random octets behind a good start: nothing to be found but no harm either (ASan judges). */
static void noise_is_dropped(void **state)
{
	struct postern_counters counters;
	struct net n;
	uint64_t seed = test_seed((uint64_t)time(NULL));

	net_of_tests(&n, &counters);
	for (unsigned i = 0; i < 20000; i++) {
		struct frame_spec spec = {.v6 = i & 1, .payload = 30};
		struct net_segment seg;
		struct frame f;
		struct rte_mbuf *m;
		uint32_t from;

		frame_build(&f, &spec);
		from = (uint32_t)(test_random(&seed) % f.len);
		for (uint32_t at = from; at < f.len; at++)
			f.octets[at] = (uint8_t)test_random(&seed);
		m = frame_mbuf_exact(&f, NULL, 0);
		if (net_input(&n, m, &seg) == NET_SEGMENT)
			assert_true(seg.tcp_at + seg.tcp_len <= f.len);
		rte_pktmbuf_free(m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_is_found_or_dropped_as_its_row_says),
		cmocka_unit_test(payload_may_lie_in_any_segment),
		cmocka_unit_test(headers_beyond_the_first_segment_are_malformed),
		cmocka_unit_test(a_frame_cut_short_anywhere_is_malformed),
		cmocka_unit_test(a_single_bit_flipped_in_an_ipv4_packet_is_noticed),
		cmocka_unit_test(padding_in_segments_of_its_own_is_freed),
		cmocka_unit_test(a_frame_looked_at_twice_is_found_twice_and_summed_once),
		cmocka_unit_test(each_interface_has_its_own_mac),
		cmocka_unit_test(noise_is_dropped),
	};

	return cmocka_run_group_tests(tests, frames_setup, frames_teardown);
}
