/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shield's life on an interface: attached, killed, rejoined, replaced under traffic, refused.
 *
 *	gw0 (shield, 10.9.0.1) ======== peer0 (packets by hand, 10.9.0.2)
 *	our network namespace           its own
 *
 * A SYN that leaks to the kernel is answered by a RST, as nobody listens there. Frames stay in
 * order on a veth with one queue, so a RST to a later probe of another port tells that all RSTs
 * from before it have been seen.
 *
 * Thread: one, a sender beside it where there is traffic. Time: the kernel's; a wait has a bound.
 * Memory: the kernel's; namespaces go with the process, also when it is killed. Rules: needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cmocka.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <xdp/xsk.h>

#include "control/nic.h"
#include "fixture.h"
#include "frame.h"

#define OURS	  "10.9.0.1"
#define PEER	  "10.9.0.2"
#define PEER_TOO  "10.9.0.3"
#define BPFFS_OF  "/mnt/postern/%d"
#define LINK_OF	  "/mnt/postern/%d/gw0/link"
#define GW_QUEUES "4"

enum {
	SMTP = 25,
	OTHER_SMTP = 587,
	PROBE_PORT = 1000,
	ANSWER_MS = 5000, /* an answer that takes longer is missing */
	SYNS = 50,
};

struct lab {
	char bpffs[64], link[64], error[ERROR_LEN];
	int gw_ns, peer_ns;
	int wire; /* packet socket on peer0 */
	uint8_t gw_mac[6], peer_mac[6];
	struct shield *shield;
	uint16_t probe;
};

static const struct ip_endpoint *services(void)
{
	static struct ip_endpoint two[2];

	two[0] = (struct ip_endpoint){address_of(OURS), SMTP};
	two[1] = (struct ip_endpoint){address_of(OURS), OTHER_SMTP};
	return two;
}

/* Runs a shell command; its failure ends the test. */
static void __attribute__((format(printf, 1, 2))) run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static void in_namespace(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static int namespace_here(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void veth_up(struct lab *l)
{
	run("ip link add gw0 numrxqueues " GW_QUEUES " numtxqueues 1 type veth "
	    "peer name peer0 numrxqueues 1 numtxqueues 1 netns /proc/%d/fd/%d",
	    (int)getpid(), l->peer_ns);
	run("ethtool -L gw0 rx 1 tx 1");
	run("ip link set lo up; ip addr add " OURS "/24 dev gw0; ip link set gw0 up");
	in_namespace(l->peer_ns);
	run("ip addr add " PEER "/24 dev peer0; ip addr add " PEER_TOO "/24 dev peer0; "
	    "ip link set peer0 up");
	assert_int_equal(nic_mac("peer0", l->peer_mac, l->error, ERROR_LEN), 0);
	in_namespace(l->gw_ns);
	assert_int_equal(nic_mac("gw0", l->gw_mac, l->error, ERROR_LEN), 0);
}

static int packet_socket(const char *ifname)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP));

	at.sll_ifindex = (int)if_nametoindex(ifname);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* IPv6 is off so that nothing crosses the wire on its own but ARP. */
static void quiet_namespace(int *ns)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	*ns = namespace_here();
	run("for all in all default; do "
	    "test ! -d /proc/sys/net/ipv6 || echo 1 > /proc/sys/net/ipv6/conf/$all/disable_ipv6; "
	    "done");
}

static int lab_up(void **state)
{
	static int n;
	struct lab *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	snprintf(l->bpffs, sizeof(l->bpffs), BPFFS_OF, ++n);
	snprintf(l->link, sizeof(l->link), LINK_OF, n);
	l->probe = PROBE_PORT;
	quiet_namespace(&l->peer_ns);
	quiet_namespace(&l->gw_ns);
	veth_up(l);
	in_namespace(l->peer_ns);
	l->wire = packet_socket("peer0");
	in_namespace(l->gw_ns);
	*state = l;
	return 0;
}

