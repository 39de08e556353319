/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A slab: objects of one size, of a fixed number, handed out by index and taken back.
 *
 * Thread: the owner only. Time: none.
 * Memory: address space for all at slab_init, physical pages only for what was once in use; the
 * last object freed is the next handed out, so that the touched set stays small.
 */
#ifndef POSTERN_BASE_SLAB_H
#define POSTERN_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLAB_NONE UINT32_MAX

struct slab {
	uint8_t *objects;
	size_t size; /* octets an object */
	uint32_t capacity;
	uint32_t in_use;
	uint32_t touched; /* objects ever handed out */
	uint32_t free;	  /* the last one freed, linked through its first four octets */
};

/* size is rounded up to align, a power of two; false: no memory. */
bool slab_init(struct slab *s, size_t size, size_t align, uint32_t capacity);
void slab_release(struct slab *s);

/* An object's index, its octets as its last user left them (zero when it is new); SLAB_NONE:
 * all are in use. */
uint32_t slab_take(struct slab *s);
void slab_give(struct slab *s, uint32_t index);

static inline void *slab_at(const struct slab *s, uint32_t index)
{
	return s->objects + (size_t)index * s->size;
}

static inline uint32_t slab_index(const struct slab *s, const void *object)
{
	return (uint32_t)((size_t)((const uint8_t *)object - s->objects) / s->size);
}

#endif
