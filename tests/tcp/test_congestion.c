/* SPDX-License-Identifier: BSD-3-Clause */
/* How much may be in flight, and what makes it more or less. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"
#include "tcp/conn.h"

enum { RTT_MS = 20, SEGMENT = PEER_MSS, INITIAL = 10 };

static void send_segments(struct peer *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(tcp_send(p->tcp, p->conn, pattern, SEGMENT), SEGMENT);
}

/* Hears all tcp has to say; returns how many segments of bytes were among it. */
static unsigned hear_segments(struct peer *p)
{
	unsigned n = 0;

	while (peer_hear(p))
		n += p->got_len > 0;
	return n;
}

/* Gives tcp so many segments to send, of which it sends what the first window holds; returns where
 * they begin. */
static uint32_t send_flight(struct peer *p, unsigned n)
{
	uint32_t first = p->ack;

	send_segments(p, n);
	assert_int_equal(hear_segments(p), n < INITIAL ? n : INITIAL);
	return first;
}

static void acknowledge(struct peer *p, uint32_t ack)
{
	peer_send_at(p, TCP_ACK, p->seq, ack, NULL, 0);
}

/* Hears all and acknowledges it, lost or not. */
static void answer_all(struct peer *p)
{
	while (peer_hear(p))
		p->ack = seq_max(p->ack, p->got.seq + p->got_len);
	acknowledge(p, p->ack);
}

/* --- the beginning --------------------------------------------------------------------------- */

static void losses_in_the_handshake_make_the_first_window_a_segment(void **state)
{
	for (unsigned lost = 0; lost < 4; lost++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		peer_half_open(&p);
		for (unsigned i = 0; i < lost; i++) {
			peer_wait_ms(&p, 1000u << i);
			assert_true(peer_hear(&p));
		}
		peer_send(&p, TCP_ACK, NULL, 0);
		send_segments(&p, 20);
		/* One may have been sent again for nothing. */
		assert_int_equal(hear_segments(&p), lost > 1 ? 1 : INITIAL);
		/* RFC 6298 5.7 */
		peer_wait_ms(&p, lost ? 2900 : TCP_RTO_MIN_MS - 10);
		assert_int_equal(hear_segments(&p), 0);
		peer_wait_ms(&p, 110);
		assert_int_equal(hear_segments(&p), 1);
		peer_release(&p);
	}
}

/* --- growth ---------------------------------------------------------------------------------- */

static void cwnd_counts_what_is_in_flight(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open_after_ms(&p, RTT_MS);
	first = send_flight(&p, 20);
	/* Two have come ahead of the first: they leave room, though nothing is acknowledged. */
	p.n_sack = 1;
	p.sack_blocks[0] = (struct tcp_range){first + SEGMENT, first + 3 * SEGMENT};
	acknowledge(&p, first);
	assert_int_equal(hear_segments(&p), 2);
	assert_int_equal(conn_pipe(p.conn), INITIAL * SEGMENT);
	/* Now the first: again as many as left, and not those two once more. */
	p.n_sack = 0;
	acknowledge(&p, first + 3 * SEGMENT);
	assert_int_equal(p.conn->cwnd, (INITIAL + 2) * SEGMENT);
	assert_int_equal(hear_segments(&p), 1 + 2);
	assert_int_equal(conn_pipe(p.conn), p.conn->cwnd);
	assert_int_equal(p.counters.tcp_retransmits, 0);
	peer_release(&p);
}

static void a_burst_of_acks_grows_the_window_as_single_acks_do(void **state)
{
	uint32_t grown[2];

	for (unsigned burst = 0; burst < 2; burst++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		peer_open_after_ms(&p, RTT_MS);
		p.conn->ssthresh = p.conn->cwnd;
		send_flight(&p, 40);
		for (unsigned i = 0; i < INITIAL / 2; i++) {
			p.ack += 2 * SEGMENT;
			peer_burst_add(&p, TCP_ACK, NULL, 0);
			if (burst)
				continue;
			peer_burst_end(&p);
			peer_hear_all(&p);
		}
		if (burst)
			peer_burst_end(&p);
		grown[burst] = p.conn->cwnd - INITIAL * SEGMENT;
		peer_release(&p);
	}
	/* A segment a round trip. */
	assert_in_range(grown[0], SEGMENT * 9 / 10, SEGMENT);
	assert_int_equal(grown[0], grown[1]);
}

