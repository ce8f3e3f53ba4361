"""The addresses that a torrent may dial, where each is known from, and when it may be tried again."""

from __future__ import annotations

from dataclasses import dataclass, field

from anabranch.model import Address

MOST = 500  # candidates of a torrent (the Go engine's TorrentPeersHighWater)
_FIRST_PAUSE = 2.0  # seconds after the first failure; doubled by each further one
_LONGEST_PAUSE = 300.0  # seconds
_PATIENCE = 8  # failures after which a candidate that nobody vouches for is forgotten


@dataclass(slots=True, eq=False)
class Candidate:
    """One address.

    Args:
        address: Where to dial.
        source: Who told us: "user", "incoming", later "tracker", "dht", "pex", "lsd".
    """

    address: Address
    source: str
    failures: int = 0
    not_before: float = 0.0
    engaged: bool = False  # being dialed, or connected
    seed: bool = False  # had everything when last seen


@dataclass(slots=True)
class Candidates:
    """All candidates of one torrent, in the order in which they became known; *most* of them."""

    most: int = MOST
    _known: dict[Address, Candidate] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._known)

    def add(self, address: Address, source: str) -> bool:
        """Remember an address. Tells whether it was new; a full list takes only what the user gave."""
        if address in self._known or (len(self._known) >= self.most and source != "user"):
            return False
        self._known[address] = Candidate(address, source)
        return True

    def get(self, address: Address) -> Candidate | None:
        """The candidate with that address, if it is known."""
        return self._known.get(address)

    def forget(self, candidate: Candidate) -> None:
        """Dial this one no more."""
        self._known.pop(candidate.address, None)

    def waiting(self) -> int:
        """How many are known and not engaged."""
        return sum(not one.engaged for one in self._known.values())

    def next(self, now: float, seeds_too: bool) -> Candidate | None:
        """The candidate to dial now, fewest failures first; *seeds_too* is False while we have everything ourselves."""
        best: Candidate | None = None
        for one in self._known.values():
            if one.engaged or one.not_before > now or (one.seed and not seeds_too):
                continue
            if best is None or one.failures < best.failures:
                best = one
        return best

    def lost(self, candidate: Candidate, now: float, served: bool) -> None:
        """A dial failed or a connection ended. *served*: it was of use, so it may come back soon."""
        candidate.engaged = False
        candidate.failures = 0 if served else candidate.failures + 1
        pause = min(_FIRST_PAUSE * 2 ** min(max(candidate.failures - 1, 0), 10), _LONGEST_PAUSE)
        candidate.not_before = now + pause
        if candidate.failures > _PATIENCE and candidate.source != "user":
            self._known.pop(candidate.address, None)


def half_open_limit(most: int, connected: int, reserve: int, configured: int = 25) -> int:
    """How many dials one torrent may have under way.

    Source: the budget of a fork of the Go engine that serves a fleet: idle torrents must leave room for busy ones.

    Args:
        most: Connections the torrent may have; 0 or less dials nobody.
        connected: Connections it has.
        reserve: Candidates received.
        configured: EstablishedHalfOpen of the configuration.
    """
    if most <= 0:
        return 0
    floor = max(1, most // 4)
    cap = max(2, most // 2)
    return min(max(floor, reserve - most // 2) + (most - connected), configured, cap)
