/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory of any octets: every line is counted once, and who stands in it is found.
 *
 * The input is the domain's rules, and the lines.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "postern/recipients.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EXACT_CASE = 1, SEPARATORS = 2, DOMAIN_LEN = 9 };

static const char domain_name[] = "a.example";

static int pool_of(void *arg, const char *name, size_t len)
{
	return len == 1 && *name >= '0' && *name <= '9' ? *name - '0' : -1;
}

static void count_bad(void *arg, uint64_t line, const char *why)
{
	assert(line > 0 && *why);
	(*(uint64_t *)arg)++;
}

static struct recipients *new_recipients(uint8_t rules)
{
	const struct recipients_config config = {.expected = 1000};
	struct recipients_domain domain = {
		.name = domain_name,
		.name_len = DOMAIN_LEN,
		.exact_case = rules & EXACT_CASE,
	};
	struct recipients *r = recipients_new(&config);
	uint32_t number;

	if (rules & SEPARATORS)
		memcpy(domain.separators, "+-", 2);
	if (!r || recipients_add_domain(r, &domain, &number))
		abort();
	return r;
}

/* A line that is an address and nothing else, of our domain, is somebody. */
static void check_line(const struct recipients *r, const char *text, size_t len)
{
	char canonical[RECIPIENT_ADDRESS_MAX];
	struct recipient_address address;
	struct recipient_answer answer;

	if (memchr(text, ' ', len) || memchr(text, '\t', len) || *text == '#' || *text == '\r' ||
	    !recipients_read_address(text, len, canonical, &address) ||
	    address.domain_len != DOMAIN_LEN ||
	    memcmp(address.domain, domain_name, DOMAIN_LEN) != 0)
		return;
	recipients_find(r, &address, 1, &answer);
	assert(answer.finding == RECIPIENT_KNOWN);
}

/* Each line, its end cut off or not. */
static uint64_t each_line(const char *text, size_t size, void (*each)(void *, const char *, size_t),
			  void *arg, bool with_end)
{
	uint64_t lines = 0;

	while (size) {
		const char *newline = memchr(text, '\n', size);
		size_t len = newline ? (size_t)(newline - text) : size, all = len + !!newline;

		each(arg, text, with_end ? all : len);
		text += all;
		size -= all;
		lines++;
	}
	return lines;
}

static void take_line(void *arg, const char *text, size_t len)
{
	recipients_directory_line(arg, text, len);
}

static void look_up_line(void *arg, const char *text, size_t len)
{
	if (len)
		check_line(arg, text, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct recipients_directory d = {.pool = pool_of, .bad = count_bad};
	const char *text = (const char *)data + 1;
	uint64_t bad = 0, lines;

	if (size < 2)
		return 0;
	d.recipients = new_recipients(data[0]);
	d.arg = &bad;
	lines = each_line(text, size - 1, take_line, &d, true);
	recipients_directory_end(&d);
	recipients_set_loaded(d.recipients, 0, true);
	assert(d.lines == lines);
	assert(d.bad_lines == bad);
	assert(d.added + d.repeated + d.bad_lines <= lines);
	assert(recipients_count(d.recipients) == d.added);
	if (!d.is_full)
		each_line(text, size - 1, look_up_line, d.recipients, false);
	recipients_free(d.recipients);
	return 0;
}
