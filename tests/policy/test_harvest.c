/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The harvest test by examples: each rule of SEMANTICS, "Harvest", as a conversation or a few.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "postern/harvest.h"

enum { DAY = 24 * 3600, START = 1800000000 };

struct world {
	struct harvest *h;
	uint32_t now_s;
	unsigned names; /* so that each is new */
	struct harvest_verdicts verdicts;
};

static void begin_as(struct world *w, bool observe, uint32_t entries, uint64_t filter_octets)
{
	struct harvest_config config;

	harvest_defaults(&config);
	config.entries = entries;
	config.filter_octets = filter_octets;
	config.observe = observe;
	memset(config.entropy, 9, sizeof(config.entropy));
	*w = (struct world){.h = harvest_new(&config), .now_s = START};
	assert_non_null(w->h);
}

static void begin_with(struct world *w, bool observe, uint64_t filter_octets)
{
	begin_as(w, observe, 1 << 12, filter_octets);
}

static void begin(struct world *w, bool observe)
{
	begin_with(w, observe, 1 << 20);
}

static void end(struct world *w)
{
	harvest_free(w->h);
}

static struct harvest_client v4(uint32_t number)
{
	const uint8_t octets[4] = {203, (uint8_t)(number >> 16), (uint8_t)(number >> 8),
				   (uint8_t)number};

	return (struct harvest_client){.address = ip_addr_from_v4(octets), .sender = 77};
}

static struct harvest_client v6(uint32_t net, uint32_t host)
{
	struct harvest_client c = {.sender = 77};
	uint8_t *o = c.address.octets;

	o[0] = 0x20, o[1] = 0x01, o[2] = 0x0d, o[3] = 0xb8;
	o[4] = (uint8_t)(net >> 24), o[5] = (uint8_t)(net >> 16), o[6] = (uint8_t)(net >> 8),
	o[7] = (uint8_t)net;
	o[12] = (uint8_t)(host >> 8), o[15] = (uint8_t)host;
	return c;
}

static struct recipient_address write_address(char *local, size_t len, const char *kind, unsigned i)
{
	return (struct recipient_address){
		.local = local,
		.local_len = (uint16_t)snprintf(local, len, "%s%u", kind, i),
		.domain = "example.net",
		.domain_len = 11,
	};
}

/* One recipient, by its name. */
static enum harvest_answer ask_for(struct world *w, const struct harvest_client *c,
				   const char *kind, unsigned i, enum harvest_evidence evidence,
				   struct harvest_loan *loan)
{
	char local[32];
	struct recipient_address a = write_address(local, sizeof(local), kind, i);
	struct harvest_loan none = {0};
	enum harvest_answer answer;

	harvest_recipients(w->h, c, &a, &evidence, 1, loan ? loan : &none, w->now_s, &answer,
			   &w->verdicts);
	return answer;
}

/* One that nobody was asked for before. */
static enum harvest_answer ask(struct world *w, const struct harvest_client *c,
			       enum harvest_evidence evidence, struct harvest_loan *loan)
{
	return ask_for(w, c, "new", w->names++, evidence, loan);
}

static enum harvest_standing standing(struct world *w, const struct harvest_client *c)
{
	return harvest_standing(w->h, c, w->now_s);
}

/* A message to n recipients, delivered. */
static void deliver(struct world *w, const struct harvest_client *c, unsigned n)
{
	struct harvest_loan loan = {0};

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(ask(w, c, HARVEST_GOOD, &loan), HARVEST_ANSWER);
	assert_false(harvest_settle(w->h, c, &loan, HARVEST_DELIVERED, w->now_s, &w->verdicts));
}

static int16_t score(struct world *w, const struct harvest_client *c)
{
	struct harvest_story stories[HARVEST_LEVELS];

	harvest_explain(w->h, &c->address, w->now_s, stories);
	return stories[0].score;
}

/* How many guesses are answered to n clients, each of which guesses until it is stopped. */
static unsigned answered(struct world *w, uint32_t n, struct harvest_client (*client)(uint32_t))
{
	unsigned guesses = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct harvest_client c = client(i);

		while (standing(w, &c) == HARVEST_WELCOME) {
			enum harvest_answer answer = ask(w, &c, HARVEST_UNKNOWN, NULL);

			guesses += answer == HARVEST_ANSWER || answer == HARVEST_SHUT_OUT;
			if (answer != HARVEST_ANSWER)
				break;
		}
	}
	return guesses;
}

static void count_client(void *arg, const struct ip_addr *client)
{
	(void)client;
	(*(unsigned *)arg)++;
}

/* Control's own, over a restart. */
static void carry_over(struct world *from, struct world *to)
{
	uint8_t octets[4096];
	uint32_t at = 0;
	size_t len;

	to->now_s = from->now_s + 60;
	while ((len = harvest_checkpoint(from->h, &at, octets, sizeof(octets))) > 0)
		assert_int_equal(harvest_restore(to->h, octets, len), 0);
}

/* --- the line -------------------------------------------------------------------------------- */

static void the_fourth_guess_of_a_stranger_is_its_last(void **state)
{
	for (int version = 0; version < 2; version++) {
		struct world w;
		struct harvest_client c = version ? v6(1, 1) : v4(1);

		begin(&w, false);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
			assert_int_equal(w.verdicts.n, 0);
			assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
		}
		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL), HARVEST_SHUT_OUT);
		assert_int_equal(w.verdicts.n, 1);
		assert_int_equal(w.verdicts.at[0].kind, HARVEST_VERDICT_DROP);
		assert_int_equal(w.verdicts.at[0].prefix_len, version ? 64 : 128);
		assert_int_equal(w.verdicts.at[0].ttl_s, 300);
		assert_int_equal(w.verdicts.at[0].until_s, w.now_s + 300);
		assert_int_equal(w.verdicts.at[0].unknown_today, 4);
		assert_int_equal(standing(&w, &c), HARVEST_GONE);
		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL), HARVEST_TOO_LATE);
		assert_int_equal(w.verdicts.n, 0);
		end(&w);
	}
}

static void strangers_get_four_answers(struct world *w)
{
	for (uint32_t i = 0; i < 500; i++) {
		struct harvest_client c = v4((8000 + i) << 8);

		for (int guess = 0; guess < 4; guess++)
			assert_int_equal(ask(w, &c, HARVEST_UNKNOWN, NULL),
					 guess < 3 ? HARVEST_ANSWER : HARVEST_SHUT_OUT);
	}
}

static void a_full_filter_gives_a_stranger_no_fifth_answer(void **state)
{
	enum { DELIVERED = 65535, UNKNOWN = 5000 };
	struct harvest_client many = v4(1), mistaken = v4(2 << 8);
	const struct ip_network network = {mistaken.address, 128};
	struct harvest_loan loan = {0};
	struct harvest_counts counts;
	struct world w;

	begin_with(&w, false, 1 << 16);
	for (int i = 0; i < DELIVERED; i++)
		ask(&w, &many, HARVEST_GOOD, &loan);
	assert_int_equal(harvest_allow(w.h, &network, 1), 0);
	for (int i = 0; i < UNKNOWN; i++)
		ask(&w, &mistaken, HARVEST_UNKNOWN, NULL);
	harvest_count(w.h, w.now_s, &counts);
	assert_true(counts.filter_share > 0.3 && counts.unknown_filter_share > 0.1);
	strangers_get_four_answers(&w);
	end(&w);
}

