/* SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only */
/*
 * The shield's maps: what the XDP program and user space agree on. Pinned as
 * BPFFS/maps/{flagged,allow,backends,services,config,counters}, shared by all interfaces; each
 * interface's link is pinned as BPFFS/IFACE/link.
 *
 * Addresses are 16 octets in network order, IPv4 in mapped form (postern/address.h). Ports are in
 * network order, as they stand in a packet. Times are CLOCK_BOOTTIME nanoseconds
 * (bpf_ktime_get_boot_ns), so that a verdict outlives a suspend and needs no wall clock.
 */
#ifndef POSTERN_SHIELD_MAP_H
#define POSTERN_SHIELD_MAP_H

#include <linux/types.h>

enum {
	SHIELD_FLAGGED_MAX = 1 << 20,
	SHIELD_ALLOW_MAX = 1 << 16,
	SHIELD_BACKENDS_MAX = 4096,
	SHIELD_SERVICES_MAX = 1024,
	SHIELD_QUEUES_MAX = 64,
	/* Room for the old set and the new one at once, so that a replacement adds before it
	 * removes; a service takes two entries, itself and its address. */
	SHIELD_BACKENDS_ENTRIES = 2 * SHIELD_BACKENDS_MAX,
	SHIELD_SERVICES_ENTRIES = 4 * SHIELD_SERVICES_MAX,
	SHIELD_ALLOW_DEPTH = 4, /* expired prefixes around one address looked through, at most */
	SHIELD_VLANS_MAX = 2,
	SHIELD_EXTENSIONS_MAX = 8, /* IPv6 extension headers skipped; more are malformed */
};

/* Prefix lengths a source can be flagged at; a bit each in shield_config.levels, so that a level
 * nobody is flagged at costs no lookup. Lengths count in the mapped form. */
enum shield_level {
	SHIELD_V4_32, /* 128 */
	SHIELD_V4_24, /* 120 */
	SHIELD_V6_64,
	SHIELD_V6_56,
	SHIELD_V6_48,
	SHIELD_LEVELS,
};

/* flagged: HASH, preallocated. Who adds an entry stores it first and sets its level's bit after,
 * and who clears a bit looks for entries again after: so none is left without its bit. */
struct shield_source {
	__u8 address[16]; /* bits behind the prefix are zero */
	__u32 prefix_len; /* 128, 120, 64, 56, 48 */
};

struct shield_flag {
	__u64 expiry_ns; /* dropped until then */
	__u64 drops;	 /* frames dropped by this entry */
};

/* allow: LPM_TRIE. */
struct shield_prefix {
	__u32 prefix_len; /* 0..128, the kernel's layout for a trie's key */
	__u8 address[16];
};

struct shield_spare {
	__u64 expiry_ns;  /* spared until then; 0: for ever */
	__u32 prefix_len; /* the key's own: what to look beyond when this one has expired */
	__u32 zero;
};

/* services: HASH, an address and port of ours, value __u8 1; with port 0: the address is ours.
 * backends: HASH, a backend's address and port, value __u8 1. */
struct shield_endpoint {
	__u8 address[16];
	__be16 port;
	__u16 zero;
};

/* config: ARRAY of one, BPF_F_MMAPABLE, so that a level is switched by a store. */
struct shield_config {
	__u32 levels;		  /* bits 1 << enum shield_level that may hold an entry */
	__u16 backend_port_first; /* our source ports toward backends, host order */
	__u16 backend_port_last;  /* inclusive; first > last: none */
};

/* counters: PERCPU_ARRAY of __u64. Every frame is counted once, by what became of it; a spared one
 * once more. */
enum shield_counter {
	SHIELD_PASS,		 /* none of our business: the kernel's */
	SHIELD_REDIRECT_SMTP,	 /* TCP to a service */
	SHIELD_REDIRECT_BACKEND, /* TCP from a backend to our source ports */
	SHIELD_REDIRECT_ICMP,	 /* an ICMP error that quotes one of the two */
	SHIELD_DROP_FLAGGED,	 /* TCP to a service from a flagged source */
	SHIELD_DROP_FRAGMENT,	 /* a fragment that begins, or may begin, TCP to a service */
	SHIELD_DROP_MALFORMED,	 /* to a service address, yet its TCP header cannot be reached; or
				    behind more priority tags than are looked behind */
	SHIELD_SPARED,		 /* flagged, but on the allowlist */
	SHIELD_NO_SOCKET,	 /* meant for the data plane, which has no socket there: dropped */
	SHIELD_COUNTERS,
};

#endif
