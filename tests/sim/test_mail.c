/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A gateway of two workers with mail as their service, and clients on a wire: what they are told,
 * and what becomes of those who guess. POSTERN_SEED chooses the random numbers.
 *
 * There is no kernel here: the worker refuses the SYNs of who is shut out, and the test does for
 * control what it does with notices.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/random.h"
#include "flagged_map.h"
#include "gateway.h"
#include "postern/shield_map.h"
#include "sim_eal.h"

enum {
	WORKERS = GATEWAY_WORKERS,
	LEVEL_CLIENT = 128,
	GUESSES = 4, /* of a client never seen, until it is shut out */
	PATH_US = GATEWAY_PATH_US,
};

#define OPENING	 "EHLO client.example\r\nMAIL FROM:<a@example.org>\r\n"
#define GUESS(n) "RCPT TO:<nobody" #n "@example.net>\r\n"

/* Asks for twenty who do not exist, and leaves. */
static char guesser[2048];

static uint64_t seed;

static unsigned count(const struct talk *k, const char *text)
{
	unsigned n = 0;

	for (const char *at = k->heard; (at = strstr(at, text)); at++)
		n++;
	return n;
}

/* --- who exists ------------------------------------------------------------------------------ */

static void every_class_of_recipient_gets_its_reply(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct talk *k = gateway_talk(g, TALK_IN_TURN,
				      OPENING "RCPT TO:<user@example.net>\r\n"
					      "RCPT TO:<USER@EXAMPLE.NET>\r\n"
					      "RCPT TO:<Postmaster>\r\n"
					      "RCPT TO:<postmaster@example.net>\r\n"
					      "RCPT TO:<nobody@example.net>\r\n"
					      "RCPT TO:<user@example.com>\r\n"
					      "RCPT TO:<full@example.net>\r\n"
					      "RCPT TO:<gone@example.net>\r\n"
					      "RCPT TO:<moved@example.net>\r\n"
					      "QUIT\r\n");

	assert_string_equal(k->codes, "220 250 250 250 250 250 250 550 550 452 550 550 221");
	assert_non_null(strstr(k->heard, "\r\n550 5.1.1 <nobody@example.net>"));
	assert_non_null(strstr(k->heard, "\r\n550 5.7.1 relaying denied"));
	assert_non_null(strstr(k->heard, "\r\n452 4.2.2 "));
	assert_non_null(strstr(k->heard, "\r\n550 5.2.1 "));
	assert_non_null(strstr(k->heard, "\r\n550 5.1.6 "));
	assert_int_equal(g->n_told, 0);
	gateway_close(g);
}

static void without_a_directory_nobody_can_tell(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct recipients *all = g->recipients;
	struct talk *k;

	g->recipients = NULL;
	k = gateway_talk(g, TALK_IN_TURN, OPENING "RCPT TO:<user@example.net>\r\nQUIT\r\n");
	assert_string_equal(k->codes, "220 250 250 451 221");
	assert_non_null(strstr(k->heard, "\r\n451 4.4.3 "));
	g->recipients = all;
	k = gateway_talk(g, TALK_IN_TURN, OPENING "RCPT TO:<user@example.net>\r\nQUIT\r\n");
	assert_string_equal(k->codes, "220 250 250 250 221");
	gateway_close(g);
}

static void without_pools_a_message_has_nowhere_to_go(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct talk *k =
		gateway_talk(g, TALK_IN_TURN,
			     OPENING "RCPT TO:<user@example.net>\r\nDATA\r\ntext\r\n.\r\nQUIT\r\n");

	assert_string_equal(k->codes, "220 250 250 250 451 221");
	assert_non_null(strstr(k->heard, "\r\n451 4.4.1 "));
	gateway_close(g);
}

