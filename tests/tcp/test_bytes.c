/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes both ways, in and out of order, and their ACKs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "peer.h"

static void bytes_arrive_and_the_ack_waits_for_a_reply_or_a_while(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send(&p, TCP_ACK | TCP_PSH, hello, HELLO);
	assert_int_equal(p.news, TCP_BYTES);
	assert_int_equal(p.read_len, HELLO);
	assert_memory_equal(p.read, hello, HELLO);
	peer_expect_silence(&p);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	peer_release(&p);
}

static void one_segment_answers_a_burst_and_carries_its_ack(void **state)
{
	struct peer p;

	peer_init_open(&p);
	for (unsigned i = 0; i < 20; i++)
		peer_burst_add(&p, TCP_ACK | TCP_PSH, hello, HELLO);
	peer_burst_end(&p);
	assert_int_equal(p.read_len, 20 * HELLO);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(tcp_send(p.tcp, p.conn, "250 ok\r\n", 8), 8);
	peer_expect(&p, TCP_ACK, 160);
	assert_int_equal(p.got.ack, p.seq);
	assert_true(p.got.flags & TCP_PSH);
	peer_expect_silence(&p);
	peer_release(&p);
}

static void every_second_full_segment_is_acknowledged(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send(&p, TCP_ACK, pattern, PEER_MSS);
	peer_expect_silence(&p);
	peer_send(&p, TCP_ACK, pattern, PEER_MSS);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

static void bytes_ahead_of_a_gap_wait_for_it(void **state)
{
	struct peer p;
	uint32_t first;

	peer_init_open(&p);
	first = p.seq;
	/* Third, second, an overlap of both, then the first: across the sequence wrap. */
	peer_send_at(&p, TCP_ACK, first + 2000, p.ack, pattern + 2000, 1000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, first);
	peer_send_at(&p, TCP_ACK, first + 1000, p.ack, pattern + 1000, 700);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK, first + 1500, p.ack, pattern + 1500, 1000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.read_len, 0);
	peer_send_at(&p, TCP_ACK, first, p.ack, pattern, 1000);
	assert_int_equal(p.read_len, 3000);
	assert_memory_equal(p.read, pattern, 3000);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, first + 3000);
	assert_int_equal(p.counters.tcp_out_of_order, 3);
	peer_release(&p);
}

static void small_segments_pin_no_big_buffers(void **state)
{
	struct peer p;
	uint32_t first;

	peer_init_open(&p);
	first = p.seq;
	for (uint32_t i = 1; i <= 64; i++)
		peer_send_at(&p, TCP_ACK, first + 2 * i, p.ack, pattern + 2 * i, 1);
	assert_true(rte_mempool_in_use_count(p.kept) <= 2);
	assert_int_equal(rte_mempool_in_use_count(p.frames), 0);
	assert_int_equal(p.counters.tcp_reassembly_full, 32);
	peer_send_at(&p, TCP_ACK, first, p.ack, pattern, 130);
	assert_int_equal(p.read_len, 130);
	assert_memory_equal(p.read, pattern, 130);
	peer_release(&p);
}

static void sack_blocks_tell_the_newest_first(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq + 1000, p.ack, pattern, 100);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK, p.seq + 3000, p.ack, pattern, 100);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.n_sack, 2);
	assert_int_equal(p.got.sack[0].start, p.seq + 3000);
	assert_int_equal(p.got.sack[0].end, p.seq + 3100);
	assert_int_equal(p.got.sack[1].start, p.seq + 1000);
	peer_release(&p);
}

/* Asserts that the next ACK tells blocks that begin so far behind p->seq; 0 ends them. */
static void expect_blocks(struct peer *p, const uint32_t *starts)
{
	uint8_t n = 0;

	peer_expect(p, TCP_ACK, 0);
	for (; n < 3 && starts[n]; n++) {
		assert_true(n < p->got.n_sack);
		assert_int_equal(p->got.sack[n].start, p->seq + starts[n]);
	}
	assert_int_equal(p->got.n_sack, n);
}

/* RFC 2018 4: three ACKs in a row must be lost before the peer misses a block. */
static void sack_blocks_told_last_are_told_again(void **state)
{
	static const struct {
		uint32_t at, len, blocks[3];
	} steps[] = {
		{1000, 100, {1000}},
		{2000, 100, {2000, 1000}},
		{3000, 100, {3000, 2000, 1000}},
		{4000, 100, {4000, 3000, 2000}},
		{5000, 100, {5000, 4000, 3000}},
		{1050, 100, {1000, 5000, 4000}}, /* it grows */
		{3900, 100, {3900, 1000, 5000}}, /* and is no second one */
		{5000, 100, {5000, 3900, 1000}}, /* came twice */
		{3100, 800, {3000, 5000, 1000}}, /* two become one */
		{1900, 100, {1900, 3000, 5000}},
		{1, 1000, {1, 1900, 3000}},
		{2100, 900, {1900, 1, 5000}},
	};
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open(&p);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		peer_send_at(&p, TCP_ACK, p.seq + steps[i].at, p.ack, pattern, steps[i].len);
		expect_blocks(&p, steps[i].blocks);
	}
	/* Those told last are filled: the lowest are told. */
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, pattern, 1);
	expect_blocks(&p, (uint32_t[]){1900, 5000, 0});
	peer_release(&p);
}

