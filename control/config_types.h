/* SPDX-License-Identifier: BSD-3-Clause */
/* The types of the configuration's scalars. Thread: any. Time, Memory: schema_type's. */
#ifndef POSTERN_CONTROL_CONFIG_TYPES_H
#define POSTERN_CONTROL_CONFIG_TYPES_H

#include "control/config_schema.h"

extern const struct schema_type type_string, type_host, type_name, type_path, type_path_or_none,
	type_separators, type_bool, type_choice, type_port, type_small, type_number, type_size,
	type_duration, type_share, type_address, type_network, type_server, type_ports,
	type_neighbour;

#endif
