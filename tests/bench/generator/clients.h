/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients that follow a script and verify every octet they hear.
 *
 * Thread: one. Time: given. Memory: a conversation each for as many as can be open, made at
 * clients_init.
 * Rules: patience is for each step, the connecting included. What a client heard is *wrong* when
 * it is not what the script says; a conversation is *lost* when it ended, or was given up, without
 * anything wrong having been heard.
 */
#ifndef POSTERN_TESTS_GENERATOR_CLIENTS_H
#define POSTERN_TESTS_GENERATOR_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/wheel.h"
#include "histogram.h"
#include "host.h"
#include "script.h"
#include "sim/sim_random.h"

/* X(name, whether it is wrong rather than lost) */
#define CLIENT_FAULTS(X)                                                     \
	X(differs, true)     /* an octet was not the one expected */         \
	X(surplus, true)     /* more came than was expected */               \
	X(cut_short, true)   /* the peer closed too early */                 \
	X(late, false)	     /* a step took longer than patience */          \
	X(refused, false)    /* the connection was refused */                \
	X(reset, false)	     /* the peer reset it */                         \
	X(unanswered, false) /* the peer stopped answering, as TCP has it */ \
	X(stopped, false)    /* the time was over */

enum client_fault {
	FAULT_NONE,
#define X(name, wrong) FAULT_##name,
	CLIENT_FAULTS(X)
#undef X
		FAULTS,
};

struct clients_config {
	const struct script *script; /* NULL: no clients */
	struct ip_addr target;
	uint16_t port;
	uint64_t count;	  /* conversations in all; 0: until clients_stop */
	uint64_t rate;	  /* begun a second; 0: as many as at_once lets */
	uint32_t at_once; /* under way, the held ones not counted */
	uint64_t patience_us;
	uint64_t names; /* numbers are drawn below it */
	uint64_t seed;
};

struct conversation; /* clients.c */

struct clients {
	struct clients_config config;
	struct host *host;
	struct conversation *all;
	uint32_t capacity;
	uint32_t free, held_first, held_last; /* lists, by index */
	uint32_t n_held, n_under_way;
	bool released, stopped;
	uint32_t aborted; /* those before it */
	uint64_t began_us;
	uint64_t opened, well, wrong, lost; /* conversations */
	uint64_t faults[FAULTS];
	struct histogram times[TIMED_KINDS]; /* us since connecting */
	struct wheel wheel;
	struct sim_random random;
};

/* Conversations that can be open at a time. */
uint32_t clients_capacity(const struct clients_config *config);

/* False: no memory. */
bool clients_init(struct clients *c, const struct clients_config *config, struct host *host,
		  uint64_t now_us);
void clients_fini(struct clients *c);

/* News of a connection, as tcp_next_news gives it. */
void clients_news(struct clients *c, struct tcp_conn *conn, unsigned news, uint64_t now_us);

/* Begins what is due to begin, goes on with what was released, gives up what took too long. */
void clients_turn(struct clients *c, uint64_t now_us);

/* The held ones may go on, so many at a time as at_once says. */
void clients_release(struct clients *c);
/* No more are begun. */
void clients_stop(struct clients *c);
/* And what is open is reset, some with each call. */
void clients_abort(struct clients *c);

/* Nothing is under way, nor will be before clients_release. */
bool clients_rest(const struct clients *c);
/* And nothing is held. */
bool clients_over(const struct clients *c);

const char *client_fault_name(enum client_fault fault);

#endif
