/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_recipients_false_accepts LOOKUPS: so many addresses that nobody has, asked for in a full
 * table by as many threads as there are CPUs; not one may be taken for known.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/recipients.h"

enum {
	KNOWN = 1000000,
	THREADS_MAX = 16,
	LOCAL = 18,
};

struct share {
	const struct recipients *r;
	uint64_t first, end;
	uint64_t found;
};

static void write_local(char *local, char kind, uint64_t i)
{
	local[0] = kind;
	local[1] = '.';
	for (int k = 0; k < LOCAL - 2; k++)
		local[2 + k] = (char)('a' + (i >> (4 * k) & 15));
}

static void *look(void *arg)
{
	struct share *s = arg;
	struct recipient_address asked[RECIPIENTS_ASKED_MAX];
	struct recipient_answer answers[RECIPIENTS_ASKED_MAX];
	char locals[RECIPIENTS_ASKED_MAX][LOCAL];

	for (unsigned k = 0; k < RECIPIENTS_ASKED_MAX; k++)
		asked[k] = (struct recipient_address){locals[k], "example.net", LOCAL, 11};
	for (uint64_t i = s->first; i < s->end; i += RECIPIENTS_ASKED_MAX) {
		for (unsigned k = 0; k < RECIPIENTS_ASKED_MAX; k++)
			write_local(locals[k], 'u', i + k);
		recipients_find(s->r, asked, RECIPIENTS_ASKED_MAX, answers);
		for (unsigned k = 0; k < RECIPIENTS_ASKED_MAX; k++)
			s->found += answers[k].finding != RECIPIENT_UNKNOWN;
	}
	return NULL;
}

static struct recipients *full_table(void)
{
	struct recipients_config config = {.expected = KNOWN, .entropy = {3, 1, 4}};
	struct recipients_domain domain = {.name = "example.net", .name_len = 11};
	struct recipients *r = recipients_new(&config);
	char local[LOCAL];
	struct recipient_address a = {local, "example.net", LOCAL, 11};
	uint32_t number;

	if (!r || recipients_add_domain(r, &domain, &number))
		return NULL;
	recipients_set_loaded(r, number, true);
	for (uint64_t i = 0; i < KNOWN; i++) {
		write_local(local, 'k', i);
		if (recipients_put(r, &a, RECIPIENT_NORMAL, RECIPIENT_POOL_OF_DOMAIN) !=
		    RECIPIENTS_NEW)
			return NULL;
	}
	return r;
}

int main(int argc, char **argv)
{
	uint64_t lookups = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000, found = 0;
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	struct share shares[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	struct recipients *r = full_table();

	if (!r) {
		fprintf(stderr, "no table\n");
		return 1;
	}
	n = n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
	for (long i = 0; i < n; i++) {
		shares[i] = (struct share){r, lookups / (uint64_t)n * (uint64_t)i,
					   lookups / (uint64_t)n * (uint64_t)(i + 1), 0};
		if (pthread_create(&threads[i], NULL, look, &shares[i]))
			return 1;
	}
	for (long i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		found += shares[i].found;
	}
	printf("%" PRIu64 " lookups of unknown addresses, %" PRIu64 " taken for known\n", lookups,
	       found);
	recipients_free(r);
	return found ? 1 : 0;
}
