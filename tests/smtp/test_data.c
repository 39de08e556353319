/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The DATA scanner beside a reference that has the whole message and all the time in the world:
 * every short string of the octets that mean something, cut everywhere, alone and within text; and
 * long random ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/random.h"
#include "smtp/data.h"

/* Spans in memory of their own, so that the sanitizer sees a step too far. */
#ifdef __SANITIZE_ADDRESS__
enum { OWN_MEMORY = 1 };
#else
enum { OWN_MEMORY = 0 };
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(TEST_BRIEFLY)
enum { SHORT_MAX = 6, SUBSETS_MAX = 3, RANDOM_MESSAGES = 3000 };
#else
enum { SHORT_MAX = 8, SUBSETS_MAX = 4, RANDOM_MESSAGES = 100000 };
#endif

enum {
	TEXT_MAX = 200000,
	SIZE_MAX_FREE = 1 << 30,
};

static const char end_of_data[] = "\r\n.\r\n";

static uint64_t random_state;

/* What became of a message. */
struct outcome {
	bool ended;
	enum data_fault fault;
	size_t read; /* octets, up to the end's last */
	size_t len;  /* octets given */
	uint8_t given[2 * TEXT_MAX];
};

static struct outcome expected, got;

/* --- the reference ---------------------------------------------------------------------------- */

static bool starts_with(const uint8_t *p, const uint8_t *end, const char *what)
{
	size_t len = strlen(what);

	return (size_t)(end - p) >= len && memcmp(p, what, len) == 0;
}

static enum data_fault reference_fault(const uint8_t *p, const uint8_t *end, bool normalize)
{
	for (const uint8_t *at = p; at < end; at++) {
		if (*at == '\0')
			return DATA_NUL;
		if (*at == '\r' && at[1] != '\n')
			return DATA_BARE_CR;
		if (*at == '\n' && (at == p || at[-1] != '\r') && !normalize)
			return DATA_BARE_LF;
	}
	return DATA_SOUND;
}

static void put(struct outcome *o, uint8_t octet)
{
	o->given[o->len++] = octet;
}

/* A line without its CRLF: bare LFs become line ends, lines they begin are stuffed. */
static void reference_line(struct outcome *o, const uint8_t *p, const uint8_t *end)
{
	bool made = false;

	if (starts_with(p, end, ".\n"))
		p++;
	for (; p < end; p++) {
		if (*p == '\n') {
			put(o, '\r');
		} else if (made && *p == '.') {
			put(o, '.');
		}
		put(o, *p);
		made = *p == '\n';
	}
	put(o, '\r');
	put(o, '\n');
}

/* The input has an end of data. */
static void reference(struct outcome *o, const uint8_t *p, size_t len, bool normalize)
{
	const uint8_t *end = p + len, *line = p, *at = p;

	o->len = 0;
	o->ended = true;
	while (!starts_with(line, end, ".\r\n")) {
		for (at = line; !starts_with(at, end, "\r\n"); at++)
			assert_true(at < end);
		reference_line(o, line, at);
		line = at + 2;
	}
	o->read = (size_t)(line + 3 - p);
	o->fault = reference_fault(p, line, normalize);
}

/* --- the scanner ------------------------------------------------------------------------------ */

static void scan_part(struct data *d, struct outcome *o, const uint8_t *p, size_t len)
{
	uint8_t *copy = OWN_MEMORY ? malloc(len + !len) : NULL;
	struct span in = {copy ? copy : p, len};

	if (copy)
		memcpy(copy, p, len);
	while (in.len && !o->ended) {
		struct data_spans out;
		size_t before = in.len;

		o->ended = data_scan(d, &in, &out);
		assert_true(in.len < before);
		assert_in_range(out.n, 0, SMTP_BODY_SPANS);
		for (size_t i = 0; i < out.n; i++) {
			assert_true(out.spans[i].len > 0);
			memcpy(o->given + o->len, out.spans[i].bytes, out.spans[i].len);
			o->len += out.spans[i].len;
		}
		o->read += before - in.len;
	}
	free(copy);
}

static void scan_begin(struct data *d, struct outcome *o, bool normalize)
{
	data_begin(d, SIZE_MAX_FREE, normalize);
	o->ended = false;
	o->read = o->len = 0;
}

