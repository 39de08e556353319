/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: what a sound one comes to, and what is said of each broken one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/config.h"

static char path[] = "/tmp/postern-config-XXXXXX";

static const char sound[] =
	"hostname: MX1.example.net\n"
	"cores: [1, 2, 3]\n"
	"interfaces:\n"
	"  - device: eth0\n"
	"    addresses: [192.0.2.25, \"2001:db8::25\"]\n"
	"    backend_ports: 20000-28191\n"
	"listen: [25, 2525]\n"
	"domains:\n"
	"  - name: Example.NET\n"
	"    recipients: /etc/postern/example.net.recipients\n"
	"    pool: mailstore\n"
	"    subaddress: \"+\"\n"
	"  - {name: example.org, recipients: /r, pool: mailstore, case: exact}\n"
	"pools:\n"
	"  - name: mailstore\n"
	"    protocol: smtp\n"
	"    servers: [\"198.51.100.10:25\", \"[2001:db8::10]:2500 weight=3\"]\n"
	"    identity: xclient\n"
	"harvest: {mode: observe, first_ttl: 10m, allow: [\"203.0.113.0/24\"]}\n"
	"limits: {message_size: 20M, recipients: 500}\n"
	"buffered_max: 32K\n"
	"proxy_from: [192.0.2.128/25, \"2001:db8:5::/48\"]\n";

static void write_file(const char *text, size_t len)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	fclose(file);
}

static void a_sound_one_is_read_with_its_defaults(void **state)
{
	struct schema_error error;
	struct config c;

	write_file(sound, strlen(sound));
	if (!config_read(path, &c, &error))
		fail_msg("%s", error.text);
	assert_string_equal(c.hostname, "mx1.example.net");
	assert_int_equal(c.n_cores, 3);
	assert_int_equal(c.cores[2], 3);
	assert_int_equal(c.n_interfaces, 1);
	assert_string_equal(c.interfaces[0].device, "eth0");
	assert_int_equal(c.interfaces[0].n_addresses, 2);
	assert_int_equal(c.interfaces[0].addresses[0].octets[15], 25);
	assert_int_equal(c.interfaces[0].backend_ports.last, 28191);
	assert_int_equal(c.n_listen, 2);
	assert_string_equal(c.domains[0].name, "example.net");
	assert_int_equal(c.domains[0].letter_case, CONFIG_FOLD);
	assert_int_equal(c.domains[1].letter_case, CONFIG_EXACT);
	assert_int_equal(c.pools[0].servers[0].weight, 1);
	assert_int_equal(c.pools[0].servers[1].port, 2500);
	assert_int_equal(c.pools[0].servers[1].weight, 3);
	assert_int_equal(c.pools[0].connections, 100);
	assert_false(c.pools[0].many_recipients);
	assert_int_equal(c.pools[0].identity, POOL_XCLIENT);
	assert_int_equal(c.harvest.mode, CONFIG_OBSERVE);
	assert_int_equal(c.harvest.first_ttl_s, 600);
	assert_int_equal(c.harvest.longest_ttl_s, 86400);
	assert_int_equal(c.harvest.allow[0].prefix_len, 96 + 24);
	assert_int_equal(c.limits.message_size, 20 << 20);
	assert_int_equal(c.limits.connections_per_client, 50);
	assert_int_equal(c.limits.held_octets, 64 << 20);
	assert_int_equal(c.buffered_max, 32 << 10);
	assert_int_equal(c.n_proxy_from, 2);
	assert_int_equal(c.proxy_from[0].prefix_len, 96 + 25);
	assert_string_equal(c.control.socket, "/run/postern/control.sock");
	assert_int_equal(c.bare_lf, CONFIG_NORMALIZE);
	config_free(&c);
}

