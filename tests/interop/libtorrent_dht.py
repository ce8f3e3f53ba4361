"""libtorrent's DHT node as the other side of a test, alone or with torrents: see libtorrent_peer.py.

It takes many nodes of one network, as all are on loopback addresses, and asks nobody but those that it is told of.
"""

from __future__ import annotations

import hashlib
from typing import Any

from .libtorrent_peer import LibtorrentPeer

SETTINGS = {
    "enable_dht": True,
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "dht_prefer_verified_node_ids": False,
    "dht_block_ratelimit": 1000,  # queries per second from one address until it is not answered for a while
    "dht_upload_rate_limit": 1_000_000,
}
SEED = 1  # a flag of dht_announce: session_handle.hpp, announce_flags_t


class LibtorrentDht(LibtorrentPeer):
    """A session with a DHT node, from `with` to the end of the block.

    Args:
        host: Loopback address to listen on.
        port: 0 lets the system choose.
        settings: libtorrent settings beside or instead of SETTINGS.
    """

    def __init__(self, host: str, port: int = 0, *, settings: dict[str, Any] | None = None, **more: Any) -> None:
        super().__init__(host, port, settings={**SETTINGS, **(settings or {})}, **more)

    def add_node(self, host: str, port: int) -> None:
        """Tell it of a node, which it asks soon after this returns."""
        self._dht("node", where=(host, port))

    def known(self) -> int:
        """How many nodes its table has."""
        told: int = self._dht("table")
        return told

    def announced(self) -> set[tuple[bytes, str, int]]:
        """Who announced itself here so far: info hash, host, port."""
        return {(bytes.fromhex(info_hash), host, port) for info_hash, host, port in self._dht("announced")}

    def get_peers(self, info_hash: bytes) -> set[tuple[str, int]]:
        """The first peers that a look-up finds. Fails where it finds none within 15 seconds."""
        return {(host, port) for host, port in self._dht("get_peers", info_hash=info_hash.hex())}

    def announce(self, info_hash: bytes, port: int, *, seed: bool = False) -> None:
        """Announce itself. The look-up goes on after this returns."""
        self._dht("announce", info_hash=info_hash.hex(), port=port, flags=SEED if seed else 0)

    def put(self, value: bytes) -> tuple[bytes, int]:
        """Put an immutable string: its target, and how many nodes took it."""
        target, stored = self._dht("put", value=value.hex())
        return bytes.fromhex(target), stored

    def put_signed(self, value: bytes, seed: bytes, key: bytes, salt: bytes = b"") -> tuple[int, int]:
        """Put a string under that seed's key: the sequence number, one more than it found, and how many took it."""
        secret = bytearray(hashlib.sha512(seed).digest())  # what its binding calls the secret key
        secret[0] &= 248
        secret[31] = secret[31] & 63 | 64
        signing: dict[str, Any] = {"secret": secret.hex(), "key": key.hex(), "salt": salt.hex()}
        sequence, stored = self._dht("put_signed", value=value.hex(), **signing)
        return sequence, stored

    def get(self, target: bytes) -> bytes:
        """The immutable value that a look-up finds there, encoded."""
        return bytes.fromhex(self._dht("get", target=target.hex()))

    def get_signed(self, key: bytes, salt: bytes = b"") -> tuple[bytes, int]:
        """The first signed value that a look-up finds under that key, encoded, and its sequence number."""
        value, sequence = self._dht("get_signed", key=key.hex(), salt=salt.hex())
        return bytes.fromhex(value), sequence

    def sample(self, host: str, port: int, target: bytes) -> dict[str, Any]:
        """What one node answers that is asked for info hashes (BEP 51): samples, total, interval, how many nodes."""
        told: dict[str, Any] = self._dht("sample", where=(host, port), target=target.hex())
        return told

    def _dht(self, what: str, timeout: float = 15, **request: Any) -> Any:
        return self._ask("dht", timeout, what=what, timeout=timeout, **request)
