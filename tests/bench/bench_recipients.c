/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_recipients COUNT SECONDS RUNS [--no-baseline]: what a recipient costs in memory and a hit
 * in time, in bursts of 32, beside rte_hash with a key of 16 octets of SipHash; and what
 * additions and removals beside it cost the reader, and when he sees them. A line of JSON a figure.
 *
 * Thread: main reads; the changes are another's. Time: CLOCK_MONOTONIC.
 * Memory: both tables; the EAL's is told by -m.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_malloc.h>

#include "base/siphash.h"
#include "measure.h"
#include "postern/recipients.h"

enum {
	LOCAL = 12,
	BURST = RECIPIENTS_ASKED_MAX,
	CHANGES_A_SECOND = 10000,
	STAY = 256, /* 51 ms */
	WATCHED_MAX = 1 << 20,
	RUNS_MAX = 101,
};

static const char domain_name[] = "example.net";
static const struct siphash_key key = {0x0123456789abcdef, 0xfedcba9876543210};

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void write_local(char *local, char kind, uint32_t i)
{
	static const char stem[4] = {'u', 's', 'e', 'r'};

	memcpy(local, stem, sizeof(stem));
	for (int k = 0; k < LOCAL - 4; k++)
		local[4 + k] = (char)(kind + (i >> (4 * k) & 15));
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 2;
}

/* --- ours ------------------------------------------------------------------------------------ */

static struct recipients *ours_new(uint32_t count, double *seconds)
{
	struct recipients_config config = {.expected = count, .entropy = {1, 2, 3}};
	struct recipients_domain domain = {.name = domain_name, .name_len = 11};
	struct recipients_directory directory = {0};
	char line[LOCAL + 1 + sizeof(domain_name)];
	uint64_t begin = clock_ns();
	struct recipients *r = recipients_new(&config);
	uint32_t number;

	if (!r || recipients_add_domain(r, &domain, &number))
		return NULL;
	recipients_set_loaded(r, number, true);
	directory.recipients = r;
	line[LOCAL] = '@';
	memcpy(line + LOCAL + 1, domain_name, sizeof(domain_name));
	for (uint32_t i = 0; i < count; i++) {
		write_local(line, 'a', i);
		recipients_directory_line(&directory, line, sizeof(line) - 1);
	}
	recipients_directory_end(&directory);
	*seconds = (double)(clock_ns() - begin) / 1e9;
	return directory.added == count ? r : NULL;
}

/* Nanoseconds a hit; a wrong answer ends it all. */
static double ours_hit(const struct recipients *r, uint32_t count, double seconds, uint32_t seed)
{
	struct recipient_address asked[BURST];
	struct recipient_answer answers[BURST];
	char locals[BURST][LOCAL];
	uint64_t spent = 0, n = 0, bound = (uint64_t)(seconds * 1e9);

	for (unsigned k = 0; k < BURST; k++)
		asked[k] = (struct recipient_address){locals[k], domain_name, LOCAL, 11};
	while (spent < bound) {
		uint64_t begin;

		for (unsigned k = 0; k < BURST; k++)
			write_local(locals[k], 'a', next_random(&seed) % count);
		begin = clock_ns();
		recipients_find(r, asked, BURST, answers);
		spent += clock_ns() - begin;
		n += BURST;
		for (unsigned k = 0; k < BURST; k++)
			if (answers[k].finding != RECIPIENT_KNOWN)
				abort();
	}
	return (double)spent / (double)n;
}

/* --- the baseline ------------------------------------------------------------------------------
 */

struct digest_key {
	uint64_t octets[2];
};

/* As ours: local part and domain. */
static struct digest_key digest_of(const char *local)
{
	char name[LOCAL + 4] = {0};
	struct siphash_tag tag;

	memcpy(name, local, LOCAL);
	tag = siphash13_128(&key, name, sizeof(name));
	return (struct digest_key){{tag.lo, tag.hi}};
}

/* The key is a hash already. */
static uint32_t first_word(const void *k, uint32_t len, uint32_t init)
{
	uint32_t word;

	(void)len;
	memcpy(&word, k, sizeof(word));
	return word ^ init;
}

