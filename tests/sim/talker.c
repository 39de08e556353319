/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients of a mail server. Thread, Time, Memory: talker.h. */
#include "talker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GLANCE_US = 10000 };

struct talker {
	struct worker *worker;
	struct tcp *tcp;
	struct talks *talks;
};

/* A release build has no assert. */
static void must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "talker: %s\n", what);
	abort();
}

struct talk *talk_begin(struct talks *t, const struct ip_addr *to, uint16_t port,
			enum talk_manner manner, const char *lines)
{
	struct talk *talk = &t->at[t->n++];

	must(t->n <= TALKS_MAX, "too many clients");
	*talk = (struct talk){.to = *to, .port = port, .manner = manner, .lines = lines};
	return talk;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void keep_code(struct talk *k, const char *line)
{
	size_t at = strlen(k->codes);

	must(at + 5 <= sizeof(k->codes), "too many replies");
	snprintf(k->codes + at, sizeof(k->codes) - at, "%s%.3s", at ? " " : "", line);
}

/* A message that nobody wants is not sent. */
static void skip_message(struct talk *k)
{
	static const char data[] = "DATA\r\n", end[] = "\r\n.\r\n";
	const char *said = k->lines + k->said, *to = strstr(said, end);

	if ((k->manner != TALK_IN_TURN && k->manner != TALK_OCTETS) || k->said < sizeof(data) - 1 ||
	    strncmp(said - (sizeof(data) - 1), data, sizeof(data) - 1) != 0)
		return;
	k->said = to ? (size_t)(to - k->lines) + sizeof(end) - 1 : strlen(k->lines);
}

/* Reads on over the replies that are whole; returns how many. */
static unsigned take_replies(struct talk *k)
{
	unsigned n = 0;
	char *end;

	while ((end = strstr(k->heard + k->seen, "\r\n"))) {
		const char *line = k->heard + k->seen;

		must(end - line >= 4 && is_digit(line[0]) && is_digit(line[1]) && is_digit(line[2]),
		     "no reply");
		k->seen = (size_t)(end + 2 - k->heard);
		if (line[3] != ' ')
			continue;
		n++;
		k->in_message = strncmp(line, "354", 3) == 0;
		if (k->in_message)
			k->message_at = k->said;
		else
			skip_message(k);
		if (!k->only_counts)
			keep_code(k, line);
	}
	k->replies += n;
	if (k->only_counts) {
		k->len -= k->seen;
		memmove(k->heard, k->heard + k->seen, k->len + 1);
		k->seen = 0;
	}
	return n;
}

static void hear(struct talker *r, struct talk *k)
{
	struct span in;

	while ((in = tcp_read(r->tcp, k->conn, 0)).len) {
		must(k->len + in.len <= TALK_HEARD_MAX, "too much is said to a client");
		memcpy(k->heard + k->len, in.bytes, in.len);
		k->len += in.len;
		k->heard[k->len] = '\0';
		tcp_consume(r->tcp, k->conn, in.len);
	}
}

static void say(struct talker *r, struct talk *k, size_t len)
{
	size_t taken = tcp_send(r->tcp, k->conn, k->lines + k->said, len);

	must(taken == len, "no room to say it");
	k->said += taken;
	if (k->leaves && !k->resets && !k->lines[k->said])
		tcp_shutdown(r->tcp, k->conn);
}

static void say_header(struct talker *r, struct talk *k)
{
	const size_t left = k->header_len - k->header_said;
	const size_t n = k->header_step && k->header_step < left ? k->header_step : left;

	must(tcp_send(r->tcp, k->conn, (const char *)k->header + k->header_said, n) == n,
	     "no room for a header");
	k->header_said += n;
	if (n == left && k->leaves && !*k->lines)
		tcp_shutdown(r->tcp, k->conn);
}

/* A command, or behind a 354 a message with its end. */
static size_t line_len(const struct talk *k)
{
	const char *to = k->in_message ? "\r\n.\r\n" : "\r\n";
	const char *line = k->lines + k->said, *end = strstr(line, to);

	return end ? (size_t)(end - line) + strlen(to) : strlen(line);
}

/* Whether what it said last waits for a reply. */
static bool ends_here(const struct talk *k)
{
	static const char end[] = "\r\n.\r\n";

	if (!k->in_message)
		return k->lines[k->said - 1] == '\n';
	return k->said >= k->message_at + sizeof(end) - 1 &&
	       memcmp(k->lines + k->said - (sizeof(end) - 1), end, sizeof(end) - 1) == 0;
}

/* What a turn lets it say; replies: that came now. */
static void go_on(struct talker *r, struct talk *k, unsigned replies)
{
	const size_t left = strlen(k->lines + k->said), room = tcp_send_room(r->tcp, k->conn);

	if (!left)
		return;
	switch (k->manner) {
	case TALK_EARLY:
		say(r, k, left);
		break;
	case TALK_PIPELINED:
		if (k->replies)
			say(r, k, left);
		break;
	case TALK_DEAF:
		if (k->said || tcp_readable(k->conn))
			say(r, k, left < room ? left : room);
		break;
	case TALK_IN_TURN:
		if (replies)
			say(r, k, line_len(k));
		break;
	case TALK_OCTETS:
		/* The last octet of a line waits for its reply. */
		if (replies || (k->said && !ends_here(k)))
			say(r, k, 1);
		break;
	}
}

static void *start(struct worker *w, void *config)
{
	struct talker *r = calloc(1, sizeof(*r));

	must(r, "no memory");
	*r = (struct talker){w, worker_tcp(w), config};
	return r;
}

static void run(void *state, struct tcp_conn *conn, unsigned news, uint64_t now_us)
{
	struct talker *r = state;
	struct talk *k = tcp_user(conn);
	unsigned replies = 0;

	(void)now_us;
	if (news & TCP_OPENED)
		k->opened = true;
	if (k->manner != TALK_DEAF || k->hears) {
		hear(r, k);
		replies = take_replies(k);
	}
	if (news & TCP_PEER_DONE)
		k->done = true;
	if (news & TCP_ENDED) {
		k->ended = true;
		k->end = tcp_end_of(conn);
		k->conn = NULL;
	} else if (k->done && !tcp_readable(conn)) {
		tcp_shutdown(r->tcp, conn);
	} else if (k->opened) {
		go_on(r, k, replies);
	}
}

static void begin(struct talker *r, struct talk *k)
{
	must(worker_connect(r->worker, &k->to, k->port, &k->conn) == WORKER_CONNECTING,
	     "no connection can be opened");
	tcp_set_user(k->conn, k);
}

static void reset(struct talker *r, struct talk *k)
{
	tcp_set_user(k->conn, NULL);
	tcp_abort(r->tcp, k->conn);
	k->conn = NULL;
	k->ended = true;
}

static uint64_t turn(void *state, uint64_t now_us)
{
	struct talker *r = state;
	struct talks *t = r->talks;
	for (; t->begun < t->n; t->begun++)
		begin(r, &t->at[t->begun]);
	for (uint32_t i = 0; i < t->n; i++) {
		struct talk *k = &t->at[i];

		if (!k->conn || !k->opened)
			continue;
		if (!k->done)
			say_header(r, k);
		if (k->manner == TALK_DEAF && k->hears) {
			hear(r, k);
			take_replies(k);
			if (k->done)
				tcp_shutdown(r->tcp, k->conn);
		}
		if (k->manner == TALK_OCTETS || k->manner == TALK_DEAF)
			go_on(r, k, 0);
		if (k->resets && !k->lines[k->said] && !tcp_unacknowledged(k->conn))
			reset(r, k);
	}
	return now_us + GLANCE_US;
}

static void stop(void *state)
{
	free(state);
}

const struct worker_service talker_service = {
	.name = "talker",
	.start = start,
	.run = run,
	.turn = turn,
	.stop = stop,
};
