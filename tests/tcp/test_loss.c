/* SPDX-License-Identifier: BSD-3-Clause */
/* What is lost is found and sent again; what is only late is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "peer.h"
#include "tcp/conn.h"

enum { RTT_MS = 20, RTO_MS = RTT_MS + TCP_RTO_MIN_MS + 2, SEGMENT = PEER_MSS };

/* A connection with SACK and a known RTT, over which n segments are under way. */
static uint32_t send_flight_without(struct peer *p, unsigned n, uint8_t without)
{
	uint32_t first;

	peer_init(p, &(struct peer_options){.without = without});
	p->sack = true;
	peer_open_after_ms(p, RTT_MS);
	first = p->ack;
	assert_int_equal(tcp_send(p->tcp, p->conn, pattern, (size_t)n * SEGMENT), n * SEGMENT);
	for (unsigned i = 0; i < n; i++)
		peer_expect(p, TCP_ACK, SEGMENT);
	peer_expect_silence(p);
	peer_wait_ms(p, RTT_MS);
	return first;
}

static uint32_t send_flight(struct peer *p, unsigned n)
{
	return send_flight_without(p, n, 0);
}

/* The peer has [start, end) of the flight, counted in segments, besides what it acknowledges. */
static void sack(struct peer *p, uint32_t first, unsigned ack, unsigned start, unsigned end)
{
	p->n_sack = end > start;
	p->sack_blocks[0] = (struct tcp_range){first + start * SEGMENT, first + end * SEGMENT};
	peer_send_at(p, TCP_ACK, p->seq, first + ack * SEGMENT, NULL, 0);
}

static void expect_again(struct peer *p, uint32_t first, unsigned segment)
{
	peer_expect(p, TCP_ACK, SEGMENT);
	assert_int_equal(p->got.seq, first + segment * SEGMENT);
	assert_memory_equal(p->got_payload, pattern + segment * SEGMENT, SEGMENT);
}

static void what_three_later_segments_overtook_is_lost(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 8);

	sack(&p, first, 0, 1, 2);
	peer_expect_silence(&p);
	sack(&p, first, 0, 1, 3);
	peer_expect_silence(&p);
	sack(&p, first, 0, 1, 4);
	expect_again(&p, first, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	sack(&p, first, 8, 0, 0);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	assert_int_equal(p.counters.tcp_rto, 0);
	peer_release(&p);
}

/* Or with the retransmission everything under way is lost, and only the timeout is left. */
static void what_acks_of_one_burst_let_out_leaves_with_the_retransmission(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 4);

	assert_int_equal(tcp_send(p.tcp, p.conn, pattern + 4 * SEGMENT, 10 * SEGMENT),
			 10 * SEGMENT);
	p.n_sack = 1;
	p.ack = first;
	for (unsigned end = 2; end <= 4; end++) {
		p.sack_blocks[0] = (struct tcp_range){first + SEGMENT, first + end * SEGMENT};
		peer_burst_add(&p, TCP_ACK, NULL, 0);
	}
	peer_burst_end(&p);
	expect_again(&p, first, 0);
	expect_again(&p, first, 4);
	peer_expect_silence(&p);
	peer_wait_ms(&p, RTT_MS);
	sack(&p, first, 0, 1, 5);
	expect_again(&p, first, 0);
	assert_int_equal(p.counters.tcp_rto, 0);
	peer_release(&p);
}

static void every_hole_is_filled_in_one_round_trip(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 8);

	p.n_sack = 3;
	p.sack_blocks[0] = (struct tcp_range){first + 7 * SEGMENT, first + 8 * SEGMENT};
	p.sack_blocks[1] = (struct tcp_range){first + 3 * SEGMENT, first + 5 * SEGMENT};
	p.sack_blocks[2] = (struct tcp_range){first + 1 * SEGMENT, first + 2 * SEGMENT};
	peer_send_at(&p, TCP_ACK, p.seq, first, NULL, 0);
	for (unsigned i = 0; i < 4; i++) {
		static const unsigned holes[] = {0, 2, 5, 6};

		expect_again(&p, first, holes[i]);
	}
	peer_expect_silence(&p);
	peer_release(&p);
}

