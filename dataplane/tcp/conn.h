/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a connection is, inside this room.
 *
 * A connection at rest is one struct tcp_conn and one table slot. Bytes in either direction, and
 * what is needed to move them, live in a struct tcp_queue that exists only while there are any.
 */
#ifndef POSTERN_TCP_CONN_H
#define POSTERN_TCP_CONN_H

#include <assert.h>

#include "base/counter.h"
#include "base/slab.h"
#include "base/wheel.h"
#include "tcp/header.h"
#include "tcp/limits.h"
#include "tcp/seq.h"
#include "tcp/tcp.h"

enum tcp_state {
	TCP_CLOSED,
	TCP_SYN_SENT,
	TCP_SYN_RCVD,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT_1,
	TCP_FIN_WAIT_2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
};

enum conn_flag {
	CONN_ACTIVE = 1 << 0,	  /* we opened it */
	CONN_ORPHAN = 1 << 1,	  /* nobody reads or writes it any more */
	CONN_TS = 1 << 2,	  /* timestamps were negotiated */
	CONN_SACK = 1 << 3,	  /* the peer takes SACK blocks */
	CONN_ACK_NOW = 1 << 4,	  /* an ACK must leave this turn */
	CONN_SYN_DUE = 1 << 5,	  /* our SYN must leave (again) */
	CONN_FIN_QUEUED = 1 << 6, /* FIN follows the queued bytes */
	CONN_FIN_SENT = 1 << 7,	  /* and was sent at least once; snd_max counts it */
	CONN_PEER_DONE = 1 << 8,  /* the peer's FIN was taken in order */
	CONN_END_WAITS = 1 << 9,  /* both sides done, but bytes wait to be read */
	CONN_PROBE_DUE = 1 << 10, /* a window probe must leave */
	CONN_FORCE = 1 << 11,	  /* send a small segment although SWS avoidance would wait */
	CONN_RECOVERY = 1 << 12,  /* fast recovery (RFC 6582), until snd_una reaches recover */
	CONN_ON_NEWS = 1 << 13,
	CONN_ON_OUTPUT = 1 << 14,
	CONN_GONE = 1 << 15,   /* out of the table; freed when off both lists */
	CONN_RESEND = 1 << 16, /* the segment at snd_una must leave again */
};

/* Bytes on their way. Memory: a slab of the worker's. */
struct tcp_queue {
	/* Sending: mbufs linked by ->next, the first octet of the first is snd_una's (or iss +
	 * 1's); each mbuf's hash.usr is the sequence number of its first octet. */
	struct rte_mbuf *send_first, *send_last;
	struct rte_mbuf *send_at; /* an mbuf at or before snd_nxt, to start looking from; or NULL */
	uint32_t send_len;
	uint32_t window_seen; /* the largest the peer offered: SWS avoidance */
	uint32_t recover;     /* RFC 6582: snd_max when the loss was found */
	/* Receiving, in order and unread: mbufs linked by ->next. */
	struct rte_mbuf *read_first, *read_last;
	uint32_t read_len;
	bool read_in_place; /* some of them are still a port's receive buffers */
	/* One segment is timed at a time (RFC 6298, Karn). */
	bool timing;
	uint32_t timed_seq; /* its end */
	uint64_t timed_at_us;
	/* Ahead of a gap: pages linked by ->next in stream order, a page's hash.usr is the sequence
	 * number of its first octet; and which octets of them are there, sorted. */
	struct rte_mbuf *pages;
	bool fin_known;
	uint32_t fin_seq;
	uint8_t n_ranges;
	uint8_t newest_range; /* where the last segment went: its SACK block is first */
	struct tcp_range ranges[TCP_RANGES_MAX];
};

