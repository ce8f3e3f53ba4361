"""The end of a torrent, in every order."""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from anabranch.engine import checking, closing, events
from anabranch.engine.checking import want_check
from anabranch.engine.reading import wait_for
from anabranch.engine.stage import Checking, Closing, Dropped, Failed
from anabranch.engine.wanting import allow_download, allow_upload, choose_pieces
from anabranch.model import Closed, Priority, all_pieces
from anabranch.storage import InUse, SessionStore, session_key
from engine.clocks import Clock
from engine.crowd import together
from engine.remotes import Remote
from engine.rig import Node, run, settle, until
from engine.samples import Faults, GroupedStorage, PlainStorage, huge, sample
from engine.truth import check


def test_dropping_ends_everything_and_tells_when() -> None:
    """Peers are gone, waiters hear of it, files are closed, memory is back; dropping twice is dropping once."""
    content = sample(pieces=4, blocks=4)
    home = PlainStorage()
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    remote = Remote(node, torrent, content, rate=2)
    run(clock, node, 2)
    found = wait_for(node, torrent, 0, 10, False) if not torrent.pieces.complete[0] else None
    node.drop(torrent)
    node.drop(torrent)
    assert isinstance(torrent.stage, Closing)
    assert content.info_hash not in node.engine.torrents
    node.settle()
    assert torrent.signals.closed.is_set
    assert isinstance(torrent.stage, Dropped)
    assert remote.link.closed
    assert home.opened == 0
    assert home.steps[-2:] == ["flush", "close"]
    assert node.engine.pool.lent == 0
    with pytest.raises(Closed):
        torrent.signals.complete.wait(0)
    if found is not None and found.signal is not None:
        with pytest.raises(Closed):
            found.signal.wait(0)
    node.drop(torrent)
    node.settle()
    stages = [event.stage for event in node.told() if isinstance(event, events.StageChanged)]
    assert stages == ["live", "closing", "dropped"]


def test_a_drop_during_hashing_waits_for_the_hash_and_keeps_what_it_found() -> None:
    """W17: the piece is written and recorded; nobody waits within a turn."""
    content = sample(pieces=1, blocks=64)
    home = PlainStorage()
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    Remote(node, torrent, content)
    node.disk.held = True
    node.settle()
    assert torrent.holding.finishing
    node.drop(torrent)
    run(clock, node, 3)
    assert not torrent.signals.closed.is_set
    node.disk.held = False
    node.settle()
    assert torrent.signals.closed.is_set
    assert home.data[0] == content.content
    assert home.steps == ["flush", "mark 0", "flush", "close"]


@pytest.mark.parametrize("kind", ["flush", "close", "record"])
@pytest.mark.parametrize("storage", [PlainStorage, GroupedStorage])
def test_a_storage_that_fails_at_the_end_is_told_of_and_the_client_goes_on(
    kind: str, storage: type[PlainStorage], tmp_path: Path
) -> None:
    """W17: an error in close() leaks nothing: it is closed, the claim is free, the state is saved."""
    content = sample(pieces=2, blocks=2)
    faults = Faults()
    home = storage(faults)
    node = Node(Clock(), sessions=SessionStore(tmp_path))
    torrent = node.add(content, home)
    node.settle()
    Remote(node, torrent, content)
    node.record.held = True
    node.settle()
    faults.always.add(kind)
    node.drop(torrent, forget=False)
    node.settle()
    node.record.held = False
    node.settle()
    assert torrent.signals.closed.is_set
    assert home.opened == 0
    if kind in faults.calls:
        assert [event for event in node.told() if isinstance(event, events.Failed)]
    faults.always.clear()
    again = node.add(content, home)
    node.settle()
    assert list(again.worth.of_file) == [Priority.NORMAL]
    node.drop(again)
    node.settle()
    assert again.signals.closed.is_set


@pytest.mark.parametrize("stage", ["opening", "checking", "failed", "failed to open", "finishing", "recording", "live"])
@pytest.mark.parametrize("forget", [True, False])
def test_a_torrent_can_be_dropped_from_wherever_it_is(stage: str, forget: bool) -> None:
    """And everything it held is let go, also what waits to be tried again."""
    content = sample(pieces=6, blocks=4)
    faults = Faults()
    home = PlainStorage(faults)
    node = Node(clock := Clock())
    if stage == "checking":
        home.hold(content, range(6))
    if stage == "failed to open":
        faults.always.add("open")
    torrent = node.add(content, home)
    if stage == "checking":
        while not isinstance(torrent.stage, Checking):
            assert node.step()
    elif stage != "opening":
        node.settle()
    if stage in ("failed", "finishing", "recording", "live"):
        node.disk.held = stage == "finishing"
        node.record.held = stage == "recording"
        if stage == "failed":
            faults.always.add("write")
        Remote(node, torrent, content, rate=8)
        run(clock, node, 2)
    if stage.startswith("failed"):
        assert isinstance(torrent.stage, Failed)
        assert torrent.holding.finishing or stage == "failed to open"
    node.drop(torrent, forget=forget)
    node.settle()
    node.disk.held = node.record.held = False
    node.settle()
    run(clock, node, 1)
    assert torrent.signals.closed.is_set
    assert home.opened == 0
    assert node.engine.pool.lent == 0
    assert not node.engine.due.closing
    assert not node.engine.due.lively


def test_a_torrent_can_be_added_again_at_once(tmp_path: Path) -> None:
    """When the former is closed nothing of it is in the way; before, its claim is."""
    content = sample(pieces=4, blocks=2)
    node = Node(Clock(), sessions=SessionStore(tmp_path))
    home = PlainStorage()
    for _ in range(3):
        torrent = node.add(content, home)
        node.settle()
        Remote(node, torrent, content)
        node.settle()
        node.drop(torrent)
        with pytest.raises(InUse):
            node.add(content, home)
        node.settle()
        assert torrent.signals.closed.is_set


