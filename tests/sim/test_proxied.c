/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients behind load balancers that speak the PROXY protocol to a gateway: whoever they name is
 * the client, in every respect but the kernel's drop. POSTERN_SEED chooses the random numbers.
 *
 * The host that opens connections is a load balancer by its IPv6 address, and a client of its own
 * by its IPv4 address.
 */
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
#include "tcp/clients.h"

#define EHLO	   "EHLO client.example\r\n"
#define MAIL	   "MAIL FROM:<a@example.org>\r\n"
#define TO(who)	   "RCPT TO:<" who "@example.net>\r\n"
#define TEXT	   "Subject: hello\r\n\r\ntext\r\n"
#define QUIT	   "QUIT\r\n"
#define GUESSES	   TO("u1") TO("u2") TO("u3") TO("u4") TO("u5") TO("u6")
#define V1(client) "PROXY TCP4 " client " 192.0.2.25 40000 25\r\n"

enum { LIMIT = 3 };

struct header {
	const void *octets;
	size_t len;
};

#define HEADER(text)                     \
	(struct header)                  \
	{                                \
		(text), sizeof(text) - 1 \
	}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_LOCAL  SIGNATURE "\x20\0\0\0"
/* 203.0.113.9 */
#define V2_V4 SIGNATURE "\x21\x11\0\x0c\xcb\0\x71\x09\xc0\0\x02\x19\x9c\x40\0\x19"
/* The same, and eight octets of TLVs. */
#define V2_MORE SIGNATURE "\x21\x11\0\x14\xcb\0\x71\x09\xc0\0\x02\x19\x9c\x40\0\x19\x04\0\x05hello"
/* 2001:db8::9 */
#define V2_V6                                                                                      \
	SIGNATURE "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\x20\x01\x0d\xb8\0\0\0" \
		  "\0\0\0\0\0\0\0\0\x25\x9c\x40\0\x19"

static const struct header v1_v4 = {V1("203.0.113.9"), sizeof(V1("203.0.113.9")) - 1};
static const struct header v1_v6 = {"PROXY TCP6 2001:db8::9 2001:db8::25 40000 25\r\n", 46};
static const struct header v1_unknown = {"PROXY UNKNOWN\r\n", 15};

static uint64_t seed;

/* --- a gateway with load balancers before it ---------------------------------------------------
 */

static struct ip_addr client_v4(uint8_t last)
{
	return ip_addr_from_v4((const uint8_t[4]){203, 0, 113, last});
}

static struct gateway *new_gateway(struct ip_network *balancers)
{
	struct gateway *g = gateway_new(seed, SIM_AT_WRONG);

	*balancers = (struct ip_network){sim_address(WORLD_OPENER + 1, true), 128};
	g->mail.proxy_from = balancers;
	g->mail.n_proxy_from = 1;
	return g;
}

static struct gateway *open_gateway(struct ip_network *balancers)
{
	struct gateway *g = new_gateway(balancers);

	gateway_start(g);
	return g;
}

/* Through the load balancer. */
static struct talk *begin_talk(struct gateway *g, struct header header, const char *lines)
{
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, true);
	struct talk *k = talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, lines);

	k->header = header.octets;
	k->header_len = header.len;
	return k;
}

static struct talk *talk_for(struct gateway *g, uint64_t for_us, struct header header,
			     const char *lines)
{
	struct talk *k = begin_talk(g, header, lines);

	gateway_run(g, for_us);
	return k;
}

static int32_t score_of(struct gateway *g, struct ip_addr client)
{
	struct harvest_story stories[HARVEST_LEVELS];

	harvest_explain(g->mail.harvest, &client, GATEWAY_EPOCH_S, stories);
	return stories[0].score;
}

/* --- the header ------------------------------------------------------------------------------ */

static void the_header_comes_before_the_greeting_in_whatever_pieces(void **state)
{
	const struct header headers[] = {
		v1_v4,	       v1_v6,		v1_unknown,	  HEADER(V2_V4),
		HEADER(V2_V6), HEADER(V2_MORE), HEADER(V2_LOCAL),
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		const bool is_named = headers[i].octets != v1_unknown.octets && i < 6;
		struct ip_network balancers;
		struct gateway *g = open_gateway(&balancers);
		const size_t n = headers[i].len;

		assert_true(n < TALKS_MAX);
		for (size_t step = 1; step <= n; step++)
			begin_talk(g, headers[i], EHLO QUIT)->header_step = step;
		gateway_run(g, 5 * SECOND_US);
		for (size_t at = 0; at < n; at++)
			assert_string_equal(g->talks.at[at].codes, "220 250 221");
		assert_int_equal(gateway_counters(g).mail_proxied, is_named ? n : 0);
		assert_int_equal(gateway_counters(g).mail_proxy_malformed, 0);
		assert_int_equal(gateway_counters(g).mail_early_talkers, 0);
		gateway_close(g);
	}
}

