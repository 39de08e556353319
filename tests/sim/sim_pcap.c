/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thread: one. Time: the caller's. Memory: stdio's.
 * Rules: blocks are written in the machine's byte order, which the format allows; fields are
 * padded to 32 bits.
 */
#include "sim_pcap.h"

#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	LINK_ETHERNET = 1,
	OPTION_NAME = 2,  /* of an interface */
	OPTION_FLAGS = 2, /* of a packet */
};

static uint32_t padded(uint32_t len)
{
	return (len + 3) & ~3U;
}

static void put(FILE *file, const void *bytes, size_t len)
{
	static const uint8_t zeros[4];

	fwrite(bytes, 1, len, file);
	fwrite(zeros, 1, padded((uint32_t)len) - len, file);
}

static void put_u32(FILE *file, uint32_t value)
{
	fwrite(&value, sizeof(value), 1, file);
}

static void put_option_head(FILE *file, uint16_t code, uint16_t len)
{
	const uint16_t head[2] = {code, len};

	fwrite(head, sizeof(head), 1, file);
}

FILE *sim_pcap_open(const char *path)
{
	FILE *file = fopen(path, "wb");

	if (file == NULL)
		return NULL;
	put_u32(file, BLOCK_SECTION);
	put_u32(file, 28);
	put_u32(file, 0x1a2b3c4d);
	put_option_head(file, 1, 0); /* version 1.0 */
	put_u32(file, UINT32_MAX);   /* length of the section: not told */
	put_u32(file, UINT32_MAX);
	put_u32(file, 28);
	return file;
}

void sim_pcap_interface(FILE *file, const char *name)
{
	const uint32_t name_len = (uint32_t)strlen(name), len = 28 + padded(name_len);

	put_u32(file, BLOCK_INTERFACE);
	put_u32(file, len);
	put_u32(file, LINK_ETHERNET);
	put_u32(file, 0); /* no snap length */
	put_option_head(file, OPTION_NAME, (uint16_t)name_len);
	put(file, name, name_len);
	put_option_head(file, 0, 0);
	put_u32(file, len);
}

void sim_pcap_frame(FILE *file, uint32_t interface, enum sim_pcap_direction direction,
		    uint64_t time_us, const uint8_t *bytes, uint32_t len)
{
	const uint32_t block_len = 44 + padded(len);

	put_u32(file, BLOCK_PACKET);
	put_u32(file, block_len);
	put_u32(file, interface);
	put_u32(file, (uint32_t)(time_us >> 32));
	put_u32(file, (uint32_t)time_us);
	put_u32(file, len);
	put_u32(file, len);
	put(file, bytes, len);
	put_option_head(file, OPTION_FLAGS, 4);
	put_u32(file, direction);
	put_option_head(file, 0, 0);
	put_u32(file, block_len);
}
