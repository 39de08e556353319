/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: JSON-RPC 2.0 over a UNIX stream, one object a line each way.
 *
 * Thread: one of its own (rpc_run), so that whoever asks, however slowly, holds up nobody else;
 * methods are called in it. rpc_new, rpc_stop, rpc_free by who owns it. Time: CLOCK_MONOTONIC; who
 * says nothing for RPC_IDLE_S, or does not take its answer, is let go. Memory: RPC_CLIENTS_MAX
 * clients, RPC_REQUEST_MAX octets of a request each; an answer's while it is being sent. More
 * clients wait in the kernel's backlog. Rules: https://www.jsonrpc.org/specification; notifications
 * (no id) are carried out and not answered; a batch is refused.
 */
#ifndef POSTERN_CONTROL_RPC_H
#define POSTERN_CONTROL_RPC_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

enum {
	RPC_CLIENTS_MAX = 64,
	RPC_REQUEST_MAX = 64 << 10,
	RPC_IDLE_S = 60,

	/* The specification's codes, and one of ours. */
	RPC_PARSE_ERROR = -32700,
	RPC_INVALID_REQUEST = -32600,
	RPC_METHOD_NOT_FOUND = -32601,
	RPC_INVALID_PARAMS = -32602,
	RPC_INTERNAL_ERROR = -32603,
	RPC_FAILED = -32000, /* the method could not do it; the message says why */
};

struct rpc;

struct rpc_error;

/* The result, owned by the caller; NULL: error is filled in. */
typedef json_t *rpc_resume(void *arg, uint64_t ticket, struct rpc_error *error);

/* What went wrong, for the answer; or that it comes later, by rpc_wait. */
struct rpc_error {
	int code;
	char message[512];
	rpc_resume *resume; /* NULL: it is an error */
	uint64_t ticket;
};

struct rpc_method {
	const char *name;
	/* The result, owned by the caller; NULL: error is filled in. params is an array, empty when
	 * none were given. */
	json_t *(*call)(void *arg, const json_t *params, struct rpc_error *error);
};

/* Listens at path, in place of a socket nobody listens at any more. methods end with one without a
 * name. 0, or -errno with a sentence. */
int rpc_new(struct rpc **out, const char *path, const struct rpc_method *methods, void *arg,
	    char *error, size_t len);
/* Serves until rpc_stop, which any thread may call. */
void rpc_run(struct rpc *r);
void rpc_stop(struct rpc *r);
/* Asks for the answers that were to come later; any thread may call it. */
void rpc_wake(struct rpc *r);
void rpc_free(struct rpc *r);

/* One request's answer, a line; NULL: none is due, or not yet. For tests; to be freed. */
char *rpc_answer(const struct rpc_method *methods, void *arg, const char *text, size_t len);

/* Fills in error; returns NULL. */
json_t *rpc_fail(struct rpc_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* For a method that takes long: the answer is what resume returns, which is asked at each rpc_wake,
 * and once a second, until it does not say rpc_wait again. Returns NULL. */
json_t *rpc_wait(struct rpc_error *error, rpc_resume *resume, uint64_t ticket);

#endif
