/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parameters of MAIL and RCPT.
 *
 * Thread: any. Time: none. Memory: none; spans are the input's.
 * Rules: RFC 5321 4.1.1.11 (555 for one that is not recognized), RFC 1870 3 (SIZE), 6152 2 (BODY;
 * BINARYMIME is RFC 3030's, which is not offered), 6531 3.4 (SMTPUTF8), 3461 4 (NOTIFY, ORCPT, RET,
 * ENVID), RFC 6533 3 (ORCPT in UTF-8).
 */
#ifndef POSTERN_SMTP_PARAMETER_H
#define POSTERN_SMTP_PARAMETER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "postern/replies.h"

struct parameters {
	/* MAIL */
	uint64_t size; /* UINT64_MAX: that, or more */
	bool eight_bit_mime, smtputf8;
	uint8_t ret; /* enum smtp_return */
	struct span envid;
	/* RCPT */
	uint8_t notify; /* enum smtp_notify, as bits */
	struct span orcpt;
	bool beyond_ascii; /* it has octets over 127 */
};

enum parameters_of { PARAMETERS_OF_MAIL, PARAMETERS_OF_RCPT };

/* Reads what follows a path: nothing, or blanks and parameters. offered: enum smtp_offer. Returns
 * the row to refuse it with, or REPLY_NONE. */
enum reply parameters_read(struct span in, enum parameters_of command, unsigned offered,
			   struct parameters *p);

#endif
