"""A seat: one program at one place in a swarm.

Every program is driven the same way: it tells in lines when it serves and when it has everything, and what it uses is
read from outside by gauge.py. It is killed when its block ends, so what is compared afterwards was written when it said
so. Everything stays on loopback addresses, by plain TCP: no DHT, uTP, local discovery, peer exchange.
"""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from .case import BenchmarkFailed
from .gauge import Address
from .program import Program

COMPARED = 4 * 1024 * 1024  # bytes at a time
START_WITHIN = 120.0  # seconds until a seeder serves: it may hash 4 GiB first


@dataclass(frozen=True)
class Job:
    """What is moved: a torrent of a file or folder, where that is, and how connections are made."""

    torrent: Path
    content: Path
    rc4: bool = False  # otherwise in clear

    @property
    def length(self) -> int:
        """Bytes of content."""
        return sum(file.stat().st_size for file in files_of(self.content))


class Seat(Program, ABC):
    """A program as seeder or leecher, from `with` to the end of the block.

    Args:
        job: What it shall serve or fetch.
        place: A directory of its own; made here. What it fetches goes to `data` in it.
        host: The loopback address that it listens at.
    """

    can_dial = True  # whether a leecher can be told of a seeder; otherwise the seeder has to be told of the leecher

    def __init__(self, job: Job, place: Path, host: str) -> None:
        super().__init__(place)
        self.job = job
        self.addresses: list[Address] = [(host, 0)]
        self._serves, self._complete = Event(), Event()

    @property
    def host(self) -> str:
        """The address that it listens at; the first where it has several."""
        return self.addresses[0][0]

    @property
    def data(self) -> Path:
        """Where a leecher writes. It makes the directory itself."""
        return self.place / "data"

    @abstractmethod
    def seed(self, peers: Sequence[Address] = ()) -> None:
        """Serve job.content, dialing *peers*. Comes back when it has checked what is there, and listens."""

    @abstractmethod
    def fetch(self, peers: Sequence[Address]) -> None:
        """Begin to fetch from *peers*. With none it waits to be dialed, and this comes back when it listens."""

    def wait_complete(self, timeout: float) -> bool:
        """Whether it has everything, written where others can read it, within *timeout* seconds.

        Raises:
            BenchmarkFailed: It has ended instead.
        """
        if self._complete.wait(timeout):
            return True
        self.alive()
        return False

    def check(self) -> None:
        """Raise BenchmarkFailed where what it fetched is not what was served. After its end."""
        sent, received = self.job.content, self.data / self.job.content.name
        for file in files_of(sent):
            compare(received / file.relative_to(sent), file)

    def _wait_serves(self) -> None:
        self.until(lambda: self._serves.wait(0.05), START_WITHIN, "serving")


def free_port(host: str) -> int:
    """A TCP port of *host* that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(address: Address) -> bool:
    """Whether a connection is accepted there. Takes 20 ms where not, to be asked in a row."""
    with socket.socket() as caller:
        caller.settimeout(1)
        if caller.connect_ex(address) == 0:
            return True
    time.sleep(0.02)
    return False


def files_of(content: Path) -> list[Path]:
    """All files of a folder; the file, where it is one."""
    return [path for path in content.rglob("*") if path.is_file()] if content.is_dir() else [content]


def compare(received: Path, sent: Path) -> None:
    """Raise BenchmarkFailed where two files differ, or one is not there."""
    if not received.is_file():
        raise BenchmarkFailed(f"{received.name} is not there")
    if received.stat().st_size != sent.stat().st_size:
        raise BenchmarkFailed(f"{received.name} has {received.stat().st_size} bytes, not {sent.stat().st_size}")
    ours, theirs = bytearray(COMPARED), bytearray(COMPARED)
    at = 0
    with received.open("rb", buffering=0) as left, sent.open("rb", buffering=0) as right:
        while got := left.readinto(ours):
            right.readinto(theirs)
            if ours != theirs:
                raise BenchmarkFailed(f"{received.name} is wrong between {at} and {at + got}")
            at += got
