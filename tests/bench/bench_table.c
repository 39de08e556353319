/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What finding a connection costs: `bench_table [connections]`, default 100,000 and 1,000,000.
 *
 * Lookups as tcp_input_take makes them, in bursts of 32 with everything fetched ahead, hash
 * included: of connections that are there (hits, at random), and of flows that are not, as a SYN's
 * (misses), without and with as many TIME-WAITs, which a miss is looked up among, too. CPU time of
 * the thread, the median of several rounds in turn.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mempool.h>

#include "common/eal.h"
#include "measure.h"
#include "tcp/conn.h"

enum {
	BURST = 32,
	LOOKUPS = 1 << 16, /* a round */
	ROUNDS = 31,
};

struct bed {
	struct tcp *tcp;
	struct net net;
	struct postern_counters counters;
	struct flow *flows;
	uint32_t n;
	uint64_t random;
	struct flow asked[LOOKUPS];
};

static uint64_t next_random(struct bed *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

static struct flow new_flow(struct bed *b)
{
	struct flow f = {.local = b->net.addresses[0].ip, .local_port = 25};

	for (unsigned i = 0; i < sizeof(f.remote); i++)
		f.remote.octets[i] = (uint8_t)(next_random(b) >> 32);
	f.remote_port = (uint16_t)next_random(b);
	return f;
}

/* Nanoseconds a lookup; all of them must be hits, or misses. */
static double look_up(const struct bed *b, bool hits)
{
	double began = cpu_seconds();
	uint32_t found = 0;

	for (uint32_t i = 0; i < LOOKUPS; i += BURST) {
		uint32_t tags[BURST];

		for (uint32_t j = 0; j < BURST; j++) {
			tags[j] = flow_tag(b->tcp, &b->asked[i + j]);
			tags_prefetch(&b->tcp->table, tags[j]);
		}
		for (uint32_t j = 0; j < BURST; j++)
			table_prefetch_conn(b->tcp, tags[j]);
		for (uint32_t j = 0; j < BURST; j++)
			found += table_find(b->tcp, &b->asked[i + j], tags[j]) ||
				 time_wait_find(b->tcp, &b->asked[i + j], tags[j]);
	}
	if (found != (hits ? LOOKUPS : 0)) {
		fprintf(stderr, "%u of %d found\n", found, LOOKUPS);
		exit(1);
	}
	return (cpu_seconds() - began) * 1e9 / LOOKUPS;
}

enum kind {
	HITS,
	MISSES,
	MISSES_AMONG_TIME_WAITS,
};

static void ask(struct bed *b, enum kind kind)
{
	for (uint32_t i = 0; i < LOOKUPS; i++)
		b->asked[i] = kind == HITS ? b->flows[next_random(b) % b->n] : new_flow(b);
}

static void enter_time_waits(struct bed *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		const struct tcp_conn c = {.remote = new_flow(b).remote, .local_port = 25};

		time_wait_enter(b->tcp, &c);
	}
}

static double median_ns(struct bed *b, enum kind kind)
{
	double ns[ROUNDS];

	for (unsigned round = 0; round < ROUNDS; round++) {
		ask(b, kind);
		ns[round] = look_up(b, kind == HITS);
	}
	return median(ns, ROUNDS);
}

static void measure(struct bed *b)
{
	double hit = median_ns(b, HITS), miss = median_ns(b, MISSES);

	enter_time_waits(b);
	printf("%10u connections %8.1f ns a hit %8.1f ns a miss %8.1f among TIME-WAITs\n", b->n,
	       hit, miss, median_ns(b, MISSES_AMONG_TIME_WAITS));
}

static void fill(struct bed *b, struct rte_mempool *pool, uint32_t n)
{
	static const uint8_t ours[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x25};
	const struct net_path path = {.mac = {2}};
	struct tcp_config config = {
		.conns = n,
		.receive_window = 65536,
		.send_queue = 65536,
		.net = &b->net,
		.pool = pool,
		.counters = &b->counters,
	};

	*b = (struct bed){.n = n, .random = 88172645463325252};
	b->net.n_addresses = 1;
	b->net.addresses[0].ip = ip_addr_from_v6(ours);
	b->flows = malloc(n * sizeof(b->flows[0]));
	b->tcp = tcp_new(&config, 0);
	if (!b->flows || !b->tcp) {
		fprintf(stderr, "no memory for %u connections\n", n);
		exit(1);
	}
	for (uint32_t i = 0; i < n; i++) {
		b->flows[i] = new_flow(b);
		conn_new(b->tcp, &b->flows[i], flow_tag(b->tcp, &b->flows[i]), &path);
	}
}

static void report(struct rte_mempool *pool, uint32_t n)
{
	static struct bed bed;

	fill(&bed, pool, n);
	measure(&bed);
	tcp_free(bed.tcp);
	free(bed.flows);
}

int main(int argc, char **argv)
{
	struct rte_mempool *pool;

	test_eal_start("bench-table");
	pool = rte_pktmbuf_pool_create("kept", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	if (!pool)
		return 1;
	if (argc > 1) {
		report(pool, (uint32_t)strtoul(argv[1], NULL, 10));
		return 0;
	}
	report(pool, 100000);
	report(pool, 1000000);
	return 0;
}
