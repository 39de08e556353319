/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a configuration is described: tables of keys with types, from which it is read, checked,
 * filled with defaults, shown and freed.
 *
 * Thread: control. Time: none. Memory: lists and strings belong to the struct that is filled in;
 * schema_free gives them back.
 */
#ifndef POSTERN_CONTROL_CONFIG_SCHEMA_H
#define POSTERN_CONTROL_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A scalar's type. */
struct schema_type {
	const char *what; /* "a duration like 5m" */
	size_t size;	  /* of its value */
	/* Writes *value; false: text is none of it. Names: what else the type needs. */
	bool (*read)(const char *text, const void *names, void *value);
	void (*show)(FILE *to, const void *names, const void *value);
	bool owns; /* the value is a char * to be freed */
};

enum schema_shape {
	SCHEMA_ONE,  /* a scalar */
	SCHEMA_MANY, /* a list of scalars: a pointer, and a uint32_t count behind it */
	SCHEMA_MAP,  /* a mapping, its struct in place */
	SCHEMA_MAPS, /* a list of mappings: a pointer, and a uint32_t count behind it */
};

struct schema_key {
	const char *name;
	enum schema_shape shape;
	const struct schema_type *type; /* ONE, MANY */
	const void *names;		/* for type */
	const struct schema_key *keys;	/* MAP, MAPS; ends with a key without a name */
	size_t size;			/* MAP, MAPS: of the struct */
	size_t at;			/* offset of the value, or of the pointer */
	size_t count_at;		/* MANY, MAPS: offset of the count */
	const char *fallback;		/* when the key is missing. ONE: its text; MANY: not NULL is
					   none, however many there must be; NULL: required */
	uint32_t least, most;		/* MANY, MAPS: how many */
	const char *says;		/* what it means, one line */
};

/* What is wrong with a configuration: the file, where in it, which field, and why. */
struct schema_error {
	char text[1024]; /* FILE:LINE: FIELD: sentence; NUL-terminated */
};

/* Reads a YAML file into *to, which is all zero before. False: *error says why, *to is to be freed
 * all the same. */
bool schema_read(const struct schema_key *keys, const char *path, void *to,
		 struct schema_error *error);
/* The line a field of the file just read stands in, by its path as errors spell it; 0: it is not
 * there. For what only shows when all is read. */
int schema_line(const char *file, const char *field);
void schema_free(const struct schema_key *keys, void *of);
/* As YAML, defaults and all. */
void schema_show(const struct schema_key *keys, const void *of, FILE *to);
/* Every key with what it takes, as a Markdown table. */
void schema_explain(const struct schema_key *keys, FILE *to);

#endif
