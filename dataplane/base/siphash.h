/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SipHash: a keyed hash a peer cannot steer without the key.
 * Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012; the 128-bit form
 * is the authors' reference implementation's.
 *
 * Thread: any. Time: none. Memory: none.
 */
#ifndef POSTERN_BASE_SIPHASH_H
#define POSTERN_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct siphash_key {
	uint64_t k0, k1; /* little-endian halves of the 16-octet key */
};

/* 64-bit tag of len octets; 2 compression and 4 finalisation rounds (the authors' choice). */
uint64_t siphash24(const struct siphash_key *key, const void *bytes, size_t len);

/* 64-bit tag; 1 and 3 rounds: for tables, where the tag itself is never shown to a peer. */
uint64_t siphash13(const struct siphash_key *key, const void *bytes, size_t len);

struct siphash_tag {
	uint64_t lo, hi; /* little-endian halves of the 16-octet tag */
};

/* 128-bit tag; 1 and 3 rounds. */
struct siphash_tag siphash13_128(const struct siphash_key *key, const void *bytes, size_t len);

#endif
