/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator's command line.
 *
 * Thread: start-up. Time: none. Memory: the struct; strings stay argv's.
 * Rules: getopt_long(3); clients, their target and the flood are of one version of IP.
 */
#ifndef POSTERN_TESTS_GENERATOR_OPTIONS_H
#define POSTERN_TESTS_GENERATOR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "clients.h"
#include "flood.h"
#include "host.h"

struct options {
	struct host_config host; /* but for conns */
	struct clients_config clients;
	uint32_t seconds;
	uint64_t syn_rate; /* as flood_config's */
	uint32_t complete_each;
	struct ip_addr flood_network;
	bool has_flood_network;
	const struct step *greeting; /* what a completed handshake of it must bring */
	uint16_t cpu;
	uint64_t seed;
	bool has_seed;
	bool help;
};

/* 0, or -EINVAL with a sentence in error. With --help the rest need not make sense. */
int options_parse(struct options *o, int argc, char **argv, char *error, size_t len);

void options_usage(FILE *to);

#endif
