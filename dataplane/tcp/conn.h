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
#include "base/tags.h"
#include "base/wheel.h"
#include "tcp/clients.h"
#include "tcp/cubic.h"
#include "tcp/header.h"
#include "tcp/limits.h"
#include "tcp/seq.h"
#include "tcp/tcp.h"
#include "tcp/time_wait.h"

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
	CONN_FIN_SENT = 1 << 7,	  /* and was sent at least once; snd_nxt counts it */
	CONN_PEER_DONE = 1 << 8,  /* the peer's FIN was taken in order */
	CONN_END_WAITS = 1 << 9,  /* both sides done, but bytes wait to be read */
	CONN_PROBE_DUE = 1 << 10, /* a window probe must leave */
	CONN_FORCE = 1 << 11,	  /* one segment may leave though a window would wait */
	CONN_RECOVERY = 1 << 12,  /* fast recovery, until snd_una reaches recover */
	CONN_ON_NEWS = 1 << 13,
	CONN_ON_OUTPUT = 1 << 14,
	CONN_GONE = 1 << 15,	   /* out of the table; freed when off both lists */
	CONN_LOSS = 1 << 16,	   /* after a retransmission timeout, until the same */
	CONN_TAIL_PROBE = 1 << 17, /* a tail loss probe must leave (RFC 8985 7) */
	CONN_COOKIE = 1 << 18,	   /* a SYN cookie opened it */
	CONN_STARVED = 1 << 19,	   /* the pool had nothing for tcp_send, and no ACK is to come: the
				      retransmission timer will tell TCP_ROOM */
	CONN_PROBED = 1 << 20,	   /* a tail was probed, and no round trip timed since */
	CONN_CUBIC = 1 << 21,	   /* cwnd grows by CUBIC; without it by NewReno */
	CONN_OVER_LIMIT = 1 << 22, /* its client had too many when it opened */
	CONN_HEARD = 1 << 23,	   /* the peer acknowledged something we sent since it opened */
	CONN_EARLY = 1 << 24,	   /* it sent bytes before that */
	CONN_SYN_LOST = 1 << 25,   /* a timeout sent our SYN again */
	CONN_PROBE_OPEN = 1 << 26, /* the queue went before it was known what a tail probe did */
	CONN_UNHEARD = 1 << 27,	   /* an orphan's last bytes leave once: no ACK can come */
	CONN_UNPROVED = 1 << 29,   /* a cookie was all that its handshake brought back */
	CONN_TS_STALE = 1 << 28,   /* ts_recent is too old to be evidence (RFC 7323 5.5) */
};

/* A scoreboard's ring has one of these sizes; the largest bounds the segments under way. */
enum { SENT_SIZES = 3 };
static const uint16_t sent_sizes[SENT_SIZES] = {8, 64, 512};

enum sent_flag {
	SENT_SACKED = 1 << 0, /* the peer has it */
	SENT_LOST = 1 << 1,   /* judged lost, and not sent again since */
	SENT_AGAIN = 1 << 2,  /* was sent more than once */
	SENT_FIN = 1 << 3,    /* its last number is our FIN */
};

/* A segment under way: what RACK must know of it. In flight while neither SACKED nor LOST. */
struct tcp_sent {
	uint32_t seq;
	uint32_t sent_us; /* the last time, modulo 2^32 */
	uint16_t len;	  /* numbers it takes up, FIN included */
	uint8_t flags;
};

/* The scoreboard: segments under way in the order of their numbers, in a ring that grows. */
struct scoreboard {
	struct tcp_sent *ring;
	uint16_t first, count;
	uint8_t size;  /* index into sent_sizes */
	uint32_t pipe; /* octets in flight */
	uint16_t n_lost, n_sacked;
};

/* RFC 8985 5.2: of the segments delivered, the one sent last; and what to make of reordering. */
struct rack {
	uint32_t sent_us, end_seq, rtt_us; /* rtt_us 0: none yet */
	uint32_t min_rtt_us;
	uint32_t fack;	       /* the highest number delivered */
	uint8_t reorder_steps; /* window in quarters of min_rtt_us; RFC 8985 6.2, step 4 */
	uint8_t reorder_keep;  /* for so many recoveries without a DSACK */
	bool reordering;       /* was seen */
	uint32_t dsack_round;  /* snd_nxt when steps were last raised */
	uint64_t due_us;       /* when some segment will count as lost; 0: none waits */
};