static void a_late_segment_is_waited_for_a_quarter_of_the_round_trip(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 8);

	/* Two overtook it: not enough to be sure before the reordering window has passed. */
	sack(&p, first, 0, 1, 3);
	peer_expect_silence(&p);
	peer_wait_ms(&p, 2);
	peer_expect_silence(&p);
	peer_wait_ms(&p, RTT_MS / 4);
	expect_again(&p, first, 0);
	peer_release(&p);
}

static void a_late_segment_that_comes_is_not_sent_again(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 8);

	sack(&p, first, 0, 1, 3);
	peer_wait_ms(&p, 2);
	sack(&p, first, 3, 0, 0);
	peer_wait_ms(&p, RTT_MS / 4);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_retransmits, 0);
	/* Reordering was seen: now even three that overtook prove nothing at once. */
	sack(&p, first, 3, 4, 8);
	peer_expect_silence(&p);
	peer_wait_ms(&p, RTT_MS / 4 + 1);
	expect_again(&p, first, 3);
	peer_release(&p);
}

static void a_lost_retransmission_is_found_without_a_timeout(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 8);

	sack(&p, first, 0, 1, 4);
	expect_again(&p, first, 0);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern + 8 * SEGMENT, SEGMENT), SEGMENT);
	sack(&p, first, 0, 1, 8);
	expect_again(&p, first, 8); /* new, sent after the retransmission */
	peer_wait_ms(&p, RTT_MS);
	sack(&p, first, 0, 1, 9);
	peer_wait_ms(&p, RTT_MS / 4 + 1);
	expect_again(&p, first, 0);
	assert_int_equal(p.counters.tcp_rto, 0);
	peer_release(&p);
}

static void a_lost_tail_is_probed_before_the_timeout(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 4);

	sack(&p, first, 2, 0, 0); /* and nothing of the last two */
	peer_wait_ms(&p, 2 * RTT_MS + 5);
	expect_again(&p, first, 3);
	assert_int_equal(p.counters.tcp_tail_probes, 1);
	peer_expect_silence(&p);
	peer_wait_ms(&p, RTT_MS);
	sack(&p, first, 2, 3, 4);
	peer_wait_ms(&p, RTT_MS / 4 + 1);
	expect_again(&p, first, 2);
	sack(&p, first, 4, 0, 0);
	assert_int_equal(p.counters.tcp_rto, 0);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_release(&p);
}

static void send_one(struct peer *p, uint32_t first, unsigned segment)
{
	const uint8_t *bytes = pattern + segment * SEGMENT;

	assert_int_equal(tcp_send(p->tcp, p->conn, bytes, SEGMENT), SEGMENT);
	expect_again(p, first, segment); /* for the first time */
}

static void a_lone_segment_is_probed_for_when_it_would_time_out(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 1);

	peer_wait_ms(&p, RTO_MS - RTT_MS);
	expect_again(&p, first, 0);
	assert_int_equal(p.counters.tcp_tail_probes, 1);
	assert_int_equal(p.counters.tcp_rto, 0);
	/* And when that is lost too, it does time out. */
	peer_wait_ms(&p, RTO_MS);
	expect_again(&p, first, 0);
	assert_int_equal(p.counters.tcp_rto, 1);
	sack(&p, first, 1, 0, 0);
	peer_release(&p);
}

