/* SPDX-License-Identifier: BSD-3-Clause */
/* The generator's parts: its histogram, its forged segments, its scripts, its command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <rte_mbuf.h>

#include "base/span.h"
#include "common/eal.h"
#include "common/random.h"
#include "generator/forge.h"
#include "generator/histogram.h"
#include "generator/options.h"
#include "generator/script.h"
#include "net/net.h"
#include "sim/sim_random.h"

enum { STRANGERS = 2000, PORT = 25, BUFFERS = 15 };

static struct rte_mempool *pool;
static struct sim_random random_numbers;

/* --- the histogram ---------------------------------------------------------------------------- */

static void empty_histogram_has_no_quantile(void **state)
{
	static const struct histogram h;

	(void)state;
	assert_int_equal(histogram_per_mille(&h, 500), 0);
	assert_int_equal(histogram_per_mille(&h, 1000), 0);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void quantiles_are_never_below_and_at_most_a_thirty_second_above(void **state)
{
	static struct histogram h;
	static uint64_t values[1000];
	static const unsigned per_mille[] = {1, 10, 500, 990, 999, 1000};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		values[i] = sim_random_magnitude(&random_numbers, UINT64_MAX / 2) - 1;
		histogram_add(&h, values[i]);
	}
	qsort(values, 1000, sizeof(values[0]), by_value);
	for (size_t i = 0; i < sizeof(per_mille) / sizeof(per_mille[0]); i++) {
		uint64_t exact = values[per_mille[i] - 1];
		uint64_t told = histogram_per_mille(&h, per_mille[i]);

		assert_true(told >= exact && told - exact <= exact / HISTOGRAM_STEPS);
	}
	assert_int_equal(histogram_per_mille(&h, 1000), h.max);
	assert_int_equal(h.max, values[999]);
}

static void the_largest_value_has_a_bucket(void **state)
{
	static struct histogram h;

	(void)state;
	histogram_add(&h, UINT64_MAX);
	histogram_add(&h, 0);
	assert_int_equal(histogram_per_mille(&h, 1000), UINT64_MAX);
	assert_int_equal(histogram_per_mille(&h, 500), 0);
}

/* --- forged segments -------------------------------------------------------------------------- */

struct world {
	struct forge forge;
	struct net gateway;
	struct postern_counters counters;
	struct rte_mbuf *m;
};

static void world_init(struct world *w, bool v4)
{
	static const uint8_t gateway4[4] = {198, 18, 0, 25}, network4[4] = {198, 19};
	static const uint8_t gateway6[16] = {0xfd, 0, [3] = 0x18, [15] = 0x25};
	static const uint8_t network6[16] = {0xfd, 0, [3] = 0x18, [5] = 0xf};
	const struct forge_config config = {
		.network = v4 ? ip_addr_from_v4(network4) : ip_addr_from_v6(network6),
		.gateway = v4 ? ip_addr_from_v4(gateway4) : ip_addr_from_v6(gateway6),
		.port = PORT,
		.mac = {2, 0, 0, 0, 0, 2},
		.gateway_mac = {2, 0, 0, 0, 0, 1},
		.key = sim_random(&random_numbers),
	};

	*w = (struct world){.m = rte_pktmbuf_alloc(pool)};
	assert_non_null(w->m);
	forge_init(&w->forge, &config, w->m);
	w->gateway = (struct net){
		.n_ports = 1,
		.n_addresses = 1,
		.ports = {{.mac = {2, 0, 0, 0, 0, 1}, .mtu = 1500}},
		.addresses = {{.ip = config.gateway}},
		.counters = &w->counters,
	};
}

static struct stranger stranger_new(struct world *w)
{
	uint64_t host = sim_random(&random_numbers);

	return forge_stranger(&w->forge, host, (uint16_t)sim_random(&random_numbers));
}

/* Reads what was forged as the gateway would. */
static void look(struct world *w, struct net_segment *seg, struct tcp_header *h)
{
	w->m->port = 0;
	assert_int_equal(net_input(&w->gateway, w->m, seg), NET_SEGMENT);
	assert_true(tcp_header_read(h, rte_pktmbuf_mtod_offset(w->m, uint8_t *, seg->tcp_at),
				    seg->header_len));
}

static void a_forged_syn_is_whole(bool v4)
{
	struct world w;

	world_init(&w, v4);
	for (int i = 0; i < STRANGERS; i++) {
		struct stranger s = stranger_new(&w);
		struct net_segment seg;
		struct tcp_header h;

		rte_pktmbuf_reset(w.m);
		forge_syn(&w.forge, &s, w.m);
		look(&w, &seg, &h);
		assert_int_equal(h.flags, TCP_SYN);
		assert_int_equal(h.seq, forge_isn(&w.forge, &s));
		assert_true(h.has_mss && h.has_ts && h.has_wscale && h.sack_permitted);
		assert_int_equal(seg.flow.remote_port, s.port);
		assert_int_equal(seg.flow.local_port, PORT);
		assert_true(ip_addr_match(&seg.flow.remote, &w.forge.config.network,
					  128 - (v4 ? FORGE_HOST_BITS_V4 : FORGE_HOST_BITS_V6)));
	}
	rte_pktmbuf_free(w.m);
}

