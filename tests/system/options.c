/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_service's command line.
 *
 * Thread, Time, Memory: options.h.
 * Rules: one row of `known` an option; its function takes the argument and says what is wrong
 * with it.
 */
#include "options.h"

#include <errno.h>
#include <string.h>

#include "common/arguments.h"
#include "common/option.h"

enum {
	CONNS_DEFAULT = 128 << 10, /* with 96 Ki handshakes at a time */
	CONNS_MAX = 4 << 20,
	WINDOW_DEFAULT = 256 << 10,
	OCTETS_MAX = 1 << 30, /* TCP's largest window */
	BUFFERS_DEFAULT = 32768,
	IDLE_DEFAULT_S = 300,
	TIMEOUT_MAX_S = 3600,
	ACTIVE_FIRST_DEFAULT = 20000,
	ACTIVE_LAST_DEFAULT = 28191,
	MTU_MIN = 1280, /* RFC 8200 5 */
	MTU_MAX = 9600,
};

/* What is being read. */
struct reading {
	struct options *o;
	bool service_waits; /* for its --listen */
	enum service_kind service;
	bool has_service, has_bytes, receive, receive_only, has_mode_of_client;
};

static struct reading *reading_of(struct option_parser *p)
{
	return p->into;
}

static struct options *options_of(struct option_parser *p)
{
	return reading_of(p)->o;
}

/* --- interfaces ---------------------------------------------------------------------------- */

static int interface(struct option_parser *p, enum dataplane_interface_kind kind,
		     const char *device)
{
	struct dataplane_config *d = &options_of(p)->dataplane;

	if (d->n_interfaces == DATAPLANE_INTERFACES_MAX)
		return option_wrong(p, "more than %d interfaces", DATAPLANE_INTERFACES_MAX);
	if (!*device)
		return option_wrong(p, "names no device");
	d->interfaces[d->n_interfaces++] =
		(struct dataplane_interface){.kind = kind, .device = device};
	return 0;
}

static int take_af_xdp(struct option_parser *p, const char *text)
{
	return interface(p, DATAPLANE_AF_XDP, text);
}

static int take_vdev(struct option_parser *p, const char *text)
{
	return interface(p, DATAPLANE_VDEV, text);
}

static int take_pci(struct option_parser *p, const char *text)
{
	return interface(p, DATAPLANE_PCI, text);
}

/* The interface named last, or NULL with the error set. */
static struct dataplane_interface *last_interface(struct option_parser *p)
{
	struct dataplane_config *d = &options_of(p)->dataplane;

	if (d->n_interfaces)
		return &d->interfaces[d->n_interfaces - 1];
	option_wrong(p, "follows the interface it belongs to");
	return NULL;
}

static int take_address(struct option_parser *p, const char *text)
{
	struct dataplane_interface *i = last_interface(p);

	if (!i)
		return -EINVAL;
	if (i->n_addresses == DATAPLANE_ADDRESSES_MAX)
		return option_wrong(p, "more than %d on one interface", DATAPLANE_ADDRESSES_MAX);
	if (option_address(p, text, &i->addresses[i->n_addresses]) != 0)
		return -EINVAL;
	i->n_addresses++;
	return 0;
}

static int take_mac(struct option_parser *p, const char *text)
{
	struct dataplane_interface *i = last_interface(p);

	return i ? option_mac(p, text, i->mac) : -EINVAL;
}

static int take_mtu(struct option_parser *p, const char *text)
{
	struct dataplane_interface *i = last_interface(p);

	return i ? option_number16(p, text, MTU_MIN, MTU_MAX, &i->mtu) : -EINVAL;
}

static int take_neighbour(struct option_parser *p, const char *text)
{
	struct options *o = options_of(p);
	const char *equals = strchr(text, '=');
	struct plane_neighbour *n = &o->neighbours[o->n_neighbours];

	if (!last_interface(p))
		return -EINVAL;
	if (o->n_neighbours == OPTIONS_NEIGHBOURS_MAX)
		return option_wrong(p, "more than %d", OPTIONS_NEIGHBOURS_MAX);
	if (!equals || !argument_address(text, (size_t)(equals - text), &n->address) ||
	    !argument_mac(equals + 1, n->mac))
		return option_wrong(p, "'%s' is no ADDRESS=MAC", text);
	n->port = (uint8_t)(o->dataplane.n_interfaces - 1);
	o->n_neighbours++;
	return 0;
}

/* --- workers ------------------------------------------------------------------------------- */

static int take_workers(struct option_parser *p, const char *text)
{
	return option_number16(p, text, 1, DATAPLANE_WORKERS_MAX,
			       &options_of(p)->dataplane.n_workers);
}

