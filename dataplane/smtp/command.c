/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands: a table of verbs, what each needs to have gone before, and a handler each.
 *
 * Thread, Time, Memory: smtp.h.
 * Rules: RFC 5321 4.1.1 (commands), 4.1.4 (their order), 4.2.4 (replies to those not known); RFC
 * 2920 3.1 (groups).
 */
#include <string.h>

#include "base/ascii.h"
#include "smtp/session.h"

/* A command line, taken apart. */
struct command {
	struct span argument; /* behind the verb and its blanks */
	bool spoke_on;	      /* octets follow the line */
};

typedef int handler(struct smtp *m, struct smtp_session *s, const struct command *c,
		    struct smtp_out *out);

enum verb_flag {
	VERB_GATHERS = 1 << 0,	/* recipients before it may wait for their answers with it */
	VERB_EXTENDS = 1 << 1,	/* parameters make it longer than 512 octets */
	VERB_IN_CLEAR = 1 << 2, /* is served though TLS is needed */
	VERB_NO_ARGUMENT = 1 << 3,
	/* Its reply decides what the octets behind it are. Whoever sends them without waiting for
	 * it hides one thing as another, or does not speak SMTP: RFC 2920 3.1, RFC 3207 6. */
	VERB_DECIDES = 1 << 4,
};

enum { VERB_LEN = 8 };

/* In the state after no greeting, EHLO or HELO, MAIL: the row to refuse it with, or REPLY_NONE. */
struct verb {
	char name[VERB_LEN];
	uint8_t flags;
	uint8_t in_new, in_ready, in_open;
	handler *handle;
};

/* --- refusals --------------------------------------------------------------------------------- */

/* A command that is none, or out of place. */
static int refuse(struct smtp *m, struct smtp_session *s, enum reply reply, struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);

	if (e && e->n_asked)
		return STEP_ASK_FIRST;
	say(m, s, reply, out);
	if (++s->errors >= SMTP_ERRORS_MAX && s->state != SESSION_CLOSING)
		say(m, s, REPLY_TOO_MANY_ERRORS, out);
	return STEP_ON;
}

/* What no client of mail says, and perhaps a browser that was told to. */
static int refuse_abuse(struct smtp *m, struct smtp_session *s, enum reply reply,
			struct smtp_out *out)
{
	say(m, s, reply, out);
	return session_note(m, SMTP_FOUND_ABUSE);
}

int command_refuse_long(struct smtp *m, struct smtp_session *s, struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);

	if (e && e->n_asked)
		return STEP_ASK_FIRST;
	if (++s->long_lines < SMTP_LONG_LINES_MAX)
		return refuse(m, s, REPLY_COMMAND_TOO_LONG, out);
	say(m, s, REPLY_COMMANDS_TOO_LONG, out);
	return STEP_ON;
}

/* --- spans ------------------------------------------------------------------------------------ */

static void skip(struct span *s, size_t len)
{
	s->bytes += len;
	s->len -= len;
}

static void skip_blanks(struct span *s)
{
	while (s->len && *s->bytes == ' ')
		skip(s, 1);
}

