/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: what is answered to whom, whole and in pieces.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/rpc.h"

static json_t *echo(void *arg, const json_t *params, struct rpc_error *error)
{
	(void)error;
	(*(int *)arg)++;
	return json_deep_copy(params);
}

static json_t *refuse(void *arg, const json_t *params, struct rpc_error *error)
{
	(void)arg;
	(void)params;
	return rpc_fail(error, RPC_FAILED, "it cannot be done");
}

static atomic_int is_there;

static json_t *arrive(void *arg, uint64_t ticket, struct rpc_error *error)
{
	if (!atomic_load(&is_there))
		return rpc_wait(error, arrive, ticket);
	return json_integer((json_int_t)ticket);
}

static json_t *later(void *arg, const json_t *params, struct rpc_error *error)
{
	return rpc_wait(error, arrive, 42);
}

static const struct rpc_method methods[] = {
	{"echo", echo}, {"fail", refuse}, {"later", later}, {NULL, NULL}};

/* --- single requests ----------------------------------------------------------------------------
 */

static const struct {
	const char *request, *answer; /* NULL: none */
} cases[] = {
	{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":[1,\"a\"]}",
	 "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1,\"a\"]}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"echo\"}",
	 "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":[]}\n"},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"echo\"}", NULL},
	{"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"fail\"}",
	 "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32000,\"message\":\"it cannot be "
	 "done\"}}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"nothing\"}",
	 "{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32601,\"message\":\"there is no method "
	 "nothing\"}}\n"},
	{"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"echo\",\"params\":{}}",
	 "{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":{\"code\":-32602,\"message\":\"params must be an "
	 "array\"}}\n"},
	{"{\"id\":5,\"method\":\"echo\"}",
	 "{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32600,\"message\":\"a request is an "
	 "object with \\\"jsonrpc\\\": \\\"2.0\\\" and a method\"}}\n"},
	{"[]",
	 "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"a request is an "
	 "object with \\\"jsonrpc\\\": \\\"2.0\\\" and a method\"}}\n"},
	{"{\"jsonrpc\":\"2.0\",", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
				  "\"message\":\"the request is not JSON\"}}\n"},
	{"", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
	     "\"message\":\"the request is not JSON\"}}\n"},
};

static void each_request_has_its_answer(void **state)
{
	int calls = 0;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *answer =
			rpc_answer(methods, &calls, cases[i].request, strlen(cases[i].request));

		if (cases[i].answer)
			assert_string_equal(answer, cases[i].answer);
		else
			assert_null(answer);
		free(answer);
	}
	assert_int_equal(calls, 3);
}

/* 99 octets before it: the 100 that are quoted end within a character. */
static void a_message_that_is_cut_within_a_character_is_sent_all_the_same(void **state)
{
	char request[256], name[128], *answer;
	int calls = 0;

	memset(name, 'x', 99);
	memcpy(name + 99, "\u00e9", sizeof("\u00e9"));
	snprintf(request, sizeof(request), "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\"}",
		 name);
	answer = rpc_answer(methods, &calls, request, strlen(request));
	assert_non_null(strstr(answer, "\"code\":-32601"));
	assert_non_null(strstr(answer, "xxx?\""));
	free(answer);
}

/* --- over a socket -------------------------------------------------------------------------------
 */

struct served {
	struct rpc *rpc;
	pthread_t thread;
	char folder[64], path[96];
	int calls;
};

static void *serve(void *arg)
{
	rpc_run(arg);
	return NULL;
}

static int begin(void **state)
{
	static struct served s;
	char error[256];

	memset(&s, 0, sizeof(s));
	strcpy(s.folder, "/tmp/postern-rpc-XXXXXX");
	if (!mkdtemp(s.folder))
		return -1;
	snprintf(s.path, sizeof(s.path), "%s/socket", s.folder);
	if (rpc_new(&s.rpc, s.path, methods, &s.calls, error, sizeof(error)) ||
	    pthread_create(&s.thread, NULL, serve, s.rpc))
		return -1;
	*state = &s;
	return 0;
}

static int end(void **state)
{
	struct served *s = *state;

	rpc_stop(s->rpc);
	pthread_join(s->thread, NULL);
	rpc_free(s->rpc);
	if (access(s->path, F_OK) == 0)
		return -1; /* it takes its socket away */
	return rmdir(s->folder);
}

