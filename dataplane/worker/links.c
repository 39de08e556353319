/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory, Rules: links.h. */
#include "worker/links.h"

#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/slab.h"
#include "worker/users.h"

enum {
	TICK_SHIFT = 10,
	OUT_OCTETS = 16 << 10,	     /* commands between two sends */
	UNRESOLVED_US = 10 * 1000,   /* until the next hop's link address is asked for again */
	STALL_MS = 120 * 1000,	     /* for a next hop that takes nothing of a message */
	HURRY_MS = HOP_REPLY_MS / 2, /* a server that had less time than this is not too slow */
	WANTED_US = 20 * 1000,	     /* between two looks whether others want an idle one's place */
	LEAVE_US = 5 * 1000 * 1000,  /* for a server to close behind QUIT */
};

struct links {
	struct links_config config;
	struct tcp *tcp;
	struct wheel wheel;
	struct slab slab;
	uint64_t now_us, look_us;
	uint32_t *first_of;	/* a pool's first server among all */
	struct link_list *idle; /* by server, last parked first */
	uint32_t n_servers, n_idle;
	TAILQ_HEAD(, link) news;
	bool draining;
	uint8_t out[OUT_OCTETS];
};

/* --- life ------------------------------------------------------------------------------------ */

static bool list_servers(struct links *all)
{
	const uint32_t n = pools_count(all->config.pools);

	all->first_of = calloc(n + 1, sizeof(*all->first_of));
	if (!all->first_of)
		return false;
	for (uint32_t i = 0; i < n; i++)
		all->first_of[i + 1] =
			all->first_of[i] + pools_config(all->config.pools, i)->n_servers;
	all->n_servers = all->first_of[n];
	all->idle = calloc(all->n_servers + 1, sizeof(*all->idle)); /* empty lists */
	return all->idle;
}

struct links *links_new(const struct links_config *config, uint64_t now_us)
{
	struct links *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	all->config = *config;
	all->tcp = worker_tcp(config->worker);
	all->now_us = now_us;
	TAILQ_INIT(&all->news);
	wheel_init(&all->wheel, now_us, TICK_SHIFT);
	if (!list_servers(all) || !slab_init(&all->slab, sizeof(struct link), 64, config->links)) {
		links_free(all);
		return NULL;
	}
	return all;
}

void links_free(struct links *all)
{
	if (!all)
		return;
	slab_release(&all->slab);
	free(all->first_of);
	free(all->idle);
	free(all);
}

void links_set_time(struct links *all, uint64_t now_us)
{
	all->now_us = now_us;
}

/* --- connections ----------------------------------------------------------------------------- */

bool links_is_mine(const struct tcp_conn *c)
{
	return user_kind(tcp_user(c)) == USER_LINK;
}

static struct link *link_of(const struct tcp_conn *c)
{
	return user_object(tcp_user(c));
}

static void tell(struct links *all, struct link *l)
{
	if (l->flags & LINK_NEWS)
		return;
	l->flags |= LINK_NEWS;
	TAILQ_INSERT_TAIL(&all->news, l, news);
}

static void forget_news(struct links *all, struct link *l)
{
	if (!(l->flags & LINK_NEWS))
		return;
	TAILQ_REMOVE(&all->news, l, news);
	l->flags &= (uint16_t)~LINK_NEWS;
}

struct link *links_next(struct links *all)
{
	struct link *l = TAILQ_FIRST(&all->news);

	if (l)
		forget_news(all, l);
	return l;
}

static struct link_list *idle_of(const struct links *all, uint32_t pool, uint32_t server)
{
	return &all->idle[all->first_of[pool] + server];
}

static void unlist_idle(struct links *all, struct link *l)
{
	if (!(l->flags & LINK_IDLE))
		return;
	LIST_REMOVE(l, idle);
	l->flags &= (uint16_t)~LINK_IDLE;
	all->n_idle--;
}

static void give_back(struct links *all, struct link *l)
{
	unlist_idle(all, l);
	forget_news(all, l);
	wheel_cancel(&all->wheel, &l->timer);
	pools_closed(all->config.pools, l->pool, l->server);
	slab_give(&all->slab, slab_index(&all->slab, l));
}

void links_abort(struct links *all, struct link *l)
{
	if (l->conn) {
		tcp_set_user(l->conn, NULL);
		tcp_abort(all->tcp, l->conn);
	}
	give_back(all, l);
}

