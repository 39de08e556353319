/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DATA scanner: a state machine over octets, and a leap over those that cannot change it.
 *
 * Octets whose meaning the next one decides (a CR, a dot that begins a line) are held back until it
 * comes; when that is in another span they are given from constants.
 *
 * Thread, Time, Memory, Rules: data.h.
 */
#include <string.h>

#include "base/octets.h"
#include "smtp/data.h"

enum data_state {
	IN_TEXT,
	AFTER_CR,      /* CR held */
	AT_START,      /* of a line, after CRLF */
	AT_MADE_START, /* of a line that a bare LF began: a dot here is no stuffing, and no end */
	AFTER_DOT,     /* dot held, at the start of a line */
	AFTER_DOT_CR,  /* dot and CR held */
	STATES,
	ENDED = STATES,
};

enum octet_class { TEXT, DOT, CR, LF, NUL, CLASSES };

enum action {
	KEEP,	     /* text; what is held is text too */
	HOLD,	     /* the next octet will tell */
	END_LINE,    /* after a held CR */
	MAKE_END,    /* a bare LF */
	STUFF,	     /* a dot that a next hop would drop */
	UNSTUFF_END, /* a bare LF after a dot that a next hop would drop, or take for the end */
	END,
	FAIL_CR, /* what is held is a bare CR */
	FAIL_NUL,
};

struct step {
	uint8_t action, next;
};

/* A sound message. */
static const struct step steps[STATES][CLASSES] = {
	[IN_TEXT] = {[TEXT] = {KEEP, IN_TEXT},
		     [DOT] = {KEEP, IN_TEXT},
		     [CR] = {HOLD, AFTER_CR},
		     [LF] = {MAKE_END, AT_MADE_START},
		     [NUL] = {FAIL_NUL, 0}},
	[AFTER_CR] = {[TEXT] = {FAIL_CR, 0},
		      [DOT] = {FAIL_CR, 0},
		      [CR] = {FAIL_CR, 0},
		      [LF] = {END_LINE, AT_START},
		      [NUL] = {FAIL_CR, 0}},
	[AT_START] = {[TEXT] = {KEEP, IN_TEXT},
		      [DOT] = {HOLD, AFTER_DOT},
		      [CR] = {HOLD, AFTER_CR},
		      [LF] = {MAKE_END, AT_MADE_START},
		      [NUL] = {FAIL_NUL, 0}},
	[AT_MADE_START] = {[TEXT] = {KEEP, IN_TEXT},
			   [DOT] = {STUFF, IN_TEXT},
			   [CR] = {HOLD, AFTER_CR},
			   [LF] = {MAKE_END, AT_MADE_START},
			   [NUL] = {FAIL_NUL, 0}},
	[AFTER_DOT] = {[TEXT] = {KEEP, IN_TEXT},
		       [DOT] = {KEEP, IN_TEXT},
		       [CR] = {HOLD, AFTER_DOT_CR},
		       [LF] = {UNSTUFF_END, AT_MADE_START},
		       [NUL] = {FAIL_NUL, 0}},
	[AFTER_DOT_CR] = {[TEXT] = {FAIL_CR, 0},
			  [DOT] = {FAIL_CR, 0},
			  [CR] = {FAIL_CR, 0},
			  [LF] = {END, ENDED},
			  [NUL] = {FAIL_CR, 0}},
};

/* A message with a fault: nothing but its end matters. The zeros are IN_TEXT. */
static const uint8_t astray[STATES][CLASSES] = {
	[IN_TEXT] = {[CR] = AFTER_CR},
	[AFTER_CR] = {[CR] = AFTER_CR, [LF] = AT_START},
	[AT_START] = {[DOT] = AFTER_DOT, [CR] = AFTER_CR},
	[AT_MADE_START] = {[CR] = AFTER_CR},
	[AFTER_DOT] = {[CR] = AFTER_DOT_CR},
	[AFTER_DOT_CR] = {[CR] = AFTER_CR, [LF] = ENDED},
};

static const uint8_t field_name[] = "received:";

enum {
	FIELD_NAME_LEN = sizeof(field_name) - 1,
	FIELD_OTHER = UINT8_MAX, /* in field_len: this line is no Received field, or was counted */
	/* Steps after a leap that fell short: so dense are places to stop in input made to be slow
	 * that leaping again at once would cost more. */
	STEPS_LEAST = 8,
	COPIED_MOST = 256, /* octets; a longer piece is given by reference */
	PIECES_A_STEP = 3, /* at most; one more is left over at the end */
};

/* One data_scan. */
struct walk {
	struct data *d;
	struct data_spans *out;
	const uint8_t *at, *end;
	const uint8_t *run;  /* from here on nothing was given yet */
	const uint8_t *held; /* what is held, or NULL when it came before this span */
};

