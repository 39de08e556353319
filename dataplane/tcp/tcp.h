/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp: one worker's TCP. Segments go in, bytes in order come out, and the other way round.
 *
 * A turn of the owner's loop is: tcp_input (a burst), tcp_tick, then tcp_next_news until NULL,
 * acting on each (read, send, close), then tcp_output until 0. Replies to one burst leave in one
 * segment, the ACK riding along, because nothing is sent before tcp_output.
 *
 * Thread: the owning worker. Time: given to tcp_input, tcp_tick and tcp_output, monotonic
 * microseconds; calls between them happen at the last time given.
 * Memory: connections from a table of fixed capacity made by tcp_new; kept bytes in mbufs of
 * config.pool; frames from config.frame_pools. A full table refuses the SYN; an empty pool is a
 * lost segment, which TCP repairs. All bounds are in config and limits.h.
 * Rules: RFC 9293, 7323, 2018, 6298, 5681, 6582, 6928, 6937, 8985, 9438, 6528, 5961, 6191; the
 * state machine is in input.c.
 */
#ifndef POSTERN_TCP_H
#define POSTERN_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "base/siphash.h"
#include "base/span.h"
#include "net/net.h"
#include "postern/counters.h"

struct clients;
struct tcp;
struct tcp_conn;

/* Parts of loss recovery and congestion control that can be left out, to measure what each gains.
 * What then stands in its place: duplicate ACKs for SACK; three segments that overtook (RFC 6675)
 * for RACK; the timeout for tail probes; ssthresh at once for PRR; NewReno for CUBIC. */
enum tcp_without {
	TCP_WITHOUT_SACK = 1 << 0, /* and so without RACK and tail probes */
	TCP_WITHOUT_RACK = 1 << 1,
	TCP_WITHOUT_TLP = 1 << 2,
	TCP_WITHOUT_PRR = 1 << 3,
	TCP_WITHOUT_CUBIC = 1 << 4,
};

struct tcp_config {
	uint32_t conns;	     /* capacity, 1.. */
	uint32_t handshakes; /* of them in SYN_RCVD, beyond that cookies; 0: three in four, or
				TCP_HANDSHAKES_LEAST if that leaves an eighth */
	uint32_t time_waits; /* beside them; beyond that the oldest gives way. 0: as many as
				conns, and no fewer than TCP_TIME_WAITS_LEAST */
	/* Limits of a client over all workers that have the same clients (tcp/clients.h), which
	 * outlive them; NULL, or 0: none. A SYN beyond client_half_open is answered by a cookie; a
	 * connection beyond client_conns opens and is told by tcp_is_over_limit; a SYN of a client
	 * with twice as many is refused. */
	struct clients *clients;
	uint32_t client_half_open, client_conns;
	/* Octets a connection may have under way to us or unread, to 1 GiB, and queued or
	 * unacknowledged. When the pool runs low they become less, for all, down to
	 * TCP_SHARE_LEAST: an owner that waits for more before it reads waits for the pool. */
	uint32_t receive_window;
	uint32_t send_queue;
	uint32_t idle_timeout_ms; /* to 24 days; 0: an idle connection lives for ever */
	/* How long the oldest octet or FIN of ours may wait for its acknowledgement, in the queue
	 * or under way, whatever else the peer answers (RFC 9293 3.9.1.1, RFC 5482); an opening
	 * SYN too. To 24 days; 0: TCP_STALL_MS. */
	uint32_t user_timeout_ms;
	const struct net *net;
	struct rte_mempool *pool; /* bytes kept: send queues, reassembly, unread data */
	struct rte_mempool *frame_pools[NET_PORTS_MAX]; /* where frames to each port come from */
	struct siphash_key isn_key;			/* RFC 6528; the same on every worker */
	struct siphash_key cookie_key;			/* RFC 4987 */
	uint16_t active_first, active_count; /* source ports of active opens: the worker's slice */
	uint16_t first_local_port;	     /* where in it to begin: random (RFC 6056) */
	uint16_t queue;			     /* of every interface, where our frames come to */
	uint8_t without; /* for measurements: parts left out, enum tcp_without; else 0 */
	uint16_t worker; /* its index: what it draws at random differs by it */
	struct postern_counters *counters;
};

