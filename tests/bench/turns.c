/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linked in front of worker_turn (ld's --wrap): how much of its thread's CPU time each turn took
 * that moved a frame, counted in the file POSTERN_TURNS names, a 64-bit number for each 100 ns.
 *
 * Thread: the one worker. Time: CLOCK_THREAD_CPUTIME_ID, read twice a turn, which is in what is
 * counted once. Memory: the file's pages, mapped before main.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct worker;

enum {
	STEP_NS = 100,
	STEPS = 1 << 16, /* the last is for all beyond */
};

uint32_t turn_itself(struct worker *w, uint64_t now_us) __asm__("__real_worker_turn");
uint32_t turn_timed(struct worker *w, uint64_t now_us) __asm__("__wrap_worker_turn");

static uint64_t *turns;

__attribute__((constructor)) static void map_turns(void)
{
	const size_t size = STEPS * sizeof(*turns);
	const char *path = getenv("POSTERN_TURNS");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		goto failed;
	turns = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (turns == MAP_FAILED)
		goto failed;
	close(fd);
	return;
failed:
	perror("POSTERN_TURNS");
	exit(EXIT_FAILURE);
}

static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint32_t turn_timed(struct worker *w, uint64_t now_us)
{
	uint64_t began_ns = thread_ns(), step;
	uint32_t moved = turn_itself(w, now_us);

	step = (thread_ns() - began_ns) / STEP_NS;
	if (moved)
		turns[step < STEPS ? step : STEPS - 1]++;
	return moved;
}
