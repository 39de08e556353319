/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conversations: many mail clients that talk at once over the kernel's TCP, an octet a write.
 *
 * Thread: one. Time: CLOCK_MONOTONIC. Memory: the conversations.
 * Rules: client n of a network is its address n steps on, IPv6's in networks of 64 bits; each has
 * --each conversations. The dialogue is words: what is said, then what the last line of its reply
 * begins with; the lines before that must bear its code. All are greeted before the first speaks,
 * and the octets of all take turns. At a word `-` all wait for each other; then it says `held` and
 * goes on at a line on standard input. After its last reply the server ends each connection. A line
 * of JSON at the end; what was not as it should be is told, and exit status 1.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/arguments.h"

enum {
	HEARD_MAX = 1024, /* a reply */
	STEPS_MAX = 32,
	EVENTS = 512,
	OPENING_MAX = 512, /* handshakes under way */
	SPARE_FILES = 64,
};

struct step {
	const char *say, *reply; /* NULL: hold */
};

struct conversation {
	int fd;
	uint32_t step;	/* being said or answered */
	uint32_t said;	/* octets of its line, with CRLF */
	uint32_t heard; /* octets of its reply */
	bool open, over;
	char reply[HEARD_MAX];
};

struct crowd {
	uint64_t count, each, timeout_s;
	struct ip_addr to, from;
	uint16_t port;
	struct step steps[STEPS_MAX]; /* the greeting is the first */
	uint32_t n_steps;
	struct conversation *at;
	int epoll;
	uint64_t due_us;
	uint64_t opened, answered, over; /* conversations: of those that step */
	uint64_t octets;		 /* said */
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* With CRLF; nobody says anything for the greeting. */
static uint32_t line_octets(const struct step *step)
{
	return *step->say ? (uint32_t)strlen(step->say) + 2 : 0;
}

static _Noreturn void fail(const struct crowd *w, const struct conversation *c, const char *why)
{
	const struct step *step = &w->steps[c->step];

	fprintf(stderr, "conversations: number %td of %" PRIu64 ", at '%s': %s; heard '%.*s'\n",
		c - w->at, w->count, step->say ? step->say : "", why, (int)c->heard, c->reply);
	exit(EXIT_FAILURE);
}

/* --- addresses ------------------------------------------------------------------------------- */

static socklen_t address_of(const struct ip_addr *a, uint16_t port, struct sockaddr_storage *s)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)s;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)s;

	memset(s, 0, sizeof(*s));
	if (ip_addr_is_v4(a)) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		memcpy(&v4->sin_addr, a->octets + 12, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, a->octets, 16);
	return sizeof(*v6);
}

/* IPv4: the next address; IPv6: the next network, and its address ::1. */
static struct ip_addr client_address(const struct ip_addr *network, uint64_t n)
{
	struct ip_addr a = *network;

	n += ip_addr_is_v4(network) ? 1 : 0;
	for (unsigned i = ip_addr_is_v4(network) ? 16 : 8; n; n >>= 8) {
		n += a.octets[--i];
		a.octets[i] = (uint8_t)n;
	}
	if (!ip_addr_is_v4(network))
		a.octets[15] = 1;
	return a;
}

/* --- opening --------------------------------------------------------------------------------- */

static void watch(struct crowd *w, struct conversation *c, int how, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = c};

	if (epoll_ctl(w->epoll, how, c->fd, &event) < 0)
		fail(w, c, strerror(errno));
}

static void begin(struct crowd *w, struct conversation *c)
{
	const int one = 1;
	struct ip_addr source = client_address(&w->from, (uint64_t)(c - w->at) / w->each);
	struct sockaddr_storage from, to;
	socklen_t from_len = address_of(&source, 0, &from);
	socklen_t to_len = address_of(&w->to, w->port, &to);

	c->fd = socket(from.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
	    bind(c->fd, (struct sockaddr *)&from, from_len) < 0 ||
	    (connect(c->fd, (struct sockaddr *)&to, to_len) < 0 && errno != EINPROGRESS))
		fail(w, c, strerror(errno));
	watch(w, c, EPOLL_CTL_ADD, EPOLLIN);
}

/* --- hearing --------------------------------------------------------------------------------- */

/* The length of the first line with its LF; 0: it is not whole. */
static size_t line_len(const char *text, size_t len)
{
	const char *end = memchr(text, '\n', len);

	return end ? (size_t)(end - text) + 1 : 0;
}

/* True: the reply is whole, and what it should be. */
static bool is_answered(const struct crowd *w, const struct conversation *c)
{
	const char *wanted = w->steps[c->step].reply, *line = c->reply;
	size_t left = c->heard, len;

	while ((len = line_len(line, left)) > 0) {
		if (len < 6 || memcmp(line, wanted, 3) != 0 || line[len - 2] != '\r')
			fail(w, c, "not the reply");
		if (line[3] == ' ') {
			if (len < strlen(wanted) || memcmp(line, wanted, strlen(wanted)) != 0)
				fail(w, c, "not the reply");
			if (len < left)
				fail(w, c, "more than the reply");
			return true;
		}
		line += len;
		left -= len;
	}
	return false;
}

