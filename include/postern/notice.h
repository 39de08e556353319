/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notices: what a worker tells control, or control a worker, through a ring: one writer, one
 * reader.
 *
 * Thread: notices_put by the one, notices_get by the other. Time: none.
 * Memory: the caller's; a full ring drops the notice, and counts it.
 */
#ifndef POSTERN_NOTICE_H
#define POSTERN_NOTICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "postern/harvest.h"

enum { NOTICES = 1024 }; /* a power of two */

/* A verdict; is_flagged: the worker has told the kernel already. */
struct notice {
	struct harvest_verdict verdict;
	bool is_flagged;
};

struct notices {
	_Alignas(64) _Atomic uint32_t head; /* the writer's */
	_Atomic uint64_t dropped;
	_Alignas(64) _Atomic uint32_t tail; /* the reader's */
	struct notice at[NOTICES];
};

static inline bool notices_put(struct notices *n, const struct notice *notice)
{
	uint32_t head = atomic_load_explicit(&n->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&n->tail, memory_order_acquire) == NOTICES) {
		atomic_fetch_add_explicit(&n->dropped, 1, memory_order_relaxed);
		return false;
	}
	n->at[head % NOTICES] = *notice;
	atomic_store_explicit(&n->head, head + 1, memory_order_release);
	return true;
}

static inline bool notices_get(struct notices *n, struct notice *notice)
{
	uint32_t tail = atomic_load_explicit(&n->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&n->head, memory_order_acquire))
		return false;
	*notice = n->at[tail % NOTICES];
	atomic_store_explicit(&n->tail, tail + 1, memory_order_release);
	return true;
}

#endif
