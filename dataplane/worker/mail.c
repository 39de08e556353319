/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Conversations: bytes from TCP into the engine, its questions to the directory and the harvest
 * test, replies back.
 *
 * Thread, Time, Memory, Rules: mail.h. A conversation's replies of one turn are queued together
 * and leave in one segment. Reading stops while they find no room, so a client that does not read
 * is not read either.
 */
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "postern/settings.h"
#include "smtp/smtp.h"
#include "worker/verdicts.h"
#include "worker/worker.h"

enum {
	OUT_OCTETS = 16 << 10,	   /* replies of one conversation between two sends */
	GUESSED_US = 60 * 1000000, /* how long a wrong cookie makes all of them no evidence */
};

struct mail {
	struct worker *worker;
	struct tcp *tcp;
	struct smtp *smtp;
	struct mail_config *config;
	struct postern_counters *counters;
	struct verdicts verdicts;
	uint64_t now_us;
	uint32_t now_s;
	uint64_t cookies_bad, guessed_until_us;
	uint8_t out[OUT_OCTETS];
};

/* What an open transaction is to us: kept in the engine's envelope, zero at MAIL. */
struct transaction {
	struct harvest_loan loan;
	bool has_pool;
	uint16_t pool; /* of its recipients */
};

static_assert(sizeof(struct transaction) <= sizeof(struct smtp_transaction_user),
	      "what the envelope has room for");

/* --- who is asking --------------------------------------------------------------------------- */

static struct transaction *transaction_of(struct mail *m, struct smtp_session *s)
{
	return (struct transaction *)smtp_transaction_user(m->smtp, s);
}

static bool gives_no_evidence(const struct mail *m, const struct tcp_conn *c)
{
	return tcp_is_by_cookie(c) && m->now_us < m->guessed_until_us;
}

static struct harvest_client client_of(struct mail *m, struct smtp_session *s)
{
	const struct tcp_conn *c = smtp_user(s);
	struct harvest_client client = {.no_evidence = gives_no_evidence(m, c)};
	struct smtp_transaction t;
	struct flow flow;

	tcp_flow(m->tcp, c, &flow);
	client.address = flow.remote;
	if (smtp_transaction(m->smtp, s, &t)) {
		client.null_sender = t.sender.len == 0;
		client.sender = harvest_digest(m->config->harvest, (const char *)t.sender.bytes,
					       t.sender_local_len,
					       (const char *)t.sender.bytes + t.sender_local_len,
					       t.sender.len - t.sender_local_len);
	}
	return client;
}

/* --- recipients ------------------------------------------------------------------------------ */

struct question {
	size_t n;
	const struct smtp_recipient *asked[SMTP_ASKED_MAX];
	struct recipient_address addresses[SMTP_ASKED_MAX];
	struct recipient_answer found[SMTP_ASKED_MAX];
	enum harvest_evidence evidence[SMTP_ASKED_MAX];
	enum harvest_answer harvest[SMTP_ASKED_MAX];
	struct smtp_answer answers[SMTP_ASKED_MAX];
};

static_assert((int)SMTP_ASKED_MAX <= (int)RECIPIENTS_ASKED_MAX, "one look-up a question");

static void look_up(struct mail *m, struct question *q)
{
	const struct recipients *recipients = worker_recipients(m->worker);

	for (size_t i = 0; i < q->n; i++) {
		struct span local = smtp_recipient_local(q->asked[i]);
		struct span domain = smtp_recipient_domain(q->asked[i]);

		q->addresses[i] =
			(struct recipient_address){(const char *)local.bytes,
						   (const char *)domain.bytes, (uint16_t)local.len,
						   (uint16_t)domain.len};
		q->found[i] = (struct recipient_answer){.finding = RECIPIENT_UNSURE};
	}
	if (recipients)
		recipients_find(recipients, q->addresses, q->n, q->found);
}

static enum harvest_evidence evidence_of(const struct recipient_answer *found)
{
	if (found->is_postmaster || found->by_catch_all)
		return HARVEST_NEUTRAL;
	if (found->finding == RECIPIENT_UNKNOWN)
		return HARVEST_UNKNOWN;
	if (found->finding != RECIPIENT_KNOWN)
		return HARVEST_NEUTRAL;
	if (found->class == RECIPIENT_TRAP)
		return HARVEST_TRAP;
	return found->class == RECIPIENT_NORMAL ? HARVEST_GOOD : HARVEST_NEUTRAL;
}

