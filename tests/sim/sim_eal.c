/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thread: the main one. Time: none. Memory: the EAL's.
 * Rules: the EAL pins its threads; the affinity is put back, because simulations that run beside
 * each other would all share one CPU.
 */
#include "sim_eal.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>

static int first_cpu(const cpu_set_t *cpus)
{
	int cpu = 0;

	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, cpus))
		cpu++;
	return cpu;
}

bool sim_eal_start(void)
{
	char line[256], *args[16], *rest = line;
	cpu_set_t cpus;
	int n = 0;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return false;
	snprintf(line, sizeof(line),
		 "sim --no-huge --no-shconf --no-pci --no-telemetry -m 256 --lcores 0@%d "
		 "--log-level error --file-prefix postern-sim-%d",
		 first_cpu(&cpus), (int)getpid());
	while ((args[n] = strsep(&rest, " ")) != NULL)
		n++;
	if (rte_eal_init(n, args) < 0)
		return false;
	/* Nothing is kept in it; removed now, it is gone however the simulation ends. */
	rmdir(rte_eal_get_runtime_dir());
	return sched_setaffinity(0, sizeof(cpus), &cpus) == 0;
}
