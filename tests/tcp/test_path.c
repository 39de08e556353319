/* SPDX-License-Identifier: BSD-3-Clause */
/* The path's MTU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"

static void a_path_that_is_too_narrow_gets_smaller_segments(void **state)
{
	struct net_segment error;
	struct peer p;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	error = (struct net_segment){
		.flow = p.flow,
		.hash = net_hash(&p.net, &p.flow),
		.error = NET_ERROR_TOO_BIG,
		.error_mtu = 700,
		.error_seq = p.got.seq + 5000,
	};
	tcp_error(p.tcp, &error, p.now_us); /* of nothing in flight: not believed */
	peer_expect_silence(&p);
	error.error_seq = p.got.seq;
	tcp_error(p.tcp, &error, p.now_us);
	peer_expect(&p, TCP_ACK, 660);
	peer_expect(&p, TCP_ACK, 340);
	peer_release(&p);
}

/* What a router says of the segment at seq. */
static void too_big(struct peer *p, uint32_t seq, uint16_t mtu)
{
	const struct net_segment error = {
		.flow = p->flow,
		.hash = net_hash(&p->net, &p->flow),
		.error = NET_ERROR_TOO_BIG,
		.error_mtu = mtu,
		.error_seq = seq,
	};

	tcp_error(p->tcp, &error, p->now_us);
}

static void a_flood_of_errors_costs_little_and_hides_none_for_long(void **state)
{
	struct peer p;
	uint32_t seq;

	peer_init_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 1000);
	peer_expect(&p, TCP_ACK, 1000);
	seq = p.got.seq;
	for (unsigned i = 0; i < 10000; i++)
		too_big(&p, seq + 5000, 700);
	assert_in_range(p.counters.tcp_errors_shed, 8500, 9500);
	too_big(&p, seq, 700);
	peer_expect_silence(&p);
	p.now_us += 100000;
	too_big(&p, seq, 700);
	peer_expect(&p, TCP_ACK, 660);
	peer_release(&p);
}

static void no_error_makes_segments_smaller_than_any_path_needs(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){.v6 = v6});
		p.mss = 1440;
		peer_open(&p);
		tcp_send(p.tcp, p.conn, pattern, 1440);
		peer_expect(&p, TCP_ACK, 1440);
		too_big(&p, p.got.seq, 0); /* of a router that tells none */
		peer_expect(&p, TCP_ACK, v6 ? 1220 : 536);
		peer_hear_all(&p);
		too_big(&p, p.got.seq, 68);
		peer_expect_silence(&p);
		peer_release(&p);
	}
}

/* --- a router that gives way to another --------------------------------------------------------
 */

static const struct net_path other_way = {.mac = {2, 0, 0, 0, 0, 9}, .n_vlans = 1, .vlan = {7}};

static void a_client_is_answered_by_the_router_it_comes_by_now(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	p.path = p.way = other_way;
	peer_send(&p, TCP_ACK, hello, HELLO);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_release(&p);
}

static void what_is_no_acceptable_segment_moves_no_path(void **state)
{
	struct net_path first;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.ts = true;
	p.ts_value = 1000;
	peer_open(&p);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_send(&p, TCP_ACK, NULL, 0);
	first = p.path;
	p.path = other_way;
	peer_send_at(&p, TCP_ACK, p.seq + 100000, p.ack, hello, HELLO); /* beyond the window */
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack + 1, hello, HELLO); /* of what was never sent */
	peer_expect(&p, TCP_ACK, 0);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack - HELLO, NULL, 0); /* of less than before */
	peer_wait_ms(&p, 1000);
	peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_wait_ms(&p, 1000);
	p.ts_value = 1;
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	p.path = first;
	p.ts_value = 2000;
	peer_send(&p, TCP_ACK, hello, HELLO);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

static void another_interface_gets_no_larger_segments_than_it_takes(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.net.ports[1] = (struct net_port){.mac = {2, 0, 0, 0, 0, 3}, .mtu = 900};
	p.net.n_ports = 2;
	peer_open(&p);
	p.path = p.way = (struct net_path){.mac = {2, 0, 0, 0, 0, 9}, .port = 1};
	peer_send(&p, TCP_ACK, hello, HELLO);
	tcp_send(p.tcp, p.conn, pattern, 1000);
	peer_expect(&p, TCP_ACK, 860);
	peer_expect(&p, TCP_ACK, 140);
	peer_release(&p);
}

static void whom_we_opened_to_does_not_choose_the_path(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_actively(&p);
	p.path = other_way;
	peer_send(&p, TCP_ACK, hello, HELLO);
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	peer_release(&p);
}

static void a_server_that_does_not_answer_is_sought_by_the_routes_of_now(void **state)
{
	struct routes *routes = routes_new(1, 1);
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open_actively(&p);
	routes->n_routes = routes->n_neighbours = 1;
	routes->routes[0] = (struct route){.prefix = p.flow.remote, .prefix_len = 128};
	routes->routes[0].on_link = true;
	routes->neighbours[0] = (struct neighbour){p.flow.remote, {2, 0, 0, 0, 0, 9}, 0};
	tcp_send(p.tcp, p.conn, hello, HELLO);
	peer_expect(&p, TCP_ACK, HELLO);
	p.ack -= HELLO;
	peer_wait_ms(&p, 300); /* no route is known, so the path stays */
	peer_expect(&p, TCP_ACK, HELLO);
	p.ack -= HELLO;
	p.net.routes = routes;
	peer_wait_ms(&p, 1000);
	memcpy(p.way.mac, routes->neighbours[0].mac, sizeof(p.way.mac));
	peer_expect(&p, TCP_ACK, HELLO);
	peer_release(&p);
	routes_free(routes);
}

