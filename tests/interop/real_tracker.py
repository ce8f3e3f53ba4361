"""A real tracker as the other side of a test: its URLs, and what it says of a swarm, asked without our own code."""

from __future__ import annotations

import re
import urllib.request
from urllib.parse import quote

from .real_program import RealProgram


class RealTracker(RealProgram):
    """A tracker that listens by TCP and UDP at one port, from `with` to the end of the block."""

    @property
    def http(self) -> str:
        """The announce URL for HTTP."""
        return f"http://{self.at}/announce"

    @property
    def udp(self) -> str:
        """The announce URL for UDP."""
        return f"udp://{self.at}/announce"

    @property
    def ws(self) -> str:
        """The announce URL for WebSocket."""
        return f"ws://{self.at}/announce"

    @property
    def at(self) -> str:
        """Host and port as a URL has them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def allow(self, info_hash: bytes) -> None:
        """Serve that torrent: 20 bytes, of a v2 hash the first. An open tracker serves every one."""

    def swarm(self, info_hash: bytes) -> tuple[int, int]:
        """How many seeders and leechers it knows of a torrent."""
        told = self._get(f"scrape?info_hash={quote(info_hash)}")
        found = re.search(rb"8:completei(\d+)e.*10:incompletei(\d+)e", told)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.at}/{path}", timeout=5) as reply:
            told: bytes = reply.read()
            return told
