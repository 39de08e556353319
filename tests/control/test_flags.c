/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts as control keeps them, without a kernel: heard of, listed, ended, and kept.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "verdicts.h"

enum { LISTED = 64 };

static char folder[] = "/tmp/postern-flags-XXXXXX";
static char state_path[64], aside_path[72];

static int set_up(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(state_path, sizeof(state_path), "%s/state", folder);
	snprintf(aside_path, sizeof(aside_path), "%s.bad", state_path);
	return 0;
}

static int forget(void **state)
{
	unlink(state_path);
	unlink(aside_path);
	return 0;
}

static int tear_down(void **state)
{
	forget(state);
	return rmdir(folder);
}

static void begin(struct world *w, bool keeps)
{
	struct flags_config config = verdicts_begin(w, false);

	config.state = keeps ? state_path : "";
	verdicts_flags(w, &config);
}

static struct flags_story client_story(struct world *w, const char *client)
{
	const struct ip_addr address = verdicts_address(client);
	struct flags_story stories[HARVEST_LEVELS];

	assert_true(flags_explain(w->flags, &address, stories) >= 2);
	return stories[0];
}

static struct flags_ended unban(struct world *w, const char *text)
{
	const struct ip_network network = verdicts_network(text);
	struct flags_ended ended;

	if (flags_unban(w->flags, &network, &ended, w->error, sizeof(w->error)))
		fail_msg("%s", w->error);
	return ended;
}

static int add(struct world *w, const char *text, uint32_t seconds)
{
	const struct ip_network network = verdicts_network(text);

	return flags_add(w->flags, &network, seconds, w->error, sizeof(w->error));
}

static void keep_event(void *arg, const struct harvest_verdict *verdict)
{
	*(struct harvest_verdict *)arg = *verdict;
}

static void a_verdict_is_an_event_with_its_evidence(void **state)
{
	struct harvest_verdict told = {0};
	struct flags_config config;
	struct flags_counts counts;
	struct world w;

	config = verdicts_begin(&w, false);
	config.event = keep_event;
	config.event_arg = &told;
	verdicts_flags(&w, &config);
	verdicts_guess(&w, "192.0.2.7", true);
	flags_take(w.flags);
	assert_int_equal(told.unknown_today, 4);
	assert_int_equal(told.prefix_len, 128);
	assert_int_equal(told.address.octets[15], 7);
	assert_int_equal(told.until_s, VERDICTS_START + 300);
	flags_count(w.flags, &counts);
	assert_int_equal(counts.heard, 1);
	assert_string_equal(counts.with_kernel.sentence, "");
	verdicts_end(&w);
}

static void who_is_shut_out_is_listed_and_explained(void **state)
{
	struct flags_entry entries[LISTED];
	struct flags_story story;
	struct world w;

	begin(&w, false);
	verdicts_guess(&w, "192.0.2.7", true);
	flags_take(w.flags);
	verdicts_pass(60);
	assert_int_equal(verdicts_list(&w, entries, LISTED), 1);
	assert_int_equal(entries[0].verdict.ttl_s, 240);
	assert_false(entries[0].kernel.is_there);
	story = client_story(&w, "192.0.2.7");
	assert_int_equal(story.harvest.until_s, VERDICTS_START + 300);
	assert_true(story.harvest.score >= story.line);
	assert_false(client_story(&w, "192.0.2.8").harvest.is_known);
	verdicts_pass(240);
	assert_int_equal(verdicts_list(&w, entries, LISTED), 0);
	verdicts_end(&w);
}

static void unban_ends_it_and_tells_what_there_was(void **state)
{
	struct flags_entry entries[LISTED];
	struct world w;

	begin(&w, false);
	verdicts_guess(&w, "192.0.2.7", true);
	flags_take(w.flags);
	assert_true(unban(&w, "192.0.2.7").was_out);
	assert_int_equal(verdicts_standing(&w, "192.0.2.7"), HARVEST_WELCOME);
	assert_int_equal(verdicts_list(&w, entries, LISTED), 0);
	assert_false(unban(&w, "192.0.2.7").was_out);
	assert_false(unban(&w, "198.51.100.1").was_out);
	verdicts_end(&w);
}

