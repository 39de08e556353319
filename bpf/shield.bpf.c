// SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
/*
 * The shield: what the kernel's XDP hook does with a frame. TCP to one of our services is dropped
 * when its source is flagged, else redirected to the data plane; so is TCP from a known backend to
 * our source ports, and an ICMP error that quotes either. The rest is the kernel's.
 *
 * Thread: NAPI, any CPU at once; state lies in the maps (postern/shield_map.h).
 * Time: CLOCK_BOOTTIME, read only when an entry with an expiry was hit.
 * Memory: the maps', bounded by their sizes; a frame without a socket to go to is dropped, never
 * passed: the kernel would answer our SYNs with RST.
 * Rules: 802.1Q and 802.1ad, two tags at most, more are the kernel's unless one is a priority tag;
 * RFC 791, 8200; fragments as RFC 1858 and 3128 have it, and a whole header chain in the first one
 * (RFC 7112), an atomic fragment being none (RFC 6946); ICMP errors of RFC 792 and 4443. No
 * checksum is verified here; no fragment is put together; AH and ESP are not looked through, they
 * are the kernel's.
 */
#include <stdbool.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "postern/shield_map.h"

/* What libxdp looks for to join this program instead of loading its own: a variable whose type says
 * the number, beside the program's name and the sockets' map. */
__uint(xsk_prog_version, 1) SEC("xdp_metadata");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, SHIELD_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHIELD_FLAGGED_MAX);
	__type(key, struct shield_source);
	__type(value, struct shield_flag);
} flagged SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SHIELD_ALLOW_MAX);
	__type(key, struct shield_prefix);
	__type(value, struct shield_spare);
} allow SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHIELD_BACKENDS_ENTRIES);
	__type(key, struct shield_endpoint);
	__type(value, __u8);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHIELD_SERVICES_ENTRIES);
	__type(key, struct shield_endpoint);
	__type(value, __u8);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shield_config);
} config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SHIELD_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* What is left of the frame. */
struct cursor {
	void *pos;
	void *end;
};

enum {
	VLAN_ID = 0x0fff, /* of a tag's control information; 0: a priority tag */
};

struct vlan_header {
	__be16 tci;
	__be16 ethertype;
};

struct extension_header {
	__u8 next;
	__u8 len; /* in units of 8 octets, the first 8 not counted */
	__u8 rest[6];
};

struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* in units of 8 octets, three bits up; the lowest bit: more follow */
	__be32 id;
};

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 rest;
};

/* Of a quoted TCP header at least this much is there (RFC 792). */
struct quoted_tcp {
	__be16 source;
	__be16 dest;
	__be32 seq;
};

enum part {
	PART_WHOLE,
	PART_FIRST, /* first fragment of several */
	PART_LATER,
};

struct packet {
	struct shield_endpoint source, dest; /* ports stay 0 until TCP is reached */
	__u32 left;			     /* octets of the IP payload from the cursor on */
	__u16 offset;			     /* of a later fragment, in units of 8 octets */
	__u8 protocol;
	__u8 version;
	enum part part;
	bool cut; /* the transport header cannot be reached: lengths lie, or too many headers */
};

/* The next len octets, and the cursor behind them; NULL, and the cursor unmoved, when the frame
 * ends before. */
static __always_inline void *cursor_take(struct cursor *c, __u32 len)
{
	void *at = c->pos;

	if (at + len > c->end)
		return NULL;
	c->pos = at + len;
	return at;
}

static __always_inline void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);

	if (n)
		*n += 1;
}

static __always_inline int pass(void)
{
	count(SHIELD_PASS);
	return XDP_PASS;
}

static __always_inline int drop(enum shield_counter why)
{
	count(why);
	return XDP_DROP;
}

static __always_inline int redirect(struct xdp_md *ctx, enum shield_counter why)
{
	__u32 queue = ctx->rx_queue_index;

	if (!bpf_map_lookup_elem(&xsks_map, &queue))
		return drop(SHIELD_NO_SOCKET);
	count(why);
	return bpf_redirect_map(&xsks_map, queue, XDP_DROP);
}

static __always_inline void address_from_v4(__u8 *address, __be32 v4)
{
	__builtin_memset(address, 0, 10);
	__builtin_memset(address + 10, 0xff, 2);
	__builtin_memcpy(address + 12, &v4, sizeof(v4));
}

