// SPDX-License-Identifier: BSD-3-Clause
/* One conversation of a client's. Thread, Time, Memory, Rules: talk.h. */
#include "talk.h"

#include <string.h>

enum {
	PAYLOAD_MAX = 1380, /* fits beside timestamps, and the options a mutation puts in */
	GAP_MAX = 60000,
	OLD_MAX = 3000,
	SYNS_MAX = 6,	   /* before it gives up */
	STEPS_MAX = 100,   /* of a conversation, before it is reset */
	LEAVING_MAX = 110, /* steps in all until nothing more is heard of it */
	SCALE = 4,
	OPTION_MSS = 2,
	OPTION_SCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_TS = 8,
	OPTION_NOP = 1,
};

static const uint8_t octets[PAYLOAD_MAX + 256] = {1, 2, 3, 5, 7, 11, 13, 17, 19, 23};

void talk_begin(struct talk *t, const struct segment_ends *ends, struct sim_random *random)
{
	uint64_t offers = sim_random(random);

	*t = (struct talk){
		.ends = *ends,
		.state = TALK_SYN_SENT,
		.seq = (uint32_t)sim_random(random),
		.has_ts = offers & 3,
		.has_scale = offers & 4,
		.has_sack = offers & 8,
		.ts = (uint32_t)sim_random(random),
	};
}

static void put_option(struct segment *s, const uint8_t *option, uint8_t len)
{
	memcpy(s->options + s->options_len, option, len);
	s->options_len = (uint8_t)(s->options_len + len);
}

static void put_timestamp(const struct talk *t, struct segment *s)
{
	uint8_t option[12] = {OPTION_NOP, OPTION_NOP, OPTION_TS, 10};

	store32(option + 4, t->ts);
	store32(option + 8, t->ts_echo);
	put_option(s, option, sizeof(option));
}

static void syn(const struct talk *t, struct segment *s)
{
	static const uint8_t mss[] = {OPTION_MSS, 4, 1440 >> 8, 1440 & 0xff};
	static const uint8_t scale[] = {OPTION_NOP, OPTION_SCALE, 3, SCALE};
	static const uint8_t sack[] = {OPTION_NOP, OPTION_NOP, OPTION_SACK_PERMITTED, 2};

	s->flags = SEGMENT_SYN;
	put_option(s, mss, sizeof(mss));
	if (t->has_scale)
		put_option(s, scale, sizeof(scale));
	if (t->has_sack)
		put_option(s, sack, sizeof(sack));
}

static void bytes(const struct talk *t, struct sim_random *random, struct segment *s)
{
	uint64_t kind = sim_random_below(random, 100);

	s->payload_len = (uint32_t)sim_random_magnitude(random, PAYLOAD_MAX);
	s->payload = octets + (t->seq & 0xff);
	s->flags |= SEGMENT_PSH;
	if (kind < 14)
		s->seq += (uint32_t)sim_random_magnitude(random, GAP_MAX);
	else if (kind < 24)
		s->seq -= (uint32_t)sim_random_magnitude(random, OLD_MAX);
}

static void open_step(struct talk *t, struct sim_random *random, struct segment *s)
{
	uint64_t kind = sim_random_below(random, 100);

	if (t->steps > STEPS_MAX || kind == 0)
		s->flags = SEGMENT_RST;
	else if (kind < 4)
		s->flags |= SEGMENT_FIN;
	else if (kind < 7)
		s->window = (uint16_t)sim_random_below(random, 3);
	else if (kind < 9)
		syn(t, s);
	else if (kind < 75)
		bytes(t, random, s);
}

void talk_step(struct talk *t, struct sim_random *random, struct segment *s)
{
	*s = (struct segment){
		.seq = t->seq,
		.ack = t->ack,
		.flags = SEGMENT_ACK,
		.window = 65535,
	};
	t->steps++;
	t->ts += (uint32_t)sim_random_below(random, 3);
	if (t->state == TALK_SYN_SENT) {
		s->ack = 0;
		syn(t, s);
		if (t->steps == SYNS_MAX)
			t->state = TALK_OVER;
	} else if (t->state == TALK_OPEN) {
		open_step(t, random, s);
	} else if (t->steps > LEAVING_MAX) {
		t->state = TALK_OVER;
	}
	if (t->has_ts)
		put_timestamp(t, s);
}

void talk_sent(struct talk *t, const struct segment *s)
{
	if (t->state != TALK_OPEN)
		return;
	if (s->flags & SEGMENT_RST)
		t->state = TALK_OVER;
	if (s->seq != t->seq)
		return;
	t->seq += s->payload_len + !!(s->flags & SEGMENT_FIN);
	if (s->flags & SEGMENT_FIN) {
		t->state = TALK_LEAVING;
		t->steps = STEPS_MAX;
	}
}

static void note_timestamp(struct talk *t, const struct segment *s)
{
	for (uint32_t at = 0; at + 1 < s->options_len;) {
		uint8_t kind = s->options[at], len = s->options[at + 1];

		if (kind == OPTION_NOP) {
			at++;
			continue;
		}
		if (kind == OPTION_TS && len == 10 && at + len <= s->options_len)
			t->ts_echo = load32(s->options + at + 2);
		if (len < 2)
			return;
		at += len;
	}
}

void talk_hear(struct talk *t, const struct segment *s)
{
	uint8_t kind = s->flags & (SEGMENT_SYN | SEGMENT_ACK | SEGMENT_RST);

	if (s->flags & SEGMENT_RST) {
		t->state = TALK_OVER;
		return;
	}
	note_timestamp(t, s);
	if (t->state == TALK_SYN_SENT) {
		if (kind != (SEGMENT_SYN | SEGMENT_ACK) || s->ack != t->seq + 1)
			return;
		t->state = TALK_OPEN;
		t->seq = s->ack;
		t->ack = s->seq + 1;
		return;
	}
	if (kind != SEGMENT_ACK)
		return;
	if (s->seq == t->ack)
		t->ack += s->payload_len + !!(s->flags & SEGMENT_FIN);
	/* Something spoilt was taken for ours. */
	if ((int32_t)(s->ack - t->seq) > 0)
		t->seq = s->ack;
}

void talk_end(struct talk *t, struct segment *s)
{
	*s = (struct segment){.seq = t->seq, .flags = SEGMENT_RST};
	t->state = TALK_OVER;
}
