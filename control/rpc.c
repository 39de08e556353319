/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * JSON-RPC over a UNIX socket.
 *
 * Thread, Time, Memory, Rules: rpc.h. One epoll loop; a client is read until a line is whole,
 * answered, and read again only when its answer is gone: who asks faster than it listens waits.
 */
#include "control/rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control/error.h"

enum { EVENTS = 16, BACKLOG = 128 };

/* A request whose answer comes later. */
struct later {
	rpc_resume *resume; /* NULL: there is none */
	uint64_t ticket;
	json_t *id;
};

struct rpc_client {
	int fd; /* -1: free */
	time_t seen_s;
	char *request;
	size_t held;
	char *answer;
	size_t answer_len, sent;
	struct later later;
};

struct rpc {
	const struct rpc_method *methods;
	void *arg;
	int epoll, listener, stop, wake;
	bool is_full; /* nobody more is accepted for now */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct rpc_client clients[RPC_CLIENTS_MAX];
};

/* --- answers --------------------------------------------------------------------------------- */

json_t *rpc_fail(struct rpc_error *error, int code, const char *format, ...)
{
	va_list args;

	error->code = code;
	va_start(args, format);
	vsnprintf(error->message, sizeof(error->message), format, args);
	va_end(args);
	return NULL;
}

json_t *rpc_wait(struct rpc_error *error, rpc_resume *resume, uint64_t ticket)
{
	error->resume = resume;
	error->ticket = ticket;
	return NULL;
}

/* A message may quote what is no UTF-8, or was cut within a character. */
static json_t *message_string(const struct rpc_error *error)
{
	char text[sizeof(error->message)];
	json_t *string = json_string(error->message);

	if (string)
		return string;
	snprintf(text, sizeof(text), "%s", error->message);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(text);
}

/* A line; steals result, borrows id. */
static char *write_answer(const json_t *id, json_t *result, const struct rpc_error *error)
{
	json_t *answer = json_pack("{s:s, s:O}", "jsonrpc", "2.0", "id", id);
	char *text, *line = NULL;

	if (result)
		json_object_set_new(answer, "result", result);
	else
		json_object_set_new(answer, "error",
				    json_pack("{s:i, s:o}", "code", error->code, "message",
					      message_string(error)));
	text = json_dumps(answer, JSON_COMPACT);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	free(text);
	json_decref(answer);
	return line;
}

static json_t *call(const struct rpc_method *methods, void *arg, const char *name,
		    const json_t *params, struct rpc_error *error)
{
	for (; methods->name; methods++)
		if (strcmp(methods->name, name) == 0)
			return methods->call(arg, params, error);
	return rpc_fail(error, RPC_METHOD_NOT_FOUND, "there is no method %.100s", name);
}

static json_t *carry_out(const struct rpc_method *methods, void *arg, const json_t *request,
			 struct rpc_error *error)
{
	const json_t *version = json_object_get(request, "jsonrpc");
	const json_t *method = json_object_get(request, "method");
	const json_t *params = json_object_get(request, "params");
	json_t *none, *result;

	if (!json_is_object(request) || !json_is_string(version) ||
	    strcmp(json_string_value(version), "2.0") != 0 || !json_is_string(method))
		return rpc_fail(error, RPC_INVALID_REQUEST,
				"a request is an object with \"jsonrpc\": \"2.0\" and a method");
	if (params && !json_is_array(params))
		return rpc_fail(error, RPC_INVALID_PARAMS, "params must be an array");
	if (params)
		return call(methods, arg, json_string_value(method), params, error);
	none = json_array();
	result = call(methods, arg, json_string_value(method), none, error);
	json_decref(none);
	return result;
}

static bool can_be_an_id(const json_t *value)
{
	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_STRING:
	case JSON_INTEGER:
	case JSON_REAL:
		return true;
	default:
		return false;
	}
}

/* NULL: none is due, or it comes later. */
static char *answer_request(const struct rpc_method *methods, void *arg, const char *text,
			    size_t len, struct later *later)
{
	struct rpc_error error = {.code = RPC_INTERNAL_ERROR, .message = "no memory"};
	json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *result = NULL, *id;
	char *answer = NULL;

	if (!request)
		rpc_fail(&error, RPC_PARSE_ERROR, "the request is not JSON");
	else
		result = carry_out(methods, arg, request, &error);
	id = json_object_get(request, "id");
	/* Only what has the form of a request can be one without a wish for an answer. */
	if (!id && error.code != RPC_INVALID_REQUEST && json_is_object(request)) {
		json_decref(result);
		json_decref(request);
		return NULL;
	}
	if (!can_be_an_id(id))
		id = json_null();
	if (!result && error.resume)
		*later = (struct later){error.resume, error.ticket, json_incref(id)};
	else
		answer = write_answer(id, result, &error);
	json_decref(request);
	return answer;
}

