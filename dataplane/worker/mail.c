/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail: the service a worker of posternd runs, and the one seam where TCP's bytes meet SMTP's
 * engine, its questions meet the directory, the harvest test and the next hops, and a verdict meets
 * the kernel.
 *
 * Thread: the owning worker. Time: the turn's; seconds since the epoch by mail_now_s.
 * Memory: all of it at start, of which untouched pages cost nothing. A conversation takes a
 * session; transactions and pieces of lines are for a share of the sessions, and who finds none
 * gets a 4xx. When STRESS_PERCENT of any of them is in use, or buffers run low, all are under
 * stress, which shortens what a client may keep that sends no message. A conversation without a
 * buffer for its reply is reset: the next one's would be taken for it. Rules: SEMANTICS. Replies of
 * a turn leave in one segment. Reading stops while they find no room, so a client that does not
 * read is not read either. A message is read as its next hop takes it, so a client follows that.
 */
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "postern/pools.h"
#include "postern/recipient_reply.h"
#include "postern/settings.h"
#include "relay/hop.h"
#include "relay/received.h"
#include "smtp/smtp.h"
#include "worker/balancers.h"
#include "worker/delivery.h"
#include "worker/sweep.h"
#include "worker/users.h"
#include "worker/verdicts.h"
#include "worker/worker.h"

enum {
	OUT_OCTETS = 16 << 10, /* replies of one conversation between two sends */
	/* So many wrong cookies in a minute, and those that are right prove nothing for the next:
	 * of 2^27 one is right by chance, so by fewer one innocent is blamed in a day and a half.
	 */
	GUESSED_COOKIES = 1 << 16,
	GUESSED_US = 60 * 1000000,
	ORDERS_A_TURN = 8,
	OFFERS_US = 1000 * 1000,
	SHARE_ENVELOPES = 4, /* a fourth of the sessions may have a transaction open */
	SHARE_PIECES = 4,
	SHARE_PAGES = 8,
	SHARE_LEAST = 1024,
	SHARE_LINKS = 4,
	REFUSALS = 1 << 14, /* of recipients by next hops, remembered by all workers */
	STRESS_PERCENT = 75,
	CALM_PERCENT = 50, /* where it ends */
};

struct mail {
	struct worker *worker;
	struct tcp *tcp;
	struct smtp *smtp;
	struct mail_config *config;
	struct deliveries *deliveries; /* NULL: there are no pools */
	struct postern_counters *counters;
	struct verdicts verdicts;
	struct notices *orders;
	struct sweeps sweeps;
	struct balancers balancers;
	uint64_t now_us;
	uint32_t now_s;
	uint64_t cookies_bad, cookies_since_us; /* as the minute began */
	uint64_t guessed_until_us;
	uint64_t orders_dropped;
	struct smtp_settings settings;
	uint64_t offers_us; /* when to look at those of next hops again */
	bool draining, stress;
	uint8_t out[OUT_OCTETS];
};

/* What an open transaction is to us: kept in the engine's envelope, zero at MAIL. */
struct transaction {
	struct harvest_loan loan;
	bool has_pool, is_whole;
	uint16_t pool;	   /* of its recipients */
	uint32_t delivery; /* DELIVERY_NONE: DATA has not come */
};

static_assert(sizeof(struct transaction) <= sizeof(struct smtp_transaction_user),
	      "what the envelope has room for");

static_assert((int)MAIL_RECIPIENTS_LEAST == (int)SMTP_RECIPIENTS_LEAST &&
		      (int)MAIL_RECIPIENTS_MOST == (int)SMTP_RECIPIENTS_MOST,
	      "the same bounds");

static void set_time(struct mail *m, uint64_t now_us)
{
	m->now_us = now_us;
	m->now_s = mail_now_s(m->config, now_us);
	if (m->deliveries)
		deliveries_set_time(m->deliveries, now_us, m->now_s);
}

/* --- who is asking --------------------------------------------------------------------------- */

static struct transaction *transaction_of(struct mail *m, struct smtp_session *s)
{
	return (struct transaction *)smtp_transaction_user(m->smtp, s);
}

/* Whether it is who it says it is: a load balancer's word is enough. */
static bool is_proved(const struct smtp_session *s)
{
	return client_balanced(s) || tcp_is_proved(client_conn(s));
}

/* Anybody could have guessed its cookie, and those who try are many. */
static bool gives_no_evidence(const struct mail *m, const struct smtp_session *s)
{
	return !is_proved(s) && m->now_us < m->guessed_until_us;
}

static struct harvest_client client_of(struct mail *m, struct smtp_session *s)
{
	struct harvest_client client = {
		.no_evidence = gives_no_evidence(m, s),
		.by_proxy = client_balanced(s) != NULL,
	};
	struct smtp_transaction t;
	struct flow flow;

