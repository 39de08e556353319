/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directories: what their lines come to, and what is said of bad ones.
 */
#include <errno.h>
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

#include "control/directory.h"

static char folder[] = "/tmp/postern-directory-XXXXXX";
static char one_path[64], two_path[64];

/* A configuration's strings are its own, to be freed. */
static char example_net[] = "example.net", example_org[] = "example.org";
static char mailstore[] = "mailstore", archive[] = "archive", plus[] = "+";
static struct config_domain domains[2];
static struct config_pool pools[2];
static struct config config = {.domains = domains, .n_domains = 2, .pools = pools, .n_pools = 2};
static const struct directory_task task = {.config = &config, .entropy = {1, 2, 3}};

static void write_file(const char *path, const char *text, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

static int set_up(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(one_path, sizeof(one_path), "%s/one", folder);
	snprintf(two_path, sizeof(two_path), "%s/two", folder);
	pools[0].name = mailstore;
	pools[1].name = archive;
	domains[0] = (struct config_domain){
		.name = example_net, .recipients = one_path, .pool = mailstore, .subaddress = plus};
	domains[1] = (struct config_domain){.name = example_org,
					    .recipients = two_path,
					    .pool = archive,
					    .subaddress = plus + 1,
					    .letter_case = CONFIG_EXACT};
	return 0;
}

static int tear_down(void **state)
{
	unlink(one_path);
	unlink(two_path);
	return rmdir(folder);
}

static struct recipient_answer ask(const struct recipients *r, const char *local,
				   const char *domain)
{
	const struct recipient_address a = {local, domain, (uint16_t)strlen(local),
					    (uint16_t)strlen(domain)};
	struct recipient_answer answer;

	recipients_find(r, &a, 1, &answer);
	return answer;
}

static struct recipients *load(const char *one, const char *two, struct directory_report reports[2])
{
	struct recipients *r;
	char error[512];

	write_file(one_path, one, strlen(one));
	write_file(two_path, two, strlen(two));
	if (directory_load(&r, &task, reports, error, sizeof(error)))
		fail_msg("%s", error);
	return r;
}

static void lines_come_to_recipients(void **state)
{
	struct directory_report reports[2];
	struct recipients *r = load("# users\n"
				    "anna@example.net\n"
				    "Otto@Example.NET\r\n"
				    "\n"
				    "   \t \n"
				    "  bait@example.net   class=trap # nobody\n"
				    "\"two words\"@example.net\tclass=disabled\n"
				    "\"needless\"@example.net pool=archive\n"
				    "full@example.net class=over-quota\n"
				    "anna@example.net\n"
				    "we#ird@example.net\n",
				    "Case@example.org\n", reports);

	assert_int_equal(ask(r, "anna", "example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "otto", "example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "bait", "example.net").class, RECIPIENT_TRAP);
	assert_int_equal(ask(r, "\"two words\"", "example.net").class, RECIPIENT_DISABLED);
	assert_int_equal(ask(r, "needless", "example.net").pool, 1);
	assert_int_equal(ask(r, "full", "example.net").class, RECIPIENT_OVER_QUOTA);
	assert_int_equal(ask(r, "we#ird", "example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "anna+x", "example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "Case", "example.org").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "case", "example.org").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(ask(r, "anna", "example.org").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(reports[0].lines, 11);
	assert_int_equal(reports[0].added, 7);
	assert_int_equal(reports[0].repeated, 1);
	assert_int_equal(reports[0].bad_lines, 0);
	assert_int_equal(reports[1].added, 1);
	assert_int_equal(recipients_count(r), 8);
	recipients_free(r);
}

static const struct {
	const char *line, *why;
} bad[] = {
	{"anna", "the address is malformed"},
	{"anna@", "the address is malformed"},
	{"@example.net", "the address is malformed"},
	{"anna@example.net>", "the address is malformed"},
	{"an na@example.net", "the address is malformed"},
	{"anna@example.com", "the address is not of this domain"},
	{"anna@[192.0.2.1]", "the address is not of this domain"},
	{"anna@example.net class=king", "there is no such class"},
	{"anna@example.net pool=nowhere", "there is no such pool"},
	{"anna@example.net pool", "behind an address come class= and pool= only"},
	{"anna@example.net otto@example.net", "behind an address come class= and pool= only"},
	{"first@example.net class=trap", "the address stands there before, with another"},
};

static void a_bad_line_is_named_and_nothing_is_loaded(void **state)
{
	struct directory_report reports[2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct recipients *r = NULL;
		char text[512], error[1024], wanted[512];

		snprintf(text, sizeof(text), "first@example.net\n%s\nlast@example.net\n",
			 bad[i].line);
		write_file(one_path, text, strlen(text));
		write_file(two_path, "", 0);
		assert_int_equal(directory_load(&r, &task, reports, error, sizeof(error)),
				 -EBADMSG);
		assert_null(r);
		snprintf(wanted, sizeof(wanted), "%s:2: %s", one_path, bad[i].why);
		if (strncmp(error, wanted, strlen(wanted)) != 0)
			fail_msg("%s\n  is said, not %s", error, wanted);
		assert_non_null(strstr(error, "(1 of 3 lines are bad)"));
	}
}

static void so_many_bad_lines_as_the_domain_lets(void **state)
{
	struct directory_report reports[2];
	struct recipients *r;

	domains[0].bad_lines = 0.25;
	r = load("a@example.net\nb@example.net\nc@example.net\nnonsense\n", "", reports);
	assert_int_equal(reports[0].bad_lines, 1);
	assert_int_equal(reports[0].added, 3);
	assert_int_equal(ask(r, "c", "example.net").finding, RECIPIENT_KNOWN);
	recipients_free(r);
	domains[0].bad_lines = 0;
}

static void a_file_that_says_nothing_of_who_exists_is_not_loaded(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"", ": nobody stands there"},
		{"# nobody\n\n", ": nobody stands there"},
		{"anna@example.net", ":1: the last line has no end: the file is cut off"},
		{"anna@example.net\nbob@exam", ":2: the last line has no end: the file is cut off"},
		{"anna@example.net\n ", ":2: the last line has no end: the file is cut off"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct directory_report reports[2];
		struct recipients *r = load(cases[i].text, "ida@example.org\n", reports);
		char wanted[256];

		snprintf(wanted, sizeof(wanted), "%s%s", one_path, cases[i].why);
		assert_string_equal(reports[0].trouble, wanted);
		assert_false(reports[0].is_loaded);
		assert_int_equal(ask(r, "anna", "example.net").finding, RECIPIENT_UNSURE);
		assert_true(reports[1].is_loaded);
		assert_int_equal(ask(r, "ida", "example.org").finding, RECIPIENT_KNOWN);
		recipients_free(r);
	}
}

static void a_catch_all_needs_nobody(void **state)
{
	struct directory_report reports[2];
	struct recipients *r;

	domains[0].catch_all = true;
	r = load("", "", reports);
	domains[0].catch_all = false;
	assert_true(reports[0].is_loaded);
	assert_int_equal(ask(r, "anna", "example.net").finding, RECIPIENT_KNOWN);
	recipients_free(r);
}

/* Waits for nobody who writes, and for no end of what has none. */
static void what_is_no_file_is_not_read(void **state)
{
	struct directory_report reports[2];
	struct recipients *r = NULL;
	char error[512], wanted[128];

	unlink(two_path);
	assert_int_equal(mkfifo(two_path, 0600), 0);
	domains[0].recipients = (char[]){"/dev/zero"};
	assert_int_equal(directory_load(&r, &task, reports, error, sizeof(error)), -EINVAL);
	domains[0].recipients = one_path;
	assert_null(r);
	assert_string_equal(reports[0].trouble, "/dev/zero: is no file");
	snprintf(wanted, sizeof(wanted), "%s: is no file", two_path);
	assert_string_equal(reports[1].trouble, wanted);
	unlink(two_path);
}

static void a_file_that_is_not_there_is_named(void **state)
{
	struct directory_report reports[2];
	struct recipients *r = NULL;
	char error[512], wanted[128];

	unlink(one_path);
	unlink(two_path);
	assert_int_equal(directory_load(&r, &task, reports, error, sizeof(error)), -ENOENT);
	snprintf(wanted, sizeof(wanted),
		 "%s: No such file or directory; nor can another directory be loaded", one_path);
	assert_string_equal(error, wanted);
	assert_null(r);
}

static void lines_may_be_cut_anywhere_by_reads_and_have_bounds(void **state)
{
	enum { LINES = 60000 };
	struct directory_report reports[2];
	size_t size = LINES * 64, len = 0;
	char *text = malloc(size), error[512];
	struct recipients *r = NULL;

	for (unsigned i = 0; i < LINES; i++)
		len += (size_t)snprintf(text + len, size - len, "user%u%.*s@example.net\n", i,
					(int)(i % 23), "abcdefghijklmnopqrstuvwxyz");
	write_file(one_path, text, len);
	write_file(two_path, "", 0);
	if (directory_load(&r, &task, reports, error, sizeof(error)))
		fail_msg("%s", error);
	assert_int_equal(reports[0].added, LINES);
	for (unsigned i = 0; i < LINES; i++) {
		char local[64];

		snprintf(local, sizeof(local), "user%u%.*s", i, (int)(i % 23),
			 "abcdefghijklmnopqrstuvwxyz");
		assert_int_equal(ask(r, local, "example.net").finding, RECIPIENT_KNOWN);
	}
	recipients_free(r);
	memset(text, 'a', 3 << 20);
	text[3 << 20] = '\n';
	write_file(one_path, text, (3 << 20) + 1);
	assert_int_equal(directory_load(&r, &task, reports, error, sizeof(error)), -EBADMSG);
	assert_non_null(strstr(error, ":1: the line is too long (1 of 1 lines are bad)"));
	free(text);
}

static void without_directories_all_is_unsure_but_postmaster(void **state)
{
	struct recipients *r;
	char error[512];

	assert_int_equal(directory_empty(&r, &config, task.entropy, error, sizeof(error)), 0);
	assert_int_equal(ask(r, "anna", "example.net").finding, RECIPIENT_UNSURE);
	assert_int_equal(ask(r, "postmaster", "example.net").finding, RECIPIENT_KNOWN);
	recipients_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_to_recipients),
		cmocka_unit_test(a_bad_line_is_named_and_nothing_is_loaded),
		cmocka_unit_test(so_many_bad_lines_as_the_domain_lets),
		cmocka_unit_test(a_file_that_says_nothing_of_who_exists_is_not_loaded),
		cmocka_unit_test(a_catch_all_needs_nobody),
		cmocka_unit_test(what_is_no_file_is_not_read),
		cmocka_unit_test(a_file_that_is_not_there_is_named),
		cmocka_unit_test(lines_may_be_cut_anywhere_by_reads_and_have_bounds),
		cmocka_unit_test(without_directories_all_is_unsure_but_postmaster),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
