// SPDX-License-Identifier: BSD-3-Clause
/*
 * relay: a bad cable. Carries every frame between two interfaces and on the way delays, reorders,
 * duplicates and corrupts some. For kernels without netem.
 *
 * Thread: one, and one epoll. Time: CLOCK_MONOTONIC in microseconds, read once a wake-up.
 * Memory: at most FRAMES_MAX frames under way; a frame beyond them is lost and counted.
 * Rules: a corrupted frame has one bit of its IP packet flipped, which every checksum in use
 * detects; ARP, which has none, is left alone. Jitter keeps a direction's order, reordering does
 * not. Counts go to stdout at SIGUSR1 and at the end. The interfaces' own IP stack must be kept
 * away from the frames (scripts/lab drops them at ingress, which a packet socket sees before).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "common/network.h"
#include "common/random.h"

enum {
	FRAME_LEN_MAX = 9216 + ETHER_HDR_LEN + 8,
	FRAMES_MAX = 32768,
	BURST = 64,
	SOCKET_BUFFER = 32 << 20,
	HELD_BACK_MIN_US = 1000,
	HELD_BACK_MAX_US = 5000,
};

struct frame {
	uint64_t due_us;
	uint64_t order; /* of equal times, first come, first served */
	uint8_t to;
	uint32_t len;
	uint8_t octets[];
};

/* Shares are parts per million. */
struct impairment {
	uint32_t corrupt, duplicate, reorder;
	uint32_t delay_us, jitter_us;
};

struct end {
	const char *name;
	int fd;
	uint64_t last_due_us; /* of the frames toward this end that keep their order */
};

struct counts {
	uint64_t relayed, corrupted, duplicated, reordered, delayed;
	uint64_t overflowed; /* lost: more frames under way than there is room for */
	uint64_t missed;     /* lost: the kernel's socket buffer was full */
	uint64_t refused;    /* lost: the kernel would not send it */
};

struct relay {
	struct end ends[2];
	struct impairment impairment;
	uint64_t random;
	struct counts counts;
	int epoll, timer, signals;
	uint64_t now_us, next_order;
	uint32_t n_frames;
	struct frame *heap[FRAMES_MAX]; /* the earliest first */
	uint8_t burst[BURST][FRAME_LEN_MAX];
};

static uint32_t random_below(struct relay *r, uint32_t n)
{
	return (uint32_t)(((test_random(&r->random) >> 32) * n) >> 32);
}

static bool happens(struct relay *r, uint32_t parts_per_million)
{
	return parts_per_million > 0 && random_below(r, 1000000) < parts_per_million;
}