/* In good order: QUIT. Its place is free when the server has let go of it, no sooner: a new one
 * might be open there beside it. */
static void leave(struct links *all, struct link *l)
{
	struct smtp_out out = {.bytes = all->out, .size = sizeof(all->out)};

	if (!l->conn) {
		give_back(all, l);
		return;
	}
	unlist_idle(all, l);
	hop_quit(&l->hop, &out);
	tcp_send(all->tcp, l->conn, out.bytes, out.len);
	tcp_shutdown(all->tcp, l->conn);
	l->flags |= LINK_LEAVING;
	wheel_arm(&all->wheel, &l->timer, all->now_us + LEAVE_US);
}

/* What a server says behind QUIT is thrown away until it closes. */
static void go_on_leaving(struct links *all, struct link *l)
{
	tcp_consume(all->tcp, l->conn, tcp_readable(l->conn));
	if (!tcp_is_peer_done(l->conn))
		return;
	tcp_set_user(l->conn, NULL);
	tcp_close(all->tcp, l->conn);
	l->conn = NULL;
	give_back(all, l);
}

/* --- time ------------------------------------------------------------------------------------ */

static uint64_t ms_to_us(uint64_t ms)
{
	return ms * 1000;
}

static uint64_t time_for(uint8_t state)
{
	switch (state) {
	case HOP_STATE_IDLE:
		return ms_to_us(HOP_IDLE_MS);
	case HOP_STATE_MESSAGE:
		return ms_to_us(STALL_MS);
	case HOP_STATE_ENDED:
		return ms_to_us(HOP_FINAL_MS);
	default:
		return ms_to_us(HOP_REPLY_MS);
	}
}

static void give_time(struct links *all, struct link *l)
{
	uint64_t due = all->now_us + time_for(l->hop.state);

	if (l->until_us && l->until_us < due && l->hop.state != HOP_STATE_MESSAGE)
		due = l->until_us;
	l->awaited = l->hop.state;
	l->timed_us = all->now_us;
	wheel_arm(&all->wheel, &l->timer, due);
}

static void connect_link(struct links *all, struct link *l)
{
	const struct pool_server_config *server =
		&pools_config(all->config.pools, l->pool)->servers[l->server];
	struct tcp_conn *c;

	switch (worker_connect(all->config.worker, &server->address, server->port, &c)) {
	case WORKER_CONNECTING:
		l->conn = c;
		tcp_set_user(c, user_of(l, USER_LINK));
		wheel_arm(&all->wheel, &l->timer, all->now_us + ms_to_us(HOP_CONNECT_MS));
		return;
	case WORKER_UNRESOLVED:
	case WORKER_NO_ROUTE: /* routes may be on their way, too, as at the start */
		if (all->now_us < l->resolve_until_us) {
			wheel_arm(&all->wheel, &l->timer, all->now_us + UNRESOLVED_US);
			return;
		}
		break;
	case WORKER_FULL:
		l->flags |= LINK_OURS;
		break;
	}
	l->flags |= LINK_LOST;
	tell(all, l);
}

/* It has taken all there is of a message: links_send goes on with its time. */
static bool waits_for_us(const struct link *l)
{
	return l->hop.state == HOP_STATE_MESSAGE && l->conn && !tcp_unacknowledged(l->conn);
}

static void give_up(struct links *all, struct link *l)
{
	l->flags |= LINK_LATE;
	if (all->now_us - l->timed_us < ms_to_us(HURRY_MS) && l->flags & LINK_OPENED)
		l->flags |= LINK_OURS;
	tell(all, l);
}

static void time_is_over(struct links *all, struct link *l)
{
	if (l->flags & LINK_LEAVING)
		links_abort(all, l);
	else if (l->flags & LINK_IDLE)
		leave(all, l);
	else if (!l->conn && !(l->flags & LINK_LOST) && !(l->flags & LINK_OPENED))
		connect_link(all, l);
	else if (!waits_for_us(l))
		give_up(all, l);
}

static bool others_wait(const struct links *all, uint32_t pool)
{
	return pools_wanted(all->config.pools, pool) > all->config.waits[pool];
}

/* Places that others wait for are made free. */
static void make_way(struct links *all)
{
	for (uint32_t pool = 0; pool < pools_count(all->config.pools); pool++) {
		if (!others_wait(all, pool))
			continue;
		for (uint32_t i = all->first_of[pool]; i < all->first_of[pool + 1]; i++)
			if (!LIST_EMPTY(&all->idle[i]))
				leave(all, LIST_FIRST(&all->idle[i]));
	}
}

