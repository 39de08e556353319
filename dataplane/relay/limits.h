/* SPDX-License-Identifier: BSD-3-Clause */
/* Every quantity that a next hop or a load balancer before us controls, and its bound; and the
 * times they are given. */
#ifndef POSTERN_RELAY_LIMITS_H
#define POSTERN_RELAY_LIMITS_H

enum {
	HOP_TEXT_MAX = 1536,	   /* octets kept of a reply's text, LF between lines; the rest is
				      read and left out */
	HOP_LINE_MAX = 4096,	   /* octets of a line of a reply; RFC 5321 4.5.3.1.5 says 512 */
	HOP_LINES_MAX = 256,	   /* of a reply */
	HOP_IN_FLIGHT_MAX = 64,	   /* commands without an answer, where PIPELINING is offered */
	HOP_COMMAND_MAX = 2048,	   /* octets of one of our commands */
	HOP_HEADER_PROXY_MAX = 52, /* of PROXY v2: 16 and two IPv6 addresses with ports */

	HOP_CONNECT_MS = 10 * 1000,
	HOP_RESOLVE_MS = 3 * 1000,  /* until its link address is known, and a route to it */
	HOP_REPLY_MS = 60 * 1000,   /* to any command, and for the greeting */
	HOP_SETUP_MS = 100 * 1000,  /* in all until 354: clients wait 2 minutes, RFC 5321
				       4.5.3.2.5 */
	HOP_FINAL_MS = 240 * 1000,  /* for the reply to the end of the message */
	HOP_IDLE_MS = 20 * 1000,    /* a connection is kept for the next transaction */
	HOP_CONNECTION_USES = 1000, /* transactions on one connection */

	PROXY_LINE_MAX = 107,			/* octets of version 1, CRLF too: its own 2.1 */
	PROXY_MORE_MAX = 2048,			/* of version 2 behind the first 16 */
	PROXY_OCTETS_MAX = 16 + PROXY_MORE_MAX, /* of either */
	PROXY_HEADER_MS = 10 * 1000,		/* until it has come */
};

#endif
