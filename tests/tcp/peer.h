/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A peer played by hand: segments are made one by one, given to a struct tcp, and its answers
 * taken apart.
 *
 * Thread: the test's. Time: p->now_us, moved by hand. Memory: pools of the EAL's, all of which
 * must be full again at the end.
 */
#ifndef POSTERN_TESTS_TCP_PEER_H
#define POSTERN_TESTS_TCP_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "tcp/header.h"
#include "tcp/tcp.h"

enum {
	SERVICE_PORT = 25,
	PEER_PORT = 40000,
	PEER_MSS = 1000,
	PEER_WAITING = 3 * PEER_MSS,
	PEER_BUFFERS = 1023,
	PEER_BYTES_MAX = 1 << 18,
};

/* What they say: a line, and octets that tell their place. */
extern const char hello[];
extern uint8_t pattern[];
enum { HELLO = 21, PATTERN = 65536 };

struct peer {
	struct tcp *tcp;
	struct net net;
	struct postern_counters counters;
	struct rte_mempool *kept, *frames;
	uint64_t now_us;

	/* Our end of the conversation, as the peer sees it. */
	struct flow flow;     /* from tcp's side: local is the service */
	struct net_path path; /* by which tcp gets our segments */
	struct net_path way;  /* and by which we are to get tcp's */
	uint32_t seq;	      /* next we send */
	uint32_t ack;	      /* next we expect */
	uint16_t window;      /* field we send */
	bool ts;	      /* we send timestamps */
	uint32_t ts_value, ts_echo;
	bool sack;	     /* we permit SACK */
	uint8_t wscale;	     /* our SYN offers it; 0: none, unless */
	bool wscale_of_none; /* it offers just that */
	uint16_t mss;	     /* and this */
	uint8_t n_sack;	     /* blocks we send with each ACK */
	struct tcp_range sack_blocks[3];
	uint8_t ecn; /* the IP header's two bits in what we send */

	/* What tcp told its owner. */
	struct tcp_conn *conn;
	unsigned news; /* gathered since peer_news_clear */
	enum tcp_end end;
	bool keep_unread; /* the owner reads nothing */
	uint8_t *read;	  /* what the owner read */
	size_t read_len;

	/* The last answer. */
	struct tcp_header got;
	struct flow got_flow;
	uint8_t got_payload[2048];
	uint32_t got_len;
	uint8_t got_ecn;
};

struct peer_options {
	bool v6;
	uint32_t conns; /* 0: 16 */
	uint32_t handshakes;
	uint32_t time_waits;
	uint32_t receive_window; /* 0: 65535 */
	uint32_t send_queue;	 /* 0: 65536 */
	uint32_t idle_timeout_ms;
	uint32_t user_timeout_ms;
	uint8_t without;
	uint16_t active_ports; /* 0: 8 */
	struct clients *clients;
	uint32_t client_half_open, client_conns;
	uint16_t worker;
};

void peer_init(struct peer *p, const struct peer_options *options);
/* Frees tcp and asserts that every buffer is back. */
void peer_release(struct peer *p);

/* Sends a segment at p->seq, acknowledging p->ack, and lets tcp and its owner act. p->seq moves
 * on by what it occupies. */
void peer_send(struct peer *p, uint8_t flags, const void *payload, uint32_t len);
/* The same at any numbers; p->seq stays. */
void peer_send_at(struct peer *p, uint8_t flags, uint32_t seq, uint32_t ack, const void *payload,
		  uint32_t len);
/* The same at p->seq, with these four octets for options. */
void peer_send_options(struct peer *p, uint8_t flags, const uint8_t options[4]);
/* Puts a segment into the burst peer_burst_end gives to tcp as one. */
void peer_burst_add(struct peer *p, uint8_t flags, const void *payload, uint32_t len);
void peer_burst_end(struct peer *p);
/* The same, but the owner has not looked yet. */
void peer_burst_give(struct peer *p);

/* Takes tcp's next segment apart into p->got; false: it has nothing to say. */
bool peer_hear(struct peer *p);
/* Takes apart all it has to say, and leaves the last of it in p->got; returns how many. */
unsigned peer_hear_all(struct peer *p);
/* The same, and the peer acknowledges it. */
void peer_acknowledge_all(struct peer *p);
/* Sends this at those numbers so many times; returns how many answers tcp had. */
unsigned peer_count_answers(struct peer *p, unsigned times, uint8_t flags, uint32_t seq,
			    uint32_t ack, const void *payload, uint32_t len);
/* Asserts that tcp says just this next: flags, length; and takes p->ack along when it is new. */
void peer_expect(struct peer *p, uint8_t flags, uint32_t len);
void peer_expect_silence(struct peer *p);

/* Connections tcp still has, once it has said all it had to; and those in TIME-WAIT. */
uint32_t peer_conns(struct peer *p);
uint32_t peer_time_waits(struct peer *p);

/* Moves time and runs the timers. */
void peer_wait_ms(struct peer *p, uint32_t ms);
/* The same second by second, until the end or for so many; the peer hears all, and answers each
 * segment by an ACK if it lives. Returns how many seconds that took. */
unsigned peer_wait_for_end(struct peer *p, unsigned most_s, bool lives);

/* The peer's SYN and the answer to it, or our SYN: p->ack and p->ts_echo answer what was heard.
 * With options on the peer's SYN as set in p. */
void peer_half_open(struct peer *p);
void peer_half_open_actively(struct peer *p);

/* The whole handshake, from either end; at once, or with such a round trip. */
void peer_open(struct peer *p);
void peer_open_after_ms(struct peer *p, uint32_t rtt_ms);
void peer_open_actively(struct peer *p);
void peer_open_actively_after_ms(struct peer *p, uint32_t rtt_ms);

/* peer_init without options, and peer_open; with timestamps, of which the first is this. */
void peer_init_open(struct peer *p);
void peer_init_open_ts(struct peer *p, uint32_t ts_value);

/* A connection whose window of so many KiB is full, because its owner reads nothing. */
void peer_init_full(struct peer *p, unsigned kib);
/* The peer shuts its window, and PEER_WAITING octets wait for it to open. */
void peer_shut_window(struct peer *p);

/* Our side closes, the peer closes after it: TIME-WAIT is ours. */
void peer_part(struct peer *p);

/* The owner acts (reads unless keep_unread); called by the above. */
void peer_owner(struct peer *p);
void peer_news_clear(struct peer *p);

#endif