void links_turn(struct links *all)
{
	struct timer *t;

	while ((t = wheel_next(&all->wheel, all->now_us)))
		time_is_over(all, (struct link *)t);
	if (all->n_idle && all->now_us >= all->look_us) {
		make_way(all);
		all->look_us = all->now_us + WANTED_US;
	}
}

uint64_t links_next_due(const struct links *all)
{
	const uint64_t due = wheel_next_due(&all->wheel);

	if (!TAILQ_EMPTY(&all->news))
		return all->now_us;
	return all->n_idle && all->look_us < due ? all->look_us : due;
}

void links_drain(struct links *all)
{
	all->draining = true;
	for (uint32_t i = 0; i < all->n_servers; i++)
		while (!LIST_EMPTY(&all->idle[i]))
			leave(all, LIST_FIRST(&all->idle[i]));
}

/* --- opening, taking, parking ---------------------------------------------------------------- */

/* What lies unread would be taken for the answer to what is asked next. */
static bool has_more(const struct link *l)
{
	return tcp_readable(l->conn) || tcp_is_peer_done(l->conn);
}

void links_idle(const struct links *all, uint32_t pool, struct pool_tried *idle)
{
	const uint32_t first = all->first_of[pool], n = all->first_of[pool + 1] - first;

	*idle = (struct pool_tried){0};
	for (uint32_t i = 0; i < n; i++)
		if (!LIST_EMPTY(&all->idle[first + i]))
			pool_tried_add(idle, i);
}

struct link *links_take(struct links *all, uint32_t pool, uint32_t server, void *user)
{
	struct link *l;

	while ((l = LIST_FIRST(idle_of(all, pool, server))) && has_more(l))
		links_abort(all, l);
	if (!l)
		return NULL;
	unlist_idle(all, l);
	l->user = user;
	l->flags &= (uint16_t)~LINK_HEARD;
	give_time(all, l);
	return l;
}

struct link *links_open(struct links *all, uint32_t pool, uint32_t server,
			const struct hop_client *client, void *user)
{
	uint32_t index = slab_take(&all->slab);
	struct link *l;

	if (index == SLAB_NONE) {
		pools_closed(all->config.pools, pool, server);
		return NULL;
	}
	l = slab_at(&all->slab, index);
	memset(l, 0, sizeof(*l));
	l->pool = pool;
	l->server = server;
	l->user = user;
	l->opened_us = all->now_us;
	l->resolve_until_us = all->now_us + ms_to_us(HOP_RESOLVE_MS);
	/* The engine's header for PROXY v2 waits for the connection. */
	if (client)
		l->hop.client = *client;
	counter_add(&all->config.counters->relay_connections, 1);
	connect_link(all, l);
	return l;
}

/* Whether it can serve another transaction. */
static bool is_good(const struct links *all, const struct link *l)
{
	return !all->draining &&
	       pools_config(all->config.pools, l->pool)->identity != POOL_PROXY_V2 &&
	       l->uses < HOP_CONNECTION_USES && hop_is_idle(&l->hop);
}

void links_park(struct links *all, struct link *l, bool may_stay)
{
	l->user = NULL;
	l->until_us = 0;
	if (has_more(l)) {
		links_abort(all, l);
		return;
	}
	l->uses++;
	if (!may_stay || !is_good(all, l)) {
		leave(all, l);
		return;
	}
	l->flags |= LINK_IDLE | LINK_USED;
	LIST_INSERT_HEAD(idle_of(all, l->pool, l->server), l, idle);
	all->n_idle++;
	give_time(all, l);
}

/* --- octets ---------------------------------------------------------------------------------- */

size_t links_room(const struct links *all, const struct link *l)
{
	return l->conn ? tcp_send_room(all->tcp, l->conn) : 0;
}

void links_send(struct links *all, struct link *l, const void *octets, size_t len)
{
	if (!len || l->flags & LINK_LOST)
		return;
	if (waits_for_us(l))
		give_time(all, l);
	l->said_us = all->now_us;
	if (l->conn && tcp_send(all->tcp, l->conn, octets, len) == len)
		return;
	/* Part of a command or of a message is worse than none. */
	counter_add(&all->config.counters->relay_no_buffer, 1);
	l->flags |= LINK_LOST | LINK_OURS;
	tell(all, l);
}

