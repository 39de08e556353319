/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The roster: what is found before, while and after directories are loaded anew. The data plane is
 * a double: it holds what was published, and frees what it held.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/roster.h"

struct dataplane {
	struct recipients *published;
	unsigned times;
};

void dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients)
{
	recipients_free(dp->published);
	dp->published = recipients;
	dp->times++;
}

static char folder[] = "/tmp/postern-roster-XXXXXX";
static char path[64];
static char example_net[] = "example.net", mailstore[] = "mailstore", nothing[] = "";
static struct config_domain domain = {
	.name = example_net, .recipients = path, .pool = mailstore, .subaddress = nothing};
static struct config_pool pool = {.name = mailstore};
static struct config config = {.domains = &domain, .n_domains = 1, .pools = &pool, .n_pools = 1};

static void directory(const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/example.net", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(folder);
}

static struct roster *roster_of(const char *text)
{
	struct roster *r;
	char error[512];

	directory(text);
	if (roster_new(&r, &config, error, sizeof(error)))
		fail_msg("%s", error);
	return r;
}

static struct recipient_answer ask(struct roster *r, const char *address)
{
	struct recipient_answer answer;
	char error[512];

	if (roster_find(r, address, &answer, error, sizeof(error)))
		fail_msg("%s", error);
	return answer;
}

static void reload(struct roster *r)
{
	char error[512];

	if (roster_reload(r, error, sizeof(error)))
		fail_msg("%s", error);
}

static void an_address_is_found_as_mail_writes_it(void **state)
{
	struct roster *r = roster_of("anna@example.net\nbait@example.net class=trap\n");

	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "\"an\\na\"@Example.NET").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "otto@example.net").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(ask(r, "anna@example.org").finding, RECIPIENT_NOT_OURS);
	assert_int_equal(ask(r, "bait@example.net").class, RECIPIENT_TRAP);
	assert_true(ask(r, "Postmaster").is_postmaster);
	roster_free(r);
}

static void a_malformed_address_is_said_to_be_one(void **state)
{
	static const char *const malformed[] = {"",
						"anna",
						"anna@",
						"@example.net",
						"an na@example.net",
						"anna@example.net>",
						"<anna@example.net>"};
	struct roster *r = roster_of("anna@example.net\n");

	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		struct recipient_answer answer;
		char error[512], wanted[64];

		snprintf(wanted, sizeof(wanted), "%s: the address is malformed", malformed[i]);
		assert_int_equal(roster_find(r, malformed[i], &answer, error, sizeof(error)),
				 -EINVAL);
		assert_string_equal(error, wanted);
	}
	roster_free(r);
}

static void what_is_loaded_anew_is_found_and_published(void **state)
{
	struct dataplane dp = {0};
	struct roster *r = roster_of("anna@example.net\n");
	struct directory_report report;

	roster_start(r, &dp);
	assert_int_equal(dp.times, 1);
	directory("otto@example.net\nida@example.net\n# nobody else\n");
	reload(r);
	assert_int_equal(dp.times, 2);
	assert_int_equal(recipients_count(dp.published), 2);
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(ask(r, "otto@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(roster_count(r), 2);
	assert_int_equal(roster_domain(r, 0, &report), 2);
	assert_int_equal(report.lines, 3);
	recipients_free(dp.published);
	roster_free(r);
}

static void before_anything_is_published_it_is_loaded_anew_all_the_same(void **state)
{
	struct roster *r = roster_of("anna@example.net\n");

	directory("otto@example.net\n");
	reload(r);
	assert_int_equal(ask(r, "otto@example.net").finding, RECIPIENT_KNOWN);
	roster_free(r);
}

static void a_broken_directory_leaves_the_old_one(void **state)
{
	struct dataplane dp = {0};
	struct roster *r = roster_of("anna@example.net\n");
	struct directory_report report;
	char error[512];

	roster_start(r, &dp);
	directory("otto@example.net\nnonsense\n");
	assert_int_equal(roster_reload(r, error, sizeof(error)), -EBADMSG);
	assert_non_null(strstr(error, ":2: the address is malformed"));
	assert_int_equal(dp.times, 1);
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(roster_domain(r, 0, &report), 1);
	assert_int_equal(report.lines, 1);
	recipients_free(dp.published);
	roster_free(r);
}

static void a_broken_directory_at_first_is_an_error(void **state)
{
	struct roster *r = NULL;
	char error[512];

	directory("nonsense\n");
	assert_int_equal(roster_new(&r, &config, error, sizeof(error)), -EBADMSG);
	assert_null(r);
	unlink(path);
	assert_int_equal(roster_new(&r, &config, error, sizeof(error)), -ENOENT);
	assert_null(r);
}

/* --- beside each other -------------------------------------------------------------------------
 */

struct asker {
	struct roster *roster;
	atomic_bool end;
	unsigned missed;
};

static void *ask_on(void *arg)
{
	struct asker *a = arg;
	struct recipient_answer answer;
	char error[512];

	while (!atomic_load(&a->end))
		a->missed += roster_find(a->roster, "anna@example.net", &answer, error,
					 sizeof(error)) != 0 ||
			     answer.finding != RECIPIENT_KNOWN || roster_count(a->roster) == 0;
	return NULL;
}

static void who_looks_up_meanwhile_misses_nobody(void **state)
{
	struct dataplane dp = {0};
	struct asker asker = {.roster = roster_of("anna@example.net\n")};
	pthread_t thread;

	roster_start(asker.roster, &dp);
	assert_int_equal(pthread_create(&thread, NULL, ask_on, &asker), 0);
	for (unsigned i = 0; i < 100; i++)
		reload(asker.roster);
	atomic_store(&asker.end, true);
	pthread_join(thread, NULL);
	assert_int_equal(asker.missed, 0);
	recipients_free(dp.published);
	roster_free(asker.roster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_found_as_mail_writes_it),
		cmocka_unit_test(a_malformed_address_is_said_to_be_one),
		cmocka_unit_test(what_is_loaded_anew_is_found_and_published),
		cmocka_unit_test(before_anything_is_published_it_is_loaded_anew_all_the_same),
		cmocka_unit_test(a_broken_directory_leaves_the_old_one),
		cmocka_unit_test(a_broken_directory_at_first_is_an_error),
		cmocka_unit_test(who_looks_up_meanwhile_misses_nobody),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
