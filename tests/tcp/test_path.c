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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_that_is_too_narrow_gets_smaller_segments),
	};

	test_eal_start("tcp-path");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
