/* SPDX-License-Identifier: BSD-3-Clause */
/* A running posternd. Thread, Time, Memory, Rules: gateway.h. */
#include "control/gateway.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/derive.h"
#include "control/error.h"

enum { DRAIN_LOOK_MS = 5 };

/* --- what is at hand before anything starts ----------------------------------------------------
 */

static int draw(void *octets, size_t n, char *error, size_t len)
{
	if (getrandom(octets, n, 0) != (ssize_t)n)
		return error_set(-EIO, error, len, "no entropy: %s", strerror(errno));
	return 0;
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void keep_time(struct gateway *g)
{
	atomic_store_explicit(&g->mail.epoch_us,
			      clock_us(CLOCK_REALTIME) - clock_us(CLOCK_MONOTONIC),
			      memory_order_relaxed);
}

static uint32_t now_s(void *arg)
{
	const struct gateway *g = arg;

	return mail_now_s(&g->mail, clock_us(CLOCK_MONOTONIC));
}

static struct notices *allocate_notices(uint32_t n)
{
	struct notices *all = aligned_alloc(_Alignof(struct notices), n * sizeof(*all));

	if (all)
		memset(all, 0, n * sizeof(*all));
	return all;
}

static int allocate(struct gateway *g, struct plane_config *plane, uint32_t *n_allow, char *error,
		    size_t len)
{
	g->neighbours = derive_neighbours(g->config, &plane->n_neighbours);
	g->allow = config_allow(g->config, n_allow);
	g->backends = config_servers(g->config, &plane->n_backends);
	g->pools = derive_pools(g->config);
	g->notices = allocate_notices(g->dataplane_config.n_workers);
	g->orders = allocate_notices(g->dataplane_config.n_workers);
	if (!g->neighbours || !g->allow || !g->backends || !g->pools || !g->notices || !g->orders)
		return error_set(-ENOMEM, error, len, "no memory for control");
	plane->neighbours = g->neighbours;
	plane->backends = g->backends;
	return 0;
}

/* The folder of the socket, where nobody has made it. */
static int socket_open(struct gateway *g, char *error, size_t len)
{
	const char *path = g->config->control.socket, *slash = strrchr(path, '/');
	char folder[256];

	if (slash && slash > path && (size_t)(slash - path) < sizeof(folder)) {
		memcpy(folder, path, (size_t)(slash - path));
		folder[slash - path] = '\0';
		if (mkdir(folder, 0755) < 0 && errno != EEXIST)
			return error_set(-errno, error, len, "%s: %s", folder, strerror(errno));
	}
	return rpc_new(&g->rpc, path, control_methods, &g->methods, error, len);
}

/* --- parts ----------------------------------------------------------------------------------- */

static int eal_start(struct gateway *g, bool verbose, char *error, size_t len)
{
	const struct rlimit no_limit = {RLIM_INFINITY, RLIM_INFINITY};
	const struct dataplane_eal eal = {
		.name = "posternd",
		.cores = g->config->cores,
		.n_cores = g->config->n_cores,
		.huge_pages = g->config->huge_pages,
		.verbose = verbose,
	};
	int rc;

	/* Where this is refused, the lock on memory fails later with a reason of its own. */
	setrlimit(RLIMIT_MEMLOCK, &no_limit);
	rc = dataplane_eal_start(&g->dataplane_config, &eal, error, len);
	g->has_eal = !rc;
	return rc;
}

static int harvest_start(struct gateway *g, char *error, size_t len)
{
	struct harvest_config config;
	int rc;

	derive_harvest(g->config, &config);
	rc = draw(config.entropy, sizeof(config.entropy), error, len);
	if (rc)
		return rc;
	g->harvest = harvest_new(&config);
	if (!g->harvest)
		return error_set(-ENOMEM, error, len,
				 "harvest: no memory, or figures that make no test");
	return 0;
}

static void wake_workers(void *arg)
{
	struct gateway *g = arg;

	if (g->dataplane)
		dataplane_wake(g->dataplane);
}

static int flags_start(struct gateway *g, uint32_t n_allow, char *error, size_t len)
{
	const struct flags_config config = {
		.shield = plane_shield(g->plane),
		.harvest = g->harvest,
		.notices = g->notices,
		.n_notices = g->dataplane_config.n_workers,
		.orders = g->orders,
		.wake = wake_workers,
		.wake_arg = g,
		.state = g->config->harvest.state,
		.allow = g->allow,
		.n_allow = n_allow,
		.now_s = now_s,
		.now_arg = g,
		.event = g->voice.verdict,
		.event_arg = g->voice.arg,
	};

	/* What was wrong with the checkpoint is in flags_count, too. */
	return flags_new(&g->flags, &config, error, len);
}

static int mail_start(struct gateway *g, char *error, size_t len)
{
	struct shield *shield = plane_shield(g->plane);
	struct mail_config *m = &g->mail;
	int rc = draw(m->id_key, sizeof(m->id_key), error, len);

	if (!rc)
		rc = draw(g->dataplane_config.entropy, sizeof(g->dataplane_config.entropy), error,
			  len);
	if (rc)
		return rc;
	m->pools = g->pools;
	m->harvest = g->harvest;
	m->notices = g->notices;
	m->orders = g->orders;
	m->shield.wake_fd = g->wake_fd;
	if (shield) {
		m->shield.flagged_fd = shield_flagged_fd(shield);
		m->shield.levels = shield_levels(shield);
		for (uint32_t i = 0; i < g->dataplane_config.n_interfaces; i++)
			if (g->dataplane_config.interfaces[i].kind == DATAPLANE_AF_XDP)
				m->shield.ports |= 1U << i;
	}
	g->dataplane_config.unlimited = m->proxy_from;
	g->dataplane_config.n_unlimited = m->n_proxy_from;
	g->dataplane_config.service = &mail_service;
	g->dataplane_config.service_config = m;
	return dataplane_start(&g->dataplane, &g->dataplane_config, error, len);
}

static void *talk(void *arg)
{
	rpc_run(arg);
	return NULL;
}

static int talker_start(struct gateway *g, char *error, size_t len)
{
	int failed;

	g->methods = (struct methods){
		.config = g->config,
		.dataplane = g->dataplane,
		.pools = g->pools,
		.roster = g->roster,
		.reload = g->reload,
		.flags = g->flags,
		.shield = plane_shield(g->plane),
		.began = now_s(g),
	};
	failed = pthread_create(&g->talker, NULL, talk, g->rpc);
	if (failed)
		return error_set(-failed, error, len, "the control socket's thread: %s",
				 strerror(failed));
	g->talks = true;
	return 0;
}

/* --- all of it ------------------------------------------------------------------------------- */

int gateway_start(struct gateway *g, const struct config *config, const struct gateway_voice *voice,
		  char *error, size_t len)
{
	struct plane_config plane = {
		.dataplane = &g->dataplane_config,
		.bpffs = config->shield.bpffs,
		.verbose = voice->verbose,
		.say = voice->say,
	};
	uint32_t n_allow = 0;
	int rc;

	*g = (struct gateway){.config = config, .voice = *voice};
	g->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (g->wake_fd < 0)
		return error_set(-errno, error, len, "eventfd: %s", strerror(errno));
	derive_dataplane(config, &g->dataplane_config);
	derive_mail(config, &g->mail);
	keep_time(g);
	/* Who does not say how many cores wants as many as are of use. */
	rc = config->n_cores ? 0 : plane_limit_workers(&g->dataplane_config, error, len);
	if (!rc)
		rc = allocate(g, &plane, &n_allow, error, len);
	if (!rc)
		rc = plane_complete_addresses(&g->dataplane_config, error, len);
	if (!rc)
		rc = socket_open(g, error, len);
	if (!rc)
		rc = eal_start(g, voice->verbose, error, len);
	if (!rc)
		rc = roster_new(&g->roster, config, voice->is_over, error, len);
	if (!rc)
		rc = plane_open(&g->plane, &plane, error, len);
	if (!rc)
		rc = harvest_start(g, error, len);
	if (!rc)
		rc = flags_start(g, n_allow, error, len);
	if (!rc)
		rc = mail_start(g, error, len);
	if (!rc)
		rc = plane_start(g->plane, g->dataplane, error, len);
	if (rc)
		return rc;
	roster_start(g->roster, g->dataplane);
	rc = reload_new(&g->reload, g->roster, error, len);
	return rc ? rc : talker_start(g, error, len);
}

void gateway_tick(struct gateway *g)
{
	keep_time(g);
	flags_tick(g->flags);
}

/* Until every conversation has had its 421, and its connection is closed. */
static void drain(struct gateway *g)
{
	const struct timespec pause = {.tv_nsec = DRAIN_LOOK_MS * 1000000L};
	struct dataplane_status status;

	atomic_store(&g->mail.draining, true);
	dataplane_wake(g->dataplane);
	for (int ms = 0; ms < GATEWAY_DRAIN_MS; ms += DRAIN_LOOK_MS) {
		dataplane_status(g->dataplane, &status);
		if (status.connections == 0)
			return;
		nanosleep(&pause, NULL);
	}
}

static int mail_stop(struct gateway *g, char *error, size_t len)
{
	if (!g->dataplane)
		return 0;
	if (g->roster)
		roster_cancel(g->roster);
	drain(g);
	reload_free(g->reload);
	dataplane_halt(g->dataplane);
	/* What workers said last is in it. */
	flags_take(g->flags);
	return flags_save(g->flags, error, len);
}

int gateway_stop(struct gateway *g, char *error, size_t len)
{
	int rc;

	if (g->talks) {
		rpc_stop(g->rpc);
		pthread_join(g->talker, NULL);
	}
	rc = mail_stop(g, error, len);
	dataplane_stop(g->dataplane);
	flags_free(g->flags);
	harvest_free(g->harvest);
	plane_close(g->plane);
	roster_free(g->roster);
	if (g->has_eal)
		dataplane_eal_stop();
	rpc_free(g->rpc);
	pools_free(g->pools);
	free(g->notices);
	free(g->orders);
	free(g->allow);
	free(g->backends);
	free(g->neighbours);
	if (g->wake_fd >= 0)
		close(g->wake_fd);
	return rc;
}
