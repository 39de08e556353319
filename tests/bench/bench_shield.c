/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_shield OBJECT SOURCES SECONDS [FLAGGED]: what a kernel spends on a SYN from a flagged
 * source, by our program and by ipset with iptables' raw table. Two veth pairs, one with each, take
 * frames as fast as OBJECT (flagged.bpf.o) makes them, in turn; the receiving end's NAPI is a
 * thread of its own, whose CPU time is divided by what it dropped. Prints both in nanoseconds.
 *
 * Thread: main, and the NAPI threads on the same CPU: so each burst is received in one go, and the
 * figure hangs neither on who is faster nor on what the other CPUs do. Time: CLOCK_MONOTONIC, and
 * the scheduler's account of the threads. Memory: the kernel's.
 * Rules: all is in namespaces of the process's own, which end with it. Every frame that arrives is
 * dropped and counted, and a neighbour's passes, or there is no figure:
 * with fewer FLAGGED than send there is none.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>

#include "common/network.h"
#include "common/veth.h"
#include "control/shield.h"
#include "flagged.h"

#define BPFFS "/mnt/postern/bpf"
#define SYSFS "/mnt/sys"

enum {
	FIRST_SOURCE = 0x0a000000, /* 10.0.0.0 */
	NEIGHBOUR = 0x0b000001,
	OURS = 0xc0000201, /* 192.0.2.1 */
	SMTP = 25,
	SLICES = 40, /* of each, in turn */
	BURST = 256, /* frames under way at once: what the pair has room for */
	ROUND = 1 << 14,
	ERROR_LEN = 512,
	PATIENCE_US = 10000000,
};

/* A pair whose one end drops, and how it tells what it dropped. */
struct side {
	const char *name;
	struct veth veth;
	pid_t napi;
	uint64_t (*dropped)(void);
	double ns[SLICES];
};

static struct shield *shield;
static int source_program, plan_map;

static void need(bool well, const char *what)
{
	if (!well)
		errx(EXIT_FAILURE, "%s: %s", what, strerror(errno));
}

/* --- what is dropped ------------------------------------------------------------------------- */

static uint64_t dropped_by_shield(void)
{
	uint64_t sum[SHIELD_COUNTERS];
	char error[ERROR_LEN];

	if (shield_counters(shield, sum, error, ERROR_LEN))
		errx(EXIT_FAILURE, "%s", error);
	return sum[SHIELD_DROP_FLAGGED];
}

static uint64_t dropped_by_iptables(void)
{
	FILE *rules = popen("iptables-legacy -t raw -nvxL PREROUTING", "r");
	char line[512];
	uint64_t packets = 0;
	bool found = false;

	need(rules, "iptables");
	while (fgets(line, sizeof(line), rules))
		if (strstr(line, " DROP "))
			found = sscanf(line, "%" SCNu64, &packets) == 1;
	if (pclose(rules) || !found)
		errx(EXIT_FAILURE, "iptables does not tell its counters");
	return packets;
}

static uint64_t received(const struct side *s)
{
	char path[128];
	uint64_t packets = 0;
	FILE *file;

	snprintf(path, sizeof(path), SYSFS "/class/net/%s/statistics/rx_packets", s->veth.ours);
	file = fopen(path, "r");
	need(file && fscanf(file, "%" SCNu64, &packets) == 1, path);
	fclose(file);
	return packets;
}

/* --- the NAPI thread ------------------------------------------------------------------------- */

/* The thread's name begins with the interface's, which holds our process's number. */
static pid_t napi_thread(const char *device)
{
	DIR *processes = opendir("/proc");
	char wanted[32], path[64], name[64];
	pid_t found = 0;

	need(processes, "/proc");
	snprintf(wanted, sizeof(wanted), "napi/%s-", device);
	for (struct dirent *e; !found && (e = readdir(processes));) {
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%.16s/comm", e->d_name);
		file = strtol(e->d_name, NULL, 10) > 0 ? fopen(path, "r") : NULL;
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file) && !strncmp(name, wanted, strlen(wanted)))
			found = (pid_t)strtol(e->d_name, NULL, 10);
		fclose(file);
	}
	closedir(processes);
	return found;
}

static uint64_t cpu_ns(pid_t thread)
{
	char path[64];
	uint64_t ns = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", thread);
	file = fopen(path, "r");
	need(file && fscanf(file, "%" SCNu64, &ns) == 1, path);
	fclose(file);
	return ns;
}

