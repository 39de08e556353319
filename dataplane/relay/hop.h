/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hop: one connection to a next hop, as an engine. Octets of the server's go in, commands come
 * out; where the owner has a say it stops.
 *
 *     hop_open                     the connection stands
 *     hop_feed ... HOP_READY       greeted; a transaction may begin
 *     hop_begin                    RSET where it was used before, XCLIENT, MAIL and RCPT
 *     hop_feed ... HOP_RCPT        an answer to a recipient
 *     hop_feed ... HOP_ASKED       all have theirs: hop_data, or hop_reset
 *     hop_feed ... HOP_WANTED      354: the owner sends the message itself, dot-stuffed, each
 *                                  line with its CRLF; then hop_end. Who has no end for it closes
 *                                  the connection without one.
 *     hop_feed ... HOP_RCPT_END    LMTP: an answer to the message, for the next recipient
 *     hop_feed ... HOP_ANSWERED    what became of it; the next hop_begin may come
 *
 * Thread: the owning worker. Time: none; the owner keeps it, and RELAY's limits say how long.
 * Memory: the struct. Octets go out through a buffer of the owner's; with little room commands come
 * piece by piece, whole ones each.
 * Rules: RFC 5321, 2920 (MAIL and RCPT in one flight where PIPELINING is offered, else one by one),
 * 1870, 6152, 6531, 3461 (parameters only where they are offered), 2033 (LMTP: LHLO, and an answer
 * for each recipient behind the message), Postfix's XCLIENT_README (attributes only where they are
 * offered, xtext), the PROXY protocol's version 2 (haproxy's proxy-protocol.txt, 2.2). A command is
 * said only when all octets that came are read, so that no reply is taken for the answer to what
 * was not yet said; octets where no answer is due are never one.
 */
#ifndef POSTERN_RELAY_HOP_H
#define POSTERN_RELAY_HOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "postern/address.h"
#include "postern/pools.h"
#include "relay/limits.h"
#include "smtp/smtp.h"

/* The client whose mail it is. */
struct hop_client {
	struct ip_addr address, local; /* local: where it reached us */
	uint16_t port, local_port;     /* host order */
	struct span hello;	       /* may be empty */
	bool extended;		       /* it said EHLO */
};

/* What EHLO told, in the HOP_TEXT_MAX octets that are kept of it. */
enum hop_offer {
	HOP_OFFERS_PIPELINING = 1 << 0,
	HOP_OFFERS_SIZE = 1 << 1,
	HOP_OFFERS_8BITMIME = 1 << 2,
	HOP_OFFERS_SMTPUTF8 = 1 << 3,
	HOP_OFFERS_DSN = 1 << 4,
	HOP_OFFERS_CHUNKING = 1 << 5,
	/* attributes of XCLIENT */
	HOP_OFFERS_XCLIENT_NAME = 1 << 8,
	HOP_OFFERS_XCLIENT_ADDR = 1 << 9,
	HOP_OFFERS_XCLIENT_PORT = 1 << 10,
	HOP_OFFERS_XCLIENT_PROTO = 1 << 11,
	HOP_OFFERS_XCLIENT_HELO = 1 << 12,
	HOP_OFFERS_XCLIENT_DESTADDR = 1 << 13,
	HOP_OFFERS_XCLIENT_DESTPORT = 1 << 14,
};

/* The last whole reply. Text: its lines without their codes, LF between; an enhanced status code
 * stands at the front of each as it came. */
struct hop_reply {
	uint16_t code; /* 200..599; 0: none, or the last one did not come whole */
	uint16_t len;
	uint8_t text[HOP_TEXT_MAX];
};

enum hop_step {
	HOP_WAIT,  /* for octets; commands that found no room come with the next call */
	HOP_READY, /* hop_begin may come; told once, and again after hop_reset's answer */
	HOP_RCPT,  /* reply is the answer to the next recipient, rcpts_answered counts it */
	HOP_ASKED, /* MAIL and every RCPT are answered: hop_data or hop_reset must come */
	HOP_WANTED,
	HOP_RCPT_END, /* LMTP: hop_outcome so far, with one more of those taken at RCPT */
	HOP_ANSWERED, /* hop_outcome; the connection is idle */
	HOP_FAILED,   /* close the connection; failure says why. Nothing else comes any more */
};

enum hop_failure {
	HOP_FINE,	      /* QUIT was answered */
	HOP_GREETING_REFUSED, /* hop_reply: not 220 */
	HOP_HELLO_REFUSED,    /* or the one behind XCLIENT offers SMTPUTF8 no more */
	HOP_IDENTITY_REFUSED, /* XCLIENT; or it is not offered, with ADDR, where it is wanted */
	HOP_RESET_REFUSED,
	HOP_SHUT_DOWN, /* 421 where a reply was due, or where none was */
	HOP_UNASKED,   /* before the end of the message 4xx or 5xx (hop_reply then is what it said
			  of it); anywhere else any octet where no reply was due */
	HOP_NO_REPLY,  /* what came is none (RFC 5321 4.2): no code, another one in a later line, a
			  line or a reply without end, a code out of place such as 354 to MAIL
			  or 250 before the end of the message */
};

