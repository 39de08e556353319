/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is made of a driver's answers about its RSS: of a kernel played here, and of net_null's.
 *
 * Thread: one. Time: none. Memory: none.
 * Rules: answers have the form of linux/ethtool.h; an answer lies in a heap block of just its size.
 */
#include <errno.h>
#include <linux/ethtool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ethdev.h>

#include "common/eal.h"
#include "common/random.h"
#include "port/rss.h"
#include "support.h"

enum {
	QUEUES = 4,
	TOEPLITZ = 1,
	XOR = 2,
	FOUR = RXH_IP_SRC | RXH_IP_DST | RXH_L4_B_0_1 | RXH_L4_B_2_3,
};

/* --- a kernel -------------------------------------------------------------------------------- */

struct kernel {
	uint32_t table_len, key_len;
	uint32_t table[4096];
	uint8_t key[256];
	uint8_t function, folding;
	uint64_t hashed4, hashed6;
	int no_rss, no_hashed; /* -errno */
	uint32_t grows_by;     /* between the two questions */
	unsigned asked;
};

static void kernel_init(struct kernel *k)
{
	*k = (struct kernel){
		.table_len = 128,
		.key_len = 40,
		.function = TOEPLITZ,
		.hashed4 = FOUR,
		.hashed6 = FOUR,
	};
	for (size_t i = 0; i < RTE_DIM(k->table); i++)
		k->table[i] = (uint32_t)(i * 7 % QUEUES);
	for (size_t i = 0; i < sizeof(k->key); i++)
		k->key[i] = (uint8_t)(i * 37 + 1);
}

/* As net/ethtool/ioctl.c: sizes asked for must be those there are, or both 0. */
static int answer_rss(struct kernel *k, struct ethtool_rxfh *q)
{
	uint32_t table_len = q->indir_size, key_len = q->key_size;

	if (k->no_rss)
		return k->no_rss;
	assert_int_equal(q->rss_context, 0);
	if (k->asked++)
		k->table_len += k->grows_by;
	if ((table_len || key_len) && (table_len != k->table_len || key_len != k->key_len))
		return -EINVAL;
	q->indir_size = k->table_len;
	q->key_size = k->key_len;
	q->hfunc = k->function;
	q->rsvd8[0] = k->folding;
	memcpy(q->rss_config, k->table, table_len * sizeof(uint32_t));
	memcpy((uint8_t *)q->rss_config + table_len * sizeof(uint32_t), k->key, key_len);
	return 0;
}

static int kernel_answers(void *arg, void *command)
{
	struct kernel *k = arg;
	struct ethtool_rxnfc *what = command;
	uint32_t cmd;

	memcpy(&cmd, command, sizeof(cmd));
	if (cmd == ETHTOOL_GRSSH)
		return answer_rss(k, command);
	assert_int_equal(cmd, ETHTOOL_GRXFH);
	if (k->no_hashed)
		return k->no_hashed;
	assert_true(what->flow_type == TCP_V4_FLOW || what->flow_type == TCP_V6_FLOW);
	what->data = what->flow_type == TCP_V4_FLOW ? k->hashed4 : k->hashed6;
	return 0;
}

static void assert_nothing_known(const struct port_rss *rss)
{
	static const struct port_rss nothing;

	assert_memory_equal(rss, &nothing, sizeof(nothing));
}

static void assert_understood(const struct port_rss *rss, const struct kernel *k)
{
	assert_int_equal(rss->table_len, k->table_len);
	assert_int_equal(rss->key_len, k->key_len);
	assert_memory_equal(rss->key, k->key, k->key_len);
	for (uint32_t i = 0; i < k->table_len; i++)
		assert_int_equal(rss->table[i], k->table[i]);
}

static void assert_not_understood(struct kernel *k)
{
	struct port_rss rss;

	memset(&rss, 0xee, sizeof(rss));
	rss_of_ethtool(&rss, kernel_answers, k, QUEUES);
	assert_nothing_known(&rss);
}

static void key_and_table_are_read_whatever_their_lengths(void **state)
{
	static const uint32_t table_lens[] = {1, 2, 64, 128, 512, 2048}, key_lens[] = {40, 52};

	for (size_t i = 0; i < RTE_DIM(table_lens); i++) {
		for (size_t k = 0; k < RTE_DIM(key_lens); k++) {
			struct port_rss rss;
			struct kernel kernel;

			kernel_init(&kernel);
			kernel.table_len = table_lens[i];
			kernel.key_len = key_lens[k];
			rss_of_ethtool(&rss, kernel_answers, &kernel, QUEUES);
			assert_understood(&rss, &kernel);
			assert_true(rss.tcp4 && rss.tcp6);
			assert_false(rss.hash_in_mbuf);
		}
	}
}

