/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A YAML document against a table of keys.
 *
 * Thread, Time, Memory: config_schema.h.
 * Rules: YAML 1.1 as libyaml reads it, one document a file. Aliases and merge keys are refused (a
 * configuration says what it says where it says it), as are keys twice. Depth and size are bounded
 * by the schema and FILE_MAX.
 */
#include "control/config_schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <yaml.h>

enum {
	FILE_OCTETS_MAX = 16 << 20,
	FIELD_LEN = 256,
	NODES_MAX = 1 << 20,
};

/* Where in a document we are. */
struct reader {
	const char *path;
	yaml_document_t document;
	struct schema_error *error;
	uint32_t nodes;
	char field[FIELD_LEN]; /* "pools[1].servers[0]" */
};

__attribute__((format(printf, 3, 4))) static bool wrong(struct reader *r, const yaml_node_t *node,
							const char *format, ...)
{
	char why[256];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	snprintf(r->error->text, sizeof(r->error->text), "%s:%zu: %s%s%s", r->path,
		 node ? node->start_mark.line + 1 : 1, r->field, r->field[0] ? ": " : "", why);
	return false;
}

/* Goes into a field; what was there comes back by field_leave. */
static size_t field_enter(struct reader *r, const char *name, long index)
{
	size_t before = strlen(r->field);

	if (index >= 0)
		snprintf(r->field + before, sizeof(r->field) - before, "[%ld]", index);
	else
		snprintf(r->field + before, sizeof(r->field) - before, "%s%s", before ? "." : "",
			 name);
	return before;
}

static void field_leave(struct reader *r, size_t before)
{
	r->field[before] = '\0';
}

static const char *text_of(const yaml_node_t *node)
{
	return (const char *)node->data.scalar.value;
}

static void *at(void *of, size_t offset)
{
	return (uint8_t *)of + offset;
}

static bool read_map(struct reader *r, const struct schema_key *keys, yaml_node_t *node, void *to);

/* --- values ---------------------------------------------------------------------------------- */

/* "fold or exact"; a type without choices says what it is itself. */
static const char *wanted(const struct schema_key *key, char *text, size_t len)
{
	const char *const *choices = key->names;
	size_t n = 0;

	if (!choices)
		return key->type->what;
	for (uint32_t i = 0; choices[i] && n < len; i++)
		n += (size_t)snprintf(text + n, len - n, "%s%s",
				      i == 0	       ? ""
				      : choices[i + 1] ? ", "
						       : " or ",
				      choices[i]);
	return text;
}

static bool read_scalar(struct reader *r, const struct schema_key *key, const yaml_node_t *node,
			void *value)
{
	char what[128];

	if (node->type != YAML_SCALAR_NODE)
		return wrong(r, node, "%s is wanted, not a %s", wanted(key, what, sizeof(what)),
			     node->type == YAML_SEQUENCE_NODE ? "list" : "mapping");
	if (strlen(text_of(node)) != node->data.scalar.length)
		return wrong(r, node, "a NUL octet has no meaning here");
	if (!key->type->read(text_of(node), key->names, value))
		return wrong(r, node, "%s is wanted, not \"%.80s\"",
			     wanted(key, what, sizeof(what)), text_of(node));
	return true;
}

static size_t element_size(const struct schema_key *key)
{
	return key->shape == SCHEMA_MANY ? key->type->size : key->size;
}

static bool read_list(struct reader *r, const struct schema_key *key, yaml_node_t *node, void *to)
{
	size_t size = element_size(key);
	uint32_t *count = at(to, key->count_at);
	yaml_node_item_t *item;
	long n;

	if (node->type != YAML_SEQUENCE_NODE)
		return wrong(r, node, "a list is wanted");
	n = node->data.sequence.items.top - node->data.sequence.items.start;
	if (n > key->most || (n < key->least && (n || !key->fallback)))
		return wrong(r, node, "%ld are listed, where %u to %u can be", n, key->least,
			     key->most);
	if (n == 0)
		return true;
	*(void **)at(to, key->at) = calloc((size_t)n, size);
	if (!*(void **)at(to, key->at))
		return wrong(r, node, "no memory");
	item = node->data.sequence.items.start;
	for (long i = 0; i < n; i++) {
		yaml_node_t *element = yaml_document_get_node(&r->document, item[i]);
		size_t before = field_enter(r, NULL, i);
		void *value = at(*(void **)at(to, key->at), (size_t)i * size);

		++*count;
		if (key->shape == SCHEMA_MANY ? !read_scalar(r, key, element, value)
					      : !read_map(r, key->keys, element, value))
			return false;
		field_leave(r, before);
	}
	return true;
}

