/* SPDX-License-Identifier: BSD-3-Clause */
/* Dialogues as text. */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "dialogue.h"

/* Ids are the same in every run, so that dialogues show every octet of a reply. */
static const struct smtp_config config_default = {
	.settings =
		{
			.host = "mx.example.net",
			.offers = SMTP_OFFERS_SIZE | SMTP_OFFERS_8BITMIME | SMTP_OFFERS_SMTPUTF8 |
				  SMTP_OFFERS_DSN,
			.size_max = 1000000,
			.recipients_max = 1000,
			.normalize_bare_lf = true,
		},
	.sessions = 2,
	.envelopes = 2,
	.pages = 64,
	.pieces = 16,
	.id_key = {0x706f737465726e20, 0x6469616c6f677565},
	.first_id = 1,
};

/* Where reading has come to, for complaints. */
struct reader {
	const char *file;
	unsigned line;
	struct dialogue *d;
};

__attribute__((noreturn, format(printf, 2, 3))) static void complain(const struct reader *r,
								     const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "%s:%u: ", r->file, r->line);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	exit(2);
}

static void *grow(void *memory, size_t size)
{
	void *bigger = realloc(memory, size ? size : 1);

	if (!bigger) {
		fputs("no memory\n", stderr);
		exit(2);
	}
	return bigger;
}

static char *copy(const char *text)
{
	const size_t size = strlen(text) + 1;

	return memcpy(grow(NULL, size), text, size);
}

enum reply reply_named(const char *name)
{
	for (unsigned i = 0; i < REPLIES; i++)
		if (!strcmp(reply_rows[i].name, name))
			return (enum reply)i;
	return REPLY_NONE;
}

/* --- octets ----------------------------------------------------------------------------------- */

struct octets {
	char *bytes;
	size_t len;
};

static void add(struct octets *o, const char *bytes, size_t len)
{
	if (!len)
		return;
	o->bytes = grow(o->bytes, o->len + len);
	memcpy(o->bytes + o->len, bytes, len);
	o->len += len;
}

/* An escape at p, behind its backslash; returns how many characters it has. */
static size_t unescape(const struct reader *r, struct octets *o, const char *p)
{
	static const char letters[] = "rn0t\\{", octets[] = "\r\n\0\t\\{";
	const char *letter = *p ? strchr(letters, *p) : NULL;
	unsigned octet;
	char c;

	if (letter) {
		add(o, octets + (letter - letters), 1);
		return 1;
	}
	if (*p != 'x' || sscanf(p + 1, "%2x", &octet) != 1)
		complain(r, "an escape that is none: \\%s", p);
	c = (char)octet;
	add(o, &c, 1);
	return 3;
}

/* "{N:text}", N times the text, whose octets may be escaped. */
static size_t repeat(const struct reader *r, struct octets *o, const char *p)
{
	char *colon, *end;
	unsigned long n = strtoul(p + 1, &colon, 10);
	struct octets once = {0};

	if (*colon != ':' || !(end = strchr(colon, '}')))
		complain(r, "a repetition that is none: %s", p);
	for (const char *at = colon + 1; at < end;) {
		if (*at == '\\') {
			at += 1 + unescape(r, &once, at + 1);
		} else {
			add(&once, at, 1);
			at++;
		}
	}
	while (n--)
		add(o, once.bytes, once.len);
	free(once.bytes);
	return (size_t)(end + 1 - p);
}

static void add_text(const struct reader *r, struct octets *o, const char *p)
{
	while (*p) {
		if (*p == '\\') {
			p += 1 + unescape(r, o, p + 1);
		} else if (*p == '{') {
			p += repeat(r, o, p);
		} else {
			add(o, p, 1);
			p++;
		}
	}
}

/* --- the lines of a dialogue -------------------------------------------------------------------
 */

static struct item *add_item(const struct reader *r, enum item_kind kind)
{
	struct item *item;

	if (r->d->n_items == DIALOGUE_ITEMS)
		complain(r, "the dialogue is too long");
	item = &r->d->items[r->d->n_items++];
	*item = (struct item){.kind = kind, .line = r->line};
	return item;
}

/* The client waits behind what decides how the next octets are read. */
static bool decides(const char *text)
{
	return !strcasecmp(text, "DATA") || !strcasecmp(text, "STARTTLS") ||
	       !strncasecmp(text, "BDAT ", 5);
}

