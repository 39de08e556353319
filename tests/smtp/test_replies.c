/* SPDX-License-Identifier: BSD-3-Clause */
/* The reply table, the phrases made of it, and ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/session.h"

enum { IDS = 200000 };

static struct postern_counters counters;

static struct smtp_config config_with_host(const char *host)
{
	return (struct smtp_config){
		.settings = {.host = host, .size_max = UINT64_MAX, .recipients_max = 60000},
		.sessions = 1,
		.envelopes = 1,
		.pages = 1,
		.pieces = 1,
		.id_key = {1, 2},
		.counters = &counters,
	};
}

static void every_row_is_whole(void **state)
{
	for (unsigned i = 0; i < REPLIES; i++) {
		const struct reply_row *row = &reply_rows[i];
		const unsigned class = row->code / 100u;

		assert_true(strlen(row->name) > 0 && strlen(row->text) > 0 &&
			    strlen(row->when) > 0);
		assert_true(class >= 2 && class <= 5);
		/* RFC 2034 4: a code of the reply's class in 2xx, 4xx and 5xx; RFC 3463 2. */
		if (*row->enhanced) {
			unsigned subject, detail;
			int len = 0;

			assert_int_equal(row->enhanced[0], '0' + class);
			assert_int_equal(sscanf(row->enhanced + 1, ".%1u.%1u%n", &subject, &detail,
						&len),
					 2);
			assert_int_equal(row->enhanced[1 + len], '\0');
		} else {
			assert_true(class == 3 || i == REPLY_GREETING || i == REPLY_HELO ||
				    i == REPLY_EHLO);
		}
		/* RFC 5321 3.8: 421 is said by who closes. */
		assert_true(row->code != 421 || row->closes);
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(reply_rows[j].name, row->name);
	}
}

/* What is said of the longest address under the longest name. */
static void every_reply_fits_a_line(void **state)
{
	char host[HOST_MAX + 1];
	uint8_t address[SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX], bytes[SMTP_OUT_LEAST];
	struct smtp_config config = config_with_host(host);
	struct smtp *m;

	memset(host, 'h', HOST_MAX);
	host[HOST_MAX] = '\0';
	config.settings.offers = UINT8_MAX;
	m = smtp_new(&config, 0);
	assert_non_null(m);
	memset(address, 'a', sizeof(address));
	for (unsigned i = 0; i < REPLIES; i++) {
		struct smtp_session s = {.id = UINT64_MAX};
		struct smtp_out out = {.bytes = bytes, .size = sizeof(bytes)};

		say_about(m, &s, (enum reply)i, (struct span){address, sizeof(address)}, &out);
		assert_in_range(out.len, 1, SMTP_REPLY_LINE_MAX);
		assert_memory_equal(bytes + out.len - 3, ")\r\n", 3);
		assert_ptr_equal(memchr(bytes, '\n', out.len), bytes + out.len - 1);
		assert_null(memchr(bytes, '{', out.len));
		assert_int_equal(s.state == SESSION_CLOSING, reply_rows[i].closes);
		assert_int_equal(smtp_replies_said(m)[i], 1);
	}
	for (unsigned tls = 0; tls < 2; tls++) {
		struct smtp_session s = {.flags = tls ? SESSION_TLS : 0};
		struct smtp_out out = {.bytes = bytes, .size = sizeof(bytes)};

		say_ehlo(m, &s, &out);
		assert_in_range(out.len, 400, SMTP_REPLY_MAX);
	}
	smtp_free(m);
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, SMTP_ID_LEN);
}

static void ids_are_unique_and_of_letters_and_digits(void **state)
{
	struct smtp_config config = config_with_host("a.example");
	char *ids = malloc((size_t)IDS * SMTP_ID_LEN);
	unsigned seen[256] = {0};

	assert_non_null(ids);
	for (uint64_t worker = 0; worker < 2; worker++) {
		struct smtp *m;

		config.first_id = worker << 56;
		m = smtp_new(&config, 0);
		assert_non_null(m);
		for (size_t i = worker * IDS / 2; i < (worker + 1) * IDS / 2; i++)
			smtp_id(&(struct smtp_session){.id = id_make(m)}, ids + i * SMTP_ID_LEN);
		smtp_free(m);
	}
	for (size_t i = 0; i < (size_t)IDS * SMTP_ID_LEN; i++)
		seen[(uint8_t)ids[i]]++;
	for (unsigned c = 0; c < 256; c++) {
		const bool may =
			(c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

		/* Each about as often as any other, so an id shows no counter. */
		assert_int_equal(seen[c] > 0, may);
		assert_true(!may || seen[c] > IDS * SMTP_ID_LEN / 62 * 7 / 10);
	}
	qsort(ids, IDS, SMTP_ID_LEN, compare_ids);
	for (size_t i = 1; i < IDS; i++)
		assert_true(compare_ids(ids + (i - 1) * SMTP_ID_LEN, ids + i * SMTP_ID_LEN) != 0);
	free(ids);
}

static void the_extremes_of_ids_differ(void **state)
{
	static const uint64_t numbers[] = {0,
					   1,
					   UINT32_MAX,
					   1ULL << 32,
					   UINT64_MAX - 1,
					   UINT64_MAX,
					   UINT64_MAX >> 32,
					   1ULL << 63,
					   (1ULL << 63) + 1};
	char ids[sizeof(numbers) / sizeof(numbers[0])][SMTP_ID_LEN];

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		smtp_id(&(struct smtp_session){.id = numbers[i]}, ids[i]);
		for (size_t j = 0; j < i; j++)
			assert_true((compare_ids(ids[i], ids[j]) == 0) ==
				    (numbers[i] == numbers[j]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(every_reply_fits_a_line),
		cmocka_unit_test(ids_are_unique_and_of_letters_and_digits),
		cmocka_unit_test(the_extremes_of_ids_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
