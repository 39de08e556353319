/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a dialogue cannot show: several conversations at once, memory at its bounds, settings that
 * change, what the owner may ask and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/session.h"

enum {
	SECOND = 1000000,
	MANY = 3000,
	RECIPIENTS = 900,
};

struct owner {
	struct postern_counters counters;
	struct smtp *m;
	uint64_t now_us;
	struct smtp_out out;
	uint8_t bytes[64 * 1024];
};

static struct owner *owner_new(const struct smtp_config *changes)
{
	struct owner *o = calloc(1, sizeof(*o));
	struct smtp_config config = {
		.settings = {.host = "mx.example.net",
			     .offers = SMTP_OFFERS_SIZE | SMTP_OFFERS_8BITMIME,
			     .size_max = 1000000,
			     .recipients_max = 1000,
			     .normalize_bare_lf = true},
		.sessions = changes->sessions ? changes->sessions : 4,
		.envelopes = changes->envelopes ? changes->envelopes : 4,
		.pages = changes->pages ? changes->pages : 40,
		.pieces = changes->pieces ? changes->pieces : 16,
		.id_key = {3, 4},
	};

	assert_non_null(o);
	config.counters = &o->counters;
	o->now_us = 1000 * SECOND;
	o->m = smtp_new(&config, o->now_us);
	assert_non_null(o->m);
	o->out = (struct smtp_out){.bytes = o->bytes, .size = sizeof(o->bytes)};
	return o;
}

static void owner_free(struct owner *o)
{
	assert_int_equal(smtp_sessions(o->m), 0);
	assert_int_equal(o->m->envelopes.in_use, 0);
	assert_int_equal(o->m->pages.in_use, 0);
	assert_int_equal(o->m->pieces.in_use, 0);
	smtp_free(o->m);
	free(o);
}

static struct smtp_session *greet(struct owner *o)
{
	struct smtp_session *s = smtp_open(o->m, 0, o, o->now_us, &o->out);

	o->out.len = 0;
	return s;
}

static enum smtp_step feed(struct owner *o, struct smtp_session *s, const char *text)
{
	struct span in = {(const uint8_t *)text, strlen(text)};

	o->out.len = 0;
	return smtp_feed(o->m, s, &in, false, o->now_us, &o->out);
}

/* What was said begins with this. */
static void said(const struct owner *o, const char *text)
{
	if (o->out.len < strlen(text) || memcmp(o->bytes, text, strlen(text)) != 0)
		fail_msg("not %s but %.*s", text, (int)o->out.len, (const char *)o->bytes);
}

static void says(struct owner *o, struct smtp_session *s, const char *text, const char *reply)
{
	assert_int_equal(feed(o, s, text), SMTP_WAIT);
	said(o, reply);
}

static void take_all_asked(struct owner *o, struct smtp_session *s)
{
	const struct smtp_recipient *asked[SMTP_ASKED_MAX];
	struct smtp_answer answers[SMTP_ASKED_MAX] = {0};
	size_t n = smtp_asked(o->m, s, asked);

	for (size_t i = 0; i < n; i++)
		answers[i].reply = REPLY_RECIPIENT_TAKEN;
	smtp_answer_recipients(o->m, s, answers, n, &o->out);
}

/* --- the whole -------------------------------------------------------------------------------- */

static void an_impossible_configuration_is_refused(void **state)
{
	static struct postern_counters counters;
	static char host[HOST_MAX + 2];
	const struct smtp_config good = {
		.settings = {.host = "a", .size_max = 1, .recipients_max = SMTP_RECIPIENTS_LEAST},
		.sessions = 1,
		.envelopes = 1,
		.pages = 1,
		.pieces = 1,
		.counters = &counters,
	};
	struct smtp_config bad[11];
	struct smtp *m;

	memset(host, 'a', HOST_MAX + 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bad[i] = good;
	bad[0].settings.host = NULL;
	bad[1].settings.host = "";
	bad[2].settings.host = host;
	bad[3].settings.size_max = 0;
	bad[4].settings.recipients_max = SMTP_RECIPIENTS_LEAST - 1;
	bad[5].settings.offers = SMTP_OFFERS_SMTPUTF8;
	bad[6].sessions = 0;
	bad[7].envelopes = 0;
	bad[8].pages = 0;
	bad[9].pieces = UINT32_MAX;
	bad[10].counters = NULL;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(smtp_new(&bad[i], 0));
	m = smtp_new(&good, 0);
	assert_non_null(m);
	assert_false(smtp_configure(m, &bad[2].settings));
	assert_string_equal(m->settings.host, "a");
	smtp_free(m);
	smtp_free(NULL);
}

static void a_worker_without_a_session_refuses_the_next_client(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){.sessions = 2});
	struct smtp_session *a = greet(o), *b = greet(o), *c;

	assert_non_null(a);
	assert_non_null(b);
	assert_null(smtp_open(o->m, 0, NULL, o->now_us, &o->out));
	said(o, "421 4.3.2 ");
	assert_int_equal(o->counters.smtp_no_session, 1);
	smtp_close(o->m, a);
	c = greet(o);
	assert_ptr_equal(c, a);
	smtp_close(o->m, b);
	smtp_close(o->m, c);
	owner_free(o);
}

