/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients that follow a script.
 *
 * Thread, Time, Memory, Rules: clients.h. A row of `machines` a kind of step.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "clients.h"

enum {
	NOBODY = UINT32_MAX,
	WHEEL_TICK_SHIFT = 10,
	BURST = 32, /* conversations begun, released or reset in one turn */
	SECOND_US = 1000 * 1000,
};

struct conversation {
	struct tcp_conn *conn; /* NULL: free */
	struct timer timer;    /* patience */
	uint64_t began_us;
	uint32_t next, previous; /* of the free or the held ones */
	uint32_t drawn;
	uint16_t done; /* octets of the step */
	uint8_t step;
	uint8_t fault;
	bool peer_done, held;
};

static const struct {
	const char *name;
	bool wrong;
} faults[FAULTS] = {[FAULT_NONE] = {"none", false},
#define X(name, wrong) [FAULT_##name] = {#name, wrong},
		    CLIENT_FAULTS(X)
#undef X
};

const char *client_fault_name(enum client_fault fault)
{
	assert(fault < FAULTS);
	return faults[fault].name;
}

/* --- life ------------------------------------------------------------------------------------ */

uint32_t clients_capacity(const struct clients_config *config)
{
	if (!config->script)
		return 0;
	return script_holds(config->script) ? (uint32_t)config->count : config->at_once;
}

static void give_back(struct clients *c, struct conversation *v)
{
	v->conn = NULL;
	v->next = c->free;
	c->free = (uint32_t)(v - c->all);
}

bool clients_init(struct clients *c, const struct clients_config *config, struct host *host,
		  uint64_t now_us)
{
	*c = (struct clients){
		.config = *config,
		.host = host,
		.capacity = clients_capacity(config),
		.free = NOBODY,
		.held_first = NOBODY,
		.held_last = NOBODY,
		.began_us = now_us,
		.random = {config->seed},
	};
	wheel_init(&c->wheel, now_us, WHEEL_TICK_SHIFT);
	if (c->capacity == 0)
		return true;
	c->all = calloc(c->capacity, sizeof(*c->all));
	if (!c->all)
		return false;
	for (uint32_t i = c->capacity; i-- > 0;)
		give_back(c, &c->all[i]);
	return true;
}

void clients_fini(struct clients *c)
{
	free(c->all);
	c->all = NULL;
}

/* --- held ------------------------------------------------------------------------------------ */

static void hold(struct clients *c, struct conversation *v)
{
	uint32_t index = (uint32_t)(v - c->all);

	wheel_cancel(&c->wheel, &v->timer);
	v->held = true;
	v->next = NOBODY;
	v->previous = c->held_last;
	if (c->held_last == NOBODY)
		c->held_first = index;
	else
		c->all[c->held_last].next = index;
	c->held_last = index;
	c->n_held++;
	c->n_under_way--;
}

static void unhold(struct clients *c, struct conversation *v)
{
	if (v->previous == NOBODY)
		c->held_first = v->next;
	else
		c->all[v->previous].next = v->next;
	if (v->next == NOBODY)
		c->held_last = v->previous;
	else
		c->all[v->next].previous = v->previous;
	v->held = false;
	c->n_held--;
	c->n_under_way++;
}

/* --- the end of a conversation ---------------------------------------------------------------- */

static void over(struct clients *c, struct conversation *v, enum client_fault fault)
{
	if (v->held)
		unhold(c, v);
	wheel_cancel(&c->wheel, &v->timer);
	c->n_under_way--;
	c->faults[fault]++;
	if (fault == FAULT_NONE)
		c->well++;
	else if (faults[fault].wrong)
		c->wrong++;
	else
		c->lost++;
	give_back(c, v);
}

static void give_up(struct clients *c, struct conversation *v, enum client_fault fault)
{
	struct tcp_conn *conn = v->conn;

	over(c, v, fault);
	tcp_abort(c->host->tcp, conn);
}

/* --- steps ------------------------------------------------------------------------------------ */

enum progress {
	PROGRESS_DONE,
	PROGRESS_WAITS,
	PROGRESS_FAULT, /* the conversation's says which */
};

static enum progress wrong(struct conversation *v, enum client_fault fault)
{
	v->fault = (uint8_t)fault;
	return PROGRESS_FAULT;
}

