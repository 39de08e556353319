/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A counter: one writer, any number of readers, no lock and no locked instruction.
 *
 * Thread: counter_add by the owning worker only; counter_read by any.
 */
#ifndef POSTERN_BASE_COUNTER_H
#define POSTERN_BASE_COUNTER_H

#include <stdint.h>

static inline void counter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint64_t counter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
