# SPDX-License-Identifier: BSD-3-Clause
"""Mail servers in the lab: Postfix, Dovecot's LMTP, aiosmtpd, and one that does as it is told.

    with Postfix(lab, "198.18.2.1", "fd00:18:2::1") as server:
        ...
        message, = server.wait_for_messages(1)

Each has its configuration, queue and mail in a folder of its own and begins when it can be spoken to;
at the end, also of a test that failed, its processes are ended and the folder removed.
"""

import collections
import contextlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import stat
import tempfile

from lab import HERE, PYTHON, patiently
from mails import unstuffed

SMTP, LMTP = 25, 24
OWNER = pwd.getpwnam("nobody")  # of the mail: delivery is never root's
USERS = ["anna", "otto", "ida", "emil"]
GATEWAYS = "198.18.0.0/24, [fd00:18::]/64"

# octets: as it was sent, or for a mail store with its own trace fields in front, line ends CRLF.
Message = collections.namedtuple("Message", "octets sender recipients client", defaults=[None] * 3)

CONNECT = """
import socket, sys, time
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
        break
    except OSError:
        time.sleep(0.01)
"""


def runs_in_group(group):
    """Processes of a process group that are not over."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                yield int(path.parent.name)


class Server:
    """What all have in common. The subclass says what to run and where the mail is."""

    port = SMTP

    def __init__(self, lab, *addresses, host="backend", port=None):
        self.lab, self.addresses, self.host = lab, addresses, host
        self.port = port or self.port
        self.folder = self.process = None

    def __enter__(self):
        # Not below pytest's folder, where nobody but root may look.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-server-"))
        try:
            self.folder.chmod(0o711)
            self.prepare()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder)

    def prepare(self):
        """Writes into the folder what the server needs there."""

    def command(self):
        raise NotImplementedError

    def start(self):
        # The leader of its session, so that all it starts can be ended.
        self.process = self.lab.start(self.host, "setsid", *self.command(), name=type(self).__name__)
        self.await_readiness()

    def await_readiness(self):
        self.process.wait_for("ready")

    def stop(self):
        if not self.process:
            return
        self.signal_all(signal.SIGCONT)
        self.signal_all(signal.SIGTERM)
        with contextlib.suppress(AssertionError):
            self.process.wait(10)
        self.kill()

    def kill(self):
        self.signal_all(signal.SIGKILL)
        self.process.kill()
        group = self.process.popen.pid
        patiently(lambda: not any(runs_in_group(group)), "all that the server started is over")
        if self.process in self.lab.processes:
            self.lab.ended(self.process)
        self.process = None

    def signal_all(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.popen.pid, number)

    @contextlib.contextmanager
    def frozen(self):
        """It keeps its connections and says nothing; the kernel still takes new ones for it."""
        self.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(signal.SIGCONT)

    def story(self):
        """What it says of itself, for whoever looks for a fault."""
        return self.process.story()

    def count(self):
        """How many messages it has stored."""
        raise NotImplementedError

    def stored(self):
        """Its messages, one by one."""
        return map(self.message, self.paths())

    def messages(self):
        return list(self.stored())

    def wait_for_messages(self, count, timeout=30):
        try:
            patiently(lambda: self.count() >= count, f"{count} messages are stored", timeout)
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.story()}") from None
        stored = self.messages()
        assert len(stored) == count, f"{len(stored)} messages instead of {count}"
        return stored


class Maildirs(Server):
    """A server that stores for mail/USER, as a maildir: a file a message, its lines ended by LF."""

    def prepare(self):
        mail = self.folder / "mail"
        mail.mkdir()
        os.chown(mail, OWNER.pw_uid, OWNER.pw_gid)

    def await_readiness(self):
        for address in self.addresses:
            done = self.lab.run(self.host, PYTHON, "-c", CONNECT, address, self.port, timeout=30)
            assert done.returncode == 0, done

    def paths(self):
        return sorted(self.folder.glob("mail/*/new/*"))

    def count(self):
        return len(self.paths())

    @staticmethod
    def message(path):
        return Message(path.read_bytes().replace(b"\n", b"\r\n"), recipients=[path.parts[-3]])

    def log(self):
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def story(self):
        return self.log()[-4000:]


# --- Postfix ---------------------------------------------------------------------------------------

POSTFIX_MASTER = """\
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

POSTFIX_SETTINGS = {
    "compatibility_level": "3.6",
    "myhostname": "postfix.example",
    "inet_protocols": "all",
    "mynetworks": "",
    "mydestination": "",
    "alias_maps": "",
    "smtpd_peername_lookup": "no",
    "smtp_dns_support_level": "disabled",
    # Mail is stored as it comes.
    "local_header_rewrite_clients": "",
    "message_drop_headers": "",
    "enable_original_recipient": "no",
    "message_size_limit": "104857600",
    "virtual_mailbox_limit": "0",
    "virtual_mailbox_domains": "example.net, example.org",
    "virtual_uid_maps": f"static:{OWNER.pw_uid}",
    "virtual_gid_maps": f"static:{OWNER.pw_gid}",
    "smtpd_authorized_xclient_hosts": GATEWAYS,
    # One client sends all there is.
    "smtpd_client_connection_count_limit": "0",
    "default_process_limit": "250",
}


