/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a configuration comes to for the parts.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/derive.h"

static char path[] = "/tmp/postern-derive-XXXXXX";

#define POOLS                                                           \
	"domains: [{name: example.net, recipients: /r, pool: store}]\n" \
	"pools: [{name: store, servers: [\"198.51.100.10:25\"]}]\n"

static const char all_said[] =
	"hostname: mx1.example.net\n"
	"cores: [1, 2, 3]\n"
	"interfaces:\n"
	"  - {device: eth0, mtu: 1400}\n"
	"  - vdev: net_memif0,role=server\n"
	"    addresses: [192.0.2.25, \"2001:db8::25\"]\n"
	"    neighbours: [192.0.2.1=02:00:00:00:00:01, 192.0.2.2=02:00:00:00:00:02]\n"
	"  - {pci: \"0000:3b:00.0\", addresses: [192.0.2.26]}\n"
	"listen: [25, 587]\n" POOLS
	"harvest: {mode: observe, first_ttl: 10m, longest_ttl: 2h, known_ttl: 1h, "
	"honest_unknown: 0.05, guesser_unknown: 0.8, false_positive: 0.001, "
	"false_negative: 0.02, clients: 4K, filter: 8K, allow: [203.0.113.0/24]}\n"
	"limits: {message_size: 20M, recipients: 500, connections_per_client: 7, "
	"half_open_per_client: 9, connections: 1K, buffers: 2K}\n"
	"bare_lf: reject\n";

static const char least[] = "hostname: mx1.example.net\n"
			    "interfaces: [{device: eth0}]\n" POOLS;

static struct config config_of(const char *text)
{
	FILE *file = fopen(path, "we");
	struct schema_error error;
	struct config c;

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	if (!config_read(path, &c, &error))
		fail_msg("%s", error.text);
	return c;
}

static void the_data_plane_is_as_the_configuration_says(void **state)
{
	struct config c = config_of(all_said);
	struct dataplane_config d;

	derive_dataplane(&c, &d);
	assert_int_equal(d.n_workers, 2);
	assert_int_equal(d.n_interfaces, 3);
	assert_int_equal(d.interfaces[0].kind, DATAPLANE_AF_XDP);
	assert_string_equal(d.interfaces[0].device, "eth0");
	assert_int_equal(d.interfaces[0].n_addresses, 0);
	assert_int_equal(d.interfaces[0].mtu, 1400);
	assert_int_equal(d.interfaces[1].kind, DATAPLANE_VDEV);
	assert_string_equal(d.interfaces[1].device, "net_memif0,role=server");
	assert_int_equal(d.interfaces[1].n_addresses, 2);
	assert_int_equal(d.interfaces[1].addresses[1].octets[15], 0x25);
	assert_int_equal(d.interfaces[2].kind, DATAPLANE_PCI);
	assert_int_equal(d.n_listen, 2);
	assert_int_equal(d.listen[1], 587);
	assert_int_equal(d.conns, 1024);
	assert_int_equal(d.buffers, 2048);
	assert_int_equal(d.client_conns, 7);
	assert_int_equal(d.client_half_open, 9);
	assert_int_equal(d.only_owner, -1);
	config_free(&c);
}

static void without_cores_every_cpu_but_controls_has_a_worker(void **state)
{
	struct config c = config_of(least);
	struct dataplane_config d;
	cpu_set_t allowed;
	int n;

	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	n = CPU_COUNT(&allowed);
	derive_dataplane(&c, &d);
	assert_int_equal(d.n_workers, n < 2 ? 1 : n > 64 ? 64 : n - 1);
	assert_int_equal(d.n_listen, 1);
	assert_int_equal(d.listen[0], 25);
	config_free(&c);
}

static void no_source_port_is_taken_while_nothing_is_relayed(void **state)
{
	struct config c = config_of(all_said);
	struct dataplane_config d;

	derive_dataplane(&c, &d);
	assert_int_equal(d.active_first, 0);
	assert_int_equal(d.active_last, 0);
	config_free(&c);
}

