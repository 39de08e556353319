/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages through a gateway to mail servers, on a wire: SEMANTICS, "Relay", point by point. What a
 * client is told of a message and what a server has stored of it must agree whatever is cut off,
 * and where. POSTERN_SEED chooses the random numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "gateway.h"
#include "sim_eal.h"

static uint64_t seed;

#define EHLO	   "EHLO client.example\r\n"
#define MAIL	   "MAIL FROM:<a@example.org>\r\n"
#define MAIL_SIZED "MAIL FROM:<a@example.org> SIZE=1000\r\n"
#define TO(who)	   "RCPT TO:<" who "@example.net>\r\n"
#define TEXT	   "Subject: hello\r\n\r\n..a dot\r\nand text\r\n"
#define MESSAGE	   "DATA\r\n" TEXT ".\r\n"
#define QUIT	   "QUIT\r\n"

static struct gateway *open_with(uint32_t servers)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);

	gateway_pools(g, servers, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	gateway_start(g);
	return g;
}

/* The first server's message of a number: a Received field, and then what was sent. */
static void assert_stored(const struct server *s, unsigned number, const char *text)
{
	static const char field[] = "Received: from client.example ([10.0.0.1])\r\n"
				    "\tby mx.example.net with ESMTP id ";
	const char *at = s->message[number];

	assert_true(number < s->messages);
	assert_int_equal(strlen(at), s->message_len[number]);
	assert_int_equal(strncmp(at, field, sizeof(field) - 1), 0);
	at = strstr(at, "+0000\r\n");
	assert_non_null(at);
	assert_string_equal(at + 7, text);
}

static unsigned count_of(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* --- what goes well -------------------------------------------------------------------------- */

static void the_servers_answer_is_ours(void **state)
{
	static const enum talk_manner manners[] = {TALK_IN_TURN, TALK_OCTETS};

	for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
		struct gateway *g = open_with(1);
		struct talk *k = gateway_talk(g, manners[i], EHLO MAIL TO("user") MESSAGE QUIT);

		assert_string_equal(k->codes, "220 250 250 250 354 250 221");
		assert_non_null(strstr(k->heard, "\r\n250 2.0.0 stored ("));
		assert_int_equal(g->servers[0].messages, 1);
		assert_stored(&g->servers[0], 0, TEXT);
		assert_non_null(strstr(g->servers[0].heard, "MAIL FROM:<a@example.org>\n"));
		assert_non_null(strstr(g->servers[0].heard, "RCPT TO:<user@example.net>\n"));
		assert_int_equal(gateway_counters(g).relay_messages_taken, 1);
		gateway_close(g);
	}
}

static void a_connection_serves_one_message_after_the_other(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k =
		gateway_talk(g, TALK_IN_TURN,
			     EHLO MAIL TO("user") MESSAGE MAIL TO("other") TO("user") MESSAGE QUIT);

	assert_string_equal(k->codes, "220 250 250 250 354 250 250 250 250 354 250 221");
	assert_int_equal(g->servers[0].messages, 2);
	/* The workers' trials, and no more. */
	assert_true(g->servers[0].connections <= GATEWAY_WORKERS);
	assert_true(count_of(g->servers[0].heard, "RSET\n") >= 1);
	gateway_close(g);
}

static void a_group_behind_the_dot_is_answered(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k = gateway_talk(
		g, TALK_IN_TURN, EHLO MAIL TO("user") "DATA\r\n" TEXT ".\r\n" MAIL TO("user") QUIT);

	assert_string_equal(k->codes, "220 250 250 250 354 250 250 250 221");
	gateway_close(g);
}