/* NULL: no memory or an impossible configuration. */
struct tcp *tcp_new(const struct tcp_config *config, uint64_t now_us);
/* Returns every mbuf; connections are forgotten without a segment. */
void tcp_free(struct tcp *t);

enum { TCP_LISTEN_MAX = 8 };
/* Accept connections on this local port; false: TCP_LISTEN_MAX reached. */
bool tcp_listen(struct tcp *t, uint16_t port);

/* --- a turn ------------------------------------------------------------------------------ */

/* Processes a burst (n at most 64), taking over the mbufs. Of segments on_trust those of no
 * connection are left alone, at the front of `segments` and in order: returns how many. They are
 * another worker's, or to be given once more, no longer on trust. */
uint32_t tcp_input_take(struct tcp *t, struct net_segment *segments, uint32_t n, uint64_t now_us);

/* An ICMP error about a flow (NET_ERROR). TCP_ERRORS_PER_SECOND of them are looked at. */
void tcp_error(struct tcp *t, const struct net_segment *error, uint64_t now_us);

/* Runs timers that are due and ends TIME-WAITs, TCP_TIMERS_MAX of each at most: tcp_next_due tells
 * when more are. */
void tcp_tick(struct tcp *t, uint64_t now_us);

/* When tcp_tick next has something to do; UINT64_MAX: never. Never late. */
uint64_t tcp_next_due(const struct tcp *t);

/* What happened to a connection, as bits. */
enum tcp_news {
	TCP_OPENED = 1 << 0,	/* established; tcp_set_user now */
	TCP_BYTES = 1 << 1,	/* tcp_read has something new */
	TCP_ROOM = 1 << 2,	/* the peer acknowledged: tcp_send takes more */
	TCP_PEER_DONE = 1 << 3, /* the peer's FIN: no byte follows those in tcp_read */
	TCP_ENDED = 1 << 4,	/* it is over, tcp_end_of says how; the pointer is dead after this
				   turn's next tcp_next_news */
	TCP_UNREACHED = 1 << 5, /* a router says that our SYN did not arrive; it is sent on, but
				   another server may be nearer (RFC 5461 3.1) */
};

/* The next connection something happened to, once a turn each, with all its bits; NULL: none. */
struct tcp_conn *tcp_next_news(struct tcp *t, unsigned *news);

/* Builds up to n frames ready for the port in m->port; 0: nothing left to send now. */
uint16_t tcp_output(struct tcp *t, struct rte_mbuf **frames, uint16_t n, uint64_t now_us);

/* --- a connection ------------------------------------------------------------------------ */

enum tcp_end {
	TCP_END_NONE,	 /* it lives */
	TCP_END_CLOSED,	 /* both sides done */
	TCP_END_RESET,	 /* the peer's RST */
	TCP_END_REFUSED, /* the peer's RST to our SYN, or a router's no */
	TCP_END_TIMEOUT, /* no answer, or no progress for user_timeout_ms */
	TCP_END_IDLE,	 /* idle_timeout_ms passed */
};

/* Opens a connection from `source` to flow `remote`:`port` over path, or by what net_route_find
 * says once a segment was not answered in time; from a port that brings the answers to our queue,
 * where the interface says which these are and one of the next TCP_PORT_TRIES_MAX is free, else
 * from any. NULL: no free port among so many, or the table is full. Reported by TCP_OPENED or
 * TCP_ENDED. */
struct tcp_conn *tcp_connect(struct tcp *t, const struct ip_addr *source,
			     const struct ip_addr *remote, uint16_t port,
			     const struct net_path *path);

