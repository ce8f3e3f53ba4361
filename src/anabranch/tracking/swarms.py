"""All swarms of a tracker, in memory and bounded.

Peers are forgotten when they were not heard of for two intervals, and before that where there are too many: the least
recently heard go first. One caller can hold only a share, so that nobody pushes all others out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from anabranch.tracker import Event

from .announces import Announce, Refusal
from .swarm import Chance, Swarm, Totals

NOT_SERVED = "torrent not registered with this tracker"
_EXPIRED_AT_ONCE = 1000  # swarms of one tick()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tracker keeps. A peer takes about 1 KB, and its torrent as much again.

    Args:
        torrents: That have peers. As many are remembered only by how often they were downloaded.
        peers: Addresses of peers in all torrents.
        peers_of_torrent: In one.
        of_caller: Addresses that one caller (an IPv4 address, an IPv6 network) has in all torrents; programs of our
            own machine may have any number, as of the next.
        of_caller_in_torrent: In one.
        given: Peers told to one asker.
    """

    torrents: int = 100_000
    peers: int = 400_000
    peers_of_torrent: int = 20_000
    of_caller: int = 40_000
    of_caller_in_torrent: int = 100
    given: int = 200


@dataclass(frozen=True, slots=True)
class Counted:
    """A torrent in numbers."""

    seeders: int = 0
    leechers: int = 0
    completed: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What a peer is told.

    Args:
        counted: The torrent in numbers, the asker included.
        v4: Compact addresses of IPv4 peers.
        v6: Of IPv6 peers.
        id_at: Gives the peer id of any of them, until the next announce.
    """

    counted: Counted
    v4: list[bytes]
    v6: list[bytes]
    id_at: Callable[[bytes], bytes]


class Swarms:
    """Who shares which torrent.

    Args:
        chance: Chooses whom to tell of.
        limits: How much is kept.
        only: The info hashes that are served; None for all.
    """

    def __init__(self, chance: Chance, limits: Limits | None = None, only: Collection[bytes] | None = None) -> None:
        self.limits = limits or Limits()
        self.only = only
        self._chance = chance
        self._swarms: OrderedDict[bytes, Swarm] = OrderedDict()  # by info hash, least recently heard first
        self._heard: dict[bytes, float] = {}
        self._past: OrderedDict[bytes, int] = OrderedDict()  # how often those without peers were downloaded
        self._totals = Totals()

    @property
    def torrents(self) -> int:
        """How many have peers."""
        return len(self._swarms)

    @property
    def seeders(self) -> int:
        """Of all torrents."""
        return self._totals.seeders

    @property
    def leechers(self) -> int:
        """Of all torrents."""
        return self._totals.leechers

    def serves(self, info_hash: bytes) -> bool:
        """Whether the torrent is one of those that may be announced here."""
        return self.only is None or info_hash in self.only

    def announce(self, announce: Announce, now: float, life: float) -> Told:
        """Take in what a peer said, and choose whom to tell it of.

        Args:
            announce: What it said.
            now: The time.
            life: Seconds after which who is not heard of is forgotten.

        Raises:
            Refusal: the torrent is not served here, or the caller has too much here.
        """
        info_hash = announce.info_hash
        if not self.serves(info_hash):
            raise Refusal(NOT_SERVED)
        swarm = self._swarms.get(info_hash)
        if swarm is not None:
            swarm.forget_until(now - life)
        if announce.event is Event.STOPPED:
            if swarm is not None:
                swarm.leave(announce)
        elif announce.spot.is_listed:
            swarm = self._enter(announce, swarm, now, now - life)
        told = self._told(announce, swarm)
        if swarm is not None and not swarm.peers:
            self._end(info_hash, swarm)
        return told

    def scrape(self, info_hash: bytes, now: float, life: float) -> Counted | None:
        """A torrent in numbers; None where it is not known, or not served."""
        if not self.serves(info_hash):
            return None
        swarm = self._swarms.get(info_hash)
        if swarm is not None:
            swarm.forget_until(now - life)
            if swarm.peers:
                return _counted(swarm)
            self._end(info_hash, swarm)
        completed = self._past.get(info_hash)
        return Counted(completed=completed) if completed is not None else None

    def tick(self, now: float, life: float) -> None:
        """Let time pass: forget torrents nobody announces any more, a bounded number at a time."""
        for _ in range(_EXPIRED_AT_ONCE):
            info_hash = next(iter(self._swarms), b"")
            if not info_hash or self._heard[info_hash] > now - life:
                return
            swarm = self._swarms[info_hash]
            swarm.forget_until(now - life)
            if swarm.peers:
                return
            self._end(info_hash, swarm)

    def _enter(self, announce: Announce, swarm: Swarm | None, now: float, oldest: float) -> Swarm:
        if swarm is None or not swarm.knows(announce):
            self._make_room(announce, swarm)
            swarm = self._swarms.get(announce.info_hash)  # it may have been what made room
        if swarm is None:
            swarm = Swarm(self._totals, self._past.pop(announce.info_hash, 0))
            self._swarms[announce.info_hash] = swarm
        swarm.enter(announce, now, oldest)
        self._heard[announce.info_hash] = now
        self._swarms.move_to_end(announce.info_hash)
        return swarm

    def _make_room(self, announce: Announce, swarm: Swarm | None) -> None:
        limits, spot = self.limits, announce.spot
        if self._totals.of_host.get(spot.caller, 0) >= limits.of_caller:
            raise Refusal("too many peers from your address")
        if swarm is not None and swarm.of_host(spot) >= limits.of_caller_in_torrent:
            raise Refusal("too many peers of this torrent from your address")
        if swarm is not None and swarm.peers >= limits.peers_of_torrent:
            swarm.forget_one()
        if self._totals.places >= limits.peers:
            self._forget_oldest(all_of_it=False)
        if announce.info_hash not in self._swarms and len(self._swarms) >= limits.torrents:
            self._forget_oldest(all_of_it=True)

    def _forget_oldest(self, *, all_of_it: bool) -> None:
        """Forget a peer of the torrent that was heard of least recently, or that torrent."""
        info_hash, oldest = next(iter(self._swarms.items()))
        oldest.forget_one()
        while all_of_it and oldest.peers:
            oldest.forget_one()
        if not oldest.peers:
            self._end(info_hash, oldest)

    def _end(self, info_hash: bytes, swarm: Swarm) -> None:
        """Forget a torrent without peers, but how often it was downloaded."""
        del self._swarms[info_hash]
        del self._heard[info_hash]
        if swarm.completed:
            self._past[info_hash] = swarm.completed
            if len(self._past) > self.limits.torrents:
                self._past.popitem(last=False)

    def _told(self, announce: Announce, swarm: Swarm | None) -> Told:
        if swarm is None:
            return Told(Counted(), [], [], lambda _: b"")
        most = 0 if announce.event is Event.STOPPED else min(announce.wanted, self.limits.given)
        is_v6 = announce.spot.is_v6
        own = swarm.draw(announce, most, self._chance, v6=is_v6)
        # Who has both families often asks over one: by HTTP, which has room for both (BEP 7), it is told of both.
        rest = most - len(own) if announce.carrier == "http" else 0
        other = swarm.draw(announce, rest, self._chance, v6=not is_v6)
        v4, v6 = (other, own) if is_v6 else (own, other)
        return Told(_counted(swarm), v4, v6, swarm.id_at)


def _counted(swarm: Swarm) -> Counted:
    return Counted(swarm.seeders, swarm.leechers, swarm.completed)
