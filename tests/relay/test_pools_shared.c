/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_pools_shared STEPS: pools under the hands of several workers at once. No more connections
 * than the limit are open, nothing that was taken is lost, a trial is one worker's, a text is
 * whole.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "postern/pools.h"

enum {
	THREADS = 4,
	SERVERS = 3,
	LIMIT = 5,
	HELD_MAX = 8, /* of a worker */
	SECOND = 1000 * 1000,
	START = 5 * SECOND,
	TRIAL = 15 * SECOND,
};

static uint32_t steps;

struct shared {
	struct pools *p;
	uint64_t seed;
	uint32_t n_servers;
	bool with_findings;
	atomic_bool done;
	pthread_barrier_t barrier;
	_Atomic uint64_t now_us;
	_Atomic uint32_t open[SERVERS], most[SERVERS], over, torn, texts, n_trials;
	uint64_t *trials; /* when each was given */
};

struct worker {
	struct shared *shared;
	uint64_t random;
	/* Connections, and whether each is idle. */
	uint32_t servers[HELD_MAX];
	bool is_idle[HELD_MAX];
	unsigned n;
};

/* Relaxed: what the test counts must not put in order what it tests. */
static uint32_t add(_Atomic uint32_t *to, uint32_t n)
{
	return atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t now(struct shared *s)
{
	return atomic_load_explicit(&s->now_us, memory_order_relaxed);
}

static struct pools *new_pools(uint32_t n_servers)
{
	struct pool_server_config servers[SERVERS];
	struct pool_config config = {
		.name = "p", .connections = LIMIT, .n_servers = n_servers, .servers = servers};

	for (unsigned i = 0; i < SERVERS; i++)
		servers[i] = (struct pool_server_config){.port = 25, .weight = 1 + i};
	return pools_new(&config, 1);
}

static void opened(struct shared *s, uint32_t server)
{
	uint32_t open = add(&s->open[server], 1) + 1;
	uint32_t most = atomic_load_explicit(&s->most[server], memory_order_relaxed);

	if (open > LIMIT)
		add(&s->over, 1);
	while (open > most &&
	       !atomic_compare_exchange_weak_explicit(&s->most[server], &most, open,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

static void hold(struct worker *w, uint32_t server)
{
	w->servers[w->n] = server;
	w->is_idle[w->n++] = false;
}

/* A transaction, on an idle connection or on a new one. */
static void take(struct worker *w)
{
	struct shared *s = w->shared;
	struct pool_tried tried = {0}, idle = {0};
	uint32_t server;
	bool needs_connection;

	for (unsigned i = 0; i < w->n; i++)
		if (w->is_idle[i])
			pool_tried_add(&idle, w->servers[i]);
	if (pools_take(s->p, 0, &tried, &idle, now(s), &server, &needs_connection) != POOL_CHOSEN)
		return;
	if (needs_connection) {
		opened(s, server);
		hold(w, server);
		return;
	}
	for (unsigned i = 0; i < w->n; i++) {
		if (w->is_idle[i] && w->servers[i] == server) {
			w->is_idle[i] = false;
			return;
		}
	}
	add(&s->over, 1); /* it has none */
}

static void try_one(struct worker *w)
{
	struct shared *s = w->shared;
	uint32_t at = (uint32_t)w->random, pool, server;

	if (pools_take_trial(s->p, now(s), &at, &pool, &server)) {
		opened(s, server);
		hold(w, server);
	}
}

static void close_one(struct worker *w, unsigned i)
{
	struct shared *s = w->shared;

	if (!w->is_idle[i])
		pools_release(s->p, 0, w->servers[i]);
	add(&s->open[w->servers[i]], UINT32_MAX);
	pools_closed(s->p, 0, w->servers[i]);
	w->n--;
	w->servers[i] = w->servers[w->n];
	w->is_idle[i] = w->is_idle[w->n];
}

static void end_one(struct worker *w, unsigned i)
{
	if (w->is_idle[i])
		return;
	pools_release(w->shared->p, 0, w->servers[i]);
	w->is_idle[i] = true;
}

/* A text all of one letter. */
static void write_text(char text[POOL_ERROR_MAX], uint64_t random)
{
	memset(text, 'a' + (int)(random % 26), POOL_ERROR_MAX - 1);
	text[1 + random / 26 % (POOL_ERROR_MAX - 1)] = '\0';
}

static void find_something(struct worker *w, uint32_t server)
{
	struct shared *s = w->shared;
	uint64_t now_us = now(s), random = test_random(&w->random);
	char text[POOL_ERROR_MAX];

	write_text(text, random >> 8);
	switch (random % 8) {
	case 0:
		pools_lost(s->p, 0, server, text, now_us);
		break;
	case 1:
		pools_wrong(s->p, 0, server, text, now_us);
		break;
	case 2:
		pools_recipient_refused(s->p, 0, server, text, now_us);
		break;
	case 3:
		pools_recipient_taken(s->p, 0, server, now_us);
		break;
	case 4:
		pools_answered(s->p, 0, server, 2, (uint32_t)(random >> 40), now_us);
		break;
	case 5:
		pools_drain(s->p, 0, server, random >> 8 & 1, now_us);
		break;
	default:
		pools_greeted(s->p, 0, server, (uint16_t)random, random >> 32, now_us);
	}
	atomic_fetch_add_explicit(&s->now_us, SECOND / 8, memory_order_relaxed);
}

static void step(struct worker *w)
{
	uint64_t random = test_random(&w->random);
	unsigned i = w->n ? (unsigned)(random >> 32) % w->n : 0;

	if (w->n < HELD_MAX && random % 8 < 4)
		take(w);
	else if (w->n < HELD_MAX && random % 8 == 4)
		try_one(w);
	else if (w->n && random % 8 == 5)
		close_one(w, i);
	else if (w->n)
		end_one(w, i);
	if (w->shared->with_findings && random >> 8 & 1)
		find_something(w, (uint32_t)(random >> 16) % SERVERS);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(&w->shared->barrier);
	for (uint32_t i = 0; i < steps; i++)
		step(w);
	while (w->n)
		close_one(w, 0);
	return NULL;
}

/* What control shows is what somebody said. */
static void *look_on(void *arg)
{
	struct shared *s = arg;
	struct pool_server_status status;

	for (unsigned i = 0; !atomic_load_explicit(&s->done, memory_order_relaxed); i++) {
		size_t len;

		pools_status(s->p, 0, i % s->n_servers, now(s), &status);
		len = strlen(status.error);
		if (len && strspn(status.error, (char[]){status.error[0], '\0'}) != len)
			add(&s->torn, 1);
		if (len)
			add(&s->texts, 1);
		if (status.connections > LIMIT || status.in_use > status.connections)
			add(&s->over, 1);
	}
	return NULL;
}

static void run(struct shared *s, void *(*what)(void *))
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS], control;

	s->p = new_pools(s->n_servers);
	assert_non_null(s->p);
	s->now_us = START;
	pthread_barrier_init(&s->barrier, NULL, THREADS);
	assert_int_equal(pthread_create(&control, NULL, look_on, s), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.shared = s, .random = test_mix(s->seed + i)};
		assert_int_equal(pthread_create(&threads[i], NULL, what, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&s->done, true);
	pthread_join(control, NULL);
	pthread_barrier_destroy(&s->barrier);
	assert_int_equal(s->over, 0);
	assert_int_equal(s->torn, 0);
	for (unsigned i = 0; i < s->n_servers; i++) {
		struct pool_server_status status;

		pools_lost(s->p, 0, i, "the end", s->now_us);
		pools_status(s->p, 0, i, s->now_us, &status);
		assert_int_equal(status.connections, 0);
		assert_int_equal(status.in_use, 0);
		assert_string_equal(status.error, "the end");
	}
	pools_free(s->p);
}

static void four_workers_never_open_more_than_the_limit(void **state)
{
	struct shared s = {.seed = test_seed(1), .n_servers = SERVERS};

	run(&s, work);
	for (unsigned i = 0; i < SERVERS; i++)
		assert_int_equal(s.most[i], LIMIT);
}

static void whatever_is_found_meanwhile_nothing_that_was_taken_is_lost(void **state)
{
	struct shared s = {.seed = test_seed(2), .n_servers = SERVERS, .with_findings = true};

	run(&s, work);
	assert_true(s.texts > 0);
}

static void *complain(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->shared;
	char text[POOL_ERROR_MAX];

	pthread_barrier_wait(&s->barrier);
	for (uint32_t i = 0; i < steps; i++) {
		write_text(text, test_random(&w->random));
		pools_lost(s->p, 0, 0, text, START);
	}
	return NULL;
}

static void a_last_error_is_whole_whoever_else_has_one(void **state)
{
	struct shared s = {.seed = test_seed(4), .n_servers = 1};

	run(&s, complain);
	assert_true(s.texts > 0);
}

/* Nobody says what came of a trial, so each is followed by another 15 s later, by the time of who
 * was given it. */
static void *try_for_long(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->shared;

	pthread_barrier_wait(&s->barrier);
	for (uint32_t i = 0; i < steps; i++) {
		uint64_t now_us =
			atomic_fetch_add_explicit(&s->now_us, TRIAL / 3, memory_order_relaxed);
		uint32_t at = 0, pool, server;

		if (pools_take_trial(s->p, now_us, &at, &pool, &server)) {
			s->trials[add(&s->n_trials, 1)] = now_us;
			pools_release(s->p, pool, server);
			pools_closed(s->p, pool, server);
		}
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

static void a_trial_is_given_to_one_of_four_workers(void **state)
{
	struct shared s = {.seed = test_seed(3), .n_servers = 1};

	s.trials = calloc((size_t)THREADS * steps, sizeof(*s.trials));
	assert_non_null(s.trials);
	run(&s, try_for_long);
	assert_true(s.n_trials > steps / 100);
	qsort(s.trials, s.n_trials, sizeof(*s.trials), compare);
	for (uint32_t i = 1; i < s.n_trials; i++)
		assert_true(s.trials[i] - s.trials[i - 1] >= TRIAL);
	free(s.trials);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_workers_never_open_more_than_the_limit),
		cmocka_unit_test(whatever_is_found_meanwhile_nothing_that_was_taken_is_lost),
		cmocka_unit_test(a_last_error_is_whole_whoever_else_has_one),
		cmocka_unit_test(a_trial_is_given_to_one_of_four_workers),
	};

	steps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 100000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
