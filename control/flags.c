/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verdicts, from the table to the kernel's map.
 *
 * Thread, Time, Memory: flags.h.
 * Rules: before anything is written the table is asked whether the verdict still runs: what was
 * ended while its notice waited stays ended. A prefix's clients with credit are spared before it is
 * flagged, and if they cannot be, the workers alone keep the prefix out: they know whom to let in.
 * A client's own verdict ends its being spared. Of whom load balancers name the kernel is not told:
 * it sees their addresses, and the workers answer 421.
 */
#include "control/flags.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "control/checkpoint.h"
#include "control/error.h"
#include "control/shield.h"

enum {
	EXPIRE_EVERY_S = 10,
	SAVE_EVERY_S = 60,
	PIECE = 256,	/* verdicts at a time */
	FEW = 16,	/* a /48's takes milliseconds */
	STRETCH = 1024, /* in one call */
	NS = 1000000000,
};

static const uint32_t no_worker = UINT32_MAX;

/* All that runs is written into the kernel anew, a stretch at a time. */
struct anew {
	bool runs, again; /* again: from the beginning, when the end is reached */
	bool recovers;	  /* because notices were lost */
	uint32_t at;
};

struct flags {
	struct flags_config config;
	char *state; /* NULL: none */
	pthread_mutex_t lock;
	struct flags_counts counts;
	bool is_behind; /* the kernel did not take all */
	bool has_ordered;
	struct ip_network *allow; /* config.allow, sorted */
	/* Main's own. */
	uint64_t lost_seen;
	uint32_t expired_s, asked_s;
	struct anew anew;
	bool expires;
	size_t expired; /* by this expiry */

	/* The thread that writes checkpoints. */
	pthread_mutex_t file; /* one at a time */
	pthread_t saver;
	pthread_cond_t wake;
	bool has_saver, is_due, is_ending;
};

static uint32_t now_s(const struct flags *f)
{
	return f->config.now_s(f->config.now_arg);
}

static bool is_client(uint8_t prefix_len)
{
	return prefix_len == 128 || prefix_len == 64;
}

static uint64_t kernel_time(uint32_t until_s, uint32_t at_s)
{
	return shield_now_ns() + (uint64_t)(until_s > at_s ? until_s - at_s : 0) * NS;
}

/* --- the kernel's map ------------------------------------------------------------------------ */

static void trouble_begins(struct flags *f, struct flags_trouble *t, const char *sentence)
{
	if (!*t->sentence)
		t->since_s = now_s(f);
	snprintf(t->sentence, sizeof(t->sentence), "%s", sentence);
}

/* The lock is held. */
static int note_failure(struct flags *f, int err, const char *sentence)
{
	f->counts.failed++;
	f->is_behind = true;
	trouble_begins(f, &f->counts.with_kernel, sentence);
	return err;
}

struct sparing {
	struct flags *f;
	uint64_t expiry_ns;
	int err;
};

static void spare(void *arg, const struct ip_addr *client)
{
	struct sparing *s = arg;
	char error[256];

	if (s->err || harvest_is_allowed(s->f->config.harvest, client))
		return;
	s->err = shield_allow(s->f->config.shield, client, ip_addr_is_v4(client) ? 128 : 64,
			      s->expiry_ns, error, sizeof(error));
	if (s->err)
		note_failure(s->f, s->err, error);
	else
		s->f->counts.spared++;
}

static int by_length_and_address(const void *pa, const void *pb)
{
	const struct ip_network *a = pa, *b = pb;

	if (a->prefix_len != b->prefix_len)
		return a->prefix_len - b->prefix_len;
	return memcmp(&a->address, &b->address, sizeof(a->address));
}

/* A verdict's address, or the kernel's: neither has bits behind its prefix. */
static bool is_spared_for_ever(const struct flags *f, const struct ip_addr *address, uint8_t len)
{
	const struct ip_network network = {*address, len};

	return bsearch(&network, f->allow, f->config.n_allow, sizeof(network),
		       by_length_and_address) != NULL;
}

