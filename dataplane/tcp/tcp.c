/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection's life, what its owner calls, and the lists that connect input to output.
 *
 * Thread, Time, Memory: tcp.h.
 * Rules: RFC 9293 3.9.1 (calls); RFC 6528 (initial sequence numbers); RFC 7323 5.4 (a timestamp
 * offset for each connection). tcp_close differs from a socket's: what still arrives while our
 * last bytes are on their way is acknowledged and thrown away, because a RST there would destroy
 * the reply the peer has not read yet (RFC 1122 4.2.2.13 allows it, mail suffers from it).
 */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "net/rss.h"
#include "tcp/conn.h"

enum { WHEEL_TICK_SHIFT = 8 }; /* 256 us */

static const char *const state_names[] = {
	[TCP_CLOSED] = "CLOSED",	 [TCP_SYN_SENT] = "SYN-SENT",
	[TCP_SYN_RCVD] = "SYN-RECEIVED", [TCP_ESTABLISHED] = "ESTABLISHED",
	[TCP_FIN_WAIT_1] = "FIN-WAIT-1", [TCP_FIN_WAIT_2] = "FIN-WAIT-2",
	[TCP_CLOSE_WAIT] = "CLOSE-WAIT", [TCP_CLOSING] = "CLOSING",
	[TCP_LAST_ACK] = "LAST-ACK",	 [TCP_TIME_WAIT] = "TIME-WAIT",
};

/* --- the whole --------------------------------------------------------------------------- */

static bool config_is_possible(const struct tcp_config *config)
{
	return config->conns > 0 && config->conns < SLAB_NONE / 4 && config->net &&
	       config->counters && config->pool && config->receive_window >= TCP_PAGE &&
	       config->receive_window <= TCP_WINDOW_MAX && config->send_queue > 0 &&
	       config->send_queue <= TCP_WINDOW_MAX &&
	       rte_pktmbuf_data_room_size(config->pool) >= TCP_PAGE;
}

static uint8_t scale_for(uint32_t window)
{
	uint8_t scale = 0;

	while (scale < TCP_WSCALE_MAX && window >> scale > UINT16_MAX)
		scale++;
	return scale;
}

static bool rings_init(struct tcp *t)
{
	for (unsigned i = 0; i < SENT_SIZES; i++)
		if (!slab_init(&t->rings[i], sent_sizes[i] * sizeof(struct tcp_sent), 64,
			       t->config.conns))
			return false;
	return true;
}

static uint32_t handshakes_wanted(const struct tcp_config *config)
{
	uint32_t wanted = config->conns - config->conns / 4;

	if (config->handshakes)
		return config->handshakes;
	if (wanted < TCP_HANDSHAKES_LEAST && TCP_HANDSHAKES_LEAST <= config->conns / 8 * 7)
		return TCP_HANDSHAKES_LEAST;
	return wanted;
}

static uint32_t time_waits_wanted(const struct tcp_config *config)
{
	uint32_t wanted = config->time_waits;

	if (!wanted)
		wanted =
			config->conns < TCP_TIME_WAITS_LEAST ? TCP_TIME_WAITS_LEAST : config->conns;
	return wanted < TIME_WAIT_NONE ? wanted : TIME_WAIT_NONE;
}

struct tcp *tcp_new(const struct tcp_config *config, uint64_t now_us)
{
	struct tcp *t;

	if (!config_is_possible(config))
		return NULL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->config = *config;
	t->config.handshakes = handshakes_wanted(config);
	if (!config->clients)
		t->config.client_half_open = t->config.client_conns = 0;
	t->config.time_waits = time_waits_wanted(config);
	if (t->config.idle_timeout_ms > TCP_IDLE_MAX_MS)
		t->config.idle_timeout_ms = TCP_IDLE_MAX_MS;
	if (!t->config.user_timeout_ms)
		t->config.user_timeout_ms = TCP_STALL_MS;
	if (t->config.user_timeout_ms > TCP_IDLE_MAX_MS)
		t->config.user_timeout_ms = TCP_IDLE_MAX_MS;
	t->net = config->net;
	t->counters = config->counters;
	t->now_us = now_us;
	t->now_ms = (uint32_t)(now_us / 1000);
	t->next_local_port = config->first_local_port;
	t->rcv_wscale = scale_for(config->receive_window);
	/* Not less than a window's field can tell. */
	t->share_least = RTE_MAX((uint32_t)TCP_SHARE_LEAST, 2u << t->rcv_wscale);
	pool_look(t);
	t->news = t->output = (struct conn_list){SLAB_NONE, SLAB_NONE};
	wheel_init(&t->wheel, now_us, WHEEL_TICK_SHIFT);
	if (!slab_init(&t->conns, sizeof(struct tcp_conn), 8, config->conns) ||
	    !slab_init(&t->queues, sizeof(struct tcp_queue), 64, config->conns) || !rings_init(t) ||
	    !tags_init(&t->table, config->conns) ||
	    !time_waits_init(&t->time_waits, t->config.time_waits)) {
		tcp_free(t);
		return NULL;
	}
	return t;
}