/* Tail loss probe (RFC 8985 7). */
struct tail_probe {
	uint64_t due_us; /* 0: not armed */
	bool sent;	 /* and its end is not acknowledged */
	bool again;	 /* it repeated a segment */
	uint32_t end_seq;
};

/* Proportional rate reduction (RFC 6937). */
struct prr {
	uint32_t flight; /* octets outstanding when recovery began */
	uint32_t delivered, out;
};

/* Bytes on their way. Memory: a slab of the worker's. */
struct tcp_queue {
	/* Sending: mbufs linked by ->next, the first octet of the first is snd_una's (or iss +
	 * 1's); each mbuf's hash.usr is the sequence number of its first octet. */
	struct rte_mbuf *send_first, *send_last;
	struct rte_mbuf *send_at; /* the one bytes were last copied from; or NULL */
	uint32_t send_len;
	uint32_t orphan_una;  /* snd_una when its life as an orphan was last measured out */
	uint32_t progress_ms; /* when what waits began to wait, or some of it was acknowledged */
	uint32_t window_seen; /* the largest the peer offered: SWS avoidance */
	struct scoreboard sent;
	struct rack rack;
	struct tail_probe probe;
	struct prr prr;
	struct cubic cubic;
	uint64_t again_us; /* when something was last sent again */
	uint32_t recover;  /* snd_nxt when the last loss was found */
	uint32_t filled;   /* what lies before was sent with cwnd in use */
	uint32_t credited; /* octets duplicate ACKs stand for, without SACK, and no ACK covers */
	uint8_t dup_acks;
	bool answered; /* since the last timeout an ACK came alone: something passes */
	/* Receiving, in order and unread: mbufs linked by ->next. */
	struct rte_mbuf *read_first, *read_last;
	uint32_t read_len;
	bool read_in_place; /* some of them are still a port's receive buffers */
	/* Ahead of a gap: pages linked by ->next in stream order, a page's hash.usr is the sequence
	 * number of its first octet; and which octets of them are there, sorted. */
	struct rte_mbuf *pages;
	struct rte_mbuf *page_last; /* the one last found; or NULL */
	bool fin_known;
	uint32_t fin_seq;
	uint8_t n_ranges, n_recent;
	/* A number of each block where segments went last, no two in one: the latest first. */
	uint32_t recent[TCP_SACK_BLOCKS_MAX];
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
	uint32_t snd_una, snd_nxt, snd_wnd;
	uint32_t snd_wl1;
	uint32_t rcv_nxt;
	uint32_t rcv_adv;   /* right edge of the window we told; never moves left */
	uint32_t rcv_acked; /* the last ACK we sent */
	uint32_t ts_recent;
	/* line 2 */
	struct tcp_queue *q;
	void *user;
	uint32_t ts_offset;
	uint32_t srtt_us;   /* 0: no sample yet */
	uint32_t rttvar_us; /* until the first sample: when the SYN left */
	uint32_t cwnd, ssthresh;
	uint32_t rtx_due_ms, ack_due_ms, life_due_ms; /* 0: not armed */
	uint32_t seen_ms;			      /* the last segment taken from the peer */
	uint32_t news_next, output_next;	      /* lists, by index */
	uint16_t snd_mss;   /* octets of options and payload a segment may carry */
	uint16_t sent;	    /* when bytes last left, in TCP_SENT_UNIT_MS, modulo 2^16 */
	struct timer timer; /* at the earliest of its deadlines, or before */
	struct net_path path;
	uint8_t tries : 4;   /* retransmissions without an answer */
	uint8_t backoff : 4; /* timeouts since a round trip was timed */
	uint8_t snd_wscale : 4, rcv_wscale : 4;
	uint8_t acks_owed;  /* duplicate ACKs to send */
	uint8_t challenged; /* when last, in TCP_CHALLENGE_EVERY_MS, modulo 256 */
};

static_assert(sizeof(struct tcp_conn) <= 168,
	      "an idle connection's share; 12 octets of table beside it");

/* Index lists: first in, first out. */
struct conn_list {
	uint32_t first, last;
};

enum budget_kind {
	BUDGET_RESETS, /* for segments of no connection */
	BUDGET_ERRORS, /* of ICMP that are looked at */
	BUDGETS,
};

/* What is left until a period's end. */
struct budget {
	uint64_t until_us;
	uint32_t left;
};

/* A segment of no connection: an answer to one, an RST, a cookie. */
struct tcp_reply {
	struct flow flow;
	struct net_path path;
	struct tcp_header header;
};

