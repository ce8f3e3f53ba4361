"""The bytes of idle torrents' metainfo rest in the session store."""

from __future__ import annotations

from pathlib import Path

import pytest
from bitarray import bitarray

from anabranch.engine.checking import want_check
from anabranch.engine.resting import is_awake, wake
from anabranch.engine.stage import Failed, Live
from anabranch.engine.state import TorrentState
from anabranch.model import StorageFailed, all_pieces
from anabranch.storage import ClientStorage, SessionStore
from engine.clocks import Clock
from engine.rig import Node, connect, run
from engine.samples import Held, PlainStorage, sample

CONTENT = sample(pieces=4, blocks=2)


def idle(node: Node, home: ClientStorage) -> TorrentState:
    """A torrent that was saved and has nobody."""
    torrent = node.add(CONTENT, home)
    node.settle()
    for _ in range(3):
        node.tick()
        node.settle()
    assert not is_awake(torrent)
    return torrent


def test_what_is_saved_of_an_idle_torrent_is_not_in_memory_and_reads_the_same(tmp_path: Path) -> None:
    """Users see no difference."""
    node = Node(Clock(), sessions=SessionStore(tmp_path))
    torrent = idle(node, Held(CONTENT))
    metainfo = torrent.metainfo
    assert metainfo.raw == CONTENT.metainfo.raw
    assert metainfo.info.raw == CONTENT.metainfo.info.raw
    assert metainfo.info.piece_hashes == CONTENT.metainfo.info.piece_hashes
    assert metainfo == CONTENT.metainfo
    assert not is_awake(torrent)


def test_a_check_reads_the_hashes_first(tmp_path: Path) -> None:
    """By a worker: within a turn nobody reads a disk."""
    node = Node(Clock(), sessions=SessionStore(tmp_path))
    home = Held(CONTENT)
    torrent = idle(node, home)
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(4))
    node.settle()
    assert is_awake(torrent)
    assert torrent.signals.checked.is_set
    assert torrent.pieces.is_seed


def test_a_peer_wakes_a_torrent_and_gets_and_gives_everything(tmp_path: Path) -> None:
    """One idle torrent downloads from another; when both are alone again, both rest."""
    clock = Clock()
    seeder = Node(clock, 1, sessions=SessionStore(tmp_path / "a"))
    leecher = Node(clock, 2, sessions=SessionStore(tmp_path / "b"))
    full, empty = idle(seeder, Held(CONTENT)), idle(leecher, PlainStorage())
    links = connect(leecher, empty, seeder, full)
    run(clock, (leecher, seeder), 20)
    assert empty.pieces.is_seed
    for link in links:
        link.close("enough")
    run(clock, (leecher, seeder), 5)
    assert not is_awake(full)
    assert not is_awake(empty)
    assert isinstance(empty.stage, Live)


def test_what_the_store_has_lost_stops_the_torrent_and_is_tried_again(tmp_path: Path) -> None:
    """As any disk that says no."""
    clock = Clock()
    store = SessionStore(tmp_path)
    node = Node(clock, sessions=store)
    torrent = idle(node, Held(CONTENT))
    [key] = store.torrents()
    saved = store.load(key)
    assert saved is not None
    store.forget(key)
    with pytest.raises(StorageFailed, match="not remembered any more"):
        _ = torrent.metainfo.raw
    woken: list[bitarray] = []
    with node.engine.turn:
        wake(node.engine, torrent, lambda: woken.append(torrent.pieces.complete))
    node.settle()
    assert isinstance(torrent.stage, Failed)
    assert not woken
    store.save(key, saved)
    run(clock, node, 25)
    assert isinstance(torrent.stage, Live)
    assert woken


def test_bytes_that_are_not_the_torrents_are_not_believed(tmp_path: Path) -> None:
    """Whoever has changed them."""
    store = SessionStore(tmp_path)
    node = Node(Clock(), sessions=store)
    torrent = idle(node, Held(CONTENT))
    [key] = store.torrents()
    saved = store.load(key)
    assert saved is not None
    assert saved.metainfo is not None
    wrong = bytearray(saved.metainfo)
    wrong[torrent.metainfo.info.start + 20] ^= 1
    store.save_all([(key, saved.__class__(bytes(wrong), (), True, True, 0, 0, 0.0))])
    with pytest.raises(StorageFailed, match="has changed"):
        torrent.metainfo.info.hash_of(0)
