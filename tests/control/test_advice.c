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

static char directory[] = "/tmp/postern-advice-XXXXXX", path[] = "/tmp/postern-advice-XXXXXX";
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
	{"device: nowhere0, backend_ports: 20000-28191", ", protocol: smtp, identity: none", ""},
	{"device: nowhere0, backend_ports: none", "",
	 "without effect as long as mail is not relayed: backend_ports\n"},
	{"device: nowhere0", ", protocol: lmtp, identity: xclient",
	 "without effect as long as mail is not relayed: protocol identity\n"},
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

	return one < 0 || two < 0 || close(one) || close(two) ? -1 : 0;
}

static int remove_files(void **state)
{
	return unlink(directory) || unlink(path) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_meant_otherwise_is_said),
		cmocka_unit_test(a_domain_of_several_pools_is_told_of),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
