/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AF_XDP ports, on a veth pair in a network of the test's own.
 *
 * Thread: one, and one that sends to a sleeper. Time: deadlines only.
 * Memory: the driver keeps up to a ring of buffers each way until its close.
 * Rules: skipped where namespaces, veth or XDP are not to be had.
 */
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_mempool.h>

#include "common/eal.h"
#include "common/veth.h"
#include "support.h"

enum {
	DEADLINE_US = 10000000,
	FRAMES = 3072,
	OCTETS_MAX = 4096,
};

static const char *program_path;

struct bed {
	struct veth veth;
	struct port *port;
	struct test_counters counters;
	struct rte_mempool *pool; /* of nobody's queue */
};

static struct port_config config_of(const struct bed *b, uint16_t queues)
{
	return (struct port_config){
		.kind = PORT_AF_XDP,
		.device = b->veth.ours,
		.index = 6,
		.queues = queues,
		.frames = FRAMES,
	};
}

static void bed_open(struct bed *b, uint16_t queues, uint16_t mtu)
{
	struct port_config config;

	assert_true(veth_new(&b->veth, queues, mtu));
	assert_true(veth_attach(&b->veth, program_path));
	config = config_of(b, queues);
	b->port = test_port_open(&config, &b->counters);
	b->pool = rte_pktmbuf_pool_create("foreign", 255, 0, 0, OCTETS_MAX, SOCKET_ID_ANY);
	assert_non_null(b->pool);
}

static void bed_close(struct bed *b)
{
	port_close(b->port);
	assert_int_equal(rte_mempool_in_use_count(b->pool), 0);
	rte_mempool_free(b->pool);
	veth_free(&b->veth);
}

static void peer_sends(const struct bed *b, const struct rte_mbuf *m)
{
	uint8_t space[OCTETS_MAX];
	uint32_t len = rte_pktmbuf_pkt_len(m);
	const void *octets = rte_pktmbuf_read(m, 0, len, space);

	assert_int_equal(send(b->veth.raw, octets, len, 0), len);
}

static void peer_sends_frame(const struct bed *b, const struct test_frame *frame)
{
	struct rte_mbuf *m = test_frame_new(b->pool, frame);

	peer_sends(b, m);
	rte_pktmbuf_free(m);
}

static struct rte_mbuf *receive(struct bed *b, uint16_t queue)
{
	uint64_t give_up = test_now_us() + DEADLINE_US;
	struct rte_mbuf *m;

	while (port_rx(b->port, queue, &m, 1) == 0)
		assert_true(test_now_us() < give_up);
	return m;
}

/* The next frame at the peer is m's octets, whatever m is made of. */
static void assert_peer_gets(const struct bed *b, const struct rte_mbuf *m)
{
	uint8_t got[OCTETS_MAX], space[OCTETS_MAX];
	struct pollfd fd = {.fd = b->veth.raw, .events = POLLIN};
	ssize_t len;

	assert_int_equal(poll(&fd, 1, DEADLINE_US / 1000), 1);
	len = recv(b->veth.raw, got, sizeof(got), 0);
	assert_int_equal(len, rte_pktmbuf_pkt_len(m));
	assert_memory_equal(got, rte_pktmbuf_read(m, 0, (uint32_t)len, space), (size_t)len);
}

static void address_and_mtu_are_those_of_the_kernels_interface(void **state)
{
	struct bed b;

	bed_open(&b, 1, 1400);
	assert_memory_equal(port_caps(b.port)->mac, "\x02\0\0\0\0\x02", 6);
	assert_int_equal(port_caps(b.port)->mtu, 1400);
	assert_true(port_caps(b.port)->kernel_shares);
	assert_false(port_caps(b.port)->chains);
	assert_false(port_caps(b.port)->tx_tcp_checksum);
	assert_false(port_caps(b.port)->rx_checksum);
	bed_close(&b);
}

static void frames_pass_both_ways_at_every_size(void **state)
{
	static const uint16_t mtus[] = {1500, 3498};

	for (unsigned k = 0; k < RTE_DIM(mtus); k++) {
		struct bed b;

		bed_open(&b, 1, mtus[k]);
		assert_int_equal(port_caps(b.port)->mtu, mtus[k]);
		for (unsigned i = 0; i < 300; i++) {
			const struct test_frame frame = {
				.payload = (uint16_t)(i < 299 ? i * (mtus[k] - 40u) / 299
							      : mtus[k] - 40u),
				.seed = (uint8_t)i,
			};
			struct rte_mbuf *same = test_frame_new(b.pool, &frame), *m;

			peer_sends(&b, same);
			m = receive(&b, 0);
			assert_int_equal(m->port, 6);
			assert_true(test_frames_equal(m, same));
			port_tx_take(b.port, 0, &m, 1);
			port_flush(b.port, 0);
			assert_peer_gets(&b, same);
			rte_pktmbuf_free(same);
		}
		assert_int_equal(b.counters.counters[0].port_rx_frames, 300);
		assert_int_equal(b.counters.counters[0].port_tx_frames, 300);
		assert_int_equal(b.counters.counters[0].port_tx_linearised, 0);
		bed_close(&b);
	}
}

