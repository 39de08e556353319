/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posternd: the gateway as a service.
 *
 * Thread: main is control: it starts everything, serves the workers' notices, the kernel's news and
 * signals, and stops in order. Directories are read anew in a thread of their own (reload.h).
 * Time: epoll; a timer a second, and a short one for next hops that workers miss. Memory: the
 * parts'. Rules: `ready` on stdout (and to who started us, sd_notify(3)) once mail is taken; an
 * event is a line on stderr, a connection is none. Exit status 1 with a line that says why; 2 for
 * a command line that makes no sense.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/advice.h"
#include "control/error.h"
#include "control/gateway.h"
#include "postern/address_text.h"

enum {
	EXIT_USAGE = 2,
	TICK_MS = 20,
	SECOND_MS = 1000,
	LINE_MAX_OCTETS = 2048, /* a pipe that is writable has room for it */
	VERDICTS_A_SECOND = 20, /* that are told of one by one */
	ERROR_MAX = 1024,
	TROUBLES_SAID = 100,
};

struct program {
	const char *path; /* of the configuration */
	bool test, show, verbose, detach;
	struct config config;
	struct gateway gateway;
	int epoll, signals, second, tick;
	/* What was wrong last, each said once as long as it lasts. */
	char of_plane[ERROR_MAX], of_kernel[ERROR_MAX], of_state[ERROR_MAX];
	unsigned verdicts; /* of this second */
	char error[ERROR_MAX];
};

/* --- what is said ---------------------------------------------------------------------------- */

/* One write, so that lines of several threads do not mix; nobody waits for a reader who has
 * stopped, whose line is lost. */
static void say_sentence(const char *sentence)
{
	struct pollfd reader = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[LINE_MAX_OCTETS];
	int n = snprintf(line, sizeof(line), "posternd: %s\n", sentence);

	if (poll(&reader, 1, 0) == 1 && write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* there is nobody left to tell */
}

/* Of a format and what it wants. */
#define say(...)                                                        \
	do {                                                            \
		char sentence_[LINE_MAX_OCTETS - sizeof("posternd: ")]; \
		snprintf(sentence_, sizeof(sentence_), __VA_ARGS__);    \
		say_sentence(sentence_);                                \
	} while (0)

/* sd_notify(3). */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (!len || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len);
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		say("telling the service manager: %s", strerror(errno));
	close(fd);
}

static void say_verdict(void *arg, const struct harvest_verdict *v)
{
	static const char *const kinds[] = {
		[HARVEST_VERDICT_DROP] = "shut out",
		[HARVEST_VERDICT_NULL] = "limited where its sender is null",
		[HARVEST_VERDICT_SENDER] = "limited for one of its senders",
	};
	struct program *p = arg;
	char network[IP_NETWORK_TEXT];

	if (p->verdicts++ >= VERDICTS_A_SECOND)
		return;
	ip_network_text(network, &v->address, v->prefix_len);
	say("%s %s%s for %u s: today %u unknown recipients, %u delivered", network,
	    v->observed ? "would be " : "", kinds[v->kind], v->ttl_s, v->unknown_today,
	    v->delivered_today);
}

/* Once a second. */
static void say_more_verdicts(struct program *p)
{
	if (p->verdicts > VERDICTS_A_SECOND)
		say("and %u more verdicts: posternctl shield list",
		    p->verdicts - VERDICTS_A_SECOND);
	p->verdicts = 0;
}

/* Of at most TROUBLES_SAID domains. */
static void say_troubles(struct roster *roster, const struct config *config)
{
	uint32_t said = 0, all = 0;

	for (uint32_t i = 0; i < config->n_domains; i++) {
		struct directory_report report;

		roster_domain(roster, i, &report);
		if (!report.trouble[0] || all++ >= TROUBLES_SAID)
			continue;
		said++;
		if (report.is_loaded)
			say("%s (%" PRIu64 " of %" PRIu64 " lines are bad and left out)",
			    report.trouble, report.bad_lines, report.lines);
		else
			say("%s; until it can be read, mail for %s is put off", report.trouble,
			    config->domains[i].name);
	}
	if (all > said)
		say("and %u more domains have bad lines or are not loaded", all - said);
}

/* --- directories anew ------------------------------------------------------------------------ */

