/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames for tests of net: built, put into mbufs, taken out again. */
#include "frames.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>

#include "common/eal.h"

const uint8_t our_mac[6] = {0x02, 0, 0, 0, 0, 0x01};
const uint8_t other_mac[6] = {0x02, 0, 0, 0, 0, 0x02};
const uint8_t peer_mac[6] = {0x02, 0, 0, 0, 0, 0x77};

struct rte_mempool *frames_pool;

enum { POOL_BUFFERS = 255, DEFAULT_SEQ = 0x01020304, DEFAULT_ACK = 0x05060708 };

struct ip_addr address(const char *text)
{
	uint8_t octets[16];

	if (inet_pton(AF_INET, text, octets) == 1)
		return ip_addr_from_v4(octets);
	assert_int_equal(inet_pton(AF_INET6, text, octets), 1);
	return ip_addr_from_v6(octets);
}

static void put(struct frame *f, const void *octets, uint32_t len)
{
	assert_true(f->len + len <= FRAME_MAX);
	memcpy(f->octets + f->len, octets, len);
	f->len += len;
}

static void put_number(struct frame *f, uint32_t value, unsigned octets)
{
	while (octets-- > 0) {
		uint8_t octet = (uint8_t)(value >> 8 * octets);

		put(f, &octet, 1);
	}
}

static void set_number(uint8_t *p, uint32_t value, unsigned octets)
{
	while (octets-- > 0)
		*p++ = (uint8_t)(value >> 8 * octets);
}

static void put_eth(struct frame *f, const struct frame_spec *s)
{
	put(f, our_mac, 6);
	put(f, peer_mac, 6);
	for (unsigned i = 0; i < s->n_tags; i++) {
		put_number(f, s->tag_kinds[i], 2);
		put_number(f, s->tags[i], 2);
	}
	put_number(f, s->v6 ? 0x86dd : 0x0800, 2);
}

static uint32_t l4_len(const struct frame_spec *s)
{
	return (s->l4.len ? s->l4.len : 20) + s->payload;
}

static uint8_t protocol(const struct frame_spec *s)
{
	return s->protocol ? s->protocol : 6;
}

static void put_ip4(struct frame *f, const struct frame_spec *s)
{
	struct ip_addr from = address(s->from ? s->from : PEER4);
	struct ip_addr to = address(s->to ? s->to : OUR4);
	uint32_t header = 20 + s->between.len;

	put_number(f, 0x40 | header / 4, 1);
	put_number(f, 0, 1);
	put_number(f, header + l4_len(s), 2);
	put_number(f, 0x1234, 2);
	put_number(f, 0x4000, 2);
	put_number(f, 55, 1);
	put_number(f, protocol(s), 1);
	put_number(f, 0, 2);
	put(f, from.octets + 12, 4);
	put(f, to.octets + 12, 4);
	put(f, s->between.octets, s->between.len);
}

static void put_ip6(struct frame *f, const struct frame_spec *s)
{
	struct ip_addr from = address(s->from ? s->from : PEER6);
	struct ip_addr to = address(s->to ? s->to : OUR6);

	put_number(f, 0x60000000, 4);
	put_number(f, s->between.len + l4_len(s), 2);
	put_number(f, s->between.len ? s->first_header : protocol(s), 1);
	put_number(f, 55, 1);
	put(f, from.octets, 16);
	put(f, to.octets, 16);
	put(f, s->between.octets, s->between.len);
}

static void put_l4(struct frame *f, const struct frame_spec *s)
{
	if (s->l4.len) {
		put(f, s->l4.octets, s->l4.len);
	} else {
		put_number(f, PEER_PORT, 2);
		put_number(f, OUR_PORT, 2);
		put_number(f, DEFAULT_SEQ, 4);
		put_number(f, DEFAULT_ACK, 4);
		put_number(f, 0x5010, 2);
		put_number(f, 1000, 2);
		put_number(f, 0, 4);
	}
	for (unsigned i = 0; i < s->payload; i++)
		put_number(f, i * 7 + 1, 1);
}

static void apply_patches(struct frame *f, const struct frame_spec *s, bool after)
{
	const uint32_t layer_at[] = {[LAYER_IP] = f->ip_at, [LAYER_L4] = f->l4_at};

	for (unsigned i = 0; i < PATCHES_MAX; i++) {
		const struct patch *p = &s->patches[i];

		if (p->octets && p->after == after)
			set_number(f->octets + layer_at[p->layer] + p->at, p->value, p->octets);
	}
}

