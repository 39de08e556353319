/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Advice: what is sound in a configuration, and may be meant otherwise all the same.
 *
 * Thread: control. Time: none. Memory: the stack.
 * Rules: a sentence each, and few of them; nothing of it is an error. What cannot be found out here
 * (an interface that is another machine's) is passed over.
 */
#ifndef POSTERN_CONTROL_ADVICE_H
#define POSTERN_CONTROL_ADVICE_H

#include "control/config.h"
#include "control/roster.h"

typedef void advice_say(const char *sentence);

/* Keys that wait for what is not built yet, and addresses the kernel does not have. */
void advice_on_config(const struct config *config, advice_say *say);

/* Domains whose recipients are of several pools. */
void advice_on_directories(const struct config *config, struct roster *roster, advice_say *say);

#endif
