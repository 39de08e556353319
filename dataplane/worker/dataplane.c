/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data plane as a whole: interfaces opened, workers launched on their lcores, snapshots
 * published to them, everything taken down again.
 *
 * Thread: control, but for run() (each worker's own). Time: run() reads the clock once a turn.
 * Memory: one struct dataplane, the workers' pools and tables; freed by dataplane_stop.
 * Rules: a worker reports a quiescent state once a turn and is offline while it sleeps
 * (rte_rcu_qsbr), so a published snapshot replaces the old one within a turn. What a worker looks
 * at for each packet or recipient lies on its own NUMA node: its buffers, its tables, its service's
 * and a copy of the recipients.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_rcu_qsbr.h>

#include "base/counter.h"
#include "net/rss.h"
#include "postern/dataplane.h"
#include "tcp/clients.h"
#include "worker/numa.h"
#include "worker/worker.h"

enum {
	IDLE_TURNS = 64, /* empty turns in a row before a worker looks for sleep ... */
	IDLE_US = 50,	 /* ... and how long at least nothing may have happened */
	SLEEP_MAX_US = 1000 * 1000,
	BUFFERS_CACHE = 256,
};

static_assert((int)DATAPLANE_WORKERS_MAX == NET_WORKERS_MAX, "the same bound");
static_assert((int)DATAPLANE_INTERFACES_MAX == NET_PORTS_MAX, "the same bound");
static_assert((int)DATAPLANE_LISTEN_MAX == TCP_LISTEN_MAX, "the same bound");
static_assert((int)PORT_RSS_TABLE_MAX == NET_RSS_TABLE_MAX, "the same bound");

/* What is drawn from config.entropy. */
struct keys {
	struct siphash_key isn, cookie, hash;
	uint64_t port_seed;
};

static_assert(sizeof(struct keys) == sizeof(((struct dataplane_config *)0)->entropy),
	      "every octet has its use");

struct dataplane_worker {
	struct dataplane *dp;
	struct worker *worker;
	struct rte_mempool *pool;
	unsigned lcore;
	unsigned node; /* of its memory */
	int wake_fd;
	bool running;
	struct postern_counters counters __rte_cache_aligned;
};

struct dataplane {
	struct dataplane_config config;
	struct keys keys;
	struct port *ports[DATAPLANE_INTERFACES_MAX];
	struct net_rss *rss[DATAPLANE_INTERFACES_MAX];
	struct net net;
	struct handover *handover;
	struct clients *clients; /* NULL: without limits */
	struct rte_rcu_qsbr *rcu;
	const struct routes *routes;
	const struct recipients *recipients;			       /* control's */
	const struct recipients *recipients_of[DATAPLANE_WORKERS_MAX]; /* a node's: those or a copy
									*/
	bool stop;
	uint16_t next_asked; /* worker whose unresolved next hops are looked at first */
	uint16_t n_workers;
	struct dataplane_worker workers[];
};

static int fail(char *error, size_t len, int code, const char *what)
{
	snprintf(error, len, "%s: %s", what, strerror(code));
	return -code;
}

/* --- a worker's life ------------------------------------------------------------------------- */

static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Nothing moves: sleeps until a frame, a wake-up or the next timer. */
static void idle(struct dataplane_worker *self, uint16_t index, uint64_t now_us)
{
	struct dataplane *dp = self->dp;
	uint64_t due_us = worker_next_due(self->worker);
	uint64_t sleep_us = due_us > now_us ? due_us - now_us : 0;

	if (sleep_us == 0)
		return;
	if (sleep_us > SLEEP_MAX_US)
		sleep_us = SLEEP_MAX_US;
	if (dp->handover && !handover_sleep(dp->handover, index))
		return;
	counter_add(&self->counters.worker_sleeps, 1);
	rte_rcu_qsbr_thread_offline(dp->rcu, index);
	if (!__atomic_load_n(&dp->stop, __ATOMIC_ACQUIRE))
		port_idle(dp->ports, dp->config.n_interfaces, index, self->wake_fd, sleep_us);
	rte_rcu_qsbr_thread_online(dp->rcu, index);
	if (dp->handover)
		handover_awake(dp->handover, index);
}

static int run(void *arg)
{
	struct dataplane_worker *self = arg;
	struct dataplane *dp = self->dp;
	uint16_t index = (uint16_t)(self - dp->workers);
	uint64_t moved_us = clock_us();
	unsigned empty = 0;

	rte_rcu_qsbr_thread_online(dp->rcu, index);
	while (!__atomic_load_n(&dp->stop, __ATOMIC_ACQUIRE)) {
		uint64_t now_us = clock_us();

		if (worker_turn(self->worker, now_us)) {
			moved_us = now_us;
			empty = 0;
		} else {
			empty++;
		}
		rte_rcu_qsbr_quiescent(dp->rcu, index);
		if (empty >= IDLE_TURNS && now_us - moved_us >= IDLE_US)
			idle(self, index, now_us);
	}
	rte_rcu_qsbr_thread_offline(dp->rcu, index);
	return 0;
}

/* --- starting -------------------------------------------------------------------------------- */

static void net_set_up(struct dataplane *dp)
{
	const struct dataplane_config *config = &dp->config;
	struct net *net = &dp->net;

	assert(dp->n_workers > 0); /* check() has seen to it */
	net->n_workers = dp->n_workers;
	net->n_ports = config->n_interfaces;
	net->hash_key = dp->keys.hash;
	for (uint32_t i = 0; i < NET_INDIRECTION; i++)
		net->owner_of[i] = (uint8_t)(config->only_owner >= 0 ? (uint32_t)config->only_owner
								     : i % dp->n_workers);
	if (config->active_first) {
		net->active_first = config->active_first;
		net->active_slice = (uint16_t)((config->active_last - config->active_first + 1) /
					       dp->n_workers);
	}
	for (uint32_t i = 0; i < config->n_interfaces; i++) {
		const struct dataplane_interface *interface = &config->interfaces[i];

		for (uint32_t j = 0; j < interface->n_addresses; j++) {
			net->addresses[net->n_addresses].ip = interface->addresses[j];
			net->addresses[net->n_addresses++].port = (uint8_t)i;
		}
	}
}

__attribute__((format(printf, 3, 4))) static int refuse(char *error, size_t len, const char *format,
							...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, len, format, args);
	va_end(args);
	return -EINVAL;
}

