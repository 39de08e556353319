/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a configuration comes to for the parts it configures.
 *
 * Thread: control, at start. Time: none. Memory: pointers into the configuration, which must stay.
 * Rules: keys and entropy are the caller's to draw, descriptors its to fill in.
 */
#ifndef POSTERN_CONTROL_DERIVE_H
#define POSTERN_CONTROL_DERIVE_H

#include "control/config.h"
#include "control/plane.h"
#include "postern/dataplane.h"
#include "postern/harvest.h"
#include "postern/pools.h"
#include "postern/settings.h"

/* Without service; where no address is said of the kernel's interface, there is none yet. */
void derive_dataplane(const struct config *config, struct dataplane_config *dataplane);
/* Without pools. Its load balancers are the configuration's. */
void derive_mail(const struct config *config, struct mail_config *mail);
void derive_harvest(const struct config *config, struct harvest_config *harvest);

/* The neighbours named of all interfaces, *n of them, to be freed; NULL: no memory. */
struct plane_neighbour *derive_neighbours(const struct config *config, uint32_t *n);

/* The configuration's pools in its order, to be freed by pools_free; NULL: no memory. */
struct pools *derive_pools(const struct config *config);

#endif
