/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A next hop of any octets, before an owner that does with each step what it may: begins, sends
 * messages, resets, begins again, quits.
 *
 * The input is a head of four octets (protocol, identity, the mail, what the owner does, sizes of
 * parts) and what the server says: 0xFE ends a write. It is fed twice, a write at once and in
 * parts. What is said must be whole lines of the commands that may come there, no more of them in
 * flight than the server can take, and no reply may answer what was not said; both times the same
 * happens, but where the server spoke before it was asked.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "relay/hop.h"

enum {
	HEAD = 4,
	END_OF_WRITE = 0xfe,
	TRANSACTIONS = 3,
	HAPPENED_MAX = 1 << 18,
	RECIPIENT_MAX = 128,
};

enum setting {
	LMTP = 0x01,
	IDENTITY = 0x06, /* enum pool_identity, shifted by one; 3: as 1 */
	RECIPIENTS = 0x18,
	NOTIFIES = 0x20,
	LITTLE_ROOM = 0x40,
	RESETS = 0x80, /* in place of DATA */
	/* of the second octet */
	DECLARES_SIZE = 0x01,
	EIGHT_BIT = 0x02,
	UTF8 = 0x04,
	TRACED = 0x08, /* RET and ENVID */
	BOUNCE = 0x10,
	OVER_IPV4 = 0x20,
	NAMELESS = 0x40,
	QUITS = 0x80, /* as soon as it may */
	/* of the fourth */
	PART = 0x3f,
	ENDS_AT_ONCE = 0x40, /* else at the end of the write */
	RESETS_IDLE = 0x80,
};

/* What is said and what is found are each in order; what lies between depends on the parts. */
struct log {
	size_t len;
	uint8_t octets[HAPPENED_MAX];
};

enum { FLIGHT = HOP_IN_FLIGHT_MAX - 2 }; /* RSET and MAIL are in it */

struct run {
	const uint8_t *head;
	bool in_parts;
	uint32_t parts; /* random */
	struct hop h;
	struct hop_client client;
	struct hop_mail mail;
	uint32_t n_recipients, n_given, n_said, n_answered, n_ended, transactions;
	bool open, is_owners, was_reset; /* MAIL was said; the owner speaks */
	bool is_early;			 /* the server says on where no answer is due */
	bool was_refused;		 /* MAIL was, of more recipients than fly at once */
	_Alignas(8) uint8_t recipient[RECIPIENT_MAX];
	struct log said, found;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct log *log, const void *octets, size_t len)
{
	if (len > sizeof(log->octets) - log->len)
		len = sizeof(log->octets) - log->len;
	memcpy(log->octets + log->len, octets, len);
	log->len += len;
}

static bool begins(const uint8_t *line, size_t len, const char *word)
{
	return len >= strlen(word) && !memcmp(line, word, strlen(word));
}

/* --- what is said ----------------------------------------------------------------------------- */

static void check_order(struct run *r, const uint8_t *line, size_t len)
{
	if (begins(line, len, "MAIL FROM:<")) {
		assert(!r->open);
		r->open = true;
		r->n_said = 0;
	} else if (begins(line, len, "RCPT TO:<")) {
		assert(r->open && r->n_said++ < r->n_recipients);
	} else if (begins(line, len, "XCLIENT ADDR=")) {
		assert(!r->open && len + 2 <= SMTP_LINE_MAX && r->h.identity == POOL_XCLIENT);
	} else if (begins(line, len, "RSET")) {
		assert(len == 4);
		r->open = false;
	} else if (begins(line, len, "LHLO ") || begins(line, len, "EHLO ") ||
		   begins(line, len, "HELO ")) {
		assert((line[0] == 'L') == (r->h.protocol == POOL_LMTP));
	} else {
		/* DATA, the dot and QUIT are the owner's to say. */
		assert(r->is_owners);
	}
}

static void check_line(struct run *r, const uint8_t *line, size_t len)
{
	assert(len > 0 && len + 2 <= HOP_COMMAND_MAX);
	for (size_t i = 0; i < len; i++) {
		assert(line[i] >= ' ' && line[i] != 0x7f);
		assert(line[i] < 0x80 || r->mail.transaction.smtputf8);
	}
	check_order(r, line, len);
}

