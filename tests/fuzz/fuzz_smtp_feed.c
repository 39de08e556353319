/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client whose every octet is the fuzzer's, before an owner whose directory, next hop and TLS
 * answer by what they are asked.
 *
 * The input is a head of four octets (settings, sizes of parts) and what the client writes: 0xFE
 * ends a write, 0xFD and an octet lets so many seconds pass; behind the last 0xFC is what next hops
 * say. It is fed twice, a write at once and in parts, and what happens must be the same. Every
 * reply must be well-formed, what the next hop is given safe to send, and all memory back at the
 * end. With one setting there is hardly any memory; then parts may make a difference.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smtp/session.h"

enum {
	HEAD = 4,
	END_OF_WRITE = 0xfe,
	PAUSE = 0xfd,
	NEXT_HOPS = 0xfc,
	HAPPENED_MAX = 1 << 20,
};

enum setting {
	OFFERS = 0x3f, /* enum smtp_offer */
	LITTLE_MEMORY = 0x40,
	NORMALIZE = 0x80,
	/* of the second octet */
	NEEDS_TLS = 0x01,
	TLS_READY = 0x02,
	LITTLE_ROOM = 0x04,
	SMALL_MESSAGES = 0x08,
	STRESS = 0x10,
	SPEAKS_EARLY = 0x20,
	IS_HELD = 0x40, /* while time passes */
};

struct run {
	const uint8_t *head;
	struct span text; /* what next hops say */
	bool in_parts;
	uint32_t parts; /* random */
	struct postern_counters counters;
	struct smtp *m;
	struct smtp_session *s;
	struct smtp_out out;
	uint64_t now_us;
	size_t message_len;
	uint8_t last[2]; /* of the message */
	char id[SMTP_ID_LEN];
	size_t len;
	uint8_t happened[HAPPENED_MAX];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void happen(struct run *r, const void *bytes, size_t len)
{
	if (len > sizeof(r->happened) - r->len)
		len = sizeof(r->happened) - r->len;
	memcpy(r->happened + r->len, bytes, len);
	r->len += len;
}

static uint32_t hash(struct span s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.bytes[i]) * 16777619u;
	return h ^ h >> 15;
}

/* --- replies ---------------------------------------------------------------------------------- */

static bool is_digit(uint8_t octet)
{
	return octet >= '0' && octet <= '9';
}

/* "D.D+.D+" of the class, RFC 2034. */
static bool has_status(const uint8_t *text, size_t len, uint8_t class)
{
	return len > 5 && text[0] == class && text[1] == '.' && is_digit(text[2]);
}

static void check_line(const struct run *r, const uint8_t *line, size_t len)
{
	const uint8_t class = line[0];
	const bool ends_in_id = len > SMTP_ID_LEN + 6 && line[len - 1] == ')' &&
				!memcmp(line + len - 1 - SMTP_ID_LEN, r->id, SMTP_ID_LEN);

	assert(len >= 4 && len + 2 <= SMTP_REPLY_LINE_MAX);
	assert(class >= '2' && class <= '5' && is_digit(line[1]) && is_digit(line[2]));
	assert(line[3] == ' ' || line[3] == '-');
	for (size_t i = 0; i < len; i++)
		assert(line[i] >= ' ' && line[i] != 0x7f);
	/* Our greetings and EHLO's lines are the exceptions. */
	if (has_status(line + 4, len - 4, class) || class == '3')
		assert(ends_in_id);
	else
		assert(!memcmp(line, "250", 3) || !memcmp(line, "220 mx", 6));
}

static void send(struct run *r)
{
	const uint8_t *at = r->out.bytes, *end = at + r->out.len;

	happen(r, at, r->out.len);
	while (at < end) {
		const uint8_t *crlf = memmem(at, (size_t)(end - at), "\r\n", 2);

		assert(crlf);
		check_line(r, at, (size_t)(crlf - at));
		at = crlf + 2;
	}
	r->out.len = 0;
}

/* --- the owner -------------------------------------------------------------------------------- */

static struct smtp_answer of_next_hop(const struct run *r, uint32_t h)
{
	static const uint16_t codes[] = {250, 251, 421, 451, 550, 554, 354, 0};

	return (struct smtp_answer){
		.reply = REPLY_OF_NEXT_HOP,
		.code = codes[h % 8],
		.text = r->text,
	};
}

static struct smtp_answer about(const struct run *r, const struct smtp_recipient *recipient)
{
	static const enum reply rows[] = {REPLY_MAILBOX_UNKNOWN, REPLY_RELAYING_DENIED,
					  REPLY_DIRECTORY_UNSURE, REPLY_SHUT_OUT};
	const uint32_t h = hash(smtp_recipient_address(recipient));

	switch (h % 8) {
	case 0:
		return (struct smtp_answer){.reply = rows[h / 8 % 4]};
	case 1:
		return of_next_hop(r, h / 8);
	default:
		return (struct smtp_answer){.reply = REPLY_RECIPIENT_TAKEN, .tag = h};
	}
}

