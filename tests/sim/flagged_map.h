/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A map of flagged sources in the kernel, for tests that look at what a worker writes into it.
 *
 * Thread: any. Time: none. Memory: the kernel's, while its descriptor is open.
 */
#ifndef POSTERN_SIM_FLAGGED_MAP_H
#define POSTERN_SIM_FLAGGED_MAP_H

#include <linux/bpf.h>

/* bpf(2). */
int bpf(int command, union bpf_attr *attr);

/* A map like the shield's; -1: not here. */
int flagged_map_new(void);

#endif
