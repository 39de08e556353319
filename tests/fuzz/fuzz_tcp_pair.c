/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two of our TCPs, one connection and a wire the fuzzer rules: frames are late, out of order,
 * twice, lost or too big for a router; owners send, read and close when it says; buffers run out.
 *
 * The input: an octet of enum world, one of sizes, one of enum tcp_without, then steps. A step's
 * first octet says what happens (enum what, in its low four bits), to which end (ON_OTHER) and how
 * much time passes. After the last step the wire is good, buffers are back, and both owners read
 * all and shut down.
 *
 * What must hold: octets arrive exact, whatever happened; and once all is well everything that was
 * sent arrives and both ends are done, within bounded time and frames, unless an owner aborted.
 * Trouble is shorter than anybody's patience, so nobody may give up.
 */
#include "common/eal.h"
#include "octets.h"
#include "start.h"
#include "tcp/conn.h"

enum {
	STEPS_MAX = 300,
	ENDS = 2,
	WIRE_FRAMES = 64,
	FRAMES_A_STEP = 2000, /* more than a turn can have to say */
	TROUBLE_US = 50 * 1000 * 1000,
	HEALED_WITHIN_S = 600,
	OCTETS_MAX = 1 << 18, /* sent by each end */

	SERVICE_PORT = 25,
	ACTIVE_PORT = 2000, /* and the next one of the other end */
	STRANGER_PORT = 9,
};

/* The first octet. */
enum world {
	WORLD_START = 3, /* which clock wraps soon: enum start */
	WORLD_V6 = 1 << 2,
	WORLD_BOTH = 1 << 3,	/* both ends open at once */
	WORLD_COOKIE = 1 << 4,	/* the passive one answers by a cookie */
	WORLD_NO_SACK = 1 << 5, /* something in between strikes out these options */
	WORLD_NO_TIMES = 1 << 6,
	WORLD_NARROW = 1 << 7, /* the passive end's link */
};

/* A step's first octet. */
enum what {
	WHAT_DELIVER,	  /* one of the frames from this end */
	WHAT_DELIVER_ALL, /* in order, as one burst */
	WHAT_DROP,
	WHAT_COPY,    /* deliver it, and have it still */
	WHAT_TOO_BIG, /* a router drops it and says so */
	WHAT_TIME,
	WHAT_HOLD,
	WHAT_SEND,
	WHAT_READ,	/* so much */
	WHAT_READ_ALL,	/* from now on */
	WHAT_READ_NONE, /* likewise */
	WHAT_SHUTDOWN,
	WHAT_CLOSE,
	WHAT_ABORT,
	WHAT_BOTH_WAYS, /* deliver all of both ends; and the next one */
	WHAT_MASK = 15,

	ON_OTHER = 1 << 4,
	SILENT = 1 << 5, /* tcp_output comes a step later */
	TIME_SHIFT = 6,	 /* how much time passes: step_us */
};

static const uint64_t step_us[4] = {0, 1000, 25000, 300000};

struct end {
	struct tcp *tcp;
	struct net net;
	struct postern_counters counters;
	struct pool kept, frames;
	struct ip_addr ip;
	uint32_t stream; /* number of the first octet it sends */

	/* Its owner. */
	struct tcp_conn *conn;
	uint32_t to_send, sent, got;
	bool met, reads_all, is_shut, closed, aborted, peer_done;
	enum tcp_end end;

	/* What it sent and nobody received yet. */
	struct rte_mbuf *wire[WIRE_FRAMES];
	unsigned n_wire;
};

struct fuzz {
	struct octets in;
	uint8_t world, without;
	uint64_t now_us, began_us;
	uint32_t n_frames; /* sent since all is well */
	bool is_healed;
	struct pool wire;
	struct end ends[ENDS];
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	test_eal_start("fuzz-pair");
	return 0;
}

static struct end *other(struct fuzz *f, const struct end *e)
{
	return &f->ends[e == &f->ends[0]];
}

/* --- an owner ----------------------------------------------------------------------------------
 */

static void owner_sends(struct end *e)
{
	uint8_t octets[4096];

	while (e->conn && e->to_send) {
		uint32_t len = RTE_MIN(e->to_send, (uint32_t)sizeof(octets));
		size_t taken;

		stream_write(octets, e->stream + e->sent, len);
		taken = tcp_send(e->tcp, e->conn, octets, len);
		if (!taken)
			break;
		e->sent += (uint32_t)taken;
		e->to_send -= (uint32_t)taken;
	}
}

