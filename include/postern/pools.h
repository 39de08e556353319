/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pools: the next hops, and how they are. One table of all pools that all workers share.
 *
 * A server is well until it is found otherwise, by whoever has to do with it:
 *
 *     DOWN   it cannot be reached, or was lost before it answered: the next worker that asks for it
 *            after a while (1 s, doubling to 30 s) is given it for a trial
 *     WRONG  it refuses what a mail server behind us must not refuse, or 20 recipients in a row
 *            that we know: the same, from 5 s doubling to 60 s
 *
 * A trial is one connection of one worker, which has 15 s to say what came of it before another
 * gets its turn; it brings the server back, and from then on its share of connections grows from 1
 * to its limit over 10 s (slow start). What is found before a trial begins is old news and changes
 * nothing, but for a greeting of a server that is DOWN. A server that was WRONG stays on probation
 * until it has taken a recipient: one more refusal, and it is WRONG again.
 *
 * Of those that are well the one with the fewest connections in use by its weight is taken, and no
 * more connections than its limit are open over all workers.
 *
 * Thread: any; relaxed atomics, and compare-and-swap where a limit or a trial must be exact.
 * Time: monotonic microseconds, given. Memory: pools_new's, all at once; pools_free when no worker
 * runs any more.
 */
#ifndef POSTERN_POOLS_H
#define POSTERN_POOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"

enum {
	POOLS_MAX = 1024,
	POOL_SERVERS_MAX = 256,
	POOL_CONNECTIONS_MAX = 60000, /* a server */
	POOL_WEIGHT_MAX = 256,
	POOL_REFUSED_MAX = 20, /* recipients in a row; then it is WRONG */
	POOL_ERROR_MAX = 160,  /* octets of a server's last error, NUL counted */
	POOL_NAME_MAX = 64,
};

enum pool_protocol { POOL_SMTP, POOL_LMTP };
enum pool_identity { POOL_IDENTITY_NONE, POOL_XCLIENT, POOL_PROXY_V2 };

struct pool_server_config {
	struct ip_addr address;
	uint16_t port;
	uint32_t weight; /* 1..POOL_WEIGHT_MAX */
};

struct pool_config {
	const char *name;
	enum pool_protocol protocol;
	enum pool_identity identity;
	bool many_recipients; /* LMTP: several a transaction, though it answers for each alone */
	uint32_t connections; /* open at once to one server, over all workers; 1.. */
	uint32_t n_servers;
	const struct pool_server_config *servers;
};

struct pools;

/* Copies what configs point to; n 0..POOLS_MAX. NULL: no memory or an impossible configuration. */
struct pools *pools_new(const struct pool_config *configs, uint32_t n);
void pools_free(struct pools *p);

uint32_t pools_count(const struct pools *p);
const struct pool_config *pools_config(const struct pools *p, uint32_t pool);

/* --- what control does ------------------------------------------------------------------------ */

enum pool_state { POOL_WELL, POOL_STARTING, POOL_DOWN, POOL_WRONG, POOL_DRAINED };

struct pool_server_status {
	enum pool_state state; /* STARTING: in slow start */
	uint32_t connections, in_use;
	uint64_t taken, refused, failed; /* messages: by 2xx, by 4xx or 5xx, without an answer */
	uint64_t trial_in_us;		 /* DOWN, WRONG: until it may be tried; 0: now */
	uint64_t since_us;		 /* of its state, monotonic; 0: since the start */
	uint32_t latency_us;	    /* from our dot to its answer, smoothed (1/8); 0: none yet */
	char error[POOL_ERROR_MAX]; /* the last one, printable; empty: none */
};

void pools_status(const struct pools *p, uint32_t pool, uint32_t server, uint64_t now_us,
		  struct pool_server_status *status);
/* A drained server gets no new transactions; those under way end. */
void pools_drain(struct pools *p, uint32_t pool, uint32_t server, bool drained, uint64_t now_us);