static void conversations_do_not_mix(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_session *a = greet(o), *b = greet(o);
	struct smtp_transaction t;
	char ids[2][SMTP_ID_LEN];

	says(o, a, "HELO a.example\r\nMAIL FR", "250 ");
	says(o, b, "EHLO b.example.with-a-name-of-more-than-24-octets\r\nMAIL", "250-");
	assert_false(smtp_is_extended(a));
	assert_true(smtp_is_extended(b));
	says(o, a, "OM:<a@example.org>\r\n", "250 2.1.0");
	says(o, b, " FROM:<b@example.org>\r\n", "250 2.1.0");
	assert_true(smtp_transaction(o->m, a, &t));
	assert_memory_equal(t.sender.bytes, "a@", 2);
	assert_int_equal(t.sender_local_len, 1);
	assert_true(smtp_transaction(o->m, b, &t));
	assert_memory_equal(t.sender.bytes, "b@", 2);
	smtp_id(a, ids[0]);
	smtp_id(b, ids[1]);
	assert_memory_not_equal(ids[0], ids[1], SMTP_ID_LEN);
	assert_int_equal(smtp_hello(o->m, a).len, 9);
	assert_memory_equal(smtp_hello(o->m, a).bytes, "a.example", 9);
	assert_int_equal(smtp_hello(o->m, b).len, 44);
	assert_memory_equal(smtp_hello(o->m, b).bytes, "b.example.with", 14);
	smtp_close(o->m, a);
	smtp_close(o->m, b);
	owner_free(o);
}

static void a_greeting_is_known_until_the_next_and_until_tls(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_settings with_tls = o->m->settings;
	struct smtp_session *s;

	with_tls.offers |= SMTP_OFFERS_STARTTLS;
	assert_true(smtp_configure(o->m, &with_tls));
	s = greet(o);
	assert_int_equal(smtp_hello(o->m, s).len, 0);
	says(o, s, "EHLO a.example\r\n", "250-");
	assert_true(smtp_is_extended(s));
	says(o, s, "HELO b.example\r\n", "250 ");
	assert_false(smtp_is_extended(s));
	assert_memory_equal(smtp_hello(o->m, s).bytes, "b.example", 9);
	says(o, s, "EHLO a-name-that-is-longer-than-24-octets\r\n", "250-");
	assert_int_equal(feed(o, s, "STARTTLS\r\n"), SMTP_ASK_TLS);
	smtp_answer_tls(o->m, s, true, false, &o->out);
	said(o, "220 2.0.0 ");
	assert_false(smtp_is_over_tls(s));
	smtp_tls_established(o->m, s);
	assert_true(smtp_is_over_tls(s));
	assert_false(smtp_is_extended(s));
	assert_int_equal(smtp_hello(o->m, s).len, 0);
	smtp_close(o->m, s);
	owner_free(o);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void a_line_that_finds_no_piece_ends_its_conversation(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){.pieces = 3});
	struct smtp_session *a = greet(o), *b = greet(o);
	char part[PIECE_OCTETS * 2 + 1];

	memset(part, 'x', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	assert_int_equal(feed(o, a, part), SMTP_WAIT);
	assert_int_equal(o->m->pieces.in_use, 2);
	assert_int_equal(feed(o, b, "NO"), SMTP_WAIT);
	assert_int_equal(feed(o, a, "y"), SMTP_CLOSE);
	said(o, "421 4.3.2 ");
	assert_int_equal(o->m->pieces.in_use, 1);
	assert_int_equal(o->counters.smtp_no_piece, 1);
	smtp_close(o->m, a);
	says(o, b, "OP\r\n", "250 2.0.0");
	assert_int_equal(o->m->pieces.in_use, 0);
	smtp_close(o->m, b);
	owner_free(o);
}