static void nobody_is_greeted_before_the_header_which_has_ten_seconds(void **state)
{
	const struct header headers[] = {{"", 0}, {V1("203.0.113.9"), 20}, {V2_V4, 27}};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct ip_network balancers;
		struct gateway *g = open_gateway(&balancers);
		struct talk *k = talk_for(g, 9900000, headers[i], EHLO QUIT);

		assert_true(k->opened);
		assert_false(k->ended);
		gateway_run(g, 300000);
		assert_true(k->ended);
		assert_int_equal(k->end, TCP_END_RESET);
		assert_int_equal(k->len, 0);
		assert_int_equal(gateway_counters(g).mail_proxy_malformed, 1);
		assert_int_equal(gateway_counters(g).smtp_conversations, 0);
		gateway_close(g);
	}
}

static void what_is_no_header_is_reset_at_once(void **state)
{
	const struct header headers[] = {
		HEADER(EHLO),
		HEADER("PROXY TCP4 203.0.113.9 192.0.2.25 40000 65536\r\n"),
		HEADER(SIGNATURE "\x11\x11\0\x0c"),
		HEADER(SIGNATURE "\x21\x11\x08\x01"),
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct ip_network balancers;
		struct gateway *g = open_gateway(&balancers);
		struct talk *k = talk_for(g, SECOND_US, headers[i], EHLO QUIT);

		assert_true(k->ended);
		assert_int_equal(k->end, TCP_END_RESET);
		assert_int_equal(k->len, 0);
		assert_int_equal(gateway_counters(g).mail_proxy_malformed, 1);
		assert_int_equal(gateway_counters(g).mail_early_talkers, 0);
		gateway_close(g);
	}
}

static void a_header_cut_off_by_a_fin_is_none_and_no_octet_at_all_no_fault(void **state)
{
	struct ip_network balancers;
	struct gateway *g = open_gateway(&balancers);
	struct talk *k = begin_talk(g, HEADER(""), "");

	k->leaves = true;
	gateway_run(g, SECOND_US);
	assert_int_equal(k->end, TCP_END_CLOSED);
	assert_int_equal(k->len, 0);
	assert_int_equal(gateway_counters(g).mail_proxy_malformed, 0);
	k = begin_talk(g, (struct header){V2_V4, 27}, "");
	k->leaves = true;
	gateway_run(g, SECOND_US);
	assert_int_equal(k->end, TCP_END_RESET);
	assert_int_equal(gateway_counters(g).mail_proxy_malformed, 1);
	gateway_close(g);
}

static void what_the_balancer_says_of_itself_is_its_own(void **state)
{
	struct ip_network balancers;
	struct gateway *g = open_gateway(&balancers);
	struct talk *k = talk_for(g, SECOND_US, HEADER(V2_LOCAL), EHLO MAIL TO("u1") QUIT);

	assert_string_equal(k->codes, "220 250 250 550 221");
	assert_true(score_of(g, sim_address(WORLD_OPENER + 1, true)) > 0);
	gateway_close(g);
}

static void a_header_from_elsewhere_is_early_talk(void **state)
{
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	struct ip_network balancers;
	struct gateway *g = open_gateway(&balancers);
	struct talk *k = talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, QUIT);

	k->header = v1_v4.octets;
	k->header_len = v1_v4.len;
	gateway_run(g, SECOND_US);
	assert_non_null(strstr(k->heard, "554 5.5.0 "));
	assert_null(strstr(k->heard, "250"));
	assert_int_equal(gateway_counters(g).mail_early_talkers, 1);
	assert_int_equal(gateway_counters(g).mail_proxied, 0);
	assert_true(score_of(g, sim_address(WORLD_OPENER + 1, false)) > 0);
	assert_int_equal(score_of(g, client_v4(9)), 0);
	gateway_close(g);
}

/* --- early talk ------------------------------------------------------------------------------ */

