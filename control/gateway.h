/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The gateway: all parts of a running posternd, in the order they need each other.
 *
 * Thread: control, which the EAL pins to its CPU; the control socket has a thread of its own,
 * started last and ended first. Time: the wall clock, at start and once a second. Memory: the
 * parts'. Rules: who finds another gateway listening at its control socket, or with its shield
 * open, touches neither. At the end links, maps and flags stay in the kernel: what is for us is
 * dropped, and so are the flagged, until the next start.
 */
#ifndef POSTERN_CONTROL_GATEWAY_H
#define POSTERN_CONTROL_GATEWAY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"
#include "control/flags.h"
#include "control/methods.h"
#include "control/plane.h"
#include "control/reload.h"
#include "control/roster.h"
#include "control/rpc.h"
#include "postern/settings.h"

enum { GATEWAY_DRAIN_MS = 2000 };

/* How it is heard of. */
struct gateway_voice {
	bool verbose;			   /* what libraries say goes to stderr */
	void (*say)(const char *sentence); /* plane_config.say */
	/* flags_config.event. */
	void (*verdict)(void *arg, const struct harvest_verdict *verdict);
	bool (*is_over)(void); /* roster_new's */
	void *arg;
};

struct gateway {
	const struct config *config;
	struct gateway_voice voice;
	struct dataplane_config dataplane_config;
	struct mail_config mail;
	struct plane_neighbour *neighbours;
	struct ip_network *allow;
	struct ip_endpoint *backends;
	struct pools *pools;
	struct notices *notices, *orders; /* one a worker, from it and to it */
	int wake_fd;			  /* eventfd: notices wait */
	bool has_eal;
	struct rpc *rpc;
	struct roster *roster;
	struct reload *reload;
	struct plane *plane;
	struct harvest *harvest;
	struct flags *flags;
	struct dataplane *dataplane;
	struct methods methods;
	pthread_t talker; /* serves the control socket */
	bool talks;
};

/* 0, or -errno with a sentence in error; gateway_stop comes either way. */
int gateway_start(struct gateway *g, const struct config *config, const struct gateway_voice *voice,
		  char *error, size_t len);

/* Once a second: the clock that workers and verdicts share is set anew. */
void gateway_tick(struct gateway *g);

/* Ends conversations, at most for GATEWAY_DRAIN_MS, and all parts. 0, or -errno with a sentence in
 * error when the checkpoint could not be written. */
int gateway_stop(struct gateway *g, char *error, size_t len);

#endif