/* What was taken of the line before its memory ran out must not be taken twice. */
static void a_line_that_finds_no_piece_waits_for_the_recipients_before_it(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){.pieces = 1});
	struct smtp_session *s = greet(o);
	char lines[1024] = "RCPT TO:<a@example.net>\r\n";
	struct span in;

	says(o, s, "HELO a\r\nMAIL FROM:<a@b>\r\n", "250 ");
	memset(lines + strlen(lines), 'x', PIECE_OCTETS + 1);
	in = (struct span){(const uint8_t *)lines, strlen(lines)};
	o->out.len = 0;
	assert_int_equal(smtp_feed(o->m, s, &in, false, o->now_us, &o->out), SMTP_ASK_RECIPIENTS);
	assert_int_equal(o->out.len, 0);
	take_all_asked(o, s);
	assert_int_equal(smtp_feed(o->m, s, &in, false, o->now_us, &o->out), SMTP_CLOSE);
	said(o, "250 2.1.5 ");
	assert_non_null(memmem(o->bytes, o->out.len, "\r\n421 4.3.2 ", 12));
	smtp_close(o->m, s);
	owner_free(o);
}

static void a_long_name_that_finds_no_piece_is_cut(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){.pieces = 1});
	struct smtp_session *a = greet(o), *b = greet(o);

	says(o, a, "HELO a-name-that-is-longer-than-24-octets\r\n", "250 ");
	says(o, b, "HELO another-name-of-more-than-24-octets\r\n", "250 ");
	assert_int_equal(smtp_hello(o->m, a).len, 36);
	assert_int_equal(smtp_hello(o->m, b).len, HELLO_HERE_MAX);
	assert_memory_equal(smtp_hello(o->m, b).bytes, "another-name-of-more-tha", 24);
	smtp_close(o->m, a);
	says(o, b, "HELO another-name-of-more-than-24-octets\r\n", "250 ");
	assert_int_equal(smtp_hello(o->m, b).len, 35);
	smtp_close(o->m, b);
	owner_free(o);
}

static void every_length_of_a_line_comes_through_pieces(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_session *s = greet(o);
	char line[SMTP_LINE_MAX + 1];

	for (size_t len = 6; len <= SMTP_LINE_MAX; len++) {
		memset(line, 'x', len);
		memcpy(line, "NOOP", 4);
		line[4] = ' ';
		line[len] = '\0';
		line[len - 1] = '\0';
		line[len - 2] = '\0';
		assert_int_equal(feed(o, s, line), SMTP_WAIT);
		assert_int_equal(o->out.len, 0);
		says(o, s, "\r\n", "250 2.0.0");
		assert_int_equal(o->m->pieces.in_use, 0);
	}
	smtp_close(o->m, s);
	owner_free(o);
}

static void closing_gives_everything_back_at_any_moment(void **state)
{
	static const char *const words[] = {
		"",
		"HEL",
		"HELO a-name-that-is-longer-than-24-octets\r\n",
		"HELO a\r\nMAIL FROM:<a@b>\r\n",
		"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@example.net>\r\n",
		"HELO a\r\nMAIL FROM:<a@b>\r\nRSET\r\n",
	};
	struct owner *o = owner_new(&(struct smtp_config){0});

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct smtp_session *s = greet(o);
		char endless[SMTP_LINE_EXTENDED_MAX + 2];

		feed(o, s, words[i]);
		smtp_close(o->m, s);
		s = greet(o);
		memset(endless, 'x', sizeof(endless) - 1);
		endless[sizeof(endless) - 1] = '\0';
		feed(o, s, endless);
		smtp_close(o->m, s);
	}
	owner_free(o);
}

/* --- recipients ------------------------------------------------------------------------------- */

/* Whether recipient number i of them is to be taken, in no pattern that a page's length has. */
static bool is_wanted(unsigned i, unsigned density)
{
	return (i * 2654435761u >> 16) % 8 < density;
}

