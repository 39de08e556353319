/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data plane as a whole, on loops of DPDK's rings: starting, failing to, publishing, stopping.
 *
 * Thread: the test is control; two workers on lcores of their own. Time: deadlines only.
 * Memory: every start that fails leaves the process as it was.
 * Rules: all lcores share a CPU, so that any machine will do.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mempool.h>

#include "common/network.h"
#include "postern/dataplane.h"
#include "worker/worker.h"

enum {
	WORKERS = 2,
	DEADLINE_US = 20 * 1000 * 1000,
	SNAPSHOTS = 100,
	ASLEEP_US = 50 * 1000,	/* without a turn */
	PROMPT_US = 400 * 1000, /* much less than a worker sleeps by itself */
	SKIPPED = 77,
	PORT = 25,
};

/* --- services -------------------------------------------------------------------------------- */

struct service {
	struct worker *worker;
	struct ip_addr to; /* asks for it each turn */
	bool asks;
};

struct plan {
	atomic_uint starts, stops;
	unsigned fail_at; /* the n-th start fails; 0: none */
	bool asks;
	/* What each worker finds in its recipients. */
	const struct recipients *_Atomic recipients[WORKERS];
	atomic_uint known[WORKERS];
};

static void *service_start(struct worker *w, void *config)
{
	const uint8_t far[4] = {192, 0, 2, 1};
	struct plan *plan = config;
	struct service *s;

	if (++plan->starts == plan->fail_at)
		return NULL;
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	*s = (struct service){w, ip_addr_from_v4(far), plan->asks};
	return s;
}

static void service_run(void *state, struct tcp_conn *conn, unsigned news, uint64_t now_us)
{
}

static struct plan plan;

static const struct recipient_address somebody = {"user", "example.net", 4, 11};

static void look_up(const struct service *s)
{
	const struct recipients *r = worker_recipients(s->worker);
	struct recipient_answer answer = {0};

	if (r)
		recipients_find(r, &somebody, 1, &answer);
	plan.known[worker_index(s->worker)] = answer.finding == RECIPIENT_KNOWN;
	plan.recipients[worker_index(s->worker)] = r;
}

static uint64_t service_turn(void *state, uint64_t now_us)
{
	struct service *s = state;
	struct tcp_conn *conn;

	look_up(s);

	if (!s->asks)
		return UINT64_MAX;
	worker_connect(s->worker, &s->to, PORT, &conn);
	return now_us;
}

static void service_stop(void *state)
{
	plan.stops++;
	free(state);
}

static const struct worker_service service = {
	.name = "test",
	.start = service_start,
	.run = service_run,
	.turn = service_turn,
	.stop = service_stop,
};

/* --- what a start needs ---------------------------------------------------------------------- */

static struct dataplane_config config_of(const char *first, const char *second)
{
	const uint8_t octets[4] = {10, 0, 0, 1};
	struct dataplane_config config = {
		.n_workers = WORKERS,
		.n_interfaces = second ? 2 : 1,
		.n_listen = 1,
		.listen = {PORT},
		.active_first = 20000,
		.active_last = 20999,
		.conns = 64,
		.receive_window = 65536,
		.send_queue = 65536,
		.buffers = 1024,
		.only_owner = -1,
		.service = &service,
		.service_config = &plan,
	};

	for (uint32_t i = 0; i < config.n_interfaces; i++) {
		struct dataplane_interface *interface = &config.interfaces[i];

		interface->kind = DATAPLANE_VDEV;
		interface->device = i ? second : first;
		interface->n_addresses = 1;
		interface->addresses[0] = ip_addr_from_v4(octets);
		interface->addresses[0].octets[14] = (uint8_t)i;
	}
	plan = (struct plan){0};
	return config;
}

/* What a start that failed must give back. */
struct held {
	unsigned fds, pools, devices;
};

static void count_pool(struct rte_mempool *pool, void *arg)
{
	struct held *held = arg;

	held->pools++;
}

static struct held held_now(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct held held = {0};

	assert_non_null(dir);
	while (readdir(dir))
		held.fds++;
	closedir(dir);
	rte_mempool_walk(count_pool, &held);
	held.devices = rte_eth_dev_count_avail();
	return held;
}

static void assert_held(const struct held *before)
{
	struct held now = held_now();

	assert_int_equal(now.fds, before->fds);
	assert_int_equal(now.pools, before->pools);
	assert_int_equal(now.devices, before->devices);
	assert_int_equal(plan.starts - (plan.fail_at ? 1 : 0), plan.stops);
}

