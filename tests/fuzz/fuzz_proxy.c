/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A load balancer's header of any octets, and every beginning of it: what is found is found once
 * its last octet has come, not before, and nothing that follows changes it. Whom it names is named
 * again by the header that is written for that, in either version.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay/limits.h"
#include "relay/proxy_header.h"

enum { LEN_MAX = PROXY_OCTETS_MAX + 16, HEAD = 16, V4_AT = 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* From a block of just so many octets, so that a look too far is seen. */
static enum proxy_found read_own(const uint8_t *octets, size_t len, struct proxy_header *h)
{
	uint8_t *own = malloc(len + !len);
	enum proxy_found found;

	assert(own);
	if (len)
		memcpy(own, octets, len);
	memset(h, 0, sizeof(*h));
	found = proxy_read((struct span){own, len}, h);
	free(own);
	return found;
}

static bool is_whole(enum proxy_found found)
{
	return found == PROXY_NAMED || found == PROXY_UNNAMED;
}

static void check_same(const struct proxy_header *a, const struct proxy_header *b)
{
	assert(ip_addr_equal(&a->address, &b->address) && ip_addr_equal(&a->local, &b->local));
	assert(a->port == b->port && a->local_port == b->local_port);
}

/* --- said again ------------------------------------------------------------------------------ */

static void write_text(const struct ip_addr *address, bool v4, char text[INET6_ADDRSTRLEN])
{
	assert(inet_ntop(v4 ? AF_INET : AF_INET6, address->octets + (v4 ? V4_AT : 0), text,
			 INET6_ADDRSTRLEN));
}

static void say_line(const struct proxy_header *h, bool v4)
{
	char address[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN], line[PROXY_LINE_MAX + 1];
	struct proxy_header again;
	int len;

	write_text(&h->address, v4, address);
	write_text(&h->local, v4, local);
	len = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n", v4 ? '4' : '6', address,
		       local, h->port, h->local_port);
	assert(len > 0 && len <= PROXY_LINE_MAX);
	assert(read_own((const uint8_t *)line, (size_t)len, &again) == PROXY_NAMED);
	assert(again.len == (size_t)len);
	check_same(h, &again);
}

static void say_octets(const struct proxy_header *h, bool v4)
{
	const size_t at = v4 ? V4_AT : 0, len = sizeof(h->address.octets) - at;
	uint8_t octets[HEAD + 36] = "\r\n\r\n\0\r\nQUIT\n\x21", *to = octets + HEAD;
	const uint8_t ports[4] = {(uint8_t)(h->port >> 8), (uint8_t)h->port,
				  (uint8_t)(h->local_port >> 8), (uint8_t)h->local_port};
	struct proxy_header again;

	octets[HEAD - 3] = v4 ? 0x11 : 0x21;
	octets[HEAD - 1] = (uint8_t)(2 * len + sizeof(ports));
	memcpy(to, h->address.octets + at, len);
	memcpy(to + len, h->local.octets + at, len);
	memcpy(to + 2 * len, ports, sizeof(ports));
	assert(read_own(octets, HEAD + 2 * len + sizeof(ports), &again) == PROXY_NAMED);
	check_same(h, &again);
}

static void say_again(const struct proxy_header *h)
{
	const bool v4 = ip_addr_is_v4(&h->address) && ip_addr_is_v4(&h->local);

	say_line(h, v4);
	say_octets(h, v4);
}

/* --- a run ----------------------------------------------------------------------------------- */

static void check(const uint8_t *data, size_t len, enum proxy_found all,
		  const struct proxy_header *whole)
{
	enum proxy_found before = PROXY_PART;

	for (size_t cut = 0; cut <= len; cut++) {
		struct proxy_header h;
		enum proxy_found found = read_own(data, cut, &h);

		assert(before == PROXY_PART || found == before);
		assert(found == PROXY_PART || found == all);
		assert(found != PROXY_PART || cut < PROXY_OCTETS_MAX);
		if (is_whole(found)) {
			assert(h.len == whole->len && cut >= h.len);
			check_same(&h, whole);
		} else {
			assert(!is_whole(all) || cut < whole->len);
		}
		before = found;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t len = size < LEN_MAX ? size : LEN_MAX;
	struct proxy_header whole;
	enum proxy_found all = read_own(data, len, &whole);

	check(data, len, all, &whole);
	if (all == PROXY_NAMED)
		say_again(&whole);
	return 0;
}
