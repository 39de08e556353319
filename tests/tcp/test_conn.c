/* SPDX-License-Identifier: BSD-3-Clause */
/* The state machine, one segment at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "peer.h"

static const char hello[] = "EHLO client.example\r\n";
enum { HELLO = sizeof(hello) - 1 };

static uint8_t pattern[65536];

/* --- opening --------------------------------------------------------------------------------- */

static void a_client_opens_a_connection_and_options_are_agreed(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){.v6 = v6, .receive_window = 262144});
		p.ts = true;
		p.ts_value = 77;
		peer_send(&p, TCP_SYN, NULL, 0);
		peer_expect(&p, TCP_SYN | TCP_ACK, 0);
		assert_true(p.got.has_mss);
		assert_int_equal(p.got.mss, v6 ? 1440 : 1460);
		assert_true(p.got.has_ts);
		assert_int_equal(p.got.ts_echo, 77);
		assert_false(p.got.has_wscale); /* we offered none */
		assert_false(p.got.sack_permitted);
		p.ack = p.got.seq + 1;
		p.ts_echo = p.got.ts_value;
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
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	peer_expect(&p, TCP_SYN, 0);
	p.flow.local_port = 20003;
	p.ack = p.got.seq + 1;
	peer_send(&p, TCP_RST | TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_ENDED);
	assert_int_equal(p.end, TCP_END_REFUSED);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void an_open_nobody_answers_times_out(void **state)
{
	struct peer p;
	unsigned syns = 0;

	peer_init(&p, &(struct peer_options){0});
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	for (unsigned s = 0; s < 100 && !(p.news & TCP_ENDED); s++) {
		while (peer_hear(&p)) {
			assert_int_equal(p.got.flags, TCP_SYN);
			syns++;
		}
		peer_wait_ms(&p, 1000);
	}
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(syns, 6);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_stale_ack_in_syn_sent_is_reset_and_the_open_goes_on(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	peer_expect(&p, TCP_SYN, 0);
	p.flow.local_port = 20003;
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

static void both_sides_may_open_at_once(void **state)
{
	struct peer p;
	uint32_t iss;

	peer_init(&p, &(struct peer_options){0});
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	peer_expect(&p, TCP_SYN, 0);
	p.flow.local_port = 20003;
	iss = p.got.seq;
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(p.got.seq, iss);
	assert_int_equal(p.got.ack, p.seq);
	p.ack = iss + 1;
	peer_send_at(&p, TCP_SYN | TCP_ACK, p.seq - 1, p.ack, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

static void a_repeated_syn_gets_the_same_answer(void **state)
{
	struct peer p;
	uint32_t iss;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
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
	for (unsigned s = 0; s < 200; s++) {
		while (peer_hear(&p))
			;
		peer_wait_ms(&p, 1000);
	}
	assert_int_equal(p.news, 0);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void syn_synack_rst_leaves_the_listener_well(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.handshakes = 1});
	for (unsigned i = 0; i < 5; i++) {
		peer_send(&p, TCP_SYN, NULL, 0);
		peer_expect(&p, TCP_SYN | TCP_ACK, 0);
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
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	p.ack = p.got.seq + 1;
	p.ts = false;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_release(&p);
}

static void a_third_ack_of_other_numbers_is_reset(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
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
	peer_send(&p, TCP_SYN, NULL, 0);
	assert_true(peer_hear(&p));
	p.ack = p.got.seq + 1;
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

static void initial_numbers_differ_by_connection_and_rise_with_time(void **state)
{
	uint32_t first, other;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	first = p.got.seq;
	peer_send(&p, TCP_RST, NULL, 0);
	p.now_us += 4000;
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(p.got.seq - first, 1000); /* RFC 6528: a step every 4 us */
	p.flow.remote_port++;
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	other = p.got.seq;
	assert_true(other - first > 100000 || first - other > 100000);
	peer_release(&p);
}

/* --- segments of no connection -----------------------------------------------------------------
 */

static void a_closed_port_answers_a_syn_with_a_reset(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.flow.local_port = 26;
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.counters.tcp_no_listener, 1);
	peer_release(&p);
}

static void a_reset_is_never_answered(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_RST, NULL, 0);
	peer_send(&p, TCP_RST | TCP_ACK, NULL, 0);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void an_unknown_connection_is_reset_at_its_own_number_but_not_for_ever(void **state)
{
	unsigned resets = 0;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send_at(&p, TCP_ACK, 5, 4711, hello, HELLO);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.got.seq, 4711);
	for (unsigned i = 0; i < 1000; i++) {
		peer_send_at(&p, TCP_ACK, 5, 4711, NULL, 0);
		resets += peer_hear(&p);
	}
	assert_in_range(resets, 50, 200); /* a tenth of a second's worth */
	peer_release(&p);
}

static void flags_no_peer_means_are_dropped(void **state)
{
	static const uint8_t bad[] = {
		0,
		TCP_FIN,
		TCP_SYN | TCP_FIN,
		TCP_SYN | TCP_RST,
		TCP_FIN | TCP_RST | TCP_ACK,
		TCP_FIN | TCP_PSH | TCP_URG,
		0xff,
	};
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	for (unsigned i = 0; i < sizeof(bad); i++)
		peer_send(&p, bad[i], NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_bad_header, sizeof(bad));
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

/* --- bytes ----------------------------------------------------------------------------------- */

static void bytes_arrive_and_the_ack_waits_for_a_reply_or_a_while(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send(&p, TCP_ACK | TCP_PSH, hello, HELLO);
	assert_int_equal(p.news, TCP_BYTES);
	assert_int_equal(p.read_len, HELLO);
	assert_memory_equal(p.read, hello, HELLO);
	peer_expect_silence(&p);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	peer_release(&p);
}

static void one_segment_answers_a_burst_and_carries_its_ack(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	for (unsigned i = 0; i < 20; i++)
		peer_burst_add(&p, TCP_ACK | TCP_PSH, hello, HELLO);
	peer_burst_end(&p);
	assert_int_equal(p.read_len, 20 * HELLO);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(tcp_send(p.tcp, p.conn, "250 ok\r\n", 8), 8);
	peer_expect(&p, TCP_ACK, 160);
	assert_int_equal(p.got.ack, p.seq);
	assert_true(p.got.flags & TCP_PSH);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void every_second_full_segment_is_acknowledged(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send(&p, TCP_ACK, pattern, PEER_MSS);
	peer_expect_silence(&p);
	peer_send(&p, TCP_ACK, pattern, PEER_MSS);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

static void bytes_ahead_of_a_gap_wait_for_it(void **state)
{
	struct peer p;
	uint32_t first;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	first = p.seq;
	/* Third, second, an overlap of both, then the first: across the sequence wrap. */
	peer_send_at(&p, TCP_ACK, first + 2000, p.ack, pattern + 2000, 1000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, first);
	peer_send_at(&p, TCP_ACK, first + 1000, p.ack, pattern + 1000, 700);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK, first + 1500, p.ack, pattern + 1500, 1000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.read_len, 0);
	peer_send_at(&p, TCP_ACK, first, p.ack, pattern, 1000);
	assert_int_equal(p.read_len, 3000);
	assert_memory_equal(p.read, pattern, 3000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, first + 3000);
	assert_int_equal(p.counters.tcp_out_of_order, 3);
	peer_release(&p);
}

static void small_segments_pin_no_big_buffers(void **state)
{
	struct peer p;
	uint32_t first;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	first = p.seq;
	for (uint32_t i = 1; i <= 64; i++)
		peer_send_at(&p, TCP_ACK, first + 2 * i, p.ack, pattern + 2 * i, 1);
	assert_true(rte_mempool_in_use_count(p.kept) <= 2);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 0);
	assert_int_equal(p.counters.tcp_reassembly_full, 32);
	peer_send_at(&p, TCP_ACK, first, p.ack, pattern, 130);
	assert_int_equal(p.read_len, 130);
	assert_memory_equal(p.read, pattern, 130);
	peer_release(&p);
}

static void sack_blocks_tell_the_newest_first(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq + 1000, p.ack, pattern, 100);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK, p.seq + 3000, p.ack, pattern, 100);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 2);
	assert_int_equal(p.got.sack[0].start, p.seq + 3000);
	assert_int_equal(p.got.sack[0].end, p.seq + 3100);
	assert_int_equal(p.got.sack[1].start, p.seq + 1000);
	peer_release(&p);
}

static void a_window_shuts_when_nobody_reads_and_opens_again(void **state)
{
	struct peer p;
	uint32_t sent = 0;

	peer_init(&p, &(struct peer_options){.receive_window = 8192});
	p.keep_unread = true;
	peer_open(&p);
	while (sent < 8192) {
		uint32_t len = 8192 - sent < 1000 ? 8192 - sent : 1000;

		peer_send(&p, TCP_ACK, pattern + sent, len);
		sent += len;
	}
	while (peer_hear(&p))
		;
	peer_wait_ms(&p, 50);
	while (peer_hear(&p))
		;
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.got.window, 0);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 0); /* kept apart from the port's */
	assert_int_equal(tcp_readable(p.conn), 8192);
	/* A probe of one octet is not taken, and answered. */
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, "x", 1);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	/* Reading a little says nothing; reading half of it opens the window. */
	tcp_consume(p.tcp, p.conn, 100);
	peer_expect_silence(&p);
	tcp_consume(p.tcp, p.conn, 4000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.window, 4100);
	assert_memory_equal(tcp_read(p.tcp, p.conn, 0).bytes, pattern + 4100, 100);
	peer_release(&p);
}

