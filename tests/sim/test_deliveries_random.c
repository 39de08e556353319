/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages through a gateway to servers that fail as they like, over wires that lose, each world
 * of its own with its own seed:
 *
 *     test_deliveries_random FIRST COUNT
 *
 * runs worlds FIRST to FIRST + COUNT - 1. Clients send messages in turn or octet by octet, stop
 * anywhere, leave or are reset; servers refuse, say what is no reply or nothing, stop reading, hang
 * up in the midst of a word and fall. Whatever happens:
 *
 *     who hears that a message is stored can have it read whole
 *     what is stored is a message that was sent, whole, and whose end was sent
 *     no client hears 5xx but from who has read its mail, and never from a server that is wrong
 *     once all is well again mail goes through, and nothing is left behind
 *
 * A failure names its world; POSTERN_SEED chooses all seeds, POSTERN_WORLD runs one alone.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway.h"
#include "sim_eal.h"

enum {
	CLIENTS_MAX = 10,
	MAILS_MAX = 3, /* of a client */
	LINES_MAX = 32 << 10,
	BODY_MAX = 8 << 10,
	LOSS_MAX_PPM = 80000,
	NAME_MAX_OCTETS = 16,
};

struct mail_sent {
	char name[NAME_MAX_OCTETS]; /* of client and message: "3.1" */
	char text[BODY_MAX];
	size_t ends_at; /* in the client's lines */
	bool is_faulty;
	unsigned stored;
};

struct client {
	char lines[LINES_MAX];
	struct mail_sent mails[MAILS_MAX];
	unsigned n_mails;
	struct talk *talk;
};

struct trial {
	struct sim_random random;
	struct gateway *g;
	unsigned n_clients, n_servers;
	bool is_lmtp;
	struct client clients[CLIENTS_MAX];
};

struct outcome {
	unsigned sent, told, stored, again, truncated, refused;
};

static uint64_t seed;
static uint32_t first, count;

static uint32_t running; /* the world that is, and is named when it fails */
static bool is_running;

/* --- a world --------------------------------------------------------------------------------- */

static bool one_in(struct trial *t, unsigned n)
{
	return sim_random_below(&t->random, n) == 0;
}

static void choose_path(struct trial *t, struct sim_path *path)
{
	path->delay_us = sim_random_magnitude(&t->random, 40000);
	path->jitter_us = sim_random_below(&t->random, 3000);
	if (one_in(t, 2))
		path->loss_ppm = (uint32_t)sim_random_below(&t->random, LOSS_MAX_PPM);
	if (one_in(t, 3)) {
		path->reorder_ppm = (uint32_t)sim_random_below(&t->random, 100000);
		path->reorder_us = sim_random_in(&t->random, 1000, 20000);
		path->duplicate_ppm = (uint32_t)sim_random_below(&t->random, 50000);
	}
}

/* What a server may say in place of what it should. */
struct whim {
	const char *line, *reply;
};

static const struct whim whims[] = {
	{"", "421 4.3.2 busy\r\n"},
	{"", "554 5.7.1 wrong: go away\r\n"},
	{"", NULL},
	{"", "hello\r\n"},
	{"EHLO", "554 5.7.1 wrong: not you\r\n"},
	{"EHLO", "421 4.3.2 busy\r\n"},
	{"EHLO", "250-server\r\n250 PIPELINING\r\n250 and once more\r\n"},
	{"RSET", "421 4.3.2 busy\r\n"},
	{"RSET", "500 5.5.1 wrong: what?\r\n"},
	{"MAIL", "450 4.1.0 later\r\n"},
	{"MAIL", "530 5.7.0 wrong: authenticate\r\n"},
	{"MAIL", "554 5.7.1 wrong: denied\r\n"},
	{"RCPT", "450 4.2.0 later\r\n"},
	{"RCPT", "550 5.2.1 read: no such box\r\n"},
	{"RCPT TO:<other", "550 5.1.1 read: nobody\r\n"},
	{"RCPT", "554 5.7.1 wrong: relay access denied\r\n"},
	{"RCPT", "503 5.5.1 wrong: what?\r\n"},
	{"RCPT", "354 go on\r\n"},
	{"RCPT", NULL},
	{"DATA", "451 4.3.0 later\r\n"},
	{"DATA", "554 5.7.1 wrong: denied\r\n"},
	{"DATA", "250 2.0.0 ok\r\n"},
	{"DATA", NULL},
	{"DATA", "354 go on\r\n250 2.0.0 too early\r\n"},
	{"DATA", "354 go on\r\n452 4.3.1 no room\r\n"},
	{".", "451 4.3.0 later\r\n"},
	{".", "550 5.7.1 read: no lotteries\r\n"},
	{".", "530 5.7.0 wrong: authenticate\r\n"},
	{".", "421 4.3.2 shutting down\r\n"},
	{".", "what?\r\n"},
	{".", "354 go on\r\n"},
	{".", NULL},
};

