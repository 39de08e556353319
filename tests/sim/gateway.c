/* SPDX-License-Identifier: BSD-3-Clause */
/* A gateway. Thread, Time, Memory: gateway.h. */
#include "gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put_in(struct recipients *r, const char *local, enum recipient_class class,
		   uint16_t pool)
{
	static const char domain[] = "example.net";
	const struct recipient_address address = {local, domain, (uint16_t)strlen(local),
						  sizeof(domain) - 1};

	assert_int_equal(recipients_put(r, &address, class, pool), RECIPIENTS_NEW);
}

static void put(struct recipients *r, const char *local, enum recipient_class class)
{
	put_in(r, local, class, RECIPIENT_POOL_OF_DOMAIN);
}

static struct recipients *new_recipients(void)
{
	const struct recipients_config config = {.expected = 100, .entropy = {1}};
	const struct recipients_domain domain = {.name = "example.net", .name_len = 11};
	struct recipients *r = recipients_new(&config);
	uint32_t number;

	assert_non_null(r);
	assert_int_equal(recipients_add_domain(r, &domain, &number), 0);
	recipients_set_loaded(r, number, true);
	put(r, "user", RECIPIENT_NORMAL);
	put(r, "other", RECIPIENT_NORMAL);
	put(r, "trap", RECIPIENT_TRAP);
	put(r, "full", RECIPIENT_OVER_QUOTA);
	put(r, "gone", RECIPIENT_DISABLED);
	put(r, "moved", RECIPIENT_MOVED);
	for (char far[] = "far0"; far[3] <= '9'; far[3]++)
		put_in(r, far, RECIPIENT_NORMAL, GATEWAY_OTHER_POOL);
	return r;
}

struct harvest *gateway_harvest(bool observe)
{
	struct harvest_config config;
	struct harvest *h;

	harvest_defaults(&config);
	config.entries = 1 << 12;
	config.filter_octets = 1 << 16;
	config.observe = observe;
	h = harvest_new(&config);
	assert_non_null(h);
	return h;
}

struct gateway *gateway_new(uint64_t seed, enum sim_arrival arrival)
{
	struct gateway *g = aligned_alloc(_Alignof(struct gateway), sizeof(*g));
	struct sim_stack_config *stack;

	assert_non_null(g);
	memset(g, 0, sizeof(*g));
	g->recipients = new_recipients();
	g->mail = (struct mail_config){
		.host = "mx.example.net",
		.size_max = 1000000,
		.recipients_max = 1000,
		.normalize_bare_lf = true,
		.sessions = 128,
		.harvest = gateway_harvest(false),
		.shield = {.flagged_fd = -1, .wake_fd = -1},
		.epoch_us = (uint64_t)GATEWAY_EPOCH_S * SECOND_US,
		.notices = g->notices,
		.orders = g->orders,
	};
	world_init(&g->world, seed, false, 1);
	g->world.configs[WORLD_OPENER].service = &talker_service;
	g->world.configs[WORLD_OPENER].service_config = &g->talks;
	stack = &g->world.configs[WORLD_ANSWERER];
	stack->service = &mail_service;
	stack->service_config = &g->mail;
	stack->workers = GATEWAY_WORKERS;
	stack->arrival = arrival;
	stack->recipients = (const struct recipients *const *)&g->recipients;
	return g;
}

static void start_servers(struct gateway *g)
{
	for (uint32_t i = 0; i < GATEWAY_SERVERS; i++) {
		const struct sim_stack_config config = {
			.number = (uint8_t)(GATEWAY_FIRST_SERVER + i),
			.workers = 1,
			.frames = 1024,
			.buffers = 2048,
			.conns = 512,
			.receive_window = 65536,
			.send_queue = 65536,
			.listen = WORLD_PORT,
			.service = &server_service,
			.service_config = &g->servers[i],
		};

		g->server_stacks[i] = sim_stack_new(g->world.wire, &config);
		assert_non_null(g->server_stacks[i]);
	}
}

void gateway_start(struct gateway *g)
{
	assert_true(world_open(&g->world));
	if (g->mail.pools)
		start_servers(g);
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++)
		world_path(&g->world, i)->delay_us = GATEWAY_PATH_US;
}

struct gateway *gateway_open(uint64_t seed, enum sim_arrival arrival)
{
	struct gateway *g = gateway_new(seed, arrival);

	gateway_start(g);
	return g;
}

void gateway_free(struct gateway *g)
{
	for (uint32_t i = 0; i < GATEWAY_SERVERS; i++) {
		sim_stack_free(g->server_stacks[i]);
		server_free(&g->servers[i]);
	}
	world_close(&g->world);
	pools_free(g->mail.pools);
	harvest_free(g->mail.harvest);
	recipients_free(g->recipients);
	free(g);
}