static void what_a_client_may_do_is_what_all_servers_can(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	gateway_pools(g, 2, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	g->servers[1].offers = "250-8BITMIME\r\n250-SIZE 5000\r\n";
	gateway_start(g);
	gateway_run(g, 5 * SECOND_US);
	k = gateway_talk(g, TALK_IN_TURN, EHLO QUIT);
	assert_non_null(strstr(k->heard, "250-8BITMIME\r\n"));
	assert_null(strstr(k->heard, "SMTPUTF8"));
	assert_null(strstr(k->heard, "DSN"));
	assert_non_null(strstr(k->heard, "SIZE 3976"));
	gateway_close(g);
}

static void parameters_go_through(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	gateway_start(g);
	gateway_run(g, 5 * SECOND_US);
	k = gateway_talk(
		g, TALK_IN_TURN,
		EHLO "MAIL FROM:<a@example.org> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x1\r\n"
		     "RCPT TO:<user@example.net> NOTIFY=NEVER ORCPT=rfc822;u@x\r\n" MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	assert_non_null(strstr(g->servers[0].heard, " BODY=8BITMIME"));
	assert_non_null(strstr(g->servers[0].heard, " SMTPUTF8"));
	assert_non_null(strstr(g->servers[0].heard, " RET=HDRS"));
	assert_non_null(strstr(g->servers[0].heard, " ENVID=x1"));
	assert_non_null(strstr(g->servers[0].heard, " NOTIFY=NEVER"));
	assert_non_null(strstr(g->servers[0].heard, " ORCPT=rfc822;u@x"));
	gateway_close(g);
}

/* A message that says how small it is, is ours until it is whole. */
static void a_small_message_is_held_until_it_is_whole(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	g->mail.buffered_max = 65536;
	g->mail.relay_octets = 1 << 20;
	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	gateway_start(g);
	gateway_run(g, SECOND_US);
	k = gateway_talk_for(g, SECOND_US, TALK_IN_TURN,
			     EHLO MAIL_SIZED TO("user") "DATA\r\n" TEXT);
	assert_string_equal(k->codes, "220 250 250 250 354");
	assert_null(strstr(g->servers[0].heard, "MAIL"));
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL_SIZED TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	assert_int_equal(g->servers[0].messages, 1);
	assert_stored(&g->servers[0], 0, TEXT);
	assert_non_null(strstr(g->servers[0].heard, "MAIL"));
	gateway_close(g);
}

/* --- refusals -------------------------------------------------------------------------------- */

static void who_refuses_all_is_quoted(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k;

	server_rule(&g->servers[0], "RCPT", "552 5.2.2 the box is full\r\n", 0);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 552 221");
	assert_non_null(strstr(k->heard, "\r\n552 5.2.2 the box is full ("));
	/* And is asked again when the client is. */
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 552 221");
	gateway_close(g);
}

static void who_refuses_some_delays_those_alone(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k;

	server_rule(&g->servers[0], "RCPT TO:<user@", "450 4.2.0 not now\r\n", 0);
	server_rule(&g->servers[0], "RCPT TO:<far", "550 5.1.1 who?\r\n", 0);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 250 451 221");
	assert_non_null(strstr(k->heard, "\r\n451 4.3.0 "));
	assert_int_equal(g->servers[0].messages, 0);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 450 250 354 250 221");
	assert_non_null(strstr(k->heard, "\r\n450 4.2.0 not now ("));
	assert_int_equal(g->servers[0].messages, 1);
	/* It was told once: the server is asked again. */
	g->servers[0].n_rules = 0;
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	gateway_close(g);
}

/* "Later" is what both hear; but the one for whom there is no later is not asked for again. */
static void who_refuses_one_for_good_and_one_for_now_delays_both_once(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k;

	server_rule(&g->servers[0], "RCPT TO:<user@", "450 4.2.0 not now\r\n", 2);
	server_rule(&g->servers[0], "RCPT TO:<other@", "550 5.2.1 no more\r\n", 0);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 250 450 221");
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 550 450 221");
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	gateway_close(g);
}

/* A server that leaves out an answer: what it says of one is not what it means. */
static void what_was_not_answered_in_full_is_not_remembered(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k;

	server_rule(&g->servers[0], "RCPT TO:<user@", NULL, 1);
	server_rule(&g->servers[0], "RCPT TO:<other@", "550 5.1.1 who?\r\n", 1);
	k = gateway_talk_for(g, 150ULL * SECOND_US, TALK_IN_TURN,
			     EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 250 451 221");
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	gateway_close(g);
}

static void a_message_refused_behind_its_end_is_refused_in_its_words(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k;

	server_rule(&g->servers[0], ".", "550-5.7.1 this looks\r\n550 5.7.1 like spam\r\n", 0);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 550 221");
	assert_non_null(strstr(k->heard, "\r\n550-5.7.1 this looks ("));
	assert_non_null(strstr(k->heard, "\r\n550 5.7.1 like spam ("));
	gateway_close(g);
}

/* Servers that are wrong, whatever the mail. */
static void a_server_that_is_wrong_bounces_nothing(void **state)
{
	static const struct {
		const char *line, *reply;
	} wrong[] = {
		{"", "554 5.7.1 go away\r\n"},
		{"EHLO", "554 5.7.1 go away\r\n"},
		{"MAIL", "530 5.7.0 authenticate first\r\n"},
		{"MAIL", "554 5.7.1 access denied\r\n"},
		{"RCPT", "530 5.7.0 authenticate first\r\n"},
		{"RCPT", "554 5.7.1 relay access denied\r\n"},
		{"RCPT", "550 5.7.1 relaying denied\r\n"},
		{"RCPT", "503 5.5.1 what?\r\n"},
		{"DATA", "554 5.7.1 access denied\r\n"},
		{"DATA", "530 5.7.0 authenticate first\r\n"},
		{"DATA", "550 no\r\n"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
		struct talk *k;

		gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
		server_rule(&g->servers[0], wrong[i].line, wrong[i].reply, 0);
		gateway_start(g);
		for (unsigned n = 0; n < 30; n++) {
			k = gateway_talk_for(g, 20 * SECOND_US, TALK_IN_TURN,
					     EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
			/* To DATA without a recipient: who pipelines hears it, and copes. */
			if (count_of(k->heard, "\r\n5") !=
			    count_of(k->heard, "\r\n554 5.5.1 no valid"))
				fail_msg("%s %s: %s", wrong[i].line, wrong[i].reply, k->heard);
		}
		assert_int_equal(g->servers[0].messages, 0);
		/* And when it is well again so are we. */
		g->servers[0].n_rules = 0;
		gateway_run(g, 70ULL * SECOND_US);
		k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 354 250 221");
		gateway_close(g);
	}
}

/* A server that refuses strangers for what they are goes on serving others. */
static void what_is_refused_of_strangers_takes_no_server_away(void **state)
{
	struct gateway *g = open_with(1);
	struct pool_server_status status;
	struct talk *k;

	server_rule(&g->servers[0], "RCPT", "554 5.7.1 blocked by a list\r\n", 0);
	for (unsigned i = 0; i < 2 * POOL_REFUSED_MAX; i++)
		gateway_talk_for(g, SECOND_US, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	pools_status(g->mail.pools, 0, 0, sim_wire_now(g->world.wire), &status);
	assert_int_equal(status.state, POOL_WELL);
	/* Of who has had mail delivered it does say something. */
	g->servers[0].n_rules = 0;
	k = gateway_talk_for(g, SECOND_US, TALK_IN_TURN, EHLO MAIL TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	server_rule(&g->servers[0], "RCPT", "554 5.7.1 blocked by a list\r\n", 0);
	for (unsigned i = 0; i < POOL_REFUSED_MAX; i++) {
		char lines[256];

		snprintf(lines, sizeof(lines),
			 EHLO "MAIL FROM:<a%u@example.org>\r\n" TO("user") MESSAGE QUIT, i);
		k = talk_begin(&g->talks, &(struct ip_addr){0}, WORLD_PORT, TALK_IN_TURN, lines);
		k->to = sim_address(WORLD_ANSWERER + 1, false);
		gateway_run(g, SECOND_US);
		assert_non_null(strstr(k->codes, "451"));
	}
	pools_status(g->mail.pools, 0, 0, sim_wire_now(g->world.wire), &status);
	assert_int_equal(status.state, POOL_WRONG);
	gateway_close(g);
}

/* What was refused while a server was wrong says nothing once it is well. */
static void a_server_that_is_mended_is_believed(void **state)
{
	static const char *const lines[] = {"MAIL", "RCPT", "DATA"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct gateway *g = open_with(1);
		struct talk *k;

		server_rule(&g->servers[0], lines[i], "554 5.7.1 relay access denied\r\n", 0);
		k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 451 221");
		g->servers[0].n_rules = 0;
		for (unsigned n = 0; n < 3; n++) {
			k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
			assert_string_equal(k->codes, "220 250 250 250 354 250 221");
		}
		/* Nor when it is wrong again. */
		server_rule(&g->servers[0], lines[i], "554 5.7.1 relay access denied\r\n", 0);
		k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 451 221");
		gateway_close(g);
	}
}

static void what_a_server_refuses_twice_that_takes_others_mail_is_meant(void **state)
{
	static const char *const lines[] = {"MAIL FROM:<a@", "RCPT TO:<user@"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct gateway *g = open_with(1);
		struct talk *k;

		server_rule(&g->servers[0], lines[i], "554 5.7.1 not from you\r\n", 0);
		for (unsigned n = 0; n < 2; n++) {
			k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
			assert_string_equal(k->codes, "220 250 250 250 451 221");
		}
		k = gateway_talk(g, TALK_IN_TURN,
				 EHLO "MAIL FROM:<b@example.org>\r\n" TO("other") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 354 250 221");
		k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 554 221");
		assert_non_null(strstr(k->heard, "\r\n554 5.7.1 not from you ("));
		gateway_close(g);
	}
}

/* Nor does it make the server wrong, however many of a stranger's recipients it is. */
static void what_is_meant_of_strangers_takes_no_server_away(void **state)
{
	static char lines[256 + 2 * POOL_REFUSED_MAX * 40] = EHLO MAIL;
	const struct ip_addr stranger = sim_address(WORLD_ANSWERER + 1, true);
	struct gateway *g = open_with(1);
	struct pool_server_status status;
	size_t len = strlen(lines);
	struct talk *k;

	for (unsigned i = 0; i < 2 * POOL_REFUSED_MAX; i++)
		len += (size_t)snprintf(lines + len, sizeof(lines) - len, TO("user"));
	snprintf(lines + len, sizeof(lines) - len, MESSAGE QUIT);
	server_rule(&g->servers[0], "RCPT TO:<user@", "554 5.7.1 blocked by a list\r\n", 0);
	for (unsigned i = 0; i < 3; i++) {
		k = talk_begin(&g->talks, &stranger, WORLD_PORT, TALK_IN_TURN, lines);
		gateway_run(g, 60ULL * SECOND_US);
		assert_non_null(strstr(k->codes, i ? "554 221" : "451 221"));
		pools_status(g->mail.pools, 0, 0, sim_wire_now(g->world.wire), &status);
		assert_int_equal(status.state, POOL_WELL);
		k = gateway_talk(g, TALK_IN_TURN,
				 EHLO "MAIL FROM:<b@example.org>\r\n" TO("other") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	}
	gateway_close(g);
}

static void who_wants_authentication_behind_the_end_bounces_nothing(void **state)
{
	static const char *const replies[] = {"530 5.7.0 authenticate first\r\n",
					      "535 5.7.8 no\r\n", "503 5.5.1 what?\r\n"};

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
		struct gateway *g = open_with(1);
		struct talk *k;

		server_rule(&g->servers[0], ".", replies[i], 0);
		k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 354 451 221");
		assert_non_null(strstr(k->heard, "\r\n451 4.3.5 "));
		gateway_close(g);
	}
}

/* --- servers that are not there -------------------------------------------------------------- */

static void a_pool_that_is_down_says_so_and_comes_back(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct sim_path *path;
	struct talk *k;

	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	gateway_start(g);
	path = sim_wire_path(g->world.wire, sim_stack_host(g->world.stacks[WORLD_ANSWERER]),
			     sim_stack_host(g->server_stacks[0]));
	path->loss_ppm = 1000000;
	gateway_run(g, 30ULL * SECOND_US);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("far1") QUIT);
	assert_string_equal(k->codes, "220 250 250 451 250 221");
	assert_non_null(strstr(k->heard, "\r\n451 4.4.1 "));
	path->loss_ppm = 0;
	gateway_run(g, 60ULL * SECOND_US);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	gateway_close(g);
}

static void another_server_takes_what_one_did_not(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);

	gateway_pools(g, 2, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	server_rule(&g->servers[0], "MAIL", "421 4.3.2 going down\r\n", 0);
	gateway_start(g);
	for (unsigned i = 0; i < 6; i++) {
		struct talk *k = gateway_talk_for(g, 5 * SECOND_US, TALK_IN_TURN,
						  EHLO MAIL TO("user") MESSAGE QUIT);

		assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	}
	assert_int_equal(g->servers[1].messages, 6);
	gateway_close(g);
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k;

	server_rule(&g->servers[0], ".", NULL, 0);
	k = gateway_talk_for(g, 200ULL * SECOND_US, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE);
	assert_string_equal(k->codes, "220 250 250 250 354");
	gateway_run(g, 60ULL * SECOND_US);
	assert_string_equal(k->codes, "220 250 250 250 354 451");
	assert_non_null(strstr(k->heard, "\r\n451 4.4.2 "));
	assert_true(k->done);
	gateway_close(g);
}

static void who_takes_nothing_of_a_message_holds_up_nobody_else(void **state)
{
	enum { LINES = 20000 };
	static char lines[64 + LINES * 50];
	struct gateway *g = open_with(1);
	struct talk *k;
	size_t n;

	n = (size_t)snprintf(lines, sizeof(lines), EHLO MAIL TO("user") "DATA\r\n");
	for (unsigned i = 0; i < LINES; i++)
		n += (size_t)snprintf(lines + n, sizeof(lines) - n, "%040u\r\n", i);
	snprintf(lines + n, sizeof(lines) - n, ".\r\n");
	g->servers[0].stops_reading = true;
	talk_begin(&g->talks, &(struct ip_addr){0}, 0, TALK_DEAF, "")->to =
		sim_address(WORLD_ANSWERER + 1, false);
	g->talks.at[0].port = WORLD_PORT;
	g->talks.at[0].lines = lines;
	g->talks.at[0].hears = true;
	gateway_run(g, 30ULL * SECOND_US);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("far1") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 250 221");
	assert_true(sim_stack_buffers_out(g->world.stacks[WORLD_ANSWERER]) < 600);
	gateway_run(g, 300ULL * SECOND_US);
	assert_int_equal(g->servers[0].messages, 0);
	gateway_close(g);
}

static struct pool_server_status status_of(struct gateway *g, uint32_t server)
{
	struct pool_server_status status;

	pools_status(g->mail.pools, 0, server, sim_wire_now(g->world.wire), &status);
	return status;
}

/* Nothing is heard of a server that has all there is. */
static void who_falls_silent_in_a_message_is_no_fault_of_the_server(void **state)
{
	enum { LINES = 1350 };
	static char lines[256 + LINES * 50];
	struct gateway *g = open_with(1);
	struct talk *k;
	size_t n;

	n = (size_t)snprintf(lines, sizeof(lines), EHLO MAIL TO("user") "DATA\r\n");
	for (unsigned i = 0; i < LINES; i++)
		n += (size_t)snprintf(lines + n, sizeof(lines) - n, "%046u\r\n", i);
	k = gateway_talk_for(g, SECOND_US, TALK_IN_TURN, lines);
	for (unsigned i = 0; i < 140; i++) {
		gateway_run(g, SECOND_US);
		assert_int_not_equal(status_of(g, 0).state, POOL_DOWN);
	}
	assert_string_equal(k->codes, "220 250 250 250 354 421");
	assert_int_equal(gateway_counters(g).relay_lost, 0);
	gateway_close(g);
}

static void who_falls_silent_until_the_server_hangs_up_does_not_bring_it_down(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k;

	g->servers[0].patience_us = 10ULL * SECOND_US;
	k = gateway_talk_for(g, SECOND_US, TALK_IN_TURN,
			     EHLO MAIL TO("user") "DATA\r\nSubject: hello\r\n");
	for (unsigned i = 0; i < 20; i++) {
		gateway_run(g, SECOND_US);
		assert_int_not_equal(status_of(g, 0).state, POOL_DOWN);
	}
	assert_int_equal(status_of(g, 0).failed, 1);
	assert_string_equal(k->codes, "220 250 250 250 354");
	gateway_close(g);
}

/* Each reply is one more sign of life. */
static void a_server_may_take_its_time_for_each_of_many_recipients(void **state)
{
	enum { RECIPIENTS = 310 };
	static char lines[256 + RECIPIENTS * 40];
	struct gateway *g = open_with(1);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	size_t n;

	g->servers[0].pause_us = SECOND_US / 4;
	n = (size_t)snprintf(lines, sizeof(lines), EHLO MAIL);
	for (unsigned i = 0; i < RECIPIENTS; i++)
		n += (size_t)snprintf(lines + n, sizeof(lines) - n, TO("user"));
	snprintf(lines + n, sizeof(lines) - n, MESSAGE QUIT);
	gateway_run(g, 5 * SECOND_US);
	talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, lines)->only_counts = true;
	gateway_run(g, 110ULL * SECOND_US);
	assert_int_equal(g->servers[0].messages, 1);
	assert_int_equal(gateway_counters(g).relay_lost, 0);
	gateway_close(g);
}

/* Who waited for room has little time left, which is not the server's doing. */
static void who_comes_late_to_a_server_does_not_bring_it_down(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	const char *const silent = EHLO MAIL TO("user") "DATA\r\nSubject: hello\r\n";
	struct talk *k;

	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 1);
	g->servers[0].pause_us = SECOND_US;
	gateway_start(g);
	gateway_run(g, 5 * SECOND_US);
	/* Each is given up after a minute. */
	gateway_talk_for(g, 5 * SECOND_US, TALK_IN_TURN, silent);
	gateway_talk_for(g, 17 * SECOND_US, TALK_IN_TURN, silent);
	for (unsigned i = 0; i < 16; i++)
		gateway_talk_for(g, SECOND_US, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	k = gateway_talk_for(g, 0, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	for (unsigned i = 0; i < 200; i++) {
		gateway_run(g, SECOND_US);
		assert_int_not_equal(status_of(g, 0).state, POOL_DOWN);
	}
	assert_non_null(strstr(k->codes, "221"));
	assert_int_equal(gateway_counters(g).relay_lost, 0);
	gateway_close(g);
}

/* A client that leaves while a server is tried does not leave it untried. */
static void a_trial_ends_though_its_client_is_gone(void **state)
{
	enum { CLIENTS = 50 };
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	struct sim_path *path;

	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	server_rule(&g->servers[0], "", "421 4.3.2 not now\r\n", 0);
	gateway_start(g);
	path = sim_wire_path(g->world.wire, sim_stack_host(g->world.stacks[WORLD_ANSWERER]),
			     sim_stack_host(g->server_stacks[0]));
	path->delay_us = 100 * 1000;
	gateway_run(g, 2 * SECOND_US);
	assert_int_equal(status_of(g, 0).state, POOL_DOWN);
	g->servers[0].n_rules = 0;
	path->delay_us = 300 * 1000;
	/* One of them comes when the next trial is due. */
	while (status_of(g, 0).trial_in_us > SECOND_US / 4)
		gateway_run(g, SECOND_US / 100);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct talk *k = talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN,
					    EHLO MAIL TO("user") "DATA\r\n");

		k->leaves = true;
		gateway_run(g, SECOND_US / 100);
	}
	assert_int_equal(status_of(g, 0).state, POOL_DOWN);
	gateway_run(g, 3 * SECOND_US);
	assert_int_not_equal(status_of(g, 0).state, POOL_DOWN);
	gateway_close(g);
}

/* --- what is cut off ------------------------------------------------------------------------- */

/* The client goes away behind every octet of a message. */
static void a_client_that_is_cut_off_leaves_no_message(void **state)
{
	static const char all[] = EHLO MAIL TO("user") MESSAGE;
	const char *data = strstr(all, TEXT);

	for (int held = 0; held < 2; held++) {
		for (size_t len = (size_t)(data - all); len < strlen(all); len++) {
			struct gateway *g = gateway_new(seed + len, SIM_AT_WRONG);
			char lines[512];
			struct talk *k;

			g->mail.buffered_max = held ? 65536 : 0;
			g->mail.relay_octets = 1 << 20;
			gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
			gateway_start(g);
			gateway_run(g, SECOND_US);
			snprintf(lines, sizeof(lines), "%s%.*s", EHLO "MAIL FROM:<a@example.org>",
				 0, "");
			snprintf(lines, sizeof(lines), EHLO "%s" TO("user") "DATA\r\n%.*s",
				 held ? MAIL_SIZED : MAIL, (int)(len - (size_t)(data - all)), data);
			k = talk_begin(&g->talks, &(struct ip_addr){0}, WORLD_PORT, TALK_IN_TURN,
				       lines);
			k->to = sim_address(WORLD_ANSWERER + 1, false);
			k->leaves = true;
			gateway_run(g, 30ULL * SECOND_US);
			assert_int_equal(g->servers[0].messages, 0);
			assert_int_equal(gateway_counters(g).relay_messages_taken, 0);
			gateway_close(g);
		}
	}
}

/* The server goes away behind every octet that it says. */
static void a_server_that_is_cut_off_is_no_good_news(void **state)
{
	for (int cut = SERVER_RESETS; cut <= SERVER_FINISHES; cut++) {
		size_t most = 1;

		for (size_t after = 1; after <= most; after++) {
			struct gateway *g = gateway_new(seed + after, SIM_AT_OWNER);
			bool good;
			struct talk *k;

			gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
			g->servers[0].cut = (enum server_cut)cut;
			g->servers[0].cut_after = after;
			gateway_start(g);
			k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
			good = strstr(k->heard, "\r\n250 2.0.0 stored") != NULL;
			if (good)
				assert_true(g->servers[0].messages > 0);
			else
				assert_true(strstr(k->codes, "451") != NULL);
			assert_true(g->servers[0].messages <= 1);
			if (g->servers[0].messages)
				assert_stored(&g->servers[0], 0, TEXT);
			/* Nobody is taken for wrong because it was cut off. */
			g->servers[0].cut_after = 0;
			gateway_run(g, 60ULL * SECOND_US);
			k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
			assert_string_equal(k->codes, "220 250 250 250 354 250 221");
			most = g->servers[0].said_most;
			gateway_close(g);
		}
		assert_true(most > 100);
	}
}

/* A reply that is here before the message's end is said is not the answer to it. */
static void an_answer_that_comes_too_early_is_none(void **state)
{
	/* So that the second reply has a segment of its own. */
	enum { SEGMENT = 1448, WANTED = 4, LINE_END = 2 };
	static char reply[SEGMENT + 64];
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	memset(reply, 'x', SEGMENT);
	memcpy(reply, "354 ", WANTED);
	snprintf(reply + SEGMENT - LINE_END, sizeof(reply) - SEGMENT + LINE_END,
		 "\r\n250 2.0.0 too early\r\n");
	g->mail.buffered_max = 65536;
	g->mail.relay_octets = 1 << 20;
	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	server_rule(&g->servers[0], "DATA", reply, 0);
	server_rule(&g->servers[0], ".", "450 4.3.0 no\r\n", 0);
	gateway_start(g);
	gateway_run(g, SECOND_US);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL_SIZED TO("user") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 354 451 221");
	gateway_close(g);
}

static void a_faulty_message_has_no_end(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k = gateway_talk(
		g, TALK_IN_TURN,
		EHLO MAIL TO("user") "DATA\r\nSubject: x\r\n\r\na\rb\r\n.\r\n" MAIL QUIT);

	assert_string_equal(k->codes, "220 250 250 250 354 550 250 221");
	assert_int_equal(g->servers[0].messages, 0);
	assert_int_equal(g->servers[0].truncated, 1);
	gateway_close(g);
}

/* --- limits ---------------------------------------------------------------------------------- */

static void no_more_connections_than_the_limit_are_open(void **state)
{
	enum { CLIENTS = 24, LIMIT = 3 };
	struct gateway *g = gateway_new(seed, SIM_AT_ANY);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	static char lines[4096];

	snprintf(lines, sizeof(lines), EHLO);
	for (unsigned i = 0; i < 5; i++)
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines),
			 MAIL TO("user") MESSAGE);
	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, LIMIT);
	gateway_start(g);
	for (unsigned i = 0; i < CLIENTS; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, lines);
	gateway_run(g, 80ULL * SECOND_US);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_int_equal(count_of(g->talks.at[i].heard, "stored"), 5);
	assert_int_equal(g->servers[0].messages, CLIENTS * 5);
	assert_int_equal(g->servers[0].most_open, LIMIT);
	/* Who waits takes over what another is done with. */
	assert_true(g->servers[0].connections <= CLIENTS * 5 / 4);
	gateway_close(g);
}

/* Two workers, one place: neither waits for the other to be done with all it has. */
static void a_place_is_shared_among_workers(void **state)
{
	enum { CLIENTS = 24, MESSAGES = 20, GREETED = 2 };
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	static char lines[8192];

	snprintf(lines, sizeof(lines), EHLO);
	for (unsigned i = 0; i < MESSAGES; i++)
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines),
			 MAIL TO("user") MESSAGE);
	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 1);
	g->servers[0].pause_us = SECOND_US / 10;
	gateway_start(g);
	for (unsigned i = 0; i < CLIENTS; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, lines)->only_counts = true;
	gateway_run(g, 60ULL * SECOND_US);
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_true(g->talks.at[i].replies > GREETED + 4);
	gateway_run(g, 400ULL * SECOND_US);
	assert_int_equal(g->servers[0].messages, CLIENTS * MESSAGES);
	assert_int_equal(g->servers[0].most_open, 1);
	/* And a connection serves more than one of them. */
	assert_true(g->servers[0].connections < CLIENTS * MESSAGES / 2);
	gateway_close(g);
}