/* Clients are counted beyond this worker's end. */
static void uncount_all(struct tcp *t)
{
	for (uint32_t i = 0; t->table.at && i < t->table.n * TAGS_PLACES; i++) {
		uint32_t number = t->table.at[i / TAGS_PLACES].numbers[i % TAGS_PLACES];

		if (number)
			conn_uncount(t, slab_at(&t->conns, number - 1));
	}
}

void tcp_free(struct tcp *t)
{
	if (!t)
		return;
	uncount_all(t);
	for (uint32_t i = 0; i < t->conns.touched; i++) {
		struct tcp_conn *c = slab_at(&t->conns, i);

		send_release(t, c);
		receive_release(t, c);
	}
	time_waits_release(&t->time_waits);
	tags_release(&t->table);
	for (unsigned i = 0; i < SENT_SIZES; i++)
		slab_release(&t->rings[i]);
	slab_release(&t->queues);
	slab_release(&t->conns);
	free(t);
}

bool tcp_listen(struct tcp *t, uint16_t port)
{
	if (t->n_listen == TCP_LISTEN_MAX)
		return false;
	t->listen[t->n_listen++] = port;
	return true;
}

uint32_t tcp_conns(const struct tcp *t)
{
	return t->conns.in_use;
}

bool tcp_pool_is_low(const struct tcp *t)
{
	return !t->pool_spare;
}

uint32_t tcp_conns_bound(const struct tcp *t)
{
	return t->conns.touched;
}

struct tcp_conn *tcp_conn_at(const struct tcp *t, uint32_t number)
{
	struct tcp_conn *c = slab_at(&t->conns, number);

	return c->user && !(c->flags & (CONN_ORPHAN | CONN_GONE)) ? c : NULL;
}

uint32_t tcp_time_waits(const struct tcp *t)
{
	return t->time_waits.entries.in_use;
}

/* --- lists ------------------------------------------------------------------------------- */

static uint32_t *list_link(struct tcp_conn *c, uint32_t flag)
{
	return flag == CONN_ON_NEWS ? &c->news_next : &c->output_next;
}

static void list_push(struct tcp *t, struct conn_list *list, struct tcp_conn *c, uint32_t flag)
{
	uint32_t index = slab_index(&t->conns, c);

	if (c->flags & flag)
		return;
	c->flags |= flag;
	*list_link(c, flag) = SLAB_NONE;
	if (list->last == SLAB_NONE)
		list->first = index;
	else
		*list_link(slab_at(&t->conns, list->last), flag) = index;
	list->last = index;
}

struct tcp_conn *conn_list_pop(struct tcp *t, struct conn_list *list, uint32_t flag)
{
	struct tcp_conn *c;

	if (list->first == SLAB_NONE)
		return NULL;
	c = slab_at(&t->conns, list->first);
	list->first = *list_link(c, flag);
	if (list->first == SLAB_NONE)
		list->last = SLAB_NONE;
	c->flags &= ~flag;
	return c;
}

void conn_tell(struct tcp *t, struct tcp_conn *c, unsigned news)
{
	if (c->flags & CONN_ORPHAN)
		return;
	c->news |= (uint8_t)news;
	list_push(t, &t->news, c, CONN_ON_NEWS);
}

void conn_want_output(struct tcp *t, struct tcp_conn *c)
{
	if (!(c->flags & CONN_GONE))
		list_push(t, &t->output, c, CONN_ON_OUTPUT);
}

/* --- life -------------------------------------------------------------------------------- */

void conn_flow(const struct tcp *t, const struct tcp_conn *c, struct flow *flow)
{
	flow->local = t->net->addresses[c->local].ip;
	flow->remote = c->remote;
	flow->local_port = c->local_port;
	flow->remote_port = c->remote_port;
}

static uint64_t flow_secret(const struct tcp *t, const struct flow *flow)
{
	return siphash24(&t->config.isn_key, flow, sizeof(*flow));
}

