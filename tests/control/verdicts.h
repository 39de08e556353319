/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts for the tests of who keeps them: a harvest of our own, its time, and clients that guess.
 *
 * Thread: one. Time: the test's, verdicts_now. Memory: the struct. Rules: failure here fails the
 * test.
 */
#ifndef POSTERN_TESTS_CONTROL_VERDICTS_H
#define POSTERN_TESTS_CONTROL_VERDICTS_H

#include "control/flags.h"

enum { VERDICTS_START = 1800000000, VERDICTS_ERROR_LEN = 512 };

struct world {
	struct harvest *harvest;
	struct notices *notices;
	struct flags *flags;
	char error[VERDICTS_ERROR_LEN];
};

/* What config.now_s is. */
uint32_t verdicts_now(void *arg);
void verdicts_pass(uint32_t seconds);

/* A harvest and a ring, and the configuration for both; flags are the test's to begin. */
struct flags_config verdicts_begin(struct world *w, bool observe);
void verdicts_flags(struct world *w, const struct flags_config *config);
void verdicts_end(struct world *w);

/* An address of either version as text. */
struct ip_addr verdicts_address(const char *text);
struct ip_network verdicts_network(const char *text);

/* It asks for unknown ones until it is shut out, and the worker tells of it, having told the kernel
 * or not. */
void verdicts_guess(struct world *w, const char *client, bool is_flagged);
/* The same behind a load balancer, and so the kernel is not told. */
void verdicts_guess_behind_a_balancer(struct world *w, const char *client);
/* Without telling anybody. */
void verdicts_guess_silently(struct world *w, const char *client);
/* Clients of a prefix ("192.0.2.") guess, each one recipient, until it is shut out; told of. */
void verdicts_guess_together(struct world *w, const char *prefix);
/* A message to n recipients is delivered for it. */
void verdicts_deliver(struct world *w, const char *client, unsigned n);
enum harvest_standing verdicts_standing(struct world *w, const char *client);

/* One page of all that runs. */
size_t verdicts_list(struct world *w, struct flags_entry *entries, size_t n);

#endif
