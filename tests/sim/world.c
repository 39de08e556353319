/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thread: the test's. Time: the wire's. Memory: world_close gives all of it back.
 */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	/* TIME_WAIT, last retransmissions and the wire's last frames end within this. */
	SETTLE_US = 600 * 1000000,
};

void world_init(struct world *w, uint64_t seed, bool v6, uint32_t octets_max)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->v6 = v6;
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		w->configs[i] = (struct sim_stack_config){
			.number = (uint8_t)(i + 1),
			.workers = 1,
			.frames = 1024,
			.buffers = 1024,
			.conns = 128, /* a fourth may linger */
			.receive_window = 65536,
			.send_queue = 65536,
			.service = &pattern_service,
			.service_config = &w->patterns[i],
		};
		w->patterns[i] = (struct pattern){
			.seed = seed,
			.octets_max = octets_max,
			.pause_max_us = 1500000,
			.pause_ppm = 40000,
		};
	}
	w->configs[WORLD_ANSWERER].listen = WORLD_PORT;
	w->patterns[WORLD_OPENER].opens = 1;
	w->patterns[WORLD_OPENER].remote = sim_address(WORLD_ANSWERER + 1, v6);
	w->patterns[WORLD_OPENER].port = WORLD_PORT;
}

/* Any time of a machine's first months; every fourth world passes the moment at which 32 bits of
 * milliseconds begin anew. */
static uint64_t first_us(uint64_t seed)
{
	struct sim_random random = {seed};

	if (sim_random_below(&random, 4) == 0)
		return (1ULL << 32) * 1000 - sim_random_below(&random, 3000000);
	return sim_random_below(&random, 1ULL << 43);
}

bool world_open(struct world *w)
{
	w->wire = sim_wire_new(w->seed, first_us(w->seed));
	if (w->wire == NULL)
		return false;
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		w->stacks[i] = sim_stack_new(w->wire, &w->configs[i]);
		if (w->stacks[i] == NULL)
			return false;
	}
	return true;
}

void world_close(struct world *w)
{
	sim_stack_free(w->stacks[WORLD_OPENER]);
	sim_stack_free(w->stacks[WORLD_ANSWERER]);
	sim_wire_free(w->wire);
	memset(w, 0, sizeof(*w));
}

struct sim_path *world_path(struct world *w, int from)
{
	return sim_wire_path(w->wire, sim_stack_host(w->stacks[from]),
			     sim_stack_host(w->stacks[!from]));
}

const struct sim_counters *world_counters(const struct world *w, int from)
{
	return sim_wire_counters(w->wire, sim_stack_host(w->stacks[from]),
				 sim_stack_host(w->stacks[!from]));
}

/* --- what went wrong -------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static const char *words(const char *format, ...)
{
	static char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return text;
}

static bool all_ended(void *arg)
{
	const struct world *w = arg;
	const struct pattern *o = &w->patterns[WORLD_OPENER], *a = &w->patterns[WORLD_ANSWERER];
	uint32_t conns = o->opens;

	if (o->opener < 0)
		conns *= w->configs[WORLD_OPENER].workers;
	return o->failed + a->failed > 0 || (o->finished == conns && a->finished == conns);
}

static const char *not_ended(const struct world *w, enum sim_end end, uint64_t took_us)
{
	const struct pattern *o = &w->patterns[WORLD_OPENER], *a = &w->patterns[WORLD_ANSWERER];

	return words("%s after %" PRIu64 " us: opener %u opened, %u finished, sent %" PRIu64
		     ", received %" PRIu64 "; answerer %u opened, %u finished, sent %" PRIu64
		     ", received %" PRIu64,
		     end == SIM_QUIET	   ? "nothing will happen any more"
		     : end == SIM_LIVELOCK ? "the clock stands still"
					   : "not over",
		     took_us, o->opened, o->finished, o->octets_sent, o->octets_received, a->opened,
		     a->finished, a->octets_sent, a->octets_received);
}

static const char *left_behind(const struct world *w, enum sim_end end)
{
	if (end != SIM_QUIET)
		return words("hosts never come to rest: end %d, %u and %u connections", end,
			     sim_stack_conns(w->stacks[WORLD_OPENER]),
			     sim_stack_conns(w->stacks[WORLD_ANSWERER]));
	for (int i = WORLD_OPENER; i <= WORLD_ANSWERER; i++) {
		if (sim_stack_conns(w->stacks[i]) > 0)
			return words("host %d keeps %u connections", i,
				     sim_stack_conns(w->stacks[i]));
		if (sim_stack_time_waits(w->stacks[i]) > 0)
			return words("host %d keeps %u TIME-WAITs", i,
				     sim_stack_time_waits(w->stacks[i]));
		if (sim_stack_buffers_out(w->stacks[i]) > 0)
			return words("host %d keeps %u buffers", i,
				     sim_stack_buffers_out(w->stacks[i]));
	}
	return NULL;
}

const char *world_run(struct world *w, uint64_t for_us)
{
	const struct pattern *o = &w->patterns[WORLD_OPENER], *a = &w->patterns[WORLD_ANSWERER];
	const uint64_t begin_us = sim_wire_now(w->wire);
	enum sim_end end = sim_wire_run(w->wire, begin_us + for_us, all_ended, w);

	w->took_us = sim_wire_now(w->wire) - begin_us;
	if (a->failed > 0 || o->failed > 0)
		return words("%s", a->failed > 0 ? a->failure : o->failure);
	if (end != SIM_DONE)
		return not_ended(w, end, w->took_us);
	if (o->octets_sent != a->octets_received || a->octets_sent != o->octets_received)
		return words("sent and received octets differ");
	end = sim_wire_run(w->wire, sim_wire_now(w->wire) + SETTLE_US, NULL, NULL);
	return left_behind(w, end);
}
