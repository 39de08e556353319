/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory's lines into the table.
 *
 * Thread: the writer. Time: none. Memory: the caller's struct.
 * Rules: addresses are read by the same parser as RCPT's, so that a directory means what a client
 * says. Lines are entered some places behind, while their buckets are fetched: random buckets of a
 * large table are cache misses.
 */
#include <errno.h>
#include <string.h>

#include "policy/recipients_private.h"
#include "smtp/address.h"

enum {
	PENDING = sizeof(((struct recipients_directory *)0)->pending) /
		  sizeof(((struct recipients_directory *)0)->pending[0])
};

static void complain(struct recipients_directory *d, uint64_t line, const char *why)
{
	d->bad_lines++;
	if (d->bad)
		d->bad(d->arg, line, why);
}

/* --- words of a line ------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The next word, up to a blank that is not within quotes; len 0: none. */
static struct span next_word(const char **text, const char *end)
{
	const char *p = *text, *begin;
	bool quoted = false;

	while (p < end && is_blank(*p))
		p++;
	begin = p;
	if (p < end && *p == '#')
		p = begin = end;
	for (; p < end && (quoted || !is_blank(*p)); p++) {
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && quoted && p + 1 < end)
			p++;
	}
	*text = p;
	return (struct span){(const uint8_t *)begin, (size_t)(p - begin)};
}

/* What stands behind "name="; false: another word. */
static bool value_of(const struct span *word, const char *name, const char **value, size_t *len)
{
	size_t n = strlen(name);

	if (word->len <= n || memcmp(word->bytes, name, n) != 0)
		return false;
	*value = (const char *)word->bytes + n;
	*len = word->len - n;
	return true;
}

static bool read_mailbox(const uint8_t *text, size_t len, struct address *a)
{
	uint8_t path[SMTP_ADDRESS_MAX + 2];
	struct span in = {path, len + 2};

	if (len > SMTP_ADDRESS_MAX)
		return false;
	path[0] = '<';
	memcpy(path + 1, text, len);
	path[1 + len] = '>';
	return address_read(&in, ADDRESS_OF_RECIPIENT, a) && !in.len;
}

/* NULL, or why the address is none of this directory. */
static const char *read_address(const struct recipients_directory *d, const struct span *word,
				struct address *a)
{
	const char *name;
	size_t len;

	if (word->len > SMTP_ADDRESS_MAX)
		return "the address is too long";
	if (!read_mailbox(word->bytes, word->len, a))
		return "the address is malformed";
	name = recipients_domain_name(d->recipients, d->domain, &len);
	if (a->domain_len != len || memcmp(a->text + a->local_len + 1, name, len) != 0)
		return "the address is not of this domain";
	return NULL;
}

bool recipients_read_address(const char *text, size_t len, char canonical[RECIPIENT_ADDRESS_MAX],
			     struct recipient_address *address)
{
	struct address a;

	if (!read_mailbox((const uint8_t *)text, len, &a) ||
	    address_len(&a) > RECIPIENT_ADDRESS_MAX)
		return false;
	memcpy(canonical, a.text, address_len(&a));
	*address = (struct recipient_address){
		.local = canonical,
		.domain = canonical + a.local_len + 1,
		.local_len = a.local_len,
		.domain_len = a.domain_len,
	};
	return true;
}

/* NULL, or why what follows the address is wrong. */
static const char *read_rest(const struct recipients_directory *d, const char *text,
			     const char *end, enum recipient_class *class, uint16_t *pool)
{
	struct span word;

	while ((word = next_word(&text, end)).len) {
		const char *value;
		size_t len;

		if (value_of(&word, "class=", &value, &len)) {
			if (recipient_class_of(value, len, class))
				return "there is no such class";
		} else if (value_of(&word, "pool=", &value, &len)) {
			int number = d->pool ? d->pool(d->arg, value, len) : -1;

			if (number < 0)
				return "there is no such pool";
			*pool = (uint16_t)number;
		} else {
			return "behind an address come class= and pool= only";
		}
	}
	return NULL;
}

/* --- entering -------------------------------------------------------------------------------- */

static void enter(struct recipients_directory *d, const struct recipients_pending *p)
{
	const struct digest digest = {p->digest[0], p->digest[1], p->digest[2], p->digest[3]};

	switch (recipients_enter(d->recipients, d->domain, &digest, p->code, false)) {
	case RECIPIENTS_NEW:
		d->added++;
		break;
	case RECIPIENTS_SAME:
		d->repeated++;
		break;
	case RECIPIENTS_CHANGED:
		complain(d, p->line, "the address stands there before, with another class or pool");
		break;
	default:
		d->is_full = true;
	}
}

static void take(struct recipients_directory *d, const struct digest *digest, uint32_t code)
{
	unsigned at = d->n_pending % PENDING;

	if (d->n_pending >= PENDING)
		enter(d, &d->pending[at]);
	d->pending[at] = (struct recipients_pending){
		{digest->a, digest->b, digest->c, digest->bucket}, code, d->lines};
	/* Counts round and round, PENDING and more: all places are taken. */
	d->n_pending = d->n_pending + 1 < 2 * PENDING ? d->n_pending + 1 : PENDING;
}

void recipients_directory_end(struct recipients_directory *d)
{
	unsigned n = d->n_pending < PENDING ? d->n_pending : PENDING;

	for (unsigned i = 0; i < n; i++)
		enter(d, &d->pending[(d->n_pending + PENDING - n + i) % PENDING]);
	d->n_pending = 0;
}

void recipients_directory_line(struct recipients_directory *d, const char *text, size_t len)
{
	enum recipient_class class = RECIPIENT_NORMAL;
	uint16_t pool = RECIPIENT_POOL_OF_DOMAIN;
	const char *end, *why;
	struct digest digest;
	struct address a;
	struct span word;
	uint32_t code;

	d->lines++;
	if (len && text[len - 1] == '\n')
		len--;
	if (len && text[len - 1] == '\r')
		len--;
	end = text + len;
	word = next_word(&text, end);
	if (word.len == 0)
		return;
	why = read_address(d, &word, &a);
	if (!why)
		why = read_rest(d, text, end, &class, &pool);
	if (!why && !recipients_digest(d->recipients, d->domain, (const char *)a.text, a.local_len,
				       &digest))
		why = "the local part is too long";
	if (why) {
		complain(d, d->lines, why);
		return;
	}
	code = recipients_code(d->recipients, d->domain, class, pool);
	if (!code) {
		complain(d, d->lines, "too many pools are named by single recipients");
		return;
	}
	take(d, &digest, code);
}
