/* SPDX-License-Identifier: BSD-3-Clause */
/* Segments of strangers. Thread, Time, Memory, Rules: forge.h. */
#include <string.h>

#include <rte_byteorder.h>

#include "forge.h"
#include "net/checksum.h"
#include "net/parse.h"
#include "sim/sim_random.h"

enum {
	TYPE_AT = 12, /* within their headers */
	IP4_SUM_AT = 10,
	TCP_SEQ_AT = 4,
	TCP_SUM_AT = 16,
	PORT_FIRST = 1024,
	SYN_WINDOW = 64240,
	SYN_WSCALE = 7,
	SYN_TIME = 1,
};

/* --- names ------------------------------------------------------------------------------------ */

struct stranger forge_stranger(const struct forge *f, uint64_t random, uint16_t more)
{
	return (struct stranger){
		.host = f->v4 ? random >> (64 - FORGE_HOST_BITS_V4) : random,
		.port = (uint16_t)(PORT_FIRST + ((uint32_t)more * (65536 - PORT_FIRST) >> 16)),
	};
}

uint32_t forge_isn(const struct forge *f, const struct stranger *s)
{
	return (uint32_t)sim_mix(sim_mix(s->host ^ f->config.key) + s->port);
}

/* Where the host bits stand in an address on the wire, from the start of the IP header. */
static uint16_t source_host_at(const struct forge *f)
{
	return f->v4 ? 12 + 2 : 8 + 8;
}

static uint16_t destination_at(const struct forge *f)
{
	return f->v4 ? 16 : 24;
}

/* In network order; returns how many octets that are. */
static uint16_t host_write(const struct forge *f, uint64_t host, uint8_t *octets)
{
	uint64_t big = rte_cpu_to_be_64(f->v4 ? host << (64 - FORGE_HOST_BITS_V4) : host);
	uint16_t len = (f->v4 ? FORGE_HOST_BITS_V4 : FORGE_HOST_BITS_V6) / 8;

	memcpy(octets, &big, len);
	return len;
}

static struct flow flow_of(const struct forge *f, const struct stranger *s)
{
	struct flow flow = {
		.local = f->config.network,
		.remote = f->config.gateway,
		.local_port = s->port,
		.remote_port = f->config.port,
	};
	uint8_t octets[8];
	uint16_t len = host_write(f, s->host, octets);

	memcpy(flow.local.octets + 16 - len, octets, len);
	return flow;
}

/* --- out -------------------------------------------------------------------------------------- */

void forge_init(struct forge *f, const struct forge_config *config, struct rte_mbuf *m)
{
	const struct tcp_header syn = {
		.flags = TCP_SYN,
		.window = SYN_WINDOW,
		.has_mss = true,
		.mss = 1440,
		.has_wscale = true,
		.wscale = SYN_WSCALE,
		.has_ts = true,
		.ts_value = SYN_TIME,
		.sack_permitted = true,
	};
	const struct stranger nobody = {0, 0};

	*f = (struct forge){
		.config = *config,
		.net = {.n_ports = 1, .hash_key = {config->key, ~config->key}},
		.v4 = ip_addr_is_v4(&config->network),
		.ip_at = ETHERNET_HEADER,
	};
	f->tcp_at = ETHERNET_HEADER + (f->v4 ? IP4_HEADER : IP6_HEADER);
	memcpy(f->net.ports[0].mac, config->mac, sizeof(config->mac));
	memcpy(f->path.mac, config->gateway_mac, sizeof(f->path.mac));
	rte_pktmbuf_reset(m);
	forge_segment(f, &nobody, &syn, m);
	f->syn_len = rte_pktmbuf_data_len(m);
	memcpy(f->syn, rte_pktmbuf_mtod(m, const uint8_t *), f->syn_len);
}

void forge_segment(const struct forge *f, const struct stranger *s, const struct tcp_header *h,
		   struct rte_mbuf *m)
{
	struct flow flow = flow_of(f, s);
	char *tcp = rte_pktmbuf_append(m, tcp_header_len(h));

	tcp_header_write(h, (uint8_t *)tcp, s->port, f->config.port);
	net_output(&f->net, m, &flow, &f->path, 0);
}

