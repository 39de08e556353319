/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shield as control holds it: maps shared by all interfaces, and the XDP program attached to
 * each. Both stay when the process ends, however it ends: links and maps are pinned below a bpffs,
 * so a flagged source is dropped, and SMTP is kept from the kernel, while nobody is at home.
 *
 * Order at start, and at a restart: shield_open, shield_set_services, shield_set_backends and
 * _backend_ports, shield_attach, then the data plane's sockets, which join the attached program.
 * From shield_attach until its socket is there, a frame for the data plane is dropped.
 *
 * Thread: shield_open to _attach, _remove and _close by control's main; what is flagged and spared
 * by any of control's, at once, but for shield_expire, which is main's; a worker writes flags of
 * its own by shield_flagged_fd. Time: expiries are CLOCK_BOOTTIME nanoseconds, shield_now_ns.
 * Memory: the struct, and for the length of a call what its answer needs; bounds are those of
 * postern/shield_map.h. Rules: all return 0, or -errno with a sentence in error. libbpf is heard,
 * unless the caller has it silent. CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and CAP_SYS_ADMIN where
 * the bpffs must be mounted.
 */
#ifndef POSTERN_CONTROL_SHIELD_H
#define POSTERN_CONTROL_SHIELD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"
#include "postern/shield_map.h"

struct shield;

enum shield_mode {
	SHIELD_NATIVE,		  /* in the driver, or not at all */
	SHIELD_NATIVE_OR_GENERIC, /* after the kernel has built a packet, where the driver cannot */
};

struct ip_endpoint {
	struct ip_addr address;
	uint16_t port; /* host order */
};

struct shield_flagged {
	struct ip_addr address; /* bits behind the prefix are zero */
	unsigned prefix_len;
	uint64_t expiry_ns;
	uint64_t drops;
};

struct shield_allowed {
	struct ip_addr address; /* bits behind the prefix are zero */
	unsigned prefix_len;
	uint64_t expiry_ns; /* 0: for ever */
};

/* Opens the maps below the directory, making directory, bpffs and maps where they are missing. A
 * pinned map of another layout is refused. -EBUSY: another process has this shield open. */
int shield_open(struct shield **out, const char *bpffs, char *error, size_t len);

/* Lets go of everything and takes nothing away: maps and programs stay. NULL is allowed. */
void shield_close(struct shield *s);

/* Puts a fresh program, without sockets yet, on an interface: in place of the one an earlier
 * process left there, with no packet between the two, or as the first one. An interface with
 * somebody else's XDP program is refused. */
int shield_attach(struct shield *s, const char *ifname, enum shield_mode mode, char *error,
		  size_t len);

/* Takes the program off the interface: an operator's wish only. */
int shield_detach(struct shield *s, const char *ifname, char *error, size_t len);

/* Takes the program off every interface that has it by this bpffs, told of each, and removes the
 * maps, and with them who is flagged. -ENOENT: there is none; -EBUSY: a process has it open. */
int shield_remove(const char *bpffs, void (*told)(const char *ifname), char *error, size_t len);

/* The interfaces that have the program; each returns 0 to go on. */
int shield_each_interface(const struct shield *s, int (*each)(void *arg, const char *ifname),
			  void *arg, char *error, size_t len);

/* Replace the whole set. What is in both the old and the new one is never missing. A service with
 * port 0 says only that the address is ours, which every service says of its own. */
int shield_set_services(struct shield *s, const struct ip_endpoint *services, size_t n, char *error,
			size_t len);
int shield_set_backends(struct shield *s, const struct ip_endpoint *backends, size_t n, char *error,
			size_t len);

/* Our source ports toward backends, both inclusive; first > last: none. */
void shield_set_backend_ports(struct shield *s, uint16_t first, uint16_t last);

/* Shut a source out until expiry_ns. prefix_len as in postern/shield_map.h: 128 or 120 for IPv4,
 * 64, 56 or 48 for IPv6; bits behind it are ignored. A source flagged already keeps its count of
 * drops. -E2BIG: the map is full. */
int shield_flag(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		uint64_t expiry_ns, char *error, size_t len);
/* -ENOENT: it was not flagged. */
int shield_unflag(struct shield *s, const struct ip_addr *address, unsigned prefix_len, char *error,
		  size_t len);

/* One flagged source as it stands in the map. -ENOENT: it is not there. */
int shield_find_flagged(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
			struct shield_flagged *found, char *error, size_t len);

/* Spare a prefix of any length (IPv4 counts from 96) until expiry_ns, 0 for ever. */
int shield_allow(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		 uint64_t expiry_ns, char *error, size_t len);
/* -ENOENT: it was not on the list. */
int shield_disallow(struct shield *s, const struct ip_addr *address, unsigned prefix_len,
		    char *error, size_t len);

/* Removes what has expired by now_ns, and switches off levels that nobody is flagged at any more: a
 * piece of some thousand entries at a call, until done; the call behind that begins anew. removed:
 * how many flags and allowances by this piece. */
int shield_expire(struct shield *s, uint64_t now_ns, bool *done, size_t *removed, char *error,
		  size_t len);

/* Every flagged source, expired ones too, in no order. One flagged or unflagged meanwhile may be
 * seen or not. each returns false to end the walk. */
int shield_each_flagged(struct shield *s, bool (*each)(const struct shield_flagged *f, void *arg),
			void *arg, char *error, size_t len);

/* Every spared prefix, in no order, as shield_each_flagged. */
int shield_each_allowed(struct shield *s, bool (*each)(const struct shield_allowed *a, void *arg),
			void *arg, char *error, size_t len);

/* Summed over all CPUs and interfaces, since the maps were made. */
int shield_counters(struct shield *s, uint64_t sum[SHIELD_COUNTERS], char *error, size_t len);

/* For who writes flags himself: the map's descriptor, valid until shield_close; the key a source
 * is flagged by; and the levels, whose bit is to be set (atomically) after the entry is there. */
int shield_flagged_fd(const struct shield *s);
_Atomic uint32_t *shield_levels(struct shield *s);
/* False when nobody can be flagged at that length. */
bool shield_source_key(const struct ip_addr *address, unsigned prefix_len,
		       struct shield_source *key, enum shield_level *level);

uint64_t shield_now_ns(void);

#endif
