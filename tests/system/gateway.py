# SPDX-License-Identifier: BSD-3-Clause
"""posternd in the lab's gateway, with a small directory of its own."""

import json
import pathlib
import re

from lab import BUILD, GATEWAY, patiently
from mails import talk
from services import SMTP

POSTERND = str(BUILD / "control" / "posternd")
POSTERNCTL = str(BUILD / "control" / "posternctl")

HONEST = {"ipv4": "198.18.64.10", "ipv6": "fd00:18:64:10::1"}
GUESSER = {"ipv4": "198.18.64.66", "ipv6": "fd00:18:64:66::1"}
VERDICT = {"ipv4": "198.18.64.66/32", "ipv6": "fd00:18:64:66::/64"}

CONFIG = """\
hostname: mx1.example.net
cores: {cores}
interfaces: [{{device: mx0}}]
domains:
  - {{name: example.net, recipients: {folder}/recipients, pool: mailstore, subaddress: "+"}}
pools:
{pools}
harvest: {{state: {folder}/harvest, clients: 4K, filter: 64K}}
limits: {limits}
control: {{socket: {run}/lab/control.sock}}
shield: {{bpffs: {run}/bpf}}
"""

SMALL = "{connections: 4K, buffers: 4K}"
DIRECTORY = "# who exists\nanna@example.net\nbait@example.net class=trap\n"


def pool(name="mailstore", servers=("198.18.2.1:25",), **more):
    """A pool in the configuration; more: its other keys."""
    listed = ", ".join(f'"{server}"' for server in servers)
    return "{" + ", ".join([f"name: {name}", f"servers: [{listed}]",
                            *(f"{key}: {value}" for key, value in more.items())]) + "}"


class Gateway:
    """A configuration with a directory, and posternd in the lab's gateway. settings: further lines of the
    configuration."""

    def __init__(self, lab, folder, cores="[0, 1]", pools=(pool(),), directory=DIRECTORY, limits=SMALL,
                 settings=()):
        self.lab, self.folder = lab, folder
        self.config = folder / "postern.yaml"
        self.directory = folder / "recipients"
        self.state = folder / "harvest"
        self.socket = lab.run_dir / "lab" / "control.sock"
        self.config.write_text(CONFIG.format(
            cores=cores, folder=folder, run=lab.run_dir, limits=limits,
            pools="\n".join(f"  - {one}" for one in pools)) + "".join(f"{line}\n" for line in settings))
        self.directory.write_text(directory)
        self.process = None

    def start(self):
        self.process = self.lab.start("gw", POSTERND, "-c", self.config, name="posternd")
        self.process.wait_for("ready")

    def stop(self):
        status = self.process.stop()
        self.lab.ended(self.process)
        assert status == 0, self.process.story()

    def kill(self):
        self.process.kill()
        self.lab.ended(self.process)

    def talk(self, version, *lines, source=HONEST, options=()):
        try:
            return talk(self.lab, GATEWAY[version], *lines, port=SMTP,
                        options=["--source", source[version], *options])
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.process.story()}") from None

    def rcpt(self, version, address):
        return self.talk(version, "EHLO client.example", "MAIL FROM:<a@client.example>",
                         f"RCPT TO:<{address}>")[0][-1]

    def guess(self, version, *options):
        """Says what a guesser says until nobody answers."""
        names = [f"RCPT TO:<guess{n}@example.net>" for n in range(8)]
        return self.talk(version, "EHLO client.example", "MAIL FROM:<a@client.example>", *names,
                         source=GUESSER, options=options)

    def knock(self, version, source):
        return self.lab.peer("client", "syn", GATEWAY[version], SMTP, "--source", source[version],
                             timeout=0.5)

    def control(self, *words):
        """What posternctl prints."""
        done = self.lab.run("gw", POSTERNCTL, "--socket", self.socket, *words)
        assert done.returncode == 0, done
        return done.stdout

    def memory(self):
        """Octets resident."""
        status = pathlib.Path(f"/proc/{self.process.popen.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10

    def shut_out(self):
        listed = json.loads(self.control("--json", "shield", "list"))
        return {entry["address"] for entry in listed["entries"]}

    def wait_for_log(self, wanted):
        patiently(lambda: any(wanted in line for line in self.process.errors),
                  f"posternd says '{wanted}'\n{self.process.story()}")
