/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deliveries: transactions of clients on their way to next hops, whose answers become ours.
 *
 * Streamed, a delivery asks the next hop at DATA, and the message follows octet by octet. Held, it
 * takes the message first and asks when that is whole. Either way what the next hop says of it is
 * the only thing that can be good news to the client, and a message without an end is never ended:
 * the connection that carries it is reset.
 *
 * A retry on another server comes only while every octet is still here, or before the first was
 * asked for. The mail service asks how a delivery stands and tells it what the client does;
 * deliveries_next hands out clients that may go on, so that nobody is called in the midst of
 * another's work.
 *
 * Thread: the owning worker. Time: the turn's. Memory: a slab of deliveries and one of octets held,
 * both deliveries_new's; none left: a delivery is streamed, or refused.
 * Rules: SEMANTICS, "Relay"; RFC 5321 4.2.5 and 6.1 (who is responsible for a message, and when).
 */
#ifndef POSTERN_WORKER_DELIVERY_H
#define POSTERN_WORKER_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "postern/pools.h"
#include "relay/refusals.h"
#include "smtp/smtp.h"
#include "worker/worker.h"

struct deliveries;

struct deliveries_config {
	struct worker *worker;
	struct smtp *smtp;
	struct pools *pools;
	struct refusals *refusals;
	const char *host;
	uint32_t deliveries, links; /* capacities */
	uint32_t held_max;	    /* octets of a message that is held; 0: all are streamed */
	uint64_t held_octets;	    /* of all of them */
	struct postern_counters *counters;
};

struct deliveries *deliveries_new(const struct deliveries_config *config, uint64_t now_us);
void deliveries_free(struct deliveries *d);

/* now_s: seconds since the epoch. */
void deliveries_set_time(struct deliveries *d, uint64_t now_us, uint32_t now_s);
/* Whether a connection is to a next hop; its news. */
bool deliveries_is_mine(const struct tcp_conn *c);
void deliveries_run(struct deliveries *d, struct tcp_conn *c, unsigned news);
/* Timers, and trials of servers that are down; and when they next want a turn. */
void deliveries_turn(struct deliveries *d);
uint64_t deliveries_next_due(const struct deliveries *d);
/* The next client whose conversation may go on, or NULL. */
struct tcp_conn *deliveries_next(struct deliveries *d);
/* Keeps no idle connection any more. */
void deliveries_drain(struct deliveries *d);

/* --- a transaction's ------------------------------------------------------------------------- */

enum { DELIVERY_NONE = 0 };

enum delivery_standing {
	DELIVERY_WAITS,
	DELIVERY_WANTS, /* the message may come, as delivery_room says */
	DELIVERY_ANSWERED,
};

/* At DATA: a transaction of a session, which has a recipient at least, to a pool. is_known: mail of
 * the client was delivered before, so that what is said of it says something of the server. Its
 * number, or DELIVERY_NONE: no memory. */
uint32_t delivery_begin(struct deliveries *d, struct smtp_session *s, uint16_t pool, bool is_known);
enum delivery_standing delivery_standing(const struct deliveries *d, uint32_t number);
/* Octets of a message that find room now, however they come out of the scanner. */
size_t delivery_room(struct deliveries *d, uint32_t number);
/* More of it; what is answered already takes it and forgets it. */
void delivery_body(struct deliveries *d, uint32_t number, const struct span *spans, size_t n);
/* It is whole. */
void delivery_end(struct deliveries *d, uint32_t number);
/* Whether the next hop was told that it is whole. */
bool delivery_is_past_end(const struct deliveries *d, uint32_t number);
/* At DELIVERY_ANSWERED; valid until it is closed. */
const struct smtp_answer *delivery_answer(const struct deliveries *d, uint32_t number);
/* The transaction is over. What stands is given up: without an end, or past it to its end, of which
 * nobody hears. */
void delivery_close(struct deliveries *d, uint32_t number);

#endif
