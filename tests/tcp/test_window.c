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
	peer_hear_all(&p);
	peer_wait_ms(&p, 50);
	peer_hear_all(&p);
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

	peer_init_full(&p, 8);
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

	peer_init_open(&p);
	peer_shut_window(&p);
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

	peer_init_open(&p);
	peer_shut_window(&p);
	peer_wait_for_end(&p, 1200, true);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

/* --- a window that shrinks -------------------------------------------------------------------- */

/* Five segments are under way when the peer shuts its window over them; returns where they begin.
 */
static uint32_t shut_over_a_flight(struct peer *p)
{
	uint32_t una;

	peer_init_open(p);
	una = p->ack;
	assert_int_equal(tcp_send(p->tcp, p->conn, pattern, 5000), 5000);
	for (unsigned i = 0; i < 5; i++)
		peer_expect(p, TCP_ACK, 1000);
	p->window = 0;
	p->ack = una;
	peer_send(p, TCP_ACK, NULL, 0);
	peer_expect_silence(p);
	return una;
}

static void a_window_shut_over_what_is_under_way_is_waited_for(void **state)
{
	unsigned probes = 0;
	struct peer p;
	uint32_t una = shut_over_a_flight(&p);

	/* More of them than a silent peer would be sent segments. */
	for (unsigned s = 0; s < 1000 && probes < 12; s++) {
		while (peer_hear(&p)) {
			assert_int_equal(p.got_len, 0);
			assert_int_equal(p.got.seq, una - 1);
			peer_send(&p, TCP_ACK, NULL, 0);
			probes++;
		}
		peer_wait_ms(&p, 1000);
	}
	assert_int_equal(p.counters.tcp_window_probes, 12);
	assert_int_equal(p.counters.tcp_rto, 0);
	assert_false(p.news & TCP_ENDED);
	p.window = 65535;
	peer_send(&p, TCP_ACK, NULL, 0);
	for (unsigned i = 0; i < 5; i++) {
		peer_expect(&p, TCP_ACK, 1000);
		assert_int_equal(p.got.seq, una + 1000 * i);
		assert_memory_equal(p.got_payload, pattern + 1000 * i, 1000);
	}
	/* The patience of before is no measure of the round trip. */
	peer_wait_ms(&p, 250);
	peer_expect(&p, TCP_ACK, 1000);
	assert_int_equal(p.got.seq, una);
	peer_send_at(&p, TCP_ACK, p.seq, una + 5000, NULL, 0);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_release(&p);
}

static void a_window_shut_over_what_is_under_way_is_not_waited_for_for_ever(void **state)
{
	struct peer p;

	shut_over_a_flight(&p);
	peer_wait_for_end(&p, 1200, true);
	assert_int_equal(p.end, TCP_END_TIMEOUT);
	assert_int_equal(p.counters.tcp_window_probes, 15);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_peer_that_shuts_its_window_at_the_last_moment_is_alive(void **state)
{
	unsigned timeouts;
	struct peer p;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	while (p.counters.tcp_rto < 10) {
		peer_wait_ms(&p, 1000);
		peer_hear_all(&p);
	}
	p.ack -= HELLO;
	p.window = 0;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect_silence(&p);
	for (timeouts = 0; timeouts < 5; timeouts++) {
		peer_wait_ms(&p, 250u << timeouts);
		peer_expect(&p, TCP_ACK, 0);
		peer_send(&p, TCP_ACK, NULL, 0);
		peer_expect_silence(&p);
	}
	p.window = 100;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_release(&p);
}

/* The peer's buffer shrinks to a part of a segment, or to a few, after its first window is full:
 * what comes is within the edge, and all of it comes. */
static void nothing_goes_beyond_an_edge_that_moved_left(void **state)
{
	static const uint16_t rooms[] = {7, 300, 999, 1000, 1001, 1500, 2999};
	enum { TOTAL = 12000 };

	for (unsigned i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		uint32_t first;
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		p.sack = i % 2;
		p.window = 6000;
		peer_open(&p);
		first = p.ack;
		assert_int_equal(tcp_send(p.tcp, p.conn, pattern, TOTAL), TOTAL);
		for (unsigned n = 0; n < 6; n++)
			peer_expect(&p, TCP_ACK, 1000);
		peer_expect_silence(&p);
		p.window = rooms[i];
		p.ack = first;
		peer_send(&p, TCP_ACK, NULL, 0);
		for (unsigned n = 0; n < 10000 && p.conn && tcp_unacknowledged(p.conn); n++) {
			while (peer_hear(&p)) {
				uint32_t edge = p.ack + rooms[i], end = p.got.seq + p.got_len;

				assert_true((int32_t)(end - edge) <= 0);
				if (p.got.seq == p.ack && p.got_len) {
					assert_memory_equal(p.got_payload,
							    pattern + (p.ack - first), p.got_len);
					p.ack = end;
					peer_send(&p, TCP_ACK, NULL, 0);
				}
			}
			peer_wait_ms(&p, 50);
		}
		assert_non_null(p.conn);
		assert_int_equal(p.ack - first, TOTAL);
		peer_release(&p);
	}
}

static void a_fin_alone_needs_no_window(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.window = 1000;
	peer_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 1000);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 1000);
	p.window = 0;
	p.ack--; /* it took the bytes */
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect_silence(&p);
	for (unsigned i = 0; i < 3; i++) {
		peer_wait_ms(&p, 250u << i);
		peer_expect(&p, TCP_ACK | TCP_FIN, 0);
		p.ack--;
		peer_send(&p, TCP_ACK, NULL, 0);
		peer_expect_silence(&p);
	}
	p.ack++;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_string_equal(tcp_state_name(p.conn), "FIN-WAIT-2");
	peer_release(&p);
}