/* RFC 8985 7.4.2, by RFC 2883. */
static void a_probe_for_nothing_costs_nothing(void **state)
{
	for (unsigned for_nothing = 0; for_nothing < 2; for_nothing++) {
		struct peer p;
		uint32_t first = send_flight(&p, 4), cwnd;

		peer_wait_ms(&p, RTT_MS + 5);
		expect_again(&p, first, 3);
		sack(&p, first, 4, 0, 0);
		if (for_nothing)
			sack(&p, first, 4, 3, 4);
		cwnd = p.conn->cwnd;
		send_one(&p, first, 4);
		peer_wait_ms(&p, RTT_MS);
		sack(&p, first, 5, 0, 0);
		if (for_nothing)
			assert_true(p.conn->cwnd >= cwnd);
		else
			assert_true(p.conn->cwnd < cwnd);
		assert_int_equal(p.counters.tcp_fast_retransmits, !for_nothing);
		peer_release(&p);
	}
}

/* RFC 8985 7.3: or a round trip that has become longer would make a probe of each segment. */
static void no_probe_follows_another_before_a_round_trip_is_timed(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 1);

	peer_wait_ms(&p, RTO_MS - RTT_MS);
	expect_again(&p, first, 0);
	assert_int_equal(p.counters.tcp_tail_probes, 1);
	sack(&p, first, 1, 0, 0); /* of which of the two is not known */
	send_one(&p, first, 1);
	peer_wait_ms(&p, RTO_MS);
	expect_again(&p, first, 1);
	assert_int_equal(p.counters.tcp_tail_probes, 1);
	assert_int_equal(p.counters.tcp_rto, 1);
	sack(&p, first, 2, 0, 0);
	send_one(&p, first, 2);
	peer_wait_ms(&p, RTT_MS);
	sack(&p, first, 3, 0, 0);
	send_one(&p, first, 3);
	peer_wait_ms(&p, RTO_MS);
	expect_again(&p, first, 3);
	assert_int_equal(p.counters.tcp_tail_probes, 2);
	assert_int_equal(p.counters.tcp_rto, 1);
	peer_release(&p);
}

static void a_probe_carries_what_is_new(void **state)
{
	struct peer p;
	uint32_t first;

	first = send_flight(&p, 2);
	p.window = 3 * SEGMENT;
	sack(&p, first, 1, 0, 0);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern + 2 * SEGMENT, 5 * SEGMENT), 5 * SEGMENT);
	expect_again(&p, first, 2);
	expect_again(&p, first, 3);
	p.window = 6 * SEGMENT;
	peer_expect_silence(&p);
	peer_release(&p);
}

static void after_a_timeout_all_is_sent_again_slowly(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 8);

	peer_wait_ms(&p, RTT_MS + 5);
	expect_again(&p, first, 7); /* the probe */
	peer_wait_ms(&p, 250);
	expect_again(&p, first, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_rto, 1);
	sack(&p, first, 1, 0, 0);
	expect_again(&p, first, 1);
	expect_again(&p, first, 2);
	peer_expect_silence(&p);
	sack(&p, first, 8, 0, 0);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_release(&p);
}

static void what_was_sent_just_before_a_timeout_is_not_lost(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 5);

	sack(&p, first, 1, 0, 0);
	peer_wait_ms(&p, 2 * RTT_MS + 1);
	expect_again(&p, first, 4); /* the probe, behind which the timeout begins anew */
	peer_wait_ms(&p, RTO_MS - 10);
	send_one(&p, first, 5);
	send_one(&p, first, 6);
	peer_wait_ms(&p, 12);
	expect_again(&p, first, 1);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_rto, 1);
	assert_int_equal(p.conn->q->sent.n_lost, 3);
	/* The two arrive and are not sent again. */
	sack(&p, first, 2, 5, 7);
	expect_again(&p, first, 2);
	expect_again(&p, first, 3);
	peer_expect_silence(&p);
	sack(&p, first, 4, 5, 7);
	expect_again(&p, first, 4);
	sack(&p, first, 7, 0, 0);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_release(&p);
}

