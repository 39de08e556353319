/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hand-over: order, bounds, copies, and that no frame is left to a sleeper.
 *
 * Thread: one, and two in the race. Time: none; the race waits for events.
 * Memory: every test ends with its pools full again.
 * Rules: none.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_ring.h>

#include "common/eal.h"
#include "port/handover.h"
#include "support.h"

enum { WORKERS = 3 };

static const int no_fds[WORKERS] = {-1, -1, -1};

static struct rte_mempool *pool_new(const char *name, unsigned n)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create(name, n, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	assert_non_null(pool);
	return pool;
}

static struct rte_mbuf *marked(struct rte_mempool *pool, uint32_t mark)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, sizeof(mark)), &mark, sizeof(mark));
	return m;
}

static uint32_t mark_of(const struct rte_mbuf *m)
{
	uint32_t mark;

	assert_int_equal(m->pkt_len, sizeof(mark));
	memcpy(&mark, rte_pktmbuf_mtod(m, const void *), sizeof(mark));
	return mark;
}

static void frames_arrive_in_order_as_copies_with_their_metadata(void **state)
{
	struct rte_mempool *a = pool_new("a", 63), *b = pool_new("b", 63);
	struct handover *h = handover_new(WORKERS, no_fds);
	struct postern_counters from = {0}, to = {0};
	struct rte_mbuf *frames[PORT_BURST], *got[PORT_BURST];

	for (uint32_t i = 0; i < PORT_BURST; i++) {
		frames[i] = marked(a, i);
		frames[i]->port = (uint16_t)(i % 5);
		frames[i]->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_BAD;
	}
	handover_put_take(h, 0, 1, frames, PORT_BURST, &from);
	assert_int_equal(handover_get(h, 2, b, got, PORT_BURST, &to), 0);
	assert_int_equal(handover_get(h, 0, b, got, PORT_BURST, &to), 0);
	assert_int_equal(handover_get(h, 1, b, got, 10, &to), 10);
	assert_int_equal(handover_get(h, 1, b, got + 10, PORT_BURST - 10, &to), PORT_BURST - 10);
	assert_int_equal(rte_mempool_in_use_count(a), 0);
	for (uint32_t i = 0; i < PORT_BURST; i++) {
		assert_int_equal(mark_of(got[i]), i);
		assert_ptr_equal(got[i]->pool, b);
		assert_int_equal(got[i]->port, i % 5);
		assert_int_equal(got[i]->ol_flags,
				 RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_BAD);
		rte_pktmbuf_free(got[i]);
	}
	assert_int_equal(from.handover_out, PORT_BURST);
	assert_int_equal(to.handover_in, PORT_BURST);
	handover_free(h);
	rte_mempool_free(a);
	rte_mempool_free(b);
}

static void a_full_ring_drops_frees_and_counts_but_harms_no_other(void **state)
{
	enum { EXTRA = 7 };
	struct rte_mempool *a = pool_new("a", 2 * HANDOVER_RING - 1),
			   *b = pool_new("b", 2 * HANDOVER_RING - 1);
	struct handover *h = handover_new(WORKERS, no_fds);
	struct postern_counters from = {0}, other = {0}, to = {0};
	struct rte_mbuf *m, *got[HANDOVER_RING + EXTRA];

	for (uint32_t i = 0; i < HANDOVER_RING + EXTRA; i++) {
		m = marked(a, i);
		handover_put_take(h, 0, 1, &m, 1, &from);
	}
	assert_int_equal(from.handover_out, HANDOVER_RING);
	assert_int_equal(from.handover_full, EXTRA);
	assert_int_equal(rte_mempool_in_use_count(a), HANDOVER_RING);
	m = marked(a, 9999);
	handover_put_take(h, 2, 1, &m, 1, &other);
	assert_int_equal(other.handover_out, 1);
	assert_int_equal(handover_get(h, 1, b, got, HANDOVER_RING + EXTRA, &to), HANDOVER_RING + 1);
	rte_pktmbuf_free_bulk(got, HANDOVER_RING + 1);
	assert_int_equal(rte_mempool_in_use_count(a), 0);
	handover_free(h);
	rte_mempool_free(a);
	rte_mempool_free(b);
}

static void one_busy_giver_does_not_starve_the_others(void **state)
{
	struct rte_mempool *a = pool_new("a", 1023), *b = pool_new("b", 1023);
	struct handover *h = handover_new(WORKERS, no_fds);
	struct postern_counters c = {0};
	struct rte_mbuf *m, *got[4];
	unsigned seen = 0;

	for (uint32_t i = 0; i < 100; i++) {
		m = marked(a, 1);
		handover_put_take(h, 0, 1, &m, 1, &c);
	}
	m = marked(a, 2);
	handover_put_take(h, 2, 1, &m, 1, &c);
	for (unsigned turn = 0; turn < WORKERS; turn++) {
		uint16_t n = handover_get(h, 1, b, got, 4, &c);

		for (uint16_t i = 0; i < n; i++)
			seen += mark_of(got[i]) == 2;
		rte_pktmbuf_free_bulk(got, n);
	}
	assert_int_equal(seen, 1);
	handover_free(h);
	assert_int_equal(rte_mempool_in_use_count(a), 0);
	rte_mempool_free(a);
	rte_mempool_free(b);
}

