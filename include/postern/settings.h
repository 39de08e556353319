/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the workers' mail service needs of control.
 *
 * Thread: filled in by control before the data plane starts; the service reads it. What is atomic
 * control changes later, too.
 * Time: none. Memory: the caller's, until the data plane is stopped.
 */
#ifndef POSTERN_SETTINGS_H
#define POSTERN_SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "postern/address.h"
#include "postern/harvest.h"
#include "postern/notice.h"

enum { MAIL_RECIPIENTS_LEAST = 100, MAIL_RECIPIENTS_MOST = 60000 }; /* of a transaction */

struct pools;
struct refusals;
struct worker_service;

/* The kernel's map of flagged sources, for the workers to write. */
struct mail_shield {
	int flagged_fd;		  /* -1: no kernel drops for us */
	uint32_t ports;		  /* bits: the data plane's interfaces before which it does */
	_Atomic uint32_t *levels; /* struct shield_config's (postern/shield_map.h) */
	int wake_fd;		  /* eventfd: a notice waits for control; -1: it looks by itself */
};

struct mail_config {
	const char *host;
	uint64_t size_max;	 /* octets of a message */
	uint32_t recipients_max; /* of a transaction */
	bool normalize_bare_lf;
	uint32_t sessions;     /* a worker */
	uint32_t buffered_max; /* octets; what declares no more is held until it is whole; 0:
				  nothing */
	uint64_t relay_octets; /* memory for messages that are held, a worker */
	const struct ip_network *proxy_from; /* load balancers: they say PROXY first */
	uint32_t n_proxy_from;
	struct pools *pools; /* numbered as the recipients' are; NULL: DATA is 451 4.4.1 */
	struct harvest *harvest;
	struct mail_shield shield;
	_Atomic uint64_t epoch_us; /* CLOCK_REALTIME less CLOCK_MONOTONIC; control keeps it so */
	uint8_t id_key[16];	   /* of conversations' ids, from the kernel's generator */
	/* One a worker, each way: what it decided, and what others decided, for which the worker is
	 * woken (dataplane_wake). */
	struct notices *notices, *orders;
	_Atomic bool draining; /* conversations are ended, and none begins: 421 4.3.2 */
	/* The service's own. */
	struct refusals *refusals;
	uint32_t users;
};

/* Seconds since the epoch by the one clock that workers and control have; now_us: CLOCK_MONOTONIC.
 * The wall clock may be set between two looks at it, so nobody else's is compared with this. */
static inline uint32_t mail_now_s(const struct mail_config *config, uint64_t now_us)
{
	const uint64_t epoch_us = atomic_load_explicit(&config->epoch_us, memory_order_relaxed);

	return (uint32_t)((epoch_us + now_us) / 1000000);
}

/* For struct dataplane_config: its service_config is a struct mail_config. Who exists is told by
 * dataplane_publish_recipients_take; until then nobody can tell, which is 451 4.4.3. */
extern const struct worker_service mail_service;

#endif
