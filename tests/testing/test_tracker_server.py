"""The tracker for tests of clients: a thread of its own, and a record of all it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection

import pytest

from anabranch.model import InputRefused
from anabranch.testing import TrackerServer
from anabranch.tracking import Counted
from tracking.asking import PEER, announce, connect, target
from tracking.peers import HASH


def ask(server: TrackerServer, path: str, timeout: float = 10.0) -> bytes:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=timeout)) as talk:
        talk.request("GET", path)
        return talk.getresponse().read()


def ask_by_udp(server: TrackerServer) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.connect(("127.0.0.1", server.port))
        asking.send(connect())
        asking.send(announce(asking.recv(100)[8:]))
        return asking.recv(2000)


def test_it_tells_who_announced_what() -> None:
    """Over both, in order."""
    with TrackerServer(interval=77) as server:
        assert server.announce_url == f"http://127.0.0.1:{server.port}/announce"
        assert server.udp_url == f"udp://127.0.0.1:{server.port}/announce"
        assert b"8:intervali77e" in ask(server, target(more="&left=0&event=started"))
        assert ask_by_udp(server)[:4] == b"\0\0\0\x01"
        assert server.wait_for(lambda seen: len(seen.announces) == 2)
        first, second = server.announces
        assert (first.carrier, first.peer_id, first.left, first.event.name) == ("http", PEER, 0, "STARTED")
        assert (second.carrier, second.info_hash, second.port) == ("udp", HASH, 6881)
        assert second.at >= first.at
        assert server.refusals == ["", ""]
        assert server.scrape(HASH) == Counted(0, 1, 0)  # the same address: it was started anew
        assert server.scrape(b"x" * 20) is None
        assert (server.counts.http, server.counts.udp, server.connections, server.most_busy) == (1, 1, 1, 1)


def test_it_answers_as_the_test_decides() -> None:
    """Words refuse; rules change while it runs."""
    with TrackerServer(decide=lambda one: "go away" if one.port == 1 else None) as server:
        assert ask(server, target(port=1)) == b"d14:failure reason7:go awaye"
        assert b"interval" in ask(server, target(port=2))
        server.decide = None
        assert b"interval" in ask(server, target(port=1))
        server.serve(only=set())
        assert b"not registered" in ask(server, target())
        server.serve(interval=5)
        assert b"8:intervali5e12:min intervali5e" in ask(server, target())
        assert server.refusals[0] == "go away"


def test_answers_that_are_held_back_are_counted() -> None:
    """So a test sees how many a client sends at once."""
    gate = threading.Event()
    with TrackerServer(decide=lambda _: 0.05 if gate.is_set() else 60.0) as server:
        callers = [threading.Thread(target=give_up, args=(lambda: ask(server, target(), 0.5),)) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert (server.most_busy, server.most_open) == (3, 3)
        gate.set()
        assert b"interval" in ask(server, target())


def give_up(call: Callable[[], object]) -> None:
    with pytest.raises(TimeoutError):
        call()


def test_it_may_go_away_and_come_back_at_the_same_port() -> None:
    """As trackers do; what it was told stays on record."""
    server = TrackerServer()
    with pytest.raises(InputRefused, match="not been entered"):
        server.urls  # noqa: B018 # asking is what is tested
    with server:
        ask(server, target())
        port = server.port
    with pytest.raises(OSError):
        ask(server, target())
    with server:
        assert server.port == port
        ask(server, target())
        assert server.scrape(HASH) == Counted(0, 1, 0)
    assert len(server.announces) == 2


def test_a_port_that_is_taken_is_told_at_once() -> None:
    """In the thread that wanted it."""
    with TrackerServer() as first, pytest.raises(InputRefused, match="in use"), TrackerServer(port=first.port):
        pass


def test_waiting_has_an_end() -> None:
    """For what does not come."""
    with TrackerServer() as server:
        assert not server.wait_for(lambda seen: bool(seen.announces), timeout=0.01)