static void neighbours_keep_their_interface(void **state)
{
	struct config c = config_of(all_said);
	struct plane_neighbour *n;
	uint32_t count = 0;

	n = derive_neighbours(&c, &count);
	assert_non_null(n);
	assert_int_equal(count, 2);
	assert_int_equal(n[1].port, 1);
	assert_int_equal(n[1].mac[5], 2);
	assert_int_equal(n[1].address.octets[15], 2);
	free(n);
	config_free(&c);
}

static void mail_is_as_the_configuration_says(void **state)
{
	struct config c = config_of(all_said);
	struct mail_config m;

	derive_mail(&c, &m);
	assert_string_equal(m.host, "mx1.example.net");
	assert_int_equal(m.size_max, 20 << 20);
	assert_int_equal(m.recipients_max, 500);
	assert_false(m.normalize_bare_lf);
	assert_int_equal(m.sessions, 1024);
	assert_int_equal(m.shield.flagged_fd, -1);
	config_free(&c);
}

static void the_test_for_guessers_is_as_the_configuration_says(void **state)
{
	struct config c = config_of(all_said);
	struct harvest_config h;
	struct harvest *made;

	derive_harvest(&c, &h);
	assert_true(h.p0 == 0.05 && h.p1 == 0.8 && h.alpha == 0.001 && h.beta == 0.02);
	assert_int_equal(h.first_ttl_s, 600);
	assert_int_equal(h.longest_ttl_s, 7200);
	assert_int_equal(h.known_ttl_s, 3600);
	assert_int_equal(h.entries, 4096);
	assert_int_equal(h.filter_octets, 8192);
	assert_true(h.observe);
	made = harvest_new(&h);
	assert_non_null(made);
	harvest_free(made);
	config_free(&c);
}

static void the_pools_servers_are_never_shut_out(void **state)
{
	struct config c = config_of(all_said);
	struct config_network *allow;
	uint32_t n = 0;

	allow = config_allow(&c, &n);
	assert_non_null(allow);
	assert_int_equal(n, 2);
	assert_int_equal(allow[0].prefix_len, 96 + 24);
	assert_int_equal(allow[1].prefix_len, 128);
	assert_int_equal(allow[1].address.octets[15], 10);
	free(allow);
	config_free(&c);
}

static void a_server_of_two_pools_counts_once(void **state)
{
	struct config c = config_of("hostname: mx1.example.net\n"
				    "interfaces: [{device: eth0}]\n"
				    "domains: [{name: example.net, recipients: /r, pool: a}]\n"
				    "pools:\n"
				    "  - {name: a, servers: [\"198.51.100.10:25\"]}\n"
				    "  - {name: b, servers: [\"198.51.100.10:2525\"]}\n"
				    "harvest: {allow: [198.51.100.10, 198.51.100.10]}\n");
	struct config_network *allow;
	uint32_t n = 0;

	allow = config_allow(&c, &n);
	assert_non_null(allow);
	assert_int_equal(n, 1);
	free(allow);
	config_free(&c);
}

/* The configuration's defaults are written twice: as text, and in the room. */
static void what_is_not_said_is_the_rooms_own(void **state)
{
	struct config c = config_of(least);
	struct harvest_config said, own;

	harvest_defaults(&own);
	derive_harvest(&c, &said);
	assert_true(said.p0 == own.p0 && said.p1 == own.p1);
	assert_true(said.alpha == own.alpha && said.beta == own.beta);
	assert_int_equal(said.first_ttl_s, own.first_ttl_s);
	assert_int_equal(said.longest_ttl_s, own.longest_ttl_s);
	assert_int_equal(said.known_ttl_s, own.known_ttl_s);
	assert_false(said.observe);
	config_free(&c);
}

static int set_up(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_data_plane_is_as_the_configuration_says),
		cmocka_unit_test(without_cores_every_cpu_but_controls_has_a_worker),
		cmocka_unit_test(no_source_port_is_taken_while_nothing_is_relayed),
		cmocka_unit_test(neighbours_keep_their_interface),
		cmocka_unit_test(mail_is_as_the_configuration_says),
		cmocka_unit_test(the_test_for_guessers_is_as_the_configuration_says),
		cmocka_unit_test(the_pools_servers_are_never_shut_out),
		cmocka_unit_test(a_server_of_two_pools_counts_once),
		cmocka_unit_test(what_is_not_said_is_the_rooms_own),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
