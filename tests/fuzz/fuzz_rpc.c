/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests of any octets to the real methods: whatever is asked, an answer is a line of JSON with a
 * result or an error in it.
 *
 * The input is requests, a line each, to a process that has just begun.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "control/flags.h"
#include "control/methods.h"
#include "control/roster.h"
#include "postern/dataplane.h"
#include "postern/pools.h"

enum { NOW = 1800000000, REQUESTS_MAX = 32 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char host[] = "mx.example.net", name[] = "example.net", mailstore[] = "mailstore",
	    plus[] = "+", path[64];
static struct config_pool pool = {.name = mailstore};
static struct config_domain domain = {
	.name = name, .recipients = path, .pool = mailstore, .subaddress = plus};
static const struct config config = {
	.hostname = host, .domains = &domain, .n_domains = 1, .pools = &pool, .n_pools = 1};
static struct methods methods = {.config = &config, .began = NOW};

/* --- the data plane, a double ---------------------------------------------------------------- */

void dataplane_status(const struct dataplane *dp, struct dataplane_status *status)
{
	memset(status, 0, sizeof(*status));
}

void dataplane_counters(const struct dataplane *dp, struct postern_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
}

uint64_t dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients)
{
	abort();
}

/* --- the target ------------------------------------------------------------------------------ */

static uint32_t now_s(void *arg)
{
	return NOW;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int fd = memfd_create("recipients", MFD_CLOEXEC);
	char error[512];

	if (fd < 0 || dprintf(fd, "known@%s\n", name) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (roster_new(&methods.roster, &config, NULL, error, sizeof(error))) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	return 0;
}

static struct harvest *new_harvest(void)
{
	struct harvest_config hc;
	struct harvest *h;

	harvest_defaults(&hc);
	hc.entries = 64;
	hc.filter_octets = 4096;
	h = harvest_new(&hc);
	if (!h)
		abort();
	return h;
}

/* What is drained by one input is not by the next. */
static struct pools *new_pools(void)
{
	static const struct pool_server_config servers[] = {
		{{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 10}}, 25, 1},
		{{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}}, 2500, 3},
	};
	const struct pool_config of_mailstore = {.name = mailstore,
						 .identity = POOL_XCLIENT,
						 .connections = 100,
						 .n_servers = 2,
						 .servers = servers};
	struct pools *p = pools_new(&of_mailstore, 1);

	if (!p)
		abort();
	return p;
}

static void check(const char *line)
{
	const char *end = strchr(line, '\n');
	json_t *answer = json_loads(line, 0, NULL);

	assert(end && !end[1]);
	assert(json_is_object(answer));
	assert(json_object_get(answer, "id"));
	assert(!json_object_get(answer, "result") != !json_object_get(answer, "error"));
	json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct harvest *h = new_harvest();
	const struct flags_config fc = {.harvest = h, .now_s = now_s};
	const char *p = (const char *)data, *end = p + size;
	char error[256];

	methods.pools = new_pools();
	if (flags_new(&methods.flags, &fc, error, sizeof(error)))
		abort();
	for (unsigned n = 0; p < end && n < REQUESTS_MAX; n++) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((newline ? newline : end) - p);
		char *answer = rpc_answer(control_methods, &methods, p, len);

		if (answer)
			check(answer);
		free(answer);
		p += len + 1;
	}
	flags_free(methods.flags);
	pools_free(methods.pools);
	harvest_free(h);
	return 0;
}
