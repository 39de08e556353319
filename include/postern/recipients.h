/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Recipients: who exists. A snapshot of all addresses of all domains, built by control, read by
 * every worker without a lock, changed in place by one writer.
 *
 * No address is kept, only digests: 96 bits of SipHash-1-3 of the canonical local part under a key
 * of its domain's in this snapshot; the tag's other bits say in which bucket. A
 * bucket is one cache line of five. What an unknown address costs in wrong answers: a lookup in
 * vain compares it with 5.1 digests in the mean (of 1.4 buckets), so it is taken for a known one
 * with a probability of 5.1 / 2^96 = 6.5e-29.
 *
 * Thread: recipients_find by any, at any time between recipients_new and recipients_free; all else
 * by one thread, the writer, which may run beside readers. A reader never misses a recipient that
 * is there and is not being changed; of one that is being changed it sees the old or the new.
 * Time: none.
 * Memory: one mapping of 64 octets for RECIPIENTS_LOAD recipients (18.8 octets each), huge pages
 * where the kernel has them to give (transparent ones); zero pages are not touched before they are
 * needed. When a bucket and its followers are full the addition is refused with -ENOSPC: build a
 * larger snapshot.
 * Rules: RFC 5321 2.4 (domains in any case; local parts as their domain says), 4.5.1 (postmaster).
 */
#ifndef POSTERN_RECIPIENTS_H
#define POSTERN_RECIPIENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	RECIPIENTS_ASKED_MAX = 32, /* addresses a recipients_find */
	RECIPIENT_LOCAL_MAX = 64,  /* octets, RFC 5321 4.5.3.1.1 */
	RECIPIENT_DOMAIN_MAX = 255,
	RECIPIENT_ADDRESS_MAX = RECIPIENT_LOCAL_MAX + 1 + RECIPIENT_DOMAIN_MAX,
	RECIPIENTS_DOMAINS_MAX = 1 << 24,
	RECIPIENTS_POOLS_MAX = 58, /* that single recipients may name, a snapshot */
	RECIPIENTS_SEPARATORS_MAX = 4,
};

/* What a recipient is. */
enum recipient_class {
	RECIPIENT_NORMAL,
	RECIPIENT_TRAP,	      /* nobody; who mails it guesses */
	RECIPIENT_DISABLED,   /* 550 5.2.1 */
	RECIPIENT_MOVED,      /* 550 5.1.6 */
	RECIPIENT_OVER_QUOTA, /* 452 4.2.2 */
	RECIPIENT_CLASSES,
};

/* The class's name as directories spell it: "normal", "trap", ... */
const char *recipient_class_name(enum recipient_class class);
/* -EINVAL: there is no such class. */
int recipient_class_of(const char *name, size_t len, enum recipient_class *class);

/* An address in canonical form (smtp/address.h): the local part unquoted where a dot-string will
 * do, the domain in lower case. */
struct recipient_address {
	const char *local, *domain;
	uint16_t local_len, domain_len; /* octets; domain_len 0: the bare <Postmaster> */
};

/* Reads an address as mail has it (RFC 5321 4.1.2), without its angle brackets, into canonical
 * form, which points into canonical. False: it is malformed. */
bool recipients_read_address(const char *text, size_t len, char canonical[RECIPIENT_ADDRESS_MAX],
			     struct recipient_address *address);

enum recipient_finding {
	RECIPIENT_UNSURE,   /* its domain's directory is not there: nobody can tell */
	RECIPIENT_NOT_OURS, /* its domain is none of ours */
	RECIPIENT_UNKNOWN,
	RECIPIENT_KNOWN,
};

struct recipient_answer {
	uint8_t finding;    /* enum recipient_finding */
	uint8_t class;	    /* enum recipient_class; of KNOWN */
	bool is_postmaster; /* KNOWN whatever the directory says, and never scored */
	bool by_catch_all;  /* KNOWN only because all are */
	uint16_t pool;	    /* of KNOWN: where it is delivered */
	uint32_t domain;    /* its number; not of NOT_OURS */
};

struct recipients;

