/* SPDX-License-Identifier: BSD-3-Clause */
/* The TCP header, read and written. Thread, Time, Memory, Rules: header.h. */
#include <string.h>

#include <rte_byteorder.h>

#include "tcp/header.h"

enum option_kind {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_SACK = 5,
	OPTION_TS = 8,
};

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return rte_be_to_cpu_16(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return rte_be_to_cpu_32(v);
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	v = rte_cpu_to_be_16(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	v = rte_cpu_to_be_32(v);
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

/* One option of known kind; len counts kind and length octets. An option whose length does not
 * fit its kind is ignored, as every stack does: the list itself is still sound. */
static void read_option(struct tcp_header *h, const uint8_t *p, uint8_t len)
{
	switch (p[0]) {
	case OPTION_MSS:
		if (len == 4) {
			h->has_mss = true;
			h->mss = get16(p + 2);
		}
		break;
	case OPTION_WSCALE:
		if (len == 3) {
			h->has_wscale = true;
			h->wscale = p[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : p[2];
		}
		break;
	case OPTION_SACK_PERMITTED:
		h->sack_permitted = len == 2;
		break;
	case OPTION_SACK:
		if (len < 10 || len > 34 || (len - 2) % 8 != 0)
			break;
		h->n_sack = (uint8_t)((len - 2) / 8);
		for (uint8_t i = 0; i < h->n_sack; i++) {
			h->sack[i].start = get32(p + 2 + 8 * i);
			h->sack[i].end = get32(p + 6 + 8 * i);
		}
		break;
	case OPTION_TS:
		if (len == 10) {
			h->has_ts = true;
			h->ts_value = get32(p + 2);
			h->ts_echo = get32(p + 6);
		}
		break;
	default:
		break;
	}
}

bool tcp_header_read(struct tcp_header *h, const uint8_t *p, uint8_t header_len)
{
	memset(h, 0, sizeof(*h));
	h->seq = get32(p + 4);
	h->ack = get32(p + 8);
	h->flags = p[13];
	h->window = get16(p + 14);

	for (uint8_t at = TCP_HEADER_MIN; at < header_len;) {
		uint8_t len;

		if (p[at] == OPTION_END)
			break;
		if (p[at] == OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 1 >= header_len)
			return false;
		len = p[at + 1];
		if (len < 2 || len > header_len - at)
			return false;
		read_option(h, p + at, len);
		at = (uint8_t)(at + len);
	}
	return true;
}

uint8_t tcp_header_len(const struct tcp_header *h)
{
	unsigned len = TCP_HEADER_MIN;

	if (h->has_mss)
		len += 4;
	if (h->has_wscale)
		len += 4;
	if (h->sack_permitted)
		len += h->has_ts ? 2 : 4;
	if (h->has_ts)
		len += h->sack_permitted ? 10 : TCP_OPTION_TS_LEN;
	if (h->n_sack)
		len += 4 + 8u * h->n_sack;
	return (uint8_t)len;
}

/* The two odd octets before a timestamp are either SACK permitted or two NOPs, so that everything
 * stays aligned to four. */
static uint8_t *write_options(const struct tcp_header *h, uint8_t *p)
{
	if (h->has_mss) {
		*p++ = OPTION_MSS;
		*p++ = 4;
		p = put16(p, h->mss);
	}
	if (h->sack_permitted) {
		*p++ = OPTION_SACK_PERMITTED;
		*p++ = 2;
	}
	if (h->sack_permitted != h->has_ts) {
		*p++ = OPTION_NOP;
		*p++ = OPTION_NOP;
	}
	if (h->has_ts) {
		*p++ = OPTION_TS;
		*p++ = 10;
		p = put32(p, h->ts_value);
		p = put32(p, h->ts_echo);
	}
	if (h->has_wscale) {
		*p++ = OPTION_NOP;
		*p++ = OPTION_WSCALE;
		*p++ = 3;
		*p++ = h->wscale;
	}
	if (h->n_sack) {
		*p++ = OPTION_NOP;
		*p++ = OPTION_NOP;
		*p++ = OPTION_SACK;
		*p++ = (uint8_t)(2 + 8 * h->n_sack);
		for (uint8_t i = 0; i < h->n_sack; i++) {
			p = put32(p, h->sack[i].start);
			p = put32(p, h->sack[i].end);
		}
	}
	return p;
}

void tcp_header_write(const struct tcp_header *h, uint8_t *p, uint16_t source_port,
		      uint16_t destination_port)
{
	uint8_t len = tcp_header_len(h);

	put16(p, source_port);
	put16(p + 2, destination_port);
	put32(p + 4, h->seq);
	put32(p + 8, h->ack);
	p[12] = (uint8_t)(len / 4 << 4);
	p[13] = h->flags;
	put16(p + 14, h->window);
	put16(p + 16, 0);
	put16(p + 18, 0);
	write_options(h, p + TCP_HEADER_MIN);
}
