/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_service: Postern's data plane with small services instead of mail, for outside judges.
 *
 * Thread: the EAL's main lcore is control: it starts everything, keeps the kernel's routes and
 * neighbours published, and stops in the reverse order; the services run on worker lcores.
 * Time: epoll, with a timer for what workers cannot wake it for.
 * Memory: the data plane's. Rules: one line on stderr says why it failed; exit status 1, or 2 for
 * a command line that makes no sense. At its end, and at SIGUSR1, a line of JSON on stdout.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "control/plane.h"
#include "options.h"
#include "postern/dataplane.h"
#include "services.h"

enum {
	EXIT_USAGE = 2,
	TICK_MS = 5,
	SETTLE_MS = 500, /* for connections under way, before they are reset */
	RESET_MS = 2000, /* for the workers to reset them */
};

struct program {
	struct options options;
	struct plane *plane;
	struct dataplane *dataplane;
	int epoll, signals, timer;
	bool eal;
	char error[512];
};

/* Start-up and control are one thread; nothing else writes it. */
static struct program program;

/* What came first is the reason for the rest. */
__attribute__((format(printf, 2, 3))) static int wrong(struct program *p, const char *format, ...)
{
	va_list args;

	if (p->error[0])
		return -1;
	va_start(args, format);
	vsnprintf(p->error, sizeof(p->error), format, args);
	va_end(args);
	return -1;
}

/* --- the EAL -------------------------------------------------------------------------------- */

static int eal_start(struct program *p)
{
	const struct options *o = &p->options;
	const struct dataplane_eal eal = {
		.name = "tcp_service",
		.file_prefix = o->file_prefix,
		.cores = o->cores,
		.n_cores = o->n_cores,
		.huge_pages = o->huge,
		.verbose = o->verbose,
	};

	if (dataplane_eal_start(&o->dataplane, &eal, p->error, sizeof(p->error)) != 0)
		return -1;
	p->eal = true;
	return 0;
}

/* --- control ---------------------------------------------------------------------------------- */

static int plane_make(struct program *p)
{
	const struct options *o = &p->options;
	const struct plane_config config = {
		.dataplane = &o->dataplane,
		.bpffs = o->bpffs,
		.backends = o->backends,
		.n_backends = o->n_backends,
		.neighbours = o->neighbours,
		.n_neighbours = o->n_neighbours,
		.verbose = o->verbose,
	};

	return plane_open(&p->plane, &config, p->error, sizeof(p->error));
}

/* --- the counts ------------------------------------------------------------------------------ */

