/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port: interfaces as queues of frames. The only room that knows an ethdev.
 *
 * A port is one network interface opened with one queue pair a worker. Kinds: AF_XDP (the NIC
 * stays with its kernel driver; one DPDK vdev a queue, joined to the XDP program that is already
 * attached), any DPDK vdev (memif, net_tap, net_ring ...), a PCI device bound to a DPDK driver,
 * and an in-memory form that tests feed by hand.
 *
 * Thread: open and close by control; rx, tx, flush and idle of a queue by its worker only.
 * Time: none. Memory: each queue has its own mempool, made at open; when it is empty frames are
 * dropped and counted, or wait in the device, which drops and counts by its own statistics.
 * DPDK has room for RTE_MAX_ETHPORTS devices, 32 in Debian: so many AF_XDP queues in all.
 * Rules: what a driver cannot do (chained frames, checksums) is told by port_caps or done here
 * (linearisation); a driver's quirks end in this room.
 */
#ifndef POSTERN_PORT_H
#define POSTERN_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "postern/counters.h"

enum {
	PORT_QUEUES_MAX = 64,
	PORT_BURST = 32, /* frames a call */
	PORT_RSS_KEY_MAX = 52,
	PORT_RSS_TABLE_MAX = 2048,
};

enum port_kind {
	PORT_AF_XDP, /* device: the kernel's interface name */
	PORT_VDEV,   /* device: a DPDK vdev, "net_memif0,role=server,..." */
	PORT_PCI,    /* device: a PCI address, "0000:3b:00.0"; not proven on a network card yet, but
			the path is that of PORT_VDEV */
	PORT_MEMORY, /* device: a name; frames by port_memory_push and _pop */
};

/* How an interface says that it spreads TCP over its queues: by a Toeplitz hash of addresses and
 * ports under this key, through this table. All zero: it says nothing, or something else. */
struct port_rss {
	bool tcp4, tcp6;   /* over IPv4, over IPv6 */
	bool hash_in_mbuf; /* frames come with their hash (RTE_MBUF_F_RX_RSS_HASH) */
	uint8_t key_len;
	uint8_t key[PORT_RSS_KEY_MAX];
	uint16_t table_len;		   /* a power of two */
	uint8_t table[PORT_RSS_TABLE_MAX]; /* from the hash modulo table_len to the queue */
};

struct port_config {
	enum port_kind kind;
	const char *device;
	uint8_t index;	      /* of the interface in the configuration; stamped on frames */
	uint16_t queues;      /* 1..PORT_QUEUES_MAX; one a worker */
	uint32_t frames;      /* buffers a queue; 0: the kind's default */
	uint16_t descriptors; /* a ring, a power of two; 0: the kind's default */
	/* For a device that takes a key for its RSS: one that peers cannot know, as they do its
	 * driver's. All zero: the driver's. */
	uint8_t rss_key[PORT_RSS_KEY_MAX];
	/* PORT_MEMORY only: what the port shall claim to be able to do. */
	bool memory_checksums;
	bool memory_chains;
	uint16_t memory_mtu; /* 0: 1500 */
	uint8_t memory_mac[6];
	const struct port_rss *memory_rss; /* NULL: none */
};

struct port_caps {
	uint8_t mac[6];
	uint16_t mtu;	       /* of IP, octets */
	bool tx_ipv4_checksum; /* mbuf offload flags are honoured */
	bool tx_tcp_checksum;
	bool rx_checksum;   /* frames arrive with the checksum flags set */
	bool chains;	    /* chained mbufs are sent as they are; else linearised here */
	bool kernel_shares; /* the kernel sees the frames we do not take (AF_XDP) */
	/* Asked for where there are several queues; not believed before frames have shown it. */
	struct port_rss rss;
};

struct port;

/* Opens and starts. Needs the EAL initialised (but PORT_MEMORY only mempools). counters: one
 * struct a queue, written by the queue's worker. Returns 0, or -errno with a sentence in error
 * (NUL-terminated, at most len octets with the NUL); *port is untouched on failure. */
int port_open(struct port **port, const struct port_config *config,
	      struct postern_counters *const *counters, char *error, size_t len);

/* Stops, closes, frees. Workers must be gone and have freed every mbuf of the port's pools. */
void port_close(struct port *port);

const struct port_caps *port_caps(const struct port *port);

/* The pool frames for this queue's transmission should come from: no copy is needed then. */
struct rte_mempool *port_pool(const struct port *port, uint16_t queue);

/* Receives up to n frames, ours from here on, m->port stamped with the interface's index, the
 * checksum flags in ol_flags as the driver found them (unknown where it does not check). */
uint16_t port_rx(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n);

/* Queues frames for transmission and takes them all over. What does not fit is dropped and
 * counted. */
void port_tx_take(struct port *port, uint16_t queue, struct rte_mbuf **frames, uint16_t n);

/* Sends what port_tx_take queued. What the interface has no room for yet stays queued: call it
 * every turn, also when nothing was given to port_tx_take. */
void port_flush(struct port *port, uint16_t queue);

/* --- idle ------------------------------------------------------------------------------- */

/* Sleeps until a frame arrives at any of the given ports' queue, wake_fd becomes readable (an
 * eventfd, drained here; -1: none), or timeout_us has passed, whichever is first; UINT64_MAX: no
 * timer is due. It may return early. A queue whose driver gives nothing to wait on (all but AF_XDP
 * and net_tap), or whose interface has not taken all frames yet, bounds the sleep to
 * PORT_BLIND_SLEEP_US, and after that many of these without a frame to PORT_BLIND_LONG_SLEEP_US. */
enum {
	PORT_IDLE_MAX = 32, /* ports */
	PORT_BLIND_SLEEP_US = 100,
	PORT_BLIND_SHORT_SLEEPS = 2000, /* some tenths of a second */
	PORT_BLIND_LONG_SLEEP_US = 1000,
};
void port_idle(struct port *const *ports, uint32_t n_ports, uint16_t queue, int wake_fd,
	       uint64_t timeout_us);

/* --- the in-memory form ------------------------------------------------------------------ */

/* Puts a frame into the receive queue, taken over; false (and freed) when it is full. */
bool port_memory_push(struct port *port, uint16_t queue, struct rte_mbuf *frame);

/* Takes the next transmitted frame, now the caller's, or NULL. It is bare octets, as on a wire:
 * offload flags are done and gone. Where chains are claimed, its segments may be shared with the
 * sender: copy before changing them. */
struct rte_mbuf *port_memory_pop(struct port *port, uint16_t queue);

/* What its card does to frames that come, whatever it claimed: by rss from here on. */
void port_memory_set_rss(struct port *port, const struct port_rss *rss);

/* The queue its card would put a frame of these octets into. */
uint16_t port_memory_queue(const struct port *port, const void *octets, uint16_t len);

#endif
