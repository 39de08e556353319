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
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "common/arguments.h"

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

struct parser {
	struct options *o;
	const char *option; /* being read */
	bool service_waits; /* for its --listen */
	enum service_kind service;
	bool has_service, has_bytes, receive, receive_only, has_mode_of_client;
	char *error;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct parser *p, const char *format, ...)
{
	int n = p->option ? snprintf(p->error, p->len, "--%s: ", p->option) : 0;
	va_list args;

	va_start(args, format);
	if (n >= 0 && (size_t)n < p->len)
		vsnprintf(p->error + n, p->len - n, format, args);
	va_end(args);
	return -EINVAL;
}

/* --- arguments ----------------------------------------------------------------------------- */

static int number(struct parser *p, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	if (!argument_number(text, min, max, value))
		return wrong(p, "'%s' is no number from %" PRIu64 " to %" PRIu64, text, min, max);
	return 0;
}

static int endpoint(struct parser *p, const char *text, struct options_endpoint *e)
{
	if (!argument_endpoint(text, &e->address, &e->port))
		return wrong(p, "'%s' is no ADDRESS:PORT or [ADDRESS]:PORT", text);
	return 0;
}

/* A number into a field of 32 bits. */
static int number32(struct parser *p, const char *text, uint64_t min, uint64_t max, uint32_t *field)
{
	uint64_t n;

	if (number(p, text, min, max, &n) != 0)
		return -EINVAL;
	*field = (uint32_t)n;
	return 0;
}

static int number16(struct parser *p, const char *text, uint64_t min, uint64_t max, uint16_t *field)
{
	uint64_t n;

	if (number(p, text, min, max, &n) != 0)
		return -EINVAL;
	*field = (uint16_t)n;
	return 0;
}

/* --- interfaces ---------------------------------------------------------------------------- */

static int interface(struct parser *p, enum dataplane_interface_kind kind, const char *device)
{
	struct dataplane_config *d = &p->o->dataplane;

	if (d->n_interfaces == DATAPLANE_INTERFACES_MAX)
		return wrong(p, "more than %d interfaces", DATAPLANE_INTERFACES_MAX);
	if (!*device)
		return wrong(p, "names no device");
	d->interfaces[d->n_interfaces++] =
		(struct dataplane_interface){.kind = kind, .device = device};
	return 0;
}

static int take_af_xdp(struct parser *p, const char *text)
{
	return interface(p, DATAPLANE_AF_XDP, text);
}

static int take_vdev(struct parser *p, const char *text)
{
	return interface(p, DATAPLANE_VDEV, text);
}

static int take_pci(struct parser *p, const char *text)
{
	return interface(p, DATAPLANE_PCI, text);
}

/* The interface named last, or NULL with the error set. */
static struct dataplane_interface *last_interface(struct parser *p)
{
	struct dataplane_config *d = &p->o->dataplane;

	if (d->n_interfaces)
		return &d->interfaces[d->n_interfaces - 1];
	wrong(p, "follows the interface it belongs to");
	return NULL;
}

static int take_address(struct parser *p, const char *text)
{
	struct dataplane_interface *i = last_interface(p);

	if (!i)
		return -EINVAL;
	if (i->n_addresses == DATAPLANE_ADDRESSES_MAX)
		return wrong(p, "more than %d on one interface", DATAPLANE_ADDRESSES_MAX);
	if (!argument_address(text, strlen(text), &i->addresses[i->n_addresses]))
		return wrong(p, "'%s' is no address", text);
	i->n_addresses++;
	return 0;
}

static int take_mac(struct parser *p, const char *text)
{
	struct dataplane_interface *i = last_interface(p);

	if (!i)
		return -EINVAL;
	return argument_mac(text, i->mac) ? 0 : wrong(p, "'%s' is no link address", text);
}

static int take_mtu(struct parser *p, const char *text)
{
	struct dataplane_interface *i = last_interface(p);

	return i ? number16(p, text, MTU_MIN, MTU_MAX, &i->mtu) : -EINVAL;
}

