/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How far an interface is believed: what counts for it, what against it, and what neither.
 *
 * Thread: one. Time: none. Memory: the stack; mbufs are heads without a frame. Rules: none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "net/rss.h"
#include "worker/steering.h"

enum {
	WORKERS = 4,
	SELF = 2,
	PLAIN_AT = 14 + 20, /* where TCP begins without tags and options */
	PLAIN6_AT = 14 + 40,
};

struct bench {
	struct postern_counters counters;
	struct net net;
	struct net_rss cards[2];
	struct steering steering;
	/* The mbuf; its own alignment a sanitizer's stack does not keep. */
	uint8_t room[sizeof(struct rte_mbuf) + RTE_CACHE_LINE_SIZE];
	struct rte_mbuf *m;
	uint16_t client; /* the next one's port */
};

static void card_init(struct net_rss *rss, uint8_t factor)
{
	uint8_t key[NET_RSS_KEY6], table[128];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * factor + 51);
	for (size_t i = 0; i < sizeof(table); i++)
		table[i] = (uint8_t)(i % WORKERS);
	assert_true(net_rss_init(rss, key, sizeof(key), table, sizeof(table), true, true));
}

/* Two interfaces, each with an address of either version and a card of its own. */
static void bench_init(struct bench *b)
{
	static const uint8_t ours[2][4] = {{192, 0, 2, 25}, {198, 51, 100, 25}};
	static const uint8_t ours6[2][16] = {{0xfd, [15] = 1}, {0xfd, [15] = 2}};

	*b = (struct bench){.steering = {.self = SELF}, .client = 1024};
	b->m = RTE_PTR_ALIGN((void *)b->room, RTE_CACHE_LINE_SIZE);
	card_init(&b->cards[0], 37);
	card_init(&b->cards[1], 89);
	b->net = (struct net){.n_ports = 2, .n_addresses = 4, .n_workers = WORKERS};
	b->net.counters = &b->counters;
	for (uint8_t i = 0; i < 2; i++) {
		b->net.ports[i].rss = &b->cards[i];
		b->net.addresses[2 * i].ip = ip_addr_from_v4(ours[i]);
		b->net.addresses[2 * i].port = i;
		b->net.addresses[2 * i + 1].ip = ip_addr_from_v6(ours6[i]);
		b->net.addresses[2 * i + 1].port = i;
	}
}

/* From the next client, to this address of ours, by this interface. */
static struct net_segment segment(struct bench *b, uint32_t address, uint8_t port)
{
	static const uint8_t client[16] = {[10] = 0xff, 0xff, 203, 0, 113, 7};
	static const uint8_t client6[16] = {0xfd, [1] = 9, [15] = 7};
	struct net_segment seg = {
		.m = b->m,
		.flow = {.local = b->net.addresses[address].ip, .local_port = 25},
		.path = {.port = port},
		.tcp_at = address % 2 ? PLAIN6_AT : PLAIN_AT,
	};

	seg.flow.remote = ip_addr_from_v6(address % 2 ? client6 : client);
	seg.flow.remote_port = b->client++;
	seg.hash = net_hash(&b->net, &seg.flow);
	return seg;
}

static uint16_t queue_of(const struct bench *b, uint8_t card, const struct net_segment *seg)
{
	return net_rss_queue(&b->cards[card], net_rss_hash(&b->cards[card], &seg->flow));
}

/* One that a card puts into our queue, or into another's. */
static struct net_segment segment_for(struct bench *b, uint32_t address, uint8_t port, bool us)
{
	struct net_segment seg;

	do
		seg = segment(b, address, port);
	while ((queue_of(b, port, &seg) == SELF) != us);
	return seg;
}

/* As many as prove an interface, less so many. */
static void prove(struct bench *b, uint8_t port, unsigned less)
{
	for (unsigned i = 0; i < STEERING_PROOF - less; i++) {
		struct net_segment seg = segment_for(b, 2u * port + i % 2, port, true);

		assert_int_equal(steering_owner(&b->steering, &b->net, &seg), SELF);
		assert_false(seg.on_trust);
	}
}

static bool trusted(struct bench *b, uint8_t port)
{
	struct net_segment seg = segment_for(b, 2u * port, port, true);
	struct steering before = b->steering;

	steering_owner(&b->steering, &b->net, &seg);
	b->steering = before;
	return seg.on_trust;
}

static void an_interface_is_believed_after_its_proof(void **state)
{
	struct net_segment seg;
	struct bench b;

	bench_init(&b);
	prove(&b, 0, 1);
	assert_false(trusted(&b, 0));
	prove(&b, 0, STEERING_PROOF - 1);
	assert_true(trusted(&b, 0));
	assert_false(trusted(&b, 1)); /* each for itself */
	/* Then even what is another's is ours on trust, until TCP gives it back. */
	seg = segment_for(&b, 0, 0, false);
	assert_int_equal(steering_owner(&b.steering, &b.net, &seg), SELF);
	assert_true(seg.on_trust);
	assert_int_equal(steering_compute(&b.steering, &b.net, &seg), queue_of(&b, 0, &seg));
	assert_false(seg.on_trust);
	assert_int_equal(b.counters.steering_disagreed, 1);
}

