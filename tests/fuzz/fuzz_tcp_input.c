/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer whose every octet is the fuzzer's, against tcp and an owner that does whatever the fuzzer
 * says too.
 *
 * The input: an octet of enum world, one of enum tcp_without, one of the user's timeout in seconds
 * (0: tcp's own bound), then steps. A step's first octet says what happens (enum what, in its low
 * four bits) and how the turn goes on (enum turn). Numbers in segments are what a peer would send
 * next, or off by a little, or anything (near()).
 *
 * What must hold, however mad the peer: octets are those their sequence numbers say, in what the
 * owner reads and in what tcp sends, since both sides draw them from one stream; no right edge of a
 * window that was told moves left; tcp_check() after each turn; every frame is one net takes in;
 * every buffer is back at the end.
 */
#include "common/eal.h"
#include "octets.h"
#include "start.h"
#include "tcp/clients.h"
#include "tcp/conn.h"

enum {
	STEPS_MAX = 500,
	TURN_FRAMES_MAX = 2000, /* more than a turn can have to say */
	BURST = 16,
	MTU = 1500,
	TCP_AT = 34, /* what stands before the TCP header in a frame */
	FRAME_MAX = TCP_AT + TCP_HEADER_MAX + 127 * 11,
	ON_TRUST = 128, /* a bit of the octet of flags that tcp does not look at */
	SEND_MAX = 255 * 64,
	LATE_US = 5 * 1000 * 1000,
	HOPS_MAX = 200,

	SERVICE_PORT = 25,
	CLOSED_PORT = 26,
	PEER_PORT = 1000,
	ACTIVE_PORT = 2000,
	PASSIVE_FLOWS = 3,
	ACTIVE_FLOWS = 2,
	CLOSED_FLOW = PASSIVE_FLOWS + ACTIVE_FLOWS, /* nobody listens there */
	FLOWS,
};

/* The octet of options in a segment. */
enum options {
	OPTIONS_TIME = 1 << 0,
	/* on a SYN */
	OPTIONS_SACK = 1 << 1,
	OPTIONS_WSCALE = 1 << 2,
	OPTIONS_MSS = 1 << 3,
	OPTIONS_WSCALE_SHIFT = 4, /* half of it, three bits */
	/* on any other */
	OPTIONS_BLOCKS_SHIFT = 1, /* SACK blocks, two bits */
	/* none of these, but any */
	OPTIONS_SPOILT = 1 << 7,
};

/* The first octet. */
enum world {
	WORLD_START = 3, /* which clock wraps soon: enum start */
	WORLD_V6 = 1 << 2,
	WORLD_SMALL = 1 << 3,	/* a table of two */
	WORLD_COOKIES = 1 << 4, /* a second handshake is answered by a cookie */
	WORLD_WIDE = 1 << 5,	/* windows that need scaling, queues that fill scoreboards */
	WORLD_IDLE = 1 << 6,	/* an idle timeout */
	WORLD_LIMITS = 1 << 7,	/* of what the peer may have */
};

/* A step's first octet. */
enum what {
	WHAT_TIME,
	WHAT_ACT,
	WHAT_ACT_ON_NEWS, /* an act, as the owner hears of any connection; and the next one */
	WHAT_ERROR = 4,
	WHAT_HOLD,
	WHAT_SEGMENT,	 /* and the next ones */
	WHAT_CHAIN = 13, /* a segment over several buffers, and the next ones */
	WHAT_MASK = 15,
};

enum turn {
	TURN_BURST = 1 << 4,  /* the segment waits for the next one */
	TURN_SILENT = 1 << 5, /* tcp_output comes a turn later */
	TURN_TIME_SHIFT = 6,  /* how much time passes: turn_us */
};

static const uint64_t turn_us[4] = {0, 1000, 25000, 300000};

/* What a peer knows of a conversation. */
struct conversation {
	struct tcp_conn *conn; /* NULL: its owner knows none */
	uint32_t their_next, our_next;
	uint32_t their_time;
	bool our_fin, has_edge;
	bool is_met;	     /* its owner has met it since it was opened last */
	uint32_t their_edge; /* of the window told last */
};

struct fuzz {
	struct octets in;
	struct tcp *tcp;
	struct clients *clients;
	struct net net, peer_net;
	struct postern_counters counters, peer_counters;
	struct pool kept, frames, wire;
	uint64_t now_us;
	struct ip_addr ours, theirs;
	uint8_t world;
	bool acts_on_news;
	uint32_t n_burst;
	struct net_segment burst[BURST];
	struct conversation conversations[FLOWS];
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	test_eal_start("fuzz-tcp");
	return 0;
}

/* A number near base as often as not. */
static uint32_t near(struct fuzz *f, uint32_t base)
{
	uint8_t how = next8(&f->in);

	if (how < 96)
		return base;
	if (how < 160)
		return base + (uint32_t)(int8_t)next8(&f->in);
	if (how < 208)
		return base + (uint32_t)(int16_t)next16(&f->in);
	if (how < 240)
		return base + (uint32_t)(int16_t)next16(&f->in) * 64;
	return next32(&f->in);
}

static struct flow flow_of(const struct fuzz *f, unsigned i)
{
	struct flow flow = {
		.local = f->ours,
		.remote = f->theirs,
		.local_port = i == CLOSED_FLOW ? CLOSED_PORT : SERVICE_PORT,
		.remote_port = (uint16_t)(PEER_PORT + i),
	};

	if (i >= PASSIVE_FLOWS && i < CLOSED_FLOW) {
		flow.local_port = (uint16_t)(ACTIVE_PORT + i - PASSIVE_FLOWS);
		flow.remote_port = SERVICE_PORT;
	}
	return flow;
}

static struct conversation *conversation_of(struct fuzz *f, const struct flow *flow)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		const struct flow known = flow_of(f, i);

		if (memcmp(&known, flow, sizeof(known)) == 0)
			return &f->conversations[i];
	}
	abort();
}

