/* SPDX-License-Identifier: BSD-3-Clause */
/* TIME-WAIT: what is kept of a connection that is over, and what may end it. POSTERN_SEED chooses
 * the random walk. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "common/random.h"
#include "peer.h"

/* A conversation from one port after another, each of which leaves a TIME-WAIT. */
static void converse(struct peer *p, uint16_t port)
{
	p->flow.remote_port = port;
	peer_open(p);
	peer_part(p);
}

static void repeat_fin(struct peer *p)
{
	peer_send_at(p, TCP_ACK | TCP_FIN, p->seq - 1, p->ack, NULL, 0);
}

/* --- how long ----------------------------------------------------------------------------------
 */

static void it_is_no_connection_and_lasts_ten_seconds(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_part(&p);
	assert_int_equal(peer_conns(&p), 0);
	assert_int_equal(tcp_next_due(p.tcp), p.now_us + 10000000);
	peer_wait_ms(&p, 9998);
	assert_int_equal(peer_time_waits(&p), 1);
	peer_wait_ms(&p, 2);
	assert_int_equal(peer_time_waits(&p), 0);
	assert_true(tcp_next_due(p.tcp) == UINT64_MAX);
	/* Forgotten: what comes now is of no connection. */
	repeat_fin(&p);
	peer_expect(&p, TCP_RST, 0);
	peer_release(&p);
}

static void a_repeated_fin_is_acknowledged_and_begins_it_anew(void **state)
{
	for (int ts = 0; ts < 2; ts++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		p.ts = ts;
		p.ts_value = 1000;
		peer_open(&p);
		peer_part(&p);
		for (unsigned i = 0; i < 3; i++) {
			peer_wait_ms(&p, 9000);
			p.ts_value += 9000;
			repeat_fin(&p);
			peer_expect(&p, TCP_ACK, 0);
			assert_int_equal(p.got.seq, p.ack);
			assert_int_equal(p.got.ack, p.seq);
			assert_int_equal(p.got.has_ts, ts);
			assert_int_equal(p.got.ts_echo, ts ? p.ts_value : 0);
		}
		peer_wait_ms(&p, 9000);
		assert_int_equal(peer_time_waits(&p), 1);
		peer_wait_ms(&p, 1000);
		assert_int_equal(peer_time_waits(&p), 0);
		peer_release(&p);
	}
}

static void its_timestamps_go_on_where_the_connections_were(void **state)
{
	uint32_t before;
	struct peer p;

	peer_init_open_ts(&p, 0);
	peer_part(&p);
	before = p.got.ts_value;
	peer_wait_ms(&p, 5000);
	repeat_fin(&p);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ts_value, before + 5000);
	peer_release(&p);
}

