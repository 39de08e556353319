/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any octets as a frame for net_input, in any chain: what is found must lie within the frame.
 *
 * The input: an octet of flags (enum below), FUZZ_SPLITS octets that cut the frame into segments,
 * then the frame. Checksums are made right on request, since a fuzzer does not find them by chance.
 *
 * Thread: main. Time: none. Memory: a pool of a few mbufs; each input must give all of them back.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "common/eal.h"
#include "net/checksum.h"
#include "net/net.h"
#include "net/rss.h"
#include "octets.h"

enum {
	FUZZ_SPLITS = 3,
	FUZZ_FRAME_MAX = 4096,
	HEADERS_MAX = 128, /* headroom and headers of an answer */

	/* the octet of flags */
	FUZZ_IP_GOOD = 1 << 0,
	FUZZ_IP_BAD = 1 << 1, /* with GOOD: not in the packet, but intact */
	FUZZ_L4_GOOD = 1 << 2,
	FUZZ_L4_BAD = 1 << 3,
	FUZZ_OTHER_PORT = 1 << 4,
	FUZZ_REPAIR = 1 << 5,
	FUZZ_OFFLOAD = 1 << 6, /* our interfaces fill in checksums */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static struct rte_mempool *pool;
static struct net_rss card; /* of the first interface */
/* What it may be instead: of one version alone, of none. */
static struct net_rss card4, card6, deaf;

static const struct net world = {
	.n_ports = 2,
	.n_addresses = 3,
	.ports = {{.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500},
		  {.mac = {2, 0, 0, 0, 0, 2}, .mtu = 9000}},
	.addresses = {{.ip = {{[10] = 0xff, 0xff, 192, 0, 2, 25}}},
		      {.ip = {{0x20, 0x01, 0x0d, 0xb8, [15] = 0x25}}},
		      {.ip = {{[10] = 0xff, 0xff, 198, 51, 100, 25}}, .port = 1}},
	.hash_key = {1, 2},
	.n_workers = 4,
	.active_first = 20000,
	.active_slice = 1000,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t queues[] = {3, 1, 0, 2};
	uint8_t key[NET_RSS_KEY6];

	test_eal_start("fuzz-net");
	pool = rte_pktmbuf_pool_create("fuzz", POOL_BUFFERS, 0, 0,
				       FUZZ_FRAME_MAX + HEADERS_MAX + RTE_PKTMBUF_HEADROOM,
				       SOCKET_ID_ANY);
	assert(pool);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 37 + 51);
	assert(net_rss_init(&card, key, sizeof(key), queues, sizeof(queues), true, true));
	assert(net_rss_init(&card4, key, NET_RSS_KEY4, queues, sizeof(queues), true, true));
	assert(net_rss_init(&card6, key, sizeof(key), queues, sizeof(queues), false, true));
	assert(!net_rss_init(&deaf, key, sizeof(key), queues, sizeof(queues), false, false));
	return 0;
}

/* --- the frame ------------------------------------------------------------------------------ */

static struct rte_mbuf *chain_of(const uint8_t *frame, size_t len, const uint8_t *splits)
{
	struct rte_mbuf *head = NULL;

	for (unsigned i = 0; i <= FUZZ_SPLITS; i++) {
		size_t here = i < FUZZ_SPLITS && splits[i] ? RTE_MIN(splits[i], len) : len;
		struct rte_mbuf *m = block_mbuf(pool, frame, here);

		assert(m);
		if (head)
			assert(rte_pktmbuf_chain(head, m) == 0);
		else
			head = m;
		frame += here;
		len -= here;
		if (len == 0)
			break;
	}
	return head;
}

/* --- checksums made right, in the plain cases ----------------------------------------------- */

static size_t checksum_at(uint8_t protocol)
{
	switch (protocol) {
	case 1:
	case 58:
		return 2;
	case 6:
		return 16;
	}
	return 0;
}

static void repair_l4(uint8_t *l4, size_t len, uint8_t protocol, uint64_t pseudo)
{
	size_t at = checksum_at(protocol);
	uint16_t sum;

	if (at == 0 || len < at + 2)
		return;
	memset(l4 + at, 0, 2);
	sum = (uint16_t)~checksum_fold(checksum_add(l4, len) + pseudo);
	memcpy(l4 + at, &sum, 2);
}

static void repair_ip4(uint8_t *ip, size_t left)
{
	size_t header = (ip[0] & 0x0f) * 4, total = ip[2] << 8 | ip[3];
	struct ip_addr from = ip_addr_from_v4(ip + 12), to = ip_addr_from_v4(ip + 16);
	uint64_t pseudo = 0;
	uint16_t sum;

	if (header < 20 || total < header || total > left)
		return;
	memset(ip + 10, 0, 2);
	sum = (uint16_t)~checksum_fold(checksum_add(ip, header));
	memcpy(ip + 10, &sum, 2);
	if (ip[9] == 6)
		pseudo = checksum_add_pseudo(&from, &to, 6, (uint32_t)(total - header));
	repair_l4(ip + header, total - header, ip[9], pseudo);
}

