/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shield of our own: in mount and network namespaces that go with the process.
 *
 * Thread: one. Time: none. Memory: the struct. Rules: a machine without root or BPF is reported by
 * exit status 77, which meson counts as skipped.
 */
#ifndef POSTERN_TESTS_BPF_FIXTURE_H
#define POSTERN_TESTS_BPF_FIXTURE_H

#include "control/shield.h"

#define FIXTURE_BPFFS "/mnt/postern/bpf"

enum {
	EXIT_SKIPPED = 77,
	ERROR_LEN = 512,
};

struct fixture {
	struct shield *shield;
	int program; /* as attached to the loopback interface */
	int xsks;    /* its sockets' map */
	int socket;  /* an AF_XDP socket fit to stand in it */
	char error[ERROR_LEN];
};

/* Moves the process into namespaces of its own, with a tmpfs at /mnt; or exits as skipped. */
void fixture_enter_namespaces(void);

/* Opens a shield and attaches it to lo; exits when that fails. */
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);

/* The program behind a pinned link, and one of its maps by name; -1 when there is none. */
int program_of_link(const char *path);
int map_of_program(int program, const char *name);

/* What the program makes of a frame, ns is the mean duration of repeat runs (may be NULL). */
int program_run(int program, const void *data, size_t len, int repeat, uint32_t *ns);

#endif
