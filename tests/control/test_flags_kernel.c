/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts in the kernel's map: what workers left is written, who is spared is spared, and what
 * ends is gone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "bpf/fixture.h"
#include "verdicts.h"

enum { HOUR = 3600, NS = 1000000000 };

static struct shield *shield;

static bool unflag(const struct shield_flagged *f, void *arg)
{
	char error[ERROR_LEN];

	return shield_unflag(shield, &f->address, f->prefix_len, error, sizeof(error)) == 0;
}

static bool disallow(const struct shield_allowed *a, void *arg)
{
	char error[ERROR_LEN];

	return shield_disallow(shield, &a->address, a->prefix_len, error, sizeof(error)) == 0;
}

static int empty_maps(void **state)
{
	char error[ERROR_LEN];

	return shield_each_flagged(shield, unflag, NULL, error, sizeof(error)) ||
	       shield_each_allowed(shield, disallow, NULL, error, sizeof(error));
}

static struct flags_config configure(struct world *w, bool observe)
{
	struct flags_config config = verdicts_begin(w, observe);

	config.shield = shield;
	return config;
}

static void begin(struct world *w)
{
	const struct flags_config config = configure(w, false);

	verdicts_flags(w, &config);
}

/* Seconds it is flagged for, rounded; 0: it is not. */
static unsigned flagged_s(const char *text)
{
	const struct ip_network network = verdicts_network(text);
	struct shield_flagged found;
	char error[ERROR_LEN];
	int err = shield_find_flagged(shield, &network.address, network.prefix_len, &found, error,
				      sizeof(error));

	assert_true(err == 0 || err == -ENOENT);
	return err ? 0 : (unsigned)((found.expiry_ns - shield_now_ns() + NS / 2) / NS);
}

struct looked_for {
	struct ip_network network;
	bool is_there, is_for_ever;
};

static bool look_for(const struct shield_allowed *a, void *arg)
{
	struct looked_for *l = arg;

	if (a->prefix_len != l->network.prefix_len ||
	    !ip_addr_equal(&a->address, &l->network.address))
		return true;
	l->is_there = true;
	l->is_for_ever = a->expiry_ns == 0;
	return false;
}

static struct looked_for allowance(const char *text)
{
	struct looked_for l = {.network = verdicts_network(text)};
	char error[ERROR_LEN];

	assert_int_equal(shield_each_allowed(shield, look_for, &l, error, sizeof(error)), 0);
	return l;
}

static bool is_spared(const char *text)
{
	return allowance(text).is_there;
}

static void flag(const char *text, uint64_t expiry_ns)
{
	const struct ip_network network = verdicts_network(text);
	char error[ERROR_LEN];

	if (shield_flag(shield, &network.address, network.prefix_len, expiry_ns, error,
			sizeof(error)))
		fail_msg("%s", error);
}

static struct flags_ended unban(struct world *w, const char *text)
{
	const struct ip_network network = verdicts_network(text);
	struct flags_ended ended;

	if (flags_unban(w->flags, &network, &ended, w->error, sizeof(w->error)))
		fail_msg("%s", w->error);
	return ended;
}

static void what_a_worker_left_is_written_and_what_it_did_is_not_done_again(void **state)
{
	struct flags_counts counts;
	struct world w;

	begin(&w);
	verdicts_guess(&w, "192.0.2.7", false);
	verdicts_guess(&w, "192.0.3.8", true);
	verdicts_guess(&w, "2001:db8:1:2::1", false);
	flags_take(w.flags);
	assert_in_range(flagged_s("192.0.2.7"), 295, 300);
	assert_int_equal(flagged_s("192.0.3.8"), 0);
	assert_in_range(flagged_s("2001:db8:1:2::/64"), 295, 300);
	flags_count(w.flags, &counts);
	assert_int_equal(counts.heard, 3);
	assert_int_equal(counts.written, 2);
	verdicts_end(&w);
}

static void note_whether_flagged(void *arg, const struct harvest_verdict *verdict)
{
	*(bool *)arg = flagged_s("192.0.2.7") > 0;
}

static void a_verdict_is_carried_out_before_it_is_told_of(void **state)
{
	bool was_flagged = false;
	struct flags_config config;
	struct world w;

	config = configure(&w, false);
	config.event = note_whether_flagged;
	config.event_arg = &was_flagged;
	verdicts_flags(&w, &config);
	verdicts_guess(&w, "192.0.2.7", false);
	flags_take(w.flags);
	assert_true(was_flagged);
	verdicts_end(&w);
}