static int lab_down(void **state)
{
	struct lab *l = *state;

	shield_close(l->shield);
	close(l->wire);
	run("ip link del gw0; umount %s 2> /dev/null || true", l->bpffs);
	close(l->gw_ns);
	close(l->peer_ns);
	free(l);
	return 0;
}

static void open_shield(struct lab *l)
{
	shield_close(l->shield);
	l->shield = NULL;
	if (shield_open(&l->shield, l->bpffs, l->error, ERROR_LEN) < 0 ||
	    shield_set_services(l->shield, services(), 2, l->error, ERROR_LEN) < 0)
		fail_msg("%s", l->error);
}

static void attach(struct lab *l)
{
	if (shield_attach(l->shield, "gw0", SHIELD_NATIVE, l->error, ERROR_LEN) < 0)
		fail_msg("%s", l->error);
}

static void flag_peer(struct lab *l)
{
	const struct ip_addr peer = address_of(PEER);

	if (shield_flag(l->shield, &peer, 128, UINT64_MAX, l->error, ERROR_LEN) < 0)
		fail_msg("%s", l->error);
}

static uint64_t counted(struct lab *l, enum shield_counter which)
{
	uint64_t n[SHIELD_COUNTERS];

	if (shield_counters(l->shield, n, l->error, ERROR_LEN) < 0)
		fail_msg("%s", l->error);
	return n[which];
}

static void send_syn(const struct lab *l, const char *from, uint16_t from_port, uint16_t to_port)
{
	const struct frame_spec spec = {
		.to_mac = l->gw_mac,
		.from_mac = l->peer_mac,
		.from = from,
		.to = OURS,
		.from_port = from_port,
		.to_port = to_port,
	};
	struct frame f;

	frame_build(&f, &spec);
	/* A full ring on the way is a lost SYN, not a leaked one. */
	if (send(l->wire, f.data, f.len, 0) < 0 && errno != ENOBUFS)
		abort();
}

struct answer {
	uint16_t from_port, to_port;
	uint8_t flags;
};

/* The next TCP segment from the gateway's kernel; false when none comes. */
static bool next_answer(const struct lab *l, struct answer *a)
{
	struct pollfd wait = {.fd = l->wire, .events = POLLIN};
	uint8_t f[2048];

	while (poll(&wait, 1, ANSWER_MS) == 1) {
		struct sockaddr_ll from = {0};
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(l->wire, f, sizeof(f), 0, (struct sockaddr *)&from, &from_len);

		if (n < 54 || from.sll_pkttype == PACKET_OUTGOING || f[23] != IPPROTO_TCP)
			continue;
		a->from_port = (uint16_t)(f[34] << 8 | f[35]);
		a->to_port = (uint16_t)(f[36] << 8 | f[37]);
		a->flags = f[47];
		return true;
	}
	return false;
}

/* Asks a port of the kernel's, and returns how many answers from others came before its own. */
static int leaked_before_probe(struct lab *l, const char *from)
{
	struct answer a;
	int leaked = 0;

	send_syn(l, from, ++l->probe, 22);
	while (next_answer(l, &a)) {
		if (a.from_port == 22 && a.to_port == l->probe) {
			assert_true(a.flags & TCP_RST);
			return leaked;
		}
		leaked++;
	}
	fail_msg("the kernel does not answer the probe");
	return -1;
}

static void syns_without_the_shield_are_reset(void **state)
{
	struct lab *l = *state;

	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 1);
}

static void syns_without_a_socket_are_dropped_not_reset(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	attach(l);
	for (int i = 0; i < SYNS; i++)
		send_syn(l, PEER, (uint16_t)(30000 + i), i % 2 ? SMTP : OTHER_SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_NO_SOCKET), SYNS);
}

