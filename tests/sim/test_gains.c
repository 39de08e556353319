/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each part of loss recovery and congestion control gains: the same seeded transfers with one
 * part after the other left out (tcp_config.without), over paths on which it is at work. Prints a
 * table and asserts what must show in it. POSTERN_SEED chooses the seeds.
 *
 * The opener sends, so that CUBIC has it, and the answerer sends a little back. What is timed is a
 * transfer's virtual time from the SYN until both ends have closed.
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
#include "tcp/tcp.h"
#include "world.h"

enum {
	OCTETS_DOWN = 1000,
	WINDOW = 1 << 20,
	TRANSFERS_MAX = 400,
};

enum part { WHOLE, NO_SACK, NO_RACK, NO_TLP, NO_PRR, NO_CUBIC, PARTS };

static const struct {
	const char *name;
	uint8_t without;
} parts[PARTS] = {
	[WHOLE] = {"nothing", 0},
	[NO_SACK] = {"SACK", TCP_WITHOUT_SACK},
	[NO_RACK] = {"RACK", TCP_WITHOUT_RACK},
	[NO_TLP] = {"tail probes", TCP_WITHOUT_TLP},
	[NO_PRR] = {"PRR", TCP_WITHOUT_PRR},
	[NO_CUBIC] = {"CUBIC", TCP_WITHOUT_CUBIC},
};

/* What transfers over a path came to. */
enum measure { MEDIAN_US, P90_US, SENT_AGAIN, TIMEOUTS, MEASURES };

struct result {
	uint64_t of[MEASURES];
};

/* Without the part a measure is so many percent of what it is with all, or more. */
struct gain {
	enum part part; /* WHOLE: there are no more */
	enum measure measure;
	uint32_t percent;
};

struct course {
	const char *name;
	uint32_t octets, transfers;
	struct sim_path path; /* both ways */
	struct gain gains[5];
};

static uint64_t seed;

/* --- running ---------------------------------------------------------------------------------- */

