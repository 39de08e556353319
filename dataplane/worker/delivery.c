/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory, Rules: delivery.h. */
#include "worker/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/ascii.h"
#include "base/counter.h"
#include "base/slab.h"
#include "relay/meaning.h"
#include "relay/received.h"
#include "smtp/status.h"
#include "worker/balancers.h"
#include "worker/held.h"
#include "worker/links.h"

enum {
	TRIES_MAX = 3,		/* servers a transaction asks */
	TRIAL_US = 500 * 1000,	/* between two looks for servers to try */
	QUEUE_US = 10 * 1000,	/* between two looks for room at a server */
	SHARE_US = 1000 * 1000, /* a connection is kept though another worker wants its place */
	QUIET_US = 5000 * 1000, /* a server that ended behind this waited for the client */
	ROOM_LEAST = 4096,	/* at a next hop, before more of a message is read */
	EXPANDS = 2,		/* what the scanner makes of an octet, at most ... */
	HELD_BACK = 8,		/* ... and what it has kept */
};

enum delivery_state {
	DELIVERY_FREE,
	DELIVERY_HOLDING, /* the message comes; nobody is asked yet */
	DELIVERY_QUEUED,  /* for room at a server */
	DELIVERY_ASKING,
	DELIVERY_SENDING, /* 354 came */
	DELIVERY_SENT,	  /* and the end */
	DELIVERY_DONE,	  /* the answer is here */
};

struct delivery {
	const struct smtp *smtp;
	struct smtp_session *session; /* NULL: nobody waits for it */
	struct link *link;
	TAILQ_ENTRY(delivery) woken, queued;
	struct pool_tried tried;
	struct smtp_walk said, answered; /* over the recipients */
	uint64_t until_us;		 /* for the answer to DATA, or to the message held */
	uint64_t whole_us, ended_us;	 /* when the client, and we, said the end */
	struct held held;		 /* octets that are not sent yet, or may be again */
	uint32_t began_s;
	uint16_t pool;
	uint8_t state, tries;
	bool is_held;	/* every octet so far is here */
	bool is_whole;	/* the client has said the end */
	bool is_headed; /* the Received field was sent */
	bool is_woken, is_queued;
	bool is_known;	  /* the client: mail of its was delivered before */
	bool found_wrong; /* a server was */
	bool has_refusal, has_doubt, has_later, has_meant;
	struct smtp_answer answer;
	uint8_t text[HOP_TEXT_MAX];
};

struct deliveries {
	struct deliveries_config config;
	struct links *links;
	struct slab slab, chunks;
	TAILQ_HEAD(, delivery) woken, queued;
	uint32_t waits[POOLS_MAX]; /* of the queued */
	uint64_t now_us, trial_us, queue_us;
	uint32_t now_s, trial_at;
	bool draining, has_room; /* a server has less to do: who waits for one may go on */
};

/* --- life ------------------------------------------------------------------------------------ */

struct deliveries *deliveries_new(const struct deliveries_config *config, uint64_t now_us)
{
	struct deliveries *d = calloc(1, sizeof(*d));
	struct links_config links = {
		.worker = config->worker,
		.pools = config->pools,
		.host = config->host,
		.links = config->links,
		.counters = config->counters,
	};

	if (!d)
		return NULL;
	links.waits = d->waits;
	d->config = *config;
	d->now_us = now_us;
	TAILQ_INIT(&d->woken);
	TAILQ_INIT(&d->queued);
	d->links = links_new(&links, now_us);
	if (!d->links || !slab_init(&d->slab, sizeof(struct delivery), 64, config->deliveries) ||
	    !held_pool_init(&d->chunks, config->held_octets)) {
		deliveries_free(d);
		return NULL;
	}
	return d;
}

void deliveries_free(struct deliveries *d)
{
	if (!d)
		return;
	slab_release(&d->chunks);
	slab_release(&d->slab);
	links_free(d->links);
	free(d);
}

void deliveries_set_time(struct deliveries *d, uint64_t now_us, uint32_t now_s)
{
	d->now_us = now_us;
	d->now_s = now_s;
	links_set_time(d->links, now_us);
}

static struct delivery *delivery_of(const struct deliveries *d, uint32_t number)
{
	return slab_at(&d->slab, number - 1);
}

/* --- lists ----------------------------------------------------------------------------------- */

static void wake(struct deliveries *d, struct delivery *dl)
{
	if (dl->is_woken || !dl->session)
		return;
	dl->is_woken = true;
	TAILQ_INSERT_TAIL(&d->woken, dl, woken);
}

static void forget_woken(struct deliveries *d, struct delivery *dl)
{
	if (!dl->is_woken)
		return;
	TAILQ_REMOVE(&d->woken, dl, woken);
	dl->is_woken = false;
}

struct tcp_conn *deliveries_next(struct deliveries *d)
{
	struct delivery *dl = TAILQ_FIRST(&d->woken);

	if (!dl)
		return NULL;
	forget_woken(d, dl);
	return client_conn(dl->session);
}

static void enqueue(struct deliveries *d, struct delivery *dl)
{
	dl->state = DELIVERY_QUEUED;
	if (dl->is_queued)
		return;
	dl->is_queued = true;
	TAILQ_INSERT_TAIL(&d->queued, dl, queued);
	d->waits[dl->pool]++;
	pools_want(d->config.pools, dl->pool, true);
}