static void compare(const struct data *d, const uint8_t *p, size_t len, const char *how, size_t cut)
{
	got.fault = d->fault;
	if (got.ended != expected.ended || got.fault != expected.fault ||
	    got.read != expected.read ||
	    (!expected.fault &&
	     (got.len != expected.len || memcmp(got.given, expected.given, got.len) != 0))) {
		for (size_t i = 0; i < len; i++)
			print_error(p[i] >= ' ' && p[i] < 0x7f ? "%c" : "\\%03o", p[i]);
		fail_msg(": %s, %zu, normalize %d: ended %d after %zu (expected %zu), fault %d "
			 "(expected %d), gave %zu (expected %zu)",
			 how, cut, d->normalize, got.ended, got.read, expected.read, got.fault,
			 expected.fault, got.len, expected.len);
	}
	if (!expected.fault)
		assert_int_equal(d->size, got.len);
}

/* Each bit of cuts that is set cuts behind the octet of its number. */
static void scan_in_pieces(const uint8_t *p, size_t len, bool normalize, uint64_t cuts)
{
	struct data d;
	size_t from = 0;

	scan_begin(&d, &got, normalize);
	for (size_t to = 1; to <= len; to++) {
		if (to < len && !(cuts >> (to - 1) & 1))
			continue;
		scan_part(&d, &got, p + from, to - from);
		from = to;
	}
	compare(&d, p, len, "in pieces", cuts);
}

static void scan_cut(const uint8_t *p, size_t len, bool normalize, size_t cut)
{
	struct data d;

	scan_begin(&d, &got, normalize);
	scan_part(&d, &got, p, cut);
	scan_part(&d, &got, p + cut, len - cut);
	compare(&d, p, len, "cut", cut);
}

static void scan_at_random(const uint8_t *p, size_t len, bool normalize)
{
	const uint64_t most = 1 + test_random(&random_state) % 200;
	struct data d;
	size_t step;

	scan_begin(&d, &got, normalize);
	for (size_t from = 0; from < len; from += step) {
		step = 1 + test_random(&random_state) % most;
		if (step > len - from)
			step = len - from;
		scan_part(&d, &got, p + from, step);
	}
	compare(&d, p, len, "random pieces", most);
}

/* --- what holds of every sound message -------------------------------------------------------- */

static size_t unstuff(uint8_t *to, const uint8_t *p, size_t len)
{
	size_t n = 0;
	bool start = true;

	for (size_t i = 0; i < len; i++) {
		if (!(start && p[i] == '.'))
			to[n++] = p[i];
		start = p[i] == '\n' && i > 0 && p[i - 1] == '\r';
	}
	return n;
}

static size_t normalized(uint8_t *to, const uint8_t *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\n' && (i == 0 || p[i - 1] != '\r'))
			to[n++] = '\r';
		to[n++] = p[i];
	}
	return n;
}

/* Of the reference, so that it is not the scanner's own mistake. */
static void check_promises(const uint8_t *p)
{
	static uint8_t content[2 * TEXT_MAX], again[2 * TEXT_MAX], theirs[2 * TEXT_MAX];
	const uint8_t *given = expected.given, *end = given + expected.len;
	size_t len;

	if (expected.fault)
		return;
	for (const uint8_t *at = given; at < end; at++) {
		assert_int_not_equal(*at, 0);
		assert_false(*at == '\r' && (at + 1 == end || at[1] != '\n'));
		assert_false(*at == '\n' && (at == given || at[-1] != '\r'));
		/* Whatever a next hop takes for the end of a line, no dot is alone on one. */
		if (*at == '.' && (at == given || at[-1] == '\n'))
			assert_false(at + 1 == end || at[1] == '\r' || at[1] == '\n');
	}
	len = unstuff(again, p, expected.read - 3);
	len = normalized(content, again, len);
	assert_int_equal(unstuff(theirs, given, expected.len), len);
	assert_memory_equal(theirs, content, len);
}

/* --- strings ---------------------------------------------------------------------------------- */

static const uint8_t alphabet[] = {'\r', '\n', '.', '\0', 'a'};

enum { LETTERS = sizeof(alphabet) };

static size_t strings_of(unsigned len)
{
	size_t n = 1;

	while (len--)
		n *= LETTERS;
	return n;
}

static size_t write_string(uint8_t *to, unsigned len, size_t number)
{
	for (unsigned i = 0; i < len; i++, number /= LETTERS)
		to[i] = alphabet[number % LETTERS];
	return len;
}