static __always_inline bool is_service(const struct shield_endpoint *e)
{
	return bpf_map_lookup_elem(&services, e);
}

static __always_inline bool is_backend(const struct shield_endpoint *e)
{
	return bpf_map_lookup_elem(&backends, e);
}

static __always_inline bool is_our_address(const struct shield_endpoint *e)
{
	struct shield_endpoint any_port = *e;

	any_port.port = 0;
	return is_service(&any_port);
}

static __always_inline bool is_backend_port(const struct shield_config *cfg, __be16 port)
{
	__u16 p = bpf_ntohs(port);

	return p >= cfg->backend_port_first && p <= cfg->backend_port_last;
}

/* Whether the allowlist holds the address now. The longest prefix may have expired while a
 * shorter one has not: then look again, for prefixes shorter than that. */
static __always_inline bool is_allowed(const __u8 *address, __u64 now)
{
	struct shield_prefix key = {.prefix_len = 128};

	__builtin_memcpy(key.address, address, sizeof(key.address));
	for (int i = 0; i < SHIELD_ALLOW_DEPTH; i++) {
		struct shield_spare *spare = bpf_map_lookup_elem(&allow, &key);

		if (!spare)
			return false;
		if (spare->expiry_ns == 0 || spare->expiry_ns > now)
			return true;
		if (spare->prefix_len == 0 || spare->prefix_len > 128)
			return false;
		key.prefix_len = spare->prefix_len - 1;
	}
	return false;
}

/* The source's flag at one prefix length, unless it has expired. */
static __always_inline struct shield_flag *flag_at(struct shield_source *key, __u32 prefix_len,
						   __u64 *now)
{
	struct shield_flag *flag;

	key->prefix_len = prefix_len;
	flag = bpf_map_lookup_elem(&flagged, key);
	if (!flag)
		return NULL;
	if (*now == 0)
		*now = bpf_ktime_get_boot_ns();
	return flag->expiry_ns > *now ? flag : NULL;
}

static __always_inline struct shield_flag *flag_of(const struct packet *p, __u32 levels, __u64 *now)
{
	struct shield_source key = {};
	struct shield_flag *flag = NULL;

	__builtin_memcpy(key.address, p->source.address, sizeof(key.address));
	if (p->version == 4) {
		if (levels & 1 << SHIELD_V4_32)
			flag = flag_at(&key, 128, now);
		key.address[15] = 0;
		if (!flag && levels & 1 << SHIELD_V4_24)
			flag = flag_at(&key, 120, now);
		return flag;
	}
	__builtin_memset(key.address + 8, 0, 8);
	if (levels & 1 << SHIELD_V6_64)
		flag = flag_at(&key, 64, now);
	key.address[7] = 0;
	if (!flag && levels & 1 << SHIELD_V6_56)
		flag = flag_at(&key, 56, now);
	key.address[6] = 0;
	if (!flag && levels & 1 << SHIELD_V6_48)
		flag = flag_at(&key, 48, now);
	return flag;
}

static __always_inline bool is_shut_out(const struct packet *p, const struct shield_config *cfg)
{
	__u64 now = 0;
	struct shield_flag *flag = flag_of(p, cfg->levels, &now);

	if (!flag)
		return false;
	if (is_allowed(p->source.address, now)) {
		count(SHIELD_SPARED);
		return false;
	}
	__sync_fetch_and_add(&flag->drops, 1);
	return true;
}

/* Of a first fragment that passes the kernel needs no more to build the packet; of one that is
 * dropped it never will. A second fragment at offset 8 could rewrite the flags (RFC 3128). */
static __always_inline int fragment_verdict(const struct packet *p)
{
	if (p->part == PART_LATER) {
		if (p->offset == 1 && is_our_address(&p->dest))
			return drop(SHIELD_DROP_FRAGMENT);
		return pass();
	}
	if (is_service(&p->dest))
		return drop(SHIELD_DROP_FRAGMENT);
	return pass();
}