@pytest.mark.parametrize("order", list(permutations(["drop", "verify", "peer", "want", "tick"], 3)))
def test_whatever_comes_before_or_after_a_drop_is_harmless(order: tuple[str, ...]) -> None:
    """W03: in all orders, on a torrent that is in the middle of a download."""
    content = sample(pieces=4, blocks=4)
    home = PlainStorage()
    node = Node(clock := Clock())
    torrent = node.add(content, home)
    node.settle()
    remote = Remote(node, torrent, content, rate=3)
    run(clock, node, 1)
    for what in (*order, "drop"):
        match what:
            case "drop":
                node.drop(torrent)
            case "verify":
                with node.engine.turn:
                    want_check(node.engine, torrent, all_pieces(4))
            case "peer":
                remote.leave()
            case "want":
                node.want(torrent, [Priority.HIGH])
                with node.engine.turn:
                    choose_pieces(node.engine, torrent, range(2), Priority.NOW)
                    allow_download(node.engine, torrent, False)
                    allow_upload(node.engine, torrent, False)
            case _:
                node.tick()
        node.step()
    node.settle()
    run(clock, node, 3)
    assert torrent.signals.closed.is_set
    assert home.opened == 0
    assert node.engine.pool.lent == 0
    assert torrent not in node.engine.due.lively


def test_nobody_waits_for_a_check_of_a_torrent_that_is_dropped() -> None:
    """W18: verify() racing drop(), 200 times: the signal fails or is set, and no wait hangs."""
    content = sample(pieces=3, blocks=1)
    for attempt in range(200):
        node = Node(Clock(), attempt)
        home = PlainStorage()
        home.hold(content, range(3))
        torrent = node.add(content, home)
        for _ in range(Random(attempt).randrange(12)):
            node.step()

        def verify(node: Node = node) -> None:
            with node.engine.turn:
                want_check(node.engine, torrent, all_pieces(3))  # noqa: B023 - called here

        def drop(node: Node = node) -> None:
            node.drop(torrent)  # noqa: B023 - called here

        if attempt % 4 == 0:
            together(verify, drop)
        else:
            for act in (verify, drop) if attempt % 2 else (drop, verify):
                act()
        node.settle()
        with suppress(Closed):
            assert torrent.signals.checked.wait(0), "somebody would wait for ever"
        assert torrent.signals.closed.is_set


def test_what_was_begun_is_written_when_it_shall_be_remembered(tmp_path: Path) -> None:
    """A clean stop loses no block: the next run fetches the rest."""
    content = sample(pieces=2, blocks=8)
    clock = Clock()
    home = PlainStorage()
    sessions = SessionStore(tmp_path)
    node = Node(clock, sessions=sessions)
    torrent = node.add(content, home)
    node.settle()
    Remote(node, torrent, content, rate=5)
    run(clock, node, 2)
    got = torrent.totals.downloaded
    assert got % content.geometry.piece_length
    node.drop(torrent, forget=False)
    node.settle()
    assert node.engine.pool.lent == 0
    second = Node(clock, 2, sessions=sessions)
    torrent = second.add(content, home)
    second.settle(lambda: check(second))
    remote = Remote(second, torrent, content)
    second.settle(lambda: check(second))
    assert torrent.signals.complete.is_set
    assert remote.sent * 16384 == content.geometry.total - got
    assert torrent.totals.downloaded == content.geometry.total


def test_a_drop_forgets_and_a_close_remembers(tmp_path: Path) -> None:
    """Files stay in both cases."""
    content = sample(pieces=2, blocks=2)
    sessions = SessionStore(tmp_path)
    key = session_key(content.info_hash, "/data")
    for forget in (False, True):
        node = Node(Clock(), sessions=sessions)
        torrent = node.add(content, PlainStorage())
        node.settle()
        node.tick()
        node.settle()
        node.drop(torrent, forget=forget)
        node.settle()
        assert (sessions.load(key) is None) == forget


def test_very_many_pieces_are_added_and_dropped_in_small_turns() -> None:
    """W47: 350,000 pieces, 30 peers, a reader, a check under way: no turn does more than a slice."""
    content = huge()
    node = Node(Clock())
    torrent = node.add(content, PlainStorage())
    node.settle()
    for number in range(30):
        Remote(node, torrent, content, range(number, 350_000, 1000), unchokes=False)
    for _ in range(200):
        node.step()
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(350_000))
    for _ in range(20):
        node.step()
    node.drop(torrent)
    assert content.info_hash not in node.engine.torrents
    node.settle()
    assert torrent.signals.closed.is_set
    worked = node.slices.items
    assert max(worked) <= 4096
    assert sum(worked) >= 350_000
    assert checking.MOST_PIECES <= 4096


def test_everything_ends_when_all_torrents_close_at_once() -> None:
    """The end of a client."""
    clock = Clock()
    node, other = Node(clock, 1), Node(clock, 2)
    contents = [sample(pieces=4, blocks=2, seed=seed) for seed in range(5)]
    torrents = [node.add(content, PlainStorage()) for content in contents]
    settle(node, other)
    for torrent, content in zip(torrents, contents, strict=True):
        Remote(node, torrent, content, rate=2)
    run(clock, node, 1)
    with node.engine.turn:
        for torrent in torrents:
            closing.begin(node.engine, torrent, forget=False)
    until(clock, node, lambda: all(torrent.signals.closed.is_set for torrent in torrents), 3)
    assert not node.engine.torrents
    assert node.engine.pool.lent == 0
