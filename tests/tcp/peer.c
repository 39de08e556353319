/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer played by hand. Thread, Time, Memory, Rules: peer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "peer.h"

const char hello[] = "EHLO client.example\r\n";
uint8_t pattern[PATTERN];

static_assert(sizeof(hello) - 1 == HELLO, "the line without its end");

/* The burst under construction. */
static struct net_segment burst[64];
static uint32_t burst_len;

static struct rte_mempool *pool_new(const char *name)
{
	struct rte_mempool *pool = rte_mempool_lookup(name);

	/* A test that failed may have left some behind: not the next one's fault. */
	rte_mempool_free(pool);
	pool = rte_pktmbuf_pool_create(name, PEER_BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	assert_non_null(pool);
	return pool;
}

void peer_init(struct peer *p, const struct peer_options *o)
{
	static const uint8_t v4[2][4] = {{192, 0, 2, 25}, {198, 51, 100, 7}};
	static const uint8_t v6[2][16] = {{0x20, 0x01, 0x0d, 0xb8, [15] = 0x25},
					  {0x20, 0x01, 0x0d, 0xb8, 0xff, [15] = 7}};
	struct tcp_config config = {
		.conns = o->conns ? o->conns : 16,
		.handshakes = o->handshakes,
		.time_waits = o->time_waits,
		.receive_window = o->receive_window ? o->receive_window : 65535,
		.send_queue = o->send_queue ? o->send_queue : 65536,
		.idle_timeout_ms = o->idle_timeout_ms,
		.user_timeout_ms = o->user_timeout_ms,
		.without = o->without,
		.clients = o->clients,
		.client_half_open = o->client_half_open,
		.client_conns = o->client_conns,
		.worker = o->worker,
		.isn_key = {1, 2},
		.cookie_key = {5, 6},
		.active_first = 20000,
		.active_count = o->active_ports ? o->active_ports : 8,
		.first_local_port = 20003,
	};

	memset(p, 0, sizeof(*p));
	burst_len = 0;
	for (size_t i = 0; i < PATTERN; i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 8));
	p->read = malloc(PEER_BYTES_MAX);
	p->kept = pool_new("kept");
	p->frames = pool_new("frames");
	p->now_us = 1000000;
	p->flow.local = o->v6 ? ip_addr_from_v6(v6[0]) : ip_addr_from_v4(v4[0]);
	p->flow.remote = o->v6 ? ip_addr_from_v6(v6[1]) : ip_addr_from_v4(v4[1]);
	p->flow.local_port = SERVICE_PORT;
	p->flow.remote_port = PEER_PORT;
	p->path = p->way = (struct net_path){.mac = {2, 0, 0, 0, 0, 1}};
	p->seq = 0xfffffff0; /* wraps soon */
	p->window = 65535;
	p->mss = PEER_MSS;
	p->net = (struct net){
		.n_ports = 1,
		.ports = {{.mac = {2, 0, 0, 0, 0, 2}, .mtu = 1500}},
		.n_addresses = 1,
		.addresses = {{.ip = p->flow.local}},
		.hash_key = {3, 4},
		.n_workers = 1,
		.counters = &p->counters,
	};
	config.net = &p->net;
	config.counters = &p->counters;
	config.pool = p->kept;
	config.frame_pools[0] = config.frame_pools[1] = p->frames;
	p->tcp = tcp_new(&config, p->now_us);
	assert_non_null(p->tcp);
	assert_true(tcp_listen(p->tcp, SERVICE_PORT));
}

void peer_release(struct peer *p)
{
	tcp_free(p->tcp);
	free(p->read);
	assert_int_equal(rte_mempool_avail_count(p->kept), PEER_BUFFERS);
	assert_int_equal(rte_mempool_avail_count(p->frames), PEER_BUFFERS);
}

/* --- to tcp ---------------------------------------------------------------------------------- */

static void segment_new(struct peer *p, struct net_segment *s, uint8_t flags, uint32_t seq,
			uint32_t ack, const void *payload, uint32_t len)
{
	struct tcp_header h = {
		.seq = seq,
		.ack = flags & TCP_ACK ? ack : 0,
		.flags = flags,
		.window = p->window,
		.has_mss = flags & TCP_SYN,
		.mss = p->mss,
		.has_ts = p->ts,
		.ts_value = p->ts_value,
		.ts_echo = p->ts_echo,
		.sack_permitted = p->sack && (flags & TCP_SYN),
		.has_wscale = (p->wscale || p->wscale_of_none) && (flags & TCP_SYN),
		.wscale = p->wscale,
		.n_sack = flags & TCP_SYN ? 0 : p->n_sack,
	};
	uint8_t header_len;
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->frames);
	uint8_t *at;

	assert_non_null(m);
	memcpy(h.sack, p->sack_blocks, sizeof(p->sack_blocks));
	header_len = tcp_header_len(&h);
	at = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(header_len + len));
	assert_non_null(at);
	tcp_header_write(&h, at, p->flow.remote_port, p->flow.local_port);
	if (len)
		memcpy(at + header_len, payload, len);
	*s = (struct net_segment){
		.m = m,
		.flow = p->flow,
		.hash = net_hash(&p->net, &p->flow),
		.path = p->path,
		.tcp_len = (uint16_t)(header_len + len),
		.header_len = header_len,
		.ecn = p->ecn,
	};
}