static int check_interfaces(const struct dataplane_config *config, char *error, size_t len)
{
	uint32_t addresses = 0;

	if (config->n_interfaces == 0 || config->n_interfaces > DATAPLANE_INTERFACES_MAX)
		return refuse(error, len, "%u interfaces, where 1 to %d can be had",
			      config->n_interfaces, DATAPLANE_INTERFACES_MAX);
	for (uint32_t i = 0; i < config->n_interfaces; i++) {
		const struct dataplane_interface *interface = &config->interfaces[i];

		if (interface->n_addresses == 0)
			return refuse(error, len, "interface %s has no IP address",
				      interface->device);
		if (interface->n_addresses > DATAPLANE_ADDRESSES_MAX)
			return refuse(error, len, "interface %s has %u IP addresses, at most %d",
				      interface->device, interface->n_addresses,
				      DATAPLANE_ADDRESSES_MAX);
		addresses += interface->n_addresses;
	}
	if (addresses > NET_ADDRESSES_MAX)
		return refuse(error, len, "%u interfaces have %u IP addresses, at most %d",
			      config->n_interfaces, addresses, NET_ADDRESSES_MAX);
	return 0;
}

static int check(const struct dataplane_config *config, char *error, size_t len)
{
	int rc = check_interfaces(config, error, len);

	if (rc)
		return rc;
	if (config->n_listen > DATAPLANE_LISTEN_MAX)
		return refuse(error, len, "%u ports to listen on, at most %d", config->n_listen,
			      DATAPLANE_LISTEN_MAX);
	if (config->n_workers == 0 || config->n_workers > DATAPLANE_WORKERS_MAX ||
	    config->n_workers > rte_lcore_count() - 1)
		return refuse(error, len, "%u workers on %u lcores beside the main one",
			      config->n_workers, rte_lcore_count() - 1);
	if (config->only_owner >= (int)config->n_workers)
		return refuse(error, len, "worker %d shall own every flow, and there are %u",
			      config->only_owner, config->n_workers);
	if (config->active_first &&
	    config->active_last - config->active_first + 1 < config->n_workers)
		return refuse(error, len, "source ports %u to %u are too few for %u workers",
			      config->active_first, config->active_last, config->n_workers);
	return 0;
}

