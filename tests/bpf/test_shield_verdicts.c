/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which frame becomes what: a table of packets and verdicts, run through the program as the kernel
 * would run it (BPF_PROG_TEST_RUN). Every row is also run without a socket, and cut at each length.
 *
 * Thread: one. Time: the kernel's boot time; flags of the table last an hour or expired long ago.
 * Memory: the kernel's. Rules: needs root.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cmocka.h>

#include "common/random.h"
#include "fixture.h"
#include "frame.h"

#define OURS4	   "192.0.2.1"
#define OURS6	   "2001:db8::1"
#define OURS_TOO4  "192.0.2.9" /* ours, without a service */
#define BACKEND4   "198.51.100.10"
#define BACKEND6   "2001:db8:b::10"
#define STRANGER4  "203.0.113.5"
#define STRANGER6  "2001:db8:bad:1122::5"
#define ELSEWHERE4 "192.0.2.77" /* routed by the kernel */
#define ELSEWHERE6 "2001:db8::77"

#define FROM_STRANGER4 .from = STRANGER4, .to = OURS4, .from_port = 40000
#define FROM_STRANGER6 .from = STRANGER6, .to = OURS6, .from_port = 40000
#define SMTP4	       FROM_STRANGER4, .to_port = 25
#define SMTP6	       FROM_STRANGER6, .to_port = 25
#define SSH4	       FROM_STRANGER4, .to_port = 22
#define SSH6	       FROM_STRANGER6, .to_port = 22
#define FROM_BACKEND4  .from = BACKEND4, .to = OURS4, .from_port = 25
#define FROM_BACKEND6  .from = BACKEND6, .to = OURS6, .from_port = 25
#define TO_BACKEND4    .from = OURS4, .to = BACKEND4, .from_port = 20000, .to_port = 25
#define TO_BACKEND6    .from = OURS6, .to = BACKEND6, .from_port = 20000, .to_port = 25
#define ANSWER4	       .from = OURS4, .to = STRANGER4, .from_port = 25, .to_port = 40000
#define ANSWER6	       .from = OURS6, .to = STRANGER6, .from_port = 25, .to_port = 40000
#define QUOTE(...)                 \
	&(const struct frame_spec) \
	{                          \
		__VA_ARGS__        \
	}
#define ICMP4(type) .from = "198.18.0.1", .to = OURS4, .protocol = 1, .icmp_type = (type)
#define ICMP6(type) .from = "2001:db8:f::1", .to = OURS6, .protocol = 58, .icmp_type = (type)

enum {
	LISTED_MAX = 3,
	VLAN = 0x8100,
	QINQ = 0x88a8,
};

struct row {
	const char *name;
	struct frame_spec frame;
	enum shield_counter becomes;
	bool spared;
	/* Prefixes; one that begins with '!' expired long ago, of the allowed one that begins
	 * with '*' holds for ever. */
	const char *flagged[LISTED_MAX], *allowed[LISTED_MAX];
	size_t cut; /* the frame really ends there; 0: whole */
};