static size_t write_rcpt(char *to, size_t size, unsigned i)
{
	return (size_t)snprintf(to, size, "RCPT TO:<r%u.y%.*s@example.net>\r\n", i,
				(int)((i * 40503u >> 8) % 55),
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static unsigned number_of(const struct smtp_recipient *r)
{
	return (unsigned)strtoul((const char *)r->bytes + 1, NULL, 10);
}

static void answer_some(struct owner *o, struct smtp_session *s, unsigned density, unsigned *next)
{
	const struct smtp_recipient *asked[SMTP_ASKED_MAX];
	struct smtp_answer answers[SMTP_ASKED_MAX];
	size_t n = smtp_asked(o->m, s, asked);

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(number_of(asked[i]), *next);
		answers[i] = (struct smtp_answer){
			.reply = is_wanted((*next)++, density) ? REPLY_RECIPIENT_TAKEN
							       : REPLY_MAILBOX_UNKNOWN,
			.tag = number_of(asked[i]),
		};
	}
	smtp_answer_recipients(o->m, s, answers, n, &o->out);
}

static void feed_recipients(struct owner *o, struct smtp_session *s, const char *text,
			    unsigned density, unsigned *next)
{
	struct span in = {(const uint8_t *)text, strlen(text)};
	enum smtp_step step;

	while ((step = smtp_feed(o->m, s, &in, false, o->now_us, &o->out)) != SMTP_WAIT) {
		assert_int_equal(step, SMTP_ASK_RECIPIENTS);
		answer_some(o, s, density, next);
		o->out.len = 0;
	}
}

static void check_recipients(struct owner *o, const struct smtp_session *s, unsigned density)
{
	const struct smtp_recipient *r;
	struct smtp_walk walk = {0};
	unsigned wanted = 0;

	while ((r = smtp_next_recipient(o->m, s, &walk))) {
		while (!is_wanted(wanted, density))
			wanted++;
		assert_int_equal(number_of(r), wanted);
		assert_int_equal(r->tag, wanted);
		wanted++;
	}
	while (wanted < RECIPIENTS)
		assert_false(is_wanted(wanted++, density));
}

/* Every recipient taken is there, in order, with its tag, however many between them were refused.
 */
static void recipients_are_kept_in_order(void **state)
{
	for (unsigned density = 0; density <= 8; density++) {
		struct owner *o = owner_new(&(struct smtp_config){0});
		struct smtp_session *s = greet(o);
		unsigned next = 0;
		char lines[8192];
		size_t len = 0;

		says(o, s, "HELO a\r\nMAIL FROM:<a@b>\r\n", "250 ");
		for (unsigned i = 0; i < RECIPIENTS; i++) {
			len += write_rcpt(lines + len, sizeof(lines) - len, i);
			if (i % 45 != 44)
				continue;
			feed_recipients(o, s, lines, density, &next);
			len = 0;
		}
		assert_int_equal(next, RECIPIENTS);
		check_recipients(o, s, density);
		smtp_close(o->m, s);
		owner_free(o);
	}
}

static void more_recipients_are_gathered_while_more_is_to_come(void **state)
{
	static const char line[] = "RCPT TO:<a@example.net>\r\n";
	struct owner *o = owner_new(&(struct smtp_config){0});
	const struct smtp_recipient *asked[SMTP_ASKED_MAX];
	struct smtp_session *s = greet(o);

	says(o, s, "HELO a\r\nMAIL FROM:<a@b>\r\n", "250 ");
	for (unsigned i = 1; i <= SMTP_ASKED_MAX; i++) {
		struct span in = {(const uint8_t *)line, sizeof(line) - 1};
		enum smtp_step step = smtp_feed(o->m, s, &in, true, o->now_us, &o->out);

		assert_int_equal(step, i < SMTP_ASKED_MAX ? SMTP_WAIT : SMTP_ASK_RECIPIENTS);
		assert_int_equal(in.len, 0);
		assert_int_equal(smtp_asked(o->m, s, asked), i);
	}
	/* The question stands, and nothing is read before it is answered. */
	{
		struct span in = {(const uint8_t *)line, sizeof(line) - 1};

		assert_int_equal(smtp_feed(o->m, s, &in, false, o->now_us, &o->out),
				 SMTP_ASK_RECIPIENTS);
		assert_int_equal(in.len, sizeof(line) - 1);
	}
	o->out.len = 0;
	take_all_asked(o, s);
	said(o, "250 2.1.5 ");
	assert_int_equal(feed(o, s, ""), SMTP_WAIT);
	assert_int_equal(o->counters.smtp_recipients_asked, SMTP_ASKED_MAX);
	assert_int_equal(o->counters.smtp_recipients_taken, SMTP_ASKED_MAX);
	smtp_close(o->m, s);
	owner_free(o);
}

/* --- settings --------------------------------------------------------------------------------- */

static void what_ehlo_offered_is_taken_though_it_is_offered_no_more(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_session *s = greet(o);
	struct smtp_settings fewer = o->m->settings;

	says(o, s, "EHLO a\r\n", "250-mx.example.net\r\n");
	fewer.host = "new.example.net";
	fewer.offers = 0;
	assert_true(smtp_configure(o->m, &fewer));
	says(o, s, "MAIL FROM:<a@b> SIZE=10 BODY=8BITMIME\r\n", "250 2.1.0 ");
	assert_int_equal(feed(o, s, "EHLO a\r\n"), SMTP_ABANDONED);
	said(o, "250-new.example.net\r\n");
	says(o, s, "MAIL FROM:<a@b> SIZE=10\r\n", "555 5.5.4 ");
	smtp_close(o->m, s);
	owner_free(o);
}

static void a_message_under_way_keeps_its_limit(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_session *s = greet(o);
	struct smtp_settings smaller = o->m->settings;
	const struct smtp_answer wanted = {.reply = REPLY_MESSAGE_WANTED};

	says(o, s, "HELO a\r\nMAIL FROM:<a@b>\r\n", "250 ");
	assert_int_equal(feed(o, s, "RCPT TO:<a@example.net>\r\n"), SMTP_ASK_RECIPIENTS);
	take_all_asked(o, s);
	assert_int_equal(feed(o, s, "DATA\r\n"), SMTP_ASK_DATA);
	smtp_answer_data(o->m, s, &wanted, false, &o->out);
	smaller.size_max = 1;
	assert_true(smtp_configure(o->m, &smaller));
	assert_int_equal(feed(o, s, "text\r\n.\r\n"), SMTP_BODY);
	assert_int_equal(feed(o, s, ""), SMTP_ASK_DELIVERY);
	smtp_answer_delivery(o->m, s, &(struct smtp_answer){.reply = REPLY_POOL_DOWN}, &o->out);
	smtp_close(o->m, s);
	owner_free(o);
}

/* --- time ------------------------------------------------------------------------------------- */

static void a_worker_without_conversations_is_never_due(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_session *s;

	assert_true(smtp_next_due(o->m) == UINT64_MAX);
	s = greet(o);
	assert_true(smtp_next_due(o->m) <= o->now_us + SECOND);
	smtp_close(o->m, s);
	assert_true(smtp_next_due(o->m) == UINT64_MAX);
	owner_free(o);
}

/* Many conversations, opened over ten seconds: each is found in the second after its time, none
 * before it, and a step of the sweep is short. */
static void every_conversation_is_found_at_its_time(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){.sessions = MANY});
	uint64_t opened_us[MANY], begin_us = o->now_us, steps = 0;
	unsigned found = 0;

	for (size_t i = 0; i < MANY; i++) {
		opened_us[i] = o->now_us = begin_us + i * 10 * SECOND / MANY;
		assert_non_null(smtp_open(o->m, 0, &opened_us[i], o->now_us, &o->out));
		o->out.len = 0;
	}
	while (found < MANY) {
		struct smtp_session *s;
		enum reply why;
		uint64_t due_us = smtp_next_due(o->m);

		assert_true(due_us != UINT64_MAX);
		if (due_us > o->now_us)
			o->now_us = due_us;
		while ((s = smtp_next_overdue(o->m, o->now_us, &why))) {
			const uint64_t *opened = smtp_user(s);
			const uint64_t idle_ms = (o->now_us - *opened) / 1000;

			assert_int_equal(why, REPLY_IDLE_TOO_LONG);
			assert_in_range(idle_ms, SMTP_IDLE_MS, SMTP_IDLE_MS + SMTP_SWEEP_MS + 2);
			o->out.len = 0;
			smtp_refuse(o->m, s, why, &o->out);
			said(o, "421 4.4.2 ");
			smtp_close(o->m, s);
			found++;
		}
		steps++;
	}
	/* 310 sweeps of MANY sessions in steps of 256. */
	assert_in_range(steps, 310 * (MANY / 256), 312 * (MANY / 256 + 3));
	owner_free(o);
}

