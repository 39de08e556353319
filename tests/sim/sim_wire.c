/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated wire: the way of a frame from one host's port to another's, and the loop that
 * moves the clock.
 *
 * Thread: one. Time: the wire's own. Memory: a block of the heap for each frame under way.
 * Rules: a frame meets, in this order: the MTU, the bottleneck's queue, loss, corruption,
 * duplication, and then delay, jitter and reordering (each copy its own).
 */
#include "sim_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "sim_pcap.h"
#include "sim_too_big.h"

enum {
	MAC = 6,
	ETHERNET = 14,
	VLAN_TAG = 4,
	TURNS_MAX = 100000,	 /* of one host in one instant */
	STANDSTILL_MAX = 100000, /* instants without the clock moving */
};

enum sim_fate {
	FATE_SENT,
	FATE_LOST,
	FATE_QUEUE_DROPPED,
	FATE_TOO_BIG,
	FATE_DELIVERED,
	FATE_RECEIVER_FULL,
};

struct frame {
	uint64_t due_us;
	uint64_t order;	 /* breaks ties of due_us: first scheduled, first delivered */
	uint64_t number; /* in the order its direction sent them */
	uint8_t from, to;
	uint16_t len;
	uint8_t bytes[];
};

struct direction {
	struct sim_path path;
	struct sim_counters counters;
	uint64_t free_ns; /* when the bottleneck has sent all it holds */
	uint64_t last_us; /* delivery of the last frame that kept its order */
	uint64_t newest;  /* highest number delivered */
};

struct sim_wire {
	uint64_t now_us, trace, order;
	struct sim_random random;
	int n_hosts;
	struct sim_host hosts[SIM_HOSTS_MAX];
	bool arrived[SIM_HOSTS_MAX]; /* a frame, since the host's last turn */
	struct direction directions[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
	struct frame **heap; /* the earliest first */
	size_t n_frames, heap_size;
	FILE *pcap;
};

/* --- life ---------------------------------------------------------------------------------- */

struct sim_wire *sim_wire_new(uint64_t seed, uint64_t now_us)
{
	const char *path = getenv("POSTERN_SIM_PCAP");
	struct sim_wire *wire = calloc(1, sizeof(*wire));

