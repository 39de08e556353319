/* SPDX-License-Identifier: BSD-3-Clause */
/* Who owns a flow: the slice of an active open's port, a card's RSS, the keyed hash of any other.
 */
#include <string.h>

#include "frames.h"
#include "net/rss.h"

enum { FLOWS = 20000 };

static struct net steered(struct postern_counters *counters, uint16_t workers)
{
	struct net n;

	net_of_tests(&n, counters);
	n.n_workers = workers;
	n.active_first = 20000;
	n.active_slice = 100;
	for (unsigned i = 0; i < NET_INDIRECTION; i++)
		n.owner_of[i] = (uint8_t)(i % workers);
	return n;
}

static struct flow flow_from(uint32_t client, uint16_t local_port)
{
	struct flow flow = {.local = address(OUR4), .local_port = local_port, .remote_port = 1024};

	flow.remote = ip_addr_from_v4(&client);
	return flow;
}

static uint16_t owner_of(const struct net *n, const struct flow *flow)
{
	return net_owner(n, flow, net_hash(n, flow));
}

static void a_port_of_ours_belongs_to_its_slice(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 4);

	for (uint16_t worker = 0; worker < 4; worker++) {
		for (uint16_t i = 0; i < 100; i++) {
			struct flow flow = flow_from(i, 20000 + worker * 100 + i);

			assert_int_equal(owner_of(&n, &flow), worker);
		}
	}
}

/* Whether the hash decides: then not every client of that port has the same owner. */
static bool is_hashed(const struct net *n, uint16_t local_port)
{
	struct flow flow = flow_from(0, local_port);
	uint16_t first = owner_of(n, &flow);

	for (uint32_t client = 1; client < 64; client++) {
		flow = flow_from(client, local_port);
		if (owner_of(n, &flow) != first)
			return true;
	}
	return false;
}

static void ports_outside_the_slices_are_hashed(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 4);

	assert_true(is_hashed(&n, 25));
	assert_true(is_hashed(&n, 19999));
	assert_false(is_hashed(&n, 20000));
	assert_false(is_hashed(&n, 20399));
	assert_true(is_hashed(&n, 20400));
	assert_true(is_hashed(&n, 65535));
}

static void without_slices_every_port_is_hashed(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 4);

	n.active_first = n.active_slice = 0;
	assert_true(is_hashed(&n, 0));
	assert_true(is_hashed(&n, 20000));
}

static void slices_may_end_with_the_last_port(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 2);
	struct flow flow = flow_from(1, 65535);

	n.active_first = 65336;
	assert_int_equal(owner_of(&n, &flow), 1);
	assert_true(is_hashed(&n, 0));
}

static void hashed_flows_are_spread_evenly(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 4);
	unsigned owned[4] = {0};

	for (uint32_t client = 0; client < FLOWS; client++) {
		struct flow flow = flow_from(client, 25);

		owned[owner_of(&n, &flow)]++;
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_true(owned[i] > FLOWS / 4 * 9 / 10);
		assert_true(owned[i] < FLOWS / 4 * 11 / 10);
	}
}

static void every_part_of_a_flow_and_the_key_steer_it(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 64);
	unsigned moved[5] = {0};

	for (uint32_t client = 0; client < 256; client++) {
		struct flow flow = flow_from(client, 25), other[4] = {flow, flow, flow, flow};
		uint16_t owner = owner_of(&n, &flow);
		struct net rekeyed = n;

		other[0].local.octets[15] ^= 1;
		other[1].remote.octets[0] ^= 1;
		other[2].local_port ^= 1;
		other[3].remote_port ^= 1;
		for (unsigned i = 0; i < 4; i++)
			moved[i] += owner_of(&n, &other[i]) != owner;
		rekeyed.hash_key.k1 ^= 1;
		moved[4] += owner_of(&rekeyed, &flow) != owner;
	}
	for (unsigned i = 0; i < 5; i++)
		assert_true(moved[i] > 200);
}

static struct net_rss *card(uint8_t of, uint16_t workers, bool tcp4, bool tcp6)
{
	static struct net_rss cards[2];
	uint8_t key[NET_RSS_KEY6], table[128];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * (of ? 89 : 37) + 51);
	for (size_t i = 0; i < sizeof(table); i++)
		table[i] = (uint8_t)(i % workers);
	assert_true(net_rss_init(&cards[of], key, sizeof(key), table, sizeof(table), tcp4, tcp6));
	return &cards[of];
}

static void a_flow_belongs_where_its_own_card_delivers_it(void **state)
{
	static const char *const addresses[] = {OUR4, OTHER_OUR4, OUR6, OTHER_OUR6};
	struct postern_counters counters;
	struct net n = steered(&counters, 4);
	unsigned differ = 0;

	n.ports[0].rss = card(0, 4, true, true);
	n.ports[1].rss = card(1, 4, true, true);
	for (uint32_t client = 0; client < FLOWS; client++) {
		struct flow flow = flow_from(client, 25);
		const struct net_rss *home = n.ports[client % 2].rss;
		const struct net_rss *other = n.ports[1 - client % 2].rss;

		flow.local = address(addresses[client % 4]);
		if (client % 4 >= 2)
			flow.remote.octets[0] = 0x20;
		assert_int_equal(owner_of(&n, &flow),
				 net_rss_queue(home, net_rss_hash(home, &flow)));
		differ += owner_of(&n, &flow) != net_rss_queue(other, net_rss_hash(other, &flow));
	}
	assert_in_range(differ, FLOWS / 2, FLOWS);
}

