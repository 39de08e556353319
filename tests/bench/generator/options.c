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
#include <string.h>

#include "common/arguments.h"
#include "common/option.h"

enum {
	CONVERSATIONS_MAX = 4 << 20,
	RATE_MAX = 100 * 1000 * 1000,
	SECONDS_MAX = 600,
	CPU_MAX = 1023,
	AT_ONCE_DEFAULT = 64,
	PATIENCE_DEFAULT_S = 5,
	SECONDS_DEFAULT = 60,
	NAMES_DEFAULT = 10 * 1000 * 1000,
	SECOND_US = 1000 * 1000,
	V4_NETWORK_LEN = 128 - FORGE_HOST_BITS_V4,
	V6_NETWORK_LEN = 128 - FORGE_HOST_BITS_V6,
};

static struct options *options_of(struct option_parser *p)
{
	return p->into;
}

/* --- the link ----------------------------------------------------------------------------------
 */

static int take_vdev(struct option_parser *p, const char *text)
{
	options_of(p)->host.device = text;
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

static int take_address(struct option_parser *p, const char *text)
{
	struct host_config *host = &options_of(p)->host;
	const char *plus = strchr(text, '+');
	struct ip_addr first;
	uint64_t n = 1;

	if (!argument_address(text, plus ? (size_t)(plus - text) : strlen(text), &first))
		return option_wrong(p, "'%s' is no IP or IP+COUNT", text);
	if (plus && option_number(p, plus + 1, 1, NET_ADDRESSES_MAX, &n) != 0)
		return -EINVAL;
	for (uint32_t i = 0; i < n; i++) {
		if (host->n_addresses == NET_ADDRESSES_MAX)
			return option_wrong(p, "more than %d addresses", NET_ADDRESSES_MAX);
		host->addresses[host->n_addresses++] = address_behind(first, i);
	}
	return 0;
}

static int take_target(struct option_parser *p, const char *text)
{
	struct clients_config *clients = &options_of(p)->clients;

	return option_endpoint(p, text, &clients->target, &clients->port);
}

static int take_target_mac(struct option_parser *p, const char *text)
{
	return option_mac(p, text, options_of(p)->host.gateway_mac);
}

/* --- clients -----------------------------------------------------------------------------------
 */

static int take_script(struct option_parser *p, const char *text)
{
	options_of(p)->clients.script = script_find(text);
	return options_of(p)->clients.script ? 0 : option_wrong(p, "there is no script '%s'", text);
}

static int take_conversations(struct option_parser *p, const char *text)
{
	return option_number(p, text, 1, CONVERSATIONS_MAX, &options_of(p)->clients.count);
}

static int take_rate(struct option_parser *p, const char *text)
{
	return option_number(p, text, 1, RATE_MAX, &options_of(p)->clients.rate);
}

static int take_at_once(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 1, CONVERSATIONS_MAX, &options_of(p)->clients.at_once);
}

static int take_patience(struct option_parser *p, const char *text)
{
	uint64_t seconds;

	if (option_number(p, text, 1, SECONDS_MAX, &seconds) != 0)
		return -EINVAL;
	options_of(p)->clients.patience_us = seconds * SECOND_US;
	return 0;
}

static int take_names(struct option_parser *p, const char *text)
{
	return option_number(p, text, 1, NAMES_DEFAULT, &options_of(p)->clients.names);
}

/* --- the flood ---------------------------------------------------------------------------------
 */

static int take_syn_rate(struct option_parser *p, const char *text)
{
	if (strcmp(text, "max") == 0) {
		options_of(p)->syn_rate = FLOOD_UNLIMITED;
		return 0;
	}
	return option_number(p, text, 1, RATE_MAX, &options_of(p)->syn_rate);
}

static int take_syn_network(struct option_parser *p, const char *text)
{
	static const struct ip_addr zero;
	struct ip_addr *network = &options_of(p)->flood_network;
	size_t host;

	if (option_address(p, text, network) != 0)
		return -EINVAL;
	host = (ip_addr_is_v4(network) ? FORGE_HOST_BITS_V4 : FORGE_HOST_BITS_V6) / 8;
	if (memcmp(network->octets + 16 - host, zero.octets, host) != 0)
		return option_wrong(p, "'%s' is not the first address of a /%d or a /%d", text,
				    V4_NETWORK_LEN - 96, V6_NETWORK_LEN);
	options_of(p)->has_flood_network = true;
	return 0;
}

static int take_greeting(struct option_parser *p, const char *text)
{
	const struct script *script = script_find(text);

	options_of(p)->greeting = script ? script_greeting(script) : NULL;
	return options_of(p)->greeting
		       ? 0
		       : option_wrong(p, "there is no script '%s' with a greeting", text);
}

static int take_complete(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 1, UINT32_MAX, &options_of(p)->complete_each);
}

/* --- the rest ----------------------------------------------------------------------------------
 */

static int take_seconds(struct option_parser *p, const char *text)
{
	return option_number32(p, text, 1, SECONDS_MAX, &options_of(p)->seconds);
}

static int take_cpu(struct option_parser *p, const char *text)
{
	return option_number16(p, text, 0, CPU_MAX, &options_of(p)->cpu);
}

