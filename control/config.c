/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * postern.yaml: its keys, and what must hold between them.
 *
 * Thread: control. Time: none. Memory: config_schema.h.
 * Rules: a key that is not known is an error; so is a name that leads nowhere. What is not built
 * yet has no key: a configuration that asks for it is refused rather than half obeyed.
 */
#include "control/config.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_types.h"
#include "control/shield.h"
#include "postern/dataplane.h"
#include "postern/harvest.h"
#include "postern/pools.h"
#include "postern/settings.h"

#define ONE_AS(name_, struct_, field, type_, names_, fallback_, says_)                          \
	{                                                                                       \
		.name = (name_), .shape = SCHEMA_ONE, .type = &(type_), .names = (names_),      \
		.at = offsetof(struct struct_, field), .fallback = (fallback_), .says = (says_) \
	}
#define ONE(struct_, field, type_, fallback_, says_) \
	ONE_AS(#field, struct_, field, type_, NULL, fallback_, says_)
/* A field of a part of the configuration. */
#define ONE_OF(part, field, type_, fallback_, says_) \
	ONE_AS(#field, config, part.field, type_, NULL, fallback_, says_)
#define MANY_AS(name_, struct_, field, count_, type_, least_, most_, says_)                       \
	{                                                                                         \
		.name = (name_), .shape = SCHEMA_MANY, .type = &(type_),                          \
		.at = offsetof(struct struct_, field),                                            \
		.count_at = offsetof(struct struct_, count_), .least = (least_), .most = (most_), \
		.says = (says_)                                                                   \
	}
#define MAYBE_MANY(struct_, field, count_, type_, least_, most_, says_)                           \
	{                                                                                         \
		.name = #field, .shape = SCHEMA_MANY, .type = &(type_), .fallback = "",           \
		.at = offsetof(struct struct_, field),                                            \
		.count_at = offsetof(struct struct_, count_), .least = (least_), .most = (most_), \
		.says = (says_)                                                                   \
	}
#define MAPS(struct_, field, count_, element, keys_, least_, most_, says_)                        \
	{                                                                                         \
		.name = #field, .shape = SCHEMA_MAPS, .keys = (keys_),                            \
		.size = sizeof(struct element), .at = offsetof(struct struct_, field),            \
		.count_at = offsetof(struct struct_, count_), .least = (least_), .most = (most_), \
		.says = (says_)                                                                   \
	}
#define MAP(name_, keys_, says_)                                                                \
	{                                                                                       \
		.name = (name_), .shape = SCHEMA_MAP, .keys = (keys_), .at = 0, .says = (says_) \
	}
#define END                  \
	{                    \
		.name = NULL \
	}

const char *const config_protocols[] = {[POOL_SMTP] = "smtp", [POOL_LMTP] = "lmtp", NULL};
const char *const config_identities[] = {
	[POOL_IDENTITY_NONE] = "none",
	[POOL_XCLIENT] = "xclient",
	[POOL_PROXY_V2] = "proxy-v2",
	NULL,
};
static const char *const modes[] = {"enforce", "observe", NULL};
static const char *const bare_lfs[] = {"normalize", "reject", NULL};
static const char *const cases[] = {"fold", "exact", NULL};

/* clang-format off */
static const struct schema_key interface_keys[] = {
	ONE(config_interface, device, type_string, "",
	    "the kernel's name of the interface, taken by AF_XDP"),
	ONE(config_interface, pci, type_string, "",
	    "or the PCI address of a card bound to a DPDK driver"),
	ONE(config_interface, vdev, type_string, "", "or a virtual device of DPDK's"),
	MANY_AS("addresses", config_interface, addresses, n_addresses, type_address, 0,
		DATAPLANE_ADDRESSES_MAX, "our addresses there; without: the kernel's own"),
	ONE(config_interface, backend_ports, type_ports, "20000-28191",
	    "source ports toward backends"),
	ONE(config_interface, mtu, type_small, "0", "of IP, octets; 0: the device's own"),
	MANY_AS("neighbours", config_interface, neighbours, n_neighbours, type_neighbour, 0, 256,
		"link addresses, on a link the kernel does not know"),
	END,
};

static const struct schema_key domain_keys[] = {
	ONE(config_domain, name, type_host, NULL, "the domain's name"),
	ONE(config_domain, recipients, type_path, NULL,
	    "the directory: one address a line, then optional class= and pool="),
	ONE(config_domain, pool, type_name, NULL, "where its mail goes, by the pool's name"),
	ONE(config_domain, subaddress, type_separators, "",
	    "characters that separate a subaddress, like +"),
	ONE_AS("case", config_domain, letter_case, type_choice, cases, "fold",
	       "whether local parts differ by case"),
	ONE(config_domain, catch_all, type_bool, "false", "whether every address is known"),
	ONE(config_domain, bad_lines, type_share, "0",
	    "share of the directory's lines that may be bad; beyond, the old one stays"),
	ONE(config_domain, shrink, type_share, "0.1",
	    "share of its recipients that may be gone when it is read anew (and always one)"),
	END,
};

static const struct schema_key pool_keys[] = {
	ONE(config_pool, name, type_name, NULL, "the pool's name"),
	ONE_AS("protocol", config_pool, protocol, type_choice, config_protocols, "smtp",
	       "what the servers speak"),
	MANY_AS("servers", config_pool, servers, n_servers, type_server, 1, POOL_SERVERS_MAX,
		"the servers; by their weights they get connections"),
	ONE_AS("identity", config_pool, identity, type_choice, config_identities, "none",
	       "how the client is told to the servers"),
	ONE(config_pool, connections, type_small, "100",
	    "open at once to one server, over all workers"),
	ONE(config_pool, many_recipients, type_bool, "false",
	    "whether an LMTP server gets several recipients a transaction"),
	END,
};

static const struct schema_key harvest_keys[] = {
	ONE_AS("mode", config, harvest.mode, type_choice, modes, "enforce",
	       "enforce, or observe: score and tell, and change nothing a client sees"),
	ONE_AS("first_ttl", config, harvest.first_ttl_s, type_duration, NULL, "5m",
	       "how long a guesser is shut out the first time; it doubles"),
	ONE_AS("longest_ttl", config, harvest.longest_ttl_s, type_duration, NULL, "24h",
	       "and at most"),
	ONE_AS("known_ttl", config, harvest.known_ttl_s, type_duration, NULL, "4h",
	       "and at most a client that mail was delivered for"),
	ONE_OF(harvest, honest_unknown, type_share, "0.03",
	       "share of unknown recipients of an honest sender"),
	ONE_OF(harvest, guesser_unknown, type_share, "0.9", "and of a guesser"),
	ONE_OF(harvest, false_positive, type_share, "0.00001",
	       "how often an honest sender may be taken for a guesser"),
	ONE_OF(harvest, false_negative, type_share, "0.01", "and a guesser for an honest sender"),
	ONE_OF(harvest, clients, type_size, "1M",
	       "clients and prefixes told apart, a power of two"),
	ONE_AS("filter", config, harvest.filter_octets, type_size, NULL, "64M",
	       "memory for a day's pairs of client and recipient, a power of two"),
	ONE_OF(harvest, state, type_path_or_none, "",
	       "where scores are kept over a restart; without: nowhere"),
	MANY_AS("allow", config, harvest.allow, harvest.n_allow, type_network, 0,
		CONFIG_NETWORKS_MAX, "networks that are never shut out"),
	END,
};

static const struct schema_key limits_keys[] = {
	ONE_OF(limits, message_size, type_size, "50M", "the largest message, octets"),
	ONE_OF(limits, recipients, type_number, "1000",
	       "of a transaction; not under 100 (RFC 5321 4.5.3.1.8)"),
	ONE_OF(limits, connections_per_client, type_number, "50", "open at once; 0: no limit"),
	ONE_OF(limits, half_open_per_client, type_number, "50",
	       "handshakes under way at once; beyond, SYN cookies; 0: no limit"),
	ONE_OF(limits, connections, type_size, "128K", "open at once, a worker"),
	ONE_OF(limits, buffers, type_size, "32K", "of 2 KiB for bytes under way, a worker"),
	ONE_AS("held", config, limits.held_octets, type_size, NULL, "64M",
	       "memory for messages that are held until they are whole, a worker"),
	END,
};

static const struct schema_key control_keys[] = {
	ONE_OF(control, socket, type_path, "/run/postern/control.sock",
	       "where posternctl finds us"),
	END,
};

static const struct schema_key shield_keys[] = {
	ONE_OF(shield, bpffs, type_path, "/run/postern/bpf",
	       "where the XDP program and its maps are pinned"),
	END,
};

static const struct schema_key config_keys[] = {
	ONE(config, hostname, type_host, NULL, "our name in greetings and Received fields"),
	MAYBE_MANY(config, cores, n_cores, type_small, 2, CONFIG_CORES_MAX,
		   "CPUs: the first is the control plane's, the rest are workers; without: all"),
	MAPS(config, interfaces, n_interfaces, config_interface, interface_keys, 1,
	     DATAPLANE_INTERFACES_MAX, "where mail comes in and goes out"),
	MAYBE_MANY(config, listen, n_listen, type_port, 1, DATAPLANE_LISTEN_MAX,
		   "ports mail comes to; without: 25"),
	MAPS(config, domains, n_domains, config_domain, domain_keys, 1, CONFIG_DOMAINS_MAX,
	     "the domains we take mail for"),
	MAPS(config, pools, n_pools, config_pool, pool_keys, 1, POOLS_MAX,
	     "the mail servers behind us"),
	MAP("harvest", harvest_keys, "who guesses recipients"),
	MAP("limits", limits_keys, "bounds"),
	MAP("control", control_keys, "the control socket"),
	MAP("shield", shield_keys, "the XDP program"),
	MANY_AS("proxy_from", config, proxy_from, n_proxy_from, type_network, 0, CONFIG_PROXIES_MAX,
		"networks of load balancers that speak PROXY to us; never shut out"),
	ONE(config, buffered_max, type_size, "64K",
	    "messages that declare a SIZE up to this are held until they are whole"),
	ONE_AS("bare_lf", config, bare_lf, type_choice, bare_lfs, "normalize",
	       "what becomes of a line of a message that ends in LF alone: normalize or reject"),
	ONE(config, huge_pages, type_bool, "false", "take memory from the kernel's huge pages"),
	END,
};
/* clang-format on */

/* --- what must hold between keys ---------------------------------------------------------------
 */

/* Where a field stands is looked up only when it is wrong. */
__attribute__((format(printf, 4, 5))) static bool wrong(const struct config *c,
							struct schema_error *error,
							const char *field, const char *format, ...)
{
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	snprintf(error->text, sizeof(error->text), "%s:%d: %s: %s", c->path,
		 schema_line(c->path, field), field, why);
	return false;
}

int config_pool(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->n_pools; i++)
		if (strcmp(config->pools[i].name, name) == 0)
			return (int)i;
	return -1;
}

static const char *name_of(const struct config_interface *in)
{
	return *in->device ? in->device : *in->pci ? in->pci : in->vdev;
}

static bool is_said_before(const struct config *c, uint32_t i)
{
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(name_of(&c->interfaces[j]), name_of(&c->interfaces[i])) == 0)
			return true;
	return false;
}

