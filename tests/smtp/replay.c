/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replaying a dialogue.
 *
 * The owner here is a directory of a few addresses, a next hop that says what it was told to, a TLS
 * that needs no octets. What happens is noted as text in the form of a dialogue's own lines:
 * replies as "S: ", what the next hop was given as "N: ", all else as "!: ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replay.h"
#include "smtp/session.h"

enum {
	BEGIN_S = 1000,
	MUCH_ROOM = 64 * 1024,
	TAKEN_MAX = 64,
};

struct text {
	char *bytes;
	size_t len, size;
};

struct stage {
	const struct dialogue *d;
	const struct manner *manner;
	struct postern_counters counters;
	struct smtp *m;
	struct smtp_session *s; /* NULL: closed */
	uint64_t now_us;
	struct smtp_out out;
	struct text happened;	 /* since the last comparison */
	struct text message;	 /* what the next hop was given */
	size_t written;		 /* octets of all writes so far */
	struct slab *taken_from; /* memory that others use */
	uint32_t taken[TAKEN_MAX];
	size_t n_taken;
};

static void add(struct text *t, const void *bytes, size_t len)
{
	while (t->size - t->len < len) {
		t->size = t->size ? 2 * t->size : 4096;
		t->bytes = realloc(t->bytes, t->size);
		assert_non_null(t->bytes);
	}
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void note(struct stage *g, const char *what)
{
	add(&g->happened, what, strlen(what));
	add(&g->happened, "\n", 1);
}

/* --- what happened, and what must --------------------------------------------------------------
 */

static void note_lines(struct stage *g, const char *prefix, const char *bytes, size_t len)
{
	while (len) {
		const char *end = memmem(bytes, len, "\r\n", 2);

		assert_non_null(end);
		add(&g->happened, prefix, strlen(prefix));
		add(&g->happened, bytes, (size_t)(end - bytes));
		add(&g->happened, "\n", 1);
		len -= (size_t)(end + 2 - bytes);
		bytes = end + 2;
	}
}

static void check_reply_lines(const uint8_t *bytes, size_t len)
{
	while (len) {
		const uint8_t *end = memmem(bytes, len, "\r\n", 2);

		assert_non_null(end);
		assert_in_range(end + 2 - bytes, 6, SMTP_REPLY_LINE_MAX);
		len -= (size_t)(end + 2 - bytes);
		bytes = end + 2;
	}
}

/* Replies leave. */
static void flush(struct stage *g)
{
	check_reply_lines(g->out.bytes, g->out.len);
	note_lines(g, "S: ", (const char *)g->out.bytes, g->out.len);
	g->out.len = 0;
}

static void print_octets(const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (i > 2000) {
			print_error("... (%zu octets)\n", len);
			break;
		}
		if (bytes[i] == '\n' || (bytes[i] >= ' ' && bytes[i] < 0x7f))
			print_error("%c", bytes[i]);
		else
			print_error("\\x%02x", (uint8_t)bytes[i]);
	}
}

/* Compares with the events of the dialogue from item `at` on; returns the first that is none, or is
 * after `until` writes: pipelined ones have their events behind each. */
static void compare(struct stage *g, size_t from, size_t to)
{
	struct text wanted = {0};
	unsigned line = 0;

	flush(g);
	for (size_t i = from; i < to; i++) {
		const struct item *item = &g->d->items[i];

		if (!line)
			line = item->line;
		if (item->kind != ITEM_EVENT)
			continue;
		add(&wanted, item->bytes, item->len);
		add(&wanted, "\n", 1);
	}
	if (wanted.len != g->happened.len ||
	    (wanted.len && memcmp(wanted.bytes, g->happened.bytes, wanted.len) != 0)) {
		print_error("%s: %s, from line %u\n", g->d->file, g->d->name, line);
		print_error("%s, cut %zu\nexpected:\n", g->manner->name, g->manner->cut);
		print_octets(wanted.bytes, wanted.len);
		print_error("happened:\n");
		print_octets(g->happened.bytes, g->happened.len);
		fail();
	}
	free(wanted.bytes);
	g->happened.len = 0;
}

/* --- the owner -------------------------------------------------------------------------------- */

