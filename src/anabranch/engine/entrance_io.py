"""Where connections come in: the listeners, and what is done with who knocks.

Network thread only. Descriptors are kept for the disk: connections have three quarters of those that the process may
have. Where they run out all the same, those who have not shaken hands give theirs back; with nobody left of them,
listening pauses, and who waits in the system's queue is taken afterwards.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import chain

from anabranch.model import Address, canonical_host
from anabranch.net import ACCEPT_PAUSE, DescriptorsExhausted, accept_all, descriptor_limit

from .doorkeeping import Doorkeeper
from .link_io import Host, SocketLink
from .metrics import ACCEPTED, TURNED_AWAY
from .ourselves import Ourselves
from .worst import Newcomer, gives_way

log = logging.getLogger(__name__)

_SHARE = 0.75  # of the descriptors
_LOOK_EVERY = 1.0  # seconds between looks at all peers for one that may give way
_OTHERS_WAIT = "others wait to be let in"


class Entrance:
    """The listeners of a client. It sees every connection, the dialed ones as well.

    Args:
        listeners: Sockets that listen; closed by close().
        links: All connections of the client.

    Attributes:
        addresses: Where we listen.
        ourselves: Our own addresses.
    """

    def __init__(self, listeners: list[socket.socket], links: set[SocketLink]) -> None:
        self.addresses = [Address(*listener.getsockname()[:2]) for listener in listeners]
        self.ourselves = Ourselves()
        self.ourselves.listen(self.addresses)
        self._listeners = listeners
        self._links = links
        self._door: Doorkeeper[SocketLink] = Doorkeeper()
        self._most: int | None = None
        self._look_again_at = 0.0
        self._short = False  # of descriptors; said once

    def open(self, host: Host, greet: Callable[[socket.socket, Address], SocketLink]) -> None:
        """Begin to listen; *greet* makes a link of a connection that was taken."""
        self._host = host
        self._greet = greet
        descriptors = descriptor_limit()
        limits = [host.engine.config.total_connections, None if descriptors is None else int(descriptors * _SHARE)]
        self._most = min((limit for limit in limits if limit is not None), default=None)
        for listener in self._listeners:
            self._listen(listener)

    def close(self) -> None:
        """Listen no more."""
        for listener in self._listeners:
            self._host.remove_reader(listener)
            listener.close()

    def room(self) -> int | None:
        """How many more connections the client may have, None for any number."""
        return None if self._most is None else max(self._most - len(self._links), 0)

    def left(self, link: SocketLink) -> None:
        """A connection has ended, whoever began it."""
        self._door.leave(link)

    def blame(self, host: str) -> None:
        """A connection with that host broke the protocol."""
        self._door.blame(host, self._host.engine.clock())

    def _listen(self, listener: socket.socket) -> None:
        self._host.add_reader(listener, partial(self._accept, listener))

    def _pause(self, listener: socket.socket) -> None:
        self._host.remove_reader(listener)
        self._host.later(ACCEPT_PAUSE, partial(self._listen, listener))

    def _accept(self, listener: socket.socket) -> None:
        try:
            for sock, address in accept_all(listener):
                self._take(sock, address)
            self._short = False
        except DescriptorsExhausted as reason:
            if not self._short:
                self._short = True
                log.warning("%s", reason)
            if not self._turn_away():
                self._pause(listener)
        except OSError:  # the listener itself: it is tried again
            log.exception("accept failed")
            self._pause(listener)

    def _take(self, sock: socket.socket, address: Address) -> None:
        try:
            self._welcome(sock, address)
        except Exception:  # bulkhead: our own mistake ends one connection
            log.exception("connection not taken peer=%s", address)
            sock.close()

    def _welcome(self, sock: socket.socket, address: Address) -> None:
        engine = self._host.engine
        host, now = address.host, engine.clock()
        if (metrics := engine.metrics) is not None:
            metrics.add(ACCEPTED, address.is_v6)
        if host in engine.banned or not self._door.admits(host, now) or not self._has_room(host, now):
            sock.close()
            if metrics is not None:
                metrics.add(TURNED_AWAY, "banned" if host in engine.banned else "too many")
            return
        self.note_our_end(sock)
        link = self._greet(sock, address)
        victim = self._door.enter(link, host)
        if victim is not None:
            victim.close(_OTHERS_WAIT)

    def note_our_end(self, sock: socket.socket) -> None:
        """A connection of ours: its end on our side is one of our addresses."""
        with suppress(OSError):  # on some systems a socket that was reset has no name any more
            self.ourselves.are_at(canonical_host(sock.getsockname()[0]))

    def _turn_away(self) -> bool:
        """Send one of those away that have not shaken hands. Says whether there was any."""
        victim = self._door.turn_away()
        if victim is not None:
            victim.close(_OTHERS_WAIT)
        return victim is not None

    def _has_room(self, host: str, now: float) -> bool:
        """Whether the client may have one more connection, if need be instead of another."""
        if self._most is None or len(self._links) < self._most or self._turn_away():
            return True
        if now < self._look_again_at:
            return False
        self._look_again_at = now + _LOOK_EVERY
        engine = self._host.engine
        with engine.turn:
            swarms = [torrent.swarm.peers.values() for torrent in engine.due.lively]
            victim = gives_way(chain.from_iterable(swarms), Newcomer(host), now, self.ourselves)
        if victim is not None:
            victim.link.close(_OTHERS_WAIT)
        return victim is not None