static void what_is_sent_again_later_does_not_put_the_timeout_off(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 10);

	/* The first is lost twice; every 100 ms another hole shows. */
	sack(&p, first, 0, 1, 4);
	expect_again(&p, first, 0);
	peer_wait_ms(&p, 90);
	sack(&p, first, 0, 5, 8);
	expect_again(&p, first, 4);
	peer_wait_ms(&p, 90);
	sack(&p, first, 0, 9, 10);
	expect_again(&p, first, 8);
	assert_int_equal(p.counters.tcp_rto, 0);
	peer_wait_ms(&p, 50);
	assert_int_equal(p.counters.tcp_rto, 1);
	peer_release(&p);
}

/* RFC 6298 5.3: only what acknowledges new data restarts it. */
static void an_ack_of_nothing_new_does_not_put_the_timeout_off(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 10);

	sack(&p, first, 0, 7, 10);
	expect_again(&p, first, 0);
	for (unsigned i = 0; i < 4; i++) {
		peer_hear_all(&p);
		peer_wait_ms(&p, 60);
		sack(&p, first, 0, 7, 10);
	}
	assert_int_equal(p.counters.tcp_rto, 1);
	peer_release(&p);
}

static void sacks_taken_back_are_forgotten_at_a_timeout(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 4);

	sack(&p, first, 0, 1, 4);
	expect_again(&p, first, 0);
	sack(&p, first, 1, 0, 0); /* the peer has thrown the rest away (RFC 2018 8) */
	peer_wait_ms(&p, 2000);
	expect_again(&p, first, 1);
	sack(&p, first, 2, 0, 0);
	expect_again(&p, first, 2);
	expect_again(&p, first, 3);
	peer_release(&p);
}

static void blocks_of_what_was_never_sent_are_ignored(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 4);

	sack(&p, first, 0, 5, 9);
	sack(&p, first, 0, 3, 9);
	p.sack_blocks[0] = (struct tcp_range){first + 3000, first + 1000};
	peer_send_at(&p, TCP_ACK, p.seq, first, NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_retransmits, 0);
	peer_release(&p);
}

static void a_flight_is_reduced_once_and_in_proportion(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 10);
	unsigned sent = 0;

	assert_int_equal(tcp_send(p.tcp, p.conn, pattern + 10 * SEGMENT, 20 * SEGMENT),
			 20 * SEGMENT);
	/* Segment 0 is lost; nine more ACKs bring the others one by one. */
	for (unsigned i = 2; i <= 10; i++) {
		sack(&p, first, 0, 1, i);
		sent += peer_hear_all(&p);
	}
	/* Half of the flight: five in place of ten, the lost one among them, give or take one. */
	assert_in_range(sent, 4, 6);
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	peer_release(&p);
}

/* RFC 8985 6.2 step 4. */
static void sixteen_recoveries_without_a_dsack_shut_the_reordering_window(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 2);

	p.keep_unread = true; /* so that the queue stays */
	peer_send(&p, TCP_ACK, "x", 1);
	sack(&p, first, 2, 0, 0);
	sack(&p, first, 2, 1, 2);
	assert_int_equal(p.conn->q->rack.reorder_steps, 1);
	for (unsigned i = 0, n = 2; i < 16; i++, n += 2) {
		assert_int_equal(p.conn->q->rack.reorder_steps, 1);
		send_one(&p, first, n);
		send_one(&p, first, n + 1);
		peer_wait_ms(&p, RTT_MS);
		sack(&p, first, n, n + 1, n + 2);
		peer_wait_ms(&p, RTT_MS / 2 + 1);
		expect_again(&p, first, n);
		assert_int_equal(p.counters.tcp_fast_retransmits, i + 1);
		sack(&p, first, n + 2, 0, 0);
	}
	assert_int_equal(p.conn->q->rack.reorder_steps, 0);
	peer_release(&p);
}

