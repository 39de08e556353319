/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The counters of one worker. Every room counts here, control reads and sums; a peer's malice
 * ends in one of these, not in a log line.
 *
 * Thread: written by the owning worker (base/counter.h), read by any.
 */
#ifndef POSTERN_COUNTERS_H
#define POSTERN_COUNTERS_H

#include <stdint.h>

/* X(name, what it counts) */
#define POSTERN_COUNTERS(X)                                                                      \
	X(port_rx_frames, "frames received from interfaces")                                     \
	X(port_rx_octets, "octets received from interfaces")                                     \
	X(port_tx_frames, "frames handed to interfaces")                                         \
	X(port_tx_octets, "octets handed to interfaces")                                         \
	X(port_tx_full, "frames dropped because an interface's transmit queue was full")         \
	X(port_tx_refused, "frames that no driver can send: too large, or contradictory flags")  \
	X(port_tx_linearised, "chained frames copied into one buffer before transmission")       \
	X(port_no_buffer, "frames dropped for want of a buffer")                                 \
	X(handover_out, "frames handed to the worker that owns their flow")                      \
	X(handover_in, "frames taken over from other workers")                                   \
	X(handover_full, "frames dropped because the owner's ring was full")                     \
	X(steering_agreed, "frames that came to the queue where the interface's RSS puts them")  \
	X(steering_disagreed, "frames that came to another queue, or with another hash")         \
	X(net_not_ours, "frames for another link or IP address, or not IP")                      \
	X(net_not_tcp, "IP packets for us that are neither TCP nor an ICMP error we can use")    \
	X(net_malformed, "frames with impossible lengths, versions or extension headers")        \
	X(net_fragment, "IP fragments dropped")                                                  \
	X(net_bad_source, "packets from addresses that cannot be a peer's")                      \
	X(net_bad_checksum, "packets whose IP, ICMP or TCP checksum was wrong")                  \
	X(net_icmp_error, "ICMP errors that quote a flow of ours")                               \
	X(tcp_segments_in, "TCP segments accepted for processing")                               \
	X(tcp_segments_out, "TCP segments sent")                                                 \
	X(tcp_passive_opens, "connections a client opened")                                      \
	X(tcp_active_opens, "connections we opened")                                             \
	X(tcp_established, "handshakes completed, both ways")                                    \
	X(tcp_closed, "connections ended in order")                                              \
	X(tcp_resets_in, "connections ended by the peer's RST")                                  \
	X(tcp_aborts, "connections we reset")                                                    \
	X(tcp_timeouts, "connections given up because the peer stopped answering")               \
	X(tcp_resets_out, "RST segments sent")                                                   \
	X(tcp_bad_header, "segments with impossible offsets, flags or options")                  \
	X(tcp_no_listener, "SYNs to a port nobody listens on")                                   \
	X(tcp_no_connection, "segments of no connection")                                        \
	X(tcp_table_full, "opens refused because the connection table was full")                 \
	X(tcp_client_half_open, "SYNs that found too many of their client under way")            \
	X(tcp_client_over, "connections opened beyond what their client may have")               \
	X(tcp_client_refused, "handshakes refused because their client had twice what it may")   \
	X(tcp_orphans_full, "connections reset at their close because too many lingered")        \
	X(tcp_time_wait_full, "TIME-WAITs cut short because there were too many")                \
	X(tcp_time_wait_reused, "connections that took the place of a TIME-WAIT (RFC 6191)")     \
	X(tcp_syn_full, "SYNs that found too many handshakes under way")                         \
	X(tcp_cookies_sent, "SYNs answered by a SYN cookie")                                     \
	X(tcp_cookies_good, "connections a SYN cookie opened")                                   \
	X(tcp_cookies_bad, "ACKs that brought back no cookie of ours")                           \
	X(tcp_unacceptable, "segments outside the receive window, answered by an ACK")           \
	X(tcp_paws, "segments dropped for an old timestamp (RFC 7323)")                          \
	X(tcp_bad_ack, "segments that acknowledge what was never sent")                          \
	X(tcp_challenge_acks, "challenge ACKs sent (RFC 5961)")                                  \
	X(tcp_replies_shed, "answers to no connection not sent because too many were due")       \
	X(tcp_errors_shed, "ICMP errors not looked at because too many came")                    \
	X(tcp_retransmits, "segments sent again")                                                \
	X(tcp_fast_retransmits, "flights with a loss that later arrivals showed")                \
	X(tcp_tail_probes, "tail loss probes sent")                                              \
	X(tcp_rto, "retransmission timeouts")                                                    \
	X(tcp_black_holes, "paths found to swallow large segments: smaller ones are sent")       \
	X(tcp_window_probes, "zero-window probes sent")                                          \
	X(tcp_out_of_order, "segments that arrived ahead of a gap")                              \
	X(tcp_duplicate_data, "segments that held nothing new")                                  \
	X(tcp_reassembly_full, "segments dropped because reassembly was at its bound")           \
	X(tcp_no_buffer, "sends or receives that found the buffer pool empty")                   \
	X(tcp_pool_low, "segments refused because the buffer pool ran low")                      \
	X(smtp_conversations, "conversations begun")                                             \
	X(smtp_ended, "and ended")                                                               \
	X(smtp_no_session, "clients refused because the sessions were all in use")               \
	X(smtp_commands, "command lines read")                                                   \
	X(smtp_recipients_asked, "recipients looked up")                                         \
	X(smtp_recipients_taken, "and taken")                                                    \
	X(smtp_messages, "messages whose end came")                                              \
	X(smtp_messages_faulty, "and of these, refused for what is in them")                     \
	X(smtp_message_octets, "octets of messages read")                                        \
	X(smtp_no_envelope, "transactions refused for want of memory")                           \
	X(smtp_no_page, "recipients refused for want of memory")                                 \
	X(smtp_no_piece, "lines and names not kept for want of memory")                          \
	X(mail_early_talkers, "clients that spoke before the greeting")                          \
	X(mail_proxied, "clients that load balancers named")                                     \
	X(mail_proxy_malformed, "load balancers' connections reset for want of a header")        \
	X(mail_turned_away, "clients refused in place of the greeting")                          \
	X(mail_replies_lost, "conversations ended because there was no buffer for a reply")      \
	X(mail_verdicts, "clients and prefixes shut out for guessing")                           \
	X(mail_limits, "clients whose bounces, or one of whose senders, are held for a while")   \
	X(mail_observed, "verdicts that nothing came of, because we observe")                    \
	X(mail_unproved, "recipients not looked up because cookies are being guessed at")        \
	X(mail_notices_lost, "and of these, not told to control because its ring was full")      \
	X(mail_swept, "conversations ended because their client was shut out on another")        \
	X(mail_sweeps_full, "times all conversations were looked at, not those of a verdict")    \
	X(relay_transactions, "transactions that came to DATA, for a next hop")                  \
	X(relay_ended, "and of these, over")                                                     \
	X(relay_connections, "connections to next hops opened, or tried to be")                  \
	X(relay_lost, "and of these, failed or lost in the midst of something")                  \
	X(relay_retries, "transactions asked again of another server, or on another connection") \
	X(relay_messages_taken, "messages that a next hop took")                                 \
	X(relay_messages_refused, "messages that a next hop refused")                            \
	X(relay_recipients_refused, "recipients of our directory that a next hop refused")       \
	X(relay_refusals_told, "recipients refused by what a next hop said before")              \
	X(relay_octets, "octets of messages streamed to next hops")                              \
	X(relay_no_buffer, "connections to next hops given up for want of a buffer")             \
	X(worker_not_admitted, "SYNs of clients that are shut out, where no kernel drops them")  \
	X(worker_turns, "turns of the loop")                                                     \
	X(worker_turns_empty, "turns that found nothing to do")                                  \
	X(worker_sleeps, "times the loop slept because it was idle")

struct postern_counters {
#define X(name, text) uint64_t name;
	POSTERN_COUNTERS(X)
#undef X
};

#endif