/* To the last CPU of those we may use. */
static void pin(pid_t thread, const cpu_set_t *allowed)
{
	cpu_set_t one;
	int cpu = CPU_SETSIZE - 1;

	while (!CPU_ISSET(cpu, allowed))
		cpu--;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	need(!sched_setaffinity(thread, sizeof(one), &one), "affinity");
	need(!setpriority(PRIO_PROCESS, (id_t)thread, -19), "priority");
}

static void make_threaded(struct side *s, const cpu_set_t *allowed)
{
	char path[128];
	int file;

	snprintf(path, sizeof(path), SYSFS "/class/net/%s/threaded", s->veth.ours);
	file = open(path, O_WRONLY | O_CLOEXEC);
	need(file >= 0 && write(file, "1", 1) == 1, path);
	close(file);
	s->napi = napi_thread(s->veth.ours);
	need(s->napi, "the thread that receives");
	pin(s->napi, allowed);
}

/* --- setting up ------------------------------------------------------------------------------ */

static void enter_namespaces(void)
{
	need(!unshare(CLONE_NEWNS), "a mount namespace");
	test_private_network();
	need(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		     !mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0700") && !mkdir(SYSFS, 0700) &&
		     !mount("sysfs", SYSFS, "sysfs", 0, NULL),
	     "mounts of our own");
}

static struct ip_addr v4(uint32_t number)
{
	number = htonl(number);
	return ip_addr_from_v4(&number);
}

static void shield_up(const char *device, uint32_t sources)
{
	const struct ip_endpoint smtp = {v4(OURS), SMTP};
	char error[ERROR_LEN];
	int err = shield_open(&shield, BPFFS, error, ERROR_LEN);

	if (!err)
		err = shield_set_services(shield, &smtp, 1, error, ERROR_LEN);
	if (!err)
		err = shield_attach(shield, device, SHIELD_NATIVE, error, ERROR_LEN);
	for (uint32_t i = 0; !err && i < sources; i++) {
		struct ip_addr source = v4(FIRST_SOURCE + i);

		err = shield_flag(shield, &source, 128, UINT64_MAX, error, ERROR_LEN);
	}
	if (err)
		errx(EXIT_FAILURE, "%s", error);
}

/* The least there is to it: no look at protocol and port. */
static void ipset_up(const char *device, uint32_t sources)
{
	FILE *set = popen("ipset restore", "w");

	need(set, "ipset");
	fprintf(set, "create flagged hash:ip maxelem %u\n", sources);
	for (uint32_t i = 0; i < sources; i++) {
		const struct in_addr source = {htonl(FIRST_SOURCE + i)};

		fprintf(set, "add flagged %s\n", inet_ntoa(source));
	}
	if (pclose(set) ||
	    !test_command("iptables-legacy -t raw -A PREROUTING -m set --match-set flagged src "
			  "-j DROP") ||
	    !test_command("ethtool -K %s gro on", device))
		errx(EXIT_FAILURE, "no ipset and iptables here");
}

static void load_source(const char *path)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);

	need(object && !bpf_object__load(object), path);
	source_program =
		bpf_program__fd(bpf_object__find_program_by_name(object, "send_from_next"));
	plan_map = bpf_object__find_map_fd_by_name(object, "plan");
	need(source_program >= 0 && plan_map >= 0, path);
}

/* --- sending --------------------------------------------------------------------------------- */

struct syn {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static const struct syn syn = {
	.eth = {.h_dest = {2, 0, 0, 0, 0, 2}, .h_source = {2, 0, 0, 0, 0, 1}},
	.ip = {.ihl = 5, .version = 4, .ttl = 64, .protocol = IPPROTO_TCP},
	.tcp = {.doff = 5, .syn = 1},
};

static void send_frames(uint32_t frames)
{
	struct syn frame = syn;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = &frame, .data_size_in = sizeof(frame),
		    .repeat = (int)frames, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .batch_size = BURST);

	frame.eth.h_proto = htons(ETH_P_IP);
	frame.ip.tot_len = htons(sizeof(frame.ip) + sizeof(frame.tcp));
	frame.ip.daddr = htonl(OURS);
	frame.tcp.source = htons(1024);
	frame.tcp.dest = htons(SMTP);
	need(!bpf_prog_test_run_opts(source_program, &opts), "sending");
}