static void an_owner_without_buffers_drops_and_counts(void **state)
{
	struct rte_mempool *a = pool_new("a", 63), *b = pool_new("b", 3);
	struct handover *h = handover_new(WORKERS, no_fds);
	struct postern_counters from = {0}, to = {0};
	struct rte_mbuf *frames[8], *got[8];

	for (uint32_t i = 0; i < 8; i++)
		frames[i] = marked(a, i);
	handover_put_take(h, 0, 1, frames, 8, &from);
	assert_int_equal(handover_get(h, 1, b, got, 8, &to), 3);
	assert_int_equal(to.port_no_buffer, 5);
	assert_int_equal(to.handover_in, 3);
	assert_int_equal(rte_mempool_in_use_count(a), 0);
	rte_pktmbuf_free_bulk(got, 3);
	handover_free(h);
	rte_mempool_free(a);
	rte_mempool_free(b);
}

static void frames_never_fetched_are_freed_with_the_rings(void **state)
{
	struct rte_mempool *a = pool_new("a", 63);
	struct handover *h = handover_new(WORKERS, no_fds);
	struct postern_counters c = {0};
	struct rte_mbuf *m = marked(a, 1);

	handover_put_take(h, 0, 2, &m, 1, &c);
	handover_free(h);
	assert_int_equal(rte_mempool_in_use_count(a), 0);
	rte_mempool_free(a);
}

static bool is_woken(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) == sizeof(count);
}

static void a_frame_wakes_a_sleeper_once_and_nobody_who_is_awake(void **state)
{
	struct rte_mempool *a = pool_new("a", 63), *b = pool_new("b", 63);
	int fds[WORKERS] = {-1, eventfd(0, EFD_NONBLOCK), -1};
	struct handover *h = handover_new(WORKERS, fds);
	struct postern_counters c = {0};
	struct rte_mbuf *m, *got[4];
	uint64_t count;

	m = marked(a, 1);
	handover_put_take(h, 0, 1, &m, 1, &c);
	assert_false(is_woken(fds[1]));
	/* Frames wait: it must not sleep. */
	assert_false(handover_sleep(h, 1));
	assert_int_equal(handover_get(h, 1, b, got, 4, &c), 1);
	rte_pktmbuf_free(got[0]);

	assert_true(handover_sleep(h, 1));
	for (unsigned i = 0; i < 3; i++) {
		m = marked(a, 1);
		handover_put_take(h, i == 1 ? 2 : 0, 1, &m, 1, &c);
	}
	assert_int_equal(read(fds[1], &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	handover_awake(h, 1);
	assert_int_equal(handover_get(h, 1, b, got, 4, &c), 3);
	rte_pktmbuf_free_bulk(got, 3);
	assert_true(handover_sleep(h, 1));
	handover_awake(h, 1);
	m = marked(a, 1);
	handover_put_take(h, 0, 1, &m, 1, &c);
	assert_false(is_woken(fds[1]));
	handover_free(h);
	close(fds[1]);
	rte_mempool_free(a);
	rte_mempool_free(b);
}

enum { RACE_FRAMES = 20000 };

struct race {
	struct handover *h;
	struct rte_mempool *pool;
	uint32_t seen; /* frames the sleeper has fetched */
	struct postern_counters counters;
};

/* Puts the next frame at varying times after the one before was fetched, so that puts fall
 * before, into and after the sleeper's way to sleep. */
static void *race_giver(void *arg)
{
	struct race *race = arg;

	for (uint32_t i = 0; i < RACE_FRAMES; i++) {
		struct rte_mbuf *m;

		while (__atomic_load_n(&race->seen, __ATOMIC_ACQUIRE) != i)
			sched_yield();
		for (volatile uint32_t spin = i % 256; spin > 0; spin--)
			;
		m = marked(race->pool, i);
		handover_put_take(race->h, 0, 1, &m, 1, &race->counters);
	}
	return NULL;
}

static void no_frame_is_left_to_a_sleeper(void **state)
{
	struct rte_mempool *b = pool_new("b", 63);
	int fds[WORKERS] = {-1, eventfd(0, EFD_NONBLOCK), -1};
	struct race race = {.h = handover_new(WORKERS, fds), .pool = pool_new("a", 63)};
	struct postern_counters to = {0};
	struct rte_mbuf *got[4];
	pthread_t giver;
	unsigned slept = 0;

	assert_int_equal(pthread_create(&giver, NULL, race_giver, &race), 0);
	for (uint32_t next = 0; next < RACE_FRAMES;) {
		struct pollfd fd = {.fd = fds[1], .events = POLLIN};
		uint16_t n = handover_get(race.h, 1, b, got, 4, &to);

		for (uint16_t i = 0; i < n; i++) {
			assert_int_equal(mark_of(got[i]), next++);
			rte_pktmbuf_free(got[i]);
		}
		__atomic_store_n(&race.seen, next, __ATOMIC_RELEASE);
		if (n > 0 || next == RACE_FRAMES || !handover_sleep(race.h, 1))
			continue;
		/* A lost wake-up ends here. */
		assert_int_equal(poll(&fd, 1, 10000), 1);
		assert_true(is_woken(fds[1]));
		handover_awake(race.h, 1);
		slept++;
	}
	pthread_join(giver, NULL);
	assert_true(slept > 0);
	assert_int_equal(race.counters.handover_full, 0);
	assert_int_equal(rte_mempool_in_use_count(race.pool), 0);
	handover_free(race.h);
	close(fds[1]);
	rte_mempool_free(race.pool);
	rte_mempool_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_in_order_as_copies_with_their_metadata),
		cmocka_unit_test(a_full_ring_drops_frees_and_counts_but_harms_no_other),
		cmocka_unit_test(one_busy_giver_does_not_starve_the_others),
		cmocka_unit_test(an_owner_without_buffers_drops_and_counts),
		cmocka_unit_test(frames_never_fetched_are_freed_with_the_rings),
		cmocka_unit_test(a_frame_wakes_a_sleeper_once_and_nobody_who_is_awake),
		cmocka_unit_test(no_frame_is_left_to_a_sleeper),
	};

	test_eal_start("port");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
