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
	peer_acknowledge_all(&p);
	assert_true(p.news & TCP_ROOM);
	assert_int_equal(tcp_send_room(p.tcp, p.conn), 5000);
	peer_release(&p);
}

static void an_empty_pool_loses_no_byte(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init_open(&p);
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

	peer_init_open(&p);
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

	peer_init_open(&p);
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

	peer_init_full(&p, 8);
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

	peer_init_open(&p);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.kept, taken, TAKEN), 0);
	peer_send_at(&p, TCP_ACK, p.seq + HELLO, p.ack, hello, HELLO);
	assert_int_equal(rte_mempool_in_use_count(p.kept), TAKEN);
	assert_int_equal(p.counters.tcp_pool_low, 1);
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

/* --- a pool that runs low -----------------------------------------------------------------------
 */

/* Leaves so many eighths of the pool, and returns how many buffers that took. */
static unsigned leave_eighths(struct peer *p, struct rte_mbuf **taken, unsigned eighths)
{
	unsigned n = PEER_BUFFERS - PEER_BUFFERS / 8 * eighths;

	assert_int_equal(rte_pktmbuf_alloc_bulk(p->kept, taken, n), 0);
	return n;
}

/* Sends so many segments one by one to an owner that reads them, and returns the window told last.
 * No edge told lies left of one told before. */
static uint32_t window_after(struct peer *p, unsigned segments)
{
	uint32_t edge = p->got.ack + p->got.window;

	for (unsigned i = 0; i < segments; i++) {
		peer_send(p, TCP_ACK, pattern, PEER_MSS);
		while (peer_hear(p)) {
			assert_true((int32_t)(p->got.ack + p->got.window - edge) >= 0);
			edge = p->got.ack + p->got.window;
		}
		p->read_len = 0;
	}
	return edge - p->seq;
}

static void windows_shrink_with_the_pool_and_their_edges_stay(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;
	unsigned n;

	peer_init_open(&p);
	window_after(&p, 2);
	assert_in_range(window_after(&p, 100), 65535 - 2 * PEER_MSS, 65535);
	n = leave_eighths(&p, taken, 3);
	assert_in_range(window_after(&p, 10), 54000, 56000); /* what was told already */
	assert_in_range(window_after(&p, 100), 65535 / 2 - 2 * PEER_MSS, 65535 / 2);
	rte_pktmbuf_free_bulk(taken, n);
	n = leave_eighths(&p, taken, 1);
	assert_in_range(window_after(&p, 100), 4096 - 2 * PEER_MSS, 4096);
	rte_pktmbuf_free_bulk(taken, n);
	assert_in_range(window_after(&p, 2), 65535 - 2 * PEER_MSS, 65535);
	assert_int_equal(p.counters.tcp_pool_low, 0);
	peer_release(&p);
}

/* A field that counts in sixteens of 1 KiB can tell nothing smaller. */
static void a_scaled_window_is_never_shut_by_the_pool(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init(&p, &(struct peer_options){.receive_window = 1 << 30});
	p.wscale = 14;
	peer_open(&p);
	leave_eighths(&p, taken, 1);
	for (unsigned i = 0; i < 100; i++) {
		peer_send(&p, TCP_ACK, pattern, PEER_MSS);
		while (peer_hear(&p))
			assert_in_range(p.got.window, 1, 4);
		p.read_len = 0;
	}
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS - PEER_BUFFERS / 8);
	peer_release(&p);
}

static void a_window_the_pool_made_small_opens_as_its_owner_reads(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;
	unsigned n;

	peer_init(&p, &(struct peer_options){.receive_window = 8192});
	p.keep_unread = true;
	peer_open(&p);
	n = leave_eighths(&p, taken, 2);
	for (unsigned i = 0; i < 4; i++)
		peer_send(&p, TCP_ACK, pattern, 1000);
	peer_hear_all(&p);
	assert_int_equal(p.got.window, 8192 - 4000); /* promised before */
	peer_send(&p, TCP_ACK, pattern, 1000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq - 1000); /* yet not taken now */
	p.seq -= 1000;
	tcp_consume(p.tcp, p.conn, 4000);
	peer_expect_silence(&p); /* the edge of before is still as good */
	for (unsigned i = 0; i < 4; i++)
		peer_send(&p, TCP_ACK, pattern, 1000);
	peer_hear_all(&p);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.got.window, 192);
	tcp_consume(p.tcp, p.conn, 4000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.window, 4096);
	rte_pktmbuf_free_bulk(taken, n);
	peer_release(&p);
}

