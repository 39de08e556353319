/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The worker's turn: whose frame it is, where an answer leaves, what control is asked.
 *
 * Thread: one. Time: virtual. Memory: every test ends with its pools full again.
 * Rules: none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/eal.h"
#include "host.h"
#include "worker/steering.h"

enum {
	HEADERS = 54,
	FLAGS_AT = 47,
	SYN = 0x02,
	RST = 0x04,
	ACK = 0x10,
	SYN_ACK = SYN | ACK,
};

/* --- services -------------------------------------------------------------------------------- */

static void *idle_start(struct worker *w, void *config)
{
	return w;
}

static void nothing_run(void *state, struct tcp_conn *conn, unsigned news, uint64_t now_us)
{
}

static void nothing_stop(void *state)
{
}

static const struct worker_service idle_service = {
	.name = "idle",
	.start = idle_start,
	.run = nothing_run,
	.stop = nothing_stop,
};

/* Asks for as many connections as it is told, a turn. */
struct asker {
	struct ip_addr to;
	unsigned times;
	enum worker_connect last;
	struct worker *worker;
};

static void *asker_start(struct worker *w, void *config)
{
	struct asker *a = config;

	a->worker = w;
	return a;
}

static uint64_t asker_turn(void *state, uint64_t now_us)
{
	struct asker *a = state;
	struct tcp_conn *conn;

	for (unsigned i = 0; i < a->times; i++)
		a->last = worker_connect(a->worker, &a->to, HOST_LISTEN, &conn);
	return UINT64_MAX;
}

static const struct worker_service asker_service = {
	.name = "asker",
	.start = asker_start,
	.run = nothing_run,
	.turn = asker_turn,
	.stop = nothing_stop,
};

/* Cannot start on the second worker. */
struct starts {
	unsigned n, stopped;
};

static void *second_fails_start(struct worker *w, void *config)
{
	struct starts *s = config;

	return s->n++ == 0 ? s : NULL;
}

static void count_stop(void *state)
{
	struct starts *s = state;

	s->stopped++;
}

static const struct worker_service second_fails = {
	.name = "second fails",
	.start = second_fails_start,
	.run = nothing_run,
	.stop = count_stop,
};

/* --- frames ---------------------------------------------------------------------------------- */

static void misdirected_syn_is_answered_by_its_owner(void **state)
{
	uint8_t frame[HEADERS];
	struct host h;

	assert_true(host_new(&h, 2, 1, 1, &idle_service, NULL));
	host_push_syn(&h, 0, 0, 40000);
	assert_int_equal(host_turn(&h, 0), 1);
	assert_false(host_pop(&h, 0, 0, frame, HEADERS));
	assert_int_equal(host_turn(&h, 1), 2);
	assert_false(host_pop(&h, 0, 0, frame, HEADERS));
	assert_true(host_pop(&h, 0, 1, frame, HEADERS));
	assert_int_equal(frame[FLAGS_AT], SYN_ACK);
	assert_int_equal(h.counters[0].handover_out, 1);
	assert_int_equal(h.counters[0].tcp_segments_in, 0);
	assert_int_equal(h.counters[1].handover_in, 1);
	assert_int_equal(h.counters[1].tcp_segments_in, 1);
	assert_int_equal(tcp_conns(worker_tcp(h.workers[0])), 0);
	assert_int_equal(tcp_conns(worker_tcp(h.workers[1])), 1);
	host_free(&h);
}

/* Also when it was handed over, as a copy from another interface's pool. */
static void answer_leaves_by_the_interface_its_question_came_by(void **state)
{
	uint8_t frame[HEADERS];
	struct host h;

	assert_true(host_new(&h, 2, 3, 0, &idle_service, NULL));
	for (uint32_t port = 0; port < 3; port++)
		for (uint16_t queue = 0; queue < 2; queue++)
			host_push_syn(&h, port, queue, (uint16_t)(40000 + queue));
	host_turn(&h, 1);
	host_turn(&h, 0);
	for (uint32_t port = 0; port < 3; port++) {
		for (int i = 0; i < 2; i++) {
			assert_true(host_pop(&h, port, 0, frame, HEADERS));
			assert_int_equal(frame[FLAGS_AT], SYN_ACK);
			assert_int_equal(frame[5], port);
			assert_int_equal(frame[6 + 5], port);
			assert_int_equal(frame[27], port);
		}
		assert_false(host_pop(&h, port, 0, frame, HEADERS));
		assert_false(host_pop(&h, port, 1, frame, HEADERS));
	}
	host_free(&h);
}

