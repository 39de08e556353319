/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulated wire itself, between two hosts that only send what they are told and remember
 * what they got. POSTERN_SEED chooses the random numbers.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/random.h"
#include "sim_eal.h"
#include "sim_wire.h"

enum {
	LEFT,
	RIGHT,
	SEEN_MAX = 20000,
	LEN = 200, /* of most frames */
	ETHERNET = 14,
};

static uint64_t seed;

/* --- hosts ----------------------------------------------------------------------------------- */

struct seen {
	uint64_t at_us;
	uint32_t serial; /* the sender's number of it */
	uint16_t len;
	uint16_t changed;    /* octets that are not as they were sent, */
	uint16_t changed_at; /* the last of them */
};

struct box {
	struct sim_host host;
	struct port *port;
	struct postern_counters counters;
	/* Frames to send: one every gap_us from start_us on, all of one length. */
	uint64_t start_us, gap_us;
	uint32_t to_send, sent;
	uint16_t len;
	uint8_t to; /* last octet of the MAC address */
	bool never_idle, deaf;
	uint32_t n_seen;
	struct seen *seen;
	uint8_t last[SIM_FRAME_MAX];
};

struct scene {
	struct sim_wire *wire;
	struct box boxes[2];
};

static void make_frame(uint8_t *bytes, uint16_t len, uint8_t to, uint8_t from, uint32_t serial)
{
	static const uint8_t head[ETHERNET] = {2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0x08, 0x00};

	memcpy(bytes, head, sizeof(head));
	bytes[5] = to;
	bytes[11] = from;
	for (uint16_t i = ETHERNET; i < len; i++)
		bytes[i] = (uint8_t)((sim_mix(serial) >> i % 8 * 8) + i);
	bytes[ETHERNET] = 0x45;
	for (unsigned i = 0; i < 4; i++) /* twice, so that one damaged copy does not matter */
		bytes[len - 1 - i] = bytes[len - 5 - i] = (uint8_t)(serial >> (8 * i));
}

static void box_send(struct box *b, uint64_t now_us)
{
	while (b->sent < b->to_send && b->start_us + b->sent * b->gap_us <= now_us) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(port_pool(b->port, 0));

		assert_non_null(m);
		make_frame((uint8_t *)rte_pktmbuf_append(m, b->len), b->len, b->to, b->host.mac[5],
			   b->sent);
		b->sent++;
		port_tx_take(b->port, 0, &m, 1);
		port_flush(b->port, 0);
		if (b->sent % 512 == 0)
			break;
	}
}

/* Compares with what was sent, by the copy of the serial that makes most octets right. */
static void examine(struct seen *s, const uint8_t *bytes)
{
	uint8_t expected[SIM_FRAME_MAX];

	s->changed = s->len;
	for (unsigned copy = 0; copy < 2; copy++) {
		uint16_t changed = 0, changed_at = 0;
		uint32_t serial = 0;

		for (unsigned i = 0; i < 4; i++)
			serial |= (uint32_t)bytes[s->len - 1 - 4 * copy - i] << (8 * i);
		make_frame(expected, s->len, RIGHT, LEFT, serial);
		for (uint16_t i = 0; i < s->len; i++) {
			changed += expected[i] != bytes[i];
			changed_at = expected[i] != bytes[i] ? i : changed_at;
		}
		if (changed < s->changed) {
			s->changed = changed;
			s->changed_at = changed_at;
			s->serial = serial;
		}
	}
}

static uint32_t box_receive(struct box *b, uint64_t now_us)
{
	struct rte_mbuf *frames[PORT_BURST];
	uint16_t n = port_rx(b->port, 0, frames, PORT_BURST);

	for (uint16_t i = 0; i < n; i++) {
		struct seen *s = &b->seen[b->n_seen++];

		assert_true(b->n_seen <= SEEN_MAX);
		s->at_us = now_us;
		s->len = rte_pktmbuf_data_len(frames[i]);
		memcpy(b->last, rte_pktmbuf_mtod(frames[i], void *), s->len);
		examine(s, b->last);
		rte_pktmbuf_free(frames[i]);
	}
	return n;
}

static uint32_t box_turn(void *self, uint16_t queue, uint64_t now_us)
{
	struct box *b = self;
	uint32_t sent = b->sent;

	box_send(b, now_us);
	if (b->never_idle)
		return 1;
	return (b->deaf ? 0 : box_receive(b, now_us)) + b->sent - sent;
}

