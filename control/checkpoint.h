/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harvest's table as a file, so that credit and verdicts outlive the process.
 *
 * Thread: control, beside workers. Time: none; a record tells its own. Memory: a chunk.
 * Rules: 0, or -errno with a sentence in error. A file is taken in whole or not at all.
 */
#ifndef POSTERN_CONTROL_CHECKPOINT_H
#define POSTERN_CONTROL_CHECKPOINT_H

#include <stddef.h>
#include <stdio.h>

#include "postern/harvest.h"

/* In place of the file that is there, which stays until the new one is on the disk. -EINVAL: what
 * is there is no file. */
int checkpoint_save(const struct harvest *h, const char *path, char *error, size_t len);
/* -ENOENT: there is none. -EPROTO: it is of another kind, version or machine. -EBADMSG: it is torn
 * or changed. Any other says nothing of what is in it. */
int checkpoint_load(struct harvest *h, const char *path, char *error, size_t len);

/* The same of an open file that can be read twice; name: as sentences call it. */
int checkpoint_write(const struct harvest *h, FILE *file);
int checkpoint_read(struct harvest *h, FILE *file, const char *name, char *error, size_t len);

#endif