/* RFC 6528: a clock of 4 us steps and a keyed hash of the connection's name. */
static uint32_t iss_now(const struct tcp *t, uint64_t secret)
{
	return (uint32_t)secret + (uint32_t)(t->now_us / 4);
}

uint32_t flow_iss(const struct tcp *t, const struct flow *flow)
{
	return iss_now(t, flow_secret(t, flow));
}

uint32_t flow_ts_offset(const struct tcp *t, const struct flow *flow)
{
	return (uint32_t)(flow_secret(t, flow) >> 32);
}

static void conn_numbers(struct tcp *t, struct tcp_conn *c, const struct flow *flow)
{
	uint64_t secret = flow_secret(t, flow);

	c->snd_una = c->snd_nxt = iss_now(t, secret);
	c->ts_offset = (uint32_t)(secret >> 32);
}

static bool local_index(const struct tcp *t, const struct ip_addr *local, uint8_t *index)
{
	for (uint32_t i = 0; i < t->net->n_addresses; i++) {
		if (ip_addr_equal(&t->net->addresses[i].ip, local)) {
			*index = (uint8_t)i;
			return true;
		}
	}
	return false;
}

static enum clients_kind kind_of(const struct tcp_conn *c)
{
	return c->state == TCP_SYN_RCVD ? CLIENTS_HALF_OPEN : CLIENTS_OPEN;
}

void conn_count(struct tcp *t, struct tcp_conn *c)
{
	uint32_t limit = t->config.client_conns, n;

	if (c->flags & CONN_ACTIVE)
		return;
	t->handshakes += c->state == TCP_SYN_RCVD;
	if (!t->config.clients)
		return;
	n = clients_add(t->config.clients, kind_of(c), &c->remote);
	if (kind_of(c) == CLIENTS_OPEN && limit && n > limit) {
		c->flags |= CONN_OVER_LIMIT;
		counter_add(&t->counters->tcp_client_over, 1);
	}
}

void conn_uncount(struct tcp *t, const struct tcp_conn *c)
{
	if (c->flags & CONN_ACTIVE)
		return;
	t->handshakes -= c->state == TCP_SYN_RCVD;
	if (t->config.clients)
		clients_sub(t->config.clients, kind_of(c), &c->remote);
}

struct tcp_conn *conn_new(struct tcp *t, const struct flow *flow, uint32_t tag,
			  const struct net_path *path)
{
	struct tcp_conn *c;
	uint32_t index;
	uint8_t local;

	if (!local_index(t, &flow->local, &local))
		return NULL;
	index = slab_take(&t->conns);
	if (index == SLAB_NONE) {
		counter_add(&t->counters->tcp_table_full, 1);
		return NULL;
	}
	c = slab_at(&t->conns, index);
	memset(c, 0, sizeof(*c));
	c->remote = flow->remote;
	c->local_port = flow->local_port;
	c->remote_port = flow->remote_port;
	c->local = local;
	c->path = *path;
	c->seen_ms = t->now_ms;
	c->snd_mss = TCP_MSS_DEFAULT_V4;
	conn_numbers(t, c, flow);
	c->challenged = (uint8_t)(challenge_period(t, c) - 1);
	table_add(t, c, tag);
	return c;
}

void mbufs_free(struct rte_mbuf *m)
{
	while (m) {
		struct rte_mbuf *next = m->next;

		rte_pktmbuf_free_seg(m);
		m = next;
	}
}

struct tcp_queue *conn_queue(struct tcp *t, struct tcp_conn *c)
{
	uint32_t index;

	if (c->q)
		return c->q;
	index = slab_take(&t->queues);
	if (index == SLAB_NONE)
		return NULL;
	c->q = slab_at(&t->queues, index);
	memset(c->q, 0, sizeof(*c->q));
	c->q->window_seen = c->snd_wnd;
	c->q->recover = c->snd_una - 1;
	c->q->filled = c->q->orphan_una = c->snd_una;
	if (c->flags & CONN_PROBE_OPEN) {
		c->flags &= ~(uint32_t)CONN_PROBE_OPEN;
		c->q->probe =
			(struct tail_probe){.sent = true, .again = true, .end_seq = c->snd_una};
	}
	return c->q;
}

static void queue_give(struct tcp *t, struct tcp_conn *c)
{
	if (!c->q)
		return;
	if (c->q->probe.sent && c->q->probe.again)
		c->flags |= CONN_PROBE_OPEN;
	send_release(t, c);
	receive_release(t, c);
	sent_release(t, c);
	slab_give(&t->queues, slab_index(&t->queues, c->q));
	c->q = NULL;
}

