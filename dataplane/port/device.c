/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports that are DPDK devices: one ethdev with a queue pair a worker, found by its devargs.
 *
 * Thread: open and close by control; rx, tx and prepare by the queue's worker.
 * Time: none. Memory: a pool a queue, of buffers that hold a frame of the device's MTU.
 * Rules: what the driver offers is asked of it and enabled; nothing is assumed. PCI devices come
 * by the same path as virtual ones; no network card has been at hand to prove them on. Quirks of
 * DPDK 22.11's net_tap that end here: a queue can be waited on by its file descriptor, handed out
 * as that of an interrupt (other drivers' interrupts need arming around each sleep and are not
 * used); its checksums are wrong when a chain's segment has an odd length, so it gets no chains.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "port/device.h"
#include "port/rss.h"

enum {
	DEVICE_FRAMES = 4096,
	DEVICE_DESCRIPTORS = 512,
};

static const uint64_t tx_wanted = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM |
				  RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
static const uint64_t rx_wanted = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t rss_wanted = RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP;
static const uint8_t no_key[PORT_RSS_KEY_MAX];

int device_probe(struct port *port, const char *devargs, uint16_t n, char *error, size_t len)
{
	struct rte_eth_dev_info info;
	char name[RTE_DEV_NAME_MAX_LEN];
	size_t name_len = strcspn(devargs, ",");
	uint16_t eth_port;
	int rc;

	if (name_len == 0 || name_len >= sizeof(name))
		return port_error(error, len, -EINVAL, "%s: not the name of a device", devargs);
	memcpy(name, devargs, name_len);
	name[name_len] = '\0';
	/* Probing one that exists succeeds or not by the bus; it would then be opened twice. */
	if (rte_eth_dev_get_port_by_name(name, &eth_port) == 0)
		return port_error(error, len, -EEXIST, "%s: is already open", name);
	rc = rte_dev_probe(devargs);
	if (rc)
		return port_error(error, len, rc, "%s: DPDK cannot open the device: %s", name,
				  rte_strerror(-rc));
	rc = rte_eth_dev_get_port_by_name(name, &eth_port);
	if (rc)
		return port_error(error, len, rc, "%s: is no network device", name);
	port->devices[port->n_devices++] = eth_port;
	rc = rte_eth_dev_info_get(eth_port, &info);
	if (rc)
		return port_error(error, len, rc, "%s: tells nothing about itself: %s", name,
				  rte_strerror(-rc));
	if (n > info.max_rx_queues || n > info.max_tx_queues)
		return port_error(error, len, -ENOSPC,
				  "%s: %u queues asked for, it has %u to receive and %u to send",
				  name, n, info.max_rx_queues, info.max_tx_queues);
	return 0;
}

static void claims_from(struct port_caps *caps, const struct rte_eth_conf *conf)
{
	uint64_t tx = conf->txmode.offloads, rx = conf->rxmode.offloads;

	caps->tx_ipv4_checksum = tx & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM;
	caps->tx_tcp_checksum = tx & RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	caps->chains = tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	caps->rx_checksum = (rx & rx_wanted) == rx_wanted;
}

static int queues_start(struct port_queue *q, uint16_t eth_port, uint16_t n,
			const struct rte_eth_dev_info *info, uint16_t descriptors)
{
	uint16_t n_rx = descriptors, n_tx = descriptors;
	int socket = rte_eth_dev_socket_id(eth_port);
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(eth_port, &n_rx, &n_tx);

	for (uint16_t i = 0; rc == 0 && i < n; i++) {
		q[i].eth_port = eth_port;
		q[i].eth_queue = i;
		rc = rte_eth_rx_queue_setup(eth_port, i, n_rx, (unsigned)socket,
					    &info->default_rxconf, q[i].pool);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(eth_port, i, n_tx, (unsigned)socket,
						    &info->default_txconf);
	}
	return rc ? rc : rte_eth_dev_start(eth_port);
}

/* Asks for RSS, under a key of our own where the device takes one. */
static void rss_request(struct port *port, const struct port_config *config,
			const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	struct rte_eth_rss_conf *rss = &conf->rx_adv_conf.rss_conf;

	if (!(info->flow_type_rss_offloads & rss_wanted))
		return;
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rxmode.offloads |= info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
	rss->rss_hf = info->flow_type_rss_offloads & rss_wanted;
	if (info->hash_key_size == 0 || info->hash_key_size > PORT_RSS_KEY_MAX ||
	    memcmp(config->rss_key, no_key, sizeof(no_key)) == 0)
		return;
	memcpy(port->rss_key, config->rss_key, sizeof(port->rss_key));
	rss->rss_key = port->rss_key;
	rss->rss_key_len = info->hash_key_size;
}

