/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two hosts with the pattern service on a wire, the one opening connections to the other, and the
 * question whether all went well: every stream exact, nothing left behind.
 *
 * Thread: the test's. Time: the wire's. Memory: world_close gives all of it back.
 */
#ifndef POSTERN_SIM_WORLD_H
#define POSTERN_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "pattern.h"
#include "sim_stack.h"
#include "sim_wire.h"

enum {
	WORLD_OPENER,
	WORLD_ANSWERER,
	WORLD_PORT = 25,
};

struct world {
	uint64_t seed;
	bool v6;
	struct sim_wire *wire;
	struct pattern patterns[2];
	struct sim_stack_config configs[2];
	struct sim_stack *stacks[2];
	uint64_t took_us; /* until every conversation had ended; by world_run */
};

/* Seeds the wire and fills in what a test then changes: one worker and modest bounds each, one
 * connection of up to octets_max each way, a perfect wire. */
void world_init(struct world *w, uint64_t seed, bool v6, uint32_t octets_max);

/* Starts both hosts; false: a sentence is on stderr. */
bool world_open(struct world *w);
void world_close(struct world *w);

/* From the one host to the other. */
struct sim_path *world_path(struct world *w, int from);
const struct sim_counters *world_counters(const struct world *w, int from);

/* Runs until every conversation has ended on both sides, or for_us have passed; then until nothing
 * is left to happen. Returns NULL, or what went wrong in words (static, until the next call). */
const char *world_run(struct world *w, uint64_t for_us);

#endif
