/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TCP header on the wire, read and written.
 *
 * Thread: any. Time, Memory: none.
 * Rules: RFC 9293 3.1; options MSS, window scale and timestamps (RFC 7323), SACK (RFC 2018);
 * unknown options are skipped by their length, a bogus length ends the list's reading and makes
 * the segment bad.
 */
#ifndef POSTERN_TCP_HEADER_H
#define POSTERN_TCP_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "tcp/limits.h"

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};

enum { TCP_HEADER_MIN = 20, TCP_HEADER_MAX = 60, TCP_OPTION_TS_LEN = 12 };

struct tcp_range {
	uint32_t start, end; /* [start, end) */
};

/* A header, in host order. */
struct tcp_header {
	uint32_t seq, ack;
	uint16_t window; /* as in the field, unscaled */
	uint8_t flags;
	/* options */
	bool has_mss, has_wscale, has_ts, sack_permitted;
	uint8_t wscale; /* at most TCP_WSCALE_MAX */
	uint16_t mss;
	uint32_t ts_value, ts_echo;
	uint8_t n_sack;
	struct tcp_range sack[TCP_SACK_BLOCKS_READ];
};

/* Reads the header_len octets at p (20..60, already checked to be there and to be what the data
 * offset says). False: an option's length is bogus. */
bool tcp_header_read(struct tcp_header *h, const uint8_t *p, uint8_t header_len);

/* The octets h will take, options padded to four. */
uint8_t tcp_header_len(const struct tcp_header *h);

/* Writes it, checksum 0, urgent pointer 0. */
void tcp_header_write(const struct tcp_header *h, uint8_t *p, uint16_t source_port,
		      uint16_t destination_port);

#endif
