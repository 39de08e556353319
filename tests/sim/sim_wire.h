/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated wire: a switch with a virtual clock between hosts whose frames come and go by
 * in-memory ports (port/port.h). Each pair of hosts and direction has its own delay, loss,
 * reordering, duplication, corruption, bottleneck and MTU. One seed drives everything: the same
 * seed over the same hosts gives the same trace, bit for bit.
 *
 * Thread: one, for the wire and everything behind it. Time: the wire's own, microseconds; it
 * jumps from event to event and never waits.
 * Memory: frames under way are copies on the heap, never a host's mbufs; a receiver's frame is
 * made anew from the pool of its own queue.
 * Rules: frames go to the host whose MAC address they name, to all others when none has it.
 * Corruption changes one octet, anywhere in the frame but in the sender's MAC address. The ones'
 * complement checksums of IPv4, TCP and ICMP catch every such change in what they cover (RFC 1071),
 * so a stream that arrives must still be exact. They do not cover the rest of the Ethernet header
 * nor IPv6's first four octets and hop limit, where a change misdirects the frame or does nothing;
 * a change of IPv6's length or next header is caught but for 1 in 65536. The sender's address is
 * left alone because answers go where it says and nothing but the link's own check could tell: a
 * connection could then not be proved to end.
 */
#ifndef POSTERN_SIM_WIRE_H
#define POSTERN_SIM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "port/port.h"
#include "sim_random.h"

enum {
	SIM_HOSTS_MAX = 8,
	SIM_FRAME_MAX = 2048, /* octets; what a buffer of a port's pool holds */
};

/* What happens to frames from one host to another. All zero: a perfect wire without delay. */
struct sim_path {
	uint64_t delay_us;  /* of propagation */
	uint64_t jitter_us; /* added, 0..jitter_us, order kept */
	uint32_t loss_ppm;
	uint32_t duplicate_ppm;
	uint32_t corrupt_ppm;	  /* one octet changed */
	uint32_t reorder_ppm;	  /* delayed further, while those behind pass */
	uint64_t reorder_us;	  /* by 1..reorder_us; needed with reorder_ppm */
	uint64_t bits_per_second; /* bottleneck; 0: none */
	uint32_t queue_octets;	  /* before the bottleneck; what does not fit is dropped */
	uint16_t mtu;		  /* of IP; larger frames are dropped; 0: any size goes */
	bool answer_too_big;	  /* then an ICMP error tells the sender (RFC 1191, 8201) */
};

/* What happened to them. sent + duplicated = delivered + lost + queue_dropped + too_big +
 * receiver_full + those still under way. */
struct sim_counters {
	uint64_t sent, delivered, octets_delivered;
	uint64_t lost, duplicated, corrupted, queue_dropped, too_big;
	uint64_t reordered;	/* delivered after one that was sent later */
	uint64_t receiver_full; /* no buffer, or no room in the receive queue */
};

/* A host: a port, and what is behind each of its queues. */
struct sim_host {
	const char *name;
	uint8_t mac[6];
	struct port *port; /* PORT_MEMORY */
	uint16_t queues;
	void *self; /* given to the functions */
	/* One turn of what is behind a queue; returns frames that came and went, 0: idle. Called
	 * for every queue of a host until all are idle, whenever a frame arrived at any of them
	 * or any is due. */
	uint32_t (*turn)(void *self, uint16_t queue, uint64_t now_us);
	/* When it wants a turn without a frame; UINT64_MAX: never. */
	uint64_t (*next_due)(const void *self, uint16_t queue);
	/* The queue a frame arrives at; NULL: queue 0. */
	uint16_t (*steer)(void *self, const uint8_t *bytes, size_t len, struct sim_random *random);
};

struct sim_wire;

/* NULL: no memory, or the file that POSTERN_SIM_PCAP names cannot be written. */
struct sim_wire *sim_wire_new(uint64_t seed, uint64_t now_us);
/* Frees frames under way; hosts are their owners'. */
void sim_wire_free(struct sim_wire *wire);

/* Joins a host, copied; returns its number, or -1 when SIM_HOSTS_MAX are there. */
int sim_wire_join(struct sim_wire *wire, const struct sim_host *host);

/* The direction's behaviour, to be set or changed at any time. */
struct sim_path *sim_wire_path(struct sim_wire *wire, int from, int to);
const struct sim_counters *sim_wire_counters(const struct sim_wire *wire, int from, int to);

uint64_t sim_wire_now(const struct sim_wire *wire);
/* For whatever else the test chooses at random. */
struct sim_random *sim_wire_random(struct sim_wire *wire);
/* A hash over time, direction, bytes and fate of every frame so far. */
uint64_t sim_wire_trace(const struct sim_wire *wire);

enum sim_end {
	SIM_DONE,      /* done() said so */
	SIM_QUIET,     /* no frame is under way and no host will ever be due */
	SIM_TIME_OVER, /* the clock reached until_us */
	SIM_LIVELOCK,  /* hosts keep turning and the clock stands still */
};

/* Runs until done(arg) is true, asked after every event; done may be NULL. */
enum sim_end sim_wire_run(struct sim_wire *wire, uint64_t until_us, bool (*done)(void *arg),
			  void *arg);

#endif
