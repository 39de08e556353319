/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A gateway of two workers with mail as their service on a wire, clients on one side of it and, if
 * a test wants them, mail servers on the other. Its domain is example.net.
 *
 * There is no kernel here: the worker refuses the SYNs of who is shut out, and the test does for
 * control what it does with notices.
 *
 * Thread: the test's. Time: the wire's. Memory: gateway_free gives all of it back.
 */
#ifndef POSTERN_SIM_GATEWAY_H
#define POSTERN_SIM_GATEWAY_H

#include "postern/pools.h"
#include "postern/settings.h"
#include "server.h"
#include "talker.h"
#include "world.h"

enum {
	GATEWAY_WORKERS = 2,
	GATEWAY_SERVERS = 3,	  /* hosts */
	GATEWAY_FIRST_SERVER = 3, /* their numbers */
	GATEWAY_PATH_US = 5000,
	GATEWAY_OTHER_POOL = 1, /* of far0 to far9 */
	GATEWAY_EPOCH_S = 1700000000,
	SECOND_US = 1000000,
};

struct gateway {
	struct world world;
	struct talks talks;
	struct mail_config mail;
	struct recipients *recipients;
	struct notices notices[GATEWAY_WORKERS], orders[GATEWAY_WORKERS];
	struct harvest_verdict told; /* the last verdict control heard of */
	unsigned n_told;
	struct server servers[GATEWAY_SERVERS];
	struct sim_stack *server_stacks[GATEWAY_SERVERS];
	bool many_recipients; /* of gateway_pools' */
};

/* To be changed before gateway_start. */
struct gateway *gateway_new(uint64_t seed, enum sim_arrival arrival);
void gateway_start(struct gateway *g);
struct gateway *gateway_open(uint64_t seed, enum sim_arrival arrival);
/* All is given back once clients have gone and time has passed; then gateway_free. */
void gateway_close(struct gateway *g);
void gateway_free(struct gateway *g);

struct harvest *gateway_harvest(bool observe);

/* Between new and start: pools of the servers, pool 0 of the first n, pool 1 of the last alone. */
void gateway_pools(struct gateway *g, uint32_t n, enum pool_protocol protocol,
		   enum pool_identity identity, uint32_t connections);

void gateway_run(struct gateway *g, uint64_t for_us);
/* Begins one and lets it run. */
struct talk *gateway_talk_for(struct gateway *g, uint64_t for_us, enum talk_manner manner,
			      const char *lines);
struct talk *gateway_talk(struct gateway *g, enum talk_manner manner, const char *lines);
struct postern_counters gateway_counters(const struct gateway *g);

#endif
