/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The recipients' table against what it is told, by examples and against a plain set.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/random.h"
#include "postern/recipients.h"

enum { POOL = 3, OTHER_POOL = 9 };

static struct recipients *new_table(uint64_t expected)
{
	struct recipients_config config = {.expected = expected};

	for (size_t i = 0; i < sizeof(config.entropy); i++)
		config.entropy[i] = (uint8_t)(37 * i + 1);
	return recipients_new(&config);
}

static struct recipient_address address(const char *text)
{
	const char *at = strrchr(text, '@');

	if (!at)
		return (struct recipient_address){.local = text,
						  .local_len = (uint16_t)strlen(text)};
	return (struct recipient_address){
		.local = text,
		.local_len = (uint16_t)(at - text),
		.domain = at + 1,
		.domain_len = (uint16_t)strlen(at + 1),
	};
}

static uint32_t add_domain(struct recipients *r, const char *name, const char *separators,
			   bool exact_case, bool catch_all)
{
	struct recipients_domain domain = {
		.name = name,
		.name_len = (uint16_t)strlen(name),
		.pool = POOL,
		.exact_case = exact_case,
		.catch_all = catch_all,
	};
	uint32_t number;

	strncpy(domain.separators, separators, sizeof(domain.separators));
	assert_int_equal(recipients_add_domain(r, &domain, &number), 0);
	recipients_set_loaded(r, number, true);
	return number;
}

static struct recipient_answer ask(const struct recipients *r, const char *text)
{
	struct recipient_address asked = address(text);
	struct recipient_answer answer;

	recipients_find(r, &asked, 1, &answer);
	return answer;
}

static int put(struct recipients *r, const char *text, enum recipient_class class, uint16_t pool)
{
	struct recipient_address a = address(text);

	return recipients_put(r, &a, class, pool);
}

static int put_normal(struct recipients *r, const char *text)
{
	return put(r, text, RECIPIENT_NORMAL, RECIPIENT_POOL_OF_DOMAIN);
}

static int take_away(struct recipients *r, const char *text)
{
	struct recipient_address a = address(text);

	return recipients_remove(r, &a);
}

/* --- examples -------------------------------------------------------------------------------- */

static void a_recipient_is_known_and_its_neighbours_are_not(void **state)
{
	struct recipients *r = new_table(100);
	struct recipient_answer answer;

	add_domain(r, "example.net", "", false, false);
	add_domain(r, "example.org", "", false, false);
	assert_int_equal(put_normal(r, "anna@example.net"), RECIPIENTS_NEW);
	answer = ask(r, "anna@example.net");
	assert_int_equal(answer.finding, RECIPIENT_KNOWN);
	assert_int_equal(answer.class, RECIPIENT_NORMAL);
	assert_int_equal(answer.pool, POOL);
	assert_int_equal(answer.domain, 0);
	assert_false(answer.is_postmaster || answer.by_catch_all);
	assert_int_equal(ask(r, "ann@example.net").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(ask(r, "annaa@example.net").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(ask(r, "anna@example.org").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(ask(r, "anna@example.com").finding, RECIPIENT_NOT_OURS);
	recipients_free(r);
}

static void a_domain_says_whether_case_matters(void **state)
{
	struct recipients *r = new_table(100);

	add_domain(r, "fold.example", "", false, false);
	add_domain(r, "exact.example", "", true, false);
	put_normal(r, "Anna.K@fold.example");
	put_normal(r, "Anna.K@exact.example");
	assert_int_equal(ask(r, "aNNA.k@fold.example").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "Anna.K@exact.example").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "anna.k@exact.example").finding, RECIPIENT_UNKNOWN);
	/* Only ASCII letters are folded: the octets between Z and a are none. */
	put_normal(r, "[]^_@fold.example");
	assert_int_equal(ask(r, "{}^_@fold.example").finding, RECIPIENT_UNKNOWN);
	recipients_free(r);
}

static void a_subaddress_leads_to_its_recipient(void **state)
{
	struct recipients *r = new_table(100);

	add_domain(r, "plus.example", "+-", false, false);
	add_domain(r, "none.example", "", false, false);
	put_normal(r, "anna@plus.example");
	put_normal(r, "anna@none.example");
	put(r, "anna+trap@plus.example", RECIPIENT_TRAP, RECIPIENT_POOL_OF_DOMAIN);
	assert_int_equal(ask(r, "anna+lists@plus.example").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "anna-lists+x@plus.example").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "anna+trap@plus.example").class, RECIPIENT_TRAP);
	assert_int_equal(ask(r, "anna+@plus.example").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "+anna@plus.example").finding, RECIPIENT_UNKNOWN);
	assert_int_equal(ask(r, "anna+lists@none.example").finding, RECIPIENT_UNKNOWN);
	recipients_free(r);
}

