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

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	seq = p.ack;
	peer_expect(&p, TCP_ACK, HELLO);
	peer_wait_ms(&p, 150);
	peer_expect_silence(&p);
	for (unsigned i = 0, rto_ms = 201; i < 4; i++, rto_ms *= 2) {
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

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_wait_for_end(&p, 1000, false);
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
	peer_hear_all(&p);
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

/* --- the user's timeout ------------------------------------------------------------------------
 */

/* Lets time pass as tcp asks for it, until the end or for so long; the peer answers what it hears
 * when it lives. Returns the milliseconds that took. */
static uint32_t live_until_the_end(struct peer *p, uint32_t for_ms, bool answers)
{
	uint64_t begin_us = p->now_us, end_us = begin_us + (uint64_t)for_ms * 1000;

	while (!(p->news & TCP_ENDED) && p->now_us < end_us) {
		uint64_t due_us;

		while (peer_hear(p))
			if (answers)
				peer_send(p, TCP_ACK, NULL, 0);
		due_us = tcp_next_due(p->tcp);
		assert_true(due_us >= p->now_us);
		p->now_us = due_us < end_us ? due_us : end_us;
		tcp_tick(p->tcp, p->now_us);
		peer_owner(p);
	}
	return (uint32_t)((p->now_us - begin_us) / 1000);
}

static void bytes_nobody_acknowledges_wait_no_longer_than_the_user(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.user_timeout_ms = 5000});
	peer_open(&p);
	peer_wait_ms(&p, 60000); /* of nothing */
	assert_false(p.news & TCP_ENDED);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	assert_in_range(live_until_the_end(&p, 60000, false), 4999, 5001);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(p.counters.tcp_timeouts, 1);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_fin_nobody_acknowledges_waits_no_longer_than_the_user(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.user_timeout_ms = 5000});
	peer_open(&p);
	peer_wait_ms(&p, 60000);
	tcp_shutdown(p.tcp, p.conn);
	assert_in_range(live_until_the_end(&p, 60000, false), 4999, 5001);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	peer_release(&p);
}

static void a_shut_window_waits_no_longer_than_the_user_whatever_it_answers(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.user_timeout_ms = 20000});
	peer_open(&p);
	peer_shut_window(&p);
	assert_in_range(live_until_the_end(&p, 100000, true), 19999, 20001);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_true(p.counters.tcp_window_probes >= 5);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void every_octet_acknowledged_gives_the_peer_new_time(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.user_timeout_ms = 5000});
	peer_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	p.ack -= 1000;
	for (unsigned i = 0; i < 10; i++) {
		live_until_the_end(&p, 4000, false);
		assert_false(p.news & TCP_ENDED);
		p.ack++;
		peer_send(&p, TCP_ACK, NULL, 0);
	}
	/* The same again is none. */
	live_until_the_end(&p, 4000, false);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_in_range(live_until_the_end(&p, 4000, false), 999, 1001);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	peer_release(&p);
}

static void an_open_waits_no_longer_than_the_user(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.user_timeout_ms = 5000});
	p.conn = tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path);
	assert_in_range(live_until_the_end(&p, 60000, false), 4999, 5001);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

/* Each change of the window begins the wait for it anew; that must not go on for ever. */
static void a_window_that_opens_and_shuts_and_takes_nothing_ends_the_connection(void **state)
{
	struct peer p;
	uint32_t ms;

	peer_init_open(&p);
	peer_shut_window(&p);
	for (ms = 0; ms < 2000000 && !(p.news & TCP_ENDED); ms += 100) {
		peer_hear_all(&p);
		p.window ^= 1;
		peer_send(&p, TCP_ACK, NULL, 0);
		live_until_the_end(&p, 100, false);
	}
	assert_in_range(ms, 16 * 60 * 1000, 16 * 60 * 1000 + 100);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	peer_release(&p);
}

static void timers_due_at_once_are_run_some_at_a_time(void **state)
{
	enum { CONNS = 2 * TCP_TIMERS_MAX + 1 };
	struct peer p;

	peer_init(&p, &(struct peer_options){.conns = CONNS, .handshakes = CONNS});
	for (uint32_t i = 0; i < CONNS; i++, p.flow.remote_port++)
		peer_send_at(&p, TCP_SYN, p.seq, 0, NULL, 0);
	assert_int_equal(peer_hear_all(&p), CONNS);
	peer_wait_ms(&p, TCP_RTO_INITIAL_MS);
	assert_int_equal(peer_hear_all(&p), TCP_TIMERS_MAX);
	assert_true(tcp_next_due(p.tcp) <= p.now_us); /* and at once */
	tcp_tick(p.tcp, p.now_us);
	assert_int_equal(peer_hear_all(&p), TCP_TIMERS_MAX);
	assert_true(tcp_next_due(p.tcp) <= p.now_us);
	tcp_tick(p.tcp, p.now_us);
	assert_int_equal(peer_hear_all(&p), 1);
	assert_true(tcp_next_due(p.tcp) > p.now_us);
	peer_release(&p);
}

