/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory: flagged_map.h. */
#include "flagged_map.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "postern/shield_map.h"

int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int flagged_map_new(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = sizeof(struct shield_source),
		.value_size = sizeof(struct shield_flag),
		.max_entries = 16,
	};

	return bpf(BPF_MAP_CREATE, &attr);
}
