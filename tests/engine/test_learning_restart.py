"""What of a torrent that was added by its name is remembered from run to run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from anabranch.engine import exchanging
from anabranch.engine.adding import parse_source
from anabranch.engine.stage import Learning, Live
from anabranch.metainfo import Magnet, Metainfo
from anabranch.storage import SessionStore, session_key
from engine.clocks import Clock
from engine.remotes import Teacher
from engine.rig import Node, run, until
from engine.samples import GroupedStorage, Sample, modern, on_disk, sample

LENGTHS = (100_000, 40_000, 5, 65_536)
KINDS = ("v1", "v2", "hybrid")
SILENT: Callable[[bytes | None], bytes | None] = lambda right: None  # noqa: E731 - a value, as others of its kind


def stop(node: Node, content: Sample) -> None:
    """End a run as close() does."""
    torrent = node.engine.directory.find(content.metainfo.info.swarm_hashes)
    assert torrent is not None
    node.drop(torrent, forget=False)
    node.settle()
    assert torrent.signals.closed.is_set


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("want", [True, False])
def test_a_link_that_was_not_learned_goes_on_learning_in_the_next_run(kind: str, want: bool, tmp_path: Path) -> None:
    """With its wish, its selection and its trackers; and what it learns then is remembered in its place."""
    content = modern(kind, LENGTHS)
    store = SessionStore(tmp_path)
    info = content.metainfo.info
    link = Magnet(v1=info.v1, v2=info.v2, trackers=("udp://t.example:1",), select=((0, 1),))
    node = Node(clock := Clock(), sessions=store)
    node.learn(link, want=want)
    run(clock, node, 2)
    stop(node, content)

    key = session_key(link.swarm_hashes[0], "/data")
    assert store.torrents() == [key]
    saved = store.load(key)
    assert saved is not None
    assert parse_source(saved, key.info_hash) == link
    again = Node(clock, sessions=store)
    home = GroupedStorage()
    torrent = again.learn(link, home, want=False)
    assert isinstance(torrent.stage, Learning)
    Teacher(again, torrent, content)
    until(clock, again, lambda: isinstance(torrent.stage, Live), 20)
    run(clock, again, 3)
    assert torrent.signals.complete.is_set == want
    assert {index for index, worth in enumerate(torrent.worth.of_file) if worth} == ({0, 1} if want else set())
    saved = store.load(key)
    assert saved is not None
    known = parse_source(saved, key.info_hash)
    assert isinstance(known, Metainfo)
    assert known.info == info
    assert known.trackers == (("udp://t.example:1",),)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learned_needs_no_peers_in_the_next_run(kind: str, tmp_path: Path) -> None:
    """Info, piece hashes, what is wanted and what is complete are there, whatever it is added by."""
    content = modern(kind, LENGTHS)
    store = SessionStore(tmp_path)
    home = GroupedStorage()
    link = Magnet.of(content.metainfo)
    node = Node(clock := Clock(), sessions=store)
    torrent = node.learn(link, home)
    teacher = Teacher(node, torrent, content, pieces=[0, 1, 2])
    run(clock, node, 5)
    teacher.leave()
    have = torrent.pieces.complete.copy()
    assert have.count() == 3
    stop(node, content)

    for source in (link, None):
        again = Node(clock, sessions=store)
        torrent = again.prepare(content, home, source=source)
        again.settle()
        assert isinstance(torrent.stage, Live)
        assert torrent.pieces.complete == have
        assert torrent.signals.got_info.is_set
        assert all(torrent.worth.of_file)
        assert torrent.metainfo.layers == content.metainfo.layers
        stop(again, content)
    assert not home.faults.calls["read"]


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
def test_piece_hashes_that_nobody_gave_are_asked_for_in_the_next_run(kind: str, tmp_path: Path) -> None:
    """The info is not learned twice; v2 waits with its files known, a hybrid goes on by its v1 hashes."""
    content = modern(kind, (400_000, 100_000))
    store = SessionStore(tmp_path)
    home = GroupedStorage()
    node = Node(clock := Clock(), sessions=store)
    torrent = node.learn(Magnet.of(content.metainfo), home)
    Teacher(node, torrent, content, hashes=SILENT, pieces=[0, 1])
    run(clock, node, 5)
    assert torrent.layers is not None
    assert not torrent.layers.complete
    stop(node, content)

    again = Node(clock, sessions=store)
    torrent = again.prepare(content, home, source=Magnet.of(content.metainfo))
    again.settle()
    assert torrent.signals.got_info.is_set
    assert exchanging.needed(torrent) == isinstance(torrent.stage, Learning) == (kind == "v2")
    teacher = Teacher(again, torrent, content, pieces=None)
    until(clock, again, lambda: torrent.signals.complete.is_set, 30)
    assert on_disk(torrent.opened(), content) == content.content
    run(clock, again, 3)
    assert not teacher.asked_info
    assert torrent.layers is not None
    assert torrent.layers.complete
    stop(again, content)

    last = Node(clock, sessions=store)
    torrent = last.prepare(modern(kind, (400_000, 100_000), layers=False), home)
    last.settle()
    assert isinstance(torrent.stage, Live)
    assert torrent.metainfo.layers == content.metainfo.layers


def test_a_file_without_piece_hashes_does_not_undo_what_is_known(tmp_path: Path) -> None:
    """A .torrent file that was saved by a program that had none is added again: ours knows better."""
    content, bare = modern("v2", LENGTHS), modern("v2", LENGTHS, layers=False)
    store = SessionStore(tmp_path)
    for which in (content, bare, bare):
        node = Node(Clock(), sessions=store)
        torrent = node.prepare(which, GroupedStorage())
        node.settle()
        assert isinstance(torrent.stage, Live)
        stop(node, content)


def test_the_wish_for_a_link_holds_for_the_file_that_comes_instead(tmp_path: Path) -> None:
    """download_all() of a link, then a new run to which the .torrent file is given: all of it is wanted."""
    content = modern("v2", LENGTHS)
    store = SessionStore(tmp_path)
    for select, wanted in ((None, {0, 1, 2, 3}), (((1, 2),), {1, 2})):
        node = Node(clock := Clock(), sessions=store)
        node.learn(Magnet(v2=content.metainfo.info.v2, select=select))
        run(clock, node, 2)
        stop(node, content)
        again = Node(clock, sessions=store)
        torrent = again.prepare(content, GroupedStorage())
        assert {index for index, worth in enumerate(torrent.worth.of_file) if worth} == wanted
        again.settle()
        again.drop(torrent)
        again.settle()


def test_a_link_dropped_is_forgotten(tmp_path: Path) -> None:
    """As any torrent."""
    content = sample(pieces=2, blocks=1)
    store = SessionStore(tmp_path)
    node = Node(clock := Clock(), sessions=store)
    torrent = node.learn(Magnet.of(content.metainfo))
    run(clock, node, 2)
    assert len(store.torrents()) == 1
    node.drop(torrent)
    node.settle()
    assert torrent.signals.closed.is_set
    assert store.torrents() == []
