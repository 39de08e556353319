/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Ports on DPDK's virtual devices: net_null, net_ring (a loop), memif (both ends here).
 *
 * Thread: one, and memif's interrupt thread. Time: deadlines only.
 * Memory: every test ends with its pools full again.
 * Rules: none.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_ethdev.h>

#include "common/eal.h"
#include "support.h"

enum { DEADLINE_US = 10000000 };

static void a_null_device_takes_frames_and_gives_some(void **state)
{
	const struct port_config config = {
		.kind = PORT_VDEV,
		.device = "net_null0,size=100",
		.index = 5,
		.queues = 1,
		.frames = 512,
	};
	struct test_counters c;
	struct port *port = test_port_open(&config, &c);
	struct rte_mbuf *frames[PORT_BURST];

	assert_int_equal(port_caps(port)->mtu, 1500);
	assert_false(port_caps(port)->kernel_shares);
	assert_int_equal(port_rx(port, 0, frames, PORT_BURST), PORT_BURST);
	for (unsigned i = 0; i < PORT_BURST; i++) {
		assert_int_equal(frames[i]->port, 5);
		assert_int_equal(frames[i]->pkt_len, 100);
		assert_ptr_equal(frames[i]->pool, port_pool(port, 0));
	}
	port_tx_take(port, 0, frames, PORT_BURST);
	port_flush(port, 0);
	assert_int_equal(c.counters[0].port_rx_octets, PORT_BURST * 100);
	assert_int_equal(c.counters[0].port_tx_octets, PORT_BURST * 100);
	assert_int_equal(rte_mempool_in_use_count(port_pool(port, 0)), 0);
	port_close(port);
}

static void a_device_that_claims_nothing_gets_no_chains(void **state)
{
	const struct port_config config = {
		.kind = PORT_VDEV,
		.device = "net_null0,size=64",
		.queues = 1,
		.frames = 512,
	};
	struct rte_eth_dev_info info;
	struct test_counters c;
	struct port *port = test_port_open(&config, &c);
	struct rte_mbuf *m;
	uint16_t id;
	bool offered;

	assert_int_equal(rte_eth_dev_get_port_by_name("net_null0", &id), 0);
	assert_int_equal(rte_eth_dev_info_get(id, &info), 0);
	offered = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	assert_int_equal(port_caps(port)->chains, offered);
	m = test_frame_new(port_pool(port, 0),
			   &(struct test_frame){.payload = 900, .segment = 200});
	port_tx_take(port, 0, &m, 1);
	assert_int_equal(c.counters[0].port_tx_linearised, offered ? 0 : 1);
	port_close(port);
}

static void each_queue_of_a_ring_device_loops_by_itself(void **state)
{
	const struct port_config config = {
		.kind = PORT_VDEV,
		.device = "net_ring0",
		.index = 2,
		.queues = 1,
		.frames = 512,
	};
	struct test_counters c;
	struct port *port = test_port_open(&config, &c);
	struct rte_mbuf *sent[3], *got[PORT_BURST];

	assert_true(port_caps(port)->chains);
	assert_false(port_caps(port)->tx_tcp_checksum);
	for (unsigned i = 0; i < 3; i++)
		sent[i] = test_frame_new(port_pool(port, 0),
					 &(struct test_frame){.payload = 900, .segment = 200});
	port_tx_take(port, 0, sent, 3);
	assert_int_equal(port_rx(port, 0, got, PORT_BURST), 0);
	port_flush(port, 0);
	assert_int_equal(port_rx(port, 0, got, PORT_BURST), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_ptr_equal(got[i], sent[i]);
		assert_int_equal(got[i]->port, 2);
	}
	rte_pktmbuf_free_bulk(got, 3);
	assert_int_equal(c.counters[0].port_tx_linearised, 0);
	assert_int_equal(rte_mempool_in_use_count(port_pool(port, 0)), 0);
	port_close(port);
}