static const struct row rows[] = {
	/* what is none of our business */
	{"arp_passes", {SSH4, .ethertype = 0x0806}, SHIELD_PASS},
	{"tagged_arp_passes", {SSH4, .tags = {VLAN}, .ethertype = 0x0806}, SHIELD_PASS},
	{"unknown_ethertype_passes", {SMTP4, .ethertype = 0x88cc}, SHIELD_PASS},
	{"third_tag_passes", {SMTP4, .tags = {QINQ, VLAN, VLAN}}, SHIELD_PASS},
	{"third_priority_tag_is_malformed",
	 {SMTP4, .tags = {VLAN, VLAN, VLAN}, .priority_tags = true},
	 SHIELD_DROP_MALFORMED},
	{"third_priority_tag_is_malformed_v6",
	 {SMTP6, .tags = {QINQ, VLAN, VLAN, VLAN}, .priority_tags = true},
	 SHIELD_DROP_MALFORMED},
	{"smtp_behind_two_priority_tags_is_redirected",
	 {SMTP4, .tags = {VLAN, VLAN}, .priority_tags = true},
	 SHIELD_REDIRECT_SMTP},
	{"ssh_behind_two_priority_tags_passes",
	 {SSH4, .tags = {VLAN, VLAN}, .priority_tags = true},
	 SHIELD_PASS},
	{"ssh_passes", {SSH4}, SHIELD_PASS},
	{"ssh_passes_v6", {SSH6}, SHIELD_PASS},
	{"bgp_passes", {FROM_STRANGER4, .to_port = 179}, SHIELD_PASS},
	{"bgp_passes_v6", {FROM_STRANGER6, .to_port = 179}, SHIELD_PASS},
	{"udp_to_the_smtp_port_passes", {SMTP4, .protocol = 17}, SHIELD_PASS},
	{"udp_to_the_smtp_port_passes_v6", {SMTP6, .protocol = 17}, SHIELD_PASS},
	{"esp_passes", {SMTP6, .protocol = 50}, SHIELD_PASS},
	{"ah_passes", {SMTP4, .protocol = 51}, SHIELD_PASS},
	{"authenticated_tcp_passes_v6", {SMTP6, .extensions = "A"}, SHIELD_PASS},
	{"no_next_header_passes", {SMTP6, .protocol = 59}, SHIELD_PASS},
	{"echo_request_passes", {ICMP4(8), .payload = 56}, SHIELD_PASS},
	{"echo_request_passes_v6", {ICMP6(128), .payload = 56}, SHIELD_PASS},
	{"neighbour_solicitation_passes", {ICMP6(135), .payload = 24}, SHIELD_PASS},
	{"neighbour_advertisement_passes", {ICMP6(136), .payload = 24}, SHIELD_PASS},
	{"router_advertisement_passes", {ICMP6(134), .payload = 8}, SHIELD_PASS},
	{"smtp_to_an_address_behind_us_passes",
	 {.from = STRANGER4, .to = ELSEWHERE4, .to_port = 25},
	 SHIELD_PASS},
	{"smtp_to_an_address_behind_us_passes_v6",
	 {.from = STRANGER6, .to = ELSEWHERE6, .to_port = 25},
	 SHIELD_PASS},
	{"smtp_to_our_address_without_a_service_passes",
	 {.from = STRANGER4, .to = OURS_TOO4, .to_port = 25},
	 SHIELD_PASS},

	/* TCP to a service */
	{"smtp_is_redirected", {SMTP4}, SHIELD_REDIRECT_SMTP},
	{"smtp_is_redirected_v6", {SMTP6}, SHIELD_REDIRECT_SMTP},
	{"submission_is_redirected", {FROM_STRANGER4, .to_port = 587}, SHIELD_REDIRECT_SMTP},
	{"port_of_another_address_passes", {FROM_STRANGER6, .to_port = 587}, SHIELD_PASS},
	{"data_is_redirected",
	 {SMTP4, .tcp_flags = TCP_ACK, .payload = 1000},
	 SHIELD_REDIRECT_SMTP},
	{"data_is_redirected_v6",
	 {SMTP6, .tcp_flags = TCP_ACK, .payload = 1000},
	 SHIELD_REDIRECT_SMTP},
	{"padded_frame_is_redirected", {SMTP4, .padding = 6}, SHIELD_REDIRECT_SMTP},
	{"tagged_smtp_is_redirected", {SMTP4, .tags = {VLAN}}, SHIELD_REDIRECT_SMTP},
	{"tagged_smtp_is_redirected_v6", {SMTP6, .tags = {VLAN}}, SHIELD_REDIRECT_SMTP},
	{"service_tagged_smtp_is_redirected", {SMTP4, .tags = {QINQ}}, SHIELD_REDIRECT_SMTP},
	{"double_tagged_smtp_is_redirected", {SMTP4, .tags = {QINQ, VLAN}}, SHIELD_REDIRECT_SMTP},
	{"double_tagged_smtp_is_redirected_v6",
	 {SMTP6, .tags = {VLAN, VLAN}},
	 SHIELD_REDIRECT_SMTP},
	{"smtp_behind_options_is_redirected", {SMTP4, .options = 4}, SHIELD_REDIRECT_SMTP},
	{"smtp_behind_all_options_is_redirected", {SMTP4, .options = 40}, SHIELD_REDIRECT_SMTP},
	{"tagged_smtp_behind_options_is_redirected",
	 {SMTP4, .tags = {QINQ, VLAN}, .options = 40},
	 SHIELD_REDIRECT_SMTP},
	{"ssh_behind_options_passes", {SSH4, .options = 40}, SHIELD_PASS},
	{"smtp_behind_hop_by_hop_is_redirected", {SMTP6, .extensions = "H"}, SHIELD_REDIRECT_SMTP},
	{"smtp_behind_routing_is_redirected", {SMTP6, .extensions = "R"}, SHIELD_REDIRECT_SMTP},
	{"smtp_behind_destination_options_is_redirected",
	 {SMTP6, .extensions = "D", .extension_len = 64},
	 SHIELD_REDIRECT_SMTP},
	{"smtp_behind_mobility_is_redirected", {SMTP6, .extensions = "M"}, SHIELD_REDIRECT_SMTP},
	{"smtp_behind_the_longest_extension_is_redirected",
	 {SMTP6, .extensions = "D", .extension_len = 2040},
	 SHIELD_REDIRECT_SMTP},
	{"smtp_behind_eight_extensions_is_redirected",
	 {SMTP6, .extensions = "HDRDDMDD"},
	 SHIELD_REDIRECT_SMTP},
	{"ninth_extension_is_malformed", {SMTP6, .extensions = "HDRDDMDDD"}, SHIELD_DROP_MALFORMED},
	{"ninth_extension_to_elsewhere_passes",
	 {.from = STRANGER6, .to = ELSEWHERE6, .extensions = "HDRDDMDDD", .to_port = 25},
	 SHIELD_PASS},
	{"ssh_behind_extensions_passes", {SSH6, .extensions = "HDRD"}, SHIELD_PASS},
	{"udp_behind_eight_extensions_passes",
	 {SMTP6, .extensions = "HDRDDMDD", .protocol = 17},
	 SHIELD_PASS},
	{"tagged_smtp_behind_extensions_is_redirected",
	 {SMTP6, .tags = {QINQ, VLAN}, .extensions = "HDRD", .extension_len = 24},
	 SHIELD_REDIRECT_SMTP},

	/* a header that cannot be reached */
	{"tcp_header_cut_by_the_ip_length_is_malformed",
	 {SMTP4, .body_cut = 1},
	 SHIELD_DROP_MALFORMED},
	{"tcp_header_cut_by_the_ip_length_is_malformed_v6",
	 {SMTP6, .body_cut = 1},
	 SHIELD_DROP_MALFORMED},
	{"tcp_header_cut_to_nothing_is_malformed", {SMTP4, .body_cut = 20}, SHIELD_DROP_MALFORMED},
	{"tcp_header_cut_to_nothing_is_malformed_v6",
	 {SMTP6, .body_cut = 20},
	 SHIELD_DROP_MALFORMED},
	{"tcp_header_that_is_padding_is_malformed",
	 {SMTP4, .length_lie = -20},
	 SHIELD_DROP_MALFORMED},
	{"tcp_header_that_is_padding_is_malformed_v6",
	 {SMTP6, .length_lie = -20},
	 SHIELD_DROP_MALFORMED},
	{"tcp_header_cut_on_its_way_elsewhere_passes",
	 {.from = STRANGER4, .to = ELSEWHERE4, .to_port = 25, .body_cut = 1},
	 SHIELD_PASS},
	{"ip_length_beyond_the_frame_is_malformed",
	 {SMTP4, .length_lie = 1},
	 SHIELD_DROP_MALFORMED},
	{"ip_length_beyond_the_frame_is_malformed_v6",
	 {SMTP6, .length_lie = 1},
	 SHIELD_DROP_MALFORMED},
	{"ip_length_beyond_the_frame_elsewhere_passes",
	 {.from = STRANGER4, .to = ELSEWHERE4, .to_port = 25, .length_lie = 1},
	 SHIELD_PASS},
	{"udp_length_beyond_the_frame_passes",
	 {SMTP4, .protocol = 17, .length_lie = 100},
	 SHIELD_PASS},
	{"extension_cut_by_the_ip_length_is_malformed",
	 {SMTP6, .extensions = "D", .extension_len = 8, .length_lie = -28},
	 SHIELD_DROP_MALFORMED},
	{"extension_header_cut_by_the_ip_length_is_malformed",
	 {SMTP6, .extensions = "D", .length_lie = -24},
	 SHIELD_DROP_MALFORMED},
	{"fragment_header_cut_by_the_ip_length_is_dropped",
	 {SMTP6, .extensions = "F", .length_lie = -24},
	 SHIELD_DROP_MALFORMED},
	{"tcp_header_behind_an_extension_that_ends_in_padding_is_malformed",
	 {SMTP6, .extensions = "D", .length_lie = -4},
	 SHIELD_DROP_MALFORMED},
	{"tcp_header_behind_a_fragment_header_that_ends_in_padding_is_malformed",
	 {SMTP6, .extensions = "F", .length_lie = -4},
	 SHIELD_DROP_MALFORMED},
	{"ip_length_below_its_header_passes", {SMTP4, .length_lie = -21}, SHIELD_PASS},
	{"short_ihl_passes", {SMTP4, .ihl = 4}, SHIELD_PASS},
	{"ihl_beyond_the_frame_passes", {SMTP4, .ihl = 15}, SHIELD_PASS, .cut = 54},
	{"wrong_version_passes", {SMTP4, .version = 6}, SHIELD_PASS},
	{"wrong_version_passes_v6", {SMTP6, .version = 4}, SHIELD_PASS},

	/* fragments */
	{"first_fragment_of_smtp_is_dropped",
	 {SMTP4, .more = true, .payload = 4},
	 SHIELD_DROP_FRAGMENT},
	{"first_fragment_of_smtp_is_dropped_v6",
	 {SMTP6, .extensions = "F", .more = true, .payload = 4},
	 SHIELD_DROP_FRAGMENT},
	{"first_fragment_behind_extensions_is_dropped",
	 {SMTP6, .extensions = "HDFD", .more = true},
	 SHIELD_DROP_FRAGMENT},
	{"tagged_first_fragment_is_dropped",
	 {SMTP4, .tags = {VLAN}, .options = 8, .more = true},
	 SHIELD_DROP_FRAGMENT},
	{"first_fragment_of_ssh_passes", {SSH4, .more = true, .payload = 4}, SHIELD_PASS},
	{"first_fragment_of_ssh_passes_v6",
	 {SSH6, .extensions = "F", .more = true, .payload = 4},
	 SHIELD_PASS},
	{"first_fragment_to_elsewhere_passes",
	 {.from = STRANGER4, .to = ELSEWHERE4, .to_port = 25, .more = true},
	 SHIELD_PASS},
	{"tiny_first_fragment_is_dropped",
	 {SSH4, .more = true, .body_cut = 12},
	 SHIELD_DROP_FRAGMENT},
	{"tiny_first_fragment_is_dropped_v6",
	 {SSH6, .extensions = "F", .more = true, .body_cut = 12},
	 SHIELD_DROP_FRAGMENT},
	{"first_fragment_without_flags_is_dropped",
	 {SSH4, .more = true, .body_cut = 4},
	 SHIELD_DROP_FRAGMENT},
	{"tiny_first_fragment_to_elsewhere_passes",
	 {.from = STRANGER4, .to = ELSEWHERE4, .to_port = 25, .more = true, .body_cut = 12},
	 SHIELD_PASS},
	{"first_fragment_that_ends_in_its_extensions_is_dropped",
	 {SMTP6, .extensions = "FD", .more = true, .extension_len = 16, .body_cut = 28},
	 SHIELD_DROP_FRAGMENT},
	{"fragment_at_offset_one_is_dropped", {SSH4, .offset = 1}, SHIELD_DROP_FRAGMENT},
	{"fragment_at_offset_one_is_dropped_v6",
	 {SSH6, .extensions = "F", .offset = 1, .more = true},
	 SHIELD_DROP_FRAGMENT},
	{"fragment_at_offset_one_to_elsewhere_passes",
	 {.from = STRANGER4, .to = ELSEWHERE4, .offset = 1},
	 SHIELD_PASS},
	{"udp_fragment_at_offset_one_passes", {SMTP4, .protocol = 17, .offset = 1}, SHIELD_PASS},
	{"later_fragment_passes", {SMTP4, .offset = 2, .more = true}, SHIELD_PASS},
	{"later_fragment_passes_v6",
	 {SMTP6, .extensions = "F", .offset = 2, .more = true},
	 SHIELD_PASS},
	{"last_fragment_passes", {SMTP4, .offset = 8191}, SHIELD_PASS},
	{"last_fragment_passes_v6", {SMTP6, .extensions = "F", .offset = 8191}, SHIELD_PASS},
	{"atomic_fragment_is_redirected", {SMTP6, .extensions = "F"}, SHIELD_REDIRECT_SMTP},
	{"atomic_fragment_of_ssh_passes", {SSH6, .extensions = "F"}, SHIELD_PASS},
	{"first_fragment_from_a_backend_passes",
	 {FROM_BACKEND4, .to_port = 20000, .more = true},
	 SHIELD_PASS},
	{"first_fragment_of_a_flagged_source_is_dropped_as_one",
	 {SMTP4, .more = true},
	 SHIELD_DROP_FRAGMENT,
	 .flagged = {STRANGER4 "/32"}},

	/* backends */
	{"backend_to_the_first_port_is_redirected",
	 {FROM_BACKEND4, .to_port = 20000},
	 SHIELD_REDIRECT_BACKEND},
	{"backend_to_the_last_port_is_redirected",
	 {FROM_BACKEND4, .to_port = 20999, .tcp_flags = TCP_ACK, .payload = 100},
	 SHIELD_REDIRECT_BACKEND},
	{"backend_is_redirected_v6", {FROM_BACKEND6, .to_port = 20000}, SHIELD_REDIRECT_BACKEND},
	{"tagged_backend_is_redirected",
	 {FROM_BACKEND4, .tags = {VLAN}, .options = 12, .to_port = 20500},
	 SHIELD_REDIRECT_BACKEND},
	{"backend_behind_extensions_is_redirected",
	 {FROM_BACKEND6, .extensions = "HD", .to_port = 20500},
	 SHIELD_REDIRECT_BACKEND},
	{"backend_to_our_other_address_is_redirected",
	 {.from = BACKEND4, .to = OURS_TOO4, .from_port = 25, .to_port = 20000},
	 SHIELD_REDIRECT_BACKEND},
	{"backend_below_our_ports_passes", {FROM_BACKEND4, .to_port = 19999}, SHIELD_PASS},
	{"backend_above_our_ports_passes", {FROM_BACKEND4, .to_port = 21000}, SHIELD_PASS},
	{"backend_above_our_ports_passes_v6", {FROM_BACKEND6, .to_port = 21000}, SHIELD_PASS},
	{"backend_from_another_port_passes",
	 {.from = BACKEND4, .to = OURS4, .from_port = 26, .to_port = 20000},
	 SHIELD_PASS},
	{"backend_to_elsewhere_passes",
	 {.from = BACKEND4, .to = ELSEWHERE4, .from_port = 25, .to_port = 20000},
	 SHIELD_PASS},
	{"stranger_to_our_source_ports_passes",
	 {.from = STRANGER4, .to = OURS4, .from_port = 25, .to_port = 20000},
	 SHIELD_PASS},
	{"stranger_to_our_source_ports_passes_v6",
	 {.from = STRANGER6, .to = OURS6, .from_port = 25, .to_port = 20000},
	 SHIELD_PASS},
	{"backend_that_sends_mail_is_a_client",
	 {.from = BACKEND4, .to = OURS4, .from_port = 40000, .to_port = 25},
	 SHIELD_REDIRECT_SMTP},
	{"flagged_backend_still_answers",
	 {FROM_BACKEND4, .to_port = 20000},
	 SHIELD_REDIRECT_BACKEND,
	 .flagged = {BACKEND4 "/32"}},
	{"flagged_backend_still_answers_v6",
	 {FROM_BACKEND6, .to_port = 20000},
	 SHIELD_REDIRECT_BACKEND,
	 .flagged = {BACKEND6 "/64"}},
	{"flagged_backend_still_reaches_ssh",
	 {FROM_BACKEND4, .to_port = 22},
	 SHIELD_PASS,
	 .flagged = {BACKEND4 "/32"}},

	/* ICMP errors */
	{"unreachable_about_smtp_is_redirected",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4)},
	 SHIELD_REDIRECT_ICMP},
	{"time_exceeded_about_smtp_is_redirected",
	 {ICMP4(11), .quotes = QUOTE(ANSWER4)},
	 SHIELD_REDIRECT_ICMP},
	{"parameter_problem_about_smtp_is_redirected",
	 {ICMP4(12), .quotes = QUOTE(ANSWER4)},
	 SHIELD_REDIRECT_ICMP},
	{"unreachable_about_smtp_is_redirected_v6",
	 {ICMP6(1), .quotes = QUOTE(ANSWER6)},
	 SHIELD_REDIRECT_ICMP},
	{"too_big_about_smtp_is_redirected_v6",
	 {ICMP6(2), .quotes = QUOTE(ANSWER6, .payload = 1000), .quote_len = 1232},
	 SHIELD_REDIRECT_ICMP},
	{"time_exceeded_about_smtp_is_redirected_v6",
	 {ICMP6(3), .quotes = QUOTE(ANSWER6)},
	 SHIELD_REDIRECT_ICMP},
	{"parameter_problem_about_smtp_is_redirected_v6",
	 {ICMP6(4), .quotes = QUOTE(ANSWER6)},
	 SHIELD_REDIRECT_ICMP},
	{"error_with_the_least_quote_is_redirected",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4), .quote_len = 28},
	 SHIELD_REDIRECT_ICMP},
	{"error_with_the_least_quote_is_redirected_v6",
	 {ICMP6(1), .quotes = QUOTE(ANSWER6), .quote_len = 48},
	 SHIELD_REDIRECT_ICMP},
	{"error_with_too_little_quoted_passes",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4), .quote_len = 27},
	 SHIELD_PASS},
	{"error_with_too_little_quoted_passes_v6",
	 {ICMP6(1), .quotes = QUOTE(ANSWER6), .quote_len = 47},
	 SHIELD_PASS},
	{"error_whose_quote_is_padding_passes",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4), .length_lie = -20},
	 SHIELD_PASS},
	{"error_that_quotes_options_is_redirected",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4, .options = 40)},
	 SHIELD_REDIRECT_ICMP},
	{"tagged_error_is_redirected",
	 {ICMP4(3), .tags = {QINQ, VLAN}, .options = 4, .quotes = QUOTE(ANSWER4)},
	 SHIELD_REDIRECT_ICMP},
	{"error_behind_extensions_is_redirected",
	 {ICMP6(1), .extensions = "HD", .quotes = QUOTE(ANSWER6)},
	 SHIELD_REDIRECT_ICMP},
	{"error_about_a_backend_is_redirected",
	 {ICMP4(3), .quotes = QUOTE(TO_BACKEND4)},
	 SHIELD_REDIRECT_ICMP},
	{"error_about_a_backend_is_redirected_v6",
	 {ICMP6(1), .quotes = QUOTE(TO_BACKEND6)},
	 SHIELD_REDIRECT_ICMP},
	{"error_about_a_backend_but_not_our_ports_passes",
	 {ICMP4(3),
	  .quotes = QUOTE(.from = OURS4, .to = BACKEND4, .from_port = 19999, .to_port = 25)},
	 SHIELD_PASS},
	{"error_about_our_ports_but_no_backend_passes",
	 {ICMP4(3),
	  .quotes = QUOTE(.from = OURS4, .to = STRANGER4, .from_port = 20000, .to_port = 25)},
	 SHIELD_PASS},
	{"error_about_another_host_and_a_backend_passes",
	 {ICMP4(3),
	  .quotes = QUOTE(.from = ELSEWHERE4, .to = BACKEND4, .from_port = 20000, .to_port = 25)},
	 SHIELD_PASS},
	{"error_about_ssh_passes",
	 {ICMP4(3), .quotes = QUOTE(.from = OURS4, .to = STRANGER4, .from_port = 22)},
	 SHIELD_PASS},
	{"error_about_ssh_passes_v6",
	 {ICMP6(2), .quotes = QUOTE(.from = OURS6, .to = STRANGER6, .from_port = 22)},
	 SHIELD_PASS},
	{"error_about_udp_passes",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4, .protocol = 17)},
	 SHIELD_PASS},
	{"error_about_udp_passes_v6",
	 {ICMP6(1), .quotes = QUOTE(ANSWER6, .protocol = 17)},
	 SHIELD_PASS},
	{"error_that_quotes_a_later_fragment_passes",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4, .offset = 3)},
	 SHIELD_PASS},
	{"error_that_quotes_extensions_passes",
	 {ICMP6(1), .quotes = QUOTE(ANSWER6, .extensions = "D")},
	 SHIELD_PASS},
	{"error_that_quotes_another_version_passes",
	 {ICMP4(3), .quotes = QUOTE(ANSWER6)},
	 SHIELD_PASS},
	{"error_that_quotes_another_version_passes_v6",
	 {ICMP6(1), .quotes = QUOTE(ANSWER4, .payload = 40)},
	 SHIELD_PASS},
	{"error_that_quotes_a_wrong_version_passes",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4, .version = 6)},
	 SHIELD_PASS},
	{"error_that_quotes_a_wrong_version_passes_v6",
	 {ICMP6(1), .quotes = QUOTE(ANSWER6, .version = 4)},
	 SHIELD_PASS},
	{"error_that_quotes_a_short_ihl_passes",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4, .ihl = 4)},
	 SHIELD_PASS},
	{"error_about_the_way_to_a_service_passes",
	 {ICMP4(3), .quotes = QUOTE(SMTP4)},
	 SHIELD_PASS},
	{"redirect_about_smtp_passes", {ICMP4(5), .quotes = QUOTE(ANSWER4)}, SHIELD_PASS},
	{"source_quench_about_smtp_passes", {ICMP4(4), .quotes = QUOTE(ANSWER4)}, SHIELD_PASS},
	{"redirect_about_smtp_passes_v6", {ICMP6(137), .quotes = QUOTE(ANSWER6)}, SHIELD_PASS},
	{"fragment_of_an_error_passes",
	 {ICMP4(3), .more = true, .quotes = QUOTE(ANSWER4)},
	 SHIELD_PASS},
	{"fragment_of_an_error_passes_v6",
	 {ICMP6(2), .extensions = "F", .more = true, .quotes = QUOTE(ANSWER6)},
	 SHIELD_PASS},
	{"icmp_of_the_other_version_passes",
	 {SMTP4, .protocol = 58, .icmp_type = 1, .quotes = QUOTE(ANSWER4)},
	 SHIELD_PASS},
	{"icmp_of_the_other_version_passes_v6",
	 {SMTP6, .protocol = 1, .icmp_type = 3, .quotes = QUOTE(ANSWER6)},
	 SHIELD_PASS},
	{"error_from_a_flagged_source_is_redirected",
	 {ICMP4(3), .quotes = QUOTE(ANSWER4)},
	 SHIELD_REDIRECT_ICMP,
	 .flagged = {"198.18.0.1/32"}},

	/* flagged sources */
	{"flagged_address_is_dropped", {SMTP4}, SHIELD_DROP_FLAGGED, .flagged = {STRANGER4 "/32"}},
	{"flagged_24_is_dropped", {SMTP4}, SHIELD_DROP_FLAGGED, .flagged = {"203.0.113.0/24"}},
	{"flagged_64_is_dropped",
	 {SMTP6},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {"2001:db8:bad:1122::/64"}},
	{"flagged_56_is_dropped",
	 {SMTP6},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {"2001:db8:bad:1100::/56"}},
	{"flagged_48_is_dropped", {SMTP6}, SHIELD_DROP_FLAGGED, .flagged = {"2001:db8:bad::/48"}},
	{"flagged_at_every_level_is_dropped_once",
	 {SMTP6},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {"2001:db8:bad:1122::/64", "2001:db8:bad:1100::/56", "2001:db8:bad::/48"}},
	{"flagged_data_is_dropped",
	 {SMTP4, .tcp_flags = TCP_ACK, .payload = 700},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {STRANGER4 "/32"}},
	{"flagged_source_behind_everything_is_dropped",
	 {SMTP4, .tags = {QINQ, VLAN}, .options = 40},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {STRANGER4 "/32"}},
	{"flagged_source_behind_everything_is_dropped_v6",
	 {SMTP6, .tags = {QINQ, VLAN}, .extensions = "HDRDFD"},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {STRANGER6 "/64"}},
	{"neighbour_of_a_flagged_address_is_redirected",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .flagged = {"203.0.113.6/32"}},
	{"neighbour_of_a_flagged_24_is_redirected",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .flagged = {"203.0.112.0/24"}},
	{"neighbour_of_a_flagged_64_is_redirected",
	 {SMTP6},
	 SHIELD_REDIRECT_SMTP,
	 .flagged = {"2001:db8:bad:1123::/64"}},
	{"neighbour_of_a_flagged_56_is_redirected",
	 {SMTP6},
	 SHIELD_REDIRECT_SMTP,
	 .flagged = {"2001:db8:bad:1200::/56"}},
	{"neighbour_of_a_flagged_48_is_redirected",
	 {SMTP6},
	 SHIELD_REDIRECT_SMTP,
	 .flagged = {"2001:db8:bae::/48"}},
	{"expired_flag_is_void", {SMTP4}, SHIELD_REDIRECT_SMTP, .flagged = {"!" STRANGER4 "/32"}},
	{"expired_flag_is_void_v6",
	 {SMTP6},
	 SHIELD_REDIRECT_SMTP,
	 .flagged = {"!2001:db8:bad:1122::/64"}},
	{"expired_flag_does_not_hide_the_24",
	 {SMTP4},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {"!" STRANGER4 "/32", "203.0.113.0/24"}},
	{"expired_flags_do_not_hide_the_48",
	 {SMTP6},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {"!2001:db8:bad:1122::/64", "!2001:db8:bad:1100::/56", "2001:db8:bad::/48"}},
	{"flagged_address_still_reaches_ssh", {SSH4}, SHIELD_PASS, .flagged = {STRANGER4 "/32"}},
	{"flagged_address_still_reaches_ssh_v6", {SSH6}, SHIELD_PASS, .flagged = {STRANGER6 "/64"}},
	{"flagged_address_still_has_dns",
	 {.from = STRANGER4, .to = OURS4, .protocol = 17, .to_port = 53},
	 SHIELD_PASS,
	 .flagged = {STRANGER4 "/32"}},
	{"flagged_address_still_reaches_others",
	 {.from = STRANGER4, .to = ELSEWHERE4, .to_port = 25},
	 SHIELD_PASS,
	 .flagged = {STRANGER4 "/32"}},

	/* the allowlist */
	{"allowed_address_is_spared",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .spared = true,
	 .flagged = {"203.0.113.0/24"},
	 .allowed = {STRANGER4 "/32"}},
	{"allowed_network_is_spared",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .spared = true,
	 .flagged = {STRANGER4 "/32"},
	 .allowed = {"203.0.112.0/20"}},
	{"allowed_for_ever_is_spared",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .spared = true,
	 .flagged = {STRANGER4 "/32"},
	 .allowed = {"*203.0.113.4/31"}},
	{"all_of_ipv4_is_spared",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .spared = true,
	 .flagged = {STRANGER4 "/32"},
	 .allowed = {"0.0.0.0/0"}},
	{"allowed_address_is_spared_v6",
	 {SMTP6},
	 SHIELD_REDIRECT_SMTP,
	 .spared = true,
	 .flagged = {"2001:db8:bad::/48"},
	 .allowed = {STRANGER6 "/128"}},
	{"allowed_network_is_spared_v6",
	 {SMTP6},
	 SHIELD_REDIRECT_SMTP,
	 .spared = true,
	 .flagged = {"2001:db8:bad:1122::/64"},
	 .allowed = {"2001:db8:bad::/47"}},
	{"neighbour_of_an_allowed_address_is_dropped",
	 {SMTP4},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {STRANGER4 "/32"},
	 .allowed = {"203.0.113.6/31"}},
	{"expired_allowance_is_void",
	 {SMTP4},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {STRANGER4 "/32"},
	 .allowed = {"!" STRANGER4 "/32"}},
	{"expired_allowance_does_not_hide_a_shorter_one",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .spared = true,
	 .flagged = {STRANGER4 "/32"},
	 .allowed = {"!" STRANGER4 "/32", "!203.0.113.0/25", "*203.0.0.0/16"}},
	{"all_expired_allowances_are_void_v6",
	 {SMTP6},
	 SHIELD_DROP_FLAGGED,
	 .flagged = {STRANGER6 "/64"},
	 .allowed = {"!" STRANGER6 "/128", "!2001:db8::/32", "!::/0"}},
	{"allowance_without_a_flag_is_not_counted",
	 {SMTP4},
	 SHIELD_REDIRECT_SMTP,
	 .allowed = {STRANGER4 "/32"}},
	{"allowance_opens_no_other_port",
	 {SSH4},
	 SHIELD_PASS,
	 .flagged = {STRANGER4 "/32"},
	 .allowed = {STRANGER4 "/32"}},
};

