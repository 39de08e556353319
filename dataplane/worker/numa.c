/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thread, Time, Memory, Rules: numa.h.
 */
#include "worker/numa.h"

#include <linux/mempolicy.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void numa_prefer(int node)
{
	enum { NODES = sizeof(unsigned long) * 8 };
	unsigned long mask = node >= 0 && node < NODES ? 1ul << node : 0;

	if (mask)
		(void)syscall(SYS_set_mempolicy, MPOL_PREFERRED, &mask, NODES + 1);
	else
		(void)syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
}
