"""What peers are told of one another: who came and who left, to each listener once, a little at a time.

Source: BEP 11; the numbers are those of the Go engine. Messages are pex.py's. Who may be told of, and what becomes of
those we are told of, is for the engine to say: private torrents have no feed.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice
from math import inf

from anabranch.model import Address, PeerFault

from .pex import PexMessage, PexPeer

INTERVAL = 60.0  # seconds between two messages to the same peer
RETRY = 10.0  # seconds until we look again, where there was nothing to tell
LEAST_INTERVAL = 45.0  # seconds between two messages from the same peer; they are sent 60 apart, and networks jitter
MOST_CHANGES = 50  # of one message: came and left, of both families
FEW = 25  # live ones; in a smaller swarm those who left are still told of, lest it fall apart
MOST_HELD = 25  # of them
MOST_EVENTS = 1024  # kept for the slowest listener; in a minute, for one torrent, that is a flood

_Event = tuple[Address, bool]  # who, and whether it came


class PexFeed:
    """Who is in one torrent's swarm, and what changed lately. What an event costs does not depend on the listeners.

    Listeners read as far as there is to read, so the one that read longest ago has read least: what it has, all have,
    and that is forgotten.
    """

    __slots__ = ("_first", "_held", "_listeners", "_live", "_log")

    def __init__(self) -> None:
        self._live: dict[Address, PexPeer] = {}
        self._held: dict[Address, PexPeer] = {}  # left, and nobody was told
        self._log: deque[_Event] = deque()  # of one address: by turns came and left
        self._first = 0  # the number of the log's first event
        self._listeners: OrderedDict[PexTalk, int] = OrderedDict()  # the number of the event each reads next

    def __len__(self) -> int:
        """How many are live."""
        return len(self._live)

    def joined(self, peer: PexPeer) -> None:
        """Somebody is connected to us. Told again of the same address, it is only described anew, to new listeners."""
        address = peer.address
        known = address in self._live or self._held.pop(address, None) is not None
        self._live[address] = peer
        if not known:
            self._note(address, came=True)
        if self._held and len(self._live) >= FEW:
            for gone in self._held:
                self._note(gone, came=False)
            self._held.clear()

    def left(self, address: Address) -> None:
        """It is connected no more. Addresses that never joined are passed over."""
        peer = self._live.pop(address, None)
        if peer is None:
            return
        if len(self._live) >= FEW:
            self._note(address, came=False)
            return
        self._held[address] = peer
        if len(self._held) > MOST_HELD:
            oldest = next(iter(self._held))
            del self._held[oldest]
            self._note(oldest, came=False)

    def known(self) -> dict[Address, PexPeer]:
        """Those that a new listener is told of."""
        return self._held | self._live

    def who(self, address: Address) -> PexPeer | None:
        """What is known of it now."""
        return self._live.get(address) or self._held.get(address)

    def news(self, listener: PexTalk) -> list[_Event] | None:
        """What happened since the listener last asked; None where that is not known (it is new, or slow)."""
        end = self._first + len(self._log)
        position = self._listeners.get(listener, -1)
        self._listeners[listener] = end
        self._listeners.move_to_end(listener)
        events = list(islice(self._log, position - self._first, None)) if position >= self._first else None
        while self._first < next(iter(self._listeners.values())):
            self._log.popleft()
            self._first += 1
        return events

    def forget(self, listener: PexTalk) -> None:
        """Keep nothing for it any more."""
        self._listeners.pop(listener, None)
        if not self._listeners:
            self._first += len(self._log)
            self._log.clear()

    def _note(self, address: Address, *, came: bool) -> None:
        if not self._listeners:
            return
        self._log.append((address, came))
        if len(self._log) > MOST_EVENTS:
            self._log.popleft()
            self._first += 1


class PexTalk:
    """What one peer is told of the others, and how often it tells us.

    A listener so slow that the feed has forgotten what it missed is told of all who are there, and of some who left it
    never hears.

    Args:
        feed: Of the torrent.
        address: Where the peer listens: it is not told of itself.
        now: Seconds on the clock that all calls share.
    """

    __slots__ = ("_address", "_due", "_feed", "_heard", "_untold")

    def __init__(self, feed: PexFeed, address: Address, now: float) -> None:
        self._feed = feed
        self._address = address
        self._due = now
        self._heard = -inf
        self._untold: dict[Address, bool] = {}  # whether it came or left; what did not fit into the last message

    def deadline(self) -> float:
        """When due() is worth a call."""
        return self._due

    def due(self, now: float) -> bytes | None:
        """The payload to send now; None if it is too early, or nothing happened."""
        if now < self._due:
            return None
        self._catch_up()
        self._due = now + (INTERVAL if self._untold else RETRY)
        if not self._untold:
            return None
        told = list(islice(self._untold.items(), MOST_CHANGES))
        for address, _ in told:
            del self._untold[address]
        came = [self._feed.who(address) for address, came in told if came]
        left = [address for address, came in told if not came]
        return PexMessage(tuple(peer for peer in came if peer is not None), tuple(left)).payload()

    def heard(self, payload: bytes, now: float) -> PexMessage:
        """Read what the peer tells.

        Raises:
            PeerFault: too soon after the last one, or unreadable.
        """
        silence = now - self._heard
        if silence < LEAST_INTERVAL:
            raise PeerFault(f"peer exchange again after {silence:.0f} s, {LEAST_INTERVAL:.0f} are the least")
        self._heard = now
        return PexMessage.parse(payload)

    def close(self) -> None:
        """The peer is gone; nothing is told any more. Closing twice is harmless."""
        self._feed.forget(self)
        self._due = inf

    def _catch_up(self) -> None:
        events = self._feed.news(self)
        if events is None:
            known = self._feed.known()
            gone = {address: False for address, came in self._untold.items() if not came and address not in known}
            self._untold = gone | dict.fromkeys(known, True)
            self._untold.pop(self._address, None)
            return
        for address, came in events:
            if self._untold.pop(address, came) == came and address != self._address:  # else each undoes the other
                self._untold[address] = came