static void answer_recipients(struct run *r)
{
	const struct smtp_recipient *asked[SMTP_ASKED_MAX];
	struct smtp_answer answers[SMTP_ASKED_MAX];
	const size_t n = smtp_asked(r->m, r->s, asked);

	assert(n > 0 && n <= SMTP_ASKED_MAX);
	for (size_t i = 0; i < n; i++)
		answers[i] = about(r, asked[i]);
	smtp_answer_recipients(r->m, r->s, answers, n, &r->out);
}

/* What is known of the transaction, as the next hop would be told. */
static struct smtp_transaction tell_transaction(struct run *r)
{
	const struct smtp_recipient *recipient;
	struct smtp_transaction t;
	struct smtp_walk walk = {0};
	uint32_t n = 0;

	assert(smtp_transaction(r->m, r->s, &t));
	happen(r, smtp_hello(r->m, r->s).bytes, smtp_hello(r->m, r->s).len);
	happen(r, smtp_is_extended(r->s) ? "E" : "", smtp_is_extended(r->s));
	happen(r, t.sender.bytes, t.sender.len);
	happen(r, t.envid.bytes, t.envid.len);
	for (; (recipient = smtp_next_recipient(r->m, r->s, &walk)); n++) {
		const struct span address = smtp_recipient_address(recipient);
		const struct span orcpt = smtp_recipient_orcpt(recipient);

		assert(recipient->tag == hash(address));
		happen(r, address.bytes, address.len);
		happen(r, orcpt.bytes, orcpt.len);
	}
	assert(n == t.recipients);
	assert(smtp_transaction_user(r->m, r->s) && smtp_is_full_to(r->m, 1));
	return t;
}

static void answer_data(struct run *r, bool spoke_on)
{
	const struct smtp_transaction t = tell_transaction(r);
	const uint32_t h = hash(t.sender);
	const struct smtp_answer wanted = {.reply = REPLY_MESSAGE_WANTED};
	const struct smtp_answer answer = h % 8 ? wanted : of_next_hop(r, h / 8);

	assert(t.recipients > 0);
	r->message_len = 0;
	r->last[0] = '\r';
	r->last[1] = '\n';
	smtp_answer_data(r->m, r->s, &answer, spoke_on, &r->out);
}

static void answer_delivery(struct run *r)
{
	const struct smtp_transaction t = tell_transaction(r);
	const uint32_t h = hash(t.sender);
	const struct smtp_answer silent = {.reply = REPLY_NEXT_HOP_SILENT};
	const struct smtp_answer answer = h / 8 % 8 ? of_next_hop(r, h / 64) : silent;

	assert(t.size == r->message_len);
	assert(r->last[0] == '\r' && r->last[1] == '\n');
	smtp_answer_delivery(r->m, r->s, &answer, &r->out);
}

/* No line is a dot alone, whatever a next hop takes for the end of a line. */
static void check_octet(struct run *r, uint8_t octet)
{
	assert(octet != '\0');
	assert((octet == '\n') == (r->last[1] == '\r'));
	assert(!(octet == '\r' && r->last[0] == '\n' && r->last[1] == '.'));
	r->last[0] = r->last[1];
	r->last[1] = octet;
}

static void take_body(struct run *r)
{
	const struct span *spans;
	const size_t n = smtp_body(r->m, &spans);

	assert(n > 0);
	for (size_t i = 0; i < n; i++) {
		for (size_t at = 0; at < spans[i].len; at++)
			check_octet(r, spans[i].bytes[at]);
		r->message_len += spans[i].len;
	}
}

static void answer_tls(struct run *r, bool spoke_on)
{
	const bool ready = r->head[1] & TLS_READY;

	smtp_answer_tls(r->m, r->s, ready, spoke_on, &r->out);
	if (!ready || spoke_on)
		return;
	send(r);
	smtp_tls_established(r->m, r->s);
}

static void end(struct run *r)
{
	send(r);
	smtp_close(r->m, r->s);
	r->s = NULL;
}

/* False: nothing more is read of this part. */
static bool act(struct run *r, enum smtp_step step, bool spoke_on)
{
	switch (step) {
	case SMTP_WAIT:
		return false;
	case SMTP_FULL:
		assert(r->out.len > 0);
		send(r);
		break;
	case SMTP_ASK_RECIPIENTS:
		answer_recipients(r);
		break;
	case SMTP_ASK_DATA:
		answer_data(r, spoke_on);
		break;
	case SMTP_BODY:
		take_body(r);
		break;
	case SMTP_SPOILED:
		happen(r, "spoiled", 7);
		break;
	case SMTP_ASK_DELIVERY:
		answer_delivery(r);
		break;
	case SMTP_ABANDONED:
		send(r);
		tell_transaction(r);
		break;
	case SMTP_ASK_TLS:
		answer_tls(r, spoke_on);
		break;
	case SMTP_NOTED:
		send(r);
		happen(r, smtp_noted(r->m) == SMTP_FOUND_VRFY ? "VRFY" : "abuse", 4);
		break;
	case SMTP_CLOSE:
		assert(smtp_is_closing(r->s) && reply_rows[smtp_closed_by(r->m)].closes);
		end(r);
		return false;
	}
	return true;
}

