/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Thread: the wire's. Time: the wire's. Memory: mempools with names of their own, so that any
 * number of hosts can follow each other in one process.
 */
#include "sim_stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mempool.h>

#include "base/counter.h"
#include "net/rss.h"
#include "postern/routes.h"

enum {
	ETHERNET = 14,
	VLAN_TAG = 4,
	IP4 = 20,
	IP6 = 40,
	PROTOCOL_TCP = 6,
};

struct sim_stack {
	struct sim_stack_config config;
	int host;
	char name[16];
	struct port *port;
	struct handover *handover;
	struct routes *routes;
	struct net net; /* what all workers' have in common */
	struct net_rss rss;
	struct worker *workers[SIM_WORKERS_MAX];
	struct rte_mempool *pools[SIM_WORKERS_MAX];
	struct postern_counters counters[SIM_WORKERS_MAX];
	uint64_t misplaced;
};

/* --- addresses and routes -------------------------------------------------------------------- */

static void mac_of(uint8_t number, uint8_t mac[6])
{
	static const uint8_t prefix[5] = {0x02, 'p', 's', 'i', 'm'};

	memcpy(mac, prefix, sizeof(prefix));
	mac[5] = number;
}

struct ip_addr sim_address(uint8_t number, bool v6)
{
	const uint8_t four[4] = {10, 0, 0, number};
	const uint8_t sixteen[16] = {0xfd, [15] = number};

	return v6 ? ip_addr_from_v6(sixteen) : ip_addr_from_v4(four);
}

static struct routes *everybody_on_link(void)
{
	struct routes *r = routes_new(2, 2 * SIM_HOSTS_MAX);

	if (r == NULL)
		return NULL;
	r->n_routes = 2;
	r->routes[0] =
		(struct route){.prefix = sim_address(0, false), .prefix_len = 120, .on_link = true};
	r->routes[1] =
		(struct route){.prefix = sim_address(0, true), .prefix_len = 64, .on_link = true};
	r->n_neighbours = 2 * SIM_HOSTS_MAX;
	for (uint32_t i = 0; i < r->n_neighbours; i++) {
		struct neighbour *n = &r->neighbours[i];
		uint8_t number = (uint8_t)(i / 2 + 1);

		*n = (struct neighbour){.address = sim_address(number, i % 2 != 0)};
		mac_of(number, n->mac);
	}
	routes_sort(r);
	return r;
}

/* --- which queue a frame arrives at ---------------------------------------------------------- */

static uint16_t be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* The flow of a TCP frame as its receiver sees it; false: it is none. */
static bool flow_of(const uint8_t *bytes, size_t len, struct flow *flow)
{
	size_t at = ETHERNET;
	const uint8_t *ip, *tcp;

	while (at + VLAN_TAG <= len &&
	       (be16(bytes + at - 2) == 0x8100 || be16(bytes + at - 2) == 0x88a8))
		at += VLAN_TAG;
	ip = bytes + at;
	if (at + IP4 <= len && be16(ip - 2) == 0x0800 && ip[9] == PROTOCOL_TCP) {
		flow->remote = ip_addr_from_v4(ip + 12);
		flow->local = ip_addr_from_v4(ip + 16);
		at += 4U * (ip[0] & 0xf);
	} else if (at + IP6 <= len && be16(ip - 2) == 0x86dd && ip[6] == PROTOCOL_TCP) {
		flow->remote = ip_addr_from_v6(ip + 8);
		flow->local = ip_addr_from_v6(ip + 24);
		at += IP6;
	} else {
		return false;
	}
	if (at + 4 > len)
		return false;
	tcp = bytes + at;
	flow->remote_port = be16(tcp);
	flow->local_port = be16(tcp + 2);
	return true;
}

static uint16_t steer(void *self, const uint8_t *bytes, size_t len, struct sim_random *random)
{
	struct sim_stack *stack = self;
	const uint16_t n = stack->config.workers;
	uint16_t owner, queue;
	struct flow flow;

	queue = stack->config.arrival == SIM_BY_RSS
			? port_memory_queue(stack->port, bytes, (uint16_t)len)
			: (uint16_t)sim_random_below(random, n);
	if (!flow_of(bytes, len, &flow))
		return queue;
	owner = net_owner(&stack->net, &flow, net_hash(&stack->net, &flow));
	if (stack->config.arrival == SIM_AT_OWNER)
		queue = owner;
	else if (stack->config.arrival == SIM_AT_WRONG && n > 1)
		queue = (uint16_t)((owner + sim_random_in(random, 1, n - 1)) % n);
	stack->misplaced += queue != owner;
	return queue;
}