/* A card's key that no peer can know, as they may its driver's. */
static void draw_rss_key(const struct dataplane *dp, uint32_t interface, uint8_t *key)
{
	uint64_t words[(PORT_RSS_KEY_MAX + 7) / 8];

	for (uint32_t i = 0; i < RTE_DIM(words); i++) {
		const uint32_t what[2] = {interface, i};

		words[i] = siphash24(&dp->keys.hash, what, sizeof(what));
	}
	memcpy(key, words, PORT_RSS_KEY_MAX);
}

/* How an interface says that it spreads flows, as net computes it. */
static int read_rss(struct dataplane *dp, uint32_t i, char *error, size_t len)
{
	const struct port_rss *said = &port_caps(dp->ports[i])->rss;

	if (!said->table_len || dp->config.only_owner >= 0)
		return 0;
	dp->rss[i] = malloc(sizeof(*dp->rss[i]));
	if (!dp->rss[i])
		return fail(error, len, ENOMEM, "an interface's RSS");
	if (net_rss_init(dp->rss[i], said->key, said->key_len, said->table, said->table_len,
			 said->tcp4, said->tcp6))
		dp->net.ports[i].rss = dp->rss[i];
	return 0;
}

static int open_port(struct dataplane *dp, uint32_t i, struct postern_counters *const *counters,
		     char *error, size_t len)
{
	static const enum port_kind kinds[] = {
		[DATAPLANE_AF_XDP] = PORT_AF_XDP,
		[DATAPLANE_VDEV] = PORT_VDEV,
		[DATAPLANE_PCI] = PORT_PCI,
	};
	static const uint8_t no_mac[6];
	const struct dataplane_interface *interface = &dp->config.interfaces[i];
	struct port_config config = {
		.kind = kinds[interface->kind],
		.device = interface->device,
		.index = (uint8_t)i,
		.queues = dp->n_workers,
	};
	const struct port_caps *caps;
	int rc;

	draw_rss_key(dp, i, config.rss_key);
	rc = port_open(&dp->ports[i], &config, counters, error, len);
	if (rc)
		return rc;
	caps = port_caps(dp->ports[i]);
	if (interface->mtu > caps->mtu)
		return refuse(error, len, "interface %s has an MTU of %u, not %u",
			      interface->device, caps->mtu, interface->mtu);
	dp->net.ports[i] = (struct net_port){
		.mtu = interface->mtu ? interface->mtu : caps->mtu,
		.tx_ipv4_checksum = caps->tx_ipv4_checksum,
		.tx_tcp_checksum = caps->tx_tcp_checksum,
	};
	memcpy(dp->net.ports[i].mac, memcmp(interface->mac, no_mac, 6) ? interface->mac : caps->mac,
	       6);
	return read_rss(dp, i, error, len);
}

static int open_ports(struct dataplane *dp, char *error, size_t len)
{
	struct postern_counters *counters[DATAPLANE_WORKERS_MAX];
	int rc = 0;

	for (uint16_t i = 0; i < dp->n_workers; i++)
		counters[i] = &dp->workers[i].counters;
	for (uint32_t i = 0; i < dp->config.n_interfaces && !rc; i++)
		rc = open_port(dp, i, counters, error, len);
	return rc;
}

