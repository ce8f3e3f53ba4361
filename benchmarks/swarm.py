"""One round of a transfer: seats are taken, bytes move, what that cost is measured, what came is compared.

What counts begins with the first payload at a leecher, for every program alike: when the kernel says that one of its
connections has received the length of a block (all that is said before is shorter), asked every 2 ms. So start-up,
checking, announcing and the timers that programs dial by do not count; nor do the bytes that were there when it was
seen, which are more where the machine is busy. It ends when every leecher says that it has all, written.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from .case import BenchmarkFailed, Reading
from .gauge import GIB, MIB, Address, Connection, Cpu, Memory, connections, cpu, memory
from .program import Program
from .seats import Seat

BLOCK = 16 * 1024  # bytes
SAMPLED_EVERY = 0.002  # seconds, until the first payload
WATCHED_EVERY = 0.05  # seconds, from then on: memory
FIRST_WITHIN = 60.0  # seconds: Transmission takes 11
COMPLETE_WITHIN = 300.0  # seconds


class Relay(Program):
    """relay.py before a seeder: whoever dials it is joined with the seeder, *delay* seconds away."""

    def __init__(self, place: Path, host: str, delay: float) -> None:
        super().__init__(place)
        self.address: Address = (host, 0)
        self._delay = delay

    def lead_to(self, target: Address) -> None:
        """Start. Comes back when it listens."""
        host, port = target
        self.start(
            sys.executable, Path(__file__).with_name("relay.py"), self.address[0], host, str(port), str(self._delay)
        )
        self.until(self._listens, 20, "listening")

    def hear(self, line: str) -> None:
        """As of every program."""
        if line.strip().isdecimal():
            self.address = (self.address[0], int(line))

    def _listens(self) -> bool:
        time.sleep(0.01)
        return self.address[1] != 0


class Swarm:
    """The seats of one round, in a star: every leecher with every seeder, and nobody else."""

    def __init__(self, seeders: Sequence[Seat], leechers: Sequence[Seat], relay: Relay | None = None) -> None:
        self.seeders = seeders
        self.leechers = leechers
        self.relay = relay
        self._peaks: dict[Program, Memory] = {}

    def run(self) -> Reading:
        """Do it once, and check what came.

        Raises:
            BenchmarkFailed: A program ended, took too long, or its data are wrong.
        """
        with ExitStack() as seated:
            for program in self._programs():
                seated.enter_context(program)
            launched = time.perf_counter()
            early = self._wait_first_payload(self._begin())
            first = time.perf_counter()
            before = {program: cpu(program.pid) for program in self._programs()}
            self._wait_complete(first + COMPLETE_WITHIN)
            complete = time.perf_counter()
            used = {program: cpu(program.pid) - before[program] for program in self._programs()}
            self._look()
        for leecher in self.leechers:
            leecher.check()
        moved = sum(leecher.job.length for leecher in self.leechers)
        if early > moved / 2:
            raise BenchmarkFailed(
                f"{early} of {moved} bytes had come when the first were seen: nothing is left to measure"
            )
        return self._reading(moved - early, first - launched, complete - first, used)

    def _programs(self) -> Sequence[Program]:
        return [*self.seeders, *self.leechers, *([self.relay] if self.relay else [])]

    def _begin(self) -> Callable[[Connection], bool]:
        """Start everything. Answers which connections are those of leechers."""
        if len(self.leechers) > 1 or not self.leechers[0].can_dial:  # all are up before the first one gets a byte
            for leecher in self.leechers:
                leecher.fetch(())
            listening = [address for leecher in self.leechers for address in leecher.addresses]
            for seeder in self.seeders:
                seeder.seed(listening)
            return lambda connection: connection.local in listening
        for seeder in self.seeders:
            seeder.seed()
        serving = [address for seeder in self.seeders for address in seeder.addresses]
        if self.relay:
            self.relay.lead_to(serving[0])
            serving = [self.relay.address]
        self.leechers[0].fetch(serving)
        return lambda connection: connection.remote in serving

    def _wait_first_payload(self, is_ours: Callable[[Connection], bool]) -> int:
        """Answers the bytes that have come by then."""
        deadline = time.monotonic() + FIRST_WITHIN
        while max(received := [one.received for one in connections() if is_ours(one)], default=0) < BLOCK:
            for program in self._programs():
                program.alive()
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"no payload within {FIRST_WITHIN:.0f} s")
            time.sleep(SAMPLED_EVERY)
        return sum(received)

    def _wait_complete(self, deadline: float) -> None:
        for leecher in self.leechers:
            while not leecher.wait_complete(WATCHED_EVERY):
                self._look()
                for program in self._programs():
                    program.alive()
                if time.perf_counter() > deadline:
                    raise BenchmarkFailed(f"not complete within {COMPLETE_WITHIN:.0f} s")

    def _look(self) -> None:
        for seat in (*self.seeders, *self.leechers):
            seen = memory(seat.pid)
            private = max(seen.private, self._peaks[seat].private) if seat in self._peaks else seen.private
            self._peaks[seat] = Memory(seen.peak, private)

    def _reading(self, moved: int, launch: float, seconds: float, used: Mapping[Program, Cpu]) -> Reading:
        """Of several seeders or leechers CPU time is told of all together, memory of the one that had most."""
        values = {"MB/s": moved / 1e6 / seconds, "seconds": seconds, "launch to payload s": launch}
        for role, seats in (("seeder", self.seeders), ("leecher", self.leechers)):
            values[f"{role} CPU-s/GiB"] = sum(used[seat].total for seat in seats) * GIB / moved
            values[f"{role} user-s/GiB"] = sum(used[seat].user for seat in seats) * GIB / moved
            values[f"{role} peak RSS MiB"] = max(self._peaks[seat].peak for seat in seats) / MIB
            values[f"{role} private MiB"] = max(self._peaks[seat].private for seat in seats) / MIB
        if self.relay:
            values["relay CPU-s/GiB"] = used[self.relay].total * GIB / moved
        return Reading(values)
