/* SPDX-License-Identifier: BSD-3-Clause */
/* A span: bytes that belong to somebody else, and how many. */
#ifndef POSTERN_BASE_SPAN_H
#define POSTERN_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>

struct span {
	const uint8_t *bytes;
	size_t len; /* octets */
};

#endif