static uint64_t box_next_due(const void *self, uint16_t queue)
{
	const struct box *b = self;

	return b->sent < b->to_send ? b->start_us + b->sent * b->gap_us : UINT64_MAX;
}

static void box_open(struct scene *s, uint8_t side, uint16_t mtu)
{
	struct box *b = &s->boxes[side];
	struct postern_counters *counters = &b->counters;
	const struct port_config config = {
		.kind = PORT_MEMORY,
		.device = side == LEFT ? "left" : "right",
		.queues = 1,
		.memory_mac = {2, 0, 0, 0, 0, side},
		.memory_mtu = mtu,
	};
	char error[256] = "";

	if (port_open(&b->port, &config, &counters, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	b->host = (struct sim_host){
		.name = config.device,
		.mac = {2, 0, 0, 0, 0, side},
		.port = b->port,
		.queues = 1,
		.self = b,
		.turn = box_turn,
		.next_due = box_next_due,
	};
	b->seen = calloc(SEEN_MAX, sizeof(*b->seen));
	assert_non_null(b->seen);
	assert_int_equal(sim_wire_join(s->wire, &b->host), side);
}

static void scene_open(struct scene *s, uint64_t of_seed)
{
	memset(s, 0, sizeof(*s));
	s->wire = sim_wire_new(of_seed, 1000);
	assert_non_null(s->wire);
	box_open(s, LEFT, 1800);
	box_open(s, RIGHT, 1800);
}

static void scene_close(struct scene *s)
{
	for (int side = LEFT; side <= RIGHT; side++) {
		struct rte_mbuf *m;

		while (port_rx(s->boxes[side].port, 0, &m, 1) == 1)
			rte_pktmbuf_free(m);
		assert_int_equal(rte_mempool_in_use_count(port_pool(s->boxes[side].port, 0)), 0);
		port_close(s->boxes[side].port);
		free(s->boxes[side].seen);
	}
	sim_wire_free(s->wire);
}

static void left_sends(struct scene *s, uint32_t n, uint16_t len, uint64_t gap_us)
{
	struct box *b = &s->boxes[LEFT];

	b->start_us = sim_wire_now(s->wire);
	b->gap_us = gap_us;
	b->to_send = n;
	b->len = len;
	b->to = RIGHT;
}

/* Every frame has come to one of its ends. */
static void assert_all_accounted(const struct sim_counters *c)
{
	assert_int_equal(c->sent + c->duplicated,
			 c->delivered + c->lost + c->queue_dropped + c->too_big + c->receiver_full);
}

/* Left sends so many frames over a path; returns what became of them. */
static const struct sim_counters *run(struct scene *s, const struct sim_path *path, uint32_t n,
				      uint16_t len, uint64_t gap_us)
{
	const struct sim_counters *c = sim_wire_counters(s->wire, LEFT, RIGHT);

	*sim_wire_path(s->wire, LEFT, RIGHT) = *path;
	left_sends(s, n, len, gap_us);
	assert_int_equal(sim_wire_run(s->wire, UINT64_MAX, NULL, NULL), SIM_QUIET);
	assert_int_equal(c->sent, n);
	assert_all_accounted(c);
	assert_int_equal(c->delivered, s->boxes[RIGHT].n_seen);
	return c;
}

/* Within six standard deviations of n draws. */
static void assert_about(uint64_t hits, uint64_t n, uint32_t ppm)
{
	const double p = ppm / 1e6, mean = (double)n * p, off = (double)hits - mean;

	if (off * off > 36 * mean * (1 - p))
		fail_msg("%" PRIu64 " of %" PRIu64 ", expected about %.0f", hits, n, mean);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void a_perfect_wire_delivers_all_at_once_and_in_order(void **state)
{
	struct scene s;
	const struct seen *seen;

	scene_open(&s, seed);
	run(&s, &(struct sim_path){0}, 1000, LEN, 10);
	seen = s.boxes[RIGHT].seen;
	assert_int_equal(s.boxes[RIGHT].n_seen, 1000);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(seen[i].serial, i);
		assert_int_equal(seen[i].changed, 0);
		assert_int_equal(seen[i].at_us, 1000 + 10 * i);
	}
	scene_close(&s);
}

static void delay_is_exact(void **state)
{
	const struct sim_path path = {.delay_us = 12345};
	struct scene s;

	scene_open(&s, seed);
	run(&s, &path, 100, LEN, 7);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(s.boxes[RIGHT].seen[i].at_us, 1000 + 7 * i + 12345);
	scene_close(&s);
}

static void jitter_keeps_its_bounds_and_the_order(void **state)
{
	const struct sim_path path = {.delay_us = 1000, .jitter_us = 500};
	uint64_t least_us = UINT64_MAX, most_us = 0;
	const struct sim_counters *c;
	struct scene s;

	scene_open(&s, seed);
	c = run(&s, &path, 5000, LEN, 100);
	assert_int_equal(c->reordered, 0);
	for (uint32_t i = 0; i < 5000; i++) {
		uint64_t took_us = s.boxes[RIGHT].seen[i].at_us - 1000 - 100 * i;

		assert_int_equal(s.boxes[RIGHT].seen[i].serial, i);
		least_us = took_us < least_us ? took_us : least_us;
		most_us = took_us > most_us ? took_us : most_us;
	}
	assert_in_range(least_us, 1000, 1050);
	assert_in_range(most_us, 1450, 1500);
	scene_close(&s);
}

static void loss_is_as_frequent_as_asked(void **state)
{
	const struct sim_path path = {.loss_ppm = 100000};
	const struct sim_counters *c;
	struct scene s;

	scene_open(&s, seed);
	c = run(&s, &path, SEEN_MAX, LEN, 10);
	assert_about(c->lost, SEEN_MAX, path.loss_ppm);
	assert_int_equal(c->delivered, SEEN_MAX - c->lost);
	scene_close(&s);
}

static void a_direction_s_loss_is_not_the_other_s(void **state)
{
	struct scene s;
	struct box *right;

	scene_open(&s, seed);
	sim_wire_path(s.wire, LEFT, RIGHT)->loss_ppm = SIM_CERTAIN_PPM;
	left_sends(&s, 10, LEN, 10);
	right = &s.boxes[RIGHT];
	right->to_send = 10;
	right->len = LEN;
	right->to = LEFT;
	assert_int_equal(sim_wire_run(s.wire, UINT64_MAX, NULL, NULL), SIM_QUIET);
	assert_int_equal(s.boxes[RIGHT].n_seen, 0);
	assert_int_equal(s.boxes[LEFT].n_seen, 10);
	assert_int_equal(sim_wire_counters(s.wire, LEFT, RIGHT)->lost, 10);
	assert_int_equal(sim_wire_counters(s.wire, RIGHT, LEFT)->lost, 0);
	scene_close(&s);
}

static void duplicates_are_whole_and_counted(void **state)
{
	const struct sim_path path = {.duplicate_ppm = 50000};
	uint32_t times[10000] = {0}, twice = 0;
	const struct sim_counters *c;
	struct scene s;

	scene_open(&s, seed);
	c = run(&s, &path, 10000, LEN, 10);
	for (uint32_t i = 0; i < s.boxes[RIGHT].n_seen; i++) {
		assert_int_equal(s.boxes[RIGHT].seen[i].changed, 0);
		twice += ++times[s.boxes[RIGHT].seen[i].serial] == 2;
	}
	assert_int_equal(twice, c->duplicated);
	assert_about(twice, 10000, path.duplicate_ppm);
	scene_close(&s);
}

static void corruption_changes_one_octet_of_any_but_the_sender_s_address(void **state)
{
	const struct sim_path path = {.corrupt_ppm = SIM_CERTAIN_PPM};
	enum { SHORT = 60, FRAMES = 2000 };
	uint32_t hits[SHORT] = {0};
	struct scene s;

	scene_open(&s, seed);
	assert_int_equal(run(&s, &path, FRAMES, SHORT, 10)->corrupted, FRAMES);
	for (uint32_t i = 0; i < FRAMES; i++) {
		assert_int_equal(s.boxes[RIGHT].seen[i].changed, 1);
		hits[s.boxes[RIGHT].seen[i].changed_at]++;
	}
	for (unsigned at = 0; at < SHORT; at++) {
		if (at >= 6 && at < 12)
			assert_int_equal(hits[at], 0);
		else
			assert_about(hits[at], FRAMES, SIM_CERTAIN_PPM / (SHORT - 6));
	}
	scene_close(&s);
}

static void reordering_lets_later_frames_pass(void **state)
{
	const struct sim_path path = {.delay_us = 100, .reorder_ppm = 100000, .reorder_us = 500};
	uint32_t newest = 0, passed = 0;
	const struct sim_counters *c;
	struct scene s;

	scene_open(&s, seed);
	c = run(&s, &path, 5000, LEN, 10);
	assert_int_equal(s.boxes[RIGHT].n_seen, 5000);
	for (uint32_t i = 0; i < 5000; i++) {
		uint32_t serial = s.boxes[RIGHT].seen[i].serial;

		passed += serial < newest;
		newest = serial > newest ? serial : newest;
	}
	assert_int_equal(passed, c->reordered);
	assert_in_range(passed, 300, 600);
	scene_close(&s);
}

static void a_bottleneck_spaces_frames_by_their_length(void **state)
{
	/* 1250 octets at 10 Mbit/s take a millisecond. */
	const struct sim_path path = {
		.delay_us = 50, .bits_per_second = 10000000, .queue_octets = 1 << 20};
	struct scene s;

	scene_open(&s, seed);
	run(&s, &path, 50, 1250, 0);
	for (uint32_t i = 0; i < 50; i++)
		assert_int_equal(s.boxes[RIGHT].seen[i].at_us, 1000 + 1000 * (i + 1) + 50);
	scene_close(&s);
}

static void a_full_queue_drops_the_tail(void **state)
{
	const struct sim_path path = {.bits_per_second = 10000000, .queue_octets = 12500};
	const struct sim_counters *c;
	struct scene s;

	scene_open(&s, seed);
	c = run(&s, &path, 50, 1250, 0);
	assert_int_equal(c->delivered, 10);
	assert_int_equal(c->queue_dropped, 40);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(s.boxes[RIGHT].seen[i].serial, i);
	scene_close(&s);
}

static void what_exceeds_the_mtu_is_dropped(void **state)
{
	const struct sim_path path = {.mtu = 1000};
	struct scene s;

	scene_open(&s, seed);
	assert_int_equal(run(&s, &path, 5, ETHERNET + 1000, 10)->delivered, 5);
	scene_close(&s);
	scene_open(&s, seed);
	assert_int_equal(run(&s, &path, 5, ETHERNET + 1001, 10)->too_big, 5);
	scene_close(&s);
}

static uint32_t sum16(const uint8_t *bytes, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void a_frame_too_big_is_answered_when_asked(void **state)
{
	const struct sim_path path = {.mtu = 1000, .delay_us = 300, .answer_too_big = true};
	struct scene s;
	const uint8_t *ip;
	uint8_t sent[SIM_FRAME_MAX];

	scene_open(&s, seed);
	run(&s, &path, 1, 1200, 10);
	assert_int_equal(s.boxes[LEFT].n_seen, 1);
	assert_int_equal(s.boxes[LEFT].seen[0].at_us, 1300);
	make_frame(sent, 1200, RIGHT, LEFT, 0);
	ip = s.boxes[LEFT].last + ETHERNET;
	assert_memory_equal(s.boxes[LEFT].last, sent + 6, 6);
	assert_int_equal(ip[9], 1);
	assert_int_equal(sum16(ip, 20, 0), 0xffff);
	assert_int_equal(ip[20] << 8 | ip[21], 3 << 8 | 4);
	assert_int_equal(ip[26] << 8 | ip[27], 1000);
	assert_int_equal(sum16(ip + 20, s.boxes[LEFT].seen[0].len - ETHERNET - 20, 0), 0xffff);
	assert_memory_equal(ip + 28, sent + ETHERNET, 48);
	scene_close(&s);
}

static void a_receiver_that_does_not_listen_loses_frames_and_no_buffer(void **state)
{
	const struct sim_counters *c;
	struct scene s;

	scene_open(&s, seed);
	s.boxes[RIGHT].deaf = true;
	left_sends(&s, 6000, LEN, 10);
	assert_int_equal(sim_wire_run(s.wire, UINT64_MAX, NULL, NULL), SIM_QUIET);
	c = sim_wire_counters(s.wire, LEFT, RIGHT);
	assert_true(c->receiver_full > 0 && c->delivered > 0);
	assert_all_accounted(c);
	scene_close(&s);
}

static uint64_t trace_of(uint64_t of_seed)
{
	const struct sim_path path = {
		.delay_us = 100,
		.jitter_us = 1000,
		.loss_ppm = 50000,
		.duplicate_ppm = 50000,
		.corrupt_ppm = 50000,
		.reorder_ppm = 50000,
		.reorder_us = 5000,
		.bits_per_second = 100000000,
		.queue_octets = 20000,
	};
	struct scene s;
	uint64_t trace;

	scene_open(&s, of_seed);
	run(&s, &path, 3000, LEN, 10);
	trace = sim_wire_trace(s.wire);
	scene_close(&s);
	return trace;
}

static void the_same_seed_gives_the_same_trace_and_another_does_not(void **state)
{
	assert_true(trace_of(seed) == trace_of(seed));
	assert_true(trace_of(seed) != trace_of(seed + 1));
}

static void the_clock_stops_where_it_is_told_and_goes_on_from_there(void **state)
{
	const struct sim_path path = {.delay_us = 1000};
	struct scene s;

	scene_open(&s, seed);
	*sim_wire_path(s.wire, LEFT, RIGHT) = path;
	left_sends(&s, 10, LEN, 100);
	assert_int_equal(sim_wire_run(s.wire, 2000, NULL, NULL), SIM_TIME_OVER);
	assert_int_equal(sim_wire_now(s.wire), 2000);
	assert_int_equal(s.boxes[RIGHT].n_seen, 0);
	assert_int_equal(sim_wire_run(s.wire, 2001, NULL, NULL), SIM_TIME_OVER);
	assert_int_equal(s.boxes[RIGHT].n_seen, 1);
	assert_int_equal(sim_wire_run(s.wire, UINT64_MAX, NULL, NULL), SIM_QUIET);
	assert_int_equal(s.boxes[RIGHT].n_seen, 10);
	scene_close(&s);
}

static void a_host_that_is_never_idle_is_told_from_time_that_passes(void **state)
{
	struct scene s;

	scene_open(&s, seed);
	s.boxes[LEFT].never_idle = true;
	assert_int_equal(sim_wire_run(s.wire, UINT64_MAX, NULL, NULL), SIM_LIVELOCK);
	scene_close(&s);
}

static void the_capture_holds_what_both_hosts_saw(void **state)
{
	char path[] = "/tmp/postern-sim-XXXXXX";
	uint32_t block[2], packets = 0, interfaces = 0;
	int fd = mkstemp(path);
	struct scene s;
	FILE *file;

	assert_true(fd >= 0);
	close(fd);
	setenv("POSTERN_SIM_PCAP", path, 1);
	scene_open(&s, seed);
	unsetenv("POSTERN_SIM_PCAP");
	run(&s, &(struct sim_path){.delay_us = 5}, 10, LEN + 1, 10);
	scene_close(&s);
	file = fopen(path, "rb");
	assert_non_null(file);
	while (fread(block, sizeof(block), 1, file) == 1) {
		interfaces += block[0] == 1;
		packets += block[0] == 6;
		assert_int_equal(fseek(file, (long)block[1] - 12, SEEK_CUR), 0);
		assert_int_equal(fread(block, 4, 1, file), 1);
		assert_int_equal(block[0], block[1]);
	}
	fclose(file);
	unlink(path);
	assert_int_equal(interfaces, 2);
	assert_int_equal(packets, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_perfect_wire_delivers_all_at_once_and_in_order),
		cmocka_unit_test(delay_is_exact),
		cmocka_unit_test(jitter_keeps_its_bounds_and_the_order),
		cmocka_unit_test(loss_is_as_frequent_as_asked),
		cmocka_unit_test(a_direction_s_loss_is_not_the_other_s),
		cmocka_unit_test(duplicates_are_whole_and_counted),
		cmocka_unit_test(corruption_changes_one_octet_of_any_but_the_sender_s_address),
		cmocka_unit_test(reordering_lets_later_frames_pass),
		cmocka_unit_test(a_bottleneck_spaces_frames_by_their_length),
		cmocka_unit_test(a_full_queue_drops_the_tail),
		cmocka_unit_test(what_exceeds_the_mtu_is_dropped),
		cmocka_unit_test(a_frame_too_big_is_answered_when_asked),
		cmocka_unit_test(a_receiver_that_does_not_listen_loses_frames_and_no_buffer),
		cmocka_unit_test(the_same_seed_gives_the_same_trace_and_another_does_not),
		cmocka_unit_test(the_clock_stops_where_it_is_told_and_goes_on_from_there),
		cmocka_unit_test(a_host_that_is_never_idle_is_told_from_time_that_passes),
		cmocka_unit_test(the_capture_holds_what_both_hosts_saw),
	};

	seed = test_seed(1);
	if (!sim_eal_start())
		return 1;
	cmocka_set_test_filter(getenv("POSTERN_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
