/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An EAL for tests: no huge pages, no devices, no trace left behind.
 *
 * Thread: main, before anything else of DPDK. Time: none. Memory: 256 MB of address space.
 */
#ifndef POSTERN_TESTS_EAL_H
#define POSTERN_TESTS_EAL_H

enum { TEST_SKIPPED = 77 }; /* tells meson that a test could not run here */

/* Starts the EAL, the caller pinned to that CPU; ends the process with a sentence when it cannot.
 */
void test_eal_start_on(const char *name, unsigned cpu);

/* On CPU 0. */
void test_eal_start(const char *name);

#endif
