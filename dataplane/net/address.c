/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which addresses are ours, and which can be a peer's.
 *
 * Thread: the owning worker. Time: none. Memory: none.
 * Rules: RFC 1122 3.2.1.3, RFC 6890, RFC 4291 2.5 and 2.7. An address belongs to the gateway,
 * not to an interface (the weak host model), as the kernel beside us has it. Directed broadcasts
 * are not known here, since net knows no prefix lengths; TCP to them finds no connection.
 */
#include "net/parse.h"

bool net_is_ours(const struct net *n, const struct ip_addr *a)
{
	for (uint32_t i = 0; i < n->n_addresses; i++) {
		if (ip_addr_equal(&n->addresses[i].ip, a))
			return true;
	}
	return false;
}

static bool can_be_peer4(const uint8_t *a)
{
	static const uint8_t broadcast[4] = {255, 255, 255, 255};

	if (a[0] == 0 || a[0] == 127)
		return false;
	if (a[0] >= 224 && a[0] <= 239)
		return false;
	return memcmp(a, broadcast, sizeof(broadcast)) != 0;
}

static bool can_be_peer6(const struct ip_addr *a)
{
	static const struct ip_addr unspecified, loopback = {{[15] = 1}};

	if (a->octets[0] == 0xff)
		return false;
	return !ip_addr_equal(a, &unspecified) && !ip_addr_equal(a, &loopback);
}

enum parsed net_check_addresses(const struct net *n, const struct ip_addr *from,
				const struct ip_addr *to)
{
	if (!net_is_ours(n, to))
		return PARSED_NOT_OURS;
	if (ip_addr_is_v4(from) ? !can_be_peer4(from->octets + 12) : !can_be_peer6(from))
		return PARSED_BAD_SOURCE;
	/* A packet from us to us is a LAND attack (RFC 6274 3.13), or a loop. */
	if (net_is_ours(n, from))
		return PARSED_BAD_SOURCE;
	return PARSED;
}
