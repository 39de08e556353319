/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What net costs a frame: `bench_net [rounds]`, default 200,000 bursts of 32.
 *
 * The frame is an ACK with timestamps (66 octets over IPv4) unless said otherwise, in the first
 * level cache, its checksums unknown, so that both are summed. CPU time of this thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_thash.h>

#include "common/eal.h"
#include "measure.h"
#include "net/checksum.h"
#include "net/net.h"
#include "net/rss.h"

enum { BURST = 32, TCP_WITH_TIMESTAMPS = 32, POOL_BUFFERS = 63, TRIES_MAX = 256, KEYS = 256 };

struct bench {
	struct net us, peer;
	struct postern_counters counters;
	struct flow flow;
	struct net_path path;
	uint64_t rounds;
};

static void report(const struct bench *b, const char *what, uint16_t octets, double start)
{
	double ns = (cpu_seconds() - start) * 1e9 / (double)(b->rounds * BURST);

	printf("%-14s %5u octets %8.1f ns\n", what, octets, ns);
}

static void put_tcp(struct rte_mbuf *m, uint16_t len)
{
	uint8_t *tcp;

	rte_pktmbuf_reset(m);
	m->data_len = len;
	m->pkt_len = len;
	tcp = rte_pktmbuf_mtod(m, uint8_t *);
	memset(tcp, 0x5a, len);
	memset(tcp + 16, 0, 2);
	tcp[12] = TCP_WITH_TIMESTAMPS / 4 << 4;
}

static void bench_output(struct bench *b, struct rte_mbuf **burst, uint16_t len)
{
	double start;

	for (unsigned i = 0; i < BURST; i++)
		put_tcp(burst[i], len);
	start = cpu_seconds();
	for (uint64_t round = 0; round < b->rounds; round++) {
		for (unsigned i = 0; i < BURST; i++) {
			struct rte_mbuf *m = burst[i];

			memset(rte_pktmbuf_mtod(m, uint8_t *) + 16, 0, 2);
			net_output(&b->us, m, &b->flow, &b->path, 0);
			rte_pktmbuf_adj(m, (uint16_t)(m->pkt_len - len));
		}
	}
	report(b, "net_output", len, start);
	for (unsigned i = 0; i < BURST; i++) {
		memset(rte_pktmbuf_mtod(burst[i], uint8_t *) + 16, 0, 2);
		net_output(&b->us, burst[i], &b->flow, &b->path, 0);
	}
}

static void bench_input(struct bench *b, struct rte_mbuf **burst)
{
	struct net_segment seg;
	uint64_t found = 0;
	double start = cpu_seconds();

	for (uint64_t round = 0; round < b->rounds; round++) {
		for (unsigned i = 0; i < BURST; i++) {
			burst[i]->ol_flags = 0;
			found += net_input(&b->peer, burst[i], &seg) == NET_SEGMENT;
		}
	}
	report(b, "net_input", (uint16_t)burst[0]->pkt_len, start);
	if (found != b->rounds * BURST) {
		fprintf(stderr, "bench_net: frames were dropped\n");
		exit(1);
	}
}

static void bench_owner(struct bench *b)
{
	struct flow flow = b->flow;
	unsigned sum = 0;
	double start = cpu_seconds();

	for (uint64_t i = 0; i < b->rounds * BURST; i++) {
		flow.remote_port = (uint16_t)i;
		sum += net_owner(&b->us, &flow, net_hash(&b->us, &flow));
	}
	report(b, sum < b->rounds ? "net_owner" : "net_owner ", sizeof(flow), start);
}

/* As cards have them: at random, but the same in each run. */
static void rss_key(uint64_t number, uint8_t *key, size_t len)
{
	const struct siphash_key seed = {number, 2};

	for (size_t i = 0; i < len; i++)
		key[i] = (uint8_t)siphash24(&seed, &i, sizeof(i));
}

static void rss_init(struct net_rss *rss, uint64_t number, uint16_t workers)
{
	uint8_t key[NET_RSS_KEY6], queues[128];

	rss_key(number, key, sizeof(key));
	for (size_t i = 0; i < sizeof(queues); i++)
		queues[i] = (uint8_t)(i % workers);
	if (!net_rss_init(rss, key, sizeof(key), queues, sizeof(queues), true, true))
		exit(1);
}

static void bench_rss(struct bench *b)
{
	static struct net_rss rss;
	struct flow flow = b->flow;
	unsigned sum = 0;
	double start;

	rss_init(&rss, 0, 2);
	start = cpu_seconds();
	for (uint64_t i = 0; i < b->rounds * BURST; i++) {
		flow.remote_port = (uint16_t)(i + sum);
		sum += net_rss_hash(&rss, &flow);
	}
	report(b, sum == 0 ? "net_rss_hash " : "net_rss_hash", sizeof(flow), start);
}

struct choices {
	uint64_t opens, tries, in_vain;
	double took;
};

