/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One end of a virtual cable: frames in bursts, as fast as the kernel takes them.
 *
 * Thread: one. Time: none. Memory: the struct. Rules: packet(7); a frame the kernel does not take
 * is counted and gone.
 */
#ifndef POSTERN_TESTS_CABLE_H
#define POSTERN_TESTS_CABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
	CABLE_BURST = 64,
	CABLE_FRAME_MAX = 1514,
	CABLE_ROOM = 2048, /* of a frame that is still being made */
};

struct cable {
	int fd;
	uint32_t n; /* frames that wait for cable_flush */
	uint64_t sent, refused;
	struct mmsghdr out[CABLE_BURST], in[CABLE_BURST];
	struct iovec out_parts[CABLE_BURST], in_parts[CABLE_BURST];
	uint8_t out_octets[CABLE_BURST][CABLE_ROOM], in_octets[CABLE_BURST][CABLE_ROOM];
};

/* False, with errno set: no such device, or not allowed. listens: cable_receive will be called. */
bool cable_open(struct cable *c, const char *device, bool listens);
void cable_close(struct cable *c);

/* CABLE_ROOM octets to make the next frame in; the same until cable_put. */
uint8_t *cable_next(struct cable *c);
/* The frame in cable_next's octets is complete. */
void cable_put(struct cable *c, uint32_t len);
void cable_flush(struct cable *c);

/* Waits so long for frames, and hands out those that are there; how many. They stay until the next
 * call. */
uint32_t cable_receive(struct cable *c, uint64_t wait_us);

#endif
