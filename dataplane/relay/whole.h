/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Words that belong together: who reads them beside writers has them whole, or knows that it has
 * not.
 *
 * Thread: any. Who writes claims them first, and gives way when they are claimed. A version counts
 * claims and publications, so it is odd while they are written.
 * Time, Memory: none.
 * Rules: each word is atomic and stored with release, so that a reader of one that is being written
 * also sees the claim; no fences, which ThreadSanitizer does not know. Source: Boehm, "Can seqlocks
 * get along with programming language memory models?", MSPC 2012.
 */
#ifndef POSTERN_RELAY_WHOLE_H
#define POSTERN_RELAY_WHOLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* False: another writes. */
static inline bool whole_claim(_Atomic uint64_t *version)
{
	uint64_t v = atomic_load_explicit(version, memory_order_relaxed);

	return v % 2 == 0 &&
	       atomic_compare_exchange_strong_explicit(version, &v, v + 1, memory_order_acquire,
						       memory_order_relaxed);
}

/* Of words that are claimed. */
static inline void whole_write(_Atomic uint64_t *words, const uint64_t *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		atomic_store_explicit(&words[i], from[i], memory_order_release);
}

static inline void whole_publish(_Atomic uint64_t *version)
{
	uint64_t v = atomic_load_explicit(version, memory_order_relaxed);

	atomic_store_explicit(version, v + 1, memory_order_release);
}

/* False: they were being written, and to is of no use. */
static inline bool whole_read(const _Atomic uint64_t *version, const _Atomic uint64_t *words,
			      uint64_t *to, unsigned n)
{
	uint64_t v = atomic_load_explicit(version, memory_order_acquire);

	for (unsigned i = 0; i < n; i++)
		to[i] = atomic_load_explicit(&words[i], memory_order_acquire);
	return v % 2 == 0 && atomic_load_explicit(version, memory_order_relaxed) == v;
}

#endif
