/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools by examples: what a worker is given, and what becomes of a server by what is found of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "postern/pools.h"

enum {
	SECOND = 1000 * 1000,
	START = 5 * SECOND,
	LIMIT = 11,
	TRIAL = 15 * SECOND,
	SLOW_START = 10 * SECOND,
	SERVERS_MOST = 4,
};

struct world {
	struct pools *p;
	uint64_t now_us;
	struct pool_tried tried, idle;
	/* Of the last take. */
	uint32_t server;
	bool needs_connection;
};

/* One pool; its servers' weights, 0 behind the last. */
static void begin_weighted(struct world *w, uint32_t connections,
			   const uint32_t weights[SERVERS_MOST])
{
	struct pool_server_config servers[SERVERS_MOST] = {0};
	struct pool_config config = {
		.name = "mailstore", .connections = connections, .servers = servers};

	for (; config.n_servers < SERVERS_MOST && weights[config.n_servers]; config.n_servers++) {
		servers[config.n_servers].weight = weights[config.n_servers];
		servers[config.n_servers].port = 25;
	}
	*w = (struct world){.p = pools_new(&config, 1), .now_us = START};
	assert_non_null(w->p);
}

static void begin(struct world *w, uint32_t n_servers)
{
	uint32_t weights[SERVERS_MOST] = {0};

	for (uint32_t i = 0; i < n_servers; i++)
		weights[i] = 1;
	begin_weighted(w, LIMIT, weights);
}

static void end(struct world *w)
{
	pools_free(w->p);
}

static void put(struct pool_tried *set, uint32_t server)
{
	pool_tried_add(set, server);
}

static enum pool_choice take(struct world *w)
{
	return pools_take(w->p, 0, &w->tried, &w->idle, w->now_us, &w->server,
			  &w->needs_connection);
}

/* Takes one with a new connection. */
static uint32_t take_new(struct world *w)
{
	assert_int_equal(take(w), POOL_CHOSEN);
	assert_true(w->needs_connection);
	return w->server;
}

static void give_back(struct world *w, uint32_t server)
{
	pools_release(w->p, 0, server);
	pools_closed(w->p, 0, server);
}

static struct pool_server_status status(struct world *w, uint32_t server)
{
	struct pool_server_status s;

	pools_status(w->p, 0, server, w->now_us, &s);
	return s;
}

static void assert_state(struct world *w, uint32_t server, enum pool_state state)
{
	assert_int_equal(status(w, server).state, state);
}

static enum pool_choice standing(struct world *w)
{
	return pools_standing(w->p, 0, w->now_us);
}

/* How many new connections may be open to the only server, all of which are closed again. */
static unsigned room(struct world *w)
{
	unsigned n = 0;

	while (take(w) == POOL_CHOSEN)
		n++;
	for (unsigned i = 0; i < n; i++)
		give_back(w, 0);
	return n;
}

/* --- choice ----------------------------------------------------------------------------------- */

static void no_more_connections_than_the_limit_are_open(void **state)
{
	struct world w;

	begin(&w, 1);
	for (unsigned i = 0; i < LIMIT; i++)
		take_new(&w);
	assert_int_equal(take(&w), POOL_ALL_BUSY);
	assert_int_equal(standing(&w), POOL_ALL_BUSY);
	assert_int_equal(status(&w, 0).connections, LIMIT);
	assert_int_equal(status(&w, 0).in_use, LIMIT);
	/* One that is idle is open, too. */
	pools_release(w.p, 0, 0);
	assert_int_equal(take(&w), POOL_ALL_BUSY);
	assert_int_equal(standing(&w), POOL_CHOSEN);
	pools_closed(w.p, 0, 0);
	take_new(&w);
	end(&w);
}