/* Each turn of a worker with three interfaces may hand over three bursts, so the owner must take
 * as many in one of its own. */
static void owner_keeps_up_with_what_a_worker_of_several_interfaces_hands_over(void **state)
{
	enum { PORTS = 3, TURNS = 2 * HANDOVER_RING / PORT_BURST };
	uint8_t frame[HEADERS];
	struct host h;

	assert_true(host_new(&h, 2, PORTS, 0, &idle_service, NULL));
	for (unsigned turn = 0; turn < TURNS; turn++) {
		for (uint32_t port = 0; port < PORTS; port++)
			for (unsigned i = 0; i < PORT_BURST; i++)
				host_push_syn(&h, port, 1, (uint16_t)(1024 + turn % 8 * 32 + i));
		host_turn(&h, 1);
		host_turn(&h, 0);
		for (uint32_t port = 0; port < PORTS; port++)
			while (host_pop(&h, port, 0, frame, HEADERS))
				;
	}
	assert_int_equal(h.counters[1].handover_full, 0);
	assert_int_equal(h.counters[0].handover_in, (uint64_t)PORTS * TURNS * PORT_BURST);
	host_free(&h);
}

static void frames_on_their_way_to_another_worker_are_freed_at_the_end(void **state)
{
	struct host h;

	assert_true(host_new(&h, 2, 2, 1, &idle_service, NULL));
	for (unsigned i = 0; i < PORT_BURST; i++)
		host_push_syn(&h, i % 2, 0, (uint16_t)(40000 + i));
	assert_int_equal(host_turn(&h, 0), PORT_BURST);
	assert_int_equal(h.counters[0].handover_out, PORT_BURST);
	host_free(&h);
}

/* --- a card that says where it puts what ------------------------------------------------------ */

static struct port_rss two_queues(void)
{
	struct port_rss rss = {
		.tcp4 = true,
		.key_len = 40,
		.table_len = 2,
		.table = {0, 1},
	};

	for (unsigned i = 0; i < rss.key_len; i++)
		rss.key[i] = (uint8_t)(i * 37 + 51);
	return rss;
}

/* The next client whose flow is this worker's. */
static uint16_t client_of(const struct host *h, uint16_t owner, uint16_t *next)
{
	while (host_owner(h, *next) != owner)
		(*next)++;
	return (*next)++;
}

/* A worker to whom so many clients came, each where the card said. */
static void believing_host(struct host *h, uint16_t *next)
{
	const struct port_rss says = two_queues();
	uint8_t frame[HEADERS];

	assert_true(host_new_by_rss(h, 2, &says, &idle_service, NULL));
	for (unsigned i = 0; i < STEERING_PROOF; i++) {
		host_push_syn(h, 0, 0, client_of(h, 0, next));
		host_turn(h, 0);
		assert_true(host_pop(h, 0, 0, frame, HEADERS));
		assert_int_equal(frame[FLAGS_AT], SYN_ACK);
	}
	assert_int_equal(h->counters[0].steering_agreed, STEERING_PROOF);
	assert_int_equal(h->counters[0].handover_out, 0);
}

static void a_believed_card_saves_the_computing(void **state)
{
	uint16_t next = 1024, first = 1024;
	struct host h;

	believing_host(&h, &next);
	first = client_of(&h, 0, &first);
	host_push_segment(&h, 0, 0, first, ACK);
	host_turn(&h, 0);
	assert_int_equal(h.counters[0].steering_agreed, STEERING_PROOF);
	assert_int_equal(h.counters[0].tcp_segments_in, STEERING_PROOF + 1);
	/* But what is of no connection is looked at, and refused where it is ours. */
	host_push_segment(&h, 0, 0, client_of(&h, 0, &next), ACK);
	host_turn(&h, 0);
	assert_int_equal(h.counters[0].steering_agreed, STEERING_PROOF + 1);
	assert_int_equal(h.counters[0].tcp_resets_out, 1);
	assert_int_equal(h.counters[0].handover_out, 0);
	host_free(&h);
}

