/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * smtp: one worker's SMTP receiver. Spans of a client's octets and a time go in; replies, and
 * questions, come out.
 *
 * The engine knows no connection, no TLS, no directory, no policy and no next hop: where one of
 * them has a say it stops with a question, and goes on when the owner has answered. An owner's turn
 * for one conversation is
 *
 *     while ((step = smtp_feed(m, s, &in, more, now_us, &out)) != SMTP_WAIT)
 *             what the step says
 *     send out
 *
 * Thread: the owning worker. Time: given to smtp_open, smtp_feed and smtp_next_overdue, monotonic
 * microseconds; calls between them happen at the last time given.
 * Memory: slabs of fixed capacity made by smtp_new. A conversation at rest is one session of 64
 * octets; a name of over 24 octets and a line whose end has not come take pieces, a transaction an
 * envelope, many recipients pages. No session left: 421 4.3.2; no envelope or page: 452 4.3.1; no
 * piece: 421 4.3.2. Replies go to the owner's buffer of SMTP_OUT_LEAST octets or more; SMTP_FULL
 * asks for room in it. The more there is, the more recipients are asked about at once.
 * Rules: RFC 5321, 2920 (pipelining), 2034 and 3463 (enhanced codes), 1870 (SIZE), 6152 (8BITMIME),
 * 6531 (SMTPUTF8), 3461 (DSN), 9422 (LIMITS), 3207 (STARTTLS). What is said when is the table of
 * postern/replies.h.
 */
#ifndef POSTERN_SMTP_H
#define POSTERN_SMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "base/span.h"
#include "postern/counters.h"
#include "postern/replies.h"
#include "smtp/limits.h"

struct smtp;
struct smtp_session;

/* What EHLO offers beside PIPELINING, ENHANCEDSTATUSCODES and LIMITS. */
enum smtp_offer {
	SMTP_OFFERS_STARTTLS = 1 << 0,
	SMTP_OFFERS_SIZE = 1 << 1,
	SMTP_OFFERS_8BITMIME = 1 << 2,
	SMTP_OFFERS_SMTPUTF8 = 1 << 3, /* with 8BITMIME only (RFC 6531 3.1) */
	SMTP_OFFERS_DSN = 1 << 4,
	SMTP_OFFERS_ONE_DOMAIN = 1 << 5, /* RCPTDOMAINMAX=1 (RFC 9422 4.3) */
};

/* What may change while conversations are under way. A conversation keeps what EHLO told it, so
 * that no parameter it was offered is refused. */
struct smtp_settings {
	const char *host; /* our name, 1 to 255 octets; copied */
	unsigned offers;
	uint64_t size_max;	 /* octets of a message */
	uint16_t recipients_max; /* of a transaction, from SMTP_RECIPIENTS_LEAST */
	bool normalize_bare_lf;	 /* in messages; else it is a fault */
};

struct smtp_config {
	struct smtp_settings settings;
	uint32_t sessions, envelopes, pages, pieces; /* capacities, 1.. */
	struct siphash_key id_key;		     /* a process's own */
	uint64_t first_id; /* of the worker: ids count from here and must not meet another's */
	struct postern_counters *counters;
};

/* NULL: no memory or an impossible configuration. */
struct smtp *smtp_new(const struct smtp_config *config, uint64_t now_us);
void smtp_free(struct smtp *m);
/* False: impossible; nothing changed. */
bool smtp_configure(struct smtp *m, const struct smtp_settings *settings);

/* Where replies go. */
struct smtp_out {
	uint8_t *bytes;
	size_t len, size;
};

/* --- a conversation --------------------------------------------------------------------------- */

enum smtp_open_flag {
	SMTP_SPOKE_EARLY = 1 << 0, /* octets came before the greeting: 554 is it */
	SMTP_NEEDS_TLS = 1 << 1,   /* no mail without TLS */
};

/* Greets. NULL: out holds the refusal, to be sent before closing. */
struct smtp_session *smtp_open(struct smtp *m, unsigned flags, void *user, uint64_t now_us,
			       struct smtp_out *out);
/* A refusal in place of the greeting, and no conversation; reply is a row that closes. */
void smtp_turn_away(struct smtp *m, enum reply reply, struct smtp_out *out);
/* The client went away, or what SMTP_CLOSE asks is done. The pointer is dead. */
void smtp_close(struct smtp *m, struct smtp_session *s);

/* What the engine wants next. A question stands until it is answered: to feed is to be asked again,
 * and nothing is read. */
