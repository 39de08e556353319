/* SPDX-License-Identifier: BSD-3-Clause */
/* Talks with next hops, good and bad ones, each in every manner: talk.h. */
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

static const char *const nothing[] = {NULL};
static const char *const pipelining[] = {"PIPELINING", NULL};
static const char *const everything[] = {"PIPELINING", "SIZE 1000000", "8BITMIME",
					 "SMTPUTF8",   "DSN",	       NULL};
static const char *const xclient[] = {
	"PIPELINING", "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT", NULL};

#define XCLIENT_SAID                                                               \
	"XCLIENT ADDR=IPV6:2001:db8::7 PORT=40000 NAME=[UNAVAILABLE] PROTO=ESMTP " \
	"DESTADDR=192.0.2.25 DESTPORT=25 HELO=client.example\r\n"

static void open_to(enum pool_protocol protocol, const char *const *offers)
{
	talk_open(&t, manner, protocol, POOL_IDENTITY_NONE);
	talk_greet(&t, offers);
}

static void recipients(unsigned n)
{
	char address[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(address, sizeof(address), "r%u@example.net", i);
		talk_recipient(&t, address, 0, "");
	}
}

/* To HOP_ASKED, all taken. */
static void ask(enum pool_protocol protocol, unsigned n)
{
	open_to(protocol, pipelining);
	recipients(n);
	talk_begin(&t);
	talk_server(&t, "250 sender ok\r\n");
	for (unsigned i = 0; i < n; i++)
		talk_server(&t, "250 recipient ok\r\n");
	assert_int_equal(t.h.state, HOP_STATE_ASKED);
	assert_int_equal(t.h.rcpts_taken, n);
	talk_no_recipients(&t);
	t.found[0] = '\0';
	t.sent_len = 0;
}

/* To HOP_WANTED. */
static void come_to_message(enum pool_protocol protocol, unsigned n)
{
	ask(protocol, n);
	talk_data(&t);
	talk_expect_sent(&t, "DATA\r\n");
	talk_server(&t, "354 go on\r\n");
	talk_expect(&t, "WANTED");
	talk_expect_reply(&t, 354, "go on");
}

static void expect_outcome(unsigned taken, unsigned refused)
{
	assert_int_equal(t.h.outcome.taken, taken);
	assert_int_equal(t.h.outcome.refused, refused);
}

/* To the answer to the dot. */
static void deliver(enum pool_protocol protocol, unsigned n)
{
	come_to_message(protocol, n);
	talk_end(&t);
	talk_expect_sent(&t, ".\r\n");
}

/* A transaction that is done, so that the connection was used. */
static void use(const char *const *offers)
{
	open_to(POOL_SMTP, offers);
	recipients(1);
	talk_begin(&t);
	talk_server(&t, "550 no\r\n");
	if (offers != nothing)
		talk_server(&t, "503 no\r\n");
	talk_expect(&t, "ASKED");
	talk_reset(&t);
	talk_server(&t, "250 ok\r\n");
	talk_expect(&t, "READY");
	t.sent_len = 0;
}

/* --- greeting --------------------------------------------------------------------------------- */

static void greeting_is_awaited_before_anything_is_said(void **state)
{
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_server(&t, "220-mx.example.net\r\n220 ESMTP\r");
	talk_expect_sent(&t, "");
	talk_server(&t, "\n");
	talk_expect_sent(&t, "EHLO gw.example.net\r\n");
	talk_expect(&t, "");
	talk_server(&t, "250 mx.example.net\r\n");
	talk_expect_sent(&t, "");
	talk_expect(&t, "READY");
	assert_true(hop_is_idle(&t.h));
}

static void lmtp_says_lhlo(void **state)
{
	talk_open(&t, manner, POOL_LMTP, POOL_IDENTITY_NONE);
	talk_server(&t, "220 lmtp\r\n");
	talk_expect_sent(&t, "LHLO gw.example.net\r\n");
	talk_server(&t, "250-lmtp\r\n250 PIPELINING\r\n");
	talk_expect(&t, "READY");
	assert_int_equal(t.h.offers, HOP_OFFERS_PIPELINING);
}

static void expect_refused_greeting(const char *said)
{
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_server(&t, said);
	talk_expect(&t, "FAILED GREETING_REFUSED");
	talk_expect_sent(&t, "");
}

static void greeting_other_than_220_is_a_refusal(void **state)
{
	expect_refused_greeting("554 5.7.1 no service\r\n");
	talk_expect_reply(&t, 554, "5.7.1 no service");
	expect_refused_greeting("450 later\r\n");
	expect_refused_greeting("250 hello\r\n");
}

static void expect_hello_answered(enum pool_protocol protocol, const char *said, const char *found)
{
	talk_open(&t, manner, protocol, POOL_IDENTITY_NONE);
	talk_server(&t, "220 mx\r\n");
	t.sent_len = 0;
	talk_server(&t, said);
	talk_expect(&t, found);
}

static void refused_ehlo_fails(void **state)
{
	expect_hello_answered(POOL_SMTP, "550 5.7.1 not you\r\n", "FAILED HELLO_REFUSED");
	talk_expect_reply(&t, 550, "5.7.1 not you");
	talk_expect_sent(&t, "");
	expect_hello_answered(POOL_SMTP, "451 later\r\n", "FAILED HELLO_REFUSED");
	expect_hello_answered(POOL_SMTP, "504 no\r\n", "FAILED HELLO_REFUSED");
	expect_hello_answered(POOL_SMTP, "220 x\r\n", "FAILED NO_REPLY");
	expect_hello_answered(POOL_SMTP, "354 x\r\n", "FAILED NO_REPLY");
}

static void server_without_ehlo_is_told_helo_and_offers_nothing(void **state)
{
	expect_hello_answered(POOL_SMTP, "500 what\r\n", "");
	talk_expect_sent(&t, "HELO gw.example.net\r\n");
	talk_server(&t, "250-mx\r\n250 PIPELINING\r\n");
	talk_expect(&t, "READY");
	assert_int_equal(t.h.offers, 0);
	expect_hello_answered(POOL_SMTP, "502 what\r\n", "");
	talk_expect_sent(&t, "HELO gw.example.net\r\n");
	talk_server(&t, "502 what\r\n");
	talk_expect(&t, "FAILED HELLO_REFUSED");
}