static void start_fails(const struct dataplane_config *config, int code, const char *sentence)
{
	struct held before = held_now();
	struct dataplane *dp = NULL;
	char error[256] = "";
	int rc = dataplane_start(&dp, config, error, sizeof(error));

	if (rc >= 0)
		dataplane_stop(dp);
	assert_int_equal(rc, code);
	assert_null(dp);
	if (!strstr(error, sentence))
		fail_msg("'%s' does not say '%s'", error, sentence);
	assert_held(&before);
}

static struct dataplane *start(const struct dataplane_config *config)
{
	struct dataplane *dp;
	char error[256];

	if (dataplane_start(&dp, config, error, sizeof(error)))
		fail_msg("%s", error);
	return dp;
}

/* --- starting -------------------------------------------------------------------------------- */

static void impossible_configurations_are_refused(void **state)
{
	struct dataplane_config config = config_of("net_ring0", NULL);
	const struct dataplane_config good = config;

	config.n_interfaces = 0;
	start_fails(&config, -EINVAL, "interfaces");
	for (uint32_t n = DATAPLANE_INTERFACES_MAX + 1; n < 100000; n *= 7) {
		config = good;
		config.n_interfaces = n;
		start_fails(&config, -EINVAL, "interfaces");
	}
	config = good;
	config.interfaces[0].n_addresses = 0;
	start_fails(&config, -EINVAL, "net_ring0 has no IP address");
	config.interfaces[0].n_addresses = DATAPLANE_ADDRESSES_MAX + 1;
	start_fails(&config, -EINVAL, "net_ring0 has 33 IP addresses");
	config.interfaces[0].n_addresses = UINT32_MAX;
	start_fails(&config, -EINVAL, "IP addresses");
	config = good;
	config.n_listen = DATAPLANE_LISTEN_MAX + 1;
	start_fails(&config, -EINVAL, "ports to listen on");
	config = good;
	config.n_workers = 0;
	start_fails(&config, -EINVAL, "workers");
	config.n_workers = WORKERS + 1;
	start_fails(&config, -EINVAL, "workers");
	config = good;
	config.only_owner = WORKERS;
	start_fails(&config, -EINVAL, "worker");
	config = good;
	config.active_last = config.active_first;
	start_fails(&config, -EINVAL, "source ports");
	config.active_last = (uint16_t)(config.active_first - 1);
	start_fails(&config, -EINVAL, "source ports");
}

static void start_that_fails_half_way_leaves_nothing(void **state)
{
	struct dataplane_config config = config_of("net_ring1", "net_nonsense1");

	start_fails(&config, -EFAULT, "net_nonsense1");
	config = config_of("net_ring1", "net_ring1");
	start_fails(&config, -EEXIST, "net_ring1");
	config = config_of("net_ring1", "net_ring2");
	plan.fail_at = 1;
	start_fails(&config, -ENOMEM, "service");
	config = config_of("net_ring1", "net_ring2");
	plan.fail_at = 2;
	start_fails(&config, -ENOMEM, "service");
	config = config_of("net_ring1", "net_ring2");
	config.buffers = 200000;
	start_fails(&config, -ENOMEM, "buffers");
	config = config_of("net_ring1", "net_ring2");
	config.interfaces[1].mtu = 9000;
	start_fails(&config, -EINVAL, "interface net_ring2 has an MTU of 1500, not 9000");
	dataplane_stop(NULL);
}

static int wait_for_word(void *arg)
{
	const atomic_bool *word = arg;

	while (!atomic_load(word))
		sched_yield();
	return 0;
}

static void busy_lcore_is_refused_and_the_other_worker_stopped(void **state)
{
	const struct dataplane_config config = config_of("net_ring3", NULL);
	unsigned first = rte_get_next_lcore(-1, 1, 0);
	unsigned second = rte_get_next_lcore(first, 1, 0);
	atomic_bool word = false;

	assert_int_equal(rte_eal_remote_launch(wait_for_word, &word, second), 0);
	start_fails(&config, -EBUSY, "launching a worker");
	atomic_store(&word, true);
	rte_eal_wait_lcore(second);
	dataplane_stop(start(&config));
}

static void what_was_stopped_starts_again(void **state)
{
	const struct dataplane_config config = config_of("net_ring4", "net_ring5");
	struct held before = held_now();

	for (int i = 0; i < 3; i++) {
		struct dataplane *dp = start(&config);

		dataplane_halt(dp);
		dataplane_halt(dp);
		dataplane_stop(dp);
	}
	assert_held(&before);
}

