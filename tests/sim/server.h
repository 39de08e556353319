/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A mail server as a service of a simulated host: it answers as it is told to, fails as it is told
 * to, and keeps all that it heard.
 *
 * Thread: the wire's. Time: the wire's. Memory: server_free gives back what was kept.
 */
#ifndef POSTERN_SIM_SERVER_H
#define POSTERN_SIM_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/worker.h"

enum {
	SERVER_RULES_MAX = 16,
	SERVER_MESSAGES_MAX = 512,
	SERVER_HEARD_MAX = 64 << 10,
};

/* What is said to a line that begins so; to ".", the end of a message; to "", a connection. */
struct server_rule {
	const char *line, *reply; /* reply: its lines with CRLF; NULL: silence */
	unsigned times;		  /* how often it holds; 0: always */
};

enum server_cut { SERVER_RESETS, SERVER_FINISHES };

struct server {
	/* What to do; all zero: take everything. */
	struct server_rule rules[SERVER_RULES_MAX];
	unsigned n_rules;
	const char *offers; /* EHLO's lines, "250-X\r\n" each; NULL: the usual ones */
	bool lmtp;
	bool stops_reading; /* in a message */
	bool is_deaf;	    /* to all */
	uint64_t pause_us;  /* behind every command, before it hears the next */
	/* Within a message, with who says nothing; then it shuts down. 0: without end. */
	uint64_t patience_us;
	bool says_which;      /* quotes the Subject field of what it stores */
	uint64_t falls_in_us; /* from the start: all its connections are reset then; 0: never */
	/* Ends each connection when it has said so many octets on it; 0: never. */
	size_t cut_after;
	enum server_cut cut;

	/* What happened. */
	unsigned connections, open, most_open;
	unsigned messages, truncated; /* truncated: connections that ended within one */
	unsigned refused_messages;
	char *message[SERVER_MESSAGES_MAX]; /* dot-stuffed, as it came, NUL-terminated */
	size_t message_len[SERVER_MESSAGES_MAX];
	size_t heard_len;
	char heard[SERVER_HEARD_MAX + 1]; /* command lines, of all connections */
	size_t said_most;		  /* octets said on one connection */
};

/* Its service_config is a struct server. */
extern const struct worker_service server_service;

void server_rule(struct server *s, const char *line, const char *reply, unsigned times);
/* Forgets what was heard and what to do. */
void server_free(struct server *s);

#endif
