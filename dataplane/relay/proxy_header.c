/* SPDX-License-Identifier: BSD-3-Clause */
/* A load balancer's header. Thread, Time, Memory, Rules: proxy_header.h. */
#include "relay/proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "relay/limits.h"

static const char line_begin[] = "PROXY ";
static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

static bool begins(struct span in, const void *with, size_t len)
{
	return memcmp(in.bytes, with, in.len < len ? in.len : len) == 0;
}

/* --- version 1: a line ----------------------------------------------------------------------- */

enum { LINE_BEGIN = sizeof(line_begin) - 1, PORT_DIGITS = 5 };

/* Up to the next blank, which is skipped. */
static struct span take_word(struct span *line)
{
	const uint8_t *blank = memchr(line->bytes, ' ', line->len);
	const struct span word = {line->bytes, blank ? (size_t)(blank - line->bytes) : line->len};
	const size_t taken = word.len + (blank != NULL);

	line->bytes += taken;
	line->len -= taken;
	return word;
}

static bool is(struct span word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.bytes, text, word.len) == 0;
}

static bool read_address(struct span word, int family, struct ip_addr *address)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t octets[16];

	if (word.len >= sizeof(text))
		return false;
	memcpy(text, word.bytes, word.len);
	text[word.len] = '\0';
	if (strlen(text) != word.len || inet_pton(family, text, octets) != 1)
		return false;
	*address = family == AF_INET ? ip_addr_from_v4(octets) : ip_addr_from_v6(octets);
	return true;
}

static bool read_port(struct span word, uint16_t *port)
{
	uint32_t number = 0;

	if (word.len < 1 || word.len > PORT_DIGITS || (word.len > 1 && word.bytes[0] == '0'))
		return false;
	for (size_t i = 0; i < word.len; i++) {
		if (word.bytes[i] < '0' || word.bytes[i] > '9')
			return false;
		number = number * 10 + (uint32_t)(word.bytes[i] - '0');
	}
	*port = (uint16_t)number;
	return number <= UINT16_MAX;
}

static enum proxy_found read_words(struct span line, struct proxy_header *h)
{
	const struct span protocol = take_word(&line);
	int family;

	if (is(protocol, "UNKNOWN")) /* 2.1: whatever is said behind it */
		return PROXY_UNNAMED;
	if (is(protocol, "TCP4"))
		family = AF_INET;
	else if (is(protocol, "TCP6"))
		family = AF_INET6;
	else
		return PROXY_MALFORMED;
	if (!read_address(take_word(&line), family, &h->address) ||
	    !read_address(take_word(&line), family, &h->local) ||
	    !read_port(take_word(&line), &h->port) || !read_port(line, &h->local_port))
		return PROXY_MALFORMED;
	return PROXY_NAMED;
}

static enum proxy_found read_line(struct span in, struct proxy_header *h)
{
	const size_t most = in.len < PROXY_LINE_MAX ? in.len : PROXY_LINE_MAX;
	const uint8_t *cr = memchr(in.bytes, '\r', most);
	size_t len;

	if (!cr)
		return most < PROXY_LINE_MAX ? PROXY_PART : PROXY_MALFORMED;
	len = (size_t)(cr - in.bytes);
	if (len + 1 == most)
		return most < PROXY_LINE_MAX ? PROXY_PART : PROXY_MALFORMED;
	if (cr[1] != '\n')
		return PROXY_MALFORMED;
	h->len = len + 2;
	return read_words((struct span){in.bytes + LINE_BEGIN, len - LINE_BEGIN}, h);
}

/* --- version 2: octets ----------------------------------------------------------------------- */

enum {
	VERSION_AT = sizeof(signature),
	FAMILY_AT,
	LEN_AT,
	HEAD = LEN_AT + 2,
	VERSION_2_LOCAL = 0x20,
	VERSION_2_PROXY = 0x21,
	UNSPECIFIED = 0x00,
	TCP_OVER_IPV4 = 0x11,
	TCP_OVER_IPV6 = 0x21,
	UNIX_STREAM = 0x31,
	UNIX_DATAGRAM = 0x32,
	V4_LEN = 2 * 4 + 2 * 2, /* addresses and ports */
	V6_LEN = 2 * 16 + 2 * 2,
	UNIX_LEN = 2 * 108,
};

static_assert((int)HEAD + PROXY_MORE_MAX == PROXY_OCTETS_MAX, "the longest header");

static uint16_t number_at(const uint8_t *octets)
{
	return (uint16_t)(octets[0] << 8 | octets[1]);
}

static void read_v4(const uint8_t *at, struct proxy_header *h)
{
	h->address = ip_addr_from_v4(at);
	h->local = ip_addr_from_v4(at + 4);
	h->port = number_at(at + 8);
	h->local_port = number_at(at + 10);
}

static void read_v6(const uint8_t *at, struct proxy_header *h)
{
	h->address = ip_addr_from_v6(at);
	h->local = ip_addr_from_v6(at + 16);
	h->port = number_at(at + 32);
	h->local_port = number_at(at + 34);
}

/* len: of what is behind the head, all of which is here. */
static enum proxy_found read_addresses(uint8_t family, const uint8_t *at, size_t len,
				       struct proxy_header *h)
{
	switch (family) {
	case TCP_OVER_IPV4:
		if (len < V4_LEN)
			return PROXY_MALFORMED;
		read_v4(at, h);
		return PROXY_NAMED;
	case TCP_OVER_IPV6:
		if (len < V6_LEN)
			return PROXY_MALFORMED;
		read_v6(at, h);
		return PROXY_NAMED;
	case UNIX_STREAM:
	case UNIX_DATAGRAM:
		return len < UNIX_LEN ? PROXY_MALFORMED : PROXY_UNNAMED;
	default:
		return family == UNSPECIFIED ? PROXY_UNNAMED : PROXY_MALFORMED;
	}
}

static enum proxy_found read_octets(struct span in, struct proxy_header *h)
{
	size_t len;

	if (in.len > VERSION_AT && in.bytes[VERSION_AT] != VERSION_2_LOCAL &&
	    in.bytes[VERSION_AT] != VERSION_2_PROXY)
		return PROXY_MALFORMED;
	if (in.len < HEAD)
		return PROXY_PART;
	len = number_at(in.bytes + LEN_AT);
	if (len > PROXY_MORE_MAX)
		return PROXY_MALFORMED;
	if (in.len < HEAD + len)
		return PROXY_PART;
	h->len = HEAD + len;
	/* 2.2: of LOCAL the rest is no matter. */
	if (in.bytes[VERSION_AT] == VERSION_2_LOCAL)
		return PROXY_UNNAMED;
	return read_addresses(in.bytes[FAMILY_AT], in.bytes + HEAD, len, h);
}

enum proxy_found proxy_read(struct span in, struct proxy_header *header)
{
	if (!in.len)
		return PROXY_PART;
	if (begins(in, line_begin, LINE_BEGIN))
		return read_line(in, header);
	if (begins(in, signature, sizeof(signature)))
		return read_octets(in, header);
	return PROXY_MALFORMED;
}