class Postfix(Maildirs):
    """An instance of its own. settings: of main.cf, beside what is above; a value that begins with
    'regexp:' is the text of such a table. What it says of its clients is in log()."""

    def __init__(self, lab, *addresses, settings=(), **more):
        super().__init__(lab, *addresses, **more)
        self.settings = dict(settings)

    def prepare(self):
        super().prepare()
        self.etc = self.folder / "etc"
        for name in ["etc", "queue", "data"]:
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "data", "postfix", "postfix")
        settings = {**POSTFIX_SETTINGS,
                    "inet_interfaces": ", ".join(self.addresses),
                    "queue_directory": self.folder / "queue",
                    "data_directory": self.folder / "data",
                    "maillog_file": self.folder / "log",
                    "maillog_file_prefixes": self.folder,
                    "virtual_mailbox_base": self.folder / "mail",
                    "virtual_mailbox_maps": "regexp:" + "\n".join(
                        f"/^{user}(\\+.*)?@/ {user}/" for user in USERS),
                    **self.settings}
        (self.etc / "main.cf").write_text("".join(
            f"{name} = {self.value_of(name, str(value))}\n" for name, value in settings.items()))
        (self.etc / "master.cf").write_text(POSTFIX_MASTER.format(port=self.port))
        done = self.lab.run(self.host, "postfix", "-c", self.etc, "check")  # makes the queue's folders
        assert done.returncode == 0, self.log()

    def value_of(self, name, value):
        kind, _, text = value.partition(":")
        if kind != "regexp":
            return value
        (self.etc / name).write_text(text + "\n")
        return f"regexp:{self.etc / name}"

    def command(self):
        return ["/usr/lib/postfix/sbin/master", "-c", self.etc, "-d"]

    def wait_for_log(self, wanted):
        patiently(lambda: wanted in self.log(), f"Postfix says '{wanted}'")

    def wait_until_delivered(self, timeout=60):
        """What it has taken is in its maildirs."""
        patiently(lambda: not any(self.queued()), f"its queue is empty\n{self.story()}", timeout)

    def queued(self):
        """Files of messages it has taken; one that nobody may execute is not whole, and not taken."""
        for name in ["incoming", "active", "deferred"]:
            for path in (self.folder / "queue" / name).rglob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file() and path.stat().st_mode & stat.S_IXUSR:
                        yield path


# --- Dovecot ---------------------------------------------------------------------------------------

DOVECOT_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
mail_location = maildir:{folder}/mail/%n
mail_uid = {owner.pw_uid}
mail_gid = {owner.pw_gid}
first_valid_uid = {owner.pw_uid}
first_valid_gid = {owner.pw_gid}
recipient_delimiter = +
lmtp_proxy = no
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={owner.pw_uid} gid={owner.pw_gid} home={folder}/mail/%n allow_all_users=yes
}}
service lmtp {{
  client_limit = 1
  inet_listener lmtp {{
    address = {addresses}
    port = {port}
  }}
}}
"""


class Dovecot(Maildirs):
    """LMTP, for whoever is asked for."""

    port = LMTP

    def prepare(self):
        super().prepare()
        (self.folder / "dovecot.conf").write_text(DOVECOT_CONFIG.format(
            folder=self.folder, owner=OWNER, addresses=" ".join(self.addresses), port=self.port))

    def command(self):
        return ["dovecot", "-F", "-c", self.folder / "dovecot.conf"]


# --- our own ---------------------------------------------------------------------------------------


class MailStore(Server):
    """aiosmtpd, and what it was sent to the octet. It says that a message is stored delay_s later."""

    def __init__(self, lab, *addresses, delay_s=0, **more):
        super().__init__(lab, *addresses, **more)
        self.delay_s = delay_s

    def command(self):
        return [PYTHON, HERE / "mail_store.py", "--delay", self.delay_s, self.folder, self.port,
                *self.addresses]

    def paths(self):
        return sorted(self.folder.glob("*.eml"), key=number_of)

    def count(self):
        return len(self.paths())

    @staticmethod
    def message(path):
        about = json.loads(path.with_suffix(".json").read_text())
        return Message(path.read_bytes(), about["from"], about["to"], about["peer"])


class Hostile(Server):
    """hostile.py; its options are the plan."""

    def __init__(self, lab, *addresses, host="backend", port=None, **plan):
        super().__init__(lab, *addresses, host=host, port=port)
        self.first_plan = plan

    def prepare(self):
        self.plan(**self.first_plan)

    def plan(self, **plan):
        """How it behaves from now on."""
        unfinished = self.folder / "unfinished"
        unfinished.write_text(json.dumps(plan))
        unfinished.rename(self.folder / "plan.json")

    def command(self):
        return [PYTHON, HERE / "hostile.py", self.folder, self.port, *self.addresses]

    def events(self, kind=None):
        """What happened, in order; one that is being written has not happened yet."""
        with (self.folder / "journal").open(encoding="utf-8") as journal:
            all_events = [json.loads(line) for line in journal if line.endswith("\n")]
        return [event for event in all_events if kind in (None, event["event"])]

    def commands(self):
        return [event["line"] for event in self.events("command")]

    def count(self):
        return len(self.events("message"))

    def messages(self):
        return [Message(unstuffed((self.folder / event["file"]).read_bytes()), event["sender"],
                        event["recipients"], event["client"]) for event in self.events("message")]

    def heard(self):
        """Every octet of each connection."""
        return {number_of(path): path.read_bytes() for path in self.folder.glob("*.heard")}

    def open_at_once(self):
        """The most connections it ever had."""
        return max((event["open"] for event in self.events("open")), default=0)


def number_of(path):
    return int(path.stem)
