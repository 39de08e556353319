/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Refusals by examples: for whom one holds, for how long, and what makes room for another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "relay/refusals.h"

enum { SECOND = 1000 * 1000, START = 7 * SECOND, ENTRIES = 1024 };

static const uint64_t kept_us = (uint64_t)REFUSAL_S * SECOND;
static const struct siphash_key keys[2] = {{1, 2}, {3, 4}};

static struct span span_of(const char *text)
{
	return (struct span){(const uint8_t *)text, strlen(text)};
}

static struct refusals *begin(uint32_t entries)
{
	struct refusals *r = refusals_new(entries, keys);

	assert_non_null(r);
	return r;
}

static void put(struct refusals *r, const char *sender, const char *recipient, bool any_sender,
		const char *text, uint64_t now_us)
{
	struct refusal refusal = {.code = 550, .text_len = (uint16_t)strlen(text)};

	memcpy(refusal.text, text, refusal.text_len);
	refusals_put(r, span_of(sender), span_of(recipient), any_sender, &refusal, now_us);
}

/* Whether there is one, of this text. */
static bool has(const struct refusals *r, const char *sender, const char *recipient,
		const char *text, uint64_t now_us)
{
	struct refusal refusal;

	if (!refusals_find(r, span_of(sender), span_of(recipient), now_us, &refusal))
		return false;
	assert_int_equal(refusal.text_len, strlen(text));
	assert_memory_equal(refusal.text, text, refusal.text_len);
	return true;
}

static void a_refusal_is_found_as_it_was_said(void **state)
{
	struct refusals *r = begin(ENTRIES);
	struct refusal said = {.code = 452,
			       .pool = 1023,
			       .server = 255,
			       .text_len = REFUSAL_TEXT_MAX,
			       .is_suspect = true,
			       .since_us = 99},
		       found;

	memset(said.text, 'x', sizeof(said.text));
	said.text[0] = '4';
	said.text[REFUSAL_TEXT_MAX - 1] = '!';
	refusals_put(r, span_of("a@b.example"), span_of("u@example.net"), false, &said, START);
	assert_true(refusals_find(r, span_of("a@b.example"), span_of("u@example.net"), START + 5,
				  &found));
	assert_int_equal(found.code, 452);
	assert_int_equal(found.pool, 1023);
	assert_int_equal(found.server, 255);
	assert_int_equal(found.text_len, REFUSAL_TEXT_MAX);
	assert_true(found.is_suspect);
	assert_int_equal(found.since_us, START);
	assert_memory_equal(found.text, said.text, REFUSAL_TEXT_MAX);
	refusals_free(r);
}

static void a_refusal_holds_for_its_sender_and_recipient_alone(void **state)
{
	struct refusals *r = begin(ENTRIES);

	put(r, "a@b.example", "u@example.net", false, "5.7.1 not from you", START);
	assert_true(has(r, "a@b.example", "u@example.net", "5.7.1 not from you", START));
	assert_false(has(r, "a@b.example", "v@example.net", "", START));
	assert_false(has(r, "c@b.example", "u@example.net", "", START));
	assert_false(has(r, "", "u@example.net", "", START));
	assert_false(has(r, "u@example.net", "a@b.example", "", START));
	/* The null sender is one as any other. */
	put(r, "", "u@example.net", false, "5.7.1 no bounces", START);
	assert_true(has(r, "", "u@example.net", "5.7.1 no bounces", START));
	assert_false(has(r, "c@b.example", "u@example.net", "", START));
	refusals_free(r);
}

static void one_of_any_sender_holds_for_all(void **state)
{
	struct refusals *r = begin(ENTRIES);

	put(r, "a@b.example", "u@example.net", true, "5.1.1 unknown", START);
	assert_true(has(r, "a@b.example", "u@example.net", "5.1.1 unknown", START));
	assert_true(has(r, "c@d.example", "u@example.net", "5.1.1 unknown", START));
	assert_true(has(r, "", "u@example.net", "5.1.1 unknown", START));
	assert_false(has(r, "a@b.example", "v@example.net", "", START));
	/* What was said to the sender itself goes before it. */
	put(r, "a@b.example", "u@example.net", false, "5.7.1 not from you", START);
	assert_true(has(r, "a@b.example", "u@example.net", "5.7.1 not from you", START));
	assert_true(has(r, "c@d.example", "u@example.net", "5.1.1 unknown", START));
	refusals_free(r);
}

static void letters_are_the_same_in_either_case(void **state)
{
	struct refusals *r = begin(ENTRIES);

	put(r, "Alice@B.example", "U@example.net", false, "no", START);
	assert_true(has(r, "aLICE@b.EXAMPLE", "u@EXAMPLE.net", "no", START));
	assert_false(has(r, "aLICE@b.EXAMPLE", "[@example.net", "no", START));
	refusals_free(r);
}

