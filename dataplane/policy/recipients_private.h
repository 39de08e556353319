/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much of a digest is compared. A build with fewer bits shows that as many unknown addresses
 * are taken for known ones as the arithmetic says; nothing else should set it.
 */
#ifndef POSTERN_POLICY_RECIPIENTS_PRIVATE_H
#define POSTERN_POLICY_RECIPIENTS_PRIVATE_H

#include <stdint.h>

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

#endif
