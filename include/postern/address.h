/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An IP address of either version, in one form: an IPv4 address is held as the IPv4-mapped IPv6
 * address ::ffff:a.b.c.d (RFC 4291 2.5.5.2), so that tables and flows know one kind of key.
 * The mapped form never appears on a wire.
 */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct ip_addr {
	uint8_t octets[16]; /* network order */
};

static inline bool ip_addr_is_v4(const struct ip_addr *a)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return memcmp(a->octets, mapped, sizeof(mapped)) == 0;
}

/* From four octets in network order. */
static inline struct ip_addr ip_addr_from_v4(const void *octets)
{
	struct ip_addr a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}};

	memcpy(a.octets + 12, octets, 4);
	return a;
}

/* From sixteen octets in network order. */
static inline struct ip_addr ip_addr_from_v6(const void *octets)
{
	struct ip_addr a;

	memcpy(a.octets, octets, 16);
	return a;
}

static inline bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Whether the first len bits of both agree; len 0..128, an IPv4 prefix counts from 96. */
static inline bool ip_addr_match(const struct ip_addr *a, const struct ip_addr *b, unsigned len)
{
	unsigned whole = len / 8, rest = len % 8;

	if (memcmp(a->octets, b->octets, whole) != 0)
		return false;
	return rest == 0 || (a->octets[whole] ^ b->octets[whole]) >> (8 - rest) == 0;
}

/* In mapped form: an IPv4 prefix counts from 96. */
struct ip_network {
	struct ip_addr address; /* bits behind the prefix are zero */
	uint8_t prefix_len;
};

static inline bool ip_networks_hold(const struct ip_network *networks, uint32_t n,
				    const struct ip_addr *a)
{
	for (uint32_t i = 0; i < n; i++)
		if (ip_addr_match(a, &networks[i].address, networks[i].prefix_len))
			return true;
	return false;
}

#endif
