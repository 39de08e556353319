// SPDX-License-Identifier: BSD-3-Clause
/*
 * guesser: clients nobody has seen before, each guessing recipients over several connections at
 * once, and then sending on and on, so that it shows from which packet on the kernel drops them.
 *
 * Thread: one. Time: CLOCK_MONOTONIC, microseconds. Memory: the conversations.
 * Rules: client n of the network is its address n steps on: IPv4 counts in --step addresses, IPv6
 * in networks of 64 bits. --at-once of them open their connections, wait for all greetings
 * (--patience-ms at most; who is not greeted by then says nothing), write all their commands to
 * each in one segment, go on, the first of them, with an ACK every --every-us for --after-us, and
 * listen until every connection is over or --patience-ms have passed. One line of JSON a client:
 * how many connections were greeted, how many guesses were answered, how many connections were told
 * 421, when the last answered guess arrived, and when each of those ACKs was sent. With --spin-ms
 * alone, a line of JSON says of each millisecond for how long a thread that only reads the clock
 * was kept from it.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cable.h"
#include "common/arguments.h"
#include "segment.h"
#include "sim/sim_random.h"

enum {
	CONNECTIONS_MAX = 1024, /* at once, of all clients */
	RECIPIENTS_MAX = 32,
	COMMANDS_MAX = 1400, /* one segment */
	HEARD_MAX = 8192,
	AFTER_MAX = 1000, /* ACKs at the end */
	FIRST_PORT = 2000,
};

struct connection {
	struct segment_ends ends;
	uint32_t seq, ack;
	struct client *client;
	bool open, greeted, over;
	uint32_t len;
	char heard[HEARD_MAX + 1];
};

struct client {
	uint64_t heard_us; /* the last guess answered */
	uint32_t greeted, answered, shut_out;
};

struct guesser {
	const char *device;
	struct segment_ends ends; /* from: the network */
	uint64_t first, clients, step, at_once, connections, recipients;
	uint64_t every_us, after_us, patience_ms, port, spin_ms;
	const char *domain;
	struct sim_random random;
	struct cable cable;
	uint64_t named;
	char commands[COMMANDS_MAX + 1];
	/* Of the clients that are on. */
	struct client on[CONNECTIONS_MAX];
	struct connection at[CONNECTIONS_MAX];
	uint32_t n; /* connections */
	uint64_t began_us;
	uint64_t sent_us[AFTER_MAX];
	uint32_t sent;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* --- segments -------------------------------------------------------------------------------- */

static void put(struct guesser *g, struct connection *c, uint8_t flags, const char *payload)
{
	struct frame frame = {.octets = cable_next(&g->cable)};
	const struct segment s = {
		.seq = c->seq,
		.ack = flags & SEGMENT_ACK ? c->ack : 0,
		.flags = flags,
		.window = 65535,
		.payload = (const uint8_t *)payload,
		.payload_len = payload ? (uint32_t)strlen(payload) : 0,
	};

	segment_write(&frame, &c->ends, &s);
	cable_put(&g->cable, frame.len);
	c->seq += s.payload_len + (flags & SEGMENT_SYN ? 1 : 0);
}

/* What tells clients apart in an address. */
static unsigned part_len(const struct segment_ends *ends)
{
	return ends->v6 ? 8 : 4;
}

static uint64_t part(const uint8_t *address, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < len; i++)
		value = value << 8 | address[i];
	return value;
}

static struct connection *connection_of(struct guesser *g, const struct segment_ends *ends)
{
	const struct segment_ends *ours = &g->at[0].ends;
	uint64_t i = (uint16_t)(ends->to_port - ours->from_port), client;

	if (ends->v6 != ours->v6 || ends->from_port != ours->to_port || i >= g->connections)
		return NULL;
	client = (part(ends->to, part_len(ends)) - part(ours->from, part_len(ends))) / g->step;
	if (client >= g->n / g->connections)
		return NULL;
	i += client * g->connections;
	return memcmp(ends->to, g->at[i].ends.from, ends->v6 ? 16 : 4) ? NULL : &g->at[i];
}