static void a_prefix_spares_who_has_credit_until_its_own_verdict(void **state)
{
	const struct ip_network other = verdicts_network("192.0.2.201");
	struct notice own = {.verdict = {.address = verdicts_address("192.0.2.200"),
					 .prefix_len = 128},
			     .is_flagged = true};
	struct world w;

	begin(&w);
	verdicts_deliver(&w, "192.0.2.200", 3);
	verdicts_deliver(&w, "192.0.2.201", 3);
	verdicts_guess_together(&w, "192.0.2.");
	flags_take(w.flags);
	assert_in_range(flagged_s("192.0.2.0/24"), 295, 300);
	assert_true(is_spared("192.0.2.200"));
	assert_true(is_spared("192.0.2.201"));
	assert_false(is_spared("192.0.2.101"));
	/* A worker's own, and an operator's. */
	harvest_shut_out(w.harvest, &own.verdict.address, 128, VERDICTS_START + 60, false,
			 VERDICTS_START);
	notices_put(w.notices, &own);
	flags_take(w.flags);
	assert_false(is_spared("192.0.2.200"));
	assert_int_equal(flags_add(w.flags, &other, 60, w.error, sizeof(w.error)), 0);
	assert_false(is_spared("192.0.2.201"));
	verdicts_end(&w);
}

static void unban_takes_flag_and_allowances_away(void **state)
{
	struct world w;

	begin(&w);
	verdicts_guess(&w, "192.0.3.7", false);
	verdicts_deliver(&w, "192.0.2.200", 3);
	verdicts_guess_together(&w, "192.0.2.");
	flags_take(w.flags);
	assert_true(unban(&w, "192.0.3.7").was_out);
	assert_int_equal(flagged_s("192.0.3.7"), 0);
	assert_true(unban(&w, "192.0.2.0/24").was_out);
	assert_int_equal(flagged_s("192.0.2.0/24"), 0);
	assert_false(is_spared("192.0.2.200"));
	verdicts_end(&w);
}

static void a_client_stays_spared_while_a_wider_prefix_is_out(void **state)
{
	const struct ip_network narrow = verdicts_network("2001:db8:1::/56"),
				wide = verdicts_network("2001:db8:1::/48");
	struct world w;

	begin(&w);
	verdicts_deliver(&w, "2001:db8:1:2::1", 3);
	assert_int_equal(flags_add(w.flags, &narrow, HOUR, w.error, sizeof(w.error)), 0);
	assert_int_equal(flags_add(w.flags, &wide, HOUR, w.error, sizeof(w.error)), 0);
	assert_true(is_spared("2001:db8:1:2::/64"));
	assert_int_equal(unban(&w, "2001:db8:1::/56").still_out_by, 48);
	assert_true(is_spared("2001:db8:1:2::/64"));
	unban(&w, "2001:db8:1::/48");
	assert_false(is_spared("2001:db8:1:2::/64"));
	verdicts_end(&w);
}

static void what_was_ended_while_its_notice_waited_stays_ended(void **state)
{
	struct world w;

	begin(&w);
	verdicts_guess(&w, "192.0.2.7", false);
	unban(&w, "192.0.2.7");
	flags_take(w.flags);
	assert_int_equal(flagged_s("192.0.2.7"), 0);
	/* The worker's own entry came behind the unban. */
	verdicts_guess(&w, "192.0.3.7", true);
	unban(&w, "192.0.3.7");
	flag("192.0.3.7", shield_now_ns() + 300ull * NS);
	flags_take(w.flags);
	assert_int_equal(flagged_s("192.0.3.7"), 0);
	verdicts_end(&w);
}

static void to_observe_writes_nothing_and_lets_in_who_was_out(void **state)
{
	const struct ip_addr spared = verdicts_address("192.0.2.9");
	struct flags_config config;
	char error[ERROR_LEN];
	struct world w;

	flag("192.0.2.7", shield_now_ns() + 300ull * NS);
	shield_allow(shield, &spared, 128, shield_now_ns() + 300ull * NS, error, sizeof(error));
	config = configure(&w, true);
	verdicts_flags(&w, &config);
	assert_int_equal(flagged_s("192.0.2.7"), 0);
	assert_false(is_spared("192.0.2.9"));
	verdicts_guess(&w, "192.0.2.8", false);
	flags_take(w.flags);
	assert_int_equal(flagged_s("192.0.2.8"), 0);
	verdicts_end(&w);
}

