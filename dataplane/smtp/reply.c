/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is said: the rows of the table with our names put in once, when they are configured, so that
 * a reply is two or three copies; and what next hops said, made fit for a client.
 *
 * Thread, Time, Memory: smtp.h.
 * Rules: RFC 5321 4.2.1 (multi-line replies), 4.5.3.1.5 (512 octets a line), RFC 2034 4 (every line
 * bears the enhanced code).
 */
#include <stdio.h>
#include <string.h>

#include "smtp/session.h"
#include "smtp/status.h"
#include "smtp/utf8.h"

const struct reply_row reply_rows[REPLIES] = {
#define STAYS  false
#define CLOSES true
#define X(row, number, status, then, words, situation) \
	[REPLY_##row] = {                              \
		.name = #row,                          \
		.code = number,                        \
		.enhanced = status,                    \
		.closes = then,                        \
		.text = words,                         \
		.when = situation,                     \
	},
	POSTERN_REPLIES(X)
#undef X
};

static_assert(REPLIES <= UINT8_MAX, "rows are few");

/* --- ids -------------------------------------------------------------------------------------- */

enum {
	ID_ROUNDS = 4,
	DIGITS = 62,
	HALF_ID = SMTP_ID_LEN / 2,
	SPREAD = 13, /* times 2^32 is just below 62^6: no digit is always the same */
};

/* A permutation of 64-bit numbers nobody can follow without the key (Luby, Rackoff, 1988): so ids
 * are unique as the counter is, and tell nothing of it. */
static uint64_t encipher(const struct siphash_key *key, uint64_t number)
{
	uint32_t left = (uint32_t)(number >> 32), right = (uint32_t)number;

	for (uint32_t round = 0; round < ID_ROUNDS; round++) {
		const uint32_t words[2] = {right, round};
		uint32_t mixed = left ^ (uint32_t)siphash13(key, words, sizeof(words));

		left = right;
		right = mixed;
	}
	return (uint64_t)left << 32 | right;
}

uint64_t id_make(struct smtp *m)
{
	return encipher(&m->id_key, m->next_id++);
}

static void write_half(char *to, uint64_t number)
{
	static const char digits[] =
		"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	/* Two digits at a time: half as long a chain of divisions. */
	for (unsigned i = HALF_ID; i; i -= 2) {
		const unsigned two = (unsigned)(number % (DIGITS * DIGITS));

		number /= DIGITS * DIGITS;
		to[i - 1] = digits[two % DIGITS];
		to[i - 2] = digits[two / DIGITS];
	}
}

static void write_id(char *to, uint64_t id)
{
	write_half(to, (id >> 32) * SPREAD);
	write_half(to + HALF_ID, (id & UINT32_MAX) * SPREAD);
}

void smtp_id(const struct smtp_session *s, char id[SMTP_ID_LEN])
{
	write_id(id, s->id);
}

/* --- phrases ---------------------------------------------------------------------------------- */

static void add(struct phrases *p, const char *text, size_t len)
{
	assert(len <= sizeof(p->bytes) - p->used);
	memcpy(p->bytes + p->used, text, len);
	p->used += len;
}

static void add_word(struct phrases *p, const char *text)
{
	add(p, text, strlen(text));
}

static void add_number(struct phrases *p, uint64_t number)
{
	char text[24];

	add(p, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)number));
}

