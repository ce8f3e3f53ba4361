"""What subscribers hear of files that become complete."""

from __future__ import annotations

from anabranch.engine import events
from anabranch.engine.checking import want_check
from anabranch.engine.feed_io import Feeds
from anabranch.engine.filing import piece_changed, piece_lost
from anabranch.engine.state import TorrentState
from anabranch.model import BLOCK_SIZE, all_pieces
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Held, sample

# Pieces of one block: the first file is in 0 to 2, the next in 2, the third in 2 to 7, the last is empty.
FILES = sample(blocks=1, files=(2 * BLOCK_SIZE + 100, 200, 5 * BLOCK_SIZE, 0))


def opened(*, told: bool = True) -> tuple[Node, TorrentState]:
    """A torrent of which nothing is there, and perhaps somebody who listens."""
    node = Node(Clock())
    torrent = node.add(FILES, want=None)
    node.settle()
    node.told()
    if not told:
        node.feed.close()
        node.engine.publisher = Feeds()
    return node, torrent


def book(node: Node, torrent: TorrentState, pieces: str, complete: bool = True) -> list[int]:
    """Have these pieces become complete, or not; gives the files that were said to be complete."""
    with node.engine.turn:
        for piece in map(int, pieces):
            if torrent.pieces.set_complete(piece, complete):
                piece_changed(node.engine, torrent, piece, complete)
    return [event.file for event in node.told() if isinstance(event, events.FileCompleted)]


def test_a_file_is_complete_with_its_last_piece_in_whatever_order() -> None:
    """One piece can complete several."""
    for order, due in (
        ("01234567", [[], [], [0, 1], [], [], [], [], [2]]),
        ("76543210", [[], [], [], [], [], [1, 2], [], [0]]),
        ("25013467", [[1], [], [], [0], [], [], [], [2]]),
    ):
        node, torrent = opened()
        assert [book(node, torrent, piece) for piece in order] == due


def test_a_file_is_said_again_only_after_it_was_incomplete() -> None:
    """A check that finds the same says nothing."""
    node, torrent = opened()
    assert book(node, torrent, "01234567") == [0, 1, 2]
    assert book(node, torrent, "01234567") == []
    assert book(node, torrent, "5", complete=False) == []
    assert book(node, torrent, "5") == [2]
    assert book(node, torrent, "42", complete=False) == []
    assert book(node, torrent, "4") == []
    assert book(node, torrent, "2") == [0, 1, 2]


def test_a_piece_that_is_lost_before_the_file_is_complete_is_missed() -> None:
    """Also one behind which everything was looked at already."""
    node, torrent = opened()
    assert book(node, torrent, "23456") == [1]
    with node.engine.turn:
        torrent.pieces.set_unknown(3)
        piece_lost(torrent, 3)
    assert book(node, torrent, "7") == []
    assert book(node, torrent, "3") == [2]


def test_of_what_came_while_nobody_listened_nothing_is_forgotten() -> None:
    """The first who listens hears of the next file."""
    node, torrent = opened(told=False)
    book(node, torrent, "234567")
    book(node, torrent, "4", complete=False)
    feeds: Feeds[events.Event] = Feeds()
    node.engine.publisher, node.feed = feeds, feeds.subscribe()
    assert book(node, torrent, "4") == [2]


def test_files_of_a_download_are_said_once_with_their_path() -> None:
    """Verified and written; the event needs no turn to be read."""
    clock = Clock()
    node = Node(clock)
    torrent = node.add(FILES)
    node.settle()
    Remote(node, torrent, FILES)
    run(clock, node, 12)
    told = [event for event in node.told() if isinstance(event, events.FileCompleted)]
    paths = ["/".join(file.path) for file in FILES.metainfo.info.files]
    assert sorted((event.file, event.path) for event in told) == list(enumerate(paths))[:3]


def test_files_that_a_check_finds_are_said() -> None:
    """What is on disk and nobody knew, or nobody knows any more."""
    node = Node(Clock())
    torrent = node.add(FILES, Held(FILES), want=None)
    node.settle()
    with node.engine.turn:
        for piece in range(8):
            torrent.pieces.set_unknown(piece)
            piece_lost(torrent, piece)
    node.told()
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(8))
    node.settle()
    assert [event.file for event in node.told() if isinstance(event, events.FileCompleted)] == [0, 1, 2]


def test_a_piece_of_a_long_file_looks_at_one_other_piece() -> None:
    """Not at all that are before it, and where it does look on, never twice at the same."""
    content = sample(pieces=2000, blocks=1, files=(BLOCK_SIZE * 1999, BLOCK_SIZE))
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    first: list[int] = []
    for piece in (*range(1, 1500), 0, *range(1500, 1999)):
        with node.engine.turn:
            torrent.pieces.set_complete(piece, True)
            piece_changed(node.engine, torrent, piece, True)
        first.append(torrent.signals.missing_of_file.get(0, 0))
    assert first[:1499] == [0] * 1499
    assert first[1499:-1] == list(range(1500, 1999))
    assert sum(isinstance(event, events.FileCompleted) for event in node.told()) == 1
