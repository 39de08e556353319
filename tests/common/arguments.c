/* SPDX-License-Identifier: BSD-3-Clause */
/* Arguments, read from text. Thread, Time, Memory: arguments.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"

enum { ADDRESS_TEXT = 64 };

bool argument_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n < min || n > max)
		return false;
	*value = n;
	return true;
}

bool argument_address(const char *text, size_t len, struct ip_addr *address)
{
	char copy[ADDRESS_TEXT];
	uint8_t octets[16];

	if (len >= sizeof(copy))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (inet_pton(AF_INET, copy, octets) == 1)
		*address = ip_addr_from_v4(octets);
	else if (inet_pton(AF_INET6, copy, octets) == 1)
		*address = ip_addr_from_v6(octets);
	else
		return false;
	return true;
}

bool argument_endpoint(const char *text, struct ip_addr *address, uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	const char *from = text, *to = colon;
	struct ip_addr read;
	uint64_t n;

	if (colon && *text == '[' && colon > text && colon[-1] == ']') {
		from++;
		to--;
	} else if (colon && strchr(text, ':') != colon) {
		colon = NULL;
	}
	if (!colon || !argument_address(from, (size_t)(to - from), &read) ||
	    !argument_number(colon + 1, 1, UINT16_MAX, &n))
		return false;
	*address = read;
	*port = (uint16_t)n;
	return true;
}

bool argument_mac(const char *text, uint8_t mac[6])
{
	uint8_t read[6];
	char end;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &read[0], &read[1], &read[2],
		   &read[3], &read[4], &read[5], &end) != 6)
		return false;
	memcpy(mac, read, sizeof(read));
	return true;
}