static void a_forged_syn_is_whole_over_ipv4(void **state)
{
	(void)state;
	a_forged_syn_is_whole(true);
}

static void a_forged_syn_is_whole_over_ipv6(void **state)
{
	(void)state;
	a_forged_syn_is_whole(false);
}

static void strangers_differ(void **state)
{
	struct world w;
	struct stranger a, b;

	(void)state;
	world_init(&w, false);
	a = stranger_new(&w);
	b = a;
	b.port++;
	assert_int_not_equal(forge_isn(&w.forge, &a), forge_isn(&w.forge, &b));
	b = stranger_new(&w);
	assert_true(a.host != b.host || a.port != b.port);
	assert_int_not_equal(forge_isn(&w.forge, &a), forge_isn(&w.forge, &b));
	rte_pktmbuf_free(w.m);
}

/* What the gateway's stack would send to a stranger, in w->m. */
static void answer_make(struct world *w, const struct stranger *s, const struct tcp_header *h,
			struct span payload)
{
	const struct net_path path = {.mac = {2, 0, 0, 0, 0, 2}};
	struct net_segment seg;
	struct tcp_header syn;
	struct flow flow;
	char *tcp;

	rte_pktmbuf_reset(w->m);
	forge_syn(&w->forge, s, w->m);
	look(w, &seg, &syn);
	flow = seg.flow;
	rte_pktmbuf_reset(w->m);
	tcp = rte_pktmbuf_append(w->m, (uint16_t)(tcp_header_len(h) + payload.len));
	tcp_header_write(h, (uint8_t *)tcp, PORT, s->port);
	memcpy(tcp + tcp_header_len(h), payload.bytes, payload.len);
	net_output(&w->gateway, w->m, &flow, &path, 0);
}

static void an_answer_is_read_and_a_changed_one_is_not(bool v4)
{
	const struct tcp_header h = {
		.seq = 0x12345678,
		.ack = 0x9abcdef0,
		.flags = TCP_ACK | TCP_PSH,
		.window = 1000,
		.has_ts = true,
		.ts_value = 7,
	};
	struct world w;
	struct stranger s;
	struct answer a;

	world_init(&w, v4);
	s = stranger_new(&w);
	answer_make(&w, &s, &h, (struct span){(const uint8_t *)"hello", 5});
	assert_true(forge_is_for_stranger(&w.forge, w.m));
	assert_true(forge_read(&w.forge, w.m, &a));
	assert_int_equal(a.to.host, s.host);
	assert_int_equal(a.to.port, s.port);
	assert_int_equal(a.header.seq, h.seq);
	assert_int_equal(a.header.ack, h.ack);
	assert_int_equal(a.len, 5);
	assert_memory_equal(a.payload, "hello", 5);
	for (uint16_t at = w.forge.tcp_at; at < rte_pktmbuf_data_len(w.m); at++) {
		uint8_t *octet = rte_pktmbuf_mtod_offset(w.m, uint8_t *, at);

		*octet ^= 0x10;
		assert_false(forge_read(&w.forge, w.m, &a));
		*octet ^= 0x10;
	}
	rte_pktmbuf_trim(w.m, 1);
	assert_false(forge_read(&w.forge, w.m, &a));
	rte_pktmbuf_free(w.m);
}

static void an_answer_is_read_and_a_changed_one_is_not_over_ipv4(void **state)
{
	(void)state;
	an_answer_is_read_and_a_changed_one_is_not(true);
}

static void an_answer_is_read_and_a_changed_one_is_not_over_ipv6(void **state)
{
	(void)state;
	an_answer_is_read_and_a_changed_one_is_not(false);
}

static void a_frame_for_a_client_is_for_no_stranger(void **state)
{
	struct world w;
	struct stranger s;

	(void)state;
	world_init(&w, false);
	s = stranger_new(&w);
	rte_pktmbuf_reset(w.m);
	/* To the gateway's address, which is as little in their network as a client's. */
	forge_syn(&w.forge, &s, w.m);
	assert_false(forge_is_for_stranger(&w.forge, w.m));
	rte_pktmbuf_trim(w.m, rte_pktmbuf_data_len(w.m) - 20);
	assert_false(forge_is_for_stranger(&w.forge, w.m));
	rte_pktmbuf_free(w.m);
}

/* --- scripts ---------------------------------------------------------------------------------- */

static void a_script_is_found_by_its_name(void **state)
{
	(void)state;
	assert_null(script_find("nonsense"));
	assert_false(script_holds(script_find("nul")));
	assert_true(script_holds(script_find("nul-held")));
	assert_int_equal(script_greeting(script_find("nul"))->len, 26);
	assert_null(script_greeting(script_find("rcpt")));
}