static int by_length_and_address(const void *pa, const void *pb)
{
	const struct ip_network *a = pa, *b = pb;

	if (a->prefix_len != b->prefix_len)
		return a->prefix_len - b->prefix_len;
	return memcmp(&a->address, &b->address, sizeof(a->address));
}

static uint32_t each_once(struct ip_network *all, uint32_t n)
{
	uint32_t kept = 0;

	if (n)
		qsort(all, n, sizeof(*all), by_length_and_address);
	for (uint32_t i = 0; i < n; i++)
		if (!kept || by_length_and_address(&all[kept - 1], &all[i]) != 0)
			all[kept++] = all[i];
	return kept;
}

static size_t count_servers(const struct config *config)
{
	size_t n = 0;

	for (uint32_t i = 0; i < config->n_pools; i++)
		n += config->pools[i].n_servers;
	return n;
}

struct ip_network *config_allow(const struct config *config, uint32_t *n)
{
	size_t most = config->harvest.n_allow + config->n_proxy_from + count_servers(config);
	struct ip_network *all = calloc(most + 1, sizeof(*all));

	if (!all)
		return NULL;
	*n = 0;
	for (uint32_t i = 0; i < config->harvest.n_allow; i++)
		all[(*n)++] = config->harvest.allow[i];
	for (uint32_t i = 0; i < config->n_proxy_from; i++)
		all[(*n)++] = config->proxy_from[i];
	for (uint32_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];

