"""Ours, as users have it: `anabranch seed` and `anabranch download` with --json."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .case import BenchmarkFailed
from .gauge import Address
from .seats import Job, Seat


class Anabranch(Seat):
    """The command line. After a download it goes on seeding, so that it can be looked at when it is complete.

    Args:
        job, place, host: As for every seat.
        options: Words of the command line beside those that keep it on loopback and TCP.
    """

    _served_at = ""  # the event, or the stage in `progress`, that says so

    def __init__(self, job: Job, place: Path, host: str, *, options: Sequence[str] = ()) -> None:
        super().__init__(job, place, host)
        self._options = options

    def seed(self, peers: Sequence[Address] = ()) -> None:
        """As of every seat."""
        self._served_at = "seeding"
        self._run("seed", "-d", str(self.job.content.parent), peers=peers)
        self._wait_serves()

    def fetch(self, peers: Sequence[Address]) -> None:
        """As of every seat."""
        self._served_at = "live"
        self._run("download", "--seed", "-d", str(self.data), peers=peers)
        if not peers:
            self._wait_serves()

    def _run(self, command: str, *more: str, peers: Sequence[Address]) -> None:
        dialed = [word for host, port in peers for word in ("--peer", f"{host}:{port}")]
        network = ["--bind", self.host, "--port", "0", "--encryption", "require" if self.job.rc4 else "off"]
        quiet = ["--no-dht", "--no-pex", "--no-lsd", "--no-utp", "--no-trackers", "--no-portmap"]
        words = [command, str(self.job.torrent), "--json", "--state", str(self.place / "state"), *more]
        self.start(sys.executable, "-m", "anabranch", *words, *network, *quiet, *self._options, *dialed)

    def hear(self, line: str) -> None:
        """As of every program."""
        try:
            told = json.loads(line)
        except ValueError:
            return  # what it says on stderr
        match told["event"]:
            case "added":
                host, _, port = told["listen"][0].rpartition(":")
                self.addresses = [(host, int(port))]
            case "seeding" | "progress" if self._served_at in (told["event"], told.get("stage")):
                self._serves.set()
            case "complete":
                self._complete.set()
            case _:
                return


class Kept(Anabranch):
    """A leecher that keeps what it fetches in a storage of that kind. What came is hashed, through that storage.

    Args:
        job, place, host: As for every seat.
        kind: What --storage takes.
    """

    def __init__(self, job: Job, place: Path, host: str, kind: str) -> None:
        super().__init__(job, place, host, options=["--storage", kind])
        self._kind = kind

    def check(self) -> None:
        """As of every seat. What was in memory is gone with the program."""
        if self._kind == "memory":
            return
        words = ["verify", str(self.job.torrent), "-d", str(self.data), "--storage", self._kind]
        told = subprocess.run([sys.executable, "-m", "anabranch", *words], capture_output=True, text=True, check=False)
        if told.returncode:
            raise BenchmarkFailed(f"anabranch verify --storage {self._kind}: {told.stderr.strip()}")