static void what_is_beyond_the_window_is_not_taken(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.receive_window = 2048});
	p.keep_unread = true;
	peer_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq + 1548, p.ack, pattern + 1548, 1000);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, pattern, 1548);
	assert_int_equal(tcp_readable(p.conn), 2048);
	peer_send_at(&p, TCP_ACK, p.seq + 4096, p.ack, pattern, 10);
	assert_int_equal(tcp_readable(p.conn), 2048);
	assert_int_equal(p.counters.tcp_unacceptable, 1);
	peer_release(&p);
}

/* --- sending --------------------------------------------------------------------------------- */

static void sending_stays_within_the_peers_window(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.window = 2500;
	peer_open(&p);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 10000), 10000);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect_silence(&p); /* 500 would be silly: not half of the window */
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect_silence(&p);
	assert_true(p.news & TCP_ROOM);
	assert_int_equal(tcp_unacknowledged(p.conn), 8000);
	peer_release(&p);
}

static void a_shut_window_is_probed_until_it_opens(void **state)
{
	struct peer p;
	uint32_t una;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	p.window = 0;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 3000), 3000);
	una = p.ack;
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	for (unsigned i = 0; i < 4; i++) {
		peer_wait_ms(&p, 4000u << i);
		peer_expect(&p, TCP_ACK, 0);
		assert_int_equal(p.got.seq,
				 una - 1); /* what the peer has already: any answer will do */
		peer_send(&p, TCP_ACK, NULL, 0);
	}
	assert_true(p.counters.tcp_window_probes >= 4);
	p.window = 5000;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	peer_release(&p);
}

