/* SPDX-License-Identifier: BSD-3-Clause */
/* A TCP segment in a frame. Thread, Time, Memory, Rules: segment.h. */
#include "segment.h"

#include <string.h>

enum {
	ETHERTYPE_IP4 = 0x0800,
	ETHERTYPE_IP6 = 0x86dd,
	PROTOCOL_TCP = 6,
	TTL = 64,
	DONT_FRAGMENT = 0x4000,
};

static uint32_t sum_of(const uint8_t *p, uint32_t len)
{
	uint32_t sum = 0;

	for (; len > 1; len -= 2, p += 2)
		sum += load16(p);
	return len ? sum + (uint32_t)(*p << 8) : sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void write_ip(uint8_t *ip, const struct segment_ends *ends)
{
	if (ends->v6) {
		store32(ip, 6u << 28);
		ip[6] = PROTOCOL_TCP;
		ip[7] = TTL;
		memcpy(ip + 8, ends->from, 16);
		memcpy(ip + 24, ends->to, 16);
		return;
	}
	memset(ip, 0, SEGMENT_IP4);
	ip[0] = 4 << 4 | SEGMENT_IP4 / 4;
	store16(ip + 6, DONT_FRAGMENT);
	ip[8] = TTL;
	ip[9] = PROTOCOL_TCP;
	memcpy(ip + 12, ends->from, 4);
	memcpy(ip + 16, ends->to, 4);
}

static void write_tcp(uint8_t *tcp, const struct segment_ends *ends, const struct segment *s)
{
	store16(tcp, ends->from_port);
	store16(tcp + 2, ends->to_port);
	store32(tcp + 4, s->seq);
	store32(tcp + 8, s->ack);
	tcp[12] = (uint8_t)((SEGMENT_TCP + s->options_len) / 4 << 4);
	tcp[13] = s->flags;
	store16(tcp + 14, s->window);
	store32(tcp + 16, 0);
	memcpy(tcp + SEGMENT_TCP, s->options, s->options_len);
	if (s->payload_len)
		memcpy(tcp + SEGMENT_TCP + s->options_len, s->payload, s->payload_len);
}

void segment_write(struct frame *f, const struct segment_ends *ends, const struct segment *s)
{
	memcpy(f->octets, ends->to_mac, 6);
	memcpy(f->octets + 6, ends->from_mac, 6);
	store16(f->octets + 12, ends->v6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
	f->v6 = ends->v6;
	f->tcp_at = SEGMENT_IP_AT + (ends->v6 ? SEGMENT_IP6 : SEGMENT_IP4);
	f->len = f->tcp_at + SEGMENT_TCP + s->options_len + s->payload_len;
	write_ip(f->octets + SEGMENT_IP_AT, ends);
	write_tcp(f->octets + f->tcp_at, ends, s);
	frame_set_length(f);
	frame_set_checksums(f);
}

void frame_set_length(struct frame *f)
{
	uint32_t header = SEGMENT_IP_AT + (f->v6 ? SEGMENT_IP6 : SEGMENT_IP4);

	if (f->len < header)
		return;
	if (f->v6)
		store16(f->octets + SEGMENT_IP_AT + 4, f->len - header);
	else
		store16(f->octets + SEGMENT_IP_AT + 2, f->len - SEGMENT_IP_AT);
}

static void set_ip4_checksum(uint8_t *ip, uint32_t len)
{
	store16(ip + 10, 0);
	store16(ip + 10, folded(sum_of(ip, len)));
}

void frame_set_checksums(struct frame *f)
{
	uint8_t *ip = f->octets + SEGMENT_IP_AT, *tcp = f->octets + f->tcp_at;
	uint32_t len, sum;

	if (f->len < f->tcp_at)
		return;
	if (!f->v6)
		set_ip4_checksum(ip, f->tcp_at - SEGMENT_IP_AT);
	if (f->len < f->tcp_at + SEGMENT_TCP)
		return;
	len = f->len - f->tcp_at;
	sum = PROTOCOL_TCP + len;
	sum += f->v6 ? sum_of(ip + 8, 32) : sum_of(ip + 12, 8);
	store16(tcp + 16, 0);
	store16(tcp + 16, folded(sum + sum_of(tcp, len)));
}

/* The IP payload, past headers of the plain kind; 0: not such a packet. */
static uint32_t read_ip(const uint8_t *ip, uint32_t len, struct segment_ends *ends, uint32_t *end)
{
	if (ends->v6) {
		if (len < SEGMENT_IP6 || ip[6] != PROTOCOL_TCP)
			return 0;
		memcpy(ends->from, ip + 8, 16);
		memcpy(ends->to, ip + 24, 16);
		*end = SEGMENT_IP6 + load16(ip + 4);
		return SEGMENT_IP6;
	}
	if (len < SEGMENT_IP4 || ip[0] != (4 << 4 | SEGMENT_IP4 / 4) || ip[9] != PROTOCOL_TCP)
		return 0;
	memcpy(ends->from, ip + 12, 4);
	memcpy(ends->to, ip + 16, 4);
	*end = load16(ip + 2);
	return SEGMENT_IP4;
}

bool segment_read(const uint8_t *octets, uint32_t len, struct segment_ends *ends, struct segment *s)
{
	uint32_t at, end, header;
	const uint8_t *ip = octets + SEGMENT_IP_AT, *tcp;

	if (len < SEGMENT_IP_AT + SEGMENT_IP4)
		return false;
	ends->v6 = load16(octets + 12) == ETHERTYPE_IP6;
	if (!ends->v6 && load16(octets + 12) != ETHERTYPE_IP4)
		return false;
	at = read_ip(ip, len - SEGMENT_IP_AT, ends, &end);
	if (!at || end > len - SEGMENT_IP_AT || end < at + SEGMENT_TCP)
		return false;
	tcp = ip + at;
	header = (tcp[12] >> 4) * 4u;
	if (header < SEGMENT_TCP || at + header > end)
		return false;
	memcpy(ends->to_mac, octets, 6);
	memcpy(ends->from_mac, octets + 6, 6);
	ends->from_port = load16(tcp);
	ends->to_port = load16(tcp + 2);
	s->seq = load32(tcp + 4);
	s->ack = load32(tcp + 8);
	s->flags = tcp[13];
	s->window = load16(tcp + 14);
	s->options_len = (uint8_t)(header - SEGMENT_TCP);
	memcpy(s->options, tcp + SEGMENT_TCP, s->options_len);
	s->payload = tcp + header;
	s->payload_len = end - at - header;
	return true;
}
