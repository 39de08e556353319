/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Command lines out of spans. A line that is whole in its span is used where it is; what comes of
 * one without its end is kept in pieces, and put together when the end comes.
 *
 * Thread, Time, Memory: smtp.h.
 * Rules: RFC 5321 2.3.8 and 4.1.1.1: lines end in CRLF. A bare LF ends one too, but only so that it
 * can be refused at once: to wait for CRLF would leave a client that never sends one without an
 * answer. A line over SMTP_LINE_EXTENDED_MAX is swallowed to its CRLF (4.5.3.1.4).
 */
#include <string.h>

#include "smtp/session.h"

static struct piece *piece_at(const struct smtp *m, uint32_t index)
{
	return slab_at(&m->pieces, index);
}

void line_release(struct smtp *m, struct smtp_session *s)
{
	uint32_t index = s->flags & SESSION_SWALLOWING ? SLAB_NONE : s->line;

	while (index != SLAB_NONE) {
		const uint32_t next = piece_at(m, index)->next;

		slab_give(&m->pieces, index);
		index = next;
	}
	s->line = SLAB_NONE;
	s->flags &= (uint16_t) ~(SESSION_LINE_HERE | SESSION_SWALLOWING | SESSION_SWALLOWED |
				 SESSION_AFTER_CR);
}

/* --- pieces ----------------------------------------------------------------------------------- */

static size_t kept(const struct smtp *m, const struct smtp_session *s)
{
	return s->line == SLAB_NONE ? 0 : piece_at(m, s->line)->len;
}

static uint32_t piece_new(struct smtp *m)
{
	const uint32_t index = slab_take(&m->pieces);

	if (index == SLAB_NONE)
		counter_add(&m->counters->smtp_no_piece, 1);
	else
		piece_at(m, index)->next = SLAB_NONE;
	return index;
}

static bool begin_pieces(struct smtp *m, struct smtp_session *s)
{
	struct piece *first;

	s->line = piece_new(m);
	if (s->line == SLAB_NONE)
		return false;
	first = piece_at(m, s->line);
	first->last = s->line;
	first->len = 0;
	return true;
}

/* False: no room for all of it. */
static bool keep(struct smtp *m, struct smtp_session *s, const uint8_t *bytes, size_t len)
{
	struct piece *first;

	if (s->line == SLAB_NONE && !begin_pieces(m, s))
		return false;
	first = piece_at(m, s->line);
	while (len) {
		struct piece *last = piece_at(m, first->last);
		const size_t used = first->len % PIECE_OCTETS;
		size_t part = PIECE_OCTETS - used;

		if (!used && first->len) {
			last->next = piece_new(m);
			if (last->next == SLAB_NONE)
				return false;
			first->last = last->next;
			last = piece_at(m, first->last);
		}
		if (part > len)
			part = len;
		memcpy(last->bytes + used, bytes, part);
		first->len += (uint32_t)part;
		bytes += part;
		len -= part;
	}
	return true;
}

static struct span put_together(struct smtp *m, const struct smtp_session *s)
{
	const size_t len = kept(m, s);
	size_t at = 0;

	for (uint32_t index = s->line; index != SLAB_NONE; index = piece_at(m, index)->next) {
		const size_t part = len - at < PIECE_OCTETS ? len - at : PIECE_OCTETS;

		memcpy(m->line + at, piece_at(m, index)->bytes, part);
		at += part;
	}
	return (struct span){m->line, len};
}

/* --- lines that are too long ------------------------------------------------------------------ */

static void consume(struct span *in, size_t len)
{
	in->bytes += len;
	in->len -= len;
}

/* len octets without an end are there, or kept, and no more may be. */
static void begin_swallowing(struct smtp *m, struct smtp_session *s, struct span *in, size_t len)
{
	const bool after_cr = in->bytes[len - 1] == '\r';
	const size_t all = kept(m, s) + len;

	consume(in, len);
	line_release(m, s);
	s->swallowed = (uint32_t)all;
	s->flags |= SESSION_SWALLOWING;
	if (after_cr)
		s->flags |= SESSION_AFTER_CR;
}

/* Octets of bytes up to and with the LF of a CRLF; 0: it has not come. */
static size_t crlf_within(const uint8_t *bytes, size_t len, bool after_cr)
{
	const uint8_t *end = bytes + len, *lf;

	for (const uint8_t *at = bytes; at < end; at = lf + 1) {
		lf = memchr(at, '\n', (size_t)(end - at));
		if (!lf)
			break;
		if (lf > bytes ? lf[-1] == '\r' : after_cr)
			return (size_t)(lf + 1 - bytes);
	}
	return 0;
}

static enum line_found swallow(struct smtp_session *s, struct span *in)
{
	size_t len;

	if (s->flags & SESSION_SWALLOWED)
		return LINE_LONG;
	if (!in->len)
		return LINE_NONE;
	len = crlf_within(in->bytes, in->len, s->flags & SESSION_AFTER_CR);
	if (s->swallowed + (len ? len : in->len) > SMTP_SWALLOWED_MAX)
		return LINE_ENDLESS;
	if (len) {
		s->flags |= SESSION_SWALLOWED;
		consume(in, len);
		return LINE_LONG;
	}
	s->swallowed += (uint32_t)in->len;
	s->flags &= (uint16_t)~SESSION_AFTER_CR;
	if (in->bytes[in->len - 1] == '\r')
		s->flags |= SESSION_AFTER_CR;
	consume(in, in->len);
	return LINE_NONE;
}

/* --- the next line ---------------------------------------------------------------------------- */

enum line_found line_find(struct smtp *m, struct smtp_session *s, struct span *in,
			  struct span *line)
{
	const uint8_t *lf;
	size_t most, len;

	if (s->flags & SESSION_STARVED)
		return LINE_NO_ROOM;
	if (s->flags & SESSION_LINE_HERE) {
		*line = put_together(m, s);
		return LINE_WHOLE;
	}
	if (s->flags & SESSION_SWALLOWING)
		return swallow(s, in);
	if (!in->len)
		return LINE_NONE;
	most = SMTP_LINE_EXTENDED_MAX - kept(m, s);
	len = in->len < most ? in->len : most;
	lf = memchr(in->bytes, '\n', len);
	if (!lf && len == most) {
		begin_swallowing(m, s, in, len);
		return swallow(s, in);
	}
	if (lf)
		len = (size_t)(lf + 1 - in->bytes);
	if (lf && s->line == SLAB_NONE) {
		*line = (struct span){in->bytes, len};
		return LINE_WHOLE;
	}
	if (!keep(m, s, in->bytes, len)) {
		s->flags |= SESSION_STARVED;
		return LINE_NO_ROOM;
	}
	consume(in, len);
	if (!lf)
		return LINE_NONE;
	s->flags |= SESSION_LINE_HERE;
	*line = put_together(m, s);
	return LINE_WHOLE;
}

void line_done(struct smtp *m, struct smtp_session *s, struct span *in, const struct span *line)
{
	if (s->line == SLAB_NONE)
		consume(in, line->len);
	else
		line_release(m, s);
}
