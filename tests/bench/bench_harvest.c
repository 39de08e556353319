/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_harvest SENDERS [FILTER]: the harvest test against ten virtual days of senders and
 * guessers. SENDERS honest ones send 10,000 delivered recipients each with 5 % unknown among them;
 * the other groups are as large as they need to be, and those who come once come at all hours.
 * FILTER: octets of a day's, of either kind. A line of JSON a figure; exit status 1 when one of
 * SEMANTICS' promises does not hold.
 *
 * Thread: as many as CPUs, each with clients of its own, all on one table; they meet every hour.
 * Time: virtual. Memory: the table and its filters, a life a client that lasts. POSTERN_SEED
 * chooses all that is random.
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
	HOURS = DAYS * 24,
	OUTAGE_HOUR = 5 * 24, /* the backends are away for an hour */
	START = 1800000000 / DAY * DAY,
	DELIVERED = 10000, /* recipients a sender */
	UNKNOWN_PPM = 50000,
	OWN_RECIPIENTS = 3000, /* a sender draws from so many */
	MESSAGE_MAX = 3,       /* recipients of one message */
	STRANGERS = 100000,    /* who guess, and never right */
	GUESSERS = 100000,
	LUCKY_PPM = 100000,
	PROBERS = 20000,
	BOUNCERS = 10000,
	BOUNCES = 6, /* an hour of each, for a day, to users who are not there */
	PROVIDERS = 1000,
	PROVIDERS_DAILY = 1000,
	PROVIDERS_DAYS = 4,
	RESENDERS = 1000,
	RESENT = 12,	      /* recipients of a list ... */
	RESENT_DEAD = 3,      /* ... and how many are no more */
	LISTS_MAX = 40000,    /* senders of a list of each kind */
	LIST_RECIPIENTS = 50, /* of it a transaction; one on each connection */
	LIST_CONNECTIONS_MAX = 20,
	PARALLEL_PROBERS = 5000,
	PARALLEL_TRANSACTIONS = 50,
	LENDERS = 5000,
	LENDER_KNOWN = 100,
	NET_24 = 250,  /* clients of one /24 */
	NET_48 = 5000, /* of one /48 */
	THREADS_MAX = 16,
	ASKED_MAX = 32,
};

/* Who has networks of its own. */
enum group {
	HONEST,
	GUESSER,
	PROBER,
	PROBER_AT_ONCE,
	BOUNCER,
	PROVIDER,
	RESENDER,
	STRANGER,
	LIST,
	PARALLEL_PROBER,
	LENDER,
};

static const struct list {
	uint32_t connections, unknown_ppm, n;
	bool has_credit;
} lists[] = {
	{2, 30000, 10000, false}, {4, 30000, 10000, false}, {20, 30000, 10000, false},
	{2, 50000, 10000, false}, {4, 50000, 10000, false}, {20, 50000, 40000, false},
	{2, 30000, 10000, true},  {4, 30000, 10000, true},  {20, 30000, 10000, true},
	{2, 50000, 10000, true},  {4, 50000, 10000, true},  {20, 50000, 40000, true},
};

enum { LIST_KINDS = sizeof(lists) / sizeof(lists[0]) };

/* They are most of the work: a short run has a hundredth of them, and a bar for so few. */
enum { SHORT_SENDERS = 2000, SHORT_LISTS = 100 };
static const double short_list_bar = 0.02;

struct life;

struct sim {
	struct harvest *h;
	uint64_t seed;
	uint32_t senders;
	struct life *honest, *providers, *resenders, *bouncers;
	pthread_barrier_t hour;
	uint64_t filter_octets;
	/* What came of it, over all threads. */
	_Atomic uint64_t events, flagged_in_outage, first_contact;
	_Atomic uint64_t within_6, within_14, answered_most, prober_most;
	_Atomic uint64_t lists_flagged[LIST_KINDS], lender_most;
	_Atomic uint64_t parallel_in_turn_most, parallel_most;
	uint64_t answered_24, answered_48;
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
	uint32_t now_s, names, sent;
	bool dropped, closed; /* the drop; a door that was shut */
	bool ever_dropped, ever_closed;
	uint32_t answered_unknown, asked;
};