void conn_queue_settle(struct tcp *t, struct tcp_conn *c)
{
	const struct tcp_queue *q = c->q;

	if (!q || q->send_len || q->read_len || q->n_ranges || q->fin_known ||
	    c->snd_una != c->snd_nxt)
		return;
	queue_give(t, c);
}

void conn_free_if_over(struct tcp *t, struct tcp_conn *c)
{
	const uint32_t over = CONN_GONE | CONN_ORPHAN;

	if ((c->flags & over) != over || (c->flags & (CONN_ON_NEWS | CONN_ON_OUTPUT)) ||
	    t->handed == c)
		return;
	queue_give(t, c);
	slab_give(&t->conns, slab_index(&t->conns, c));
}

void conn_leave(struct tcp *t, struct tcp_conn *c)
{
	if (c->flags & CONN_GONE)
		return;
	conn_uncount(t, c);
	if (c->flags & CONN_ORPHAN)
		t->orphans--;
	table_remove(t, c);
	wheel_cancel(&t->wheel, &c->timer);
	send_release(t, c);
	c->flags |= CONN_GONE;
}

void conn_drop(struct tcp *t, struct tcp_conn *c)
{
	conn_leave(t, c);
	if (c->state != TCP_TIME_WAIT)
		c->state = TCP_CLOSED;
	c->flags |= CONN_ORPHAN;
	c->news = 0;
	receive_release(t, c);
	conn_free_if_over(t, c);
}

/* Whether its owner knows of it: a passive connection is first told of when it opens. */
static bool has_owner(const struct tcp_conn *c)
{
	if (c->flags & CONN_ORPHAN)
		return false;
	return (c->flags & CONN_ACTIVE) || (c->state != TCP_SYN_RCVD && c->state != TCP_CLOSED);
}

/* Both directions are done. What is left of it is its owner's alone: bytes to read, the end to hear
 * of. */
static void conn_end_closed(struct tcp *t, struct tcp_conn *c)
{
	if (!(c->flags & CONN_END_WAITS))
		counter_add(&t->counters->tcp_closed, 1);
	conn_leave(t, c);
	if (c->flags & CONN_ORPHAN) {
		conn_drop(t, c);
		return;
	}
	if (tcp_readable(c)) {
		c->flags |= CONN_END_WAITS;
		return;
	}
	c->flags &= ~(uint32_t)CONN_END_WAITS;
	c->end = TCP_END_CLOSED;
	conn_tell(t, c, TCP_ENDED);
}

void conn_end(struct tcp *t, struct tcp_conn *c, enum tcp_end how)
{
	bool owned = has_owner(c);

	if (how == TCP_END_CLOSED) {
		if (c->state == TCP_FIN_WAIT_2 || c->state == TCP_CLOSING) {
			c->state = TCP_TIME_WAIT;
			time_wait_enter(t, c);
		}
		conn_end_closed(t, c);
		return;
	}
	if (how == TCP_END_IDLE && owned)
		conn_reset(t, c);
	if (!owned) {
		conn_drop(t, c);
		return;
	}
	conn_leave(t, c);
	c->end = (uint8_t)how;
	conn_tell(t, c, TCP_ENDED);
}

/* --- what happened ------------------------------------------------------------------------- */

/* The owner has seen the last news handed out: what it left unread is kept, what ended is freed. */
static void settle_handed(struct tcp *t)
{
	struct tcp_conn *c = t->handed;

	t->handed = NULL;
	if (!c)
		return;
	/* An end that the reading itself brought about is still to be told. */
	if (c->end && !(c->news & TCP_ENDED)) {
		c->flags |= CONN_ORPHAN;
		c->user = NULL;
		receive_release(t, c);
	} else {
		receive_keep(t, c);
	}
	conn_queue_settle(t, c);
	conn_free_if_over(t, c);
}

struct tcp_conn *tcp_next_news(struct tcp *t, unsigned *news)
{
	struct tcp_conn *c;

	settle_handed(t);
	while ((c = conn_list_pop(t, &t->news, CONN_ON_NEWS))) {
		if (c->news == 0 || (c->flags & CONN_ORPHAN)) {
			conn_free_if_over(t, c);
			continue;
		}
		*news = c->news;
		c->news = 0;
		t->handed = c;
		return c;
	}
	return NULL;
}

void tcp_set_user(struct tcp_conn *c, void *user)
{
	c->user = user;
}