static void repair_ip6(uint8_t *ip, size_t left)
{
	size_t len = ip[4] << 8 | ip[5], at = 40;
	uint8_t protocol = ip[6];
	struct ip_addr from = ip_addr_from_v6(ip + 8), to = ip_addr_from_v6(ip + 24);

	if (40 + len > left)
		return;
	left = 40 + len;
	while ((protocol == 0 || protocol == 43 || protocol == 60) && at + 8 <= left) {
		protocol = ip[at];
		at += (size_t)(ip[at + 1] + 1) * 8;
	}
	if (at < left)
		repair_l4(ip + at, left - at, protocol,
			  checksum_add_pseudo(&from, &to, protocol, (uint32_t)(left - at)));
}

static void repair(uint8_t *frame, size_t len)
{
	size_t at = 12;

	while (at + 6 <= len && ((frame[at] == 0x81 && frame[at + 1] == 0x00) ||
				 (frame[at] == 0x88 && frame[at + 1] == 0xa8)))
		at += 4;
	at += 2;
	if (at + 20 <= len && frame[at] >> 4 == 4)
		repair_ip4(frame + at, len - at);
	else if (at + 40 <= len && frame[at] >> 4 == 6)
		repair_ip6(frame + at, len - at);
}

/* --- what must hold ------------------------------------------------------------------------- */

static bool is_ours(const struct net *n, const struct ip_addr *a)
{
	for (uint32_t i = 0; i < n->n_addresses; i++) {
		if (ip_addr_equal(&n->addresses[i].ip, a))
			return true;
	}
	return false;
}

static uint64_t counted(const struct postern_counters *c)
{
	const uint64_t *counter = (const uint64_t *)c;
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(*c) / sizeof(*counter); i++)
		sum += counter[i];
	return sum;
}

static void check_mbuf(const struct rte_mbuf *m)
{
	const char *reason = "";

	if (rte_mbuf_check(m, 1, &reason) == 0)
		return;
	fprintf(stderr, "mbuf: %s\n", reason);
	abort();
}

/* A port chosen by the queue its answers come to leads to the queue that the whole flow's hash
 * says; and whatever its interface knows to say, a flow has an owner. */
static void check_steering(const struct net *n, const struct net_segment *seg)
{
	const struct net_rss *const others[] = {NULL, &card4, &card6, &deaf};
	struct net other = *n;
	struct net_rss_choice choice;

	net_rss_choice_init(&choice, &card, &seg->flow);
	assert(net_rss_choice_queue(&choice, seg->flow.local_port) ==
	       net_rss_queue(&card, net_rss_hash(&card, &seg->flow)));
	assert(net_owner(n, &seg->flow, seg->hash) < n->n_workers);
	for (size_t i = 0; i < RTE_DIM(others); i++) {
		other.ports[0].rss = others[i];
		assert(net_owner(&other, &seg->flow, seg->hash) < n->n_workers);
	}
}

static void check_common(const struct net *n, const struct net_segment *seg)
{
	assert(is_ours(n, &seg->flow.local));
	assert(ip_addr_is_v4(&seg->flow.local) == ip_addr_is_v4(&seg->flow.remote));
	assert(seg->hash == net_hash(n, &seg->flow));
	check_steering(n, seg);
	assert(seg->path.port == seg->m->port);
	assert(seg->path.n_vlans <= NET_VLANS_MAX);
	assert(seg->path.service_vlans < 1 << seg->path.n_vlans);
	assert((seg->path.mac[0] & 1) == 0);
	assert(seg->ecn <= 3);
}