static void lmtp_knows_no_helo(void **state)
{
	expect_hello_answered(POOL_LMTP, "500 what\r\n", "FAILED HELLO_REFUSED");
	talk_expect_sent(&t, "");
}

/* --- asking ----------------------------------------------------------------------------------- */

static void mail_and_recipients_go_in_one_flight(void **state)
{
	open_to(POOL_SMTP, pipelining);
	recipients(2);
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\nRCPT TO:<r0@example.net>\r\n"
			     "RCPT TO:<r1@example.net>\r\n");
	assert_false(hop_is_idle(&t.h));
	talk_server(&t, "250 ok\r\n250 2.1.5 ok\r\n550 5.1.1 unknown\r\n");
	talk_expect(&t, "RCPT 250, RCPT 550, ASKED");
	assert_false(hop_mail_refused(&t.h));
	assert_int_equal(t.h.rcpts_said, 2);
	assert_int_equal(t.h.rcpts_answered, 2);
	assert_int_equal(t.h.rcpts_taken, 1);
	talk_expect_sent(&t, "");
}

static void without_pipelining_one_command_goes_at_a_time(void **state)
{
	open_to(POOL_SMTP, nothing);
	recipients(2);
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\n");
	talk_server(&t, "250 ok\r\n");
	talk_expect_sent(&t, "RCPT TO:<r0@example.net>\r\n");
	talk_server(&t, "251 will forward\r\n");
	talk_expect_sent(&t, "RCPT TO:<r1@example.net>\r\n");
	talk_server(&t, "452 full\r\n");
	talk_expect(&t, "RCPT 251, RCPT 452, ASKED");
	assert_int_equal(t.h.rcpts_taken, 1);
}

static unsigned lines_sent(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < t.sent_len; i++)
		n += t.sent[i] == '\n';
	t.sent_len = 0;
	return n;
}

static void only_so_many_commands_are_in_flight(void **state)
{
	open_to(POOL_SMTP, pipelining);
	recipients(HOP_IN_FLIGHT_MAX + 10);
	talk_begin(&t);
	assert_int_equal(lines_sent(), HOP_IN_FLIGHT_MAX);
	talk_server(&t, "250 ok\r\n");
	assert_int_equal(lines_sent(), 1);
	for (unsigned i = 0; i < 10; i++)
		talk_server(&t, "250 ok\r\n");
	assert_int_equal(lines_sent(), 10);
	for (unsigned i = 10; i < HOP_IN_FLIGHT_MAX + 10; i++)
		talk_server(&t, "250 ok\r\n");
	assert_int_equal(lines_sent(), 0);
	assert_int_equal(t.h.rcpts_taken, HOP_IN_FLIGHT_MAX + 10);
	assert_int_equal(t.h.state, HOP_STATE_ASKED);
}

static void reply_is_the_recipients_when_it_is_told(void **state)
{
	struct smtp_out out = {.bytes = t.sent, .size = sizeof(t.sent)};
	struct span in = {(const uint8_t *)"250 s\r\n250 one\r\n550 two\r\n", 25};

	open_to(POOL_SMTP, pipelining);
	recipients(2);
	talk_begin(&t);
	assert_int_equal(hop_feed(&t.h, &in, &out), HOP_RCPT);
	talk_expect_reply(&t, 250, "one");
	assert_int_equal(t.h.rcpts_answered, 1);
	assert_int_equal(hop_feed(&t.h, &in, &out), HOP_RCPT);
	talk_expect_reply(&t, 550, "two");
	assert_int_equal(in.len, 0);
	assert_int_equal(hop_feed(&t.h, &in, &out), HOP_ASKED);
	assert_int_equal(hop_feed(&t.h, &in, &out), HOP_WAIT);
}

static void refused_mail_speaks_for_all(void **state)
{
	open_to(POOL_SMTP, pipelining);
	recipients(2);
	talk_begin(&t);
	talk_server(&t, "550 5.7.1 not from you\r\n");
	talk_expect(&t, "");
	talk_server(&t, "503 5.5.1 MAIL first\r\n250 ok\r\n");
	talk_expect(&t, "ASKED");
	assert_true(hop_mail_refused(&t.h));
	talk_expect_reply(&t, 550, "5.7.1 not from you");
	assert_int_equal(t.h.rcpts_taken, 0);
}

static void nothing_more_is_said_once_mail_was_refused(void **state)
{
	open_to(POOL_SMTP, nothing);
	recipients(2);
	talk_begin(&t);
	talk_server(&t, "451 later\r\n");
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\n");
	talk_expect(&t, "ASKED");
	open_to(POOL_SMTP, pipelining);
	recipients(HOP_IN_FLIGHT_MAX);
	talk_begin(&t);
	lines_sent();
	talk_server(&t, "451 later\r\n");
	for (unsigned i = 1; i < HOP_IN_FLIGHT_MAX; i++) {
		talk_expect(&t, "");
		talk_server(&t, "503 no\r\n");
	}
	talk_expect(&t, "ASKED");
	talk_expect_reply(&t, 451, "later");
	assert_int_equal(lines_sent(), 0);
}

static void all_recipients_may_be_refused(void **state)
{
	open_to(POOL_SMTP, pipelining);
	recipients(1);
	talk_begin(&t);
	talk_server(&t, "250 ok\r\n550 5.1.1 unknown\r\n");
	talk_expect(&t, "RCPT 550, ASKED");
	assert_int_equal(t.h.rcpts_taken, 0);
	assert_false(hop_mail_refused(&t.h));
	talk_expect_reply(&t, 550, "5.1.1 unknown");
}

static void code_out_of_place_is_no_reply(void **state)
{
	open_to(POOL_SMTP, pipelining);
	recipients(1);
	talk_begin(&t);
	talk_server(&t, "354 go on\r\n");
	talk_expect(&t, "FAILED NO_REPLY");
	open_to(POOL_SMTP, pipelining);
	recipients(1);
	talk_begin(&t);
	talk_server(&t, "250 ok\r\n354 go on\r\n");
	talk_expect(&t, "FAILED NO_REPLY");
}

