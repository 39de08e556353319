/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IP addresses as people read them: IPv4 in dots, IPv6 as in RFC 5952, networks with their length.
 *
 * Thread: any. Time: none. Memory: the caller's.
 */
#ifndef POSTERN_ADDRESS_TEXT_H
#define POSTERN_ADDRESS_TEXT_H

#include <arpa/inet.h>
#include <stdio.h>

#include "postern/address.h"

enum {
	IP_ADDR_TEXT = INET6_ADDRSTRLEN,
	IP_NETWORK_TEXT = INET6_ADDRSTRLEN + 4,
};

static inline const char *ip_addr_text(char text[IP_ADDR_TEXT], const struct ip_addr *a)
{
	const bool v4 = ip_addr_is_v4(a);

	return inet_ntop(v4 ? AF_INET : AF_INET6, a->octets + (v4 ? 12 : 0), text, IP_ADDR_TEXT);
}

/* prefix_len as in the mapped form. */
static inline const char *ip_network_text(char text[IP_NETWORK_TEXT], const struct ip_addr *a,
					  unsigned prefix_len)
{
	char bare[IP_ADDR_TEXT];
	const bool v4 = ip_addr_is_v4(a) && prefix_len >= 96;

	snprintf(text, IP_NETWORK_TEXT, "%s/%u", ip_addr_text(bare, a),
		 v4 ? prefix_len - 96 : prefix_len);
	return text;
}

#endif