static void a_client_let_in_may_still_be_out_by_its_prefix(void **state)
{
	struct world w;

	begin(&w, false);
	assert_int_equal(add(&w, "192.0.2.0/24", 60), 0);
	assert_int_equal(add(&w, "192.0.2.7", 60), 0);
	assert_int_equal(unban(&w, "192.0.2.7").still_out_by, 120);
	assert_int_equal(verdicts_standing(&w, "192.0.2.7"), HARVEST_GONE);
	assert_int_equal(unban(&w, "192.0.2.0/24").still_out_by, 0);
	assert_int_equal(verdicts_standing(&w, "192.0.2.7"), HARVEST_WELCOME);
	verdicts_end(&w);
}

static void an_operator_shuts_out_for_a_while(void **state)
{
	struct flags_entry entries[LISTED];
	struct world w;

	begin(&w, false);
	assert_int_equal(add(&w, "2001:db8:1:2:3::4", 60), 0); /* its /64 */
	assert_int_equal(verdicts_standing(&w, "2001:db8:1:2:9::"), HARVEST_GONE);
	assert_int_equal(verdicts_standing(&w, "2001:db8:1:3::"), HARVEST_WELCOME);
	assert_int_equal(verdicts_list(&w, entries, LISTED), 1);
	assert_true(entries[0].verdict.by_hand);
	assert_int_equal(entries[0].verdict.prefix_len, 64);
	verdicts_pass(60);
	assert_int_equal(verdicts_standing(&w, "2001:db8:1:2:9::"), HARVEST_WELCOME);
	verdicts_end(&w);
}

static void what_cannot_be_shut_out_is_refused(void **state)
{
	const struct ip_network odd = verdicts_network("192.0.2.0/25");
	struct flags_config config;
	struct ip_network allow;
	struct flags_ended ended;
	struct world w;

	config = verdicts_begin(&w, false);
	allow = verdicts_network("198.51.100.0/24");
	config.allow = &allow;
	config.n_allow = 1;
	verdicts_flags(&w, &config);
	assert_int_equal(add(&w, "192.0.2.0/25", 60), -EINVAL);
	assert_non_null(strstr(w.error, "/24"));
	assert_int_equal(flags_unban(w.flags, &odd, &ended, w.error, sizeof(w.error)), -EINVAL);
	assert_int_equal(add(&w, "198.51.100.9", 60), -EPERM);
	assert_non_null(strstr(w.error, "never"));
	verdicts_end(&w);
	config = verdicts_begin(&w, true);
	verdicts_flags(&w, &config);
	assert_int_equal(add(&w, "192.0.2.7", 60), -ENOTSUP);
	assert_non_null(strstr(w.error, "observe"));
	verdicts_end(&w);
}

static void verdicts_and_credit_outlive_a_restart(void **state)
{
	struct flags_entry entries[LISTED];
	int16_t credit;
	struct world w;

	begin(&w, true);
	verdicts_guess(&w, "192.0.2.7", true);
	assert_int_equal(add(&w, "192.0.2.8", 600), 0);
	verdicts_deliver(&w, "198.51.100.1", 5);
	credit = client_story(&w, "198.51.100.1").harvest.score;
	assert_true(credit < 0);
	assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), 0);
	verdicts_end(&w);
	begin(&w, true);
	assert_string_equal(w.error, "");
	assert_int_equal(verdicts_list(&w, entries, LISTED), 2);
	assert_true(client_story(&w, "192.0.2.8").harvest.by_hand);
	assert_int_equal(client_story(&w, "198.51.100.1").harvest.score, credit);
	verdicts_end(&w);
}

