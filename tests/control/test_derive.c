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

#define PROXIES "proxy_from: [192.0.2.128/25, \"2001:db8:5::/48\"]\n"

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
	"half_open_per_client: 9, connections: 1K, buffers: 2K, held: 8M}\n"
	"buffered_max: 16K\n" PROXIES "bare_lf: reject\n";

static const char least[] = "hostname: mx1.example.net\n"
			    "interfaces: [{device: eth0}]\n" POOLS;

/* --- the pools, a double --------------------------------------------------------------------- */

static struct pools *const made_pools = (struct pools *)path;
static const struct pool_config *wanted;
static uint32_t n_wanted;
static struct pool_server_config made_servers[4]; /* of all, in order */

static void expect_pools(const struct pool_config *pools, uint32_t n)
{
	wanted = pools;
	n_wanted = n;
}

struct pools *pools_new(const struct pool_config *configs, uint32_t n)
{
	struct pool_server_config *to = made_servers;

	assert_int_equal(n, n_wanted);
	for (uint32_t i = 0; i < n; i++) {
		assert_string_equal(configs[i].name, wanted[i].name);
		assert_int_equal(configs[i].protocol, wanted[i].protocol);
		assert_int_equal(configs[i].identity, wanted[i].identity);
		assert_int_equal(configs[i].many_recipients, wanted[i].many_recipients);
		assert_int_equal(configs[i].connections, wanted[i].connections);
		assert_int_equal(configs[i].n_servers, wanted[i].n_servers);
		for (uint32_t j = 0; j < configs[i].n_servers; j++)
			*to++ = configs[i].servers[j];
	}
	return made_pools;
}

/* --- configurations -------------------------------------------------------------------------- */

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

static void source_ports_toward_backends_are_all_interfaces(void **state)
{
	struct config c = config_of(least);
	struct dataplane_config d;

	derive_dataplane(&c, &d);
	assert_int_equal(d.active_first, 20000);
	assert_int_equal(d.active_last, 28191);
	config_free(&c);
	c = config_of("hostname: mx1.example.net\n"
		      "interfaces: [{device: eth0, backend_ports: none}]\n" POOLS);
	derive_dataplane(&c, &d);
	assert_int_equal(d.active_first, 0);
	assert_int_equal(d.active_last, 0);
	config_free(&c);
}

static void the_shield_hears_of_every_server_once(void **state)
{
	struct config c = config_of(
		"hostname: mx1.example.net\n"
		"interfaces: [{device: eth0}]\n"
		"domains: [{name: example.net, recipients: /r, pool: a}]\n"
		"pools:\n"
		"  - {name: a, servers: [\"198.51.100.11:25\", \"198.51.100.10:25 weight=2\"]}\n"
		"  - {name: b, servers: [\"198.51.100.10:2525\", \"198.51.100.10:25\"]}\n");
	struct ip_endpoint *servers;
	uint32_t n = 0;

	servers = config_servers(&c, &n);
	assert_non_null(servers);
	assert_int_equal(n, 3);
	assert_int_equal(servers[0].address.octets[15], 10);
	assert_int_equal(servers[0].port, 25);
	assert_int_equal(servers[1].port, 2525);
	assert_int_equal(servers[2].address.octets[15], 11);
	free(servers);
	config_free(&c);
}

static void pools_are_as_the_configuration_says(void **state)
{
	static const char pools[] =
		"hostname: mx1.example.net\n"
		"interfaces: [{device: eth0}]\n"
		"domains: [{name: example.net, recipients: /r, pool: a}]\n"
		"pools:\n"
		"  - {name: a, servers: [\"198.51.100.10:25\"], identity: proxy-v2}\n"
		"  - {name: b, servers: [\"198.51.100.11:24 weight=7\", \"[2001:db8::1]:24\"], "
		"protocol: lmtp, identity: xclient, connections: 5, many_recipients: true}\n";
	struct config c = config_of(pools);

	expect_pools(
		(const struct pool_config[]){
			{.name = "a",
			 .protocol = POOL_SMTP,
			 .identity = POOL_PROXY_V2,
			 .connections = 100,
			 .n_servers = 1},
			{.name = "b",
			 .protocol = POOL_LMTP,
			 .identity = POOL_XCLIENT,
			 .many_recipients = true,
			 .connections = 5,
			 .n_servers = 2},
		},
		2);
	assert_ptr_equal(derive_pools(&c), made_pools);
	assert_int_equal(made_servers[0].weight, 1);
	assert_int_equal(made_servers[1].weight, 7);
	assert_int_equal(made_servers[1].port, 24);
	assert_int_equal(made_servers[1].address.octets[15], 11);
	assert_int_equal(made_servers[2].weight, 1);
	assert_false(ip_addr_is_v4(&made_servers[2].address));
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
	assert_int_equal(m.buffered_max, 16 << 10);
	assert_int_equal(m.relay_octets, 8 << 20);
	config_free(&c);
}

static void load_balancers_are_as_the_configuration_says(void **state)
{
	struct config c = config_of(all_said);
	struct mail_config m;

	derive_mail(&c, &m);
	assert_int_equal(m.n_proxy_from, 2);
	assert_int_equal(m.proxy_from[0].prefix_len, 96 + 25);
	assert_int_equal(m.proxy_from[0].address.octets[15], 128);
	assert_int_equal(m.proxy_from[1].prefix_len, 48);
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

static void pools_servers_and_load_balancers_are_never_shut_out(void **state)
{
	struct config c = config_of(all_said);
	struct ip_network *allow;
	uint32_t n = 0;

	allow = config_allow(&c, &n);
	assert_non_null(allow);
	assert_int_equal(n, 4);
	assert_int_equal(allow[0].prefix_len, 48);
	assert_int_equal(allow[1].prefix_len, 96 + 24);
	assert_int_equal(allow[2].prefix_len, 96 + 25);
	assert_int_equal(allow[3].prefix_len, 128);
	assert_int_equal(allow[3].address.octets[15], 10);
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
	struct ip_network *allow;
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
		cmocka_unit_test(source_ports_toward_backends_are_all_interfaces),
		cmocka_unit_test(the_shield_hears_of_every_server_once),
		cmocka_unit_test(pools_are_as_the_configuration_says),
		cmocka_unit_test(neighbours_keep_their_interface),
		cmocka_unit_test(mail_is_as_the_configuration_says),
		cmocka_unit_test(load_balancers_are_as_the_configuration_says),
		cmocka_unit_test(the_test_for_guessers_is_as_the_configuration_says),
		cmocka_unit_test(pools_servers_and_load_balancers_are_never_shut_out),
		cmocka_unit_test(a_server_of_two_pools_counts_once),
		cmocka_unit_test(what_is_not_said_is_the_rooms_own),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
