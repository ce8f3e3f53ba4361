"""A client in a DHT whose nodes come and go, with somebody who attacks it all the time, for ten minutes of real time.

Two hundred torrents are announced, links are downloaded of which the DHT alone knows who has them, items are stored
and read, and the client is restarted. Schedules are shortened, so that there is more of everything. ANABRANCH_SOAK says
how many seconds it takes; ANABRANCH_SOAK_SEED repeats the choices of a run. `make soak`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import ExitStack
from hashlib import sha1
from pathlib import Path
from random import Random, SystemRandom
from typing import TypeVar

import pytest

import trees
from anabranch.api import Address, Client, create
from anabranch.bencode import encode
from anabranch.dht import Dht
from anabranch.dht.item_store import MOST_ITEMS
from anabranch.dht.peer_store import MOST_ENTRIES
from anabranch.engine import seeking
from anabranch.net import Datagrams, udp_socket
from anabranch.testing import DHT_ATTACKS, SocketAttacker, SocketSiege
from anabranch.testing.dht_weight import weight
from ours import KIB, MIB, finished, make_client, until

SECONDS = float(os.environ.get("ANABRANCH_SOAK", "600"))
SEED = int(os.environ.get("ANABRANCH_SOAK_SEED", "0")) or SystemRandom().getrandbits(32)
NODES = [f"127.0.74.{number}" for number in range(1, 31)]
ENTRIES = 3  # of them; one is always there, and the others come back
FEWEST = 20  # nodes
PORT = 6881
OURS, GIVER = "127.0.75.1", "127.0.75.2"
ATTACKERS = ["127.80.0.1", "127.81.0.1", "127.82.0.1"]  # and 65,000 addresses behind each
WAITING = 200  # torrents
SHARED = 5  # torrents that the giver has
STEP = 0.2  # seconds between steps
WITHIN = 90.0  # seconds that a download may take; most of it is for a machine that has other work
MOST_MEMORY = 48 * MIB  # bytes that may be added after the first fifth, by our node and by those around it
MOST_HELD = 16 * MIB  # bytes of our node: its stores are full of what strangers brought
MOST_DESCRIPTORS = 400

T = TypeVar("T")

pytestmark = [pytest.mark.soak, pytest.mark.timeout(SECONDS + 300)]


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is announced stays known although those who keep it leave."""
    monkeypatch.setattr(seeking, "WINDOW", 30.0)
    monkeypatch.setattr(seeking, "SEEDING", 30.0)


@pytest.fixture(autouse=True)
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No mistake of ours comes to light."""
    yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


class Around:
    """The nodes of others, on a thread of their own. A context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._open: dict[str, tuple[Dht, Datagrams, asyncio.Task[None]]] = {}
        self.entries = tuple(f"{host}:{PORT}" for host in NODES[:ENTRIES])

    def __enter__(self) -> Around:
        self._thread.start()
        for host in NODES:
            self.call(self._come(host))
        return self

    def __exit__(self, *_: object) -> None:
        for host in [*self._open]:
            self.call(self._go(host))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, work: Awaitable[T]) -> T:
        """Have it done on the thread."""

        async def run() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def change(self, draw: Random) -> str:
        """Somebody goes, or somebody who is not there comes, under another id."""
        away = [host for host in NODES if host not in self._open]
        if away and (len(self._open) <= FEWEST or draw.random() < 0.5):
            self.call(self._come(draw.choice(away)))
            return "a node comes"
        there = [host for host in self._open if host not in NODES[:ENTRIES] or not set(away) & set(NODES[:ENTRIES])]
        self.call(self._go(draw.choice(there)))
        return "a node goes"

    def look(self) -> None:
        """Nobody keeps more than he should."""
        for dht, *_ in [*self._open.values()]:
            look_at(dht)

    async def _come(self, host: str) -> None:
        datagrams = Datagrams(udp_socket(host, PORT))
        others = [entry for entry in self.entries if entry != f"{host}:{PORT}"]
        dht = Dht([datagrams], clock=self._loop.time, bootstrap=others)
        self._open[host] = dht, datagrams, asyncio.ensure_future(dht.run())

    async def _go(self, host: str) -> None:
        dht, datagrams, task = self._open.pop(host)
        dht.close()
        datagrams.close()
        await task