void peer_burst_add(struct peer *p, uint8_t flags, const void *payload, uint32_t len)
{
	segment_new(p, &burst[burst_len++], flags, p->seq, p->ack, payload, len);
	p->seq += len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
}

void peer_burst_give(struct peer *p)
{
	tcp_input_take(p->tcp, burst, burst_len, p->now_us);
	burst_len = 0;
}

void peer_burst_end(struct peer *p)
{
	peer_burst_give(p);
	peer_owner(p);
}

void peer_send_at(struct peer *p, uint8_t flags, uint32_t seq, uint32_t ack, const void *payload,
		  uint32_t len)
{
	segment_new(p, &burst[burst_len++], flags, seq, ack, payload, len);
	peer_burst_end(p);
}

void peer_send_options(struct peer *p, uint8_t flags, const uint8_t options[4])
{
	struct net_segment *s = &burst[burst_len++];

	segment_new(p, s, flags & (uint8_t)~TCP_SYN, p->seq, p->ack, options, 4);
	rte_pktmbuf_mtod(s->m, uint8_t *)[12] = (TCP_HEADER_MIN + 4) / 4 << 4;
	rte_pktmbuf_mtod(s->m, uint8_t *)[13] = flags;
	s->header_len = TCP_HEADER_MIN + 4;
	peer_burst_end(p);
}

void peer_send(struct peer *p, uint8_t flags, const void *payload, uint32_t len)
{
	peer_burst_add(p, flags, payload, len);
	peer_burst_end(p);
}

void peer_wait_ms(struct peer *p, uint32_t ms)
{
	p->now_us += (uint64_t)ms * 1000 + 256; /* the wheel's tick */
	tcp_tick(p->tcp, p->now_us);
	peer_owner(p);
}

/* --- the owner ------------------------------------------------------------------------------- */

static void owner_read(struct peer *p, struct tcp_conn *c)
{
	struct span s;

	while ((s = tcp_read(p->tcp, c, 0)).len) {
		assert_true(p->read_len + s.len <= PEER_BYTES_MAX);
		memcpy(p->read + p->read_len, s.bytes, s.len);
		p->read_len += s.len;
		tcp_consume(p->tcp, c, s.len);
	}
}

void peer_owner(struct peer *p)
{
	struct tcp_conn *c;
	unsigned news;

	while ((c = tcp_next_news(p->tcp, &news))) {
		p->conn = c;
		p->news |= news;
		if (!p->keep_unread)
			owner_read(p, c);
		if (news & TCP_ENDED) {
			p->end = tcp_end_of(c);
			p->conn = NULL;
		}
	}
}

void peer_news_clear(struct peer *p)
{
	p->news = 0;
}

/* --- from tcp -------------------------------------------------------------------------------- */

bool peer_hear(struct peer *p)
{
	struct net net = {
		.n_ports = NET_PORTS_MAX,
		.n_addresses = 1,
		.addresses = {{.ip = p->flow.remote}},
		.n_workers = 1,
		.counters = &(struct postern_counters){0},
	};
	struct rte_mbuf *m;
	struct net_segment s;

	memcpy(net.ports[p->way.port].mac, p->way.mac, sizeof(p->way.mac));
	if (tcp_output(p->tcp, &m, 1, p->now_us) == 0) {
		tcp_check(p->tcp);
		return false;
	}
	/* What net makes of it at the other end: link address, IP and checksums are right. */
	assert_int_equal(net_input(&net, m, &s), NET_SEGMENT);
	assert_int_equal(s.path.n_vlans, p->way.n_vlans);
	assert_memory_equal(s.path.vlan, p->way.vlan, sizeof(p->way.vlan));
	assert_true(tcp_header_read(&p->got, rte_pktmbuf_mtod_offset(m, uint8_t *, s.tcp_at),
				    s.header_len));
	p->got_flow = s.flow;
	p->got_ecn = s.ecn;
	p->got_len = s.tcp_len - s.header_len;
	memcpy(p->got_payload, rte_pktmbuf_mtod_offset(m, uint8_t *, s.tcp_at + s.header_len),
	       p->got_len);
	rte_pktmbuf_free(m);
	return true;
}

unsigned peer_hear_all(struct peer *p)
{
	unsigned n = 0;

	while (peer_hear(p))
		n++;
	return n;
}

void peer_acknowledge_all(struct peer *p)
{
	while (peer_hear(p))
		p->ack = p->got.seq + p->got_len + !!(p->got.flags & TCP_FIN);
	peer_send(p, TCP_ACK, NULL, 0);
}