static void choose_server(struct trial *t, struct server *s)
{
	const unsigned n = (unsigned)sim_random_below(&t->random, 4);

	s->says_which = true;
	for (unsigned i = 0; i < n; i++) {
		const struct whim *w =
			&whims[sim_random_below(&t->random, sizeof(whims) / sizeof(whims[0]))];

		server_rule(s, w->line, w->reply,
			    one_in(t, 4) ? 0 : (unsigned)sim_random_in(&t->random, 1, 3));
	}
	if (one_in(t, 3))
		s->cut_after = (size_t)sim_random_in(&t->random, 1, 1500);
	s->cut = one_in(t, 2) ? SERVER_RESETS : SERVER_FINISHES;
	if (one_in(t, 3))
		s->pause_us = sim_random_magnitude(&t->random, 2 * SECOND_US);
	if (one_in(t, 6))
		s->patience_us = sim_random_in(&t->random, 1, 20) * SECOND_US;
	if (one_in(t, 8))
		s->stops_reading = true;
	if (one_in(t, 12))
		s->is_deaf = true;
	if (one_in(t, 3))
		s->falls_in_us = sim_random_magnitude(&t->random, 60ULL * SECOND_US);
	if (one_in(t, 4))
		s->offers = "250-8BITMIME\r\n";
}

static void choose_gateway(struct trial *t)
{
	static const enum sim_arrival arrivals[] = {SIM_AT_OWNER, SIM_AT_ANY, SIM_AT_WRONG};
	struct gateway *g =
		gateway_new(sim_random(&t->random), arrivals[sim_random_below(&t->random, 3)]);

	t->g = g;
	t->n_servers = (unsigned)sim_random_in(&t->random, 1, GATEWAY_SERVERS);
	t->is_lmtp = one_in(t, 5);
	g->mail.sessions = (uint32_t)sim_random_in(&t->random, 8, 32);
	if (one_in(t, 2)) {
		g->mail.buffered_max = (uint32_t)sim_random_in(&t->random, 1, 64) * 1024;
		g->mail.relay_octets = sim_random_in(&t->random, 8, 256) * 1024;
	}
	gateway_pools(g, t->n_servers, t->is_lmtp ? POOL_LMTP : POOL_SMTP, POOL_IDENTITY_NONE,
		      (uint32_t)sim_random_in(&t->random, 1, 4));
	for (unsigned i = 0; i < GATEWAY_SERVERS; i++)
		choose_server(t, &g->servers[i]);
	gateway_start(g);
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++)
		choose_path(t, world_path(&g->world, i));
	for (unsigned i = 0; i < GATEWAY_SERVERS; i++) {
		const int ours = sim_stack_host(g->world.stacks[WORLD_ANSWERER]),
			  its = sim_stack_host(g->server_stacks[i]);

		choose_path(t, sim_wire_path(g->world.wire, ours, its));
		choose_path(t, sim_wire_path(g->world.wire, its, ours));
	}
}

/* --- clients --------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void add(char *to, const char *format, ...)
{
	const size_t at = strlen(to);
	va_list args;

	va_start(args, format);
	vsnprintf(to + at, LINES_MAX - at, format, args);
	va_end(args);
}

/* As it is sent: dot-stuffed, each line with its CRLF. */
static void write_text(struct trial *t, struct mail_sent *mail, size_t octets)
{
	static const char *const lines[] = {
		"..",	    "...a dot",	 "",
		"and text", "From here", "a line that is rather longer than the others are"};
	char name[NAME_MAX_OCTETS];
	size_t len;

	memcpy(name, mail->name, sizeof(name));
	len = (size_t)snprintf(mail->text, BODY_MAX, "Subject: %s\r\n\r\n", name);

	do
		len += (size_t)snprintf(mail->text + len, BODY_MAX - len, "%s\r\n",
					lines[sim_random_below(&t->random, 6)]);
	while (len < octets);
	snprintf(mail->text + len, BODY_MAX - len, "the last line of %s\r\n", name);
}

static void write_envelope(struct trial *t, struct client *c, const struct mail_sent *mail)
{
	static const char *const near[] = {"user", "other", "user", "postmaster"};
	const bool is_far = one_in(t, 6);
	const unsigned n = (unsigned)sim_random_in(&t->random, 1, 3);

	/* Each from a sender of its own: nothing is refused a second time. */
	add(c->lines, "MAIL FROM:<a%s@example.org>", mail->name);
	if (one_in(t, 2)) /* true or not */
		add(c->lines, " SIZE=%" PRIu64, sim_random_in(&t->random, 1, 5000));
	add(c->lines, "\r\n");
	for (unsigned i = 0; i < n; i++)
		if (is_far)
			add(c->lines, "RCPT TO:<far%u@example.net>\r\n", i);
		else
			add(c->lines, "RCPT TO:<%s@example.net>\r\n",
			    near[sim_random_below(&t->random, 4)]);
}