static const uint8_t class_of[256] = {
	['\0'] = NUL,
	['\n'] = LF,
	['\r'] = CR,
	['.'] = DOT,
};

static bool is_holding(const struct data *d)
{
	return d->state == AFTER_CR || d->state == AFTER_DOT || d->state == AFTER_DOT_CR;
}

static void fail(struct data *d, enum data_fault fault)
{
	if (!d->fault)
		d->fault = fault;
}

/* --- giving ----------------------------------------------------------------------------------- */

static bool has_room(const struct data_spans *out)
{
	return out->n + PIECES_A_STEP < SMTP_BODY_SPANS &&
	       out->copied + (PIECES_A_STEP + 1) * COPIED_MOST <= SMTP_BODY_COPIES;
}

static void add_copy(struct data_spans *out, const void *bytes, size_t len)
{
	uint8_t *to = out->copies + out->copied;
	struct span *last = out->n ? &out->spans[out->n - 1] : NULL;

	memcpy(to, bytes, len);
	out->copied += len;
	if (last && last->bytes + last->len == to)
		last->len += len;
	else
		out->spans[out->n++] = (struct span){to, len};
}

static void give(struct walk *w, const void *bytes, size_t len)
{
	if (!len)
		return;
	if (len <= COPIED_MOST)
		add_copy(w->out, bytes, len);
	else
		w->out->spans[w->out->n++] = (struct span){bytes, len};
	w->d->size += len;
	if (w->d->size > w->d->size_max)
		fail(w->d, DATA_TOO_BIG);
}

static void give_run(struct walk *w, const uint8_t *until)
{
	give(w, w->run, (size_t)(until - w->run));
	w->run = until;
}

/* What is held is part of the message after all. When it is in this span, the run has it. */
static void let_go(struct walk *w)
{
	if (is_holding(w->d) && !w->held)
		give(w, w->d->state == AFTER_CR ? "\r" : ".", 1);
}

/* All of the message that is certain by now. */
static void give_certain(struct walk *w)
{
	if (!is_holding(w->d))
		give_run(w, w->at);
	else if (w->held)
		give_run(w, w->held);
}

/* --- lines and fields ------------------------------------------------------------------------- */

static void begin_line(struct data *d)
{
	if (!d->line_len)
		d->in_header = false;
	d->line_len = 0;
	d->field_len = 0;
}

/* Whether this octet ends the name of one Received field too many. */
static bool match_field(struct data *d, uint8_t octet)
{
	if (d->field_len == FIELD_OTHER)
		return false;
	if (octet >= 'A' && octet <= 'Z')
		octet |= 0x20;
	if (octet == field_name[d->field_len] && ++d->field_len < FIELD_NAME_LEN)
		return false;
	if (d->field_len == FIELD_NAME_LEN)
		d->n_received++;
	d->field_len = FIELD_OTHER;
	return d->n_received > SMTP_RECEIVED_MAX;
}

/* What came before it counts first, so that a message that is too big besides is that however it is
 * cut. */
static void add_text(struct walk *w, uint8_t octet)
{
	struct data *d = w->d;
	const bool loops = d->in_header && match_field(d, octet);

	if (++d->line_len <= SMTP_TEXT_LINE_MAX && !loops)
		return;
	give_run(w, w->at);
	fail(d, loops ? DATA_LOOP : DATA_LINE_TOO_LONG);
}

/* --- octet by octet --------------------------------------------------------------------------- */

static void make_line_end(struct walk *w)
{
	give(w, "\r\n", 2);
	w->run = w->at + 1;
	begin_line(w->d);
}

static void act(struct walk *w, enum action action)
{
	struct data *d = w->d;

	switch (action) {
	case KEEP:
		let_go(w);
		add_text(w, *w->at);
		break;
	case HOLD:
		if (!is_holding(d))
			w->held = w->at;
		break;
	case END_LINE:
		let_go(w);
		begin_line(d);
		break;
	case MAKE_END:
		give_run(w, w->at);
		make_line_end(w);
		break;
	case STUFF:
		give_run(w, w->at);
		give(w, ".", 1);
		add_text(w, '.');
		break;
	case UNSTUFF_END:
		if (w->held)
			give_run(w, w->held);
		make_line_end(w);
		break;
	case END:
		if (w->held)
			give_run(w, w->held);
		break;
	case FAIL_CR:
	case FAIL_NUL:
		give_certain(w);
		fail(d, action == FAIL_CR ? DATA_BARE_CR : DATA_NUL);
		break;
	}
	if (!d->normalize && (action == MAKE_END || action == UNSTUFF_END))
		fail(d, DATA_BARE_LF);
}

static void step(struct walk *w)
{
	struct data *d = w->d;
	const enum octet_class class = class_of[*w->at];
	const struct step s = steps[d->state][class];

	act(w, s.action);
	d->state = d->fault ? astray[d->state][class] : s.next;
	w->at++;
}