static void what_is_not_used_does_not_grow(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, RTT_MS);
	for (unsigned i = 0; i < 10; i++) {
		send_segments(&p, INITIAL / 2 - 1);
		peer_acknowledge_all(&p);
	}
	assert_int_equal(p.conn->cwnd, INITIAL * SEGMENT);
	/* Slow start may double what half of is used, */
	send_segments(&p, INITIAL / 2);
	peer_acknowledge_all(&p);
	assert_int_equal(p.conn->cwnd, (INITIAL + 2) * SEGMENT);
	/* congestion avoidance not. */
	p.conn->ssthresh = p.conn->cwnd;
	send_segments(&p, INITIAL);
	peer_acknowledge_all(&p);
	assert_int_equal(p.conn->cwnd, (INITIAL + 2) * SEGMENT);
	peer_release(&p);
}

/* Half a minute in which only the peer speaks: it is when we last did that counts. */
static void be_silent(struct peer *p)
{
	for (unsigned i = 0; i < 300; i++) {
		peer_wait_ms(p, 100);
		peer_send(p, TCP_ACK, "x", 1);
		assert_int_equal(hear_segments(p), 0);
	}
}

static void a_window_that_was_not_used_for_a_while_begins_anew(void **state)
{
	for (unsigned kept = 0; kept < 2; kept++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		peer_open_after_ms(&p, RTT_MS);
		p.keep_unread = kept; /* a queue that stays must not hide it */
		send_segments(&p, 30);
		for (unsigned i = 0; i < 3; i++)
			peer_acknowledge_all(&p);
		assert_int_equal(tcp_unacknowledged(p.conn), 0);
		assert_true(p.conn->cwnd > INITIAL * SEGMENT);
		/* A pause of less than a timeout changes nothing. */
		peer_wait_ms(&p, 100);
		send_segments(&p, INITIAL + 2);
		assert_int_equal(hear_segments(&p), INITIAL + 2);
		p.ack += (INITIAL + 2) * SEGMENT;
		acknowledge(&p, p.ack);
		be_silent(&p);
		send_segments(&p, 30);
		assert_int_equal(hear_segments(&p), INITIAL);
		peer_release(&p);
	}
}

static void after_a_timeout_an_ack_adds_a_segment_at_most(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, RTT_MS);
	first = send_flight(&p, 30);
	peer_wait_ms(&p, 300);
	assert_int_equal(p.counters.tcp_rto, 1);
	assert_int_equal(hear_segments(&p), 1);
	assert_int_equal(p.conn->cwnd, SEGMENT);
	acknowledge(&p, first + 8 * SEGMENT);
	assert_int_equal(p.conn->cwnd, 2 * SEGMENT);
	peer_release(&p);
}

static void a_repaired_loss_costs_half_of_what_was_in_flight(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open_after_ms(&p, RTT_MS);
	first = send_flight(&p, INITIAL - 2);
	acknowledge(&p, first + SEGMENT);
	peer_wait_ms(&p, 2 * RTT_MS + 5);
	assert_int_equal(hear_segments(&p), 1);
	assert_int_equal(p.counters.tcp_tail_probes, 1);
	send_segments(&p, 3);
	assert_int_equal(hear_segments(&p), 3);
	/* All at once: nothing is in flight any more, but ten were. */
	acknowledge(&p, first + (INITIAL + 1) * SEGMENT);
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	assert_int_equal(p.conn->ssthresh, INITIAL / 2 * SEGMENT);
	peer_release(&p);
}

/* --- CUBIC ----------------------------------------------------------------------------------- */

static void only_connections_we_open_have_a_curve(void **state)
{
	for (unsigned active = 0; active < 2; active++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		if (active)
			peer_open_actively_after_ms(&p, RTT_MS);
		else
			peer_open_after_ms(&p, RTT_MS);
		send_flight(&p, 40);
		for (unsigned i = 0; i < 3; i++)
			acknowledge(&p, p.ack);
		assert_int_equal(p.counters.tcp_fast_retransmits, 1);
		assert_int_equal(p.conn->ssthresh, (active ? 7 : 5) * SEGMENT);
		assert_int_equal(p.conn->q->cubic.w_max, active ? INITIAL * SEGMENT : 0);
		/* Recovery ends, and a stage of congestion avoidance begins. */
		p.ack += INITIAL * SEGMENT;
		acknowledge(&p, p.ack);
		assert_int_equal(p.conn->q->cubic.epoch_us, active ? p.now_us : 0);
		assert_int_equal(p.conn->q->cubic.k_ms, active ? 1957 : 0);
		/* Reno has added a segment and adds another. Two windows acknowledged make
		 * W_est 7 + 2 * 9/17 segments, and the curve is not so high yet. */
		peer_wait_ms(&p, 100);
		answer_all(&p);
		assert_int_equal(p.conn->cwnd, (active ? 8 : 7) * SEGMENT);
		peer_release(&p);
	}
}

