/* SPDX-License-Identifier: BSD-3-Clause */
/* The queue a card chooses, against Microsoft's published numbers and against DPDK's own sum. */
#include <stdlib.h>
#include <string.h>

#include <rte_thash.h>

#include "common/random.h"
#include "frames.h"
#include "net/rss.h"

enum { RANDOM_FLOWS = 20000, QUEUES = 128 };

/* Microsoft, "Verifying the RSS hash calculation". */
static const uint8_t published_key[40] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct {
	const char *local, *remote;
	uint16_t local_port, remote_port;
	uint32_t hash;
} published[] = {
	{"161.142.100.80", "66.9.149.187", 1766, 2794, 0x51ccc178},
	{"65.69.140.83", "199.92.111.2", 4739, 14230, 0xc626b0ea},
	{"12.22.207.184", "24.19.198.95", 38024, 12898, 0x5c2b394a},
	{"209.142.163.6", "38.27.205.30", 2217, 48228, 0xafc7327f},
	{"202.188.127.2", "153.39.163.191", 1303, 44251, 0x10e828a2},
	{"3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x40207d3d},
	{"ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0xdde51bbf},
	{"fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251,
	 0x02d1feef},
};

static uint8_t one_each[NET_RSS_TABLE_MAX];

static void number_queues(void)
{
	for (size_t i = 0; i < sizeof(one_each); i++)
		one_each[i] = (uint8_t)(i % QUEUES);
}

static struct net_rss *rss_of(const uint8_t *key, size_t len)
{
	static struct net_rss r;

	number_queues();
	assert_true(net_rss_init(&r, key, len, one_each, QUEUES, true, true));
	return &r;
}

static void hashes_are_those_microsoft_published(void **state)
{
	const struct net_rss *r = rss_of(published_key, sizeof(published_key));

	for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
		const struct flow flow = {
			.local = address(published[i].local),
			.remote = address(published[i].remote),
			.local_port = published[i].local_port,
			.remote_port = published[i].remote_port,
		};

		assert_int_equal(net_rss_hash(r, &flow), published[i].hash);
	}
}

static void randomise(void *octets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)octets)[i] = (uint8_t)random();
}

static struct flow random_flow(bool v4)
{
	struct flow flow = {
		.local_port = (uint16_t)random(),
		.remote_port = (uint16_t)random(),
	};
	uint8_t local[16], remote[16];

	randomise(local, sizeof(local));
	randomise(remote, sizeof(remote));
	flow.local = v4 ? ip_addr_from_v4(local) : ip_addr_from_v6(local);
	flow.remote = v4 ? ip_addr_from_v4(remote) : ip_addr_from_v6(remote);
	return flow;
}

/* Of the segment's source and destination as they stand in its headers. */
static uint32_t dpdks_hash(const uint8_t *key, const struct flow *flow)
{
	bool v4 = ip_addr_is_v4(&flow->local);
	size_t skip = v4 ? 12 : 0, len = 16 - skip;
	uint32_t words[9], n = (uint32_t)(2 * len / 4);

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *from = i < n / 2 ? flow->remote.octets + skip + 4 * i
						: flow->local.octets + skip + 4 * (i - n / 2);

		words[i] = (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
			   (uint32_t)from[2] << 8 | from[3];
	}
	words[n++] = (uint32_t)flow->remote_port << 16 | flow->local_port;
	return rte_softrss(words, n, key);
}

static void hashes_are_dpdks_whatever_the_key(void **state)
{
	const struct net_rss *r = NULL;
	uint8_t key[52];

	for (unsigned i = 0; i < RANDOM_FLOWS; i++) {
		struct flow flow = random_flow(i & 1);

		if (i % 100 == 0) {
			randomise(key, sizeof(key));
			r = rss_of(key, i % 200 ? sizeof(key) : 40);
		}
		assert_int_equal(net_rss_hash(r, &flow), dpdks_hash(key, &flow));
	}
}

static void the_low_bits_of_the_hash_choose_the_queue(void **state)
{
	const struct net_rss *r = rss_of(published_key, sizeof(published_key));

	assert_int_equal(net_rss_queue(r, 0x51ccc178), 0x78);
	assert_int_equal(net_rss_queue(r, 0xffffff80), 0);
	assert_int_equal(net_rss_queue(r, 0xffffffff), 127);
}

static void a_port_can_be_chosen_by_the_queue_its_answers_come_to(void **state)
{
	uint8_t key[40];

	for (unsigned i = 0; i < RANDOM_FLOWS / 100; i++) {
		struct flow flow = random_flow(i & 1);
		struct net_rss_choice choice;
		const struct net_rss *r;

		randomise(key, sizeof(key));
		r = rss_of(key, sizeof(key));
		net_rss_choice_init(&choice, r, &flow);
		for (unsigned k = 0; k < 100; k++) {
			flow.local_port = (uint16_t)random();
			assert_int_equal(net_rss_choice_queue(&choice, flow.local_port),
					 net_rss_queue(r, net_rss_hash(r, &flow)));
		}
	}
}

/* What is hashed of IPv4 needs 16 octets of the key, of IPv6 40. */
static void a_short_key_is_known_for_what_it_suffices(void **state)
{
	const struct ip_addr v4 = address(OUR4), v6 = address(OUR6);
	struct net_rss r;

	number_queues();
	assert_false(net_rss_init(&r, published_key, 15, one_each, QUEUES, true, true));
	assert_true(net_rss_init(&r, published_key, 16, one_each, QUEUES, true, true));
	assert_true(net_rss_knows(&r, &v4));
	assert_false(net_rss_knows(&r, &v6));
	assert_false(net_rss_init(&r, published_key, 39, one_each, QUEUES, false, true));
	assert_true(net_rss_init(&r, published_key, 40, one_each, QUEUES, false, true));
	assert_false(net_rss_knows(&r, &v4));
	assert_true(net_rss_knows(&r, &v6));
	assert_false(net_rss_init(&r, published_key, 40, one_each, QUEUES, false, false));
}

static void a_table_of_no_length_a_card_could_mask_is_not_known(void **state)
{
	struct net_rss r;

	number_queues();
	assert_false(net_rss_init(&r, published_key, 40, one_each, 0, true, true));
	assert_false(net_rss_init(&r, published_key, 40, one_each, 192, true, true));
	assert_false(net_rss_init(&r, published_key, 40, one_each, 4096, true, true));
	assert_true(net_rss_init(&r, published_key, 40, one_each, 1, true, true));
	assert_true(net_rss_init(&r, published_key, 40, one_each, 2048, true, true));
	assert_int_equal(net_rss_queue(&r, 0xfffff8ff), 0xff % QUEUES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_those_microsoft_published),
		cmocka_unit_test(hashes_are_dpdks_whatever_the_key),
		cmocka_unit_test(the_low_bits_of_the_hash_choose_the_queue),
		cmocka_unit_test(a_port_can_be_chosen_by_the_queue_its_answers_come_to),
		cmocka_unit_test(a_short_key_is_known_for_what_it_suffices),
		cmocka_unit_test(a_table_of_no_length_a_card_could_mask_is_not_known),
	};

	srandom((unsigned)test_seed(1));
	return cmocka_run_group_tests(tests, frames_setup, frames_teardown);
}