static uint32_t draw(struct life *l, uint32_t below)
{
	l->random = l->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((l->random >> 32) * below >> 32);
}

/* Each group has networks of its own; four clients share a /24. */
static struct life life_of(struct sim *s, enum group group, uint32_t i)
{
	uint32_t net = i / 4;
	const uint8_t octets[4] = {(uint8_t)(20 + group), (uint8_t)(net >> 8), (uint8_t)net,
				   (uint8_t)(1 + i % 4)};
	struct life l = {
		.sim = s,
		.client = {.address = ip_addr_from_v4(octets), .sender = mix(i)},
		.random = mix(mix(s->seed) + ((uint64_t)group << 32) + i),
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
	l->ever_closed |= l->closed;
	l->closed = false; /* it tries again */
	return n;
}

/* What was to be sent by the end of this hour, when so many are in so many hours. */
static void send_on(struct life *l, uint32_t hour, uint32_t total, uint32_t hours)
{
	uint32_t due = (uint32_t)((uint64_t)total * (hour + 1) / hours), before = l->sent;
	enum harvest_end end = hour == OUTAGE_HOUR ? HARVEST_FAILED : HARVEST_DELIVERED;

	while (l->sent < due) {
		l->now_s = START + (uint32_t)((uint64_t)hours * 3600 * l->sent / total);
		l->sent += message(l, end);
		if (l->dropped && !l->ever_dropped) {
			atomic_fetch_add(&l->sim->flagged_in_outage, hour == OUTAGE_HOUR);
			atomic_fetch_add(&l->sim->first_contact, l->asked < 50);
		}
		l->ever_dropped |= l->dropped;
		l->dropped = false;
	}
	atomic_fetch_add(&l->sim->events, l->sent - before);
}

static void ask_one(struct life *l, char kind, uint32_t number, enum harvest_evidence evidence)
{
	char local[19];
	struct recipient_address a = name(local, kind, l->me, number);

	ask(l, &a, &evidence, 1);
}

static struct life stranger_of(struct sim *s, enum group group, uint32_t i, uint32_t hour)
{
	struct life l = life_of(s, group, 4 * i); /* in a /24 of its own */