static void postmaster_is_always_there(void **state)
{
	struct recipients *r = new_table(100);
	uint32_t number = add_domain(r, "example.net", "", true, false);
	struct recipient_answer answer;

	answer = ask(r, "pOstMaster@example.net");
	assert_int_equal(answer.finding, RECIPIENT_KNOWN);
	assert_int_equal(answer.class, RECIPIENT_NORMAL);
	assert_true(answer.is_postmaster);
	assert_int_equal(answer.pool, POOL);
	answer = ask(r, "Postmaster");
	assert_int_equal(answer.finding, RECIPIENT_KNOWN);
	assert_true(answer.is_postmaster);
	assert_int_equal(answer.domain, number);
	put(r, "postmaster@example.net", RECIPIENT_TRAP, OTHER_POOL);
	assert_int_equal(ask(r, "postmaster@example.net").class, RECIPIENT_NORMAL);
	recipients_set_loaded(r, number, false);
	assert_int_equal(ask(r, "postmaster@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "postmaster@example.org").finding, RECIPIENT_NOT_OURS);
	assert_int_equal(ask(r, "postmasters@example.net").finding, RECIPIENT_UNSURE);
	recipients_free(r);
}

static void without_its_directory_nobody_can_tell(void **state)
{
	struct recipients *r = new_table(100);
	uint32_t number = add_domain(r, "example.net", "", false, true);

	put_normal(r, "anna@example.net");
	recipients_set_loaded(r, number, false);
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_UNSURE);
	assert_int_equal(ask(r, "otto@example.net").finding, RECIPIENT_UNSURE);
	recipients_set_loaded(r, number, true);
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_KNOWN);
	recipients_free(r);
}

static void a_catch_all_knows_everybody(void **state)
{
	struct recipients *r = new_table(100);

	add_domain(r, "all.example", "", false, true);
	put(r, "gone@all.example", RECIPIENT_DISABLED, RECIPIENT_POOL_OF_DOMAIN);
	put_normal(r, "anna@all.example");
	assert_true(ask(r, "whoever@all.example").by_catch_all);
	assert_int_equal(ask(r, "whoever@all.example").finding, RECIPIENT_KNOWN);
	assert_int_equal(ask(r, "whoever@all.example").pool, POOL);
	assert_false(ask(r, "anna@all.example").by_catch_all);
	assert_int_equal(ask(r, "gone@all.example").class, RECIPIENT_DISABLED);
	recipients_free(r);
}

static void classes_and_pools_are_told_and_can_change(void **state)
{
	struct recipients *r = new_table(100);
	struct recipient_answer answer;

	add_domain(r, "example.net", "", false, false);
	for (int class = RECIPIENT_NORMAL; class < RECIPIENT_CLASSES; class ++) {
		char text[64];
		enum recipient_class back;
		const char *name = recipient_class_name((enum recipient_class) class);

		snprintf(text, sizeof(text), "is-%s@example.net", name);
		put(r, text, (enum recipient_class) class, RECIPIENT_POOL_OF_DOMAIN);
		assert_int_equal(ask(r, text).class, class);
		assert_int_equal(recipient_class_of(name, strlen(name), &back), 0);
		assert_int_equal(back, class);
	}
	assert_int_equal(put(r, "anna@example.net", RECIPIENT_NORMAL, OTHER_POOL), RECIPIENTS_NEW);
	assert_int_equal(put(r, "anna@example.net", RECIPIENT_NORMAL, OTHER_POOL), RECIPIENTS_SAME);
	assert_int_equal(ask(r, "anna@example.net").pool, OTHER_POOL);
	assert_int_equal(put(r, "anna@example.net", RECIPIENT_OVER_QUOTA, 0), RECIPIENTS_CHANGED);
	answer = ask(r, "anna@example.net");
	assert_int_equal(answer.class, RECIPIENT_OVER_QUOTA);
	assert_int_equal(put_normal(r, "anna@example.net"), RECIPIENTS_CHANGED);
	assert_int_equal(ask(r, "anna@example.net").pool, POOL);
	recipients_free(r);
}

