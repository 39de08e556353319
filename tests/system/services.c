/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small services over our TCP.
 *
 * Thread, Time, Memory: services.h.
 * Rules: RFC 862, 863, 864; each service is a row of `machines`, run whenever something happened
 * to a connection, and does what can be done then. The pattern of chargen is also what the client
 * sends, so that one reference (72 of 95 printable characters a line, the next line one further)
 * verifies every direction.
 */
#include "services.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	PRINTABLE_FIRST = ' ',
	PRINTABLE = 95,
	LINE = 72,
	LINE_AND_END = LINE + 2,
	PATTERN = PRINTABLE * LINE_AND_END, /* octets until it repeats */
	RETRY_US = 10 * 1000,		    /* between tries to open a connection */
	GLANCE_US = 100 * 1000,		    /* between looks at what control wants */
	PATIENCE_US = 60 * 1000 * 1000,	    /* with tries that came to nothing */
	RESETS = 32,			    /* connections reset in one turn at the end */
};

enum role {
	ROLE_CLIENT = SERVICE_KINDS,
	ROLES,
};

/* A connection of ours, found by tcp_user. */
struct service_conn {
	uint64_t sent, received; /* octets of the pattern */
	uint32_t owed;		 /* nul: zero octets still to be sent */
	uint8_t role;		 /* enum service_kind or ROLE_CLIENT */
	bool peer_done, shut, answered;
	uint8_t fault;	       /* client: enum transfer_fault */
	struct tcp_conn *conn; /* NULL: free */
	struct service_conn *next_free;
};

struct services {
	struct worker *worker;
	struct tcp *tcp;
	struct services_config *config;
	struct services_report *report;
	uint64_t to_open, parallel, opening; /* clients: yet to open, at a time, open now */
	uint64_t open;
	uint64_t stuck_since_us; /* of the first try in vain; 0: the last one was not */
	struct service_conn *free, *conns;
	char pattern[2 * PATTERN]; /* twice, so that a period from any position is one run */
};

static void pattern_fill(char *pattern)
{
	for (uint32_t line = 0; line < 2 * PRINTABLE; line++) {
		for (uint32_t i = 0; i < LINE; i++)
			*pattern++ = (char)(PRINTABLE_FIRST + (line + i) % PRINTABLE);
		*pattern++ = '\r';
		*pattern++ = '\n';
	}
}

/* The pattern from a position on, a run of at most len octets. */
static struct span pattern_at(const struct services *s, uint64_t position, uint64_t len)
{
	const char *from = s->pattern + position % PATTERN;

	return (struct span){(const uint8_t *)from, len < PATTERN ? len : PATTERN};
}

static bool pattern_matches(const struct services *s, uint64_t position, struct span bytes)
{
	while (bytes.len) {
		struct span want = pattern_at(s, position, bytes.len);

		if (memcmp(bytes.bytes, want.bytes, want.len) != 0)
			return false;
		position += want.len;
		bytes.bytes += want.len;
		bytes.len -= want.len;
	}
	return true;
}

/* --- connections -------------------------------------------------------------------------- */

static struct service_conn *hold(struct services *s, struct tcp_conn *c, uint8_t role)
{
	struct service_conn *sc = s->free;

	if (!sc)
		return NULL;
	s->free = sc->next_free;
	*sc = (struct service_conn){.role = role, .conn = c};
	tcp_set_user(c, sc);
	s->open++;
	return sc;
}

static void let_go(struct services *s, struct service_conn *sc)
{
	sc->conn = NULL;
	sc->next_free = s->free;
	s->free = sc;
	s->open--;
}

/* We have said all; the end is told when the peer has it. */
static void shut(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	if (!sc->shut)
		tcp_shutdown(s->tcp, c);
	sc->shut = true;
}

/* --- the services -------------------------------------------------------------------------- */

static void echo_run(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	struct span bytes;

	while ((bytes = tcp_read(s->tcp, c, 0)).len) {
		size_t room = tcp_send_room(s->tcp, c);
		size_t sent = tcp_send(s->tcp, c, bytes.bytes, bytes.len < room ? bytes.len : room);

		if (!sent)
			return;
		tcp_consume(s->tcp, c, sent);
	}
	if (sc->peer_done)
		shut(s, c, sc);
}

static void discard_run(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	tcp_consume(s->tcp, c, tcp_readable(c));
	if (sc->peer_done)
		shut(s, c, sc);
}