static uint64_t heap_octets(void)
{
	struct rte_malloc_socket_stats stats;

	rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

static struct rte_hash *theirs_new(uint32_t count, uint64_t *octets)
{
	struct rte_hash_parameters parameters = {
		.name = "baseline",
		.entries = count + count / 8, /* so that all go in */
		.key_len = sizeof(struct digest_key),
		.hash_func = first_word,
		.socket_id = 0,
	};
	uint64_t before = heap_octets();
	struct rte_hash *h = rte_hash_create(&parameters);
	char local[LOCAL];

	for (uint32_t i = 0; h && i < count; i++) {
		struct digest_key k;

		write_local(local, 'a', i);
		k = digest_of(local);
		if (rte_hash_add_key_data(h, &k, (void *)(uintptr_t)1) < 0)
			return NULL;
	}
	*octets = heap_octets() - before;
	return h;
}

static double theirs_hit(const struct rte_hash *h, uint32_t count, double seconds, uint32_t seed)
{
	struct digest_key keys[BURST];
	const void *asked[BURST];
	void *data[BURST];
	char locals[BURST][LOCAL];
	uint64_t spent = 0, n = 0, bound = (uint64_t)(seconds * 1e9), hits;

	while (spent < bound) {
		uint64_t begin;

		for (unsigned k = 0; k < BURST; k++)
			write_local(locals[k], 'a', next_random(&seed) % count);
		begin = clock_ns();
		for (unsigned k = 0; k < BURST; k++) {
			keys[k] = digest_of(locals[k]);
			asked[k] = &keys[k];
		}
		if (rte_hash_lookup_bulk_data(h, asked, BURST, &hits, data) != BURST)
			abort();
		spent += clock_ns() - begin;
		n += BURST;
	}
	return (double)spent / (double)n;
}

/* --- changes beside the reader -------------------------------------------------------------------
 */

struct changer {
	struct recipients *r;
	pthread_t thread;
	atomic_bool done;
	_Atomic uint64_t begun;	      /* pairs: one is added, the one STAY before it taken away */
	_Atomic uint64_t at_ns[STAY]; /* when the last were begun */
	uint64_t began_ns, seconds_ns;
};

static void add(struct recipients *r, uint64_t n)
{
	char local[LOCAL];
	const struct recipient_address a = {local, domain_name, LOCAL, 11};

	write_local(local, 'k', (uint32_t)n);
	if (recipients_put(r, &a, RECIPIENT_NORMAL, RECIPIENT_POOL_OF_DOMAIN) != RECIPIENTS_NEW)
		abort();
}

static void take_away(struct recipients *r, uint64_t n)
{
	char local[LOCAL];
	const struct recipient_address a = {local, domain_name, LOCAL, 11};

	write_local(local, 'k', (uint32_t)n);
	if (recipients_remove(r, &a))
		abort();
}

static void *change(void *arg)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	struct changer *c = arg;
	uint64_t n = 0;

	while (!atomic_load(&c->done)) {
		uint64_t due = (clock_ns() - c->began_ns) * (CHANGES_A_SECOND / 2) / 1000000000;

		for (; n < due; n++) {
			atomic_store(&c->at_ns[n % STAY], clock_ns());
			atomic_store(&c->begun, n + 1);
			add(c->r, n);
			if (n >= STAY)
				take_away(c->r, n - STAY);
		}
		nanosleep(&pause, NULL);
	}
	c->seconds_ns = clock_ns() - c->began_ns;
	for (uint64_t i = n > STAY ? n - STAY : 0; i < n; i++)
		take_away(c->r, i);
	return NULL;
}

static void changer_start(struct changer *c, struct recipients *r)
{
	*c = (struct changer){.r = r, .began_ns = clock_ns()};
	if (pthread_create(&c->thread, NULL, change, c))
		abort();
}

/* How many changes there were a second. */
static double changer_stop(struct changer *c)
{
	atomic_store(&c->done, true);
	pthread_join(c->thread, NULL);
	return 2e9 * (double)atomic_load(&c->begun) / (double)c->seconds_ns;
}

static double hit_beside_changes(struct recipients *r, uint32_t count, double seconds,
				 uint32_t seed)
{
	struct changer c;
	double ns;

	changer_start(&c, r);
	ns = ours_hit(r, count, seconds, seed);
	changer_stop(&c);
	return ns;
}

/* Until a reader finds it so, or it is changed again. */
static double until_seen(struct changer *c, uint64_t pair, uint64_t n,
			 enum recipient_finding wanted)
{
	char local[LOCAL];
	const struct recipient_address a = {local, domain_name, LOCAL, 11};
	uint64_t begin = atomic_load(&c->at_ns[pair % STAY]);
	struct recipient_answer answer;

	write_local(local, 'k', (uint32_t)n);
	do {
		recipients_find(c->r, &a, 1, &answer);
	} while (answer.finding != wanted && atomic_load(&c->begun) < pair + STAY);
	return (double)(clock_ns() - begin) / 1e6;
}

