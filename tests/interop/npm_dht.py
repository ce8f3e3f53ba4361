"""npm's bittorrent-dht, the node of WebTorrent, as the other side of a test: IPv4, with both kinds of items.

It asks in a look-up whom it knows already, and holds every node that asks it for one. What it answers with peers has no
nodes beside them. It knows no scrape, no sampling and no addresses of ours in replies (BEPs 33, 51, 42).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from .line_program import LineProgram
from .npm_tracker import node

PACKAGE = Path(sys.prefix) / "npm" / "node_modules" / "bittorrent-dht" / "index.js"
SCRIPT = Path(__file__).with_suffix(".mjs")


class NpmDht(LineProgram):
    """A node that knows nobody yet, from `with` to the end of the block.

    Args:
        host: Loopback address to listen on, IPv4.
    """

    def __init__(self, host: str) -> None:
        if not PACKAGE.exists():
            pytest.skip("npm's bittorrent-dht is not installed; `make setup programs` installs it")
        super().__init__("npm's bittorrent-dht", [node(), str(SCRIPT), str(PACKAGE), host], host)

    def ping(self, host: str, port: int) -> bytes:
        """The id of the node that is there, which it knows from then on."""
        return bytes.fromhex(self._ask("ping", host=host, port=port))

    def find_node(self, target: bytes) -> dict[bytes, tuple[str, int]]:
        """Who answered in a look-up."""
        return {bytes.fromhex(each): (host, port) for each, host, port in self._ask("find_node", target=target.hex())}

    def get_peers(self, info_hash: bytes) -> set[tuple[str, int]]:
        """All peers that a look-up found."""
        return {(host, port) for host, port in self._ask("lookup", hash=info_hash.hex())}

    def announce(self, info_hash: bytes, port: int) -> None:
        """Announce itself; port 0 is that of its socket (implied)."""
        self._ask("announce", hash=info_hash.hex(), port=port)

    def put(self, value: bytes) -> tuple[bytes, int]:
        """Put an immutable string: its target, and how many nodes took it."""
        target, stored = self._ask("put", value=value.hex())
        return bytes.fromhex(target), stored

    def put_signed(
        self, value: bytes, seed: bytes, sequence: int, salt: bytes = b"", cas: int | None = None
    ) -> tuple[bytes, int]:
        """Put a string under the key of that seed: its target, and how many nodes took it."""
        more: dict[str, Any] = {} if cas is None else {"cas": cas}
        keys: dict[str, Any] = {"seed": seed.hex(), "salt": salt.hex()}
        target, stored = self._ask("put", value=value.hex(), seq=sequence, **keys, **more)
        return bytes.fromhex(target), stored

    def get(self, target: bytes, salt: bytes = b"") -> tuple[bytes, int | None] | None:
        """What a look-up found there, verified by it: the string, and its sequence number where it is signed."""
        found = self._ask("get", target=target.hex(), salt=salt.hex())
        return (bytes.fromhex(found["value"]), found["seq"]) if found else None

    def nodes(self) -> dict[bytes, tuple[str, int]]:
        """Whom it knows."""
        return {bytes.fromhex(each): (host, port) for each, host, port in self._ask("nodes")}

    def queries(self) -> dict[str, int]:
        """How many queries of each method came."""
        told: dict[str, int] = self._ask("queries")
        return told