/* The kernel takes off any number of priority tags, which name no VLAN, before it looks further. */
static void priority_tags_bring_no_syn_to_the_kernel(void **state)
{
	struct lab *l = *state;
	struct frame_spec spec = {
		.to_mac = l->gw_mac,
		.from_mac = l->peer_mac,
		.from = PEER,
		.to = OURS,
		.from_port = 30000,
		.to_port = SMTP,
		.priority_tags = true,
	};
	struct frame f;

	open_shield(l);
	attach(l);
	for (int tags = 1; tags <= FRAME_TAGS_MAX; tags++) {
		spec.tags[tags - 1] = ETH_P_8021Q;
		frame_build(&f, &spec);
		assert_int_equal(send(l->wire, f.data, f.len, 0), f.len);
		assert_int_equal(leaked_before_probe(l, PEER), 0);
	}
}

static void flagged_address_still_reaches_the_kernels_ssh_port(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	flag_peer(l);
	attach(l);
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_DROP_FLAGGED), 1);
}

static void stranger_gets_an_answer_from_the_kernel_in_our_source_ports(void **state)
{
	const struct ip_endpoint backend = {address_of(PEER), SMTP};
	struct lab *l = *state;

	open_shield(l);
	assert_int_equal(shield_set_backends(l->shield, &backend, 1, l->error, ERROR_LEN), 0);
	shield_set_backend_ports(l->shield, 20000, 20999);
	attach(l);
	send_syn(l, PEER_TOO, SMTP, 20000);
	assert_int_equal(leaked_before_probe(l, PEER), 1);
	send_syn(l, PEER, SMTP, 20000);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_NO_SOCKET), 1);
}

/* A process that attaches the shield, flags the peer, says so and waits for its end. */
static _Noreturn void live_and_wait(struct lab *l, int ready)
{
	const struct ip_addr peer = address_of(PEER);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (shield_open(&l->shield, l->bpffs, l->error, ERROR_LEN) < 0 ||
	    shield_set_services(l->shield, services(), 2, l->error, ERROR_LEN) < 0 ||
	    shield_flag(l->shield, &peer, 128, UINT64_MAX, l->error, ERROR_LEN) < 0 ||
	    shield_attach(l->shield, "gw0", SHIELD_NATIVE, l->error, ERROR_LEN) < 0)
		fprintf(stderr, "%s\n", l->error);
	else if (write(ready, "r", 1) == 1)
		pause();
	_exit(EXIT_FAILURE);
}

static void attach_and_be_killed(struct lab *l)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		live_and_wait(l, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void shield_outlives_kill_9(void **state)
{
	struct lab *l = *state;
	int before, after;

	attach_and_be_killed(l);
	before = program_of_link(l->link);
	assert_true(before >= 0);
	for (int i = 0; i < SYNS; i++) {
		send_syn(l, PEER, (uint16_t)(30000 + i), SMTP);
		send_syn(l, PEER_TOO, (uint16_t)(30000 + i), SMTP);
	}
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	open_shield(l);
	assert_int_equal(counted(l, SHIELD_DROP_FLAGGED), SYNS);
	assert_int_equal(counted(l, SHIELD_NO_SOCKET), SYNS);
	attach(l);
	after = program_of_link(l->link);
	assert_true(after >= 0);
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_DROP_FLAGGED), SYNS + 1);
	close(before);
	close(after);
}

/* A writer may be killed between a flag and its level's bit, or between the level's end and the
 * second look. */
static void level_that_a_crash_left_without_its_bit_is_found_at_start(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	attach(l);
	flag_peer(l);
	atomic_store(shield_levels(l->shield), 0);
	open_shield(l);
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_DROP_FLAGGED), 1);
}

static void close_leaves_it_attached(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	attach(l);
	shield_close(l->shield);
	l->shield = NULL;
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	open_shield(l);
	assert_int_equal(counted(l, SHIELD_NO_SOCKET), 1);
}

struct sender {
	const struct lab *lab;
	atomic_bool stop;
	atomic_uint sent;
};

static void *send_until_stopped(void *arg)
{
	struct sender *s = arg;
	const unsigned n_ports = 20000;

	while (!s->stop) {
		unsigned n = s->sent++;

		send_syn(s->lab, n % 2 ? PEER : PEER_TOO, (uint16_t)(30000 + n % n_ports), SMTP);
	}
	return NULL;
}

