/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Answers of the control socket as a person reads them: aligned tables, times with what is left of
 * them, sentences.
 *
 * Thread: one. Time: given, seconds since the epoch; written in the local zone. Memory: while it
 * prints.
 * Rules: what a string holds may be a peer's: what would command the terminal is written as an
 * escape. A result of another shape than README.md has is printed as it is.
 */
#ifndef POSTERN_CONTROL_PRINT_H
#define POSTERN_CONTROL_PRINT_H

#include <stdio.h>
#include <time.h>

#include <jansson.h>

/* A method's result. is_first: of the pages of a list. */
void print_result(FILE *to, const char *method, const json_t *result, time_t now, int is_first);

/* Text from elsewhere, without what commands a terminal. */
void print_text(FILE *to, const char *text);

#endif
