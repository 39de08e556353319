/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conversation with a next hop. The table at the end is the machine: what is said in a state,
 * and what its reply does.
 *
 * Two states move: `state`, whose reply is due, and `asking.saying`, whose command comes next. One
 * runs ahead of the other by the commands in flight.
 *
 * Thread, Time, Memory, Rules: hop.h.
 */
#include <assert.h>
#include <string.h>

#include "relay/hop_private.h"

enum {
	CODE_GREETING = 220,
	CODE_HELLO = 250,
	CODE_SEND = 354,
	CODE_SHUTS_DOWN = 421,
	CODE_NO_COMMAND = 500,
	CODE_NOT_IMPLEMENTED = 502,

	TAKEN = 2, /* first digits: RFC 5321 4.2.1 */
	GO_ON = 3,
	LATER = 4,
};

struct row {
	/* False: it found no room, or there is nothing to say. */
	bool (*say)(struct hop *h, struct smtp_out *out);
	enum hop_step (*hear)(struct hop *h);
};

static const struct row rows[HOP_STATE_FAILED + 1];

static unsigned class_of(const struct hop *h)
{
	return h->reading.code / 100u;
}

static enum hop_step fail(struct hop *h, enum hop_failure failure)
{
	h->state = HOP_STATE_FAILED;
	h->failure = (uint8_t)failure;
	h->asking.saying = HOP_STATE_IDLE;
	return HOP_FAILED;
}

/* Whose command comes next, with nothing in flight. */
static void turn_to(struct hop *h, enum hop_state state)
{
	h->state = h->asking.saying = (uint8_t)state;
}

/* --- greeting --------------------------------------------------------------------------------- */

static bool can_tell_identity(const struct hop *h)
{
	return h->identity != POOL_XCLIENT || h->offers & HOP_OFFERS_XCLIENT_ADDR;
}

/* No reply speaks of it. */
static enum hop_step fail_without_identity(struct hop *h)
{
	hop_forget_reply(h);
	return fail(h, HOP_IDENTITY_REFUSED);
}

static bool lacks_smtputf8(const struct hop *h, const struct hop_mail *mail)
{
	return mail->transaction.smtputf8 && !(h->offers & HOP_OFFERS_SMTPUTF8);
}

static enum hop_step hear_greeting(struct hop *h)
{
	if (h->reading.code != CODE_GREETING)
		return fail(h, HOP_GREETING_REFUSED);
	turn_to(h, HOP_STATE_HELLO);
	return HOP_WAIT;
}

static bool say_hello(struct hop *h, struct smtp_out *out)
{
	if (!hop_write_hello(h, out))
		return false;
	h->asking.saying = HOP_STATE_IDLE;
	return true;
}

static enum hop_step refuse_hello(struct hop *h)
{
	const bool refused = class_of(h) > GO_ON;

	return fail(h, refused ? HOP_HELLO_REFUSED : HOP_NO_REPLY);
}

/* RFC 5321 3.2: a server may know HELO only. */
static bool falls_back(const struct hop *h)
{
	return h->protocol == POOL_SMTP && !h->asking.says_helo &&
	       (h->reading.code == CODE_NO_COMMAND || h->reading.code == CODE_NOT_IMPLEMENTED);
}

static enum hop_step hear_hello(struct hop *h)
{
	if (falls_back(h)) {
		h->asking.says_helo = true;
		turn_to(h, HOP_STATE_HELLO);
		return HOP_WAIT;
	}
	if (h->reading.code != CODE_HELLO)
		return refuse_hello(h);
	if (!h->asking.says_helo)
		hop_learn_offers(h);
	if (!can_tell_identity(h))
		return fail_without_identity(h);
	h->state = HOP_STATE_IDLE;
	return HOP_READY;
}

/* --- asking ----------------------------------------------------------------------------------- */