/* Times are kept modulo 2^32 us: one from 40 minutes ago would look like one of the future. */
static void what_was_delivered_long_ago_proves_no_loss(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 2);

	p.keep_unread = true; /* so that the queue stays */
	peer_send(&p, TCP_ACK, "x", 1);
	sack(&p, first, 2, 0, 0);
	peer_wait_ms(&p, 40 * 60 * 1000);
	peer_hear_all(&p);
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern + 2 * SEGMENT, 2 * SEGMENT), 2 * SEGMENT);
	expect_again(&p, first, 2); /* for the first time */
	expect_again(&p, first, 3);
	peer_wait_ms(&p, RTT_MS);
	sack(&p, first, 3, 0, 0);
	peer_wait_ms(&p, RTT_MS);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_retransmits, 0);
	peer_release(&p);
}

/* A flight as long as the scoreboard, none of which fits the path any more. */
static void a_full_scoreboard_gets_through_a_narrow_path(void **state)
{
	enum { FLIGHT = 512, NARROW = 660 };
	struct net_segment error;
	uint32_t reached, heard;
	struct peer p;

	peer_init(&p, &(struct peer_options){.send_queue = 1 << 20});
	p.sack = true;
	p.wscale = 5;
	peer_open(&p);
	do {
		while (tcp_send(p.tcp, p.conn, pattern, PATTERN) == PATTERN)
			;
		for (heard = 0; peer_hear(&p); heard++)
			p.ack = p.got.seq + p.got_len;
		reached = p.ack - heard * SEGMENT;
		if (heard < FLIGHT)
			peer_send(&p, TCP_ACK, NULL, 0);
	} while (heard < FLIGHT);
	error = (struct net_segment){
		.flow = p.flow,
		.hash = net_hash(&p.net, &p.flow),
		.error = NET_ERROR_TOO_BIG,
		.error_mtu = NARROW + 40,
		.error_seq = reached,
	};
	tcp_error(p.tcp, &error, p.now_us);
	for (unsigned i = 0; i < 20000 && p.conn && tcp_unacknowledged(p.conn); i++) {
		while (peer_hear(&p))
			if (p.got.seq == reached && p.got_len <= NARROW)
				reached += p.got_len;
		peer_send_at(&p, TCP_ACK, p.seq, reached, NULL, 0);
		peer_wait_ms(&p, 10);
	}
	assert_non_null(p.conn);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	peer_release(&p);
}

static void a_probe_there_was_no_buffer_for_repaired_nothing(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;
	uint32_t first = send_flight(&p, 4);

	sack(&p, first, 2, 0, 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.frames, taken, PEER_BUFFERS), 0);
	peer_wait_ms(&p, 2 * RTT_MS + 5);
	peer_expect_silence(&p);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS);
	sack(&p, first, 4, 0, 0); /* it was only late */
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern + 4 * SEGMENT, SEGMENT), SEGMENT);
	expect_again(&p, first, 4); /* for the first time */
	sack(&p, first, 5, 0, 0);
	assert_int_equal(p.counters.tcp_tail_probes, 0);
	assert_int_equal(p.counters.tcp_fast_retransmits, 0); /* cwnd was not reduced */
	peer_release(&p);
}

static void an_old_echo_beside_a_sack_times_nothing(void **state)
{
	uint32_t first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = p.ts = true;
	p.ts_value = 1;
	peer_open_after_ms(&p, RTT_MS); /* ts_echo is of what came last in order, and stays */
	first = p.ack;
	peer_wait_ms(&p, 5000);
	tcp_send(p.tcp, p.conn, pattern, 6000);
	peer_hear_all(&p);
	peer_wait_ms(&p, RTT_MS);
	p.n_sack = 2;
	p.sack_blocks[0] = (struct tcp_range){first + 988, first + 2 * 988};
	p.sack_blocks[1] = (struct tcp_range){first + 3 * 988, first + 6000};
	peer_send_at(&p, TCP_ACK, p.seq, first, NULL, 0);
	peer_expect(&p, TCP_ACK, 988);
	peer_expect(&p, TCP_ACK, 988);
	assert_int_equal(p.got.seq, first + 2 * 988);
	peer_wait_ms(&p, RTT_MS);
	p.n_sack = 1;
	p.sack_blocks[0].start = first + 988;
	p.sack_blocks[0].end = first + 6000;
	peer_send_at(&p, TCP_ACK, p.seq, first, NULL, 0);
	/* The first is lost once more: its timeouts are still short ones. */
	for (unsigned i = 0; i < 2; i++) {
		peer_wait_ms(&p, 450);
		peer_expect(&p, TCP_ACK, 988);
		assert_int_equal(p.got.seq, first);
	}
	assert_int_equal(p.counters.tcp_rto, 2);
	peer_release(&p);
}