enum {
	ROWS = sizeof(rows) / sizeof(rows[0]),
};

static const uint64_t an_hour_ns = 3600ull * 1000000000;
static const uint64_t long_ago_ns = 1;

static struct fixture fix;

/* The expiry a listed prefix asks for; the prefix itself in address and len. */
static uint64_t parse_listed(const char *text, struct ip_addr *address, unsigned *len)
{
	uint64_t expiry_ns = *text == '!'   ? long_ago_ns
			     : *text == '*' ? 0
					    : shield_now_ns() + an_hour_ns;
	char copy[64];
	char *slash;

	snprintf(copy, sizeof(copy), "%s", text + strspn(text, "!*"));
	slash = strchr(copy, '/');
	assert_non_null(slash);
	*slash = '\0';
	*address = address_of(copy);
	*len = (unsigned)strtoul(slash + 1, NULL, 10) + (ip_addr_is_v4(address) ? 96 : 0);
	return expiry_ns;
}

static void flag(const char *text)
{
	struct ip_addr address;
	unsigned len;
	uint64_t expiry_ns = parse_listed(text, &address, &len);

	if (shield_flag(fix.shield, &address, len, expiry_ns, fix.error, ERROR_LEN) < 0)
		fail_msg("%s", fix.error);
}

static void unflag(const char *text)
{
	struct ip_addr address;
	unsigned len;

	parse_listed(text, &address, &len);
	if (shield_unflag(fix.shield, &address, len, fix.error, ERROR_LEN) < 0)
		fail_msg("%s", fix.error);
}

