/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Idle back-off: a worker with nothing to do gives its core away until a frame, a wake-up or its
 * next timer.
 *
 * Thread: the queue's worker. Time: sleeps by the kernel's clock. Memory: the stack.
 * Rules: every descriptor is polled level-triggered, so what arrived before the call ends it at
 * once and no wake-up is lost. A queue without a descriptor, or with frames its interface has not
 * taken yet, bounds the sleep to PORT_BLIND_SLEEP_US; the thread's timer slack (50 us by default)
 * is taken away at its first sleep, else that bound would not hold.
 */
#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "port/driver.h"

enum { IDLE_PORTS_MAX = 32 };

static void drain(int wake_fd)
{
	uint64_t wakes;
	ssize_t ignored = read(wake_fd, &wakes, sizeof(wakes));

	(void)ignored;
}

static bool is_blind(const struct port_queue *q)
{
	return q->wait_fd < 0 || q->n_staged > 0;
}

void port_idle(struct port *const *ports, uint32_t n_ports, uint16_t queue, int wake_fd,
	       uint64_t timeout_us)
{
	struct pollfd fds[IDLE_PORTS_MAX + 1];
	bool blind = n_ports > IDLE_PORTS_MAX;
	struct timespec timeout;
	nfds_t n = 0;

	if (n_ports > 0 && !ports[0]->queues[queue].slack_set) {
		prctl(PR_SET_TIMERSLACK, 1);
		ports[0]->queues[queue].slack_set = true;
	}
	/* A negative descriptor is one that ppoll skips. */
	fds[n++] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	for (uint32_t i = 0; i < n_ports && i < IDLE_PORTS_MAX; i++) {
		const struct port_queue *q = &ports[i]->queues[queue];

		blind |= is_blind(q);
		if (q->wait_fd >= 0)
			fds[n++] = (struct pollfd){.fd = q->wait_fd, .events = POLLIN};
	}
	if (blind && timeout_us > PORT_BLIND_SLEEP_US)
		timeout_us = PORT_BLIND_SLEEP_US;
	timeout.tv_sec = (time_t)(timeout_us / 1000000);
	timeout.tv_nsec = (long)(timeout_us % 1000000) * 1000;
	if (ppoll(fds, n, timeout_us == UINT64_MAX ? NULL : &timeout, NULL) > 0 && fds[0].revents)
		drain(wake_fd);
}
