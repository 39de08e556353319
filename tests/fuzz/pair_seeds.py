# SPDX-License-Identifier: BSD-3-Clause
"""Good and bad days of a wire between two of our TCPs, for fuzz_tcp_pair, in its words."""

V6, BOTH, COOKIE, NO_SACK, NO_TIMES, NARROW = (1 << n for n in range(2, 8))  # enum world
NUMBERS, MICROSECONDS, MILLISECONDS = 1, 2, 3                                # enum start

(DELIVER, DELIVER_ALL, DROP, COPY, TOO_BIG, TIME, HOLD, SEND, READ, READ_ALL, READ_NONE, SHUTDOWN, CLOSE, ABORT,
 BOTH_WAYS) = range(15)                                                      # enum what
OTHER, SILENT = 1 << 4, 1 << 5
NOW, SOON, LATER, LATE = (n << 6 for n in range(4))                          # 0, 1, 25 and 300 ms before the step
RACK, TLP, PRR, CUBIC = (1 << n for n in range(1, 5))                        # enum tcp_without
PLENTY = 0x55                                                                # 16 KiB windows and queues


class Wire:
    def __init__(self, world=0, sizes=PLENTY, without=0):
        self.octets = bytearray([world, sizes, without])
        self.end = 0

    def step(self, what, *octets, turn=NOW):
        self.octets += bytes([what | self.end | turn, *octets])
        return self

    def on(self, end):
        self.end = OTHER if end else 0
        return self

    def talk(self, rounds=1):
        """Frames go both ways, in 25 ms each round."""
        for _ in range(rounds):
            self.step(BOTH_WAYS, turn=LATER)
        return self

    def sends(self, octets, **more):
        """In multiples of 128."""
        return self.step(SEND, octets // 128, **more)

    def drops(self, *which):
        for i in which:
            self.step(DROP, i)
        return self

    def delivers(self, *which, turn=NOW):
        for i in which:
            self.step(DELIVER, i, turn=turn)
        return self

    def copies(self, *which):
        for i in which:
            self.step(COPY, i)
        return self

    def router(self, which, mtu):
        return self.step(TOO_BIG, which, (mtu - 576) // 4)

    def all(self, turn=LATER):
        return self.step(DELIVER_ALL, turn=turn)

    def buffers(self, n):
        return self.step(HOLD, 0, n)

    def frames(self, n):
        return self.step(HOLD, 1, n)

    def wait(self, us):
        shift = max(0, (us - 1).bit_length() - 8)
        return self.step(TIME, min(255, (us >> shift) - 1), shift)


def opened(world=0, **more):
    return Wire(world, **more).talk(2)


def wires(world):
    yield "talk", opened(world).sends(1280).talk().on(1).sends(2560).talk().step(SHUTDOWN).talk().on(0).step(SHUTDOWN)
    yield "open-lossy", Wire(world).drops(0).wait(1100000).all().on(1).drops(0).wait(1100000).on(0).copies(0).all()
    yield "lossy", opened(world).step(READ_ALL).sends(12800).drops(0).all().talk(2).sends(12800).drops(3, 3).all().talk(3)
    yield "lossy-back", opened(world).on(1).sends(12800).drops(2).all().drops(0).talk().on(0).step(READ_ALL).talk(3)
    yield "all-lost", opened(world).sends(6400).drops(*[0] * 8).wait(300000).drops(0, 0).wait(1000000).talk()
    yield "tail-lost", opened(world).sends(6400).drops(4, 3).all().talk().wait(100000).talk()
    yield "reordered", opened(world).sends(8960).delivers(3, 0, 4, 2, 1, turn=SOON).talk().on(1).sends(8960).delivers(
        5, 4, 3, 2, 1, 0).talk(2)
    yield "twice", opened(world).sends(6400).copies(0, 1, 2).all().talk().on(1).copies(0).talk()
    yield "narrow", opened(world).sends(12800).router(0, 1280).router(0, 1280).all().talk(2)
    yield "shut", opened(world).step(READ_NONE).on(1).step(READ_NONE).on(0).sends(32640).talk(3).on(1).sends(
        32640).talk(3).wait(1000000).talk().step(READ, 8).talk().step(READ, 60).talk(3).step(READ_ALL).talk()
    yield "tiny-windows", opened(world, sizes=0).sends(16000).talk(4).on(1).sends(16000).talk(4)
    yield "wide", opened(world, sizes=0xFF).on(1).step(READ_ALL).on(0).sends(32640).sends(32640).talk(6).drops(
        3, 5, 5).sends(32640).all().talk(5)
    yield "short-of-buffers", opened(world).on(1).buffers(0).on(0).sends(6400).talk(2).on(1).buffers(2).talk().on(
        0).buffers(0).sends(1280).talk().frames(0).talk().wait(1000000)
    yield "nothing-to-send-from", opened(world).buffers(0).sends(640).talk().on(1).buffers(0).talk()
    yield "closed", opened(world).sends(6400).on(1).sends(1280).step(CLOSE).talk(3).on(0).step(READ_ALL)
    yield "both-close", opened(world).sends(640).step(SHUTDOWN).on(1).sends(640).step(SHUTDOWN).talk(3)
    yield "fin-lost", opened(world).sends(640).step(SHUTDOWN).drops(0).on(1).step(CLOSE).drops(0).wait(400000)
    yield "aborted", opened(world).sends(6400).all().on(1).step(ABORT).talk(2)
    yield "late-again", opened(world).sends(1280).copies(0).step(SHUTDOWN).on(1).step(SHUTDOWN).talk(2).on(0).copies(0).wait(
        11000000).delivers(0)


def tcp_pair_seeds():
    for name, world in (("plain", 0), ("v6", V6 | NARROW), ("both", BOTH | NUMBERS), ("cookie", COOKIE),
                        ("no-sack", NO_SACK | MICROSECONDS), ("no-times", NO_TIMES | MILLISECONDS),
                        ("old", NO_SACK | NO_TIMES | NARROW), ("cookie-no-times", COOKIE | NO_TIMES)):
        for wire, talk in wires(world):
            yield f"{name}-{wire}", bytes(talk.octets)
    for without in (RACK, TLP, PRR | CUBIC):
        for wire, talk in wires(0):
            yield f"without{without}-{wire}", bytes([*talk.octets[:2], without, *talk.octets[3:]])