static void an_unban_outlives_a_restart(void **state)
{
	struct flags_entry entries[LISTED];
	struct world w;

	begin(&w, true);
	verdicts_guess(&w, "192.0.2.7", true);
	assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), 0);
	assert_true(unban(&w, "192.0.2.7").was_out);
	verdicts_end(&w); /* and what was due is written */
	begin(&w, true);
	assert_int_equal(verdicts_list(&w, entries, LISTED), 0);
	verdicts_end(&w);
}

static const char *trouble_with_state(struct world *w)
{
	static struct flags_counts counts;

	flags_count(w->flags, &counts);
	return counts.with_state.sentence;
}

static void trouble_with_the_state_is_over_when_it_can_be_written(void **state)
{
	struct flags_counts counts;
	struct world w;

	begin(&w, true);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mkdir(state_path, 0700), 0);
		verdicts_pass(60);
		assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), -EINVAL);
		assert_string_equal(trouble_with_state(&w), w.error);
		flags_count(w.flags, &counts);
		assert_int_equal(counts.with_state.since_s, VERDICTS_START + 60 * (i + 1));
		assert_int_equal(rmdir(state_path), 0);
		assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), 0);
		assert_string_equal(trouble_with_state(&w), "");
		unlink(state_path);
	}
	verdicts_end(&w);
}

static void a_clock_set_back_makes_no_verdict_longer(void **state)
{
	enum { DAY = 24 * 3600, MONTH = 30 * DAY };
	struct world w;

	begin(&w, true);
	verdicts_pass(MONTH);
	verdicts_guess(&w, "192.0.2.7", true);
	assert_int_equal(add(&w, "192.0.2.8", 600), 0);
	assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), 0);
	verdicts_end(&w);
	begin(&w, true);
	assert_int_equal(client_story(&w, "192.0.2.7").harvest.until_s, VERDICTS_START + DAY);
	assert_int_equal(client_story(&w, "192.0.2.8").harvest.until_s,
			 VERDICTS_START + MONTH + 600);
	verdicts_end(&w);
}

static void a_checkpoint_is_written_every_minute(void **state)
{
	struct world w;

	begin(&w, true);
	flags_tick(w.flags);
	verdicts_end(&w);
	assert_int_equal(access(state_path, F_OK), -1);
	begin(&w, true);
	verdicts_pass(60);
	flags_tick(w.flags);
	verdicts_end(&w);
	assert_int_equal(access(state_path, F_OK), 0);
}

static void a_bad_checkpoint_is_moved_aside_and_told_of(void **state)
{
	struct flags_entry entries[LISTED];
	FILE *file = fopen(state_path, "we");
	struct world w;

	assert_non_null(file);
	fputs("something else", file);
	fclose(file);
	begin(&w, true);
	assert_non_null(strstr(w.error, state_path));
	assert_int_equal(verdicts_list(&w, entries, LISTED), 0);
	assert_int_equal(access(state_path, F_OK), -1);
	assert_int_equal(access(aside_path, F_OK), 0);
	assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), 0);
	verdicts_end(&w);
}

