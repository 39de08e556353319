/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Conversations: their life, the way from octets to commands and messages, the owner's answers.
 *
 * Thread, Time, Memory, Rules: smtp.h.
 */
#include <stdlib.h>
#include <string.h>

#include "smtp/session.h"

/* --- the whole -------------------------------------------------------------------------------- */

static bool settings_are_possible(const struct smtp_settings *settings)
{
	const size_t len = settings->host ? strlen(settings->host) : 0;

	return len > 0 && len <= HOST_MAX && settings->size_max > 0 &&
	       settings->recipients_max >= SMTP_RECIPIENTS_LEAST &&
	       settings->recipients_max <= SMTP_RECIPIENTS_MOST &&
	       (!(settings->offers & SMTP_OFFERS_SMTPUTF8) ||
		settings->offers & SMTP_OFFERS_8BITMIME);
}

static bool capacity_is_possible(uint32_t n)
{
	return n > 0 && n < SLAB_NONE;
}

bool smtp_configure(struct smtp *m, const struct smtp_settings *settings)
{
	if (!settings_are_possible(settings))
		return false;
	m->settings = *settings;
	memmove(m->host, settings->host, strlen(settings->host) + 1);
	m->settings.host = m->host;
	phrases_make(&m->phrases, &m->settings);
	return true;
}

struct smtp *smtp_new(const struct smtp_config *config, uint64_t now_us)
{
	struct smtp *m;

	if (!config->counters || !capacity_is_possible(config->sessions) ||
	    !capacity_is_possible(config->envelopes) || !capacity_is_possible(config->pages) ||
	    !capacity_is_possible(config->pieces))
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	m->counters = config->counters;
	m->id_key = config->id_key;
	m->next_id = config->first_id;
	m->idle_ms = SMTP_IDLE_MS;
	m->now_ms = m->swept_from_ms = (uint32_t)(now_us / 1000);
	if (!smtp_configure(m, &config->settings) ||
	    !slab_init(&m->sessions, sizeof(struct smtp_session), 64, config->sessions) ||
	    !slab_init(&m->envelopes, sizeof(struct envelope), 64, config->envelopes) ||
	    !slab_init(&m->pages, sizeof(struct whole_page), 64, config->pages) ||
	    !slab_init(&m->pieces, sizeof(struct piece), 64, config->pieces)) {
		smtp_free(m);
		return NULL;
	}
	return m;
}

void smtp_free(struct smtp *m)
{
	if (!m)
		return;
	slab_release(&m->pieces);
	slab_release(&m->pages);
	slab_release(&m->envelopes);
	slab_release(&m->sessions);
	free(m);
}

/* --- life ------------------------------------------------------------------------------------- */

static void tell_time(struct smtp *m, uint64_t now_us)
{
	m->now_ms = (uint32_t)(now_us / 1000);
}

void session_heard(struct smtp *m, struct smtp_session *s)
{
	struct envelope *e = session_envelope(m, s);

	s->heard_ms = m->now_ms;
	if (e) {
		e->window_ms = m->now_ms;
		e->window_octets = e->octets;
	}
}

void session_end_transaction(struct smtp *m, struct smtp_session *s)
{
	struct envelope *e = session_envelope(m, s);

	if (e)
		envelope_free(m, e);
	s->envelope = SLAB_NONE;
	s->flags &= (uint16_t) ~(SESSION_DONE_WITH | SESSION_SPOILED | SESSION_ENDED);
}

void session_forget_hello(struct smtp *m, struct smtp_session *s)
{
	if (s->flags & SESSION_HELLO_APART)
		slab_give(&m->pieces, s->hello_piece);
	s->flags &= (uint16_t)~SESSION_HELLO_APART;
	s->hello_len = 0;
}

int session_ask(struct smtp_session *s, enum smtp_step question)
{
	s->question = (uint8_t)question;
	return question;
}

int session_note(struct smtp *m, enum smtp_finding finding)
{
	m->noted = finding;
	return SMTP_NOTED;
}