static void it_is_forgotten_after_six_hours(void **state)
{
	struct refusals *r = begin(ENTRIES);

	put(r, "a@b.example", "u@example.net", false, "no", START);
	put(r, "", "v@example.net", true, "no", START);
	assert_true(has(r, "a@b.example", "u@example.net", "no", START + kept_us - 1));
	assert_true(has(r, "a@b.example", "v@example.net", "no", START + kept_us - 1));
	assert_false(has(r, "a@b.example", "u@example.net", "", START + kept_us));
	assert_false(has(r, "a@b.example", "v@example.net", "", START + kept_us));
	put(r, "a@b.example", "u@example.net", false, "no", START + kept_us);
	assert_true(has(r, "a@b.example", "u@example.net", "no", START + kept_us + 1));
	refusals_free(r);
}

static void a_time_that_goes_back_is_no_time_passed(void **state)
{
	struct refusals *r = begin(ENTRIES);

	put(r, "a@b.example", "u@example.net", false, "no", START);
	assert_true(has(r, "a@b.example", "u@example.net", "no", 0));
	put(r, "a@b.example", "v@example.net", false, "no", 0);
	assert_true(has(r, "a@b.example", "v@example.net", "no", 0));
	refusals_free(r);
}

static void another_replaces_it(void **state)
{
	struct refusals *r = begin(8);

	for (unsigned i = 0; i < 100; i++) {
		char text[32];

		snprintf(text, sizeof(text), "4.2.%u later", i);
		put(r, "a@b.example", "u@example.net", false, text, START + i);
		assert_true(has(r, "a@b.example", "u@example.net", text, START + i));
	}
	refusals_free(r);
}

static void a_text_is_cut_at_its_bound(void **state)
{
	struct refusals *r = begin(ENTRIES);
	struct refusal refusal = {.code = 550, .text_len = REFUSAL_TEXT_MAX + 50};

	memset(refusal.text, 'y', sizeof(refusal.text));
	refusals_put(r, span_of("a"), span_of("u@example.net"), false, &refusal, START);
	assert_true(refusals_find(r, span_of("a"), span_of("u@example.net"), START, &refusal));
	assert_int_equal(refusal.text_len, REFUSAL_TEXT_MAX);
	refusals_free(r);
}

static void postmaster_is_never_remembered(void **state)
{
	const char *const names[] = {"postmaster@example.net", "Postmaster", "POSTMASTER@e.net"};
	struct refusals *r = begin(ENTRIES);

	for (unsigned i = 0; i < 3; i++) {
		put(r, "a@b.example", names[i], false, "no", START);
		put(r, "a@b.example", names[i], true, "no", START);
		assert_false(has(r, "a@b.example", names[i], "", START));
	}
	put(r, "postmaster@b.example", "postmaster2@example.net", false, "no", START);
	assert_true(has(r, "postmaster@b.example", "postmaster2@example.net", "no", START));
	put(r, "", "\"a@postmaster\"@postmaster", false, "no", START);
	assert_true(has(r, "", "\"a@postmaster\"@postmaster", "no", START));
	refusals_free(r);
}

/* Eight entries, thousand refusals: those found are the last ones of their buckets. */
static void a_full_bucket_gives_up_its_oldest(void **state)
{
	enum { N = 1000, BUCKETS = 2, BUCKET = 4 };
	struct refusals *r = begin(BUCKETS * BUCKET);
	char recipient[32];
	unsigned found = 0, oldest = N;

	for (unsigned i = 0; i < N; i++) {
		snprintf(recipient, sizeof(recipient), "u%u@example.net", i);
		put(r, "", recipient, false, recipient, START + i);
		assert_true(has(r, "", recipient, recipient, START + i));
	}
	for (unsigned i = 0; i < N; i++) {
		snprintf(recipient, sizeof(recipient), "u%u@example.net", i);
		if (has(r, "", recipient, recipient, START + N)) {
			found++;
			oldest = i < oldest ? i : oldest;
		}
	}
	assert_int_equal(found, BUCKETS * BUCKET);
	/* Of two buckets one may be met by some more in a row than the other. */
	assert_true(oldest >= N - 32);
	refusals_free(r);
}

static void an_address_beyond_any_bound_is_not_remembered(void **state)
{
	static char longer[2048];
	struct refusals *r = begin(ENTRIES);

	memset(longer, 'l', sizeof(longer) - 1);
	put(r, longer, "u@example.net", false, "no", START);
	assert_false(has(r, longer, "u@example.net", "", START));
	put(r, "a@b.example", longer, false, "no", START);
	assert_false(has(r, "a@b.example", longer, "", START));
	refusals_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_is_found_as_it_was_said),
		cmocka_unit_test(a_refusal_holds_for_its_sender_and_recipient_alone),
		cmocka_unit_test(one_of_any_sender_holds_for_all),
		cmocka_unit_test(letters_are_the_same_in_either_case),
		cmocka_unit_test(it_is_forgotten_after_six_hours),
		cmocka_unit_test(a_time_that_goes_back_is_no_time_passed),
		cmocka_unit_test(another_replaces_it),
		cmocka_unit_test(a_text_is_cut_at_its_bound),
		cmocka_unit_test(postmaster_is_never_remembered),
		cmocka_unit_test(a_full_bucket_gives_up_its_oldest),
		cmocka_unit_test(an_address_beyond_any_bound_is_not_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
