/* SPDX-License-Identifier: BSD-3-Clause */
/* What is a PROXY header and what is none, of either version, cut at every octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/limits.h"
#include "relay/proxy_header.h"

enum { HEAD = 16, V4_LEN = 12, V6_LEN = 36, UNIX_LEN = 216 };

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static const uint8_t client4[] = {203, 0, 113, 9}, local4[] = {192, 0, 2, 25},
		     client6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 9},
		     local6[16] = {0x20, 1, 0x0d, 0xb8, [15] = 0x25};

/* From a block of just so many octets, so that a look too far is seen. */
static enum proxy_found read_octets(const void *octets, size_t len, struct proxy_header *h)
{
	uint8_t *own = malloc(len + !len);
	enum proxy_found found;

	assert_non_null(own);
	memcpy(own, octets, len);
	*h = (struct proxy_header){0};
	found = proxy_read((struct span){own, len}, h);
	free(own);
	return found;
}

/* Every beginning of a header leaves it open; what follows it changes nothing. */
static void expect_found(const void *octets, size_t len, enum proxy_found expected,
			 struct proxy_header *h)
{
	static const uint8_t more[] = "\r\nEHLO x\r\n";
	uint8_t with_more[4096];

	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(read_octets(octets, cut, h), PROXY_PART);
	assert_int_equal(read_octets(octets, len, h), expected);
	assert_int_equal(h->len, len);
	memcpy(with_more, octets, len);
	memcpy(with_more + len, more, sizeof(more));
	assert_int_equal(read_octets(with_more, len + sizeof(more), h), expected);
	assert_int_equal(h->len, len);
}

static void expect_line(const char *line, enum proxy_found expected, struct proxy_header *h)
{
	expect_found(line, strlen(line), expected, h);
}

/* From some octet on, however it is cut. */
static void expect_malformed(const void *octets, size_t len)
{
	struct proxy_header h;
	bool malformed = false;

	for (size_t cut = 0; cut <= len; cut++) {
		enum proxy_found found = read_octets(octets, cut, &h);

		assert_int_equal(found, malformed || found == PROXY_MALFORMED ? PROXY_MALFORMED
									      : PROXY_PART);
		malformed = found == PROXY_MALFORMED;
	}
	assert_true(malformed);
}

static void expect_bad_line(const char *line)
{
	expect_malformed(line, strlen(line));
}

static void expect_v4(const struct proxy_header *h, uint16_t port)
{
	const struct ip_addr client = ip_addr_from_v4(client4), local = ip_addr_from_v4(local4);

	assert_true(ip_addr_equal(&h->address, &client));
	assert_true(ip_addr_equal(&h->local, &local));
	assert_int_equal(h->port, port);
	assert_int_equal(h->local_port, 25);
}

static void expect_v6(const struct proxy_header *h, uint16_t port)
{
	const struct ip_addr client = ip_addr_from_v6(client6), local = ip_addr_from_v6(local6);

	assert_true(ip_addr_equal(&h->address, &client));
	assert_true(ip_addr_equal(&h->local, &local));
	assert_int_equal(h->port, port);
	assert_int_equal(h->local_port, 25);
}

/* --- version 1 ------------------------------------------------------------------------------- */

static void a_line_names_an_ipv4_client(void **state)
{
	struct proxy_header h;

	expect_line("PROXY TCP4 203.0.113.9 192.0.2.25 65535 25\r\n", PROXY_NAMED, &h);
	expect_v4(&h, 65535);
	expect_line("PROXY TCP4 203.0.113.9 192.0.2.25 0 25\r\n", PROXY_NAMED, &h);
	expect_v4(&h, 0);
}

static void a_line_names_an_ipv6_client(void **state)
{
	struct proxy_header h;

	expect_line("PROXY TCP6 2001:db8::9 2001:DB8:0:0::25 1234 25\r\n", PROXY_NAMED, &h);
	expect_v6(&h, 1234);
}

static void an_ipv4_client_may_be_told_as_a_mapped_one(void **state)
{
	struct proxy_header h;

	expect_line("PROXY TCP6 ::ffff:203.0.113.9 ::ffff:c000:219 1234 25\r\n", PROXY_NAMED, &h);
	expect_v4(&h, 1234);
}