/* The first in the queue has tried the server that has room, and waits for the other. */
static void who_waits_for_one_server_holds_up_nobody_who_may_have_another(void **state)
{
	enum { CLIENTS = 10 };
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);

	gateway_pools(g, 2, POOL_SMTP, POOL_IDENTITY_NONE, 1);
	server_rule(&g->servers[1], ".", NULL, 0);
	gateway_start(g);
	gateway_run(g, 15 * SECOND_US);
	server_rule(&g->servers[0], "MAIL", "421 4.3.2 busy\r\n", 0);
	/* Both come to the second server: one has it, the other waits for it. */
	for (unsigned i = 0; i < 2; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN,
			   EHLO MAIL TO("user") MESSAGE QUIT);
	gateway_run(g, SECOND_US);
	g->servers[0].n_rules = 0;
	gateway_run(g, 15 * SECOND_US);
	assert_int_equal(status_of(g, 1).in_use, 1);
	assert_int_equal(pools_wanted(g->mail.pools, 0), 1);
	for (unsigned i = 0; i < CLIENTS; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN,
			   EHLO MAIL TO("user") MESSAGE QUIT);
	gateway_run(g, 20 * SECOND_US);
	assert_int_equal(g->servers[0].messages, CLIENTS);
	gateway_close(g);
}

