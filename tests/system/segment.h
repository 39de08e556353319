/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TCP segment in an IP packet in a frame, made and read by hand.
 *
 * Thread: any. Time: none. Memory: the caller's octets, with room behind them for what is put in.
 * Rules: RFC 791, 8200, 9293; no code of ours under test, so that two have to be wrong alike.
 */
#ifndef POSTERN_TESTS_SEGMENT_H
#define POSTERN_TESTS_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SEGMENT_IP_AT = 14,
	SEGMENT_IP4 = 20,
	SEGMENT_IP6 = 40,
	SEGMENT_TCP = 20,
	SEGMENT_OPTIONS_MAX = 40,

	SEGMENT_FIN = 1,
	SEGMENT_SYN = 2,
	SEGMENT_RST = 4,
	SEGMENT_PSH = 8,
	SEGMENT_ACK = 16,
};

/* Whose it is. IPv4 addresses use the first four octets. */
struct segment_ends {
	bool v6;
	uint8_t from_mac[6], to_mac[6];
	uint8_t from[16], to[16];
	uint16_t from_port, to_port;
};

struct segment {
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	uint8_t options_len; /* a multiple of 4 */
	uint8_t options[SEGMENT_OPTIONS_MAX];
	const uint8_t *payload;
	uint32_t payload_len;
};

struct frame {
	uint8_t *octets;
	uint32_t len;
	uint32_t tcp_at;
	bool v6;
};

void segment_write(struct frame *f, const struct segment_ends *ends, const struct segment *s);

/* Makes the IP packet's length that of the frame. */
void frame_set_length(struct frame *f);
/* Makes the checksums right, IPv4's and TCP's, over what the frame really holds. */
void frame_set_checksums(struct frame *f);

/* Reads a frame without IP options or extension headers, ends as its sender sees them; false: it is
 * no such one. */
bool segment_read(const uint8_t *octets, uint32_t len, struct segment_ends *ends,
		  struct segment *s);

static inline uint16_t load16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)load16(p) << 16 | load16(p + 2);
}

static inline void store16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void store32(uint8_t *p, uint32_t v)
{
	store16(p, v >> 16);
	store16(p + 2, v);
}

#endif
