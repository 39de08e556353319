/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The EAL for a simulation: memory for mempools, no huge pages, no devices, nothing left behind.
 *
 * Thread: the main one, before any other call. Time: none. Memory: 256 MB of address space.
 */
#ifndef POSTERN_SIM_EAL_H
#define POSTERN_SIM_EAL_H

#include <stdbool.h>

/* Once a process; false: it does not start here. */
bool sim_eal_start(void);

#endif