	client_flow(m->tcp, s, &flow);
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
	struct refusal refusals[SMTP_ASKED_MAX];
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

/* How a pool stands, to a transaction that has `taken` recipients of it. */
static enum reply reply_of_pool(const struct mail *m, uint16_t pool, bool has_one)
{
	const struct pool_config *config;

	if (!m->config->pools)
		return REPLY_RECIPIENT_TAKEN;
	switch (pools_standing(m->config->pools, pool, m->now_us)) {
	case POOL_ALL_DOWN:
		return REPLY_POOL_DOWN;
	case POOL_ALL_WRONG:
		return REPLY_POOL_TRIPPED;
	default:
		break;
	}
	config = pools_config(m->config->pools, pool);
	if (has_one && config->protocol == POOL_LMTP && !config->many_recipients)
		return REPLY_TOO_MANY_RECIPIENTS;
	return REPLY_RECIPIENT_TAKEN;
}

/* What the directory says, of one pool alone: the first recipient taken decides which. */
static enum reply reply_of(const struct mail *m, const struct recipient_answer *found,
			   struct transaction *t)
{
	enum reply reply = recipient_reply(found);

	if (reply != REPLY_RECIPIENT_TAKEN)
		return reply;
	if (t->has_pool && t->pool != found->pool)
		return REPLY_OTHER_SERVER;
	reply = reply_of_pool(m, found->pool, t->has_pool);
	if (reply != REPLY_RECIPIENT_TAKEN)
		return reply;
	t->has_pool = true;
	t->pool = found->pool;
	return reply;
}

/* What its next hop said of a recipient before, which counts still. */
static bool was_refused(struct mail *m, const struct smtp_transaction *t,
			const struct recipient_answer *found, const struct smtp_recipient *r,
			struct refusal *refusal)
{
	const struct span address = smtp_recipient_address(r);
	struct refusals *refusals = m->config->refusals;