static void a_line_may_name_nobody(void **state)
{
	struct proxy_header h;

	expect_line("PROXY UNKNOWN\r\n", PROXY_UNNAMED, &h);
	expect_line("PROXY UNKNOWN \r\n", PROXY_UNNAMED, &h);
	expect_line("PROXY UNKNOWN 203.0.113.9 what ever\r\n", PROXY_UNNAMED, &h);
	/* The longest there is. */
	expect_line("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
		    PROXY_UNNAMED, &h);
	assert_int_equal(h.len, PROXY_LINE_MAX);
}

static void other_lines_are_malformed(void **state)
{
	static const char *const lines[] = {
		"EHLO client.example\r\n",
		"proxy TCP4 203.0.113.9 192.0.2.25 1 25\r\n",
		"PROXY\r\n",
		"PROXY \r\n",
		"PROXY  TCP4 203.0.113.9 192.0.2.25 1 25\r\n",
		"PROXY TCP5 203.0.113.9 192.0.2.25 1 25\r\n",
		"PROXY TCP 203.0.113.9 192.0.2.25 1 25\r\n",
		"PROXY tcp4 203.0.113.9 192.0.2.25 1 25\r\n",
		"PROXY UDP4 203.0.113.9 192.0.2.25 1 25\r\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP4 203.0.113.9\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 \r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 25 \r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 25 1\r\n",
		"PROXY TCP4 203.0.113.9  192.0.2.25 1 25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1\t25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 65536 25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 65536\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 99999\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 100025\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 01 25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 00\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 -1 25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 +1 25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 2a\r\n",
		"PROXY TCP4 203.0.113.09 192.0.2.25 1 25\r\n",
		"PROXY TCP4 203.0.113.256 192.0.2.25 1 25\r\n",
		"PROXY TCP4 203.0.113 192.0.2.25 1 25\r\n",
		"PROXY TCP4 2001:db8::9 192.0.2.25 1 25\r\n",
		"PROXY TCP4 203.0.113.9 2001:db8::25 1 25\r\n",
		"PROXY TCP6 203.0.113.9 192.0.2.25 1 25\r\n",
		"PROXY TCP6 2001:db8::9%eth0 2001:db8::25 1 25\r\n",
		"PROXY TCP6 2001:db8:::9 2001:db8::25 1 25\r\n",
		"PROXY TCP6 00000000000000000000000000000000000000000000000000009 ::1 1 25\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 25\n\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 25\r\r\n",
		"PROXY TCP4 203.0.113.9 192.0.2.25 1 25\rEHLO\r\n",
		"PROXY UNKNOWN\rEHLO x\r\n",
	};
	static const char with_nul[] = "PROXY TCP4 203.0.113.9\0x 192.0.2.25 1 25\r\n";

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		expect_bad_line(lines[i]);
	expect_malformed(with_nul, sizeof(with_nul) - 1);
}

static void a_line_ends_within_its_bound(void **state)
{
	static const char begin[] = "PROXY UNKNOWN ";
	char line[PROXY_LINE_MAX + 3];
	struct proxy_header h;

	for (size_t cr = PROXY_LINE_MAX - 3; cr <= PROXY_LINE_MAX; cr++) {
		memset(line, 'x', sizeof(line));
		memcpy(line, begin, sizeof(begin) - 1);
		line[cr] = '\r';
		line[cr + 1] = '\n';
		if (cr + 2 <= PROXY_LINE_MAX)
			expect_found(line, cr + 2, PROXY_UNNAMED, &h);
		else
			expect_malformed(line, cr + 2);
	}
}

/* --- version 2 ------------------------------------------------------------------------------- */

struct header2 {
	size_t len;
	uint8_t octets[HEAD + PROXY_MORE_MAX + 64];
};

static void put(struct header2 *b, const void *octets, size_t len)
{
	memcpy(b->octets + b->len, octets, len);
	b->len += len;
}

/* len: what it says is behind its first 16 octets. */
static struct header2 header_of(uint8_t version, uint8_t family, size_t len)
{
	const uint8_t rest[4] = {version, family, (uint8_t)(len >> 8), (uint8_t)len};
	struct header2 b = {.len = 0};

	put(&b, SIGNATURE, sizeof(SIGNATURE) - 1);
	put(&b, rest, sizeof(rest));
	return b;
}

static void put_v4(struct header2 *b)
{
	put(b, client4, sizeof(client4));
	put(b, local4, sizeof(local4));
	put(b, "\xc0\x01\0\x19", 4);
}

static void put_v6(struct header2 *b)
{
	put(b, client6, sizeof(client6));
	put(b, local6, sizeof(local6));
	put(b, "\xc0\x01\0\x19", 4);
}