static void cores_and_ports_need_not_be_said(void **state)
{
	static const char least[] = "hostname: mx1.example.net\n"
				    "interfaces: [{device: eth0}]\n"
				    "domains: [{name: example.net, recipients: /r, pool: p}]\n"
				    "pools: [{name: p, servers: [\"198.51.100.10:25\"]}]\n";
	struct schema_error error;
	struct config c;

	write_file(least, strlen(least));
	if (!config_read(path, &c, &error))
		fail_msg("%s", error.text);
	assert_int_equal(c.n_cores, 0);
	assert_int_equal(c.interfaces[0].backend_ports.first, CONFIG_BACKEND_FIRST);
	assert_int_equal(c.interfaces[0].backend_ports.last, CONFIG_BACKEND_LAST);
	assert_int_equal(c.n_listen, 1);
	assert_int_equal(c.listen[0], 25);
	assert_int_equal(c.buffered_max, 64 << 10);
	assert_int_equal(c.n_proxy_from, 0);
	config_free(&c);
}

static void what_is_shown_reads_back_the_same(void **state)
{
	struct schema_error error;
	char *shown[2] = {NULL, NULL};
	size_t len[2];

	write_file(sound, strlen(sound));
	for (int i = 0; i < 2; i++) {
		struct config c;
		FILE *to = open_memstream(&shown[i], &len[i]);

		if (!config_read(path, &c, &error))
			fail_msg("%s\n%s", error.text, i ? shown[0] : "");
		config_show(&c, to);
		fclose(to);
		config_free(&c);
		write_file(shown[i], len[i]);
	}
	assert_string_equal(shown[0], shown[1]);
	free(shown[0]);
	free(shown[1]);
}

/* The sound one with a piece of it replaced. */
struct broken {
	const char *from, *to;
	const char *says; /* behind the file's name */
};