/* Skips a word of capitals, in any case. */
static bool skip_word(struct span *s, const char *word)
{
	const size_t len = strlen(word);

	if (s->len < len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (ascii_upper(s->bytes[i]) != (uint8_t)word[i])
			return false;
	skip(s, len);
	return true;
}

/* --- greetings -------------------------------------------------------------------------------- */

/* The name as the client says it: RFC 5321 4.1.4 forbids to refuse mail because it is not true, and
 * many are not even domains. What follows a blank is not looked at. */
static bool keep_hello(struct smtp *m, struct smtp_session *s, const struct span *argument)
{
	uint32_t index = SLAB_NONE;
	uint8_t *to = s->hello;
	size_t len = 0;

	while (len < argument->len && argument->bytes[len] > ' ' && argument->bytes[len] < 0x7f)
		len++;
	if (!len || len > SMTP_HELO_MAX || (len < argument->len && argument->bytes[len] != ' '))
		return false;
	session_forget_hello(m, s);
	if (len > HELLO_HERE_MAX) {
		index = slab_take(&m->pieces);
		if (index == SLAB_NONE) {
			/* Its head says more than a refusal. */
			counter_add(&m->counters->smtp_no_piece, 1);
			len = HELLO_HERE_MAX;
		} else {
			to = ((struct piece *)slab_at(&m->pieces, index))->bytes;
			s->hello_piece = index;
			s->flags |= SESSION_HELLO_APART;
		}
	}
	memcpy(to, argument->bytes, len);
	s->hello_len = (uint8_t)len;
	return true;
}

/* RFC 5321 4.1.4: a greeting in the midst of a conversation does what RSET does. */
static int greet(struct smtp *m, struct smtp_session *s, const struct command *c, bool extended,
		 struct smtp_out *out)
{
	const bool abandons = s->state == SESSION_OPEN;

	if (!keep_hello(m, s, &c->argument))
		return refuse(m, s, REPLY_NAME_MISSING, out);
	s->flags &= (uint16_t)~SESSION_EXTENDED;
	if (extended) {
		s->flags |= SESSION_EXTENDED;
		say_ehlo(m, s, out);
	} else {
		say(m, s, REPLY_HELO, out);
	}
	/* Also after HELO: what we can do does not depend on how we were greeted, and there are
	 * clients that say HELO and then SIZE. */
	s->offered = (uint8_t)m->settings.offers;
	s->state = SESSION_READY;
	if (!abandons)
		return STEP_ON;
	s->flags |= SESSION_DONE_WITH;
	return SMTP_ABANDONED;
}

static int handle_ehlo(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	return greet(m, s, c, true, out);
}

static int handle_helo(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	return greet(m, s, c, false, out);
}

/* --- transactions ----------------------------------------------------------------------------- */

/* Reads "FROM:" or "TO:", the path into m->address, and the parameters. Returns the row to refuse
 * it with. A blank behind the colon is taken: RFC 5321 3.3 forbids it, and clients send it. */
static enum reply read_path(struct smtp *m, const struct smtp_session *s, struct span in,
			    enum parameters_of what, struct parameters *p)
{
	const bool mail = what == PARAMETERS_OF_MAIL;
	const enum reply syntax = mail ? REPLY_MAIL_SYNTAX : REPLY_RCPT_SYNTAX;

	if (!skip_word(&in, mail ? "FROM:" : "TO:"))
		return syntax;
	skip_blanks(&in);
	if (!in.len || *in.bytes != '<')
		return syntax;
	if (!address_read(&in, mail ? ADDRESS_OF_SENDER : ADDRESS_OF_RECIPIENT, &m->address)) {
		/* Octets over 127 may be all that is wrong with it, as it is where UTF-8 is not
		 * even offered. */
		if (m->address.beyond_ascii && !(s->offered & SMTP_OFFERS_SMTPUTF8))
			return REPLY_UTF8_NOT_ASKED;
		return mail ? REPLY_SENDER_MALFORMED : REPLY_RECIPIENT_MALFORMED;
	}
	if (in.len && *in.bytes != ' ')
		return syntax;
	return parameters_read(in, what, s->offered, p);
}

static enum reply check_mail(struct smtp *m, const struct smtp_session *s,
			     const struct parameters *p)
{
	if (m->address.beyond_ascii && !p->smtputf8)
		return REPLY_UTF8_NOT_ASKED;
	/* RFC 1870 6.1 */
	if (p->size > m->settings.size_max)
		return REPLY_MESSAGE_TOO_BIG;
	return REPLY_NONE;
}

static int handle_mail(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	struct parameters p;
	struct envelope *e;
	enum reply refusal = read_path(m, s, c->argument, PARAMETERS_OF_MAIL, &p);

	if (refusal == REPLY_NONE)
		refusal = check_mail(m, s, &p);
	if (refusal == REPLY_MESSAGE_TOO_BIG) {
		say(m, s, refusal, out);
		return STEP_ON;
	}
	if (refusal != REPLY_NONE)
		return refuse(m, s, refusal, out);
	e = envelope_new(m, &m->address, &p);
	if (!e) {
		say(m, s, REPLY_NO_ROOM, out);
		return STEP_ON;
	}
	s->envelope = slab_index(&m->envelopes, e);
	s->state = SESSION_OPEN;
	say(m, s, REPLY_SENDER_TAKEN, out);
	return STEP_ON;
}

static enum reply check_rcpt(const struct smtp *m, const struct envelope *e,
			     const struct parameters *p)
{
	if ((m->address.beyond_ascii || p->beyond_ascii) && !e->smtputf8)
		return REPLY_UTF8_NOT_ASKED;
	return REPLY_NONE;
}

static int handle_rcpt(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	struct envelope *e = session_envelope(m, s);
	struct parameters p;
	enum reply refusal = read_path(m, s, c->argument, PARAMETERS_OF_RCPT, &p);

	if (refusal == REPLY_NONE)
		refusal = check_rcpt(m, e, &p);
	if (refusal != REPLY_NONE)
		return refuse(m, s, refusal, out);
	/* RFC 5321 4.5.3.1.10: 452, so that the rest is sent in another transaction. */
	if (e->n_taken + e->n_asked >= m->settings.recipients_max)
		refusal = REPLY_TOO_MANY_RECIPIENTS;
	else if (!envelope_add(m, e, &m->address, &p))
		refusal = REPLY_NO_ROOM;
	if (refusal == REPLY_NONE)
		return e->n_asked == SMTP_ASKED_MAX ? SMTP_ASK_RECIPIENTS : STEP_ON;
	if (e->n_asked)
		return STEP_ASK_FIRST;
	say(m, s, refusal, out);
	return STEP_ON;
}

static int handle_data(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);

	if (!e->n_taken)
		return refuse(m, s, REPLY_NO_VALID_RECIPIENTS, out);
	return session_ask(s, SMTP_ASK_DATA);
}