static struct smtp_answer answer_of(const struct verdict *v)
{
	return (struct smtp_answer){
		.reply = v->reply,
		.code = v->code,
		.text = {(const uint8_t *)v->text, v->text ? strlen(v->text) : 0},
	};
}

static bool is(struct span s, const char *text)
{
	return s.len == strlen(text) && !memcmp(s.bytes, text, s.len);
}

/* example.net is ours and holds all but the unknown; what the dialogue says goes before that. */
static struct smtp_answer answer_recipient(const struct dialogue *d, const struct smtp_recipient *r)
{
	const struct span domain = smtp_recipient_domain(r), local = smtp_recipient_local(r);
	struct smtp_answer taken = {.reply = REPLY_RECIPIENT_TAKEN, .tag = (uint32_t)local.len};

	for (size_t i = 0; i < d->n_known; i++)
		if (is(smtp_recipient_address(r), d->known[i].address))
			return answer_of(&d->known[i].verdict);
	if (domain.len && !is(domain, "example.net"))
		return (struct smtp_answer){.reply = REPLY_RELAYING_DENIED};
	return taken;
}

static void answer_recipients(struct stage *g)
{
	const struct smtp_recipient *asked[SMTP_ASKED_MAX];
	struct smtp_answer answers[SMTP_ASKED_MAX];
	const size_t n = smtp_asked(g->m, g->s, asked);

	assert_in_range(n, 1, SMTP_ASKED_MAX);
	for (size_t i = 0; i < n; i++)
		answers[i] = answer_recipient(g->d, asked[i]);
	smtp_answer_recipients(g->m, g->s, answers, n, &g->out);
}

/* "!: from SENDER to RECIPIENT RECIPIENT", with what was said of them. */
static void note_transaction(struct stage *g)
{
	static const char *const returns[] = {"", " RET=FULL", " RET=HDRS"};
	static const char *const notifies[] = {" NEVER", " SUCCESS", " FAILURE", " DELAY"};
	const struct smtp_recipient *r;
	struct smtp_transaction t;
	struct smtp_walk walk = {0};
	uint32_t n = 0;

	assert_true(smtp_transaction(g->m, g->s, &t));
	add(&g->happened, "!: from <", 9);
	add(&g->happened, t.sender.bytes, t.sender.len);
	add(&g->happened, ">", 1);
	if (t.eight_bit_mime)
		add(&g->happened, " 8BITMIME", 9);
	if (t.smtputf8)
		add(&g->happened, " SMTPUTF8", 9);
	add(&g->happened, returns[t.ret], strlen(returns[t.ret]));
	if (t.envid.len) {
		add(&g->happened, " ENVID=", 7);
		add(&g->happened, t.envid.bytes, t.envid.len);
	}
	add(&g->happened, " to", 3);
	for (; (r = smtp_next_recipient(g->m, g->s, &walk)); n++) {
		const struct span address = smtp_recipient_address(r);
		const struct span orcpt = smtp_recipient_orcpt(r);

		assert_int_equal(r->tag, r->local_len);
		if (n >= 4)
			continue;
		add(&g->happened, " <", 2);
		add(&g->happened, address.bytes, address.len);
		add(&g->happened, ">", 1);
		for (unsigned i = 0; i < 4; i++)
			if (r->notify & 1U << i)
				add(&g->happened, notifies[i], strlen(notifies[i]));
		if (orcpt.len) {
			add(&g->happened, " ORCPT=", 7);
			add(&g->happened, orcpt.bytes, orcpt.len);
		}
	}
	assert_int_equal(n, t.recipients);
	note(g, n > 4 ? " and more" : "");
}

static void take_body(struct stage *g)
{
	const struct span *spans;
	const size_t n = smtp_body(g->m, &spans);

	for (size_t i = 0; i < n; i++)
		add(&g->message, spans[i].bytes, spans[i].len);
}

static void answer_data(struct stage *g)
{
	const struct smtp_answer answer = answer_of(&g->d->data);

	flush(g);
	note_transaction(g);
	g->message.len = 0;
	smtp_answer_data(g->m, g->s, &answer, g->d->speaks_on, &g->out);
}

