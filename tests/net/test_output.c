/* SPDX-License-Identifier: BSD-3-Clause */
/* net_output: what we send is what a peer's net_input takes in, and it says what it must. */
#include <string.h>

#include "frames.h"

static const struct siphash_key other_key = {1, 2};

/* A segment as TCP hands it over: payload octets behind a header of 20 octets, chained when
 * split is less than all of it. */
static struct rte_mbuf *new_tcp(const struct flow *flow, uint16_t payload, uint16_t split)
{
	struct frame f = {.len = 20 + payload};
	uint8_t *tcp = f.octets;
	struct rte_mbuf *m;

	tcp[0] = flow->local_port >> 8;
	tcp[1] = flow->local_port & 0xff;
	tcp[2] = flow->remote_port >> 8;
	tcp[3] = flow->remote_port & 0xff;
	tcp[7] = 1;
	tcp[12] = 0x50;
	tcp[13] = 0x18;
	for (unsigned i = 0; i < payload; i++)
		tcp[20 + i] = (uint8_t)(i * 13 + 5);
	m = frame_mbuf(&f, &split, 1);
	memset(m->buf_addr, 0xa5, rte_pktmbuf_headroom(m));
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD; /* from an earlier life */
	return m;
}

static struct flow flow_of(bool v6)
{
	return (struct flow){
		.local = address(v6 ? OUR6 : OUR4),
		.remote = address(v6 ? PEER6 : PEER4),
		.local_port = OUR_PORT,
		.remote_port = PEER_PORT,
	};
}

static struct net_path path_of(void)
{
	struct net_path path = {.port = 0};

	memcpy(path.mac, peer_mac, 6);
	return path;
}

/* The peer, who sees the same network from the other end. */
static void net_of_peer(struct net *n, struct postern_counters *counters)
{
	net_of_tests(n, counters);
	memcpy(n->ports[0].mac, peer_mac, 6);
	n->addresses[0].ip = address(PEER4);
	n->addresses[1].ip = address(PEER6);
	n->n_addresses = 2;
}

static void round_trip(bool v6, uint16_t payload, uint16_t split, const struct net_path *path)
{
	struct postern_counters counters, peer_counters;
	struct net us, peer;
	struct flow flow = flow_of(v6);
	struct net_segment seg;
	struct rte_mbuf *m = new_tcp(&flow, payload, split);
	uint8_t before[FRAME_MAX], after[FRAME_MAX];

	net_of_tests(&us, &counters);
	net_of_peer(&peer, &peer_counters);
	mbuf_octets(m, before);
	net_output(&us, m, &flow, path, 2);
	assert_int_equal(m->port, 0);
	assert_int_equal(net_input(&peer, m, &seg), NET_SEGMENT);
	assert_int_equal(seg.tcp_len, 20 + payload);
	assert_int_equal(seg.ecn, 2);
	assert_true(ip_addr_equal(&seg.flow.local, &flow.remote));
	assert_true(ip_addr_equal(&seg.flow.remote, &flow.local));
	assert_int_equal(seg.flow.local_port, flow.remote_port);
	assert_int_equal(seg.flow.remote_port, flow.local_port);
	assert_memory_equal(seg.path.mac, our_mac, 6);
	assert_int_equal(seg.path.n_vlans, path->n_vlans);
	assert_int_equal(seg.path.service_vlans, path->service_vlans);
	assert_memory_equal(seg.path.vlan, path->vlan, sizeof(path->vlan));
	assert_int_equal(mbuf_octets(m, after), (uint32_t)seg.tcp_at + seg.tcp_len);
	memset(after + seg.tcp_at + 16, 0, 2);
	assert_memory_equal(before, after + seg.tcp_at, seg.tcp_len);
	rte_pktmbuf_free(m);
}

static void what_we_send_a_peer_takes_in(void **state)
{
	struct net_path path = path_of();

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t payload = 0; payload < 70; payload++)
			round_trip(v6, payload, 20 + payload, &path);
		round_trip(v6, 1440, 1460, &path);
	}
}

static void chains_are_summed_whatever_their_splits(void **state)
{
	struct net_path path = path_of();

	for (int v6 = 0; v6 < 2; v6++) {
		for (uint16_t split = 20; split < 60; split++)
			round_trip(v6, 41, split, &path);
	}
}

static void vlan_tags_go_out_as_they_came(void **state)
{
	struct net_path path = path_of();

	for (path.n_vlans = 1; path.n_vlans <= NET_VLANS_MAX; path.n_vlans++) {
		path.vlan[path.n_vlans - 1] = (uint16_t)(0xb064 + path.n_vlans);
		for (unsigned kinds = 0; kinds < 1u << path.n_vlans; kinds++) {
			path.service_vlans = kinds & 3;
			round_trip(false, 9, 29, &path);
			round_trip(true, 9, 29, &path);
		}
	}
}

static struct rte_mbuf *output_over(const struct net *n, bool v6, uint16_t payload,
				    const struct net_path *path)
{
	struct flow flow = flow_of(v6);
	struct rte_mbuf *m = new_tcp(&flow, payload, 20 + payload);

	net_output(n, m, &flow, path, 1);
	return m;
}

static void output(const struct net *n, bool v6, uint16_t payload, struct frame *f, uint64_t *flags)
{
	struct net_path path = path_of();
	struct rte_mbuf *m = output_over(n, v6, payload, &path);

	f->len = mbuf_octets(m, f->octets);
	*flags = m->ol_flags;
	if (m->ol_flags) {
		assert_int_equal(m->l2_len, 14);
		assert_int_equal(m->l3_len, v6 ? 40 : 20);
		assert_int_equal(m->l4_len, 20);
	}
	rte_pktmbuf_free(m);
}

