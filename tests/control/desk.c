/* SPDX-License-Identifier: BSD-3-Clause */
/* What methods ask, in small. Thread, Time, Memory, Rules: desk.h. */
#include "desk.h"

#include <stdlib.h>
#include <unistd.h>

#include "control/reload.h"
#include "control/roster.h"
#include "postern/dataplane.h"

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
	domain.recipients = d->path;
	d->config = (struct config){
		.hostname = host, .domains = &domain, .n_domains = 1, .pools = pools, .n_pools = 2};
	flags = verdicts_begin(&d->world, observe);
	verdicts_flags(&d->world, &flags);
	d->methods = (struct methods){
		.config = &d->config,
		.flags = d->world.flags,
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
