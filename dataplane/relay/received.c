/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory, Rules: received.h. */
#include "relay/received.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/ascii.h"
#include "postern/address_text.h"
#include "smtp/limits.h"

static bool may_stand(uint8_t c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') ||
	       (c && strchr("-._:[]", c));
}

static void copy_name(char name[SMTP_HELO_MAX + 1], struct span hello)
{
	size_t len = hello.len < SMTP_HELO_MAX ? hello.len : SMTP_HELO_MAX;

	for (size_t i = 0; i < len; i++)
		name[i] = may_stand(hello.bytes[i]) ? (char)hello.bytes[i] : '?';
	name[len] = '\0';
	if (!len)
		memcpy(name, "unknown", sizeof("unknown"));
}

/* An address literal, RFC 5321 4.1.3. */
static void write_literal(char *to, size_t size, const struct ip_addr *address)
{
	char text[IP_ADDR_TEXT];

	snprintf(to, size, "[%s%s]",
		 ip_addr_is_v4(address) ? "" : "IPv6:", ip_addr_text(text, address));
}

/* RFC 3848; RFC 6531 3.7.3 with SMTPUTF8. */
static const char *protocol_of(const struct received *r)
{
	if (r->smtputf8)
		return r->over_tls ? "UTF8SMTPS" : "UTF8SMTP";
	if (!r->extended)
		return "SMTP";
	return r->over_tls ? "ESMTPS" : "ESMTP";
}

static void write_date(char *to, size_t size, uint32_t now_s)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	const time_t now = now_s;
	struct tm t;

	gmtime_r(&now, &t);
	snprintf(to, size, "%s, %02d %s %d %02d:%02d:%02d +0000", days[t.tm_wday], t.tm_mday,
		 months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

size_t received_write(const struct received *r, char field[RECEIVED_MAX])
{
	char name[SMTP_HELO_MAX + 1], literal[IP_ADDR_TEXT + 8], date[48];
	int len;

	copy_name(name, r->hello);
	write_literal(literal, sizeof(literal), &r->client);
	write_date(date, sizeof(date), r->now_s);
	len = snprintf(field, RECEIVED_MAX,
		       "Received: from %s (%s)\r\n\tby %.255s with %s id %.*s;\r\n\t%s\r\n", name,
		       literal, r->host, protocol_of(r), (int)r->id.len, (const char *)r->id.bytes,
		       date);
	return (size_t)len;
}
