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

enum { COPIES = 123456 }; /* octets */

struct dataplane {
	struct recipients *published;
	unsigned times;
};

uint64_t dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients)
{
	recipients_free(dp->published);
	dp->published = recipients;
	dp->times++;
	return COPIES;
}

static char folder[] = "/tmp/postern-roster-XXXXXX";
static char path[64];
static char example_net[] = "example.net", mailstore[] = "mailstore", nothing[] = "";
static struct config_domain domain = {.name = example_net,
				      .recipients = path,
				      .pool = mailstore,
				      .subaddress = nothing,
				      .shrink = 1};
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
	if (roster_new(&r, &config, NULL, error, sizeof(error)))
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

	if (roster_reload(r, false, error, sizeof(error)))
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
	struct roster_status status;
	char error[512];

	roster_start(r, &dp);
	roster_status(r, &status);
	assert_int_equal(status.memory, recipients_memory(dp.published) + COPIES);
	directory("otto@example.net\nnonsense\n");
	assert_int_equal(roster_reload(r, false, error, sizeof(error)), -EBADMSG);
	assert_non_null(strstr(error, ":2: the address is malformed"));
	assert_int_equal(dp.times, 1);
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(roster_domain(r, 0, &report), 1);
	assert_int_equal(report.lines, 1);
	recipients_free(dp.published);
	roster_free(r);
}

/* The exporter's disk was full: what is missing of the file says nothing of who exists. */
static void a_directory_that_is_empty_or_cut_off_leaves_the_old_one(void **state)
{
	static const char *const cut_off[] = {"", "# who exists\n", "anna@example.net",
					      "otto@example.net\nanna@example.net"};
	struct roster *r = roster_of("anna@example.net class=disabled\n");
	char error[512];

	for (size_t i = 0; i < sizeof(cut_off) / sizeof(cut_off[0]); i++) {
		directory(cut_off[i]);
		assert_int_not_equal(roster_reload(r, true, error, sizeof(error)), 0);
		assert_int_equal(ask(r, "anna@example.net").class, RECIPIENT_DISABLED);
		assert_int_equal(ask(r, "otto@example.net").finding, RECIPIENT_UNKNOWN);
	}
	roster_free(r);
}

static void a_directory_shrinks_by_what_its_domain_lets_or_when_told_to(void **state)
{
	struct roster *r = roster_of("1@example.net\n2@example.net\n3@example.net\n"
				     "4@example.net\n5@example.net\n6@example.net\n");
	char error[512];

	domain.shrink = 0.3;
	directory("1@example.net\n2@example.net\n3@example.net\n4@example.net\n");
	reload(r);
	assert_int_equal(roster_count(r), 4);
	directory("1@example.net\n");
	assert_int_equal(roster_reload(r, false, error, sizeof(error)), -ERANGE);
	assert_non_null(strstr(error, ": 1 recipients, where there were 4: "));
	assert_int_equal(ask(r, "4@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(roster_reload(r, true, error, sizeof(error)), 0);
	assert_int_equal(ask(r, "4@example.net").finding, RECIPIENT_UNKNOWN);
	domain.shrink = 1;
	roster_free(r);
}

static void a_broken_directory_at_first_is_an_error(void **state)
{
	struct roster *r = NULL;
	char error[512];

	directory("nonsense\n");
	assert_int_equal(roster_new(&r, &config, NULL, error, sizeof(error)), -EBADMSG);
	assert_null(r);
	unlink(path);
	assert_int_equal(roster_new(&r, &config, NULL, error, sizeof(error)), -ENOENT);
	assert_null(r);
}

/* --- several domains ---------------------------------------------------------------------------
 */

static char example_org[] = "example.org", other_path[64];
static struct config_domain both_domains[2];
static struct config both = {.domains = both_domains, .n_domains = 2, .pools = &pool, .n_pools = 1};

static void use_both(void)
{
	snprintf(other_path, sizeof(other_path), "%s/example.org", folder);
	both_domains[0] = both_domains[1] = domain;
	both_domains[1].name = example_org;
	both_domains[1].recipients = other_path;
}

static void other_directory(const char *text)
{
	FILE *file = fopen(other_path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void a_domain_that_cannot_be_loaded_is_unsure_and_the_others_serve(void **state)
{
	struct roster *r;
	struct roster_status status;
	struct directory_report report;
	char error[512], wanted[128];

	use_both();
	directory("anna@example.net\n");
	other_directory("ida@example.org\nnonsense\n");
	assert_int_equal(roster_new(&r, &both, NULL, error, sizeof(error)), 0);
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "ida@example.org").finding, RECIPIENT_UNSURE);
	assert_int_equal(ask(r, "otto@example.org").finding, RECIPIENT_UNSURE);
	assert_true(ask(r, "postmaster@example.org").is_postmaster);
	roster_status(r, &status);
	assert_int_equal(status.not_loaded, 1);
	assert_int_equal(status.recipients, 1);
	assert_int_equal(roster_domain(r, 1, &report), 0);
	assert_false(report.is_loaded);
	snprintf(wanted, sizeof(wanted), "%s:2: the address is malformed (1 of 2", other_path);
	assert_memory_equal(report.trouble, wanted, strlen(wanted));
	/* It does not hold up the news of others; nor, once it is loaded, fall back. */
	directory("otto@example.net\n");
	reload(r);
	assert_int_equal(ask(r, "otto@example.net").finding, RECIPIENT_KNOWN);
	other_directory("ida@example.org\n");
	reload(r);
	assert_int_equal(ask(r, "ida@example.org").finding, RECIPIENT_KNOWN);
	unlink(other_path);
	assert_int_equal(roster_reload(r, false, error, sizeof(error)), -ENOENT);
	assert_int_equal(ask(r, "ida@example.org").finding, RECIPIENT_KNOWN);
	roster_free(r);
}

/* --- broken off --------------------------------------------------------------------------------
 */

static bool yes(void)
{
	return true;
}

static void what_is_over_reads_no_further(void **state)
{
	struct roster *r = NULL;
	char error[512];

	directory("anna@example.net\n");
	assert_int_equal(roster_new(&r, &config, yes, error, sizeof(error)), -ECANCELED);
	assert_null(r);
	r = roster_of("anna@example.net\n");
	roster_cancel(r);
	directory("otto@example.net\n");
	assert_int_equal(roster_reload(r, false, error, sizeof(error)), -ECANCELED);
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_KNOWN);
	roster_free(r);
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
		cmocka_unit_test(a_directory_that_is_empty_or_cut_off_leaves_the_old_one),
		cmocka_unit_test(a_directory_shrinks_by_what_its_domain_lets_or_when_told_to),
		cmocka_unit_test(a_broken_directory_at_first_is_an_error),
		cmocka_unit_test(a_domain_that_cannot_be_loaded_is_unsure_and_the_others_serve),
		cmocka_unit_test(what_is_over_reads_no_further),
		cmocka_unit_test(who_looks_up_meanwhile_misses_nobody),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