enum smtp_step {
	SMTP_WAIT,	     /* more octets */
	SMTP_FULL,	     /* room in out */
	SMTP_ASK_RECIPIENTS, /* those of smtp_asked: smtp_answer_recipients */
	SMTP_ASK_DATA,	     /* may the message come? smtp_answer_data */
	SMTP_BODY,	     /* smtp_body is more of the message, to be used before it goes on */
	SMTP_SPOILED,	   /* the message is refused, whatever follows: no more of it is given. The
			      engine reads on to its end and says why. The transaction is settled. */
	SMTP_ASK_DELIVERY, /* the message is complete; what became of it? smtp_answer_delivery */
	SMTP_ABANDONED,	   /* RSET or a new greeting ended the transaction, which is gone when it
			      goes on */
	SMTP_ASK_TLS,	   /* may TLS begin? smtp_answer_tls */
	SMTP_NOTED,	   /* smtp_noted counts against the client */
	SMTP_CLOSE, /* send what was said, and close. A transaction still open is abandoned. */
};

/* Reads from the front of *in, which goes on behind what was read: all at SMTP_WAIT, but nothing
 * before a TLS that was answered for stands. more: further octets have arrived and are fed next. */
enum smtp_step smtp_feed(struct smtp *m, struct smtp_session *s, struct span *in, bool more,
			 uint64_t now_us, struct smtp_out *out);

enum smtp_finding {
	SMTP_FOUND_ABUSE, /* what is not SMTP, or speaks on where the reply decides */
	SMTP_FOUND_VRFY,
};

enum smtp_finding smtp_noted(const struct smtp *m);

/* Whether the last reply of the conversation was said: the next step is SMTP_CLOSE, whatever room
 * there is. */
bool smtp_is_closing(const struct smtp_session *s);
/* Whether what comes next is part of a message. */
bool smtp_is_in_message(const struct smtp_session *s);
/* The row that was last said to close a conversation. */
enum reply smtp_closed_by(const struct smtp *m);

/* The owner ends the conversation; reply is a row that closes. What is open is abandoned. out has
 * room for SMTP_REPLY_LINE_MAX octets. */
void smtp_refuse(struct smtp *m, struct smtp_session *s, enum reply reply, struct smtp_out *out);

/* --- answers ---------------------------------------------------------------------------------- */

/* A row of the table, or what a next hop said. */
struct smtp_answer {
	enum reply reply;
	uint32_t tag; /* the owner's, kept with a recipient that is taken */
	/* REPLY_OF_NEXT_HOP: its code, and the lines behind it, LF between two. Lines over
	 * SMTP_REPLY_LINES_MAX, and in an answer about a recipient all but the first, are left out;
	 * so is what is not printable. 421 becomes 451, because we do not close. */
	uint16_t code;
	struct span text;
};

struct smtp_recipient {
	uint32_t tag;
	uint16_t local_len, domain_len; /* domain_len 0: the bare postmaster */
	uint16_t orcpt_len;
	uint8_t notify;	 /* enum smtp_notify; 0: not said */
	uint8_t bytes[]; /* canonical address, as smtp_recipient_address tells; then ORCPT */
};

enum smtp_notify {
	SMTP_NOTIFY_NEVER = 1 << 0,
	SMTP_NOTIFY_SUCCESS = 1 << 1,
	SMTP_NOTIFY_FAILURE = 1 << 2,
	SMTP_NOTIFY_DELAY = 1 << 3,
};

static inline struct span smtp_recipient_local(const struct smtp_recipient *r)
{
	return (struct span){r->bytes, r->local_len};
}

static inline struct span smtp_recipient_domain(const struct smtp_recipient *r)
{
	return (struct span){r->bytes + r->local_len + 1, r->domain_len};
}

/* Local part, '@' and domain; "postmaster" alone where there is no domain. */
static inline struct span smtp_recipient_address(const struct smtp_recipient *r)
{
	return (struct span){r->bytes, r->local_len + (r->domain_len ? 1u + r->domain_len : 0)};
}

static inline struct span smtp_recipient_orcpt(const struct smtp_recipient *r)
{
	return (struct span){r->bytes + smtp_recipient_address(r).len, r->orcpt_len};
}

/* Writes the recipients that wait for an answer; returns how many, up to SMTP_ASKED_MAX. They are
 * valid until answered. */
size_t smtp_asked(const struct smtp *m, const struct smtp_session *s,
		  const struct smtp_recipient **asked);
/* One answer each, in their order; out has the room it had when they were asked. RECIPIENT_TAKEN
 * keeps one. SHUT_OUT says MAILBOX_UNKNOWN for its recipient, then SHUT_OUT for all. */
void smtp_answer_recipients(struct smtp *m, struct smtp_session *s,
			    const struct smtp_answer *answers, size_t n, struct smtp_out *out);