/* Its table was changed: what was the other worker's comes here, in one burst with what is ours. */
static void a_believed_cards_mistake_is_neither_opened_nor_refused(void **state)
{
	uint16_t next = 1024, stray, syn, known = 1024;
	uint8_t frame[HEADERS];
	struct host h;

	believing_host(&h, &next);
	known = client_of(&h, 0, &known);
	stray = client_of(&h, 1, &next);
	syn = client_of(&h, 1, &next);
	host_push_segment(&h, 0, 0, stray, ACK);
	host_push_segment(&h, 0, 0, known, SYN);
	host_push_segment(&h, 0, 0, syn, SYN);
	host_push_segment(&h, 0, 0, client_of(&h, 0, &next), SYN);
	host_turn(&h, 0);
	assert_true(host_pop(&h, 0, 0, frame, HEADERS));
	assert_int_equal(frame[FLAGS_AT], SYN_ACK);
	assert_true(host_pop(&h, 0, 0, frame, HEADERS));
	assert_int_equal(frame[FLAGS_AT], SYN_ACK);
	assert_false(host_pop(&h, 0, 0, frame, HEADERS));
	assert_int_equal(h.counters[0].handover_out, 2);
	assert_int_equal(h.counters[0].steering_disagreed, 2);
	assert_int_equal(h.counters[0].tcp_segments_in, STEERING_PROOF + 2);
	assert_int_equal(h.counters[0].tcp_no_connection, 0);

	/* In the order they came. */
	host_turn(&h, 1);
	assert_true(host_pop(&h, 0, 1, frame, HEADERS));
	assert_int_equal(frame[FLAGS_AT], RST);
	assert_true(host_pop(&h, 0, 1, frame, HEADERS));
	assert_int_equal(frame[FLAGS_AT], SYN_ACK);
	assert_int_equal(tcp_conns(worker_tcp(h.workers[1])), 1);
	/* It is not believed any longer. */
	host_push_segment(&h, 0, 0, known, SYN);
	host_turn(&h, 0);
	assert_int_equal(h.counters[0].steering_agreed, STEERING_PROOF + 2);
	assert_true(host_pop(&h, 0, 0, frame, HEADERS));
	host_free(&h);
}

/* --- opening --------------------------------------------------------------------------------- */

static struct routes *default_by_gateway(uint8_t last, bool resolved)
{
	const uint8_t any[4] = {0}, gateway[4] = {10, 1, 0, last};
	struct routes *r = routes_new(1, 1);

	assert_non_null(r);
	r->routes[r->n_routes++] = (struct route){
		.prefix = ip_addr_from_v4(any),
		.prefix_len = 96,
		.gateway = ip_addr_from_v4(gateway),
		.port = 1,
	};
	if (resolved)
		r->neighbours[r->n_neighbours++] = (struct neighbour){
			.address = ip_addr_from_v4(gateway), .mac = {2, 9}, .port = 1};
	return r;
}

static void unresolved_next_hops_reach_control_up_to_a_bound(void **state)
{
	const uint8_t far[4] = {192, 0, 2, 1}, gateway[4] = {10, 1, 0, 9};
	const struct ip_addr next_hop = ip_addr_from_v4(gateway);
	struct asker asker = {.to = ip_addr_from_v4(far), .times = 1};
	struct worker_unresolved u;
	struct host h;
	unsigned asked = 0;

	assert_true(host_new(&h, 1, 2, 0, &asker_service, &asker));
	host_turn(&h, 0);
	assert_int_equal(asker.last, WORKER_NO_ROUTE);
	assert_false(worker_next_unresolved(h.workers[0], &u));
	h.published = h.routes = default_by_gateway(9, false);
	for (int round = 0; round < 3; round++) {
		asker.times = 1000;
		host_turn(&h, 0);
		assert_int_equal(asker.last, WORKER_UNRESOLVED);
		for (asked = 0; worker_next_unresolved(h.workers[0], &u); asked++) {
			assert_true(ip_addr_equal(&u.next_hop, &next_hop));
			assert_int_equal(u.port, 1);
		}
		assert_in_range(asked, 1, 64);
	}
	host_free(&h);
}

