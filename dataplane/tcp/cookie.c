/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SYN cookies: when too many handshakes are under way, what we agreed to is kept by the client,
 * in numbers only we can have made.
 *
 * Thread: the owning worker. Time: of the turn. Memory: none; that is the point.
 * Rules: RFC 4987 3.6. Our initial number is two bits of time, three of MSS and 27 of a keyed hash
 * of both, the flow and the client's initial number. Window scale and SACK have no place in it:
 * with timestamps they go into the low bits of ours, which the third ACK brings back; without, they
 * are not agreed to. A cookie is good for COOKIE_PERIODS periods, and only while, or shortly after,
 * any were made. Only a segment that begins with the client's first octet brings one back: where
 * that is lost, or overtaken by the next, the next is refused. A later one does not tell the
 * client's initial number, without which bytes have no place; left out of the hash, it would have
 * to be believed, and two connections of one flow within a period would have the same numbers (RFC
 * 6528 1); tried out, each try is one more guess for an attacker, and a first line may be of any
 * length. Who waits for a greeting sends nothing before it.
 */
#include <string.h>

#include "tcp/conn.h"

enum {
	COOKIE_PERIOD_US = 16 * 1000 * 1000,
	COOKIE_PERIODS = 4, /* two bits of time */
	COOKIE_TIME_SHIFT = 30,
	COOKIE_MSS_SHIFT = 27,
	COOKIE_MSS_MASK = 7,
	COOKIE_HASH_MASK = (1 << COOKIE_MSS_SHIFT) - 1,

	/* The low bits of a timestamp. */
	STAMP_BITS = 6,
	STAMP_MASK = (1 << STAMP_BITS) - 1,
	STAMP_WSCALE_MASK = 15,
	STAMP_NO_WSCALE = 15,
	STAMP_SACK = 1 << 4,
};

/* An MSS is rounded down to one of these. */
static const uint16_t mss_steps[COOKIE_MSS_MASK + 1] = {
	TCP_MSS_MIN, 536, 940, 1220, 1340, 1400, 1440, 1460,
};

struct cookie_input {
	struct flow flow;
	uint32_t their_isn;
	uint32_t period;
	uint32_t mss_step;
};

static_assert(sizeof(struct cookie_input) == sizeof(struct flow) + 12, "hashed as octets");

static uint32_t hash(const struct tcp *t, const struct flow *flow, uint32_t their_isn,
		     uint32_t period, uint32_t mss_step)
{
	const struct cookie_input in = {*flow, their_isn, period, mss_step};

	return (uint32_t)siphash24(&t->config.cookie_key, &in, sizeof(in)) & COOKIE_HASH_MASK;
}

static uint32_t period_now(const struct tcp *t)
{
	return (uint32_t)(t->now_us / COOKIE_PERIOD_US);
}

static uint32_t step_of(uint16_t mss)
{
	uint32_t step = COOKIE_MSS_MASK;

	while (step > 0 && mss_steps[step] > mss)
		step--;
	return step;
}

/* A timestamp not later than now that carries what the number cannot. */
static uint32_t stamp(uint32_t now, const struct tcp_header *syn)
{
	uint32_t bits = syn->has_wscale ? syn->wscale : STAMP_NO_WSCALE;
	uint32_t value;

	if (syn->sack_permitted)
		bits |= STAMP_SACK;
	value = (now & ~(uint32_t)STAMP_MASK) | bits;
	return seq_lt(now, value) ? value - (1 << STAMP_BITS) : value;
}

bool cookie_is_due(const struct tcp *t)
{
	return t->handshakes >= t->config.handshakes || t->conns.in_use == t->conns.capacity;
}

void cookie_answer(struct tcp *t, const struct flow *flow, const struct net_path *path,
		   const struct tcp_header *syn)
{
	bool v4 = ip_addr_is_v4(&flow->remote);
	uint16_t offered = v4 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
	uint32_t step = step_of(syn->has_mss ? syn->mss : offered), period = period_now(t);
	struct tcp_header h = {
		.seq = period << COOKIE_TIME_SHIFT | step << COOKIE_MSS_SHIFT |
		       hash(t, flow, syn->seq, period, step),
		.ack = syn->seq + 1,
		.flags = TCP_SYN | TCP_ACK,
		.window = conn_syn_window(t),
		.has_mss = true,
		.mss = interface_mss(t, path->port, &flow->remote),
	};

	if (syn->has_ts) {
		h.has_ts = true;
		h.ts_value = stamp(t->now_ms + flow_ts_offset(t, flow), syn);
		h.ts_echo = syn->ts_value;
		h.has_wscale = syn->has_wscale;
		h.wscale = t->rcv_wscale;
		h.sack_permitted = syn->sack_permitted && !(t->config.without & TCP_WITHOUT_SACK);
	}
	t->cookies_until_us = t->now_us + (uint64_t)COOKIE_PERIODS * COOKIE_PERIOD_US;
	if (reply(t, flow, path, &h))
		counter_add(&t->counters->tcp_cookies_sent, 1);
}

bool cookie_check(struct tcp *t, const struct flow *flow, const struct tcp_header *ack,
		  struct tcp_header *syn)
{
	uint32_t cookie = ack->ack - 1, their_isn = ack->seq - 1;
	uint32_t step = cookie >> COOKIE_MSS_SHIFT & COOKIE_MSS_MASK;
	uint32_t now = period_now(t);
	uint32_t age = (now - (cookie >> COOKIE_TIME_SHIFT)) & (COOKIE_PERIODS - 1);

	if (age > now || (cookie & COOKIE_HASH_MASK) != hash(t, flow, their_isn, now - age, step)) {
		counter_add(&t->counters->tcp_cookies_bad, 1);
		return false;
	}
	counter_add(&t->counters->tcp_cookies_good, 1);
	*syn = (struct tcp_header){
		.seq = their_isn,
		.window = ack->window,
		.has_mss = true,
		.mss = mss_steps[step],
	};
	if (ack->has_ts) {
		uint32_t bits = ack->ts_echo & STAMP_MASK;

		syn->has_ts = true;
		syn->ts_value = ack->ts_value;
		syn->sack_permitted = bits & STAMP_SACK;
		syn->wscale = (uint8_t)(bits & STAMP_WSCALE_MASK);
		syn->has_wscale = syn->wscale != STAMP_NO_WSCALE;
	}
	return true;
}

bool cookie_is_stamped(const struct tcp *t, const struct tcp_conn *c, const struct tcp_header *ack)
{
	uint32_t age_ms = t->now_ms + c->ts_offset - ack->ts_echo;

	return ack->has_ts &&
	       age_ms < COOKIE_PERIODS * (COOKIE_PERIOD_US / 1000) + (1 << STAMP_BITS);
}