char *rpc_answer(const struct rpc_method *methods, void *arg, const char *text, size_t len)
{
	struct later later = {NULL, 0, NULL};
	char *answer = answer_request(methods, arg, text, len, &later);

	json_decref(later.id);
	return answer;
}

/* --- clients --------------------------------------------------------------------------------- */

static time_t now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void watch(const struct rpc *r, int operation, int fd, uint32_t events, void *ptr)
{
	struct epoll_event event = {.events = events, .data.ptr = ptr};

	epoll_ctl(r->epoll, operation, fd, &event);
}

static void client_close(struct rpc *r, struct rpc_client *c)
{
	close(c->fd);
	free(c->request);
	free(c->answer);
	json_decref(c->later.id);
	*c = (struct rpc_client){.fd = -1};
	if (r->is_full) {
		r->is_full = false;
		watch(r, EPOLL_CTL_ADD, r->listener, EPOLLIN, &r->listener);
	}
}

static struct rpc_client *free_client(struct rpc *r)
{
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++)
		if (r->clients[i].fd < 0)
			return &r->clients[i];
	return NULL;
}

static void accept_client(struct rpc *r)
{
	struct rpc_client *c = free_client(r);
	int fd;

	if (!c) {
		r->is_full = true;
		watch(r, EPOLL_CTL_DEL, r->listener, 0, NULL);
		return;
	}
	fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	*c = (struct rpc_client){.fd = fd, .seen_s = now_s(), .request = malloc(RPC_REQUEST_MAX)};
	if (!c->request) {
		client_close(r, c);
		return;
	}
	watch(r, EPOLL_CTL_ADD, fd, EPOLLIN, c);
}

/* Takes the answer over. */
static void begin_answer(struct rpc_client *c, char *answer)
{
	c->answer = answer;
	c->answer_len = answer ? strlen(answer) : 0;
	c->sent = 0;
}

/* The first whole line of what is held is taken, answered or to be so. False: there is none, or the
 * one before has no answer yet. */
static bool take_line(struct rpc *r, struct rpc_client *c)
{
	char *newline = memchr(c->request, '\n', c->held);
	size_t len;

	if (!newline || c->later.resume)
		return false;
	len = (size_t)(newline - c->request);
	begin_answer(c, answer_request(r->methods, r->arg, c->request, len, &c->later));
	c->held -= len + 1;
	memmove(c->request, newline + 1, c->held);
	return true;
}

/* Sends what is left of the answer; false: the client is gone, or cannot take more now. */
static bool send_answer(struct rpc *r, struct rpc_client *c)
{
	while (c->answer) {
		ssize_t n = send(c->fd, c->answer + c->sent, c->answer_len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			watch(r, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
			return false;
		}
		if (n < 0) {
			client_close(r, c);
			return false;
		}
		c->sent += (size_t)n;
		if (c->sent == c->answer_len) {
			free(c->answer);
			c->answer = NULL;
		}
	}
	return true;
}

static void refuse_long(struct rpc_client *c)
{
	const struct rpc_error error = {.code = RPC_INVALID_REQUEST,
					.message = "the request is too long"};

	begin_answer(c, write_answer(json_null(), NULL, &error));
}

/* Answers line after line, as far as the client takes the answers. */
static void serve_client(struct rpc *r, struct rpc_client *c)
{
	do {
		if (!send_answer(r, c))
			return;
	} while (take_line(r, c));
	if (c->later.resume) {
		watch(r, EPOLL_CTL_MOD, c->fd, 0, c);
		return;
	}
	if (c->held == RPC_REQUEST_MAX) {
		refuse_long(c);
		if (send_answer(r, c) || c->fd >= 0)
			client_close(r, c);
		return;
	}
	watch(r, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
}

static void client_event(struct rpc *r, struct rpc_client *c, uint32_t events)
{
	c->seen_s = now_s();
	if (events & EPOLLIN) {
		ssize_t n = read(c->fd, c->request + c->held, RPC_REQUEST_MAX - c->held);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			client_close(r, c);
			return;
		}
		c->held += (size_t)n;
	} else if (events & (EPOLLERR | EPOLLHUP)) {
		client_close(r, c);
		return;
	}
	serve_client(r, c);
}

/* The answer that was to come later, if it is there. */
static void resume_client(struct rpc *r, struct rpc_client *c)
{
	struct rpc_error error = {.code = RPC_INTERNAL_ERROR, .message = "no memory"};
	json_t *result = c->later.resume(r->arg, c->later.ticket, &error);

	if (!result && error.resume)
		return;
	begin_answer(c, write_answer(c->later.id, result, &error));
	json_decref(c->later.id);
	c->later = (struct later){NULL, 0, NULL};
	c->seen_s = now_s();
	serve_client(r, c);
}

static void resume_clients(struct rpc *r)
{
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++)
		if (r->clients[i].fd >= 0 && r->clients[i].later.resume)
			resume_client(r, &r->clients[i]);
}

