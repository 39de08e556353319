/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses: which paths are right, and that a mailbox has one canonical form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/random.h"
#include "smtp/address.h"

#define A10  "aaaaaaaaaa"
#define A60  A10 A10 A10 A10 A10 A10
#define A64  A60 "aaaa"
#define A256 A64 A64 A64 A64

/* Labels of 63, together 255. */
#define LABEL63	  A60 "aaa"
#define DOMAIN255 LABEL63 "." LABEL63 "." LABEL63 "." LABEL63

static uint64_t random_state;

/* Reads a copy that ends where its memory does, so that the sanitizer sees a step too far. */
static bool read_copy(const void *path, size_t len, enum address_kind kind, struct address *a,
		      size_t *rest)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct span in = {copy, len};
	bool good;

	assert_non_null(copy);
	memcpy(copy, path, len);
	good = address_read(&in, kind, a);
	assert_ptr_equal(in.bytes + in.len, copy + len);
	if (!good)
		assert_int_equal(in.len, len);
	*rest = in.len;
	free(copy);
	return good;
}

static void check(const char *path, enum address_kind kind, const char *canonical)
{
	struct address a;
	size_t rest;
	bool good = read_copy(path, strlen(path), kind, &a, &rest);

	if (!canonical) {
		if (good)
			fail_msg("%s was taken for %.*s", path, (int)address_len(&a), a.text);
		return;
	}
	if (!good)
		fail_msg("%s was refused", path);
	assert_int_equal(rest, 0);
	if (address_len(&a) != strlen(canonical) ||
	    memcmp(a.text, canonical, strlen(canonical)) != 0)
		fail_msg("%s became %.*s", path, (int)address_len(&a), a.text);
}

static void takes(const char *path, const char *canonical)
{
	check(path, ADDRESS_OF_RECIPIENT, canonical);
	check(path, ADDRESS_OF_SENDER, canonical);
}

static void refuses(const char *path)
{
	takes(path, NULL);
}

static void a_plain_mailbox_keeps_its_local_part_and_loses_the_case_of_its_domain(void **state)
{
	takes("<user@example.net>", "user@example.net");
	takes("<User.Name@EXAMPLE.Net>", "User.Name@example.net");
	takes("<a@b>", "a@b");
	takes("<1@2.3>", "1@2.3");
	takes("<!#$%&'*+-/=?^_`{|}~@example.net>", "!#$%&'*+-/=?^_`{|}~@example.net");
	takes("<user@xn--bcher-kva.example>", "user@xn--bcher-kva.example");
	takes("<user@under_score.example>", "user@under_score.example");
}

static void percent_signs_and_bangs_are_plain(void **state)
{
	takes("<user%example.org@example.net>", "user%example.org@example.net");
	takes("<host!user@example.net>", "host!user@example.net");
}

static void the_lengths_are_those(void **state)
{
	struct address a;
	size_t rest;

	takes("<user@example.net>", "user@example.net");
	assert_true(read_copy("<ab@cde>", 8, ADDRESS_OF_RECIPIENT, &a, &rest));
	assert_int_equal(a.local_len, 2);
	assert_int_equal(a.domain_len, 3);
	assert_int_equal(address_len(&a), 6);
	assert_false(a.beyond_ascii);
}

static void reading_stops_behind_the_path(void **state)
{
	static const char line[] = "<a@b> SIZE=1>";
	struct address a;
	size_t rest;

	assert_true(read_copy(line, strlen(line), ADDRESS_OF_SENDER, &a, &rest));
	assert_int_equal(rest, strlen(" SIZE=1>"));
}

static void the_null_sender_is_a_senders_alone(void **state)
{
	struct address a;
	size_t rest;

	assert_true(read_copy("<>", 2, ADDRESS_OF_SENDER, &a, &rest));
	assert_int_equal(address_len(&a), 0);
	check("<>", ADDRESS_OF_RECIPIENT, NULL);
	check("< >", ADDRESS_OF_SENDER, NULL);
	check("<\"\">", ADDRESS_OF_SENDER, NULL);
}

static void postmaster_alone_needs_no_domain(void **state)
{
	check("<Postmaster>", ADDRESS_OF_RECIPIENT, "postmaster");
	check("<POSTMASTER>", ADDRESS_OF_RECIPIENT, "postmaster");
	check("<\"postMaster\">", ADDRESS_OF_RECIPIENT, "postmaster");
	check("<postmaster>", ADDRESS_OF_SENDER, NULL);
	check("<postmaster@>", ADDRESS_OF_RECIPIENT, NULL);
	check("<postmasters>", ADDRESS_OF_RECIPIENT, NULL);
	check("<root>", ADDRESS_OF_RECIPIENT, NULL);
	takes("<Postmaster@Example.NET>", "Postmaster@example.net");
}

