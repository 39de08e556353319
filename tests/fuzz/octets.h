/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the fuzz targets share: an input read octet by octet, a stream whose every octet follows
 * from its number, mbufs that end where their octets end, and pools of which buffers can be held
 * back.
 *
 * Thread: main. Time: none. Memory: pools of the EAL's, made once and full again after each input.
 */
#ifndef POSTERN_TESTS_FUZZ_OCTETS_H
#define POSTERN_TESTS_FUZZ_OCTETS_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

/* What is left of the input; behind its end it reads as zeros. */
struct octets {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t next8(struct octets *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static inline uint16_t next16(struct octets *in)
{
	uint8_t high = next8(in);

	return (uint16_t)(high << 8 | next8(in));
}

static inline uint32_t next32(struct octets *in)
{
	uint32_t high = next16(in);

	return high << 16 | next16(in);
}

/* --- a stream whose octets are known -----------------------------------------------------------
 */

static inline uint8_t stream_octet(uint32_t number)
{
	return (uint8_t)(number * 2654435761u >> 24);
}

static inline void stream_write(uint8_t *to, uint32_t number, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = stream_octet(number + (uint32_t)i);
}

static inline void stream_check(const uint8_t *octets, uint32_t number, size_t len)
{
	for (size_t i = 0; i < len; i++)
		assert(octets[i] == stream_octet(number + (uint32_t)i));
}

/* --- frames ------------------------------------------------------------------------------------
 */

struct block {
	struct rte_mbuf_ext_shared_info info;
	uint8_t *octets;
};

static inline void block_free(void *octets, void *opaque)
{
	struct block *block = opaque;

	(void)octets;
	free(block->octets);
	free(block);
}

/* An mbuf whose octets lie in a heap block of just their size, so that ASan sees an access beyond
 * them; NULL: the pool is empty. */
static inline struct rte_mbuf *block_mbuf(struct rte_mempool *pool, const void *octets, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct block *block;

	if (!m)
		return NULL;
	block = malloc(sizeof(*block));
	assert(block);
	block->octets = malloc(len);
	memcpy(block->octets, octets, len);
	block->info.free_cb = block_free;
	block->info.fcb_opaque = block;
	rte_mbuf_ext_refcnt_set(&block->info, 1);
	rte_pktmbuf_attach_extbuf(m, block->octets, (rte_iova_t)block->octets, (uint16_t)len,
				  &block->info);
	m->data_len = (uint16_t)len;
	m->pkt_len = (uint32_t)len;
	return m;
}

/* --- buffers -----------------------------------------------------------------------------------
 */

enum { POOL_BUFFERS = 255 };

/* A pool of which some buffers may be held back, so that tcp finds it short. */
struct pool {
	struct rte_mempool *mempool;
	unsigned n_held;
	struct rte_mbuf *held[POOL_BUFFERS];
};

static inline void pool_init(struct pool *p, const char *name)
{
	p->n_held = 0;
	p->mempool = rte_mempool_lookup(name);
	if (!p->mempool)
		p->mempool = rte_pktmbuf_pool_create(name, POOL_BUFFERS, 0, 0,
						     RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert(p->mempool);
}

/* Holds back all but so many, as far as that many are free. */
static inline void pool_leave(struct pool *p, unsigned n)
{
	while (rte_mempool_avail_count(p->mempool) > n)
		p->held[p->n_held++] = rte_pktmbuf_alloc(p->mempool);
	while (p->n_held && rte_mempool_avail_count(p->mempool) < n)
		rte_pktmbuf_free(p->held[--p->n_held]);
}

/* Asserts that every buffer is back. */
static inline void pool_release(struct pool *p)
{
	pool_leave(p, POOL_BUFFERS);
	assert(rte_mempool_avail_count(p->mempool) == POOL_BUFFERS);
}

#endif