static void so_many_pools_can_be_named_and_no_more(void **state)
{
	struct recipients *r = new_table(1000);
	char text[64];

	add_domain(r, "example.net", "", false, false);
	for (unsigned i = 0; i < RECIPIENTS_POOLS_MAX; i++) {
		snprintf(text, sizeof(text), "u%u@example.net", i);
		assert_int_equal(put(r, text, RECIPIENT_NORMAL, (uint16_t)(1000 + i)),
				 RECIPIENTS_NEW);
	}
	assert_int_equal(put(r, "more@example.net", RECIPIENT_NORMAL, 2000), -EMFILE);
	assert_int_equal(put(r, "more@example.net", RECIPIENT_NORMAL, 1007), RECIPIENTS_NEW);
	for (unsigned i = 0; i < RECIPIENTS_POOLS_MAX; i++) {
		snprintf(text, sizeof(text), "u%u@example.net", i);
		assert_int_equal(ask(r, text).pool, 1000 + i);
	}
	recipients_free(r);
}

static void what_cannot_be_is_refused(void **state)
{
	struct recipients_domain domain = {.name = "example.net", .name_len = 11};
	struct recipients *r = new_table(100);
	char long_local[RECIPIENT_LOCAL_MAX + 16];
	enum recipient_class class;
	uint32_t number;

	add_domain(r, "example.net", "", false, false);
	assert_int_equal(recipients_add_domain(r, &domain, &number), -EEXIST);
	domain.name_len = 0;
	assert_int_equal(recipients_add_domain(r, &domain, &number), -EINVAL);
	assert_int_equal(put_normal(r, "anna@example.org"), -ENOENT);
	assert_int_equal(put_normal(r, "@example.net"), -EINVAL);
	memset(long_local, 'a', sizeof(long_local));
	memcpy(long_local + RECIPIENT_LOCAL_MAX, "@example.net", 13);
	assert_int_equal(put_normal(r, long_local), RECIPIENTS_NEW);
	assert_int_equal(ask(r, long_local).finding, RECIPIENT_KNOWN);
	memcpy(long_local + RECIPIENT_LOCAL_MAX, "a@example.net", 14);
	assert_int_equal(put_normal(r, long_local), -EINVAL);
	assert_int_equal(ask(r, long_local).finding, RECIPIENT_UNKNOWN);
	assert_int_equal(take_away(r, "nobody@example.net"), -ENOENT);
	assert_int_equal(recipient_class_of("normal", 3, &class), -EINVAL);
	recipients_free(r);
}

static void a_full_table_refuses_and_keeps_what_it_has(void **state)
{
	struct recipients *r = new_table(0); /* the smallest */
	unsigned n = 0;
	char text[64];
	int rc;

	add_domain(r, "example.net", "", false, false);
	do {
		snprintf(text, sizeof(text), "u%u@example.net", n);
		rc = put_normal(r, text);
	} while (rc == RECIPIENTS_NEW && ++n < 10000);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(recipients_count(r), n);
	assert_true(n > 40);
	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "u%u@example.net", i);
		assert_int_equal(ask(r, text).finding, RECIPIENT_KNOWN);
	}
	snprintf(text, sizeof(text), "u%u@example.net", n);
	assert_int_equal(ask(r, text).finding, RECIPIENT_UNKNOWN);
	recipients_free(r);
}

static void thousands_of_domains_are_told_apart(void **state)
{
	enum { DOMAINS = 5000 };
	struct recipients *r = new_table(DOMAINS);
	char name[32], text[64];
	size_t len;

	for (uint32_t i = 0; i < DOMAINS; i++) {
		snprintf(name, sizeof(name), "d%u.example", i);
		assert_int_equal(add_domain(r, name, "", false, false), i);
		snprintf(text, sizeof(text), "u%u@%s", i, name);
		assert_int_equal(put_normal(r, text), RECIPIENTS_NEW);
	}
	for (uint32_t i = 0; i < DOMAINS; i++) {
		snprintf(name, sizeof(name), "d%u.example", i);
		assert_int_equal(recipients_domain_find(r, name, strlen(name)), i);
		assert_memory_equal(recipients_domain_name(r, i, &len), name, strlen(name));
		assert_int_equal(len, strlen(name));
		assert_int_equal(recipients_domain_count(r, i), 1);
		snprintf(text, sizeof(text), "u%u@%s", i, name);
		assert_int_equal(ask(r, text).finding, RECIPIENT_KNOWN);
		snprintf(text, sizeof(text), "u%u@%s", i + 1, name);
		assert_int_equal(ask(r, text).finding, RECIPIENT_UNKNOWN);
	}
	assert_int_equal(recipients_domain_find(r, "d5000.example", 13), -ENOENT);
	recipients_free(r);
}