static void traffic_start(struct sender *s, pthread_t *thread, const struct lab *l)
{
	*s = (struct sender){.lab = l};
	assert_int_equal(pthread_create(thread, NULL, send_until_stopped, s), 0);
	while (s->sent < 100)
		sched_yield();
}

static void traffic_stop(struct sender *s, pthread_t thread)
{
	s->stop = true;
	pthread_join(thread, NULL);
}

static void restarts_under_traffic_leak_no_syn(void **state)
{
	struct lab *l = *state;
	struct sender sender;
	pthread_t thread;

	open_shield(l);
	flag_peer(l);
	attach(l);
	traffic_start(&sender, &thread, l);
	for (int i = 0; i < 60; i++) {
		unsigned sent = sender.sent;

		open_shield(l);
		attach(l);
		while (sender.sent < sent + 100)
			sched_yield();
	}
	traffic_stop(&sender, thread);
	assert_int_equal(counted(l, SHIELD_PASS), 0);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_true(counted(l, SHIELD_DROP_FLAGGED) >= 1000);
	assert_true(counted(l, SHIELD_NO_SOCKET) >= 1000);
	print_message("%u SYNs over 60 restarts\n", sender.sent);
}

static void replacing_the_services_leaks_no_syn(void **state)
{
	struct ip_endpoint set[3];
	struct lab *l = *state;
	struct sender sender;
	pthread_t thread;

	memcpy(set, services(), 2 * sizeof(*set));
	open_shield(l);
	attach(l);
	traffic_start(&sender, &thread, l);
	for (int i = 0; i < 2000; i++) {
		set[1].port = (uint16_t)(2000 + i);
		set[2] = (struct ip_endpoint){address_of(PEER_TOO), (uint16_t)(1 + i)};
		if (shield_set_services(l->shield, set, 1 + i % 3, l->error, ERROR_LEN) < 0)
			fail_msg("%s", l->error);
	}
	traffic_stop(&sender, thread);
	assert_int_equal(counted(l, SHIELD_PASS), 0);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
}

static void detaching_gives_the_port_back_to_the_kernel(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	attach(l);
	assert_int_equal(shield_detach(l->shield, "gw0", l->error, ERROR_LEN), 0);
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 1);
	assert_int_equal(shield_detach(l->shield, "gw0", l->error, ERROR_LEN), -ENOENT);
	attach(l);
	send_syn(l, PEER, 30001, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
}

static char told_of[64];

static void tell(const char *ifname)
{
	snprintf(told_of + strlen(told_of), sizeof(told_of) - strlen(told_of), "%s ", ifname);
}

static void removing_it_leaves_no_program_and_no_map(void **state)
{
	struct lab *l = *state;
	char path[96];

	run("ip link add gw.5 type veth peer name x0");
	open_shield(l);
	attach(l);
	flag_peer(l);
	assert_int_equal(shield_attach(l->shield, "gw.5", SHIELD_NATIVE, l->error, ERROR_LEN), 0);
	assert_int_equal(shield_remove(l->bpffs, tell, l->error, ERROR_LEN), -EBUSY);
	shield_close(l->shield);
	l->shield = NULL;
	run("ip link del gw.5");
	told_of[0] = '\0';
	assert_int_equal(shield_remove(l->bpffs, tell, l->error, ERROR_LEN), 0);
	assert_non_null(strstr(told_of, "gw0 "));
	assert_non_null(strstr(told_of, "gw.5 "));
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 1);
	snprintf(path, sizeof(path), "%s/maps", l->bpffs);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(shield_remove(l->bpffs, tell, l->error, ERROR_LEN), 0);
	assert_int_equal(shield_remove("/mnt", tell, l->error, ERROR_LEN), -ENOENT);
	assert_non_null(strstr(l->error, "/mnt: there is no shield"));
	open_shield(l);
	attach(l);
	send_syn(l, PEER, 30001, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
}

static int program_of_somebody_else(void)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "somebody", "GPL", pass, 2, NULL);

	assert_true(fd >= 0);
	return fd;
}

