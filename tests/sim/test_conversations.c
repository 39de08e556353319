/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What transfers one by one do not show: many conversations at once, wires that break, peers that
 * vanish, paths that are too narrow, readers that sleep. POSTERN_SEED chooses the random numbers.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_mbuf.h>

#include "common/random.h"
#include "sim_eal.h"
#include "world.h"

enum { CONVERSATIONS = 24 };

static const uint64_t second_us = 1000000, hour_us = 3600 * 1000000ULL;

static const struct sim_path bad_path = {
	.delay_us = 5000,
	.jitter_us = 2000,
	.loss_ppm = 30000,
	.duplicate_ppm = 20000,
	.corrupt_ppm = 5000,
	.reorder_ppm = 50000,
	.reorder_us = 10000,
};

static uint64_t seed;

static void open_or_fail(struct world *w)
{
	if (!world_open(w))
		fail_msg("the hosts do not start");
}

static void set_paths(struct world *w, const struct sim_path *path)
{
	*world_path(w, WORLD_OPENER) = *path;
	*world_path(w, WORLD_ANSWERER) = *path;
}

static void run_or_fail(struct world *w)
{
	const char *wrong = world_run(w, hour_us);

	if (wrong != NULL)
		fail_msg("POSTERN_SEED=%" PRIu64 ": %s", seed, wrong);
}

static struct postern_counters counters_of(const struct world *w, int side)
{
	struct postern_counters c;

	sim_stack_counters(w->stacks[side], &c);
	return c;
}

/* --- many at once ----------------------------------------------------------------------------- */

/* So many conversations between a host of so many workers and one of one. */
static void converse(int gateway, uint16_t workers, enum sim_arrival arrival, uint32_t opens,
		     bool v6)
{
	struct postern_counters c;
	struct world w;

	world_init(&w, seed + workers, v6, 30000);
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		w.configs[i].conns = 1024;
		w.configs[i].buffers = 8192;
		w.configs[i].frames = 2048;
	}
	w.configs[gateway].workers = workers;
	w.configs[gateway].arrival = arrival;
	w.patterns[WORLD_OPENER].opens = opens;
	w.patterns[WORLD_OPENER].opener = -1;
	open_or_fail(&w);
	set_paths(&w, &bad_path);
	run_or_fail(&w);
	c = counters_of(&w, gateway);
	assert_int_equal(c.handover_in + c.handover_full, c.handover_out);
	assert_true((c.handover_out > 0) == (arrival != SIM_AT_OWNER));
	assert_true((sim_stack_misplaced(w.stacks[gateway]) > 0) == (arrival != SIM_AT_OWNER));
	world_close(&w);
}

static void conversations_share_a_gateway_that_gets_every_frame_at_its_owner(void **state)
{
	converse(WORLD_ANSWERER, 2, SIM_AT_OWNER, 200, false);
	converse(WORLD_OPENER, 2, SIM_AT_OWNER, 100, true);
}

static void conversations_share_a_gateway_that_gets_every_frame_at_a_wrong_worker(void **state)
{
	converse(WORLD_ANSWERER, 2, SIM_AT_WRONG, 200, true);
	converse(WORLD_OPENER, 2, SIM_AT_WRONG, 100, false);
}

static void conversations_share_a_gateway_that_gets_frames_anywhere(void **state)
{
	converse(WORLD_ANSWERER, 4, SIM_AT_ANY, 200, false);
	converse(WORLD_OPENER, 3, SIM_AT_ANY, 60, true);
}

/* --- wires ------------------------------------------------------------------------------------ */

static void a_perfect_wire_needs_nothing_sent_again(void **state)
{
	for (uint32_t i = 0; i < 20; i++) {
		struct postern_counters c;
		struct world w;

		world_init(&w, seed + i, i % 2 != 0, 1 << 20);
		/* Readers that pause would shut windows, and who is shut out probes. */
		w.patterns[WORLD_OPENER].pause_ppm = w.patterns[WORLD_ANSWERER].pause_ppm = 0;
		open_or_fail(&w);
		set_paths(&w, &(struct sim_path){.delay_us = 1 + 1000 * i});
		run_or_fail(&w);
		for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++) {
			c = counters_of(&w, side);
			assert_int_equal(c.tcp_retransmits, 0);
			assert_int_equal(c.tcp_resets_out, 0);
			assert_int_equal(c.net_bad_checksum, 0);
			assert_int_equal(c.tcp_bad_ack, 0);
		}
		world_close(&w);
	}
}

