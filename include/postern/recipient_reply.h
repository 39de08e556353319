/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a client is told of a recipient, by what the directory says alone.
 *
 * Thread: any. Time, Memory: none. Rules: SEMANTICS, "Replies": a trap looks like nobody.
 */
#ifndef POSTERN_RECIPIENT_REPLY_H
#define POSTERN_RECIPIENT_REPLY_H

#include "postern/recipients.h"
#include "postern/replies.h"

static inline enum reply recipient_reply(const struct recipient_answer *answer)
{
	static const enum reply of_class[RECIPIENT_CLASSES] = {
		[RECIPIENT_NORMAL] = REPLY_RECIPIENT_TAKEN,
		[RECIPIENT_TRAP] = REPLY_MAILBOX_UNKNOWN,
		[RECIPIENT_DISABLED] = REPLY_MAILBOX_DISABLED,
		[RECIPIENT_MOVED] = REPLY_MAILBOX_MOVED,
		[RECIPIENT_OVER_QUOTA] = REPLY_MAILBOX_FULL,
	};

	switch (answer->finding) {
	case RECIPIENT_UNSURE:
		return REPLY_DIRECTORY_UNSURE;
	case RECIPIENT_NOT_OURS:
		return REPLY_RELAYING_DENIED;
	case RECIPIENT_UNKNOWN:
		return REPLY_MAILBOX_UNKNOWN;
	default:
		return of_class[answer->class];
	}
}

#endif