/* "C:" a line, "C|" octets without CRLF; with '+' behind the C they are written on. */
static void read_write(const struct reader *r, const char *line)
{
	const bool on = line[1] == '+';
	const char *kind = line + 1 + on, *text = kind + 1;
	struct item *item;
	struct octets o = {0};

	if ((*kind != ':' && *kind != '|') || (*text && *text != ' '))
		complain(r, "neither C: nor C|");
	text += *text == ' ';
	item = on && r->d->n_items ? &r->d->items[r->d->n_items - 1] : add_item(r, ITEM_WRITE);
	if (item->kind != ITEM_WRITE)
		complain(r, "nothing to write on to");
	o.bytes = item->bytes;
	o.len = item->len;
	add_text(r, &o, text);
	if (*kind == ':')
		add(&o, "\r\n", 2);
	item->bytes = o.bytes;
	item->len = o.len;
	item->decides = decides(text);
}

static void read_event(const struct reader *r, const char *line)
{
	struct item *item = add_item(r, ITEM_EVENT);
	struct octets o = {0};

	add(&o, line, 2);
	add(&o, " ", 1);
	add_text(r, &o, line[2] == ' ' ? line + 3 : line + 2);
	item->bytes = o.bytes;
	item->len = o.len;
}

static bool read_item(const struct reader *r, const char *line)
{
	struct item *item;

	if (line[0] == 'C' && line[1]) {
		read_write(r, line);
	} else if (!strncmp(line, "S:", 2) || !strncmp(line, "N:", 2) || !strncmp(line, "!:", 2)) {
		read_event(r, line);
	} else if (!strncmp(line, "O: ", 3) || !strncmp(line, "T: ", 3)) {
		item = add_item(r, line[0] == 'O' ? ITEM_OWNER : ITEM_SECONDS);
		item->bytes = copy(line + 3);
		item->len = strlen(item->bytes);
	} else {
		return false;
	}
	return true;
}

/* --- the head of a dialogue --------------------------------------------------------------------
 */

static unsigned offer_named(const struct reader *r, const char *name)
{
	static const char *const names[] = {"starttls", "size", "8bitmime",
					    "smtputf8", "dsn",	"one-domain"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return 1U << i;
	complain(r, "no offer: %s", name);
}

static void read_offers(const struct reader *r, char *value)
{
	char *rest = NULL;

	r->d->config.settings.offers = 0;
	if (!strcmp(value, "nothing"))
		return;
	for (char *word = strtok_r(value, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		r->d->config.settings.offers |= offer_named(r, word);
}

/* "ROW", or a next hop's "CODE text", where "\n" parts its lines. */
static struct verdict read_verdict(const struct reader *r, const char *value)
{
	struct verdict v = {.reply = reply_named(value)};
	struct octets o = {0};
	char *text;

	if (v.reply != REPLY_NONE)
		return v;
	v.reply = REPLY_OF_NEXT_HOP;
	v.code = (uint16_t)strtoul(value, &text, 10);
	if (text == value)
		complain(r, "neither a row nor a reply: %s", value);
	add_text(r, &o, *text ? text + 1 : text);
	add(&o, "", 1);
	v.text = o.bytes;
	return v;
}

static void replace_verdict(const struct reader *r, struct verdict *v, const char *value)
{
	free(v->text);
	*v = read_verdict(r, value);
}

static void read_known(const struct reader *r, char *value)
{
	struct known *known = &r->d->known[r->d->n_known];
	char *blank = strchr(value, ' ');
	struct octets o = {0};

	if (!blank || r->d->n_known == DIALOGUE_KNOWN)
		complain(r, "recipient: ADDRESS VERDICT, %d at most", DIALOGUE_KNOWN);
	*blank = '\0';
	add_text(r, &o, value);
	add(&o, "", 1);
	known->address = o.bytes;
	known->verdict = read_verdict(r, blank + 1);
	r->d->n_known++;
}

static void read_memory(const struct reader *r, const char *value)
{
	struct smtp_config *config = &r->d->config;
	struct {
		const char *name;
		uint32_t *n;
	} kinds[] = {{"sessions", &config->sessions},
		     {"envelopes", &config->envelopes},
		     {"pages", &config->pages},
		     {"pieces", &config->pieces}};

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].name);

		if (!strncmp(value, kinds[i].name, len) && value[len] == ' ') {
			*kinds[i].n = (uint32_t)strtoul(value + len, NULL, 10);
			return;
		}
	}
	complain(r, "no memory: %s", value);
}

