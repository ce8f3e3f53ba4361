"""Who fetches from web seeds alone: ours as it comes, libtorrent as it comes and as fast as it can be made, and aria2.

aria2, too, has the settings that make it fastest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from anabranch.bencode import decode, encode

from .gauge import MIB, Address
from .seats import Job
from .seats_anabranch import Anabranch
from .seats_aria2 import Aria2
from .seats_libtorrent import Libtorrent

TUNED_SETTINGS = {  # it has one connection for each web seed, whatever these say: a second hasher is what counts
    "max_web_seed_connections": 16,
    "urlseed_max_request_bytes": 64 * MIB,
    "hashing_threads": 2,
}
ARIA2_OPTIONS = ("--split=16", "--max-connection-per-server=16", "--min-split-size=1M")


def named(job: Job, url: str, place: Path) -> Path:
    """The job's torrent with *url* as its only web seed, in the directory *place*."""
    torrent = decode(job.torrent.read_bytes())
    assert isinstance(torrent, dict)
    place.mkdir(parents=True, exist_ok=True)
    made = place / job.torrent.name
    made.write_bytes(encode({**torrent, b"url-list": url.encode()}))
    return made


class WebAnabranch(Anabranch):
    """The command line, as it is.

    Args:
        job, place, host: As for every seat.
        trusted: File of the authority whose certificates are believed.
    """

    def __init__(self, job: Job, place: Path, host: str, trusted: Path | None = None) -> None:
        super().__init__(job, place, host, options=["--ca-file", str(trusted)] if trusted else [])

    def fetch(self, peers: Sequence[Address]) -> None:
        """As of every seat, but there are no peers."""
        self._run("download", "--seed", "-d", str(self.data), peers=())


class WebLibtorrent(Libtorrent):
    """A session. It believes an authority that OpenSSL's own variable names.

    Args:
        job, place, host, trusted: As of WebAnabranch.
        settings: Beside its defaults.
    """

    def __init__(
        self,
        job: Job,
        place: Path,
        host: str,
        trusted: Path | None = None,
        settings: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(job, place, host, settings=settings)
        self._trusted = trusted

    def start(self, *words: str | Path) -> None:
        """As of every program."""
        super().start(*(["env", f"SSL_CERT_FILE={self._trusted}"] if self._trusted else []), *words)

    def fetch(self, peers: Sequence[Address]) -> None:
        """As of every seat, but there are no peers."""
        self._run(self.data, (), seed=False)


class TunedLibtorrent(WebLibtorrent):
    """The same with the settings that make it fastest here."""

    def __init__(self, job: Job, place: Path, host: str, trusted: Path | None = None) -> None:
        super().__init__(job, place, host, trusted, TUNED_SETTINGS)


class WebAria2(Aria2):
    """aria2c with 16 connections, the most that it makes.

    Args:
        job, place, host, trusted: As of WebAnabranch.
    """

    def __init__(self, job: Job, place: Path, host: str, trusted: Path | None = None) -> None:
        super().__init__(job, place, host)
        self._options = [*ARIA2_OPTIONS, *([f"--ca-certificate={trusted}"] if trusted else [])]

    def fetch(self, peers: Sequence[Address]) -> None:
        """As of every seat, but there are no peers."""
        self._run(str(self.data), *self._options, peers=())