/* --- turns ----------------------------------------------------------------------------------- */

static uint32_t turn(void *self, uint16_t queue, uint64_t now_us)
{
	struct sim_stack *stack = self;

	return worker_turn(stack->workers[queue], now_us);
}

static uint64_t next_due(const void *self, uint16_t queue)
{
	const struct sim_stack *stack = self;

	return worker_next_due(stack->workers[queue]);
}

/* --- life ------------------------------------------------------------------------------------ */

static struct siphash_key random_key(struct sim_random *random)
{
	struct siphash_key key;

	key.k0 = sim_random(random);
	key.k1 = sim_random(random);
	return key;
}

static bool open_port(struct sim_stack *stack)
{
	const struct sim_stack_config *config = &stack->config;
	struct postern_counters *counters[SIM_WORKERS_MAX];
	struct port_config port = {
		.kind = PORT_MEMORY,
		.device = stack->name,
		.queues = config->workers,
		.frames = config->frames,
		.memory_checksums = config->port_checksums,
		.memory_chains = config->port_chains,
		.memory_mtu = config->mtu,
		.memory_rss = config->rss,
	};
	char error[256];

	mac_of(config->number, port.memory_mac);
	for (uint16_t i = 0; i < config->workers; i++)
		counters[i] = &stack->counters[i];
	if (port_open(&stack->port, &port, counters, error, sizeof(error)) != 0) {
		fprintf(stderr, "port_open: %s\n", error);
		return false;
	}
	return true;
}

static void fill_net(struct sim_stack *stack, struct sim_random *random)
{
	const struct port_caps *caps = port_caps(stack->port);
	struct net *net = &stack->net;

	net->n_ports = 1;
	memcpy(net->ports[0].mac, caps->mac, sizeof(caps->mac));
	net->ports[0].mtu = caps->mtu;
	net->ports[0].tx_ipv4_checksum = caps->tx_ipv4_checksum;
	net->ports[0].tx_tcp_checksum = caps->tx_tcp_checksum;
	net->n_addresses = 2;
	net->addresses[0].ip = sim_address(stack->config.number, false);
	net->addresses[1].ip = sim_address(stack->config.number, true);
	net->hash_key = random_key(random);
	net->n_workers = stack->config.workers;
	net->active_first = SIM_ACTIVE_FIRST;
	net->active_slice = SIM_ACTIVE_SLICE;
	for (unsigned i = 0; i < NET_INDIRECTION; i++)
		net->owner_of[i] = (uint8_t)(i % stack->config.workers);
	net->routes = stack->routes;
	if (caps->rss.table_len &&
	    net_rss_init(&stack->rss, caps->rss.key, caps->rss.key_len, caps->rss.table,
			 caps->rss.table_len, caps->rss.tcp4, caps->rss.tcp6))
		net->ports[0].rss = &stack->rss;
}