static int open_handover(struct dataplane *dp, char *error, size_t len)
{
	int wake_fds[DATAPLANE_WORKERS_MAX];

	for (uint16_t i = 0; i < dp->n_workers; i++) {
		dp->workers[i].wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (dp->workers[i].wake_fd < 0)
			return fail(error, len, errno, "eventfd");
		wake_fds[i] = dp->workers[i].wake_fd;
	}
	if (dp->n_workers > 1) {
		dp->handover = handover_new(dp->n_workers, wake_fds);
		if (!dp->handover)
			return fail(error, len, ENOMEM, "rings between workers");
	}
	return 0;
}

static int open_clients(struct dataplane *dp, char *error, size_t len)
{
	const struct clients_config config = {
		.conns = (uint64_t)dp->n_workers * dp->config.conns,
		.limits = {[CLIENTS_HALF_OPEN] = dp->config.client_half_open,
			   [CLIENTS_OPEN] = dp->config.client_conns},
		.unlimited = dp->config.unlimited,
		.n_unlimited = dp->config.n_unlimited,
		.key = dp->keys.hash, /* what the table hashes has another length */
	};

	if (!dp->config.client_half_open && !dp->config.client_conns)
		return 0;
	dp->clients = clients_new(&config);
	return dp->clients ? 0 : fail(error, len, ENOMEM, "counts of clients");
}

static int open_rcu(struct dataplane *dp, char *error, size_t len)
{
	size_t size = rte_rcu_qsbr_get_memsize(dp->n_workers);

	dp->rcu = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (!dp->rcu || rte_rcu_qsbr_init(dp->rcu, dp->n_workers))
		return fail(error, len, ENOMEM, "quiescent states");
	for (uint16_t i = 0; i < dp->n_workers; i++)
		rte_rcu_qsbr_thread_register(dp->rcu, i);
	return 0;
}

static uint16_t first_local_port(const struct dataplane *dp, uint16_t index)
{
	uint16_t slice = dp->net.active_slice;

	if (!slice)
		return 0;
	return (uint16_t)(dp->net.active_first + index * slice +
			  (dp->keys.port_seed >> (index % 32)) % slice);
}

static struct rte_mempool *pool_on(int node, uint16_t index, uint32_t buffers)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "kept_%u", index);
	return rte_pktmbuf_pool_create(name, buffers, BUFFERS_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
				       node);
}

static int start_worker(struct dataplane *dp, uint16_t index, char *error, size_t len)
{
	const struct dataplane_config *config = &dp->config;
	struct dataplane_worker *w = &dp->workers[index];
	struct worker_config wc = {
		.index = index,
		.n_ports = config->n_interfaces,
		.handover = dp->handover,
		.net = dp->net,
		.n_listen = config->n_listen,
		.routes = &dp->routes,
		.recipients = &dp->recipients_of[w->node],
		.counters = &w->counters,
		.wake_fd = w->wake_fd,
		.service = config->service,
		.service_config = config->service_config,
		.tcp =
			{
				.conns = config->conns,
				.clients = dp->clients,
				.client_half_open = config->client_half_open,
				.client_conns = config->client_conns,
				.receive_window = config->receive_window,
				.send_queue = config->send_queue,
				.idle_timeout_ms = config->idle_timeout_ms,
				.user_timeout_ms = config->user_timeout_ms,
				.isn_key = dp->keys.isn,
				.cookie_key = dp->keys.cookie,
				.active_first = (uint16_t)(dp->net.active_first +
							   index * dp->net.active_slice),
				.active_count = dp->net.active_slice,
				.first_local_port = first_local_port(dp, index),
			},
	};

	w->pool = pool_on((int)w->node, index, config->buffers);
	if (!w->pool) /* the node may have no huge pages */
		w->pool = pool_on(SOCKET_ID_ANY, index, config->buffers);
	if (!w->pool)
		return fail(error, len, rte_errno, "buffers");
	wc.tcp.pool = w->pool;
	memcpy(wc.ports, dp->ports, sizeof(wc.ports));
	memcpy(wc.listen, config->listen, sizeof(wc.listen));
	numa_prefer((int)w->node);
	w->worker = worker_new(&wc, clock_us());
	numa_prefer(-1);
	if (!w->worker)
		return fail(error, len, ENOMEM, "a worker's connection tables or its service");
	return 0;
}