static void allow(const char *text)
{
	struct ip_addr address;
	unsigned len;
	uint64_t expiry_ns = parse_listed(text, &address, &len);

	if (shield_allow(fix.shield, &address, len, expiry_ns, fix.error, ERROR_LEN) < 0)
		fail_msg("%s", fix.error);
}

static void disallow(const char *text)
{
	struct ip_addr address;
	unsigned len;

	parse_listed(text, &address, &len);
	if (shield_disallow(fix.shield, &address, len, fix.error, ERROR_LEN) < 0)
		fail_msg("%s", fix.error);
}

static void list_of(const struct row *row, void (*flags)(const char *),
		    void (*allows)(const char *))
{
	for (int i = 0; i < LISTED_MAX && row->flagged[i]; i++)
		flags(row->flagged[i]);
	for (int i = 0; i < LISTED_MAX && row->allowed[i]; i++)
		allows(row->allowed[i]);
}

static void set_socket(bool present)
{
	const uint32_t queue = 0;

	if (present)
		assert_int_equal(bpf_map_update_elem(fix.xsks, &queue, &fix.socket, BPF_ANY), 0);
	else
		assert_int_equal(bpf_map_delete_elem(fix.xsks, &queue), 0);
}

static void read_counters(uint64_t n[SHIELD_COUNTERS])
{
	if (shield_counters(fix.shield, n, fix.error, ERROR_LEN) < 0)
		fail_msg("%s", fix.error);
}

