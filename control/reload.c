/* SPDX-License-Identifier: BSD-3-Clause */
/* Directories read anew. Thread, Time, Memory, Rules: reload.h. */
#include "control/reload.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "control/error.h"

struct reload {
	struct roster *roster;
	pthread_t thread;
	bool has_thread;
	int done_fd;
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t is_asked;
	uint64_t asked;
	bool may_shrink; /* one who asked wants that */
	bool ends;
	struct reload_outcome last;
};

/* What to do next is in *next; false: there will be nothing more. */
static bool wait_for_one(struct reload *r, struct reload_outcome *next, bool *may_shrink)
{
	bool goes_on;

	pthread_mutex_lock(&r->lock);
	while (!r->ends && r->asked == r->last.number)
		pthread_cond_wait(&r->is_asked, &r->lock);
	*next = (struct reload_outcome){.number = r->asked};
	*may_shrink = r->may_shrink;
	r->may_shrink = false;
	goes_on = !r->ends;
	pthread_mutex_unlock(&r->lock);
	return goes_on;
}

static void *run(void *arg)
{
	const uint64_t one = 1;
	struct reload *r = arg;
	struct reload_outcome next;
	bool may_shrink;

	while (wait_for_one(r, &next, &may_shrink)) {
		next.rc = roster_reload(r->roster, may_shrink, next.error, sizeof(next.error));
		next.done = time(NULL);
		pthread_mutex_lock(&r->lock);
		r->last = next;
		pthread_mutex_unlock(&r->lock);
		if (write(r->done_fd, &one, sizeof(one)) < 0)
			return NULL; /* it counts to 2^64 */
	}
	return NULL;
}

int reload_new(struct reload **out, struct roster *roster, char *error, size_t len)
{
	struct reload *r = calloc(1, sizeof(*r));
	int failed;

	if (!r)
		return error_set(-ENOMEM, error, len, "no memory to read directories anew");
	r->roster = roster;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->is_asked, NULL);
	r->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	failed = r->done_fd < 0 ? errno : pthread_create(&r->thread, NULL, run, r);
	if (failed) {
		reload_free(r);
		return error_set(-failed, error, len, "the thread that reads directories: %s",
				 strerror(failed));
	}
	r->has_thread = true;
	*out = r;
	return 0;
}

void reload_free(struct reload *r)
{
	if (!r)
		return;
	if (r->has_thread) {
		roster_cancel(r->roster);
		pthread_mutex_lock(&r->lock);
		r->ends = true;
		pthread_cond_signal(&r->is_asked);
		pthread_mutex_unlock(&r->lock);
		pthread_join(r->thread, NULL);
	}
	if (r->done_fd >= 0)
		close(r->done_fd);
	pthread_cond_destroy(&r->is_asked);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

uint64_t reload_ask(struct reload *r, bool may_shrink)
{
	uint64_t number;

	pthread_mutex_lock(&r->lock);
	number = ++r->asked;
	r->may_shrink |= may_shrink;
	pthread_cond_signal(&r->is_asked);
	pthread_mutex_unlock(&r->lock);
	return number;
}

void reload_last(struct reload *r, struct reload_outcome *outcome)
{
	pthread_mutex_lock(&r->lock);
	*outcome = r->last;
	pthread_mutex_unlock(&r->lock);
}

int reload_fd(const struct reload *r)
{
	return r->done_fd;
}
