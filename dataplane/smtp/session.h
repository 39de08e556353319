/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a conversation is, inside this room.
 *
 * Three lifetimes: a session as long as the conversation, an envelope from MAIL to the reply to the
 * message, a line until it is carried out.
 */
#ifndef POSTERN_SMTP_SESSION_H
#define POSTERN_SMTP_SESSION_H

#include <assert.h>

#include "base/counter.h"
#include "base/slab.h"
#include "smtp/address.h"
#include "smtp/data.h"
#include "smtp/parameter.h"
#include "smtp/smtp.h"

enum session_state {
	SESSION_FREE,
	SESSION_NEW,   /* no EHLO or HELO yet */
	SESSION_READY, /* no transaction */
	SESSION_OPEN,  /* MAIL was taken */
	SESSION_BODY,  /* the message comes */
	SESSION_HANDSHAKE,
	SESSION_CLOSING,
};

enum session_flag {
	SESSION_EXTENDED = 1 << 0, /* EHLO, not HELO */
	SESSION_NEEDS_TLS = 1 << 1,
	SESSION_TLS = 1 << 2,
	SESSION_HELD = 1 << 3,	      /* smtp_hold */
	SESSION_HELLO_APART = 1 << 4, /* the name is in a piece */
	SESSION_LINE_HERE = 1 << 5,   /* the line in pieces is whole */
	SESSION_SWALLOWING = 1 << 6,  /* a line that is too long, until its CRLF */
	SESSION_SWALLOWED = 1 << 7,   /* and that came */
	SESSION_AFTER_CR = 1 << 8,    /* the last octet swallowed is CR */
	SESSION_DONE_WITH = 1 << 9,   /* the envelope is given back at the next call */
	SESSION_SPOILED = 1 << 10,    /* the message's fault was told */
	SESSION_ENDED = 1 << 11,      /* the message's end came */
	SESSION_STARVED = 1 << 12,    /* the line found no piece */
};

enum {
	HELLO_HERE_MAX = 24,
	PIECE_OCTETS = 308,
	ENVELOPE_ROOM = 832,
	PAGE_ROOM = 2048 - 24,
};

struct smtp_session {
	uint64_t id;
	void *user;
	uint32_t opened_ms;
	uint32_t heard_ms; /* when its line last came, or octets of its message; or we answered */
	uint32_t envelope; /* SLAB_NONE: none */
	union {
		uint32_t line; /* first piece of what came of the next one; SLAB_NONE: nothing */
		uint32_t swallowed; /* octets, while swallowing */
	};
	uint16_t flags;
	uint8_t state;
	uint8_t question; /* enum smtp_step that waits for its answer, SMTP_WAIT: none */
	uint8_t offered;  /* enum smtp_offer, at the last greeting */
	uint8_t errors;	  /* commands that were none, or out of place */
	uint8_t long_lines;
	uint8_t hello_len;
	union {
		uint8_t hello[HELLO_HERE_MAX];
		uint32_t hello_piece;
	};
};

static_assert(sizeof(struct smtp_session) == 64, "an idle conversation's share");
static_assert(SMTP_ERRORS_MAX <= UINT8_MAX && SMTP_HELO_MAX <= UINT8_MAX, "counted in an octet");

/* Part of a line, or a name. */
struct piece {
	uint32_t next; /* SLAB_NONE: the last */
	uint32_t last; /* in the first: the last */
	uint32_t len;  /* in the first: of all */
	uint8_t bytes[PIECE_OCTETS];
};

static_assert(sizeof(struct piece) == 320, "whole cache lines");
static_assert((int)PIECE_OCTETS >= (int)SMTP_HELO_MAX, "a name is one piece");

/* Room for recipients: in the envelope, then in pages. */
struct page {
	struct page *next;
	uint8_t *bytes;
	uint16_t used, size;
};

struct whole_page {
	struct page page;
	uint8_t room[PAGE_ROOM];
};

static_assert(sizeof(struct whole_page) == 2048, "PAGE_ROOM");

struct place {
	struct page *page;
	uint16_t used;
};

struct envelope {
	struct data data;
	uint64_t declared_size;
	uint64_t octets;	/* of the message, as they came */
	uint64_t window_octets; /* what that was when the window for the rate began, */
	uint32_t window_ms;	/* which was then */
	uint32_t begun_ms;	/* when MAIL came */
	uint16_t n_taken, n_asked;
	struct place asked; /* where the first recipient asked about is, or will be */
	struct page *last;
	uint16_t sender_local_len, sender_len, envid_len;
	uint8_t ret;
	bool eight_bit_mime, smtputf8;
	struct smtp_transaction_user user;
	struct page first;
	uint8_t room[ENVELOPE_ROOM]; /* the sender, ENVID, recipients */
};

static_assert(sizeof(struct envelope) <= 1024, "ENVELOPE_ROOM");
static_assert(SMTP_ADDRESS_MAX + SMTP_ENVID_MAX <= ENVELOPE_ROOM, "what MAIL says fits");
static_assert(sizeof(struct smtp_recipient) + SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX +
			      SMTP_ORCPT_MAX <=
		      PAGE_ROOM,
	      "a recipient fits a page");

