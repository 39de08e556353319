/* SPDX-License-Identifier: BSD-3-Clause */
/* The Received field, octet for octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "relay/received.h"

enum { NOW = 1795657685 }; /* Thu, 26 Nov 2026 01:48:05 +0000 */

static struct received received_of(const char *hello)
{
	static const uint8_t client[4] = {192, 0, 2, 1};

	return (struct received){
		.hello = {(const uint8_t *)hello, strlen(hello)},
		.client = ip_addr_from_v4(client),
		.host = "mx1.example.net",
		.id = {(const uint8_t *)"4FQx2k9aLm0Z", 12},
		.extended = true,
		.now_s = NOW,
	};
}

static void assert_field(const struct received *r, const char *wanted)
{
	char field[RECEIVED_MAX];
	size_t len = received_write(r, field);

	assert_int_equal(len, strlen(wanted));
	assert_memory_equal(field, wanted, len);
}

static void it_says_who_how_and_when(void **state)
{
	static const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
	struct received r = received_of("client.example");

	assert_field(&r, "Received: from client.example ([192.0.2.1])\r\n"
			 "\tby mx1.example.net with ESMTP id 4FQx2k9aLm0Z;\r\n"
			 "\tThu, 26 Nov 2026 01:48:05 +0000\r\n");
	r.client = ip_addr_from_v6(six);
	r.extended = false;
	assert_field(&r, "Received: from client.example ([IPv6:2001:db8::7])\r\n"
			 "\tby mx1.example.net with SMTP id 4FQx2k9aLm0Z;\r\n"
			 "\tThu, 26 Nov 2026 01:48:05 +0000\r\n");
}

static void it_says_the_protocol_as_it_is_registered(void **state)
{
	static const struct {
		bool extended, over_tls, smtputf8;
		const char *with;
	} rows[] = {
		{false, false, false, " with SMTP id "},
		{true, false, false, " with ESMTP id "},
		{true, true, false, " with ESMTPS id "},
		{true, false, true, " with UTF8SMTP id "},
		{true, true, true, " with UTF8SMTPS id "},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct received r = received_of("x");
		char field[RECEIVED_MAX + 1];

		r.extended = rows[i].extended;
		r.over_tls = rows[i].over_tls;
		r.smtputf8 = rows[i].smtputf8;
		field[received_write(&r, field)] = '\0';
		assert_non_null(strstr(field, rows[i].with));
	}
}

/* What a client says of itself is no comment, no other host and no line. */
static void no_client_writes_what_it_likes(void **state)
{
	struct received r = received_of("a(b)c;d<e>\"f\\g@h\r\ni");

	assert_field(&r, "Received: from a?b?c?d?e??f?g?h??i ([192.0.2.1])\r\n"
			 "\tby mx1.example.net with ESMTP id 4FQx2k9aLm0Z;\r\n"
			 "\tThu, 26 Nov 2026 01:48:05 +0000\r\n");
	r = received_of("[IPv6:2001:db8::1]");
	assert_field(&r, "Received: from [IPv6:2001:db8::1] ([192.0.2.1])\r\n"
			 "\tby mx1.example.net with ESMTP id 4FQx2k9aLm0Z;\r\n"
			 "\tThu, 26 Nov 2026 01:48:05 +0000\r\n");
	r = received_of("");
	assert_field(&r, "Received: from unknown ([192.0.2.1])\r\n"
			 "\tby mx1.example.net with ESMTP id 4FQx2k9aLm0Z;\r\n"
			 "\tThu, 26 Nov 2026 01:48:05 +0000\r\n");
}

static void the_longest_there_is_fits(void **state)
{
	char hello[301], host[301], field[RECEIVED_MAX];
	struct received r;

	memset(hello, 'a', 300);
	memset(host, 'b', 300);
	hello[300] = host[300] = '\0';
	r = received_of(hello);
	memset(r.client.octets, 0xfe, sizeof(r.client.octets));
	r.host = host;
	r.extended = r.over_tls = r.smtputf8 = true;
	assert_in_range(received_write(&r, field), 600, RECEIVED_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_says_who_how_and_when),
		cmocka_unit_test(it_says_the_protocol_as_it_is_registered),
		cmocka_unit_test(no_client_writes_what_it_likes),
		cmocka_unit_test(the_longest_there_is_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
