/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a person sees. Thread, Time, Memory, Rules: print.h.
 */
#include "control/print.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "postern/counters.h"

enum { COLUMNS_MAX = 13, DEPTH_MAX = 8, MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* --- text ------------------------------------------------------------------------------------ */

/* The character at p, its length in *len; jansson lets only UTF-8 through, the rest is taken octet
 * by octet. */
static uint32_t character(const unsigned char *p, unsigned *len)
{
	unsigned n = p[0] < 0xc0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	uint32_t c = n == 1 ? p[0] : p[0] & (0x7fu >> n);

	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80) {
			*len = 1;
			return p[0];
		}
		c = c << 6 | (p[i] & 0x3f);
	}
	*len = n;
	return c;
}

/* C0, DEL, C1, and what turns the direction of writing. */
static bool commands_terminal(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || (c >= 0x200e && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void print_text(FILE *to, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned len;

	for (; *p; p += len) {
		uint32_t c = character(p, &len);

		if (commands_terminal(c) || (len == 1 && c >= 0x80))
			fprintf(to, "\\u%04x", c);
		else
			fwrite(p, 1, len, to);
	}
}

static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* --- values ---------------------------------------------------------------------------------- */

/* The two greatest units: "2 d 3 h", "4 min 10 s". */
static void write_duration(FILE *to, long long s)
{
	if (s >= DAY)
		fprintf(to, "%lld d %lld h", s / DAY, s % DAY / HOUR);
	else if (s >= HOUR)
		fprintf(to, "%lld h %lld min", s / HOUR, s % HOUR / MINUTE);
	else if (s >= MINUTE)
		fprintf(to, "%lld min %lld s", s / MINUTE, s % MINUTE);
	else
		fprintf(to, "%lld s", s);
}

static void write_short_duration(FILE *to, long long us)
{
	if (us >= 1000000)
		fprintf(to, "%.1f s", (double)us / 1e6);
	else if (us >= 1000)
		fprintf(to, "%.1f ms", (double)us / 1e3);
	else
		fprintf(to, "%lld us", us);
}

static void write_moment(FILE *to, long long seconds, time_t now)
{
	time_t moment = (time_t)seconds;
	char text[64];
	struct tm tm;

	if (!localtime_r(&moment, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0) {
		fprintf(to, "%lld", seconds);
		return;
	}
	fprintf(to, "%s (", text);
	write_duration(to, moment < now ? now - moment : moment - now);
	fputs(moment < now ? " ago)" : ")", to);
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n >= m && strcmp(name + n - m, end) == 0;
}

static bool is_moment(const char *name)
{
	static const char *const names[] = {
		"until", "null_senders_until", "began", "loaded", "last_reload",
		"seen",	 "checkpoint_written"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void write_value(FILE *to, const char *name, const json_t *value, time_t now)
{
	char *text;

	switch (value ? json_typeof(value) : JSON_NULL) {
	case JSON_NULL:
		fputc('-', to);
		break;
	case JSON_TRUE:
		fputs("yes", to);
		break;
	case JSON_FALSE:
		fputs("no", to);
		break;
	case JSON_STRING:
		print_text(to, json_string_value(value));
		break;
	case JSON_REAL:
		fprintf(to, "%.2f", json_real_value(value));
		break;
	case JSON_INTEGER:
		if (is_moment(name))
			write_moment(to, json_integer_value(value), now);
		else if (ends_with(name, "_s"))
			write_duration(to, json_integer_value(value));
		else if (ends_with(name, "_us"))
			write_short_duration(to, json_integer_value(value));
		else
			fprintf(to, "%lld", (long long)json_integer_value(value));
		break;
	default:
		text = json_dumps(value, JSON_COMPACT | JSON_ENSURE_ASCII);
		print_text(to, text ? text : "?");
		free(text);
	}
}

/* As it will stand there; to be freed. */
static char *value_text(const char *name, const json_t *value, time_t now)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	write_value(to, name, value, now);
	fclose(to);
	return text;
}

/* --- tables ---------------------------------------------------------------------------------- */

struct column {
	const char *head;
	const char *name; /* "a.b" is b of the object a */
};

struct table {
	const struct column *columns;
	unsigned n_columns;
	size_t n_rows;
	char **cells; /* row by row; NULL where there was no memory */
	size_t width[COLUMNS_MAX];
};

static const char *cell(const struct table *t, size_t row, unsigned column)
{
	const char *text = t->cells[row * t->n_columns + column];

	return text ? text : "?";
}

static char *cell_text(const json_t *row, const char *name, time_t now)
{
	const char *dot = strchr(name, '.');
	char outer[32];

	if (!dot)
		return value_text(name, json_object_get(row, name), now);
	snprintf(outer, sizeof(outer), "%.*s", (int)(dot - name), name);
	return value_text(dot + 1, json_object_get(json_object_get(row, outer), dot + 1), now);
}

static bool table_fill(struct table *t, const json_t *rows, time_t now)
{
	t->n_rows = json_array_size(rows);
	t->cells = calloc(t->n_rows * t->n_columns + 1, sizeof(*t->cells));
	if (!t->cells)
		return false;
	for (unsigned c = 0; c < t->n_columns; c++)
		t->width[c] = width_of(t->columns[c].head);
	for (size_t r = 0; r < t->n_rows; r++)
		for (unsigned c = 0; c < t->n_columns; c++) {
			size_t width;

			t->cells[r * t->n_columns + c] =
				cell_text(json_array_get(rows, r), t->columns[c].name, now);
			width = width_of(cell(t, r, c));
			t->width[c] = width > t->width[c] ? width : t->width[c];
		}
	return true;
}

static void table_cell(FILE *to, const struct table *t, unsigned column, const char *text)
{
	size_t width = width_of(text);

	fputs(text, to);
	if (column + 1 == t->n_columns)
		fputc('\n', to);
	else
		fprintf(to, "%*s", (int)(t->width[column] - width + 2), "");
}

static void print_table(FILE *to, const struct column *columns, unsigned n, const json_t *rows,
			time_t now, bool has_head)
{
	struct table t = {.columns = columns, .n_columns = n};

	if (!table_fill(&t, rows, now)) {
		fputs("no memory for the table\n", to);
		return;
	}
	for (unsigned c = 0; has_head && c < n; c++)
		table_cell(to, &t, c, columns[c].head);
	for (size_t r = 0; r < t.n_rows; r++)
		for (unsigned c = 0; c < n; c++)
			table_cell(to, &t, c, cell(&t, r, c));
	for (size_t i = 0; i < t.n_rows * n; i++)
		free(t.cells[i]);
	free(t.cells);
}

/* To be freed. */
static char *escaped(const char *text)
{
	char *copy = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&copy, &len);

	if (!to)
		return NULL;
	print_text(to, text);
	fclose(to);
	return copy;
}

/* A column a field of the first row. */
static void print_any_table(FILE *to, const json_t *rows, time_t now)
{
	struct column columns[COLUMNS_MAX];
	char *heads[COLUMNS_MAX];
	const char *name;
	json_t *value;
	unsigned n = 0;

	json_object_foreach(json_array_get(rows, 0), name, value)
	{
		if (n == COLUMNS_MAX)
			break;
		heads[n] = escaped(name);
		columns[n] = (struct column){heads[n] ? heads[n] : "?", name};
		n++;
	}
	print_table(to, columns, n, rows, now, true);
	while (n)
		free(heads[--n]);
}

/* --- objects --------------------------------------------------------------------------------- */

static bool is_table(const json_t *value)
{
	return json_is_array(value) && json_object_size(json_array_get(value, 0)) > 0;
}

static void print_object(FILE *to, const json_t *object, time_t now, unsigned depth)
{
	const char *name;
	json_t *value;
	size_t width = 0;

	json_object_foreach((json_t *)object, name, value) width =
		width_of(name) > width ? width_of(name) : width;
	json_object_foreach((json_t *)object, name, value)
	{
		bool is_deep = json_is_object(value) && depth < DEPTH_MAX;

		fprintf(to, "%*s", (int)(2 * depth), "");
		print_text(to, name);
		if (is_deep || is_table(value)) {
			fputc('\n', to);
			if (is_deep)
				print_object(to, value, now, depth + 1);
			else
				print_any_table(to, value, now);
			continue;
		}
		fprintf(to, "%*s", (int)(width - width_of(name) + 2), "");
		write_value(to, name, value, now);
		fputc('\n', to);
	}
}

/* --- methods --------------------------------------------------------------------------------- */

/* A string member that is known to have no harm in it when it is missing. */
static void print_member(FILE *to, const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	print_text(to, text ? text : "?");
}

static void print_until(FILE *to, const json_t *object, time_t now)
{
	fputs("until ", to);
	write_value(to, "until", json_object_get(object, "until"), now);
}

static void print_list(FILE *to, const json_t *result, time_t now, bool is_first)
{
	static const struct column columns[] = {
		{"ADDRESS", "address"},
		{"WHAT", "what"},
		{"BY", "by"},
		{"LEVEL", "level"},
		{"UNKNOWN", "unknown_today"},
		{"DELIVERED", "delivered_today"},
		{"DROPS", "kernel.drops"},
		{"UNTIL", "until"},
	};
	const json_t *entries = json_object_get(result, "entries");

	if (json_array_size(entries))
		print_table(to, columns, sizeof(columns) / sizeof(columns[0]), entries, now,
			    is_first);
	else if (is_first && json_is_null(json_object_get(result, "next")))
		fputs("nobody is shut out\n", to);
}

static void print_explain(FILE *to, const json_t *result, time_t now)
{
	static const struct column columns[] = {
		{"LEVEL", "address"},
		{"SCORE", "score"},
		{"LINE", "line"},
		{"UNKNOWN", "unknown_today"},
		{"DELIVERED", "delivered_today"},
		{"TIMES", "level"},
		{"DROPS", "kernel.drops"},
		{"UNTIL", "until"},
		{"WHY", "why"},
	};

	print_member(to, result, "address");
	if (json_is_true(json_object_get(result, "shut_out"))) {
		fputs(" is shut out ", to);
		print_until(to, result, now);
	} else if (json_is_true(json_object_get(result, "observed"))) {
		fputs(" would be shut out ", to);
		print_until(to, result, now);
	} else {
		fputs(" is not shut out", to);
	}
	fputs(": ", to);
	print_member(to, result, "why");
	fputs("\n\n", to);
	print_table(to, columns, sizeof(columns) / sizeof(columns[0]),
		    json_object_get(result, "levels"), now, true);
}

static void print_add(FILE *to, const json_t *result, time_t now)
{
	print_member(to, result, "address");
	fputs(" is shut out ", to);
	print_until(to, result, now);
	if (json_is_false(json_object_get(result, "in_kernel")))
		fputs("; the kernel did not take it: `posternctl status` says why", to);
	fputc('\n', to);
}

static void print_unban(FILE *to, const json_t *result)
{
	print_member(to, result, "address");
	fputs(json_is_true(json_object_get(result, "was_out")) ? " is let in" : " was not shut out",
	      to);
	if (json_is_string(json_object_get(result, "still_out_by"))) {
		fputs(", but ", to);
		print_member(to, result, "still_out_by");
		fputs(" is shut out", to);
	}
	fputc('\n', to);
}

static void print_pools(FILE *to, const json_t *result, time_t now, bool is_first)
{
	static const struct column columns[] = {
		{"POOL", "pool"},	{"SERVER", "server"},	    {"STATE", "state"},
		{"FOR", "since_s"},	{"TRIAL IN", "trial_in_s"}, {"OPEN", "connections"},
		{"LIMIT", "limit"},	{"IN USE", "in_use"},	    {"TAKEN", "taken"},
		{"REFUSED", "refused"}, {"FAILED", "failed"},	    {"LATENCY", "latency_us"},
		{"ERROR", "error"},
	};

	print_table(to, columns, sizeof(columns) / sizeof(columns[0]),
		    json_object_get(result, "entries"), now, is_first);
}

/* One that was drained or restored. */
static void print_server(FILE *to, const json_t *result)
{
	json_int_t in_use = json_integer_value(json_object_get(result, "in_use"));

	print_member(to, result, "server");
	fputs(" of ", to);
	print_member(to, result, "pool");
	fputs(" is ", to);
	print_member(to, result, "state");
	if (in_use)
		fprintf(to, ", %lld message%s under way", (long long)in_use,
			in_use == 1 ? "" : "s");
	fputc('\n', to);
}

static const char *says(const char *counter)
{
	static const struct {
		const char *name, *text;
	} texts[] = {
#define X(name, text) {#name, text},
		POSTERN_COUNTERS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(texts[i].name, counter) == 0)
			return texts[i].text;
	return "";
}

static void print_counters(FILE *to, const json_t *result)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)result, name, value)
	{
		fprintf(to, "%20lld  ", (long long)json_integer_value(value));
		print_text(to, name);
		fprintf(to, "%*s%s\n", (int)(width_of(name) < 26 ? 26 - width_of(name) : 1), "",
			says(name));
	}
}

void print_result(FILE *to, const char *method, const json_t *result, time_t now, int is_first)
{
	if (strcmp(method, "shield.list") == 0) {
		print_list(to, result, now, is_first);
	} else if (strcmp(method, "shield.explain") == 0) {
		print_explain(to, result, now);
	} else if (strcmp(method, "shield.add") == 0) {
		print_add(to, result, now);
	} else if (strcmp(method, "shield.unban") == 0) {
		print_unban(to, result);
	} else if (strcmp(method, "pools.list") == 0) {
		print_pools(to, result, now, is_first);
	} else if (strcmp(method, "pools.drain") == 0 || strcmp(method, "pools.restore") == 0) {
		print_server(to, result);
	} else if (strcmp(method, "counters") == 0) {
		print_counters(to, result);
	} else if (json_is_object(result)) {
		print_object(to, result, now, 0);
	} else {
		write_value(to, "", result, now);
		fputc('\n', to);
	}
}
