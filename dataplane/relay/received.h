/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Received field that we put before a message: all that is added to it.
 *
 * Thread: any. Time: given, seconds since the epoch. Memory: the caller's.
 * Rules: RFC 5321 4.4 (trace), RFC 3848 (protocol), RFC 5322 3.3 (date). The client's name is what
 * it said; what cannot stand in a domain or a literal there becomes '?', so that no client writes
 * a field, a comment or another host of its choice.
 */
#ifndef POSTERN_RELAY_RECEIVED_H
#define POSTERN_RELAY_RECEIVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "postern/address.h"

struct received {
	struct span hello; /* may be empty */
	struct ip_addr client;
	const char *host;
	struct span id;
	bool extended, over_tls, smtputf8;
	uint32_t now_s;
};

enum { RECEIVED_MAX = 1024 }; /* octets; a name and a host have 255 */

/* Writes the field with its last CRLF; returns its length. */
size_t received_write(const struct received *r, char field[RECEIVED_MAX]);

#endif
