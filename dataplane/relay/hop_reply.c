/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A next hop's replies, octet by octet, and what the one to EHLO offers.
 *
 * Thread, Time, Memory: hop.h.
 * Rules: RFC 5321 4.2 (all lines of a reply bear one code; a code may stand alone); an LF without
 * its CR ends a line, too. A CR elsewhere is text. 4.1.1.1: EHLO's first line is no keyword.
 */
#include <string.h>

#include "base/ascii.h"
#include "relay/hop_private.h"

enum {
	CODE_LEN = 3,
	CODE_LEAST = 200,
	CODE_MOST = 599,
};

/* --- a reply ---------------------------------------------------------------------------------- */

void hop_forget_reply(struct hop *h)
{
	h->reply.code = h->reply.len = 0;
}

void hop_reading_begin(struct hop *h, bool is_unasked, bool is_dropped)
{
	h->reading = (struct hop_reading){
		.is_last = true,
		.is_unasked = is_unasked,
		.is_dropped = is_dropped,
	};
	if (!is_dropped)
		hop_forget_reply(h);
}

void hop_give_up_reply(struct hop *h)
{
	if (!h->reading.is_dropped)
		hop_forget_reply(h);
}

static void keep(struct hop *h, uint8_t octet)
{
	if (h->reading.is_dropped)
		return;
	if (h->reply.len == HOP_TEXT_MAX)
		h->reading.is_cut = true;
	else
		h->reply.text[h->reply.len++] = octet;
}

static bool read_digit(struct hop *h, uint8_t octet)
{
	struct hop_reading *r = &h->reading;

	if (octet < '0' || octet > '9')
		return false;
	r->line_code = (uint16_t)(r->line_code * 10 + (octet - '0'));
	if (r->line_len < CODE_LEN)
		return true;
	if (r->lines) {
		keep(h, '\n');
		return r->line_code == r->code;
	}
	r->code = r->line_code;
	return r->code >= CODE_LEAST && r->code <= CODE_MOST;
}

/* Behind the code. */
static bool read_mark(struct hop_reading *r, uint8_t octet)
{
	r->is_last = octet != '-';
	r->is_bare = octet == '\r';
	return octet == ' ' || octet == '-' || octet == '\r';
}

static bool read_text(struct hop *h, uint8_t octet)
{
	struct hop_reading *r = &h->reading;

	if (r->is_bare)
		return false;
	if (r->after_cr)
		keep(h, '\r');
	r->after_cr = octet == '\r';
	if (!r->after_cr)
		keep(h, octet);
	return true;
}

static enum hop_heard end_line(struct hop *h)
{
	struct hop_reading *r = &h->reading;

	r->lines++;
	r->line_len = r->line_code = 0;
	r->after_cr = r->is_bare = false;
	if (!r->is_last) {
		r->is_last = true;
		return r->lines < HOP_LINES_MAX ? HOP_HEARD_PART : HOP_HEARD_NO_REPLY;
	}
	r->lines = 0;
	if (!r->is_dropped)
		h->reply.code = r->code;
	return HOP_HEARD_REPLY;
}

static enum hop_heard read_octet(struct hop *h, uint8_t octet)
{
	struct hop_reading *r = &h->reading;
	bool fits;

	if (++r->line_len > HOP_LINE_MAX)
		return HOP_HEARD_NO_REPLY;
	if (r->line_len <= CODE_LEN)
		fits = read_digit(h, octet);
	else if (octet == '\n')
		return end_line(h);
	else if (r->line_len == CODE_LEN + 1)
		fits = read_mark(r, octet);
	else
		fits = read_text(h, octet);
	return fits ? HOP_HEARD_PART : HOP_HEARD_NO_REPLY;
}

enum hop_heard hop_read(struct hop *h, struct span *in)
{
	enum hop_heard heard = HOP_HEARD_PART;