/* In the header's segment, or in one of its own that comes before the greeting can have been heard.
 * Half a line each, which fades: the third shuts out for certain. */
static void who_speaks_behind_the_header_before_the_greeting_is_refused_and_scored(void **state)
{
	static const char header[] = V1("203.0.113.9") EHLO;
	const struct ip_addr client = client_v4(9);

	for (int apart = 0; apart < 2; apart++) {
		struct ip_network balancers;
		struct gateway *g = open_gateway(&balancers);

		world_path(&g->world, WORLD_ANSWERER)->delay_us = 100000;
		for (unsigned i = 1; i <= 3; i++) {
			struct talk *k = begin_talk(g, HEADER(header), QUIT);

			k->header_step = apart ? v1_v4.len : 0;
			gateway_run(g, SECOND_US);
			assert_non_null(strstr(k->heard, "554 5.5.0 "));
			assert_null(strstr(k->heard, "250"));
			assert_true(k->done);
			assert_int_equal(gateway_counters(g).mail_early_talkers, i);
			assert_int_equal(g->n_told, i == 3);
		}
		assert_true(ip_addr_equal(&g->told.address, &client));
		assert_int_equal(score_of(g, sim_address(WORLD_OPENER + 1, true)), 0);
		gateway_close(g);
	}
}

/* What comes twice was said once, and what came late was said before. */
static void a_header_that_comes_again_is_no_early_talk(void **state)
{
	for (unsigned i = 0; i < 40; i++) {
		struct ip_network balancers;
		struct gateway *g = new_gateway(&balancers);
		struct sim_path *path;
		struct talk *k;

		g->world.seed = seed + i;
		gateway_start(g);
		path = world_path(&g->world, WORLD_OPENER);
		path->duplicate_ppm = 500000;
		path->loss_ppm = 200000;
		world_path(&g->world, WORLD_ANSWERER)->loss_ppm = 300000;
		k = begin_talk(g, v1_v4, EHLO QUIT);
		k->header_step = 1 + i;
		gateway_run(g, 60ULL * SECOND_US);
		assert_true(*k->codes == '\0' || strncmp(k->codes, "220 250", 7) == 0);
		assert_int_equal(gateway_counters(g).mail_early_talkers, 0);
		gateway_free(g);
	}
}

/* --- who the client is ----------------------------------------------------------------------- */

static void what_is_stored_and_what_servers_are_told_names_the_client(void **state)
{
	static const struct {
		struct header header;
		const char *received, *xclient;
	} cases[] = {
		{{V1("203.0.113.9"), sizeof(V1("203.0.113.9")) - 1},
		 "Received: from client.example ([203.0.113.9])\r\n",
		 "ADDR=203.0.113.9 PORT=40000 "},
		{{V2_V6, sizeof(V2_V6) - 1},
		 "Received: from client.example ([IPv6:2001:db8::9])\r\n",
		 "ADDR=IPV6:2001:db8::9 PORT=40000 "},
		{{V2_LOCAL, sizeof(V2_LOCAL) - 1},
		 "Received: from client.example ([IPv6:fd00::1])\r\n",
		 "ADDR=IPV6:fd00::1 PORT="},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ip_network balancers;
		struct gateway *g = new_gateway(&balancers);
		struct talk *k;

		gateway_pools(g, 1, POOL_SMTP, POOL_XCLIENT, 10);
		g->servers[0].offers =
			"250-PIPELINING\r\n250-XCLIENT ADDR PORT PROTO HELO DESTADDR DESTPORT\r\n";
		gateway_start(g);
		k = talk_for(g, 5 * SECOND_US, cases[i].header,
			     EHLO MAIL TO("user") "DATA\r\n" TEXT ".\r\n" QUIT);
		assert_string_equal(k->codes, "220 250 250 250 354 250 221");
		assert_int_equal(g->servers[0].messages, 1);
		assert_non_null(strstr(g->servers[0].message[0], cases[i].received));
		if (!strstr(g->servers[0].heard, cases[i].xclient))
			fail_msg("%s", g->servers[0].heard);
		if (i == 0)
			assert_non_null(strstr(g->servers[0].heard, "DESTADDR=192.0.2.25 "));
		gateway_close(g);
	}
}

