"""Opening a storage, and what is known of each piece then."""

from __future__ import annotations

import pytest
from bitarray import bitarray

from anabranch.engine.stage import Live, Opening
from anabranch.engine.state import Policy
from anabranch.model import Priority
from anabranch.storage import Completion
from engine.remotes import Remote
from engine.rig import Clock, Node
from engine.samples import GroupedStorage, PlainStorage, PlainTorrent, sample
from engine.truth import check

CONTENT = sample(pieces=4, blocks=3)


@pytest.mark.parametrize(
    ("recorded", "there", "check_it", "complete", "hashed"),
    [
        (Completion.COMPLETE, True, True, True, False),
        (Completion.COMPLETE, True, False, True, False),
        (Completion.INCOMPLETE, True, True, False, False),
        (Completion.INCOMPLETE, True, False, False, False),
        (Completion.UNKNOWN, True, True, True, True),
        (Completion.UNKNOWN, True, False, False, False),
        (Completion.UNKNOWN, False, True, False, True),
    ],
)
def test_what_is_recorded_is_believed_and_what_is_unknown_is_hashed(
    recorded: Completion, there: bool, check_it: bool, complete: bool, hashed: bool
) -> None:
    """W07: the truth table; whatever is not complete may be asked for."""
    home = PlainStorage()
    home.hold(CONTENT, range(4), recorded)
    if not there:
        home.data.clear()
    node = Node(Clock())
    torrent = node.add(CONTENT, home, policy=Policy(check=check_it))
    assert isinstance(torrent.stage, Opening)
    node.settle(lambda: check(node))
    assert isinstance(torrent.stage, Live)
    assert torrent.signals.checked.is_set
    assert torrent.pieces.complete.all() == complete
    assert bool(home.faults.calls["read"]) == hashed
    node.make_order(torrent)
    assert len(torrent.pieces.order) == (0 if complete else 4)


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


def test_what_resume_data_vouch_for_is_recorded_where_no_store_keeps_it() -> None:
    """And then believed, as if it had been recorded before."""
    home = GroupedStorage()
    home.hold(CONTENT, range(4))
    node = Node(Clock())
    torrent = node.prepare(CONTENT, home, vouched=bitarray("1011", endian="big"))
    node.settle()
    assert home.faults.calls["read"] == 1
    assert torrent.pieces.is_seed


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


def test_a_piece_of_which_all_blocks_are_said_to_be_there_is_hashed() -> None:
    """The stop came between its last block and its hash."""
    home = PlainStorage()
    home.hold(CONTENT, [1, 2])
    node = Node(Clock())
    full = bitarray("111", endian="big").tobytes()
    torrent = node.prepare(CONTENT, home, partial={1: full})
    node.settle(lambda: check(node))
    assert set(torrent.pieces.complete.search(1)) == {1, 2}
