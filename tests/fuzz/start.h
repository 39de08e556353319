/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * When an input begins: near the end of one of TCP's clocks, so that it wraps within the input.
 *
 * Thread: any. Time, Memory: none.
 */
#ifndef POSTERN_TESTS_FUZZ_START_H
#define POSTERN_TESTS_FUZZ_START_H

#include <stdint.h>

#include "base/siphash.h"
#include "net/net.h"

enum start {
	START_PLAIN,
	START_NUMBERS, /* the first flow's initial sequence number */
	START_MICROSECONDS,
	START_MILLISECONDS,
};

static inline uint64_t start_us(enum start start, const struct siphash_key *isn_key,
				const struct flow *first)
{
	uint32_t secret = (uint32_t)siphash24(isn_key, first, sizeof(*first));

	switch (start) {
	case START_NUMBERS:
		return 4ull * (uint32_t)(-2000u - secret);
	case START_MICROSECONDS:
		return (1ull << 32) - 100000;
	case START_MILLISECONDS:
		return (1ull << 32) * 1000 - 1000000;
	default:
		return 1000000;
	}
}

#endif