/* RFC 1624, equation 3, where what was there before is zero. */
static void sum_correct(uint8_t *field, uint64_t added)
{
	uint16_t sum;

	memcpy(&sum, field, sizeof(sum));
	sum = (uint16_t)~checksum_fold((uint16_t)~sum + added);
	memcpy(field, &sum, sizeof(sum));
}

void forge_syn(const struct forge *f, const struct stranger *s, struct rte_mbuf *m)
{
	uint8_t *frame = (uint8_t *)rte_pktmbuf_append(m, f->syn_len);
	uint8_t *host = frame + f->ip_at + source_host_at(f), *tcp = frame + f->tcp_at;
	uint16_t port = rte_cpu_to_be_16(s->port), len;
	uint32_t seq = rte_cpu_to_be_32(forge_isn(f, s));
	uint64_t added;

	memcpy(frame, f->syn, f->syn_len);
	len = host_write(f, s->host, host);
	added = checksum_add(host, len);
	if (f->v4)
		sum_correct(frame + f->ip_at + IP4_SUM_AT, added);
	memcpy(tcp, &port, sizeof(port));
	memcpy(tcp + TCP_SEQ_AT, &seq, sizeof(seq));
	sum_correct(tcp + TCP_SUM_AT, added + port + seq);
}

/* --- in --------------------------------------------------------------------------------------- */

bool forge_is_for_stranger(const struct forge *f, const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *to = frame + f->ip_at + destination_at(f);
	const uint8_t *network = f->config.network.octets;

	if (rte_pktmbuf_data_len(m) < f->tcp_at ||
	    load_be16(frame + TYPE_AT) != (f->v4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6))
		return false;
	if (f->v4)
		return memcmp(to, network + 12, 2) == 0;
	return memcmp(to, network, 8) == 0;
}

static uint64_t host_read(const struct forge *f, const uint8_t *address)
{
	uint64_t big = 0;

	if (f->v4)
		return load_be16(address + 2);
	memcpy(&big, address + 8, sizeof(big));
	return rte_be_to_cpu_64(big);
}

/* The IP header as our stack writes it, and from the gateway; how long what it carries is. */
static bool ip_is_good(const struct forge *f, const uint8_t *ip, uint32_t left, uint32_t *len)
{
	const uint8_t *gateway = f->config.gateway.octets;

	if (!f->v4) {
		*len = load_be16(ip + 4);
		return ip[0] >> 4 == 6 && ip[6] == PROTOCOL_TCP && *len <= left - IP6_HEADER &&
		       memcmp(ip + 8, gateway, 16) == 0;
	}
	*len = load_be16(ip + 2) - IP4_HEADER;
	return ip[0] == 0x45 && ip[9] == PROTOCOL_TCP && *len <= left - IP4_HEADER &&
	       checksum_fold(checksum_add(ip, IP4_HEADER)) == CHECKSUM_GOOD &&
	       memcmp(ip + 12, gateway + 12, 4) == 0;
}

static bool tcp_sum_is_good(const struct forge *f, const uint8_t *ip, const uint8_t *tcp,
			    uint32_t len)
{
	/* Both addresses stand side by side in either header. */
	uint64_t sum = checksum_add(ip + (f->v4 ? 12 : 8), f->v4 ? 8 : 32);

	sum += rte_cpu_to_be_32(len) + rte_cpu_to_be_16(PROTOCOL_TCP) + checksum_add(tcp, len);
	return checksum_fold(sum) == CHECKSUM_GOOD;
}

bool forge_read(const struct forge *f, const struct rte_mbuf *m, struct answer *a)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *ip = frame + f->ip_at, *tcp = frame + f->tcp_at;
	uint32_t len, header_len;

	if (m->nb_segs != 1 ||
	    !ip_is_good(f, ip, (uint32_t)rte_pktmbuf_data_len(m) - f->ip_at, &len) ||
	    len < TCP_HEADER_MIN || !tcp_sum_is_good(f, ip, tcp, len))
		return false;
	header_len = (uint32_t)(tcp[12] >> 4) * 4;
	if (header_len < TCP_HEADER_MIN || header_len > len ||
	    !tcp_header_read(&a->header, tcp, (uint8_t)header_len) ||
	    load_be16(tcp) != f->config.port)
		return false;
	a->to = (struct stranger){
		.host = host_read(f, ip + destination_at(f)),
		.port = load_be16(tcp + 2),
	};
	a->payload = tcp + header_len;
	a->len = len - header_len;
	return true;
}
