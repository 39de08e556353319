/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The EAL, as every program of ours starts it: an lcore for control and one a worker, and nothing
 * of it heard.
 *
 * Thread: control, whose thread becomes the main lcore. Time: none.
 * Memory: one struct eal, with the arguments the EAL may point into; its log's stream owns it, so
 * that it goes with the stream. Rules: what libraries say is kept back, and the last line is
 * quoted where it is all that is known.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "postern/dataplane.h"

enum {
	ARGS_MAX = 16 + DATAPLANE_INTERFACES_MAX,
	ARG_LEN = 64,
	LCORES_LEN = 12 * (1 + DATAPLANE_WORKERS_MAX),
	MEMORY_MIN_MB = 256,
	FRAMES_A_QUEUE = 20480, /* generous: memory that is not touched costs nothing */
	BUFFER_LEN = 2816,	/* an mbuf of 2 KiB with headroom, header and the pool's own */
};

struct eal {
	bool verbose;
	char last_log[256]; /* NUL-terminated, without its end of line */
	int n;
	char text[ARGS_MAX][ARG_LEN];
	char lcores[LCORES_LEN];
	char *argv[ARGS_MAX + 1];
};

__attribute__((format(printf, 4, 5))) static int fail(int code, char *error, size_t len,
						      const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, len, format, args);
	va_end(args);
	return code;
}

/* --- what libraries say ---------------------------------------------------------------------- */

static ssize_t log_write(void *cookie, const char *text, size_t len)
{
	struct eal *e = cookie;
	size_t kept = len;

	if (e->verbose)
		fwrite(text, 1, len, stderr);
	while (kept && text[kept - 1] == '\n')
		kept--;
	if (kept >= sizeof(e->last_log))
		kept = sizeof(e->last_log) - 1;
	if (kept) {
		memcpy(e->last_log, text, kept);
		e->last_log[kept] = '\0';
	}
	return (ssize_t)len;
}

static int log_close(void *cookie)
{
	free(cookie);
	return 0;
}

static FILE *log_open(struct eal *e)
{
	const cookie_io_functions_t functions = {.write = log_write, .close = log_close};
	FILE *log = fopencookie(e, "w", functions);

	if (!log)
		return NULL;
	setvbuf(log, NULL, _IOLBF, 0);
	rte_openlog_stream(log);
	return log;
}

static void log_end(FILE *log)
{
	rte_openlog_stream(NULL);
	fclose(log);
}

/* --- arguments ------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void add(struct eal *e, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(e->text[e->n], ARG_LEN, format, list);
	va_end(list);
	e->argv[e->n] = e->text[e->n];
	e->n++;
}

/* CPU of main (0) or of a worker (1..). */
static uint16_t cpu_of(const struct dataplane_eal *wanted, const cpu_set_t *allowed, uint16_t lcore)
{
	uint16_t skip = 0, cpu = 0;
	int n = CPU_COUNT(allowed);

	if (wanted->n_cores)
		return wanted->cores[lcore];
	if (lcore > 0 && n > 1)
		skip = (uint16_t)(1 + (lcore - 1) % (n - 1));
	while (!CPU_ISSET(cpu, allowed) || skip-- > 0)
		cpu++;
	return cpu;
}

/* "0@0,1@1,2@1": main, then a worker each. */
static int add_lcores(struct eal *e, const struct dataplane_config *config,
		      const struct dataplane_eal *wanted, char *error, size_t len)
{
	cpu_set_t allowed;
	int at = 0;

	if (config->n_workers == 0 || config->n_workers > DATAPLANE_WORKERS_MAX)
		return fail(-EINVAL, error, len, "%u workers, where 1 to %d can be had",
			    config->n_workers, DATAPLANE_WORKERS_MAX);
	if (wanted->n_cores && wanted->n_cores != config->n_workers + 1U)
		return fail(-EINVAL, error, len, "%u CPUs for control and %u workers",
			    wanted->n_cores, config->n_workers);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return fail(-errno, error, len, "which CPUs may be used: %s", strerror(errno));
	for (uint16_t i = 0; i <= config->n_workers; i++) {
		uint16_t cpu = cpu_of(wanted, &allowed, i);

		if (!CPU_ISSET(cpu, &allowed))
			return fail(-EINVAL, error, len,
				    "CPU %u: there is none, or it may not be used", cpu);
		at += snprintf(e->lcores + at, sizeof(e->lcores) - (size_t)at, "%s%u@%u",
			       i ? "," : "", i, cpu);
	}
	add(e, "--lcores");
	e->argv[e->n++] = e->lcores;
	return 0;
}