	l.now_s = START + hour * 3600 + 1800;
	return l;
}

static void stranger(struct sim *s, uint32_t i, uint32_t hour)
{
	struct life l = stranger_of(s, STRANGER, i, hour);

	for (uint32_t guess = 0; !l.dropped; guess++)
		ask_one(&l, 'u', guess, HARVEST_UNKNOWN);
	at_most(&s->answered_most, l.answered_unknown);
}

static void guesser(struct sim *s, uint32_t i, uint32_t hour)
{
	struct life l = stranger_of(s, GUESSER, i, hour);
	uint32_t guesses = 0;

	while (!l.dropped) {
		if (draw(&l, 1000000) < LUCKY_PPM)
			ask_one(&l, 'g', guesses, HARVEST_GOOD);
		else
			ask_one(&l, 'u', guesses, HARVEST_UNKNOWN);
		if (++guesses % 20 == 0 && !l.dropped)
			settle(&l, HARVEST_ABANDONED);
	}
	atomic_fetch_add(&s->within_6, guesses <= 6);
	atomic_fetch_add(&s->within_14, guesses <= 14);
}

/* Knows half of the addresses and never sends: in transactions of five, or in one. */
static uint32_t prober(struct sim *s, enum group group, uint32_t i, uint32_t hour)
{
	struct life l = stranger_of(s, group, i, hour);

	for (uint32_t n = 1; !l.dropped && n < 10000; n++) {
		bool known = draw(&l, 2);

		ask_one(&l, known ? 'g' : 'u', n, known ? HARVEST_GOOD : HARVEST_UNKNOWN);
		if (!l.dropped && group == PROBER && n % 5 == 0)
			settle(&l, HARVEST_ABANDONED);
	}
	if (group == PROBER)
		at_most(&s->prober_most, l.answered_unknown);
	return l.asked;
}

static void ask_on(struct life *l, struct harvest_loan *loan, char kind,
		   enum harvest_evidence evidence)
{
	l->loan = *loan;
	ask_one(l, kind, l->names++, evidence);
	*loan = l->loan;
}

static void settle_on(struct life *l, struct harvest_loan *loan, enum harvest_end end)
{
	l->loan = *loan;
	settle(l, end);
	*loan = l->loan;
}

/* Yesterday's. */
static void earn_credit(struct life *l)
{
	enum { ENOUGH = 20 };

	l->now_s -= DAY;
	for (uint32_t i = 0; i < ENOUGH; i++)
		ask_one(l, 'g', l->names++, HARVEST_GOOD);
	settle(l, HARVEST_DELIVERED);
	l->now_s += DAY;
}

/* One transaction on each connection, in any order. */
static void list_sender(struct sim *s, uint32_t kind, uint32_t i, uint32_t hour)
{
	struct life l = life_of(s, LIST, kind * LISTS_MAX + i);
	struct harvest_loan loans[LIST_CONNECTIONS_MAX] = {0};
	uint32_t open[LIST_CONNECTIONS_MAX], sent[LIST_CONNECTIONS_MAX] = {0};
	uint32_t n = lists[kind].connections;

	l.now_s = START + hour * 3600 + 1800;
	if (lists[kind].has_credit)
		earn_credit(&l);
	for (uint32_t k = 0; k < n; k++)
		open[k] = k;
	while (n && !l.dropped && !l.closed) {
		uint32_t at = draw(&l, n), k = open[at];
		bool unknown = draw(&l, 1000000) < lists[kind].unknown_ppm;

		ask_on(&l, &loans[k], unknown ? 'u' : 'g',
		       unknown ? HARVEST_UNKNOWN : HARVEST_GOOD);
		if (++sent[k] < LIST_RECIPIENTS)
			continue;
		settle_on(&l, &loans[k], HARVEST_DELIVERED);
		open[at] = open[--n];
	}
	atomic_fetch_add(&s->lists_flagged[kind], l.dropped || l.closed);
}

/* Three that it knows and two that it tries, in each of many transactions: in any order, in turn,
 * or all that it knows first. */
static void parallel_prober(struct sim *s, uint32_t i, uint32_t hour)
{
	enum { KNOWN = 3, TRIED = 2 };
	struct life l = stranger_of(s, PARALLEL_PROBER, i, hour);
	struct harvest_loan loans[PARALLEL_TRANSACTIONS] = {0};
	uint32_t sent[PARALLEL_TRANSACTIONS] = {0};
	bool known_first = i % 4 == 0, in_turn = i % 4 == 1;

	for (uint32_t k = 0; known_first && k < PARALLEL_TRANSACTIONS; k++)
		for (; sent[k] < KNOWN; sent[k]++)
			ask_on(&l, &loans[k], 'g', HARVEST_GOOD);
	for (uint32_t n = 0; n < 10000 && !l.dropped; n++) {
		uint32_t k = in_turn ? n / (KNOWN + TRIED) % PARALLEL_TRANSACTIONS
				     : draw(&l, PARALLEL_TRANSACTIONS);
		bool known = sent[k] < KNOWN;

		if (sent[k]++ < KNOWN + TRIED)
			ask_on(&l, &loans[k], known ? 'g' : 'u',
			       known ? HARVEST_GOOD : HARVEST_UNKNOWN);
	}
	for (uint32_t k = 0; k < PARALLEL_TRANSACTIONS; k++)
		settle_on(&l, &loans[k], HARVEST_ABANDONED);
	at_most(in_turn ? &s->parallel_in_turn_most : &s->parallel_most, l.answered_unknown);
}

/* Lets what it knows lend in one transaction, and tries one after so many of them. */
static void lender(struct sim *s, uint32_t i, uint32_t hour)
{
	struct life l = stranger_of(s, LENDER, i, hour);
	uint32_t step = 1 + draw(&l, LENDER_KNOWN);

	for (uint32_t n = 1; n <= LENDER_KNOWN && !l.dropped; n++) {
		ask_one(&l, 'g', l.names++, HARVEST_GOOD);
		if (n % step == 0)
			ask_one(&l, 'u', l.names++, HARVEST_UNKNOWN);
	}
	while (!l.dropped)
		ask_one(&l, 'u', l.names++, HARVEST_UNKNOWN);
	at_most(&s->lender_most, l.answered_unknown);
}

/* Bounces of mail it never sent; whether it may still send mail of its own. */
static void bouncer(struct life *l, uint32_t hour)
{
	for (uint32_t n = 0; n < BOUNCES; n++) {
		l->now_s = START + hour * 3600 + n * 600;
		l->client.null_sender = true;
		if (harvest_standing(l->sim->h, &l->client, l->now_s) != HARVEST_LIMITED)
			ask_one(l, 'u', l->names++, HARVEST_UNKNOWN);
		l->client.null_sender = false;
		l->ever_dropped |= l->dropped || harvest_standing(l->sim->h, &l->client,
								  l->now_s) != HARVEST_WELCOME;
	}
}

/* Two traps on its last day; chance at first contact is the honest senders' figure. */
static void provider(struct life *l, uint32_t hour)
{
	uint32_t hours = PROVIDERS_DAYS * 24;

	send_on(l, hour, PROVIDERS_DAILY * PROVIDERS_DAYS, hours);
	if (hour < 24)
		l->ever_dropped = false;
	if (hour == hours - 12) {
		for (uint32_t i = 0; i < 2; i++)
			ask_one(l, 't', i, HARVEST_TRAP);
		l->ever_dropped |= l->dropped;
		l->dropped = false;
	}
}

/* The same list every hour. */
static void resender(struct life *l, uint32_t hour)
{
	enum harvest_evidence evidence[RESENT];
	struct recipient_address asked[RESENT];
	char locals[RESENT][19];

	l->now_s = START + hour * 3600;
	for (uint32_t k = 0; k < RESENT; k++) {
		bool dead = k < RESENT_DEAD;

		asked[k] = name(locals[k], dead ? 'u' : 'g', l->me, k);
		evidence[k] = dead ? HARVEST_UNKNOWN : HARVEST_GOOD;
	}
	ask(l, asked, evidence, RESENT);
	settle(l, HARVEST_DELIVERED);
	l->ever_dropped |= l->dropped || l->closed;
}

/* Neighbours who guess, one after the other, each until nothing more is answered. */
static uint64_t answered_to_net(struct sim *s, uint32_t clients, bool v6)
{
	const uint8_t net[4] = {19, 1, 1, 0};
	uint64_t answered = 0;

	for (uint32_t i = 0; i < clients; i++) {
		struct life l = life_of(s, STRANGER, 4 * (STRANGERS + i));
		uint8_t *o = l.client.address.octets;

		l.now_s = START + HOURS * 3600 - 1800;
		if (v6) {
			memset(o, 0, 16);
			o[0] = 0x3f, o[1] = 0xff, o[6] = (uint8_t)(i >> 8), o[7] = (uint8_t)i;
		} else {
			l.client.address = ip_addr_from_v4(net);
			o[15] = (uint8_t)(1 + i);
		}
		for (uint32_t guess = 0;
		     !l.dropped && harvest_standing(s->h, &l.client, l.now_s) == HARVEST_WELCOME;
		     guess++)
			ask_one(&l, 'u', guess, HARVEST_UNKNOWN);
		answered += l.answered_unknown;
	}
	return answered;
}

/* --- running them --------------------------------------------------------------------------------
 */

struct share {
	struct sim *sim;
	uint32_t number, of;
};

/* Those who last. */
static void run_hour(const struct share *share, uint32_t hour)
{
	struct sim *s = share->sim;
	uint32_t first = share->number, step = share->of;

	for (uint32_t i = first; i < s->senders; i += step)
		send_on(&s->honest[i], hour, DELIVERED * 100 / 95, HOURS);
	for (uint32_t i = first; i < PROVIDERS && hour < PROVIDERS_DAYS * 24; i += step)
		provider(&s->providers[i], hour);
	for (uint32_t i = first; i < BOUNCERS && hour / 24 == DAYS / 2; i += step)
		bouncer(&s->bouncers[i], hour);
	for (uint32_t i = first; i < RESENDERS; i += step)
		resender(&s->resenders[i], hour);
}

static bool is_short(const struct sim *s)
{
	return s->senders < SHORT_SENDERS;
}

static uint32_t lists_of(const struct sim *s, uint32_t kind)
{
	return is_short(s) ? lists[kind].n / SHORT_LISTS : lists[kind].n;
}

/* Those who come once, in this hour. */
static void run_strangers(const struct share *share, uint32_t hour)
{
	struct sim *s = share->sim;
	uint32_t first = hour + share->number * HOURS, step = share->of * HOURS;

	for (uint32_t i = first; i < STRANGERS; i += step)
		stranger(s, i, hour);
	for (uint32_t i = first; i < GUESSERS; i += step)
		guesser(s, i, hour);
	for (uint32_t i = first; i < PROBERS; i += step) {
		prober(s, PROBER, i, hour);
		s->long_transactions[i] = prober(s, PROBER_AT_ONCE, i, hour);
	}
	for (uint32_t kind = 0; kind < LIST_KINDS; kind++)
		for (uint32_t i = first; i < lists_of(s, kind); i += step)
			list_sender(s, kind, i, hour);
	for (uint32_t i = first; i < PARALLEL_PROBERS; i += step)
		parallel_prober(s, i, hour);
	for (uint32_t i = first; i < LENDERS; i += step)
		lender(s, i, hour);
}

static void *run_share(void *arg)
{
	struct share *share = arg;
	struct sim *s = share->sim;

	for (uint32_t hour = 0; hour < HOURS; hour++) {
		if (pthread_barrier_wait(&s->hour) != 0) /* one of them */
			harvest_tick(s->h, START + hour * 3600);
		pthread_barrier_wait(&s->hour);
		run_hour(share, hour);
		run_strangers(share, hour);
	}
	return NULL;
}

static struct life *lives_of(struct sim *s, enum group group, uint32_t n)
{
	struct life *lives = calloc(n, sizeof(*lives));

