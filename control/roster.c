/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who exists.
 *
 * Thread, Time, Memory: roster.h. Rules: `current` changes under the lock, and the data plane frees
 * the one before only after that: who looks up has the lock, so none of them holds it.
 */
#include "control/roster.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/error.h"

/* A snapshot and what it was made of. */
struct content {
	struct recipients *recipients;
	struct directory_report *reports; /* one a domain */
	uint64_t known;
	uint32_t not_loaded; /* domains */
	time_t loaded;
};

struct roster {
	const struct config *config;
	bool (*is_over)(void);
	atomic_bool is_cancelled;
	struct dataplane *dataplane; /* NULL: nothing is published yet */
	pthread_mutex_t loading;     /* who has it may read `current` without the lock */
	pthread_rwlock_t lock;
	struct content current;
	_Atomic uint64_t copies; /* octets the data plane has made of it for its nodes */
};

/* --- loading --------------------------------------------------------------------------------- */

static bool is_cancelled(void *arg)
{
	struct roster *r = arg;

	return atomic_load(&r->is_cancelled) || (r->is_over && r->is_over());
}

static void count(struct content *c, uint32_t n_domains)
{
	for (uint32_t i = 0; i < n_domains; i++) {
		if (c->reports[i].is_loaded)
			c->known += recipients_domain_count(c->recipients, i);
		else
			c->not_loaded++;
	}
}

static int load(struct roster *r, bool may_shrink, struct content *fresh, char *error, size_t len)
{
	struct directory_task task = {
		.config = r->config,
		.before = r->current.reports,
		.may_shrink = may_shrink,
		.is_cancelled = is_cancelled,
		.arg = r,
	};
	int rc;

	if (getrandom(task.entropy, sizeof(task.entropy), 0) != (ssize_t)sizeof(task.entropy))
		return error_set(-EIO, error, len, "no entropy: %s", strerror(errno));
	*fresh = (struct content){
		.reports = calloc(r->config->n_domains, sizeof(*fresh->reports)),
		.loaded = time(NULL),
	};
	if (!fresh->reports)
		return error_set(-ENOMEM, error, len, "no memory to load directories");
	rc = directory_load(&fresh->recipients, &task, fresh->reports, error, len);
	if (rc)
		free(fresh->reports);
	else
		count(fresh, r->config->n_domains);
	return rc;
}

/* Returns what was there before. */
static struct content replace(struct roster *r, const struct content *fresh)
{
	struct content old;

	pthread_rwlock_wrlock(&r->lock);
	old = r->current;
	r->current = *fresh;
	pthread_rwlock_unlock(&r->lock);
	return old;
}

/* The one before is freed: nobody may have it any more. */
static void publish(struct roster *r)
{
	r->copies = dataplane_publish_recipients_take(r->dataplane, r->current.recipients);
}

int roster_reload(struct roster *r, bool may_shrink, char *error, size_t len)
{
	struct content fresh = {0}, old;
	int rc;

	pthread_mutex_lock(&r->loading);
	rc = load(r, may_shrink, &fresh, error, len);
	if (!rc) {
		old = replace(r, &fresh);
		free(old.reports);
		if (r->dataplane)
			publish(r);
		else
			recipients_free(old.recipients);
	}
	pthread_mutex_unlock(&r->loading);
	return rc;
}

void roster_cancel(struct roster *r)
{
	atomic_store(&r->is_cancelled, true);
}

int roster_new(struct roster **out, const struct config *config, bool (*is_over)(void), char *error,
	       size_t len)
{
	struct roster *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return error_set(-ENOMEM, error, len, "no memory for the roster");
	r->config = config;
	r->is_over = is_over;
	pthread_mutex_init(&r->loading, NULL);
	pthread_rwlock_init(&r->lock, NULL);
	rc = load(r, false, &r->current, error, len);
	if (rc) {
		r->current = (struct content){0};
		roster_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void roster_start(struct roster *r, struct dataplane *dataplane)
{
	pthread_mutex_lock(&r->loading);
	r->dataplane = dataplane;
	publish(r);
	pthread_mutex_unlock(&r->loading);
}

void roster_free(struct roster *r)
{
	if (!r)
		return;
	if (!r->dataplane)
		recipients_free(r->current.recipients);
	free(r->current.reports);
	pthread_rwlock_destroy(&r->lock);
	pthread_mutex_destroy(&r->loading);
	free(r);
}

/* --- looking up ------------------------------------------------------------------------------ */

int roster_find(struct roster *r, const char *address, struct recipient_answer *answer, char *error,
		size_t len)
{
	char canonical[RECIPIENT_ADDRESS_MAX];
	struct recipient_address asked;

	if (!recipients_read_address(address, strlen(address), canonical, &asked))
		return error_set(-EINVAL, error, len, "%.320s: the address is malformed", address);
	pthread_rwlock_rdlock(&r->lock);
	recipients_find(r->current.recipients, &asked, 1, answer);
	pthread_rwlock_unlock(&r->lock);
	return 0;
}

void roster_status(struct roster *r, struct roster_status *status)
{
	pthread_rwlock_rdlock(&r->lock);
	*status = (struct roster_status){
		.recipients = r->current.known,
		.memory = recipients_memory(r->current.recipients) + r->copies,
		.not_loaded = r->current.not_loaded,
		.loaded = r->current.loaded,
	};
	pthread_rwlock_unlock(&r->lock);
}

uint64_t roster_count(struct roster *r)
{
	struct roster_status status;

	roster_status(r, &status);
	return status.recipients;
}

uint64_t roster_domain(struct roster *r, uint32_t domain, struct directory_report *report)
{
	uint64_t count;

	pthread_rwlock_rdlock(&r->lock);
	*report = r->current.reports[domain];
	count = report->is_loaded ? recipients_domain_count(r->current.recipients, domain) : 0;
	pthread_rwlock_unlock(&r->lock);
	return count;
}