static int action_of(enum shield_counter becomes)
{
	switch (becomes) {
	case SHIELD_PASS:
		return XDP_PASS;
	case SHIELD_REDIRECT_SMTP:
	case SHIELD_REDIRECT_BACKEND:
	case SHIELD_REDIRECT_ICMP:
		return XDP_REDIRECT;
	default:
		return XDP_DROP;
	}
}

/* Runs the frame; what became of it by the counters, which count it once, and by the action, which
 * says the same. */
static enum shield_counter outcome(const void *data, size_t len, bool *spared)
{
	uint64_t before[SHIELD_COUNTERS], after[SHIELD_COUNTERS];
	int action, became = -1;

	read_counters(before);
	action = program_run(fix.program, data, len, 1, NULL);
	read_counters(after);
	for (int i = 0; i < SHIELD_COUNTERS; i++) {
		uint64_t n = after[i] - before[i];

		if (i == SHIELD_SPARED) {
			assert_in_range(n, 0, 1);
			*spared = n;
		} else if (n) {
			assert_int_equal(n, 1);
			assert_int_equal(became, -1);
			became = i;
		}
	}
	assert_int_not_equal(became, -1);
	assert_int_equal(action, action_of(became));
	return became;
}

static void expect(const void *data, size_t len, enum shield_counter becomes, bool spared)
{
	bool was_spared;

	assert_int_equal(outcome(data, len, &was_spared), becomes);
	assert_int_equal(was_spared, spared);
}

