"""One nginx and one who fetches from it, without any peer: sizes of pieces, a folder, TLS, slow connections.

Targets: "Web seeds" (issue 7): twice libtorrent as it comes, and no less than aria2.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .case import BenchmarkFailed, Case, Contender, Reading
from .gauge import GIB, KIB, MIB
from .seats import Job, Seat
from .seats_aria2 import MISSING as NO_ARIA2
from .seats_libtorrent import MISSING as NO_LIBTORRENT
from .swarm import Swarm
from .transfer import LEECHERS, SEEDERS, TORRENT, at_least, content, job
from .webseed_seats import TunedLibtorrent, WebAnabranch, WebAria2, WebLibtorrent, named
from .webseed_server import MISSING as NO_NGINX
from .webseed_server import Nginx, authority

FOLDER, FILES = "content", 300
SLOW = 10 * MIB  # bytes per second that a connection of a slow server gives


@dataclass(frozen=True)
class Fetcher:
    """A program that knows web seeds; *seat* takes the file of a trusted authority, too."""

    name: str
    seat: Callable[[Job, Path, str, Path | None], Seat]
    missing: str = ""


ALL = (
    Fetcher("anabranch", WebAnabranch),
    Fetcher("libtorrent", WebLibtorrent, NO_LIBTORRENT),
    Fetcher("libtorrent-tuned", TunedLibtorrent, NO_LIBTORRENT),
    Fetcher("aria2", WebAria2, NO_ARIA2),
)


def fetching(fetcher: Fetcher, *, rate: int = 0, tls: bool = False) -> Contender:
    """Everything from one nginx; *rate* bytes per second for each connection."""

    def run(place: Path) -> Reading:
        host = SEEDERS.format(1)
        trusted = authority(place / "authority", host) if tls else None
        what = job(place)
        if not what.content.exists():
            what = replace(what, content=place.parent / FOLDER)
        server = Nginx(what, place / "server", host, rate=rate, authority=trusted)
        what = replace(what, torrent=named(what, server.url, place))
        believed = trusted.certificate if trusted is not None else None
        return Swarm([server], [fetcher.seat(what, place / "leecher", LEECHERS.format(1), believed)]).run()

    return Contender(fetcher.name, run, fetcher.missing or NO_NGINX)


def folder(length: int) -> Callable[[Path], None]:
    """What makes a folder of FILES files, with *length* random bytes in all, and its torrent."""

    def prepare(place: Path) -> None:
        draw = random.Random(length)
        mean = length // FILES
        left = length
        for number in range(FILES):
            file = place / FOLDER / f"part {number % 7}" / f"file {number:03}.bin"
            file.parent.mkdir(parents=True, exist_ok=True)
            size = left if number == FILES - 1 else draw.randrange(mean // 2, mean * 3 // 2)
            size = min(size, left)
            left -= size
            file.write_bytes(draw.randbytes(size))
        words = ["create", str(place / FOLDER), "-o", str(place / TORRENT), "--piece-length", str(MIB), "--v1"]
        made = subprocess.run([sys.executable, "-m", "anabranch", *words], capture_output=True, text=True, check=False)
        if made.returncode:
            raise BenchmarkFailed(f"anabranch create: {made.stderr.strip()}")

    return prepare


def cases(scale: float) -> Sequence[Case]:
    """All of them; *scale* makes the content smaller, not the pieces."""
    gib = int(GIB * scale)
    plain = [fetching(one) for one in ALL]
    fast = (at_least(2.0, "libtorrent"), at_least(1.0, "aria2"))
    return [
        Case("webseed-1MiB", "1 GiB from nginx, pieces of 1 MiB", plain, fast, prepare=content(gib, MIB)),
        Case("webseed-256KiB", "1 GiB from nginx, pieces of 256 KiB", plain, fast, prepare=content(gib, 256 * KIB)),
        Case("webseed-4MiB", "1 GiB from nginx, pieces of 4 MiB", plain, fast, prepare=content(gib, 4 * MIB)),
        Case("webseed-folder", f"512 MiB in {FILES} files from nginx", plain, fast, prepare=folder(gib // 2)),
        Case(
            "webseed-https",
            "1 GiB from nginx by TLS",
            [fetching(one, tls=True) for one in ALL],
            fast,
            prepare=content(gib, MIB),
        ),
        Case(
            "webseed-slow",
            f"512 MiB from nginx, {SLOW // MIB} MiB/s for each connection",
            [fetching(one, rate=SLOW) for one in ALL],
            (at_least(2.0, "libtorrent"),),
            prepare=content(gib // 2, MIB),
        ),
    ]
