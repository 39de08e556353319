/* SPDX-License-Identifier: BSD-3-Clause */
/* A mail server. Thread, Time, Memory: server.h. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_OCTETS = 4096, MESSAGE_MAX = 1 << 20, ANSWERS_MAX = 64 };

static const char usual_offers[] = "250-PIPELINING\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n"
				   "250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n";

struct conn {
	struct tcp_conn *tcp;
	size_t line_len, said, message_len;
	bool in_message;
	unsigned taken; /* recipients */
	uint64_t rests_until_us, heard_us;
	char line[LINE_MAX_OCTETS + 1];
	char *message;
};

struct host {
	struct tcp *tcp;
	struct server *server;
	uint64_t now_us, began_us;
	bool has_fallen;
};

static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "server: %s\n", what);
	abort();
}

void server_rule(struct server *s, const char *line, const char *reply, unsigned times)
{
	must(s->n_rules < SERVER_RULES_MAX, "too many rules");
	s->rules[s->n_rules++] = (struct server_rule){line, reply, times};
}

void server_free(struct server *s)
{
	for (unsigned i = 0; i < s->messages && i < SERVER_MESSAGES_MAX; i++)
		free(s->message[i]);
	memset(s, 0, sizeof(*s));
}

/* --- saying ---------------------------------------------------------------------------------- */

static bool say(struct host *h, struct conn *c, const char *text)
{
	struct server *s = h->server;
	size_t len = strlen(text);
	bool cut = s->cut_after && c->said + len >= s->cut_after;

	if (cut)
		len = s->cut_after - c->said;
	must(tcp_send(h->tcp, c->tcp, text, len) == len, "no room to say it");
	c->said += len;
	if (c->said > s->said_most)
		s->said_most = c->said;
	return !cut;
}

/* The rule for a line; the first that still holds. */
static const char *const *rule_for(struct server *s, const char *line, const char *const *usual)
{
	for (unsigned i = 0; i < s->n_rules; i++) {
		struct server_rule *r = &s->rules[i];
		size_t len = strlen(r->line);

		if (len ? strncmp(line, r->line, len) != 0 : *line != '\0')
			continue;
		if (r->times && --r->times == 0)
			r->line = "\001"; /* used up */
		return &r->reply;
	}
	return usual;
}