static void published_routes_take_effect_in_the_next_turn(void **state)
{
	const uint8_t far[4] = {192, 0, 2, 1};
	struct asker asker = {.to = ip_addr_from_v4(far), .times = 1};
	uint8_t frame[HEADERS];
	struct routes *resolved = default_by_gateway(9, true);
	struct host h;

	assert_true(host_new(&h, 1, 2, 0, &asker_service, &asker));
	h.published = h.routes = default_by_gateway(9, false);
	host_turn(&h, 0);
	assert_int_equal(asker.last, WORKER_UNRESOLVED);
	h.published = resolved;
	routes_free(h.routes); /* no turn holds on to it */
	h.routes = resolved;
	assert_int_equal(host_turn(&h, 0), 1);
	assert_int_equal(asker.last, WORKER_CONNECTING);
	assert_true(host_pop(&h, 1, 0, frame, HEADERS));
	assert_int_equal(frame[1], 9);
	assert_int_equal(frame[27], 1);
	host_free(&h);
}

/* The kernel sees none of our frames; one that is in use has to be told of, but not for every
 * connection. */
static void next_hop_in_use_is_confirmed_now_and_then(void **state)
{
	const uint8_t far[4] = {192, 0, 2, 1}, gateway[4] = {10, 1, 0, 9};
	const struct ip_addr next_hop = ip_addr_from_v4(gateway);
	struct asker asker = {.to = ip_addr_from_v4(far), .times = 3};
	struct worker_unresolved u;
	uint8_t frame[HEADERS];
	unsigned confirmed = 0;
	struct host h;

	assert_true(host_new(&h, 1, 2, 0, &asker_service, &asker));
	h.published = h.routes = default_by_gateway(9, true);
	for (int i = 0; i < 100; i++) {
		h.now_us += 10000;
		host_turn(&h, 0);
		assert_int_equal(asker.last, WORKER_CONNECTING);
		for (; worker_next_unresolved(h.workers[0], &u); confirmed++) {
			assert_true(ip_addr_equal(&u.next_hop, &next_hop));
			assert_int_equal(u.port, 1);
		}
		while (host_pop(&h, 1, 0, frame, HEADERS))
			;
	}
	assert_in_range(confirmed, 5, 10);
	host_free(&h);
}

/* --- life ------------------------------------------------------------------------------------ */

static void service_that_does_not_start_leaves_nothing_behind(void **state)
{
	struct starts starts = {0};
	struct host h;

	assert_false(host_new(&h, 2, 1, 0, &second_fails, &starts));
	assert_int_equal(starts.n, 2);
	host_free(&h);
	assert_int_equal(starts.stopped, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(misdirected_syn_is_answered_by_its_owner),
		cmocka_unit_test(answer_leaves_by_the_interface_its_question_came_by),
		cmocka_unit_test(
			owner_keeps_up_with_what_a_worker_of_several_interfaces_hands_over),
		cmocka_unit_test(frames_on_their_way_to_another_worker_are_freed_at_the_end),
		cmocka_unit_test(a_believed_card_saves_the_computing),
		cmocka_unit_test(a_believed_cards_mistake_is_neither_opened_nor_refused),
		cmocka_unit_test(unresolved_next_hops_reach_control_up_to_a_bound),
		cmocka_unit_test(published_routes_take_effect_in_the_next_turn),
		cmocka_unit_test(next_hop_in_use_is_confirmed_now_and_then),
		cmocka_unit_test(service_that_does_not_start_leaves_nothing_behind),
	};

	test_eal_start("worker");
	return cmocka_run_group_tests_name("the worker's turn", tests, NULL, NULL);
}
