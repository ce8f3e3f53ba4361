"""One seeder, one leecher: sizes of pieces, versions, RC4, latency; ours, rivals, and both together.

Targets: "Two and a half times libtorrent" (issue 4).
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .case import BenchmarkFailed, Case, Contender, Reading, Target
from .gauge import GIB, KIB, MIB
from .seats import Job, Seat
from .seats_anabranch import Anabranch
from .seats_aria2 import MISSING as NO_ARIA2
from .seats_aria2 import Aria2
from .seats_libtorrent import MISSING as NO_LIBTORRENT
from .seats_libtorrent import Libtorrent
from .seats_transmission import MISSING as NO_TRANSMISSION
from .seats_transmission import Transmission
from .swarm import Relay, Swarm

CONTENT, TORRENT = "content.bin", "content.torrent"
SEEDERS, LEECHERS, RELAY = "127.0.60.{}", "127.0.61.{}", "127.0.62.1"  # loopback addresses, one for each program

PAIR = "libtorrent -> libtorrent"
FROM_OURS, TO_OURS = "anabranch -> libtorrent", "libtorrent -> anabranch"


@dataclass(frozen=True)
class Player:
    """A program that can seed and leech."""

    name: str
    seat: Callable[[Job, Path, str], Seat]
    missing: str = ""


OURS = Player("anabranch", Anabranch)
LIBTORRENT = Player("libtorrent", Libtorrent, NO_LIBTORRENT)
ARIA2 = Player("aria2", Aria2, NO_ARIA2)
TRANSMISSION = Player("transmission", Transmission, NO_TRANSMISSION)


def content(length: int, piece_length: int, version: str = "v1") -> Callable[[Path], None]:
    """What makes a case's file of *length* random bytes, the same ones every time, and its torrent."""

    def prepare(place: Path) -> None:
        numbers = random.Random(length)
        with (place / CONTENT).open("wb", buffering=0) as file:
            for at in range(0, length, MIB):
                file.write(numbers.randbytes(min(MIB, length - at)))
        named = [str(place / CONTENT), "-o", str(place / TORRENT)]
        words = ["create", *named, "--piece-length", str(piece_length), f"--{version}"]
        made = subprocess.run([sys.executable, "-m", "anabranch", *words], capture_output=True, text=True, check=False)
        if made.returncode:
            raise BenchmarkFailed(f"anabranch create: {made.stderr.strip()}")

    return prepare


def job(place: Path, *, rc4: bool = False) -> Job:
    """What content() has made in the directory above that of a round."""
    return Job(place.parent / TORRENT, place.parent / CONTENT, rc4)


def pair(seeder: Player, leecher: Player, *, rc4: bool = False, delay: float = 0) -> Contender:
    """One seeder and one leecher, *delay* seconds apart."""

    def run(place: Path) -> Reading:
        what = job(place, rc4=rc4)
        relay = Relay(place / "relay", RELAY, delay) if delay else None
        seeders = [seeder.seat(what, place / "seeder", SEEDERS.format(1))]
        return Swarm(seeders, [leecher.seat(what, place / "leecher", LEECHERS.format(1))], relay).run()

    return Contender(f"{seeder.name} -> {leecher.name}", run, seeder.missing or leecher.missing)


def pairs(*players: Player, rc4: bool = False, delay: float = 0) -> list[Contender]:
    """Each with itself."""
    return [pair(player, player, rc4=rc4, delay=delay) for player in players]


def at_least(ratio: float, against: str = PAIR, of: str = "") -> Target:
    """So many times its MB/s."""
    return Target("MB/s", ratio, against, of=of)


def at_most(value: str, ratio: float, against: str = "", of: str = "") -> Target:
    """No more than that: of memory, or of CPU time."""
    return Target(value, ratio, against, at_least=False, of=of)


def cases(scale: float) -> Sequence[Case]:
    """All of them; *scale* makes the content smaller, not the pieces."""
    gib, small = int(GIB * scale), int(256 * MIB * scale)
    fast = (at_least(2.5), at_least(1.5, "aria2 -> aria2"))
    lean = (
        at_most("leecher peak RSS MiB", 150),
        at_most("leecher peak RSS MiB", 1.2, PAIR),
        at_most("seeder private MiB", 60),
    )
    cheap = (
        at_least(1.0, of=TO_OURS),
        at_least(1.0, of=FROM_OURS),
        at_most("leecher CPU-s/GiB", 0.9, PAIR, of=TO_OURS),
        at_most("seeder CPU-s/GiB", 0.4, PAIR, of=FROM_OURS),
    )
    plain = pairs(OURS, LIBTORRENT, ARIA2)
    mixed = [pair(LIBTORRENT, OURS), pair(OURS, LIBTORRENT), pair(LIBTORRENT, LIBTORRENT)]
    slow = [pair(OURS, TRANSMISSION), pair(TRANSMISSION, OURS)]
    slow += [pair(LIBTORRENT, TRANSMISSION), pair(TRANSMISSION, LIBTORRENT)]
    return [
        Case("transfer-1GiB-1MiB", "1 GiB, pieces of 1 MiB", plain, fast, prepare=content(gib, MIB)),
        Case("transfer-1GiB-256KiB", "1 GiB, pieces of 256 KiB", plain, prepare=content(gib, 256 * KIB)),
        Case("transfer-1GiB-4MiB", "1 GiB, pieces of 4 MiB", plain, prepare=content(gib, 4 * MIB)),
        Case("transfer-4GiB-1MiB", "4 GiB, pieces of 1 MiB", plain, lean, prepare=content(4 * gib, MIB)),
        Case("transfer-mixed", "1 GiB, from and to libtorrent", mixed, cheap, prepare=content(gib, MIB)),
        Case(
            "transfer-rc4",
            "1 GiB, all of it RC4",
            pairs(OURS, LIBTORRENT, ARIA2, rc4=True),
            (at_least(2.0),),
            prepare=content(gib, MIB),
        ),
        Case("transfer-v2", "1 GiB, v2", pairs(OURS, LIBTORRENT), (at_least(2.0),), prepare=content(gib, MIB, "v2")),
        Case(
            "transfer-hybrid",
            "1 GiB, v1 and v2 in one",
            pairs(OURS, LIBTORRENT),
            (at_least(2.0),),
            prepare=content(gib, MIB, "hybrid"),
        ),
        Case(
            "transfer-latency",
            "256 MiB, 20 ms away each way",
            pairs(OURS, LIBTORRENT, ARIA2, delay=0.02),
            prepare=content(small, MIB),
        ),
        Case("transfer-transmission", "64 MiB, from and to Transmission", slow, prepare=content(small // 4, MIB)),
    ]