static int take_neighbour(struct parser *p, const char *text)
{
	struct options *o = p->o;
	const char *equals = strchr(text, '=');
	struct options_neighbour *n = &o->neighbours[o->n_neighbours];

	if (!last_interface(p))
		return -EINVAL;
	if (o->n_neighbours == OPTIONS_NEIGHBOURS_MAX)
		return wrong(p, "more than %d", OPTIONS_NEIGHBOURS_MAX);
	if (!equals || !argument_address(text, (size_t)(equals - text), &n->address) ||
	    !argument_mac(equals + 1, n->mac))
		return wrong(p, "'%s' is no ADDRESS=MAC", text);
	n->port = (uint8_t)(o->dataplane.n_interfaces - 1);
	o->n_neighbours++;
	return 0;
}

/* --- workers ------------------------------------------------------------------------------- */

static int take_workers(struct parser *p, const char *text)
{
	return number16(p, text, 1, DATAPLANE_WORKERS_MAX, &p->o->dataplane.n_workers);
}

static int take_cores(struct parser *p, const char *text)
{
	struct options *o = p->o;
	char copy[1024], *rest = copy, *core;

	if (strlen(text) >= sizeof(copy))
		return wrong(p, "too long");
	memcpy(copy, text, strlen(text) + 1);
	for (o->n_cores = 0; (core = strsep(&rest, ",")); o->n_cores++) {
		if (o->n_cores > DATAPLANE_WORKERS_MAX)
			return wrong(p, "more than %d CPUs", 1 + DATAPLANE_WORKERS_MAX);
		if (number16(p, core, 0, OPTIONS_CORE_MAX, &o->cores[o->n_cores]) != 0)
			return -EINVAL;
	}
	return 0;
}

static int take_only_owner(struct parser *p, const char *text)
{
	uint64_t n;

	if (number(p, text, 0, DATAPLANE_WORKERS_MAX - 1, &n) != 0)
		return -EINVAL;
	p->o->dataplane.only_owner = (int)n;
	return 0;
}

static int take_conns(struct parser *p, const char *text)
{
	return number32(p, text, 1, CONNS_MAX, &p->o->dataplane.conns);
}

static int take_client_half_open(struct parser *p, const char *text)
{
	return number32(p, text, 0, CONNS_MAX, &p->o->dataplane.client_half_open);
}

static int take_client_conns(struct parser *p, const char *text)
{
	return number32(p, text, 0, CONNS_MAX, &p->o->dataplane.client_conns);
}

static int take_window(struct parser *p, const char *text)
{
	return number32(p, text, 1, OCTETS_MAX, &p->o->dataplane.receive_window);
}

static int take_send_queue(struct parser *p, const char *text)
{
	return number32(p, text, 1, OCTETS_MAX, &p->o->dataplane.send_queue);
}

/* Seconds into a field of milliseconds. */
static int seconds(struct parser *p, const char *text, uint32_t *field_ms)
{
	uint64_t n;

	if (number(p, text, 0, TIMEOUT_MAX_S, &n) != 0)
		return -EINVAL;
	*field_ms = (uint32_t)n * 1000;
	return 0;
}

static int take_idle_timeout(struct parser *p, const char *text)
{
	return seconds(p, text, &p->o->dataplane.idle_timeout_ms);
}

static int take_user_timeout(struct parser *p, const char *text)
{
	return seconds(p, text, &p->o->dataplane.user_timeout_ms);
}

/* --- services ------------------------------------------------------------------------------ */

static int take_service(struct parser *p, const char *text)
{
	static const char *const names[SERVICE_KINDS] = {
		[SERVICE_ECHO] = "echo",
		[SERVICE_DISCARD] = "discard",
		[SERVICE_CHARGEN] = "chargen",
		[SERVICE_NUL] = "nul",
	};

	if (p->service_waits)
		return wrong(p, "the service before has no --listen");
	for (int kind = 0; kind < SERVICE_KINDS; kind++) {
		if (strcmp(text, names[kind]) == 0) {
			p->service = (enum service_kind)kind;
			p->has_service = p->service_waits = true;
			return 0;
		}
	}
	return wrong(p, "'%s' is none of echo, discard, chargen, nul", text);
}

