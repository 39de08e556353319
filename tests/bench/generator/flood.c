/* SPDX-License-Identifier: BSD-3-Clause */
/* The flood. Thread, Time, Memory, Rules: flood.h. */
#include <string.h>

#include "flood.h"

enum {
	BURST = 32,
	TURN_MAX = 2 * BURST, /* SYNs given in one turn */
	DEBT_MAX = 1024,      /* SYNs that may be behind the clock; older ones are never made */
	SECOND_US = 1000 * 1000,
	WINDOW_AFTER = 10, /* this part of the flood's time */
	REPEAT_US = SECOND_US / 2,
	TRIES_MAX = 3,
	ACK_TIME = 2, /* the timestamp behind the SYN's */
	WINDOW = 65535,
};

bool flood_init(struct flood *f, const struct flood_config *config, struct host *host)
{
	struct rte_mbuf *m;

	*f = (struct flood){
		.config = *config,
		.host = host,
		.random = {config->seed},
		.until_sample = config->complete_each,
		.window_us = config->begin_us + (config->end_us - config->begin_us) / WINDOW_AFTER,
		.ended = config->rate == 0,
	};
	if (f->ended)
		return true;
	m = rte_pktmbuf_alloc(host_pool(host));
	if (!m)
		return false;
	forge_init(&f->forge, &config->forge, m);
	rte_pktmbuf_free(m);
	return true;
}

static void counts_now(const struct flood *f, struct flood_counts *counts)
{
	*counts = f->counts;
	counts->frames_lost = f->host->counters.port_tx_full;
}

/* --- what is said ----------------------------------------------------------------------------- */

static void say(struct flood *f, const struct stranger *who, const struct tcp_header *h)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(host_pool(f->host));

	/* Without a buffer it is as lost as on a wire. */
	if (!m)
		return;
	forge_segment(&f->forge, who, h, m);
	host_send_take(f->host, &m, 1);
}

static void say_ack(struct flood *f, struct sample *s, uint64_t now_us)
{
	const struct tcp_header h = {
		.seq = forge_isn(&f->forge, &s->who) + 1,
		.ack = s->isn + 1,
		.flags = TCP_ACK,
		.window = WINDOW,
		.has_ts = true,
		.ts_value = ACK_TIME,
		.ts_echo = s->ts_echo,
	};

	s->tries++;
	s->due_us = now_us + REPEAT_US;
	say(f, &s->who, &h);
}

static void say_reset(struct flood *f, const struct stranger *who)
{
	const struct tcp_header h = {
		.seq = forge_isn(&f->forge, who) + 1,
		.flags = TCP_RST,
	};

	say(f, who, &h);
}

/* --- samples ---------------------------------------------------------------------------------- */

static struct sample *sample_slot(struct flood *f, const struct stranger *who)
{
	return &f->samples[forge_isn(&f->forge, who) % FLOOD_SAMPLES];
}

/* NULL: it waits for nothing. */
static struct sample *sample_find(struct flood *f, const struct stranger *who)
{
	struct sample *s = sample_slot(f, who);

	return s->tries && s->who.host == who->host && s->who.port == who->port ? s : NULL;
}

static void sample_take(struct flood *f, const struct answer *a, uint64_t now_us)
{
	struct sample *s = sample_slot(f, &a->to);

	if (s->tries)
		return; /* another waits there: the next one will do as well */
	*s = (struct sample){.who = a->to, .isn = a->header.seq, .ts_echo = a->header.ts_value};
	f->until_sample = f->config.complete_each;
	f->waiting++;
	f->counts.completed++;
	say_ack(f, s, now_us);
}

static void sample_end(struct flood *f, struct sample *s)
{
	s->tries = 0;
	f->waiting--;
}

/* One of them a turn: there are more turns than samples in any time that matters. */
static void sample_tick(struct flood *f, uint64_t now_us)
{
	struct sample *s = &f->samples[f->look_at++ % FLOOD_SAMPLES];

	if (!s->tries || s->due_us > now_us)
		return;
	if (s->tries < TRIES_MAX) {
		say_ack(f, s, now_us);
		return;
	}
	f->counts.ungreeted++;
	sample_end(f, s);
}

/* --- what is heard ---------------------------------------------------------------------------- */

static void hear_syn_ack(struct flood *f, const struct answer *a, uint64_t now_us)
{
	struct sample *s = sample_find(f, &a->to);

	if (a->len || !a->header.has_ts || a->header.ack != forge_isn(&f->forge, &a->to) + 1) {
		f->counts.wrong++;
		return;
	}
	f->counts.syn_acks++;
	if (s)
		say_ack(f, s, now_us); /* it came again: the third ACK has not arrived yet */
	else if (f->config.complete_each && !f->ended && --f->until_sample == 0) {
		f->until_sample = 1;
		sample_take(f, a, now_us);
	}
}