/* The worker slept: nobody looked for a while. */
static void a_sweep_that_is_late_is_cut_into_short_ones(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){.sessions = MANY});
	unsigned found = 0, most = 0, calls = 0;

	for (size_t i = 0; i < MANY; i++) {
		assert_non_null(smtp_open(o->m, 0, NULL, o->now_us, &o->out));
		o->out.len = 0;
	}
	o->now_us += 400ULL * SECOND;
	for (; found < MANY; calls++) {
		unsigned now = 0;
		struct smtp_session *s;
		enum reply why;

		assert_true(smtp_next_due(o->m) <= o->now_us);
		for (; (s = smtp_next_overdue(o->m, o->now_us, &why)); now++)
			smtp_close(o->m, s);
		most = now > most ? now : most;
		found += now;
	}
	assert_int_equal(most, 1024);
	assert_int_equal(calls, (MANY + 1023) / 1024);
	owner_free(o);
}

static void an_overdue_conversation_comes_again_until_it_is_dealt_with(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_session *s = greet(o);
	enum reply why;

	o->now_us += 400ULL * SECOND;
	assert_ptr_equal(smtp_next_overdue(o->m, o->now_us, &why), s);
	assert_ptr_equal(smtp_next_overdue(o->m, o->now_us, &why), s);
	smtp_refuse(o->m, s, why, &o->out);
	assert_null(smtp_next_overdue(o->m, o->now_us, &why));
	assert_int_equal(feed(o, s, "NOOP\r\n"), SMTP_CLOSE);
	assert_int_equal(o->out.len, 0);
	smtp_close(o->m, s);
	owner_free(o);
}

