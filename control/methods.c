/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket's methods.
 *
 * Thread, Time, Memory: methods.h.
 * Rules: results are flat where they can be, so that a person's table and a program read the same;
 * times are seconds since the epoch, and 0 is never one: what has no time is null. Scores are in
 * units of the test's logarithm, as SEMANTICS has them.
 */
#include "control/methods.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/flags.h"
#include "control/reload.h"
#include "control/roster.h"
#include "control/shield.h"
#include "postern/address_text.h"
#include "postern/dataplane.h"
#include "postern/pools.h"
#include "postern/recipient_reply.h"

enum {
	LIST_USUAL = 1000, /* entries a page */
	LIST_MOST = 10000,
	LIST_PIECE = 128,
	DOMAINS_SHOWN = 100,
	POOLS_SHOWN = 100,
	SERVER_TEXT = IP_ADDR_TEXT + 8,
	ERROR_LEN = 512,
};

static const uint64_t longest_ban_s = 10ull * 365 * 24 * 3600;

/* --- parameters ------------------------------------------------------------------------------ */

static bool takes(const json_t *params, size_t least, size_t most, const char *what,
		  struct rpc_error *error)
{
	size_t n = json_array_size(params);

	if (n >= least && n <= most)
		return true;
	rpc_fail(error, RPC_INVALID_PARAMS, "parameters are: %s", what);
	return false;
}

static const char *text_at(const json_t *params, size_t at, const char *what,
			   struct rpc_error *error)
{
	const char *text = json_string_value(json_array_get(params, at));

	if (!text)
		rpc_fail(error, RPC_INVALID_PARAMS, "parameter %zu must be %s", at + 1, what);
	return text;
}

/* A number that may be left out. */
static bool number_at(const json_t *params, size_t at, uint32_t usual, uint32_t most,
		      uint32_t *number, struct rpc_error *error)
{
	const json_t *value = json_array_get(params, at);

	*number = usual;
	if (!value)
		return true;
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) > most) {
		rpc_fail(error, RPC_INVALID_PARAMS, "parameter %zu must be a number from 0 to %u",
			 at + 1, most);
		return false;
	}
	*number = (uint32_t)json_integer_value(value);
	return true;
}

static bool network_at(const json_t *params, size_t at, struct ip_network *network,
		       struct rpc_error *error)
{
	static const char what[] = "an address, or a network like 192.0.2.0/24";
	const char *text = text_at(params, at, what, error);

	if (!text)
		return false;
	if (config_read_network(text, network))
		return true;
	rpc_fail(error, RPC_INVALID_PARAMS, "%.80s is not %s", text, what);
	return false;
}

static bool duration_at(const json_t *params, size_t at, uint32_t *seconds, struct rpc_error *error)
{
	static const char what[] = "a duration like 90s, 10m or 4h, and 10 years at most";
	const char *text = text_at(params, at, what, error);
	uint64_t read;

	if (!text)
		return false;
	if (!config_read_duration(text, &read) || read == 0 || read > longest_ban_s) {
		rpc_fail(error, RPC_INVALID_PARAMS, "%.80s is not %s", text, what);
		return false;
	}
	*seconds = (uint32_t)read;
	return true;
}

/* --- values ---------------------------------------------------------------------------------- */