struct smtp_session *smtp_open(struct smtp *m, unsigned flags, void *user, uint64_t now_us,
			       struct smtp_out *out)
{
	uint32_t index = slab_take(&m->sessions);
	struct smtp_session *s;

	tell_time(m, now_us);
	if (index == SLAB_NONE) {
		counter_add(&m->counters->smtp_no_session, 1);
		smtp_turn_away(m, REPLY_OVERLOADED, out);
		return NULL;
	}
	s = slab_at(&m->sessions, index);
	*s = (struct smtp_session){
		.id = id_make(m),
		.user = user,
		.opened_ms = m->now_ms,
		.heard_ms = m->now_ms,
		.envelope = SLAB_NONE,
		.line = SLAB_NONE,
		.flags = flags & SMTP_NEEDS_TLS ? SESSION_NEEDS_TLS : 0,
		.state = SESSION_NEW,
		.question = SMTP_WAIT,
	};
	counter_add(&m->counters->smtp_conversations, 1);
	say(m, s, flags & SMTP_SPOKE_EARLY ? REPLY_SPOKE_EARLY : REPLY_GREETING, out);
	return s;
}

void smtp_close(struct smtp *m, struct smtp_session *s)
{
	session_end_transaction(m, s);
	session_forget_hello(m, s);
	line_release(m, s);
	s->state = SESSION_FREE;
	counter_add(&m->counters->smtp_ended, 1);
	slab_give(&m->sessions, slab_index(&m->sessions, s));
}

/* --- octets ----------------------------------------------------------------------------------- */

static bool has_room(const struct smtp_out *out, unsigned replies_owed)
{
	return out_room(out) >= SMTP_REPLY_MAX + replies_owed * SMTP_REPLY_LINE_MAX;
}

/* A line is here, or what is left of one. */
static int run_line(struct smtp *m, struct smtp_session *s, enum line_found found,
		    const struct span *line, bool spoke_on, struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);

	if (found == LINE_WHOLE)
		return command_run(m, s, line, spoke_on, out);
	if (e && e->n_asked)
		return STEP_ASK_FIRST;
	if (found == LINE_LONG)
		return command_refuse_long(m, s, out);
	say(m, s, found == LINE_ENDLESS ? REPLY_COMMANDS_TOO_LONG : REPLY_OVERLOADED, out);
	return STEP_ON;
}

static int read_command(struct smtp *m, struct smtp_session *s, struct span *in, bool more,
			struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);
	const unsigned asked = e ? e->n_asked : 0;
	struct span line = {0};
	const enum line_found found = line_find(m, s, in, &line);
	bool spoke_on;
	int step;

	if (found == LINE_NONE)
		return asked && !more ? session_ask(s, SMTP_ASK_RECIPIENTS) : SMTP_WAIT;
	if (!has_room(out, asked + 1))
		return asked ? session_ask(s, SMTP_ASK_RECIPIENTS) : SMTP_FULL;
	spoke_on = more || in->len > (s->line == SLAB_NONE ? line.len : 0);
	step = run_line(m, s, found, &line, spoke_on, out);
	if (step == STEP_ASK_FIRST)
		return session_ask(s, SMTP_ASK_RECIPIENTS);
	line_done(m, s, in, &line);
	session_heard(m, s);
	counter_add(&m->counters->smtp_commands, 1);
	return step == SMTP_ASK_RECIPIENTS ? session_ask(s, SMTP_ASK_RECIPIENTS) : step;
}

static enum reply row_of_fault(enum data_fault fault)
{
	static const enum reply rows[] = {
		[DATA_BARE_LF] = REPLY_BARE_LF_IN_MESSAGE,
		[DATA_BARE_CR] = REPLY_BARE_CR_IN_MESSAGE,
		[DATA_NUL] = REPLY_NUL_IN_MESSAGE,
		[DATA_LINE_TOO_LONG] = REPLY_TEXT_LINE_TOO_LONG,
		[DATA_TOO_BIG] = REPLY_MESSAGE_TOO_BIG,
		[DATA_LOOP] = REPLY_ROUTING_LOOP,
	};

