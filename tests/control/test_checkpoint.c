/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checkpoints: what a restart brings back, and that nothing comes of a file that is not whole.
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

#include "control/checkpoint.h"

enum { NOW = 1800000000, CLIENTS = 5000, ERROR_LEN = 512, RECORD = 32, HEAD = 16 };

static char folder[] = "/tmp/postern-checkpoint-XXXXXX";
static char path[64], beside[72];

static struct harvest *new_harvest(void)
{
	struct harvest_config config;
	struct harvest *h;

	harvest_defaults(&config);
	config.entries = 1 << 14;
	config.filter_octets = 1 << 20;
	h = harvest_new(&config);
	assert_non_null(h);
	return h;
}

static struct ip_addr client(uint32_t number)
{
	const uint8_t octets[4] = {10, (uint8_t)(number >> 16), (uint8_t)(number >> 8),
				   (uint8_t)number};

	return ip_addr_from_v4(octets);
}

static void guess(struct harvest *h, uint32_t number, unsigned n)
{
	const struct harvest_client c = {.address = client(number)};

	for (unsigned i = 0; i < n; i++) {
		const enum harvest_evidence evidence = HARVEST_UNKNOWN;
		struct harvest_loan loan = {0};
		struct harvest_verdicts verdicts;
		enum harvest_answer answer;
		char local[16];
		struct recipient_address a = {
			.local = local, .domain = "a.example", .domain_len = 9};

		a.local_len = (uint16_t)snprintf(local, sizeof(local), "no%u", i);
		harvest_recipients(h, &c, &a, &evidence, 1, &loan, NOW, &answer, &verdicts);
	}
}

static uint64_t used(const struct harvest *h)
{
	struct harvest_counts counts;

	harvest_count(h, NOW, &counts);
	return counts.used;
}

static int set_up(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/state", folder);
	snprintf(beside, sizeof(beside), "%s.new", path);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	unlink(beside);
	return rmdir(folder);
}

static int load(struct harvest *h, char error[ERROR_LEN])
{
	error[0] = '\0';
	return checkpoint_load(h, path, error, ERROR_LEN);
}

/* The octets of a good file; to be freed. */
static uint8_t *good_file(size_t *len, unsigned clients)
{
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];
	uint8_t *octets;
	FILE *file;
	long n;

	for (unsigned i = 0; i < clients; i++)
		guess(h, i, 1);
	if (checkpoint_save(h, path, error, sizeof(error)))
		fail_msg("%s", error);
	harvest_free(h);
	file = fopen(path, "re");
	assert_non_null(file);
	fseek(file, 0, SEEK_END);
	n = ftell(file);
	assert_true(n > 0);
	rewind(file);
	octets = malloc((size_t)n);
	assert_non_null(octets);
	assert_int_equal(fread(octets, 1, (size_t)n, file), n);
	fclose(file);
	*len = (size_t)n;
	return octets;
}

static void write_file(const uint8_t *octets, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(octets, 1, len, file), len);
	fclose(file);
}

static void all_clients_are_there_after_a_restart(void **state)
{
	struct harvest *before = new_harvest(), *after = new_harvest();
	struct harvest_story old[HARVEST_LEVELS], new[HARVEST_LEVELS];
	char error[ERROR_LEN];
	struct stat st;

	for (unsigned i = 0; i < CLIENTS; i++)
		guess(before, i, 1 + i % 4);
	if (checkpoint_save(before, path, error, sizeof(error)) || load(after, error))
		fail_msg("%s", error);
	assert_int_equal(used(after), used(before));
	for (unsigned i = 0; i < CLIENTS; i++) {
		const struct ip_addr a = client(i);

		harvest_explain(before, &a, NOW, old);
		harvest_explain(after, &a, NOW, new);
		assert_memory_equal(&old[0], &new[0], sizeof(old[0]));
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(access(beside, F_OK), -1);
	harvest_free(before);
	harvest_free(after);
}

static void an_empty_table_is_a_good_file(void **state)
{
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];
	size_t len;

	free(good_file(&len, 0));
	assert_int_equal(load(h, error), 0);
	assert_int_equal(used(h), 0);
	harvest_free(h);
}