static void what_is_delivered_is_the_clients_credit(void **state)
{
	struct ip_network balancers;
	struct gateway *g = new_gateway(&balancers);

	gateway_pools(g, 1, POOL_SMTP, POOL_IDENTITY_NONE, 10);
	gateway_start(g);
	talk_for(g, 5 * SECOND_US, v1_v4, EHLO MAIL TO("user") "DATA\r\n" TEXT ".\r\n" QUIT);
	assert_int_equal(score_of(g, client_v4(9)), -582); /* -2.27 */
	assert_int_equal(score_of(g, sim_address(WORLD_OPENER + 1, true)), 0);
	gateway_close(g);
}

/* --- guessers -------------------------------------------------------------------------------- */

/* Over both versions and both workers; others behind the same load balancer are not touched, and
 * who is shut out may come to us himself and is told. */
static void who_guesses_is_shut_out_alone(void **state)
{
	struct ip_network balancers;
	struct gateway *g = open_gateway(&balancers);
	enum { SILENT = 10, OTHERS = 10 };
	char names[OTHERS][64];
	const struct ip_addr client = client_v4(9);
	struct talk *silent[SILENT], *others[OTHERS], *waiting, *k;

	for (unsigned i = 0; i < SILENT; i++)
		silent[i] = begin_talk(g, i % 2 ? v1_v4 : HEADER(V2_MORE), EHLO);
	for (unsigned i = 0; i < OTHERS; i++) {
		int len = snprintf(names[i], sizeof(names[i]),
				   "PROXY TCP4 203.0.113.%u 192.0.2.25 40000 25\r\n", 10 + i);

		others[i] = begin_talk(g, (struct header){names[i], (size_t)len}, EHLO);
	}
	gateway_run(g, SECOND_US);
	waiting = begin_talk(g, HEADER(""), QUIT);
	k = talk_for(g, SECOND_US, v1_v4, EHLO MAIL GUESSES);
	assert_string_equal(k->codes, "220 250 250 550 550 550 550 421");
	assert_true(k->done);
	assert_int_equal(g->n_told, 1);
	assert_true(ip_addr_equal(&g->told.address, &client));
	assert_true(g->told.by_proxy);
	for (unsigned i = 0; i < SILENT; i++) {
		assert_string_equal(silent[i]->codes, "220 250 421");
		assert_non_null(strstr(silent[i]->heard, "\r\n421 4.7.1 "));
	}
	for (unsigned i = 0; i < OTHERS; i++)
		assert_string_equal(others[i]->codes, "220 250");
	assert_false(waiting->ended);
	assert_int_equal(gateway_counters(g).mail_swept, SILENT);

	k = talk_for(g, SECOND_US, HEADER(V2_V4), QUIT);
	assert_string_equal(k->codes, "421");
	assert_non_null(strstr(k->heard, "421 4.7.1 "));
	k = talk_for(g, SECOND_US, HEADER(V1("203.0.113.8")), QUIT);
	assert_string_equal(k->codes, "220 221");
	k = talk_for(g, SECOND_US, HEADER(V2_LOCAL), QUIT);
	assert_string_equal(k->codes, "220 221");
	assert_int_equal(gateway_counters(g).worker_not_admitted, 0);
	gateway_close(g);
}

static void a_client_shut_out_behind_a_balancer_is_told_so_when_it_comes_itself(void **state)
{
	struct ip_network balancers;
	struct gateway *g = open_gateway(&balancers);
	struct talk *k = talk_for(g, SECOND_US, HEADER(V1("10.0.0.1")), EHLO MAIL GUESSES);

	assert_string_equal(k->codes, "220 250 250 550 550 550 550 421");
	k = gateway_talk_for(g, SECOND_US, TALK_IN_TURN, QUIT);
	assert_string_equal(k->codes, "421");
	assert_int_equal(gateway_counters(g).worker_not_admitted, 0);
	gateway_close(g);
}

static void a_client_shut_out_when_it_came_itself_is_so_behind_a_balancer(void **state)
{
	struct ip_network balancers;
	struct gateway *g = open_gateway(&balancers);
	struct talk *silent = talk_for(g, SECOND_US, HEADER(V1("10.0.0.1")), EHLO), *k;

	gateway_talk_for(g, SECOND_US, TALK_IN_TURN, EHLO MAIL GUESSES);
	assert_int_equal(g->n_told, 1);
	assert_false(g->told.by_proxy);
	assert_string_equal(silent->codes, "220 250 421");
	k = talk_for(g, SECOND_US, HEADER(V1("10.0.0.1")), QUIT);
	assert_string_equal(k->codes, "421");
	k = gateway_talk_for(g, SECOND_US, TALK_IN_TURN, QUIT);
	assert_false(k->opened);
	gateway_close(g);
}