static void bytes_repeated_before_the_fin_are_acknowledged(void **state)
{
	struct peer p;

	peer_init_open(&p);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(peer_time_waits(&p), 1);
	peer_send_at(&p, TCP_ACK, p.seq - HELLO - 1, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq - HELLO - 1, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	peer_release(&p);
}

/* The first answer is the connection's last, the second the entry's; which leaves first does not
 * matter. */
static void answers_to_two_fins_at_once_shrink_no_window(void **state)
{
	uint32_t edge;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.keep_unread = true;
	peer_open(&p);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_burst_add(&p, TCP_ACK | TCP_FIN, pattern, 1000);
	p.seq -= 1001;
	peer_burst_add(&p, TCP_ACK | TCP_FIN, pattern, 1000);
	peer_burst_end(&p);
	peer_expect(&p, TCP_ACK, 0);
	edge = p.got.ack + p.got.window;
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_true(p.got.ack + p.got.window >= edge);
	assert_int_equal(peer_time_waits(&p), 1);
	peer_release(&p);
}

static void an_ack_there_is_no_buffer_for_comes_when_the_fin_does_again(void **state)
{
	struct rte_mbuf *taken[PEER_BUFFERS];
	struct peer p;

	peer_init_open(&p);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_burst_add(&p, TCP_ACK | TCP_FIN, NULL, 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.frames, taken, PEER_BUFFERS - 1), 0);
	peer_burst_end(&p);
	assert_int_equal(rte_pktmbuf_alloc_bulk(p.frames, taken + PEER_BUFFERS - 1, 1), 0);
	peer_expect_silence(&p);
	rte_pktmbuf_free_bulk(taken, PEER_BUFFERS);
	assert_int_equal(peer_conns(&p), 0);
	repeat_fin(&p);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

/* --- what does not end it ----------------------------------------------------------------------
 */

static void a_reset_does_not_end_it(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_part(&p);
	peer_send_at(&p, TCP_RST, p.seq, 0, NULL, 0);
	peer_send_at(&p, TCP_RST, p.seq - 1, 0, NULL, 0);
	peer_send_at(&p, TCP_RST | TCP_ACK, p.seq, p.ack, NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(peer_time_waits(&p), 1);
	assert_int_equal(p.counters.tcp_resets_in, 0);
	peer_release(&p);
}

static void old_segments_are_challenged_but_not_for_ever(void **state)
{
	struct peer p;

	peer_init_open_ts(&p, 1000);
	peer_part(&p);
	p.ts_value = 900;
	repeat_fin(&p);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_paws, 1);
	assert_int_equal(p.counters.tcp_challenge_acks, 1);
	p.ts_value = 1000;
	peer_wait_ms(&p, 100);
	assert_int_equal(peer_count_answers(&p, 100, TCP_ACK, p.seq + 5000, p.ack, NULL, 0), 1);
	assert_int_equal(p.counters.tcp_unacceptable, 100);
	/* None of it begins the wait anew. */
	peer_wait_ms(&p, 9900);
	assert_int_equal(peer_time_waits(&p), 0);
	peer_release(&p);
}

static void an_ack_alone_is_not_answered(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_part(&p);
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect_silence(&p);
	peer_release(&p);
}

/* --- what takes its place ----------------------------------------------------------------------
 */

static void a_syn_with_newer_numbers_opens(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_part(&p);
	peer_send_at(&p, TCP_SYN, p.seq - 1000, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(peer_time_waits(&p), 1);
	p.seq += 1000;
	peer_open(&p);
	assert_int_equal(peer_conns(&p), 1);
	assert_int_equal(peer_time_waits(&p), 0);
	assert_int_equal(p.counters.tcp_time_wait_reused, 1);
	peer_release(&p);
}

static void a_syn_with_a_newer_time_opens_whatever_its_number(void **state)
{
	struct peer p;

	peer_init_open_ts(&p, 1000);
	peer_part(&p);
	p.ts_value = 999;
	p.seq += 1000;
	peer_send_at(&p, TCP_SYN, p.seq, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(peer_time_waits(&p), 1);
	p.ts_value = 1001;
	p.seq -= 5000;
	peer_open(&p);
	assert_int_equal(peer_conns(&p), 1);
	assert_int_equal(peer_time_waits(&p), 0);
	peer_release(&p);
}

static void a_syn_to_a_port_nobody_listens_on_does_not_end_it(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_actively(&p);
	peer_part(&p);
	peer_send_at(&p, TCP_SYN, p.seq + 1000, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(peer_time_waits(&p), 1);
	peer_release(&p);
}

static void a_new_incarnation_begins_beyond_the_old_ones_numbers(void **state)
{
	uint32_t old;
	struct peer p;

	peer_init_open(&p);
	/* Faster than the clock of the initial numbers. */
	assert_int_equal(tcp_send(p.tcp, p.conn, pattern, 60000), 60000);
	tcp_shutdown(p.tcp, p.conn);
	while (tcp_unacknowledged(p.conn))
		peer_acknowledge_all(&p);
	old = p.ack;
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.end, TCP_END_CLOSED);
	p.seq += 1000;
	peer_open(&p);
	assert_in_range(p.got.seq - old, 1, 1 << 20);
	peer_release(&p);
}

static void an_owner_may_read_on_while_the_peer_opens_anew(void **state)
{
	struct tcp_conn *old;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.keep_unread = true;
	peer_open(&p);
	old = p.conn;
	tcp_shutdown(p.tcp, old);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	peer_send(&p, TCP_ACK | TCP_FIN, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_false(p.news & TCP_ENDED);
	assert_int_equal(peer_time_waits(&p), 1);
	p.seq += 1000;
	peer_open(&p);
	assert_ptr_not_equal(p.conn, old);
	assert_int_equal(peer_conns(&p), 2);
	assert_memory_equal(tcp_read(p.tcp, old, 0).bytes, hello, HELLO);
	tcp_consume(p.tcp, old, HELLO);
	peer_owner(&p);
	assert_int_equal(p.end, TCP_END_CLOSED);
	assert_int_equal(peer_conns(&p), 1);
	peer_release(&p);
}

/* --- where we open ourselves ---------------------------------------------------------------------
 */

static struct tcp_conn *try_to_open(struct peer *p)
{
	return tcp_connect(p->tcp, &p->flow.local, &p->flow.remote, PEER_PORT, &p->path);
}

/* Sends so many octets faster than the clock of initial numbers moves. */
static void send_fast(struct peer *p, uint32_t octets)
{
	while (octets) {
		uint32_t len = octets < PATTERN ? octets : PATTERN;

		octets -= (uint32_t)tcp_send(p->tcp, p->conn, pattern, len);
		peer_acknowledge_all(p);
	}
	while (tcp_unacknowledged(p->conn))
		peer_acknowledge_all(p);
}

static void we_open_from_its_port_once_the_numbers_are_beyond(void **state)
{
	uint32_t old;
	struct peer p;

	peer_init(&p, &(struct peer_options){.active_ports = 1});
	peer_open_actively(&p);
	send_fast(&p, 200000);
	peer_part(&p);
	old = p.ack;
	assert_null(try_to_open(&p));
	peer_wait_ms(&p, 1000); /* 250,000 numbers, and 65,535 are to lie between */
	assert_null(try_to_open(&p));
	peer_wait_ms(&p, 100);
	p.seq += 1000;
	peer_open_actively(&p);
	assert_in_range(p.ack - old, UINT16_MAX, 1 << 20);
	assert_int_equal(peer_time_waits(&p), 0);
	assert_int_equal(p.counters.tcp_time_wait_reused, 1);
	peer_part(&p);
	peer_release(&p);
}

static void we_open_from_its_port_a_second_later_with_timestamps(void **state)
{
	uint32_t old;
	struct peer p;

	peer_init(&p, &(struct peer_options){.active_ports = 1});
	p.ts = true;
	p.ts_value = 1000;
	peer_open_actively(&p);
	send_fast(&p, 1000000);
	peer_part(&p);
	old = p.ack;
	peer_wait_ms(&p, 998);
	assert_null(try_to_open(&p));
	/* What the peer repeats is a sign of life: the second begins anew. */
	repeat_fin(&p);
	peer_expect(&p, TCP_ACK, 0);
	peer_wait_ms(&p, 998);
	assert_null(try_to_open(&p));
	peer_wait_ms(&p, 2);
	p.seq += 1000;
	p.ts_value += 2000;
	peer_open_actively(&p);
	assert_int_equal(p.ack - old, UINT16_MAX + 1); /* the clock is not there yet */
	assert_int_equal(peer_time_waits(&p), 0);
	peer_release(&p);
}

static void a_port_nothing_waits_at_is_opened_from_at_once(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.active_ports = 2});
	peer_open_actively(&p);
	assert_int_equal(p.flow.local_port, 20000); /* 20003 is beyond the range */
	peer_part(&p);
	p.seq += 1000;
	peer_open_actively(&p);
	assert_int_equal(p.flow.local_port, 20001);
	peer_part(&p);
	assert_null(try_to_open(&p));
	assert_int_equal(peer_time_waits(&p), 2);
	peer_release(&p);
}

static void a_full_table_leaves_the_wait_as_it_is(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.active_ports = 1, .conns = 1});
	peer_open_actively(&p);
	peer_part(&p);
	peer_wait_ms(&p, 2000);
	p.flow.local_port = SERVICE_PORT;
	peer_open(&p);
	assert_null(try_to_open(&p));
	assert_int_equal(peer_time_waits(&p), 1);
	peer_release(&p);
}

