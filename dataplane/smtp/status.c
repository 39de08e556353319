/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory, Rules: status.h. */
#include "smtp/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { DIGITS_MAX = 3 };

/* One to `most` digits from *at on. */
static bool read_number(struct span line, size_t *at, size_t most, unsigned *number)
{
	const size_t from = *at;

	*number = 0;
	for (; *at < line.len && *at - from < most; ++*at) {
		const uint8_t octet = line.bytes[*at];

		if (octet < '0' || octet > '9')
			break;
		*number = *number * 10 + (octet - '0');
	}
	return *at > from;
}

static bool skip_dot(struct span line, size_t *at)
{
	return *at < line.len && line.bytes[(*at)++] == '.';
}

size_t status_read(struct span line, struct status *status)
{
	size_t at = 0;

	if (read_number(line, &at, 1, &status->class) && skip_dot(line, &at) &&
	    read_number(line, &at, DIGITS_MAX, &status->subject) && skip_dot(line, &at) &&
	    read_number(line, &at, DIGITS_MAX, &status->detail) &&
	    (at == line.len || line.bytes[at] == ' '))
		return at;
	*status = (struct status){0};
	return 0;
}