static size_t write_text(uint8_t *to, const char *text)
{
	size_t len = 0;

	while (text[len]) {
		to[len] = (uint8_t)text[len];
		len++;
	}
	return len;
}

static size_t write_end(uint8_t *to)
{
	return write_text(to, end_of_data);
}

static void short_strings_whole_cut_everywhere_and_octet_by_octet(void **state)
{
	for (unsigned letters = 0; letters <= SHORT_MAX; letters++) {
		for (size_t number = 0; number < strings_of(letters); number++) {
			uint8_t text[SHORT_MAX + sizeof(end_of_data)];
			size_t len = write_string(text, letters, number);

			len += write_end(text + len);
			for (int normalize = 0; normalize <= 1; normalize++) {
				reference(&expected, text, len, normalize);
				check_promises(text);
				for (size_t cut = 0; cut < len; cut++)
					scan_cut(text, len, normalize, cut);
				scan_in_pieces(text, len, normalize, UINT64_MAX);
			}
		}
	}
}

static void shorter_strings_cut_in_every_way(void **state)
{
	for (unsigned letters = 0; letters <= SUBSETS_MAX; letters++) {
		for (size_t number = 0; number < strings_of(letters); number++) {
			uint8_t text[SHORT_MAX + sizeof(end_of_data)];
			size_t len = write_string(text, letters, number);

			len += write_end(text + len);
			for (int normalize = 0; normalize <= 1; normalize++) {
				reference(&expected, text, len, normalize);
				for (uint64_t cuts = 0; cuts < 1ULL << (len - 1); cuts++)
					scan_in_pieces(text, len, normalize, cuts);
			}
		}
	}
}

static void short_strings_at_every_place_of_a_block(void **state)
{
	const unsigned letters = SHORT_MAX > 6 ? 5 : 4;

	for (size_t number = 0; number < strings_of(letters); number++) {
		for (size_t before = 56; before <= 130; before += before == 66 ? 56 : 1) {
			uint8_t text[512];
			size_t len = before;

			memset(text, 'x', len);
			write_text(text + before % 40, "\r\n\r\nx");
			len += write_string(text + len, letters, number);
			memset(text + len, 'y', 70);
			len += 70;
			len += write_end(text + len);
			reference(&expected, text, len, true);
			scan_cut(text, len, true, 0);
			scan_cut(text, len, true, before);
			scan_cut(text, len, true, before + 1 + number % letters);
		}
	}
}

/* A message may be too big and have another fault: it is the first of them, wherever it is cut. */
static void the_first_fault_does_not_depend_on_the_cuts(void **state)
{
	unsigned too_big = 0, others = 0;

	for (unsigned i = 0; i < 10 * RANDOM_MESSAGES; i++) {
		uint8_t text[40];
		size_t len = test_random(&random_state) % (sizeof(text) - 6);
		const uint64_t size_max = 1 + test_random(&random_state) % (len + 1);
		const bool normalize = i % 2;
		enum data_fault whole;
		struct data d;

		for (size_t at = 0; at < len; at++)
			text[at] = "aaaa\r\n.\r\n"[test_random(&random_state) % 9];
		for (unsigned at = 0; at < 2 && len; at++)
			text[test_random(&random_state) % len] =
				"\r\n\0"[test_random(&random_state) % 3];
		len += write_end(text + len);
		scan_begin(&d, &got, normalize);
		d.size_max = size_max;
		scan_part(&d, &got, text, len);
		whole = d.fault;
		too_big += whole == DATA_TOO_BIG;
		others += whole && whole != DATA_TOO_BIG;
		for (size_t cut = 1; cut < len; cut++) {
			scan_begin(&d, &got, normalize);
			d.size_max = size_max;
			scan_part(&d, &got, text, cut);
			scan_part(&d, &got, text + cut, len - cut);
			assert_int_equal(d.fault, whole);
			assert_true(got.ended);
		}
	}
	assert_true(too_big > RANDOM_MESSAGES && others > RANDOM_MESSAGES);
}