static void garbage_in_place_of_a_reply_fails(void **state)
{
	open_to(POOL_SMTP, pipelining);
	recipients(1);
	talk_begin(&t);
	talk_server(&t, "250 ok\r\nHTTP/1.1 200 OK\r\n");
	talk_expect(&t, "FAILED NO_REPLY");
}

static void shutting_down_is_heard_anywhere(void **state)
{
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_server(&t, "421 busy\r\n");
	talk_expect(&t, "FAILED SHUT_DOWN");
	talk_expect_reply(&t, 421, "busy");
	expect_hello_answered(POOL_SMTP, "421 busy\r\n", "FAILED SHUT_DOWN");
	open_to(POOL_SMTP, pipelining);
	recipients(1);
	talk_begin(&t);
	talk_server(&t, "250 ok\r\n421 4.3.2 going\r\n");
	talk_expect(&t, "FAILED SHUT_DOWN");
	talk_expect_reply(&t, 421, "4.3.2 going");
	ask(POOL_SMTP, 1);
	talk_data(&t);
	talk_server(&t, "421 going\r\n");
	talk_expect(&t, "FAILED SHUT_DOWN");
	come_to_message(POOL_SMTP, 1);
	talk_server(&t, "421 going\r\n");
	talk_expect(&t, "FAILED SHUT_DOWN");
	deliver(POOL_SMTP, 1);
	talk_server(&t, "421 going\r\n");
	talk_expect(&t, "FAILED SHUT_DOWN");
	use(pipelining);
	talk_reset(&t);
	talk_server(&t, "421 going\r\n");
	talk_expect(&t, "FAILED SHUT_DOWN");
}

/* --- parameters ------------------------------------------------------------------------------- */

static void fill_in_everything(void)
{
	struct smtp_transaction *transaction = &t.mail.transaction;

	transaction->declared_size = 5000;
	transaction->eight_bit_mime = true;
	transaction->ret = SMTP_RETURN_HEADERS;
	transaction->envid = (struct span){(const uint8_t *)"id+2B1", 6};
	t.mail.added = 200;
	talk_recipient(&t, "one@example.net", SMTP_NOTIFY_NEVER, "");
	talk_recipient(&t, "two@example.net",
		       SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
		       "rfc822;two+40example.net");
}

static void parameters_go_where_they_are_offered(void **state)
{
	open_to(POOL_SMTP, everything);
	fill_in_everything();
	t.mail.transaction.smtputf8 = true;
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org> SIZE=5200 BODY=8BITMIME SMTPUTF8 RET=HDRS "
			     "ENVID=id+2B1\r\n"
			     "RCPT TO:<one@example.net> NOTIFY=NEVER\r\n"
			     "RCPT TO:<two@example.net> NOTIFY=SUCCESS,FAILURE,DELAY "
			     "ORCPT=rfc822;two+40example.net\r\n");
}

static void parameters_that_are_not_offered_stay_out(void **state)
{
	open_to(POOL_SMTP, pipelining);
	fill_in_everything();
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\nRCPT TO:<one@example.net>\r\n"
			     "RCPT TO:<two@example.net>\r\n");
}

static void parameters_that_the_client_did_not_say_stay_out(void **state)
{
	open_to(POOL_SMTP, everything);
	t.mail.added = 200;
	recipients(1);
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\nRCPT TO:<r0@example.net>\r\n");
	open_to(POOL_SMTP, everything);
	t.mail.transaction.ret = SMTP_RETURN_FULL;
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org> RET=FULL\r\n");
}

static void size_beyond_all_is_the_largest(void **state)
{
	static const char *const size[] = {"SIZE", NULL};

	open_to(POOL_SMTP, size);
	t.mail.transaction.declared_size = UINT64_MAX - 1;
	t.mail.added = 200;
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org> SIZE=18446744073709551615\r\n");
}

static void addresses_go_as_they_are(void **state)
{
	open_to(POOL_SMTP, pipelining);
	t.mail.transaction.sender = (struct span){0};
	talk_recipient(&t, "postmaster", 0, "");
	talk_recipient(&t, "\"a b@c\"@example.net", 0, "");
	talk_recipient(&t, "user@[192.0.2.1]", 0, "");
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\n"
			     "RCPT TO:<\"a b@c\"@example.net>\r\nRCPT TO:<user@[192.0.2.1]>\r\n");
}

static void longest_commands_have_room(void **state)
{
	static char sender[SMTP_ADDRESS_MAX + 1], envid[SMTP_ENVID_MAX + 1];
	static char recipient[SMTP_ADDRESS_MAX + 1], orcpt[SMTP_ORCPT_MAX + 1];

	open_to(POOL_SMTP, everything);
	memset(sender, 's', SMTP_ADDRESS_MAX);
	memset(envid, 'e', SMTP_ENVID_MAX);
	memset(recipient, 'r', SMTP_ADDRESS_MAX);
	memset(orcpt, 'o', SMTP_ORCPT_MAX);
	recipient[SMTP_LOCAL_MAX] = '@';
	fill_in_everything();
	talk_no_recipients(&t);
	t.mail.transaction.sender = (struct span){(const uint8_t *)sender, SMTP_ADDRESS_MAX};
	t.mail.transaction.envid = (struct span){(const uint8_t *)envid, SMTP_ENVID_MAX};
	t.mail.transaction.declared_size = UINT64_MAX;
	t.mail.transaction.smtputf8 = true;
	talk_recipient(&t, recipient, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
		       orcpt);
	talk_begin(&t);
	assert_int_equal(lines_sent(), 2);
}

static void mail_that_needs_smtputf8_goes_only_where_it_is_offered(void **state)
{
	struct smtp_out out = {.bytes = t.sent, .size = sizeof(t.sent)};

	open_to(POOL_SMTP, pipelining);
	t.mail.transaction.smtputf8 = true;
	assert_false(hop_begin(&t.h, NULL, &t.mail, &out));
	assert_int_equal(out.len, 0);
	assert_true(hop_is_idle(&t.h));
	/* Another goes, and no RSET before it: nothing was begun. */
	t.mail.transaction.smtputf8 = false;
	recipients(1);
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\nRCPT TO:<r0@example.net>\r\n");
}

