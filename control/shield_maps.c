/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What stands in the shield's maps: who is flagged, who is spared, what is ours, what happened.
 *
 * Thread: control; workers flag at the same time, and the program reads on every CPU.
 * Time: the caller's, but for shield_now_ns. Memory: a walk's batch buffers for one call.
 * Rules: additions come before removals, an entry before its level's bit, and a level's bit goes
 * before the second look that may bring it back.
 */
#include "control/shield_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "control/error.h"
#include "postern/address_text.h"

enum {
	BATCH = 4096,
};

_Static_assert(sizeof(struct shield_source) == 20, "the program's layout");
_Static_assert(sizeof(struct shield_flag) == 16, "the program's layout");
_Static_assert(sizeof(struct shield_prefix) == 20, "the program's layout");
_Static_assert(sizeof(struct shield_spare) == 16, "the program's layout");
_Static_assert(sizeof(struct shield_endpoint) == 20, "the program's layout");
_Static_assert(sizeof(struct shield_config) == 8, "the program's layout");
_Static_assert(sizeof(_Atomic uint32_t) == sizeof(__u32), "levels are stored as one word");

struct level_of {
	unsigned prefix_len;
	bool v4;
};

static const struct level_of levels[SHIELD_LEVELS] = {
	[SHIELD_V4_32] = {128, true}, [SHIELD_V4_24] = {120, true}, [SHIELD_V6_64] = {64, false},
	[SHIELD_V6_56] = {56, false}, [SHIELD_V6_48] = {48, false},
};

struct walk {
	size_t key_size, value_size;
	bool (*each)(void *arg, const void *key, const void *value); /* false: enough */
	void *arg;
};

/* Calls each for a batch of copies of what stands in the map, from where the last one ended; a
 * place that is all zero is the beginning, and is so again behind the last batch. 0 or -errno. */
static int map_walk_on(int fd, const struct walk *w, struct shield_place *place)
{
	uint8_t *keys = malloc(BATCH * w->key_size), *values = malloc(BATCH * w->value_size);
	void *from = place->has_begun ? place->token : NULL;
	__u32 n = BATCH;
	int err = keys && values ? 0 : -ENOMEM;
	bool goes_on = true;

	if (!err && bpf_map_lookup_batch(fd, from, place->token, keys, values, &n, NULL) < 0)
		err = -errno;
	for (__u32 i = 0; (!err || err == -ENOENT) && i < n && goes_on; i++)
		goes_on = w->each(w->arg, keys + i * w->key_size, values + i * w->value_size);
	place->has_begun = !err && goes_on;
	free(keys);
	free(values);
	return err == -ENOENT ? 0 : err;
}

/* All of it. */
static int map_walk(int fd, const struct walk *w)
{
	struct shield_place place = {.has_begun = false};
	int err;

	do
		err = map_walk_on(fd, w, &place);
	while (place.has_begun);
	return err;
}

static void address_mask(uint8_t octets[16], const struct ip_addr *address, unsigned prefix_len)
{
	unsigned whole = prefix_len / 8;

	memset(octets, 0, 16);
	memcpy(octets, address->octets, whole);
	if (prefix_len % 8)
		octets[whole] = address->octets[whole] & (uint8_t)(0xff00 >> (prefix_len % 8));
}

/* What the kernel's maps say is not always what is meant. */
static const char *reason(int err)
{
	return err == -E2BIG ? "the table is full" : strerror(-err);
}

static int fail_prefix(int err, const char *what, const struct ip_addr *address,
		       unsigned prefix_len, char *error, size_t len)
{
	char text[IP_NETWORK_TEXT];

	return error_set(err, error, len, "%s %s: %s", what,
			 ip_network_text(text, address, prefix_len), reason(err));
}

/* services and backends */

struct endpoints {
	struct shield_endpoint *all;
	size_t n, capacity;
};

static int endpoint_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct shield_endpoint));
}

static bool endpoint_keep(void *arg, const void *key, const void *value)
{
	struct endpoints *e = arg;

	if (e->n < e->capacity)
		memcpy(&e->all[e->n++], key, sizeof(*e->all));
	return true;
}

static void endpoint_put(struct endpoints *e, const struct ip_addr *address, uint16_t port)
{
	struct shield_endpoint *one = &e->all[e->n++];

	memset(one, 0, sizeof(*one));
	memcpy(one->address, address->octets, sizeof(one->address));
	one->port = htons(port);
}