/* A transaction that was answered for. */
struct hop_outcome {
	/* The reply that speaks for all: the first that is no 2xx, else the last. */
	uint32_t taken, refused; /* recipients the message was delivered for, LMTP's; SMTP: all or
				    none of those taken at RCPT */
	uint32_t later;		 /* of the refused: by 4xx */
	bool is_refused;	 /* the last that was answered for */
};

/* A transaction to be asked for. */
struct hop_mail {
	struct smtp_transaction transaction;
	uint64_t added; /* octets the owner puts before the message */
	/* The recipients in order; NULL: no more. Each is valid until the next call. */
	const struct smtp_recipient *(*next)(void *arg);
	void *arg;
};

/* Whose reply is due, or what the owner is waited for to do. */
enum hop_state {
	HOP_STATE_GREETING,
	HOP_STATE_HELLO,
	HOP_STATE_IDLE,
	HOP_STATE_RESETTING, /* RSET of hop_reset */
	HOP_STATE_RENEWING,  /* RSET of hop_begin */
	HOP_STATE_IDENTITY,  /* XCLIENT */
	HOP_STATE_HELLO_AGAIN,
	HOP_STATE_MAIL,
	HOP_STATE_RCPT,
	HOP_STATE_ASKED,
	HOP_STATE_DATA,
	HOP_STATE_MESSAGE,
	HOP_STATE_ENDED, /* the dot is said */
	HOP_STATE_QUITTING,
	HOP_STATE_FAILED,
};

/* The reply being read: hop_reply.c. */
struct hop_reading {
	uint32_t lines, line_len; /* whole lines; octets of the one being read */
	uint16_t code, line_code;
	bool is_last, after_cr, is_bare; /* of the line; bare: its code is all there is */
	bool is_unasked, is_dropped, is_cut;
};

/* Commands under way: hop.c. */
struct hop_asking {
	uint32_t in_flight; /* replies that are due */
	uint8_t saying;	    /* whose command comes next; HOP_STATE_IDLE: none */
	bool mail_refused, says_helo;
	bool spoke_on;				/* octets were left where no reply was due */
	const struct smtp_recipient *recipient; /* found no room yet */
};

struct hop {
	uint8_t state, protocol, identity, failure;
	uint16_t offers;   /* enum hop_offer */
	bool is_used;	   /* a transaction was begun on it */
	uint64_t size_max; /* of SIZE; 0: it names none */
	const char *host;  /* our name */
	struct hop_client client;
	struct hop_mail mail;
	uint32_t rcpts_said, rcpts_answered, rcpts_taken;
	struct hop_outcome outcome;
	struct hop_reply reply;
	struct hop_reading reading;
	struct hop_asking asking;
	uint8_t hello[SMTP_HELO_MAX]; /* client.hello, kept */
};

/* host stays. With PROXY v2 the client's header comes first, and the connection is for it alone: an
 * address of zeros for nobody, who only tries the server. client may be NULL otherwise. out has
 * room for HOP_HEADER_PROXY_MAX. */
void hop_open(struct hop *h, enum pool_protocol protocol, enum pool_identity identity,
	      const char *host, const struct hop_client *client, struct smtp_out *out);

/* Reads from the front of *in, which goes on behind what was read. Call until HOP_WAIT: *in is then
 * empty. For every command to be said sooner or later out has room for HOP_COMMAND_MAX octets. */
enum hop_step hop_feed(struct hop *h, struct span *in, struct smtp_out *out);

/* Idle only. False: it needs what the server does not offer (SMTPUTF8). What mail points to stays
 * until HOP_ASKED or HOP_FAILED; client may be NULL where XCLIENT is not spoken. After it hop_feed
 * is called, if only with an empty span, to write. */
bool hop_begin(struct hop *h, const struct hop_client *client, const struct hop_mail *mail,
	       struct smtp_out *out);
/* At HOP_ASKED, with a recipient taken. The next two need room for 6 octets. */
void hop_data(struct hop *h, struct smtp_out *out);
/* At HOP_ASKED or while idle: RSET; HOP_READY follows. */
void hop_reset(struct hop *h, struct smtp_out *out);
/* At HOP_WANTED, behind the message. */
void hop_end(struct hop *h, struct smtp_out *out);
/* More octets are here than were fed: none of them is an answer to what is said next. */
static inline void hop_has_more(struct hop *h)
{
	h->asking.spoke_on |= !h->asking.in_flight;
}

/* While idle. The owner may close, or wait for HOP_FAILED. */
void hop_quit(struct hop *h, struct smtp_out *out);

static inline bool hop_is_idle(const struct hop *h)
{
	return h->state == HOP_STATE_IDLE;
}

/* MAIL was refused; at HOP_ASKED hop_reply is what it was told. */
static inline bool hop_mail_refused(const struct hop *h)
{
	return h->asking.mail_refused;
}

#endif