static int take_cores(struct option_parser *p, const char *text)
{
	struct options *o = options_of(p);
	char copy[1024], *rest = copy, *core;

	if (strlen(text) >= sizeof(copy))
		return option_wrong(p, "too long");
	memcpy(copy, text, strlen(text) + 1);
	for (o->n_cores = 0; (core = strsep(&rest, ",")); o->n_cores++) {
		if (o->n_cores > DATAPLANE_WORKERS_MAX)
			return option_wrong(p, "more than %d CPUs", 1 + DATAPLANE_WORKERS_MAX);
		if (option_number16(p, core, 0, OPTIONS_CORE_MAX, &o->cores[o->n_cores]) != 0)
			return -EINVAL;
	}
	return 0;
}

static int take_only_owner(struct option_parser *p, const char *text)
{
	uint64_t n;

	if (option_number(p, text, 0, DATAPLANE_WORKERS_MAX - 1, &n) != 0)
		return -EINVAL;
	options_of(p)->dataplane.only_owner = (int)n;
	return 0;
}

static int take_conns(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 1, CONNS_MAX, &options_of(p)->dataplane.conns);
}

static int take_client_half_open(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 0, CONNS_MAX, &options_of(p)->dataplane.client_half_open);
}

static int take_client_conns(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 0, CONNS_MAX, &options_of(p)->dataplane.client_conns);
}

static int take_window(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 1, OCTETS_MAX, &options_of(p)->dataplane.receive_window);
}

static int take_send_queue(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 1, OCTETS_MAX, &options_of(p)->dataplane.send_queue);
}

/* Seconds into a field of milliseconds. */
static int seconds(struct option_parser *p, const char *text, uint32_t *field_ms)
{
	uint64_t n;

	if (option_number(p, text, 0, TIMEOUT_MAX_S, &n) != 0)
		return -EINVAL;
	*field_ms = (uint32_t)n * 1000;
	return 0;
}

static int take_idle_timeout(struct option_parser *p, const char *text)
{
	return seconds(p, text, &options_of(p)->dataplane.idle_timeout_ms);
}

static int take_user_timeout(struct option_parser *p, const char *text)
{
	return seconds(p, text, &options_of(p)->dataplane.user_timeout_ms);
}

/* --- services ------------------------------------------------------------------------------ */

static int take_service(struct option_parser *p, const char *text)
{
	static const char *const names[SERVICE_KINDS] = {
		[SERVICE_ECHO] = "echo",
		[SERVICE_DISCARD] = "discard",
		[SERVICE_CHARGEN] = "chargen",
		[SERVICE_NUL] = "nul",
	};
	struct reading *r = reading_of(p);

	if (r->service_waits)
		return option_wrong(p, "the service before has no --listen");
	for (int kind = 0; kind < SERVICE_KINDS; kind++) {
		if (strcmp(text, names[kind]) == 0) {
			r->service = (enum service_kind)kind;
			r->has_service = r->service_waits = true;
			return 0;
		}
	}
	return option_wrong(p, "'%s' is none of echo, discard, chargen, nul", text);
}

static int take_listen(struct option_parser *p, const char *text)
{
	struct reading *r = reading_of(p);
	struct services_config *s = &r->o->services;
	uint16_t port;

	if (!r->has_service)
		return option_wrong(p, "follows the --service it belongs to");
	if (option_number16(p, text, 1, UINT16_MAX, &port) != 0)
		return -EINVAL;
	for (uint32_t i = 0; i < s->n_listen; i++) {
		if (s->listen[i].port == port)
			return option_wrong(p, "port %u twice", port);
	}
	if (s->n_listen == DATAPLANE_LISTEN_MAX)
		return option_wrong(p, "more than %d ports", DATAPLANE_LISTEN_MAX);
	s->listen[s->n_listen].port = port;
	s->listen[s->n_listen++].kind = r->service;
	r->service_waits = false;
	return 0;
}

static int take_bytes(struct option_parser *p, const char *text)
{
	reading_of(p)->has_bytes = true;
	return option_number(p, text, 0, INT64_MAX, &options_of(p)->services.bytes);
}

/* --- the client ---------------------------------------------------------------------------- */

static int backend(struct option_parser *p, const struct ip_endpoint *e)
{
	struct options *o = options_of(p);

	if (o->n_backends == OPTIONS_BACKENDS_MAX)
		return option_wrong(p, "more than %d backends", OPTIONS_BACKENDS_MAX);
	o->backends[o->n_backends++] = *e;
	return 0;
}

static int take_backend(struct option_parser *p, const char *text)
{
	struct ip_endpoint e;

	return option_endpoint(p, text, &e.address, &e.port) == 0 ? backend(p, &e) : -EINVAL;
}