/* --- leaping ---------------------------------------------------------------------------------- */

static bool may_leap(const struct data *d)
{
	return d->state == AT_START ||
	       (d->state == IN_TEXT && (!d->in_header || d->field_len == FIELD_OTHER));
}

/* What is known of the octets before those looked at. */
struct leap {
	uint64_t after_cr, at_start; /* 1 or 0 */
	uint32_t line_len;	     /* with its CR, behind which only its LF can come */
};

/* How many of the len octets at p, at most OCTETS_AT_ONCE, are text and CRLFs that concern nobody:
 * l then tells of what is behind them. */
static unsigned leap_once(struct leap *l, bool in_header, const uint8_t *p, size_t len)
{
	const octets o = octets_load(p);
	const uint64_t cr = octets_equal(o, '\r'), lf = octets_equal(o, '\n');
	uint64_t stops = octets_equal(o, '.'), bad, lines;
	unsigned n = OCTETS_AT_ONCE;

	if (in_header)
		stops |= cr | octets_equal(o, 'r') | octets_equal(o, 'R');
	bad = ((cr << 1 | l->after_cr) ^ lf) | octets_equal(o, '\0') |
	      ((lf << 1 | l->at_start) & stops);
	if (len < OCTETS_AT_ONCE)
		bad |= 1ULL << len;
	/* Rare, so the octet by octet way counts exactly. */
	if (l->line_len + (lf ? (unsigned)__builtin_ctzll(lf) : n) > SMTP_TEXT_LINE_MAX)
		return 0;
	if (bad) {
		n = (unsigned)__builtin_ctzll(bad);
		if (!n)
			return 0;
	}
	lines = lf << (OCTETS_AT_ONCE - n); /* of the n octets, the last one on top */
	l->after_cr = cr << (OCTETS_AT_ONCE - n) >> 63;
	l->at_start = lines >> 63;
	l->line_len = lines ? (unsigned)__builtin_clzll(lines) : l->line_len + n;
	return n;
}

static void leap(struct walk *w)
{
	struct data *d = w->d;
	struct leap l = {.at_start = d->state == AT_START, .line_len = d->line_len};
	const uint8_t *from = w->at;
	unsigned n = OCTETS_AT_ONCE;

	while (n == OCTETS_AT_ONCE && w->end - w->at >= OCTETS_AT_ONCE) {
		n = leap_once(&l, d->in_header, w->at, OCTETS_AT_ONCE);
		w->at += n;
	}
	if (n == OCTETS_AT_ONCE && w->at < w->end) {
		uint8_t rest[OCTETS_AT_ONCE] = {0};
		size_t len = (size_t)(w->end - w->at);

		memcpy(rest, w->at, len);
		w->at += leap_once(&l, d->in_header, rest, len);
	}
	if (w->at == from)
		return;
	d->state = l.after_cr ? AFTER_CR : l.at_start ? AT_START : IN_TEXT;
	d->line_len = l.line_len;
	d->field_len = l.at_start ? 0 : FIELD_OTHER;
	w->held = w->at - 1; /* if anything */
}

/* --- the whole -------------------------------------------------------------------------------- */

static void walk_sound(struct walk *w)
{
	struct data *d = w->d;
	unsigned steps_left = 0;

	while (w->at < w->end && d->state != ENDED && !d->fault && has_room(w->out)) {
		if (!steps_left && may_leap(d)) {
			leap(w);
			steps_left = STEPS_LEAST;
			continue;
		}
		step(w);
		steps_left -= steps_left > 0;
	}
	if (d->state != ENDED)
		give_certain(w);
}

static void walk_astray(struct walk *w)
{
	struct data *d = w->d;

	while (w->at < w->end && d->state != ENDED) {
		if (d->state == IN_TEXT) {
			const uint8_t *lf = memchr(w->at, '\n', (size_t)(w->end - w->at));
			const uint8_t *to = lf ? lf : w->end;

			if (to > w->at && to[-1] == '\r')
				d->state = AFTER_CR;
			w->at = to;
			if (!lf)
				break;
		}
		d->state = astray[d->state][class_of[*w->at++]];
	}
}

void data_begin(struct data *d, uint64_t size_max, bool normalize)
{
	*d = (struct data){
		.size_max = size_max,
		.state = AT_START,
		.in_header = true,
		.normalize = normalize,
	};
}

bool data_scan(struct data *d, struct span *in, struct data_spans *out)
{
	struct walk w = {
		.d = d,
		.out = out,
		.at = in->bytes,
		.end = in->bytes + in->len,
		.run = in->bytes,
	};

	out->n = out->copied = 0;
	if (!d->fault)
		walk_sound(&w);
	if (d->fault) {
		out->n = 0;
		walk_astray(&w);
	}
	in->len -= (size_t)(w.at - in->bytes);
	in->bytes = w.at;
	return d->state == ENDED;
}
