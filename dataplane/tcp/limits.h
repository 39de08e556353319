/* SPDX-License-Identifier: BSD-3-Clause */
/* Every quantity of TCP's that a peer controls, and its bound. */
#ifndef POSTERN_TCP_LIMITS_H
#define POSTERN_TCP_LIMITS_H

enum {
	/* Segments. */
	TCP_BURST_MAX = 64,	  /* segments one tcp_input_take processes */
	TCP_MSS_MIN = 216,	  /* a smaller MSS option is read as this: 536 less the largest
				     IP and TCP options, and no more headers than payload */
	TCP_MSS_DEFAULT_V4 = 536, /* RFC 9293 3.7.1, without an option */
	TCP_MSS_DEFAULT_V6 = 1220,
	TCP_MSS_NARROW = 1220,	  /* what passes nearly everywhere: IPv6's least MTU, and tunnels */
	TCP_WSCALE_MAX = 14,	  /* RFC 7323 2.3 */
	TCP_SACK_BLOCKS_MAX = 3,  /* sent; a fourth does not fit beside timestamps */
	TCP_SACK_BLOCKS_READ = 4, /* all that fit an option */

	/* Receiving. */
	TCP_PAGE = 2048,	   /* reassembly keeps bytes in pages aligned in the stream */
	TCP_RANGES_MAX = 32,	   /* runs of bytes ahead of a gap, a connection */
	TCP_DUP_ACKS_OWED_MAX = 8, /* duplicate ACKs for one burst */
	TCP_WINDOW_MAX = 1 << 30,  /* RFC 7323 2.3 */

	/* Buffers, a worker: pool.c. */
	TCP_POOL_FULL = 2,	/* with this part of the pool free each has all it may have */
	TCP_POOL_LOW = 4,	/* the part no reassembly gets, nor who has TCP_SHARE_LEAST */
	TCP_POOL_SENDERS = 8,	/* the part that is only for what is to be sent */
	TCP_SHARE_LEAST = 4096, /* octets unread, or queued to be sent, that each may have */

	TCP_TIMERS_MAX = 32, /* run, and TIME-WAITs ended, in one tcp_tick: as many as frames are
				received in a turn, so that what peers made due at once
				holds up nobody's segments */

	/* Time, milliseconds. */
	TCP_ACK_DELAY_MS = 40,
	TCP_RTO_INITIAL_MS = 1000, /* RFC 6298 2.1 */
	TCP_RTO_UNTIMED_MS = 3000, /* 5.7, after a handshake that was not timed */
	TCP_RTO_MIN_MS = 200,	   /* and the round trip: so long may a peer delay an ACK */
	TCP_RTO_MAX_MS = 60 * 1000,
	TCP_SENT_UNIT_MS = 64, /* of when bytes last left; what was longer ago than 70 minutes
				  may look like now, and cost a burst */
	TCP_STARVED_MS = 200,  /* until an owner the pool had nothing for may try again */
	TCP_TIME_WAIT_MS = 10 * 1000,
	TCP_REUSE_MS = 1000, /* of it, until its port may be opened from by timestamps alone */
	TCP_FIN_WAIT_2_MS = 20 * 1000, /* an orphan's; an owned connection has its idle timeout */
	TCP_ORPHAN_MS = 4 * 60 * 1000, /* an orphan's last bytes and FIN, and again as long for each
					  time TCP_ORPHAN_OCTETS of them were acknowledged: at 30 %
					  loss half a megabyte may take five minutes */
	TCP_ORPHAN_OCTETS = 16 * 1024,
	TCP_CHALLENGE_EVERY_MS = 64,		  /* a connection; RFC 5961 7 */
	TCP_IDLE_MAX_MS = 24 * 24 * 3600 * 1000,  /* milliseconds are compared modulo 2^32 */
	TCP_TS_RECENT_MS = 24 * 24 * 3600 * 1000, /* RFC 7323 5.5: older is no evidence */

	/* Patience: how often a segment is sent again before the peer counts as gone. Where 30 % of
	 * segments are lost one way and 7 % the other, 35 % of all tries fail, and a stream of 2 MB
	 * has a hundred timeouts: 10 more tries would fail behind one of 36,000 of them, 15 behind
	 * one in seven million. The idle and the user's timeout may end it before. */
	TCP_SYN_RETRIES = 7,	/* three minutes, RFC 9293 3.8.3 */
	TCP_SYNACK_RETRIES = 5, /* the client repeats its SYN, too */
	TCP_RETRIES = 15,
	TCP_PROBES = 15,
	TCP_PROBES_LOW = 6,	       /* while the pool is low: RFC 6429 */
	TCP_STALL_MS = 16 * 60 * 1000, /* and for how long at most, whatever the peer answers: not
					  less than either takes */

	/* Kept of what is over. */
	TCP_ORPHANS_SHARE = 4, /* a fourth of the table is for connections nobody owns any more */
	TCP_TIME_WAITS_LEAST = 64 * 1024, /* by default; 44 octets each once used */

	/* Opening. */
	TCP_HANDSHAKES_LEAST = 64 * 1024, /* by default, where the table has room: who speaks first
					     hangs when a cookie's third ACK is lost */
	TCP_PORT_TRIES_MAX = 256,	  /* source ports looked at in one call */

	/* Answers to segments that are no part of a conversation, a worker. */
	TCP_REPLIES_MAX = 64,	       /* RSTs, ACKs and cookies waiting to be sent in one turn */
	TCP_RESETS_PER_SECOND = 1000,  /* on average: budget.c */
	TCP_ERRORS_PER_SECOND = 10000, /* of ICMP looked at */
};

#endif