/* The lock is held. */
static void write_verdict(struct flags *f, const struct harvest_verdict *v)
{
	struct sparing sparing = {.f = f, .expiry_ns = kernel_time(v->until_s, now_s(f))};
	struct shield *shield = f->config.shield;
	char error[256];
	int err;

	if (is_client(v->prefix_len)) {
		if (!is_spared_for_ever(f, &v->address, v->prefix_len))
			shield_disallow(shield, &v->address, v->prefix_len, error, sizeof(error));
	} else {
		harvest_spared(f->config.harvest, &v->address, v->prefix_len, now_s(f), spare,
			       &sparing);
		if (sparing.err)
			return;
	}
	err = shield_flag(shield, &v->address, v->prefix_len, sparing.expiry_ns, error,
			  sizeof(error));
	if (err)
		note_failure(f, err, error);
	else
		f->counts.written++;
}

/* Its story at the level of a verdict. */
static struct harvest_story story_of(struct flags *f, const struct ip_addr *address,
				     uint8_t prefix_len)
{
	struct harvest_story stories[HARVEST_LEVELS];
	size_t n = harvest_explain(f->config.harvest, address, now_s(f), stories);

	for (size_t i = 0; i < n; i++)
		if (stories[i].prefix_len == prefix_len)
			return stories[i];
	return (struct harvest_story){.address = *address, .prefix_len = prefix_len};
}

/* The lock is held, which makes us the one writer. */
static void order(struct flags *f, const struct harvest_verdict *v, uint32_t origin)
{
	const struct notice notice = {.verdict = *v};

	if (!f->config.orders)
		return;
	for (uint32_t i = 0; i < f->config.n_notices; i++)
		if (i != origin)
			notices_put(&f->config.orders[i], &notice);
	f->has_ordered = true;
}

static void wake_for_orders(struct flags *f)
{
	bool has_ordered;

	pthread_mutex_lock(&f->lock);
	has_ordered = f->has_ordered;
	f->has_ordered = false;
	pthread_mutex_unlock(&f->lock);
	if (has_ordered && f->config.wake)
		f->config.wake(f->config.wake_arg);
}

/* The lock is held. is_told: a worker has written it. */
static void carry_out_in_kernel(struct flags *f, const struct harvest_verdict *v, bool is_told)
{
	char error[256];

	if (!is_told)
		write_verdict(f, v);
	else if (!is_spared_for_ever(f, &v->address, v->prefix_len))
		shield_disallow(f->config.shield, &v->address, v->prefix_len, error, sizeof(error));
}

/* Brings the kernel's map to what the table says of a verdict, and its end to the table's. False:
 * it runs no more. The lock is held. */
static bool bring_about(struct flags *f, struct harvest_verdict *v, bool is_told)
{
	uint32_t until_s;
	char error[256];

	if (harvest_until(f->config.harvest, &v->address, v->prefix_len, now_s(f), &until_s)) {
		if (!until_s && is_told && f->config.shield)
			shield_unflag(f->config.shield, &v->address, v->prefix_len, error,
				      sizeof(error));
		if (!until_s)
			return false;
		v->until_s = until_s;
	}
	if (f->config.shield && !v->by_proxy)
		carry_out_in_kernel(f, v, is_told);
	return true;
}

static bool is_to_be_carried_out(const struct harvest_verdict *v)
{
	return v->kind == HARVEST_VERDICT_DROP && !v->observed;
}

/* Brings the kernel's map, and the workers, to what the table says of a verdict. */
static void carry_out(struct flags *f, const struct harvest_verdict *verdict, bool is_told,
		      uint32_t origin)
{
	struct harvest_verdict v = *verdict;

	if (!is_to_be_carried_out(&v))
		return;
	pthread_mutex_lock(&f->lock);
	if (bring_about(f, &v, is_told))
		order(f, &v, origin);
	pthread_mutex_unlock(&f->lock);
}

/* --- all of it anew -------------------------------------------------------------------------- */

static void begin_anew(struct flags *f, bool recovers)
{
	struct anew *a = &f->anew;

	a->again = a->runs;
	a->recovers |= recovers;
	if (!a->runs)
		a->at = 0;
	a->runs = true;
}

static void end_anew(struct anew *a)
{
	a->runs = a->again;
	a->recovers &= a->again;
	a->again = false;
	a->at = 0;
}

static void write_again(struct flags *f, struct harvest_verdict *v)
{
	pthread_mutex_lock(&f->lock);
	if (is_to_be_carried_out(v))
		bring_about(f, v, false);
	f->counts.recovered += f->anew.recovers;
	pthread_mutex_unlock(&f->lock);
}

/* The kernel keeps its counts. Workers are not told: they look into the table, and a ring has room
 * for a few. */
