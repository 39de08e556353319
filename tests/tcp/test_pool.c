/* SPDX-License-Identifier: BSD-3-Clause */
/* Buffers: what happens when there are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "peer.h"

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
		cmocka_unit_test(the_send_queue_is_bounded),
		cmocka_unit_test(an_empty_pool_loses_no_byte),
		cmocka_unit_test(a_frame_there_is_no_buffer_for_is_sent_later),
		cmocka_unit_test(what_an_empty_pool_kept_back_does_not_shut_the_connection),
		cmocka_unit_test(an_owner_the_pool_had_nothing_for_is_told_to_try_again),
		cmocka_unit_test(an_ack_there_is_no_buffer_for_is_sent_later),
		cmocka_unit_test(what_is_ahead_of_a_gap_leaves_buffers_for_the_rest),
	};

	test_eal_start("tcp-pool");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