static void a_verdict_whose_notice_was_lost_is_written_at_the_next_tick(void **state)
{
	struct notice other = {.verdict = {.observed = true}};
	struct world w;

	begin(&w);
	while (notices_put(w.notices, &other))
		;
	verdicts_guess(&w, "192.0.2.7", false);
	flags_take(w.flags);
	assert_int_equal(flagged_s("192.0.2.7"), 0);
	flags_tick(w.flags);
	assert_in_range(flagged_s("192.0.2.7"), 295, 300);
	verdicts_end(&w);
}

static void the_allowlist_is_the_kernels_too_and_follows_the_configuration(void **state)
{
	struct ip_network allow[2];
	struct flags_config config;
	struct world w;

	config = configure(&w, false);
	allow[0] = verdicts_network("192.0.2.200");
	allow[1] = verdicts_network("198.51.100.0/24");
	config.allow = allow;
	config.n_allow = 2;
	flag("192.0.2.200", shield_now_ns() + 300ull * NS);
	verdicts_flags(&w, &config);
	assert_true(allowance("192.0.2.200").is_for_ever);
	assert_true(allowance("198.51.100.0/24").is_for_ever);
	assert_int_equal(flagged_s("192.0.2.200"), 0);
	/* No verdict on its prefix makes it a matter of time. */
	verdicts_deliver(&w, "192.0.2.200", 3);
	verdicts_guess_together(&w, "192.0.2.");
	flags_take(w.flags);
	assert_true(allowance("192.0.2.200").is_for_ever);
	unban(&w, "192.0.2.0/24");
	assert_true(allowance("192.0.2.200").is_for_ever);
	verdicts_end(&w);
	config = configure(&w, false);
	config.allow = allow;
	config.n_allow = 1;
	verdicts_flags(&w, &config);
	assert_true(allowance("192.0.2.200").is_for_ever);
	assert_false(is_spared("198.51.100.0/24"));
	verdicts_end(&w);
}

static void what_an_earlier_process_left_in_the_kernel_is_kept(void **state)
{
	struct flags_entry entries[8];
	struct world w;

	flag("192.0.2.7", shield_now_ns() + 300ull * NS);
	flag("192.0.2.8", 1); /* long over */
	begin(&w);
	assert_int_equal(verdicts_list(&w, entries, 8), 1);
	assert_int_equal(entries[0].verdict.address.octets[15], 7);
	assert_true(entries[0].kernel.is_there);
	assert_int_equal(verdicts_standing(&w, "192.0.2.7"), HARVEST_GONE);
	assert_in_range(flagged_s("192.0.2.7"), 295, 301);
	verdicts_end(&w);
}

static void what_the_checkpoint_holds_is_put_into_an_empty_map(void **state)
{
	static const char path[] = "/mnt/state"; /* the fixture's tmpfs */
	struct flags_config config;
	struct world w;

	config = configure(&w, false);
	config.state = path;
	verdicts_flags(&w, &config);
	verdicts_guess(&w, "192.0.2.7", true);
	assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), 0);
	verdicts_end(&w);
	assert_int_equal(flagged_s("192.0.2.7"), 0);
	config = configure(&w, false);
	config.state = path;
	verdicts_flags(&w, &config);
	assert_in_range(flagged_s("192.0.2.7"), 295, 300);
	verdicts_end(&w);
	remove(path);
}

static void explain_tells_what_the_kernel_dropped(void **state)
{
	const struct ip_addr address = verdicts_address("192.0.2.7");
	struct shield_flag in_map = {shield_now_ns() + 300ull * NS, 42};
	struct flags_story stories[HARVEST_LEVELS];
	struct shield_source key;
	enum shield_level level;
	struct world w;

	begin(&w);
	verdicts_guess(&w, "192.0.2.7", true);
	assert_true(shield_source_key(&address, 128, &key, &level));
	assert_int_equal(bpf_map_update_elem(shield_flagged_fd(shield), &key, &in_map, BPF_ANY), 0);
	flags_take(w.flags);
	assert_int_equal(flags_explain(w.flags, &address, stories), 2);
	assert_int_equal(stories[0].kernel.drops, 42);
	assert_in_range(stories[0].kernel.left_s, 295, 300);
	assert_false(stories[1].kernel.is_there);
	verdicts_end(&w);
}

static void what_has_expired_is_taken_out_of_the_map(void **state)
{
	struct world w;

	begin(&w);
	flag("192.0.2.7", 1);
	flags_tick(w.flags);
	assert_int_not_equal(flagged_s("192.0.2.7"), 0);
	verdicts_pass(10);
	flags_tick(w.flags);
	assert_int_equal(flagged_s("192.0.2.7"), 0);
	verdicts_end(&w);
}