/* --- other protocols ------------------------------------------------------------------------- */

static void lmtp_takes_one_recipient_at_a_time(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	gateway_pools(g, 1, POOL_LMTP, POOL_IDENTITY_NONE, 10);
	gateway_start(g);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 452 354 250 221");
	assert_non_null(strstr(g->servers[0].heard, "LHLO mx.example.net\n"));
	assert_stored(&g->servers[0], 0, TEXT);
	gateway_close(g);
}

/* Nobody is told for good what holds for another. */
static void lmtp_that_is_divided_refuses_for_now(void **state)
{
	static const struct {
		const char *first, *reply;
	} cases[] = {
		{"550 5.2.1 no more\r\n", "451 4.3.0 "},
		{"450 4.2.0 not now\r\n", "451 4.3.0 "},
		{NULL, "250 2.0.0 stored "},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
		struct talk *k;

		g->many_recipients = true;
		gateway_pools(g, 1, POOL_LMTP, POOL_IDENTITY_NONE, 10);
		if (cases[i].first)
			server_rule(&g->servers[0], ".", cases[i].first, 1);
		gateway_start(g);
		k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
		assert_non_null(strstr(k->heard, cases[i].reply));
		gateway_close(g);
	}
}

static void lmtp_that_refuses_one_for_good_and_one_for_now_bounces_neither(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	g->many_recipients = true;
	gateway_pools(g, 1, POOL_LMTP, POOL_IDENTITY_NONE, 10);
	server_rule(&g->servers[0], ".", "550 5.2.1 no more\r\n", 1);
	server_rule(&g->servers[0], ".", "450 4.2.0 not now\r\n", 1);
	gateway_start(g);
	k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") TO("other") MESSAGE QUIT);
	assert_string_equal(k->codes, "220 250 250 250 250 354 451 221");
	assert_int_equal(g->servers[0].messages, 0);
	gateway_close(g);
}