static void foreign_program_is_refused(void **state)
{
	struct lab *l = *state;
	int foreign = program_of_somebody_else(), ifindex = (int)if_nametoindex("gw0");

	assert_int_equal(bpf_xdp_attach(ifindex, foreign, 0, NULL), 0);
	open_shield(l);
	assert_int_equal(shield_attach(l->shield, "gw0", SHIELD_NATIVE, l->error, ERROR_LEN),
			 -EBUSY);
	assert_non_null(strstr(l->error, "gw0 has the XDP program 'somebody'"));
	assert_int_equal(access(l->link, F_OK), -1);
	assert_int_equal(bpf_xdp_detach(ifindex, 0, NULL), 0);
	close(foreign);
	attach(l);
}

static void shield_of_another_bpffs_is_refused(void **state)
{
	struct lab *l = *state;
	struct shield *other = NULL;
	char dir[80];

	snprintf(dir, sizeof(dir), "%s/other", l->bpffs);
	open_shield(l);
	attach(l);
	assert_int_equal(shield_open(&other, dir, l->error, ERROR_LEN), 0);
	assert_int_equal(shield_attach(other, "gw0", SHIELD_NATIVE, l->error, ERROR_LEN), -EBUSY);
	shield_close(other);
}

static void shield_that_is_open_is_nobody_elses(void **state)
{
	struct lab *l = *state;
	struct shield *other = NULL;

	open_shield(l);
	attach(l);
	assert_int_equal(shield_open(&other, l->bpffs, l->error, ERROR_LEN), -EBUSY);
	assert_null(other);
	assert_non_null(strstr(l->error, l->bpffs));
	assert_non_null(strstr(l->error, "another posternd has this shield"));
	shield_close(l->shield);
	l->shield = NULL;
	assert_int_equal(shield_open(&other, l->bpffs, l->error, ERROR_LEN), 0);
	shield_close(other);
}

static void interface_made_anew_is_shielded_anew(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	attach(l);
	run("ip link del gw0");
	close(l->wire);
	veth_up(l);
	in_namespace(l->peer_ns);
	l->wire = packet_socket("peer0");
	in_namespace(l->gw_ns);
	assert_int_equal(access(l->link, F_OK), 0);
	attach(l);
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_NO_SOCKET), 1);
}

static void link_of_another_interface_is_refused(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	attach(l);
	run("ip link set gw0 down; ip link set gw0 name old0; "
	    "ip link add gw0 type veth peer name x0");
	assert_int_equal(shield_attach(l->shield, "gw0", SHIELD_NATIVE, l->error, ERROR_LEN),
			 -EEXIST);
	assert_non_null(strstr(l->error, "belongs to interface"));
	run("ip link del old0");
	attach(l);
}

static void pinned_map_of_another_layout_is_refused(void **state)
{
	struct lab *l = *state;
	char path[96];
	int fd;

	open_shield(l);
	shield_close(l->shield);
	l->shield = NULL;
	snprintf(path, sizeof(path), "%s/maps/flagged", l->bpffs);
	assert_int_equal(unlink(path), 0);
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "flagged", 20, 8, SHIELD_FLAGGED_MAX, NULL);
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
	assert_int_equal(shield_open(&l->shield, l->bpffs, l->error, ERROR_LEN), -EEXIST);
	assert_null(l->shield);
	assert_non_null(strstr(l->error, path));
	assert_non_null(strstr(l->error, "another layout"));
	assert_int_equal(unlink(path), 0);
	open_shield(l);
}

static void missing_map_is_made_and_the_others_kept(void **state)
{
	struct lab *l = *state;
	char path[96];

	open_shield(l);
	flag_peer(l);
	snprintf(path, sizeof(path), "%s/maps/config", l->bpffs);
	assert_int_equal(unlink(path), 0);
	open_shield(l);
	assert_int_equal(*shield_levels(l->shield), 1u << SHIELD_V4_32);
	attach(l);
	send_syn(l, PEER, 30000, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_DROP_FLAGGED), 1);
}