static bool start_workers(struct sim_stack *stack, uint64_t now_us, struct sim_random *random)
{
	const struct sim_stack_config *config = &stack->config;
	static unsigned serial; /* mempools' names are the process's */
	struct worker_config worker = {
		.n_ports = 1,
		.ports = {stack->port},
		.handover = stack->handover,
		.net = stack->net,
		.tcp =
			{
				.conns = config->conns,
				.clients = config->clients,
				.client_half_open = config->client_half_open,
				.client_conns = config->client_conns,
				.receive_window = config->receive_window,
				.send_queue = config->send_queue,
				.idle_timeout_ms = config->idle_timeout_ms,
				.without = config->without,
				.isn_key = random_key(random),
			},
		.listen = {config->listen},
		.n_listen = config->listen != 0,
		.routes = (const struct routes *const *)&stack->routes,
		.recipients = config->recipients,
		.wake_fd = -1,
		.service = config->service,
		.service_config = config->service_config,
	};

	for (uint16_t i = 0; i < config->workers; i++) {
		char name[RTE_MEMPOOL_NAMESIZE];

		snprintf(name, sizeof(name), "sim-tcp-%u", serial++);
		stack->pools[i] = rte_pktmbuf_pool_create(name, config->buffers, 0, 0,
							  RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
		worker.index = i;
		worker.counters = &stack->counters[i];
		worker.net.counters = &stack->counters[i];
		worker.tcp.pool = stack->pools[i];
		worker.tcp.active_first = (uint16_t)(SIM_ACTIVE_FIRST + i * SIM_ACTIVE_SLICE);
		worker.tcp.active_count = SIM_ACTIVE_SLICE;
		worker.tcp.first_local_port =
			(uint16_t)(worker.tcp.active_first +
				   sim_random_below(random, SIM_ACTIVE_SLICE));
		stack->workers[i] = stack->pools[i] ? worker_new(&worker, now_us) : NULL;
		if (stack->workers[i] == NULL) {
			fputs("a worker does not start: no memory?\n", stderr);
			return false;
		}
	}
	return true;
}

static bool start(struct sim_stack *stack, struct sim_wire *wire)
{
	const int no_wake_fds[SIM_WORKERS_MAX] = {-1, -1, -1, -1, -1, -1, -1, -1};
	struct sim_random *random = sim_wire_random(wire);
	struct sim_host host = {
		.name = stack->name,
		.queues = stack->config.workers,
		.self = stack,
		.turn = turn,
		.next_due = next_due,
		.steer = steer,
	};

	stack->routes = everybody_on_link();
	if (stack->routes == NULL || !open_port(stack))
		return false;
	if (stack->config.workers > 1) {
		stack->handover = handover_new(stack->config.workers, no_wake_fds);
		if (stack->handover == NULL)
			return false;
	}
	fill_net(stack, random);
	if (!start_workers(stack, sim_wire_now(wire), random))
		return false;
	host.port = stack->port;
	mac_of(stack->config.number, host.mac);
	stack->host = sim_wire_join(wire, &host);
	return stack->host >= 0;
}

struct sim_stack *sim_stack_new(struct sim_wire *wire, const struct sim_stack_config *config)
{
	struct sim_stack *stack = calloc(1, sizeof(*stack));

	if (stack == NULL)
		return NULL;
	stack->config = *config;
	snprintf(stack->name, sizeof(stack->name), "sim%u", config->number);
	if (!start(stack, wire)) {
		sim_stack_free(stack);
		return NULL;
	}
	return stack;
}

void sim_stack_free(struct sim_stack *stack)
{
	if (stack == NULL)
		return;
	for (uint16_t i = 0; i < stack->config.workers; i++)
		if (stack->workers[i] != NULL)
			worker_free(stack->workers[i]);
	if (stack->handover != NULL)
		handover_free(stack->handover);
	if (stack->port != NULL)
		port_close(stack->port);
	for (uint16_t i = 0; i < stack->config.workers; i++)
		rte_mempool_free(stack->pools[i]);
	if (stack->routes != NULL)
		routes_free(stack->routes);
	free(stack);
}

void sim_stack_set_rss(struct sim_stack *stack, const struct port_rss *rss)
{
	port_memory_set_rss(stack->port, rss);
}

/* --- questions ------------------------------------------------------------------------------- */

int sim_stack_host(const struct sim_stack *stack)
{
	return stack->host;
}

uint32_t sim_stack_conns(const struct sim_stack *stack)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < stack->config.workers; i++)
		n += tcp_conns(worker_tcp(stack->workers[i]));
	return n;
}

uint32_t sim_stack_time_waits(const struct sim_stack *stack)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < stack->config.workers; i++)
		n += tcp_time_waits(worker_tcp(stack->workers[i]));
	return n;
}

void sim_stack_counters(const struct sim_stack *stack, struct postern_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint16_t i = 0; i < stack->config.workers; i++) {
#define X(name, text) sum->name += counter_read(&stack->counters[i].name);
		POSTERN_COUNTERS(X)
#undef X
	}
}

uint64_t sim_stack_misplaced(const struct sim_stack *stack)
{
	return stack->misplaced;
}

uint32_t sim_stack_buffers_out(const struct sim_stack *stack)
{
	uint32_t out = 0;

	for (uint16_t i = 0; i < stack->config.workers; i++) {
		out += rte_mempool_in_use_count(stack->pools[i]);
		out += rte_mempool_in_use_count(port_pool(stack->port, i));
	}
	return out;
}