/* --- the timeout ------------------------------------------------------------------------------ */

/* Opens without SACK, so that nothing but a timeout sends again. */
static uint32_t open_timed(struct peer *p, bool ts)
{
	peer_init(p, &(struct peer_options){0});
	p->ts = ts;
	p->ts_value = 1;
	peer_open_after_ms(p, RTT_MS);
	return p->ack;
}

/* Sends ten octets, whose first transmission the peer answers after so long; returns how many there
 * were by then. */
static unsigned exchange(struct peer *p, uint32_t answer_ms)
{
	uint32_t echo = 0;
	unsigned n = 0;

	assert_int_equal(tcp_send(p->tcp, p->conn, pattern, 10), 10);
	for (uint32_t ms = 0; ms < answer_ms; ms += 10) {
		while (peer_hear(p)) {
			if (n++ == 0)
				echo = p->got.ts_value;
		}
		peer_wait_ms(p, 10);
	}
	p->ack += 10;
	p->ts_echo = echo;
	p->ts_value++;
	peer_send(p, TCP_ACK, NULL, 0);
	assert_int_equal(tcp_unacknowledged(p->conn), 0);
	return n;
}

/* RFC 6298 5: or the timeout would be too short for ever. */
static void a_round_trip_that_became_longer_is_learnt(void **state)
{
	for (unsigned ts = 0; ts < 2; ts++) {
		struct peer p;

		open_timed(&p, ts);
		assert_int_equal(exchange(&p, 1000), 3); /* at 220 and 660 again */
		assert_int_equal(exchange(&p, 1000), 2);
		assert_int_equal(exchange(&p, 1000), 1);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(exchange(&p, 1000), 1);
		assert_int_equal(p.counters.tcp_rto, 3);
		peer_release(&p);
	}
}

static void an_ack_that_tells_which_transmission_it_answers_is_timed(void **state)
{
	uint32_t srtt_us;
	struct peer p;

	open_timed(&p, true);
	srtt_us = p.conn->srtt_us;
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 10), 10);
	peer_expect(&p, TCP_ACK, 10);
	for (unsigned i = 1; i <= 2; i++) {
		peer_wait_ms(&p, i * RTO_MS);
		peer_expect(&p, TCP_ACK, 10);
	}
	assert_int_equal(p.conn->backoff, 2);
	p.ts_echo = p.got.ts_value;
	p.ts_value++;
	peer_wait_ms(&p, RTT_MS);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(p.conn->backoff, 0);
	assert_in_range(p.conn->srtt_us, srtt_us - 1000, srtt_us + 1000);
	peer_release(&p);
}

/* All arrives and every ACK is lost, until what is sent again brings one about. */
static void what_waited_for_a_repeated_segment_is_not_timed(void **state)
{
	for (unsigned sack_too = 0; sack_too < 2; sack_too++) {
		uint32_t srtt_us;
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		p.sack = sack_too; /* then it is the last one, otherwise the first */
		peer_open_after_ms(&p, RTT_MS);
		srtt_us = p.conn->srtt_us;
		tcp_send(p.tcp, p.conn, pattern, 5 * SEGMENT);
		for (unsigned i = 0; i < 5; i++)
			peer_expect(&p, TCP_ACK, SEGMENT);
		peer_wait_ms(&p, RTO_MS);
		assert_true(peer_hear(&p));
		assert_int_equal(p.counters.tcp_tail_probes, sack_too);
		peer_wait_ms(&p, RTT_MS);
		peer_send(&p, TCP_ACK, NULL, 0);
		assert_int_equal(tcp_unacknowledged(p.conn), 0);
		assert_int_equal(p.conn->srtt_us, srtt_us);
		peer_release(&p);
	}
}

