/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking at 64 octets at once: which of them are a given one, as a mask with bit i for octet i.
 * By the widest instructions the build allows, or with -DOCTETS_PLAIN by none.
 *
 * Thread: any. Time: none. Memory: none.
 */
#ifndef POSTERN_BASE_OCTETS_H
#define POSTERN_BASE_OCTETS_H

#include <endian.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__) && !defined(OCTETS_PLAIN)
#include <immintrin.h>
#elif !defined(OCTETS_PLAIN)
#define OCTETS_PLAIN
#endif

enum { OCTETS_AT_ONCE = 64 };

static inline uint64_t octets_equal_plain(const uint8_t *p, uint8_t octet)
{
	const uint64_t ones = 0x0101010101010101, sevens = 0x7f7f7f7f7f7f7f7f;
	uint64_t mask = 0;

	for (unsigned i = 0; i < OCTETS_AT_ONCE; i += 8) {
		uint64_t word, other;

		memcpy(&word, p + i, sizeof(word));
		/* Zero where it is the octet; then the top bit where it is not; then no carry
		 * crosses an octet. */
		other = le64toh(word) ^ ones * octet;
		other = ((other & sevens) + sevens) | other;
		/* The eight top bits, gathered. */
		mask |= ((~other >> 7 & ones) * 0x0102040810204080 >> 56) << i;
	}
	return mask;
}

#ifdef OCTETS_PLAIN
typedef const uint8_t *octets;

static inline octets octets_load(const uint8_t *p)
{
	return p;
}

static inline uint64_t octets_equal(octets o, uint8_t octet)
{
	return octets_equal_plain(o, octet);
}

#elif defined(__AVX512BW__)
typedef __m512i octets;

static inline octets octets_load(const uint8_t *p)
{
	return _mm512_loadu_si512(p);
}

static inline uint64_t octets_equal(octets o, uint8_t octet)
{
	return _mm512_cmpeq_epi8_mask(o, _mm512_set1_epi8((char)octet));
}

#elif defined(__AVX2__)
typedef struct {
	__m256i v[2];
} octets;

static inline octets octets_load(const uint8_t *p)
{
	return (octets){{_mm256_loadu_si256((const __m256i_u *)p),
			 _mm256_loadu_si256((const __m256i_u *)(p + 32))}};
}

static inline uint64_t octets_equal(octets o, uint8_t octet)
{
	const __m256i wanted = _mm256_set1_epi8((char)octet);
	uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(o.v[0], wanted));
	uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(o.v[1], wanted));

	return (uint64_t)high << 32 | low;
}

#else
typedef struct {
	__m128i v[4];
} octets;

static inline octets octets_load(const uint8_t *p)
{
	octets o;

	for (unsigned i = 0; i < 4; i++)
		o.v[i] = _mm_loadu_si128((const __m128i_u *)(p + 16 * i));
	return o;
}

static inline uint64_t octets_equal(octets o, uint8_t octet)
{
	const __m128i wanted = _mm_set1_epi8((char)octet);
	uint64_t mask = 0;

	for (unsigned i = 0; i < 4; i++)
		mask |= (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(o.v[i], wanted)) << 16 * i;
	return mask;
}

#endif

#endif