static __always_inline int tcp_verdict(struct xdp_md *ctx, struct cursor *c, struct packet *p,
				       const struct shield_config *cfg)
{
	struct tcphdr *tcp;

	if (p->part == PART_LATER)
		return fragment_verdict(p);
	tcp = p->left < sizeof(*tcp) ? NULL : cursor_take(c, sizeof(*tcp));
	if (p->cut || !tcp) {
		if (!is_our_address(&p->dest))
			return pass();
		return drop(p->part == PART_WHOLE ? SHIELD_DROP_MALFORMED : SHIELD_DROP_FRAGMENT);
	}
	p->source.port = tcp->source;
	p->dest.port = tcp->dest;
	if (p->part == PART_FIRST)
		return fragment_verdict(p);
	if (is_service(&p->dest)) {
		if (is_shut_out(p, cfg))
			return drop(SHIELD_DROP_FLAGGED);
		return redirect(ctx, SHIELD_REDIRECT_SMTP);
	}
	if (is_backend_port(cfg, tcp->dest) && is_backend(&p->source) && is_our_address(&p->dest))
		return redirect(ctx, SHIELD_REDIRECT_BACKEND);
	return pass();
}

static __always_inline bool is_icmp_error(__u8 version, __u8 type)
{
	if (version == 4) /* unreachable, time exceeded, parameter problem */
		return type == 3 || type == 11 || type == 12;
	return type >= 1 && type <= 4; /* the same, and packet too big */
}

/* The addresses of a quoted packet, when it is TCP and begins with its header. We send neither
 * extension headers nor fragments. */
static __always_inline bool quoted_ip(struct cursor *c, struct packet *quoted, __u8 version)
{
	if (version == 4) {
		struct iphdr *ip = cursor_take(c, sizeof(*ip));

		if (!ip || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_TCP ||
		    ip->frag_off & bpf_htons(0x1fff))
			return false;
		if (!cursor_take(c, ip->ihl * 4 - sizeof(*ip)))
			return false;
		quoted->left = ip->ihl * 4;
		address_from_v4(quoted->source.address, ip->saddr);
		address_from_v4(quoted->dest.address, ip->daddr);
	} else {
		struct ipv6hdr *ip = cursor_take(c, sizeof(*ip));

		if (!ip || ip->version != 6 || ip->nexthdr != IPPROTO_TCP)
			return false;
		quoted->left = sizeof(*ip);
		__builtin_memcpy(quoted->source.address, &ip->saddr, 16);
		__builtin_memcpy(quoted->dest.address, &ip->daddr, 16);
	}
	return true;
}

static __always_inline int icmp_verdict(struct xdp_md *ctx, struct cursor *c,
					const struct packet *p, const struct shield_config *cfg)
{
	struct packet quoted = {};
	struct icmp_header *icmp;
	struct quoted_tcp *tcp;

	if (p->part != PART_WHOLE || p->cut)
		return pass();
	icmp = cursor_take(c, sizeof(*icmp));
	if (!icmp || !is_icmp_error(p->version, icmp->type) || !quoted_ip(c, &quoted, p->version))
		return pass();
	tcp = cursor_take(c, sizeof(*tcp));
	if (!tcp || p->left < sizeof(*icmp) + quoted.left + sizeof(*tcp))
		return pass();
	quoted.source.port = tcp->source;
	quoted.dest.port = tcp->dest;
	if (is_service(&quoted.source) ||
	    (is_backend_port(cfg, tcp->source) && is_backend(&quoted.dest) &&
	     is_our_address(&quoted.source)))
		return redirect(ctx, SHIELD_REDIRECT_ICMP);
	return pass();
}