static bool read_key(struct reader *r, const struct schema_key *key, yaml_node_t *node, void *to)
{
	switch (key->shape) {
	case SCHEMA_ONE:
		return read_scalar(r, key, node, at(to, key->at));
	case SCHEMA_MAP:
		return read_map(r, key->keys, node, at(to, key->at));
	default:
		return read_list(r, key, node, to);
	}
}

/* --- mappings -------------------------------------------------------------------------------- */

static const struct schema_key *find_key(const struct schema_key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (strcmp(keys->name, name) == 0)
			return keys;
	return NULL;
}

static bool fill_in(struct reader *r, const struct schema_key *keys, const yaml_node_t *node,
		    void *to);

/* What the mapping does not say: its default, or it is missing. */
static bool fill_in_key(struct reader *r, const struct schema_key *key, const yaml_node_t *node,
			void *to)
{
	size_t before = field_enter(r, key->name, -1);
	bool well = true;

	if (key->shape == SCHEMA_MAP)
		well = fill_in(r, key->keys, node, at(to, key->at));
	else if (!key->fallback && (key->shape == SCHEMA_ONE || key->least > 0))
		well = wrong(r, node, "is missing: %s", key->says);
	else if (key->shape == SCHEMA_ONE &&
		 !key->type->read(key->fallback, key->names, at(to, key->at)))
		well = wrong(r, node, "no memory");
	field_leave(r, before);
	return well;
}

static bool fill_in(struct reader *r, const struct schema_key *keys, const yaml_node_t *node,
		    void *to)
{
	for (; keys->name; keys++)
		if (!fill_in_key(r, keys, node, to))
			return false;
	return true;
}

static bool is_said(struct reader *r, const yaml_node_t *map, const yaml_node_pair_t *until,
		    const char *name)
{
	for (yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < until; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);

		if (key->type == YAML_SCALAR_NODE && strcmp(text_of(key), name) == 0)
			return true;
	}
	return false;
}

static bool read_pair(struct reader *r, const struct schema_key *keys, const yaml_node_t *map,
		      const yaml_node_pair_t *pair, void *to)
{
	const yaml_node_t *name = yaml_document_get_node(&r->document, pair->key);
	const struct schema_key *key;
	size_t before;
	bool well;

	if (++r->nodes > NODES_MAX)
		return wrong(r, name, "the configuration has too many fields");
	if (name->type != YAML_SCALAR_NODE)
		return wrong(r, name, "a key must be a word");
	key = find_key(keys, text_of(name));
	if (!key)
		return wrong(r, name, "there is no key \"%.80s\" here", text_of(name));
	before = field_enter(r, key->name, -1);
	if (is_said(r, map, pair, key->name))
		return wrong(r, name, "is said twice");
	well = read_key(r, key, yaml_document_get_node(&r->document, pair->value), to);
	if (well)
		field_leave(r, before);
	return well;
}

static bool read_map(struct reader *r, const struct schema_key *keys, yaml_node_t *node, void *to)
{
	const yaml_node_pair_t *end;

	if (node->type != YAML_MAPPING_NODE)
		return wrong(r, node, "keys with values are wanted");
	end = node->data.mapping.pairs.top;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < end; pair++)
		if (!read_pair(r, keys, node, pair, to))
			return false;
	for (; keys->name; keys++)
		if (!is_said(r, node, end, keys->name) && !fill_in_key(r, keys, node, to))
			return false;
	return true;
}

/* --- files ----------------------------------------------------------------------------------- */

