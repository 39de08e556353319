/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer whose every byte is the fuzzer's, against tcp and an owner that does whatever the fuzzer
 * says too.
 *
 * The input is a list of steps: segments near the numbers that matter or far from them, with
 * options of any shape; time; the owner's calls; a pool that runs low, and fills again. After each,
 * tcp's answers are taken apart and the invariants checked; at the end every buffer must be back.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "tcp/clients.h"
#include "tcp/header.h"
#include "tcp/tcp.h"

enum {
	BUFFERS = 255,
	STEPS_MAX = 200,
	PORTS = 3, /* of the peer: so many connections can be under way */
	WINDOW = 16384,
	ON_TRUST = 128, /* a bit of the flags' octet that TCP does not look at */
};

struct fuzz {
	const uint8_t *in;
	size_t left;
	struct tcp *tcp;
	struct net net;
	struct postern_counters counters;
	struct rte_mempool *kept, *frames;
	struct rte_mbuf *taken[BUFFERS]; /* of kept, by others */
	unsigned n_taken;
	uint64_t now_us;
	struct tcp_conn *conns[PORTS]; /* what the owner knows */
	/* What a peer would know: where tcp stands, by the peer's port. */
	uint32_t their_next[PORTS], our_next[PORTS];
	uint32_t edge[PORTS]; /* of the window told last */
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rte_mempool *pool_of(const char *name)
{
	struct rte_mempool *pool = rte_mempool_lookup(name);

	return pool ? pool
		    : rte_pktmbuf_pool_create(name, BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
					      SOCKET_ID_ANY);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	test_eal_start("fuzz-tcp");
	return 0;
}

static uint8_t next8(struct fuzz *f)
{
	if (!f->left)
		return 0;
	f->left--;
	return *f->in++;
}

static uint32_t next32(struct fuzz *f)
{
	uint32_t v = next8(f);

	for (int i = 0; i < 3; i++)
		v = v << 8 | next8(f);
	return v;
}

/* A number near base as often as not. */
static uint32_t near(struct fuzz *f, uint32_t base)
{
	uint8_t how = next8(f);

	if (how < 96)
		return base;
	if (how < 160)
		return base + (int8_t)next8(f);
	if (how < 224)
		return base + (int16_t)(next8(f) << 8 | next8(f));
	return next32(f);
}

static struct flow flow_of(const struct fuzz *f, unsigned port)
{
	static const uint8_t peer[4] = {198, 51, 100, 7};

	return (struct flow){
		.local = f->net.addresses[0].ip,
		.remote = ip_addr_from_v4(peer),
		.local_port = 25,
		.remote_port = (uint16_t)(1000 + port),
	};
}

/* --- what the peer does ------------------------------------------------------------------------
 */

static uint8_t write_header(struct fuzz *f, uint8_t *at, unsigned port, uint8_t flags)
{
	struct tcp_header h = {
		.seq = near(f, f->our_next[port]),
		.ack = near(f, f->their_next[port]),
		.flags = flags,
		.window = (uint16_t)(next8(f) << 8),
	};
	uint8_t options = next8(f), len;

	h.has_mss = (flags & TCP_SYN) && (options & 1);
	h.mss = (uint16_t)(options << 6);
	h.has_wscale = (flags & TCP_SYN) && (options & 2);
	h.wscale = options >> 3 & 15;
	h.has_ts = options & 4;
	h.ts_value = near(f, (uint32_t)(f->now_us / 1000));
	h.sack_permitted = options & 8;
	if (!(flags & TCP_SYN) && (options & 16))
		h.n_sack = 1 + (options & 1);
	for (uint8_t i = 0; i < h.n_sack; i++) {
		h.sack[i].start = near(f, f->their_next[port] - 500u * (1u + i));
		h.sack[i].end = near(f, f->their_next[port] - 500u * i);
	}
	len = tcp_header_len(&h);
	tcp_header_write(&h, at, (uint16_t)(1000 + port), 25);
	/* Options of no shape at all. */
	if (options & 128) {
		len = (uint8_t)(TCP_HEADER_MIN + 4 * (next8(f) % 11));
		for (uint8_t i = TCP_HEADER_MIN; i < len; i++)
			at[i] = next8(f);
	}
	return len;
}

static void segment(struct fuzz *f)
{
	unsigned port = next8(f) % PORTS;
	const struct flow flow = flow_of(f, port);
	uint8_t flags = next8(f);
	uint32_t payload = next8(f);
	uint8_t header[TCP_HEADER_MAX], len;
	struct rte_mbuf *m = rte_pktmbuf_alloc(f->frames);
	struct net_segment s;
	uint8_t *at;

	if (!m)
		return;
	/* Most of what a peer sends is an ACK. */
	if (flags & 64)
		flags = (uint8_t)((flags & (TCP_FIN | TCP_PSH)) | TCP_ACK);
	payload = payload < 128 ? payload : (payload - 128) * 11;
	len = write_header(f, header, port, flags);
	at = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(len + payload));
	memcpy(at, header, len);
	memset(at + len, 'x', payload);
	s = (struct net_segment){
		.m = m,
		.flow = flow,
		.hash = net_hash(&f->net, &flow),
		.path = {.mac = {2}},
		.tcp_len = (uint16_t)(len + payload),
		.header_len = len,
	};
	if (flags == TCP_ACK || (flags & TCP_SYN))
		f->our_next[port] += payload + !!(flags & TCP_SYN);
	s.on_trust = flags & ON_TRUST;
	if (tcp_input_take(f->tcp, &s, 1, f->now_us) == 0)
		return;
	assert(s.m == m && s.on_trust);
	s.on_trust = false;
	assert(tcp_input_take(f->tcp, &s, 1, f->now_us) == 0);
}