static void fails_to_begin(int err)
{
	struct flags_config config;
	struct stat before, after;
	struct world w;

	assert_int_equal(lstat(state_path, &before), 0);
	config = verdicts_begin(&w, false);
	config.state = state_path;
	assert_int_equal(flags_new(&w.flags, &config, w.error, sizeof(w.error)), err);
	assert_non_null(strstr(w.error, state_path));
	assert_null(w.flags);
	verdicts_end(&w);
	assert_int_equal(lstat(state_path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(access(aside_path, F_OK), -1);
}

static void a_state_that_cannot_be_read_stays_and_fails_the_start(void **state)
{
	assert_int_equal(mkfifo(state_path, 0600), 0);
	fails_to_begin(-EINVAL);
	unlink(state_path);
	assert_int_equal(mkdir(state_path, 0700), 0);
	fails_to_begin(-EINVAL);
	rmdir(state_path);
	assert_int_equal(symlink(state_path, state_path), 0);
	fails_to_begin(-ELOOP);
}

static void who_is_allowed_now_is_let_in_at_the_restart(void **state)
{
	struct ip_network allow;
	struct flags_entry entries[LISTED];
	struct flags_config config;
	struct world w;

	begin(&w, true);
	verdicts_guess(&w, "192.0.2.7", true);
	assert_int_equal(flags_save(w.flags, w.error, sizeof(w.error)), 0);
	verdicts_end(&w);
	config = verdicts_begin(&w, false);
	allow = verdicts_network("192.0.2.7");
	config.state = state_path;
	config.allow = &allow;
	config.n_allow = 1;
	verdicts_flags(&w, &config);
	assert_int_equal(verdicts_list(&w, entries, LISTED), 0);
	verdicts_end(&w);
}

static void lost_notices_are_made_up_for(void **state)
{
	struct flags_counts counts;
	struct notice notice;
	struct world w;

	begin(&w, false);
	memset(&notice, 0, sizeof(notice));
	notice.verdict.observed = true;
	while (notices_put(w.notices, &notice))
		;
	verdicts_guess(&w, "192.0.2.7", false);
	flags_take(w.flags);
	flags_tick(w.flags);
	flags_tick(w.flags);
	flags_count(w.flags, &counts);
	assert_int_equal(counts.heard, NOTICES);
	assert_int_equal(counts.lost, 2);
	assert_int_equal(counts.recovered, 1);
	verdicts_end(&w);
}

static void shut_out_many(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t octets[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
		const struct ip_addr client = ip_addr_from_v4(octets);

		assert_int_equal(harvest_shut_out(w->harvest, &client, 128, VERDICTS_START + 600,
						  false, VERDICTS_START),
				 0);
	}
}

static uint64_t recovered(struct world *w)
{
	struct flags_counts counts;

	flags_count(w->flags, &counts);
	return counts.recovered;
}

static void lose_a_notice(struct world *w)
{
	const struct notice notice = {.verdict = {.observed = true}};

	while (notices_put(w->notices, &notice))
		;
}

static void a_whole_table_is_made_up_for_piece_by_piece(void **state)
{
	enum { MANY = 2000 };
	struct flags_config config;
	struct notices *orders = aligned_alloc(64, sizeof(*orders));
	struct notice notice;
	struct world w;

	assert_non_null(orders);
	memset(orders, 0, sizeof(*orders));
	config = verdicts_begin(&w, false);
	config.orders = orders;
	verdicts_flags(&w, &config);
	shut_out_many(&w, MANY);
	lose_a_notice(&w);
	flags_tick(w.flags);
	assert_in_range(recovered(&w), 1, MANY - 1);
	lose_a_notice(&w); /* it may be of who was passed by already */
	flags_tick(w.flags);
	for (unsigned i = 0; i < 10; i++)
		flags_go_on(w.flags);
	assert_in_range(recovered(&w), MANY + 1, 2 * MANY);
	assert_false(notices_get(orders, &notice)); /* a ring would overflow with them */
	verdicts_end(&w);
	free(orders);
}

static void a_tick_takes_what_nobody_was_called_for(void **state)
{
	struct flags_counts counts;
	struct world w;

	begin(&w, false);
	verdicts_guess(&w, "192.0.2.7", true);
	flags_tick(w.flags);
	flags_count(w.flags, &counts);
	assert_int_equal(counts.heard, 1);
	verdicts_end(&w);
}

static void count_call(void *arg)
{
	(*(unsigned *)arg)++;
}

static void other_workers_are_told_of_a_verdict_and_woken(void **state)
{
	enum { WORKERS = 3 };
	struct notices *rings = aligned_alloc(64, 2 * WORKERS * sizeof(*rings)), *orders;
	const struct ip_network by_hand = verdicts_network("192.0.2.8");
	struct flags_config config;
	unsigned woken = 0;
	struct notice notice;
	struct world w;

	assert_non_null(rings);
	memset(rings, 0, 2 * WORKERS * sizeof(*rings));
	orders = rings + WORKERS;
	config = verdicts_begin(&w, false);
	config.notices = rings;
	config.orders = orders;
	config.n_notices = WORKERS;
	config.wake = count_call;
	config.wake_arg = &woken;
	verdicts_flags(&w, &config);
	verdicts_guess(&w, "192.0.2.7", true);
	assert_true(notices_get(w.notices, &notice));
	notices_put(&rings[1], &notice);
	flags_take(w.flags);
	flags_take(w.flags);
	assert_int_equal(woken, 1);
	assert_true(notices_get(&orders[0], &notice));
	assert_int_equal(notice.verdict.address.octets[15], 7);
	assert_false(notices_get(&orders[1], &notice));
	assert_true(notices_get(&orders[2], &notice));
	assert_int_equal(flags_add(w.flags, &by_hand, 60, w.error, sizeof(w.error)), 0);
	assert_int_equal(woken, 2);
	assert_true(notices_get(&orders[1], &notice));
	assert_int_equal(notice.verdict.address.octets[15], 8);
	verdicts_end(&w);
	free(rings);
}

static void *add_and_end(void *arg)
{
	struct world *w = arg;
	char error[VERDICTS_ERROR_LEN];

	for (unsigned i = 0; i < 2000; i++) {
		const uint8_t octets[4] = {198, 51, 100, (uint8_t)i};
		const struct ip_network network = {ip_addr_from_v4(octets), 128};
		struct flags_ended ended;

		if (flags_add(w->flags, &network, 60, error, sizeof(error)) ||
		    flags_unban(w->flags, &network, &ended, error, sizeof(error)))
			return NULL;
	}
	return w;
}

static void the_socket_and_main_may_ask_at_once(void **state)
{
	struct flags_entry entries[LISTED];
	pthread_t socket;
	struct world w;
	void *well;

	begin(&w, false);
	assert_int_equal(pthread_create(&socket, NULL, add_and_end, &w), 0);
	for (unsigned i = 0; i < 200; i++) {
		char client[32];

		snprintf(client, sizeof(client), "203.0.%u.1", i);
		verdicts_guess(&w, client, i % 2);
		flags_take(w.flags);
		flags_tick(w.flags);
	}
	assert_int_equal(pthread_join(socket, &well), 0);
	assert_ptr_equal(well, &w);
	assert_true(verdicts_list(&w, entries, LISTED) >= LISTED - 1);
	assert_int_equal(verdicts_standing(&w, "198.51.100.9"), HARVEST_WELCOME);
	verdicts_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_verdict_is_an_event_with_its_evidence),
		cmocka_unit_test(who_is_shut_out_is_listed_and_explained),
		cmocka_unit_test(unban_ends_it_and_tells_what_there_was),
		cmocka_unit_test(a_client_let_in_may_still_be_out_by_its_prefix),
		cmocka_unit_test(an_operator_shuts_out_for_a_while),
		cmocka_unit_test(what_cannot_be_shut_out_is_refused),
		cmocka_unit_test_teardown(verdicts_and_credit_outlive_a_restart, forget),
		cmocka_unit_test_teardown(an_unban_outlives_a_restart, forget),
		cmocka_unit_test_teardown(trouble_with_the_state_is_over_when_it_can_be_written,
					  forget),
		cmocka_unit_test_teardown(a_clock_set_back_makes_no_verdict_longer, forget),
		cmocka_unit_test_teardown(a_checkpoint_is_written_every_minute, forget),
		cmocka_unit_test_teardown(a_bad_checkpoint_is_moved_aside_and_told_of, forget),
		cmocka_unit_test_teardown(a_state_that_cannot_be_read_stays_and_fails_the_start,
					  forget),
		cmocka_unit_test_teardown(who_is_allowed_now_is_let_in_at_the_restart, forget),
		cmocka_unit_test(lost_notices_are_made_up_for),
		cmocka_unit_test(a_whole_table_is_made_up_for_piece_by_piece),
		cmocka_unit_test(a_tick_takes_what_nobody_was_called_for),
		cmocka_unit_test(other_workers_are_told_of_a_verdict_and_woken),
		cmocka_unit_test(the_socket_and_main_may_ask_at_once),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
