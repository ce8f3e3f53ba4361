"""Web seeds for ten minutes of real time: everything at once, again and again, and the book fits at every step.

ANABRANCH_SOAK says how many seconds it takes. A run is another one each time; ANABRANCH_SOAK_SEED repeats the choices
of one, though not what threads and sockets make of them. `make soak`.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Literal

import pytest

import trees
from anabranch.api import Client, Priority, Torrent, create
from anabranch.engine import fetching
from anabranch.engine.buffers import POOL_SIZE
from anabranch.model import TorrentError
from anabranch.testing import WEB_KINDS, WebRequest, WebScript, WebServer, at_rate
from anabranch.webseed import HOST_REQUESTS
from interop.nginx import Nginx
from ours import KIB, MIB, make_client, until

SECONDS = float(os.environ.get("ANABRANCH_SOAK", "600"))
SEED = int(os.environ.get("ANABRANCH_SOAK_SEED", "0")) or SystemRandom().getrandbits(32)
CLIENTS = [f"127.0.67.{number}" for number in (1, 2, 3)]
FAST, MOODY, SLOW = "127.0.68.1", [f"127.0.68.{number}" for number in (2, 3, 4)], "127.0.68.5"
STEP = 0.02  # seconds between steps
MOST_MEMORY = len(CLIENTS) * POOL_SIZE + 64 * MIB  # bytes that may be added after the first fifth: buffers fill late
MOST_DESCRIPTORS = 3 * 5 * (12 + 10) * 2 + 140  # 3 clients, 5 servers, connections in use or kept, both ends; files
HONEST = 0.6  # of the requests that moody servers answer

Version = Literal["v1", "v2", "hybrid"]

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS + 180)]


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fails is tried again soon, so that there is more of everything."""
    monkeypatch.setattr(fetching, "LONGEST_REST", 0.5)


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No mistake of ours comes to light: what the book finds in a plan is one, too."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def moody(draw: Random) -> Callable[[WebRequest], str | WebScript]:
    """Who answers most requests well, slowly or at once, and the others in any way there is."""
    kinds = [*WEB_KINDS]

    def choose(request: WebRequest) -> str | WebScript:
        if draw.random() < HONEST:
            return "honest" if draw.random() < 0.5 else at_rate(draw.choice([200 * KIB, 2 * MIB, 20 * MIB]))
        return draw.choice(kinds)

    return choose


@dataclass
class Shelf:
    """What is served, and torrents of it that name no web seeds."""

    folder: Path
    torrents: list[bytes] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def put(self, name: str, piece_length: int, version: Version, *lengths: int) -> None:
        """A file, or a folder of several."""
        for number, length in enumerate(lengths):
            place = self.folder / name if len(lengths) == 1 else self.folder / name / f"file {number}.bin"
            trees.make_file(place, length, len(self.names) * 100 + number)
        self.torrents.append(create(self.folder / name, piece_length=piece_length, version=version))
        self.names.append(name)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("shelf"))
    shelf.put("large.bin", MIB, "v1", 200 * MIB)  # several slices
    shelf.put("folder", 256 * KIB, "v1", *[700_000] * 30, 0, 5, 100 * KIB)
    shelf.put("short pieces", 16 * KIB, "v1", 3 * MIB, 2 * MIB)
    shelf.put("new", MIB, "v2", 500_000, 500_000, 9 * MIB)  # gaps between the files
    shelf.put("both", 512 * KIB, "hybrid", 3_000_000, 40, 8 * MIB)  # pad files
    for number in range(5):
        shelf.put(f"usual {number}.bin", 128 * KIB, "v1", 4 * MIB + number)
    return shelf