static enum reply reply_of_class(uint8_t class)
{
	switch (class) {
	case RECIPIENT_NORMAL:
		return REPLY_RECIPIENT_TAKEN;
	case RECIPIENT_DISABLED:
		return REPLY_MAILBOX_DISABLED;
	case RECIPIENT_MOVED:
		return REPLY_MAILBOX_MOVED;
	case RECIPIENT_OVER_QUOTA:
		return REPLY_MAILBOX_FULL;
	default:
		return REPLY_MAILBOX_UNKNOWN; /* a trap looks like nobody */
	}
}

/* What the directory says. The first that is taken decides the transaction's pool. */
static enum reply reply_of(const struct recipient_answer *found, struct transaction *t)
{
	enum reply reply;

	switch (found->finding) {
	case RECIPIENT_UNSURE:
		return REPLY_DIRECTORY_UNSURE;
	case RECIPIENT_NOT_OURS:
		return REPLY_RELAYING_DENIED;
	case RECIPIENT_UNKNOWN:
		return REPLY_MAILBOX_UNKNOWN;
	default:
		reply = reply_of_class(found->class);
	}
	if (reply != REPLY_RECIPIENT_TAKEN)
		return reply;
	if (t->has_pool && t->pool != found->pool)
		return REPLY_OTHER_SERVER;
	t->has_pool = true;
	t->pool = found->pool;
	return reply;
}

static enum reply reply_with(enum harvest_answer harvest, enum reply directory,
			     const struct harvest_client *client)
{
	switch (harvest) {
	case HARVEST_SHUT_OUT:
	case HARVEST_SHUT_DOOR:
		return REPLY_SHUT_OUT;
	case HARVEST_TOO_LATE:
		return REPLY_SHUT_OUT_BEFORE;
	case HARVEST_LIMIT:
		return client->null_sender ? REPLY_BOUNCES_HELD : REPLY_SENDER_HELD;
	default:
		return directory;
	}
}

/* Who is limited is told so before anything is looked up, but of postmasters. */
static void hold(struct question *q, const struct harvest_client *client)
{
	for (size_t i = 0; i < q->n; i++) {
		if (q->found[i].is_postmaster)
			continue;
		q->evidence[i] = HARVEST_NEUTRAL;
		q->answers[i].reply = client->null_sender ? REPLY_BOUNCES_HELD : REPLY_SENDER_HELD;
	}
}

static void answer_recipients(struct mail *m, struct smtp_session *s, struct smtp_out *out)
{
	struct transaction *t = transaction_of(m, s);
	struct harvest_client client = client_of(m, s);
	enum harvest_standing standing = harvest_standing(m->config->harvest, &client, m->now_s);
	struct harvest_verdicts verdicts;
	struct question q;

	q.n = smtp_asked(m->smtp, s, q.asked);
	look_up(m, &q);
	for (size_t i = 0; i < q.n; i++) {
		q.evidence[i] = evidence_of(&q.found[i]);
		q.answers[i] = (struct smtp_answer){.reply = standing == HARVEST_GONE
								     ? REPLY_SHUT_OUT_BEFORE
								     : reply_of(&q.found[i], t)};
	}
	if (standing == HARVEST_LIMITED)
		hold(&q, &client);
	if (standing != HARVEST_GONE) {
		harvest_recipients(m->config->harvest, &client, q.addresses, q.evidence, q.n,
				   &t->loan, m->now_s, q.harvest, &verdicts);
		for (size_t i = 0; i < q.n; i++)
			q.answers[i].reply = reply_with(q.harvest[i], q.answers[i].reply, &client);
		verdicts_take(&m->verdicts, &verdicts, m->now_s);
	}
	smtp_answer_recipients(m->smtp, s, q.answers, q.n, out);
}

/* --- transactions ---------------------------------------------------------------------------- */

/* True: the client is shut out by what it had against it. */
static bool settle(struct mail *m, struct smtp_session *s, enum harvest_end end)
{
	struct transaction *t = transaction_of(m, s);
	struct harvest_verdicts verdicts;
	struct harvest_client client;
	bool out;

	if (!t || !t->loan.good)
		return false;
	client = client_of(m, s);
	out = harvest_settle(m->config->harvest, &client, &t->loan, end, m->now_s, &verdicts);
	verdicts_take(&m->verdicts, &verdicts, m->now_s);
	return out;
}

