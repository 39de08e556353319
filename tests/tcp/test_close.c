/* SPDX-License-Identifier: BSD-3-Clause */
/* Closing: who ends first, who goes on, and what is left of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "peer.h"

static void the_peer_closes_first(void **state)
{
	struct peer p;

	peer_init_open(&p);
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

	peer_init_open(&p);
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
	assert_int_equal(peer_conns(&p), 0);
	assert_int_equal(peer_time_waits(&p), 1);
	peer_release(&p);
}

static void both_sides_may_close_at_once(void **state)
{
	struct peer p;

	peer_init_open(&p);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq, p.ack - 1, NULL, 0);
	p.seq++;
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.news, TCP_PEER_DONE);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 0);
	assert_int_equal(peer_time_waits(&p), 1);
	peer_release(&p);
}

static void a_fin_ahead_of_bytes_waits_for_them(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq + HELLO, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.news, 0);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, hello, HELLO);
	assert_int_equal(p.news, TCP_BYTES | TCP_PEER_DONE);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq + HELLO + 1);
	peer_release(&p);
}

static void a_fin_ahead_of_bytes_is_told_by_sack(void **state)
{
	struct peer p;
	uint32_t fin;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open(&p);
	fin = p.seq + 2 * HELLO;
	peer_send_at(&p, TCP_ACK | TCP_FIN, fin, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 1);
	assert_int_equal(p.got.sack[0].start, fin);
	assert_int_equal(p.got.sack[0].end, fin + 1);
	/* And with the bytes before it. */
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 1);
	assert_int_equal(p.got.sack[0].start, p.seq + HELLO);
	assert_int_equal(p.got.sack[0].end, fin + 1);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 0);
	assert_int_equal(p.got.ack, fin + 1);
	peer_release(&p);
}

static void a_fin_that_bytes_pass_by_was_none(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open(&p);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq + HELLO - 1, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.news, TCP_BYTES);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	/* Nothing of it is kept: this is the first gap, and the end comes where the peer says. */
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 1);
	peer_send(&p, TCP_ACK, hello, HELLO);
	p.seq += HELLO;
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	assert_true(p.news & TCP_PEER_DONE);
	assert_int_equal(p.read_len, 3 * HELLO);
	peer_release(&p);
}

static void bytes_beyond_a_fin_are_no_part_of_the_stream(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 1);
	p.keep_unread = true;
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq + HELLO - 1, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_send(&p, TCP_ACK, hello, HELLO - 1);
	assert_true(p.news & TCP_PEER_DONE);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq + 1);
	assert_int_equal(p.got.n_sack, 0);
	assert_int_equal(tcp_readable(p.conn), HELLO - 1);
	/* What is kept is what waits to be read. */
	assert_int_equal(rte_mempool_in_use_count(p.kept), 1);
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

static void a_repeated_fin_is_acknowledged_again(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq - 1 - HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.read_len, HELLO);
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

