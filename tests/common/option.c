/* SPDX-License-Identifier: BSD-3-Clause */
/* Command lines made of options. Thread, Time, Memory, Rules: option.h. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "arguments.h"
#include "option.h"

enum { ROWS_MAX = 63 };

int option_wrong(struct option_parser *p, const char *format, ...)
{
	int n = p->option ? snprintf(p->error, p->len, "--%s: ", p->option) : 0;
	va_list args;

	va_start(args, format);
	if (n >= 0 && (size_t)n < p->len)
		vsnprintf(p->error + n, p->len - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

int option_parse(struct option_parser *p, const struct option_row *rows, int n, int argc,
		 char **argv)
{
	struct option options[ROWS_MAX + 1] = {{0}};
	int which;

	if (n > ROWS_MAX)
		return option_wrong(p, "the program has too many options");
	for (int i = 0; i < n; i++) {
		options[i].name = rows[i].name;
		options[i].has_arg = rows[i].argument ? required_argument : no_argument;
		options[i].val = i;
	}
	opterr = 0;
	optind = 0; /* glibc's word for a fresh start */
	while ((which = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		if (which == ':')
			return option_wrong(p, "%s needs an argument", argv[optind - 1]);
		if (which == '?')
			return option_wrong(p, "unknown option %s", argv[optind - 1]);
		p->option = rows[which].name;
		if (rows[which].take(p, optarg) != 0)
			return -EINVAL;
		p->option = NULL;
	}
	if (!p->help && optind < argc)
		return option_wrong(p, "'%s' is no option", argv[optind]);
	return 0;
}

void option_print(FILE *to, const struct option_row *rows, int n)
{
	for (int i = 0; i < n; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s %s", rows[i].name,
			 rows[i].argument ? rows[i].argument : "");
		fprintf(to, "  --%-24s %s\n", name, rows[i].help);
	}
}

/* --- what a row may take ----------------------------------------------------------------------
 */

int option_number(struct option_parser *p, const char *text, uint64_t min, uint64_t max,
		  uint64_t *field)
{
	if (!argument_number(text, min, max, field))
		return option_wrong(p, "'%s' is no number from %" PRIu64 " to %" PRIu64, text, min,
				    max);
	return 0;
}

int option_number32(struct option_parser *p, const char *text, uint64_t min, uint64_t max,
		    uint32_t *field)
{
	uint64_t n;

	if (option_number(p, text, min, max, &n) != 0)
		return -EINVAL;
	*field = (uint32_t)n;
	return 0;
}

int option_number16(struct option_parser *p, const char *text, uint64_t min, uint64_t max,
		    uint16_t *field)
{
	uint64_t n;

	if (option_number(p, text, min, max, &n) != 0)
		return -EINVAL;
	*field = (uint16_t)n;
	return 0;
}

int option_address(struct option_parser *p, const char *text, struct ip_addr *address)
{
	return argument_address(text, strlen(text), address)
		       ? 0
		       : option_wrong(p, "'%s' is no address", text);
}

int option_endpoint(struct option_parser *p, const char *text, struct ip_addr *address,
		    uint16_t *port)
{
	return argument_endpoint(text, address, port)
		       ? 0
		       : option_wrong(p, "'%s' is no ADDRESS:PORT or [ADDRESS]:PORT", text);
}

int option_mac(struct option_parser *p, const char *text, uint8_t mac[6])
{
	return argument_mac(text, mac) ? 0 : option_wrong(p, "'%s' is no link address", text);
}

int option_help(struct option_parser *p, const char *text)
{
	(void)text;
	p->help = true;
	return 0;
}