/* A client without its length: an IPv4 address, an IPv6 /64. */
static const char *network_text(char text[IP_NETWORK_TEXT], const struct ip_addr *address,
				uint8_t prefix_len)
{
	return prefix_len == 128 ? ip_addr_text(text, address)
				 : ip_network_text(text, address, prefix_len);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t uptime_s(const struct methods *m)
{
	time_t now_s = flags_now_s(m->flags);

	return now_s > m->began ? (uint64_t)(now_s - m->began) : 0;
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *moment(uint64_t seconds)
{
	return seconds ? number(seconds) : json_null();
}

/* Empty is none. A path in it need not be UTF-8; then it cannot be told. */
static json_t *sentence(const char *text)
{
	json_t *string = *text ? json_string(text) : NULL;

	return string ? string : json_null();
}

/* To a hundredth: what is finer says nothing. */
static json_t *score(int32_t fixed)
{
	int32_t hundredths = fixed * 100 / 256;

	return json_real(hundredths / 100.0);
}

static json_t *kernel_value(const struct flags_kernel *kernel)
{
	if (!kernel->is_there)
		return json_null();
	return json_pack("{s:I, s:I}", "left_s", (json_int_t)kernel->left_s, "drops",
			 (json_int_t)kernel->drops);
}

/* --- status, counters, version --------------------------------------------------------------- */

static json_t *version(void *arg, const json_t *params, struct rpc_error *error)
{
	if (!takes(params, 0, 0, "none", error))
		return NULL;
	return json_pack("{s:s}", "version", POSTERN_VERSION);
}

static json_t *domain_value(struct methods *m, uint32_t i)
{
	struct directory_report report;
	uint64_t count = roster_domain(m->roster, i, &report);

	return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:o, s:o}", "domain",
			 m->config->domains[i].name, "loaded", report.is_loaded, "recipients",
			 (json_int_t)count, "lines", (json_int_t)report.lines, "repeated",
			 (json_int_t)report.repeated, "bad_lines", (json_int_t)report.bad_lines,
			 "first_bad", sentence(report.is_loaded ? report.trouble : ""), "error",
			 sentence(report.is_loaded ? "" : report.trouble));
}

static json_t *recipients_value(struct methods *m)
{
	struct reload_outcome last = {0};
	struct roster_status status;
	json_t *domains = json_array();

	if (m->reload)
		reload_last(m->reload, &last);
	roster_status(m->roster, &status);
	for (uint32_t i = 0; i < m->config->n_domains && i < DOMAINS_SHOWN; i++)
		json_array_append_new(domains, domain_value(m, i));
	return json_pack("{s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:o}", "known",
			 (json_int_t)status.recipients, "memory", (json_int_t)status.memory,
			 "loaded", moment((uint64_t)status.loaded), "last_reload",
			 moment((uint64_t)last.done), "last_reload_error",
			 sentence(last.rc ? last.error : ""), "domains",
			 (json_int_t)m->config->n_domains, "not_loaded",
			 (json_int_t)status.not_loaded, "first_domains", domains);
}

static json_t *verdicts_value(const struct flags_counts *c)
{
	const char *error =
		*c->with_kernel.sentence ? c->with_kernel.sentence : c->with_state.sentence;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "heard", (json_int_t)c->heard,
			 "lost", (json_int_t)c->lost, "recovered", (json_int_t)c->recovered,
			 "written", (json_int_t)c->written, "spared", (json_int_t)c->spared,
			 "failed", (json_int_t)c->failed, "last_error",
			 *error ? json_string(error) : json_null());
}

static json_t *harvest_value(const struct flags_counts *c)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:o}", "mode",
			 c->observes ? "observe" : "enforce", "entries",
			 (json_int_t)c->table.entries, "used", (json_int_t)c->table.used, "evicted",
			 (json_int_t)c->table.evicted, "evicted_with_credit",
			 (json_int_t)c->table.evicted_with_credit, "filter_share",
			 c->table.filter_share, "checkpoints", (json_int_t)c->saved,
			 "checkpoint_written", moment(c->saved_s));
}

/* What can be mailed through: one in slow start, too. */
static uint32_t servers_well(const struct pools *p, uint32_t pool, uint64_t now_us)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < pools_config(p, pool)->n_servers; i++) {
		struct pool_server_status s;

		pools_status(p, pool, i, now_us, &s);
		n += s.state == POOL_WELL || s.state == POOL_STARTING;
	}
	return n;
}

static json_t *pools_value(const struct pools *p)
{
	const uint64_t now = now_us();
	uint64_t servers = 0, well = 0;
	json_t *shown = json_array();

	for (uint32_t i = 0; i < pools_count(p); i++) {
		const struct pool_config *pool = pools_config(p, i);
		uint32_t well_here = servers_well(p, i, now);

		servers += pool->n_servers;
		well += well_here;
		if (i < POOLS_SHOWN)
			json_array_append_new(shown,
					      json_pack("{s:s, s:I, s:I}", "pool", pool->name,
							"servers", (json_int_t)pool->n_servers,
							"well", (json_int_t)well_here));
	}
	return json_pack("{s:I, s:I, s:o}", "servers", (json_int_t)servers, "well",
			 (json_int_t)well, "first_pools", shown);
}