/* It fills both queues with frames that are nothing to us. */
static void device_that_says_how_it_spreads_starts_and_stops(void **state)
{
	const struct dataplane_config config = config_of("net_null0,size=64", NULL);
	struct held before = held_now();

	for (int i = 0; i < 3; i++) {
		uint64_t give_up = test_now_us() + DEADLINE_US;
		struct dataplane *dp = start(&config);
		struct postern_counters sum;

		do {
			dataplane_counters(dp, &sum);
			assert_true(test_now_us() < give_up);
			sched_yield();
		} while (sum.net_not_ours < 1000);
		assert_int_equal(sum.steering_agreed + sum.steering_disagreed, 0);
		dataplane_stop(dp);
	}
	assert_held(&before);
}

/* --- while it runs --------------------------------------------------------------------------- */

static struct routes *default_by_gateway(uint16_t number)
{
	const uint8_t any[4] = {0};
	const uint8_t gateway[4] = {10, 0, (uint8_t)(number >> 8), (uint8_t)number};
	struct routes *r = routes_new(1, 0);

	assert_non_null(r);
	r->routes[r->n_routes++] = (struct route){
		.prefix = ip_addr_from_v4(any),
		.prefix_len = 96,
		.gateway = ip_addr_from_v4(gateway),
	};
	return r;
}

/* What the workers ask for, by the route they read; true when it is the last snapshot's. */
static bool asked_for(struct dataplane *dp, uint16_t number)
{
	struct ip_addr next_hop;
	uint8_t port;

	if (!dataplane_next_unresolved(dp, &next_hop, &port))
		return false;
	assert_int_equal(port, 0);
	assert_int_equal(next_hop.octets[12], 10);
	assert_in_range(next_hop.octets[14] << 8 | next_hop.octets[15], 0, number);
	return (next_hop.octets[14] << 8 | next_hop.octets[15]) == number;
}

static void routes_are_replaced_under_running_workers(void **state)
{
	struct dataplane_config config = config_of("net_ring6", NULL);
	uint64_t give_up = test_now_us() + DEADLINE_US;
	struct dataplane *dp;

	plan.asks = true;
	dp = start(&config);
	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		dataplane_publish_routes_take(dp, default_by_gateway((uint16_t)i));
		asked_for(dp, (uint16_t)i);
	}
	while (!asked_for(dp, SNAPSHOTS - 1))
		assert_true(test_now_us() < give_up);
	dataplane_publish_routes_take(dp, NULL);
	dataplane_stop(dp);
}

static void publishing_waits_for_nobody_who_sleeps_or_was_halted(void **state)
{
	const struct dataplane_config config = config_of("net_ring7", NULL);
	uint64_t give_up = test_now_us() + DEADLINE_US;
	struct dataplane *dp = start(&config);
	struct postern_counters sum;

	do {
		dataplane_counters(dp, &sum);
		assert_true(test_now_us() < give_up);
	} while (sum.worker_sleeps < 10);
	for (unsigned i = 0; i < SNAPSHOTS; i++)
		dataplane_publish_routes_take(dp, default_by_gateway((uint16_t)i));
	dataplane_halt(dp);
	dataplane_publish_routes_take(dp, default_by_gateway(0));
	dataplane_stop(dp);
	assert_true(test_now_us() < give_up);
}

static struct recipients *recipients_with(bool somebody_is_there)
{
	const struct recipients_config config = {.expected = 1};
	const struct recipients_domain domain = {"example.net", .name_len = 11};
	struct recipients *r = recipients_new(&config);
	uint32_t number;

	assert_non_null(r);
	assert_int_equal(recipients_add_domain(r, &domain, &number), 0);
	recipients_set_loaded(r, number, true);
	if (somebody_is_there)
		assert_int_equal(recipients_put(r, &somebody, RECIPIENT_NORMAL,
						RECIPIENT_POOL_OF_DOMAIN),
				 RECIPIENTS_NEW);
	return r;
}

/* Sleepers may look last. */
static void await_known(struct dataplane *dp, unsigned known)
{
	uint64_t give_up = test_now_us() + DEADLINE_US;

	for (unsigned i = 0; i < WORKERS; i++)
		while (plan.known[i] != known || !plan.recipients[i]) {
			dataplane_wake(dp);
			assert_true(test_now_us() < give_up);
			sched_yield();
		}
}

