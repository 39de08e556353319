/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The reply table: every reply a client can get from Postern itself, and when.
 *
 * It is the only place of codes, enhanced status codes and texts. A row's name is stable: logs,
 * metrics and `posternctl explain` use it. Texts are sentences a person can act on; {address} is
 * the recipient's canonical form, {host} our name, {size} the largest message taken.
 *
 * Rules: RFC 5321 4.2 (codes, texts), RFC 2034 and 3463 (a reply of class 2, 4 or 5 bears an
 * enhanced code of its class, but the greeting and those to HELO and EHLO), RFC 7504 (521).
 */
#ifndef POSTERN_REPLIES_H
#define POSTERN_REPLIES_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, code, enhanced code, what becomes of the conversation, text, when it is said) */
#define POSTERN_REPLIES(X)                                                                         \
	/* Things go well. */                                                                      \
	X(GREETING, 220, "", STAYS, "{host} ESMTP", "a client connected")                          \
	X(HELO, 250, "", STAYS, "{host}", "HELO")                                                  \
	X(EHLO, 250, "", STAYS, "{host}", "EHLO; the lines that follow are what is offered")       \
	X(SENDER_TAKEN, 250, "2.1.0", STAYS, "sender ok", "MAIL began a transaction")              \
	X(RECIPIENT_TAKEN, 250, "2.1.5", STAYS, "recipient ok",                                    \
	  "the recipient exists, or is postmaster")                                                \
	X(MESSAGE_WANTED, 354, "", STAYS, "send the message, and a line of one dot to end it",     \
	  "DATA: the next hop waits for the message, or we hold it until the next hop is asked")   \
	X(RESET, 250, "2.0.0", STAYS, "ok, no message is under way", "RSET")                       \
	X(NOTHING_DONE, 250, "2.0.0", STAYS, "ok", "NOOP")                                         \
	X(HELP, 214, "2.0.0", STAYS,                                                               \
	  "commands: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY QUIT; see RFC 5321", "HELP")          \
	X(NOT_VERIFIED, 252, "2.0.0", STAYS,                                                       \
	  "addresses are not verified here; send the message to find out",                         \
	  "VRFY, whatever the address; it counts as a third of a guess")                           \
	X(TLS_WANTED, 220, "2.0.0", STAYS, "begin TLS", "STARTTLS")                                \
	X(GOODBYE, 221, "2.0.0", CLOSES, "{host} says goodbye", "QUIT")                            \
                                                                                                   \
	/* About a recipient. */                                                                   \
	X(MAILBOX_UNKNOWN, 550, "5.1.1", STAYS,                                                    \
	  "<{address}>: no such mailbox here; check the spelling",                                 \
	  "the directory does not hold the recipient; or the recipient is a trap")                 \
	X(RELAYING_DENIED, 550, "5.7.1", STAYS, "relaying denied; <{address}> is not served here", \
	  "the recipient's domain is not one of ours")                                             \
	X(MAILBOX_DISABLED, 550, "5.2.1", STAYS, "<{address}>: this mailbox is disabled",          \
	  "the recipient's class is disabled")                                                     \
	X(MAILBOX_MOVED, 550, "5.1.6", STAYS, "<{address}>: this mailbox has moved away",          \
	  "the recipient's class is moved")                                                        \
	X(MAILBOX_FULL, 452, "4.2.2", STAYS, "<{address}>: this mailbox is full; try later",       \
	  "the recipient's class is over quota")                                                   \
	X(DIRECTORY_UNSURE, 451, "4.4.3", STAYS,                                                   \
	  "recipients cannot be looked up at present; try later",                                  \
	  "the directory is not loaded, or cannot tell")                                           \
	X(POOL_DOWN, 451, "4.4.1", STAYS, "the mail server behind us does not answer; try later",  \
	  "no server of the recipient's pool can be reached")                                      \
	X(POOL_TRIPPED, 451, "4.3.5", STAYS,                                                       \
	  "the mail server behind us is not set up rightly; try later",                            \
	  "the recipient's pool refuses what it must not refuse, and an operator is called")       \
	X(POOL_BUSY, 451, "4.4.5", STAYS, "the mail servers behind us are too busy; try later",    \
	  "all connections that the recipient's pool may have were in use for too long")           \
	X(OTHER_SERVER, 452, "4.5.3", STAYS, "<{address}> is on another server, send separately",  \
	  "the recipient's pool is not that of those before it in the transaction")                \
	X(TOO_MANY_RECIPIENTS, 452, "4.5.3", STAYS,                                                \
	  "too many recipients; send the message to the others separately",                        \
	  "the transaction has as many recipients as are allowed (RFC 5321 4.5.3.1.10)")           \
	X(BOUNCE_SHARED, 452, "4.5.3", STAYS,                                                      \
	  "a bounce is taken for one recipient at a time; send it to the others separately",       \
	  "a second recipient of the null sender, in a domain whose bounces must be signed")       \
	X(BOUNCE_REFUSED, 550, "5.7.1", STAYS,                                                     \
	  "<{address}>: this bounce is about a message we never sent",                             \
	  "a bounce to an address without a valid tag, in a domain whose bounces must be signed")  \
	X(BOUNCES_HELD, 450, "4.7.1", STAYS, "too many bounces to unknown mailboxes; try later",   \
	  "the null sender guessed recipients; asked before the look-up, postmaster excepted")     \
	X(SENDER_HELD, 450, "4.7.1", STAYS, "too many unknown recipients of late; try later",      \
	  "a sender of an established client guessed recipients; asked before the look-up")        \
	X(SHUT_OUT_BEFORE, 421, "4.7.1", CLOSES, "too many unknown recipients; try later",         \
	  "the client was found guessing on another of its connections, or before")                \
	X(SHUT_OUT, 421, "4.7.1", CLOSES, "too many unknown recipients; try later",                \
	  "the client guesses recipients: the one that crossed the line got its answer, this "     \
	  "follows, and the kernel drops what comes next")                                         \
                                                                                                   \
	/* About a message. */                                                                     \
	X(NO_VALID_RECIPIENTS, 554, "5.5.1", STAYS, "no valid recipients",                         \
	  "DATA without an accepted recipient")                                                    \
	X(SOME_REFUSED, 451, "4.3.0", STAYS,                                                       \
	  "the mail server behind us refuses some of the recipients; send again to learn which",   \
	  "the next hop refused some recipients: the retry gets its own words at RCPT")            \
	X(NEXT_HOP_LOST, 451, "4.4.2", STAYS, "the mail server behind us was lost; send again",    \
	  "the next hop's connection broke before its reply, or the reply was none")               \
	X(NEXT_HOP_SILENT, 451, "4.4.2", CLOSES,                                                   \
	  "the mail server behind us did not answer in time; send again",                          \
	  "no reply of the next hop to the end of the message within 240 s")                       \
	X(MESSAGE_TOO_BIG, 552, "5.3.4", STAYS, "the message is too big; {size} octets are taken", \
	  "SIZE at MAIL, or the message itself, is over the limit (RFC 1870)")                     \
	X(TEXT_LINE_TOO_LONG, 552, "5.3.4", STAYS, "a line of the message has over 65536 octets",  \
	  "a line of the message is longer than any mailer writes")                                \
	X(ROUTING_LOOP, 554, "5.4.6", STAYS, "routing loop: over 100 Received fields",             \
	  "RFC 5321 6.3")                                                                          \
	X(BARE_LF_IN_MESSAGE, 550, "5.5.2", STAYS,                                                 \
	  "a line of the message ends in LF alone; it must end in CR LF",                          \
	  "a bare LF in the message, where bare_lf is reject (RFC 5321 2.3.8)")                    \
	X(BARE_CR_IN_MESSAGE, 550, "5.5.2", STAYS,                                                 \
	  "the message holds a CR without LF; a line must end in CR LF",                           \
	  "a bare CR in the message (RFC 5321 2.3.8)")                                             \
	X(NUL_IN_MESSAGE, 550, "5.5.2", STAYS, "the message holds a NUL octet",                    \
	  "a NUL in the message: next hops differ in where they end the text")                     \
                                                                                                   \
	/* About a command. */                                                                     \
	X(COMMAND_UNKNOWN, 500, "5.5.2", STAYS, "this command is not known here",                  \
	  "a verb that is none of SMTP's")                                                         \
	X(COMMAND_NOT_OFFERED, 502, "5.5.1", STAYS, "this command is not offered here",            \
	  "a verb of SMTP's that we do not serve: ETRN, EXPN, AUTH, TURN and others")              \
	X(COMMAND_TOO_LONG, 500, "5.5.2", STAYS, "this command line is too long",                  \
	  "a line over 512 octets, or 2048 with parameters; swallowed to its CR LF")               \
	X(COMMANDS_TOO_LONG, 421, "4.5.2", CLOSES, "these command lines are too long",             \
	  "the third line that is too long, or one without end")                                   \
	X(COMMAND_BARE_LF, 500, "5.5.2", STAYS, "a command must end in CR LF, not in LF alone",    \
	  "a command line that ends in a bare LF (RFC 5321 2.3.8); it is not carried out")         \
	X(COMMAND_GARBLED, 500, "5.5.2", STAYS, "this command holds a control character",          \
	  "a control character or a bare CR within a command line")                                \
	X(NO_ARGUMENT_TAKEN, 501, "5.5.4", STAYS, "this command takes no argument",                \
	  "an argument to DATA, RSET, QUIT or STARTTLS")                                           \
	X(NAME_MISSING, 501, "5.5.4", STAYS, "HELO and EHLO need the name of your host",           \
	  "HELO or EHLO without a name, or with one that cannot be a name")                        \
	X(HELLO_FIRST, 503, "5.5.1", STAYS, "say EHLO first", "MAIL, RCPT or DATA before EHLO")    \
	X(MAIL_FIRST, 503, "5.5.1", STAYS, "say MAIL FROM first", "RCPT or DATA without MAIL")     \
	X(MAIL_UNDER_WAY, 503, "5.5.1", STAYS,                                                     \
	  "a message is under way; finish it, or say RSET first",                                  \
	  "MAIL or STARTTLS within a transaction")                                                 \
	X(MAIL_SYNTAX, 501, "5.5.4", STAYS, "say MAIL FROM:<address>, then parameters",            \
	  "MAIL that cannot be read")                                                              \
	X(RCPT_SYNTAX, 501, "5.5.4", STAYS, "say RCPT TO:<address>, then parameters",              \
	  "RCPT that cannot be read")                                                              \
	X(SENDER_MALFORMED, 501, "5.1.7", STAYS, "the sender's address is malformed",              \
	  "an address in MAIL against RFC 5321 4.1.2")                                             \
	X(RECIPIENT_MALFORMED, 501, "5.1.3", STAYS, "the recipient's address is malformed",        \
	  "an address in RCPT against RFC 5321 4.1.2")                                             \
	X(UTF8_NOT_ASKED, 553, "5.6.7", STAYS, "an address beyond ASCII needs SMTPUTF8",           \
	  "an address with octets over 127 in a transaction without SMTPUTF8 (RFC 6531)")          \
	X(PARAMETER_UNKNOWN, 555, "5.5.4", STAYS, "a parameter is not offered here",               \
	  "a parameter of MAIL or RCPT that EHLO did not offer, BODY=BINARYMIME among them")       \
	X(PARAMETER_MALFORMED, 501, "5.5.4", STAYS, "the value of a parameter is malformed",       \
	  "a parameter of MAIL or RCPT with a value it cannot have, or given twice")               \
	X(TLS_NEEDED, 530, "5.7.0", STAYS, "say STARTTLS first", "a client that must use TLS")     \
	X(TLS_NOT_AVAILABLE, 454, "4.7.0", STAYS, "TLS is not available at present",               \
	  "STARTTLS that cannot be served now (RFC 3207 4)")                                       \
	X(TLS_UNDER_WAY, 503, "5.5.1", STAYS, "TLS is in use already", "STARTTLS under TLS")       \
	X(NO_ROOM, 452, "4.3.1", STAYS, "no room for this at present; try later",                  \
	  "a worker's memory for transactions is in use")                                          \
                                                                                                   \
	/* The end of a conversation. */                                                           \
	X(SPOKE_EARLY, 554, "5.5.0", CLOSES, "you spoke before you were greeted",                  \
	  "speech before the greeting")                                                            \
	X(SPOKE_ON, 554, "5.5.0", CLOSES, "you spoke on without waiting for the reply",            \
	  "octets right behind STARTTLS or DATA, which would be taken for something else")         \
	X(NOT_SMTP, 521, "5.7.0", CLOSES, "this is a mail server, and that is not SMTP",           \
	  "HTTP, or a header field, where a command must be")                                      \
	X(TOO_MANY_ERRORS, 421, "4.7.0", CLOSES, "too many errors",                                \
	  "the hundredth command that was none, or out of place")                                  \
	X(CLIENT_LIMITED, 421, "4.7.0", CLOSES, "too many connections from you; try later",        \
	  "a limit for each client")                                                               \
	X(DRAINING, 421, "4.3.2", CLOSES, "we are going out of service; try again",                \
	  "this server is about to stop")                                                          \
	X(OVERLOADED, 421, "4.3.2", CLOSES, "we are too busy; try later", "a worker is full")      \
	X(IDLE_TOO_LONG, 421, "4.4.2", CLOSES, "no command for too long",                          \
	  "no command for 5 minutes, under stress for 10 seconds (RFC 5321 4.5.3.2.7)")            \
	X(MESSAGE_TOO_SLOW, 421, "4.4.2", CLOSES, "the message comes too slowly",                  \
	  "under 1 KiB a second of a message, over a minute")                                      \
	X(CONVERSATION_TOO_LONG, 421, "4.4.2", CLOSES, "this conversation took too long",          \
	  "a conversation of over an hour")

enum reply {
#define X(name, ...) REPLY_##name,
	POSTERN_REPLIES(X)
#undef X
		REPLIES,
	/* Not ours: a next hop's own, or one of its that is remembered. */
	REPLY_OF_NEXT_HOP = REPLIES,
	REPLY_NONE,
};

struct reply_row {
	const char *name;     /* without REPLY_ */
	const char *enhanced; /* "" where there is none */
	const char *text;     /* with {address}, {host}, {size} */
	const char *when;
	uint16_t code;
	bool closes; /* it is the last of a conversation */
};

extern const struct reply_row reply_rows[REPLIES];

#endif