struct recipients_config {
	uint64_t expected;   /* recipients to make room for */
	uint8_t entropy[32]; /* from the kernel's generator */
	uint32_t postmaster; /* the domain whose postmaster the bare <Postmaster> is */
};

/* NULL: no memory. */
struct recipients *recipients_new(const struct recipients_config *config);
/* No reader may have it any more. */
void recipients_free(struct recipients *r);

/* --- domains; before the first reader --- */

struct recipients_domain {
	const char *name; /* lower case; copied */
	uint16_t name_len;
	uint16_t pool;				    /* of those that name none */
	char separators[RECIPIENTS_SEPARATORS_MAX]; /* of a subaddress, e.g. "+"; unused: 0 */
	bool exact_case; /* local parts differ by case; else ASCII letters are folded */
	bool catch_all;	 /* every address is known */
};

/* Numbers them from 0. -EEXIST, -EINVAL (a name too long or empty), -ENOSPC, -ENOMEM. */
int recipients_add_domain(struct recipients *r, const struct recipients_domain *domain,
			  uint32_t *number);
uint32_t recipients_domains(const struct recipients *r);
/* Its name, not terminated; how many recipients were added. */
const char *recipients_domain_name(const struct recipients *r, uint32_t domain, size_t *len);
uint64_t recipients_domain_count(const struct recipients *r, uint32_t domain);
/* Its number, or -ENOENT. */
int64_t recipients_domain_find(const struct recipients *r, const char *name, size_t len);
/* Whether its directory is there; until then all but its postmaster are UNSURE. */
void recipients_set_loaded(struct recipients *r, uint32_t domain, bool is_loaded);

/* --- recipients; beside readers --- */

enum { RECIPIENT_POOL_OF_DOMAIN = UINT16_MAX };

enum recipients_change {
	RECIPIENTS_NEW,
	RECIPIENTS_SAME,    /* it was there and as it is */
	RECIPIENTS_CHANGED, /* it was there with another class or pool */
};

/* Adds one or changes it. Returns enum recipients_change; -ENOENT: not our domain; -EINVAL: the
 * local part is empty or too long; -ENOSPC: full; -EMFILE: RECIPIENTS_POOLS_MAX other pools are
 * named already. */
int recipients_put(struct recipients *r, const struct recipient_address *address,
		   enum recipient_class class, uint16_t pool);
/* 0, or -ENOENT. */
int recipients_remove(struct recipients *r, const struct recipient_address *address);

/* --- a directory's lines --- */

/*
 * An address a line, "address [class=NAME] [pool=NAME]", of one domain. Blank lines and lines that
 * begin with # say nothing; so does what follows a # behind a blank. The address is written as in
 * mail, quoted where it must be (RFC 5321 4.1.2). An address that is there twice is there once,
 * but with another class or pool it is a bad line.
 */
struct recipients_directory {
	struct recipients *recipients;
	uint32_t domain;
	/* The pool of a name; -1: there is none. */
	int (*pool)(void *arg, const char *name, size_t len);
	/* Line by line (1..), why it is bad. */
	void (*bad)(void *arg, uint64_t line, const char *why);
	void *arg;
	/* What came of it so far. */
	uint64_t lines, added, repeated, bad_lines;
	bool is_full; /* the table had no room for one: build a larger one */
	/* Lines whose place in the table is being fetched. */
	unsigned n_pending;
	struct recipients_pending {
		uint32_t digest[4], code;
		uint64_t line;
	} pending[16];
};

/* Takes a line, its end (LF or CRLF) cut off or not. */
void recipients_directory_line(struct recipients_directory *d, const char *text, size_t len);
/* After the last line. */
void recipients_directory_end(struct recipients_directory *d);

/* Answers n (to RECIPIENTS_ASKED_MAX) at once, their cache misses beside each other. */
void recipients_find(const struct recipients *r, const struct recipient_address *asked, size_t n,
		     struct recipient_answer *answers);

/* A copy with the same key, on the memory of the NUMA node the caller runs on; NULL: no memory. */
struct recipients *recipients_copy(const struct recipients *r);

uint64_t recipients_count(const struct recipients *r);
/* Octets mapped and allocated. */
uint64_t recipients_memory(const struct recipients *r);

#endif
