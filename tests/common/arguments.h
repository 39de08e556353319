/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the test programs' command lines are made of, read from text. Each function tells whether
 * the text was what it should be; what is read is untouched if not.
 *
 * Thread: any. Time, Memory: none.
 */
#ifndef POSTERN_TESTS_ARGUMENTS_H
#define POSTERN_TESTS_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postern/address.h"

/* Decimal, min..max. */
bool argument_number(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* The first len octets of text, an IPv4 or IPv6 address. */
bool argument_address(const char *text, size_t len, struct ip_addr *address);

/* ADDRESS:PORT or, for IPv6, [ADDRESS]:PORT. */
bool argument_endpoint(const char *text, struct ip_addr *address, uint16_t *port);

/* Six hexadecimal octets between colons. */
bool argument_mac(const char *text, uint8_t mac[6]);

#endif