/* --- what the peer does ------------------------------------------------------------------------
 */

/* Returns the octet of options. */
static uint8_t choose_header(struct fuzz *f, const struct conversation *v, struct tcp_header *h)
{
	uint8_t window, options;

	h->flags = next8(&f->in);
	/* Most of what a peer sends is an ACK. */
	if (h->flags & 64)
		h->flags = (uint8_t)((h->flags & (TCP_FIN | TCP_PSH)) | TCP_ACK);
	h->seq = near(f, v->our_next);
	h->ack = near(f, v->their_next);
	window = next8(&f->in);
	h->window = (uint16_t)(window < 128 ? window << 9 : (window - 128) << 4);
	options = next8(&f->in);
	if (options & OPTIONS_TIME) {
		h->has_ts = true;
		h->ts_value = near(f, (uint32_t)(f->now_us / 1000));
		h->ts_echo = near(f, v->their_time);
	}
	if (h->flags & TCP_SYN) {
		h->sack_permitted = options & OPTIONS_SACK;
		h->has_wscale = options & OPTIONS_WSCALE;
		h->wscale = (uint8_t)((options >> OPTIONS_WSCALE_SHIFT & 7) * 2);
		h->has_mss = options & OPTIONS_MSS;
		h->mss = (uint16_t)(h->has_mss ? next8(&f->in) << 3 : 0);
		return options;
	}
	h->n_sack = options >> OPTIONS_BLOCKS_SHIFT & 3;
	for (uint8_t i = 0; i < h->n_sack; i++) {
		h->sack[i].start = near(f, v->their_next);
		h->sack[i].end = near(f, v->their_next);
	}
	return options;
}

/* The length of an option, as its first octet in the input says: of the kind in its low four bits,
 * right, one octet too long or too short, or anything. */
static uint8_t length_of_option(struct fuzz *f, uint8_t what)
{
	static const uint8_t usual[16] = {1, 1, 4, 3, 2, 10, 6, 6, 10, 2, 2, 8, 6, 6, 3, 3};
	uint8_t len = usual[what & 15];

	switch (what >> 6) {
	case 1:
		return (uint8_t)(len + 1);
	case 2:
		return (uint8_t)(len - 1);
	case 3:
		return next8(&f->in);
	default:
		return (uint8_t)(len + (what >> 4) * 8); /* so many more SACK blocks */
	}
}

