/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The recipients' table: buckets of digests, and what is asked of it.
 *
 * Thread: one writer beside readers. A slot is published by its code in the bucket's word: the
 * digest is written first, the code stored after it (release); it is taken back by a code of zero.
 * A reader takes a code only between two looks at the digest, since a slot may change hands.
 * Time: none. Memory: recipients_new's mapping; domains grow before the first reader.
 * Rules: nothing moves once it is there, so nobody is missed while another is added: a full bucket
 * sends what it has no room for to the next, and says so for good by a bit of its word.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/ascii.h"
#include "base/siphash.h"
#include "policy/recipients_private.h"
#include "postern/recipients.h"

enum {
	SLOTS = 5,
	LOAD_PERCENT = 68, /* of the slots: 64 / (5 * 0.68) = 18.8 octets a recipient */
	BUCKETS_MIN = 16,
	FOLLOWERS_MAX = 64, /* buckets looked at in one search; among 10^8 a chain of 32 is met */

	/* A slot's code: 0 is empty. */
	CODE_BITS = 6,
	CODE_MASK = (1 << CODE_BITS) - 1,
	CODE_POOLS = RECIPIENT_CLASSES, /* the first of a normal one; its domain's own pool */
	OVERFLOWED = 1 << 30,
};

static_assert(CODE_POOLS + 1 + RECIPIENTS_POOLS_MAX <= 1 << CODE_BITS, "a code for each pool");
static_assert(SLOTS * CODE_BITS <= 30, "codes and one bit in a word");

/* One cache line. The first, second and third words of the digests, and the codes. */
struct bucket {
	_Atomic uint32_t a[SLOTS], b[SLOTS], c[SLOTS];
	_Atomic uint32_t word;
};

static_assert(sizeof(struct bucket) == 64, "a cache line");

struct domain {
	struct recipients_domain rules; /* its name is at name_at of the names */
	struct siphash_key key;		/* of its recipients' digests */
	size_t name_at;
	uint64_t count;
	atomic_bool is_loaded;
};

struct recipients {
	struct siphash_key key;	       /* of the domains' keys */
	struct siphash_key domain_key; /* of by_name */
	uint32_t postmaster;
	uint64_t count;
	struct bucket *buckets;
	size_t mapped; /* octets */
	uint32_t n_buckets;
	uint32_t n_domains, domains_room;
	struct domain *domains;
	char *names;
	size_t names_len, names_room;
	uint32_t *by_name; /* open addressing; number + 1; 0: empty */
	uint32_t by_name_mask;
	uint16_t pools[RECIPIENTS_POOLS_MAX]; /* named by single recipients */
	uint32_t n_pools;
};

static const char *const class_names[RECIPIENT_CLASSES] = {
	[RECIPIENT_NORMAL] = "normal",	       [RECIPIENT_TRAP] = "trap",
	[RECIPIENT_DISABLED] = "disabled",     [RECIPIENT_MOVED] = "moved",
	[RECIPIENT_OVER_QUOTA] = "over-quota",
};

const char *recipient_class_name(enum recipient_class class)
{
	return class_names[class];
}