static void a_closed_connection_delivers_its_last_reply_before_it_resets(void **state)
{
	struct peer p;

	peer_init_open(&p);
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

static void bytes_that_come_twice_reset_no_closed_connection(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send(&p, TCP_ACK, hello, HELLO);
	tcp_close(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK, NULL, 0);
	/* A copy the network was slow with. */
	peer_send_at(&p, TCP_ACK, p.seq - HELLO, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_aborts, 0);
	assert_int_equal(p.counters.tcp_closed, 1);
	peer_release(&p);
}

static void an_orphan_in_fin_wait_2_does_not_stay(void **state)
{
	struct peer p;

	peer_init_open(&p);
	tcp_close(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(peer_conns(&p), 1);
	peer_wait_ms(&p, 21000);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void what_lingers_without_an_owner_is_bounded(void **state)
{
	enum { CONNS = 64, LINGER = CONNS / TCP_ORPHANS_SHARE };
	struct peer p;

	peer_init(&p, &(struct peer_options){.conns = CONNS});
	for (uint16_t i = 0; i < CONNS; i++) {
		p.flow.remote_port = (uint16_t)(PEER_PORT + i);
		peer_open(&p);
		assert_int_equal(tcp_send(p.tcp, p.conn, "421 bye\r\n", 9), 9);
		tcp_close(p.tcp, p.conn);
		/* The first go on talking to a peer that does not listen, the rest are reset. */
		peer_expect(&p, i < LINGER ? TCP_ACK | TCP_FIN : TCP_RST | TCP_ACK,
			    i < LINGER ? 9 : 0);
		assert_int_equal(peer_conns(&p), i < LINGER ? i + 1u : LINGER);
	}
	assert_int_equal(p.counters.tcp_orphans_full, CONNS - LINGER);
	/* Those that were given up make room for others. */
	peer_wait_ms(&p, TCP_ORPHAN_MS);
	peer_hear_all(&p);
	assert_int_equal(peer_conns(&p), 0);
	peer_open(&p);
	tcp_close(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	assert_int_equal(p.counters.tcp_orphans_full, CONNS - LINGER);
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
		peer_acknowledge_all(&p);
		peer_wait_ms(&p, 300);
	}
	assert_int_equal(tcp_conns(p.tcp), 0);
	peer_release(&p);
}

/* Eight minutes' worth, at a segment a second: after four it is seen to move on. */
static void an_orphan_whose_bytes_move_is_let_finish(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){.send_queue = 1 << 20});
	p.window = 1000;
	peer_open(&p);
	first = p.ack;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 60000), 60000);
	tcp_close(p.tcp, p.conn);
	for (unsigned i = 0; i < 1000 && tcp_conns(p.tcp); i++) {
		while (peer_hear(&p))
			p.ack = p.got.seq + p.got_len + !!(p.got.flags & TCP_FIN);
		peer_send(&p, p.got.flags & TCP_FIN ? TCP_ACK | TCP_FIN : TCP_ACK, NULL, 0);
		peer_wait_ms(&p, 1000);
	}
	assert_int_equal(p.ack - first, 480001);
	assert_int_equal(p.counters.tcp_closed, 1);
	assert_int_equal(p.counters.tcp_aborts, 0);
	peer_release(&p);
}

static void an_orphan_given_up_says_so(void **state)
{
	struct peer p;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	tcp_close(p.tcp, p.conn);
	while (tcp_conns(p.tcp)) {
		while (peer_hear(&p))
			assert_false(p.got.flags & TCP_RST);
		peer_wait_ms(&p, 1000);
	}
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_aborts, 1);
	peer_release(&p);
}

static void a_reset_in_place_of_the_last_ack_is_an_end_in_order(void **state)
{
	for (unsigned unread = 0; unread < 2; unread++) {
		struct peer p;

		peer_init_open(&p);
		peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
		peer_expect(&p, TCP_ACK, 0);
		tcp_send(p.tcp, p.conn, hello, HELLO);
		tcp_shutdown(p.tcp, p.conn);
		peer_expect(&p, TCP_ACK | TCP_FIN, HELLO);
		/* Of bytes it has not acknowledged it may not have all. */
		p.ack -= 1 + (unread ? HELLO : 0);
		peer_send(&p, TCP_ACK, NULL, 0);
		peer_send(&p, TCP_RST, NULL, 0);
		assert_int_equal(p.end, unread ? TCP_END_RESET : TCP_END_CLOSED);
		assert_int_equal(peer_conns(&p), 0);
		peer_release(&p);
	}
}

