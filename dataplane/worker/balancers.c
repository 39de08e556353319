/* SPDX-License-Identifier: BSD-3-Clause */
/* Load balancers before us. Thread, Time, Memory, Rules: balancers.h. */
#include "worker/balancers.h"

#include <string.h>

#include "relay/limits.h"
#include "worker/users.h"

bool balancers_init(struct balancers *b, const struct ip_network *networks, uint32_t n,
		    uint32_t connections)
{
	*b = (struct balancers){.networks = networks, .n_networks = n};
	TAILQ_INIT(&b->waiting);
	return slab_init(&b->slab, sizeof(struct balanced), 64, connections);
}

void balancers_release(struct balancers *b)
{
	slab_release(&b->slab);
}

bool balancers_opened(const struct balancers *b, const struct tcp *t, const struct tcp_conn *c)
{
	struct flow flow;

	if (!b->n_networks)
		return false;
	tcp_flow(t, c, &flow);
	return ip_networks_hold(b->networks, b->n_networks, &flow.remote);
}

/* --- waiting --------------------------------------------------------------------------------- */

struct balanced *balanced_new(struct balancers *b, struct tcp_conn *c, uint64_t now_us)
{
	const uint32_t index = slab_take(&b->slab);
	struct balanced *bd;

	if (index == SLAB_NONE)
		return NULL;
	bd = slab_at(&b->slab, index);
	*bd = (struct balanced){
		.conn = c,
		.waits = true,
		.until_us = now_us + PROXY_HEADER_MS * 1000ULL,
	};
	TAILQ_INSERT_TAIL(&b->waiting, bd, waiting);
	return bd;
}

static void wait_no_more(struct balancers *b, struct balanced *bd)
{
	if (!bd->waits)
		return;
	TAILQ_REMOVE(&b->waiting, bd, waiting);
	bd->waits = false;
}

void balanced_free(struct balancers *b, struct balanced *bd)
{
	if (!bd)
		return;
	wait_no_more(b, bd);
	slab_give(&b->slab, slab_index(&b->slab, bd));
}

struct balanced *balancers_next_overdue(const struct balancers *b, uint64_t now_us)
{
	struct balanced *bd = TAILQ_FIRST(&b->waiting);

	return bd && bd->until_us <= now_us ? bd : NULL;
}

uint64_t balancers_next_due(const struct balancers *b)
{
	const struct balanced *bd = TAILQ_FIRST(&b->waiting);

	return bd ? bd->until_us : UINT64_MAX;
}

/* --- the header ------------------------------------------------------------------------------ */

/* As far as one could go; what lies together of it may be less. */
static struct span gather(const struct tcp *t, const struct tcp_conn *c,
			  uint8_t octets[PROXY_OCTETS_MAX])
{
	size_t len = 0;
	struct span in;

	while (len < PROXY_OCTETS_MAX && (in = tcp_read(t, c, len)).len) {
		if (in.len > PROXY_OCTETS_MAX - len)
			in.len = PROXY_OCTETS_MAX - len;
		memcpy(octets + len, in.bytes, in.len);
		len += in.len;
	}
	return (struct span){octets, len};
}

enum proxy_found balanced_read(struct balancers *b, struct balanced *bd, struct tcp *t)
{
	uint8_t octets[PROXY_OCTETS_MAX];
	struct proxy_header header;
	enum proxy_found found = proxy_read(gather(t, bd->conn, octets), &header);

	if (found != PROXY_NAMED && found != PROXY_UNNAMED)
		return found;
	tcp_consume(t, bd->conn, header.len);
	wait_no_more(b, bd);
	if (found == PROXY_NAMED)
		bd->client =
			(struct flow){header.local, header.address, header.local_port, header.port};
	return found;
}

/* --- of a session ---------------------------------------------------------------------------- */

struct balanced *client_balanced(const struct smtp_session *s)
{
	const void *user = smtp_user(s);

	return user_kind(user) == USER_BALANCED ? user_object(user) : NULL;
}

struct tcp_conn *client_conn(const struct smtp_session *s)
{
	const struct balanced *bd = client_balanced(s);

	return bd ? bd->conn : smtp_user(s);
}

void client_flow(const struct tcp *t, const struct smtp_session *s, struct flow *flow)
{
	const struct balanced *bd = client_balanced(s);

	if (bd)
		*flow = bd->client;
	else
		tcp_flow(t, smtp_user(s), flow);
}
