/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What SMTP costs without a network: `bench_smtp [conversations]`, default 2,000,000.
 *
 * A conversation is EHLO, MAIL, RCPT answered by 550, QUIT, a line at a time, each in a span of its
 * own, with the answer of a directory that costs nothing. A pipelined RCPT is one of 32 in a span.
 * Messages are fed as TCP segments would bring them. Best of five runs: the machine is not ours.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"
#include "smtp/session.h"

enum {
	RUNS = 5,
	GROUPS = 100000,
	MEGABYTE = 1 << 20,
	MESSAGES = 300,
	SEGMENT = 1448,
	IDLE = 1000000,
};

struct bench {
	struct postern_counters counters;
	struct smtp *m;
	struct smtp_out out;
	uint8_t bytes[64 * 1024];
	uint64_t replies; /* octets */
};

static bool bench_init(struct bench *b, uint32_t sessions)
{
	const struct smtp_config config = {
		.settings = {.host = "mx1.example.net",
			     .offers = SMTP_OFFERS_SIZE | SMTP_OFFERS_8BITMIME |
				       SMTP_OFFERS_SMTPUTF8 | SMTP_OFFERS_DSN,
			     .size_max = 50000000,
			     .recipients_max = 60000,
			     .normalize_bare_lf = true},
		.sessions = sessions,
		.envelopes = 16,
		.pages = 1024,
		.pieces = 16,
		.id_key = {1, 2},
		.counters = &b->counters,
	};

	b->m = smtp_new(&config, 0);
	b->out = (struct smtp_out){.bytes = b->bytes, .size = sizeof(b->bytes)};
	return b->m;
}

static void send(struct bench *b)
{
	b->replies += b->out.len;
	b->out.len = 0;
}

static void answer(struct bench *b, struct smtp_session *s, enum reply reply)
{
	const struct smtp_recipient *asked[SMTP_ASKED_MAX];
	struct smtp_answer answers[SMTP_ASKED_MAX] = {0};
	const size_t n = smtp_asked(b->m, s, asked);

	for (size_t i = 0; i < n; i++)
		answers[i].reply = reply;
	smtp_answer_recipients(b->m, s, answers, n, &b->out);
}

/* Feeds what there is, answering every recipient so; returns the step it stops at. */
static enum smtp_step feed(struct bench *b, struct smtp_session *s, struct span in,
			   enum reply reply)
{
	enum smtp_step step;

	while ((step = smtp_feed(b->m, s, &in, false, 0, &b->out)) == SMTP_ASK_RECIPIENTS)
		answer(b, s, reply);
	return step;
}

static struct span text(const char *line)
{
	return (struct span){(const uint8_t *)line, strlen(line)};
}

/* --- conversations ---------------------------------------------------------------------------- */

static void converse(struct bench *b)
{
	static const char *const lines[] = {"EHLO mail.example.org\r\n",
					    "MAIL FROM:<sender@example.org> SIZE=4000\r\n",
					    "RCPT TO:<nobody.at.all@example.net>\r\n", "QUIT\r\n"};
	struct smtp_session *s = smtp_open(b->m, 0, NULL, 0, &b->out);

	send(b);
	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		feed(b, s, text(lines[i]), REPLY_MAILBOX_UNKNOWN);
		send(b);
	}
	smtp_close(b->m, s);
}

static double run_conversations(struct bench *b, uint64_t n)
{
	const double begin = cpu_seconds();

	for (uint64_t i = 0; i < n; i++)
		converse(b);
	return (cpu_seconds() - begin) / (double)n;
}

/* --- pipelined recipients --------------------------------------------------------------------- */

static double run_recipients(struct bench *b, enum reply reply)
{
	static char lines[SMTP_ASKED_MAX * 64];
	struct span all = {(const uint8_t *)lines, 0};
	double took = 0;

	for (unsigned i = 0; i < SMTP_ASKED_MAX; i++)
		all.len += (size_t)sprintf(lines + all.len, "RCPT TO:<some.user%u@example.net>\r\n",
					   i);
	for (unsigned i = 0; i < GROUPS / 100; i++) {
		struct smtp_session *s = smtp_open(b->m, 0, NULL, 0, &b->out);
		double begin;

		feed(b, s, text("HELO a\r\nMAIL FROM:<a@b>\r\n"), reply);
		send(b);
		begin = cpu_seconds();
		for (unsigned j = 0; j < 100; j++) {
			feed(b, s, all, reply);
			send(b);
		}
		took += cpu_seconds() - begin;
		smtp_close(b->m, s);
	}
	return took / GROUPS / SMTP_ASKED_MAX;
}

/* --- messages --------------------------------------------------------------------------------- */