	if (!refusals || found->is_postmaster || found->finding != RECIPIENT_KNOWN)
		return false;
	/* A server that may have been wrong is asked again. */
	if (!refusals_find(refusals, t->sender, address, m->now_us, refusal) ||
	    refusal->is_suspect || refusal->pool != found->pool)
		return false;
	/* A 4xx is told once: the recipient comes alone the next time, and is asked for anew. */
	if (refusal->code < 500)
		refusals_forget(refusals, t->sender, address);
	counter_add(&m->counters->relay_refusals_told, 1);
	return true;
}

static enum reply reply_held(const struct harvest_client *client)
{
	return client->null_sender ? REPLY_BOUNCES_HELD : REPLY_SENDER_HELD;
}

/* Whom this concerns may have other conversations. */
static void sweep(struct mail *m, const struct ip_addr *address, uint8_t prefix_len)
{
	if (!sweeps_begin(&m->sweeps, m->tcp, address, prefix_len))
		counter_add(&m->counters->mail_sweeps_full, 1);
}

/* Carries out what was decided. */
static void decided(struct mail *m, const struct harvest_verdicts *verdicts)
{
	for (uint32_t i = 0; i < verdicts->n; i++) {
		const struct harvest_verdict *v = &verdicts->at[i];

		verdicts_take(&m->verdicts, v);
		if (verdict_shuts_out(v))
			sweep(m, &v->address, v->prefix_len);
	}
}

/* Why nothing may be said of a recipient; else REPLY_NONE. */
static enum reply why_silent(struct mail *m, const struct harvest_client *client,
			     enum harvest_standing standing, const struct recipient_answer *found)
{
	if (standing == HARVEST_GONE)
		return REPLY_SHUT_OUT_BEFORE;
	if (found->is_postmaster)
		return REPLY_NONE;
	if (client->no_evidence) {
		counter_add(&m->counters->mail_unproved, 1);
		return REPLY_DIRECTORY_UNSURE;
	}
	return standing == HARVEST_LIMITED ? reply_held(client) : REPLY_NONE;
}

/* Whether a recipient's answer says something of who asks, and not of how our servers are. */
static bool is_evidence(enum reply reply)
{
	return reply != REPLY_OTHER_SERVER && reply != REPLY_POOL_DOWN &&
	       reply != REPLY_POOL_TRIPPED && reply != REPLY_TOO_MANY_RECIPIENTS;
}

/* What one would be told, and what it says of who asks. */
static void judge(struct mail *m, const struct harvest_client *client,
		  enum harvest_standing standing, struct question *q, size_t i,
		  const struct smtp_transaction *st, struct transaction *t)
{
	struct smtp_answer *answer = &q->answers[i];
	enum reply reply = why_silent(m, client, standing, &q->found[i]);

	*answer = (struct smtp_answer){.reply = reply, .tag = q->found[i].domain};
	q->evidence[i] = HARVEST_NEUTRAL;
	if (reply != REPLY_NONE)
		return;
	if (was_refused(m, st, &q->found[i], q->asked[i], &q->refusals[i])) {
		answer->reply = REPLY_OF_NEXT_HOP;
		answer->code = q->refusals[i].code;
		answer->text = (struct span){q->refusals[i].text, q->refusals[i].text_len};
		return;
	}
	answer->reply = reply_of(m, &q->found[i], t);
	if (is_evidence(answer->reply))
		q->evidence[i] = evidence_of(&q->found[i]);
}

static enum reply reply_with(enum harvest_answer harvest, enum reply reply,
			     const struct harvest_client *client)
{
	switch (harvest) {
	case HARVEST_SHUT_OUT:
	case HARVEST_SHUT_DOOR:
		return REPLY_SHUT_OUT;
	case HARVEST_TOO_LATE:
		return REPLY_SHUT_OUT_BEFORE;
	case HARVEST_LIMIT:
		return reply_held(client);
	default:
		return reply;
	}
}

static void answer_recipients(struct mail *m, struct smtp_session *s, struct smtp_out *out)
{
	struct transaction *t = transaction_of(m, s);
	struct harvest_client client = client_of(m, s);
	enum harvest_standing standing = harvest_standing(m->config->harvest, &client, m->now_s);
	struct harvest_verdicts verdicts;
	struct smtp_transaction st;
	struct question q;

	q.n = smtp_asked(m->smtp, s, q.asked);
	look_up(m, &q);
	smtp_transaction(m->smtp, s, &st);
	for (size_t i = 0; i < q.n; i++)
		judge(m, &client, standing, &q, i, &st, t);
	if (standing != HARVEST_GONE) {
		harvest_recipients(m->config->harvest, &client, q.addresses, q.evidence, q.n,
				   &t->loan, m->now_s, q.harvest, &verdicts);
		for (size_t i = 0; i < q.n; i++)
			q.answers[i].reply = reply_with(q.harvest[i], q.answers[i].reply, &client);
		decided(m, &verdicts);
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
	decided(m, &verdicts);
	return out;
}

/* Nothing of it is under way any more that could still be called back. */
static void leave_delivery(struct mail *m, struct smtp_session *s)
{
	struct transaction *t = transaction_of(m, s);

	if (!t || t->delivery == DELIVERY_NONE)
		return;
	delivery_close(m->deliveries, t->delivery);
	t->delivery = DELIVERY_NONE;
}

/* Its message is, and the answer to it has not come. */
static bool is_whole(struct mail *m, struct smtp_session *s)
{
	struct transaction *t = transaction_of(m, s);

	return t && t->is_whole;
}

static bool is_past_end(struct mail *m, struct smtp_session *s)
{
	struct transaction *t = transaction_of(m, s);

	return t && t->delivery != DELIVERY_NONE &&
	       delivery_is_past_end(m->deliveries, t->delivery);
}

/* True: the client is shut out for it. */
static bool note(struct mail *m, struct smtp_session *s, enum harvest_note what)
{
	struct harvest_client client = client_of(m, s);
	struct harvest_verdicts verdicts;
	bool out = harvest_note(m->config->harvest, &client, what, m->now_s, &verdicts);

	decided(m, &verdicts);
	return out;
}

/* --- the end --------------------------------------------------------------------------------- */

static bool is_gone(const struct mail *m, const struct ip_addr *address)
{
	return harvest_is_gone(m->config->harvest, address, m->now_s);
}

static bool is_client_gone(const struct mail *m, const struct smtp_session *s)
{
	struct flow flow;

	client_flow(m->tcp, s, &flow);
	return is_gone(m, &flow.remote);
}

static bool is_shielded(const struct mail *m, uint8_t port)
{
	return m->config->shield.flagged_fd >= 0 && m->config->shield.ports >> port & 1;
}

/* False: not all of it found a buffer. */
static bool send_out(struct mail *m, struct tcp_conn *c, const struct smtp_out *out)
{
	if (!out->len || tcp_send(m->tcp, c, out->bytes, out->len) == out->len)
		return true;
	counter_add(&m->counters->mail_replies_lost, 1);
	return false;
}

/* The kernel lets no segment of its peer through. */
static bool is_unheard(const struct mail *m, const struct tcp_conn *c)
{
	struct flow flow;

	tcp_flow(m->tcp, c, &flow);
	return is_shielded(m, tcp_port(c)) &&
	       harvest_is_dropped(m->config->harvest, &flow.remote, m->now_s);
}

/* Who is dropped in the kernel does not answer any more: what is said to him is said once. */
static void close_connection(struct mail *m, struct tcp_conn *c)
{
	tcp_set_user(c, NULL);
	if (is_unheard(m, c))
		tcp_close_unheard(m->tcp, c);
	else
		tcp_close(m->tcp, c);
}

/* Its connection is nobody's then. */
static void end_conversation(struct mail *m, struct tcp_conn *c, struct smtp_session *s,
			     enum harvest_end end)
{
	struct balanced *bd = client_balanced(s);

	settle(m, s, end);
	leave_delivery(m, s);
	smtp_close(m->smtp, s);
	balanced_free(&m->balancers, bd);
	tcp_set_user(c, NULL);
}

static void finish(struct mail *m, struct tcp_conn *c, struct smtp_session *s, enum harvest_end end)
{
	end_conversation(m, c, s, end);
	close_connection(m, c);
}

/* It cannot go on, and that is our fault. */
static void break_off(struct mail *m, struct tcp_conn *c, struct smtp_session *s)
{
	end_conversation(m, c, s, HARVEST_FAILED);
	tcp_abort(m->tcp, c);
}

static void refuse(struct mail *m, struct tcp_conn *c, struct smtp_session *s, enum reply reply,
		   enum harvest_end end)
{
	struct smtp_out out = {.bytes = m->out, .size = sizeof(m->out)};

	smtp_refuse(m->smtp, s, reply, &out);
	/* Who has not made room for it does without. */
	if (out.len <= tcp_send_room(m->tcp, c) && !send_out(m, c, &out))
		break_off(m, c, s);
	else
		finish(m, c, s, end);
}

/* --- messages -------------------------------------------------------------------------------- */

/* What a step led to. */
enum led {
	LED_ON,
	LED_TO_WAIT, /* for the next hop */
	LED_OUT,     /* the client is shut out, or we are going */
};

static enum led unless(bool out)
{
	return out ? LED_OUT : LED_ON;
}

/* Ends the transaction by what its delivery came to, or without one. */
static void answer_no(struct mail *m, struct smtp_session *s, const struct smtp_answer *answer,
		      struct smtp_out *out)
{
	struct transaction *t = transaction_of(m, s);
	const uint32_t number = t->delivery;

	settle(m, s, HARVEST_FAILED);
	t->delivery = DELIVERY_NONE;
	smtp_answer_data(m->smtp, s, answer, false, out);
	if (number != DELIVERY_NONE)
		delivery_close(m->deliveries, number);
}

static uint32_t begin_delivery(struct mail *m, struct smtp_session *s, uint16_t pool)
{
	struct flow flow;

	client_flow(m->tcp, s, &flow);
	return delivery_begin(m->deliveries, s, pool,
			      harvest_has_delivered(m->config->harvest, &flow.remote));
}

/* DATA: the next hop is asked, or the message is held until it is. */
static enum led answer_data(struct mail *m, struct smtp_session *s, bool more, struct smtp_out *out)
{
	static const struct smtp_answer wanted = {.reply = REPLY_MESSAGE_WANTED},
					no_delivery = {.reply = REPLY_POOL_DOWN},
					no_room = {.reply = REPLY_NO_ROOM};
	struct transaction *t = transaction_of(m, s);

	if (more) {
		settle(m, s, HARVEST_FAILED);
		smtp_answer_data(m->smtp, s, &wanted, true, out);
		return LED_ON;
	}
	if (!m->deliveries) {
		answer_no(m, s, &no_delivery, out);
		return LED_ON;
	}
	if (t->delivery == DELIVERY_NONE)
		t->delivery = begin_delivery(m, s, t->pool);
	if (t->delivery == DELIVERY_NONE) {
		answer_no(m, s, &no_room, out);
		return LED_ON;
	}
	switch (delivery_standing(m->deliveries, t->delivery)) {
	case DELIVERY_WAITS:
		return LED_TO_WAIT;
	case DELIVERY_WANTS:
		smtp_answer_data(m->smtp, s, &wanted, false, out);
		return LED_ON;
	case DELIVERY_ANSWERED:
	default:
		answer_no(m, s, delivery_answer(m->deliveries, t->delivery), out);
		return LED_ON;
	}
}

static void take_body(struct mail *m, struct smtp_session *s)
{
	const struct span *spans;
	size_t n = smtp_body(m->smtp, &spans);

	delivery_body(m->deliveries, transaction_of(m, s)->delivery, spans, n);
}

/* The message is whole. */
static enum led answer_delivery(struct mail *m, struct smtp_session *s, struct smtp_out *out)
{
	struct transaction *t = transaction_of(m, s);
	const struct smtp_answer *answer;
	uint32_t number = t->delivery;
	bool taken;

	if (!t->is_whole) {
		t->is_whole = true;
		delivery_end(m->deliveries, number);
	}
	if (delivery_standing(m->deliveries, number) != DELIVERY_ANSWERED)
		return LED_TO_WAIT;
	answer = delivery_answer(m->deliveries, number);
	taken = answer->reply == REPLY_OF_NEXT_HOP && answer->code / 100 == 2;
	settle(m, s, taken ? HARVEST_DELIVERED : HARVEST_FAILED);
	t->delivery = DELIVERY_NONE;
	smtp_answer_delivery(m->smtp, s, answer, out);
	delivery_close(m->deliveries, number);
	/* It was let go on to here. */
	return unless(m->draining || is_client_gone(m, s));
}

/* --- the conversation ------------------------------------------------------------------------ */

/* Does what a step says; more: further octets have arrived. */
static enum led act(struct mail *m, struct smtp_session *s, enum smtp_step step, bool more,
		    struct smtp_out *out)
{
	switch (step) {
	case SMTP_ASK_RECIPIENTS:
		answer_recipients(m, s, out);
		return LED_ON;
	case SMTP_ASK_DATA:
		return answer_data(m, s, more, out);
	case SMTP_BODY:
		take_body(m, s);
		return LED_ON;
	case SMTP_SPOILED:
		settle(m, s, HARVEST_FAILED);
		leave_delivery(m, s);
		return LED_ON;
	case SMTP_ASK_DELIVERY:
		return answer_delivery(m, s, out);
	case SMTP_ABANDONED:
		return unless(settle(m, s, HARVEST_ABANDONED));
	case SMTP_ASK_TLS:
		smtp_answer_tls(m->smtp, s, false, more, out);
		return LED_ON;
	case SMTP_NOTED:
		return unless(note(m, s,
				   smtp_noted(m->smtp) == SMTP_FOUND_VRFY ? HARVEST_VRFY
									  : HARVEST_ABUSE));
	default:
		return LED_ON;
	}
}

/* Whose fault it is that the engine has said its last. */
static enum harvest_end end_of(const struct mail *m)
{
	return smtp_closed_by(m->smtp) == REPLY_OVERLOADED ? HARVEST_FAILED : HARVEST_ABANDONED;
}

/* Octets that replies to a client find room for. */
static size_t reply_room(const struct mail *m, const struct tcp_conn *c)
{
	const size_t room = tcp_send_room(m->tcp, c), queued = tcp_unacknowledged(c);

	if (queued >= sizeof(m->out))
		return 0;
	return room < sizeof(m->out) - queued ? room : sizeof(m->out) - queued;
}

/* What may be read at once: of a message no more than its next hop takes. */
static struct span readable(struct mail *m, const struct tcp_conn *c, struct smtp_session *s)
{
	struct span in = tcp_read(m->tcp, c, 0);
	const struct transaction *t = transaction_of(m, s);
	size_t room;

	if (!smtp_is_in_message(s) || !t || t->delivery == DELIVERY_NONE) {
		smtp_hold(m->smtp, s, false);
		return in;
	}
	room = delivery_room(m->deliveries, t->delivery);
	smtp_hold(m->smtp, s, room == 0);
	return (struct span){in.bytes, in.len < room ? in.len : room};
}

/* Feeds what lies together of what has arrived. True: there may be more to do. */
static bool feed(struct mail *m, struct tcp_conn *c, struct smtp_session *s)
{
	const size_t all = tcp_readable(c);
	struct smtp_out out = {.bytes = m->out, .size = reply_room(m, c)};
	struct span in = readable(m, c, s);
	const size_t had = in.len;
	enum smtp_step step;
	enum led led;

	if (out.size < SMTP_OUT_LEAST && !smtp_is_closing(s))
		return false; /* TCP_ROOM calls again */
	step = smtp_feed(m->smtp, s, &in, all > had, m->now_us, &out);
	led = act(m, s, step, all > had - in.len, &out);
	if (!send_out(m, c, &out)) {
		break_off(m, c, s);
		return false;
	}
	if (led == LED_OUT && !smtp_is_closing(s)) {
		refuse(m, c, s, m->draining ? REPLY_DRAINING : REPLY_SHUT_OUT_BEFORE,
		       HARVEST_ABANDONED);
		return false;
	}
	tcp_consume(m->tcp, c, had - in.len);
	if (step == SMTP_CLOSE) {
		finish(m, c, s, end_of(m));
		return false;
	}
	if (led == LED_TO_WAIT)
		return false;
	return step != SMTP_WAIT || (had && tcp_readable(c));
}

static void converse(struct mail *m, struct tcp_conn *c, struct smtp_session *s)
{
	while (feed(m, c, s))
		;
	/* What came before its FIN is answered; no more can come. */
	if (tcp_user(c) == s && tcp_is_peer_done(c) && !tcp_readable(c) && !is_whole(m, s))
		finish(m, c, s, HARVEST_ABANDONED);
}

/* Conversations that what next hops said lets go on. */
static void converse_on(struct mail *m)
{
	struct tcp_conn *c;

	while (m->deliveries && (c = deliveries_next(m->deliveries)))
		converse(m, c, tcp_user(c));
}

/* --- the beginning --------------------------------------------------------------------------- */

/* What is said to it is all. bd: NULL where its client opened it. */
static void let_go(struct mail *m, struct tcp_conn *c, struct balanced *bd,
		   const struct smtp_out *out)
{
	balanced_free(&m->balancers, bd);
	tcp_set_user(c, NULL);
	if (send_out(m, c, out))
		close_connection(m, c);
	else
		tcp_abort(m->tcp, c);
}

static void turn_away(struct mail *m, struct tcp_conn *c, struct balanced *bd, enum reply reply)
{
	struct smtp_out out = {.bytes = m->out, .size = sizeof(m->out)};

	counter_add(&m->counters->mail_turned_away, 1);
	smtp_turn_away(m->smtp, reply, &out);
	let_go(m, c, bd, &out);
}

/* The row to turn it away with, or REPLY_NONE. */
static enum reply why_not(const struct mail *m, const struct tcp_conn *c, const struct balanced *bd)
{
	struct flow flow;

	tcp_flow(m->tcp, c, &flow);
	if (m->draining)
		return REPLY_DRAINING;
	if (tcp_is_over_limit(c))
		return REPLY_CLIENT_LIMITED;
	return is_gone(m, bd ? &bd->client.remote : &flow.remote) ? REPLY_SHUT_OUT_BEFORE
								  : REPLY_NONE;
}

/* Who speaks before he is greeted does not wait for anybody's answer. */
static void end_early_talk(struct mail *m, struct tcp_conn *c, struct smtp_session *s, bool greeted)
{
	counter_add(&m->counters->mail_early_talkers, 1);
	if (is_proved(s))
		note(m, s, HARVEST_EARLY_TALK);
	if (greeted)
		refuse(m, c, s, REPLY_SPOKE_EARLY, HARVEST_ABANDONED);
	else
		finish(m, c, s, HARVEST_ABANDONED);
}

/* early: octets came that are the client's. */
static void open_conversation(struct mail *m, struct tcp_conn *c, struct balanced *bd, bool early)
{
	struct smtp_out out = {.bytes = m->out, .size = sizeof(m->out)};
	void *user = bd ? user_of(bd, USER_BALANCED) : c;
	enum reply why = why_not(m, c, bd);
	struct smtp_session *s;

	if (why != REPLY_NONE) {
		turn_away(m, c, bd, why);
		return;
	}
	s = smtp_open(m->smtp, early ? SMTP_SPOKE_EARLY : 0, user, m->now_us, &out);
	if (!s) {
		let_go(m, c, bd, &out);
		return;
	}
	tcp_set_user(c, s);
	if (!send_out(m, c, &out))
		break_off(m, c, s);
	else if (early)
		end_early_talk(m, c, s, false);
}

/* A load balancer says first who the client is, and nobody is greeted before that. */
static void begin(struct mail *m, struct tcp_conn *c)
{
	struct balanced *bd;

	if (!balancers_opened(&m->balancers, m->tcp, c)) {
		open_conversation(m, c, NULL, tcp_spoke_early(c));
		return;
	}
	if (m->draining) {
		turn_away(m, c, NULL, REPLY_DRAINING);
		return;
	}
	bd = balanced_new(&m->balancers, c, m->now_us);
	if (bd)
		tcp_set_user(c, user_of(bd, USER_BALANCED));
	else
		turn_away(m, c, NULL, REPLY_OVERLOADED);
}

static void give_up_header(struct mail *m, struct balanced *bd)
{
	struct tcp_conn *c = bd->conn;

	counter_add(&m->counters->mail_proxy_malformed, 1);
	balanced_free(&m->balancers, bd);
	tcp_set_user(c, NULL);
	tcp_abort(m->tcp, c);
}

/* The header is speech before the greeting that was asked for; what lies behind it is the client's,
 * and was not. */
static void open_balanced(struct mail *m, struct balanced *bd, bool is_named)
{
	struct tcp_conn *c = bd->conn;

	tcp_forgive_early(c);
	if (is_named) {
		counter_add(&m->counters->mail_proxied, 1);
	} else {
		balanced_free(&m->balancers, bd);
		bd = NULL;
	}
	open_conversation(m, c, bd, tcp_readable(c) > 0);
}

/* It wanted to know whether anybody is there, if it has said nothing at all. */
static void end_headless(struct mail *m, struct balanced *bd)
{
	const struct smtp_out nothing = {0};

	if (tcp_readable(bd->conn))
		give_up_header(m, bd);
	else
		let_go(m, bd->conn, bd, &nothing);
}

static void hear_header(struct mail *m, struct tcp_conn *c, struct balanced *bd)
{
	switch (balanced_read(&m->balancers, bd, m->tcp)) {
	case PROXY_NAMED:
		open_balanced(m, bd, true);
		break;
	case PROXY_UNNAMED:
		open_balanced(m, bd, false);
		break;
	case PROXY_PART:
		if (tcp_is_peer_done(c))
			end_headless(m, bd);
		break;
	default:
		give_up_header(m, bd);
	}
}

static void go_on_to_greet(struct mail *m, struct tcp_conn *c, struct balanced *bd, unsigned news)
{
	if (!(news & TCP_ENDED)) {
		hear_header(m, c, bd);
		return;
	}
	balanced_free(&m->balancers, bd);
	tcp_set_user(c, NULL);
}

static void go_on(struct mail *m, struct tcp_conn *c, struct smtp_session *s, unsigned news)
{
	if (news & TCP_ENDED)
		end_conversation(m, c, s, HARVEST_ABANDONED);
	else if (tcp_spoke_early(c))
		end_early_talk(m, c, s, true);
	else
		converse(m, c, s);
}

static void run(void *state, struct tcp_conn *c, unsigned news, uint64_t now_us)
{
	struct mail *m = state;

	set_time(m, now_us);
	if (deliveries_is_mine(c)) {
		deliveries_run(m->deliveries, c, news);
		converse_on(m);
		return;
	}
	if ((news & TCP_OPENED) && !(news & TCP_ENDED))
		begin(m, c);
	if (user_kind(tcp_user(c)) == USER_BALANCED)
		go_on_to_greet(m, c, user_object(tcp_user(c)), news);
	if (tcp_user(c) && user_kind(tcp_user(c)) == USER_PLAIN)
		go_on(m, c, tcp_user(c), news);
}

/* --- turns ----------------------------------------------------------------------------------- */

static bool admits(void *state, const struct ip_addr *address, uint8_t port, uint64_t now_us)
{
	struct mail *m = state;

	if (is_shielded(m, port))
		return true;
	set_time(m, now_us);
	return !harvest_is_dropped(m->config->harvest, address, m->now_s);
}

/* When buffers are few, who does not take what was said to him does not get to keep one. */
static void give_up(struct mail *m, struct smtp_session *s, enum reply why)
{
	struct tcp_conn *c = client_conn(s);
	bool ours = m->stress && why == REPLY_IDLE_TOO_LONG;

	if (tcp_pool_is_low(m->tcp) && tcp_unacknowledged(c))
		break_off(m, c, s);
	else
		refuse(m, c, s, why, ours ? HARVEST_FAILED : HARVEST_ABANDONED);
}

static void give_up_the_overdue(struct mail *m)
{
	struct smtp_session *s;
	enum reply why;

	while ((s = smtp_next_overdue(m->smtp, m->now_us, &why)))
		give_up(m, s, why);
}

static void give_up_late_headers(struct mail *m)
{
	struct balanced *bd;

	while ((bd = balancers_next_overdue(&m->balancers, m->now_us)))
		give_up_header(m, bd);
}

/* Before it has said who the client is a load balancer speaks for itself. */
static bool client_swept(void *arg, const struct tcp_conn *c, struct ip_addr *client)
{
	const struct mail *m = arg;
	struct flow flow;

	switch (user_kind(tcp_user(c))) {
	case USER_PLAIN:
		client_flow(m->tcp, tcp_user(c), &flow);
		break;
	case USER_BALANCED:
		tcp_flow(m->tcp, c, &flow);
		break;
	default:
		return false;
	}
	*client = flow.remote;
	return true;
}

/* A verdict ends its client's other conversations; a prefix's spares those with credit. */
static void end_swept(void *arg, struct tcp_conn *c)
{
	struct mail *m = arg;
	struct smtp_session *s = tcp_user(c);

	if (user_kind(s) == USER_BALANCED) {
		if (m->draining)
			turn_away(m, c, user_object(s), REPLY_DRAINING);
		return;
	}
	/* Whose message is on its way to an answer hears it. */
	if (is_past_end(m, s))
		return;
	if (m->draining) {
		refuse(m, c, s, REPLY_DRAINING, HARVEST_FAILED);
	} else if (is_client_gone(m, s)) {
		counter_add(&m->counters->mail_swept, 1);
		refuse(m, c, s, REPLY_SHUT_OUT_BEFORE, HARVEST_ABANDONED);
	}
}

static void sweep_all(struct mail *m)
{
	static const struct ip_addr anybody;

	sweep(m, &anybody, 0);
}

static void take_orders(struct mail *m)
{
	uint64_t dropped = atomic_load_explicit(&m->orders->dropped, memory_order_relaxed);
	struct notice notice;

	for (unsigned i = 0; i < ORDERS_A_TURN && notices_get(m->orders, &notice); i++)
		sweep(m, &notice.verdict.address, notice.verdict.prefix_len);
	if (dropped != m->orders_dropped)
		sweep_all(m);
	m->orders_dropped = dropped;
	if (!m->draining && atomic_load_explicit(&m->config->draining, memory_order_relaxed)) {
		m->draining = true;
		sweep_all(m);
		if (m->deliveries)
			deliveries_drain(m->deliveries);
	}
}

static void look_at_cookies(struct mail *m)
{
	uint64_t bad = m->counters->tcp_cookies_bad;

	if (m->now_us - m->cookies_since_us >= GUESSED_US) {
		m->cookies_since_us = m->now_us;
		m->cookies_bad = bad;
	}
	if (bad - m->cookies_bad >= GUESSED_COOKIES)
		m->guessed_until_us = m->now_us + GUESSED_US;
}

static void look_at_load(struct mail *m)
{
	unsigned bound = m->stress ? CALM_PERCENT : STRESS_PERCENT;
	bool stress = smtp_is_full_to(m->smtp, bound) || tcp_pool_is_low(m->tcp);

	if (stress != m->stress)
		smtp_stress(m->smtp, stress);
	m->stress = stress;
}

static unsigned offers_of(uint16_t hops)
{
	unsigned offers = SMTP_OFFERS_SIZE;

	if (hops & HOP_OFFERS_8BITMIME)
		offers |= SMTP_OFFERS_8BITMIME;
	if (hops & HOP_OFFERS_SMTPUTF8 && hops & HOP_OFFERS_8BITMIME)
		offers |= SMTP_OFFERS_SMTPUTF8;
	if (hops & HOP_OFFERS_DSN)
		offers |= SMTP_OFFERS_DSN;
	return offers;
}

/* We offer what all next hops do. */
static void look_at_offers(struct mail *m)
{
	struct smtp_settings settings = m->settings;
	uint64_t size = 0;
	uint16_t hops = 0;

	if (m->now_us < m->offers_us)
		return;
	m->offers_us = m->now_us + OFFERS_US;
	if (!pools_offers(m->config->pools, &hops, &size))
		return;
	settings.offers = offers_of(hops);
	settings.size_max = m->config->size_max;
	if (size > RECEIVED_MAX && size - RECEIVED_MAX < settings.size_max)
		settings.size_max = size - RECEIVED_MAX;
	if (settings.offers == m->settings.offers && settings.size_max == m->settings.size_max)
		return;
	if (smtp_configure(m->smtp, &settings))
		m->settings = settings;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t turn(void *state, uint64_t now_us)
{
	struct mail *m = state;
	const struct sweeps_owner swept = {client_swept, end_swept, m};
	uint64_t relay_due = UINT64_MAX;
	bool more;

	set_time(m, now_us);
	look_at_cookies(m);
	look_at_load(m);
	take_orders(m);
	give_up_the_overdue(m);
	give_up_late_headers(m);
	more = sweeps_turn(&m->sweeps, m->tcp, &swept);
	if (m->deliveries) {
		deliveries_turn(m->deliveries);
		converse_on(m);
		look_at_offers(m);
		relay_due = deliveries_next_due(m->deliveries);
	}
	verdicts_turn(&m->verdicts);
	if (more)
		return now_us;
	return sooner(sooner(smtp_next_due(m->smtp), balancers_next_due(&m->balancers)), relay_due);
}

/* --- life ------------------------------------------------------------------------------------ */

static uint32_t share(uint32_t sessions, uint32_t of)
{
	uint32_t least = sessions < SHARE_LEAST ? sessions : SHARE_LEAST;

	return sessions / of > least ? sessions / of : least;
}

/* Their keys are drawn from the one there is: what clients see of that, in ids, tells nothing of
 * them. */
static struct refusals *new_refusals(const struct mail_config *config)
{
	struct siphash_key own, keys[2];
	uint64_t words[4];

	memcpy(&own, config->id_key, sizeof(own));
	for (uint64_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		words[i] = siphash24(&own, &i, sizeof(i));
	memcpy(keys, words, sizeof(keys));
	return refusals_new(REFUSALS, keys);
}

/* What next hops refused is known to all workers: the first to start makes it, the last to stop
 * takes it away. */
static bool start_relay(struct mail *m, uint32_t deliveries)
{
	struct mail_config *config = m->config;
	struct deliveries_config relay = {
		.worker = m->worker,
		.smtp = m->smtp,
		.pools = config->pools,
		.host = config->host,
		.deliveries = deliveries,
		.links = share(config->sessions, SHARE_LINKS),
		.held_max = config->buffered_max,
		.held_octets = config->relay_octets,
		.counters = m->counters,
	};

	if (!config->refusals)
		config->refusals = new_refusals(config);
	relay.refusals = config->refusals;
	if (config->refusals)
		m->deliveries = deliveries_new(&relay, 0);
	return m->deliveries;
}

static void stop(void *state)
{
	struct mail *m = state;

	deliveries_free(m->deliveries);
	balancers_release(&m->balancers);
	smtp_free(m->smtp);
	if (--m->config->users == 0) {
		refusals_free(m->config->refusals);
		m->config->refusals = NULL;
	}
	free(m);
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
		.envelopes = share(config->sessions, SHARE_ENVELOPES),
		.pages = share(config->sessions, SHARE_PAGES),
		.pieces = share(config->sessions, SHARE_PIECES),
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
		.orders = &config->orders[worker_index(w)],
		.smtp = smtp_new(&smtp, 0),
		.settings = smtp.settings,
	};
	verdicts_init(&m->verdicts, &config->shield, &config->notices[worker_index(w)],
		      m->counters);
	config->users++;
	if (!m->smtp ||
	    !balancers_init(&m->balancers, config->proxy_from, config->n_proxy_from,
			    config->sessions) ||
	    (config->pools && !start_relay(m, smtp.envelopes))) {
		stop(m);
		return NULL;
	}
	return m;
}

const struct worker_service mail_service = {
	.name = "mail",
	.start = start,
	.admits = admits,
	.run = run,
	.turn = turn,
	.stop = stop,
};