/* All that must be so of a world at rest in which some may have given up. */
static void assert_all_ended(const struct world *w, uint32_t opened)
{
	for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++) {
		const struct pattern *p = &w->patterns[side];

		assert_int_equal(p->failed + p->finished,
				 side == WORLD_OPENER ? opened : p->opened);
		assert_int_equal(sim_stack_conns(w->stacks[side]), 0);
		assert_int_equal(sim_stack_time_waits(w->stacks[side]), 0);
		assert_int_equal(sim_stack_buffers_out(w->stacks[side]), 0);
	}
}

/*
 * Of a segment and its ACK half get through, which is no path for streams (test_transfers.c). A
 * conversation waits a dozen times for a lone segment, whose 16 tries, or a closed one's ten in
 * four minutes, all fail once in some thousand conversations: of these there are 192.
 */
static void conversations_get_through_where_thirty_percent_are_lost_both_ways(void **state)
{
	uint64_t sent = 0, lost = 0;
	uint32_t given_up = 0;

	for (uint32_t i = 0; i < 8; i++) {
		struct sim_path path = bad_path;
		struct world w;

		path.loss_ppm = 300000;
		world_init(&w, seed + i, i % 2 != 0, 20000);
		w.patterns[WORLD_OPENER].opens = CONVERSATIONS;
		for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++)
			w.configs[side].idle_timeout_ms = 600000;
		open_or_fail(&w);
		set_paths(&w, &path);
		assert_int_equal(sim_wire_run(w.wire, sim_wire_now(w.wire) + hour_us, NULL, NULL),
				 SIM_QUIET);
		assert_all_ended(&w, CONVERSATIONS);
		for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++) {
			assert_null(strstr(w.patterns[side].failure, "wrong"));
			sent += world_counters(&w, side)->sent;
			lost += world_counters(&w, side)->lost;
		}
		given_up += w.patterns[WORLD_OPENER].failed;
		world_close(&w);
	}
	assert_true(given_up <= 2);
	assert_true(lost > sent / 4);
}

/* A second into conversations both ways. */
static void begin_conversations(struct world *w, uint64_t of_seed, uint32_t idle_timeout_ms)
{
	world_init(w, of_seed, of_seed % 2 != 0, 1 << 20);
	w->patterns[WORLD_OPENER].opens = CONVERSATIONS; /* of which some are long */
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		w->configs[i].buffers = 4096;
		w->configs[i].idle_timeout_ms = idle_timeout_ms;
	}
	open_or_fail(w);
	set_paths(w, &bad_path);
	assert_int_equal(sim_wire_run(w->wire, sim_wire_now(w->wire) + second_us, NULL, NULL),
			 SIM_TIME_OVER);
	assert_true(sim_stack_conns(w->stacks[WORLD_OPENER]) > 0);
}

static uint64_t octets_received(const struct world *w)
{
	return w->patterns[WORLD_OPENER].octets_received +
	       w->patterns[WORLD_ANSWERER].octets_received;
}

static void a_wire_cut_for_a_while_breaks_nothing(void **state)
{
	for (uint32_t i = 0; i < 4; i++) {
		const struct sim_path cut = {.loss_ppm = SIM_CERTAIN_PPM};
		uint64_t received;
		struct world w;

		begin_conversations(&w, seed + i, 0);
		received = octets_received(&w);
		/* Not for so long that TIME_WAIT is over when the last FIN comes again. */
		set_paths(&w, &cut);
		sim_wire_run(w.wire, sim_wire_now(w.wire) + 4 * second_us, NULL, NULL);
		assert_true(world_counters(&w, WORLD_OPENER)->lost > 0);
		set_paths(&w, &bad_path);
		run_or_fail(&w);
		assert_true(octets_received(&w) > received);
		world_close(&w);
	}
}

