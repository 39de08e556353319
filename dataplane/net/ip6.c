/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IPv6, both ways.
 *
 * Thread: the owning worker. Time: none. Memory: none.
 * Rules: RFC 8200, extension headers as section 4 says: hop-by-hop options only right behind the
 * IPv6 header, unknown options that ask for a discard get it, a routing header must have no
 * segments left (RFC 5095's type 0 is none the better for it). Bounds on their number as RFC 8504
 * 5.3 allows. Any hop limit is good. Deliberately not done: reassembly, not even of the single
 * fragment of RFC 6946, jumbograms, and parameter problems told to the sender.
 */
#include "net/checksum.h"
#include "net/parse.h"

enum {
	IP6_HOP_LIMIT = 64,
	IP6_FLOW_LABELS = 1 << 20,
	OPTION_PAD1 = 0,
	OPTION_ACTION = 0xc0, /* 0: pass over when unknown; else: discard (RFC 8200 4.2) */
};

static const uint8_t *take_header(struct cursor *c)
{
	const uint8_t *header = cursor_take(c, IP6_HEADER);

	return header && header[0] >> 4 == 6 ? header : NULL;
}

/* The mapped form stands for IPv4 in our tables: on a wire it would be taken for it. */
static bool is_never_on_a_wire(const struct ip_addr *a)
{
	return ip_addr_is_v4(a);
}

/* Whether every option of a hop-by-hop or destination options header may be passed over. */
static bool options_are_harmless(const uint8_t *extension, uint32_t len)
{
	struct cursor c = {extension + 2, len - 2, len - 2};

	for (int i = 0; c.left != 0; i++) {
		const uint8_t *type = cursor_take(&c, 1), *size;

		if (i == NET_OPTIONS_MAX || *type & OPTION_ACTION)
			return false;
		if (*type == OPTION_PAD1)
			continue;
		size = cursor_take(&c, 1);
		if (!size || !cursor_take(&c, *size))
			return false;
	}
	return true;
}

/* Passes one extension header; protocol is its kind, and on return that of what follows. */
static enum parsed skip_extension(struct cursor *c, uint8_t *protocol)
{
	struct cursor whole = *c;
	const uint8_t *extension = cursor_take(&whole, 2);
	uint32_t len;

	if (!extension)
		return PARSED_MALFORMED;
	len = (extension[1] + 1) * 8;
	if (!cursor_take(c, len))
		return PARSED_MALFORMED;
	if (*protocol == PROTOCOL_ROUTING) {
		if (extension[3] != 0)
			return PARSED_MALFORMED;
	} else if (!options_are_harmless(extension, len)) {
		return PARSED_MALFORMED;
	}
	*protocol = extension[0];
	return PARSED;
}

static enum parsed skip_extensions(struct cursor *c, uint8_t *protocol)
{
	for (int i = 0;; i++) {
		enum parsed found;

		switch (*protocol) {
		case PROTOCOL_HOP_BY_HOP:
			if (i != 0)
				return PARSED_MALFORMED;
			break;
		case PROTOCOL_ROUTING:
		case PROTOCOL_DESTINATION_OPTIONS:
			break;
		case PROTOCOL_FRAGMENT:
			return PARSED_FRAGMENT;
		default:
			return PARSED;
		}
		if (i == NET_EXTENSIONS_MAX)
			return PARSED_MALFORMED;
		found = skip_extension(c, protocol);
		if (found != PARSED)
			return found;
	}
}

enum parsed net_ip6_parse(const struct net *n, struct packet *p)
{
	const uint8_t *header = take_header(&p->c);
	enum parsed found;

	if (!header || !cursor_end(&p->c, load_be16(header + 4)))
		return PARSED_MALFORMED;
	p->from = ip_addr_from_v6(header + 8);
	p->to = ip_addr_from_v6(header + 24);
	if (is_never_on_a_wire(&p->to))
		return PARSED_NOT_OURS;
	if (is_never_on_a_wire(&p->from))
		return PARSED_BAD_SOURCE;
	found = net_check_addresses(n, &p->from, &p->to);
	if (found != PARSED)
		return found;
	p->protocol = header[6];
	p->ecn = header[1] >> 4 & 3;
	return skip_extensions(&p->c, &p->protocol);
}

/* We send no extension headers, and no router on the way may add one (RFC 8200 4). */
enum parsed net_ip6_parse_quote(struct cursor *c, struct flow *flow)
{
	const uint8_t *header = take_header(c);

	if (!header || load_be16(header + 4) < TCP_HEADER)
		return PARSED_MALFORMED;
	if (header[6] != PROTOCOL_TCP)
		return PARSED_NOT_TCP;
	flow->local = ip_addr_from_v6(header + 8);
	flow->remote = ip_addr_from_v6(header + 24);
	if (is_never_on_a_wire(&flow->local) || is_never_on_a_wire(&flow->remote))
		return PARSED_MALFORMED;
	return PARSED;
}

/* RFC 6437 3: stateless, hard to guess, not 0. Routers see it, so it must say nothing about the
 * hash that steers: another function under another key. */
static uint32_t flow_label(const struct net *n, const struct flow *flow)
{
	struct siphash_key key = {~n->hash_key.k0, n->hash_key.k1};

	return (uint32_t)(siphash24(&key, flow, sizeof(*flow)) % (IP6_FLOW_LABELS - 1)) + 1;
}

void net_ip6_write(const struct net *n, struct rte_mbuf *m, const struct flow *flow, uint8_t ecn)
{
	uint32_t len = m->pkt_len;
	uint8_t *header = push_header(m, IP6_HEADER);

	store_be32(header, 6u << 28 | (ecn & 3u) << 20 | flow_label(n, flow));
	store_be16(header + 4, (uint16_t)len);
	header[6] = PROTOCOL_TCP;
	header[7] = IP6_HOP_LIMIT;
	memcpy(header + 8, &flow->local, 16);
	memcpy(header + 24, &flow->remote, 16);
}
