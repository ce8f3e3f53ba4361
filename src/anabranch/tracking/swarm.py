"""Who shares one torrent, as a tracker knows them: counted, drawn from by chance, forgotten when not heard of.

A peer is known by its id and its key, which no other peer is told (BEP 3's "key"): so it stays one peer when its
address changes, and when it announces over IPv4 and over IPv6 (BEP 7). Without a key its host stands for it. An address
belongs to one peer at a time, the one that was heard from there last.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

from .announces import Announce, Spot

_FORGOTTEN_AT_ONCE = 1000  # peers; they take some milliseconds


class Chance(Protocol):
    """What chooses among peers. random.Random is one."""

    def sample(self, population: range, k: int) -> list[int]:
        """Draw *k* different ones."""


@dataclass(slots=True)
class Totals:
    """What all swarms of a tracker hold together.

    Args:
        places: Addresses where peers listen.
        seeders: Peers that have everything.
        leechers: Peers that have not.
        of_host: How many of the places are one caller's, of those that are counted.
    """

    places: int = 0
    seeders: int = 0
    leechers: int = 0
    of_host: dict[bytes, int] = field(default_factory=dict)


class _Place:
    """Where a peer listens, in one family."""

    __slots__ = ("heard", "index", "peer", "spot")

    def __init__(self, spot: Spot, peer: _Peer, heard: float) -> None:
        self.spot = spot
        self.peer = peer
        self.heard = heard
        self.index = 0  # in the list that it is drawn from


class _Peer:
    """One program that shares the torrent."""

    __slots__ = ("has_completed", "identity", "is_seed", "peer_id", "places")

    def __init__(self, announce: Announce) -> None:
        self.identity = announce.identity
        self.peer_id = announce.peer_id
        self.is_seed = announce.is_seed
        self.has_completed = False
        self.places: dict[bool, _Place] = {}  # by "is IPv6"

    def heard(self) -> float:
        """When it last announced."""
        return max(place.heard for place in self.places.values())


class Swarm:
    """One torrent's peers. It has one at least, but while it is being changed.

    Args:
        totals: Kept up to date.
        completed: How often the torrent was downloaded before.

    Attributes:
        completed: How often it was downloaded, as told by those who did.
        seeders: Peers that have everything.
    """

    __slots__ = ("_at", "_drawn", "_hosts", "_peers", "_totals", "completed", "seeders")

    def __init__(self, totals: Totals, completed: int) -> None:
        self.completed = completed
        self.seeders = 0
        self._totals = totals
        self._peers: OrderedDict[bytes, _Peer] = OrderedDict()  # by identity, least recently heard first
        self._at: dict[bytes, _Place] = {}  # by compact address
        self._hosts: dict[bytes, int] = {}  # places of each caller
        self._drawn: dict[tuple[bool, bool], list[_Place]] = {}  # by (is IPv6, is seed)

    @property
    def leechers(self) -> int:
        """Peers that have not everything."""
        return len(self._peers) - self.seeders

    @property
    def peers(self) -> int:
        """How many it has."""
        return len(self._peers)

    def knows(self, announce: Announce) -> bool:
        """Whether the peer is here with this very address."""
        place = self._at.get(announce.spot.compact)
        return place is not None and place.peer.identity == announce.identity

    def of_host(self, spot: Spot) -> int:
        """How many places its caller has here."""
        return self._hosts.get(spot.caller, 0)

    def id_at(self, compact: bytes) -> bytes:
        """The id of who listens there."""
        return self._at[compact].peer.peer_id

    def enter(self, announce: Announce, now: float, oldest: float) -> None:
        """Take in what a peer said of itself.

        Args:
            announce: From a peer that is to be listed.
            now: The time.
            oldest: What was heard before that is forgotten.
        """
        spot = announce.spot
        place = self._at.get(spot.compact)
        if place is not None and place.peer.identity != announce.identity:
            self._leave(place)
            place = None
        peer = self._peers.get(announce.identity)
        if peer is None:
            peer = _Peer(announce)
            self._peers[peer.identity] = peer
            self._count(peer, 1)
        elif peer.is_seed != announce.is_seed:
            self._change(peer, announce.is_seed)
        former = peer.places.get(spot.is_v6)
        if place is None:
            place = _Place(spot, peer, now)
            peer.places[spot.is_v6] = place
            self._list(place)
            if former is not None:
                self._unlist(former)
        place.heard = now
        self._peers.move_to_end(peer.identity)
        other = peer.places.get(not spot.is_v6)
        if other is not None and other.heard <= oldest:
            self._leave(other)
        if announce.has_completed and not peer.has_completed:
            peer.has_completed = True
            self.completed += 1

    def leave(self, announce: Announce) -> None:
        """Forget a peer where it is no more; unknown ones are no matter."""
        place = self._at.get(announce.spot.compact)
        if place is None:
            peer = self._peers.get(announce.identity)
            place = peer.places.get(announce.spot.is_v6) if peer is not None else None
        if place is not None:
            self._leave(place)

    def forget_until(self, oldest: float) -> None:
        """Forget who was not heard of since; of very many the rest is for the next time."""
        for _ in range(_FORGOTTEN_AT_ONCE):
            if not self._peers or self._first().heard() > oldest:
                return
            self.forget_one()

    def forget_one(self) -> None:
        """Forget who was heard least recently, if there is anybody."""
        if self._peers:
            for place in list(self._first().places.values()):
                self._leave(place)

    def draw(self, announce: Announce, most: int, chance: Chance, *, v6: bool) -> list[bytes]:
        """Choose peers for who asks: not itself, no seeds for a seed, none of our own machine for who is elsewhere.

        Returns:
            Compact addresses, each once.
        """
        if most <= 0:
            return []
        leechers = self._drawn.get((v6, False), [])
        seeds = self._drawn.get((v6, True), []) if not announce.is_seed else []
        first, count = len(leechers), len(leechers) + len(seeds)
        indices = range(count) if count <= most + 1 else chance.sample(range(count), most + 1)
        drawn = [leechers[index] if index < first else seeds[index - first] for index in indices]
        near = announce.is_near
        return [
            place.spot.compact
            for place in drawn
            if place.peer.identity != announce.identity
            and place.spot.compact != announce.spot.compact
            and (near or not place.spot.is_loopback)
        ][:most]

    def _first(self) -> _Peer:
        return next(iter(self._peers.values()))

    def _leave(self, place: _Place) -> None:
        """Take a place away, and its peer with the last one."""
        peer = place.peer
        del peer.places[place.spot.is_v6]
        self._unlist(place)
        if not peer.places:
            del self._peers[peer.identity]
            self._count(peer, -1)

    def _change(self, peer: _Peer, is_seed: bool) -> None:
        for place in peer.places.values():
            self._undraw(place)
        self._count(peer, -1)
        peer.is_seed = is_seed
        self._count(peer, 1)
        for place in peer.places.values():
            self._redraw(place)

    def _count(self, peer: _Peer, difference: int) -> None:
        if peer.is_seed:
            self.seeders += difference
            self._totals.seeders += difference
        else:
            self._totals.leechers += difference

    def _list(self, place: _Place) -> None:
        self._at[place.spot.compact] = place
        self._redraw(place)
        self._totals.places += 1
        if not place.spot.is_loopback:
            for counted in (self._hosts, self._totals.of_host):
                counted[place.spot.caller] = counted.get(place.spot.caller, 0) + 1

    def _unlist(self, place: _Place) -> None:
        del self._at[place.spot.compact]
        self._undraw(place)
        self._totals.places -= 1
        if not place.spot.is_loopback:
            for counted in (self._hosts, self._totals.of_host):
                counted[place.spot.caller] -= 1
                if not counted[place.spot.caller]:
                    del counted[place.spot.caller]

    def _redraw(self, place: _Place) -> None:
        drawn = self._drawn.setdefault((place.spot.is_v6, place.peer.is_seed), [])
        place.index = len(drawn)
        drawn.append(place)

    def _undraw(self, place: _Place) -> None:
        drawn = self._drawn[place.spot.is_v6, place.peer.is_seed]
        last = drawn.pop()
        if last is not place:  # the last one takes its index
            drawn[place.index] = last
            last.index = place.index