static void check_flight(const struct run *r)
{
	const uint32_t most = r->h.state == HOP_STATE_ENDED	    ? r->h.rcpts_taken
			      : r->h.offers & HOP_OFFERS_PIPELINING ? (uint32_t)HOP_IN_FLIGHT_MAX
								    : 1;

	assert(r->h.asking.in_flight <= most || r->h.state == HOP_STATE_FAILED);
}

static bool send(struct run *r, struct smtp_out *out)
{
	const uint8_t *at = out->bytes, *end = at + out->len;

	assert(out->len <= out->size);
	add(&r->said, at, out->len);
	while (at < end) {
		const uint8_t *crlf = memmem(at, (size_t)(end - at), "\r\n", 2);

		assert(crlf);
		check_line(r, at, (size_t)(crlf - at));
		at = crlf + 2;
	}
	check_flight(r);
	free(out->bytes);
	return at > out->bytes;
}

static struct smtp_out out_of(size_t size)
{
	struct smtp_out out = {.bytes = malloc(size), .size = size};

	assert(out.bytes);
	return out;
}

/* --- the owner -------------------------------------------------------------------------------- */

static const struct smtp_recipient *give_recipient(void *arg)
{
	static const char *const addresses[] = {"user@example.net", "postmaster",
						"\"a b\"@example.net", "x@[192.0.2.1]"};
	struct run *r = arg;
	struct smtp_recipient *recipient = (struct smtp_recipient *)r->recipient;
	const char *address = addresses[r->n_given % 4], *at = strrchr(address, '@');
	const size_t len = strlen(address);

	assert(r->n_given <= r->n_recipients);
	memset(r->recipient, 0xff, sizeof(r->recipient)); /* the last one is not valid any more */
	if (r->n_given++ == r->n_recipients)
		return NULL;
	recipient->local_len = (uint16_t)(at ? at - address : (ptrdiff_t)len);
	recipient->domain_len = (uint16_t)(at ? len - recipient->local_len - 1 : 0);
	memcpy(recipient->bytes, address, len);
	recipient->notify = r->head[0] & NOTIFIES ? 1 + r->n_given % 15 : 0;
	recipient->orcpt_len = r->head[0] & NOTIFIES ? 10 : 0;
	memcpy(recipient->bytes + len, "rfc822;a+2", recipient->orcpt_len);
	return recipient;
}

static void say(struct run *r, void (*word)(struct hop *h, struct smtp_out *out))
{
	struct smtp_out out = out_of(6);

	word(&r->h, &out);
	assert(out.len > 0);
	r->is_owners = true;
	send(r, &out);
	r->is_owners = false;
}

static void begin(struct run *r)
{
	struct smtp_out out = out_of(r->head[0] & LITTLE_ROOM ? 4 : 8192);
	const bool spoke_on = r->h.asking.spoke_on;

	r->n_given = r->n_answered = r->n_ended = 0;
	r->transactions++;
	if (!hop_begin(&r->h, &r->client, &r->mail, &out)) {
		assert(hop_is_idle(&r->h) && out.len == 0);
		free(out.bytes);
		return;
	}
	assert(!spoke_on || out.len == 0);
	send(r, &out);
}

static void go_on(struct run *r)
{
	assert(hop_is_idle(&r->h) && r->h.asking.in_flight == 0);
	if (r->transactions == TRANSACTIONS || r->head[1] & QUITS) {
		say(r, hop_quit);
	} else if (r->head[3] & RESETS_IDLE && !r->was_reset) {
		r->was_reset = true;
		say(r, hop_reset);
	} else {
		begin(r);
	}
}

static void decide(struct run *r)
{
	assert(r->h.asking.in_flight == 0);
	assert(hop_mail_refused(&r->h) ? r->h.reply.code >= 400 && r->h.rcpts_taken == 0
				       : r->n_answered == r->n_recipients);
	if (r->h.rcpts_taken && !(r->head[0] & RESETS))
		say(r, hop_data);
	else
		say(r, hop_reset);
}

static void check_reply(const struct run *r)
{
	const struct hop_reply *reply = &r->h.reply;

	assert(reply->len <= sizeof(reply->text));
	assert(reply->code ? reply->code >= 200 && reply->code <= 599 : reply->len == 0);
}