static void a_reader_that_is_behind_gets_no_more_of_a_low_pool_and_others_do(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p, behind;
	unsigned n;

	peer_init(&p, &(struct peer_options){0});
	p.keep_unread = true;
	peer_open(&p);
	n = leave_eighths(&p, taken, 2);
	for (unsigned i = 0; i < 5; i++)
		peer_send(&p, TCP_ACK, pattern + i * PEER_MSS, PEER_MSS);
	assert_int_equal(tcp_readable(p.conn), 4 * PEER_MSS);
	assert_int_equal(p.counters.tcp_pool_low, 1);
	assert_int_equal(p.counters.tcp_no_buffer, 0);
	peer_hear_all(&p);
	assert_int_equal(p.got.ack, p.seq - PEER_MSS);

	behind = p;
	p.flow.remote_port++;
	p.keep_unread = false;
	peer_open(&p);
	for (unsigned i = 0; i < 20; i++)
		peer_send(&p, TCP_ACK, pattern + i * PEER_MSS, PEER_MSS);
	assert_int_equal(p.read_len, 20 * PEER_MSS);
	assert_int_equal(tcp_send(p.tcp, p.conn, hello, HELLO), HELLO);
	assert_int_equal(p.counters.tcp_pool_low, 1);

	rte_pktmbuf_free_bulk(taken, n);
	p.flow = behind.flow;
	peer_send_at(&p, TCP_ACK, behind.seq - PEER_MSS, behind.ack, pattern + 4 * PEER_MSS,
		     PEER_MSS);
	assert_int_equal(tcp_readable(behind.conn), 0); /* read in its turn */
	assert_memory_equal(p.read + 20 * PEER_MSS, pattern, 5 * PEER_MSS);
	peer_release(&p);
}

static void a_send_queue_shrinks_with_the_pool(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;
	unsigned n;

	peer_init_open(&p);
	assert_int_equal(tcp_send_room(p.tcp, p.conn), 65536);
	n = leave_eighths(&p, taken, 3);
	tcp_tick(p.tcp, p.now_us);
	assert_in_range(tcp_send_room(p.tcp, p.conn), 32000, 33000);
	rte_pktmbuf_free_bulk(taken, n);
	n = leave_eighths(&p, taken, 1);
	tcp_tick(p.tcp, p.now_us);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 10000), 4096);
	assert_int_equal(tcp_send_room(p.tcp, p.conn), 0);
	/* There is always something whose ACK will tell of room. */
	peer_acknowledge_all(&p);
	assert_true(p.news & TCP_ROOM);
	assert_int_equal(tcp_send_room(p.tcp, p.conn), 4096);
	rte_pktmbuf_free_bulk(taken, n);
	tcp_tick(p.tcp, p.now_us);
	assert_int_equal(tcp_send_room(p.tcp, p.conn), 65536);
	peer_release(&p);
}

static void who_shuts_his_window_on_a_low_pool_is_given_up_sooner(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	uint32_t seconds[2];

	for (int low = 0; low < 2; low++) {
		unsigned n = 0;
		struct peer p;

		peer_init_open(&p);
		peer_shut_window(&p);
		if (low)
			n = leave_eighths(&p, taken, 1);
		seconds[low] = peer_wait_for_end(&p, 1000, true);
		assert_int_equal(p.end, TCP_END_TIMEOUT);
		rte_pktmbuf_free_bulk(taken, n);
		peer_release(&p);
	}
	assert_in_range(seconds[0], 300, 600);
	assert_in_range(seconds[1], 20, 40);
}