static void behind_the_last_one_of_a_burst_nothing_is_answered(void **state)
{
	struct recipient_address asked[8];
	enum harvest_evidence evidence[8];
	enum harvest_answer answers[8];
	struct harvest_loan loan = {0};
	struct harvest_client c = v4(1);
	char locals[8][32];
	struct world w;

	begin(&w, false);
	for (unsigned i = 0; i < 8; i++) {
		asked[i] = write_address(locals[i], sizeof(locals[i]), "u", i);
		evidence[i] = i == 5 ? HARVEST_GOOD : HARVEST_UNKNOWN;
	}
	harvest_recipients(w.h, &c, asked, evidence, 8, &loan, w.now_s, answers, &w.verdicts);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(answers[i], i < 3    ? HARVEST_ANSWER
					     : i == 3 ? HARVEST_SHUT_OUT
						      : HARVEST_TOO_LATE);
	end(&w);
}

static void addresses_of_one_64_are_one_client(void **state)
{
	struct world w;

	begin(&w, false);
	for (uint32_t i = 0; i < 4; i++) {
		struct harvest_client c = v6(5, 100 + i);

		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL),
				 i < 3 ? HARVEST_ANSWER : HARVEST_SHUT_OUT);
	}
	end(&w);
}

static void the_time_doubles_for_who_comes_back(void **state)
{
	struct harvest_client c = v4(1);
	uint32_t ttl = 300;
	struct world w;

	begin(&w, false);
	for (int round = 0; round < 12; round++) {
		unsigned guesses = 0;

		while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
			guesses++;
		assert_true(guesses <= 3);
		assert_int_equal(w.verdicts.n, 1);
		assert_int_equal(w.verdicts.at[0].ttl_s, ttl);
		w.now_s += ttl - 1;
		assert_int_equal(standing(&w, &c), HARVEST_GONE);
		w.now_s += 1;
		assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
		ttl = 2 * ttl < DAY ? 2 * ttl : DAY;
	}
	end(&w);
}

static void the_same_dead_address_is_no_second_guess(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	for (int hour = 0; hour < 23; hour++) {
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(ask_for(&w, &c, "dead", i, HARVEST_UNKNOWN, NULL),
					 HARVEST_ANSWER);
		w.now_s += 3600;
		harvest_tick(w.h, w.now_s);
	}
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	end(&w);
}

static void a_trap_is_a_whole_line(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	assert_int_equal(ask(&w, &c, HARVEST_TRAP, NULL), HARVEST_SHUT_OUT);
	end(&w);
}

static void early_talk_and_abuse_are_half_a_line_and_vrfy_a_third_of_a_guess(void **state)
{
	struct harvest_client a = v4(1), b = v4(1 << 8), c = v4(2 << 8);
	struct world w;
	int n = 0;

	begin(&w, false);
	assert_false(harvest_note(w.h, &a, HARVEST_EARLY_TALK, w.now_s, &w.verdicts));
	assert_int_equal(ask(&w, &a, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	assert_int_equal(ask(&w, &a, HARVEST_UNKNOWN, NULL), HARVEST_SHUT_OUT);
	assert_false(harvest_note(w.h, &b, HARVEST_ABUSE, w.now_s, &w.verdicts));
	assert_int_equal(score(&w, &b), harvest_line(w.h, 128) / 2);
	while (!harvest_note(w.h, &c, HARVEST_VRFY, w.now_s, &w.verdicts))
		n++;
	assert_int_equal(n, 10); /* 11.5 / 1.13 */
	end(&w);
}

static void postmaster_and_catch_alls_say_nothing(void **state)
{
	struct harvest_client c = v4(1);
	struct harvest_loan loan = {0};
	struct world w;

	begin(&w, false);
	for (int i = 0; i < 100; i++)
		assert_int_equal(ask(&w, &c, HARVEST_NEUTRAL, &loan), HARVEST_ANSWER);
	assert_int_equal(loan.good, 0);
	assert_int_equal(score(&w, &c), 0);
	end(&w);
}

static void without_evidence_nothing_is_scored(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	c.no_evidence = true;
	for (int i = 0; i < 20; i++)
		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	assert_false(harvest_note(w.h, &c, HARVEST_ABUSE, w.now_s, &w.verdicts));
	assert_int_equal(score(&w, &c), 0);
	end(&w);
}

/* --- credit ---------------------------------------------------------------------------------- */

static void what_is_delivered_is_credit_down_to_a_floor(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;
	int n = 0;

	begin(&w, false);
	deliver(&w, &c, 2);
	assert_int_equal(score(&w, &c), -2 * 582);
	deliver(&w, &c, 50);
	assert_int_equal(score(&w, &c), -35 * 256);
	/* 13.7 guesses of credit and line; but beyond the 4 + 13 of this day they count double. */
	while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		n++;
	assert_int_equal(n, 13);
	end(&w);
}

static void credit_fades_over_weeks_and_evidence_over_days(void **state)
{
	struct harvest_client c = v4(1), g = v4(1 << 8);
	struct world w;

	begin(&w, false);
	deliver(&w, &c, 20);
	ask(&w, &g, HARVEST_UNKNOWN, NULL);
	w.now_s += 14 * DAY;
	assert_in_range(-score(&w, &c), 35 * 128 - 20, 35 * 128 + 20);
	assert_in_range(score(&w, &g), 0, 1);
	w.now_s += 28 * DAY;
	assert_in_range(-score(&w, &c), 35 * 32 - 20, 35 * 32 + 20);
	end(&w);
}

static void it_fades_the_same_in_small_steps(void **state)
{
	struct harvest_client often = v4(1), once = v4(1 << 8);
	struct world w;

	begin(&w, false);
	deliver(&w, &often, 20);
	deliver(&w, &once, 20);
	for (int hour = 0; hour < 14 * 24; hour++) {
		struct harvest_loan loan = {0};

		w.now_s += 3600;
		harvest_tick(w.h, w.now_s);
		/* It changes nothing, but writes the score anew. */
		ask(&w, &often, HARVEST_GOOD, &loan);
		harvest_settle(w.h, &often, &loan, HARVEST_FAILED, w.now_s, &w.verdicts);
	}
	assert_in_range(-score(&w, &often), 35 * 128 - 200, 35 * 128 + 200);
	assert_in_range(-score(&w, &once), 35 * 128 - 20, 35 * 128 + 20);
	end(&w);
}

static void a_pair_earns_once_a_day(void **state)
{
	struct harvest_client c = v4(1);
	struct harvest_loan loan = {0};
	struct world w;

	begin(&w, false);
	for (int i = 0; i < 5; i++) {
		ask_for(&w, &c, "own", 1, HARVEST_GOOD, &loan);
		harvest_settle(w.h, &c, &loan, HARVEST_DELIVERED, w.now_s, &w.verdicts);
	}
	assert_int_equal(score(&w, &c), -582);
	w.now_s += DAY;
	harvest_tick(w.h, w.now_s);
	ask_for(&w, &c, "own", 1, HARVEST_GOOD, &loan);
	assert_int_equal(loan.good, 1);
	end(&w);
}

static void a_loan_is_called_back_when_the_client_gives_up(void **state)
{
	struct harvest_client c = v4(1);
	struct harvest_loan loan = {0};
	struct world w;

	begin(&w, false);
	for (int i = 0; i < 3; i++)
		ask(&w, &c, HARVEST_GOOD, &loan);
	for (int i = 0; i < 4; i++)
		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, &loan), HARVEST_ANSWER);
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	assert_true(harvest_settle(w.h, &c, &loan, HARVEST_ABANDONED, w.now_s, &w.verdicts));
	assert_int_equal(w.verdicts.n, 1);
	assert_int_equal(standing(&w, &c), HARVEST_GONE);
	end(&w);
}

