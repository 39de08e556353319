/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the recipients' table: digests, and how much of one is compared. A build with fewer bits
 * shows that as many unknown addresses are taken for known ones as the arithmetic says; nothing
 * else should set it.
 */
#ifndef POSTERN_POLICY_RECIPIENTS_PRIVATE_H
#define POSTERN_POLICY_RECIPIENTS_PRIVATE_H

#include <stdint.h>

#include "postern/recipients.h"

#ifndef RECIPIENT_DIGEST_BITS
#define RECIPIENT_DIGEST_BITS 96
#endif

#if RECIPIENT_DIGEST_BITS == 96
#define RECIPIENT_DIGEST_A UINT32_MAX
#define RECIPIENT_DIGEST_B UINT32_MAX
#define RECIPIENT_DIGEST_C UINT32_MAX
#elif RECIPIENT_DIGEST_BITS < 32
#define RECIPIENT_DIGEST_A ((1U << RECIPIENT_DIGEST_BITS) - 1)
#define RECIPIENT_DIGEST_B 0
#define RECIPIENT_DIGEST_C 0
#else
#error "96 bits, or fewer than 32 for a test"
#endif

/* A recipient's name in the table. */
struct digest {
	uint32_t a, b, c, bucket;
};

/* The digest of an address in a domain, and its bucket fetched. False: its local part is empty or
 * too long. */
bool recipients_digest(const struct recipients *r, uint32_t domain, const char *local, size_t len,
		       struct digest *digest);
/* The code of a class and a pool in a domain; 0: too many pools. */
uint32_t recipients_code(struct recipients *r, uint32_t domain, enum recipient_class class,
			 uint16_t pool);
/* As recipients_put, which changes an entry of another code; or as it is when it is not to. */
int recipients_enter(struct recipients *r, uint32_t domain, const struct digest *digest,
		     uint32_t code, bool may_change);

#endif
