/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pools' table: three words a server that workers share, and the choice among servers.
 *
 * Thread: any. What must be exact is one word each and changed by compare-and-swap: a server's
 * connections and transactions, and its health (health.h). All else is told to people and relaxed;
 * a text is whole or not shown (whole.h).
 * Time: given. Memory: pools_new's.
 */
#include "postern/pools.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "relay/health.h"
#include "relay/whole.h"

enum {
	CACHE_LINE = 64,
	ERROR_WORDS = POOL_ERROR_MAX / 8,
	ERROR_LOOKS = 1000, /* at a text that is being written */
	TRIAL_LOOKS = 64,   /* servers a call of pools_take_trial looks at */
	LATENCY_SHARE = 8,  /* of the last one in what is told */
	ANSWERED = 1 << 16, /* beside the offers */
	OFFERS_MASK = 0xff,
};

static const uint64_t one_connection = 1, one_in_use = (uint64_t)1 << 32;

struct server {
	/* What a choice looks at, and changes. */
	alignas(CACHE_LINE) _Atomic uint64_t counts; /* connections, and above them in use */
	_Atomic uint64_t health;
	_Atomic uint64_t drained_us; /* since; 0: it is not */
	_Atomic uint64_t taken_us;
	uint32_t pool, number, connections, weight;

	/* What is told. */
	alignas(CACHE_LINE) _Atomic uint64_t since_us;
	_Atomic uint64_t taken, refused, failed;
	_Atomic uint64_t size_max;
	_Atomic uint32_t offers; /* and ANSWERED */
	_Atomic uint32_t latency_us;
	_Atomic uint64_t error_version;
	_Atomic uint64_t error[ERROR_WORDS];
};

static_assert(offsetof(struct server, since_us) == CACHE_LINE, "a choice looks at one line");
static_assert(POOL_ERROR_MAX % 8 == 0, "a text is whole words");

struct pool {
	struct pool_config config;
	struct server *servers;
	_Atomic uint32_t wants;
	char name[POOL_NAME_MAX];
	alignas(CACHE_LINE) _Atomic uint32_t turn; /* so that equal servers share */
};

struct pools {
	uint32_t n, n_servers;
	struct pool *pools;
	struct server *servers; /* of all pools, in order */
	struct pool_server_config *configs;
};

/* --- life ------------------------------------------------------------------------------------- */

static bool is_possible(const struct pool_config *c)
{
	if (!c->name || strlen(c->name) >= POOL_NAME_MAX || c->connections < 1 ||
	    c->connections > POOL_CONNECTIONS_MAX || c->n_servers < 1 ||
	    c->n_servers > POOL_SERVERS_MAX)
		return false;
	for (uint32_t i = 0; i < c->n_servers; i++)
		if (c->servers[i].weight < 1 || c->servers[i].weight > POOL_WEIGHT_MAX)
			return false;
	return true;
}

static void *zeroed(size_t n, size_t each)
{
	size_t len = (n ? n : 1) * each;
	void *at = aligned_alloc(CACHE_LINE, len);

	return at ? memset(at, 0, len) : NULL;
}

static void add_pool(struct pools *p, const struct pool_config *config)
{
	struct pool *pool = &p->pools[p->n];
	struct pool_server_config *servers = &p->configs[p->n_servers];

	memcpy(servers, config->servers, config->n_servers * sizeof(*servers));
	memcpy(pool->name, config->name, strlen(config->name) + 1);
	pool->config = *config;
	pool->config.name = pool->name;
	pool->config.servers = servers;
	pool->servers = &p->servers[p->n_servers];
	for (uint32_t i = 0; i < config->n_servers; i++) {
		pool->servers[i].pool = p->n;
		pool->servers[i].number = i;
		pool->servers[i].connections = config->connections;
		pool->servers[i].weight = servers[i].weight;
	}
	p->n_servers += config->n_servers;
	p->n++;
}