/* Tells octets from what they should be like. */
static bool is_like(const char *octets, const struct step *step, size_t at, size_t len)
{
	if (!step->varies)
		return memcmp(octets, step->octets + at, len) == 0;
	for (size_t i = 0; i < len; i++)
		if (step->octets[at + i] != '*' && step->octets[at + i] != octets[i])
			return false;
	return true;
}

static enum progress step_expect(struct clients *c, struct conversation *v, const struct step *step)
{
	struct tcp *tcp = c->host->tcp;

	while (v->done < step->len) {
		struct span bytes = tcp_read(tcp, v->conn, 0);
		size_t len = RTE_MIN(bytes.len, (size_t)step->len - v->done);

		if (len == 0)
			return v->peer_done ? wrong(v, FAULT_cut_short) : PROGRESS_WAITS;
		if (!is_like((const char *)bytes.bytes, step, v->done, len))
			return wrong(v, FAULT_differs);
		tcp_consume(tcp, v->conn, len);
		v->done = (uint16_t)(v->done + len);
	}
	return PROGRESS_DONE;
}

/* The step's octets with the conversation's number in them, its last digit in the last place. */
static const char *write_drawn(char octets[STEP_DRAWN_MAX], const struct step *step,
			       uint32_t number)
{
	assert(step->len <= STEP_DRAWN_MAX);
	memcpy(octets, step->octets, step->len);
	for (size_t i = step->len; i-- > 0;) {
		if (octets[i] != '#')
			continue;
		octets[i] = (char)('0' + number % 10);
		number /= 10;
	}
	return octets;
}

static enum progress step_send(struct clients *c, struct conversation *v, const struct step *step)
{
	size_t len = (size_t)step->len - v->done, sent;
	const char *octets = step->octets;
	char drawn[STEP_DRAWN_MAX];

	if (step->varies) {
		if (v->done == 0)
			v->drawn = (uint32_t)sim_random_below(&c->random, c->config.names);
		octets = write_drawn(drawn, step, v->drawn);
	}
	sent = tcp_send(c->host->tcp, v->conn, octets + v->done, len);

	v->done = (uint16_t)(v->done + sent);
	return v->done == step->len ? PROGRESS_DONE : PROGRESS_WAITS;
}

/* What comes while nothing may. */
static enum progress silence(struct conversation *v)
{
	if (tcp_readable(v->conn))
		return wrong(v, FAULT_surplus);
	return v->peer_done ? PROGRESS_DONE : PROGRESS_WAITS;
}

static enum progress step_hold(struct clients *c, struct conversation *v, const struct step *step)
{
	enum progress progress = silence(v);

	(void)step;
	if (progress != PROGRESS_WAITS)
		return progress == PROGRESS_DONE ? wrong(v, FAULT_cut_short) : progress;
	if (!v->held)
		hold(c, v);
	return PROGRESS_WAITS;
}

static enum progress step_end(struct clients *c, struct conversation *v, const struct step *step)
{
	(void)c;
	(void)step;
	return silence(v);
}

static enum progress step_shut(struct clients *c, struct conversation *v, const struct step *step)
{
	(void)step;
	tcp_shutdown(c->host->tcp, v->conn);
	return PROGRESS_DONE;
}

static enum progress step_over(struct clients *c, struct conversation *v, const struct step *step)
{
	enum progress progress = silence(v);

	(void)c;
	(void)step;
	return progress == PROGRESS_FAULT ? progress : PROGRESS_WAITS;
}

static enum progress (*const machines[STEP_KINDS])(struct clients *, struct conversation *,
						   const struct step *) = {
	[STEP_EXPECT] = step_expect, [STEP_SEND] = step_send, [STEP_HOLD] = step_hold,
	[STEP_END] = step_end,	     [STEP_SHUT] = step_shut, [STEP_OVER] = step_over,
};

static const struct step *step_of(const struct clients *c, const struct conversation *v)
{
	return &c->config.script->steps[v->step];
}

/* Goes on to the next step. */
static void step_done(struct clients *c, struct conversation *v, uint64_t now_us)
{
	enum timed timed = step_of(c, v)->timed;

	if (timed != TIMED_NOT)
		histogram_add(&c->times[timed], now_us - v->began_us);
	v->step++;
	v->done = 0;
	wheel_arm(&c->wheel, &v->timer, now_us + c->config.patience_us);
}