/* n good ones, of which nothing is delivered yet. */
static void borrow(struct world *w, const struct harvest_client *c, unsigned n,
		   struct harvest_loan *loan)
{
	for (unsigned i = 0; i < n; i++)
		ask(w, c, HARVEST_GOOD, loan);
}

/* How many unknown ones are answered until one shuts out. */
static unsigned guesses_left(struct world *w, const struct harvest_client *c,
			     struct harvest_loan *loan)
{
	enum { ENDLESS = 1000 };
	enum harvest_answer answer = HARVEST_ANSWER;
	unsigned n = 0;

	while (answer == HARVEST_ANSWER && n < ENDLESS) {
		answer = ask(w, c, HARVEST_UNKNOWN, loan);
		n += answer == HARVEST_ANSWER || answer == HARVEST_SHUT_OUT;
	}
	return n;
}

static void an_open_transaction_lends_to_another_less_than_to_itself(void **state)
{
	struct harvest_client c = v4(1);
	struct harvest_loan open = {0};
	struct world w;

	begin(&w, false);
	borrow(&w, &c, 10, &open);
	assert_int_equal(score(&w, &c), -10 * 261);
	assert_int_equal(guesses_left(&w, &c, NULL), 6); /* the sixth counts double */
	end(&w);
}

static void known_addresses_buy_a_few_guesses_however_many_they_are(void **state)
{
	static const unsigned known[] = {42, 52, 60, 100, 1000, 70000};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		struct harvest_client c = v4(1);
		struct harvest_loan loan = {0};
		struct world w;

		begin(&w, false);
		borrow(&w, &c, known[i], &loan);
		assert_in_range(guesses_left(&w, &c, &loan), 4, 13);
		end(&w);
	}
}

static void a_list_sent_at_once_on_many_connections_is_no_guessing(void **state)
{
	enum { CONNECTIONS = 20, RECIPIENTS = 50, STALE = 25 };
	struct harvest_loan loans[CONNECTIONS] = {0};
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	for (unsigned i = 0; i < CONNECTIONS * RECIPIENTS; i++)
		assert_int_equal(ask(&w, &c, i % STALE == 7 ? HARVEST_UNKNOWN : HARVEST_GOOD,
				     &loans[i % CONNECTIONS]),
				 HARVEST_ANSWER);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		assert_false(harvest_settle(w.h, &c, &loans[i], HARVEST_DELIVERED, w.now_s,
					    &w.verdicts));
	assert_int_equal(score(&w, &c), -35 * 256);
	end(&w);
}

static void what_was_taken_is_given_back_when_nothing_is_delivered(void **state)
{
	static const enum harvest_end ends[] = {HARVEST_ABANDONED, HARVEST_FAILED};
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	for (unsigned end = 0; end < 2; end++) {
		struct harvest_loan loan = {0};

		borrow(&w, &c, 30, &loan);
		assert_true(score(&w, &c) < 0);
		assert_false(harvest_settle(w.h, &c, &loan, ends[end], w.now_s, &w.verdicts));
		assert_int_equal(score(&w, &c), 0);
		ask(&w, &c, HARVEST_UNKNOWN, NULL);
		borrow(&w, &c, 1, &loan);
		assert_int_equal(score(&w, &c), 871 - 261);
		harvest_settle(w.h, &c, &loan, ends[end], w.now_s, &w.verdicts);
		assert_int_equal(score(&w, &c), end == 0 ? 871 : 871 - 582);
	}
	end(&w);
}

static void what_was_taken_is_given_back_by_who_gives_no_evidence_any_more(void **state)
{
	struct harvest_client c = v4(1);
	struct harvest_loan loan = {0};
	struct world w;

	begin(&w, false);
	borrow(&w, &c, 10, &loan);
	c.no_evidence = true;
	assert_false(harvest_settle(w.h, &c, &loan, HARVEST_DELIVERED, w.now_s, &w.verdicts));
	assert_int_equal(score(&w, &c), 0);
	end(&w);
}

static void what_is_lent_spares_nobody_its_prefix_verdict(void **state)
{
	struct harvest_client prober = v4(200);
	struct harvest_loan loan = {0};
	struct world w;
	unsigned n = 0;

	begin(&w, false);
	borrow(&w, &prober, 40, &loan);
	answered(&w, 100, v4);
	assert_int_equal(standing(&w, &prober), HARVEST_GONE);
	harvest_spared(w.h, &prober.address, 120, w.now_s, count_client, &n);
	assert_int_equal(n, 0);
	end(&w);
}

static void what_is_lent_makes_no_address_dead(void **state)
{
	struct harvest_client stranger = v4(200 << 8);
	struct world w;

	begin(&w, false);
	for (uint32_t i = 0; i < 6; i++) {
		struct harvest_client c = v4(i << 8);
		struct harvest_loan loan = {0};

		borrow(&w, &c, 40, &loan);
		ask_for(&w, &c, "secret", 1, HARVEST_UNKNOWN, &loan);
	}
	ask_for(&w, &stranger, "secret", 1, HARVEST_UNKNOWN, NULL);
	assert_int_equal(score(&w, &stranger), 871);
	end(&w);
}

static void what_is_lent_ends_with_the_process(void **state)
{
	struct harvest_client prober = v4(1), good = v4(1 << 8);
	struct harvest_loan loan = {0};
	struct world w, after;

	begin(&w, false);
	begin(&after, false);
	borrow(&w, &prober, 40, &loan);
	deliver(&w, &good, 2);
	carry_over(&w, &after);
	assert_int_equal(score(&after, &prober), 0);
	assert_int_equal(score(&after, &good), -2 * 582);
	end(&w);
	end(&after);
}

static void a_loan_called_back_passes_no_verdict_whose_time_is_over(void **state)
{
	struct harvest_client c = v4(1);
	struct harvest_loan open = {0};
	struct world w;

	begin(&w, false);
	ask(&w, &c, HARVEST_GOOD, &open);
	while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_int_equal(w.verdicts.n, 1);
	w.now_s = w.verdicts.at[0].until_s;
	assert_false(harvest_settle(w.h, &c, &open, HARVEST_ABANDONED, w.now_s, &w.verdicts));
	assert_int_equal(w.verdicts.n, 0);
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	end(&w);
}