	for (uint32_t i = 0; lives && i < n; i++)
		lives[i] = life_of(s, group, i);
	return lives;
}

static bool populate(struct sim *s)
{
	s->honest = lives_of(s, HONEST, s->senders);
	s->providers = lives_of(s, PROVIDER, PROVIDERS);
	s->resenders = lives_of(s, RESENDER, RESENDERS);
	s->bouncers = lives_of(s, BOUNCER, BOUNCERS);
	s->long_transactions = calloc(PROBERS, sizeof(*s->long_transactions));
	return s->honest && s->providers && s->resenders && s->bouncers && s->long_transactions;
}

static bool run(struct sim *s)
{
	struct share shares[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	n = n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
	pthread_barrier_init(&s->hour, NULL, (unsigned)n);
	for (long i = 0; i < n; i++) {
		shares[i] = (struct share){s, (uint32_t)i, (uint32_t)n};
		if (pthread_create(&threads[i], NULL, run_share, &shares[i]))
			return false;
	}
	for (long i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&s->hour);
	s->answered_24 = answered_to_net(s, NET_24, false);
	s->answered_48 = answered_to_net(s, NET_48, true);
	return true;
}

/* --- figures --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

struct figure {
	const char *metric;
	double value, least, most; /* the promise */
};

static bool tell_figure(const struct figure *f)
{
	printf("{\"metric\": \"%s\", \"value\": %.6g}\n", f->metric, f->value);
	if (f->value >= f->least && f->value <= f->most)
		return true;
	fprintf(stderr, "%s is %.6g, not within %g to %g\n", f->metric, f->value, f->least,
		f->most);
	return false;
}

static uint32_t ever(const struct life *lives, uint32_t n, bool closed)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n; i++)
		count += closed ? lives[i].ever_closed : lives[i].ever_dropped;
	return count;
}