/* Options after one another until the header, of a length the input says, is full: the last may be
 * cut off. */
static void spoil_options(struct fuzz *f, uint8_t *tcp, uint8_t *len)
{
	uint8_t at = TCP_HEADER_MIN, end = (uint8_t)(at + 4 * (next8(&f->in) % 11));

	while (at < end) {
		uint8_t what = next8(&f->in), option = length_of_option(f, what);

		tcp[at++] = what & 15;
		if ((what & 15) < 2)
			continue;
		if (at < end)
			tcp[at++] = option;
		while (option-- > 2 && at < end)
			tcp[at++] = next8(&f->in);
	}
	tcp[12] = (uint8_t)(end / 4 << 4);
	*len = end;
}

/* Headers and payload over one buffer, or the payload cut in three. */
static struct rte_mbuf *frame_of(struct fuzz *f, const uint8_t *octets, size_t headers,
				 size_t payload, bool chain)
{
	size_t len = headers + (chain ? payload / 3 : payload), left = headers + payload - len;
	struct rte_mbuf *m = block_mbuf(f->wire.mempool, octets, len);

	assert(m);
	while (left) {
		size_t here = RTE_MIN(left, payload / 3 + 1);
		struct rte_mbuf *next = block_mbuf(f->wire.mempool, octets + len, here);
		int chained = next ? rte_pktmbuf_chain(m, next) : -1;

		assert(chained == 0);
		len += here;
		left -= here;
	}
	return m;
}

/* What came on trust and is of no connection is given back, and given once more. */
static void give_burst(struct fuzz *f)
{
	uint32_t n = f->n_burst ? tcp_input_take(f->tcp, f->burst, f->n_burst, f->now_us) : 0;

	for (uint32_t i = 0; i < n; i++) {
		assert(f->burst[i].on_trust);
		f->burst[i].on_trust = false;
	}
	if (n)
		n = tcp_input_take(f->tcp, f->burst, n, f->now_us);
	assert(n == 0);
	f->n_burst = 0;
}

static void segment(struct fuzz *f, bool chain, bool waits)
{
	unsigned i = next8(&f->in) % FLOWS;
	struct conversation *v = &f->conversations[i];
	uint8_t payload = next8(&f->in), options, len, frame[FRAME_MAX], *tcp = frame + TCP_AT;
	uint32_t octets = payload < 128 ? payload : (payload - 128) * 11u;
	const struct flow flow = flow_of(f, i);
	struct tcp_header h = {0};

	options = choose_header(f, v, &h);
	memset(frame, 0, TCP_AT);
	tcp_header_write(&h, tcp, flow.remote_port, flow.local_port);
	len = tcp_header_len(&h);
	if (options & OPTIONS_SPOILT)
		spoil_options(f, tcp, &len);
	stream_write(tcp + len, h.seq + !!(h.flags & TCP_SYN), octets);
	if (h.flags & TCP_FIN)
		v->our_fin = true;
	if (h.seq == v->our_next)
		v->our_next += octets + !!(h.flags & TCP_SYN) + !!(h.flags & TCP_FIN);
	f->burst[f->n_burst++] = (struct net_segment){
		.m = frame_of(f, frame, TCP_AT + len, octets, chain),
		.flow = flow,
		.hash = net_hash(&f->net, &flow),
		.on_trust = h.flags & ON_TRUST,
		.path = {.mac = {2}},
		.tcp_at = TCP_AT,
		.tcp_len = (uint16_t)(len + octets),
		.header_len = len,
	};
	if (!waits || f->n_burst == BURST)
		give_burst(f);
}

static void icmp_error(struct fuzz *f)
{
	static const enum net_error_kind kinds[4] = {NET_ERROR_TOO_BIG, NET_ERROR_UNREACHABLE,
						     NET_ERROR_TOO_BIG, NET_ERROR_REFUSED};
	unsigned i = next8(&f->in) % FLOWS;
	const struct flow flow = flow_of(f, i);
	const struct net_segment error = {
		.flow = flow,
		.hash = net_hash(&f->net, &flow),
		.error = kinds[next8(&f->in) & 3],
		.error_mtu = (uint16_t)(next8(&f->in) << 3),
		.error_seq = near(f, f->conversations[i].their_next - 1),
	};

	tcp_error(f->tcp, &error, f->now_us);
}