static void too_big(struct fuzz *f)
{
	unsigned port = next8(f) % PORTS;
	const struct flow flow = flow_of(f, port);
	const struct net_segment error = {
		.flow = flow,
		.hash = net_hash(&f->net, &flow),
		.error = next8(f) % 3,
		.error_mtu = (uint16_t)(next8(f) << 3),
		.error_seq = near(f, f->their_next[port] - 1),
	};

	tcp_error(f->tcp, &error, f->now_us);
}

/* --- what the owner does -----------------------------------------------------------------------
 */

static void act(struct fuzz *f)
{
	static const uint8_t zeros[3000];
	unsigned i = next8(f) % PORTS;
	uint8_t how = next8(f);
	struct tcp_conn *c = f->conns[i];

	if (!c) {
		struct flow flow = flow_of(f, 0);

		if (how >= 64)
			return;
		f->conns[i] = tcp_connect(f->tcp, &flow.local, &flow.remote, 25,
					  &(struct net_path){.mac = {2}});
		if (f->conns[i])
			tcp_set_user(f->conns[i], &f->conns[i]);
		return;
	}
	if (how < 96) {
		tcp_send(f->tcp, c, zeros, next8(f) * 11u);
	} else if (how < 192) {
		size_t len = tcp_readable(c), want = next8(f) * 64u;

		tcp_consume(f->tcp, c, want < len ? want : len);
	} else if (how < 224) {
		tcp_shutdown(f->tcp, c);
	} else {
		if (how < 250)
			tcp_close(f->tcp, c);
		else
			tcp_abort(f->tcp, c);
		f->conns[i] = NULL;
	}
}

static void meet(struct fuzz *f, struct tcp_conn *c)
{
	for (unsigned i = 0; i < PORTS; i++) {
		if (!f->conns[i]) {
			f->conns[i] = c;
			tcp_set_user(c, &f->conns[i]);
			return;
		}
	}
	tcp_close(f->tcp, c);
}

static void check_readable(const struct fuzz *f, const struct tcp_conn *c)
{
	size_t len = 0;
	struct span s;

	while ((s = tcp_read(f->tcp, c, len)).len)
		len += s.len;
	assert(len == tcp_readable(c));
	assert(len <= WINDOW + 2048);
}

static void hear_news(struct fuzz *f)
{
	struct tcp_conn *c;
	unsigned news;

	while ((c = tcp_next_news(f->tcp, &news))) {
		struct tcp_conn **known = tcp_user(c);

		assert(news);
		check_readable(f, c);
		if (news & TCP_ENDED) {
			assert(tcp_end_of(c) != TCP_END_NONE);
			if (known)
				*known = NULL;
		} else if (!known) {
			assert(news & TCP_OPENED);
			meet(f, c);
		}
	}
}

/* Others take buffers, or give them all back. */
static void squeeze(struct fuzz *f)
{
	unsigned n = next8(f);

	while (n-- && f->n_taken < BUFFERS) {
		f->taken[f->n_taken] = rte_pktmbuf_alloc(f->kept);
		if (!f->taken[f->n_taken])
			return;
		f->n_taken++;
	}
	if (next8(f) < 128)
		return;
	rte_pktmbuf_free_bulk(f->taken, f->n_taken);
	f->n_taken = 0;
}