		for (uint32_t j = 0; j < pool->n_servers; j++)
			all[(*n)++] = (struct ip_network){pool->servers[j].address, 128};
	}
	*n = each_once(all, *n);
	return all;
}

static int by_address_and_port(const void *pa, const void *pb)
{
	const struct ip_endpoint *a = pa, *b = pb;
	int by_address = memcmp(&a->address, &b->address, sizeof(a->address));

	return by_address ? by_address : a->port - b->port;
}

struct ip_endpoint *config_servers(const struct config *config, uint32_t *n)
{
	struct ip_endpoint *all = calloc(count_servers(config) + 1, sizeof(*all));
	uint32_t listed = 0;

	if (!all)
		return NULL;
	for (uint32_t i = 0; i < config->n_pools; i++) {
		const struct config_pool *pool = &config->pools[i];

		for (uint32_t j = 0; j < pool->n_servers; j++)
			all[listed++] = (struct ip_endpoint){.address = pool->servers[j].address,
							     .port = pool->servers[j].port};
	}
	qsort(all, listed, sizeof(*all), by_address_and_port);
	*n = 0;
	for (uint32_t i = 0; i < listed; i++)
		if (!*n || by_address_and_port(&all[*n - 1], &all[i]) != 0)
			all[(*n)++] = all[i];
	return all;
}

