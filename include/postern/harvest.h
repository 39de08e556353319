/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Harvest: who is guessing recipients. A sequential test (threshold random walk; Jung, Paxson,
 * Berger, Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE S&P
 * 2004) for each client and for the prefixes it comes from, in one table that all workers share.
 *
 * The derivation. With p0 the share of unknown recipients among an honest sender's, p1 among a
 * guesser's, an unknown recipient multiplies the likelihood ratio of guesser to honest by p1 / p0,
 * a good one by (1 - p1) / (1 - p0). Scores are its logarithm. Wald's bound for flagging an honest
 * client with probability alpha at most and a guesser with 1 - beta at least is the line
 *
 *     ln((1 - beta) / alpha).
 *
 * With p0 = 0.03, p1 = 0.9, alpha = 1e-5, beta = 0.01: an unknown one adds ln(0.9 / 0.03) = 3.40, a
 * good one takes ln(0.97 / 0.1) = 2.27, and the line is ln(0.99 / 1e-5) = 11.5, so the fourth
 * unknown in a row crosses it. Below zero the walk does not begin anew but goes on down to a floor
 * of -35: history is credit. Of honest clients with 5 % unknown the walk flags 1.3 in 10^5, nearly
 * all at first contact; if unknown ones counted double beyond 4 a day in place of 5, 2.6.
 *
 * A good recipient is a loan until its message is delivered. What it takes at once is three tenths
 * of an unknown one, so a list with less than 23 % unknown, or 13 % where they count double, goes
 * down on all its connections at once, long before the first message is through: of those with 5 %,
 * at first contact and on 20 connections, 6 in 10^4 are flagged; were it a quarter, 14. An unknown
 * one counts for all of them as well, so that who only knows addresses buys little: from the floor
 * to a raised line it is 69.5, and as the sixth counts double, 13 unknown ones behind however many
 * that he knows; one more for every seven that he mixes in between.
 *
 *     evidence                           adds             settled by
 *     unknown recipient                  3.40             a delivered one -2.27, once a day a pair
 *       beyond 5 and a quarter of the    6.80
 *       recipients delivered this day
 *       that 5 clients with credit mail  0.21
 *     good recipient, to its client      -1.02, at once   given back, but for a delivered one
 *       and to its own transaction       its line +1.25
 *     trap                               11.5
 *     early talk, abuse; VRFY            5.75; 1.13
 *
 *     line of a client                   11.5 (/32, /64), raised by 23 at most
 *     of a prefix                        34.5 (/24, /56), 69 (/48), of a client 11.5 at most
 *     evidence halves in a day, credit in two weeks; a level of the TTL less in a quiet week
 *     TTL 5 minutes, doubling to 24 hours, to 4 for who was delivered for
 *
 * Thread: a worker's functions by any, at once; the rest by control, beside workers.
 * Time: given, seconds since the epoch; a time before the last one counts as no time passed.
 * Memory: harvest_new's, all of it at once: 32 octets an entry, three generations of two filters. A
 * full bucket of eight gives up the oldest of those whose score says least; one whose score has
 * just moved counts as one at the line, so that no newcomer ends the test of another; one that is
 * shut out goes last. Rules: scores in fixed point, 1/256.
 */
#ifndef POSTERN_HARVEST_H
#define POSTERN_HARVEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"
#include "postern/recipients.h"

struct harvest;

/* What to change of the test; harvest_defaults fills in SEMANTICS' figures. */
struct harvest_config {
	double p0, p1, alpha, beta;
	uint32_t first_ttl_s, longest_ttl_s; /* 5 minutes, doubling to 24 hours */
	uint32_t known_ttl_s;	/* the longest of a client that was delivered for: 4 hours */
	uint32_t entries;	/* clients and prefixes told apart; a power of two */
	uint64_t filter_octets; /* of one generation of either pairs' filter; a power of two */
	bool observe;		/* score and tell, and change no answer */
	uint8_t entropy[32];
};

void harvest_defaults(struct harvest_config *config);

/* NULL: no memory, or figures that make no test (0 < p0 < p1 < 1, 0 < alpha, beta < 1). */
struct harvest *harvest_new(const struct harvest_config *config);
void harvest_free(struct harvest *h);

/* --- what a worker asks ---------------------------------------------------------------------- */

/* Whom a question is about. */
struct harvest_client {
	struct ip_addr address;
	bool null_sender; /* MAIL FROM:<>: a score of its own, never the drop */
	bool no_evidence; /* nothing it does is scored: opened by a cookie while those are guessed
			     at */
	bool by_proxy;	 /* a load balancer before us names it: the kernel never sees its address */
	uint64_t sender; /* digest of the envelope sender (harvest_digest) */
};

