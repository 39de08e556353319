/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pair of veth interfaces in the process's private network: one with the test's XDP program,
 * the other read and written raw.
 *
 * Thread: the test's. Time: none. Memory: none.
 * Rules: test_private_network comes first; everything ends with the process.
 */
#ifndef POSTERN_TESTS_PORT_VETH_H
#define POSTERN_TESTS_PORT_VETH_H

#include <stdbool.h>
#include <stdint.h>

struct bpf_link;
struct bpf_object;

struct veth {
	char ours[16], theirs[16];
	int raw; /* a packet socket on theirs, non-blocking */
	struct bpf_object *object;
	struct bpf_link *link;
};

/* Makes the pair, both ends up; false: this kernel or these rights do not do. */
bool veth_new(struct veth *v, unsigned queues, unsigned mtu);
/* Attaches the program in the object file at path to our end. */
bool veth_attach(struct veth *v, const char *path);
void veth_free(struct veth *v);

#endif
