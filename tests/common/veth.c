/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pair of veth interfaces in the process's private network: one with the test's XDP program,
 * the other read and written raw.
 *
 * Thread: the test's. Time: none. Memory: none.
 * Rules: names hold the process's number, though the namespace is private already.
 */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "network.h"
#include "veth.h"

static int raw_open(const char *name)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int buffer = 8 << 20;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	if (bind(fd, (struct sockaddr *)&to, sizeof(to))) {
		close(fd);
		return -1;
	}
	return fd;
}

bool veth_new(struct veth *v, unsigned queues, unsigned mtu)
{
	static unsigned made;

	*v = (struct veth){.raw = -1};
	made++;
	snprintf(v->ours, sizeof(v->ours), "pa%d.%u", getpid(), made);
	snprintf(v->theirs, sizeof(v->theirs), "pb%d.%u", getpid(), made);
	if (!test_command("ip link add %s numtxqueues %u numrxqueues %u mtu %u type veth "
			  "peer name %s numtxqueues %u numrxqueues %u mtu %u 2>/dev/null",
			  v->ours, queues, queues, mtu, v->theirs, queues, queues, mtu))
		return false;
	test_command("ip link set %s address 02:00:00:00:00:02 up", v->ours);
	test_command("ip link set %s address 02:00:00:00:00:01 up", v->theirs);
	v->raw = raw_open(v->theirs);
	return v->raw >= 0;
}

/* The driver forgets libxdp's record of a UMEM at each close. Read by LeakSanitizer, if there. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:xsk_umem__create";
}

static int keep_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

bool veth_attach(struct veth *v, const char *path)
{
	struct bpf_program *program;

	libbpf_set_print(keep_quiet);
	v->object = bpf_object__open_file(path, NULL);
	if (!v->object || bpf_object__load(v->object))
		return false;
	program = bpf_object__find_program_by_name(v->object, "xsk_def_prog");
	v->link = bpf_program__attach_xdp(program, (int)if_nametoindex(v->ours));
	return v->link;
}

void veth_free(struct veth *v)
{
	bpf_link__destroy(v->link);
	bpf_object__close(v->object);
	if (v->raw >= 0)
		close(v->raw);
	test_command("ip link del %s", v->ours);
}