/* --- the command line ------------------------------------------------------------------------- */

#define LINK	"--vdev", "net_ring0", "--target-mac", "02:00:00:00:00:01"
#define TARGET6 "--target", "[fd00:18::25]:25"
#define CLIENT6 "--address", "fd00:18:1::1"
#define FLOOD6	"--syn-rate", "max", "--syn-network", "fd00:18:f::"

enum { WORDS = 20 };

static int parse(struct options *o, const char *const *words, char *error, size_t len)
{
	const char *argv[WORDS + 1] = {"generator"};
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = words[argc - 1];
	return options_parse(o, argc, (char **)argv, error, len);
}

static void a_command_line_that_makes_no_sense_is_refused_with_its_reason(void **state)
{
	static const struct {
		const char *words[WORDS];
		const char *reason;
	} cases[] = {
		{{LINK, TARGET6}, "nothing to do"},
		{{LINK, TARGET6, "--script", "nonsense"}, "there is no script"},
		{{LINK, TARGET6, "--script", "nul"}, "needs an --address"},
		{{TARGET6, CLIENT6, "--script", "nul"}, "--vdev, --target and --target-mac"},
		{{LINK, TARGET6, "--address", "198.18.0.1", "--script", "nul"}, "two versions"},
		{{LINK, TARGET6, CLIENT6, "--script", "nul-held"}, "needs --conversations"},
		{{LINK, TARGET6, "--syn-rate", "max"}, "needs --syn-network"},
		{{LINK, TARGET6, CLIENT6, "--script", "nul", "--complete", "9"}, "need --syn-rate"},
		{{LINK, TARGET6, "--syn-rate", "9", "--syn-network", "198.19.0.0"}, "two versions"},
		{{LINK, TARGET6, "--syn-network", "fd00::1"}, "is not the first address"},
		{{LINK, TARGET6, "--address", "fd00:18:f::7", FLOOD6}, "is in --syn-network"},
		{{LINK, TARGET6, "--address", "fd00::1+65"}, "no number from 1 to 64"},
		{{LINK, TARGET6, FLOOD6, "--seconds", "0"}, "--seconds: '0' is no number"},
		{{LINK, "--target", "fd00:18::25"}, "no ADDRESS:PORT"},
		{{"more"}, "'more' is no option"},
		{{"--more"}, "unknown option --more"},
		{{"--seed"}, "--seed needs an argument"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options o;
		char error[200] = "";

		assert_true(parse(&o, cases[i].words, error, sizeof(error)) < 0);
		if (!strstr(error, cases[i].reason))
			fail_msg("'%s' where '%s' is meant", error, cases[i].reason);
	}
}

static void addresses_are_counted_from_the_first(void **state)
{
	static const uint8_t last[16] = {0xfd, [14] = 1, [15] = 1};
	const char *words[WORDS] = {LINK,	TARGET6, "--address", "fd00::fe+4",
				    "--script", "nul",	 NULL};
	struct ip_addr wanted = ip_addr_from_v6(last);
	struct options o;
	char error[200];

	(void)state;
	assert_int_equal(parse(&o, words, error, sizeof(error)), 0);
	assert_int_equal(o.host.n_addresses, 4);
	assert_true(ip_addr_equal(&o.host.addresses[3], &wanted));
}

static void a_flood_needs_no_client(void **state)
{
	const char *words[WORDS] = {LINK, TARGET6, FLOOD6, "--complete", "9", NULL};
	struct options o;
	char error[200];

	(void)state;
	assert_int_equal(parse(&o, words, error, sizeof(error)), 0);
	assert_true(o.syn_rate == FLOOD_UNLIMITED);
	assert_int_equal(clients_capacity(&o.clients), 0);
	assert_int_equal(o.greeting->len, 26);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_histogram_has_no_quantile),
		cmocka_unit_test(quantiles_are_never_below_and_at_most_a_thirty_second_above),
		cmocka_unit_test(the_largest_value_has_a_bucket),
		cmocka_unit_test(a_forged_syn_is_whole_over_ipv4),
		cmocka_unit_test(a_forged_syn_is_whole_over_ipv6),
		cmocka_unit_test(strangers_differ),
		cmocka_unit_test(an_answer_is_read_and_a_changed_one_is_not_over_ipv4),
		cmocka_unit_test(an_answer_is_read_and_a_changed_one_is_not_over_ipv6),
		cmocka_unit_test(a_frame_for_a_client_is_for_no_stranger),
		cmocka_unit_test(a_script_is_found_by_its_name),
		cmocka_unit_test(a_command_line_that_makes_no_sense_is_refused_with_its_reason),
		cmocka_unit_test(addresses_are_counted_from_the_first),
		cmocka_unit_test(a_flood_needs_no_client),
	};

	random_numbers.state = test_seed((uint64_t)time(NULL));
	test_eal_start("generator-test");
	pool = rte_pktmbuf_pool_create("test", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       SOCKET_ID_ANY);
	assert_non_null(pool);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
