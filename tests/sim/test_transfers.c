/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transfers over bad wires, each a world of its own with its own seed:
 *
 *     test_transfers WORKERS FIRST COUNT
 *
 * runs transfers FIRST to FIRST + COUNT - 1 (odd ones over IPv6) between a host of one worker and
 * one of so many; with more than one, each frame to that host arrives at a worker that does not own
 * its flow. A failure names its transfer; POSTERN_SEED chooses all seeds, POSTERN_TRANSFER runs one
 * alone.
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

#include "common/random.h"
#include "sim_eal.h"
#include "tcp/limits.h"
#include "world.h"

enum {
	OCTETS_MAX = 2 << 20,
	AGAIN = 5, /* transfers run twice */
	/* Windows of one or two segments: from the least there may be. */
	TINY_MIN = TCP_PAGE,
	TINY_MAX = 3000,
	LOSS_MAX_PPM = 300000,
	/*
	 * Of a frame and its answer so many come through at least: 30 % may be lost one way and 7 %
	 * the other, or 19 % both ways. A try then fails with 35 %, and waits twice as long as the
	 * one before it: the sum of (2 * 0.35)^n is finite, so even a stream of single segments has
	 * its end in time; with 30 % both ways, 2 * 0.51, nothing but the longest timeout bounds
	 * it. A peer counts as gone after 16 tries, 0.35^16 = 5e-8, and one that closed may be
	 * after ten, 3e-5: in 2,000 transfers never.
	 */
	ROUND_TRIP_PPM = 650000,
};

static const uint64_t bound_us = 3600ULL * 1000000; /* virtual */

static uint64_t seed;
static uint16_t workers;
static uint32_t first, count;

struct outcome {
	uint64_t trace, took_us, octets, misplaced;
	uint32_t lossy, tiny; /* worlds that lost a quarter one way, or had a tiny window */
	uint32_t reset_at_last;
	struct sim_counters wire;
	struct postern_counters hosts;
};

/* --- a world from a seed ---------------------------------------------------------------------- */

/* A quarter loses so little that windows grow until the bottleneck drops, a quarter very much. */
static uint32_t choose_loss(struct sim_random *random)
{
	static const uint32_t least[] = {0, 0, 0, LOSS_MAX_PPM / 3};
	static const uint32_t most[] = {1000, LOSS_MAX_PPM / 3, LOSS_MAX_PPM / 3, LOSS_MAX_PPM};
	uint64_t i = sim_random_below(random, 4);

	return (uint32_t)sim_random_in(random, least[i], most[i]);
}

static void choose_path(struct sim_path *path, struct sim_random *random)
{
	path->delay_us = sim_random_magnitude(random, 60000);
	path->jitter_us = sim_random_below(random, 5000);
	path->loss_ppm = choose_loss(random);
	path->duplicate_ppm = (uint32_t)sim_random_below(random, 50001);
	path->corrupt_ppm = (uint32_t)sim_random_below(random, 20001);
	path->reorder_ppm = (uint32_t)sim_random_below(random, 100001);
	path->reorder_us = sim_random_in(random, 1000, 50000);
	if (sim_random_below(random, 2) == 0) {
		path->bits_per_second = 500000 + sim_random_magnitude(random, 100000000);
		path->queue_octets = 3000 + (uint32_t)sim_random_magnitude(random, 128000);
	}
}

/* The better of the two ways loses no more than ROUND_TRIP_PPM leaves it. */
static void spare_round_trips(struct sim_path *one, struct sim_path *other)
{
	struct sim_path *better = one->loss_ppm < other->loss_ppm ? one : other;
	uint64_t worse_ppm = (better == one ? other : one)->loss_ppm;
	uint64_t through_ppm = SIM_CERTAIN_PPM - worse_ppm;
	uint64_t most_ppm =
		SIM_CERTAIN_PPM - (uint64_t)ROUND_TRIP_PPM * SIM_CERTAIN_PPM / through_ppm;

	if (better->loss_ppm > most_ppm)
		better->loss_ppm = (uint32_t)most_ppm;
}