static void go_on_anew(struct flags *f)
{
	struct harvest_verdict running[FEW];
	size_t done = 0, n = 1;

	while (f->anew.runs && n && done < STRETCH) {
		n = harvest_running(f->config.harvest, &f->anew.at, now_s(f), running, FEW);
		for (size_t i = 0; i < n; i++)
			write_again(f, &running[i]);
		done += n;
	}
	if (!n)
		end_anew(&f->anew);
}

/* --- start ----------------------------------------------------------------------------------- */

/* What an earlier process spared for ever, and this one does not. */
static bool disallow_stale(const struct shield_allowed *a, void *arg)
{
	struct flags *f = arg;
	char error[256];

	if (a->expiry_ns == 0 ? !is_spared_for_ever(f, &a->address, (uint8_t)a->prefix_len)
			      : harvest_observes(f->config.harvest))
		shield_disallow(f->config.shield, &a->address, a->prefix_len, error, sizeof(error));
	return true;
}

static int allow_in_kernel(struct flags *f, char *error, size_t len)
{
	int err = shield_each_allowed(f->config.shield, disallow_stale, f, error, len);

	for (uint32_t i = 0; i < f->config.n_allow && !err; i++)
		err = shield_allow(f->config.shield, &f->config.allow[i].address,
				   f->config.allow[i].prefix_len, 0, error, len);
	return err;
}

/* A flag an earlier process left: a verdict like any other, or none any more. */
static bool adopt(const struct shield_flagged *flagged, void *arg)
{
	struct flags *f = arg;
	uint64_t now_ns = shield_now_ns();
	uint8_t prefix_len = (uint8_t)flagged->prefix_len;
	uint32_t left_s, until_s;
	char error[256];

	if (flagged->expiry_ns <= now_ns)
		return true;
	left_s = (uint32_t)((flagged->expiry_ns - now_ns + NS - 1) / NS);
	if (harvest_until(f->config.harvest, &flagged->address, prefix_len, now_s(f), &until_s) &&
	    until_s)
		return true;
	if (harvest_shut_out(f->config.harvest, &flagged->address, prefix_len, now_s(f) + left_s,
			     false, now_s(f)))
		shield_unflag(f->config.shield, &flagged->address, prefix_len, error,
			      sizeof(error));
	return true;
}

/* A network that is never flagged now may have been before. */
static void end_the_allowed(struct flags *f)
{
	struct harvest_verdict running[PIECE];
	uint32_t at = 0;
	size_t n;

	while ((n = harvest_running(f->config.harvest, &at, now_s(f), running, PIECE)) > 0)
		for (size_t i = 0; i < n; i++)
			if (harvest_is_allowed(f->config.harvest, &running[i].address))
				harvest_unban(f->config.harvest, &running[i].address,
					      running[i].prefix_len);
}

/* A bad checkpoint is moved out of the way of the next, for whoever wants to look at it; one that
 * could not be read may be sound, and stays. */
static int restore(struct flags *f, char *error, size_t len)
{
	char aside[PATH_MAX];
	int err = checkpoint_load(f->config.harvest, f->state, error, len);

	if (err == 0 || err == -ENOENT) {
		*error = '\0';
		return 0;
	}
	if (err != -EBADMSG && err != -EPROTO)
		return err;
	if (snprintf(aside, sizeof(aside), "%s.bad", f->state) >= (int)sizeof(aside))
		return error_set(-ENAMETOOLONG, error, len, "%s: the name is too long", f->state);
	if (rename(f->state, aside) != 0)
		return error_set(-errno, error, len, "cannot move %s aside: %s", f->state,
				 strerror(errno));
	trouble_begins(f, &f->counts.with_state, error);
	return 0;
}

/* error stays unless this fails. */
static int begin_kernel(struct flags *f, char *error, size_t len)
{
	char sentence[256];
	int err = allow_in_kernel(f, sentence, sizeof(sentence));

	if (!err)
		err = shield_each_flagged(f->config.shield, adopt, f, sentence, sizeof(sentence));
	if (err)
		return error_set(err, error, len, "%s", sentence);
	begin_anew(f, false);
	go_on_anew(f);
	return 0;
}