static int take_connect(struct option_parser *p, const char *text)
{
	struct ip_endpoint e;

	if (options_of(p)->services.client != CLIENT_NONE)
		return option_wrong(p, "given twice");
	if (option_endpoint(p, text, &e.address, &e.port) != 0)
		return -EINVAL;
	options_of(p)->services.client = CLIENT_SEND;
	options_of(p)->services.target = e.address;
	options_of(p)->services.target_port = e.port;
	return backend(p, &e);
}

static int take_receive(struct option_parser *p, const char *text)
{
	(void)text;
	reading_of(p)->receive = true;
	return 0;
}

static int take_receive_only(struct option_parser *p, const char *text)
{
	(void)text;
	reading_of(p)->receive_only = true;
	return 0;
}

static int take_count(struct option_parser *p, const char *text)
{
	reading_of(p)->has_mode_of_client = true;
	return option_number(p, text, 1, UINT32_MAX, &options_of(p)->services.count);
}

static int take_parallel(struct option_parser *p, const char *text)
{
	reading_of(p)->has_mode_of_client = true;
	return option_number(p, text, 1, CONNS_MAX, &options_of(p)->services.parallel);
}

static int take_active_ports(struct option_parser *p, const char *text)
{
	struct dataplane_config *d = &options_of(p)->dataplane;
	unsigned first, last;
	char end;

	if (sscanf(text, "%5u-%5u%c", &first, &last, &end) != 2 || first == 0 || first > last ||
	    last > UINT16_MAX)
		return option_wrong(p, "'%s' is no range FIRST-LAST of ports", text);
	d->active_first = (uint16_t)first;
	d->active_last = (uint16_t)last;
	return 0;
}

/* --- the rest ------------------------------------------------------------------------------ */

static int take_bpffs(struct option_parser *p, const char *text)
{
	options_of(p)->bpffs = text;
	return *text == '/' ? 0 : option_wrong(p, "'%s' is no absolute path", text);
}

static int take_file_prefix(struct option_parser *p, const char *text)
{
	options_of(p)->file_prefix = text;
	return *text && !strchr(text, '/') ? 0 : option_wrong(p, "'%s' is no file name", text);
}

static int take_huge(struct option_parser *p, const char *text)
{
	(void)text;
	options_of(p)->huge = true;
	return 0;
}

static int take_verbose(struct option_parser *p, const char *text)
{
	(void)text;
	options_of(p)->verbose = true;
	return 0;
}

static const struct option_row known[] = {
	{"af-xdp", "DEV", take_af_xdp, "an interface of the kernel's, beside the kernel"},
	{"vdev", "STRING", take_vdev, "a DPDK virtual device, \"net_memif0,role=server,...\""},
	{"pci", "ADDRESS", take_pci, "a PCI device bound to a DPDK driver"},
	{"address", "IP", take_address, "our address there, repeatable (--af-xdp: the kernel's)"},
	{"mac", "MAC", take_mac, "our link address there (the device's)"},
	{"mtu", "N", take_mtu, "its MTU (the device's)"},
	{"neighbour", "IP=MAC", take_neighbour, "who is on that link, where no kernel knows"},
	{"workers", "N", take_workers, "worker threads (1)"},
	{"cores", "M,W,..", take_cores, "CPUs of main and workers, may repeat (0, then from 1)"},
	{"service", "NAME", take_service, "echo, discard, chargen or nul on the --listen after it"},
	{"listen", "PORT", take_listen, "where that service listens; repeatable as a pair"},
	{"connect", "ADDR:PORT", take_connect, "open connections there and send; [V6]:PORT"},
	{"bytes", "N", take_bytes, "octets of a transfer; chargen: then FIN"},
	{"receive", NULL, take_receive, "want the same octets back"},
	{"receive-only", NULL, take_receive_only, "send none, want chargen's pattern"},
	{"count", "C", take_count, "connections to open (1)"},
	{"parallel", "P", take_parallel, "so many at a time (1)"},
	{"active-ports", "A-B", take_active_ports, "source ports toward backends (20000-28191)"},
	{"backend", "ADDR:PORT", take_backend, "a backend the shield lets through, repeatable"},
	{"bpffs", "DIR", take_bpffs, "where the shield is pinned (/run/postern-lab/bpf)"},
	{"only-owner", "N", take_only_owner, "every flow is worker N's, wherever frames arrive"},
	{"conns", "N", take_conns, "connections a worker (131072)"},
	{"window", "N", take_window, "octets a connection may have under way to us (262144)"},
	{"send-queue", "N", take_send_queue, "octets a connection may have queued (262144)"},
	{"client-half-open", "N", take_client_half_open,
	 "handshakes of a client, then cookies (0: any)"},
	{"client-conns", "N", take_client_conns, "connections of a client, then resets (0: any)"},
	{"idle-timeout", "SECONDS", take_idle_timeout, "0: never (300)"},
	{"user-timeout", "SECONDS", take_user_timeout,
	 "for ours to be acknowledged; 0: TCP's own bound (0)"},
	{"file-prefix", "NAME", take_file_prefix, "the EAL's file prefix (from the PID)"},
	{"huge", NULL, take_huge, "use huge pages"},
	{"verbose", NULL, take_verbose, "let libraries say what they do"},
	{"help", NULL, option_help, "this"},
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

void options_usage(FILE *to)
{
	fprintf(to, "usage: tcp_service INTERFACE... [OPTION]...\n"
		    "Small services on Postern's TCP, on any kind of interface.\n\n");
	option_print(to, known, KNOWN);
	fprintf(to, "\nIt says `ready`, and at its end one line of JSON; SIGUSR1: the line now.\n");
}

static int check_client(struct option_parser *p)
{
	const struct reading *r = reading_of(p);
	struct services_config *s = &r->o->services;

	if (s->client == CLIENT_NONE) {
		if (r->receive || r->receive_only || r->has_mode_of_client)
			return option_wrong(
				p, "--receive, --receive-only, --count and --parallel need "
				   "--connect");
		return 0;
	}
	if (r->receive && r->receive_only)
		return option_wrong(p, "--receive and --receive-only exclude each other");
	if (!r->has_bytes)
		return option_wrong(p, "--connect needs --bytes");
	if (r->receive)
		s->client = CLIENT_ECHO;
	else if (r->receive_only)
		s->client = CLIENT_RECEIVE;
	return 0;
}

static int check_interfaces(struct option_parser *p)
{
	const struct dataplane_config *d = &options_of(p)->dataplane;

	if (d->n_interfaces == 0)
		return option_wrong(p, "no interface: --af-xdp, --vdev or --pci");
	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		if (d->interfaces[i].kind != DATAPLANE_AF_XDP && d->interfaces[i].n_addresses == 0)
			return option_wrong(p, "%s has no --address", d->interfaces[i].device);
	}
	return 0;
}

