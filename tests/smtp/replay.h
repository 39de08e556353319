/* SPDX-License-Identifier: BSD-3-Clause */
/* Replaying a dialogue: the client's writes go in, and what happens is compared with what must. */
#ifndef POSTERN_TESTS_SMTP_REPLAY_H
#define POSTERN_TESTS_SMTP_REPLAY_H

#include "dialogue.h"

/* How a client's octets arrive. */
struct manner {
	const char *name;
	size_t part;	  /* octets at once; 0: as they were written */
	size_t cut;	  /* one write is cut before this octet of all, 0: none */
	bool pipelined;	  /* writes follow each other without waiting, as far as they may */
	bool little_room; /* SMTP_OUT_LEAST for replies */
};

/* Fails the test that runs when anything differs, and adds up how often each row was said. */
void replay(const struct dialogue *d, const struct manner *manner, uint64_t said[REPLIES + 1]);

/* Octets the client writes in all. */
size_t dialogue_octets(const struct dialogue *d);

#endif
