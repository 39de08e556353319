/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Links: a worker's connections to next hops, each with its engine. This is where the relay's
 * octets meet TCP.
 *
 * A link is opened for a transaction or for a trial, is idle between two transactions, and ends
 * when it is lost, has served enough or has been idle too long. What it finds it returns;
 * links_next hands out one that something happened to, so that nobody is called in the midst of
 * another's work.
 *
 * Thread: the owning worker. Time: links_set_time's, the turn's. Memory: a slab of links_new's, of
 * which untouched pages cost nothing. Rules: every reply is given HOP_REPLY_MS (relay/limits.h),
 * that to a message HOP_FINAL_MS; a transaction may have less, which is not the server's fault. A
 * server that has taken all there is of a message is waited for by nobody.
 */
#ifndef POSTERN_WORKER_LINKS_H
#define POSTERN_WORKER_LINKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/wheel.h"
#include "postern/pools.h"
#include "relay/hop.h"
#include "worker/worker.h"

struct links;

enum link_flag {
	LINK_OPENED = 1 << 0,  /* the connection stands */
	LINK_GREETED = 1 << 1, /* pools know of it */
	LINK_USED = 1 << 2,    /* it has served a transaction */
	LINK_HEARD = 1 << 3,   /* the server has answered this transaction */
	LINK_IDLE = 1 << 4,    /* it is in the list of those */
	LINK_NEWS = 1 << 5,    /* it is in the list of those */
	LINK_LATE = 1 << 6,    /* its time is over */
	LINK_LOST = 1 << 7,    /* its connection is gone */
	LINK_OURS = 1 << 8,    /* and that is not the server's fault */
	LINK_LEAVING = 1 << 9, /* QUIT was said: it counts until the server has closed */
};

LIST_HEAD(link_list, link);

struct link {
	struct timer timer;
	struct hop hop;
	struct tcp_conn *conn; /* NULL: none yet, or gone */
	void *user;	       /* the transaction's; NULL: none */
	LIST_ENTRY(link) idle;
	TAILQ_ENTRY(link) news;
	uint64_t resolve_until_us;
	uint64_t until_us; /* its transaction waits no longer for the next reply; 0: no bound */
	uint64_t opened_us;
	uint64_t timed_us; /* when its timer was set */
	uint64_t said_us;  /* octets of a message, last */
	uint32_t pool, server;
	uint32_t uses;
	uint16_t flags;
	uint8_t awaited; /* state of the hop its timer was set for */
	bool is_trial;	 /* pools_take_trial's, until it is greeted */
};

struct links_config {
	struct worker *worker;
	struct pools *pools;
	const char *host;
	uint32_t links;	       /* capacity */
	const uint32_t *waits; /* a pool each: the worker's own transactions that wait for room */
	struct postern_counters *counters;
};

struct links *links_new(const struct links_config *config, uint64_t now_us);
void links_free(struct links *all);

void links_set_time(struct links *all, uint64_t now_us);

/* Whether a connection is a link's: its user is one. */
bool links_is_mine(const struct tcp_conn *c);
/* News of such a connection. */
void links_run(struct links *all, struct tcp_conn *c, unsigned news);
/* Timers; and when they next want a turn. */
void links_turn(struct links *all);
uint64_t links_next_due(const struct links *all);
/* Every idle one is closed, and none is kept from now on. */
void links_drain(struct links *all);

/* Bits of the servers of a pool to which there are idle ones. */
void links_idle(const struct links *all, uint32_t pool, struct pool_tried *idle);
/* An idle one to a server, or NULL; it is the caller's. */
struct link *links_take(struct links *all, uint32_t pool, uint32_t server, void *user);
/* Opens one; client: of PROXY v2, else NULL. pools_take has made room for it. NULL: no memory, and
 * the room is given back. */
struct link *links_open(struct links *all, uint32_t pool, uint32_t server,
			const struct hop_client *client, void *user);

/* The next link that something may have happened to: links_step then says what. */
struct link *links_next(struct links *all);
/* What the engine says next, its commands sent. */
enum hop_step links_step(struct links *all, struct link *l);
/* Octets that links_send takes now. */
size_t links_room(const struct links *all, const struct link *l);
/* All of them find a buffer, or the link is lost. */
void links_send(struct links *all, struct link *l, const void *octets, size_t len);
/* What is asked of the engine, and sent. */
bool links_begin(struct links *all, struct link *l, const struct hop_client *client,
		 const struct hop_mail *mail);
void links_data(struct links *all, struct link *l);
void links_reset(struct links *all, struct link *l);
void links_end(struct links *all, struct link *l);

/* The transaction is over and the connection good: it is kept for the next one if it may be, or
 * closed. */
void links_park(struct links *all, struct link *l, bool may_stay);
/* Closes it at once, whatever is under way: without an end a message is none. */
void links_abort(struct links *all, struct link *l);

#endif
