/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clients: how many connections each client has over all workers, half-open and open.
 *
 * A client is an IPv4 address or an IPv6 /64 (RFC 6177: an end site has at least that). It has a
 * counter in each of two rows, found by two halves of a keyed hash; its count is the smaller of the
 * two. So a client is never counted too low, and too high only when others share both counters.
 *
 * Width. Let C be the connections there can be, L the limit, W the counters of a row. However the
 * others spread theirs over clients, at most C / n counters of a row hold n or more, so an innocent
 * with k connections finds one with L - k or more of others' in one row with probability at most
 * C / (W (L - k)), and in both, which are independent, at most the square of it. W is 64 C / L: for
 * k much below L at most (1/64)^2 = 2.4e-4, for k = L / 2 at most (1/32)^2 = 9.8e-4. A million
 * connections with a limit of 50 take 1,280,000 counters a row, 10 MiB in all. Half-open ones take
 * a sixteenth of that: who is wrongly over that limit gets a cookie, which harms nobody; at most
 * (1/4)^2 do, and only while as many are under way as there can be.
 *
 * Thread: any. Lock-free: each count is an atomic add to two counters, with no order among them and
 * to nothing else. Time: none.
 * Memory: fixed, by clients_new; physical pages for what is in use.
 * Rules: what is added is taken back once, so that all counters come to 0 again. Workers that look
 * at one client within the same nanoseconds may miss each other's, so that a limit can be passed by
 * as many as there are workers.
 */
#ifndef POSTERN_TCP_CLIENTS_H
#define POSTERN_TCP_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "postern/address.h"

struct clients;

enum clients_kind {
	CLIENTS_HALF_OPEN,
	CLIENTS_OPEN,
	CLIENTS_KINDS,
};

struct clients_config {
	uint64_t conns;			/* there can be over all workers, 1.. */
	uint32_t limits[CLIENTS_KINDS]; /* 0: not counted */
	/* Whose are not counted either: behind one of these are many clients. They stay until
	 * clients_free. */
	const struct ip_network *unlimited;
	uint32_t n_unlimited;
	struct siphash_key key;
};

/* NULL: no memory. */
struct clients *clients_new(const struct clients_config *config);
void clients_free(struct clients *c);

/* Counts one more; how many the client has with it. 0 where they are not counted. */
uint32_t clients_add(struct clients *c, enum clients_kind kind, const struct ip_addr *client);
/* Takes one back. */
void clients_sub(struct clients *c, enum clients_kind kind, const struct ip_addr *client);
/* How many it has. */
uint32_t clients_count(const struct clients *c, enum clients_kind kind,
		       const struct ip_addr *client);

/* For tests: the sum of all counters of a kind. */
uint64_t clients_sum(const struct clients *c, enum clients_kind kind);

#endif
