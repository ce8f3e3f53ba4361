"""Peers that announce, for the tests of this room."""

from __future__ import annotations

from typing import Any

from anabranch.model import Address
from anabranch.tracking import Announce

HASH = bytes(range(20))
OTHER = bytes(range(20, 40))


def peer(number: int, *, host: str = "192.0.2.1", port: int = 0, **more: Any) -> Announce:
    """The announce of a peer that lacks 100 bytes, asked for as many peers as there are."""
    facts: dict[str, Any] = {
        "info_hash": HASH,
        "peer_id": b"-AB0001-%012d" % number,
        "asker": Address(host, 50_000),
        "host": host,
        "port": port or 1000 + number,
        "left": 100,
        "wanted": 200,
        "key": number.to_bytes(4, "big"),
    }
    return Announce(**{**facts, **more})


def compact(host: str, port: int) -> bytes:
    """An IPv4 peer in six bytes."""
    return bytes(map(int, host.split("."))) + port.to_bytes(2, "big")