static void quotes_go_where_a_dot_string_will_do(void **state)
{
	takes("<\"user\"@example.net>", "user@example.net");
	takes("<\"first.last\"@example.net>", "first.last@example.net");
	takes("<\"u\\ser\"@example.net>", "user@example.net");
	takes("<\"\\u\\s\\e\\r\"@example.net>", "user@example.net");
}

static void quotes_stay_in_one_form_where_they_must(void **state)
{
	takes("<\"a b\"@example.net>", "\"a b\"@example.net");
	takes("<\"a\\ b\"@example.net>", "\"a b\"@example.net");
	takes("<\"a@b\"@example.net>", "\"a@b\"@example.net");
	takes("<\"\"@example.net>", "\"\"@example.net");
	takes("<\".\"@example.net>", "\".\"@example.net");
	takes("<\".a\"@example.net>", "\".a\"@example.net");
	takes("<\"a.\"@example.net>", "\"a.\"@example.net");
	takes("<\"a..b\"@example.net>", "\"a..b\"@example.net");
	takes("<\"a\\\"b\"@example.net>", "\"a\\\"b\"@example.net");
	takes("<\"a\\\\b\"@example.net>", "\"a\\\\b\"@example.net");
	takes("<\"a>b\"@example.net>", "\"a>b\"@example.net");
	takes("<\"\\a\\>b\"@example.net>", "\"a>b\"@example.net");
}

static void a_source_route_is_stripped(void **state)
{
	takes("<@a:user@example.net>", "user@example.net");
	takes("<@a.example,@b.example:user@example.net>", "user@example.net");
	takes("<@b\303\274cher.example:user@example.net>", "user@example.net");
	refuses("<@a,b:user@example.net>");
	refuses("<@a,:user@example.net>");
	refuses("<@:user@example.net>");
	refuses("<@a user@example.net>");
	refuses("<@a@b:user@example.net>");
	refuses("<@a:>");
	refuses("<@a:@b:user@example.net>");
}

static void literals_are_kept(void **state)
{
	takes("<user@[192.0.2.1]>", "user@[192.0.2.1]");
	takes("<user@[IPv6:2001:DB8::1]>", "user@[ipv6:2001:db8::1]");
	takes("<user@[IPv6:::]>", "user@[ipv6:::]");
	takes("<user@[IPv6:1::]>", "user@[ipv6:1::]");
	takes("<user@[IPv6:::1]>", "user@[ipv6:::1]");
	takes("<user@[IPv6:1:2:3:4:5:6:7:8]>", "user@[ipv6:1:2:3:4:5:6:7:8]");
	takes("<user@[IPv6:1:2:3:4:5:6:192.0.2.1]>", "user@[ipv6:1:2:3:4:5:6:192.0.2.1]");
	takes("<user@[IPv6:::ffff:192.0.2.1]>", "user@[ipv6:::ffff:192.0.2.1]");
	takes("<user@[x400:c=de;a=\"b\"]>", "user@[x400:c=de;a=\"b\"]");
}

