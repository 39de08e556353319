/* SPDX-License-Identifier: BSD-3-Clause */
/* Verdicts on their way. Thread, Time, Memory, Rules: verdicts.h. */
#include "worker/verdicts.h"

#include <assert.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/counter.h"
#include "postern/shield_map.h"

enum { CLIENT_V4 = 128, CLIENT_V6 = 64 };

void verdicts_init(struct verdicts *v, const struct mail_shield *shield, struct notices *notices,
		   struct postern_counters *counters)
{
	*v = (struct verdicts){.shield = shield, .notices = notices, .counters = counters};
}

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The entry first, then its level's bit (postern/shield_map.h). */
static bool tell_kernel(const struct mail_shield *shield, const struct harvest_verdict *verdict)
{
	struct shield_source source = {.prefix_len = verdict->prefix_len};
	const struct shield_flag flag = {
		.expiry_ns = boot_ns() + (uint64_t)verdict->ttl_s * 1000000000,
	};
	union bpf_attr attr = {
		.map_fd = (uint32_t)shield->flagged_fd,
		.key = (uint64_t)(uintptr_t)&source,
		.value = (uint64_t)(uintptr_t)&flag,
		.flags = BPF_ANY,
	};

	static_assert(sizeof(source.address) == sizeof(verdict->address.octets), "one form");
	memcpy(source.address, verdict->address.octets, sizeof(source.address));
	if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) != 0)
		return false;
	atomic_fetch_or(shield->levels,
			1U << (verdict->prefix_len == CLIENT_V4 ? SHIELD_V4_32 : SHIELD_V6_64));
	return true;
}

static bool is_clients(const struct harvest_verdict *verdict)
{
	return verdict->prefix_len == CLIENT_V4 || verdict->prefix_len == CLIENT_V6;
}

static void count(struct postern_counters *counters, const struct harvest_verdict *verdict)
{
	if (verdict->observed)
		counter_add(&counters->mail_observed, 1);
	else if (verdict->kind == HARVEST_VERDICT_DROP)
		counter_add(&counters->mail_verdicts, 1);
	else
		counter_add(&counters->mail_limits, 1);
}

void verdicts_take(struct verdicts *v, const struct harvest_verdict *verdict)
{
	struct notice notice = {.verdict = *verdict};

	if (verdict_shuts_out(verdict) && !verdict->by_proxy && is_clients(verdict) &&
	    v->shield->flagged_fd >= 0 && v->told < VERDICTS_A_TURN) {
		notice.is_flagged = tell_kernel(v->shield, verdict);
		v->told++;
	}
	count(v->counters, verdict);
	if (!notices_put(v->notices, &notice))
		counter_add(&v->counters->mail_notices_lost, 1);
	v->news = true;
}

void verdicts_turn(struct verdicts *v)
{
	const uint64_t one = 1;
	bool news = v->news;

	v->told = 0;
	v->news = false;
	if (news && v->shield->wake_fd >= 0 && write(v->shield->wake_fd, &one, sizeof(one)) < 0)
		return; /* it is full: control is woken anyway */
}
