/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a router says of a packet that does not fit: ICMP "fragmentation needed" (RFC 792, 1191)
 * and ICMPv6 "packet too big" (RFC 4443).
 *
 * Thread: any. Time: none. Memory: the caller's buffer.
 */
#ifndef POSTERN_SIM_TOO_BIG_H
#define POSTERN_SIM_TOO_BIG_H

#include <stddef.h>
#include <stdint.h>

enum { SIM_TOO_BIG_MAX = 14 + 1280 };

/* Writes the frame that answers an untagged IP frame, as if from its destination, and returns its
 * length; 0: it is no such frame. */
size_t sim_too_big(const uint8_t *frame, size_t len, uint16_t mtu, uint8_t answer[SIM_TOO_BIG_MAX]);

#endif