void *tcp_user(const struct tcp_conn *c)
{
	return c->user;
}

void tcp_flow(const struct tcp *t, const struct tcp_conn *c, struct flow *flow)
{
	conn_flow(t, c, flow);
}

uint8_t tcp_port(const struct tcp_conn *c)
{
	return c->path.port;
}

bool tcp_is_proved(const struct tcp_conn *c)
{
	return !(c->flags & CONN_UNPROVED);
}

bool tcp_is_by_cookie(const struct tcp_conn *c)
{
	return c->flags & CONN_COOKIE;
}

bool tcp_is_over_limit(const struct tcp_conn *c)
{
	return c->flags & CONN_OVER_LIMIT;
}

bool tcp_spoke_early(const struct tcp_conn *c)
{
	return c->flags & CONN_EARLY;
}

void tcp_forgive_early(struct tcp_conn *c)
{
	c->flags &= ~(uint32_t)CONN_EARLY;
}

enum tcp_end tcp_end_of(const struct tcp_conn *c)
{
	return c->end;
}

const char *tcp_state_name(const struct tcp_conn *c)
{
	return state_names[c->state];
}

/* --- opening ------------------------------------------------------------------------------- */

uint16_t interface_mss(const struct tcp *t, uint8_t port, const struct ip_addr *remote)
{
	return (uint16_t)(net_segment_max(t->net, port, ip_addr_is_v4(remote)) - TCP_HEADER_MIN);
}

void conn_set_mss(struct tcp *t, struct tcp_conn *c, const struct tcp_header *syn)
{
	uint16_t mss = ip_addr_is_v4(&c->remote) ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
	uint16_t ours = interface_mss(t, c->path.port, &c->remote);

	if (syn->has_mss)
		mss = syn->mss < TCP_MSS_MIN ? TCP_MSS_MIN : syn->mss;
	c->snd_mss = mss < ours ? mss : ours;
}

void conn_set_path(struct tcp *t, struct tcp_conn *c, const struct net_path *path)
{
	uint16_t mss;

	static_assert(sizeof(*path) == 12, "compared as octets");
	if (memcmp(&c->path, path, sizeof(*path)) == 0)
		return;
	c->path = *path;
	mss = interface_mss(t, path->port, &c->remote);
	if (mss < c->snd_mss)
		conn_mss_shrinks(t, c, mss);
}

void conn_path_shrinks(struct tcp *t, struct tcp_conn *c, uint16_t mtu)
{
	bool v4 = ip_addr_is_v4(&c->remote);
	uint16_t headers = (uint16_t)((v4 ? 20 : 40) + TCP_HEADER_MIN);
	uint16_t floor = v4 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
	uint16_t mss = mtu > headers ? (uint16_t)(mtu - headers) : 0;

	if (mss < floor)
		mss = floor;
	if (mss < c->snd_mss)
		conn_mss_shrinks(t, c, mss);
}

/* What was too big is sent again in smaller pieces; it is no sign of congestion. */
void conn_mss_shrinks(struct tcp *t, struct tcp_conn *c, uint16_t mss)
{
	c->snd_mss = mss;
	if (c->q)
		sent_mark_all_lost(c);
	conn_want_output(t, c);
}

/* Whether nobody uses this flow, nor waits for the end of one by that name. */
static bool is_port_free(const struct tcp *t, const struct flow *flow)
{
	uint32_t tag = flow_tag(t, flow);
	const struct time_wait *w = time_wait_find(t, flow, tag);

	return !table_find(t, flow, tag) && (!w || time_wait_may_reuse(t, w, flow));
}

/* Finds a source port nobody uses toward this peer; of those whose answers come to our queue when
 * there is a choice. The search goes on from there at the next call. */
static bool find_port(struct tcp *t, struct flow *flow, const struct net_rss_choice *choice)
{
	uint16_t first = t->config.active_first, count = t->config.active_count;

	for (uint16_t tries = 0; tries < count && tries < TCP_PORT_TRIES_MAX; tries++) {
		if (t->next_local_port < first || t->next_local_port - first >= count)
			t->next_local_port = first;
		flow->local_port = t->next_local_port++;
		if (choice && net_rss_choice_queue(choice, flow->local_port) != t->config.queue)
			continue;
		if (is_port_free(t, flow))
			return true;
	}
	return false;
}

static bool find_port_home(struct tcp *t, struct flow *flow, const struct net_rss *rss)
{
	struct net_rss_choice choice;

	if (!rss || !net_rss_knows(rss, &flow->local))
		return false;
	net_rss_choice_init(&choice, rss, flow);
	return find_port(t, flow, &choice);
}