static void hear(struct crowd *w, struct conversation *c)
{
	ssize_t n = read(c->fd, c->reply + c->heard, sizeof(c->reply) - c->heard);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n < 0)
		fail(w, c, strerror(errno));
	if (n == 0) {
		if (c->step < w->n_steps)
			fail(w, c, "its connection ended");
		close(c->fd);
		c->over = true;
		w->over++;
		return;
	}
	c->heard += (uint32_t)n;
	if (c->step == w->n_steps || c->said < line_octets(&w->steps[c->step]))
		fail(w, c, "spoken to out of turn");
	if (!is_answered(w, c))
		return;
	w->answered++;
	c->step++;
	c->said = c->heard = 0;
}

static void hear_all(struct crowd *w, int wait_ms)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(w->epoll, events, EVENTS, wait_ms);

	for (int i = 0; i < n; i++)
		hear(w, events[i].data.ptr);
	if (now_us() < w->due_us)
		return;
	for (uint64_t i = 0; i < w->count; i++)
		if (!w->at[i].over)
			fail(w, &w->at[i], "time is over");
}

/* --- speaking -------------------------------------------------------------------------------- */

/* True: there are more. */
static bool say_octet(struct crowd *w, struct conversation *c)
{
	static const char end[] = "\r\n";
	const char *line = w->steps[c->step].say;
	const uint32_t all = line_octets(&w->steps[c->step]), len = all ? all - 2 : 0;

	if (c->said == all)
		return false;
	if (write(c->fd, c->said < len ? &line[c->said] : &end[c->said - len], 1) != 1)
		fail(w, c, strerror(errno));
	c->said++;
	w->octets++;
	return c->said < all;
}

static void say_step(struct crowd *w, uint32_t step)
{
	bool more = true;

	w->answered = 0;
	while (more) {
		more = false;
		for (uint64_t i = 0; i < w->count; i++) {
			if (w->at[i].step == step)
				more |= say_octet(w, &w->at[i]);
			if (i % 256 == 255)
				hear_all(w, 0);
		}
	}
	while (w->answered < w->count)
		hear_all(w, 1000);
}

static void hold(struct crowd *w)
{
	char line[16];

	puts("held");
	if (!fgets(line, sizeof(line), stdin))
		exit(EXIT_FAILURE);
	for (uint64_t i = 0; i < w->count; i++)
		w->at[i].step++;
}

static void run(struct crowd *w)
{
	for (uint64_t i = 0; i < w->count; i++) {
		begin(w, &w->at[i]);
		while (i + 1 - w->answered >= OPENING_MAX)
			hear_all(w, 1000);
	}
	while (w->answered < w->count)
		hear_all(w, 1000);
	for (uint32_t step = 1; step < w->n_steps; step++) {
		if (w->steps[step].say)
			say_step(w, step);
		else
			hold(w);
	}
	while (w->over < w->count)
		hear_all(w, 1000);
}

/* --- the command line ------------------------------------------------------------------------ */

static bool read_steps(struct crowd *w, int n, char **words)
{
	if (n < 1)
		return false;
	w->steps[w->n_steps++] = (struct step){"", words[0]};
	for (int i = 1; i < n; i++) {
		if (w->n_steps == STEPS_MAX)
			return false;
		if (strcmp(words[i], "-") == 0)
			w->steps[w->n_steps++] = (struct step){0};
		else if (i + 1 < n && strlen(words[i + 1]) >= 3)
			w->steps[w->n_steps++] = (struct step){words[i], words[i + 1]}, i++;
		else
			return false;
	}
	return true;
}

static bool parse(struct crowd *w, int argc, char **argv)
{
	static const struct option options[] = {
		{"from", required_argument, NULL, 'f'},
		{"count", required_argument, NULL, 'n'},
		{"each", required_argument, NULL, 'e'},
		{"timeout", required_argument, NULL, 't'},
		{NULL, 0, NULL, 0},
	};
	bool good = true, has_from = false;
	int o;

	while (good && (o = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (o == 'f')
			good = has_from = argument_address(optarg, strlen(optarg), &w->from);
		else if (o == 'n')
			good = argument_number(optarg, 1, 1000000, &w->count);
		else if (o == 'e')
			good = argument_number(optarg, 1, 1000000, &w->each);
		else if (o == 't')
			good = argument_number(optarg, 1, 100000, &w->timeout_s);
		else
			good = false;
	}
	return good && has_from && optind < argc &&
	       argument_endpoint(argv[optind], &w->to, &w->port) &&
	       read_steps(w, argc - optind - 1, argv + optind + 1);
}

/* A file each, whatever the shell allows. */
static bool set_up(struct crowd *w)
{
	const rlim_t files = w->count + SPARE_FILES;
	const struct rlimit limit = {files, files};

	w->at = calloc(w->count, sizeof(*w->at));
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->due_us = now_us() + w->timeout_s * 1000000;
	return w->at && w->epoll >= 0 && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

int main(int argc, char **argv)
{
	static struct crowd crowd = {.count = 1, .each = 1, .timeout_s = 60};
	struct crowd *w = &crowd;
	uint64_t began_us = now_us();

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(w, argc, argv)) {
		fputs("conversations --from NETWORK [--count N] [--each N] [--timeout SECONDS]\n"
		      "              ADDRESS:PORT GREETING [SAY REPLY | -]...\n",
		      stderr);
		return 2;
	}
	if (!set_up(w)) {
		fprintf(stderr, "conversations: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	run(w);
	printf("{\"conversations\": %" PRIu64 ", \"octets\": %" PRIu64 ", \"ms\": %" PRIu64 "}\n",
	       w->over, w->octets, (now_us() - began_us) / 1000);
	free(w->at);
	return EXIT_SUCCESS;
}
