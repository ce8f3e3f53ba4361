"""Cases: verify and create, against libtorrent, mktorrent and what hashlib can do with two cores.

A program is run over the content and over almost none, one after the other; the difference is the rate, "MB/s", and the
whole of the first run "MB/s with start-up". The content was written just before and lies in memory (/dev/shm), so that
no disk is measured. What comes out is checked against hashes that were made one piece at a time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random

from anabranch.bencode import decode

from .case import BenchmarkFailed, Case, Contender, Reading, Target
from .local_run import measure, ours, script, without_libtorrent
from .program import installed

MIB = 1024 * 1024
GIB = 1024 * MIB
PIECE = MIB  # bytes
SMALL_FILE = 64 * 1024  # bytes, of the folder of many
VERSIONS = ("v1", "v2", "hybrid")
TOO_LITTLE = "the content takes no time"  # what a round fails with that was scaled down too far
BARE = "hashlib, two threads"
OF_BARE = {"v1": 0.75, "v2": 0.60, "hybrid": 0.60}

Command = Callable[[Path, Path], Sequence[str | Path]]  # (directory with the content, place to work in) -> what to run
Check = Callable[[Path, Path], None]  # (directory with the content, place worked in): raises BenchmarkFailed


def cases(scale: float) -> Sequence[Case]:
    """2 GiB in one file, and 1 GiB in files of 64 KiB."""
    length = max(round(2 * GIB * scale) // PIECE, 4) * PIECE
    files = max(round(GIB * scale) // SMALL_FILE, 16)
    found = [_verify(version, length) for version in VERSIONS]
    found.append(_verify_folder(files))
    found += [_create(version, length) for version in VERSIONS]
    return found


def _verify(version: str, length: int) -> Case:
    def verify(content: Path, place: Path) -> list[str]:
        return ours("verify", content / f"{version}.torrent", "-d", content, "--quiet")

    def recheck(content: Path, place: Path) -> list[str]:
        return script("local_rivals.py", "recheck", content / f"{version}.torrent", content)

    return Case(
        name=f"verify-{version}",
        title=f"Verify {length / GIB:.3g} GiB, {version}, pieces of 1 MiB",
        contenders=[
            Contender("anabranch", partial(_round, verify, length)),
            Contender("libtorrent", partial(_round, recheck, length), without_libtorrent()),
            _bare(version, length),
        ],
        targets=[Target("MB/s", OF_BARE[version], BARE), Target("MB/s", 0.95, "libtorrent")],
        prepare=partial(_prepare, length, torrents=(version,)),
    )


def _verify_folder(files: int) -> Case:
    length = files * SMALL_FILE

    def verify(content: Path, place: Path) -> list[str]:
        return ours("verify", content / "v1.torrent", "-d", content, "--quiet")

    def recheck(content: Path, place: Path) -> list[str]:
        return script("local_rivals.py", "recheck", content / "v1.torrent", content)

    def prepare(case: Path) -> None:
        for content, number in ((case / "large", files), (case / "small", 16)):
            for at, data in enumerate(_blocks(number, SMALL_FILE)):
                path = content / "content" / f"{at % 100:02}" / f"{at:06}.bin"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            _make(content, content / "content", "v1")

    return Case(
        name="verify-folder",
        title=f"Verify {files} files of 64 KiB, v1, pieces of 1 MiB",
        contenders=[
            Contender("anabranch", partial(_round, verify, length)),
            Contender("libtorrent", partial(_round, recheck, length), without_libtorrent()),
        ],
        targets=[Target("MB/s", 0.95, "libtorrent")],
        prepare=prepare,
    )


def _create(version: str, length: int) -> Case:
    def anabranch(content: Path, place: Path) -> list[str]:
        made = place / "made.torrent"
        return ours("create", content / "content.bin", "-o", made, "--piece-length", "1M", f"--{version}", "--quiet")

    def libtorrent(content: Path, place: Path) -> list[str]:
        return script("local_rivals.py", "create", content / "content.bin", place / "made.torrent", version, PIECE)

    def mktorrent(content: Path, place: Path) -> list[str | Path]:
        shift = str(PIECE.bit_length() - 1)
        return ["mktorrent", "-t", "2", "-l", shift, "-d", "-o", place / "made.torrent", content / "content.bin"]

    def check(content: Path, place: Path) -> None:
        made = place / "made.torrent"
        _compare(made.read_bytes(), content / "content.bin", version, length if content.name == "large" else PIECE)
        made.unlink()

    contenders = [
        Contender("anabranch", partial(_round, anabranch, length, check=check)),
        Contender("libtorrent", partial(_round, libtorrent, length, check=check), without_libtorrent()),
    ]
    targets = [Target("MB/s", OF_BARE[version], BARE), Target("MB/s", 0.95, "libtorrent")]
    if version == "v1":
        run = partial(_round, mktorrent, length, check=check)
        contenders.append(Contender("mktorrent -t 2", run, installed("mktorrent")))
        targets.append(Target("MB/s", 0.95, "mktorrent -t 2"))
    contenders.append(_bare(version, length))
    return Case(
        name=f"create-{version}",
        title=f"Create from {length / GIB:.3g} GiB, {version}, pieces of 1 MiB",
        contenders=contenders,
        targets=targets,
        prepare=partial(_prepare, length),
    )


def _bare(version: str, length: int) -> Contender:
    def hashing(content: Path, place: Path) -> list[str]:
        return script("local_rivals.py", "hash", content / "content.bin", version)

    return Contender(BARE, partial(_round, hashing, length))


def _round(command: Command, length: int, place: Path, *, check: Check | None = None) -> Reading:
    """Run it over almost nothing and over everything."""
    costs = []
    for name in ("small", "large"):
        content = place.parent / name
        costs.append(measure(command(content, place), place))
        if check is not None:
            check(content, place)
    small, large = costs
    hashing = large.seconds - small.seconds
    if hashing <= 0:
        raise BenchmarkFailed(f"{TOO_LITTLE}: {large.seconds:.3f} s with it and {small.seconds:.3f} s without")
    return Reading(
        {
            "MB/s": length / hashing / 1e6,
            "MB/s with start-up": length / large.seconds / 1e6,
            "CPU-s/GiB": (large.cpu_seconds - small.cpu_seconds) / (length / GIB),
            "start-up s": small.seconds,
            "peak RSS MiB": large.peak_mib,
        }
    )


# The content, and what is due.


def _blocks(number: int, length: int) -> Iterator[bytes]:
    """So many blocks, each different from all others from its first byte on."""
    block = bytearray(Random(number).randbytes(length))
    for at in range(number):
        block[:8] = at.to_bytes(8, "little")
        yield bytes(block)


def _prepare(length: int, case: Path, *, torrents: Sequence[str] = ()) -> None:
    """A large file and one of a piece, and .torrent files to verify them by."""
    for name, number in (("large", length // PIECE), ("small", 1)):
        content = case / name
        content.mkdir(parents=True)
        with (content / "content.bin").open("wb") as file:
            for block in _blocks(number, PIECE):
                file.write(block)
        for version in torrents:
            _make(content, content / "content.bin", version)


def _make(content: Path, source: Path, version: str) -> None:
    torrent = content / f"{version}.torrent"
    measure(ours("create", source, "-o", torrent, "--piece-length", "1M", f"--{version}", "--quiet"), content)


def _compare(torrent: bytes, source: Path, version: str, length: int) -> None:
    """What was made says of the content what is so. Raises BenchmarkFailed."""
    metainfo = decode(torrent)
    info = metainfo[b"info"] if isinstance(metainfo, dict) else None
    if not isinstance(info, dict):
        raise BenchmarkFailed("what was made is no torrent")
    pieces, root = _due(source, length)
    if (version != "v2") and info.get(b"pieces") != pieces:
        raise BenchmarkFailed("the piece hashes are wrong")
    if version != "v1" and _root(info) != root:
        raise BenchmarkFailed("the root of the hash tree is wrong")


def _root(info: Mapping[bytes, object]) -> object:
    found: object = info.get(b"file tree")
    for key in (b"content.bin", b"", b"pieces root"):
        found = found.get(key) if isinstance(found, dict) else None
    return found


_KNOWN: dict[tuple[str, int, int], tuple[bytes, bytes]] = {}  # path, length and inode -> what is due


def _due(source: Path, length: int) -> tuple[bytes, bytes]:
    """The SHA-1 of all pieces, and the root of the SHA-256 tree (BEP 52), made the plain way, once for a file."""
    key = (str(source), length, os.stat(source).st_ino)
    if key not in _KNOWN:
        pieces, leaves = [], []
        with source.open("rb") as file:
            while piece := file.read(PIECE):
                pieces.append(hashlib.sha1(piece, usedforsecurity=False).digest())
                leaves += [hashlib.sha256(piece[at : at + 16384]).digest() for at in range(0, len(piece), 16384)]
        leaves += [bytes(32)] * ((1 << (len(leaves) - 1).bit_length()) - len(leaves))
        while len(leaves) > 1:
            leaves = [hashlib.sha256(leaves[at] + leaves[at + 1]).digest() for at in range(0, len(leaves), 2)]
        _KNOWN[key] = b"".join(pieces), leaves[0]
    return _KNOWN[key]