static void forget_queued(struct deliveries *d, struct delivery *dl)
{
	if (!dl->is_queued)
		return;
	TAILQ_REMOVE(&d->queued, dl, queued);
	dl->is_queued = false;
	d->waits[dl->pool]--;
	pools_want(d->config.pools, dl->pool, false);
}

/* --- octets held ----------------------------------------------------------------------------- */

static uint64_t held_room(const struct deliveries *d, const struct delivery *dl)
{
	const uint64_t most = (uint64_t)d->config.held_max * EXPANDS + HELD_BACK;
	const uint64_t left = most > dl->held.octets ? most - dl->held.octets : 0;
	const uint64_t free = held_free(&d->chunks);

	return left < free ? left : free;
}

/* --- the answer ------------------------------------------------------------------------------ */

static void release(struct deliveries *d, uint32_t pool, uint32_t server)
{
	pools_release(d->config.pools, pool, server);
	d->has_room = true;
}

/* Whether another worker waits for a connection's place. Where we have who waits, too, we take
 * turns. */
static bool is_for_others(const struct deliveries *d, const struct link *l)
{
	const uint32_t ours = d->waits[l->pool];

	return pools_wanted(d->config.pools, l->pool) > ours &&
	       (!ours || d->now_us - l->opened_us >= SHARE_US);
}

/* Nobody uses it now. */
static void park(struct deliveries *d, struct link *l)
{
	const bool is_for_others_now = is_for_others(d, l);

	links_park(d->links, l, !is_for_others_now);
	d->has_room = !is_for_others_now;
	if (is_for_others_now) /* who look once in a QUEUE_US */
		d->queue_us = d->now_us + 2 * QUEUE_US;
}

/* What was asked for with this connection is over; the message, if it has come so far, is not. */
static void drop_link(struct deliveries *d, struct delivery *dl)
{
	struct link *l = dl->link;

	if (!l)
		return;
	dl->link = NULL;
	release(d, l->pool, l->server);
	links_abort(d->links, l);
}

/* Its client is gone. What is only being opened still tells how the server is. */
static void leave_link(struct deliveries *d, struct delivery *dl)
{
	struct link *l = dl->link;

	if (!l || l->flags & (LINK_GREETED | LINK_LATE | LINK_LOST)) {
		drop_link(d, dl);
		return;
	}
	dl->link = NULL;
	l->user = NULL;
	l->until_us = 0;
	l->is_trial = true;
}

static void free_delivery(struct deliveries *d, struct delivery *dl)
{
	forget_woken(d, dl);
	forget_queued(d, dl);
	held_forget(&d->chunks, &dl->held);
	dl->state = DELIVERY_FREE;
	counter_add(&d->config.counters->relay_ended, 1);
	slab_give(&d->slab, slab_index(&d->slab, dl));
}

/* Nothing is under way for it any more. */
static void done(struct deliveries *d, struct delivery *dl)
{
	forget_queued(d, dl);
	held_forget(&d->chunks, &dl->held);
	dl->state = DELIVERY_DONE;
	if (dl->session)
		wake(d, dl);
	else
		free_delivery(d, dl);
}

static void answer_with(struct deliveries *d, struct delivery *dl, enum reply reply)
{
	dl->answer = (struct smtp_answer){.reply = reply};
	done(d, dl);
}

static void keep_reply(struct delivery *dl, const struct hop_reply *reply)
{
	memcpy(dl->text, reply->text, reply->len);
	dl->answer = (struct smtp_answer){
		.reply = REPLY_OF_NEXT_HOP,
		.code = reply->code,
		.text = {dl->text, reply->len},
	};
}

/* --- whose fault ----------------------------------------------------------------------------- */

static const char *const failures[] = {
	[HOP_FINE] = "the connection was lost",
	[HOP_GREETING_REFUSED] = "the greeting",
	[HOP_HELLO_REFUSED] = "the answer to EHLO",
	[HOP_IDENTITY_REFUSED] = "the answer to XCLIENT, or it is not offered",
	[HOP_RESET_REFUSED] = "the answer to RSET",
	[HOP_SHUT_DOWN] = "it shut down",
	[HOP_UNASKED] = "it spoke unasked",
	[HOP_NO_REPLY] = "what it said is no reply of SMTP",
};

/* A sentence for the operator: what failed, and the server's words. */
static void describe(const struct link *l, char error[POOL_ERROR_MAX])
{
	const struct hop_reply *r = &l->hop.reply;
	const char *what = failures[l->hop.failure];
	int words = 0;

	if (l->flags & LINK_LATE)
		what = l->flags & LINK_OPENED ? "no answer in time" : "no connection in time";
	else if (!(l->flags & LINK_OPENED))
		what = "no connection";
	if (r->code && l->flags & LINK_OPENED)
		while (words < r->len && r->text[words] >= ' ' && r->text[words] < 0x7f)
			words++;
	if (r->code && l->flags & LINK_OPENED)
		snprintf(error, POOL_ERROR_MAX, "%s; last: %u %.*s", what, r->code, words,
			 (const char *)r->text);
	else
		snprintf(error, POOL_ERROR_MAX, "%s", what);
}

