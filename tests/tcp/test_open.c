/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening: handshakes from either end, and what they agree on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"

static void a_client_opens_a_connection_and_options_are_agreed(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){.v6 = v6, .receive_window = 262144});
		p.ts = true;
		p.ts_value = 77;
		peer_half_open(&p);
		assert_true(p.got.has_mss);
		assert_int_equal(p.got.mss, v6 ? 1440 : 1460);
		assert_true(p.got.has_ts);
		assert_int_equal(p.got.ts_echo, 77);
		assert_false(p.got.has_wscale); /* we offered none */
		assert_false(p.got.sack_permitted);
		peer_send(&p, TCP_ACK, NULL, 0);
		assert_int_equal(p.news, TCP_OPENED);
		assert_string_equal(tcp_state_name(p.conn), "ESTABLISHED");
		assert_int_equal(p.counters.tcp_passive_opens, 1);
		assert_int_equal(p.counters.tcp_established, 1);
		peer_release(&p);
	}
}

static void we_open_a_connection(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){.v6 = v6});
		peer_open_actively(&p);
		assert_int_equal(p.flow.local_port, 20003);
		assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), HELLO);
		peer_expect(&p, TCP_ACK, HELLO);
		assert_memory_equal(p.got_payload, hello, HELLO);
		peer_release(&p);
	}
}

