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

#include <bpf/libbpf.h>

#include "control/netlink.h"
#include "control/nic.h"
#include "control/shield.h"
#include "options.h"
#include "postern/dataplane.h"
#include "services.h"

enum {
	EXIT_USAGE = 2,
	TICK_MS = 5,
	SETTLE_MS = 500,   /* for connections under way, before they are reset */
	RESET_MS = 2000,   /* for the workers to reset them */
	RESOLVED_MAX = 64, /* next hops asked for in one tick */
};

struct program {
	struct options options;
	struct shield *shield;
	struct netlink_watch *watch;
	struct dataplane *dataplane;
	int epoll, signals, timer;
	bool routes_changed;
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

static int bpf_log(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	return program.options.verbose ? vfprintf(stderr, format, args) : 0;
}

/* --- interfaces and the shield --------------------------------------------------------------- */

static int addresses_complete(struct program *p)
{
	struct dataplane_config *d = &p->options.dataplane;

	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		struct dataplane_interface *interface = &d->interfaces[i];
		int failed;

		if (interface->n_addresses || interface->kind != DATAPLANE_AF_XDP)
			continue;
		failed = netlink_addresses(interface->device, interface->addresses,
					   DATAPLANE_ADDRESSES_MAX, &interface->n_addresses);
		if (failed)
			return wrong(p, "%s: %s", interface->device, strerror(-failed));
		if (interface->n_addresses == 0)
			return wrong(p, "%s: the kernel has no address of global scope there",
				     interface->device);
	}
	return 0;
}

static bool uses_kernel(const struct dataplane_config *d)
{
	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		if (d->interfaces[i].kind == DATAPLANE_AF_XDP)
			return true;
	}
	return false;
}

/* Every address of ours with every port we listen on. */
static int shield_fill_services(struct program *p)
{
	static struct ip_endpoint services[DATAPLANE_INTERFACES_MAX * DATAPLANE_ADDRESSES_MAX *
					   (1 + DATAPLANE_LISTEN_MAX)];
	const struct dataplane_config *d = &p->options.dataplane;
	size_t n = 0;

	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		const struct dataplane_interface *interface = &d->interfaces[i];

		if (interface->kind != DATAPLANE_AF_XDP)
			continue;
		for (uint32_t j = 0; j < interface->n_addresses; j++) {
			services[n++] = (struct ip_endpoint){interface->addresses[j], 0};
			for (uint32_t k = 0; k < d->n_listen; k++)
				services[n++] =
					(struct ip_endpoint){interface->addresses[j], d->listen[k]};
		}
	}
	return shield_set_services(p->shield, services, n, p->error, sizeof(p->error));
}

static int shield_fill(struct program *p)
{
	const struct options *o = &p->options;
	struct ip_endpoint backends[OPTIONS_BACKENDS_MAX];

	for (uint32_t i = 0; i < o->n_backends; i++)
		backends[i] = (struct ip_endpoint){o->backends[i].address, o->backends[i].port};
	if (shield_fill_services(p) != 0 ||
	    shield_set_backends(p->shield, backends, o->n_backends, p->error, sizeof(p->error)))
		return -1;
	if (o->n_backends)
		shield_set_backend_ports(p->shield, o->dataplane.active_first,
					 o->dataplane.active_last);
	else
		shield_set_backend_ports(p->shield, 1, 0);
	return 0;
}

static int shield_start(struct program *p)
{
	const struct dataplane_config *d = &p->options.dataplane;

	if (!uses_kernel(d))
		return 0;
	if (shield_open(&p->shield, p->options.bpffs, p->error, sizeof(p->error)) != 0 ||
	    shield_fill(p) != 0)
		return -1;
	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		const char *device = d->interfaces[i].device;

		if (d->interfaces[i].kind != DATAPLANE_AF_XDP)
			continue;
		if (nic_require_rx_queues(device, d->n_workers, p->error, sizeof(p->error)) != 0 ||
		    shield_attach(p->shield, device, SHIELD_NATIVE_OR_GENERIC, p->error,
				  sizeof(p->error)) != 0)
			return -1;
	}
	return 0;
}

/* --- routes ---------------------------------------------------------------------------------- */

static int watch_start(struct program *p)
{
	const struct dataplane_config *d = &p->options.dataplane;
	const char *names[DATAPLANE_INTERFACES_MAX] = {NULL};

	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		if (d->interfaces[i].kind == DATAPLANE_AF_XDP)
			names[i] = d->interfaces[i].device;
	}
	return netlink_watch_open(&p->watch, names, d->n_interfaces, p->error, sizeof(p->error));
}

/* The kernel's routes, and on links it does not know those to the neighbours that were named. */
static struct routes *routes_with_neighbours(const struct options *o, const struct routes *kernel)
{
	struct routes *r = routes_new(kernel->n_routes + o->n_neighbours,
				      kernel->n_neighbours + o->n_neighbours);

	if (!r)
		return NULL;
	for (uint32_t i = 0; i < kernel->n_routes; i++)
		r->routes[r->n_routes++] = kernel->routes[i];
	for (uint32_t i = 0; i < kernel->n_neighbours; i++)
		r->neighbours[r->n_neighbours++] = kernel->neighbours[i];
	for (uint32_t i = 0; i < o->n_neighbours; i++) {
		const struct options_neighbour *named = &o->neighbours[i];
		struct neighbour *n = &r->neighbours[r->n_neighbours++];

		r->routes[r->n_routes++] = (struct route){
			.prefix = named->address,
			.prefix_len = 128,
			.port = named->port,
			.on_link = true,
		};
		*n = (struct neighbour){.address = named->address, .port = named->port};
		memcpy(n->mac, named->mac, sizeof(n->mac));
	}
	routes_sort(r);
	return r;
}

static int routes_publish(struct program *p)
{
	struct routes *kernel, *all;
	int failed = netlink_watch_snapshot(p->watch, &kernel);

	if (failed)
		return wrong(p, "reading the kernel's routes: %s", strerror(-failed));
	all = routes_with_neighbours(&p->options, kernel);
	routes_free(kernel);
	if (!all)
		return wrong(p, "no memory for routes");
	dataplane_publish_routes_take(p->dataplane, all);
	p->routes_changed = false;
	return 0;
}

static void next_hops_resolve(struct program *p)
{
	struct ip_addr next_hop;
	uint8_t port;

	/* Failures (a link that is down) are tried again as long as a worker asks. */
	for (int i = 0;
	     i < RESOLVED_MAX && dataplane_next_unresolved(p->dataplane, &next_hop, &port); i++)
		netlink_resolve(p->watch, port, &next_hop);
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
	fds[2] = netlink_watch_fd(p->watch);
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
	next_hops_resolve(p);
	return p->routes_changed ? routes_publish(p) : 0;
}

static int routes_note(struct program *p)
{
	int changes = netlink_watch_read(p->watch);

	if (changes < 0)
		return wrong(p, "netlink: %s", strerror(-changes));
	if (changes & NETLINK_ROUTES)
		p->routes_changed = true;
	return 0;
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
		} else if ((event.data.fd == p->timer ? tick(p) : routes_note(p)) != 0) {
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
	libbpf_set_print(bpf_log);
	if (addresses_complete(p) != 0 || eal_start(p) != 0 || shield_start(p) != 0 ||
	    watch_start(p) != 0)
		return -1;
	if (dataplane_start(&p->dataplane, d, p->error, sizeof(p->error)) != 0)
		return -1;
	if (events_open(p, signals) != 0 || routes_publish(p) != 0)
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
	netlink_watch_close(p->watch);
	shield_close(p->shield);
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