static void a_timeout_leaves_seven_tenths_to_slow_start_and_no_curve(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_actively_after_ms(&p, RTT_MS);
	send_flight(&p, 40);
	peer_wait_ms(&p, 300);
	assert_int_equal(p.counters.tcp_rto, 1);
	assert_int_equal(p.conn->ssthresh, 7 * SEGMENT);
	assert_int_equal(p.conn->cwnd, SEGMENT);
	assert_int_equal(p.conn->q->cubic.w_max, 0);
	assert_int_equal(p.conn->q->cubic.prior, INITIAL * SEGMENT);
	peer_release(&p);
}

static void without_cubic_a_connection_we_open_halves(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.without = TCP_WITHOUT_CUBIC});
	peer_open_actively_after_ms(&p, RTT_MS);
	send_flight(&p, 40);
	for (unsigned i = 0; i < 3; i++)
		acknowledge(&p, p.ack);
	assert_int_equal(p.conn->ssthresh, INITIAL / 2 * SEGMENT);
	peer_release(&p);
}

/* RFC 9438 5.8: whether nothing is sent at all, or too little. */
static void a_while_the_window_is_not_used_is_no_time_of_the_curve(void **state)
{
	uint64_t epoch_us;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_actively_after_ms(&p, RTT_MS);
	p.keep_unread = true; /* so that the queue stays */
	peer_send(&p, TCP_ACK, "x", 1);
	p.conn->ssthresh = p.conn->cwnd;
	send_segments(&p, INITIAL);
	peer_acknowledge_all(&p);
	epoch_us = p.conn->q->cubic.epoch_us;
	assert_int_equal(epoch_us, p.now_us);
	peer_wait_ms(&p, 100);
	send_segments(&p, 1);
	assert_int_equal(hear_segments(&p), 1);
	assert_int_equal(p.conn->q->cubic.epoch_us, p.now_us);
	peer_wait_ms(&p, RTT_MS);
	p.ack += SEGMENT;
	acknowledge(&p, p.ack);
	assert_int_equal(p.conn->q->cubic.epoch_us, p.now_us);
	send_segments(&p, INITIAL + 1);
	p.ack += hear_segments(&p) * SEGMENT;
	epoch_us = p.now_us;
	peer_wait_ms(&p, RTT_MS);
	acknowledge(&p, p.ack);
	assert_int_equal(p.conn->q->cubic.epoch_us, epoch_us);
	peer_release(&p);
}

/* --- without SACK ---------------------------------------------------------------------------- */

static void what_duplicates_told_an_ack_does_not_tell_again(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, RTT_MS);
	first = send_flight(&p, 30);
	/* The first and the sixth are lost; the others, and two more that two duplicates let out.
	 */
	for (unsigned i = 0; i < 10; i++) {
		acknowledge(&p, first);
		hear_segments(&p);
	}
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	/* The window was ten: the two beyond it do not count. */
	assert_int_equal(p.conn->ssthresh, INITIAL / 2 * SEGMENT);
	assert_int_equal(p.conn->q->prr.delivered, 8 * SEGMENT);
	acknowledge(&p, first + 5 * SEGMENT);
	assert_int_equal(p.conn->q->prr.delivered, 9 * SEGMENT);
	hear_segments(&p);
	assert_true(conn_pipe(p.conn) <= p.conn->ssthresh);
	acknowledge(&p, first + 12 * SEGMENT);
	assert_false(p.conn->flags & CONN_RECOVERY);
	peer_release(&p);
}

static void duplicates_stand_for_no_more_than_is_under_way(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, RTT_MS);
	first = send_flight(&p, 4);
	for (unsigned i = 0; i < 50; i++) {
		acknowledge(&p, first);
		hear_segments(&p);
	}
	assert_int_equal(p.conn->q->credited, 3 * SEGMENT);
	acknowledge(&p, first + 4 * SEGMENT);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_release(&p);
}

