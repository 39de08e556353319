/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory, Rules: meaning.h. */
#include "relay/meaning.h"

#include <stdbool.h>

#include "smtp/status.h"

/* "Bad destination mailbox", "mailbox full" and their kin, or the code that says so alone. */
static bool is_about_recipient(uint16_t code, const struct status *s)
{
	if (s->class)
		return s->subject == 1 || s->subject == 2 || (s->subject == 6 && s->detail == 7);
	return code >= 550 && code <= 553;
}

/* Bad sender's address, the message's size, its media. */
static bool is_about_sender(uint16_t code, const struct status *s)
{
	if (s->class)
		return (s->subject == 1 && (s->detail == 7 || s->detail == 8)) ||
		       (s->subject == 3 && s->detail == 4) || s->subject == 6;
	return code == 552 || code == 553;
}

enum meaning meaning_of(enum asked_about what, uint16_t code, struct span text)
{
	struct status s;
	bool about_mail;

	status_read(text, &s);
	if (code < 400)
		return MEANING_TAKEN;
	/* 530: authentication or TLS first; 535: it failed; 503: we speak out of turn. */
	if (code == 530 || code == 535 || code == 503)
		return MEANING_SERVER;
	if (code < 500)
		return MEANING_LATER;
	about_mail = what == ASKED_ABOUT_SENDER ? is_about_sender(code, &s)
						: is_about_recipient(code, &s);
	return about_mail ? MEANING_MAIL : MEANING_DOUBT;
}
