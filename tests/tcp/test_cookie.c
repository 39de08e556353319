/* SPDX-License-Identifier: BSD-3-Clause */
/* SYN cookies: a handshake nobody remembers, and what cannot be made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"

enum { HANDSHAKES = 2 };

/* So many handshakes are under way that the next SYN gets a cookie. */
static void init_flooded(struct peer *p, const struct peer_options *options)
{
	struct peer_options o = *options;
	uint16_t port;

	o.handshakes = HANDSHAKES;
	peer_init(p, &o);
	port = p->flow.remote_port;
	for (int i = 0; i < HANDSHAKES; i++) {
		p->flow.remote_port = (uint16_t)(50000 + i);
		peer_half_open(p);
	}
	p->flow.remote_port = port;
}

static void get_cookie(struct peer *p)
{
	peer_half_open(p);
	assert_int_equal(tcp_conns(p->tcp), HANDSHAKES);
}

static void a_cookie_brought_back_opens_the_connection(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct peer p;

		init_flooded(&p, &(struct peer_options){.v6 = v6});
		get_cookie(&p);
		peer_send(&p, TCP_ACK, "EHLO a\r\n", 8); /* with its first bytes */
		assert_int_equal(p.news, TCP_OPENED | TCP_BYTES);
		assert_true(tcp_is_by_cookie(p.conn));
		assert_true(tcp_spoke_early(p.conn));
		assert_memory_equal(p.read, "EHLO a\r\n", 8);
		assert_int_equal(tcp_send(p.tcp, p.conn, "250 a\r\n", 7), 7);
		peer_expect(&p, TCP_ACK, 7);
		assert_int_equal(p.counters.tcp_cookies_good, 1);
		peer_release(&p);
	}
}

static void a_cookie_too_many_for_a_turn_is_counted(void **state)
{
	struct peer p;
	unsigned heard = 0;

	init_flooded(&p, &(struct peer_options){0});
	for (unsigned i = 0; i < 70; i++)
		peer_send_at(&p, TCP_SYN, i, 0, NULL, 0);
	while (peer_hear(&p))
		heard++;
	assert_int_equal(heard, 64);
	assert_int_equal(p.counters.tcp_cookies_sent, 64);
	assert_int_equal(p.counters.tcp_replies_shed, 6);
	peer_release(&p);
}

static void bytes_on_a_syn_that_gets_a_cookie_are_left_to_be_sent_again(void **state)
{
	struct peer p;

	init_flooded(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN, "EHLO a\r\n", 8);
	peer_expect(&p, TCP_SYN | TCP_ACK, 0);
	p.seq -= 8;
	assert_int_equal(p.got.ack, p.seq);
	p.ack = p.got.seq + 1;
	peer_send(&p, TCP_ACK, "EHLO a\r\n", 8);
	assert_int_equal(p.news, TCP_OPENED | TCP_BYTES);
	assert_memory_equal(p.read, "EHLO a\r\n", 8);
	peer_release(&p);
}

static void a_client_that_waits_is_not_early_by_cookie_either(void **state)
{
	struct peer p;

	init_flooded(&p, &(struct peer_options){0});
	get_cookie(&p);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(tcp_send(p.tcp, p.conn, "220 a\r\n", 7), 7);
	peer_expect(&p, TCP_ACK, 7);
	peer_send(&p, TCP_ACK, "EHLO a\r\n", 8);
	assert_int_equal(p.read_len, 8);
	assert_false(tcp_spoke_early(p.conn));
	peer_release(&p);
}

static void an_ordinary_connection_is_not_by_cookie(void **state)
{
	struct peer p;

	peer_init_open(&p);
	assert_false(tcp_is_by_cookie(p.conn));
	assert_true(tcp_is_proved(p.conn));
	peer_release(&p);
}

/* 27 bits can be guessed at, 43 cannot. */
static void a_timestamp_of_ours_proves_more_than_the_cookie(void **state)
{
	enum { NONE, ECHOED, FORGED };

	for (int told = NONE; told <= FORGED; told++) {
		struct peer p;

		init_flooded(&p, &(struct peer_options){0});
		p.ts = told != NONE;
		p.ts_value = 1000;
		get_cookie(&p);
		if (told == FORGED)
			p.ts_echo += 1U << 20;
		peer_send(&p, TCP_ACK, NULL, 0);
		assert_int_equal(p.news, TCP_OPENED);
		assert_true(tcp_is_by_cookie(p.conn));
		assert_int_equal(tcp_is_proved(p.conn), told == ECHOED);
		peer_release(&p);
	}
}