static enum hop_state state_behind_reset(const struct hop *h)
{
	return h->identity == POOL_XCLIENT ? HOP_STATE_IDENTITY : HOP_STATE_MAIL;
}

static bool say_reset(struct hop *h, struct smtp_out *out)
{
	if (!hop_write_word(out, "RSET"))
		return false;
	h->asking.saying = (uint8_t)state_behind_reset(h);
	return true;
}

static enum hop_step hear_renewed(struct hop *h)
{
	if (class_of(h) != TAKEN)
		return fail(h, HOP_RESET_REFUSED);
	h->state = (uint8_t)state_behind_reset(h);
	return HOP_WAIT;
}

static bool say_identity(struct hop *h, struct smtp_out *out)
{
	if (!hop_write_xclient(h, out))
		return false;
	h->asking.saying = HOP_STATE_IDLE;
	return true;
}

/* XCLIENT_README: the server greets anew. */
static enum hop_step hear_identity(struct hop *h)
{
	if (h->reading.code != CODE_GREETING)
		return fail(h, HOP_IDENTITY_REFUSED);
	turn_to(h, HOP_STATE_HELLO_AGAIN);
	return HOP_WAIT;
}

static enum hop_step hear_hello_again(struct hop *h)
{
	if (h->reading.code != CODE_HELLO)
		return refuse_hello(h);
	hop_learn_offers(h);
	if (lacks_smtputf8(h, &h->mail))
		return fail(h, HOP_HELLO_REFUSED);
	turn_to(h, HOP_STATE_MAIL);
	return HOP_WAIT;
}

static bool say_mail(struct hop *h, struct smtp_out *out)
{
	if (!hop_write_mail(h, out))
		return false;
	h->asking.saying = HOP_STATE_RCPT;
	return true;
}

static enum hop_step hear_mail(struct hop *h)
{
	if (class_of(h) == GO_ON)
		return fail(h, HOP_NO_REPLY);
	h->state = HOP_STATE_RCPT;
	h->asking.mail_refused = class_of(h) != TAKEN;
	if (h->asking.mail_refused)
		h->asking.saying = HOP_STATE_IDLE;
	return HOP_WAIT;
}

static bool say_rcpt(struct hop *h, struct smtp_out *out)
{
	struct hop_asking *a = &h->asking;

	if (!a->recipient)
		a->recipient = h->mail.next(h->mail.arg);
	if (!a->recipient)
		a->saying = HOP_STATE_IDLE;
	if (!a->recipient || !hop_write_rcpt(h, a->recipient, out))
		return false;
	a->recipient = NULL;
	h->rcpts_said++;
	return true;
}

static enum hop_step hear_rcpt(struct hop *h)
{
	if (class_of(h) == GO_ON)
		return fail(h, HOP_NO_REPLY);
	if (h->asking.mail_refused)
		return HOP_WAIT;
	h->rcpts_answered++;
	h->rcpts_taken += class_of(h) == TAKEN;
	return HOP_RCPT;
}

/* --- the message ------------------------------------------------------------------------------ */

static enum hop_step answer(struct hop *h)
{
	h->state = HOP_STATE_IDLE;
	return HOP_ANSWERED;
}

static enum hop_step hear_data(struct hop *h)
{
	if (h->reading.code == CODE_SEND) {
		h->state = HOP_STATE_MESSAGE;
		return HOP_WANTED;
	}
	if (class_of(h) <= GO_ON)
		return fail(h, HOP_NO_REPLY);
	h->outcome.refused = h->rcpts_taken;
	return answer(h);
}

static enum hop_step hear_end(struct hop *h)
{
	const uint32_t spoken_for = h->protocol == POOL_LMTP ? 1 : h->rcpts_taken;

	if (class_of(h) == GO_ON)
		return fail(h, HOP_NO_REPLY);
	if (class_of(h) == TAKEN)
		h->outcome.taken += spoken_for;
	else
		h->outcome.refused += spoken_for;
	if (class_of(h) == LATER)
		h->outcome.later += spoken_for;
	h->outcome.is_refused = class_of(h) != TAKEN;
	return h->protocol == POOL_LMTP ? HOP_RCPT_END : answer(h);
}