/* Its greeting, or what follows, is refused for good: the server is wrong, whatever the mail. */
static bool is_wrong(const struct link *l)
{
	switch (l->hop.failure) {
	case HOP_GREETING_REFUSED:
	case HOP_HELLO_REFUSED:
	case HOP_IDENTITY_REFUSED:
	case HOP_RESET_REFUSED:
		return l->hop.reply.code >= 500 || l->hop.reply.code < 400;
	case HOP_NO_REPLY:
		return true;
	default:
		return false;
	}
}

static void report_failure(struct deliveries *d, const struct link *l)
{
	char error[POOL_ERROR_MAX];

	describe(l, error);
	counter_add(&d->config.counters->relay_lost, 1);
	if (is_wrong(l))
		pools_wrong(d->config.pools, l->pool, l->server, error, d->now_us);
	else
		pools_lost(d->config.pools, l->pool, l->server, error, d->now_us);
}

/* --- what refusals mean ---------------------------------------------------------------------- */

static struct span text_of(const struct hop_reply *reply)
{
	const uint8_t *end = memchr(reply->text, '\n', reply->len);

	return (struct span){reply->text, end ? (size_t)(end - reply->text) : reply->len};
}

/* For when the client comes again. */
static void remember(struct deliveries *d, const struct delivery *dl, struct span recipient,
		     bool is_suspect)
{
	const struct link *l = dl->link;
	const struct hop_reply *reply = &l->hop.reply;
	struct span text = text_of(reply);
	struct status status;
	struct refusal refusal = {
		.code = reply->code,
		.pool = (uint16_t)l->pool,
		.server = (uint16_t)l->server,
		.is_suspect = is_suspect,
	};
	struct smtp_transaction t;

	status_read(text, &status);
	if (text.len > REFUSAL_TEXT_MAX)
		text.len = REFUSAL_TEXT_MAX;
	refusal.text_len = (uint16_t)text.len;
	memcpy(refusal.text, text.bytes, text.len);
	smtp_transaction(d->config.smtp, dl->session, &t);
	refusals_put(d->config.refusals, t.sender, recipient,
		     !is_suspect && status.class == 5 && status.subject == 1 && status.detail == 1,
		     &refusal, d->now_us);
}

static void forget_refusals(struct deliveries *d, struct delivery *dl)
{
	struct smtp_walk walk = {0};
	const struct smtp_recipient *r;
	struct smtp_transaction t;

	smtp_transaction(d->config.smtp, dl->session, &t);
	while ((r = smtp_next_recipient(d->config.smtp, dl->session, &walk)))
		refusals_forget(d->config.refusals, t.sender, smtp_recipient_address(r));
}

/* Doubtful, but the server refused it before as well, and has taken others' since. */
static bool is_meant(const struct deliveries *d, const struct delivery *dl, struct span recipient)
{
	const struct link *l = dl->link;
	struct smtp_transaction t;
	struct refusal before;

	smtp_transaction(d->config.smtp, dl->session, &t);
	return refusals_find(d->config.refusals, t.sender, recipient, d->now_us, &before) &&
	       before.code >= 500 && before.pool == l->pool &&
	       (!before.is_suspect ||
		pools_taken_us(d->config.pools, l->pool, l->server) > before.since_us);
}

static enum meaning meaning_to(const struct deliveries *d, const struct delivery *dl,
			       enum asked_about what, struct span recipient)
{
	const struct hop_reply *reply = &dl->link->hop.reply;
	enum meaning meaning = meaning_of(what, reply->code, text_of(reply));

	if (meaning == MEANING_DOUBT && is_meant(d, dl, recipient))
		return MEANING_MAIL;
	return meaning;
}

/* The message is refused though its recipients were taken: behind its end whoever has read it may
 * say what he will, but for what only a server that is wrong says. */
static void doubt_refusal(struct deliveries *d, struct delivery *dl)
{
	const struct span nobody = {0};
	const struct link *l = dl->link;
	const bool was_read = dl->state != DELIVERY_ASKING;
	enum meaning meaning;
	char error[POOL_ERROR_MAX];

	if (was_read)
		meaning = meaning_of(ASKED_ABOUT_SENDER, l->hop.reply.code, text_of(&l->hop.reply));
	else
		meaning = meaning_to(d, dl, ASKED_ABOUT_SENDER, nobody);
	if (meaning < MEANING_DOUBT || (was_read && meaning == MEANING_DOUBT))
		return;
	dl->answer = (struct smtp_answer){.reply = REPLY_POOL_TRIPPED};
	if (meaning == MEANING_DOUBT) {
		remember(d, dl, nobody, true);
		return;
	}
	describe(l, error);
	pools_wrong(d->config.pools, l->pool, l->server, error, d->now_us);
}

/* --- asking ---------------------------------------------------------------------------------- */

static void client_of(struct deliveries *d, const struct delivery *dl, struct hop_client *client)
{
	struct flow flow;

	client_flow(worker_tcp(d->config.worker), dl->session, &flow);
	*client = (struct hop_client){
		.address = flow.remote,
		.local = flow.local,
		.port = flow.remote_port,
		.local_port = flow.local_port,
		.hello = smtp_hello(d->config.smtp, dl->session),
		.extended = smtp_is_extended(dl->session),
	};
}