static void a_version_is_known_when_just_addresses_and_ports_are_hashed(void **state)
{
	struct port_rss rss;
	struct kernel k;

	kernel_init(&k);
	k.hashed6 = RXH_IP_SRC | RXH_IP_DST;
	rss_of_ethtool(&rss, kernel_answers, &k, QUEUES);
	assert_true(rss.tcp4);
	assert_false(rss.tcp6);
	k.hashed6 = FOUR;
	k.hashed4 = FOUR | RXH_VLAN;
	rss_of_ethtool(&rss, kernel_answers, &k, QUEUES);
	assert_false(rss.tcp4);
	assert_true(rss.tcp6);
	k.hashed6 = FOUR | 1U << 31; /* RXH_DISCARD, which its header shifts into a sign */
	assert_not_understood(&k);
	k.hashed4 = k.hashed6 = 0;
	assert_not_understood(&k);
}

static void a_driver_that_does_not_answer_is_not_known(void **state)
{
	struct kernel k;

	kernel_init(&k);
	k.no_rss = -EOPNOTSUPP;
	assert_not_understood(&k);
	k.no_rss = 0;
	k.no_hashed = -EOPNOTSUPP;
	assert_not_understood(&k);
	/* So does virtio_net with one queue: a function, but neither key nor table. */
	kernel_init(&k);
	k.table_len = k.key_len = 0;
	assert_not_understood(&k);
}

static void what_is_not_plain_toeplitz_is_not_known(void **state)
{
	struct kernel k;

	kernel_init(&k);
	k.function = XOR;
	assert_not_understood(&k);
	k.function = 0;
	assert_not_understood(&k);
	kernel_init(&k);
	k.folding = 1;
	assert_not_understood(&k);
	kernel_init(&k);
	k.table_len = 192;
	assert_not_understood(&k);
	kernel_init(&k);
	k.table[127] = QUEUES;
	assert_not_understood(&k);
	k.table[127] = UINT32_MAX;
	assert_not_understood(&k);
	kernel_init(&k);
	k.key_len = 0;
	assert_not_understood(&k);
}

static void what_is_larger_than_we_hold_is_not_asked_for(void **state)
{
	struct kernel k;

	kernel_init(&k);
	k.table_len = 4096;
	assert_not_understood(&k);
	assert_int_equal(k.asked, 1);
	kernel_init(&k);
	k.key_len = 53;
	assert_not_understood(&k);
	assert_int_equal(k.asked, 1);
	k.key_len = UINT32_MAX;
	assert_not_understood(&k);
}

static void a_table_that_grows_between_two_questions_is_not_known(void **state)
{
	struct kernel k;

	kernel_init(&k);
	k.grows_by = 128;
	assert_not_understood(&k);
	assert_int_equal(k.asked, 2);
}

/* --- octets ---------------------------------------------------------------------------------- */

/* What rss_read_ethtool says of the first len octets, which end where their block ends. */
static bool read_octets(struct port_rss *rss, const void *octets, size_t len)
{
	uint8_t *block = malloc(len ? len : 1);
	bool read;

	assert_non_null(block);
	memcpy(block, octets, len);
	read = rss_read_ethtool(rss, block, len, QUEUES);
	free(block);
	return read;
}

union answer {
	struct ethtool_rxfh head;
	uint8_t octets[sizeof(struct ethtool_rxfh) + 128 * 4 + 40];
};

static size_t answer_of(const struct kernel *k, union answer *a)
{
	size_t key_at = sizeof(a->head) + k->table_len * 4;

	*a = (union answer){.head = {
				    .cmd = ETHTOOL_GRSSH,
				    .indir_size = k->table_len,
				    .key_size = k->key_len,
				    .hfunc = TOEPLITZ,
			    }};
	memcpy(a->octets + sizeof(a->head), k->table, k->table_len * 4);
	memcpy(a->octets + key_at, k->key, k->key_len);
	return key_at + k->key_len;
}

static void an_answer_cut_short_anywhere_tells_nothing(void **state)
{
	union answer answer;
	struct port_rss rss;
	struct kernel k;
	size_t len;

	kernel_init(&k);
	len = answer_of(&k, &answer);
	for (size_t cut = 0; cut < len; cut++)
		assert_false(read_octets(&rss, &answer, cut));
	assert_true(read_octets(&rss, &answer, len));
	assert_understood(&rss, &k);
}

static void lengths_beyond_the_answer_are_not_believed(void **state)
{
	static const uint32_t lens[] = {129, 256, 2048, 4096, 0x40000000, 0x80000000, UINT32_MAX};
	union answer answer;
	struct port_rss rss;
	struct kernel k;

	kernel_init(&k);
	for (size_t i = 0; i < RTE_DIM(lens); i++) {
		size_t len = answer_of(&k, &answer);

		answer.head.indir_size = lens[i];
		assert_false(read_octets(&rss, &answer, len));
		answer_of(&k, &answer);
		answer.head.key_size = lens[i];
		assert_false(read_octets(&rss, &answer, len));
	}
}

