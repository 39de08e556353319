/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames made from a description.
 *
 * Thread: any. Time: none. Memory: the caller's. Rules: RFC 791, 792, 8200, 9293, 1071.
 */
#include "frame.h"

#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>

struct ip_addr address_of(const char *text)
{
	uint8_t octets[16];

	if (inet_pton(AF_INET, text, octets) == 1)
		return ip_addr_from_v4(octets);
	if (inet_pton(AF_INET6, text, octets) != 1)
		abort();
	return ip_addr_from_v6(octets);
}

static uint8_t *frame_add(struct frame *f, size_t n)
{
	uint8_t *at = f->data + f->len;

	if (f->len + n > FRAME_MAX)
		abort();
	memset(at, 0, n);
	f->len += n;
	return at;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t sum16(uint32_t sum, const uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
	return sum;
}

static unsigned checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static bool is_v6(const struct frame_spec *spec)
{
	return strchr(spec->from, ':') != NULL;
}

static void add_link(struct frame *f, const struct frame_spec *spec)
{
	static const uint8_t some[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
	uint8_t *eth = frame_add(f, 14), *type = eth + 12;

	memcpy(eth, spec->to_mac ? spec->to_mac : some[0], 6);
	memcpy(eth + 6, spec->from_mac ? spec->from_mac : some[1], 6);
	for (int i = 0; i < FRAME_TAGS_MAX && spec->tags[i]; i++) {
		put16(type, spec->tags[i]);
		type = frame_add(f, 4);
		put16(type, spec->priority_tags ? 0 : 100 + i);
		type += 2;
	}
	put16(type, spec->ethertype ? spec->ethertype : is_v6(spec) ? 0x86dd : 0x0800);
}

static uint8_t protocol_of(const struct frame_spec *spec)
{
	return spec->protocol ? (uint8_t)spec->protocol : IPPROTO_TCP;
}

static uint8_t extension_protocol(char which)
{
	switch (which) {
	case 'H':
		return IPPROTO_HOPOPTS;
	case 'R':
		return IPPROTO_ROUTING;
	case 'D':
		return IPPROTO_DSTOPTS;
	case 'M':
		return IPPROTO_MH;
	case 'A':
		return IPPROTO_AH;
	case 'F':
		return IPPROTO_FRAGMENT;
	}
	abort();
	return 0;
}

static void add_ip4(struct frame *f, const struct frame_spec *spec)
{
	struct ip_addr from = address_of(spec->from), to = address_of(spec->to);
	uint8_t *ip = frame_add(f, 20 + spec->options);
	unsigned ihl = spec->ihl ? spec->ihl : (20 + spec->options) / 4;

	ip[0] = (uint8_t)((spec->version ? spec->version : 4) << 4 | ihl);
	put16(ip + 4, 0x1234);
	put16(ip + 6, (spec->more ? 0x2000u : 0) | spec->offset);
	ip[8] = 64;
	ip[9] = protocol_of(spec);
	memcpy(ip + 12, from.octets + 12, 4);
	memcpy(ip + 16, to.octets + 12, 4);
	memset(ip + 20, 1, spec->options); /* no operation */
}

static void add_extension(struct frame *f, const struct frame_spec *spec, char which, uint8_t next)
{
	uint8_t *e;

	if (which == 'F') {
		e = frame_add(f, 8);
		put16(e + 2, (unsigned)spec->offset << 3 | spec->more);
		e[5] = 77;
	} else if (which == 'A') {
		e = frame_add(f, 24);
		e[1] = 4;
	} else {
		e = frame_add(f, 8 + spec->extension_len);
		e[1] = (uint8_t)(spec->extension_len / 8);
		if (which == 'H' || which == 'D') {
			e[2] = 1; /* PadN */
			e[3] = 4;
		}
	}
	e[0] = next;
}

static void add_ip6(struct frame *f, const struct frame_spec *spec)
{
	struct ip_addr from = address_of(spec->from), to = address_of(spec->to);
	const char *e = spec->extensions ? spec->extensions : "";
	uint8_t *ip = frame_add(f, 40);

	ip[0] = (uint8_t)((spec->version ? spec->version : 6) << 4);
	ip[6] = *e ? extension_protocol(*e) : protocol_of(spec);
	ip[7] = 64;
	memcpy(ip + 8, from.octets, 16);
	memcpy(ip + 24, to.octets, 16);
	for (; *e; e++)
		add_extension(f, spec, *e, e[1] ? extension_protocol(e[1]) : protocol_of(spec));
}

static uint32_t pseudo_sum(const struct frame_spec *spec, uint8_t protocol, size_t len)
{
	struct ip_addr from = address_of(spec->from), to = address_of(spec->to);
	size_t at = is_v6(spec) ? 0 : 12;
	uint32_t sum = sum16(0, from.octets + at, 16 - at);

	return sum16(sum, to.octets + at, 16 - at) + protocol + (uint32_t)len;
}

static void add_tcp(struct frame *f, const struct frame_spec *spec)
{
	uint8_t *tcp = frame_add(f, 20 + spec->payload);

	put16(tcp, spec->from_port);
	put16(tcp + 2, spec->to_port);
	tcp[7] = 99;
	tcp[12] = 5 << 4;
	tcp[13] = spec->tcp_flags ? spec->tcp_flags : TCP_SYN;
	put16(tcp + 14, 65535);
	put16(tcp + 16, checksum(sum16(pseudo_sum(spec, IPPROTO_TCP, 20 + spec->payload), tcp,
				       20 + spec->payload)));
}

static void add_icmp(struct frame *f, const struct frame_spec *spec)
{
	size_t at = f->len, n = 0;
	struct frame quoted;

	frame_add(f, 8);
	f->data[at] = spec->icmp_type;
	if (spec->quotes) {
		frame_build(&quoted, spec->quotes);
		n = quoted.len - quoted.network_at;
		if (spec->quote_len && spec->quote_len < n)
			n = spec->quote_len;
		memcpy(frame_add(f, n), quoted.data + quoted.network_at, n);
	} else {
		frame_add(f, spec->payload);
	}
	put16(f->data + at + 2,
	      checksum(sum16(is_v6(spec) ? pseudo_sum(spec, IPPROTO_ICMPV6, f->len - at) : 0,
			     f->data + at, f->len - at)));
}

static void close_ip(struct frame *f, const struct frame_spec *spec)
{
	uint8_t *ip = f->data + f->network_at;
	size_t len = f->len - f->network_at;

	if (is_v6(spec)) {
		put16(ip + 4, (unsigned)((int)len - 40 + spec->length_lie));
	} else {
		put16(ip + 2, (unsigned)((int)len + spec->length_lie));
		put16(ip + 10, checksum(sum16(0, ip, 20 + spec->options)));
	}
}

void frame_build(struct frame *f, const struct frame_spec *spec)
{
	uint8_t protocol = protocol_of(spec);

	f->len = 0;
	add_link(f, spec);
	f->network_at = f->len;
	if (is_v6(spec))
		add_ip6(f, spec);
	else
		add_ip4(f, spec);
	f->transport_at = f->len;
	if (protocol == IPPROTO_TCP)
		add_tcp(f, spec);
	else if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6)
		add_icmp(f, spec);
	else
		put16(frame_add(f, 8 + spec->payload) + 2, spec->to_port);
	f->len -= spec->body_cut;
	close_ip(f, spec);
	frame_add(f, spec->padding);
}