static void xclient_tells_who_the_client_is(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	gateway_pools(g, 1, POOL_SMTP, POOL_XCLIENT, 10);
	g->servers[0].offers = "250-PIPELINING\r\n250-XCLIENT NAME ADDR PORT PROTO HELO\r\n";
	gateway_start(g);
	for (unsigned i = 1; i <= 2; i++) {
		k = gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
		assert_string_equal(k->codes, "220 250 250 250 354 250 221");
		assert_int_equal(count_of(g->servers[0].heard, "XCLIENT "), i);
	}
	assert_non_null(strstr(g->servers[0].heard, "ADDR=10.0.0.1"));
	assert_non_null(strstr(g->servers[0].heard, "HELO=client.example"));
	gateway_close(g);
}

/* --- guessers -------------------------------------------------------------------------------- */

static void what_is_delivered_is_credit(void **state)
{
	struct gateway *g = open_with(1);
	const struct ip_addr client = sim_address(1, false);
	struct harvest_story stories[HARVEST_LEVELS];

	gateway_talk(g, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE QUIT);
	harvest_explain(g->mail.harvest, &client, GATEWAY_EPOCH_S, stories);
	assert_int_equal(stories[0].score, -582); /* -2.27 */
	assert_int_equal(stories[0].delivered_today, 1);
	gateway_close(g);
}

