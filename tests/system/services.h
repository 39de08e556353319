/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Small services over our TCP for outside judges: echo (RFC 862), discard (RFC 863), chargen
 * (RFC 864), nul, and a client that opens connections and verifies what comes back.
 *
 * Thread: a worker's functions by that worker; the config is filled in before the data plane
 * starts and constant afterwards but for reports, which their worker writes and control reads, and
 * end, the other way round.
 * Time: given. Memory: a worker's connections from a pool made at start; a connection beyond it
 * is reset.
 * Rules: a service keeps no octet: what it cannot send on stays with TCP, whose window closes.
 */
#ifndef POSTERN_TESTS_SERVICES_H
#define POSTERN_TESTS_SERVICES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "postern/address.h"
#include "worker/worker.h"

enum service_kind {
	SERVICE_ECHO,	 /* sends back what comes, until the peer's FIN */
	SERVICE_DISCARD, /* reads all, closes after the peer */
	SERVICE_CHARGEN, /* sends the pattern: without end until the peer is done, or `bytes` */
	SERVICE_NUL,	 /* NUL_GREETING zero octets, NUL_REPLY for each NUL_COMMAND, then FIN */
	SERVICE_KINDS,
};

enum {
	NUL_GREETING = 26,
	NUL_COMMAND = 6,
	NUL_REPLY = 9,
};

enum client_mode {
	CLIENT_NONE,
	CLIENT_SEND,	/* sends, and what comes is nobody's business */
	CLIENT_ECHO,	/* sends, and wants the same octets back */
	CLIENT_RECEIVE, /* sends nothing and wants the pattern */
};

/* Why a transfer failed. */
enum transfer_fault {
	TRANSFER_WELL,
	TRANSFER_NO_ROUTE,
	TRANSFER_UNRESOLVED, /* nobody answers for the next hop */
	TRANSFER_NO_PORT,    /* no source port, or the connection table is full */
	TRANSFER_REFUSED,
	TRANSFER_RESET,
	TRANSFER_TIMEOUT,
	TRANSFER_IDLE,
	TRANSFER_DIFFERS, /* an octet was not the one sent */
	TRANSFER_SURPLUS, /* more came than was sent */
	TRANSFER_SHORT,	  /* the peer's FIN came too early */
	TRANSFER_STOPPED, /* by whoever runs us */
	TRANSFER_FAULTS,
};

/* What a worker tells control. */
struct services_report {
	_Atomic uint64_t open;	     /* connections that live */
	_Atomic uint64_t ok, failed; /* transfers */
	_Atomic int first_fault;     /* enum transfer_fault */
};

struct services_config {
	struct services_report reports[NET_WORKERS_MAX];
	uint32_t n_listen;
	struct {
		uint16_t port;
		enum service_kind kind;
	} listen[TCP_LISTEN_MAX];
	bool bounded;	/* chargen ends after `bytes` */
	uint64_t bytes; /* a transfer's */
	enum client_mode client;
	struct ip_addr target;
	uint16_t target_port;
	uint64_t count, parallel; /* connections to open in all, and at a time; over all workers */
	uint32_t conns;		  /* a worker */
	uint16_t n_workers;
	int only_owner;	  /* -1, or the one worker that opens connections */
	_Atomic bool end; /* set by control: reset what is open, open no more */
};

/* For dataplane_config: service_config is a struct services_config. */
extern const struct worker_service tcp_services;

/* All workers' reports in one. */
struct services_total {
	uint64_t open, ok, failed;
	enum transfer_fault first_fault;
};

void services_sum(const struct services_config *config, struct services_total *total);

/* A fault in words. */
const char *transfer_fault_text(enum transfer_fault fault);

#endif
