/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posternctl as a person runs it, against a socket of our own: what it prints, and its exit status.
 *
 * Its argument is posternctl's path.
 */
#include <pthread.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "desk.h"

enum { WORDS_MAX = 12, TEXT_MAX = 1 << 20 };

static char *program;
static char folder[] = "/tmp/postern-ctl-XXXXXX";
static char path[64];

static struct served {
	struct desk desk;
	struct rpc *rpc;
	pthread_t thread;
} served;

/* What a run came to. */
static struct outcome {
	int status;
	char out[TEXT_MAX], err[TEXT_MAX];
} outcome;

static void read_back(int fd, char text[TEXT_MAX])
{
	ssize_t n = pread(fd, text, TEXT_MAX - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
}

/* Words end with NULL. */
static void run(const char *first, ...)
{
	char *words[WORDS_MAX] = {program, (char[]){"--socket"}, path};
	int n = 3, out = memfd_create("out", MFD_CLOEXEC), err = memfd_create("err", MFD_CLOEXEC);
	posix_spawn_file_actions_t actions;
	va_list more;
	pid_t child;

	va_start(more, first);
	for (const char *word = first; word; word = va_arg(more, const char *)) {
		assert_true(n < WORDS_MAX - 1);
		words[n++] = (char *)(uintptr_t)word;
	}
	va_end(more);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	assert_int_equal(posix_spawn(&child, program, &actions, NULL, words, environ), 0);
	posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(child, &outcome.status, 0), child);
	assert_true(WIFEXITED(outcome.status));
	outcome.status = WEXITSTATUS(outcome.status);
	read_back(out, outcome.out);
	read_back(err, outcome.err);
}

static void expect_out(const char *part)
{
	if (!strstr(outcome.out, part))
		fail_msg("\"%s\" is not in:\n%s%s", part, outcome.out, outcome.err);
}

static void expect_err(int status, const char *part)
{
	assert_int_equal(outcome.status, status);
	assert_string_equal(outcome.out, "");
	if (!strstr(outcome.err, part))
		fail_msg("\"%s\" is not in:\n%s", part, outcome.err);
}

static int set_up(void **state)
{
	setenv("TZ", "UTC", 1);
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", folder);
	return 0;
}

static int tear_down(void **state)
{
	return rmdir(folder);
}

static void *serve(void *arg)
{
	rpc_run(arg);
	return NULL;
}

static int serve_methods(const struct rpc_method *methods, void *arg)
{
	char error[256];

	return rpc_new(&served.rpc, path, methods, arg, error, sizeof(error)) ||
	       pthread_create(&served.thread, NULL, serve, served.rpc);
}

static void stop(void)
{
	rpc_stop(served.rpc);
	pthread_join(served.thread, NULL);
	rpc_free(served.rpc);
}

static int begin(void **state)
{
	desk_begin(&served.desk, false);
	return serve_methods(control_methods, &served.desk.methods);
}

static int end(void **state)
{
	stop();
	desk_end(&served.desk);
	return 0;
}

/* --- answers --------------------------------------------------------------------------------- */

static void the_list_is_a_table_with_readable_times(void **state)
{
	const char *line;

	run("shield", "list", NULL);
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.out, "nobody is shut out\n");
	verdicts_guess(&served.desk.world, "192.0.2.7", true);
	run("shield", "add", "2001:db8::/48", "10m", NULL);
	expect_out("2001:db8::/48 is shut out until 2027-01-15 08:10:00 (");
	run("shield", "list", NULL);
	expect_out("ADDRESS        WHAT      BY       LEVEL  UNKNOWN  DELIVERED  DROPS  UNTIL\n");
	expect_out("192.0.2.7      shut out  harvest  0      4        0          -      "
		   "2027-01-15 08:05:00 (");
	line = strstr(outcome.out, "2001:db8::/48  shut out  hand");
	assert_non_null(line);
}

