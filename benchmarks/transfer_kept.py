"""One seeder, one leecher, and what the leecher keeps its data in: each kind of storage beside plain files.

Targets: "Storage that never lies" (issue 6). "file" is the same work as in transfer.py; memory is part of the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from .case import Case, Contender, Reading, Target
from .gauge import GIB, MIB
from .seats_anabranch import Anabranch, Kept
from .seats_libtorrent import MISSING as NO_LIBTORRENT
from .seats_libtorrent import Libtorrent
from .swarm import Swarm
from .transfer import LEECHERS, SEEDERS, at_least, at_most, content, job


def kept(kind: str) -> Contender:
    """Ours to ours, into that kind of storage."""

    def run(place: Path) -> Reading:
        what = job(place)
        seeder = Anabranch(what, place / "seeder", SEEDERS.format(1))
        return Swarm([seeder], [Kept(what, place / "leecher", LEECHERS.format(1), kind)]).run()

    return Contender(kind, run)


def sent(kind: str) -> Contender:
    """Ours to ours, out of that kind of storage."""

    def run(place: Path) -> Reading:
        what = job(place)
        seeder = Anabranch(what, place / "seeder", SEEDERS.format(1), options=["--storage", kind])
        return Swarm([seeder], [Anabranch(what, place / "leecher", LEECHERS.format(1))]).run()

    return Contender(f"from {kind}", run)


def _libtorrent(place: Path) -> Reading:
    what = job(place)
    seat = partial(Libtorrent, what)
    return Swarm([seat(place / "seeder", SEEDERS.format(1))], [seat(place / "leecher", LEECHERS.format(1))]).run()


def cases(scale: float) -> Sequence[Case]:
    """Into each kind, and out of mapped files."""
    rival = Contender("libtorrent", _libtorrent, NO_LIBTORRENT)
    prepare: Callable[[Path], None] = content(int(GIB * scale), MIB)
    lean = [at_most("leecher peak RSS MiB", 200, of=kind) for kind in ("mmap", "sqlite", "cache")]
    fast: list[Target] = [
        at_least(0.95, "file", "mmap"),
        at_least(0.3, "file", "sqlite"),
        at_least(0.3, "file", "cache"),
    ]
    into = [*map(kept, ("file", "mmap", "sqlite", "cache", "memory")), rival]
    out = [sent("file"), sent("mmap")]
    cheap = at_most("seeder CPU-s/GiB", 1.0, "from file", "from mmap")
    return [
        Case(
            "storage-into", "1 GiB, pieces of 1 MiB, into each kind of storage", into, (*fast, *lean), prepare=prepare
        ),
        Case("storage-from", "1 GiB, pieces of 1 MiB, out of files and mapped files", out, (cheap,), prepare=prepare),
    ]
