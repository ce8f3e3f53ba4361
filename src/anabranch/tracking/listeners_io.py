"""A tracker on the network: HTTP and UDP, at one port of one or more addresses, on the running loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random
from secrets import token_bytes

from anabranch.model import Address, InputRefused, canonical_host
from anabranch.net import listen, udp_socket

from .datagrams_io import UdpSide
from .holding import Decide, Holding
from .http_io import HttpSide
from .tracker import Heard, Rules, Tracker

ANY = ("0.0.0.0", "::")
_TICK = 5.0  # seconds
_TRIES = 20  # ports of the system's choice that may turn out to be taken for UDP


@dataclass(slots=True)
class _Sockets:
    """What was opened, not served yet.

    Args:
        http: Listeners.
        udp: Datagram sockets.
    """

    http: list[socket.socket] = field(default_factory=list)
    udp: list[socket.socket] = field(default_factory=list)

    def close(self) -> None:
        for sock in self.http + self.udp:
            sock.close()


class Listeners:
    """A tracker that listens from `async with` to the end of the block.

    Args:
        rules: How it serves.
        bind: Our own IP addresses; none for all there are.
        port: For HTTP and UDP alike; 0 lets the system choose.
        http: Whether it is asked by HTTP.
        udp: Whether it is asked by UDP.
        heard: Is told of each announce, on the loop.
        decide: Says which announces are held back or refused; see Holding.

    Raises:
        InputRefused: by `async with`: an address is none of ours, or the port is taken; with the system's words.

    Attributes:
        tracker: What answers.
        holding: What is held back.
        port: Where it listens, once it does.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        bind: Sequence[str] = (),
        port: int = 6969,
        http: bool = True,
        udp: bool = True,
        heard: Heard | None = None,
        decide: Decide | None = None,
    ) -> None:
        if not (http or udp):
            raise InputRefused("a tracker is asked by HTTP or by UDP, or both")
        self.tracker = Tracker(rules, token_bytes(32), Random(), heard)
        self.holding = Holding(decide)
        self.port = port
        self._bind = tuple(bind)
        self._kinds = (http, udp)
        self._http = HttpSide(self.tracker, self.holding)
        self._servers: list[asyncio.Server] = []
        self._udp: list[UdpSide] = []
        self._hosts: list[str] = []
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def urls(self) -> list[str]:
        """Where to announce: HTTP first. For an unspecified address the one that others in the network know us by."""
        schemes = [scheme for scheme, wanted in zip(("http", "udp"), self._kinds, strict=True) if wanted]
        return [
            f"{scheme}://{Address(host, self.port)}/announce"
            for scheme in schemes
            for host in map(_reached_at, self._hosts)
        ]

    @property
    def connections(self) -> HttpSide:
        """Who is connected by HTTP."""
        return self._http

    async def __aenter__(self) -> Listeners:
        sockets, loop = self._open(), asyncio.get_running_loop()
        with ExitStack() as undoing:
            undoing.callback(sockets.close)
            undoing.callback(self.close)
            for sock in sockets.http:
                self._servers.append(await loop.create_server(self._http.talk, sock=sock, backlog=512))
            self._udp = [UdpSide(sock, self.tracker, self.holding) for sock in sockets.udp]
            undoing.pop_all()
        self._tick()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop to listen, and end all connections. Once more is harmless."""
        if self._alarm is not None:
            self._alarm.cancel()
        for server in self._servers:
            server.close()
        for side in self._udp:
            side.close()
        self._http.close()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.tracker.tick(now)
        self._http.tick(now)
        self._alarm = loop.call_later(_TICK, self._tick)

    def _open(self) -> _Sockets:
        """All sockets at one port; where the system chooses it, one that is free for all of them."""
        tries = _TRIES if not self.port and (all(self._kinds) or len(self._bind) != 1) else 1
        for left in reversed(range(tries)):
            try:
                return self._open_once()
            except InputRefused:
                if not left:
                    raise
        raise AssertionError("it is tried once at least")

    def _open_once(self) -> _Sockets:
        http, udp = self._kinds
        sockets, port, hosts = _Sockets(), self.port, []
        with ExitStack() as undoing:
            undoing.callback(sockets.close)
            for host in self._bind or ANY:
                try:
                    if http:
                        sockets.http.append(listen(host, port, fall_back=False))
                        port = sockets.http[-1].getsockname()[1]
                    if udp:
                        sockets.udp.append(udp_socket(host, port))
                        port = sockets.udp[-1].getsockname()[1]
                except InputRefused:
                    if self._bind or host != "::" or _is_spoken(host):
                        raise
                    continue  # a machine without IPv6
                hosts.append(host)
            undoing.pop_all()
        self.port, self._hosts = port, hosts
        return sockets


def _reached_at(host: str) -> str:
    """An address of ours that others may use: *host* itself, or the one that we would speak from."""
    if host not in ANY:
        return host
    is_v6 = ":" in host
    with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("2001:db8::1" if is_v6 else "192.0.2.1", 9))  # examples' addresses; nothing is sent
        except OSError:
            return "::1" if is_v6 else "127.0.0.1"
        return canonical_host(sock.getsockname()[0])


def _is_spoken(host: str) -> bool:
    """Whether the machine has the address's family at all: then it is no reason not to listen."""
    try:
        udp_socket(host, 0).close()
    except InputRefused:
        return False
    return True