static int check(struct option_parser *p)
{
	struct options *o = options_of(p);

	if (reading_of(p)->service_waits)
		return option_wrong(p, "--service without --listen");
	if (o->services.n_listen == 0 && o->services.client == CLIENT_NONE)
		return option_wrong(p,
				    "nothing to do: neither --service with --listen nor --connect");
	if (check_interfaces(p) != 0 || check_client(p) != 0)
		return -EINVAL;
	if (o->n_cores && o->n_cores != 1u + o->dataplane.n_workers)
		return option_wrong(p, "--cores names %u CPUs for main and %u workers", o->n_cores,
				    o->dataplane.n_workers);
	if (o->dataplane.only_owner >= o->dataplane.n_workers)
		return option_wrong(p, "--only-owner %d: there is no such worker",
				    o->dataplane.only_owner);
	return 0;
}

/* What follows from what was said. */
static void complete(const struct reading *r)
{
	struct dataplane_config *d = &r->o->dataplane;
	struct services_config *s = &r->o->services;

	s->bounded = r->has_bytes;
	s->conns = d->conns;
	s->n_workers = d->n_workers;
	s->only_owner = d->only_owner;
	d->n_listen = s->n_listen;
	for (uint32_t i = 0; i < s->n_listen; i++)
		d->listen[i] = s->listen[i].port;
	if (r->o->n_backends == 0)
		d->active_first = d->active_last = 0;
	d->service = &tcp_services;
	d->service_config = s;
}

static void defaults(struct options *o)
{
	*o = (struct options){
		.dataplane = {.n_workers = 1,
			      .active_first = ACTIVE_FIRST_DEFAULT,
			      .active_last = ACTIVE_LAST_DEFAULT,
			      .conns = CONNS_DEFAULT,
			      .receive_window = WINDOW_DEFAULT,
			      .send_queue = WINDOW_DEFAULT,
			      .buffers = BUFFERS_DEFAULT,
			      .idle_timeout_ms = IDLE_DEFAULT_S * 1000,
			      .only_owner = -1},
		.services = {.count = 1, .parallel = 1},
		.bpffs = "/run/postern-lab/bpf",
	};
}

int options_parse(struct options *o, int argc, char **argv, char *error, size_t len)
{
	struct reading reading = {.o = o};
	struct option_parser p = {.into = &reading, .error = error, .len = len};

	defaults(o);
	if (option_parse(&p, known, KNOWN, argc, argv) != 0)
		return -EINVAL;
	o->help = p.help;
	if (p.help)
		return 0;
	if (check(&p) != 0)
		return -EINVAL;
	complete(&reading);
	return 0;
}
