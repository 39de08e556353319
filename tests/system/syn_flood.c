// SPDX-License-Identifier: BSD-3-Clause
/*
 * syn_flood: SYNs from all over a network, every one from another address and port, none ever
 * completed.
 *
 * Thread: one. Time: CLOCK_MONOTONIC, once a burst. Memory: a burst.
 * Rules: prints `ready` with the first burst, and at the end of its time, or at SIGTERM, a line of
 * JSON. Answers come back to the link address it sends from, which should be nobody's.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cable.h"
#include "common/arguments.h"
#include "segment.h"
#include "sim/sim_random.h"

enum { TARGETS_MAX = 2 };

struct target {
	struct segment_ends ends; /* from: the network */
	unsigned prefix;	  /* bits of it that stay */
};

struct flood {
	const char *device;
	uint8_t from_mac[6], to_mac[6];
	struct target targets[TARGETS_MAX];
	uint32_t n_targets;
	uint64_t port, seconds, rate; /* rate: frames a second; 0: as many as go */
	struct sim_random random;
	struct cable cable;
};

static volatile sig_atomic_t told_to_end;

static void note_signal(int number)
{
	(void)number;
	told_to_end = 1;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Random bits behind the prefix. */
static void random_host(struct flood *f, uint8_t *address, const struct target *t)
{
	unsigned len = t->ends.v6 ? 16 : 4;

	for (unsigned i = 0; i < len; i++) {
		unsigned kept = t->prefix > 8 * i ? t->prefix - 8 * i : 0;
		uint8_t mask = kept >= 8 ? 0 : (uint8_t)(0xff >> kept);

		address[i] = (uint8_t)((t->ends.from[i] & ~mask) | (sim_random(&f->random) & mask));
	}
}

static void put_syn(struct flood *f, const struct target *t)
{
	static const uint8_t mss[] = {2, 4, 1440 >> 8, 1440 & 0xff};
	struct segment_ends ends = t->ends;
	struct frame frame = {.octets = cable_next(&f->cable)};
	struct segment syn = {
		.seq = (uint32_t)sim_random(&f->random),
		.flags = SEGMENT_SYN,
		.window = 65535,
		.options_len = sizeof(mss),
	};

	memcpy(syn.options, mss, sizeof(mss));
	random_host(f, ends.from, t);
	ends.from_port = (uint16_t)sim_random_in(&f->random, 1024, 65535);
	segment_write(&frame, &ends, &syn);
	cable_put(&f->cable, frame.len);
}

static void wait_until(double due)
{
	double wait = due - now_s();

	if (wait > 0) {
		struct timespec pause = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};

		nanosleep(&pause, NULL);
	}
}

static void run(struct flood *f)
{
	double began = now_s(), now = began;
	uint64_t bursts = 0;

	while (!told_to_end && now - began < (double)f->seconds) {
		for (uint32_t i = 0; i < CABLE_BURST; i++)
			put_syn(f, &f->targets[i % f->n_targets]);
		if (bursts++ == 0)
			puts("ready");
		if (f->rate)
			wait_until(began + (double)(bursts * CABLE_BURST) / (double)f->rate);
		now = now_s();
	}
	printf("{\"sent\": %lu, \"refused\": %lu, \"seconds\": %.3f}\n", f->cable.sent,
	       f->cable.refused, now - began);
}

/* --- the command line ----------------------------------------------------------------------- */

/* ADDRESS,NETWORK/LENGTH: whom, and from where. */
static bool read_target(struct flood *f, const char *text)
{
	struct target *t = &f->targets[f->n_targets];
	const char *comma = strchr(text, ','), *slash = comma ? strchr(comma, '/') : NULL;
	struct ip_addr to, network;
	uint64_t prefix;
	uint32_t at;

	if (f->n_targets == TARGETS_MAX || !slash ||
	    !argument_address(text, (size_t)(comma - text), &to) ||
	    !argument_address(comma + 1, (size_t)(slash - comma - 1), &network) ||
	    ip_addr_is_v4(&to) != ip_addr_is_v4(&network))
		return false;
	t->ends.v6 = !ip_addr_is_v4(&to);
	at = t->ends.v6 ? 0 : 12;
	memcpy(t->ends.to, to.octets + at, 16 - at);
	memcpy(t->ends.from, network.octets + at, 16 - at);
	if (!argument_number(slash + 1, 0, 8 * (16 - at), &prefix))
		return false;
	t->prefix = (unsigned)prefix;
	f->n_targets++;
	return true;
}

static uint64_t *number_of(struct flood *f, int option)
{
	switch (option) {
	case 'p':
		return &f->port;
	case 's':
		return &f->seconds;
	case 'r':
		return &f->rate;
	default:
		return &f->random.state;
	}
}

static bool parse(struct flood *f, int argc, char **argv)
{
	static const struct option options[] = {
		{"target", required_argument, NULL, 't'},
		{"port", required_argument, NULL, 'p'},
		{"from-mac", required_argument, NULL, 'f'},
		{"to-mac", required_argument, NULL, 'm'},
		{"seconds", required_argument, NULL, 's'},
		{"rate", required_argument, NULL, 'r'},
		{"seed", required_argument, NULL, 'S'},
		{0},
	};
	uint64_t number;
	bool good = true;
	int o;

	while (good && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 't')
			good = read_target(f, optarg);
		else if (o == 'f')
			good = argument_mac(optarg, f->from_mac);
		else if (o == 'm')
			good = argument_mac(optarg, f->to_mac);
		else if ((good = o != '?' && argument_number(optarg, 0, UINT64_MAX, &number)))
			*number_of(f, o) = number;
	}
	if (!good || argc - optind != 1 || !f->n_targets || !f->port || f->port > UINT16_MAX)
		return false;
	f->device = argv[optind];
	for (uint32_t i = 0; i < f->n_targets; i++) {
		struct segment_ends *ends = &f->targets[i].ends;

		memcpy(ends->from_mac, f->from_mac, 6);
		memcpy(ends->to_mac, f->to_mac, 6);
		ends->to_port = (uint16_t)f->port;
	}
	return true;
}

int main(int argc, char **argv)
{
	static struct flood flood = {.seconds = 1};
	struct flood *f = &flood;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(f, argc, argv)) {
		fputs("syn_flood DEVICE --from-mac MAC --to-mac MAC --port N --target ADDRESS,NETWORK/LEN\n"
		      "          [--target ...] [--seconds S] [--rate FRAMES_A_SECOND] [--seed N]\n",
		      stderr);
		return 2;
	}
	signal(SIGTERM, note_signal);
	if (!cable_open(&f->cable, f->device, false)) {
		fprintf(stderr, "syn_flood: %s: %s\n", f->device, strerror(errno));
		return 1;
	}
	run(f);
	cable_close(&f->cable);
	return 0;
}
