"""Ten programs that all know each other, rate-limited: 4 seeders, 6 downloaders, ours and libtorrent's side by side.

What is asked is not how fast bytes can move but how they are shared out: whether ours get as much from strangers as
strangers do, and whether anybody is left behind. The lines are slow enough that no processor is ever busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import mean, median

from .case import BenchmarkFailed, Case, Contender, Reading, Target
from .gauge import MIB, Address, Connection, Cpu
from .program import Program
from .seats import Job, Seat
from .seats_anabranch import Anabranch
from .seats_libtorrent import MISSING as NO_LIBTORRENT
from .seats_libtorrent import Libtorrent
from .swarm import COMPLETE_WITHIN, WATCHED_EVERY, Swarm
from .transfer import LEECHERS, SEEDERS, content, job

UP, DOWN = 2 * MIB, 4 * MIB  # bytes per second; seeders have the same UP
LISTEN_WITHIN = 60.0  # seconds
RATIO = "ours / libtorrent's"
_LOOKED_EVERY = 0.01  # seconds: who has finished

Line = Callable[[Job, Path, str], Seat]


def ours(what: Job, place: Path, host: str) -> Seat:
    """anabranch behind such a line."""
    return Anabranch(what, place, host, options=("--limit-up", str(UP), "--limit-down", str(DOWN)))


def theirs(what: Job, place: Path, host: str) -> Seat:
    """libtorrent behind the same."""
    limits = {"upload_rate_limit": UP, "download_rate_limit": DOWN, "rate_limit_ip_overhead": False}
    return Libtorrent(what, place, host, settings=limits, as_strangers=True)


class Mesh(Swarm):
    """Everybody with everybody: each pair is told of each other once, by the one that came later."""

    def __init__(self, seeders: Sequence[Seat], leechers: Sequence[Seat]) -> None:
        super().__init__(seeders, leechers)
        self._finished: dict[Seat, float] = {}
        self._starters = ThreadPoolExecutor(len(seeders))

    def run(self) -> Reading:
        """As of every swarm."""
        with self._starters:  # until the end: a program dies with the thread that started it
            return super().run()

    def _begin(self) -> Callable[[Connection], bool]:
        """All leechers are up, and know each other, before the seeders come, all at once."""
        up: list[Address] = []
        for leecher in self.leechers:
            leecher.fetch(up)
            leecher.until(partial(_has_told, leecher), LISTEN_WITHIN, "listening")
            up += leecher.addresses
        list(self._starters.map(lambda seeder: seeder.seed(up), self.seeders))
        hosts = {leecher.host for leecher in self.leechers}
        return lambda connection: connection.local[0] in hosts

    def _wait_complete(self, deadline: float) -> None:
        looked = 0.0
        while len(self._finished) < len(self.leechers):
            for leecher in self.leechers:
                if leecher not in self._finished and leecher.wait_complete(0):
                    self._finished[leecher] = time.perf_counter()
            if time.perf_counter() > deadline:
                late = [leecher.host for leecher in self.leechers if leecher not in self._finished]
                raise BenchmarkFailed(f"{', '.join(late)}: not complete within {COMPLETE_WITHIN:.0f} s")
            if time.perf_counter() > looked + WATCHED_EVERY:
                looked = time.perf_counter()
                self._look()
            time.sleep(_LOOKED_EVERY)

    def _reading(self, moved: int, launch: float, seconds: float, used: Mapping[Program, Cpu]) -> Reading:
        """Seconds from the first payload until each had everything."""
        last = max(self._finished.values())
        took = {leecher: seconds - (last - at) for leecher, at in self._finished.items()}
        own = [time for leecher, time in took.items() if isinstance(leecher, Anabranch)]
        other = [time for leecher, time in took.items() if isinstance(leecher, Libtorrent)]
        values = {"mean s": mean(took.values()), "slowest / median": seconds / median(took.values())}
        if own and other:
            values |= {RATIO: mean(own) / mean(other), "ours mean s": mean(own), "libtorrent mean s": mean(other)}
        values["MB/s"] = moved / 1e6 / seconds
        return Reading(values)


def _has_told(seat: Seat) -> bool:
    """Whether it has told its port."""
    time.sleep(_LOOKED_EVERY)
    return seat.addresses[0][1] != 0


def mesh(name: str, seeders: Sequence[Line], leechers: Sequence[Line]) -> Contender:
    """These programs, in a process each."""

    def run(place: Path) -> Reading:
        what = job(place)
        return Mesh(
            [line(what, place / f"seeder{n}", SEEDERS.format(n)) for n, line in enumerate(seeders, 1)],
            [line(what, place / f"leecher{n}", LEECHERS.format(n)) for n, line in enumerate(leechers, 1)],
        ).run()

    return Contender(name, run, NO_LIBTORRENT if theirs in (*seeders, *leechers) else "")


def cases(scale: float) -> Sequence[Case]:
    """The one; *scale* makes the content smaller."""
    both = (theirs, ours)
    return [
        Case(
            "mixed-swarm",
            "48 MiB, 4 seeders and 6 downloaders, 2 MiB/s up and 4 MiB/s down each",
            [
                mesh("anabranch and libtorrent", both * 2, both * 3),
                mesh("anabranch alone", (ours,) * 4, (ours,) * 6),
                mesh("libtorrent alone", (theirs,) * 4, (theirs,) * 6),
            ],
            (
                Target(RATIO, 1.05, at_least=False),  # as fast, as far as rounds are alike
                Target("slowest / median", 1.6, at_least=False),
                Target("mean s", 1.0, "libtorrent alone", at_least=False),
            ),
            prepare=content(int(48 * MIB * scale), MIB // 4),
        )
    ]
