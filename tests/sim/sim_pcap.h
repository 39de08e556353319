/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the hosts of a simulation see, as a pcapng file (draft-ietf-opsawg-pcapng): an interface a
 * host, frames marked inbound or outbound. For a person with Wireshark; nothing reads it back.
 *
 * Thread: one. Time: the caller's. Memory: stdio's.
 */
#ifndef POSTERN_SIM_PCAP_H
#define POSTERN_SIM_PCAP_H

#include <stdint.h>
#include <stdio.h>

enum sim_pcap_direction {
	SIM_PCAP_INBOUND = 1,
	SIM_PCAP_OUTBOUND = 2,
};

/* NULL: the file cannot be written, errno says why. */
FILE *sim_pcap_open(const char *path);
/* Interfaces are numbered from 0 in the order they are added. */
void sim_pcap_interface(FILE *file, const char *name);
void sim_pcap_frame(FILE *file, uint32_t interface, enum sim_pcap_direction direction,
		    uint64_t time_us, const uint8_t *bytes, uint32_t len);

#endif