static void a_peer_that_vanishes_is_given_up_with_every_buffer(void **state)
{
	for (uint32_t i = 0; i < 4; i++) {
		uint32_t failed;
		struct world w;

		/* Who has nothing to send would wait for ever without an idle timeout. */
		begin_conversations(&w, seed + i, 600000);
		set_paths(&w, &(struct sim_path){.loss_ppm = SIM_CERTAIN_PPM});
		assert_int_equal(sim_wire_run(w.wire, sim_wire_now(w.wire) + hour_us, NULL, NULL),
				 SIM_QUIET);
		assert_all_ended(&w, CONVERSATIONS);
		failed = w.patterns[WORLD_OPENER].failed + w.patterns[WORLD_ANSWERER].failed;
		assert_true(failed > 0);
		world_close(&w);
	}
}

static void a_narrow_path_is_learnt_from_its_router(void **state)
{
	for (uint32_t i = 0; i < 10; i++) {
		const struct sim_path narrow = {
			.delay_us = 3000, .mtu = i % 2 != 0 ? 1280 : 900, .answer_too_big = true};
		struct world w;

		world_init(&w, seed + i, i % 2 != 0, 200000);
		open_or_fail(&w);
		set_paths(&w, &narrow);
		run_or_fail(&w);
		/* What was in flight when the first was answered, and nothing after. */
		assert_true(world_counters(&w, WORLD_OPENER)->too_big < 64);
		assert_true(world_counters(&w, WORLD_ANSWERER)->too_big < 64);
		world_close(&w);
	}
}

static void a_path_that_swallows_large_packets_is_found_out(void **state)
{
	static const uint16_t mtus[] = {1499, 1400, 1280, 900, 576};

	for (uint32_t i = 0; i < 10; i++) {
		const bool v6 = i % 2 != 0;
		const uint16_t mtu = mtus[i / 2 % (v6 ? 3 : 5)];
		uint64_t holes = 0;
		const char *wrong;
		struct world w;

		world_init(&w, seed + i, v6, 400000);
		w.patterns[WORLD_OPENER].opens = CONVERSATIONS;
		for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++) {
			w.configs[side].buffers = 4096;
			w.patterns[side].pause_ppm = 0;
		}
		open_or_fail(&w);
		set_paths(&w, &(struct sim_path){.delay_us = 3000, .mtu = mtu});
		/* The longest begins with a handshake that was not timed, since what would have
		 * timed it was too large: timeouts of 3, 6, 12 and 24 s, the last two only for what
		 * fits nearly every path. */
		wrong = world_run(&w, (mtu < 1260 ? 60 : 20) * second_us);
		if (wrong != NULL)
			fail_msg("POSTERN_SEED=%" PRIu64 ", MTU %u: %s", seed, mtu, wrong);
		for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++)
			holes += counters_of(&w, side).tcp_black_holes;
		/* Twice at most, each way of each conversation. */
		assert_in_range(holes, 1, 2 * 2 * CONVERSATIONS);
		world_close(&w);
	}
}

/* --- hosts ------------------------------------------------------------------------------------ */

static void a_reader_may_sleep_for_a_minute(void **state)
{
	uint64_t probes = 0;

	for (uint32_t i = 0; i < 20; i++) {
		struct world w;

		world_init(&w, seed + i, i % 2 != 0, 300000);
		for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++) {
			w.configs[side].receive_window = 8192;
			w.patterns[side].pause_max_us = 60 * second_us;
			w.patterns[side].pause_ppm = 100000;
		}
		open_or_fail(&w);
		set_paths(&w, &bad_path);
		run_or_fail(&w);
		probes += counters_of(&w, WORLD_OPENER).tcp_window_probes +
			  counters_of(&w, WORLD_ANSWERER).tcp_window_probes;
		world_close(&w);
	}
	assert_true(probes > 0);
}

/* --- buffers ---------------------------------------------------------------------------------- */

enum {
	BULKS = 300,
	BULK_WINDOW = 65536,
	/* A tenth of what all windows promise. */
	BULK_BUFFERS = BULKS * BULK_WINDOW / 10 / RTE_MBUF_DEFAULT_BUF_SIZE,
	BRIEF_HOST = 3,
};