/* What control does with a verdict: all other workers hear of it. */
static void pass_on(struct gateway *g)
{
	for (unsigned from = 0; from < GATEWAY_WORKERS; from++) {
		struct notice notice;

		while (notices_get(&g->notices[from], &notice)) {
			g->told = notice.verdict;
			g->n_told++;
			for (unsigned to = 0; to < GATEWAY_WORKERS; to++)
				if (to != from)
					assert_true(notices_put(&g->orders[to], &notice));
		}
	}
}

void gateway_run(struct gateway *g, uint64_t for_us)
{
	const uint64_t until_us = sim_wire_now(g->world.wire) + for_us;

	while (sim_wire_now(g->world.wire) < until_us) {
		enum sim_end end = sim_wire_run(
			g->world.wire, sim_wire_now(g->world.wire) + GATEWAY_PATH_US, NULL, NULL);

		pass_on(g);
		if (end == SIM_QUIET)
			break;
	}
}

/* Begins one and lets it run. */
struct talk *gateway_talk_for(struct gateway *g, uint64_t for_us, enum talk_manner manner,
			      const char *lines)
{
	const struct ip_addr to = sim_address(WORLD_ANSWERER + 1, g->world.v6);
	struct talk *k = talk_begin(&g->talks, &to, WORLD_PORT, manner, lines);

	gateway_run(g, for_us);
	return k;
}

struct talk *gateway_talk(struct gateway *g, enum talk_manner manner, const char *lines)
{
	return gateway_talk_for(g, 60ULL * SECOND_US, manner, lines);
}

struct postern_counters gateway_counters(const struct gateway *g)
{
	struct postern_counters sum;

	sim_stack_counters(g->world.stacks[WORLD_ANSWERER], &sum);
	return sum;
}

static void assert_pools_are_free(const struct gateway *g)
{
	struct pool_server_status status;

	for (uint32_t pool = 0; pool < pools_count(g->mail.pools); pool++) {
		for (uint32_t i = 0; i < pools_config(g->mail.pools, pool)->n_servers; i++) {
			pools_status(g->mail.pools, pool, i, sim_wire_now(g->world.wire), &status);
			assert_int_equal(status.connections, 0);
			assert_int_equal(status.in_use, 0);
		}
		assert_int_equal(pools_wanted(g->mail.pools, pool), 0);
	}
	assert_int_equal(gateway_counters(g).relay_ended, gateway_counters(g).relay_transactions);
}

/* All is given back once clients have gone and time has passed. */
void gateway_close(struct gateway *g)
{
	if (g->mail.pools)
		atomic_store(&g->mail.draining, true);
	gateway_run(g, 700ULL * SECOND_US);
	assert_int_equal(sim_stack_conns(g->world.stacks[WORLD_ANSWERER]), 0);
	assert_int_equal(sim_stack_buffers_out(g->world.stacks[WORLD_ANSWERER]), 0);
	assert_int_equal(gateway_counters(g).smtp_ended, gateway_counters(g).smtp_conversations);
	assert_int_equal(gateway_counters(g).mail_replies_lost, 0);
	if (g->mail.pools)
		assert_pools_are_free(g);
	gateway_free(g);
}

/* --- what is behind it ----------------------------------------------------------------------- */

void gateway_pools(struct gateway *g, uint32_t n, enum pool_protocol protocol,
		   enum pool_identity identity, uint32_t connections)
{
	struct pool_server_config servers[GATEWAY_SERVERS];
	struct pool_config pools[2];

	for (uint32_t i = 0; i < GATEWAY_SERVERS; i++) {
		servers[i] = (struct pool_server_config){
			.address = sim_address((uint8_t)(GATEWAY_FIRST_SERVER + i), false),
			.port = WORLD_PORT,
			.weight = 1,
		};
		g->servers[i].lmtp = protocol == POOL_LMTP;
	}
	for (uint32_t i = 0; i < 2; i++)
		pools[i] = (struct pool_config){
			.name = i ? "far" : "near",
			.protocol = protocol,
			.identity = identity,
			.many_recipients = g->many_recipients,
			.connections = connections,
			.n_servers = i ? 1 : n,
			.servers = i ? &servers[GATEWAY_SERVERS - 1] : servers,
		};
	g->mail.pools = pools_new(pools, 2);
	assert_non_null(g->mail.pools);
	g->world.configs[WORLD_ANSWERER].send_queue = 256 << 10;
}