static void a_fin_ahead_of_many_gaps_is_told_first(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.sack = true;
	peer_open(&p);
	for (unsigned i = 1; i <= 4; i++) {
		peer_send_at(&p, TCP_ACK, p.seq + 1000 * i, p.ack, pattern, 100);
		peer_expect(&p, TCP_ACK, 0);
	}
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq + 5000, p.ack, NULL, 0);
	expect_blocks(&p, (uint32_t[]){5000, 4000, 3000});
	peer_send_at(&p, TCP_ACK, p.seq + 4500, p.ack, pattern, 500);
	expect_blocks(&p, (uint32_t[]){4500, 4000, 3000});
	assert_int_equal(p.got.sack[0].end, p.seq + 5001);
	peer_release(&p);
}

static void three_duplicate_acks_repair_a_loss(void **state)
{
	struct peer p;
	uint32_t una;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 8000);
	una = p.ack;
	peer_hear_all(&p);
	for (unsigned i = 0; i < 2; i++) {
		peer_send_at(&p, TCP_ACK, p.seq, una, NULL, 0);
		peer_expect_silence(&p);
	}
	peer_send_at(&p, TCP_ACK, p.seq, una, NULL, 0);
	peer_expect(&p, TCP_ACK, 1000);
	assert_int_equal(p.got.seq, una);
	peer_expect_silence(&p);
	/* The next hole shows by a partial ACK (RFC 6582). */
	peer_send_at(&p, TCP_ACK, p.seq, una + 3000, NULL, 0);
	peer_expect(&p, TCP_ACK, 1000);
	assert_int_equal(p.got.seq, una + 3000);
	peer_send_at(&p, TCP_ACK, p.seq, una + 8000, NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_fast_retransmits, 1);
	assert_int_equal(p.counters.tcp_rto, 0);
	peer_release(&p);
}

/* --- cases other stacks got wrong ---------------------------------------------------------------
 */

static void an_ack_is_delayed_by_40_ms_and_no_more(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send(&p, TCP_ACK, hello, HELLO);
	peer_expect_silence(&p);
	p.now_us += 39000;
	tcp_tick(p.tcp, p.now_us);
	peer_expect_silence(&p);
	/* What comes meanwhile does not put it off. */
	peer_send(&p, TCP_ACK, hello, HELLO);
	peer_expect_silence(&p);
	p.now_us += 1256;
	tcp_tick(p.tcp, p.now_us);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	peer_release(&p);
}

static void segments_that_are_not_full_are_acknowledged_by_their_octets(void **state)
{
	struct peer p;

	peer_init_open(&p);
	for (unsigned i = 0; i < 3; i++) {
		peer_send(&p, TCP_ACK, pattern, PEER_MSS / 2);
		peer_expect_silence(&p);
	}
	peer_send(&p, TCP_ACK, pattern, PEER_MSS / 2);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	peer_release(&p);
}

/* Not what one call or one turn may send, but what may be under way. */
static void the_congestion_window_bounds_what_is_under_way(void **state)
{
	unsigned sent = 0;
	struct peer p;

	peer_init_open(&p);
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(tcp_send(p.tcp, p.conn, pattern, PEER_MSS), PEER_MSS);
		sent += peer_hear_all(&p);
	}
	assert_int_equal(sent, 10); /* RFC 6928 */
	p.ack += PEER_MSS;
	peer_send(&p, TCP_ACK, NULL, 0);
	sent += peer_hear_all(&p);
	assert_int_equal(sent, 12); /* one came, and it grew by one */
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_arrive_and_the_ack_waits_for_a_reply_or_a_while),
		cmocka_unit_test(one_segment_answers_a_burst_and_carries_its_ack),
		cmocka_unit_test(every_second_full_segment_is_acknowledged),
		cmocka_unit_test(bytes_ahead_of_a_gap_wait_for_it),
		cmocka_unit_test(small_segments_pin_no_big_buffers),
		cmocka_unit_test(sack_blocks_tell_the_newest_first),
		cmocka_unit_test(sack_blocks_told_last_are_told_again),
		cmocka_unit_test(a_fin_ahead_of_many_gaps_is_told_first),
		cmocka_unit_test(three_duplicate_acks_repair_a_loss),
		cmocka_unit_test(an_ack_is_delayed_by_40_ms_and_no_more),
		cmocka_unit_test(segments_that_are_not_full_are_acknowledged_by_their_octets),
		cmocka_unit_test(the_congestion_window_bounds_what_is_under_way),
	};

	test_eal_start("tcp-bytes");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
