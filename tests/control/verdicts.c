/* SPDX-License-Identifier: BSD-3-Clause */
/* Verdicts for tests. Thread, Time, Memory, Rules: verdicts.h. */
#include "verdicts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t now_s;
static unsigned names;

uint32_t verdicts_now(void *arg)
{
	return now_s;
}

void verdicts_pass(uint32_t seconds)
{
	now_s += seconds;
}

struct flags_config verdicts_begin(struct world *w, bool observe)
{
	struct harvest_config config;

	now_s = VERDICTS_START;
	harvest_defaults(&config);
	config.entries = 1 << 12;
	config.filter_octets = 1 << 20;
	config.observe = observe;
	*w = (struct world){.harvest = harvest_new(&config),
			    .notices = aligned_alloc(64, sizeof(*w->notices))};
	assert_non_null(w->harvest);
	assert_non_null(w->notices);
	memset(w->notices, 0, sizeof(*w->notices));
	return (struct flags_config){
		.harvest = w->harvest,
		.notices = w->notices,
		.n_notices = 1,
		.now_s = verdicts_now,
	};
}

void verdicts_flags(struct world *w, const struct flags_config *config)
{
	if (flags_new(&w->flags, config, w->error, sizeof(w->error)))
		fail_msg("%s", w->error);
}

void verdicts_end(struct world *w)
{
	flags_free(w->flags);
	harvest_free(w->harvest);
	free(w->notices);
}

struct ip_addr verdicts_address(const char *text)
{
	struct ip_addr a = {{0}};

	if (!config_read_address(text, &a))
		fail_msg("%s is no address", text);
	return a;
}

struct ip_network verdicts_network(const char *text)
{
	struct ip_network n = {0};

	if (!config_read_network(text, &n))
		fail_msg("%s is no network", text);
	return n;
}

static struct harvest_client client_of(const char *client)
{
	return (struct harvest_client){.address = verdicts_address(client), .sender = 7};
}

static enum harvest_answer ask(struct world *w, const struct harvest_client *c,
			       enum harvest_evidence evidence, struct harvest_loan *loan,
			       struct harvest_verdicts *verdicts)
{
	struct recipient_address a = {.domain = "example.net", .domain_len = 11};
	enum harvest_answer answer;
	char local[16];

	a.local = local;
	a.local_len = (uint16_t)snprintf(local, sizeof(local), "n%u", names++);
	harvest_recipients(w->harvest, c, &a, &evidence, 1, loan, now_s, &answer, verdicts);
	return answer;
}

static void tell(struct world *w, const struct harvest_verdicts *verdicts, bool is_flagged)
{
	for (uint32_t i = 0; i < verdicts->n; i++) {
		const struct notice notice = {verdicts->at[i], is_flagged};

		notices_put(w->notices, &notice);
	}
}

static void guess(struct world *w, const struct harvest_client *c,
		  struct harvest_verdicts *verdicts)
{
	struct harvest_loan loan = {0};
	unsigned n = 0;

	do
		assert_true(n++ < 100);
	while (ask(w, c, HARVEST_UNKNOWN, &loan, verdicts) == HARVEST_ANSWER && !verdicts->n);
	assert_true(verdicts->n > 0);
}

void verdicts_guess(struct world *w, const char *client, bool is_flagged)
{
	const struct harvest_client c = client_of(client);
	struct harvest_verdicts verdicts;

	guess(w, &c, &verdicts);
	tell(w, &verdicts, is_flagged);
}

void verdicts_guess_behind_a_balancer(struct world *w, const char *client)
{
	struct harvest_client c = client_of(client);
	struct harvest_verdicts verdicts;

	c.by_proxy = true;
	guess(w, &c, &verdicts);
	tell(w, &verdicts, false);
}

void verdicts_guess_silently(struct world *w, const char *client)
{
	const struct harvest_client c = client_of(client);
	struct harvest_verdicts verdicts;

	guess(w, &c, &verdicts);
}

void verdicts_guess_together(struct world *w, const char *prefix)
{
	struct harvest_verdicts verdicts = {0};

	for (unsigned i = 100; !verdicts.n; i++) {
		struct harvest_loan loan = {0};
		struct harvest_client c;
		char client[64];

		assert_true(i < 200);
		snprintf(client, sizeof(client), "%s%u", prefix, i);
		c = client_of(client);
		ask(w, &c, HARVEST_UNKNOWN, &loan, &verdicts);
	}
	tell(w, &verdicts, false);
}

void verdicts_deliver(struct world *w, const char *client, unsigned n)
{
	const struct harvest_client c = client_of(client);
	struct harvest_verdicts verdicts;
	struct harvest_loan loan = {0};

	while (n--)
		ask(w, &c, HARVEST_GOOD, &loan, &verdicts);
	harvest_settle(w->harvest, &c, &loan, HARVEST_DELIVERED, now_s, &verdicts);
}

enum harvest_standing verdicts_standing(struct world *w, const char *client)
{
	const struct harvest_client c = client_of(client);

	return harvest_standing(w->harvest, &c, now_s);
}

size_t verdicts_list(struct world *w, struct flags_entry *entries, size_t n)
{
	size_t found = 0, more;
	uint32_t at = 0;

	while (found + 2 <= n && (more = flags_list(w->flags, &at, entries + found, n - found)) > 0)
		found += more;
	return found;
}
