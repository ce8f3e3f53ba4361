"""Where we are: the addresses that would reach ourselves, and the one that peers see us at.

Network thread only. What others tell of our address is a vote, one for each of their networks: no single liar decides.
Nothing depends on it but the order of dials. What turned out to be ourselves by the peer id is remembered as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from anabranch.model import Address
from anabranch.net import neighbourhood, peer_priority

K = TypeVar("K")
V = TypeVar("V")
_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_MOST_LEARNED = 64  # addresses: a name, a router's outside and a tunnel lead to us; thousands would be a flood
_MOST_VOICES = 64  # networks whose word is kept; the latest


class Ourselves:
    """Our own addresses.

    Attributes:
        changes: Grows whenever priority() may answer differently than before.
    """

    def __init__(self) -> None:
        self.changes = 0
        self._listening: tuple[Address, ...] = ()
        self._ports: frozenset[int] = frozenset()
        self._hosts: dict[str, None] = {}  # the ends of connections on our side; the latest last
        self._learned: dict[Address, None] = {}
        self._voices: dict[str, str] = {}  # neighbourhood of who told -> what it told
        self._seen: dict[bool, Address] = {}  # is it IPv6 -> the address that peers see

    def __contains__(self, address: Address) -> bool:
        """Whether a dial to that address would reach ourselves, as far as is known."""
        if address in self._learned or address in self._listening:
            return True
        if address.port not in self._ports:
            return False
        host = address.host
        ours = host in self._hosts or host.startswith("127.") or host == "::1"
        return ours and any(
            one.port == address.port and one.host in _EVERYWHERE and one.is_v6 == address.is_v6
            for one in self._listening
        )

    def listen(self, addresses: Iterable[Address]) -> None:
        """We accept connections at these from now on; "0.0.0.0" and "::" stand for all of their family."""
        self._listening = tuple(addresses)
        self._ports = frozenset(one.port for one in self._listening)
        for one in self._listening:
            if one.host not in _EVERYWHERE:
                self.are_at(one.host)
        self._look_again()

    def are_at(self, host: str) -> None:
        """A connection of ours has this address at our end."""
        if host in self._hosts or host in _EVERYWHERE:
            return
        self._hosts[host] = None
        _keep_latest(self._hosts, _MOST_LEARNED)
        self._look_again()

    def learn(self, address: Address) -> None:
        """Who answered there had our own peer id."""
        self._learned[address] = None
        _keep_latest(self._learned, _MOST_LEARNED)

    def told(self, host: str, by: str) -> None:
        """Somebody at the address *by* sees us at the address *host* (BEP 24's yourip, a tracker's external ip).

        Raises:
            ValueError: *by* is not an IP address.
        """
        voice = neighbourhood(by)
        if self._voices.pop(voice, None) != host:
            self._voices[voice] = host
            _keep_latest(self._voices, _MOST_VOICES)
            self._look_again()
        else:
            self._voices[voice] = host

    def seen_as(self, v6: bool) -> Address | None:
        """Where peers of that family see us: what most of them say, else our end of a connection."""
        return self._seen.get(v6)

    def priority(self, theirs: Address) -> int:
        """BEP 40's priority of a connection to them; 0 for all while our own address is not known."""
        ours = self._seen.get(theirs.is_v6)
        return peer_priority(ours, theirs) if ours is not None else 0

    def _look_again(self) -> None:
        port = min(self._ports, default=0)
        votes = Counter(self._voices.values())
        seen: dict[bool, Address] = {}
        for v6 in (False, True):
            told = [(count, host) for host, count in votes.items() if (":" in host) == v6]
            local = [host for host in self._hosts if (":" in host) == v6]
            if told:
                seen[v6] = Address(max(told)[1], port)
            elif local:
                seen[v6] = Address(local[0], port)
        if seen != self._seen:
            self._seen = seen
            self.changes += 1


def _keep_latest(table: dict[K, V], most: int) -> None:
    while len(table) > most:
        del table[next(iter(table))]
