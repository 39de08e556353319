/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The test itself: what is asked, what it says of who asks, and when it is enough.
 *
 * Thread: any. A recipient's evidence is entered before its answer goes out, by compare-and-swap of
 * the client's score word: who moves it across the line answers the last one, and who finds it
 * beyond answers nothing. So no more are answered than the line allows, however many workers a
 * client talks to at once.
 * Time: given. Memory: an entry at the first evidence; none for who is only welcome.
 * Rules: SEMANTICS, "Harvest". A good recipient is a loan. A part of it, three tenths of an
 * unknown one, is taken off the client's score at once, because who sends a list on many
 * connections has his unknown ones added up long before the first message is delivered. The rest
 * raises the line of its own transaction, by two lines at most. What was taken is given back by a
 * transaction that nothing comes of. Until then it is no credit: it spares no prefix's verdict,
 * makes no address dead and ends no level. What fails at our end or a backend's makes up for
 * evidence and builds no credit: an outage flags nobody, and mail that nobody takes buys nothing.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/ascii.h"
#include "policy/harvest_private.h"

enum {
	PREFIX_LINES = 3, /* of a /24 and a /56 */
	WIDE_LINES = 6,	  /* of a /48 */
	PREFIXES_MAX = 2,
	V4_PREFIX = 120, /* lengths as in the mapped form */
	V6_PREFIX = 56,
	V6_WIDE_PREFIX = 48,

	NULL_FLOOR = FLOOR * NULL_ONE / SCORE_ONE,
	NULL_MAX = 0x7ff,

	DAY_FREE = 5,	  /* unknown recipients of a day that count once, and one more ... */
	DAY_SHARE = 4,	  /* ... for so many that were delivered */
	DEAD_CLIENTS = 5, /* so many clients with credit mail it: nobody is told by it */
	DEAD_WEIGHT = 16, /* its part of an unknown one */

	LENT_TENTHS = 3, /* of an unknown one, which a good one makes up for at once */
	RAISE_LINES = 2,

	ESTABLISHED_DELIVERED = 100,
	ESTABLISHED_UNKNOWN_PERCENT = 30,
	PROVED = -10 * SCORE_ONE, /* credit that makes verdicts of old forgotten, and has a voice
				     in who is dead */
};

/* --- life ------------------------------------------------------------------------------------ */

void harvest_defaults(struct harvest_config *config)
{
	*config = (struct harvest_config){
		.p0 = 0.03,
		.p1 = 0.9,
		.alpha = 1e-5,
		.beta = 0.01,
		.first_ttl_s = 5 * 60,
		.longest_ttl_s = 24 * 3600,
		.known_ttl_s = 4 * 3600,
		.entries = 1 << 20,
		.filter_octets = 64 << 20,
	};
}

static int32_t bounded(int32_t value, int32_t least, int32_t most)
{
	return value < least ? least : value > most ? most : value;
}

static bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static bool is_test(const struct harvest_config *c)
{
	return c->p0 > 0 && c->p0 < c->p1 && c->p1 < 1 && c->alpha > 0 && c->alpha < 1 &&
	       c->beta > 0 && c->beta < 1 && 1 - c->beta > c->alpha &&
	       is_power_of_two(c->entries) && c->entries >= BUCKET_ENTRIES &&
	       is_power_of_two(c->filter_octets) && c->filter_octets >= sizeof(uint64_t);
}

struct harvest *harvest_new(const struct harvest_config *config)
{
	struct harvest *h;

	if (!is_test(config))
		return NULL;
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->config = *config;
	memcpy(&h->key, config->entropy, sizeof(h->key));
	h->unknown = (int32_t)lround(SCORE_ONE * log(config->p1 / config->p0));
	h->good = (int32_t)lround(SCORE_ONE * log((1 - config->p0) / (1 - config->p1)));
	h->line = (int32_t)lround(SCORE_ONE * log((1 - config->beta) / config->alpha));
	h->lent = bounded(h->unknown * LENT_TENTHS / 10, 0, h->good);
	for (unsigned i = 0; i < FADE_STEPS; i++)
		h->fade[i] = (uint32_t)lround(65536 * exp2(-(double)i / FADE_STEPS));
	h->networks = calloc(HARVEST_NETWORKS_MAX, sizeof(*h->networks));
	if (!h->networks || entries_init(h) || filter_init(h)) {
		harvest_free(h);
		return NULL;
	}
	return h;
}

