/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Directories read anew: who is served by which reading, and how it ends. The data plane is a
 * double that holds up who publishes until the test lets it.
 */
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/reload.h"

enum { PATIENCE_MS = 20000 };

struct dataplane {
	struct recipients *published;
	sem_t comes, goes;
};

uint64_t dataplane_publish_recipients_take(struct dataplane *dp, struct recipients *recipients)
{
	sem_post(&dp->comes);
	while (sem_wait(&dp->goes) && errno == EINTR)
		;
	recipients_free(dp->published);
	dp->published = recipients;
	return 0;
}

static char path[64];
static char example_net[] = "example.net", mailstore[] = "mailstore", nothing[] = "";
static struct config_domain domain = {
	.name = example_net, .recipients = path, .pool = mailstore, .subaddress = nothing};
static struct config_pool pool = {.name = mailstore};
static struct config config = {.domains = &domain, .n_domains = 1, .pools = &pool, .n_pools = 1};
static struct dataplane dataplane;

static struct world {
	struct roster *roster;
	struct reload *reload;
} world;

static void directory(const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int begin(void **state)
{
	char error[512];
	int fd;

	snprintf(path, sizeof(path), "/tmp/postern-reload-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0 || close(fd))
		return -1;
	directory("anna@example.net\n");
	sem_init(&dataplane.comes, 0, 0);
	sem_init(&dataplane.goes, 0, 1);
	if (roster_new(&world.roster, &config, NULL, error, sizeof(error)))
		return -1;
	roster_start(world.roster, &dataplane);
	sem_wait(&dataplane.comes);
	return reload_new(&world.reload, world.roster, error, sizeof(error));
}

static int end(void **state)
{
	reload_free(world.reload);
	roster_free(world.roster);
	recipients_free(dataplane.published);
	dataplane.published = NULL;
	return unlink(path);
}

static struct reload_outcome wait_for(uint64_t number)
{
	struct reload_outcome last;

	do {
		struct pollfd done = {reload_fd(world.reload), POLLIN, 0};
		uint64_t times;

		assert_int_equal(poll(&done, 1, PATIENCE_MS), 1);
		assert_true(read(done.fd, &times, sizeof(times)) > 0);
		reload_last(world.reload, &last);
	} while (last.number < number);
	return last;
}

static void what_was_done_is_told(void **state)
{
	struct reload_outcome last;

	reload_last(world.reload, &last);
	assert_int_equal(last.number, 0);
	sem_post(&dataplane.goes);
	last = wait_for(reload_ask(world.reload, false));
	assert_int_equal(last.rc, 0);
	assert_true(last.done > 0);
	directory("nonsense\n");
	last = wait_for(reload_ask(world.reload, true));
	assert_int_equal(last.rc, -EBADMSG);
	assert_non_null(strstr(last.error, ":1: the address is malformed"));
}

static void who_asks_meanwhile_is_served_by_the_next(void **state)
{
	struct reload_outcome last;
	uint64_t first, second, third;

	first = reload_ask(world.reload, false);
	sem_wait(&dataplane.comes);
	directory("anna@example.net\notto@example.net\n");
	second = reload_ask(world.reload, false);
	third = reload_ask(world.reload, false);
	sem_post(&dataplane.goes);
	last = wait_for(first);
	assert_true(last.number < second);
	sem_post(&dataplane.goes);
	assert_int_equal(wait_for(second).number, third);
	assert_int_equal(roster_count(world.roster), 2);
}

/* What takes minutes to read. */
static void its_end_breaks_off_what_is_under_way(void **state)
{
	assert_int_equal(truncate(path, 1ll << 40), 0);
	reload_ask(world.reload, false);
}

#define IN_A_WORLD(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_WORLD(what_was_done_is_told),
		IN_A_WORLD(who_asks_meanwhile_is_served_by_the_next),
		IN_A_WORLD(its_end_breaks_off_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