static void reload_done(struct program *p)
{
	struct gateway *g = &p->gateway;
	struct reload_outcome last;
	struct roster_status status;

	reload_last(g->reload, &last);
	if (last.rc) {
		say("directories stay as they were: %s", last.error);
	} else {
		roster_status(g->roster, &status);
		say("directories read anew: %" PRIu64 " recipients of %u domains; the "
		    "configuration itself is read at start only",
		    status.recipients, p->config.n_domains);
		say_troubles(g->roster, &p->config);
	}
	rpc_wake(g->rpc);
}

/* --- events ---------------------------------------------------------------------------------- */

static int events_wrong(struct program *p)
{
	snprintf(p->error, sizeof(p->error), "events: %s", strerror(errno));
	return -1;
}

static int timer_open(int *fd, long ms)
{
	const struct timespec every = {ms / 1000, ms % 1000 * 1000000};
	const struct itimerspec times = {every, every};

	*fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return *fd < 0 ? -1 : timerfd_settime(*fd, 0, &times, NULL);
}

static int events_open(struct program *p, const sigset_t *signals)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fds[6];

	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->signals = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->epoll < 0 || p->signals < 0 || timer_open(&p->second, SECOND_MS) < 0 ||
	    timer_open(&p->tick, TICK_MS) < 0)
		return events_wrong(p);
	fds[0] = p->signals;
	fds[1] = reload_fd(p->gateway.reload);
	fds[2] = p->second;
	fds[3] = p->tick;
	fds[4] = p->gateway.wake_fd;
	fds[5] = plane_fd(p->gateway.plane);
	for (int i = 0; i < 6; i++) {
		event.data.fd = fds[i];
		if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, fds[i], &event) < 0)
			return events_wrong(p);
	}
	return 0;
}

/* True when it is time to stop. */
static bool signal_take(struct program *p)
{
	struct signalfd_siginfo info;

	while (read(p->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGHUP)
			return true;
		reload_ask(p->gateway.reload, false);
	}
	return false;
}

static void say_once(char said[ERROR_MAX], const char *error)
{
	if (*error && strcmp(error, said) != 0)
		say("%s", error);
	snprintf(said, ERROR_MAX, "%s", error);
}

static void tick(struct program *p)
{
	char error[ERROR_MAX] = "";

	flags_go_on(p->gateway.flags);
	plane_tick(p->gateway.plane, error, sizeof(error));
	say_once(p->of_plane, error);
}

static void tick_of_a_second(struct program *p)
{
	struct flags_counts counts;

	gateway_tick(&p->gateway);
	say_more_verdicts(p);
	flags_count(p->gateway.flags, &counts);
	say_once(p->of_kernel, counts.with_kernel.sentence);
	say_once(p->of_state, counts.with_state.sentence);
}

/* Takes the count out of an eventfd or a timer. */
static void rearm(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* it was taken before */
}

/* Below 0: it cannot go on; above: it is time to stop. */
static int event_take(struct program *p, int fd)
{
	struct gateway *g = &p->gateway;

	if (fd == p->signals)
		return signal_take(p);
	if (fd == plane_fd(g->plane))
		return plane_read(g->plane, p->error, sizeof(p->error));
	rearm(fd);
	if (fd == reload_fd(g->reload))
		reload_done(p);
	else if (fd == g->wake_fd)
		flags_take(g->flags);
	else if (fd == p->second)
		tick_of_a_second(p);
	else
		tick(p);
	return 0;
}

static int serve(struct program *p)
{
	for (;;) {
		struct epoll_event event;
		int n = epoll_wait(p->epoll, &event, 1, -1), rc;

		if (n < 0 && errno != EINTR)
			return events_wrong(p);
		if (n <= 0)
			continue;
		rc = event_take(p, event.data.fd);
		if (rc)
			return rc < 0 ? rc : 0;
	}
}

/* --- from start to stop ---------------------------------------------------------------------- */

static void signals_block(sigset_t *signals)
{
	/* Before the EAL makes threads, which inherit the mask. */
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Whether a start has become pointless. */
static bool is_told_to_stop(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT));
}