/* Many to a host whose readers are behind most of the time. */
static void begin_bulk(struct world *w, uint64_t of_seed, bool v6)
{
	world_init(w, of_seed, v6, 2 << 20);
	for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++) {
		w->configs[side].conns = 1024;
		w->configs[side].frames = 4096;
		w->configs[side].receive_window = w->configs[side].send_queue = BULK_WINDOW;
	}
	w->configs[WORLD_OPENER].buffers = 2 * BULKS * BULK_WINDOW / RTE_MBUF_DEFAULT_BUF_SIZE;
	w->configs[WORLD_ANSWERER].buffers = BULK_BUFFERS;
	w->patterns[WORLD_OPENER].opens = BULKS;
	w->patterns[WORLD_ANSWERER].pause_ppm = 500000;
}

/* Another host has a word with the answerer; freed with the world. */
static struct sim_stack *be_brief(struct world *w, struct pattern *brief)
{
	struct pattern *opener = &w->patterns[WORLD_OPENER];
	struct pattern *answerer = &w->patterns[WORLD_ANSWERER];
	struct sim_stack_config config = w->configs[WORLD_OPENER];
	struct sim_stack *host;

	*brief = (struct pattern){
		.seed = opener->seed,
		.octets_max = 2000,
		.opens = 1,
		.remote = opener->remote,
		.port = opener->port,
	};
	answerer->brief_octets_max = brief->octets_max;
	answerer->brief_remote = sim_address(BRIEF_HOST, w->v6);
	config.number = BRIEF_HOST;
	config.service_config = brief;
	host = sim_stack_new(w->wire, &config);
	assert_non_null(host);
	sim_wire_run(w->wire, sim_wire_now(w->wire) + 30 * second_us, NULL, NULL);
	assert_int_equal(brief->finished, 1);
	/* The rest is between the two. */
	answerer->finished--;
	answerer->octets_received -= brief->octets_sent;
	answerer->octets_sent -= brief->octets_received;
	return host;
}

static void a_pool_of_a_tenth_of_its_windows_serves_all_and_a_late_one_meanwhile(void **state)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct postern_counters c;
		struct sim_stack *third;
		struct pattern brief;
		struct world w;

		begin_bulk(&w, seed + i, i != 0);
		open_or_fail(&w);
		set_paths(&w, &(struct sim_path){.delay_us = 5000, .loss_ppm = 1000});
		for (uint32_t s = 0; s < 3; s++) {
			sim_wire_run(w.wire, sim_wire_now(w.wire) + second_us, NULL, NULL);
			assert_in_range(sim_stack_buffers_out(w.stacks[WORLD_ANSWERER]),
					BULK_BUFFERS / 2, BULK_BUFFERS * 7 / 8);
		}
		third = be_brief(&w, &brief);
		assert_true(w.patterns[WORLD_ANSWERER].finished < BULKS);
		run_or_fail(&w);
		c = counters_of(&w, WORLD_ANSWERER);
		assert_true(c.tcp_pool_low > 0);
		assert_int_equal(c.tcp_no_buffer, 0);
		sim_stack_free(third);
		world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations_share_a_gateway_that_gets_every_frame_at_its_owner),
		cmocka_unit_test(
			conversations_share_a_gateway_that_gets_every_frame_at_a_wrong_worker),
		cmocka_unit_test(conversations_share_a_gateway_that_gets_frames_anywhere),
		cmocka_unit_test(a_perfect_wire_needs_nothing_sent_again),
		cmocka_unit_test(conversations_get_through_where_thirty_percent_are_lost_both_ways),
		cmocka_unit_test(a_wire_cut_for_a_while_breaks_nothing),
		cmocka_unit_test(a_peer_that_vanishes_is_given_up_with_every_buffer),
		cmocka_unit_test(a_narrow_path_is_learnt_from_its_router),
		cmocka_unit_test(a_path_that_swallows_large_packets_is_found_out),
		cmocka_unit_test(a_reader_may_sleep_for_a_minute),
		cmocka_unit_test(
			a_pool_of_a_tenth_of_its_windows_serves_all_and_a_late_one_meanwhile),
	};

	seed = test_seed(1);
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
