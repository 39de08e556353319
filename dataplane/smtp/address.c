/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail addresses, by recursive descent: a function a rule of the grammar.
 *
 * Thread, Time, Memory, Rules: address.h.
 */
#include <string.h>

#include "base/ascii.h"
#include "smtp/address.h"
#include "smtp/utf8.h"

enum octet_class {
	ATEXT = 1 << 0,	  /* RFC 5322 3.2.3 */
	LET_DIG = 1 << 1, /* RFC 5321 4.1.2, and `_` */
	DIGIT = 1 << 2,
	HEX = 1 << 3,
	QTEXT = 1 << 4,	   /* qtextSMTP: printable but `"` and `\` */
	DCONTENT = 1 << 5, /* in a literal: printable but `[`, `\`, `]` and blank */
	PRINTABLE = 1 << 6,
};

#define LETTER (ATEXT | LET_DIG | QTEXT | DCONTENT | PRINTABLE)
#define SYMBOL (ATEXT | QTEXT | DCONTENT | PRINTABLE)
#define SIGN   (QTEXT | DCONTENT | PRINTABLE)

static const uint8_t classes[256] = {
	['0' ... '9'] = LETTER | DIGIT | HEX,
	['a' ... 'f'] = LETTER | HEX,
	['g' ... 'z'] = LETTER,
	['A' ... 'F'] = LETTER | HEX,
	['G' ... 'Z'] = LETTER,
	['_'] = LETTER,
	['!'] = SYMBOL,
	['#' ... '\''] = SYMBOL,
	['*'] = SYMBOL,
	['+'] = SYMBOL,
	['-'] = SYMBOL,
	['/'] = SYMBOL,
	['='] = SYMBOL,
	['?'] = SYMBOL,
	['^'] = SYMBOL,
	['`'] = SYMBOL,
	['{' ... '~'] = SYMBOL,
	['('] = SIGN,
	[')'] = SIGN,
	[','] = SIGN,
	['.'] = SIGN,
	[':'] = SIGN,
	[';'] = SIGN,
	['<'] = SIGN,
	['>'] = SIGN,
	['@'] = SIGN,
	['['] = QTEXT | PRINTABLE,
	[']'] = QTEXT | PRINTABLE,
	[' '] = QTEXT | PRINTABLE,
	['"'] = DCONTENT | PRINTABLE,
	['\\'] = PRINTABLE,
};

/* Where reading and writing have come to. */
struct reader {
	const uint8_t *at, *end;
	uint8_t *to, *to_end;
	bool beyond_ascii;
};

static bool is(uint8_t octet, unsigned class)
{
	return classes[octet] & class;
}

static bool peek(const struct reader *r, uint8_t octet)
{
	return r->at < r->end && *r->at == octet;
}

static bool skip(struct reader *r, uint8_t octet)
{
	if (!peek(r, octet))
		return false;
	r->at++;
	return true;
}

static bool put(struct reader *r, uint8_t octet)
{
	if (r->to == r->to_end)
		return false;
	*r->to++ = octet;
	return true;
}

/* Copies a character beyond ASCII. */
static bool read_beyond_ascii(struct reader *r)
{
	size_t len = utf8_len(r->at, (size_t)(r->end - r->at));

	r->beyond_ascii = true;
	if (!len || (size_t)(r->to_end - r->to) < len)
		return false;
	memcpy(r->to, r->at, len);
	r->to += len;
	r->at += len;
	return true;
}

/* part *("." part) */
static bool read_dotted(struct reader *r, bool (*read_part)(struct reader *r))
{
	while (read_part(r)) {
		if (!skip(r, '.'))
			return true;
		if (!put(r, '.'))
			return false;
	}
	return false;
}

/* --- local parts ------------------------------------------------------------------------------ */

static bool read_atom(struct reader *r)
{
	const uint8_t *first = r->at;

	while (r->at < r->end) {
		if (*r->at >= 0x80) {
			if (!read_beyond_ascii(r))
				return false;
		} else if (is(*r->at, ATEXT)) {
			if (!put(r, *r->at++))
				return false;
		} else {
			break;
		}
	}
	return r->at > first;
}

