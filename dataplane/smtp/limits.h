/* SPDX-License-Identifier: BSD-3-Clause */
/* Every quantity of SMTP's that a peer controls, and its bound. */
#ifndef POSTERN_SMTP_LIMITS_H
#define POSTERN_SMTP_LIMITS_H

enum {
	/* Command lines, CRLF counted. */
	SMTP_LINE_MAX = 512,		/* RFC 5321 4.5.3.1.4 */
	SMTP_LINE_EXTENDED_MAX = 2048,	/* with what extensions add: RFC 1870, 3461, 6531 */
	SMTP_SWALLOWED_MAX = 64 * 1024, /* of a line that is too long; then the conversation ends */
	SMTP_LONG_LINES_MAX = 3,	/* a conversation; the last one ends it */
	SMTP_ERRORS_MAX = 100,		/* commands that were none, or out of place; as above */
	SMTP_HELO_MAX = 255,		/* RFC 5321 4.5.3.1.2 */

	/* Addresses, in the canonical form. */
	SMTP_LOCAL_MAX = 64,	     /* RFC 5321 4.5.3.1.1, of a recipient */
	SMTP_SENDER_LOCAL_MAX = 256, /* senders bear tags: BATV, VERP, SRS */
	SMTP_DOMAIN_MAX = 255,	     /* RFC 5321 4.5.3.1.2 */
	SMTP_LABEL_MAX = 63,	     /* RFC 1035 2.3.4 */
	SMTP_ADDRESS_MAX = SMTP_SENDER_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX,
	SMTP_ENVID_MAX = 100,  /* RFC 3461 4.4 */
	SMTP_ORCPT_MAX = 500,  /* RFC 3461 4.2 */
	SMTP_SIZE_DIGITS = 20, /* RFC 1870 3 */

	/* Transactions. */
	SMTP_RECIPIENTS_LEAST = 100, /* RFC 5321 4.5.3.1.8: no limit may be set lower */
	SMTP_RECIPIENTS_MOST = 60000,
	SMTP_ASKED_MAX = 32, /* recipients in one question */

	/* Messages. */
	SMTP_TEXT_LINE_MAX = 64 * 1024, /* RFC 5321 4.5.3.1.6: at least 1000 */
	SMTP_RECEIVED_MAX = 100,	/* RFC 5321 6.3 */
	SMTP_BODY_SPANS = 16,		/* of a message, in one step */
	SMTP_BODY_COPIES = 4096,	/* octets of it that are copied together */

	/* Replies. */
	SMTP_REPLY_LINE_MAX = 512, /* RFC 5321 4.5.3.1.5, CRLF counted */
	SMTP_REPLY_LINES_MAX = 4,  /* of a next hop's reply; the rest is left out */
	SMTP_REPLY_MAX = SMTP_REPLY_LINES_MAX * SMTP_REPLY_LINE_MAX,
	SMTP_OUT_LEAST = SMTP_REPLY_MAX + SMTP_REPLY_LINE_MAX, /* of the owner's buffer */

	/* Time. */
	SMTP_IDLE_MS = 5 * 60 * 1000,	       /* RFC 5321 4.5.3.2.7 */
	SMTP_IDLE_STRESS_MS = 10 * 1000,       /* under stress */
	SMTP_OPEN_STRESS_MS = 60 * 1000,       /* under stress, from MAIL to DATA */
	SMTP_CONVERSATION_MS = 60 * 60 * 1000, /* from greeting to end */
	SMTP_RATE_WINDOW_MS = 60 * 1000,       /* over which the rate of a message is averaged */
	SMTP_RATE_MIN = 1024,		       /* octets a second */
	SMTP_SWEEP_MS = 1000,		       /* by so much a time-out may come late */
};

#endif