static int connect_to(const struct served *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", s->path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect(int fd, const char *text)
{
	char got[1024] = {0};
	size_t len = strlen(text), n = 0;

	while (n < len) {
		ssize_t more = read(fd, got + n, len - n);

		assert_true(more > 0);
		n += (size_t)more;
	}
	assert_string_equal(got, text);
}

static const char asked[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\"}\n";
static const char answered[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[]}\n";

static void requests_may_come_in_pieces_and_together(void **state)
{
	int fd = connect_to(*state);
	char both[256];

	for (const char *p = asked; *p; p++)
		assert_int_equal(send(fd, p, 1, MSG_NOSIGNAL), 1);
	expect(fd, answered);
	snprintf(both, sizeof(both), "%s%s", asked, asked);
	say(fd, both);
	expect(fd, answered);
	expect(fd, answered);
	close(fd);
}

static void the_silent_and_the_noisy_hold_up_nobody(void **state)
{
	int silent = connect_to(*state), noisy = connect_to(*state), good = connect_to(*state);
	char *garbage = malloc(RPC_REQUEST_MAX);
	char last;

	say(silent, "{\"jsonrpc\"");
	say(noisy, "nonsense\n");
	expect(noisy, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
		      "\"message\":\"the request is not JSON\"}}\n");
	say(good, asked);
	expect(good, answered);
	/* One that never ends its line is told so, and let go. */
	memset(garbage, 'x', RPC_REQUEST_MAX);
	for (size_t sent = 0; sent < RPC_REQUEST_MAX;) {
		ssize_t n = send(noisy, garbage, RPC_REQUEST_MAX - sent, MSG_NOSIGNAL);

		assert_true(n > 0);
		sent += (size_t)n;
	}
	expect(noisy, "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
		      "\"message\":\"the request is too long\"}}\n");
	assert_int_equal(read(noisy, &last, 1), 0);
	say(good, asked);
	expect(good, answered);
	free(garbage);
	close(silent);
	close(noisy);
	close(good);
}

static void more_clients_than_there_is_room_for_wait_their_turn(void **state)
{
	int crowd[RPC_CLIENTS_MAX], late;

	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++) {
		crowd[i] = connect_to(*state);
		say(crowd[i], asked);
		expect(crowd[i], answered);
	}
	late = connect_to(*state);
	say(late, asked);
	close(crowd[0]);
	expect(late, answered);
	for (unsigned i = 1; i < RPC_CLIENTS_MAX; i++)
		close(crowd[i]);
	close(late);
}

static void a_socket_in_use_is_left_alone_and_a_dead_one_replaced(void **state)
{
	const struct served *s = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct rpc *other = NULL;
	char error[256], path[96];
	int fd;

	assert_int_equal(rpc_new(&other, s->path, methods, NULL, error, sizeof(error)),
			 -EADDRINUSE);
	assert_null(other);
	assert_non_null(strstr(error, s->path));
	snprintf(path, sizeof(path), "%s/dead", s->folder);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	if (rpc_new(&other, path, methods, NULL, error, sizeof(error)))
		fail_msg("%s", error);
	rpc_free(other);
	assert_int_equal(access(path, F_OK), -1);
}

static void who_waits_for_an_answer_holds_up_nobody_else(void **state)
{
	static const char wanted[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"later\"}\n",
			  came[] = "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":42}\n";
	const struct served *s = *state;
	int patient = connect_to(s), gone = connect_to(s), other = connect_to(s);

	say(patient, wanted);
	say(patient, asked);
	say(gone, wanted);
	say(other, asked);
	expect(other, answered);
	close(gone);
	atomic_store(&is_there, 1);
	rpc_wake(s->rpc);
	expect(patient, came);
	expect(patient, answered);
	say(patient, wanted);
	expect(patient, came);
	close(patient);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_has_its_answer),
		cmocka_unit_test(a_message_that_is_cut_within_a_character_is_sent_all_the_same),
		cmocka_unit_test_setup_teardown(requests_may_come_in_pieces_and_together, begin,
						end),
		cmocka_unit_test_setup_teardown(the_silent_and_the_noisy_hold_up_nobody, begin,
						end),
		cmocka_unit_test_setup_teardown(more_clients_than_there_is_room_for_wait_their_turn,
						begin, end),
		cmocka_unit_test_setup_teardown(
			a_socket_in_use_is_left_alone_and_a_dead_one_replaced, begin, end),
		cmocka_unit_test_setup_teardown(who_waits_for_an_answer_holds_up_nobody_else, begin,
						end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