static uint32_t count(const char *text, const char *what)
{
	uint32_t n = 0;

	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

static void hear_payload(struct connection *c, const struct segment *s)
{
	uint32_t room = HEARD_MAX - c->len, len = s->payload_len < room ? s->payload_len : room;
	uint32_t before = count(c->heard, "550 5.1.1 "), now;

	memcpy(c->heard + c->len, s->payload, len);
	c->len += len;
	c->heard[c->len] = '\0';
	c->greeted = strstr(c->heard, "\r\n");
	now = count(c->heard, "550 5.1.1 ");
	if (now > before) {
		c->client->answered += now - before;
		c->client->heard_us = now_us();
	}
}

static void hear(struct guesser *g, const uint8_t *octets, uint32_t len)
{
	struct segment_ends ends;
	struct connection *c;
	struct segment s;

	if (!segment_read(octets, len, &ends, &s) || !(c = connection_of(g, &ends)))
		return;
	if (s.flags & SEGMENT_RST) {
		c->over = true;
		return;
	}
	if (s.flags & SEGMENT_SYN) {
		if (c->open)
			return;
		c->open = true;
		c->ack = s.seq + 1;
		put(g, c, SEGMENT_ACK, NULL);
		return;
	}
	if (s.seq != c->ack)
		return;
	c->ack += s.payload_len + (s.flags & SEGMENT_FIN ? 1 : 0);
	if (s.payload_len)
		hear_payload(c, &s);
	if (s.flags & SEGMENT_FIN)
		c->over = true;
}

static void listen_for(struct guesser *g, uint64_t wait_us)
{
	uint32_t n = cable_receive(&g->cable, wait_us);

	for (uint32_t i = 0; i < n; i++)
		hear(g, g->cable.in_octets[i], g->cable.in[i].msg_len);
	cable_flush(&g->cable);
}

/* --- clients --------------------------------------------------------------------------------- */

static void add(uint8_t *octets, unsigned n, uint64_t value)
{
	for (unsigned i = n; i-- > 0; value >>= 8) {
		value += octets[i];
		octets[i] = (uint8_t)value;
	}
}

static void open_connection(struct guesser *g, struct connection *c, uint64_t client, uint32_t i)
{
	c->ends = g->ends;
	add(c->ends.from, part_len(&g->ends), client * g->step + (g->ends.v6 ? 0 : 1));
	if (c->ends.v6)
		c->ends.from[15] = 1;
	c->ends.from_port = (uint16_t)(FIRST_PORT + i);
	c->seq = (uint32_t)sim_random(&g->random);
	put(g, c, SEGMENT_SYN, NULL);
}

static void begin(struct guesser *g, uint64_t client, uint32_t clients)
{
	g->n = clients * (uint32_t)g->connections;
	memset(g->on, 0, clients * sizeof(g->on[0]));
	memset(g->at, 0, g->n * sizeof(g->at[0]));
	g->sent = 0;
	g->began_us = now_us();
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t of = i / (uint32_t)g->connections;

		g->at[i].client = &g->on[of];
		open_connection(g, &g->at[i], client + of, i % (uint32_t)g->connections);
	}
	cable_flush(&g->cable);
}

static bool is_greeted(const struct connection *c)
{
	return c->greeted || c->over;
}

static bool is_over(const struct connection *c)
{
	return c->over;
}

/* Until all are so, or for as long as there is patience. */
static void wait_for(struct guesser *g, bool (*so)(const struct connection *c))
{
	uint64_t due_us = now_us() + g->patience_ms * 1000;

	for (uint32_t i = 0; i < g->n && now_us() < due_us;) {
		if (so(&g->at[i]))
			i++;
		else
			listen_for(g, 1000);
	}
}

/* Nobody guesses a name twice: a pair that was scored is not scored again. */
static const char *commands_of(struct guesser *g)
{
	size_t at = (size_t)snprintf(g->commands, sizeof(g->commands),
				     "EHLO guesser.example\r\nMAIL FROM:<a@guesser.example>\r\n");

	for (uint64_t i = 0; i < g->recipients && at < sizeof(g->commands); i++)
		at += (size_t)snprintf(g->commands + at, sizeof(g->commands) - at,
				       "RCPT TO:<nobody%" PRIu64 "@%s>\r\n", g->named++, g->domain);
	return g->commands;
}