static int run(struct program *p)
{
	const struct gateway_voice voice = {
		.verbose = p->verbose,
		.say = say_sentence,
		.verdict = say_verdict,
		.is_over = is_told_to_stop,
		.arg = p,
	};
	char unheard[ERROR_MAX];
	sigset_t signals;
	int rc;

	signals_block(&signals);
	rc = gateway_start(&p->gateway, &p->config, &voice, p->error, sizeof(p->error));
	if (!rc)
		rc = events_open(p, &signals);
	if (!rc) {
		say_troubles(p->gateway.roster, &p->config);
		advice_on_config(&p->config, say_sentence);
		advice_on_ports(&p->config, ADVICE_SYSCTLS, say_sentence);
		tick_of_a_second(p);
		puts("ready");
		notify("READY=1");
		rc = serve(p);
		notify("STOPPING=1");
	}
	if (!rc)
		return gateway_stop(&p->gateway, p->error, sizeof(p->error));
	gateway_stop(&p->gateway, unheard, sizeof(unheard)); /* what came first is the reason */
	if (rc == -ECANCELED) {
		say("told to stop before it was ready");
		return 0;
	}
	return rc;
}

/* What a start would find. */
static int test(struct program *p)
{
	struct roster_status status;
	struct roster *roster;
	int rc = roster_new(&roster, &p->config, NULL, p->error, sizeof(p->error));

	if (rc)
		return rc;
	say_troubles(roster, &p->config);
	advice_on_config(&p->config, say_sentence);
	advice_on_ports(&p->config, ADVICE_SYSCTLS, say_sentence);
	advice_on_directories(&p->config, roster, say_sentence);
	roster_status(roster, &status);
	if (status.not_loaded)
		rc = error_set(-EBADMSG, p->error, sizeof(p->error),
			       "%s: %u of %u directories cannot be loaded", p->path,
			       status.not_loaded, p->config.n_domains);
	else
		printf("%s: sound; %" PRIu64 " recipients of %u domains\n", p->path,
		       status.recipients, p->config.n_domains);
	roster_free(roster);
	return rc;
}

static int show(struct program *p)
{
	config_show(&p->config, stdout);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return error_set(-EIO, p->error, sizeof(p->error), "cannot write the configuration");
}

static void say_detached(const char *ifname)
{
	say("%s: the shield is off", ifname);
}

/* --- the command line ------------------------------------------------------------------------ */

static void usage(FILE *to)
{
	fputs("usage: posternd -c FILE [-t | --show | --detach] [-v]\n"
	      "  -c FILE     the configuration\n"
	      "  -t          check it and its directories, and start nothing\n"
	      "  --show      print what is in force, defaults and all, and start nothing\n"
	      "  -v          let libraries be heard\n"
	      "  --keys      what a configuration may say, as a table\n"
	      "  --version   and --help\n"
	      "  --detach    take the shield off every interface that has it, forget who is\n"
	      "              flagged, and start nothing\n"
	      "SIGHUP reads the directories anew; SIGTERM stops, and leaves the shield up.\n",
	      to);
}

/* Below 0: go on; else the exit status. */
static int options_read(struct program *p, int argc, char **argv)
{
	static const struct option known[] = {
		{"help", no_argument, NULL, 'h'},   {"keys", no_argument, NULL, 'k'},
		{"show", no_argument, NULL, 's'},   {"version", no_argument, NULL, 'V'},
		{"detach", no_argument, NULL, 'D'}, {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:tv", known, NULL)) >= 0) {
		switch (option) {
		case 'c':
			p->path = optarg;
			break;
		case 't':
			p->test = true;
			break;
		case 'v':
			p->verbose = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 's':
			p->show = true;
			break;
		case 'k':
			config_explain(stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("posternd " POSTERN_VERSION);
			return EXIT_SUCCESS;
		case 'D':
			p->detach = true;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (p->path && optind == argc)
		return -1;
	say(p->path ? "'%s': no argument is taken; see --help" : "-c FILE is missing; see --help",
	    argv[optind < argc ? optind : 0]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static struct program program; /* large, and as long as the process */
	struct program *p = &program;
	struct schema_error wrong;
	int rc = options_read(p, argc, argv);

	if (rc >= 0)
		return rc;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!config_read(p->path, &p->config, &wrong)) {
		say("%s", wrong.text);
		return EXIT_FAILURE;
	}
	if (p->detach)
		rc = shield_remove(p->config.shield.bpffs, say_detached, p->error,
				   sizeof(p->error));
	else
		rc = p->show ? show(p) : p->test ? test(p) : run(p);
	if (rc)
		say("%s", p->error);
	config_free(&p->config);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