static const struct smtp_recipient *next_recipient(void *arg)
{
	struct delivery *dl = arg;

	return smtp_next_recipient(dl->smtp, dl->session, &dl->said);
}

static size_t write_received(struct deliveries *d, const struct delivery *dl,
			     char field[RECEIVED_MAX])
{
	char id[SMTP_ID_LEN];
	struct smtp_transaction t;
	struct flow flow;
	struct received r;

	smtp_id(dl->session, id);
	smtp_transaction(d->config.smtp, dl->session, &t);
	client_flow(worker_tcp(d->config.worker), dl->session, &flow);
	r = (struct received){
		.hello = smtp_hello(d->config.smtp, dl->session),
		.client = flow.remote,
		.host = d->config.host,
		.id = {(const uint8_t *)id, SMTP_ID_LEN},
		.extended = smtp_is_extended(dl->session),
		.over_tls = smtp_is_over_tls(dl->session),
		.smtputf8 = t.smtputf8,
		.now_s = dl->began_s,
	};
	return received_write(&r, field);
}

/* The connection is ready: the transaction is said. */
static void ask(struct deliveries *d, struct delivery *dl)
{
	struct hop_mail mail = {.next = next_recipient, .arg = dl};
	char field[RECEIVED_MAX];
	struct hop_client client;

	dl->state = DELIVERY_ASKING;
	dl->link->until_us = dl->until_us;
	dl->said = dl->answered = (struct smtp_walk){0};
	dl->has_refusal = dl->has_doubt = dl->has_later = dl->has_meant = false;
	smtp_transaction(d->config.smtp, dl->session, &mail.transaction);
	mail.added = write_received(d, dl, field);
	client_of(d, dl, &client);
	if (!links_begin(d->links, dl->link, &client, &mail)) {
		/* Offered when EHLO was answered, and not by this server. */
		pool_tried_add(&dl->tried, dl->link->server);
		release(d, dl->link->pool, dl->link->server);
		park(d, dl->link);
		dl->link = NULL;
		enqueue(d, dl);
	}
}

static bool take_link(struct deliveries *d, struct delivery *dl, uint32_t server, bool needs_new)
{
	const struct pool_config *pool = pools_config(d->config.pools, dl->pool);
	struct hop_client client;

	if (!needs_new) {
		dl->link = links_take(d->links, dl->pool, server, dl);
		if (dl->link) {
			ask(d, dl);
		} else { /* those that were idle are of no use */
			release(d, dl->pool, server);
			enqueue(d, dl);
		}
		return true;
	}
	client_of(d, dl, &client);
	client.hello = (struct span){0};
	dl->link = links_open(d->links, dl->pool, server,
			      pool->identity == POOL_PROXY_V2 ? &client : NULL, dl);
	dl->state = DELIVERY_ASKING;
	if (dl->link)
		dl->link->until_us = dl->until_us;
	return dl->link;
}

/* Takes a server, waits for room at one, or gives up. False: none has room. */
static bool look_for_server(struct deliveries *d, struct delivery *dl)
{
	struct pool_tried idle;
	uint32_t server;
	bool needs_new;

	links_idle(d->links, dl->pool, &idle);
	switch (pools_take(d->config.pools, dl->pool, &dl->tried, &idle, d->now_us, &server,
			   &needs_new)) {
	case POOL_CHOSEN:
		forget_queued(d, dl);
		if (take_link(d, dl, server, needs_new))
			return true;
		release(d, dl->pool, server);
		answer_with(d, dl, REPLY_NO_ROOM);
		return true;
	case POOL_ALL_BUSY:
		enqueue(d, dl);
		return false;
	case POOL_ALL_WRONG:
		answer_with(d, dl, REPLY_POOL_TRIPPED);
		return true;
	case POOL_ALL_DOWN:
	default:
		answer_with(d, dl, dl->found_wrong ? REPLY_POOL_TRIPPED : REPLY_POOL_DOWN);
		return true;
	}
}

/* What is held is sent from its beginning. */
static struct delivery *begin_anew(struct delivery *dl)
{
	held_rewind(&dl->held);
	dl->is_headed = false;
	return dl;
}

/* Another server, while that is still possible. */
static void try_again(struct deliveries *d, struct delivery *dl)
{
	if (++dl->tries < TRIES_MAX && d->now_us < dl->until_us) {
		counter_add(&d->config.counters->relay_retries, 1);
		look_for_server(d, begin_anew(dl));
	} else {
		answer_with(d, dl, dl->found_wrong ? REPLY_POOL_TRIPPED : REPLY_NEXT_HOP_LOST);
	}
}

/* A server that had all there was of a message, and ended. */
static bool waited_for_client(const struct deliveries *d, const struct delivery *dl)
{
	return dl->state == DELIVERY_SENDING && !dl->is_whole && !(dl->link->flags & LINK_LATE) &&
	       d->now_us - dl->link->said_us >= QUIET_US;
}

/* What a connection that failed says of its server. */
static void blame(struct deliveries *d, struct delivery *dl)
{
	const struct link *l = dl->link;

	if (l->flags & LINK_OURS || waited_for_client(d, dl))
		return;
	/* One that was idle has ended since. */
	if (l->flags & LINK_USED && !(l->flags & (LINK_HEARD | LINK_LATE))) {
		dl->tries--;
		return;
	}
	report_failure(d, l);
	dl->found_wrong |= is_wrong(l);
	pool_tried_add(&dl->tried, l->server);
}