static void what_was_selectively_acknowledged_late_is_not_timed(void **state)
{
	struct peer p;
	uint32_t first = send_flight(&p, 5), srtt_us = p.conn->srtt_us;

	peer_wait_ms(&p, RTT_MS + 5);
	expect_again(&p, first, 4); /* the probe */
	peer_wait_ms(&p, RTT_MS);
	sack(&p, first, 0, 1, 5);
	assert_int_equal(p.conn->q->sent.n_sacked, 4);
	assert_int_equal(p.conn->srtt_us, srtt_us);
	peer_release(&p);
}

/* Three are lost; the second and third go again together, and arrive, but not their ACK; the second
 * goes once more, which brings it about, with the echo of before. */
static void an_old_echo_of_a_repeated_segment_is_not_timed(void **state)
{
	uint32_t srtt_us, echo, first;
	struct peer p;

	first = open_timed(&p, true);
	tcp_send(p.tcp, p.conn, pattern, 2500);
	peer_hear_all(&p);
	peer_wait_ms(&p, RTO_MS);
	assert_true(peer_hear(&p));
	p.ack = first + p.got_len;
	p.ts_echo = p.got.ts_value;
	p.ts_value++;
	peer_send(&p, TCP_ACK, NULL, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_true(peer_hear(&p));
	assert_int_equal(p.counters.tcp_retransmits, 3);
	echo = p.got.ts_value;
	srtt_us = p.conn->srtt_us;
	peer_wait_ms(&p, 2 * RTO_MS);
	assert_true(peer_hear(&p));
	assert_int_equal(p.counters.tcp_rto, 2);
	p.ack = first + 2500;
	p.ts_echo = echo;
	p.ts_value++;
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_int_equal(tcp_unacknowledged(p.conn), 0);
	assert_int_equal(p.conn->srtt_us, srtt_us);
	peer_release(&p);
}

static void a_steady_round_trip_leaves_room_for_a_delayed_ack(void **state)
{
	struct peer p;

	open_timed(&p, false);
	/* Until its variance is next to nothing. */
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(exchange(&p, 290), i == 0 ? 2 : 1);
	assert_int_equal(exchange(&p, 290 + 190), 1);
	peer_release(&p);
}

/* --- parts left out -------------------------------------------------------------------------- */

static void without_sack_none_is_agreed_on(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.without = TCP_WITHOUT_SACK});
	p.sack = true;
	peer_half_open(&p);
	assert_false(p.got.sack_permitted);
	assert_non_null(tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, PEER_PORT, &p.path));
	assert_true(peer_hear(&p));
	assert_int_equal(p.got.flags, TCP_SYN);
	assert_false(p.got.sack_permitted);
	peer_release(&p);
}

static void without_rack_a_loss_shows_when_three_overtook(void **state)
{
	struct peer p;
	uint32_t first = send_flight_without(&p, 8, TCP_WITHOUT_RACK);

	sack(&p, first, 0, 1, 3);
	peer_wait_ms(&p, RTT_MS / 4 + 5);
	peer_expect_silence(&p);
	sack(&p, first, 0, 5, 6);
	expect_again(&p, first, 0);
	/* Two have overtaken each of the other holes. */
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	peer_release(&p);
}

static void without_tlp_a_lost_tail_times_out(void **state)
{
	struct peer p;
	uint32_t first = send_flight_without(&p, 4, TCP_WITHOUT_TLP);

	sack(&p, first, 2, 0, 0);
	peer_wait_ms(&p, RTO_MS - 10);
	peer_expect_silence(&p);
	peer_wait_ms(&p, 10);
	expect_again(&p, first, 2);
	assert_int_equal(p.counters.tcp_rto, 1);
	assert_int_equal(p.counters.tcp_tail_probes, 0);
	peer_release(&p);
}

