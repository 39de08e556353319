/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Enhanced status codes.
 *
 * Thread: any. Time, Memory: none. Rules: RFC 3463 2.
 */
#ifndef POSTERN_SMTP_STATUS_H
#define POSTERN_SMTP_STATUS_H

#include "base/span.h"

struct status {
	unsigned class, subject, detail;
};

/* Octets of "D.DDD.DDD" at the front of a line that goes on with a blank or ends; 0, and zeroes in
 * *status: there is none. */
size_t status_read(struct span line, struct status *status);

#endif
