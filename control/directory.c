/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads directories.
 *
 * Thread, Time, Memory: directory.h.
 * Rules: a file is read, not mapped: one that shrinks meanwhile must not end the process. A table
 * that proves too small is made anew, larger; how many lines there are is counted first.
 */
#include "control/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/error.h"

enum {
	CHUNK = 1 << 20,
	LINE_OCTETS_MAX = 4096,
	SPARE_PERCENT = 5, /* room for what is added in place */
	ATTEMPTS = 4,	   /* each half as large again */
};

/* All of them, and the one that is on its way. */
struct load {
	const struct directory_task *task;
	const struct config_domain *domain;
	int pool; /* the domain's */
	struct directory_report *report;
	struct recipients_directory directory;
	char *buffer;
	size_t held; /* of a line whose end has not come */
	bool skips;  /* a line that is too long, up to its end */
};

static int pool_of(void *arg, const char *name, size_t len)
{
	struct load *l = arg;
	const struct config *config = l->task->config;

	for (uint32_t i = 0; i < config->n_pools; i++) {
		if (strlen(config->pools[i].name) != len ||
		    memcmp(config->pools[i].name, name, len) != 0)
			continue;
		l->report->is_sharded |= (int)i != l->pool;
		return (int)i;
	}
	return -1;
}

static void note_bad(void *arg, uint64_t line, const char *why)
{
	struct load *l = arg;

	if (!l->report->trouble[0])
		snprintf(l->report->trouble, sizeof(l->report->trouble), "%s:%llu: %s",
			 l->domain->recipients, (unsigned long long)line, why);
}

__attribute__((format(printf, 3, 4))) static int refuse(struct load *l, int err, const char *format,
							...)
{
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	return error_set(err, l->report->trouble, sizeof(l->report->trouble), "%s%s",
			 l->domain->recipients, why);
}

static bool is_cancelled(const struct load *l)
{
	return l->task->is_cancelled && l->task->is_cancelled(l->task->arg);
}

/* --- lines ----------------------------------------------------------------------------------- */

static void take_line(struct load *l, const char *text, size_t len)
{
	if (!l->skips && len <= LINE_OCTETS_MAX) {
		recipients_directory_line(&l->directory, text, len);
		return;
	}
	l->skips = false;
	l->directory.lines++;
	l->directory.bad_lines++;
	note_bad(l, l->directory.lines, "the line is too long");
}

/* Takes the whole lines of what is in the buffer, and keeps the rest at its front. */
static void take_chunk(struct load *l, size_t len)
{
	char *at = l->buffer, *end = l->buffer + len, *newline;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		take_line(l, at, (size_t)(newline - at));
		at = newline + 1;
	}
	l->held = (size_t)(end - at);
	if (l->held > LINE_OCTETS_MAX) {
		l->skips = true;
		l->held = 0;
	}
	memmove(l->buffer, at, l->held);
}