/* Without huge pages the EAL takes its memory once. */
static uint64_t memory_mb(const struct dataplane_config *config)
{
	uint64_t buffers = config->buffers + (uint64_t)config->n_interfaces * FRAMES_A_QUEUE;

	return MEMORY_MIN_MB + config->n_workers * buffers * BUFFER_LEN / (1 << 20);
}

static void add_memory(struct eal *e, const struct dataplane_config *config)
{
	add(e, "--no-huge");
	add(e, "-m");
	add(e, "%" PRIu64, memory_mb(config));
}

static void add_devices(struct eal *e, const struct dataplane_config *config)
{
	int n = e->n;

	for (uint32_t i = 0; i < config->n_interfaces; i++) {
		if (config->interfaces[i].kind == DATAPLANE_PCI)
			add(e, "--allow=%s", config->interfaces[i].device);
	}
	if (e->n == n)
		add(e, "--no-pci");
}

static int arguments(struct eal *e, const struct dataplane_config *config,
		     const struct dataplane_eal *wanted, char *error, size_t len)
{
	add(e, "%s", wanted->name);
	add(e, "--no-telemetry");
	add(e, "--no-shconf");
	add(e, "--log-level=lib.eal:%s", wanted->verbose ? "info" : "error");
	if (wanted->verbose)
		add(e, "--log-level=pmd:debug");
	if (wanted->file_prefix)
		add(e, "--file-prefix=%s", wanted->file_prefix);
	else
		add(e, "--file-prefix=%s-%d", wanted->name, getpid());
	if (!wanted->huge_pages)
		add_memory(e, config);
	add_devices(e, config);
	return add_lcores(e, config, wanted, error, len);
}

/* --- start and stop -------------------------------------------------------------------------- */

/* The EAL writes to stderr beside its log. */
static int init_quietly(struct eal *e)
{
	int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int own = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0), failed;

	if (!e->verbose && nowhere >= 0 && own >= 0)
		dup2(nowhere, STDERR_FILENO);
	failed = rte_eal_init(e->n, e->argv);
	if (own >= 0) {
		dup2(own, STDERR_FILENO);
		close(own);
	}
	if (nowhere >= 0)
		close(nowhere);
	return failed;
}

int dataplane_eal_start(const struct dataplane_config *config, const struct dataplane_eal *eal,
			char *error, size_t len)
{
	struct eal *e = calloc(1, sizeof(*e));
	FILE *log;
	int rc;

	if (!e)
		return fail(-ENOMEM, error, len, "no memory for the EAL's arguments");
	e->verbose = eal->verbose;
	log = log_open(e);
	if (!log) {
		free(e);
		return fail(-ENOMEM, error, len, "no log stream: %s", strerror(errno));
	}
	rc = arguments(e, config, eal, error, len);
	if (!rc && init_quietly(e) < 0)
		rc = fail(rte_errno ? -rte_errno : -EIO, error, len, "%s",
			  e->last_log[0] ? e->last_log : rte_strerror(rte_errno));
	/* Made without need, and empty: one that is killed shall not leave it behind either. */
	rmdir(rte_eal_get_runtime_dir());
	if (rc)
		log_end(log);
	return rc;
}

void dataplane_eal_stop(void)
{
	FILE *log = rte_log_get_stream();

	rte_eal_cleanup();
	log_end(log);
}
