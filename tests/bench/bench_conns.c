/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a connection costs while nothing happens on it, and what is left of one in TIME-WAIT:
 * `bench_conns [connections]`, default 100,000.
 *
 * PSS and huge pages of a process whose TCP has room for so many, with all of them there, less that
 * of one with room for a single one, by their number: struct, table, timer and all else. Each is
 * opened over IPv6 by a handshake from a /64 of its own, with an idle timeout; once more with
 * limits per client, whose counts are for all workers. Medians, since PSS depends on who else has
 * the same libraries mapped. The bar: 192 octets.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_mempool.h>

#include "common/eal.h"
#include "measure.h"
#include "tcp/clients.h"
#include "tcp/header.h"
#include "tcp/tcp.h"

enum { BUFFERS = 1023, LIMIT = 50, RUNS = 7 };

enum kind {
	IDLE,
	IDLE_WITH_LIMITS,
	TIME_WAIT,
};

struct bed {
	struct tcp *tcp;
	struct net net;
	struct postern_counters counters;
	struct rte_mempool *pool;
	struct flow flow;
	uint32_t seq, ack;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_conns: %s\n", what);
	exit(1);
}

/* --- memory ------------------------------------------------------------------------------------
 */

static uint64_t octets_in_use(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	uint64_t sum = 0, kilobytes;
	char line[256];

	if (!f)
		die("no smaps_rollup");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss: %" SCNu64, &kilobytes) == 1 ||
		    sscanf(line, "Private_Hugetlb: %" SCNu64, &kilobytes) == 1 ||
		    sscanf(line, "Shared_Hugetlb: %" SCNu64, &kilobytes) == 1)
			sum += kilobytes * 1024;
	fclose(f);
	return sum;
}

/* --- conversations -----------------------------------------------------------------------------
 */

static void give(struct bed *b, uint8_t flags)
{
	const struct tcp_header h = {
		.seq = b->seq,
		.ack = flags & TCP_ACK ? b->ack : 0,
		.flags = flags,
		.window = UINT16_MAX,
		.has_mss = flags & TCP_SYN,
		.mss = 1440,
	};
	struct rte_mbuf *m = rte_pktmbuf_alloc(b->pool);
	struct net_segment s;

	if (!m)
		die("no buffer");
	tcp_header_write(&h, (uint8_t *)rte_pktmbuf_append(m, tcp_header_len(&h)),
			 b->flow.remote_port, b->flow.local_port);
	s = (struct net_segment){
		.m = m,
		.flow = b->flow,
		.path = {.mac = {2}},
		.tcp_len = tcp_header_len(&h),
		.header_len = tcp_header_len(&h),
	};
	s.hash = net_hash(&b->net, &s.flow);
	tcp_input_take(b->tcp, &s, 1, 0);
	b->seq += !!(flags & (TCP_SYN | TCP_FIN));
}

/* What tcp says next: its end becomes what we acknowledge. */
static void hear(struct bed *b, uint8_t flags)
{
	struct tcp_header h;
	struct rte_mbuf *m;

	if (tcp_output(b->tcp, &m, 1, 0) != 1)
		die("silence");
	if (!tcp_header_read(&h, rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 40),
			     (uint8_t)(rte_pktmbuf_data_len(m) - 14 - 40)) ||
	    (h.flags & (TCP_SYN | TCP_FIN | TCP_RST | TCP_ACK)) != flags)
		die("another answer");
	b->ack = h.seq + !!(flags & (TCP_SYN | TCP_FIN));
	rte_pktmbuf_free(m);
}

static struct tcp_conn *open_one(struct bed *b, uint32_t number)
{
	struct tcp_conn *c;
	unsigned news;

	memcpy(b->flow.remote.octets + 4, &number, sizeof(number));
	b->seq = number;
	give(b, TCP_SYN);
	hear(b, TCP_SYN | TCP_ACK);
	give(b, TCP_ACK);
	c = tcp_next_news(b->tcp, &news);
	if (!c || news != TCP_OPENED || tcp_next_news(b->tcp, &news))
		die("it did not open");
	return c;
}

