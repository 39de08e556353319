/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must be known of, and set at, an interface the kernel keeps while the data plane uses it.
 *
 * Thread: control. Time: none. Memory: none kept. Rules: the ethtool and interface ioctls, in the
 * network namespace of the calling thread. All return 0, or -errno with a sentence in error.
 */
#ifndef POSTERN_CONTROL_NIC_H
#define POSTERN_CONTROL_NIC_H

#include <stddef.h>
#include <stdint.h>

/* How many queues the interface receives on. One, when its driver has no channels to speak of. */
int nic_rx_queues(const char *ifname, uint32_t *queues, char *error, size_t len);

/* How many it could receive on. */
int nic_max_rx_queues(const char *ifname, uint32_t *queues, char *error, size_t len);

/* Leaves the interface with exactly so many receive queues: a queue nobody has a socket on would
 * lose its share of the mail, and a socket on a queue that is not there cannot be bound. Sets the
 * channels where they differ; refused when the driver will not have it. before: how many there
 * were. */
int nic_require_rx_queues(const char *ifname, uint32_t queues, uint32_t *before, char *error,
			  size_t len);

int nic_mac(const char *ifname, uint8_t mac[6], char *error, size_t len);
int nic_mtu(const char *ifname, uint16_t *mtu, char *error, size_t len);

#endif
