# SPDX-License-Identifier: BSD-3-Clause
"""Conversations for fuzz_tcp_input: what peers and owners do to each other on good days and bad ones.

A Talk is one input under construction, in the words of fuzz_tcp_input.c: the world, then steps. The peer's
numbers are those it would send next unless an offset says otherwise (far ones in steps of 64); ACKs and SACK
blocks count back from the last number tcp has sent.
"""

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ON_TRUST = 128

V6, SMALL, COOKIES, WIDE, IDLE, LIMITS = (1 << n for n in range(2, 8))  # enum world
PLAIN, NUMBERS, MICROSECONDS, MILLISECONDS = range(4)                   # enum start
SACK, RACK, TLP, PRR, CUBIC = (1 << n for n in range(5))                # enum tcp_without

WAIT, ACT, ACT_ON_NEWS, ERROR, HOLD, SEGMENT, CHAIN = 0, 1, 2, 4, 5, 6, 13  # enum what
BURST, SILENT = 1 << 4, 1 << 5                                  # enum turn
NOW, SOON, LATER, LATE = (n << 6 for n in range(4))             # 0, 1, 25 and 300 ms before the step

TOO_BIG, UNREACHABLE, REFUSED = 0, 1, 3                         # of a router's errors
ACTIVE, CLOSED_PORT = 3, 5                                      # flows; 0 to 2 are passive ones
SEND, CONSUME, SHUTDOWN, CLOSE, ABORT = 0, 96, 192, 224, 250    # the second octet of an act
MSS = 1000