static void check_outcome(const struct run *r)
{
	const struct hop_outcome *outcome = &r->h.outcome;

	assert(outcome->taken + outcome->refused == r->h.rcpts_taken);
	assert(outcome->refused ? r->h.reply.code >= 400 : r->h.reply.code < 300);
	assert(r->h.protocol == POOL_LMTP || !outcome->taken || !outcome->refused);
}

static void check_failure(const struct run *r)
{
	const struct hop *h = &r->h;

	assert((h->failure == HOP_SHUT_DOWN) == (h->reading.code == 421) ||
	       h->failure == HOP_NO_REPLY || h->failure == HOP_UNASKED ||
	       h->failure == HOP_IDENTITY_REFUSED);
	assert(h->failure != HOP_FINE || r->transactions == TRANSACTIONS || r->head[1] & QUITS);
}

/* What the owner does with a step. */
static void act(struct run *r, enum hop_step step)
{
	if (step == HOP_WAIT)
		return;
	check_reply(r);
	add(&r->found, &step, sizeof(step));
	add(&r->found, &r->h.reply.code, sizeof(r->h.reply.code));
	add(&r->found, r->h.reply.text, r->h.reply.len);
	switch (step) {
	case HOP_RCPT:
		r->n_answered++;
		assert(r->h.rcpts_answered == r->n_answered && !hop_mail_refused(&r->h));
		assert(r->h.rcpts_taken <= r->n_answered && r->n_answered <= r->h.rcpts_said);
		break;
	case HOP_ASKED:
		r->was_refused |= hop_mail_refused(&r->h) && r->n_recipients >= FLIGHT;
		decide(r);
		break;
	case HOP_WANTED:
		assert(r->h.reply.code == 354 && r->h.rcpts_taken);
		if (r->head[3] & ENDS_AT_ONCE)
			say(r, hop_end);
		break;
	case HOP_RCPT_END:
		assert(r->h.protocol == POOL_LMTP);
		r->n_ended++;
		assert(r->h.outcome.taken + r->h.outcome.refused == r->n_ended);
		break;
	case HOP_ANSWERED:
		check_outcome(r);
		go_on(r);
		break;
	case HOP_READY:
		go_on(r);
		break;
	default:
		assert(step == HOP_FAILED);
		check_failure(r);
		add(&r->found, &r->h.failure, sizeof(r->h.failure));
	}
}

/* --- the server ------------------------------------------------------------------------------- */

/* True: something was written. */
static bool feed_once(struct run *r, struct span *in, size_t room)
{
	const size_t before = in->len;
	struct smtp_out out = out_of(room);
	const enum hop_step step = hop_feed(&r->h, in, &out);
	bool wrote;

	assert(in->len <= before);
	assert(step != HOP_WAIT || !in->len);
	/* Whatever the owner said meanwhile, this is no answer to it. */
	assert(!r->is_early || step == HOP_FAILED ||
	       (step == HOP_ANSWERED && r->h.protocol == POOL_LMTP && in->len == before) ||
	       (step == HOP_WAIT &&
		(r->h.state == HOP_STATE_MESSAGE || r->h.state == HOP_STATE_ENDED)));
	r->is_early = in->len && !r->h.asking.in_flight;
	wrote = send(r, &out);
	act(r, step);
	return wrote || step != HOP_WAIT;
}

static void feed(struct run *r, const uint8_t *bytes, size_t len)
{
	uint8_t *own = malloc(len + !len); /* so that a step too far is seen */
	struct span in = {own, len};
	bool wrote;

	if (len)
		memcpy(own, bytes, len);
	do
		wrote = feed_once(r, &in, r->head[0] & LITTLE_ROOM ? 18 : 8192);
	while ((wrote || in.len) && r->h.state != HOP_STATE_FAILED);
	while (r->h.state != HOP_STATE_FAILED && feed_once(r, &in, HOP_COMMAND_MAX))
		;
	free(own);
}

static void write_once(struct run *r, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && r->h.state != HOP_STATE_FAILED) {
		size_t part = len - at;

		r->parts = r->parts * 1664525u + 1013904223u;
		if (r->in_parts && part > 1)
			part = 1 + (r->parts >> 16) % ((r->head[3] & PART) + 1u) % part;
		feed(r, bytes + at, part);
		at += part;
	}
	if (r->h.state == HOP_STATE_MESSAGE)
		say(r, hop_end);
}