class Attacks:
    """All kinds in turn on threads of their own, from addresses that have not attacked before. A context manager."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._attack, args=(host,)) for host in ATTACKERS]
        self.sieges: list[SocketSiege] = []
        self.failed: list[BaseException] = []

    def __enter__(self) -> Attacks:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _attack(self, host: str) -> None:
        draw, names = Random(f"{SEED} {host}"), [*DHT_ATTACKS]
        try:
            with SocketAttacker(self._target, host, SEED) as attacker:
                while not self._end.is_set():
                    draw.shuffle(names)
                    for name in names:
                        if not self._end.is_set():
                            self.sieges.append(attacker.attack(name))
        except BaseException as failure:
            self.failed.append(failure)
            raise


class Scene:
    """The client, and what is done with it."""

    def __init__(self, place: Path, entries: tuple[str, ...], links: dict[str, Path], draw: Random) -> None:
        self.place, self.entries, self.links, self.draw = place, entries, links, draw
        self.held = 0  # bytes of our nodes, the most that was found before they were closed
        self.client = self.opened(0)
        self.port = self.client.listen_addresses[0].port
        self.torrents = [self.client.add(waiting(number, self.place / "data")) for number in range(WAITING)]

    def opened(self, port: int) -> Client:
        """Our client, at the same address as before."""
        return make_client(
            self.place,
            OURS,
            listen_port=port,
            listen_port_fixed=bool(port),
            dht_bootstrap=self.entries,
            disable_lsd=True,
            debug=True,
        )

    def restart(self) -> None:
        """It remembers its torrents, and the nodes that it knew."""
        self.weigh()
        assert self.client.close(60)
        self.client = self.opened(self.port)
        self.torrents = self.client.restore()
        assert len(self.torrents) == WAITING
        until(lambda: self.client.dht.nodes, WITHIN, "a node that is there")

    def download(self) -> None:
        """By a link that says nothing but the name."""
        link, source = self.draw.choice([*self.links.items()])
        torrent = self.client.add(link)
        torrent.download_all()
        finished(torrent, WITHIN)
        files = Path(torrent.files_dir)
        assert trees.digest(files / source.name) == trees.digest(source)
        assert torrent.drop(delete_data=True).wait(30)

    def store(self) -> None:
        """An item, which others have then."""
        value = self.draw.randbytes(100)
        item = self.client.dht.item(value)
        assert self.client.dht.put(item).wait(WITHIN).stored
        found = self.client.dht.get(item.target).wait(WITHIN).item
        assert found is not None
        assert found.value == value

    def quieten(self) -> None:
        """Some torrents want nobody for a while, and then they do again."""
        for torrent in self.draw.sample(self.torrents, 20):
            torrent.allow_upload(self.draw.random() < 0.5)
            torrent.allow_download(self.draw.random() < 0.5)

    def look(self) -> None:
        """All is within its bounds."""
        core = self.client._core
        with core.turn:
            seekers = core.engine.due.seekers
            assert len(seekers.under_way) <= seeking.AT_ONCE
            assert len(seekers.dht) + len(seekers.under_way) <= len(core.engine.torrents)
            assert len(seekers.dht._heap) <= 2 * len(seekers.dht) + 100
        dht = core.network.discoverer.dht
        assert dht is not None
        look_at(dht)

    def weigh(self) -> None:
        """What our node remembers of everybody."""
        dht = self.client._core.network.discoverer.dht
        assert dht is not None
        self.held = max(self.held, weight(*[side.node for side in dht._sides]))


def look_at(dht: Dht) -> None:
    """A node's books are bounded, whoever writes in them."""
    for one in dht.stats().nodes:
        assert one.peers <= MOST_ENTRIES
        assert one.items <= MOST_ITEMS
        assert one.known <= 8 * 160


def waiting(number: int, folder: Path) -> bytes | str:
    """A torrent that nobody else has, by turns: one that we have, a link, one that we lack."""
    data = number.to_bytes(8, "big") * 32
    info = encode({"length": len(data), "name": f"{number}", "piece length": 16 * KIB, "pieces": sha1(data).digest()})
    if number % 3 == 1:
        return f"magnet:?xt=urn:btih:{sha1(info).hexdigest()}"
    if number % 3 == 0:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(data)
    return b"d4:info%be" % info


def memory() -> int:
    """Bytes of our own in memory."""
    gc.collect()
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:")]
    return int(line.split()[1]) * KIB


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def shared(giver: Client, place: Path) -> dict[str, Path]:
    """What the giver has, by links."""
    links = {}
    for number in range(SHARED):
        source = place / "data" / f"shared {number}.bin"
        trees.make_file(source, MIB + number, number)
        torrent = giver.add(create(source, piece_length=64 * KIB))
        finished(torrent)
        links[f"magnet:?xt=urn:btih:{torrent.info_hash}"] = source
    return links


DEEDS = {Scene.download: 0.2, Scene.store: 0.05, Scene.quieten: 0.05, Scene.restart: 0.005}


def test_a_client_lives_through_minutes_of_attacks_in_a_dht_that_changes(tmp_path: Path) -> None:
    """W31, W33: what is looked for is found, what is held is bounded, and honest nodes are answered."""
    print(f"ANABRANCH_SOAK_SEED={SEED}")
    draw = Random(SEED)
    done: Counter[str] = Counter()
    slowest: dict[str, float] = {}
    early = 0
    with ExitStack() as stack:
        around = stack.enter_context(Around())
        giver = stack.enter_context(
            make_client(tmp_path / "giver", GIVER, dht_bootstrap=around.entries, disable_lsd=True)
        )
        scene = Scene(tmp_path / "ours", around.entries, shared(giver, tmp_path / "giver"), draw)
        stack.callback(lambda: scene.client.close(60))
        until(lambda: scene.client.dht.nodes >= FEWEST, WITHIN, "the nodes know each other")
        with Attacks(Address(OURS, scene.port)) as attacks:
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < SECONDS:
                done[around.change(draw) if draw.random() < 0.05 else "pause"] += 1
                for deed, chance in DEEDS.items():
                    if draw.random() < chance:
                        since = time.monotonic()
                        deed(scene)
                        name = deed.__name__
                        done[name] += 1
                        slowest[name] = round(max(slowest.get(name, 0.0), time.monotonic() - since), 1)
                scene.look()
                around.look()
                assert not attacks.failed
                assert descriptors() < MOST_DESCRIPTORS
                if not early and passed > SECONDS / 5:
                    early = memory()
                time.sleep(STEP)
            late = memory()
            scene.download()
        scene.weigh()
        counted = scene.client.dht.stats().counted
    shutil.rmtree(tmp_path)
    sent, replied = sum(one.sent for one in attacks.sieges), sum(one.replied for one in attacks.sieges)
    print(
        f"{dict(done)}, seconds at most {slowest}; {len(attacks.sieges)} attacks with {sent:,} bytes, {replied:,} came "
        f"back; {counted.lookups} look-ups since the last start; {early >> 20} -> {late >> 20} MiB of memory, "
        f"{scene.held // KIB} KiB of our node"
    )
    assert late < early + MOST_MEMORY
    assert scene.held < MOST_HELD
    assert [str(one) for one in attacks.sieges if one.amplified > 3.0] == []
