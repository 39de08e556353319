/* SPDX-License-Identifier: BSD-3-Clause */
/* One end of a virtual cable. Thread, Time, Memory, Rules: cable.h. */
#include "cable.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { SOCKET_BUFFER = 16 << 20 };

static void burst_init(struct mmsghdr *messages, struct iovec *parts, uint8_t octets[][CABLE_ROOM])
{
	for (int i = 0; i < CABLE_BURST; i++) {
		parts[i] = (struct iovec){octets[i], CABLE_ROOM};
		messages[i] = (struct mmsghdr){
			.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1},
		};
	}
}

bool cable_open(struct cable *c, const char *device, bool listens)
{
	int one = 1, size = SOCKET_BUFFER;
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET,
		.sll_protocol = listens ? htons(ETH_P_ALL) : 0,
		.sll_ifindex = (int)if_nametoindex(device),
	};

	c->fd = -1;
	if (at.sll_ifindex == 0)
		return false;
	c->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	if (setsockopt(c->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    setsockopt(c->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) ||
	    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ||
	    bind(c->fd, (struct sockaddr *)&at, sizeof(at))) {
		cable_close(c);
		return false;
	}
	c->n = 0;
	c->sent = c->refused = 0;
	burst_init(c->out, c->out_parts, c->out_octets);
	burst_init(c->in, c->in_parts, c->in_octets);
	return true;
}

void cable_close(struct cable *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

uint8_t *cable_next(struct cable *c)
{
	return c->out_octets[c->n];
}

void cable_put(struct cable *c, uint32_t len)
{
	c->out_parts[c->n].iov_len = len;
	if (++c->n == CABLE_BURST)
		cable_flush(c);
}

void cable_flush(struct cable *c)
{
	uint32_t at = 0;

	while (at < c->n) {
		int n = sendmmsg(c->fd, c->out + at, c->n - at, 0);

		/* The first of them is what it does not take. */
		if (n <= 0) {
			c->refused++;
			n = 1;
		} else {
			c->sent += (uint64_t)n;
		}
		at += (uint32_t)n;
	}
	c->n = 0;
}

uint32_t cable_receive(struct cable *c, uint64_t wait_us)
{
	const struct timespec wait = {(time_t)(wait_us / 1000000),
				      (long)(wait_us % 1000000) * 1000};
	struct pollfd ready = {.fd = c->fd, .events = POLLIN};
	int n;

	if (wait_us && ppoll(&ready, 1, &wait, NULL) <= 0)
		return 0;
	n = recvmmsg(c->fd, c->in, CABLE_BURST, MSG_DONTWAIT, NULL);
	return n > 0 ? (uint32_t)n : 0;
}
