/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network of the process's own, and what it takes to furnish it.
 *
 * Thread: main. Time: a clock for deadlines. Memory: none.
 * Rules: everything ends with the process, also when it is killed.
 */
#ifndef POSTERN_TESTS_NETWORK_H
#define POSTERN_TESTS_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

/* Moves the process into a network namespace of its own, which ends with it; ends the process
 * with TEST_SKIPPED where that is not permitted. Before test_eal_start. */
void test_private_network(void);

/* Runs a shell command made of format, quietly; true when it succeeded. */
bool test_command(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the process as skipped for a reason. */
void test_skip(const char *reason) __attribute__((noreturn));

/* A monotonic clock, for deadlines. */
uint64_t test_now_us(void);

#endif