static json_t *connections_value(struct methods *m)
{
	struct dataplane_status s;

	dataplane_status(m->dataplane, &s);
	return json_pack("{s:I, s:I, s:I}", "open", (json_int_t)s.connections, "time_wait",
			 (json_int_t)s.time_waits, "buffers", (json_int_t)s.buffers_out);
}

static json_t *status(void *arg, const json_t *params, struct rpc_error *error)
{
	struct methods *m = arg;
	struct flags_counts counts;

	if (!takes(params, 0, 0, "none", error))
		return NULL;
	flags_count(m->flags, &counts);
	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "version",
			 POSTERN_VERSION, "hostname", m->config->hostname, "began",
			 (json_int_t)m->began, "uptime_s", (json_int_t)uptime_s(m), "connections",
			 connections_value(m), "pools", pools_value(m->pools), "recipients",
			 recipients_value(m), "harvest", harvest_value(&counts), "verdicts",
			 verdicts_value(&counts), "shield", m->shield != NULL);
}

static const char *const shield_names[SHIELD_COUNTERS] = {
	[SHIELD_PASS] = "shield_pass",
	[SHIELD_REDIRECT_SMTP] = "shield_redirect_smtp",
	[SHIELD_REDIRECT_BACKEND] = "shield_redirect_backend",
	[SHIELD_REDIRECT_ICMP] = "shield_redirect_icmp",
	[SHIELD_DROP_FLAGGED] = "shield_drop_flagged",
	[SHIELD_DROP_FRAGMENT] = "shield_drop_fragment",
	[SHIELD_DROP_MALFORMED] = "shield_drop_malformed",
	[SHIELD_SPARED] = "shield_spared",
	[SHIELD_NO_SOCKET] = "shield_no_socket",
};

static json_t *counters(void *arg, const json_t *params, struct rpc_error *error)
{
	uint64_t of_shield[SHIELD_COUNTERS];
	struct postern_counters sum;
	struct methods *m = arg;
	char sentence[ERROR_LEN];
	json_t *all;

	if (!takes(params, 0, 0, "none", error))
		return NULL;
	dataplane_counters(m->dataplane, &sum);
	all = json_object();
#define X(name, text) json_object_set_new(all, #name, number(sum.name));
	POSTERN_COUNTERS(X)
#undef X
	if (!m->shield)
		return all;
	if (shield_counters(m->shield, of_shield, sentence, sizeof(sentence))) {
		json_decref(all);
		return rpc_fail(error, RPC_FAILED, "%s", sentence);
	}
	for (int i = 0; i < SHIELD_COUNTERS; i++)
		json_object_set_new(all, shield_names[i], number(of_shield[i]));
	return all;
}

/* --- recipients ------------------------------------------------------------------------------ */

static const char *const finding_names[] = {
	[RECIPIENT_UNSURE] = "unsure",
	[RECIPIENT_NOT_OURS] = "not-ours",
	[RECIPIENT_UNKNOWN] = "unknown",
	[RECIPIENT_KNOWN] = "known",
};

/* What RCPT is answered, as "550 5.1.1". */
static const char *reply_to(const struct recipient_answer *a)
{
	static const char *const codes[REPLIES] = {
#define X(row, code, status, ...) [REPLY_##row] = #code " " status,
		POSTERN_REPLIES(X)
#undef X
	};

	return codes[recipient_reply(a)];
}

static json_t *lookup(void *arg, const json_t *params, struct rpc_error *error)
{
	struct methods *m = arg;
	struct recipient_answer answer;
	const char *address;
	char sentence[ERROR_LEN];
	bool is_known, is_ours;

	if (!takes(params, 1, 1, "the recipient's address", error))
		return NULL;
	address = text_at(params, 0, "an address", error);
	if (!address)
		return NULL;
	if (roster_find(m->roster, address, &answer, sentence, sizeof(sentence)))
		return rpc_fail(error, RPC_INVALID_PARAMS, "%s", sentence);
	is_known = answer.finding == RECIPIENT_KNOWN;
	is_ours = answer.finding != RECIPIENT_NOT_OURS && answer.domain < m->config->n_domains;
	return json_pack(
		"{s:s, s:s, s:s, s:o, s:o, s:o, s:b, s:b}", "address", address, "finding",
		finding_names[answer.finding], "reply", reply_to(&answer), "class",
		is_known ? json_string(recipient_class_name(answer.class)) : json_null(), "domain",
		is_ours ? json_string(m->config->domains[answer.domain].name) : json_null(), "pool",
		is_known && answer.pool < m->config->n_pools
			? json_string(m->config->pools[answer.pool].name)
			: json_null(),
		"postmaster", is_known && answer.is_postmaster, "catch_all",
		is_known && answer.by_catch_all);
}