static int handle_rset(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	say(m, s, REPLY_RESET, out);
	if (s->state != SESSION_OPEN)
		return STEP_ON;
	s->state = SESSION_READY;
	s->flags |= SESSION_DONE_WITH;
	return SMTP_ABANDONED;
}

/* --- all others ------------------------------------------------------------------------------- */

static int handle_noop(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	say(m, s, REPLY_NOTHING_DONE, out);
	return STEP_ON;
}

static int handle_help(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	say(m, s, REPLY_HELP, out);
	return STEP_ON;
}

static int handle_quit(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	say(m, s, REPLY_GOODBYE, out);
	return STEP_ON;
}

/* RFC 5321 3.5.3 and 7.3: 252 tells nobody anything. */
static int handle_vrfy(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	say(m, s, REPLY_NOT_VERIFIED, out);
	return session_note(m, SMTP_FOUND_VRFY);
}

/* RFC 3207 4. The owner may have no more to do it with, and says so. */
static int handle_starttls(struct smtp *m, struct smtp_session *s, const struct command *c,
			   struct smtp_out *out)
{
	if (s->flags & SESSION_TLS)
		return refuse(m, s, REPLY_TLS_UNDER_WAY, out);
	if (!((m->settings.offers | s->offered) & SMTP_OFFERS_STARTTLS))
		return refuse(m, s, REPLY_COMMAND_NOT_OFFERED, out);
	return session_ask(s, SMTP_ASK_TLS);
}

static int handle_not_offered(struct smtp *m, struct smtp_session *s, const struct command *c,
			      struct smtp_out *out)
{
	return refuse(m, s, REPLY_COMMAND_NOT_OFFERED, out);
}

static int handle_http(struct smtp *m, struct smtp_session *s, const struct command *c,
		       struct smtp_out *out)
{
	return refuse_abuse(m, s, REPLY_NOT_SMTP, out);
}

/* --- the table -------------------------------------------------------------------------------- */