static void write_mail(struct trial *t, struct client *c, size_t octets)
{
	struct mail_sent *mail = &c->mails[c->n_mails];

	snprintf(mail->name, sizeof(mail->name), "%u.%u", (unsigned)(c - t->clients), c->n_mails);
	c->n_mails++;
	mail->is_faulty = one_in(t, 10);
	write_text(t, mail, octets);
	write_envelope(t, c, mail);
	add(c->lines, "DATA\r\n%s%s.\r\n", mail->text, mail->is_faulty ? "a bare \r CR\r\n" : "");
	mail->ends_at = strlen(c->lines);
	if (one_in(t, 4))
		add(c->lines, "NOOP\r\n");
}

/* Says nothing more, or goes, at any octet. */
static void cut_short(struct trial *t, struct client *c)
{
	const unsigned how = (unsigned)sim_random_below(&t->random, 3);

	c->lines[sim_random_in(&t->random, 1, strlen(c->lines))] = '\0';
	c->talk->leaves = how > 0;
	c->talk->resets = how == 2;
}

static void begin_client(struct trial *t, struct client *c)
{
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, false);
	const bool octets = one_in(t, 4);
	const unsigned n = octets ? 1 : (unsigned)sim_random_in(&t->random, 1, MAILS_MAX);

	add(c->lines, "EHLO client.example\r\n");
	for (unsigned i = 0; i < n; i++)
		write_mail(t, c, octets ? 60 : sim_random_magnitude(&t->random, BODY_MAX - 200));
	if (one_in(t, 2))
		add(c->lines, "QUIT\r\n");
	c->talk = talk_begin(&t->g->talks, &to, WORLD_PORT, octets ? TALK_OCTETS : TALK_IN_TURN,
			     c->lines);
	if (one_in(t, 3))
		cut_short(t, c);
}

/* --- what must hold -------------------------------------------------------------------------- */

static struct mail_sent *mail_of(struct trial *t, const char *stored, const struct client **of)
{
	const char *subject = strstr(stored, "\r\nSubject: ");
	unsigned client = 0, number = 0;

	if (!subject || sscanf(subject, "\r\nSubject: %u.%u\r\n", &client, &number) != 2 ||
	    client >= t->n_clients || number >= t->clients[client].n_mails)
		fail_msg("a stored message that nobody sent: %s", stored);
	*of = &t->clients[client];
	return &t->clients[client].mails[number];
}

static void check_stored(struct trial *t, const char *stored, struct outcome *o)
{
	const struct client *c = NULL;
	struct mail_sent *mail = mail_of(t, stored, &c);
	const char *text = strstr(stored, "+0000\r\n");

	if (strncmp(stored, "Received: from client.example ", 30) != 0 || !text ||
	    strcmp(text + 7, mail->text) != 0)
		fail_msg("%s is not stored as it was sent: %s", mail->name, stored);
	if (mail->is_faulty)
		fail_msg("%s is faulty, and stored", mail->name);
	if (c->talk->said < mail->ends_at)
		fail_msg("%s is stored, and its end was not sent", mail->name);
	o->stored++;
	o->again += mail->stored++ > 0;
}

/* Of a line that begins with 5: whether it may be said. */
static bool may_be_said(const char *line)
{
	static const char *const ours[] = {"554 5.5.1 no valid", "550 5.5.2 ", "503 5.5.1 "};

	if (strncmp(line + 4, "5.", 2) == 0 && strncmp(line + 10, "read: ", 6) == 0)
		return true;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strncmp(line, ours[i], strlen(ours[i])) == 0)
			return true;
	return false;
}

static void check_line(struct trial *t, struct client *c, const char *line, struct outcome *o)
{
	const char *const told = "250 2.0.0 stored ";
	unsigned client, number;

	if (*line == '5' && !may_be_said(line))
		fail_msg("a client heard %.60s of all this:\n%s", line, c->talk->heard);
	o->refused += *line == '5';
	if (strncmp(line, told, strlen(told)) != 0)
		return;
	if (sscanf(line + strlen(told), "%u.%u", &client, &number) != 2 ||
	    &t->clients[client] != c || number >= c->n_mails)
		fail_msg("a client heard another's answer: %.60s", line);
	if (!c->mails[number].stored)
		fail_msg("%u.%u is not stored, and its client heard %.60s", client, number, line);
	o->told++;
}