static int take_listen(struct parser *p, const char *text)
{
	struct services_config *s = &p->o->services;
	uint16_t port;

	if (!p->has_service)
		return wrong(p, "follows the --service it belongs to");
	if (number16(p, text, 1, UINT16_MAX, &port) != 0)
		return -EINVAL;
	for (uint32_t i = 0; i < s->n_listen; i++) {
		if (s->listen[i].port == port)
			return wrong(p, "port %u twice", port);
	}
	if (s->n_listen == DATAPLANE_LISTEN_MAX)
		return wrong(p, "more than %d ports", DATAPLANE_LISTEN_MAX);
	s->listen[s->n_listen].port = port;
	s->listen[s->n_listen++].kind = p->service;
	p->service_waits = false;
	return 0;
}

static int take_bytes(struct parser *p, const char *text)
{
	p->has_bytes = true;
	return number(p, text, 0, INT64_MAX, &p->o->services.bytes);
}

/* --- the client ---------------------------------------------------------------------------- */

static int backend(struct parser *p, const struct options_endpoint *e)
{
	struct options *o = p->o;

	if (o->n_backends == OPTIONS_BACKENDS_MAX)
		return wrong(p, "more than %d backends", OPTIONS_BACKENDS_MAX);
	o->backends[o->n_backends++] = *e;
	return 0;
}

static int take_backend(struct parser *p, const char *text)
{
	struct options_endpoint e;

	return endpoint(p, text, &e) == 0 ? backend(p, &e) : -EINVAL;
}

static int take_connect(struct parser *p, const char *text)
{
	struct options_endpoint e;

	if (p->o->services.client != CLIENT_NONE)
		return wrong(p, "given twice");
	if (endpoint(p, text, &e) != 0)
		return -EINVAL;
	p->o->services.client = CLIENT_SEND;
	p->o->services.target = e.address;
	p->o->services.target_port = e.port;
	return backend(p, &e);
}

static int take_receive(struct parser *p, const char *text)
{
	(void)text;
	p->receive = true;
	return 0;
}

static int take_receive_only(struct parser *p, const char *text)
{
	(void)text;
	p->receive_only = true;
	return 0;
}

static int take_count(struct parser *p, const char *text)
{
	p->has_mode_of_client = true;
	return number(p, text, 1, UINT32_MAX, &p->o->services.count);
}

static int take_parallel(struct parser *p, const char *text)
{
	p->has_mode_of_client = true;
	return number(p, text, 1, CONNS_MAX, &p->o->services.parallel);
}

static int take_active_ports(struct parser *p, const char *text)
{
	struct dataplane_config *d = &p->o->dataplane;
	unsigned first, last;
	char end;

	if (sscanf(text, "%5u-%5u%c", &first, &last, &end) != 2 || first == 0 || first > last ||
	    last > UINT16_MAX)
		return wrong(p, "'%s' is no range FIRST-LAST of ports", text);
	d->active_first = (uint16_t)first;
	d->active_last = (uint16_t)last;
	return 0;
}

/* --- the rest ------------------------------------------------------------------------------ */

static int take_bpffs(struct parser *p, const char *text)
{
	p->o->bpffs = text;
	return *text == '/' ? 0 : wrong(p, "'%s' is no absolute path", text);
}

static int take_file_prefix(struct parser *p, const char *text)
{
	p->o->file_prefix = text;
	return *text && !strchr(text, '/') ? 0 : wrong(p, "'%s' is no file name", text);
}

static int take_huge(struct parser *p, const char *text)
{
	(void)text;
	p->o->huge = true;
	return 0;
}

static int take_verbose(struct parser *p, const char *text)
{
	(void)text;
	p->o->verbose = true;
	return 0;
}

static int take_help(struct parser *p, const char *text)
{
	(void)text;
	p->o->help = true;
	return 0;
}

