/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-memory form: bursts, bounds, linearisation and checksum claims, both ways.
 *
 * Thread: one. Time: none. Memory: every test ends with its pools full again.
 * Rules: none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <rte_ip.h>

#include "common/eal.h"
#include "common/random.h"
#include "support.h"

static const struct port_config plain = {
	.kind = PORT_MEMORY,
	.device = "m",
	.index = 3,
	.queues = 1,
	.frames = 512,
	.descriptors = 64,
};

static void close_whole(struct port *port, uint16_t queues)
{
	for (uint16_t i = 0; i < queues; i++)
		assert_int_equal(rte_mempool_in_use_count(port_pool(port, i)), 0);
	port_close(port);
}

static void frames_pass_in_order_with_interface_and_counts(void **state)
{
	struct test_counters c;
	struct port_config config = plain;
	struct port *port;
	struct rte_mbuf *in[5], *out[PORT_BURST];
	uint64_t octets = 0;

	config.queues = 2;
	port = test_port_open(&config, &c);
	for (unsigned i = 0; i < 5; i++) {
		in[i] = test_frame_new(port_pool(port, 1),
				       &(struct test_frame){.payload = (uint16_t)(i * 100)});
		octets += in[i]->pkt_len;
		assert_true(port_memory_push(port, 1, in[i]));
	}
	assert_int_equal(port_rx(port, 0, out, PORT_BURST), 0);
	assert_int_equal(port_rx(port, 1, out, PORT_BURST), 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_ptr_equal(out[i], in[i]);
		assert_int_equal(out[i]->port, 3);
	}
	assert_int_equal(c.counters[1].port_rx_frames, 5);
	assert_int_equal(c.counters[1].port_rx_octets, octets);

	port_tx_take(port, 1, out, 5);
	assert_null(port_memory_pop(port, 1));
	port_flush(port, 1);
	for (unsigned i = 0; i < 5; i++) {
		assert_ptr_equal(port_memory_pop(port, 1), in[i]);
		rte_pktmbuf_free(in[i]);
	}
	assert_null(port_memory_pop(port, 1));
	assert_int_equal(c.counters[1].port_tx_frames, 5);
	assert_int_equal(c.counters[1].port_tx_octets, octets);
	assert_int_equal(c.counters[0].port_tx_frames, 0);
	close_whole(port, 2);
}

static void a_full_receive_queue_refuses_and_frees(void **state)
{
	struct test_counters c;
	struct port *port = test_port_open(&plain, &c);
	struct rte_mbuf *out[PORT_BURST];
	unsigned pushed = 0;
	uint16_t got;

	while (port_memory_push(port, 0,
				test_frame_new(port_pool(port, 0), &(struct test_frame){0})))
		pushed++;
	assert_in_range(pushed, 1, plain.descriptors);
	assert_int_equal(rte_mempool_in_use_count(port_pool(port, 0)), pushed);
	while ((got = port_rx(port, 0, out, PORT_BURST)) > 0) {
		pushed -= got;
		rte_pktmbuf_free_bulk(out, got);
	}
	assert_int_equal(pushed, 0);
	close_whole(port, 1);
}

static void a_full_transmit_queue_keeps_then_drops_and_counts(void **state)
{
	struct test_counters c;
	struct port *port = test_port_open(&plain, &c);
	struct rte_mbuf *m, *first = NULL;
	unsigned sent = 0, popped = 0;

	for (unsigned i = 0; i < 400; i++) {
		m = test_frame_new(port_pool(port, 0), &(struct test_frame){.payload = 10});
		first = first ? first : m;
		port_tx_take(port, 0, &m, 1);
	}
	assert_true(c.counters[0].port_tx_full > 0);
	assert_ptr_equal(port_memory_pop(port, 0), first);
	rte_pktmbuf_free(first);
	popped = 1;
	for (;;) {
		port_flush(port, 0);
		m = port_memory_pop(port, 0);
		if (!m)
			break;
		popped++;
		rte_pktmbuf_free(m);
	}
	sent = (unsigned)c.counters[0].port_tx_frames;
	assert_int_equal(popped, sent);
	assert_int_equal(sent + c.counters[0].port_tx_full, 400);
	assert_int_equal(c.counters[0].port_tx_octets, sent * (54 + 10));
	close_whole(port, 1);
}

