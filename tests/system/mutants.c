// SPDX-License-Identifier: BSD-3-Clause
/*
 * mutants: segments of good conversations, most of them spoilt: bits flipped, ends cut, flags,
 * options and numbers shuffled, headers put in, and a checksum that is right all the same, mostly.
 *
 * Thread: one. Time: CLOCK_MONOTONIC, for its report and for the end. Memory: the conversations.
 * Rules: what is not spoilt keeps the conversations going, hundreds at a time, so that the spoilt
 * meets every state. One seed says everything but when answers come. At the end it resets what it
 * knows to be open, and what it hears of, and prints a line of JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cable.h"
#include "common/arguments.h"
#include "talk.h"

enum {
	TALKS = 512, /* at a time, every second of IPv6 */
	PORTS_MAX = 8,
	FIRST_PORT = 1024,
	GENERATIONS = (65536 - FIRST_PORT) / TALKS, /* until a port comes again */
	SPOILT_PERCENT = 70,
	WRONG_CHECKSUM_PERCENT = 15,
	CHANGES_MAX = 3,
	BITS_MAX = 8,
	EXTENSION_MAX = 5, /* units of 8 octets */
	QUIET_MS = 300,
	REAP_MS = 5000,
};

enum mutation {
	MUTATION_NONE,
	MUTATION_BITS,
	MUTATION_CUT,
	MUTATION_FLAGS,
	MUTATION_OPTIONS,
	MUTATION_NUMBERS,
	MUTATION_HEADERS,
	MUTATION_CHECKSUM,
	MUTATIONS,
};

static const char *const mutation_names[MUTATIONS] = {
	[MUTATION_NONE] = "untouched",	[MUTATION_BITS] = "bits",
	[MUTATION_CUT] = "cut",		[MUTATION_FLAGS] = "flags",
	[MUTATION_OPTIONS] = "options", [MUTATION_NUMBERS] = "numbers",
	[MUTATION_HEADERS] = "headers", [MUTATION_CHECKSUM] = "wrong_checksum",
};

struct mutants {
	const char *device;
	struct segment_ends ends[2]; /* by version; from: a host part of 0 */
	uint16_t ports[PORTS_MAX];
	uint32_t n_ports;
	uint64_t count, seed; /* count: of the spoilt */
	struct sim_random random;
	struct talk talks[TALKS];
	uint32_t generations[TALKS];
	uint64_t frames[2], spoilt[2];
	uint64_t mutations[2][MUTATIONS];
	uint64_t heard, opened;
	struct cable cable;
};

static uint64_t below(struct mutants *m, uint64_t n)
{
	return sim_random_below(&m->random, n);
}