/* The next two, and smtp_answer_tls, need room for SMTP_REPLY_MAX octets in out. */
/* MESSAGE_WANTED lets the message come, a refusal ends the transaction. spoke_on: octets have
 * arrived since the question, which ends the conversation and is abuse. */
void smtp_answer_data(struct smtp *m, struct smtp_session *s, const struct smtp_answer *answer,
		      bool spoke_on, struct smtp_out *out);
/* Ends the transaction. Only a next hop can have taken the message. */
void smtp_answer_delivery(struct smtp *m, struct smtp_session *s, const struct smtp_answer *answer,
			  struct smtp_out *out);
/* With ready, the owner sends what was said and puts TLS between, and once it stands calls
 * smtp_tls_established; nothing is read until then. spoke_on: as above. */
void smtp_answer_tls(struct smtp *m, struct smtp_session *s, bool ready, bool spoke_on,
		     struct smtp_out *out);
void smtp_tls_established(struct smtp *m, struct smtp_session *s);

/* --- a transaction ---------------------------------------------------------------------------- */

enum smtp_return { SMTP_RETURN_UNSAID, SMTP_RETURN_FULL, SMTP_RETURN_HEADERS };

struct smtp_transaction {
	struct span sender;	   /* canonical; empty: the null sender */
	uint16_t sender_local_len; /* in it; '@' and the domain follow */
	uint32_t recipients;	   /* taken */
	uint64_t declared_size;	   /* 0: not said */
	uint64_t size;		   /* octets given so far by SMTP_BODY */
	bool eight_bit_mime, smtputf8;
	enum smtp_return ret;
	struct span envid;
};

/* False: none is open. The spans are valid while it is. */
bool smtp_transaction(const struct smtp *m, const struct smtp_session *s,
		      struct smtp_transaction *t);

/* What the owner keeps of a transaction; zero at MAIL. */
struct smtp_transaction_user {
	_Alignas(8) uint8_t octets[16];
};

/* NULL: none is open. */
struct smtp_transaction_user *smtp_transaction_user(const struct smtp *m,
						    const struct smtp_session *s);

/* Where a walk over the recipients taken stands; zeroes to begin. */
struct smtp_walk {
	const void *page;
	size_t at;
	uint32_t told;
};

/* The next of them, or NULL. */
const struct smtp_recipient *smtp_next_recipient(const struct smtp *m, const struct smtp_session *s,
						 struct smtp_walk *walk);

/* More of the message, valid at SMTP_BODY as long as the input. */
size_t smtp_body(const struct smtp *m, const struct span **spans);

/* --- time ------------------------------------------------------------------------------------- */

/* The next conversation that took too long, and the row to refuse it with; NULL: none. It comes
 * again until it is refused or closed. Called until NULL, which it is after a bounded number of
 * conversations was looked at: smtp_next_due tells when to go on. */
struct smtp_session *smtp_next_overdue(struct smtp *m, uint64_t now_us, enum reply *why);
/* When smtp_next_overdue has something to do; UINT64_MAX: never. A conversation is found up to
 * SMTP_SWEEP_MS after its time. */
uint64_t smtp_next_due(const struct smtp *m);
/* The client waits for us, not we for it, as it does while a question stands: time does not count.
 */
void smtp_hold(struct smtp *m, struct smtp_session *s, bool held);
/* Idle conversations are given up after 10 s in place of 5 min, and those that have had a
 * transaction open for a minute and no message in it. */
void smtp_stress(struct smtp *m, bool on);
/* Whether of sessions, envelopes or pieces so many in a hundred are in use, or more. */
bool smtp_is_full_to(const struct smtp *m, unsigned percent);

/* --- what is known ---------------------------------------------------------------------------- */

void *smtp_user(const struct smtp_session *s);
enum { SMTP_ID_LEN = 12 };
/* The id that ends the replies of the conversation. */
void smtp_id(const struct smtp_session *s, char id[SMTP_ID_LEN]);
/* The name the client greeted with; empty before. Printable ASCII without blanks, as it was said.
 * Valid until the next smtp_feed. */
struct span smtp_hello(const struct smtp *m, const struct smtp_session *s);
/* It said EHLO, not HELO (RFC 3848 tells them apart). */
bool smtp_is_extended(const struct smtp_session *s);
bool smtp_is_over_tls(const struct smtp_session *s);
/* Conversations open. */
uint32_t smtp_sessions(const struct smtp *m);
/* How often each row was said, by enum reply, and [REPLIES] a next hop's. Any thread may read, by
 * counter_read. */
const uint64_t *smtp_replies_said(const struct smtp *m);

#endif