static int take_seed(struct option_parser *p, const char *text)
{
	options_of(p)->has_seed = true;
	return option_number(p, text, 0, UINT64_MAX, &options_of(p)->seed);
}

static const struct option_row known[] = {
	{"vdev", "STRING", take_vdev, "the link, \"net_memif0,role=client,...\""},
	{"address", "IP[+N]", take_address, "clients' source address, or N of them; repeatable"},
	{"target", "ADDR:PORT", take_target, "the gateway's service; [V6]:PORT"},
	{"target-mac", "MAC", take_target_mac, "and its link address"},
	{"script", "NAME", take_script, "what clients say and want to hear"},
	{"conversations", "N", take_conversations, "so many in all (as many as there is time for)"},
	{"at-once", "N", take_at_once, "so many under way (64)"},
	{"rate", "N", take_rate, "begun a second (as many as --at-once lets)"},
	{"patience", "SECONDS", take_patience, "with each step of the script (5)"},
	{"names", "N", take_names, "recipients there are, of a script that names any (10000000)"},
	{"syn-rate", "N", take_syn_rate, "a flood of N spoofed SYNs a second, or 'max'"},
	{"syn-network", "IP", take_syn_network, "its sources: a /16, or an IPv6 /64, of no client"},
	{"complete", "N", take_complete, "of each N-th answer the handshake is completed"},
	{"greeting", "SCRIPT", take_greeting, "and then whose greeting must come (nul)"},
	{"seconds", "N", take_seconds, "how long all of it may take, or the flood takes (60)"},
	{"cpu", "N", take_cpu, "where it runs (0)"},
	{"seed", "N", take_seed, "of all that is random (the kernel's)"},
	{"help", NULL, option_help, "this"},
};

enum { KNOWN = sizeof(known) / sizeof(known[0]) };

void options_usage(FILE *to)
{
	fprintf(to, "usage: generator --vdev STRING --address IP... --target ADDR:PORT "
		    "--target-mac MAC [OPTION]...\n"
		    "Clients and floods for a gateway at the other end of a memif link.\n\n");
	option_print(to, known, KNOWN);
	fprintf(to, "\nScripts:\n");
	script_list(to);
	fprintf(to,
		"\nIt says `ready`, `held` when a script holds all its conversations, and at its "
		"end one line of JSON.\n");
}

static int check_link(struct option_parser *p)
{
	static const uint8_t no_mac[6];
	const struct options *o = options_of(p);
	bool v4 = ip_addr_is_v4(&o->clients.target);

	if (!o->host.device || !o->clients.port ||
	    memcmp(o->host.gateway_mac, no_mac, sizeof(no_mac)) == 0)
		return option_wrong(p, "--vdev, --target and --target-mac are needed");
	for (uint32_t i = 0; i < o->host.n_addresses; i++)
		if (ip_addr_is_v4(&o->host.addresses[i]) != v4)
			return option_wrong(p, "--address and --target are of two versions of IP");
	if (o->clients.script && o->host.n_addresses == 0)
		return option_wrong(p, "--script needs an --address");
	return 0;
}

static bool is_stranger(const struct options *o, const struct ip_addr *a)
{
	bool v4 = ip_addr_is_v4(&o->flood_network);

	return ip_addr_match(a, &o->flood_network, v4 ? V4_NETWORK_LEN : V6_NETWORK_LEN);
}

static int check_flood(struct option_parser *p)
{
	const struct options *o = options_of(p);

	if (!o->syn_rate)
		return o->has_flood_network || o->complete_each
			       ? option_wrong(p, "--syn-network and --complete need --syn-rate")
			       : 0;
	if (!o->has_flood_network)
		return option_wrong(p, "--syn-rate needs --syn-network");
	if (ip_addr_is_v4(&o->flood_network) != ip_addr_is_v4(&o->clients.target))
		return option_wrong(p, "--syn-network and --target are of two versions of IP");
	for (uint32_t i = 0; i < o->host.n_addresses; i++)
		if (is_stranger(o, &o->host.addresses[i]))
			return option_wrong(p, "an --address is in --syn-network");
	return 0;
}

static int check(struct option_parser *p)
{
	const struct options *o = options_of(p);

	if (!o->clients.script && !o->syn_rate)
		return option_wrong(p, "nothing to do: neither --script nor --syn-rate");
	if (o->clients.script && script_holds(o->clients.script) && !o->clients.count)
		return option_wrong(p, "a script that holds needs --conversations");
	return check_link(p) != 0 || check_flood(p) != 0 ? -EINVAL : 0;
}

static void defaults(struct options *o)
{
	*o = (struct options){
		.clients = {.at_once = AT_ONCE_DEFAULT,
			    .patience_us = (uint64_t)PATIENCE_DEFAULT_S * SECOND_US,
			    .names = NAMES_DEFAULT},
		.greeting = script_greeting(script_find("nul")),
		.seconds = SECONDS_DEFAULT,
	};
}

int options_parse(struct options *o, int argc, char **argv, char *error, size_t len)
{
	struct option_parser p = {.into = o, .error = error, .len = len};

	defaults(o);
	if (option_parse(&p, known, KNOWN, argc, argv) != 0)
		return -EINVAL;
	o->help = p.help;
	return p.help ? 0 : check(&p);
}