/* --- what tcp says -----------------------------------------------------------------------------
 */

/* Whatever runs low, what was told stays told: no right edge moves left. */
static void check_edge(struct fuzz *f, unsigned port, const struct tcp_header *h)
{
	uint32_t edge = h->ack + h->window;

	if ((h->flags & TCP_RST) || !(h->flags & TCP_ACK))
		return;
	assert((h->flags & TCP_SYN) || (int32_t)(edge - f->edge[port]) >= 0);
	f->edge[port] = edge;
}

static void hear(struct fuzz *f)
{
	struct postern_counters counters = {0};
	struct net net = {
		.n_ports = 1,
		.ports = {{.mac = {2}, .mtu = 1500}},
		.n_addresses = 1,
		.addresses = {{.ip = flow_of(f, 0).remote}},
		.n_workers = 1,
		.counters = &counters,
	};
	struct rte_mbuf *m;

	for (unsigned n = 0; tcp_output(f->tcp, &m, 1, f->now_us); n++) {
		struct net_segment s;
		struct tcp_header h;
		unsigned port;

		assert(n < 10000);
		assert(net_input(&net, m, &s) == NET_SEGMENT);
		assert(tcp_header_read(&h, rte_pktmbuf_mtod_offset(m, uint8_t *, s.tcp_at),
				       s.header_len));
		port = s.flow.local_port - 1000u;
		if (port < PORTS) {
			f->their_next[port] = h.seq + s.tcp_len - s.header_len +
					      !!(h.flags & TCP_SYN) + !!(h.flags & TCP_FIN);
			if (h.flags & TCP_ACK)
				f->our_next[port] = h.ack;
			check_edge(f, port, &h);
		}
		rte_pktmbuf_free(m);
	}
}

static void step(struct fuzz *f)
{
	switch (next8(f) % 16) {
	default:
		segment(f);
		break;
	case 0:
		f->now_us += (uint64_t)next8(f) * next8(f) * 1000 + 256;
		break;
	case 1:
	case 2:
	case 3:
		act(f);
		break;
	case 4:
		too_big(f);
		break;
	case 5:
		squeeze(f);
		break;
	}
	tcp_tick(f->tcp, f->now_us);
	hear_news(f);
	assert(tcp_next_due(f->tcp) > 0);
	hear(f);
	tcp_check(f->tcp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t ours[4] = {192, 0, 2, 25};
	struct fuzz f = {
		.in = data,
		.left = size,
		.kept = pool_of("kept"),
		.frames = pool_of("frames"),
		.now_us = 1000000,
		.net =
			{
				.n_ports = 1,
				.ports = {{.mac = {2, 1}, .mtu = 1500}},
				.n_addresses = 1,
				.addresses = {{.ip = ip_addr_from_v4(ours)}},
				.n_workers = 1,
			},
	};
	const struct clients_config limits = {.conns = 4, .limits = {2, 1}};
	struct clients *clients = clients_new(&limits);
	struct tcp_config config = {
		.conns = 4,
		.time_waits = 2,
		.clients = clients,
		.client_half_open = 2,
		.client_conns = 1,
		.receive_window = WINDOW,
		.send_queue = 8192,
		.idle_timeout_ms = 100000,
		.net = &f.net,
		.pool = f.kept,
		.frame_pools = {f.frames},
		.user_timeout_ms = next8(&f) * 1000u,
		.active_first = 1000,
		.active_count = 4,
		.counters = &f.counters,
	};

	f.net.counters = &f.counters;
	f.tcp = tcp_new(&config, f.now_us);
	assert(f.tcp);
	tcp_listen(f.tcp, 25);
	for (unsigned i = 0; f.left && i < STEPS_MAX; i++)
		step(&f);
	tcp_free(f.tcp);
	rte_pktmbuf_free_bulk(f.taken, f.n_taken);
	assert(rte_mempool_avail_count(f.kept) == BUFFERS);
	assert(rte_mempool_avail_count(f.frames) == BUFFERS);
	assert(clients_sum(clients, CLIENTS_HALF_OPEN) == 0);
	assert(clients_sum(clients, CLIENTS_OPEN) == 0);
	clients_free(clients);
	return 0;
}
