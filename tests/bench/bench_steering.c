/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What it costs a worker to find out whose a segment is, and to hand over what is not its own:
 *
 *     bench_steering [ROUNDS]
 *
 * Two workers hold established connections; pure ACKs that change nothing arrive in bursts, at the
 * owner of each flow or at the other worker. Owners are found by our keyed hash, or by a card's
 * RSS: one that does as it says, which saves the finding, and one whose hashes are others than it
 * says.
 *
 * Thread: one, for both workers. Time: of the workers' turns alone; the median burst's, so that an
 * interruption does not count.
 * Memory: a pool a queue and a worker. Rules: frames of 66 octets (IPv4) and 86 (IPv6), checksums
 * verified in software.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "common/eal.h"
#include "net/rss.h"
#include "port/handover.h"
#include "port/port.h"
#include "worker/worker.h"

enum {
	WORKERS = 2,
	CONNS = 4096, /* in all */
	LISTEN = 25,
	BURST = PORT_BURST,
	ETHERNET = 14,
	TIMESTAMPS = 12,
	FRAME_MAX = ETHERNET + 40 + 20 + TIMESTAMPS,
	WINDOW = 65536,
	SAYS = 151, /* what keys are made of */
	OTHER = 93,
};

struct bench {
	uint64_t rounds, now_us;
	double *took; /* each round */
	bool v6;
	uint16_t n_workers;
	bool by_rss;
	struct net_rss rss;
	struct port *port;
	struct handover *handover;
	struct net net;
	struct worker *workers[WORKERS];
	struct rte_mempool *pools[WORKERS];
	struct postern_counters counters[WORKERS];
	struct conn {
		struct flow flow; /* as the gateway sees it */
		uint32_t seq, ack;
		uint16_t owner;
	} conns[CONNS];
};

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, their_mac[6] = {2, 0, 0, 0, 0, 2};

__attribute__((noreturn)) static void fail(const char *what)
{
	fprintf(stderr, "bench_steering: %s\n", what);
	exit(1);
}

/* --- frames ---------------------------------------------------------------------------------- */

static uint8_t *write_ip(const struct bench *b, const struct flow *f, uint8_t *ip, uint16_t len)
{
	if (b->v6) {
		struct rte_ipv6_hdr *h = (struct rte_ipv6_hdr *)ip;

		*h = (struct rte_ipv6_hdr){
			.vtc_flow = RTE_BE32(6u << 28),
			.payload_len = rte_cpu_to_be_16(len),
			.proto = IPPROTO_TCP,
			.hop_limits = 64,
		};
		memcpy(h->src_addr, &f->remote, 16);
		memcpy(h->dst_addr, &f->local, 16);
		return ip + sizeof(*h);
	} else {
		struct rte_ipv4_hdr *h = (struct rte_ipv4_hdr *)ip;

		*h = (struct rte_ipv4_hdr){
			.version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*h) + len)),
			.time_to_live = 64,
			.next_proto_id = IPPROTO_TCP,
		};
		memcpy(&h->src_addr, f->remote.octets + 12, 4);
		memcpy(&h->dst_addr, f->local.octets + 12, 4);
		h->hdr_checksum = rte_ipv4_cksum(h);
		return ip + sizeof(*h);
	}
}

/* A segment without payload, options filled up with nothing. */
static struct rte_mbuf *frame_new(const struct bench *b, const struct conn *c, uint8_t flags,
				  uint16_t queue)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(port_pool(b->port, queue));
	uint8_t *eth, *ip, *tcp;
	struct rte_tcp_hdr *h;

	if (!m)
		fail("no buffer for a frame");
	eth = (uint8_t *)rte_pktmbuf_append(
		m, (uint16_t)(ETHERNET + (b->v6 ? 40 : 20) + 20 + TIMESTAMPS));
	memcpy(eth, our_mac, 6);
	memcpy(eth + 6, their_mac, 6);
	eth[12] = b->v6 ? 0x86 : 0x08;
	eth[13] = b->v6 ? 0xdd : 0x00;
	ip = eth + ETHERNET;
	tcp = write_ip(b, &c->flow, ip, 20 + TIMESTAMPS);
	h = (struct rte_tcp_hdr *)tcp;
	*h = (struct rte_tcp_hdr){
		.src_port = rte_cpu_to_be_16(c->flow.remote_port),
		.dst_port = rte_cpu_to_be_16(c->flow.local_port),
		.sent_seq = rte_cpu_to_be_32(c->seq),
		.recv_ack = rte_cpu_to_be_32(c->ack),
		.data_off = (20 + TIMESTAMPS) / 4 << 4,
		.tcp_flags = flags,
		.rx_win = RTE_BE16(UINT16_MAX),
	};
	memset(tcp + 20, 1, TIMESTAMPS);
	h->cksum = b->v6 ? rte_ipv6_udptcp_cksum((struct rte_ipv6_hdr *)ip, tcp)
			 : rte_ipv4_udptcp_cksum((struct rte_ipv4_hdr *)ip, tcp);
	return m;
}