static json_t *reload_result(void *arg, uint64_t number, struct rpc_error *error)
{
	struct reload_outcome last;
	struct roster_status status;
	struct methods *m = arg;

	reload_last(m->reload, &last);
	if (last.number < number)
		return rpc_wait(error, reload_result, number);
	if (last.rc)
		return rpc_fail(error, RPC_FAILED, "directories stay as they were: %s", last.error);
	roster_status(m->roster, &status);
	return json_pack("{s:I, s:I, s:I}", "known", (json_int_t)status.recipients, "domains",
			 (json_int_t)m->config->n_domains, "not_loaded",
			 (json_int_t)status.not_loaded);
}

static json_t *reload(void *arg, const json_t *params, struct rpc_error *error)
{
	static const char what[] = "[\"shrunk\", which takes directories that did]";
	struct methods *m = arg;
	const char *shrunk = NULL;

	if (!takes(params, 0, 1, what, error))
		return NULL;
	if (json_array_size(params)) {
		shrunk = text_at(params, 0, what, error);
		if (!shrunk)
			return NULL;
		if (strcmp(shrunk, "shrunk") != 0)
			return rpc_fail(error, RPC_INVALID_PARAMS, "parameters are: %s", what);
	}
	if (!m->reload)
		return rpc_fail(error, RPC_FAILED, "directories are not read anew here");
	return rpc_wait(error, reload_result, reload_ask(m->reload, shrunk));
}

/* --- the shield ------------------------------------------------------------------------------ */

static json_t *entry_value(const struct flags_entry *e)
{
	const struct harvest_verdict *v = &e->verdict;
	char text[IP_NETWORK_TEXT];

	return json_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:o, s:I, s:I, s:o}", "address",
			 network_text(text, &v->address, v->prefix_len), "what",
			 v->observed			   ? "observed"
			 : v->kind == HARVEST_VERDICT_NULL ? "null senders"
							   : "shut out",
			 "until", (json_int_t)v->until_s, "left_s", (json_int_t)v->ttl_s, "by",
			 v->by_hand ? "hand" : "harvest", "level", (json_int_t)v->level, "score",
			 score(v->score), "unknown_today", (json_int_t)v->unknown_today,
			 "delivered_today", (json_int_t)v->delivered_today, "kernel",
			 kernel_value(&e->kernel));
}

static json_t *list(void *arg, const json_t *params, struct rpc_error *error)
{
	struct flags_entry entries[LIST_PIECE];
	struct methods *m = arg;
	uint32_t most, at, listed = 0;
	json_t *page;
	size_t n = 0;

	if (!takes(params, 0, 2, "[how many at most [, where to go on]]", error) ||
	    !number_at(params, 0, LIST_USUAL, LIST_MOST, &most, error) ||
	    !number_at(params, 1, 0, UINT32_MAX, &at, error))
		return NULL;
	/* One entry of the table may have two verdicts. */
	most = most < 2 ? 2 : most;
	page = json_array();
	while (listed + 2 <= most) {
		n = most - listed < LIST_PIECE ? most - listed : LIST_PIECE;
		n = flags_list(m->flags, &at, entries, n);
		if (n == 0)
			break;
		for (size_t i = 0; i < n; i++)
			json_array_append_new(page, entry_value(&entries[i]));
		listed += (uint32_t)n;
	}
	return json_pack("{s:o, s:o}", "entries", page, "next", n ? number(at) : json_null());
}

static int code_of(int err)
{
	return err == -EINVAL ? RPC_INVALID_PARAMS : RPC_FAILED;
}

/* An IPv6 address is a client by its /64, and is called so. */
static const char *asked_text(char text[IP_NETWORK_TEXT], const struct ip_network *network)
{
	struct ip_addr address = network->address;

	if (network->prefix_len != 128 || ip_addr_is_v4(&address))
		return network_text(text, &address, network->prefix_len);
	memset(address.octets + 8, 0, 8);
	return network_text(text, &address, 64);
}

