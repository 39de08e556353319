/* SPDX-License-Identifier: BSD-3-Clause */
/* From the configuration to the parts. Thread, Time, Memory, Rules: derive.h. */
#include "control/derive.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
	RECEIVE_WINDOW = 256 << 10,
	SEND_QUEUE = 16 << 10,		  /* replies: what a turn may say to one client */
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
		.shield = {.flagged_fd = -1, .wake_fd = -1},
	};
}

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