static __always_inline bool is_tag(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* Ethernet and its tags; the ethertype, or 0 when the frame ends before or has too many of them.
 * Priority tags, which name no VLAN, the kernel takes off in any number: buried says that there
 * are too many with such ones among them, so that they may hide anything. */
static __always_inline __be16 link_input(struct cursor *c, bool *buried)
{
	struct ethhdr *eth = cursor_take(c, sizeof(*eth));
	bool priority = false;
	__be16 type;

	if (!eth)
		return 0;
	type = eth->h_proto;
	for (int i = 0; i <= SHIELD_VLANS_MAX; i++) {
		struct vlan_header *vlan;

		if (!is_tag(type))
			return type;
		vlan = cursor_take(c, sizeof(*vlan));
		if (!vlan)
			return 0;
		if (!(vlan->tci & bpf_htons(VLAN_ID)))
			priority = true;
		type = vlan->ethertype;
	}
	*buried = priority;
	return 0;
}

/* False: no IPv4 header the kernel would accept. */
static __always_inline bool ip4_input(struct cursor *c, struct packet *p)
{
	struct iphdr *ip = cursor_take(c, sizeof(*ip));
	__u32 header_len, total_len;
	__u16 fragment;

	if (!ip || ip->version != 4 || ip->ihl < 5)
		return false;
	header_len = ip->ihl * 4;
	total_len = bpf_ntohs(ip->tot_len);
	if (total_len < header_len || !cursor_take(c, header_len - sizeof(*ip)))
		return false;
	address_from_v4(p->source.address, ip->saddr);
	address_from_v4(p->dest.address, ip->daddr);
	p->version = 4;
	p->protocol = ip->protocol;
	p->left = total_len - header_len;
	p->cut = (void *)ip + total_len > c->end;
	fragment = bpf_ntohs(ip->frag_off);
	p->offset = fragment & 0x1fff;
	if (p->offset)
		p->part = PART_LATER;
	else if (fragment & 0x2000)
		p->part = PART_FIRST;
	return true;
}

/* One extension header; false when the chain ends here: another protocol, a later fragment or
 * no room for it. */
static __always_inline bool ip6_extension(struct cursor *c, struct packet *p)
{
	__u32 len;

	if (p->protocol == IPPROTO_FRAGMENT) {
		struct fragment_header *fragment;
		__u16 offset;

		len = sizeof(*fragment);
		fragment = p->left < len ? NULL : cursor_take(c, len);
		if (!fragment) {
			p->cut = true;
			return false;
		}
		p->left -= len;
		p->protocol = fragment->next;
		offset = bpf_ntohs(fragment->offset);
		p->offset = offset >> 3;
		if (p->offset) {
			p->part = PART_LATER;
			return false;
		}
		if (offset & 1)
			p->part = PART_FIRST;
		return true;
	}
	if (p->protocol == IPPROTO_HOPOPTS || p->protocol == IPPROTO_ROUTING ||
	    p->protocol == IPPROTO_DSTOPTS || p->protocol == IPPROTO_MH) {
		struct extension_header *e = p->left < sizeof(*e) ? NULL : cursor_take(c, 8);

		if (!e) {
			p->cut = true;
			return false;
		}
		len = e->len * 8;
		p->protocol = e->next;
		if (p->left < 8 + len || !cursor_take(c, len)) {
			p->cut = true;
			return false;
		}
		p->left -= 8 + len;
		return true;
	}
	return false;
}

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_HOPOPTS ||
	       protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_MH;
}

static __always_inline bool ip6_input(struct cursor *c, struct packet *p)
{
	struct ipv6hdr *ip = cursor_take(c, sizeof(*ip));
	int i;

	if (!ip || ip->version != 6)
		return false;
	__builtin_memcpy(p->source.address, &ip->saddr, 16);
	__builtin_memcpy(p->dest.address, &ip->daddr, 16);
	p->version = 6;
	p->protocol = ip->nexthdr;
	p->left = bpf_ntohs(ip->payload_len);
	if (c->pos + p->left > c->end)
		p->cut = true;
	for (i = 0; i < SHIELD_EXTENSIONS_MAX; i++)
		if (!ip6_extension(c, p))
			break;
	if (i == SHIELD_EXTENSIONS_MAX && is_extension(p->protocol))
		p->cut = true;
	return true;
}

/* An IPv6 packet whose chain of headers could not be followed to its end may be TCP. */
static __always_inline bool may_be_tcp(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP ||
	       (p->version == 6 && p->cut && is_extension(p->protocol));
}

SEC("xdp")
int xsk_def_prog(struct xdp_md *ctx)
{
	struct cursor c = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
	const struct shield_config *cfg;
	struct packet p = {};
	bool buried = false;
	__be16 type = link_input(&c, &buried);
	__u32 only = 0;

	if (type == bpf_htons(ETH_P_IP)) {
		if (!ip4_input(&c, &p))
			return pass();
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		if (!ip6_input(&c, &p))
			return pass();
	} else {
		return buried ? drop(SHIELD_DROP_MALFORMED) : pass();
	}
	cfg = bpf_map_lookup_elem(&config, &only);
	if (!cfg)
		return pass();
	if (may_be_tcp(&p))
		return tcp_verdict(ctx, &c, &p, cfg);
	if (p.protocol == (p.version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6))
		return icmp_verdict(ctx, &c, &p, cfg);
	return pass();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
