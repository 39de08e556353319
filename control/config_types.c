/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a scalar of the configuration can be.
 *
 * Thread: any. Time: none. Memory: strings are the value's.
 */
#include "control/config_types.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"
#include "postern/address_text.h"
#include "postern/pools.h"

enum { ADDRESS_LEN = 64 };

/* --- numbers --------------------------------------------------------------------------------- */

/* Digits alone, and how far they go; false: none, or too many. */
static bool read_digits(const char **text, uint64_t *number)
{
	const char *p = *text;

	*number = 0;
	if (!isdigit((unsigned char)*p))
		return false;
	for (; isdigit((unsigned char)*p); p++) {
		if (*number > (UINT64_MAX - 9) / 10)
			return false;
		*number = *number * 10 + (uint64_t)(*p - '0');
	}
	*text = p;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static bool read_with_unit(const char *text, const struct unit *units, uint64_t *value)
{
	uint64_t number;

	if (!read_digits(&text, &number))
		return false;
	for (; units->name; units++) {
		if (strcmp(text, units->name) == 0)
			return !__builtin_mul_overflow(number, units->factor, value);
	}
	return false;
}

static void show_with_unit(FILE *to, const struct unit *units, uint64_t value)
{
	const struct unit *best = units;

	for (; units->name; units++)
		if (value && value % units->factor == 0 && units->factor > best->factor)
			best = units;
	fprintf(to, "%llu%s", (unsigned long long)(value / best->factor), best->name);
}

static const struct unit sizes[] = {
	{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};
static const struct unit durations[] = {
	{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 24 * 3600}, {"w", 7 * 24 * 3600}, {NULL, 0}};

bool config_read_size(const char *text, uint64_t *octets)
{
	return read_with_unit(text, sizes, octets);
}

bool config_read_duration(const char *text, uint64_t *seconds)
{
	return read_with_unit(text, durations, seconds);
}

static bool read_size(const char *text, const void *names, void *value)
{
	return config_read_size(text, value);
}

static void show_size(FILE *to, const void *names, const void *value)
{
	show_with_unit(to, sizes, *(const uint64_t *)value);
}

static bool read_duration(const char *text, const void *names, void *value)
{
	return config_read_duration(text, value);
}

static void show_duration(FILE *to, const void *names, const void *value)
{
	show_with_unit(to, durations, *(const uint64_t *)value);
}

static bool read_number(const char *text, const void *names, void *value)
{
	return read_digits(&text, value) && *text == '\0';
}

static void show_number(FILE *to, const void *names, const void *value)
{
	fprintf(to, "%llu", (unsigned long long)*(const uint64_t *)value);
}

static bool read_u16(const char *text, uint32_t least, uint16_t *value)
{
	uint64_t number;

	if (!read_digits(&text, &number) || *text != '\0' || number > UINT16_MAX || number < least)
		return false;
	*value = (uint16_t)number;
	return true;
}

static bool read_port(const char *text, const void *names, void *value)
{
	return read_u16(text, 1, value);
}

static bool read_small(const char *text, const void *names, void *value)
{
	return read_u16(text, 0, value);
}

static void show_u16(FILE *to, const void *names, const void *value)
{
	fprintf(to, "%u", *(const uint16_t *)value);
}

static bool read_share(const char *text, const void *names, void *value)
{
	char *end;
	double share;

	if (!isdigit((unsigned char)*text))
		return false;
	share = strtod(text, &end);
	if (*end != '\0' || !(share >= 0 && share <= 1))
		return false;
	*(double *)value = share;
	return true;
}

static void show_share(FILE *to, const void *names, const void *value)
{
	fprintf(to, "%.12g", *(const double *)value);
}

/* --- words ----------------------------------------------------------------------------------- */

static bool read_string(const char *text, const void *names, void *value)
{
	char *copy = strdup(text);

	if (!copy)
		return false;
	*(char **)value = copy;
	return true;
}

static void show_string(FILE *to, const void *names, const void *value)
{
	fputc('"', to);
	for (const char *p = *(char *const *)value; p && *p; p++) {
		if (*p == '"' || *p == '\\')
			fputc('\\', to);
		if ((unsigned char)*p < ' ')
			fprintf(to, "\\x%02x", (unsigned char)*p);
		else
			fputc(*p, to);
	}
	fputc('"', to);
}

/* Labels of letters, digits, '-' and '_'; octets over 127 are UTF-8's (RFC 6531). */
static bool is_host_name(const char *text)
{
	size_t label = 0, len = strlen(text);

	if (len == 0 || len > 255)
		return false;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '.') {
			if (label == 0 || text[1] == '\0')
				return false;
			label = 0;
		} else if (isalnum(c) || c == '-' || c == '_' || c > 127) {
			if (++label > 63)
				return false;
		} else {
			return false;
		}
	}
	return true;
}

