/* SPDX-License-Identifier: BSD-3-Clause */
/* What TCP gives back, because another worker may own it, and the source ports it opens from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "net/rss.h"
#include "peer.h"
#include "tcp/header.h"

enum {
	SLICE_FIRST = 20000, /* peer.c's */
	SLICE = 8,
	SLICE_BEGIN = 3, /* where in it the search begins */
};

/* --- given back ------------------------------------------------------------------------------ */

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

	peer_init_open(&p);
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
	peer_hear_all(&p);
	peer_release(&p);
}

/* Its connection closes it; what follows in the same burst is of no connection any more. */
static void what_ends_a_connection_ends_the_trust_in_its_flow(void **state)
{
	struct net_segment burst[2];
	struct peer p;

	peer_init_open(&p);
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

/* --- source ports ---------------------------------------------------------------------------- */

static const uint8_t alternate[4] = {0, 1, 2, 3};

static struct net_rss *card(bool tcp4, bool tcp6)
{
	static struct net_rss rss;
	uint8_t key[NET_RSS_KEY6];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 89 + 51);
	assert_true(net_rss_init(&rss, key, sizeof(key), alternate, 4, tcp4, tcp6));
	return &rss;
}

/* Opens one more; the port it came from. */
static uint16_t opened_from(struct peer *p, uint16_t to)
{
	struct tcp_conn *c = tcp_connect(p->tcp, &p->flow.local, &p->flow.remote, to, &p->path);
	struct flow flow;

	assert_non_null(c);
	tcp_flow(p->tcp, c, &flow);
	assert_in_range(flow.local_port, SLICE_FIRST, SLICE_FIRST + SLICE - 1);
	return flow.local_port;
}

static bool comes_home(const struct peer *p, const struct net_rss *rss, uint16_t from, uint16_t to)
{
	struct flow flow = p->flow;

	flow.local_port = from;
	flow.remote_port = to;
	return net_rss_queue(rss, net_rss_hash(rss, &flow)) == 0;
}

/* Of eight ports about two; those first, then any. */
static void connections_open_from_ports_whose_answers_come_home(void **state)
{
	unsigned homes_seen = 0;

	for (unsigned v6 = 0; v6 < 2; v6++) {
		for (uint16_t to = 25; to < 45; to++) {
			const struct net_rss *rss = card(true, true);
			unsigned homes = 0, at_home = 0;
			struct peer p;

			peer_init(&p, &(struct peer_options){.v6 = v6});
			p.net.ports[0].rss = rss;
			for (uint16_t i = 0; i < SLICE; i++)
				homes += comes_home(&p, rss, SLICE_FIRST + i, to);
			for (unsigned i = 0; i < SLICE; i++) {
				uint16_t from = opened_from(&p, to);

				if (i < homes)
					assert_true(comes_home(&p, rss, from, to));
				at_home += comes_home(&p, rss, from, to);
			}
			assert_int_equal(at_home, homes);
			assert_null(tcp_connect(p.tcp, &p.flow.local, &p.flow.remote, to, &p.path));
			homes_seen += homes;
			peer_hear_all(&p);
			peer_release(&p);
		}
	}
	assert_in_range(homes_seen, 2 * 20 * SLICE / 8, 2 * 20 * SLICE / 2);
}

static void without_a_word_on_it_ports_are_taken_in_turn(void **state)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct peer p;

		peer_init(&p, &(struct peer_options){.v6 = v6});
		p.net.ports[0].rss = v6 ? card(true, false) : card(false, true);
		for (unsigned i = 0; i < SLICE; i++)
			assert_int_equal(opened_from(&p, 25),
					 SLICE_FIRST + (SLICE_BEGIN + i) % SLICE);
		peer_hear_all(&p);
		peer_release(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_on_trust_and_of_no_connection_is_given_back),
		cmocka_unit_test(what_ends_a_connection_ends_the_trust_in_its_flow),
		cmocka_unit_test(connections_open_from_ports_whose_answers_come_home),
		cmocka_unit_test(without_a_word_on_it_ports_are_taken_in_turn),
	};

	test_eal_start("tcp-steering");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
