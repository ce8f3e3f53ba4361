"""libtorrent (rasterbar) from PyPI, the package that people know as `libtorrent`: starts libtorrent_program.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .gauge import Address
from .seats import Job, Seat

MISSING = "" if find_spec("libtorrent") else "libtorrent is not installed"


class Libtorrent(Seat):
    """A session in a program; or many of them.

    Args:
        job, place, host: As for every seat.
        hosts: Listen at these addresses instead, each with a session of its own.
        settings: libtorrent settings beside its defaults.
        as_strangers: Limit rates and choke as towards the world, which libtorrent does not do on local addresses.
    """

    def __init__(
        self,
        job: Job,
        place: Path,
        host: str,
        *,
        hosts: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        as_strangers: bool = False,
    ) -> None:
        super().__init__(job, place, host)
        self._hosts = list(hosts) or [host]
        self._settings = dict(settings or {})
        self._as_strangers = as_strangers

    def seed(self, peers: Sequence[Address] = ()) -> None:
        """As of every seat."""
        self._run(self.job.content.parent, peers, seed=True)

    def fetch(self, peers: Sequence[Address]) -> None:
        """As of every seat."""
        self._run(self.data, peers, seed=False)

    def _run(self, data: Path, peers: Sequence[Address], *, seed: bool) -> None:
        task = {
            "torrent": str(self.job.torrent),
            "data": str(data),
            "hosts": self._hosts,
            "seed": seed,
            "peers": peers,
            "rc4": self.job.rc4,
            "settings": self._settings,
            "as_strangers": self._as_strangers,
        }
        program = Path(__file__).with_name("libtorrent_program.py")
        self.start(sys.executable, program, json.dumps(task))
        self._wait_serves()

    def hear(self, line: str) -> None:
        """As of every program."""
        try:
            told = json.loads(line)
        except ValueError:
            return  # a message of libtorrent
        if "listen" in told:
            self.addresses = [(host, port) for host, port in told["listen"]]
            self._serves.set()
        if "complete" in told:
            self._complete.set()
