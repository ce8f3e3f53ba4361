"""Which sockets a client has: the rules for families, TCP, UDP, and the port that they share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from anabranch.engine import sockets_io
from anabranch.engine.config import Config
from anabranch.engine.sockets_io import Sockets, open_sockets
from anabranch.model import InputRefused
from anabranch.net import listen, udp_socket

HOST = "127.0.7.61"


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """A UDP port that somebody has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        yield sock


def opened(**settings: object) -> tuple[int, int]:
    """How many listeners and how many UDP sockets there are, all of one port."""
    sockets = open_sockets(Config(**{"listen_host": (HOST, "::1"), "listen_port": 0, **settings}))  # type: ignore[arg-type]  # fields
    counts = len(sockets.listeners), len(sockets.datagrams)
    ports = {port_of(sock) for sock in (*sockets.listeners, *sockets.datagrams)}
    sockets.close()
    assert len(ports) == (1 if sum(counts) else 0)
    return counts


def port_of(sock: socket.socket) -> int:
    port = sock.getsockname()[1]
    assert isinstance(port, int)
    return port


@pytest.mark.parametrize(
    ("settings", "listeners", "datagrams"),
    [
        ({}, 2, 2),
        ({"disable_utp": True}, 2, 2),  # W33: the DHT needs UDP, whatever peers speak
        ({"disable_dht": True}, 2, 2),
        ({"disable_utp": True, "disable_dht": True}, 2, 0),
        ({"disable_tcp": True}, 0, 2),
        ({"disable_tcp": True, "disable_utp": True}, 0, 2),  # nobody can be accepted, and the DHT is there
        ({"disable_tcp": True, "disable_utp": True, "disable_dht": True}, 0, 0),
        ({"accept_peers": False, "disable_utp": True}, 0, 2),
        ({"disable_ipv6": True}, 1, 1),
        ({"disable_ipv4": True}, 1, 1),
        ({"disable_ipv4": True, "disable_ipv6": True}, 0, 0),
    ],
)
def test_what_is_listened_on_follows_from_what_is_disabled(
    settings: dict[str, object], listeners: int, datagrams: int
) -> None:
    """TCP unless disabled or nobody is accepted; UDP unless uTP and the DHT are; a disabled family never."""
    assert opened(**settings) == (listeners, datagrams)


def test_where_somebody_has_the_port_for_udp_another_one_serves_for_both(taken: socket.socket) -> None:
    """The first socket picks the port, the others must have the same."""
    sockets = open_sockets(Config(listen_host=(HOST,), listen_port=port_of(taken)))
    tcp, udp = port_of(sockets.listeners[0]), port_of(sockets.datagrams[0])
    sockets.close()
    assert tcp == udp != port_of(taken)


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(taken: socket.socket) -> None:
    """And nothing stays open."""
    with pytest.raises(InputRefused, match="in use"):
        open_sockets(Config(listen_host=(HOST,), listen_port=port_of(taken), listen_port_fixed=True))
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind((HOST, port_of(taken)))


def test_any_port_will_do_where_none_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the system chose for TCP may be somebody's for UDP: another one is, also where ports are fixed."""
    taken: list[socket.socket] = []

    def listen_unluckily(host: str, port: int, *, fall_back: bool) -> socket.socket:
        sock = listen(host, port, fall_back=fall_back)
        if not taken:
            taken.append(udp_socket(host, port_of(sock)))
        return sock

    monkeypatch.setattr(sockets_io, "listen", listen_unluckily)
    sockets = open_sockets(Config(listen_host=(HOST,), listen_port=0, listen_port_fixed=True))
    assert port_of(sockets.datagrams[0]) == port_of(sockets.listeners[0]) != port_of(taken[0])
    sockets.close()
    taken[0].close()


def test_an_address_that_is_not_ours_is_an_error() -> None:
    """No other port would be better."""
    with pytest.raises(InputRefused, match=r"192\.0\.2\.1"):
        open_sockets(Config(listen_host=("192.0.2.1",)))


def test_closing_leaves_nothing_open() -> None:
    """Every one of them."""
    sockets: Sockets = open_sockets(Config(listen_host=(HOST,), listen_port=0))
    sockets.close()
    assert all(sock.fileno() < 0 for sock in (*sockets.listeners, *sockets.datagrams))
