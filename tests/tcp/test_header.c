/* SPDX-License-Identifier: BSD-3-Clause */
/* The header on the wire: what is written reads back, what is bogus is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tcp/header.h"

static void what_is_written_reads_back(void **state)
{
	for (unsigned bits = 0; bits < 32; bits++) {
		struct tcp_header h = {
			.seq = 0x01020304,
			.ack = 0xa0b0c0d0,
			.window = 4711,
			.flags = TCP_ACK | TCP_PSH,
			.has_mss = bits & 1,
			.mss = bits & 1 ? 1460 : 0,
			.has_wscale = bits & 2,
			.wscale = bits & 2 ? 7 : 0,
			.has_ts = bits & 4,
			.ts_value = bits & 4 ? 17 : 0,
			.ts_echo = bits & 4 ? 18 : 0,
			.sack_permitted = bits & 8,
		};
		uint8_t wire[TCP_HEADER_MAX], len;
		struct tcp_header got;

		if (bits & 16 && !(bits & 3)) {
			h.n_sack = 2;
			h.sack[0] = (struct tcp_range){1, 2};
			h.sack[1] = (struct tcp_range){0xfffffff0, 5};
		}
		memset(wire, 0xee, sizeof(wire));
		len = tcp_header_len(&h);
		assert_int_equal(len % 4, 0);
		tcp_header_write(&h, wire, 25, 40000);
		assert_int_equal(wire[12] >> 4, len / 4);
		assert_int_equal(wire[len], 0xee); /* and not one octet more */
		assert_true(tcp_header_read(&got, wire, len));
		assert_memory_equal(&got, &h, sizeof(h));
	}
}

static bool read_options(struct tcp_header *h, const uint8_t *options, uint8_t len)
{
	uint8_t wire[TCP_HEADER_MAX] = {0};

	memcpy(wire + TCP_HEADER_MIN, options, len);
	return tcp_header_read(h, wire, (uint8_t)(TCP_HEADER_MIN + len));
}

static void bogus_option_lengths_are_refused(void **state)
{
	static const uint8_t bad[][4] = {
		{2, 0, 0, 0},			/* shorter than itself */
		{2, 1, 0, 0},	  {2, 5, 0, 0}, /* beyond the header */
		{1, 1, 1, 2},			/* no length octet */
		{254, 255, 0, 0},
	};
	struct tcp_header h;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(read_options(&h, bad[i], 4));
}

static void unknown_and_misshapen_options_are_skipped(void **state)
{
	static const uint8_t options[] = {
		254, 4, 9, 9, /* experimental */
		3,   4, 9, 1, /* a window scale of the wrong length */
		5,   3, 0, 1, /* SACK blocks of no whole block */
		2,   4, 2, 0, /* MSS 512 */
		0,   2, 4, 9, /* behind the end of the list */
	};
	struct tcp_header h;

	assert_true(read_options(&h, options, sizeof(options)));
	assert_true(h.has_mss);
	assert_int_equal(h.mss, 512);
	assert_false(h.has_wscale);
	assert_int_equal(h.n_sack, 0);
}

static void a_window_scale_beyond_14_is_14(void **state)
{
	static const uint8_t options[] = {3, 3, 200, 0};
	struct tcp_header h;

	assert_true(read_options(&h, options, sizeof(options)));
	assert_int_equal(h.wscale, TCP_WSCALE_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_reads_back),
		cmocka_unit_test(bogus_option_lengths_are_refused),
		cmocka_unit_test(unknown_and_misshapen_options_are_skipped),
		cmocka_unit_test(a_window_scale_beyond_14_is_14),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