static struct smtp_out out_for(struct links *all, const struct link *l)
{
	const size_t room = links_room(all, l);

	return (struct smtp_out){
		.bytes = all->out,
		.size = room < sizeof(all->out) ? room : sizeof(all->out),
	};
}

static void send_out(struct links *all, struct link *l, const struct smtp_out *out)
{
	links_send(all, l, out->bytes, out->len);
	if (l->awaited != l->hop.state)
		give_time(all, l);
}

/* What is unread was said before what is said next. */
static void note_unread(struct link *l)
{
	if (l->conn && tcp_readable(l->conn))
		hop_has_more(&l->hop);
}

static void note_progress(struct links *all, struct link *l, enum hop_step step)
{
	if (step == HOP_WAIT || step == HOP_FAILED)
		return;
	note_unread(l);
	if (step != HOP_READY)
		l->flags |= LINK_HEARD;
	if (step == HOP_RCPT)
		give_time(all, l);
}

enum hop_step links_step(struct links *all, struct link *l)
{
	struct smtp_out out = out_for(all, l);
	enum hop_step step;
	struct span in;
	size_t had;

	if (l->flags & (LINK_LOST | LINK_LATE))
		return HOP_FAILED;
	if (!(l->flags & LINK_OPENED))
		return HOP_WAIT;
	do {
		in = tcp_read(all->tcp, l->conn, 0);
		had = in.len;
		out.len = 0;
		step = hop_feed(&l->hop, &in, &out);
		send_out(all, l, &out);
		tcp_consume(all->tcp, l->conn, had - in.len);
		out = out_for(all, l);
	} while (step == HOP_WAIT && had && !(l->flags & LINK_LOST));
	if (l->flags & LINK_LOST)
		return HOP_FAILED;
	if (step == HOP_WAIT && tcp_is_peer_done(l->conn))
		return HOP_FAILED;
	note_progress(all, l, step);
	return step;
}

bool links_begin(struct links *all, struct link *l, const struct hop_client *client,
		 const struct hop_mail *mail)
{
	struct smtp_out out = out_for(all, l);
	bool can = hop_begin(&l->hop, client, mail, &out);

	send_out(all, l, &out);
	tell(all, l); /* what found no room follows */
	return can;
}

void links_data(struct links *all, struct link *l)
{
	struct smtp_out out = out_for(all, l);

	hop_data(&l->hop, &out);
	send_out(all, l, &out);
}

void links_reset(struct links *all, struct link *l)
{
	struct smtp_out out = out_for(all, l);

	l->until_us = 0;
	hop_reset(&l->hop, &out);
	send_out(all, l, &out);
}

void links_end(struct links *all, struct link *l)
{
	struct smtp_out out = out_for(all, l);

	note_unread(l);
	hop_end(&l->hop, &out);
	send_out(all, l, &out);
}

/* --- news ------------------------------------------------------------------------------------ */

static void open_engine(struct links *all, struct link *l)
{
	const struct pool_config *config = pools_config(all->config.pools, l->pool);
	const struct hop_client client = l->hop.client;
	struct smtp_out out = {.bytes = all->out, .size = sizeof(all->out)};

	hop_open(&l->hop, config->protocol, config->identity, all->config.host, &client, &out);
	l->flags |= LINK_OPENED;
	links_send(all, l, out.bytes, out.len);
	give_time(all, l);
}

void links_run(struct links *all, struct tcp_conn *c, unsigned news)
{
	struct link *l = link_of(c);

	if (news & TCP_ENDED) {
		tcp_set_user(c, NULL);
		l->conn = NULL;
		l->flags |= LINK_LOST;
		if (l->flags & LINK_LEAVING) {
			give_back(all, l);
			return;
		}
	} else if (l->flags & LINK_LEAVING) {
		go_on_leaving(all, l);
		return;
	} else if (news & TCP_OPENED) {
		open_engine(all, l);
	} else if (news & TCP_ROOM && l->hop.state == HOP_STATE_MESSAGE) {
		give_time(all, l);
	}
	if (l->flags & LINK_IDLE && (news & (TCP_BYTES | TCP_PEER_DONE | TCP_ENDED))) {
		/* A server that shuts an idle connection does what it may. */
		links_abort(all, l);
		return;
	}
	tell(all, l);
}