static void the_manner_of_speaking_changes_no_answer(void **state)
{
	static const enum talk_manner manners[] = {TALK_IN_TURN, TALK_PIPELINED, TALK_OCTETS,
						   TALK_DEAF};
	char *heard = NULL;

	for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
		struct gateway *g = gateway_open(seed, SIM_AT_WRONG);
		struct talk *k =
			gateway_talk(g, manners[i],
				     OPENING GUESS(1) "RCPT TO:<user@example.net>\r\n" GUESS(
					     2) "RSET\r\nNOOP\r\nQUIT\r\n");

		k->hears = true;
		gateway_run(g, SECOND_US);
		assert_string_equal(k->codes, "220 250 250 550 250 550 250 250 221");
		assert_true(k->ended && k->end == TCP_END_CLOSED);
		if (heard)
			assert_string_equal(k->heard, heard);
		free(heard);
		heard = strdup(k->heard);
		gateway_close(g);
	}
	free(heard);
}

static void replies_to_a_pipelined_group_leave_in_one_segment(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct talk *k =
		gateway_talk(g, TALK_PIPELINED, "NOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\nNOOP\r\n");

	assert_string_equal(k->codes, "220 250 250 250 250 250");
	/* SYN/ACK, greeting, replies; the ACKs ride along. */
	assert_int_equal(gateway_counters(g).tcp_segments_out, 3);
	gateway_close(g);
}

/* A client that reads nothing is not read either, and holds no more than its windows. */
static void who_does_not_read_is_not_read(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	enum { NOOPS = 4000 };
	char *lines = malloc(NOOPS * 6 + 8);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	struct postern_counters while_deaf;
	struct talk *k;

	lines[0] = '\0';
	for (size_t i = 0; i < NOOPS; i++)
		memcpy(lines + 6 * i, "NOOP\r\n", 7);
	g->world.configs[WORLD_OPENER].receive_window = 4096;
	g->world.configs[WORLD_ANSWERER].receive_window = 4096;
	g->world.configs[WORLD_ANSWERER].send_queue = 8192;
	assert_true(world_open(&g->world));
	k = talk_begin(&g->talks, &to, WORLD_PORT, TALK_DEAF, lines);
	k->only_counts = true;
	gateway_run(g, 30ULL * SECOND_US);
	while_deaf = gateway_counters(g);
	assert_in_range(while_deaf.smtp_commands, 1, (4096 + 8192) / 20);
	assert_int_equal(k->len, 0);
	k->hears = true;
	gateway_run(g, 60ULL * SECOND_US);
	assert_int_equal(k->replies, 1 + NOOPS);
	gateway_close(g);
	free(lines);
}

/* A hole in what is said would give one command's reply to another. */
static void without_buffers_a_conversation_ends_and_says_nothing_wrong(void **state)
{
	static const char lines[] = OPENING GUESS(1) "RCPT TO:<user@example.net>\r\n" GUESS(
		2) "NOOP\r\nRSET\r\nNOOP\r\nQUIT\r\n";
	static const char said[] = "220 250 250 550 250 550 250 250 250 221";
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	enum { DEAF = 50 };
	struct talk *late;

	g->world.configs[WORLD_ANSWERER].buffers = 24;
	gateway_start(g);
	for (unsigned i = 0; i < DEAF; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_DEAF, lines);
	gateway_run(g, 30ULL * SECOND_US);
	for (unsigned i = 0; i < DEAF; i++) {
		struct talk *k = &g->talks.at[i];

		k->hears = true;
		gateway_run(g, PATH_US);
		assert_memory_equal(k->codes, said, strlen(k->codes));
	}
	assert_true(gateway_counters(g).mail_replies_lost > 0);
	gateway_run(g, 30ULL * SECOND_US);
	late = gateway_talk(g, TALK_IN_TURN, lines);
	assert_string_equal(late->codes, said);
	gateway_free(g);
}

/* Its last word is said; whether there is room for more does not matter. */
static void who_does_not_read_the_last_reply_is_let_go(void **state)
{
	enum { NOOPS = 300, LEAST = 230, STEP = 1 };
	static char lines[6 * NOOPS + 32];
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	unsigned told = 0;

	for (unsigned n = LEAST; n < NOOPS; n += STEP) {
		struct gateway *g = gateway_new(seed, SIM_AT_OWNER);

		for (size_t i = 0; i < n; i++)
			memcpy(lines + 6 * i, "NOOP\r\n", 7);
		memcpy(lines + 6 * (size_t)n, "GET / HTTP/1.1\r\n", 17);
		g->world.configs[WORLD_OPENER].receive_window = 2048;
		g->world.configs[WORLD_ANSWERER].send_queue = 8192;
		assert_true(world_open(&g->world));
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_DEAF, lines);
		gateway_run(g, 5ULL * SECOND_US);
		assert_int_equal(gateway_counters(g).smtp_ended,
				 gateway_counters(g).smtp_commands == n + 1);
		told += gateway_counters(g).smtp_commands == n + 1;
		gateway_free(g);
	}
	assert_in_range(told, 1, (NOOPS - LEAST) / STEP - 1);
}