/* Ten times what the pool holds is promised to as many peers as there are; all send, and nobody
 * reads.
 */
static void many_readers_that_are_behind_leave_the_pool_to_others(void **state)
{
	enum { CONNS = 300, SEGMENTS = 40 };
	static struct tcp_conn *conns[CONNS];
	static uint32_t seqs[CONNS], acks[CONNS];
	uint16_t port;
	struct peer p;

	peer_init(&p, &(struct peer_options){.conns = CONNS + 1});
	p.keep_unread = true;
	port = p.flow.remote_port;
	for (unsigned i = 0; i < CONNS; i++) {
		p.flow.remote_port = (uint16_t)(port + i);
		peer_open(&p);
		conns[i] = p.conn;
		seqs[i] = p.seq;
		acks[i] = p.ack;
	}
	for (unsigned n = 0; n < SEGMENTS; n++) {
		for (unsigned i = 0; i < CONNS; i++) {
			uint32_t taken = (uint32_t)tcp_readable(conns[i]);

			p.flow.remote_port = (uint16_t)(port + i);
			peer_send_at(&p, TCP_ACK, seqs[i] + taken, acks[i], pattern + taken,
				     PEER_MSS);
			peer_hear_all(&p);
		}
	}
	assert_true(p.counters.tcp_pool_low > CONNS);
	assert_int_equal(p.counters.tcp_no_buffer, 0);
	assert_in_range(rte_mempool_in_use_count(p.kept), PEER_BUFFERS / 2, PEER_BUFFERS * 7 / 8);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 0);

	p.flow.remote_port = (uint16_t)(port + CONNS);
	peer_open(&p);
	peer_send(&p, TCP_ACK, hello, HELLO); /* this one, too, is left a while */
	assert_int_equal(tcp_readable(p.conn), HELLO);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 1500), 1500);
	peer_expect(&p, TCP_ACK, 1000);
	peer_expect(&p, TCP_ACK, 500);
	for (unsigned i = 0; i < CONNS; i++) {
		assert_true(tcp_readable(conns[i]) >= 4 * PEER_MSS);
		tcp_consume(p.tcp, conns[i], tcp_readable(conns[i]));
	}
	tcp_consume(p.tcp, p.conn, HELLO);
	peer_hear_all(&p);
	peer_release(&p);
}

/* A line that comes in pieces must not depend on others' buffers. */
static void what_fits_the_last_buffer_is_taken_from_a_dry_pool(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.keep_unread = true;
	peer_open(&p);
	peer_send(&p, TCP_ACK, pattern, 1);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.kept, taken, PEER_BUFFERS - 1), 0);
	for (uint32_t i = 1; i < 1999; i += 333)
		peer_send(&p, TCP_ACK, pattern + i, 333);
	assert_int_equal(tcp_readable(p.conn), 1999);
	assert_memory_equal(tcp_read(p.tcp, p.conn, 0).bytes, pattern, 1999);
	peer_send(&p, TCP_ACK, pattern, PEER_MSS);
	assert_int_equal(tcp_readable(p.conn), 1999);
	assert_int_equal(p.counters.tcp_pool_low, 1);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 0);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS - 1);
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
		cmocka_unit_test(windows_shrink_with_the_pool_and_their_edges_stay),
		cmocka_unit_test(a_scaled_window_is_never_shut_by_the_pool),
		cmocka_unit_test(a_window_the_pool_made_small_opens_as_its_owner_reads),
		cmocka_unit_test(a_reader_that_is_behind_gets_no_more_of_a_low_pool_and_others_do),
		cmocka_unit_test(a_send_queue_shrinks_with_the_pool),
		cmocka_unit_test(who_shuts_his_window_on_a_low_pool_is_given_up_sooner),
		cmocka_unit_test(many_readers_that_are_behind_leave_the_pool_to_others),
		cmocka_unit_test(what_fits_the_last_buffer_is_taken_from_a_dry_pool),
	};

	test_eal_start("tcp-pool");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