/* No part of a packet is redirected, and none of one to a service gets to the kernel once its
 * addresses can be read: of IPv4 that takes the options too, or the kernel drops it itself. */
static void cut_at_each_length(const struct frame *f, const struct row *row)
{
	bool v6 = f->data[f->network_at - 1] == 0xdd, spared;
	size_t addressed = v6 ? f->network_at + 40 : f->transport_at;
	bool for_service = row->becomes == SHIELD_REDIRECT_SMTP ||
			   row->becomes == SHIELD_DROP_FLAGGED ||
			   row->becomes == SHIELD_DROP_MALFORMED;

	for (size_t n = 14; n < f->len - row->frame.padding; n++) {
		enum shield_counter became = outcome(f->data, n, &spared);

		assert_int_not_equal(action_of(became), XDP_REDIRECT);
		assert_false(spared);
		if (for_service && n >= addressed)
			assert_int_equal(became, SHIELD_DROP_MALFORMED);
	}
}

static void row_holds(void **state)
{
	const struct row *row = *state;
	bool redirected = action_of(row->becomes) == XDP_REDIRECT;
	struct frame f;

	frame_build(&f, &row->frame);
	if (row->cut)
		f.len = row->cut;
	list_of(row, flag, allow);
	expect(f.data, f.len, row->becomes, row->spared);
	cut_at_each_length(&f, row);
	set_socket(false);
	expect(f.data, f.len, redirected ? SHIELD_NO_SOCKET : row->becomes, row->spared);
	set_socket(true);
	list_of(row, unflag, disallow);
}

static void the_table_reaches_every_counter(void **state)
{
	uint32_t seen = 1u << SHIELD_NO_SOCKET; /* what each redirected row becomes without one */

	for (int i = 0; i < ROWS; i++)
		seen |= 1u << rows[i].becomes | (rows[i].spared ? 1u << SHIELD_SPARED : 0);
	assert_int_equal(seen, (1u << SHIELD_COUNTERS) - 1);
}

static struct frame smtp_frame(void)
{
	static const struct frame_spec spec = {SMTP4};
	struct frame f;

	frame_build(&f, &spec);
	return f;
}

static void flag_ends_at_its_expiry(void **state)
{
	struct frame f = smtp_frame();
	const struct ip_addr stranger = address_of(STRANGER4);
	uint64_t expiry_ns = shield_now_ns() + 20000000;

	assert_int_equal(shield_flag(fix.shield, &stranger, 128, expiry_ns, fix.error, ERROR_LEN),
			 0);
	do {
		enum shield_counter became;
		uint64_t before = shield_now_ns(), after;
		bool spared;

		became = outcome(f.data, f.len, &spared);
		after = shield_now_ns();
		if (after < expiry_ns)
			assert_int_equal(became, SHIELD_DROP_FLAGGED);
		if (before >= expiry_ns)
			assert_int_equal(became, SHIELD_REDIRECT_SMTP);
		if (before >= expiry_ns)
			break;
	} while (true);
	unflag(STRANGER4 "/32");
}

struct found {
	struct shield_flagged f;
	int n;
};

static bool find(const struct shield_flagged *f, void *arg)
{
	struct found *found = arg;

	found->f = *f;
	found->n++;
	return true;
}

static struct found flagged_now(void)
{
	struct found found = {.n = 0};

	assert_int_equal(shield_each_flagged(fix.shield, find, &found, fix.error, ERROR_LEN), 0);
	return found;
}

static void drops_are_counted_per_entry_and_kept_when_flagged_again(void **state)
{
	struct frame f = smtp_frame();
	const struct ip_addr stranger = address_of(STRANGER4);
	struct found found;

	flag("203.0.113.0/24");
	assert_int_equal(program_run(fix.program, f.data, f.len, 1000, NULL), XDP_DROP);
	flag("203.0.113.0/24");
	assert_int_equal(program_run(fix.program, f.data, f.len, 10, NULL), XDP_DROP);
	found = flagged_now();
	assert_int_equal(found.n, 1);
	assert_int_equal(found.f.drops, 1010);
	assert_int_equal(found.f.prefix_len, 120);
	assert_true(ip_addr_match(&found.f.address, &stranger, 120));
	assert_int_equal(found.f.address.octets[15], 0);
	unflag("203.0.113.0/24");
}