static bool read_head(const struct reader *r, const char *key, char *value)
{
	struct dialogue *d = r->d;

	if (!strcmp(key, "offer"))
		read_offers(r, value);
	else if (!strcmp(key, "size"))
		d->config.settings.size_max = strtoull(value, NULL, 10);
	else if (!strcmp(key, "recipients"))
		d->config.settings.recipients_max = (uint16_t)strtoul(value, NULL, 10);
	else if (!strcmp(key, "bare-lf"))
		d->config.settings.normalize_bare_lf = !strcmp(value, "normalize");
	else if (!strcmp(key, "client") && !strcmp(value, "speaks early"))
		d->open_flags |= SMTP_SPOKE_EARLY;
	else if (!strcmp(key, "client") && !strcmp(value, "needs TLS"))
		d->open_flags |= SMTP_NEEDS_TLS;
	else if (!strcmp(key, "client") && !strcmp(value, "speaks on"))
		d->speaks_on = true;
	else if (!strcmp(key, "client") && !strcmp(value, "waits"))
		d->waits = true;
	else if (!strcmp(key, "turned away"))
		d->turned_away = reply_named(value);
	else if (!strcmp(key, "memory"))
		read_memory(r, value);
	else if (!strcmp(key, "recipient"))
		read_known(r, value);
	else if (!strcmp(key, "data"))
		replace_verdict(r, &d->data, value);
	else if (!strcmp(key, "delivery"))
		replace_verdict(r, &d->delivery, value);
	else if (!strcmp(key, "tls"))
		d->tls_ready = strcmp(value, "unavailable") != 0;
	else
		return false;
	return true;
}

static void read_line(struct reader *r, char *line)
{
	char *colon;

	if (!*line || *line == '#')
		return;
	if (!r->d)
		complain(r, "no dialogue has begun");
	if (read_item(r, line))
		return;
	colon = strstr(line, ": ");
	if (!colon || r->d->n_items)
		complain(r, "what is this: %s", line);
	*colon = '\0';
	if (!read_head(r, line, colon + 2))
		complain(r, "no such setting: %s: %s", line, colon + 2);
}

/* --- files ------------------------------------------------------------------------------------ */

static struct dialogue *dialogue_new(const struct reader *r, const char *name)
{
	struct dialogue *d = grow(NULL, sizeof(*d));

	*d = (struct dialogue){
		.name = copy(name),
		.file = copy(r->file),
		.config = config_default,
		.turned_away = REPLY_NONE,
		.data = {.reply = REPLY_MESSAGE_WANTED},
		.delivery = {.reply = REPLY_OF_NEXT_HOP, .code = 250, .text = copy("2.6.0 stored")},
		.tls_ready = true,
	};
	return d;
}

static struct dialogue **read_file(const char *path, struct dialogue **end)
{
	struct reader r = {.file = path};
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (!file) {
		perror(path);
		exit(2);
	}
	while ((len = getline(&line, &size, file)) >= 0) {
		r.line++;
		if (len && line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (!strncmp(line, "== ", 3)) {
			r.d = dialogue_new(&r, line + 3);
			*end = r.d;
			end = &r.d->next;
		} else {
			read_line(&r, line);
		}
	}
	free(line);
	fclose(file);
	return end;
}

static int is_text(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 4 && !strcmp(entry->d_name + len - 4, ".txt");
}

struct dialogue *dialogues_load(const char *folder)
{
	struct dialogue *first = NULL, **end = &first;
	struct dirent **entries;
	int n = scandir(folder, &entries, is_text, alphasort);

	for (int i = 0; i < n; i++) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		end = read_file(path, end);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	if (!first) {
		fprintf(stderr, "%s: no dialogues\n", folder);
		exit(2);
	}
	return first;
}

void dialogues_free(struct dialogue *first)
{
	while (first) {
		struct dialogue *next = first->next;

		for (size_t i = 0; i < first->n_items; i++)
			free(first->items[i].bytes);
		for (size_t i = 0; i < first->n_known; i++) {
			free(first->known[i].address);
			free(first->known[i].verdict.text);
		}
		free(first->data.text);
		free(first->delivery.text);
		free(first->name);
		free(first->file);
		free(first);
		first = next;
	}
}
