/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where memory comes from on machines whose CPUs have memory of their own.
 *
 * Thread: each for itself. Time: none. Memory: none of its own.
 * Rules: it is a wish. A node without memory, a kernel without NUMA or a container that forbids to
 * ask cost speed and nothing else (set_mempolicy(2)).
 */
#ifndef POSTERN_WORKER_NUMA_H
#define POSTERN_WORKER_NUMA_H

/* Pages this thread touches first come from that node from now on; -1: from where it runs. */
void numa_prefer(int node);

#endif
