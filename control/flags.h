/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts as control keeps them. The harvest's table holds every verdict, the kernel's map those
 * it drops for; this keeps the second like the first: what workers leave to control, who is spared
 * a prefix's verdict, what an operator adds or ends, and all of it over a restart.
 *
 * Thread: flags_take, _tick and _go_on by control's main; flags_add, _unban, _list, _explain,
 * _count and _save by any, at once. One thread of its own writes checkpoints, so that a slow disk
 * holds up nobody. A lock keeps an unban and a notice of the same client apart; it is held for one
 * verdict. Time: config.now_s; the kernel's is CLOCK_BOOTTIME. Memory: the struct. Rules:
 * SEMANTICS, "Verdict". All return 0, or -errno with a sentence in error, where it is not said
 * otherwise. While we observe nothing is written for the kernel.
 */
#ifndef POSTERN_CONTROL_FLAGS_H
#define POSTERN_CONTROL_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"
#include "postern/harvest.h"
#include "postern/notice.h"

struct flags;
struct shield;

struct flags_config {
	struct shield *shield; /* NULL: no kernel drops for us */
	struct harvest *harvest;
	/* One a worker. */
	struct notices *notices;
	uint32_t n_notices;
	/* Back to the workers, as many; NULL: none. A verdict goes to all but the one whose it is,
	 * and then they are woken. */
	struct notices *orders;
	void (*wake)(void *arg);
	void *wake_arg;
	const char *state; /* path of the checkpoint; "" or NULL: none */
	/* Never flagged: the allowlist, the pools' servers. The caller's until flags_free. */
	const struct ip_network *allow;
	uint32_t n_allow;
	uint32_t (*now_s)(void *arg); /* seconds since the epoch, by the workers' clock */
	void *now_arg;
	/* Each verdict that is heard of, when it is carried out; NULL: nobody is told. By the main
	 * thread. */
	void (*event)(void *arg, const struct harvest_verdict *verdict);
	void *event_arg;
};

/* Takes in the allowlist, the checkpoint, and what an earlier process left in the kernel; then the
 * kernel's map holds what runs, or the first thousands of it, and flags_go_on adds the
 * rest. A checkpoint that is torn or foreign is moved aside, to NAME.bad,
 * and is no failure: the start is an empty one, and error says why; else error is empty. One that
 * cannot be read fails the start. */
int flags_new(struct flags **out, const struct flags_config *config, char *error, size_t len);
/* Without a last checkpoint: flags_save first. NULL is allowed. */
void flags_free(struct flags *f);

/* Reads all notices, and carries out what the workers left. */
void flags_take(struct flags *f);
/* Once a second; takes notices too. */
void flags_tick(struct flags *f);
/* Some times a second: a piece, of some milliseconds at most, of what takes long: verdicts whose
 * notices were lost, or that the kernel did not take, written from the table; what has expired
 * taken out of the kernel. flags_tick does one, too. */
void flags_go_on(struct flags *f);
/* Writes the checkpoint, if there is to be one. */
int flags_save(struct flags *f, char *error, size_t len);

/* Shuts a client (IPv4, or an IPv6 /64) or a prefix (/24; /56, /48) out for so long. An IPv6
 * address stands for its /64. -EINVAL: another length; -EPERM: it is never flagged; -ENOTSUP: we
 * observe. */
int flags_add(struct flags *f, const struct ip_network *network, uint32_t seconds, char *error,
	      size_t len);

/* What an unban came to. */
struct flags_ended {
	bool was_out;	      /* it was shut out, or its null senders were limited */
	uint8_t still_out_by; /* a verdict on this prefix (128, 120, 64, 56, 48) still runs; 0: none
			       */
};
/* Ends the verdict on a client or a prefix at once everywhere and forgets its score. -EINVAL: no
 * such length. */
int flags_unban(struct flags *f, const struct ip_network *network, struct flags_ended *ended,
		char *error, size_t len);

/* What stands in the kernel's map for a verdict. */
struct flags_kernel {
	bool is_there;
	uint32_t left_s; /* of its time */
	uint64_t drops;	 /* frames */
};

struct flags_entry {
	struct harvest_verdict verdict;
	struct flags_kernel kernel;
};

/* The verdicts that run, at most n (2 at least), from *at on; returns how many; 0: that was all. */
size_t flags_list(struct flags *f, uint32_t *at, struct flags_entry *entries, size_t n);

struct flags_story {
	struct harvest_story harvest;
	int32_t line; /* 1/256 */
	struct flags_kernel kernel;
};

/* A client and its prefixes; returns how many. */
size_t flags_explain(struct flags *f, const struct ip_addr *address,
		     struct flags_story stories[HARVEST_LEVELS]);

/* What goes wrong, until it goes well again. */
struct flags_trouble {
	char sentence[256]; /* empty: nothing */
	uint32_t since_s;
};

struct flags_counts {
	uint64_t heard;	    /* verdicts, by notices */
	uint64_t lost;	    /* notices there was no room for */
	uint64_t recovered; /* verdicts found in the table after such a loss */
	uint64_t written;   /* entries put into the kernel's map by control */
	uint64_t spared;    /* clients spared a prefix's verdict */
	uint64_t failed;    /* of these, the kernel did not take */
	uint64_t saved;	    /* checkpoints */
	uint32_t saved_s;   /* the last one; 0: none */
	struct harvest_counts table;
	bool observes;
	struct flags_trouble with_kernel, with_state;
};
void flags_count(struct flags *f, struct flags_counts *counts);
/* Seconds since the epoch, as verdicts have them. */
uint32_t flags_now_s(const struct flags *f);

#endif
