/* SPDX-License-Identifier: BSD-3-Clause */
/* Control round a data plane. Thread, Time, Memory, Rules: plane.h. */
#include "control/plane.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/libbpf.h>
#include <net/if.h>

#include "control/error.h"
#include "control/netlink.h"
#include "control/nic.h"
#include "control/pace.h"
#include "postern/address_text.h"

enum {
	RESOLVED_MAX = 64, /* next hops asked for in one tick */
	ADDRESSES_LEN = DATAPLANE_ADDRESSES_MAX * (IP_ADDR_TEXT + 2),
	SERVICES_MAX =
		DATAPLANE_INTERFACES_MAX * DATAPLANE_ADDRESSES_MAX * (1 + DATAPLANE_LISTEN_MAX),
};

/* An interface of the kernel's, as it was at the start. */
struct held {
	unsigned index;
	bool follows_kernel;	     /* our addresses were all the kernel's */
	char kernels[ADDRESSES_LEN]; /* as we have last told of them */
};

struct plane {
	struct plane_config config;
	struct held held[DATAPLANE_INTERFACES_MAX];
	struct shield *shield;
	struct netlink_watch *watch;
	struct dataplane *dataplane;
	bool routes_changed;
	struct pace pace; /* of reading routes */
};

__attribute__((format(printf, 2, 3))) static void say(const struct plane *p, const char *format,
						      ...)
{
	char sentence[2 * ADDRESSES_LEN + 256];
	va_list args;

	if (!p->config.say)
		return;
	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	p->config.say(sentence);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool is_kernels(const struct dataplane_interface *interface)
{
	return interface->kind == DATAPLANE_AF_XDP;
}

int plane_complete_addresses(struct dataplane_config *config, char *error, size_t len)
{
	for (uint32_t i = 0; i < config->n_interfaces; i++) {
		struct dataplane_interface *interface = &config->interfaces[i];
		int rc;

		if (interface->n_addresses || !is_kernels(interface))
			continue;
		rc = netlink_addresses(interface->device, interface->addresses,
				       DATAPLANE_ADDRESSES_MAX, &interface->n_addresses);
		if (rc)
			return error_set(rc, error, len, "%s: %s", interface->device,
					 rc == -E2BIG ? "more addresses than are served: say which "
							"in the interface's addresses"
						      : strerror(-rc));
		if (interface->n_addresses == 0)
			return error_set(-EADDRNOTAVAIL, error, len,
					 "%s: the kernel has no address of global scope there",
					 interface->device);
	}
	return 0;
}

int plane_limit_workers(struct dataplane_config *config, char *error, size_t len)
{
	for (uint32_t i = 0; i < config->n_interfaces; i++) {
		uint32_t most;
		int rc;

		if (!is_kernels(&config->interfaces[i]))
			continue;
		rc = nic_max_rx_queues(config->interfaces[i].device, &most, error, len);
		if (rc)
			return rc;
		if (most && config->n_workers > most)
			config->n_workers = (uint16_t)most;
	}
	return 0;
}

/* --- the shield ------------------------------------------------------------------------------ */

static int bpf_tell(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	return vfprintf(stderr, format, args);
}

static int bpf_keep_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static bool uses_kernel(const struct dataplane_config *d)
{
	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		if (is_kernels(&d->interfaces[i]))
			return true;
	}
	return false;
}

/* Every address of the kernel's interfaces, and each with every port we listen on. */
static size_t list_services(const struct dataplane_config *d, struct ip_endpoint *services)
{
	size_t n = 0;

	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		const struct dataplane_interface *interface = &d->interfaces[i];

		for (uint32_t j = 0; is_kernels(interface) && j < interface->n_addresses; j++) {
			services[n++] = (struct ip_endpoint){interface->addresses[j], 0};
			for (uint32_t k = 0; k < d->n_listen; k++)
				services[n++] =
					(struct ip_endpoint){interface->addresses[j], d->listen[k]};
		}
	}
	return n;
}

static int shield_fill(struct plane *p, char *error, size_t len)
{
	const struct plane_config *c = &p->config;
	struct ip_endpoint services[SERVICES_MAX];
	size_t n = list_services(c->dataplane, services);
	int rc = shield_set_services(p->shield, services, n, error, len);

	if (!rc)
		rc = shield_set_backends(p->shield, c->backends, c->n_backends, error, len);
	if (rc)
		return rc;
	if (c->n_backends && c->dataplane->active_first)
		shield_set_backend_ports(p->shield, c->dataplane->active_first,
					 c->dataplane->active_last);
	else
		shield_set_backend_ports(p->shield, 1, 0);
	return 0;
}

