"""W03: whatever two threads do at the same moment to a torrent that web seeds and peers give, none gets stuck.

Real clients, sockets and threads; the orders are as the machine has them, and threads change places often.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random

import pytest

from anabranch.api import Client, Torrent
from anabranch.model import Closed
from anabranch.storage import MemoryStorage
from anabranch.testing import WebServer
from anabranch.testing.web_scripts import at_rate
from engine.samples import sample
from ours import address_of, make_client, until
from threads import background

SERVER, SEEDER, OURS = "127.0.65.1", "127.0.65.2", "127.0.65.3"
WATCHDOG = 5.0  # seconds after which a call counts as stuck
TORRENTS = 7  # at a time
ITERATIONS = 1000  # pairs of calls, in all
PIECES = 12
CONTENTS = [sample(pieces=PIECES, blocks=2, seed=1000 + number) for number in range(TORRENTS)]


@pytest.fixture(autouse=True)
def threads_change_places_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    """Who has all of it and takes its time, so that requests are under way whatever happens."""
    shelf = {f"{number}.bin": content.content for number, content in enumerate(CONTENTS)}
    with WebServer(shelf, lambda _: at_rate(2e6), host=SERVER) as server:
        yield server


@pytest.fixture(scope="module")
def seeder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A peer that has all of it."""
    with make_client(tmp_path_factory.mktemp("seeder"), SEEDER, upload_rate=4e6) as seeder:
        for content in CONTENTS:
            torrent = seeder.add(content.metainfo, storage=MemoryStorage())
            assert torrent.checked.wait(WATCHDOG)
            for piece in range(PIECES):
                torrent._state.opened().piece(piece).writev(0, [memoryview(content.of_piece(piece))])
            torrent.verify()
            until(lambda: torrent.stats().pieces_complete == PIECES, WATCHDOG)  # noqa: B023 - called at once
        yield seeder


def url_of(server: WebServer, number: int, more: str = "") -> str:
    return f"{server.url}/{number}.bin{more}"


def calls(client: Client, torrent: Torrent, url: str, draw: Random) -> dict[str, Callable[[], object]]:
    """What may be done at the same moment, by any thread."""
    core, state = client._core, torrent._state

    def close_peers() -> None:
        for peer in list(state.swarm.peers.values()):
            core.network.call(peer.link.close, "for the test")

    def spawn() -> None:
        torrent.add_webseeds([url, f"{url}?{draw.randrange(3)}"])
        torrent.download_all()

    def pause() -> None:
        torrent.pause()
        torrent.resume()

    return {
        "drop": torrent.drop,
        "close a peer": close_peers,
        "plan": core.network.plan,
        "spawn": spawn,
        "remove": lambda: torrent.remove_webseed(url),
        "pause": pause,
        "verify": torrent.verify,
    }


NAMES = ("drop", "close a peer", "plan", "spawn", "remove", "pause", "verify")


def together(first: Callable[[], object], second: Callable[[], object]) -> None:
    """Both at once, each in a thread of its own; fails where one of them is stuck."""
    barrier = threading.Barrier(2)

    def act(call: Callable[[], object]) -> None:
        barrier.wait(WATCHDOG)
        with suppress(Closed):  # the torrent or client is gone: that is an answer, too
            call()

    for one in [background(lambda call=call: act(call)) for call in (first, second)]:  # type: ignore[misc]  # bound now
        try:
            one.result(WATCHDOG)
        except TimeoutError:
            pytest.fail("stuck")


def added(client: Client, server: WebServer, seeder: Client, numbers: range) -> list[Torrent]:
    """Torrents in the middle of their downloads."""
    torrents = []
    for number in numbers:
        torrent = client.add(CONTENTS[number].metainfo, storage=MemoryStorage())
        torrent.add_webseeds([url_of(server, number)])
        torrent.add_peers([address_of(seeder)])
        torrent.download_all()
        torrents.append(torrent)
    return torrents


def test_w03_no_two_calls_at_the_same_moment_get_stuck(server: WebServer, seeder: Client, tmp_path: Path) -> None:
    """W03: drop, closing peers, a planner's tick, new requests, removal, pause, check: all pairs, a thousand times."""
    draw = Random(7)
    pairs = list(product(NAMES, NAMES))
    done = asked = met = 0
    with make_client(tmp_path, OURS, debug=True) as client:
        engine = client._core.engine
        while done < ITERATIONS:
            torrents = added(client, server, seeder, range(TORRENTS))
            for number, torrent in enumerate(torrents):
                with engine.turn:
                    asked += bool(torrent._state.swarm.webseeds.fetches)
                    met += bool(torrent._state.swarm.peers)
                first, second = pairs[done % len(pairs)]
                what = calls(client, torrent, url_of(server, number), draw)
                together(what[first], what[second])
                done += 1
            for torrent in torrents:
                torrent.drop()
            for torrent in torrents:
                assert torrent.closed.wait(WATCHDOG), "stuck"
            with engine.turn:
                engine.due.web.requests.check()
                assert not len(engine.due.web.requests)
                assert not engine.due.web.torrents
                assert not engine.pool.lent
    assert done >= ITERATIONS
    assert asked > ITERATIONS // 10, "hardly anything was under way: this proves nothing"
    assert met


@pytest.mark.parametrize("what", NAMES)
def test_w03_a_client_is_closed_while_anything_else_is_done(
    server: WebServer, seeder: Client, what: str, tmp_path: Path
) -> None:
    """W03: close() comes back, with requests under way, and so does whatever came at the same moment."""
    for attempt in range(2):
        client = make_client(tmp_path / str(attempt), OURS)
        torrents = added(client, server, seeder, range(3))
        if attempt:
            threading.Event().wait(0.02)
        together(client.close, calls(client, torrents[0], url_of(server, 0), Random(attempt))[what])
        assert all(torrent.closed.wait(WATCHDOG) for torrent in torrents), "stuck"