static void a_window_that_never_opens_ends_the_connection(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	p.window = 0;
	peer_send(&p, TCP_ACK, hello, HELLO);
	tcp_send(p.tcp, p.conn, pattern, 3000);
	for (unsigned s = 0; s < 1200 && !(p.news & TCP_ENDED); s++) {
		while (peer_hear(&p))
			peer_send(&p, TCP_ACK, NULL, 0);
		peer_wait_ms(&p, 1000);
	}
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_lost_segment_is_sent_again_and_backs_off(void **state)
{
	struct peer p;
	uint32_t seq;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	seq = p.ack;
	peer_expect(&p, TCP_ACK, HELLO);
	peer_wait_ms(&p, 150);
	peer_expect_silence(&p);
	for (unsigned i = 0, rto_ms = 200; i < 4; i++, rto_ms *= 2) {
		peer_wait_ms(&p, i ? rto_ms : 60);
		peer_expect(&p, TCP_ACK, HELLO);
		assert_int_equal(p.got.seq, seq);
		assert_memory_equal(p.got_payload, hello, HELLO);
	}
	assert_int_equal(p.counters.tcp_retransmits, 4);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_wait_ms(&p, 100000);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void a_peer_that_answers_nothing_is_given_up(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	for (unsigned s = 0; s < 1000 && !(p.news & TCP_ENDED); s++) {
		while (peer_hear(&p))
			;
		peer_wait_ms(&p, 1000);
	}
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(p.counters.tcp_timeouts, 1);
	peer_release(&p);
}

static void three_duplicate_acks_repair_a_loss(void **state)
{
	struct peer p;
	uint32_t una;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 8000);
	una = p.ack;
	while (peer_hear(&p))
		;
	for (unsigned i = 0; i < 2; i++) {
		peer_send_at(&p, TCP_ACK, p.seq, una, NULL, 0);
		peer_expect_silence(&p);
	}
	peer_send_at(&p, TCP_ACK, p.seq, una, NULL, 0);
	peer_expect(&p, TCP_ACK, 1000);
	assert_int_equal(p.got.seq, una);
	peer_expect_silence(&p);
	/* The next hole shows by a partial ACK (RFC 6582). */
	peer_send_at(&p, TCP_ACK, p.seq, una + 3000, NULL, 0);
	peer_expect(&p, TCP_ACK, 1000);
	assert_int_equal(p.got.seq, una + 3000);
	peer_send_at(&p, TCP_ACK, p.seq, una + 8000, NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	assert_int_equal(p.counters.tcp_rto, 0);
	peer_release(&p);
}

static void an_ack_of_what_was_never_sent_is_challenged(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack + 1, hello, HELLO);
	assert_int_equal(p.read_len, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_bad_ack, 1);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack - 200000, hello, HELLO);
	assert_int_equal(p.read_len, 0);
	peer_release(&p);
}

