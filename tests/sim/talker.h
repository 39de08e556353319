/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Clients of a mail server as a service of a simulated host: each says its lines, and keeps what
 * it is told.
 *
 * Thread: the wire's. Time: the wire's. Memory: the test's.
 */
#ifndef POSTERN_SIM_TALKER_H
#define POSTERN_SIM_TALKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/worker.h"

enum {
	TALKS_MAX = 128,
	TALK_HEARD_MAX = 16 << 10,
	TALK_CODES_MAX = 256,
};

enum talk_manner {
	TALK_IN_TURN,	/* a line when the last one's reply has come */
	TALK_PIPELINED, /* all lines in one write once greeted (RFC 2920) */
	TALK_EARLY,	/* all lines in one write at once */
	TALK_OCTETS,	/* in turn, and each octet is a segment of its own */
	TALK_DEAF,	/* pipelined, and reads nothing before it is told to */
};

struct talk {
	struct ip_addr to;
	uint16_t port;
	enum talk_manner manner;
	const char *lines;  /* each with its CRLF */
	bool leaves;	    /* with a FIN behind its last line; else it waits for the server's */
	bool resets;	    /* when that was acknowledged, in place of the FIN */
	const void *header; /* said at once, before all lines; NULL: nothing */
	size_t header_len, header_step; /* so many octets a segment; 0: all */
	bool hears;			/* TALK_DEAF: reads from now on */
	bool only_counts;		/* keeps nothing of what it hears */

	struct tcp_conn *conn;
	size_t header_said, said, seen, message_at;
	bool in_message;	  /* the last reply was 354 */
	bool opened, done, ended; /* done: the server closed */
	enum tcp_end end;
	unsigned replies;
	size_t len;
	char heard[TALK_HEARD_MAX + 1]; /* NUL-terminated */
	/* The codes of whole replies, blanks between. */
	char codes[TALK_CODES_MAX];
};

struct talks {
	uint32_t n;
	struct talk at[TALKS_MAX];
	uint32_t begun;
};

/* Its service_config is a struct talks. */
extern const struct worker_service talker_service;

/* Adds one, which begins with the wire's next turn; to be changed before that. */
struct talk *talk_begin(struct talks *t, const struct ip_addr *to, uint16_t port,
			enum talk_manner manner, const char *lines);

#endif