void tcp_set_user(struct tcp_conn *c, void *user);
void *tcp_user(const struct tcp_conn *c);
void tcp_flow(const struct tcp *t, const struct tcp_conn *c, struct flow *flow);
/* The index of the interface its segments come by. */
uint8_t tcp_port(const struct tcp_conn *c);
enum tcp_end tcp_end_of(const struct tcp_conn *c);
/* Whether a SYN cookie opened it: its handshake proves less of the peer (RFC 4987). */
bool tcp_is_by_cookie(const struct tcp_conn *c);
/* Whether who opened it has seen what we sent, for all a guess at a cookie (27 bits) is worth:
 * false of one that a cookie opened without a timestamp of ours (16 bits more) beside it. */
bool tcp_is_proved(const struct tcp_conn *c);
/* Whether its client had config.client_conns open when it opened. */
bool tcp_is_over_limit(const struct tcp_conn *c);
/* Whether the peer sent a byte in a segment that acknowledges none of ours, and so before it heard
 * us speak. Who waits for a greeting acknowledges it with the first byte he sends, whatever was
 * lost on the way; so it is never true of him. True from the news of such bytes on. Of a connection
 * we opened it says that the peer spoke first. */
bool tcp_spoke_early(const struct tcp_conn *c);
/* What came so far is none of that: who sent it was to speak first. */
void tcp_forgive_early(struct tcp_conn *c);

/* The bytes that arrived in order and were not consumed yet, from `skip` octets on: one
 * contiguous run, len 0 when there is none. Valid until the next call that takes t. */
struct span tcp_read(const struct tcp *t, const struct tcp_conn *c, size_t skip);
/* The first len of them are done with; the window opens. */
void tcp_consume(struct tcp *t, struct tcp_conn *c, size_t len);
/* How many wait in all. */
size_t tcp_readable(const struct tcp_conn *c);
/* Whether the peer's FIN was taken: nothing comes behind what waits. */
bool tcp_is_peer_done(const struct tcp_conn *c);

/* Queues bytes; returns how many were taken: less than len when the send queue is full or the
 * pool is empty (TCP_ROOM tells when it is worth trying again). 0 after tcp_shutdown. */
size_t tcp_send(struct tcp *t, struct tcp_conn *c, const void *bytes, size_t len);
/* Octets tcp_send would take. */
size_t tcp_send_room(const struct tcp *t, const struct tcp_conn *c);
/* Octets queued that the peer has not acknowledged. */
size_t tcp_unacknowledged(const struct tcp_conn *c);

/* Nothing more will be sent: FIN follows what is queued. Reading goes on. */
void tcp_shutdown(struct tcp *t, struct tcp_conn *c);
/* The owner is done both ways: what is queued is sent, then FIN. Bytes that still arrive are thrown
 * away until the peer has all of ours, and answered by RST after that. When more than a share of
 * the table (TCP_ORPHANS_SHARE) lingers so, it is reset at once. No news follows; the pointer is
 * dead. */
void tcp_close(struct tcp *t, struct tcp_conn *c);
/* As tcp_close, of a peer whose segments do not reach us any more: what is queued and the FIN leave
 * once, and at the first timeout it is forgotten without a segment. */
void tcp_close_unheard(struct tcp *t, struct tcp_conn *c);
/* RST now. No news follows; the pointer is dead. */
void tcp_abort(struct tcp *t, struct tcp_conn *c);

/* Whether the pool had little left when the turn began: nobody gets more than TCP_SHARE_LEAST. */
bool tcp_pool_is_low(const struct tcp *t);

/* For a look at all connections, some at a time: numbers are below tcp_conns_bound, which only
 * grows. The connection of a number, if it has a user and lives; else NULL. */
uint32_t tcp_conns_bound(const struct tcp *t);
struct tcp_conn *tcp_conn_at(const struct tcp *t, uint32_t number);

/* --- for tests and status ----------------------------------------------------------------- */

/* Connections, in any state but TIME-WAIT. */
uint32_t tcp_conns(const struct tcp *t);
/* Connections in TIME-WAIT. */
uint32_t tcp_time_waits(const struct tcp *t);
/* Asserts what must hold of every connection between two calls, tcp_output having come to 0;
 * nothing in a release build. */
void tcp_check(const struct tcp *t);
/* The state's name as RFC 9293 spells it. */
const char *tcp_state_name(const struct tcp_conn *c);

#endif
