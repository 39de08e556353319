/* SPDX-License-Identifier: BSD-3-Clause */
/* The parameters of MAIL and RCPT, by a table. Thread, Time, Memory, Rules: parameter.h. */
#include <string.h>

#include "base/ascii.h"
#include "smtp/parameter.h"
#include "smtp/smtp.h"
#include "smtp/utf8.h"

/* A value that cannot be is refused as malformed. */
typedef enum reply read_value(struct parameters *p, const struct span *value);

struct kind {
	const char *keyword;
	enum parameters_of command;
	unsigned offer;
	bool has_value;
	read_value *read;
};

static bool equals(const struct span *s, const char *word)
{
	size_t i;

	for (i = 0; i < s->len && word[i]; i++)
		if (ascii_upper(s->bytes[i]) != (uint8_t)word[i])
			return false;
	return i == s->len && !word[i];
}

static bool is_hex(uint8_t octet)
{
	return (octet >= '0' && octet <= '9') || (octet >= 'A' && octet <= 'F');
}

/* RFC 3461 4: xtext, where "+" begins two hexadecimal digits. */
static bool is_xtext(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] < '!' || p[i] > '~' || p[i] == '=')
			return false;
		if (p[i] != '+')
			continue;
		if (len - i < 3 || !is_hex(p[i + 1]) || !is_hex(p[i + 2]))
			return false;
		i += 2;
	}
	return true;
}

static enum reply read_size(struct parameters *p, const struct span *value)
{
	p->size = 0;
	if (value->len > SMTP_SIZE_DIGITS)
		return REPLY_PARAMETER_MALFORMED;
	for (size_t i = 0; i < value->len; i++) {
		uint8_t digit = (uint8_t)(value->bytes[i] - '0');

		if (digit > 9)
			return REPLY_PARAMETER_MALFORMED;
		if (__builtin_mul_overflow(p->size, 10, &p->size) ||
		    __builtin_add_overflow(p->size, digit, &p->size)) {
			p->size = UINT64_MAX;
			break;
		}
	}
	return REPLY_NONE;
}

static enum reply read_body(struct parameters *p, const struct span *value)
{
	p->eight_bit_mime = equals(value, "8BITMIME");
	if (p->eight_bit_mime || equals(value, "7BIT"))
		return REPLY_NONE;
	return equals(value, "BINARYMIME") ? REPLY_PARAMETER_UNKNOWN : REPLY_PARAMETER_MALFORMED;
}

static enum reply read_smtputf8(struct parameters *p, const struct span *value)
{
	p->smtputf8 = true;
	return REPLY_NONE;
}

static enum reply read_ret(struct parameters *p, const struct span *value)
{
	if (equals(value, "FULL"))
		p->ret = SMTP_RETURN_FULL;
	else if (equals(value, "HDRS"))
		p->ret = SMTP_RETURN_HEADERS;
	else
		return REPLY_PARAMETER_MALFORMED;
	return REPLY_NONE;
}

static enum reply read_envid(struct parameters *p, const struct span *value)
{
	if (value->len > SMTP_ENVID_MAX || !is_xtext(value->bytes, value->len))
		return REPLY_PARAMETER_MALFORMED;
	p->envid = *value;
	return REPLY_NONE;
}

static unsigned notify_of(const struct span *word)
{
	return equals(word, "SUCCESS")	 ? SMTP_NOTIFY_SUCCESS
	       : equals(word, "FAILURE") ? SMTP_NOTIFY_FAILURE
	       : equals(word, "DELAY")	 ? SMTP_NOTIFY_DELAY
	       : equals(word, "NEVER")	 ? SMTP_NOTIFY_NEVER
					 : 0;
}

/* NEVER alone, or a list of the others. */
static enum reply read_notify(struct parameters *p, const struct span *value)
{
	const uint8_t *at = value->bytes, *end = at + value->len;

	for (;;) {
		const uint8_t *comma = memchr(at, ',', (size_t)(end - at));
		const struct span word = {at, (size_t)((comma ? comma : end) - at)};
		unsigned notify = notify_of(&word);

		if (!notify || (p->notify && (notify | p->notify) & SMTP_NOTIFY_NEVER))
			return REPLY_PARAMETER_MALFORMED;
		p->notify |= (uint8_t)notify;
		if (!comma)
			return REPLY_NONE;
		at = comma + 1;
	}
}

