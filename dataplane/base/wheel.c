/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The timer wheel.
 *
 * Thread: the owner only. Time: the caller's. Memory: none.
 * Rules: the invariant is that of wheel.h: an armed timer is in the fired list when its tick is
 * not after now_tick, else in the slot that slot_of() names. Advancing now_tick up to, and not
 * beyond, the start of the earliest occupied slot keeps it for every timer outside that slot; those
 * inside lie in the opened list, whatever their due times, until they are sorted.
 */
#include "base/wheel.h"

#include <assert.h>
#include <stddef.h>

enum {
	SLOT_FIRED = WHEEL_LEVELS * WHEEL_SLOTS, /* behind the last slot: the fired list */
};

void wheel_init(struct wheel *w, uint64_t now_us, uint32_t tick_shift)
{
	assert(tick_shift < 32);
	*w = (struct wheel){
		.now_tick = now_us >> tick_shift,
		.tick_shift = tick_shift,
		.asked_us = WHEEL_NEVER,
	};
	w->fired_end = &w->fired;
}

static inline uint64_t due_tick(const struct wheel *w, uint64_t due_us)
{
	uint64_t tick = due_us >> w->tick_shift;

	return tick + (tick << w->tick_shift != due_us);
}

static inline unsigned slot_of(const struct wheel *w, uint64_t tick)
{
	unsigned level, digit;

	if (tick <= w->now_tick)
		return SLOT_FIRED;
	level = (63 - (unsigned)__builtin_clzll(tick ^ w->now_tick)) / WHEEL_SLOT_BITS;
	digit = tick >> (level * WHEEL_SLOT_BITS) & (WHEEL_SLOTS - 1);
	return level * WHEEL_SLOTS + digit;
}

static inline void slot_mark(struct wheel *w, unsigned slot)
{
	w->occupied[slot / WHEEL_SLOTS][slot % WHEEL_SLOTS / 64] |= 1ULL << slot % 64;
	w->levels |= 1U << slot / WHEEL_SLOTS;
}

static inline void slot_unmark(struct wheel *w, unsigned slot)
{
	uint64_t *words = w->occupied[slot / WHEEL_SLOTS];

	words[slot % WHEEL_SLOTS / 64] &= ~(1ULL << slot % 64);
	if ((words[0] | words[1] | words[2] | words[3]) == 0)
		w->levels &= ~(1U << slot / WHEEL_SLOTS);
}
_Static_assert(WHEEL_SLOTS / 64 == 4, "slot_unmark looks at four words");

static inline void insert(struct wheel *w, struct timer *t, unsigned slot)
{
	struct timer **head;

	if (slot == SLOT_FIRED) {
		t->next = NULL;
		t->pprev = w->fired_end;
		*w->fired_end = t;
		w->fired_end = &t->next;
		return;
	}
	head = &w->slots[0][0] + slot;
	t->next = *head;
	t->pprev = head;
	if (t->next != NULL)
		t->next->pprev = &t->next;
	else
		slot_mark(w, slot);
	*head = t;
}

static inline void unlink_timer(struct wheel *w, struct timer *t)
{
	const uintptr_t first = (uintptr_t)&w->slots[0][0];
	const uintptr_t at = (uintptr_t)t->pprev;

	*t->pprev = t->next;
	if (t->next != NULL)
		t->next->pprev = t->pprev;
	else if (w->fired_end == &t->next)
		w->fired_end = t->pprev;
	else if (at - first < sizeof(w->slots))
		slot_unmark(w, (unsigned)((at - first) / sizeof(struct timer *)));
	t->pprev = NULL;
}

void wheel_arm(struct wheel *w, struct timer *t, uint64_t due_us)
{
	unsigned slot = slot_of(w, due_tick(w, due_us));

	if (timer_is_armed(t)) {
		bool stays = slot == slot_of(w, due_tick(w, t->due_us));

		t->due_us = due_us;
		if (stays)
			return;
		unlink_timer(w, t);
		w->armed--;
	}
	t->due_us = due_us;
	insert(w, t, slot);
	w->armed++;
}

void wheel_cancel(struct wheel *w, struct timer *t)
{
	if (!timer_is_armed(t))
		return;
	unlink_timer(w, t);
	w->armed--;
}

/* The earliest occupied slot; there must be one. */
static inline unsigned earliest_slot(const struct wheel *w)
{
	unsigned level = (unsigned)__builtin_ctz(w->levels);
	const uint64_t *words = w->occupied[level];
	unsigned word = 0;

	while (words[word] == 0)
		word++;
	return level * WHEEL_SLOTS + word * 64 + (unsigned)__builtin_ctzll(words[word]);
}

/* The first tick of a slot, seen from now_tick. */
static inline uint64_t slot_start(const struct wheel *w, unsigned slot)
{
	unsigned shift = slot / WHEEL_SLOTS * WHEEL_SLOT_BITS;
	uint64_t digits_above = w->now_tick >> shift & ~(uint64_t)(WHEEL_SLOTS - 1);

	return (digits_above | slot % WHEEL_SLOTS) << shift;
}

/* now_tick has come to its start. */
static void slot_open(struct wheel *w, unsigned slot)
{
	struct timer **head = &w->slots[0][0] + slot;

	w->opened = *head;
	w->opened->pprev = &w->opened;
	*head = NULL;
	slot_unmark(w, slot);
}

/* Into lower levels, or fired; as many as may be now. */
static void opened_sort(struct wheel *w)
{
	struct timer *t = w->opened, *next;

	for (; t != NULL && w->left > 0; w->left--, t = next) {
		next = t->next;
		insert(w, t, slot_of(w, due_tick(w, t->due_us)));
	}
	w->opened = t;
	if (t != NULL)
		t->pprev = &w->opened;
}

static void advance(struct wheel *w, uint64_t to_tick)
{
	for (;;) {
		unsigned slot;
		uint64_t start;

		opened_sort(w);
		if (w->opened != NULL)
			return;
		if (w->levels == 0)
			break;
		slot = earliest_slot(w);
		start = slot_start(w, slot);
		if (start > to_tick)
			break;
		w->now_tick = start;
		slot_open(w, slot);
	}
	w->now_tick = to_tick;
}

struct timer *wheel_next(struct wheel *w, uint64_t now_us)
{
	uint64_t to_tick = now_us >> w->tick_shift;
	struct timer *t;

	if (now_us != w->asked_us) {
		w->asked_us = now_us;
		w->left = WHEEL_SORTED_MAX;
	}
	if (to_tick > w->now_tick || w->opened != NULL)
		advance(w, to_tick);
	t = w->fired;
	if (t != NULL)
		wheel_cancel(w, t);
	else
		w->asked_us = WHEEL_NEVER;
	return t;
}

uint64_t wheel_next_due(const struct wheel *w)
{
	uint64_t tick;

	if (w->fired != NULL || w->opened != NULL)
		return w->now_tick << w->tick_shift;
	if (w->levels == 0)
		return WHEEL_NEVER;
	tick = slot_start(w, earliest_slot(w));
	return tick > WHEEL_NEVER >> w->tick_shift ? WHEEL_NEVER : tick << w->tick_shift;
}
