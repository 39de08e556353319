/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TAP port against the kernel's own TCP, in a network of the test's own: the kernel answers a
 * segment of no connection by a reset, and only when the checksums are right.
 *
 * Thread: one, and one that sends to a sleeper. Time: deadlines only.
 * Memory: the EAL's.
 * Rules: skipped where namespaces or TAP devices are not to be had.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>

#include "common/eal.h"
#include "support.h"

enum { DEADLINE_US = 10000000 };

static struct port *tap_open(struct test_counters *c)
{
	const struct port_config config = {
		.kind = PORT_VDEV,
		.device = "net_tap0,iface=ptap0,mac=02:00:00:00:00:02",
		.index = 4,
		.queues = 1,
		.frames = 1024,
	};
	struct port *port = test_port_open(&config, c);

	assert_true(test_command("ip addr add 10.0.0.2/24 dev ptap0 && ip link set ptap0 up"));
	return port;
}

static struct rte_mbuf *receive(struct port *port, uint16_t ether_type)
{
	uint64_t give_up = test_now_us() + DEADLINE_US;
	struct rte_mbuf *m;

	for (;;) {
		assert_true(test_now_us() < give_up);
		if (port_rx(port, 0, &m, 1) == 0)
			continue;
		if (rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->ether_type == htons(ether_type))
			return m;
		rte_pktmbuf_free(m);
	}
}

static void send_frame(struct port *port, const struct test_frame *frame)
{
	struct rte_mbuf *m = test_frame_new(port_pool(port, 0), frame);

	assert_non_null(m);
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
}

static void answer_arp_take(struct port *port, struct rte_mbuf *m)
{
	struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(eth + 1);
	const struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 1}};
	uint32_t asked = arp->arp_data.arp_tip;

	assert_int_equal(arp->arp_opcode, htons(RTE_ARP_OP_REQUEST));
	arp->arp_opcode = htons(RTE_ARP_OP_REPLY);
	arp->arp_data.arp_tha = arp->arp_data.arp_sha;
	arp->arp_data.arp_tip = arp->arp_data.arp_sip;
	arp->arp_data.arp_sha = mac;
	arp->arp_data.arp_sip = asked;
	eth->dst_addr = eth->src_addr;
	eth->src_addr = mac;
	port_tx_take(port, 0, &m, 1);
	port_flush(port, 0);
}

static void kernel_sends(uint16_t udp_port)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(udp_port),
		.sin_addr.s_addr = htonl(0x0a000001),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(sendto(fd, "hello", 5, 0, (const struct sockaddr *)&to, sizeof(to)), 5);
	close(fd);
}

static void the_kernel_finds_us_and_its_datagram_arrives(void **state)
{
	struct test_counters c;
	struct port *port = tap_open(&c);
	struct rte_mbuf *m;

	assert_memory_equal(port_caps(port)->mac, "\x02\0\0\0\0\x02", 6);
	assert_int_equal(port_caps(port)->mtu, 1500);
	kernel_sends(9);
	answer_arp_take(port, receive(port, RTE_ETHER_TYPE_ARP));
	m = receive(port, RTE_ETHER_TYPE_IPV4);
	assert_int_equal(m->port, 4);
	assert_int_equal(m->pkt_len, 14 + 20 + 8 + 5);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, char *, 42), "hello", 5);
	rte_pktmbuf_free(m);
	port_close(port);
}

/* The kernel's reset, which quotes in its sequence number what we acknowledged. */
static void assert_reset(struct port *port)
{
	struct rte_mbuf *m = receive(port, RTE_ETHER_TYPE_IPV4);
	const struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, 34);

	assert_int_equal(rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14)->next_proto_id,
			 IPPROTO_TCP);
	assert_true(tcp->tcp_flags & RTE_TCP_RST_FLAG);
	if (port_caps(port)->rx_checksum)
		assert_int_equal(m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK,
				 RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	rte_pktmbuf_free(m);
}

static void the_kernel_believes_the_checksums_a_device_computes(void **state)
{
	struct test_counters c;
	struct port *port = tap_open(&c);
	unsigned sent = 0;

	assert_true(port_caps(port)->tx_tcp_checksum && port_caps(port)->tx_ipv4_checksum);
	/* The driver would take chains, but sums those of odd segments wrongly. */
	assert_false(port_caps(port)->chains);
	assert_true(test_command("ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev ptap0"));
	for (unsigned i = 0; i < 60; i++) {
		const struct test_frame frame = {
			.payload = (uint16_t)(i * 23),
			.segment = i & 1 ? 333 : 0,
			.request_checksums = i % 3,
			.seed = (uint8_t)i,
		};

		send_frame(port, &frame);
		assert_reset(port);
		sent++;
	}
	/* A wrong one is not answered: of these two, one reset comes. */
	{
		struct rte_mbuf *m =
			test_frame_new(port_pool(port, 0), &(struct test_frame){.payload = 4});

		*rte_pktmbuf_mtod_offset(m, uint8_t *, 54) ^= 1;
		port_tx_take(port, 0, &m, 1);
	}
	send_frame(port, &(struct test_frame){.payload = 4});
	assert_reset(port);
	assert_int_equal(c.counters[0].port_tx_frames, sent + 2);
	kernel_sends(9);
	rte_pktmbuf_free(receive(port, RTE_ETHER_TYPE_IPV4));
	assert_true(c.counters[0].port_tx_linearised > 0);
	port_close(port);
}

static void *send_later(void *arg)
{
	usleep(30000);
	kernel_sends(9);
	return NULL;
}

static void an_idle_queue_sleeps_until_a_frame_comes(void **state)
{
	enum { QUIET_US = 100000, CALLS = 20 };
	struct test_counters c;
	struct port *port = tap_open(&c);
	unsigned calls = 0;
	struct rte_mbuf *m;
	pthread_t sender;
	uint64_t before;

	assert_true(test_command("ip neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev ptap0"));
	kernel_sends(9);
	rte_pktmbuf_free(receive(port, RTE_ETHER_TYPE_IPV4));
	while (port_rx(port, 0, &m, 1) > 0)
		rte_pktmbuf_free(m);
	before = test_now_us();
	port_idle(&port, 1, 0, -1, QUIET_US);
	assert_true(test_now_us() - before >= QUIET_US);

	assert_int_equal(pthread_create(&sender, NULL, send_later, NULL), 0);
	while (port_rx(port, 0, &m, 1) == 0) {
		port_idle(&port, 1, 0, -1, UINT64_MAX);
		calls++;
	}
	pthread_join(sender, NULL);
	assert_in_range(calls, 1, CALLS);
	rte_pktmbuf_free(m);
	port_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernel_finds_us_and_its_datagram_arrives),
		cmocka_unit_test(the_kernel_believes_the_checksums_a_device_computes),
		cmocka_unit_test(an_idle_queue_sleeps_until_a_frame_comes),
	};
	int fd = open("/dev/net/tun", O_RDWR);

	if (fd < 0)
		test_skip("no TAP device can be had");
	close(fd);
	alarm(50);
	test_private_network();
	test_eal_start("port");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
