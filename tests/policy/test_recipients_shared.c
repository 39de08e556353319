/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Readers beside the writer: who is there and is left alone is never missed, whatever happens in
 * the buckets around; who was never there is never found.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "postern/recipients.h"

enum {
	READERS = 3,
	STAYING = 400,
	MOVING = 400,
	CHANGES = 300000,
	POOL = 1,
};

struct shared {
	struct recipients *r;
	atomic_bool done;
	_Atomic uint64_t lookups, missed, invented, misclassed;
};

static void write_name(char *text, size_t len, char kind, unsigned i)
{
	snprintf(text, len, "%c%u", kind, i);
}

static struct recipient_address address(const char *local)
{
	return (struct recipient_address){
		.local = local,
		.local_len = (uint16_t)strlen(local),
		.domain = "example.net",
		.domain_len = 11,
	};
}

/* A burst of those that stay, of those that never were, and of those that come and go: these are
 * traps or normal by their number, whenever they are there. */
static void look(struct shared *s, unsigned at)
{
	struct recipient_address asked[RECIPIENTS_ASKED_MAX];
	struct recipient_answer answers[RECIPIENTS_ASKED_MAX];
	char texts[RECIPIENTS_ASKED_MAX][16];

	for (unsigned i = 0; i < RECIPIENTS_ASKED_MAX; i++) {
		unsigned who = (at + i / 3) % (i % 3 == 2 ? MOVING : STAYING);

		write_name(texts[i], sizeof(texts[i]), "snm"[i % 3], who);
		asked[i] = address(texts[i]);
	}
	recipients_find(s->r, asked, RECIPIENTS_ASKED_MAX, answers);
	for (unsigned i = 0; i < RECIPIENTS_ASKED_MAX; i++) {
		bool known = answers[i].finding == RECIPIENT_KNOWN;
		unsigned who = (at + i / 3) % MOVING;

		if (i % 3 == 0 && !known)
			atomic_fetch_add(&s->missed, 1);
		if (i % 3 == 1 && known)
			atomic_fetch_add(&s->invented, 1);
		if (i % 3 == 2 && known &&
		    (answers[i].class == RECIPIENT_TRAP
			     ? who % 2 != 1
			     : who % 2 != 0 || answers[i].pool != 10 + who % 7))
			atomic_fetch_add(&s->misclassed, 1);
	}
	atomic_fetch_add_explicit(&s->lookups, RECIPIENTS_ASKED_MAX, memory_order_relaxed);
}

static void *read_on(void *arg)
{
	struct shared *s = arg;

	for (unsigned at = 0; !atomic_load(&s->done); at += 7)
		look(s, at);
	return NULL;
}

static void nobody_who_stays_is_missed_while_others_come_and_go(void **state)
{
	/* Full enough for chains of buckets. */
	struct recipients_config config = {.expected = STAYING + MOVING / 2};
	struct recipients_domain domain = {.name = "example.net", .name_len = 11, .pool = POOL};
	struct shared s = {0};
	pthread_t readers[READERS];
	bool there[MOVING] = {false};
	uint32_t number, seed = 12345;
	char text[16];

	s.r = recipients_new(&config);
	assert_non_null(s.r);
	assert_int_equal(recipients_add_domain(s.r, &domain, &number), 0);
	recipients_set_loaded(s.r, number, true);
	for (unsigned i = 0; i < STAYING; i++) {
		struct recipient_address a =
			(write_name(text, sizeof(text), 's', i), address(text));

		assert_int_equal(recipients_put(s.r, &a, RECIPIENT_NORMAL,
						RECIPIENT_POOL_OF_DOMAIN),
				 RECIPIENTS_NEW);
	}
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, &s), 0);
	for (unsigned i = 0; i < CHANGES; i++) {
		unsigned who = (seed = seed * 1664525 + 1013904223) >> 8 & 0xffff;
		struct recipient_address a;

		who %= MOVING;
		write_name(text, sizeof(text), 'm', who);
		a = address(text);
		if (there[who])
			assert_int_equal(recipients_remove(s.r, &a), 0);
		else
			assert_int_equal(recipients_put(s.r, &a,
							who % 2 ? RECIPIENT_TRAP : RECIPIENT_NORMAL,
							(uint16_t)(10 + who % 7)),
					 RECIPIENTS_NEW);
		there[who] = !there[who];
	}
	atomic_store(&s.done, true);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	assert_true(atomic_load(&s.lookups) > 1000);
	assert_int_equal(atomic_load(&s.missed), 0);
	assert_int_equal(atomic_load(&s.invented), 0);
	assert_int_equal(atomic_load(&s.misclassed), 0);
	recipients_free(s.r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_who_stays_is_missed_while_others_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