struct tcp {
	struct tcp_config config;
	const struct net *net;
	struct postern_counters *counters;
	uint64_t now_us;
	uint32_t now_ms;
	uint32_t handshakes;	   /* in SYN_RCVD */
	uint32_t orphans;	   /* in the table without an owner */
	uint64_t cookies_until_us; /* those made may still come back */
	struct slab conns;
	struct slab queues;
	struct slab rings[SENT_SIZES]; /* of scoreboards */
	struct tags table;	       /* of conns, by flow_tag */
	struct time_waits time_waits;
	uint32_t n_listen;
	uint16_t listen[TCP_LISTEN_MAX];
	uint16_t next_local_port;
	uint8_t rcv_wscale;
	struct conn_list news, output;
	struct tcp_conn *handed; /* whose news the owner is looking at */
	struct budget budgets[BUDGETS];
	/* Of the pool, since pool_look: octets before it is low, and what a connection may have. */
	uint64_t pool_spare;
	uint32_t window_share, queue_share, share_least;
	bool pool_is_dry; /* but for what is to be sent */
	uint32_t n_replies;
	struct tcp_reply replies[TCP_REPLIES_MAX];
	struct wheel wheel;
};

/* --- tcp.c: life and lists --- */
struct tcp_conn *conn_new(struct tcp *t, const struct flow *flow, uint32_t tag,
			  const struct net_path *path);
/* A connection that came counts, as its state says, among our handshakes and of its client. */
void conn_count(struct tcp *t, struct tcp_conn *c);
void conn_uncount(struct tcp *t, const struct tcp_conn *c);
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
/* Frees a list linked by ->next, which need not be one chain. */
void mbufs_free(struct rte_mbuf *m);
/* The queue, made when there is none yet; NULL: no memory. */
struct tcp_queue *conn_queue(struct tcp *t, struct tcp_conn *c);
/* Gives the queue back when nothing is in it. */
void conn_queue_settle(struct tcp *t, struct tcp_conn *c);
/* What the MTU of the interface leaves, options and payload. */
uint16_t interface_mss(const struct tcp *t, uint8_t port, const struct ip_addr *remote);
void conn_set_mss(struct tcp *t, struct tcp_conn *c, const struct tcp_header *syn);
/* Its segments leave by this path from now on. */
void conn_set_path(struct tcp *t, struct tcp_conn *c, const struct net_path *path);
/* A router told what IP MTU the path has (0: not told): RFC 1191, 8201. */
void conn_path_shrinks(struct tcp *t, struct tcp_conn *c, uint16_t mtu);
/* Segments from now on, and those under way, have no more than this. */
void conn_mss_shrinks(struct tcp *t, struct tcp_conn *c, uint16_t mss);
/* A segment of no connection, to leave this turn; false: too many leave already. */
bool reply(struct tcp *t, const struct flow *flow, const struct net_path *path,
	   const struct tcp_header *h);
/* An RST of a connection's own. */
void conn_reset(struct tcp *t, const struct tcp_conn *c);
void reply_reset(struct tcp *t, const struct flow *flow, const struct net_path *path, uint32_t seq,
		 uint32_t ack, uint8_t flags);

/* A flow's TIME-WAIT; NULL: none. */
static inline struct time_wait *time_wait_find(const struct tcp *t, const struct flow *flow,
					       uint32_t tag)
{
	return t->time_waits.entries.in_use ? time_wait_look_up(t, flow, tag) : NULL;
}

/* How many connections may be in the table without an owner. */
static inline uint32_t orphans_max(const struct tcp *t)
{
	uint32_t max = t->config.conns / TCP_ORPHANS_SHARE;

	return max ? max : 1;
}

/* A connection's periods of TCP_CHALLENGE_EVERY_MS, modulo 256. Each has its own: when one's begin,
 * which its peer can find out, tells nothing of another's. */
static inline uint8_t challenge_period(const struct tcp *t, const struct tcp_conn *c)
{
	return (uint8_t)((t->now_ms + c->ts_offset) / TCP_CHALLENGE_EVERY_MS);
}

/* The window a SYN tells: never scaled (RFC 7323 2.2). */
static inline uint16_t conn_syn_window(const struct tcp *t)
{
	return t->config.receive_window < UINT16_MAX ? (uint16_t)t->config.receive_window
						     : UINT16_MAX;
}

/* The initial number a flow has now (RFC 6528). */
uint32_t flow_iss(const struct tcp *t, const struct flow *flow);
/* A flow's timestamps count from here (RFC 7323 5.4). */
uint32_t flow_ts_offset(const struct tcp *t, const struct flow *flow);