/* Lines of 60 to 76 octets, as mailers write them. */
static size_t write_message(char *to, size_t size)
{
	size_t len = (size_t)sprintf(to, "Subject: bench\r\n\r\n");

	while (len < size - 100) {
		const size_t line = 60 + len * 7919 % 17;

		memset(to + len, 'a' + (int)(len % 26), line);
		len += line;
		to[len++] = '\r';
		to[len++] = '\n';
	}
	return len;
}

static struct smtp_session *begin_message(struct bench *b)
{
	const struct smtp_answer wanted = {.reply = REPLY_MESSAGE_WANTED};
	struct smtp_session *s = smtp_open(b->m, 0, NULL, 0, &b->out);

	feed(b, s, text("HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n"), REPLY_RECIPIENT_TAKEN);
	if (feed(b, s, text("DATA\r\n"), REPLY_RECIPIENT_TAKEN) != SMTP_ASK_DATA)
		abort();
	smtp_answer_data(b->m, s, &wanted, false, &b->out);
	send(b);
	return s;
}

/* Octets a second. */
static double run_messages(struct bench *b, const char *message, size_t len, size_t segment)
{
	uint64_t given = 0;
	double took = 0;

	for (unsigned i = 0; i < MESSAGES; i++) {
		struct smtp_session *s = begin_message(b);
		const double begin = cpu_seconds();

		for (size_t at = 0; at < len; at += segment) {
			struct span in = {(const uint8_t *)message + at,
					  len - at < segment ? len - at : segment};

			while (smtp_feed(b->m, s, &in, false, 0, &b->out) == SMTP_BODY) {
				const struct span *spans;
				const size_t n = smtp_body(b->m, &spans);

				for (size_t j = 0; j < n; j++)
					given += spans[j].len;
			}
		}
		took += cpu_seconds() - begin;
		smtp_close(b->m, s);
	}
	if (given != MESSAGES * len)
		abort();
	return (double)given / took;
}

/* --- idle conversations ----------------------------------------------------------------------- */

/* CPU time of a sweep over a million. */
static double run_sweep(struct bench *b)
{
	uint64_t now_us = 0;
	enum reply why;
	double begin;

	for (unsigned i = 0; i < IDLE; i++) {
		smtp_open(b->m, 0, NULL, 0, &b->out);
		b->out.len = 0;
	}
	while (smtp_next_due(b->m) < 1000000) { /* the sweep that began while they were opened */
		now_us = smtp_next_due(b->m);
		smtp_next_overdue(b->m, now_us, &why);
	}
	begin = cpu_seconds();
	while (smtp_next_due(b->m) < 2000000) {
		now_us = smtp_next_due(b->m);
		if (smtp_next_overdue(b->m, now_us, &why))
			abort();
	}
	return cpu_seconds() - begin;
}

/* --- the whole -------------------------------------------------------------------------------- */

static double less(double a, double b)
{
	return b < a ? b : a;
}

static double more(double a, double b)
{
	return b > a ? b : a;
}

int main(int argc, char **argv)
{
	const uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 2000000;
	static struct bench b, idle;
	double conversation = 1e9, refused = 1e9, taken = 1e9, segments = 0, whole = 0, sweep;
	char *message = malloc(MEGABYTE);
	size_t len;

	if (!n || !message || !bench_init(&b, 16) || !bench_init(&idle, IDLE)) {
		fputs("bench_smtp: no memory, or no conversations\n", stderr);
		free(message);
		return 1;
	}
	len = write_message(message, MEGABYTE);
	for (unsigned run = 0; run < RUNS; run++) {
		conversation = less(conversation, run_conversations(&b, n / RUNS + 1));
		refused = less(refused, run_recipients(&b, REPLY_MAILBOX_UNKNOWN));
		taken = less(taken, run_recipients(&b, REPLY_RECIPIENT_TAKEN));
		segments = more(segments, run_messages(&b, message, len, SEGMENT));
		whole = more(whole, run_messages(&b, message, len, len));
	}
	sweep = run_sweep(&idle);
	printf("conversation, RCPT refused   %8.1f ns\n", conversation * 1e9);
	printf("pipelined RCPT, refused      %8.1f ns\n", refused * 1e9);
	printf("pipelined RCPT, taken        %8.1f ns\n", taken * 1e9);
	printf("message, segments of %u    %8.2f GB/s\n", SEGMENT, segments / 1e9);
	printf("message, in one span         %8.2f GB/s\n", whole / 1e9);
	printf("sweep over a million         %8.2f ms, once a second\n", sweep * 1e3);
	printf("%" PRIu64 " octets of replies\n", b.replies);
	smtp_free(b.m);
	smtp_free(idle.m);
	free(message);
	return 0;
}