/* Whether a client's mail was ever delivered, as long as it is remembered. */
bool harvest_has_delivered(const struct harvest *h, const struct ip_addr *address);

enum harvest_standing {
	HARVEST_WELCOME,
	HARVEST_LIMITED, /* 450 4.7.1 before any lookup; postmaster exempt */
	HARVEST_GONE,	 /* 421 4.7.1 and close: it crossed the line elsewhere */
};

/* Whether a client, or a prefix it comes from and is not spared, is shut out: at a SYN where the
 * kernel has no shield, at a greeting, and when a verdict ends conversations. */
bool harvest_is_gone(struct harvest *h, const struct ip_addr *address, uint32_t now_s);
/* The same, by a verdict whose end is the drop. */
bool harvest_is_dropped(struct harvest *h, const struct ip_addr *address, uint32_t now_s);

/* Before the recipients are looked up. */
enum harvest_standing harvest_standing(struct harvest *h, const struct harvest_client *client,
				       uint32_t now_s);

/* What a recipient says of who asks for it. */
enum harvest_evidence {
	HARVEST_NEUTRAL, /* nothing: postmaster, a catch-all's, disabled, our own 4xx, not our
			    domain */
	HARVEST_GOOD,
	HARVEST_UNKNOWN,
	HARVEST_TRAP,
};

enum harvest_answer {
	HARVEST_ANSWER,	   /* as the directory says */
	HARVEST_SHUT_OUT,  /* as the directory says, and then 421 4.7.1, close, the drop */
	HARVEST_SHUT_DOOR, /* as the directory says, and then 421 4.7.1 and close; no drop */
	HARVEST_TOO_LATE,  /* not at all: 421 4.7.1, close */
	HARVEST_LIMIT,	   /* not at all: 450 4.7.1 */
};

/* What a transaction borrowed: kept by its owner, zero at MAIL. */
struct harvest_loan {
	uint16_t good;		      /* recipients that were lent for; 0: nothing to settle */
	uint16_t taken, prefix_taken; /* off their scores at once, 1/256 */
};

/* A verdict, with its evidence. */
struct harvest_verdict {
	struct ip_addr address; /* bits behind the prefix are zero */
	uint8_t prefix_len;	/* in the mapped form: 128, 120, 64, 56, 48 */
	uint8_t kind;		/* enum harvest_verdict_kind */
	uint8_t level;		/* how often before, as the doubling of the TTL */
	bool observed;		/* nothing came of it */
	bool by_hand;		/* harvest_shut_out's */
	bool by_proxy;		/* of whom load balancers name: 421 by the workers, no drop */
	uint32_t until_s, ttl_s;
	int16_t score;				 /* 1/256 */
	uint16_t unknown_today, delivered_today; /* of the client that crossed */
};

enum harvest_verdict_kind {
	HARVEST_VERDICT_DROP,	/* the kernel's drop */
	HARVEST_VERDICT_NULL,	/* its null senders are limited */
	HARVEST_VERDICT_SENDER, /* established: one envelope sender is limited */
};

enum { HARVEST_VERDICTS_MAX = 4 }; /* of one question: the client, two prefixes, its null sender */

struct harvest_verdicts {
	uint32_t n;
	struct harvest_verdict at[HARVEST_VERDICTS_MAX];
};

/* Answers n recipients (to RECIPIENTS_ASKED_MAX) in order; behind one that shuts out all are
 * TOO_LATE. verdicts: what was decided now, for the kernel and for control. */
void harvest_recipients(struct harvest *h, const struct harvest_client *client,
			const struct recipient_address *asked,
			const enum harvest_evidence *evidence, size_t n, struct harvest_loan *loan,
			uint32_t now_s, enum harvest_answer *answers,
			struct harvest_verdicts *verdicts);

enum harvest_end {
	HARVEST_DELIVERED, /* the backend took the message: credit */
	HARVEST_FAILED, /* we or a backend refused it at DATA or later: evidence is made up for, no
			   credit */
	HARVEST_ABANDONED, /* the client gave up: RSET, QUIT, EHLO, close */
};

/* Ends a transaction's loan. True: what was lent had kept the client below the line, and it is
 * shut out now. */
bool harvest_settle(struct harvest *h, const struct harvest_client *client,
		    struct harvest_loan *loan, enum harvest_end end, uint32_t now_s,
		    struct harvest_verdicts *verdicts);

enum harvest_note {
	HARVEST_EARLY_TALK, /* half a line */
	HARVEST_ABUSE,	    /* half a line */
	HARVEST_VRFY,	    /* a third of a guess */
};

