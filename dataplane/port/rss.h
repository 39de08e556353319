/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the port room: what an interface says of its RSS.
 *
 * Thread: control, at open. Time: none. Memory: the stack.
 * Rules: not for other rooms. What is not understood in full leaves rss all zero: an interface that
 * says nothing is steered in software, one that is misunderstood in vain.
 */
#ifndef POSTERN_PORT_RSS_H
#define POSTERN_PORT_RSS_H

#include "port/port.h"

/* Of an ethdev that was started with so many queues. */
void rss_of_device(struct port_rss *rss, uint16_t eth_port, uint16_t queues);

/* Of a kernel's interface of which so many queues are ours. */
void rss_of_interface(struct port_rss *rss, const char *name, uint16_t queues);

/* The same, of whoever answers: ask does with a command of linux/ethtool.h what
 * ioctl(SIOCETHTOOL) does, and returns 0 or -errno. */
typedef int rss_ask(void *arg, void *command);
void rss_of_ethtool(struct port_rss *rss, rss_ask *ask, void *arg, uint16_t queues);

/* Key and table out of an answer to ETHTOOL_GRSSH of so many octets; false: it tells neither. */
bool rss_read_ethtool(struct port_rss *rss, const void *answer, size_t len, uint16_t queues);

#endif