static void octets_name_an_ipv4_client(void **state)
{
	struct header2 b = header_of(0x21, 0x11, V4_LEN);
	struct proxy_header h;

	put_v4(&b);
	expect_found(b.octets, b.len, PROXY_NAMED, &h);
	expect_v4(&h, 0xc001);
}

static void octets_name_an_ipv6_client(void **state)
{
	struct header2 b = header_of(0x21, 0x21, V6_LEN);
	struct proxy_header h;

	put_v6(&b);
	expect_found(b.octets, b.len, PROXY_NAMED, &h);
	expect_v6(&h, 0xc001);
}

static void what_is_behind_the_addresses_is_skipped_up_to_the_bound(void **state)
{
	static const size_t lens[] = {V4_LEN + 1, V4_LEN + 3, 256, PROXY_MORE_MAX};
	struct proxy_header h;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct header2 b = header_of(0x21, 0x11, lens[i]);

		put_v4(&b);
		b.len = HEAD + lens[i];
		expect_found(b.octets, b.len, PROXY_NAMED, &h);
		expect_v4(&h, 0xc001);
	}
	for (size_t len = PROXY_MORE_MAX + 1; len <= UINT16_MAX; len += 12345) {
		struct header2 b = header_of(0x21, 0x11, len);

		expect_malformed(b.octets, b.len);
		b = header_of(0x20, 0x00, len);
		expect_malformed(b.octets, b.len);
	}
}

static void octets_may_name_nobody(void **state)
{
	static const struct {
		uint8_t version, family;
		uint16_t len;
	} headers[] = {
		{0x20, 0x00, 0},	   {0x20, 0x11, 0},   {0x20, 0x11, V4_LEN},
		{0x20, 0xff, 7},	   {0x21, 0x00, 0},   {0x21, 0x00, 100},
		{0x21, 0x31, UNIX_LEN},	   {0x21, 0x32, 300}, {0x20, 0x00, 12},
		{0x20, 0, PROXY_MORE_MAX},
	};
	struct proxy_header h;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct header2 b = header_of(headers[i].version, headers[i].family, headers[i].len);

		b.len = HEAD + headers[i].len;
		expect_found(b.octets, b.len, PROXY_UNNAMED, &h);
	}
}

static void other_octets_are_malformed(void **state)
{
	static const struct {
		uint8_t version, family;
		uint16_t len;
	} headers[] = {
		{0x11, 0x11, V4_LEN},	    {0x31, 0x11, V4_LEN},
		{0x01, 0x11, V4_LEN},	    {0x22, 0x11, V4_LEN},
		{0x2f, 0x11, V4_LEN},	    {0x21, 0x12, V4_LEN},
		{0x21, 0x22, V6_LEN},	    {0x21, 0x10, V4_LEN},
		{0x21, 0x13, V4_LEN},	    {0x21, 0x41, V6_LEN},
		{0x21, 0x01, V4_LEN},	    {0x21, 0x30, UNIX_LEN},
		{0x21, 0x11, V4_LEN - 1},   {0x21, 0x11, 0},
		{0x21, 0x21, V6_LEN - 1},   {0x21, 0x31, UNIX_LEN - 1},
		{0x21, 0x32, UNIX_LEN - 1},
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct header2 b = header_of(headers[i].version, headers[i].family, headers[i].len);

		b.len = HEAD + headers[i].len;
		expect_malformed(b.octets, b.len);
	}
	for (size_t at = 0; at < sizeof(SIGNATURE) - 1; at++) {
		struct header2 b = header_of(0x20, 0x00, 0);

		b.octets[at] ^= 1;
		expect_malformed(b.octets, b.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_names_an_ipv4_client),
		cmocka_unit_test(a_line_names_an_ipv6_client),
		cmocka_unit_test(an_ipv4_client_may_be_told_as_a_mapped_one),
		cmocka_unit_test(a_line_may_name_nobody),
		cmocka_unit_test(other_lines_are_malformed),
		cmocka_unit_test(a_line_ends_within_its_bound),
		cmocka_unit_test(octets_name_an_ipv4_client),
		cmocka_unit_test(octets_name_an_ipv6_client),
		cmocka_unit_test(what_is_behind_the_addresses_is_skipped_up_to_the_bound),
		cmocka_unit_test(octets_may_name_nobody),
		cmocka_unit_test(other_octets_are_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