void harvest_free(struct harvest *h)
{
	if (!h)
		return;
	filter_release(h);
	entries_release(h);
	free(h->networks);
	free(h);
}

uint64_t harvest_digest(const struct harvest *h, const char *local, size_t local_len,
			const char *domain, size_t domain_len)
{
	uint8_t name[RECIPIENT_LOCAL_MAX + 1 + RECIPIENT_DOMAIN_MAX];
	size_t n = 0;

	if (local_len > RECIPIENT_LOCAL_MAX)
		local_len = RECIPIENT_LOCAL_MAX; /* a sender's; its beginning will do */
	if (domain_len > RECIPIENT_DOMAIN_MAX)
		domain_len = RECIPIENT_DOMAIN_MAX;
	for (; n < local_len; n++)
		name[n] = ascii_lower((uint8_t)local[n]);
	name[n++] = '@';
	memcpy(name + n, domain, domain_len);
	return siphash13(&h->key, name, n + domain_len);
}

bool harvest_observes(const struct harvest *h)
{
	return h->config.observe;
}

/* --- lines ----------------------------------------------------------------------------------- */

/* The lengths of a client's prefixes, the wider last. */
static size_t prefixes_of(const struct ip_addr *address, uint8_t lens[PREFIXES_MAX])
{
	if (ip_addr_is_v4(address)) {
		lens[0] = V4_PREFIX;
		return 1;
	}
	lens[0] = V6_PREFIX;
	lens[1] = V6_WIDE_PREFIX;
	return 2;
}

int32_t harvest_line(const struct harvest *h, uint8_t len)
{
	switch (len) {
	case V4_PREFIX:
	case V6_PREFIX:
		return PREFIX_LINES * h->line;
	case V6_WIDE_PREFIX:
		return WIDE_LINES * h->line;
	default:
		return h->line;
	}
}

/* --- changing words -------------------------------------------------------------------------- */

