/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A shield of our own, as fixture.h has it.
 *
 * Thread: one. Time: none. Memory: the struct; namespaces and all in them go with the process, so
 * nothing is left behind whatever becomes of it. Rules: failure here ends the test program.
 */
#include "fixture.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_xdp.h>

static _Noreturn void skip(const char *why)
{
	fprintf(stderr, "skipped: %s: %s\n", why, strerror(errno));
	exit(EXIT_SKIPPED);
}

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void require_bpf(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "probe", 4, 4, 1, &opts);

	if (fd < 0)
		skip("no BPF or no AF_XDP here");
	close(fd);
}

static int keep_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

void fixture_enter_namespaces(void)
{
	libbpf_set_print(keep_quiet);
	if (geteuid() != 0) {
		errno = EPERM;
		skip("needs root");
	}
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0)
		skip("needs namespaces of its own");
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0700") < 0)
		skip("needs a tmpfs of its own");
	require_bpf();
}

int program_of_link(const char *path)
{
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);
	int link = bpf_obj_get(path), program = -1;

	if (link >= 0 && bpf_obj_get_info_by_fd(link, &info, &len) == 0)
		program = bpf_prog_get_fd_by_id(info.prog_id);
	if (link >= 0)
		close(link);
	return program;
}

int map_of_program(int program, const char *name)
{
	__u32 ids[64], len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = 64, .map_ids = (uintptr_t)ids};

	if (bpf_obj_get_info_by_fd(program, &info, &len) < 0)
		return -1;
	for (__u32 i = 0; i < info.nr_map_ids && i < 64; i++) {
		struct bpf_map_info map = {0};
		__u32 map_len = sizeof(map);
		int fd = bpf_map_get_fd_by_id(ids[i]);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &map, &map_len) == 0 && strcmp(map.name, name) == 0)
			return fd;
		close(fd);
	}
	return -1;
}

int program_run(int program, const void *data, size_t len, int repeat, uint32_t *ns)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (__u32)len,
		    .repeat = repeat);
	int err = bpf_prog_test_run_opts(program, &opts);

	if (ns)
		*ns = opts.duration;
	return err ? err : (int)opts.retval;
}

/* A receive ring is all a socket needs to be let into the map. */
static int xdp_socket(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), entries = 64;

	if (fd < 0 || setsockopt(fd, SOL_XDP, XDP_RX_RING, &entries, sizeof(entries)) < 0)
		fail("AF_XDP socket", strerror(errno));
	return fd;
}

void fixture_open(struct fixture *f)
{
	if (shield_open(&f->shield, FIXTURE_BPFFS, f->error, ERROR_LEN) < 0 ||
	    shield_attach(f->shield, "lo", SHIELD_NATIVE_OR_GENERIC, f->error, ERROR_LEN) < 0)
		fail("fixture", f->error);
	f->program = program_of_link(FIXTURE_BPFFS "/lo/link");
	f->xsks = f->program < 0 ? -1 : map_of_program(f->program, "xsks_map");
	if (f->xsks < 0)
		fail("xsks_map", strerror(errno));
	f->socket = xdp_socket();
}

void fixture_close(struct fixture *f)
{
	close(f->socket);
	close(f->xsks);
	close(f->program);
	if (shield_detach(f->shield, "lo", f->error, ERROR_LEN) < 0)
		fail("fixture", f->error);
	shield_close(f->shield);
}