static int begin(struct flags *f, char *error, size_t len)
{
	int err = harvest_allow(f->config.harvest, f->config.allow, f->config.n_allow);

	if (err)
		return error_set(err, error, len, "%u networks that are never flagged: %s",
				 f->config.n_allow, strerror(-err));
	*error = '\0';
	err = f->state ? restore(f, error, len) : 0;
	if (err)
		return err;
	/* The clock may have been set back since, or the file be another machine's. */
	harvest_cap(f->config.harvest, now_s(f));
	end_the_allowed(f);
	return f->config.shield ? begin_kernel(f, error, len) : 0;
}

/* --- checkpoints ----------------------------------------------------------------------------- */

int flags_save(struct flags *f, char *error, size_t len)
{
	int err;

	if (!f->state)
		return 0;
	pthread_mutex_lock(&f->file);
	err = checkpoint_save(f->config.harvest, f->state, error, len);
	pthread_mutex_unlock(&f->file);
	pthread_mutex_lock(&f->lock);
	if (err) {
		trouble_begins(f, &f->counts.with_state, error);
	} else {
		f->counts.with_state.sentence[0] = '\0';
		f->counts.saved++;
		f->counts.saved_s = now_s(f);
	}
	pthread_mutex_unlock(&f->lock);
	return err;
}

static void *save_when_due(void *arg)
{
	struct flags *f = arg;
	char error[512];

	pthread_mutex_lock(&f->lock);
	while (f->is_due || !f->is_ending) {
		if (!f->is_due) {
			pthread_cond_wait(&f->wake, &f->lock);
			continue;
		}
		f->is_due = false;
		pthread_mutex_unlock(&f->lock);
		flags_save(f, error, sizeof(error));
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static void ask_for_checkpoint(struct flags *f)
{
	pthread_mutex_lock(&f->lock);
	f->is_due = f->has_saver;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
}

/* --- life ------------------------------------------------------------------------------------ */

static int copy_config(struct flags *f)
{
	const struct flags_config *c = &f->config;

	f->allow = calloc(c->n_allow + 1, sizeof(*f->allow));
	if (!f->allow)
		return -ENOMEM;
	if (c->n_allow) {
		memcpy(f->allow, c->allow, c->n_allow * sizeof(*f->allow));
		qsort(f->allow, c->n_allow, sizeof(*f->allow), by_length_and_address);
	}
	if (c->state && *c->state) {
		f->state = strdup(c->state);
		if (!f->state)
			return -ENOMEM;
	}
	return 0;
}

int flags_new(struct flags **out, const struct flags_config *config, char *error, size_t len)
{
	struct flags *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return error_set(-ENOMEM, error, len, "no memory for verdicts");
	f->config = *config;
	pthread_mutex_init(&f->lock, NULL);
	pthread_mutex_init(&f->file, NULL);
	pthread_cond_init(&f->wake, NULL);
	f->expired_s = f->asked_s = now_s(f);
	err = copy_config(f);
	if (err)
		error_set(err, error, len, "no memory for verdicts");
	if (!err)
		err = begin(f, error, len);
	if (!err && f->state) {
		err = -pthread_create(&f->saver, NULL, save_when_due, f);
		f->has_saver = !err;
		if (err)
			error_set(err, error, len, "no thread to write checkpoints: %s",
				  strerror(-err));
	}
	if (err) {
		flags_free(f);
		return err;
	}
	*out = f;
	return 0;
}

void flags_free(struct flags *f)
{
	if (!f)
		return;
	if (f->has_saver) {
		pthread_mutex_lock(&f->lock);
		f->is_ending = true;
		pthread_cond_signal(&f->wake);
		pthread_mutex_unlock(&f->lock);
		pthread_join(f->saver, NULL);
	}
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->file);
	pthread_mutex_destroy(&f->lock);
	free(f->allow);
	free(f->state);
	free(f);
}

/* --- notices --------------------------------------------------------------------------------- */

static void take_one(struct flags *f, const struct notice *notice, uint32_t worker)
{
	carry_out(f, &notice->verdict, notice->is_flagged, worker);
	if (f->config.event)
		f->config.event(f->config.event_arg, &notice->verdict);
	pthread_mutex_lock(&f->lock);
	f->counts.heard++;
	pthread_mutex_unlock(&f->lock);
}

void flags_take(struct flags *f)
{
	for (uint32_t i = 0; i < f->config.n_notices; i++) {
		struct notice notice;

		/* As many as there is room for: a worker that goes on and on is not waited for. */
		for (unsigned n = 0; n < NOTICES && notices_get(&f->config.notices[i], &notice);
		     n++)
			take_one(f, &notice, i);
	}
	wake_for_orders(f);
}

static uint64_t lost(const struct flags *f)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < f->config.n_notices; i++)
		sum += atomic_load_explicit(&f->config.notices[i].dropped, memory_order_relaxed);
	return sum;
}

