/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_harvest SENDERS: the harvest test against ten virtual days of senders and guessers. SENDERS
 * honest ones send 10,000 delivered recipients each with 5 % unknown among them; the other groups
 * are as large as they need to be. A line of JSON a figure; exit status 1 when one of SEMANTICS'
 * promises does not hold.
 *
 * Thread: as many as CPUs, each with clients of its own, all on one table. Time: virtual.
 * Memory: the table and its filter. POSTERN_SEED chooses all that is random.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "postern/harvest.h"

enum {
	DAY = 24 * 3600,
	DAYS = 10,
	START = 1800000000 / DAY * DAY,
	DELIVERED = 10000, /* recipients a sender */
	UNKNOWN_PPM = 50000,
	OWN_RECIPIENTS = 3000, /* a sender draws from so many */
	MESSAGE_MAX = 3,       /* recipients of one message */
	GUESSERS = 100000,
	LUCKY_PPM = 100000,
	PROBERS = 20000,
	BOUNCERS = 10000,
	BOUNCES = 100, /* of each, to users who are not there */
	PROVIDERS = 1000,
	RESENDERS = 1000,
	THREADS_MAX = 16,
	ASKED_MAX = 32,
};

struct sim {
	struct harvest *h;
	uint64_t seed;
	uint32_t senders;
	/* What came of it, over all threads. */
	_Atomic uint64_t events, flagged, flagged_in_outage, first_contact;
	_Atomic uint64_t within_6, within_14, guesses_most;
	_Atomic uint64_t prober_most, bouncers_dropped, providers_dropped, resenders_flagged;
	uint32_t *long_transactions; /* RCPTs until the end, a prober */
};

static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* --- one client's life ---------------------------------------------------------------------------
 */

struct life {
	struct sim *sim;
	struct harvest_client client;
	struct harvest_loan loan;
	uint64_t random, me;
	uint32_t now_s, names;
	bool dropped, closed; /* the drop; a door that was shut */
	uint32_t answered_unknown, asked;
};

static uint32_t draw(struct life *l, uint32_t below)
{
	l->random = l->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((l->random >> 32) * below >> 32);
}

/* Each group has networks of its own; four clients share a /24. */
static struct life life_of(struct sim *s, uint32_t group, uint32_t i)
{
	uint32_t net = i / 4;
	const uint8_t octets[4] = {(uint8_t)(20 + group), (uint8_t)(net >> 8), (uint8_t)net,
				   (uint8_t)(1 + i % 4)};
	struct life l = {
		.sim = s,
		.client = {.address = ip_addr_from_v4(octets), .sender = mix(i)},
		.random = mix(s->seed + ((uint64_t)group << 32) + i),
		.me = (uint64_t)group << 32 | i,
		.now_s = START,
	};

	if (net >> 16) { /* more than an octet has room for: IPv6 */
		uint8_t *o = l.client.address.octets;

		memset(o, 0, 16);
		o[0] = 0x20, o[1] = (uint8_t)(1 + group), o[2] = (uint8_t)(net >> 24),
		o[3] = (uint8_t)(net >> 16), o[4] = (uint8_t)(net >> 8), o[5] = (uint8_t)net,
		o[7] = (uint8_t)(i % 4);
	}
	return l;
}

static struct recipient_address name(char *local, char kind, uint64_t me, uint32_t i)
{
	local[0] = kind;
	for (int k = 0; k < 10; k++)
		local[1 + k] = (char)('a' + (me >> (4 * k) & 15));
	for (int k = 0; k < 8; k++)
		local[11 + k] = (char)('a' + (i >> (4 * k) & 15));
	return (struct recipient_address){local, "example.net", 19, 11};
}