static void names_that_cannot_be_shielded_are_refused(void **state)
{
	static const char *const wrong[] = {"", "maps", "a_name_much_too_long_for_it"};
	struct lab *l = *state;

	open_shield(l);
	for (int i = 0; i < 3; i++)
		assert_int_equal(shield_attach(l->shield, wrong[i], SHIELD_NATIVE, l->error,
					       ERROR_LEN),
				 -EINVAL);
	assert_int_equal(shield_attach(l->shield, "gw1", SHIELD_NATIVE, l->error, ERROR_LEN),
			 -ENODEV);
}

static void dotted_name_is_shielded(void **state)
{
	struct lab *l = *state;
	char path[96];

	run("ip link add gw.5 type veth peer name x0");
	open_shield(l);
	assert_int_equal(shield_attach(l->shield, "gw.5", SHIELD_NATIVE, l->error, ERROR_LEN), 0);
	snprintf(path, sizeof(path), "%s/gw:5/link", l->bpffs);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(shield_detach(l->shield, "gw.5", l->error, ERROR_LEN), 0);
	assert_int_equal(access(path, F_OK), -1);
	run("ip link del gw.5");
}

static void generic_mode_is_taken_only_when_asked_for(void **state)
{
	struct lab *l = *state;

	open_shield(l);
	assert_int_equal(shield_attach(l->shield, "lo", SHIELD_NATIVE, l->error, ERROR_LEN),
			 -EOPNOTSUPP);
	assert_int_equal(
		shield_attach(l->shield, "lo", SHIELD_NATIVE_OR_GENERIC, l->error, ERROR_LEN), 0);
	assert_int_equal(shield_detach(l->shield, "lo", l->error, ERROR_LEN), 0);
}

static void directory_that_cannot_be_made_is_refused(void **state)
{
	struct lab *l = *state;

	assert_int_equal(shield_open(&l->shield, "/proc/postern", l->error, ERROR_LEN), -ENOENT);
	assert_non_null(strstr(l->error, "/proc/postern"));
	assert_int_equal(shield_open(&l->shield, "", l->error, ERROR_LEN), -ENAMETOOLONG);
	assert_null(l->shield);
}

static int keep_only(uint64_t capabilities)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	for (int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(capabilities >> (32 * i));
		data[i].permitted = data[i].effective;
	}
	return (int)syscall(SYS_capset, &header, data);
}

