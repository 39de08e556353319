#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of the fuzz targets: make_corpus.py FOLDER [TARGET]...

FOLDER/TARGET/NAME is one input of the target fuzz_*; without a TARGET, of every one that is known here.
The same seeds are written every time. A seed of net is a frame (net_seeds.py), one of tcp a conversation
(tcp_seeds.py, pair_seeds.py), one of smtp what a client says (smtp_seeds.py), one of relay what a next hop
or a load balancer says (hop_seeds.py, proxy_seeds.py), one of control a file or a request (control_seeds.py).
"""

import pathlib
import sys

from control_seeds import checkpoint_seeds, config_seeds, directory_seeds, rpc_seeds
from hop_seeds import hop_seeds
from net_seeds import net_input_seeds
from pair_seeds import tcp_pair_seeds
from proxy_seeds import proxy_seeds
from smtp_seeds import smtp_address_seeds, smtp_feed_seeds
from tcp_seeds import tcp_input_seeds

TARGETS = {
    "fuzz_checkpoint": checkpoint_seeds,
    "fuzz_config": config_seeds,
    "fuzz_directory": directory_seeds,
    "fuzz_hop": hop_seeds,
    "fuzz_net_input": net_input_seeds,
    "fuzz_proxy": proxy_seeds,
    "fuzz_rpc": rpc_seeds,
    "fuzz_smtp_address": smtp_address_seeds,
    "fuzz_smtp_feed": smtp_feed_seeds,
    "fuzz_tcp_input": tcp_input_seeds,
    "fuzz_tcp_pair": tcp_pair_seeds,
}


def main():
    if len(sys.argv) < 2 or not set(sys.argv[2:]) <= set(TARGETS):
        sys.exit(f"usage: make_corpus.py FOLDER [{'|'.join(TARGETS)}]...")
    for target in sys.argv[2:] or TARGETS:
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, octets in TARGETS[target]():
            (folder / name).write_bytes(octets)


if __name__ == "__main__":
    main()