static void an_abort_resets(void **state)
{
	struct peer p;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	tcp_abort(p.tcp, p.conn);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(p.got.seq, p.ack);
	peer_expect_silence(&p);
	assert_int_equal(peer_conns(&p), 0);
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

/* --- cases other stacks got wrong ---------------------------------------------------------------
 */

static void bytes_go_on_after_our_fin_until_the_peers(void **state)
{
	enum { SEGMENTS = 30 };
	struct peer p;

	peer_init_open(&p);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		/* From the sixth on with the ACK of our FIN. */
		peer_send_at(&p, TCP_ACK, p.seq, p.ack - (i < 5), pattern + i * PEER_MSS, PEER_MSS);
		p.seq += PEER_MSS;
		assert_string_equal(tcp_state_name(p.conn), i < 5 ? "FIN-WAIT-1" : "FIN-WAIT-2");
		while (peer_hear(&p))
			assert_int_equal(p.got.ack, p.seq);
	}
	assert_int_equal(p.read_len, SEGMENTS * PEER_MSS);
	assert_memory_equal(p.read, pattern, SEGMENTS * PEER_MSS);
	assert_false(p.news & (TCP_PEER_DONE | TCP_ENDED));
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	assert_int_equal(p.read_len, SEGMENTS * PEER_MSS + HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	peer_release(&p);
}

static void bytes_go_on_after_the_peers_fin_until_ours(void **state)
{
	enum { OCTETS = 30000 };
	uint32_t first, got = 0;
	struct peer p;

	peer_init_open(&p);
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, OCTETS), OCTETS);
	tcp_shutdown(p.tcp, p.conn);
	assert_string_equal(tcp_state_name(p.conn), "LAST-ACK");
	first = p.ack;
	while (got < OCTETS) {
		while (peer_hear(&p)) {
			assert_int_equal(p.got.seq, first + got);
			assert_memory_equal(p.got_payload, pattern + got, p.got_len);
			got += p.got_len;
			assert_int_equal(!!(p.got.flags & TCP_FIN), got == OCTETS);
		}
		peer_send_at(&p, TCP_ACK, p.seq, first + got, NULL, 0);
	}
	assert_false(p.news & TCP_ENDED); /* not yet the FIN */
	peer_send_at(&p, TCP_ACK, p.seq, first + OCTETS + 1, NULL, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void both_sides_may_close_at_once_behind_their_last_bytes(void **state)
{
	struct peer p;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, HELLO);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq, p.ack - HELLO - 1, hello, HELLO);
	p.seq += HELLO + 1;
	assert_int_equal(p.read_len, HELLO);
	assert_int_equal(p.news, TCP_BYTES | TCP_PEER_DONE);
	peer_expect(&p, TCP_ACK, 0);
	assert_string_equal(tcp_state_name(p.conn), "CLOSING");
	peer_send_at(&p, TCP_ACK, p.seq, p.ack - 1, NULL, 0); /* the bytes, not the FIN */
	assert_string_equal(tcp_state_name(p.conn), "CLOSING");
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 0);
	assert_int_equal(tcp_time_waits(p.tcp), 1);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_peer_closes_first),
		cmocka_unit_test(we_close_first_and_wait),
		cmocka_unit_test(both_sides_may_close_at_once),
		cmocka_unit_test(a_fin_ahead_of_bytes_waits_for_them),
		cmocka_unit_test(a_fin_ahead_of_bytes_is_told_by_sack),
		cmocka_unit_test(a_fin_that_bytes_pass_by_was_none),
		cmocka_unit_test(bytes_beyond_a_fin_are_no_part_of_the_stream),
		cmocka_unit_test(unread_bytes_outlive_the_close),
		cmocka_unit_test(a_repeated_fin_is_acknowledged_again),
		cmocka_unit_test(an_end_that_reading_brings_is_told),
		cmocka_unit_test(a_closed_connection_delivers_its_last_reply_before_it_resets),
		cmocka_unit_test(bytes_that_come_twice_reset_no_closed_connection),
		cmocka_unit_test(an_orphan_in_fin_wait_2_does_not_stay),
		cmocka_unit_test(what_lingers_without_an_owner_is_bounded),
		cmocka_unit_test(a_peer_that_reads_for_ever_keeps_no_orphan),
		cmocka_unit_test(an_orphan_whose_bytes_move_is_let_finish),
		cmocka_unit_test(an_orphan_given_up_says_so),
		cmocka_unit_test(a_reset_in_place_of_the_last_ack_is_an_end_in_order),
		cmocka_unit_test(an_abort_resets),
		cmocka_unit_test(what_is_shut_down_before_it_opens_sends_a_fin),
		cmocka_unit_test(bytes_go_on_after_our_fin_until_the_peers),
		cmocka_unit_test(bytes_go_on_after_the_peers_fin_until_ours),
		cmocka_unit_test(both_sides_may_close_at_once_behind_their_last_bytes),
	};

	test_eal_start("tcp-close");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