/* Its connection is of no use any more. */
static void fail_link(struct deliveries *d, struct delivery *dl)
{
	const struct link *l = dl->link;
	const bool may_retry =
		dl->state == DELIVERY_ASKING || (dl->state == DELIVERY_SENDING && dl->is_held);
	const bool late = l->flags & LINK_LATE && dl->state == DELIVERY_SENT;
	const bool is_ours = l->flags & LINK_OURS;

	/* It said why before it went. */
	if (l->hop.failure == HOP_UNASKED && dl->state == DELIVERY_SENDING) {
		keep_reply(dl, &l->hop.reply);
		doubt_refusal(d, dl);
		drop_link(d, dl);
		done(d, dl);
		return;
	}
	if (dl->state == DELIVERY_SENDING || dl->state == DELIVERY_SENT)
		pools_answered(d->config.pools, l->pool, l->server, 0, 0, d->now_us);
	blame(d, dl);
	/* Where not all was answered nobody knows which answer was whose. */
	if (dl->state == DELIVERY_ASKING && dl->has_refusal)
		forget_refusals(d, dl);
	drop_link(d, dl);
	if (may_retry && dl->session && is_ours) {
		enqueue(d, begin_anew(dl));
		d->has_room = false; /* not before some time has passed */
	} else if (may_retry && dl->session) {
		try_again(d, dl);
	} else {
		answer_with(d, dl, late ? REPLY_NEXT_HOP_SILENT : REPLY_NEXT_HOP_LOST);
	}
}

/* --- recipients' answers --------------------------------------------------------------------- */

static bool is_postmaster(const struct smtp_recipient *r)
{
	return ascii_is_word(r->bytes, r->local_len, "postmaster");
}

/* Notes what a refusal is to the transaction. False: the server is wrong. */
static bool weigh(struct deliveries *d, struct delivery *dl, enum asked_about what,
		  struct span recipient)
{
	const struct link *l = dl->link;
	const struct hop_reply *reply = &l->hop.reply;
	const enum meaning alone = meaning_of(what, reply->code, text_of(reply));
	enum meaning meaning = meaning_to(d, dl, what, recipient);
	char error[POOL_ERROR_MAX];

	describe(l, error);
	if (meaning == MEANING_SERVER) {
		pools_wrong(d->config.pools, l->pool, l->server, error, d->now_us);
		return false;
	}
	/* A stranger may be refused for what it is (a block list), as often as it likes. */
	if (reply->code >= 500 &&
	    (dl->is_known || (what == ASKED_ABOUT_RECIPIENT && alone == MEANING_MAIL)) &&
	    pools_recipient_refused(d->config.pools, l->pool, l->server, error, d->now_us))
		meaning = MEANING_DOUBT;
	if (!dl->has_refusal || (meaning == MEANING_LATER && !dl->has_later))
		keep_reply(dl, reply);
	dl->has_refusal = true;
	dl->has_later |= meaning == MEANING_LATER;
	dl->has_doubt |= meaning == MEANING_DOUBT;
	dl->has_meant |= meaning != alone;
	if (what == ASKED_ABOUT_RECIPIENT || meaning == MEANING_DOUBT)
		remember(d, dl, recipient, meaning == MEANING_DOUBT);
	return true;
}

/* False: the connection is of no use any more. */
static bool take_recipients_answer(struct deliveries *d, struct delivery *dl)
{
	const struct smtp_recipient *r =
		smtp_next_recipient(d->config.smtp, dl->session, &dl->answered);
	const struct link *l = dl->link;

	if (l->hop.reply.code < 300) {
		pools_recipient_taken(d->config.pools, l->pool, l->server, d->now_us);
		return true;
	}
	counter_add(&d->config.counters->relay_recipients_refused, 1);
	if (is_postmaster(r) && l->hop.reply.code >= 500) {
		/* No refusal of it is passed on for good. */
		dl->has_refusal = dl->has_doubt = true;
		return true;
	}
	return weigh(d, dl, ASKED_ABOUT_RECIPIENT, smtp_recipient_address(r));
}

static void forget_doubt(struct deliveries *d, struct span sender, struct span recipient)
{
	struct refusals *refusals = d->config.refusals;
	struct refusal refusal;

	if (refusals_find(refusals, sender, recipient, d->now_us, &refusal) && refusal.is_suspect)
		refusals_forget(refusals, sender, recipient);
}

/* What was taken was not meant when it was refused. */
static void forget_doubts(struct deliveries *d, const struct delivery *dl)
{
	const struct span nobody = {0};
	struct smtp_walk walk = {0};
	const struct smtp_recipient *r;
	struct smtp_transaction t;

	smtp_transaction(d->config.smtp, dl->session, &t);
	while ((r = smtp_next_recipient(d->config.smtp, dl->session, &walk)))
		forget_doubt(d, t.sender, smtp_recipient_address(r));
	forget_doubt(d, t.sender, nobody);
}

/* All are refused, and the client hears why: they are asked for again when it comes again. But of
 * who hears "later" those keep theirs who may never be asked for; and what was meant is believed
 * at once the next time. */