static void flag_at_another_length_is_refused(void **state)
{
	static const struct {
		const char *address;
		unsigned len;
	} wrong[] = {{STRANGER4, 127}, {STRANGER4, 64},	 {STRANGER4, 112},
		     {STRANGER4, 0},   {STRANGER6, 128}, {STRANGER6, 120},
		     {STRANGER6, 65},  {STRANGER6, 0},	 {STRANGER6, 129}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const struct ip_addr a = address_of(wrong[i].address);

		assert_int_equal(shield_flag(fix.shield, &a, wrong[i].len, UINT64_MAX, fix.error,
					     ERROR_LEN),
				 -EINVAL);
		assert_int_equal(shield_unflag(fix.shield, &a, wrong[i].len, fix.error, ERROR_LEN),
				 -EINVAL);
	}
	assert_int_equal(flagged_now().n, 0);
}

static void what_is_not_listed_cannot_be_taken_off(void **state)
{
	const struct ip_addr a = address_of(STRANGER4);

	assert_int_equal(shield_unflag(fix.shield, &a, 128, fix.error, ERROR_LEN), -ENOENT);
	assert_string_equal(fix.error, "cannot unflag " STRANGER4 "/32: No such file or directory");
	assert_int_equal(shield_disallow(fix.shield, &a, 128, fix.error, ERROR_LEN), -ENOENT);
	assert_int_equal(shield_allow(fix.shield, &a, 129, 0, fix.error, ERROR_LEN), -EINVAL);
}

static void level_without_its_bit_is_not_looked_up(void **state)
{
	static const struct frame_spec spec4 = {SMTP4}, spec6 = {SMTP6};
	static const char *const at[SHIELD_LEVELS] = {
		[SHIELD_V4_32] = STRANGER4 "/32", [SHIELD_V4_24] = STRANGER4 "/24",
		[SHIELD_V6_64] = STRANGER6 "/64", [SHIELD_V6_56] = STRANGER6 "/56",
		[SHIELD_V6_48] = STRANGER6 "/48",
	};

	for (int i = 0; i < SHIELD_LEVELS; i++) {
		struct frame f;

		frame_build(&f, i <= SHIELD_V4_24 ? &spec4 : &spec6);
		flag(at[i]);
		atomic_store(shield_levels(fix.shield), 1u << i);
		expect(f.data, f.len, SHIELD_DROP_FLAGGED, false);
		atomic_store(shield_levels(fix.shield), ~(1u << i));
		expect(f.data, f.len, SHIELD_REDIRECT_SMTP, false);
		unflag(at[i]);
	}
	atomic_store(shield_levels(fix.shield), 0);
}

static void a_worker_flags_by_the_descriptor_alone(void **state)
{
	const struct shield_flag value = {.expiry_ns = UINT64_MAX};
	const struct ip_addr stranger = address_of(STRANGER6);
	static const struct frame_spec spec = {SMTP6};
	struct shield_source key;
	enum shield_level level;
	struct frame f;

	frame_build(&f, &spec);
	assert_true(shield_source_key(&stranger, 56, &key, &level));
	assert_int_equal(level, SHIELD_V6_56);
	assert_int_equal(bpf_map_update_elem(shield_flagged_fd(fix.shield), &key, &value, BPF_ANY),
			 0);
	atomic_fetch_or(shield_levels(fix.shield), 1u << level);
	expect(f.data, f.len, SHIELD_DROP_FLAGGED, false);
	unflag(STRANGER6 "/56");
}

/* How many pieces it took. */
static unsigned expire(uint64_t now_ns, size_t *removed)
{
	unsigned pieces = 0;
	bool done = false;

	*removed = 0;
	for (; !done; pieces++) {
		size_t n;

		if (shield_expire(fix.shield, now_ns, &done, &n, fix.error, ERROR_LEN))
			fail_msg("%s", fix.error);
		*removed += n;
	}
	return pieces;
}

static void what_has_expired_is_removed_and_its_level_switched_off(void **state)
{
	size_t removed = 0;

	flag("!" STRANGER4 "/32");
	flag("203.0.113.0/24");
	flag("!2001:db8:bad::/48");
	allow("!203.0.113.0/24");
	allow("*203.0.113.0/25");
	allow("203.0.113.0/26");
	expire(shield_now_ns(), &removed);
	assert_int_equal(removed, 3);
	assert_int_equal(flagged_now().n, 1);
	assert_int_equal(*shield_levels(fix.shield), 1u << SHIELD_V4_24);
	unflag("203.0.113.0/24");
	disallow("203.0.113.0/25");
	disallow("203.0.113.0/26");
	expire(shield_now_ns(), &removed);
	assert_int_equal(removed, 0);
	assert_int_equal(*shield_levels(fix.shield), 0);
}

/* A worker flags where the walk has been already, at a level it found nobody at. */
static void a_flag_that_comes_behind_the_walk_keeps_its_level(void **state)
{
	bool done = false;
	size_t removed;

	flag("!" STRANGER4 "/32");
	flag("!203.0.113.0/24");
	assert_int_equal(shield_expire(fix.shield, shield_now_ns(), &done, &removed, fix.error,
				       ERROR_LEN),
			 0);
	assert_false(done);
	assert_int_equal(removed, 2);
	flag("203.0.113.0/24");
	while (!done)
		assert_int_equal(shield_expire(fix.shield, shield_now_ns(), &done, &removed,
					       fix.error, ERROR_LEN),
				 0);
	assert_int_equal(*shield_levels(fix.shield), 1u << SHIELD_V4_24);
	unflag("203.0.113.0/24");
	expire(shield_now_ns(), &removed);
	assert_int_equal(*shield_levels(fix.shield), 0);
}

static void many_flags_are_walked_whole(void **state)
{
	enum { MANY = 20000 };
	struct ip_addr a = address_of("10.0.0.0");
	size_t removed = 0;

	for (int i = 0; i < MANY; i++) {
		a.octets[13] = (uint8_t)(i >> 16);
		a.octets[14] = (uint8_t)(i >> 8);
		a.octets[15] = (uint8_t)i;
		assert_int_equal(
			shield_flag(fix.shield, &a, 128, long_ago_ns, fix.error, ERROR_LEN), 0);
	}
	assert_int_equal(flagged_now().n, MANY);
	assert_in_range(expire(shield_now_ns(), &removed), 1 + MANY / 5000, 20);
	assert_int_equal(removed, MANY);
	assert_int_equal(flagged_now().n, 0);
}

static void set_services(const char *smtp_too)
{
	const struct ip_endpoint services[] = {
		{address_of(OURS4), 25},    {address_of(OURS4), 587},	  {address_of(OURS6), 25},
		{address_of(OURS_TOO4), 0}, {address_of(smtp_too), 2525},
	};

	assert_int_equal(shield_set_services(fix.shield, services, 5, fix.error, ERROR_LEN), 0);
}

static void set_backends(void)
{
	const struct ip_endpoint backends[] = {{address_of(BACKEND4), 25},
					       {address_of(BACKEND6), 25}};

	assert_int_equal(shield_set_backends(fix.shield, backends, 2, fix.error, ERROR_LEN), 0);
}