static void begin(struct world *w, const struct course *course, uint8_t without, uint64_t of_seed)
{
	const struct sim_path quiet = {.delay_us = course->path.delay_us};

	world_init(w, of_seed, of_seed % 2 != 0, 1);
	for (int side = WORLD_OPENER; side <= WORLD_ANSWERER; side++) {
		w->configs[side].receive_window = w->configs[side].send_queue = WINDOW;
		w->configs[side].buffers = 4096;
		w->configs[side].without = without;
		w->patterns[side].octets_up = course->octets;
		w->patterns[side].octets_down = OCTETS_DOWN;
		w->patterns[side].pause_ppm = 0;
	}
	if (!world_open(w))
		fail_msg("the hosts do not start");
	/* A SYN is lost like any other segment, and costs a second whatever else is left out. */
	*world_path(w, WORLD_OPENER) = *world_path(w, WORLD_ANSWERER) = quiet;
	sim_wire_run(w->wire, sim_wire_now(w->wire) + 2 * quiet.delay_us - 1, NULL, NULL);
	*world_path(w, WORLD_OPENER) = *world_path(w, WORLD_ANSWERER) = course->path;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static struct result run(const struct course *course, enum part part)
{
	uint64_t took_us[TRANSFERS_MAX];
	struct result result = {0};

	for (uint32_t i = 0; i < course->transfers; i++) {
		struct postern_counters c;
		const char *wrong;
		struct world w;

		begin(&w, course, parts[part].without, seed * 1000 + i);
		wrong = world_run(&w, 3600ULL * 1000000);
		if (wrong != NULL)
			fail_msg("%s without %s, transfer %u: %s", course->name, parts[part].name,
				 i, wrong);
		took_us[i] = w.took_us + 2 * course->path.delay_us;
		sim_stack_counters(w.stacks[WORLD_OPENER], &c);
		result.of[SENT_AGAIN] += c.tcp_retransmits;
		result.of[TIMEOUTS] += c.tcp_rto;
		world_close(&w);
	}
	qsort(took_us, course->transfers, sizeof(took_us[0]), compare);
	result.of[MEDIAN_US] = took_us[course->transfers / 2];
	result.of[P90_US] = took_us[course->transfers * 9 / 10];
	return result;
}

static void print_row(const struct course *course, enum part part, const struct result *r)
{
	printf("| %s | %s | %.0f | %.0f | %" PRIu64 " | %" PRIu64 " |\n",
	       part == WHOLE ? course->name : "", parts[part].name, (double)r->of[MEDIAN_US] / 1000,
	       (double)r->of[P90_US] / 1000, r->of[SENT_AGAIN], r->of[TIMEOUTS]);
}

static void race(const struct course *course)
{
	struct result results[PARTS];

	for (enum part part = WHOLE; part < PARTS; part++) {
		results[part] = run(course, part);
		print_row(course, part, &results[part]);
	}
	for (const struct gain *gain = course->gains; gain->part != WHOLE; gain++) {
		uint64_t with = results[WHOLE].of[gain->measure];
		uint64_t without = results[gain->part].of[gain->measure];

		if (without * 100 < with * gain->percent)
			fail_msg("%s: without %s measure %d is %" PRIu64 ", with it %" PRIu64,
				 course->name, parts[gain->part].name, (int)gain->measure, without,
				 with);
	}
}

/* --- courses ---------------------------------------------------------------------------------- */

static void every_part_saves_timeouts_where_segments_are_lost_at_random(void **state)
{
	race(&(struct course){
		.name = "3 % lost, 300 kB",
		.octets = 300000,
		.transfers = 200,
		.path = {.delay_us = 20000, .jitter_us = 1000, .loss_ppm = 30000},
		.gains = {{NO_SACK, TIMEOUTS, 300},
			  {NO_RACK, TIMEOUTS, 200},
			  {NO_TLP, TIMEOUTS, 150}},
	});
}

/* Also what was sent again is lost: RACK finds it, counting what overtook does not. */
static void sack_and_what_builds_on_it_gain_time_where_much_is_lost(void **state)
{
	race(&(struct course){
		.name = "10 % lost, 300 kB",
		.octets = 300000,
		.transfers = 100,
		.path = {.delay_us = 20000, .jitter_us = 1000, .loss_ppm = 100000},
		.gains = {{NO_SACK, MEDIAN_US, 125},
			  {NO_RACK, MEDIAN_US, 105},
			  {NO_RACK, TIMEOUTS, 150},
			  {NO_TLP, P90_US, 105},
			  {NO_TLP, TIMEOUTS, 150}},
	});
}

static void rack_takes_what_is_late_for_late(void **state)
{
	race(&(struct course){
		.name = "10 % late by up to 8 ms, 300 kB",
		.octets = 300000,
		.transfers = 100,
		.path = {.delay_us = 20000, .reorder_ppm = 100000, .reorder_us = 8000},
		.gains = {{NO_RACK, MEDIAN_US, 130},
			  {NO_RACK, SENT_AGAIN, 200},
			  {NO_SACK, MEDIAN_US, 115}},
	});
}

/* Few segments follow a lost one, or none. A probe for a lone one leaves when it would time out, so
 * it gains no time by itself; but cwnd is kept. */
static void tails_of_short_transfers_are_found_lost_without_a_timeout(void **state)
{
	race(&(struct course){
		.name = "3 % lost, 8 kB",
		.octets = 8000,
		.transfers = 400,
		.path = {.delay_us = 20000, .jitter_us = 1000, .loss_ppm = 30000},
		.gains = {{NO_SACK, P90_US, 150}, {NO_RACK, P90_US, 150}, {NO_TLP, TIMEOUTS, 150}},
	});
}

/* Slow start overruns the queue by some hundred segments. What is then sent at once is lost again.
 */
static void prr_gains_where_a_queue_overflows(void **state)
{
	race(&(struct course){
		.name = "20 Mbit/s, 80 ms, 2 MB",
		.octets = 2000000,
		.transfers = 20,
		.path = {.delay_us = 40000,
			 .jitter_us = 1000,
			 .bits_per_second = 20000000,
			 .queue_octets = 100000},
		.gains = {{NO_PRR, MEDIAN_US, 115},
			  {NO_PRR, SENT_AGAIN, 110},
			  {NO_SACK, MEDIAN_US, 500}},
	});
}

static void cubic_gains_where_a_path_is_long_and_fat(void **state)
{
	race(&(struct course){
		.name = "50 Mbit/s, 100 ms, 15 MB",
		.octets = 15000000,
		.transfers = 10,
		.path = {.delay_us = 50000,
			 .jitter_us = 1000,
			 .bits_per_second = 50000000,
			 .queue_octets = 150000},
		.gains = {{NO_CUBIC, MEDIAN_US, 125}},
	});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_saves_timeouts_where_segments_are_lost_at_random),
		cmocka_unit_test(sack_and_what_builds_on_it_gain_time_where_much_is_lost),
		cmocka_unit_test(rack_takes_what_is_late_for_late),
		cmocka_unit_test(tails_of_short_transfers_are_found_lost_without_a_timeout),
		cmocka_unit_test(prr_gains_where_a_queue_overflows),
		cmocka_unit_test(cubic_gains_where_a_path_is_long_and_fat),
	};

	seed = test_seed(1);
	printf("| path | without | median ms | p90 ms | sent again | timeouts |\n");
	printf("|---|---|---:|---:|---:|---:|\n");
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