int recipient_class_of(const char *name, size_t len, enum recipient_class *class)
{
	for (unsigned i = 0; i < RECIPIENT_CLASSES; i++) {
		if (strlen(class_names[i]) == len && memcmp(class_names[i], name, len) == 0) {
			*class = (enum recipient_class)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* --- life -------------------------------------------------------------------------------- */

static int map_buckets(struct recipients *r)
{
	void *map;

	r->mapped = (size_t)r->n_buckets * sizeof(struct bucket);
	map = mmap(NULL, r->mapped, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	/* Without it a lookup misses the TLB too. Refused: it works all the same. */
	(void)madvise(map, r->mapped, MADV_HUGEPAGE);
	r->buckets = map;
	return 0;
}

struct recipients *recipients_new(const struct recipients_config *config)
{
	struct recipients *r = calloc(1, sizeof(*r));
	uint64_t slots = config->expected * 100 / LOAD_PERCENT,
		 buckets = slots / SLOTS + BUCKETS_MIN;

	if (!r)
		return NULL;
	memcpy(&r->key, config->entropy, sizeof(r->key));
	memcpy(&r->domain_key, config->entropy + sizeof(r->key), sizeof(r->domain_key));
	r->postmaster = config->postmaster;
	r->n_buckets = buckets < UINT32_MAX ? (uint32_t)buckets : UINT32_MAX;
	if (map_buckets(r)) {
		free(r);
		return NULL;
	}
	return r;
}

void recipients_free(struct recipients *r)
{
	if (!r)
		return;
	munmap(r->buckets, r->mapped);
	free(r->domains);
	free(r->names);
	free(r->by_name);
	free(r);
}

static void *copy_of(const void *from, size_t len)
{
	void *to = malloc(len ? len : 1);

	if (to)
		memcpy(to, from, len);
	return to;
}

struct recipients *recipients_copy(const struct recipients *r)
{
	struct recipients *copy = copy_of(r, sizeof(*r));

	if (!copy)
		return NULL;
	copy->domains = NULL;
	copy->names = NULL;
	copy->by_name = NULL;
	if (map_buckets(copy)) {
		free(copy);
		return NULL;
	}
	memcpy(copy->buckets, r->buckets, r->mapped);
	copy->domains_room = r->n_domains;
	copy->domains = copy_of(r->domains, r->n_domains * sizeof(*r->domains));
	copy->names_room = r->names_len;
	copy->names = copy_of(r->names, r->names_len);
	copy->by_name =
		r->by_name ? copy_of(r->by_name, (r->by_name_mask + 1ull) * sizeof(*r->by_name))
			   : NULL;
	if (!copy->domains || !copy->names || (r->by_name && !copy->by_name)) {
		recipients_free(copy);
		return NULL;
	}
	return copy;
}

uint64_t recipients_count(const struct recipients *r)
{
	return r->count;
}

uint64_t recipients_memory(const struct recipients *r)
{
	uint64_t index = r->by_name ? (r->by_name_mask + 1ull) * sizeof(*r->by_name) : 0;

	return r->mapped + sizeof(*r) + r->domains_room * sizeof(*r->domains) + r->names_room +
	       index;
}

/* --- domains ----------------------------------------------------------------------------- */

/* Where in by_name a name is, or the empty place for it. */
static uint32_t name_place(const struct recipients *r, const char *name, size_t len)
{
	uint32_t i = (uint32_t)siphash13(&r->domain_key, name, len) & r->by_name_mask;

	for (; r->by_name[i]; i = (i + 1) & r->by_name_mask) {
		const struct domain *d = &r->domains[r->by_name[i] - 1];

		if (d->rules.name_len == len && memcmp(r->names + d->name_at, name, len) == 0)
			break;
	}
	return i;
}

static const struct domain *domain_find(const struct recipients *r, const char *name, size_t len)
{
	uint32_t found;

	if (!r->by_name)
		return NULL;
	found = r->by_name[name_place(r, name, len)];
	return found ? &r->domains[found - 1] : NULL;
}

int64_t recipients_domain_find(const struct recipients *r, const char *name, size_t len)
{
	const struct domain *d = domain_find(r, name, len);

	return d ? d - r->domains : -ENOENT;
}

static int names_grow(struct recipients *r)
{
	uint64_t slots = r->by_name ? 2 * (r->by_name_mask + 1ull) : 16;
	uint32_t *by_name = calloc(slots, sizeof(*by_name));

	if (!by_name)
		return -ENOMEM;
	free(r->by_name);
	r->by_name = by_name;
	r->by_name_mask = (uint32_t)(slots - 1);
	for (uint32_t i = 0; i < r->n_domains; i++) {
		const struct domain *d = &r->domains[i];

		by_name[name_place(r, r->names + d->name_at, d->rules.name_len)] = i + 1;
	}
	return 0;
}

/* Room for one more, each array by doubling; what grew stays when another cannot. */
static int domains_grow(struct recipients *r, size_t name_len)
{
	if (!r->domains || r->n_domains == r->domains_room) {
		uint32_t room = r->domains_room ? 2 * r->domains_room : 8;
		struct domain *domains = realloc(r->domains, room * sizeof(*domains));

		if (!domains)
			return -ENOMEM;
		r->domains = domains;
		r->domains_room = room;
	}
	if (r->names_len + name_len > r->names_room) {
		size_t room = 2 * (r->names_len + name_len);
		char *names = realloc(r->names, room);

		if (!names)
			return -ENOMEM;
		r->names = names;
		r->names_room = room;
	}
	if (!r->by_name || 2 * (r->n_domains + 1) > r->by_name_mask + 1)
		return names_grow(r);
	return 0;
}

int recipients_add_domain(struct recipients *r, const struct recipients_domain *domain,
			  uint32_t *number)
{
	struct siphash_tag tag;
	struct domain *d;
	int rc;

	if (domain->name_len == 0 || domain->name_len > RECIPIENT_DOMAIN_MAX)
		return -EINVAL;
	if (domain_find(r, domain->name, domain->name_len))
		return -EEXIST;
	if (r->n_domains == RECIPIENTS_DOMAINS_MAX)
		return -ENOSPC;
	rc = domains_grow(r, domain->name_len);
	if (rc)
		return rc;
	r->by_name[name_place(r, domain->name, domain->name_len)] = r->n_domains + 1;
	d = &r->domains[r->n_domains];
	memset(d, 0, sizeof(*d));
	d->rules = *domain;
	d->rules.name = NULL; /* names may yet move */
	d->name_at = r->names_len;
	memcpy(r->names + r->names_len, domain->name, domain->name_len);
	r->names_len += domain->name_len;
	tag = siphash13_128(&r->key, &r->n_domains, sizeof(r->n_domains));
	d->key = (struct siphash_key){tag.lo, tag.hi};
	*number = r->n_domains++;
	return 0;
}

uint32_t recipients_domains(const struct recipients *r)
{
	return r->n_domains;
}

const char *recipients_domain_name(const struct recipients *r, uint32_t domain, size_t *len)
{
	*len = r->domains[domain].rules.name_len;
	return r->names + r->domains[domain].name_at;
}

uint64_t recipients_domain_count(const struct recipients *r, uint32_t domain)
{
	return r->domains[domain].count;
}

void recipients_set_loaded(struct recipients *r, uint32_t domain, bool is_loaded)
{
	atomic_store_explicit(&r->domains[domain].is_loaded, is_loaded, memory_order_release);
}

/* --- digests ----------------------------------------------------------------------------- */

/* The local part as its domain compares it, in whole words: what is behind it is zero. */
struct name {
	uint64_t words[RECIPIENT_LOCAL_MAX / sizeof(uint64_t)];
	uint8_t len;
};

/* ascii_lower for eight octets at a time: the top bit of each marks those between A and Z. */
static uint64_t fold_word(uint64_t word)
{
	const uint64_t ones = 0x0101010101010101, low = word & 0x7f * ones;
	uint64_t from_a = low + (0x80 - 'A') * ones, beyond_z = low + (0x7f - 'Z') * ones;

	return word | ((from_a ^ beyond_z) & ~word & 0x80 * ones) >> 2;
}

/* The last octets of a local part, fewer than eight. */
static uint64_t last_word(const char *local, size_t len)
{
	size_t rest = len % sizeof(uint64_t);
	uint64_t word = 0;

	if (len >= sizeof(word)) {
		memcpy(&word, local + len - sizeof(word), sizeof(word));
		return word >> (8 * (sizeof(word) - rest));
	}
	for (size_t i = rest; i-- > 0;)
		word = word << 8 | (uint8_t)local[i];
	return word;
}

/* By words, in registers: one octet at a time costs as much as the hash. */
static void name_write(struct name *n, const struct domain *d, const char *local, size_t len)
{
	uint64_t word;
	size_t i;

	n->len = (uint8_t)len;
	for (i = 0; i < len / sizeof(word); i++) {
		memcpy(&word, local + i * sizeof(word), sizeof(word));
		n->words[i] = d->rules.exact_case ? word : fold_word(word);
	}
	if (len % sizeof(word)) {
		word = last_word(local, len);
		n->words[i] = d->rules.exact_case ? word : fold_word(word);
	}
}

static struct digest name_digest(const struct recipients *r, const struct domain *d,
				 const struct name *n, size_t len)
{
	struct siphash_tag tag = siphash13_128(&d->key, n->words, len);

	return (struct digest){
		.a = (uint32_t)tag.lo & RECIPIENT_DIGEST_A,
		.b = (uint32_t)(tag.lo >> 32) & RECIPIENT_DIGEST_B,
		.c = (uint32_t)tag.hi & RECIPIENT_DIGEST_C,
		.bucket = (uint32_t)((tag.hi >> 32) * r->n_buckets >> 32),
	};
}

/* --- buckets ----------------------------------------------------------------------------- */

/* A digest's words before the code that says whether they count. */
static uint32_t load(const _Atomic uint32_t *at)
{
	return atomic_load_explicit(at, memory_order_acquire);
}

/* And not before the store of the code that gave the slot back. */
static void store(_Atomic uint32_t *at, uint32_t word)
{
	atomic_store_explicit(at, word, memory_order_release);
}

static uint32_t code_in(uint32_t word, unsigned slot)
{
	return word >> (slot * CODE_BITS) & CODE_MASK;
}

static struct bucket *next_bucket(const struct recipients *r, struct bucket *b)
{
	return b + 1 == r->buckets + r->n_buckets ? r->buckets : b + 1;
}

/* The slots whose first words agree, a bit each. */
static unsigned agreeing(const struct bucket *b, uint32_t a)
{
	unsigned agree = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		agree |= (unsigned)(load(&b->a[i]) == a) << i;
	return agree;
}

static bool holds(const struct bucket *b, unsigned slot, const struct digest *d)
{
	return load(&b->a[slot]) == d->a && load(&b->b[slot]) == d->b && load(&b->c[slot]) == d->c;
}

/* The slot's code if it holds the digest; else 0. The code is read after the digest, which may have
 * come after it; and the digest once more, which may have gone before it. */
static uint32_t slot_code(const struct bucket *b, unsigned slot, const struct digest *d)
{
	uint32_t code;

	if (!holds(b, slot, d))
		return 0;
	code = code_in(load(&b->word), slot);
	return holds(b, slot, d) ? code : 0;
}

/* The code of the recipient in this bucket, and its slot; 0: it is not there. */
static uint32_t bucket_code(const struct bucket *b, const struct digest *d, unsigned *slot)
{
	for (unsigned agree = agreeing(b, d->a); agree; agree &= agree - 1) {
		uint32_t code;

		*slot = (unsigned)__builtin_ctz(agree);
		code = slot_code(b, *slot, d);
		if (code)
			return code;
	}
	return 0;
}

/* What else must be looked at when it is not in b; NULL: nothing. The word is read before the
 * slots: what overflows later is being added just now. */
static struct bucket *follower(const struct recipients *r, struct bucket *b, uint32_t word,
			       unsigned looked)
{
	return word & OVERFLOWED && looked < FOLLOWERS_MAX ? next_bucket(r, b) : NULL;
}

/* The code of the recipient; 0: there is none. Where it is, for the writer. */
static uint32_t find(const struct recipients *r, const struct digest *d, struct bucket **at,
		     unsigned *slot)
{
	struct bucket *b = &r->buckets[d->bucket];

	for (unsigned looked = 1; b; looked++) {
		uint32_t word = load(&b->word), code = bucket_code(b, d, slot);

		if (code) {
			*at = b;
			return code;
		}
		b = follower(r, b, word, looked);
	}
	return 0;
}

static void set_code(struct bucket *b, unsigned slot, uint32_t code)
{
	uint32_t word = load(&b->word) & ~((uint32_t)CODE_MASK << (slot * CODE_BITS));

	store(&b->word, word | code << (slot * CODE_BITS));
}

static int free_slot(const struct bucket *b)
{
	uint32_t word = load(&b->word);

	for (unsigned i = 0; i < SLOTS; i++)
		if (!code_in(word, i))
			return (int)i;
	return -1;
}

static int insert(struct recipients *r, const struct digest *d, uint32_t code)
{
	struct bucket *home = &r->buckets[d->bucket], *b = home;
	unsigned passed = 0;
	int slot;

	while ((slot = free_slot(b)) < 0) {
		if (++passed == FOLLOWERS_MAX)
			return -ENOSPC;
		b = next_bucket(r, b);
	}
	/* It must be found from the moment it is there: the way to it first. */
	for (struct bucket *on = home; on != b; on = next_bucket(r, on))
		atomic_fetch_or_explicit(&on->word, OVERFLOWED, memory_order_release);
	store(&b->a[slot], d->a);
	store(&b->b[slot], d->b);
	store(&b->c[slot], d->c);
	set_code(b, (unsigned)slot, code);
	return 0;
}

/* --- changes ----------------------------------------------------------------------------- */

uint32_t recipients_code(struct recipients *r, uint32_t domain, enum recipient_class class,
			 uint16_t pool)
{
	uint32_t i;

	if (class != RECIPIENT_NORMAL)
		return class;
	if (pool == RECIPIENT_POOL_OF_DOMAIN || pool == r->domains[domain].rules.pool)
		return CODE_POOLS;
	for (i = 0; i < r->n_pools; i++)
		if (r->pools[i] == pool)
			return CODE_POOLS + 1 + i;
	if (i == RECIPIENTS_POOLS_MAX)
		return 0;
	/* Its code is not in use before this is written. */
	r->pools[r->n_pools++] = pool;
	return CODE_POOLS + 1 + i;
}

bool recipients_digest(const struct recipients *r, uint32_t domain, const char *local, size_t len,
		       struct digest *digest)
{
	struct name name;

	if (len == 0 || len > RECIPIENT_LOCAL_MAX)
		return false;
	name_write(&name, &r->domains[domain], local, len);
	*digest = name_digest(r, &r->domains[domain], &name, len);
	__builtin_prefetch(&r->buckets[digest->bucket], 1);
	return true;
}

int recipients_enter(struct recipients *r, uint32_t domain, const struct digest *digest,
		     uint32_t code, bool may_change)
{
	struct bucket *at;
	unsigned slot;
	uint32_t old = find(r, digest, &at, &slot);
	int rc;

	if (old == code)
		return RECIPIENTS_SAME;
	if (old) {
		if (may_change)
			set_code(at, slot, code);
		return RECIPIENTS_CHANGED;
	}
	rc = insert(r, digest, code);
	if (rc)
		return rc;
	r->count++;
	r->domains[domain].count++;
	return RECIPIENTS_NEW;
}

int recipients_put(struct recipients *r, const struct recipient_address *address,
		   enum recipient_class class, uint16_t pool)
{
	int64_t domain = recipients_domain_find(r, address->domain, address->domain_len);
	struct digest digest;
	uint32_t code;

	if (domain < 0)
		return (int)domain;
	if (!recipients_digest(r, (uint32_t)domain, address->local, address->local_len, &digest))
		return -EINVAL;
	code = recipients_code(r, (uint32_t)domain, class, pool);
	if (!code)
		return -EMFILE;
	return recipients_enter(r, (uint32_t)domain, &digest, code, true);
}

int recipients_remove(struct recipients *r, const struct recipient_address *address)
{
	int64_t domain = recipients_domain_find(r, address->domain, address->domain_len);
	struct digest digest;
	struct bucket *at;
	unsigned slot;

	if (domain < 0 ||
	    !recipients_digest(r, (uint32_t)domain, address->local, address->local_len, &digest) ||
	    !find(r, &digest, &at, &slot))
		return -ENOENT;
	set_code(at, slot, 0);
	r->count--;
	r->domains[domain].count--;
	return 0;
}

/* --- asking ------------------------------------------------------------------------------ */

/* One address on its way: itself, and what is left when its subaddress is cut off. */
struct search {
	const struct domain *domain; /* NULL: none of ours */
	uint8_t tries, try;	     /* how many names there are, and which is being looked for */
	uint8_t looked;		     /* buckets, for this one */
	uint32_t code;
	struct bucket *at; /* the one to look at next; NULL: the search is over */
	struct digest digests[2];
};

/* How long the local part is before its first separator; 0: there is none, or nothing before. */
static size_t base_len(const struct domain *d, const struct name *n)
{
	const char *separators = d->rules.separators;
	const uint8_t *octets = (const uint8_t *)n->words;

	if (!separators[0])
		return 0;
	for (size_t i = 1; i < n->len; i++)
		for (unsigned k = 0; k < RECIPIENTS_SEPARATORS_MAX && separators[k]; k++)
			if (octets[i] == (uint8_t)separators[k])
				return i;
	return 0;
}

/* The domain an address names; the same as the one before costs no look. NULL: none of ours. */
static const struct domain *domain_asked(const struct recipients *r,
					 const struct recipient_address *a,
					 const struct recipient_address *before,
					 const struct domain *domain_before)
{
	if (a->domain_len == 0)
		return r->postmaster < r->n_domains ? &r->domains[r->postmaster] : NULL;
	if (before && before->domain_len == a->domain_len &&
	    memcmp(before->domain, a->domain, a->domain_len) == 0)
		return domain_before;
	return domain_find(r, a->domain, a->domain_len);
}

static void add_try(const struct recipients *r, struct search *s, const struct name *name,
		    size_t len)
{
	struct digest *d = &s->digests[s->tries++];

	*d = name_digest(r, s->domain, name, len);
	__builtin_prefetch(&r->buckets[d->bucket]);
}

/* Computes where to look for it in its domain, and has that fetched. */
static void begin(const struct recipients *r, const struct recipient_address *a, struct search *s,
		  struct recipient_answer *answer)
{
	struct name name = {.len = 0};
	size_t cut;

	*answer = (struct recipient_answer){.finding = RECIPIENT_NOT_OURS};
	s->tries = s->try = s->looked = 0;
	s->code = 0;
	s->at = NULL;
	if (!s->domain)
		return;
	answer->domain = (uint32_t)(s->domain - r->domains);
	answer->finding = RECIPIENT_UNKNOWN;
	answer->is_postmaster = ascii_is_word(a->local, a->local_len, "postmaster");
	if (a->local_len == 0 || a->local_len > RECIPIENT_LOCAL_MAX)
		return; /* nobody can be called so */
	name_write(&name, s->domain, a->local, a->local_len);
	cut = base_len(s->domain, &name);
	add_try(r, s, &name, name.len);
	if (cut)
		add_try(r, s, &name, cut);
	s->at = &r->buckets[s->digests[0].bucket];
}

/* Looks at one bucket; has the next one fetched if there is another to look at. False: over. */
static bool look(const struct recipients *r, struct search *s)
{
	uint32_t word = load(&s->at->word);
	unsigned slot;

	s->code = bucket_code(s->at, &s->digests[s->try], &slot);
	s->at = s->code ? NULL : follower(r, s->at, word, ++s->looked);
	if (!s->at && !s->code && ++s->try < s->tries) {
		s->looked = 0;
		s->at = &r->buckets[s->digests[s->try].bucket];
	}
	if (s->at)
		__builtin_prefetch(s->at);
	return s->at;
}

static void answer_code(const struct recipients *r, const struct domain *d, uint32_t code,
			struct recipient_answer *answer)
{
	answer->finding = RECIPIENT_KNOWN;
	answer->class = code < CODE_POOLS ? (uint8_t)code : RECIPIENT_NORMAL;
	answer->pool = code > CODE_POOLS ? r->pools[code - CODE_POOLS - 1] : d->rules.pool;
}

static void end(const struct recipients *r, const struct search *s, struct recipient_answer *answer)
{
	uint32_t code = s->code;

	if (!s->domain)
		return;
	if (code)
		answer_code(r, s->domain, code, answer);
	if (answer->is_postmaster) {
		/* Whatever the directory says of it but where it goes. */
		if (!code)
			answer->pool = s->domain->rules.pool;
		answer->finding = RECIPIENT_KNOWN;
		answer->class = RECIPIENT_NORMAL;
	} else if (!atomic_load_explicit(&s->domain->is_loaded, memory_order_acquire)) {
		answer->finding = RECIPIENT_UNSURE;
	} else if (!code && s->domain->rules.catch_all) {
		answer_code(r, s->domain, CODE_POOLS, answer);
		answer->by_catch_all = true;
	}
}

void recipients_find(const struct recipients *r, const struct recipient_address *asked, size_t n,
		     struct recipient_answer *answers)
{
	struct search searches[RECIPIENTS_ASKED_MAX];
	bool more;

	if (n > RECIPIENTS_ASKED_MAX)
		n = RECIPIENTS_ASKED_MAX;
	for (size_t i = 0; i < n; i++) {
		searches[i].domain = domain_asked(r, &asked[i], i ? &asked[i - 1] : NULL,
						  i ? searches[i - 1].domain : NULL);
		begin(r, &asked[i], &searches[i], &answers[i]);
	}
	/* Each round fetches what the next one looks at. */
	do {
		more = false;
		for (size_t i = 0; i < n; i++)
			if (searches[i].at)
				more |= look(r, &searches[i]);
	} while (more);
	for (size_t i = 0; i < n; i++)
		end(r, &searches[i], &answers[i]);
}
