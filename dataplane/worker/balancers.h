/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Load balancers before us, and who a client is: who opened the connection, but where that is a
 * balancer, whom it names in the header it says first.
 *
 * A balancer's connection is kept here from its beginning; once it has named a client the session
 * points to it, and through it to the connection.
 *
 * Thread: the owning worker. Time: given, monotonic microseconds. Memory: a slab of
 * balancers_init's, of which untouched pages cost nothing; none left: NULL. Rules:
 * relay/proxy_header.h; a header has PROXY_HEADER_MS to come.
 */
#ifndef POSTERN_WORKER_BALANCERS_H
#define POSTERN_WORKER_BALANCERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/slab.h"
#include "postern/address.h"
#include "relay/proxy_header.h"
#include "smtp/smtp.h"
#include "tcp/tcp.h"

/* One connection of a balancer's. */
struct balanced {
	struct tcp_conn *conn;
	struct flow client; /* as if it had opened it; once named */
	bool waits;	    /* for the header; it is in the list of those */
	uint64_t until_us;
	TAILQ_ENTRY(balanced) waiting;
};

struct balancers {
	const struct ip_network *networks; /* theirs; the caller's */
	uint32_t n_networks;
	struct slab slab;
	TAILQ_HEAD(, balanced) waiting; /* the one that has waited longest first */
};

/* False: no memory. */
bool balancers_init(struct balancers *b, const struct ip_network *networks, uint32_t n,
		    uint32_t connections);
void balancers_release(struct balancers *b);

/* Whether a balancer opened a connection. */
bool balancers_opened(const struct balancers *b, const struct tcp *t, const struct tcp_conn *c);
/* Begins to wait for its header. NULL: there are too many. */
struct balanced *balanced_new(struct balancers *b, struct tcp_conn *c, uint64_t now_us);
/* Looks for the header in what has come. One that is whole is consumed, and not waited for any
 * more. */
enum proxy_found balanced_read(struct balancers *b, struct balanced *bd, struct tcp *t);
/* One whose header did not come in time, or NULL. It comes again until it is freed. */
struct balanced *balancers_next_overdue(const struct balancers *b, uint64_t now_us);
/* UINT64_MAX: never. */
uint64_t balancers_next_due(const struct balancers *b);
/* NULL is allowed. */
void balanced_free(struct balancers *b, struct balanced *bd);

/* --- of a session ---------------------------------------------------------------------------- */

/* NULL: its client opened the connection himself. */
struct balanced *client_balanced(const struct smtp_session *s);
struct tcp_conn *client_conn(const struct smtp_session *s);
/* Where the client is and where he reached us, or the balancer. */
void client_flow(const struct tcp *t, const struct smtp_session *s, struct flow *flow);

#endif
