/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_service's command line: what it understands, and what it says of the rest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

enum { WORDS_MAX = 64 };

#define A_SERVICE "--vdev net_null0 --address 192.0.2.1 --service echo --listen 7 "
#define A_CLIENT  "--vdev net_null0 --address 192.0.2.1 --connect 192.0.2.9:7 "

static struct options options;
static char error[256];

/* Splits a line at its blanks and reads it as a command line. */
static int parse(const char *line)
{
	static char name[] = "tcp_service", copy[1024];
	char *argv[WORDS_MAX + 1] = {name};
	char *rest = copy, *word;
	int argc = 1;

	assert_true(strlen(line) < sizeof(copy));
	memcpy(copy, line, strlen(line) + 1);
	while ((word = strsep(&rest, " "))) {
		assert_true(argc < WORDS_MAX);
		if (*word)
			argv[argc++] = word;
	}
	error[0] = '\0';
	return options_parse(&options, argc, argv, error, sizeof(error));
}

static void expect(const char *line)
{
	if (parse(line) != 0)
		fail_msg("%s: %s", line, error);
}

static void what_makes_no_sense_is_refused_with_a_reason(void **state)
{
	static const struct {
		const char *line, *reason;
	} cases[] = {
		{"", "nothing to do"},
		{"--service echo --listen 7", "no interface"},
		{"--vdev net_null0 --service echo --listen 7", "net_null0 has no --address"},
		{A_SERVICE "--nonsense", "--nonsense"},
		{A_SERVICE "more", "'more' is no option"},
		{A_SERVICE "--workers", "--workers needs an argument"},
		{A_SERVICE "--workers 0", "--workers: '0'"},
		{A_SERVICE "--workers 65", "--workers: '65'"},
		{A_SERVICE "--workers 1x", "--workers: '1x'"},
		{A_SERVICE "--workers -1", "--workers: '-1'"},
		{A_SERVICE "--conns 99999999999999999999", "--conns"},
		{A_SERVICE "--idle-timeout 3601", "--idle-timeout: '3601'"},
		{A_SERVICE "--user-timeout 3601", "--user-timeout: '3601'"},
		{A_SERVICE "--cores 0", "--cores names 1 CPUs"},
		{A_SERVICE "--cores 0,,1", "--cores: ''"},
		{A_SERVICE "--only-owner 1", "--only-owner 1"},
		{A_SERVICE "--listen 7", "port 7 twice"},
		{A_SERVICE "--service echo", "--service without --listen"},
		{A_SERVICE "--service echo --service nul --listen 9", "has no --listen"},
		{A_SERVICE "--service smtp --listen 25", "'smtp'"},
		{A_SERVICE "--listen 65536", "'65536'"},
		{"--listen 7", "follows the --service"},
		{"--address 192.0.2.1", "follows the interface"},
		{"--mtu 1500", "follows the interface"},
		{A_SERVICE "--address 192.0.2.256", "'192.0.2.256'"},
		{A_SERVICE "--mac 02:00:00:00:00", "--mac"},
		{A_SERVICE "--mac 02:00:00:00:00:01:02", "--mac"},
		{A_SERVICE "--mtu 1279", "--mtu"},
		{A_SERVICE "--neighbour 192.0.2.9", "--neighbour"},
		{A_SERVICE "--neighbour 192.0.2.9=02:00:00:00:00:0g", "--neighbour"},
		{A_SERVICE "--backend 192.0.2.9", "--backend"},
		{A_SERVICE "--backend 192.0.2.9:0", "--backend"},
		{A_SERVICE "--backend 2001:db8::1:25", "--backend"},
		{A_SERVICE "--backend [2001:db8::1]25", "--backend"},
		{A_SERVICE "--active-ports 5000-4000", "--active-ports"},
		{A_SERVICE "--active-ports 0-4000", "--active-ports"},
		{A_SERVICE "--active-ports 4000-65536", "--active-ports"},
		{A_SERVICE "--bpffs here", "--bpffs"},
		{A_SERVICE "--file-prefix a/b", "--file-prefix"},
		{A_SERVICE "--receive", "need --connect"},
		{A_SERVICE "--count 5", "need --connect"},
		{A_CLIENT, "--connect needs --bytes"},
		{A_CLIENT "--bytes 1 --receive --receive-only", "exclude each other"},
		{A_CLIENT "--bytes 1 --count 0", "--count"},
		{A_CLIENT "--bytes 1 --connect 192.0.2.8:7", "given twice"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].line), -EINVAL);
		if (!strstr(error, cases[i].reason))
			fail_msg("'%s': '%s' does not say '%s'", cases[i].line, error,
				 cases[i].reason);
		assert_null(strchr(error, '\n'));
	}
}