static void three_capabilities_suffice_where_the_bpffs_is_mounted(void **state)
{
	struct lab *l = *state;
	int status;
	pid_t pid;

	open_shield(l);
	shield_close(l->shield);
	l->shield = NULL;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bool right = keep_only(1ull << CAP_BPF | 1ull << CAP_NET_ADMIN |
				       1ull << CAP_PERFMON) == 0;

		for (int i = 0; i < 2 && right; i++) {
			shield_close(l->shield);
			l->shield = NULL;
			right = shield_open(&l->shield, l->bpffs, l->error, ERROR_LEN) == 0 &&
				shield_attach(l->shield, "gw0", SHIELD_NATIVE, l->error,
					      ERROR_LEN) == 0;
		}
		if (!right)
			fprintf(stderr, "%s\n", l->error);
		_exit(right ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* What the data plane's port does, by the same library: with its default, which joins the program
 * it finds attached if that looks right to it. */
static void socket_of_libxdp_joins_and_gets_the_syn(void **state)
{
	enum { FRAMES = 64, FRAME_LEN = XSK_UMEM__DEFAULT_FRAME_SIZE };
	struct lab *l = *state;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons complete, rx;
	struct xsk_umem *umem;
	struct xsk_socket *xsk;
	struct pollfd wait = {.events = POLLIN};
	void *area = mmap(NULL, FRAMES * FRAME_LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct xsk_socket_config config = {.rx_size = FRAMES, .tx_size = FRAMES};
	const struct xdp_desc *desc;
	uint32_t at = 0, before = 0, after = 0;

	open_shield(l);
	flag_peer(l);
	attach(l);
	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex("gw0"), 0, &before), 0);
	assert_int_equal(xsk_umem__create(&umem, area, FRAMES * FRAME_LEN, &fill, &complete, NULL),
			 0);
	assert_int_equal(xsk_socket__create(&xsk, "gw0", 0, umem, &rx, &tx, &config), 0);
	assert_int_equal(bpf_xdp_query_id((int)if_nametoindex("gw0"), 0, &after), 0);
	assert_int_equal(before, after);
	assert_int_equal(xsk_ring_prod__reserve(&fill, FRAMES, &at), FRAMES);
	for (uint32_t i = 0; i < FRAMES; i++)
		*xsk_ring_prod__fill_addr(&fill, at + i) = (uint64_t)i * FRAME_LEN;
	xsk_ring_prod__submit(&fill, FRAMES);
	send_syn(l, PEER, 30000, SMTP);
	send_syn(l, PEER_TOO, 30001, SMTP);
	wait.fd = xsk_socket__fd(xsk);
	assert_int_equal(poll(&wait, 1, ANSWER_MS), 1);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(xsk_ring_cons__peek(&rx, FRAMES, &at), 1);
	desc = xsk_ring_cons__rx_desc(&rx, at);
	assert_int_equal(desc->len, 54);
	assert_int_equal(((uint8_t *)area)[desc->addr + 35], 30001 & 0xff);
	assert_int_equal(counted(l, SHIELD_REDIRECT_SMTP), 1);
	assert_int_equal(counted(l, SHIELD_DROP_FLAGGED), 1);
	xsk_socket__delete(xsk);
	xsk_umem__delete(umem);
	munmap(area, FRAMES * FRAME_LEN);
	send_syn(l, PEER_TOO, 30002, SMTP);
	assert_int_equal(leaked_before_probe(l, PEER), 0);
	assert_int_equal(counted(l, SHIELD_NO_SOCKET), 1);
}

static uint32_t rx_queues(struct lab *l, const char *ifname)
{
	uint32_t n;

	if (nic_rx_queues(ifname, &n, l->error, ERROR_LEN) < 0)
		fail_msg("%s", l->error);
	return n;
}

static void queue_without_a_socket_is_set_or_refused(void **state)
{
	struct lab *l = *state;
	uint32_t before, most;

	run("ethtool -L gw0 rx " GW_QUEUES);
	assert_int_equal(rx_queues(l, "gw0"), 4);
	assert_int_equal(nic_require_rx_queues("gw0", 4, &before, l->error, ERROR_LEN), 0);
	assert_int_equal(nic_require_rx_queues("gw0", 2, &before, l->error, ERROR_LEN), 0);
	assert_int_equal(before, 4);
	assert_int_equal(rx_queues(l, "gw0"), 2);
	assert_int_equal(nic_max_rx_queues("gw0", &most, l->error, ERROR_LEN), 0);
	assert_int_equal(most, 4);
	assert_int_equal(nic_require_rx_queues("gw0", 5, &before, l->error, ERROR_LEN), -EINVAL);
	assert_string_equal(l->error, "gw0 receives on 2 queues where 5 sockets would listen, and "
				      "cannot be set to that many: Invalid argument "
				      "(`cores` says how many)");
	assert_int_equal(nic_require_rx_queues("gw0", 0, &before, l->error, ERROR_LEN), -EINVAL);
	assert_int_equal(rx_queues(l, "gw0"), 2);
}

static void driver_that_refuses_is_believed(void **state)
{
	struct lab *l = *state;
	uint32_t before;

	/* A veth keeps a receive queue for each of its peer's, while it has a program. */
	run("ip link add many0 numrxqueues 4 numtxqueues 4 type veth "
	    "peer name many1 numrxqueues 4 numtxqueues 4");
	open_shield(l);
	assert_int_equal(shield_attach(l->shield, "many0", SHIELD_NATIVE, l->error, ERROR_LEN), 0);
	assert_int_equal(nic_require_rx_queues("many0", 1, &before, l->error, ERROR_LEN), -EINVAL);
	assert_int_equal(rx_queues(l, "many0"), 4);
	assert_int_equal(shield_detach(l->shield, "many0", l->error, ERROR_LEN), 0);
	run("ip link del many0");
}

static void interface_without_channels_has_one_queue(void **state)
{
	struct lab *l = *state;
	uint32_t before;

	assert_int_equal(rx_queues(l, "lo"), 1);
	assert_int_equal(nic_max_rx_queues("lo", &before, l->error, ERROR_LEN), 0);
	assert_int_equal(before, 1);
	assert_int_equal(nic_require_rx_queues("lo", 1, &before, l->error, ERROR_LEN), 0);
	assert_int_equal(nic_require_rx_queues("lo", 2, &before, l->error, ERROR_LEN), -EOPNOTSUPP);
}

static void link_address_and_mtu_are_read(void **state)
{
	const uint8_t wanted[6] = {2, 0x11, 0x22, 0x33, 0x44, 0x55};
	struct lab *l = *state;
	uint16_t mtu = 0;
	uint8_t mac[6];

	run("ip link set gw0 address 02:11:22:33:44:55 mtu 1400");
	assert_int_equal(nic_mac("gw0", mac, l->error, ERROR_LEN), 0);
	assert_memory_equal(mac, wanted, 6);
	assert_int_equal(nic_mtu("gw0", &mtu, l->error, ERROR_LEN), 0);
	assert_int_equal(mtu, 1400);
	assert_int_equal(nic_mac("lo", mac, l->error, ERROR_LEN), -EAFNOSUPPORT);
	assert_int_equal(nic_mtu("lo", &mtu, l->error, ERROR_LEN), -ERANGE);
	assert_int_equal(nic_mac("gw1", mac, l->error, ERROR_LEN), -ENODEV);
	assert_int_equal(nic_rx_queues("a_name_much_too_long_for_it", &(uint32_t){0}, l->error,
				       ERROR_LEN),
			 -ENODEV);
}

#define LIFE(f) cmocka_unit_test_setup_teardown(f, lab_up, lab_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIFE(syns_without_the_shield_are_reset),
		LIFE(syns_without_a_socket_are_dropped_not_reset),
		LIFE(priority_tags_bring_no_syn_to_the_kernel),
		LIFE(flagged_address_still_reaches_the_kernels_ssh_port),
		LIFE(stranger_gets_an_answer_from_the_kernel_in_our_source_ports),
		LIFE(shield_outlives_kill_9),
		LIFE(level_that_a_crash_left_without_its_bit_is_found_at_start),
		LIFE(close_leaves_it_attached),
		LIFE(restarts_under_traffic_leak_no_syn),
		LIFE(replacing_the_services_leaks_no_syn),
		LIFE(detaching_gives_the_port_back_to_the_kernel),
		LIFE(removing_it_leaves_no_program_and_no_map),
		LIFE(foreign_program_is_refused),
		LIFE(shield_of_another_bpffs_is_refused),
		LIFE(shield_that_is_open_is_nobody_elses),
		LIFE(interface_made_anew_is_shielded_anew),
		LIFE(link_of_another_interface_is_refused),
		LIFE(pinned_map_of_another_layout_is_refused),
		LIFE(missing_map_is_made_and_the_others_kept),
		LIFE(names_that_cannot_be_shielded_are_refused),
		LIFE(dotted_name_is_shielded),
		LIFE(generic_mode_is_taken_only_when_asked_for),
		LIFE(directory_that_cannot_be_made_is_refused),
		LIFE(three_capabilities_suffice_where_the_bpffs_is_mounted),
		LIFE(socket_of_libxdp_joins_and_gets_the_syn),
		LIFE(queue_without_a_socket_is_set_or_refused),
		LIFE(driver_that_refuses_is_believed),
		LIFE(interface_without_channels_has_one_queue),
		LIFE(link_address_and_mtu_are_read),
	};

	fixture_enter_namespaces();
	return cmocka_run_group_tests_name("the shield's life", tests, NULL, NULL);
}
