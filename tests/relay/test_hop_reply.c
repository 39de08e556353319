/* SPDX-License-Identifier: BSD-3-Clause */
/* What is a reply, what is none, what is kept of it; and what EHLO offers. In every manner. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "talk.h"

static const struct manner *manner;
static struct talk t;

/* As a greeting that refuses, which leaves it to be looked at. */
static void hear_greeting_octets(const void *octets, size_t len)
{
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_server_octets(&t, octets, len);
}

static void hear_greeting(const char *text)
{
	hear_greeting_octets(text, strlen(text));
}

static void expect_reply(const char *said, unsigned code, const char *text)
{
	hear_greeting(said);
	talk_expect(&t, "FAILED GREETING_REFUSED");
	talk_expect_reply(&t, code, text);
}

static void expect_no_reply(const char *said)
{
	hear_greeting(said);
	talk_expect(&t, "FAILED NO_REPLY");
	assert_int_equal(t.h.reply.code, 0);
	assert_int_equal(t.h.reply.len, 0);
}

/* --- replies ---------------------------------------------------------------------------------- */

static void reply_of_one_line_is_its_code_and_its_text(void **state)
{
	expect_reply("554 5.7.1 go away\r\n", 554, "5.7.1 go away");
	expect_reply("200 \r\n", 200, "");
	expect_reply("599  x\r\n", 599, " x");
}

static void lines_of_a_reply_have_lf_between_them(void **state)
{
	expect_reply("554-5.7.1 go\r\n554-\r\n554 5.7.1 away\r\n", 554, "5.7.1 go\n\n5.7.1 away");
}

static void lf_alone_ends_a_line(void **state)
{
	expect_reply("554-go\n554 away\n", 554, "go\naway");
	expect_reply("554-go\r\n554 away\n", 554, "go\naway");
}

static void code_alone_is_a_reply(void **state)
{
	expect_reply("554\r\n", 554, "");
	expect_reply("554\n", 554, "");
	expect_reply("554-go\r\n554\r\n", 554, "go\n");
	expect_reply("554-go\n554\n", 554, "go\n");
}

static void text_is_kept_as_it_is(void **state)
{
	static const char said[] = "554 a\0b\r\tc\r\r\xff\x1b\r\n",
			  text[] = "a\0b\r\tc\r\r\xff\x1b";

	hear_greeting_octets(said, sizeof(said) - 1);
	talk_expect(&t, "FAILED GREETING_REFUSED");
	assert_int_equal(t.h.reply.code, 554);
	assert_int_equal(t.h.reply.len, sizeof(text) - 1);
	assert_memory_equal(t.h.reply.text, text, sizeof(text) - 1);
}

static void part_of_a_reply_is_waited_on(void **state)
{
	static const char *const parts[] = {"5",	 "55",	      "554",	   "554 x",
					    "554 x\r",	 "554-",      "554-x\r\n", "554-x\r\n5",
					    "554-x\n55", "554-x\n554"};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		hear_greeting(parts[i]);
		talk_expect(&t, "");
		assert_int_equal(t.h.reply.code, 0);
	}
}

static void what_has_no_code_is_no_reply(void **state)
{
	expect_no_reply("\r\n");
	expect_no_reply("\n");
	expect_no_reply("5\r\n");
	expect_no_reply("55\n");
	expect_no_reply("5x4 x\r\n");
	expect_no_reply(" 554 x\r\n");
	expect_no_reply("SSH-2.0\r\n");
	expect_no_reply("5545 x\r\n");
	expect_no_reply("554x\r\n");
	expect_no_reply("554\tx\r\n");
	expect_no_reply("554\rx\r\n");
	expect_no_reply("554\r\r\n");
	hear_greeting_octets("5\0004 x\r\n", 8);
	talk_expect(&t, "FAILED NO_REPLY");
}

static void code_below_200_or_over_599_is_no_reply(void **state)
{
	expect_no_reply("199 x\r\n");
	expect_no_reply("000 x\r\n");
	expect_no_reply("600 x\r\n");
	expect_no_reply("999 x\r\n");
}