/* --- the message ------------------------------------------------------------------------------ */

static void delivery_is_what_the_answer_to_the_dot_says(void **state)
{
	deliver(POOL_SMTP, 3);
	talk_server(&t, "250 2.0.0 queued as 1\r\n");
	talk_expect(&t, "ANSWERED");
	talk_expect_reply(&t, 250, "2.0.0 queued as 1");
	expect_outcome(3, 0);
	assert_true(hop_is_idle(&t.h));
	deliver(POOL_SMTP, 3);
	talk_server(&t, "554 5.6.0 no\r\n");
	talk_expect(&t, "ANSWERED");
	talk_expect_reply(&t, 554, "5.6.0 no");
	expect_outcome(0, 3);
	assert_true(hop_is_idle(&t.h));
}

static void go_on_behind_the_dot_is_no_reply(void **state)
{
	deliver(POOL_SMTP, 1);
	talk_server(&t, "354 more\r\n");
	talk_expect(&t, "FAILED NO_REPLY");
	deliver(POOL_LMTP, 2);
	talk_server(&t, "250 ok\r\n354 more\r\n");
	talk_expect(&t, "RCPT_END, FAILED NO_REPLY");
}

static void lmtp_answers_for_each_recipient(void **state)
{
	deliver(POOL_LMTP, 3);
	talk_server(&t, "250 one\r\n250 two\r\n");
	talk_expect(&t, "RCPT_END, RCPT_END");
	talk_server(&t, "250 three\r\n");
	talk_expect(&t, "RCPT_END, ANSWERED");
	talk_expect_reply(&t, 250, "three");
	expect_outcome(3, 0);
}

static void first_refusal_speaks_for_all_of_lmtp(void **state)
{
	deliver(POOL_LMTP, 4);
	talk_server(&t, "250 one\r\n452 two is full\r\n550 three\r\n250 four\r\n");
	talk_expect(&t, "RCPT_END, RCPT_END refused, RCPT_END refused, RCPT_END, ANSWERED");
	talk_expect_reply(&t, 452, "two is full");
	expect_outcome(2, 2);
	assert_true(hop_is_idle(&t.h));
}

static void lmtp_answers_for_those_only_that_were_taken(void **state)
{
	open_to(POOL_LMTP, pipelining);
	recipients(3);
	talk_begin(&t);
	talk_server(&t, "250 ok\r\n250 ok\r\n550 no\r\n250 ok\r\n");
	talk_expect(&t, "RCPT 250, RCPT 550, RCPT 250, ASKED");
	talk_data(&t);
	talk_server(&t, "354 go\r\n");
	talk_end(&t);
	talk_server(&t, "250 one\r\n250 three\r\n");
	talk_expect(&t, "WANTED, RCPT_END, RCPT_END, ANSWERED");
	expect_outcome(2, 0);
}

static void refused_data_delivers_nothing_and_leaves_the_connection(void **state)
{
	ask(POOL_SMTP, 2);
	talk_data(&t);
	talk_server(&t, "451 4.3.0 later\r\n");
	talk_expect(&t, "ANSWERED");
	talk_expect_reply(&t, 451, "4.3.0 later");
	expect_outcome(0, 2);
	assert_true(hop_is_idle(&t.h));
	t.sent_len = 0;
	talk_begin(&t);
	talk_expect_sent(&t, "RSET\r\nMAIL FROM:<a@example.org>\r\n");
}

static void data_answered_by_anything_else_is_no_reply(void **state)
{
	static const char *const said[] = {"250 ok\r\n", "355 go\r\n", "300 go\r\n"};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		ask(POOL_SMTP, 1);
		talk_data(&t);
		talk_server(&t, said[i]);
		talk_expect(&t, "FAILED NO_REPLY");
	}
}

static void refusal_before_the_end_of_the_message_is_told(void **state)
{
	come_to_message(POOL_SMTP, 1);
	talk_server(&t, "552-5.3.4 too\r\n552 5.3.4 large");
	talk_expect(&t, "");
	talk_server(&t, "\r\n");
	talk_expect(&t, "FAILED UNASKED");
	talk_expect_reply(&t, 552, "5.3.4 too\n5.3.4 large");
}

static void anything_else_before_the_end_of_the_message_is_no_reply(void **state)
{
	static const char *const said[] = {"250 ok\r\n", "354 go\r\n", "what\r\n"};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		come_to_message(POOL_SMTP, 1);
		talk_server(&t, said[i]);
		talk_expect(&t, "FAILED NO_REPLY");
	}
}

/* Or a server could have taken what it has not seen the end of. */
static void reply_begun_before_the_dot_is_no_answer_to_it(void **state)
{
	come_to_message(POOL_SMTP, 1);
	talk_server(&t, "25");
	talk_end(&t);
	talk_expect(&t, "");
	talk_server(&t, "0 ok\r\n");
	talk_expect(&t, "FAILED NO_REPLY");
	come_to_message(POOL_SMTP, 1);
	talk_server(&t, "552 too");
	talk_end(&t);
	talk_server(&t, " large\r\n");
	talk_expect(&t, "FAILED UNASKED");
	talk_expect_reply(&t, 552, "too large");
}

/* --- use again -------------------------------------------------------------------------------- */

static void used_connection_is_reset_in_the_same_flight(void **state)
{
	use(pipelining);
	talk_begin(&t);
	talk_expect_sent(&t, "RSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<r0@example.net>\r\n");
	talk_server(&t, "250 flushed\r\n250 ok\r\n250 ok\r\n");
	talk_expect(&t, "RCPT 250, ASKED");
	assert_int_equal(t.h.rcpts_taken, 1);
}

static void used_connection_is_reset_before_all_without_pipelining(void **state)
{
	use(nothing);
	talk_begin(&t);
	talk_expect_sent(&t, "RSET\r\n");
	talk_server(&t, "250 flushed\r\n");
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\n");
}

