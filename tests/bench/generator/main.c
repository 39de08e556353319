/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generator: the Internet at the other end of a memif link: clients, and floods of strangers.
 *
 * Thread: one, pinned, polling. It sleeps only while nothing is under way.
 * Time: one reading of the clock a round. Memory: all of it before the first frame.
 * Rules: one line on stderr says what was wrong; exit status 1, or 2 for a command line that makes
 * no sense. It ends by itself, whatever the gateway does: at --seconds what is open gets patience's
 * time to end and is then reset.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_prefetch.h>

#include "behind.h"
#include "clients.h"
#include "common/eal.h"
#include "flood.h"
#include "host.h"
#include "options.h"

enum {
	EXIT_USAGE = 2,
	SECOND_US = 1000 * 1000,
	LINK_PATIENCE_US = 10 * SECOND_US,
	CLOSING_CONNS = 1 << 16, /* beside those open: what is in TIME-WAIT */
	CONNS_MAX = 8 << 20,
	/* One in so many of strangers' handshakes may end for nothing: frames get lost where the
	 * machine gives its CPU to somebody else for a while. */
	UNGREETED_PART = 100,
};

struct generator {
	struct options options;
	struct host host;
	struct clients clients;
	struct flood flood;
	uint64_t began_us, ends_us, gives_up_us;
	uint64_t rounds, rounds_empty;
	uint64_t idle_ns, total_ns; /* rounds that moved nothing, and all */
	bool held_said;
	char error[512];
};

static struct generator generator;
static volatile sig_atomic_t release_wanted, stop_wanted;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		release_wanted = 1;
	else
		stop_wanted = 1;
}

