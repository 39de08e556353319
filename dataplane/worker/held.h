/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Octets of messages, held in chunks until a next hop has them for good.
 *
 * Thread: the owning worker. Time: none. Memory: a slab of held_pool_init's, which all messages
 * share; untouched pages cost nothing.
 */
#ifndef POSTERN_WORKER_HELD_H
#define POSTERN_WORKER_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slab.h"
#include "base/span.h"

/* One message's: written at its end, read from its beginning, which can be read again. */
struct held {
	uint64_t octets, read;
	uint32_t first, last, at; /* chunks; at: the one being read */
};

/* octets: of all messages together. */
bool held_pool_init(struct slab *pool, uint64_t octets);
/* Octets for which there is room. */
uint64_t held_free(const struct slab *pool);

void held_begin(struct held *h);
/* False: there was not room for all. */
bool held_add(struct slab *pool, struct held *h, struct span octets);
/* What is read next, of what lies together; len 0: all was read. */
struct span held_next(const struct slab *pool, const struct held *h);
/* So many octets of it were. */
void held_skip(const struct slab *pool, struct held *h, size_t len);
/* It is read from its beginning again. */
void held_rewind(struct held *h);
void held_forget(struct slab *pool, struct held *h);

static inline bool held_is_read(const struct held *h)
{
	return h->read == h->octets;
}

#endif
