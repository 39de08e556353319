/* SPDX-License-Identifier: BSD-3-Clause */
/* An EAL for tests. Thread, Time, Memory, Rules: eal.h. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_eal.h>

#include "eal.h"

void test_eal_start_on(const char *name, unsigned cpu)
{
	char prefix[64], lcores[32];
	const char *argv[] = {"test",		"--no-huge",   "--no-shconf",
			      "--no-pci",	"-m",	       "256",
			      "--lcores",	lcores,	       prefix,
			      "--no-telemetry", "--log-level", "*:error"};

	snprintf(prefix, sizeof(prefix), "--file-prefix=postern-%s-%d", name, getpid());
	snprintf(lcores, sizeof(lcores), "0@%u", cpu);
	if (rte_eal_init(RTE_DIM(argv), (char **)argv) < 0) {
		fprintf(stderr, "the EAL does not start\n");
		exit(1);
	}
	/* Nothing is kept in it; removed now, it is gone however the test ends. */
	rmdir(rte_eal_get_runtime_dir());
}

void test_eal_start(const char *name)
{
	test_eal_start_on(name, 0);
}
