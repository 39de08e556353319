/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SipHash against the paper's vector, tags made by other implementations, and a second
 * implementation written from the paper's text without regard to speed.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/siphash.h"

enum { LONGEST = 64 };

static const struct siphash_key counting_key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

struct vector {
	size_t len; /* of the message 00 01 02 ... */
	uint64_t tag;
};

static void fill_counting(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)i;
}

/* The paper's SipRound, section 2.2, line by line. */
static void plain_round(uint64_t v[4])
{
#define ROTATE(x, b) ((x) = (x) << (b) | (x) >> (64 - (b)))
	v[0] += v[1];
	ROTATE(v[1], 13);
	v[1] ^= v[0];
	ROTATE(v[0], 32);
	v[2] += v[3];
	ROTATE(v[3], 16);
	v[3] ^= v[2];
	v[0] += v[3];
	ROTATE(v[3], 21);
	v[3] ^= v[0];
	v[2] += v[1];
	ROTATE(v[1], 17);
	v[1] ^= v[2];
	ROTATE(v[2], 32);
#undef ROTATE
}

/* Pads first, then takes word after word, octet by octet. */
static uint64_t plain_siphash(int c, int d, const struct siphash_key *key, const uint8_t *message,
			      size_t len)
{
	uint8_t padded[LONGEST + 8] = {0};
	size_t words = len / 8 + 1;
	uint64_t v[4];

	memcpy(padded, message, len);
	padded[words * 8 - 1] = (uint8_t)len;
	v[0] = key->k0 ^ 0x736f6d6570736575;
	v[1] = key->k1 ^ 0x646f72616e646f6d;
	v[2] = key->k0 ^ 0x6c7967656e657261;
	v[3] = key->k1 ^ 0x7465646279746573;
	for (size_t w = 0; w < words; w++) {
		uint64_t m = 0;

		for (int i = 7; i >= 0; i--)
			m = m << 8 | padded[w * 8 + (size_t)i];
		v[3] ^= m;
		for (int i = 0; i < c; i++)
			plain_round(v);
		v[0] ^= m;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < d; i++)
		plain_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void siphash24_gives_the_known_tags(void **state)
{
	/* 15 octets: the paper's appendix A; the others by OpenSSL's SIPHASH. */
	static const struct vector vectors[] = {
		{0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
		{8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5}, {63, 0x958a324ceb064572},
	};
	uint8_t message[LONGEST];

	fill_counting(message, sizeof(message));
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(siphash24(&counting_key, message, vectors[i].len), vectors[i].tag);
}

static void siphash13_gives_the_known_tags(void **state)
{
	/* CPython 3.11's hash() of the same octets with PYTHONHASHSEED=0, which is a key of 0. */
	static const struct vector vectors[] = {
		{1, 0x68a914128e01e473},  {7, 0x2f098ab0c751325a},  {8, 0xead411e67ebe2eea},
		{15, 0xf30eb725bb91c9ea}, {16, 0x8972188433a5c5b7}, {33, 0x7fb71d24dfa4c9f6},
		{63, 0x385d3e39e5f37359},
	};
	const struct siphash_key zero = {0, 0};
	uint8_t message[LONGEST];

	fill_counting(message, sizeof(message));
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_int_equal(siphash13(&zero, message, vectors[i].len), vectors[i].tag);
}

static void siphash13_of_128_bits_gives_the_known_tags(void **state)
{
	/* OpenSSL's SIPHASH with size 16, c-rounds 1, d-rounds 3. */
	static const struct {
		size_t len;
		uint8_t tag[16];
	} vectors[] = {
		{0,
		 {0xe7, 0x7e, 0xbc, 0xb2, 0x27, 0x88, 0xa5, 0xbe, 0xfd, 0x62, 0xdb, 0x6a, 0xdd,
		  0x30, 0x30, 0x01}},
		{7,
		 {0x10, 0x84, 0xb9, 0x23, 0xf2, 0xaa, 0xe0, 0xc3, 0xa6, 0x2f, 0x2e, 0xc8, 0x08,
		  0x48, 0xab, 0x77}},
		{8,
		 {0xaa, 0x12, 0xfe, 0xe1, 0xd5, 0xe3, 0xda, 0xb4, 0x72, 0x4f, 0x16, 0xab, 0x35,
		  0xf9, 0xc7, 0x99}},
		{33,
		 {0xc5, 0xf5, 0x7b, 0xae, 0x13, 0x20, 0xfc, 0xf4, 0xb4, 0xe8, 0x68, 0xe7, 0x1d,
		  0x56, 0xc6, 0x6b}},
	};
	uint8_t message[LONGEST];

	fill_counting(message, sizeof(message));
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct siphash_tag tag = siphash13_128(&counting_key, message, vectors[i].len);
		uint64_t octets[2] = {htole64(tag.lo), htole64(tag.hi)};

		assert_memory_equal(octets, vectors[i].tag, sizeof(octets));
	}
}

static void both_agree_with_the_paper_s_text_at_every_length_and_alignment(void **state)
{
	const struct siphash_key key = {0x9ae16a3b2f90404f, 0xc949d7c7509e6557};
	uint8_t message[LONGEST + 8];

	fill_counting(message, sizeof(message));
	for (size_t at = 0; at < 8; at++) {
		for (size_t len = 0; len <= LONGEST - 1; len++) {
			const uint8_t *m = message + at;

			assert_int_equal(siphash24(&key, m, len),
					 plain_siphash(2, 4, &key, m, len));
			assert_int_equal(siphash13(&key, m, len),
					 plain_siphash(1, 3, &key, m, len));
		}
	}
}

static void every_bit_of_key_and_message_changes_the_tag(void **state)
{
	struct siphash_key key = counting_key;
	uint8_t message[19];
	uint64_t tag;

	fill_counting(message, sizeof(message));
	tag = siphash13(&key, message, sizeof(message));
	for (unsigned bit = 0; bit < 8 * sizeof(message); bit++) {
		message[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_int_not_equal(siphash13(&key, message, sizeof(message)), tag);
		message[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		key.k0 ^= 1ULL << bit;
		assert_int_not_equal(siphash13(&key, message, sizeof(message)), tag);
		key.k0 ^= 1ULL << bit;
		key.k1 ^= 1ULL << bit;
		assert_int_not_equal(siphash13(&key, message, sizeof(message)), tag);
		key.k1 ^= 1ULL << bit;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash24_gives_the_known_tags),
		cmocka_unit_test(siphash13_gives_the_known_tags),
		cmocka_unit_test(siphash13_of_128_bits_gives_the_known_tags),
		cmocka_unit_test(both_agree_with_the_paper_s_text_at_every_length_and_alignment),
		cmocka_unit_test(every_bit_of_key_and_message_changes_the_tag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