/* What was lost on its way to us stands in the table. */
static void recover(struct flags *f)
{
	uint64_t now_lost = lost(f);

	if (now_lost != f->lost_seen)
		begin_anew(f, true);
	f->lost_seen = now_lost;
}

/* Where there is room again, what the kernel did not take is written. */
static void end_expiry(struct flags *f)
{
	bool again;

	f->expires = false;
	pthread_mutex_lock(&f->lock);
	again = f->is_behind && f->expired > 0;
	if (!f->is_behind)
		f->counts.with_kernel.sentence[0] = '\0';
	if (again)
		f->is_behind = false;
	pthread_mutex_unlock(&f->lock);
	if (again)
		begin_anew(f, false);
	f->expired = 0;
}

static void go_on_expiring(struct flags *f)
{
	char error[256];
	size_t removed = 0;
	bool done = false;
	int err;

	if (!f->expires)
		return;
	err = shield_expire(f->config.shield, shield_now_ns(), &done, &removed, error,
			    sizeof(error));
	f->expired += removed;
	if (err) {
		pthread_mutex_lock(&f->lock);
		trouble_begins(f, &f->counts.with_kernel, error);
		pthread_mutex_unlock(&f->lock);
		f->expires = false;
	} else if (done) {
		end_expiry(f);
	}
}

void flags_go_on(struct flags *f)
{
	go_on_anew(f);
	go_on_expiring(f);
}

/* Whether so much time has gone since; a clock that was set back begins anew. */
static bool has_passed(uint32_t *since_s, uint32_t at_s, uint32_t seconds)
{
	if (at_s >= *since_s && at_s - *since_s < seconds)
		return false;
	*since_s = at_s;
	return true;
}

void flags_tick(struct flags *f)
{
	uint32_t at_s = now_s(f);

	harvest_tick(f->config.harvest, at_s);
	flags_take(f); /* what was more than a turn's, or came without a call */
	recover(f);
	if (f->config.shield && has_passed(&f->expired_s, at_s, EXPIRE_EVERY_S))
		f->expires = true;
	flags_go_on(f);
	if (f->state && has_passed(&f->asked_s, at_s, SAVE_EVERY_S))
		ask_for_checkpoint(f);
}

/* --- what is asked --------------------------------------------------------------------------- */

/* An IPv6 address is a client by its /64. */
static uint8_t level_of(const struct ip_network *network)
{
	return network->prefix_len == 128 && !ip_addr_is_v4(&network->address)
		       ? 64
		       : network->prefix_len;
}

static const char no_such_level[] = "only IPv4 addresses and /24s, IPv6 addresses and /64s, /56s "
				    "and /48s can be shut out";

int flags_add(struct flags *f, const struct ip_network *network, uint32_t seconds, char *error,
	      size_t len)
{
	struct harvest_verdict v = {.address = network->address,
				    .prefix_len = level_of(network),
				    .kind = HARVEST_VERDICT_DROP};
	uint32_t at_s = now_s(f);
	int err;

	v.until_s = seconds < UINT32_MAX - at_s ? at_s + seconds : UINT32_MAX;
	err = harvest_shut_out(f->config.harvest, &v.address, v.prefix_len, v.until_s, true, at_s);
	if (err == -EINVAL)
		return error_set(err, error, len, "%s", no_such_level);
	if (err == -EPERM)
		return error_set(err, error, len, "it is on the list of who is never shut out");
	if (err)
		return error_set(err, error, len,
				 "nobody is shut out while harvest's mode is "
				 "observe");
	carry_out(f, &v, false, no_worker);
	wake_for_orders(f);
	ask_for_checkpoint(f);
	return 0;
}

struct end_of_sparing {
	struct flags *f;
	struct ip_addr address;
	uint8_t prefix_len;
};

/* The narrowest prefix wider than that which is shut out; 0: none. */
static uint8_t prefix_that_runs(struct flags *f, const struct ip_addr *address, uint8_t prefix_len)
{
	struct harvest_story stories[HARVEST_LEVELS];
	size_t n = harvest_explain(f->config.harvest, address, now_s(f), stories);

	for (size_t i = 1; i < n; i++)
		if (stories[i].until_s && stories[i].prefix_len < prefix_len)
			return stories[i].prefix_len;
	return 0;
}

