/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the timer wheel costs with many timers armed: `bench_wheel [timers]`, default 1,000,000.
 *
 * Each timer sits in a record of 256 octets, as it would in a connection, so that the caches see
 * what they would see. Re-arming is measured in the order a table is walked in and at random,
 * with the due times a TCP has: 200 ms to 3 s ahead, while time goes on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/wheel.h"
#include "measure.h"

enum {
	HUGE_PAGE = 2 << 20,
	TICK_SHIFT = 10,
	REARMS = 10 * 1000 * 1000,
	BATCH = 32, /* re-arms a microsecond of the wheel's time */
};

struct record {
	struct timer timer;
	uint8_t rest[256 - sizeof(struct timer)];
};

static uint64_t random_state = 1;

static inline uint64_t random_u64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static inline uint64_t random_due(uint64_t now_us)
{
	return now_us + 200000 + random_u64() % 2800000;
}

/* On huge pages where the kernel has them, as a worker's table is. */
static struct record *records_new(uint64_t n)
{
	size_t size = (n * sizeof(struct record) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	struct record *records = aligned_alloc(HUGE_PAGE, size);

	if (records != NULL) {
		madvise(records, size, MADV_HUGEPAGE);
		memset(records, 0, size);
	}
	return records;
}

static void report(const char *what, double took, uint64_t n)
{
	printf("%-28s %8.1f ns\n", what, took * 1e9 / (double)n);
}

/* The cost of choosing whom and when, which the rows below contain too. */
static void measure_choice(const struct record *records, uint64_t n)
{
	uint64_t sum = 0;
	double begin = cpu_seconds();

	for (uint64_t i = 0; i < REARMS; i++) {
		uint64_t due_us = random_due(i);

		sum += due_us + records[random_u64() % n].timer.due_us;
	}
	report("choice and one cache miss", cpu_seconds() - begin, REARMS);
	if (sum == 0)
		puts("");
}

static uint64_t measure_rearm(const char *what, struct wheel *w, struct record *records, uint64_t n,
			      uint64_t now_us, bool at_random)
{
	uint64_t fired = 0;
	double begin = cpu_seconds();
	struct timer *t;

	for (uint64_t i = 0; i < REARMS; i++) {
		uint64_t at = at_random ? random_u64() % n : i % n;

		wheel_arm(w, &records[at].timer, random_due(now_us));
		if (i % BATCH != 0)
			continue;
		now_us++;
		while ((t = wheel_next(w, now_us)) != NULL) {
			fired++;
			wheel_arm(w, t, random_due(now_us));
		}
	}
	report(what, cpu_seconds() - begin, REARMS + fired);
	return now_us;
}

int main(int argc, char **argv)
{
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000, now_us = 0;
	struct record *records = n > 0 ? records_new(n) : NULL;
	struct wheel *w = malloc(sizeof(*w));
	double begin;

	if (records == NULL || w == NULL) {
		fputs("bench_wheel: no memory for so many timers\n", stderr);
		free(records);
		free(w);
		return 1;
	}
	wheel_init(w, now_us, TICK_SHIFT);
	printf("%" PRIu64 " timers, %zu octets a wheel\n", n, sizeof(*w));
	for (uint64_t i = 0; i < n; i++)
		wheel_arm(w, &records[i].timer, random_due(now_us));
	measure_choice(records, n);
	now_us = measure_rearm("re-arm, in order", w, records, n, now_us, false);
	now_us = measure_rearm("re-arm, at random", w, records, n, now_us, true);
	begin = cpu_seconds();
	while (w->armed > 0)
		wheel_next(w, now_us + 10000000);
	report("fire, all at once", cpu_seconds() - begin, n);
	free(records);
	free(w);
	return 0;
}
