/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PROXY protocol's header, version 2, as we say it to a next hop: who the client is, in binary,
 * before the first word.
 *
 * Thread, Time, Memory: hop.h.
 * Rules: haproxy's proxy-protocol.txt, 2.2. No TLVs.
 */
#include <assert.h>
#include <string.h>

#include "relay/hop_private.h"

enum {
	VERSION_2_LOCAL = 0x20,
	VERSION_2_PROXY = 0x21,
	TCP_OVER_IPV4 = 0x11,
	TCP_OVER_IPV6 = 0x21,
	V4_AT = 12, /* in a mapped address */
};

static void put(struct smtp_out *out, const void *bytes, size_t len)
{
	memcpy(out->bytes + out->len, bytes, len);
	out->len += len;
}

static void put_number(struct smtp_out *out, uint16_t number)
{
	const uint8_t octets[2] = {(uint8_t)(number >> 8), (uint8_t)number};

	put(out, octets, sizeof(octets));
}

/* Nobody's but our own. */
static void put_local(struct smtp_out *out)
{
	static const uint8_t version_and_family[2] = {VERSION_2_LOCAL, 0};

	put(out, version_and_family, sizeof(version_and_family));
	put_number(out, 0);
}

void proxy_write(const struct hop_client *client, struct smtp_out *out)
{
	static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
	static const struct ip_addr nobody;
	/* Addresses are of one family, so where one is IPv6 the other goes mapped. */
	const bool v4 = ip_addr_is_v4(&client->address) && ip_addr_is_v4(&client->local);
	const uint8_t version_and_family[2] = {VERSION_2_PROXY, v4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6};
	const size_t at = v4 ? V4_AT : 0, len = sizeof(client->address.octets) - at;

	assert(out->size - out->len >= HOP_HEADER_PROXY_MAX);
	put(out, signature, sizeof(signature));
	if (memcmp(&client->address, &nobody, sizeof(nobody)) == 0) {
		put_local(out);
		return;
	}
	put(out, version_and_family, sizeof(version_and_family));
	put_number(out, (uint16_t)(2 * len + 2 * sizeof(uint16_t)));
	put(out, client->address.octets + at, len);
	put(out, client->local.octets + at, len);
	put_number(out, client->port);
	put_number(out, client->local_port);
}