static bool is_greeting(const struct flood *f, const struct answer *a)
{
	const struct step *greeting = f->config.greeting;

	return greeting && a->header.ack == forge_isn(&f->forge, &a->to) + 1 &&
	       a->len == greeting->len && memcmp(a->payload, greeting->octets, a->len) == 0;
}

static void hear_bytes(struct flood *f, const struct answer *a)
{
	struct sample *s = sample_find(f, &a->to);

	if (!is_greeting(f, a) || (s && a->header.seq != s->isn + 1))
		f->counts.wrong++;
	else if (s)
		f->counts.greeted++;
	if (s)
		sample_end(f, s);
	/* What comes again was sent before our reset arrived. */
	say_reset(f, &a->to);
}

static void hear(struct flood *f, const struct answer *a, uint64_t now_us)
{
	const uint8_t flags = a->header.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN);
	struct sample *s;

	if (flags == (TCP_SYN | TCP_ACK)) {
		hear_syn_ack(f, a, now_us);
	} else if (flags == TCP_ACK && a->len) {
		hear_bytes(f, a);
	} else if (flags != TCP_ACK) {
		f->counts.wrong++;
		s = sample_find(f, &a->to);
		if (s) {
			f->counts.ungreeted++;
			sample_end(f, s);
		}
	}
}

bool flood_input_take(struct flood *f, struct rte_mbuf *m, uint64_t now_us)
{
	struct answer a;

	if (f->config.rate == 0 || !forge_is_for_stranger(&f->forge, m))
		return false;
	if (forge_read(&f->forge, m, &a))
		hear(f, &a, now_us);
	else
		f->counts.wrong++;
	rte_pktmbuf_free(m);
	return true;
}

/* --- SYNs ------------------------------------------------------------------------------------- */

static uint64_t syns_due(struct flood *f, uint64_t now_us)
{
	uint64_t due;

	/* What the link takes: more would only be thrown away here. */
	if (f->config.rate == FLOOD_UNLIMITED)
		return host_waiting(f->host) < BURST ? BURST : 0;
	due = (now_us - f->config.begin_us) * f->config.rate / SECOND_US - f->accounted;
	if (due > DEBT_MAX) {
		f->accounted += due - DEBT_MAX;
		due = DEBT_MAX;
	}
	return RTE_MIN(due, (uint64_t)TURN_MAX);
}

/* False: there are no buffers. */
static bool syns_give(struct flood *f, uint16_t n)
{
	struct rte_mbuf *frames[BURST];

	if (rte_pktmbuf_alloc_bulk(host_pool(f->host), frames, n) != 0)
		return false;
	for (uint16_t i = 0; i < n; i++) {
		uint64_t host = sim_random(&f->random), port = sim_random(&f->random);
		struct stranger s = forge_stranger(&f->forge, host, (uint16_t)port);

		forge_syn(&f->forge, &s, frames[i]);
	}
	host_send_take(f->host, frames, n);
	f->counts.syns += n;
	f->accounted += n;
	return true;
}

void flood_stop(struct flood *f, uint64_t now_us)
{
	if (f->ended)
		return;
	f->ended = true;
	f->config.end_us = now_us;
	if (!f->in_window)
		f->window_us = now_us;
	counts_now(f, &f->at_end);
}

static void window_look(struct flood *f, uint64_t now_us)
{
	if (!f->in_window && now_us >= f->window_us) {
		f->in_window = true;
		f->window_us = now_us;
		counts_now(f, &f->at_window);
	}
	if (now_us >= f->config.end_us)
		flood_stop(f, now_us);
}

uint32_t flood_turn(struct flood *f, uint64_t now_us)
{
	uint64_t due, given = 0;

	if (f->waiting)
		sample_tick(f, now_us);
	if (!f->ended)
		window_look(f, now_us);
	if (f->ended)
		return 0;
	due = syns_due(f, now_us);
	while (given < due) {
		uint64_t n = RTE_MIN(due - given, (uint64_t)BURST);

		if (!syns_give(f, (uint16_t)n))
			break;
		given += n;
	}
	return (uint32_t)given;
}

bool flood_over(const struct flood *f)
{
	return f->ended && f->waiting == 0;
}

double flood_window(const struct flood *f, struct flood_counts *counts)
{
	*counts = (struct flood_counts){.syns = 0};
	if (f->window_us == f->config.end_us)
		return 0;
	*counts = (struct flood_counts){
		.syns = f->at_end.syns - f->at_window.syns,
		.frames_lost = f->at_end.frames_lost - f->at_window.frames_lost,
		.syn_acks = f->at_end.syn_acks - f->at_window.syn_acks,
	};
	return (double)(f->config.end_us - f->window_us) / SECOND_US;
}
