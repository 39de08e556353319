/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How control fails: -errno, and a sentence for the operator in the caller's buffer.
 *
 * Thread: any. Time: none. Memory: the caller's. Rules: a sentence names the thing at fault.
 */
#ifndef POSTERN_CONTROL_ERROR_H
#define POSTERN_CONTROL_ERROR_H

#include <stdarg.h>
#include <stdio.h>

/* Writes the sentence (cut at len) and returns err, a negative errno. */
__attribute__((format(printf, 4, 5))) static inline int error_set(int err, char *error, size_t len,
								  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, len, format, args);
	va_end(args);
	return err;
}

#endif