/* Each open is to another backend. */
static void choose(struct choices *c, const struct net_rss *rss, const struct flow *to,
		   uint16_t slice, uint64_t opens)
{
	struct flow flow = *to;
	double start = cpu_seconds();
	uint16_t next = 0;

	for (uint64_t i = 0; i < opens; i++) {
		struct net_rss_choice choice;
		uint16_t tries = 0;
		bool home;

		flow.remote.octets[14] = (uint8_t)(i >> 8);
		flow.remote.octets[15] = (uint8_t)i;
		net_rss_choice_init(&choice, rss, &flow);
		do {
			next = (uint16_t)((next + 1) % slice);
			home = net_rss_choice_queue(&choice, (uint16_t)(20000 + next)) == 0;
		} while (++tries < TRIES_MAX && tries < slice && !home);
		c->tries += tries;
		c->in_vain += !home;
	}
	c->opens += opens;
	c->took += cpu_seconds() - start;
}

/* The source ports an active open looks at until one brings the answers to its own queue, in one of
 * so many workers' slices of 8192 ports; over many keys, since some leave a slice little choice. */
static void bench_choice(struct bench *b, uint16_t workers)
{
	static struct net_rss rss;
	struct choices c = {0};

	for (uint64_t key = 0; key < KEYS; key++) {
		rss_init(&rss, key, workers);
		choose(&c, &rss, &b->flow, 8192 / workers, b->rounds / 16);
	}
	printf("%-14s %5u workers %6.1f tries %8.1f ns, %.1f %% in vain\n", "source port", workers,
	       (double)c.tries / (double)c.opens, c.took * 1e9 / (double)c.opens,
	       (double)c.in_vain * 100 / (double)c.opens);
}

/* What DPDK offers for it, words already in place. */
static void bench_softrss(struct bench *b)
{
	uint32_t words[RTE_THASH_V6_L4_LEN] = {0x20010db8, 1, 2, 3, 4, 5, 6, 7, 8}, be[10];
	uint32_t n = ip_addr_is_v4(&b->flow.local) ? RTE_THASH_V4_L4_LEN : RTE_THASH_V6_L4_LEN;
	uint8_t key[NET_RSS_KEY6];
	unsigned sum = 0;
	double start;

	rss_key(0, key, sizeof(key));
	memcpy(be, key, sizeof(be));
	rte_convert_rss_key(be, be, sizeof(be));
	for (uint32_t i = 0; i < n; i++)
		words[i] *= 0x9e3779b1;
	start = cpu_seconds();
	for (uint64_t i = 0; i < b->rounds * BURST; i++) {
		words[n - 1] = (uint32_t)(i + sum);
		sum += rte_softrss_be(words, n, (const uint8_t *)be);
	}
	report(b, sum == 0 ? "rte_softrss_be " : "rte_softrss_be", (uint16_t)(4 * n), start);
}

static void set_world(struct bench *b, bool v4)
{
	static const uint8_t us4[4] = {192, 0, 2, 25}, peer4[4] = {203, 0, 113, 7};
	static const uint8_t us6[16] = {0x20, 1, 0xd, 0xb8, [15] = 0x25};
	static const uint8_t peer6[16] = {0x20, 1, 0xd, 0xb8, [15] = 0x77};

	b->flow = (struct flow){
		.local = v4 ? ip_addr_from_v4(us4) : ip_addr_from_v6(us6),
		.remote = v4 ? ip_addr_from_v4(peer4) : ip_addr_from_v6(peer6),
		.local_port = 25,
		.remote_port = 40000,
	};
	b->us = (struct net){
		.n_ports = 1,
		.n_addresses = 2,
		.ports = {{.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500}},
		.addresses = {{.ip = ip_addr_from_v4(us4)}, {.ip = ip_addr_from_v6(us6)}},
		.hash_key = {1, 2},
		.n_workers = 2,
		.counters = &b->counters,
	};
	b->path = (struct net_path){.mac = {2, 0, 0, 0, 0, 2}};
	b->peer = b->us;
	memcpy(b->peer.ports[0].mac, b->path.mac, 6);
	b->peer.addresses[0].ip = ip_addr_from_v4(peer4);
	b->peer.addresses[1].ip = ip_addr_from_v6(peer6);
}

int main(int argc, char **argv)
{
	static const uint16_t payloads[] = {0, 100, 1400};
	struct bench b = {.rounds = argc > 1 ? strtoull(argv[1], NULL, 10) : 200000};
	struct rte_mempool *pool;
	struct rte_mbuf *burst[BURST];

	test_eal_start("bench-net");
	pool = rte_pktmbuf_pool_create("bench", POOL_BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool || rte_pktmbuf_alloc_bulk(pool, burst, BURST) != 0)
		return 1;
	for (int v4 = 1; v4 >= 0; v4--) {
		printf("IPv%d\n", v4 ? 4 : 6);
		set_world(&b, v4);
		for (unsigned i = 0; i < RTE_DIM(payloads); i++) {
			bench_output(&b, burst, TCP_WITH_TIMESTAMPS + payloads[i]);
			bench_input(&b, burst);
		}
		bench_owner(&b);
		bench_rss(&b);
		bench_softrss(&b);
		for (uint16_t workers = 2; workers <= 32; workers *= 4)
			bench_choice(&b, workers);
	}
	rte_pktmbuf_free_bulk(burst, BURST);
	return 0;
}
