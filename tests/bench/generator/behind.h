/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mail server behind the gateway: it greets, and whatever line it hears is fine with it. No
 * message comes to it.
 *
 * Thread: the generator's. Time, Memory: none.
 */
#ifndef POSTERN_BENCH_BEHIND_H
#define POSTERN_BENCH_BEHIND_H

#include <stdbool.h>

#include "tcp/tcp.h"

enum { BEHIND_PORT = 25 };

/* Whether a connection is one to it. */
bool behind_is_mine(const struct tcp *t, const struct tcp_conn *c);
void behind_news(struct tcp *t, struct tcp_conn *c, unsigned news);

#endif
