/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What measurements share: a thread's time, and the middle of several.
 *
 * Thread: any. Time: CLOCK_THREAD_CPUTIME_ID. Memory: none.
 */
#ifndef POSTERN_TESTS_MEASURE_H
#define POSTERN_TESTS_MEASURE_H

#include <stddef.h>
#include <stdlib.h>
#include <time.h>

/* Of the CPU, that this thread has had. */
static inline double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the values, of which there is one or more; returns their median. */
static inline double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_size);
	return values[n / 2];
}

#endif