static bool starts(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* --- hearing --------------------------------------------------------------------------------- */

static bool answer(struct host *h, struct conn *c, const char *line, const char *usual)
{
	const char *const *reply = rule_for(h->server, line, &usual);

	return !*reply || say(h, c, *reply);
}

static const char *which(const struct server *s, const struct conn *c)
{
	static char reply[128];
	const char *subject = strstr(c->message, "Subject: ");

	if (!s->says_which || !subject)
		return "250 2.0.0 stored\r\n";
	subject += strlen("Subject: ");
	snprintf(reply, sizeof(reply), "250 2.0.0 stored %.*s\r\n", (int)strcspn(subject, "\r"),
		 subject);
	return reply;
}

static void keep_message(struct server *s, struct conn *c)
{
	must(s->messages < SERVER_MESSAGES_MAX, "too many messages");
	s->message_len[s->messages] = c->message_len;
	s->message[s->messages++] = c->message;
	c->message = NULL;
}

/* LMTP answers once a recipient: kept is what one has at least. */
static bool end_message(struct host *h, struct conn *c)
{
	const unsigned n = h->server->lmtp ? c->taken : 1;
	const char *usual, *replies[ANSWERS_MAX];
	bool taken = false;

	must(n <= ANSWERS_MAX, "too many recipients");
	c->in_message = false;
	c->message[c->message_len] = '\0';
	usual = which(h->server, c);
	for (unsigned i = 0; i < n; i++) {
		replies[i] = *rule_for(h->server, ".", &usual);
		taken |= !replies[i] || replies[i][0] == '2';
	}
	if (taken) {
		keep_message(h->server, c);
	} else {
		h->server->refused_messages++;
		free(c->message);
		c->message = NULL;
	}
	for (unsigned i = 0; i < n; i++)
		if (replies[i] && !say(h, c, replies[i]))
			return false;
	return true;
}

static bool greet(struct host *h, struct conn *c)
{
	char reply[1024];

	snprintf(reply, sizeof(reply), "250-server.example\r\n%s250 HELP\r\n",
		 h->server->offers ? h->server->offers : usual_offers);
	return answer(h, c, c->line, reply);
}

static bool begin_message(struct host *h, struct conn *c)
{
	static const char wanted[] = "354 go on\r\n", none[] = "554 5.5.1 no valid recipients\r\n";
	const char *usual = c->taken ? wanted : none,
		   *reply = *rule_for(h->server, c->line, &usual);

	if (reply && starts(reply, "354")) {
		c->in_message = true;
		c->message_len = 0;
		c->message = malloc(MESSAGE_MAX + 1);
		must(c->message, "no memory");
	}
	return !reply || say(h, c, reply);
}

static bool obey(struct host *h, struct conn *c)
{
	struct server *s = h->server;
	const size_t len = strlen(c->line);

	must(s->heard_len + len + 2 <= SERVER_HEARD_MAX, "too much was heard");
	s->heard_len += (size_t)sprintf(s->heard + s->heard_len, "%s\n", c->line);
	if (starts(c->line, "EHLO") || starts(c->line, "LHLO"))
		return greet(h, c);
	if (starts(c->line, "DATA"))
		return begin_message(h, c);
	if (starts(c->line, "MAIL") || starts(c->line, "RSET"))
		c->taken = 0;
	if (starts(c->line, "XCLIENT"))
		return answer(h, c, c->line, "220 again\r\n");
	if (starts(c->line, "RCPT")) {
		static const char usual[] = "250 2.1.5 ok\r\n";
		const char *fine = usual, *reply = *rule_for(s, c->line, &fine);

		c->taken += reply && reply[0] == '2';
		return !reply || say(h, c, reply);
	}
	return answer(h, c, c->line, "250 2.0.0 ok\r\n");
}

/* A line of a message: whatever is in it. */
static bool take_text(struct host *h, struct conn *c)
{
	if (strcmp(c->line, ".") == 0 && c->line_len == 1)
		return end_message(h, c);
	must(c->message_len + c->line_len + 2 <= MESSAGE_MAX, "too large a message");
	memcpy(c->message + c->message_len, c->line, c->line_len);
	memcpy(c->message + c->message_len + c->line_len, "\r\n", 2);
	c->message_len += c->line_len + 2;
	return true;
}

static bool take_octet(struct host *h, struct conn *c, char octet)
{
	bool goes_on = true;

	must(c->line_len < LINE_MAX_OCTETS, "too long a line");
	if (octet != '\n' || !c->line_len || c->line[c->line_len - 1] != '\r') {
		must(octet != '\0' && (octet != '\n'), "a bare LF, or a NUL");
		must(!c->line_len || c->line[c->line_len - 1] != '\r', "a bare CR");
		c->line[c->line_len++] = octet;
		return true;
	}
	c->line[--c->line_len] = '\0';
	if (!c->in_message && h->server->pause_us)
		c->rests_until_us = h->now_us + h->server->pause_us;
	goes_on = c->in_message ? take_text(h, c) : obey(h, c);
	c->line_len = 0;
	return goes_on;
}

static void end(struct host *h, struct conn *c)
{
	h->server->open--;
	h->server->truncated += c->in_message;
	free(c->message);
	free(c);
}

static void cut_off(struct host *h, struct conn *c)
{
	struct tcp_conn *tcp = c->tcp;

	tcp_set_user(tcp, NULL);
	if (h->server->cut == SERVER_RESETS)
		tcp_abort(h->tcp, tcp);
	else
		tcp_close(h->tcp, tcp);
	end(h, c);
}

static bool listens(const struct host *h, const struct conn *c)
{
	return !h->server->is_deaf && !(h->server->stops_reading && c->in_message) &&
	       h->now_us >= c->rests_until_us;
}

static void hear(struct host *h, struct conn *c)
{
	struct span in;

	c->heard_us = h->now_us;
	while (listens(h, c) && (in = tcp_read(h->tcp, c->tcp, 0)).len) {
		const uint8_t octet = in.bytes[0];

		tcp_consume(h->tcp, c->tcp, 1);
		if (!take_octet(h, c, (char)octet)) {
			cut_off(h, c);
			return;
		}
	}
	if (tcp_is_peer_done(c->tcp) && !tcp_readable(c->tcp))
		cut_off(h, c);
}

/* --- life ------------------------------------------------------------------------------------ */

static void open_conn(struct host *h, struct tcp_conn *tcp)
{
	struct server *s = h->server;
	struct conn *c = calloc(1, sizeof(*c));

	must(c, "no memory");
	c->tcp = tcp;
	tcp_set_user(tcp, c);
	s->connections++;
	if (++s->open > s->most_open)
		s->most_open = s->open;
	if (!answer(h, c, "", "220 server.example ESMTP\r\n"))
		cut_off(h, c);
}

static void *start(struct worker *w, void *config)
{
	struct host *h = calloc(1, sizeof(*h));

	must(h, "no memory");
	*h = (struct host){.tcp = worker_tcp(w), .server = config};
	return h;
}

static void run(void *state, struct tcp_conn *tcp, unsigned news, uint64_t now_us)
{
	struct host *h = state;
	struct conn *c;

	h->now_us = now_us;
	if ((news & TCP_OPENED) && !(news & TCP_ENDED))
		open_conn(h, tcp);
	c = tcp_user(tcp);
	if (!c)
		return;
	if (news & TCP_ENDED) {
		tcp_set_user(tcp, NULL);
		end(h, c);
		return;
	}
	hear(h, c);
}

/* When it does something unasked; UINT64_MAX: never. */
static uint64_t due_of(const struct host *h, const struct conn *c)
{
	if (c->in_message && h->server->patience_us)
		return c->heard_us + h->server->patience_us;
	return c->rests_until_us ? c->rests_until_us : UINT64_MAX;
}

static void go_on(struct host *h, struct conn *c)
{
	if (c->in_message && h->server->patience_us) {
		say(h, c, "421 4.4.2 timeout\r\n");
		cut_off(h, c);
	} else {
		c->rests_until_us = 0;
		hear(h, c);
	}
}

/* When it does; UINT64_MAX: it has. */
static uint64_t fall(struct host *h, uint64_t now_us)
{
	const uint64_t in_us = h->server->falls_in_us;

	if (!h->began_us)
		h->began_us = now_us ? now_us : 1;
	if (!in_us || h->has_fallen)
		return UINT64_MAX;
	if (now_us < h->began_us + in_us)
		return h->began_us + in_us;
	h->has_fallen = true;
	for (uint32_t i = 0; i < tcp_conns_bound(h->tcp); i++) {
		struct tcp_conn *tcp = tcp_conn_at(h->tcp, i);
		struct conn *c = tcp ? tcp_user(tcp) : NULL;

		if (!c)
			continue;
		tcp_set_user(tcp, NULL);
		tcp_abort(h->tcp, tcp);
		end(h, c);
	}
	return UINT64_MAX;
}

static uint64_t turn(void *state, uint64_t now_us)
{
	struct host *h = state;
	uint64_t due_us = fall(h, now_us);

	h->now_us = now_us;
	for (uint32_t i = 0; i < tcp_conns_bound(h->tcp); i++) {
		struct tcp_conn *tcp = tcp_conn_at(h->tcp, i);
		struct conn *c = tcp ? tcp_user(tcp) : NULL;

		if (c && now_us >= due_of(h, c))
			go_on(h, c);
		if (c && tcp_user(tcp) == c && due_of(h, c) < due_us)
			due_us = due_of(h, c);
	}
	return due_us;
}

static void stop(void *state)
{
	struct host *h = state;

	for (uint32_t i = 0; i < tcp_conns_bound(h->tcp); i++) {
		struct tcp_conn *tcp = tcp_conn_at(h->tcp, i);

		if (tcp)
			end(h, tcp_user(tcp));
	}
	free(h);
}

const struct worker_service server_service = {
	.name = "server",
	.start = start,
	.run = run,
	.turn = turn,
	.stop = stop,
};
