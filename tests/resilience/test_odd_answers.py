"""Peers that answer in every order, in part, or not to the end, over real sockets: right data, and all memory back."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from anabranch.api import Client
from anabranch.engine import ticking
from anabranch.engine.buffers import BufferPool
from anabranch.storage import MemoryStorage
from anabranch.testing import Hear, Pause, Scene, Script, ScriptedPeer, Steps, content_of, greeted, right, serving
from anabranch.testing.peers_io import CLOSED, RESET
from anabranch.testing.saying import CHOKE, REJECT, REQUEST, UNCHOKE, block, frame, range_of, ranged
from origin import Origin
from ours import MIB, address_of, finished, make_client, until


class Memory:
    """What the pools of all clients had lent at most."""

    def __init__(self) -> None:
        self.most = 0


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Watches the pool."""
    memory, take = Memory(), BufferPool.take

    def watched(pool: BufferPool, *words: object) -> object:
        buffer = take(pool, *words)  # type: ignore[arg-type]  # whatever take() takes
        memory.most = max(memory.most, pool.lent)
        return buffer

    monkeypatch.setattr(BufferPool, "take", watched)
    return memory


def given_back(client: Client) -> bool:
    """Whether nothing of the pool is lent any more."""
    return client._core.engine.pool.lent == 0


def taken(scene: Scene) -> list[tuple[int, int, int]]:
    """What it was asked for since the last time."""
    return [range_of(heard) for heard in scene.take() if heard.kind == REQUEST]


def in_any_order(scene: Scene) -> Steps:
    """The answers to what was asked for at about the same time, shuffled."""
    while True:
        yield Hear(1.0)
        yield Pause(0.005)
        asked = taken(scene)
        scene.draw.shuffle(asked)
        for place in asked:
            yield from right(scene, *place)


def newest_first(scene: Scene) -> Steps:
    """The answers backwards."""
    while True:
        yield Hear(1.0)
        yield Pause(0.005)
        for place in reversed(taken(scene)):
            yield from right(scene, *place)


def refused_in_part(scene: Scene, piece: int, begin: int, length: int) -> Steps:
    """One in fifty is rejected, after which it is left alone for a second."""
    if scene.draw.random() < 0.02:
        yield ranged(REJECT, piece, begin, length)
    else:
        yield from right(scene, piece, begin, length)


def choked_within(scene: Scene) -> Steps:
    """Half of what was asked is answered, then choked and the rest rejected; soon it unchokes."""
    while True:
        yield Hear(1.0)
        asked = taken(scene)
        half = len(asked) // 2 + 1
        for place in asked[:half]:
            yield from right(scene, *place)
        if asked[half:]:
            yield frame(CHOKE)
            for place in asked[half:]:
                yield ranged(REJECT, *place)
            yield Pause(0.02)
            yield frame(UNCHOKE)


ODD: dict[str, Script] = {
    "in any order": in_any_order,
    "the newest first": newest_first,
    "rejected in part": serving(refused_in_part),
    "choked within a run": choked_within,
}


@pytest.mark.parametrize("how", ODD)
def test_a_peer_that_answers_in_its_own_way_is_enough(how: str, origin: Origin, tmp_path: Path, memory: Memory) -> None:
    """It alone has the content; of a small pool, nothing is lost on the way."""
    content = content_of(origin.metainfo.info, origin.content)
    settings = {"storage": MemoryStorage(), "max_unverified_bytes": MIB}
    with make_client(tmp_path, "127.0.6.3", **settings) as client:
        torrent = origin.added(client)
        torrent.download_all()
        script = greeted(ODD[how])
        with ScriptedPeer(script, origin.metainfo, host="127.0.6.4", victim=address_of(client), content=content):
            finished(torrent, 30)
            with torrent.reader() as reader:
                assert reader.read() == origin.content
            until(lambda: given_back(client))
        stats = torrent.stats()
        assert (stats.corrupt, client.stats().banned) == (0, frozenset())
    assert 0 < memory.most <= MIB


def half_a_block(go_on: threading.Event) -> Script:
    """The first half of the first block that it was asked for; when *go_on* is set the rest, in other bytes."""

    def script(scene: Scene) -> Steps:
        while not (asked := taken(scene)):
            yield Hear(1.0)
        piece, begin, length = asked[0]
        whole = block(piece, begin, scene.content(piece, begin, length))
        yield whole[: length // 2]
        while not go_on.is_set():
            yield Pause(0.02)
            scene.take()
        yield bytes(len(whole) - length // 2)
        yield Hear(60.0)

    return script


@pytest.mark.parametrize("resumes", [False, True])
def test_who_stops_within_a_block_holds_up_nobody(
    resumes: bool, origin: Origin, tmp_path: Path, memory: Memory
) -> None:
    """Others finish its pieces, and its memory comes back. What it sends after that lands nowhere."""
    content = content_of(origin.metainfo.info, origin.content)
    settings = {"storage": MemoryStorage(), "max_unverified_bytes": MIB}
    go_on = threading.Event()
    with make_client(tmp_path, "127.0.6.3", **settings) as client, ExitStack() as stack:
        torrent = origin.added(client)
        torrent.files[0].download()
        for number in range(3):
            host = f"127.0.6.{70 + number}"
            script = greeted(half_a_block(go_on))
            victim = address_of(client)
            peer = ScriptedPeer(script, origin.metainfo, host=host, victim=victim, content=content, again=60.0)
            stack.enter_context(peer)
        until(lambda: sum(peer.outstanding > 0 for peer in torrent.peers()) == 3)
        torrent.add_peers([origin.address])
        finished(torrent, 30)
        until(lambda: given_back(client))
        assert len(torrent.peers()) == 4
        if resumes:
            go_on.set()
        torrent.download_all()
        finished(torrent, 30)
        with torrent.reader() as reader:
            assert reader.read() == origin.content
        assert not client.stats().banned
        assert torrent.stats().corrupt == 0
        until(lambda: given_back(client))
    assert 0 < memory.most <= MIB


def test_who_never_answers_is_snubbed_and_then_sent_away(
    origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W29: what it was asked for is asked of others; its slot in the pool goes to them as well."""
    monkeypatch.setattr(ticking, "SNUBBED_AFTER", 0.5)
    monkeypatch.setattr(ticking, "ZOMBIE_AFTER", 2.0)
    monkeypatch.setattr(ticking, "IDLE_AFTER", 1.0)
    content = content_of(origin.metainfo.info, origin.content)
    never = threading.Event()
    with make_client(tmp_path, "127.0.6.3", storage=MemoryStorage()) as client:
        torrent = origin.added(client)
        torrent.download_all()
        script = greeted(half_a_block(never))
        victim = address_of(client)
        with ScriptedPeer(
            script, origin.metainfo, host="127.0.6.4", victim=victim, content=content, again=60.0
        ) as peer:
            until(lambda: peer.endings[CLOSED] + peer.endings[RESET])
            until(lambda: given_back(client))
            torrent.add_peers([origin.address])
            finished(torrent, 30)
