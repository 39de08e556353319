/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What control/shield.c (pins and programs) and control/shield_maps.c (contents) share.
 *
 * Thread: control. Time: none. Memory: one struct shield, from shield_open. Rules: none.
 */
#ifndef POSTERN_CONTROL_SHIELD_PRIVATE_H
#define POSTERN_CONTROL_SHIELD_PRIVATE_H

#include "control/shield.h"

enum shield_map {
	SHIELD_MAP_FLAGGED,
	SHIELD_MAP_ALLOW,
	SHIELD_MAP_BACKENDS,
	SHIELD_MAP_SERVICES,
	SHIELD_MAP_CONFIG,
	SHIELD_MAP_COUNTERS,
	SHIELD_MAPS,
};

/* Where a walk over a map stands. */
struct shield_place {
	bool has_begun;
	uint8_t token[64]; /* the kernel's: at most a key */
};

enum shield_expiry_step {
	SHIELD_EXPIRY_FLAGS,
	SHIELD_EXPIRY_ALLOWANCES,
	SHIELD_EXPIRY_LOOK_AGAIN,
};

/* An expiry between two pieces. */
struct shield_expiry {
	enum shield_expiry_step step;
	struct shield_place place;
	uint32_t levels; /* that an entry was left at */
	uint32_t off;	 /* that were switched off */
};

struct shield {
	char *dir;
	int dir_fd; /* locked */
	int maps[SHIELD_MAPS];
	struct shield_config *config; /* the map's own memory */
	size_t config_len;
	struct shield_expiry expiry;
};

/* Switches on the levels that somebody is flagged at. */
int shield_levels_refresh(struct shield *s, char *error, size_t len);

#endif
