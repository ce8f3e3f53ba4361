"""All kinds of hostile peers at once, in programs of their own, against one client: it gets and gives what is due."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

import trees
from anabranch.api import create
from anabranch.testing import KINDS
from ours import KIB, MIB

RATE = 8 * MIB  # bytes per second that the download is limited to
PATIENCE = 30  # seconds until a test gives an answer up; no rule
MOST_MEMORY = 200 * MIB
SEEDER, VICTIM, FIRST = "127.0.61.1", "127.0.61.2", "127.0.62.1"
PRESSING = ("flood-requests", "never-reads", "silent-crowd", "come-and-go", "flood-extensions", "flood-haves")

WORST = (
    *("wrong-data", "mixed-data", "unasked-blocks", "never-answer", "choke-flapping"),
    *("never-reads", "silent-crowd", "come-and-go", "flood-haves", "flood-interest"),
)
DEEP = [pytest.mark.deep, pytest.mark.timeout(300)]
DOWNLOADS = [
    pytest.param(8 * MIB, WORST, False, id="ten kinds"),
    pytest.param(96 * MIB, tuple(KINDS), True, id="all kinds", marks=DEEP),
]
SERVED = [pytest.param(8 * MIB, id="8 MiB"), pytest.param(128 * MIB, id="128 MiB", marks=DEEP)]


@dataclass
class Shared:
    """The content, its .torrent, and the directory that the content is in."""

    original: Path
    torrent: Path

    @property
    def folder(self) -> Path:
        return self.original.parent


@pytest.fixture
def shared(tmp_path: Path, length: int) -> Shared:
    original = trees.make_file(tmp_path / "seed" / "content.bin", length, seed=length)
    torrent = tmp_path / "content.torrent"
    torrent.write_bytes(create(original, piece_length=256 * KIB))
    return Shared(original, torrent)


class Ours:
    """One of our command lines as a program, with its errors in a file.

    Args:
        place: Where its files go.
        words: The command and its options; --bind, --port and the like are added.
    """

    def __init__(self, place: Path, host: str, port: int, *words: str | Path) -> None:
        place.mkdir()
        self.errors = place / "errors.txt"
        self.heard: list[dict[str, Any]] = []
        line = [sys.executable, "-m", "anabranch", *map(str, words), "--bind", host, "--port", str(port), "--json"]
        with self.errors.open("wb") as errors:
            self.child = subprocess.Popen(
                [*line, "--state", str(place / "state")], stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def next(self, event: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """The next object of that event; the program ends where that does not come in time."""
        line = ""
        alarm = Timer(timeout, self.child.kill)
        alarm.start()
        try:
            for line in self.child.stdout or ():
                told: dict[str, Any] = json.loads(line)
                self.heard.append(told)
                if told["event"] == event:
                    return told
        finally:
            alarm.cancel()
        raise AssertionError(f"it ended before {event!r}, with {line} {self.errors.read_text()}")

    def peak_memory(self) -> int:
        """The most bytes it has had in memory (Linux, proc(5))."""
        status = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * KIB

    def end(self) -> list[dict[str, Any]]:
        """End it in order. All that it told."""
        self.child.send_signal(signal.SIGTERM)
        rest, _ = self.child.communicate(timeout=30)
        return [*self.heard, *map(json.loads, rest.splitlines())]


@contextmanager
def ours(place: Path, host: str, port: int, *words: str | Path) -> Iterator[Ours]:
    """One of our programs, for as long as the block."""
    program = Ours(place, host, port, *words)
    try:
        yield program
    finally:
        program.child.kill()
        program.child.communicate()


@contextmanager
def attackers(victim: tuple[str, int], shared: Shared, *kinds: str) -> Iterator[dict[str, str]]:
    """Hostile peers in a program that gives way to others. Gives where each kind listens."""
    words = ["attack", *kinds, "--victim", "{}:{}".format(*victim), "--from", FIRST, "--data", str(shared.folder)]
    line = [sys.executable, "-m", "anabranch.testing", *words, "--torrent", str(shared.torrent)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.nice(10)) as program:
        assert program.stdout is not None
        try:
            lines = [program.stdout.readline() for kind in kinds]
            yield {kind: line.split()[-1] for kind, line in zip(kinds, lines, strict=True)}
        finally:
            program.kill()


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs an address for every attacker, and /proc")
@pytest.mark.parametrize(("length", "kinds", "timed"), DOWNLOADS)
def test_among_many_hostile_peers_a_download_comes_right_in_time(
    shared: Shared, kinds: tuple[str, ...], timed: bool, tmp_path: Path
) -> None:
    """One good seeder among one of each kind: right, in bounded memory, no traceback; within twice the ideal time.

    That is the time which the rate limit allows, measured where it is long beside what a busy machine adds.
    """
    ideal = shared.original.stat().st_size / RATE
    port = free_port(VICTIM)
    target = tmp_path / "target"
    with ExitStack() as stack:
        seeder = stack.enter_context(ours(tmp_path / "seeder", SEEDER, 0, "seed", shared.torrent, "-d", shared.folder))
        [good] = seeder.next("seeding")["addresses"]
        listening = stack.enter_context(attackers((VICTIM, port), shared, *kinds))
        peers = [word for address in (*listening.values(), good) for word in ("--peer", str(address))]
        words: list[str | Path] = [
            "download",
            shared.torrent,
            "-d",
            target,
            "--limit-down",
            str(RATE),
            "--seed",
            *peers,
        ]
        victim = stack.enter_context(ours(tmp_path / "victim", VICTIM, port, *words))
        victim.next("added")
        begun = time.monotonic()
        victim.next("complete", PATIENCE + 5 * ideal)
        taken = time.monotonic() - begun
        memory = victim.peak_memory()
        told = victim.end()
        assert not [one for one in told if one["event"] == "banned" and one["host"] == SEEDER]
        assert trees.digest(target / "content.bin") == trees.digest(shared.original)
        assert not timed or taken <= 2 * ideal
        assert memory < MOST_MEMORY
        assert "Traceback" not in victim.errors.read_text()


@pytest.mark.interop
@pytest.mark.skipif(sys.platform != "linux", reason="needs an address for every attacker")
@pytest.mark.parametrize("length", SERVED)
def test_while_six_kinds_press_on_our_seeder_libtorrent_gets_everything(shared: Shared, tmp_path: Path) -> None:
    """Slots, memory and time are shared out so that an honest leecher has its part."""
    pytest.importorskip("libtorrent", reason="libtorrent has no wheel for this Python")
    from interop.libtorrent_peer import LibtorrentPeer  # needs no libtorrent here, but is of no use without

    with ExitStack() as stack:
        seeder = stack.enter_context(ours(tmp_path / "seeder", SEEDER, 0, "seed", shared.torrent, "-d", shared.folder))
        [address] = seeder.next("seeding")["addresses"]
        host, _, port = str(address).rpartition(":")
        stack.enter_context(attackers((host, int(port)), shared, *PRESSING))
        leecher = stack.enter_context(LibtorrentPeer("127.0.61.3"))
        while seeder.next("progress")["peers"] < 2:  # attackers are there, and it is their turn first
            pass
        leecher.add(shared.torrent, tmp_path / "theirs")
        leecher.connect(host, int(port))
        leecher.wait_finished(200)
        seeder.end()
        assert trees.digest(tmp_path / "theirs" / "content.bin") == trees.digest(shared.original)
        assert "Traceback" not in seeder.errors.read_text()
