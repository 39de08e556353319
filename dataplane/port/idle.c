/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Idle back-off: a worker with nothing to do gives its core away until a frame, a wake-up or its
 * next timer.
 *
 * Thread: the queue's worker. Time: sleeps by the kernel's clock. Memory: the stack.
 * Rules: every descriptor is polled level-triggered, so what arrived before the call ends it at
 * once and no wake-up is lost. A queue without a descriptor, or with frames its interface has not
 * taken yet, bounds the sleep; the thread's timer slack (50 us by default) is taken away at its
 * first sleep, else that bound would not hold.
 */
#include <assert.h>
#include <poll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "port/driver.h"

static void drain(int wake_fd)
{
	uint64_t wakes;
	ssize_t ignored = read(wake_fd, &wakes, sizeof(wakes));

	(void)ignored;
}

/* What a sleep costs may be several microseconds, or a dozen in a virtual machine, so a queue that
 * has been silent for long is looked at less often. */
static uint64_t blind_sleep_us(struct port_queue *q)
{
	if (q->blind_sleeps < PORT_BLIND_SHORT_SLEEPS) {
		q->blind_sleeps++;
		return PORT_BLIND_SLEEP_US;
	}
	return PORT_BLIND_LONG_SLEEP_US;
}

static bool is_blind(const struct port_queue *q)
{
	return q->wait_fd < 0 || q->n_staged > 0;
}

void port_idle(struct port *const *ports, uint32_t n_ports, uint16_t queue, int wake_fd,
	       uint64_t timeout_us)
{
	struct pollfd fds[PORT_IDLE_MAX + 1];
	struct timespec timeout;
	nfds_t n = 0;

	if (n_ports > 0 && !ports[0]->queues[queue].slack_set) {
		prctl(PR_SET_TIMERSLACK, 1);
		ports[0]->queues[queue].slack_set = true;
	}
	assert(n_ports <= PORT_IDLE_MAX);
	/* A negative descriptor is one that ppoll skips. */
	fds[n++] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
	for (uint32_t i = 0; i < n_ports; i++) {
		struct port_queue *q = &ports[i]->queues[queue];

		if (is_blind(q))
			timeout_us = RTE_MIN(timeout_us, blind_sleep_us(q));
		if (q->wait_fd >= 0)
			fds[n++] = (struct pollfd){.fd = q->wait_fd, .events = POLLIN};
	}
	timeout.tv_sec = (time_t)(timeout_us / 1000000);
	timeout.tv_nsec = (long)(timeout_us % 1000000) * 1000;
	if (ppoll(fds, n, timeout_us == UINT64_MAX ? NULL : &timeout, NULL) > 0 && fds[0].revents)
		drain(wake_fd);
}