static bool percent(struct mutants *m, uint32_t n)
{
	return below(m, 100) < n;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- mutations ------------------------------------------------------------------------------ */

/* Of TCP's header mostly: further up the kernel gets the frame, further down nobody cares. */
static void flip_bits(struct mutants *m, struct frame *f)
{
	uint64_t bits = 1 + below(m, BITS_MAX);

	for (uint64_t i = 0; i < bits; i++) {
		uint32_t first = SEGMENT_IP_AT, end = f->len;
		uint64_t where = below(m, 100);

		if (where < 60 && f->len > f->tcp_at) {
			first = f->tcp_at;
			if (f->len > first + SEGMENT_TCP)
				end = first + SEGMENT_TCP;
		} else if (where < 80 && f->len > f->tcp_at) {
			end = f->tcp_at;
		}
		if (end > first)
			f->octets[first + below(m, end - first)] ^= (uint8_t)(1 << below(m, 8));
	}
}

static void cut(struct mutants *m, struct frame *f)
{
	if (f->len <= SEGMENT_IP_AT)
		return;
	f->len = SEGMENT_IP_AT + (uint32_t)below(m, f->len - SEGMENT_IP_AT);
	if (percent(m, 70))
		frame_set_length(f);
}

static void shuffle_flags(struct mutants *m, struct frame *f)
{
	if (f->len >= f->tcp_at + SEGMENT_TCP)
		f->octets[f->tcp_at + 13] = (uint8_t)sim_random(&m->random);
}

/* Another length of header, and options of likely kinds and unlikely lengths in it, which may reach
 * into the payload or beyond the segment. */
static void shuffle_options(struct mutants *m, struct frame *f)
{
	static const uint8_t kinds[] = {0, 1, 2, 3, 4, 5, 8, 8, 5, 2, 253, 30};
	uint32_t at = f->tcp_at + SEGMENT_TCP, end;

	if (f->len < at)
		return;
	f->octets[f->tcp_at + 12] = (uint8_t)(below(m, 16) << 4);
	end = f->tcp_at + (f->octets[f->tcp_at + 12] >> 4) * 4u;
	if (percent(m, 90) && f->len < end) {
		f->len = end;
		frame_set_length(f);
	}
	if (end > f->len)
		end = f->len;
	while (at + 1 < end) {
		uint8_t kind = kinds[below(m, sizeof(kinds))];
		uint8_t len = (uint8_t)(percent(m, 80) ? 2 + below(m, 12) : below(m, 256));

		f->octets[at++] = kind;
		if (kind == 1)
			continue;
		f->octets[at++] = len;
		for (; len > 2 && at < end; len--)
			f->octets[at++] = (uint8_t)sim_random(&m->random);
	}
}

static uint32_t odd_number(struct mutants *m, uint32_t number)
{
	switch (below(m, 6)) {
	case 0:
		return number + (uint32_t)below(m, 7) - 3;
	case 1:
		return number + 65535 + (uint32_t)below(m, 7) - 3;
	case 2:
		return number + (256u << 10) + (uint32_t)below(m, 7) - 3;
	case 3:
		return number + (1u << 31) + (uint32_t)below(m, 7) - 3;
	case 4:
		return number - (uint32_t)sim_random_magnitude(&m->random, 1 << 20);
	default:
		return (uint32_t)sim_random(&m->random);
	}
}

/* Sequence or acknowledgement number, window, urgent pointer, or a timestamp. */
static void shuffle_numbers(struct mutants *m, struct frame *f)
{
	static const uint8_t at[] = {4, 4, 8, 8, 24, 28};
	uint8_t *tcp = f->octets + f->tcp_at;
	uint64_t which = below(m, sizeof(at) + 2);

	if (f->len < f->tcp_at + SEGMENT_TCP)
		return;
	if (which >= sizeof(at))
		store16(tcp + (which == sizeof(at) ? 14 : 18), (uint32_t)below(m, 65536));
	else if (f->len >= f->tcp_at + at[which] + 4u)
		store32(tcp + at[which], odd_number(m, load32(tcp + at[which])));
}

/* Room for len octets before TCP. False: the frame would be too long. */
static bool make_room(struct frame *f, uint32_t len)
{
	if (f->len + len > CABLE_FRAME_MAX || f->len < f->tcp_at)
		return false;
	memmove(f->octets + f->tcp_at + len, f->octets + f->tcp_at, f->len - f->tcp_at);
	f->len += len;
	f->tcp_at += len;
	return true;
}

static void put_ip4_options(struct mutants *m, struct frame *f)
{
	static const uint8_t kinds[] = {0, 1, 7, 68, 131, 137, 148};
	uint32_t at = f->tcp_at, len = 4 * (1 + (uint32_t)below(m, 10));
	uint8_t words = f->octets[SEGMENT_IP_AT] & 0x0f;

	if (words + len / 4 > 15 || !make_room(f, len))
		return;
	f->octets[SEGMENT_IP_AT] = (uint8_t)(4 << 4 | (words + len / 4));
	for (uint32_t i = 0; i < len; i++)
		f->octets[at + i] =
			percent(m, 50) ? kinds[below(m, sizeof(kinds))] : (uint8_t)below(m, 256);
	if (percent(m, 60))
		memset(f->octets + at, 1, len);
	frame_set_length(f);
}

static void put_ip6_extension(struct mutants *m, struct frame *f)
{
	static const uint8_t kinds[] = {0, 60, 60, 60, 43, 44, 51, 135};
	uint32_t at = SEGMENT_IP_AT + SEGMENT_IP6,
		 len = 8 * (1 + (uint32_t)below(m, EXTENSION_MAX));
	uint32_t tcp_at = f->tcp_at;
	uint8_t *next = f->octets + SEGMENT_IP_AT + 6, *extension = f->octets + at;

	/* Behind the IPv6 header, whatever has been put there before. */
	f->tcp_at = at;
	if (!make_room(f, len)) {
		f->tcp_at = tcp_at;
		return;
	}
	f->tcp_at = tcp_at + len;
	memset(extension, 0, len);
	extension[0] = *next;
	*next = kinds[below(m, sizeof(kinds))];
	extension[1] = (uint8_t)(percent(m, 85) ? len / 8 - 1 : below(m, 256));
	if (percent(m, 60)) {
		extension[2] = 1; /* PadN */
		extension[3] = (uint8_t)(len - 4);
	} else {
		for (uint32_t i = 2; i < len; i++)
			extension[i] = (uint8_t)sim_random(&m->random);
	}
	frame_set_length(f);
}

static void put_headers(struct mutants *m, struct frame *f)
{
	if (f->v6)
		put_ip6_extension(m, f);
	else
		put_ip4_options(m, f);
}

static void (*const change[MUTATIONS])(struct mutants *, struct frame *) = {
	[MUTATION_BITS] = flip_bits,	      [MUTATION_CUT] = cut,
	[MUTATION_FLAGS] = shuffle_flags,     [MUTATION_OPTIONS] = shuffle_options,
	[MUTATION_NUMBERS] = shuffle_numbers, [MUTATION_HEADERS] = put_headers,
};

/* Its checksums are made over what it has become, or wrong. */
static void mutate(struct mutants *m, struct frame *f)
{
	uint64_t changes = 1 + below(m, CHANGES_MAX);

	for (uint64_t i = 0; i < changes; i++) {
		uint64_t which = 1 + below(m, MUTATION_CHECKSUM - 1);

		change[which](m, f);
		m->mutations[f->v6][which]++;
	}
	frame_set_checksums(f);
	if (!percent(m, WRONG_CHECKSUM_PERCENT) || f->len < f->tcp_at + SEGMENT_TCP)
		return;
	f->octets[f->tcp_at + 16] ^= (uint8_t)(1 + below(m, 255));
	m->mutations[f->v6][MUTATION_CHECKSUM]++;
}

/* --- conversations -------------------------------------------------------------------------- */

/* Its ports and addresses tell whose an answer is, and come again only after some 6 million. */
static void begin(struct mutants *m, uint32_t i)
{
	struct segment_ends ends = m->ends[i % 2];
	uint32_t generation = m->generations[i]++;

	ends.from_port = (uint16_t)(FIRST_PORT + i + TALKS * (generation % GENERATIONS));
	ends.from[ends.v6 ? 15 : 3] = (uint8_t)(1 + generation / GENERATIONS % 100);
	ends.to_port = m->ports[below(m, m->n_ports)];
	talk_begin(&m->talks[i], &ends, &m->random);
}

static struct talk *talk_of(struct mutants *m, const struct segment_ends *ends)
{
	struct talk *t = &m->talks[(uint32_t)(ends->to_port - FIRST_PORT) % TALKS];
	uint32_t len = ends->v6 ? 16 : 4;

	if (ends->to_port < FIRST_PORT || t->ends.v6 != ends->v6 ||
	    t->ends.from_port != ends->to_port || t->ends.to_port != ends->from_port ||
	    memcmp(t->ends.from, ends->to, len) != 0)
		return NULL;
	return t;
}

/* Whoever speaks to an end of ours is told that there is nothing. */
static void answer_by_reset(struct mutants *m, const struct segment_ends *ends,
			    const struct segment *s)
{
	struct frame f = {.octets = cable_next(&m->cable)};
	struct segment rst = {.seq = s->ack, .flags = SEGMENT_RST};
	struct segment_ends back = *ends;

	if ((s->flags & SEGMENT_RST) || !(s->flags & SEGMENT_ACK))
		return;
	memcpy(back.from, ends->to, 16);
	memcpy(back.to, ends->from, 16);
	memcpy(back.from_mac, ends->to_mac, 6);
	memcpy(back.to_mac, ends->from_mac, 6);
	back.from_port = ends->to_port;
	back.to_port = ends->from_port;
	segment_write(&f, &back, &rst);
	cable_put(&m->cable, f.len);
}

/* Takes in what has come; how many frames. */
static uint32_t hear(struct mutants *m, uint64_t wait_us, bool reaping)
{
	uint32_t n = cable_receive(&m->cable, wait_us);

	for (uint32_t i = 0; i < n; i++) {
		struct segment_ends ends = {0};
		struct segment s;
		struct talk *t;
		bool opens;

		if (!segment_read(m->cable.in_octets[i], m->cable.in[i].msg_len, &ends, &s))
			continue;
		m->heard++;
		if (reaping) {
			answer_by_reset(m, &ends, &s);
			continue;
		}
		t = talk_of(m, &ends);
		if (!t)
			continue;
		opens = t->state == TALK_SYN_SENT;
		talk_hear(t, &s);
		m->opened += opens && t->state == TALK_OPEN;
	}
	return n;
}

static void send_one(struct mutants *m, uint32_t i)
{
	struct frame f = {.octets = cable_next(&m->cable)};
	struct talk *t = &m->talks[i];
	struct segment s;

	if (t->state == TALK_OVER)
		begin(m, i);
	talk_step(t, &m->random, &s);
	segment_write(&f, &t->ends, &s);
	m->frames[f.v6]++;
	if (percent(m, SPOILT_PERCENT)) {
		mutate(m, &f);
		m->spoilt[f.v6]++;
	} else {
		m->mutations[f.v6][MUTATION_NONE]++;
		talk_sent(t, &s);
	}
	cable_put(&m->cable, f.len < SEGMENT_IP_AT + 1 ? SEGMENT_IP_AT + 1 : f.len);
}

/* Every connection we may have opened is reset: those we know, and, when it says something more,
 * what a spoilt segment made. */
static void reap(struct mutants *m)
{
	uint64_t until = now_ms() + REAP_MS;

	for (uint32_t i = 0; i < TALKS; i++) {
		struct frame f = {.octets = cable_next(&m->cable)};
		struct segment s;

		if (m->talks[i].state == TALK_OVER)
			continue;
		talk_end(&m->talks[i], &s);
		segment_write(&f, &m->talks[i].ends, &s);
		cable_put(&m->cable, f.len);
	}
	cable_flush(&m->cable);
	while (now_ms() < until && hear(m, QUIET_MS * 1000, true))
		cable_flush(&m->cable);
}

static void run(struct mutants *m)
{
	for (uint64_t n = 0; m->spoilt[0] + m->spoilt[1] < m->count; n++) {
		send_one(m, (uint32_t)(n % TALKS));
		if (m->cable.n == 0)
			while (hear(m, 0, false) == CABLE_BURST)
				;
	}
	cable_flush(&m->cable);
}

static void report(const struct mutants *m, uint64_t ms)
{
	printf("{\"seed\": %lu, \"sent\": %lu, \"refused\": %lu, \"heard\": %lu, \"opened\": %lu, "
	       "\"seconds\": %.3f, \"mutations\": {",
	       m->seed, m->cable.sent, m->cable.refused, m->heard, m->opened, (double)ms / 1000);
	for (int v6 = 0; v6 < 2; v6++) {
		printf("%s\"%s\": {\"frames\": %lu, \"spoilt\": %lu", v6 ? ", " : "",
		       v6 ? "ipv6" : "ipv4", m->frames[v6], m->spoilt[v6]);
		for (int i = 0; i < MUTATIONS; i++)
			printf(", \"%s\": %lu", mutation_names[i], m->mutations[v6][i]);
		printf("}");
	}
	puts("}}");
}

/* --- the command line ----------------------------------------------------------------------- */

/* An address of ours, or of who is tried; the version tells of which conversations. */
static bool read_address(struct mutants *m, const char *text, bool ours)
{
	struct ip_addr address;
	struct segment_ends *ends;
	uint32_t at;

	if (!argument_address(text, strlen(text), &address))
		return false;
	at = ip_addr_is_v4(&address) ? 12 : 0;
	ends = &m->ends[at == 0];
	memcpy(ours ? ends->from : ends->to, address.octets + at, 16 - at);
	return true;
}

static bool read_macs(struct mutants *m, const char *text, bool ours)
{
	uint8_t mac[6];

	if (!argument_mac(text, mac))
		return false;
	for (int v6 = 0; v6 < 2; v6++)
		memcpy(ours ? m->ends[v6].from_mac : m->ends[v6].to_mac, mac, sizeof(mac));
	return true;
}

static bool read_port(struct mutants *m, const char *text)
{
	uint64_t port;

	if (m->n_ports == PORTS_MAX || !argument_number(text, 1, UINT16_MAX, &port))
		return false;
	m->ports[m->n_ports++] = (uint16_t)port;
	return true;
}

static bool parse(struct mutants *m, int argc, char **argv)
{
	static const struct option options[] = {
		{"to", required_argument, NULL, 't'},
		{"from", required_argument, NULL, 'a'},
		{"from-mac", required_argument, NULL, 'f'},
		{"to-mac", required_argument, NULL, 'm'},
		{"port", required_argument, NULL, 'p'},
		{"count", required_argument, NULL, 'c'},
		{"seed", required_argument, NULL, 's'},
		{0},
	};
	bool good = true;
	int o;

	while (good && (o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 't' || o == 'a')
			good = read_address(m, optarg, o == 'a');
		else if (o == 'f' || o == 'm')
			good = read_macs(m, optarg, o == 'f');
		else if (o == 'p')
			good = read_port(m, optarg);
		else if (o == 'c')
			good = argument_number(optarg, 1, UINT64_MAX, &m->count);
		else if (o == 's')
			good = argument_number(optarg, 0, UINT64_MAX, &m->seed);
		else
			good = false;
	}
	m->random.state = m->seed;
	m->ends[1].v6 = true;
	m->device = argv[optind];
	return good && argc - optind == 1 && m->n_ports > 0;
}

int main(int argc, char **argv)
{
	struct mutants *m = calloc(1, sizeof(*m));
	uint64_t began;

	if (!m)
		return 1;
	if (!parse(m, argc, argv)) {
		fputs("mutants DEVICE --from-mac MAC --to-mac MAC --from ADDRESS --to ADDRESS --port N\n"
		      "        [more of the last three] --count N --seed N\n"
		      "    of either version one FROM, whose last octet is ours to choose, and one TO\n",
		      stderr);
		free(m);
		return 2;
	}
	if (!cable_open(&m->cable, m->device, true)) {
		fprintf(stderr, "mutants: %s: %s\n", m->device, strerror(errno));
		free(m);
		return 1;
	}
	began = now_ms();
	run(m);
	reap(m);
	report(m, now_ms() - began);
	cable_close(&m->cable);
	free(m);
	return 0;
}
