"""By which hashes peers may speak about our torrents.

A hybrid torrent has two names, its v1 info hash and its truncated v2 info hash (BEP 52); an obfuscated connection names
a torrent by a hash of its info hash (MSE). Here each of them leads to the torrent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from anabranch.crypto import obfuscated
from anabranch.model import InfoHash

from .state import TorrentState


@dataclass(slots=True)
class Directory:
    """Every name of every torrent. Belongs to whoever has the turn."""

    _by_hash: dict[InfoHash, list[TorrentState]] = field(default_factory=dict)  # who came first is meant
    _by_secret: dict[bytes, InfoHash] = field(default_factory=dict)

    def add(self, torrent: TorrentState) -> None:
        """Enter the torrent under all its names; those that another one has already stay that one's while it is here.

        Only two that were added by different names of one torrent, before either was learned, can share any.
        """
        for name in names_of(torrent):
            self._by_hash.setdefault(name, []).append(torrent)
            self._by_secret[obfuscated(name)] = name

    def remove(self, torrent: TorrentState) -> None:
        """Take the torrent out."""
        for name in names_of(torrent):
            sharing = self._by_hash.get(name, [])
            if torrent in sharing:
                sharing.remove(torrent)
                if not sharing:
                    del self._by_hash[name]
                    del self._by_secret[obfuscated(name)]

    def get(self, name: InfoHash) -> TorrentState | None:
        """The torrent of that name."""
        found = self._by_hash.get(name)
        return found[0] if found else None

    def every(self, name: InfoHash) -> Sequence[TorrentState]:
        """All torrents of that name."""
        return tuple(self._by_hash.get(name, ()))

    def find(self, names: Iterable[InfoHash]) -> TorrentState | None:
        """The torrent that has any of these names."""
        return next((found for name in names if (found := self.get(name)) is not None), None)

    def find_secret(self, secret: bytes) -> InfoHash | None:
        """The info hash that an obfuscated connection means. Needs no turn: it is one look into a dict."""
        return self._by_secret.get(secret)


def names_of(torrent: TorrentState) -> tuple[InfoHash, ...]:
    """What the torrent is called: what it was added as, and what its info dictionary says, each once."""
    return tuple(dict.fromkeys((torrent.info_hash, *torrent.metainfo.info.swarm_hashes)))
