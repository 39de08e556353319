/* SPDX-License-Identifier: BSD-3-Clause */
/* UTF-8 as it may be shown to people. Thread: any. Time: none. Memory: none. Rules: RFC 3629 4. */
#ifndef POSTERN_SMTP_UTF8_H
#define POSTERN_SMTP_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Octets of the character at the front of the `left` octets at p; 0 when there is none beyond
 * ASCII. C1 controls are none either: terminals obey them. */
size_t utf8_len(const uint8_t *p, size_t left);

#endif