static void owner_reads(struct fuzz *f, struct end *e, size_t most)
{
	struct span s;

	while (e->conn && most && (s = tcp_read(e->tcp, e->conn, 0)).len) {
		size_t len = RTE_MIN(s.len, most);

		stream_check(s.bytes, other(f, e)->stream + e->got, len);
		e->got += (uint32_t)len;
		most -= len;
		assert(e->got <= other(f, e)->sent);
		tcp_consume(e->tcp, e->conn, len);
	}
}

static void owner_shuts(struct end *e)
{
	if (!e->conn || e->is_shut)
		return;
	e->to_send = 0;
	e->is_shut = true;
	tcp_shutdown(e->tcp, e->conn);
}

static void owner_hears(struct fuzz *f, struct end *e, struct tcp_conn *c, unsigned news)
{
	if (!tcp_user(c)) {
		assert(news & TCP_OPENED);
		if (e->met) {
			/* Old frames opened it once more. */
			tcp_abort(e->tcp, c);
			return;
		}
		e->met = true;
		e->conn = c;
		tcp_set_user(c, e);
	}
	assert(c == e->conn);
	if (e->reads_all || (news & TCP_ENDED))
		owner_reads(f, e, SIZE_MAX);
	if (news & TCP_PEER_DONE) {
		assert(!e->peer_done);
		e->peer_done = true;
		if (!other(f, e)->aborted)
			assert(e->got + tcp_readable(c) == other(f, e)->sent);
	}
	if (news & TCP_ENDED) {
		e->end = tcp_end_of(c);
		assert(e->end != TCP_END_NONE);
		e->conn = NULL;
	} else {
		if (news & (TCP_OPENED | TCP_ROOM))
			owner_sends(e);
		if (f->is_healed && !e->to_send)
			owner_shuts(e);
	}
}

static void owner_closes(struct end *e)
{
	if (!e->conn)
		return;
	/* Nothing is known of it yet at the other end. */
	if (strcmp(tcp_state_name(e->conn), "SYN-SENT") == 0 ||
	    strcmp(tcp_state_name(e->conn), "SYN-RECEIVED") == 0)
		e->aborted = true;
	e->to_send = 0;
	e->closed = true;
	tcp_close(e->tcp, e->conn);
	e->conn = NULL;
}

static void owner_aborts(struct end *e)
{
	if (!e->conn)
		return;
	e->aborted = true;
	tcp_abort(e->tcp, e->conn);
	e->conn = NULL;
}

/* --- the wire ----------------------------------------------------------------------------------
 */

static struct rte_mbuf *copy_of(struct fuzz *f, const struct rte_mbuf *m)
{
	struct rte_mbuf *copy;

	assert(m->nb_segs == 1);
	copy = block_mbuf(f->wire.mempool, rte_pktmbuf_mtod(m, const void *), m->data_len);
	if (!copy)
		return NULL;
	copy->port = 0;
	copy->ol_flags |= m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	return copy;
}

/* A frame leaves the wire. */
static struct rte_mbuf *wire_take(struct end *e, unsigned i)
{
	struct rte_mbuf *m = e->wire[i];

	e->n_wire--;
	memmove(&e->wire[i], &e->wire[i + 1], (e->n_wire - i) * sizeof(m));
	return m;
}

/* Options of this kind become NOPs, as meddlers do it; the checksum counts as made right again. */
static void strike_out(struct rte_mbuf *m, const struct net_segment *s, uint8_t kind)
{
	uint8_t *tcp = rte_pktmbuf_mtod_offset(m, uint8_t *, s->tcp_at);

	if (!(tcp[13] & TCP_SYN))
		return;
	for (uint8_t at = TCP_HEADER_MIN; at < s->header_len && tcp[at];) {
		uint8_t len = tcp[at] == 1 ? 1 : tcp[at + 1];

		if (tcp[at] == kind)
			memset(tcp + at, 1, len);
		at = (uint8_t)(at + len);
	}
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
}

static void meddle(struct fuzz *f, struct end *from, struct rte_mbuf *m)
{
	struct net_segment s;

	if (net_input(&other(f, from)->net, m, &s) != NET_SEGMENT)
		abort();
	if (f->world & WORLD_NO_SACK)
		strike_out(m, &s, 4);
	if (f->world & WORLD_NO_TIMES)
		strike_out(m, &s, 8);
}