static void hold(struct fuzz *f)
{
	struct pool *pool = next8(&f->in) & 1 ? &f->frames : &f->kept;

	pool_leave(pool, next8(&f->in));
}

/* --- what the owner does -----------------------------------------------------------------------
 */

/* The one before of the same name may still have bytes to be read. */
static struct conversation *owner_meets(struct fuzz *f, struct tcp_conn *c)
{
	struct conversation *v;
	struct flow flow;

	tcp_flow(f->tcp, c, &flow);
	v = conversation_of(f, &flow);
	if (v->conn) {
		assert(v->conn->flags & CONN_GONE);
		tcp_abort(f->tcp, v->conn);
	}
	v->conn = c;
	tcp_set_user(c, v);
	return v;
}

static void owner_connects(struct fuzz *f)
{
	struct tcp_conn *c = tcp_connect(f->tcp, &f->ours, &f->theirs, SERVICE_PORT,
					 &(struct net_path){.mac = {2}});

	if (!c)
		return;
	owner_meets(f, c);
}

static void owner_sends(struct fuzz *f, struct tcp_conn *c, size_t len)
{
	uint8_t octets[SEND_MAX];
	size_t room = tcp_send_room(f->tcp, c), before = tcp_unacknowledged(c), sent;

	assert(len <= sizeof(octets));
	stream_write(octets, conn_send_end(c), len);
	sent = tcp_send(f->tcp, c, octets, len);
	assert(sent <= room && sent <= len);
	assert(tcp_unacknowledged(c) == before + sent);
}

static void act(struct fuzz *f)
{
	unsigned i = next8(&f->in) % FLOWS;
	uint8_t how = next8(&f->in);
	struct tcp_conn *c = f->conversations[i].conn;

	f->acts_on_news = false;
	if (!c) {
		if (i >= PASSIVE_FLOWS && i < CLOSED_FLOW)
			owner_connects(f);
		return;
	}
	if (how < 96) {
		owner_sends(f, c, next8(&f->in) * (SEND_MAX / 255u));
	} else if (how < 192) {
		size_t len = tcp_readable(c), want = next8(&f->in) * 64u;

		tcp_consume(f->tcp, c, want < len ? want : len);
	} else if (how < 224) {
		tcp_shutdown(f->tcp, c);
	} else {
		if (how < 244)
			tcp_close(f->tcp, c);
		else if (how < 250)
			tcp_close_unheard(f->tcp, c);
		else
			tcp_abort(f->tcp, c);
		f->conversations[i].conn = NULL;
	}
}

static void check_readable(const struct fuzz *f, const struct tcp_conn *c)
{
	uint32_t seq = c->rcv_nxt - !!(c->flags & CONN_PEER_DONE) - (uint32_t)tcp_readable(c);
	size_t len = 0;
	struct span s;

	while ((s = tcp_read(f->tcp, c, len)).len) {
		stream_check(s.bytes, seq + (uint32_t)len, s.len);
		len += s.len;
	}
	assert(len == tcp_readable(c));
}

static void hear_news(struct fuzz *f)
{
	struct tcp_conn *c;
	unsigned news;

	while ((c = tcp_next_news(f->tcp, &news))) {
		struct conversation *v = tcp_user(c);

		assert(news && tcp_state_name(c));
		assert(!tcp_is_over_limit(c) || f->clients);
		check_readable(f, c);
		if (!v) {
			assert(news & TCP_OPENED);
			v = owner_meets(f, c);
			/* Its SYN may not have been heard, for want of a buffer. */
			v->has_edge &= v->their_edge == c->rcv_adv;
			v->is_met = true;
		}
		assert(v->conn == c);
		if (news & TCP_ENDED) {
			assert(tcp_end_of(c) != TCP_END_NONE);
			v->conn = NULL;
		}
		if (f->acts_on_news)
			act(f);
	}
}

/* --- what tcp says -----------------------------------------------------------------------------
 */