static bool read_host(const char *text, const void *names, void *value)
{
	if (!is_host_name(text) || !read_string(text, names, value))
		return false;
	for (char *p = *(char **)value; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	return true;
}

static bool read_name(const char *text, const void *names, void *value)
{
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
			return false;
	return *text && strlen(text) < 64 && read_string(text, names, value);
}

static bool read_path(const char *text, const void *names, void *value)
{
	return *text == '/' && read_string(text, names, value);
}

static bool read_path_or_none(const char *text, const void *names, void *value)
{
	return *text ? read_path(text, names, value) : read_string(text, names, value);
}

static bool read_separators(const char *text, const void *names, void *value)
{
	for (const char *p = text; *p; p++)
		if (!ispunct((unsigned char)*p) || strchr("@\"\\<>", *p))
			return false;
	return strlen(text) <= 4 && read_string(text, names, value);
}

static bool read_bool(const char *text, const void *names, void *value)
{
	if (strcmp(text, "true") == 0 || strcmp(text, "yes") == 0)
		*(bool *)value = true;
	else if (strcmp(text, "false") == 0 || strcmp(text, "no") == 0)
		*(bool *)value = false;
	else
		return false;
	return true;
}

static void show_bool(FILE *to, const void *names, const void *value)
{
	fputs(*(const bool *)value ? "true" : "false", to);
}

static bool read_choice(const char *text, const void *names, void *value)
{
	const char *const *choices = names;

	for (uint32_t i = 0; choices[i]; i++) {
		if (strcmp(choices[i], text) == 0) {
			*(uint32_t *)value = i;
			return true;
		}
	}
	return false;
}

static void show_choice(FILE *to, const void *names, const void *value)
{
	fputs(((const char *const *)names)[*(const uint32_t *)value], to);
}

/* --- addresses ------------------------------------------------------------------------------- */

bool config_read_address(const char *text, struct ip_addr *address)
{
	uint8_t octets[16];

	if (inet_pton(AF_INET, text, octets) == 1)
		*address = ip_addr_from_v4(octets);
	else if (inet_pton(AF_INET6, text, octets) == 1)
		*address = ip_addr_from_v6(octets);
	else
		return false;
	return true;
}

/* The part of text before its end, terminated. */
static bool cut(const char *text, const char *end, char part[ADDRESS_LEN])
{
	size_t len = (size_t)(end - text);

	if (len >= ADDRESS_LEN)
		return false;
	memcpy(part, text, len);
	part[len] = '\0';
	return true;
}

bool config_read_network(const char *text, struct ip_network *network)
{
	const char *slash = strchr(text, '/');
	char address[ADDRESS_LEN];
	uint16_t len = 0;
	bool v4;

	if (!cut(text, slash ? slash : text + strlen(text), address) ||
	    !config_read_address(address, &network->address))
		return false;
	v4 = ip_addr_is_v4(&network->address) && !strchr(address, ':');
	if (!slash)
		len = v4 ? 32 : 128;
	else if (!read_u16(slash + 1, 0, &len) || len > (v4 ? 32 : 128))
		return false;
	network->prefix_len = (uint8_t)(v4 ? 96 + len : len);
	for (unsigned bit = network->prefix_len; bit < 128; bit++)
		if (network->address.octets[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

bool config_read_endpoint(const char *text, struct config_endpoint *endpoint)
{
	const char *colon = strrchr(text, ':');
	char address[ADDRESS_LEN];

	endpoint->weight = 1;
	if (!colon || colon == text || !read_u16(colon + 1, 1, &endpoint->port))
		return false;
	if (*text == '[') {
		if (colon[-1] != ']' || !cut(text + 1, colon - 1, address))
			return false;
		return strchr(address, ':') && config_read_address(address, &endpoint->address);
	}
	return cut(text, colon, address) && !strchr(address, ':') &&
	       config_read_address(address, &endpoint->address);
}

bool config_read_server(const char *text, struct config_endpoint *server)
{
	static const char name[] = " weight=";
	const char *space = strchr(text, ' ');
	char endpoint[ADDRESS_LEN];
	uint16_t weight;

	if (!space)
		return config_read_endpoint(text, server);
	if (!cut(text, space, endpoint) || !config_read_endpoint(endpoint, server) ||
	    strncmp(space, name, strlen(name)) != 0 ||
	    !read_u16(space + strlen(name), 1, &weight) || weight > POOL_WEIGHT_MAX)
		return false;
	server->weight = weight;
	return true;
}

static bool read_address(const char *text, const void *names, void *value)
{
	return config_read_address(text, value);
}

static void show_address(FILE *to, const void *names, const void *value)
{
	char text[IP_ADDR_TEXT];

	ip_addr_text(text, value);
	fprintf(to, "\"%s\"", text);
}

static bool read_network(const char *text, const void *names, void *value)
{
	return config_read_network(text, value);
}

static void show_network(FILE *to, const void *names, const void *value)
{
	const struct ip_network *n = value;
	bool v4 = ip_addr_is_v4(&n->address) && n->prefix_len >= 96;
	char text[IP_ADDR_TEXT];

	ip_addr_text(text, &n->address);
	fprintf(to, "\"%s/%u\"", text, v4 ? n->prefix_len - 96U : n->prefix_len);
}

static bool read_server(const char *text, const void *names, void *value)
{
	return config_read_server(text, value);
}

static void show_server(FILE *to, const void *names, const void *value)
{
	const struct config_endpoint *e = value;
	char text[IP_ADDR_TEXT];

	ip_addr_text(text, &e->address);
	fprintf(to, ip_addr_is_v4(&e->address) ? "\"%s:%u" : "\"[%s]:%u", text, e->port);
	if (e->weight > 1)
		fprintf(to, " weight=%u", e->weight);
	fputc('"', to);
}

static bool read_ports(const char *text, const void *names, void *value)
{
	struct config_ports *ports = value;
	const char *dash = strchr(text, '-');
	char first[ADDRESS_LEN];

	if (strcmp(text, "none") == 0) {
		*ports = (struct config_ports){0, 0};
		return true;
	}
	return dash && cut(text, dash, first) && read_u16(first, 1, &ports->first) &&
	       read_u16(dash + 1, 1, &ports->last) && ports->first <= ports->last;
}

static void show_ports(FILE *to, const void *names, const void *value)
{
	const struct config_ports *ports = value;

	if (ports->first)
		fprintf(to, "%u-%u", ports->first, ports->last);
	else
		fputs("none", to);
}

static bool read_neighbour(const char *text, const void *names, void *value)
{
	struct config_neighbour *n = value;
	const char *equals = strchr(text, '=');
	char address[ADDRESS_LEN];
	unsigned octets[6];
	int end = 0;

	if (!equals || !cut(text, equals, address) || !config_read_address(address, &n->address) ||
	    sscanf(equals + 1, "%2x:%2x:%2x:%2x:%2x:%2x%n", &octets[0], &octets[1], &octets[2],
		   &octets[3], &octets[4], &octets[5], &end) != 6 ||
	    equals[1 + end] != '\0')
		return false;
	for (int i = 0; i < 6; i++)
		n->mac[i] = (uint8_t)octets[i];
	return true;
}

static void show_neighbour(FILE *to, const void *names, const void *value)
{
	const struct config_neighbour *n = value;
	char text[IP_ADDR_TEXT];

	ip_addr_text(text, &n->address);
	fprintf(to, "\"%s=%02x:%02x:%02x:%02x:%02x:%02x\"", text, n->mac[0], n->mac[1], n->mac[2],
		n->mac[3], n->mac[4], n->mac[5]);
}

const struct schema_type type_string = {"a string", sizeof(char *), read_string, show_string, true};
const struct schema_type type_host = {"a host or domain name", sizeof(char *), read_host,
				      show_string, true};
const struct schema_type type_name = {"a name of letters, digits, '-', '_' and '.'", sizeof(char *),
				      read_name, show_string, true};
const struct schema_type type_path = {"an absolute path", sizeof(char *), read_path, show_string,
				      true};
const struct schema_type type_path_or_none = {"an absolute path, or \"\"", sizeof(char *),
					      read_path_or_none, show_string, true};
const struct schema_type type_separators = {"up to four punctuation characters", sizeof(char *),
					    read_separators, show_string, true};
const struct schema_type type_bool = {"true or false", sizeof(bool), read_bool, show_bool, false};
const struct schema_type type_choice = {"a word", sizeof(uint32_t), read_choice, show_choice,
					false};
const struct schema_type type_port = {"a port number", sizeof(uint16_t), read_port, show_u16,
				      false};
const struct schema_type type_small = {"a number to 65535", sizeof(uint16_t), read_small, show_u16,
				       false};
const struct schema_type type_number = {"a number", sizeof(uint64_t), read_number, show_number,
					false};
const struct schema_type type_size = {"a size like 50M", sizeof(uint64_t), read_size, show_size,
				      false};
const struct schema_type type_duration = {"a duration like 5m", sizeof(uint64_t), read_duration,
					  show_duration, false};
const struct schema_type type_share = {"a share from 0 to 1", sizeof(double), read_share,
				       show_share, false};
const struct schema_type type_address = {"an IP address", sizeof(struct ip_addr), read_address,
					 show_address, false};
const struct schema_type type_network = {"a network like 192.0.2.0/24 without bits behind it",
					 sizeof(struct ip_network), read_network, show_network,
					 false};
const struct schema_type type_server = {
	"an address with a port like 192.0.2.1:25, and a weight to 256 like \"192.0.2.1:25 weight=3\"",
	sizeof(struct config_endpoint), read_server, show_server, false};
const struct schema_type type_ports = {"a range of ports like 20000-28191, or none",
				       sizeof(struct config_ports), read_ports, show_ports, false};
const struct schema_type type_neighbour = {"an address and a MAC like 192.0.2.1=02:00:00:00:00:01",
					   sizeof(struct config_neighbour), read_neighbour,
					   show_neighbour, false};
