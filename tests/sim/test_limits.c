/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What one client may have of a gateway of two workers: the limit is one over both, whichever
 * worker a connection lands on. POSTERN_SEED chooses the random numbers.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/random.h"
#include "sim_eal.h"
#include "tcp/clients.h"
#include "world.h"

enum {
	WORKERS = 2,
	LIMIT = 20,
	STEP_US = 1000000,
	GLANCE_US = 1000,
};

/* Both ends keep what is open until they are told. */
struct keeper {
	uint32_t to_open; /* by the first worker */
	bool drop_all;
	uint32_t opened[WORKERS], over[WORKERS], refused;
	struct tcp_conn *kept[WORKERS][4 * LIMIT];
};

struct keeper_worker {
	struct keeper *keeper;
	struct worker *worker;
	uint16_t index;
};

static uint64_t seed;

static void *keeper_start(struct worker *w, void *config)
{
	struct keeper_worker *k = calloc(1, sizeof(*k));

	assert_non_null(k);
	*k = (struct keeper_worker){config, w, worker_index(w)};
	return k;
}

static void keeper_run(void *state, struct tcp_conn *conn, unsigned news, uint64_t now_us)
{
	struct keeper_worker *k = state;
	struct keeper *all = k->keeper;

	(void)now_us;
	if (news & TCP_OPENED) {
		all->kept[k->index][all->opened[k->index]++] = conn;
		all->over[k->index] += tcp_is_over_limit(conn);
	}
	if (news & TCP_ENDED)
		all->refused += tcp_end_of(conn) == TCP_END_REFUSED;
}

static uint64_t keeper_turn(void *state, uint64_t now_us)
{
	struct keeper_worker *k = state;
	struct keeper *all = k->keeper;
	const struct ip_addr gateway = sim_address(WORLD_ANSWERER + 1, false);
	struct tcp_conn *conn;

	for (; k->index == 0 && all->to_open; all->to_open--)
		assert_int_equal(worker_connect(k->worker, &gateway, WORLD_PORT, &conn),
				 WORKER_CONNECTING);
	for (; all->drop_all && all->opened[k->index]; all->opened[k->index]--)
		tcp_abort(worker_tcp(k->worker), all->kept[k->index][all->opened[k->index] - 1]);
	return now_us + GLANCE_US;
}

static void keeper_stop(void *state)
{
	free(state);
}

static const struct worker_service keeper_service = {
	.name = "keeper",
	.start = keeper_start,
	.run = keeper_run,
	.turn = keeper_turn,
	.stop = keeper_stop,
};

static void open_some(struct world *w, struct keeper *client, uint32_t n)
{
	client->to_open = n;
	assert_int_equal(sim_wire_run(w->wire, sim_wire_now(w->wire) + STEP_US, NULL, NULL),
			 SIM_TIME_OVER);
}

static struct clients *new_clients(void)
{
	const struct clients_config config = {
		.conns = 1000,
		.limits = {[CLIENTS_HALF_OPEN] = LIMIT, [CLIENTS_OPEN] = LIMIT},
		.key = {seed, 1},
	};
	struct clients *c = clients_new(&config);

	assert_non_null(c);
	return c;
}

static void converse(enum sim_arrival arrival)
{
	struct clients *clients = new_clients();
	static struct keeper client, gateway;
	struct ip_addr address = sim_address(WORLD_OPENER + 1, false);
	struct world w;

	client = gateway = (struct keeper){.to_open = 0};
	world_init(&w, seed, false, 1);
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		w.configs[i].service = &keeper_service;
		w.configs[i].service_config = i == WORLD_OPENER ? &client : &gateway;
	}
	w.configs[WORLD_ANSWERER].workers = WORKERS;
	w.configs[WORLD_ANSWERER].arrival = arrival;
	w.configs[WORLD_ANSWERER].clients = clients;
	w.configs[WORLD_ANSWERER].client_conns = LIMIT;
	assert_true(world_open(&w));

	open_some(&w, &client, LIMIT);
	assert_int_equal(gateway.opened[0] + gateway.opened[1], LIMIT);
	assert_int_equal(gateway.over[0] + gateway.over[1], 0);
	assert_true(gateway.opened[0] > 0 && gateway.opened[1] > 0);
	open_some(&w, &client, LIMIT);
	assert_int_equal(gateway.opened[0] + gateway.opened[1], 2 * LIMIT);
	assert_int_equal(gateway.over[0] + gateway.over[1], LIMIT);
	open_some(&w, &client, LIMIT / 2);
	assert_int_equal(gateway.opened[0] + gateway.opened[1], 2 * LIMIT);
	assert_int_equal(client.refused, LIMIT / 2);
	assert_int_equal(clients_count(clients, CLIENTS_OPEN, &address), 2 * LIMIT);

	gateway.drop_all = true;
	open_some(&w, &client, 0);
	assert_int_equal(clients_sum(clients, CLIENTS_OPEN), 0);
	assert_int_equal(clients_sum(clients, CLIENTS_HALF_OPEN), 0);
	world_close(&w);
	clients_free(clients);
}

static void a_clients_limit_is_one_over_both_workers(void **state)
{
	converse(SIM_AT_OWNER);
	converse(SIM_AT_WRONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clients_limit_is_one_over_both_workers),
	};

	seed = test_seed(1);
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