static void settle_refusals(struct deliveries *d, struct delivery *dl)
{
	struct refusals *refusals = d->config.refusals;
	struct smtp_walk walk = {0};
	const struct smtp_recipient *r;
	struct smtp_transaction t;
	struct refusal refusal;

	smtp_transaction(d->config.smtp, dl->session, &t);
	while ((r = smtp_next_recipient(d->config.smtp, dl->session, &walk))) {
		const struct span address = smtp_recipient_address(r);

		if (!refusals_find(refusals, t.sender, address, d->now_us, &refusal) ||
		    (refusal.code >= 500 && dl->has_later))
			continue;
		refusals_forget(refusals, t.sender, address);
		refusal.is_suspect = true;
		if (refusal.code >= 500 && dl->has_meant)
			refusals_put(refusals, t.sender, address, false, &refusal, d->now_us);
	}
}

/* What was asked for is refused, all or in part, and nothing was transferred. */
static void refuse(struct deliveries *d, struct delivery *dl, bool all)
{
	struct link *l = dl->link;

	dl->link = NULL;
	l->user = NULL;
	release(d, l->pool, l->server);
	links_reset(d->links, l);
	counter_add(&d->config.counters->relay_messages_refused, 1);
	pools_answered(d->config.pools, l->pool, l->server, dl->answer.code / 100, 0, d->now_us);
	if (dl->has_doubt) {
		answer_with(d, dl, REPLY_POOL_TRIPPED);
	} else if (!all) {
		answer_with(d, dl, REPLY_SOME_REFUSED);
	} else {
		settle_refusals(d, dl);
		done(d, dl);
	}
}

/* MAIL and every RCPT have their answers. */
static void take_answers(struct deliveries *d, struct delivery *dl)
{
	struct link *l = dl->link;

	if (hop_mail_refused(&l->hop)) {
		if (weigh(d, dl, ASKED_ABOUT_SENDER, (struct span){0}))
			refuse(d, dl, true);
		else
			fail_link(d, dl);
	} else if (dl->has_refusal) {
		refuse(d, dl, l->hop.rcpts_taken == 0);
	} else {
		links_data(d->links, l);
	}
}

/* --- the message ----------------------------------------------------------------------------- */

static void send_header(struct deliveries *d, struct delivery *dl)
{
	char field[RECEIVED_MAX];
	size_t len = write_received(d, dl, field);

	links_send(d->links, dl->link, field, len);
	dl->is_headed = true;
}

/* Sends what is held, as there is room. */
static void flush(struct deliveries *d, struct delivery *dl)
{
	size_t room = links_room(d->links, dl->link);
	struct span next;

	if (!dl->is_headed) {
		if (room < RECEIVED_MAX)
			return;
		send_header(d, dl);
		room = links_room(d->links, dl->link);
	}
	while (room && (next = held_next(&d->chunks, &dl->held)).len) {
		const size_t n = next.len < room ? next.len : room;

		links_send(d->links, dl->link, next.bytes, n);
		held_skip(&d->chunks, &dl->held, n);
		room -= n;
	}
}

static bool is_flushed(const struct delivery *dl)
{
	return dl->is_headed && held_is_read(&dl->held);
}

static void go_on_sending(struct deliveries *d, struct delivery *dl)
{
	flush(d, dl);
	if (dl->link->flags & LINK_LOST) {
		fail_link(d, dl);
		return;
	}
	if (!is_flushed(dl) || links_room(d->links, dl->link) < ROOM_LEAST)
		return;
	if (dl->is_whole) {
		dl->state = DELIVERY_SENT;
		dl->ended_us = d->now_us;
		dl->answered = (struct smtp_walk){0};
		dl->link->until_us = dl->whole_us + HOP_FINAL_MS * 1000ULL;
		links_end(d->links, dl->link);
	} else {
		wake(d, dl);
	}
}

/* One whom LMTP refused the message, though it may have taken it for others. The client comes again
 * for all: this one is put off then, once, so that those who have it get it a second time and no
 * more, and this one hears its own answer when it stands alone. The answer itself is not kept: it
 * may be about the message, and the next be taken. */
static void set_apart(struct deliveries *d, const struct delivery *dl, struct span recipient)
{
	static const uint8_t text[] = "4.3.0 not taken together with others; send it separately";
	struct refusal refusal = {
		.code = 451,
		.pool = (uint16_t)dl->link->pool,
		.server = (uint16_t)dl->link->server,
		.text_len = sizeof(text) - 1,
	};
	struct smtp_transaction t;

	memcpy(refusal.text, text, sizeof(text) - 1);
	smtp_transaction(d->config.smtp, dl->session, &t);
	refusals_put(d->config.refusals, t.sender, recipient, false, &refusal, d->now_us);
}

static void take_recipients_end(struct deliveries *d, struct delivery *dl)
{
	const struct hop *hop = &dl->link->hop;
	const struct smtp_recipient *r;

	if (!dl->session || hop->rcpts_taken == 1)
		return;
	r = smtp_next_recipient(d->config.smtp, dl->session, &dl->answered);
	if (hop->outcome.is_refused && !is_postmaster(r))
		set_apart(d, dl, smtp_recipient_address(r));
}

