/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Advice: what is said of a configuration that is sound.
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

#include "control/advice.h"

uint64_t dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients)
{
	abort(); /* nothing is published here */
}

static char directory[] = "/tmp/postern-advice-XXXXXX", path[] = "/tmp/postern-advice-XXXXXX",
	    sysctls[] = "/tmp/postern-advice-XXXXXX";
static char said[4096];

static void hear(const char *sentence)
{
	size_t len = strlen(said);

	snprintf(said + len, sizeof(said) - len, "%s\n", sentence);
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void configure(struct config *c, const char *interface, const char *pool)
{
	struct schema_error error;
	char text[1024];

	snprintf(text, sizeof(text),
		 "hostname: mx1.example.net\n"
		 "interfaces: [{%s}]\n"
		 "domains: [{name: example.net, recipients: %s, pool: one}]\n"
		 "pools: [{name: one, servers: [\"198.51.100.10:25\"]%s},\n"
		 "        {name: two, servers: [\"198.51.100.11:25\"]}]\n",
		 interface, directory, pool);
	write_file(path, text);
	if (!config_read(path, c, &error))
		fail_msg("%s", error.text);
	said[0] = '\0';
}

static const struct {
	const char *interface, *pool, *said;
} cases[] = {
	{"device: nowhere0", "", ""},
	{"device: nowhere0, addresses: [192.0.2.25]", "", ""},
	{"vdev: net_null0, addresses: [192.0.2.25]", "", ""},
	{"device: lo, addresses: [192.0.2.25, \"2001:db8::25\"]", "",
	 "lo: the kernel has no address 192.0.2.25 there, and answers nobody who looks for it\n"
	 "lo: the kernel has no address 2001:db8::25 there, and answers nobody who looks for it\n"},
	{"device: nowhere0, backend_ports: none", ", protocol: lmtp, identity: xclient", ""},
};

static void what_may_be_meant_otherwise_is_said(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config c;

		configure(&c, cases[i].interface, cases[i].pool);
		advice_on_config(&c, hear);
		assert_string_equal(said, cases[i].said);
		config_free(&c);
	}
}

static void sysctl(const char *name, const char *text)
{
	char file[64];

	snprintf(file, sizeof(file), "%s/%s", sysctls, name);
	if (text)
		write_file(file, text);
	else
		unlink(file);
}

static const char may_take[] =
	"the kernel may take some of backend_ports (20000-28191) for connections of its own, and "
	"those to servers of pools would fail: add 20000-28191 to the sysctl "
	"net.ipv4.ip_local_reserved_ports\n";

static void ports_that_the_kernel_takes_for_itself_are_told_of(void **state)
{
	static const char none[] =
		"backend_ports is none: no mail can be delivered, and all of it is put off\n";
	static const struct {
		const char *interface, *range, *reserved, *said;
	} ports[] = {
		{"device: nowhere0", "32768\t60999\n", "\n", ""},
		{"device: nowhere0", "1024\t19999\n", "\n", ""},
		{"device: nowhere0", "28192\t60999\n", "\n", ""},
		{"device: nowhere0", "1024\t60999\n", "\n", may_take},
		{"device: nowhere0", "28191\t60999\n", "\n", may_take},
		{"device: nowhere0", "1024\t20000\n", "\n", may_take},
		{"device: nowhere0", "1024\t60999\n", "20000-28191\n", ""},
		{"device: nowhere0", "1024\t60999\n", "80,8080,19000-20000,20001-60000\n", ""},
		{"device: nowhere0", "1024\t60999\n", "20000-24000,24002-28191\n", may_take},
		{"device: nowhere0", "1024\t60999\n", "20001-28191\n", may_take},
		{"device: nowhere0", "1024\t60999\n", "20000-28190\n", may_take},
		{"device: nowhere0", "28190\t60999\n", "28190,28191\n", ""},
		{"device: nowhere0", "nonsense", "\n", ""},
		{"device: nowhere0", NULL, NULL, ""},
		{"vdev: net_null0, addresses: [192.0.2.25]", "1024\t60999\n", "\n", ""},
		{"device: nowhere0, backend_ports: none", "1024\t60999\n", "\n", none},
		{"device: nowhere0, backend_ports: 61000-65000", "32768\t60999\n", "\n", ""},
	};

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		struct config c;

		configure(&c, ports[i].interface, "");
		sysctl("ip_local_port_range", ports[i].range);
		sysctl("ip_local_reserved_ports", ports[i].reserved);
		advice_on_ports(&c, sysctls, hear);
		if (strcmp(said, ports[i].said) != 0)
			fail_msg("%zu: %s", i, said);
		config_free(&c);
	}
}

static void the_kernels_own_ports_are_read(void **state)
{
	char interface[64], wanted[64];
	unsigned first, last;
	struct config c;
	FILE *range = fopen(ADVICE_SYSCTLS "/ip_local_port_range", "re");
	FILE *reserved = fopen(ADVICE_SYSCTLS "/ip_local_reserved_ports", "re");
	bool is_reserved;

	assert_non_null(range);
	assert_non_null(reserved);
	assert_int_equal(fscanf(range, "%u %u", &first, &last), 2);
	is_reserved = fgetc(reserved) != '\n';
	fclose(range);
	fclose(reserved);
	if (is_reserved)
		skip(); /* what is to be said depends on which */
	snprintf(interface, sizeof(interface), "device: nowhere0, backend_ports: %u-%u", first,
		 first);
	configure(&c, interface, "");
	advice_on_ports(&c, ADVICE_SYSCTLS, hear);
	snprintf(wanted, sizeof(wanted), "backend_ports (%u-%u) for", first, first);
	assert_non_null(strstr(said, wanted));
	config_free(&c);
}

static const char *advice_on(const char *lines)
{
	struct roster *roster;
	struct config c;
	char error[512];

	configure(&c, "device: nowhere0", "");
	write_file(directory, lines);
	if (roster_new(&roster, &c, NULL, error, sizeof(error)))
		fail_msg("%s", error);
	advice_on_directories(&c, roster, hear);
	roster_free(roster);
	config_free(&c);
	return said;
}

static void a_domain_of_several_pools_is_told_of(void **state)
{
	assert_string_equal(advice_on("a@example.net\nb@example.net pool=one\n"), "");
	assert_non_null(strstr(advice_on("a@example.net\nb@example.net pool=two\n"),
			       "example.net has recipients of other pools than one: "));
}

static int make_files(void **state)
{
	int one = mkstemp(directory), two = mkstemp(path);

	return one < 0 || two < 0 || close(one) || close(two) || !mkdtemp(sysctls) ? -1 : 0;
}

static int remove_files(void **state)
{
	sysctl("ip_local_port_range", NULL);
	sysctl("ip_local_reserved_ports", NULL);
	return unlink(directory) || unlink(path) || rmdir(sysctls) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_meant_otherwise_is_said),
		cmocka_unit_test(ports_that_the_kernel_takes_for_itself_are_told_of),
		cmocka_unit_test(the_kernels_own_ports_are_read),
		cmocka_unit_test(a_domain_of_several_pools_is_told_of),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