static void no_file_is_told_apart_from_a_bad_one(void **state)
{
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];

	unlink(path);
	assert_int_equal(load(h, error), -ENOENT);
	assert_int_equal(checkpoint_load(h, folder, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, folder));
	harvest_free(h);
}

/* Neither the file that is there nor the table suffers. */
static void a_torn_file_is_a_sentence_and_nothing_else(void **state)
{
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];
	size_t len;
	uint8_t *octets = good_file(&len, 20);

	for (size_t cut = 0; cut < len; cut++) {
		write_file(octets, cut);
		assert_int_equal(load(h, error), -EBADMSG);
		assert_non_null(strstr(error, path));
		assert_int_equal(used(h), 0);
	}
	free(octets);
	harvest_free(h);
}

static void a_changed_octet_anywhere_is_seen(void **state)
{
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];
	size_t len;
	uint8_t *octets = good_file(&len, 20);

	for (size_t at = 0; at < len; at++) {
		octets[at] ^= 0x10;
		write_file(octets, len);
		assert_true(load(h, error) < 0);
		assert_non_null(strstr(error, path));
		assert_int_equal(used(h), 0);
		octets[at] ^= 0x10;
	}
	free(octets);
	harvest_free(h);
}

static void octets_behind_the_end_are_seen(void **state)
{
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];
	size_t len;
	uint8_t *octets = good_file(&len, 1), *more = calloc(1, len + 1);

	assert_non_null(more);
	memcpy(more, octets, len);
	write_file(more, len + 1);
	assert_int_equal(load(h, error), -EBADMSG);
	assert_int_equal(used(h), 0);
	free(more);
	free(octets);
	harvest_free(h);
}

static void what_is_foreign_or_of_the_future_is_told_as_that(void **state)
{
	static const struct {
		size_t at;
		uint8_t becomes;
		const char *says;
	} cases[] = {
		{0, 'x', "no checkpoint of Postern's"},
		{8, 3, "version 3, where this program knows version 2"},
		{12, 1, "another byte order"},
	};
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len;
		uint8_t *octets = good_file(&len, 1);

		octets[cases[i].at] = cases[i].becomes;
		write_file(octets, len);
		assert_int_equal(load(h, error), -EPROTO);
		assert_non_null(strstr(error, cases[i].says));
		assert_int_equal(used(h), 0);
		free(octets);
	}
	harvest_free(h);
}

static void a_save_that_fails_leaves_the_file_there_was(void **state)
{
	struct harvest *h = new_harvest(), *after = new_harvest();
	char error[ERROR_LEN];
	size_t len;

	free(good_file(&len, 7));
	assert_int_equal(mkdir(beside, 0700), 0);
	assert_true(checkpoint_save(h, path, error, sizeof(error)) < 0);
	assert_non_null(strstr(error, beside));
	assert_int_equal(rmdir(beside), 0);
	assert_int_equal(load(after, error), 0);
	assert_true(used(after) >= 7);
	harvest_free(h);
	harvest_free(after);
}

static void what_is_no_file_is_not_written_over(void **state)
{
	struct harvest *h = new_harvest();
	char error[ERROR_LEN];
	struct stat st;

	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(checkpoint_save(h, path, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, path));
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(access(beside, F_OK), -1);
	harvest_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_clients_are_there_after_a_restart),
		cmocka_unit_test(an_empty_table_is_a_good_file),
		cmocka_unit_test(no_file_is_told_apart_from_a_bad_one),
		cmocka_unit_test(a_torn_file_is_a_sentence_and_nothing_else),
		cmocka_unit_test(a_changed_octet_anywhere_is_seen),
		cmocka_unit_test(octets_behind_the_end_are_seen),
		cmocka_unit_test(what_is_foreign_or_of_the_future_is_told_as_that),
		cmocka_unit_test(a_save_that_fails_leaves_the_file_there_was),
		cmocka_unit_test(what_is_no_file_is_not_written_over),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
