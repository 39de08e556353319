/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the control socket answers: each method's result, and what it says of parameters that make
 * no sense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "desk.h"
#include "postern/counters.h"

static struct desk desk;

static int begin(void **state)
{
	desk_begin(&desk, false);
	return 0;
}

static int begin_observing(void **state)
{
	desk_begin(&desk, true);
	return 0;
}

static int end(void **state)
{
	desk_end(&desk);
	return 0;
}

/* The whole answer; params as JSON. */
static json_t *answer_of(const char *method, const char *params)
{
	char request[512], *line;
	json_t *answer;

	snprintf(request, sizeof(request),
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}", method, params);
	line = rpc_answer(control_methods, &desk.methods, request, strlen(request));
	assert_non_null(line);
	answer = json_loads(line, 0, NULL);
	assert_non_null(answer);
	free(line);
	return answer;
}

static json_t *result_of(const char *method, const char *params)
{
	json_t *answer = answer_of(method, params), *result = json_object_get(answer, "result");

	if (!result)
		fail_msg("%s: %s", method,
			 json_string_value(
				 json_object_get(json_object_get(answer, "error"), "message")));
	json_incref(result);
	json_decref(answer);
	return result;
}

static void expect_error(const char *method, const char *params, int code, const char *says)
{
	json_t *answer = answer_of(method, params), *error = json_object_get(answer, "error");
	const char *message = json_string_value(json_object_get(error, "message"));

	assert_non_null(message);
	assert_int_equal(json_integer_value(json_object_get(error, "code")), code);
	if (!strstr(message, says))
		fail_msg("%s %s: %s", method, params, message);
	json_decref(answer);
}

static const char *text(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_string(value))
		fail_msg("%s is no string", name);
	return json_string_value(value);
}

static json_int_t integer(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	if (!json_is_integer(value))
		fail_msg("%s is no integer", name);
	return json_integer_value(value);
}

static bool is_true(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);

	assert_true(json_is_boolean(value));
	return json_is_true(value);
}

static void each_method_is_reached_by_its_name_alone(void **state)
{
	static const char *const names[] = {
		"counters",	     "pools.drain",  "pools.list", "pools.restore",
		"recipients.lookup", "reload",	     "shield.add", "shield.explain",
		"shield.list",	     "shield.unban", "status",	   "version"};
	size_t n = 0;

	for (; control_methods[n].name; n++)
		assert_string_equal(control_methods[n].name, names[n]);
	assert_int_equal(n, sizeof(names) / sizeof(names[0]));
	expect_error("shield", "[]", RPC_METHOD_NOT_FOUND, "shield");
}

static void status_tells_how_things_stand(void **state)
{
	json_t *result, *recipients, *domain, *pools, *pool;

	verdicts_guess(&desk.world, "192.0.2.7", true);
	flags_take(desk.world.flags);
	result = result_of("status", "[]");
	recipients = json_object_get(result, "recipients");
	domain = json_array_get(json_object_get(recipients, "first_domains"), 0);
	assert_string_equal(text(result, "hostname"), "mx.example.net");
	assert_int_equal(integer(result, "uptime_s"), 60);
	assert_int_equal(integer(json_object_get(result, "connections"), "open"), 3);
	pools = json_object_get(result, "pools");
	assert_int_equal(integer(pools, "servers"), 4);
	assert_int_equal(integer(pools, "well"), 2);
	pool = json_array_get(json_object_get(pools, "first_pools"), 0);
	assert_string_equal(text(pool, "pool"), "mailstore");
	assert_int_equal(integer(pool, "servers"), 3);
	assert_int_equal(integer(pool, "well"), 1);
	assert_int_equal(integer(recipients, "known"), 4);
	assert_string_equal(text(domain, "domain"), "example.net");
	assert_int_equal(integer(domain, "bad_lines"), 1);
	assert_non_null(strstr(text(domain, "first_bad"), ":5: "));
	assert_string_equal(text(json_object_get(result, "harvest"), "mode"), "enforce");
	assert_int_equal(integer(json_object_get(result, "verdicts"), "heard"), 1);
	assert_false(is_true(result, "shield"));
	json_decref(result);
}

