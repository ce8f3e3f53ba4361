"""Announces on local networks (BEP 14): "at this port I have these torrents", as a datagram to a group of listeners.

It looks like HTTP and is read more leniently than it is written: Transmission 3.00 passes over a datagram with more
than one info hash, with names spelt otherwise, or that does not end in two empty lines. So ours name one torrent each.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from anabranch.model import Address, PeerFault

GROUPS = {False: Address("239.192.152.143", 6771), True: Address("ff15::efc0:988f", 6771)}  # by whether it is IPv6
_LARGEST = 4096  # bytes; nobody sends more than fits into one Ethernet frame
_MOST_HASHES = 64  # of one datagram; more do not fit into such a frame
_COOKIE = re.compile(r"[0-9a-fA-F]{1,16}\Z")  # libtorrent reads it as a hexadecimal number
_HEX_LENGTH = 40  # digits of an info hash; of a v2 hash the first
_MOST_OF_ONE = 50  # datagrams in a second; a client with thousands of torrents spreads them over minutes
_MOST_OF_ALL = 500  # datagrams in a second; senders can be made up


@dataclass(frozen=True, slots=True)
class LocalAnnounce:
    """Somebody has these torrents, or wants them.

    Args:
        port: Where it listens; its address is the datagram's.
        info_hashes: 20 bytes each, each once.
        cookie: By which a client knows its own announces; empty where it gives none.
    """

    port: int
    info_hashes: tuple[bytes, ...]
    cookie: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535 or not self.info_hashes or any(len(each) != 20 for each in self.info_hashes):
            raise ValueError(f"no announce: port {self.port}, info hashes {self.info_hashes!r}")

    @classmethod
    def parse(cls, datagram: bytes) -> LocalAnnounce:
        """Read what came. Names in any case and order, lines that end in any way; what is no info hash is passed over.

        Raises:
            PeerFault: nothing that tells of a port and at least one torrent.
        """
        if len(datagram) > _LARGEST:
            raise PeerFault(f"local announce of {len(datagram)} bytes, at most {_LARGEST} are read")
        first, *lines = datagram.decode("latin-1").split("\n")
        if not first.upper().startswith("BT-SEARCH * HTTP/"):
            raise PeerFault(f"local announce that starts with {first[:40]!r}")
        port, cookie = 0, ""
        hashes: dict[bytes, None] = {}
        for line in lines:
            name, _, text = line.partition(":")
            name, text = name.strip().lower(), text.strip()
            if name == "infohash" and len(text) == _HEX_LENGTH and len(hashes) < _MOST_HASHES:
                hashes.update(dict.fromkeys(_unhexed(text)))
            elif name == "port" and text.isascii() and text.isdigit() and len(text) <= 5:
                port = int(text)
            elif name == "cookie":
                cookie = text
        if not 1 <= port <= 65535 or not hashes:
            raise PeerFault(f"local announce of port {port} and {len(hashes)} torrents")
        return cls(port, tuple(hashes), cookie)

    def datagram(self, *, v6: bool) -> bytes:
        """The bytes to send to the group of that family."""
        said = ["BT-SEARCH * HTTP/1.1", f"Host: {GROUPS[v6]}", f"Port: {self.port}"]
        said += [f"Infohash: {info_hash.hex()}" for info_hash in self.info_hashes]
        said += [f"cookie: {self.cookie}"] * bool(self.cookie)
        return "\r\n".join([*said, "", "", ""]).encode()


def checked_cookie(cookie: str) -> str:
    """A cookie that all clients read.

    Raises:
        ValueError: not 1 to 16 hexadecimal digits.
    """
    if not _COOKIE.match(cookie):
        raise ValueError(f"no cookie: {cookie!r}")
    return cookie


class Hearing:
    """How much is listened to: so many datagrams a second from one host, and from all of them."""

    __slots__ = ("_heard", "_second", "_total")

    def __init__(self) -> None:
        self._second = 0
        self._total = 0
        self._heard: Counter[str] = Counter()  # as long as _MOST_OF_ALL at most

    def admits(self, host: str, now: float) -> bool:
        """Whether one more datagram from there may be read."""
        if int(now) != self._second:
            self._second, self._total = int(now), 0
            self._heard.clear()
        if self._total >= _MOST_OF_ALL or self._heard[host] >= _MOST_OF_ONE:
            return False
        self._total += 1
        self._heard[host] += 1
        return True


def _unhexed(text: str) -> tuple[bytes, ...]:
    try:
        info_hash = bytes.fromhex(text)
    except ValueError:
        return ()
    return (info_hash,) if len(info_hash) == 20 else ()  # fromhex() passes over spaces