static bool check_interfaces(const struct config *c, struct schema_error *error)
{
	for (uint32_t i = 0; i < c->n_interfaces; i++) {
		const struct config_interface *in = &c->interfaces[i];
		int kinds = !!*in->device + !!*in->pci + !!*in->vdev;
		char field[64];

		snprintf(field, sizeof(field), "interfaces[%u]", i);
		if (kinds != 1)
			return wrong(c, error, field, "one of device, pci and vdev must be said");
		if (is_said_before(c, i))
			return wrong(c, error, field, "%s is said twice", name_of(in));
		if (!*in->device && in->n_addresses == 0)
			return wrong(c, error, field,
				     "addresses must be said: no kernel knows any there");
		if (i > 0 && (in->backend_ports.first != c->interfaces[0].backend_ports.first ||
			      in->backend_ports.last != c->interfaces[0].backend_ports.last))
			return wrong(c, error, field,
				     "backend_ports must be the same on all interfaces");
	}
	return true;
}

static bool check_listen(const struct config *c, struct schema_error *error)
{
	const struct config_ports *backend = &c->interfaces[0].backend_ports;

	for (uint32_t i = 0; i < c->n_listen; i++) {
		char field[64];

		snprintf(field, sizeof(field), "listen[%u]", i);
		if (backend->first <= c->listen[i] && c->listen[i] <= backend->last)
			return wrong(c, error, field, "%u is one of backend_ports", c->listen[i]);
	}
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct config_domain *const *)a)->name,
		      (*(const struct config_domain *const *)b)->name);
}

static bool domains_are_distinct(const struct config *c, struct schema_error *error)
{
	const struct config_domain **sorted = calloc((size_t)c->n_domains + 1, sizeof(*sorted));
	bool well = true;

	if (!sorted)
		return wrong(c, error, "domains", "no memory");
	for (uint32_t i = 0; i < c->n_domains; i++)
		sorted[i] = &c->domains[i];
	qsort(sorted, c->n_domains, sizeof(*sorted), by_name);
	for (uint32_t i = 1; i < c->n_domains && well; i++) {
		const struct config_domain *one = sorted[i - 1], *two = sorted[i];

		if (strcmp(one->name, two->name) == 0) {
			char field[64];

			snprintf(field, sizeof(field), "domains[%td].name",
				 (one > two ? one : two) - c->domains);
			well = wrong(c, error, field, "%s is said twice", one->name);
		}
	}
	free(sorted);
	return well;
}

