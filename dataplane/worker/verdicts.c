/* SPDX-License-Identifier: BSD-3-Clause */
/* Verdicts on their way. Thread, Time, Memory, Rules: verdicts.h. */
#include "worker/verdicts.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/bpf.h>

#include "base/counter.h"
#include "postern/shield_map.h"

void verdicts_init(struct verdicts *v, const struct mail_shield *shield, struct notices *notices,
		   struct postern_counters *counters)
{
	*v = (struct verdicts){.shield = shield, .notices = notices, .counters = counters};
}

/* --- the kernel ------------------------------------------------------------------------------ */

static uint64_t boot_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Stores the entry, then its level's bit (postern/shield_map.h). */
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
	enum shield_level level = verdict->prefix_len == 128 ? SHIELD_V4_32 : SHIELD_V6_64;

	memcpy(source.address, verdict->address.octets, sizeof(source.address));
	if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) != 0)
		return false;
	atomic_fetch_or(shield->levels, 1U << level);
	return true;
}

static bool is_client(const struct harvest_verdict *verdict)
{
	return verdict->prefix_len == 128 || verdict->prefix_len == 64;
}

/* --- a verdict ------------------------------------------------------------------------------- */

static void sweep_begin(struct verdicts *v, const struct harvest_verdict *verdict)
{
	if (v->n_sweeps == VERDICTS_SWEPT) {
		counter_add(&v->counters->mail_sweeps_full, 1);
		return;
	}
	v->sweeps[v->n_sweeps++] =
		(struct verdicts_sweep){verdict->address, verdict->prefix_len, UINT32_MAX};
}

static void carry_out(struct verdicts *v, const struct harvest_verdict *verdict)
{
	struct notice notice = {.verdict = *verdict};

	if (verdict->kind == HARVEST_VERDICT_DROP && !verdict->observed) {
		if (is_client(verdict) && v->shield->flagged_fd >= 0 && v->told < VERDICTS_A_TURN) {
			notice.is_flagged = tell_kernel(v->shield, verdict);
			v->told++;
		}
		sweep_begin(v, verdict);
	}
	counter_add(&v->counters->mail_verdicts, 1);
	notices_put(v->notices, &notice);
}

void verdicts_take(struct verdicts *v, const struct harvest_verdicts *decided, uint32_t now_s)
{
	const uint64_t one = 1;

	for (uint32_t i = 0; i < decided->n; i++)
		carry_out(v, &decided->at[i]);
	if (decided->n && write(v->shield->wake_fd, &one, sizeof(one)) < 0)
		return; /* it is awake */
}

/* --- the client's other conversations ------------------------------------------------------------
 */

static bool is_swept(const struct verdicts *v, const struct ip_addr *address)
{
	for (uint32_t i = 0; i < v->n_sweeps; i++)
		if (ip_addr_match(address, &v->sweeps[i].address, v->sweeps[i].prefix_len))
			return true;
	return false;
}

/* Those that have been all the way round are done. */
static void sweeps_move(struct verdicts *v, uint32_t looked, uint32_t all)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < v->n_sweeps; i++) {
		struct verdicts_sweep *s = &v->sweeps[i];

		s->left = s->left > all ? all : s->left;
		if (s->left > looked) {
			s->left -= looked;
			v->sweeps[kept++] = *s;
		}
	}
	v->n_sweeps = kept;
}

bool verdicts_turn(struct verdicts *v, struct tcp *t, void (*each)(void *arg, struct tcp_conn *c),
		   void *arg)
{
	uint32_t all = tcp_conns_bound(t);

	v->told = 0;
	if (!v->n_sweeps)
		return false;
	for (uint32_t i = 0; i < VERDICTS_LOOKED && i < all; i++) {
		struct tcp_conn *c;
		struct flow flow;

		v->cursor = v->cursor + 1 < all ? v->cursor + 1 : 0;
		c = tcp_conn_at(t, v->cursor);
		if (!c)
			continue;
		tcp_flow(t, c, &flow);
		if (is_swept(v, &flow.remote))
			each(arg, c);
	}
	sweeps_move(v, VERDICTS_LOOKED, all);
	return v->n_sweeps;
}
