/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What idling costs and what it adds: `bench_idle PROGRAM.o [seconds]`, default 5.
 *
 * A worker's loop without a stack: it receives, and sleeps by port_idle where there is nothing.
 * First nothing comes, and its share of a core is measured; then single frames come at random
 * gaps of 1 to 3 ms, each with its time of departure in it, and the time until the loop holds
 * them is measured, once with sleeping and once without. Over AF_XDP on a veth pair (a queue
 * that can be waited on) and over memif (one that cannot). The bars: under 5 % of a core, at
 * most 200 us added to the 99th percentile.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/eal.h"
#include "common/network.h"
#include "common/veth.h"
#include "measure.h"
#include "port/port.h"

enum {
	SAMPLES = 2000,
	EMPTY_TURNS = 64, /* before the loop sleeps, as a worker's */
	SLEEP_MAX_US = 1000000,
	STAMP_AT = 54, /* after Ethernet, IPv4 and TCP headers */
	FRAME_LEN = 64,
};

struct bed {
	struct port *port; /* the loop's */
	struct port *peer; /* memif: where frames are sent from */
	struct veth veth;  /* AF_XDP */
	struct postern_counters counters, peer_counters;
};

struct loop {
	struct bed *bed;
	bool sleeps, stop;
	int wake_fd;
	uint32_t n;
	double cpu_seconds;
	double latency_us[SAMPLES];
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void note(struct loop *l, struct rte_mbuf *m)
{
	uint64_t stamp, now = now_ns();

	memcpy(&stamp, rte_pktmbuf_mtod_offset(m, const char *, STAMP_AT), sizeof(stamp));
	rte_pktmbuf_free(m);
	if (l->n < SAMPLES)
		l->latency_us[l->n] = (double)(now - stamp) / 1000;
	__atomic_store_n(&l->n, l->n + 1, __ATOMIC_RELEASE);
}

static void *loop_run(void *arg)
{
	struct loop *l = arg;
	struct rte_mbuf *frames[PORT_BURST];
	unsigned empty = 0;
	double began;

	pin(1);
	began = cpu_seconds();
	while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE)) {
		uint16_t n = port_rx(l->bed->port, 0, frames, PORT_BURST);

		for (uint16_t i = 0; i < n; i++)
			note(l, frames[i]);
		port_flush(l->bed->port, 0);
		empty = n ? 0 : empty + 1;
		if (l->sleeps && empty >= EMPTY_TURNS)
			port_idle(&l->bed->port, 1, 0, l->wake_fd, SLEEP_MAX_US);
	}
	l->cpu_seconds = cpu_seconds() - began;
	return NULL;
}

static void send_one(struct bed *bed)
{
	/* IPv4, TCP; nobody checks the sums. */
	uint8_t frame[FRAME_LEN] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 50};
	struct rte_mbuf *m;
	uint64_t stamp;

	frame[22] = 64;
	frame[23] = 6;
	if (!bed->peer) {
		stamp = now_ns();
		memcpy(frame + STAMP_AT, &stamp, sizeof(stamp));
		if (send(bed->veth.raw, frame, sizeof(frame), 0) < 0)
			perror("send");
		return;
	}
	m = rte_pktmbuf_alloc(port_pool(bed->peer, 0));
	if (!m)
		return;
	stamp = now_ns();
	memcpy(frame + STAMP_AT, &stamp, sizeof(stamp));
	memcpy(rte_pktmbuf_append(m, sizeof(frame)), frame, sizeof(frame));
	port_tx_take(bed->peer, 0, &m, 1);
	port_flush(bed->peer, 0);
}

static void pause_us(uint64_t us)
{
	struct timespec t = {.tv_sec = (time_t)(us / 1000000),
			     .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&t, NULL);
}

/* Each waits for the one before, so that a frame is never late for another's sake. */
static void send_samples(struct bed *bed, const struct loop *l)
{
	for (uint32_t i = 0; i < SAMPLES; i++) {
		uint64_t give_up = test_now_us() + 1000000;

		pause_us(1000 + (uint64_t)random() % 2000);
		send_one(bed);
		while (__atomic_load_n(&l->n, __ATOMIC_ACQUIRE) <= i && test_now_us() < give_up)
			pause_us(50);
	}
}