/* No octets lead outside the block, and what is read names our queues alone. */
static void random_octets_are_read_within_bounds(void **state)
{
	unsigned n_read = 0;

	srandom((unsigned)test_seed(20240229));
	for (unsigned i = 0; i < 50000; i++) {
		union answer answer;
		struct port_rss rss = {0};
		struct kernel k;
		size_t len;

		kernel_init(&k);
		k.table_len = 1u << random() % 8;
		len = answer_of(&k, &answer);
		for (unsigned n = (unsigned)random() % 3; n > 0; n--) {
			/* The head's octets as often as all others. */
			size_t at = (size_t)random() % (random() & 1 ? sizeof(answer.head) : len);

			answer.octets[at] = (uint8_t)random();
		}
		if (random() % 4 == 0)
			len = (size_t)random() % (len + 1);
		if (!read_octets(&rss, &answer, len))
			continue;
		n_read++;
		assert_in_range(rss.table_len, 1, 128);
		assert_in_range(rss.key_len, 1, PORT_RSS_KEY_MAX);
		for (unsigned q = 0; q < rss.table_len; q++)
			assert_in_range(rss.table[q], 0, QUEUES - 1);
	}
	assert_in_range(n_read, 1000, 49000);
}

/* --- a device -------------------------------------------------------------------------------- */

static uint16_t null_device(const struct port_config *config, struct port **port,
			    struct test_counters *c)
{
	uint16_t eth_port;

	*port = test_port_open(config, c);
	assert_int_equal(rte_eth_dev_get_port_by_name(config->device, &eth_port), 0);
	return eth_port;
}

static const struct port_config null_config = {
	.kind = PORT_VDEV,
	.device = "net_null5",
	.queues = QUEUES,
	.frames = 512,
};

static void a_device_tells_what_it_was_set_to(void **state)
{
	struct rte_eth_rss_reta_entry64 groups[RTE_ETH_RSS_RETA_SIZE_128 / RTE_ETH_RETA_GROUP_SIZE];
	uint8_t key[40];
	struct rte_eth_rss_conf conf = {
		.rss_key = key,
		.rss_key_len = sizeof(key),
		.rss_hf = RTE_ETH_RSS_NONFRAG_IPV4_TCP,
	};
	struct test_counters c;
	struct port_rss rss;
	struct port *port;
	uint16_t eth_port = null_device(&null_config, &port, &c);

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i + 100);
	for (size_t g = 0; g < RTE_DIM(groups); g++) {
		groups[g].mask = UINT64_MAX;
		for (size_t i = 0; i < RTE_ETH_RETA_GROUP_SIZE; i++)
			groups[g].reta[i] = (uint16_t)((g + i) % QUEUES);
	}
	assert_int_equal(rte_eth_dev_rss_hash_update(eth_port, &conf), 0);
	assert_int_equal(rte_eth_dev_rss_reta_update(eth_port, groups, RTE_ETH_RSS_RETA_SIZE_128),
			 0);
	rss_of_device(&rss, eth_port, QUEUES);
	assert_true(rss.tcp4);
	assert_false(rss.tcp6);
	assert_int_equal(rss.key_len, sizeof(key));
	assert_memory_equal(rss.key, key, sizeof(key));
	assert_int_equal(rss.table_len, 128);
	for (size_t i = 0; i < 128; i++)
		assert_int_equal(rss.table[i],
				 (i / RTE_ETH_RETA_GROUP_SIZE + i % RTE_ETH_RETA_GROUP_SIZE) %
					 QUEUES);
	/* A queue that is not ours: what comes there would be nobody's. */
	rss_of_device(&rss, eth_port, QUEUES - 1);
	assert_nothing_known(&rss);
	port_close(port);
}

static void a_port_of_several_queues_says_what_its_device_says(void **state)
{
	struct port_config config = null_config;
	struct test_counters c;
	struct port_rss rss;
	struct port *port;
	uint16_t eth_port = null_device(&config, &port, &c);

	rss_of_device(&rss, eth_port, QUEUES);
	assert_true(rss.tcp4 && rss.tcp6);
	assert_memory_equal(&port_caps(port)->rss, &rss, sizeof(rss));
	port_close(port);
	config.queues = 1;
	null_device(&config, &port, &c);
	assert_nothing_known(&port_caps(port)->rss);
	port_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_and_table_are_read_whatever_their_lengths),
		cmocka_unit_test(a_version_is_known_when_just_addresses_and_ports_are_hashed),
		cmocka_unit_test(a_driver_that_does_not_answer_is_not_known),
		cmocka_unit_test(what_is_not_plain_toeplitz_is_not_known),
		cmocka_unit_test(what_is_larger_than_we_hold_is_not_asked_for),
		cmocka_unit_test(a_table_that_grows_between_two_questions_is_not_known),
		cmocka_unit_test(an_answer_cut_short_anywhere_tells_nothing),
		cmocka_unit_test(lengths_beyond_the_answer_are_not_believed),
		cmocka_unit_test(random_octets_are_read_within_bounds),
		cmocka_unit_test(a_device_tells_what_it_was_set_to),
		cmocka_unit_test(a_port_of_several_queues_says_what_its_device_says),
	};

	test_eal_start("port");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
