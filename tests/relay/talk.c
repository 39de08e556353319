/* SPDX-License-Identifier: BSD-3-Clause */
/* Talks with a hop: talk.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "talk.h"

enum { OWN_ROOM = 6 }; /* what hop_data and the like need */

const struct manner talk_manners[] = {
	{"whole", false, false},
	{"octet by octet", true, false},
	{"whole, with little room", false, true},
	{"octet by octet, with little room", true, true},
};
const size_t talk_n_manners = sizeof(talk_manners) / sizeof(talk_manners[0]);

static const char *const step_names[] = {
	[HOP_READY] = "READY",	 [HOP_RCPT] = "RCPT",	      [HOP_ASKED] = "ASKED",
	[HOP_WANTED] = "WANTED", [HOP_RCPT_END] = "RCPT_END", [HOP_ANSWERED] = "ANSWERED",
	[HOP_FAILED] = "FAILED",
};

static const char *const failure_names[] = {
	[HOP_FINE] = "FINE",
	[HOP_GREETING_REFUSED] = "GREETING_REFUSED",
	[HOP_HELLO_REFUSED] = "HELLO_REFUSED",
	[HOP_IDENTITY_REFUSED] = "IDENTITY_REFUSED",
	[HOP_RESET_REFUSED] = "RESET_REFUSED",
	[HOP_SHUT_DOWN] = "SHUT_DOWN",
	[HOP_UNASKED] = "UNASKED",
	[HOP_NO_REPLY] = "NO_REPLY",
};

static void note(struct talk *t, enum hop_step step)
{
	const size_t len = strlen(t->found);
	char more[32] = "";

	if (step == HOP_RCPT)
		snprintf(more, sizeof(more), " %u", t->h.reply.code);
	else if (step == HOP_RCPT_END)
		snprintf(more, sizeof(more), "%s", t->h.outcome.is_refused ? " refused" : "");
	else if (step == HOP_FAILED)
		snprintf(more, sizeof(more), " %s", failure_names[t->h.failure]);
	assert_true(len + 64 < sizeof(t->found));
	snprintf(t->found + len, sizeof(t->found) - len, "%s%s%s", len ? ", " : "",
		 step_names[step], more);
}

/* Memory of its own, so that the sanitizer sees a step too far. */
static struct smtp_out out_of(size_t size)
{
	struct smtp_out out = {.bytes = malloc(size), .size = size};

	assert_non_null(out.bytes);
	return out;
}

/* Takes what was written, whole lines. */
static bool send_out(struct talk *t, struct smtp_out *out)
{
	const size_t len = out->len;

	assert_true(len <= out->size && len <= sizeof(t->sent) - t->sent_len);
	memcpy(t->sent + t->sent_len, out->bytes, len);
	t->sent_len += len;
	free(out->bytes);
	return len > 0;
}

/* One call, with so much room. False: nothing was written. */
static bool feed(struct talk *t, struct span *in, size_t room, enum hop_step *step)
{
	struct smtp_out out = out_of(room);

	*step = hop_feed(&t->h, in, &out);
	assert_true(*step != HOP_WAIT || !in->len);
	if (*step != HOP_WAIT)
		note(t, *step);
	return send_out(t, &out);
}

static void feed_part(struct talk *t, const void *octets, size_t len)
{
	uint8_t *own = malloc(len + !len);
	struct span in = {own, len};
	enum hop_step step;

	assert_non_null(own);
	if (len)
		memcpy(own, octets, len);
	do
		feed(t, &in, t->manner->little_room ? 1 : HOP_COMMAND_MAX * 4, &step);
	while (step != HOP_WAIT && step != HOP_FAILED);
	free(own);
}

/* Whatever is still to be said, into rooms that grow until something fits. */
static void say_all(struct talk *t)
{
	size_t room = 1;

	while (room <= HOP_COMMAND_MAX && t->h.state != HOP_STATE_FAILED) {
		struct span in = {0};
		enum hop_step step;

		room = feed(t, &in, room, &step) ? 1 : room * 2;
	}
}

void talk_server_octets(struct talk *t, const void *octets, size_t len)
{
	const size_t part = t->manner->octet_by_octet ? 1 : len;

	for (size_t at = 0; at < len && t->h.state != HOP_STATE_FAILED; at += part) {
		feed_part(t, (const uint8_t *)octets + at, part);
		say_all(t);
	}
}

void talk_server(struct talk *t, const char *text)
{
	talk_server_octets(t, text, strlen(text));
}