static void what_is_no_literal_is_refused(void **state)
{
	static const char *const bad[] = {
		"<user@[]>",
		"<user@[192.0.2]>",
		"<user@[192.0.2.256]>",
		"<user@[192.0.2.1.]>",
		"<user@[192.0.2.0001]>",
		"<user@[192.0.2.1>",
		"<user@192.0.2.1]>",
		"<user@[192.0.2.1]x>",
		"<user@[IPv6:]>",
		"<user@[IPv6:1]>",
		"<user@[IPv6:1:2:3:4:5:6:7]>",
		"<user@[IPv6:1:2:3:4:5:6:7:8:9]>",
		"<user@[IPv6:1:2:3:4:5:6:7:]>",
		"<user@[IPv6::1:2:3:4:5:6:7]>",
		"<user@[IPv6:1::2::3]>",
		"<user@[IPv6:1:::2]>",
		"<user@[IPv6:1:2:3:4::5:6:7:8]>",
		"<user@[IPv6:12345::]>",
		"<user@[IPv6:g::]>",
		"<user@[IPv6:1:2:3:4:5:192.0.2.1]>",
		"<user@[IPv6:1:2:3:4:5::192.0.2.1]>",
		"<user@[IPv6:::192.0.2]>",
		"<user@[2001:db8::1]x>",
		"<user@[tag:]>",
		"<user@[:x]>",
		"<user@[tag-:x]>",
		"<user@[t,g:x]>",
		"<user@[tag:a b]>",
		"<user@[tag:a\\b]>",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(bad[i]);
}

static void what_is_no_mailbox_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"<",
		">",
		"<user>",
		"<@example.net>",
		"<user@>",
		"<user@example.net",
		"user@example.net>",
		"user@example.net",
		" <user@example.net>",
		"< user@example.net>",
		"<user@example.net >",
		"<user @example.net>",
		"<<user@example.net>>",
		"<user@@example.net>",
		"<user@example@net>",
		"<.user@example.net>",
		"<user.@example.net>",
		"<us..er@example.net>",
		"<us\\er@example.net>",
		"<us\ter@example.net>",
		"<us\177er@example.net>",
		"<(c)user@example.net>",
		"<u,v@example.net>",
		"<\"user@example.net>",
		"<\"us\"er@example.net>",
		"<us\"er\"@example.net>",
		"<\"us\ter\"@example.net>",
		"<\"us\\\ter\"@example.net>",
		"<\"user\\\"@example.net>",
		"<\"a\".b@example.net>",
		"<user@.example.net>",
		"<user@example.net.>",
		"<user@example..net>",
		"<user@-example.net>",
		"<user@example-.net>",
		"<user@exam ple.net>",
		"<user@exam+ple.net>",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(bad[i]);
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
	static const char path[] = "<@a,@b:\"u r\"@[tag:x]>";
	const size_t len = sizeof(path) - 1;
	struct address a;
	size_t rest;

	assert_true(read_copy(path, len, ADDRESS_OF_RECIPIENT, &a, &rest));
	for (size_t i = 0; i < len; i++) {
		char damaged[sizeof(path)];

		memcpy(damaged, path, sizeof(path));
		damaged[i] = '\0';
		assert_false(read_copy(damaged, len, ADDRESS_OF_RECIPIENT, &a, &rest));
	}
}

static void a_path_cut_short_is_refused(void **state)
{
	static const char path[] = "<@a,@b:\"u\\\" r\"@[IPv6:1::2]>";
	struct address a;
	size_t rest;

	for (size_t len = 0; len < sizeof(path) - 1; len++)
		assert_false(read_copy(path, len, ADDRESS_OF_RECIPIENT, &a, &rest));
}

static void parts_are_as_long_as_they_may_be_and_no_longer(void **state)
{
	check("<" A64 "@b>", ADDRESS_OF_RECIPIENT, A64 "@b");
	check("<" A64 "a@b>", ADDRESS_OF_RECIPIENT, NULL);
	check("<\"" A64 "\"@b>", ADDRESS_OF_RECIPIENT, A64 "@b");
	check("<" A64 "a@b>", ADDRESS_OF_SENDER, A64 "a@b");
	check("<" A256 "@b>", ADDRESS_OF_SENDER, A256 "@b");
	check("<" A256 "a@b>", ADDRESS_OF_SENDER, NULL);
	check("<" A256 "@" DOMAIN255 ">", ADDRESS_OF_SENDER, A256 "@" DOMAIN255);
	check("<a@" DOMAIN255 ">", ADDRESS_OF_RECIPIENT, "a@" DOMAIN255);
	check("<a@a" DOMAIN255 ">", ADDRESS_OF_RECIPIENT, NULL);
	check("<a@a." DOMAIN255 ">", ADDRESS_OF_RECIPIENT, NULL);
	check("<" A256 "@a." DOMAIN255 ">", ADDRESS_OF_SENDER, NULL);
	check("<a@" A64 ">", ADDRESS_OF_RECIPIENT, NULL);
	check("<" A256 A256 A256 "@b>", ADDRESS_OF_SENDER, NULL);
	check("<\"" A256 " " A256 "\"@b>", ADDRESS_OF_SENDER, NULL);
	check("<@" A256 A256 A256 ":a@b>", ADDRESS_OF_SENDER, NULL);
}

static void utf8_is_taken_and_told(void **state)
{
	static const char *const good[] = {
		"<j\xc3\xb6rg@example.net>",
		"<\"j\xc3\xb6rg\"@example.net>",
		"<user@b\303\274cher.example>",
		"<\xe7\x94\xa8\xe6\x88\xb7@\xe4\xbe\x8b\xe5\xad\x90.example>",
		"<\xf0\x9f\x93\xae@example.net>",
		"<\xf4\x8f\xbf\xbf@example.net>",
		"<\xed\x9f\xbf\xee\x80\x80@example.net>",
		"<\xe0\xa0\x80\xc2\xa0@example.net>",
	};
	struct address a;
	size_t rest;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!read_copy(good[i], strlen(good[i]), ADDRESS_OF_RECIPIENT, &a, &rest))
			fail_msg("case %zu was refused", i);
		assert_true(a.beyond_ascii);
	}
	takes(good[1], "j\xc3\xb6rg@example.net");
	takes("<\"j\xc3\xb6 \"@B\303\234CHER.Example>", "\"j\xc3\xb6 \"@b\303\234cher.example");
}

