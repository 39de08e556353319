/* SPDX-License-Identifier: BSD-3-Clause */
/* What TCP gives back, because another worker may own it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "peer.h"
#include "tcp/header.h"

static struct net_segment segment_from(struct peer *p, uint16_t port, uint8_t flags, bool on_trust)
{
	const struct tcp_header h = {.seq = 7, .ack = 9, .flags = flags, .window = 1000};
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->frames);
	struct net_segment s = {
		.m = m,
		.flow = p->flow,
		.on_trust = on_trust,
		.path = p->path,
		.tcp_len = TCP_HEADER_MIN,
		.header_len = TCP_HEADER_MIN,
	};

	assert_non_null(m);
	s.flow.remote_port = port;
	s.hash = net_hash(&p->net, &s.flow);
	tcp_header_write(&h, (uint8_t *)rte_pktmbuf_append(m, TCP_HEADER_MIN), port,
			 s.flow.local_port);
	return s;
}

static void what_is_on_trust_and_of_no_connection_is_given_back(void **state)
{
	enum { SYN_FROM = 1000, ACK_FROM, OURS_FROM, N = 5 };
	struct net_segment burst[N];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	burst[0] = segment_from(&p, SYN_FROM, TCP_SYN, true);
	burst[1] = segment_from(&p, p.flow.remote_port, TCP_ACK, true);
	burst[2] = segment_from(&p, OURS_FROM, TCP_SYN, false);
	burst[3] = segment_from(&p, ACK_FROM, TCP_ACK, true);
	burst[4] = segment_from(&p, OURS_FROM, TCP_SYN, true); /* again, known by now */
	p.counters = (struct postern_counters){0};
	assert_int_equal(tcp_input_take(p.tcp, burst, N, p.now_us), 2);
	assert_int_equal(burst[0].flow.remote_port, SYN_FROM);
	assert_int_equal(burst[1].flow.remote_port, ACK_FROM);
	assert_int_equal(p.counters.tcp_segments_in, 3);
	assert_int_equal(p.counters.tcp_passive_opens, 1);
	assert_int_equal(p.counters.tcp_no_connection, 0);
	assert_int_equal(p.counters.tcp_resets_out, 0);

	/* It is ours after all. */
	burst[0].on_trust = burst[1].on_trust = false;
	assert_int_equal(tcp_input_take(p.tcp, burst, 2, p.now_us), 0);
	assert_int_equal(p.counters.tcp_segments_in, 5);
	assert_int_equal(p.counters.tcp_passive_opens, 2);
	assert_int_equal(p.counters.tcp_no_connection, 1);
	assert_int_equal(p.counters.tcp_resets_out, 1);
	assert_int_equal(tcp_conns(p.tcp), 3);
	while (peer_hear(&p))
		;
	peer_release(&p);
}

/* Its connection closes it; what follows in the same burst is of no connection any more. */
static void what_ends_a_connection_ends_the_trust_in_its_flow(void **state)
{
	struct net_segment burst[2];
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_open(&p);
	burst[0] = segment_from(&p, p.flow.remote_port, TCP_RST, true);
	burst[1] = segment_from(&p, p.flow.remote_port, TCP_ACK, true);
	tcp_header_write(&(struct tcp_header){.seq = p.seq, .flags = TCP_RST},
			 rte_pktmbuf_mtod(burst[0].m, uint8_t *), p.flow.remote_port,
			 p.flow.local_port);
	assert_int_equal(tcp_input_take(p.tcp, burst, 2, p.now_us), 1);
	assert_int_equal(p.counters.tcp_resets_in, 1);
	rte_pktmbuf_free(burst[0].m);
	peer_owner(&p);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_on_trust_and_of_no_connection_is_given_back),
		cmocka_unit_test(what_ends_a_connection_ends_the_trust_in_its_flow),
	};

	test_eal_start("tcp-steering");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