/* Whether the kernel's map holds it as well. */
static bool is_in_kernel(struct methods *m, const struct ip_network *network)
{
	struct flags_story stories[HARVEST_LEVELS];
	size_t n = flags_explain(m->flags, &network->address, stories);
	bool is_v6_client = network->prefix_len == 128 && !ip_addr_is_v4(&network->address);

	for (size_t i = 0; i < n; i++)
		if (stories[i].harvest.prefix_len == (is_v6_client ? 64 : network->prefix_len))
			return stories[i].kernel.is_there;
	return false;
}

static json_t *add(void *arg, const json_t *params, struct rpc_error *error)
{
	struct methods *m = arg;
	struct ip_network network;
	char text[IP_NETWORK_TEXT], sentence[ERROR_LEN];
	uint32_t seconds;
	int err;

	if (!takes(params, 2, 2, "an address or a network, and a duration", error) ||
	    !network_at(params, 0, &network, error) || !duration_at(params, 1, &seconds, error))
		return NULL;
	err = flags_add(m->flags, &network, seconds, sentence, sizeof(sentence));
	if (err)
		return rpc_fail(error, code_of(err), "%s: %s", asked_text(text, &network),
				sentence);
	return json_pack("{s:s, s:I, s:I, s:o}", "address", asked_text(text, &network), "until",
			 (json_int_t)flags_now_s(m->flags) + seconds, "left_s", (json_int_t)seconds,
			 "in_kernel",
			 m->shield ? json_boolean(is_in_kernel(m, &network)) : json_null());
}

static json_t *unban(void *arg, const json_t *params, struct rpc_error *error)
{
	struct methods *m = arg;
	struct ip_network network;
	struct flags_ended ended;
	char text[IP_NETWORK_TEXT], wider[IP_NETWORK_TEXT], sentence[ERROR_LEN];
	struct ip_addr masked;
	int err;

	if (!takes(params, 1, 1, "an address or a network", error) ||
	    !network_at(params, 0, &network, error))
		return NULL;
	err = flags_unban(m->flags, &network, &ended, sentence, sizeof(sentence));
	if (err)
		return rpc_fail(error, code_of(err), "%s: %s", asked_text(text, &network),
				sentence);
	masked = network.address;
	for (unsigned i = ended.still_out_by / 8; i < sizeof(masked.octets); i++)
		masked.octets[i] = 0;
	return json_pack("{s:s, s:b, s:o}", "address", asked_text(text, &network), "was_out",
			 ended.was_out, "still_out_by",
			 ended.still_out_by
				 ? json_string(network_text(wider, &masked, ended.still_out_by))
				 : json_null());
}

static void why(char *text, size_t len, const struct flags_story *s)
{
	const struct harvest_story *h = &s->harvest;

	if (h->is_allowed)
		snprintf(text, len, "it is on the list of who is never shut out");
	else if (h->until_s && h->by_hand)
		snprintf(text, len, "an operator shut it out");
	else if (h->until_s && h->level)
		snprintf(text, len,
			 "it asked for too many unknown recipients, %u today, and has been shut "
			 "out %u time%s",
			 h->unknown_today, h->level, h->level == 1 ? "" : "s");
	else if (h->until_s)
		snprintf(text, len, "it was shut out before this program started");
	else if (s->kernel.left_s)
		snprintf(text, len, "the kernel drops it; nothing else is known of that any more");
	else if (h->null_until_s)
		snprintf(text, len, "it sent too many bounces to unknown recipients");
	else if (!h->is_known)
		snprintf(text, len, "nothing is known of it");
	else if (h->score < 0)
		snprintf(text, len, "it has credit");
	else
		snprintf(text, len, "it is below the line");
}

static json_t *level_value(const struct flags_story *s)
{
	const struct harvest_story *h = &s->harvest;
	char text[IP_NETWORK_TEXT], reason[160];

	why(reason, sizeof(reason), s);
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
			 "address", network_text(text, &h->address, h->prefix_len), "why", reason,
			 "until", moment(h->is_allowed ? 0 : h->until_s), "null_senders_until",
			 moment(h->null_until_s), "score", score(h->score), "null_score",
			 score(h->null_score), "line", score(s->line), "level",
			 (json_int_t)h->level, "unknown_today", (json_int_t)h->unknown_today,
			 "delivered_today", (json_int_t)h->delivered_today, "unknown_week",
			 (json_int_t)h->unknown_week, "delivered_week",
			 (json_int_t)h->delivered_week, "seen",
			 h->is_known ? moment(h->seen_s) : json_null(), "kernel",
			 kernel_value(&s->kernel));
}

