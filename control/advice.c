/* SPDX-License-Identifier: BSD-3-Clause */
/* What may be meant otherwise. Thread, Time, Memory, Rules: advice.h. */
#include "control/advice.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "control/netlink.h"

enum { ADDRESSES_MAX = 256, DOMAINS_SAID = 100, SENTENCE_MAX = 1024 };

__attribute__((format(printf, 2, 3))) static void advise(advice_say *say, const char *format, ...)
{
	char sentence[SENTENCE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	say(sentence);
}

/* --- keys that wait -------------------------------------------------------------------------- */

static bool says_backend_ports(const struct config *c)
{
	for (uint32_t i = 0; i < c->n_interfaces; i++) {
		const struct config_ports *ports = &c->interfaces[i].backend_ports;

		if (ports->first != CONFIG_BACKEND_FIRST || ports->last != CONFIG_BACKEND_LAST)
			return true;
	}
	return false;
}

static void advise_on_relay(const struct config *c, advice_say *say)
{
	bool protocol = false, identity = false, ports = says_backend_ports(c);

	for (uint32_t i = 0; i < c->n_pools; i++) {
		protocol |= c->pools[i].protocol != CONFIG_SMTP;
		identity |= c->pools[i].identity != CONFIG_IDENTITY_NONE;
	}
	if (ports || protocol || identity)
		advise(say, "without effect as long as mail is not relayed:%s%s%s",
		       ports ? " backend_ports" : "", protocol ? " protocol" : "",
		       identity ? " identity" : "");
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
		bool is_v4 = ip_addr_is_v4(address);
		char text[INET6_ADDRSTRLEN] = "";

		if (is_among(address, kernels, n))
			continue;
		inet_ntop(is_v4 ? AF_INET : AF_INET6, address->octets + (is_v4 ? 12 : 0), text,
			  sizeof(text));
		advise(say,
		       "%s: the kernel has no address %s there, and answers nobody who looks for it",
		       in->device, text);
	}
}

void advice_on_config(const struct config *config, advice_say *say)
{
	advise_on_relay(config, say);
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
