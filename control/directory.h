/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directories: the files that say who exists, loaded into a snapshot.
 *
 * Thread: any one at a time that is not a worker; a large one takes seconds. Time: none.
 * Memory: a buffer while it reads; the snapshot is the caller's.
 */
#ifndef POSTERN_CONTROL_DIRECTORY_H
#define POSTERN_CONTROL_DIRECTORY_H

#include "control/config.h"
#include "postern/recipients.h"

/* What became of a domain's file. */
struct directory_report {
	uint64_t lines, added, repeated, bad_lines;
	char first_bad[512]; /* FILE:LINE: why; empty: none is bad */
};

/* A snapshot of all domains. A file that cannot be read, or has more bad lines than its domain
 * lets, fails the whole: 0, or -errno with a sentence in error. reports: one a domain, or NULL. */
int directory_load(struct recipients **out, const struct config *config, const uint8_t entropy[32],
		   struct directory_report *reports, char *error, size_t len);

/* The same domains and nobody in them: all but postmasters are UNSURE. */
int directory_empty(struct recipients **out, const struct config *config, const uint8_t entropy[32],
		    char *error, size_t len);

#endif