/* Which level shuts the client out; -1: none does. Credit spares it its prefixes' verdicts. */
static int deciding(const struct flags_story *stories, size_t n)
{
	if (stories[0].harvest.is_allowed)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (stories[i].harvest.until_s || (i == 0 && stories[i].kernel.left_s)) {
			if (i == 0 || stories[0].harvest.score >= 0)
				return (int)i;
		}
	return -1;
}

static json_t *explain(void *arg, const json_t *params, struct rpc_error *error)
{
	struct flags_story stories[HARVEST_LEVELS];
	struct methods *m = arg;
	struct ip_addr address;
	char reason[160];
	const char *text;
	json_t *levels;
	struct flags_counts counts;
	size_t n;
	int by;

	if (!takes(params, 1, 1, "an address", error))
		return NULL;
	text = text_at(params, 0, "an address", error);
	if (!text)
		return NULL;
	if (!config_read_address(text, &address))
		return rpc_fail(error, RPC_INVALID_PARAMS, "%.80s is not an address", text);
	n = flags_explain(m->flags, &address, stories);
	flags_count(m->flags, &counts);
	by = deciding(stories, n);
	why(reason, sizeof(reason), &stories[by < 0 ? 0 : by]);
	levels = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(levels, level_value(&stories[i]));
	return json_pack(
		"{s:s, s:b, s:b, s:o, s:s, s:b, s:b, s:o}", "address", text, "shut_out",
		by >= 0 && !counts.observes, "observed", by >= 0 && counts.observes, "until",
		by >= 0 ? moment(stories[by].harvest.until_s
					 ? stories[by].harvest.until_s
					 : flags_now_s(m->flags) + stories[by].kernel.left_s)
			: json_null(),
		"why", reason, "established", stories[0].harvest.is_established, "allowed",
		stories[0].harvest.is_allowed, "levels", levels);
}

/* --- pools ----------------------------------------------------------------------------------- */

static const char *const pool_states[] = {
	[POOL_WELL] = "well",	[POOL_STARTING] = "starting", [POOL_DOWN] = "down",
	[POOL_WRONG] = "wrong", [POOL_DRAINED] = "drained",
};

/* "192.0.2.1:25", "[2001:db8::1]:25" */
static const char *server_text(char text[SERVER_TEXT], const struct pool_server_config *server)
{
	char address[IP_ADDR_TEXT];

	ip_addr_text(address, &server->address);
	snprintf(text, SERVER_TEXT, ip_addr_is_v4(&server->address) ? "%s:%u" : "[%s]:%u", address,
		 server->port);
	return text;
}

/* Of its state; a worker may have found it after now was read. */
static uint64_t since_s(struct methods *m, const struct pool_server_status *s, uint64_t now)
{
	if (!s->since_us)
		return uptime_s(m);
	return now > s->since_us ? (now - s->since_us) / 1000000 : 0;
}

/* Until it may be tried; a second that has begun is one. */
static json_t *trial_value(const struct pool_server_status *s)
{
	if (s->state != POOL_DOWN && s->state != POOL_WRONG)
		return json_null();
	return number((s->trial_in_us + 999999) / 1000000);
}

static json_t *server_value(struct methods *m, uint32_t pool, uint32_t server)
{
	const struct pool_config *config = pools_config(m->pools, pool);
	const uint64_t now = now_us();
	struct pool_server_status s;
	char text[SERVER_TEXT];

	pools_status(m->pools, pool, server, now, &s);
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:o}",
		"pool", config->name, "server", server_text(text, &config->servers[server]),
		"protocol", config_protocols[config->protocol], "identity",
		config_identities[config->identity], "state", pool_states[s.state], "connections",
		(json_int_t)s.connections, "limit", (json_int_t)config->connections, "in_use",
		(json_int_t)s.in_use, "taken", (json_int_t)s.taken, "refused",
		(json_int_t)s.refused, "failed", (json_int_t)s.failed, "latency_us",
		s.latency_us ? number(s.latency_us) : json_null(), "trial_in_s", trial_value(&s),
		"since_s", (json_int_t)since_s(m, &s, now), "error", sentence(s.error));
}

