"""A DHT node behind a socket under attack, by the scripts of DHT_ATTACKS.

On this machine every address of 127.0.0.0/8 is ours to speak from, and so are victims and strangers. A node elsewhere
is attacked from one address: what speaks in the name of others is then said in our own.
"""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from time import monotonic

from anabranch.model import Address, canonical_host
from anabranch.net import is_this_machine

from .dht_attacks import DHT_ATTACKS
from .dht_scene import DhtScene, Heard, Shot
from .dht_talk import query, read

_OURS = 8  # addresses of the attacker's
_STRANGERS = 40  # sockets that speak for others; more would not fit the limit of descriptors everywhere
_LARGEST = 65536  # bytes
_ANSWERS_WITHIN = 1.0  # seconds
_LISTENS_FOR = 0.2  # seconds after the last of an attack
_TRIES = 20  # of an honest question, a second each


@dataclass(frozen=True, slots=True)
class SocketSiege:
    """What an attack on a socket has come to.

    Args:
        attack: Its name.
        sent: Bytes that were sent.
        replied: Bytes that came.
        amplified: Bytes to the victim for each that was sent in its name; 0 where nothing was.
        back_after: Seconds until an honest ping and an honest find_node were answered; None if they were not.
    """

    attack: str
    sent: int
    replied: int
    amplified: float
    back_after: float | None

    def __str__(self) -> str:
        back = "does not answer any more" if self.back_after is None else f"answers after {self.back_after:.1f} s"
        victim = f", {self.amplified:.2f} to the victim for each in its name" if self.amplified else ""
        return f"{self.attack}: {self.sent:,} bytes sent, {self.replied:,} came back{victim}; {back}"


class _Sockets:
    """The sockets of one attack, by their addresses."""

    def __init__(self, resources: ExitStack, hosts: Sequence[str]) -> None:
        self.by_address: dict[Address, socket.socket] = {}
        self.came: Counter[Address] = Counter()  # bytes
        self.sent: Counter[Address] = Counter()
        for host in hosts:
            opened = resources.enter_context(_open(host))
            name = opened.getsockname()
            self.by_address[Address(canonical_host(name[0]), name[1])] = opened

    def send(self, datagram: bytes, source: Address, target: Address) -> None:
        """Send it, or lose it: it may be too large for a datagram, or the socket full."""
        with suppress(OSError):
            self.by_address[source].sendto(datagram, target)
            self.sent[source] += len(datagram)

    def hear(self, target: Address, seconds: float) -> Iterator[Heard]:
        """What comes from there within that time."""
        until = monotonic() + seconds
        addresses = {their_socket: address for address, their_socket in self.by_address.items()}
        while (left := until - monotonic()) > 0:
            for readable in select.select(list(addresses), [], [], left)[0]:
                with suppress(OSError):  # what befell a datagram of ours
                    datagram, name = readable.recvfrom(_LARGEST)
                    if Address(canonical_host(name[0]), name[1]) == target:
                        self.came[addresses[readable]] += len(datagram)
                        yield Heard(datagram, addresses[readable])


class SocketAttacker:
    """Who attacks a node from sockets, in one way after another. A context manager.

    Args:
        target: The node.
        host: The address to speak from; on this machine the ones after it are used, too, new ones for each attack.
        seed: Another number draws other bytes.

    Raises:
        OSError: there is no such address here.
    """

    def __init__(self, target: Address, host: str = "", seed: int = 0) -> None:
        self._target = target
        self._draw = Random(seed)
        self._local = is_this_machine(target.host) and not target.is_v6
        if not host:
            host = "127.0.66.1" if self._local else "::" if target.is_v6 else "0.0.0.0"
        self._host = ip_address(host)
        self._used = 1  # addresses
        self._honest = _open(host)

    def __enter__(self) -> SocketAttacker:
        return self

    def __exit__(self, *_: object) -> None:
        self._honest.close()

    def attack(self, name: str) -> SocketSiege:
        """Attack in one way, from beginning to end.

        Raises:
            OSError: the addresses behind the first one are not there.
        """
        with ExitStack() as resources:
            hosts = self._hosts(_OURS) + self._hosts(1) * _OURS + self._hosts(_STRANGERS)
            sockets = _Sockets(resources, hosts)
            addresses = [*sockets.by_address]
            *others, victim = addresses[2 * _OURS :] or addresses
            scene = DhtScene(
                self._target,
                tuple(addresses[:_OURS]),
                victim,
                lambda: self._draw.choice(others or [victim]),
                lambda: self._draw.choice(addresses[_OURS : 2 * _OURS] or addresses),
                self._draw,
            )
            for step in DHT_ATTACKS[name].script(scene):
                if isinstance(step, Shot):
                    source = step.source if step.source in sockets.by_address else scene.stranger()
                    sockets.send(step.datagram, source, self._target)
                else:
                    self._listen(scene, sockets, step.seconds)
            self._listen(scene, sockets, _LISTENS_FOR)
            in_its_name = sockets.sent[victim] if self._local else 0
            amplified = sockets.came[victim] / in_its_name if in_its_name else 0.0
            sent, came = sockets.sent.total(), sockets.came.total()
        return SocketSiege(name, sent, came, amplified, self.answers())

    def answers(self) -> float | None:
        """Seconds until the node answered an honest ping and an honest find_node; None if it did not."""
        began = monotonic()
        wanted = {b"ping", b"find_node"}
        node_id = self._draw.randbytes(20)
        for _ in range(_TRIES):
            for method in sorted(wanted):
                with suppress(OSError):  # it tells that nobody was there the time before
                    self._honest.sendto(query(method, node_id, method[:4], target=node_id), self._target)
            until = monotonic() + _ANSWERS_WITHIN
            while wanted and (left := until - monotonic()) > 0 and select.select([self._honest], [], [], left)[0]:
                with suppress(OSError):
                    fields = read(self._honest.recv(_LARGEST))
                    if isinstance(fields.get(b"r"), dict):
                        wanted = {method for method in wanted if method[:4] != fields.get(b"t")}
            if not wanted:
                return monotonic() - began
        return None

    def _listen(self, scene: DhtScene, sockets: _Sockets, seconds: float) -> None:
        for heard in sockets.hear(self._target, seconds):
            if heard.at in scene.ours:
                scene.hear(heard)

    def _hosts(self, count: int) -> list[str]:
        """Addresses that were not used before; the only one, where we have no other."""
        if not self._local:
            return [str(self._host)]
        first, self._used = self._used, self._used + count
        return [str(self._host + number) for number in range(first, first + count)]


def _open(host: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.bind((host, 0))
    except OSError:
        opened.close()
        raise
    return opened