static void a_list_of_several_pages_has_one_head(void **state)
{
	enum { CLIENTS = 1200 };
	unsigned lines = 0, heads = 0;

	for (unsigned i = 0; i < CLIENTS; i++) {
		const uint8_t octets[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
		const struct ip_network n = {ip_addr_from_v4(octets), 128};
		char error[256];

		assert_int_equal(flags_add(served.desk.world.flags, &n, 60, error, sizeof(error)),
				 0);
	}
	run("shield", "list", NULL);
	assert_int_equal(outcome.status, 0);
	for (const char *p = outcome.out; *p; p++)
		lines += *p == '\n';
	for (const char *p = outcome.out; (p = strstr(p, "ADDRESS")); p++)
		heads++;
	assert_int_equal(lines, CLIENTS + 1);
	assert_int_equal(heads, 1);
}

static void explain_is_a_sentence_and_a_table(void **state)
{
	verdicts_guess(&served.desk.world, "192.0.2.7", true);
	run("shield", "explain", "192.0.2.7", NULL);
	assert_int_equal(outcome.status, 0);
	expect_out("192.0.2.7 is shut out until 2027-01-15 08:05:00 (");
	expect_out("): it asked for too many unknown recipients, 4 today");
	expect_out("LEVEL         SCORE  LINE");
	expect_out("192.0.2.0/24  11.50  34.");
	run("shield", "explain", "192.0.2.9", NULL);
	expect_out("192.0.2.9 is not shut out: nothing is known of it\n");
}

static void unban_says_what_it_did(void **state)
{
	verdicts_guess(&served.desk.world, "192.0.2.7", true);
	run("shield", "unban", "192.0.2.7", NULL);
	assert_string_equal(outcome.out, "192.0.2.7 is let in\n");
	run("shield", "unban", "192.0.2.7", NULL);
	assert_string_equal(outcome.out, "192.0.2.7 was not shut out\n");
	assert_int_equal(outcome.status, 0);
}

static void a_lookup_and_the_status_are_aligned(void **state)
{
	run("recipients", "lookup", "known@example.net", NULL);
	expect_out("finding     known\n");
	expect_out("reply       250 2.1.5\n");
	run("status", NULL);
	expect_out("uptime_s     1 min 0 s\n");
	expect_out("connections\n  open       3\n");
	expect_out("pools\n  servers      4\n  well         2\n");
	expect_out("pool       servers  well\nmailstore  3        1\narchive    1        1\n");
	run("counters", NULL);
	expect_out(" 7  port_rx_frames ");
	expect_out("frames received from interfaces\n");
}

static void pools_are_a_table_of_servers(void **state)
{
	static char listed[TEXT_MAX];

	run("pools", "list", NULL);
	assert_int_equal(outcome.status, 0);
	expect_out("POOL       SERVER             STATE     FOR         TRIAL IN  OPEN  LIMIT  "
		   "IN USE  TAKEN  REFUSED  FAILED  LATENCY  ERROR\n");
	expect_out("mailstore  198.51.100.10:25   well      1 min 0 s   -         7     100    "
		   "3       1000   20       1       12.3 ms  -\n");
	expect_out("mailstore  198.51.100.11:25   down      1 min 30 s  3 s       0     100    "
		   "0       0      0        4       -        no answer to our SYN\n");
	expect_out("550 5.7.1 go \\u001b[2Jaway\n");
	expect_out("archive    [2001:db8::10]:24  starting  3 s         -         1     5      ");
	memcpy(listed, outcome.out, sizeof(listed));
	run("pools", NULL);
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.out, listed);
}

static void a_server_is_drained_and_restored(void **state)
{
	run("pools", "drain", "mailstore", "198.51.100.10:25", NULL);
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.out, "198.51.100.10:25 of mailstore is drained, 3 messages "
					 "under way\n");
	run("pools", NULL);
	expect_out("mailstore  198.51.100.10:25   drained ");
	run("pools", "restore", "mailstore", "198.51.100.10:25", NULL);
	assert_string_equal(outcome.out,
			    "198.51.100.10:25 of mailstore is well, 3 messages under way\n");
	run("pools", "restore", "archive", "[2001:db8::10]:24", NULL);
	assert_string_equal(outcome.out, "[2001:db8::10]:24 of archive is starting\n");
}

static void directory(const char *text)
{
	FILE *file = fopen(served.desk.path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void reload_ends_when_directories_are_read_and_says_what_came_of_it(void **state)
{
	run("status", NULL);
	expect_out("last_reload        -\n");
	directory("ida@example.net\nknown@example.net\nbait@example.net class=trap\n");
	run("reload", NULL);
	assert_int_equal(outcome.status, 0);
	expect_out("known       3\n");
	run("recipients", "lookup", "ida@example.net", NULL);
	expect_out("finding     known\n");
	directory("ida@example.net\n");
	run("reload", NULL);
	expect_err(1, "posternctl: directories stay as they were: /tmp/postern-desk-");
	expect_err(1, ": 1 recipients, where there were 3: ");
	run("status", NULL);
	expect_out(": 1 recipients, where there were 3: ");
	run("reload", "shrunk", NULL);
	assert_int_equal(outcome.status, 0);
	expect_out("known       1\n");
	run("reload", "now", NULL);
	expect_err(2, "shrunk");
	run("reload", "shrunk", "now", NULL);
	expect_err(2, "reload takes [shrunk]");
}

static void json_is_what_came(void **state)
{
	json_t *result;

	run("--json", "version", NULL);
	result = json_loads(outcome.out, 0, NULL);
	assert_true(json_is_string(json_object_get(result, "version")));
	json_decref(result);
}

/* --- words, and what goes wrong -------------------------------------------------------------- */

static void words_that_make_no_sense_are_status_2(void **state)
{
	run("dance", "now", NULL);
	expect_err(2, "no command \"dance now\"");
	run("shield", "add", "192.0.2.7", NULL);
	expect_err(2, "shield add takes ADDRESS[/LEN] DURATION");
	run("pools", "drain", "mailstore", NULL);
	expect_err(2, "pools drain takes POOL SERVER");
	run("pools", "now", NULL);
	expect_err(2, "pools takes no parameters");
	run("status", "please", NULL);
	expect_err(2, "status takes no parameters");
	run("--timeout", "x", "status", NULL);
	expect_err(2, "--timeout takes seconds");
	run("shield", "explain", "\xff", NULL);
	expect_err(2, "UTF-8");
	run(NULL);
	expect_err(2, "usage:");
	run("--help", NULL);
	assert_int_equal(outcome.status, 0);
	expect_out("shield explain");
}

static void what_posternd_finds_wrong_is_told(void **state)
{
	run("shield", "add", "192.0.2.0/23", "10m", NULL);
	expect_err(2, "posternctl: 192.0.2.0/23: only IPv4 addresses and /24s");
	run("recipients", "lookup", "a@b@c", NULL);
	expect_err(2, "malformed");
	run("pools", "drain", "mailstore", "198.51.100.99:25", NULL);
	expect_err(2, "posternctl: pool mailstore has no server 198.51.100.99:25\n");
	run("pools", "restore", "nowhere", "198.51.100.10:25", NULL);
	expect_err(2, "posternctl: there is no pool nowhere\n");
}

static void nobody_there_is_told_apart(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	run("status", NULL);
	expect_err(1, "there is no such socket");
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	run("status", NULL);
	expect_err(1, "nobody listens there");
	/* Who listens and says nothing. */
	assert_int_equal(listen(fd, 1), 0);
	run("--timeout", "1", "status", NULL);
	expect_err(1, "posternd does not answer");
	close(fd);
	unlink(path);
}

static void *hang_up(void *arg)
{
	char octets[256];
	int fd = accept(*(int *)arg, NULL, NULL);

	if (fd >= 0 && read(fd, octets, sizeof(octets)) > 0)
		shutdown(fd, SHUT_RDWR);
	close(fd);
	return NULL;
}

static void who_hangs_up_is_told(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pthread_t thread;

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, hang_up, &fd), 0);
	run("status", NULL);
	pthread_join(thread, NULL);
	expect_err(1, "hung up");
	close(fd);
	unlink(path);
}

