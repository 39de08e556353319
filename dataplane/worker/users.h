/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the user of a connection, or of a session, points to: told by the pointer's low bits, which
 * no object of ours has, since all lie at multiples of eight octets.
 *
 * Thread, Time, Memory: none.
 */
#ifndef POSTERN_WORKER_USERS_H
#define POSTERN_WORKER_USERS_H

#include <stdint.h>

enum user_kind {
	USER_PLAIN,    /* a connection's: its session; a session's: its connection */
	USER_LINK,     /* a connection's: the link to a next hop (worker/links.h) */
	USER_BALANCED, /* what is known of a load balancer's connection (worker/balancers.h): the
			  connection's, before it is greeted; then the session's */
	USER_KINDS = 7,
};

static inline void *user_of(void *object, enum user_kind kind)
{
	return (void *)((uintptr_t)object | kind);
}

static inline enum user_kind user_kind(const void *user)
{
	return (enum user_kind)((uintptr_t)user & USER_KINDS);
}

static inline void *user_object(const void *user)
{
	return (void *)((uintptr_t)user & ~(uintptr_t)USER_KINDS);
}

#endif