/* --- how many ----------------------------------------------------------------------------------
 */

static void the_oldest_gives_way_when_there_are_too_many(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.time_waits = 3});
	for (uint16_t i = 0; i < 3; i++) {
		converse(&p, (uint16_t)(PEER_PORT + i));
		peer_wait_ms(&p, 100);
	}
	/* The first begins anew: now the second is the oldest. */
	p.flow.remote_port = PEER_PORT;
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.seq - 5, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK | TCP_FIN, p.got.ack - 1, p.ack, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	converse(&p, PEER_PORT + 3);
	assert_int_equal(peer_time_waits(&p), 3);
	assert_int_equal(p.counters.tcp_time_wait_full, 1);
	for (uint16_t i = 0; i < 4; i++) {
		p.flow.remote_port = (uint16_t)(PEER_PORT + i);
		peer_send_at(&p, TCP_ACK, p.seq + 5000, p.ack, hello, HELLO);
		peer_expect(&p, i == 1 ? TCP_RST : TCP_ACK, 0);
	}
	peer_release(&p);
}

static void a_client_that_opens_and_leaves_all_day_costs_no_connection(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.conns = 2, .time_waits = 1000});
	for (uint16_t i = 0; i < 2000; i++)
		converse(&p, (uint16_t)(1024 + i));
	assert_int_equal(peer_conns(&p), 0);
	assert_int_equal(peer_time_waits(&p), 1000);
	assert_int_equal(p.counters.tcp_time_wait_full, 1000);
	assert_int_equal(p.counters.tcp_table_full, 0);
	/* They end some at a time, and at once. */
	peer_wait_ms(&p, 10000);
	assert_int_equal(peer_time_waits(&p), 1000 - TCP_TIMERS_MAX);
	for (unsigned n = TCP_TIMERS_MAX; n < 1000; n += TCP_TIMERS_MAX) {
		assert_true(tcp_next_due(p.tcp) <= p.now_us);
		tcp_tick(p.tcp, p.now_us);
	}
	assert_int_equal(peer_time_waits(&p), 0);
	assert_true(tcp_next_due(p.tcp) == UINT64_MAX);
	peer_release(&p);
}

