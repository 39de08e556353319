/* SPDX-License-Identifier: BSD-3-Clause */
/* From the configuration to the parts. Thread, Time, Memory, Rules: derive.h. */
#include "control/derive.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
	RECEIVE_WINDOW = 256 << 10,
	SEND_QUEUE = 256 << 10,		  /* toward a backend; mail bounds what a client is told */
	IDLE_TIMEOUT_MS = 10 * 60 * 1000, /* behind SMTP's own, which speaks first */
};

/* --- the data plane -------------------------------------------------------------------------- */

/* One a CPU, but for control's. */
static uint16_t workers_of(const struct config *c)
{
	cpu_set_t allowed;
	int n = (int)c->n_cores;

	if (!n && sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		n = CPU_COUNT(&allowed);
	if (n < 2)
		return 1;
	return n - 1 < DATAPLANE_WORKERS_MAX ? (uint16_t)(n - 1) : DATAPLANE_WORKERS_MAX;
}

static void derive_interface(const struct config_interface *in, struct dataplane_interface *out)
{
	*out = (struct dataplane_interface){.n_addresses = in->n_addresses, .mtu = in->mtu};
	if (*in->device) {
		out->kind = DATAPLANE_AF_XDP;
		out->device = in->device;
	} else if (*in->pci) {
		out->kind = DATAPLANE_PCI;
		out->device = in->pci;
	} else {
		out->kind = DATAPLANE_VDEV;
		out->device = in->vdev;
	}
	for (uint32_t i = 0; i < in->n_addresses; i++)
		out->addresses[i] = in->addresses[i];
}

void derive_dataplane(const struct config *config, struct dataplane_config *dataplane)
{
	*dataplane = (struct dataplane_config){
		.n_workers = workers_of(config),
		.n_interfaces = config->n_interfaces,
		.n_listen = config->n_listen,
		.active_first = config->interfaces[0].backend_ports.first,
		.active_last = config->interfaces[0].backend_ports.last,
		.conns = (uint32_t)config->limits.connections,
		.client_half_open = (uint32_t)config->limits.half_open_per_client,
		.client_conns = (uint32_t)config->limits.connections_per_client,
		.receive_window = RECEIVE_WINDOW,
		.send_queue = SEND_QUEUE,
		.buffers = (uint32_t)config->limits.buffers,
		.idle_timeout_ms = IDLE_TIMEOUT_MS,
		.only_owner = -1,
	};
	for (uint32_t i = 0; i < config->n_interfaces; i++)
		derive_interface(&config->interfaces[i], &dataplane->interfaces[i]);
	for (uint32_t i = 0; i < config->n_listen; i++)
		dataplane->listen[i] = config->listen[i];
}

struct plane_neighbour *derive_neighbours(const struct config *config, uint32_t *n)
{
	struct plane_neighbour *all;
	uint32_t count = 0;

	for (uint32_t i = 0; i < config->n_interfaces; i++)
		count += config->interfaces[i].n_neighbours;
	all = calloc((size_t)count + 1, sizeof(*all));
	if (!all)
		return NULL;
	*n = 0;
	for (uint32_t i = 0; i < config->n_interfaces; i++) {
		const struct config_interface *interface = &config->interfaces[i];

		for (uint32_t j = 0; j < interface->n_neighbours; j++) {
			struct plane_neighbour *to = &all[(*n)++];

			to->address = interface->neighbours[j].address;
			memcpy(to->mac, interface->neighbours[j].mac, sizeof(to->mac));
			to->port = (uint8_t)i;
		}
	}
	return all;
}

/* --- mail ------------------------------------------------------------------------------------ */

void derive_mail(const struct config *config, struct mail_config *mail)
{
	*mail = (struct mail_config){
		.host = config->hostname,
		.size_max = config->limits.message_size,
		.recipients_max = (uint32_t)config->limits.recipients,
		.normalize_bare_lf = config->bare_lf == CONFIG_NORMALIZE,
		.sessions = (uint32_t)config->limits.connections,
		.buffered_max = (uint32_t)config->buffered_max,
		.relay_octets = config->limits.held_octets,
		.proxy_from = config->proxy_from,
		.n_proxy_from = config->n_proxy_from,
		.shield = {.flagged_fd = -1, .wake_fd = -1},
	};
}

/* --- pools ----------------------------------------------------------------------------------- */

static struct pool_config pool_of(const struct config_pool *pool,
				  struct pool_server_config *servers)
{
	for (uint32_t i = 0; i < pool->n_servers; i++) {
		const struct config_endpoint *server = &pool->servers[i];

		servers[i] = (struct pool_server_config){server->address, server->port,
							 server->weight ? server->weight : 1};
	}
	return (struct pool_config){
		.name = pool->name,
		.protocol = pool->protocol,
		.identity = pool->identity,
		.many_recipients = pool->many_recipients,
		.connections = pool->connections,
		.n_servers = pool->n_servers,
		.servers = servers,
	};
}

struct pools *derive_pools(const struct config *config)
{
	struct pool_config *pools = calloc((size_t)config->n_pools + 1, sizeof(*pools));
	struct pool_server_config *servers;
	struct pools *made = NULL;
	size_t n = 0;

	for (uint32_t i = 0; i < config->n_pools; i++)
		n += config->pools[i].n_servers;
	servers = calloc(n + 1, sizeof(*servers));
	if (pools && servers) {
		n = 0;
		for (uint32_t i = 0; i < config->n_pools; i++) {
			pools[i] = pool_of(&config->pools[i], servers + n);
			n += config->pools[i].n_servers;
		}
		made = pools_new(pools, config->n_pools);
	}
	free(servers);
	free(pools);
	return made;
}

/* --- harvest --------------------------------------------------------------------------------- */

void derive_harvest(const struct config *config, struct harvest_config *harvest)
{
	harvest_defaults(harvest);
	harvest->p0 = config->harvest.honest_unknown;
	harvest->p1 = config->harvest.guesser_unknown;
	harvest->alpha = config->harvest.false_positive;
	harvest->beta = config->harvest.false_negative;
	harvest->first_ttl_s = (uint32_t)config->harvest.first_ttl_s;
	harvest->longest_ttl_s = (uint32_t)config->harvest.longest_ttl_s;
	harvest->known_ttl_s = (uint32_t)config->harvest.known_ttl_s;
	harvest->entries = (uint32_t)config->harvest.clients;
	harvest->filter_octets = config->harvest.filter_octets;
	harvest->observe = config->harvest.mode == CONFIG_OBSERVE;
}
