/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our commands, each whole or not at all.
 *
 * Thread, Time, Memory: hop.h. Addresses, ENVID and ORCPT go out as the smtp room read them, which
 * took nothing in that could end a line.
 * Rules: RFC 5321 4.1.1, 4.5.3.1.4 (512 octets, for XCLIENT too); 1870, 6152, 6531 and 3461:
 * parameters where they are offered; Postfix's XCLIENT_README; RFC 5952 (how an IPv6 address is
 * written: servers look it up as text).
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "postern/address_text.h"
#include "relay/hop_private.h"

static const char unavailable[] = "[UNAVAILABLE]";

/* The longest there are: MAIL with its parameters, RCPT with its. */
static_assert(sizeof("MAIL FROM:<> SIZE= BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=\r\n") +
			      SMTP_ADDRESS_MAX + SMTP_SIZE_DIGITS + SMTP_ENVID_MAX <=
		      HOP_COMMAND_MAX,
	      "MAIL fits");
static_assert(sizeof("RCPT TO:<> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=\r\n") + SMTP_ADDRESS_MAX +
			      SMTP_ORCPT_MAX <=
		      HOP_COMMAND_MAX,
	      "RCPT fits");

/* --- a line ----------------------------------------------------------------------------------- */

struct line {
	struct smtp_out *out;
	size_t begin;
	bool fits;
};

static struct line line_begin(struct smtp_out *out)
{
	return (struct line){.out = out, .begin = out->len, .fits = true};
}

static void put(struct line *l, const void *bytes, size_t len)
{
	struct smtp_out *out = l->out;

	l->fits = l->fits && out->size - out->len >= len;
	if (!l->fits || !len)
		return;
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

static void put_word(struct line *l, const char *word)
{
	put(l, word, strlen(word));
}

static void put_span(struct line *l, struct span span)
{
	put(l, span.bytes, span.len);
}

static void put_number(struct line *l, uint64_t number)
{
	char text[24];

	put(l, text, (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)number));
}

static bool line_end(struct line *l)
{
	put_word(l, "\r\n");
	if (!l->fits)
		l->out->len = l->begin;
	return l->fits;
}

bool hop_write_word(struct smtp_out *out, const char *word)
{
	struct line l = line_begin(out);

	put_word(&l, word);
	return line_end(&l);
}

bool hop_write_hello(const struct hop *h, struct smtp_out *out)
{
	struct line l = line_begin(out);

	put_word(&l, h->protocol == POOL_LMTP ? "LHLO " : h->asking.says_helo ? "HELO " : "EHLO ");
	put_word(&l, h->host);
	return line_end(&l);
}

/* --- XCLIENT ---------------------------------------------------------------------------------- */

static void put_address(struct line *l, const struct ip_addr *a)
{
	char text[IP_ADDR_TEXT];

	if (!ip_addr_is_v4(a))
		put_word(l, "IPV6:");
	put_word(l, ip_addr_text(text, a));
}

static bool is_plain_xtext(uint8_t octet)
{
	return octet >= '!' && octet <= '~' && octet != '+' && octet != '=';
}

static size_t xtext_len(struct span s)
{
	size_t len = 0;

	for (size_t i = 0; i < s.len; i++)
		len += is_plain_xtext(s.bytes[i]) ? 1 : 3;
	return len;
}

static void put_xtext(struct line *l, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char text[4];

		if (is_plain_xtext(s.bytes[i]))
			put(l, s.bytes + i, 1);
		else
			put(l, text, (size_t)snprintf(text, sizeof(text), "+%02X", s.bytes[i]));
	}
}

/* The last attribute. A name that would make the line too long is unavailable. */
static void put_hello(struct line *l, struct span hello)
{
	const size_t len = l->out->len - l->begin + strlen(" HELO=") + xtext_len(hello) + 2;

	put_word(l, " HELO=");
	if (hello.len && len <= SMTP_LINE_MAX)
		put_xtext(l, hello);
	else
		put_word(l, unavailable);
}