static int launch(struct dataplane *dp, char *error, size_t len)
{
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		int rc = rte_eal_remote_launch(run, &dp->workers[i], dp->workers[i].lcore);

		if (rc)
			return fail(error, len, -rc, "launching a worker");
		dp->workers[i].running = true;
	}
	return 0;
}

/* Nodes are numbered below DATAPLANE_WORKERS_MAX. */
static unsigned node_of(unsigned lcore)
{
	unsigned node = rte_lcore_to_socket_id(lcore);

	static_assert(RTE_MAX_NUMA_NODES <= (int)DATAPLANE_WORKERS_MAX, "a copy for each");
	return node < RTE_MAX_NUMA_NODES ? node : 0;
}

static void workers_set_up(struct dataplane *dp)
{
	unsigned lcore = -1;

	for (uint16_t i = 0; i < dp->n_workers; i++) {
		struct dataplane_worker *w = &dp->workers[i];

		lcore = rte_get_next_lcore(lcore, 1, 0);
		w->dp = dp;
		w->wake_fd = -1;
		w->lcore = lcore;
		w->node = dp->config.own_nodes ? i : node_of(lcore);
	}
}

int dataplane_start(struct dataplane **out, const struct dataplane_config *config, char *error,
		    size_t len)
{
	struct dataplane *dp;
	size_t size;
	int rc = check(config, error, len);

	if (rc)
		return rc;
	size = sizeof(*dp) + config->n_workers * sizeof(dp->workers[0]);
	dp = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	if (!dp)
		return fail(error, len, ENOMEM, "data plane");
	memset(dp, 0, size);
	dp->config = *config;
	memcpy(&dp->keys, config->entropy, sizeof(dp->keys));
	dp->n_workers = config->n_workers;
	workers_set_up(dp);
	net_set_up(dp);
	rc = open_handover(dp, error, len);
	if (!rc)
		rc = open_clients(dp, error, len);
	if (!rc)
		rc = open_rcu(dp, error, len);
	if (!rc)
		rc = open_ports(dp, error, len);
	for (uint16_t i = 0; i < dp->n_workers && !rc; i++)
		rc = start_worker(dp, i, error, len);
	if (!rc)
		rc = launch(dp, error, len);
	if (rc) {
		dataplane_stop(dp);
		return rc;
	}
	*out = dp;
	return 0;
}

/* --- stopping -------------------------------------------------------------------------------- */

static void wake(const struct dataplane_worker *w)
{
	uint64_t one = 1;

	if (w->wake_fd >= 0 && write(w->wake_fd, &one, sizeof(one)) < 0)
		return; /* it is full: the worker is woken anyway */
}

void dataplane_halt(struct dataplane *dp)
{
	__atomic_store_n(&dp->stop, true, __ATOMIC_RELEASE);
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		struct dataplane_worker *w = &dp->workers[i];

		if (!w->running)
			continue;
		wake(w);
		rte_eal_wait_lcore(w->lcore);
		w->running = false;
	}
}

/* Control's and the copies on other nodes. */
static void free_recipients(const struct recipients *own,
			    const struct recipients *const of[DATAPLANE_WORKERS_MAX])
{
	for (unsigned node = 0; node < DATAPLANE_WORKERS_MAX; node++)
		if (of[node] != own)
			recipients_free((struct recipients *)of[node]);
	recipients_free((struct recipients *)own);
}

