"""The sockets of a client: one port for TCP and UDP, at all its addresses.

Source: the rules of a fork of the Go engine. TCP is listened on unless it is disabled, or no peers are accepted. UDP is
there unless both uTP and the DHT are disabled: without uTP it serves the DHT (and UDP trackers) only, no peer is
accepted or dialed by it. The DHT needs neither TCP nor anybody who wants peers, and no packet of it is dropped for want
of them. The first socket chooses the port and the others take the same; where somebody else has that, another one is
tried, unless the user wants just this.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass, field

from anabranch.model import InputRefused
from anabranch.net import listen, udp_socket

from .config import Config

_TRIES = 10  # ports, where any will do


@dataclass(slots=True)
class Sockets:
    """What is open: TCP listeners and UDP sockets, of one port."""

    listeners: list[socket.socket] = field(default_factory=list)
    datagrams: list[socket.socket] = field(default_factory=list)

    def close(self) -> None:
        """Close all of them."""
        for sock in (*self.listeners, *self.datagrams):
            sock.close()


def open_sockets(config: Config) -> Sockets:
    """Open what is to be listened on; IPv6 only where the machine has it, unless the user names an address.

    Raises:
        InputRefused: an address is not ours, or its port is taken and no other will do.
    """
    port = config.listen_port
    for _ in range(_TRIES - 1):
        try:
            return _open(config, port)
        except InputRefused as refusal:
            if (config.listen_port_fixed and config.listen_port) or not _is_taken(refusal):
                raise
            port = 0
    return _open(config, port)


def _open(config: Config, port: int) -> Sockets:
    opened = Sockets()
    tcp = config.accept_peers and not config.disable_tcp
    udp = not (config.disable_utp and config.disable_dht)
    try:
        for host in config.listen_host or ("0.0.0.0", "::"):
            if config.disable_ipv6 if ":" in host else config.disable_ipv4:
                continue
            try:
                if tcp:
                    opened.listeners.append(listen(host, port, fall_back=False))
                    port = port or opened.listeners[0].getsockname()[1]
                if udp:
                    opened.datagrams.append(udp_socket(host, port))
                    port = port or opened.datagrams[0].getsockname()[1]
            except InputRefused as refusal:
                if config.listen_host or _is_taken(refusal) or not (opened.listeners or opened.datagrams):
                    raise
                # no IPv6 here, and nobody asked for it
    except InputRefused:
        opened.close()
        raise
    return opened


def _is_taken(refusal: InputRefused) -> bool:
    """Whether somebody else has the port: EACCES is Windows' word for one that is held exclusively."""
    cause = refusal.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.EADDRINUSE, errno.EACCES)
