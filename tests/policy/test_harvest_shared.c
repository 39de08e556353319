/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_harvest_shared ROUNDS: one client on as many connections as there are threads, all at once.
 * Whatever they do, four guesses are answered to a stranger and no more; a verdict is told once.
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

#include "postern/harvest.h"

enum { THREADS = 8, BURST = 5, START = 1800000000 };

struct shared {
	struct harvest *h;
	uint32_t rounds;
	pthread_barrier_t barrier;
	_Atomic uint32_t answered, told, over;
	uint32_t most, least, told_wrong, over_missing;
	bool in_one_net; /* the clients of a round are different ones of one /24 */
};

static uint32_t rounds;

static struct harvest_client client_of(const struct shared *s, uint32_t round, unsigned thread)
{
	/* A round's addresses lie in a /24 of its own. */
	const uint8_t octets[4] = {(uint8_t)(11 + (round >> 16)), (uint8_t)(round >> 8),
				   (uint8_t)round, (uint8_t)(s->in_one_net ? thread : 1)};

	return (struct harvest_client){.address = ip_addr_from_v4(octets), .sender = 1};
}

/* Guesses in bursts until it is shut out. */
static void guess(struct shared *s, uint32_t round, unsigned thread)
{
	struct harvest_client client = client_of(s, round, thread);
	struct recipient_address asked[BURST];
	enum harvest_evidence evidence[BURST];
	enum harvest_answer answers[BURST];
	struct harvest_verdicts verdicts;
	struct harvest_loan loan = {0};
	char locals[BURST][32];

	for (unsigned n = 0; n < 20; n += BURST) {
		if (harvest_standing(s->h, &client, START) != HARVEST_WELCOME)
			break;
		for (unsigned i = 0; i < BURST; i++) {
			int len = snprintf(locals[i], sizeof(locals[i]), "g%u.%u.%u", round, thread,
					   n + i);

			asked[i] = (struct recipient_address){locals[i], "example.net",
							      (uint16_t)len, 11};
			evidence[i] = HARVEST_UNKNOWN;
		}
		harvest_recipients(s->h, &client, asked, evidence, BURST, &loan, START, answers,
				   &verdicts);
		atomic_fetch_add(&s->told, verdicts.n);
		for (unsigned i = 0; i < BURST; i++)
			if (answers[i] == HARVEST_ANSWER || answers[i] == HARVEST_SHUT_OUT)
				atomic_fetch_add(&s->answered, 1);
	}
	if (harvest_standing(s->h, &client, START) == HARVEST_GONE)
		atomic_fetch_add(&s->over, 1);
}

struct worker {
	struct shared *shared;
	unsigned number;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct shared *s = w->shared;

	for (uint32_t round = 0; round < s->rounds; round++) {
		pthread_barrier_wait(&s->barrier);
		guess(s, round, w->number);
		if (pthread_barrier_wait(&s->barrier) != 0) { /* one of them */
			uint32_t answered = atomic_exchange(&s->answered, 0);

			s->most = answered > s->most ? answered : s->most;
			s->least = answered < s->least ? answered : s->least;
			s->told_wrong += atomic_exchange(&s->told, 0) != 1;
			s->over_missing += atomic_exchange(&s->over, 0) != THREADS;
		}
		pthread_barrier_wait(&s->barrier);
	}
	return NULL;
}

/* Good recipients and one that is not, in a transaction that nothing comes of. */
static void borrow(struct shared *s, uint32_t round, unsigned thread)
{
	struct harvest_client client = client_of(s, round, thread);
	struct recipient_address asked[BURST];
	enum harvest_evidence evidence[BURST];
	enum harvest_answer answers[BURST];
	struct harvest_verdicts verdicts;
	struct harvest_loan loan = {0};
	char locals[BURST][32];

	for (unsigned i = 0; i < BURST; i++) {
		int len = snprintf(locals[i], sizeof(locals[i]), "b%u.%u.%u", round, thread, i);

		asked[i] = (struct recipient_address){locals[i], "example.net", (uint16_t)len, 11};
		evidence[i] = thread < 2 && i == 2 ? HARVEST_UNKNOWN : HARVEST_GOOD;
	}
	harvest_recipients(s->h, &client, asked, evidence, BURST, &loan, START, answers, &verdicts);
	harvest_settle(s->h, &client, &loan, HARVEST_ABANDONED, START, &verdicts);
}

/* Two unknown recipients are what the client has against it then, and its /24 the same. */
static void *borrow_together(void *arg)
{
	enum { UNKNOWN = 871 };
	struct worker *w = arg;
	struct shared *s = w->shared;

	for (uint32_t round = 0; round < s->rounds; round++) {
		struct harvest_client client = client_of(s, round, 0);
		struct harvest_story stories[HARVEST_LEVELS];

		pthread_barrier_wait(&s->barrier);
		borrow(s, round, w->number);
		if (pthread_barrier_wait(&s->barrier) != 0) { /* one of them */
			harvest_explain(s->h, &client.address, START, stories);
			s->told_wrong +=
				stories[0].score != 2 * UNKNOWN || stories[1].score != 2 * UNKNOWN;
		}
	}
	return NULL;
}

static void run(struct shared *s, void *(*what)(void *))
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct harvest_config config;

	harvest_defaults(&config);
	memset(config.entropy, 5, sizeof(config.entropy));
	s->h = harvest_new(&config);
	assert_non_null(s->h);
	s->least = UINT32_MAX;
	pthread_barrier_init(&s->barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){s, i};
		assert_int_equal(pthread_create(&threads[i], NULL, what, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&s->barrier);
	harvest_free(s->h);
}

static void eight_connections_at_once_get_four_answers_together(void **state)
{
	struct shared s = {.rounds = rounds};

	run(&s, work);
	assert_int_equal(s.most, 4);
	assert_int_equal(s.least, 4);
	assert_int_equal(s.told_wrong, 0);
	assert_int_equal(s.over_missing, 0);
}

static void eight_clients_of_a_24_at_once_get_its_answers_together(void **state)
{
	struct shared s = {.rounds = rounds / 4, .in_one_net = true};

	run(&s, work);
	/* Eleven cross its line; a client whose own evidence no longer fits may have spent some of
	 * the prefix's. */
	assert_in_range(s.most, 4, 14);
}

static void what_eight_connections_borrow_at_once_is_given_back(void **state)
{
	struct shared s = {.rounds = rounds};

	run(&s, borrow_together);
	assert_int_equal(s.told_wrong, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eight_connections_at_once_get_four_answers_together),
		cmocka_unit_test(eight_clients_of_a_24_at_once_get_its_answers_together),
		cmocka_unit_test(what_eight_connections_borrow_at_once_is_given_back),
	};

	rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