static void a_closed_port_returns_what_it_still_holds(void **state)
{
	struct test_counters c;
	struct port *holder = test_port_open(&plain, &c);
	struct port *port = test_port_open(&plain, &c);
	struct rte_mempool *pool = port_pool(holder, 0);
	struct rte_mbuf *m;

	port_memory_push(port, 0, test_frame_new(pool, &(struct test_frame){0}));
	m = test_frame_new(pool, &(struct test_frame){0});
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
	m = test_frame_new(pool, &(struct test_frame){0});
	port_tx_take(port, 0, &m, 1);
	assert_int_equal(rte_mempool_in_use_count(pool), 3);
	port_close(port);
	close_whole(holder, 1);
}

static void chains_pass_whole_where_they_are_claimed(void **state)
{
	struct test_counters c;
	struct port_config config = plain;
	struct port *port;
	struct rte_mbuf *m, *sent;

	config.memory_chains = true;
	port = test_port_open(&config, &c);
	assert_true(port_caps(port)->chains);
	m = test_frame_new(port_pool(port, 0),
			   &(struct test_frame){.payload = 900, .segment = 201});
	assert_true(m->nb_segs > 1);
	sent = m;
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
	assert_ptr_equal(port_memory_pop(port, 0), sent);
	assert_int_equal(c.counters[0].port_tx_linearised, 0);
	rte_pktmbuf_free(sent);
	close_whole(port, 1);
}

static void chains_are_linearised_where_they_are_not_claimed(void **state)
{
	const struct test_frame frame = {.payload = 1446, .segment = 201};
	struct test_counters c;
	struct port *holder = test_port_open(&plain, &c), *port = test_port_open(&plain, &c);
	struct rte_mbuf *m, *original, *sent;

	assert_false(port_caps(port)->chains);
	m = test_frame_new(port_pool(holder, 0), &frame);
	original = test_frame_new(port_pool(holder, 0), &frame);
	assert_true(m->nb_segs > 1);
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
	sent = port_memory_pop(port, 0);
	assert_non_null(sent);
	assert_int_equal(sent->nb_segs, 1);
	assert_ptr_equal(sent->pool, port_pool(port, 0));
	assert_true(test_frames_equal(sent, original));
	assert_int_equal(c.counters[0].port_tx_linearised, 1);
	rte_pktmbuf_free(sent);

	/* One segment needs no copy, wherever it comes from. */
	rte_pktmbuf_free(original);
	original = m = test_frame_new(port_pool(holder, 0), &(struct test_frame){.payload = 900});
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
	assert_ptr_equal(port_memory_pop(port, 0), original);
	assert_int_equal(c.counters[0].port_tx_linearised, 1);
	rte_pktmbuf_free(original);
	assert_int_equal(rte_mempool_in_use_count(port_pool(holder, 0)), 0);
	port_close(holder);
	close_whole(port, 1);
}

static void a_chain_too_long_for_a_buffer_is_refused_and_counted(void **state)
{
	struct test_counters c;
	struct port *port = test_port_open(&plain, &c);
	struct rte_mbuf *m = test_frame_new(port_pool(port, 0),
					    &(struct test_frame){.payload = 4000, .segment = 500});

	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
	assert_null(port_memory_pop(port, 0));
	assert_int_equal(c.counters[0].port_tx_refused, 1);
	assert_int_equal(c.counters[0].port_tx_linearised, 0);
	close_whole(port, 1);
}

static void a_chain_without_a_buffer_to_copy_into_is_dropped_and_counted(void **state)
{
	struct test_counters c, holder_c;
	struct port *holder = test_port_open(&plain, &holder_c), *port = test_port_open(&plain, &c);
	struct rte_mempool *pool = port_pool(port, 0);
	struct rte_mbuf *taken[2048], *m;
	unsigned n = 0;

	while (n < 2048 && (taken[n] = rte_pktmbuf_alloc(pool)))
		n++;
	m = test_frame_new(port_pool(holder, 0),
			   &(struct test_frame){.payload = 900, .segment = 201});
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
	assert_null(port_memory_pop(port, 0));
	assert_int_equal(c.counters[0].port_no_buffer, 1);
	assert_int_equal(rte_mempool_in_use_count(port_pool(holder, 0)), 0);
	rte_pktmbuf_free_bulk(taken, n);
	port_close(holder);
	close_whole(port, 1);
}

/* Every shape of frame that the claims must cover. */
static void each_shape(void (*check)(struct port *port, const struct test_frame *frame),
		       struct port *port)
{
	static const uint16_t payloads[] = {0, 1, 2, 555, 1400};

	for (unsigned shape = 0; shape < 2 * 3 * RTE_DIM(payloads) * 2; shape++) {
		struct test_frame frame = {
			.v6 = shape & 1,
			.segment = shape & 2 ? 333 : 0,
			.n_vlans = (uint8_t)(shape / 4 % 3),
			.payload = payloads[shape / 12],
			.seed = (uint8_t)shape,
		};

		check(port, &frame);
	}
}