/* The pool of the at-th of all servers, *at then its number there; false: there are no more. */
static bool server_at(const struct pools *p, uint32_t *pool, uint32_t *at)
{
	for (*pool = 0; *pool < pools_count(p); ++*pool) {
		uint32_t n = pools_config(p, *pool)->n_servers;

		if (*at < n)
			return true;
		*at -= n;
	}
	return false;
}

static json_t *list_servers(void *arg, const json_t *params, struct rpc_error *error)
{
	struct methods *m = arg;
	uint32_t most, from, pool, server, listed = 0;
	json_t *page;

	if (!takes(params, 0, 2, "[how many at most [, where to go on]]", error) ||
	    !number_at(params, 0, LIST_USUAL, LIST_MOST, &most, error) ||
	    !number_at(params, 1, 0, UINT32_MAX, &from, error))
		return NULL;
	most = most ? most : 1;
	page = json_array();
	server = from;
	if (server_at(m->pools, &pool, &server))
		for (; pool < pools_count(m->pools) && listed < most; pool++, server = 0)
			for (; server < pools_config(m->pools, pool)->n_servers && listed < most;
			     server++, listed++)
				json_array_append_new(page, server_value(m, pool, server));
	server = from + listed;
	return json_pack("{s:o, s:o}", "entries", page, "next",
			 listed && server_at(m->pools, &pool, &server) ? number(from + listed)
								       : json_null());
}

static bool pool_named(const struct pools *p, const char *name, uint32_t *pool)
{
	for (*pool = 0; *pool < pools_count(p); ++*pool)
		if (strcmp(pools_config(p, *pool)->name, name) == 0)
			return true;
	return false;
}

static bool server_named(const struct pool_config *pool, const struct config_endpoint *endpoint,
			 uint32_t *server)
{
	for (*server = 0; *server < pool->n_servers; ++*server) {
		const struct pool_server_config *one = &pool->servers[*server];

		if (one->port == endpoint->port && ip_addr_equal(&one->address, &endpoint->address))
			return true;
	}
	return false;
}

static bool server_of(const struct pools *p, const json_t *params, uint32_t *pool, uint32_t *server,
		      struct rpc_error *error)
{
	static const char what[] = "the server's address and port like 192.0.2.1:25";
	struct config_endpoint endpoint;
	const char *name, *text;

	if (!takes(params, 2, 2, "the pool's name, and the server's address and port", error))
		return false;
	name = text_at(params, 0, "the pool's name", error);
	text = name ? text_at(params, 1, what, error) : NULL;
	if (!text)
		return false;
	if (!config_read_endpoint(text, &endpoint))
		rpc_fail(error, RPC_INVALID_PARAMS, "%.80s is not %s", text, what);
	else if (!pool_named(p, name, pool))
		rpc_fail(error, RPC_INVALID_PARAMS, "there is no pool %.80s", name);
	else if (!server_named(pools_config(p, *pool), &endpoint, server))
		rpc_fail(error, RPC_INVALID_PARAMS, "pool %.80s has no server %.80s", name, text);
	else
		return true;
	return false;
}

static json_t *set_drained(struct methods *m, const json_t *params, bool drained,
			   struct rpc_error *error)
{
	uint32_t pool, server;

	if (!server_of(m->pools, params, &pool, &server, error))
		return NULL;
	pools_drain(m->pools, pool, server, drained, now_us());
	return server_value(m, pool, server);
}

static json_t *drain(void *arg, const json_t *params, struct rpc_error *error)
{
	return set_drained(arg, params, true, error);
}

static json_t *restore(void *arg, const json_t *params, struct rpc_error *error)
{
	return set_drained(arg, params, false, error);
}

/* --- the table ------------------------------------------------------------------------------- */

const struct rpc_method control_methods[] = {
	{"counters", counters},
	{"pools.drain", drain},
	{"pools.list", list_servers},
	{"pools.restore", restore},
	{"recipients.lookup", lookup},
	{"reload", reload},
	{"shield.add", add},
	{"shield.explain", explain},
	{"shield.list", list},
	{"shield.unban", unban},
	{"status", status},
	{"version", version},
	{NULL, NULL},
};