	while (in->len && heard == HOP_HEARD_PART) {
		heard = read_octet(h, *in->bytes++);
		in->len--;
	}
	if (heard == HOP_HEARD_NO_REPLY)
		hop_give_up_reply(h);
	return heard;
}

/* --- what EHLO offers ------------------------------------------------------------------------- */

struct keyword {
	const char *word;
	enum hop_offer offer;
};

static const struct keyword extensions[] = {
	{"pipelining", HOP_OFFERS_PIPELINING},
	{"size", HOP_OFFERS_SIZE},
	{"8bitmime", HOP_OFFERS_8BITMIME},
	{"smtputf8", HOP_OFFERS_SMTPUTF8},
	{"dsn", HOP_OFFERS_DSN},
	{"chunking", HOP_OFFERS_CHUNKING},
};

static const struct keyword attributes[] = {
	{"name", HOP_OFFERS_XCLIENT_NAME},	   {"addr", HOP_OFFERS_XCLIENT_ADDR},
	{"port", HOP_OFFERS_XCLIENT_PORT},	   {"proto", HOP_OFFERS_XCLIENT_PROTO},
	{"helo", HOP_OFFERS_XCLIENT_HELO},	   {"destaddr", HOP_OFFERS_XCLIENT_DESTADDR},
	{"destport", HOP_OFFERS_XCLIENT_DESTPORT},
};

static uint16_t find_offer(const struct keyword *keywords, size_t n, const struct span *word)
{
	for (size_t i = 0; i < n; i++)
		if (ascii_is_word(word->bytes, word->len, keywords[i].word))
			return keywords[i].offer;
	return 0;
}

static bool is_blank(uint8_t octet)
{
	return octet == ' ' || octet == '\t';
}

static void skip(struct span *in, size_t len)
{
	in->bytes += len;
	in->len -= len;
}

/* The next word of a line; empty at its end. */
static struct span take_word(struct span *line)
{
	struct span word;

	while (line->len && is_blank(*line->bytes))
		skip(line, 1);
	word = (struct span){line->bytes, 0};
	while (word.len < line->len && !is_blank(word.bytes[word.len]))
		word.len++;
	skip(line, word.len);
	return word;
}

/* RFC 1870 4: 0 is no limit; what is no number, or beyond all sizes, is none either. */
static uint64_t read_size(const struct span *word)
{
	uint64_t size = 0;

	for (size_t i = 0; i < word->len; i++) {
		const uint8_t digit = (uint8_t)(word->bytes[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(size, 10, &size) ||
		    __builtin_add_overflow(size, digit, &size))
			return 0;
	}
	return size;
}

static void learn_attributes(struct hop *h, struct span line)
{
	struct span word;

	while ((word = take_word(&line)).len)
		h->offers |=
			find_offer(attributes, sizeof(attributes) / sizeof(attributes[0]), &word);
}

static void learn_line(struct hop *h, struct span line)
{
	const struct span keyword = take_word(&line);
	const uint16_t offer =
		find_offer(extensions, sizeof(extensions) / sizeof(extensions[0]), &keyword);

	h->offers |= offer;
	if (offer == HOP_OFFERS_SIZE) {
		const struct span value = take_word(&line);

		h->size_max = read_size(&value);
	} else if (ascii_is_word(keyword.bytes, keyword.len, "xclient")) {
		learn_attributes(h, line);
	}
}

void hop_learn_offers(struct hop *h)
{
	struct span rest = {h->reply.text, h->reply.len};
	const uint8_t *lf = memchr(rest.bytes, '\n', rest.len);

	h->offers = 0;
	h->size_max = 0;
	while (lf) {
		skip(&rest, (size_t)(lf - rest.bytes) + 1);
		lf = memchr(rest.bytes, '\n', rest.len);
		/* A line that was not kept whole may seem another word. */
		if (lf || !h->reading.is_cut)
			learn_line(h, (struct span){rest.bytes,
						    lf ? (size_t)(lf - rest.bytes) : rest.len});
	}
}
