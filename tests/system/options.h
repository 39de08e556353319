/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_service's command line.
 *
 * Thread: start-up. Time: none. Memory: the struct; strings stay argv's.
 * Rules: getopt_long(3); what an interface has is said after it.
 */
#ifndef POSTERN_TESTS_OPTIONS_H
#define POSTERN_TESTS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "control/plane.h"
#include "postern/dataplane.h"
#include "services.h"

enum {
	OPTIONS_BACKENDS_MAX = 64,
	OPTIONS_NEIGHBOURS_MAX = 64,
	OPTIONS_CORE_MAX = 1023, /* the highest CPU number */
};

struct options {
	struct dataplane_config dataplane;
	struct services_config services;
	uint32_t n_backends; /* --connect's target is one */
	struct ip_endpoint backends[OPTIONS_BACKENDS_MAX];
	uint32_t n_neighbours;
	struct plane_neighbour neighbours[OPTIONS_NEIGHBOURS_MAX];
	uint32_t n_cores; /* 0: not said; else main's and each worker's */
	uint16_t cores[1 + DATAPLANE_WORKERS_MAX];
	const char *bpffs;
	const char *file_prefix; /* NULL: not said */
	bool huge;
	bool verbose;
	bool help;
};

/* 0, or -EINVAL with a sentence in error. With --help the rest need not make sense. */
int options_parse(struct options *o, int argc, char **argv, char *error, size_t len);

void options_usage(FILE *to);

#endif
