/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Command lines made of options, each of them a row of the program's table.
 *
 * Thread: start-up. Time: none. Memory: the caller's; strings stay argv's.
 * Rules: getopt_long(3); functions return 0, or -EINVAL with a sentence in p->error. What is read
 * is untouched if it is wrong.
 */
#ifndef POSTERN_TESTS_OPTION_H
#define POSTERN_TESTS_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "postern/address.h"

struct option_parser {
	void *into;	    /* what the program's rows fill in */
	const char *option; /* being read; NULL: none */
	bool help;	    /* was asked for: the rest need not make sense */
	char *error;
	size_t len;
};

struct option_row {
	const char *name;
	const char *argument; /* NULL: none */
	int (*take)(struct option_parser *p, const char *text);
	const char *help;
};

int option_parse(struct option_parser *p, const struct option_row *rows, int n, int argc,
		 char **argv);
void option_print(FILE *to, const struct option_row *rows, int n);

/* Says what is wrong with the option that is being read, or with the whole. */
int option_wrong(struct option_parser *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What a row may take: a number min..max, into a field of these bits. */
int option_number(struct option_parser *p, const char *text, uint64_t min, uint64_t max,
		  uint64_t *field);
int option_number32(struct option_parser *p, const char *text, uint64_t min, uint64_t max,
		    uint32_t *field);
int option_number16(struct option_parser *p, const char *text, uint64_t min, uint64_t max,
		    uint16_t *field);

int option_address(struct option_parser *p, const char *text, struct ip_addr *address);
int option_endpoint(struct option_parser *p, const char *text, struct ip_addr *address,
		    uint16_t *port);
int option_mac(struct option_parser *p, const char *text, uint8_t mac[6]);
/* A row's own function. */
int option_help(struct option_parser *p, const char *text);

#endif