/* --- black holes -------------------------------------------------------------------------------
 */

/* A path that swallows what is larger than mtu and says nothing; the peer acknowledges what it
 * takes, and what it cannot take. Returns the largest segment that passed. */
static uint32_t send_through(struct peer *p, uint32_t mtu, uint32_t octets)
{
	uint32_t ip = ip_addr_is_v4(&p->flow.remote) ? 20 : 40;
	uint32_t first = p->ack, largest = 0;

	assert_int_equal(tcp_send(p->tcp, p->conn, pattern, octets), octets);
	for (unsigned ms = 0; ms < 60000 && p->conn && tcp_unacknowledged(p->conn); ms += 10) {
		while (peer_hear(p)) {
			if (ip + tcp_header_len(&p->got) + p->got_len > mtu)
				continue;
			if (p->got_len && p->got.seq == p->ack) {
				assert_memory_equal(p->got_payload, pattern + (p->ack - first),
						    p->got_len);
				p->ack += p->got_len;
				largest = p->got_len > largest ? p->got_len : largest;
			}
			peer_send(p, TCP_ACK, NULL, 0);
		}
		peer_wait_ms(p, 10);
	}
	assert_non_null(p->conn);
	assert_int_equal(p->ack - first, octets);
	return largest;
}

static void a_path_that_swallows_large_segments_gets_smaller_ones(void **state)
{
	/* Two timeouts, and two more: 200, 400, 800 and 1600 ms. */
	static const uint32_t patience_ms[] = {0, 600, 3000};
	static const struct {
		bool v6, ts;
		uint16_t mtu;
		uint32_t sent;
		unsigned holes;
	} cases[] = {
		{false, false, 1500, 1460, 0}, {false, false, 1499, 1220, 1},
		{false, true, 1400, 1208, 1},  {false, false, 1260, 1220, 1},
		{false, false, 1259, 536, 2},  {false, true, 576, 524, 2},
		{true, false, 1500, 1440, 0},  {true, false, 1480, 1220, 1},
		{true, true, 1280, 1208, 1},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t begin_us;
		struct peer p;

		peer_init(&p, &(struct peer_options){.v6 = cases[i].v6});
		p.mss = 1460;
		p.ts = cases[i].ts;
		p.ts_value = 1;
		peer_open(&p);
		begin_us = p.now_us;
		assert_int_equal(send_through(&p, cases[i].mtu, cases[i].sent * 20), cases[i].sent);
		assert_int_equal(p.counters.tcp_black_holes, cases[i].holes);
		assert_in_range((p.now_us - begin_us) / 1000, 0, patience_ms[cases[i].holes] + 300);
		/* What was learnt is remembered. */
		begin_us = p.now_us;
		send_through(&p, cases[i].mtu, cases[i].sent * 20);
		assert_int_equal(p.counters.tcp_black_holes, cases[i].holes);
		assert_in_range((p.now_us - begin_us) / 1000, 0, 300);
		peer_release(&p);
	}
}

static void a_path_that_swallows_everything_is_no_narrow_one(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.mss = 1460;
	peer_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 5000);
	peer_wait_for_end(&p, 100, false);
	assert_true(p.counters.tcp_rto >= 6);
	assert_int_equal(p.counters.tcp_black_holes, 0);
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_wait_ms(&p, 60000);
	peer_expect(&p, TCP_ACK, 0);
	peer_expect(&p, TCP_ACK, 1460);
	peer_release(&p);
}

static void a_segment_that_fits_most_paths_is_cut_after_four_timeouts(void **state)
{
	for (unsigned mss = PEER_MSS; mss <= 1460; mss += 1460 - PEER_MSS) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		p.mss = (uint16_t)mss;
		peer_open(&p);
		assert_int_equal(send_through(&p, 576, PEER_MSS), 536);
		assert_int_equal(p.counters.tcp_black_holes, 1);
		assert_int_equal(p.counters.tcp_rto, 4);
		peer_release(&p);
	}
}

static void a_small_segment_lost_twice_makes_none_smaller(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.mss = 1460;
	peer_open(&p);
	tcp_send(p.tcp, p.conn, pattern, 536);
	peer_expect(&p, TCP_ACK, 536);
	p.ack -= 536;
	for (unsigned i = 0; i < 5; i++) {
		peer_wait_ms(&p, 250u << i);
		peer_expect(&p, TCP_ACK, 536);
		p.ack -= 536;
		peer_send(&p, TCP_ACK, NULL, 0);
	}
	assert_int_equal(p.counters.tcp_black_holes, 0);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_that_is_too_narrow_gets_smaller_segments),
		cmocka_unit_test(a_flood_of_errors_costs_little_and_hides_none_for_long),
		cmocka_unit_test(no_error_makes_segments_smaller_than_any_path_needs),
		cmocka_unit_test(a_client_is_answered_by_the_router_it_comes_by_now),
		cmocka_unit_test(what_is_no_acceptable_segment_moves_no_path),
		cmocka_unit_test(another_interface_gets_no_larger_segments_than_it_takes),
		cmocka_unit_test(whom_we_opened_to_does_not_choose_the_path),
		cmocka_unit_test(a_server_that_does_not_answer_is_sought_by_the_routes_of_now),
		cmocka_unit_test(a_path_that_swallows_large_segments_gets_smaller_ones),
		cmocka_unit_test(a_path_that_swallows_everything_is_no_narrow_one),
		cmocka_unit_test(a_segment_that_fits_most_paths_is_cut_after_four_timeouts),
		cmocka_unit_test(a_small_segment_lost_twice_makes_none_smaller),
	};

	test_eal_start("tcp-path");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