/* Dot-string = Atom *("." Atom) */
static bool read_dot_string(struct reader *r)
{
	return read_dotted(r, read_atom);
}

/* One octet of a quoted string's content, without its quoting. */
static bool read_quoted_octet(struct reader *r, uint8_t *octet)
{
	if (skip(r, '\\')) {
		if (r->at == r->end || !is(*r->at, PRINTABLE))
			return false;
	} else if (!is(*r->at, QTEXT)) {
		return false;
	}
	*octet = *r->at++;
	if (*octet == '"' || *octet == '\\')
		return put(r, '\\') && put(r, *octet);
	return put(r, *octet);
}

/* Quoted-string = DQUOTE *QcontentSMTP DQUOTE. What could be a dot-string becomes one. */
static bool read_quoted_string(struct reader *r)
{
	uint8_t *opening = r->to;
	uint8_t octet, before = '.';
	bool dot_string = true;

	r->at++;
	if (!put(r, '"'))
		return false;
	for (; r->at < r->end && *r->at != '"'; before = octet) {
		if (*r->at >= 0x80) {
			octet = *r->at;
			if (!read_beyond_ascii(r))
				return false;
			continue;
		}
		if (!read_quoted_octet(r, &octet))
			return false;
		dot_string &= is(octet, ATEXT) || (octet == '.' && before != '.');
	}
	if (!skip(r, '"') || !put(r, '"'))
		return false;
	if (dot_string && before != '.') {
		memmove(opening, opening + 1, (size_t)(r->to - opening) - 2);
		r->to -= 2;
	}
	return true;
}

/* --- domains ---------------------------------------------------------------------------------- */

/* sub-domain = Let-dig [Ldh-str] / U-label. What a U-label's length is in the DNS is not known
 * here. */
static bool read_label(struct reader *r)
{
	const uint8_t *first = r->at;
	bool u_label = false;

	while (r->at < r->end) {
		if (*r->at >= 0x80) {
			if (!read_beyond_ascii(r))
				return false;
			u_label = true;
		} else if (is(*r->at, LET_DIG) || *r->at == '-') {
			if (!put(r, ascii_lower(*r->at++)))
				return false;
		} else {
			break;
		}
	}
	return r->at > first && *first != '-' && r->at[-1] != '-' &&
	       (u_label || r->at - first <= SMTP_LABEL_MAX);
}

/* Domain = sub-domain *("." sub-domain) */
static bool read_domain(struct reader *r)
{
	return read_dotted(r, read_label);
}

/* IPv4-address-literal = Snum 3("." Snum) */
static bool is_ipv4(const uint8_t *p, const uint8_t *end)
{
	for (unsigned n = 1;; n++) {
		const uint8_t *first = p;
		unsigned value = 0;

		for (; p < end && is(*p, DIGIT) && p - first < 3; p++)
			value = value * 10 + (*p - '0');
		if (p == first || value > 255)
			return false;
		if (n == 4)
			return p == end;
		if (p == end || *p++ != '.')
			return false;
	}
}

/* IPv6-addr; "::" stands for two groups or more. */
static bool is_ipv6(const uint8_t *p, const uint8_t *end)
{
	unsigned groups = 0, most = 8;

	if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
		most = 6;
		p += 2;
	}
	while (p < end) {
		const uint8_t *first = p;

		while (p < end && is(*p, HEX))
			p++;
		if (p < end && *p == '.')
			return is_ipv4(first, end) &&
			       (most == 8 ? groups == 6 : groups + 2 <= most);
		if (p == first || p - first > 4)
			return false;
		groups++;
		if (p == end)
			break;
		if (*p++ != ':' || p == end)
			return false;
		if (*p == ':') {
			if (most == 6)
				return false;
			most = 6;
			p++;
		}
	}
	return most == 8 ? groups == 8 : groups <= most;
}

