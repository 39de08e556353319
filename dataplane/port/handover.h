/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hand-over: frames that arrived at a worker that does not own their flow travel to the owner,
 * through one single-producer single-consumer ring for each pair of workers.
 *
 * Thread: put by worker `from`, get by worker `to`; new, free by control.
 * Memory: rings made at start; full: the frame is dropped and counted (TCP sends it again).
 * Rules: a frame handed over is copied into the new owner's pool and freed at once, because a
 * lent AF_XDP buffer is one the driver's fill ring lacks.
 */
#ifndef POSTERN_PORT_HANDOVER_H
#define POSTERN_PORT_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "postern/counters.h"

enum { HANDOVER_RING = 2048 }; /* frames, a power of two: a driver's queue full of them */

struct handover;

/* For so many workers; wake_fds[i] is worker i's eventfd or -1: written to when a frame is put
 * while that worker sleeps. Returns NULL without memory. */
struct handover *handover_new(uint16_t n_workers, const int *wake_fds);
void handover_free(struct handover *h);

/* Gives frames to worker `to`; takes all of them over, drops what does not fit (counted in
 * from's counters). */
void handover_put_take(struct handover *h, uint16_t from, uint16_t to, struct rte_mbuf **frames,
		       uint16_t n, struct postern_counters *counters);

/* Takes up to n frames that others put for worker `to`, as copies from pool (m->port and
 * checksum flags kept). */
uint16_t handover_get(struct handover *h, uint16_t to, struct rte_mempool *pool,
		      struct rte_mbuf **frames, uint16_t n, struct postern_counters *counters);

/* Says that worker `to` is about to sleep; false: frames have come meanwhile, do not. */
bool handover_sleep(struct handover *h, uint16_t to);
void handover_awake(struct handover *h, uint16_t to);

#endif