static void push(struct bench *b, const struct conn *c, uint8_t flags, uint16_t queue)
{
	if (!port_memory_push(b->port, queue, frame_new(b, c, flags, queue)))
		fail("a receive queue is full");
}

/* --- the workers ----------------------------------------------------------------------------- */

static void *nothing_start(struct worker *w, void *config)
{
	return w;
}

static void nothing_run(void *state, struct tcp_conn *conn, unsigned news, uint64_t now_us)
{
}

static void nothing_stop(void *state)
{
}

static const struct worker_service nothing = {
	.name = "nothing",
	.start = nothing_start,
	.run = nothing_run,
	.stop = nothing_stop,
};

static struct port_rss card(uint8_t factor)
{
	struct port_rss rss = {
		.tcp4 = true,
		.tcp6 = true,
		.hash_in_mbuf = true,
		.key_len = 40,
		.table_len = WORKERS,
		.table = {0, 1},
	};

	for (uint8_t i = 0; i < rss.key_len; i++)
		rss.key[i] = (uint8_t)(i * factor + 43);
	return rss;
}

static void open_port(struct bench *b)
{
	const struct port_rss says = card(SAYS);
	struct postern_counters *counters[WORKERS] = {&b->counters[0], &b->counters[1]};
	struct port_config config = {
		.kind = PORT_MEMORY,
		.device = "bench",
		.queues = b->n_workers,
		.memory_rss = b->by_rss ? &says : NULL,
	};
	char error[128];

	memcpy(config.memory_mac, our_mac, 6);
	if (port_open(&b->port, &config, counters, error, sizeof(error)))
		fail(error);
}

static void fill_net(struct bench *b)
{
	static const uint8_t four[4] = {192, 0, 2, 25};
	static const uint8_t sixteen[16] = {0x20, 1, 0xd, 0xb8, [15] = 0x25};

	b->net = (struct net){
		.n_ports = 1,
		.ports = {{.mtu = 1500}},
		.n_addresses = 2,
		.addresses = {{.ip = ip_addr_from_v4(four)}, {.ip = ip_addr_from_v6(sixteen)}},
		.n_workers = b->n_workers,
		.hash_key = {1, 2},
	};
	memcpy(b->net.ports[0].mac, our_mac, 6);
	for (unsigned i = 0; i < NET_INDIRECTION; i++)
		b->net.owner_of[i] = (uint8_t)(i % b->n_workers);
	if (b->by_rss) {
		const struct port_rss *says = &port_caps(b->port)->rss;

		if (!net_rss_init(&b->rss, says->key, says->key_len, says->table, says->table_len,
				  says->tcp4, says->tcp6))
			fail("a card that says nothing");
		b->net.ports[0].rss = &b->rss;
	}
}

static void start_worker(struct bench *b, uint16_t index)
{
	struct worker_config config = {
		.index = index,
		.n_ports = 1,
		.ports = {b->port},
		.handover = b->handover,
		.net = b->net,
		.tcp = {.conns = CONNS, .receive_window = WINDOW, .send_queue = WINDOW},
		.listen = {LISTEN},
		.n_listen = 1,
		.counters = &b->counters[index],
		.wake_fd = -1,
		.service = &nothing,
	};
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "bench-%u", index);
	b->pools[index] =
		rte_pktmbuf_pool_create(name, 255, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	config.tcp.pool = b->pools[index];
	b->workers[index] = b->pools[index] ? worker_new(&config, b->now_us) : NULL;
	if (!b->workers[index])
		fail("a worker does not start");
}

static void open_all(struct bench *b)
{
	static const int no_wake_fds[WORKERS] = {-1, -1};

	b->now_us = 1000000;
	memset(b->counters, 0, sizeof(b->counters));
	open_port(b);
	fill_net(b);
	b->handover = b->n_workers > 1 ? handover_new(b->n_workers, no_wake_fds) : NULL;
	if (b->n_workers > 1 && !b->handover)
		fail("no memory for a hand-over");
	for (uint16_t i = 0; i < b->n_workers; i++)
		start_worker(b, i);
}

static void close_all(struct bench *b)
{
	for (uint16_t i = 0; i < b->n_workers; i++)
		worker_free(b->workers[i]);
	handover_free(b->handover);
	port_close(b->port);
	for (uint16_t i = 0; i < b->n_workers; i++)
		rte_mempool_free(b->pools[i]);
}

static void turn_all(struct bench *b)
{
	b->now_us += 10;
	for (uint16_t i = 0; i < b->n_workers; i++)
		worker_turn(b->workers[i], b->now_us);
}

/* --- connections ----------------------------------------------------------------------------- */

