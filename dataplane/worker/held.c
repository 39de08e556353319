/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory: held.h. */
#include "worker/held.h"

#include <string.h>

enum { CHUNK_OCTETS = 4096 - 8 };

struct chunk {
	uint32_t next, len;
	uint8_t octets[CHUNK_OCTETS];
};

bool held_pool_init(struct slab *pool, uint64_t octets)
{
	const uint64_t chunks = octets / sizeof(struct chunk) + 1;

	return chunks < SLAB_NONE &&
	       slab_init(pool, sizeof(struct chunk), sizeof(uint64_t), (uint32_t)chunks);
}

uint64_t held_free(const struct slab *pool)
{
	return (uint64_t)(pool->capacity - pool->in_use) * CHUNK_OCTETS;
}

void held_begin(struct held *h)
{
	*h = (struct held){.first = SLAB_NONE, .last = SLAB_NONE, .at = SLAB_NONE};
}

static struct chunk *add_chunk(struct slab *pool, struct held *h)
{
	const uint32_t index = slab_take(pool);
	struct chunk *chunk;

	if (index == SLAB_NONE)
		return NULL;
	chunk = slab_at(pool, index);
	chunk->next = SLAB_NONE;
	chunk->len = 0;
	if (h->last == SLAB_NONE)
		h->first = index;
	else
		((struct chunk *)slab_at(pool, h->last))->next = index;
	if (h->at == SLAB_NONE)
		h->at = index;
	h->last = index;
	return chunk;
}

bool held_add(struct slab *pool, struct held *h, struct span octets)
{
	while (octets.len) {
		struct chunk *chunk = h->last == SLAB_NONE ? NULL : slab_at(pool, h->last);
		size_t n;

		if (!chunk || chunk->len == CHUNK_OCTETS)
			chunk = add_chunk(pool, h);
		if (!chunk)
			return false;
		n = CHUNK_OCTETS - chunk->len;
		n = n < octets.len ? n : octets.len;
		memcpy(chunk->octets + chunk->len, octets.bytes, n);
		chunk->len += (uint32_t)n;
		h->octets += n;
		octets.bytes += n;
		octets.len -= n;
	}
	return true;
}

struct span held_next(const struct slab *pool, const struct held *h)
{
	const struct chunk *chunk;
	uint32_t from;

	if (h->at == SLAB_NONE)
		return (struct span){0};
	chunk = slab_at(pool, h->at);
	from = (uint32_t)(h->read % CHUNK_OCTETS);
	return (struct span){chunk->octets + from, chunk->len - from};
}

void held_skip(const struct slab *pool, struct held *h, size_t len)
{
	h->read += len;
	if (len && h->read % CHUNK_OCTETS == 0)
		h->at = ((const struct chunk *)slab_at(pool, h->at))->next;
}

void held_rewind(struct held *h)
{
	h->at = h->first;
	h->read = 0;
}

void held_forget(struct slab *pool, struct held *h)
{
	uint32_t at = h->first;

	while (at != SLAB_NONE) {
		const uint32_t next = ((struct chunk *)slab_at(pool, at))->next;

		slab_give(pool, at);
		at = next;
	}
	held_begin(h);
}