static void reset_that_is_refused_fails(void **state)
{
	static const char *const said[] = {"500 what\r\n", "451 no\r\n", "354 go\r\n"};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		use(pipelining);
		talk_begin(&t);
		talk_server(&t, said[i]);
		talk_expect(&t, "FAILED RESET_REFUSED");
		ask(POOL_SMTP, 1);
		talk_reset(&t);
		talk_server(&t, said[i]);
		talk_expect(&t, "FAILED RESET_REFUSED");
	}
}

static void reset_ends_what_was_asked(void **state)
{
	ask(POOL_SMTP, 1);
	talk_reset(&t);
	talk_expect_sent(&t, "RSET\r\n");
	talk_server(&t, "250 ok\r\n");
	talk_expect(&t, "READY");
	assert_true(hop_is_idle(&t.h));
	talk_reset(&t);
	talk_server(&t, "250 ok\r\n");
	talk_expect(&t, "READY");
}

static void nothing_of_a_transaction_is_left_for_the_next(void **state)
{
	deliver(POOL_LMTP, 2);
	talk_server(&t, "450 no\r\n250 ok\r\n");
	talk_expect(&t, "RCPT_END refused, RCPT_END, ANSWERED");
	recipients(1);
	t.sent_len = 0;
	talk_begin(&t);
	talk_expect_sent(&t, "RSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<r0@example.net>\r\n");
	talk_server(&t, "250 ok\r\n250 ok\r\n250 new\r\n");
	talk_expect(&t, "RCPT 250, ASKED");
	assert_int_equal(t.h.rcpts_said, 1);
	assert_int_equal(t.h.rcpts_answered, 1);
	assert_int_equal(t.h.rcpts_taken, 1);
	expect_outcome(0, 0);
	/* Refused MAIL, then one that is taken. */
	use(pipelining);
	talk_begin(&t);
	assert_false(hop_mail_refused(&t.h));
	talk_server(&t, "250 ok\r\n250 ok\r\n250 ok\r\n");
	assert_false(hop_mail_refused(&t.h));
	talk_expect(&t, "RCPT 250, ASKED");
}

static void quit_is_said_and_its_answer_ends_all(void **state)
{
	open_to(POOL_SMTP, pipelining);
	talk_quit(&t);
	talk_expect_sent(&t, "QUIT\r\n");
	assert_false(hop_is_idle(&t.h));
	talk_server(&t, "221 bye\r\n");
	talk_expect(&t, "FAILED FINE");
}

/* --- octets nobody asked for ------------------------------------------------------------------ */

static void any_octet_while_idle_fails(void **state)
{
	static const char *const said[] = {"2", "\n", "250 part", "x"};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		open_to(POOL_SMTP, pipelining);
		talk_server(&t, said[i]);
		talk_expect(&t, "FAILED UNASKED");
		talk_expect_reply(&t, 0, "");
		ask(POOL_SMTP, 1);
		talk_server(&t, said[i]);
		talk_expect(&t, "FAILED UNASKED");
		talk_expect_reply(&t, 0, "");
	}
}

static void server_that_closes_while_idle_shuts_down(void **state)
{
	open_to(POOL_SMTP, pipelining);
	talk_server(&t, "421 4.4.2 idle for too long\r\n");
	/* What came of it does not tell which reply it will be. */
	talk_expect(&t, manner->octet_by_octet ? "FAILED UNASKED" : "FAILED SHUT_DOWN");
}

/* These must come at once to be seen as early. */
static enum hop_step feed_once(const char *text, struct span *rest)
{
	struct smtp_out out = {.bytes = t.sent, .size = sizeof(t.sent)};
	struct span in = {(const uint8_t *)text, strlen(text)};
	const enum hop_step step = hop_feed(&t.h, &in, &out);

	t.sent_len = out.len;
	*rest = in;
	return step;
}

static enum hop_step feed_rest(struct span rest)
{
	struct smtp_out out = {.bytes = t.sent, .size = sizeof(t.sent)};
	const enum hop_step step = hop_feed(&t.h, &rest, &out);

	assert_int_equal(out.len, 0);
	return step;
}