/* Neither by the notice, nor when all is written anew, as after a loss or a restart. */
static void of_whom_a_load_balancer_names_nothing_is_written(void **state)
{
	struct world w;

	begin(&w);
	verdicts_guess_behind_a_balancer(&w, "192.0.2.7");
	verdicts_guess(&w, "192.0.3.8", false);
	flags_take(w.flags);
	assert_int_equal(flagged_s("192.0.2.7"), 0);
	assert_in_range(flagged_s("192.0.3.8"), 295, 300);
	assert_int_equal(verdicts_standing(&w, "192.0.2.7"), HARVEST_GONE);
	assert_int_equal(empty_maps(state), 0);
	atomic_fetch_add(&w.notices->dropped, 1);
	flags_tick(w.flags);
	assert_int_equal(flagged_s("192.0.2.7"), 0);
	assert_in_range(flagged_s("192.0.3.8"), 295, 300);
	/* It is ended as any is. */
	assert_true(unban(&w, "192.0.2.7").was_out);
	assert_int_equal(verdicts_standing(&w, "192.0.2.7"), HARVEST_WELCOME);
	verdicts_end(&w);
}

static void a_prefix_whose_clients_cannot_be_spared_is_left_to_the_workers(void **state)
{
	struct flags_counts counts;
	char error[ERROR_LEN];
	struct world w;
	int err = 0;

	begin(&w);
	for (uint32_t i = 0; !err && i <= SHIELD_ALLOW_MAX; i++) {
		const uint8_t octets[4] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
		const struct ip_addr address = ip_addr_from_v4(octets);

		err = shield_allow(shield, &address, 128, shield_now_ns() + 300ull * NS, error,
				   sizeof(error));
	}
	assert_int_equal(err, -E2BIG);
	verdicts_deliver(&w, "192.0.2.200", 3);
	verdicts_guess_together(&w, "192.0.2.");
	flags_take(w.flags);
	assert_int_equal(flagged_s("192.0.2.0/24"), 0);
	assert_int_equal(verdicts_standing(&w, "192.0.2.101"), HARVEST_GONE);
	assert_int_equal(verdicts_standing(&w, "192.0.2.200"), HARVEST_WELCOME);
	flags_count(w.flags, &counts);
	assert_int_equal(counts.failed, 1);
	assert_non_null(strstr(counts.with_kernel.sentence, "192.0.2.200"));
	verdicts_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			what_a_worker_left_is_written_and_what_it_did_is_not_done_again,
			empty_maps),
		cmocka_unit_test_setup(a_verdict_is_carried_out_before_it_is_told_of, empty_maps),
		cmocka_unit_test_setup(a_prefix_spares_who_has_credit_until_its_own_verdict,
				       empty_maps),
		cmocka_unit_test_setup(unban_takes_flag_and_allowances_away, empty_maps),
		cmocka_unit_test_setup(a_client_stays_spared_while_a_wider_prefix_is_out,
				       empty_maps),
		cmocka_unit_test_setup(what_was_ended_while_its_notice_waited_stays_ended,
				       empty_maps),
		cmocka_unit_test_setup(to_observe_writes_nothing_and_lets_in_who_was_out,
				       empty_maps),
		cmocka_unit_test_setup(a_verdict_whose_notice_was_lost_is_written_at_the_next_tick,
				       empty_maps),
		cmocka_unit_test_setup(
			the_allowlist_is_the_kernels_too_and_follows_the_configuration, empty_maps),
		cmocka_unit_test_setup(what_an_earlier_process_left_in_the_kernel_is_kept,
				       empty_maps),
		cmocka_unit_test_setup(what_the_checkpoint_holds_is_put_into_an_empty_map,
				       empty_maps),
		cmocka_unit_test_setup(explain_tells_what_the_kernel_dropped, empty_maps),
		cmocka_unit_test_setup(what_has_expired_is_taken_out_of_the_map, empty_maps),
		cmocka_unit_test_setup(of_whom_a_load_balancer_names_nothing_is_written,
				       empty_maps),
		cmocka_unit_test_setup(
			a_prefix_whose_clients_cannot_be_spared_is_left_to_the_workers, empty_maps),
	};
	char error[ERROR_LEN];
	int failed;

	fixture_enter_namespaces();
	if (shield_open(&shield, FIXTURE_BPFFS, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		return EXIT_FAILURE;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	shield_close(shield);
	return failed;
}