static bool end_sparing(const struct shield_allowed *a, void *arg)
{
	const struct end_of_sparing *e = arg;
	char error[256];

	if (a->expiry_ns && a->prefix_len >= e->prefix_len &&
	    ip_addr_match(&a->address, &e->address, e->prefix_len) &&
	    !prefix_that_runs(e->f, &a->address, (uint8_t)a->prefix_len))
		shield_disallow(e->f->config.shield, &a->address, a->prefix_len, error,
				sizeof(error));
	return true;
}

static int unflag(struct flags *f, const struct ip_addr *address, uint8_t prefix_len, char *error,
		  size_t len)
{
	struct end_of_sparing e = {f, *address, prefix_len};
	int err = shield_unflag(f->config.shield, address, prefix_len, error, len);

	if (err && err != -ENOENT)
		return err;
	if (is_client(prefix_len))
		return 0;
	return shield_each_allowed(f->config.shield, end_sparing, &e, error, len);
}

int flags_unban(struct flags *f, const struct ip_network *network, struct flags_ended *ended,
		char *error, size_t len)
{
	uint8_t prefix_len = level_of(network);
	struct harvest_story before;
	int err = 0;

	if (!harvest_is_level(&network->address, prefix_len))
		return error_set(-EINVAL, error, len, "%s", no_such_level);
	pthread_mutex_lock(&f->lock);
	before = story_of(f, &network->address, prefix_len);
	harvest_unban(f->config.harvest, &network->address, prefix_len);
	ended->was_out = before.until_s || before.null_until_s;
	if (f->config.shield) {
		struct shield_flagged there;

		if (!shield_find_flagged(f->config.shield, &network->address, prefix_len, &there,
					 error, len) &&
		    there.expiry_ns > shield_now_ns())
			ended->was_out = true;
		err = unflag(f, &network->address, prefix_len, error, len);
	}
	ended->still_out_by = prefix_that_runs(f, &network->address, prefix_len);
	pthread_mutex_unlock(&f->lock);
	ask_for_checkpoint(f);
	return err;
}

static struct flags_kernel kernel_of(struct flags *f, const struct ip_addr *address,
				     uint8_t prefix_len)
{
	struct shield_flagged there;
	uint64_t now_ns;
	char error[256];

	if (!f->config.shield || shield_find_flagged(f->config.shield, address, prefix_len, &there,
						     error, sizeof(error)))
		return (struct flags_kernel){0};
	now_ns = shield_now_ns();
	return (struct flags_kernel){
		.is_there = true,
		.left_s = there.expiry_ns > now_ns
				  ? (uint32_t)((there.expiry_ns - now_ns + NS - 1) / NS)
				  : 0,
		.drops = there.drops,
	};
}

size_t flags_list(struct flags *f, uint32_t *at, struct flags_entry *entries, size_t n)
{
	struct harvest_verdict running[PIECE];

	n = harvest_running(f->config.harvest, at, now_s(f), running, n < PIECE ? n : PIECE);
	for (size_t i = 0; i < n; i++) {
		entries[i] = (struct flags_entry){.verdict = running[i]};
		if (running[i].kind == HARVEST_VERDICT_DROP)
			entries[i].kernel =
				kernel_of(f, &running[i].address, running[i].prefix_len);
	}
	return n;
}

size_t flags_explain(struct flags *f, const struct ip_addr *address,
		     struct flags_story stories[HARVEST_LEVELS])
{
	struct harvest_story known[HARVEST_LEVELS];
	size_t n = harvest_explain(f->config.harvest, address, now_s(f), known);

	for (size_t i = 0; i < n; i++)
		stories[i] = (struct flags_story){
			.harvest = known[i],
			.line = harvest_line(f->config.harvest, known[i].prefix_len),
			.kernel = kernel_of(f, address, known[i].prefix_len),
		};
	return n;
}

void flags_count(struct flags *f, struct flags_counts *counts)
{
	pthread_mutex_lock(&f->lock);
	*counts = f->counts;
	pthread_mutex_unlock(&f->lock);
	counts->lost = lost(f);
	counts->observes = harvest_observes(f->config.harvest);
	harvest_count(f->config.harvest, now_s(f), &counts->table);
}

uint32_t flags_now_s(const struct flags *f)
{
	return now_s(f);
}
