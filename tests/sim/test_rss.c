/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Gateways whose frames arrive where a card's RSS puts them: a card that does as it says, one that
 * does not, one that changes its mind. POSTERN_SEED chooses the random numbers.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/random.h"
#include "sim_eal.h"
#include "worker/steering.h"
#include "world.h"

enum {
	WORKERS = 4,
	OPENS = 60,
	TABLE = 128,
	OCTETS_MAX = 1 << 20,
};

static const uint64_t second_us = 1000000, hour_us = 3600 * 1000000ULL;

/* Loses and reorders, but leaves whole what it delivers: what is handed over can be counted. */
static const struct sim_path lossy = {
	.delay_us = 5000,
	.jitter_us = 1000,
	.loss_ppm = 20000,
	.reorder_ppm = 20000,
	.reorder_us = 5000,
};

static uint64_t seed;

static struct port_rss card_of(uint64_t of_seed, bool hash_in_mbuf)
{
	struct sim_random random = {sim_mix(of_seed)};
	struct port_rss rss = {
		.tcp4 = true,
		.tcp6 = true,
		.hash_in_mbuf = hash_in_mbuf,
		.key_len = 40,
		.table_len = TABLE,
	};

	for (unsigned i = 0; i < rss.key_len; i++)
		rss.key[i] = (uint8_t)sim_random(&random);
	for (unsigned i = 0; i < TABLE; i++)
		rss.table[i] = (uint8_t)(i % WORKERS);
	return rss;
}

/* A gateway of several workers that says it has this card, and a host of one. */
static void begin(struct world *w, int gateway, const struct port_rss *says, bool v6)
{
	world_init(w, seed, v6, OCTETS_MAX);
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		w->configs[i].conns = 1024;
		w->configs[i].buffers = 8192;
		w->configs[i].frames = 2048;
	}
	w->configs[gateway].workers = WORKERS;
	w->configs[gateway].arrival = SIM_BY_RSS;
	w->configs[gateway].rss = says;
	w->patterns[WORLD_OPENER].opens = gateway == WORLD_OPENER ? OPENS / WORKERS : OPENS;
	w->patterns[WORLD_OPENER].opener = -1;
	if (!world_open(w))
		fail_msg("the hosts do not start");
	*world_path(w, WORLD_OPENER) = lossy;
	*world_path(w, WORLD_ANSWERER) = lossy;
}

/* To the end of all conversations, each octet verified; what the gateway counted. */
static struct postern_counters finish(struct world *w, int gateway)
{
	struct postern_counters c;
	const char *wrong = world_run(w, hour_us);

	if (wrong)
		fail_msg("POSTERN_SEED=%" PRIu64 ": %s", seed, wrong);
	sim_stack_counters(w->stacks[gateway], &c);
	assert_int_equal(c.handover_out, sim_stack_misplaced(w->stacks[gateway]));
	assert_int_equal(c.handover_in + c.handover_full, c.handover_out);
	world_close(w);
	return c;
}

/* --- a card that does as it says ---------------------------------------------------------------
 */

static void nothing_is_handed_over_when_the_card_does_as_it_says(void **state)
{
	for (unsigned how = 0; how < 8; how++) {
		const struct port_rss card = card_of(seed + how, how & 2);
		int gateway = how & 4 ? WORLD_OPENER : WORLD_ANSWERER;
		struct postern_counters c;
		struct world w;

		begin(&w, gateway, &card, how & 1);
		c = finish(&w, gateway);
		assert_int_equal(c.handover_out, 0);
		assert_int_equal(c.steering_disagreed, 0);
		/* Once it is believed, only what begins a connection is looked at. */
		assert_in_range(c.steering_agreed, STEERING_PROOF,
				WORKERS * STEERING_PROOF + 2 * OPENS);
		assert_true(c.port_rx_frames > 4 * c.steering_agreed);
	}
}

static void a_version_the_card_does_not_spread_is_steered_in_software(void **state)
{
	struct port_rss card = card_of(seed, true);
	struct postern_counters c;
	struct world w;

	card.tcp6 = false;
	begin(&w, WORLD_ANSWERER, &card, true);
	c = finish(&w, WORLD_ANSWERER);
	assert_true(c.handover_out > 0);
	assert_int_equal(c.steering_agreed + c.steering_disagreed, 0);
	begin(&w, WORLD_ANSWERER, &card, false);
	c = finish(&w, WORLD_ANSWERER);
	assert_int_equal(c.handover_out, 0);
}

