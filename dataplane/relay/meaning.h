/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a next hop's refusal means for the client: a server that is wrong must not bounce the
 * world's mail (SEMANTICS, Relay, 6).
 *
 * Thread: any. Time, Memory: none. Rules: RFC 5321 4.2.3, RFC 3463.
 */
#ifndef POSTERN_RELAY_MEANING_H
#define POSTERN_RELAY_MEANING_H

#include <stdint.h>

#include "base/span.h"

enum meaning {
	MEANING_TAKEN,	/* 2xx */
	MEANING_LATER,	/* 4xx: the client's to hear */
	MEANING_MAIL,	/* 5xx about this recipient, sender or message: the client's to hear */
	MEANING_DOUBT,	/* 5xx that may be about the mail or come from a server that is not set up
			   rightly: the client's to hear when it is refused again by one that has
			   taken something in between */
	MEANING_SERVER, /* whatever the mail, this server does not take ours */
};

enum asked_about { ASKED_ABOUT_SENDER, ASKED_ABOUT_RECIPIENT };

/* code: 200..599; text: as it came, the enhanced status code first if there is one. */
enum meaning meaning_of(enum asked_about what, uint16_t code, struct span text);

#endif