/* Sends the pattern up to octet `end`, as far as there is room; true when all is queued. */
static bool pattern_send(struct services *s, struct tcp_conn *c, struct service_conn *sc,
			 uint64_t end)
{
	while (sc->sent < end) {
		struct span bytes = pattern_at(s, sc->sent, end - sc->sent);
		size_t room = tcp_send_room(s->tcp, c);
		size_t sent = tcp_send(s->tcp, c, bytes.bytes, bytes.len < room ? bytes.len : room);

		if (!sent)
			return false;
		sc->sent += sent;
	}
	return true;
}

static void chargen_run(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	tcp_consume(s->tcp, c, tcp_readable(c));
	if ((!s->config->bounded && sc->peer_done) ||
	    pattern_send(s, c, sc, s->config->bounded ? s->config->bytes : UINT64_MAX))
		shut(s, c, sc);
}

/* Sends the zero octets owed; true when all are queued. */
static bool nul_send(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	static const char zeros[NUL_GREETING];

	while (sc->owed) {
		size_t len = sc->owed < sizeof(zeros) ? sc->owed : sizeof(zeros);
		size_t sent = tcp_send(s->tcp, c, zeros, len);

		if (!sent)
			return false;
		sc->owed -= sent;
	}
	return true;
}

static void nul_run(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	while (nul_send(s, c, sc) && !sc->shut && tcp_readable(c) >= NUL_COMMAND) {
		tcp_consume(s->tcp, c, NUL_COMMAND);
		sc->owed = NUL_REPLY;
		sc->answered = true;
	}
	if (sc->owed)
		return;
	if (sc->answered || sc->peer_done) {
		shut(s, c, sc);
		tcp_consume(s->tcp, c, tcp_readable(c));
	}
}

/* --- the client ---------------------------------------------------------------------------- */

static void count_transfer(struct services *s, enum transfer_fault fault)
{
	struct services_report *report = s->report;

	if (fault == TRANSFER_WELL) {
		atomic_fetch_add_explicit(&report->ok, 1, memory_order_relaxed);
		return;
	}
	if (atomic_load_explicit(&report->first_fault, memory_order_relaxed) == TRANSFER_WELL)
		atomic_store_explicit(&report->first_fault, fault, memory_order_relaxed);
	atomic_fetch_add_explicit(&report->failed, 1, memory_order_release);
}

static void client_over(struct services *s, struct service_conn *sc, enum transfer_fault fault)
{
	s->opening--;
	count_transfer(s, fault);
	let_go(s, sc);
}

/* Judges the octets that came; false: there is a fault. */
static bool client_accepts(struct services *s, struct service_conn *sc, struct span bytes)
{
	if (s->config->client == CLIENT_SEND)
		return true;
	if (!pattern_matches(s, sc->received, bytes)) {
		sc->fault = TRANSFER_DIFFERS;
		return false;
	}
	sc->received += bytes.len;
	if (s->config->client == CLIENT_ECHO && sc->received > s->config->bytes) {
		sc->fault = TRANSFER_SURPLUS;
		return false;
	}
	return true;
}

static bool client_read(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	struct span bytes;

	while ((bytes = tcp_read(s->tcp, c, 0)).len) {
		if (!client_accepts(s, sc, bytes))
			return false;
		tcp_consume(s->tcp, c, bytes.len);
	}
	return true;
}

/* Whether all went both ways that should have. */
static bool client_has_all(const struct services *s, const struct service_conn *sc)
{
	if (s->config->client != CLIENT_RECEIVE && sc->sent < s->config->bytes)
		return false;
	return s->config->client == CLIENT_SEND || sc->received >= s->config->bytes;
}

static void client_run(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	uint64_t bytes = s->config->bytes;

	if (!client_read(s, c, sc) || (sc->peer_done && !client_has_all(s, sc))) {
		client_over(s, sc, sc->fault ? sc->fault : TRANSFER_SHORT);
		tcp_abort(s->tcp, c);
		return;
	}
	/* A generator without end: we have what we wanted, and it would never send FIN. */
	if (s->config->client == CLIENT_RECEIVE && sc->received > bytes) {
		client_over(s, sc, TRANSFER_WELL);
		tcp_close(s->tcp, c);
		return;
	}
	if (s->config->client == CLIENT_RECEIVE ? sc->received == bytes
						: pattern_send(s, c, sc, bytes))
		shut(s, c, sc);
}

