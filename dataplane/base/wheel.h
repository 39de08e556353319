/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An intrusive hierarchical timer wheel.
 * Source: Varghese, Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7.
 *
 * Arm, cancel and re-arm cost O(1); a timer is embedded in what it times (24 octets on LP64) and
 * never allocated. A timer fires at the first wheel_next() whose now is at or after its due time
 * rounded up to the tick: late by less than one tick, never early.
 *
 * Thread: the owner only. Time: the caller gives it, monotonic, in microseconds.
 * Memory: the wheel's own slots, in the struct.
 */
#ifndef POSTERN_BASE_WHEEL_H
#define POSTERN_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
	WHEEL_LEVELS = 4,
	WHEEL_SLOT_BITS = 8,
	WHEEL_SLOTS = 1 << WHEEL_SLOT_BITS,
};

/* Never due. */
#define WHEEL_NEVER UINT64_MAX

struct timer {
	struct timer *next;
	struct timer **pprev; /* NULL: not armed */
	uint64_t due_us;
};

struct wheel {
	uint64_t now_tick;   /* everything due before this tick has fired */
	uint32_t tick_shift; /* log2 of the tick's microseconds */
	uint64_t armed;	     /* timers armed */
	struct timer *fired; /* due, not yet handed out */
	uint64_t occupied[WHEEL_LEVELS][WHEEL_SLOTS / 64];
	struct timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

/* A tick is 1 << tick_shift microseconds. */
void wheel_init(struct wheel *w, uint64_t now_us, uint32_t tick_shift);

/* Arms, or re-arms. A due time already past fires at the next wheel_next(). Due times beyond the
 * wheel's span (2^32 ticks) are kept and fire when they are due. */
void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_us);

/* Cancels; nothing when it is not armed. */
void wheel_cancel(struct wheel *w, struct timer *t);

static inline bool timer_is_armed(const struct timer *t)
{
	return t->pprev != 0;
}

/* Hands out one timer that is due, disarmed, or NULL when there is none at now_us. The owner may
 * arm and cancel any timer between calls. */
struct timer *wheel_next(struct wheel *w, uint64_t now_us);

/* When wheel_next() can next have anything to do: never later than the earliest due timer's tick;
 * WHEEL_NEVER when none is armed. */
uint64_t wheel_next_due(const struct wheel *w);

#endif
