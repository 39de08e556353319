/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who is never flagged: networks, found by their length and address.
 *
 * Thread: one writes, under a sequence lock; any reads. Time: none. Memory: harvest_new's, and a
 * copy for the length of a call. Rules: a look-up is a binary search for every length there is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/harvest_private.h"

void network_mask(struct ip_addr *address, uint8_t len)
{
	for (unsigned i = 0; i < sizeof(address->octets); i++) {
		unsigned bits = len > 8 * i ? len - 8 * i : 0;

		if (bits < 8)
			address->octets[i] &= (uint8_t)(0xff00 >> bits);
	}
}

static int compare(const void *pa, const void *pb)
{
	const struct ip_network *a = pa, *b = pb;

	if (a->prefix_len != b->prefix_len)
		return a->prefix_len - b->prefix_len;
	return memcmp(&a->address, &b->address, sizeof(a->address));
}

/* Sorted, each once; returns how many. */
static size_t put_in_order(struct ip_network *networks, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		network_mask(&networks[i].address, networks[i].prefix_len);
	if (n)
		qsort(networks, n, sizeof(*networks), compare);
	for (size_t i = 0; i < n; i++)
		if (!kept || compare(&networks[kept - 1], &networks[i]) != 0)
			networks[kept++] = networks[i];
	return kept;
}

static void replace(struct harvest *h, const struct ip_network *networks, size_t n)
{
	uint32_t at = 0;

	atomic_fetch_add(&h->networks_sequence, 1);
	for (unsigned len = 0; len < NETWORK_LENGTHS; len++) {
		atomic_store(&h->networks_of[len], at);
		for (; at < n && networks[at].prefix_len == len; at++) {
			uint64_t halves[2];

			memcpy(halves, &networks[at].address, sizeof(halves));
			atomic_store(&h->networks[at][0], halves[0]);
			atomic_store(&h->networks[at][1], halves[1]);
		}
	}
	atomic_store(&h->networks_of[NETWORK_LENGTHS], at);
	atomic_fetch_add(&h->networks_sequence, 1);
}

int harvest_allow(struct harvest *h, const struct ip_network *networks, size_t n)
{
	struct ip_network *ordered = malloc((n + 1) * sizeof(*ordered));
	size_t kept;

	if (!ordered)
		return -ENOMEM;
	if (n)
		memcpy(ordered, networks, n * sizeof(*ordered));
	kept = put_in_order(ordered, n);
	if (kept <= HARVEST_NETWORKS_MAX)
		replace(h, ordered, kept);
	free(ordered);
	return kept <= HARVEST_NETWORKS_MAX ? 0 : -E2BIG;
}

/* How an address compares with one of the networks. */
static int compare_with(const struct harvest *h, const struct ip_addr *address, uint32_t at)
{
	const uint64_t halves[2] = {atomic_load_explicit(&h->networks[at][0], memory_order_acquire),
				    atomic_load_explicit(&h->networks[at][1],
							 memory_order_acquire)};

	return memcmp(address, halves, sizeof(halves));
}

static bool is_listed(const struct harvest *h, struct ip_addr address, uint8_t len)
{
	uint32_t from = atomic_load_explicit(&h->networks_of[len], memory_order_acquire);
	uint32_t to = atomic_load_explicit(&h->networks_of[len + 1], memory_order_acquire);

	if (from >= to)
		return false;
	network_mask(&address, len);
	while (from < to) {
		const uint32_t middle = from + (to - from) / 2;
		const int order = compare_with(h, &address, middle);

		if (order == 0)
			return true;
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return false;
}

bool harvest_is_allowed(const struct harvest *h, const struct ip_addr *address)
{
	uint32_t sequence;
	bool found;

	do {
		sequence = atomic_load_explicit(&h->networks_sequence, memory_order_acquire);
		found = false;
		for (unsigned len = 0; len < NETWORK_LENGTHS && !found; len++)
			found = is_listed(h, *address, (uint8_t)len);
	} while (sequence & 1 ||
		 atomic_load_explicit(&h->networks_sequence, memory_order_acquire) != sequence);
	return found;
}