static int stale_link(void *arg, const char *ifname)
{
	const struct plane *p = arg;
	const struct dataplane_config *d = p->config.dataplane;

	for (uint32_t i = 0; i < d->n_interfaces; i++)
		if (is_kernels(&d->interfaces[i]) && strcmp(d->interfaces[i].device, ifname) == 0)
			return 0;
	say(p,
	    "%s has the shield of an earlier start, and is none of the interfaces by now: "
	    "--detach takes it off all",
	    ifname);
	return 0;
}

static int shield_put_on(struct plane *p, const char *device, char *error, size_t len)
{
	const uint32_t queues = p->config.dataplane->n_workers;
	uint32_t before;
	int rc = nic_require_rx_queues(device, queues, &before, error, len);

	if (rc)
		return rc;
	if (before != queues)
		say(p, "%s: its %u receive queue%s set to %u", device, before,
		    before == 1 ? " is" : "s are", queues);
	return shield_attach(p->shield, device, SHIELD_NATIVE_OR_GENERIC, error, len);
}

static int shield_raise(struct plane *p, char *error, size_t len)
{
	const struct dataplane_config *d = p->config.dataplane;
	int rc;

	if (!uses_kernel(d))
		return 0;
	libbpf_set_print(p->config.verbose ? bpf_tell : bpf_keep_quiet);
	rc = shield_open(&p->shield, p->config.bpffs, error, len);
	if (!rc)
		rc = shield_fill(p, error, len);
	if (!rc)
		rc = shield_each_interface(p->shield, stale_link, p, error, len);
	for (uint32_t i = 0; i < d->n_interfaces && !rc; i++)
		if (is_kernels(&d->interfaces[i]))
			rc = shield_put_on(p, d->interfaces[i].device, error, len);
	return rc;
}

struct shield *plane_shield(const struct plane *p)
{
	return p->shield;
}

/* --- interfaces and their addresses ---------------------------------------------------------- */

static int compare_addresses(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ip_addr));
}

/* "192.0.2.25, 2001:db8::25", in an order of its own. */
static void write_addresses(char text[ADDRESSES_LEN], const struct ip_addr *addresses, uint32_t n)
{
	struct ip_addr sorted[DATAPLANE_ADDRESSES_MAX];
	size_t at = 0;

	memcpy(sorted, addresses, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_addresses);
	snprintf(text, ADDRESSES_LEN, "none");
	for (uint32_t i = 0; i < n; i++) {
		char bare[IP_ADDR_TEXT];

		at += (size_t)snprintf(text + at, ADDRESSES_LEN - at, "%s%s", i ? ", " : "",
				       ip_addr_text(bare, &sorted[i]));
	}
}

/* False: they cannot be read. */
static bool kernels_addresses(const char *device, char text[ADDRESSES_LEN])
{
	struct ip_addr addresses[DATAPLANE_ADDRESSES_MAX];
	uint32_t n;

	if (netlink_addresses(device, addresses, DATAPLANE_ADDRESSES_MAX, &n))
		return false;
	write_addresses(text, addresses, n);
	return true;
}

static void hold(struct plane *p, uint32_t i)
{
	const struct dataplane_interface *interface = &p->config.dataplane->interfaces[i];
	struct held *h = &p->held[i];
	char ours[ADDRESSES_LEN];

	write_addresses(ours, interface->addresses, interface->n_addresses);
	h->index = if_nametoindex(interface->device);
	h->follows_kernel =
		kernels_addresses(interface->device, h->kernels) && strcmp(ours, h->kernels) == 0;
	say(p, "%s: mail is taken at %s", interface->device, ours);
}

static void look_at_addresses(struct plane *p, uint32_t i)
{
	const struct dataplane_interface *interface = &p->config.dataplane->interfaces[i];
	char ours[ADDRESSES_LEN], kernels[ADDRESSES_LEN];
	struct held *h = &p->held[i];

	if (!h->follows_kernel || !kernels_addresses(interface->device, kernels) ||
	    strcmp(kernels, h->kernels) == 0)
		return;
	memcpy(h->kernels, kernels, sizeof(h->kernels));
	write_addresses(ours, interface->addresses, interface->n_addresses);
	if (strcmp(kernels, ours) != 0)
		say(p, "%s: its addresses are %s by now; until a restart mail is taken at %s",
		    interface->device, kernels, ours);
}

