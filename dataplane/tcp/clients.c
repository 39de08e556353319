/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts of clients. Thread, Time, Memory, Rules: clients.h. */
#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tcp/clients.h"

enum {
	ROWS = 2,
	/* Counters of a row, in C / L. */
	OPEN_WIDTH = 64,
	HALF_OPEN_WIDTH = 4,
	WIDTH_MIN = 1024,
};

static_assert(ATOMIC_INT_LOCK_FREE == 2, "counters are lock-free");

struct rows {
	_Atomic uint32_t *counters; /* one row behind the other; NULL: not counted */
	uint32_t width;
};

struct clients {
	struct siphash_key key;
	const struct ip_network *unlimited;
	uint32_t n_unlimited;
	struct rows kinds[CLIENTS_KINDS];
};

static size_t size_of(const struct rows *r)
{
	return (size_t)r->width * ROWS * sizeof(r->counters[0]);
}

static bool rows_init(struct rows *r, uint64_t conns, uint32_t limit, uint32_t factor)
{
	uint64_t width = (conns * factor + limit - 1) / limit;
	void *counters;

	if (width < WIDTH_MIN)
		width = WIDTH_MIN;
	r->width = width < UINT32_MAX ? (uint32_t)width : UINT32_MAX;
	counters = mmap(NULL, size_of(r), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (counters == MAP_FAILED)
		return false;
	r->counters = counters;
	return true;
}

struct clients *clients_new(const struct clients_config *config)
{
	static const uint32_t factors[CLIENTS_KINDS] = {
		[CLIENTS_HALF_OPEN] = HALF_OPEN_WIDTH,
		[CLIENTS_OPEN] = OPEN_WIDTH,
	};
	struct clients *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->key = config->key;
	c->unlimited = config->unlimited;
	c->n_unlimited = config->n_unlimited;
	for (unsigned kind = 0; kind < CLIENTS_KINDS; kind++) {
		uint32_t limit = config->limits[kind];

		if (limit && !rows_init(&c->kinds[kind], config->conns, limit, factors[kind])) {
			clients_free(c);
			return NULL;
		}
	}
	return c;
}

void clients_free(struct clients *c)
{
	if (!c)
		return;
	for (unsigned kind = 0; kind < CLIENTS_KINDS; kind++)
		if (c->kinds[kind].counters)
			munmap(c->kinds[kind].counters, size_of(&c->kinds[kind]));
	free(c);
}

/* A client's counters, one in each row. */
struct cells {
	_Atomic uint32_t *row[ROWS];
};

static struct cells find(const struct clients *c, enum clients_kind kind,
			 const struct ip_addr *address)
{
	const struct rows *r = &c->kinds[kind];
	struct ip_addr client = *address;
	uint64_t hash;

	if (!ip_addr_is_v4(&client))
		memset(client.octets + 8, 0, 8);
	hash = siphash13(&c->key, &client, sizeof(client));
	return (struct cells){{
		&r->counters[(hash >> 32) * r->width >> 32],
		&r->counters[r->width + ((hash & UINT32_MAX) * r->width >> 32)],
	}};
}

static bool is_counted(const struct clients *c, enum clients_kind kind,
		       const struct ip_addr *client)
{
	return c->kinds[kind].counters && !ip_networks_hold(c->unlimited, c->n_unlimited, client);
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

uint32_t clients_add(struct clients *c, enum clients_kind kind, const struct ip_addr *client)
{
	struct cells at;

	if (!is_counted(c, kind, client))
		return 0;
	at = find(c, kind, client);
	return 1 + smaller(atomic_fetch_add_explicit(at.row[0], 1, memory_order_relaxed),
			   atomic_fetch_add_explicit(at.row[1], 1, memory_order_relaxed));
}

void clients_sub(struct clients *c, enum clients_kind kind, const struct ip_addr *client)
{
	struct cells at;

	if (!is_counted(c, kind, client))
		return;
	at = find(c, kind, client);
	for (unsigned i = 0; i < ROWS; i++) {
		uint32_t before = atomic_fetch_sub_explicit(at.row[i], 1, memory_order_relaxed);

		assert(before > 0);
		(void)before;
	}
}

uint32_t clients_count(const struct clients *c, enum clients_kind kind,
		       const struct ip_addr *client)
{
	struct cells at;

	if (!is_counted(c, kind, client))
		return 0;
	at = find(c, kind, client);
	return smaller(atomic_load_explicit(at.row[0], memory_order_relaxed),
		       atomic_load_explicit(at.row[1], memory_order_relaxed));
}

uint64_t clients_sum(const struct clients *c, enum clients_kind kind)
{
	const struct rows *r = &c->kinds[kind];
	uint64_t sum = 0;

	for (size_t i = 0; r->counters && i < (size_t)r->width * ROWS; i++)
		sum += atomic_load_explicit(&r->counters[i], memory_order_relaxed);
	return sum;
}
