/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thread: any. Time: none. Memory: the caller's buffer.
 * Rules: IPv4 quotes the header and 28 octets (RFC 792 asks for 8), IPv6 as much as fits 1280
 * octets (RFC 4443 section 3.2).
 */
#include "sim_too_big.h"

#include <string.h>

enum {
	ETHERNET = 14,
	IP4 = 20,
	IP6 = 40,
	ICMP = 8,
	IP4_QUOTED = IP4 + 28,
	IP6_QUOTED = 1280 - IP6 - ICMP,
	PROTOCOL_ICMP = 1,
	PROTOCOL_ICMP6 = 58,
};

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t sum16(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)bytes[i] << 8 : bytes[i];
	return sum;
}

static uint32_t fold(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static size_t too_big_v4(const uint8_t *packet, size_t len, uint16_t mtu, uint8_t *out)
{
	const size_t quoted = len < IP4_QUOTED ? len : IP4_QUOTED;
	const size_t total = IP4 + ICMP + quoted;
	uint8_t *icmp = out + IP4;

	memset(out, 0, IP4 + ICMP);
	out[0] = 0x45;
	put16(out + 2, (uint32_t)total);
	out[8] = 64;
	out[9] = PROTOCOL_ICMP;
	memcpy(out + 12, packet + 16, 4);
	memcpy(out + 16, packet + 12, 4);
	put16(out + 10, fold(sum16(out, IP4, 0)));
	icmp[0] = 3; /* destination unreachable: */
	icmp[1] = 4; /* fragmentation needed and DF set */
	put16(icmp + 6, mtu);
	memcpy(icmp + ICMP, packet, quoted);
	put16(icmp + 2, fold(sum16(icmp, ICMP + quoted, 0)));
	return total;
}

static size_t too_big_v6(const uint8_t *packet, size_t len, uint16_t mtu, uint8_t *out)
{
	const size_t quoted = len < IP6_QUOTED ? len : IP6_QUOTED;
	uint8_t *icmp = out + IP6;
	uint32_t sum;

	memset(out, 0, IP6 + ICMP);
	out[0] = 0x60;
	put16(out + 4, (uint32_t)(ICMP + quoted));
	out[6] = PROTOCOL_ICMP6;
	out[7] = 64;
	memcpy(out + 8, packet + 24, 16);
	memcpy(out + 24, packet + 8, 16);
	icmp[0] = 2; /* packet too big */
	put16(icmp + 6, mtu);
	memcpy(icmp + ICMP, packet, quoted);
	sum = (uint32_t)(ICMP + quoted) + PROTOCOL_ICMP6;
	sum = sum16(out + 8, 32, sum);
	put16(icmp + 2, fold(sum16(icmp, ICMP + quoted, sum)));
	return IP6 + ICMP + quoted;
}

size_t sim_too_big(const uint8_t *frame, size_t len, uint16_t mtu, uint8_t answer[SIM_TOO_BIG_MAX])
{
	const uint8_t *packet = frame + ETHERNET;
	const unsigned type = len >= ETHERNET ? (unsigned)frame[12] << 8 | frame[13] : 0;

	if (len < ETHERNET + IP6)
		return 0;
	memcpy(answer, frame + 6, 6);
	memcpy(answer + 6, frame, 6);
	memcpy(answer + 12, frame + 12, 2);
	if (type == 0x0800 && packet[0] >> 4 == 4)
		return ETHERNET + too_big_v4(packet, len - ETHERNET, mtu, answer + ETHERNET);
	if (type == 0x86dd && packet[0] >> 4 == 6)
		return ETHERNET + too_big_v6(packet, len - ETHERNET, mtu, answer + ETHERNET);
	return 0;
}
