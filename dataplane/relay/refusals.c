/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The refusals' table: buckets of four entries, each a record of words behind a version.
 *
 * Thread: any. A reader takes no lock (whole.h). A writer claims the bucket, so that one recipient
 * has no two entries, and gives way when it is claimed.
 * Time: given; one that goes back counts as no time passed. Memory: refusals_new's.
 * Rules: nothing is remembered of postmaster, in whatever domain (RFC 5321 4.5.1).
 */
#include "relay/refusals.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "relay/whole.h"
#include "smtp/limits.h"

enum {
	BUCKET_ENTRIES = 4,
	ENTRIES_LEAST = 8,
	ALIGNMENT = 256,
	TEXT_WORDS = REFUSAL_TEXT_MAX / 8,
	ADDRESS_MAX = SMTP_ADDRESS_MAX,
};

static_assert(REFUSAL_TEXT_MAX % 8 == 0 && REFUSAL_TEXT_MAX <= UINT8_MAX, "text is whole words");

static const uint64_t kept_us = (uint64_t)REFUSAL_S * 1000 * 1000;

/* The words of an entry. */
enum {
	WORD_KEY, /* two of them */
	WORD_SINCE = 2,
	WORD_HEAD,
	WORD_TEXT,
	WORDS = WORD_TEXT + TEXT_WORDS,
};

/* A since of 0: empty. */
struct entry {
	_Atomic uint64_t version;
	_Atomic uint64_t words[WORDS];
	uint64_t spare[31 - WORDS];
};

static_assert(sizeof(struct entry) == ALIGNMENT, "an entry is four cache lines");

struct refusals {
	struct siphash_key keys[2];
	uint32_t mask; /* of buckets */
	struct entry *entries;
	_Atomic uint8_t *claims; /* a bucket each */
};

struct digest {
	uint64_t words[2];
};

/* --- life ------------------------------------------------------------------------------------- */

struct refusals *refusals_new(uint32_t entries, const struct siphash_key keys[2])
{
	struct refusals *r = calloc(1, sizeof(*r));
	size_t len = (size_t)entries * sizeof(*r->entries);

	assert(entries >= ENTRIES_LEAST && (entries & (entries - 1)) == 0);
	if (!r)
		return NULL;
	memcpy(r->keys, keys, sizeof(r->keys));
	r->mask = entries / BUCKET_ENTRIES - 1;
	r->entries = aligned_alloc(ALIGNMENT, len);
	r->claims = calloc(entries / BUCKET_ENTRIES, sizeof(*r->claims));
	if (!r->entries || !r->claims) {
		refusals_free(r);
		return NULL;
	}
	memset(r->entries, 0, len);
	return r;
}

void refusals_free(struct refusals *r)
{
	if (!r)
		return;
	free(r->entries);
	free(r->claims);
	free(r);
}

/* --- keys ------------------------------------------------------------------------------------- */

enum kind { OF_ONE_SENDER, OF_ANY_SENDER };

static size_t fold(uint8_t *to, struct span address)
{
	for (size_t i = 0; i < address.len; i++)
		to[i] = ascii_lower(address.bytes[i]);
	return address.len;
}

/* Its kind, then the sender if it is of one, NUL, which no address has, and the recipient. */
static struct digest digest_of(const struct refusals *r, enum kind kind, struct span sender,
			       struct span recipient)
{
	uint8_t name[1 + ADDRESS_MAX + 1 + ADDRESS_MAX];
	size_t len = 0;

	name[len++] = (uint8_t)kind;
	if (kind == OF_ONE_SENDER)
		len += fold(name + len, sender);
	name[len++] = '\0';
	len += fold(name + len, recipient);
	return (struct digest){
		{siphash13(&r->keys[0], name, len), siphash13(&r->keys[1], name, len)}};
}

static bool is_possible(struct span sender, struct span recipient)
{
	return sender.len <= ADDRESS_MAX && recipient.len <= ADDRESS_MAX;
}

static bool is_postmaster(struct span recipient)
{
	size_t local_len = recipient.len;

	for (size_t i = recipient.len; i > 0; i--) {
		if (recipient.bytes[i - 1] == '@') {
			local_len = i - 1;
			break;
		}
	}
	return ascii_is_word(recipient.bytes, local_len, "postmaster");
}

/* --- entries ---------------------------------------------------------------------------------- */

static uint32_t bucket_of(const struct refusals *r, const struct digest *d)
{
	return (uint32_t)d->words[0] & r->mask;
}

static uint64_t word(const struct entry *e, unsigned number)
{
	return atomic_load_explicit(&e->words[number], memory_order_acquire);
}

static bool is_of(const struct entry *e, const struct digest *d)
{
	return word(e, WORD_KEY) == d->words[0] && word(e, WORD_KEY + 1) == d->words[1] &&
	       word(e, WORD_SINCE) != 0;
}

/* Of a claimed bucket: the digest's entry, else an empty one, else the oldest. */
static struct entry *place_for(struct entry *bucket, const struct digest *d)
{
	struct entry *oldest = bucket;

