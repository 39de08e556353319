/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random numbers of tests: splitmix64, whose state is 64 bits; the first state is the seed.
 * Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
 *
 * Thread: one a state. Time, Memory: none.
 * Rules: a run with the same POSTERN_SEED draws the same numbers.
 */
#ifndef POSTERN_TESTS_RANDOM_H
#define POSTERN_TESTS_RANDOM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What POSTERN_SEED says, or else this; printed, so that a failure can be had again. */
static inline uint64_t test_seed(uint64_t otherwise)
{
	const char *text = getenv("POSTERN_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : otherwise;

	printf("POSTERN_SEED=%" PRIu64 "\n", seed);
	return seed;
}

static inline uint64_t test_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint64_t test_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	return test_mix(*state);
}

#endif
