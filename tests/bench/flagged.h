/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/* What flagged.bpf.c is told by bench_shield. */
#ifndef POSTERN_TESTS_BENCH_FLAGGED_H
#define POSTERN_TESTS_BENCH_FLAGGED_H

#include <linux/types.h>

struct flagged_plan {
	__u32 device;  /* index of the interface the frames leave by */
	__u32 first;   /* source, host order */
	__u32 sources; /* so many, in turn */
	__u32 at;      /* the next one */
};

#endif
