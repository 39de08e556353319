/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Internet checksum over octets and over chains.
 *
 * Thread: any. Time: none. Memory: none. Rules: RFC 1071; 32-bit words are added up in 64 bits,
 * so that no carry has to be looked after on the way and the compiler can use vectors.
 */
#include "net/checksum.h"

#include <string.h>

static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

uint64_t checksum_add(const void *octets, size_t len)
{
	const uint8_t *p = octets;
	uint64_t sum = 0;
	uint16_t word = 0;
	size_t i;

	for (i = 0; i + 4 <= len; i += 4)
		sum += load32(p + i);
	if (len & 2) {
		memcpy(&word, p + i, 2);
		sum += word;
		i += 2;
	}
	if (len & 1) {
		word = 0;
		memcpy(&word, p + i, 1);
		sum += word;
	}
	return sum;
}

/* The sum of octets that stand one octet later than they were summed (RFC 1071 2 B). */
static uint64_t byte_swapped(uint64_t sum)
{
	return __builtin_bswap16(checksum_fold(sum));
}

uint64_t checksum_add_chain(const struct rte_mbuf *m, uint32_t offset, uint32_t len)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	while (offset >= m->data_len && len != 0) {
		offset -= m->data_len;
		m = m->next;
	}
	while (done < len) {
		uint32_t here = RTE_MIN(m->data_len - offset, len - done);
		uint64_t part = checksum_add(rte_pktmbuf_mtod_offset(m, uint8_t *, offset), here);

		sum += done % 2 == 0 ? part : byte_swapped(part);
		done += here;
		offset = 0;
		m = m->next;
	}
	return sum;
}

uint64_t checksum_add_pseudo(const struct ip_addr *from, const struct ip_addr *to, uint8_t protocol,
			     uint32_t len)
{
	return checksum_add(from, sizeof(*from)) + checksum_add(to, sizeof(*to)) +
	       rte_cpu_to_be_32(len) + rte_cpu_to_be_16(protocol);
}