static struct rte_mbuf *through_tx(struct port *port, const struct test_frame *frame)
{
	struct rte_mbuf *m = test_frame_new(port_pool(port, 0), frame);

	assert_non_null(m);
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
	m = port_memory_pop(port, 0);
	assert_non_null(m);
	assert_int_equal(m->ol_flags, 0);
	return m;
}

static void check_filled(struct port *port, const struct test_frame *frame)
{
	struct test_frame asking = *frame, silent = *frame;
	struct rte_mbuf *m, *same;

	asking.request_checksums = true;
	m = through_tx(port, &asking);
	same = through_tx(port, &silent);
	assert_true(test_checksums_good(m, &asking));
	assert_true(test_frames_equal(m, same));
	rte_pktmbuf_free(m);
	rte_pktmbuf_free(same);
}

static void check_not_filled(struct port *port, const struct test_frame *frame)
{
	struct test_frame asking = *frame;
	struct rte_mbuf *m;

	asking.request_checksums = true;
	m = through_tx(port, &asking);
	assert_false(test_checksums_good(m, &asking));
	rte_pktmbuf_free(m);
}

static void claimed_checksums_are_computed_and_others_are_not(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		struct port_config config = plain;
		struct test_counters c;
		struct port *port;

		config.memory_checksums = i & 1;
		config.memory_chains = i & 2;
		port = test_port_open(&config, &c);
		assert_int_equal(port_caps(port)->tx_tcp_checksum, i & 1);
		assert_int_equal(port_caps(port)->tx_ipv4_checksum, i & 1);
		assert_int_equal(port_caps(port)->rx_checksum, i & 1);
		each_shape(i & 1 ? check_filled : check_not_filled, port);
		close_whole(port, 1);
	}
}

