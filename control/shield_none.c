/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shield of a build without BPF: there is none to be opened, and so none to be asked.
 *
 * Thread: any. Time: CLOCK_BOOTTIME, as the shield's. Memory: none. Rules: shield.h.
 */
#include "control/shield.h"

#include <errno.h>
#include <time.h>

#include "control/error.h"

static int none(char *error, size_t len)
{
	return error_set(-ENOTSUP, error, len, "this program was built without the shield");
}

int shield_open(struct shield **out, const char *bpffs, char *error, size_t len)
{
	return none(error, len);
}

void shield_close(struct shield *s)
{
}

int shield_flag(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		uint64_t expiry_ns, char *error, size_t len)
{
	return none(error, len);
}

int shield_unflag(struct shield *s, const struct ip_addr *address, unsigned prefix_len, char *error,
		  size_t len)
{
	return none(error, len);
}

int shield_find_flagged(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
			struct shield_flagged *found, char *error, size_t len)
{
	return none(error, len);
}

int shield_allow(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		 uint64_t expiry_ns, char *error, size_t len)
{
	return none(error, len);
}

int shield_disallow(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		    char *error, size_t len)
{
	return none(error, len);
}

int shield_expire(struct shield *s, uint64_t now_ns, bool *done, size_t *removed, char *error,
		  size_t len)
{
	return none(error, len);
}

int shield_each_flagged(struct shield *s, bool (*each)(const struct shield_flagged *f, void *arg),
			void *arg, char *error, size_t len)
{
	return none(error, len);
}

int shield_each_allowed(struct shield *s, bool (*each)(const struct shield_allowed *a, void *arg),
			void *arg, char *error, size_t len)
{
	return none(error, len);
}

int shield_counters(struct shield *s, uint64_t sum[SHIELD_COUNTERS], char *error, size_t len)
{
	return none(error, len);
}

uint64_t shield_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