static enum transfer_fault client_verdict(const struct services *s, const struct tcp_conn *c,
					  const struct service_conn *sc)
{
	static const enum transfer_fault by_end[] = {
		[TCP_END_RESET] = TRANSFER_RESET,
		[TCP_END_REFUSED] = TRANSFER_REFUSED,
		[TCP_END_TIMEOUT] = TRANSFER_TIMEOUT,
		[TCP_END_IDLE] = TRANSFER_IDLE,
	};
	enum tcp_end end = tcp_end_of(c);

	if (end != TCP_END_CLOSED)
		return by_end[end];
	return sc->peer_done && client_has_all(s, sc) ? TRANSFER_WELL : TRANSFER_SHORT;
}

static enum transfer_fault client_open(struct services *s)
{
	const struct services_config *config = s->config;
	struct tcp_conn *c;

	if (!s->free)
		return TRANSFER_NO_PORT;
	switch (worker_connect(s->worker, &config->target, config->target_port, &c)) {
	case WORKER_CONNECTING:
		break;
	case WORKER_UNRESOLVED:
		return TRANSFER_UNRESOLVED;
	case WORKER_NO_ROUTE:
		return TRANSFER_NO_ROUTE;
	case WORKER_FULL:
	default:
		return TRANSFER_NO_PORT;
	}
	hold(s, c, ROLE_CLIENT);
	s->to_open--;
	s->opening++;
	return TRANSFER_WELL;
}

/* Opens what may be opened now; when to be called again without news. */
static uint64_t clients_open(struct services *s, uint64_t now_us)
{
	enum transfer_fault fault = TRANSFER_WELL;

	while (s->to_open && s->opening < s->parallel && fault == TRANSFER_WELL) {
		fault = client_open(s);
		if (fault == TRANSFER_WELL)
			s->stuck_since_us = 0;
	}
	if (fault == TRANSFER_WELL)
		return UINT64_MAX;
	if (!s->stuck_since_us)
		s->stuck_since_us = now_us;
	for (; s->to_open && now_us - s->stuck_since_us >= PATIENCE_US; s->to_open--)
		count_transfer(s, fault);
	return s->to_open ? now_us + RETRY_US : UINT64_MAX;
}

/* --- what the worker calls ------------------------------------------------------------------ */

static void (*const machines[ROLES])(struct services *, struct tcp_conn *,
				     struct service_conn *) = {
	[SERVICE_ECHO] = echo_run, [SERVICE_DISCARD] = discard_run, [SERVICE_CHARGEN] = chargen_run,
	[SERVICE_NUL] = nul_run,   [ROLE_CLIENT] = client_run,
};

/* A connection a client of ours opened, or one that came; NULL: it was reset. */
static struct service_conn *opened(struct services *s, struct tcp_conn *c)
{
	const struct services_config *config = s->config;
	struct service_conn *sc = tcp_user(c);
	struct flow flow;

	if (sc)
		return sc;
	tcp_flow(s->tcp, c, &flow);
	for (uint32_t i = 0; i < config->n_listen && !sc; i++) {
		if (config->listen[i].port == flow.local_port && !tcp_is_over_limit(c))
			sc = hold(s, c, config->listen[i].kind);
	}
	if (!sc)
		tcp_abort(s->tcp, c);
	else if (sc->role == SERVICE_NUL)
		sc->owed = NUL_GREETING;
	return sc;
}

static void ended(struct services *s, struct tcp_conn *c, struct service_conn *sc)
{
	if (sc->role != ROLE_CLIENT)
		let_go(s, sc);
	else if (!client_read(s, c, sc))
		client_over(s, sc, sc->fault);
	else
		client_over(s, sc, client_verdict(s, c, sc));
}

static void services_run(void *state, struct tcp_conn *c, unsigned news, uint64_t now_us)
{
	struct services *s = state;
	struct service_conn *sc = news & TCP_OPENED ? opened(s, c) : tcp_user(c);

	(void)now_us;
	if (!sc)
		return;
	if (news & TCP_PEER_DONE)
		sc->peer_done = true;
	if (news & TCP_ENDED)
		ended(s, c, sc);
	else
		machines[sc->role](s, c, sc);
}

