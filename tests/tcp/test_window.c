/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows, ours and the peer's: what they let through, how they shut and open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "peer.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_shuts_when_nobody_reads_and_opens_again),
		cmocka_unit_test(what_is_beyond_the_window_is_not_taken),
		cmocka_unit_test(a_window_nobody_was_told_of_is_still_to_be_told),
		cmocka_unit_test(sending_stays_within_the_peers_window),
		cmocka_unit_test(a_shut_window_is_probed_until_it_opens),
		cmocka_unit_test(a_window_that_never_opens_ends_the_connection),
	};

	test_eal_start("tcp-window");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
