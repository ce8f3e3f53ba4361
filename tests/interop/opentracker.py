"""opentracker as the tracker of a test, over HTTP and UDP. Debian's is of 2021; it serves what is on its list alone."""

from __future__ import annotations

import signal
from pathlib import Path
from urllib.parse import quote

from .real_tracker import RealTracker


class Opentracker(RealTracker):
    """A tracker that runs from `with` to the end of the block.

    Args:
        place: Directory of its own.
        host: Loopback address to listen on, by TCP and UDP at the same port.
    """

    never_root = True

    def __init__(self, place: Path, host: str = "127.0.12.1") -> None:
        super().__init__(place, host)
        self._allowed: list[bytes] = []

    def allow(self, info_hash: bytes) -> None:
        """Serve that torrent, too. Comes back when it does.

        And goes on doing so: while it reads the list anew, it may have the one before for a moment after that.
        """
        self._allowed.append(info_hash)
        self._write_list()
        self._program.send_signal(signal.SIGHUP)
        served = 0

        def serves() -> bool:
            nonlocal served
            served = served + 1 if self._serves(info_hash) else 0
            return served >= 5

        self._until(serves, 10, "serving what was added to its list")

    def _serves(self, info_hash: bytes) -> bool:
        """Ask it as a peer would that stops, which leaves nobody in the swarm."""
        peer = "peer_id=-XX0000-000000000000&port=9&left=0&uploaded=0&downloaded=0&event=stopped"
        return b"failure reason" not in self._get(f"announce?info_hash={quote(info_hash)}&{peer}")

    def _command(self) -> list[str]:
        port = str(self.port)
        return ["opentracker", "-i", self.host, "-p", port, "-P", port, "-d", ".", "-w", "whitelist"]

    def _prepare(self) -> None:
        self.place.chmod(0o755)  # for the user that it becomes
        self._write_list()

    def _write_list(self) -> None:
        (self.place / "whitelist").write_text("".join(f"{info_hash.hex()}\n" for info_hash in self._allowed))
