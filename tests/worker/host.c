/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers on in-memory interfaces. Thread, Time, Memory, Rules: host.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "host.h"
#include "net/rss.h"

enum {
	CONNS = 8192,
	WINDOW = 65536,
	ETHERNET = 14,
	SYN_LEN = ETHERNET + 20 + 20,
};

static struct ip_addr address_of(uint32_t port)
{
	const uint8_t octets[4] = {10, (uint8_t)port, 0, 1};

	return ip_addr_from_v4(octets);
}

static void open_ports(struct host *h, struct net *net, const struct port_rss *says)
{
	struct postern_counters *counters[HOST_WORKERS_MAX];
	char error[256];

	for (uint16_t i = 0; i < h->n_workers; i++)
		counters[i] = &h->counters[i];
	for (uint32_t i = 0; i < h->n_ports; i++) {
		const struct port_config config = {
			.kind = PORT_MEMORY,
			.device = "memory",
			.index = (uint8_t)i,
			.queues = h->n_workers,
			.frames = HOST_FRAMES,
			.memory_mac = {2, 0, 0, 0, 0, (uint8_t)i},
			.memory_rss = says,
		};

		if (port_open(&h->ports[i], &config, counters, error, sizeof(error)))
			fail_msg("%s", error);
		memcpy(net->ports[i].mac, config.memory_mac, 6);
		net->ports[i].mtu = 1500;
		net->addresses[i].ip = address_of(i);
		net->addresses[i].port = (uint8_t)i;
		net->ports[i].rss = h->rss;
	}
	net->n_ports = net->n_addresses = h->n_ports;
}

