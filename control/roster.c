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
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/error.h"

struct roster {
	const struct config *config;
	struct dataplane *dataplane; /* NULL: nothing is published yet */
	pthread_mutex_t loading;
	pthread_rwlock_t lock; /* of all below */
	struct recipients *current;
	struct directory_report *reports;
	time_t loaded;
};

/* --- loading --------------------------------------------------------------------------------- */

struct loaded {
	struct recipients *recipients;
	struct directory_report *reports;
};

static int load(struct loaded *l, const struct config *config, char *error, size_t len)
{
	uint8_t entropy[32];
	int rc;

	if (getrandom(entropy, sizeof(entropy), 0) != (ssize_t)sizeof(entropy))
		return error_set(-EIO, error, len, "no entropy: %s", strerror(errno));
	l->reports = calloc(config->n_domains, sizeof(*l->reports));
	if (!l->reports)
		return error_set(-ENOMEM, error, len, "no memory to load directories");
	rc = directory_load(&l->recipients, config, entropy, l->reports, error, len);
	if (rc)
		free(l->reports);
	return rc;
}

/* Returns what was there before. */
static struct loaded replace(struct roster *r, const struct loaded *l)
{
	struct loaded old;

	pthread_rwlock_wrlock(&r->lock);
	old = (struct loaded){r->current, r->reports};
	r->current = l->recipients;
	r->reports = l->reports;
	r->loaded = time(NULL);
	pthread_rwlock_unlock(&r->lock);
	return old;
}

int roster_reload(struct roster *r, char *error, size_t len)
{
	struct loaded fresh = {0}, old;
	int rc;

	pthread_mutex_lock(&r->loading);
	rc = load(&fresh, r->config, error, len);
	if (!rc) {
		old = replace(r, &fresh);
		free(old.reports);
		if (r->dataplane)
			dataplane_publish_recipients_take(r->dataplane, fresh.recipients);
		else
			recipients_free(old.recipients);
	}
	pthread_mutex_unlock(&r->loading);
	return rc;
}

int roster_new(struct roster **out, const struct config *config, char *error, size_t len)
{
	struct roster *r = calloc(1, sizeof(*r));
	struct loaded first = {0};
	int rc;

	if (!r)
		return error_set(-ENOMEM, error, len, "no memory for the roster");
	r->config = config;
	pthread_mutex_init(&r->loading, NULL);
	pthread_rwlock_init(&r->lock, NULL);
	rc = load(&first, config, error, len);
	if (rc) {
		roster_free(r);
		return rc;
	}
	replace(r, &first);
	*out = r;
	return 0;
}

void roster_start(struct roster *r, struct dataplane *dataplane)
{
	pthread_mutex_lock(&r->loading);
	r->dataplane = dataplane;
	dataplane_publish_recipients_take(dataplane, r->current);
	pthread_mutex_unlock(&r->loading);
}

void roster_free(struct roster *r)
{
	if (!r)
		return;
	if (!r->dataplane)
		recipients_free(r->current);
	free(r->reports);
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
	recipients_find(r->current, &asked, 1, answer);
	pthread_rwlock_unlock(&r->lock);
	return 0;
}

void roster_status(struct roster *r, struct roster_status *status)
{
	pthread_rwlock_rdlock(&r->lock);
	*status = (struct roster_status){
		.recipients = recipients_count(r->current),
		.memory = recipients_memory(r->current),
		.loaded = r->loaded,
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
	count = recipients_domain_count(r->current, domain);
	*report = r->reports[domain];
	pthread_rwlock_unlock(&r->lock);
	return count;
}
