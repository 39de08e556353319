/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Conversations that take too long, found by a sweep: the sessions lie side by side, so looking at
 * each of them once a SMTP_SWEEP_MS costs less than moving a timer at each command would, needs no
 * octet of a session, and a limit that changes holds at once for all.
 *
 * A sweep goes over the slab in steps spread over its period. What a client is to be blamed for is
 * judged from the time its last line was carried out, so that sending a line octet by octet gains
 * nothing.
 *
 * Thread, Time, Memory: smtp.h. Rules: RFC 5321 4.5.3.2.7 and postern/replies.h.
 */
#include "smtp/session.h"

enum {
	SWEEP_STEP = 256,  /* sessions, 16 KiB: a few microseconds */
	SWEEP_MOST = 1024, /* in a call, when it is late */
	US_PER_MS = 1000,
};

/* Milliseconds are compared modulo 2^32. */
static bool is_past(const struct smtp *m, uint32_t ms)
{
	return (int32_t)(m->now_ms - ms) > 0;
}

/* Under SMTP_RATE_MIN over a whole window? A window that was good makes way for the next. */
static bool is_slow(const struct smtp *m, struct envelope *e)
{
	const uint32_t took_ms = m->now_ms - e->window_ms;
	const uint64_t octets = e->octets - e->window_octets;

	if (!is_past(m, e->window_ms + SMTP_RATE_WINDOW_MS))
		return false;
	if (octets * 1000 < (uint64_t)took_ms * SMTP_RATE_MIN)
		return true;
	e->window_ms = m->now_ms;
	e->window_octets = e->octets;
	return false;
}

/* Under stress: a transaction that keeps its memory, and no message comes. */
static bool is_dawdling(const struct smtp *m, const struct smtp_session *s)
{
	const struct envelope *e = session_envelope(m, s);

	return m->idle_ms == SMTP_IDLE_STRESS_MS && e && s->state != SESSION_BODY &&
	       is_past(m, e->begun_ms + SMTP_OPEN_STRESS_MS);
}

/* The row to refuse it with, or REPLY_NONE. */
static enum reply verdict_on(const struct smtp *m, const struct smtp_session *s)
{
	if (s->state == SESSION_FREE || s->state == SESSION_CLOSING || s->question != SMTP_WAIT ||
	    s->flags & SESSION_HELD)
		return REPLY_NONE;
	if (is_past(m, s->heard_ms + m->idle_ms) || is_dawdling(m, s))
		return REPLY_IDLE_TOO_LONG;
	if (s->state == SESSION_BODY && is_slow(m, session_envelope(m, s)))
		return REPLY_MESSAGE_TOO_SLOW;
	if (is_past(m, s->opened_ms + SMTP_CONVERSATION_MS))
		return REPLY_CONVERSATION_TOO_LONG;
	return REPLY_NONE;
}

/* How far the sweep must have come by now. */
static uint32_t sweep_target(const struct smtp *m)
{
	const uint32_t elapsed_ms = m->now_ms - m->swept_from_ms;

	if (elapsed_ms >= SMTP_SWEEP_MS)
		return m->sessions.touched;
	return (uint32_t)((uint64_t)m->sessions.touched * elapsed_ms / SMTP_SWEEP_MS);
}

/* When it will have SWEEP_STEP more to look at, or all that is left. */
static uint64_t next_step_us(const struct smtp *m, uint64_t now_us)
{
	const uint64_t touched = m->sessions.touched;
	uint64_t to = m->sweep_at + (uint64_t)SWEEP_STEP, ms = SMTP_SWEEP_MS;

	if (to < touched)
		ms = (to * SMTP_SWEEP_MS + touched - 1) / touched;
	ms -= m->now_ms - m->swept_from_ms;
	return (now_us / US_PER_MS + ms) * US_PER_MS;
}

struct smtp_session *smtp_next_overdue(struct smtp *m, uint64_t now_us, enum reply *why)
{
	uint32_t target;

	if (now_us < m->sweep_due_us)
		return NULL;
	m->now_ms = (uint32_t)(now_us / US_PER_MS);
	target = sweep_target(m);
	if (m->sweep_at == m->sweep_piece)
		m->sweep_piece =
			target - m->sweep_at > SWEEP_MOST ? m->sweep_at + SWEEP_MOST : target;
	for (; m->sweep_at < m->sweep_piece; m->sweep_at++) {
		struct smtp_session *s = slab_at(&m->sessions, m->sweep_at);

		*why = verdict_on(m, s);
		if (*why != REPLY_NONE)
			return s;
	}
	if (m->sweep_at < target)
		return NULL; /* and due at once */
	if (m->now_ms - m->swept_from_ms >= SMTP_SWEEP_MS) {
		m->sweep_at = m->sweep_piece = 0;
		m->swept_from_ms = m->now_ms;
	}
	m->sweep_due_us = next_step_us(m, now_us);
	return NULL;
}

uint64_t smtp_next_due(const struct smtp *m)
{
	return m->sessions.in_use ? m->sweep_due_us : UINT64_MAX;
}

void smtp_hold(struct smtp *m, struct smtp_session *s, bool held)
{
	if (s->flags & SESSION_HELD && !held)
		session_heard(m, s);
	s->flags &= (uint16_t)~SESSION_HELD;
	if (held)
		s->flags |= SESSION_HELD;
}

void smtp_stress(struct smtp *m, bool on)
{
	m->idle_ms = on ? SMTP_IDLE_STRESS_MS : SMTP_IDLE_MS;
}