static bool start_worker(struct host *h, const struct net *net, uint16_t index,
			 const struct worker_service *service, void *service_config)
{
	static unsigned serial; /* mempools' names are the process's */
	char name[RTE_MEMPOOL_NAMESIZE];
	struct worker_config config = {
		.index = index,
		.n_ports = h->n_ports,
		.handover = h->handover,
		.net = *net,
		.tcp = {.conns = CONNS,
			.receive_window = WINDOW,
			.send_queue = WINDOW,
			.active_first = (uint16_t)(20000 + 1000 * index),
			.active_count = 1000,
			.first_local_port = (uint16_t)(20000 + 1000 * index)},
		.listen = {HOST_LISTEN},
		.n_listen = 1,
		.routes = &h->published,
		.counters = &h->counters[index],
		.wake_fd = -1,
		.service = service,
		.service_config = service_config,
	};

	snprintf(name, sizeof(name), "host-%u", serial++);
	h->pools[index] = rte_pktmbuf_pool_create(name, HOST_BUFFERS, 0, 0,
						  RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(h->pools[index]);
	config.tcp.pool = h->pools[index];
	memcpy(config.ports, h->ports, sizeof(config.ports));
	h->workers[index] = worker_new(&config, h->now_us);
	return h->workers[index] != NULL;
}

static bool start(struct host *h, uint16_t owner, const struct port_rss *says,
		  const struct worker_service *service, void *service_config)
{
	const int no_wake_fds[HOST_WORKERS_MAX] = {-1, -1, -1, -1};
	const uint16_t workers = h->n_workers;
	struct net net = {.n_workers = workers, .active_first = 20000, .active_slice = 1000};

	h->now_us = 1000000;
	open_ports(h, &net, says);
	memset(net.owner_of, owner, sizeof(net.owner_of));
	if (workers > 1) {
		h->handover = handover_new(workers, no_wake_fds);
		assert_non_null(h->handover);
	}
	for (uint16_t i = 0; i < workers; i++)
		if (!start_worker(h, &net, i, service, service_config))
			return false;
	return true;
}

bool host_new(struct host *h, uint16_t workers, uint32_t ports, uint16_t owner,
	      const struct worker_service *service, void *service_config)
{
	*h = (struct host){.n_workers = workers, .n_ports = ports};
	return start(h, owner, NULL, service, service_config);
}

bool host_new_by_rss(struct host *h, uint16_t workers, const struct port_rss *says,
		     const struct worker_service *service, void *service_config)
{
	*h = (struct host){.n_workers = workers, .n_ports = 1};
	h->rss = malloc(sizeof(*h->rss));
	assert_non_null(h->rss);
	assert_true(net_rss_init(h->rss, says->key, says->key_len, says->table, says->table_len,
				 says->tcp4, says->tcp6));
	return start(h, 0, says, service, service_config);
}

void host_free(struct host *h)
{
	uint8_t octet;

	for (uint16_t i = 0; i < h->n_workers; i++)
		worker_free(h->workers[i]);
	handover_free(h->handover);
	for (uint32_t p = 0; p < h->n_ports; p++)
		for (uint16_t i = 0; i < h->n_workers; i++)
			while (host_pop(h, p, i, &octet, 1))
				;
	for (uint32_t p = 0; p < h->n_ports; p++) {
		for (uint16_t i = 0; i < h->n_workers; i++)
			assert_int_equal(rte_mempool_in_use_count(port_pool(h->ports[p], i)), 0);
		port_close(h->ports[p]);
	}
	for (uint16_t i = 0; i < h->n_workers; i++) {
		if (h->pools[i])
			assert_int_equal(rte_mempool_in_use_count(h->pools[i]), 0);
		rte_mempool_free(h->pools[i]);
	}
	routes_free(h->routes);
	free(h->rss);
}

void host_push_syn(struct host *h, uint32_t port, uint16_t queue, uint16_t from_port)
{
	host_push_segment(h, port, queue, from_port, RTE_TCP_SYN_FLAG);
}

static struct ip_addr client_of(uint32_t port)
{
	const uint8_t octets[4] = {10, (uint8_t)port, 0, 2};

	return ip_addr_from_v4(octets);
}

uint16_t host_owner(const struct host *h, uint16_t from_port)
{
	const struct flow flow = {
		.local = address_of(0),
		.remote = client_of(0),
		.local_port = HOST_LISTEN,
		.remote_port = from_port,
	};

	return net_rss_queue(h->rss, net_rss_hash(h->rss, &flow));
}

void host_push_segment(struct host *h, uint32_t port, uint16_t queue, uint16_t from_port,
		       uint8_t flags)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(port_pool(h->ports[port], queue));
	const struct ip_addr to = address_of(port), from = client_of(port);
	struct rte_ether_hdr *eth;
	struct rte_ipv4_hdr *ip;
	struct rte_tcp_hdr *tcp;

	assert_non_null(m);
	eth = (struct rte_ether_hdr *)rte_pktmbuf_append(m, SYN_LEN);
	ip = (struct rte_ipv4_hdr *)(eth + 1);
	tcp = (struct rte_tcp_hdr *)(ip + 1);
	*eth = (struct rte_ether_hdr){
		.dst_addr = {{2, 0, 0, 0, 0, (uint8_t)port}},
		.src_addr = {{2, 1, 0, 0, 0, (uint8_t)port}},
		.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4),
	};
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16(SYN_LEN - ETHERNET),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_TCP,
	};
	memcpy(&ip->src_addr, from.octets + 12, 4);
	memcpy(&ip->dst_addr, to.octets + 12, 4);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*tcp = (struct rte_tcp_hdr){
		.src_port = rte_cpu_to_be_16(from_port),
		.dst_port = RTE_BE16(HOST_LISTEN),
		.data_off = 5 << 4,
		.tcp_flags = flags,
		.rx_win = RTE_BE16(UINT16_MAX),
	};
	tcp->cksum = rte_ipv4_udptcp_cksum(ip, tcp);
	assert_true(port_memory_push(h->ports[port], queue, m));
}

bool host_pop(struct host *h, uint32_t port, uint16_t queue, uint8_t *octets, uint16_t len)
{
	struct rte_mbuf *m = port_memory_pop(h->ports[port], queue);

	if (!m)
		return false;
	assert_true(rte_pktmbuf_data_len(m) >= len);
	memcpy(octets, rte_pktmbuf_mtod(m, uint8_t *), len);
	rte_pktmbuf_free(m);
	return true;
}

uint32_t host_turn(struct host *h, uint16_t worker)
{
	h->now_us += 10;
	return worker_turn(h->workers[worker], h->now_us);
}