static void a_recipient_of_another_pool_lends_nothing(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct talk *k =
		gateway_talk(g, TALK_IN_TURN,
			     OPENING "RCPT TO:<user@example.net>\r\n"
				     "RCPT TO:<far0@example.net>\r\n"
				     "RCPT TO:<far1@example.net>\r\n"
				     "RCPT TO:<far2@example.net>\r\n"
				     "RCPT TO:<far3@example.net>\r\n"
				     "RCPT TO:<far4@example.net>\r\n"
				     "RCPT TO:<far5@example.net>\r\n" GUESS(1) GUESS(2) GUESS(3)
					     GUESS(4) GUESS(5) GUESS(6) GUESS(7) "QUIT\r\n");

	assert_int_equal(count(k, "\r\n452 4.5.3 "), 6);
	assert_in_range(count(k, "\r\n550 5.1.1 "), GUESSES, GUESSES + 1);
	assert_int_equal(count(k, "\r\n421 4.7.1 "), 1);
	gateway_close(g);
}

/* --- who guesses ----------------------------------------------------------------------------- */

static void the_fourth_guess_is_answered_and_shuts_out(void **state)
{
	static const enum talk_manner manners[] = {TALK_IN_TURN, TALK_PIPELINED, TALK_OCTETS};

	for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
		struct gateway *g = gateway_open(seed, SIM_AT_WRONG);
		const struct ip_addr client = sim_address(WORLD_OPENER + 1, false);
		struct talk *k = gateway_talk(g, manners[i], guesser);

		assert_string_equal(k->codes, "220 250 250 550 550 550 550 421");
		assert_non_null(strstr(k->heard, "\r\n421 4.7.1 "));
		assert_true(k->done);
		assert_int_equal(g->n_told, 1);
		assert_int_equal(g->told.kind, HARVEST_VERDICT_DROP);
		assert_int_equal(g->told.prefix_len, LEVEL_CLIENT);
		assert_true(ip_addr_equal(&g->told.address, &client));
		assert_int_equal(g->told.ttl_s, 300);

		/* Its next SYN meets silence, and what is said afterwards nothing more. */
		k = gateway_talk(g, TALK_IN_TURN, "QUIT\r\n");
		assert_false(k->opened);
		assert_true(gateway_counters(g).worker_not_admitted >= 3);
		gateway_close(g);
	}
}

static void it_comes_back_when_its_time_is_over(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);

	gateway_talk(g, TALK_PIPELINED, guesser);
	gateway_run(g, 300ULL * SECOND_US);
	assert_string_equal(gateway_talk(g, TALK_IN_TURN, "QUIT\r\n")->codes, "220 221");
	gateway_close(g);
}

static void a_trap_looks_like_nobody_and_shuts_out_at_once(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct talk *k =
		gateway_talk(g, TALK_IN_TURN, OPENING "RCPT TO:<trap@example.net>\r\nNOOP\r\n");

	assert_string_equal(k->codes, "220 250 250 550 421");
	assert_non_null(strstr(k->heard, "\r\n550 5.1.1 <trap@example.net>: no such mailbox here"));
	assert_int_equal(g->n_told, 1);
	gateway_close(g);
}

static void ten_connections_at_once_get_no_more_guesses_than_one(void **state)
{
	static const enum sim_arrival arrivals[] = {SIM_AT_OWNER, SIM_AT_WRONG, SIM_AT_ANY};

	for (size_t i = 0; i < sizeof(arrivals) / sizeof(arrivals[0]); i++) {
		struct gateway *g = gateway_open(seed, arrivals[i]);
		const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
		unsigned answered = 0, shut_out = 0;

		for (unsigned k = 0; k < 10; k++)
			talk_begin(&g->talks, &to, WORLD_PORT, TALK_PIPELINED, guesser);
		gateway_run(g, 60ULL * SECOND_US);
		for (unsigned k = 0; k < 10; k++) {
			const struct talk *one = &g->talks.at[k];

			answered += count(one, "\r\n550 5.1.1 ");
			shut_out += count(one, "421 4.7.1 ");
			assert_true(one->done);
		}
		assert_int_equal(answered, GUESSES);
		assert_int_equal(shut_out, 10);
		assert_int_equal(g->n_told, 1);
		gateway_close(g);
	}
}