__attribute__((format(printf, 2, 3))) static int wrong(struct generator *g, const char *format, ...)
{
	va_list args;

	if (g->error[0])
		return -1;
	va_start(args, format);
	vsnprintf(g->error, sizeof(g->error), format, args);
	va_end(args);
	return -1;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- a round ---------------------------------------------------------------------------------- */

/* Strangers' frames leave before TCP sees them. */
static uint32_t receive(struct generator *g, uint64_t now_us)
{
	struct net_segment segments[PORT_BURST];
	struct rte_mbuf *frames[PORT_BURST];
	uint16_t n = host_receive(&g->host, frames, PORT_BURST);
	uint32_t n_segments = 0;

	for (uint16_t i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(frames[i], void *));
	for (uint16_t i = 0; i < n; i++) {
		if (flood_input_take(&g->flood, frames[i], now_us))
			continue;
		if (net_input(&g->host.net, frames[i], &segments[n_segments]) == NET_SEGMENT)
			n_segments++;
		else
			rte_pktmbuf_free(frames[i]);
	}
	if (n_segments)
		tcp_input_take(g->host.tcp, segments, n_segments, now_us);
	return n;
}

static void serve(struct generator *g, uint64_t now_us)
{
	struct tcp_conn *conn;
	unsigned news;

	tcp_tick(g->host.tcp, now_us);
	while ((conn = tcp_next_news(g->host.tcp, &news)))
		if (behind_is_mine(g->host.tcp, conn))
			behind_news(g->host.tcp, conn, news);
		else
			clients_news(&g->clients, conn, news, now_us);
	clients_turn(&g->clients, now_us);
}

/* How many frames came and went. */
static uint32_t round_once(struct generator *g, uint64_t now_us)
{
	uint32_t moved = receive(g, now_us);

	serve(g, now_us);
	moved += host_output(&g->host, now_us);
	moved += flood_turn(&g->flood, now_us);
	port_flush(g->host.port, 0);
	g->rounds++;
	if (!moved)
		g->rounds_empty++;
	return moved;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void say_held(struct generator *g)
{
	if (g->held_said || !g->clients.n_held || !clients_rest(&g->clients))
		return;
	g->held_said = true;
	puts("held");
}

static void look_at_wishes(struct generator *g, uint64_t now_us)
{
	if (stop_wanted)
		g->ends_us = now_us;
	if (release_wanted)
		clients_release(&g->clients);
	if (now_us >= g->ends_us) {
		clients_stop(&g->clients);
		flood_stop(&g->flood, now_us);
	}
	/* What is held would wait for ever. */
	if (now_us >= g->gives_up_us || (now_us >= g->ends_us && clients_rest(&g->clients)))
		clients_abort(&g->clients);
}

static bool is_over(const struct generator *g)
{
	return clients_over(&g->clients) && flood_over(&g->flood);
}

/* Everybody is silent until somebody outside says something. */
static void rest(struct generator *g, uint64_t now_us)
{
	uint64_t due_us = RTE_MIN(tcp_next_due(g->host.tcp), g->ends_us);

	if (clients_rest(&g->clients) && flood_over(&g->flood) && due_us > now_us)
		port_idle(&g->host.port, 1, 0, -1, due_us - now_us);
}

static void run(struct generator *g)
{
	uint64_t now_ns = clock_ns(), next_ns;

	while (!is_over(g)) {
		uint64_t now_us = now_ns / 1000;
		uint32_t moved = round_once(g, now_us);

		look_at_wishes(g, now_us);
		say_held(g);
		if (!moved)
			rest(g, now_us);
		next_ns = clock_ns();
		if (!moved)
			g->idle_ns += next_ns - now_ns;
		g->total_ns += next_ns - now_ns;
		now_ns = next_ns;
	}
	/* The last resets and ACKs; whether they are read before the link goes is the reader's
	 * luck. */
	round_once(g, now_ns / 1000);
}

/* --- the counts ------------------------------------------------------------------------------- */

static void clients_print(const struct clients *c, double seconds)
{
	const struct histogram *h = &c->times[TIMED_GREETING];

	printf("\"clients\": {\"opened\": %" PRIu64 ", \"greeted\": %" PRIu64 ", \"well\": %" PRIu64
	       ", \"wrong\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"well_per_second\": %.1f, "
	       "\"greeting_us\": {\"p50\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"max\": %" PRIu64
	       "}, \"faults\": {",
	       c->opened, h->n, c->well, c->wrong, c->lost, (double)c->well / seconds,
	       histogram_per_mille(h, 500), histogram_per_mille(h, 990), h->max);
	for (int i = FAULT_NONE + 1; i < FAULTS; i++)
		printf("%s\"%s\": %" PRIu64, i > FAULT_NONE + 1 ? ", " : "", client_fault_name(i),
		       c->faults[i]);
	printf("}}, ");
}

static void flood_print(const struct flood *f)
{
	struct flood_counts window;
	double seconds = flood_window(f, &window);
	double each = seconds > 0 ? 1 / seconds : 0;

	printf("\"flood\": {\"syns\": %" PRIu64 ", \"syn_acks\": %" PRIu64 ", \"wrong\": %" PRIu64
	       ", \"completed\": %" PRIu64 ", \"greeted\": %" PRIu64 ", \"ungreeted\": %" PRIu64
	       ", \"seconds\": %.3f, \"syns_per_second\": %.0f, \"frames_lost_per_second\": %.0f, "
	       "\"syn_acks_per_second\": %.0f}, ",
	       f->counts.syns, f->counts.syn_acks, f->counts.wrong, f->counts.completed,
	       f->counts.greeted, f->counts.ungreeted, seconds, (double)window.syns * each,
	       (double)window.frames_lost * each, (double)window.syn_acks * each);
}

static void counts_print(const struct generator *g)
{
	double seconds = (double)g->total_ns / 1e9;

	printf("{\"seed\": %" PRIu64 ", \"seconds\": %.3f, ", g->options.seed, seconds);
	if (g->options.clients.script)
		clients_print(&g->clients, seconds);
	if (g->options.syn_rate)
		flood_print(&g->flood);
	printf("\"rounds\": %" PRIu64 ", \"rounds_empty\": %" PRIu64 ", \"busy_share\": %.4f, "
	       "\"frames_in\": %" PRIu64 ", \"frames_out\": %" PRIu64 ", \"frames_lost\": %" PRIu64
	       "}\n",
	       g->rounds, g->rounds_empty, 1 - (double)g->idle_ns / (double)g->total_ns,
	       g->host.counters.port_rx_frames, g->host.counters.port_tx_frames,
	       g->host.counters.port_tx_full);
	fflush(stdout);
}

/* What was not as it must be, or not looked at; 0: all is well. */
static int judge(struct generator *g)
{
	const struct clients *c = &g->clients;
	const struct flood_counts *f = &g->flood.counts;

	if (c->wrong)
		return wrong(g, "%" PRIu64 " of %" PRIu64 " conversations heard what is wrong",
			     c->wrong, c->opened);
	if (f->wrong)
		return wrong(g, "%" PRIu64 " answers to strangers were wrong", f->wrong);
	if (f->ungreeted * UNGREETED_PART > f->completed)
		return wrong(g,
			     "%" PRIu64 " of %" PRIu64 " strangers' handshakes brought no greeting",
			     f->ungreeted, f->completed);
	if (c->config.script && !c->well)
		return wrong(g, "no conversation of %" PRIu64 " went well", c->opened);
	if (c->config.count && c->opened < c->config.count)
		return wrong(g, "time was up after %" PRIu64 " of %" PRIu64 " conversations",
			     c->opened, c->config.count);
	if (g->options.complete_each && !f->greeted)
		return wrong(g, "no handshake of a stranger was completed");
	return 0;
}

/* --- start ------------------------------------------------------------------------------------ */

static void flood_configure(const struct generator *g, struct flood_config *flood)
{
	const struct options *o = &g->options;

	*flood = (struct flood_config){
		.forge = {.network = o->flood_network,
			  .gateway = o->clients.target,
			  .port = o->clients.port,
			  .key = o->seed},
		.rate = o->syn_rate,
		.complete_each = o->complete_each,
		.greeting = o->greeting,
		.begin_us = g->began_us,
		.end_us = g->ends_us,
		.seed = ~o->seed,
	};
	memcpy(flood->forge.mac, g->host.net.ports[0].mac, 6);
	memcpy(flood->forge.gateway_mac, o->host.gateway_mac, 6);
}

static bool link_await(struct generator *g)
{
	uint64_t give_up_us = clock_ns() / 1000 + LINK_PATIENCE_US;

	if (!host_knock(&g->host))
		return false;
	while (!host_link_is_up(&g->host))
		if (stop_wanted || clock_ns() / 1000 > give_up_us)
			return false;
	return true;
}

static int start(struct generator *g)
{
	struct options *o = &g->options;
	uint64_t conns = (uint64_t)clients_capacity(&o->clients) + CLOSING_CONNS;
	struct flood_config flood;

	if (!o->has_seed && getrandom(&o->seed, sizeof(o->seed), 0) != (ssize_t)sizeof(o->seed))
		return wrong(g, "no entropy");
	o->host.conns = (uint32_t)RTE_MIN(conns, (uint64_t)CONNS_MAX);
	o->host.lossy = o->syn_rate && o->syn_rate != FLOOD_UNLIMITED;
	o->host.seed = o->clients.seed = o->seed;
	test_eal_start_on("generator", o->cpu);
	if (host_open(&g->host, &o->host, g->error, sizeof(g->error)) != 0)
		return -1;
	if (!link_await(g))
		return wrong(g, "nobody is at the other end of the link");
	g->began_us = clock_ns() / 1000;
	g->ends_us = g->began_us + (uint64_t)o->seconds * SECOND_US;
	g->gives_up_us = g->ends_us + o->clients.patience_us;
	flood_configure(g, &flood);
	if (!flood_init(&g->flood, &flood, &g->host) ||
	    !clients_init(&g->clients, &o->clients, &g->host, g->began_us))
		return wrong(g, "no memory for %u clients", clients_capacity(&o->clients));
	puts("ready");
	return 0;
}

static void signals_take(void)
{
	const struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct generator *g = &generator;
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (options_parse(&g->options, argc, argv, g->error, sizeof(g->error)) != 0) {
		fprintf(stderr, "generator: %s\n", g->error);
		return EXIT_USAGE;
	}
	if (g->options.help) {
		options_usage(stdout);
		return EXIT_SUCCESS;
	}
	signals_take();
	failed = start(g);
	if (!failed) {
		run(g);
		counts_print(g);
		failed = judge(g);
	}
	if (failed)
		fprintf(stderr, "generator: %s\n", g->error);
	clients_fini(&g->clients);
	if (g->host.port)
		host_close(&g->host);
	rte_eal_cleanup();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