static void take_syn_ack(struct bench *b, struct conn *c)
{
	struct rte_mbuf *m = port_memory_pop(b->port, c->owner);
	const struct rte_tcp_hdr *h;

	if (!m)
		fail("a SYN has no answer from its owner");
	h = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, ETHERNET + (b->v6 ? 40 : 20));
	c->seq++;
	c->ack = rte_be_to_cpu_32(h->sent_seq) + 1;
	rte_pktmbuf_free(m);
}

static void open_conn(struct bench *b, uint32_t i)
{
	const uint8_t four[4] = {198, 18, (uint8_t)(i >> 8), (uint8_t)i};
	const uint8_t sixteen[16] = {0x20, 1, 0xd, 0xb8, 1, [14] = (uint8_t)(i >> 8), (uint8_t)i};
	struct conn *c = &b->conns[i];

	*c = (struct conn){
		.flow =
			{
				.local = b->net.addresses[b->v6].ip,
				.remote = b->v6 ? ip_addr_from_v6(sixteen) : ip_addr_from_v4(four),
				.local_port = LISTEN,
				.remote_port = (uint16_t)(1024 + i * 7),
			},
		.seq = i,
	};
	c->owner = net_owner(&b->net, &c->flow, net_hash(&b->net, &c->flow));
	push(b, c, RTE_TCP_SYN_FLAG, c->owner);
	turn_all(b);
	take_syn_ack(b, c);
	push(b, c, RTE_TCP_ACK_FLAG, c->owner);
	turn_all(b);
}

/* --- measuring ------------------------------------------------------------------------------- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A burst of ACKs on connections of worker 0, and the workers' turns it takes. */
static double burst(struct bench *b, uint32_t *next, bool at_home)
{
	uint16_t queue = at_home ? 0 : 1;
	double start;

	for (unsigned n = 0; n < BURST; *next = (*next + 1) % CONNS) {
		if (b->conns[*next].owner != 0)
			continue;
		push(b, &b->conns[*next], RTE_TCP_ACK_FLAG, queue);
		n++;
	}
	b->now_us++;
	start = seconds();
	if (!at_home)
		worker_turn(b->workers[1], b->now_us);
	worker_turn(b->workers[0], b->now_us);
	return seconds() - start;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void measure(struct bench *b, const char *what, bool at_home)
{
	uint64_t before = b->counters[0].tcp_segments_in;
	uint32_t next = 0;

	for (uint64_t i = 0; i < b->rounds; i++)
		b->took[i] = burst(b, &next, at_home);
	if (b->counters[0].tcp_segments_in - before != b->rounds * BURST)
		fail("segments were lost");
	if (b->counters[0].tcp_established + b->counters[1].tcp_established != CONNS)
		fail("connections were lost");
	qsort(b->took, b->rounds, sizeof(b->took[0]), compare);
	printf("IPv%d %-34s %6.1f ns a segment\n", b->v6 ? 6 : 4, what,
	       b->took[b->rounds / 2] / BURST * 1e9);
}

/* does: what the card does, be it not what it says; NULL: there is none. */
static void open_conns(struct bench *b, uint16_t workers, const struct port_rss *does)
{
	b->n_workers = workers;
	b->by_rss = does;
	open_all(b);
	if (does)
		port_memory_set_rss(b->port, does);
	for (uint32_t i = 0; i < CONNS; i++)
		open_conn(b, i);
}

static void bench_alone(struct bench *b)
{
	open_conns(b, 1, NULL);
	measure(b, "one worker", true);
	close_all(b);
}

static void bench_keyed(struct bench *b)
{
	open_conns(b, WORKERS, NULL);
	measure(b, "keyed hash, at its owner", true);
	measure(b, "keyed hash, handed over", false);
	close_all(b);
}

static void bench_rss(struct bench *b)
{
	const struct port_rss says = card(SAYS), other = card(OTHER);

	open_conns(b, WORKERS, &says);
	measure(b, "card believed, at its owner", true);
	if (b->counters[0].steering_disagreed)
		fail("a good card was not believed");
	close_all(b);
	open_conns(b, WORKERS, &other);
	measure(b, "card not believed, at its owner", true);
	measure(b, "card not believed, handed over", false);
	if (b->counters[0].steering_agreed || b->counters[1].steering_agreed)
		fail("a bad card was believed");
	close_all(b);
}

int main(int argc, char **argv)
{
	static struct bench b;

	test_eal_start("bench-steering");
	b.rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
	b.took = calloc(b.rounds + 1, sizeof(b.took[0]));
	if (!b.took)
		fail("no memory");
	for (unsigned v6 = 0; v6 < 2; v6++) {
		b.v6 = v6;
		bench_alone(&b);
		bench_keyed(&b);
		bench_rss(&b);
	}
	free(b.took);
	return 0;
}
