/* SPDX-License-Identifier: BSD-3-Clause */
/* What a next hop's refusal means: that of the mail, and that of a server set up wrongly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "relay/meaning.h"
#include "smtp/status.h"

static struct span span_of(const char *text)
{
	return (struct span){(const uint8_t *)text, strlen(text)};
}

struct row {
	uint16_t code;
	const char *text;
	enum meaning meaning;
};

static void check(enum asked_about what, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (meaning_of(what, rows[i].code, span_of(rows[i].text)) != rows[i].meaning)
			fail_msg("%u %s is not %d", rows[i].code, rows[i].text, rows[i].meaning);
}

#define CHECK(what, rows) check(what, rows, sizeof(rows) / sizeof((rows)[0]))

static void of_a_recipient_what_concerns_its_mailbox_is_the_clients(void **state)
{
	static const struct row rows[] = {
		{250, "2.1.5 ok", MEANING_TAKEN},
		{251, "", MEANING_TAKEN},
		{450, "4.2.0 greylisted", MEANING_LATER},
		{452, "", MEANING_LATER},
		{550, "5.1.1 who?", MEANING_MAIL},
		{550, "5.2.1 disabled", MEANING_MAIL},
		{552, "5.2.2 full", MEANING_MAIL},
		{550, "User unknown", MEANING_MAIL},
		{553, "not allowed", MEANING_MAIL},
		{553, "5.6.7 UTF8", MEANING_MAIL},
		{550, "5.7.1 relaying denied", MEANING_DOUBT},
		{554, "5.7.1 relay access denied", MEANING_DOUBT},
		{554, "transaction failed", MEANING_DOUBT},
		{550, "5.6.1 media", MEANING_DOUBT},
		{501, "5.5.4 syntax", MEANING_DOUBT},
		{503, "5.5.1 MAIL first", MEANING_SERVER},
		{530, "5.7.0 authenticate", MEANING_SERVER},
		{535, "", MEANING_SERVER},
	};

	CHECK(ASKED_ABOUT_RECIPIENT, rows);
}

static void of_a_sender_what_concerns_its_address_or_the_size_is_the_clients(void **state)
{
	static const struct row rows[] = {
		{250, "", MEANING_TAKEN},
		{451, "4.3.0 later", MEANING_LATER},
		{553, "5.1.7 bad sender", MEANING_MAIL},
		{550, "5.1.8 no such domain", MEANING_MAIL},
		{552, "5.3.4 too big", MEANING_MAIL},
		{552, "too big", MEANING_MAIL},
		{554, "5.6.1 media", MEANING_MAIL},
		{550, "no", MEANING_DOUBT},
		{550, "5.1.1 who?", MEANING_DOUBT},
		{554, "5.7.1 denied", MEANING_DOUBT},
		{530, "5.7.0 STARTTLS first", MEANING_SERVER},
	};

	CHECK(ASKED_ABOUT_SENDER, rows);
}

static void a_status_code_stands_alone_at_the_front(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		struct status status;
	} rows[] = {
		{"5.1.1", 5, {5, 1, 1}},
		{"4.123.999 text", 9, {4, 123, 999}},
		{"2.0.0 ok", 5, {2, 0, 0}},
		{"", 0, {0}},
		{"5", 0, {0}},
		{"5.", 0, {0}},
		{"5.1", 0, {0}},
		{"5.1.", 0, {0}},
		{"5..1", 0, {0}},
		{"5.1.1.", 0, {0}},
		{"5.1.1x", 0, {0}},
		{"5.1234.1", 0, {0}},
		{"5.1.1234", 0, {0}},
		{"55.1.1", 0, {0}},
		{" 5.1.1", 0, {0}},
		{".1.1", 0, {0}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct status status = {9, 9, 9};

		assert_int_equal(status_read(span_of(rows[i].text), &status), rows[i].len);
		assert_int_equal(status.class, rows[i].status.class);
		assert_int_equal(status.subject, rows[i].status.subject);
		assert_int_equal(status.detail, rows[i].status.detail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_a_recipient_what_concerns_its_mailbox_is_the_clients),
		cmocka_unit_test(of_a_sender_what_concerns_its_address_or_the_size_is_the_clients),
		cmocka_unit_test(a_status_code_stands_alone_at_the_front),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