void dataplane_stop(struct dataplane *dp)
{
	if (!dp)
		return;
	dataplane_halt(dp);
	for (uint16_t i = 0; i < dp->n_workers; i++)
		worker_free(dp->workers[i].worker);
	clients_free(dp->clients);
	handover_free(dp->handover);
	for (uint32_t i = 0; i < dp->config.n_interfaces; i++)
		if (dp->ports[i])
			port_close(dp->ports[i]);
	for (uint32_t i = 0; i < dp->config.n_interfaces; i++)
		free(dp->rss[i]);
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		rte_mempool_free(dp->workers[i].pool);
		if (dp->workers[i].wake_fd >= 0)
			close(dp->workers[i].wake_fd);
	}
	routes_free((struct routes *)dp->routes);
	free_recipients(dp->recipients, dp->recipients_of);
	free(dp->rcu);
	free(dp);
}

/* --- while it runs ---------------------------------------------------------------------------- */

void dataplane_publish_routes_take(struct dataplane *dp, struct routes *routes)
{
	const struct routes *old = dp->routes;

	__atomic_store_n(&dp->routes, routes, __ATOMIC_RELEASE);
	rte_rcu_qsbr_synchronize(dp->rcu, RTE_QSBR_THRID_INVALID);
	routes_free((struct routes *)old);
}

/* A copy on a node; without memory for it the node's workers reach for control's. */
static const struct recipients *recipients_on(unsigned node, const struct recipients *recipients)
{
	const struct recipients *copy;

	numa_prefer((int)node);
	copy = recipients_copy(recipients);
	numa_prefer(-1);
	return copy ? copy : recipients;
}

uint64_t dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients)
{
	const struct recipients *old = dp->recipients, *old_of[DATAPLANE_WORKERS_MAX] = {NULL};
	const struct recipients *fresh[DATAPLANE_WORKERS_MAX] = {NULL};
	unsigned home = node_of(rte_get_main_lcore());
	uint64_t copies = 0;

	for (uint16_t i = 0; recipients && i < dp->n_workers; i++) {
		unsigned node = dp->workers[i].node;

		if (fresh[node])
			continue;
		fresh[node] = node == home ? recipients : recipients_on(node, recipients);
		copies += fresh[node] == recipients ? 0 : recipients_memory(recipients);
	}
	for (unsigned node = 0; node < DATAPLANE_WORKERS_MAX; node++)
		old_of[node] = __atomic_exchange_n(&dp->recipients_of[node], fresh[node],
						   __ATOMIC_ACQ_REL);
	dp->recipients = recipients;
	rte_rcu_qsbr_synchronize(dp->rcu, RTE_QSBR_THRID_INVALID);
	free_recipients(old, old_of);
	return copies;
}

void dataplane_wake(struct dataplane *dp)
{
	for (uint16_t i = 0; i < dp->n_workers; i++)
		wake(&dp->workers[i]);
}

void dataplane_counters(const struct dataplane *dp, struct postern_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (uint16_t i = 0; i < dp->n_workers; i++) {
#define X(name, text) sum->name += counter_read(&dp->workers[i].counters.name);
		POSTERN_COUNTERS(X)
#undef X
	}
}

void dataplane_status(const struct dataplane *dp, struct dataplane_status *status)
{
	*status = (struct dataplane_status){0};
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		status->connections += tcp_conns(worker_tcp(dp->workers[i].worker));
		status->time_waits += tcp_time_waits(worker_tcp(dp->workers[i].worker));
		status->buffers_out += worker_buffers_out(dp->workers[i].worker);
	}
}

bool dataplane_next_unresolved(struct dataplane *dp, struct ip_addr *next_hop, uint8_t *port)
{
	for (uint16_t i = 0; i < dp->n_workers; i++) {
		uint16_t at = (uint16_t)((dp->next_asked + i) % dp->n_workers);
		struct worker_unresolved u;

		if (!worker_next_unresolved(dp->workers[at].worker, &u))
			continue;
		*next_hop = u.next_hop;
		*port = u.port;
		dp->next_asked = (uint16_t)(at + 1);
		return true;
	}
	return false;
}