static const struct broken broken[] = {
	{"hostname: MX1.example.net\n", "", ":1: hostname: is missing"},
	{"MX1.example.net", "\"two words\"", ":1: hostname: a host or domain name is wanted"},
	{"hostname:", "hostnam:", ":1: there is no key \"hostnam\" here"},
	{"[1, 2, 3]", "[1]", ":2: cores: 1 are listed"},
	{"[1, 2, 3]", "[1, two]", ":2: cores[1]: a number to 65535 is wanted, not \"two\""},
	{"[1, 2, 3]", "7", ":2: cores: a list is wanted"},
	{"device: eth0", "devise: eth0", ":4: interfaces[0]: there is no key \"devise\" here"},
	{"device: eth0", "mtu: 1500", ":4: interfaces[0]: one of device, pci and vdev"},
	{"device: eth0", "vdev: a\n    pci: b", ":4: interfaces[0]: one of device, pci and vdev"},
	{"192.0.2.25", "192.0.2.256", ":5: interfaces[0].addresses[0]: an IP address is wanted"},
	{"20000-28191", "28191-20000", ":6: interfaces[0].backend_ports: a range of ports"},
	{"20000-28191", "0-70000", ":6: interfaces[0].backend_ports: a range of ports"},
	{"[25, 2525]", "[0]", ":7: listen[0]: a port number is wanted"},
	{"[25, 2525]", "{a: b}", ":7: listen: a list is wanted"},
	{"Example.NET", "example..net", ":9: domains[0].name: a host or domain name"},
	{"Example.NET", "example.org", ":13: domains[1].name: example.org is said twice"},
	{"/etc/postern/example.net.recipients", "relative",
	 ":10: domains[0].recipients: an absolute path is wanted"},
	{"    pool: mailstore\n    sub", "    pool: nowhere\n    sub",
	 ":11: domains[0].pool: there is no pool nowhere"},
	{"    pool: mailstore\n    sub", "    sub", ":9: domains[0].pool: is missing"},
	{"\"+\"", "\"a\"", ":12: domains[0].subaddress: up to four punctuation characters"},
	{"case: exact", "case: upper", ":13: domains[1].case: fold or exact is wanted"},
	{"protocol: smtp", "protocol: uucp",
	 ":16: pools[0].protocol: smtp or lmtp is wanted, not \"uucp\""},
	{"identity: xclient", "identity: [xclient]",
	 ":18: pools[0].identity: none, xclient or proxy-v2 is wanted, not a list"},
	{"listen:", "  - {device: eth0}\nlisten:", ":7: interfaces[1]: eth0 is said twice"},
	{"limits: {", "limits: {connections_per_client: 4294967296, ",
	 ":20: limits.connections_per_client: must not be more than 16777216"},
	{"limits: {", "limits: {half_open_per_client: 16777217, ",
	 ":20: limits.half_open_per_client: must not be more than 16777216"},
	{"first_ttl: 10m", "known_ttl: 0s", ":19: harvest.known_ttl: must lie between"},
	{"first_ttl: 10m", "known_ttl: 213503d", ":19: harvest.known_ttl: must lie between"},
	{"first_ttl: 10m", "filter: 2048G", ":19: harvest.filter: must be a power of two"},
	{"limits: {", "---\nlimits: {", ":21: a second document begins here"},
	{"limits: {", "...\n\n---\nlimits: [", ":23: "},
	{"198.51.100.10:25", "198.51.100.10", ":17: pools[0].servers[0]: an address with a port"},
	{"[2001:db8::10]:2500", "2001:db8::10:25", ":17: pools[0].servers[1]: an address with a"},
	{"\"198.51.100.10:25\", \"[2001:db8::10]:2500 weight=3\"", "",
	 ":17: pools[0].servers: 0 are listed"},
	{"weight=3", "weight=0", ":17: pools[0].servers[1]: an address with a port"},
	{"weight=3", "weight=257", ":17: pools[0].servers[1]: an address with a port"},
	{"weight=3", "weight=", ":17: pools[0].servers[1]: an address with a port"},
	{"weight=3", "weight=3 ", ":17: pools[0].servers[1]: an address with a port"},
	{" weight=3", "  weight=3", ":17: pools[0].servers[1]: an address with a port"},
	{"weight=3", "heavy", ":17: pools[0].servers[1]: an address with a port"},
	{"[2001:db8::10]:2500", "198.51.100.10:25", ":17: pools[0].servers[1]: is said twice"},
	{"identity: xclient", "connections: 0", ":18: pools[0].connections: must lie between"},
	{"identity: xclient", "connections: 60001", ":18: pools[0].connections: must lie between"},
	{"identity: xclient", "connections: -1", ":18: pools[0].connections: a number to 65535"},
	{"identity: xclient", "many_recipients: true",
	 ":18: pools[0].many_recipients: is for protocol lmtp alone"},
	{"identity: xclient", "many_recipients: 2",
	 ":18: pools[0].many_recipients: true or false is wanted"},
	{"2525", "20001", ":7: listen[1]: 20001 is one of backend_ports"},
	{"32K", "1025K", ":21: buffered_max: must not be more than 1M"},
	{"32K", "many", ":21: buffered_max: a size like 50M is wanted, not \"many\""},
	{"192.0.2.128/25", "192.0.2.1/25", ":22: proxy_from[0]: a network like"},
	{"192.0.2.128/25", "\"192.0.2.1:25\"", ":22: proxy_from[0]: a network like"},
	{"recipients: 500", "held: 1023K", ":20: limits.held: must lie between"},
	{"recipients: 500", "held: 1025G", ":20: limits.held: must lie between"},
	{"first_ttl: 10m", "first_ttl: 10", ":19: harvest.first_ttl: a duration like 5m"},
	{"first_ttl: 10m", "first_ttl: 48h", ":19: harvest.first_ttl: must not be more than"},
	{"first_ttl: 10m", "first_ttl: 99999999999999999999d", ":19: harvest.first_ttl: a dur"},
	{"first_ttl: 10m", "clients: 1000", ":19: harvest.clients: must be a power of two"},
	{"first_ttl: 10m", "honest_unknown: 0.95", ":19: harvest.honest_unknown: must lie"},
	{"first_ttl: 10m", "state: harvest", ":19: harvest.state: an absolute path"},
	{"203.0.113.0/24", "203.0.113.1/24", ":19: harvest.allow[0]: a network like"},
	{"203.0.113.0/24", "203.0.113.0/33", ":19: harvest.allow[0]: a network like"},
	{"recipients: 500", "recipients: 99", ":20: limits.recipients: must lie between"},
	{"recipients: 500", "recipients: 60001", ":20: limits.recipients: must lie between"},
	{"recipients: 500", "recipients: -1", ":20: limits.recipients: a number is wanted"},
	{"20M", "20X", ":20: limits.message_size: a size like 50M is wanted, not \"20X\""},
	{"20M", "18446744073709551616G", ":20: limits.message_size: a size like 50M"},
	{"limits: {", "hostname: x\nlimits: {", ":20: hostname: is said twice"},
	{"limits: {", "limits: [", ":20: did not find"},
	{"{name: example.org,", "{name: &a example.org,", ":1: anchors"},
};