/* --- RFC 5961, 7323 ----------------------------------------------------------------------------
 */

static void a_reset_must_hit_the_number_exactly(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_challenge_acks, 1);
	peer_send_at(&p, TCP_RST, p.seq + 70000, 0, NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.news, 0);
	peer_send_at(&p, TCP_RST, p.seq, 0, NULL, 0);
	assert_int_equal(p.end, TCP_END_RESET);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_syn_in_a_connection_is_challenged(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send_at(&p, TCP_SYN, p.seq + 5, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.news, 0);
	peer_release(&p);
}

static void an_old_timestamp_is_not_taken(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.ts = true;
	p.ts_value = 1000;
	peer_open(&p);
	p.ts_value = 900;
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, hello, HELLO);
	assert_int_equal(p.read_len, 0);
	assert_int_equal(p.counters.tcp_paws, 1);
	peer_expect(&p, TCP_ACK, 0);
	p.ts_value = 1001;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ts_echo, 1001);
	peer_release(&p);
}

/* --- closing --------------------------------------------------------------------------------- */

static void the_peer_closes_first(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	assert_int_equal(p.news, TCP_BYTES | TCP_PEER_DONE);
	peer_expect(&p, TCP_ACK, 0);
	assert_string_equal(tcp_state_name(p.conn), "CLOSE-WAIT");
	/* A half-closed connection still carries our bytes. */
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), HELLO);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, HELLO);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void we_close_first_and_wait(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_shutdown(p.tcp, p.conn);
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), 0);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_string_equal(tcp_state_name(p.conn), "FIN-WAIT-2");
	peer_send(&p, TCP_ACK, hello, HELLO); /* it may still talk */
	assert_int_equal(p.read_len, HELLO);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 1); /* TIME-WAIT */
	/* Its FIN again, because our ACK was lost. */
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq - 1, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_wait_ms(&p, 9000);
	assert_int_equal(peer_conns(&p), 1);
	peer_wait_ms(&p, 2000);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void both_sides_may_close_at_once(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq, p.ack - 1, NULL, 0);
	p.seq++;
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.news, TCP_PEER_DONE);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 1);
	peer_release(&p);
}

static void a_fin_ahead_of_bytes_waits_for_them(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq + HELLO, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.news, 0);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, hello, HELLO);
	assert_int_equal(p.news, TCP_BYTES | TCP_PEER_DONE);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq + HELLO + 1);
	peer_release(&p);
}