/* --- cases other stacks got wrong ---------------------------------------------------------------
 */

/* How long tcp waits before it sends again what it sent just now. */
static uint32_t until_sent_again_ms(struct peer *p)
{
	uint32_t ms = 0;

	while (!peer_hear(p)) {
		p->now_us += 1000;
		tcp_tick(p->tcp, p->now_us);
		ms++;
	}
	return ms;
}

static void the_timeout_is_never_below_200_ms(void **state)
{
	struct peer p;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	assert_in_range(until_sent_again_ms(&p), 200, 202);
	peer_release(&p);
}

static void the_timeout_is_the_round_trip_and_four_times_its_variance(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, 300);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	assert_in_range(until_sent_again_ms(&p), 900, 902);
	peer_release(&p);
}

/* Karn: nobody knows which of two transmissions an ACK answers; so the timeout is what it was, and
 * the next one backs off until a round trip is timed (RFC 6298 5). */
static void what_was_sent_twice_times_nothing(void **state)
{
	static const uint32_t late_ms[] = {1, 600};

	for (unsigned i = 0; i < 2; i++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		peer_open_after_ms(&p, 300);
		tcp_send(p.tcp, p.conn, hello, HELLO);
		peer_expect(&p, TCP_ACK, HELLO);
		until_sent_again_ms(&p);
		p.now_us += late_ms[i] * 1000;
		tcp_tick(p.tcp, p.now_us);
		peer_send(&p, TCP_ACK, NULL, 0);
		peer_expect_silence(&p);
		tcp_send(p.tcp, p.conn, hello, HELLO);
		peer_expect(&p, TCP_ACK, HELLO);
		assert_in_range(until_sent_again_ms(&p), 1800, 1804);
		peer_release(&p);
	}
}

/* Duplicate ACKs, windows and bytes of the peer's: it lives, but has not what it should have. */
static void an_ack_of_nothing_new_puts_no_timeout_off(void **state)
{
	uint32_t begin, ms = 0;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, 300);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	begin = p.ack;
	peer_expect(&p, TCP_ACK, HELLO);
	p.ack = begin;
	for (bool again = false; !again; ms += 100) {
		if (ms % 300 == 0)
			p.window--;
		peer_send(&p, TCP_ACK, pattern, ms % 200 ? 1 : 0);
		while (peer_hear(&p))
			again |= p.got_len > 0;
		p.now_us += 100000;
		tcp_tick(p.tcp, p.now_us);
		peer_owner(&p);
	}
	assert_in_range(ms, 900, 1001);
	assert_int_equal(p.got.seq, begin);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lost_segment_is_sent_again_and_backs_off),
		cmocka_unit_test(a_peer_that_answers_nothing_is_given_up),
		cmocka_unit_test(an_idle_connection_is_reset),
		cmocka_unit_test(an_idle_timeout_beyond_the_clock_is_cut_to_it),
		cmocka_unit_test(bytes_nobody_acknowledges_wait_no_longer_than_the_user),
		cmocka_unit_test(a_fin_nobody_acknowledges_waits_no_longer_than_the_user),
		cmocka_unit_test(a_shut_window_waits_no_longer_than_the_user_whatever_it_answers),
		cmocka_unit_test(every_octet_acknowledged_gives_the_peer_new_time),
		cmocka_unit_test(an_open_waits_no_longer_than_the_user),
		cmocka_unit_test(
			a_window_that_opens_and_shuts_and_takes_nothing_ends_the_connection),
		cmocka_unit_test(timers_due_at_once_are_run_some_at_a_time),
		cmocka_unit_test(the_timeout_is_never_below_200_ms),
		cmocka_unit_test(the_timeout_is_the_round_trip_and_four_times_its_variance),
		cmocka_unit_test(what_was_sent_twice_times_nothing),
		cmocka_unit_test(an_ack_of_nothing_new_puts_no_timeout_off),
	};

	test_eal_start("tcp-timer");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