struct pools *pools_new(const struct pool_config *configs, uint32_t n)
{
	struct pools *p;
	size_t n_servers = 0;

	if (n > POOLS_MAX)
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		if (!is_possible(&configs[i]))
			return NULL;
		n_servers += configs[i].n_servers;
	}
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->pools = zeroed(n, sizeof(*p->pools));
	p->servers = zeroed(n_servers, sizeof(*p->servers));
	p->configs = calloc(n_servers ? n_servers : 1, sizeof(*p->configs));
	if (!p->pools || !p->servers || !p->configs) {
		pools_free(p);
		return NULL;
	}
	for (uint32_t i = 0; i < n; i++)
		add_pool(p, &configs[i]);
	return p;
}

void pools_free(struct pools *p)
{
	if (!p)
		return;
	free(p->pools);
	free(p->servers);
	free(p->configs);
	free(p);
}

uint32_t pools_count(const struct pools *p)
{
	return p->n;
}

const struct pool_config *pools_config(const struct pools *p, uint32_t pool)
{
	return &p->pools[pool].config;
}

/* --- words ------------------------------------------------------------------------------------ */

static uint64_t told(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void tell(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

static void count(_Atomic uint64_t *word)
{
	atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
}

static bool swap(_Atomic uint64_t *word, uint64_t *expected, uint64_t desired)
{
	return atomic_compare_exchange_weak_explicit(word, expected, desired, memory_order_relaxed,
						     memory_order_relaxed);
}

static uint64_t not_never(uint64_t now_us)
{
	return now_us ? now_us : 1;
}

static uint32_t connections_in(uint64_t counts)
{
	return (uint32_t)counts;
}

static uint32_t in_use_in(uint64_t counts)
{
	return (uint32_t)(counts >> 32);
}

/* False: all that may be open are. */
static bool reserve(struct server *s, uint32_t limit)
{
	uint64_t counts = told(&s->counts);

	do {
		if (connections_in(counts) >= limit)
			return false;
	} while (!swap(&s->counts, &counts, counts + one_connection + one_in_use));
	return true;
}

static struct health health_of(const struct server *s)
{
	return health_unpack(told(&s->health));
}

/* Changes a server's health by a function of it; what that said. */
static bool change(struct server *s, bool (*by)(struct health *, uint64_t), uint64_t now_us)
{
	uint64_t word = told(&s->health), changed;
	struct health h;
	bool answer;

	do {
		h = health_unpack(word);
		answer = by(&h, now_us);
		changed = health_pack(&h);
	} while (changed != word && !swap(&s->health, &word, changed));
	if (h.state != health_unpack(word).state)
		tell(&s->since_us, not_never(now_us));
	return answer;
}

static struct server *server_at(const struct pools *p, uint32_t pool, uint32_t server)
{
	assert(pool < p->n && server < p->pools[pool].config.n_servers);
	return &p->pools[pool].servers[server];
}

/* --- what control does ------------------------------------------------------------------------ */

static enum pool_state state_of(const struct server *s, const struct health *h, uint64_t now_us)
{
	if (told(&s->drained_us))
		return POOL_DRAINED;
	if (h->state == HEALTH_DOWN)
		return POOL_DOWN;
	if (h->state == HEALTH_WRONG)
		return POOL_WRONG;
	return health_is_starting(h, now_us) ? POOL_STARTING : POOL_WELL;
}

static void copy_error(const struct server *s, char *error)
{
	uint64_t words[ERROR_WORDS];

	error[0] = '\0';
	for (unsigned i = 0; i < ERROR_LOOKS; i++) {
		if (whole_read(&s->error_version, s->error, words, ERROR_WORDS)) {
			memcpy(error, words, sizeof(words));
			return;
		}
	}
}

void pools_status(const struct pools *p, uint32_t pool, uint32_t server, uint64_t now_us,
		  struct pool_server_status *status)
{
	const struct server *s = server_at(p, pool, server);
	uint64_t counts = told(&s->counts);
	struct health h = health_of(s);
	bool is_well = health_is_well(&h);

	*status = (struct pool_server_status){
		.state = state_of(s, &h, now_us),
		.connections = connections_in(counts),
		.in_use = in_use_in(counts),
		.taken = told(&s->taken),
		.refused = told(&s->refused),
		.failed = told(&s->failed),
		.trial_in_us = is_well || h.time_us <= now_us ? 0 : h.time_us - now_us,
		.since_us = told(&s->since_us),
		.latency_us = atomic_load_explicit(&s->latency_us, memory_order_relaxed),
	};
	copy_error(s, status->error);
}

void pools_drain(struct pools *p, uint32_t pool, uint32_t server, bool drained, uint64_t now_us)
{
	struct server *s = server_at(p, pool, server);
	uint64_t since_us = told(&s->drained_us);

	if (drained == (since_us != 0))
		return;
	tell(&s->drained_us, drained ? not_never(now_us) : 0);
	tell(&s->since_us, not_never(now_us));
}

/* --- the choice ------------------------------------------------------------------------------- */

struct candidate {
	struct server *server; /* NULL: none */
	uint32_t in_use, limit;
	bool is_open, is_trial;
};

/* What was met on the way. */
struct survey {
	bool busy, well, wrong;
};

/* Of those that no server could be found among. */
static enum pool_choice verdict(const struct survey *found)
{
	if (found->busy)
		return POOL_ALL_BUSY;
	return found->wrong && !found->well ? POOL_ALL_WRONG : POOL_ALL_DOWN;
}

/* Whether it could serve one more: an idle connection of somebody's is no obstacle. */
static bool is_free(const struct server *s, const struct health *h, uint64_t now_us)
{
	return in_use_in(told(&s->counts)) < health_limit(h, s->connections, now_us);
}

enum pool_choice pools_standing(const struct pools *p, uint32_t pool, uint64_t now_us)
{
	const struct pool *at = &p->pools[pool];
	struct survey found = {0};

	for (uint32_t i = 0; i < at->config.n_servers; i++) {
		const struct server *s = &at->servers[i];
		struct health h = health_of(s);
		bool is_well = health_is_well(&h);

		if (told(&s->drained_us))
			continue;
		if (is_well ? is_free(s, &h, now_us) : health_is_due(&h, now_us))
			return POOL_CHOSEN;
		found.busy |= is_well;
		found.wrong |= h.state == HEALTH_WRONG;
	}
	return verdict(&found);
}

/* False: it cannot be had now. A trial wants a connection of its own if there is room for one. */
static bool consider(struct server *s, const struct health *h, bool has_idle, uint64_t now_us,
		     struct candidate *c)
{
	uint64_t counts = told(&s->counts);
	bool has_room;

	*c = (struct candidate){.server = s,
				.in_use = in_use_in(counts),
				.limit = health_limit(h, s->connections, now_us),
				.is_trial = !health_is_well(h)};
	has_room = connections_in(counts) < c->limit;
	c->is_open = has_idle && !(c->is_trial && has_room);
	return (has_room || has_idle) && (!c->is_trial || health_is_due(h, now_us));
}

static bool is_better(const struct candidate *c, const struct candidate *than)
{
	uint64_t ours, theirs;

	if (!than->server)
		return true;
	ours = (uint64_t)c->in_use * than->server->weight;
	theirs = (uint64_t)than->in_use * c->server->weight;
	return ours < theirs || (ours == theirs && c->is_open && !than->is_open);
}

/* The best one that can be had, the first of equals from the turn's on. */
static struct candidate choose(const struct pool *at, const struct pool_tried *tried,
			       const struct pool_tried *idle, uint32_t turn, uint64_t now_us,
			       struct survey *found)
{
	struct candidate best = {0}, c;

	*found = (struct survey){0};
	for (uint32_t i = 0; i < at->config.n_servers; i++) {
		uint32_t number = (turn + i) % at->config.n_servers;
		struct server *s = &at->servers[number];
		struct health h = health_of(s);

		if (told(&s->drained_us))
			continue;
		found->well |= health_is_well(&h);
		found->wrong |= h.state == HEALTH_WRONG;
		if (pool_tried_has(tried, number))
			continue;
		if (!consider(s, &h, pool_tried_has(idle, number), now_us, &c))
			found->busy |= health_is_well(&h);
		else if (is_better(&c, &best))
			best = c;
	}
	return best;
}

/* False: another was quicker. */
static bool seize(const struct candidate *c, uint64_t now_us)
{
	struct server *s = c->server;

	if (c->is_trial && !change(s, health_try, now_us))
		return false;
	if (c->is_open) {
		atomic_fetch_add_explicit(&s->counts, one_in_use, memory_order_relaxed);
		return true;
	}
	if (reserve(s, c->limit))
		return true;
	if (c->is_trial)
		change(s, health_untried, now_us);
	return false;
}

enum pool_choice pools_take(struct pools *p, uint32_t pool, const struct pool_tried *tried,
			    const struct pool_tried *idle, uint64_t now_us, uint32_t *server,
			    bool *needs_connection)
{
	struct pool *at = &p->pools[pool];
	uint32_t turn = atomic_fetch_add_explicit(&at->turn, 1, memory_order_relaxed);
	struct candidate best;
	struct survey found;

	/* Each time round somebody else got what was chosen here. */
	do {
		best = choose(at, tried, idle, turn, now_us, &found);
		if (!best.server)
			return verdict(&found);
	} while (!seize(&best, now_us));
	*server = best.server->number;
	*needs_connection = !best.is_open;
	return POOL_CHOSEN;
}

void pools_release(struct pools *p, uint32_t pool, uint32_t server)
{
	uint64_t counts = atomic_fetch_sub_explicit(&server_at(p, pool, server)->counts, one_in_use,
						    memory_order_relaxed);

	assert(in_use_in(counts) > 0);
	(void)counts;
}

void pools_closed(struct pools *p, uint32_t pool, uint32_t server)
{
	uint64_t counts = atomic_fetch_sub_explicit(&server_at(p, pool, server)->counts,
						    one_connection, memory_order_relaxed);

	assert(connections_in(counts) > 0);
	(void)counts;
}

static bool take_trial(struct server *s, uint64_t now_us)
{
	const struct candidate c = {.server = s, .limit = s->connections, .is_trial = true};
	struct health h = health_of(s);

	return health_is_due(&h, now_us) && !told(&s->drained_us) &&
	       connections_in(told(&s->counts)) < s->connections && seize(&c, now_us);
}

bool pools_take_trial(struct pools *p, uint64_t now_us, uint32_t *at, uint32_t *pool,
		      uint32_t *server)
{
	for (uint32_t i = 0; i < TRIAL_LOOKS && i < p->n_servers; i++) {
		struct server *s = &p->servers[*at % p->n_servers];

		*at = *at % p->n_servers + 1;
		if (take_trial(s, now_us)) {
			*pool = s->pool;
			*server = s->number;
			return true;
		}
	}
	return false;
}

uint32_t pools_wanted(const struct pools *p, uint32_t pool)
{
	return atomic_load_explicit(&p->pools[pool].wants, memory_order_relaxed);
}

void pools_want(struct pools *p, uint32_t pool, bool wanted)
{
	_Atomic uint32_t *wants = &p->pools[pool].wants;

	if (wanted) {
		atomic_fetch_add_explicit(wants, 1, memory_order_relaxed);
	} else {
		uint32_t before = atomic_fetch_sub_explicit(wants, 1, memory_order_relaxed);

		assert(before > 0);
		(void)before;
	}
}

/* --- what was found --------------------------------------------------------------------------- */

/* Of two that come at once one is kept. */
static void keep_error(struct server *s, const char *error)
{
	uint64_t words[ERROR_WORDS] = {0};
	char text[POOL_ERROR_MAX] = {0};

	for (unsigned i = 0; i < POOL_ERROR_MAX - 1 && error[i]; i++)
		text[i] = error[i] >= ' ' && error[i] <= '~' ? error[i] : '?';
	memcpy(words, text, sizeof(words));
	if (!whole_claim(&s->error_version))
		return;
	whole_write(s->error, words, ERROR_WORDS);
	whole_publish(&s->error_version);
}

void pools_greeted(struct pools *p, uint32_t pool, uint32_t server, uint16_t offers,
		   uint64_t size_max, uint64_t now_us)
{
	struct server *s = server_at(p, pool, server);

	change(s, health_greeted, now_us);
	if (told(&s->size_max) != size_max)
		tell(&s->size_max, size_max);
	/* Behind the size: who sees that it answered sees what. */
	if (atomic_load_explicit(&s->offers, memory_order_relaxed) != (offers | ANSWERED))
		atomic_store_explicit(&s->offers, offers | ANSWERED, memory_order_release);
}

void pools_lost(struct pools *p, uint32_t pool, uint32_t server, const char *error, uint64_t now_us)
{
	struct server *s = server_at(p, pool, server);

	change(s, health_lost, now_us);
	keep_error(s, error);
}

void pools_wrong(struct pools *p, uint32_t pool, uint32_t server, const char *error,
		 uint64_t now_us)
{
	struct server *s = server_at(p, pool, server);

	change(s, health_wrong, now_us);
	keep_error(s, error);
}

void pools_recipient_taken(struct pools *p, uint32_t pool, uint32_t server, uint64_t now_us)
{
	struct server *s = server_at(p, pool, server);

	change(s, health_taken, now_us);
}

bool pools_recipient_refused(struct pools *p, uint32_t pool, uint32_t server, const char *error,
			     uint64_t now_us)
{
	struct server *s = server_at(p, pool, server);

	if (!change(s, health_refused, now_us))
		return false;
	keep_error(s, error);
	return true;
}

uint64_t pools_taken_us(const struct pools *p, uint32_t pool, uint32_t server)
{
	return told(&server_at(p, pool, server)->taken_us);
}

static void smooth(_Atomic uint32_t *latency, uint32_t last_us)
{
	int64_t before = atomic_load_explicit(latency, memory_order_relaxed), after = last_us;

	if (before)
		after = before + (after - before) / LATENCY_SHARE;
	atomic_store_explicit(latency, (uint32_t)after, memory_order_relaxed);
}

void pools_answered(struct pools *p, uint32_t pool, uint32_t server, unsigned class,
		    uint32_t latency_us, uint64_t now_us)
{
	struct server *s = server_at(p, pool, server);

	count(class == 2 ? &s->taken : class ? &s->refused : &s->failed);
	if (class == 2 && told(&s->taken_us) < now_us)
		tell(&s->taken_us, now_us);
	if (class && latency_us)
		smooth(&s->latency_us, latency_us);
}

bool pools_offers(const struct pools *p, uint16_t *offers, uint64_t *size_max)
{
	uint32_t all = OFFERS_MASK;
	uint64_t least = 0;
	bool answered = false;

	for (uint32_t i = 0; i < p->n_servers; i++) {
		const struct server *s = &p->servers[i];
		uint32_t its = atomic_load_explicit(&s->offers, memory_order_acquire);
		uint64_t size = told(&s->size_max);

		if (!(its & ANSWERED) || told(&s->drained_us))
			continue;
		answered = true;
		all &= its;
		if (size && (least == 0 || size < least))
			least = size;
	}
	if (answered) {
		*offers = (uint16_t)all;
		*size_max = least;
	}
	return answered;
}
