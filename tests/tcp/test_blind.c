/* SPDX-License-Identifier: BSD-3-Clause */
/* What a stranger sends who sees none of our segments, or a peer we no longer know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/eal.h"
#include "peer.h"

static void a_closed_port_answers_a_syn_with_a_reset(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	p.flow.local_port = 26;
	peer_send(&p, TCP_SYN, NULL, 0);
	peer_expect(&p, TCP_RST | TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.counters.tcp_no_listener, 1);
	peer_release(&p);
}

static void a_reset_is_never_answered(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send(&p, TCP_RST, NULL, 0);
	peer_send(&p, TCP_RST | TCP_ACK, NULL, 0);
	peer_expect_silence(&p);
	peer_release(&p);
}

static unsigned resets_in_a_period(struct peer *p)
{
	unsigned resets = peer_count_answers(p, 300, TCP_ACK, 5, 4711, NULL, 0);

	p->now_us += 100000;
	return resets;
}

static void an_unknown_connection_is_reset_at_its_own_number_but_not_for_ever(void **state)
{
	unsigned resets;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	peer_send_at(&p, TCP_ACK, 5, 4711, hello, HELLO);
	peer_expect(&p, TCP_RST, 0);
	assert_int_equal(p.got.seq, 4711);
	resets = resets_in_a_period(&p);
	assert_in_range(resets, 49, 150); /* a tenth of a second's worth */
	assert_int_equal(p.counters.tcp_replies_shed, 300 - resets);
	peer_release(&p);
}

/* Else who provokes them could tell by the rest what somebody else provoked. */
static void what_is_left_of_the_resets_tells_nothing(void **state)
{
	enum { PERIODS = 200, MOST = 150, LEAST = 50 };
	bool seen[2][MOST + 1] = {{false}};
	unsigned same = 0, sum = 0;
	struct peer p, other;

	for (unsigned i = 0; i < PERIODS; i++) {
		unsigned of_one, of_other;

		peer_init(&p, &(struct peer_options){.worker = 0});
		p.now_us += 100000 * i;
		of_one = resets_in_a_period(&p);
		peer_release(&p);
		peer_init(&other, &(struct peer_options){.worker = 1});
		other.now_us += 100000 * i;
		of_other = resets_in_a_period(&other);
		peer_release(&other);
		assert_in_range(of_one, LEAST, MOST);
		assert_in_range(of_other, LEAST, MOST);
		seen[0][of_one] = seen[1][of_other] = true;
		same += of_one == of_other;
		sum += of_one;
	}
	assert_in_range(sum, PERIODS * 90, PERIODS * 110);
	assert_true(same < PERIODS / 20);
	for (unsigned worker = 0; worker < 2; worker++) {
		unsigned distinct = 0;

		for (unsigned n = LEAST; n <= MOST; n++)
			distinct += seen[worker][n];
		assert_true(distinct > 60);
	}
}

static void flags_no_peer_means_are_dropped(void **state)
{
	static const uint8_t bad[] = {
		0,
		TCP_FIN,
		TCP_SYN | TCP_FIN,
		TCP_SYN | TCP_RST,
		TCP_FIN | TCP_RST | TCP_ACK,
		TCP_FIN | TCP_PSH | TCP_URG,
		0xff,
	};
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	for (unsigned i = 0; i < sizeof(bad); i++)
		peer_send(&p, bad[i], NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_bad_header, sizeof(bad));
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void an_ack_of_what_was_never_sent_is_challenged(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack + 1, hello, HELLO);
	assert_int_equal(p.read_len, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_bad_ack, 1);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack - 200000, hello, HELLO);
	assert_int_equal(p.read_len, 0);
	peer_release(&p);
}

static void a_reset_must_hit_the_number_exactly(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_challenge_acks, 1);
	peer_send_at(&p, TCP_RST, p.seq + 70000, 0, NULL, 0);
	peer_expect_silence(&p);
	assert_int_equal(p.news, 0);
	peer_send_at(&p, TCP_RST, p.seq, 0, NULL, 0);
	assert_int_equal(p.end, TCP_END_RESET);
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

static void a_syn_in_a_connection_is_challenged(void **state)
{
	struct peer p;

	peer_init_open(&p);
	peer_send_at(&p, TCP_SYN, p.seq + 5, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ack, p.seq);
	assert_int_equal(p.news, 0);
	peer_release(&p);
}

