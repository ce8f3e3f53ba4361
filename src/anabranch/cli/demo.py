"""`anabranch demo`: two of our own programs share made-up files over loopback, and the result is proved.

The programs are `anabranch seed` and `anabranch download` as anybody runs them; what they tell comes from their --json.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anabranch.metainfo import Metainfo, create
from anabranch.model import TorrentError

from . import words
from .meter import Meter

_SHARES = (("film.bin", 50), ("disc 1/track 01.bin", 20), ("disc 1/track 02.bin", 17), ("disc 2/größer.bin", 12))
_STRIDE = 1024 * 1024
_GIB = 1024**3
_HOSTS = ("127.0.0.1", "127.0.0.2") if sys.platform == "linux" else ("127.0.0.1", "127.0.0.1")
_PATIENCE = 10  # seconds that a program may take to end


class DemoFailed(TorrentError):
    """The demonstration did not work; the text says where it stopped."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the transfer took, in seconds: on the clock, and of CPU on either side. Starting Python is not counted."""

    seconds: float
    seeder_cpu: float
    downloader_cpu: float


def demo(length: int) -> int:
    """Show it. Answers the exit code: 0 only when every file arrived as it was; raises TorrentError."""
    with tempfile.TemporaryDirectory(prefix="anabranch-demo-") as directory:
        top = Path(directory)
        source, target = top / "seeder" / "demo", top / "downloader" / "demo"
        files = make_files(source, length)
        torrent = top / "demo.torrent"
        meter = Meter("hashing")
        torrent.write_bytes(create(source, progress=meter.update))
        meter.clear()
        info = Metainfo.parse(torrent.read_bytes()).info
        print("Two programs on this machine: one shares made-up files, the other fetches them.\n")
        print(f"made      {words.counted(len(files), 'file')}, {words.size(length)}, in {top}")
        print(f"torrent   {info.info_hash}, {words.counted(info.geometry.piece_count, 'piece')}")
        sys.stdout.flush()
        outcome = transfer(top, torrent, length)
        moved = length / _GIB
        print(
            f"moved     {words.size(length)} in {outcome.seconds:.2f} s: {words.rate(length / outcome.seconds)}, "
            "hashed and on disk"
        )
        print(
            f"CPU       downloading {outcome.downloader_cpu / moved:.2f} s per GiB, "
            f"seeding {outcome.seeder_cpu / moved:.2f} s per GiB"
        )
        return prove(files, source, target)


def make_files(directory: Path, length: int) -> list[str]:
    """Write files of that length together, different in every MiB. Returns their paths below the directory."""
    lengths = [length * share // 100 for _, share in _SHARES]
    made = [(name, part) for (name, _), part in zip(_SHARES, lengths, strict=True)]
    made.append(("read me.txt", length - sum(lengths)))
    draw = random.Random()
    for name, part in made:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for begin in range(0, part, _STRIDE):
                file.write(draw.randbytes(min(_STRIDE, part - begin)))
    return [name for name, _ in made]


def transfer(top: Path, torrent: Path, length: int) -> Outcome:
    """Run both programs until the download is complete. Raises DemoFailed."""
    with _program("seed", torrent, top / "seeder", _HOSTS[0]) as seeder:
        ready = _until(seeder, "seeding")
        [address] = ready["addresses"]
        print(f"seeding   on {address}", flush=True)
        meter = Meter("moving")
        with _program("download", torrent, top / "downloader", _HOSTS[1], "--peer", address) as downloader:
            begun = _until(downloader, "added")
            for told in _told(downloader):
                if told["event"] == "progress":
                    meter.update(told["done"], length)
                elif told["event"] == "complete":
                    break
            else:
                raise DemoFailed("the download ended before it was complete")
            meter.clear()
            if downloader.wait(_PATIENCE) != 0:
                raise DemoFailed(f"the download ended with exit code {downloader.returncode}")
        _until(seeder, "peer_lost")
        used = _until(seeder, "progress")
        seeder.terminate()
        seeder.wait(_PATIENCE)
    return Outcome(told["seconds"], used["cpu"] - ready["cpu"], told["cpu"] - begun["cpu"])


def prove(files: list[str], source: Path, target: Path) -> int:
    """Compare every file, on the disk, by its SHA-256. Answers the exit code."""
    with ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(_digest, [top / name for top in (source, target) for name in files]))
    right = 0
    for name, sent, came in zip(files, digests, digests[len(files) :], strict=False):
        verdict = "equal" if sent == came else "DIFFERENT"
        right += sent == came
        print(f"  {sent[:16]}  {came[:16] or 'missing':16}  {verdict}  {name}")
    print(f"proof     SHA-256 of {right} of {words.counted(len(files), 'file')} is the same on both sides")
    if right < len(files):
        raise DemoFailed("what arrived is not what was sent")
    return 0


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


@contextmanager
def _program(command: str, torrent: Path, data: Path, host: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """One of our own programs, in its own process, ended with the block. Its state lies beside its data."""
    places = [str(torrent), "-d", str(data), "--state", str(data.with_suffix(".state"))]
    parts = ["--no-dht", "--no-lsd", "--no-portmap"]  # nothing beyond this machine
    line = [sys.executable, "-m", "anabranch", command, *places, "--bind", host, "--port", "0", "--json", *parts, *more]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as program:
        try:
            yield program
        finally:
            if program.poll() is None:
                program.kill()


def _told(program: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert program.stdout is not None  # it was asked for
    for line in program.stdout:
        yield json.loads(line)


def _until(program: subprocess.Popen[str], event: str) -> dict[str, Any]:
    for told in _told(program):
        if told["event"] == event:
            return told
    raise DemoFailed(f"a program ended before it said {event!r}")