/* What no longer fits is lost. */
static void hear(struct fuzz *f, struct end *e)
{
	struct rte_mbuf *m;

	for (unsigned n = 0; tcp_output(e->tcp, &m, 1, f->now_us); n++) {
		struct rte_mbuf *copy = e->n_wire < WIRE_FRAMES ? copy_of(f, m) : NULL;

		assert(n < FRAMES_A_STEP);
		rte_pktmbuf_free(m);
		f->n_frames++;
		if (!copy)
			continue;
		meddle(f, e, copy);
		e->wire[e->n_wire++] = copy;
	}
	tcp_check(e->tcp);
}

static void deliver(struct fuzz *f, struct end *from, struct rte_mbuf **frames, unsigned n)
{
	struct end *to = other(f, from);
	struct net_segment s[WIRE_FRAMES];

	for (unsigned i = 0; i < n; i++) {
		if (net_input(&to->net, frames[i], &s[i]) != NET_SEGMENT)
			abort();
	}
	if (n)
		tcp_input_take(to->tcp, s, n, f->now_us);
}

static void deliver_all(struct fuzz *f, struct end *from)
{
	deliver(f, from, from->wire, from->n_wire);
	from->n_wire = 0;
}

static void deliver_one(struct fuzz *f, struct end *from, unsigned i, bool copy)
{
	struct rte_mbuf *m = copy ? copy_of(f, from->wire[i]) : wire_take(from, i);

	if (m)
		deliver(f, from, &m, 1);
}

static void router_drops(struct fuzz *f, struct end *from, unsigned i, uint16_t mtu)
{
	struct rte_mbuf *m = from->wire[i];
	struct net_segment s, error;
	struct tcp_header h;

	if (m->pkt_len <= 14u + mtu)
		return;
	if (net_input(&other(f, from)->net, m, &s) != NET_SEGMENT)
		abort();
	if (!tcp_header_read(&h, rte_pktmbuf_mtod_offset(m, const uint8_t *, s.tcp_at),
			     s.header_len))
		abort();
	error = (struct net_segment){
		.flow = {s.flow.remote, s.flow.local, s.flow.remote_port, s.flow.local_port},
		.error = NET_ERROR_TOO_BIG,
		.error_mtu = mtu,
		.error_seq = h.seq,
	};
	error.hash = net_hash(&from->net, &error.flow);
	rte_pktmbuf_free(wire_take(from, i));
	tcp_error(from->tcp, &error, f->now_us);
}

/* --- a step ------------------------------------------------------------------------------------
 */

static void turn(struct fuzz *f, struct end *e, bool silent)
{
	struct tcp_conn *c;
	unsigned news;

	tcp_tick(e->tcp, f->now_us);
	while ((c = tcp_next_news(e->tcp, &news)))
		owner_hears(f, e, c, news);
	if (!silent)
		hear(f, e);
}

static void pass_time(struct fuzz *f, uint64_t us)
{
	uint64_t end_us = f->began_us + TROUBLE_US;

	f->now_us = f->now_us + us < end_us ? f->now_us + us : end_us;
}

static void on_wire(struct fuzz *f, struct end *e, uint8_t what)
{
	uint8_t which = next8(&f->in);
	unsigned i;

	if (!e->n_wire)
		return;
	i = which % e->n_wire;
	switch (what) {
	case WHAT_DROP:
		rte_pktmbuf_free(wire_take(e, i));
		break;
	case WHAT_TOO_BIG:
		router_drops(f, e, i, (uint16_t)(576 + next8(&f->in) * 4));
		break;
	default:
		deliver_one(f, e, i, what == WHAT_COPY);
	}
}

static void on_owner(struct fuzz *f, struct end *e, uint8_t what)
{
	switch (what) {
	case WHAT_SEND:
		if (e->sent + e->to_send < OCTETS_MAX && !e->is_shut && !e->closed)
			e->to_send += next8(&f->in) * 128u;
		owner_sends(e);
		break;
	case WHAT_READ:
		owner_reads(f, e, next8(&f->in) * 128u);
		break;
	case WHAT_READ_ALL:
		e->reads_all = true;
		owner_reads(f, e, SIZE_MAX);
		break;
	case WHAT_READ_NONE:
		e->reads_all = false;
		break;
	case WHAT_SHUTDOWN:
		owner_shuts(e);
		break;
	case WHAT_CLOSE:
		owner_closes(e);
		break;
	case WHAT_ABORT:
		owner_aborts(e);
		break;
	default:
		break;
	}
}