void talk_open(struct talk *t, const struct manner *manner, enum pool_protocol protocol,
	       enum pool_identity identity)
{
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7}, v4[4] = {192, 0, 2, 25};
	struct smtp_out out = out_of(HOP_HEADER_PROXY_MAX);

	memset(t, 0, sizeof(*t));
	t->manner = manner;
	t->client = (struct hop_client){
		.address = ip_addr_from_v6(v6),
		.local = ip_addr_from_v4(v4),
		.port = 40000,
		.local_port = 25,
		.hello = {(const uint8_t *)"client.example", 14},
		.extended = true,
	};
	t->mail.transaction = (struct smtp_transaction){
		.sender = {(const uint8_t *)"a@example.org", 13},
		.sender_local_len = 1,
	};
	hop_open(&t->h, protocol, identity, "gw.example.net", &t->client, &out);
	send_out(t, &out);
}

void talk_greet(struct talk *t, const char *const *offers)
{
	t->sent_len = 0;
	talk_server(t, "220 mx.example.net ESMTP\r\n");
	talk_server(t, *offers ? "250-mx.example.net\r\n" : "250 mx.example.net\r\n");
	for (; *offers; offers++) {
		talk_server(t, offers[1] ? "250-" : "250 ");
		talk_server(t, *offers);
		talk_server(t, "\r\n");
	}
	talk_expect(t, "READY");
	t->sent_len = 0;
}

struct smtp_recipient *talk_recipient(struct talk *t, const char *address, unsigned notify,
				      const char *orcpt)
{
	struct smtp_recipient *r = (struct smtp_recipient *)t->recipients[t->n_recipients++];
	const char *at = strrchr(address, '@');
	const size_t len = strlen(address), local_len = at ? (size_t)(at - address) : len;

	assert_true(t->n_recipients <= TALK_RECIPIENTS_MAX);
	r->local_len = (uint16_t)local_len;
	r->domain_len = (uint16_t)(at ? len - local_len - 1 : 0);
	r->notify = (uint8_t)notify;
	r->orcpt_len = (uint16_t)strlen(orcpt);
	memcpy(r->bytes, address, len);
	memcpy(r->bytes + len, orcpt, r->orcpt_len);
	return r;
}

void talk_no_recipients(struct talk *t)
{
	t->n_recipients = 0;
}

static const struct smtp_recipient *give_recipient(void *arg)
{
	struct talk *t = arg;

	assert_true(t->n_given <= t->n_recipients); /* none is asked for behind the last */
	if (t->n_given == t->n_recipients) {
		t->n_given++;
		return NULL;
	}
	return (const struct smtp_recipient *)t->recipients[t->n_given++];
}

void talk_begin(struct talk *t)
{
	struct smtp_out out = out_of(t->manner->little_room ? 1 : HOP_COMMAND_MAX * 4);
	struct hop_client client = t->client;

	t->n_given = 0;
	t->mail.next = give_recipient;
	t->mail.arg = t;
	assert_true(hop_begin(&t->h, &client, &t->mail, &out));
	send_out(t, &out);
	memset(&client, 0xee, sizeof(client)); /* it was kept */
	feed_part(t, NULL, 0);
	say_all(t);
}

void talk_expect_sent(struct talk *t, const char *text)
{
	assert_int_equal(t->sent_len < sizeof(t->sent), 1);
	t->sent[t->sent_len] = '\0';
	assert_string_equal((const char *)t->sent, text);
	t->sent_len = 0;
}

void talk_expect(struct talk *t, const char *found)
{
	assert_string_equal(t->found, found);
	t->found[0] = '\0';
}

void talk_expect_reply(const struct talk *t, unsigned code, const char *text)
{
	assert_int_equal(t->h.reply.code, code);
	assert_int_equal(t->h.reply.len, strlen(text));
	assert_memory_equal(t->h.reply.text, text, strlen(text));
}

static void say_own(struct talk *t, void (*say)(struct hop *h, struct smtp_out *out))
{
	struct smtp_out out = out_of(OWN_ROOM);

	say(&t->h, &out);
	send_out(t, &out);
}

void talk_data(struct talk *t)
{
	say_own(t, hop_data);
}

void talk_reset(struct talk *t)
{
	say_own(t, hop_reset);
}

void talk_end(struct talk *t)
{
	say_own(t, hop_end);
}

void talk_quit(struct talk *t)
{
	say_own(t, hop_quit);
}
