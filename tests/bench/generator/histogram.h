/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How often each value came, in steps of a thirty-second part of it: quantiles are never below
 * the true one, and above by 3 % at most.
 *
 * Thread: one. Time: none. Memory: the struct's own 15 KiB, whatever is put in.
 */
#ifndef POSTERN_TESTS_GENERATOR_HISTOGRAM_H
#define POSTERN_TESTS_GENERATOR_HISTOGRAM_H

#include <stdint.h>

enum {
	HISTOGRAM_STEP_BITS = 5,
	HISTOGRAM_STEPS = 1 << HISTOGRAM_STEP_BITS,
	HISTOGRAM_BUCKETS = (64 - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS,
};

struct histogram {
	uint64_t n, max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/* The least value that so many of a thousand do not exceed, rounded up; 0 when none was added. */
uint64_t histogram_per_mille(const struct histogram *h, unsigned per_mille);

#endif
