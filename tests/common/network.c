/* SPDX-License-Identifier: BSD-3-Clause */
/* A network of the process's own. Thread, Time, Memory, Rules: network.h. */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "eal.h"
#include "network.h"

void test_skip(const char *reason)
{
	fprintf(stderr, "skipped: %s\n", reason);
	exit(TEST_SKIPPED);
}

void test_private_network(void)
{
	if (unshare(CLONE_NEWNET))
		test_skip("a network namespace of our own is not permitted");
	if (!test_command("ip link set lo up"))
		test_skip("the ip command is missing");
	/* The kernel shall send nothing we did not ask for. */
	test_command("sysctl -q net.ipv6.conf.all.disable_ipv6=1");
	test_command("sysctl -q net.ipv6.conf.default.disable_ipv6=1");
}

bool test_command(const char *format, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(line))
		return false;
	return system(line) == 0;
}

uint64_t test_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