/* --- budget.c --- */
/* False: this period's is used up. */
bool budget_take(struct tcp *t, enum budget_kind kind);

/* --- cookie.c --- */
/* Whether a SYN can only be answered by a cookie. */
bool cookie_is_due(const struct tcp *t);
void cookie_answer(struct tcp *t, const struct flow *flow, const struct net_path *path,
		   const struct tcp_header *syn);
/* Whether an ACK brings back a cookie of ours; syn is then what the client's SYN must have been. */
bool cookie_check(struct tcp *t, const struct flow *flow, const struct tcp_header *ack,
		  struct tcp_header *syn);
/* Whether the ACK that brings a cookie back echoes a timestamp of ours, too. */
bool cookie_is_stamped(const struct tcp *t, const struct tcp_conn *c, const struct tcp_header *ack);

/* --- table.c --- */
uint32_t flow_tag(const struct tcp *t, const struct flow *flow);
struct tcp_conn *table_find(const struct tcp *t, const struct flow *flow, uint32_t tag);
void table_add(struct tcp *t, struct tcp_conn *c, uint32_t tag);
void table_remove(struct tcp *t, const struct tcp_conn *c);
/* Has in the cache what a segment will need; its tag's bucket should be there already. */
void table_prefetch_conn(const struct tcp *t, uint32_t tag);

/* --- receive.c: bytes from the peer --- */
/* Takes the payload of a segment that begins at seq, m's data being just the payload; cuts it to
 * what is new and within the window. Tells whether in-order bytes came. */
bool receive_payload_take(struct tcp *t, struct tcp_conn *c, struct rte_mbuf *m, uint32_t seq);
/* Copies unread bytes out of the port's buffers, at the end of a turn. */
void receive_keep(struct tcp *t, struct tcp_conn *c);
void receive_release(struct tcp *t, struct tcp_conn *c);
/* Its FIN came, at fin_seq, ahead of bytes. False: no memory. */
bool receive_fin_ahead(struct tcp *t, struct tcp_conn *c, uint32_t fin_seq);
/* The peer's FIN was taken: what it sent beyond is no part of the stream. */
void receive_end(struct tcp_conn *c);
/* SACK blocks for an ACK, those where segments went last first; returns how many. */
uint8_t receive_sack(const struct tcp_conn *c, struct tcp_range *blocks, uint8_t max);
/* How far right the window's edge may go now. */
uint32_t receive_edge(const struct tcp *t, const struct tcp_conn *c);

/* --- pool.c --- */
/* How things stand; at the beginning of a turn. */
void pool_look(struct tcp *t);
/* A buffer; NULL: but for a part of the pool, one in but_for, all are in use. */
struct rte_mbuf *pool_take(const struct tcp *t, uint32_t but_for);
/* Whether who left `had` octets unread may have a buffer more for the next len. */
bool pool_lets(struct tcp *t, uint32_t had, uint32_t len);

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

/* The earliest of all its deadlines; WHEEL_NEVER: it has none. */
uint64_t conn_deadline_us(const struct tcp *t, const struct tcp_conn *c);
/* When a deadline in milliseconds is, in microseconds. */
uint64_t conn_due_us(const struct tcp *t, uint32_t due_ms);
/* Arms the wheel for the earliest deadline; a later one than armed is found when it fires. */
void conn_schedule(struct tcp *t, struct tcp_conn *c);
/* Has it known when its peer was silent for too long, or for longer than times can be told apart.
 */
void conn_watch_silence(struct tcp *t, struct tcp_conn *c);
void conn_timer_fired(struct tcp *t, struct tcp_conn *c);
void rtt_sample(struct tcp_conn *c, uint32_t rtt_us);
uint32_t conn_rto_ms(const struct tcp_conn *c);
/* Its owner is told to try again after a while; or has something under way after all. */
void conn_starve(struct tcp *t, struct tcp_conn *c);
void conn_starves_no_more(struct tcp_conn *c);

/* --- scoreboard.c --- */
/* What one ACK delivered. */
struct delivery {
	uint32_t flight; /* octets outstanding when it came */
	uint32_t pipe;	 /* those of them in flight */
	uint32_t acked;	 /* how far snd_una moves */
	uint32_t octets; /* acknowledged or SACKed for the first time */
	uint32_t rtt_us; /* of the youngest of those that time a round trip; 0: none */
	bool sacked;	 /* a block told something new */
	bool dsack;	 /* it reported octets that came twice (RFC 2883) */
	bool lost;	 /* and some segment now counts as lost */
};