static void set_up_table(void)
{
	set_services(OURS4);
	set_backends();
	shield_set_backend_ports(fix.shield, 20000, 20999);
	set_socket(true);
}

static void removed_service_is_the_kernels_again(void **state)
{
	static const struct frame_spec elsewhere = {.from = STRANGER4,
						    .to = ELSEWHERE4,
						    .to_port = 2525},
				       cut = {.from = STRANGER4,
					      .to = ELSEWHERE4,
					      .to_port = 1,
					      .body_cut = 2};
	struct frame f, g, smtp = smtp_frame();

	frame_build(&f, &elsewhere);
	frame_build(&g, &cut);
	expect(f.data, f.len, SHIELD_PASS, false);
	set_services(ELSEWHERE4);
	expect(f.data, f.len, SHIELD_REDIRECT_SMTP, false);
	expect(g.data, g.len, SHIELD_DROP_MALFORMED, false);
	expect(smtp.data, smtp.len, SHIELD_REDIRECT_SMTP, false);
	set_services(OURS4);
	expect(f.data, f.len, SHIELD_PASS, false);
	expect(g.data, g.len, SHIELD_PASS, false);
	expect(smtp.data, smtp.len, SHIELD_REDIRECT_SMTP, false);
}

static void no_backends_or_no_ports_leave_all_to_the_kernel(void **state)
{
	static const struct frame_spec spec = {FROM_BACKEND4, .to_port = 20000};
	struct frame f;

	frame_build(&f, &spec);
	expect(f.data, f.len, SHIELD_REDIRECT_BACKEND, false);
	assert_int_equal(shield_set_backends(fix.shield, NULL, 0, fix.error, ERROR_LEN), 0);
	expect(f.data, f.len, SHIELD_PASS, false);
	set_backends();
	expect(f.data, f.len, SHIELD_REDIRECT_BACKEND, false);
	shield_set_backend_ports(fix.shield, 1, 0);
	expect(f.data, f.len, SHIELD_PASS, false);
	shield_set_backend_ports(fix.shield, 20000, 20999);
}

static void full_sets_replace_each_other(void **state)
{
	struct ip_endpoint *e = calloc(SHIELD_BACKENDS_MAX + 1, sizeof(*e));

	assert_non_null(e);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i <= SHIELD_BACKENDS_MAX; i++) {
			e[i].address = address_of(round % 2 ? "10.0.0.0" : "10.1.0.0");
			e[i].address.octets[14] = (uint8_t)(i >> 8);
			e[i].address.octets[15] = (uint8_t)i;
			e[i].port = 25;
		}
		assert_int_equal(shield_set_backends(fix.shield, e, SHIELD_BACKENDS_MAX, fix.error,
						     ERROR_LEN),
				 0);
		assert_int_equal(shield_set_services(fix.shield, e, SHIELD_SERVICES_MAX, fix.error,
						     ERROR_LEN),
				 0);
	}
	assert_int_equal(shield_set_backends(fix.shield, e, SHIELD_BACKENDS_MAX + 1, fix.error,
					     ERROR_LEN),
			 -E2BIG);
	assert_int_equal(shield_set_services(fix.shield, e, SHIELD_SERVICES_MAX + 1, fix.error,
					     ERROR_LEN),
			 -E2BIG);
	free(e);
	set_services(OURS4);
	set_backends();
}

static void full_allowlist_says_so(void **state)
{
	struct ip_addr a = address_of("10.0.0.0");
	size_t removed;
	int err = 0;

	for (int i = 0; i <= SHIELD_ALLOW_MAX && err == 0; i++) {
		a.octets[13] = (uint8_t)(i >> 16);
		a.octets[14] = (uint8_t)(i >> 8);
		a.octets[15] = (uint8_t)i;
		err = shield_allow(fix.shield, &a, 128, 1, fix.error, ERROR_LEN);
	}
	assert_int_equal(err, -E2BIG);
	assert_string_equal(fix.error, "cannot spare 10.1.0.0/32: the table is full");
	expire(2, &removed);
	assert_int_equal(shield_allow(fix.shield, &a, 128, 1, fix.error, ERROR_LEN), 0);
	assert_int_equal(shield_disallow(fix.shield, &a, 128, fix.error, ERROR_LEN), 0);
}

static uint32_t random_next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

/* Whatever the bits, a frame is counted once and handled as counted; and what is redirected lies
 * whole in its frame. */
static void spoilt_frames_are_counted_once(void **state)
{
	uint64_t seed = test_seed(shield_now_ns());
	struct frame f;
	bool spared;

	for (int i = 0; i < 20000; i++) {
		const struct row *row = &rows[random_next(&seed) % ROWS];
		unsigned spoils = random_next(&seed) % 4;
		enum shield_counter became;

		frame_build(&f, &row->frame);
		if (random_next(&seed) % 4 == 0)
			f.len = 14 + random_next(&seed) % (f.len - 13);
		while (spoils--) {
			size_t at = random_next(&seed) % (f.len < 120 ? f.len : 120);

			f.data[at] = (uint8_t)random_next(&seed);
		}
		became = outcome(f.data, f.len, &spared);
		assert_false(spared);
		assert_int_not_equal(became, SHIELD_DROP_FLAGGED);
		if (action_of(became) == XDP_REDIRECT)
			assert_true(f.len >= 54);
	}
}

static int close_fixture(void **state)
{
	fixture_close(&fix);
	return 0;
}

int main(void)
{
	static struct CMUnitTest tests[ROWS + 16];
	const struct CMUnitTest others[] = {
		cmocka_unit_test(the_table_reaches_every_counter),
		cmocka_unit_test(flag_ends_at_its_expiry),
		cmocka_unit_test(drops_are_counted_per_entry_and_kept_when_flagged_again),
		cmocka_unit_test(flag_at_another_length_is_refused),
		cmocka_unit_test(what_is_not_listed_cannot_be_taken_off),
		cmocka_unit_test(level_without_its_bit_is_not_looked_up),
		cmocka_unit_test(a_worker_flags_by_the_descriptor_alone),
		cmocka_unit_test(what_has_expired_is_removed_and_its_level_switched_off),
		cmocka_unit_test(a_flag_that_comes_behind_the_walk_keeps_its_level),
		cmocka_unit_test(many_flags_are_walked_whole),
		cmocka_unit_test(removed_service_is_the_kernels_again),
		cmocka_unit_test(no_backends_or_no_ports_leave_all_to_the_kernel),
		cmocka_unit_test(full_sets_replace_each_other),
		cmocka_unit_test(full_allowlist_says_so),
		cmocka_unit_test(spoilt_frames_are_counted_once),
	};
	const size_t n_others = sizeof(others) / sizeof(others[0]);

	fixture_enter_namespaces();
	fixture_open(&fix);
	set_up_table();
	for (int i = 0; i < ROWS; i++)
		tests[i] =
			(struct CMUnitTest){rows[i].name, row_holds, NULL, NULL, (void *)&rows[i]};
	memcpy(tests + ROWS, others, sizeof(others));
	return _cmocka_run_group_tests("the shield's verdicts", tests, ROWS + n_others, NULL,
				       close_fixture);
}