static void what_fails_at_our_end_makes_up_for_evidence_and_is_no_credit(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	for (int i = 0; i < 40; i++) {
		struct harvest_loan loan = {0};

		for (int k = 0; k < 4; k++)
			ask(&w, &c, HARVEST_GOOD, &loan);
		if (i < 4)
			assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, &loan), HARVEST_ANSWER);
		harvest_settle(w.h, &c, &loan, HARVEST_FAILED, w.now_s, &w.verdicts);
		assert_int_equal(score(&w, &c), 0);
	}
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	end(&w);
}

static void a_day_beyond_its_share_counts_double(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;
	int16_t before;

	begin(&w, false);
	deliver(&w, &c, 20);
	for (int i = 0; i < 10; i++)
		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	before = score(&w, &c); /* 5 + 20 / 4 = 10 were free */
	assert_int_equal(before, -35 * 256 + 10 * 871);
	ask(&w, &c, HARVEST_UNKNOWN, NULL);
	assert_int_equal(score(&w, &c), before + 2 * 871);
	end(&w);
}

static void a_dead_address_that_many_good_senders_mail_says_little(void **state)
{
	struct harvest_client stranger = v4(200 << 8);
	struct world w;

	begin(&w, false);
	for (uint32_t i = 0; i < 5; i++) {
		struct harvest_client c = v4(i << 8);

		deliver(&w, &c, 20);
		ask_for(&w, &c, "gone", 1, HARVEST_UNKNOWN, NULL);
	}
	assert_int_equal(ask_for(&w, &stranger, "gone", 1, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	assert_int_equal(score(&w, &stranger), 871 / 16);
	end(&w);
}

static void dead_addresses_of_their_own_make_no_guess_of_a_stranger_dead(void **state)
{
	enum { SENDERS = 300, MESSAGES = 2000 };
	struct world w;

	begin_with(&w, false, 64 << 20);
	for (uint32_t i = 0; i < SENDERS; i++) {
		struct harvest_client c = v4(i << 8);

		deliver(&w, &c, 20);
		for (int message = 0; message < MESSAGES; message++) {
			struct harvest_loan loan = {0};

			assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, &loan), HARVEST_ANSWER);
			for (int k = 0; k < 4; k++)
				ask(&w, &c, HARVEST_GOOD, &loan);
			harvest_settle(w.h, &c, &loan, HARVEST_DELIVERED, w.now_s, &w.verdicts);
		}
	}
	strangers_get_four_answers(&w);
	end(&w);
}

/* --- null senders and established clients
 * --------------------------------------------------------- */

