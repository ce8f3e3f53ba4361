"""What clients send, made by hand, for the tests of this room."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes

from tracking.peers import HASH

MAGIC = 0x41727101980
PEER = b"-AB0001-abcdefghijkl"


def connect(number: int = 7) -> bytes:
    """Ask for a connection id."""
    return struct.pack(">QII", MAGIC, 0, number)


def announce(connection: bytes, number: int = 8, **facts: Any) -> bytes:
    """Announce over UDP."""
    said = {
        "info_hash": HASH,
        "peer_id": PEER,
        "downloaded": 0,
        "left": 100,
        "uploaded": 0,
        "event": 2,
        "ip": bytes(4),
        "key": b"\0\0\0\x05",
        "wanted": -1,
        "port": 6881,
        **facts,
    }
    return connection + struct.pack(">II20s20sQQQI4s4siH", 1, number, *said.values())


def scrape(connection: bytes, *info_hashes: bytes) -> bytes:
    """Scrape over UDP."""
    return connection + struct.pack(">II", 2, 9) + b"".join(info_hashes)


def target(info_hash: bytes = HASH, peer_id: bytes = PEER, port: int = 6881, more: str = "&left=100&key=5") -> str:
    """Path and query that announce."""
    return f"/announce?info_hash={quote_from_bytes(info_hash)}&peer_id={quote_from_bytes(peer_id)}&port={port}{more}"


def get(path: str, more: str = "") -> bytes:
    """A request."""
    return f"GET {path} HTTP/1.1\r\nHost: tracker\r\n{more}\r\n".encode()


async def until(holds: Callable[[], object]) -> None:
    """Let the loop go on until that holds."""
    while not holds():  # noqa: ASYNC110 # nobody is told of it
        await asyncio.sleep(0)