static void choose_host(struct sim_stack_config *config, struct sim_random *random)
{
	config->port_checksums = sim_random_below(random, 2) == 0;
	config->port_chains = sim_random_below(random, 2) == 0;
	config->mtu = sim_random_below(random, 2) == 0
			      ? 1500
			      : (uint16_t)sim_random_in(random, 1280, 1500);
	config->receive_window = (uint32_t)sim_random_in(random, 4, 512) * 1024;
	if (sim_random_below(random, 8) == 0)
		config->receive_window = (uint32_t)sim_random_in(random, TINY_MIN, TINY_MAX);
	config->send_queue = (uint32_t)sim_random_in(random, 4, 512) * 1024;
}

static void choose_world(struct world *w, uint32_t index)
{
	struct sim_random random = {sim_mix(seed) + index};
	int gateway;

	world_init(w, sim_random(&random), index % 2 != 0, OCTETS_MAX);
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++)
		choose_host(&w->configs[i], &random);
	gateway = (int)sim_random_below(&random, 2);
	w->configs[gateway].workers = workers;
	w->configs[gateway].arrival = SIM_AT_WRONG;
	if (gateway == WORLD_OPENER)
		w->patterns[WORLD_OPENER].opener = (int)sim_random_below(&random, workers);
	if (!world_open(w))
		fail_msg("transfer %u: its hosts do not start", index);
	choose_path(world_path(w, WORLD_OPENER), &random);
	choose_path(world_path(w, WORLD_ANSWERER), &random);
	spare_round_trips(world_path(w, WORLD_OPENER), world_path(w, WORLD_ANSWERER));
}

/* --- what came of it -------------------------------------------------------------------------- */

static void add_wire(struct sim_counters *sum, const struct sim_counters *c)
{
	sum->sent += c->sent;
	sum->delivered += c->delivered;
	sum->octets_delivered += c->octets_delivered;
	sum->lost += c->lost;
	sum->duplicated += c->duplicated;
	sum->corrupted += c->corrupted;
	sum->queue_dropped += c->queue_dropped;
	sum->too_big += c->too_big;
	sum->reordered += c->reordered;
	sum->receiver_full += c->receiver_full;
}

static void add_host(struct postern_counters *sum, const struct postern_counters *c)
{
#define X(name, text) sum->name += c->name;
	POSTERN_COUNTERS(X)
#undef X
}

static void add_badness(const struct world *w, struct outcome *o)
{
	bool lossy = false, tiny = false;

	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		const struct sim_counters *c = world_counters(w, i);

		lossy |= c->sent >= 100 && c->lost >= c->sent / 4;
		tiny |= w->configs[i].receive_window <= TINY_MAX;
	}
	o->lossy += lossy;
	o->tiny += tiny;
}

static void transfer(uint32_t index, struct outcome *o)
{
	struct postern_counters counters;
	const char *wrong;
	struct world w;

	choose_world(&w, index);
	wrong = world_run(&w, bound_us);
	if (wrong != NULL)
		fail_msg("POSTERN_SEED=%" PRIu64 " POSTERN_TRANSFER=%u: %s", seed, index, wrong);
	o->trace = sim_wire_trace(w.wire);
	o->took_us = w.took_us;
	o->octets += w.patterns[0].octets_received + w.patterns[1].octets_received;
	o->reset_at_last += w.patterns[0].reset_at_last + w.patterns[1].reset_at_last;
	add_badness(&w, o);
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		add_wire(&o->wire, world_counters(&w, i));
		sim_stack_counters(w.stacks[i], &counters);
		add_host(&o->hosts, &counters);
		o->misplaced += sim_stack_misplaced(w.stacks[i]);
	}
	world_close(&w);
}