/* Which worker has it does not matter: its others are told by control. */
static void a_verdict_ends_the_clients_silent_conversations(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	enum { SILENT = 20 };

	for (unsigned i = 0; i < SILENT; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, "EHLO client.example\r\n");
	gateway_run(g, SECOND_US);
	talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, guesser);
	gateway_run(g, SECOND_US);
	for (unsigned i = 0; i < SILENT; i++) {
		assert_string_equal(g->talks.at[i].codes, "220 250 421");
		assert_true(g->talks.at[i].done);
	}
	assert_int_equal(gateway_counters(g).mail_swept, SILENT);
	assert_int_equal(gateway_counters(g).mail_sweeps_full, 0);
	gateway_close(g);
}

/* --- with a kernel --------------------------------------------------------------------------- */

static void the_worker_tells_the_kernel_and_repeats_nothing_to_who_is_dropped(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	struct shield_source source = {.prefix_len = LEVEL_CLIENT};
	struct shield_flag flag = {0};
	union bpf_attr attr = {.key = (uintptr_t)&source, .value = (uintptr_t)&flag};
	_Atomic uint32_t levels = 0;
	struct postern_counters told, later;

	attr.map_fd = (uint32_t)flagged_map_new();
	if ((int)attr.map_fd < 0)
		skip(); /* no right to */
	g->mail.shield.flagged_fd = (int)attr.map_fd;
	g->mail.shield.levels = &levels;
	g->mail.shield.ports = 1;
	g->mail.shield.wake_fd = eventfd(0, EFD_NONBLOCK);
	assert_true(world_open(&g->world));
	world_path(&g->world, WORLD_ANSWERER)->delay_us = PATH_US;
	talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, "EHLO client.example\r\n");
	talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, guesser);
	for (unsigned i = 0; i < 1000 && !g->n_told; i++)
		gateway_run(g, PATH_US);
	assert_int_equal(g->n_told, 1);

	memcpy(source.address, g->told.address.octets, sizeof(source.address));
	assert_int_equal(bpf(BPF_MAP_LOOKUP_ELEM, &attr), 0);
	assert_true(flag.expiry_ns > 0);
	assert_int_equal(levels, 1 << SHIELD_V4_32);
	assert_int_equal(eventfd_read(g->mail.shield.wake_fd, &(eventfd_t){0}), 0);

	/* As the kernel does from here on. */
	world_path(&g->world, WORLD_OPENER)->loss_ppm = 1000000;
	gateway_run(g, 4ULL * PATH_US);
	told = gateway_counters(g);
	gateway_run(g, 2ULL * SECOND_US);
	later = gateway_counters(g);
	assert_int_equal(later.tcp_segments_out, told.tcp_segments_out);
	assert_int_equal(later.tcp_resets_out, 0);
	assert_int_equal(sim_stack_conns(g->world.stacks[WORLD_ANSWERER]), 0);
	assert_string_equal(g->talks.at[0].codes, "220 250 421");
	assert_string_equal(g->talks.at[1].codes, "220 250 250 550 550 550 550 421");
	close(g->mail.shield.wake_fd);
	close((int)attr.map_fd);
	gateway_close(g);
}

/* --- modes ----------------------------------------------------------------------------------- */

static void observe_mode_changes_nothing_a_client_sees(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	struct talk *k;

	harvest_free(g->mail.harvest);
	g->mail.harvest = gateway_harvest(true);
	assert_true(world_open(&g->world));
	k = gateway_talk(g, TALK_PIPELINED, guesser);
	assert_int_equal(count(k, "\r\n550 5.1.1 "), 20);
	assert_int_equal(count(k, "421"), 0);
	assert_int_equal(count(k, "\r\n221 "), 1);
	assert_true(g->n_told >= 1);
	assert_true(g->told.observed);
	assert_int_equal(gateway_counters(g).mail_swept, 0);
	gateway_close(g);
}

