"""Ten programs with lines of their own that all know each other: ours and libtorrent's, as seeders and downloaders."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean, median
from threading import Thread
from typing import Protocol

import pytest

import trees

pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")

from anabranch.api import create
from interop.libtorrent_peer import LibtorrentPeer
from interop.real_program import free_port
from ours import MIB, until
from programs import Program, running

pytestmark = [pytest.mark.interop, pytest.mark.deep, pytest.mark.timeout(300)]

LENGTH = 32 * MIB
UP, DOWN = 2 * MIB, 4 * MIB  # bytes per second of each: all together can give each downloader 3.3 MiB/s
SHARE = 1 / 1.6  # of the content, that the last has when half of them have everything
OUR_HOSTS, THEIR_HOSTS = ([f"127.0.{net}.{number}" for number in range(1, 6)] for net in (66, 67))
PATIENCE = 120.0  # seconds until the median has everything: it takes 10

Address = tuple[str, int]


class Downloader(Protocol):
    """One of the six, whichever program it is."""

    data: Path

    def done(self) -> int:
        """Bytes that are here and verified."""


class Ours:
    """Our command line, and what it told last."""

    def __init__(self, program: Program, data: Path) -> None:
        self.data = data
        self._program = program
        self._done = 0
        Thread(target=self._listen, name="ours says", daemon=True).start()

    def done(self) -> int:
        """As it says, once a second."""
        assert self._program.child.poll() is None, "it has ended"
        return self._done

    def _listen(self) -> None:
        for line in self._program.child.stdout or ():
            told = json.loads(line)
            if told["event"] == "progress":
                self._done = told["done"]
            elif told["event"] == "complete":
                self._done = LENGTH
                return


class Theirs:
    """libtorrent."""

    def __init__(self, program: LibtorrentPeer, data: Path) -> None:
        self.data = data
        self._program = program

    def done(self) -> int:
        """As it says; the last piece counts when all is in the files."""
        stats = self._program.stats()
        if not stats["finished"]:
            return min(int(stats["progress"] * LENGTH), LENGTH - 1)
        self._program.wait_finished()
        return LENGTH


@contextmanager
def libtorrents(hosts: Sequence[str]) -> Iterator[list[LibtorrentPeer]]:
    """Sessions behind such lines."""
    limits = {"upload_rate_limit": UP, "download_rate_limit": DOWN, "rate_limit_ip_overhead": False}
    with ExitStack() as stack:
        yield [stack.enter_context(LibtorrentPeer(host, settings=limits, as_strangers=True)) for host in hosts]


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """The content."""
    return trees.make_file(tmp_path / "seed" / "mixed.bin", LENGTH, seed=31)


@pytest.fixture
def swarm(original: Path, tmp_path: Path) -> Iterator[list[Downloader]]:
    """Two seeders and three downloaders of each kind. Each is told of all others, so every pair of each other twice."""
    torrent = tmp_path / "mixed.torrent"
    torrent.write_bytes(create(original, piece_length=MIB // 4))
    own = [(host, free_port(host)) for host in OUR_HOSTS]
    with libtorrents(THEIR_HOSTS) as others, ExitStack() as stack:
        everybody = [*own, *((other.host, other.port) for other in others)]
        downloaders: list[Downloader] = []
        for number, other in enumerate(others):
            data = original.parent if number < 2 else tmp_path / f"theirs {number}"
            other.add(torrent, data)
            if number >= 2:
                downloaders.append(Theirs(other, data))
        for number, (host, port) in enumerate(own):
            place = tmp_path / f"ours {number}"
            data = original.parent if number < 2 else place / "data"
            place.mkdir()
            words = ["seed" if number < 2 else "download", torrent, *(["--seed"] if number >= 2 else []), "-d", data]
            words += ["--state", place / "state", "--bind", host, "--port", str(port), "--json"]
            words += ["--limit-up", str(UP), "--limit-down", str(DOWN)]
            words += [word for peer in everybody if peer != (host, port) for word in ("--peer", f"{peer[0]}:{peer[1]}")]
            program = stack.enter_context(running(place, *words))
            if number >= 2:
                downloaders.append(Ours(program, data))
        for other in others:
            for peer in everybody:
                if peer != (other.host, other.port):
                    other.connect(*peer)
        yield downloaders


def test_in_a_mixed_swarm_nobody_is_left_behind(swarm: list[Downloader], original: Path) -> None:
    """When half of them have everything, the others have nearly as much; in the end all have all of it."""
    began = time.monotonic()
    finished: dict[Downloader, float] = {}

    def look() -> int:
        for one in swarm:
            if one not in finished and one.done() == LENGTH:
                finished[one] = time.monotonic() - began
        return len(finished)

    until(lambda: look() >= len(swarm) // 2, PATIENCE)
    behind = [one.done() / LENGTH for one in swarm]
    assert min(behind) > SHARE, behind
    until(lambda: look() == len(swarm), 4 * max(finished.values()))
    took = {kind: mean(time for one, time in finished.items() if isinstance(one, kind)) for kind in (Ours, Theirs)}
    slowest = max(finished.values()) / median(finished.values())
    print(f"ours / libtorrent's: {took[Ours] / took[Theirs]:.2f}, slowest / median: {slowest:.2f}")
    assert {trees.digest(one.data / original.name) for one in swarm} == {trees.digest(original)}