/* RFC 6533 3: an address of type utf-8 may hold UTF-8 as it is. */
static bool is_utf8_xtext(const uint8_t *p, size_t len, bool *beyond_ascii)
{
	const uint8_t *end = p + len;

	while (p < end) {
		const uint8_t *first = p;
		size_t character;

		while (p < end && *p < 0x80)
			p++;
		if (!is_xtext(first, (size_t)(p - first)))
			return false;
		if (p == end)
			break;
		character = utf8_len(p, (size_t)(end - p));
		if (!character)
			return false;
		*beyond_ascii = true;
		p += character;
	}
	return true;
}

/* addr-type ";" xtext */
static enum reply read_orcpt(struct parameters *p, const struct span *value)
{
	static const char utf8[] = "UTF-8";
	const uint8_t *semicolon = memchr(value->bytes, ';', value->len);
	struct span type, address;

	if (!semicolon || semicolon == value->bytes || value->len > SMTP_ORCPT_MAX)
		return REPLY_PARAMETER_MALFORMED;
	type = (struct span){value->bytes, (size_t)(semicolon - value->bytes)};
	address = (struct span){semicolon + 1, value->len - type.len - 1};
	if (!address.len || !is_xtext(type.bytes, type.len) || memchr(type.bytes, '+', type.len))
		return REPLY_PARAMETER_MALFORMED;
	if (equals(&type, utf8) ? !is_utf8_xtext(address.bytes, address.len, &p->beyond_ascii)
				: !is_xtext(address.bytes, address.len))
		return REPLY_PARAMETER_MALFORMED;
	p->orcpt = *value;
	return REPLY_NONE;
}

static const struct kind kinds[] = {
	{"SIZE", PARAMETERS_OF_MAIL, SMTP_OFFERS_SIZE, true, read_size},
	{"BODY", PARAMETERS_OF_MAIL, SMTP_OFFERS_8BITMIME, true, read_body},
	{"SMTPUTF8", PARAMETERS_OF_MAIL, SMTP_OFFERS_SMTPUTF8, false, read_smtputf8},
	{"RET", PARAMETERS_OF_MAIL, SMTP_OFFERS_DSN, true, read_ret},
	{"ENVID", PARAMETERS_OF_MAIL, SMTP_OFFERS_DSN, true, read_envid},
	{"NOTIFY", PARAMETERS_OF_RCPT, SMTP_OFFERS_DSN, true, read_notify},
	{"ORCPT", PARAMETERS_OF_RCPT, SMTP_OFFERS_DSN, true, read_orcpt},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* One parameter, KEYWORD or KEYWORD=VALUE. */
static enum reply read_one(const struct span *in, enum parameters_of command, unsigned offered,
			   struct parameters *p, unsigned *seen)
{
	const uint8_t *equal = memchr(in->bytes, '=', in->len);
	const struct span keyword = {in->bytes, equal ? (size_t)(equal - in->bytes) : in->len};
	const struct span value = {in->bytes + keyword.len + 1,
				   equal ? in->len - keyword.len - 1 : 0};

	for (unsigned i = 0; i < KINDS; i++) {
		const struct kind *kind = &kinds[i];

		if (kind->command != command || !(kind->offer & offered) ||
		    !equals(&keyword, kind->keyword))
			continue;
		if (*seen & 1U << i || kind->has_value != !!equal ||
		    (kind->has_value && !value.len))
			return REPLY_PARAMETER_MALFORMED;
		*seen |= 1U << i;
		return kind->read(p, &value);
	}
	return REPLY_PARAMETER_UNKNOWN;
}

enum reply parameters_read(struct span in, enum parameters_of command, unsigned offered,
			   struct parameters *p)
{
	const uint8_t *at = in.bytes, *end = at + in.len;
	unsigned seen = 0;

	*p = (struct parameters){0};
	for (;;) {
		const uint8_t *first;
		enum reply refusal;

		while (at < end && *at == ' ')
			at++;
		if (at == end)
			return REPLY_NONE;
		first = at;
		while (at < end && *at != ' ')
			at++;
		refusal = read_one(&(struct span){first, (size_t)(at - first)}, command, offered, p,
				   &seen);
		if (refusal != REPLY_NONE)
			return refusal;
	}
}
