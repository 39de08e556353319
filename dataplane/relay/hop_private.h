/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a hop is made of: the machine (hop.c) reads replies (hop_reply.c) and writes commands
 * (hop_command.c, proxy.c).
 *
 * Thread, Time, Memory, Rules: hop.h.
 */
#ifndef POSTERN_RELAY_HOP_PRIVATE_H
#define POSTERN_RELAY_HOP_PRIVATE_H

#include "relay/hop.h"

/* --- hop_reply.c ------------------------------------------------------------------------------ */

enum hop_heard {
	HOP_HEARD_PART, /* all was read */
	HOP_HEARD_REPLY,
	HOP_HEARD_NO_REPLY,
};

static inline bool hop_is_reading(const struct hop *h)
{
	return h->reading.lines || h->reading.line_len;
}

/* Before the first octet of a reply. Dropped: h->reply stays what it is. */
void hop_reading_begin(struct hop *h, bool is_unasked, bool is_dropped);
/* Reads a reply, or as far as it came. Its code is in h->reading, whether it is dropped or not. */
enum hop_heard hop_read(struct hop *h, struct span *in);
/* The rest of the one being read is not waited for. */
void hop_give_up_reply(struct hop *h);
/* From the reply to EHLO or LHLO. */
void hop_learn_offers(struct hop *h);
void hop_forget_reply(struct hop *h);

/* --- hop_command.c ---------------------------------------------------------------------------- */

/* Each writes a line, or where it finds no room nothing: false. */
bool hop_write_word(struct smtp_out *out, const char *word);
bool hop_write_hello(const struct hop *h, struct smtp_out *out);
bool hop_write_xclient(const struct hop *h, struct smtp_out *out);
bool hop_write_mail(const struct hop *h, struct smtp_out *out);
bool hop_write_rcpt(const struct hop *h, const struct smtp_recipient *recipient,
		    struct smtp_out *out);

/* --- proxy.c ---------------------------------------------------------------------------------- */

/* The header; out has room for HOP_HEADER_PROXY_MAX octets. */
void proxy_write(const struct hop_client *client, struct smtp_out *out);

#endif