static void an_old_timestamp_is_not_taken(void **state)
{
	struct peer p;

	peer_init_open_ts(&p, 1000);
	p.ts_value = 900;
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, hello, HELLO);
	assert_int_equal(p.read_len, 0);
	assert_int_equal(p.counters.tcp_paws, 1);
	peer_expect(&p, TCP_ACK, 0);
	p.ts_value = 1001;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	peer_wait_ms(&p, 50);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.got.ts_echo, 1001);
	peer_release(&p);
}

static void a_timestamp_of_weeks_ago_is_no_evidence(void **state)
{
	struct peer p;

	peer_init_open_ts(&p, 1000);
	peer_wait_ms(&p, 23u * 24 * 3600 * 1000);
	p.ts_value = 900;
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	assert_int_equal(p.counters.tcp_paws, 1);
	peer_wait_ms(&p, 25u * 3600 * 1000); /* RFC 7323 5.5: its clock may have gone around */
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	peer_release(&p);
}

/* Nor once milliseconds have gone around twice and more; but what is new then is, again. */
static void a_timestamp_of_months_ago_is_no_evidence(void **state)
{
	for (unsigned days = 24; days <= 240; days += 12) {
		struct peer p;

		peer_init(&p, &(struct peer_options){0});
		p.ts = true;
		p.ts_value = 1000;
		peer_open(&p);
		for (unsigned day = 0; day < days; day++)
			peer_wait_ms(&p, 24u * 3600 * 1000);
		p.ts_value = 900;
		peer_send(&p, TCP_ACK, hello, HELLO);
		assert_int_equal(p.read_len, HELLO);
		peer_wait_ms(&p, 50);
		peer_expect(&p, TCP_ACK, 0);
		assert_int_equal(p.got.ts_echo, 900);
		p.ts_value = 800;
		peer_send(&p, TCP_ACK, hello, HELLO);
		assert_int_equal(p.counters.tcp_paws, 1);
		peer_release(&p);
	}
}