/* --- what a worker asks ----------------------------------------------------------------------- */

enum pool_choice {
	POOL_CHOSEN,
	POOL_ALL_BUSY,	/* those that are well are at their limits; later one has room */
	POOL_ALL_DOWN,	/* 451 4.4.1 */
	POOL_ALL_WRONG, /* none is well, and one at least is WRONG: 451 4.3.5 */
};

/* Whether a transaction of the pool has anywhere to go, a trial counted: cheap, for every RCPT.
 * BUSY: those that are well serve as many transactions as they may. */
enum pool_choice pools_standing(const struct pools *p, uint32_t pool, uint64_t now_us);

/* Servers that a transaction has tried already. */
struct pool_tried {
	uint64_t bits[POOL_SERVERS_MAX / 64];
};

static inline void pool_tried_add(struct pool_tried *t, uint32_t server)
{
	t->bits[server / 64] |= 1ULL << server % 64;
}

static inline bool pool_tried_has(const struct pool_tried *t, uint32_t server)
{
	return t->bits[server / 64] >> server % 64 & 1;
}

/* Takes a server that is not in tried for a transaction: it is in use until pools_release. Of those
 * as little in use, one to which the caller has an idle connection (bits in idle) comes first:
 * *needs_connection is false then. True: room for a new connection was taken besides, which counts
 * until pools_closed, whether it is ever opened or not. */
enum pool_choice pools_take(struct pools *p, uint32_t pool, const struct pool_tried *tried,
			    const struct pool_tried *idle, uint64_t now_us, uint32_t *server,
			    bool *needs_connection);
void pools_release(struct pools *p, uint32_t pool, uint32_t server);
/* The connection is gone. */
void pools_closed(struct pools *p, uint32_t pool, uint32_t server);
/* A server that is down or of which nothing is known yet, for a connection that only tries it
 * (in use and open, as by pools_take); false: none is due. *at goes round all servers, some a call.
 */
bool pools_take_trial(struct pools *p, uint64_t now_us, uint32_t *at, uint32_t *pool,
		      uint32_t *server);
/* Transactions, over all workers, that wait for room at a pool's servers. */
uint32_t pools_wanted(const struct pools *p, uint32_t pool);
void pools_want(struct pools *p, uint32_t pool, bool wanted); /* by one worker more, or less */

/* What was found. error: of the server's reply or of ours; cut at POOL_ERROR_MAX, and what is not
 * printable ASCII becomes '?'. */
void pools_greeted(struct pools *p, uint32_t pool, uint32_t server, uint16_t offers,
		   uint64_t size_max, uint64_t now_us);
void pools_lost(struct pools *p, uint32_t pool, uint32_t server, const char *error,
		uint64_t now_us);
void pools_wrong(struct pools *p, uint32_t pool, uint32_t server, const char *error,
		 uint64_t now_us);
/* A recipient that we know was taken, or refused by 5xx; true: the server is WRONG, by that or
 * already, and the refusal is not to be passed on. */
void pools_recipient_taken(struct pools *p, uint32_t pool, uint32_t server, uint64_t now_us);
bool pools_recipient_refused(struct pools *p, uint32_t pool, uint32_t server, const char *error,
			     uint64_t now_us);
/* When a message was last taken; 0: never. */
uint64_t pools_taken_us(const struct pools *p, uint32_t pool, uint32_t server);
/* The message was answered: by class 2, 4 or 5, or (0) not at all. latency_us: 0 if there was no
 * dot. */
void pools_answered(struct pools *p, uint32_t pool, uint32_t server, unsigned class,
		    uint32_t latency_us, uint64_t now_us);

/* What every server of every pool that ever answered and is not drained offers (enum hop_offer's
 * lower octet), and the least of their sizes (0: none said one); false: there is none. Walks them
 * all: for once a second, not for each EHLO. */
bool pools_offers(const struct pools *p, uint16_t *offers, uint64_t *size_max);

#endif