	return rows[fault];
}

/* The message has come to its end, and all that was to be given of it was. */
static int end_message(struct smtp *m, struct smtp_session *s, struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);

	if (!e->data.fault)
		return session_ask(s, SMTP_ASK_DELIVERY);
	if (!has_room(out, 1))
		return SMTP_FULL;
	counter_add(&m->counters->smtp_messages_faulty, 1);
	s->state = SESSION_READY;
	say(m, s, row_of_fault(e->data.fault), out);
	session_end_transaction(m, s);
	return STEP_ON;
}

static int read_message(struct smtp *m, struct smtp_session *s, struct span *in,
			struct smtp_out *out)
{
	struct envelope *e = session_envelope(m, s);
	const size_t len = in->len;

	if (s->flags & SESSION_ENDED)
		return end_message(m, s, out);
	if (!len)
		return SMTP_WAIT;
	if (data_scan(&e->data, in, &m->body))
		s->flags |= SESSION_ENDED;
	e->octets += len - in->len;
	s->heard_ms = m->now_ms;
	counter_add(&m->counters->smtp_message_octets, len - in->len);
	if (s->flags & SESSION_ENDED)
		counter_add(&m->counters->smtp_messages, 1);
	if (e->data.fault && !(s->flags & SESSION_SPOILED)) {
		s->flags |= SESSION_SPOILED;
		return SMTP_SPOILED;
	}
	return m->body.n ? SMTP_BODY : STEP_ON;
}

static int feed_once(struct smtp *m, struct smtp_session *s, struct span *in, bool more,
		     struct smtp_out *out)
{
	if (s->question != SMTP_WAIT)
		return s->question;
	switch (s->state) {
	case SESSION_CLOSING:
		return SMTP_CLOSE;
	case SESSION_HANDSHAKE:
		return SMTP_WAIT;
	case SESSION_BODY:
		return read_message(m, s, in, out);
	default:
		return read_command(m, s, in, more, out);
	}
}

enum smtp_step smtp_feed(struct smtp *m, struct smtp_session *s, struct span *in, bool more,
			 uint64_t now_us, struct smtp_out *out)
{
	int step;

	assert(s->state != SESSION_FREE);
	tell_time(m, now_us);
	if (s->flags & SESSION_DONE_WITH)
		session_end_transaction(m, s);
	do {
		step = feed_once(m, s, in, more, out);
	} while (step == STEP_ON);
	return (enum smtp_step)step;
}

enum smtp_finding smtp_noted(const struct smtp *m)
{
	return m->noted;
}

size_t smtp_body(const struct smtp *m, const struct span **spans)
{
	*spans = m->body.spans;
	return m->body.n;
}

void smtp_refuse(struct smtp *m, struct smtp_session *s, enum reply reply, struct smtp_out *out)
{
	assert(reply < REPLIES && reply_rows[reply].closes);
	s->question = SMTP_WAIT;
	say(m, s, reply, out);
}

/* --- answers ---------------------------------------------------------------------------------- */

size_t smtp_asked(const struct smtp *m, const struct smtp_session *s,
		  const struct smtp_recipient **asked)
{
	const struct envelope *e = session_envelope(m, s);
	struct place from = e->asked;

	for (unsigned i = 0; i < e->n_asked; i++)
		asked[i] = envelope_next(&from);
	return e->n_asked;
}

/* A next hop may refuse, and where a message has come to its end take it; anything else it cannot
 * have meant. Above all no client may hear 2xx where nothing was taken. */
static enum reply row_of(const struct smtp_answer *answer, bool may_be_good)
{
	const unsigned class = answer->code / 100u;

	if (answer->reply == REPLY_OF_NEXT_HOP && class != 4 && class != 5 &&
	    !(class == 2 && may_be_good))
		return REPLY_NEXT_HOP_LOST;
	return answer->reply;
}