static void an_mtu_beyond_what_a_buffer_takes_is_cut_to_that(void **state)
{
	struct bed b;

	assert_true(veth_new(&b.veth, 1, 3506));
	if (veth_attach(&b.veth, program_path)) {
		struct port_config config = config_of(&b, 1);

		b.port = test_port_open(&config, &b.counters);
		assert_int_equal(port_caps(b.port)->mtu, 3498);
		port_close(b.port);
	}
	veth_free(&b.veth);
}

/* Chained, shared, another pool's, in external memory, a clone: each must reach the wire whole
 * and leave its original alone. */
static void whatever_a_frame_is_made_of_it_is_sent_whole(void **state)
{
	const struct test_frame plain = {.payload = 700, .seed = 3},
				chained = {.payload = 1400, .segment = 201, .seed = 9};
	struct rte_mbuf *m, *keep;
	struct bed b;

	bed_open(&b, 1, 1500);

	m = test_frame_new(port_pool(b.port, 0), &chained);
	keep = test_frame_new(b.pool, &chained);
	assert_true(m->nb_segs > 1);
	port_tx_take(b.port, 0, &m, 1);
	port_flush(b.port, 0);
	assert_peer_gets(&b, keep);
	rte_pktmbuf_free(keep);
	assert_int_equal(b.counters.counters[0].port_tx_linearised, 1);

	/* Another pool's, and shared: we keep it for a retransmission. */
	keep = m = test_frame_new(b.pool, &plain);
	rte_mbuf_refcnt_update(keep, 1);
	port_tx_take(b.port, 0, &m, 1);
	assert_int_equal(rte_mbuf_refcnt_read(keep), 1);
	port_flush(b.port, 0);
	assert_peer_gets(&b, keep);
	rte_pktmbuf_free(keep);

	/* Our own pool's, but shared. */
	keep = m = test_frame_new(port_pool(b.port, 0), &plain);
	rte_mbuf_refcnt_update(keep, 1);
	port_tx_take(b.port, 0, &m, 1);
	assert_int_equal(rte_mbuf_refcnt_read(keep), 1);
	port_flush(b.port, 0);
	assert_peer_gets(&b, keep);

	/* A clone out of our own pool. */
	m = rte_pktmbuf_clone(keep, port_pool(b.port, 0));
	assert_true(RTE_MBUF_CLONED(m));
	port_tx_take(b.port, 0, &m, 1);
	assert_int_equal(rte_mbuf_refcnt_read(keep), 1);
	port_flush(b.port, 0);
	assert_peer_gets(&b, keep);
	rte_pktmbuf_free(keep);

	assert_int_equal(b.counters.counters[0].port_tx_linearised, 1);
	bed_close(&b);
}

static void nothing_leaks_over_many_bursts(void **state)
{
	enum { ROUNDS = 400, BURST = 16 };
	struct rte_mbuf *frames[PORT_BURST];
	struct bed b;
	unsigned echoed = 0;

	bed_open(&b, 1, 1500);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t give_up = test_now_us() + DEADLINE_US;
		unsigned here = 0;

		for (unsigned i = 0; i < BURST; i++)
			peer_sends_frame(&b, &(struct test_frame){.payload = (uint16_t)round});
		while (here < BURST) {
			uint16_t n = port_rx(b.port, 0, frames, PORT_BURST);

			port_tx_take(b.port, 0, frames, n);
			port_flush(b.port, 0);
			here += n;
			assert_true(test_now_us() < give_up);
		}
		echoed += here;
		for (unsigned i = 0; i < BURST; i++) {
			struct rte_mbuf *same = test_frame_new(
				b.pool, &(struct test_frame){.payload = (uint16_t)round});

			assert_peer_gets(&b, same);
			rte_pktmbuf_free(same);
		}
	}
	/* More frames than there are buffers went through, twice over. */
	assert_true(echoed >= 2 * FRAMES);
	assert_int_equal(b.counters.counters[0].port_tx_frames, echoed);
	assert_int_equal(b.counters.counters[0].port_no_buffer, 0);
	bed_close(&b);
}