static enum hop_step hear_reset(struct hop *h)
{
	if (class_of(h) != TAKEN)
		return fail(h, HOP_RESET_REFUSED);
	h->state = HOP_STATE_IDLE;
	return HOP_READY;
}

static enum hop_step hear_quit(struct hop *h)
{
	return fail(h, HOP_FINE);
}

/* --- the table -------------------------------------------------------------------------------- */

/* States without a row's words wait for the owner. */
static const struct row rows[HOP_STATE_FAILED + 1] = {
	[HOP_STATE_GREETING] = {NULL, hear_greeting},
	[HOP_STATE_HELLO] = {say_hello, hear_hello},
	[HOP_STATE_RESETTING] = {NULL, hear_reset},
	[HOP_STATE_RENEWING] = {say_reset, hear_renewed},
	[HOP_STATE_IDENTITY] = {say_identity, hear_identity},
	[HOP_STATE_HELLO_AGAIN] = {say_hello, hear_hello_again},
	[HOP_STATE_MAIL] = {say_mail, hear_mail},
	[HOP_STATE_RCPT] = {say_rcpt, hear_rcpt},
	[HOP_STATE_DATA] = {NULL, hear_data},
	[HOP_STATE_ENDED] = {NULL, hear_end},
	[HOP_STATE_QUITTING] = {NULL, hear_quit},
};

/* --- a turn ----------------------------------------------------------------------------------- */

static void speak(struct hop *h, struct smtp_out *out)
{
	const uint32_t most = h->offers & HOP_OFFERS_PIPELINING ? HOP_IN_FLIGHT_MAX : 1;

	while (h->asking.saying != HOP_STATE_IDLE && h->asking.in_flight < most &&
	       rows[h->asking.saying].say(h, out))
		h->asking.in_flight++;
}

/* The first answer that refuses speaks for all. */
static bool keeps_reply(const struct hop *h)
{
	return (h->state == HOP_STATE_RCPT && h->asking.mail_refused) ||
	       (h->state == HOP_STATE_ENDED && h->outcome.refused);
}

/* What is said while the message goes out is about it, though the dot may be said before the end
 * of that reply. Its end is waited for; anywhere else there is nothing to wait for. */
static bool is_in_message(const struct hop *h)
{
	return h->state == HOP_STATE_MESSAGE || h->state == HOP_STATE_ENDED;
}

static enum hop_step hear_unasked(struct hop *h, enum hop_heard heard)
{
	if (!is_in_message(h)) {
		if (heard == HOP_HEARD_PART)
			hop_give_up_reply(h);
		return fail(h, HOP_UNASKED);
	}
	if (heard == HOP_HEARD_PART)
		return HOP_WAIT;
	if (heard == HOP_HEARD_NO_REPLY || class_of(h) <= GO_ON)
		return fail(h, HOP_NO_REPLY);
	return fail(h, HOP_UNASKED);
}

/* Reads a reply, or as far as it came. */
static enum hop_step hear(struct hop *h, struct span *in)
{
	enum hop_heard heard;

	if (!hop_is_reading(h))
		hop_reading_begin(h, !h->asking.in_flight || h->asking.spoke_on, keeps_reply(h));
	heard = hop_read(h, in);
	if (heard == HOP_HEARD_REPLY && h->reading.code == CODE_SHUTS_DOWN)
		return fail(h, HOP_SHUT_DOWN);
	if (h->reading.is_unasked)
		return hear_unasked(h, heard);
	if (heard == HOP_HEARD_PART)
		return HOP_WAIT;
	if (heard == HOP_HEARD_NO_REPLY)
		return fail(h, HOP_NO_REPLY);
	h->asking.in_flight--;
	return rows[h->state].hear(h);
}

