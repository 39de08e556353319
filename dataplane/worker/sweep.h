/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sweeps: looking through all connections of a worker for those of some clients, a few a turn.
 * Whose a connection is the owner says.
 *
 * Thread: the owning worker. Time: none. Memory: the struct; SWEEPS at once.
 */
#ifndef POSTERN_WORKER_SWEEP_H
#define POSTERN_WORKER_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/address.h"
#include "tcp/tcp.h"

enum {
	SWEEPS = 32,
	SWEEP_LOOKED = 128, /* connections looked at in a turn */
};

/* Of whom, and how many connections are left to be looked at. */
struct sweep {
	struct ip_addr address;
	uint8_t prefix_len; /* 0: everybody */
	uint32_t left;
};

struct sweeps {
	uint32_t n, cursor;
	uint32_t all; /* connections there are to be looked at */
	struct sweep at[SWEEPS];
};

/* Begins one; false: there are SWEEPS already, and one of everybody takes their place. */
bool sweeps_begin(struct sweeps *s, const struct tcp *t, const struct ip_addr *address,
		  uint8_t prefix_len);
struct sweeps_owner {
	/* The client of a connection; false: it is no client's. */
	bool (*client)(void *arg, const struct tcp_conn *c, struct ip_addr *client);
	/* For each that is sought, which it may end. */
	void (*found)(void *arg, struct tcp_conn *c);
	void *arg;
};

/* Looks at some. True: there are more. */
bool sweeps_turn(struct sweeps *s, const struct tcp *t, const struct sweeps_owner *owner);

#endif