/* Aliases would let one node stand in two places. */
static bool has_aliases(FILE *file)
{
	yaml_parser_t parser;
	yaml_event_t event;
	bool found = false, done = false;

	if (!yaml_parser_initialize(&parser))
		return false;
	yaml_parser_set_input_file(&parser, file);
	while (!done && yaml_parser_parse(&parser, &event)) {
		found |= event.type == YAML_ALIAS_EVENT;
		done = found || event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return found;
}

static bool parser_wrong(struct reader *r, const yaml_parser_t *parser)
{
	snprintf(r->error->text, sizeof(r->error->text), "%s:%zu: %s", r->path,
		 parser->problem_mark.line + 1, parser->problem ? parser->problem : "no memory");
	return false;
}

/* Whether there is nothing behind the document. */
static bool ends_here(struct reader *r, yaml_parser_t *parser)
{
	yaml_document_t next;
	yaml_node_t *root;
	bool ends = true;

	if (!yaml_parser_load(parser, &next))
		return parser_wrong(r, parser);
	root = yaml_document_get_root_node(&next);
	if (root)
		ends = wrong(r, root, "a second document begins here; one is read");
	yaml_document_delete(&next);
	return ends;
}

static bool load_document(struct reader *r, FILE *file)
{
	yaml_parser_t parser;
	bool loaded;

	if (!yaml_parser_initialize(&parser))
		return wrong(r, NULL, "no memory");
	yaml_parser_set_input_file(&parser, file);
	loaded = yaml_parser_load(&parser, &r->document);
	if (!loaded) {
		parser_wrong(r, &parser);
	} else if (yaml_document_get_root_node(&r->document) && !ends_here(r, &parser)) {
		yaml_document_delete(&r->document);
		loaded = false;
	}
	yaml_parser_delete(&parser);
	return loaded;
}

/* Loads the one document of a file. */
static bool load(struct reader *r)
{
	FILE *file = fopen(r->path, "re");
	struct stat status;
	bool loaded = false;

	if (!file || fstat(fileno(file), &status) != 0) {
		snprintf(r->error->text, sizeof(r->error->text), "%s: %s", r->path,
			 strerror(errno));
	} else if (!S_ISREG(status.st_mode) || status.st_size > FILE_OCTETS_MAX) {
		snprintf(r->error->text, sizeof(r->error->text),
			 "%s: is not a file of at most %d MiB", r->path, FILE_OCTETS_MAX >> 20);
	} else if (has_aliases(file)) {
		wrong(r, NULL, "anchors and aliases are not taken: say it where it belongs");
	} else {
		rewind(file);
		loaded = load_document(r, file);
	}
	if (file)
		fclose(file);
	return loaded;
}

bool schema_read(const struct schema_key *keys, const char *path, void *to,
		 struct schema_error *error)
{
	struct reader r = {.path = path, .error = error};
	yaml_node_t *root;
	bool well;

	error->text[0] = '\0';
	if (!load(&r))
		return false;
	root = yaml_document_get_root_node(&r.document);
	well = root ? read_map(&r, keys, root, to) : wrong(&r, NULL, "the file says nothing");
	yaml_document_delete(&r.document);
	return well;
}

/* The node a path names; NULL: it is not there, and *line is where its nearest parent is. */
static void follow(struct reader *r, const char *field, int *line)
{
	yaml_node_t *node = yaml_document_get_root_node(&r->document);

	while (node && *field) {
		yaml_node_t *next = NULL;

		if (*field == '.')
			field++;
		if (*field == '[') {
			long index = strtol(field + 1, NULL, 10);

			if (node->type == YAML_SEQUENCE_NODE &&
			    node->data.sequence.items.start + index < node->data.sequence.items.top)
				next = yaml_document_get_node(
					&r->document, node->data.sequence.items.start[index]);
			field = strchr(field, ']') ? strchr(field, ']') + 1 : "";
		} else if (node->type == YAML_MAPPING_NODE) {
			size_t len = strcspn(field, ".[");
			yaml_node_pair_t *pair = node->data.mapping.pairs.start;

			for (; pair < node->data.mapping.pairs.top; pair++) {
				yaml_node_t *key = yaml_document_get_node(&r->document, pair->key);

				if (key->type == YAML_SCALAR_NODE &&
				    key->data.scalar.length == len &&
				    memcmp(text_of(key), field, len) == 0)
					next = yaml_document_get_node(&r->document, pair->value);
			}
			field += len;
		}
		node = next;
		if (node)
			*line = (int)node->start_mark.line + 1;
	}
}

int schema_line(const char *file, const char *field)
{
	struct schema_error ignored;
	struct reader r = {.path = file, .error = &ignored};
	int line = 1;

	if (!load(&r))
		return 0;
	follow(&r, field, &line);
	yaml_document_delete(&r.document);
	return line;
}

/* --- giving back and showing ------------------------------------------------------------------ */

void schema_free(const struct schema_key *keys, void *of)
{
	for (; keys->name; keys++) {
		void *value = at(of, keys->at);
		uint32_t n = 1;

		if (keys->shape == SCHEMA_MANY || keys->shape == SCHEMA_MAPS) {
			n = *(uint32_t *)at(of, keys->count_at);
			value = *(void **)value;
		}
		for (uint32_t i = 0; i < n && value; i++) {
			if (keys->shape == SCHEMA_MAP || keys->shape == SCHEMA_MAPS)
				schema_free(keys->keys, at(value, i * keys->size));
			else if (keys->type->owns)
				free(*(char **)at(value, i * keys->type->size));
		}
		if (keys->shape == SCHEMA_MANY || keys->shape == SCHEMA_MAPS)
			free(value);
	}
}

static void show_keys(const struct schema_key *keys, const void *of, FILE *to, int depth);

static void show_list(const struct schema_key *key, const void *of, FILE *to, int depth)
{
	const void *values = *(void *const *)((const uint8_t *)of + key->at);
	uint32_t n = *(const uint32_t *)((const uint8_t *)of + key->count_at);

	fprintf(to, n ? "\n" : " []\n");
	for (uint32_t i = 0; i < n; i++) {
		const void *value = (const uint8_t *)values + i * element_size(key);

		fprintf(to, "%*s- ", 2 * depth, "");
		if (key->shape == SCHEMA_MANY) {
			key->type->show(to, key->names, value);
			fputc('\n', to);
		} else {
			fputc('\n', to);
			show_keys(key->keys, value, to, depth + 1);
		}
	}
}

static void show_keys(const struct schema_key *keys, const void *of, FILE *to, int depth)
{
	for (; keys->name; keys++) {
		const void *value = (const uint8_t *)of + keys->at;

		fprintf(to, "%*s%s:", 2 * depth, "", keys->name);
		if (keys->shape == SCHEMA_ONE) {
			fputc(' ', to);
			keys->type->show(to, keys->names, value);
			fputc('\n', to);
		} else if (keys->shape == SCHEMA_MAP) {
			fputc('\n', to);
			show_keys(keys->keys, value, to, depth + 1);
		} else {
			show_list(keys, of, to, depth);
		}
	}
}

void schema_show(const struct schema_key *keys, const void *of, FILE *to)
{
	show_keys(keys, of, to, 0);
}

/* --- explaining ------------------------------------------------------------------------------ */

/* What is in force where a key is not said. */
static void explain_fallback(const struct schema_key *key, FILE *to)
{
	bool is_one = key->shape == SCHEMA_ONE;

	if (is_one ? !key->fallback : !key->fallback && key->least > 0)
		fputs("required", to);
	else if (is_one && *key->fallback)
		fprintf(to, "`%s`", key->fallback);
	else
		fputs("none", to);
}

static void explain_keys(const struct schema_key *keys, const char *path, FILE *to);

static void explain_key(const struct schema_key *key, const char *path, FILE *to)
{
	bool has_keys = key->shape == SCHEMA_MAP || key->shape == SCHEMA_MAPS;
	char name[FIELD_LEN], what[128];

	snprintf(name, sizeof(name), "%s%s%s", path, key->name,
		 key->shape == SCHEMA_MANY || key->shape == SCHEMA_MAPS ? "[]" : "");
	fprintf(to, "| `%s` | ", name);
	if (key->shape == SCHEMA_MAP) {
		fprintf(to, "| | %s |\n", key->says);
	} else {
		fprintf(to, "%s | ", has_keys ? "keys" : wanted(key, what, sizeof(what)));
		explain_fallback(key, to);
		fprintf(to, " | %s |\n", key->says);
	}
	snprintf(name + strlen(name), sizeof(name) - strlen(name), ".");
	if (has_keys)
		explain_keys(key->keys, name, to);
}

static void explain_keys(const struct schema_key *keys, const char *path, FILE *to)
{
	for (; keys->name; keys++)
		explain_key(keys, path, to);
}

void schema_explain(const struct schema_key *keys, FILE *to)
{
	fputs("| key | takes | default | |\n|---|---|---|---|\n", to);
	explain_keys(keys, "", to);
}
