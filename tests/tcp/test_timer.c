/* SPDX-License-Identifier: BSD-3-Clause */
/* Time: when a segment is sent again, and when a peer is given up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_segment_is_sent_again_and_backs_off),
		cmocka_unit_test(a_peer_that_answers_nothing_is_given_up),
		cmocka_unit_test(an_idle_connection_is_reset),
		cmocka_unit_test(an_idle_timeout_beyond_the_clock_is_cut_to_it),
	};

	test_eal_start("tcp-timer");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
