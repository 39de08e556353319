/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What control does with the harvest's table: explain, unban, keep over a restart.
 *
 * Thread: control, beside workers. Time: given. Memory: the caller's.
 * Rules: a checkpoint is a run of records of 32 octets in the host's order: key, score, until,
 * counts; each by itself, so that it may be cut between any two.
 */
#include <errno.h>
#include <string.h>

#include "policy/harvest_private.h"

struct record {
	uint64_t key, score, until, counts;
};

static_assert(sizeof(struct record) == 32, "written as octets");

static uint64_t load(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

bool harvest_until(const struct harvest *h, const struct ip_addr *address, uint8_t prefix_len,
		   uint32_t now_s, uint32_t *until_s)
{
	struct place p = entries_find(h, entries_key(address, prefix_len));
	uint32_t drop_s;

	if (!p.bucket)
		return false;
	drop_s = until_unpack(load(until_word(&p))).drop_s;
	*until_s = drop_s > now_s ? drop_s : 0;
	return true;
}

static void story_of(struct harvest *h, uint32_t now_s, struct harvest_story *story)
{
	struct place p = entries_find(h, entries_key(&story->address, story->prefix_len));
	struct counts c;
	struct until until;
	struct score s;

	if (!p.bucket)
		return;
	s = score_at(h, load(score_word(&p)), now_s);
	until = until_unpack(load(until_word(&p)));
	c = counts_at(load(counts_word(&p)), now_s);
	story->is_known = true;
	story->score = s.score;
	story->null_score = (int16_t)(s.null_score * (SCORE_ONE / NULL_ONE));
	story->level = s.level;
	story->by_hand = s.by_hand && until.drop_s > now_s;
	story->until_s = until.drop_s > now_s ? until.drop_s : 0;
	story->null_until_s = until.null_s > now_s ? until.null_s : 0;
	story->seen_s = now_s - minutes_since_score(load(score_word(&p)), now_s) * 60;
	story->unknown_today = c.unknown_today;
	story->delivered_today = c.delivered_today;
	story->unknown_week = (uint16_t)(c.unknown[0] + c.unknown[1]);
	story->delivered_week = (uint16_t)(c.delivered[0] + c.delivered[1]);
	story->is_established = counts_are_established(&c);
}

size_t harvest_explain(struct harvest *h, const struct ip_addr *address, uint32_t now_s,
		       struct harvest_story stories[HARVEST_LEVELS])
{
	static const uint8_t v4[] = {128, 120}, v6[] = {64, 56, 48};
	bool is_v4 = ip_addr_is_v4(address);
	size_t n = is_v4 ? sizeof(v4) : sizeof(v6);

	for (size_t i = 0; i < n; i++) {
		stories[i] = (struct harvest_story){
			.address = *address,
			.prefix_len = is_v4 ? v4[i] : v6[i],
			.is_allowed = harvest_is_allowed(h, address),
		};
		network_mask(&stories[i].address, stories[i].prefix_len);
		story_of(h, now_s, &stories[i]);
	}
	return n;
}

bool harvest_unban(struct harvest *h, const struct ip_addr *address, uint8_t prefix_len)
{
	struct place p = entries_find(h, entries_key(address, prefix_len));
	const struct until never = {0};
	uint64_t word;
	struct score s;

	if (!p.bucket)
		return false;
	/* Credit stays. The score first: nobody may be found beyond the line without a verdict. */
	word = load(score_word(&p));
	do {
		s = score_unpack(word);
		if (s.score > 0)
			s.score = 0;
		if (s.null_score > 0)
			s.null_score = 0;
		s.level = 0;
		s.by_hand = false;
	} while (is_theirs(&p, word) &&
		 !atomic_compare_exchange_strong(score_word(&p), &word, score_pack(&s)));
	word = load(until_word(&p));
	while (!until_change(&p, &word, &never) && is_theirs(&p, load(score_word(&p))))
		;
	return true;
}

bool harvest_is_level(const struct ip_addr *address, uint8_t prefix_len)
{
	return ip_addr_is_v4(address) ? prefix_len == 128 || prefix_len == 120
				      : prefix_len == 64 || prefix_len == 56 || prefix_len == 48;
}

int harvest_shut_out(struct harvest *h, const struct ip_addr *address, uint8_t prefix_len,
		     uint32_t until_s, bool by_hand, uint32_t now_s)
{
	struct until until;
	struct score s;
	struct place p;
	uint64_t word;

	if (!harvest_is_level(address, prefix_len))
		return -EINVAL;
	if (harvest_is_allowed(h, address))
		return -EPERM;
	if (h->config.observe)
		return -ENOTSUP;
	p = entries_get(h, entries_key(address, prefix_len), now_s);
	word = load(score_word(&p));
	do {
		s = score_unpack(word);
		s.by_hand = by_hand;
		s.by_proxy = false;
	} while (is_theirs(&p, word) &&
		 !atomic_compare_exchange_strong(score_word(&p), &word, score_pack(&s)));
	word = load(until_word(&p));
	do {
		until = until_unpack(word);
		until.drop_s = until_s;
	} while (!until_change(&p, &word, &until) && is_theirs(&p, load(score_word(&p))));
	return 0;
}

/* One entry's verdicts, of drop and null sender; returns how many. */
static size_t running_of(const struct harvest *h, const struct harvest_bucket *b, unsigned slot,
			 uint32_t now_s, struct harvest_verdict verdicts[2])
{
	uint64_t key = load(&b->keys[slot]);
	struct until until = until_unpack(load(&b->untils[slot]));
	struct harvest_verdict v = {.observed = h->config.observe};
	struct counts c;
	struct score s;
	size_t n = 0;

	if (key == 0 || (until.drop_s <= now_s && until.null_s <= now_s))
		return 0;
	v.prefix_len = entries_key_address(key, &v.address);
	s = score_at(h, load(&b->scores[slot]), now_s);
	c = counts_at(load(&b->counts[slot]), now_s);
	/* Not while it changes hands, and not a single sender's. */
	if (v.prefix_len == 0 || load(&b->keys[slot]) != key)
		return 0;
	v.unknown_today = c.unknown_today;
	v.delivered_today = c.delivered_today;
	if (until.drop_s > now_s) {
		v.by_hand = s.by_hand;
		v.by_proxy = s.by_proxy;
		v.level = s.level && !s.by_hand ? s.level - 1 : s.level;
		v.score = s.score;
		v.until_s = until.drop_s;
		v.ttl_s = until.drop_s - now_s;
		verdicts[n++] = v;
	}
	if (until.null_s > now_s) {
		v.kind = HARVEST_VERDICT_NULL;
		v.by_hand = v.by_proxy = false;
		v.level = 0;
		v.score = (int16_t)(s.null_score * (SCORE_ONE / NULL_ONE));
		v.until_s = until.null_s;
		v.ttl_s = until.null_s - now_s;
		verdicts[n++] = v;
	}
	return n;
}

size_t harvest_running(const struct harvest *h, uint32_t *at, uint32_t now_s,
		       struct harvest_verdict *verdicts, size_t n)
{
	uint32_t entries = h->n_buckets * BUCKET_ENTRIES;
	size_t found = 0;

	for (; *at < entries && found + 2 <= n; (*at)++)
		found += running_of(h, &h->buckets[*at / BUCKET_ENTRIES], *at % BUCKET_ENTRIES,
				    now_s, verdicts + found);
	return found;
}

void harvest_spared(struct harvest *h, const struct ip_addr *address, uint8_t prefix_len,
		    uint32_t now_s, void (*each)(void *arg, const struct ip_addr *client),
		    void *arg)
{
	uint8_t len = client_len(address);
	struct ip_addr client = *address;
	uint32_t n = 1U << (len - prefix_len);
	unsigned last = len / 8 - 1;

	network_mask(&client, prefix_len);
	for (uint32_t i = 0; i < n; i++) {
		client.octets[last] = (uint8_t)i;
		if (n > 256)
			client.octets[last - 1] = (uint8_t)(i >> 8);
		if (has_credit(h, entries_key(&client, len), now_s))
			each(arg, &client);
	}
}

/* What was only observed leaves what a verdict leaves whose time is over, and no level: nobody has
 * had to bear it. An operator's own is from before, and stays. */
static struct record unobserved(const struct harvest *h, const struct record *r)
{
	struct until until = until_unpack(r->until);
	struct score s = score_unpack(r->score);
	struct ip_addr address;
	uint8_t len = entries_key_address(r->key, &address);
	int32_t line = harvest_line(h, len);
	int32_t null_line = h->line * NULL_ONE / SCORE_ONE;

	if (s.by_hand)
		return *r;
	if ((until.drop_s || s.score >= line) && s.score > line / 2)
		s.score = (int16_t)(line / 2);
	if (s.null_score > null_line / 2 && (until.null_s || s.null_score >= null_line))
		s.null_score = (int16_t)(null_line / 2);
	s.level = 0;
	return (struct record){r->key, score_pack(&s), 0, r->counts};
}

size_t harvest_checkpoint(const struct harvest *h, uint32_t *at, void *octets, size_t len)
{
	uint32_t entries = h->n_buckets * BUCKET_ENTRIES;
	size_t written = 0;

	for (; *at < entries && written + sizeof(struct record) <= len; (*at)++) {
		const struct harvest_bucket *b = &h->buckets[*at / BUCKET_ENTRIES];
		unsigned slot = *at % BUCKET_ENTRIES;
		struct record r = {load(&b->keys[slot]), load(&b->scores[slot]),
				   load(&b->untils[slot]), load(&b->counts[slot])};

		/* Not while it changes hands. */
		if (r.key == 0 || load(&b->keys[slot]) != r.key)
			continue;
		if (h->config.observe)
			r = unobserved(h, &r);
		memcpy((uint8_t *)octets + written, &r, sizeof(r));
		written += sizeof(r);
	}
	return written;
}

bool harvest_is_checkpoint(const void *octets, size_t len)
{
	if (len % sizeof(struct record))
		return false;
	for (size_t at = 0; at < len; at += sizeof(struct record)) {
		struct record r;

		memcpy(&r, (const uint8_t *)octets + at, sizeof(r));
		if (r.key == 0)
			return false;
	}
	return true;
}

int harvest_restore(struct harvest *h, const void *octets, size_t len)
{
	if (!harvest_is_checkpoint(octets, len))
		return -EINVAL;
	for (size_t at = 0; at < len; at += sizeof(struct record)) {
		struct record r;
		struct place p;
		struct score s;

		memcpy(&r, (const uint8_t *)octets + at, sizeof(r));
		s = score_unpack(r.score);
		p = entries_get(h, r.key, s.minute * 60);
		s.tag = p.tag;
		/* A loan, whose transaction is no more. */
		if (s.score < 0 && !s.delivered)
			s.score = 0;
		atomic_store(score_word(&p), score_pack(&s));
		atomic_store(until_word(&p), r.until);
		atomic_store(counts_word(&p), r.counts);
	}
	return 0;
}

static void cap(const struct place *p, uint32_t latest_s)
{
	const bool by_hand = score_unpack(load(score_word(p))).by_hand;
	uint64_t word = load(until_word(p));
	struct until until;

	do {
		until = until_unpack(word);
		if (until.drop_s > latest_s && !by_hand)
			until.drop_s = latest_s;
		if (until.null_s > latest_s)
			until.null_s = latest_s;
	} while (!atomic_compare_exchange_strong(until_word(p), &word, until_pack(&until)));
}

void harvest_cap(struct harvest *h, uint32_t now_s)
{
	for (uint32_t i = 0; i < h->n_buckets; i++)
		for (unsigned slot = 0; slot < BUCKET_ENTRIES; slot++) {
			const struct place p = {.bucket = &h->buckets[i], .slot = slot};

			if (load(until_word(&p)))
				cap(&p, now_s + h->config.longest_ttl_s);
		}
}

void harvest_count(const struct harvest *h, uint32_t now_s, struct harvest_counts *counts)
{
	*counts = (struct harvest_counts){
		.entries = h->config.entries,
		.used = load(&h->used),
		.evicted = load(&h->evicted),
		.evicted_with_credit = load(&h->evicted_with_credit),
		.filter_share = filter_share(h, PAIR_LENT, now_s),
		.unknown_filter_share = filter_share(h, PAIR_UNKNOWN, now_s),
	};
}