static void an_idle_connection_needs_no_room(void **state)
{
	struct world w;

	begin(&w, 1);
	for (unsigned i = 0; i < LIMIT; i++)
		take_new(&w);
	pools_release(w.p, 0, 0);
	put(&w.idle, 0);
	assert_int_equal(take(&w), POOL_CHOSEN);
	assert_false(w.needs_connection);
	assert_int_equal(status(&w, 0).connections, LIMIT);
	assert_int_equal(status(&w, 0).in_use, LIMIT);
	end(&w);
}

static void the_one_with_the_fewest_in_use_by_weight_is_taken(void **state)
{
	struct world w;
	unsigned taken[2] = {0};

	begin_weighted(&w, 1000, (uint32_t[SERVERS_MOST]){1, 3});
	for (unsigned i = 0; i < 400; i++)
		taken[take_new(&w)]++;
	assert_in_range(taken[0], 99, 101);
	assert_in_range(taken[1], 299, 301);
	for (unsigned i = 0; i < 9; i++)
		give_back(&w, 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(take_new(&w), 0);
	end(&w);
}

static void equal_servers_share(void **state)
{
	struct world w;
	unsigned taken[3] = {0};

	begin(&w, 3);
	for (unsigned i = 0; i < 30; i++) {
		uint32_t server = take_new(&w);

		taken[server]++;
		give_back(&w, server);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(taken[i], 10);
	end(&w);
}

static void among_equals_one_with_an_idle_connection_is_taken(void **state)
{
	struct world w;

	begin(&w, 3);
	take_new(&w);
	take_new(&w);
	take_new(&w);
	pools_release(w.p, 0, 1);
	for (unsigned i = 0; i < 3; i++)
		if (i != 1)
			give_back(&w, i);
	put(&w.idle, 1);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(take(&w), POOL_CHOSEN);
		assert_int_equal(w.server, 1);
		assert_false(w.needs_connection);
		pools_release(w.p, 0, 1);
	}
	/* But not before one that has less to do. */
	assert_int_equal(take(&w), POOL_CHOSEN);
	assert_int_equal(w.server, 1);
	assert_int_not_equal(take_new(&w), 1);
	end(&w);
}

static void one_that_was_tried_is_not_taken_again(void **state)
{
	struct world w;

	begin(&w, 2);
	put(&w.tried, 0);
	for (unsigned i = 0; i < LIMIT; i++)
		assert_int_equal(take_new(&w), 1);
	assert_int_equal(take(&w), POOL_ALL_BUSY);
	put(&w.tried, 1);
	assert_int_equal(take(&w), POOL_ALL_DOWN);
	end(&w);
}

static void a_pool_of_256_servers_uses_them_all(void **state)
{
	static struct pool_server_config servers[POOL_SERVERS_MAX];
	struct pool_config config = {.name = "many",
				     .connections = 1,
				     .n_servers = POOL_SERVERS_MAX,
				     .servers = servers};
	struct world w = {.now_us = START};

	for (unsigned i = 0; i < POOL_SERVERS_MAX; i++)
		servers[i].weight = POOL_WEIGHT_MAX;
	w.p = pools_new(&config, 1);
	assert_non_null(w.p);
	for (unsigned i = 0; i < POOL_SERVERS_MAX; i++)
		take_new(&w);
	for (unsigned i = 0; i < POOL_SERVERS_MAX; i++)
		assert_int_equal(status(&w, i).in_use, 1);
	assert_int_equal(take(&w), POOL_ALL_BUSY);
	end(&w);
}

static void a_drained_server_counts_as_not_there(void **state)
{
	struct world w;

	begin(&w, 2);
	take_new(&w);
	take_new(&w);
	pools_drain(w.p, 0, 0, true, w.now_us);
	assert_state(&w, 0, POOL_DRAINED);
	assert_int_equal(status(&w, 0).since_us, START);
	/* What is under way ends. */
	assert_int_equal(status(&w, 0).in_use, 1);
	give_back(&w, 0);
	put(&w.idle, 0);
	for (unsigned i = 0; i < LIMIT - 1; i++)
		assert_int_equal(take_new(&w), 1);
	assert_int_equal(take(&w), POOL_ALL_BUSY);
	pools_drain(w.p, 0, 1, true, w.now_us);
	assert_int_equal(take(&w), POOL_ALL_DOWN);
	assert_int_equal(standing(&w), POOL_ALL_DOWN);
	pools_drain(w.p, 0, 0, false, w.now_us);
	assert_state(&w, 0, POOL_WELL);
	assert_int_equal(standing(&w), POOL_CHOSEN);
	assert_int_equal(take(&w), POOL_CHOSEN);
	assert_int_equal(w.server, 0);
	end(&w);
}

static void none_well_and_one_wrong_is_all_wrong(void **state)
{
	struct world w;

	begin(&w, 3);
	pools_lost(w.p, 0, 0, "", w.now_us);
	pools_wrong(w.p, 0, 1, "", w.now_us);
	assert_int_equal(take_new(&w), 2);
	assert_int_equal(standing(&w), POOL_CHOSEN);
	pools_lost(w.p, 0, 2, "", w.now_us);
	assert_int_equal(standing(&w), POOL_ALL_WRONG);
	assert_int_equal(take(&w), POOL_ALL_WRONG);
	/* Nor is it forgotten by a transaction that has tried it. */
	put(&w.tried, 1);
	assert_int_equal(take(&w), POOL_ALL_WRONG);
	pools_drain(w.p, 0, 1, true, w.now_us);
	assert_int_equal(standing(&w), POOL_ALL_DOWN);
	assert_int_equal(take(&w), POOL_ALL_DOWN);
	end(&w);
}

static void who_waits_for_room_is_known_until_the_last_has_it(void **state)
{
	struct world w;

	begin(&w, 2);
	assert_false(pools_wanted(w.p, 0));
	pools_want(w.p, 0, true);
	pools_want(w.p, 0, true);
	pools_want(w.p, 0, false);
	assert_true(pools_wanted(w.p, 0));
	pools_want(w.p, 0, false);
	assert_false(pools_wanted(w.p, 0));
	end(&w);
}

/* --- down ------------------------------------------------------------------------------------- */

static void a_lost_server_is_tried_after_one_second_then_two_up_to_thirty(void **state)
{
	const uint32_t pauses_s[] = {1, 2, 4, 8, 16, 30, 30, 30, 30, 30};
	struct world w;

	begin(&w, 1);
	take_new(&w);
	for (unsigned i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
		pools_lost(w.p, 0, 0, "", w.now_us);
		give_back(&w, 0);
		assert_state(&w, 0, POOL_DOWN);
		assert_int_equal(status(&w, 0).trial_in_us, pauses_s[i] * SECOND);
		w.now_us += (uint64_t)pauses_s[i] * SECOND - 1;
		assert_int_equal(standing(&w), POOL_ALL_DOWN);
		assert_int_equal(take(&w), POOL_ALL_DOWN);
		w.now_us++;
		assert_int_equal(standing(&w), POOL_CHOSEN);
		take_new(&w);
	}
	/* A greeting makes the next time the first. */
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	pools_lost(w.p, 0, 0, "", w.now_us);
	assert_int_equal(status(&w, 0).trial_in_us, SECOND);
	end(&w);
}

static void connections_that_break_at_once_are_one_failure(void **state)
{
	struct world w;

	begin(&w, 1);
	for (unsigned i = 0; i < LIMIT; i++)
		take_new(&w);
	for (unsigned i = 0; i < LIMIT; i++)
		pools_lost(w.p, 0, 0, "", w.now_us);
	assert_int_equal(status(&w, 0).trial_in_us, SECOND);
	end(&w);
}

static void a_trial_is_given_to_one_taker(void **state)
{
	struct world w;
	uint32_t at = 0, pool, server;

	begin(&w, 1);
	pools_lost(w.p, 0, 0, "", w.now_us);
	w.now_us += SECOND;
	take_new(&w);
	assert_int_equal(take(&w), POOL_ALL_DOWN);
	assert_int_equal(standing(&w), POOL_ALL_DOWN);
	assert_false(pools_take_trial(w.p, w.now_us, &at, &pool, &server));
	assert_int_equal(status(&w, 0).in_use, 1);
	/* Who does not say what came of it has lost it. */
	w.now_us += TRIAL - 1;
	assert_int_equal(take(&w), POOL_ALL_DOWN);
	w.now_us++;
	take_new(&w);
	assert_int_equal(status(&w, 0).in_use, 2);
	end(&w);
}

static void a_trial_has_a_connection_of_its_own_where_there_is_room(void **state)
{
	struct world w;

	begin(&w, 1);
	take_new(&w);
	pools_release(w.p, 0, 0);
	put(&w.idle, 0);
	pools_lost(w.p, 0, 0, "", w.now_us);
	w.now_us += SECOND;
	take_new(&w);
	end(&w);
	begin_weighted(&w, 1, (uint32_t[SERVERS_MOST]){1});
	take_new(&w);
	pools_release(w.p, 0, 0);
	pools_lost(w.p, 0, 0, "", w.now_us);
	w.now_us += SECOND;
	assert_int_equal(take(&w), POOL_ALL_DOWN);
	put(&w.idle, 0);
	assert_int_equal(take(&w), POOL_CHOSEN);
	assert_false(w.needs_connection);
	/* There is no greeting on it: a recipient brings the server back as well. */
	pools_recipient_taken(w.p, 0, 0, w.now_us);
	assert_int_equal(standing(&w), POOL_ALL_BUSY);
	pools_release(w.p, 0, 0);
	assert_state(&w, 0, POOL_STARTING);
	end(&w);
}

static void a_server_that_comes_back_starts_slowly(void **state)
{
	struct world w;

	begin(&w, 1);
	pools_lost(w.p, 0, 0, "", w.now_us);
	w.now_us += SECOND;
	take_new(&w);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	assert_state(&w, 0, POOL_STARTING);
	assert_int_equal(status(&w, 0).since_us, w.now_us);
	assert_int_equal(take(&w), POOL_ALL_BUSY);
	give_back(&w, 0);
	for (unsigned i = 0; i < 10; i++) { /* of LIMIT one more a second */
		assert_int_equal(room(&w), 1 + i);
		w.now_us += SECOND - 1;
		assert_int_equal(room(&w), 1 + i);
		assert_state(&w, 0, POOL_STARTING);
		w.now_us++;
	}
	assert_state(&w, 0, POOL_WELL);
	assert_int_equal(room(&w), LIMIT);
	w.now_us += 3600 * (uint64_t)SECOND;
	assert_int_equal(room(&w), LIMIT);
	end(&w);
}

static void a_time_that_goes_back_is_no_time_passed(void **state)
{
	struct world w;

	begin(&w, 1);
	pools_lost(w.p, 0, 0, "", w.now_us);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	w.now_us -= SECOND;
	assert_state(&w, 0, POOL_STARTING);
	assert_int_equal(room(&w), 1);
	end(&w);
}

static void at_the_start_no_server_starts_slowly(void **state)
{
	struct world w;

	begin(&w, 1);
	assert_state(&w, 0, POOL_WELL);
	assert_int_equal(status(&w, 0).since_us, 0);
	assert_int_equal(room(&w), LIMIT);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	assert_state(&w, 0, POOL_WELL);
	assert_int_equal(room(&w), LIMIT);
	end(&w);
}

/* --- wrong ------------------------------------------------------------------------------------ */

static bool refuse(struct world *w, unsigned times)
{
	bool is_wrong = false;

	for (unsigned i = 0; i < times; i++) {
		assert_false(is_wrong);
		is_wrong = pools_recipient_refused(w->p, 0, 0, "550 no", w->now_us);
	}
	return is_wrong;
}

static void twenty_refusals_in_a_row_make_a_server_wrong(void **state)
{
	struct world w;

	begin(&w, 1);
	take_new(&w);
	assert_false(refuse(&w, POOL_REFUSED_MAX - 1));
	pools_recipient_taken(w.p, 0, 0, w.now_us);
	assert_false(refuse(&w, POOL_REFUSED_MAX - 1));
	assert_state(&w, 0, POOL_WELL);
	assert_string_equal(status(&w, 0).error, "");
	assert_true(refuse(&w, 1));
	assert_state(&w, 0, POOL_WRONG);
	assert_string_equal(status(&w, 0).error, "550 no");
	assert_int_equal(standing(&w), POOL_ALL_WRONG);
	/* What was under way then is not passed on either, and makes nothing worse. */
	assert_true(refuse(&w, 1));
	assert_int_equal(status(&w, 0).trial_in_us, 5 * SECOND);
	end(&w);
}

static void a_wrong_server_is_tried_after_five_seconds_then_ten_up_to_sixty(void **state)
{
	const uint32_t pauses_s[] = {5, 10, 20, 40, 60, 60, 60, 60, 60};
	struct world w;

	begin(&w, 1);
	take_new(&w);
	for (unsigned i = 0; i < sizeof(pauses_s) / sizeof(pauses_s[0]); i++) {
		pools_wrong(w.p, 0, 0, "530 who are you", w.now_us);
		pools_wrong(w.p, 0, 0, "530 who are you", w.now_us + 1);
		give_back(&w, 0);
		assert_state(&w, 0, POOL_WRONG);
		assert_int_equal(status(&w, 0).trial_in_us, pauses_s[i] * SECOND);
		w.now_us += (uint64_t)pauses_s[i] * SECOND - 1;
		assert_int_equal(take(&w), POOL_ALL_WRONG);
		w.now_us++;
		take_new(&w);
		/* It greets well enough. */
		if (i % 2)
			pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	}
	pools_recipient_taken(w.p, 0, 0, w.now_us);
	pools_wrong(w.p, 0, 0, "", w.now_us);
	assert_int_equal(status(&w, 0).trial_in_us, 5 * SECOND);
	end(&w);
}

static void one_that_was_wrong_is_on_probation_until_it_takes_a_recipient(void **state)
{
	struct world w;

	begin(&w, 1);
	take_new(&w);
	pools_wrong(w.p, 0, 0, "", w.now_us);
	give_back(&w, 0);
	w.now_us += 5 * SECOND;
	take_new(&w);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	assert_state(&w, 0, POOL_STARTING);
	assert_true(refuse(&w, 1));
	assert_state(&w, 0, POOL_WRONG);
	give_back(&w, 0);
	w.now_us += 10 * SECOND;
	take_new(&w);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	/* A loss does not end it. */
	pools_lost(w.p, 0, 0, "", w.now_us);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	assert_true(refuse(&w, 1));
	give_back(&w, 0);
	w.now_us += 20 * SECOND;
	take_new(&w);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	pools_recipient_taken(w.p, 0, 0, w.now_us);
	assert_false(refuse(&w, POOL_REFUSED_MAX - 1));
	assert_true(refuse(&w, 1));
	end(&w);
}

static void only_its_trial_brings_a_wrong_server_back(void **state)
{
	struct world w;

	begin(&w, 1);
	take_new(&w);
	pools_wrong(w.p, 0, 0, "", w.now_us);
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	pools_lost(w.p, 0, 0, "", w.now_us);
	pools_recipient_taken(w.p, 0, 0, w.now_us);
	assert_state(&w, 0, POOL_WRONG);
	assert_int_equal(status(&w, 0).trial_in_us, 5 * SECOND);
	give_back(&w, 0);
	w.now_us += 5 * SECOND;
	take_new(&w);
	pools_lost(w.p, 0, 0, "", w.now_us);
	assert_state(&w, 0, POOL_DOWN);
	assert_int_equal(status(&w, 0).trial_in_us, SECOND);
	end(&w);
}

static void wrong_does_not_shorten_how_long_a_server_is_down(void **state)
{
	struct world w;

	begin(&w, 1);
	for (unsigned i = 0; i < 6; i++) {
		pools_lost(w.p, 0, 0, "", w.now_us);
		w.now_us += status(&w, 0).trial_in_us;
		take_new(&w);
		give_back(&w, 0);
	}
	pools_lost(w.p, 0, 0, "", w.now_us);
	pools_wrong(w.p, 0, 0, "", w.now_us + SECOND);
	assert_state(&w, 0, POOL_WRONG);
	assert_int_equal(status(&w, 0).trial_in_us, 30 * SECOND);
	end(&w);
}

/* --- trials ----------------------------------------------------------------------------------- */

static void servers_nobody_was_at_are_tried_once_each(void **state)
{
	struct world w;
	uint32_t at = 0, pool = 9, server = 9;

	begin(&w, 3);
	pools_drain(w.p, 0, 1, true, w.now_us);
	assert_true(pools_take_trial(w.p, w.now_us, &at, &pool, &server));
	assert_int_equal(pool, 0);
	assert_int_equal(server, 0);
	assert_int_equal(status(&w, 0).in_use, 1);
	assert_int_equal(status(&w, 0).connections, 1);
	assert_true(pools_take_trial(w.p, w.now_us, &at, &pool, &server));
	assert_int_equal(server, 2);
	assert_false(pools_take_trial(w.p, w.now_us, &at, &pool, &server));
	pools_greeted(w.p, 0, 0, 0, 0, w.now_us);
	pools_lost(w.p, 0, 2, "", w.now_us);
	/* Meanwhile it takes mail as well. */
	assert_int_equal(take_new(&w), 0);
	w.now_us += SECOND;
	assert_true(pools_take_trial(w.p, w.now_us, &at, &pool, &server));
	assert_int_equal(server, 2);
	w.now_us += TRIAL;
	pools_greeted(w.p, 0, 2, 0, 0, w.now_us);
	assert_state(&w, 2, POOL_STARTING);
	assert_false(pools_take_trial(w.p, w.now_us, &at, &pool, &server));
	end(&w);
}

static void trials_go_round_all_pools(void **state)
{
	enum { POOLS = 10, SERVERS = 20 };
	struct pool_server_config servers[SERVERS];
	struct pool_config configs[POOLS];
	struct pools *p;
	uint32_t at = 0, pool, server;
	unsigned tried = 0;
	bool seen[POOLS][SERVERS] = {0};

	for (unsigned i = 0; i < SERVERS; i++)
		servers[i] = (struct pool_server_config){.port = 25, .weight = 1};
	for (unsigned i = 0; i < POOLS; i++)
		configs[i] = (struct pool_config){
			.name = "p", .connections = 1, .n_servers = SERVERS, .servers = servers};
	p = pools_new(configs, POOLS);
	assert_non_null(p);
	for (; pools_take_trial(p, START, &at, &pool, &server); tried++) {
		assert_false(seen[pool][server]);
		seen[pool][server] = true;
	}
	assert_int_equal(tried, POOLS * SERVERS);
	/* One, wherever it stands, is found in a few calls. */
	pools_lost(p, 7, 3, "", START);
	pools_release(p, 7, 3);
	pools_closed(p, 7, 3);
	for (tried = 0; !pools_take_trial(p, START + SECOND, &at, &pool, &server); tried++)
		assert_true(tried < 4);
	assert_int_equal(pool, 7);
	assert_int_equal(server, 3);
	pools_free(p);
}

/* --- what is told ----------------------------------------------------------------------------- */

static void offers_are_those_of_every_server_that_answered(void **state)
{
	struct world w;
	uint16_t offers = 7;
	uint64_t size_max = 7;

	begin(&w, 3);
	assert_false(pools_offers(w.p, &offers, &size_max));
	assert_int_equal(offers, 7);
	pools_greeted(w.p, 0, 0, 0x0a3f, 0, w.now_us);
	assert_true(pools_offers(w.p, &offers, &size_max));
	assert_int_equal(offers, 0x3f);
	assert_int_equal(size_max, 0);
	pools_greeted(w.p, 0, 1, 0x07, 20 << 20, w.now_us);
	pools_greeted(w.p, 0, 2, 0x0e, 10 << 20, w.now_us);
	assert_true(pools_offers(w.p, &offers, &size_max));
	assert_int_equal(offers, 0x06);
	assert_int_equal(size_max, 10 << 20);
	/* Lost, it may come back. */
	pools_lost(w.p, 0, 2, "", w.now_us);
	assert_true(pools_offers(w.p, &offers, &size_max));
	assert_int_equal(offers, 0x06);
	pools_drain(w.p, 0, 2, true, w.now_us);
	assert_true(pools_offers(w.p, &offers, &size_max));
	assert_int_equal(offers, 0x07);
	assert_int_equal(size_max, 20 << 20);
	/* It says something else now. */
	pools_greeted(w.p, 0, 1, 0x21, 30 << 20, w.now_us);
	assert_true(pools_offers(w.p, &offers, &size_max));
	assert_int_equal(offers, 0x21);
	assert_int_equal(size_max, 30 << 20);
	end(&w);
}

static void messages_are_counted_by_their_answers(void **state)
{
	struct world w;
	struct pool_server_status s;

	begin(&w, 1);
	assert_int_equal(pools_taken_us(w.p, 0, 0), 0);
	pools_answered(w.p, 0, 0, 2, 8000, w.now_us);
	assert_int_equal(pools_taken_us(w.p, 0, 0), w.now_us);
	assert_int_equal(status(&w, 0).latency_us, 8000);
	pools_answered(w.p, 0, 0, 2, 16000, w.now_us);
	assert_int_equal(status(&w, 0).latency_us, 9000);
	pools_answered(w.p, 0, 0, 4, 1000, w.now_us);
	assert_int_equal(status(&w, 0).latency_us, 8000);
	/* No dot, no answer: no latency. */
	pools_answered(w.p, 0, 0, 5, 0, w.now_us);
	pools_answered(w.p, 0, 0, 0, 240 * SECOND, w.now_us);
	s = status(&w, 0);
	assert_int_equal(s.latency_us, 8000);
	assert_int_equal(s.taken, 2);
	assert_int_equal(s.refused, 2);
	assert_int_equal(s.failed, 1);
	end(&w);
}

static void a_last_error_is_printable_and_bounded(void **state)
{
	struct world w;
	char text[2 * POOL_ERROR_MAX];

	begin(&w, 1);
	assert_string_equal(status(&w, 0).error, "");
	pools_lost(w.p, 0, 0, "421 bye\x1b[2J\r\n\xc3\xa9", w.now_us);
	assert_string_equal(status(&w, 0).error, "421 bye?[2J????");
	pools_lost(w.p, 0, 0, "no route", w.now_us);
	assert_string_equal(status(&w, 0).error, "no route");
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	pools_wrong(w.p, 0, 0, text, w.now_us);
	text[POOL_ERROR_MAX - 1] = '\0';
	assert_string_equal(status(&w, 0).error, text);
	end(&w);
}

static void pools_are_configured_apart(void **state)
{
	struct pool_server_config servers[2] = {{.port = 25, .weight = 1}, {.port = 24}};
	char name[] = "first";
	struct pool_config configs[2] = {
		{.name = name, .connections = 2, .n_servers = 1, .servers = servers},
		{.name = "second", .protocol = POOL_LMTP, .connections = 3, .n_servers = 2},
	};
	struct pools *p;

	servers[1].weight = 2;
	configs[1].servers = servers;
	p = pools_new(configs, 2);
	assert_non_null(p);
	memset(name, 'x', sizeof(name) - 1);
	servers[1].port = 99;
	assert_int_equal(pools_count(p), 2);
	assert_string_equal(pools_config(p, 0)->name, "first");
	assert_int_equal(pools_config(p, 1)->protocol, POOL_LMTP);
	assert_int_equal(pools_config(p, 1)->servers[1].port, 24);
	pools_lost(p, 0, 0, "", START);
	assert_int_equal(pools_standing(p, 0, START), POOL_ALL_DOWN);
	assert_int_equal(pools_standing(p, 1, START), POOL_CHOSEN);
	pools_free(p);
}

static void impossible_configurations_are_refused(void **state)
{
	struct pool_server_config server = {.port = 25, .weight = 1};
	struct pool_config good = {
		.name = "p", .connections = 1, .n_servers = 1, .servers = &server};
	struct pool_config bad[] = {good, good, good, good, good};
	char name[POOL_NAME_MAX + 1] = {0};
	uint16_t offers;
	uint64_t size_max;
	uint32_t at = 0, pool, number;
	struct pools *p = pools_new(NULL, 0);

	/* None is possible. */
	assert_non_null(p);
	assert_int_equal(pools_count(p), 0);
	assert_false(pools_offers(p, &offers, &size_max));
	assert_false(pools_take_trial(p, START, &at, &pool, &number));
	pools_free(p);
	memset(name, 'x', POOL_NAME_MAX);
	bad[0].connections = 0;
	bad[1].connections = POOL_CONNECTIONS_MAX + 1;
	bad[2].n_servers = 0;
	bad[3].n_servers = POOL_SERVERS_MAX + 1;
	bad[4].name = name;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(pools_new(&bad[i], 1));
	server.weight = 0;
	assert_null(pools_new(&good, 1));
	server.weight = POOL_WEIGHT_MAX + 1;
	assert_null(pools_new(&good, 1));
	assert_null(pools_new(&good, POOLS_MAX + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_connections_than_the_limit_are_open),
		cmocka_unit_test(an_idle_connection_needs_no_room),
		cmocka_unit_test(the_one_with_the_fewest_in_use_by_weight_is_taken),
		cmocka_unit_test(equal_servers_share),
		cmocka_unit_test(among_equals_one_with_an_idle_connection_is_taken),
		cmocka_unit_test(one_that_was_tried_is_not_taken_again),
		cmocka_unit_test(a_pool_of_256_servers_uses_them_all),
		cmocka_unit_test(a_drained_server_counts_as_not_there),
		cmocka_unit_test(none_well_and_one_wrong_is_all_wrong),
		cmocka_unit_test(who_waits_for_room_is_known_until_the_last_has_it),
		cmocka_unit_test(a_lost_server_is_tried_after_one_second_then_two_up_to_thirty),
		cmocka_unit_test(connections_that_break_at_once_are_one_failure),
		cmocka_unit_test(a_trial_is_given_to_one_taker),
		cmocka_unit_test(a_trial_has_a_connection_of_its_own_where_there_is_room),
		cmocka_unit_test(a_server_that_comes_back_starts_slowly),
		cmocka_unit_test(a_time_that_goes_back_is_no_time_passed),
		cmocka_unit_test(at_the_start_no_server_starts_slowly),
		cmocka_unit_test(twenty_refusals_in_a_row_make_a_server_wrong),
		cmocka_unit_test(a_wrong_server_is_tried_after_five_seconds_then_ten_up_to_sixty),
		cmocka_unit_test(one_that_was_wrong_is_on_probation_until_it_takes_a_recipient),
		cmocka_unit_test(only_its_trial_brings_a_wrong_server_back),
		cmocka_unit_test(wrong_does_not_shorten_how_long_a_server_is_down),
		cmocka_unit_test(servers_nobody_was_at_are_tried_once_each),
		cmocka_unit_test(trials_go_round_all_pools),
		cmocka_unit_test(offers_are_those_of_every_server_that_answered),
		cmocka_unit_test(messages_are_counted_by_their_answers),
		cmocka_unit_test(a_last_error_is_printable_and_bounded),
		cmocka_unit_test(pools_are_configured_apart),
		cmocka_unit_test(impossible_configurations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