static void counters_are_all_there(void **state)
{
	json_t *result = result_of("counters", "[]");

#define X(name, says) assert_true(json_is_integer(json_object_get(result, #name)));
	POSTERN_COUNTERS(X)
#undef X
	assert_int_equal(integer(result, "port_rx_frames"), 7);
	assert_true(integer(result, "worker_sleeps") == 1ll << 60);
	json_decref(result);
}

static void version_is_told(void **state)
{
	json_t *result = result_of("version", "[]");

	assert_true(strlen(text(result, "version")) > 0);
	json_decref(result);
}

static void a_lookup_tells_what_a_client_would_be_told(void **state)
{
	static const struct {
		const char *asked, *finding, *reply, *class, *pool;
	} cases[] = {
		{"known@Example.NET", "known", "250 2.1.5", "normal", "mailstore"},
		{"known+list@example.net", "known", "250 2.1.5", "normal", "mailstore"},
		{"trap@example.net", "known", "550 5.1.1", "trap", "mailstore"},
		{"full@example.net", "known", "452 4.2.2", "over-quota", "mailstore"},
		{"old@example.net", "known", "250 2.1.5", "normal", "archive"},
		{"nobody@example.net", "unknown", "550 5.1.1", NULL, NULL},
		{"known@example.com", "not-ours", "550 5.7.1", NULL, NULL},
		{"postmaster@example.net", "known", "250 2.1.5", "normal", "mailstore"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char params[128];
		json_t *result;

		snprintf(params, sizeof(params), "[\"%s\"]", cases[i].asked);
		result = result_of("recipients.lookup", params);
		assert_string_equal(text(result, "finding"), cases[i].finding);
		assert_string_equal(text(result, "reply"), cases[i].reply);
		if (cases[i].class) {
			assert_string_equal(text(result, "class"), cases[i].class);
			assert_string_equal(text(result, "pool"), cases[i].pool);
			assert_string_equal(text(result, "domain"), "example.net");
		} else {
			assert_true(json_is_null(json_object_get(result, "class")));
			assert_true(json_is_null(json_object_get(result, "pool")));
		}
		assert_true(is_true(result, "postmaster") == (i == 7));
		json_decref(result);
	}
}

static void who_is_shut_out_is_listed_with_the_evidence(void **state)
{
	json_t *result, *entry;

	verdicts_guess(&desk.world, "192.0.2.7", true);
	verdicts_pass(10);
	result = result_of("shield.list", "[]");
	assert_int_equal(json_array_size(json_object_get(result, "entries")), 1);
	assert_true(json_is_null(json_object_get(result, "next")));
	entry = json_array_get(json_object_get(result, "entries"), 0);
	assert_string_equal(text(entry, "address"), "192.0.2.7");
	assert_string_equal(text(entry, "what"), "shut out");
	assert_string_equal(text(entry, "by"), "harvest");
	assert_int_equal(integer(entry, "until"), VERDICTS_START + 300);
	assert_int_equal(integer(entry, "left_s"), 290);
	assert_int_equal(integer(entry, "unknown_today"), 4);
	assert_true(json_real_value(json_object_get(entry, "score")) > 11.5);
	assert_true(json_is_null(json_object_get(entry, "kernel")));
	json_decref(result);
}

static void a_long_list_comes_page_by_page(void **state)
{
	enum { CLIENTS = 300 };
	bool seen[CLIENTS] = {false};
	char params[64] = "[7]";
	unsigned pages = 0;
	bool more = true;

	for (unsigned i = 0; i < CLIENTS; i++) {
		char add[64];

		snprintf(add, sizeof(add), "[\"10.0.%u.%u\", \"1h\"]", i / 256, i % 256);
		json_decref(result_of("shield.add", add));
	}
	while (more) {
		json_t *page = result_of("shield.list", params), *entry, *next;
		size_t i;

		json_array_foreach(json_object_get(page, "entries"), i, entry)
		{
			unsigned high, low;

			assert_int_equal(sscanf(text(entry, "address"), "10.0.%u.%u", &high, &low),
					 2);
			assert_false(seen[high * 256 + low]);
			seen[high * 256 + low] = true;
		}
		assert_true(i <= 7);
		next = json_object_get(page, "next");
		more = !json_is_null(next);
		snprintf(params, sizeof(params), "[7, %lld]", json_integer_value(next));
		json_decref(page);
		assert_true(pages++ < 100);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		assert_true(seen[i]);
}

static void what_is_added_is_listed_explained_and_ended(void **state)
{
	json_t *result = result_of("shield.add", "[\"2001:db8:1:2::9\", \"10m\"]"), *level;

	assert_string_equal(text(result, "address"), "2001:db8:1:2::/64");
	assert_int_equal(integer(result, "until"), VERDICTS_START + 600);
	json_decref(result);
	result = result_of("shield.explain", "[\"2001:db8:1:2::1\"]");
	assert_true(is_true(result, "shut_out"));
	assert_int_equal(integer(result, "until"), VERDICTS_START + 600);
	assert_non_null(strstr(text(result, "why"), "operator"));
	assert_int_equal(json_array_size(json_object_get(result, "levels")), 3);
	level = json_array_get(json_object_get(result, "levels"), 2);
	assert_string_equal(text(level, "address"), "2001:db8:1::/48");
	json_decref(result);
	result = result_of("shield.unban", "[\"2001:db8:1:2::/64\"]");
	assert_true(is_true(result, "was_out"));
	assert_true(json_is_null(json_object_get(result, "still_out_by")));
	json_decref(result);
	result = result_of("shield.explain", "[\"2001:db8:1:2::1\"]");
	assert_false(is_true(result, "shut_out"));
	assert_true(json_is_null(json_object_get(result, "until")));
	json_decref(result);
}

/* The map is full, say. There is no map here at all; nobody asks the shield itself. */
static void what_the_kernel_did_not_take_is_told(void **state)
{
	json_t *result;

	desk.methods.shield = (struct shield *)&desk;
	result = result_of("shield.add", "[\"192.0.2.7\", \"10m\"]");
	assert_false(is_true(result, "in_kernel"));
	json_decref(result);
	desk.methods.shield = NULL;
	result = result_of("shield.add", "[\"192.0.2.8\", \"10m\"]");
	assert_true(json_is_null(json_object_get(result, "in_kernel")));
	json_decref(result);
}

static void unban_names_the_prefix_that_still_holds(void **state)
{
	json_t *result;

	json_decref(result_of("shield.add", "[\"192.0.2.0/24\", \"10m\"]"));
	result = result_of("shield.unban", "[\"192.0.2.77\"]");
	assert_false(is_true(result, "was_out"));
	assert_string_equal(text(result, "still_out_by"), "192.0.2.0/24");
	json_decref(result);
}

static void explain_tells_why(void **state)
{
	static const struct {
		const char *client, *why;
		bool is_out;
	} cases[] = {
		{"192.0.2.7", "4 today, and has been shut out 1 time", true},
		{"192.0.2.8", "credit", false},
		{"192.0.2.9", "nothing is known", false},
		{"198.51.100.1", "operator", true},
	};

	verdicts_guess(&desk.world, "192.0.2.7", true);
	verdicts_deliver(&desk.world, "192.0.2.8", 3);
	json_decref(result_of("shield.add", "[\"198.51.100.0/24\", \"10m\"]"));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char params[64];
		json_t *result;

		snprintf(params, sizeof(params), "[\"%s\"]", cases[i].client);
		result = result_of("shield.explain", params);
		if (!strstr(text(result, "why"), cases[i].why))
			fail_msg("%s: %s", cases[i].client, text(result, "why"));
		assert_true(is_true(result, "shut_out") == cases[i].is_out);
		json_decref(result);
	}
}

static void credit_spares_a_client_its_prefix_in_words_too(void **state)
{
	json_t *result;

	verdicts_deliver(&desk.world, "192.0.2.8", 3);
	json_decref(result_of("shield.add", "[\"192.0.2.0/24\", \"10m\"]"));
	result = result_of("shield.explain", "[\"192.0.2.8\"]");
	assert_false(is_true(result, "shut_out"));
	assert_string_equal(text(result, "why"), "it has credit");
	json_decref(result);
}

static void to_observe_is_told_of_as_that(void **state)
{
	json_t *result;

	verdicts_guess(&desk.world, "192.0.2.7", false);
	result = result_of("shield.explain", "[\"192.0.2.7\"]");
	assert_false(is_true(result, "shut_out"));
	assert_true(is_true(result, "observed"));
	json_decref(result);
	result = result_of("shield.list", "[]");
	assert_string_equal(text(json_array_get(json_object_get(result, "entries"), 0), "what"),
			    "observed");
	json_decref(result);
	expect_error("shield.add", "[\"192.0.2.7\", \"10m\"]", RPC_FAILED, "observe");
}

/* --- pools ----------------------------------------------------------------------------------- */

static void each_server_is_listed_with_how_it_is(void **state)
{
	json_t *result = result_of("pools.list", "[]");
	json_t *entries = json_object_get(result, "entries"), *entry;

	assert_int_equal(json_array_size(entries), 4);
	assert_true(json_is_null(json_object_get(result, "next")));
	entry = json_array_get(entries, 0);
	assert_string_equal(text(entry, "pool"), "mailstore");
	assert_string_equal(text(entry, "server"), "198.51.100.10:25");
	assert_string_equal(text(entry, "protocol"), "smtp");
	assert_string_equal(text(entry, "identity"), "xclient");
	assert_string_equal(text(entry, "state"), "well");
	assert_int_equal(integer(entry, "connections"), 7);
	assert_int_equal(integer(entry, "limit"), 100);
	assert_int_equal(integer(entry, "in_use"), 3);
	assert_int_equal(integer(entry, "taken"), 1000);
	assert_int_equal(integer(entry, "refused"), 20);
	assert_int_equal(integer(entry, "failed"), 1);
	assert_int_equal(integer(entry, "latency_us"), 12345);
	assert_int_equal(integer(entry, "since_s"), 60); /* we are up for so long */
	assert_true(json_is_null(json_object_get(entry, "trial_in_s")));
	assert_true(json_is_null(json_object_get(entry, "error")));
	entry = json_array_get(entries, 1);
	assert_string_equal(text(entry, "state"), "down");
	assert_int_equal(integer(entry, "since_s"), 90);
	assert_int_equal(integer(entry, "trial_in_s"), 3);
	assert_string_equal(text(entry, "error"), "no answer to our SYN");
	assert_true(json_is_null(json_object_get(entry, "latency_us")));
	entry = json_array_get(entries, 2);
	assert_string_equal(text(entry, "state"), "wrong");
	assert_int_equal(integer(entry, "trial_in_s"), 0);
	entry = json_array_get(entries, 3);
	assert_string_equal(text(entry, "pool"), "archive");
	assert_string_equal(text(entry, "server"), "[2001:db8::10]:24");
	assert_string_equal(text(entry, "protocol"), "lmtp");
	assert_string_equal(text(entry, "identity"), "none");
	assert_string_equal(text(entry, "state"), "starting");
	json_decref(result);
}

static void servers_come_page_by_page(void **state)
{
	static const char *const pages[] = {"[3]", "[3, 3]", "[0, 1]", "[1000, 4]"};
	static const size_t sizes[] = {3, 1, 1, 0};
	static const json_int_t nexts[] = {3, 0, 2, 0};

	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		json_t *page = result_of("pools.list", pages[i]);

		assert_int_equal(json_array_size(json_object_get(page, "entries")), sizes[i]);
		if (nexts[i])
			assert_int_equal(integer(page, "next"), nexts[i]);
		else
			assert_true(json_is_null(json_object_get(page, "next")));
		json_decref(page);
	}
}