static int look_at_interfaces(struct plane *p, int changes, char *error, size_t len)
{
	const struct dataplane_config *d = p->config.dataplane;
	char name[IF_NAMESIZE];

	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		if (!is_kernels(&d->interfaces[i]))
			continue;
		if (changes & NETLINK_LINKS && !if_indextoname(p->held[i].index, name))
			return error_set(-ENODEV, error, len, "%s: the interface is gone",
					 d->interfaces[i].device);
		if (changes & NETLINK_ADDRESSES)
			look_at_addresses(p, i);
	}
	return 0;
}

/* --- open and close -------------------------------------------------------------------------- */

static int watch_open(struct plane *p, char *error, size_t len)
{
	const struct dataplane_config *d = p->config.dataplane;
	const char *names[DATAPLANE_INTERFACES_MAX] = {NULL};

	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		if (is_kernels(&d->interfaces[i]))
			names[i] = d->interfaces[i].device;
	}
	return netlink_watch_open(&p->watch, names, d->n_interfaces, error, len);
}

int plane_open(struct plane **out, const struct plane_config *config, char *error, size_t len)
{
	struct plane *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return error_set(-ENOMEM, error, len, "no memory for control");
	p->config = *config;
	rc = shield_raise(p, error, len);
	if (!rc)
		rc = watch_open(p, error, len);
	if (rc) {
		plane_close(p);
		return rc;
	}
	*out = p;
	return 0;
}

void plane_close(struct plane *p)
{
	if (!p)
		return;
	netlink_watch_close(p->watch);
	shield_close(p->shield);
	free(p);
}

/* --- routes ---------------------------------------------------------------------------------- */

static void add_neighbour(struct routes *r, const struct plane_neighbour *named)
{
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

/* The kernel's routes, and on links it does not know those to the neighbours that were named. */
static struct routes *with_neighbours(const struct plane_config *c, const struct routes *kernel)
{
	struct routes *r = routes_new(kernel->n_routes + c->n_neighbours,
				      kernel->n_neighbours + c->n_neighbours);

	if (!r)
		return NULL;
	for (uint32_t i = 0; i < kernel->n_routes; i++)
		r->routes[r->n_routes++] = kernel->routes[i];
	for (uint32_t i = 0; i < kernel->n_neighbours; i++)
		r->neighbours[r->n_neighbours++] = kernel->neighbours[i];
	for (uint32_t i = 0; i < c->n_neighbours; i++)
		add_neighbour(r, &c->neighbours[i]);
	routes_sort(r);
	return r;
}

static int publish_routes(struct plane *p, char *error, size_t len)
{
	struct routes *kernel, *all;
	int rc = netlink_watch_snapshot(p->watch, &kernel);

	if (rc)
		return error_set(rc, error, len, "reading the kernel's routes: %s", strerror(-rc));
	all = with_neighbours(&p->config, kernel);
	routes_free(kernel);
	if (!all)
		return error_set(-ENOMEM, error, len, "no memory for routes");
	dataplane_publish_routes_take(p->dataplane, all);
	p->routes_changed = false;
	return 0;
}

int plane_start(struct plane *p, struct dataplane *dataplane, char *error, size_t len)
{
	const struct dataplane_config *d = p->config.dataplane;

	p->dataplane = dataplane;
	for (uint32_t i = 0; i < d->n_interfaces; i++)
		if (is_kernels(&d->interfaces[i]))
			hold(p, i);
	return publish_routes(p, error, len);
}

int plane_fd(const struct plane *p)
{
	return netlink_watch_fd(p->watch);
}

int plane_read(struct plane *p, char *error, size_t len)
{
	int changes = netlink_watch_read(p->watch);

	if (changes < 0)
		return error_set(changes, error, len, "netlink: %s", strerror(-changes));
	if (changes & NETLINK_ROUTES)
		p->routes_changed = true;
	return look_at_interfaces(p, changes, error, len);
}

static int refresh_routes(struct plane *p, char *error, size_t len)
{
	const uint64_t began_ms = now_ms();
	int rc;

	if (!p->routes_changed || !pace_is_due(&p->pace, began_ms))
		return 0;
	rc = publish_routes(p, error, len);
	pace_worked(&p->pace, began_ms, now_ms(), rc != 0);
	return rc;
}

int plane_tick(struct plane *p, char *error, size_t len)
{
	struct ip_addr next_hop;
	uint8_t port;

	/* Failures (a link that is down) are tried again as long as a worker asks. */
	for (int i = 0;
	     i < RESOLVED_MAX && dataplane_next_unresolved(p->dataplane, &next_hop, &port); i++)
		netlink_resolve(p->watch, port, &next_hop);
	return refresh_routes(p, error, len);
}