static int read_all(struct load *l, int fd)
{
	ssize_t n;

	while ((n = read(fd, l->buffer + l->held, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return refuse(l, -errno, ": %s", strerror(errno));
		take_chunk(l, l->held + (size_t)n);
		if (l->directory.is_full)
			return -ENOSPC;
		if (is_cancelled(l))
			return -ECANCELED;
	}
	recipients_directory_end(&l->directory);
	return l->directory.is_full ? -ENOSPC : 0;
}

/* --- files ----------------------------------------------------------------------------------- */

/* -errno: it is not there, or is no file. A FIFO must not hold us up. */
static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	int rc;

	if (fd < 0)
		return -errno;
	rc = fstat(fd, &status) < 0 ? -errno : S_ISREG(status.st_mode) ? 0 : -EINVAL;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* Lines of a file, as far as it can be read. */
static uint64_t count_lines(struct load *l, const char *path)
{
	int fd = open_file(path);
	uint64_t lines = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	while ((n = read(fd, l->buffer, CHUNK)) > 0 && !is_cancelled(l))
		for (char *at = l->buffer; (at = memchr(at, '\n', (size_t)(l->buffer + n - at)));
		     at++)
			lines++;
	close(fd);
	return lines;
}

/* --- a domain -------------------------------------------------------------------------------- */

/* By more than the domain lets; one may always go, so that a small directory can be worked on. */
static bool has_shrunk(const struct load *l, const struct directory_report *before)
{
	uint64_t now = l->directory.added;

	return before->added > now &&
	       (double)(before->added - now) >= l->domain->shrink * (double)before->added + 1;
}

/* Whether what was read can be what was meant. */
static int judge(struct load *l, const struct directory_report *before)
{
	const struct recipients_directory *d = &l->directory;

	if (l->held || l->skips)
		return refuse(l, -EBADMSG, ":%llu: the last line has no end: the file is cut off",
			      (unsigned long long)d->lines + 1);
	if ((double)d->bad_lines > l->domain->bad_lines * (double)d->lines) {
		size_t len = strlen(l->report->trouble);

		return error_set(-EBADMSG, l->report->trouble + len,
				 sizeof(l->report->trouble) - len, " (%llu of %llu lines are bad)",
				 (unsigned long long)d->bad_lines, (unsigned long long)d->lines);
	}
	if (d->added == 0 && !l->domain->catch_all)
		return refuse(l, -ENODATA, ": nobody stands there");
	if (before && before->is_loaded && !l->task->may_shrink && has_shrunk(l, before))
		return refuse(l, -ERANGE,
			      ": %llu recipients, where there were %llu: more are gone than "
			      "shrink: %g lets; `posternctl reload shrunk` takes it all the same",
			      (unsigned long long)d->added, (unsigned long long)before->added,
			      l->domain->shrink);
	return 0;
}

static int read_domain(struct load *l)
{
	int fd = open_file(l->domain->recipients), rc;

	if (fd < 0)
		return refuse(l, fd, ": %s", fd == -EINVAL ? "is no file" : strerror(-fd));
	rc = read_all(l, fd);
	close(fd);
	l->report->lines = l->directory.lines;
	l->report->added = l->directory.added;
	l->report->repeated = l->directory.repeated;
	l->report->bad_lines = l->directory.bad_lines;
	return rc;
}

static int load_domain(struct load *l, struct recipients *r, uint32_t number,
		       const struct directory_report *before)
{
	int rc;

	l->domain = &l->task->config->domains[number];
	l->pool = config_pool(l->task->config, l->domain->pool);
	l->held = 0;
	l->skips = false;
	l->directory = (struct recipients_directory){
		.recipients = r,
		.domain = number,
		.pool = pool_of,
		.bad = note_bad,
		.arg = l,
	};
	*l->report = (struct directory_report){0};
	rc = read_domain(l);
	if (!rc)
		rc = judge(l, before);
	l->report->is_loaded = !rc;
	recipients_set_loaded(r, number, !rc);
	return rc;
}

/* --- all of them ----------------------------------------------------------------------------- */

static int make(struct recipients **out, const struct config *config, uint64_t expected,
		const uint8_t entropy[32], char *error, size_t len)
{
	struct recipients_config rc = {.expected = expected};
	struct recipients *r;

	memcpy(rc.entropy, entropy, sizeof(rc.entropy));
	r = recipients_new(&rc);
	if (!r)
		return error_set(-ENOMEM, error, len, "no memory for %llu recipients",
				 (unsigned long long)expected);
	for (uint32_t i = 0; i < config->n_domains; i++) {
		const struct config_domain *d = &config->domains[i];
		struct recipients_domain rules = {
			.name = d->name,
			.name_len = (uint16_t)strlen(d->name),
			.pool = (uint16_t)config_pool(config, d->pool),
			.exact_case = d->letter_case == CONFIG_EXACT,
			.catch_all = d->catch_all,
		};
		uint32_t number;
		int failed;

		memcpy(rules.separators, d->subaddress,
		       strnlen(d->subaddress, sizeof(rules.separators)));
		failed = recipients_add_domain(r, &rules, &number);
		if (failed) {
			recipients_free(r);
			return error_set(failed, error, len, "domain %s: %s", d->name,
					 strerror(-failed));
		}
	}
	*out = r;
	return 0;
}

int directory_empty(struct recipients **out, const struct config *config, const uint8_t entropy[32],
		    char *error, size_t len)
{
	return make(out, config, 0, entropy, error, len);
}

/* No more can be done, or all must be done again. */
static bool ends_all(int rc)
{
	return rc == -ENOSPC || rc == -ECANCELED;
}

/* 0 when a domain is loaded, and each that was before. */
static int load_all(struct load *l, struct recipients *r, struct directory_report *reports,
		    char *error, size_t len)
{
	const struct directory_report *before = l->task->before;
	uint32_t n = l->task->config->n_domains, loaded = 0;
	int first = 0;

	for (uint32_t i = 0; i < n; i++) {
		int rc;

		l->report = &reports[i];
		rc = load_domain(l, r, i, before ? &before[i] : NULL);
		if (ends_all(rc))
			return rc;
		if (rc && before && before[i].is_loaded)
			return error_set(rc, error, len, "%s", l->report->trouble);
		if (rc && !first)
			first = error_set(rc, error, len, "%s%s", l->report->trouble,
					  n > 1 ? "; nor can another directory be loaded" : "");
		loaded += !rc;
	}
	return loaded ? 0 : first;
}

static uint64_t count_all(struct load *l)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < l->task->config->n_domains; i++)
		total += count_lines(l, l->task->config->domains[i].recipients);
	return total;
}

/* A snapshot with room for so many. */
static int attempt(struct recipients **out, struct load *l, uint64_t expected,
		   struct directory_report *reports, char *error, size_t len)
{
	struct recipients *r = NULL;
	int rc = make(&r, l->task->config, expected, l->task->entropy, error, len);

	if (!rc)
		rc = load_all(l, r, reports, error, len);
	if (rc) {
		recipients_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

int directory_load(struct recipients **out, const struct directory_task *task,
		   struct directory_report *reports, char *error, size_t len)
{
	struct load l = {.task = task, .buffer = malloc(LINE_OCTETS_MAX + CHUNK)};
	uint64_t expected;
	int rc = -ENOSPC;

	if (!l.buffer)
		return error_set(-ENOMEM, error, len, "no memory to read directories");
	expected = count_all(&l);
	expected += expected * SPARE_PERCENT / 100;
	for (int i = 0; i < ATTEMPTS && rc == -ENOSPC; i++) {
		rc = attempt(out, &l, expected, reports, error, len);
		expected += expected / 2;
	}
	free(l.buffer);
	if (rc == -ENOSPC)
		error_set(rc, error, len, "no table is large enough for the directories");
	else if (rc == -ECANCELED)
		error_set(rc, error, len, "reading directories was broken off");
	return rc;
}