/* A reply but for its id: what stands before {address}, and behind it. */
struct phrase {
	uint16_t at, head_len, tail_len;
};

enum {
	PHRASES_ROOM = 12 * 1024, /* a test fills it with the longest host */
	HOST_MAX = 255,
};

struct phrases {
	struct phrase replies[REPLIES];
	struct phrase ehlo[2]; /* without TLS, with */
	size_t used;
	uint8_t bytes[PHRASES_ROOM];
};

struct smtp {
	struct smtp_settings settings; /* its host is the next one */
	char host[HOST_MAX + 1];
	struct slab sessions, envelopes, pages, pieces;
	struct siphash_key id_key;
	uint64_t next_id;
	struct postern_counters *counters;
	uint32_t now_ms;
	uint32_t idle_ms;
	/* The sweep over all sessions for those that took too long. */
	uint32_t sweep_at, sweep_piece; /* where it is, and where the call's piece of it ends */
	uint32_t swept_from_ms;
	uint64_t sweep_due_us;
	enum smtp_finding noted;
	enum reply closed_by;
	uint64_t tail_id; /* whose id_tail is */
	char id_tail[SMTP_ID_LEN + 4];
	struct address address; /* of the command being read */
	struct data_spans body;
	uint8_t line[SMTP_LINE_EXTENDED_MAX]; /* one that came in pieces */
	struct phrases phrases;
	uint64_t said[REPLIES + 1];
};

/* Of a step that stays inside. */
enum {
	STEP_ON = SMTP_CLOSE + 1, /* the command is carried out; the next one */
	STEP_ASK_FIRST,		  /* not yet: recipients before it wait for their answer */
};

static inline struct envelope *session_envelope(const struct smtp *m, const struct smtp_session *s)
{
	return s->envelope == SLAB_NONE ? NULL : slab_at(&m->envelopes, s->envelope);
}

/* --- smtp.c: life --- */
void session_end_transaction(struct smtp *m, struct smtp_session *s);
/* Forgets the client's greeting. */
void session_forget_hello(struct smtp *m, struct smtp_session *s);
/* Time begins anew for the client. */
void session_heard(struct smtp *m, struct smtp_session *s);
int session_ask(struct smtp_session *s, enum smtp_step question);
int session_note(struct smtp *m, enum smtp_finding finding);

/* --- line.c: command lines --- */
enum line_found {
	LINE_NONE,    /* all octets were taken, and none is whole */
	LINE_WHOLE,   /* with its LF */
	LINE_LONG,    /* one that was too long has ended */
	LINE_ENDLESS, /* too long even to be swallowed */
	LINE_NO_ROOM, /* for a part of one */
};

/* The next line, which stays the next until line_done. */
enum line_found line_find(struct smtp *m, struct smtp_session *s, struct span *in,
			  struct span *line);
/* It is carried out. */
void line_done(struct smtp *m, struct smtp_session *s, struct span *in, const struct span *line);
void line_release(struct smtp *m, struct smtp_session *s);

/* --- command.c: what a line says --- */
/* spoke_on: octets follow the line. */
int command_run(struct smtp *m, struct smtp_session *s, const struct span *line, bool spoke_on,
		struct smtp_out *out);
/* A line that was too long. */
int command_refuse_long(struct smtp *m, struct smtp_session *s, struct smtp_out *out);

/* --- envelope.c: sender and recipients --- */
/* NULL: no room. */
struct envelope *envelope_new(struct smtp *m, const struct address *sender,
			      const struct parameters *p);
void envelope_free(struct smtp *m, struct envelope *e);
/* A recipient to be asked about; false: no room. */
bool envelope_add(struct smtp *m, struct envelope *e, const struct address *recipient,
		  const struct parameters *p);
/* Where in the first page recipients begin. */
uint16_t envelope_begin(const struct envelope *e);
/* Walks the recipients from `from` on. */
struct smtp_recipient *envelope_next(struct place *from);
/* The n asked about: keeps those whose answer is RECIPIENT_TAKEN. */
void envelope_settle(struct smtp *m, struct envelope *e, const struct smtp_answer *answers);

/* --- reply.c: what is said --- */
void phrases_make(struct phrases *p, const struct smtp_settings *settings);
uint64_t id_make(struct smtp *m);
/* Each writes one reply; out has the room. */
void say(struct smtp *m, struct smtp_session *s, enum reply reply, struct smtp_out *out);
void say_about(struct smtp *m, struct smtp_session *s, enum reply reply, struct span address,
	       struct smtp_out *out);
void say_ehlo(struct smtp *m, const struct smtp_session *s, struct smtp_out *out);
/* What a next hop said, in up to lines_max lines; utf8: UTF-8 may be shown. */
void say_next_hop(struct smtp *m, struct smtp_session *s, const struct smtp_answer *answer,
		  unsigned lines_max, bool utf8, struct smtp_out *out);

static inline size_t out_room(const struct smtp_out *out)
{
	return out->size - out->len;
}

#endif
