/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A segment goes out.
 *
 * Thread: the owning worker; net_segment_max any. Time: none. Memory: none.
 * Rules: the mbuf's offload flags as DPDK's programmer's guide has them (the pseudo-header's sum
 * stands in the TCP checksum when the port is to finish it).
 */
#include <assert.h>

#include "net/checksum.h"
#include "net/parse.h"

enum { TCP_CHECKSUM_AT = 16, TCP_DATA_OFFSET_AT = 12 };

static void write_tcp_checksum(struct rte_mbuf *m, const struct flow *flow, bool by_port)
{
	uint8_t *tcp = rte_pktmbuf_mtod(m, uint8_t *);
	uint64_t sum = checksum_add_pseudo(&flow->local, &flow->remote, PROTOCOL_TCP, m->pkt_len);
	uint16_t field;

	if (by_port)
		field = checksum_fold(sum);
	else
		field = (uint16_t)~checksum_fold(sum + checksum_add_chain(m, 0, m->pkt_len));
	memcpy(tcp + TCP_CHECKSUM_AT, &field, sizeof(field));
}

/* Asks the port for the checksums it can make; forgets what the mbuf was used for before. */
static void request_offloads(const struct net_port *port, struct rte_mbuf *m, bool v4,
			     const struct net_path *path)
{
	const uint8_t *tcp = rte_pktmbuf_mtod(m, const uint8_t *);
	uint64_t flags = 0;

	if (v4 && port->tx_ipv4_checksum)
		flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (port->tx_tcp_checksum)
		flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	if (flags)
		flags |= v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	m->ol_flags = (m->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) | flags;
	m->tx_offload = 0;
	if (!flags)
		return;
	m->l2_len = ETHERNET_HEADER + VLAN_TAG * path->n_vlans;
	m->l3_len = v4 ? IP4_HEADER : IP6_HEADER;
	m->l4_len = (tcp[TCP_DATA_OFFSET_AT] >> 4) * 4;
}

void net_output(const struct net *n, struct rte_mbuf *m, const struct flow *flow,
		const struct net_path *path, uint8_t ecn)
{
	const struct net_port *port = &n->ports[path->port];
	bool v4 = ip_addr_is_v4(&flow->local);

	assert(path->port < n->n_ports && path->n_vlans <= NET_VLANS_MAX);
	assert(rte_pktmbuf_headroom(m) >= NET_HEADROOM && m->data_len >= TCP_HEADER);
	assert(ip_addr_is_v4(&flow->remote) == v4);

	request_offloads(port, m, v4, path);
	write_tcp_checksum(m, flow, port->tx_tcp_checksum);
	if (v4)
		net_ip4_write(m, flow, ecn, !port->tx_ipv4_checksum);
	else
		net_ip6_write(n, m, flow, ecn);
	net_eth_write(n, m, path, v4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
	m->port = path->port;
}

uint16_t net_segment_max(const struct net *n, uint8_t port, bool v4)
{
	assert(port < n->n_ports);
	return n->ports[port].mtu - (v4 ? IP4_HEADER : IP6_HEADER);
}