static void speak(struct run *r, const uint8_t *bytes, size_t len)
{
	while (len && r->h.state != HOP_STATE_FAILED) {
		const uint8_t *mark = memchr(bytes, END_OF_WRITE, len);
		const size_t part = mark ? (size_t)(mark - bytes) : len;

		write_once(r, bytes, part);
		bytes += part + (mark != NULL);
		len -= part + (mark != NULL);
	}
}

/* --- a run ------------------------------------------------------------------------------------ */

static struct span span_of(const char *text)
{
	return (struct span){(const uint8_t *)text, strlen(text)};
}

static void make_mail(struct run *r, const uint8_t *head)
{
	static const uint32_t recipients[] = {1, 3, HOP_IN_FLIGHT_MAX + 6, 0};
	struct smtp_transaction *t = &r->mail.transaction;

	r->n_recipients = recipients[(head[0] & RECIPIENTS) / 8];
	r->mail = (struct hop_mail){.added = 300, .next = give_recipient, .arg = r};
	t->declared_size = head[1] & DECLARES_SIZE ? UINT64_MAX >> (head[2] & 63) : 0;
	t->eight_bit_mime = head[1] & EIGHT_BIT;
	t->smtputf8 = head[1] & UTF8;
	t->sender = span_of(head[1] & BOUNCE ? ""
			    : head[1] & UTF8 ? "\xc3\xa9@example.org"
					     : "a@example.org");
	if (head[1] & TRACED) {
		t->ret = head[2] & 1 ? SMTP_RETURN_FULL : SMTP_RETURN_HEADERS;
		t->envid = span_of("id");
	}
}

static void make_client(struct run *r, const uint8_t *head)
{
	uint8_t octets[16] = {0x20, 0x01, 0x0d, 0xb8};

	octets[head[2] & 15] = head[2];
	r->client = (struct hop_client){
		.address = head[1] & OVER_IPV4 ? ip_addr_from_v4(octets) : ip_addr_from_v6(octets),
		.local = ip_addr_from_v4(octets),
		.port = 40000,
		.local_port = 25,
		.hello = span_of(head[1] & NAMELESS ? "" : "client+=.example"),
		.extended = !(head[1] & NAMELESS),
	};
	/* Nobody's: a trial. */
	if (head[1] & NAMELESS && (head[0] & IDENTITY) / 2 == POOL_PROXY_V2)
		r->client.address = (struct ip_addr){0};
}

static void run(struct run *r, const uint8_t *data, size_t size)
{
	const unsigned identity = (data[0] & IDENTITY) / 2;
	struct smtp_out out = out_of(HOP_HEADER_PROXY_MAX);

	r->head = data;
	r->parts = data[2];
	r->said.len = r->found.len = 0;
	r->transactions = 0;
	r->open = r->was_reset = r->is_early = r->was_refused = false;
	make_mail(r, data);
	make_client(r, data);
	hop_open(&r->h, data[0] & LMTP ? POOL_LMTP : POOL_SMTP,
		 identity == 3 ? POOL_XCLIENT : (enum pool_identity)identity, "gw.example.net",
		 &r->client, &out);
	assert(identity == POOL_PROXY_V2 ? out.len >= 16 : !out.len);
	free(out.bytes);
	speak(r, data + HEAD, size - HEAD);
}

/* Of a flight that ends in a failure, more may have been said where answers came in parts. */
static void check_same(const struct run *whole, const struct run *parts)
{
	const bool failed = whole->h.state == HOP_STATE_FAILED;

	assert(whole->found.len == parts->found.len);
	assert(!memcmp(whole->found.octets, parts->found.octets, whole->found.len));
	assert(failed ? whole->said.len <= parts->said.len : whole->said.len == parts->said.len);
	assert(!memcmp(whole->said.octets, parts->said.octets, whole->said.len));
}

/* Before HOP_ASKED, too. */
static bool was_refused(const struct run *r)
{
	return r->was_refused || (hop_mail_refused(&r->h) && r->n_recipients >= FLIGHT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run whole, parts = {.in_parts = true};

	if (size < HEAD)
		return 0;
	run(&whole, data, size);
	run(&parts, data, size);
	/* Cut elsewhere, what came too early may have come in time; and of more recipients than fly
	 * at once one more may have been said before MAIL's refusal was heard. */
	if (whole.h.reading.is_unasked || was_refused(&whole) || was_refused(&parts))
		return 0;
	check_same(&whole, &parts);
	return 0;
}
