/* SPDX-License-Identifier: BSD-3-Clause */
/* What one client may have, half-open and open; and that all of it is given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"
#include "tcp/clients.h"

enum { HALF_OPEN = 3, OPEN = 4, CONNS = 64 };

static struct clients *clients;

static void init(struct peer *p, const struct peer_options *options)
{
	const struct clients_config config = {
		.conns = CONNS,
		.limits = {[CLIENTS_HALF_OPEN] = HALF_OPEN, [CLIENTS_OPEN] = OPEN},
		.key = {7, 8},
	};
	struct peer_options o = *options;

	clients = clients_new(&config);
	assert_non_null(clients);
	o.conns = CONNS;
	o.clients = clients;
	o.client_half_open = HALF_OPEN;
	o.client_conns = OPEN;
	peer_init(p, &o);
}

/* What is open or half-open when the worker ends is given back, too. */
static void release(struct peer *p)
{
	peer_release(p);
	assert_int_equal(clients_sum(clients, CLIENTS_HALF_OPEN), 0);
	assert_int_equal(clients_sum(clients, CLIENTS_OPEN), 0);
	clients_free(clients);
}

static void assert_counted(const struct peer *p, uint32_t half_open, uint32_t open)
{
	assert_int_equal(clients_count(clients, CLIENTS_HALF_OPEN, &p->flow.remote), half_open);
	assert_int_equal(clients_count(clients, CLIENTS_OPEN, &p->flow.remote), open);
}

/* The client's next handshake, of which the last segment does not come. */
static void half_open_another(struct peer *p)
{
	p->flow.remote_port++;
	peer_half_open(p);
}

/* The client's next connection. */
static void open_another(struct peer *p)
{
	p->flow.remote_port++;
	peer_open(p);
}

static void be_another_client(struct peer *p)
{
	p->flow.remote.octets[13]++;
}

/* --- half-open ---------------------------------------------------------------------------------
 */

static void handshakes_of_one_client_are_kept_up_to_its_limit(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct peer p;

		init(&p, &(struct peer_options){.v6 = v6});
		for (uint32_t i = 0; i < 2 * HALF_OPEN; i++) {
			p.flow.remote.octets[15] = (uint8_t)(v6 ? i : 7); /* all of one /64 */
			half_open_another(&p);
		}
		assert_int_equal(tcp_conns(p.tcp), HALF_OPEN);
		assert_counted(&p, HALF_OPEN, 0);
		assert_int_equal(p.counters.tcp_client_half_open, HALF_OPEN);
		assert_int_equal(p.counters.tcp_cookies_sent, HALF_OPEN);
		assert_int_equal(p.counters.tcp_syn_full, 0);
		release(&p);
	}
}

static void another_client_is_not_hindered(void **state)
{
	struct peer p;

	init(&p, &(struct peer_options){0});
	for (uint32_t i = 0; i <= HALF_OPEN; i++)
		half_open_another(&p);
	assert_int_equal(p.counters.tcp_cookies_sent, 1);
	be_another_client(&p);
	peer_open(&p);
	assert_false(tcp_is_by_cookie(p.conn));
	assert_int_equal(p.counters.tcp_cookies_sent, 1);
	release(&p);
}

static void a_cookie_beyond_the_limit_opens_and_counts(void **state)
{
	struct peer p;

	init(&p, &(struct peer_options){0});
	for (uint32_t i = 0; i < HALF_OPEN; i++)
		half_open_another(&p);
	open_another(&p);
	assert_true(tcp_is_by_cookie(p.conn));
	assert_false(tcp_is_over_limit(p.conn));
	assert_counted(&p, HALF_OPEN, 1);
	release(&p);
}

static void a_handshake_that_ends_makes_room_for_another(void **state)
{
	struct peer p;

	init(&p, &(struct peer_options){0});
	for (uint32_t i = 0; i < 4 * HALF_OPEN; i++) {
		half_open_another(&p);
		assert_counted(&p, 1, 0);
		peer_send(&p, TCP_RST, NULL, 0);
		assert_counted(&p, 0, 0);
	}
	/* One that is given up, too. */
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_wait_for_end(&p, 100, false);
	assert_int_equal(p.counters.tcp_timeouts, 1);
	assert_counted(&p, 0, 0);
	assert_int_equal(p.counters.tcp_cookies_sent, 0);
	release(&p);
}

/* --- open --------------------------------------------------------------------------------------
 */