/* General-address-literal = Standardized-tag ":" 1*dcontent */
static bool is_general(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *colon = memchr(p, ':', (size_t)(end - p));

	if (!colon || colon == p || colon + 1 == end || colon[-1] == '-')
		return false;
	for (; p < colon; p++)
		if (!is(*p, LET_DIG) && *p != '-')
			return false;
	return true;
}

static bool is_literal(const uint8_t *p, const uint8_t *end)
{
	static const char ipv6[] = "ipv6:";
	const size_t len = sizeof(ipv6) - 1;

	if ((size_t)(end - p) >= len && !memcmp(p, ipv6, len))
		return is_ipv6(p + len, end);
	return is_ipv4(p, end) || is_general(p, end);
}

/* address-literal = "[" ( IPv4 / IPv6 / General ) "]" */
static bool read_literal(struct reader *r)
{
	const uint8_t *opening = r->to;

	r->at++;
	if (!put(r, '['))
		return false;
	while (r->at < r->end && is(*r->at, DCONTENT))
		if (!put(r, ascii_lower(*r->at++)))
			return false;
	return is_literal(opening + 1, r->to) && skip(r, ']') && put(r, ']');
}

/* --- the whole -------------------------------------------------------------------------------- */

/* A-d-l ":", read and forgotten (RFC 5321 appendix C: ignored, the mailbox alone counts). */
static bool read_source_route(struct reader *r)
{
	uint8_t *to = r->to;
	bool read;

	do {
		r->to = to;
		read = skip(r, '@') && read_domain(r);
	} while (read && skip(r, ','));
	r->to = to;
	r->beyond_ascii = false;
	return read && skip(r, ':');
}

/* RFC 5321 4.1.1.3: <Postmaster> is the one mailbox without a domain. */
static bool read_bare_postmaster(struct reader *r, enum address_kind kind, struct address *a)
{
	if (kind != ADDRESS_OF_RECIPIENT || !ascii_is_word(a->text, a->local_len, "postmaster"))
		return false;
	for (size_t i = 0; i < a->local_len; i++)
		a->text[i] = ascii_lower(a->text[i]);
	return skip(r, '>');
}

static bool read_mailbox(struct reader *r, enum address_kind kind, struct address *a)
{
	const size_t longest = kind == ADDRESS_OF_SENDER ? SMTP_SENDER_LOCAL_MAX : SMTP_LOCAL_MAX;
	const uint8_t *domain;
	size_t len;

	if (peek(r, '"') ? !read_quoted_string(r) : !read_dot_string(r))
		return false;
	len = (size_t)(r->to - a->text);
	if (len > longest)
		return false;
	a->local_len = (uint16_t)len;
	if (!skip(r, '@'))
		return read_bare_postmaster(r, kind, a);
	if (!put(r, '@'))
		return false;
	domain = r->to;
	if (peek(r, '[') ? !read_literal(r) : !read_domain(r))
		return false;
	len = (size_t)(r->to - domain);
	if (len > SMTP_DOMAIN_MAX)
		return false;
	a->domain_len = (uint16_t)len;
	return skip(r, '>');
}

static bool read_path(struct reader *r, enum address_kind kind, struct address *a)
{
	if (!skip(r, '<'))
		return false;
	if (kind == ADDRESS_OF_SENDER && skip(r, '>'))
		return true;
	if (peek(r, '@') && !read_source_route(r))
		return false;
	return read_mailbox(r, kind, a);
}

static bool is_beyond_ascii(const struct span *s)
{
	for (size_t i = 0; i < s->len; i++)
		if (s->bytes[i] >= 0x80)
			return true;
	return false;
}

bool address_read(struct span *in, enum address_kind kind, struct address *a)
{
	struct reader r = {
		.at = in->bytes,
		.end = in->bytes + in->len,
		.to = a->text,
		.to_end = a->text + sizeof(a->text),
	};

	a->local_len = a->domain_len = 0;
	if (!read_path(&r, kind, a)) {
		a->beyond_ascii = is_beyond_ascii(in);
		return false;
	}
	a->beyond_ascii = r.beyond_ascii;
	in->len -= (size_t)(r.at - in->bytes);
	in->bytes = r.at;
	return true;
}