static void unread_bytes_outlive_the_close(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.keep_unread = true;
	peer_open(&p);
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_false(p.news & TCP_ENDED);
	assert_memory_equal(tcp_read(p.tcp, p.conn, 0).bytes, hello, HELLO);
	tcp_consume(p.tcp, p.conn, HELLO);
	peer_owner(&p);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void an_end_that_reading_brings_is_told(void **state)
{
	struct tcp_conn *c;
	unsigned news;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.keep_unread = true;
	peer_open(&p);
	c = p.conn;
	peer_send(&p, TCP_ACK, hello, HELLO);
	tcp_shutdown(p.tcp, c);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	/* The peer's FIN is news; while its owner looks at it, it reads the last byte. */
	peer_burst_add(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_burst_give(&p);
	assert_ptr_equal(tcp_next_news(p.tcp, &news), c);
	assert_int_equal(news & TCP_ENDED, 0);
	tcp_consume(p.tcp, c, HELLO);
	assert_ptr_equal(tcp_next_news(p.tcp, &news), c);
	assert_int_equal(news, TCP_ENDED);
	assert_null(tcp_next_news(p.tcp, &news));
	peer_release(&p);
}

static void a_repeated_fin_is_acknowledged_again(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq - 1 - HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.read_len, HELLO);
	peer_release(&p);
}

static void a_closed_connection_delivers_its_last_reply_before_it_resets(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, "421 bye\r\n", 9);
	tcp_close(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 9);
	/* The client goes on pipelining before it has read the reply: no RST yet. */
	peer_send_at(&p, TCP_ACK, p.seq, p.ack - 10, hello, HELLO);
	p.seq += HELLO;
	while (peer_hear(&p))
		assert_false(p.got.flags & TCP_RST);
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect_silence(&p);
	peer_send(&p, TCP_ACK, hello, HELLO);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(p.news, 0);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void an_orphan_in_fin_wait_2_does_not_stay(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_close(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(peer_conns(&p), 1);
	peer_wait_ms(&p, 21000);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void an_abort_resets(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	tcp_abort(p.tcp, p.conn);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(p.got.seq, p.ack);
	peer_expect_silence(&p);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void time_wait_gives_way_to_a_newer_syn_only(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_close(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_SYN, p.seq - 1000, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	p.seq += 1000;
	peer_open(&p);
	assert_int_equal(peer_conns(&p), 1);
	peer_release(&p);
}

static void an_idle_connection_is_reset(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.idle_timeout_ms = 300000});
	peer_open(&p);
	peer_wait_ms(&p, 200000);
	peer_send(&p, TCP_ACK, hello, HELLO);
	peer_wait_ms(&p, 200000);
	assert_false(p.news & TCP_ENDED);
	while (peer_hear(&p))
		;
	peer_wait_ms(&p, 101000);
	assert_int_equal(p.end, TCP_END_IDLE);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

/* --- bounds of buffers ------------------------------------------------------------------------ */

static void the_send_queue_is_bounded(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.send_queue = 5000});
	peer_open(&p);
	assert_int_equal(tcp_send_room(p.tcp, p.conn), 5000);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 6000), 5000);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 1), 0);
	while (peer_hear(&p))
		p.ack += p.got_len;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_true(p.news & TCP_ROOM);
	assert_int_equal(tcp_send_room(p.tcp, p.conn), 5000);
	peer_release(&p);
}

static void an_empty_pool_loses_no_byte(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.kept, taken, PEER_BUFFERS), 0);
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), 0);
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	p.keep_unread = true;
	peer_send(&p, TCP_ACK, hello, HELLO); /* stays in the port's buffer ... */
	peer_send(&p, TCP_ACK, hello, HELLO); /* ... and so no more is taken */
	assert_int_equal(tcp_readable(p.conn), HELLO);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS);
	tcp_consume(p.tcp, p.conn, HELLO);
	p.keep_unread = false;
	p.seq -= HELLO;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	assert_true(p.counters.tcp_no_buffer >= 3);
	peer_release(&p);
}

static void a_frame_there_is_no_buffer_for_is_sent_later(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.frames, taken, PEER_BUFFERS), 0);
	peer_expect_silence(&p);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS);
	peer_wait_ms(&p, 1000);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_release(&p);
}

static void a_path_that_is_too_narrow_gets_smaller_segments(void **state)
{
	struct net_segment error;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	error = (struct net_segment){
		.flow = p.flow,
		.error = NET_ERROR_TOO_BIG,
		.error_mtu = 700,
		.error_seq = p.got.seq + 5000,
	};
	tcp_error(p.tcp, &error, p.now_us); /* of nothing in flight: not believed */
	peer_expect_silence(&p);
	error.error_seq = p.got.seq;
	tcp_error(p.tcp, &error, p.now_us);
	peer_expect(&p, TCP_ACK, 660);
	peer_expect(&p, TCP_ACK, 340);
	peer_release(&p);
}