static void an_ipv4_header_is_atomic_and_never_fragmented(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct frame f;
	uint64_t flags;
	const uint8_t *ip = f.octets + 14;
	/* version and length, ECN, total length, ID 0, DF, TTL 64, TCP */
	static const uint8_t expected[10] = {0x45, 1, 0, 50, 0, 0, 0x40, 0, 64, 6};

	net_of_tests(&n, &counters);
	output(&n, false, 10, &f, &flags);
	assert_int_equal(flags, 0);
	assert_memory_equal(f.octets, peer_mac, 6);
	assert_memory_equal(f.octets + 6, our_mac, 6);
	assert_memory_equal(ip, expected, sizeof(expected));
	assert_int_equal(plain_checksum(ip, 20, 0), 0);
	assert_int_equal(
		plain_checksum(ip + 20, 30, plain_pseudo_sum(false, ip + 12, ip + 16, 6, 30)), 0);
}

static void an_ipv6_header_carries_a_flow_label_of_its_flow(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct frame f, again, rekeyed;
	uint64_t flags;
	const uint8_t *ip = f.octets + 14;

	net_of_tests(&n, &counters);
	output(&n, true, 11, &f, &flags);
	assert_int_equal(flags, 0);
	assert_int_equal(ip[0], 0x60);
	assert_int_equal(ip[1] & 0xf0, 1 << 4);
	assert_int_not_equal((ip[1] & 0x0f) << 16 | ip[2] << 8 | ip[3], 0);
	assert_int_equal(ip[4] << 8 | ip[5], 31);
	assert_int_equal(ip[6], 6);
	assert_int_equal(ip[7], 64);
	assert_int_equal(
		plain_checksum(ip + 40, 31, plain_pseudo_sum(true, ip + 8, ip + 24, 6, 31)), 0);

	output(&n, true, 11, &again, &flags);
	assert_memory_equal(f.octets, again.octets, f.len);
	n.hash_key = other_key;
	output(&n, true, 11, &rekeyed, &flags);
	assert_memory_not_equal(ip, rekeyed.octets + 14, 4);
}

static void ports_that_can_are_asked_for_the_checksums(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct frame f;
	uint64_t flags;
	const uint8_t *ip = f.octets + 14, *tcp = ip + 20;

	net_of_tests(&n, &counters);
	n.ports[0].tx_ipv4_checksum = n.ports[0].tx_tcp_checksum = true;
	output(&n, false, 10, &f, &flags);
	assert_int_equal(flags,
			 RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(ip[10] << 8 | ip[11], 0);
	/* the pseudo-header's sum, not complemented */
	assert_int_equal(tcp[16] << 8 | tcp[17],
			 (uint16_t)~plain_checksum(
				 NULL, 0, plain_pseudo_sum(false, ip + 12, ip + 16, 6, 30)));

	output(&n, true, 10, &f, &flags);
	assert_int_equal(flags, RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM);

	n.ports[0].tx_tcp_checksum = false;
	output(&n, false, 10, &f, &flags);
	assert_int_equal(flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM);
	assert_int_equal(plain_checksum(tcp, 30, plain_pseudo_sum(false, ip + 12, ip + 16, 6, 30)),
			 0);
	output(&n, true, 10, &f, &flags);
	assert_int_equal(flags, 0);

	n.ports[0].tx_ipv4_checksum = false;
	n.ports[0].tx_tcp_checksum = true;
	output(&n, false, 10, &f, &flags);
	assert_int_equal(flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	assert_int_equal(plain_checksum(ip, 20, 0), 0);
}

static void ports_are_told_of_the_tags_before_the_ip_header(void **state)
{
	struct postern_counters counters;
	struct net n;
	struct net_path path = path_of();

	net_of_tests(&n, &counters);
	n.ports[0].tx_tcp_checksum = true;
	for (path.n_vlans = 0; path.n_vlans <= NET_VLANS_MAX; path.n_vlans++) {
		struct rte_mbuf *m = output_over(&n, true, 0, &path);

		assert_int_equal(m->l2_len, 14 + 4 * path.n_vlans);
		rte_pktmbuf_free(m);
	}
}

static void the_largest_segment_fills_the_mtu(void **state)
{
	struct postern_counters counters;
	struct net n;

	net_of_tests(&n, &counters);
	assert_int_equal(net_segment_max(&n, 0, true), 1480);
	assert_int_equal(net_segment_max(&n, 0, false), 1460);
	assert_int_equal(net_segment_max(&n, 1, true), 8980);
	assert_int_equal(net_segment_max(&n, 1, false), 8960);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_we_send_a_peer_takes_in),
		cmocka_unit_test(chains_are_summed_whatever_their_splits),
		cmocka_unit_test(vlan_tags_go_out_as_they_came),
		cmocka_unit_test(an_ipv4_header_is_atomic_and_never_fragmented),
		cmocka_unit_test(an_ipv6_header_carries_a_flow_label_of_its_flow),
		cmocka_unit_test(ports_that_can_are_asked_for_the_checksums),
		cmocka_unit_test(ports_are_told_of_the_tags_before_the_ip_header),
		cmocka_unit_test(the_largest_segment_fills_the_mtu),
	};

	return cmocka_run_group_tests(tests, frames_setup, frames_teardown);
}