static uint64_t load(const _Atomic uint64_t *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

static bool swap(_Atomic uint64_t *at, uint64_t *expected, uint64_t desired)
{
	return atomic_compare_exchange_strong(at, expected, desired);
}

/* Words without a tag: put in place, and taken back when the entry was given up in between. */
static bool swap_if_theirs(const struct place *p, _Atomic uint64_t *at, uint64_t *expected,
			   uint64_t desired)
{
	if (!swap(at, expected, desired))
		return false;
	if (is_theirs(p, load(score_word(p))))
		return true;
	swap(at, &desired, *expected);
	return false;
}

bool until_change(const struct place *p, uint64_t *word, const struct until *until)
{
	return swap_if_theirs(p, until_word(p), word, until_pack(until));
}

/* A verdict whose time has come leaves half a line behind. The score first: nobody may find it
 * beyond the line without a verdict. */
static void expire(const struct harvest *h, const struct place *p, uint8_t len, uint32_t now_s)
{
	uint64_t word = load(until_word(p)), score = load(score_word(p));
	struct until until = until_unpack(word);
	struct score s;

	if (until.drop_s == 0 || until.drop_s > now_s || !is_theirs(p, score))
		return;
	do {
		s = score_at(h, score, now_s);
		if (s.score > harvest_line(h, len) / 2)
			s.score = (int16_t)(harvest_line(h, len) / 2);
		s.by_hand = false;
	} while (is_theirs(p, score) && load(until_word(p)) == word &&
		 !swap(score_word(p), &score, score_pack(&s)));
	until.drop_s = 0;
	until_change(p, &word, &until);
}

/* What adding evidence came to. */
enum added {
	ADDED,
	ADDED_ACROSS, /* and it was this that crossed the line */
	BEYOND,	      /* nothing was added: it was beyond already */
};

/* From one score to another. */
struct step {
	int32_t from, to;
};

/* Adds to an entry's score unless it is beyond the line. */
static enum added score_add(const struct harvest *h, const struct place *p, int32_t value,
			    int32_t line, uint32_t now_s, struct step *step)
{
	uint64_t word = load(score_word(p));
	struct score s;

	do {
		*step = (struct step){0};
		if (!is_theirs(p, word))
			return ADDED; /* it was given up this moment */
		s = score_at(h, word, now_s);
		*step = (struct step){s.score, s.score};
		if (s.score >= line && !h->config.observe)
			return BEYOND;
		step->to = bounded(s.score + value, FLOOR, INT16_MAX);
		s.score = (int16_t)step->to;
	} while (!swap(score_word(p), &word, score_pack(&s)));
	return step->from < line && step->to >= line ? ADDED_ACROSS : ADDED;
}

/* Moves a score by so much if it lies above one bound and below the other. */
static struct step score_move(const struct harvest *h, const struct place *p, int32_t by,
			      int32_t above, int32_t below, uint32_t now_s)
{
	uint64_t word = load(score_word(p));
	struct step step = {0};
	struct score s;

	do {
		if (!is_theirs(p, word))
			return (struct step){0};
		s = score_at(h, word, now_s);
		step = (struct step){s.score, s.score};
		if (s.score <= above || s.score >= below)
			return step;
		step.to = bounded(s.score + by, FLOOR, INT16_MAX);
		s.score = (int16_t)step.to;
	} while (!swap(score_word(p), &word, score_pack(&s)));
	return step;
}

/* Takes a loan off a score that is below its line. */
static struct step score_lend(const struct harvest *h, const struct place *p, int32_t line,
			      uint32_t now_s)
{
	return score_move(h, p, -h->lent, FLOOR, line, now_s);
}

static struct step score_give_back(const struct harvest *h, const struct place *p, uint32_t taken,
				   uint32_t now_s)
{
	return score_move(h, p, (int32_t)taken, INT32_MIN, INT32_MAX, now_s);
}

static enum added null_score_add(const struct harvest *h, const struct place *p, int32_t value,
				 uint32_t now_s)
{
	uint64_t word = load(score_word(p));
	int32_t line = h->line * NULL_ONE / SCORE_ONE, before;
	struct score s;

	do {
		if (!is_theirs(p, word))
			return ADDED;
		s = score_at(h, word, now_s);
		before = s.null_score;
		if (before >= line && !h->config.observe)
			return BEYOND;
		s.null_score = (int16_t)bounded(before + value, NULL_FLOOR, NULL_MAX);
	} while (!swap(score_word(p), &word, score_pack(&s)));
	return before < line && s.null_score >= line ? ADDED_ACROSS : ADDED;
}

static struct counts count(const struct place *p, uint32_t unknown, uint32_t delivered,
			   uint32_t now_s)
{
	enum { TODAY_MAX = 0x1fff, HALF_MAX = UINT8_MAX };
	uint64_t word = load(counts_word(p));
	struct counts c;

	do {
		uint32_t u, d;

		c = counts_at(word, now_s);
		u = c.unknown[0] + unknown;
		d = c.delivered[0] + delivered;
		while (u > HALF_MAX || d > HALF_MAX) {
			/* What matters is their share. */
			u /= 2;
			d /= 2;
		}
		c.unknown[0] = (uint8_t)u;
		c.delivered[0] = (uint8_t)d;
		c.unknown_today =
			(uint16_t)bounded((int32_t)(c.unknown_today + unknown), 0, TODAY_MAX);
		c.delivered_today =
			(uint16_t)bounded((int32_t)(c.delivered_today + delivered), 0, TODAY_MAX);
	} while (!swap_if_theirs(p, counts_word(p), &word, counts_pack(&c)) &&
		 is_theirs(p, load(score_word(p))));
	return c;
}

/* --- verdicts -------------------------------------------------------------------------------- */

bool counts_are_established(const struct counts *c)
{
	uint32_t delivered = (uint32_t)c->delivered[0] + c->delivered[1];
	uint32_t unknown = (uint32_t)c->unknown[0] + c->unknown[1];

	return delivered >= ESTABLISHED_DELIVERED &&
	       unknown * 100 < ESTABLISHED_UNKNOWN_PERCENT * (unknown + delivered);
}

static uint32_t ttl_of(const struct harvest *h, const struct score *s)
{
	uint64_t longest = s->delivered ? h->config.known_ttl_s : h->config.longest_ttl_s;
	uint64_t ttl = (uint64_t)h->config.first_ttl_s << s->level;

	return (uint32_t)(ttl < longest ? ttl : longest);
}

/* Credit that was delivered for, in this week. */
static bool has_proved(const struct harvest *h, const struct score *s, const struct counts *c)
{
	return s->score <= PROVED && (c->delivered[0] + c->delivered[1]) * h->good >= -PROVED;
}

/* One verdict more. */
static void level_up(const struct harvest *h, const struct place *p, bool by_proxy, uint32_t now_s)
{
	uint64_t word = load(score_word(p));
	struct score s;

	do {
		s = score_at(h, word, now_s);
		if (s.level < LEVEL_MAX)
			s.level++;
		s.by_proxy = by_proxy;
	} while (is_theirs(p, word) && !swap(score_word(p), &word, score_pack(&s)));
}

static void tell(const struct harvest *h, struct harvest_verdicts *verdicts,
		 const struct harvest_verdict *v)
{
	if (verdicts->n < HARVEST_VERDICTS_MAX) {
		verdicts->at[verdicts->n] = *v;
		verdicts->at[verdicts->n++].observed = h->config.observe;
	}
}

/* Whoever sets the time tells of it; the others find it set. */
static void drop(const struct harvest *h, const struct place *p, uint8_t len, uint64_t key,
		 bool by_proxy, uint32_t now_s, struct harvest_verdicts *verdicts)
{
	uint64_t word = load(until_word(p));
	struct counts c = counts_at(load(counts_word(p)), now_s);
	struct score s = score_at(h, load(score_word(p)), now_s);
	struct harvest_verdict v = {
		.kind = HARVEST_VERDICT_DROP,
		.level = s.level,
		.by_proxy = by_proxy,
		.ttl_s = ttl_of(h, &s),
		.score = s.score,
		.unknown_today = c.unknown_today,
		.delivered_today = c.delivered_today,
	};
	struct until until = until_unpack(word);

	if (until.drop_s > now_s)
		return;
	until.drop_s = v.until_s = now_s + v.ttl_s;
	if (!until_change(p, &word, &until))
		return;
	level_up(h, p, by_proxy, now_s);
	entries_key_address(key, &v.address);
	v.prefix_len = len;
	tell(h, verdicts, &v);
}

static void limit_null(const struct harvest *h, const struct place *p, uint8_t len, uint64_t key,
		       uint32_t now_s, struct harvest_verdicts *verdicts)
{
	uint64_t word = load(until_word(p)), score;
	struct score s = score_at(h, load(score_word(p)), now_s);
	struct harvest_verdict v = {
		.kind = HARVEST_VERDICT_NULL,
		.ttl_s = h->config.first_ttl_s,
		.score =
			(int16_t)bounded(s.null_score * SCORE_ONE / NULL_ONE, INT16_MIN, INT16_MAX),
		.prefix_len = len,
	};
	struct until until = until_unpack(word);

	if (until.null_s > now_s)
		return;
	until.null_s = v.until_s = now_s + v.ttl_s;
	if (!until_change(p, &word, &until))
		return;
	/* What the time leaves behind. */
	score = load(score_word(p));
	do {
		s = score_at(h, score, now_s);
		s.null_score = (int16_t)(h->line / 2 * NULL_ONE / SCORE_ONE);
	} while (is_theirs(p, score) && !swap(score_word(p), &score, score_pack(&s)));
	entries_key_address(key, &v.address);
	tell(h, verdicts, &v);
}

/* A key for one sender of one client. */
static uint64_t sender_key(const struct harvest *h, uint64_t client, uint64_t sender)
{
	const uint64_t both[2] = {client, sender};

	return entries_key_of_digest(siphash13(&h->key, both, sizeof(both)));
}

/* An established client loses one sender for a while, and what it has against it. */
static void limit_sender(struct harvest *h, const struct place *p, uint8_t len, uint64_t key,
			 uint64_t sender, uint32_t now_s, struct harvest_verdicts *verdicts)
{
	struct place at = entries_get(h, sender_key(h, key, sender), now_s);
	uint64_t word = load(score_word(p)), before = load(until_word(&at));
	struct score s;
	struct harvest_verdict v = {
		.kind = HARVEST_VERDICT_SENDER,
		.ttl_s = h->config.first_ttl_s,
		.until_s = now_s + h->config.first_ttl_s,
		.prefix_len = len,
	};
	const struct until until = {.null_s = v.until_s};

	do {
		s = score_at(h, word, now_s);
		v.score = s.score;
		s.score = 0;
	} while (is_theirs(p, word) && !swap(score_word(p), &word, score_pack(&s)));
	/* Who was before us said the same. */
	until_change(&at, &before, &until);
	entries_key_address(key, &v.address);
	tell(h, verdicts, &v);
}

/* --- standing -------------------------------------------------------------------------------- */

bool has_credit(const struct harvest *h, uint64_t key, uint32_t now_s)
{
	struct place p = entries_find(h, key);
	struct score s;

	if (!p.bucket)
		return false;
	s = score_at(h, load(score_word(&p)), now_s);
	return s.score < 0 && s.delivered;
}

bool harvest_has_delivered(const struct harvest *h, const struct ip_addr *address)
{
	struct place p = entries_find(h, entries_key(address, client_len(address)));

	return p.bucket && score_unpack(load(score_word(&p))).delivered;
}

/* Which verdicts are asked for. */
enum verdicts_asked { ANY_VERDICT, DROPS };

/* Whether one holds at this entry now. */
static bool is_shut_out(const struct harvest *h, uint64_t key, uint8_t len,
			enum verdicts_asked asked, uint32_t now_s)
{
	struct place p = entries_find(h, key);

	if (!p.bucket)
		return false;
	expire(h, &p, len, now_s);
	return until_unpack(load(until_word(&p))).drop_s > now_s &&
	       (asked == ANY_VERDICT || !score_unpack(load(score_word(&p))).by_proxy);
}

static bool is_gone(const struct harvest *h, const struct ip_addr *address,
		    enum verdicts_asked asked, uint32_t now_s)
{
	const uint8_t len = client_len(address);
	const uint64_t key = entries_key(address, len);
	uint8_t lens[PREFIXES_MAX];
	size_t n = prefixes_of(address, lens);

	if (is_shut_out(h, key, len, asked, now_s))
		return true;
	for (size_t i = 0; i < n; i++)
		if (is_shut_out(h, entries_key(address, lens[i]), lens[i], asked, now_s) &&
		    !has_credit(h, key, now_s))
			return true;
	return false;
}

bool harvest_is_gone(struct harvest *h, const struct ip_addr *address, uint32_t now_s)
{
	return !h->config.observe && is_gone(h, address, ANY_VERDICT, now_s) &&
	       !harvest_is_allowed(h, address);
}

bool harvest_is_dropped(struct harvest *h, const struct ip_addr *address, uint32_t now_s)
{
	return !h->config.observe && is_gone(h, address, DROPS, now_s) &&
	       !harvest_is_allowed(h, address);
}

enum harvest_standing harvest_standing(struct harvest *h, const struct harvest_client *client,
				       uint32_t now_s)
{
	uint8_t len = client_len(&client->address);
	uint64_t key = entries_key(&client->address, len);
	enum harvest_standing is = HARVEST_WELCOME;
	struct place p;

	if (h->config.observe)
		return HARVEST_WELCOME;
	p = client->null_sender ? entries_find(h, key)
				: entries_find(h, sender_key(h, key, client->sender));
	if (is_gone(h, &client->address, ANY_VERDICT, now_s))
		is = HARVEST_GONE;
	else if (p.bucket && until_unpack(load(until_word(&p))).null_s > now_s)
		is = HARVEST_LIMITED;
	if (is != HARVEST_WELCOME && harvest_is_allowed(h, &client->address))
		return HARVEST_WELCOME;
	return is;
}

/* --- recipients ------------------------------------------------------------------------------ */

/* One question on its way. */
struct asking {
	struct harvest *h;
	const struct harvest_client *client;
	uint8_t len;
	uint64_t key;
	struct place place; /* the client's entry */
	uint32_t now_s;
	struct harvest_verdicts *verdicts;
};

static void asking_init(struct asking *a, struct harvest *h, const struct harvest_client *client,
			uint32_t now_s, struct harvest_verdicts *verdicts)
{
	*a = (struct asking){
		.h = h,
		.client = client,
		.len = client_len(&client->address),
		.now_s = now_s,
		.verdicts = verdicts,
	};
	a->key = entries_key(&client->address, a->len);
	verdicts->n = 0;
}

static void asking_enter(struct asking *a, struct place place)
{
	a->place = place;
	expire(a->h, &a->place, a->len, a->now_s);
}

/* Its entry, made at its first evidence. */
static void asking_place(struct asking *a)
{
	if (!a->place.bucket)
		asking_enter(a, entries_get(a->h, a->key, a->now_s));
}

/* Looked for when it matters only: there may be thousands of networks. */
static bool is_allowed(const struct asking *a)
{
	return harvest_is_allowed(a->h, &a->client->address);
}

/* What being beyond its line leads to for a client. */
static enum harvest_answer verdict(struct asking *a)
{
	struct counts c = counts_at(load(counts_word(&a->place)), a->now_s);

	if (is_allowed(a))
		return HARVEST_ANSWER;
	if (counts_are_established(&c)) {
		limit_sender(a->h, &a->place, a->len, a->key, a->client->sender, a->now_s,
			     a->verdicts);
		return a->h->config.observe ? HARVEST_ANSWER : HARVEST_SHUT_DOOR;
	}
	drop(a->h, &a->place, a->len, a->key, a->client->by_proxy, a->now_s, a->verdicts);
	return a->h->config.observe ? HARVEST_ANSWER : HARVEST_SHUT_OUT;
}

/* What a step of a client's score is to its prefixes: they have of it what is above zero, a line at
 * most, and nothing more of who had a verdict. So no client alone brings one on them. */
static int32_t shared(const struct asking *a, const struct step *step)
{
	if (score_unpack(load(score_word(&a->place))).level > 0)
		return 0;
	return bounded(step->to, 0, a->h->line) - bounded(step->from, 0, a->h->line);
}

static void prefixes_ease(struct asking *a, int32_t value)
{
	uint8_t lens[PREFIXES_MAX];
	size_t n = prefixes_of(&a->client->address, lens);

	for (size_t i = 0; i < n; i++) {
		uint64_t key = entries_key(&a->client->address, lens[i]);
		struct place p = entries_get(a->h, key, a->now_s);
		struct step step;

		score_add(a->h, &p, -value, harvest_line(a->h, lens[i]), a->now_s, &step);
	}
}

static enum harvest_answer prefixes_add(struct asking *a, int32_t value)
{
	uint8_t lens[PREFIXES_MAX];
	size_t n = prefixes_of(&a->client->address, lens);
	enum harvest_answer answer = HARVEST_ANSWER;

	for (size_t i = n; i-- > 0;) {
		uint64_t key = entries_key(&a->client->address, lens[i]);
		struct place p = entries_get(a->h, key, a->now_s);
		enum added added;
		struct step step;

		expire(a->h, &p, lens[i], a->now_s);
		added = score_add(a->h, &p, value, harvest_line(a->h, lens[i]), a->now_s, &step);
		if (added == ADDED || is_allowed(a))
			continue;
		drop(a->h, &p, lens[i], key, a->client->by_proxy, a->now_s, a->verdicts);
		if (a->h->config.observe || has_credit(a->h, a->key, a->now_s))
			continue;
		if (added == BEYOND)
			return HARVEST_TOO_LATE;
		answer = HARVEST_SHUT_OUT;
	}
	return answer;
}

static int32_t weight(struct asking *a, uint64_t recipient, enum harvest_evidence evidence)
{
	struct score s = score_at(a->h, load(score_word(&a->place)), a->now_s);
	struct counts c = counts_at(load(counts_word(&a->place)), a->now_s);

	if (evidence == HARVEST_TRAP)
		return a->h->line;
	if (has_proved(a->h, &s, &c))
		dead_add(a->h, recipient, a->now_s);
	if (dead_count(a->h, recipient, a->now_s) >= DEAD_CLIENTS)
		return a->h->unknown / DEAD_WEIGHT;
	if (c.unknown_today >= DAY_FREE + c.delivered_today / DAY_SHARE)
		return 2 * a->h->unknown;
	return a->h->unknown;
}

static bool null_sender_is_limited(const struct asking *a)
{
	return a->client->null_sender && !a->h->config.observe &&
	       until_unpack(load(until_word(&a->place))).null_s > a->now_s && !is_allowed(a);
}

static enum harvest_answer null_sender_unknown(struct asking *a, uint64_t recipient,
					       enum harvest_evidence evidence)
{
	int32_t value = weight(a, recipient, evidence) * NULL_ONE / SCORE_ONE;
	enum added added = null_score_add(a->h, &a->place, value, a->now_s);

	if (added == ADDED || is_allowed(a))
		return HARVEST_ANSWER;
	limit_null(a->h, &a->place, a->len, a->key, a->now_s, a->verdicts);
	if (a->h->config.observe || added == ADDED_ACROSS)
		return HARVEST_ANSWER;
	return HARVEST_LIMIT;
}

/* The line of a transaction: the rest of what it was lent. */
static int32_t raised_line(const struct harvest *h, const struct harvest_loan *loan)
{
	int32_t rest = loan->good * h->good - (int32_t)loan->taken;

	return h->line + bounded(rest, 0, RAISE_LINES * h->line);
}

static enum harvest_answer unknown(struct asking *a, const struct recipient_address *asked,
				   enum harvest_evidence evidence, const struct harvest_loan *loan)
{
	struct harvest *h = a->h;
	uint64_t recipient =
		harvest_digest(h, asked->local, asked->local_len, asked->domain, asked->domain_len);
	enum harvest_answer answer, of_prefixes;
	struct step step;
	enum added added;
	int32_t value;

	asking_place(a);
	/* Before it is remembered: what is not answered now is scored when it is. */
	if (null_sender_is_limited(a))
		return HARVEST_LIMIT;
	if (filter_scored_before(h, a->key, recipient, a->now_s))
		return HARVEST_ANSWER;
	if (a->client->null_sender)
		return null_sender_unknown(a, recipient, evidence);
	value = weight(a, recipient, evidence);
	added = score_add(h, &a->place, value, raised_line(h, loan), a->now_s, &step);
	if (added == BEYOND && !is_allowed(a)) {
		verdict(a);
		return HARVEST_TOO_LATE;
	}
	count(&a->place, 1, 0, a->now_s);
	/* What is not answered is no evidence against its neighbours, so they come second. */
	of_prefixes = prefixes_add(a, shared(a, &step));
	answer = added == ADDED_ACROSS ? verdict(a) : HARVEST_ANSWER;
	return of_prefixes == HARVEST_ANSWER ? answer : of_prefixes;
}

/* Its prefixes follow. */
static void lend(struct asking *a, struct harvest_loan *loan)
{
	struct step step;
	uint16_t less;

	asking_place(a);
	step = score_lend(a->h, &a->place, raised_line(a->h, loan), a->now_s);
	less = (uint16_t)-shared(a, &step);
	loan->taken = (uint16_t)(loan->taken + step.from - step.to);
	loan->prefix_taken = (uint16_t)(loan->prefix_taken + less);
	if (less)
		prefixes_ease(a, less);
}

static void good(struct asking *a, const struct recipient_address *asked, struct harvest_loan *loan)
{
	uint64_t recipient = harvest_digest(a->h, asked->local, asked->local_len, asked->domain,
					    asked->domain_len);

	if (loan->good == UINT16_MAX || filter_lent_before(a->h, a->key, recipient, a->now_s))
		return;
	/* No more than can be remembered. */
	if (!a->client->null_sender && loan->taken <= UINT16_MAX - a->h->lent)
		lend(a, loan);
	loan->good++;
}

void harvest_recipients(struct harvest *h, const struct harvest_client *client,
			const struct recipient_address *asked,
			const enum harvest_evidence *evidence, size_t n, struct harvest_loan *loan,
			uint32_t now_s, enum harvest_answer *answers,
			struct harvest_verdicts *verdicts)
{
	struct asking a;
	bool over = false;

	asking_init(&a, h, client, now_s, verdicts);
	for (size_t i = 0; i < n; i++) {
		answers[i] = over ? HARVEST_TOO_LATE : HARVEST_ANSWER;
		if (over || client->no_evidence || evidence[i] == HARVEST_NEUTRAL)
			continue;
		if (evidence[i] == HARVEST_GOOD) {
			good(&a, &asked[i], loan);
			continue;
		}
		answers[i] = unknown(&a, &asked[i], evidence[i], loan);
		over = answers[i] != HARVEST_ANSWER && answers[i] != HARVEST_LIMIT;
	}
}

/* --- what else there is to say ------------------------------------------------------------------
 */

bool harvest_note(struct harvest *h, const struct harvest_client *client, enum harvest_note note,
		  uint32_t now_s, struct harvest_verdicts *verdicts)
{
	int32_t value = note == HARVEST_VRFY ? h->unknown / 3 : h->line / 2;
	struct asking a;
	struct step step;

	asking_init(&a, h, client, now_s, verdicts);
	if (client->no_evidence)
		return false;
	asking_place(&a);
	if (score_add(h, &a.place, value, h->line, now_s, &step) == ADDED)
		return false;
	return verdict(&a) != HARVEST_ANSWER;
}

/* Credit, or what makes up for evidence: no further than to zero. Taken: of the value already. */
static void repay(const struct harvest *h, const struct place *p, int32_t value, uint32_t taken,
		  bool delivered, uint32_t now_s)
{
	uint64_t word = load(score_word(p));
	struct score s;

	do {
		int32_t before, least;

		if (!is_theirs(p, word))
			return;
		s = score_at(h, word, now_s);
		before = s.score + (int32_t)taken;
		least = delivered ? FLOOR : before < 0 ? before : 0;
		s.score = (int16_t)bounded(before - value, least, INT16_MAX);
		s.delivered |= delivered;
	} while (!swap(score_word(p), &word, score_pack(&s)));
}

/* Who has proved himself begins anew. */
static void level_forget(const struct harvest *h, const struct place *p, uint32_t now_s)
{
	uint64_t word = load(score_word(p));
	struct score s;

	do {
		s = score_at(h, word, now_s);
		if (s.score > PROVED || s.level == 0)
			return;
		s.level = 0;
	} while (is_theirs(p, word) && !swap(score_word(p), &word, score_pack(&s)));
}

static void repay_null(const struct harvest *h, const struct place *p, int32_t value,
		       uint32_t now_s)
{
	uint64_t word = load(score_word(p));
	struct score s;

	do {
		if (!is_theirs(p, word))
			return;
		s = score_at(h, word, now_s);
		s.null_score = (int16_t)bounded(s.null_score - value * NULL_ONE / SCORE_ONE,
						NULL_FLOOR, NULL_MAX);
	} while (!swap(score_word(p), &word, score_pack(&s)));
}

static void settle_good(struct asking *a, const struct harvest_loan *loan, bool delivered)
{
	int32_t value = loan->good * a->h->good;
	uint8_t lens[PREFIXES_MAX];
	size_t n = prefixes_of(&a->client->address, lens);

	if (a->client->null_sender) {
		if (delivered)
			repay_null(a->h, &a->place, value, a->now_s);
		return;
	}
	repay(a->h, &a->place, value, loan->taken, delivered, a->now_s);
	if (delivered) {
		struct counts c = count(&a->place, 0, loan->good, a->now_s);
		struct score s = score_at(a->h, load(score_word(&a->place)), a->now_s);

		if (has_proved(a->h, &s, &c))
			level_forget(a->h, &a->place, a->now_s);
	}
	for (size_t i = 0; i < n; i++) {
		struct place p =
			entries_get(a->h, entries_key(&a->client->address, lens[i]), a->now_s);

		repay(a->h, &p, value, loan->prefix_taken, delivered, a->now_s);
		level_forget(a->h, &p, a->now_s);
	}
}

/* Called back: what it had against it stands alone. */
static bool call_back(struct asking *a, const struct harvest_loan *loan)
{
	struct place place = entries_find(a->h, a->key);
	struct step step;
	int32_t more;

	if (!place.bucket || a->client->null_sender)
		return false;
	asking_enter(a, place);
	step = score_give_back(a->h, &a->place, loan->taken, a->now_s);
	more = shared(a, &step);
	if (more > 0)
		prefixes_add(a, more);
	if (step.to < a->h->line || a->client->no_evidence)
		return false;
	return verdict(a) != HARVEST_ANSWER;
}

bool harvest_settle(struct harvest *h, const struct harvest_client *client,
		    struct harvest_loan *loan, enum harvest_end end, uint32_t now_s,
		    struct harvest_verdicts *verdicts)
{
	struct harvest_loan settled = *loan;
	struct asking a;

	asking_init(&a, h, client, now_s, verdicts);
	*loan = (struct harvest_loan){0};
	if (settled.good == 0)
		return false;
	if (end == HARVEST_ABANDONED || client->no_evidence)
		return call_back(&a, &settled);
	asking_place(&a);
	settle_good(&a, &settled, end == HARVEST_DELIVERED);
	return false;
}