static void what_is_no_utf8_is_refused_and_told(void **state)
{
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc3",
		"\xc3(",
		"\xc0\xaf",
		"\xc1\xbf",
		"\xe0\x80\xaf",
		"\xe0\x9f\xbf",
		"\xe2\x82",
		"\xe2(\xa1",
		"\xe2\x82(",
		"\xed\xa0\x80",
		"\xf0\x80\x80\xaf",
		"\xf0\x8f\xbf\xbf",
		"\xf0\x9f\x93",
		"\xf0\x9f\x93(",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xfe",
		"\xc2\x9b", /* a control sequence's first octet, on a terminal */
	};
	struct address a;
	size_t rest;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char path[64];

		snprintf(path, sizeof(path), "<u%s@b>", bad[i]);
		assert_false(read_copy(path, strlen(path), ADDRESS_OF_SENDER, &a, &rest));
		assert_true(a.beyond_ascii);
		snprintf(path, sizeof(path), "<u@b%s>", bad[i]);
		assert_false(read_copy(path, strlen(path), ADDRESS_OF_SENDER, &a, &rest));
		assert_true(a.beyond_ascii);
		snprintf(path, sizeof(path), "<u@b%s", bad[i]);
		assert_false(read_copy(path, strlen(path), ADDRESS_OF_SENDER, &a, &rest));
	}
	assert_false(read_copy("<u@b", 4, ADDRESS_OF_SENDER, &a, &rest));
	assert_false(a.beyond_ascii);
}

/* Paths from the octets that mean something, so that many of them are right. */
static size_t random_path(char *path, size_t max)
{
	static const char octets[] = "aaaabcZ09..@@@,::\"\"\\\\ !-_[]<>\xc3\xa4";
	size_t len = 0;

	path[len++] = '<';
	while (len < max - 1 && test_random(&random_state) % 12)
		path[len++] = octets[test_random(&random_state) % (sizeof(octets) - 1)];
	path[len++] = '>';
	return len;
}

static void a_canonical_form_is_its_own(void **state)
{
	unsigned right = 0;

	for (unsigned i = 0; i < 2000000; i++) {
		enum address_kind kind = i & 1 ? ADDRESS_OF_SENDER : ADDRESS_OF_RECIPIENT;
		char path[24], again[SMTP_ADDRESS_MAX + 2];
		size_t len = random_path(path, sizeof(path)), rest;
		struct address a, b;

		if (!read_copy(path, len, kind, &a, &rest))
			continue;
		right++;
		snprintf(again, sizeof(again), "<%.*s>", (int)address_len(&a), a.text);
		assert_true(read_copy(again, strlen(again), kind, &b, &rest));
		assert_int_equal(rest, 0);
		assert_int_equal(a.local_len, b.local_len);
		assert_int_equal(a.domain_len, b.domain_len);
		assert_int_equal(a.beyond_ascii, b.beyond_ascii);
		assert_memory_equal(a.text, b.text, address_len(&a));
	}
	assert_true(right > 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_plain_mailbox_keeps_its_local_part_and_loses_the_case_of_its_domain),
		cmocka_unit_test(percent_signs_and_bangs_are_plain),
		cmocka_unit_test(the_lengths_are_those),
		cmocka_unit_test(reading_stops_behind_the_path),
		cmocka_unit_test(the_null_sender_is_a_senders_alone),
		cmocka_unit_test(postmaster_alone_needs_no_domain),
		cmocka_unit_test(quotes_go_where_a_dot_string_will_do),
		cmocka_unit_test(quotes_stay_in_one_form_where_they_must),
		cmocka_unit_test(a_source_route_is_stripped),
		cmocka_unit_test(literals_are_kept),
		cmocka_unit_test(what_is_no_literal_is_refused),
		cmocka_unit_test(what_is_no_mailbox_is_refused),
		cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
		cmocka_unit_test(a_path_cut_short_is_refused),
		cmocka_unit_test(parts_are_as_long_as_they_may_be_and_no_longer),
		cmocka_unit_test(utf8_is_taken_and_told),
		cmocka_unit_test(what_is_no_utf8_is_refused_and_told),
		cmocka_unit_test(a_canonical_form_is_its_own),
	};

	random_state = test_seed((uint64_t)time(NULL));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