static void another_code_in_a_later_line_is_no_reply(void **state)
{
	expect_no_reply("554-x\r\n550 x\r\n");
	expect_no_reply("554-x\r\n554-x\r\n555\r\n");
	expect_no_reply("554-x\r\n\r\n");
	expect_no_reply("554-x\r\n.\r\n");
}

static void fill(char *to, const char *before, size_t len, const char *after)
{
	const size_t from = strlen(before);

	snprintf(to, from + 1, "%s", before);
	memset(to + from, 'x', len - from);
	snprintf(to + len, strlen(after) + 1, "%s", after);
}

static void line_of_more_octets_than_the_limit_is_no_reply(void **state)
{
	static char said[HOP_LINE_MAX + 16];

	fill(said, "554 ", HOP_LINE_MAX - 2, "\r\n");
	hear_greeting(said);
	talk_expect(&t, "FAILED GREETING_REFUSED");
	fill(said, "554 ", HOP_LINE_MAX - 1, "\r\n");
	expect_no_reply(said);
	/* Nor is its end waited for. */
	fill(said, "554 ", HOP_LINE_MAX + 1, "");
	expect_no_reply(said);
}

static void hear_lines(unsigned before_last)
{
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	for (unsigned i = 0; i < before_last; i++)
		talk_server(&t, "554-x\r\n");
	talk_server(&t, "554 x\r\n");
}

static void reply_of_more_lines_than_the_limit_is_no_reply(void **state)
{
	hear_lines(HOP_LINES_MAX - 1);
	talk_expect(&t, "FAILED GREETING_REFUSED");
	assert_int_equal(t.h.reply.len, 2 * HOP_LINES_MAX - 1);
	hear_lines(HOP_LINES_MAX);
	talk_expect(&t, "FAILED NO_REPLY");
}

static void text_beyond_what_is_kept_is_read_and_left_out(void **state)
{
	static char said[HOP_TEXT_MAX + 64];

	fill(said, "554-", HOP_TEXT_MAX, "\r\n554 the end\r\n");
	hear_greeting(said);
	talk_expect(&t, "FAILED GREETING_REFUSED");
	assert_int_equal(t.h.reply.len, HOP_TEXT_MAX);
	assert_memory_equal(t.h.reply.text + HOP_TEXT_MAX - 5, "x\nthe", 5);
}

/* --- what EHLO offers ------------------------------------------------------------------------- */

static void greet(const char *const *offers)
{
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_greet(&t, offers);
}

static void expect_offers(const char *line, unsigned offers)
{
	const char *const lines[] = {line, NULL};

	greet(lines);
	assert_int_equal(t.h.offers, offers);
}

static void each_extension_is_known_by_its_keyword(void **state)
{
	expect_offers("PIPELINING", HOP_OFFERS_PIPELINING);
	expect_offers("SIZE", HOP_OFFERS_SIZE);
	expect_offers("8BITMIME", HOP_OFFERS_8BITMIME);
	expect_offers("SMTPUTF8", HOP_OFFERS_SMTPUTF8);
	expect_offers("DSN", HOP_OFFERS_DSN);
	expect_offers("CHUNKING", HOP_OFFERS_CHUNKING);
	expect_offers("8bitMime", HOP_OFFERS_8BITMIME);
	expect_offers("DSN and more", HOP_OFFERS_DSN);
	expect_offers("XDSN", 0);
	expect_offers("DSNX", 0);
	expect_offers("STARTTLS", 0);
	expect_offers("", 0);
}

static void all_that_is_offered_is_known(void **state)
{
	static const char *const offers[] = {"pipelining", "SIZE 10240000", "ETRN", "dsn",
					     "8BITMIME",   "CHUNKING",	    NULL};

	greet(offers);
	assert_int_equal(t.h.offers, HOP_OFFERS_PIPELINING | HOP_OFFERS_SIZE | HOP_OFFERS_DSN |
					     HOP_OFFERS_8BITMIME | HOP_OFFERS_CHUNKING);
}