class Scene:
    """Clients that do anything, and what must be so of them at every moment."""

    def __init__(self, shelf: Shelf, place: Path, urls: list[str], draw: Random) -> None:
        self.shelf, self.place, self.urls, self.draw = shelf, place, urls, draw
        self.clients: dict[str, Client] = {}
        self.bytes = self.requests = 0  # of clients that were closed
        for host in CLIENTS:
            self.open(host)

    def open(self, host: str) -> None:
        """Start a client; it knows what it was at."""
        client = self.clients[host] = make_client(self.place / host, host, debug=True, disable_trackers=True)
        client.restore()

    def close(self, host: str) -> None:
        """End a client. Its counters have to add up by then."""
        client = self.clients.pop(host)
        assert client.close(30)
        book = client._core.engine.due.web.requests
        book.check()
        assert not book.live()
        assert client._core.engine.pool.lent == 0
        told = client.metrics()
        came, cancelled, failed = (
            sum(count for name, count in told.items() if name.startswith(f"webseed_requests_{how}_total"))
            for how in ("finished", "cancelled", "failed")
        )
        planned = told.get("webseed_requests_planned_total", 0)
        assert came + cancelled <= planned <= came + cancelled + failed  # who failed may rest when cancelled
        self.requests += planned
        self.bytes += told.get("webseed_bytes_received_total", 0)

    def end(self) -> None:
        """Close those that are open."""
        for host in [*self.clients]:
            self.close(host)

    def look(self) -> None:
        """The book agrees with itself, with the torrents and with the limits, in every client."""
        for client in self.clients.values():
            core = client._core
            with core.turn:
                web, torrents = core.engine.due.web, core.engine.torrents
                web.requests.check()
                live = list(web.requests.live())
                assert all(web.requests.at_host(request.seed.host) <= HOST_REQUESTS for request in live)
                assert {request.key.torrent for request in live} <= set(torrents)
                fetches = {fetch for torrent in torrents.values() for fetch in torrent.swarm.webseeds.fetches}
                assert {fetch.request for fetch in fetches} <= set(live)
                assert set(web.thirsty) <= fetches

    def step(self) -> str:
        """Something happens to somebody. Answers what."""
        draw = self.draw
        host = draw.choice(CLIENTS)
        client = self.clients[host]
        if draw.random() < 0.003:
            self.close(host)
            self.open(host)
            return "restart"
        torrents = client.torrents
        if not torrents or draw.random() < 0.08:
            self.add(client)
            return "add"
        torrent = draw.choice(torrents)
        name = draw.choice([*DEEDS])
        try:
            DEEDS[name](self, torrent)
        except TorrentError:  # dropped, or of two minds: as the deed before made it
            return f"{name} refused"
        return name

    def add(self, client: Client) -> None:
        """Anything, from some of the servers. What the same was before may still be closing."""
        torrent = client.add(self.draw.choice(self.shelf.torrents))
        self.seeds(torrent)
        if self.draw.random() < 0.8:
            torrent.download_all()

    def seeds(self, torrent: Torrent) -> None:
        """More of them."""
        torrent.add_webseeds([f"{url}/" for url in self.draw.sample(self.urls, 3)] + [self.url_of(torrent)])

    def url_of(self, torrent: Torrent) -> str:
        """A URL that is wrong for a folder."""
        return f"{self.urls[0]}/{torrent.name.replace(' ', '%20')}"

    def unseed(self, torrent: Torrent) -> None:
        """One less."""
        if statuses := torrent.webseed_statuses():
            torrent.remove_webseed(self.draw.choice(statuses).url)

    def drop(self, torrent: Torrent) -> None:
        """Away with it and what there is of it, for it to be fetched anew; often only where there is all."""
        if torrent.stats().complete or self.draw.random() < 0.1:
            torrent.drop(delete_data=self.draw.random() < 0.8)

    def prefer(self, torrent: Torrent) -> None:
        """Some pieces are worth something else."""
        first = self.draw.randrange(torrent.piece_count)
        for piece in range(first, min(first + 5, torrent.piece_count)):
            torrent.piece(piece).priority = self.draw.choice([*Priority])

    def cancel(self, torrent: Torrent) -> None:
        """Some pieces are worth nothing."""
        first = self.draw.randrange(torrent.piece_count)
        torrent.cancel_pieces(first, self.draw.randrange(first, torrent.piece_count) + 1)

    def download(self, torrent: Torrent) -> None:
        """All of it again."""
        torrent.resume()
        torrent.download_all()

    def read(self, torrent: Torrent) -> None:
        """Somebody reads a little, and goes before it is there."""
        file = self.draw.choice(torrent.files)
        reader = file.reader()
        if file.length:
            reader.seek(self.draw.randrange(file.length))
        reader.close()

    def ask(self, torrent: Torrent) -> None:
        """Somebody looks."""
        for status in torrent.webseed_statuses():
            assert status.requests <= HOST_REQUESTS
        torrent.stats()