static void without_prr_nothing_is_sent_until_half_the_flight_is_gone(void **state)
{
	struct peer p;
	uint32_t first = send_flight_without(&p, 10, TCP_WITHOUT_PRR);

	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 20 * SEGMENT), 20 * SEGMENT);
	sack(&p, first, 0, 1, 4);
	expect_again(&p, first, 0);
	assert_int_equal(p.conn->cwnd, p.conn->ssthresh);
	peer_expect_silence(&p);
	sack(&p, first, 0, 1, 6); /* five are still in flight */
	peer_expect_silence(&p);
	sack(&p, first, 0, 1, 8);
	peer_expect(&p, TCP_ACK, SEGMENT);
	peer_expect(&p, TCP_ACK, SEGMENT);
	peer_expect_silence(&p);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_three_later_segments_overtook_is_lost),
		cmocka_unit_test(what_acks_of_one_burst_let_out_leaves_with_the_retransmission),
		cmocka_unit_test(every_hole_is_filled_in_one_round_trip),
		cmocka_unit_test(a_late_segment_is_waited_for_a_quarter_of_the_round_trip),
		cmocka_unit_test(a_late_segment_that_comes_is_not_sent_again),
		cmocka_unit_test(a_lost_retransmission_is_found_without_a_timeout),
		cmocka_unit_test(a_lost_tail_is_probed_before_the_timeout),
		cmocka_unit_test(a_lone_segment_is_probed_for_when_it_would_time_out),
		cmocka_unit_test(a_probe_for_nothing_costs_nothing),
		cmocka_unit_test(no_probe_follows_another_before_a_round_trip_is_timed),
		cmocka_unit_test(a_probe_carries_what_is_new),
		cmocka_unit_test(after_a_timeout_all_is_sent_again_slowly),
		cmocka_unit_test(what_was_sent_just_before_a_timeout_is_not_lost),
		cmocka_unit_test(what_is_sent_again_later_does_not_put_the_timeout_off),
		cmocka_unit_test(an_ack_of_nothing_new_does_not_put_the_timeout_off),
		cmocka_unit_test(sacks_taken_back_are_forgotten_at_a_timeout),
		cmocka_unit_test(blocks_of_what_was_never_sent_are_ignored),
		cmocka_unit_test(a_flight_is_reduced_once_and_in_proportion),
		cmocka_unit_test(sixteen_recoveries_without_a_dsack_shut_the_reordering_window),
		cmocka_unit_test(what_was_delivered_long_ago_proves_no_loss),
		cmocka_unit_test(a_full_scoreboard_gets_through_a_narrow_path),
		cmocka_unit_test(a_probe_there_was_no_buffer_for_repaired_nothing),
		cmocka_unit_test(an_old_echo_beside_a_sack_times_nothing),
		cmocka_unit_test(a_round_trip_that_became_longer_is_learnt),
		cmocka_unit_test(an_ack_that_tells_which_transmission_it_answers_is_timed),
		cmocka_unit_test(what_waited_for_a_repeated_segment_is_not_timed),
		cmocka_unit_test(what_was_selectively_acknowledged_late_is_not_timed),
		cmocka_unit_test(an_old_echo_of_a_repeated_segment_is_not_timed),
		cmocka_unit_test(a_steady_round_trip_leaves_room_for_a_delayed_ack),
		cmocka_unit_test(without_sack_none_is_agreed_on),
		cmocka_unit_test(without_rack_a_loss_shows_when_three_overtook),
		cmocka_unit_test(without_tlp_a_lost_tail_times_out),
		cmocka_unit_test(without_prr_nothing_is_sent_until_half_the_flight_is_gone),
	};

	test_eal_start("tcp-loss");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