static void print_sum(const struct outcome *sum, uint64_t slowest_us, uint32_t slowest)
{
	const struct sim_counters *c = &sum->wire;

	printf("%u transfers, %" PRIu64 " octets, slowest %u: %.1f virtual s\n", count, sum->octets,
	       slowest, (double)slowest_us / 1e6);
	printf("%u lost a quarter of the frames one way, %u had windows of one or two segments, %u "
	       "ended by a reset for the last FIN\n",
	       sum->lossy, sum->tiny, sum->reset_at_last);
	printf("frames: %" PRIu64 " sent, %" PRIu64 " lost, %" PRIu64 " duplicated, %" PRIu64
	       " corrupted, %" PRIu64 " reordered, %" PRIu64 " dropped by queues\n",
	       c->sent, c->lost, c->duplicated, c->corrupted, c->reordered, c->queue_dropped);
	printf("segments: %" PRIu64 " sent again, %" PRIu64 " fast, %" PRIu64 " timeouts, %" PRIu64
	       " window probes; %" PRIu64 " frames at a wrong worker\n",
	       sum->hosts.tcp_retransmits, sum->hosts.tcp_fast_retransmits, sum->hosts.tcp_rto,
	       sum->hosts.tcp_window_probes, sum->misplaced);
}

static void assert_wires_were_bad(const struct outcome *sum)
{
	const struct sim_counters *c = &sum->wire;

	if (count < 50)
		return; /* too few to be sure of each */
	assert_true(sum->lossy > count / 50);
	assert_true(sum->tiny > count / 8);
	assert_true(sum->reset_at_last <= 1 + count / 500);
	assert_true(c->lost > c->sent / 20);
	assert_true(c->duplicated > c->sent / 100);
	assert_true(c->corrupted > c->sent / 500);
	assert_true(c->reordered > c->sent / 500);
	assert_true(c->queue_dropped > 0);
	assert_true(sum->hosts.net_bad_checksum > 0);
	assert_true(sum->hosts.tcp_retransmits > 0);
	assert_true(sum->hosts.tcp_fast_retransmits > 0);
	assert_true(sum->hosts.tcp_rto > 0);
	assert_true(sum->hosts.tcp_window_probes > 0);
	assert_true(sum->hosts.tcp_out_of_order > 0);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void streams_over_bad_wires_arrive_exact_and_leave_nothing_behind(void **state)
{
	struct outcome sum = {0};
	uint64_t slowest_us = 0;
	uint32_t slowest = first;

	for (uint32_t i = first; i < first + count; i++) {
		transfer(i, &sum);
		if (sum.took_us > slowest_us) {
			slowest_us = sum.took_us;
			slowest = i;
		}
	}
	print_sum(&sum, slowest_us, slowest);
	assert_wires_were_bad(&sum);
	if (workers == 1) {
		assert_int_equal(sum.misplaced, 0);
	} else {
		/* Corrupted ones are found before they are handed over. */
		assert_true(sum.misplaced > 0);
		assert_true(sum.hosts.handover_out <= sum.misplaced);
		assert_true(sum.hosts.handover_out > sum.misplaced * 9 / 10);
		assert_int_equal(sum.hosts.handover_in + sum.hosts.handover_full,
				 sum.hosts.handover_out);
	}
}

static void the_same_seed_gives_the_same_trace(void **state)
{
	uint32_t n = count < AGAIN ? count : AGAIN;

	for (uint32_t i = first; i < first + n; i++) {
		struct outcome one = {0}, two = {0};

		transfer(i, &one);
		transfer(i, &two);
		assert_true(one.trace == two.trace);
		assert_memory_equal(&one, &two, sizeof(one));
	}
}

static uint64_t number(const char *text, uint64_t otherwise)
{
	return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_over_bad_wires_arrive_exact_and_leave_nothing_behind),
		cmocka_unit_test(the_same_seed_gives_the_same_trace),
	};

	workers = (uint16_t)number(argc > 1 ? argv[1] : NULL, 1);
	first = (uint32_t)number(argc > 2 ? argv[2] : NULL, 0);
	count = (uint32_t)number(argc > 3 ? argv[3] : NULL, 1000);
	seed = test_seed(1);
	if (getenv("POSTERN_TRANSFER") != NULL) {
		first = (uint32_t)number(getenv("POSTERN_TRANSFER"), 0);
		count = 1;
	}
	if (workers < 1 || workers > SIM_WORKERS_MAX) {
		fputs("usage: test_transfers [WORKERS [FIRST [COUNT]]]\n", stderr);
		return 1;
	}
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
