/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts of clients: exact for each, never too low, and all given back. POSTERN_SEED chooses the
 * random numbers. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "tcp/clients.h"

enum { LIMIT = 50, MILLION = 1000000 };

static uint64_t seed;

static uint64_t next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	return (*state ^ *state >> 31) * 0xbf58476d1ce4e5b9 >> 13;
}

static struct clients *new_clients(uint64_t conns)
{
	const struct clients_config config = {
		.conns = conns,
		.limits = {[CLIENTS_HALF_OPEN] = LIMIT, [CLIENTS_OPEN] = LIMIT},
		.key = {seed, 2},
	};
	struct clients *c = clients_new(&config);

	assert_non_null(c);
	return c;
}

static struct ip_addr v4(uint32_t number)
{
	const uint8_t octets[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
				   (uint8_t)(number >> 8), (uint8_t)number};

	return ip_addr_from_v4(octets);
}

static struct ip_addr v6(uint32_t network, uint32_t host)
{
	struct ip_addr a = {{0x20, 0x01, 0x0d, 0xb8}};

	memcpy(a.octets + 4, &network, sizeof(network));
	memcpy(a.octets + 12, &host, sizeof(host));
	return a;
}

static void a_client_is_counted_up_and_down(void **state)
{
	struct clients *c = new_clients(1000);
	const struct ip_addr client = v4(0xc6336407);

	for (unsigned kind = 0; kind < CLIENTS_KINDS; kind++) {
		for (uint32_t i = 1; i <= 100; i++)
			assert_int_equal(clients_add(c, kind, &client), i);
		assert_int_equal(clients_count(c, kind, &client), 100);
		for (uint32_t i = 100; i > 0; i--) {
			clients_sub(c, kind, &client);
			assert_int_equal(clients_count(c, kind, &client), i - 1);
		}
		assert_int_equal(clients_sum(c, kind), 0);
	}
	clients_free(c);
}

static void half_open_and_open_are_counted_apart(void **state)
{
	struct clients *c = new_clients(1000);
	const struct ip_addr client = v4(1);

	clients_add(c, CLIENTS_HALF_OPEN, &client);
	assert_int_equal(clients_count(c, CLIENTS_OPEN, &client), 0);
	assert_int_equal(clients_count(c, CLIENTS_HALF_OPEN, &client), 1);
	clients_free(c);
}

static void an_ipv4_client_is_an_address_and_an_ipv6_client_a_64(void **state)
{
	struct clients *c = new_clients(1000);
	const struct ip_addr a = v4(0x0a000001), beside = v4(0x0a000002);
	const struct ip_addr one = v6(7, 1), other = v6(7, 99), elsewhere = v6(8, 1);

	clients_add(c, CLIENTS_OPEN, &a);
	assert_int_equal(clients_count(c, CLIENTS_OPEN, &beside), 0);
	clients_add(c, CLIENTS_OPEN, &one);
	assert_int_equal(clients_add(c, CLIENTS_OPEN, &other), 2);
	assert_int_equal(clients_count(c, CLIENTS_OPEN, &elsewhere), 0);
	clients_sub(c, CLIENTS_OPEN, &one);
	clients_sub(c, CLIENTS_OPEN, &other);
	clients_sub(c, CLIENTS_OPEN, &a);
	assert_int_equal(clients_sum(c, CLIENTS_OPEN), 0);
	clients_free(c);
}

static void a_kind_without_a_limit_is_not_counted(void **state)
{
	const struct clients_config config = {.conns = 10, .limits = {[CLIENTS_OPEN] = 5}};
	struct clients *c = clients_new(&config);
	const struct ip_addr client = v4(1);

	assert_non_null(c);
	assert_int_equal(clients_add(c, CLIENTS_HALF_OPEN, &client), 0);
	assert_int_equal(clients_count(c, CLIENTS_HALF_OPEN, &client), 0);
	clients_sub(c, CLIENTS_HALF_OPEN, &client);
	assert_int_equal(clients_sum(c, CLIENTS_HALF_OPEN), 0);
	clients_free(c);
}

static void who_has_no_limit_is_not_counted(void **state)
{
	const struct ip_network unlimited[] = {{v4(0x0a000000), 96 + 8}, {v6(7, 0), 64}};
	const struct clients_config config = {
		.conns = 10,
		.limits = {[CLIENTS_HALF_OPEN] = 5, [CLIENTS_OPEN] = 5},
		.unlimited = unlimited,
		.n_unlimited = 2,
	};
	struct clients *c = clients_new(&config);
	const struct ip_addr theirs[] = {v4(0x0affffff), v6(7, 99)},
			     others[] = {v4(0x0b000000), v6(8, 99)};

	assert_non_null(c);
	for (unsigned kind = 0; kind < CLIENTS_KINDS; kind++)
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(clients_add(c, kind, &theirs[i]), 0);
			assert_int_equal(clients_count(c, kind, &theirs[i]), 0);
			clients_sub(c, kind, &theirs[i]);
			assert_int_equal(clients_sum(c, kind), 0);
			assert_int_equal(clients_add(c, kind, &others[i]), 1);
			clients_sub(c, kind, &others[i]);
		}
	clients_free(c);
}