/* Enters a segment of len numbers sent just now; NULL: the ring cannot grow. */
struct tcp_sent *sent_push(struct tcp *t, struct tcp_conn *c, uint32_t seq, uint16_t len,
			   uint8_t flags);
static inline struct tcp_sent *sent_at(const struct scoreboard *b, uint16_t i);
/* Sent once more just now. */
void sent_again(struct tcp *t, struct tcp_conn *c, struct tcp_sent *s);
void sent_mark_lost(struct tcp_conn *c, struct tcp_sent *s);
/* Forgets SACKs the peer seems to have taken back. */
void sent_doubt_sacks(struct tcp_conn *c);
/* All that is not SACKED counts as lost, without such SACKs. */
void sent_mark_all_lost(struct tcp_conn *c);
/* Cuts the i-th after len numbers, so that it can be sent again in pieces. False: no room. */
bool sent_split(struct tcp *t, struct tcp_conn *c, uint16_t i, uint16_t len);
/* Takes in an ACK and its SACK blocks, before snd_una moves. */
void sent_delivered(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
		    struct delivery *d);
void sent_release(struct tcp *t, struct tcp_conn *c);

/* When it was sent last. */
static inline uint64_t sent_us(const struct tcp *t, const struct tcp_sent *s)
{
	return t->now_us - ((uint32_t)t->now_us - s->sent_us);
}

/* The timestamp it then had: an ACK that echoes an earlier one answers another (RFC 7323 4.1). */
static inline uint32_t sent_timestamp(const struct tcp *t, const struct tcp_conn *c,
				      const struct tcp_sent *s)
{
	return (uint32_t)(sent_us(t, s) / 1000) + c->ts_offset;
}

/* --- rack.c: RFC 8985 --- */
void rack_delivered(struct tcp *t, struct tcp_conn *c, const struct tcp_header *h,
		    const struct tcp_sent *s);
/* Marks what counts as lost by now; arms rack.due_us for what may yet. True: something was. */
bool rack_find_lost(struct tcp *t, struct tcp_conn *c);
/* Marks what a timeout shows to be lost. */
void rack_timeout(struct tcp *t, struct tcp_conn *c);
/* All that was lost is repaired. */
void rack_recovered(struct tcp_conn *c);
/* The reordering window grows by what a DSACK shows to have been sent again for nothing. */
void rack_saw_dsack(struct tcp_conn *c);
/* The retransmission timer runs already. */
void probe_arm(struct tcp *t, struct tcp_conn *c);
/* Whether the ACK shows that a probe repaired a loss. */
bool probe_acked(struct tcp_conn *c, const struct tcp_header *h, const struct delivery *d,
		 bool duplicate);

/* --- congestion.c: RFC 5681, 6928, 6937, 9438 --- */
void congestion_start(struct tcp_conn *c);
/* What an ACK means for cwnd, in recovery and out of it. */
void congestion_ack(struct tcp *t, struct tcp_conn *c, const struct delivery *d);
void congestion_timeout(struct tcp_conn *c);
/* A loss was repaired before it was found. */
void congestion_reduce(struct tcp *t, struct tcp_conn *c, const struct delivery *d);
/* All was sent that may be sent now. */
void congestion_sent(struct tcp_conn *c);
/* Bytes are to leave, none being under way: what is known of the path may be old (RFC 5681 4.1). */
void congestion_restart(struct tcp *t, struct tcp_conn *c);

static inline struct tcp_sent *sent_at(const struct scoreboard *b, uint16_t i)
{
	return &b->ring[(b->first + i) & (sent_sizes[b->size] - 1)];
}

/* Octets outstanding, whatever became of them. */
static inline uint32_t conn_flight(const struct tcp_conn *c)
{
	return c->snd_nxt - c->snd_una;
}

/* Octets in flight. Without SACK each duplicate ACK says that there is a segment less. */
static inline uint32_t conn_pipe(const struct tcp_conn *c)
{
	uint32_t pipe = c->q->sent.pipe, credited = c->q->credited;

	return pipe > credited ? pipe - credited : 0;
}

/* The sequence number behind the last octet queued, FIN not counted. */
static inline uint32_t conn_send_end(const struct tcp_conn *c)
{
	return c->snd_una + (c->q ? c->q->send_len : 0);
}

#endif
