/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conversations there are.
 *
 * Thread, Time, Memory: script.h. Rules: tcp_service's `nul` is the peer of all of them.
 */
#include <stddef.h>
#include <string.h>

#include "script.h"
#include "system/services.h"

static const char zeros[NUL_GREETING];

static const struct step nul[] = {
	{STEP_EXPECT, TIMED_GREETING, zeros, NUL_GREETING},
	{STEP_SEND, TIMED_NOT, zeros, NUL_COMMAND},
	{STEP_EXPECT, TIMED_NOT, zeros, NUL_REPLY},
	{.kind = STEP_END},
	{.kind = STEP_SHUT},
	{.kind = STEP_OVER},
};

static const struct step nul_held[] = {
	{STEP_EXPECT, TIMED_GREETING, zeros, NUL_GREETING},
	{.kind = STEP_HOLD},
	{STEP_SEND, TIMED_NOT, zeros, NUL_COMMAND},
	{STEP_EXPECT, TIMED_NOT, zeros, NUL_REPLY},
	{.kind = STEP_END},
	{.kind = STEP_SHUT},
	{.kind = STEP_OVER},
};

static const struct script scripts[] = {
	{"nul", "a greeting, a command, its reply, the end", nul},
	{"nul-held", "the same, silent between greeting and command until SIGUSR1", nul_held},
};

enum { SCRIPTS = sizeof(scripts) / sizeof(scripts[0]) };

const struct script *script_find(const char *name)
{
	for (int i = 0; i < SCRIPTS; i++)
		if (strcmp(scripts[i].name, name) == 0)
			return &scripts[i];
	return NULL;
}

void script_list(FILE *to)
{
	for (int i = 0; i < SCRIPTS; i++)
		fprintf(to, "  %-26s %s\n", scripts[i].name, scripts[i].help);
}

bool script_holds(const struct script *s)
{
	for (const struct step *step = s->steps; step->kind != STEP_OVER; step++)
		if (step->kind == STEP_HOLD)
			return true;
	return false;
}

const struct step *script_greeting(const struct script *s)
{
	return s->steps[0].kind == STEP_EXPECT ? &s->steps[0] : NULL;
}