struct tcp_conn {
	/* Who it is, and what every segment touches. */
	struct ip_addr remote;
	uint16_t local_port, remote_port;
	uint8_t local; /* index into net's addresses */
	uint8_t state;
	uint8_t news, end;
	uint32_t flags;
	uint32_t snd_una, snd_nxt, snd_max, snd_wnd;
	uint32_t snd_wl1, snd_wl2;
	uint32_t rcv_nxt;
	uint32_t rcv_adv;   /* right edge of the window we told; never moves left */
	uint32_t rcv_acked; /* the last ACK we sent */
	uint32_t ts_recent, ts_recent_ms;
	/* line 2 */
	struct tcp_queue *q;
	void *user;
	uint32_t ts_offset;
	uint32_t srtt_us; /* 0: no sample yet */
	uint32_t rttvar_us;
	uint32_t cwnd, ssthresh;
	uint32_t rtx_due_ms, ack_due_ms, life_due_ms; /* 0: not armed */
	uint32_t seen_ms;			      /* the last segment taken from the peer */
	uint32_t news_next, output_next;	      /* lists, by index */
	uint16_t snd_mss; /* octets of options and payload a segment may carry */
	uint8_t snd_wscale, rcv_wscale;
	struct timer timer; /* at the earliest of the three, or before */
	struct net_path path;
	uint8_t tries; /* retransmissions without an answer */
	uint8_t dup_acks;
	uint8_t acks_owed; /* duplicate ACKs to send */
};

static_assert(sizeof(struct tcp_conn) <= 176, "an idle connection's share: conn and two slots");

/* Index lists: first in, first out. */
struct conn_list {
	uint32_t first, last;
};

/* A token bucket; microseconds are the tokens. */
struct bucket {
	uint64_t full_at_us;
};

/* An answer to a segment of no connection, or a challenge that outlives none. */
struct tcp_reply {
	struct flow flow;
	struct net_path path;
	uint32_t seq, ack;
	uint8_t flags;
};

/* Open addressing, linear probing, backward-shift deletion: a slot is the hash and an index. */
struct table_slot {
	uint32_t tag;
	uint32_t conn; /* index + 1; 0: empty */
};

struct tcp {
	struct tcp_config config;
	const struct net *net;
	struct postern_counters *counters;
	uint64_t now_us;
	uint32_t now_ms;
	uint32_t handshakes; /* in SYN_RCVD */
	struct slab conns;
	struct slab queues;
	struct table_slot *table;
	uint32_t table_mask;
	uint32_t n_listen;
	uint16_t listen[TCP_LISTEN_MAX];
	uint16_t next_local_port;
	uint8_t rcv_wscale;
	struct conn_list news, output;
	struct tcp_conn *handed; /* whose news the owner is looking at */
	struct bucket resets, challenges;
	uint32_t n_replies;
	struct tcp_reply replies[TCP_REPLIES_MAX];
	struct wheel wheel;
};

/* --- tcp.c: life and lists --- */
struct tcp_conn *conn_new(struct tcp *t, const struct flow *flow, uint32_t tag,
			  const struct net_path *path);
/* It is over: reported to its owner when it has one, and out of the table. */
void conn_end(struct tcp *t, struct tcp_conn *c, enum tcp_end how);
/* Out of the table, all its memory back; no report. */
void conn_drop(struct tcp *t, struct tcp_conn *c);
/* Out of the table: no segment finds it any more. */
void conn_leave(struct tcp *t, struct tcp_conn *c);
/* Frees what is out of the table, without an owner and on no list. */
void conn_free_if_over(struct tcp *t, struct tcp_conn *c);
void conn_tell(struct tcp *t, struct tcp_conn *c, unsigned news);
void conn_want_output(struct tcp *t, struct tcp_conn *c);
struct tcp_conn *conn_list_pop(struct tcp *t, struct conn_list *list, uint32_t flag);
void conn_flow(const struct tcp *t, const struct tcp_conn *c, struct flow *flow);
/* The queue, made when there is none yet; NULL: no memory. */
struct tcp_queue *conn_queue(struct tcp *t, struct tcp_conn *c);
/* Gives the queue back when nothing is in it. */
void conn_queue_settle(struct tcp *t, struct tcp_conn *c);
void conn_set_mss(struct tcp *t, struct tcp_conn *c, const struct tcp_header *syn);
/* A router told what IP MTU the path has (0: not told): RFC 1191, 8201. */
void conn_path_shrinks(struct tcp *t, struct tcp_conn *c, uint16_t mtu);
bool bucket_take(struct bucket *b, uint64_t now_us, uint32_t per_second);
/* A sentence's worth of RST; rate-limited. */
void reply_reset(struct tcp *t, const struct flow *flow, const struct net_path *path, uint32_t seq,
		 uint32_t ack, uint8_t flags);