static void part(struct bed *b, struct tcp_conn *c)
{
	tcp_close(b->tcp, c);
	hear(b, TCP_FIN | TCP_ACK);
	give(b, TCP_FIN | TCP_ACK);
	hear(b, TCP_ACK);
}

/* --- one process -------------------------------------------------------------------------------
 */

static void set_up(struct bed *b, enum kind kind, uint32_t capacity)
{
	static const uint8_t ours[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x25};
	static const uint8_t theirs[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
	const struct clients_config limits = {.conns = capacity, .limits = {LIMIT, LIMIT}};
	struct tcp_config config = {
		.conns = kind == TIME_WAIT ? 1 : capacity,
		.time_waits = capacity,
		.receive_window = 262144,
		.send_queue = 262144,
		.idle_timeout_ms = 300000,
		.net = &b->net,
		.counters = &b->counters,
	};

	*b = (struct bed){.pool = rte_pktmbuf_pool_create("buffers", BUFFERS, 0, 0,
							  RTE_MBUF_DEFAULT_BUF_SIZE,
							  SOCKET_ID_ANY)};
	b->flow = (struct flow){
		.local = ip_addr_from_v6(ours),
		.remote = ip_addr_from_v6(theirs),
		.local_port = 25,
		.remote_port = 40000,
	};
	b->net = (struct net){
		.n_ports = 1,
		.ports = {{.mac = {2, 1}, .mtu = 1500}},
		.n_addresses = 1,
		.addresses = {{.ip = b->flow.local}},
		.n_workers = 1,
		.counters = &b->counters,
	};
	if (kind == IDLE_WITH_LIMITS) {
		config.clients = clients_new(&limits);
		config.client_half_open = config.client_conns = LIMIT;
	}
	config.pool = config.frame_pools[0] = b->pool;
	b->tcp = b->pool ? tcp_new(&config, 0) : NULL;
	if (!b->tcp || !tcp_listen(b->tcp, 25))
		die("no memory");
}

static uint64_t measure_here(enum kind kind, uint32_t n)
{
	static struct bed bed;

	test_eal_start("bench-conns");
	set_up(&bed, kind, n);
	for (uint32_t i = 0; i < n; i++) {
		struct tcp_conn *c = open_one(&bed, i);

		if (kind == TIME_WAIT)
			part(&bed, c);
	}
	if ((kind == TIME_WAIT ? tcp_time_waits(bed.tcp) : tcp_conns(bed.tcp)) != n)
		die("not all of them are there");
	return octets_in_use();
}

static uint64_t measure(enum kind kind, uint32_t n)
{
	uint64_t octets = 0;
	int fds[2], status;
	pid_t child;

	fflush(stdout);
	if (pipe(fds) < 0 || (child = fork()) < 0)
		die("no process");
	if (child == 0) {
		octets = measure_here(kind, n);
		_exit(write(fds[1], &octets, sizeof(octets)) != sizeof(octets));
	}
	close(fds[1]);
	if (read(fds[0], &octets, sizeof(octets)) != sizeof(octets) ||
	    waitpid(child, &status, 0) != child || status != 0)
		die("a process failed");
	close(fds[0]);
	return octets;
}

static double median_octets(enum kind kind, uint32_t n)
{
	double octets[RUNS];

	for (unsigned i = 0; i < RUNS; i++)
		octets[i] = ((double)measure(kind, n) - (double)measure(kind, 1)) / n;
	return median(octets, RUNS);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
		[IDLE] = "an idle connection",
		[IDLE_WITH_LIMITS] = "the same with limits per client",
		[TIME_WAIT] = "a TIME-WAIT",
	};
	uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;

	if (n < 2) {
		fprintf(stderr, "usage: %s [connections]\n", argv[0]);
		return 2;
	}
	for (enum kind kind = IDLE; kind <= TIME_WAIT; kind++)
		printf("%-32s %7.1f octets\n", names[kind], median_octets(kind, n));
	return 0;
}