/* True: shut out now. */
bool harvest_note(struct harvest *h, const struct harvest_client *client, enum harvest_note note,
		  uint32_t now_s, struct harvest_verdicts *verdicts);

/* Of an address as an envelope holds it; ASCII letters folded. */
uint64_t harvest_digest(const struct harvest *h, const char *local, size_t local_len,
			const char *domain, size_t domain_len);

/* Once a second or so: makes room for tomorrow's pairs. */
void harvest_tick(struct harvest *h, uint32_t now_s);

/* --- what control does ----------------------------------------------------------------------- */

enum { HARVEST_NETWORKS_MAX = 1 << 14 };

/* Never flagged: networks in mapped form. Replaces what was there. -ENOMEM; -E2BIG: more than
 * HARVEST_NETWORKS_MAX different ones. */
int harvest_allow(struct harvest *h, const struct ip_network *networks, size_t n);
bool harvest_is_allowed(const struct harvest *h, const struct ip_addr *address);
bool harvest_observes(const struct harvest *h);

/* All that is known of an address at one level. */
struct harvest_story {
	struct ip_addr address;
	uint8_t prefix_len;
	bool is_known; /* there is an entry */
	bool is_allowed;
	bool is_established;
	bool by_hand;		   /* it is shut out by harvest_shut_out */
	int16_t score, null_score; /* 1/256, now */
	uint8_t level;
	uint32_t until_s, null_until_s; /* 0: not */
	uint32_t seen_s;		/* about */
	uint16_t unknown_today, delivered_today, unknown_week, delivered_week;
};

enum { HARVEST_LEVELS = 3 };

/* The client itself, then its prefixes; returns how many. */
size_t harvest_explain(struct harvest *h, const struct ip_addr *address, uint32_t now_s,
		       struct harvest_story stories[HARVEST_LEVELS]);

/* When the verdict at one level ends; 0: none runs. False: nothing is known there. */
bool harvest_until(const struct harvest *h, const struct ip_addr *address, uint8_t prefix_len,
		   uint32_t now_s, uint32_t *until_s);

/* The line of a level in 1/256, by its length in the mapped form. */
int32_t harvest_line(const struct harvest *h, uint8_t prefix_len);

/* Ends a verdict and forgets the score at this level. False: nothing was known. */
bool harvest_unban(struct harvest *h, const struct ip_addr *address, uint8_t prefix_len);

/* Whether there are verdicts of that length: 128 or 120 for IPv4, 64, 56 or 48 for IPv6. */
bool harvest_is_level(const struct ip_addr *address, uint8_t prefix_len);

/* A verdict without evidence, an operator's or one that was kept elsewhere, until then. -EINVAL: no
 * such length; -EPERM: it is never flagged; -ENOTSUP: nobody is while we observe. */
int harvest_shut_out(struct harvest *h, const struct ip_addr *address, uint8_t prefix_len,
		     uint32_t until_s, bool by_hand, uint32_t now_s);

/* The verdicts that run, but those on single senders, in no order: at most n (2 at least) of the
 * entries from *at on, which is moved on; returns how many; 0: that was all. ttl_s is what is left;
 * level as it was at the verdict. */
size_t harvest_running(const struct harvest *h, uint32_t *at, uint32_t now_s,
		       struct harvest_verdict *verdicts, size_t n);

/* Clients below a prefix that have credit, which its verdict spares; calls back for each. */
void harvest_spared(struct harvest *h, const struct ip_addr *address, uint8_t prefix_len,
		    uint32_t now_s, void (*each)(void *arg, const struct ip_addr *client),
		    void *arg);

/* Serialises entries from *at on into at most len octets; returns how many were written, *at is
 * moved on; 0: that was all. The worker's changes in between are in it or not. Of who observes it
 * holds no verdict but those by hand: they would hold for who enforces later. */
size_t harvest_checkpoint(const struct harvest *h, uint32_t *at, void *octets, size_t len);
/* Whether octets are whole records, as harvest_checkpoint writes them. */
bool harvest_is_checkpoint(const void *octets, size_t len);
/* Takes in what harvest_checkpoint wrote, in any pieces of whole records. -EINVAL: it is not that,
 * and nothing was taken in. */
int harvest_restore(struct harvest *h, const void *octets, size_t len);

/* Ends what would run longer than a verdict of now could, but for an operator's: a table from a
 * file may have been written by another clock. */
void harvest_cap(struct harvest *h, uint32_t now_s);

struct harvest_counts {
	uint64_t entries, used; /* in the table */
	uint64_t evicted, evicted_with_credit;
	double filter_share, unknown_filter_share; /* of bits set in this generation */
};
void harvest_count(const struct harvest *h, uint32_t now_s, struct harvest_counts *counts);

#endif
