/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ethernet and VLAN tags, both ways.
 *
 * Thread: the owning worker. Time: none. Memory: none.
 * Rules: Ethernet II (IEEE 802.3 3.2), 802.1Q and 802.1ad tags. No TCP unicast comes to a group
 * address, and none from one: an answer to it would be a broadcast. Tags a driver has stripped
 * into the mbuf are not looked at, because port never asks for that.
 */
#include <assert.h>

#include "net/parse.h"

static bool is_group_address(const uint8_t *mac)
{
	return mac[0] & 1;
}

static bool is_vlan(uint16_t ethertype)
{
	return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN;
}

static enum parsed parse_vlans(struct packet *p, struct net_path *path)
{
	const uint8_t *tag;

	while (is_vlan(p->ethertype)) {
		if (path->n_vlans == NET_VLANS_MAX)
			return PARSED_NOT_OURS;
		tag = cursor_take(&p->c, VLAN_TAG);
		if (!tag)
			return PARSED_MALFORMED;
		if (p->ethertype == ETHERTYPE_SERVICE_VLAN)
			path->service_vlans |= 1 << path->n_vlans;
		path->vlan[path->n_vlans++] = load_be16(tag);
		p->ethertype = load_be16(tag + 2);
	}
	return PARSED;
}

enum parsed net_eth_parse(const struct net *n, struct packet *p, struct net_path *path)
{
	const uint8_t *header = cursor_take(&p->c, ETHERNET_HEADER);

	assert(p->m->port < n->n_ports);
	if (p->m->port >= n->n_ports)
		return PARSED_NOT_OURS;
	if (!header)
		return PARSED_MALFORMED;
	if (memcmp(header, n->ports[p->m->port].mac, sizeof(path->mac)) != 0)
		return PARSED_NOT_OURS;
	if (is_group_address(header + 6))
		return PARSED_BAD_SOURCE;
	memcpy(path->mac, header + 6, sizeof(path->mac));
	path->port = (uint8_t)p->m->port;
	p->ethertype = load_be16(header + 12);
	return parse_vlans(p, path);
}

/* Each tag names the kind of what follows it, so tags are written from the innermost out. */
static uint16_t write_vlan(struct rte_mbuf *m, const struct net_path *path, unsigned i,
			   uint16_t ethertype)
{
	uint8_t *tag = push_header(m, VLAN_TAG);

	store_be16(tag, path->vlan[i]);
	store_be16(tag + 2, ethertype);
	return path->service_vlans & 1 << i ? ETHERTYPE_SERVICE_VLAN : ETHERTYPE_VLAN;
}

void net_eth_write(const struct net *n, struct rte_mbuf *m, const struct net_path *path,
		   uint16_t ethertype)
{
	uint8_t *header;

	for (unsigned i = path->n_vlans; i-- > 0;)
		ethertype = write_vlan(m, path, i, ethertype);
	header = push_header(m, ETHERNET_HEADER);
	memcpy(header, path->mac, 6);
	memcpy(header + 6, n->ports[path->port].mac, 6);
	store_be16(header + 12, ethertype);
}
