/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DATA scanner: finds the end of a message, and what must not be in one, at memory's speed.
 *
 * Octets of the client's go in; out come the spans a next hop is sent after its own 354:
 * dot-stuffed as they came, every line ended by CRLF, no CR or LF for anything else, no NUL, and
 * nowhere CRLF.CRLF, so that no next hop, however it reads lines, can see an end where there is
 * none. Where a line is made of a bare LF, its CRLF and the dot to stuff it are inserted; all else
 * is the input, by reference. The line of one dot at the end is reported, not given.
 *
 * Undoing the stuffing of what comes out gives what undoing the stuffing of what went in gives, but
 * for bare LFs, which are CRLFs.
 *
 * Thread: the owner only. Time: none. Memory: none; the state is a few octets, so that the input
 * may be cut anywhere.
 * Rules: RFC 5321 4.1.1.4 (only CRLF.CRLF ends data; the CRLF of the DATA command counts for the
 * first), 4.5.2 (transparency), 4.5.3.1.6 (text lines), 2.3.8 (no bare CR or LF), 6.3 (loops);
 * RFC 1870 6.1 (size). A message with a fault is read to its true end all the same: the client
 * would take the reply for one to a later command otherwise.
 */
#ifndef POSTERN_SMTP_DATA_H
#define POSTERN_SMTP_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "smtp/limits.h"

enum data_fault {
	DATA_SOUND,
	DATA_BARE_LF, /* where it is not to be normalized */
	DATA_BARE_CR,
	DATA_NUL,
	DATA_LINE_TOO_LONG,
	DATA_TOO_BIG,
	DATA_LOOP,
};

struct data {
	uint64_t size; /* octets given so far */
	uint64_t size_max;
	uint32_t line_len;  /* octets of text in the line so far, its stuffing left out */
	uint8_t state;	    /* data.c */
	uint8_t fault;	    /* the first, enum data_fault; from then on nothing is given */
	uint8_t n_received; /* Received fields */
	uint8_t field_len;  /* of this line, matched with "Received:" */
	bool in_header;
	bool normalize;
};

/* What one scan gives. Short pieces are copied together, so that input made of them costs those who
 * handle spans no more than other input does. */
struct data_spans {
	size_t n;
	struct span spans[SMTP_BODY_SPANS];
	size_t copied;
	uint8_t copies[SMTP_BODY_COPIES];
};

/* normalize: a bare LF ends a line, else it is a fault. */
void data_begin(struct data *d, uint64_t size_max, bool normalize);

/* Reads from the front of *in, which goes on behind what was read: all, unless the end came (true)
 * or *out is full. The spans are valid as long as the input. */
bool data_scan(struct data *d, struct span *in, struct data_spans *out);

#endif