/* It hears us, by the load balancer or itself, and so all is said again that was lost. */
static void the_kernel_is_not_told_of_who_is_named(void **state)
{
	struct ip_network balancers;
	struct gateway *g = new_gateway(&balancers);
	struct shield_source next;
	union bpf_attr attr = {.next_key = (uintptr_t)&next};
	_Atomic uint32_t levels = 0;
	struct talk *silent, *direct, *guesser;

	attr.map_fd = (uint32_t)flagged_map_new();
	if ((int)attr.map_fd < 0)
		skip(); /* no right to */
	g->mail.shield.flagged_fd = (int)attr.map_fd;
	g->mail.shield.levels = &levels;
	g->mail.shield.ports = 1;
	g->mail.shield.wake_fd = eventfd(0, EFD_NONBLOCK);
	gateway_start(g);
	silent = begin_talk(g, HEADER(V1("10.0.0.1")), EHLO);
	direct = gateway_talk_for(g, SECOND_US, TALK_IN_TURN, EHLO);
	guesser = begin_talk(g, HEADER(V1("10.0.0.1")), EHLO MAIL GUESSES);
	guesser->manner = TALK_PIPELINED;
	for (unsigned i = 0; i < 1000 && !guesser->said; i++)
		gateway_run(g, GATEWAY_PATH_US / 5);
	world_path(&g->world, WORLD_ANSWERER)->loss_ppm = 1000000;
	gateway_run(g, SECOND_US);
	assert_int_equal(g->n_told, 1);
	assert_true(g->told.by_proxy);
	assert_int_equal(eventfd_read(g->mail.shield.wake_fd, &(eventfd_t){0}), 0);
	assert_int_equal(bpf(BPF_MAP_GET_NEXT_KEY, &attr), -1);
	assert_int_equal(levels, 0);

	assert_string_equal(guesser->codes, "220");
	world_path(&g->world, WORLD_ANSWERER)->loss_ppm = 0;
	gateway_run(g, 10 * SECOND_US);
	assert_string_equal(guesser->codes, "220 250 250 550 550 550 550 421");
	assert_string_equal(silent->codes, "220 250 421");
	assert_string_equal(direct->codes, "220 250 421");
	assert_int_equal(bpf(BPF_MAP_GET_NEXT_KEY, &attr), -1);
	close(g->mail.shield.wake_fd);
	close((int)attr.map_fd);
	gateway_close(g);
}

/* --- limits ---------------------------------------------------------------------------------- */

static void a_balancer_may_have_more_connections_than_a_client(void **state)
{
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	struct ip_network balancers;
	struct gateway *g = new_gateway(&balancers);
	const struct clients_config config = {
		.conns = 1000,
		.limits = {[CLIENTS_HALF_OPEN] = LIMIT, [CLIENTS_OPEN] = LIMIT},
		.unlimited = &balancers,
		.n_unlimited = 1,
	};
	struct sim_stack_config *stack = &g->world.configs[WORLD_ANSWERER];
	struct talk *ours[3 * LIMIT], *theirs[3 * LIMIT];
	struct clients *clients;

	stack->clients = clients_new(&config);
	stack->client_conns = LIMIT;
	stack->client_half_open = LIMIT;
	gateway_start(g);
	for (unsigned i = 0; i < 3 * LIMIT; i++) {
		theirs[i] = begin_talk(g, v1_v4, EHLO);
		ours[i] = talk_begin(&g->talks, &to, WORLD_PORT, TALK_IN_TURN, EHLO);
		gateway_run(g, SECOND_US / 10);
	}
	for (unsigned i = 0; i < 3 * LIMIT; i++) {
		assert_string_equal(theirs[i]->codes, "220 250");
		if (i < LIMIT)
			assert_string_equal(ours[i]->codes, "220 250");
		else
			assert_string_not_equal(ours[i]->codes, "220 250");
	}
	clients = stack->clients;
	gateway_close(g);
	clients_free(clients);
}

