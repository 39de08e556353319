/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An intrusive hierarchical timer wheel.
 * Source: Varghese, Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7.
 *
 * Arm, cancel and re-arm cost O(1); a timer is embedded in what it times (24 octets on LP64) and
 * never allocated. A timer fires at the first wheel_next() whose now is at or after its due time
 * rounded up to the tick: late by less than one tick, never early, in the order of ticks. Time may
 * jump: the cost is that of the slots that hold timers, not of the ticks passed over.
 *
 * A timer sits at the level of the highest digit (of WHEEL_SLOT_BITS bits) in which its due tick
 * differs from the present one, in the slot of that digit. So the levels cover every 64-bit tick,
 * the lowest occupied level holds the earliest timers, and where a timer sits follows from its
 * due tick alone. When a slot's time comes its timers are sorted into lower levels, and those of
 * the lowest are due. However many that makes at once, WHEEL_SORTED_MAX are sorted at one time: the
 * wheel stands at the slot's start until it is done, and all that is due later is late by as much.
 *
 * Thread: the owner only. Time: the caller gives it, monotonic, in microseconds.
 * Memory: the wheel's own slots, in the struct, which must not move while a timer is armed.
 */
#ifndef POSTERN_BASE_WHEEL_H
#define POSTERN_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
	WHEEL_SLOT_BITS = 8,
	WHEEL_SLOTS = 1 << WHEEL_SLOT_BITS,
	WHEEL_LEVELS = 64 / WHEEL_SLOT_BITS,
	WHEEL_SORTED_MAX = 256, /* of those in no cache: a hundred microseconds and more */
};

/* Never due. */
#define WHEEL_NEVER UINT64_MAX

struct timer {
	struct timer *next;
	struct timer **pprev; /* NULL: not armed */
	uint64_t due_us;
};

struct wheel {
	uint64_t now_tick;   /* what was due by this tick has fired, or is opened */
	uint32_t tick_shift; /* log2 of the tick's microseconds */
	uint32_t levels;     /* bit l: a slot of level l is occupied */
	uint64_t armed;	     /* timers armed */
	struct timer *fired; /* due, not yet handed out */
	struct timer **fired_end;
	struct timer *opened; /* of the slot that begins at now_tick, not yet sorted */
	uint64_t asked_us;    /* for what time wheel_next was last called; WHEEL_NEVER: NULL came */
	uint32_t left;	      /* of WHEEL_SORTED_MAX since */
	uint64_t occupied[WHEEL_LEVELS][WHEEL_SLOTS / 64];
	struct timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

/* A tick is 1 << tick_shift microseconds. */
void wheel_init(struct wheel *w, uint64_t now_us, uint32_t tick_shift);

/* Arms, or re-arms. A due time already past fires at the next wheel_next(), after those that are
 * due already. */
void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_us);

/* Cancels; nothing when it is not armed. */
void wheel_cancel(struct wheel *w, struct timer *t);

static inline bool timer_is_armed(const struct timer *t)
{
	return t->pprev != 0;
}

/* Hands out one timer that is due, disarmed, or NULL: there is none at now_us, or it is not sorted
 * yet, and wheel_next_due() says to come again. The owner may arm and cancel any timer between
 * calls. */
struct timer *wheel_next(struct wheel *w, uint64_t now_us);

/* When wheel_next() can next have anything to do: never later than the earliest due timer's tick,
 * and before it by less than the width of the slot that timer sits in; WHEEL_NEVER when none is
 * armed. */
uint64_t wheel_next_due(const struct wheel *w);

#endif
