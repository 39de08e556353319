/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ASCII letters whatever their case; other octets are themselves, in every locale.
 *
 * Thread: any. Time, Memory: none.
 */
#ifndef POSTERN_BASE_ASCII_H
#define POSTERN_BASE_ASCII_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint8_t ascii_lower(uint8_t octet)
{
	return octet >= 'A' && octet <= 'Z' ? octet | 0x20 : octet;
}

static inline uint8_t ascii_upper(uint8_t octet)
{
	return octet >= 'a' && octet <= 'z' ? octet & (uint8_t)~0x20 : octet;
}

/* Whether the octets are this word, which is in small letters. */
static inline bool ascii_is_word(const void *octets, size_t len, const char *word)
{
	const uint8_t *p = octets;

	if (len != strlen(word))
		return false;
	for (size_t i = 0; i < len; i++)
		if (ascii_lower(p[i]) != (uint8_t)word[i])
			return false;
	return true;
}

#endif
