/* SPDX-License-Identifier: BSD-3-Clause */
/* The histogram. Thread, Time, Memory: histogram.h. */
#include "histogram.h"

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_STEPS)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
	return shift * HISTOGRAM_STEPS + (unsigned)(value >> shift);
}

/* The largest value that belongs there. */
static uint64_t end_of(unsigned bucket)
{
	unsigned shift;
	uint64_t step;

	if (bucket < 2 * HISTOGRAM_STEPS)
		return bucket;
	shift = bucket / HISTOGRAM_STEPS - 1;
	step = bucket - shift * HISTOGRAM_STEPS;
	return ((step + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->buckets[bucket_of(value)]++;
	h->n++;
	if (value > h->max)
		h->max = value;
}

uint64_t histogram_per_mille(const struct histogram *h, unsigned per_mille)
{
	uint64_t wanted = (h->n * per_mille + 999) / 1000, seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= wanted && seen > 0)
			return end_of(i) < h->max ? end_of(i) : h->max;
	}
	return 0;
}