/* --- cases other stacks got wrong ---------------------------------------------------------------
 */

static void a_shut_window_is_probed_on_when_nothing_answers(void **state)
{
	unsigned probes = 0;
	struct peer p;

	peer_init_open(&p);
	peer_shut_window(&p);
	/* Each answer is lost, and the window's opening with them. */
	for (unsigned ms = 0; ms < 60000; ms += 100) {
		while (peer_hear(&p))
			probes += p.got.seq == p.ack - 1;
		peer_wait_ms(&p, 100);
	}
	assert_in_range(probes, 7, 9);
	p.window = 65535;
	for (probes = 0; !probes;) {
		peer_wait_ms(&p, 1000);
		probes = peer_hear(&p);
	}
	assert_int_equal(p.got_len, 0);
	peer_send(&p, TCP_ACK, NULL, 0);
	for (unsigned i = 0; i < 3; i++)
		peer_expect(&p, TCP_ACK, 1000);
	peer_release(&p);
}

/* RFC 9293 3.8.6.2.2: the edge moves by a segment, or by half of the window, or not at all. */
static void a_reader_of_single_octets_makes_no_silly_window(void **state)
{
	enum { WINDOW = 8192 };
	uint32_t edge;
	struct peer p;

	peer_init_full(&p, WINDOW >> 10);
	edge = p.got.ack;
	for (uint32_t i = 0; i < WINDOW; i++) {
		uint32_t told;

		tcp_consume(p.tcp, p.conn, 1);
		/* Each of our segments would tell of it. */
		if (i % 16 == 0)
			tcp_send(p.tcp, p.conn, "x", 1);
		while (peer_hear(&p)) {
			told = p.got.ack + p.got.window;
			assert_true(told == edge || told - edge >= PEER_MSS);
			edge = told;
			p.ack = p.got.seq + p.got_len;
		}
		peer_send(&p, TCP_ACK, NULL, 0);
	}
	assert_true(edge - p.seq > WINDOW - PEER_MSS);
	peer_release(&p);
}

/* RFC 9293 3.8.6.2.1: less than a segment waits until it is half of what the peer ever offered, or
 * for a while. */
static void a_window_of_single_octets_gets_no_silly_segments(void **state)
{
	unsigned segments = 0;
	uint32_t waited_ms;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.window = 800;
	peer_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 5000);
	peer_expect(&p, TCP_ACK, 800);
	p.window = 0;
	peer_send(&p, TCP_ACK, NULL, 0);
	for (; p.window < 399; p.window++) {
		peer_send(&p, TCP_ACK, NULL, 0);
		segments += peer_hear(&p);
	}
	assert_int_equal(segments, 0);
	p.window = 400;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, 400);

	p.window = 10;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect_silence(&p);
	for (waited_ms = 0; !peer_hear(&p); waited_ms += 10)
		peer_wait_ms(&p, 10);
	assert_int_equal(p.got_len, 10);
	assert_in_range(waited_ms, 200, 300);
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
		cmocka_unit_test(a_window_shut_over_what_is_under_way_is_waited_for),
		cmocka_unit_test(a_window_shut_over_what_is_under_way_is_not_waited_for_for_ever),
		cmocka_unit_test(a_peer_that_shuts_its_window_at_the_last_moment_is_alive),
		cmocka_unit_test(nothing_goes_beyond_an_edge_that_moved_left),
		cmocka_unit_test(a_fin_alone_needs_no_window),
		cmocka_unit_test(a_shut_window_is_probed_on_when_nothing_answers),
		cmocka_unit_test(a_reader_of_single_octets_makes_no_silly_window),
		cmocka_unit_test(a_window_of_single_octets_gets_no_silly_segments),
	};

	test_eal_start("tcp-window");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
