/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration of posternd: what postern.yaml says, typed and checked.
 *
 * Thread: control. Time: none. Memory: config_free gives all of it back.
 */
#ifndef POSTERN_CONTROL_CONFIG_H
#define POSTERN_CONTROL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "control/config_schema.h"
#include "postern/address.h"
#include "postern/pools.h"

struct ip_endpoint; /* control/shield.h */

enum {
	CONFIG_DOMAINS_MAX = 1 << 20,
	CONFIG_NETWORKS_MAX = 4096,
	CONFIG_PROXIES_MAX = 256,
	CONFIG_CORES_MAX = 65,
	CONFIG_BACKEND_FIRST = 20000, /* backend_ports, where they are not said */
	CONFIG_BACKEND_LAST = 28191,
};

struct config_endpoint {
	struct ip_addr address;
	uint16_t port;
	uint16_t weight; /* of a pool's server; 0: 1 */
};

struct config_ports {
	uint16_t first, last; /* inclusive; 0, 0: none */
};

struct config_neighbour {
	struct ip_addr address;
	uint8_t mac[6];
};

struct config_interface {
	char *device, *pci, *vdev; /* one of them is not empty */
	struct ip_addr *addresses;
	uint32_t n_addresses; /* 0: the kernel's own */
	struct config_ports backend_ports;
	uint16_t mtu;			     /* 0: the device's */
	struct config_neighbour *neighbours; /* of a link no kernel knows */
	uint32_t n_neighbours;
};

struct config_domain {
	char *name;	  /* lower case */
	char *recipients; /* path */
	char *pool;
	char *subaddress;     /* separators */
	uint32_t letter_case; /* enum config_case */
	bool catch_all;
	double bad_lines; /* share of the directory's lines that may be bad */
	double shrink;	  /* share of its recipients that may be gone at once */
};

enum config_harvest_mode { CONFIG_ENFORCE, CONFIG_OBSERVE };
enum config_case { CONFIG_FOLD, CONFIG_EXACT };
enum config_bare_lf { CONFIG_NORMALIZE, CONFIG_REJECT };

struct config_pool {
	char *name;
	uint32_t protocol, identity; /* enum pool_protocol, enum pool_identity */
	bool many_recipients;	     /* LMTP: several a transaction */
	uint16_t connections;	     /* open at once to one server, over all workers */
	struct config_endpoint *servers;
	uint32_t n_servers;
};

struct config {
	char *path;
	char *hostname;
	uint16_t *cores;
	uint32_t n_cores; /* 0: all there are, the first is control's */
	struct config_interface *interfaces;
	uint32_t n_interfaces;
	uint16_t *listen;
	uint32_t n_listen;
	struct config_domain *domains;
	uint32_t n_domains;
	struct config_pool *pools;
	uint32_t n_pools;
	struct {
		uint32_t mode;
		uint64_t first_ttl_s, longest_ttl_s, known_ttl_s;
		double honest_unknown, guesser_unknown, false_positive, false_negative;
		uint64_t clients, filter_octets;
		char *state; /* path of the checkpoint; empty: none */
		struct ip_network *allow;
		uint32_t n_allow;
	} harvest;
	struct {
		uint64_t message_size, recipients, connections_per_client;
		uint64_t half_open_per_client, connections, buffers, held_octets;
	} limits;
	struct {
		char *socket;
	} control;
	struct {
		char *bpffs;
	} shield;
	struct ip_network *proxy_from; /* load balancers that speak PROXY to us */
	uint32_t n_proxy_from;
	uint64_t buffered_max; /* octets; messages that declare no more are held until whole */
	uint32_t bare_lf;
	bool huge_pages;
};

/* Their names, NULL behind the last. */
extern const char *const config_protocols[], *const config_identities[];

/* Reads and checks a file. False: *error says where and why, and *config is empty. */
bool config_read(const char *path, struct config *config, struct schema_error *error);
void config_free(struct config *config);
/* What is in force, defaults and all, as YAML. */
void config_show(const struct config *config, FILE *to);
/* Every key, as control/README.md has it. */
void config_explain(FILE *to);
/* The pool's number by its name; -1: there is none. */
int config_pool(const struct config *config, const char *name);

/* Who is never shut out: the networks that are said, load balancers, and the pools' servers, each
 * once. *n of them, to be freed; NULL: no memory. */
struct ip_network *config_allow(const struct config *config, uint32_t *n);

/* The servers of all pools, each once. *n of them, to be freed; NULL: no memory. */
struct ip_endpoint *config_servers(const struct config *config, uint32_t *n);

/* The types of values, for tests and for posternctl. */
bool config_read_duration(const char *text, uint64_t *seconds);
bool config_read_size(const char *text, uint64_t *octets);
bool config_read_address(const char *text, struct ip_addr *address);
bool config_read_network(const char *text, struct ip_network *network);
/* Without a weight. */
bool config_read_endpoint(const char *text, struct config_endpoint *endpoint);
/* "192.0.2.1:25", "192.0.2.1:25 weight=3" */
bool config_read_server(const char *text, struct config_endpoint *server);

#endif
