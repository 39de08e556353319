/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_refusals_shared STEPS: writers and readers of few recipients in a small table. A refusal is
 * seen whole, of the recipient that was asked for, or not at all.
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
#include "relay/refusals.h"

enum { THREADS = 4, ENTRIES = 8, START = 5000000 };

static uint32_t steps;

struct shared {
	struct refusals *r;
	uint64_t seed;
	uint32_t recipients;
	pthread_barrier_t barrier;
	_Atomic uint32_t wrong;
	_Atomic uint64_t found;
};

struct worker {
	struct shared *shared;
	uint64_t random;
};

struct name {
	char text[32];
	struct span span;
};

static void name_recipient(struct name *n, uint32_t number)
{
	int len = snprintf(n->text, sizeof(n->text), "user%u@example.net", number);

	n->span = (struct span){(const uint8_t *)n->text, (size_t)len};
}

/* All of it follows from the recipient and a letter. */
static struct refusal refusal_of(uint32_t number, unsigned letter)
{
	struct refusal r = {
		.code = (uint16_t)(500 + letter),
		.pool = (uint16_t)number,
		.server = (uint16_t)(number + letter),
		.text_len = (uint16_t)(letter * 7 + 8),
		.is_suspect = letter % 2,
	};

	memset(r.text, 'a' + (int)letter, r.text_len);
	return r;
}

static bool is_one(const struct refusal *found, uint32_t number)
{
	struct refusal r = refusal_of(number, (found->code - 500u) % 26);

	return found->code == r.code && found->pool == r.pool && found->server == r.server &&
	       found->text_len == r.text_len && found->is_suspect == r.is_suspect &&
	       memcmp(found->text, r.text, r.text_len) == 0;
}

static void step(struct worker *w, uint32_t i)
{
	struct shared *s = w->shared;
	uint64_t random = test_random(&w->random);
	uint32_t number = (uint32_t)(random >> 8) % s->recipients;
	struct refusal refusal;
	struct name recipient;

	name_recipient(&recipient, number);
	if (random % 2) {
		refusal = refusal_of(number, (unsigned)(random >> 40) % 26);
		refusals_put(s->r, (struct span){0}, recipient.span, random >> 4 & 1, &refusal,
			     START + i);
	} else if (refusals_find(s->r, (struct span){0}, recipient.span, START + i, &refusal)) {
		atomic_fetch_add_explicit(&s->found, 1, memory_order_relaxed);
		if (!is_one(&refusal, number))
			atomic_fetch_add(&s->wrong, 1);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(&w->shared->barrier);
	for (uint32_t i = 0; i < steps; i++)
		step(w, i);
	return NULL;
}

static void run(struct shared *s)
{
	const struct siphash_key keys[2] = {{5, 6}, {7, 8}};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];

	s->r = refusals_new(ENTRIES, keys);
	assert_non_null(s->r);
	pthread_barrier_init(&s->barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){s, test_mix(s->seed + i)};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&s->barrier);
	assert_int_equal(s->wrong, 0);
	assert_true(s->found > steps / 10);
}

/* Nothing of what they left hides it or stands in its way. */
static void what_is_put_when_the_others_are_done_is_found(void **state)
{
	struct shared s = {.seed = test_seed(1), .recipients = 2};

	run(&s);
	for (uint32_t number = 0; number < s.recipients; number++) {
		struct refusal refusal = refusal_of(number, 25), found;
		struct name recipient;

		name_recipient(&recipient, number);
		refusals_put(s.r, (struct span){0}, recipient.span, false, &refusal, START + steps);
		assert_true(refusals_find(s.r, (struct span){0}, recipient.span, START + steps,
					  &found));
		assert_int_equal(found.code, refusal.code);
	}
	refusals_free(s.r);
}

static void a_refusal_is_whole_while_others_take_its_place(void **state)
{
	struct shared s = {.seed = test_seed(2), .recipients = 12};

	run(&s);
	refusals_free(s.r);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_put_when_the_others_are_done_is_found),
		cmocka_unit_test(a_refusal_is_whole_while_others_take_its_place),
	};

	steps = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 100000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