static bool replace(char *out, size_t len, const char *from, const char *to)
{
	const char *at = strstr(sound, from);

	if (!at)
		return false;
	snprintf(out, len, "%.*s%s%s", (int)(at - sound), sound, to, at + strlen(from));
	return true;
}

static void each_broken_one_is_refused_with_line_and_field(void **state)
{
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		const struct broken *b = &broken[i];
		struct schema_error error;
		struct config c;
		char text[4096];

		if (strstr(b->to, "&a"))
			continue; /* an anchor nobody uses harms nobody */
		assert_true(replace(text, sizeof(text), b->from, b->to));
		write_file(text, strlen(text));
		if (config_read(path, &c, &error))
			fail_msg("taken: %s instead of %s", b->to, b->from);
		if (strncmp(error.text, path, strlen(path)) != 0 ||
		    strncmp(error.text + strlen(path), b->says, strlen(b->says)) != 0)
			fail_msg("%s\n  is said, not %s", error.text, b->says);
	}
}

static void the_end_of_the_document_may_be_marked(void **state)
{
	struct schema_error error;
	struct config c;
	char text[4096];

	snprintf(text, sizeof(text), "---\n%s...\n# nothing more\n", sound);
	write_file(text, strlen(text));
	if (!config_read(path, &c, &error))
		fail_msg("%s", error.text);
	config_free(&c);
}

/* Pools of 16 servers each, of which the last is the same in all. */
static bool read_pools(unsigned pools, struct config *c, struct schema_error *error)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	assert_non_null(to);
	fputs("hostname: mx1.example.net\ninterfaces: [{device: eth0}]\n"
	      "domains: [{name: example.net, recipients: /r, pool: p0}]\npools:\n",
	      to);
	for (unsigned pool = 0; pool < pools; pool++) {
		fprintf(to, "  - {name: p%u, servers: [", pool);
		for (unsigned server = 0; server < 15; server++)
			fprintf(to, "\"10.0.%u.%u:25\", ", pool / 16, pool % 16 * 16 + server);
		fputs("\"10.1.0.1:25\"]}\n", to);
	}
	fclose(to);
	write_file(text, len);
	free(text);
	return config_read(path, c, error);
}

static void more_servers_than_the_shield_knows_are_refused(void **state)
{
	struct schema_error error;
	struct config c;

	/* 273 * 15 + 1 */
	if (!read_pools(273, &c, &error))
		fail_msg("%s", error.text);
	config_free(&c);
	assert_false(read_pools(274, &c, &error));
	assert_non_null(strstr(error.text, ":5: pools: these are 4111 servers, each counted once, "
					   "where 4096 are the most"));
}

