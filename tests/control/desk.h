/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * All that the control socket's methods ask, in small: a configuration, a roster, verdicts, and
 * doubles for the data plane and the pools.
 *
 * Thread: one. Time: verdicts_now's. Memory: the struct and, below /tmp, a directory that desk_end
 * takes away. Rules: failure here ends the program.
 */
#ifndef POSTERN_TESTS_CONTROL_DESK_H
#define POSTERN_TESTS_CONTROL_DESK_H

#include "control/methods.h"
#include "verdicts.h"

struct desk {
	char folder[64], path[80];
	struct config config;
	struct world world;
	struct methods methods;
};

void desk_begin(struct desk *d, bool observe);
void desk_end(struct desk *d);

#endif