struct tcp_conn *tcp_connect(struct tcp *t, const struct ip_addr *source,
			     const struct ip_addr *remote, uint16_t port,
			     const struct net_path *path)
{
	struct flow flow = {.local = *source, .remote = *remote, .remote_port = port};
	struct time_wait *w;
	struct tcp_conn *c;
	uint32_t tag;

	if (!find_port_home(t, &flow, t->net->ports[path->port].rss) && !find_port(t, &flow, NULL))
		return NULL;
	tag = flow_tag(t, &flow);
	w = time_wait_find(t, &flow, tag);
	c = conn_new(t, &flow, tag, path);
	if (!c)
		return NULL;
	if (w)
		time_wait_yield(t, w, c);
	c->state = TCP_SYN_SENT;
	c->flags |= CONN_ACTIVE | CONN_SYN_DUE;
	if (!(t->config.without & TCP_WITHOUT_CUBIC))
		c->flags |= CONN_CUBIC;
	c->rcv_wscale = t->rcv_wscale;
	conn_want_output(t, c);
	counter_add(&t->counters->tcp_active_opens, 1);
	return c;
}

/* --- closing ------------------------------------------------------------------------------- */

void tcp_shutdown(struct tcp *t, struct tcp_conn *c)
{
	if (c->flags & (CONN_FIN_QUEUED | CONN_GONE))
		return;
	if (c->state == TCP_ESTABLISHED)
		c->state = TCP_FIN_WAIT_1;
	else if (c->state == TCP_CLOSE_WAIT)
		c->state = TCP_LAST_ACK;
	else if (c->state != TCP_SYN_SENT && c->state != TCP_SYN_RCVD)
		return;
	conn_starves_no_more(c);
	c->flags |= CONN_FIN_QUEUED;
	conn_want_output(t, c);
}

void tcp_close(struct tcp *t, struct tcp_conn *c)
{
	if (c->state == TCP_SYN_SENT || c->state == TCP_SYN_RCVD || (c->flags & CONN_GONE)) {
		conn_drop(t, c);
		return;
	}
	if (t->orphans >= orphans_max(t)) {
		counter_add(&t->counters->tcp_orphans_full, 1);
		tcp_abort(t, c);
		return;
	}
	tcp_shutdown(t, c);
	c->flags |= CONN_ORPHAN;
	t->orphans++;
	c->user = NULL;
	c->news = 0;
	tcp_consume(t, c, tcp_readable(c));
	if (c->state == TCP_FIN_WAIT_2)
		c->life_due_ms = ms_from(t->now_ms, TCP_FIN_WAIT_2_MS);
	else
		c->life_due_ms = ms_from(t->now_ms, TCP_ORPHAN_MS);
	if (c->q)
		c->q->orphan_una = c->snd_una;
	conn_schedule(t, c);
}

void tcp_close_unheard(struct tcp *t, struct tcp_conn *c)
{
	/* With nothing to be said there is nothing to be sent again. */
	c->flags |= CONN_UNHEARD;
	tcp_close(t, c);
}

void tcp_abort(struct tcp *t, struct tcp_conn *c)
{
	if (!(c->flags & CONN_GONE) && c->state != TCP_SYN_SENT) {
		conn_reset(t, c);
		counter_add(&t->counters->tcp_aborts, 1);
	}
	conn_drop(t, c);
}

/* --- answers that belong to no connection --------------------------------------------------- */

bool reply(struct tcp *t, const struct flow *flow, const struct net_path *path,
	   const struct tcp_header *h)
{
	if (t->n_replies == TCP_REPLIES_MAX) {
		counter_add(&t->counters->tcp_replies_shed, 1);
		return false;
	}
	t->replies[t->n_replies++] = (struct tcp_reply){*flow, *path, *h};
	return true;
}

void conn_reset(struct tcp *t, const struct tcp_conn *c)
{
	struct flow flow;

	conn_flow(t, c, &flow);
	reply_reset(t, &flow, &c->path, c->snd_nxt, c->rcv_nxt, TCP_RST | TCP_ACK);
}

void reply_reset(struct tcp *t, const struct flow *flow, const struct net_path *path, uint32_t seq,
		 uint32_t ack, uint8_t flags)
{
	const struct tcp_header h = {.seq = seq, .ack = ack, .flags = flags};

	if (reply(t, flow, path, &h))
		counter_add(&t->counters->tcp_resets_out, 1);
}
