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

/* One file on its way. */
struct load {
	const struct config *config;
	const char *path;
	struct directory_report *report;
	struct directory_report unwanted; /* of a caller that wants none */
	struct recipients_directory directory;
	char *buffer;
	size_t held; /* of a line whose end has not come */
	bool skips;  /* a line that is too long, up to its end */
};

static int pool_of(void *arg, const char *name, size_t len)
{
	const struct load *l = arg;

	for (uint32_t i = 0; i < l->config->n_pools; i++)
		if (strlen(l->config->pools[i].name) == len &&
		    memcmp(l->config->pools[i].name, name, len) == 0)
			return (int)i;
	return -1;
}

static void note_bad(void *arg, uint64_t line, const char *why)
{
	struct load *l = arg;

	if (!l->report->first_bad[0])
		snprintf(l->report->first_bad, sizeof(l->report->first_bad), "%s:%llu: %s", l->path,
			 (unsigned long long)line, why);
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
			return -errno;
		take_chunk(l, l->held + (size_t)n);
		if (l->directory.is_full)
			return -ENOSPC;
	}
	if (l->held || l->skips)
		take_line(l, l->buffer, l->held);
	recipients_directory_end(&l->directory);
	return l->directory.is_full ? -ENOSPC : 0;
}

/* Lines of a file; -errno. */
static int64_t count_lines(const char *path, char *buffer)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int64_t lines = 1;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, buffer, CHUNK)) > 0)
		for (char *at = buffer; (at = memchr(at, '\n', (size_t)(buffer + n - at))); at++)
			lines++;
	if (n < 0)
		lines = -errno;
	close(fd);
	return lines;
}

/* --- a domain -------------------------------------------------------------------------------- */

static int load_domain(struct load *l, struct recipients *r, uint32_t number, char *error,
		       size_t len)
{
	const struct config_domain *domain = &l->config->domains[number];
	int fd = open(domain->recipients, O_RDONLY | O_CLOEXEC), rc;

	l->path = domain->recipients;
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
	if (fd < 0)
		return error_set(-errno, error, len, "%s: %s", l->path, strerror(errno));
	rc = read_all(l, fd);
	close(fd);
	l->report->lines = l->directory.lines;
	l->report->added = l->directory.added;
	l->report->repeated = l->directory.repeated;
	l->report->bad_lines = l->directory.bad_lines;
	if (rc)
		return rc == -ENOSPC ? rc
				     : error_set(rc, error, len, "%s: %s", l->path, strerror(-rc));
	if ((double)l->directory.bad_lines > domain->bad_lines * (double)l->directory.lines)
		return error_set(-EBADMSG, error, len, "%s (%llu of %llu lines are bad)",
				 l->report->first_bad, (unsigned long long)l->directory.bad_lines,
				 (unsigned long long)l->directory.lines);
	recipients_set_loaded(r, number, true);
	return 0;
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

static int load_all(struct load *l, struct recipients *r, struct directory_report *reports,
		    char *error, size_t len)
{
	for (uint32_t i = 0; i < l->config->n_domains; i++) {
		int rc;

		l->report = reports ? &reports[i] : &l->unwanted;
		rc = load_domain(l, r, i, error, len);
		if (rc)
			return rc;
	}
	return 0;
}

static int64_t count_all(const struct load *l, char *error, size_t len)
{
	int64_t total = 0;

	for (uint32_t i = 0; i < l->config->n_domains; i++) {
		const char *path = l->config->domains[i].recipients;
		int64_t lines = count_lines(path, l->buffer);

		if (lines < 0)
			return error_set((int)lines, error, len, "%s: %s", path,
					 strerror((int)-lines));
		total += lines;
	}
	return total;
}

int directory_load(struct recipients **out, const struct config *config, const uint8_t entropy[32],
		   struct directory_report *reports, char *error, size_t len)
{
	struct load l = {.config = config, .buffer = malloc(LINE_OCTETS_MAX + CHUNK)};
	uint64_t expected;
	int64_t lines;
	int rc = -ENOMEM;

	if (!l.buffer)
		return error_set(rc, error, len, "no memory to read directories");
	lines = count_all(&l, error, len);
	if (lines < 0) {
		free(l.buffer);
		return (int)lines;
	}
	expected = (uint64_t)lines + (uint64_t)lines * SPARE_PERCENT / 100;
	for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
		struct recipients *r = NULL;

		rc = make(&r, config, expected, entropy, error, len);
		if (rc)
			break;
		rc = load_all(&l, r, reports, error, len);
		if (rc == 0) {
			*out = r;
			break;
		}
		recipients_free(r);
		if (rc != -ENOSPC)
			break;
		error_set(rc, error, len, "no table is large enough for the directories");
		expected += expected / 2;
	}
	free(l.buffer);
	return rc;
}
