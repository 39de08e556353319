/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Refusals: what next hops said of recipients our directory knows, remembered for when the client
 * comes again (SEMANTICS, Relay, 5). One table all workers share.
 *
 * A refusal holds for one sender and recipient; 5.1.1 for all senders. It is kept REFUSAL_S and is
 * no evidence of guessing. One under suspicion (the server may be wrong rather than the mail) is
 * told to nobody; it counts when the server, which has taken others since, refuses the same again:
 * the owner asks that.
 *
 * Thread: any, at once: a reader takes no lock and sees a whole refusal or none; a writer that
 * meets another at the same place gives way, which loses one refusal and nothing else. Time:
 * monotonic microseconds, given. Memory: refusals_new's, all at once; a full bucket gives up its
 * oldest. Keys are 128 bits of keyed SipHash of the addresses in their canonical form, ASCII
 * letters folded: a text is never shown for another's.
 */
#ifndef POSTERN_RELAY_REFUSALS_H
#define POSTERN_RELAY_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/siphash.h"
#include "base/span.h"

enum {
	REFUSAL_TEXT_MAX = 200, /* octets of the first line of the reply; the rest is left out */
	REFUSAL_S = 6 * 3600,
};

struct refusals;

/* entries: a power of two, 8 or more. NULL: no memory. */
struct refusals *refusals_new(uint32_t entries, const struct siphash_key keys[2]);
void refusals_free(struct refusals *r);

struct refusal {
	uint16_t code; /* 400..599 */
	uint16_t pool, server;
	uint16_t text_len;
	bool is_suspect;
	uint64_t since_us;
	uint8_t text[REFUSAL_TEXT_MAX]; /* with its enhanced status code, if it had one */
};

/* sender: empty for the null sender. any_sender: it holds for all of them. Replaces what was
 * remembered. Only text, code, pool, server, text_len and is_suspect of *refusal are read. */
void refusals_put(struct refusals *r, struct span sender, struct span recipient, bool any_sender,
		  const struct refusal *refusal, uint64_t now_us);
/* False: none that still holds. */
bool refusals_find(const struct refusals *r, struct span sender, struct span recipient,
		   uint64_t now_us, struct refusal *refusal);
/* What was remembered of them, for this sender or all, is forgotten. */
void refusals_forget(struct refusals *r, struct span sender, struct span recipient);

#endif
