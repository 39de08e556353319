/* SPDX-License-Identifier: BSD-3-Clause */
/* UTF-8. Thread, Time, Memory, Rules: utf8.h. */
#include <stdbool.h>

#include "smtp/utf8.h"

static bool is_tail(uint8_t octet)
{
	return (octet & 0xc0) == 0x80;
}

size_t utf8_len(const uint8_t *p, size_t left)
{
	if (left >= 2 && p[0] >= 0xc2 && p[0] <= 0xdf && is_tail(p[1]))
		return p[0] == 0xc2 && p[1] < 0xa0 ? 0 : 2;
	if (left < 3 || !is_tail(p[1]) || !is_tail(p[2]))
		return 0;
	if (p[0] == 0xe0)
		return p[1] >= 0xa0 ? 3 : 0; /* else there is a shorter form */
	if (p[0] == 0xed)
		return p[1] < 0xa0 ? 3 : 0; /* else it is a surrogate */
	if (p[0] >= 0xe1 && p[0] <= 0xef)
		return 3;
	if (left < 4 || !is_tail(p[3]))
		return 0;
	if (p[0] == 0xf0)
		return p[1] >= 0x90 ? 4 : 0;
	if (p[0] == 0xf4)
		return p[1] < 0x90 ? 4 : 0; /* else it is beyond the last */
	return p[0] >= 0xf1 && p[0] <= 0xf3 ? 4 : 0;
}
