/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What an interface says of its RSS, asked of its DPDK driver or of the kernel's by ethtool.
 *
 * Thread: control, at open. Time: none. Memory: the stack.
 * Rules: the answers to ETHTOOL_GRSSH (key, table, hash function) and ETHTOOL_GRXFH (what of a flow
 * is hashed). Deliberately not understood: hashes other than Toeplitz, symmetric ones, less or more
 * than addresses and ports, tables whose length is no power of two or that name queues we do not
 * have.
 */
#include "port/rss.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ethdev.h>

enum {
	/* The first of the kernel's hash functions (the string set ETH_SS_RSS_HASH_FUNCS). */
	HASH_TOEPLITZ = 1 << 0,
	/* In the first of rsvd8, since Linux 6.8: addresses and ports are folded before. */
	INPUT_AS_IT_IS = 0,
	HASH_OF_FOUR = RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3,
	DEVICE_KEY = 40, /* unless a driver says otherwise: rte_ethdev.h */
	TABLE_MAX = PORT_RSS_TABLE_MAX,
	GROUP = RTE_ETH_RETA_GROUP_SIZE,
};

static bool table_is_usable(size_t len)
{
	return len > 0 && len <= TABLE_MAX && (len & (len - 1)) == 0;
}

/* --- the kernel's driver --------------------------------------------------------------------- */

bool rss_read_ethtool(struct port_rss *rss, const void *answer, size_t len, uint16_t queues)
{
	const uint8_t *octets = answer;
	struct ethtool_rxfh head;
	size_t table_at = sizeof(head), key_at;

	if (len < sizeof(head))
		return false;
	memcpy(&head, octets, sizeof(head));
	if (head.hfunc != HASH_TOEPLITZ || head.rsvd8[0] != INPUT_AS_IT_IS)
		return false;
	if (!table_is_usable(head.indir_size) || head.key_size == 0 ||
	    head.key_size > PORT_RSS_KEY_MAX)
		return false;
	key_at = table_at + head.indir_size * sizeof(uint32_t);
	if (key_at + head.key_size > len)
		return false;
	for (size_t i = 0; i < head.indir_size; i++) {
		uint32_t queue;

		memcpy(&queue, octets + table_at + i * sizeof(queue), sizeof(queue));
		if (queue >= queues)
			return false;
		rss->table[i] = (uint8_t)queue;
	}
	rss->table_len = (uint16_t)head.indir_size;
	memcpy(rss->key, octets + key_at, head.key_size);
	rss->key_len = (uint8_t)head.key_size;
	return true;
}

static bool hashes_all_four(rss_ask *ask, void *arg, uint32_t flow_type)
{
	struct ethtool_rxnfc what = {.cmd = ETHTOOL_GRXFH, .flow_type = flow_type};

	return ask(arg, &what) == 0 && what.data == HASH_OF_FOUR;
}

void rss_of_ethtool(struct port_rss *rss, rss_ask *ask, void *arg, uint16_t queues)
{
	struct ethtool_rxfh sizes = {.cmd = ETHTOOL_GRSSH};
	union {
		struct ethtool_rxfh head;
		uint8_t octets[sizeof(struct ethtool_rxfh) + TABLE_MAX * sizeof(uint32_t) +
			       PORT_RSS_KEY_MAX];
	} answer = {0};

	memset(rss, 0, sizeof(*rss));
	if (ask(arg, &sizes) || sizes.indir_size > TABLE_MAX || sizes.key_size > PORT_RSS_KEY_MAX)
		return;
	answer.head.cmd = ETHTOOL_GRSSH;
	answer.head.indir_size = sizes.indir_size;
	answer.head.key_size = sizes.key_size;
	if (ask(arg, &answer) ||
	    !rss_read_ethtool(rss, answer.octets, sizeof(answer.octets), queues)) {
		memset(rss, 0, sizeof(*rss));
		return;
	}
	rss->tcp4 = hashes_all_four(ask, arg, TCP_V4_FLOW);
	rss->tcp6 = hashes_all_four(ask, arg, TCP_V6_FLOW);
	if (!rss->tcp4 && !rss->tcp6)
		memset(rss, 0, sizeof(*rss));
}

struct interface {
	int fd;
	struct ifreq ifr;
};

static int ask_kernel(void *arg, void *command)
{
	struct interface *i = arg;

	i->ifr.ifr_data = command;
	return ioctl(i->fd, SIOCETHTOOL, &i->ifr) ? -errno : 0;
}

void rss_of_interface(struct port_rss *rss, const char *name, uint16_t queues)
{
	struct interface i = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};

	memset(rss, 0, sizeof(*rss));
	if (i.fd < 0)
		return;
	memcpy(i.ifr.ifr_name, name, strnlen(name, sizeof(i.ifr.ifr_name) - 1));
	rss_of_ethtool(rss, ask_kernel, &i, queues);
	close(i.fd);
}

/* --- a DPDK driver ---------------------------------------------------------------------------- */

static bool read_device_key(struct port_rss *rss, uint16_t eth_port, uint8_t len)
{
	uint8_t key[UINT8_MAX]; /* drivers write theirs, however long */
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = len};

	if (len > PORT_RSS_KEY_MAX || rte_eth_dev_rss_hash_conf_get(eth_port, &conf) != 0)
		return false;
	memcpy(rss->key, key, len);
	rss->key_len = len;
	rss->tcp4 = conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP;
	rss->tcp6 = conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV6_TCP;
	return rss->tcp4 || rss->tcp6;
}

static bool read_device_table(struct port_rss *rss, uint16_t eth_port, uint16_t len,
			      uint16_t queues)
{
	struct rte_eth_rss_reta_entry64 groups[TABLE_MAX / GROUP];

	if (!table_is_usable(len))
		return false;
	memset(groups, 0, sizeof(groups));
	for (size_t i = 0; i < TABLE_MAX / GROUP; i++)
		groups[i].mask = UINT64_MAX;
	if (rte_eth_dev_rss_reta_query(eth_port, groups, len) != 0)
		return false;
	for (uint16_t i = 0; i < len; i++) {
		uint16_t queue = groups[i / GROUP].reta[i % GROUP];

		if (queue >= queues)
			return false;
		rss->table[i] = (uint8_t)queue;
	}
	rss->table_len = len;
	return true;
}

void rss_of_device(struct port_rss *rss, uint16_t eth_port, uint16_t queues)
{
	struct rte_eth_dev_info info;

	memset(rss, 0, sizeof(*rss));
	if (rte_eth_dev_info_get(eth_port, &info) != 0)
		return;
	if (!read_device_key(rss, eth_port, info.hash_key_size ? info.hash_key_size : DEVICE_KEY) ||
	    !read_device_table(rss, eth_port, info.reta_size, queues))
		memset(rss, 0, sizeof(*rss));
}