/* Asks for n recipients of one kind each; stops where it is stopped. */
static void ask(struct life *l, const struct recipient_address *asked,
		const enum harvest_evidence *evidence, uint32_t n)
{
	enum harvest_answer answers[ASKED_MAX];
	struct harvest_verdicts verdicts;

	harvest_recipients(l->sim->h, &l->client, asked, evidence, n, &l->loan, l->now_s, answers,
			   &verdicts);
	for (uint32_t i = 0; i < n && !l->dropped && !l->closed; i++) {
		bool answered = answers[i] != HARVEST_TOO_LATE && answers[i] != HARVEST_LIMIT;

		l->asked += answered;
		l->answered_unknown += answered && evidence[i] != HARVEST_GOOD;
		l->dropped = answers[i] == HARVEST_SHUT_OUT || answers[i] == HARVEST_TOO_LATE;
		l->closed = answers[i] == HARVEST_SHUT_DOOR;
	}
}

static void settle(struct life *l, enum harvest_end end)
{
	struct harvest_verdicts verdicts;

	if (harvest_settle(l->sim->h, &l->client, &l->loan, end, l->now_s, &verdicts))
		l->dropped = true;
}

static void at_most(_Atomic uint64_t *most, uint64_t value)
{
	uint64_t old = atomic_load(most);

	while (old < value && !atomic_compare_exchange_weak(most, &old, value))
		;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* A message to one to three of its recipients, some of whom are no more; and what became of it. */
static uint32_t message(struct life *l, enum harvest_end end)
{
	struct recipient_address asked[MESSAGE_MAX];
	enum harvest_evidence evidence[MESSAGE_MAX];
	char locals[MESSAGE_MAX][19];
	uint32_t n = 1 + draw(l, MESSAGE_MAX), good = 0;

	for (uint32_t i = 0; i < n; i++) {
		bool unknown = draw(l, 1000000) < UNKNOWN_PPM;

		asked[i] = unknown ? name(locals[i], 'u', l->me, l->names++)
				   : name(locals[i], 'g', l->me, draw(l, OWN_RECIPIENTS));
		evidence[i] = unknown ? HARVEST_UNKNOWN : HARVEST_GOOD;
		good += !unknown;
	}
	ask(l, asked, evidence, n);
	if (!l->dropped && !l->closed && good)
		settle(l, end);
	else
		settle(l, HARVEST_ABANDONED);
	l->closed = false; /* it tries again */
	return n;
}

/* Ten days at an even pace; on the fifth the backends are away for an hour. */
static void honest(struct sim *s, uint32_t i)
{
	struct life l = life_of(s, 0, i);
	uint32_t total = DELIVERED * 100 / 95, sent = 0;
	bool flagged = false;

	while (sent < total) {
		bool outage;

		l.now_s = START + (uint32_t)((uint64_t)DAYS * DAY * sent / total);
		outage = l.now_s >= START + 5 * DAY && l.now_s < START + 5 * DAY + 3600;
		sent += message(&l, outage ? HARVEST_FAILED : HARVEST_DELIVERED);
		if (l.dropped && !flagged) {
			atomic_fetch_add(&s->flagged, 1);
			atomic_fetch_add(&s->flagged_in_outage, outage);
			atomic_fetch_add(&s->first_contact, l.asked < 50);
			flagged = true;
		}
		l.dropped = false;
	}
	atomic_fetch_add(&s->events, sent);
}

static void guesser(struct sim *s, uint32_t i)
{
	struct life l = life_of(s, 1, i);
	char local[19];

	l.now_s += DAY / 2;
	for (uint32_t guesses = 1; !l.dropped; guesses++) {
		bool lucky = draw(&l, 1000000) < LUCKY_PPM;
		struct recipient_address a = name(local, lucky ? 'g' : 'u', l.me, guesses);
		enum harvest_evidence evidence = lucky ? HARVEST_GOOD : HARVEST_UNKNOWN;

		ask(&l, &a, &evidence, 1);
		if (!l.dropped && guesses % 20 == 0)
			settle(&l, HARVEST_ABANDONED);
		if (l.dropped) {
			atomic_fetch_add(&s->within_6, guesses <= 6);
			atomic_fetch_add(&s->within_14, guesses <= 14);
			at_most(&s->guesses_most, guesses);
		}
	}
}

/* Knows half of the addresses and never sends: in transactions of five, or in one. */
static uint32_t prober(struct sim *s, uint32_t group, uint32_t i, uint32_t transaction)
{
	struct life l = life_of(s, group, i);
	char local[19];

	l.now_s += DAY / 2;
	for (uint32_t n = 1; !l.dropped && n < 10000; n++) {
		bool known = draw(&l, 2);
		struct recipient_address a = name(local, known ? 'g' : 'u', l.me, n);
		enum harvest_evidence evidence = known ? HARVEST_GOOD : HARVEST_UNKNOWN;

		ask(&l, &a, &evidence, 1);
		if (!l.dropped && n % transaction == 0)
			settle(&l, HARVEST_ABANDONED);
	}
	at_most(&s->prober_most, transaction < 10 ? l.answered_unknown : 0);
	return l.asked;
}

static void bouncer(struct sim *s, uint32_t i)
{
	struct life l = life_of(s, 4, i);
	char local[19];
	bool dropped = false;

	l.client.null_sender = true;
	for (uint32_t n = 0; n < BOUNCES; n++) {
		struct recipient_address a = name(local, 'u', l.me, n);
		enum harvest_evidence evidence = HARVEST_UNKNOWN;

		l.now_s += 600;
		if (harvest_standing(s->h, &l.client, l.now_s) == HARVEST_LIMITED)
			continue;
		ask(&l, &a, &evidence, 1);
		l.client.null_sender = false;
		dropped |=
			l.dropped || harvest_standing(s->h, &l.client, l.now_s) != HARVEST_WELCOME;
		l.client.null_sender = true;
	}
	atomic_fetch_add(&s->bouncers_dropped, dropped);
}

/* A thousand delivered a day, and two traps on the fourth. */
static void provider(struct sim *s, uint32_t i)
{
	struct life l = life_of(s, 5, i);
	bool dropped = false;
	char local[19];

	for (uint32_t day = 0; day < 4; day++) {
		for (uint32_t sent = 0; sent < 1000;) {
			l.now_s = START + day * DAY + sent * 80;
			sent += message(&l, HARVEST_DELIVERED);
			/* At first contact chance is against one in 10^5. */
			if (day < 3)
				l.dropped = false;
			dropped |= l.dropped;
			if (day == 3 && (sent / 3 == 100 || sent / 3 == 101)) {
				struct recipient_address a = name(local, 't', l.me, sent);
				enum harvest_evidence evidence = HARVEST_TRAP;

				ask(&l, &a, &evidence, 1);
				dropped |= l.dropped;
			}
		}
	}
	atomic_fetch_add(&s->providers_dropped, dropped);
}

/* The same list every hour, three of whom are no more. */
static void resender(struct sim *s, uint32_t i)
{
	struct life l = life_of(s, 6, i);
	enum harvest_evidence evidence[12];
	struct recipient_address asked[12];
	char locals[12][19];

	for (uint32_t hour = 0; hour < DAYS * 24; hour++) {
		l.now_s = START + hour * 3600;
		for (uint32_t k = 0; k < 12; k++) {
			asked[k] = name(locals[k], k < 3 ? 'u' : 'g', l.me, k);
			evidence[k] = k < 3 ? HARVEST_UNKNOWN : HARVEST_GOOD;
		}
		ask(&l, asked, evidence, 12);
		settle(&l, HARVEST_DELIVERED);
	}
	atomic_fetch_add(&s->resenders_flagged, l.dropped);
}

/* --- running them --------------------------------------------------------------------------------
 */

struct share {
	struct sim *sim;
	uint32_t number, of;
};

static void *run_share(void *arg)
{
	struct share *share = arg;
	struct sim *s = share->sim;

	for (uint32_t i = share->number; i < s->senders; i += share->of)
		honest(s, i);
	for (uint32_t i = share->number; i < GUESSERS; i += share->of)
		guesser(s, 4 * i); /* each in a /24 of its own */
	for (uint32_t i = share->number; i < PROBERS; i += share->of) {
		prober(s, 2, 4 * i, 5);
		s->long_transactions[i] = prober(s, 3, 4 * i, 1000);
	}
	for (uint32_t i = share->number; i < BOUNCERS; i += share->of)
		bouncer(s, i);
	for (uint32_t i = share->number; i < PROVIDERS; i += share->of)
		provider(s, i);
	for (uint32_t i = share->number; i < RESENDERS; i += share->of)
		resender(s, i);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool figure(const char *metric, const char *unit, double value, double most)
{
	printf("{\"bench\": \"harvest\", \"metric\": \"%s\", \"unit\": \"%s\", \"median\": %.6g, "
	       "\"runs\": 1}\n",
	       metric, unit, value);
	fflush(stdout);
	if (value <= most)
		return true;
	fprintf(stderr, "bench_harvest: %s is %.6g, more than %.6g\n", metric, value, most);
	return false;
}

static bool tell(struct sim *s)
{
	struct harvest_counts counts;
	uint32_t median;
	bool well = true;

	harvest_count(s->h, START, &counts);
	qsort(s->long_transactions, PROBERS, sizeof(*s->long_transactions), by_value);
	median = s->long_transactions[PROBERS / 2];
	figure("recipients_simulated", "recipients", (double)atomic_load(&s->events), 1e18);
	figure("filter_share_of_a_day", "share", counts.filter_share, 1);
	figure("entries_used", "entries", (double)counts.used, 1e18);
	well &= figure("honest_flagged", "senders", (double)atomic_load(&s->flagged),
		       s->senders >= 100000 ? 4 : 2);
	figure("honest_flagged_at_first_contact", "senders", (double)atomic_load(&s->first_contact),
	       1e18);
	well &= figure("honest_flagged_in_an_outage", "senders",
		       (double)atomic_load(&s->flagged_in_outage), 0);
	well &= figure("guessers_not_within_6", "share",
		       1 - (double)atomic_load(&s->within_6) / GUESSERS, 0.15);
	well &= figure("guessers_not_within_14", "share",
		       1 - (double)atomic_load(&s->within_14) / GUESSERS, 0.001);
	well &= figure("prober_unknown_answered_max", "recipients",
		       (double)atomic_load(&s->prober_most), 6);
	well &= figure("prober_long_transaction_median", "recipients", (double)median, 24);
	well &= figure("innocent_bouncers_dropped", "senders",
		       (double)atomic_load(&s->bouncers_dropped), 0);
	well &= figure("providers_dropped_for_two_traps", "senders",
		       (double)atomic_load(&s->providers_dropped), 0);
	well &= figure("resenders_of_a_stale_list_flagged", "senders",
		       (double)atomic_load(&s->resenders_flagged), 0);
	return well;
}

int main(int argc, char **argv)
{
	struct share shares[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	struct harvest_config config;
	const char *seed = getenv("POSTERN_SEED");
	struct sim s = {
		.senders = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000,
		.seed = seed ? strtoull(seed, NULL, 0) : 1,
	};
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	bool well;

	harvest_defaults(&config);
	memcpy(config.entropy, &s.seed, sizeof(s.seed));
	s.h = harvest_new(&config);
	s.long_transactions = calloc(PROBERS, sizeof(*s.long_transactions));
	if (!s.h || !s.long_transactions) {
		fprintf(stderr, "bench_harvest: no memory\n");
		free(s.long_transactions);
		return 1;
	}
	fprintf(stderr, "POSTERN_SEED=%" PRIu64 "\n", s.seed);
	n = n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
	for (long i = 0; i < n; i++) {
		shares[i] = (struct share){&s, (uint32_t)i, (uint32_t)n};
		if (pthread_create(&threads[i], NULL, run_share, &shares[i]))
			return 1;
	}
	for (long i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	well = tell(&s);
	harvest_free(s.h);
	free(s.long_transactions);
	return well ? 0 : 1;
}