static void beyond_its_limit_a_client_is_told_and_beyond_twice_refused(void **state)
{
	struct tcp_conn *first = NULL;
	struct peer p;

	init(&p, &(struct peer_options){0});
	for (uint32_t i = 0; i < 2 * OPEN; i++) {
		open_another(&p);
		if (i == 0)
			first = p.conn;
		assert_int_equal(tcp_is_over_limit(p.conn), i >= OPEN);
		assert_counted(&p, 0, i + 1);
	}
	assert_int_equal(p.counters.tcp_client_over, OPEN);
	p.flow.remote_port++;
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.counters.tcp_client_refused, 1);
	assert_counted(&p, 0, 2 * OPEN);
	/* Others are not, and one that ends makes room. */
	be_another_client(&p);
	open_another(&p);
	assert_false(tcp_is_over_limit(p.conn));
	p.flow.remote.octets[13]--;
	tcp_abort(p.tcp, first);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	open_another(&p);
	assert_true(tcp_is_over_limit(p.conn));
	release(&p);
}

static void refusals_have_the_budget_of_resets(void **state)
{
	unsigned resets = 0;
	struct peer p;

	init(&p, &(struct peer_options){0});
	for (uint32_t i = 0; i < 2 * OPEN; i++)
		open_another(&p);
	for (unsigned i = 0; i < 1000; i++) {
		p.flow.remote_port++;
		peer_send(&p, TCP_SYN, NULL, 0);
		resets += peer_hear(&p);
	}
	assert_int_equal(p.counters.tcp_client_refused, 1000);
	assert_in_range(resets, 50, 200);
	assert_int_equal(peer_conns(&p), 2 * OPEN);
	release(&p);
}

static void a_cookie_of_a_client_with_twice_too_many_is_refused(void **state)
{
	struct peer p, late;

	init(&p, &(struct peer_options){0});
	for (uint32_t i = 0; i < HALF_OPEN; i++)
		half_open_another(&p);
	half_open_another(&p);
	late = p;
	for (uint32_t i = 0; i < 2 * OPEN; i++)
		open_another(&p); /* by cookies */
	p.flow = late.flow;
	peer_send_at(&p, TCP_ACK, late.seq, late.got.seq + 1, NULL, 0);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.counters.tcp_client_refused, 1);
	assert_counted(&p, HALF_OPEN, 2 * OPEN);
	release(&p);
}

static void what_we_open_ourselves_is_nobodys(void **state)
{
	struct peer p;

	init(&p, &(struct peer_options){0});
	for (uint32_t i = 0; i < OPEN + 1; i++) {
		p.flow.local_port = SERVICE_PORT;
		peer_open_actively(&p);
		assert_false(tcp_is_over_limit(p.conn));
	}
	assert_counted(&p, 0, 0);
	release(&p);
}

static void every_end_gives_back(void **state)
{
	struct peer p;

	init(&p, &(struct peer_options){.idle_timeout_ms = 60000});
	/* The peer's RST. */
	open_another(&p);
	peer_send(&p, TCP_RST, NULL, 0);
	assert_counted(&p, 0, 0);
	/* Ours. */
	open_another(&p);
	tcp_abort(p.tcp, p.conn);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_counted(&p, 0, 0);
	/* In order, we first: what waits is no connection. */
	open_another(&p);
	peer_part(&p);
	assert_counted(&p, 0, 0);
	/* In order, the peer first. */
	open_another(&p);
	peer_send(&p, TCP_ACK | TCP_FIN, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	tcp_shutdown(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	assert_counted(&p, 0, 1);
	peer_send(&p, TCP_ACK, NULL, 0);
	assert_counted(&p, 0, 0);
	/* Without an owner: not until it is over. */
	open_another(&p);
	tcp_close(p.tcp, p.conn);
	peer_expect(&p, TCP_ACK | TCP_FIN, 0);
	assert_counted(&p, 0, 1);
	peer_send(&p, TCP_ACK, NULL, 0);
	peer_wait_ms(&p, 21000);
	assert_counted(&p, 0, 0);
	/* Idle for too long. */
	open_another(&p);
	peer_wait_ms(&p, 61000);
	assert_int_equal(p.end, TCP_END_IDLE);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_counted(&p, 0, 0);
	release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshakes_of_one_client_are_kept_up_to_its_limit),
		cmocka_unit_test(another_client_is_not_hindered),
		cmocka_unit_test(a_cookie_beyond_the_limit_opens_and_counts),
		cmocka_unit_test(a_handshake_that_ends_makes_room_for_another),
		cmocka_unit_test(beyond_its_limit_a_client_is_told_and_beyond_twice_refused),
		cmocka_unit_test(refusals_have_the_budget_of_resets),
		cmocka_unit_test(a_cookie_of_a_client_with_twice_too_many_is_refused),
		cmocka_unit_test(what_we_open_ourselves_is_nobodys),
		cmocka_unit_test(every_end_gives_back),
	};

	test_eal_start("tcp-limits");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
