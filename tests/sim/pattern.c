/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thread: the wire's. Time: the worker's. Memory: a record a connection, on the heap.
 * Rules: a failure is told, its connection reset, and nothing asserted here: the test does.
 */
#include "pattern.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim_random.h"

enum {
	CHUNK_MAX = 16384,
	LEFT_UNREAD_PPM = 20000,
	OPEN_AGAIN_US = 1000,
	NOTHING_PPM = 120000, /* streams of no octets */
};

/* How an end finishes. */
enum pattern_close {
	CLOSE_BY_SHUTDOWN,    /* FIN after the last octet, then waits for the end */
	CLOSE_AFTER_PEER,     /* FIN after the last octet, tcp_close at the peer's FIN */
	CLOSE_WHEN_SATISFIED, /* tcp_close once all is sent and all has come */
	PATTERN_CLOSES,
};

struct stream {
	uint64_t key, at, total;
	uint64_t resume_us; /* paused until then; 0: not */
};

struct conversation {
	struct conversation *next, **pprev;
	struct tcp_conn *conn;
	struct stream in, out;
	enum pattern_close close;
	bool peer_done, shut_down;
	uint16_t opener_port;
};

struct pattern_worker {
	struct worker *worker;
	struct tcp *tcp;
	struct pattern *pattern;
	struct sim_random random;
	uint32_t to_open;
	struct conversation *conversations;
};

/* --- what is sent ---------------------------------------------------------------------------- */

static uint8_t octet_at(uint64_t key, uint64_t position)
{
	return (uint8_t)(sim_mix(key + position / 8) >> position % 8 * 8);
}

static struct stream plan_stream(struct sim_random *random, uint32_t octets_max)
{
	struct stream s = {.key = sim_random(random)};

	s.total = sim_random_magnitude(random, octets_max);
	if (sim_random_chance(random, NOTHING_PPM))
		s.total = 0;
	return s;
}

static void plan(struct conversation *c, const struct pattern *pattern, const struct flow *flow,
		 bool opener)
{
	struct sim_random random = {sim_mix(pattern->seed ^ c->opener_port)};
	bool brief =
		pattern->brief_octets_max && ip_addr_equal(&flow->remote, &pattern->brief_remote);
	uint32_t octets_max = brief ? pattern->brief_octets_max : pattern->octets_max;
	struct stream up = plan_stream(&random, octets_max);
	struct stream down = plan_stream(&random, octets_max);
	enum pattern_close closes[2];

	closes[0] = (enum pattern_close)sim_random_below(&random, PATTERN_CLOSES);
	closes[1] = (enum pattern_close)sim_random_below(&random, PATTERN_CLOSES);
	if (pattern->octets_up && pattern->octets_down) {
		up.total = pattern->octets_up;
		down.total = pattern->octets_down;
	}
	/* Who opens must not keep silent for ever: when its first ACK is lost, and all answers to
	 * the SYNs sent again, there is nobody any more whom it could wait for. */
	if (up.total == 0 && closes[true] == CLOSE_WHEN_SATISFIED)
		closes[true] = CLOSE_AFTER_PEER;
	c->out = opener ? up : down;
	c->in = opener ? down : up;
	c->close = closes[opener];
}

/* --- records --------------------------------------------------------------------------------- */

static struct conversation *conversation_new(struct pattern_worker *w, struct tcp_conn *conn,
					     bool opener)
{
	struct conversation *c = calloc(1, sizeof(*c));
	struct flow flow;

	if (c == NULL)
		abort();
	tcp_flow(w->tcp, conn, &flow);
	c->conn = conn;
	c->opener_port = opener ? flow.local_port : flow.remote_port;
	plan(c, w->pattern, &flow, opener);
	c->next = w->conversations;
	c->pprev = &w->conversations;
	if (c->next != NULL)
		c->next->pprev = &c->next;
	w->conversations = c;
	tcp_set_user(conn, c);
	return c;
}

static void conversation_free(struct conversation *c)
{
	*c->pprev = c->next;
	if (c->next != NULL)
		c->next->pprev = c->pprev;
	free(c);
}

static void finish(struct pattern_worker *w, struct conversation *c)
{
	w->pattern->finished++;
	conversation_free(c);
}

