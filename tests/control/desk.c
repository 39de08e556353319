/* SPDX-License-Identifier: BSD-3-Clause */
/* What methods ask, in small. Thread, Time, Memory, Rules: desk.h. */
#include "desk.h"

#include <stdlib.h>
#include <unistd.h>

#include "control/reload.h"
#include "control/roster.h"
#include "postern/dataplane.h"
#include "postern/pools.h"

static const char directory[] = "known@example.net\n"
				"trap@example.net class=trap\n"
				"full@example.net class=over-quota\n"
				"old@example.net pool=archive\n"
				"not an address\n";

static char example_net[] = "example.net", mailstore[] = "mailstore", archive[] = "archive",
	    plus[] = "+", host[] = "mx.example.net";
static struct config_pool pools[] = {{.name = mailstore}, {.name = archive}};
static struct config_domain domain = {.name = example_net,
				      .pool = mailstore,
				      .subaddress = plus,
				      .bad_lines = 0.5,
				      .shrink = 0.3};

/* --- the data plane, a double ---------------------------------------------------------------- */

void dataplane_status(const struct dataplane *dp, struct dataplane_status *status)
{
	*status = (struct dataplane_status){.connections = 3, .time_waits = 2, .buffers_out = 1};
}

void dataplane_counters(const struct dataplane *dp, struct postern_counters *sum)
{
	*sum = (struct postern_counters){.port_rx_frames = 7, .worker_sleeps = 1ull << 60};
}

uint64_t dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients)
{
	recipients_free(recipients);
	return 0;
}

/* --- the pools, a double --------------------------------------------------------------------- */

#define SERVER(last)                                                                      \
	{                                                                                 \
		{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, (last)}}, 25, 1 \
	}

static const struct pool_server_config of_mailstore[] = {SERVER(10), SERVER(11), SERVER(12)};
static const struct pool_server_config of_archive[] = {
	{{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}}, 24, 1}};
static const struct pool_config pool_configs[] = {
	{.name = mailstore,
	 .identity = POOL_XCLIENT,
	 .connections = 100,
	 .n_servers = 3,
	 .servers = of_mailstore},
	{.name = archive,
	 .protocol = POOL_LMTP,
	 .connections = 5,
	 .n_servers = 1,
	 .servers = of_archive},
};

/* How long its state has been so stands in since_us; 0: since the start. */
static const struct pool_server_status pool_statuses[2][3] = {
	{
		{.state = POOL_WELL,
		 .connections = 7,
		 .in_use = 3,
		 .taken = 1000,
		 .refused = 20,
		 .failed = 1,
		 .latency_us = 12345},
		{.state = POOL_DOWN,
		 .failed = 4,
		 .trial_in_us = 2000001,
		 .since_us = 90500000,
		 .error = "no answer to our SYN"},
		{.state = POOL_WRONG, .since_us = 30000000, .error = "550 5.7.1 go \033[2Jaway"},
	},
	{{.state = POOL_STARTING, .connections = 1, .since_us = 3000000}},
};
static struct pools {
	bool drained[2][3];
} desk_pools;

uint32_t pools_count(const struct pools *p)
{
	return 2;
}

const struct pool_config *pools_config(const struct pools *p, uint32_t pool)
{
	return &pool_configs[pool];
}

void pools_status(const struct pools *p, uint32_t pool, uint32_t server, uint64_t now_us,
		  struct pool_server_status *status)
{
	*status = pool_statuses[pool][server];
	if (status->since_us)
		status->since_us = now_us - status->since_us;
	if (p->drained[pool][server])
		status->state = POOL_DRAINED;
}

void pools_drain(struct pools *p, uint32_t pool, uint32_t server, bool drained, uint64_t now_us)
{
	p->drained[pool][server] = drained;
}

/* --- the desk -------------------------------------------------------------------------------- */

static _Noreturn void give_up(const char *why)
{
	fprintf(stderr, "desk: %s\n", why);
	exit(EXIT_FAILURE);
}

static void write_directory(struct desk *d)
{
	FILE *file;

	snprintf(d->folder, sizeof(d->folder), "/tmp/postern-desk-XXXXXX");
	if (!mkdtemp(d->folder))
		give_up("no folder");
	snprintf(d->path, sizeof(d->path), "%s/recipients", d->folder);
	file = fopen(d->path, "we");
	if (!file || fputs(directory, file) < 0 || fclose(file) != 0)
		give_up("no directory");
}

void desk_begin(struct desk *d, bool observe)
{
	struct flags_config flags;

	write_directory(d);
	desk_pools = (struct pools){0};
	domain.recipients = d->path;
	d->config = (struct config){
		.hostname = host, .domains = &domain, .n_domains = 1, .pools = pools, .n_pools = 2};
	flags = verdicts_begin(&d->world, observe);
	verdicts_flags(&d->world, &flags);
	d->methods = (struct methods){
		.config = &d->config,
		.flags = d->world.flags,
		.pools = &desk_pools,
		.began = VERDICTS_START - 60,
	};
	if (roster_new(&d->methods.roster, &d->config, NULL, d->world.error,
		       sizeof(d->world.error)))
		give_up(d->world.error);
	if (reload_new(&d->methods.reload, d->methods.roster, d->world.error,
		       sizeof(d->world.error)))
		give_up(d->world.error);
}

void desk_end(struct desk *d)
{
	reload_free(d->methods.reload);
	roster_free(d->methods.roster);
	verdicts_end(&d->world);
	unlink(d->path);
	rmdir(d->folder);
}
