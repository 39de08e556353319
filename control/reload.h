/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directories read anew, one time after the other, by a thread of its own.
 *
 * Thread: reload_new and reload_free by control; all else by any. Time: the wall clock, for when it
 * was done. Memory: the struct, and the roster's second snapshot while one is read.
 * Rules: who asks while one is under way is served by the next, together with all who ask
 * meanwhile: what stands in the files when it is asked for is what will be read.
 */
#ifndef POSTERN_CONTROL_RELOAD_H
#define POSTERN_CONTROL_RELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "control/roster.h"

struct reload;

int reload_new(struct reload **out, struct roster *roster, char *error, size_t len);
/* Breaks off what is under way and waits for that; NULL is allowed. */
void reload_free(struct reload *r);

/* Returns what to compare reload_last's number with. */
uint64_t reload_ask(struct reload *r, bool may_shrink);

/* The last one that is done. */
struct reload_outcome {
	uint64_t number; /* as large as what those who were served by it were told; 0: none */
	time_t done;
	int rc; /* roster_reload's, and its sentence */
	char error[1024];
};
void reload_last(struct reload *r, struct reload_outcome *outcome);

/* An eventfd, readable when one is done. */
int reload_fd(const struct reload *r);

#endif