/* Milliseconds from the wish for a change to its being seen, additions and removals in turn. */
static size_t watch(struct recipients *r, double seconds, double *ms, double *changes)
{
	uint64_t end = clock_ns() + (uint64_t)(seconds * 1e9), last = STAY;
	struct changer c;
	size_t n = 0;

	changer_start(&c, r);
	while (clock_ns() < end && n < WATCHED_MAX) {
		uint64_t pair = atomic_load(&c.begun);

		if (pair <= last)
			continue;
		last = pair--;
		ms[n] = n % 2 ? until_seen(&c, pair, pair - STAY, RECIPIENT_UNKNOWN)
			      : until_seen(&c, pair, pair, RECIPIENT_KNOWN);
		n++;
	}
	*changes = changer_stop(&c);
	return n;
}

/* --- figures
 * -------------------------------------------------------------------------------------- */

static void print_figure(const char *metric, const char *unit, double value, int runs,
			 const char *baseline, double of_baseline)
{
	printf("{\"bench\": \"recipients\", \"metric\": \"%s\", \"unit\": \"%s\", \"median\": %.4g, "
	       "\"runs\": %d",
	       metric, unit, value, runs);
	if (baseline)
		printf(", \"baseline\": \"%s\", \"baseline_median\": %.4g, \"ratio\": %.3f",
		       baseline, of_baseline, value / of_baseline);
	printf("}\n");
	fflush(stdout);
}

static bool measure_visible(struct recipients *r, double seconds)
{
	double *ms = malloc(WATCHED_MAX * sizeof(*ms)), changes;
	size_t n = ms ? watch(r, seconds, ms, &changes) : 0;

	if (n) {
		qsort(ms, n, sizeof(*ms), by_size);
		print_figure("changes_per_second", "1/s", changes, 1, NULL, 0);
		print_figure("change_visible_ms_p99", "ms", ms[n * 99 / 100], 1, NULL, 0);
	}
	free(ms);
	return n;
}

static int measure(uint32_t count, double seconds, int runs, bool with_baseline)
{
	double ours[RUNS_MAX], theirs[RUNS_MAX], changing[RUNS_MAX], build_seconds;
	struct recipients *r = ours_new(count, &build_seconds);
	struct rte_hash *h = NULL;
	uint64_t octets = 0;
	bool visible;

	if (!r) {
		fprintf(stderr, "bench_recipients: no memory for the table\n");
		return 1;
	}
	print_figure("build_seconds", "s", build_seconds, 1, NULL, 0);
	if (with_baseline) {
		h = theirs_new(count, &octets);
		if (!h) {
			fprintf(stderr, "bench_recipients: no memory for the baseline\n");
			return 1;
		}
	}
	for (int i = 0; i < runs; i++) {
		uint32_t seed = (uint32_t)(977 * i + 1);

		ours[i] = ours_hit(r, count, seconds, seed);
		if (h)
			theirs[i] = theirs_hit(h, count, seconds, seed);
		changing[i] = hit_beside_changes(r, count, seconds, seed);
	}
	print_figure("bytes_per_recipient", "octets", (double)recipients_memory(r) / count, 1,
		     h ? "rte_hash" : NULL, (double)octets / count);
	print_figure("burst_hit_ns", "ns", median(ours, runs), runs, h ? "rte_hash" : NULL,
		     h ? median(theirs, runs) : 0);
	print_figure("burst_hit_beside_changes_ns", "ns", median(changing, runs), runs, "unchanged",
		     median(ours, runs));
	visible = measure_visible(r, seconds);
	if (!visible)
		fprintf(stderr, "bench_recipients: no change was seen\n");
	rte_hash_free(h);
	recipients_free(r);
	return visible ? 0 : 1;
}

int main(int argc, char **argv)
{
	uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000000;
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
	int runs = argc > 3 ? atoi(argv[3]) : 5;
	bool with_baseline = argc <= 4 || strcmp(argv[4], "--no-baseline") != 0;
	char text[][32] = {"bench_recipients",
			   "--no-huge",
			   "--no-shconf",
			   "--no-pci",
			   "--no-telemetry",
			   "--log-level=lib.eal:error",
			   "-m",
			   ""};
	char *eal[sizeof(text) / sizeof(text[0]) + 1] = {NULL};

	if (count == 0 || runs < 1 || runs > RUNS_MAX) {
		fprintf(stderr, "usage: bench_recipients COUNT SECONDS RUNS [--no-baseline]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		eal[i] = text[i];
	snprintf(text[7], sizeof(text[7]), "%" PRIu64,
		 with_baseline ? 64 + (uint64_t)count * 160 / (1 << 20) : 64);
	if (rte_eal_init(8, eal) < 0)
		return 1;
	/* Nothing is kept in it. */
	rmdir(rte_eal_get_runtime_dir());
	return measure(count, seconds, runs, with_baseline);
}