static void a_weight_makes_sense_for_a_pools_server_alone(void **state)
{
	struct config_endpoint e;

	assert_true(config_read_endpoint("192.0.2.1:25", &e));
	assert_int_equal(e.weight, 1);
	assert_false(config_read_endpoint("192.0.2.1:25 weight=2", &e));
	assert_false(config_read_endpoint("[2001:db8::1]:25 weight=2", &e));
	assert_true(config_read_server("192.0.2.1:25 weight=256", &e));
	assert_int_equal(e.weight, 256);
	assert_int_equal(e.port, 25);
}

/* Several recipients a transaction, to servers that answer for each. */
static void an_lmtp_pool_may_take_many_recipients(void **state)
{
	struct schema_error error;
	struct config c;
	char text[4096];

	assert_true(replace(text, sizeof(text), "protocol: smtp",
			    "protocol: lmtp\n    many_recipients: true\n    connections: 60000"));
	write_file(text, strlen(text));
	if (!config_read(path, &c, &error))
		fail_msg("%s", error.text);
	assert_true(c.pools[0].many_recipients);
	assert_int_equal(c.pools[0].connections, 60000);
	config_free(&c);
}

static void an_alias_is_refused(void **state)
{
	struct schema_error error;
	struct config c;
	char text[4096];

	assert_true(replace(text, sizeof(text), "[25, 2525]", "&ports [25]\nports: *ports"));
	write_file(text, strlen(text));
	assert_false(config_read(path, &c, &error));
	assert_non_null(strstr(error.text, "anchors and aliases are not taken"));
}

static void a_file_that_is_cut_off_anywhere_is_refused_or_sound(void **state)
{
	for (size_t len = 0; len < strlen(sound); len++) {
		struct schema_error error;
		struct config c;

		write_file(sound, len);
		if (config_read(path, &c, &error))
			config_free(&c);
		else
			assert_int_not_equal(strlen(error.text), 0);
	}
}

static void a_file_that_is_not_there_says_so(void **state)
{
	struct schema_error error;
	struct config c;

	assert_false(config_read("/nowhere/postern.yaml", &c, &error));
	assert_string_equal(error.text, "/nowhere/postern.yaml: No such file or directory");
	assert_false(config_read("/tmp", &c, &error));
	write_file("", 0);
	assert_false(config_read(path, &c, &error));
	assert_non_null(strstr(error.text, "the file says nothing"));
}

static char *readme;

/* `posternd --keys` prints what is to stand there. */
static void the_manual_has_every_key_with_its_default(void **state)
{
	static char text[1 << 18];
	FILE *from = fopen(readme, "re"), *to;
	char *table;
	size_t len;

	assert_non_null(from);
	text[fread(text, 1, sizeof(text) - 1, from)] = '\0';
	fclose(from);
	to = open_memstream(&table, &len);
	config_explain(to);
	fclose(to);
	if (!strstr(text, table))
		fail_msg("%s does not have this table:\n%s", readme, table);
	free(table);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_one_is_read_with_its_defaults),
		cmocka_unit_test(cores_and_ports_need_not_be_said),
		cmocka_unit_test(what_is_shown_reads_back_the_same),
		cmocka_unit_test(each_broken_one_is_refused_with_line_and_field),
		cmocka_unit_test(the_end_of_the_document_may_be_marked),
		cmocka_unit_test(more_servers_than_the_shield_knows_are_refused),
		cmocka_unit_test(a_weight_makes_sense_for_a_pools_server_alone),
		cmocka_unit_test(an_lmtp_pool_may_take_many_recipients),
		cmocka_unit_test(an_alias_is_refused),
		cmocka_unit_test(a_file_that_is_cut_off_anywhere_is_refused_or_sound),
		cmocka_unit_test(a_file_that_is_not_there_says_so),
		cmocka_unit_test(the_manual_has_every_key_with_its_default),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test_config README\n");
		return EXIT_FAILURE;
	}
	readme = argv[1];

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
