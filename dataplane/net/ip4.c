/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IPv4, both ways.
 *
 * Thread: the owning worker. Time: none. Memory: none.
 * Rules: RFC 791, RFC 1122 3.2.1, RFC 6864 (an atomic datagram's ID means nothing: 0). Any TTL
 * is good. Options are passed over: none of them changes what we do, and a source route is not
 * reversed in the answer (RFC 7126 4.3 and 4.4 over RFC 1122 4.2.3.8). Deliberately not done:
 * reassembly.
 */
#include "net/checksum.h"
#include "net/parse.h"

enum {
	IP4_DONT_FRAGMENT = 0x4000,
	IP4_FRAGMENT = 0x3fff, /* more fragments, or an offset */
	IP4_TTL = 64,	       /* RFC 1700 */
};

/* The header with its options, len octets in all; the cursor passes it. NULL: malformed. */
static const uint8_t *take_header(struct cursor *c, uint32_t *len)
{
	struct cursor whole = *c;
	const uint8_t *header = cursor_take(&whole, IP4_HEADER);

	if (!header || header[0] >> 4 != 4)
		return NULL;
	*len = (header[0] & 0x0f) * 4;
	if (*len < IP4_HEADER)
		return NULL;
	return cursor_take(c, *len);
}

static bool checksum_is_good(struct rte_mbuf *m, const uint8_t *header, uint32_t len)
{
	switch (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) {
	case RTE_MBUF_F_RX_IP_CKSUM_GOOD:
	case RTE_MBUF_F_RX_IP_CKSUM_NONE: /* not in the packet, but the header is intact */
		return true;
	case RTE_MBUF_F_RX_IP_CKSUM_BAD:
		return false;
	}
	if (checksum_fold(checksum_add(header, len)) != CHECKSUM_GOOD)
		return false;
	m->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	return true;
}

enum parsed net_ip4_parse(const struct net *n, struct packet *p)
{
	uint32_t len, total;
	const uint8_t *header = take_header(&p->c, &len);
	enum parsed found;

	if (!header)
		return PARSED_MALFORMED;
	total = load_be16(header + 2);
	if (total < len || !cursor_end(&p->c, total - len))
		return PARSED_MALFORMED;
	p->from = ip_addr_from_v4(header + 12);
	p->to = ip_addr_from_v4(header + 16);
	found = net_check_addresses(n, &p->from, &p->to);
	if (found != PARSED)
		return found;
	if (!checksum_is_good(p->m, header, len))
		return PARSED_BAD_CHECKSUM;
	if (load_be16(header + 6) & IP4_FRAGMENT)
		return PARSED_FRAGMENT;
	p->protocol = header[9];
	p->ecn = header[1] & 3;
	return PARSED;
}

/* The router that quotes us may have changed TTL, TOS and checksum, and sends as much of the
 * packet as it likes; the length must still be one we can have sent. */
enum parsed net_ip4_parse_quote(struct cursor *c, struct flow *flow)
{
	uint32_t len;
	const uint8_t *header = take_header(c, &len);

	if (!header || load_be16(header + 2) < len + TCP_HEADER)
		return PARSED_MALFORMED;
	if (load_be16(header + 6) & IP4_FRAGMENT)
		return PARSED_FRAGMENT;
	if (header[9] != PROTOCOL_TCP)
		return PARSED_NOT_TCP;
	flow->local = ip_addr_from_v4(header + 12);
	flow->remote = ip_addr_from_v4(header + 16);
	return PARSED;
}

void net_ip4_write(struct rte_mbuf *m, const struct flow *flow, uint8_t ecn, bool checksum)
{
	uint32_t total = m->pkt_len + IP4_HEADER;
	uint8_t *header = push_header(m, IP4_HEADER);
	uint16_t sum;

	header[0] = 4 << 4 | IP4_HEADER / 4;
	header[1] = ecn & 3;
	store_be16(header + 2, (uint16_t)total);
	store_be16(header + 4, 0);
	store_be16(header + 6, IP4_DONT_FRAGMENT);
	header[8] = IP4_TTL;
	header[9] = PROTOCOL_TCP;
	store_be16(header + 10, 0);
	memcpy(header + 12, flow->local.octets + 12, 4);
	memcpy(header + 16, flow->remote.octets + 12, 4);
	if (!checksum)
		return;
	sum = (uint16_t)~checksum_fold(checksum_add(header, IP4_HEADER));
	memcpy(header + 10, &sum, sizeof(sum));
}