/* Of one memory all see control's; else those of another see a copy, which goes with it. */
static void recipients_are_published_on_each_node(void **state)
{
	for (int own = 0; own < 2; own++) {
		struct dataplane_config config = config_of("net_ring8", NULL);
		struct recipients *published = NULL;
		struct dataplane *dp;
		uint64_t copies = 0;

		config.own_nodes = own;
		dp = start(&config);
		for (unsigned i = 0; i < SNAPSHOTS; i++) {
			published = recipients_with(i % 2);
			copies = dataplane_publish_recipients_take(dp, published);
			await_known(dp, i % 2);
		}
		assert_ptr_equal(plan.recipients[0], published);
		if (own)
			assert_ptr_not_equal(plan.recipients[1], published);
		else
			assert_ptr_equal(plan.recipients[1], published);
		assert_int_equal(copies, own ? recipients_memory(published) : 0);
		assert_int_equal(dataplane_publish_recipients_take(dp, NULL), 0);
		dataplane_stop(dp);
	}
}

static uint64_t turns_of(const struct dataplane *dp)
{
	struct postern_counters sum;

	dataplane_counters(dp, &sum);
	return sum.worker_turns;
}

/* With an interface that can be waited on workers sleep for up to a second. */
static void await_sleep(const struct dataplane *dp)
{
	uint64_t give_up = test_now_us() + DEADLINE_US, since = test_now_us(), turns = turns_of(dp);

	while (test_now_us() - since < ASLEEP_US) {
		assert_true(test_now_us() < give_up);
		sched_yield();
		if (turns_of(dp) == turns)
			continue;
		turns = turns_of(dp);
		since = test_now_us();
	}
}

static void who_sleeps_is_woken_to_stop_and_not_to_read(void **state)
{
	const struct dataplane_config config = config_of("net_tap0,iface=pdp0", NULL);

	for (int i = 0; i < 3; i++) {
		struct dataplane *dp = start(&config);
		uint64_t turns, before;

		await_sleep(dp);
		turns = turns_of(dp);
		before = test_now_us();
		dataplane_publish_routes_take(dp, default_by_gateway(1));
		dataplane_halt(dp);
		assert_in_range(test_now_us() - before, 0, PROMPT_US);
		assert_in_range(turns_of(dp), turns, turns + WORKERS * 2);
		dataplane_stop(dp);
	}
}

/* --- the EAL --------------------------------------------------------------------------------- */

static int start_eal(void)
{
	char prefix[64];
	const char *argv[] = {"test",		"--no-huge",   "--no-shconf",
			      "--no-pci",	"-m",	       "256",
			      "--lcores",	"0@0,1@0,2@0", prefix,
			      "--no-telemetry", "--log-level", "*:critical"};

	snprintf(prefix, sizeof(prefix), "--file-prefix=postern-dataplane-%d", getpid());
	if (rte_eal_init(RTE_DIM(argv), (char **)argv) < 0) {
		fprintf(stderr, "the EAL does not start\n");
		return -1;
	}
	rmdir(rte_eal_get_runtime_dir());
	return 0;
}

/* In a network of its own, where TAP devices may be had. */
static int sleeper(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_sleeps_is_woken_to_stop_and_not_to_read),
	};

	if (unshare(CLONE_NEWNET) < 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
		fprintf(stderr, "skipped: no network namespace or no TAP device for us\n");
		return SKIPPED;
	}
	if (system("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6") != 0)
		return SKIPPED;
	if (start_eal() != 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests_name("the data plane asleep", tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(impossible_configurations_are_refused),
		cmocka_unit_test(start_that_fails_half_way_leaves_nothing),
		cmocka_unit_test(busy_lcore_is_refused_and_the_other_worker_stopped),
		cmocka_unit_test(what_was_stopped_starts_again),
		cmocka_unit_test(device_that_says_how_it_spreads_starts_and_stops),
		cmocka_unit_test(routes_are_replaced_under_running_workers),
		cmocka_unit_test(recipients_are_published_on_each_node),
		cmocka_unit_test(publishing_waits_for_nobody_who_sleeps_or_was_halted),
	};

	if (argc > 1 && strcmp(argv[1], "asleep") == 0)
		return sleeper();
	if (start_eal() != 0)
		return EXIT_FAILURE;
	return cmocka_run_group_tests_name("the data plane", tests, NULL, NULL);
}
