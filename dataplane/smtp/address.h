/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mail addresses: a path as MAIL and RCPT give it goes in, the mailbox's canonical form comes out.
 *
 * Two paths name the same mailbox if their canonical forms are equal, octet for octet, but for the
 * case of the local part, which is its domain's to judge (RFC 5321 2.4): the domain is in lower
 * case, a source route is gone, quotes and quoted pairs are gone where a dot-string will do, and
 * are the only ones possible where not.
 *
 * Thread: any. Time: none. Memory: the caller's.
 * Rules: RFC 5321 4.1.2 and 4.1.3 (paths, mailboxes, literals), 4.5.3.1 (lengths; a sender's local
 * part may be longer than 64), appendix C (source routes); RFC 6531 3.3 (UTF-8). A domain may
 * contain `_`, which senders' names do though RFC 1123 2.1 forbids it. A `%` or `!` in a local part
 * means nothing here. U-labels stay as they are: no IDNA tables.
 */
#ifndef POSTERN_SMTP_ADDRESS_H
#define POSTERN_SMTP_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "smtp/limits.h"

enum address_kind {
	ADDRESS_OF_SENDER,    /* may be <>, the null sender: both lengths 0 */
	ADDRESS_OF_RECIPIENT, /* may be <Postmaster>, without a domain */
};

struct address {
	uint16_t local_len, domain_len;
	bool beyond_ascii; /* the mailbox has octets over 127; where malformed, the input */
	uint8_t text[SMTP_ADDRESS_MAX]; /* local part, and with a domain '@' and it */
};

/* Reads a path, '<' to '>', from the front of *in, which goes on behind it. False: malformed; *in
 * stays, and of *a only beyond_ascii means something. */
bool address_read(struct span *in, enum address_kind kind, struct address *a);

static inline uint16_t address_len(const struct address *a)
{
	return (uint16_t)(a->local_len + (a->domain_len ? 1 + a->domain_len : 0));
}

#endif
