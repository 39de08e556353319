/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posternctl: asks posternd over its control socket, and prints the answer for people or, with
 * --json, as it came.
 *
 * Thread: one. Time: --timeout for an answer. Memory: an answer's; a long list comes page by page.
 * Rules: the method is the words that are names joined by dots, its parameters the words behind
 * (see commands). Exit status 0; 1 when posternd could not, or is not there; 2 when the words make
 * no sense, to us or to it. One line on stderr says why.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "control/print.h"

enum { EXIT_USAGE = 2, PATIENCE_S = 30, PAGE = 1000, INVALID_PARAMS = -32602 };

static const char default_socket[] = "/run/postern/control.sock";

static const struct command {
	const char *words, *method;
	const char *parameters;
	int takes, may_take; /* parameters: so many, and more that may be left out */
	bool is_paged;
	const char *says;
} commands[] = {
	{"status", "status", "", 0, 0, false, "how things stand"},
	{"counters", "counters", "", 0, 0, false, "every counter, summed over the workers"},
	{"pools list", "pools.list", "", 0, 0, true, "the servers behind us, and how they are"},
	{"pools drain", "pools.drain", "POOL SERVER", 2, 0, false,
	 "no new mail for it; what is under way ends"},
	{"pools restore", "pools.restore", "POOL SERVER", 2, 0, false, "mail for it again"},
	{"pools", "pools.list", "", 0, 0, true, "as pools list"},
	{"recipients lookup", "recipients.lookup", "ADDRESS", 1, 0, false,
	 "what a client that asks for it is told"},
	{"reload", "reload", "[shrunk]", 0, 1, false,
	 "read directories anew; shrunk: however many recipients are gone"},
	{"shield list", "shield.list", "", 0, 0, true, "who is shut out, and until when"},
	{"shield explain", "shield.explain", "ADDRESS", 1, 0, false, "why, and until when"},
	{"shield add", "shield.add", "ADDRESS[/LEN] DURATION", 2, 0, false, "shut a client out"},
	{"shield unban", "shield.unban", "ADDRESS[/LEN]", 1, 0, false,
	 "let it in again, at once everywhere"},
	{"version", "version", "", 0, 0, false, "posternd's"},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

struct options {
	const char *path;
	unsigned patience_s;
	bool as_json;
};

static void usage(FILE *to)
{
	fprintf(to,
		"usage: posternctl [--socket PATH] [--timeout SECONDS] [--json] COMMAND...\n\n"
		"  --socket PATH      posternd's control socket, else %s\n"
		"  --timeout SECONDS  how long to wait for an answer, else %d\n"
		"  --json             what came, a result a line; a long list is several\n\n",
		default_socket, PATIENCE_S);
	for (int i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-18s %-24s %s\n", commands[i].words, commands[i].parameters,
			commands[i].says);
	fputs("\nA duration is written 90s, 10m or 4h. Exit status: 1 posternd could not, 2 the "
	      "words make no sense.\n",
	      to);
}

static void complain(const char *text)
{
	fputs("posternctl: ", stderr);
	print_text(stderr, text);
	fputc('\n', stderr);
}

/* --- words ----------------------------------------------------------------------------------- */

/* How many of the words name this command; 0: they do not. */
static int match(const struct command *c, int n, char **words)
{
	const char *p = c->words;
	int i = 0;

	for (; *p; i++) {
		size_t len = strcspn(p, " ");

		if (i == n || strlen(words[i]) != len || memcmp(words[i], p, len) != 0)
			return 0;
		p += len + (p[len] == ' ');
	}
	return i;
}

static const struct command *find_command(int n, char **words, int *names)
{
	for (int i = 0; i < COMMANDS; i++) {
		*names = match(&commands[i], n, words);
		if (*names)
			return &commands[i];
	}
	return NULL;
}

/* NULL: a word is no UTF-8. */
static json_t *parameters(int n, char **words)
{
	json_t *params = json_array();

	for (int i = 0; i < n; i++)
		if (json_array_append_new(params, json_string(words[i]))) {
			json_decref(params);
			return NULL;
		}
	return params;
}

/* --- the socket ------------------------------------------------------------------------------ */

struct talk {
	int fd;
	FILE *from; /* what comes back, line by line */
};

static const char *why(int err)
{
	switch (err) {
	case ENOENT:
		return "there is no such socket: does posternd run?";
	case ECONNREFUSED:
		return "nobody listens there: posternd does not run";
	case EAGAIN:
		return "posternd does not answer";
	case ECONNRESET:
	case EPIPE:
		return "posternd hung up without an answer";
	default:
		return strerror(err);
	}
}

static int fail(const struct options *o, int err)
{
	fprintf(stderr, "posternctl: %s: %s\n", o->path, why(err));
	return EXIT_FAILURE;
}

/* 0, or -errno. */
static int talk_open(struct talk *t, const struct options *o)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = o->patience_s};
	int err;

	if (strlen(o->path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, o->path, strlen(o->path) + 1);
	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (t->fd < 0)
		return -errno;
	setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(t->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(t->fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
		t->from = fdopen(t->fd, "r");
		if (t->from)
			return 0;
	}
	err = -errno;
	close(t->fd);
	return err;
}

static int send_all(int fd, const char *octets, size_t len)
{
	while (len) {
		ssize_t n = send(fd, octets, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		octets += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A method's answer in *answer, to be released; 0, or -errno. Takes params over. */
static int ask(struct talk *t, const char *method, json_t *params, json_t **answer)
{
	json_t *request = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 1, "method",
				    method, "params", params);
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	size_t size = 0;
	int err = text ? send_all(t->fd, text, strlen(text)) : -ENOMEM;

	json_decref(request);
	free(text);
	if (!err)
		err = send_all(t->fd, "\n", 1);
	errno = ECONNRESET; /* of an end without an error */
	if (!err && getline(&line, &size, t->from) < 0)
		err = -errno;
	*answer = err ? NULL : json_loads(line, 0, NULL);
	free(line);
	return err;
}

/* --- answers --------------------------------------------------------------------------------- */

/* NULL: it is an error, told of; *status is what to exit with. */
static const json_t *result_of(const json_t *answer, int *status)
{
	const json_t *error = json_object_get(answer, "error");
	const json_t *result = json_object_get(answer, "result");
	const char *message = json_string_value(json_object_get(error, "message"));

	*status = EXIT_SUCCESS;
	if (result)
		return result;
	*status = json_integer_value(json_object_get(error, "code")) == INVALID_PARAMS
			  ? EXIT_USAGE
			  : EXIT_FAILURE;
	complain(message ? message : "what came back is no answer");
	return NULL;
}

static void print(const struct options *o, const char *method, const json_t *result, bool is_first)
{
	if (!o->as_json) {
		print_result(stdout, method, result, time(NULL), is_first);
		return;
	}
	json_dumpf(result, stdout, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
	putchar('\n');
}

/* What to give for the next page; NULL: that was all. */
static json_t *next_page(const json_t *result)
{
	const json_t *next = json_object_get(result, "next");

	return json_is_integer(next)
		       ? json_pack("[i, I]", PAGE, (json_int_t)json_integer_value(next))
		       : NULL;
}

static int carry_out(struct talk *t, const struct options *o, const struct command *c,
		     json_t *params)
{
	bool is_first = true;
	int status;

	do {
		json_t *answer;
		const json_t *result;
		int err = ask(t, c->method, params, &answer);

		if (err)
			return fail(o, -err);
		params = NULL;
		result = result_of(answer, &status);
		if (result) {
			print(o, c->method, result, is_first);
			params = c->is_paged ? next_page(result) : NULL;
		}
		is_first = false;
		json_decref(answer);
	} while (params);
	return status;
}

/* --- main ------------------------------------------------------------------------------------ */

/* Exit status, or -1 to go on. */
static int read_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {{"socket", required_argument, NULL, 's'},
					      {"timeout", required_argument, NULL, 't'},
					      {"json", no_argument, NULL, 'j'},
					      {"help", no_argument, NULL, 'h'},
					      {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		char *end = NULL;

		switch (option) {
		case 's':
			o->path = optarg;
			break;
		case 't':
			o->patience_s = (unsigned)strtoul(optarg, &end, 10);
			if (!*optarg || *end || o->patience_s == 0 || o->patience_s > 86400) {
				complain("--timeout takes seconds, from 1 to 86400");
				return EXIT_USAGE;
			}
			break;
		case 'j':
			o->as_json = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	return -1;
}

static int refuse(int n, char **words)
{
	if (n == 0)
		usage(stderr);
	else
		fprintf(stderr, "posternctl: there is no command \"%s%s%s\"; --help names them\n",
			words[0], n > 1 ? " " : "", n > 1 ? words[1] : "");
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct options o = {default_socket, PATIENCE_S, false};
	int status = read_options(&o, argc, argv), names, err;
	const struct command *c;
	struct talk t;
	json_t *params;

	if (status >= 0)
		return status;
	argc -= optind;
	argv += optind;
	c = find_command(argc, argv, &names);
	if (!c)
		return refuse(argc, argv);
	if (argc - names < c->takes || argc - names > c->takes + c->may_take) {
		fprintf(stderr, "posternctl: %s takes %s\n", c->words,
			*c->parameters ? c->parameters : "no parameters");
		return EXIT_USAGE;
	}
	params = parameters(argc - names, argv + names);
	if (!params) {
		complain("parameters are UTF-8");
		return EXIT_USAGE;
	}
	err = talk_open(&t, &o);
	if (err) {
		json_decref(params);
		return fail(&o, -err);
	}
	status = carry_out(&t, &o, c, params);
	fclose(t.from);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		complain("cannot write the answer");
		return EXIT_FAILURE;
	}
	return status;
}