static int try_open(const char *device, uint16_t queues, char *error, size_t len)
{
	const struct port_config config = {
		.kind = PORT_VDEV,
		.device = device,
		.queues = queues,
		.frames = 512,
	};
	struct port *port = NULL;
	struct test_counters c;
	int rc;

	test_counters_init(&c);
	rc = port_open(&port, &config, c.pointers, error, len);
	if (rc == 0)
		port_close(port);
	else
		assert_null(port);
	return rc;
}

static void a_device_that_cannot_be_had_is_said_so(void **state)
{
	char error[160] = "";

	assert_true(try_open("net_nosuch0", 1, error, sizeof(error)) < 0);
	assert_non_null(strstr(error, "net_nosuch0"));
	assert_true(try_open("", 1, error, sizeof(error)) < 0);
	assert_true(try_open("net_memif0,role=bogus", 1, error, sizeof(error)) < 0);
	assert_non_null(strstr(error, "net_memif0"));
	/* More queues than the device has; what was opened is closed again. */
	assert_int_equal(try_open("net_ring7", 40, error, sizeof(error)), -ENOSPC);
	assert_non_null(strstr(error, "40 queues"));
	assert_int_equal(rte_eth_dev_count_avail(), 0);
	assert_int_equal(try_open("net_ring8", 1, error, sizeof(error)), 0);
}

static void a_device_is_not_opened_twice_but_again_after_its_close(void **state)
{
	const struct port_config config = {
		.kind = PORT_VDEV, .device = "net_null3", .queues = 1, .frames = 512};
	struct test_counters c;
	struct port *port = test_port_open(&config, &c);
	char error[160] = "";

	assert_int_equal(try_open("net_null3,size=80", 1, error, sizeof(error)), -EEXIST);
	port_close(port);
	assert_int_equal(try_open("net_null3,size=80", 1, error, sizeof(error)), 0);
	assert_int_equal(rte_eth_dev_count_avail(), 0);
}

struct pair {
	char folder[64];
	struct port *ends[2];
	struct test_counters counters[2];
};

static void pair_open(struct pair *p)
{
	static const char *const roles[2] = {"server", "client"};
	char device[160];

	snprintf(p->folder, sizeof(p->folder), "/tmp/postern-port-XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	for (unsigned i = 0; i < 2; i++) {
		const struct port_config config = {
			.kind = PORT_VDEV,
			.device = device,
			.index = (uint8_t)i,
			.queues = 1,
			.frames = 2048,
		};

		snprintf(device, sizeof(device),
			 "net_memif%u,role=%s,socket=%s/s,socket-abstract=no", i, roles[i],
			 p->folder);
		p->ends[i] = test_port_open(&config, &p->counters[i]);
	}
}

static void pair_close(struct pair *p)
{
	char path[80];

	for (unsigned i = 0; i < 2; i++)
		port_close(p->ends[i]);
	snprintf(path, sizeof(path), "%s/s", p->folder);
	unlink(path);
	assert_int_equal(rmdir(p->folder), 0);
}

/* Sends from one end and returns the frame that comes out of the other. */
static struct rte_mbuf *across(struct pair *p, unsigned from, const struct test_frame *frame)
{
	uint64_t give_up = test_now_us() + DEADLINE_US;
	struct rte_mbuf *m = test_frame_new(port_pool(p->ends[from], 0), frame);

	assert_non_null(m);
	port_tx_take(p->ends[from], 0, &m, 1);
	do {
		assert_true(test_now_us() < give_up);
		sched_yield();
		port_flush(p->ends[from], 0);
	} while (port_rx(p->ends[!from], 0, &m, 1) == 0);
	return m;
}