/* Routers' errors are no TCP: they come to the first queue, whoever's flow they quote. */
static void an_error_finds_the_owner_of_its_flow(void **state)
{
	const struct port_rss card = card_of(seed, true);
	const struct sim_path narrow = {.delay_us = 3000, .mtu = 1280, .answer_too_big = true};

	for (unsigned how = 0; how < 4; how++) {
		int gateway = how & 2 ? WORLD_OPENER : WORLD_ANSWERER;
		struct postern_counters c;
		struct world w;

		begin(&w, gateway, &card, how & 1);
		*world_path(&w, gateway) = narrow;
		*world_path(&w, !gateway) = (struct sim_path){.delay_us = 3000};
		if (world_run(&w, hour_us))
			fail_msg("POSTERN_SEED=%" PRIu64 ": a narrow path breaks it", seed);
		/* A flight each, and no retransmission timeout. */
		assert_true(world_counters(&w, gateway)->too_big > 0);
		sim_stack_counters(w.stacks[gateway], &c);
		assert_int_equal(c.net_icmp_error,
				 world_counters(&w, gateway)->too_big + c.handover_in);
		assert_int_equal(c.tcp_rto, 0);
		world_close(&w);
	}
}

/* --- a card that does not -----------------------------------------------------------------------
 */

static void a_wrong_key_is_noticed_at_once_and_breaks_nothing(void **state)
{
	uint64_t frames = 0, handed_over = 0;

	for (unsigned how = 0; how < 8; how++) {
		const struct port_rss says = card_of(seed + how, how & 2);
		const struct port_rss does = card_of(seed + how + 100, how & 2);
		int gateway = how & 4 ? WORLD_OPENER : WORLD_ANSWERER;
		struct postern_counters c;
		struct world w;

		begin(&w, gateway, &says, how & 1);
		sim_stack_set_rss(w.stacks[gateway], &does);
		c = finish(&w, gateway);
		if (how & 2) {
			/* The hash in the mbuf shows it of every frame. */
			assert_int_equal(c.steering_agreed, 0);
			assert_int_equal(c.steering_disagreed, c.port_rx_frames);
		} else {
			/* The queue of those that came to a wrong one. */
			assert_int_equal(c.steering_disagreed, c.handover_out);
		}
		frames += c.port_rx_frames;
		handed_over += c.handover_out;
	}
	assert_in_range(handed_over, frames / 2, frames * 9 / 10);
}

static void a_table_that_changes_under_connections_breaks_none(void **state)
{
	for (unsigned how = 0; how < 4; how++) {
		const struct port_rss says = card_of(seed + how, how & 2);
		struct port_rss does = says;
		struct postern_counters c;
		struct world w;

		begin(&w, WORLD_ANSWERER, &says, how & 1);
		/* On a perfect wire no segment is of no connection. */
		*world_path(&w, WORLD_OPENER) = (struct sim_path){.delay_us = 20000};
		*world_path(&w, WORLD_ANSWERER) = (struct sim_path){.delay_us = 20000};
		for (unsigned change = 1; change < 8; change++) {
			sim_wire_run(w.wire, sim_wire_now(w.wire) + second_us / 4, NULL, NULL);
			for (unsigned i = 0; i < TABLE; i++)
				does.table[i] = (uint8_t)((i + change) % WORKERS);
			sim_stack_set_rss(w.stacks[WORLD_ANSWERER], &does);
		}
		assert_true(sim_stack_conns(w.stacks[WORLD_ANSWERER]) > 0);
		c = finish(&w, WORLD_ANSWERER);
		assert_true(c.handover_out > 0);
		assert_true(c.steering_disagreed > 0);
		assert_int_equal(c.tcp_passive_opens, OPENS);
		assert_int_equal(c.tcp_no_connection, 0);
		assert_int_equal(c.tcp_resets_out, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_handed_over_when_the_card_does_as_it_says),
		cmocka_unit_test(a_version_the_card_does_not_spread_is_steered_in_software),
		cmocka_unit_test(an_error_finds_the_owner_of_its_flow),
		cmocka_unit_test(a_wrong_key_is_noticed_at_once_and_breaks_nothing),
		cmocka_unit_test(a_table_that_changes_under_connections_breaks_none),
	};

	seed = test_seed(1);
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