static void what_an_interface_has_is_said_after_it(void **state)
{
	const struct dataplane_interface *i = options.dataplane.interfaces;
	struct ip_addr v4 = ip_addr_from_v4("\xc0\0\2\1");

	expect("--vdev net_null0 --address 192.0.2.1 --address 2001:db8::1 --mac 02:00:00:00:00:01 "
	       "--neighbour 192.0.2.9=02:00:00:00:00:09 --af-xdp eth0 --mtu 1400 "
	       "--neighbour 2001:db8::9=02:00:00:00:00:0a --service echo --listen 7");
	assert_int_equal(options.dataplane.n_interfaces, 2);
	assert_int_equal(i[0].kind, DATAPLANE_VDEV);
	assert_string_equal(i[0].device, "net_null0");
	assert_int_equal(i[0].n_addresses, 2);
	assert_memory_equal(&i[0].addresses[0], &v4, sizeof(v4));
	assert_memory_equal(i[0].mac, "\2\0\0\0\0\1", 6);
	assert_int_equal(i[1].kind, DATAPLANE_AF_XDP);
	assert_int_equal(i[1].n_addresses, 0);
	assert_int_equal(i[1].mtu, 1400);
	assert_int_equal(options.n_neighbours, 2);
	assert_int_equal(options.neighbours[0].port, 0);
	assert_int_equal(options.neighbours[1].port, 1);
	assert_memory_equal(options.neighbours[1].mac, "\2\0\0\0\0\x0a", 6);
}

static void services_are_pairs_with_their_ports(void **state)
{
	expect(A_SERVICE "--service chargen --listen 19 --listen 1019 --bytes 100");
	assert_int_equal(options.dataplane.n_listen, 3);
	assert_int_equal(options.services.listen[0].kind, SERVICE_ECHO);
	assert_int_equal(options.services.listen[1].kind, SERVICE_CHARGEN);
	assert_int_equal(options.services.listen[2].kind, SERVICE_CHARGEN);
	assert_int_equal(options.dataplane.listen[2], 1019);
	assert_true(options.services.bounded);
	assert_int_equal(options.services.bytes, 100);
}

static void who_only_serves_has_no_source_ports(void **state)
{
	expect(A_SERVICE);
	assert_int_equal(options.dataplane.active_last, 0);
	expect(A_SERVICE "--backend 192.0.2.9:25");
	assert_int_equal(options.dataplane.active_first, 20000);
	assert_int_equal(options.dataplane.active_last, 28191);
}

static void the_target_is_a_backend(void **state)
{
	struct ip_addr target = ip_addr_from_v6("\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1");

	expect("--af-xdp eth0 --connect [2001:db8::1]:25 --bytes 9 --receive --count 7 "
	       "--parallel 3 --active-ports 30000-30999 --backend 192.0.2.9:26");
	assert_int_equal(options.services.client, CLIENT_ECHO);
	assert_int_equal(options.services.target_port, 25);
	assert_memory_equal(&options.services.target, &target, sizeof(target));
	assert_int_equal(options.services.count, 7);
	assert_int_equal(options.services.parallel, 3);
	assert_int_equal(options.n_backends, 2);
	assert_memory_equal(&options.backends[0].address, &target, sizeof(target));
	assert_int_equal(options.backends[1].port, 26);
	assert_int_equal(options.dataplane.active_first, 30000);
	assert_int_equal(options.dataplane.active_last, 30999);
}

static void a_client_sends_unless_told_otherwise(void **state)
{
	expect(A_CLIENT "--bytes 0");
	assert_int_equal(options.services.client, CLIENT_SEND);
	expect(A_CLIENT "--bytes 1 --receive-only");
	assert_int_equal(options.services.client, CLIENT_RECEIVE);
}

static void workers_and_bounds_reach_the_data_plane(void **state)
{
	expect(A_SERVICE "--workers 2 --cores 3,1,1 --only-owner 1 --conns 10 --window 4096 "
			 "--send-queue 2048 --idle-timeout 2 --user-timeout 9 --client-half-open 3 "
			 "--client-conns 5 --huge --bpffs /x --file-prefix y");
	assert_int_equal(options.dataplane.n_workers, 2);
	assert_int_equal(options.services.n_workers, 2);
	assert_int_equal(options.n_cores, 3);
	assert_int_equal(options.cores[0], 3);
	assert_int_equal(options.cores[2], 1);
	assert_int_equal(options.dataplane.only_owner, 1);
	assert_int_equal(options.services.only_owner, 1);
	assert_int_equal(options.dataplane.conns, 10);
	assert_int_equal(options.services.conns, 10);
	assert_int_equal(options.dataplane.receive_window, 4096);
	assert_int_equal(options.dataplane.send_queue, 2048);
	assert_int_equal(options.dataplane.idle_timeout_ms, 2000);
	assert_int_equal(options.dataplane.user_timeout_ms, 9000);
	assert_int_equal(options.dataplane.client_half_open, 3);
	assert_int_equal(options.dataplane.client_conns, 5);
	assert_true(options.huge);
	assert_string_equal(options.bpffs, "/x");
	assert_string_equal(options.file_prefix, "y");
}

static void help_needs_nothing_beside_it(void **state)
{
	expect("--help");
	assert_true(options.help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_makes_no_sense_is_refused_with_a_reason),
		cmocka_unit_test(what_an_interface_has_is_said_after_it),
		cmocka_unit_test(services_are_pairs_with_their_ports),
		cmocka_unit_test(who_only_serves_has_no_source_ports),
		cmocka_unit_test(the_target_is_a_backend),
		cmocka_unit_test(a_client_sends_unless_told_otherwise),
		cmocka_unit_test(workers_and_bounds_reach_the_data_plane),
		cmocka_unit_test(help_needs_nothing_beside_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