static void guess(struct guesser *g)
{
	for (uint32_t i = 0; i < g->n; i++) {
		struct connection *c = &g->at[i];

		if (!c->greeted)
			c->over = true;
		if (!c->over)
			put(g, c, SEGMENT_ACK | SEGMENT_PSH, commands_of(g));
	}
	cable_flush(&g->cable);
}

/* What nobody can tell from a client that goes on: the kernel drops it or the gateway gets it. */
static void send_on(struct guesser *g)
{
	uint64_t began_us = now_us(), due_us = began_us;

	while (g->sent < AFTER_MAX && due_us - began_us < g->after_us) {
		uint64_t at_us = now_us();

		if (at_us < due_us) {
			listen_for(g, due_us - at_us);
			continue;
		}
		g->sent_us[g->sent++] = at_us;
		put(g, &g->at[0], SEGMENT_ACK, NULL);
		cable_flush(&g->cable);
		due_us += g->every_us;
	}
}

static void tell(const struct guesser *g, const struct client *c, uint64_t number, uint32_t sent)
{
	printf("{\"client\": %" PRIu64 ", \"greeted\": %u, \"answered\": %u, \"shut_out\": %u, "
	       "\"answered_us\": %" PRIu64 ", \"sent_us\": [",
	       number, c->greeted, c->answered, c->shut_out,
	       c->heard_us ? c->heard_us - g->began_us : 0);
	for (uint32_t i = 0; i < sent; i++)
		printf("%s%" PRIu64, i ? ", " : "", g->sent_us[i] - g->began_us);
	puts("]}");
}

static void run(struct guesser *g, uint64_t client, uint32_t clients)
{
	begin(g, client, clients);
	wait_for(g, is_greeted);
	guess(g);
	if (g->after_us)
		send_on(g);
	wait_for(g, is_over);
	for (uint32_t i = 0; i < g->n; i++) {
		g->at[i].client->greeted += g->at[i].greeted;
		g->at[i].client->shut_out += strstr(g->at[i].heard, "421 4.7.1 ") != NULL;
	}
	for (uint32_t i = 0; i < clients; i++)
		tell(g, &g->on[i], client + i, i ? 0 : g->sent);
}

static void run_all(struct guesser *g)
{
	for (uint64_t done = 0; done < g->clients;) {
		uint64_t left = g->clients - done, n = left < g->at_once ? left : g->at_once;

		run(g, g->first + done, (uint32_t)n);
		done += n;
	}
}

/* --- a bare spinner -------------------------------------------------------------------------- */

/* The longest gap that ended in each millisecond, or is going on. */
static void spin(const struct guesser *g)
{
	uint64_t began_us = now_us(), last_us = began_us, worst_us = 0;

	printf("{\"gaps_us\": [");
	for (uint64_t ms = 1; ms <= g->spin_ms;) {
		uint64_t at_us = now_us(), gap_us = at_us - last_us;

		last_us = at_us;
		worst_us = gap_us > worst_us ? gap_us : worst_us;
		for (; ms <= g->spin_ms && at_us - began_us >= ms * 1000; ms++) {
			printf("%s%" PRIu64, ms > 1 ? ", " : "", worst_us);
			worst_us = ms * 1000 + 1000 <= at_us - began_us ? gap_us : 0;
		}
	}
	puts("]}");
}

/* --- the command line ------------------------------------------------------------------------ */

/* The longest there will be. */
static bool has_room(struct guesser *g)
{
	g->named = g->clients * g->connections * g->recipients;
	commands_of(g);
	g->named = 0;
	return g->recipients <= RECIPIENTS_MAX && strlen(g->commands) < COMMANDS_MAX;
}