static void check_client(struct trial *t, struct client *c, struct outcome *o)
{
	const char *line = c->talk->heard, *end;

	while ((end = strstr(line, "\r\n"))) {
		check_line(t, c, line, o);
		line = end + 2;
	}
	for (unsigned i = 0; i < c->n_mails; i++)
		o->sent += c->talk->said >= c->mails[i].ends_at;
}

static void check(struct trial *t, struct outcome *o)
{
	for (unsigned i = 0; i < GATEWAY_SERVERS; i++) {
		const struct server *s = &t->g->servers[i];

		for (unsigned m = 0; m < s->messages; m++)
			check_stored(t, s->message[m], o);
		o->truncated += s->truncated;
	}
	for (unsigned i = 0; i < t->n_clients; i++)
		check_client(t, &t->clients[i], o);
}

/* --- a world's course ------------------------------------------------------------------------ */

static void mend(struct trial *t)
{
	struct gateway *g = t->g;
	const int ours = sim_stack_host(g->world.stacks[WORLD_ANSWERER]);

	for (unsigned i = 0; i < GATEWAY_SERVERS; i++) {
		struct server *s = &g->servers[i];
		const int its = sim_stack_host(g->server_stacks[i]);

		s->n_rules = 0;
		s->cut_after = 0;
		s->pause_us = s->patience_us = 0;
		s->stops_reading = s->is_deaf = false;
		sim_wire_path(g->world.wire, ours, its)->loss_ppm = 0;
		sim_wire_path(g->world.wire, its, ours)->loss_ppm = 0;
	}
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++)
		world_path(&g->world, i)->loss_ppm = 0;
}

/* Once all is well, it is so for everybody. */
static void check_recovery(struct trial *t)
{
	static const char *const lines[] = {
		"EHLO last.example\r\nMAIL FROM:<last@example.com>\r\nRCPT TO:<user@example.net>\r\n"
		"DATA\r\nSubject: last\r\n\r\nlast\r\n.\r\nQUIT\r\n",
		"EHLO last.example\r\nMAIL FROM:<last@example.com>\r\nRCPT TO:<far9@example.net>\r\n"
		"DATA\r\nSubject: last\r\n\r\nlast\r\n.\r\nQUIT\r\n",
	};
	const unsigned lasting = 4;

	for (unsigned i = 0; i < 2 * lasting; i++)
		gateway_talk_for(t->g, i + 1 < 2 * lasting ? 0 : 30ULL * SECOND_US, TALK_IN_TURN,
				 lines[i % 2]);
	for (unsigned i = 0; i < 2 * lasting; i++) {
		const struct talk *k = &t->g->talks.at[t->n_clients + i];

		if (strcmp(k->codes, "220 250 250 250 354 250 221") != 0)
			fail_msg("all is well again, and a client heard %s", k->heard);
	}
}

static void run_world(uint32_t index, struct outcome *o)
{
	struct trial *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	running = index;
	is_running = true;
	t->random.state = sim_mix(seed) + index;
	choose_gateway(t);
	t->n_clients = (unsigned)sim_random_in(&t->random, 2, CLIENTS_MAX);
	for (unsigned i = 0; i < t->n_clients; i++) {
		begin_client(t, &t->clients[i]);
		gateway_run(t->g, sim_random_magnitude(&t->random, 4 * SECOND_US));
	}
	gateway_run(t->g, 400ULL * SECOND_US);
	mend(t);
	gateway_run(t->g, 400ULL * SECOND_US);
	check(t, o);
	check_recovery(t);
	gateway_close(t->g);
	free(t);
	is_running = false;
}

static void whatever_fails_no_message_is_lost_or_cut(void **state)
{
	struct outcome o = {0};

	for (uint32_t i = first; i < first + count; i++)
		run_world(i, &o);
	printf("%u worlds: %u messages sent, %u told stored, %u stored, %u of them again, "
	       "%u cut off, %u replies of 5xx\n",
	       count, o.sent, o.told, o.stored, o.again, o.truncated, o.refused);
	if (count < 50)
		return; /* too few to be sure of each */
	assert_true(o.told > o.sent / 4);
	assert_true(o.stored > o.told);
	assert_true(o.truncated > count / 10);
	assert_true(o.refused > count / 10);
}

static int name_world(void **state)
{
	if (is_running)
		print_error("POSTERN_SEED=%" PRIu64 " POSTERN_WORLD=%u\n", seed, running);
	return 0;
}

static uint32_t number(const char *text, uint32_t otherwise)
{
	return text != NULL ? (uint32_t)strtoul(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(whatever_fails_no_message_is_lost_or_cut, name_world),
	};

	first = number(argc > 1 ? argv[1] : NULL, 0);
	count = number(argc > 2 ? argv[2] : NULL, 100);
	seed = test_seed(1);
	if (getenv("POSTERN_WORLD") != NULL) {
		first = number(getenv("POSTERN_WORLD"), 0);
		count = 1;
	}
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
