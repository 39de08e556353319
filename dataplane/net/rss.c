/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Toeplitz by tables of four bits: 4.5 KiB, which stay in the first cache. A bit at a time, as
 * DPDK's rte_softrss_be has it, takes five times as long; tables of eight bits half of it, but
 * 36 KiB.
 *
 * Thread: any. Time: none. Memory: none.
 */
#include "net/rss.h"

#include <string.h>

/* The 32 bits of the key that begin at this one. */
static uint32_t window(const uint8_t *key, size_t bit)
{
	uint64_t octets = 0;

	for (size_t i = 0; i < NET_RSS_WINDOW + 1; i++)
		octets = octets << 8 | key[bit / 8 + i];
	return (uint32_t)(octets >> (8 - bit % 8));
}

static uint32_t weigh(const uint8_t *key, size_t nibble, unsigned value)
{
	uint32_t hash = 0;

	for (unsigned bit = 0; bit < 4; bit++)
		if (value & 8 >> bit)
			hash ^= window(key, 4 * nibble + bit);
	return hash;
}

bool net_rss_init(struct net_rss *r, const uint8_t *key, size_t key_len, const uint8_t *queues,
		  size_t n_queues, bool tcp4, bool tcp6)
{
	uint8_t padded[NET_RSS_KEY6] = {0};

	if (n_queues == 0 || n_queues > NET_RSS_TABLE_MAX || (n_queues & (n_queues - 1)))
		return false;
	memset(r, 0, sizeof(*r));
	r->tcp4 = tcp4 && key_len >= NET_RSS_KEY4;
	r->tcp6 = tcp6 && key_len >= NET_RSS_KEY6;
	memcpy(padded, key, key_len < NET_RSS_KEY6 ? key_len : NET_RSS_KEY6);
	for (size_t nibble = 0; nibble < 2 * NET_RSS_INPUT6; nibble++)
		for (unsigned value = 0; value < 16; value++)
			r->adds[nibble][value] = weigh(padded, nibble, value);
	r->table_mask = (uint32_t)n_queues - 1;
	memcpy(r->queue, queues, n_queues);
	return r->tcp4 || r->tcp6;
}

/* What len octets add whose first has this place in the input. */
static inline uint32_t add(const struct net_rss *r, size_t at, const uint8_t *octets, size_t len)
{
	uint32_t hash = 0;

	for (size_t i = 0; i < len; i++) {
		const uint32_t(*adds)[16] = &r->adds[2 * (at + i)];

		hash ^= adds[0][octets[i] >> 4] ^ adds[1][octets[i] & 15];
	}
	return hash;
}

static inline uint32_t add_all(const struct net_rss *r, const struct flow *flow, size_t address)
{
	const size_t skip = sizeof(flow->local) - address;
	const uint8_t ports[4] = {
		(uint8_t)(flow->remote_port >> 8),
		(uint8_t)flow->remote_port,
		(uint8_t)(flow->local_port >> 8),
		(uint8_t)flow->local_port,
	};

	return add(r, 0, flow->remote.octets + skip, address) ^
	       add(r, address, flow->local.octets + skip, address) ^
	       add(r, 2 * address, ports, sizeof(ports));
}

uint32_t net_rss_hash(const struct net_rss *r, const struct flow *flow)
{
	if (ip_addr_is_v4(&flow->local))
		return add_all(r, flow, 4);
	return add_all(r, flow, 16);
}

void net_rss_choice_init(struct net_rss_choice *choice, const struct net_rss *r,
			 const struct flow *flow)
{
	struct flow open = *flow;
	size_t input = ip_addr_is_v4(&flow->local) ? NET_RSS_INPUT4 : NET_RSS_INPUT6;

	open.local_port = 0; /* which adds nothing */
	*choice = (struct net_rss_choice){
		.rss = r,
		.hash = net_rss_hash(r, &open),
		.port_at = (uint8_t)(2 * (input - sizeof(flow->local_port))),
	};
}
