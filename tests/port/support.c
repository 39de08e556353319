/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the port room's tests share: frames and counters.
 *
 * Thread: the test's. Time: none. Memory: the caller's pools.
 * Rules: the checksums here are computed octet by octet, on a flat copy, so that they share
 * nothing with the code under test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "support.h"

enum { FLAT_MAX = 16384 };

static uint32_t sum_be16(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += (i & 1) ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static size_t l2_len(const struct test_frame *f)
{
	return 14 + 4u * f->n_vlans;
}

static size_t l3_len(const struct test_frame *f)
{
	return f->v6 ? 40 : 20;
}

static uint32_t tcp_sum(const uint8_t *flat, const struct test_frame *f)
{
	const uint8_t *ip = flat + l2_len(f), *tcp = ip + l3_len(f);
	uint32_t len = 20u + f->payload;
	uint32_t sum = f->v6 ? sum_be16(ip + 8, 32, 0) : sum_be16(ip + 12, 8, 0);

	return sum_be16(tcp, len, sum + 6 + len);
}

static size_t flat_write(uint8_t *p, const struct test_frame *f)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
	uint16_t l4 = (uint16_t)(20 + f->payload), vlan_type;
	size_t at = 12;
	uint8_t *ip, *tcp;
	uint32_t sum;

	memcpy(p, macs, sizeof(macs));
	for (unsigned i = 0; i < f->n_vlans; i++, at += 4) {
		vlan_type = i + 1 < f->n_vlans ? 0x88a8 : 0x8100;
		p[at] = (uint8_t)(vlan_type >> 8);
		p[at + 1] = (uint8_t)vlan_type;
		p[at + 2] = 0;
		p[at + 3] = (uint8_t)(100 + i);
	}
	p[at++] = f->v6 ? 0x86 : 0x08;
	p[at++] = f->v6 ? 0xdd : 0x00;
	ip = p + at;
	tcp = ip + l3_len(f);
	memset(ip, 0, l3_len(f) + 20);
	if (f->v6) {
		ip[0] = 0x60;
		ip[4] = (uint8_t)(l4 >> 8);
		ip[5] = (uint8_t)l4;
		ip[6] = 6;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		ip[23] = 1;
		ip[39] = 2;
	} else {
		ip[0] = 0x45;
		ip[2] = (uint8_t)((20 + l4) >> 8);
		ip[3] = (uint8_t)(20 + l4);
		ip[8] = 64;
		ip[9] = 6;
		ip[12] = ip[16] = 10;
		ip[15] = 1;
		ip[19] = 2;
	}
	tcp[0] = 0x9c;
	tcp[3] = 25;
	tcp[12] = 0x50;
	tcp[13] = 0x18;
	for (unsigned i = 0; i < f->payload; i++)
		tcp[20 + i] = (uint8_t)(f->seed + i * 7);
	if (!f->request_checksums) {
		sum = ~tcp_sum(p, f);
		tcp[16] = (uint8_t)(sum >> 8);
		tcp[17] = (uint8_t)sum;
		if (!f->v6) {
			sum = ~sum_be16(ip, 20, 0);
			ip[10] = (uint8_t)(sum >> 8);
			ip[11] = (uint8_t)sum;
		}
	}
	return l2_len(f) + l3_len(f) + l4;
}

static struct rte_mbuf *chain_new(struct rte_mempool *pool, const uint8_t *flat, size_t len,
				  size_t segment)
{
	struct rte_mbuf *head = NULL, *m;
	size_t at = 0, part;

	while (at < len) {
		/* Headers stay in the first segment. */
		part = RTE_MIN(segment && at > 0 ? segment : RTE_MAX(segment, (size_t)94),
			       len - at);
		if (!segment)
			part = len;
		m = rte_pktmbuf_alloc(pool);
		if (!m || !rte_pktmbuf_append(m, (uint16_t)part)) {
			rte_pktmbuf_free(m);
			rte_pktmbuf_free(head);
			return NULL;
		}
		memcpy(rte_pktmbuf_mtod(m, void *), flat + at, part);
		if (!head)
			head = m;
		else
			assert_int_equal(0, rte_pktmbuf_chain(head, m));
		at += part;
	}
	return head;
}

struct rte_mbuf *test_frame_new(struct rte_mempool *pool, const struct test_frame *frame)
{
	uint8_t flat[FLAT_MAX];
	size_t len = flat_write(flat, frame);
	struct rte_mbuf *m = chain_new(pool, flat, len, frame->segment);

	if (m && frame->request_checksums) {
		m->l2_len = l2_len(frame);
		m->l3_len = l3_len(frame);
		m->l4_len = 20;
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
		m->ol_flags |= frame->v6 ? RTE_MBUF_F_TX_IPV6
					 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
	}
	return m;
}

bool test_checksums_good(const struct rte_mbuf *m, const struct test_frame *frame)
{
	uint8_t space[FLAT_MAX];
	const uint8_t *flat = rte_pktmbuf_read(m, 0, rte_pktmbuf_pkt_len(m), space);

	if (!frame->v6 && sum_be16(flat + l2_len(frame), 20, 0) != 0xffff)
		return false;
	return tcp_sum(flat, frame) == 0xffff;
}

bool test_frames_equal(const struct rte_mbuf *a, const struct rte_mbuf *b)
{
	uint8_t space_a[FLAT_MAX], space_b[FLAT_MAX];
	uint32_t len = rte_pktmbuf_pkt_len(a);

	return len == rte_pktmbuf_pkt_len(b) &&
	       memcmp(rte_pktmbuf_read(a, 0, len, space_a), rte_pktmbuf_read(b, 0, len, space_b),
		      len) == 0;
}

void test_counters_init(struct test_counters *c)
{
	memset(c, 0, sizeof(*c));
	for (unsigned i = 0; i < PORT_QUEUES_MAX; i++)
		c->pointers[i] = &c->counters[i];
}

struct port *test_port_open(const struct port_config *config, struct test_counters *c)
{
	struct port *port = NULL;
	char error[256] = "";

	test_counters_init(c);
	if (port_open(&port, config, c->pointers, error, sizeof(error)))
		fail_msg("%s", error);
	return port;
}