static json_t *half_added(void *arg, const json_t *params, struct rpc_error *error)
{
	return json_pack("{s:s, s:i, s:i, s:b}", "address", "192.0.2.7", "until", 1800000600,
			 "left_s", 600, "in_kernel", 0);
}

static void what_the_kernel_did_not_take_is_told(void **state)
{
	static const struct rpc_method methods[] = {{"shield.add", half_added}, {NULL, NULL}};

	assert_int_equal(serve_methods(methods, NULL), 0);
	run("shield", "add", "192.0.2.7", "10m", NULL);
	expect_out("192.0.2.7 is shut out until ");
	expect_out("the kernel did not take it: `posternctl status` says why\n");
	stop();
}

/* --- strings of peers ------------------------------------------------------------------------ */

static json_t *evil(void *arg, const json_t *params, struct rpc_error *error)
{
	return json_pack("{s:s, s:s, s:s, s:[{s:s}]}", "\033[2J", "name", "c1", "\302\2332J",
			 "text", "a\nb\177\342\200\256c\303\251", "rows", "\rcell", "\033]0;x\a");
}

static json_t *evil_error(void *arg, const json_t *params, struct rpc_error *error)
{
	return rpc_fail(error, RPC_FAILED, "\033[31mred\n");
}

static void nothing_a_peer_says_commands_the_terminal(void **state)
{
	static const struct rpc_method methods[] = {
		{"status", evil}, {"version", evil_error}, {NULL, NULL}};

	assert_int_equal(serve_methods(methods, NULL), 0);
	run("status", NULL);
	assert_int_equal(outcome.status, 0);
	expect_out("\\u001b[2J");
	expect_out("\\u009b2J");
	expect_out("a\\u000ab\\u007f\\u202ec\303\251");
	expect_out("\\u000dcell");
	for (const char *p = outcome.out; *p; p++)
		assert_true(*p == '\n' || (unsigned char)*p >= ' ');
	run("version", NULL);
	expect_err(1, "\\u001b[31mred\\u000a\n");
	run("--json", "status", NULL);
	for (const char *p = outcome.out; *p; p++)
		assert_true(*p == '\n' || ((unsigned char)*p >= ' ' && (unsigned char)*p < 0x80));
	stop();
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SERVED(the_list_is_a_table_with_readable_times),
		SERVED(a_list_of_several_pages_has_one_head),
		SERVED(explain_is_a_sentence_and_a_table),
		SERVED(unban_says_what_it_did),
		SERVED(a_lookup_and_the_status_are_aligned),
		SERVED(pools_are_a_table_of_servers),
		SERVED(a_server_is_drained_and_restored),
		SERVED(reload_ends_when_directories_are_read_and_says_what_came_of_it),
		SERVED(json_is_what_came),
		SERVED(words_that_make_no_sense_are_status_2),
		SERVED(what_posternd_finds_wrong_is_told),
		cmocka_unit_test(nobody_there_is_told_apart),
		cmocka_unit_test(who_hangs_up_is_told),
		cmocka_unit_test(what_the_kernel_did_not_take_is_told),
		cmocka_unit_test(nothing_a_peer_says_commands_the_terminal),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test_posternctl POSTERNCTL\n");
		return EXIT_FAILURE;
	}
	program = argv[1];
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
