/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The conversations there are.
 *
 * Thread, Time, Memory: script.h. Rules: tcp_service's `nul` is the peer, or posternd with its
 * limits as they are and a directory of user0000000@example.net and on.
 */
#include <stddef.h>
#include <string.h>

#include "script.h"
#include "system/services.h"

static const char zeros[NUL_GREETING];

static const struct step nul[] = {
	{STEP_EXPECT, TIMED_GREETING, zeros, NUL_GREETING, false},
	{STEP_SEND, TIMED_NOT, zeros, NUL_COMMAND, false},
	{STEP_EXPECT, TIMED_NOT, zeros, NUL_REPLY, false},
	{.kind = STEP_END},
	{.kind = STEP_SHUT},
	{.kind = STEP_OVER},
};

static const struct step nul_held[] = {
	{STEP_EXPECT, TIMED_GREETING, zeros, NUL_GREETING, false},
	{.kind = STEP_HOLD},
	{STEP_SEND, TIMED_NOT, zeros, NUL_COMMAND, false},
	{STEP_EXPECT, TIMED_NOT, zeros, NUL_REPLY, false},
	{.kind = STEP_END},
	{.kind = STEP_SHUT},
	{.kind = STEP_OVER},
};

#define TEXT(text) (text), sizeof(text) - 1
#define SAY(text)                                              \
	{                                                      \
		STEP_SEND, TIMED_NOT, TEXT(text "\r\n"), false \
	}
#define HEAR(text)                                              \
	{                                                       \
		STEP_EXPECT, TIMED_NOT, TEXT(text "\r\n"), true \
	}
#define ID "(************)"
#define RCPT                                                                         \
	{STEP_SEND, TIMED_NOT, TEXT("RCPT TO:<user#######@example.net>\r\n"), true}, \
		HEAR("250 2.1.5 recipient ok " ID)
#define RCPT_8	RCPT, RCPT, RCPT, RCPT, RCPT, RCPT, RCPT, RCPT
#define RCPT_32 RCPT_8, RCPT_8, RCPT_8, RCPT_8

static const struct step rcpt[] = {
	{STEP_EXPECT, TIMED_GREETING, TEXT("220 mx1.example.net ESMTP " ID "\r\n"), true},
	SAY("EHLO client.example"),
	HEAR("250-mx1.example.net\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n"
	     "250-SIZE 52428800\r\n250 LIMITS RCPTMAX=1000"),
	SAY("MAIL FROM:<a@client.example>"),
	HEAR("250 2.1.0 sender ok " ID),
	RCPT_32,
	RCPT_32,
	RCPT_32,
	SAY("QUIT"),
	HEAR("221 2.0.0 mx1.example.net says goodbye " ID),
	{.kind = STEP_END},
	{.kind = STEP_SHUT},
	{.kind = STEP_OVER},
};

static const struct script scripts[] = {
	{"nul", "a greeting, a command, its reply, the end", nul},
	{"nul-held", "the same, silent between greeting and command until SIGUSR1", nul_held},
	{"rcpt", "mail for 96 recipients that exist, a command a segment, not sent", rcpt},
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
	return s->steps[0].kind == STEP_EXPECT && !s->steps[0].varies ? &s->steps[0] : NULL;
}