static void what_the_program_passes_stays_the_kernels(void **state)
{
	struct rte_mbuf *m;
	struct bed b;

	bed_open(&b, 1, 1500);
	peer_sends_frame(&b, &(struct test_frame){.v6 = true, .payload = 1});
	peer_sends_frame(&b, &(struct test_frame){.payload = 2});
	m = receive(&b, 0);
	assert_int_equal(m->pkt_len, 54 + 2);
	rte_pktmbuf_free(m);
	assert_int_equal(port_rx(b.port, 0, &m, 1), 0);
	assert_true(test_command("test $(cat /proc/net/dev | grep %s | tr : ' ' | "
				 "awk '{print $3}') -ge 1",
				 b.veth.ours));
	bed_close(&b);
}

static void each_queue_gets_its_own_frames(void **state)
{
	enum { SENT = 64 };
	unsigned got[2] = {0}, total = 0;
	uint64_t give_up;
	struct bed b;

	bed_open(&b, 2, 1500);
	/* How a veth chooses the queue it does not say. */
	assert_memory_equal(&port_caps(b.port)->rss, &(struct port_rss){0},
			    sizeof(struct port_rss));
	for (unsigned i = 0; i < SENT; i++) {
		struct rte_mbuf *m = test_frame_new(b.pool, &(struct test_frame){.payload = 9});

		/* Another source port, another flow. */
		*rte_pktmbuf_mtod_offset(m, uint8_t *, 35) = (uint8_t)i;
		peer_sends(&b, m);
		rte_pktmbuf_free(m);
	}
	give_up = test_now_us() + DEADLINE_US;
	while (total < SENT) {
		for (uint16_t q = 0; q < 2; q++) {
			struct rte_mbuf *m;

			if (port_rx(b.port, q, &m, 1) == 0)
				continue;
			assert_ptr_equal(m->pool, port_pool(b.port, q));
			got[q]++;
			total++;
			port_tx_take(b.port, q, &m, 1);
			port_flush(b.port, q);
		}
		assert_true(test_now_us() < give_up);
	}
	assert_true(got[0] > 0 && got[1] > 0);
	assert_int_equal(b.counters.counters[0].port_rx_frames, got[0]);
	assert_int_equal(b.counters.counters[1].port_tx_frames, got[1]);
	bed_close(&b);
}

static void a_port_can_be_opened_again_after_its_close(void **state)
{
	struct bed b;

	bed_open(&b, 1, 1500);
	for (unsigned i = 0; i < 3; i++) {
		struct port_config config = config_of(&b, 1);

		port_close(b.port);
		b.port = test_port_open(&config, &b.counters);
		peer_sends_frame(&b, &(struct test_frame){.payload = (uint16_t)i});
		rte_pktmbuf_free(receive(&b, 0));
	}
	bed_close(&b);
}

static int try_open(const struct port_config *config, char *error, size_t len)
{
	struct test_counters c;
	struct port *port = NULL;
	int rc;

	test_counters_init(&c);
	rc = port_open(&port, config, c.pointers, error, len);
	assert_true(rc < 0);
	assert_null(port);
	return rc;
}

static void an_interface_not_fit_is_refused_with_a_sentence(void **state)
{
	struct port_config config;
	char error[128];
	struct bed b;

	assert_true(veth_new(&b.veth, 1, 1500));
	config = config_of(&b, 1);
	assert_int_equal(try_open(&config, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "no XDP program is attached"));
	config.frames = 1000;
	assert_int_equal(try_open(&config, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "1000 buffers a queue"));
	config.frames = 0;
	test_command("ip link set %s down", b.veth.ours);
	assert_int_equal(try_open(&config, error, sizeof(error)), -ENETDOWN);
	assert_non_null(strstr(error, "is down"));
	config.device = "nosuch0";
	assert_int_equal(try_open(&config, error, sizeof(error)), -ENODEV);
	assert_non_null(strstr(error, "nosuch0"));
	config.device = "lo";
	assert_int_equal(try_open(&config, error, sizeof(error)), -EINVAL);
	config.device = "a,xdp_prog=b";
	assert_int_equal(try_open(&config, error, sizeof(error)), -EINVAL);
	veth_free(&b.veth);
}

static bool drop_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) != 0)
		return false;
	data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	return syscall(SYS_capset, &header, data) == 0;
}