uint16_t plain_checksum(const uint8_t *octets, size_t len, uint32_t initial)
{
	uint32_t sum = initial;

	for (size_t i = 0; i < len; i++) {
		sum += i % 2 == 0 ? (uint32_t)octets[i] << 8 : octets[i];
		sum = (sum & 0xffff) + (sum >> 16);
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint32_t plain_pseudo_sum(bool v6, const uint8_t *from, const uint8_t *to, uint8_t kind,
			  uint32_t len)
{
	unsigned octets = v6 ? 16 : 4;
	uint32_t sum = kind + (len >> 16) + (len & 0xffff);

	for (unsigned i = 0; i < octets; i += 2)
		sum += (from[i] << 8 | from[i + 1]) + (to[i] << 8 | to[i + 1]);
	return sum;
}

static void set_checksums(struct frame *f, const struct frame_spec *s)
{
	uint8_t *ip = f->octets + f->ip_at, *l4 = f->octets + f->l4_at;
	uint8_t kind = protocol(s);
	uint32_t at = kind == 6 ? 16 : 2, initial = 0;

	if (!s->v6)
		set_number(ip + 10, plain_checksum(ip, f->l4_at - f->ip_at, 0), 2);
	if (f->l4_len < at + 2)
		return;
	if (s->v6)
		initial = plain_pseudo_sum(true, ip + 8, ip + 24, kind, f->l4_len);
	else if (kind == 6)
		initial = plain_pseudo_sum(false, ip + 12, ip + 16, kind, f->l4_len);
	set_number(l4 + at, plain_checksum(l4, f->l4_len, initial), 2);
}

void frame_build(struct frame *f, const struct frame_spec *s)
{
	memset(f, 0, sizeof(*f));
	put_eth(f, s);
	f->ip_at = f->len;
	if (s->v6)
		put_ip6(f, s);
	else
		put_ip4(f, s);
	f->l4_at = f->len;
	put_l4(f, s);
	f->l4_len = f->len - f->l4_at;
	apply_patches(f, s, false);
	set_checksums(f, s);
	apply_patches(f, s, true);
	for (unsigned i = 0; i < s->padding; i++)
		put_number(f, 0xa5, 1);
	assert_true(s->cut <= f->len);
	f->len -= s->cut;
}

static void append(struct rte_mbuf *m, const uint8_t *octets, uint16_t len)
{
	char *room = rte_pktmbuf_append(m, len);

	assert_non_null(room);
	memcpy(room, octets, len);
}

static struct rte_mbuf *new_segment(const uint8_t *octets, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool);

	assert_non_null(m);
	append(m, octets, (uint16_t)len);
	return m;
}

/* What DPDK shares between users of a block; apart from it, out of the way of an overrun. */
struct exact_block {
	struct rte_mbuf_ext_shared_info info;
	uint8_t *octets;
};

static void free_exact(void *octets, void *opaque)
{
	struct exact_block *block = opaque;

	free(block->octets);
	free(block);
}

static struct rte_mbuf *new_exact_segment(const uint8_t *octets, uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(frames_pool);
	struct exact_block *block = malloc(sizeof(*block));

	assert_non_null(m);
	assert_non_null(block);
	block->octets = malloc(len);
	memcpy(block->octets, octets, len);
	block->info.free_cb = free_exact;
	block->info.fcb_opaque = block;
	rte_mbuf_ext_refcnt_set(&block->info, 1);
	rte_pktmbuf_attach_extbuf(m, block->octets, (rte_iova_t)block->octets, (uint16_t)len,
				  &block->info);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	return m;
}

static struct rte_mbuf *chain_of(const struct frame *f, const uint16_t *splits, unsigned n_splits,
				 struct rte_mbuf *(*new_one)(const uint8_t *, uint32_t))
{
	struct rte_mbuf *head = NULL;
	uint32_t done = 0;

	for (unsigned i = 0; i <= n_splits; i++) {
		uint32_t rest = f->len - done, len = rest;
		struct rte_mbuf *m;

		if (i < n_splits && splits[i] < rest)
			len = splits[i];
		m = new_one(f->octets + done, len);
		done += len;
		if (!head)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
	}
	head->port = 0;
	return head;
}

struct rte_mbuf *frame_mbuf(const struct frame *f, const uint16_t *splits, unsigned n_splits)
{
	return chain_of(f, splits, n_splits, new_segment);
}

struct rte_mbuf *frame_mbuf_exact(const struct frame *f, const uint16_t *splits, unsigned n_splits)
{
	return chain_of(f, splits, n_splits, new_exact_segment);
}

uint32_t mbuf_octets(const struct rte_mbuf *m, uint8_t *octets)
{
	uint32_t len = 0;

	for (; m; m = m->next) {
		assert_true(len + m->data_len <= FRAME_MAX);
		memcpy(octets + len, rte_pktmbuf_mtod(m, void *), m->data_len);
		len += m->data_len;
	}
	return len;
}

void net_of_tests(struct net *n, struct postern_counters *counters)
{
	memset(n, 0, sizeof(*n));
	memset(counters, 0, sizeof(*counters));
	n->n_ports = 2;
	memcpy(n->ports[0].mac, our_mac, 6);
	memcpy(n->ports[1].mac, other_mac, 6);
	n->ports[0].mtu = 1500;
	n->ports[1].mtu = 9000;
	n->n_addresses = 4;
	n->addresses[0].ip = address(OUR4);
	n->addresses[1].ip = address(OUR6);
	n->addresses[2].ip = address(OTHER_OUR4);
	n->addresses[3].ip = address(OTHER_OUR6);
	n->addresses[2].port = n->addresses[3].port = 1;
	n->n_workers = 1;
	n->hash_key = (struct siphash_key){0x0706050403020100, 0x0f0e0d0c0b0a0908};
	n->counters = counters;
}

uint64_t counted(const struct postern_counters *c, size_t counter)
{
	return *(const uint64_t *)((const char *)c + counter);
}

uint64_t counted_in_all(const struct postern_counters *c)
{
	uint64_t sum = 0;

	for (size_t at = 0; at < sizeof(*c); at += sizeof(uint64_t))
		sum += counted(c, at);
	return sum;
}

int frames_setup(void **state)
{
	test_eal_start("net");
	frames_pool = rte_pktmbuf_pool_create("frames", POOL_BUFFERS, 0, 0,
					      RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return frames_pool ? 0 : -1;
}

/* No test may have kept a buffer. */
int frames_teardown(void **state)
{
	unsigned in_use = rte_mempool_in_use_count(frames_pool);

	rte_mempool_free(frames_pool);
	rte_eal_cleanup();
	if (in_use != 0)
		print_error("%u buffers were not freed\n", in_use);
	return in_use == 0 ? 0 : -1;
}