static const struct {
	const char *name;
	const char *argument; /* NULL: none */
	int (*take)(struct parser *p, const char *text);
	const char *help;
} known[] = {
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
	{"bpffs", "DIR", take_bpffs, "where the shield is pinned (/run/postern/bpf)"},
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
	{"help", NULL, take_help, "this"},
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

void options_usage(FILE *to)
{
	fprintf(to, "usage: tcp_service INTERFACE... [OPTION]...\n"
		    "Small services on Postern's TCP, on any kind of interface.\n\n");
	for (int i = 0; i < KNOWN; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s %s", known[i].name,
			 known[i].argument ? known[i].argument : "");
		fprintf(to, "  --%-24s %s\n", name, known[i].help);
	}
	fprintf(to, "\nIt says `ready`, and at its end one line of JSON; SIGUSR1: the line now.\n");
}

static int check_client(struct parser *p)
{
	struct services_config *s = &p->o->services;

	if (s->client == CLIENT_NONE) {
		if (p->receive || p->receive_only || p->has_mode_of_client)
			return wrong(p, "--receive, --receive-only, --count and --parallel need "
					"--connect");
		return 0;
	}
	if (p->receive && p->receive_only)
		return wrong(p, "--receive and --receive-only exclude each other");
	if (!p->has_bytes)
		return wrong(p, "--connect needs --bytes");
	if (p->receive)
		s->client = CLIENT_ECHO;
	else if (p->receive_only)
		s->client = CLIENT_RECEIVE;
	return 0;
}

static int check_interfaces(struct parser *p)
{
	const struct dataplane_config *d = &p->o->dataplane;

	if (d->n_interfaces == 0)
		return wrong(p, "no interface: --af-xdp, --vdev or --pci");
	for (uint32_t i = 0; i < d->n_interfaces; i++) {
		if (d->interfaces[i].kind != DATAPLANE_AF_XDP && d->interfaces[i].n_addresses == 0)
			return wrong(p, "%s has no --address", d->interfaces[i].device);
	}
	return 0;
}

static int check(struct parser *p)
{
	struct options *o = p->o;

	p->option = NULL;
	if (p->service_waits)
		return wrong(p, "--service without --listen");
	if (o->services.n_listen == 0 && o->services.client == CLIENT_NONE)
		return wrong(p, "nothing to do: neither --service with --listen nor --connect");
	if (check_interfaces(p) != 0 || check_client(p) != 0)
		return -EINVAL;
	if (o->n_cores && o->n_cores != 1u + o->dataplane.n_workers)
		return wrong(p, "--cores names %u CPUs for main and %u workers", o->n_cores,
			     o->dataplane.n_workers);
	if (o->dataplane.only_owner >= o->dataplane.n_workers)
		return wrong(p, "--only-owner %d: there is no such worker",
			     o->dataplane.only_owner);
	return 0;
}

/* What follows from what was said. */
static void complete(struct parser *p)
{
	struct dataplane_config *d = &p->o->dataplane;
	struct services_config *s = &p->o->services;

	s->bounded = p->has_bytes;
	s->conns = d->conns;
	s->n_workers = d->n_workers;
	s->only_owner = d->only_owner;
	d->n_listen = s->n_listen;
	for (uint32_t i = 0; i < s->n_listen; i++)
		d->listen[i] = s->listen[i].port;
	if (p->o->n_backends == 0)
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
		.bpffs = "/run/postern/bpf",
	};
}

int options_parse(struct options *o, int argc, char **argv, char *error, size_t len)
{
	struct parser p = {.o = o, .error = error, .len = len};
	struct option options[KNOWN + 1] = {{0}};
	int which, failed;

	defaults(o);
	for (int i = 0; i < KNOWN; i++) {
		options[i].name = known[i].name;
		options[i].has_arg = known[i].argument ? required_argument : no_argument;
		options[i].val = i;
	}
	opterr = 0;
	optind = 0; /* glibc's word for a fresh start */
	while ((which = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		if (which == ':')
			return wrong(&p, "%s needs an argument", argv[optind - 1]);
		if (which == '?')
			return wrong(&p, "unknown option %s", argv[optind - 1]);
		p.option = known[which].name;
		if (known[which].take(&p, optarg) != 0)
			return -EINVAL;
		p.option = NULL;
	}
	if (o->help)
		return 0;
	if (optind < argc)
		return wrong(&p, "'%s' is no option", argv[optind]);
	failed = check(&p);
	if (!failed)
		complete(&p);
	return failed;
}
