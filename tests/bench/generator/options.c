/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The generator's command line.
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
	CONVERSATIONS_MAX = 4 << 20,
	RATE_MAX = 100 * 1000 * 1000,
	SECONDS_MAX = 600,
	CPU_MAX = 1023,
	AT_ONCE_DEFAULT = 64,
	PATIENCE_DEFAULT_S = 5,
	SECONDS_DEFAULT = 60,
	SECOND_US = 1000 * 1000,
	V4_NETWORK_LEN = 128 - FORGE_HOST_BITS_V4,
	V6_NETWORK_LEN = 128 - FORGE_HOST_BITS_V6,
};

struct parser {
	struct options *o;
	const char *option; /* being read */
	char *error;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct parser *p, const char *format, ...)
{
	int n = p->option ? snprintf(p->error, p->len, "--%s: ", p->option) : 0;
	va_list args;

	va_start(args, format);
	if (n >= 0 && (size_t)n < p->len)
		vsnprintf(p->error + n, p->len - (size_t)n, format, args);
	va_end(args);
	return -EINVAL;
}

static int number(struct parser *p, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	if (!argument_number(text, min, max, value))
		return wrong(p, "'%s' is no number from %" PRIu64 " to %" PRIu64, text, min, max);
	return 0;
}

/* --- the link ----------------------------------------------------------------------------------
 */

static int take_vdev(struct parser *p, const char *text)
{
	p->o->host.device = text;
	return 0;
}

/* The address n behind this one, by its last 32 bits. */
static struct ip_addr address_behind(struct ip_addr a, uint32_t n)
{
	for (int i = 15; i >= 12; i--) {
		n += a.octets[i];
		a.octets[i] = (uint8_t)n;
		n >>= 8;
	}
	return a;
}

static int take_address(struct parser *p, const char *text)
{
	struct host_config *host = &p->o->host;
	const char *plus = strchr(text, '+');
	struct ip_addr first;
	uint64_t n = 1;

	if (!argument_address(text, plus ? (size_t)(plus - text) : strlen(text), &first))
		return wrong(p, "'%s' is no IP or IP+COUNT", text);
	if (plus && number(p, plus + 1, 1, NET_ADDRESSES_MAX, &n) != 0)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (host->n_addresses == NET_ADDRESSES_MAX)
			return wrong(p, "more than %d addresses", NET_ADDRESSES_MAX);
		host->addresses[host->n_addresses++] = address_behind(first, i);
	}
	return 0;
}

static int take_target(struct parser *p, const char *text)
{
	struct clients_config *clients = &p->o->clients;

	if (!argument_endpoint(text, &clients->target, &clients->port))
		return wrong(p, "'%s' is no ADDRESS:PORT or [ADDRESS]:PORT", text);
	return 0;
}

static int take_target_mac(struct parser *p, const char *text)
{
	if (!argument_mac(text, p->o->host.gateway_mac))
		return wrong(p, "'%s' is no link address", text);
	return 0;
}

/* --- clients -----------------------------------------------------------------------------------
 */

static int take_script(struct parser *p, const char *text)
{
	p->o->clients.script = script_find(text);
	return p->o->clients.script ? 0 : wrong(p, "there is no script '%s'", text);
}

static int take_conversations(struct parser *p, const char *text)
{
	return number(p, text, 1, CONVERSATIONS_MAX, &p->o->clients.count);
}

static int take_rate(struct parser *p, const char *text)
{
	return number(p, text, 1, RATE_MAX, &p->o->clients.rate);
}

static int take_at_once(struct parser *p, const char *text)
{
	uint64_t n;

	if (number(p, text, 1, CONVERSATIONS_MAX, &n) != 0)
		return -EINVAL;
	p->o->clients.at_once = (uint32_t)n;
	return 0;
}

static int take_patience(struct parser *p, const char *text)
{
	uint64_t seconds;

	if (number(p, text, 1, SECONDS_MAX, &seconds) != 0)
		return -EINVAL;
	p->o->clients.patience_us = seconds * SECOND_US;
	return 0;
}

/* --- the flood ---------------------------------------------------------------------------------
 */

static int take_syn_rate(struct parser *p, const char *text)
{
	if (strcmp(text, "max") == 0) {
		p->o->syn_rate = FLOOD_UNLIMITED;
		return 0;
	}
	return number(p, text, 1, RATE_MAX, &p->o->syn_rate);
}

static int take_syn_network(struct parser *p, const char *text)
{
	static const struct ip_addr zero;
	struct ip_addr *network = &p->o->flood_network;
	size_t host;

	if (!argument_address(text, strlen(text), network))
		return wrong(p, "'%s' is no address", text);
	host = (ip_addr_is_v4(network) ? FORGE_HOST_BITS_V4 : FORGE_HOST_BITS_V6) / 8;
	if (memcmp(network->octets + 16 - host, zero.octets, host) != 0)
		return wrong(p, "'%s' is not the first address of a /%d or a /%d", text,
			     V4_NETWORK_LEN - 96, V6_NETWORK_LEN);
	p->o->has_flood_network = true;
	return 0;
}

static int take_greeting(struct parser *p, const char *text)
{
	const struct script *script = script_find(text);

	p->o->greeting = script ? script_greeting(script) : NULL;
	return p->o->greeting ? 0 : wrong(p, "there is no script '%s' with a greeting", text);
}

static int take_complete(struct parser *p, const char *text)
{
	uint64_t n;

	if (number(p, text, 1, UINT32_MAX, &n) != 0)
		return -EINVAL;
	p->o->complete_each = (uint32_t)n;
	return 0;
}