/* Against exact counts: never too low, and back to 0 at the end. */
static void a_random_walk_comes_back_to_nothing(void **state)
{
	enum { CLIENTS = 3000 };
	static uint32_t exact[CLIENTS];
	struct clients *c = new_clients(50000);
	uint64_t random = seed;
	uint32_t shared = 0;

	for (unsigned step = 0; step < 400000; step++) {
		uint32_t i = (uint32_t)(next_random(&random) % CLIENTS);
		const struct ip_addr client = i % 2 ? v4(i) : v6(i, (uint32_t)random);
		uint32_t count;

		if (exact[i] && next_random(&random) % 2) {
			clients_sub(c, CLIENTS_OPEN, &client);
			exact[i]--;
		} else {
			clients_add(c, CLIENTS_OPEN, &client);
			exact[i]++;
		}
		count = clients_count(c, CLIENTS_OPEN, &client);
		assert_true(count >= exact[i]);
		shared += count > exact[i];
	}
	assert_true(shared < 400000 / 100);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		const struct ip_addr client = i % 2 ? v4(i) : v6(i, 0);

		while (exact[i]) {
			clients_sub(c, CLIENTS_OPEN, &client);
			exact[i]--;
		}
	}
	assert_int_equal(clients_sum(c, CLIENTS_OPEN), 0);
	clients_free(c);
}

/* The header's bound, where it is tightest: a million connections of clients that have just as many
 * as put one with so many of its own over the limit. */
static uint32_t wrongly_over(uint32_t own, uint32_t innocents)
{
	const uint32_t others = LIMIT - own + 1;
	struct clients *c = new_clients(MILLION);
	uint32_t over = 0;

	for (uint32_t i = 0; i < MILLION; i++) {
		const struct ip_addr client = v4(i / others);

		clients_add(c, CLIENTS_OPEN, &client);
	}
	for (uint32_t i = 0; i < innocents; i++) {
		const struct ip_addr client = v6(i, 1);

		over += clients_count(c, CLIENTS_OPEN, &client) + own > LIMIT;
	}
	clients_free(c);
	return over;
}

static void few_innocents_are_over_the_limit_among_a_million(void **state)
{
	enum { INNOCENTS = 2 * MILLION };
	uint32_t first = wrongly_over(1, INNOCENTS), half = wrongly_over(LIMIT / 2, INNOCENTS);

	printf("wrongly over the limit: %g of those with one connection, %g of those with half\n",
	       (double)first / INNOCENTS, (double)half / INNOCENTS);
	assert_true(first < INNOCENTS / 1000);
	assert_true(half < INNOCENTS / 1000);
}

/* --- threads -----------------------------------------------------------------------------------
 */

struct hammer {
	struct clients *clients;
	uint64_t random;
	bool counted_too_low;
};

/* Opens and closes at random, of a few clients, and gives all back. */
static void *hammer(void *arg)
{
	enum { CLIENTS = 5, STEPS = 300000 };
	struct hammer *h = arg;
	uint32_t mine[CLIENTS] = {0};

	for (unsigned step = 0; step < STEPS; step++) {
		uint32_t i = (uint32_t)(next_random(&h->random) % CLIENTS);
		const struct ip_addr client = v4(i);

		if (mine[i] && next_random(&h->random) % 2) {
			clients_sub(h->clients, CLIENTS_OPEN, &client);
			mine[i]--;
		} else {
			mine[i]++;
			if (clients_add(h->clients, CLIENTS_OPEN, &client) < mine[i])
				h->counted_too_low = true;
		}
	}
	for (uint32_t i = 0; i < CLIENTS; i++) {
		const struct ip_addr client = v4(i);

		for (; mine[i]; mine[i]--)
			clients_sub(h->clients, CLIENTS_OPEN, &client);
	}
	return NULL;
}

static void two_threads_lose_no_count(void **state)
{
	struct clients *c = new_clients(1000);
	struct hammer hammers[2] = {{c, seed, false}, {c, seed + 1, false}};
	pthread_t threads[2];

	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &hammers[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_false(hammers[i].counted_too_low);
	}
	assert_int_equal(clients_sum(c, CLIENTS_OPEN), 0);
	clients_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_is_counted_up_and_down),
		cmocka_unit_test(half_open_and_open_are_counted_apart),
		cmocka_unit_test(an_ipv4_client_is_an_address_and_an_ipv6_client_a_64),
		cmocka_unit_test(a_kind_without_a_limit_is_not_counted),
		cmocka_unit_test(who_has_no_limit_is_not_counted),
		cmocka_unit_test(a_random_walk_comes_back_to_nothing),
		cmocka_unit_test(few_innocents_are_over_the_limit_among_a_million),
		cmocka_unit_test(two_threads_lose_no_count),
	};

	seed = test_seed(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