/* --- the client ------------------------------------------------------------------------------- */

static void feed(struct run *r, const uint8_t *bytes, size_t len, bool more)
{
	uint8_t *own = malloc(len + !len); /* so that a step too far is seen */
	struct span in = {own, len};

	if (len)
		memcpy(own, bytes, len);
	while (r->s &&
	       act(r, smtp_feed(r->m, r->s, &in, more, r->now_us, &r->out), more || in.len > 0))
		;
	assert(!r->s || in.len == 0);
	free(own);
}

static void write_once(struct run *r, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	do {
		size_t part = len - at;

		r->parts = r->parts * 1664525u + 1013904223u;
		if (r->in_parts && part > 1)
			part = 1 + (r->parts >> 16) % (r->head[3] + 1u) % part;
		feed(r, bytes + at, part, at + part < len);
		at += part;
	} while (at < len && r->s);
	if (r->s)
		send(r);
}

static void pause_for(struct run *r, unsigned seconds)
{
	const uint64_t until_us = r->now_us + seconds * 1000000ULL;
	struct smtp_session *s;
	enum reply why;

	if (r->s && r->head[1] & IS_HELD)
		smtp_hold(r->m, r->s, true);
	while (r->s && smtp_next_due(r->m) <= until_us) {
		if (smtp_next_due(r->m) > r->now_us)
			r->now_us = smtp_next_due(r->m);
		while (r->s && (s = smtp_next_overdue(r->m, r->now_us, &why))) {
			assert(s == r->s);
			smtp_refuse(r->m, s, why, &r->out);
			end(r);
		}
	}
	r->now_us = until_us;
	if (r->s)
		smtp_hold(r->m, r->s, false);
}

static void speak(struct run *r, const uint8_t *bytes, size_t len)
{
	size_t from = 0;

	for (size_t at = 0; at < len && r->s; at++) {
		if (bytes[at] != END_OF_WRITE && bytes[at] != PAUSE)
			continue;
		write_once(r, bytes + from, at - from);
		if (bytes[at] == PAUSE && ++at < len)
			pause_for(r, bytes[at]);
		from = at + 1;
	}
	if (r->s && from < len)
		write_once(r, bytes + from, len - from);
}

static void begin(struct run *r, const uint8_t *head)
{
	const bool little = head[0] & LITTLE_MEMORY;
	unsigned offers = head[0] & OFFERS;
	struct smtp_config config = {
		.settings = {.host = "mx.example.net",
			     .size_max = head[1] & SMALL_MESSAGES ? 100 : 100000,
			     .recipients_max = SMTP_RECIPIENTS_LEAST,
			     .normalize_bare_lf = head[0] & NORMALIZE},
		.sessions = 1,
		.envelopes = 1,
		.pages = little ? 1 : 64,
		.pieces = little ? 2 : 16,
		.counters = &r->counters,
	};

	if (!(offers & SMTP_OFFERS_8BITMIME))
		offers &= ~(unsigned)SMTP_OFFERS_SMTPUTF8;
	config.settings.offers = offers;
	r->head = head;
	r->parts = head[2];
	r->len = 0;
	r->now_us = 0;
	r->out.len = 0;
	r->out.size = head[1] & LITTLE_ROOM ? SMTP_OUT_LEAST : 16384;
	r->out.bytes = malloc(r->out.size);
	r->m = smtp_new(&config, 0);
	assert(r->m && r->out.bytes);
	smtp_stress(r->m, head[1] & STRESS);
	r->s = smtp_open(r->m,
			 (head[1] & NEEDS_TLS ? SMTP_NEEDS_TLS : 0) |
				 (head[1] & SPEAKS_EARLY ? SMTP_SPOKE_EARLY : 0),
			 NULL, 0, &r->out);
	smtp_id(r->s, r->id);
}

static void run(struct run *r, const uint8_t *data, size_t size)
{
	const uint8_t *text = memrchr(data + HEAD, NEXT_HOPS, size - HEAD);
	const uint8_t *after = data + size;

	begin(r, data);
	r->text = text ? (struct span){text + 1, (size_t)(after - text - 1)} : (struct span){0};
	send(r);
	speak(r, data + HEAD, (size_t)((text ? text : after) - data) - HEAD);
	if (r->s)
		end(r);
	assert(smtp_sessions(r->m) == 0 && r->m->envelopes.in_use == 0);
	assert(r->m->pages.in_use == 0 && r->m->pieces.in_use == 0);
	smtp_free(r->m);
	free(r->out.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run whole, parts = {.in_parts = true};

	if (size < HEAD)
		return 0;
	run(&whole, data, size);
	run(&parts, data, size);
	if (data[0] & LITTLE_MEMORY)
		return 0;
	assert(whole.len == parts.len);
	assert(!memcmp(whole.happened, parts.happened, whole.len));
	return 0;
}