static void let_go_of_the_silent(struct rpc *r)
{
	time_t now = now_s();

	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++)
		if (r->clients[i].fd >= 0 && !r->clients[i].later.resume &&
		    now - r->clients[i].seen_s > RPC_IDLE_S)
			client_close(r, &r->clients[i]);
}

/* --- life ------------------------------------------------------------------------------------ */

/* A socket that is left of a process that died is taken away; one somebody listens at is not. */
static int bind_path(int fd, const struct sockaddr_un *address)
{
	mode_t before = umask(0117); /* the group may ask too */
	int rc = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno : 0;

	if (rc == -EADDRINUSE) {
		int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (probe >= 0 &&
		    connect(probe, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
		    errno == ECONNREFUSED && unlink(address->sun_path) == 0)
			rc = bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? -errno
											  : 0;
		if (probe >= 0)
			close(probe);
	}
	umask(before);
	return rc;
}

static int listen_at(struct rpc *r, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->listener < 0)
		return -errno;
	rc = bind_path(r->listener, &address);
	if (rc)
		return rc;
	memcpy(r->path, path, strlen(path) + 1);
	return listen(r->listener, BACKLOG) ? -errno : 0;
}

int rpc_new(struct rpc **out, const char *path, const struct rpc_method *methods, void *arg,
	    char *error, size_t len)
{
	struct rpc *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return error_set(-ENOMEM, error, len, "no memory for the control socket");
	r->methods = methods;
	r->arg = arg;
	r->listener = -1;
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++)
		r->clients[i].fd = -1;
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	r->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = r->epoll < 0 || r->stop < 0 || r->wake < 0 ? -errno : listen_at(r, path);
	if (rc) {
		rpc_free(r);
		return error_set(rc, error, len, "control socket %s: %s", path, strerror(-rc));
	}
	watch(r, EPOLL_CTL_ADD, r->listener, EPOLLIN, &r->listener);
	watch(r, EPOLL_CTL_ADD, r->stop, EPOLLIN, &r->stop);
	watch(r, EPOLL_CTL_ADD, r->wake, EPOLLIN, &r->wake);
	*out = r;
	return 0;
}

static void take_wake(struct rpc *r)
{
	uint64_t times;

	if (read(r->wake, &times, sizeof(times)) < 0)
		return; /* it was taken before */
}

void rpc_run(struct rpc *r)
{
	struct epoll_event events[EVENTS];

	for (;;) {
		int n = epoll_wait(r->epoll, events, EVENTS, 1000);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &r->stop)
				return;
			if (events[i].data.ptr == &r->wake)
				take_wake(r);
			else if (events[i].data.ptr == &r->listener)
				accept_client(r);
			else if (((struct rpc_client *)events[i].data.ptr)->fd >= 0)
				client_event(r, events[i].data.ptr, events[i].events);
		}
		resume_clients(r);
		let_go_of_the_silent(r);
	}
}

void rpc_stop(struct rpc *r)
{
	uint64_t one = 1;

	if (write(r->stop, &one, sizeof(one)) < 0)
		return; /* it is told already */
}

void rpc_wake(struct rpc *r)
{
	uint64_t one = 1;

	if (write(r->wake, &one, sizeof(one)) < 0)
		return; /* it is told already */
}

void rpc_free(struct rpc *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < RPC_CLIENTS_MAX; i++)
		if (r->clients[i].fd >= 0)
			client_close(r, &r->clients[i]);
	if (r->listener >= 0)
		close(r->listener);
	if (r->path[0])
		unlink(r->path);
	if (r->epoll >= 0)
		close(r->epoll);
	if (r->stop >= 0)
		close(r->stop);
	if (r->wake >= 0)
		close(r->wake);
	free(r);
}