static void too_many_without_a_header_leave_no_room_for_more(void **state)
{
	enum { SESSIONS = 4, OPENED = 40 };
	struct ip_network balancers;
	struct gateway *g = new_gateway(&balancers);
	unsigned away = 0;

	g->mail.sessions = SESSIONS;
	gateway_start(g);
	for (unsigned i = 0; i < OPENED; i++)
		begin_talk(g, HEADER(""), EHLO);
	gateway_run(g, SECOND_US);
	for (unsigned i = 0; i < OPENED; i++)
		away += strcmp(g->talks.at[i].codes, "421") == 0;
	assert_int_equal(away, OPENED - GATEWAY_WORKERS * SESSIONS);
	assert_int_equal(gateway_counters(g).mail_turned_away, away);
	/* And when their time is over there is. */
	gateway_run(g, 10ULL * SECOND_US);
	assert_int_equal(gateway_counters(g).mail_proxy_malformed, GATEWAY_WORKERS * SESSIONS);
	assert_string_equal(talk_for(g, SECOND_US, v1_v4, QUIT)->codes, "220 221");
	gateway_close(g);
}

static void what_is_known_of_a_connection_is_forgotten_with_it(void **state)
{
	enum { SESSIONS = 2, ROUNDS = 10 };
	static const char *const ends[] = {QUIT, "", "GET / HTTP/1.1\r\n"};
	struct ip_network balancers;
	struct gateway *g = new_gateway(&balancers);

	g->mail.sessions = SESSIONS;
	gateway_start(g);
	for (unsigned i = 0; i < ROUNDS; i++)
		for (unsigned how = 0; how < sizeof(ends) / sizeof(ends[0]); how++) {
			char name[64];
			const int len = snprintf(name, sizeof(name),
						 "PROXY TCP4 203.0.%u.9 192.0.2.25 40000 25\r\n",
						 i * 8 + how);
			struct talk *k =
				begin_talk(g, (struct header){name, (size_t)len}, ends[how]);

			k->leaves = true;
			gateway_run(g, 2 * SECOND_US);
			assert_true(k->done);
			assert_int_equal(strncmp(k->codes, "220", 3), 0);
		}
	gateway_close(g);
}

static void a_gateway_that_stops_tells_who_has_no_name_yet(void **state)
{
	struct ip_network balancers;
	struct gateway *g = open_gateway(&balancers);
	struct talk *waiting = begin_talk(g, HEADER(""), EHLO), *k;

	gateway_run(g, SECOND_US);
	assert_string_equal(waiting->codes, "");
	atomic_store(&g->mail.draining, true);
	gateway_run(g, SECOND_US);
	assert_string_equal(waiting->codes, "421");
	assert_non_null(strstr(waiting->heard, "421 4.3.2 "));
	k = talk_for(g, SECOND_US, v1_v4, QUIT);
	assert_string_equal(k->codes, "421");
	gateway_close(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_comes_before_the_greeting_in_whatever_pieces),
		cmocka_unit_test(nobody_is_greeted_before_the_header_which_has_ten_seconds),
		cmocka_unit_test(what_is_no_header_is_reset_at_once),
		cmocka_unit_test(a_header_cut_off_by_a_fin_is_none_and_no_octet_at_all_no_fault),
		cmocka_unit_test(what_the_balancer_says_of_itself_is_its_own),
		cmocka_unit_test(a_header_from_elsewhere_is_early_talk),
		cmocka_unit_test(
			who_speaks_behind_the_header_before_the_greeting_is_refused_and_scored),
		cmocka_unit_test(a_header_that_comes_again_is_no_early_talk),
		cmocka_unit_test(what_is_stored_and_what_servers_are_told_names_the_client),
		cmocka_unit_test(what_is_delivered_is_the_clients_credit),
		cmocka_unit_test(who_guesses_is_shut_out_alone),
		cmocka_unit_test(
			a_client_shut_out_behind_a_balancer_is_told_so_when_it_comes_itself),
		cmocka_unit_test(a_client_shut_out_when_it_came_itself_is_so_behind_a_balancer),
		cmocka_unit_test(the_kernel_is_not_told_of_who_is_named),
		cmocka_unit_test(a_balancer_may_have_more_connections_than_a_client),
		cmocka_unit_test(too_many_without_a_header_leave_no_room_for_more),
		cmocka_unit_test(what_is_known_of_a_connection_is_forgotten_with_it),
		cmocka_unit_test(a_gateway_that_stops_tells_who_has_no_name_yet),
	};

	seed = test_seed(1);
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
