/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the port room: what a port is made of, and the table a kind of port fills in.
 *
 * Thread: struct port is constant after port_open; a queue is its worker's.
 * Time: none. Memory: port_open's.
 * Rules: not for other rooms.
 */
#ifndef POSTERN_PORT_DRIVER_H
#define POSTERN_PORT_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "port/port.h"

enum {
	PORT_STAGED_MAX = 256, /* frames taken over and not yet accepted by the interface */
	PORT_POOL_CACHE = 64,  /* mbufs an lcore may keep of a pool that is not its own */
	PORT_FRAME_OVERHEAD = RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN,
};

/* What must be copied into a fresh mbuf of the queue's pool before the interface sees it. */
enum port_copy {
	PORT_COPY_NOTHING,
	PORT_COPY_CHAINS,
	PORT_COPY_ALL_BUT_OWN, /* also what is shared, indirect, external or of another pool */
};

struct port_queue {
	const struct port_driver *driver;
	struct postern_counters *counters;
	struct rte_mempool *pool;
	uint16_t eth_port, eth_queue; /* ethdev kinds */
	struct rte_ring *rx, *tx;     /* PORT_MEMORY */
	int wait_fd;		      /* readable while frames wait; -1: nothing to wait on */
	uint8_t index;		      /* of the interface */
	uint8_t copy;		      /* enum port_copy */
	bool checksums;		      /* offload requests are honoured, arrivals are checked */
	bool slack_set;
	uint16_t blind_sleeps; /* since the last frame came, up to PORT_BLIND_SHORT_SLEEPS */
	uint16_t n_staged;
	struct rte_mbuf *staged[PORT_STAGED_MAX];
} __rte_cache_aligned;

struct port_driver {
	/* Opens queues [0, n_queues) of port, fills in caps; 0, or -errno with a sentence. What
	 * was opened before a failure is undone by close. */
	int (*open)(struct port *port, const struct port_config *config, char *error, size_t len);
	uint16_t (*rx)(struct port_queue *q, struct rte_mbuf **frames, uint16_t n);
	uint16_t (*tx)(struct port_queue *q, struct rte_mbuf **frames, uint16_t n);
	/* Makes a frame's offload requests fit for tx; false: they contradict each other or the
	 * frame, which is dropped. NULL: nothing to do. */
	bool (*prepare)(struct port_queue *q, struct rte_mbuf *m);
	/* After it no driver holds an mbuf of the pools, which port_close frees. */
	void (*close)(struct port *port);
};

struct port {
	const struct port_driver *driver;
	struct port_caps caps;
	struct port_rss memory_rss;	   /* PORT_MEMORY: what it does, not what it claims */
	uint8_t rss_key[PORT_RSS_KEY_MAX]; /* the devices' configuration points here */
	uint16_t n_queues;
	uint16_t n_devices; /* ethdevs opened, in order of queues */
	uint16_t devices[PORT_QUEUES_MAX];
	struct port_queue queues[];
};

extern const struct port_driver port_memory_driver, port_device_driver, port_af_xdp_driver;

/* Writes the sentence, returns code. */
int port_error(char *error, size_t len, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Makes a queue's pool: frames buffers that each hold a frame of that many octets. flags:
 * RTE_MEMPOOL_F_*. 0, or -errno with a sentence. */
int port_pool_new(struct port *port, uint16_t queue, uint32_t frames, uint32_t frame_len,
		  unsigned flags, char *error, size_t len);

/* Does a NIC's work for the in-memory form: fills in the checksums that ol_flags ask for; checks
 * a received frame's and says so in ol_flags; hashes it, false: not a frame it spreads. */
void offload_fill(struct rte_mbuf *m);
void offload_check(struct rte_mbuf *m);
bool offload_hash(const struct port_rss *rss, const struct rte_mbuf *m, uint32_t *hash);

#endif