__attribute__((format(printf, 3, 4))) static void
fail(struct pattern_worker *w, struct conversation *c, const char *format, ...)
{
	struct pattern *p = w->pattern;
	va_list args;
	int len;

	if (p->failed++ == 0) {
		len = snprintf(p->failure, sizeof(p->failure),
			       "%s, opener's port %u, sent %" PRIu64 "/%" PRIu64
			       ", received %" PRIu64 "/%" PRIu64 ": ",
			       p->opens > 0 ? "opener" : "answerer", c->opener_port, c->out.at,
			       c->out.total, c->in.at, c->in.total);
		va_start(args, format);
		vsnprintf(p->failure + len, sizeof(p->failure) - (size_t)len, format, args);
		va_end(args);
	}
	if (tcp_end_of(c->conn) == TCP_END_NONE)
		tcp_abort(w->tcp, c->conn);
	conversation_free(c);
}

static const char *end_name(enum tcp_end end)
{
	switch (end) {
	case TCP_END_NONE:
		return "it is not over";
	case TCP_END_CLOSED:
		return "it closed too early";
	case TCP_END_RESET:
		return "reset";
	case TCP_END_REFUSED:
		return "refused";
	case TCP_END_TIMEOUT:
		return "no answer";
	case TCP_END_IDLE:
		return "idle for too long";
	}
	return "an unknown end";
}

/* --- a conversation; false where it is over and its record gone ------------------------------ */

static bool may_go_on(struct pattern_worker *w, struct stream *s, uint64_t now_us)
{
	if (s->resume_us > now_us)
		return false;
	s->resume_us = 0;
	if (sim_random_chance(&w->random, w->pattern->pause_ppm)) {
		s->resume_us = now_us + sim_random_in(&w->random, 1, w->pattern->pause_max_us);
		return false;
	}
	return true;
}

/* How many octets of a run are what they should be. */
static size_t verified(const struct stream *s, struct span run, size_t ahead)
{
	for (size_t i = 0; i < run.len; i++)
		if (run.bytes[i] != octet_at(s->key, s->at + ahead + i))
			return i;
	return run.len;
}

/* Verifies all runs first, then consumes them at once; false: something is wrong, and told. */
static bool receive_all(struct pattern_worker *w, struct conversation *c)
{
	size_t ahead = 0, good;
	struct span run;

	while ((run = tcp_read(w->tcp, c->conn, ahead)).len > 0) {
		good = verified(&c->in, run, ahead);
		if (good != run.len || c->in.at + ahead + run.len > c->in.total) {
			fail(w, c, "wrong octet at %" PRIu64, c->in.at + ahead + good);
			return false;
		}
		ahead += run.len;
	}
	if (ahead != tcp_readable(c->conn)) {
		fail(w, c, "%zu octets are readable, %zu were read", tcp_readable(c->conn), ahead);
		return false;
	}
	/* Every now and then some are left for the next time. */
	if (ahead > 1 && sim_random_chance(&w->random, LEFT_UNREAD_PPM))
		ahead = sim_random_in(&w->random, 1, ahead);
	if (ahead > 0)
		tcp_consume(w->tcp, c->conn, ahead);
	c->in.at += ahead;
	w->pattern->octets_received += ahead;
	return true;
}

static bool receive(struct pattern_worker *w, struct conversation *c, uint64_t now_us)
{
	while (tcp_readable(c->conn) > 0) {
		if (!may_go_on(w, &c->in, now_us))
			return true;
		if (!receive_all(w, c))
			return false;
	}
	return true;
}

static void send_some(struct pattern_worker *w, struct conversation *c, uint64_t now_us)
{
	uint8_t chunk[CHUNK_MAX];
	struct stream *s = &c->out;

	while (s->at < s->total && tcp_send_room(w->tcp, c->conn) > 0) {
		size_t len, taken;

		if (!may_go_on(w, s, now_us))
			return;
		len = sim_random_in(&w->random, 1, sizeof(chunk));
		if (len > s->total - s->at)
			len = s->total - s->at;
		for (size_t i = 0; i < len; i++)
			chunk[i] = octet_at(s->key, s->at + i);
		taken = tcp_send(w->tcp, c->conn, chunk, len);
		s->at += taken;
		w->pattern->octets_sent += taken;
		if (taken < len)
			return;
	}
}

