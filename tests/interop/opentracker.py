"""opentracker as the tracker of a test, over HTTP and UDP. Debian's is of 2021; it serves what is on its list alone."""

from __future__ import annotations

import re
import signal
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from .real_program import RealProgram


class Opentracker(RealProgram):
    """A tracker that runs from `with` to the end of the block.

    Args:
        place: Directory of its own.
        host: Loopback address to listen on, by TCP and UDP at the same port.
    """

    never_root = True

    def __init__(self, place: Path, host: str = "127.0.12.1") -> None:
        super().__init__(place, host)
        self._allowed: list[bytes] = []

    @property
    def http(self) -> str:
        """The announce URL for HTTP."""
        return f"http://{self.host}:{self.port}/announce"

    @property
    def udp(self) -> str:
        """The announce URL for UDP."""
        return f"udp://{self.host}:{self.port}/announce"

    def allow(self, info_hashes: Iterable[bytes]) -> None:
        """Serve these torrents, too: 20 bytes each, of a v2 hash the first. Comes back when it does.

        And goes on doing so: while it reads the list anew, it may have the one before for a moment after that.
        """
        added = list(info_hashes)
        self._allowed += added
        self._write_list()
        self._program.send_signal(signal.SIGHUP)
        served = 0

        def serves() -> bool:
            nonlocal served
            served = served + 1 if all(map(self._serves, added)) else 0
            return served >= 5

        self._until(serves, 10, "serving what was added to its list")

    def swarm(self, info_hash: bytes) -> tuple[int, int]:
        """How many seeders and leechers it knows of a torrent."""
        told = self._ask("scrape", info_hash)
        found = re.search(rb"8:completei(\d+)e.*10:incompletei(\d+)e", told)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def _serves(self, info_hash: bytes) -> bool:
        """Ask it as a peer would that stops, which leaves nobody in the swarm."""
        peer = "&peer_id=-XX0000-000000000000&port=9&left=0&uploaded=0&downloaded=0&event=stopped"
        return b"failure reason" not in self._ask("announce", info_hash, peer)

    def _ask(self, what: str, info_hash: bytes, more: str = "") -> bytes:
        url = f"http://{self.host}:{self.port}/{what}?info_hash={quote(info_hash)}{more}"
        with urllib.request.urlopen(url, timeout=5) as reply:
            told: bytes = reply.read()
            return told

    def _command(self) -> list[str]:
        port = str(self.port)
        return ["opentracker", "-i", self.host, "-p", port, "-P", port, "-d", ".", "-w", "whitelist"]

    def _prepare(self) -> None:
        self.place.chmod(0o755)  # for the user that it becomes
        self._write_list()

    def _write_list(self) -> None:
        (self.place / "whitelist").write_text("".join(f"{info_hash.hex()}\n" for info_hash in self._allowed))
