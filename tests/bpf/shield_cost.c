/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a verdict of the shield costs: the program alone, by BPF_PROG_TEST_RUN, the medians of some
 * runs. The parse and the map lookups are in it, the driver's part of a packet is not.
 *
 * Thread: one. Time: the kernel's own measurement. Memory: the kernel's. Rules: needs root.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "fixture.h"
#include "frame.h"

#define OURS4	  "192.0.2.1"
#define OURS6	  "2001:db8::1"
#define STRANGER4 "203.0.113.5"
#define STRANGER6 "2001:db8:bad:1122::5"
#define BACKEND4  "198.51.100.10"

enum {
	RUNS = 9,
	REPEAT = 200000,
	MANY = 100000,
};

static const struct frame_spec smtp4 = {.from = STRANGER4, .to = OURS4, .to_port = 25};
static const struct frame_spec smtp6 = {.from = STRANGER6, .to = OURS6, .to_port = 25};
static const struct frame_spec ssh4 = {.from = STRANGER4, .to = OURS4, .to_port = 22};
static const struct frame_spec udp4 = {.from = STRANGER4, .to = OURS4, .protocol = 17};
static const struct frame_spec backend4 = {
	.from = BACKEND4, .to = OURS4, .from_port = 25, .to_port = 20000};

static struct fixture fix;

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void need(int err)
{
	if (err) {
		fprintf(stderr, "%s\n", fix.error);
		exit(EXIT_FAILURE);
	}
}

static void measure(const char *what, const struct frame_spec *spec, int action)
{
	uint32_t ns[RUNS];
	struct frame f;

	frame_build(&f, spec);
	for (int i = 0; i < RUNS; i++) {
		if (program_run(fix.program, f.data, f.len, REPEAT, &ns[i]) != action) {
			fprintf(stderr, "%s: another verdict than %d\n", what, action);
			exit(EXIT_FAILURE);
		}
	}
	qsort(ns, RUNS, sizeof(*ns), ascending);
	printf("%-52s %4u ns\n", what, ns[RUNS / 2]);
}

static void flag(const char *text, unsigned len)
{
	const struct ip_addr a = address_of(text);

	need(shield_flag(fix.shield, &a, len, UINT64_MAX, fix.error, ERROR_LEN));
}

static void flag_many(void)
{
	struct ip_addr a = address_of("10.0.0.0");

	for (uint32_t i = 0; i < MANY; i++) {
		a.octets[13] = (uint8_t)(i >> 16);
		a.octets[14] = (uint8_t)(i >> 8);
		a.octets[15] = (uint8_t)i;
		need(shield_flag(fix.shield, &a, 128, UINT64_MAX, fix.error, ERROR_LEN));
	}
}

static void set_up(void)
{
	const struct ip_endpoint services[] = {{address_of(OURS4), 25}, {address_of(OURS6), 25}};
	const struct ip_endpoint backends[] = {{address_of(BACKEND4), 25}};
	const uint32_t queue = 0;

	fixture_enter_namespaces();
	fixture_open(&fix);
	need(shield_set_services(fix.shield, services, 2, fix.error, ERROR_LEN));
	need(shield_set_backends(fix.shield, backends, 1, fix.error, ERROR_LEN));
	shield_set_backend_ports(fix.shield, 20000, 20999);
	if (bpf_map_update_elem(fix.xsks, &queue, &fix.socket, BPF_ANY) < 0)
		exit(EXIT_FAILURE);
}

int main(void)
{
	const struct ip_addr spared = address_of(STRANGER4);

	set_up();
	measure("UDP, passed", &udp4, XDP_PASS);
	measure("TCP to ssh, passed", &ssh4, XDP_PASS);
	measure("from a backend, redirected", &backend4, XDP_REDIRECT);
	measure("SMTP, nobody flagged, redirected", &smtp4, XDP_REDIRECT);
	measure("SMTP over IPv6, nobody flagged, redirected", &smtp6, XDP_REDIRECT);
	flag("10.9.9.9", 128);
	measure("SMTP, /32 level on, not flagged, redirected", &smtp4, XDP_REDIRECT);
	flag("10.9.9.0", 120);
	measure("SMTP, both levels on, not flagged, redirected", &smtp4, XDP_REDIRECT);
	flag("2001:db8:1::", 64);
	flag("2001:db8:1::", 56);
	flag("2001:db8:1::", 48);
	measure("SMTP over IPv6, three levels on, redirected", &smtp6, XDP_REDIRECT);
	flag_many();
	measure("SMTP, 100000 others flagged, redirected", &smtp4, XDP_REDIRECT);
	flag(STRANGER4, 128);
	measure("SMTP, flagged, dropped", &smtp4, XDP_DROP);
	flag(STRANGER6, 48);
	measure("SMTP over IPv6, flagged by /48, dropped", &smtp6, XDP_DROP);
	need(shield_allow(fix.shield, &spared, 120, 0, fix.error, ERROR_LEN));
	measure("SMTP, flagged and spared, redirected", &smtp4, XDP_REDIRECT);
	fixture_close(&fix);
	return EXIT_SUCCESS;
}
