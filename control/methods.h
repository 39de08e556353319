/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the control socket can be asked: a table of methods for rpc_new. README.md lists them with
 * their parameters and results.
 *
 * Thread: the socket's; each part is asked as its header lets any thread ask. Time: flags_now_s,
 * and began's clock; of pools CLOCK_MONOTONIC. Memory: the caller's.
 */
#ifndef POSTERN_CONTROL_METHODS_H
#define POSTERN_CONTROL_METHODS_H

#include <time.h>

#include "control/config.h"
#include "control/rpc.h"

struct dataplane;
struct flags;
struct pools;
struct reload;
struct roster;
struct shield;

/* rpc_new's arg. */
struct methods {
	const struct config *config;
	struct dataplane *dataplane;
	struct pools *pools;
	struct roster *roster;
	struct reload *reload; /* NULL: nothing is read anew */
	struct flags *flags;
	struct shield *shield; /* NULL: no kernel */
	time_t began;
};

extern const struct rpc_method control_methods[];

#endif