static void check_refusal(enum reply reply)
{
	assert(reply == REPLY_OF_NEXT_HOP || reply_rows[reply].code >= 400);
}

/* What is said of a recipient; false: nothing more is. */
static bool say_of_recipient(struct smtp *m, struct smtp_session *s, const struct envelope *e,
			     const struct smtp_recipient *r, const struct smtp_answer *answer,
			     struct smtp_out *out)
{
	const struct span address = smtp_recipient_address(r);

	const enum reply reply = row_of(answer, false);

	if (reply != REPLY_RECIPIENT_TAKEN)
		check_refusal(reply);
	if (reply == REPLY_OF_NEXT_HOP) {
		say_next_hop(m, s, answer, 1, e->smtputf8, out);
		return true;
	}
	/* The recipient that crosses the line gets its own answer: a trap must look like any other.
	 */
	if (reply == REPLY_SHUT_OUT)
		say_about(m, s, REPLY_MAILBOX_UNKNOWN, address, out);
	say_about(m, s, reply, address, out);
	return s->state != SESSION_CLOSING;
}

void smtp_answer_recipients(struct smtp *m, struct smtp_session *s,
			    const struct smtp_answer *answers, size_t n, struct smtp_out *out)
{
	struct envelope *e = session_envelope(m, s);
	struct place from = e->asked;
	const uint16_t taken = e->n_taken;

	assert(s->question == SMTP_ASK_RECIPIENTS && n == e->n_asked);
	s->question = SMTP_WAIT;
	for (size_t i = 0; i < n; i++)
		if (!say_of_recipient(m, s, e, envelope_next(&from), &answers[i], out))
			break;
	envelope_settle(m, e, answers);
	session_heard(m, s);
	counter_add(&m->counters->smtp_recipients_asked, n);
	counter_add(&m->counters->smtp_recipients_taken, e->n_taken - taken);
}

/* Ends the transaction with an answer. */
static void say_answer(struct smtp *m, struct smtp_session *s, const struct smtp_answer *answer,
		       bool may_be_good, struct smtp_out *out)
{
	const struct envelope *e = session_envelope(m, s);
	const enum reply reply = row_of(answer, may_be_good);

	check_refusal(reply);
	s->state = SESSION_READY;
	if (reply == REPLY_OF_NEXT_HOP)
		say_next_hop(m, s, answer, SMTP_REPLY_LINES_MAX, e->smtputf8, out);
	else
		say(m, s, reply, out);
	session_end_transaction(m, s);
}

static void begin_message(struct smtp *m, struct smtp_session *s, struct smtp_out *out)
{
	struct envelope *e = session_envelope(m, s);

	data_begin(&e->data, m->settings.size_max, m->settings.normalize_bare_lf);
	say(m, s, REPLY_MESSAGE_WANTED, out);
	s->state = SESSION_BODY;
}

void smtp_answer_data(struct smtp *m, struct smtp_session *s, const struct smtp_answer *answer,
		      bool spoke_on, struct smtp_out *out)
{
	assert(s->question == SMTP_ASK_DATA);
	s->question = SMTP_WAIT;
	if (spoke_on) {
		say(m, s, REPLY_SPOKE_ON, out);
	} else if (answer->reply == REPLY_MESSAGE_WANTED) {
		begin_message(m, s, out);
	} else {
		say_answer(m, s, answer, false, out);
	}
	session_heard(m, s);
}

void smtp_answer_delivery(struct smtp *m, struct smtp_session *s, const struct smtp_answer *answer,
			  struct smtp_out *out)
{
	assert(s->question == SMTP_ASK_DELIVERY);
	s->question = SMTP_WAIT;
	say_answer(m, s, answer, true, out);
	session_heard(m, s);
}