static bool check_domains(const struct config *c, struct schema_error *error)
{
	char field[64];

	for (uint32_t i = 0; i < c->n_domains; i++) {
		snprintf(field, sizeof(field), "domains[%u].pool", i);
		if (config_pool(c, c->domains[i].pool) < 0)
			return wrong(c, error, field, "there is no pool %s", c->domains[i].pool);
	}
	for (uint32_t i = 0; i < c->n_pools; i++) {
		snprintf(field, sizeof(field), "pools[%u].name", i);
		if (config_pool(c, c->pools[i].name) != (int)i)
			return wrong(c, error, field, "%s is said twice", c->pools[i].name);
	}
	return domains_are_distinct(c, error);
}

static bool is_power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

enum {
	TTL_MAX_S = 365 * 24 * 3600,
	CONNECTIONS_MAX = 16 << 20,
	BUFFERED_MAX = 1 << 20,
};

static bool check_harvest(const struct config *c, struct schema_error *error)
{
	if (!(c->harvest.honest_unknown > 0 &&
	      c->harvest.honest_unknown < c->harvest.guesser_unknown &&
	      c->harvest.guesser_unknown < 1))
		return wrong(c, error, "harvest.honest_unknown",
			     "must lie between 0 and guesser_unknown, and that below 1");
	if (!(c->harvest.false_positive > 0 && c->harvest.false_positive <= 0.01))
		return wrong(c, error, "harvest.false_positive", "must lie between 0 and 0.01");
	if (!(c->harvest.false_negative > 0 && c->harvest.false_negative <= 0.5))
		return wrong(c, error, "harvest.false_negative", "must lie between 0 and 0.5");
	if (!is_power_of_two(c->harvest.clients) || c->harvest.clients < 1024 ||
	    c->harvest.clients > 1U << 30)
		return wrong(c, error, "harvest.clients", "must be a power of two from 1K to 1G");
	if (!is_power_of_two(c->harvest.filter_octets) || c->harvest.filter_octets < 4096 ||
	    c->harvest.filter_octets > 1ULL << 40)
		return wrong(c, error, "harvest.filter", "must be a power of two from 4K to 1024G");
	if (c->harvest.first_ttl_s == 0 || c->harvest.first_ttl_s > c->harvest.longest_ttl_s ||
	    c->harvest.longest_ttl_s > TTL_MAX_S)
		return wrong(c, error, "harvest.first_ttl",
			     "must not be more than longest_ttl, nor that than a year");
	if (c->harvest.known_ttl_s == 0 || c->harvest.known_ttl_s > TTL_MAX_S)
		return wrong(c, error, "harvest.known_ttl", "must lie between 1s and a year");
	return true;
}

static bool check_limits(const struct config *c, struct schema_error *error)
{
	if (c->limits.recipients < MAIL_RECIPIENTS_LEAST ||
	    c->limits.recipients > MAIL_RECIPIENTS_MOST)
		return wrong(c, error, "limits.recipients", "must lie between %d and %d",
			     MAIL_RECIPIENTS_LEAST, MAIL_RECIPIENTS_MOST);
	if (c->limits.message_size < 64 << 10 || c->limits.message_size > 4ULL << 30)
		return wrong(c, error, "limits.message_size", "must lie between 64K and 4G");
	if (c->limits.connections < 16 || c->limits.connections > CONNECTIONS_MAX)
		return wrong(c, error, "limits.connections", "must lie between 16 and 16M");
	if (c->limits.connections_per_client > CONNECTIONS_MAX)
		return wrong(c, error, "limits.connections_per_client", "must not be more than %d",
			     CONNECTIONS_MAX);
	if (c->limits.half_open_per_client > CONNECTIONS_MAX)
		return wrong(c, error, "limits.half_open_per_client", "must not be more than %d",
			     CONNECTIONS_MAX);
	if (c->limits.buffers < 1024 || c->limits.buffers > 64 << 20)
		return wrong(c, error, "limits.buffers", "must lie between 1K and 64M");
	if (c->limits.held_octets < BUFFERED_MAX || c->limits.held_octets > 1ULL << 40)
		return wrong(c, error, "limits.held", "must lie between 1M and 1024G");
	if (c->buffered_max > BUFFERED_MAX)
		return wrong(c, error, "buffered_max", "must not be more than 1M");
	return true;
}

