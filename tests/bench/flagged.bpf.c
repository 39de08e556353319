// SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
/*
 * A frame of BPF_PROG_TEST_RUN is given the next of many IPv4 sources and sent on its way.
 *
 * Thread: one at a time. Time: none. Memory: the map.
 * Rules: the frame begins with Ethernet and an IPv4 header without options; its header checksum is
 * made anew, the one of TCP is not.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flagged.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flagged_plan);
} plan SEC(".maps");

static __always_inline __u16 checksum(const struct iphdr *ip)
{
	const __u16 *words = (const __u16 *)ip;
	__u32 sum = 0;

	for (unsigned int i = 0; i < sizeof(*ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16) ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp") int send_from_next(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + sizeof(struct ethhdr);
	__u32 zero = 0;
	struct flagged_plan *p = bpf_map_lookup_elem(&plan, &zero);

	if (!p || (void *)(ip + 1) > end)
		return XDP_ABORTED;
	ip->saddr = bpf_htonl(p->first + p->at);
	if (++p->at >= p->sources)
		p->at = 0;
	ip->check = 0;
	ip->check = checksum(ip);
	return (int)bpf_redirect(p->device, 0);
}

char program_license[] SEC("license") = "Dual BSD/GPL";