static bool note(struct mail *m, struct smtp_session *s, enum harvest_note what)
{
	struct harvest_client client = client_of(m, s);
	struct harvest_verdicts verdicts;
	bool out = harvest_note(m->config->harvest, &client, what, m->now_s, &verdicts);

	verdicts_take(&m->verdicts, &verdicts, m->now_s);
	return out;
}

/* --- the conversation ------------------------------------------------------------------------ */

static void send_out(struct mail *m, struct tcp_conn *c, const struct smtp_out *out)
{
	/* It was given no more room than there is; what the pool has no buffer for is lost with
	 * the conversation. */
	if (out->len && tcp_send(m->tcp, c, out->bytes, out->len) != out->len)
		counter_add(&m->counters->mail_replies_lost, 1);
}

static void finish(struct mail *m, struct tcp_conn *c, struct smtp_session *s)
{
	settle(m, s, HARVEST_ABANDONED);
	smtp_close(m->smtp, s);
	tcp_set_user(c, NULL);
	tcp_close(m->tcp, c);
}

static void refuse(struct mail *m, struct tcp_conn *c, struct smtp_session *s, enum reply reply)
{
	struct smtp_out out = {.bytes = m->out, .size = sizeof(m->out)};

	smtp_refuse(m->smtp, s, reply, &out);
	if (out.len <= tcp_send_room(m->tcp, c))
		send_out(m, c, &out);
	finish(m, c, s);
}

/* Does what a step says. False: the conversation is over. */
static bool act(struct mail *m, struct smtp_session *s, enum smtp_step step, bool more,
		struct smtp_out *out)
{
	static const struct smtp_answer no_delivery = {.reply = REPLY_POOL_DOWN};

	switch (step) {
	case SMTP_ASK_RECIPIENTS:
		answer_recipients(m, s, out);
		return true;
	case SMTP_ASK_DATA:
		settle(m, s, HARVEST_FAILED);
		smtp_answer_data(m->smtp, s, &no_delivery, more, out);
		return true;
	case SMTP_ASK_DELIVERY: /* none was let begin */
	case SMTP_SPOILED:
	case SMTP_BODY:
		return true;
	case SMTP_ABANDONED:
		return !settle(m, s, HARVEST_ABANDONED);
	case SMTP_ASK_TLS:
		smtp_answer_tls(m->smtp, s, false, more, out);
		return true;
	case SMTP_NOTED:
		return !note(m, s,
			     smtp_noted(m->smtp) == SMTP_FOUND_VRFY ? HARVEST_VRFY : HARVEST_ABUSE);
	default:
		return true;
	}
}

/* One run of bytes that lie together. False: the conversation is over and gone. */
static bool feed(struct mail *m, struct tcp_conn *c, struct smtp_session *s, bool *again)
{
	size_t room = tcp_send_room(m->tcp, c);
	struct smtp_out out = {.bytes = m->out,
			       .size = room < sizeof(m->out) ? room : sizeof(m->out)};
	struct span in = tcp_read(m->tcp, c, 0);
	const size_t had = in.len, all = tcp_readable(c);
	enum smtp_step step;

	*again = false;
	if (out.size < SMTP_REPLY_MAX)
		return true; /* TCP_ROOM calls again */
	step = smtp_feed(m->smtp, s, &in, all > had, m->now_us, &out);
	if (!act(m, s, step, all > had - in.len, &out)) {
		send_out(m, c, &out);
		refuse(m, c, s, REPLY_SHUT_OUT_BEFORE);
		return false;
	}
	send_out(m, c, &out);
	tcp_consume(m->tcp, c, had - in.len);
	if (step == SMTP_CLOSE) {
		finish(m, c, s);
		return false;
	}
	*again = step != SMTP_WAIT || tcp_readable(c);
	return true;
}

static void converse(struct mail *m, struct tcp_conn *c, struct smtp_session *s)
{
	bool again = true;

	if (tcp_spoke_early(c) && !tcp_is_by_cookie(c) && tcp_readable(c)) {
		note(m, s, HARVEST_EARLY_TALK);
		refuse(m, c, s, REPLY_SPOKE_EARLY);
		return;
	}
	while (again)
		if (!feed(m, c, s, &again))
			return;
}

/* --- opening and ending ------------------------------------------------------------------------
 */

static void turn_away(struct mail *m, struct tcp_conn *c, enum reply reply)
{
	struct smtp_out out = {.bytes = m->out, .size = sizeof(m->out)};

	smtp_turn_away(m->smtp, reply, &out);
	send_out(m, c, &out);
	tcp_close(m->tcp, c);
}