static bool earlier(const struct frame *a, const struct frame *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

static void heap_put(struct relay *r, struct frame *f)
{
	uint32_t i = r->n_frames++;

	for (; i > 0 && earlier(f, r->heap[(i - 1) / 2]); i = (i - 1) / 2)
		r->heap[i] = r->heap[(i - 1) / 2];
	r->heap[i] = f;
}

static struct frame *heap_take(struct relay *r)
{
	struct frame *first = r->heap[0], *last = r->heap[--r->n_frames];
	uint32_t i = 0, child;

	while ((child = 2 * i + 1) < r->n_frames) {
		if (child + 1 < r->n_frames && earlier(r->heap[child + 1], r->heap[child]))
			child++;
		if (!earlier(r->heap[child], last))
			break;
		r->heap[i] = r->heap[child];
		i = child;
	}
	r->heap[i] = last;
	return first;
}

static bool is_ip(const uint8_t *octets, uint32_t len)
{
	uint16_t type;

	if (len <= ETHER_HDR_LEN)
		return false;
	memcpy(&type, octets + 12, sizeof(type));
	return type == htons(ETHERTYPE_IP) || type == htons(ETHERTYPE_IPV6);
}

static void corrupt(struct relay *r, uint8_t *octets, uint32_t len)
{
	uint32_t bit = random_below(r, (len - ETHER_HDR_LEN) * 8);

	octets[ETHER_HDR_LEN + bit / 8] ^= (uint8_t)(1 << bit % 8);
	r->counts.corrupted++;
}

static uint64_t due(struct relay *r, struct end *to)
{
	const struct impairment *im = &r->impairment;
	uint64_t due_us = r->now_us + im->delay_us;

	if (im->delay_us + im->jitter_us > 0)
		r->counts.delayed++;
	if (im->jitter_us > 0)
		due_us += random_below(r, im->jitter_us + 1);
	if (due_us < to->last_due_us)
		due_us = to->last_due_us;
	if (happens(r, im->reorder)) {
		r->counts.reordered++;
		return due_us + HELD_BACK_MIN_US +
		       random_below(r, HELD_BACK_MAX_US - HELD_BACK_MIN_US + 1);
	}
	to->last_due_us = due_us;
	return due_us;
}

static void send_frame(struct relay *r, const struct end *to, const uint8_t *octets, uint32_t len)
{
	if (send(to->fd, octets, len, 0) == (ssize_t)len)
		r->counts.relayed++;
	else
		r->counts.refused++;
}

static void schedule(struct relay *r, uint8_t to, const uint8_t *octets, uint32_t len)
{
	uint64_t due_us = due(r, &r->ends[to]);
	struct frame *f;

	if (due_us <= r->now_us) {
		send_frame(r, &r->ends[to], octets, len);
		return;
	}
	f = r->n_frames < FRAMES_MAX ? malloc(sizeof(*f) + len) : NULL;
	if (!f) {
		r->counts.overflowed++;
		return;
	}
	*f = (struct frame){.due_us = due_us, .order = r->next_order++, .to = to, .len = len};
	memcpy(f->octets, octets, len);
	heap_put(r, f);
}

static void carry(struct relay *r, uint8_t to, uint8_t *octets, uint32_t len)
{
	bool twice = happens(r, r->impairment.duplicate);

	if (twice) {
		schedule(r, to, octets, len);
		r->counts.duplicated++;
	}
	if (is_ip(octets, len) && happens(r, r->impairment.corrupt))
		corrupt(r, octets, len);
	schedule(r, to, octets, len);
}

static void receive(struct relay *r, uint8_t from)
{
	struct mmsghdr messages[BURST];
	struct iovec parts[BURST];
	int n;

	for (int i = 0; i < BURST; i++) {
		parts[i] = (struct iovec){r->burst[i], FRAME_LEN_MAX};
		messages[i] = (struct mmsghdr){
			.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1},
		};
	}
	n = recvmmsg(r->ends[from].fd, messages, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		carry(r, !from, r->burst[i], messages[i].msg_len);
}

static void send_due(struct relay *r)
{
	while (r->n_frames > 0 && r->heap[0]->due_us <= r->now_us) {
		struct frame *f = heap_take(r);

		send_frame(r, &r->ends[f->to], f->octets, f->len);
		free(f);
	}
}

static void set_timer(struct relay *r)
{
	struct itimerspec at = {0};

	if (r->n_frames > 0) {
		at.it_value.tv_sec = (time_t)(r->heap[0]->due_us / 1000000);
		at.it_value.tv_nsec = (long)(r->heap[0]->due_us % 1000000) * 1000;
	}
	timerfd_settime(r->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void count_missed(struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		struct tpacket_stats stats;
		socklen_t len = sizeof(stats);

		if (getsockopt(r->ends[i].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
			r->counts.missed += stats.tp_drops;
	}
}

static void print_counts(struct relay *r)
{
	const struct counts *c = &r->counts;

	count_missed(r);
	printf("begin\n"
	       "relayed %lu\ncorrupted %lu\nduplicated %lu\nreordered %lu\ndelayed %lu\n"
	       "overflowed %lu\nmissed %lu\nrefused %lu\nunder_way %u\n"
	       "end\n",
	       c->relayed, c->corrupted, c->duplicated, c->reordered, c->delayed, c->overflowed,
	       c->missed, c->refused, r->n_frames);
	fflush(stdout);
}

/* True when it is time to go. */
static bool take_signal(struct relay *r)
{
	struct signalfd_siginfo info;

	if (read(r->signals, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo != SIGUSR1)
		return true;
	print_counts(r);
	return false;
}

static void run(struct relay *r)
{
	struct epoll_event events[4];
	bool end = false;

	while (!end) {
		int n = epoll_wait(r->epoll, events, 4, -1);

		r->now_us = test_now_us();
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == r->signals)
				end = take_signal(r);
			else if (events[i].data.fd != r->timer)
				receive(r, events[i].data.fd == r->ends[1].fd);
		}
		send_due(r);
		set_timer(r);
	}
}

static int fail(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	return -1;
}

static int open_end(struct end *e)
{
	int one = 1, size = SOCKET_BUFFER;
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(e->name),
	};

	if (at.sll_ifindex == 0)
		return fail(e->name);
	e->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (e->fd < 0)
		return fail("packet socket");
	if (setsockopt(e->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(e->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    setsockopt(e->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		return fail("socket options");
	if (bind(e->fd, (struct sockaddr *)&at, sizeof(at)))
		return fail(e->name);
	return 0;
}

static int watch(const struct relay *r, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int open_all(struct relay *r)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	r->signals = signalfd(-1, &signals, SFD_CLOEXEC);
	r->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->signals < 0 || r->timer < 0 || r->epoll < 0)
		return fail("set-up");
	if (open_end(&r->ends[0]) || open_end(&r->ends[1]))
		return -1;
	if (watch(r, r->signals) || watch(r, r->timer) || watch(r, r->ends[0].fd) ||
	    watch(r, r->ends[1].fd))
		return fail("epoll");
	return 0;
}

static void close_all(struct relay *r)
{
	while (r->n_frames > 0)
		free(heap_take(r));
	close(r->ends[0].fd);
	close(r->ends[1].fd);
	close(r->epoll);
	close(r->timer);
	close(r->signals);
	free(r);
}

static int usage(void)
{
	fputs("relay INTERFACE INTERFACE [--corrupt PERCENT] [--duplicate PERCENT]\n"
	      "      [--reorder PERCENT] [--delay MS] [--jitter MS] [--seed N]\n",
	      stderr);
	return 2;
}

/* VALUE times SCALE, for values between 0 and MAX. */
static bool number(const char *text, double max, double scale, uint32_t *out)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= 0 && value <= max))
		return false;
	*out = (uint32_t)(value * scale + 0.5);
	return true;
}

static bool parse(struct relay *r, int argc, char **argv)
{
	static const struct option options[] = {
		{"corrupt", required_argument, NULL, 'c'},
		{"duplicate", required_argument, NULL, 'd'},
		{"reorder", required_argument, NULL, 'r'},
		{"delay", required_argument, NULL, 'D'},
		{"jitter", required_argument, NULL, 'J'},
		{"seed", required_argument, NULL, 's'},
		{0},
	};
	struct impairment *im = &r->impairment;
	bool good = true;
	int o;

	while (good && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'c')
			good = number(optarg, 100, 1e4, &im->corrupt);
		else if (o == 'd')
			good = number(optarg, 100, 1e4, &im->duplicate);
		else if (o == 'r')
			good = number(optarg, 100, 1e4, &im->reorder);
		else if (o == 'D')
			good = number(optarg, 1e5, 1e3, &im->delay_us);
		else if (o == 'J')
			good = number(optarg, 1e5, 1e3, &im->jitter_us);
		else if (o == 's')
			r->random = strtoull(optarg, NULL, 0);
		else
			good = false;
	}
	if (!good || argc - optind != 2)
		return false;
	r->ends[0].name = argv[optind];
	r->ends[1].name = argv[optind + 1];
	return true;
}

int main(int argc, char **argv)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (!r)
		return 1;
	r->ends[0].fd = r->ends[1].fd = r->epoll = r->timer = r->signals = -1;
	r->random = test_now_us();
	if (!parse(r, argc, argv)) {
		free(r);
		return usage();
	}
	printf("seed %lu\n", r->random);
	if (open_all(r)) {
		close_all(r);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	run(r);
	print_counts(r);
	close_all(r);
	return 0;
}