/* Lines of text with now and then something else in them, and blanks before the end. */
static size_t random_text(uint8_t *text, size_t max)
{
	static const char *const events[] = {"\r\n", "\r\n",	"\r\n", "\r\n.", "\r\n..",  "\n",
					     "\n.",  "\r\n.\n", ".",	"R",	 "\r\n\r\n"};
	const unsigned rare = 1 + test_random(&random_state) % 100;
	const bool faulty = test_random(&random_state) % 4 == 0;
	size_t len = 0;

	while (len < max - 300) {
		const char *event =
			events[test_random(&random_state) % (sizeof(events) / sizeof(events[0]))];
		size_t run = test_random(&random_state) % rare;

		memset(text + len, "aR."[test_random(&random_state) % 2], run);
		len += run;
		len += write_text(text + len, event);
		if (faulty && test_random(&random_state) % 50 == 0)
			text[len++] = test_random(&random_state) % 2 ? '\r' : '\0';
		if (test_random(&random_state) % 100 == 0)
			break;
	}
	return len;
}

static void long_random_messages(void **state)
{
	static uint8_t text[4096];
	unsigned sound = 0;

	for (unsigned i = 0; i < RANDOM_MESSAGES; i++) {
		size_t len = random_text(text, sizeof(text) - 8);
		bool normalize = i % 3;

		len += write_end(text + len);
		reference(&expected, text, len, normalize);
		check_promises(text);
		sound += !expected.fault;
		scan_cut(text, len, normalize, 0);
		scan_at_random(text, len, normalize);
	}
	assert_in_range(sound, RANDOM_MESSAGES / 10, RANDOM_MESSAGES * 9 / 10);
}

/* --- one by one ------------------------------------------------------------------------------- */

static enum data_fault fault_of(const uint8_t *p, size_t len, uint64_t size_max)
{
	struct data whole, pieces;

	data_begin(&whole, size_max, true);
	got.ended = false;
	got.read = got.len = 0;
	scan_part(&whole, &got, p, len);
	assert_true(got.ended);
	assert_int_equal(got.read, len);

	data_begin(&pieces, size_max, true);
	got.ended = false;
	got.read = got.len = 0;
	for (size_t i = 0; i < len; i++)
		scan_part(&pieces, &got, p + i, 1);
	assert_true(got.ended);
	assert_int_equal(got.read, len);
	assert_int_equal(whole.fault, pieces.fault);
	return whole.fault;
}

static void what_follows_the_end_is_left_alone(void **state)
{
	static const uint8_t text[] = "a\r\n.\r\nQUIT\r\n";
	struct span in = {text, sizeof(text) - 1};
	struct data_spans out;
	struct data d;

	data_begin(&d, 100, true);
	assert_true(data_scan(&d, &in, &out));
	assert_int_equal(in.len, 6);
	assert_ptr_equal(in.bytes, text + 6);
	assert_int_equal(out.n, 1);
	assert_int_equal(out.spans[0].len, 3);
	assert_memory_equal(out.spans[0].bytes, "a\r\n", 3);
}

static void a_long_piece_is_given_by_reference_and_short_ones_together(void **state)
{
	static uint8_t text[5000];
	struct span in = {text, sizeof(text)};
	struct data_spans out;
	struct data d;

	memset(text, 'a', sizeof(text));
	for (size_t i = 1000; i < 1200; i += 10)
		text[i] = '\n';
	data_begin(&d, 10000, true);
	assert_false(data_scan(&d, &in, &out));
	assert_int_equal(in.len, 0);
	assert_int_equal(out.n, 3);
	assert_ptr_equal(out.spans[0].bytes, text);
	assert_int_equal(out.spans[0].len, 1000);
	assert_int_equal(out.spans[1].len, 191 + 20);
	assert_ptr_equal(out.spans[2].bytes, text + 1191);
	assert_int_equal(out.spans[2].len, 5000 - 1191);
}

static void an_empty_message_gives_nothing(void **state)
{
	static const uint8_t text[] = ".\r\n";
	struct span in = {text, 3};
	struct data_spans out;
	struct data d;

	data_begin(&d, 100, true);
	assert_true(data_scan(&d, &in, &out));
	assert_int_equal(out.n, 0);
	assert_int_equal(d.size, 0);
}

static void a_message_is_as_big_as_it_may_be_and_no_bigger(void **state)
{
	static const uint8_t text[] = "1234567890\r\n.\r\n";
	const size_t len = sizeof(text) - 1;

	assert_int_equal(fault_of(text, len, 12), DATA_SOUND);
	assert_int_equal(fault_of(text, len, 11), DATA_TOO_BIG);
	assert_int_equal(fault_of(text, len, 1), DATA_TOO_BIG);
}

static size_t write_fields(uint8_t *to, unsigned n, const char *field)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf((char *)to + len, "%s from a by b\r\n\tfor c\r\n", field);
	return len;
}

