/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The PROXY protocol's header as a load balancer before us says it, in either version: who the
 * client is, before his first word.
 *
 * Thread: any. Time: none. Memory: the caller's.
 * Rules: haproxy's proxy-protocol.txt, 2.1 and 2.2, to the letter; a header that is anything else
 * is none. What version 2 adds behind the addresses (TLVs) is skipped. A client over UDP is none of
 * ours.
 */
#ifndef POSTERN_RELAY_PROXY_HEADER_H
#define POSTERN_RELAY_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "postern/address.h"

enum proxy_found {
	PROXY_PART,    /* so far it could be one */
	PROXY_NAMED,   /* it names the client */
	PROXY_UNNAMED, /* it names nobody whom we could know: the connection is the balancer's own
			  (LOCAL, UNKNOWN), or of another family than IP */
	PROXY_MALFORMED,
};

struct proxy_header {
	size_t len;		       /* octets; what follows is the client's. NAMED and UNNAMED */
	struct ip_addr address, local; /* NAMED: the client's, and where he reached the balancer */
	uint16_t port, local_port;     /* host order */
};

/* Reads what has come of a connection since its beginning. Who gives PROXY_OCTETS_MAX is not told
 * PROXY_PART. */
enum proxy_found proxy_read(struct span in, struct proxy_header *header);

#endif