static void a_client_that_waits_for_an_answer_is_not_idle(void **state)
{
	struct owner *o = owner_new(&(struct smtp_config){0});
	struct smtp_session *s = greet(o);
	enum reply why;

	says(o, s, "HELO a\r\nMAIL FROM:<a@b>\r\n", "250 ");
	assert_int_equal(feed(o, s, "RCPT TO:<a@example.net>\r\n"), SMTP_ASK_RECIPIENTS);
	o->now_us += 400ULL * SECOND;
	assert_null(smtp_next_overdue(o->m, o->now_us, &why));
	take_all_asked(o, s);
	o->now_us += 299ULL * SECOND;
	assert_null(smtp_next_overdue(o->m, o->now_us, &why));
	o->now_us += 3ULL * SECOND;
	assert_ptr_equal(smtp_next_overdue(o->m, o->now_us, &why), s);
	smtp_close(o->m, s);
	owner_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_impossible_configuration_is_refused),
		cmocka_unit_test(a_worker_without_a_session_refuses_the_next_client),
		cmocka_unit_test(conversations_do_not_mix),
		cmocka_unit_test(a_greeting_is_known_until_the_next_and_until_tls),
		cmocka_unit_test(a_line_that_finds_no_piece_ends_its_conversation),
		cmocka_unit_test(a_line_that_finds_no_piece_waits_for_the_recipients_before_it),
		cmocka_unit_test(a_long_name_that_finds_no_piece_is_cut),
		cmocka_unit_test(every_length_of_a_line_comes_through_pieces),
		cmocka_unit_test(closing_gives_everything_back_at_any_moment),
		cmocka_unit_test(recipients_are_kept_in_order),
		cmocka_unit_test(more_recipients_are_gathered_while_more_is_to_come),
		cmocka_unit_test(what_ehlo_offered_is_taken_though_it_is_offered_no_more),
		cmocka_unit_test(a_message_under_way_keeps_its_limit),
		cmocka_unit_test(a_worker_without_conversations_is_never_due),
		cmocka_unit_test(every_conversation_is_found_at_its_time),
		cmocka_unit_test(a_sweep_that_is_late_is_cut_into_short_ones),
		cmocka_unit_test(an_overdue_conversation_comes_again_until_it_is_dealt_with),
		cmocka_unit_test(a_client_that_waits_for_an_answer_is_not_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
