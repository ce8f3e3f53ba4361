"""Cases: 10,000 torrents, one of 350,000 pieces, a user who asks all the time, and how soon a command answers.

What is done is in local_many.py, local_large.py and local_polled.py, each a process of its own; here is what they are
given, and what is due.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from statistics import median

from anabranch.bencode import encode

from .case import BenchmarkFailed, Case, Contender, Reading, Target
from .local_run import measure, ours, script, told, without_libtorrent
from .program import installed
from .seats import Job
from .seats_anabranch import Anabranch
from .usual import usual_torrent

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
STARTS = 10  # of a command in a round
POLLS = 500  # per second


def cases(scale: float) -> Sequence[Case]:
    """All of them; the numbers of torrents and pieces shrink with the scale."""
    return [
        _many(max(round(10_000 * scale), 50)),
        _large(max(round(350_000 * scale), 5_000)),
        _polled(max(round(2 * GIB * scale) // MIB, 256) * MIB),
        _help(),
        _show(),
    ]


def _many(count: int) -> Case:
    def run(who: str, place: Path) -> Reading:
        torrents = place.parent / "torrents"
        fresh = told(measure(script("local_many.py", who, "fresh", torrents, place), place))
        restored = told(measure(script("local_many.py", who, "restored", torrents, place), place))
        return Reading(
            {
                f"{stage} {name}": value
                for stage, values in (("added", fresh), ("restored", restored))
                for name, value in values.items()
            }
        )

    def prepare(case: Path) -> None:
        (case / "torrents").mkdir()
        for number in range(count):
            (case / "torrents" / f"{number:05}.torrent").write_bytes(usual_torrent(number))

    return Case(
        name="many-torrents",
        title=f"{count:,} idle torrents of 1-20 files and some 1,000 pieces, added and then restored by a new process",
        contenders=[
            Contender("anabranch", partial(run, "anabranch")),
            Contender("libtorrent", partial(run, "libtorrent"), without_libtorrent()),
        ],
        targets=[
            Target("added KiB each", 35, at_least=False),
            Target("restored KiB each", 35, at_least=False),
            Target("restored torrents/s", 2000),
            Target("added all stats ms", 50, at_least=False),
        ],
        prepare=prepare,
    )


def _large(pieces: int) -> Case:
    def run(who: str, place: Path) -> Reading:
        (place / "seed").symlink_to(place.parent / "seed")
        large, other = place.parent / "large.torrent", place.parent / "other.torrent"
        return Reading(told(measure(script("local_large.py", who, large, other, place), place)))

    def prepare(case: Path) -> None:
        hashes = Random(pieces).randbytes(20 * pieces)
        info = {b"name": b"large", b"length": pieces * MIB, b"piece length": MIB, b"pieces": hashes}
        (case / "large.torrent").write_bytes(encode({b"info": info}))
        _content(case / "seed" / "other.bin", GIB)
        measure(ours("create", case / "seed" / "other.bin", "-o", case / "other.torrent", "--quiet"), case)

    return Case(
        name="large-torrent",
        title=f"A torrent of {pieces:,} pieces is added and dropped while 20 peers send data of another",
        contenders=[
            Contender("anabranch", partial(run, "anabranch")),
            Contender("libtorrent, no peers", partial(run, "libtorrent"), without_libtorrent()),
        ],
        targets=[
            Target("add s", 2.0, at_least=False),
            Target("drop ms", 50, at_least=False),
            Target("longest turn ms", 50, at_least=False),
        ],
        prepare=prepare,
    )


def _polled(length: int) -> Case:
    def run(who: str, rate: int, place: Path) -> Reading:
        case = place.parent
        job = Job(case / "content.torrent", case / "content.bin")
        (place / "fetched").mkdir()
        with Anabranch(job, place / "seeder", "127.0.0.2") as seeder:
            seeder.seed()
            host, port = seeder.addresses[0]
            fetched = place / "fetched"
            words = script("local_polled.py", who, rate, case / "content.torrent", fetched, host, port)
            values = told(measure(words, place))
        with (case / "content.bin").open("rb") as due, (place / "fetched" / "content.bin").open("rb") as came:
            if hashlib.file_digest(due, "sha1").digest() != hashlib.file_digest(came, "sha1").digest():
                raise BenchmarkFailed("what came is not what was sent")
        return Reading(values)

    def prepare(case: Path) -> None:
        _content(case / "content.bin", length)
        torrent = case / "content.torrent"
        measure(ours("create", case / "content.bin", "-o", torrent, "--piece-length", "1M", "--quiet"), case)

    absent = without_libtorrent()
    return Case(
        name="polled",
        title=f"{POLLS} calls per second from a thread of the user while {length / GIB:.3g} GiB come from our seeder",
        contenders=[
            Contender("anabranch, polled", partial(run, "anabranch", POLLS)),
            Contender("anabranch, left alone", partial(run, "anabranch", 0)),
            Contender("libtorrent, polled", partial(run, "libtorrent", POLLS), absent),
            Contender("libtorrent, left alone", partial(run, "libtorrent", 0), absent),
        ],
        targets=[
            Target("median wait ms", 1.0, at_least=False),
            Target("p99 wait ms", 20.0, at_least=False),
            Target("MB/s", 0.9, "anabranch, left alone"),
        ],
        prepare=prepare,
    )


def _help() -> Case:
    return Case(
        name="start-help",
        title="How soon a command tells what it can do: --help",
        contenders=[
            Contender("anabranch --help", partial(_start, lambda case: ours("--help"))),
            Contender("aria2c --help", partial(_start, lambda case: ["aria2c", "--help"]), installed("aria2c")),
            Contender(
                "transmission-show --help",
                partial(_start, lambda case: ["transmission-show", "--help"]),
                installed("transmission-show"),
            ),
            Contender("python, nothing else", partial(_start, lambda case: script("local_rivals.py", "start"))),
            Contender(
                "python, import libtorrent",
                partial(_start, lambda case: script("local_rivals.py", "start", "libtorrent")),
                without_libtorrent(),
            ),
        ],
        targets=[Target("median s", 0.15, at_least=False)],
    )


def _show() -> Case:
    def prepare(case: Path) -> None:
        (case / "usual.torrent").write_bytes(usual_torrent(0))

    return Case(
        name="start-show",
        title="How soon a command tells what is in a .torrent file",
        contenders=[
            Contender("anabranch show", partial(_start, lambda case: ours("show", case / "usual.torrent"))),
            Contender(
                "transmission-show",
                partial(_start, lambda case: ["transmission-show", case / "usual.torrent"]),
                installed("transmission-show"),
            ),
            Contender(
                "aria2c --show-files",
                partial(_start, lambda case: ["aria2c", "--show-files", case / "usual.torrent"]),
                installed("aria2c"),
            ),
        ],
        targets=[Target("median s", 0.25, at_least=False)],
        prepare=prepare,
    )


def _start(command: Callable[[Path], Sequence[str | Path]], place: Path) -> Reading:
    costs = [measure(command(place.parent), place) for _ in range(STARTS)]
    return Reading(
        {
            "median s": median(cost.seconds for cost in costs),
            "best s": min(cost.seconds for cost in costs),
            "CPU s": median(cost.cpu_seconds for cost in costs),
        }
    )


def _content(path: Path, length: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    block = bytearray(Random(length).randbytes(MIB))
    with path.open("wb") as file:
        for at in range(length // MIB):
            block[:8] = at.to_bytes(8, "little")
            file.write(block)