	for (unsigned i = 0; i < BUCKET_ENTRIES; i++) {
		if (is_of(&bucket[i], d))
			return &bucket[i];
		if (word(&bucket[i], WORD_SINCE) < word(oldest, WORD_SINCE))
			oldest = &bucket[i];
	}
	return oldest;
}

static void pack(const struct refusal *refusal, const struct digest *d, uint64_t now_us,
		 uint64_t words[WORDS])
{
	uint64_t len = refusal->text_len < REFUSAL_TEXT_MAX ? refusal->text_len : REFUSAL_TEXT_MAX;

	memset(words, 0, WORDS * sizeof(*words));
	memcpy(words + WORD_KEY, d->words, sizeof(d->words));
	words[WORD_SINCE] = now_us ? now_us : 1;
	words[WORD_HEAD] = refusal->code | (uint64_t)refusal->pool << 16 |
			   (uint64_t)refusal->server << 32 | len << 48 |
			   (uint64_t)refusal->is_suspect << 56;
	memcpy(words + WORD_TEXT, refusal->text, len);
}

static void unpack(const uint64_t words[WORDS], struct refusal *refusal)
{
	uint64_t head = words[WORD_HEAD];

	*refusal = (struct refusal){
		.code = (uint16_t)head,
		.pool = (uint16_t)(head >> 16),
		.server = (uint16_t)(head >> 32),
		.text_len = (uint8_t)(head >> 48),
		.is_suspect = head >> 56 & 1,
		.since_us = words[WORD_SINCE],
	};
	memcpy(refusal->text, words + WORD_TEXT, refusal->text_len);
}

void refusals_put(struct refusals *r, struct span sender, struct span recipient, bool any_sender,
		  const struct refusal *refusal, uint64_t now_us)
{
	uint64_t words[WORDS];
	_Atomic uint8_t *claim;
	struct digest d;
	struct entry *e;

	if (!is_possible(sender, recipient) || is_postmaster(recipient))
		return;
	d = digest_of(r, any_sender ? OF_ANY_SENDER : OF_ONE_SENDER, sender, recipient);
	pack(refusal, &d, now_us, words);
	claim = &r->claims[bucket_of(r, &d)];
	if (atomic_exchange_explicit(claim, 1, memory_order_acquire))
		return;
	e = place_for(&r->entries[bucket_of(r, &d) * BUCKET_ENTRIES], &d);
	if (whole_claim(&e->version)) { /* which nobody else does */
		whole_write(e->words, words, WORDS);
		whole_publish(&e->version);
	}
	atomic_store_explicit(claim, 0, memory_order_release);
}

static void forget(struct refusals *r, const struct digest *d)
{
	static const uint64_t nothing[WORDS];
	_Atomic uint8_t *claim = &r->claims[bucket_of(r, d)];
	struct entry *e;

	if (atomic_exchange_explicit(claim, 1, memory_order_acquire))
		return;
	e = place_for(&r->entries[bucket_of(r, d) * BUCKET_ENTRIES], d);
	if (is_of(e, d) && whole_claim(&e->version)) {
		whole_write(e->words, nothing, WORDS);
		whole_publish(&e->version);
	}
	atomic_store_explicit(claim, 0, memory_order_release);
}

void refusals_forget(struct refusals *r, struct span sender, struct span recipient)
{
	struct digest one, any;

	if (!is_possible(sender, recipient))
		return;
	one = digest_of(r, OF_ONE_SENDER, sender, recipient);
	any = digest_of(r, OF_ANY_SENDER, sender, recipient);
	forget(r, &one);
	forget(r, &any);
}

static bool holds(uint64_t since_us, uint64_t now_us)
{
	return now_us <= since_us || now_us - since_us < kept_us;
}

static bool find(const struct refusals *r, const struct digest *d, uint64_t now_us,
		 struct refusal *refusal)
{
	const struct entry *bucket = &r->entries[bucket_of(r, d) * BUCKET_ENTRIES];
	uint64_t words[WORDS];

	for (unsigned i = 0; i < BUCKET_ENTRIES; i++) {
		if (!is_of(&bucket[i], d))
			continue;
		if (!whole_read(&bucket[i].version, bucket[i].words, words, WORDS))
			continue;
		if (memcmp(words + WORD_KEY, d->words, sizeof(d->words)) != 0 ||
		    !holds(words[WORD_SINCE], now_us))
			continue;
		unpack(words, refusal);
		return true;
	}
	return false;
}

bool refusals_find(const struct refusals *r, struct span sender, struct span recipient,
		   uint64_t now_us, struct refusal *refusal)
{
	struct digest one, any;

	if (!is_possible(sender, recipient))
		return false;
	one = digest_of(r, OF_ONE_SENDER, sender, recipient);
	any = digest_of(r, OF_ANY_SENDER, sender, recipient);
	return find(r, &one, now_us, refusal) || find(r, &any, now_us, refusal);
}