/* Where no window is scaled, which would round it; nor does one matter to who has sent FIN. */
static void check_edge(const struct fuzz *f, struct conversation *v, const struct tcp_header *h)
{
	uint32_t edge = h->ack + h->window;

	if (f->world & WORLD_WIDE)
		return;
	if (h->flags & TCP_SYN)
		v->has_edge = v->our_fin = v->is_met = false;
	/* Another may have begun in the place of the one we heard of. */
	else if (!v->is_met)
		v->has_edge = false;
	if (v->our_fin)
		return;
	assert(!v->has_edge || seq_le(v->their_edge, edge));
	v->has_edge = h->flags & TCP_ACK;
	v->their_edge = edge;
}

static void hear_segment(struct fuzz *f, struct rte_mbuf *m)
{
	struct net_segment s;
	struct tcp_header h;
	struct conversation *v;
	const uint8_t *tcp;
	uint32_t octets, end;
	struct flow flow;

	if (net_input(&f->peer_net, m, &s) != NET_SEGMENT)
		abort();
	assert(m->nb_segs == 1 && m->pkt_len <= MTU + 14);
	tcp = rte_pktmbuf_mtod_offset(m, const uint8_t *, s.tcp_at);
	if (!tcp_header_read(&h, tcp, s.header_len))
		abort();
	octets = s.tcp_len - s.header_len;
	stream_check(tcp + s.header_len, h.seq, octets);
	flow = (struct flow){s.flow.remote, s.flow.local, s.flow.remote_port, s.flow.local_port};
	v = conversation_of(f, &flow);
	if (h.flags & TCP_RST)
		return;
	/* A probe's window tells nothing: the peer must not look at it. */
	if (octets || h.seq + 1 != v->their_next)
		check_edge(f, v, &h);
	end = h.seq + octets + !!(h.flags & TCP_SYN) + !!(h.flags & TCP_FIN);
	v->their_next = h.flags & TCP_SYN ? end : seq_max(v->their_next, end);
	if (h.flags & TCP_ACK)
		v->our_next = h.ack;
	if (h.has_ts)
		v->their_time = h.ts_value;
}

/* A look at all that have an owner. */
static void check_owned(const struct fuzz *f)
{
	uint32_t owned = 0;

	for (uint32_t i = 0; i < tcp_conns_bound(f->tcp); i++) {
		const struct tcp_conn *c = tcp_conn_at(f->tcp, i);

		if (!c)
			continue;
		owned++;
		assert(tcp_user(c) && tcp_port(c) == 0);
		assert(tcp_is_proved(c) || tcp_is_by_cookie(c));
		assert(!tcp_is_peer_done(c) || strcmp(tcp_state_name(c), "ESTABLISHED") != 0);
	}
	assert(owned <= tcp_conns(f->tcp));
}

static void hear(struct fuzz *f)
{
	struct rte_mbuf *m;

	for (unsigned n = 0; tcp_output(f->tcp, &m, 1, f->now_us); n++) {
		assert(n < TURN_FRAMES_MAX);
		hear_segment(f, m);
		rte_pktmbuf_free(m);
	}
	tcp_check(f->tcp);
	check_owned(f);
}

/* --- a step ------------------------------------------------------------------------------------
 */

static void turn(struct fuzz *f, bool silent)
{
	give_burst(f);
	tcp_tick(f->tcp, f->now_us);
	hear_news(f);
	assert(tcp_next_due(f->tcp) >= f->now_us);
	if (!silent)
		hear(f);
}

/* A worker may be late, but not by so much that it takes one round of a clock for another. What is
 * due again and again, as without buffers, is not waited for to the end. */
static void pass_time(struct fuzz *f, uint64_t us)
{
	uint64_t end_us = f->now_us + us;

	for (unsigned i = 0; end_us - f->now_us > LATE_US; i++) {
		uint64_t due_us = tcp_next_due(f->tcp);

		if (due_us >= end_us)
			break;
		if (i == HOPS_MAX)
			return;
		f->now_us = RTE_MAX(due_us, f->now_us + 1);
		turn(f, false);
	}
	f->now_us = end_us;
}