static int endpoints_add(int fd, const struct endpoints *wanted)
{
	const __u8 present = 1;

	for (size_t i = 0; i < wanted->n; i++)
		if (bpf_map_update_elem(fd, &wanted->all[i], &present, BPF_NOEXIST) < 0 &&
		    errno != EEXIST)
			return -errno;
	return 0;
}

static int endpoints_remove_others(int fd, const struct endpoints *present,
				   const struct endpoints *wanted)
{
	for (size_t i = 0; i < present->n; i++) {
		if (wanted->n && bsearch(&present->all[i], wanted->all, wanted->n,
					 sizeof(*wanted->all), endpoint_compare))
			continue;
		if (bpf_map_delete_elem(fd, &present->all[i]) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

/* Makes the map hold what is wanted. Only what a replacement cut short by a crash left behind can
 * take the room both sets need; then it goes first. */
static int endpoints_replace(int fd, struct endpoints *wanted, size_t capacity)
{
	struct endpoints present = {calloc(capacity, sizeof(*present.all)), 0, capacity};
	const struct walk w = {sizeof(struct shield_endpoint), sizeof(__u8), endpoint_keep,
			       &present};
	int err = present.all ? map_walk(fd, &w) : -ENOMEM;

	qsort(wanted->all, wanted->n, sizeof(*wanted->all), endpoint_compare);
	if (!err && present.n + wanted->n > capacity)
		err = endpoints_remove_others(fd, &present, wanted);
	if (!err)
		err = endpoints_add(fd, wanted);
	if (!err)
		err = endpoints_remove_others(fd, &present, wanted);
	free(present.all);
	return err;
}

int shield_set_services(struct shield *s, const struct ip_endpoint *services, size_t n, char *error,
			size_t len)
{
	struct endpoints wanted = {NULL, 0, 2 * SHIELD_SERVICES_MAX};
	int err;

	if (n > SHIELD_SERVICES_MAX)
		return error_set(-E2BIG, error, len, "%zu services, where %d are the most", n,
				 SHIELD_SERVICES_MAX);
	wanted.all = calloc(wanted.capacity, sizeof(*wanted.all));
	if (!wanted.all)
		return error_set(-ENOMEM, error, len, "no memory for the shield's services");
	for (size_t i = 0; i < n; i++) {
		endpoint_put(&wanted, &services[i].address, 0);
		if (services[i].port)
			endpoint_put(&wanted, &services[i].address, services[i].port);
	}
	err = endpoints_replace(s->maps[SHIELD_MAP_SERVICES], &wanted, SHIELD_SERVICES_ENTRIES);
	free(wanted.all);
	if (err)
		return error_set(err, error, len, "cannot set the shield's services: %s",
				 reason(err));
	return 0;
}

int shield_set_backends(struct shield *s, const struct ip_endpoint *backends, size_t n, char *error,
			size_t len)
{
	struct endpoints wanted = {NULL, 0, SHIELD_BACKENDS_MAX};
	int err;

	if (n > SHIELD_BACKENDS_MAX)
		return error_set(-E2BIG, error, len, "%zu backends, where %d are the most", n,
				 SHIELD_BACKENDS_MAX);
	wanted.all = calloc(wanted.capacity, sizeof(*wanted.all));
	if (!wanted.all)
		return error_set(-ENOMEM, error, len, "no memory for the shield's backends");
	for (size_t i = 0; i < n; i++)
		endpoint_put(&wanted, &backends[i].address, backends[i].port);
	err = endpoints_replace(s->maps[SHIELD_MAP_BACKENDS], &wanted, SHIELD_BACKENDS_ENTRIES);
	free(wanted.all);
	if (err)
		return error_set(err, error, len, "cannot set the shield's backends: %s",
				 reason(err));
	return 0;
}

void shield_set_backend_ports(struct shield *s, uint16_t first, uint16_t last)
{
	__atomic_store_n(&s->config->backend_port_first, first, __ATOMIC_RELAXED);
	__atomic_store_n(&s->config->backend_port_last, last, __ATOMIC_RELAXED);
}

/* flagged */

bool shield_source_key(const struct ip_addr *address, unsigned prefix_len,
		       struct shield_source *key, enum shield_level *level)
{
	for (int i = 0; i < SHIELD_LEVELS; i++) {
		if (levels[i].prefix_len != prefix_len || levels[i].v4 != ip_addr_is_v4(address))
			continue;
		address_mask(key->address, address, prefix_len);
		key->prefix_len = prefix_len;
		*level = i;
		return true;
	}
	return false;
}

int shield_flagged_fd(const struct shield *s)
{
	return s->maps[SHIELD_MAP_FLAGGED];
}

_Atomic uint32_t *shield_levels(struct shield *s)
{
	return (_Atomic uint32_t *)&s->config->levels;
}

int shield_flag(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		uint64_t expiry_ns, char *error, size_t len)
{
	int fd = s->maps[SHIELD_MAP_FLAGGED];
	struct shield_flag flag = {0};
	struct shield_source key;
	enum shield_level level;

	if (!shield_source_key(address, prefix_len, &key, &level))
		return fail_prefix(-EINVAL, "cannot flag", address, prefix_len, error, len);
	bpf_map_lookup_elem(fd, &key, &flag); /* absent: no drops yet */
	flag.expiry_ns = expiry_ns;
	if (bpf_map_update_elem(fd, &key, &flag, BPF_ANY) < 0)
		return fail_prefix(-errno, "cannot flag", address, prefix_len, error, len);
	atomic_fetch_or(shield_levels(s), 1u << level);
	return 0;
}

int shield_unflag(struct shield *s, const struct ip_addr *address, unsigned prefix_len, char *error,
		  size_t len)
{
	struct shield_source key;
	enum shield_level level;

	if (!shield_source_key(address, prefix_len, &key, &level))
		return fail_prefix(-EINVAL, "cannot unflag", address, prefix_len, error, len);
	if (bpf_map_delete_elem(s->maps[SHIELD_MAP_FLAGGED], &key) < 0)
		return fail_prefix(-errno, "cannot unflag", address, prefix_len, error, len);
	return 0;
}

int shield_find_flagged(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
			struct shield_flagged *found, char *error, size_t len)
{
	struct shield_source key;
	struct shield_flag flag;
	enum shield_level level;

	if (!shield_source_key(address, prefix_len, &key, &level))
		return fail_prefix(-EINVAL, "cannot look up", address, prefix_len, error, len);
	if (bpf_map_lookup_elem(s->maps[SHIELD_MAP_FLAGGED], &key, &flag) < 0)
		return fail_prefix(-errno, "cannot look up", address, prefix_len, error, len);
	*found = (struct shield_flagged){
		.address = ip_addr_from_v6(key.address),
		.prefix_len = prefix_len,
		.expiry_ns = flag.expiry_ns,
		.drops = flag.drops,
	};
	return 0;
}

struct flagged_walk {
	bool (*each)(const struct shield_flagged *f, void *arg);
	void *arg;
};

static bool flagged_each(void *arg, const void *key, const void *value)
{
	const struct flagged_walk *w = arg;
	const struct shield_source *source = key;
	const struct shield_flag *flag = value;
	const struct shield_flagged f = {
		.address = ip_addr_from_v6(source->address),
		.prefix_len = source->prefix_len,
		.expiry_ns = flag->expiry_ns,
		.drops = flag->drops,
	};

	return w->each(&f, w->arg);
}

int shield_each_flagged(struct shield *s, bool (*each)(const struct shield_flagged *f, void *arg),
			void *arg, char *error, size_t len)
{
	struct flagged_walk fw = {each, arg};
	const struct walk w = {sizeof(struct shield_source), sizeof(struct shield_flag),
			       flagged_each, &fw};
	int err = map_walk(s->maps[SHIELD_MAP_FLAGGED], &w);

	if (err)
		return error_set(err, error, len, "cannot list the flagged sources: %s",
				 strerror(-err));
	return 0;
}

/* allow */

static void allow_key(struct shield_prefix *key, const struct ip_addr *address, unsigned prefix_len)
{
	address_mask(key->address, address, prefix_len);
	key->prefix_len = prefix_len;
}

int shield_allow(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		 uint64_t expiry_ns, char *error, size_t len)
{
	const struct shield_spare spare = {.expiry_ns = expiry_ns, .prefix_len = prefix_len};
	struct shield_prefix key;

	if (prefix_len > 128)
		return fail_prefix(-EINVAL, "cannot spare", address, prefix_len, error, len);
	allow_key(&key, address, prefix_len);
	if (bpf_map_update_elem(s->maps[SHIELD_MAP_ALLOW], &key, &spare, BPF_ANY) < 0)
		return fail_prefix(errno == ENOSPC ? -E2BIG : -errno, "cannot spare", address,
				   prefix_len, error, len);
	return 0;
}

int shield_disallow(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		    char *error, size_t len)
{
	struct shield_prefix key;

	if (prefix_len > 128)
		return fail_prefix(-EINVAL, "cannot cease to spare", address, prefix_len, error,
				   len);
	allow_key(&key, address, prefix_len);
	if (bpf_map_delete_elem(s->maps[SHIELD_MAP_ALLOW], &key) < 0)
		return fail_prefix(-errno, "cannot cease to spare", address, prefix_len, error,
				   len);
	return 0;
}

struct allowed_walk {
	bool (*each)(const struct shield_allowed *a, void *arg);
	void *arg;
};

static bool allowed_each(void *arg, const void *key, const void *value)
{
	const struct allowed_walk *w = arg;
	const struct shield_prefix *prefix = key;
	const struct shield_spare *spare = value;
	const struct shield_allowed a = {
		.address = ip_addr_from_v6(prefix->address),
		.prefix_len = prefix->prefix_len,
		.expiry_ns = spare->expiry_ns,
	};

	return w->each(&a, w->arg);
}

int shield_each_allowed(struct shield *s, bool (*each)(const struct shield_allowed *a, void *arg),
			void *arg, char *error, size_t len)
{
	struct allowed_walk aw = {each, arg};
	const struct walk w = {sizeof(struct shield_prefix), sizeof(struct shield_spare),
			       allowed_each, &aw};
	int err = map_walk(s->maps[SHIELD_MAP_ALLOW], &w);

	if (err)
		return error_set(err, error, len, "cannot list the spared prefixes: %s",
				 strerror(-err));
	return 0;
}

/* expiry */

/* One piece of an expiry. */
struct expiry {
	struct shield *s;
	uint64_t now_ns;
	size_t removed;
	int err;
};

static uint32_t level_bit(const struct shield_source *source)
{
	const struct ip_addr address = ip_addr_from_v6(source->address);
	struct shield_source key;
	enum shield_level level;

	return shield_source_key(&address, source->prefix_len, &key, &level) ? 1u << level : 0;
}

static bool flagged_expire(void *arg, const void *key, const void *value)
{
	const struct shield_source *source = key;
	const struct shield_flag *seen = value;
	struct expiry *e = arg;
	int fd = e->s->maps[SHIELD_MAP_FLAGGED];
	struct shield_flag flag;

	if (seen->expiry_ns > e->now_ns) {
		e->s->expiry.levels |= level_bit(source);
		return true;
	}
	if (bpf_map_lookup_and_delete_elem(fd, source, &flag) < 0) {
		e->err = errno == ENOENT ? 0 : -errno;
		return e->err == 0;
	}
	e->removed++;
	if (flag.expiry_ns <= e->now_ns)
		return true;
	/* A worker has flagged it anew since we saw it. */
	e->removed--;
	e->s->expiry.levels |= level_bit(source);
	if (bpf_map_update_elem(fd, source, &flag, BPF_NOEXIST) < 0 && errno != EEXIST)
		e->err = -errno;
	return e->err == 0;
}

static bool allow_expire(void *arg, const void *key, const void *value)
{
	const struct shield_spare *spare = value;
	struct expiry *e = arg;

	if (spare->expiry_ns == 0 || spare->expiry_ns > e->now_ns)
		return true;
	if (bpf_map_delete_elem(e->s->maps[SHIELD_MAP_ALLOW], key) == 0)
		e->removed++;
	else if (errno != ENOENT)
		e->err = -errno;
	return e->err == 0;
}

static bool level_note(void *arg, const void *key, const void *value)
{
	uint32_t *seen = arg;

	*seen |= level_bit(key);
	return true;
}

static int levels_of_entries(struct shield *s, uint32_t *seen)
{
	const struct walk w = {sizeof(struct shield_source), sizeof(struct shield_flag), level_note,
			       seen};

	return map_walk(s->maps[SHIELD_MAP_FLAGGED], &w);
}

int shield_levels_refresh(struct shield *s, char *error, size_t len)
{
	uint32_t seen = 0;
	int err = levels_of_entries(s, &seen);

	if (err)
		return error_set(err, error, len, "cannot read the flagged sources: %s",
				 strerror(-err));
	atomic_fetch_or(shield_levels(s), seen);
	return 0;
}

/* A level that no flag was found at is switched off; one may have come behind the walk. */
static enum shield_expiry_step switch_levels_off(struct shield *s)
{
	const uint32_t before = atomic_fetch_and(shield_levels(s), s->expiry.levels);

	s->expiry.off = before & ~s->expiry.levels;
	return s->expiry.off ? SHIELD_EXPIRY_LOOK_AGAIN : SHIELD_EXPIRY_FLAGS;
}

static bool level_switch_on(void *arg, const void *key, const void *value)
{
	struct expiry *e = arg;

	if (level_bit(key) & e->s->expiry.off)
		atomic_fetch_or(shield_levels(e->s), level_bit(key));
	return true;
}

static int expire_piece(struct expiry *e)
{
	static bool (*const each[])(void *arg, const void *key, const void *value) = {
		[SHIELD_EXPIRY_FLAGS] = flagged_expire,
		[SHIELD_EXPIRY_ALLOWANCES] = allow_expire,
		[SHIELD_EXPIRY_LOOK_AGAIN] = level_switch_on,
	};
	struct shield_expiry *x = &e->s->expiry;
	const bool allows = x->step == SHIELD_EXPIRY_ALLOWANCES;
	const struct walk w = {
		.key_size = allows ? sizeof(struct shield_prefix) : sizeof(struct shield_source),
		.value_size = allows ? sizeof(struct shield_spare) : sizeof(struct shield_flag),
		.each = each[x->step],
		.arg = e,
	};
	int err = map_walk_on(e->s->maps[allows ? SHIELD_MAP_ALLOW : SHIELD_MAP_FLAGGED], &w,
			      &x->place);

	return err ? err : e->err;
}

int shield_expire(struct shield *s, uint64_t now_ns, bool *done, size_t *removed, char *error,
		  size_t len)
{
	struct expiry e = {.s = s, .now_ns = now_ns};
	struct shield_expiry *x = &s->expiry;
	int err = expire_piece(&e);

	*removed = e.removed;
	*done = false;
	if (err) {
		atomic_fetch_or(shield_levels(s), x->off);
		*x = (struct shield_expiry){.step = SHIELD_EXPIRY_FLAGS};
		return error_set(err, error, len, "cannot remove what has expired: %s",
				 strerror(-err));
	}
	if (x->place.has_begun)
		return 0;
	if (x->step == SHIELD_EXPIRY_FLAGS)
		x->step = SHIELD_EXPIRY_ALLOWANCES;
	else if (x->step == SHIELD_EXPIRY_ALLOWANCES)
		x->step = switch_levels_off(s);
	else
		x->step = SHIELD_EXPIRY_FLAGS;
	*done = x->step == SHIELD_EXPIRY_FLAGS;
	if (*done)
		*x = (struct shield_expiry){.step = SHIELD_EXPIRY_FLAGS};
	return 0;
}

/* counters */

int shield_counters(struct shield *s, uint64_t sum[SHIELD_COUNTERS], char *error, size_t len)
{
	uint64_t total[SHIELD_COUNTERS] = {0}, *per_cpu;
	int cpus = libbpf_num_possible_cpus(), err = 0;

	if (cpus < 0)
		return error_set(cpus, error, len, "cannot count the CPUs: %s", strerror(-cpus));
	per_cpu = calloc((size_t)cpus, sizeof(*per_cpu));
	if (!per_cpu)
		return error_set(-ENOMEM, error, len, "no memory for the shield's counters");
	for (__u32 i = 0; i < SHIELD_COUNTERS && !err; i++) {
		if (bpf_map_lookup_elem(s->maps[SHIELD_MAP_COUNTERS], &i, per_cpu) < 0)
			err = error_set(-errno, error, len, "cannot read the shield's counters: %s",
					strerror(errno));
		for (int c = 0; c < cpus; c++)
			total[i] += per_cpu[c];
	}
	if (!err)
		memcpy(sum, total, sizeof(total));
	free(per_cpu);
	return err;
}

uint64_t shield_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