static void counts_print(struct program *p, const struct dataplane_status *status)
{
	struct postern_counters counters;
	struct services_total total;
	const char *separator = "";

	dataplane_counters(p->dataplane, &counters);
	services_sum(&p->options.services, &total);
	printf("{\"connections_open\": %" PRIu64 ", \"connections_in_table\": %u, "
	       "\"time_waits\": %u, \"buffers_out\": %u, \"transfers_ok\": %" PRIu64
	       ", \"transfers_failed\": %" PRIu64 ", \"counters\": {",
	       total.open, status->connections, status->time_waits, status->buffers_out, total.ok,
	       total.failed);
#define X(name, text)                                                  \
	printf("%s\"" #name "\": %" PRIu64, separator, counters.name); \
	separator = ", ";
	POSTERN_COUNTERS(X)
#undef X
	printf("}}\n");
	fflush(stdout);
}

/* --- the loop -------------------------------------------------------------------------------- */

static int events_open(struct program *p, const sigset_t *signals)
{
	const struct itimerspec tick = {{0, TICK_MS * 1000000}, {0, TICK_MS * 1000000}};
	struct epoll_event event = {.events = EPOLLIN};
	int fds[3];

	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->signals = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	p->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (p->epoll < 0 || p->signals < 0 || p->timer < 0 ||
	    timerfd_settime(p->timer, 0, &tick, NULL) < 0)
		return wrong(p, "events: %s", strerror(errno));
	fds[0] = p->signals;
	fds[1] = p->timer;
	fds[2] = plane_fd(p->plane);
	for (int i = 0; i < 3; i++) {
		event.data.fd = fds[i];
		if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
			return wrong(p, "events: %s", strerror(errno));
	}
	return 0;
}

/* True when it is time to stop. */
static bool signal_take(struct program *p)
{
	struct dataplane_status status;
	struct signalfd_siginfo info;

	while (read(p->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGUSR1)
			return true;
		dataplane_status(p->dataplane, &status);
		counts_print(p, &status);
	}
	return false;
}

/* True when a client has had all its transfers and nothing is served. */
static bool is_done(const struct program *p)
{
	const struct services_config *s = &p->options.services;
	struct services_total total;

	if (s->client == CLIENT_NONE || s->n_listen)
		return false;
	services_sum(s, &total);
	return total.ok + total.failed >= s->count;
}

static int tick(struct program *p)
{
	uint64_t expirations;

	if (read(p->timer, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		return wrong(p, "timer: %s", strerror(errno));
	return plane_tick(p->plane, p->error, sizeof(p->error));
}

static int serve(struct program *p)
{
	struct epoll_event event;

	while (!is_done(p)) {
		int n = epoll_wait(p->epoll, &event, 1, -1);

		if (n < 0 && errno != EINTR)
			return wrong(p, "epoll: %s", strerror(errno));
		if (n <= 0)
			continue;
		if (event.data.fd == p->signals) {
			if (signal_take(p))
				return 0;
		} else if ((event.data.fd == p->timer
				    ? tick(p)
				    : plane_read(p->plane, p->error, sizeof(p->error))) != 0) {
			return -1;
		}
	}
	return 0;
}

/* --- start and stop --------------------------------------------------------------------------- */

static int start(struct program *p, const sigset_t *signals)
{
	const struct rlimit no_limit = {RLIM_INFINITY, RLIM_INFINITY};
	struct dataplane_config *d = &p->options.dataplane;

	/* Where this is refused, the lock on memory fails later with a reason of its own. */
	setrlimit(RLIMIT_MEMLOCK, &no_limit);
	if (getrandom(d->entropy, sizeof(d->entropy), 0) != (ssize_t)sizeof(d->entropy))
		return wrong(p, "no entropy: %s", strerror(errno));
	if (plane_complete_addresses(d, p->error, sizeof(p->error)) != 0 || eal_start(p) != 0 ||
	    plane_make(p) != 0 ||
	    dataplane_start(&p->dataplane, d, p->error, sizeof(p->error)) != 0 ||
	    events_open(p, signals) != 0 ||
	    plane_start(p->plane, p->dataplane, p->error, sizeof(p->error)) != 0)
		return -1;
	puts("ready");
	return 0;
}

/* Waits until no connection is open, nor any buffer out; at most so long. */
static void await_quiet(struct program *p, int patience_ms)
{
	const struct timespec pause = {.tv_nsec = TICK_MS * 1000000};

	for (int ms = 0; ms < patience_ms; ms += TICK_MS) {
		struct dataplane_status status;
		struct services_total total;

		services_sum(&p->options.services, &total);
		dataplane_status(p->dataplane, &status);
		if (total.open == 0 && status.buffers_out == 0)
			return;
		nanosleep(&pause, NULL);
	}
}

/* Lets what is under way end, resets the rest, halts the workers and counts. 0: all is well. */
static int settle(struct program *p)
{
	struct dataplane_status status;
	struct services_total total;

	await_quiet(p, SETTLE_MS);
	atomic_store(&p->options.services.end, true);
	await_quiet(p, RESET_MS);
	dataplane_halt(p->dataplane);
	dataplane_status(p->dataplane, &status);
	services_sum(&p->options.services, &total);
	counts_print(p, &status);
	if (total.failed)
		return wrong(p, "%" PRIu64 " of %" PRIu64 " transfers failed; the first: %s",
			     total.failed, total.ok + total.failed,
			     transfer_fault_text(total.first_fault));
	if (status.buffers_out)
		return wrong(p, "%u buffers did not come back", status.buffers_out);
	return 0;
}

static void stop(struct program *p)
{
	dataplane_stop(p->dataplane);
	plane_close(p->plane);
	if (p->eal)
		dataplane_eal_stop();
}

int main(int argc, char **argv)
{
	struct program *p = &program;
	sigset_t signals;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (options_parse(&p->options, argc, argv, p->error, sizeof(p->error)) != 0) {
		fprintf(stderr, "tcp_service: %s\n", p->error);
		return EXIT_USAGE;
	}
	if (p->options.help) {
		options_usage(stdout);
		return EXIT_SUCCESS;
	}
	/* Before the EAL makes threads, which inherit the mask. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN); /* nobody has to read the counts */

	failed = start(p, &signals);
	if (!failed) {
		failed = serve(p);
		failed |= settle(p);
	}
	if (failed)
		fprintf(stderr, "tcp_service: %s\n", p->error);
	stop(p);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