static void the_name_in_the_first_line_is_no_keyword(void **state)
{
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_server(&t, "220 x\r\n");
	talk_server(&t, "250-DSN\r\n250 8BITMIME\r\n");
	assert_int_equal(t.h.offers, HOP_OFFERS_8BITMIME);
}

static void expect_size(const char *line, uint64_t size)
{
	expect_offers(line, HOP_OFFERS_SIZE);
	assert_int_equal(t.h.size_max, size);
}

static void size_may_name_the_most_it_takes(void **state)
{
	expect_size("SIZE 10240000", 10240000);
	expect_size("size  1 2", 1);
	expect_size("SIZE 0", 0);
	expect_size("SIZE", 0);
	expect_size("SIZE ", 0);
	expect_size("SIZE 1x", 0);
	expect_size("SIZE 18446744073709551615", UINT64_MAX);
	expect_size("SIZE 18446744073709551616", 0);
	expect_size("SIZE 99999999999999999999", 0);
}

static void xclient_names_its_attributes(void **state)
{
	expect_offers("XCLIENT", 0);
	expect_offers("XCLIENT NAME", HOP_OFFERS_XCLIENT_NAME);
	expect_offers("XCLIENT ADDR", HOP_OFFERS_XCLIENT_ADDR);
	expect_offers("XCLIENT PORT", HOP_OFFERS_XCLIENT_PORT);
	expect_offers("XCLIENT PROTO", HOP_OFFERS_XCLIENT_PROTO);
	expect_offers("XCLIENT HELO", HOP_OFFERS_XCLIENT_HELO);
	expect_offers("XCLIENT DESTADDR", HOP_OFFERS_XCLIENT_DESTADDR);
	expect_offers("XCLIENT DESTPORT", HOP_OFFERS_XCLIENT_DESTPORT);
	expect_offers("xclient  login addr\tPort ",
		      HOP_OFFERS_XCLIENT_ADDR | HOP_OFFERS_XCLIENT_PORT);
	expect_offers("ADDR", 0);
}

/* A keyword that was cut may seem another. */
static void line_that_was_not_kept_whole_offers_nothing(void **state)
{
	static char first[HOP_TEXT_MAX + 1];
	/* The name, its LF, first, its LF, and DSN just fit. */
	const size_t len = HOP_TEXT_MAX - strlen("mx.example.net") - 1 - 1 - 3;
	const char *whole[] = {first, "DSN", NULL}, *cut[] = {first, "DSNX", NULL};

	fill(first, "", len, "");
	greet(whole);
	assert_int_equal(t.h.offers, HOP_OFFERS_DSN);
	greet(cut);
	assert_int_equal(t.h.offers, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reply_of_one_line_is_its_code_and_its_text),
		cmocka_unit_test(lines_of_a_reply_have_lf_between_them),
		cmocka_unit_test(lf_alone_ends_a_line),
		cmocka_unit_test(code_alone_is_a_reply),
		cmocka_unit_test(text_is_kept_as_it_is),
		cmocka_unit_test(part_of_a_reply_is_waited_on),
		cmocka_unit_test(what_has_no_code_is_no_reply),
		cmocka_unit_test(code_below_200_or_over_599_is_no_reply),
		cmocka_unit_test(another_code_in_a_later_line_is_no_reply),
		cmocka_unit_test(line_of_more_octets_than_the_limit_is_no_reply),
		cmocka_unit_test(reply_of_more_lines_than_the_limit_is_no_reply),
		cmocka_unit_test(text_beyond_what_is_kept_is_read_and_left_out),
		cmocka_unit_test(each_extension_is_known_by_its_keyword),
		cmocka_unit_test(all_that_is_offered_is_known),
		cmocka_unit_test(the_name_in_the_first_line_is_no_keyword),
		cmocka_unit_test(size_may_name_the_most_it_takes),
		cmocka_unit_test(xclient_names_its_attributes),
		cmocka_unit_test(line_that_was_not_kept_whole_offers_nothing),
	};
	int failed = 0;

	for (size_t i = 0; i < talk_n_manners; i++) {
		manner = &talk_manners[i];
		failed += cmocka_run_group_tests_name(manner->name, tests, NULL, NULL);
	}
	return failed;
}