enum hop_step hop_feed(struct hop *h, struct span *in, struct smtp_out *out)
{
	enum hop_step step = h->state == HOP_STATE_FAILED ? HOP_FAILED : HOP_WAIT;

	/* LMTP has answered for the last: what follows is no part of that. */
	if (h->state == HOP_STATE_ENDED && !h->asking.in_flight)
		step = answer(h);
	while (step == HOP_WAIT && in->len)
		step = hear(h, in);
	if (step == HOP_WAIT)
		speak(h, out);
	if (step == HOP_WAIT && h->state == HOP_STATE_RCPT && !h->asking.in_flight &&
	    h->asking.saying == HOP_STATE_IDLE) {
		h->state = HOP_STATE_ASKED;
		step = HOP_ASKED;
	}
	h->asking.spoke_on = in->len && !h->asking.in_flight;
	return step;
}

/* --- the owner's words ------------------------------------------------------------------------ */

static void keep_client(struct hop *h, const struct hop_client *client)
{
	assert(client->hello.len <= sizeof(h->hello));
	h->client = *client;
	h->client.hello.bytes = h->hello;
	if (client->hello.len)
		memcpy(h->hello, client->hello.bytes, client->hello.len);
}

void hop_open(struct hop *h, enum pool_protocol protocol, enum pool_identity identity,
	      const char *host, const struct hop_client *client, struct smtp_out *out)
{
	assert(client || identity != POOL_PROXY_V2);
	*h = (struct hop){
		.state = HOP_STATE_GREETING,
		.protocol = (uint8_t)protocol,
		.identity = (uint8_t)identity,
		.host = host,
		.asking = {.in_flight = 1, .saying = HOP_STATE_IDLE},
	};
	if (identity == POOL_PROXY_V2)
		proxy_write(client, out);
}

bool hop_begin(struct hop *h, const struct hop_client *client, const struct hop_mail *mail,
	       struct smtp_out *out)
{
	assert(hop_is_idle(h) && (client || h->identity != POOL_XCLIENT));
	if (lacks_smtputf8(h, mail))
		return false;
	if (client)
		keep_client(h, client);
	h->mail = *mail;
	h->rcpts_said = h->rcpts_answered = h->rcpts_taken = 0;
	h->outcome = (struct hop_outcome){0};
	h->asking.mail_refused = false;
	h->asking.recipient = NULL;
	if (!can_tell_identity(h)) {
		fail_without_identity(h);
		return true;
	}
	turn_to(h, h->is_used ? HOP_STATE_RENEWING : state_behind_reset(h));
	h->is_used = true;
	if (!h->asking.spoke_on)
		speak(h, out);
	return true;
}

/* A command of the owner's, which has the room. */
static void command(struct hop *h, const char *word, enum hop_state state, uint32_t replies,
		    struct smtp_out *out)
{
	const bool is_said = hop_write_word(out, word);

	assert(is_said);
	(void)is_said;
	h->state = (uint8_t)state;
	h->asking.in_flight = replies;
}

void hop_data(struct hop *h, struct smtp_out *out)
{
	assert(h->state == HOP_STATE_ASKED && h->rcpts_taken);
	command(h, "DATA", HOP_STATE_DATA, 1, out);
}

void hop_reset(struct hop *h, struct smtp_out *out)
{
	assert(h->state == HOP_STATE_ASKED || hop_is_idle(h));
	command(h, "RSET", HOP_STATE_RESETTING, 1, out);
}

void hop_end(struct hop *h, struct smtp_out *out)
{
	assert(h->state == HOP_STATE_MESSAGE);
	command(h, ".", HOP_STATE_ENDED, h->protocol == POOL_LMTP ? h->rcpts_taken : 1, out);
}

void hop_quit(struct hop *h, struct smtp_out *out)
{
	assert(hop_is_idle(h));
	command(h, "QUIT", HOP_STATE_QUITTING, 1, out);
}