static bool starts_with(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

/* A row's text, its names filled in; returns where {address} stands, or SIZE_MAX. */
static size_t add_text(struct phrases *p, const char *text, const struct smtp_settings *settings)
{
	size_t address_at = SIZE_MAX;

	while (*text) {
		const char *brace = strchr(text, '{');

		add(p, text, brace ? (size_t)(brace - text) : strlen(text));
		if (!brace)
			break;
		if (starts_with(brace, "{host}"))
			add_word(p, settings->host);
		else if (starts_with(brace, "{size}"))
			add_number(p, settings->size_max);
		else
			address_at = p->used;
		text = strchr(brace, '}') + 1;
	}
	return address_at;
}

static struct phrase make_phrase(struct phrases *p, const struct reply_row *row,
				 const struct smtp_settings *settings)
{
	const size_t at = p->used;
	size_t head_end;

	add_number(p, row->code);
	add_word(p, " ");
	if (*row->enhanced) {
		add_word(p, row->enhanced);
		add_word(p, " ");
	}
	head_end = add_text(p, row->text, settings);
	add_word(p, " (");
	if (head_end == SIZE_MAX)
		head_end = p->used;
	return (struct phrase){
		.at = (uint16_t)at,
		.head_len = (uint16_t)(head_end - at),
		.tail_len = (uint16_t)(p->used - head_end),
	};
}

static void add_offer(struct phrases *p, const char *keyword)
{
	add_word(p, "250-");
	add_word(p, keyword);
	add_word(p, "\r\n");
}

/* RFC 5321 4.1.1.1: our name, then a line an extension. */
static struct phrase make_ehlo(struct phrases *p, const struct smtp_settings *settings, bool tls)
{
	const unsigned offers = settings->offers;
	const size_t at = p->used;

	add_offer(p, settings->host);
	add_offer(p, "PIPELINING");
	add_offer(p, "ENHANCEDSTATUSCODES");
	if (offers & SMTP_OFFERS_SIZE) {
		add_word(p, "250-SIZE ");
		add_number(p, settings->size_max);
		add_word(p, "\r\n");
	}
	/* RFC 3207 4.2: not again under TLS. */
	if (offers & SMTP_OFFERS_STARTTLS && !tls)
		add_offer(p, "STARTTLS");
	if (offers & SMTP_OFFERS_8BITMIME)
		add_offer(p, "8BITMIME");
	if (offers & SMTP_OFFERS_SMTPUTF8)
		add_offer(p, "SMTPUTF8");
	if (offers & SMTP_OFFERS_DSN)
		add_offer(p, "DSN");
	add_word(p, "250 LIMITS RCPTMAX=");
	add_number(p, settings->recipients_max);
	if (offers & SMTP_OFFERS_ONE_DOMAIN)
		add_word(p, " RCPTDOMAINMAX=1");
	add_word(p, "\r\n");
	return (struct phrase){.at = (uint16_t)at, .head_len = (uint16_t)(p->used - at)};
}

void phrases_make(struct phrases *p, const struct smtp_settings *settings)
{
	p->used = 0;
	for (unsigned i = 0; i < REPLIES; i++)
		p->replies[i] = make_phrase(p, &reply_rows[i], settings);
	for (unsigned tls = 0; tls < 2; tls++)
		p->ehlo[tls] = make_ehlo(p, settings, tls);
}

/* --- saying ----------------------------------------------------------------------------------- */

static const struct span nothing = {(const uint8_t *)"", 0};

static void put(struct smtp_out *out, const void *bytes, size_t len)
{
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

/* The id, ")" and CRLF. A conversation's replies come in runs, so the last id is kept. */
static void put_tail(struct smtp *m, uint64_t id, struct smtp_out *out)
{
	if (m->tail_id != id || !m->id_tail[0]) {
		m->tail_id = id;
		write_id(m->id_tail, id);
		memcpy(m->id_tail + SMTP_ID_LEN, ")\r\n", 4);
	}
	put(out, m->id_tail, SMTP_ID_LEN + 3);
}

static void put_phrase(struct smtp *m, uint64_t id, enum reply reply, struct span address,
		       struct smtp_out *out)
{
	const struct phrase *phrase = &m->phrases.replies[reply];
	const uint8_t *head = m->phrases.bytes + phrase->at;

	assert(!phrase->tail_len || address.len);
	assert(out_room(out) >= SMTP_REPLY_LINE_MAX);
	put(out, head, phrase->head_len);
	if (phrase->tail_len) {
		put(out, address.bytes, address.len);
		put(out, head + phrase->head_len, phrase->tail_len);
	}
	put_tail(m, id, out);
	counter_add(&m->said[reply], 1);
}

static void follow(struct smtp *m, struct smtp_session *s, enum reply reply)
{
	if (!reply_rows[reply].closes)
		return;
	s->state = SESSION_CLOSING;
	m->closed_by = reply;
}

void say_about(struct smtp *m, struct smtp_session *s, enum reply reply, struct span address,
	       struct smtp_out *out)
{
	put_phrase(m, s->id, reply, address, out);
	follow(m, s, reply);
}

void say(struct smtp *m, struct smtp_session *s, enum reply reply, struct smtp_out *out)
{
	say_about(m, s, reply, nothing, out);
}

void say_ehlo(struct smtp *m, const struct smtp_session *s, struct smtp_out *out)
{
	const struct phrase *phrase = &m->phrases.ehlo[!!(s->flags & SESSION_TLS)];

	put(out, m->phrases.bytes + phrase->at, phrase->head_len);
	counter_add(&m->said[REPLY_EHLO], 1);
}

void smtp_turn_away(struct smtp *m, enum reply reply, struct smtp_out *out)
{
	assert(reply < REPLIES && reply_rows[reply].closes);
	put_phrase(m, id_make(m), reply, nothing, out);
}

/* --- next hops' replies ----------------------------------------------------------------------- */

struct echo {
	uint16_t code;
	char status[16]; /* the enhanced code of the first line, or X.0.0 */
	size_t status_len;
	bool utf8;
};

/* Octets of an enhanced code of that class at the front of a line. */
static size_t status_len(const struct span *line, unsigned class)
{
	struct status status;
	const size_t len = status_read(*line, &status);

	return status.class == class ? len : 0;
}

/* The next line of a text, CR LF or LF between two. */
static struct span next_line(struct span *text)
{
	const uint8_t *lf = memchr(text->bytes, '\n', text->len);
	struct span line = {text->bytes, lf ? (size_t)(lf - text->bytes) : text->len};
	const size_t taken = lf ? line.len + 1 : line.len;

	if (line.len && line.bytes[line.len - 1] == '\r')
		line.len--;
	text->bytes += taken;
	text->len -= taken;
	return line;
}

static void put_printable(const struct span *line, bool utf8, size_t most, struct smtp_out *out)
{
	for (size_t i = 0, len; i < line->len; i += len) {
		const uint8_t octet = line->bytes[i];

		len = octet >= 0x80 && utf8 ? utf8_len(line->bytes + i, line->len - i) : 0;
		if (len > most || !most)
			return;
		if (len) {
			put(out, line->bytes + i, len);
			most -= len;
		} else {
			out->bytes[out->len++] = octet >= ' ' && octet < 0x7f ? octet : '?';
			most--;
			len = 1;
		}
	}
}

static void put_echo_line(struct smtp *m, uint64_t id, const struct echo *echo, struct span line,
			  bool last, struct smtp_out *out)
{
	const size_t skipped = status_len(&line, echo->code / 100u), begin = out->len;
	char code[8];

	if (skipped) {
		line.bytes += skipped;
		line.len -= skipped;
	}
	while (line.len && line.bytes[0] == ' ') {
		line.bytes++;
		line.len--;
	}
	snprintf(code, sizeof(code), "%03u%c", echo->code, last ? ' ' : '-');
	put(out, code, 4);
	put(out, echo->status, echo->status_len);
	put(out, " ", 1);
	put_printable(&line, echo->utf8,
		      SMTP_REPLY_LINE_MAX - (out->len - begin) - 2 - SMTP_ID_LEN - 3, out);
	if (line.len)
		put(out, " ", 1);
	put(out, "(", 1);
	put_tail(m, id, out);
}

/* RFC 2034 4: a code of the reply's class; where the next hop gave none, X.0.0. */
static void choose_status(struct echo *echo, const struct span *text)
{
	struct span rest = *text;
	const struct span first = next_line(&rest);
	const size_t len = status_len(&first, echo->code / 100u);

	if (len) {
		memcpy(echo->status, first.bytes, len);
		echo->status_len = len;
	} else {
		echo->status_len = (size_t)snprintf(echo->status, sizeof(echo->status), "%u.0.0",
						    echo->code / 100u);
	}
}

void say_next_hop(struct smtp *m, struct smtp_session *s, const struct smtp_answer *answer,
		  unsigned lines_max, bool utf8, struct smtp_out *out)
{
	struct echo echo = {
		/* RFC 5321 3.8: 421 announces that a connection closes, and it was not this one. */
		.code = answer->code == 421 ? 451 : answer->code,
		.utf8 = utf8,
	};
	struct span text = answer->text.len ? answer->text : nothing;

	assert(out_room(out) >= lines_max * SMTP_REPLY_LINE_MAX);
	choose_status(&echo, &text);
	do {
		const struct span line = next_line(&text);

		lines_max--;
		put_echo_line(m, s->id, &echo, line, !text.len || !lines_max, out);
	} while (text.len && lines_max);
	counter_add(&m->said[REPLY_OF_NEXT_HOP], 1);
}
