/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A checkpoint of any octets: nothing comes of a file that is not whole, and of records with any
 * content comes a table that can be asked, and written again.
 *
 * The input is a kind, and a file or the records of one.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "control/checkpoint.h"

enum { NOW = 1800000000, RECORD = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct harvest *new_harvest(void)
{
	struct harvest_config config;
	struct harvest *h;

	harvest_defaults(&config);
	config.entries = 64;
	config.filter_octets = 4096;
	h = harvest_new(&config);
	if (!h)
		abort();
	return h;
}

static uint64_t used(const struct harvest *h)
{
	struct harvest_counts counts;

	harvest_count(h, NOW, &counts);
	return counts.used;
}

static void ask_about(struct harvest *h, const uint8_t *key)
{
	struct harvest_client client = {0};
	struct harvest_story stories[HARVEST_LEVELS];

	/* The key of a /64 is its upper half, the first octet the highest. */
	for (unsigned i = 0; i < 8; i++)
		client.address.octets[i] = key[7 - i];
	harvest_explain(h, &client.address, NOW, stories);
	harvest_standing(h, &client, NOW);
	client.address = ip_addr_from_v4(client.address.octets + 4);
	harvest_explain(h, &client.address, NOW, stories);
	harvest_standing(h, &client, NOW);
}

static void check_written_again(const struct harvest *h)
{
	struct harvest *again = new_harvest();
	char *octets = NULL, error[256];
	size_t len = 0;
	FILE *file = open_memstream(&octets, &len);
	int err;

	if (!file)
		abort();
	err = checkpoint_write(h, file);
	assert(!err);
	fclose(file);
	file = fmemopen(octets, len, "r");
	err = checkpoint_read(again, file, "again", error, sizeof(error));
	assert(!err);
	assert(used(again) == used(h));
	fclose(file);
	free(octets);
	harvest_free(again);
}

static void read_file(struct harvest *h, const uint8_t *data, size_t size)
{
	FILE *file = fmemopen((void *)(uintptr_t)data, size, "r");
	char error[256] = "";

	if (!file)
		abort();
	if (checkpoint_read(h, file, "the file", error, sizeof(error))) {
		assert(*error);
		assert(used(h) == 0);
	}
	fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct harvest *h;

	if (size < 2)
		return 0;
	h = new_harvest();
	if (data[0] & 1) {
		read_file(h, data + 1, size - 1);
	} else if (harvest_restore(h, data + 1, size - 1) == 0) {
		for (size_t at = 1; at + RECORD <= size; at += RECORD)
			ask_about(h, data + at);
	} else {
		assert(used(h) == 0);
	}
	check_written_again(h);
	harvest_free(h);
	return 0;
}