static void memif_carries_frames_both_ways_once_its_peer_is_there(void **state)
{
	struct pair p;

	pair_open(&p);
	/* The first waits in the port until the two ends have found each other. */
	for (unsigned i = 0; i < 200; i++) {
		unsigned from = i & 1;
		const struct test_frame frame = {
			.v6 = i & 2,
			.payload = (uint16_t)(i * 7),
			.segment = i & 4 ? 300 : 0,
			.seed = (uint8_t)i,
		};
		struct rte_mbuf *m = across(&p, from, &frame);
		struct rte_mbuf *same = test_frame_new(port_pool(p.ends[0], 0), &frame);

		assert_int_equal(m->port, !from);
		assert_true(test_frames_equal(m, same));
		rte_pktmbuf_free(m);
		rte_pktmbuf_free(same);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(p.counters[i].counters[0].port_tx_frames, 100);
		assert_int_equal(p.counters[i].counters[0].port_rx_frames, 100);
		assert_int_equal(p.counters[i].counters[0].port_tx_full, 0);
	}
	pair_close(&p);
}

static void memif_does_not_say_how_it_chooses_among_queues(void **state)
{
	char folder[] = "/tmp/postern-port-XXXXXX", device[128], path[64];
	const struct port_config config = {
		.kind = PORT_VDEV, .device = device, .queues = 4, .frames = 512};
	struct test_counters c;
	struct port *port;

	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(device, sizeof(device), "net_memif0,role=server,socket=%s,socket-abstract=no",
		 path);
	port = test_port_open(&config, &c);
	assert_memory_equal(&port_caps(port)->rss, &(struct port_rss){0}, sizeof(struct port_rss));
	port_close(port);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);
}

static void an_idle_port_without_descriptor_sleeps_but_not_long(void **state)
{
	const struct port_config config = {
		.kind = PORT_VDEV, .device = "net_ring0", .queues = 1, .frames = 512};
	struct test_counters c;
	struct port *port = test_port_open(&config, &c);
	uint64_t before = test_now_us(), took;

	for (unsigned i = 0; i < 50; i++)
		port_idle(&port, 1, 0, -1, UINT64_MAX);
	took = test_now_us() - before;
	/* At least what was asked; at most what a crowded machine adds. */
	assert_in_range(took, 50 * PORT_BLIND_SLEEP_US, 5000000);
	port_close(port);
}

static void a_wake_up_given_before_or_without_ports_ends_the_sleep_and_is_drained(void **state)
{
	const struct port_config config = {
		.kind = PORT_VDEV, .device = "net_ring0", .queues = 1, .frames = 512};
	struct test_counters c;
	struct port *port = test_port_open(&config, &c);
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t count = 1;

	for (unsigned with_port = 0; with_port < 2; with_port++) {
		count = 1;
		assert_int_equal(write(fd, &count, sizeof(count)), sizeof(count));
		/* Without the wake-up it would not return. */
		port_idle(&port, with_port, 0, fd, UINT64_MAX);
		assert_int_equal(read(fd, &count, sizeof(count)), -1);
		assert_int_equal(errno, EAGAIN);
	}
	close(fd);
	port_close(port);
}

static void an_idle_turn_without_ports_ends_in_time(void **state)
{
	uint64_t before = test_now_us();

	port_idle(NULL, 0, 0, -1, 30000);
	assert_true(test_now_us() - before >= 30000);
	port_idle(NULL, 0, 0, -1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_null_device_takes_frames_and_gives_some),
		cmocka_unit_test(a_device_that_claims_nothing_gets_no_chains),
		cmocka_unit_test(each_queue_of_a_ring_device_loops_by_itself),
		cmocka_unit_test(a_device_that_cannot_be_had_is_said_so),
		cmocka_unit_test(a_device_is_not_opened_twice_but_again_after_its_close),
		cmocka_unit_test(memif_carries_frames_both_ways_once_its_peer_is_there),
		cmocka_unit_test(memif_does_not_say_how_it_chooses_among_queues),
		cmocka_unit_test(an_idle_port_without_descriptor_sleeps_but_not_long),
		cmocka_unit_test(
			a_wake_up_given_before_or_without_ports_ends_the_sleep_and_is_drained),
		cmocka_unit_test(an_idle_turn_without_ports_ends_in_time),
	};

	alarm(50);
	test_eal_start("port");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
