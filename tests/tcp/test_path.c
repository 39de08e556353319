/* SPDX-License-Identifier: BSD-3-Clause */
/* The path's MTU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"

static void a_path_that_is_too_narrow_gets_smaller_segments(void **state)
{
	struct net_segment error;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
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

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
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
		while (peer_hear(&p))
			;
		too_big(&p, p.got.seq, 68);
		peer_expect_silence(&p);
		peer_release(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_that_is_too_narrow_gets_smaller_segments),
		cmocka_unit_test(a_flood_of_errors_costs_little_and_hides_none_for_long),
		cmocka_unit_test(no_error_makes_segments_smaller_than_any_path_needs),
	};

	test_eal_start("tcp-path");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