static void a_null_sender_has_its_own_score_and_no_drop(void **state)
{
	struct harvest_client bounce = v4(1), mail = v4(1);
	struct world w;

	begin(&w, false);
	bounce.null_sender = true;
	for (int i = 0; i < 4; i++)
		assert_int_equal(ask(&w, &bounce, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	assert_int_equal(w.verdicts.n, 1);
	assert_int_equal(w.verdicts.at[0].kind, HARVEST_VERDICT_NULL);
	assert_int_equal(standing(&w, &bounce), HARVEST_LIMITED);
	assert_int_equal(standing(&w, &mail), HARVEST_WELCOME);
	assert_int_equal(score(&w, &mail), 0);
	/* And a client that mixes both gets eight. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(&w, &mail, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	assert_int_equal(ask(&w, &mail, HARVEST_UNKNOWN, NULL), HARVEST_SHUT_OUT);
	w.now_s += 300;
	assert_int_equal(standing(&w, &bounce), HARVEST_WELCOME);
	end(&w);
}

static void one_question_of_a_null_sender_gets_four_answers(void **state)
{
	enum { ASKED = 12 };
	struct recipient_address asked[ASKED];
	enum harvest_evidence evidence[ASKED];
	enum harvest_answer answers[ASKED];
	struct harvest_client bounce = v4(1);
	struct harvest_loan loan = {0};
	char locals[ASKED][32];
	struct world w;

	begin(&w, false);
	bounce.null_sender = true;
	for (unsigned i = 0; i < ASKED; i++) {
		asked[i] = write_address(locals[i], sizeof(locals[i]), "u", i);
		evidence[i] = HARVEST_UNKNOWN;
	}
	harvest_recipients(w.h, &bounce, asked, evidence, ASKED, &loan, w.now_s, answers,
			   &w.verdicts);
	for (unsigned i = 0; i < ASKED; i++)
		assert_int_equal(answers[i], i < 4 ? HARVEST_ANSWER : HARVEST_LIMIT);
	assert_int_equal(w.verdicts.n, 1);
	/* What was not answered was not scored: it is no answer for nothing later. */
	w.now_s += 300;
	harvest_recipients(w.h, &bounce, asked + 4, evidence, ASKED - 4, &loan, w.now_s, answers,
			   &w.verdicts);
	for (unsigned i = 0; i < ASKED - 4; i++)
		assert_int_equal(answers[i], i < 2 ? HARVEST_ANSWER : HARVEST_LIMIT);
	end(&w);
}

static void an_established_client_loses_a_sender_and_not_its_way_in(void **state)
{
	struct harvest_client c = v4(1), other;
	struct world w;
	int n = 0;

	begin(&w, false);
	for (int i = 0; i < 12; i++)
		deliver(&w, &c, 10);
	other = c;
	other.sender = 78;
	while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		n++;
	assert_true(n >= 13);
	assert_int_equal(w.verdicts.n, 1);
	assert_int_equal(w.verdicts.at[0].kind, HARVEST_VERDICT_SENDER);
	assert_int_equal(standing(&w, &c), HARVEST_LIMITED);
	assert_int_equal(standing(&w, &other), HARVEST_WELCOME);
	w.now_s += 300;
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	end(&w);
}

static void a_client_with_history_is_shut_out_for_four_hours_at_most(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;
	uint32_t ttl = 0;

	begin(&w, false);
	deliver(&w, &c, 1);
	for (int round = 0; round < 12; round++) {
		while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
			;
		for (uint32_t i = 0; i < w.verdicts.n; i++)
			if (w.verdicts.at[i].prefix_len == 128)
				ttl = w.verdicts.at[i].ttl_s;
		w.now_s += ttl;
	}
	assert_int_equal(ttl, 4 * 3600);
	end(&w);
}

/* --- prefixes -------------------------------------------------------------------------------- */

static struct harvest_client of_a_48(uint32_t i)
{
	return v6(i, 1);
}

static void the_addresses_of_a_24_guess_together(void **state)
{
	struct world w;

	begin(&w, false);
	assert_in_range(answered(&w, 250, v4), 4, 14);
	end(&w);
}

static void the_nets_of_a_48_guess_together(void **state)
{
	struct world w;

	begin(&w, false);
	assert_in_range(answered(&w, 5000, of_a_48), 4, 28);
	end(&w);
}

static void one_client_alone_has_no_prefix_dropped(void **state)
{
	enum { TRANSACTIONS = 50, ROUNDS = 8 };
	struct harvest_client c = v4(1), neighbour = v4(2);
	struct world w;

	begin(&w, false);
	for (int round = 0; round < ROUNDS; round++) {
		struct harvest_loan loans[TRANSACTIONS] = {0};

		borrow(&w, &c, 40, &loans[0]);
		for (int i = 0; i < 12; i++)
			ask(&w, &c, HARVEST_UNKNOWN, &loans[0]);
		for (int i = 1; i < TRANSACTIONS; i++) {
			borrow(&w, &c, 3, &loans[i]);
			ask(&w, &c, HARVEST_UNKNOWN, &loans[i]);
		}
		for (int i = 0; i < TRANSACTIONS; i++)
			harvest_settle(w.h, &c, &loans[i], HARVEST_ABANDONED, w.now_s, &w.verdicts);
		assert_int_equal(standing(&w, &c), HARVEST_GONE);
		assert_int_equal(standing(&w, &neighbour), HARVEST_WELCOME);
		w.now_s += 300u << round;
	}
	end(&w);
}

/* Each knows a few addresses, which hide what it guesses until it leaves. */
static void the_addresses_of_a_24_guess_together_whatever_they_know(void **state)
{
	static const unsigned tried[] = {2, 3, 5, 8};

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++) {
		unsigned guesses = 0;
		struct world w;

		begin(&w, false);
		for (uint32_t n = 0; n < 250; n++) {
			struct harvest_client c = v4(n);
			struct harvest_loan loan = {0};

			if (standing(&w, &c) != HARVEST_WELCOME)
				break;
			for (unsigned known = 0; known < 20; known++)
				ask_for(&w, &c, "known", known, HARVEST_GOOD, &loan);
			for (unsigned k = 0; k < tried[i]; k++)
				guesses += ask(&w, &c, HARVEST_UNKNOWN, &loan) != HARVEST_TOO_LATE;
			harvest_settle(w.h, &c, &loan, HARVEST_ABANDONED, w.now_s, &w.verdicts);
		}
		assert_in_range(guesses, 4, 24);
		end(&w);
	}
}

static void lists_of_a_whole_24_at_once_are_no_guessing(void **state)
{
	enum { HOSTS = 40, RECIPIENTS = 100, STALE = 25 };
	struct harvest_loan loans[HOSTS] = {0};
	struct world w;

	begin(&w, false);
	for (unsigned i = 0; i < HOSTS * RECIPIENTS; i++) {
		struct harvest_client c = v4(i % HOSTS);

		assert_int_equal(
			ask(&w, &c, i / HOSTS % STALE == STALE - 1 ? HARVEST_UNKNOWN : HARVEST_GOOD,
			    &loans[i % HOSTS]),
			HARVEST_ANSWER);
	}
	end(&w);
}

static void who_has_credit_is_spared_its_prefix_verdict(void **state)
{
	struct harvest_client good = v4(200);
	struct world w;

	begin(&w, false);
	deliver(&w, &good, 20);
	answered(&w, 100, v4);
	assert_int_equal(standing(&w, &good), HARVEST_WELCOME);
	assert_int_equal(ask(&w, &good, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	end(&w);
}

static void the_spared_of_a_prefix_can_be_told(void **state)
{
	struct harvest_client a = v4(3), b = v4(250), stranger = v4(7), six = v6(0x1234, 1);
	struct world w;
	unsigned n = 0;

	begin(&w, false);
	deliver(&w, &a, 1);
	deliver(&w, &b, 1);
	deliver(&w, &six, 1);
	ask(&w, &stranger, HARVEST_UNKNOWN, NULL);
	harvest_spared(w.h, &stranger.address, 120, w.now_s, count_client, &n);
	assert_int_equal(n, 2);
	harvest_spared(w.h, &six.address, 56, w.now_s, count_client, &n);
	assert_int_equal(n, 3);
	harvest_spared(w.h, &six.address, 48, w.now_s, count_client, &n);
	assert_int_equal(n, 4);
	end(&w);
}

/* --- what control does ----------------------------------------------------------------------- */

static void who_is_allowed_is_never_flagged(void **state)
{
	struct harvest_client c = v4(1), other = v4(1 << 8);
	struct ip_network network = {c.address, 120};
	struct world w;

	begin(&w, false);
	assert_int_equal(harvest_allow(w.h, &network, 1), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	for (int i = 0; i < 4; i++)
		ask(&w, &other, HARVEST_UNKNOWN, NULL);
	assert_int_equal(standing(&w, &other), HARVEST_GONE);
	end(&w);
}

static void who_is_allowed_is_welcome_whatever_was_found_before(void **state)
{
	struct harvest_client c = v4(1), neighbour = v4(2), null = v4(1);
	struct ip_network network = {c.address, 128};
	struct world w;

	begin(&w, false);
	null.null_sender = true;
	while (ask(&w, &null, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_int_equal(standing(&w, &null), HARVEST_LIMITED);
	while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_int_equal(harvest_shut_out(w.h, &c.address, 120, w.now_s + 60, true, w.now_s), 0);
	assert_false(harvest_is_allowed(w.h, &c.address));
	assert_int_equal(harvest_allow(w.h, &network, 1), 0);
	assert_true(harvest_is_allowed(w.h, &c.address));
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	assert_int_equal(standing(&w, &null), HARVEST_WELCOME);
	assert_int_equal(standing(&w, &neighbour), HARVEST_GONE);
	end(&w);
}

static bool is_allowed(struct world *w, struct harvest_client client)
{
	return harvest_is_allowed(w->h, &client.address);
}

static void of_many_networks_each_is_found_and_no_other(void **state)
{
	enum { MANY = 10000 };
	struct ip_network *networks = calloc(HARVEST_NETWORKS_MAX + 1, sizeof(*networks));
	struct world w;

	assert_non_null(networks);
	begin(&w, false);
	for (uint32_t i = 0; i < MANY; i++)
		networks[i] = (struct ip_network){v4(2 * (MANY - i)).address, 128};
	networks[MANY] = networks[7]; /* twice */
	networks[MANY + 1] = (struct ip_network){v6(1, 1).address, 48};
	networks[MANY + 2] = (struct ip_network){v4(1 << 20).address, 120};
	assert_int_equal(harvest_allow(w.h, networks, MANY + 3), 0);
	for (uint32_t i = 1; i <= MANY; i++) {
		assert_true(is_allowed(&w, v4(2 * i)));
		assert_false(is_allowed(&w, v4(2 * i + 1)));
	}
	assert_true(is_allowed(&w, v6(1, 9)));
	assert_false(is_allowed(&w, v6(9 << 16, 1)));
	assert_true(is_allowed(&w, v4((1 << 20) + 9)));
	for (uint32_t i = 0; i <= HARVEST_NETWORKS_MAX; i++)
		networks[i] = (struct ip_network){v4(i).address, 128};
	assert_int_equal(harvest_allow(w.h, networks, HARVEST_NETWORKS_MAX + 1), -E2BIG);
	assert_false(is_allowed(&w, v4(1)));
	assert_int_equal(harvest_allow(w.h, networks, HARVEST_NETWORKS_MAX), 0);
	assert_true(is_allowed(&w, v4(1)));
	assert_int_equal(harvest_allow(w.h, NULL, 0), 0);
	assert_false(is_allowed(&w, v4(1)));
	free(networks);
	end(&w);
}

/* Of an address's levels; fails when there is none. */
static struct harvest_story story(struct world *w, const struct ip_addr *address, unsigned level)
{
	struct harvest_story stories[HARVEST_LEVELS];

	assert_true(level < harvest_explain(w->h, address, w->now_s, stories));
	return stories[level];
}

static void who_is_shut_out_by_hand_is_so_until_then_only(void **state)
{
	struct harvest_client c = v4(1), six = v6(1, 1), allowed = v4(1 << 8);
	struct ip_network network = {allowed.address, 128};
	struct world w, watching;

	begin(&w, false);
	assert_int_equal(harvest_allow(w.h, &network, 1), 0);
	assert_int_equal(harvest_shut_out(w.h, &c.address, 128, w.now_s + 60, true, w.now_s), 0);
	assert_int_equal(harvest_shut_out(w.h, &six.address, 48, w.now_s + 60, false, w.now_s), 0);
	assert_int_equal(standing(&w, &c), HARVEST_GONE);
	assert_int_equal(standing(&w, &six), HARVEST_GONE);
	assert_true(story(&w, &c.address, 0).by_hand);
	assert_false(story(&w, &six.address, 2).by_hand);
	assert_int_equal(story(&w, &six.address, 2).until_s, w.now_s + 60);
	assert_int_equal(harvest_shut_out(w.h, &allowed.address, 128, w.now_s + 60, true, w.now_s),
			 -EPERM);
	assert_int_equal(harvest_shut_out(w.h, &c.address, 119, w.now_s + 60, true, w.now_s),
			 -EINVAL);
	assert_int_equal(harvest_shut_out(w.h, &six.address, 128, w.now_s + 60, true, w.now_s),
			 -EINVAL);
	w.now_s += 60;
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	assert_false(story(&w, &c.address, 0).by_hand);
	/* What it does later is judged as anybody's. */
	while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_int_equal(standing(&w, &c), HARVEST_GONE);
	assert_false(story(&w, &c.address, 0).by_hand);
	begin(&watching, true);
	assert_int_equal(harvest_shut_out(watching.h, &c.address, 128, w.now_s + 60, true, w.now_s),
			 -ENOTSUP);
	assert_true(harvest_observes(watching.h));
	end(&watching);
	end(&w);
}

static void what_runs_can_be_walked_in_pieces(void **state)
{
	enum { GUESSERS = 50 };
	struct harvest_client by_hand = v6(9, 1), null = v4(77 << 8);
	struct harvest_verdict running[8];
	unsigned drops = 0, nulls = 0, hands = 0;
	uint32_t at = 0;
	struct world w;
	size_t n;

	begin(&w, false);
	for (uint32_t i = 0; i < GUESSERS; i++) {
		struct harvest_client c = v4(i << 8);

		while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
			;
		assert_true(w.verdicts.n > 0);
	}
	null.null_sender = true;
	while (ask(&w, &null, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	harvest_shut_out(w.h, &by_hand.address, 64, w.now_s + 60, true, w.now_s);
	w.now_s += 10;
	while ((n = harvest_running(w.h, &at, w.now_s, running, 8)) > 0) {
		for (size_t i = 0; i < n; i++) {
			drops += running[i].kind == HARVEST_VERDICT_DROP;
			nulls += running[i].kind == HARVEST_VERDICT_NULL;
			hands += running[i].by_hand;
			if (running[i].by_hand) {
				assert_int_equal(running[i].prefix_len, 64);
				assert_memory_equal(&running[i].address, &by_hand.address, 8);
				assert_int_equal(running[i].ttl_s, 50);
			} else {
				assert_int_equal(running[i].prefix_len, 128);
				assert_int_equal(running[i].ttl_s, 290);
				assert_int_equal(running[i].level, 0);
			}
		}
	}
	assert_int_equal(drops, GUESSERS + 1);
	assert_int_equal(nulls, 1);
	assert_int_equal(hands, 1);
	w.now_s += 290;
	at = 0;
	assert_int_equal(harvest_running(w.h, &at, w.now_s, running, 8), 0);
	end(&w);
}

/* A verdict on whom load balancers name is told as that, whoever asks and after a restart, and a
 * later one is judged anew. */
static void who_is_named_by_a_load_balancer_is_gone_but_not_dropped(void **state)
{
	struct harvest_client named = v4(1), direct = v4(1 << 8), by_hand = v4(2 << 8);
	struct harvest_verdict running[8];
	struct world w, after;
	uint32_t at = 0;
	size_t n;

	begin(&w, false);
	begin(&after, false);
	named.by_proxy = true;
	while (ask(&w, &named, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_true(w.verdicts.at[0].by_proxy);
	while (ask(&w, &direct, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_false(w.verdicts.at[0].by_proxy);
	carry_over(&w, &after);
	n = harvest_running(after.h, &at, after.now_s, running, 8);
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(running[i].by_proxy,
				 ip_addr_equal(&running[i].address, &named.address));
	assert_true(harvest_is_gone(after.h, &named.address, after.now_s));
	assert_false(harvest_is_dropped(after.h, &named.address, after.now_s));
	assert_true(harvest_is_gone(after.h, &direct.address, after.now_s));
	assert_true(harvest_is_dropped(after.h, &direct.address, after.now_s));
	assert_false(harvest_is_dropped(after.h, &by_hand.address, after.now_s));
	/* Its level, its score and its time are a verdict's like any other's. */
	assert_int_equal(story(&after, &named.address, 0).level,
			 story(&after, &direct.address, 0).level);
	assert_int_equal(story(&after, &named.address, 0).score,
			 story(&after, &direct.address, 0).score);

	assert_int_equal(harvest_shut_out(after.h, &named.address, 128, after.now_s + 60, true,
					  after.now_s),
			 0);
	assert_true(harvest_is_dropped(after.h, &named.address, after.now_s));
	w.now_s += 300;
	named.by_proxy = false;
	while (ask(&w, &named, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_true(harvest_is_dropped(w.h, &named.address, w.now_s));
	end(&w);
	end(&after);
}

static void a_prefix_is_shut_out_as_who_brought_it_to_that(void **state)
{
	const struct harvest_client other = v4(200);
	struct harvest_verdict told = {0};
	struct world w;

	begin(&w, false);
	for (uint32_t i = 1; !told.prefix_len; i++) {
		struct harvest_client c = v4(i);

		c.by_proxy = true;
		ask(&w, &c, HARVEST_UNKNOWN, NULL);
		if (w.verdicts.n)
			told = w.verdicts.at[0];
	}
	assert_int_equal(told.prefix_len, 120);
	assert_true(told.by_proxy);
	assert_true(harvest_is_gone(w.h, &other.address, w.now_s));
	assert_false(harvest_is_dropped(w.h, &other.address, w.now_s));
	end(&w);
}

static void unban_ends_it_at_once(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_int_equal(standing(&w, &c), HARVEST_GONE);
	assert_true(harvest_unban(w.h, &c.address, 128));
	assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	assert_int_equal(score(&w, &c), 0);
	c = v4(1 << 8);
	assert_false(harvest_unban(w.h, &c.address, 128));
	end(&w);
}

static void a_story_tells_why_and_until_when(void **state)
{
	struct harvest_story stories[HARVEST_LEVELS];
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	while (ask(&w, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_int_equal(harvest_explain(w.h, &c.address, w.now_s, stories), 2);
	assert_true(stories[0].is_known && stories[1].is_known);
	assert_int_equal(stories[0].until_s, w.now_s + 300);
	assert_int_equal(stories[1].until_s, 0);
	assert_int_equal(stories[0].unknown_today, 4);
	assert_int_equal(stories[0].score, 4 * 871);
	assert_int_equal(stories[1].score, harvest_line(w.h, 128));
	assert_int_equal(stories[1].prefix_len, 120);
	assert_int_equal(stories[1].address.octets[15], 0);
	c = v6(1, 1);
	assert_int_equal(harvest_explain(w.h, &c.address, w.now_s, stories), 3);
	assert_false(stories[0].is_known);
	end(&w);
}

static void a_checkpoint_carries_all_of_it_over_a_restart(void **state)
{
	struct harvest_client guesser = v4(1), good = v4(1 << 8), six = v6(0x0100, 2);
	uint8_t octets[4096];
	struct world w, after;
	uint32_t at = 0;
	size_t len, total = 0;

	begin(&w, false);
	while (ask(&w, &guesser, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	deliver(&w, &good, 7);
	ask(&w, &six, HARVEST_UNKNOWN, NULL);
	begin(&after, false);
	after.now_s = w.now_s + 60;
	while ((len = harvest_checkpoint(w.h, &at, octets, 64)) > 0) {
		assert_int_equal(harvest_restore(after.h, octets, len), 0);
		total += len;
	}
	assert_int_equal(total, 32 * 7); /* three clients; one, one and two prefixes */
	assert_int_equal(standing(&after, &guesser), HARVEST_GONE);
	assert_int_equal(score(&after, &good), score(&w, &good));
	assert_int_equal(score(&after, &six), score(&w, &six));
	assert_int_equal(harvest_restore(after.h, octets, 31), -EINVAL);
	end(&w);
	end(&after);
}

static void a_piece_with_a_faulty_record_is_not_taken_in_at_all(void **state)
{
	struct harvest_client c = v4(1);
	uint8_t octets[64] = {0}; /* the second record has no key */
	struct harvest_counts counts;
	struct world w, after;
	uint32_t at = 0;

	begin(&w, false);
	ask(&w, &c, HARVEST_UNKNOWN, NULL);
	begin(&after, false);
	assert_int_equal(harvest_checkpoint(w.h, &at, octets, 32), 32);
	assert_true(harvest_is_checkpoint(octets, 32));
	assert_false(harvest_is_checkpoint(octets, 64));
	assert_int_equal(harvest_restore(after.h, octets, 64), -EINVAL);
	harvest_count(after.h, after.now_s, &counts);
	assert_int_equal(counts.used, 0);
	end(&w);
	end(&after);
}

static void to_observe_changes_no_answer_and_tells_all(void **state)
{
	struct harvest_client c = v4(1);
	unsigned told = 0;
	struct world w;

	begin(&w, true);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(ask(&w, &c, HARVEST_UNKNOWN, NULL), HARVEST_ANSWER);
		for (uint32_t k = 0; k < w.verdicts.n; k++) {
			assert_true(w.verdicts.at[k].observed);
			told += w.verdicts.at[k].prefix_len == 128;
		}
		assert_int_equal(standing(&w, &c), HARVEST_WELCOME);
	}
	assert_int_equal(told, 1);
	end(&w);
}

static void what_was_only_observed_is_not_enforced_after_a_restart(void **state)
{
	struct harvest_client c = v4(1), null = v4(1 << 8), good = v4(2 << 8);
	struct world w, after;

	begin(&w, true);
	begin(&after, false);
	null.null_sender = true;
	deliver(&w, &good, 20);
	for (int i = 0; i < 50; i++) {
		ask(&w, &c, HARVEST_UNKNOWN, NULL);
		ask(&w, &null, HARVEST_UNKNOWN, NULL);
	}
	carry_over(&w, &after);
	assert_int_equal(standing(&after, &c), HARVEST_WELCOME);
	assert_int_equal(standing(&after, &null), HARVEST_WELCOME);
	assert_int_equal(score(&after, &good), -35 * 256);
	/* What it did is known still: half a line, as a verdict whose time is over leaves. */
	assert_int_equal(score(&after, &c), harvest_line(w.h, 128) / 2);
	while (ask(&after, &c, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	assert_int_equal(after.verdicts.at[0].ttl_s, 300);
	end(&w);
	end(&after);
}

static void what_was_enforced_and_by_hand_outlasts_a_time_of_observing(void **state)
{
	struct harvest_client c = v4(1);
	struct world w, watching, after;

	begin(&w, false);
	begin(&watching, true);
	begin(&after, false);
	harvest_shut_out(w.h, &c.address, 128, w.now_s + 600, true, w.now_s);
	carry_over(&w, &watching);
	carry_over(&watching, &after);
	assert_int_equal(standing(&after, &c), HARVEST_GONE);
	end(&w);
	end(&watching);
	end(&after);
}

static void a_flood_of_strangers_takes_no_credit_and_no_verdict(void **state)
{
	struct harvest_client good = v4(0x7f0001), guesser = v4(0x7e0001);
	struct harvest_counts counts;
	struct world w;

	begin(&w, false);
	deliver(&w, &good, 20);
	while (ask(&w, &guesser, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
		;
	/* Ten times as many as the table has room for. */
	for (uint32_t i = 0; i < 40960; i++) {
		struct harvest_client c = v4(i << 8 & 0x7fffff);

		c.address.octets[12] = (uint8_t)(11 + (i >> 15));
		ask(&w, &c, HARVEST_UNKNOWN, NULL);
	}
	harvest_count(w.h, w.now_s, &counts);
	assert_true(counts.evicted > 10000);
	assert_int_equal(counts.evicted_with_credit, 0);
	assert_int_equal(score(&w, &good), -35 * 256);
	assert_int_equal(standing(&w, &guesser), HARVEST_GONE);
	end(&w);
}

/* In a table of one bucket the entry of a client gives way to its own /24's. */
static void nobody_is_blamed_for_whose_place_it_takes(void **state)
{
	struct harvest_client guesser = v4(77 << 8);
	struct harvest_story net;
	struct world w;

	begin_as(&w, false, 8, 1 << 20);
	for (uint32_t i = 0; i < 4; i++) {
		struct harvest_client good = v4(i << 8);

		deliver(&w, &good, 20);
	}
	assert_int_equal(ask(&w, &guesser, HARVEST_TRAP, NULL), HARVEST_SHUT_OUT);
	assert_false(story(&w, &guesser.address, 0).is_known);
	net = story(&w, &guesser.address, 1);
	assert_true(net.is_known);
	assert_int_equal(net.until_s, 0);
	assert_int_equal(net.level, 0);
	assert_int_equal(w.verdicts.n, 0);
	end(&w);
}

/* In a table of one bucket, where all that there is room for is over. */
static void a_newcomer_ends_no_other_newcomers_test(void **state)
{
	struct harvest_client one = v4(8 << 8), other = v4(9 << 8);
	unsigned answered = 0;
	struct world w;

	begin_as(&w, false, 8, 1 << 20);
	for (uint32_t i = 0; i < 4; i++) {
		struct harvest_client guesser = v4(i << 8);

		while (ask(&w, &guesser, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER)
			;
	}
	w.now_s += 10 * 60;
	while (ask(&w, &one, HARVEST_UNKNOWN, NULL) == HARVEST_ANSWER) {
		ask(&w, &other, HARVEST_UNKNOWN, NULL);
		w.now_s += 60;
		answered++;
		assert_true(answered < 4);
	}
	assert_int_equal(answered, 3); /* and the fourth, behind which it is shut out */
	end(&w);
}

static void a_test_that_is_none_is_refused(void **state)
{
	struct harvest_config config;

	harvest_defaults(&config);
	config.p0 = 0.95;
	assert_null(harvest_new(&config));
	harvest_defaults(&config);
	config.alpha = 0;
	assert_null(harvest_new(&config));
	harvest_defaults(&config);
	config.entries = 1000;
	assert_null(harvest_new(&config));
}

static void the_defaults_are_what_semantics_says(void **state)
{
	struct harvest_client c = v4(1);
	struct world w;

	begin(&w, false);
	assert_int_equal(harvest_line(w.h, 128), 2945); /* 11.5 */
	assert_int_equal(harvest_line(w.h, 120), 3 * 2945);
	assert_int_equal(harvest_line(w.h, 56), 3 * 2945);
	assert_int_equal(harvest_line(w.h, 48), 6 * 2945);
	ask(&w, &c, HARVEST_UNKNOWN, NULL);
	assert_int_equal(score(&w, &c), 871); /* 3.40 */
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_fourth_guess_of_a_stranger_is_its_last),
		cmocka_unit_test(a_full_filter_gives_a_stranger_no_fifth_answer),
		cmocka_unit_test(behind_the_last_one_of_a_burst_nothing_is_answered),
		cmocka_unit_test(addresses_of_one_64_are_one_client),
		cmocka_unit_test(the_time_doubles_for_who_comes_back),
		cmocka_unit_test(the_same_dead_address_is_no_second_guess),
		cmocka_unit_test(a_trap_is_a_whole_line),
		cmocka_unit_test(early_talk_and_abuse_are_half_a_line_and_vrfy_a_third_of_a_guess),
		cmocka_unit_test(postmaster_and_catch_alls_say_nothing),
		cmocka_unit_test(without_evidence_nothing_is_scored),
		cmocka_unit_test(what_is_delivered_is_credit_down_to_a_floor),
		cmocka_unit_test(credit_fades_over_weeks_and_evidence_over_days),
		cmocka_unit_test(it_fades_the_same_in_small_steps),
		cmocka_unit_test(a_pair_earns_once_a_day),
		cmocka_unit_test(a_loan_is_called_back_when_the_client_gives_up),
		cmocka_unit_test(an_open_transaction_lends_to_another_less_than_to_itself),
		cmocka_unit_test(known_addresses_buy_a_few_guesses_however_many_they_are),
		cmocka_unit_test(a_list_sent_at_once_on_many_connections_is_no_guessing),
		cmocka_unit_test(what_was_taken_is_given_back_when_nothing_is_delivered),
		cmocka_unit_test(what_was_taken_is_given_back_by_who_gives_no_evidence_any_more),
		cmocka_unit_test(what_is_lent_spares_nobody_its_prefix_verdict),
		cmocka_unit_test(what_is_lent_makes_no_address_dead),
		cmocka_unit_test(what_is_lent_ends_with_the_process),
		cmocka_unit_test(a_loan_called_back_passes_no_verdict_whose_time_is_over),
		cmocka_unit_test(what_fails_at_our_end_makes_up_for_evidence_and_is_no_credit),
		cmocka_unit_test(a_day_beyond_its_share_counts_double),
		cmocka_unit_test(a_dead_address_that_many_good_senders_mail_says_little),
		cmocka_unit_test(dead_addresses_of_their_own_make_no_guess_of_a_stranger_dead),
		cmocka_unit_test(a_null_sender_has_its_own_score_and_no_drop),
		cmocka_unit_test(one_question_of_a_null_sender_gets_four_answers),
		cmocka_unit_test(an_established_client_loses_a_sender_and_not_its_way_in),
		cmocka_unit_test(a_client_with_history_is_shut_out_for_four_hours_at_most),
		cmocka_unit_test(the_addresses_of_a_24_guess_together),
		cmocka_unit_test(the_nets_of_a_48_guess_together),
		cmocka_unit_test(one_client_alone_has_no_prefix_dropped),
		cmocka_unit_test(the_addresses_of_a_24_guess_together_whatever_they_know),
		cmocka_unit_test(lists_of_a_whole_24_at_once_are_no_guessing),
		cmocka_unit_test(who_has_credit_is_spared_its_prefix_verdict),
		cmocka_unit_test(the_spared_of_a_prefix_can_be_told),
		cmocka_unit_test(who_is_allowed_is_never_flagged),
		cmocka_unit_test(who_is_allowed_is_welcome_whatever_was_found_before),
		cmocka_unit_test(of_many_networks_each_is_found_and_no_other),
		cmocka_unit_test(who_is_shut_out_by_hand_is_so_until_then_only),
		cmocka_unit_test(what_runs_can_be_walked_in_pieces),
		cmocka_unit_test(who_is_named_by_a_load_balancer_is_gone_but_not_dropped),
		cmocka_unit_test(a_prefix_is_shut_out_as_who_brought_it_to_that),
		cmocka_unit_test(unban_ends_it_at_once),
		cmocka_unit_test(a_story_tells_why_and_until_when),
		cmocka_unit_test(a_checkpoint_carries_all_of_it_over_a_restart),
		cmocka_unit_test(a_piece_with_a_faulty_record_is_not_taken_in_at_all),
		cmocka_unit_test(to_observe_changes_no_answer_and_tells_all),
		cmocka_unit_test(what_was_only_observed_is_not_enforced_after_a_restart),
		cmocka_unit_test(what_was_enforced_and_by_hand_outlasts_a_time_of_observing),
		cmocka_unit_test(a_flood_of_strangers_takes_no_credit_and_no_verdict),
		cmocka_unit_test(nobody_is_blamed_for_whose_place_it_takes),
		cmocka_unit_test(a_newcomer_ends_no_other_newcomers_test),
		cmocka_unit_test(a_test_that_is_none_is_refused),
		cmocka_unit_test(the_defaults_are_what_semantics_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