void smtp_answer_tls(struct smtp *m, struct smtp_session *s, bool ready, bool spoke_on,
		     struct smtp_out *out)
{
	assert(s->question == SMTP_ASK_TLS);
	s->question = SMTP_WAIT;
	if (spoke_on) {
		say(m, s, REPLY_SPOKE_ON, out);
	} else if (!ready) {
		say(m, s, REPLY_TLS_NOT_AVAILABLE, out);
	} else {
		say(m, s, REPLY_TLS_WANTED, out);
		s->state = SESSION_HANDSHAKE;
	}
	session_heard(m, s);
}

/* RFC 3207 4.2: what was said in clear is forgotten. */
void smtp_tls_established(struct smtp *m, struct smtp_session *s)
{
	assert(s->state == SESSION_HANDSHAKE);
	session_forget_hello(m, s);
	s->flags &= (uint16_t)~SESSION_EXTENDED;
	s->flags |= SESSION_TLS;
	s->state = SESSION_NEW;
	session_heard(m, s);
}

/* --- the transaction -------------------------------------------------------------------------- */

bool smtp_transaction(const struct smtp *m, const struct smtp_session *s,
		      struct smtp_transaction *t)
{
	const struct envelope *e = session_envelope(m, s);

	if (!e)
		return false;
	*t = (struct smtp_transaction){
		.sender = {e->room, e->sender_len},
		.sender_local_len = e->sender_local_len,
		.recipients = e->n_taken,
		.declared_size = e->declared_size,
		.size = e->data.size,
		.eight_bit_mime = e->eight_bit_mime,
		.smtputf8 = e->smtputf8,
		.ret = e->ret,
		.envid = {e->room + e->sender_len, e->envid_len},
	};
	return true;
}

bool smtp_is_closing(const struct smtp_session *s)
{
	return s->state == SESSION_CLOSING;
}

bool smtp_is_in_message(const struct smtp_session *s)
{
	return s->state == SESSION_BODY && s->question == SMTP_WAIT;
}

enum reply smtp_closed_by(const struct smtp *m)
{
	return m->closed_by;
}

static bool is_full_to(const struct slab *slab, unsigned percent)
{
	return (uint64_t)slab->in_use * 100 >= (uint64_t)slab->capacity * percent;
}

bool smtp_is_full_to(const struct smtp *m, unsigned percent)
{
	return is_full_to(&m->sessions, percent) || is_full_to(&m->envelopes, percent) ||
	       is_full_to(&m->pieces, percent);
}

struct smtp_transaction_user *smtp_transaction_user(const struct smtp *m,
						    const struct smtp_session *s)
{
	struct envelope *e = session_envelope(m, s);

	return e ? &e->user : NULL;
}

const struct smtp_recipient *smtp_next_recipient(const struct smtp *m, const struct smtp_session *s,
						 struct smtp_walk *walk)
{
	struct envelope *e = session_envelope(m, s);
	struct place from = {&e->first, (uint16_t)walk->at};
	const struct smtp_recipient *r;

	if (walk->told == e->n_taken)
		return NULL;
	if (walk->page)
		from.page = (struct page *)walk->page;
	else
		from.used = envelope_begin(e);
	r = envelope_next(&from);
	*walk = (struct smtp_walk){from.page, from.used, walk->told + 1};
	return r;
}

/* --- what is known ---------------------------------------------------------------------------- */

void *smtp_user(const struct smtp_session *s)
{
	return s->user;
}

struct span smtp_hello(const struct smtp *m, const struct smtp_session *s)
{
	const struct piece *piece =
		s->flags & SESSION_HELLO_APART ? slab_at(&m->pieces, s->hello_piece) : NULL;

	return (struct span){piece ? piece->bytes : s->hello, s->hello_len};
}

bool smtp_is_extended(const struct smtp_session *s)
{
	return s->flags & SESSION_EXTENDED;
}

bool smtp_is_over_tls(const struct smtp_session *s)
{
	return s->flags & SESSION_TLS;
}

uint32_t smtp_sessions(const struct smtp *m)
{
	return m->sessions.in_use;
}

const uint64_t *smtp_replies_said(const struct smtp *m)
{
	return m->said;
}