static bool close_in_turn(struct pattern_worker *w, struct conversation *c)
{
	const bool all_sent = c->out.at == c->out.total, all_in = c->in.at == c->in.total;

	if (c->peer_done && tcp_readable(c->conn) == 0 && !all_in) {
		fail(w, c, "the peer's FIN came too early");
		return false;
	}
	if (all_sent && !c->shut_down && c->close != CLOSE_WHEN_SATISFIED) {
		c->shut_down = true;
		tcp_shutdown(w->tcp, c->conn);
	}
	if ((c->close == CLOSE_WHEN_SATISFIED && all_sent && all_in) ||
	    (c->close == CLOSE_AFTER_PEER && all_sent && all_in && c->peer_done)) {
		tcp_close(w->tcp, c->conn);
		finish(w, c);
		return false;
	}
	return true;
}

static bool proceed(struct pattern_worker *w, struct conversation *c, uint64_t now_us)
{
	if (!receive(w, c, now_us))
		return false;
	send_some(w, c, now_us);
	return close_in_turn(w, c);
}

static void end(struct pattern_worker *w, struct conversation *c)
{
	enum tcp_end how = tcp_end_of(c->conn);
	bool all = c->out.at == c->out.total && c->in.at == c->in.total;

	/* The peer may have waited its ten seconds in TIME-WAIT, and answer a FIN that comes later
	 * by a reset. Whether it has all of ours its own end must show. */
	if (how == TCP_END_RESET && all && c->peer_done && c->shut_down) {
		w->pattern->reset_at_last++;
		how = TCP_END_CLOSED;
	}
	if (how == TCP_END_CLOSED && all)
		finish(w, c);
	else
		fail(w, c, "%s", end_name(how));
}

/* --- the service ------------------------------------------------------------------------------ */

static void *pattern_start(struct worker *worker, void *config)
{
	const uint16_t index = worker_index(worker);
	struct pattern_worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->worker = worker;
	w->tcp = worker_tcp(worker);
	w->pattern = config;
	w->random.state = sim_mix(w->pattern->seed + index + (w->pattern->opens > 0 ? 1000 : 0));
	if (w->pattern->opener < 0 || w->pattern->opener == index)
		w->to_open = w->pattern->opens;
	return w;
}

static void pattern_run(void *state, struct tcp_conn *conn, unsigned news, uint64_t now_us)
{
	struct pattern_worker *w = state;
	struct conversation *c = tcp_user(conn);

	if (news & TCP_OPENED) {
		w->pattern->opened++;
		if (c == NULL)
			c = conversation_new(w, conn, false);
	}
	if (c == NULL)
		return; /* a handshake that came to nothing */
	if (news & TCP_PEER_DONE)
		c->peer_done = true;
	if (news & TCP_ENDED) {
		/* What came with the end may still be read. */
		c->in.resume_us = 0;
		while (tcp_readable(conn) > 0)
			if (!receive_all(w, c))
				return;
		end(w, c);
		return;
	}
	proceed(w, c, now_us);
}

/* As many as there is room for. */
static void open_more(struct pattern_worker *w)
{
	const struct pattern *p = w->pattern;
	struct tcp_conn *conn;

	while (w->to_open > 0 &&
	       worker_connect(w->worker, &p->remote, p->port, &conn) == WORKER_CONNECTING) {
		w->to_open--;
		conversation_new(w, conn, true);
	}
}

static uint64_t pattern_turn(void *state, uint64_t now_us)
{
	struct pattern_worker *w = state;
	struct conversation *c, *next;
	uint64_t due_us = UINT64_MAX;

	open_more(w);
	if (w->to_open > 0)
		due_us = now_us + OPEN_AGAIN_US;
	for (c = w->conversations; c != NULL; c = next) {
		next = c->next;
		if ((c->in.resume_us != 0 && c->in.resume_us <= now_us) ||
		    (c->out.resume_us != 0 && c->out.resume_us <= now_us))
			if (!proceed(w, c, now_us))
				continue;
		if (c->in.resume_us > now_us && c->in.resume_us < due_us)
			due_us = c->in.resume_us;
		if (c->out.resume_us > now_us && c->out.resume_us < due_us)
			due_us = c->out.resume_us;
	}
	return due_us;
}

static void pattern_stop(void *state)
{
	struct pattern_worker *w = state;
	struct conversation *c, *next;

	for (c = w->conversations; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(w);
}

const struct worker_service pattern_service = {
	.name = "pattern",
	.start = pattern_start,
	.run = pattern_run,
	.turn = pattern_turn,
	.stop = pattern_stop,
};
