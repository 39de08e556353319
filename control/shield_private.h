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

struct shield {
	char *dir;
	int dir_fd; /* locked */
	int maps[SHIELD_MAPS];
	struct shield_config *config; /* the map's own memory */
	size_t config_len;
};

/* Switches on the levels that somebody is flagged at. */
int shield_levels_refresh(struct shield *s, char *error, size_t len);

#endif