#define ANYWHERE      REPLY_NONE, REPLY_NONE, REPLY_NONE
#define NO_MAIL_YET   REPLY_HELLO_FIRST, REPLY_NONE, REPLY_MAIL_UNDER_WAY
#define WITHIN_MAIL   REPLY_HELLO_FIRST, REPLY_MAIL_FIRST, REPLY_NONE
#define BETWEEN_MAILS REPLY_NONE, REPLY_NONE, REPLY_MAIL_UNDER_WAY
#define HTTP	      (VERB_EXTENDS | VERB_IN_CLEAR)

/* The frequent ones first. */
static const struct verb verbs[] = {
	/* 4.1.1.3: "This command is used to identify an individual recipient of the mail data" */
	{"RCPT", VERB_GATHERS | VERB_EXTENDS, WITHIN_MAIL, handle_rcpt},
	/* 4.1.1.2: "This command is used to initiate a mail transaction"; 4.1.4: not within one */
	{"MAIL", VERB_EXTENDS, NO_MAIL_YET, handle_mail},
	/* 4.1.1.1: "These commands are used to identify the SMTP client to the SMTP server" */
	{"EHLO", VERB_IN_CLEAR, ANYWHERE, handle_ehlo},
	/* 4.1.1.4: "The receiver normally sends a 354 response to DATA" */
	{"DATA", VERB_NO_ARGUMENT | VERB_DECIDES, WITHIN_MAIL, handle_data},
	/* 4.1.1.10: "the receiver MUST send a "221 OK" reply, and then close" */
	{"QUIT", VERB_IN_CLEAR | VERB_NO_ARGUMENT, ANYWHERE, handle_quit},
	/* 4.1.1.5: "the current mail transaction will be aborted" */
	{"RSET", VERB_NO_ARGUMENT, ANYWHERE, handle_rset},
	{"HELO", 0, ANYWHERE, handle_helo},
	/* RFC 3207 4: "with no parameters" */
	{"STARTTLS", VERB_IN_CLEAR | VERB_NO_ARGUMENT | VERB_DECIDES, BETWEEN_MAILS,
	 handle_starttls},
	/* 4.1.1.9: "no action other than that the receiver send a "250 OK" reply" */
	{"NOOP", VERB_IN_CLEAR, ANYWHERE, handle_noop},
	/* 4.1.1.6: "to confirm that the argument identifies a user or mailbox" */
	{"VRFY", 0, ANYWHERE, handle_vrfy},
	/* 4.1.1.8: "causes the server to send helpful information to the client" */
	{"HELP", 0, ANYWHERE, handle_help},
	/* 4.2.4: 502 "when the command is actually recognized by the SMTP server, but not
	 * implemented". What would follow BDAT is no command. */
	{"EXPN", 0, ANYWHERE, handle_not_offered},
	{"AUTH", 0, ANYWHERE, handle_not_offered},
	{"BDAT", VERB_DECIDES, ANYWHERE, handle_not_offered},
	{"ETRN", 0, ANYWHERE, handle_not_offered},
	{"ATRN", 0, ANYWHERE, handle_not_offered},
	{"TURN", 0, ANYWHERE, handle_not_offered},
	{"SEND", 0, ANYWHERE, handle_not_offered},
	{"SOML", 0, ANYWHERE, handle_not_offered},
	{"SAML", 0, ANYWHERE, handle_not_offered},
	{"BURL", 0, ANYWHERE, handle_not_offered},
	/* HTTP's, RFC 9110 9.3 and 9113 3.4 */
	{"GET", HTTP, ANYWHERE, handle_http},
	{"POST", HTTP, ANYWHERE, handle_http},
	{"PUT", HTTP, ANYWHERE, handle_http},
	{"HEAD", HTTP, ANYWHERE, handle_http},
	{"CONNECT", HTTP, ANYWHERE, handle_http},
	{"OPTIONS", HTTP, ANYWHERE, handle_http},
	{"DELETE", HTTP, ANYWHERE, handle_http},
	{"PATCH", HTTP, ANYWHERE, handle_http},
	{"TRACE", HTTP, ANYWHERE, handle_http},
	{"PRI", HTTP, ANYWHERE, handle_http},
};

