/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SipHash with the numbers of rounds as constants, so that each variant is compiled unrolled.
 *
 * Thread: any. Time: none. Memory: none.
 * Rules: the paper's section 2; words are little-endian, the last one carries the length's low
 * octet in its top octet.
 */
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

struct sip_state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate_left(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static inline __attribute__((always_inline)) void sip_rounds(struct sip_state *s, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		s->v0 += s->v1;
		s->v2 += s->v3;
		s->v1 = rotate_left(s->v1, 13) ^ s->v0;
		s->v3 = rotate_left(s->v3, 16) ^ s->v2;
		s->v0 = rotate_left(s->v0, 32);
		s->v2 += s->v1;
		s->v0 += s->v3;
		s->v1 = rotate_left(s->v1, 17) ^ s->v2;
		s->v3 = rotate_left(s->v3, 21) ^ s->v0;
		s->v2 = rotate_left(s->v2, 32);
	}
}

static inline uint64_t load_word(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return le64toh(word);
}

static inline uint64_t load_last_word(const uint8_t *bytes, size_t rest, size_t len)
{
	uint64_t word = (uint64_t)len << 56;

	for (size_t i = 0; i < rest; i++)
		word |= (uint64_t)bytes[i] << (8 * i);
	return word;
}

static inline struct sip_state sip_start(const struct siphash_key *key)
{
	return (struct sip_state){
		.v0 = key->k0 ^ 0x736f6d6570736575,
		.v1 = key->k1 ^ 0x646f72616e646f6d,
		.v2 = key->k0 ^ 0x6c7967656e657261,
		.v3 = key->k1 ^ 0x7465646279746573,
	};
}

static inline __attribute__((always_inline)) void
sip_compress(struct sip_state *s, const void *bytes, size_t len, unsigned rounds)
{
	static const uint8_t none[1];
	const uint8_t *p = len ? bytes : none; /* an empty span may point nowhere */
	const size_t rest = len % 8;
	const uint8_t *end = p + (len - rest);
	uint64_t word;

	for (; p != end; p += 8) {
		word = load_word(p);
		s->v3 ^= word;
		sip_rounds(s, rounds);
		s->v0 ^= word;
	}
	word = load_last_word(p, rest, len);
	s->v3 ^= word;
	sip_rounds(s, rounds);
	s->v0 ^= word;
}

static inline __attribute__((always_inline)) uint64_t siphash(const struct siphash_key *key,
							      const void *bytes, size_t len,
							      unsigned compression,
							      unsigned finalisation)
{
	struct sip_state s = sip_start(key);

	sip_compress(&s, bytes, len, compression);
	s.v2 ^= 0xff;
	sip_rounds(&s, finalisation);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash24(const struct siphash_key *key, const void *bytes, size_t len)
{
	return siphash(key, bytes, len, 2, 4);
}

uint64_t siphash13(const struct siphash_key *key, const void *bytes, size_t len)
{
	return siphash(key, bytes, len, 1, 3);
}

struct siphash_tag siphash13_128(const struct siphash_key *key, const void *bytes, size_t len)
{
	struct sip_state s = sip_start(key);
	struct siphash_tag tag;

	s.v1 ^= 0xee;
	sip_compress(&s, bytes, len, 1);
	s.v2 ^= 0xee;
	sip_rounds(&s, 3);
	tag.lo = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	s.v1 ^= 0xdd;
	sip_rounds(&s, 3);
	tag.hi = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
	return tag;
}
