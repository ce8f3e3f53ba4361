"""One program and many: 1 seeder to 8 leechers, 8 seeders to 1, and 50 that give little at a time.

In a star: leechers do not know each other, so that what is measured is the one in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .case import Case, Contender, Reading
from .gauge import GIB, MIB
from .seats_libtorrent import MISSING as NO_LIBTORRENT
from .seats_libtorrent import Libtorrent
from .swarm import Swarm
from .transfer import LEECHERS, LIBTORRENT, OURS, SEEDERS, Player, at_least, content, job

MANY = 8
CROWD = 50
CROWD_HOSTS = [f"127.0.64.{number}" for number in range(1, CROWD + 1)]
SMALL_WINDOW = {"max_allowed_in_request_queue": 4, "aio_threads": 1, "hashing_threads": 1}  # 64 KiB asked for at a time


def star(player: Player, seeders: int, leechers: int) -> Contender:
    """So many of the same program on either side, in a process each."""

    def run(place: Path) -> Reading:
        what = job(place)
        return Swarm(
            [player.seat(what, place / f"seeder{n}", SEEDERS.format(n)) for n in range(1, seeders + 1)],
            [player.seat(what, place / f"leecher{n}", LEECHERS.format(n)) for n in range(1, leechers + 1)],
        ).run()

    return Contender(f"{player.name} -> {player.name}", run, player.missing)


def from_crowd(player: Player) -> Contender:
    """From libtorrent sessions in one process, who take few requests at a time."""

    def run(place: Path) -> Reading:
        what = job(place)
        crowd = Libtorrent(what, place / "seeder", CROWD_HOSTS[0], hosts=CROWD_HOSTS, settings=SMALL_WINDOW)
        return Swarm([crowd], [player.seat(what, place / "leecher", LEECHERS.format(1))]).run()

    return Contender(f"{CROWD} sessions -> {player.name}", run, NO_LIBTORRENT or player.missing)


def cases(scale: float) -> Sequence[Case]:
    """All of them; *scale* makes the content smaller."""
    return [
        Case(
            f"swarm-1-to-{MANY}",
            f"256 MiB, 1 seeder to {MANY} leechers",
            [star(player, 1, MANY) for player in (OURS, LIBTORRENT)],
            (at_least(2.0),),
            prepare=content(int(256 * MIB * scale), MIB),
        ),
        Case(
            f"swarm-{MANY}-to-1",
            f"1 GiB, {MANY} seeders to 1 leecher",
            [star(player, MANY, 1) for player in (OURS, LIBTORRENT)],
            (at_least(2.0),),
            prepare=content(int(GIB * scale), MIB),
        ),
        Case(
            f"swarm-{CROWD}-small-windows",
            f"256 MiB from {CROWD} peers that take 4 requests at a time",
            [from_crowd(player) for player in (OURS, LIBTORRENT)],
            prepare=content(int(256 * MIB * scale), MIB),
        ),
    ]