/* Eight octets, without the case of letters. Nothing else becomes a letter by it. */
static uint64_t fold(const void *octets)
{
	uint64_t word;

	memcpy(&word, octets, sizeof(word));
	return word & 0xdfdfdfdfdfdfdfdf;
}

static const struct verb *find_verb(const struct span *line, size_t len)
{
	char name[VERB_LEN] = {0};
	uint64_t wanted;

	if (len > VERB_LEN)
		return NULL;
	memcpy(name, line->bytes, len);
	wanted = fold(name);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (fold(verbs[i].name) == wanted)
			return &verbs[i];
	return NULL;
}

/* --- a line ----------------------------------------------------------------------------------- */

/* "Name:", as a field of a header begins, a message's or HTTP's. */
static bool is_field(const struct span *word)
{
	const uint8_t *colon = memchr(word->bytes, ':', word->len);

	if (!colon || colon == word->bytes)
		return false;
	for (const uint8_t *p = word->bytes; p < colon; p++)
		if (*p >= 0x80)
			return false;
	return true;
}

static bool has_control(const struct span *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (line->bytes[i] < ' ' || line->bytes[i] == 0x7f)
			return true;
	return false;
}

static enum reply refusal_in_state(const struct verb *verb, const struct smtp_session *s)
{
	return s->state == SESSION_NEW	   ? verb->in_new
	       : s->state == SESSION_READY ? verb->in_ready
					   : verb->in_open;
}

static int run_verb(struct smtp *m, struct smtp_session *s, const struct verb *verb,
		    const struct command *c, struct smtp_out *out)
{
	enum reply refusal = refusal_in_state(verb, s);

	if (verb->flags & VERB_NO_ARGUMENT && c->argument.len)
		return refuse(m, s, REPLY_NO_ARGUMENT_TAKEN, out);
	if (verb->flags & VERB_DECIDES && c->spoke_on)
		return refuse_abuse(m, s, REPLY_SPOKE_ON, out);
	/* RFC 3207 4: 530 to all but NOOP, EHLO, STARTTLS and QUIT. */
	if ((s->flags & (SESSION_NEEDS_TLS | SESSION_TLS)) == SESSION_NEEDS_TLS &&
	    !(verb->flags & VERB_IN_CLEAR))
		refusal = REPLY_TLS_NEEDED;
	if (refusal != REPLY_NONE)
		return refuse(m, s, refusal, out);
	return verb->handle(m, s, c, out);
}

int command_run(struct smtp *m, struct smtp_session *s, const struct span *line, bool spoke_on,
		struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);
	struct command c = {.argument = *line, .spoke_on = spoke_on};
	struct span *rest = &c.argument, word;
	const struct verb *verb;
	const uint8_t *blank;

	rest->len--;
	if (!rest->len || rest->bytes[rest->len - 1] != '\r')
		return refuse(m, s, REPLY_COMMAND_BARE_LF, out);
	rest->len--;
	/* RFC 5321 4.1.1: blanks before CRLF are to be tolerated. */
	while (rest->len &&
	       (rest->bytes[rest->len - 1] == ' ' || rest->bytes[rest->len - 1] == '\t'))
		rest->len--;
	if (has_control(rest))
		return refuse(m, s, REPLY_COMMAND_GARBLED, out);
	blank = memchr(rest->bytes, ' ', rest->len);
	word = (struct span){rest->bytes, blank ? (size_t)(blank - rest->bytes) : rest->len};
	verb = find_verb(rest, word.len);
	if (e && e->n_asked && !(verb && verb->flags & VERB_GATHERS))
		return STEP_ASK_FIRST;
	if (!verb && is_field(&word))
		return refuse_abuse(m, s, REPLY_NOT_SMTP, out);
	if (line->len > SMTP_LINE_MAX && !(verb && verb->flags & VERB_EXTENDS))
		return command_refuse_long(m, s, out);
	if (!verb)
		return refuse(m, s, REPLY_COMMAND_UNKNOWN, out);
	skip(rest, word.len);
	skip_blanks(rest);
	return run_verb(m, s, verb, &c, out);
}
