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

/* Addresses the kernel does not have. */
void advice_on_config(const struct config *config, advice_say *say);

#define ADVICE_SYSCTLS "/proc/sys/net/ipv4"

/* Source ports toward backends: none, or some that the kernel takes for itself by the sysctls in
 * folder, which are ADVICE_SYSCTLS. */
void advice_on_ports(const struct config *config, const char *folder, advice_say *say);

/* Domains whose recipients are of several pools. */
void advice_on_directories(const struct config *config, struct roster *roster, advice_say *say);

#endif