/* LMTP has answered for each recipient, and not alike. Those it has, it gets again; but nobody is
 * told for good what holds for another. */
static bool is_divided(const struct hop_outcome *o)
{
	return o->refused && (o->taken || (o->later && o->later < o->refused));
}

/* The next hop has answered for the message. */
static void take_delivery(struct deliveries *d, struct delivery *dl)
{
	struct link *l = dl->link;
	const unsigned class = l->hop.reply.code / 100;
	const bool was_sent = dl->state == DELIVERY_SENT;

	keep_reply(dl, &l->hop.reply);
	pools_answered(d->config.pools, l->pool, l->server, class,
		       was_sent ? (uint32_t)(d->now_us - dl->ended_us) : 0, d->now_us);
	counter_add(class == 2 ? &d->config.counters->relay_messages_taken
			       : &d->config.counters->relay_messages_refused,
		    1);
	doubt_refusal(d, dl);
	if (class == 2 && dl->session)
		forget_doubts(d, dl);
	if (was_sent && !l->hop.outcome.taken && dl->session)
		settle_refusals(d, dl);
	if (is_divided(&l->hop.outcome))
		dl->answer = (struct smtp_answer){.reply = REPLY_SOME_REFUSED};
	dl->link = NULL;
	release(d, l->pool, l->server);
	park(d, l);
	done(d, dl);
}

/* --- what links find ------------------------------------------------------------------------- */

/* Does what a step says for its transaction; false: that has nothing more to do with it now. */
static bool act(struct deliveries *d, struct delivery *dl, enum hop_step step)
{
	switch (step) {
	case HOP_READY:
		ask(d, dl);
		return dl->link;
	case HOP_RCPT:
		if (take_recipients_answer(d, dl))
			return true;
		dl->found_wrong = true;
		fail_link(d, dl);
		return false;
	case HOP_ASKED:
		take_answers(d, dl);
		return dl->link;
	case HOP_WANTED:
		dl->state = DELIVERY_SENDING;
		go_on_sending(d, dl);
		wake(d, dl);
		return dl->link;
	case HOP_RCPT_END:
		take_recipients_end(d, dl);
		return true;
	case HOP_ANSWERED:
		take_delivery(d, dl);
		return false;
	case HOP_FAILED:
		fail_link(d, dl);
		return false;
	default:
		if (dl->state == DELIVERY_SENDING)
			go_on_sending(d, dl);
		return false;
	}
}

/* One that serves nobody: a trial, or one that was reset. False: it is done with. */
static bool act_alone(struct deliveries *d, struct link *l, enum hop_step step)
{
	switch (step) {
	case HOP_WAIT:
		return false;
	case HOP_READY:
		if (l->is_trial)
			release(d, l->pool, l->server);
		l->is_trial = false;
		park(d, l);
		return false;
	default:
		if (!(l->flags & (LINK_USED | LINK_OURS)))
			report_failure(d, l);
		if (l->is_trial)
			release(d, l->pool, l->server);
		links_abort(d->links, l);
		return false;
	}
}

static void note_greeting(struct deliveries *d, struct link *l, enum hop_step step)
{
	if (step != HOP_READY || l->flags & LINK_GREETED)
		return;
	l->flags |= LINK_GREETED;
	pools_greeted(d->config.pools, l->pool, l->server, l->hop.offers & 0xff, l->hop.size_max,
		      d->now_us);
}

static void serve_links(struct deliveries *d)
{
	struct link *l;

	while ((l = links_next(d->links))) {
		enum hop_step step;

		do {
			step = links_step(d->links, l);
			note_greeting(d, l, step);
		} while (l->user ? act(d, l->user, step) : act_alone(d, l, step));
	}
}

static bool has_tried(const struct delivery *dl)
{
	static const struct pool_tried none;

	return memcmp(&dl->tried, &none, sizeof(none)) != 0;
}

/* In turn, but nobody waits for another pool's servers, nor behind who may not have all of its own.
 */
static void serve_queue(struct deliveries *d)
{
	uint64_t busy[POOLS_MAX / 64] = {0};
	struct delivery *dl = TAILQ_FIRST(&d->queued), *next;

	d->queue_us = d->now_us + QUEUE_US;
	d->has_room = false;
	for (; dl; dl = next) {
		const uint64_t bit = 1ULL << dl->pool % 64;

		next = TAILQ_NEXT(dl, queued);
		if (d->now_us >= dl->until_us)
			answer_with(d, dl, REPLY_POOL_BUSY);
		else if (!(busy[dl->pool / 64] & bit) && !look_for_server(d, dl) && !has_tried(dl))
			busy[dl->pool / 64] |= bit;
	}
}

/* What links found, and what follows from it. */
static void serve(struct deliveries *d)
{
	serve_links(d);
	if (!TAILQ_EMPTY(&d->queued) && (d->has_room || d->now_us >= d->queue_us)) {
		serve_queue(d);
		serve_links(d);
	}
}

static void try_servers(struct deliveries *d)
{
	uint32_t pool, server;

	d->trial_us = d->now_us + TRIAL_US;
	while (pools_take_trial(d->config.pools, d->now_us, &d->trial_at, &pool, &server)) {
		struct link *l = links_open(d->links, pool, server, NULL, NULL);

		if (!l) {
			release(d, pool, server);
			return;
		}
		l->is_trial = true;
	}
}

