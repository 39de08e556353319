/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TIME-WAIT: what is remembered of a connection that is over, so that what is left of it on the way
 * harms nobody (RFC 9293 3.6.1). 32 octets, and 12 of a table.
 *
 * An address alone would take half of that. A flow is known by 64 bits of two keyed hashes, its tag
 * and its timestamp offset, which answers need anyway: with a million entries and a million SYNs a
 * second, a stranger's is taken for one of them once in half a year, and opens 10 s late.
 *
 * Thread: the owning worker. Time: the turn's.
 * Memory: fixed, made at start; when it is full the oldest gives way, and is counted.
 * Rules: RFC 9293 3.10.7.4 (TIME-WAIT), RFC 1337 (a RST does not end it), RFC 6191 (a SYN may take
 * its place), RFC 7323 5 (PAWS), RFC 5961 (challenges). All last for TCP_TIME_WAIT_MS, so a list in
 * the order they began is one in the order they end, and needs no timers; a repeated FIN puts its
 * entry at the list's end.
 */
#ifndef POSTERN_TCP_TIME_WAIT_H
#define POSTERN_TCP_TIME_WAIT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slab.h"
#include "base/tags.h"
#include "net/net.h"
#include "tcp/header.h"

struct tcp;
struct tcp_conn;

struct time_wait {
	uint32_t tag, ts_offset; /* whose it is */
	uint32_t snd_nxt, rcv_nxt;
	uint32_t ts_recent;
	uint32_t end_ms;
	uint32_t earlier : 24, challenged : 8; /* the one that ends before; as in tcp_conn */
	uint32_t later : 24, ts : 1; /* the one that ends after; timestamps were negotiated */
};

static_assert(sizeof(struct time_wait) == 32, "what a TIME-WAIT costs");

enum { TIME_WAIT_NONE = (1 << 24) - 1 }; /* links end here */

struct time_waits {
	struct slab entries;
	struct tags table; /* of entries, by flow_tag */
	uint32_t first, last;
};

/* For so many, at most TIME_WAIT_NONE; false: no memory. */
bool time_waits_init(struct time_waits *all, uint32_t capacity);
void time_waits_release(struct time_waits *all);

/* A connection whose both directions are done enters it. */
void time_wait_enter(struct tcp *t, const struct tcp_conn *c);
/* The entry is over, or something takes its place. */
void time_wait_leave(struct tcp *t, struct time_wait *w);
/* The flow's entry; NULL: none. time_wait_find (conn.h) is for where there may be no entry at all.
 */
struct time_wait *time_wait_look_up(const struct tcp *t, const struct flow *flow, uint32_t tag);

/* Whether a segment is the SYN of a new incarnation that may take the entry's place (RFC 6191). */
bool time_wait_may_reopen(const struct time_wait *w, const struct tcp_header *h);
/* Whether we may open a new incarnation ourselves: with numbers or times beyond the old one's. */
bool time_wait_may_reuse(const struct tcp *t, const struct time_wait *w, const struct flow *flow);
/* A new incarnation, which has sent nothing yet, takes the entry's place; or a cookie does: c is
 * NULL. */
void time_wait_yield(struct tcp *t, struct time_wait *w, struct tcp_conn *c);
/* Any segment that may not reopen it, of len octets. */
void time_wait_input(struct tcp *t, struct time_wait *w, const struct net_segment *segment,
		     const struct tcp_header *h, uint32_t len);

/* Ends those whose time is over, TCP_TIMERS_MAX at most. */
void time_wait_tick(struct tcp *t);
/* When the next one ends; UINT64_MAX: there is none. */
uint64_t time_wait_next_due(const struct tcp *t);

#endif