static void check_segment(const struct net *n, const struct net_segment *seg)
{
	const struct rte_mbuf *m = seg->m;

	check_common(n, seg);
	assert(seg->error == NET_ERROR_NONE);
	assert(!is_ours(n, &seg->flow.remote));
	assert(seg->header_len >= 20 && seg->header_len <= 60 && seg->header_len % 4 == 0);
	assert(seg->header_len <= seg->tcp_len);
	assert(seg->tcp_at >= 14 + 20 && seg->tcp_at + seg->header_len <= m->data_len);
	assert((uint32_t)seg->tcp_at + seg->tcp_len == m->pkt_len);
	assert((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN);
}

static void check_error(const struct net *n, const struct net_segment *seg)
{
	bool v4 = ip_addr_is_v4(&seg->flow.local);

	check_common(n, seg);
	assert(seg->error == NET_ERROR_UNREACHABLE || seg->error == NET_ERROR_REFUSED ||
	       seg->error == NET_ERROR_TOO_BIG);
	if (seg->error != NET_ERROR_TOO_BIG)
		assert(seg->error_mtu == 0);
	else
		assert(seg->error_mtu >= (v4 ? 68 : 1280) || (v4 && seg->error_mtu == 0));
}

/* The segment sent back where it came from must be one the peer takes in. */
static void check_answer(const struct net *n, const struct net_segment *seg)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct postern_counters counters = {0};
	struct net peer = *n;
	struct net_segment back;
	uint32_t len = RTE_MIN(seg->tcp_len, FUZZ_FRAME_MAX);
	uint8_t *tcp;

	assert(m);
	tcp = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)len);
	memcpy(tcp, rte_pktmbuf_mtod_offset(seg->m, uint8_t *, seg->tcp_at), seg->header_len);
	memset(tcp + seg->header_len, 0x5a, len - seg->header_len);
	memset(tcp + 16, 0, 2);
	net_output(n, m, &seg->flow, &seg->path, seg->ecn);
	if (n->ports[seg->path.port].tx_tcp_checksum) {
		/* The peer's interface has looked at what ours filled in. */
		assert(m->l2_len + m->l3_len + m->l4_len + len - seg->header_len == m->pkt_len);
		m->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	}

	peer.counters = &counters;
	peer.addresses[0].ip = seg->flow.remote;
	peer.n_addresses = 1;
	memcpy(peer.ports[m->port].mac, seg->path.mac, 6);
	assert(net_input(&peer, m, &back) == NET_SEGMENT);
	assert(ip_addr_equal(&back.flow.local, &seg->flow.remote));
	assert(ip_addr_equal(&back.flow.remote, &seg->flow.local));
	assert(back.tcp_len == len && back.header_len == seg->header_len);
	assert(back.path.n_vlans == seg->path.n_vlans);
	assert(back.path.service_vlans == seg->path.service_vlans);
	assert(memcmp(back.path.vlan, seg->path.vlan, sizeof(back.path.vlan)) == 0);
	rte_pktmbuf_free(m);
}

/* Not by memcmp: what lies between the fields is anybody's. */
static bool same(const struct net_segment *a, const struct net_segment *b)
{
	return a->m == b->m && memcmp(&a->flow, &b->flow, sizeof(a->flow)) == 0 &&
	       a->hash == b->hash && a->tcp_at == b->tcp_at && a->tcp_len == b->tcp_len &&
	       a->header_len == b->header_len && a->ecn == b->ecn && a->error == b->error &&
	       a->error_mtu == b->error_mtu && a->error_seq == b->error_seq &&
	       memcmp(a->path.mac, b->path.mac, sizeof(a->path.mac)) == 0 &&
	       a->path.port == b->path.port && a->path.n_vlans == b->path.n_vlans &&
	       a->path.service_vlans == b->path.service_vlans &&
	       memcmp(a->path.vlan, b->path.vlan, sizeof(a->path.vlan)) == 0;
}

static void look_at(struct rte_mbuf *m, bool offload)
{
	struct postern_counters counters = {0};
	struct net n = world;
	struct net_segment seg, again;
	enum net_finding found;

	n.counters = &counters;
	for (unsigned i = 0; i < NET_INDIRECTION; i++)
		n.owner_of[i] = (uint8_t)(i % n.n_workers);
	n.ports[0].rss = &card;
	for (uint32_t i = 0; i < n.n_ports; i++)
		n.ports[i].tx_ipv4_checksum = n.ports[i].tx_tcp_checksum = offload;
	check_mbuf(m);
	found = net_input(&n, m, &seg);
	check_mbuf(m);
	assert(counted(&counters) == (found != NET_SEGMENT));
	assert(counters.net_icmp_error == (found == NET_ERROR));
	if (found == NET_DROP)
		return;
	assert(seg.m == m);
	if (found == NET_SEGMENT)
		check_segment(&n, &seg);
	else
		check_error(&n, &seg);
	assert(net_input(&n, m, &again) == found);
	assert(same(&seg, &again));
	if (found == NET_SEGMENT)
		check_answer(&n, &seg);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	uint8_t frame[FUZZ_FRAME_MAX];
	struct rte_mbuf *m;
	uint8_t flags;

	if (len < 1 + FUZZ_SPLITS || len > 1 + FUZZ_SPLITS + sizeof(frame))
		return -1;
	flags = input[0];
	len -= 1 + FUZZ_SPLITS;
	memcpy(frame, input + 1 + FUZZ_SPLITS, len);
	if (flags & FUZZ_REPAIR)
		repair(frame, len);
	m = chain_of(frame, len, input + 1);
	m->port = flags & FUZZ_OTHER_PORT ? 1 : 0;
	m->ol_flags |= (flags & FUZZ_IP_GOOD ? RTE_MBUF_F_RX_IP_CKSUM_GOOD : 0) |
		       (flags & FUZZ_IP_BAD ? RTE_MBUF_F_RX_IP_CKSUM_BAD : 0) |
		       (flags & FUZZ_L4_GOOD ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0) |
		       (flags & FUZZ_L4_BAD ? RTE_MBUF_F_RX_L4_CKSUM_BAD : 0);
	look_at(m, flags & FUZZ_OFFLOAD);
	rte_pktmbuf_free(m);
	assert(rte_mempool_in_use_count(pool) == 0);
	return 0;
}
