/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration of any octets: what is refused is refused with a sentence, and what is taken can
 * be shown, read again and shown the same.
 *
 * The input is the file.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file in memory, and the name it can be opened by. */
struct file {
	int fd;
	char path[32];
};

static struct file write_file(const void *octets, size_t len)
{
	struct file f = {.fd = memfd_create("config", MFD_CLOEXEC)};

	if (f.fd < 0 || write(f.fd, octets, len) != (ssize_t)len)
		abort();
	snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", f.fd);
	return f;
}

/* As config_show writes it; to be freed. */
static char *shown(const struct config *config, size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	if (!to)
		abort();
	config_show(config, to);
	fclose(to);
	return text;
}

/* What may be said does not depend on what is. */
static void check_explained(void)
{
	size_t len;
	char *text = NULL;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		abort();
	config_explain(to);
	fclose(to);
	assert(strstr(text, "| `hostname` |"));
	free(text);
}

static void check_shown(const struct config *config)
{
	size_t len, len_again;
	char *text = shown(config, &len), *again;
	struct file f = write_file(text, len);
	struct schema_error error;
	struct config read;
	bool well = config_read(f.path, &read, &error);

	if (!well)
		fprintf(stderr, "%s\n%s", error.text, text);
	assert(well);
	again = shown(&read, &len_again);
	assert(len_again == len && memcmp(again, text, len) == 0);
	assert(memcmp(&read.limits, &config->limits, sizeof(read.limits)) == 0);
	assert(read.harvest.first_ttl_s == config->harvest.first_ttl_s);
	assert(read.harvest.clients == config->harvest.clients);
	assert(read.buffered_max == config->buffered_max);
	free(again);
	free(text);
	config_free(&read);
	close(f.fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file f = write_file(data, size);
	struct schema_error error;
	struct config config;

	if (config_read(f.path, &config, &error)) {
		check_shown(&config);
		check_explained();
		config_free(&config);
	} else {
		assert(strncmp(error.text, f.path, strlen(f.path)) == 0);
		assert(!config.path && !config.domains && !config.pools && !config.interfaces);
	}
	close(f.fd);
	return 0;
}