static void a_server_is_drained_and_restored_alone(void **state)
{
	json_t *result = result_of("pools.drain", "[\"mailstore\", \"198.51.100.10:25\"]"), *list;

	assert_string_equal(text(result, "server"), "198.51.100.10:25");
	assert_string_equal(text(result, "state"), "drained");
	assert_int_equal(integer(result, "in_use"), 3);
	json_decref(result);
	list = result_of("pools.list", "[]");
	assert_string_equal(text(json_array_get(json_object_get(list, "entries"), 1), "state"),
			    "down");
	json_decref(list);
	result = result_of("status", "[]");
	assert_int_equal(integer(json_object_get(result, "pools"), "well"), 1);
	json_decref(result);
	result = result_of("pools.restore", "[\"mailstore\", \"198.51.100.10:25\"]");
	assert_string_equal(text(result, "state"), "well");
	json_decref(result);
	/* However its address is written. */
	result = result_of("pools.drain", "[\"archive\", \"[2001:0DB8:0::10]:24\"]");
	assert_string_equal(text(result, "server"), "[2001:db8::10]:24");
	assert_string_equal(text(result, "state"), "drained");
	json_decref(result);
}

static void what_makes_no_sense_is_refused_with_what_would(void **state)
{
	static const struct {
		const char *method, *params, *says;
	} cases[] = {
		{"status", "[1]", "none"},
		{"counters", "[null]", "none"},
		{"version", "[\"\"]", "none"},
		{"pools.list", "[-1]", "number"},
		{"pools.list", "[1,2,3]", "how many"},
		{"pools.drain", "[\"mailstore\"]", "the server's address and port"},
		{"pools.drain", "[1, \"198.51.100.10:25\"]", "parameter 1 must be the pool's name"},
		{"pools.drain", "[\"mailstore\", 25]", "parameter 2 must be the server's"},
		{"pools.drain", "[\"mailstore\", \"198.51.100.10\"]", "like 192.0.2.1:25"},
		{"pools.drain", "[\"mailstore\", \"198.51.100.10:25 weight=1\"]", "192.0.2.1:25"},
		{"pools.drain", "[\"nowhere\", \"198.51.100.10:25\"]", "there is no pool nowhere"},
		{"pools.drain", "[\"archive\", \"198.51.100.10:25\"]",
		 "pool archive has no server 198.51.100.10:25"},
		{"pools.restore", "[\"mailstore\", \"198.51.100.10:26\"]",
		 "pool mailstore has no server 198.51.100.10:26"},
		{"pools.restore", "[\"nowhere\", \"198.51.100.10:25\"]", "no pool nowhere"},
		{"recipients.lookup", "[]", "address"},
		{"recipients.lookup", "[1]", "address"},
		{"recipients.lookup", "[\"a@b@c\"]", "malformed"},
		{"reload", "[\"now\"]", "shrunk"},
		{"reload", "[true]", "shrunk"},
		{"shield.list", "[-1]", "number"},
		{"shield.list", "[\"x\"]", "number"},
		{"shield.list", "[1,2,3]", "how many"},
		{"shield.add", "[\"192.0.2.7\"]", "duration"},
		{"shield.add", "[\"192.0.2.7\", \"soon\"]", "10m"},
		{"shield.add", "[\"192.0.2.7\", \"0s\"]", "10m"},
		{"shield.add", "[\"192.0.2.7\", 5]", "10m"},
		{"shield.add", "[\"192.0.2.7\", \"99999999h\"]", "10 years"},
		{"shield.add", "[\"nonsense\", \"10m\"]", "192.0.2.0/24"},
		{"shield.add", "[\"192.0.2.0/23\", \"10m\"]", "/24"},
		{"shield.unban", "[\"192.0.2.0/23\"]", "/24"},
		{"shield.unban", "[{}]", "192.0.2.0/24"},
		{"shield.explain", "[\"192.0.2.0/24\"]", "address"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_error(cases[i].method, cases[i].params, RPC_INVALID_PARAMS, cases[i].says);
}

#define AT_A_DESK(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AT_A_DESK(each_method_is_reached_by_its_name_alone),
		AT_A_DESK(status_tells_how_things_stand),
		AT_A_DESK(counters_are_all_there),
		AT_A_DESK(version_is_told),
		AT_A_DESK(a_lookup_tells_what_a_client_would_be_told),
		AT_A_DESK(who_is_shut_out_is_listed_with_the_evidence),
		AT_A_DESK(a_long_list_comes_page_by_page),
		AT_A_DESK(what_is_added_is_listed_explained_and_ended),
		AT_A_DESK(what_the_kernel_did_not_take_is_told),
		AT_A_DESK(unban_names_the_prefix_that_still_holds),
		AT_A_DESK(explain_tells_why),
		AT_A_DESK(credit_spares_a_client_its_prefix_in_words_too),
		cmocka_unit_test_setup_teardown(to_observe_is_told_of_as_that, begin_observing,
						end),
		AT_A_DESK(each_server_is_listed_with_how_it_is),
		AT_A_DESK(servers_come_page_by_page),
		AT_A_DESK(a_server_is_drained_and_restored_alone),
		AT_A_DESK(what_makes_no_sense_is_refused_with_what_would),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