/* The window a SYN tells: never scaled (RFC 7323 2.2). */
static inline uint16_t conn_syn_window(const struct tcp *t)
{
	return t->config.receive_window < UINT16_MAX ? (uint16_t)t->config.receive_window
						     : UINT16_MAX;
}

/* --- table.c --- */
uint32_t flow_tag(const struct tcp *t, const struct flow *flow);
struct tcp_conn *table_find(const struct tcp *t, const struct flow *flow, uint32_t tag);
void table_add(struct tcp *t, struct tcp_conn *c, uint32_t tag);
void table_remove(struct tcp *t, const struct tcp_conn *c);

/* --- receive.c: bytes from the peer --- */
/* Takes the payload of a segment that begins at seq, m's data being just the payload; cuts it to
 * what is new and within the window. Tells whether in-order bytes came. */
bool receive_payload_take(struct tcp *t, struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq);
/* Copies unread bytes out of the port's buffers, at the end of a turn. */
void receive_keep(struct tcp *t, struct tcp_conn *c);
void receive_release(struct tcp *t, struct tcp_conn *c);
/* SACK blocks for an ACK, the newest first; returns how many. */
uint8_t receive_sack(const struct tcp_conn *c, struct tcp_range *blocks, uint8_t max);
/* How far right the window's edge may go now. */
uint32_t receive_edge(const struct tcp *t, const struct tcp_conn *c);

/* --- send.c: bytes to the peer --- */
/* The first len octets are acknowledged. */
void send_acknowledged(struct tcp *t, struct tcp_conn *c, uint32_t len);
/* Copies len queued octets from sequence number seq on. */
void send_copy(struct tcp_conn *c, uint32_t seq, uint8_t *to, uint32_t len);
void send_release(struct tcp *t, struct tcp_conn *c);

/* --- timer.c --- */
static inline uint32_t ms_from(uint32_t now_ms, uint32_t delay_ms)
{
	uint32_t due = now_ms + delay_ms;

	return due ? due : 1;
}

/* Arms the wheel for the earliest deadline; a later one than armed is found when it fires. */
void conn_schedule(struct tcp *t, struct tcp_conn *c);
void conn_timer_fired(struct tcp *t, struct tcp_conn *c);
void rtt_sample(struct tcp_conn *c, uint32_t rtt_us);
uint32_t conn_rto_ms(const struct tcp_conn *c);

/* --- congestion.c: RFC 5681, 6582, 6928 --- */
void congestion_start(struct tcp_conn *c);
void congestion_acked(struct tcp_conn *c, uint32_t acked);
/* A duplicate ACK came; true: retransmit the segment at snd_una. */
bool congestion_duplicate(struct tcp *t, struct tcp_conn *c);
/* snd_una moved by acked in recovery; true: retransmit the next hole. */
bool congestion_partial(struct tcp_conn *c, uint32_t acked);
void congestion_timeout(struct tcp_conn *c);

/* Octets in flight. */
static inline uint32_t conn_flight(const struct tcp_conn *c)
{
	return c->snd_nxt - c->snd_una;
}

/* The sequence number behind the last octet queued, FIN not counted. */
static inline uint32_t conn_send_end(const struct tcp_conn *c)
{
	return c->snd_una + (c->q ? c->q->send_len : 0);
}

#endif