/* --- the rest ----------------------------------------------------------------------------------
 */

static int take_seconds(struct parser *p, const char *text)
{
	uint64_t n;

	if (number(p, text, 1, SECONDS_MAX, &n) != 0)
		return -EINVAL;
	p->o->seconds = (uint32_t)n;
	return 0;
}

static int take_cpu(struct parser *p, const char *text)
{
	uint64_t n;

	if (number(p, text, 0, CPU_MAX, &n) != 0)
		return -EINVAL;
	p->o->cpu = (uint16_t)n;
	return 0;
}

static int take_seed(struct parser *p, const char *text)
{
	p->o->has_seed = true;
	return number(p, text, 0, UINT64_MAX, &p->o->seed);
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
	{"vdev", "STRING", take_vdev, "the link, \"net_memif0,role=client,...\""},
	{"address", "IP[+N]", take_address, "clients' source address, or N of them; repeatable"},
	{"target", "ADDR:PORT", take_target, "the gateway's service; [V6]:PORT"},
	{"target-mac", "MAC", take_target_mac, "and its link address"},
	{"script", "NAME", take_script, "what clients say and want to hear"},
	{"conversations", "N", take_conversations, "so many in all (as many as there is time for)"},
	{"at-once", "N", take_at_once, "so many under way (64)"},
	{"rate", "N", take_rate, "begun a second (as many as --at-once lets)"},
	{"patience", "SECONDS", take_patience, "with each step of the script (5)"},
	{"syn-rate", "N", take_syn_rate, "a flood of N spoofed SYNs a second, or 'max'"},
	{"syn-network", "IP", take_syn_network, "its sources: a /16, or an IPv6 /64, of no client"},
	{"complete", "N", take_complete, "of each N-th answer the handshake is completed"},
	{"greeting", "SCRIPT", take_greeting, "and then whose greeting must come (nul)"},
	{"seconds", "N", take_seconds, "how long all of it may take, or the flood takes (60)"},
	{"cpu", "N", take_cpu, "where it runs (0)"},
	{"seed", "N", take_seed, "of all that is random (the kernel's)"},
	{"help", NULL, take_help, "this"},
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

void options_usage(FILE *to)
{
	fprintf(to, "usage: generator --vdev STRING --address IP... --target ADDR:PORT "
		    "--target-mac MAC [OPTION]...\n"
		    "Clients and floods for a gateway at the other end of a memif link.\n\n");
	for (int i = 0; i < KNOWN; i++) {
		char name[32];

		snprintf(name, sizeof(name), "%s %s", known[i].name,
			 known[i].argument ? known[i].argument : "");
		fprintf(to, "  --%-24s %s\n", name, known[i].help);
	}
	fprintf(to, "\nScripts:\n");
	script_list(to);
	fprintf(to,
		"\nIt says `ready`, `held` when a script holds all its conversations, and at its "
		"end one line of JSON.\n");
}

static int check_link(struct parser *p)
{
	static const uint8_t no_mac[6];
	const struct options *o = p->o;
	bool v4 = ip_addr_is_v4(&o->clients.target);

	if (!o->host.device || !o->clients.port ||
	    memcmp(o->host.gateway_mac, no_mac, sizeof(no_mac)) == 0)
		return wrong(p, "--vdev, --target and --target-mac are needed");
	for (uint32_t i = 0; i < o->host.n_addresses; i++)
		if (ip_addr_is_v4(&o->host.addresses[i]) != v4)
			return wrong(p, "--address and --target are of two versions of IP");
	if (o->clients.script && o->host.n_addresses == 0)
		return wrong(p, "--script needs an --address");
	return 0;
}

static bool is_stranger(const struct options *o, const struct ip_addr *a)
{
	bool v4 = ip_addr_is_v4(&o->flood_network);

	return ip_addr_match(a, &o->flood_network, v4 ? V4_NETWORK_LEN : V6_NETWORK_LEN);
}

static int check_flood(struct parser *p)
{
	const struct options *o = p->o;

	if (!o->syn_rate)
		return o->has_flood_network || o->complete_each
			       ? wrong(p, "--syn-network and --complete need --syn-rate")
			       : 0;
	if (!o->has_flood_network)
		return wrong(p, "--syn-rate needs --syn-network");
	if (ip_addr_is_v4(&o->flood_network) != ip_addr_is_v4(&o->clients.target))
		return wrong(p, "--syn-network and --target are of two versions of IP");
	for (uint32_t i = 0; i < o->host.n_addresses; i++)
		if (is_stranger(o, &o->host.addresses[i]))
			return wrong(p, "an --address is in --syn-network");
	return 0;
}

static int check(struct parser *p)
{
	const struct options *o = p->o;

	p->option = NULL;
	if (!o->clients.script && !o->syn_rate)
		return wrong(p, "nothing to do: neither --script nor --syn-rate");
	if (o->clients.script && script_holds(o->clients.script) && !o->clients.count)
		return wrong(p, "a script that holds needs --conversations");
	return check_link(p) != 0 || check_flood(p) != 0 ? -EINVAL : 0;
}

static void defaults(struct options *o)
{
	*o = (struct options){
		.clients = {.at_once = AT_ONCE_DEFAULT,
			    .patience_us = (uint64_t)PATIENCE_DEFAULT_S * SECOND_US},
		.greeting = script_greeting(script_find("nul")),
		.seconds = SECONDS_DEFAULT,
	};
}

int options_parse(struct options *o, int argc, char **argv, char *error, size_t len)
{
	struct parser p = {.o = o, .error = error, .len = len};
	struct option options[KNOWN + 1] = {{0}};
	int which;

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
	return check(&p);
}