static void answer_delivery(struct stage *g)
{
	const struct smtp_answer answer = answer_of(&g->d->delivery);
	struct smtp_transaction t;

	flush(g);
	assert_true(smtp_transaction(g->m, g->s, &t));
	assert_int_equal(t.size, g->message.len);
	note_lines(g, "N: ", g->message.bytes, g->message.len);
	smtp_answer_delivery(g->m, g->s, &answer, &g->out);
}

static void close_session(struct stage *g)
{
	flush(g);
	note(g, "!: closed");
	smtp_close(g->m, g->s);
	g->s = NULL;
}

/* --- octets ------------------------------------------------------------------------------------
 */

/* False: nothing more is read of this span. */
static bool act(struct stage *g, enum smtp_step step)
{
	switch (step) {
	case SMTP_WAIT:
		return false;
	case SMTP_FULL:
		assert_true(g->out.len > 0);
		flush(g);
		break;
	case SMTP_ASK_RECIPIENTS:
		answer_recipients(g);
		break;
	case SMTP_ASK_DATA:
		answer_data(g);
		break;
	case SMTP_BODY:
		take_body(g);
		break;
	case SMTP_SPOILED:
		flush(g);
		note(g, "!: spoiled");
		break;
	case SMTP_ASK_DELIVERY:
		answer_delivery(g);
		break;
	case SMTP_ABANDONED:
		flush(g);
		note_transaction(g);
		note(g, "!: abandoned");
		break;
	case SMTP_ASK_TLS:
		smtp_answer_tls(g->m, g->s, g->d->tls_ready, g->d->speaks_on, &g->out);
		break;
	case SMTP_NOTED:
		flush(g);
		note(g, smtp_noted(g->m) == SMTP_FOUND_VRFY ? "!: VRFY noted" : "!: abuse noted");
		break;
	case SMTP_CLOSE:
		close_session(g);
		return false;
	}
	return true;
}

/* Feeds octets in memory of their own, so that the sanitizer sees a step too far. */
static void feed(struct stage *g, const char *bytes, size_t len, bool more)
{
	uint8_t *own = malloc(len + !len);
	struct span in = {own, len};

	assert_non_null(own);
	memcpy(own, bytes, len);
	while (g->s && act(g, smtp_feed(g->m, g->s, &in, more, g->now_us, &g->out)))
		;
	assert_true(!g->s || in.len == 0);
	free(own);
}

/* One write, in the parts it arrives in. */
static void arrive(struct stage *g, const char *bytes, size_t len)
{
	size_t at = 0;

	while (at < len && g->s) {
		size_t part = g->manner->part ? g->manner->part : len;
		const size_t cut = g->manner->cut;

		if (part > len - at)
			part = len - at;
		if (cut > g->written && cut < g->written + part)
			part = cut - g->written;
		feed(g, bytes + at, part, at + part < len);
		at += part;
		g->written += part;
	}
	g->written += len - at;
}

/* Nothing new arrives; what must be done without it is. */
static void idle(struct stage *g)
{
	if (g->s)
		feed(g, "", 0, false);
}

/* --- time and the owner's own doing ------------------------------------------------------------
 */

static void refuse(struct stage *g, enum reply reply)
{
	smtp_refuse(g->m, g->s, reply, &g->out);
	idle(g);
}

/* Second by second, as a worker that has nothing else to do goes from due time to due time. */
static void pass(struct stage *g, const char *seconds)
{
	const uint64_t until_us = g->now_us + strtoull(seconds, NULL, 10) * 1000000;

	while (g->now_us < until_us) {
		uint64_t due_us = smtp_next_due(g->m);
		enum reply why;

		g->now_us = due_us > until_us ? until_us : due_us > g->now_us ? due_us : g->now_us;
		while (smtp_next_overdue(g->m, g->now_us, &why))
			refuse(g, why);
		if (due_us == UINT64_MAX)
			break;
		assert_true(smtp_next_due(g->m) > g->now_us);
	}
	g->now_us = until_us;
}

/* Others use up a kind of memory. */
static void take_all(struct stage *g, struct slab *slab)
{
	uint32_t index;

	g->taken_from = slab;
	while ((index = slab_take(slab)) != SLAB_NONE) {
		assert_true(g->n_taken < TAKEN_MAX);
		g->taken[g->n_taken++] = index;
	}
}

static void give_back(struct stage *g)
{
	while (g->n_taken)
		slab_give(g->taken_from, g->taken[--g->n_taken]);
}

