/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inside the port room: one ethdev, found, configured and started; shared by all kinds that are.
 *
 * Thread: control, but for device_rx and device_tx, which are the queue's worker's.
 * Time: none. Memory: the pools of the queues, made before.
 * Rules: not for other rooms.
 */
#ifndef POSTERN_PORT_DEVICE_H
#define POSTERN_PORT_DEVICE_H

#include "port/driver.h"

/* Opens the device that the devargs name ("net_null0,size=64", "0000:3b:00.0") and appends its
 * ethdev to port->devices. It must have n queues each way. 0, or -errno with a sentence. */
int device_probe(struct port *port, const char *devargs, uint16_t n, char *error, size_t len);

/* Starts an ethdev with n queues, which become the port's from `first` on, and enters what it
 * can do into port->caps. 0, or -errno with a sentence. */
int device_start(struct port *port, const struct port_config *config, uint16_t eth_port,
		 uint16_t first, uint16_t n, uint16_t descriptors, char *error, size_t len);

uint16_t device_rx(struct port_queue *q, struct rte_mbuf **frames, uint16_t n);
uint16_t device_tx(struct port_queue *q, struct rte_mbuf **frames, uint16_t n);
void device_close(struct port *port);

#endif