static void rss_read(struct port *port, uint16_t eth_port, uint16_t n,
		     const struct rte_eth_conf *conf)
{
	struct port_rss *rss = &port->caps.rss;

	rss_of_device(rss, eth_port, n);
	if (rss->table_len)
		rss->hash_in_mbuf = conf->rxmode.offloads & RTE_ETH_RX_OFFLOAD_RSS_HASH;
}

int device_start(struct port *port, const struct port_config *config, uint16_t eth_port,
		 uint16_t first, uint16_t n, uint16_t descriptors, char *error, size_t len)
{
	const char *device = config->device;
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	bool is_tap;
	int rc;

	rc = rte_eth_dev_info_get(eth_port, &info);
	if (rc)
		return port_error(error, len, rc, "%s: tells nothing about itself: %s", device,
				  rte_strerror(-rc));
	is_tap = strcmp(info.driver_name, "net_tap") == 0;
	conf.txmode.offloads = info.tx_offload_capa & tx_wanted;
	if (is_tap)
		conf.txmode.offloads &= ~RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf.rxmode.offloads = info.rx_offload_capa & rx_wanted;
	conf.intr_conf.rxq = is_tap;
	if (n > 1)
		rss_request(port, config, &info, &conf);
	rc = rte_eth_dev_configure(eth_port, n, n, &conf);
	if (rc)
		return port_error(error, len, rc, "%s: refuses %u queues: %s", device, n,
				  rte_strerror(-rc));
	rc = queues_start(&port->queues[first], eth_port, n, &info, descriptors);
	if (rc)
		return port_error(error, len, rc, "%s: does not start: %s", device,
				  rte_strerror(-rc));
	claims_from(&port->caps, &conf);
	if (conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS)
		rss_read(port, eth_port, n, &conf);
	for (uint16_t i = 0; i < n; i++) {
		struct port_queue *q = &port->queues[first + i];

		q->checksums = port->caps.tx_ipv4_checksum || port->caps.tx_tcp_checksum;
		if (is_tap)
			q->wait_fd = rte_eth_dev_rx_intr_ctl_q_get_fd(eth_port, i);
	}
	return 0;
}

static int device_open(struct port *port, const struct port_config *config, char *error, size_t len)
{
	struct rte_ether_addr mac;
	uint16_t eth_port;
	int rc;

	rc = device_probe(port, config->device, port->n_queues, error, len);
	if (rc)
		return rc;
	eth_port = port->devices[0];
	rc = rte_eth_macaddr_get(eth_port, &mac);
	if (rc == 0)
		rc = rte_eth_dev_get_mtu(eth_port, &port->caps.mtu);
	if (rc)
		return port_error(error, len, rc, "%s: has no link address or no MTU: %s",
				  config->device, rte_strerror(-rc));
	memcpy(port->caps.mac, &mac, sizeof(port->caps.mac));
	for (uint16_t i = 0; i < port->n_queues; i++) {
		rc = port_pool_new(port, i, config->frames ? config->frames : DEVICE_FRAMES,
				   port->caps.mtu + PORT_FRAME_OVERHEAD, 0, error, len);
		if (rc)
			return rc;
	}
	return device_start(port, config, eth_port, 0, port->n_queues,
			    config->descriptors ? config->descriptors : DEVICE_DESCRIPTORS, error,
			    len);
}

/* Removal closes the device; closing first would let some drivers forget to clean up. */
void device_close(struct port *port)
{
	struct rte_eth_dev_info info;

	for (uint16_t i = 0; i < port->n_devices; i++) {
		if (rte_eth_dev_info_get(port->devices[i], &info))
			continue;
		rte_eth_dev_stop(port->devices[i]);
		rte_dev_remove(info.device);
	}
}

uint16_t device_rx(struct port_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	return rte_eth_rx_burst(q->eth_port, q->eth_queue, frames, n);
}

uint16_t device_tx(struct port_queue *q, struct rte_mbuf **frames, uint16_t n)
{
	return rte_eth_tx_burst(q->eth_port, q->eth_queue, frames, n);
}

/* Drivers that want the pseudo header's sum in the field put it there here. */
static bool device_prepare(struct port_queue *q, struct rte_mbuf *m)
{
	return !q->checksums || rte_eth_tx_prepare(q->eth_port, q->eth_queue, &m, 1) == 1;
}

const struct port_driver port_device_driver = {
	.open = device_open,
	.rx = device_rx,
	.tx = device_tx,
	.prepare = device_prepare,
	.close = device_close,
};