static enum data_fault fault_of_header(unsigned n, const char *field, const char *before)
{
	static uint8_t text[16384];
	size_t len = (size_t)sprintf((char *)text, "%s", before);

	len += write_fields(text + len, n, field);
	len += (size_t)sprintf((char *)text + len, "\r\nReceived: in the text\r\n.\r\n");
	return fault_of(text, len, sizeof(text));
}

static void received_fields_are_counted_in_the_header_alone(void **state)
{
	static const char *const spellings[] = {"Received:", "RECEIVED:", "received:"};
	static const char *const others[] = {
		"Receive:", "Received-SPF:", "XReceived:", " Received:", "Received\032", "Return:"};

	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		assert_int_equal(fault_of_header(100, spellings[i], ""), DATA_SOUND);
		assert_int_equal(fault_of_header(101, spellings[i], ""), DATA_LOOP);
		assert_int_equal(fault_of_header(101, spellings[i], "Subject: x\r\n"), DATA_LOOP);
		assert_int_equal(fault_of_header(101, spellings[i], "\r\n"), DATA_SOUND);
		assert_int_equal(fault_of_header(101, spellings[i], "a: b\n"), DATA_LOOP);
		assert_int_equal(fault_of_header(101, spellings[i], "a: b\n\n"), DATA_SOUND);
		assert_int_equal(fault_of_header(101, spellings[i], "a: b\r\n.\n"), DATA_SOUND);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(fault_of_header(101, others[i], ""), DATA_SOUND);
	/* A dot that is stuffing, and one that is not. */
	assert_int_equal(fault_of_header(101, ".Received:", ""), DATA_LOOP);
	assert_int_equal(fault_of_header(101, ".Received:", "a: b\n"), DATA_SOUND);
}

static void a_line_is_as_long_as_it_may_be_and_no_longer(void **state)
{
	static uint8_t text[TEXT_MAX];

	for (size_t before = 0; before < 70; before += 23) {
		for (size_t longest = SMTP_TEXT_LINE_MAX - 1; longest <= SMTP_TEXT_LINE_MAX + 1;
		     longest++) {
			size_t len = before;

			memset(text, '\r', before);
			for (size_t i = 1; i < before; i += 2)
				text[i] = '\n';
			if (before % 2)
				write_text(text + before - 3, "a\r\n");
			memset(text + len, 'a', longest);
			len += longest;
			len += write_text(text + len, "\r\nshort");
			len += write_end(text + len);
			assert_int_equal(fault_of(text, len, TEXT_MAX), longest > SMTP_TEXT_LINE_MAX
										? DATA_LINE_TOO_LONG
										: DATA_SOUND);
		}
	}
}

static void lines_of_bare_lf_are_lines_to_the_longest(void **state)
{
	static uint8_t text[TEXT_MAX];
	size_t len = 0;

	for (unsigned i = 0; i < 2; i++) {
		memset(text + len, 'a', SMTP_TEXT_LINE_MAX);
		len += SMTP_TEXT_LINE_MAX;
		text[len++] = '\n';
	}
	len += write_end(text + len);
	assert_int_equal(fault_of(text, len, TEXT_MAX), DATA_SOUND);
	text[SMTP_TEXT_LINE_MAX] = 'a';
	assert_int_equal(fault_of(text, len, TEXT_MAX), DATA_LINE_TOO_LONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_strings_whole_cut_everywhere_and_octet_by_octet),
		cmocka_unit_test(shorter_strings_cut_in_every_way),
		cmocka_unit_test(short_strings_at_every_place_of_a_block),
		cmocka_unit_test(the_first_fault_does_not_depend_on_the_cuts),
		cmocka_unit_test(long_random_messages),
		cmocka_unit_test(what_follows_the_end_is_left_alone),
		cmocka_unit_test(a_long_piece_is_given_by_reference_and_short_ones_together),
		cmocka_unit_test(an_empty_message_gives_nothing),
		cmocka_unit_test(a_message_is_as_big_as_it_may_be_and_no_bigger),
		cmocka_unit_test(received_fields_are_counted_in_the_header_alone),
		cmocka_unit_test(a_line_is_as_long_as_it_may_be_and_no_longer),
		cmocka_unit_test(lines_of_bare_lf_are_lines_to_the_longest),
	};

	random_state = test_seed((uint64_t)time(NULL));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