/* The worst share of the kinds on so many connections, or on any. */
static double lists_flagged(struct sim *s, uint32_t connections, bool has_credit)
{
	double worst = 0;

	for (uint32_t i = 0; i < LIST_KINDS; i++) {
		double share = (double)atomic_load(&s->lists_flagged[i]) / lists_of(s, i);

		if ((!connections || lists[i].connections == connections) &&
		    lists[i].has_credit == has_credit && share > worst)
			worst = share;
	}
	return worst;
}

static bool tell(struct sim *s)
{
	const double any = 1e18, list = is_short(s) ? short_list_bar : 0.001;
	uint32_t prober = PROBERS / 2; /* the median one */
	struct harvest_counts counts;
	bool well = true;

	harvest_count(s->h, START + HOURS * 3600 - 1, &counts);
	qsort(s->long_transactions, PROBERS, sizeof(*s->long_transactions), by_value);
	const struct figure figures[] = {
		{"recipients_simulated", (double)atomic_load(&s->events), 0, any},
		{"filter_megabytes", (double)s->filter_octets / 1e6, 0, any},
		{"filter_share", counts.filter_share, 0, 1},
		{"unknown_filter_share", counts.unknown_filter_share, 0, 1},
		{"entries_used", (double)counts.used, 0, any},
		{"entries_evicted_with_credit", (double)counts.evicted_with_credit, 0, any},
		{"honest_flagged", ever(s->honest, s->senders, false), 0,
		 s->senders >= 100000 ? 4 : 2},
		{"honest_flagged_at_first_contact", (double)atomic_load(&s->first_contact), 0, any},
		{"honest_flagged_in_an_outage", (double)atomic_load(&s->flagged_in_outage), 0, 0},
		{"honest_sender_limited", ever(s->honest, s->senders, true), 0, any},
		{"answered_guesses_max", (double)atomic_load(&s->answered_most), 4, 4},
		{"guessers_within_6", (double)atomic_load(&s->within_6) / GUESSERS, 0.85, 1},
		{"guessers_within_14", (double)atomic_load(&s->within_14) / GUESSERS, 0.999, 1},
		{"prober_unknown_answered_max", (double)atomic_load(&s->prober_most), 0, 6},
		{"prober_long_transaction_median", s->long_transactions[prober], 0, 24},
		{"parallel_list_flagged_share_2", lists_flagged(s, 2, false), 0, list},
		{"parallel_list_flagged_share_4", lists_flagged(s, 4, false), 0, list},
		{"parallel_list_flagged_share_20", lists_flagged(s, 20, false), 0, list},
		{"parallel_list_with_credit_flagged_share", lists_flagged(s, 0, true), 0,
		 list / 10},
		{"parallel_prober_unknown_answered", (double)atomic_load(&s->parallel_in_turn_most),
		 0, 9},
		{"parallel_prober_unknown_answered_any_order",
		 (double)atomic_load(&s->parallel_most), 0, 24},
		{"lender_unknown_answered", (double)atomic_load(&s->lender_most), 0, 24},
		{"innocent_bouncers_dropped", ever(s->bouncers, BOUNCERS, false), 0, 0},
		{"providers_dropped_for_two_traps", ever(s->providers, PROVIDERS, false), 0, 0},
		{"resenders_flagged", ever(s->resenders, RESENDERS, false), 0, 0},
		{"answered_to_a_24", (double)s->answered_24, 4, 14},
		{"answered_to_a_48", (double)s->answered_48, 4, 28},
	};

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++)
		well &= tell_figure(&figures[i]);
	return well;
}

int main(int argc, char **argv)
{
	struct harvest_config config;
	const char *seed = getenv("POSTERN_SEED");
	struct sim s = {
		.senders = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000,
		.seed = seed ? strtoull(seed, NULL, 0) : 1,
	};
	bool well = false;

	harvest_defaults(&config);
	if (argc > 2)
		config.filter_octets = strtoull(argv[2], NULL, 0);
	s.filter_octets = config.filter_octets;
	memcpy(config.entropy, &s.seed, sizeof(s.seed));
	s.h = harvest_new(&config);
	fprintf(stderr, "POSTERN_SEED=%" PRIu64 "\n", s.seed);
	if (s.h && populate(&s) && run(&s))
		well = tell(&s);
	else
		fprintf(stderr, "no memory\n");
	harvest_free(s.h);
	free(s.honest);
	free(s.providers);
	free(s.resenders);
	free(s.bouncers);
	free(s.long_transactions);
	return well ? 0 : 1;
}