static void the_first_two_duplicates_let_a_new_segment_out_each(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, RTT_MS);
	first = send_flight(&p, 20);
	for (unsigned i = 0; i < 2; i++) {
		acknowledge(&p, first);
		peer_expect(&p, TCP_ACK, SEGMENT);
		assert_int_equal(p.got.seq, first + (INITIAL + i) * SEGMENT);
		peer_expect_silence(&p);
	}
	acknowledge(&p, first);
	peer_expect(&p, TCP_ACK, SEGMENT);
	assert_int_equal(p.got.seq, first);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void a_timeout_for_nothing_halves_once(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, RTT_MS);
	first = send_flight(&p, 20);
	peer_wait_ms(&p, 300);
	assert_int_equal(hear_segments(&p), 1);
	assert_int_equal(p.counters.tcp_rto, 1);
	assert_int_equal(p.conn->ssthresh, 5 * SEGMENT);
	/* All ten were only late: what is sent again now is so for nothing. */
	acknowledge(&p, first + SEGMENT);
	assert_int_equal(hear_segments(&p), 2);
	acknowledge(&p, first + INITIAL * SEGMENT);
	assert_true(hear_segments(&p) > 2);
	for (unsigned i = 0; i < 3; i++)
		acknowledge(&p, first + INITIAL * SEGMENT);
	assert_int_equal(p.counters.tcp_fast_retransmits, 0);
	assert_int_equal(p.conn->ssthresh, 5 * SEGMENT);
	/* What is lost after that is found again. */
	acknowledge(&p, first + (INITIAL + 1) * SEGMENT);
	for (unsigned i = 0; i < 3; i++)
		acknowledge(&p, first + (INITIAL + 1) * SEGMENT);
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	peer_release(&p);
}

/* --- ECN, which we do not speak (RFC 3168 6.1.1) -----------------------------------------------
 */

enum { CE = 3 };

static void assert_no_ecn(const struct peer *p)
{
	assert_int_equal(p->got.flags & (TCP_ECE | TCP_CWR), 0);
	assert_int_equal(p->got_ecn, 0);
}

static void ecn_is_neither_asked_for_nor_agreed_to(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_SYN | TCP_ECE | TCP_CWR, NULL, 0);
	assert_true(peer_hear(&p));
	assert_int_equal(p.got.flags, TCP_SYN | TCP_ACK);
	assert_no_ecn(&p);
	assert_non_null(tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path));
	assert_true(peer_hear(&p));
	assert_int_equal(p.got.flags, TCP_SYN);
	assert_no_ecn(&p);
	peer_release(&p);
}

static void marks_of_congestion_are_not_echoed_nor_heeded(void **state)
{
	uint32_t cwnd;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_after_ms(&p, RTT_MS);
	p.ecn = CE;
	send_segments(&p, INITIAL);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	while (peer_hear(&p))
		assert_no_ecn(&p);
	cwnd = p.conn->cwnd;
	peer_send_at(&p, TCP_ACK | TCP_ECE, p.seq, p.ack + 2 * SEGMENT, NULL, 0);
	assert_true(p.conn->cwnd > cwnd);
	peer_send_at(&p, TCP_ACK | TCP_CWR, p.seq, p.ack + 2 * SEGMENT, hello, HELLO);
	peer_send_at(&p, TCP_ACK | TCP_ECE | TCP_CWR, p.seq + HELLO, p.ack, hello, HELLO);
	peer_wait_ms(&p, TCP_ACK_DELAY_MS + 1);
	assert_true(peer_hear(&p));
	assert_no_ecn(&p);
	assert_int_equal(p.read_len, 3 * HELLO);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(losses_in_the_handshake_make_the_first_window_a_segment),
		cmocka_unit_test(cwnd_counts_what_is_in_flight),
		cmocka_unit_test(a_burst_of_acks_grows_the_window_as_single_acks_do),
		cmocka_unit_test(what_is_not_used_does_not_grow),
		cmocka_unit_test(a_window_that_was_not_used_for_a_while_begins_anew),
		cmocka_unit_test(after_a_timeout_an_ack_adds_a_segment_at_most),
		cmocka_unit_test(a_repaired_loss_costs_half_of_what_was_in_flight),
		cmocka_unit_test(only_connections_we_open_have_a_curve),
		cmocka_unit_test(a_timeout_leaves_seven_tenths_to_slow_start_and_no_curve),
		cmocka_unit_test(without_cubic_a_connection_we_open_halves),
		cmocka_unit_test(a_while_the_window_is_not_used_is_no_time_of_the_curve),
		cmocka_unit_test(what_duplicates_told_an_ack_does_not_tell_again),
		cmocka_unit_test(duplicates_stand_for_no_more_than_is_under_way),
		cmocka_unit_test(the_first_two_duplicates_let_a_new_segment_out_each),
		cmocka_unit_test(a_timeout_for_nothing_halves_once),
		cmocka_unit_test(ecn_is_neither_asked_for_nor_agreed_to),
		cmocka_unit_test(marks_of_congestion_are_not_echoed_nor_heeded),
	};

	test_eal_start("tcp-congestion");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