/* NULL: it was turned away. */
static struct smtp_session *open_conversation(struct mail *m, struct tcp_conn *c)
{
	struct smtp_out out = {.bytes = m->out, .size = sizeof(m->out)};
	struct harvest_client client = {0};
	struct smtp_session *s;
	struct flow flow;

	if (tcp_is_over_limit(c)) {
		turn_away(m, c, REPLY_CLIENT_LIMITED);
		return NULL;
	}
	tcp_flow(m->tcp, c, &flow);
	client.address = flow.remote;
	if (harvest_standing(m->config->harvest, &client, m->now_s) == HARVEST_GONE) {
		turn_away(m, c, REPLY_SHUT_OUT_BEFORE);
		return NULL;
	}
	s = smtp_open(m->smtp, 0, c, m->now_us, &out);
	send_out(m, c, &out);
	if (!s) {
		tcp_close(m->tcp, c);
		return NULL;
	}
	tcp_set_user(c, s);
	return s;
}

static void run(void *state, struct tcp_conn *c, unsigned news, uint64_t now_us)
{
	struct mail *m = state;
	struct smtp_session *s = tcp_user(c);

	m->now_us = now_us;
	m->now_s = (uint32_t)((m->config->epoch_us + now_us) / 1000000);
	if ((news & TCP_OPENED) && !(news & TCP_ENDED))
		s = open_conversation(m, c);
	if (!s)
		return;
	if (news & TCP_ENDED) {
		settle(m, s, HARVEST_ABANDONED);
		smtp_close(m->smtp, s);
		tcp_set_user(c, NULL);
		return;
	}
	converse(m, c, s);
	/* What came before it was answered; nothing more can come. */
	if ((news & TCP_PEER_DONE) && tcp_user(c) == s && !tcp_readable(c))
		finish(m, c, s);
}

/* --- turns ----------------------------------------------------------------------------------- */

static void give_up_the_overdue(struct mail *m)
{
	struct smtp_session *s;
	enum reply why;

	while ((s = smtp_next_overdue(m->smtp, m->now_us, &why)))
		refuse(m, smtp_user(s), s, why);
}

/* A verdict ends its client's other conversations. */
static void shut_out(void *arg, struct tcp_conn *c)
{
	struct mail *m = arg;
	struct smtp_session *s = tcp_user(c);

	if (s)
		refuse(m, c, s, REPLY_SHUT_OUT_BEFORE);
}

static uint64_t turn(void *state, uint64_t now_us)
{
	struct mail *m = state;
	uint64_t bad = m->counters->tcp_cookies_bad, due_us;

	m->now_us = now_us;
	m->now_s = (uint32_t)((m->config->epoch_us + now_us) / 1000000);
	if (bad != m->cookies_bad) {
		m->cookies_bad = bad;
		m->guessed_until_us = now_us + GUESSED_US;
	}
	give_up_the_overdue(m);
	if (verdicts_turn(&m->verdicts, m->tcp, shut_out, m))
		return now_us; /* there is more to do */
	due_us = smtp_next_due(m->smtp);
	return due_us;
}

static void *start(struct worker *w, void *service_config)
{
	struct mail_config *config = service_config;
	struct smtp_config smtp = {
		.settings =
			{
				.host = config->host,
				.offers = SMTP_OFFERS_SIZE,
				.size_max = config->size_max,
				.recipients_max = (uint16_t)config->recipients_max,
				.normalize_bare_lf = config->normalize_bare_lf,
			},
		.sessions = config->sessions,
		.envelopes = config->sessions,
		.pages = config->sessions,
		.pieces = config->sessions,
		.first_id = (uint64_t)worker_index(w) << 56 | (config->epoch_us & 0xffffffffffffff),
		.counters = worker_counters(w),
	};
	struct mail *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	memcpy(&smtp.id_key, config->id_key, sizeof(smtp.id_key));
	*m = (struct mail){
		.worker = w,
		.tcp = worker_tcp(w),
		.config = config,
		.counters = worker_counters(w),
		.smtp = smtp_new(&smtp, 0),
	};
	verdicts_init(&m->verdicts, &config->shield, &config->notices[worker_index(w)],
		      m->counters);
	if (!m->smtp) {
		free(m);
		return NULL;
	}
	return m;
}

static void stop(void *state)
{
	struct mail *m = state;

	smtp_free(m->smtp);
	free(m);
}

const struct worker_service mail_service = {
	.name = "mail",
	.start = start,
	.run = run,
	.turn = turn,
	.stop = stop,
};