static void own(struct stage *g, const char *what)
{
	if (!strncmp(what, "refuse ", 7))
		refuse(g, reply_named(what + 7));
	else if (!strcmp(what, "TLS stands"))
		smtp_tls_established(g->m, g->s);
	else if (!strcmp(what, "hold"))
		smtp_hold(g->m, g->s, true);
	else if (!strcmp(what, "let go"))
		smtp_hold(g->m, g->s, false);
	else if (!strcmp(what, "stress"))
		smtp_stress(g->m, true);
	else if (!strcmp(what, "take envelopes"))
		take_all(g, &g->m->envelopes);
	else if (!strcmp(what, "take pages"))
		take_all(g, &g->m->pages);
	else if (!strcmp(what, "give back"))
		give_back(g);
	else
		fail_msg("the owner cannot %s", what);
}

/* --- the whole ---------------------------------------------------------------------------------
 */

static void open_stage(struct stage *g)
{
	struct smtp_config config = g->d->config;

	config.counters = &g->counters;
	g->now_us = BEGIN_S * 1000000ULL;
	g->out.size = g->manner->little_room ? SMTP_OUT_LEAST : MUCH_ROOM;
	g->out.bytes = malloc(g->out.size);
	g->m = smtp_new(&config, g->now_us);
	assert_non_null(g->out.bytes);
	assert_non_null(g->m);
	if (g->d->turned_away != REPLY_NONE)
		smtp_turn_away(g->m, g->d->turned_away, &g->out);
	else
		g->s = smtp_open(g->m, g->d->open_flags, g, g->now_us, &g->out);
	if (g->s)
		assert_ptr_equal(smtp_user(g->s), g);
	idle(g);
}

/* Everything borrowed is back. */
static void close_stage(struct stage *g, uint64_t said[REPLIES + 1])
{
	if (g->s)
		smtp_close(g->m, g->s);
	assert_int_equal(smtp_sessions(g->m), 0);
	assert_int_equal(g->m->envelopes.in_use, 0);
	assert_int_equal(g->m->pages.in_use, 0);
	assert_int_equal(g->m->pieces.in_use, 0);
	assert_true(smtp_next_due(g->m) == UINT64_MAX);
	for (unsigned i = 0; i <= REPLIES; i++)
		said[i] += smtp_replies_said(g->m)[i];
	smtp_free(g->m);
	free(g->out.bytes);
	free(g->happened.bytes);
	free(g->message.bytes);
}

/* How many items from `at` on the client writes at once, events between them. */
static size_t group_end(const struct dialogue *d, size_t at, bool pipelined, struct text *writes)
{
	bool may_go_on = true;

	for (; at < d->n_items; at++) {
		const struct item *item = &d->items[at];

		if (item->kind == ITEM_EVENT)
			continue;
		if (item->kind != ITEM_WRITE || !may_go_on)
			break;
		add(writes, item->bytes, item->len);
		may_go_on = pipelined && !d->waits && !item->decides;
	}
	return at;
}

static size_t replay_group(struct stage *g, size_t at)
{
	const struct item *item = &g->d->items[at];
	struct text writes = {0};
	size_t end;

	if (item->kind == ITEM_WRITE) {
		end = group_end(g->d, at, g->manner->pipelined, &writes);
		arrive(g, writes.bytes, writes.len);
		idle(g);
	} else {
		for (end = at + 1; end < g->d->n_items && g->d->items[end].kind == ITEM_EVENT;)
			end++;
		if (item->kind == ITEM_SECONDS)
			pass(g, item->bytes);
		else if (item->kind == ITEM_OWNER)
			own(g, item->bytes);
	}
	compare(g, at, end);
	free(writes.bytes);
	return end;
}

void replay(const struct dialogue *d, const struct manner *manner, uint64_t said[REPLIES + 1])
{
	struct stage g = {.d = d, .manner = manner};
	size_t at = 0;

	open_stage(&g);
	while (at < d->n_items)
		at = replay_group(&g, at);
	compare(&g, at, at);
	close_stage(&g, said);
}

size_t dialogue_octets(const struct dialogue *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_items; i++)
		if (d->items[i].kind == ITEM_WRITE)
			n += d->items[i].len;
	return n;
}
