# SPDX-License-Identifier: BSD-3-Clause
"""The fuzz targets find what they are there for: a bug is planted in a copy of a room's file, and must be found.

A fuzzer that finds nothing anywhere is worth nothing, and would go unnoticed. Needs build-fuzz, from which all but
the file with the bug is taken.
"""

import pathlib
import re
import subprocess
import sys

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tests/common"))

from planted import Bug, linked  # noqa: E402

BUILD = TREE / "build-fuzz"
SECONDS = 60  # at most; most are found within one

BUGS = {
    "extension_header_is_believed_as_to_its_length": Bug(
        "net/ip6.c", "if (!cursor_take(c, len))\n\t\treturn PARSED_MALFORMED;",
        "cursor_take(c, len);", "fuzz_net_input"),
    "padding_is_cut_off_one_octet_late": Bug(
        "net/input.c", "last->data_len = (uint16_t)(len - before);",
        "last->data_len = (uint16_t)(len - before + 1);", "fuzz_net_input"),
    "option_may_end_one_octet_behind_the_header": Bug(
        "tcp/header.c", "len > header_len - at)", "len > header_len - at + 1)", "fuzz_tcp_input"),
    "octets_beyond_the_window_are_kept": Bug(
        "tcp/receive.c", "seq_min(seq + m->pkt_len, c->rcv_adv)", "(seq + m->pkt_len)", "fuzz_tcp_input"),
    "send_queue_remembers_a_freed_buffer": Bug(
        "tcp/send.c", "if (q->send_at == m)\n\t\t\tq->send_at = NULL;", "", "fuzz_tcp_input"),
    "page_is_delivered_with_a_run_still_ahead_in_it": Bug(
        "tcp/receive.c", "seq_lt(q->ranges[1].start, page->hash.usr + TCP_PAGE)",
        "seq_lt(q->ranges[1].start, page->hash.usr)", "fuzz_tcp_input"),
    "owner_without_a_buffer_is_never_told_to_try_again": Bug(
        "tcp/send.c", "if (!q->send_len)\n\t\t\tconn_starve(t, c);", "", "fuzz_tcp_pair"),
    "unquoting_leaves_a_dot_at_the_end": Bug(
        "smtp/address.c", "if (dot_string && before != '.') {", "if (dot_string) {", "fuzz_smtp_address"),
    "dot_before_a_bare_lf_goes_on_to_the_next_hop": Bug(
        "smtp/data.c", "[LF] = {UNSTUFF_END, AT_MADE_START}", "[LF] = {MAKE_END, AT_MADE_START}", "fuzz_smtp_feed"),
    "line_in_pieces_forgets_that_a_piece_is_full": Bug(
        "smtp/line.c", "if (!used && first->len) {", "if (!used && first->len == 1) {", "fuzz_smtp_feed"),
    "text_of_a_reply_ends_one_octet_late": Bug(
        "relay/hop_reply.c", "if (h->reply.len == HOP_TEXT_MAX)", "if (h->reply.len == HOP_TEXT_MAX + 1)", "fuzz_hop"),
    "one_command_too_many_is_in_flight": Bug(
        "relay/hop.c", "h->asking.in_flight < most", "h->asking.in_flight <= most", "fuzz_hop"),
    "octets_left_behind_an_answer_answer_what_is_said_next": Bug(
        "relay/hop.c", "!h->asking.in_flight || h->asking.spoke_on", "!h->asking.in_flight", "fuzz_hop"),
    "refusal_of_one_recipient_is_lost_behind_the_next_answer": Bug(
        "relay/hop.c", "(h->state == HOP_STATE_ENDED && h->outcome.refused)", "false", "fuzz_hop"),
    "header_of_octets_is_read_one_octet_too_soon": Bug(
        "relay/proxy_header.c", "if (in.len < HEAD + len)", "if (in.len + 1 < HEAD + len)", "fuzz_proxy"),
    "cr_at_the_end_of_what_came_is_looked_behind": Bug(
        "relay/proxy_header.c", "if (len + 1 == most)", "if (len == most)", "fuzz_proxy"),
    "checkpoint_is_taken_in_before_its_end_was_seen": Bug(
        "checkpoint.c", "err = read_chunks(NULL, file, octets);", "err = 0;", "fuzz_checkpoint", "control"),
    "size_is_shown_in_a_unit_that_does_not_fit": Bug(
        "config_types.c", "if (value && value % units->factor == 0 &&", "if (value &&", "fuzz_config", "control"),
    "line_of_a_directory_is_lost_on_its_way": Bug(
        "policy/recipients_directory.c", "if (d->n_pending >= PENDING)", "if (d->n_pending > PENDING)",
        "fuzz_directory"),
    "message_cut_within_a_character_is_no_answer": Bug(
        "rpc.c", "\tif (string)\n\t\treturn string;", "\tif (string || !string)\n\t\treturn string;", "fuzz_rpc",
        "control"),
}


@pytest.fixture(scope="session")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    subprocess.run([TREE / "tests/fuzz/make_corpus.py", folder], check=True)
    return folder


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_planted_bug_is_found(bug, seeds, tmp_path):
    target = linked(bug, BUILD, "tests/fuzz", tmp_path)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    result = subprocess.run(
        [target, f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={tmp_path}/",
         corpus, seeds / bug.target], text=True, capture_output=True, errors="replace")
    assert result.returncode != 0, f"not found in {SECONDS} s\n{result.stderr[-2000:]}"
    # An input that shows it, not a target that does not start.
    assert list(tmp_path.glob("crash-*")), result.stderr[-4000:]
    assert re.search("AddressSanitizer|runtime error|Assertion", result.stderr), result.stderr[-4000:]