static void the_capability_that_is_missing_is_named(void **state)
{
	struct port_config config;
	char error[128] = "";
	struct bed b;
	int status;
	pid_t pid;

	assert_true(veth_new(&b.veth, 1, 1500));
	assert_true(veth_attach(&b.veth, program_path));
	config = config_of(&b, 1);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		bool named = drop_sys_admin() &&
			     try_open(&config, error, sizeof(error)) == -EPERM &&
			     strstr(error, "CAP_SYS_ADMIN");

		if (!named)
			fprintf(stderr, "'%s'\n", error);
		_exit(named ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	veth_free(&b.veth);
}

/* What an operator sees on a terminal is ours to say. */
static void a_good_start_says_nothing(void **state)
{
	int said = memfd_create("stderr", MFD_CLOEXEC), own = dup(STDERR_FILENO);
	char text[1024] = "";
	struct bed b;

	assert_true(said >= 0 && own >= 0);
	fflush(stderr);
	dup2(said, STDERR_FILENO);
	bed_open(&b, 2, 1500);
	fflush(stderr);
	dup2(own, STDERR_FILENO);
	close(own);
	assert_true(pread(said, text, sizeof(text) - 1, 0) >= 0);
	close(said);
	assert_string_equal(text, "");
	bed_close(&b);
}

static void a_queue_the_interface_lacks_is_refused(void **state)
{
	struct port_config config;
	char error[128];
	struct bed b;

	assert_true(veth_new(&b.veth, 1, 1500));
	assert_true(veth_attach(&b.veth, program_path));
	config = config_of(&b, 2);
	try_open(&config, error, sizeof(error));
	assert_non_null(strstr(error, b.veth.ours));
	/* And the queue that could be opened is free again. */
	config.queues = 1;
	b.port = test_port_open(&config, &b.counters);
	port_close(b.port);
	veth_free(&b.veth);
}

static void *send_later(void *arg)
{
	usleep(30000);
	peer_sends_frame(arg, &(struct test_frame){.payload = 5});
	return NULL;
}

static void an_idle_queue_sleeps_until_a_frame_comes(void **state)
{
	enum { QUIET_US = 100000, CALLS = 10 };
	unsigned calls = 0;
	struct rte_mbuf *m;
	pthread_t sender;
	uint64_t before;
	struct bed b;

	bed_open(&b, 1, 1500);
	/* One that is there already ends the sleep, and nothing else would. */
	peer_sends_frame(&b, &(struct test_frame){.payload = 5});
	port_idle(&b.port, 1, 0, -1, UINT64_MAX);
	rte_pktmbuf_free(receive(&b, 0));

	assert_int_equal(port_rx(b.port, 0, &m, 1), 0);
	before = test_now_us();
	port_idle(&b.port, 1, 0, -1, QUIET_US);
	assert_true(test_now_us() - before >= QUIET_US);

	assert_int_equal(pthread_create(&sender, NULL, send_later, &b), 0);
	while (port_rx(b.port, 0, &m, 1) == 0) {
		port_idle(&b.port, 1, 0, -1, UINT64_MAX);
		calls++;
	}
	pthread_join(sender, NULL);
	assert_in_range(calls, 1, CALLS);
	rte_pktmbuf_free(m);
	bed_close(&b);
}

static bool can_run(void)
{
	struct veth v;
	bool can = veth_new(&v, 1, 1500) && veth_attach(&v, program_path);

	if (v.link || v.raw >= 0)
		veth_free(&v);
	return can;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_and_mtu_are_those_of_the_kernels_interface),
		cmocka_unit_test(frames_pass_both_ways_at_every_size),
		cmocka_unit_test(an_mtu_beyond_what_a_buffer_takes_is_cut_to_that),
		cmocka_unit_test(whatever_a_frame_is_made_of_it_is_sent_whole),
		cmocka_unit_test(nothing_leaks_over_many_bursts),
		cmocka_unit_test(what_the_program_passes_stays_the_kernels),
		cmocka_unit_test(each_queue_gets_its_own_frames),
		cmocka_unit_test(a_port_can_be_opened_again_after_its_close),
		cmocka_unit_test(an_interface_not_fit_is_refused_with_a_sentence),
		cmocka_unit_test(the_capability_that_is_missing_is_named),
		cmocka_unit_test(a_good_start_says_nothing),
		cmocka_unit_test(a_queue_the_interface_lacks_is_refused),
		cmocka_unit_test(an_idle_queue_sleeps_until_a_frame_comes),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s PROGRAM.o\n", argv[0]);
		return 2;
	}
	program_path = argv[1];
	alarm(100);
	test_private_network();
	if (!can_run())
		test_skip("no veth with an XDP program can be had");
	test_eal_start("port");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