static void both_sides_may_open_at_once_and_say_something(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.wscale = 4;
	p.window = 2000;
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	peer_expect(&p, TCP_SYN, 0);
	p.flow.local_port = 20003;
	peer_send(&p, TCP_SYN, NULL, 0);
	p.ack = p.got.seq + 1;
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	p.ack = p.got.seq + 1;
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

static void a_window_nobody_was_told_of_is_still_to_be_told(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.receive_window = 8192});
	p.keep_unread = true;
	peer_open(&p);
	for (uint32_t sent = 0; sent < 8192; sent += 1024)
		peer_send(&p, TCP_ACK, pattern + sent, 1024);
	while (peer_hear(&p))
		;
	assert_int_equal(p.got.window, 0);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	/* Reading a little is not worth telling; a segment that is not sent tells nothing either.
	 */
	tcp_consume(p.tcp, p.conn, 2000);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack - HELLO, NULL, 0);
	peer_expect_silence(&p);
	tcp_consume(p.tcp, p.conn, 3000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.window, 5000);
	peer_release(&p);
}

static void what_an_empty_pool_kept_back_does_not_shut_the_connection(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.keep_unread = true; /* its owner waits for the rest of the line */
	peer_open(&p);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.kept, taken, PEER_BUFFERS), 0);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 1);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(tcp_readable(p.conn), 2 * HELLO);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 0);
	peer_release(&p);
}

static void an_owner_the_pool_had_nothing_for_is_told_to_try_again(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.kept, taken, PEER_BUFFERS), 0);
	/* Nothing is under way, so that no ACK will ever bring TCP_ROOM. */
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), 0);
	peer_wait_ms(&p, 300);
	assert_int_equal(p.news, TCP_ROOM);
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), 0);
	peer_wait_ms(&p, 150);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS);
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_wait_ms(&p, 150); /* the segment's own timeout, not what is left of ours */
	peer_expect_silence(&p);
	peer_wait_ms(&p, 100);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_release(&p);
}

static void a_peer_that_reads_for_ever_keeps_no_orphan(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.window = 1;
	peer_open(&p);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 30000), 30000);
	tcp_close(p.tcp, p.conn);
	for (unsigned i = 0; i < 1000 && tcp_conns(p.tcp); i++) {
		while (peer_hear(&p))
			p.ack = p.got.seq + p.got_len;
		peer_send(&p, TCP_ACK, NULL, 0);
		peer_wait_ms(&p, 300);
	}
	assert_int_equal(tcp_conns(p.tcp), 0);
	peer_release(&p);
}

static void challenges_are_limited_a_connection(void **state)
{
	unsigned answers = 0;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	for (unsigned i = 0; i < 1000; i++) {
		peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
		answers += peer_hear(&p);
	}
	assert_int_equal(answers, 1);
	peer_wait_ms(&p, 100);
	peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

/* Else who has one connection could count on it what he provokes on another's. */
static void challenges_of_one_connection_cost_another_none(void **state)
{
	struct peer p, other;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	other = p;
	p.flow.remote_port++;
	peer_open(&p);
	for (unsigned i = 0; i < 1000; i++) {
		peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
		while (peer_hear(&p))
			;
	}
	p.flow = other.flow;
	peer_send_at(&p, TCP_RST, other.seq + 1, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

static void acks_out_of_the_window_start_no_storm(void **state)
{
	unsigned answers = 0;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	for (unsigned i = 0; i < 1000; i++) {
		peer_send_at(&p, TCP_ACK, p.seq - 5000, p.ack, NULL, 0);
		answers += peer_hear(&p);
	}
	assert_int_equal(answers, 1);
	/* But bytes the peer repeats show that our ACK was lost. */
	for (unsigned i = 0; i < 3; i++) {
		peer_send_at(&p, TCP_ACK, p.seq - 5000, p.ack, hello, HELLO);
		peer_expect(&p, TCP_ACK, 0);
	}
	peer_release(&p);
}

static void a_segment_whose_ack_is_wrong_sets_no_timestamp(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.ts = true;
	p.ts_value = 1000;
	peer_open(&p);
	p.ts_value = 0x70000000;
	peer_send_at(&p, TCP_ACK, p.seq, p.ack + 5000, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	p.ts_value = 1001;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	assert_int_equal(p.counters.tcp_paws, 0);
	peer_release(&p);
}

static void a_handshake_sent_twice_is_not_timed(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	peer_wait_ms(&p, 900);
	peer_send_at(&p, TCP_SYN, p.seq - 1, 0, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	p.ack = p.got.seq + 1;
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
		while (peer_hear(&p))
			;
		peer_wait_ms(&p, 500);
		while (peer_hear(&p))
			;
	}
	assert_int_equal(p.counters.tcp_timeouts, 1);
	peer_release(&p);
}

static void another_syn_in_a_handshake_is_challenged(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	p.ack = p.got.seq + 1;
	peer_send_at(&p, TCP_SYN, p.seq + 5000000, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.seq, p.ack);
	assert_int_equal(p.got.ack, p.seq);
	/* A client that began anew answers by a RST, and may open at last. */
	peer_send_at(&p, TCP_RST, p.got.ack, 0, NULL, 0);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_new_incarnation_begins_beyond_the_old_ones_numbers(void **state)
{
	uint32_t old;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	/* Faster than the clock of the initial numbers. */
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 60000), 60000);
	tcp_shutdown(p.tcp, p.conn);
	while (tcp_unacknowledged(p.conn)) {
		while (peer_hear(&p))
			p.ack = p.got.seq + p.got_len + !!(p.got.flags & TCP_FIN);
		peer_send(&p, TCP_ACK, NULL, 0);
	}
	old = p.ack;
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	p.seq += 1000;
	peer_open(&p);
	assert_in_range(p.got.seq - old, 1, 1 << 20);
	peer_release(&p);
}

static void an_idle_timeout_beyond_the_clock_is_cut_to_it(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.idle_timeout_ms = 3000000000u});
	peer_open(&p);
	peer_wait_ms(&p, 1000000);
	assert_int_equal(peer_conns(&p), 1);
	assert_true(tcp_next_due(p.tcp) > p.now_us + 3600ull * 1000000);
	peer_release(&p);
}

static void what_is_shut_down_before_it_opens_sends_a_fin(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_SYN, 0);
	p.flow.local_port = 20003;
	p.ack = p.got.seq + 1;
	peer_send(&p, TCP_SYN | TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), 0);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	assert_string_equal(tcp_state_name(p.conn), "FIN-WAIT-1");
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.read_len, HELLO);
	assert_int_equal(p.end, TCP_END_CLOSED);
	peer_release(&p);
}