def near(offset):
    if offset == 0:
        return b"\0"
    if -128 <= offset < 128:
        return bytes([96, offset & 0xFF])
    if -32768 <= offset < 32768:
        return bytes([160]) + (offset & 0xFFFF).to_bytes(2, "big")
    return bytes([208]) + (offset // 64 & 0xFFFF).to_bytes(2, "big")


class Talk:
    def __init__(self, world=0, without=0, patience_s=0):
        self.octets = bytearray([world, without, patience_s])
        self.flow = 0
        self.times = False

    def step(self, what, *octets, turn=NOW):
        self.octets += bytes([what | turn, *octets])
        return self

    def wait(self, us):
        """About so long."""
        shift = max(0, (us - 1).bit_length() - 8)
        return self.step(WAIT, min(255, (us >> shift) - 1), shift)

    # --- the peer

    def on(self, flow):
        self.flow = flow
        return self

    def send(self, octets=0, flags=ACK, seq=0, ack=0, window=65024, blocks=(), turn=NOW, chain=False, time=0,
             spoilt=None):
        payload = octets if octets < 128 else 128 + octets // 11
        self.step(CHAIN if chain else SEGMENT, self.flow, payload, flags, turn=turn)
        self.octets += near(seq) + near(ack)
        self.octets.append(window >> 9 if window >= 2048 or window == 0 else 128 + (window >> 4))
        self.octets.append(self.times | len(blocks) << 1 | (spoilt is not None) << 7)
        if self.times:
            self.octets += near(time) + near(0)
        for start, end in blocks:
            self.octets += near(start) + near(end)
        if spoilt is not None:
            self.octets += bytes(spoilt)
        return self

    def syn(self, flags=SYN, mss=MSS, sack=True, wscale=None, times=False, seq=0, ack=0, turn=NOW):
        self.times = times
        self.step(SEGMENT, self.flow, 0, flags, turn=turn)
        self.octets += near(seq) + near(ack) + b"\x7f"
        self.octets.append(times | sack << 1 | (wscale is not None) << 2 | (mss is not None) << 3
                           | (wscale or 0) // 2 << 4)
        if times:
            self.octets += near(0) + near(0)
        if mss is not None:
            self.octets.append(mss >> 3)
        return self

    def opens(self, **options):
        return self.syn(**options).send(turn=LATER)

    def acks(self, back=0, **more):
        return self.send(ack=-back, turn=more.pop("turn", LATER), **more)

    def fin(self, **more):
        return self.send(flags=FIN | ACK, **more)

    def router(self, mtu, seq=0, kind=TOO_BIG):
        self.step(ERROR, self.flow, kind, mtu >> 3)
        self.octets += near(seq)
        return self

    # --- the owner

    def act(self, how, *octets, turn=NOW):
        return self.step(ACT, self.flow, how, *octets, turn=turn)

    def on_news(self):
        """The next act is done while its owner looks at some connection's news."""
        return self.step(ACT_ON_NEWS)

    def says(self, octets, turn=NOW):
        """In multiples of 64."""
        return self.act(SEND, octets // 64, turn=turn)

    def reads(self, octets):
        return self.act(CONSUME, octets // 64)

    def connects(self):
        return self.act(SEND)

    def buffers(self, n):
        return self.step(HOLD, 0, n)

    def frames(self, n):
        return self.step(HOLD, 1, n)


def flight(segments, world=0, **options):
    """So many segments are under way, and the round trip is known to be 25 ms."""
    return Talk(world).opens(**options).says(segments * MSS)


def active_flight(segments, world=0, **options):
    """The same on a connection tcp opened, which grows by CUBIC."""
    return Talk(world).on(ACTIVE).connects().syn(flags=SYN | ACK, turn=LATER, **options).says(segments * MSS)


def openings():
    yield "all-options", Talk().opens(wscale=8, times=True)
    yield "no-options", Talk().opens(sack=False, mss=None)
    yield "small-mss", Talk().opens(mss=8).says(1024).acks()
    yield "syn-again", Talk().syn().syn(seq=-1, turn=LATE).send()
    yield "other-syn", Talk().syn().syn(seq=77).send()
    yield "nobody-answers", Talk().syn().wait(1100000).wait(2200000).wait(4400000).wait(9000000).wait(
        17000000).wait(33000000).wait(70000000)
    yield "wrong-third-ack", Talk().syn().send(ack=5).send()
    yield "on-trust", Talk().syn(flags=SYN | ON_TRUST, turn=BURST).on(1).syn(turn=BURST).on(2).syn(
        flags=SYN | ON_TRUST).send(flags=ACK | ON_TRUST).on(0).send(20, flags=ACK | ON_TRUST)
    yield "reset-at-once", Talk().syn().send(flags=RST)
    yield "data-on-third-ack", Talk().syn().send(100).reads(128)
    yield "closed-port", Talk().on(CLOSED_PORT).syn().send().send(flags=RST).send(10, flags=FIN)
    yield "flags", Talk().send(flags=SYN | FIN).send(flags=SYN | RST).send(flags=FIN).send(flags=0).opens().send(
        flags=FIN | RST | ACK)
    yield "we-open", Talk().on(ACTIVE).connects().syn(flags=SYN | ACK, times=True, wscale=6, turn=LATER).says(640).acks(
    ).fin().act(CLOSE).acks()
    yield "we-open-twice", Talk().on(ACTIVE).connects().on(ACTIVE + 1).connects().syn(flags=SYN | ACK).on(ACTIVE).syn(
        flags=SYN | ACK).act(ABORT).on(ACTIVE + 1).act(CLOSE).fin()
    yield "refused", Talk().on(ACTIVE).connects().send(flags=RST | ACK)
    yield "refused-by-a-router", Talk().on(ACTIVE).connects().router(0, kind=REFUSED)
    yield "not-reached", Talk().on(ACTIVE).connects().router(0, kind=UNREACHABLE).syn(flags=SYN | ACK)
    yield "bad-synack", Talk().on(ACTIVE).connects().syn(flags=SYN | ACK, ack=9).send(flags=RST).send().syn(
        flags=SYN | ACK)
    yield "both-open", Talk().on(ACTIVE).connects().syn(seq=0).syn(flags=SYN | ACK, seq=-1, turn=LATER).says(64).acks()
    yield "both-open-with-data", Talk().on(ACTIVE).connects().syn().send(50, flags=SYN | ACK, seq=-1).act(SHUTDOWN)
    yield "shut-before-open", Talk().on(ACTIVE).connects().act(SHUTDOWN).syn(flags=SYN | ACK).fin().acks()
    yield "no-synack", Talk().on(ACTIVE).connects().wait(1100000).wait(2200000).act(CLOSE)


def cookies():
    for name, options in (("times", {"times": True, "wscale": 8}), ("plain", {}), ("sackless", {"sack": False, "times": True})):
        yield name, Talk(COOKIES).on(1).syn().on(0).syn(**options).send(turn=LATER).send(100, turn=LATER).says(
            2048).acks().fin().act(CLOSE).acks()
    yield "late", Talk(COOKIES).on(1).syn().on(0).syn().wait(17000000).send().on(2).syn().wait(64000000).send()
    yield "wrong", Talk(COOKIES).on(1).syn().on(0).syn().send(ack=1).send(seq=1).send(flags=RST).send(20)
    yield "table-full", Talk(SMALL).opens().on(1).opens().on(2).syn(times=True).send(30).on(0).act(ABORT).on(2).send(
        30).on(ACTIVE).connects()
    yield "small-mss", Talk(COOKIES).on(1).syn().on(0).syn(mss=8).send(turn=LATER).says(640)
    yield "no-mss", Talk(COOKIES).on(1).syn().on(0).syn(mss=None).send(turn=LATER).says(640)
    yield "no-sack", Talk(COOKIES, SACK).on(1).syn().on(0).syn(times=True).send(turn=LATER).says(640)
    yield "flood", Talk(COOKIES | V6).on(0).syn().on(1).syn().on(2).syn().syn(seq=100).syn(seq=200).send()


def receiving():
    yield "in-order", Talk().opens().send(500).send(1001).reads(640).send(300, flags=ACK | PSH, turn=LATE).reads(2048)
    yield "chained", Talk().opens().send(1001, chain=True).send(1001, seq=500, chain=True).send(500, chain=True).reads(4096)
    yield "gap", Talk().opens().send(500, seq=500).send(500).reads(1024)
    yield "gaps", Talk().opens().send(100, seq=200).send(100, seq=600).send(100, seq=400).send(100, seq=100).send(
        100).send(700)
    yield "overlaps", Talk().opens().send(500, seq=700).send(900, seq=300).send(55, seq=2000).send(1397, seq=-200).send(
        1397).send(1397)
    yield "pages", Talk().opens().send(1397, seq=5000).send(1397, seq=2000).send(1397, seq=3300).send(
        1397, seq=1397).send(1397).reads(8192).send(1397).reads(8192)
    many = Talk().opens()
    for n in range(34):
        many.send(20, seq=40 * n + 40)
    yield "many-gaps", many.send(100).send(1397)
    yield "chained-gap", Talk().opens().send(1397, seq=1000, chain=True).send(1001, chain=True).reads(4096)
    yield "twice", Talk().opens().send(500).send(500, seq=-500).send(10, seq=-700).send(800, seq=-100)
    shut = Talk().opens()
    for _ in range(13):
        shut.send(1397, turn=SOON)
    yield "shut", shut.send(10).send(0).reads(1024).reads(8192).send(1397).reads(16000)
    yield "beyond-window", Talk().opens().send(100, seq=30000).send(0, seq=30000).send(1397, seq=16000)
    yield "burst", Talk().opens().send(100, turn=BURST).send(100, seq=300, turn=BURST).send(100, seq=500, turn=BURST).send(
        100, turn=BURST).send(100, seq=-100, turn=BURST).send(1001, turn=BURST).fin(turn=SILENT).says(64)
    yield "delayed-ack", Talk().opens().send(100).wait(50000).send(100).says(64).wait(50000)
    yield "wide", Talk(WIDE).opens(wscale=8, times=True).send(1397).send(1397, seq=30000).send(1397, seq=-20000).reads(2048)


def sending():
    yield "in-order", flight(8, times=True).acks(4000).acks(2000).acks().says(16000).acks().acks()
    yield "small-window", Talk().opens().send(window=512).says(8000).acks(window=1024).acks(window=1500).wait(
        1100000).acks(window=0).wait(1000000).acks()
    yield "window-shuts", Talk().opens().send(window=0).says(1024).wait(300000).wait(600000).wait(1200000).acks(
        window=0).wait(5000000).acks(window=4096).acks()
    yield "window-never-opens", Talk().opens().send(window=0).says(64).wait(10000000).wait(60000000).wait(60000000).wait(
        60000000).wait(60000000).wait(60000000).wait(60000000).wait(60000000).wait(60000000).wait(60000000)
    yield "window-shrinks", flight(4).acks(3000, window=512).acks(2000, window=0).wait(400000).acks(window=0).says(
        640).wait(900000).acks()
    yield "queue-full", Talk().opens().says(16000).says(16000).says(16000).acks().acks().acks()
    yield "narrow-path", flight(8).router(600).acks(4000).acks()
    yield "narrow-path-6", flight(8, world=V6, mss=1400).router(1280).acks(4000).acks()
    yield "path-unchanged", flight(8).router(1496).router(600, seq=9999).router(600, kind=UNREACHABLE).router(0).acks()
    yield "no-mtu-told", flight(4).router(0).acks()
    grows = Talk(WIDE).opens(mss=216, wscale=8, times=True).says(16320).says(16320)
    for _ in range(34):
        grows.acks(1000, turn=SOON)
    yield "scoreboard-grows", grows.says(16320).says(16320).acks(15000, blocks=((-5000, -3000),)).router(576).wait(
        900000).acks(14000).acks(10000).acks()
    full = Talk(WIDE).opens(mss=256, wscale=8, sack=False)
    for n in range(270):
        if n % 12 == 0:
            full.says(63 * 256)
        full.acks(10 * 256 + (n - 1) * 512, turn=NOW)  # of two segments, so that two more are under way
    yield "scoreboard-full", full.router(576).wait(1100000).acks(20000).acks(10000).acks()
    yield "ack-of-parts", flight(8).acks(7900).acks(6500).acks(10).acks()
    yield "urgent", flight(2).send(50, flags=ACK | URG | PSH).acks(flags=ACK | 0x80)


def losses(flight=flight):
    yield "first-lost", flight(8).acks(8000, blocks=((-7000, -4000),)).acks()
    yield "three-holes", flight(8).acks(8000, blocks=((-1000, 0), (-5000, -3000), (-7000, -6000))).acks(2000).acks()
    yield "late", flight(8).acks(8000, blocks=((-7000, -5000),)).wait(7000).acks(5000).acks(
        5000, blocks=((-4000, 0),)).wait(7000).acks()
    yield "again-lost", flight(8, times=True).acks(7904, blocks=((-6916, -3952),)).acks(
        7904, blocks=((-6916, 0),)).says(2048).acks(9880, blocks=((-8892, 0),)).wait(300000).acks()
    yield "duplicates-told", flight(8).acks(8000, blocks=((-7000, -4000),)).acks(4000, blocks=((-8000, -7000),)).acks(
        blocks=((-8000, -7000),)).says(8000).acks(7000, blocks=((-8000, -7000), (-6000, -5000)))
    yield "duplicate-within", flight(8).acks(8000, blocks=((-6000, -5000), (-7000, -4000)))
    yield "bad-blocks", flight(8).acks(8000, blocks=((5000, 9000), (-1000, -2000), (-9500, -9000))).acks()
    yield "tail", flight(3).acks(2000).wait(60000).wait(300000).acks()
    yield "tail-of-one", flight(1).wait(300000).acks()
    yield "tail-told-twice", flight(3).acks(1000).wait(300000).acks(blocks=((-1000, 0),)).says(640).acks()
    yield "tail-with-more", flight(12).acks(9000).wait(60000).acks(8000).wait(60000).acks()
    yield "timeout", flight(8).wait(1100000).acks(7000).acks(5000).acks()
    yield "timeouts", flight(8).wait(1100000).wait(2200000).wait(4400000).acks(7000).acks(5000).acks(2000).acks()
    yield "given-up", flight(1).wait(400000).wait(1000000).wait(2000000).wait(4000000).wait(8000000).wait(
        16000000).wait(32000000).wait(64000000).wait(64000000).wait(64000000).wait(64000000)
    yield "taken-back", flight(8).acks(8000, blocks=((-8000, -7000),)).acks(8000, blocks=((-8000, -6000),)).wait(
        1100000).acks(7000).acks()
    yield "lost-in-timeout", flight(8).acks(8000, blocks=((-7000, -6000),)).wait(1100000).acks(
        7000, blocks=((-5000, -4000),)).acks(4000, blocks=((-3000, 0),)).acks()
    sackless = flight(8, sack=False)
    yield "sackless", sackless.acks(8000).acks(8000).acks(8000).acks(8000).acks(6000).acks(4000).acks()
    yield "sackless-timeout", flight(8, sack=False).acks(8000).acks(8000).acks(8000).wait(1100000).acks(7000).acks(
        6000).acks(6000).acks()
    yield "old-echo", flight(8, times=True).send(50, time=-5000).acks(time=5).acks(time=-1)
    yield "reordering-grows", flight(8).acks(8000, blocks=((-7000, -6000),)).acks(6000).acks(
        6000, blocks=((-5000, -4000),)).acks(4000).says(4096).acks(6000, blocks=((-9000, -8000),)).acks()
    yield "fin-lost", flight(2).act(SHUTDOWN).acks(1).wait(60000).wait(1100000).acks()
    yield "fin-split", flight(3).act(SHUTDOWN).router(600).acks(3001).acks(1)


def closings():
    yield "peer-first", Talk().opens().send(100).fin().reads(128).says(64).acks().act(SHUTDOWN).acks()
    yield "we-first", Talk().opens().says(64).act(SHUTDOWN).acks().send(100).fin().wait(5000000).fin(seq=-1).wait(11000000)
    yield "both", Talk().opens().act(SHUTDOWN).fin(ack=-1).acks().wait(11000000)
    yield "fin-ahead", Talk().opens().fin(seq=200).send(200).reads(256)
    yield "fin-with-bytes", Talk().opens().fin(octets=300).reads(320).act(CLOSE).acks()
    yield "fin-with-bytes-ahead", Talk().opens().fin(octets=300, seq=100).send(50).send(50)
    yield "fin-again", Talk().opens().fin().fin(seq=-1).send(40, seq=-41).act(SHUTDOWN).acks()
    yield "fin-acked", Talk().opens().act(SHUTDOWN).fin()
    yield "unread", Talk().opens().send(500).act(SHUTDOWN).acks().fin().reads(128).reads(512).wait(11000000)
    yield "unread-last-ack", Talk().opens().send(500).fin().act(SHUTDOWN).acks().reads(512)
    yield "orphan", flight(4).act(CLOSE).send(100).send(100, seq=200).send(100).acks(2000).acks().send(100)
    yield "orphan-waits", flight(1).act(CLOSE).acks().wait(21000000)
    yield "orphan-unread", Talk().opens().send(500).says(640).act(CLOSE).acks().fin().wait(11000000)
    yield "orphan-shut", Talk().opens().send(window=0).says(640).act(CLOSE).wait(120000000).wait(130000000)
    yield "orphan-of-orphan", Talk().opens().fin().act(CLOSE).wait(1100000).acks()
    yield "closed-waiting", Talk().opens().act(SHUTDOWN).acks().act(CLOSE).wait(21000000)
    yield "reopened", Talk().opens().act(CLOSE).fin().syn(seq=5000).send(30).act(CLOSE).fin().syn(seq=-5000)
    yield "reopened-by-time", Talk().opens(times=True).act(CLOSE).fin().wait(2000000).syn(times=True, seq=-9000).send(20)
    yield "time-wait", Talk().opens().act(CLOSE).fin().send(50).send(flags=RST).fin(seq=-1).send(flags=SYN | ACK)
    yield "reset", Talk().opens().send(100).send(flags=RST, seq=5).send(flags=RST, seq=-5).send(flags=RST)
    yield "reset-beyond", Talk().opens().send(flags=RST, seq=20000).send(flags=RST | ACK)
    yield "abort", flight(4).act(ABORT).acks(2000).acks()
    yield "abort-unread", Talk().opens().send(300).act(ABORT)
    yield "abort-closing", Talk().opens().fin().act(SHUTDOWN).act(ABORT)
    yield "on-news", Talk().opens().on(1).opens().on_news().on(0).act(CLOSE).on(1).send(100).on_news().on(1).says(
        640).send(100).on_news().on(1).act(ABORT).on(2).opens()
    yield "idle", Talk(IDLE).opens().wait(60000000).send(20).wait(60000000).wait(60000000)


def attacks():
    yield "syn", Talk().opens().syn(seq=500).syn(seq=-1).wait(100000).syn()
    yield "acks", flight(2).send(ack=5000).send(ack=-30000).wait(100000).send(20, ack=70000)
    yield "old-time", Talk().opens(times=True).send(30, time=-100).send(30, time=100).send(30, time=50).wait(
        100000).send(30)
    yield "very-old-time", Talk().opens(times=True).send(30).wait(25 * 86400 * 1000000).send(30, time=-5)
    yield "options", Talk().opens().send(spoilt=(10, 2, 5, 180, 3, 7, 4, 5 | 1 << 4, *range(16), 11)).send(
        spoilt=(3, 8, 0, 0, 0, 1, 0, 0, 0, 1, 1)).send(spoilt=(2, 3 | 3 << 6, 0)).send(spoilt=(10, 14 | 3 << 6, 30))
    yield "option-lengths", Talk().opens().send(spoilt=(3, 2 | 1 << 6, 5, 180, 0, 3 | 2 << 6, 4 | 1 << 6, 0)).send(
        spoilt=(6, 5 | 1 << 6, *range(9), 8 | 2 << 6, *range(7)))
    for kind, octets in ((2, 2), (3, 1), (4, 0), (5, 8), (5 | 1 << 4, 16), (8, 8), (14, 1)):
        words = (2 + octets + 3) // 4
        for where, pushed in (("at", 0), ("beyond", 1)):
            padding = [1] * (4 * words - 2 - octets + pushed)
            yield f"option-{kind}-{where}-the-end", Talk().opens().send(
                spoilt=(words, *padding, kind, *range(octets - pushed)))
    too_long, too_short, any_length = 1 << 6, 2 << 6, 3 << 6
    for name, words, octets in (
        ("none-behind-an-end", 1, (1, 0, 1, 1)), ("of-one-octet", 1, (4 | too_short, 1, 1)),
        ("sack-too-short", 3, (5 | too_short, *range(7), 1, 1, 1)), ("sack-odd", 3, (5 | too_long, *range(9), 1)),
        ("sack-too-long", 9, (5 | any_length, 36, *range(34))), ("times-too-long", 3, (8 | too_long, *range(9), 1)),
    ):
        yield f"option-{name}", Talk().opens().send(spoilt=(words, *octets))
    yield "syn-options", Talk().send(flags=SYN, spoilt=(5, 2, 5, 180, 4, 8, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 14)).send()


def shortages():
    yield "no-buffers", Talk().opens().buffers(0).send(100).send(100).says(640).wait(250000).buffers(4).send(100).says(
        16000).reads(64).buffers(255).send(100).reads(1024).acks()
    yield "no-frames", Talk().opens().frames(0).send(100).says(4096).wait(100000).wait(1000000).frames(1).wait(
        2000000).frames(255).wait(4000000).acks()
    yield "no-frames-open", Talk().frames(0).syn().wait(1100000).frames(255).wait(2200000).send()
    yield "gaps-without-buffers", Talk().opens().send(1397, seq=2000).send(1397, seq=6000).buffers(0).send(1397).send(
        1397).send(1397).buffers(255).send(1397).send(1397)
    yield "in-place", Talk().opens().buffers(0).send(1397).send(1397).buffers(1).send(1397).reads(640).buffers(
        255).send(1397).reads(8192)
    yield "reserve", Talk().opens().buffers(60).send(1397, seq=2000).buffers(70).send(1397, seq=2000)
    yield "closing", flight(4).frames(0).act(SHUTDOWN).fin().frames(255).wait(1100000).acks()


def limits():
    yield "of-open", Talk(LIMITS).opens().on(1).opens().on(2).syn().on(1).act(ABORT).on(2).syn().send()
    yield "of-networks", Talk(LIMITS | V6).opens().on(1).opens().on(2).syn()
    yield "of-half-open", Talk(LIMITS).syn().on(1).syn().on(2).syn().send(20).on(0).send(flags=RST)
    yield "ends", Talk(LIMITS | IDLE).opens().act(CLOSE).fin().on(1).opens().wait(101000000).on(2).opens().fin()
    full = Talk()
    for flow in range(3):
        full.on(flow).opens().act(CLOSE).fin()
    yield "of-patience", Talk(patience_s=5).opens().send(window=0).says(640).wait(1000000).acks(window=0).wait(
        6000000).on(1).syn().wait(6000000)
    yield "of-time-waits", full.fin(seq=-1).on(0).fin(seq=-1).on(1).fin(seq=-1).wait(11000000)


def reuse():
    for name, times, wait in (("by-time", True, 2000000), ("by-numbers", False, 2000000), ("too-soon", False, 100)):
        talk = Talk()
        for flow in (ACTIVE, ACTIVE + 1):
            talk.on(flow).connects().syn(flags=SYN | ACK, times=times).says(640).acks().act(CLOSE).fin(turn=LATER)
        talk.wait(wait)
        for flow in (ACTIVE, ACTIVE + 1):
            talk.on(flow).connects().send(5).syn(flags=SYN | ACK, times=times, seq=5000)
        yield name, talk


def found():
    """What once failed, in words that outlive the meaning of octets."""
    yield "bytes-beyond-a-fin", Talk().opens().send(81, seq=90).send(72, seq=172).buffers(0).fin(octets=90)
    yield "third-ack-before-our-syn", Talk().syn().send(flags=RST).syn(turn=BURST).send().says(640)
    talk = Talk()
    for flow in (ACTIVE, ACTIVE + 1):
        talk.on(flow).connects().send(flags=RST | ACK)
    yield "answer-before-our-syn", talk.on(ACTIVE).act(SEND, turn=SILENT).syn(flags=SYN | ACK).says(640).wait(1100000)


def tcp_input_seeds():
    for topic in (found, openings, cookies, receiving, sending, losses, closings, attacks, shortages, limits, reuse):
        for name, talk in topic():
            yield f"{topic.__name__}-{name}", bytes(talk.octets)
    for name, talk in losses(active_flight):
        yield f"active-{name}", bytes(talk.octets)
    # The same where clocks wrap, over IPv6, and with parts left out.
    for start, without in ((NUMBERS, 0), (MICROSECONDS, 0), (MILLISECONDS | V6, 0), (0, RACK), (0, SACK | PRR | CUBIC)):
        for topic in (losses, closings):
            for name, talk in topic():
                yield (f"{topic.__name__}-{name}-{start}-{without}",
                       bytes([talk.octets[0] | start, without, *talk.octets[2:]]))