static void a_refused_open_ends_refused(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open_actively(&p);
	peer_send(&p, TCP_RST | TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_ENDED);
	assert_int_equal(p.end, TCP_END_REFUSED);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

/* --- what routers say of our SYN ---------------------------------------------------------------
 */

/* What a router says of the segment at seq. */
static void hear_error(struct peer *p, enum net_error_kind kind, uint32_t seq)
{
	const struct net_segment error = {
		.flow = p->flow,
		.hash = net_hash(&p->net, &p->flow),
		.error = (uint8_t)kind,
		.error_seq = seq,
	};

	tcp_error(p->tcp, &error, p->now_us);
	peer_owner(p);
}

static void connect_to_peer(struct peer *p)
{
	p->conn = tcp_connect(p->tcp, &p->flow.local, &p->flow.remote, PEER_PORT, &p->path);
	p->flow.local_port = 20003;
}

static void an_open_that_a_router_refuses_ends_refused(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	connect_to_peer(&p);
	peer_expect(&p, TCP_SYN, 0);
	hear_error(&p, NET_ERROR_REFUSED, p.got.seq);
	assert_int_equal(p.news, TCP_ENDED);
	assert_int_equal(p.end, TCP_END_REFUSED);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_refusal_of_what_is_not_under_way_is_not_believed(void **state)
{
	struct peer p;
	uint32_t iss;

	peer_init(&p, &(struct peer_options){0});
	connect_to_peer(&p);
	/* Its SYN's number could be guessed by who had the flow before. */
	for (uint32_t seq = 0; seq < 100; seq++)
		hear_error(&p, NET_ERROR_REFUSED, seq);
	peer_expect(&p, TCP_SYN, 0);
	iss = p.got.seq;
	hear_error(&p, NET_ERROR_REFUSED, iss - 1);
	hear_error(&p, NET_ERROR_REFUSED, iss + 1);
	assert_int_equal(p.news, 0);
	p.ack = iss + 1;
	peer_send(&p, TCP_SYN | TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_release(&p);
}

static void what_is_open_does_not_end_by_a_routers_word(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_actively(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	hear_error(&p, NET_ERROR_REFUSED, p.got.seq);
	hear_error(&p, NET_ERROR_UNREACHABLE, p.got.seq);
	assert_int_equal(p.news, 0);
	peer_release(&p);

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	hear_error(&p, NET_ERROR_REFUSED, p.got.seq);
	assert_int_equal(peer_conns(&p), 1);
	peer_release(&p);
}

static void who_opens_is_told_that_the_server_is_not_reached(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	connect_to_peer(&p);
	peer_expect(&p, TCP_SYN, 0);
	hear_error(&p, NET_ERROR_UNREACHABLE, p.got.seq);
	assert_int_equal(p.news, TCP_UNREACHED);
	peer_wait_ms(&p, 1000);
	peer_expect(&p, TCP_SYN, 0);
	p.ack = p.got.seq + 1;
	peer_send(&p, TCP_SYN | TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_true(p.news & TCP_OPENED);
	peer_release(&p);
}

static void an_open_nobody_answers_times_out(void **state)
{
	struct peer p;
	unsigned syns = 0;

	peer_init(&p, &(struct peer_options){0});
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	for (unsigned s = 0; s < 200 && !(p.news & TCP_ENDED); s++) {
		while (peer_hear(&p)) {
			assert_int_equal(p.got.flags, TCP_SYN);
			syns++;
		}
		peer_wait_ms(&p, 1000);
	}
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(syns, 8);
	assert_true(p.now_us > 180 * 1000000); /* RFC 9293 3.8.3 */
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_stale_ack_in_syn_sent_is_reset_and_the_open_goes_on(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open_actively(&p);
	p.ack = p.got.seq + 5000;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.got.seq, p.ack);
	peer_wait_ms(&p, 1000);
	peer_expect(&p, TCP_SYN, 0);
	p.ack = p.got.seq + 1;
	peer_send(&p, TCP_SYN | TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_release(&p);
}

/* Who opened from there before can tell the next number, which only the clock moves on. */
static void a_third_ack_before_our_syn_has_left_opens_nothing(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	peer_send(&p, TCP_RST, NULL, 0);
	assert_int_equal(peer_conns(&p), 0);
	peer_burst_add(&p, TCP_SYN, NULL, 0);
	peer_burst_add(&p, TCP_ACK, hello, HELLO);
	peer_burst_end(&p);
	assert_int_equal(p.news, 0);
	peer_expect(&p, TCP_RST, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(p.got.seq + 1, p.ack);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void an_answer_before_our_syn_has_left_opens_nothing(void **state)
{
	enum { PORTS = 8 };
	uint32_t first = 0;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	/* Each source port once, and the first again. */
	for (unsigned i = 0; i < PORTS; i++) {
		peer_half_open_actively(&p);
		assert_int_equal(p.flow.local_port, 20000 + (3 + i) % PORTS);
		first = i ? first : p.ack;
		peer_send(&p, TCP_RST | TCP_ACK, NULL, 0);
	}
	peer_news_clear(&p);
	p.flow.local_port = 20003;
	p.ack = first;
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	peer_send(&p, TCP_SYN | TCP_ACK, NULL, 0);
	assert_int_equal(p.news, 0);
	peer_expect(&p, TCP_RST, 0);
	peer_expect(&p, TCP_SYN, 0);
	assert_int_equal(p.got.seq + 1, p.ack);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void both_sides_may_open_at_once(void **state)
{
	struct peer p;
	uint32_t iss;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open_actively(&p);
	iss = p.got.seq;
	peer_half_open(&p);
	assert_int_equal(p.got.seq, iss);
	peer_send_at(&p, TCP_SYN | TCP_ACK, p.seq - 1, p.ack, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

static void both_sides_may_open_at_once_and_say_something(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.wscale = 4;
	p.window = 2000;
	peer_half_open_actively(&p);
	peer_half_open(&p);
	/* The first octet comes behind the SYN; the window of a SYN is never scaled. */
	peer_send_at(&p, TCP_SYN | TCP_ACK, p.seq - 1, p.ack, hello, HELLO);
	p.seq += HELLO;
	assert_int_equal(p.read_len, HELLO);
	assert_memory_equal(p.read, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 10000), 10000);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void a_repeated_syn_gets_the_same_answer(void **state)
{
	struct peer p;
	uint32_t iss;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	iss = p.got.seq;
	peer_send_at(&p, TCP_SYN, p.seq - 1, 0, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(p.got.seq, iss);
	peer_wait_ms(&p, 1000);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0); /* and again by itself */
	assert_int_equal(peer_conns(&p), 1);
	peer_release(&p);
}

static void a_repeated_syn_corrects_the_way_back(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.path.mac[3] ^= 0x40; /* flipped on the link, where TCP's checksum does not reach */
	peer_send(&p, TCP_SYN, NULL, 0);
	p.path.mac[3] ^= 0x40;
	peer_send_at(&p, TCP_SYN, p.seq - 1, 0, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0); /* net at the peer would drop it otherwise */
	peer_release(&p);
}

static void a_half_open_connection_ends_unseen(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_wait_for_end(&p, 200, false);
	assert_int_equal(p.news, 0);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

/* RFC 9293 3.10.7.2 lets them be queued; whose address is true was not shown yet. */
static void bytes_on_a_syn_are_left_to_be_sent_again(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, hello, HELLO);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	p.seq -= HELLO;
	assert_int_equal(p.got.ack, p.seq);
	/* The SYN again, with its bytes, changes nothing. */
	peer_send_at(&p, TCP_SYN, p.seq - 1, 0, hello, HELLO);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	p.ack = p.got.seq + 1;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	assert_int_equal(rte_mempool_in_use_count(p.kept), 0);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 0);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	assert_memory_equal(p.read, hello, HELLO);
	peer_release(&p);
}

static void bytes_on_the_answer_to_our_syn_are_left_to_be_sent_again(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open_actively(&p);
	peer_send(&p, TCP_SYN | TCP_ACK, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	p.seq -= HELLO;
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.news, TCP_OPENED);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	peer_release(&p);
}

static void syn_synack_rst_leaves_the_listener_well(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.handshakes = 1});
	for (unsigned i = 0; i < 5; i++) {
		peer_half_open(&p);
		peer_send(&p, TCP_RST, NULL, 0);
		assert_int_equal(peer_conns(&p), 0);
	}
	peer_open(&p);
	peer_release(&p);
}

static void a_third_ack_without_timestamps_still_opens(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.ts = true;
	peer_half_open(&p);
	p.ts = false;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_release(&p);
}

static void a_third_ack_of_other_numbers_is_reset(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq, p.got.seq + 99, NULL, 0);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.news, 0);
	peer_release(&p);
}

static void handshakes_and_the_table_are_bounded(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.conns = 4, .handshakes = 2});
	for (uint16_t i = 0; i < 4; i++) {
		p.flow.remote_port = (uint16_t)(PEER_PORT + i);
		peer_send(&p, TCP_SYN, NULL, 0);
	}
	assert_int_equal(tcp_conns(p.tcp), 2);
	assert_int_equal(p.counters.tcp_syn_full, 2);
	assert_int_equal(p.counters.tcp_cookies_sent, 2);
	peer_release(&p);

	/* A full table still answers, and takes the client once there is room. */
	peer_init(&p, &(struct peer_options){.conns = 2});
	for (uint16_t i = 0; i < 2; i++) {
		p.flow.remote_port = (uint16_t)(PEER_PORT + i);
		peer_open(&p);
	}
	p.flow.remote_port++;
	peer_half_open(&p);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(peer_conns(&p), 2); /* and no RST */
	assert_int_equal(p.counters.tcp_table_full, 1);
	tcp_abort(p.tcp, p.conn);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_true(p.news & TCP_OPENED);
	assert_int_equal(p.read_len, HELLO);
	peer_release(&p);
}

static void by_default_64_ki_handshakes_are_kept_where_there_is_room(void **state)
{
	static const struct {
		uint32_t conns, kept;
	} rows[] = {
		{1000, 750},
		{70000, 52500},
		{80000, 65536},
		{100000, 75000},
	};

	for (unsigned row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){.conns = rows[row].conns});
		for (uint32_t i = 0; i < rows[row].conns; i++) {
			p.flow.remote.octets[14] = (uint8_t)(i >> 16);
			p.flow.remote_port = (uint16_t)i;
			peer_send(&p, TCP_SYN, NULL, 0);
		}
		assert_int_equal(tcp_conns(p.tcp), rows[row].kept);
		assert_int_equal(p.counters.tcp_syn_full, rows[row].conns - rows[row].kept);
		peer_release(&p);
	}
}

static void initial_numbers_differ_by_connection_and_rise_with_time(void **state)
{
	uint32_t first, other;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	first = p.got.seq;
	peer_send(&p, TCP_RST, NULL, 0);
	p.now_us += 4000;
	peer_half_open(&p);
	assert_int_equal(p.got.seq - first, 1000); /* RFC 6528: a step every 4 us */
	p.flow.remote_port++;
	peer_half_open(&p);
	other = p.got.seq;
	assert_true(other - first > 100000 || first - other > 100000);
	peer_release(&p);
}

static void a_handshake_sent_twice_is_not_timed(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	peer_wait_ms(&p, 900);
	peer_send_at(&p, TCP_SYN, p.seq - 1, 0, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	/* The answer to the first, not to the second a millisecond ago. */
	peer_wait_ms(&p, 1);
	peer_send(&p, TCP_ACK, NULL, 0);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_wait_ms(&p, 900);
	peer_expect_silence(&p);
	peer_wait_ms(&p, 200);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_release(&p);
}

static void repeated_syns_hold_no_handshake_open(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	for (unsigned i = 0; i < 200; i++) {
		peer_send_at(&p, TCP_SYN, p.seq, 0, NULL, 0);
		peer_hear_all(&p);
		peer_wait_ms(&p, 500);
		peer_hear_all(&p);
	}
	assert_int_equal(p.counters.tcp_timeouts, 1);
	peer_release(&p);
}

static void another_syn_in_a_handshake_is_challenged(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	peer_send_at(&p, TCP_SYN, p.seq + 5000000, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.seq, p.ack);
	assert_int_equal(p.got.ack, p.seq);
	/* A client that began anew answers by a RST, and may open at last. */
	peer_send_at(&p, TCP_RST, p.got.ack, 0, NULL, 0);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

/* --- who speaks first ---------------------------------------------------------------------------
 */

static const char greeting[] = "220 mx.example ESMTP\r\n";
enum { GREETING = sizeof(greeting) - 1 };

static void greet(struct peer *p)
{
	assert_int_equal(tcp_send(p->tcp, p->conn, greeting, GREETING), GREETING);
	peer_expect(p, TCP_ACK, GREETING);
}

static void a_client_that_waits_for_the_greeting_is_not_early(void **state)
{
	struct peer p;

	peer_init_open(&p);
	greet(&p);
	assert_false(tcp_spoke_early(p.conn));
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	assert_false(tcp_spoke_early(p.conn));
	peer_release(&p);
}

static void a_client_that_waits_is_not_early_whatever_is_lost(void **state)
{
	struct peer p;
	uint32_t seq;

	peer_init_open(&p);
	greet(&p);
	p.ack -= GREETING;
	peer_wait_ms(&p, 1000); /* the greeting is lost, and comes again; so is the first line */
	peer_expect(&p, TCP_ACK, GREETING);
	seq = p.seq;
	peer_send_at(&p, TCP_ACK, seq + HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_false(tcp_spoke_early(p.conn));
	peer_send_at(&p, TCP_ACK, seq, p.ack, hello, HELLO);
	assert_int_equal(p.read_len, 2 * HELLO);
	assert_false(tcp_spoke_early(p.conn));
	peer_release(&p);
}

static void a_client_that_has_heard_a_part_is_not_early(void **state)
{
	struct peer p;

	peer_init_open(&p);
	greet(&p);
	p.ack -= GREETING - 1;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_false(tcp_spoke_early(p.conn));
	peer_release(&p);
}

static void a_client_that_speaks_with_the_third_ack_is_early(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.news, TCP_OPENED | TCP_BYTES);
	assert_true(tcp_spoke_early(p.conn));
	/* What it hears later does not change it. */
	greet(&p);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_true(tcp_spoke_early(p.conn));
	peer_release(&p);
}

static void a_client_that_speaks_in_a_burst_is_early(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open(&p);
	peer_burst_add(&p, TCP_ACK, NULL, 0);
	for (unsigned i = 0; i < 3; i++)
		peer_burst_add(&p, TCP_ACK | TCP_PSH, hello, HELLO);
	peer_burst_end(&p);
	assert_int_equal(p.news, TCP_OPENED | TCP_BYTES);
	assert_int_equal(p.read_len, 3 * HELLO);
	assert_true(tcp_spoke_early(p.conn));
	peer_release(&p);
}

static void a_client_that_speaks_behind_a_lost_greeting_is_early(void **state)
{
	struct peer p;

	peer_init_open(&p);
	greet(&p);
	p.ack -= GREETING;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_true(tcp_spoke_early(p.conn));
	peer_release(&p);
}

/* Who was to speak first, and then to wait: what comes twice was said once. */
static void a_client_that_was_forgiven_is_early_by_what_it_says_next(void **state)
{
	for (int waits = 0; waits < 2; waits++) {
		struct peer p;

		peer_init_open(&p);
		peer_send(&p, TCP_ACK, hello, HELLO);
		assert_true(tcp_spoke_early(p.conn));
		tcp_forgive_early(p.conn);
		peer_send_at(&p, TCP_ACK, p.seq - HELLO, p.ack, hello, HELLO);
		peer_expect(&p, TCP_ACK, 0);
		assert_int_equal(p.read_len, HELLO);
		assert_false(tcp_spoke_early(p.conn));
		greet(&p);
		p.ack -= waits ? 0 : GREETING;
		peer_send(&p, TCP_ACK, hello, HELLO);
		assert_int_equal(p.read_len, 2 * HELLO);
		assert_int_equal(tcp_spoke_early(p.conn), !waits);
		peer_release(&p);
	}
}

static void a_client_whose_first_bytes_come_out_of_order_is_early(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	assert_true(tcp_spoke_early(p.conn));
	peer_release(&p);
}

/* --- cases other stacks got wrong ---------------------------------------------------------------
 */

static void a_syn_ack_that_comes_again_is_acknowledged_and_changes_nothing(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.ts = true;
	p.ts_value = 1000;
	peer_open_actively(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	/* Our ACK was lost, and the peer's timer knows nothing of what is on the way to it. */
	p.ts_value = 2000;
	peer_send_at(&p, TCP_SYN | TCP_ACK, p.seq - 1, p.ack - HELLO, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.seq, p.ack);
	assert_int_equal(p.got.ack, p.seq);
	peer_expect_silence(&p);
	assert_int_equal(p.news, 0);
	assert_string_equal(tcp_state_name(p.conn), "ESTABLISHED");
	p.ts_value = 1001;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_release(&p);
}

static void bytes_on_a_syn_are_left_to_come_again(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send_at(&p, TCP_SYN, p.seq, 0, hello, HELLO);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	p.seq++;
	assert_int_equal(p.got.ack, p.seq);
	p.ack = p.got.seq + 1;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	assert_memory_equal(p.read, hello, HELLO);
	peer_release(&p);

	peer_init(&p, &(struct peer_options){0});
	peer_half_open_actively(&p);
	peer_send_at(&p, TCP_SYN | TCP_ACK, p.seq, p.ack, hello, HELLO);
	p.seq++;
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.read_len, 0);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	peer_release(&p);
}

/* RFC 9293 3.5.1, figure 9, from the side that stayed up. */
static void a_client_that_began_anew_is_let_in_after_its_reset(void **state)
{
	struct peer p;

	peer_init_open(&p);
	p.seq += 1000000;
	peer_send_at(&p, TCP_SYN, p.seq, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0); /* of numbers the client does not know */
	assert_int_equal(p.news, 0);
	peer_send_at(&p, TCP_RST, p.got.ack, 0, NULL, 0);
	assert_int_equal(p.end, TCP_END_RESET);
	assert_int_equal(peer_conns(&p), 0);
	peer_open(&p);
	assert_int_equal(peer_conns(&p), 1);
	peer_release(&p);
}

static void a_reset_of_other_numbers_in_syn_sent_is_not_heard_nor_answered(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_half_open_actively(&p);
	peer_send_at(&p, TCP_RST | TCP_ACK, 0, p.got.seq + 2, NULL, 0);
	peer_send_at(&p, TCP_RST, p.got.seq, 0, NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.news, 0);
	assert_int_equal(peer_conns(&p), 1);
	peer_release(&p);
}

/* The peer acknowledges flight after flight, until not cwnd but its window ends them. */
static void expect_window(struct peer *p, uint32_t window)
{
	uint32_t sent = 0;

	for (unsigned i = 0; i < 12; i++) {
		tcp_send(p->tcp, p->conn, pattern, tcp_send_room(p->tcp, p->conn));
		for (sent = 0; peer_hear(p);)
			sent += p->got_len;
		p->ack += sent;
		peer_send(p, TCP_ACK, NULL, 0);
	}
	assert_int_equal(sent, window / PEER_MSS * PEER_MSS);
}

static void every_scale_of_the_peers_window_is_understood(void **state)
{
	for (unsigned scale = 0; scale <= TCP_WSCALE_MAX; scale++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		p.wscale = (uint8_t)scale;
		p.wscale_of_none = true;
		p.window = 3 * PEER_MSS; /* a SYN's is never scaled */
		peer_half_open(&p);
		p.window = (uint16_t)(16384 >> scale);
		peer_send(&p, TCP_ACK, NULL, 0);
		expect_window(&p, 16384);
		peer_release(&p);
	}
}

static void a_peer_without_a_scale_gets_none(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.receive_window = 1 << 20});
	p.window = 5 * PEER_MSS;
	peer_half_open(&p);
	assert_false(p.got.has_wscale);
	assert_int_equal(p.got.window, 65535);
	peer_send(&p, TCP_ACK, NULL, 0);
	expect_window(&p, 5 * PEER_MSS);
	assert_int_equal(p.got.window, 65535); /* of a megabyte, all that the field holds */
	peer_release(&p);
}

static void our_window_is_told_by_the_smallest_scale_that_holds_it(void **state)
{
	static const struct {
		uint32_t window;
		uint8_t scale;
	} cases[] = {
		{2048, 0},   {65535, 0},   {65536, 1},		{131070, 1},
		{131072, 2}, {1 << 20, 5}, {(1 << 30) - 1, 14}, {1 << 30, 14},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){.receive_window = cases[i].window});
		p.wscale_of_none = true;
		peer_half_open(&p);
		assert_int_equal(p.got.wscale, cases[i].scale);
		assert_int_equal(p.got.window, cases[i].window < 65535 ? cases[i].window : 65535);
		peer_send(&p, TCP_ACK, NULL, 0);
		tcp_send(p.tcp, p.conn, hello, HELLO);
		peer_expect(&p, TCP_ACK, HELLO);
		assert_in_range((uint32_t)p.got.window << cases[i].scale,
				cases[i].window - PEER_MSS - (1u << cases[i].scale),
				cases[i].window);
		peer_release(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_opens_a_connection_and_options_are_agreed),
		cmocka_unit_test(we_open_a_connection),
		cmocka_unit_test(a_refused_open_ends_refused),
		cmocka_unit_test(an_open_that_a_router_refuses_ends_refused),
		cmocka_unit_test(a_refusal_of_what_is_not_under_way_is_not_believed),
		cmocka_unit_test(what_is_open_does_not_end_by_a_routers_word),
		cmocka_unit_test(who_opens_is_told_that_the_server_is_not_reached),
		cmocka_unit_test(an_open_nobody_answers_times_out),
		cmocka_unit_test(a_stale_ack_in_syn_sent_is_reset_and_the_open_goes_on),
		cmocka_unit_test(a_third_ack_before_our_syn_has_left_opens_nothing),
		cmocka_unit_test(an_answer_before_our_syn_has_left_opens_nothing),
		cmocka_unit_test(both_sides_may_open_at_once),
		cmocka_unit_test(both_sides_may_open_at_once_and_say_something),
		cmocka_unit_test(a_repeated_syn_gets_the_same_answer),
		cmocka_unit_test(a_repeated_syn_corrects_the_way_back),
		cmocka_unit_test(a_half_open_connection_ends_unseen),
		cmocka_unit_test(bytes_on_a_syn_are_left_to_be_sent_again),
		cmocka_unit_test(bytes_on_the_answer_to_our_syn_are_left_to_be_sent_again),
		cmocka_unit_test(syn_synack_rst_leaves_the_listener_well),
		cmocka_unit_test(a_third_ack_without_timestamps_still_opens),
		cmocka_unit_test(a_third_ack_of_other_numbers_is_reset),
		cmocka_unit_test(handshakes_and_the_table_are_bounded),
		cmocka_unit_test(by_default_64_ki_handshakes_are_kept_where_there_is_room),
		cmocka_unit_test(initial_numbers_differ_by_connection_and_rise_with_time),
		cmocka_unit_test(a_handshake_sent_twice_is_not_timed),
		cmocka_unit_test(repeated_syns_hold_no_handshake_open),
		cmocka_unit_test(another_syn_in_a_handshake_is_challenged),
		cmocka_unit_test(a_client_that_waits_for_the_greeting_is_not_early),
		cmocka_unit_test(a_client_that_waits_is_not_early_whatever_is_lost),
		cmocka_unit_test(a_client_that_has_heard_a_part_is_not_early),
		cmocka_unit_test(a_client_that_speaks_with_the_third_ack_is_early),
		cmocka_unit_test(a_client_that_speaks_in_a_burst_is_early),
		cmocka_unit_test(a_client_that_speaks_behind_a_lost_greeting_is_early),
		cmocka_unit_test(a_client_that_was_forgiven_is_early_by_what_it_says_next),
		cmocka_unit_test(a_client_whose_first_bytes_come_out_of_order_is_early),
		cmocka_unit_test(a_syn_ack_that_comes_again_is_acknowledged_and_changes_nothing),
		cmocka_unit_test(bytes_on_a_syn_are_left_to_come_again),
		cmocka_unit_test(a_client_that_began_anew_is_let_in_after_its_reset),
		cmocka_unit_test(a_reset_of_other_numbers_in_syn_sent_is_not_heard_nor_answered),
		cmocka_unit_test(every_scale_of_the_peers_window_is_understood),
		cmocka_unit_test(a_peer_without_a_scale_gets_none),
		cmocka_unit_test(our_window_is_told_by_the_smallest_scale_that_holds_it),
	};

	test_eal_start("tcp-open");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