unsigned peer_count_answers(struct peer *p, unsigned times, uint8_t flags, uint32_t seq,
			    uint32_t ack, const void *payload, uint32_t len)
{
	unsigned answers = 0;

	for (unsigned i = 0; i < times; i++) {
		peer_send_at(p, flags, seq, ack, payload, len);
		answers += peer_hear_all(p);
	}
	return answers;
}

unsigned peer_wait_for_end(struct peer *p, unsigned most_s, bool lives)
{
	unsigned s;

	for (s = 0; s < most_s && !(p->news & TCP_ENDED); s++) {
		while (peer_hear(p))
			if (lives)
				peer_send(p, TCP_ACK, NULL, 0);
		peer_wait_ms(p, 1000);
	}
	return s;
}

void peer_expect(struct peer *p, uint8_t flags, uint32_t len)
{
	assert_true(peer_hear(p));
	assert_int_equal(p->got.flags & ~TCP_PSH, flags);
	assert_int_equal(p->got_len, len);
	if (p->got.seq == p->ack)
		p->ack += len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
}

void peer_expect_silence(struct peer *p)
{
	assert_false(peer_hear(p));
}

uint32_t peer_conns(struct peer *p)
{
	peer_expect_silence(p);
	return tcp_conns(p->tcp);
}

uint32_t peer_time_waits(struct peer *p)
{
	peer_expect_silence(p);
	return tcp_time_waits(p->tcp);
}

/* --- handshakes ------------------------------------------------------------------------------ */

void peer_half_open(struct peer *p)
{
	peer_send(p, TCP_SYN, NULL, 0);
	assert_true(peer_hear(p));
	assert_int_equal(p->got.flags, TCP_SYN | TCP_ACK);
	assert_int_equal(p->got.ack, p->seq);
	assert_int_equal(p->got_len, 0);
	p->ack = p->got.seq + 1;
	p->ts_echo = p->got.ts_value;
}

void peer_open_after_ms(struct peer *p, uint32_t rtt_ms)
{
	peer_half_open(p);
	p->now_us += rtt_ms * 1000ull;
	peer_send(p, TCP_ACK, NULL, 0);
	assert_true(p->news & TCP_OPENED);
	peer_expect_silence(p);
	peer_news_clear(p);
}

void peer_open(struct peer *p)
{
	peer_open_after_ms(p, 0);
}

void peer_half_open_actively(struct peer *p)
{
	p->conn = tcp_connect(p->tcp, &p->flow.local, &p->flow.remote, PEER_PORT, &p->path);
	assert_non_null(p->conn);
	assert_true(peer_hear(p));
	assert_int_equal(p->got.flags, TCP_SYN);
	assert_int_equal(p->got_len, 0);
	p->flow.local_port = p->got_flow.remote_port;
	p->ack = p->got.seq + 1;
	p->ts_echo = p->got.ts_value;
}

void peer_open_actively_after_ms(struct peer *p, uint32_t rtt_ms)
{
	peer_half_open_actively(p);
	p->now_us += rtt_ms * 1000ull;
	peer_send(p, TCP_SYN | TCP_ACK, NULL, 0);
	peer_expect(p, TCP_ACK, 0);
	assert_true(p->news & TCP_OPENED);
	peer_news_clear(p);
}

void peer_open_actively(struct peer *p)
{
	peer_open_actively_after_ms(p, 0);
}

void peer_init_open(struct peer *p)
{
	peer_init(p, &(struct peer_options){0});
	peer_open(p);
}

void peer_init_open_ts(struct peer *p, uint32_t ts_value)
{
	peer_init(p, &(struct peer_options){0});
	p->ts = true;
	p->ts_value = ts_value;
	peer_open(p);
}

void peer_init_full(struct peer *p, unsigned kib)
{
	peer_init(p, &(struct peer_options){.receive_window = kib << 10});
	p->keep_unread = true;
	peer_open(p);
	for (unsigned i = 0; i < kib; i++)
		peer_send(p, TCP_ACK, pattern + (i << 10), 1 << 10);
	peer_hear_all(p);
	assert_int_equal(p->got.window, 0);
}

void peer_shut_window(struct peer *p)
{
	p->window = 0;
	peer_send(p, TCP_ACK, hello, HELLO);
	assert_int_equal(tcp_send(p->tcp, p->conn, pattern, PEER_WAITING), PEER_WAITING);
}

void peer_part(struct peer *p)
{
	tcp_shutdown(p->tcp, p->conn);
	peer_expect(p, TCP_ACK | TCP_FIN, 0);
	peer_send(p, TCP_ACK | TCP_FIN, NULL, 0);
	assert_int_equal(p->end, TCP_END_CLOSED);
	peer_expect(p, TCP_ACK, 0);
	assert_int_equal(p->got.ack, p->seq);
}
