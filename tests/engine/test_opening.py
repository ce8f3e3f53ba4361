"""Opening a storage, and what is known of each piece then."""

from __future__ import annotations

from pathlib import Path

import pytest
from bitarray import bitarray

from anabranch.engine import events
from anabranch.engine.checking import want_check
from anabranch.engine.stage import Checking, Live, Opening
from anabranch.engine.state import Policy
from anabranch.engine.wanting import make_order
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.storage import Completion, FileStorage
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import PlainStorage, PlainTorrent, sample
from engine.truth import check

CONTENT = sample(pieces=4, blocks=3)


COMPLETE, INCOMPLETE, UNKNOWN = Completion.COMPLETE, Completion.INCOMPLETE, Completion.UNKNOWN

TABLE = [  # recorded, trust, check, then: we have it, it may be asked for, it is hashed
    (COMPLETE, True, True, True, False, False),
    (COMPLETE, True, False, True, False, False),
    (COMPLETE, False, True, False, False, True),
    (COMPLETE, False, False, False, True, False),
    (INCOMPLETE, True, True, False, True, False),
    (INCOMPLETE, True, False, False, True, False),
    (INCOMPLETE, False, True, False, True, False),
    (INCOMPLETE, False, False, False, True, False),
    (UNKNOWN, True, True, False, False, True),
    (UNKNOWN, True, False, False, True, False),
    (UNKNOWN, False, True, False, False, True),
    (UNKNOWN, False, False, False, True, False),
]


@pytest.mark.parametrize("there", [True, False], ids=["there", "not there"])
@pytest.mark.parametrize(("recorded", "trust", "check_it", "have", "askable", "hashed"), TABLE)
def test_what_is_recorded_trust_and_check_now_are_three_facts(
    recorded: Completion, trust: bool, check_it: bool, have: bool, askable: bool, hashed: bool, there: bool
) -> None:
    """W07: the truth table, at the moment of opening and after what is hashed then; the disk does not change it.

    The flaws behind it: what the record did not know counted as incomplete, so that nothing was hashed at start; and
    the wish not to trust the record was heard later only, not at start.
    """
    home = PlainStorage()
    home.hold(CONTENT, range(4), recorded)
    if not there:
        home.data.clear()
    node = Node(Clock())
    torrent = node.add(CONTENT, home, policy=Policy(check=check_it, trust=trust))
    assert isinstance(torrent.stage, Opening)
    while torrent.disk.storage is None:
        assert node.step()
    with node.engine.turn:  # it is open, and nothing was hashed yet
        make_order(node.engine, torrent)
    assert torrent.pieces.complete.all() == torrent.pieces.complete.any() == have
    assert len(torrent.pieces.order) == (4 if askable else 0)
    assert isinstance(torrent.stage, Checking if hashed else Live)
    assert torrent.disk.checks.left == (4 if hashed else 0)
    node.settle(lambda: check(node))
    assert isinstance(torrent.stage, Live)
    assert torrent.signals.checked.is_set
    assert bool(home.faults.calls["read"]) == hashed
    assert torrent.pieces.is_seed == (have or (hashed and there))
    node.make_order(torrent)
    assert len(torrent.pieces.order) == (0 if torrent.pieces.is_seed else 4)


@pytest.mark.parametrize("check_it", [True, False])
def test_what_is_recorded_and_not_believed_and_wrong_is_not_recorded_any_more(check_it: bool) -> None:
    """The next run, which may believe what is recorded, must not find the old claim."""
    home = PlainStorage()
    home.hold(CONTENT, range(4), COMPLETE)
    home.data[2][5] ^= 1
    node = Node(Clock())
    torrent = node.add(CONTENT, home, policy=Policy(check=check_it, trust=False))
    node.settle(lambda: check(node))
    if not check_it:
        assert not torrent.pieces.complete.any()
        with node.engine.turn:
            want_check(node.engine, torrent, ~torrent.pieces.complete)
        node.settle(lambda: check(node))
    assert list(torrent.pieces.complete.search(0)) == [2]
    assert [home.recorded[piece] for piece in range(4)] == [COMPLETE, COMPLETE, INCOMPLETE, COMPLETE]
    remote = Remote(node, torrent, CONTENT)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert remote.sent == 3
    assert home.recorded[2] is COMPLETE


def test_a_record_that_is_not_believed_is_fetched_anew_where_nothing_is_checked() -> None:
    """The safe way; and what has come since is believed, also if the storage is opened again."""
    home = PlainStorage()
    home.hold(CONTENT, range(4), COMPLETE)
    node = Node(Clock())
    torrent = node.add(CONTENT, home, policy=Policy(check=False, trust=False))
    node.settle()
    remote = Remote(node, torrent, CONTENT)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert remote.sent == 12
    assert not home.faults.calls["read"]
    assert torrent.disk.checks.distrusted is not None
    assert not torrent.disk.checks.distrusted.any()


