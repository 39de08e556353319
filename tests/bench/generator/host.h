/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator's end of the link: one interface, many addresses, and our TCP on them.
 *
 * Thread: one. Time: given. Memory: what the port and tcp make at host_open; nothing later.
 * Rules: no kernel knows the link, so the gateway's link address is told and never asked for. The
 * loop is its user's, who may take frames out of what came before TCP sees them.
 */
#ifndef POSTERN_TESTS_GENERATOR_HOST_H
#define POSTERN_TESTS_GENERATOR_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "net/net.h"
#include "port/port.h"
#include "postern/counters.h"
#include "tcp/tcp.h"

enum {
	HOST_PORT_FIRST = 1024, /* source ports, of each address */
	HOST_PORTS = 65536 - HOST_PORT_FIRST,
};

struct host_config {
	const char *device; /* a DPDK vdev */
	uint32_t n_addresses;
	struct ip_addr addresses[NET_ADDRESSES_MAX];
	uint8_t gateway_mac[6];
	uint32_t conns;
	bool lossy; /* what the link has no room for is lost, as on a wire; else TCP waits for it */
	uint64_t seed;
};

struct host {
	struct postern_counters counters;
	struct net net;
	struct net_path path; /* to the gateway */
	struct port *port;
	struct rte_mempool *kept;
	struct tcp *tcp;
	bool lossy;
	uint64_t given; /* frames to the port, from the start */
	uint64_t opened;
};

/* 0, or -errno with a sentence in error. The EAL runs. */
int host_open(struct host *h, const struct host_config *config, char *error, size_t len);
void host_close(struct host *h);

/* Gives the link a frame nobody wants; it is up once nothing waits. False: no buffer. */
bool host_knock(struct host *h);
/* Waits a moment for it. */
bool host_link_is_up(struct host *h);

/* Opens a connection from the next source port, address after address; NULL: none is free, or the
 * table is full. */
struct tcp_conn *host_connect(struct host *h, const struct ip_addr *to, uint16_t port);

uint16_t host_receive(struct host *h, struct rte_mbuf **frames, uint16_t n);
void host_send_take(struct host *h, struct rte_mbuf **frames, uint16_t n);
/* Frames given that the link has not taken yet. */
uint64_t host_waiting(const struct host *h);
/* Sends what TCP has to send. How many frames that were. */
uint32_t host_output(struct host *h, uint64_t now_us);

struct rte_mempool *host_pool(const struct host *h);

#endif
