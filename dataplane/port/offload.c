/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a NIC with checksum offloads and RSS does to a frame, for the in-memory form.
 *
 * Thread: the queue's worker. Time: none. Memory: none; frames are changed in place.
 * Rules: IPv4 header checksum (RFC 1071), TCP over either IP, VLAN tags up to QinQ. A frame that
 * is anything else arrives with its flags unknown, as from a NIC. The requester's l2_len and
 * l3_len are believed as far as the first segment reaches. RSS: Toeplitz over addresses and ports
 * of TCP, whole or not, by DPDK's rte_softrss.
 */
#include <string.h>

#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_thash.h>

#include "port/driver.h"

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The sum over len octets from `at`, which the frame has. Not rte_raw_cksum_mbuf: in DPDK 22.11 it
 * swaps the sum of a segment at an odd offset before folding it, and the carries are lost. */
static uint16_t sum_of(const struct rte_mbuf *m, uint32_t at, uint32_t len)
{
	uint32_t sum = 0, done = 0;

	for (; m && done < len; m = m->next) {
		uint32_t have = rte_pktmbuf_data_len(m), part;
		uint16_t segment;

		if (at >= have) {
			at -= have;
			continue;
		}
		part = RTE_MIN(have - at, len - done);
		segment = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, at), part);
		sum += (done & 1) ? rte_bswap16(segment) : segment;
		done += part;
		at = 0;
	}
	return fold(sum);
}

/* The sum over pseudo header and TCP, not yet complemented; 0xffff: a good one. False: the
 * lengths do not fit the frame. */
static bool tcp_sum(const struct rte_mbuf *m, uint32_t l2, uint32_t l3, bool v4, uint16_t *sum)
{
	const void *ip = rte_pktmbuf_mtod_offset(m, const void *, l2);
	uint32_t l3_payload, len;
	uint16_t pseudo;

	if (v4)
		l3_payload = rte_be_to_cpu_16(((const struct rte_ipv4_hdr *)ip)->total_length);
	else
		l3_payload = sizeof(struct rte_ipv6_hdr) +
			     rte_be_to_cpu_16(((const struct rte_ipv6_hdr *)ip)->payload_len);
	if (l3_payload < l3 + sizeof(struct rte_tcp_hdr) ||
	    l2 + l3_payload > rte_pktmbuf_pkt_len(m))
		return false;
	len = l3_payload - l3;
	if (v4) {
		pseudo = rte_ipv4_phdr_cksum(ip, 0);
	} else {
		/* Of the upper-layer packet: RFC 8200, section 8.1. */
		struct rte_ipv6_hdr header = *(const struct rte_ipv6_hdr *)ip;

		header.payload_len = rte_cpu_to_be_16((uint16_t)len);
		header.proto = IPPROTO_TCP;
		pseudo = rte_ipv6_phdr_cksum(&header, 0);
	}
	*sum = fold((uint32_t)sum_of(m, l2 + l3, len) + pseudo);
	return true;
}

void offload_fill(struct rte_mbuf *m)
{
	bool v4 = m->ol_flags & RTE_MBUF_F_TX_IPV4;
	uint32_t l2 = m->l2_len, l3 = m->l3_len;
	uint16_t sum;

	if (l2 + l3 + sizeof(struct rte_tcp_hdr) > rte_pktmbuf_data_len(m))
		return;
	if (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, l2);

		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	if ((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM) {
		struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, l2 + l3);

		tcp->cksum = 0;
		if (tcp_sum(m, l2, l3, v4, &sum))
			tcp->cksum = (uint16_t)~sum;
	}
}

void offload_check(struct rte_mbuf *m)
{
	struct rte_net_hdr_lens at;
	uint32_t type = rte_net_get_ptype(m, &at, RTE_PTYPE_ALL_MASK);
	bool v4 = RTE_ETH_IS_IPV4_HDR(type);
	uint16_t sum;

	if (!v4 && !RTE_ETH_IS_IPV6_HDR(type))
		return;
	if ((uint32_t)at.l2_len + at.l3_len > rte_pktmbuf_data_len(m))
		return;
	if (v4) {
		const struct rte_ipv4_hdr *ip =
			rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, at.l2_len);

		if (at.l3_len < sizeof(*ip))
			return;
		m->ol_flags |= rte_raw_cksum(ip, at.l3_len) == 0xffff ? RTE_MBUF_F_RX_IP_CKSUM_GOOD
								      : RTE_MBUF_F_RX_IP_CKSUM_BAD;
	}
	if ((type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP &&
	    tcp_sum(m, at.l2_len, at.l3_len, v4, &sum))
		m->ol_flags |=
			sum == 0xffff ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_RX_L4_CKSUM_BAD;
}

/* n words in the machine's order, as rte_softrss takes them. */
static void words_read(uint32_t *words, const struct rte_mbuf *m, uint32_t at, uint32_t n)
{
	memcpy(words, rte_pktmbuf_mtod_offset(m, const uint8_t *, at), n * sizeof(words[0]));
	for (uint32_t i = 0; i < n; i++)
		words[i] = rte_be_to_cpu_32(words[i]);
}

bool offload_hash(const struct port_rss *rss, const struct rte_mbuf *m, uint32_t *hash)
{
	struct rte_net_hdr_lens at;
	uint32_t type = rte_net_get_ptype(m, &at, RTE_PTYPE_ALL_MASK);
	uint32_t words[RTE_THASH_V6_L4_LEN], key[RTE_THASH_V6_L4_LEN + 1];
	bool v4 = RTE_ETH_IS_IPV4_HDR(type);
	uint32_t addresses = v4 ? offsetof(struct rte_ipv4_hdr, src_addr)
				: offsetof(struct rte_ipv6_hdr, src_addr);
	uint32_t n = v4 ? RTE_THASH_V4_L3_LEN : RTE_THASH_V6_L3_LEN;

	if ((type & RTE_PTYPE_L4_MASK) != RTE_PTYPE_L4_TCP || !(v4 ? rss->tcp4 : rss->tcp6))
		return false;
	if (at.l3_len < addresses + 4 * n ||
	    at.l2_len + at.l3_len + sizeof(words[0]) > rte_pktmbuf_data_len(m))
		return false;
	words_read(words, m, at.l2_len + addresses, n);
	words_read(words + n, m, at.l2_len + at.l3_len, 1);
	memcpy(key, rss->key, sizeof(key));
	*hash = rte_softrss(words, n + 1, (const uint8_t *)key);
	return true;
}