static void a_copy_answers_the_same_and_lives_alone(void **state)
{
	struct recipients *r = new_table(100), *copy;

	add_domain(r, "example.net", "+", false, false);
	put_normal(r, "anna@example.net");
	copy = recipients_copy(r);
	assert_non_null(copy);
	take_away(r, "anna@example.net");
	assert_int_equal(ask(r, "anna@example.net").finding, RECIPIENT_UNKNOWN);
	recipients_free(r);
	assert_int_equal(ask(copy, "anna+x@example.net").finding, RECIPIENT_KNOWN);
	assert_int_equal(put_normal(copy, "otto@example.net"), RECIPIENTS_NEW);
	recipients_free(copy);
}

static void a_hundred_are_answered_in_bursts_and_in_order(void **state)
{
	struct recipients *r = new_table(1000);
	struct recipient_address asked[RECIPIENTS_ASKED_MAX];
	struct recipient_answer answers[RECIPIENTS_ASKED_MAX];
	char texts[RECIPIENTS_ASKED_MAX][64];

	add_domain(r, "example.net", "", false, false);
	for (unsigned i = 0; i < RECIPIENTS_ASKED_MAX; i++) {
		snprintf(texts[i], sizeof(texts[i]), "u%u@example.net", i);
		if (i % 3 == 0)
			put_normal(r, texts[i]);
		asked[i] = address(texts[i]);
	}
	for (size_t n = 0; n <= RECIPIENTS_ASKED_MAX; n++) {
		memset(answers, 0xff, sizeof(answers));
		recipients_find(r, asked, n, answers);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(answers[i].finding,
					 i % 3 ? RECIPIENT_UNKNOWN : RECIPIENT_KNOWN);
	}
	recipients_free(r);
}

/* --- against a plain set -----------------------------------------------------------------------
 */

enum { NAMES = 3000, STEPS = 200000 };

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % below;
}

static void a_random_walk_agrees_with_a_plain_set(void **state)
{
	static uint8_t set[NAMES];		     /* class + 1, or 0 */
	struct recipients *r = new_table(NAMES / 2); /* often full to the brim */
	uint64_t n = 0;

	random_state = test_seed(20) * 0x9e3779b97f4a7c15 + 1;
	memset(set, 0, sizeof(set));
	add_domain(r, "example.net", "", false, false);
	for (unsigned i = 0; i < STEPS; i++) {
		uint32_t who = draw(NAMES), class = draw(RECIPIENT_CLASSES);
		struct recipient_answer answer;
		char text[64];
		int rc;

		snprintf(text, sizeof(text), "user%u@example.net", who);
		switch (draw(4)) {
		case 0:
			rc = put(r, text, (enum recipient_class) class, RECIPIENT_POOL_OF_DOMAIN);
			if (rc == -ENOSPC) {
				assert_int_equal(set[who], 0);
				break;
			}
			assert_int_equal(rc, !set[who]		     ? RECIPIENTS_NEW
					     : set[who] == class + 1 ? RECIPIENTS_SAME
								     : RECIPIENTS_CHANGED);
			n += !set[who];
			set[who] = (uint8_t)(class + 1);
			break;
		case 1:
			assert_int_equal(take_away(r, text), set[who] ? 0 : -ENOENT);
			n -= !!set[who];
			set[who] = 0;
			break;
		default:
			answer = ask(r, text);
			assert_int_equal(answer.finding,
					 set[who] ? RECIPIENT_KNOWN : RECIPIENT_UNKNOWN);
			if (set[who])
				assert_int_equal(answer.class, set[who] - 1);
		}
		assert_int_equal(recipients_count(r), n);
	}
	recipients_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_recipient_is_known_and_its_neighbours_are_not),
		cmocka_unit_test(a_domain_says_whether_case_matters),
		cmocka_unit_test(a_subaddress_leads_to_its_recipient),
		cmocka_unit_test(postmaster_is_always_there),
		cmocka_unit_test(without_its_directory_nobody_can_tell),
		cmocka_unit_test(a_catch_all_knows_everybody),
		cmocka_unit_test(classes_and_pools_are_told_and_can_change),
		cmocka_unit_test(so_many_pools_can_be_named_and_no_more),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(a_full_table_refuses_and_keeps_what_it_has),
		cmocka_unit_test(thousands_of_domains_are_told_apart),
		cmocka_unit_test(a_copy_answers_the_same_and_lives_alone),
		cmocka_unit_test(a_hundred_are_answered_in_bursts_and_in_order),
		cmocka_unit_test(a_random_walk_agrees_with_a_plain_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