static void trust_once_broken_is_earned_anew(void **state)
{
	struct net_segment seg;
	struct bench b;

	for (unsigned less = 0; less <= STEERING_PROOF; less += STEERING_PROOF / 2) {
		bench_init(&b);
		prove(&b, 0, less);
		seg = segment_for(&b, 0, 0, false);
		assert_int_equal(steering_compute(&b.steering, &b.net, &seg),
				 queue_of(&b, 0, &seg));
		assert_int_equal(b.counters.steering_disagreed, 1);
		prove(&b, 0, 1);
		assert_false(trusted(&b, 0));
		prove(&b, 0, STEERING_PROOF - 1);
		assert_true(trusted(&b, 0));
	}
}

static void the_hash_in_the_mbuf_must_be_the_one_computed(void **state)
{
	struct net_segment seg;
	struct bench b;

	bench_init(&b);
	b.m->ol_flags = RTE_MBUF_F_RX_RSS_HASH;
	seg = segment_for(&b, 0, 0, true);
	b.m->hash.rss = net_rss_hash(&b.cards[0], &seg.flow);
	assert_int_equal(steering_owner(&b.steering, &b.net, &seg), SELF);
	assert_int_equal(b.counters.steering_agreed, 1);
	b.m->hash.rss ^= 0x80000000; /* which leads to the same queue */
	assert_int_equal(steering_owner(&b.steering, &b.net, &seg), SELF);
	assert_int_equal(b.counters.steering_disagreed, 1);
	assert_int_equal(b.counters.steering_agreed, 1);
	b.m->ol_flags = 0; /* no hash, whatever stands there */
	assert_int_equal(steering_owner(&b.steering, &b.net, &seg), SELF);
	assert_int_equal(b.counters.steering_agreed, 2);
}

static void what_cards_differ_about_is_no_evidence(void **state)
{
	struct net_segment odd[4];
	struct bench b;

	bench_init(&b);
	prove(&b, 0, 1);
	for (size_t i = 0; i < 4; i++)
		odd[i] = segment_for(&b, i % 2, 0, false);
	odd[0].tcp_at += 4;			      /* an IPv4 option */
	odd[1].tcp_at += 8;			      /* an extension header */
	odd[2].tcp_at += 8, odd[2].path.n_vlans = 2;  /* two tags */
	odd[3].tcp_at += 12, odd[3].path.n_vlans = 1; /* a tag and an extension header */
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(steering_owner(&b.steering, &b.net, &odd[i]),
				 queue_of(&b, 0, &odd[i]));
	assert_int_equal(b.counters.steering_disagreed, 0);
	assert_int_equal(b.counters.steering_agreed, STEERING_PROOF - 1);
	/* One tag is no oddity. */
	odd[0] = segment_for(&b, 0, 0, true);
	odd[0].tcp_at += 4, odd[0].path.n_vlans = 1;
	assert_int_equal(steering_owner(&b.steering, &b.net, &odd[0]), SELF);
	assert_true(trusted(&b, 0));
}

/* It came to the queue the other card says; it belongs where its own would have put it. */
static void what_comes_by_another_interface_belongs_to_its_own(void **state)
{
	unsigned elsewhere = 0;
	struct bench b;

	bench_init(&b);
	for (unsigned i = 0; i < STEERING_PROOF; i++) {
		struct net_segment seg = segment_for(&b, i % 2, 1, true);

		assert_int_equal(steering_owner(&b.steering, &b.net, &seg), queue_of(&b, 0, &seg));
		elsewhere += queue_of(&b, 0, &seg) != SELF;
	}
	assert_in_range(elsewhere, STEERING_PROOF / 4, STEERING_PROOF);
	assert_int_equal(b.counters.steering_agreed, STEERING_PROOF);
	assert_true(trusted(&b, 1));
}

static void an_interface_that_says_nothing_gives_no_evidence(void **state)
{
	struct net_segment seg;
	struct bench b;

	bench_init(&b);
	memset(b.net.owner_of, 3, sizeof(b.net.owner_of));
	b.cards[0].tcp6 = false;
	b.net.ports[1].rss = NULL;
	prove(&b, 0, STEERING_PROOF); /* no segment at all */
	for (uint32_t address = 1; address < 4; address++) {
		for (unsigned i = 0; i < 2 * STEERING_PROOF; i++) {
			seg = segment(&b, address, address / 2);
			assert_int_equal(steering_owner(&b.steering, &b.net, &seg), 3);
			assert_false(seg.on_trust);
		}
	}
	assert_int_equal(b.counters.steering_agreed + b.counters.steering_disagreed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interface_is_believed_after_its_proof),
		cmocka_unit_test(trust_once_broken_is_earned_anew),
		cmocka_unit_test(the_hash_in_the_mbuf_must_be_the_one_computed),
		cmocka_unit_test(what_cards_differ_about_is_no_evidence),
		cmocka_unit_test(what_comes_by_another_interface_belongs_to_its_own),
		cmocka_unit_test(an_interface_that_says_nothing_gives_no_evidence),
	};

	return cmocka_run_group_tests_name("steering", tests, NULL, NULL);
}
