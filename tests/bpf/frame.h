/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames made from a description, right or wrong on purpose.
 *
 * Thread: any. Time: none. Memory: the caller's. Rules: lengths and checksums are right unless the
 * description says otherwise; what is left 0 is the ordinary case.
 */
#ifndef POSTERN_TESTS_BPF_FRAME_H
#define POSTERN_TESTS_BPF_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"

enum {
	FRAME_MAX = 4096,
	FRAME_TAGS_MAX = 9,
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_ACK = 16,
};

struct frame_spec {
	const uint8_t *to_mac, *from_mac; /* NULL: some */
	uint16_t tags[FRAME_TAGS_MAX];	  /* ethertypes, outermost first; 0 ends */
	bool priority_tags;		  /* the tags name no VLAN */
	uint16_t ethertype;		  /* 0: the addresses' */
	const char *from, *to;		  /* addresses as text, of one version */
	unsigned options;		  /* octets of IPv4 options */
	/* IPv6 extension headers in order: H hop-by-hop, R routing, D destination, M mobility,
	 * A authentication, F fragment (as below) */
	const char *extensions;
	unsigned extension_len; /* octets behind the first 8 of H, R, D and M */
	uint16_t offset;	/* of the fragment, in units of 8 octets */
	bool more;		/* fragments follow */
	int protocol;		/* 0: TCP */
	uint16_t from_port, to_port;
	uint8_t tcp_flags;		 /* 0: SYN */
	unsigned payload;		 /* octets behind the transport header */
	const struct frame_spec *quotes; /* ICMP: the packet that failed */
	uint8_t icmp_type;
	unsigned quote_len; /* octets quoted; 0: the whole packet */
	unsigned body_cut;  /* octets the IP payload ends early, its length saying so */
	int length_lie;	    /* added to the IP length */
	uint8_t version;    /* instead of the IP version, in the header only */
	uint8_t ihl;	    /* instead of the right one */
	unsigned padding;   /* link octets behind the packet */
};

struct frame {
	uint8_t data[FRAME_MAX];
	size_t len;
	size_t network_at;   /* where IP begins */
	size_t transport_at; /* where TCP, or what stands there, begins */
};

void frame_build(struct frame *f, const struct frame_spec *spec);

/* Which address of either version this is. */
struct ip_addr address_of(const char *text);

#endif