DEEDS: dict[str, Callable[[Scene, Torrent], object]] = {
    "seeds": Scene.seeds,
    "unseed": Scene.unseed,
    "drop": Scene.drop,
    "prefer": Scene.prefer,
    "cancel": Scene.cancel,
    "download": Scene.download,
    "download again": Scene.download,
    "read": Scene.read,
    "ask": Scene.ask,
    "pause": lambda _, torrent: torrent.pause(),
    "resume": lambda _, torrent: torrent.resume(),
    "verify": lambda scene, torrent: torrent.verify() if scene.draw.random() < 0.1 else None,
}


def told(torrent: Torrent) -> str:
    """What there is to say of one that is not complete."""
    table, web = torrent._state.pieces, torrent._state.swarm.webseeds
    missing = [piece.index for piece in torrent.pieces if not piece.state.complete]
    begun = [(at.piece, at.free_count, at.missing) for at in table.begun.values()]
    asked = [(fetch.request.state, fetch.at, fetch.lent) for fetch in web.fetches]
    return f"{torrent}: {missing=} {begun=} {asked=} {torrent.webseed_statuses()} {torrent.stats()}"


def memory() -> int:
    """Bytes of our own in memory."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * KIB


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_pool_lives_through_minutes_of_everything(shelf: Shelf, tmp_path: Path) -> None:
    """W09, W10, W11: closes, drops, failures, changes in any order; then all is fetched, and nothing is left."""
    print(f"ANABRANCH_SOAK_SEED={SEED}")
    draw = Random(SEED)
    make_client(tmp_path / "first").close()  # libuv keeps a pipe for the whole program
    gc.collect()
    at_first = descriptors()
    done: dict[str, int] = {}
    with ExitStack() as stack:
        nginx = stack.enter_context(Nginx(tmp_path / "nginx", shelf.folder, FAST, rate=4 * MIB))
        others = [
            stack.enter_context(WebServer(shelf.folder, moody(Random(f"{SEED} {host}")), host=host)) for host in MOODY
        ]
        others.append(stack.enter_context(WebServer(shelf.folder, lambda _: at_rate(MIB), host=SLOW)))
        scene = Scene(shelf, tmp_path, [nginx.url, *(server.url for server in others)], draw)
        stack.callback(scene.end)
        begun, early = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < SECONDS:
            what = scene.step()
            done[what] = done.get(what, 0) + 1
            scene.look()
            if draw.random() < 0.001:
                nginx.__exit__(None, None, None)
                time.sleep(draw.random())
                nginx.__enter__()
            for server in others:
                server.requests.clear()  # they grow for ever
            if not early and passed > SECONDS / 5:
                early = memory()
            assert descriptors() < MOST_DESCRIPTORS
            time.sleep(STEP)
        late = memory()

        for server in others:
            server.answers = "honest"
        for host in CLIENTS:  # nobody is suspended in a new client
            scene.close(host)
            scene.open(host)
        for host, client in scene.clients.items():
            for data in shelf.torrents:
                torrent = client.add(data)
                torrent.add_webseeds([f"{server.url}/" for server in others])
                scene.download(torrent)
            for torrent in client.torrents:
                assert torrent.complete.wait(60), told(torrent)
            for name in shelf.names:
                place = next(path for path in [tmp_path / host / "data" / name] if path.exists())
                assert trees.digest(place) == trees.digest(shelf.folder / name)
        scene.end()
        until(lambda: not any(server.open for server in others), 10, "every connection closed")
        for server in others:
            server.requests.clear()  # they hold what is served
    gc.collect()
    open_now = [os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    until(lambda: descriptors() <= at_first, 10, f"{at_first} descriptors as before: {open_now}")
    print(f"{done}; {scene.requests} requests, {scene.bytes >> 20} MiB, {early >> 20} -> {late >> 20} MiB of memory")
    assert late < early + MOST_MEMORY
