/* SPDX-License-Identifier: BSD-3-Clause */
/* What may be meant otherwise. Thread, Time, Memory, Rules: advice.h. */
#include "control/advice.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/netlink.h"
#include "postern/address_text.h"

enum { ADDRESSES_MAX = 256, DOMAINS_SAID = 100, SENTENCE_MAX = 1024, RESERVED_LEN = 1 << 16 };

__attribute__((format(printf, 2, 3))) static void advise(advice_say *say, const char *format, ...)
{
	char sentence[SENTENCE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	say(sentence);
}

/* --- source ports ---------------------------------------------------------------------------- */

/* A file of /proc/sys, which has all of it in one read; -1: it is not there, or longer. */
static int read_sysctl(const char *folder, const char *name, char *text, size_t len)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, len);
	close(fd);
	if (n < 0 || (size_t)n == len)
		return -1;
	text[n] = '\0';
	return 0;
}

/* Whether a list like "20000-28191,30000" has all from first to last, in order as the kernel writes
 * it. */
static bool has_all(const char *list, unsigned first, unsigned last)
{
	unsigned one, two;
	int n = 0;

	for (; sscanf(list, "%u%n", &one, &n) == 1; list += *list == ',') {
		list += n;
		two = one;
		if (sscanf(list, "-%u%n", &two, &n) == 1)
			list += n;
		if (one <= first && first <= two)
			first = two + 1;
	}
	return first > last;
}

static bool uses_kernels_interface(const struct config *c)
{
	for (uint32_t i = 0; i < c->n_interfaces; i++)
		if (*c->interfaces[i].device)
			return true;
	return false;
}

void advice_on_ports(const struct config *config, const char *folder, advice_say *say)
{
	const struct config_ports *ours = &config->interfaces[0].backend_ports;
	char text[RESERVED_LEN];
	unsigned first, last, common_first, common_last;

	if (!ours->first) {
		advise(say, "backend_ports is none: no mail can be delivered, and all of it is put "
			    "off");
		return;
	}
	if (!uses_kernels_interface(config) ||
	    read_sysctl(folder, "ip_local_port_range", text, sizeof(text)) ||
	    sscanf(text, "%u %u", &first, &last) != 2)
		return;
	common_first = ours->first > first ? ours->first : first;
	common_last = ours->last < last ? ours->last : last;
	if (common_first > common_last ||
	    read_sysctl(folder, "ip_local_reserved_ports", text, sizeof(text)) ||
	    has_all(text, common_first, common_last))
		return;
	advise(say,
	       "the kernel may take some of backend_ports (%u-%u) for connections of its own, and "
	       "those to servers of pools would fail: add %u-%u to the sysctl "
	       "net.ipv4.ip_local_reserved_ports",
	       ours->first, ours->last, ours->first, ours->last);
}

/* --- addresses ------------------------------------------------------------------------------- */

static bool is_among(const struct ip_addr *address, const struct ip_addr *all, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (memcmp(address, &all[i], sizeof(*address)) == 0)
			return true;
	return false;
}

static void advise_on_addresses(const struct config_interface *in, advice_say *say)
{
	struct ip_addr kernels[ADDRESSES_MAX];
	uint32_t n;

	if (!*in->device || netlink_addresses(in->device, kernels, ADDRESSES_MAX, &n))
		return;
	for (uint32_t i = 0; i < in->n_addresses; i++) {
		const struct ip_addr *address = &in->addresses[i];
		char text[IP_ADDR_TEXT];

		if (is_among(address, kernels, n))
			continue;
		advise(say,
		       "%s: the kernel has no address %s there, and answers nobody who looks for it",
		       in->device, ip_addr_text(text, address));
	}
}

void advice_on_config(const struct config *config, advice_say *say)
{
	for (uint32_t i = 0; i < config->n_interfaces; i++)
		advise_on_addresses(&config->interfaces[i], say);
}

/* --- directories ----------------------------------------------------------------------------- */

void advice_on_directories(const struct config *config, struct roster *roster, advice_say *say)
{
	uint32_t sharded = 0;

	for (uint32_t i = 0; i < config->n_domains; i++) {
		struct directory_report report;

		roster_domain(roster, i, &report);
		if (report.is_sharded && sharded++ < DOMAINS_SAID)
			advise(say,
			       "%s has recipients of other pools than %s: who mails some of each at "
			       "once is told 452, and to send again to the rest",
			       config->domains[i].name, config->domains[i].pool);
	}
	if (sharded > DOMAINS_SAID)
		advise(say, "and so have %u domains more", sharded - DOMAINS_SAID);
}