static void a_segment_whose_ack_is_wrong_sets_no_timestamp(void **state)
{
	struct peer p;

	peer_init_open_ts(&p, 1000);
	p.ts_value = 0x70000000;
	peer_send_at(&p, TCP_ACK, p.seq, p.ack + 5000, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	p.ts_value = 1001;
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	assert_int_equal(p.counters.tcp_paws, 0);
	peer_release(&p);
}

static void challenges_are_limited_a_connection(void **state)
{
	struct peer p;

	peer_init_open(&p);
	assert_int_equal(peer_count_answers(&p, 1000, TCP_RST, p.seq + 1, 0, NULL, 0), 1);
	peer_wait_ms(&p, 100);
	peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

/* Else who has one connection could count on it what he provokes on another's. */
static void challenges_of_one_connection_cost_another_none(void **state)
{
	struct peer p, other;

	peer_init_open(&p);
	other = p;
	p.flow.remote_port++;
	peer_open(&p);
	peer_count_answers(&p, 1000, TCP_RST, p.seq + 1, 0, NULL, 0);
	p.flow = other.flow;
	peer_send_at(&p, TCP_RST, other.seq + 1, 0, NULL, 0);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

static void acks_out_of_the_window_start_no_storm(void **state)
{
	struct peer p;

	peer_init_open(&p);
	assert_int_equal(peer_count_answers(&p, 1000, TCP_ACK, p.seq - 5000, p.ack, NULL, 0), 1);
	/* But bytes the peer repeats show that our ACK was lost. */
	for (unsigned i = 0; i < 3; i++) {
		peer_send_at(&p, TCP_ACK, p.seq - 5000, p.ack, hello, HELLO);
		peer_expect(&p, TCP_ACK, 0);
	}
	peer_release(&p);
}

/* When one of them begins is not when another one does. */
static void each_connection_counts_its_challenges_from_a_time_of_its_own(void **state)
{
	enum { CONNS = 8 };
	unsigned begins[CONNS], distinct = 0;
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	for (unsigned i = 0; i < CONNS; i++) {
		uint64_t now_us = p.now_us;
		unsigned ms;

		p.flow.remote_port++;
		peer_open(&p);
		peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
		peer_expect(&p, TCP_ACK, 0);
		for (ms = 1;; ms++) {
			p.now_us = now_us + 1000 * ms;
			peer_send_at(&p, TCP_RST, p.seq + 1, 0, NULL, 0);
			if (peer_hear(&p))
				break;
		}
		assert_in_range(ms, 1, 64);
		begins[i] = ms;
		p.now_us = now_us + 64000;
		for (unsigned k = 0; k < i && begins[k] != ms; k++)
			distinct += k + 1 == i;
	}
	assert_true(distinct >= CONNS / 2);
	peer_release(&p);
}

static void segments_of_an_old_time_are_challenged_now_and_then(void **state)
{
	struct peer p;

	peer_init_open_ts(&p, 1000);
	p.ts_value = 900;
	assert_int_equal(peer_count_answers(&p, 1000, TCP_ACK, p.seq, p.ack, hello, HELLO), 1);
	assert_int_equal(p.counters.tcp_paws, 1000);
	assert_int_equal(p.read_len, 0);
	peer_wait_ms(&p, 64);
	peer_send_at(&p, TCP_ACK, p.seq, p.ack, hello, HELLO);
	peer_expect(&p, TCP_ACK, 0);
	peer_release(&p);
}

/* Of whatever a stranger can make up, nothing gets through to the owner. */
static void what_lies_out_of_the_window_is_not_taken(void **state)
{
	struct peer p;

	peer_init(&p, &(struct peer_options){.receive_window = 8192});
	peer_open(&p);
	for (uint32_t i = 0; i < 32; i++) {
		const uint8_t flags[] = {TCP_ACK, TCP_ACK | TCP_FIN, TCP_SYN, TCP_RST,
					 TCP_SYN | TCP_ACK};

		for (unsigned k = 0; k < sizeof(flags); k++) {
			peer_send_at(&p, flags[k], p.seq + 8192 + (1u << i), p.ack, hello, HELLO);
			peer_send_at(&p, flags[k], p.seq - HELLO - (1u << i), p.ack, hello, HELLO);
			while (peer_hear(&p))
				assert_int_equal(p.got.flags, TCP_ACK);
		}
	}
	assert_int_equal(p.news, 0);
	assert_int_equal(p.read_len, 0);
	peer_send(&p, TCP_ACK, hello, HELLO);
	assert_int_equal(p.read_len, HELLO);
	peer_release(&p);
}

static void options_of_bogus_lengths_are_dropped_and_counted(void **state)
{
	static const uint8_t bad[][4] = {
		{2, 0, 0, 0}, {2, 1, 0, 0}, {2, 5, 5, 180}, {1, 1, 1, 2}, {8, 255, 1, 1},
	};
	struct peer p;

	peer_init(&p, &(struct peer_options){0});
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		peer_send_options(&p, TCP_SYN, bad[i]);
	peer_expect_silence(&p);
	assert_int_equal(p.counters.tcp_bad_header, sizeof(bad) / sizeof(bad[0]));
	assert_int_equal(peer_conns(&p), 0);
	peer_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closed_port_answers_a_syn_with_a_reset),
		cmocka_unit_test(a_reset_is_never_answered),
		cmocka_unit_test(an_unknown_connection_is_reset_at_its_own_number_but_not_for_ever),
		cmocka_unit_test(what_is_left_of_the_resets_tells_nothing),
		cmocka_unit_test(flags_no_peer_means_are_dropped),
		cmocka_unit_test(an_ack_of_what_was_never_sent_is_challenged),
		cmocka_unit_test(a_reset_must_hit_the_number_exactly),
		cmocka_unit_test(a_syn_in_a_connection_is_challenged),
		cmocka_unit_test(an_old_timestamp_is_not_taken),
		cmocka_unit_test(a_timestamp_of_weeks_ago_is_no_evidence),
		cmocka_unit_test(a_timestamp_of_months_ago_is_no_evidence),
		cmocka_unit_test(a_segment_whose_ack_is_wrong_sets_no_timestamp),
		cmocka_unit_test(challenges_are_limited_a_connection),
		cmocka_unit_test(challenges_of_one_connection_cost_another_none),
		cmocka_unit_test(acks_out_of_the_window_start_no_storm),
		cmocka_unit_test(each_connection_counts_its_challenges_from_a_time_of_its_own),
		cmocka_unit_test(segments_of_an_old_time_are_challenged_now_and_then),
		cmocka_unit_test(what_lies_out_of_the_window_is_not_taken),
		cmocka_unit_test(options_of_bogus_lengths_are_dropped_and_counted),
	};

	test_eal_start("tcp-blind");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