static void a_verdict_lets_a_message_past_its_end_have_its_answer(void **state)
{
	struct gateway *g = open_with(1);
	struct talk *k, *guesser;

	server_rule(&g->servers[0], ".", NULL, 0);
	k = gateway_talk_for(g, 2 * SECOND_US, TALK_IN_TURN, EHLO MAIL TO("user") MESSAGE);
	guesser = gateway_talk_for(g, 2 * SECOND_US, TALK_IN_TURN,
				   EHLO MAIL TO("u1") TO("u2") TO("u3") TO("u4") TO("u5"));
	assert_true(guesser->done);
	assert_false(k->done);
	assert_string_equal(k->codes, "220 250 250 250 354");
	gateway_run(g, 250ULL * SECOND_US);
	assert_string_equal(k->codes, "220 250 250 250 354 451");
	gateway_close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_servers_answer_is_ours),
		cmocka_unit_test(a_connection_serves_one_message_after_the_other),
		cmocka_unit_test(a_group_behind_the_dot_is_answered),
		cmocka_unit_test(what_a_client_may_do_is_what_all_servers_can),
		cmocka_unit_test(parameters_go_through),
		cmocka_unit_test(a_small_message_is_held_until_it_is_whole),
		cmocka_unit_test(who_refuses_all_is_quoted),
		cmocka_unit_test(who_refuses_some_delays_those_alone),
		cmocka_unit_test(who_refuses_one_for_good_and_one_for_now_delays_both_once),
		cmocka_unit_test(what_was_not_answered_in_full_is_not_remembered),
		cmocka_unit_test(a_message_refused_behind_its_end_is_refused_in_its_words),
		cmocka_unit_test(a_server_that_is_wrong_bounces_nothing),
		cmocka_unit_test(what_is_refused_of_strangers_takes_no_server_away),
		cmocka_unit_test(a_server_that_is_mended_is_believed),
		cmocka_unit_test(what_a_server_refuses_twice_that_takes_others_mail_is_meant),
		cmocka_unit_test(what_is_meant_of_strangers_takes_no_server_away),
		cmocka_unit_test(who_wants_authentication_behind_the_end_bounces_nothing),
		cmocka_unit_test(a_pool_that_is_down_says_so_and_comes_back),
		cmocka_unit_test(another_server_takes_what_one_did_not),
		cmocka_unit_test(a_server_that_says_nothing_is_given_up),
		cmocka_unit_test(who_takes_nothing_of_a_message_holds_up_nobody_else),
		cmocka_unit_test(who_falls_silent_in_a_message_is_no_fault_of_the_server),
		cmocka_unit_test(who_falls_silent_until_the_server_hangs_up_does_not_bring_it_down),
		cmocka_unit_test(a_server_may_take_its_time_for_each_of_many_recipients),
		cmocka_unit_test(who_comes_late_to_a_server_does_not_bring_it_down),
		cmocka_unit_test(a_trial_ends_though_its_client_is_gone),
		cmocka_unit_test(a_client_that_is_cut_off_leaves_no_message),
		cmocka_unit_test(a_server_that_is_cut_off_is_no_good_news),
		cmocka_unit_test(an_answer_that_comes_too_early_is_none),
		cmocka_unit_test(a_faulty_message_has_no_end),
		cmocka_unit_test(no_more_connections_than_the_limit_are_open),
		cmocka_unit_test(a_place_is_shared_among_workers),
		cmocka_unit_test(who_waits_for_one_server_holds_up_nobody_who_may_have_another),
		cmocka_unit_test(lmtp_takes_one_recipient_at_a_time),
		cmocka_unit_test(lmtp_that_is_divided_refuses_for_now),
		cmocka_unit_test(lmtp_that_refuses_one_for_good_and_one_for_now_bounces_neither),
		cmocka_unit_test(xclient_tells_who_the_client_is),
		cmocka_unit_test(what_is_delivered_is_credit),
		cmocka_unit_test(a_verdict_lets_a_message_past_its_end_have_its_answer),
	};

	seed = test_seed(1);
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
