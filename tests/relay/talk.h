/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A test's talk with a hop: what the server says goes in, what came out and what was found is
 * compared. Every talk is had in several manners: the server's octets whole or one by one, room for
 * all commands or for hardly one.
 */
#ifndef POSTERN_TESTS_RELAY_TALK_H
#define POSTERN_TESTS_RELAY_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/hop.h"

enum {
	TALK_SENT_MAX = 64 * 1024,
	TALK_FOUND_MAX = 4096,
	TALK_RECIPIENTS_MAX = 200,
	TALK_RECIPIENT_MAX = 1024,
};

struct manner {
	const char *name;
	bool octet_by_octet, little_room;
};

extern const struct manner talk_manners[];
extern const size_t talk_n_manners;

struct talk {
	const struct manner *manner;
	struct hop h;
	struct hop_client client;
	struct hop_mail mail;
	size_t n_recipients, n_given;
	_Alignas(8) uint8_t recipients[TALK_RECIPIENTS_MAX][TALK_RECIPIENT_MAX];
	size_t sent_len;
	uint8_t sent[TALK_SENT_MAX];
	char found[TALK_FOUND_MAX];
};

/* Opens: nothing was said yet, but PROXY v2's header. The client is [2001:db8::7]:40000, which
 * said EHLO client.example and reached 192.0.2.25:25; the mail is from a@example.org. */
void talk_open(struct talk *t, const struct manner *manner, enum pool_protocol protocol,
	       enum pool_identity identity);
/* Greets and offers what the words say ("PIPELINING", ...), to HOP_READY. */
void talk_greet(struct talk *t, const char *const *offers);
/* Adds a recipient "local@domain", or without a domain. */
struct smtp_recipient *talk_recipient(struct talk *t, const char *address, unsigned notify,
				      const char *orcpt);
void talk_no_recipients(struct talk *t);
/* Begins t->mail for t->client. */
void talk_begin(struct talk *t);
/* Feeds what the server says. */
void talk_server(struct talk *t, const char *text);
void talk_server_octets(struct talk *t, const void *octets, size_t len);
/* All that was sent since the last time. */
void talk_expect_sent(struct talk *t, const char *text);
/* All steps but HOP_WAIT that came since the last time, one behind the other: "READY", "RCPT 250",
 * "ASKED", "WANTED", "ANSWERED", "FAILED UNASKED". */
void talk_expect(struct talk *t, const char *found);
void talk_expect_reply(const struct talk *t, unsigned code, const char *text);
void talk_data(struct talk *t);
void talk_reset(struct talk *t);
void talk_end(struct talk *t);
void talk_quit(struct talk *t);

#endif