static void what_was_agreed_travels_in_the_timestamp(void **state)
{
	struct peer p;

	init_flooded(&p, &(struct peer_options){.receive_window = 1 << 20});
	p.ts = true;
	p.sack = true;
	p.wscale = 7;
	p.ts_value = 1000;
	get_cookie(&p);
	assert_true(p.got.has_wscale && p.got.sack_permitted && p.got.has_ts);
	assert_int_equal(p.got.ts_echo, 1000);
	p.window = 16; /* 2048 octets, scaled */
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	assert_int_equal(tcp_send(p.tcp, p.conn, (uint8_t[3000]){0}, 3000), 3000);
	peer_expect(&p, TCP_ACK, 940 - 12); /* the step below PEER_MSS */
	assert_int_equal(p.got.ts_echo, 1000);
	peer_expect(&p, TCP_ACK, 940 - 12); /* the step below PEER_MSS */
	peer_expect_silence(&p);
	peer_send_at(&p, TCP_ACK, p.seq + 10, p.ack, "x", 1);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 1);
	peer_release(&p);
}

static void without_timestamps_only_the_mss_is_agreed(void **state)
{
	struct peer p;

	init_flooded(&p, &(struct peer_options){0});
	p.sack = true;
	p.wscale = 7;
	get_cookie(&p);
	assert_false(p.got.has_wscale || p.got.sack_permitted || p.got.has_ts);
	peer_send(&p, TCP_ACK, NULL, 0);
	tcp_send(p.tcp, p.conn, (uint8_t[2000]){0}, 2000);
	assert_true(peer_hear(&p));
	assert_int_equal(p.got_len, 940); /* the step below PEER_MSS */
	peer_release(&p);
}

static void a_made_up_number_opens_nothing(void **state)
{
	struct peer p;

	init_flooded(&p, &(struct peer_options){0});
	get_cookie(&p);
	for (unsigned bit = 0; bit < 32; bit++) {
		peer_send_at(&p, TCP_ACK, p.seq, ((p.ack - 1) ^ 1u << bit) + 1, NULL, 0);
		peer_expect(&p, TCP_RST, 0);
	}
	assert_int_equal(p.counters.tcp_cookies_bad, 32);
	/* Nor does a good one with another client's number, port or address. */
	peer_send_at(&p, TCP_ACK, p.seq + 1, p.ack, NULL, 0);
	peer_expect(&p, TCP_RST, 0);
	p.flow.remote_port++;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.news, 0);
	assert_int_equal(tcp_conns(p.tcp), HANDSHAKES);
	peer_release(&p);
}

static void a_cookie_goes_stale_within_64_seconds(void **state)
{
	struct peer p;

	init_flooded(&p, &(struct peer_options){.conns = 16});
	get_cookie(&p);
	p.now_us += 48 * 1000 * 1000;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.news, TCP_OPENED);
	peer_release(&p);

	init_flooded(&p, &(struct peer_options){.conns = 16});
	get_cookie(&p);
	p.now_us += 64 * 1000 * 1000;
	peer_send(&p, TCP_SYN, NULL, 0); /* cookies are being made: those of now are believed */
	p.seq--;
	assert_true(peer_hear(&p));
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.news, 0);
	peer_release(&p);
}

static void without_a_flood_no_ack_is_taken_for_a_cookie(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send_at(&p, TCP_ACK, 5, 4711, NULL, 0);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.counters.tcp_cookies_bad, 0);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cookie_brought_back_opens_the_connection),
		cmocka_unit_test(a_cookie_too_many_for_a_turn_is_counted),
		cmocka_unit_test(bytes_on_a_syn_that_gets_a_cookie_are_left_to_be_sent_again),
		cmocka_unit_test(a_client_that_waits_is_not_early_by_cookie_either),
		cmocka_unit_test(an_ordinary_connection_is_not_by_cookie),
		cmocka_unit_test(a_timestamp_of_ours_proves_more_than_the_cookie),
		cmocka_unit_test(what_was_agreed_travels_in_the_timestamp),
		cmocka_unit_test(without_timestamps_only_the_mss_is_agreed),
		cmocka_unit_test(a_made_up_number_opens_nothing),
		cmocka_unit_test(a_cookie_goes_stale_within_64_seconds),
		cmocka_unit_test(without_a_flood_no_ack_is_taken_for_a_cookie),
	};

	test_eal_start("tcp-cookie");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
