/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulation's random numbers: one state, so that one seed says everything.
 *
 * Thread: one. Time: none. Memory: none.
 */
#ifndef POSTERN_SIM_RANDOM_H
#define POSTERN_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/random.h"

enum { SIM_CERTAIN_PPM = 1000000 };

struct sim_random {
	uint64_t state; /* the seed, to begin with */
};

static inline uint64_t sim_mix(uint64_t z)
{
	return test_mix(z);
}

static inline uint64_t sim_random(struct sim_random *r)
{
	return test_random(&r->state);
}

/* 0..n-1; n > 0. */
static inline uint64_t sim_random_below(struct sim_random *r, uint64_t n)
{
	return sim_random(r) % n;
}

/* first..last, both included. */
static inline uint64_t sim_random_in(struct sim_random *r, uint64_t first, uint64_t last)
{
	return first + sim_random_below(r, last - first + 1);
}

/* True so many times in a million. */
static inline bool sim_random_chance(struct sim_random *r, uint32_t ppm)
{
	return sim_random_below(r, SIM_CERTAIN_PPM) < ppm;
}

/* 1..last, every magnitude as likely as any other. */
static inline uint64_t sim_random_magnitude(struct sim_random *r, uint64_t last)
{
	unsigned bits = (unsigned)sim_random_below(r, 64 - (unsigned)__builtin_clzll(last));
	uint64_t n = (1ULL << bits) + sim_random_below(r, 1ULL << bits);

	return n > last ? last : n;
}

#endif