bool hop_write_xclient(const struct hop *h, struct smtp_out *out)
{
	const struct hop_client *client = &h->client;
	struct line l = line_begin(out);

	put_word(&l, "XCLIENT ADDR=");
	put_address(&l, &client->address);
	if (h->offers & HOP_OFFERS_XCLIENT_PORT) {
		put_word(&l, " PORT=");
		put_number(&l, client->port);
	}
	if (h->offers & HOP_OFFERS_XCLIENT_NAME) {
		put_word(&l, " NAME=");
		put_word(&l, unavailable);
	}
	if (h->offers & HOP_OFFERS_XCLIENT_PROTO)
		put_word(&l, client->extended ? " PROTO=ESMTP" : " PROTO=SMTP");
	if (h->offers & HOP_OFFERS_XCLIENT_DESTADDR) {
		put_word(&l, " DESTADDR=");
		put_address(&l, &client->local);
	}
	if (h->offers & HOP_OFFERS_XCLIENT_DESTPORT) {
		put_word(&l, " DESTPORT=");
		put_number(&l, client->local_port);
	}
	if (h->offers & HOP_OFFERS_XCLIENT_HELO)
		put_hello(&l, client->hello);
	return line_end(&l);
}

/* --- MAIL and RCPT ---------------------------------------------------------------------------- */

/* What the message will have, as far as the client said; RFC 1870 5. */
static void put_size(struct line *l, const struct hop_mail *mail)
{
	uint64_t size;

	if (__builtin_add_overflow(mail->transaction.declared_size, mail->added, &size))
		size = UINT64_MAX;
	put_word(l, " SIZE=");
	put_number(l, size);
}

static void put_dsn_of_mail(struct line *l, const struct smtp_transaction *t)
{
	if (t->ret != SMTP_RETURN_UNSAID)
		put_word(l, t->ret == SMTP_RETURN_FULL ? " RET=FULL" : " RET=HDRS");
	if (t->envid.len) {
		put_word(l, " ENVID=");
		put_span(l, t->envid);
	}
}

bool hop_write_mail(const struct hop *h, struct smtp_out *out)
{
	const struct smtp_transaction *t = &h->mail.transaction;
	struct line l = line_begin(out);

	put_word(&l, "MAIL FROM:<");
	put_span(&l, t->sender);
	put_word(&l, ">");
	if (t->declared_size && h->offers & HOP_OFFERS_SIZE)
		put_size(&l, &h->mail);
	if (t->eight_bit_mime && h->offers & HOP_OFFERS_8BITMIME)
		put_word(&l, " BODY=8BITMIME");
	if (t->smtputf8)
		put_word(&l, " SMTPUTF8");
	if (h->offers & HOP_OFFERS_DSN)
		put_dsn_of_mail(&l, t);
	return line_end(&l);
}

static void put_notify(struct line *l, unsigned notify)
{
	static const struct {
		unsigned notify;
		const char *word;
	} words[] = {
		{SMTP_NOTIFY_NEVER, "NEVER"},
		{SMTP_NOTIFY_SUCCESS, "SUCCESS"},
		{SMTP_NOTIFY_FAILURE, "FAILURE"},
		{SMTP_NOTIFY_DELAY, "DELAY"},
	};
	const char *before = " NOTIFY=";

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!(notify & words[i].notify))
			continue;
		put_word(l, before);
		put_word(l, words[i].word);
		before = ",";
	}
}

bool hop_write_rcpt(const struct hop *h, const struct smtp_recipient *recipient,
		    struct smtp_out *out)
{
	struct line l = line_begin(out);

	put_word(&l, "RCPT TO:<");
	put_span(&l, smtp_recipient_address(recipient));
	put_word(&l, ">");
	if (h->offers & HOP_OFFERS_DSN) {
		put_notify(&l, recipient->notify);
		if (recipient->orcpt_len) {
			put_word(&l, " ORCPT=");
			put_span(&l, smtp_recipient_orcpt(recipient));
		}
	}
	return line_end(&l);
}
