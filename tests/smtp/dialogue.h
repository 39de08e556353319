/* SPDX-License-Identifier: BSD-3-Clause */
/* Dialogues as text: tests/dialogues/README.md tells what may stand in a file. */
#ifndef POSTERN_TESTS_SMTP_DIALOGUE_H
#define POSTERN_TESTS_SMTP_DIALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "smtp/smtp.h"

enum item_kind {
	ITEM_WRITE,  /* C: what the client writes at once, having read all replies */
	ITEM_EVENT,  /* S:, N:, !: what happens */
	ITEM_OWNER,  /* O: what the owner does */
	ITEM_SECONDS /* T: time that passes */
};

struct item {
	enum item_kind kind;
	char *bytes; /* an event's with its "S: " */
	size_t len;
	bool decides; /* the client has to wait for the reply to this write */
	unsigned line;
};

/* What the oracles say: a row, or a next hop's code and text. */
struct verdict {
	enum reply reply;
	uint16_t code;
	char *text;
};

struct known {
	char *address;
	struct verdict verdict;
};

enum { DIALOGUE_ITEMS = 1200, DIALOGUE_KNOWN = 16 };

struct dialogue {
	char *name, *file;
	struct smtp_config config;
	unsigned open_flags;
	enum reply turned_away; /* in place of a conversation; else REPLY_NONE */
	bool waits;		/* the client never writes ahead */
	struct known known[DIALOGUE_KNOWN];
	size_t n_known;
	struct verdict data, delivery;
	bool tls_ready;
	bool speaks_on; /* octets arrive while DATA or STARTTLS is being decided */
	struct item items[DIALOGUE_ITEMS];
	size_t n_items;
	struct dialogue *next;
};

/* All dialogues of all *.txt files of a folder, in order; does not return when there is none or one
 * is malformed. */
struct dialogue *dialogues_load(const char *folder);
void dialogues_free(struct dialogue *first);

/* The row of a name, or REPLY_NONE. */
enum reply reply_named(const char *name);

#endif