/* Half of those it guesses exist, and it never sends a message: what it was lent is called back. */
static void a_prober_is_shut_out_when_it_leaves(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	enum { TRIES = 8 };
	char lines[TRIES][256];
	unsigned answered = 0;

	for (unsigned i = 0; i < TRIES && !g->n_told; i++) {
		snprintf(lines[i], sizeof(lines[i]),
			 OPENING "RCPT TO:<nobody%u@example.net>\r\nRCPT TO:<user@example.net>\r\n"
				 "QUIT\r\n",
			 i);
		answered += count(gateway_talk(g, TALK_IN_TURN, lines[i]), "\r\n550 5.1.1 ");
	}
	assert_int_equal(g->n_told, 1);
	assert_in_range(answered, GUESSES, 6);
	gateway_close(g);
}

static void bounces_to_unknown_mailboxes_are_held_and_never_dropped(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct talk *k =
		gateway_talk(g, TALK_IN_TURN,
			     "EHLO client.example\r\nMAIL FROM:<>\r\n" GUESS(1) GUESS(2) GUESS(3)
				     GUESS(4) GUESS(5) "RCPT TO:<user@example.net>\r\n"
						       "RCPT TO:<postmaster@example.net>\r\n"
						       "RSET\r\n"
						       "MAIL FROM:<a@example.org>\r\n"
						       "RCPT TO:<user@example.net>\r\nQUIT\r\n");

	assert_string_equal(k->codes, "220 250 250 550 550 550 550 450 450 250 250 250 250 221");
	assert_int_equal(g->n_told, 1);
	assert_int_equal(g->told.kind, HARVEST_VERDICT_NULL);
	gateway_close(g);
}

/* --- manners --------------------------------------------------------------------------------- */

/* Half a line each, which fades: the third shuts out for certain. */
static void who_speaks_before_the_greeting_is_refused_and_scored(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);

	for (unsigned i = 1; i <= 3; i++) {
		const struct talk *k =
			gateway_talk_for(g, SECOND_US, TALK_EARLY, "EHLO client.example\r\n");

		assert_non_null(strstr(k->heard, "554 5.5.0 "));
		assert_null(strstr(k->heard, "250"));
		assert_true(k->done);
		assert_int_equal(gateway_counters(g).mail_early_talkers, i);
		assert_int_equal(g->n_told, i == 3);
	}
	gateway_close(g);
}

static void who_does_not_speak_smtp_is_refused_and_scored(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);

	for (unsigned i = 1; i <= 3; i++) {
		const struct talk *k =
			gateway_talk_for(g, SECOND_US, TALK_IN_TURN, "GET / HTTP/1.1\r\n");

		assert_string_equal(k->codes, "220 521");
		assert_int_equal(g->n_told, i == 3);
	}
	gateway_close(g);
}

static void who_is_silent_is_given_up_after_five_minutes(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	struct talk *k = gateway_talk(g, TALK_IN_TURN, "EHLO client.example\r\n");

	gateway_run(g, 200ULL * SECOND_US);
	assert_string_equal(k->codes, "220 250");
	gateway_run(g, 50ULL * SECOND_US);
	assert_string_equal(k->codes, "220 250 421");
	assert_non_null(strstr(k->heard, "\r\n421 4.4.2 "));
	gateway_close(g);
}

static void what_came_before_the_clients_fin_is_answered(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	struct talk *k = talk_begin(&g->talks, &to, WORLD_PORT, TALK_PIPELINED,
				    OPENING "RCPT TO:<user@example.net>\r\n");

	k->leaves = true;
	gateway_run(g, SECOND_US);
	assert_string_equal(k->codes, "220 250 250 250");
	assert_true(k->ended && k->end == TCP_END_CLOSED);
	gateway_close(g);
}

