/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The roster: who exists, as control holds it. The snapshot it looks up in is the one that is
 * published to the workers.
 *
 * Thread: roster_new, roster_start and roster_free by control; roster_reload by any thread, where
 * a second caller waits for the first; all else by any at any time. Time: the wall clock, for when
 * it was loaded. Memory: one snapshot, and while it is loaded anew a second one; from roster_start
 * on the data plane owns what is published, so dataplane_stop comes before roster_free, and no
 * lookup between the two.
 * Rules: what cannot be loaded changes nothing. int functions return 0, or -errno with a sentence
 * in error.
 */
#ifndef POSTERN_CONTROL_ROSTER_H
#define POSTERN_CONTROL_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "control/config.h"
#include "control/directory.h"
#include "postern/dataplane.h"
#include "postern/recipients.h"

struct roster;

/* Loads all directories that can be; there must be one. The configuration must stay. is_over is
 * asked while directories are read, now and later (NULL: they are read to the end): once it is
 * true, that is broken off with -ECANCELED. */
int roster_new(struct roster **out, const struct config *config, bool (*is_over)(void), char *error,
	       size_t len);
void roster_free(struct roster *r);

/* Publishes what is loaded, and from now on what is loaded anew. */
void roster_start(struct roster *r, struct dataplane *dataplane);

/* Loads all directories anew. A domain that was loaded and now cannot be leaves all as it was; so
 * does one that shrinks by more than it lets, if not may_shrink. */
int roster_reload(struct roster *r, bool may_shrink, char *error, size_t len);
/* Breaks off the loading that is under way, and each later one. */
void roster_cancel(struct roster *r);

/* -EINVAL: the address is malformed. */
int roster_find(struct roster *r, const char *address, struct recipient_answer *answer, char *error,
		size_t len);

uint64_t roster_count(struct roster *r);

struct roster_status {
	uint64_t recipients;
	uint64_t memory;     /* octets */
	uint32_t not_loaded; /* domains, all of whose recipients are UNSURE */
	time_t loaded;
};
void roster_status(struct roster *r, struct roster_status *status);

/* Of a domain, numbered as in the configuration: its recipients now, and what was said of its
 * directory when it was loaded. */
uint64_t roster_domain(struct roster *r, uint32_t domain, struct directory_report *report);

#endif