static void a_port_of_ours_belongs_to_its_slice_whatever_the_card(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 4);

	n.ports[0].rss = card(0, 4, true, true);
	for (uint16_t i = 0; i < 400; i++) {
		struct flow flow = flow_from(i, 20000 + i);

		assert_int_equal(owner_of(&n, &flow), i / 100);
	}
}

/* Of the one version, of the one interface, and of an address that is none of ours. */
static void what_no_card_speaks_of_is_hashed_with_our_key(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 64), none = n;

	n.ports[0].rss = card(0, 64, false, true);
	n.ports[1].rss = card(1, 64, true, true);
	for (uint32_t client = 0; client < 256; client++) {
		struct flow flow = flow_from(client, 25);

		assert_int_equal(owner_of(&n, &flow), owner_of(&none, &flow));
		flow.local = address("203.0.113.99");
		assert_int_equal(owner_of(&n, &flow), owner_of(&none, &flow));
		n.ports[1].rss = NULL;
		flow.local = address(OTHER_OUR4);
		assert_int_equal(owner_of(&n, &flow), owner_of(&none, &flow));
	}
}

/* A table takes its slots from the low half: were it steered by that, each of 64 workers would use
 * two slots of 128. */
static void the_flows_of_one_worker_differ_in_the_half_that_is_for_tables(void **state)
{
	enum { SLOTS = 128 };
	struct postern_counters counters;
	struct net n = steered(&counters, 64);
	unsigned owned = 0, in_slot[SLOTS] = {0};

	for (uint32_t client = 0; client < 64 * FLOWS; client++) {
		struct flow flow = flow_from(client, 25);
		uint64_t hash = net_hash(&n, &flow);

		if (net_owner(&n, &flow, hash) != 17)
			continue;
		owned++;
		in_slot[hash % SLOTS]++;
	}
	for (unsigned i = 0; i < SLOTS; i++)
		assert_in_range(in_slot[i], owned / SLOTS / 2, owned / SLOTS * 2);
}

/* An error about a flow must reach the worker that owns the flow. */
static void an_error_has_the_owner_of_what_it_quotes(void **state)
{
	struct postern_counters counters;
	struct net n = steered(&counters, 64);
	struct frame_spec segment = {0};
	struct frame_spec error = {
		.from = "198.18.0.1",
		.protocol = 1,
		.l4 = {36,
		       {3,
			1,
			0,
			0,
			0,
			0,
			0,
			0,
			0x45,
			0,
			0,
			40,
			0,
			0,
			0x40,
			0,
			3,
			6,
			0,
			0,
			192,
			0,
			2,
			25,
			203,
			0,
			113,
			7,
			OUR_PORT >> 8,
			OUR_PORT & 0xff,
			PEER_PORT >> 8,
			PEER_PORT & 0xff}},
	};
	struct net_segment seg, err;
	struct frame f;
	struct rte_mbuf *m;

	frame_build(&f, &segment);
	m = frame_mbuf(&f, NULL, 0);
	assert_int_equal(net_input(&n, m, &seg), NET_SEGMENT);
	rte_pktmbuf_free(m);
	frame_build(&f, &error);
	m = frame_mbuf(&f, NULL, 0);
	assert_int_equal(net_input(&n, m, &err), NET_ERROR);
	rte_pktmbuf_free(m);
	assert_memory_equal(&seg.flow, &err.flow, sizeof(seg.flow));
	assert_true(seg.hash == net_hash(&n, &seg.flow));
	assert_true(err.hash == seg.hash);
	assert_int_equal(net_owner(&n, &seg.flow, seg.hash), net_owner(&n, &err.flow, err.hash));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_port_of_ours_belongs_to_its_slice),
		cmocka_unit_test(ports_outside_the_slices_are_hashed),
		cmocka_unit_test(without_slices_every_port_is_hashed),
		cmocka_unit_test(slices_may_end_with_the_last_port),
		cmocka_unit_test(hashed_flows_are_spread_evenly),
		cmocka_unit_test(every_part_of_a_flow_and_the_key_steer_it),
		cmocka_unit_test(a_flow_belongs_where_its_own_card_delivers_it),
		cmocka_unit_test(a_port_of_ours_belongs_to_its_slice_whatever_the_card),
		cmocka_unit_test(what_no_card_speaks_of_is_hashed_with_our_key),
		cmocka_unit_test(the_flows_of_one_worker_differ_in_the_half_that_is_for_tables),
		cmocka_unit_test(an_error_has_the_owner_of_what_it_quotes),
	};

	return cmocka_run_group_tests(tests, frames_setup, frames_teardown);
}