/* Resets what is still open, a few at a time; true when nothing is. */
static bool end(struct services *s)
{
	uint32_t resets = 0;

	for (; s->to_open; s->to_open--)
		count_transfer(s, TRANSFER_STOPPED);
	for (uint32_t i = 0; i < s->config->conns && s->open && resets < RESETS; i++) {
		struct service_conn *sc = &s->conns[i];
		struct tcp_conn *c = sc->conn;

		if (!c)
			continue;
		if (sc->role == ROLE_CLIENT)
			client_over(s, sc, TRANSFER_STOPPED);
		else
			let_go(s, sc);
		tcp_abort(s->tcp, c);
		resets++;
	}
	return s->open == 0;
}

static uint64_t services_turn(void *state, uint64_t now_us)
{
	struct services *s = state;
	uint64_t next_us = now_us + GLANCE_US;

	if (!atomic_load_explicit(&s->config->end, memory_order_relaxed)) {
		uint64_t open_us = clients_open(s, now_us);

		next_us = open_us < next_us ? open_us : next_us;
	} else if (!end(s)) {
		next_us = now_us;
	}
	atomic_store_explicit(&s->report->open, s->open, memory_order_relaxed);
	return next_us;
}

/* Worker i's share of what is dealt out to n. */
static uint64_t share(uint64_t whole, uint64_t n, uint64_t i)
{
	return i < n ? whole / n + (i < whole % n) : 0;
}

static void clients_deal(struct services *s, uint16_t worker)
{
	const struct services_config *config = s->config;
	uint64_t n = config->n_workers < config->parallel ? config->n_workers : config->parallel;

	if (config->client == CLIENT_NONE)
		return;
	if (config->only_owner >= 0) {
		n = 1;
		worker = worker == config->only_owner ? 0 : 1;
	}
	s->parallel = share(config->parallel, n, worker);
	s->to_open = share(config->count, n, worker);
}

static void *services_start(struct worker *w, void *service_config)
{
	struct services_config *config = service_config;
	struct services *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->conns = calloc(config->conns, sizeof(*s->conns));
	if (!s->conns) {
		free(s);
		return NULL;
	}
	for (uint32_t i = config->conns; i-- > 0;) {
		s->conns[i].next_free = s->free;
		s->free = &s->conns[i];
	}
	s->worker = w;
	s->tcp = worker_tcp(w);
	s->config = config;
	s->report = &config->reports[worker_index(w)];
	pattern_fill(s->pattern);
	clients_deal(s, worker_index(w));
	return s;
}

static void services_stop(void *state)
{
	struct services *s = state;

	free(s->conns);
	free(s);
}

const struct worker_service tcp_services = {
	.name = "services",
	.start = services_start,
	.run = services_run,
	.turn = services_turn,
	.stop = services_stop,
};

/* --- what control asks ---------------------------------------------------------------------- */

void services_sum(const struct services_config *config, struct services_total *total)
{
	*total = (struct services_total){.open = 0};
	for (uint16_t i = 0; i < config->n_workers; i++) {
		const struct services_report *report = &config->reports[i];

		total->failed += atomic_load_explicit(&report->failed, memory_order_acquire);
		total->ok += atomic_load_explicit(&report->ok, memory_order_relaxed);
		total->open += atomic_load_explicit(&report->open, memory_order_relaxed);
		if (total->first_fault == TRANSFER_WELL)
			total->first_fault = (enum transfer_fault)atomic_load_explicit(
				&report->first_fault, memory_order_relaxed);
	}
}

const char *transfer_fault_text(enum transfer_fault fault)
{
	static const char *const text[TRANSFER_FAULTS] = {
		[TRANSFER_WELL] = "nothing failed",
		[TRANSFER_NO_ROUTE] = "there is no route",
		[TRANSFER_UNRESOLVED] = "the next hop does not answer",
		[TRANSFER_NO_PORT] = "no source port or no connection is free",
		[TRANSFER_REFUSED] = "the connection was refused",
		[TRANSFER_RESET] = "the peer reset the connection",
		[TRANSFER_TIMEOUT] = "the peer stopped answering",
		[TRANSFER_IDLE] = "the connection was idle for too long",
		[TRANSFER_DIFFERS] = "an octet came back changed",
		[TRANSFER_SURPLUS] = "more octets came back than were sent",
		[TRANSFER_SHORT] = "the peer closed too early",
		[TRANSFER_STOPPED] = "it was stopped before its end",
	};

	assert(fault < TRANSFER_FAULTS);
	return text[fault];
}
