/* SPDX-License-Identifier: BSD-3-Clause */
/* The generator's end of the link. Thread, Time, Memory, Rules: host.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>

#include "behind.h"
#include "common/network.h"
#include "host.h"
#include "sim/sim_random.h"

enum {
	KEPT_BUFFERS = 8191, /* bytes kept by TCP: replies are read at once, commands are short */
	KEPT_CACHE = 256,
	WINDOW = 65535,
	SEND_QUEUE = 65536,
	OUTPUT_BURST = 64,
	WAITING_MAX = 2 * OUTPUT_BURST, /* frames before TCP's next burst; the port has room for
					   that and more */
	NOBODYS_FRAME = 60,		/* octets */
};

static struct siphash_key key_new(struct sim_random *r)
{
	uint64_t k0 = sim_random(r);

	return (struct siphash_key){k0, sim_random(r)};
}

static void net_set_up(struct host *h, const struct host_config *config, struct sim_random *r)
{
	const struct port_caps *caps = port_caps(h->port);
	struct net *net = &h->net;

	*net = (struct net){
		.n_ports = 1,
		.n_addresses = config->n_addresses,
		.n_workers = 1,
		.hash_key = key_new(r),
		.counters = &h->counters,
	};
	net->ports[0] = (struct net_port){
		.mtu = caps->mtu,
		.tx_ipv4_checksum = caps->tx_ipv4_checksum,
		.tx_tcp_checksum = caps->tx_tcp_checksum,
	};
	memcpy(net->ports[0].mac, caps->mac, sizeof(caps->mac));
	for (uint32_t i = 0; i < config->n_addresses; i++)
		net->addresses[i].ip = config->addresses[i];
	memcpy(h->path.mac, config->gateway_mac, sizeof(h->path.mac));
}

static int tcp_set_up(struct host *h, const struct host_config *config, struct sim_random *r)
{
	const struct tcp_config tcp = {
		.conns = config->conns,
		.receive_window = WINDOW,
		.send_queue = SEND_QUEUE,
		.net = &h->net,
		.pool = h->kept,
		.frame_pools = {host_pool(h)},
		.isn_key = key_new(r),
		.cookie_key = key_new(r),
		.active_first = HOST_PORT_FIRST,
		.active_count = HOST_PORTS,
		.first_local_port = HOST_PORT_FIRST,
		.counters = &h->counters,
	};

	h->tcp = tcp_new(&tcp, test_now_us());
	return h->tcp && tcp_listen(h->tcp, BEHIND_PORT) ? 0 : -ENOMEM;
}

int host_open(struct host *h, const struct host_config *config, char *error, size_t len)
{
	const struct port_config port = {.kind = PORT_VDEV, .device = config->device, .queues = 1};
	struct postern_counters *counters = &h->counters;
	struct sim_random r = {config->seed};
	int rc;

	*h = (struct host){.lossy = config->lossy};
	rc = port_open(&h->port, &port, &counters, error, len);
	if (rc)
		return rc;
	h->kept = rte_pktmbuf_pool_create("kept", KEPT_BUFFERS, KEPT_CACHE, 0,
					  RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!h->kept) {
		snprintf(error, len, "buffers: %s", rte_strerror(rte_errno));
		host_close(h);
		return -rte_errno;
	}
	net_set_up(h, config, &r);
	rc = tcp_set_up(h, config, &r);
	if (rc) {
		snprintf(error, len, "no memory for %u connections", config->conns);
		host_close(h);
	}
	return rc;
}

void host_close(struct host *h)
{
	tcp_free(h->tcp);
	rte_mempool_free(h->kept);
	port_close(h->port);
	*h = (struct host){.port = NULL};
}

struct rte_mempool *host_pool(const struct host *h)
{
	return port_pool(h->port, 0);
}

bool host_knock(struct host *h)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(host_pool(h));
	char *frame;

	if (!m)
		return false;
	/* From us to us, of no protocol: the gateway counts it and forgets it. */
	frame = rte_pktmbuf_append(m, NOBODYS_FRAME);
	memset(frame, 0, NOBODYS_FRAME);
	memcpy(frame, h->net.ports[0].mac, 6);
	memcpy(frame + 6, h->net.ports[0].mac, 6);
	host_send_take(h, &m, 1);
	return true;
}

bool host_link_is_up(struct host *h)
{
	if (host_waiting(h))
		port_idle(&h->port, 1, 0, -1, UINT64_MAX);
	port_flush(h->port, 0);
	return host_waiting(h) == 0;
}

struct tcp_conn *host_connect(struct host *h, const struct ip_addr *to, uint16_t port)
{
	for (uint32_t tries = 0; tries < h->net.n_addresses; tries++) {
		uint64_t at = (h->opened / HOST_PORTS + tries) % h->net.n_addresses;
		const struct ip_addr *from = &h->net.addresses[at].ip;
		struct tcp_conn *c;

		c = tcp_connect(h->tcp, from, to, port, &h->path);
		if (!c)
			continue;
		h->opened++;
		return c;
	}
	return NULL;
}

uint16_t host_receive(struct host *h, struct rte_mbuf **frames, uint16_t n)
{
	return port_rx(h->port, 0, frames, n);
}

void host_send_take(struct host *h, struct rte_mbuf **frames, uint16_t n)
{
	port_tx_take(h->port, 0, frames, n);
	port_flush(h->port, 0);
	h->given += n;
}

uint64_t host_waiting(const struct host *h)
{
	return h->given - h->counters.port_tx_frames - h->counters.port_tx_full -
	       h->counters.port_tx_refused;
}

uint32_t host_output(struct host *h, uint64_t now_us)
{
	struct rte_mbuf *frames[OUTPUT_BURST];
	uint32_t total = 0;
	uint16_t n;

	do {
		if (!h->lossy && host_waiting(h) > WAITING_MAX)
			break;
		n = tcp_output(h->tcp, frames, OUTPUT_BURST, now_us);
		if (n)
			host_send_take(h, frames, n);
		total += n;
	} while (n == OUTPUT_BURST);
	return total;
}
