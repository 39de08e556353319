/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Internet checksum (RFC 1071): a one's complement sum of 16-bit words.
 *
 * Sums are kept in the machine's byte order, which the sum does not mind (RFC 1071 2 B), and
 * folded to 16 bits once at the end. A sum of packets with any octet set is never 0 but 0xffff
 * where the two zeros of one's complement meet, so a good checksum is one that sums to 0xffff.
 *
 * Thread: any. Time: none. Memory: none.
 */
#ifndef POSTERN_NET_CHECKSUM_H
#define POSTERN_NET_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "postern/address.h"

enum { CHECKSUM_GOOD = 0xffff };

/* Sum of len octets, an odd one padded with zero. No carry is lost below 16 GiB. */
uint64_t checksum_add(const void *octets, size_t len);

/* Sum of len octets of a chain from offset on; the chain must hold them. */
uint64_t checksum_add_chain(const struct rte_mbuf *m, uint32_t offset, uint32_t len);

/* Sum of the pseudo-header of TCP or ICMPv6 (RFC 9293 3.1, RFC 8200 8.1). An IPv4-mapped address
 * sums to the same as the IPv4 address in it, because 0xffff is zero in one's complement. */
uint64_t checksum_add_pseudo(const struct ip_addr *from, const struct ip_addr *to, uint8_t protocol,
			     uint32_t len);

/* Folds a sum to 16 bits. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

#endif