static void step(struct fuzz *f)
{
	uint8_t step = next8(&f->in), what = step & WHAT_MASK;
	struct end *e = &f->ends[!!(step & ON_OTHER)];

	pass_time(f, step_us[step >> TIME_SHIFT]);
	if (what == WHAT_TIME) {
		uint64_t units = next8(&f->in) + 1u;

		pass_time(f, units << next8(&f->in) % 24);
	} else if (what == WHAT_HOLD) {
		struct pool *pool = next8(&f->in) & 1 ? &e->frames : &e->kept;

		pool_leave(pool, next8(&f->in));
	} else if (what == WHAT_DELIVER_ALL) {
		deliver_all(f, e);
	} else if (what >= WHAT_BOTH_WAYS) {
		deliver_all(f, e);
		turn(f, other(f, e), false);
		deliver_all(f, other(f, e));
	} else if (what < WHAT_TIME) {
		on_wire(f, e, what);
	} else {
		on_owner(f, e, what);
	}
	turn(f, &f->ends[0], step & SILENT);
	turn(f, &f->ends[1], step & SILENT);
}

/* --- all is well again -------------------------------------------------------------------------
 */

static bool is_over(const struct end *e)
{
	return !e->conn && !e->n_wire && tcp_conns(e->tcp) == 0;
}

/* What still waits to be sent waits to be told of room. */
static void heal(struct fuzz *f)
{
	f->is_healed = true;
	f->n_frames = 0;
	for (unsigned i = 0; i < ENDS; i++) {
		struct end *e = &f->ends[i];

		pool_leave(&e->kept, POOL_BUFFERS);
		pool_leave(&e->frames, POOL_BUFFERS);
		e->reads_all = true;
		owner_reads(f, e, SIZE_MAX);
		if (!e->to_send)
			owner_shuts(e);
	}
}

/* To where something happens. */
static void time_goes_on(struct fuzz *f)
{
	uint64_t due_us = UINT64_MAX;

	for (unsigned i = 0; i < ENDS; i++) {
		due_us = RTE_MIN(due_us, tcp_next_due(f->ends[i].tcp));
		if (f->ends[i].n_wire)
			due_us = f->now_us + 5000;
	}
	assert(due_us != UINT64_MAX); /* somebody waits for ever */
	f->now_us = RTE_MAX(due_us, f->now_us + 1);
}

static void finish(struct fuzz *f)
{
	uint64_t end_us = f->now_us + HEALED_WITHIN_S * 1000000ull;

	heal(f);
	for (;;) {
		for (unsigned i = 0; i < ENDS; i++)
			turn(f, &f->ends[i], false);
		if (is_over(&f->ends[0]) && is_over(&f->ends[1]))
			break;
		time_goes_on(f);
		assert(f->now_us < end_us);
		for (unsigned i = 0; i < ENDS; i++)
			deliver_all(f, &f->ends[i]);
	}
	assert(f->n_frames < 1000 + (f->ends[0].sent + f->ends[1].sent) / 50);
}

/* What an end must have come to. */
static void judge(struct fuzz *f, const struct end *e)
{
	const struct end *peer = other(f, e);

	if (e->aborted || peer->aborted || (f->world & WORLD_COOKIE))
		return;
	assert(e->met && e->end != TCP_END_TIMEOUT && e->end != TCP_END_REFUSED);
	if (e->closed)
		return;
	assert(e->got == peer->sent);
	/* A peer that heard all and forgot it resets what comes again. */
	assert(e->end == TCP_END_CLOSED || peer->closed || peer->end == TCP_END_CLOSED);
}

/* --- the world ---------------------------------------------------------------------------------
 */

static struct ip_addr address_of(const struct fuzz *f, unsigned i)
{
	const struct ip_addr v6 = {{0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(i + 1)}};
	const uint8_t v4[4] = {192, 0, 2, (uint8_t)(i + 1)};

	return f->world & WORLD_V6 ? v6 : ip_addr_from_v4(v4);
}