static uint64_t flags_after_rx(struct port *port, const struct test_frame *frame, int flip_at)
{
	struct rte_mbuf *m = test_frame_new(port_pool(port, 0), frame);
	uint64_t flags;

	if (flip_at >= 0)
		*rte_pktmbuf_mtod_offset(m, uint8_t *, flip_at) ^= 0x10;
	assert_true(port_memory_push(port, 0, m));
	assert_int_equal(port_rx(port, 0, &m, 1), 1);
	flags = m->ol_flags & (RTE_MBUF_F_RX_IP_CKSUM_MASK | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	rte_pktmbuf_free(m);
	return flags;
}

static void check_verified(struct port *port, const struct test_frame *frame)
{
	uint64_t ip_good = frame->v6 ? 0 : RTE_MBUF_F_RX_IP_CKSUM_GOOD;
	int l2 = 14 + 4 * frame->n_vlans, l3 = frame->v6 ? 40 : 20;

	assert_int_equal(flags_after_rx(port, frame, -1), ip_good | RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	/* the TCP window */
	assert_int_equal(flags_after_rx(port, frame, l2 + l3 + 14),
			 ip_good | RTE_MBUF_F_RX_L4_CKSUM_BAD);
	/* the time to live, which is no part of TCP's sum */
	if (!frame->v6)
		assert_int_equal(flags_after_rx(port, frame, l2 + 8),
				 RTE_MBUF_F_RX_IP_CKSUM_BAD | RTE_MBUF_F_RX_L4_CKSUM_GOOD);
}

static void check_unverified(struct port *port, const struct test_frame *frame)
{
	assert_int_equal(flags_after_rx(port, frame, -1), 0);
	assert_int_equal(flags_after_rx(port, frame, 14 + 4 * frame->n_vlans + 30), 0);
}

static void arrivals_are_checked_where_that_is_claimed_only(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		struct port_config config = plain;
		struct test_counters c;
		struct port *port;

		config.memory_checksums = i;
		port = test_port_open(&config, &c);
		each_shape(i ? check_verified : check_unverified, port);
		close_whole(port, 1);
	}
}

static void link_padding_is_no_part_of_a_checksum(void **state)
{
	const struct test_frame frame = {.payload = 0};
	struct port_config config = plain;
	struct test_counters c;
	struct port *port;
	struct rte_mbuf *m;

	config.memory_checksums = true;
	port = test_port_open(&config, &c);
	m = test_frame_new(port_pool(port, 0), &frame);
	memset(rte_pktmbuf_append(m, 6), 0xee, 6);
	assert_true(port_memory_push(port, 0, m));
	assert_int_equal(port_rx(port, 0, &m, 1), 1);
	assert_int_equal(m->ol_flags, RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	rte_pktmbuf_free(m);
	close_whole(port, 1);
}

/* Whatever octets arrive, a checking port neither reads outside nor claims a whole frame. */
static void random_octets_are_never_taken_for_a_good_segment(void **state)
{
	struct port_config config = plain;
	struct test_counters c;
	struct port *port;

	srandom((unsigned)test_seed(20240229));
	config.memory_checksums = true;
	port = test_port_open(&config, &c);
	for (unsigned i = 0; i < 20000; i++) {
		struct test_frame frame = {
			.v6 = random() & 1,
			.n_vlans = (uint8_t)(random() % 3),
			.payload = (uint16_t)(random() % 40),
		};
		struct rte_mbuf *m = test_frame_new(port_pool(port, 0), &frame);
		uint16_t whole = (uint16_t)m->pkt_len;
		uint16_t keep = (uint16_t)(random() % whole);
		bool good;

		rte_pktmbuf_trim(m, (uint16_t)(whole - keep));
		for (unsigned k = 0; k < 3 && keep > 0; k++)
			*rte_pktmbuf_mtod_offset(m, uint8_t *, random() % keep) = (uint8_t)random();
		assert_true(port_memory_push(port, 0, m));
		assert_int_equal(port_rx(port, 0, &m, 1), 1);
		good = (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
		assert_false(good && keep < 14 + 20 + 20);
		rte_pktmbuf_free(m);
	}
	close_whole(port, 1);
}

static void what_is_asked_for_amiss_is_refused_with_a_sentence(void **state)
{
	struct port_config config = plain;
	struct port *port = (struct port *)&config;
	struct test_counters c;
	char error[80] = "";

	test_counters_init(&c);
	config.queues = PORT_QUEUES_MAX + 1;
	assert_int_equal(port_open(&port, &config, c.pointers, error, sizeof(error)), -EINVAL);
	assert_string_equal(error, "m: 65 queues asked for, 1 to 64 can be had");
	assert_ptr_equal(port, &config);
	config.queues = 0;
	assert_int_equal(port_open(&port, &config, c.pointers, error, 8), -EINVAL);
	assert_string_equal(error, "m: 0 qu");
}

static void the_claims_asked_for_are_the_claims_made(void **state)
{
	struct port_config config = plain;
	struct test_counters c;
	struct port *port;

	config.memory_mtu = 9000;
	config.memory_checksums = true;
	config.frames = 64;
	memcpy(config.memory_mac, "\x02\x11\x22\x33\x44\x55", 6);
	port = test_port_open(&config, &c);
	assert_int_equal(port_caps(port)->mtu, 9000);
	assert_memory_equal(port_caps(port)->mac, config.memory_mac, 6);
	assert_false(port_caps(port)->kernel_shares);
	/* The largest frame of that MTU can be linearised. */
	check_filled(port,
		     &(struct test_frame){.payload = 9000 - 40, .n_vlans = 2, .segment = 1999});
	close_whole(port, 1);
}

static const struct port_rss four_queues = {
	.tcp4 = true,
	.tcp6 = true,
	.hash_in_mbuf = true,
	.key_len = 40,
	.key = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
		0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
		0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa},
	.table_len = 4,
	.table = {3, 1, 0, 2},
};

static uint16_t queue_of(const struct port *port, const struct rte_mbuf *m)
{
	return port_memory_queue(port, rte_pktmbuf_mtod(m, void *), rte_pktmbuf_data_len(m));
}

/* The hash the card leaves in a frame of this source port; false: none. */
static bool hash_of(struct port *port, const struct test_frame *frame, uint8_t source_port,
		    uint32_t *hash, uint16_t *queue)
{
	struct rte_mbuf *m = test_frame_new(port_pool(port, 0), frame);
	bool there;

	*rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 4 * frame->n_vlans + (frame->v6 ? 41 : 21)) =
		source_port;
	*queue = queue_of(port, m);
	assert_true(port_memory_push(port, *queue, m));
	assert_int_equal(port_rx(port, *queue, &m, 1), 1);
	there = m->ol_flags & RTE_MBUF_F_RX_RSS_HASH;
	*hash = m->hash.rss;
	rte_pktmbuf_free(m);
	return there;
}

static void frames_are_spread_by_the_hash_they_carry(void **state)
{
	struct port_config config = plain;
	struct test_counters c;
	struct port *port;

	config.queues = 4;
	config.memory_rss = &four_queues;
	port = test_port_open(&config, &c);
	assert_memory_equal(&port_caps(port)->rss, &four_queues, sizeof(four_queues));
	for (unsigned shape = 0; shape < 6; shape++) {
		const struct test_frame frame = {.v6 = shape & 1, .n_vlans = (uint8_t)(shape / 2)};
		unsigned got[4] = {0};

		for (unsigned i = 0; i < 256; i++) {
			uint32_t hash, again;
			uint16_t queue;

			assert_true(hash_of(port, &frame, (uint8_t)i, &hash, &queue));
			assert_int_equal(queue, four_queues.table[hash % 4]);
			assert_true(hash_of(port, &frame, (uint8_t)i, &again, &queue));
			assert_int_equal(again, hash);
			got[queue]++;
		}
		for (unsigned q = 0; q < 4; q++)
			assert_in_range(got[q], 1, 255);
	}
	close_whole(port, 4);
}

static void what_a_card_does_may_differ_from_what_it_claims(void **state)
{
	struct port_rss rss = four_queues;
	struct port_config config = plain;
	struct test_counters c;
	struct port *port;
	uint32_t hash, before;
	uint16_t queue;

	config.queues = 4;
	config.memory_rss = &four_queues;
	port = test_port_open(&config, &c);
	assert_true(hash_of(port, &(struct test_frame){0}, 1, &before, &queue));
	rss.key[0] ^= 0xff;
	memset(rss.table, 2, sizeof(rss.table));
	port_memory_set_rss(port, &rss);
	assert_memory_equal(&port_caps(port)->rss, &four_queues, sizeof(four_queues));
	assert_true(hash_of(port, &(struct test_frame){0}, 1, &hash, &queue));
	assert_int_not_equal(hash, before);
	assert_int_equal(queue, 2);
	rss.hash_in_mbuf = false;
	port_memory_set_rss(port, &rss);
	assert_false(hash_of(port, &(struct test_frame){0}, 1, &hash, &queue));
	assert_int_equal(queue, 2);
	close_whole(port, 4);
}

/* Of the version it does not spread, of other protocols, cut short. */
static void what_is_not_spread_comes_to_the_first_queue(void **state)
{
	struct port_rss rss = four_queues;
	struct port_config config = plain;
	struct test_counters c;
	struct port *port;
	struct rte_mbuf *m;
	uint32_t hash;
	uint16_t queue;

	config.queues = 4;
	rss.table[2] = 1; /* no other way leads to the first queue */
	config.memory_rss = &rss;
	port = test_port_open(&config, &c);
	m = test_frame_new(port_pool(port, 0), &(struct test_frame){0});
	assert_int_not_equal(queue_of(port, m), 0);
	for (uint16_t len = 0; len < 38; len++)
		assert_int_equal(port_memory_queue(port, rte_pktmbuf_mtod(m, void *), len), 0);
	*rte_pktmbuf_mtod_offset(m, uint8_t *, 14 + 9) = 17;
	assert_int_equal(queue_of(port, m), 0);
	rte_pktmbuf_free(m);
	rss.tcp6 = false;
	port_memory_set_rss(port, &rss);
	assert_false(hash_of(port, &(struct test_frame){.v6 = true}, 1, &hash, &queue));
	assert_int_equal(queue, 0);
	close_whole(port, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_pass_in_order_with_interface_and_counts),
		cmocka_unit_test(a_full_receive_queue_refuses_and_frees),
		cmocka_unit_test(a_full_transmit_queue_keeps_then_drops_and_counts),
		cmocka_unit_test(a_closed_port_returns_what_it_still_holds),
		cmocka_unit_test(chains_pass_whole_where_they_are_claimed),
		cmocka_unit_test(chains_are_linearised_where_they_are_not_claimed),
		cmocka_unit_test(a_chain_too_long_for_a_buffer_is_refused_and_counted),
		cmocka_unit_test(a_chain_without_a_buffer_to_copy_into_is_dropped_and_counted),
		cmocka_unit_test(claimed_checksums_are_computed_and_others_are_not),
		cmocka_unit_test(arrivals_are_checked_where_that_is_claimed_only),
		cmocka_unit_test(link_padding_is_no_part_of_a_checksum),
		cmocka_unit_test(random_octets_are_never_taken_for_a_good_segment),
		cmocka_unit_test(frames_are_spread_by_the_hash_they_carry),
		cmocka_unit_test(what_a_card_does_may_differ_from_what_it_claims),
		cmocka_unit_test(what_is_not_spread_comes_to_the_first_queue),
		cmocka_unit_test(what_is_asked_for_amiss_is_refused_with_a_sentence),
		cmocka_unit_test(the_claims_asked_for_are_the_claims_made),
	};

	test_eal_start("port");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