/* As far as it goes now; false: it was wrong, and is over. */
static bool run(struct clients *c, struct conversation *v, uint64_t now_us)
{
	for (;;) {
		const struct step *step = step_of(c, v);

		switch (machines[step->kind](c, v, step)) {
		case PROGRESS_DONE:
			step_done(c, v, now_us);
			break;
		case PROGRESS_WAITS:
			return true;
		case PROGRESS_FAULT:
			give_up(c, v, v->fault);
			return false;
		}
	}
}

/* --- news ------------------------------------------------------------------------------------- */

static enum client_fault verdict(const struct clients *c, const struct conversation *v)
{
	static const enum client_fault by_end[] = {
		[TCP_END_RESET] = FAULT_reset,
		[TCP_END_REFUSED] = FAULT_refused,
		[TCP_END_TIMEOUT] = FAULT_unanswered,
		[TCP_END_IDLE] = FAULT_unanswered,
	};
	enum tcp_end end = tcp_end_of(v->conn);

	if (end != TCP_END_CLOSED)
		return by_end[end];
	return step_of(c, v)->kind == STEP_OVER ? FAULT_NONE : FAULT_cut_short;
}

void clients_news(struct clients *c, struct tcp_conn *conn, unsigned news, uint64_t now_us)
{
	struct conversation *v = tcp_user(conn);

	if (!v)
		return;
	if (news & TCP_PEER_DONE)
		v->peer_done = true;
	/* Without its handshake it has said and heard nothing. */
	if ((news & TCP_ENDED) && tcp_end_of(conn) == TCP_END_REFUSED)
		over(c, v, FAULT_refused);
	else if (run(c, v, now_us) && (news & TCP_ENDED))
		over(c, v, verdict(c, v));
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool begin(struct clients *c, uint64_t now_us)
{
	struct tcp_conn *conn;
	struct conversation *v;

	if (c->free == NOBODY)
		return false;
	conn = host_connect(c->host, &c->config.target, c->config.port);
	if (!conn)
		return false;
	v = &c->all[c->free];
	c->free = v->next;
	*v = (struct conversation){.conn = conn, .began_us = now_us};
	tcp_set_user(conn, v);
	wheel_arm(&c->wheel, &v->timer, now_us + c->config.patience_us);
	c->opened++;
	c->n_under_way++;
	return true;
}

/* How many may begin in this turn. */
static uint64_t due(const struct clients *c, uint64_t now_us)
{
	const struct clients_config *config = &c->config;
	uint64_t n = config->at_once - RTE_MIN(c->n_under_way, config->at_once);

	if (config->count)
		n = RTE_MIN(n, config->count - c->opened);
	if (config->rate) {
		uint64_t by_now = (now_us - c->began_us) * config->rate / SECOND_US;

		n = RTE_MIN(n, by_now - RTE_MIN(c->opened, by_now));
	}
	return RTE_MIN(n, (uint64_t)BURST);
}

static void let_go_on(struct clients *c, uint64_t now_us)
{
	for (unsigned n = 0; n < BURST && c->n_held && c->n_under_way < c->config.at_once; n++) {
		struct conversation *v = &c->all[c->held_first];

		unhold(c, v);
		step_done(c, v, now_us);
		run(c, v, now_us);
	}
}

void clients_turn(struct clients *c, uint64_t now_us)
{
	struct timer *late;

	if (c->capacity == 0)
		return;
	while ((late = wheel_next(&c->wheel, now_us)))
		give_up(c,
			(struct conversation *)((uint8_t *)late -
						offsetof(struct conversation, timer)),
			FAULT_late);
	if (c->released)
		let_go_on(c, now_us);
	if (c->stopped)
		return;
	for (uint64_t n = due(c, now_us); n > 0 && begin(c, now_us); n--)
		;
}

void clients_release(struct clients *c)
{
	c->released = true;
}

void clients_stop(struct clients *c)
{
	c->stopped = true;
}

void clients_abort(struct clients *c)
{
	unsigned resets = 0;

	c->stopped = true;
	for (; c->aborted < c->capacity && resets < BURST; c->aborted++) {
		if (!c->all[c->aborted].conn)
			continue;
		give_up(c, &c->all[c->aborted], FAULT_stopped);
		resets++;
	}
}

bool clients_rest(const struct clients *c)
{
	bool all =
		c->stopped || c->capacity == 0 || (c->config.count && c->opened == c->config.count);

	return all && c->n_under_way == 0 && !(c->released && c->n_held);
}

bool clients_over(const struct clients *c)
{
	return clients_rest(c) && c->n_held == 0;
}
