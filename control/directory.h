/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directories: the files that say who exists, loaded into a snapshot.
 *
 * Thread: any one at a time that is not a worker; a large one takes seconds. Time: none.
 * Memory: a buffer while it reads; the snapshot is the caller's.
 */
#ifndef POSTERN_CONTROL_DIRECTORY_H
#define POSTERN_CONTROL_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"
#include "postern/recipients.h"

/* What became of a domain's file. */
struct directory_report {
	uint64_t lines, added, repeated, bad_lines;
	bool is_loaded;
	bool is_sharded;   /* a line names another pool than the domain's */
	char trouble[512]; /* why it is not; or its first bad line, FILE:LINE: why; or empty */
};

struct directory_task {
	const struct config *config;
	uint8_t entropy[32]; /* from the kernel's generator */
	/* What the snapshot that is to be replaced was made of, a report a domain; NULL: there is
	 * none. What was loaded then must be loaded now, and its domain says by how much it may
	 * shrink. */
	const struct directory_report *before;
	bool may_shrink; /* all the same */
	/* Asked every MiB; NULL: it goes on to the end. */
	bool (*is_cancelled)(void *arg);
	void *arg;
};

/* A snapshot of all domains, and reports, one a domain. A file that cannot be read, is cut off, has
 * nobody in it (and its domain is no catch-all), or has more bad lines than its domain lets, leaves
 * its domain UNSURE; where that is all of them, or one that was loaded before, the whole fails. 0,
 * or -errno with a sentence in error; -ECANCELED: it was broken off. */
int directory_load(struct recipients **out, const struct directory_task *task,
		   struct directory_report *reports, char *error, size_t len);

/* The same domains and nobody in them: all but postmasters are UNSURE. */
int directory_empty(struct recipients **out, const struct config *config, const uint8_t entropy[32],
		    char *error, size_t len);

#endif