static uint64_t *number_of(struct guesser *g, int option)
{
	switch (option) {
	case 'p':
		return &g->port;
	case 'F':
		return &g->first;
	case 'n':
		return &g->clients;
	case 's':
		return &g->step;
	case 'o':
		return &g->at_once;
	case 'c':
		return &g->connections;
	case 'r':
		return &g->recipients;
	case 'e':
		return &g->every_us;
	case 'a':
		return &g->after_us;
	case 'w':
		return &g->patience_ms;
	case 'g':
		return &g->spin_ms;
	default:
		return &g->random.state;
	}
}

static bool read_end(const char *text, uint8_t octets[16], bool *v6)
{
	struct ip_addr address;

	if (!argument_address(text, strlen(text), &address))
		return false;
	*v6 = !ip_addr_is_v4(&address);
	memcpy(octets, address.octets + (*v6 ? 0 : 12), *v6 ? 16 : 4);
	return true;
}

static bool parse(struct guesser *g, int argc, char **argv)
{
	static const struct option options[] = {
		{"from-mac", required_argument, NULL, 'f'},
		{"to-mac", required_argument, NULL, 'm'},
		{"from", required_argument, NULL, 'A'},
		{"to", required_argument, NULL, 'B'},
		{"domain", required_argument, NULL, 'd'},
		{"port", required_argument, NULL, 'p'},
		{"first", required_argument, NULL, 'F'},
		{"clients", required_argument, NULL, 'n'},
		{"step", required_argument, NULL, 's'},
		{"at-once", required_argument, NULL, 'o'},
		{"connections", required_argument, NULL, 'c'},
		{"recipients", required_argument, NULL, 'r'},
		{"every-us", required_argument, NULL, 'e'},
		{"after-us", required_argument, NULL, 'a'},
		{"patience-ms", required_argument, NULL, 'w'},
		{"spin-ms", required_argument, NULL, 'g'},
		{"seed", required_argument, NULL, 'S'},
		{0},
	};
	bool good = true, from_v6 = false, to_v6 = true;
	uint64_t number;
	int o;

	while (good && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'f')
			good = argument_mac(optarg, g->ends.from_mac);
		else if (o == 'm')
			good = argument_mac(optarg, g->ends.to_mac);
		else if (o == 'A')
			good = read_end(optarg, g->ends.from, &from_v6);
		else if (o == 'B')
			good = read_end(optarg, g->ends.to, &to_v6);
		else if (o == 'd')
			g->domain = optarg;
		else if ((good = o != '?' && argument_number(optarg, 0, UINT64_MAX, &number)))
			*number_of(g, o) = number;
	}
	if (g->spin_ms)
		return good && argc == optind;
	g->device = argv[optind];
	g->ends.v6 = from_v6;
	g->ends.to_port = (uint16_t)g->port;
	return good && argc - optind == 1 && from_v6 == to_v6 && g->port && g->port <= UINT16_MAX &&
	       g->every_us && g->step && g->connections && g->connections <= CONNECTIONS_MAX &&
	       g->at_once && g->at_once <= CONNECTIONS_MAX / g->connections && has_room(g);
}

int main(int argc, char **argv)
{
	static struct guesser guesser = {
		.clients = 1,
		.step = 1,
		.at_once = 1,
		.connections = 1,
		.recipients = 20,
		.every_us = 100,
		.patience_ms = 1000,
		.port = 25,
		.domain = "example.net",
	};
	struct guesser *g = &guesser;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!parse(g, argc, argv)) {
		fputs("guesser DEVICE --from-mac MAC --to-mac MAC --from NETWORK --to ADDRESS [--port N]\n"
		      "        [--domain NAME] [--first N] [--clients N] [--step N] [--at-once N]\n"
		      "        [--connections N] [--recipients N] [--every-us N] [--after-us N]\n"
		      "        [--patience-ms N] [--seed N]\n"
		      "guesser --spin-ms N\n",
		      stderr);
		return 2;
	}
	if (g->spin_ms) {
		spin(g);
		return 0;
	}
	if (!cable_open(&g->cable, g->device, true)) {
		fprintf(stderr, "guesser: %s: %s\n", g->device, strerror(errno));
		return 1;
	}
	run_all(g);
	cable_close(&g->cable);
	return 0;
}