@pytest.mark.parametrize("check_it", [True, False])
@pytest.mark.parametrize("old", ["nothing", "zeros", "half"])
def test_a_torrent_of_672_pieces_has_all_of_them_asked_for(check_it: bool, old: str, tmp_path: Path) -> None:
    """W07: checked or not, every piece is wanted, and data flow; a seeder was connected, and 0 bytes a second came.

    W08: what is on the disk and no record knows is hashed first, and not fetched again. The flaw: a file of exactly the
    right size, whatever was in it, counted as complete.
    """
    content = sample(pieces=672, blocks=1)
    path = tmp_path / content.metainfo.info.files[0].path[0]
    there = {"nothing": b"", "zeros": bytes(len(content.content)), "half": content.content[: len(content.content) // 2]}
    if old != "nothing":
        path.write_bytes(there[old])
    node = Node(clock := Clock())
    torrent = node.add(content, FileStorage(tmp_path), policy=Policy(check=check_it))
    node.settle()
    assert set(torrent.pieces.worth) == {Priority.NORMAL}
    remote = Remote(node, torrent, content)
    until(clock, node, lambda: torrent.signals.complete.is_set, 20)
    missing = 336 if old == "half" and check_it else 672
    assert remote.sent == missing
    assert torrent.totals.downloaded == missing * BLOCK_SIZE
    assert path.read_bytes() == content.content


def test_data_that_no_record_knows_are_not_fetched_again(tmp_path: Path) -> None:
    """W08: files that lie there when a torrent is added for the first time are hashed, by default."""
    content = sample(files=(70_000, 5, 300_000), blocks=1)
    for file in content.metainfo.info.files:
        path = tmp_path.joinpath(*file.path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.content[file.offset : file.offset + file.length])
    node = Node(clock := Clock())
    torrent = node.add(content, FileStorage(tmp_path))
    node.settle()
    Remote(node, torrent, content)
    run(clock, node, 3)
    assert torrent.signals.complete.is_set
    assert torrent.totals.downloaded == torrent.totals.wasted == 0
    assert torrent.totals.hashed == content.geometry.total


def test_files_that_were_chosen_while_the_storage_was_opened_count() -> None:
    """The choice is younger than what the worker began with."""

    class Choosy(PlainStorage):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[list[bool]] = []

        def open(self, info: object, info_hash: object) -> PlainTorrent:
            torrent = super().open(info, info_hash)  # type: ignore[arg-type]  # as the storage's
            torrent.select = lambda wanted: self.told.append(list(wanted))  # type: ignore[attr-defined]  # an ability
            return torrent

    content = sample(files=(20_000, 20_000), blocks=1)
    home = Choosy()
    node = Node(Clock())
    torrent = node.add(content, home, want=None)
    node.want(torrent, [Priority.NONE, Priority.NORMAL])
    node.settle()
    assert home.told[-1] == [False, True]
    node.want(torrent, [Priority.NORMAL, Priority.NORMAL])
    node.settle()
    assert home.told[-1] == [True, True]


def test_a_storage_that_was_opened_in_vain_is_closed() -> None:
    """It opens, and then cannot tell what is there."""
    home = PlainStorage()
    failures = iter([True])
    node = Node(Clock())
    home.before_piece = lambda: 1 // 0 if next(failures, False) else None
    torrent = node.add(CONTENT, home)
    node.settle()
    assert home.opened == 0
    assert not isinstance(torrent.stage, Live)


def test_a_restored_piece_is_finished_with_what_is_missing() -> None:
    """The blocks from disk and those from the peer make one piece."""
    home = PlainStorage()
    home.hold(CONTENT, [1])
    home.data[1][:16384] = bytes(16384)
    node = Node(Clock())
    torrent = node.prepare(CONTENT, home, partial={1: bitarray("011", endian="big").tobytes()})
    node.want(torrent, [Priority.NORMAL])
    node.settle(lambda: check(node))
    assert set(torrent.pieces.begun) == {1}
    remote = Remote(node, torrent, CONTENT)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert remote.sent == 3 * 3 + 1


def test_blocks_that_are_said_to_be_there_and_are_not_are_fetched() -> None:
    """Somebody took the file away since the stop; it fails nothing."""
    home = PlainStorage()
    node = Node(Clock())
    torrent = node.prepare(CONTENT, home, partial={1: bitarray("011", endian="big").tobytes()})
    node.settle(lambda: check(node))
    assert not torrent.pieces.begun
    node.want(torrent, [Priority.NORMAL])
    remote = Remote(node, torrent, CONTENT)
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set
    assert remote.sent == 4 * 3
    assert not [event for event in node.told() if isinstance(event, events.Failed)]


def test_a_piece_of_which_all_blocks_are_said_to_be_there_is_hashed() -> None:
    """The stop came between its last block and its hash."""
    home = PlainStorage()
    home.hold(CONTENT, [1, 2])
    node = Node(Clock())
    full = bitarray("111", endian="big").tobytes()
    torrent = node.prepare(CONTENT, home, partial={1: full})
    node.settle(lambda: check(node))
    assert set(torrent.pieces.complete.search(1)) == {1, 2}