static void step(struct fuzz *f)
{
	uint8_t step = next8(&f->in), what = step & WHAT_MASK;

	f->now_us += turn_us[step >> TURN_TIME_SHIFT];
	if (what == WHAT_TIME) {
		uint64_t units = next8(&f->in) + 1u;

		pass_time(f, units << next8(&f->in) % 36);
	} else if (what == WHAT_ACT) {
		act(f);
	} else if (what < WHAT_ERROR) {
		f->acts_on_news = true;
		return;
	} else if (what == WHAT_ERROR) {
		icmp_error(f);
	} else if (what == WHAT_HOLD) {
		hold(f);
	} else {
		segment(f, what >= WHAT_CHAIN, step & TURN_BURST);
		if (f->n_burst)
			return;
	}
	turn(f, step & TURN_SILENT);
}

/* --- the world ---------------------------------------------------------------------------------
 */

static void choose_world(struct fuzz *f)
{
	static const uint8_t v4[2][4] = {{192, 0, 2, 25}, {198, 51, 100, 7}};
	static const uint8_t v6[2][16] = {{0x20, 0x01, 0x0d, 0xb8, [15] = 0x25},
					  {0x20, 0x01, 0x0d, 0xb8, 0xff, [15] = 7}};

	f->world = next8(&f->in);
	f->ours = f->world & WORLD_V6 ? ip_addr_from_v6(v6[0]) : ip_addr_from_v4(v4[0]);
	f->theirs = f->world & WORLD_V6 ? ip_addr_from_v6(v6[1]) : ip_addr_from_v4(v4[1]);
	f->net = f->peer_net = (struct net){
		.n_ports = 1,
		.ports = {{.mac = {2}, .mtu = MTU}},
		.n_addresses = 1,
		.n_workers = 1,
	};
	f->net.addresses[0].ip = f->ours;
	f->net.counters = &f->counters;
	f->peer_net.addresses[0].ip = f->theirs;
	f->peer_net.counters = &f->peer_counters;
	for (unsigned i = 0; i < FLOWS; i++)
		f->conversations[i].our_next = 0xfffffe00; /* wraps soon */
}

static void start(struct fuzz *f)
{
	bool wide = f->world & WORLD_WIDE;
	const struct flow first = flow_of(f, 0);
	const struct clients_config limits = {.conns = FLOWS, .limits = {2, 1}};
	struct tcp_config config = {
		.conns = f->world & WORLD_SMALL ? 2 : FLOWS,
		.handshakes = f->world & WORLD_COOKIES ? 1 : 0,
		.time_waits = 2,
		.receive_window = wide ? 1 << 18 : 16384,
		.send_queue = wide ? 1 << 18 : 16384,
		.idle_timeout_ms = f->world & WORLD_IDLE ? 100000 : 0,
		.net = &f->net,
		.pool = f->kept.mempool,
		.frame_pools = {f->frames.mempool},
		.active_first = ACTIVE_PORT,
		.active_count = ACTIVE_FLOWS,
		.counters = &f->counters,
	};

	config.without = next8(&f->in);
	config.user_timeout_ms = next8(&f->in) * 1000u;
	if (f->world & WORLD_LIMITS) {
		f->clients = config.clients = clients_new(&limits);
		assert(f->clients);
		config.client_half_open = limits.limits[CLIENTS_HALF_OPEN];
		config.client_conns = limits.limits[CLIENTS_OPEN];
	}
	f->now_us = start_us(f->world & WORLD_START, &config.isn_key, &first);
	f->tcp = tcp_new(&config, f->now_us);
	if (!f->tcp || !tcp_listen(f->tcp, SERVICE_PORT))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.in = {data, size}};

	pool_init(&f.kept, "kept");
	pool_init(&f.frames, "frames");
	pool_init(&f.wire, "wire");
	choose_world(&f);
	start(&f);
	for (unsigned i = 0; f.in.left && i < STEPS_MAX; i++)
		step(&f);
	give_burst(&f);
	tcp_free(f.tcp);
	if (f.clients) {
		assert(clients_sum(f.clients, CLIENTS_HALF_OPEN) == 0);
		assert(clients_sum(f.clients, CLIENTS_OPEN) == 0);
		clients_free(f.clients);
	}
	pool_release(&f.kept);
	pool_release(&f.frames);
	pool_release(&f.wire);
	return 0;
}
