/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a client says and wants to hear: a conversation as a table of steps.
 *
 * Thread: any; the tables are constant. Time, Memory: none.
 * Rules: a table ends with STEP_OVER. The octets a step sends or expects are literal, but for ids
 * of replies and for numbers that are drawn anew each time.
 */
#ifndef POSTERN_TESTS_GENERATOR_SCRIPT_H
#define POSTERN_TESTS_GENERATOR_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum step_kind {
	STEP_EXPECT, /* these octets, one by one */
	STEP_SEND,
	STEP_HOLD, /* open and silent, until clients_release */
	STEP_END,  /* the peer's FIN, and nothing before it */
	STEP_SHUT, /* our FIN; nothing can be sent after it */
	STEP_OVER, /* wait until TCP has both FINs and their ACKs */
	STEP_KINDS,
};

enum { STEP_DRAWN_MAX = 64 }; /* octets of a step with a number */

/* What the time from connecting to the end of a step is entered into. */
enum timed {
	TIMED_NOT,
	TIMED_GREETING,
	TIMED_KINDS,
};

struct step {
	enum step_kind kind;
	enum timed timed;
	const char *octets;
	uint16_t len;
	bool varies; /* its `*` is any octet heard, its `#`s are a number drawn when said */
};

struct script {
	const char *name, *help;
	const struct step *steps;
};

/* NULL: there is none of that name. */
const struct script *script_find(const char *name);
void script_list(FILE *to);

/* Whether it waits for clients_release somewhere. */
bool script_holds(const struct script *s);

/* What it expects first, before it has sent anything; NULL: nothing, or what varies. */
const struct step *script_greeting(const struct script *s);

#endif