	if (wire == NULL)
		return NULL;
	wire->random.state = seed;
	wire->now_us = now_us;
	if (path != NULL && path[0] != '\0') {
		wire->pcap = sim_pcap_open(path);
		if (wire->pcap == NULL) {
			perror(path);
			free(wire);
			return NULL;
		}
	}
	return wire;
}

void sim_wire_free(struct sim_wire *wire)
{
	if (wire == NULL)
		return;
	for (size_t i = 0; i < wire->n_frames; i++)
		free(wire->heap[i]);
	free(wire->heap);
	if (wire->pcap != NULL)
		fclose(wire->pcap);
	free(wire);
}

int sim_wire_join(struct sim_wire *wire, const struct sim_host *host)
{
	if (wire->n_hosts == SIM_HOSTS_MAX)
		return -1;
	wire->hosts[wire->n_hosts] = *host;
	wire->arrived[wire->n_hosts] = true; /* each has a first turn */
	if (wire->pcap != NULL)
		sim_pcap_interface(wire->pcap, host->name);
	return wire->n_hosts++;
}

struct sim_path *sim_wire_path(struct sim_wire *wire, int from, int to)
{
	return &wire->directions[from][to].path;
}

const struct sim_counters *sim_wire_counters(const struct sim_wire *wire, int from, int to)
{
	return &wire->directions[from][to].counters;
}

uint64_t sim_wire_now(const struct sim_wire *wire)
{
	return wire->now_us;
}

struct sim_random *sim_wire_random(struct sim_wire *wire)
{
	return &wire->random;
}

uint64_t sim_wire_trace(const struct sim_wire *wire)
{
	return wire->trace;
}

static void note(struct sim_wire *wire, int from, int to, enum sim_fate fate, const uint8_t *bytes,
		 size_t len)
{
	const struct siphash_key key = {
		.k0 = wire->trace,
		.k1 = wire->now_us << 16 | (uint64_t)from << 12 | (uint64_t)to << 8 | fate,
	};

	wire->trace = siphash13(&key, bytes, len);
	if (wire->pcap != NULL && fate == FATE_SENT)
		sim_pcap_frame(wire->pcap, (uint32_t)from, SIM_PCAP_OUTBOUND, wire->now_us, bytes,
			       (uint32_t)len);
	if (wire->pcap != NULL && fate == FATE_DELIVERED)
		sim_pcap_frame(wire->pcap, (uint32_t)to, SIM_PCAP_INBOUND, wire->now_us, bytes,
			       (uint32_t)len);
}

/* --- frames under way, a binary heap --------------------------------------------------------- */

static bool earlier(const struct frame *a, const struct frame *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void heap_put(struct sim_wire *wire, struct frame *frame)
{
	size_t i = wire->n_frames++;

	if (i == wire->heap_size) {
		wire->heap_size = wire->heap_size == 0 ? 256 : 2 * wire->heap_size;
		wire->heap = realloc(wire->heap, wire->heap_size * sizeof(struct frame *));
		if (wire->heap == NULL)
			abort();
	}
	for (; i > 0 && earlier(frame, wire->heap[(i - 1) / 2]); i = (i - 1) / 2)
		wire->heap[i] = wire->heap[(i - 1) / 2];
	wire->heap[i] = frame;
}

static struct frame *heap_take(struct sim_wire *wire)
{
	struct frame **heap = wire->heap, *first = heap[0];
	struct frame *last = heap[--wire->n_frames];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < wire->n_frames) {
		if (child + 1 < wire->n_frames && earlier(heap[child + 1], heap[child]))
			child++;
		if (!earlier(heap[child], last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return first;
}

/* --- from a host onto the wire --------------------------------------------------------------- */

/* A copy of the bytes is to be delivered after the path's delay, counted from depart_us. */
static struct frame *schedule(struct sim_wire *wire, int from, int to, uint64_t depart_us,
			      uint64_t number, const uint8_t *bytes, size_t len)
{
	struct direction *d = &wire->directions[from][to];
	const struct sim_path *path = &d->path;
	struct frame *frame = malloc(sizeof(*frame) + len);

	if (frame == NULL)
		abort();
	frame->due_us = depart_us + path->delay_us;
	if (path->jitter_us > 0)
		frame->due_us += sim_random_below(&wire->random, path->jitter_us + 1);
	if (path->reorder_us > 0 && sim_random_chance(&wire->random, path->reorder_ppm)) {
		frame->due_us += sim_random_in(&wire->random, 1, path->reorder_us);
	} else {
		if (frame->due_us < d->last_us)
			frame->due_us = d->last_us;
		d->last_us = frame->due_us;
	}
	frame->order = wire->order++;
	frame->number = number;
	frame->from = (uint8_t)from;
	frame->to = (uint8_t)to;
	frame->len = (uint16_t)len;
	memcpy(frame->bytes, bytes, len);
	heap_put(wire, frame);
	return frame;
}

/* Whether the bottleneck's queue takes the frame, and when it has been sent. */
static bool pass_bottleneck(struct direction *d, uint64_t now_us, size_t len, uint64_t *depart_us)
{
	const uint64_t rate = d->path.bits_per_second, now_ns = now_us * 1000;
	uint64_t queued;

	*depart_us = now_us;
	if (rate == 0)
		return true;
	if (d->free_ns < now_ns)
		d->free_ns = now_ns;
	queued = (uint64_t)((double)(d->free_ns - now_ns) * (double)rate / 8e9);
	if (queued > 0 && queued + len > d->path.queue_octets)
		return false;
	d->free_ns += len * 8000000000 / rate;
	*depart_us = d->free_ns / 1000;
	return true;
}

static bool is_too_big(const struct sim_path *path, const uint8_t *bytes, size_t len)
{
	size_t link = ETHERNET;

	if (path->mtu == 0)
		return false;
	for (; link < len && link < ETHERNET + 2 * VLAN_TAG; link += VLAN_TAG) {
		unsigned type = (unsigned)bytes[link - 2] << 8 | bytes[link - 1];

		if (type != 0x8100 && type != 0x88a8)
			break;
	}
	return len > link + path->mtu;
}

/* The router before the narrow link is as far away as the link's other end. */
static void answer_too_big(struct sim_wire *wire, int from, int to, const uint8_t *bytes,
			   size_t len)
{
	const struct sim_path *path = &wire->directions[from][to].path;
	uint8_t answer[SIM_TOO_BIG_MAX];
	size_t answer_len = sim_too_big(bytes, len, path->mtu, answer);
	struct direction *back = &wire->directions[to][from];

	if (answer_len == 0)
		return;
	back->counters.sent++;
	schedule(wire, to, from, wire->now_us + path->delay_us, back->counters.sent, answer,
		 answer_len);
}

static void corrupt(struct sim_wire *wire, struct frame *frame)
{
	size_t at = sim_random_below(&wire->random, frame->len - MAC);

	if (at >= MAC)
		at += MAC; /* the source address follows the destination's */
	frame->bytes[at] ^= (uint8_t)sim_random_in(&wire->random, 1, 255);
}

static void travel(struct sim_wire *wire, int from, int to, const uint8_t *bytes, size_t len)
{
	struct direction *d = &wire->directions[from][to];
	const struct sim_path *path = &d->path;
	struct sim_counters *counters = &d->counters;
	struct frame *frame;
	uint64_t depart_us;

	counters->sent++;
	note(wire, from, to, FATE_SENT, bytes, len);
	if (is_too_big(path, bytes, len)) {
		counters->too_big++;
		note(wire, from, to, FATE_TOO_BIG, NULL, 0);
		if (path->answer_too_big)
			answer_too_big(wire, from, to, bytes, len);
		return;
	}
	if (!pass_bottleneck(d, wire->now_us, len, &depart_us)) {
		counters->queue_dropped++;
		note(wire, from, to, FATE_QUEUE_DROPPED, NULL, 0);
		return;
	}
	if (sim_random_chance(&wire->random, path->loss_ppm)) {
		counters->lost++;
		note(wire, from, to, FATE_LOST, NULL, 0);
		return;
	}
	frame = schedule(wire, from, to, depart_us, counters->sent, bytes, len);
	if (sim_random_chance(&wire->random, path->corrupt_ppm)) {
		counters->corrupted++;
		corrupt(wire, frame);
	}
	if (sim_random_chance(&wire->random, path->duplicate_ppm)) {
		counters->duplicated++;
		schedule(wire, from, to, depart_us, counters->sent, frame->bytes, len);
	}
}

static void forward(struct sim_wire *wire, int from, const uint8_t *bytes, size_t len)
{
	bool known = false;

	if (len < ETHERNET)
		return;
	for (int to = 0; to < wire->n_hosts; to++) {
		if (memcmp(wire->hosts[to].mac, bytes, 6) != 0)
			continue;
		known = true;
		if (to != from)
			travel(wire, from, to, bytes, len);
	}
	for (int to = 0; !known && to < wire->n_hosts; to++)
		if (to != from)
			travel(wire, from, to, bytes, len);
}

static void collect(struct sim_wire *wire, int from, uint16_t queue)
{
	struct port *port = wire->hosts[from].port;
	uint8_t space[SIM_FRAME_MAX];
	struct rte_mbuf *m;

	while ((m = port_memory_pop(port, queue)) != NULL) {
		const uint32_t len = rte_pktmbuf_pkt_len(m);
		const uint8_t *bytes;

		if (len > sizeof(space))
			abort();
		bytes = rte_pktmbuf_read(m, 0, len, space);
		forward(wire, from, bytes, len);
		rte_pktmbuf_free(m);
	}
}

/* --- from the wire to a host ----------------------------------------------------------------- */

static bool push(struct port *port, uint16_t queue, const struct frame *frame)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(port_pool(port, queue));
	char *to;

	if (m == NULL)
		return false;
	to = rte_pktmbuf_append(m, frame->len);
	if (to == NULL) {
		rte_pktmbuf_free(m);
		return false;
	}
	memcpy(to, frame->bytes, frame->len);
	return port_memory_push(port, queue, m);
}

static void deliver(struct sim_wire *wire, const struct frame *frame)
{
	struct direction *d = &wire->directions[frame->from][frame->to];
	struct sim_host *host = &wire->hosts[frame->to];
	enum sim_fate fate = FATE_DELIVERED;
	uint16_t queue = 0;

	if (host->steer != NULL)
		queue = host->steer(host->self, frame->bytes, frame->len, &wire->random);
	if (push(host->port, queue, frame)) {
		d->counters.delivered++;
		d->counters.octets_delivered += frame->len;
		d->counters.reordered += frame->number < d->newest;
		if (d->newest < frame->number)
			d->newest = frame->number;
		wire->arrived[frame->to] = true;
	} else {
		d->counters.receiver_full++;
		fate = FATE_RECEIVER_FULL;
	}
	note(wire, frame->from, frame->to, fate, frame->bytes, frame->len);
}

static void deliver_due(struct sim_wire *wire)
{
	while (wire->n_frames > 0 && wire->heap[0]->due_us <= wire->now_us) {
		struct frame *frame = heap_take(wire);

		deliver(wire, frame);
		free(frame);
	}
}

/* --- the loop -------------------------------------------------------------------------------- */

static uint64_t host_next_due(const struct sim_host *host)
{
	uint64_t due_us = UINT64_MAX, queue_due_us;

	for (uint16_t q = 0; q < host->queues; q++) {
		queue_due_us = host->next_due(host->self, q);
		if (queue_due_us < due_us)
			due_us = queue_due_us;
	}
	return due_us;
}

/* Turns every queue of a host until all are idle; false: they never are. */
static bool turn_host(struct sim_wire *wire, int at)
{
	struct sim_host *host = &wire->hosts[at];
	uint32_t moved = 1;

	for (uint32_t turns = 0; moved > 0; turns++) {
		if (turns == TURNS_MAX)
			return false;
		moved = 0;
		for (uint16_t q = 0; q < host->queues; q++) {
			moved += host->turn(host->self, q, wire->now_us);
			collect(wire, at, q);
		}
	}
	return true;
}

static bool turn_hosts(struct sim_wire *wire)
{
	for (int i = 0; i < wire->n_hosts; i++) {
		if (!wire->arrived[i] && host_next_due(&wire->hosts[i]) > wire->now_us)
			continue;
		wire->arrived[i] = false;
		if (!turn_host(wire, i))
			return false;
	}
	return true;
}

static uint64_t next_event(const struct sim_wire *wire)
{
	uint64_t event_us = wire->n_frames > 0 ? wire->heap[0]->due_us : UINT64_MAX;

	for (int i = 0; i < wire->n_hosts; i++) {
		uint64_t due_us = host_next_due(&wire->hosts[i]);

		if (due_us < event_us)
			event_us = due_us;
	}
	return event_us;
}

enum sim_end sim_wire_run(struct sim_wire *wire, uint64_t until_us, bool (*done)(void *arg),
			  void *arg)
{
	uint32_t standstill = 0;
	uint64_t event_us;

	for (;;) {
		deliver_due(wire);
		if (!turn_hosts(wire))
			return SIM_LIVELOCK;
		if (done != NULL && done(arg))
			return SIM_DONE;
		event_us = next_event(wire);
		if (event_us == UINT64_MAX)
			return SIM_QUIET;
		if (event_us > wire->now_us)
			standstill = 0;
		else if (++standstill == STANDSTILL_MAX)
			return SIM_LIVELOCK;
		if (event_us >= until_us) {
			wire->now_us = until_us > wire->now_us ? until_us : wire->now_us;
			return SIM_TIME_OVER;
		}
		if (event_us > wire->now_us)
			wire->now_us = event_us;
	}
}