static void reply_before_its_command_is_no_answer(void **state)
{
	struct span rest;

	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	assert_int_equal(feed_once("220 mx\r\n250 mx\r\n", &rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_UNASKED);
	talk_expect_sent(&t, "");

	open_to(POOL_SMTP, nothing);
	recipients(1);
	talk_begin(&t);
	assert_int_equal(feed_once("250 ok\r\n250 ok\r\n", &rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_UNASKED);
	talk_expect_sent(&t, "");
}

static void octets_behind_an_answer_are_no_answer_to_what_is_said_next(void **state)
{
	struct smtp_out out = {.bytes = t.sent, .size = sizeof(t.sent)};
	struct span rest;

	/* MAIL and RCPT */
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_server(&t, "220 mx\r\n");
	assert_int_equal(feed_once("250 mx\r\n250 ok\r\n", &rest), HOP_READY);
	assert_true(hop_begin(&t.h, NULL, &t.mail, &out));
	assert_int_equal(out.len, 0);
	assert_int_equal(feed_rest(rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_UNASKED);

	/* RSET */
	talk_open(&t, manner, POOL_SMTP, POOL_IDENTITY_NONE);
	talk_server(&t, "220 mx\r\n");
	assert_int_equal(feed_once("250 mx\r\n250 ok\r\n", &rest), HOP_READY);
	talk_reset(&t);
	assert_int_equal(feed_rest(rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_UNASKED);

	/* the dot */
	ask(POOL_SMTP, 1);
	talk_data(&t);
	assert_int_equal(feed_once("354 go\r\n250 queued\r\n", &rest), HOP_WANTED);
	talk_end(&t);
	assert_int_equal(feed_rest(rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_NO_REPLY);

	/* DATA: the answer too many is seen before all are asked */
	open_to(POOL_SMTP, pipelining);
	recipients(1);
	talk_begin(&t);
	assert_int_equal(feed_once("250 ok\r\n250 ok\r\n354 go\r\n", &rest), HOP_RCPT);
	assert_int_equal(feed_rest(rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_UNASKED);
}

static void recipients_are_not_said_while_answers_are_left_to_read(void **state)
{
	static char answers[8 * HOP_IN_FLIGHT_MAX + 9];
	struct span rest;

	open_to(POOL_SMTP, pipelining);
	recipients(HOP_IN_FLIGHT_MAX);
	talk_begin(&t);
	/* One more than there are commands, before the last recipient is told. */
	for (unsigned i = 0; i <= HOP_IN_FLIGHT_MAX; i++)
		snprintf(answers + 8 * i, 9, "250 ok\r\n");
	assert_int_equal(feed_once(answers, &rest), HOP_RCPT);
	for (unsigned i = 2; i < HOP_IN_FLIGHT_MAX; i++)
		assert_int_equal(feed_once((const char *)rest.bytes, &rest), HOP_RCPT);
	assert_int_equal(feed_once((const char *)rest.bytes, &rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_UNASKED);
	assert_int_equal(t.h.rcpts_said, HOP_IN_FLIGHT_MAX - 1);
}

static void answer_too_many_of_lmtp_is_unasked(void **state)
{
	deliver(POOL_LMTP, 1);
	talk_server(&t, "250 one\r\n");
	talk_server(&t, "250 two\r\n");
	talk_expect(&t, "RCPT_END, ANSWERED, FAILED UNASKED");
	expect_outcome(1, 0);
}

/* Else what was delivered would be taken for lost. */
static void answer_too_many_of_lmtp_spoils_none_before_it(void **state)
{
	struct span rest;

	deliver(POOL_LMTP, 1);
	assert_int_equal(feed_once("250 one\r\n250 two\r\n", &rest), HOP_RCPT_END);
	assert_int_equal(feed_once((const char *)rest.bytes, &rest), HOP_ANSWERED);
	expect_outcome(1, 0);
	assert_int_equal(feed_once((const char *)rest.bytes, &rest), HOP_FAILED);
	assert_int_equal(t.h.failure, HOP_UNASKED);
}

/* --- identities ------------------------------------------------------------------------------- */

static void open_xclient(void)
{
	talk_open(&t, manner, POOL_SMTP, POOL_XCLIENT);
	talk_greet(&t, xclient);
}

static void client_is_told_by_xclient(void **state)
{
	open_xclient();
	recipients(1);
	talk_begin(&t);
	talk_expect_sent(&t, XCLIENT_SAID);
	talk_server(&t, "220 mx\r\n");
	talk_expect_sent(&t, "EHLO gw.example.net\r\n");
	talk_server(&t, "250-mx\r\n250-SIZE\r\n250 XCLIENT ADDR\r\n");
	/* What is offered now counts. */
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\n");
	talk_server(&t, "250 ok\r\n");
	talk_expect_sent(&t, "RCPT TO:<r0@example.net>\r\n");
	talk_server(&t, "250 ok\r\n");
	talk_expect(&t, "RCPT 250, ASKED");
	assert_int_equal(t.h.offers, HOP_OFFERS_SIZE | HOP_OFFERS_XCLIENT_ADDR);
}

static void each_transaction_tells_its_client(void **state)
{
	static const uint8_t v4[4] = {203, 0, 113, 9};

	open_xclient();
	talk_begin(&t);
	talk_server(&t, "220 mx\r\n");
	talk_server(&t, "250-mx\r\n250-PIPELINING\r\n250 XCLIENT ADDR PROTO HELO\r\n");
	talk_server(&t, "550 no\r\n");
	talk_expect(&t, "ASKED");
	talk_reset(&t);
	talk_server(&t, "250 ok\r\n");
	t.sent_len = 0;
	t.client.address = ip_addr_from_v4(v4);
	t.client.extended = false;
	t.client.hello = (struct span){0};
	talk_begin(&t);
	talk_expect_sent(&t, "RSET\r\nXCLIENT ADDR=203.0.113.9 PROTO=SMTP HELO=[UNAVAILABLE]\r\n");
	talk_server(&t, "250 ok\r\n220 mx\r\n");
	talk_expect_sent(&t, "EHLO gw.example.net\r\n");
	talk_server(&t, "250 mx\r\n");
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\n");
}

static void only_attributes_that_are_offered_are_told(void **state)
{
	static const char *const offers[][2] = {
		{"XCLIENT ADDR", "XCLIENT ADDR=IPV6:2001:db8::7\r\n"},
		{"XCLIENT PORT ADDR", "XCLIENT ADDR=IPV6:2001:db8::7 PORT=40000\r\n"},
		{"XCLIENT ADDR NAME", "XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE]\r\n"},
		{"XCLIENT ADDR PROTO", "XCLIENT ADDR=IPV6:2001:db8::7 PROTO=ESMTP\r\n"},
		{"XCLIENT ADDR DESTADDR", "XCLIENT ADDR=IPV6:2001:db8::7 DESTADDR=192.0.2.25\r\n"},
		{"XCLIENT ADDR DESTPORT", "XCLIENT ADDR=IPV6:2001:db8::7 DESTPORT=25\r\n"},
		{"XCLIENT ADDR HELO", "XCLIENT ADDR=IPV6:2001:db8::7 HELO=client.example\r\n"},
	};

	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		const char *const lines[] = {offers[i][0], NULL};

		talk_open(&t, manner, POOL_SMTP, POOL_XCLIENT);
		talk_greet(&t, lines);
		talk_begin(&t);
		talk_expect_sent(&t, offers[i][1]);
	}
}

static void expect_name(const char *name, const char *sent)
{
	static const char *const offers[] = {"XCLIENT ADDR HELO", NULL};
	static char line[SMTP_LINE_MAX * 2];

	talk_open(&t, manner, POOL_SMTP, POOL_XCLIENT);
	talk_greet(&t, offers);
	t.client.hello = (struct span){(const uint8_t *)name, strlen(name)};
	talk_begin(&t);
	snprintf(line, sizeof(line), "XCLIENT ADDR=IPV6:2001:db8::7 HELO=%s\r\n", sent);
	talk_expect_sent(&t, line);
}

static void name_of_the_client_is_xtext(void **state)
{
	expect_name("a=b+c", "a+3Db+2Bc");
	expect_name("[192.0.2.1]", "[192.0.2.1]");
	expect_name("a b\x7f\xc3\xa9~!", "a+20b+7F+C3+A9~!");
}

/* A line has 512 octets: what stands before the name, the name, CRLF. */
static void name_that_does_not_fit_is_unavailable(void **state)
{
	char name[SMTP_HELO_MAX + 1] = "", sent[SMTP_LINE_MAX + 1] = "";
	const size_t room =
		SMTP_LINE_MAX - strlen("XCLIENT ADDR=IPV6:2001:db8::7 HELO=") - strlen("\r\n");
	const size_t n_plus = room / 3, n_plain = room % 3;

	memset(name, '+', n_plus);
	memset(name + n_plus, 'x', n_plain);
	for (size_t i = 0; i < n_plus; i++)
		snprintf(sent + 3 * i, 4, "+2B");
	memset(sent + 3 * n_plus, 'x', n_plain);
	expect_name(name, sent);
	name[n_plus + n_plain] = 'x';
	expect_name(name, "[UNAVAILABLE]");
	memset(name, '+', SMTP_HELO_MAX);
	expect_name(name, "[UNAVAILABLE]");
}

static void expect_address(const uint16_t groups[8], const char *text)
{
	static const char *const offers[] = {"XCLIENT ADDR", NULL};
	char line[80];

	talk_open(&t, manner, POOL_SMTP, POOL_XCLIENT);
	talk_greet(&t, offers);
	for (unsigned i = 0; i < 8; i++) {
		t.client.address.octets[2 * i] = (uint8_t)(groups[i] >> 8);
		t.client.address.octets[2 * i + 1] = (uint8_t)groups[i];
	}
	talk_begin(&t);
	snprintf(line, sizeof(line), "XCLIENT ADDR=%s\r\n", text);
	talk_expect_sent(&t, line);
}

static void addresses_are_written_in_the_one_form_that_is_looked_up(void **state)
{
	expect_address((uint16_t[8]){0x2001, 0xdb8, 0, 0, 1, 0, 0, 1}, "IPV6:2001:db8::1:0:0:1");
	expect_address((uint16_t[8]){0x2001, 0, 0, 1, 0, 0, 0, 1}, "IPV6:2001:0:0:1::1");
	expect_address((uint16_t[8]){0x2001, 0xdb8, 0, 1, 1, 1, 1, 1}, "IPV6:2001:db8:0:1:1:1:1:1");
	expect_address((uint16_t[8]){0, 0, 0, 0, 0, 0, 0, 1}, "IPV6:::1");
	expect_address((uint16_t[8]){0xfe80, 0, 0, 0, 0, 0, 0, 0}, "IPV6:fe80::");
	expect_address((uint16_t[8]){0}, "IPV6:::");
	expect_address((uint16_t[8]){1, 2, 3, 4, 5, 6, 0, 0}, "IPV6:1:2:3:4:5:6::");
	expect_address((uint16_t[8]){0xffff, 0xabcd, 3, 4, 5, 6, 7, 8},
		       "IPV6:ffff:abcd:3:4:5:6:7:8");
	expect_address((uint16_t[8]){0, 0, 0, 0, 0, 0xffff, 0xc000, 0x201}, "192.0.2.1");
}

static void server_that_takes_no_identity_is_refused(void **state)
{
	static const char *const said[] = {"220 x\r\n250 mx\r\n",
					   "220 x\r\n250-mx\r\n250 XCLIENT NAME PORT\r\n",
					   "220 x\r\n500 what\r\n250 mx\r\n"};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		const char *at = said[i], *end;

		talk_open(&t, manner, POOL_SMTP, POOL_XCLIENT);
		/* Reply by reply, as they are asked for. */
		for (; (end = strstr(at, "\r\n")); at = end + 2)
			talk_server_octets(&t, at, (size_t)(end + 2 - at));
		talk_expect(&t, "FAILED IDENTITY_REFUSED");
		assert_int_equal(t.h.reply.code, 0);
	}
}

static void refused_xclient_fails(void **state)
{
	static const char *const said[] = {"550 5.7.1 not you\r\n", "250 ok\r\n", "354 go\r\n"};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		open_xclient();
		talk_begin(&t);
		talk_server(&t, said[i]);
		talk_expect(&t, "FAILED IDENTITY_REFUSED");
	}
}

static void hello_behind_xclient_may_be_refused(void **state)
{
	static const char *const said[] = {"550 no\r\n", "500 what\r\n", "354 go\r\n"};
	static const char *const found[] = {"FAILED HELLO_REFUSED", "FAILED HELLO_REFUSED",
					    "FAILED NO_REPLY"};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		open_xclient();
		talk_begin(&t);
		talk_server(&t, "220 mx\r\n");
		talk_server(&t, said[i]);
		talk_expect(&t, found[i]);
	}
}

static void offers_behind_xclient_may_lack_what_the_mail_needs(void **state)
{
	static const char *const offers[] = {"SMTPUTF8", "XCLIENT ADDR", NULL};

	talk_open(&t, manner, POOL_SMTP, POOL_XCLIENT);
	talk_greet(&t, offers);
	t.mail.transaction.smtputf8 = true;
	talk_begin(&t);
	talk_server(&t, "220 mx\r\n");
	talk_server(&t, "250 mx\r\n");
	talk_expect(&t, "FAILED HELLO_REFUSED");
}

static void identity_that_is_offered_no_more_is_refused_at_the_next_mail(void **state)
{
	open_xclient();
	talk_begin(&t);
	talk_server(&t, "220 mx\r\n");
	talk_server(&t, "250 mx\r\n");
	talk_server(&t, "550 no\r\n");
	talk_reset(&t);
	talk_server(&t, "250 ok\r\n");
	talk_expect(&t, "ASKED, READY");
	t.sent_len = 0;
	talk_begin(&t);
	talk_expect(&t, "FAILED IDENTITY_REFUSED");
	talk_expect_sent(&t, "");
}

static void expect_header(const void *octets, size_t len)
{
	struct smtp_out out = {.bytes = t.sent, .size = HOP_HEADER_PROXY_MAX};

	hop_open(&t.h, POOL_SMTP, POOL_PROXY_V2, "gw.example.net", &t.client, &out);
	assert_int_equal(out.len, len);
	assert_memory_equal(t.sent, octets, len);
}

static void client_is_told_by_proxy_v2(void **state)
{
	static const char v4[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
				 "\xcb\x00\x71\x09\xc0\x00\x02\x19\x9c\x40\x00\x19";
	static const char v6[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"
				 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
				 "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x19"
				 "\x9c\x40\x00\x19";
	static const char mixed[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24"
				    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\x00\x71\x09"
				    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
				    "\x9c\x40\x00\x19";
	static const char local[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
	static const uint8_t client[4] = {203, 0, 113, 9};
	struct ip_addr v6_local;

	talk_open(&t, manner, POOL_SMTP, POOL_PROXY_V2);
	v6_local = t.client.address;
	expect_header(v6, sizeof(v6) - 1);
	t.client.address = ip_addr_from_v4(client);
	expect_header(v4, sizeof(v4) - 1);
	t.client.local = v6_local;
	expect_header(mixed, sizeof(mixed) - 1);
	/* Who only tries the server is nobody's client. */
	t.client.address = (struct ip_addr){0};
	expect_header(local, sizeof(local) - 1);
}

static void after_the_header_the_server_greets_as_ever(void **state)
{
	talk_open(&t, manner, POOL_SMTP, POOL_PROXY_V2);
	assert_int_equal(t.sent_len, HOP_HEADER_PROXY_MAX);
	talk_greet(&t, pipelining);
	recipients(1);
	talk_begin(&t);
	talk_expect_sent(&t, "MAIL FROM:<a@example.org>\r\nRCPT TO:<r0@example.net>\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greeting_is_awaited_before_anything_is_said),
		cmocka_unit_test(lmtp_says_lhlo),
		cmocka_unit_test(greeting_other_than_220_is_a_refusal),
		cmocka_unit_test(refused_ehlo_fails),
		cmocka_unit_test(server_without_ehlo_is_told_helo_and_offers_nothing),
		cmocka_unit_test(lmtp_knows_no_helo),
		cmocka_unit_test(mail_and_recipients_go_in_one_flight),
		cmocka_unit_test(without_pipelining_one_command_goes_at_a_time),
		cmocka_unit_test(only_so_many_commands_are_in_flight),
		cmocka_unit_test(reply_is_the_recipients_when_it_is_told),
		cmocka_unit_test(refused_mail_speaks_for_all),
		cmocka_unit_test(nothing_more_is_said_once_mail_was_refused),
		cmocka_unit_test(all_recipients_may_be_refused),
		cmocka_unit_test(code_out_of_place_is_no_reply),
		cmocka_unit_test(garbage_in_place_of_a_reply_fails),
		cmocka_unit_test(shutting_down_is_heard_anywhere),
		cmocka_unit_test(parameters_go_where_they_are_offered),
		cmocka_unit_test(parameters_that_are_not_offered_stay_out),
		cmocka_unit_test(parameters_that_the_client_did_not_say_stay_out),
		cmocka_unit_test(size_beyond_all_is_the_largest),
		cmocka_unit_test(addresses_go_as_they_are),
		cmocka_unit_test(longest_commands_have_room),
		cmocka_unit_test(mail_that_needs_smtputf8_goes_only_where_it_is_offered),
		cmocka_unit_test(delivery_is_what_the_answer_to_the_dot_says),
		cmocka_unit_test(go_on_behind_the_dot_is_no_reply),
		cmocka_unit_test(lmtp_answers_for_each_recipient),
		cmocka_unit_test(first_refusal_speaks_for_all_of_lmtp),
		cmocka_unit_test(lmtp_answers_for_those_only_that_were_taken),
		cmocka_unit_test(refused_data_delivers_nothing_and_leaves_the_connection),
		cmocka_unit_test(data_answered_by_anything_else_is_no_reply),
		cmocka_unit_test(refusal_before_the_end_of_the_message_is_told),
		cmocka_unit_test(anything_else_before_the_end_of_the_message_is_no_reply),
		cmocka_unit_test(reply_begun_before_the_dot_is_no_answer_to_it),
		cmocka_unit_test(used_connection_is_reset_in_the_same_flight),
		cmocka_unit_test(used_connection_is_reset_before_all_without_pipelining),
		cmocka_unit_test(reset_that_is_refused_fails),
		cmocka_unit_test(reset_ends_what_was_asked),
		cmocka_unit_test(nothing_of_a_transaction_is_left_for_the_next),
		cmocka_unit_test(quit_is_said_and_its_answer_ends_all),
		cmocka_unit_test(any_octet_while_idle_fails),
		cmocka_unit_test(server_that_closes_while_idle_shuts_down),
		cmocka_unit_test(reply_before_its_command_is_no_answer),
		cmocka_unit_test(octets_behind_an_answer_are_no_answer_to_what_is_said_next),
		cmocka_unit_test(recipients_are_not_said_while_answers_are_left_to_read),
		cmocka_unit_test(answer_too_many_of_lmtp_is_unasked),
		cmocka_unit_test(answer_too_many_of_lmtp_spoils_none_before_it),
		cmocka_unit_test(client_is_told_by_xclient),
		cmocka_unit_test(each_transaction_tells_its_client),
		cmocka_unit_test(only_attributes_that_are_offered_are_told),
		cmocka_unit_test(name_of_the_client_is_xtext),
		cmocka_unit_test(name_that_does_not_fit_is_unavailable),
		cmocka_unit_test(addresses_are_written_in_the_one_form_that_is_looked_up),
		cmocka_unit_test(server_that_takes_no_identity_is_refused),
		cmocka_unit_test(refused_xclient_fails),
		cmocka_unit_test(hello_behind_xclient_may_be_refused),
		cmocka_unit_test(offers_behind_xclient_may_lack_what_the_mail_needs),
		cmocka_unit_test(identity_that_is_offered_no_more_is_refused_at_the_next_mail),
		cmocka_unit_test(client_is_told_by_proxy_v2),
		cmocka_unit_test(after_the_header_the_server_greets_as_ever),
	};
	int failed = 0;

	for (size_t i = 0; i < talk_n_manners; i++) {
		manner = &talk_manners[i];
		failed += cmocka_run_group_tests_name(manner->name, tests, NULL, NULL);
	}
	return failed;
}