static bool is_server_said_before(const struct config_pool *pool, uint32_t server)
{
	const struct config_endpoint *one = &pool->servers[server];

	for (uint32_t i = 0; i < server; i++)
		if (ip_addr_equal(&pool->servers[i].address, &one->address) &&
		    pool->servers[i].port == one->port)
			return true;
	return false;
}

static bool check_pool(const struct config *c, uint32_t i, struct schema_error *error)
{
	const struct config_pool *pool = &c->pools[i];
	char field[64];

	snprintf(field, sizeof(field), "pools[%u].connections", i);
	if (pool->connections < 1 || pool->connections > POOL_CONNECTIONS_MAX)
		return wrong(c, error, field, "must lie between 1 and %d", POOL_CONNECTIONS_MAX);
	snprintf(field, sizeof(field), "pools[%u].many_recipients", i);
	if (pool->many_recipients && pool->protocol != POOL_LMTP)
		return wrong(c, error, field, "is for protocol lmtp alone");
	for (uint32_t j = 1; j < pool->n_servers; j++) {
		snprintf(field, sizeof(field), "pools[%u].servers[%u]", i, j);
		if (is_server_said_before(pool, j))
			return wrong(c, error, field, "is said twice");
	}
	return true;
}

/* Then there is room for all that are never shut out, too. */
static_assert(CONFIG_NETWORKS_MAX + CONFIG_PROXIES_MAX + SHIELD_BACKENDS_MAX <=
		      HARVEST_NETWORKS_MAX,
	      "no configuration may have more networks than harvest_allow takes");

static bool check_servers(const struct config *c, struct schema_error *error)
{
	uint32_t n = 0;
	struct ip_endpoint *all = config_servers(c, &n);

	if (!all)
		return wrong(c, error, "pools", "no memory");
	free(all);
	if (n > SHIELD_BACKENDS_MAX)
		return wrong(c, error, "pools",
			     "these are %u servers, each counted once, where %d are the most", n,
			     SHIELD_BACKENDS_MAX);
	for (uint32_t i = 0; i < c->n_pools; i++)
		if (!check_pool(c, i, error))
			return false;
	return true;
}

static bool check(const struct config *c, struct schema_error *error)
{
	if (strlen(c->hostname) > 200)
		return wrong(c, error, "hostname", "is longer than a greeting has room for");
	return check_interfaces(c, error) && check_listen(c, error) && check_domains(c, error) &&
	       check_harvest(c, error) && check_limits(c, error) && check_servers(c, error);
}

/* --- the whole ------------------------------------------------------------------------------- */

static bool listen_on_25(struct config *c)
{
	c->listen = malloc(sizeof(*c->listen));
	if (!c->listen)
		return false;
	c->listen[0] = 25;
	c->n_listen = 1;
	return true;
}

bool config_read(const char *path, struct config *config, struct schema_error *error)
{
	memset(config, 0, sizeof(*config));
	config->path = strdup(path);
	if (config->path && schema_read(config_keys, path, config, error) &&
	    (config->n_listen || listen_on_25(config)) && check(config, error))
		return true;
	config_free(config);
	return false;
}

void config_free(struct config *config)
{
	schema_free(config_keys, config);
	free(config->path);
	memset(config, 0, sizeof(*config));
}

void config_show(const struct config *config, FILE *to)
{
	schema_show(config_keys, config, to);
}

void config_explain(FILE *to)
{
	schema_explain(config_keys, to);
}