static void choose_end(struct fuzz *f, struct end *e, unsigned i, uint8_t sizes)
{
	static const uint32_t octets[4] = {4096, 16384, 65535, 1 << 18};
	struct tcp_config config = {
		.conns = 4,
		.handshakes = f->world & WORLD_COOKIE ? 1 : 0,
		.time_waits = 4,
		.receive_window = octets[sizes & 3],
		.send_queue = octets[sizes >> 2 & 3],
		.idle_timeout_ms = 120000, /* an end that hears nothing of an abort */
		.net = &e->net,
		.isn_key = {i, 1},
		.active_first = (uint16_t)(ACTIVE_PORT + i),
		.active_count = 1,
		.without = f->without,
		.counters = &e->counters,
	};

	pool_init(&e->kept, i ? "kept1" : "kept0");
	pool_init(&e->frames, i ? "frames1" : "frames0");
	config.pool = e->kept.mempool;
	config.frame_pools[0] = e->frames.mempool;
	e->ip = address_of(f, i);
	e->net = (struct net){
		.n_ports = 1,
		.ports = {{.mac = {2}, .mtu = i && (f->world & WORLD_NARROW) ? 1300 : 1500}},
		.n_addresses = 1,
		.addresses = {{.ip = e->ip}},
		.n_workers = 1,
		.counters = &e->counters,
	};
	e->stream = i << 24;
	e->tcp = tcp_new(&config, f->now_us);
	assert(e->tcp);
	if (!(f->world & WORLD_BOTH))
		tcp_listen(e->tcp, SERVICE_PORT);
}

static void connect_to(struct end *e, const struct end *to, uint16_t port)
{
	e->conn = tcp_connect(e->tcp, &e->ip, &to->ip, port, &(struct net_path){.mac = {2}});
	assert(e->conn);
	tcp_set_user(e->conn, e);
	e->met = true;
}

/* Half a handshake of somebody else's is under way. */
static void stranger_begins(struct fuzz *f, struct end *to)
{
	struct tcp_header h = {.flags = TCP_SYN, .window = 1000};
	struct rte_mbuf *m = rte_pktmbuf_alloc(f->wire.mempool);
	struct net_segment s = {
		.m = m,
		.flow = {to->ip, f->ends[0].ip, SERVICE_PORT, STRANGER_PORT},
		.path = {.mac = {2}},
		.tcp_len = TCP_HEADER_MIN,
		.header_len = TCP_HEADER_MIN,
	};

	assert(m);
	s.hash = net_hash(&to->net, &s.flow);
	tcp_header_write(&h, (uint8_t *)rte_pktmbuf_append(m, TCP_HEADER_MIN), STRANGER_PORT,
			 SERVICE_PORT);
	tcp_input_take(to->tcp, &s, 1, f->now_us);
}

static uint64_t begin_us(const struct fuzz *f)
{
	const struct siphash_key isn_key = {0, 1};
	struct flow first = {
		.local = address_of(f, 0),
		.remote = address_of(f, 1),
		.local_port = ACTIVE_PORT,
		.remote_port = f->world & WORLD_BOTH ? ACTIVE_PORT + 1 : SERVICE_PORT,
	};

	return start_us(f->world & WORLD_START, &isn_key, &first);
}

static void begin(struct fuzz *f)
{
	uint8_t sizes;

	f->world = next8(&f->in);
	sizes = next8(&f->in);
	f->without = next8(&f->in);
	f->now_us = f->began_us = begin_us(f);
	pool_init(&f->wire, "wire");
	choose_end(f, &f->ends[0], 0, sizes);
	choose_end(f, &f->ends[1], 1, sizes >> 4);
	if (f->world & WORLD_BOTH) {
		connect_to(&f->ends[0], &f->ends[1], ACTIVE_PORT + 1);
		connect_to(&f->ends[1], &f->ends[0], ACTIVE_PORT);
	} else {
		connect_to(&f->ends[0], &f->ends[1], SERVICE_PORT);
		if (f->world & WORLD_COOKIE)
			stranger_begins(f, &f->ends[1]);
	}
	for (unsigned i = 0; i < ENDS; i++)
		hear(f, &f->ends[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = {.in = {data, size}};

	begin(&f);
	for (unsigned i = 0; f.in.left && i < STEPS_MAX; i++)
		step(&f);
	finish(&f);
	for (unsigned i = 0; i < ENDS; i++) {
		judge(&f, &f.ends[i]);
		tcp_free(f.ends[i].tcp);
		pool_release(&f.ends[i].kept);
		pool_release(&f.ends[i].frames);
	}
	pool_release(&f.wire);
	return 0;
}