void deliveries_run(struct deliveries *d, struct tcp_conn *c, unsigned news)
{
	links_run(d->links, c, news);
	serve(d);
}

bool deliveries_is_mine(const struct tcp_conn *c)
{
	return links_is_mine(c);
}

void deliveries_turn(struct deliveries *d)
{
	if (d->now_us >= d->trial_us && !d->draining)
		try_servers(d);
	links_turn(d->links);
	serve(d);
}

uint64_t deliveries_next_due(const struct deliveries *d)
{
	uint64_t due = links_next_due(d->links);

	if (!TAILQ_EMPTY(&d->queued) && d->queue_us < due)
		due = d->queue_us;
	return !d->draining && d->trial_us < due ? d->trial_us : due;
}

void deliveries_drain(struct deliveries *d)
{
	d->draining = true;
	links_drain(d->links);
}

/* --- what the mail service asks --------------------------------------------------------------
 */

static bool is_to_be_held(const struct deliveries *d, const struct smtp_session *s)
{
	struct smtp_transaction t;

	smtp_transaction(d->config.smtp, s, &t);
	return t.declared_size && t.declared_size <= d->config.held_max &&
	       held_free(&d->chunks) > (uint64_t)d->config.held_max * EXPANDS;
}

static void begin_asking(struct deliveries *d, struct delivery *dl)
{
	dl->until_us = d->now_us + HOP_SETUP_MS * 1000ULL;
	if (d->waits[dl->pool])
		enqueue(d, dl);
	else
		look_for_server(d, dl);
	serve(d);
}

uint32_t delivery_begin(struct deliveries *d, struct smtp_session *s, uint16_t pool, bool is_known)
{
	uint32_t index = slab_take(&d->slab), number = index + 1;
	struct delivery *dl;

	if (index == SLAB_NONE)
		return DELIVERY_NONE;
	dl = slab_at(&d->slab, index);
	counter_add(&d->config.counters->relay_transactions, 1);
	memset(dl, 0, offsetof(struct delivery, text));
	dl->smtp = d->config.smtp;
	dl->session = s;
	dl->pool = pool;
	dl->is_known = is_known;
	held_begin(&dl->held);
	dl->began_s = d->now_s;
	dl->is_held = is_to_be_held(d, s);
	if (dl->is_held)
		dl->state = DELIVERY_HOLDING;
	else
		begin_asking(d, dl);
	return number;
}

enum delivery_standing delivery_standing(const struct deliveries *d, uint32_t number)
{
	switch (delivery_of(d, number)->state) {
	case DELIVERY_HOLDING:
	case DELIVERY_SENDING:
		return DELIVERY_WANTS;
	case DELIVERY_DONE:
		return DELIVERY_ANSWERED;
	default:
		return DELIVERY_WAITS;
	}
}

size_t delivery_room(struct deliveries *d, uint32_t number)
{
	struct delivery *dl = delivery_of(d, number);
	uint64_t room = 0;

	switch (dl->state) {
	case DELIVERY_DONE:
		return SIZE_MAX;
	case DELIVERY_HOLDING:
		room = held_room(d, dl);
		if (room >= ROOM_LEAST)
			break;
		/* More than was declared, or than there is memory for: it is streamed. */
		dl->is_held = false;
		begin_asking(d, dl);
		return 0;
	case DELIVERY_SENDING:
		if (is_flushed(dl))
			room = links_room(d->links, dl->link);
		break;
	default:
		break;
	}
	return room < ROOM_LEAST ? 0 : (room - HELD_BACK) / EXPANDS;
}

void delivery_body(struct deliveries *d, uint32_t number, const struct span *spans, size_t n)
{
	struct delivery *dl = delivery_of(d, number);

	for (size_t i = 0; i < n; i++) {
		if (dl->state == DELIVERY_SENDING) {
			links_send(d->links, dl->link, spans[i].bytes, spans[i].len);
			counter_add(&d->config.counters->relay_octets, spans[i].len);
		} else if (dl->state == DELIVERY_HOLDING &&
			   !held_add(&d->chunks, &dl->held, spans[i])) {
			answer_with(d, dl, REPLY_NO_ROOM);
		}
	}
}

void delivery_end(struct deliveries *d, uint32_t number)
{
	struct delivery *dl = delivery_of(d, number);

	dl->is_whole = true;
	dl->whole_us = d->now_us;
	if (dl->state == DELIVERY_HOLDING)
		begin_asking(d, dl);
	else if (dl->state == DELIVERY_SENDING)
		go_on_sending(d, dl);
}

bool delivery_is_past_end(const struct deliveries *d, uint32_t number)
{
	return delivery_of(d, number)->state == DELIVERY_SENT;
}

const struct smtp_answer *delivery_answer(const struct deliveries *d, uint32_t number)
{
	return &delivery_of(d, number)->answer;
}

void delivery_close(struct deliveries *d, uint32_t number)
{
	struct delivery *dl = delivery_of(d, number);

	forget_woken(d, dl);
	dl->session = NULL;
	if (dl->state == DELIVERY_SENT)
		return; /* it cannot be called back: its answer ends it */
	leave_link(d, dl);
	free_delivery(d, dl);
}