/* Of each flow: when its wait ends, by the list's own rules; 0: it has none. */
static void waits_end_in_time_whatever_comes(void **state)
{
	enum { FLOWS = 200 };
	uint64_t end_ms[FLOWS] = {0}, now_ms;
	uint32_t seq[FLOWS], waiting;
	struct peer p;

	srandom((unsigned)test_seed(1));
	peer_init(&p, &(struct peer_options){0});
	for (unsigned step = 0; step < 5000; step++) {
		unsigned i = (unsigned)random() % FLOWS;

		p.now_us += (uint64_t)(random() % 100) * 1000;
		now_ms = p.now_us / 1000;
		tcp_tick(p.tcp, p.now_us);
		p.flow.remote_port = (uint16_t)(1024 + i);
		if (end_ms[i] > now_ms) {
			peer_send_at(&p, TCP_ACK | TCP_FIN, seq[i] - 1, p.ack, NULL, 0);
			peer_expect(&p, TCP_ACK, 0);
			assert_int_equal(p.got.ack, seq[i]);
		} else {
			peer_open(&p);
			peer_part(&p);
			seq[i] = p.seq;
		}
		end_ms[i] = now_ms + 10000;
		waiting = 0;
		for (unsigned j = 0; j < FLOWS; j++)
			waiting += end_ms[j] > now_ms;
		assert_int_equal(peer_time_waits(&p), waiting);
	}
	assert_int_equal(p.counters.tcp_time_wait_reused, 0);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_no_connection_and_lasts_ten_seconds),
		cmocka_unit_test(a_repeated_fin_is_acknowledged_and_begins_it_anew),
		cmocka_unit_test(its_timestamps_go_on_where_the_connections_were),
		cmocka_unit_test(bytes_repeated_before_the_fin_are_acknowledged),
		cmocka_unit_test(answers_to_two_fins_at_once_shrink_no_window),
		cmocka_unit_test(an_ack_there_is_no_buffer_for_comes_when_the_fin_does_again),
		cmocka_unit_test(a_reset_does_not_end_it),
		cmocka_unit_test(old_segments_are_challenged_but_not_for_ever),
		cmocka_unit_test(an_ack_alone_is_not_answered),
		cmocka_unit_test(a_syn_with_newer_numbers_opens),
		cmocka_unit_test(a_syn_with_a_newer_time_opens_whatever_its_number),
		cmocka_unit_test(a_syn_to_a_port_nobody_listens_on_does_not_end_it),
		cmocka_unit_test(a_new_incarnation_begins_beyond_the_old_ones_numbers),
		cmocka_unit_test(an_owner_may_read_on_while_the_peer_opens_anew),
		cmocka_unit_test(we_open_from_its_port_once_the_numbers_are_beyond),
		cmocka_unit_test(we_open_from_its_port_a_second_later_with_timestamps),
		cmocka_unit_test(a_port_nothing_waits_at_is_opened_from_at_once),
		cmocka_unit_test(a_full_table_leaves_the_wait_as_it_is),
		cmocka_unit_test(the_oldest_gives_way_when_there_are_too_many),
		cmocka_unit_test(a_client_that_opens_and_leaves_all_day_costs_no_connection),
		cmocka_unit_test(waits_end_in_time_whatever_comes),
	};

	test_eal_start("tcp-time-wait");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