static void an_ack_there_is_no_buffer_for_is_sent_later(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init(&p, &(struct peer_options){.receive_window = 8192});
	p.keep_unread = true;
	peer_open(&p);
	for (uint32_t sent = 0; sent < 8192; sent += 1024)
		peer_send(&p, TCP_ACK, pattern + sent, 1024);
	while (peer_hear(&p))
		;
	assert_int_equal(p.got.window, 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.frames, taken, PEER_BUFFERS), 0);
	tcp_consume(p.tcp, p.conn, 8192); /* the peer waits to be told */
	peer_expect_silence(&p);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.window, 8192);
	peer_release(&p);
}

static void what_is_ahead_of_a_gap_leaves_buffers_for_the_rest(void **state)
{
	enum { TAKEN = PEER_BUFFERS * 4 / 5 };
	struct rte_mbuf *taken[TAKEN];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.kept, taken, TAKEN), 0);
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	assert_int_equal(rte_mempool_in_use_count(p.kept), TAKEN);
	assert_int_equal(p.counters.tcp_no_buffer, 1);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	rte_pktmbuf_free_bulk(taken, TAKEN);
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, 2 * HELLO);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_opens_a_connection_and_options_are_agreed),
		cmocka_unit_test(we_open_a_connection),
		cmocka_unit_test(a_refused_open_ends_refused),
		cmocka_unit_test(an_open_nobody_answers_times_out),
		cmocka_unit_test(a_stale_ack_in_syn_sent_is_reset_and_the_open_goes_on),
		cmocka_unit_test(both_sides_may_open_at_once),
		cmocka_unit_test(a_repeated_syn_gets_the_same_answer),
		cmocka_unit_test(a_repeated_syn_corrects_the_way_back),
		cmocka_unit_test(a_half_open_connection_ends_unseen),
		cmocka_unit_test(syn_synack_rst_leaves_the_listener_well),
		cmocka_unit_test(a_third_ack_without_timestamps_still_opens),
		cmocka_unit_test(a_third_ack_of_other_numbers_is_reset),
		cmocka_unit_test(handshakes_and_the_table_are_bounded),
		cmocka_unit_test(initial_numbers_differ_by_connection_and_rise_with_time),
		cmocka_unit_test(a_closed_port_answers_a_syn_with_a_reset),
		cmocka_unit_test(a_reset_is_never_answered),
		cmocka_unit_test(an_unknown_connection_is_reset_at_its_own_number_but_not_for_ever),
		cmocka_unit_test(flags_no_peer_means_are_dropped),
		cmocka_unit_test(bytes_arrive_and_the_ack_waits_for_a_reply_or_a_while),
		cmocka_unit_test(one_segment_answers_a_burst_and_carries_its_ack),
		cmocka_unit_test(every_second_full_segment_is_acknowledged),
		cmocka_unit_test(bytes_ahead_of_a_gap_wait_for_it),
		cmocka_unit_test(small_segments_pin_no_big_buffers),
		cmocka_unit_test(sack_blocks_tell_the_newest_first),
		cmocka_unit_test(a_window_shuts_when_nobody_reads_and_opens_again),
		cmocka_unit_test(what_is_beyond_the_window_is_not_taken),
		cmocka_unit_test(sending_stays_within_the_peers_window),
		cmocka_unit_test(a_shut_window_is_probed_until_it_opens),
		cmocka_unit_test(a_window_that_never_opens_ends_the_connection),
		cmocka_unit_test(a_lost_segment_is_sent_again_and_backs_off),
		cmocka_unit_test(a_peer_that_answers_nothing_is_given_up),
		cmocka_unit_test(three_duplicate_acks_repair_a_loss),
		cmocka_unit_test(an_ack_of_what_was_never_sent_is_challenged),
		cmocka_unit_test(a_reset_must_hit_the_number_exactly),
		cmocka_unit_test(a_syn_in_a_connection_is_challenged),
		cmocka_unit_test(an_old_timestamp_is_not_taken),
		cmocka_unit_test(the_peer_closes_first),
		cmocka_unit_test(we_close_first_and_wait),
		cmocka_unit_test(both_sides_may_close_at_once),
		cmocka_unit_test(a_fin_ahead_of_bytes_waits_for_them),
		cmocka_unit_test(unread_bytes_outlive_the_close),
		cmocka_unit_test(a_repeated_fin_is_acknowledged_again),
		cmocka_unit_test(an_end_that_reading_brings_is_told),
		cmocka_unit_test(a_closed_connection_delivers_its_last_reply_before_it_resets),
		cmocka_unit_test(an_orphan_in_fin_wait_2_does_not_stay),
		cmocka_unit_test(an_abort_resets),
		cmocka_unit_test(time_wait_gives_way_to_a_newer_syn_only),
		cmocka_unit_test(an_idle_connection_is_reset),
		cmocka_unit_test(the_send_queue_is_bounded),
		cmocka_unit_test(an_empty_pool_loses_no_byte),
		cmocka_unit_test(a_frame_there_is_no_buffer_for_is_sent_later),
		cmocka_unit_test(a_path_that_is_too_narrow_gets_smaller_segments),
		cmocka_unit_test(both_sides_may_open_at_once_and_say_something),
		cmocka_unit_test(a_window_nobody_was_told_of_is_still_to_be_told),
		cmocka_unit_test(what_an_empty_pool_kept_back_does_not_shut_the_connection),
		cmocka_unit_test(an_owner_the_pool_had_nothing_for_is_told_to_try_again),
		cmocka_unit_test(a_peer_that_reads_for_ever_keeps_no_orphan),
		cmocka_unit_test(challenges_are_limited_a_connection),
		cmocka_unit_test(challenges_of_one_connection_cost_another_none),
		cmocka_unit_test(acks_out_of_the_window_start_no_storm),
		cmocka_unit_test(a_segment_whose_ack_is_wrong_sets_no_timestamp),
		cmocka_unit_test(a_handshake_sent_twice_is_not_timed),
		cmocka_unit_test(repeated_syns_hold_no_handshake_open),
		cmocka_unit_test(another_syn_in_a_handshake_is_challenged),
		cmocka_unit_test(a_new_incarnation_begins_beyond_the_old_ones_numbers),
		cmocka_unit_test(an_idle_timeout_beyond_the_clock_is_cut_to_it),
		cmocka_unit_test(what_is_shut_down_before_it_opens_sends_a_fin),
		cmocka_unit_test(an_ack_there_is_no_buffer_for_is_sent_later),
		cmocka_unit_test(what_is_ahead_of_a_gap_leaves_buffers_for_the_rest),
	};

	test_eal_start("tcp-conn");
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 8));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
