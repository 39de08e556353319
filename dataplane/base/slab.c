/* SPDX-License-Identifier: BSD-3-Clause */
/* The slab. Thread, Time, Memory, Rules: slab.h. */
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "base/slab.h"

bool slab_init(struct slab *s, size_t size, size_t align, uint32_t capacity)
{
	void *objects;

	size = (size + align - 1) & ~(align - 1);
	/* Straight from the kernel: zero pages that cost nothing until they are touched. */
	objects = mmap(NULL, size * capacity, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (objects == MAP_FAILED)
		return false;
	*s = (struct slab){
		.objects = objects,
		.size = size,
		.capacity = capacity,
		.free = SLAB_NONE,
	};
	return true;
}

void slab_release(struct slab *s)
{
	if (s->objects)
		munmap(s->objects, s->size * s->capacity);
	*s = (struct slab){.free = SLAB_NONE};
}

uint32_t slab_take(struct slab *s)
{
	uint32_t index = s->free;

	if (index != SLAB_NONE)
		memcpy(&s->free, slab_at(s, index), sizeof(s->free));
	else if (s->touched < s->capacity)
		index = s->touched++;
	else
		return SLAB_NONE;
	s->in_use++;
	return index;
}

void slab_give(struct slab *s, uint32_t index)
{
	assert(index < s->touched && s->in_use > 0);
	memcpy(slab_at(s, index), &s->free, sizeof(s->free));
	s->free = index;
	s->in_use--;
}