/* seconds 0: frames come; else none does for so long. Returns the share of a core, percent. */
static double measure(struct bed *bed, struct loop *l, bool sleeps, unsigned seconds)
{
	uint64_t began = now_ns();
	const uint64_t one = 1;
	pthread_t thread;

	*l = (struct loop){.bed = bed, .sleeps = sleeps, .wake_fd = eventfd(0, EFD_NONBLOCK)};
	if (pthread_create(&thread, NULL, loop_run, l))
		exit(1);
	if (seconds)
		pause_us(seconds * 1000000ull);
	else
		send_samples(bed, l);
	__atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		perror("write");
	pthread_join(thread, NULL);
	close(l->wake_fd);
	qsort(l->latency_us, RTE_MIN(l->n, (uint32_t)SAMPLES), sizeof(double), by_size);
	return 100 * l->cpu_seconds / ((double)(now_ns() - began) / 1e9);
}

static void report(struct bed *bed, const char *name, unsigned seconds)
{
	struct loop idle, sleeping, spinning;
	double share = measure(bed, &idle, true, seconds);

	measure(bed, &sleeping, true, 0);
	measure(bed, &spinning, false, 0);
	printf("%-8s %9.2f %%   %8.1f %8.1f   %8.1f %8.1f   %9.1f   %u/%u of %d\n", name, share,
	       sleeping.latency_us[SAMPLES / 2], sleeping.latency_us[SAMPLES * 99 / 100],
	       spinning.latency_us[SAMPLES / 2], spinning.latency_us[SAMPLES * 99 / 100],
	       sleeping.latency_us[SAMPLES * 99 / 100] - spinning.latency_us[SAMPLES * 99 / 100],
	       sleeping.n, spinning.n, SAMPLES);
}

static struct port *open_one(enum port_kind kind, const char *device, uint32_t frames,
			     struct postern_counters *counters)
{
	const struct port_config config = {
		.kind = kind, .device = device, .queues = 1, .frames = frames};
	struct port *port;
	char error[160];

	if (port_open(&port, &config, &counters, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	return port;
}

static void af_xdp(const char *program, unsigned seconds)
{
	struct bed bed = {0};

	if (!veth_new(&bed.veth, 1, 1500) || !veth_attach(&bed.veth, program))
		test_skip("no veth with an XDP program can be had");
	bed.port = open_one(PORT_AF_XDP, bed.veth.ours, 4096, &bed.counters);
	report(&bed, "af_xdp", seconds);
	port_close(bed.port);
	veth_free(&bed.veth);
}

static void memif(unsigned seconds)
{
	struct bed bed = {.veth.raw = -1};
	char folder[] = "/tmp/postern-bench-XXXXXX", device[128], path[64];
	uint64_t give_up = test_now_us() + 5000000;
	struct rte_mbuf *m;

	if (!mkdtemp(folder))
		exit(1);
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(device, sizeof(device), "net_memif0,role=server,socket=%s,socket-abstract=no",
		 path);
	bed.port = open_one(PORT_VDEV, device, 4096, &bed.counters);
	snprintf(device, sizeof(device), "net_memif1,role=client,socket=%s,socket-abstract=no",
		 path);
	bed.peer = open_one(PORT_VDEV, device, 4096, &bed.peer_counters);
	send_one(&bed);
	while (port_rx(bed.port, 0, &m, 1) == 0 && test_now_us() < give_up)
		port_flush(bed.peer, 0);
	rte_pktmbuf_free(m);
	report(&bed, "memif", seconds);
	port_close(bed.port);
	port_close(bed.peer);
	unlink(path);
	rmdir(folder);
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 5;

	if (argc < 2 || seconds == 0) {
		fprintf(stderr, "usage: %s PROGRAM.o [seconds]\n", argv[0]);
		return 2;
	}
	test_private_network();
	test_eal_start("bench-idle");
	printf("%-8s %11s   %17s   %17s   %9s   %s\n", "", "idle, share", "asleep, p50 p99 us",
	       "awake, p50 p99 us", "added p99", "samples");
	af_xdp(argv[1], seconds);
	memif(seconds);
	return 0;
}