static void a_gateway_that_stops_says_so_to_all(void **state)
{
	struct gateway *g = gateway_open(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	enum { WAITING = 20 };

	for (unsigned i = 0; i < WAITING; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, "EHLO client.example\r\n");
	gateway_run(g, SECOND_US);
	atomic_store(&g->mail.draining, true);
	gateway_run(g, 2ULL * SECOND_US);
	for (unsigned i = 0; i < WAITING; i++) {
		assert_string_equal(g->talks.at[i].codes, "220 250 421");
		assert_non_null(strstr(g->talks.at[i].heard, "\r\n421 4.3.2 "));
	}
	assert_string_equal(gateway_talk(g, TALK_IN_TURN, "QUIT\r\n")->codes, "421");
	gateway_close(g);
}

static void when_most_sessions_are_taken_a_silent_client_may_keep_its_own_for_less(void **state)
{
	struct gateway *g = gateway_new(seed, SIM_AT_OWNER);
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	enum { SESSIONS = 16, SILENT = 32 };
	unsigned refused = 0;

	g->mail.sessions = SESSIONS;
	assert_true(world_open(&g->world));
	for (unsigned i = 0; i < SILENT; i++)
		talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, "EHLO client.example\r\n");
	gateway_run(g, 2ULL * SECOND_US);
	for (unsigned i = 0; i < SILENT; i++)
		refused += strcmp(g->talks.at[i].codes, "421") == 0;
	assert_int_equal(gateway_counters(g).smtp_no_session, refused);
	gateway_run(g, 15ULL * SECOND_US);
	assert_in_range(gateway_counters(g).smtp_conversations, SESSIONS, 2 * SESSIONS);
	for (unsigned i = 0, left = 0; i < SILENT; i++) {
		left += strcmp(g->talks.at[i].codes, "220 250") == 0;
		assert_in_range(left, 0, WORKERS * (SESSIONS * 3 / 4));
	}
	gateway_close(g);
}

static void write_guesser(void)
{
	size_t at = sizeof(OPENING) - 1;

	memcpy(guesser, OPENING, sizeof(OPENING));
	for (unsigned i = 1; i <= 20; i++)
		at += (size_t)snprintf(guesser + at, sizeof(guesser) - at,
				       "RCPT TO:<nobody%u@example.net>\r\n", i);
	snprintf(guesser + at, sizeof(guesser) - at, "QUIT\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_class_of_recipient_gets_its_reply),
		cmocka_unit_test(without_a_directory_nobody_can_tell),
		cmocka_unit_test(without_pools_a_message_has_nowhere_to_go),
		cmocka_unit_test(the_manner_of_speaking_changes_no_answer),
		cmocka_unit_test(replies_to_a_pipelined_group_leave_in_one_segment),
		cmocka_unit_test(who_does_not_read_is_not_read),
		cmocka_unit_test(without_buffers_a_conversation_ends_and_says_nothing_wrong),
		cmocka_unit_test(who_does_not_read_the_last_reply_is_let_go),
		cmocka_unit_test(a_recipient_of_another_pool_lends_nothing),
		cmocka_unit_test(the_fourth_guess_is_answered_and_shuts_out),
		cmocka_unit_test(it_comes_back_when_its_time_is_over),
		cmocka_unit_test(a_trap_looks_like_nobody_and_shuts_out_at_once),
		cmocka_unit_test(ten_connections_at_once_get_no_more_guesses_than_one),
		cmocka_unit_test(a_verdict_ends_the_clients_silent_conversations),
		cmocka_unit_test(the_worker_tells_the_kernel_and_repeats_nothing_to_who_is_dropped),
		cmocka_unit_test(observe_mode_changes_nothing_a_client_sees),
		cmocka_unit_test(a_prober_is_shut_out_when_it_leaves),
		cmocka_unit_test(bounces_to_unknown_mailboxes_are_held_and_never_dropped),
		cmocka_unit_test(who_speaks_before_the_greeting_is_refused_and_scored),
		cmocka_unit_test(who_does_not_speak_smtp_is_refused_and_scored),
		cmocka_unit_test(who_is_silent_is_given_up_after_five_minutes),
		cmocka_unit_test(what_came_before_the_clients_fin_is_answered),
		cmocka_unit_test(a_gateway_that_stops_says_so_to_all),
		cmocka_unit_test(
			when_most_sessions_are_taken_a_silent_client_may_keep_its_own_for_less),
	};

	seed = test_seed(1);
	write_guesser();
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