static void plan(const struct side *s, uint32_t first, uint32_t sources)
{
	const uint32_t zero = 0;
	const struct flagged_plan p = {
		.device = if_nametoindex(s->veth.theirs), .first = first, .sources = sources};

	need(!bpf_map_update_elem(plan_map, &zero, &p, BPF_ANY), "the plan");
}

/* What arrived, once it was all received: nothing more comes in a while. */
static uint64_t received_at_rest(const struct side *s)
{
	uint64_t begin = test_now_us(), ns, before;

	do {
		const struct timespec pause = {.tv_nsec = 5000000};

		if (test_now_us() - begin > PATIENCE_US)
			errx(EXIT_FAILURE, "%s: the receiver does not come to rest", s->name);
		before = cpu_ns(s->napi);
		nanosleep(&pause, NULL);
		ns = cpu_ns(s->napi);
	} while (ns != before);
	return received(s);
}

static void a_neighbour_passes(const struct side *s)
{
	uint64_t arrived = received_at_rest(s), dropped = s->dropped();

	plan(s, NEIGHBOUR, 1);
	send_frames(BURST);
	arrived = received_at_rest(s) - arrived;
	dropped = s->dropped() - dropped;
	if (arrived == 0 || dropped != 0)
		errx(EXIT_FAILURE,
		     "%s: of %" PRIu64 " frames of a neighbour %" PRIu64 " were dropped", s->name,
		     arrived, dropped);
}

/* Nanoseconds a frame dropped. */
static double slice(const struct side *s, uint32_t sources, double seconds)
{
	uint64_t arrived = received_at_rest(s), dropped = s->dropped(), ns = cpu_ns(s->napi);
	uint64_t end = test_now_us() + (uint64_t)(seconds * 1e6);

	plan(s, FIRST_SOURCE, sources);
	do {
		send_frames(ROUND);
		if (test_now_us() > end + PATIENCE_US)
			errx(EXIT_FAILURE, "%s: nearly nothing arrives", s->name);
	} while (test_now_us() < end || received(s) - arrived < sources);
	arrived = received_at_rest(s) - arrived;
	ns = cpu_ns(s->napi) - ns;
	dropped = s->dropped() - dropped;
	if (dropped < sources || dropped != arrived)
		errx(EXIT_FAILURE,
		     "%s: of %" PRIu64 " frames of flagged sources %" PRIu64 " were dropped",
		     s->name, arrived, dropped);
	return (double)ns / (double)dropped;
}

/* --- figures --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

int main(int argc, char **argv)
{
	struct side ours = {.name = "shield", .dropped = dropped_by_shield};
	struct side theirs = {.name = "ipset", .dropped = dropped_by_iptables};
	uint32_t sources = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 0;
	double seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
	uint32_t flagged = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 0) : sources;
	cpu_set_t allowed;

	if (sources == 0 || sources > 1 << 20 || seconds <= 0) {
		fprintf(stderr, "usage: bench_shield OBJECT SOURCES SECONDS [FLAGGED]\n");
		return 2;
	}
	need(!sched_getaffinity(0, sizeof(allowed), &allowed), "affinity");
	/* The tables are this namespace's, and nobody else is in it. */
	setenv("XTABLES_LOCKFILE", "/dev/null", 1);
	enter_namespaces();
	need(veth_new(&ours.veth, 1, 1500) && veth_new(&theirs.veth, 1, 1500), "veth");
	load_source(argv[1]);
	shield_up(ours.veth.ours, flagged);
	ipset_up(theirs.veth.ours, flagged);
	make_threaded(&ours, &allowed);
	make_threaded(&theirs, &allowed);
	pin(0, &allowed);
	a_neighbour_passes(&ours);
	a_neighbour_passes(&theirs);
	for (int i = 0; i < SLICES; i++) {
		ours.ns[i] = slice(&ours, sources, seconds / SLICES);
		theirs.ns[i] = slice(&theirs, sources, seconds / SLICES);
	}
	printf("%.1f %.1f\n", median(ours.ns, SLICES), median(theirs.ns, SLICES));
	veth_free(&ours.veth);
	veth_free(&theirs.veth);
	shield_close(shield);
	return EXIT_SUCCESS;
}
