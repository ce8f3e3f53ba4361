"""Changes of what is wanted."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine.events import PieceChanged
from anabranch.engine.state import TorrentState
from anabranch.engine.turn_io import SLICE
from anabranch.engine.wanting import choose_file, choose_pieces, read_ahead, refresh_all
from anabranch.model import Priority
from engine.clocks import Clock
from engine.crowd import together
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import Held, huge, on_disk, sample
from engine.truth import check

FILES = (50_000, 0, 16_384, 1, 120_000, 7, 7, 32_768)


@given(st.integers(0, 100_000), st.sampled_from([1, 2, 5, 4096]))
@settings(max_examples=60, deadline=None)
def test_after_any_changes_the_order_holds_what_is_wanted_and_missing(seed: int, slice_size: int) -> None:
    """Files, pieces and readers, in any order and while earlier changes are still being followed."""
    draw = Random(seed)
    content = sample(files=FILES, blocks=1)
    node = Node(Clock(), slice_size=slice_size)
    count = content.geometry.piece_count
    torrent = node.add(content, Held(content, draw.sample(range(count), draw.randint(0, count))), want=None)
    node.settle()
    if draw.random() < 0.8:
        node.make_order(torrent)
    every = list(Priority)
    for _ in range(draw.randint(1, 30)):
        first = draw.randrange(count)
        pieces = range(first, draw.randint(first, count))
        match draw.randrange(5):
            case 0:
                node.want(torrent, [draw.choice(every) for _ in FILES])
            case 1:
                with node.engine.turn:
                    choose_file(node.engine, torrent, draw.randrange(len(FILES)), draw.choice(every))
            case 2:
                with node.engine.turn:
                    choose_pieces(node.engine, torrent, pieces, draw.choice(every))
            case 3:
                with node.engine.turn:
                    reader = draw.choice(("one", "other"))
                    read_ahead(node.engine, torrent, reader, pieces, first if pieces else -1)
            case _:
                with node.engine.turn:
                    refresh_all(node.engine, torrent)
        for _ in range(draw.choice([0, 1, 3, 100])):
            node.step()
        assert list(torrent.pieces.worth) == [torrent.worth.of(piece) for piece in range(count)]
    node.settle()
    node.make_order(torrent)
    check(node)
    assert not torrent.worth.sweeps
    wanted = {piece for piece in range(count) if torrent.worth.of(piece) and not torrent.pieces.complete[piece]}
    assert set(torrent.pieces.order.scan()) == wanted
    assert torrent.pieces.missing_wanted == len(wanted)


@pytest.mark.parametrize("slice_size", [3, SLICE])
@pytest.mark.parametrize("changes", [1, 2, 40])
def test_threads_that_change_priorities_during_a_download_lose_no_wake(changes: int, slice_size: int) -> None:
    """W05: eight threads at random; at quiescence who has what is wanted has been asked, and the states are right."""
    content = sample(files=tuple([20_000] * 24), blocks=1)
    for world in range(80 // changes):
        node = Node(Clock(), slice_size=slice_size)
        torrent = node.add(content, want=None)
        node.settle()
        for number in range(4):
            Remote(node, torrent, content, [piece for piece in range(30) if piece % 4 in (number, 3)])
        node.settle()  # nobody has anything to say any more: what follows comes of the changes alone

        def change(seed: int, node: Node = node, torrent: TorrentState = torrent) -> None:
            draw = Random(seed)
            for _ in range(changes):
                with node.engine.turn:
                    if draw.random() < 0.5:
                        file = draw.randrange(24)
                        worth = draw.choice([Priority.NONE, Priority.NORMAL, Priority.HIGH])
                        choose_file(node.engine, torrent, file, worth)
                    else:
                        first = draw.randrange(30)
                        priority = draw.choice(list(Priority))
                        choose_pieces(node.engine, torrent, range(first, min(first + 3, 30)), priority)

        def pump(node: Node = node) -> None:
            for _ in range(50 * changes):
                node.step()

        together(pump, *(partial(change, 8 * world + number) for number in range(8)))
        node.settle()
        check(node)
        assert list(torrent.pieces.worth) == [torrent.worth.of(piece) for piece in range(30)]
        assert not [piece for piece in range(30) if torrent.worth.of(piece) and not torrent.pieces.complete[piece]]
        assert torrent.signals.complete.is_set == any(torrent.pieces.worth)
        told = {event.piece: event.complete for event in node.told() if isinstance(event, PieceChanged)}
        assert told == dict.fromkeys(torrent.pieces.complete.search(1), True)


def test_a_change_is_followed_by_requests_without_any_other_event() -> None:
    """W04: also when the peer's socket took nothing at the time of the change."""
    content = sample(files=(40_000, 40_000), blocks=1)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    remote = Remote(node, torrent, content)
    node.settle()
    remote.link.blocked = True
    with node.engine.turn:
        choose_file(node.engine, torrent, 1, Priority.NORMAL)
    node.settle()
    assert torrent.totals.downloaded == 0
    remote.link.blocked = False
    remote.link.flush()
    node.settle()
    assert torrent.signals.complete.is_set
    assert set(torrent.pieces.complete.search(1)) == set(torrent.worth.pieces_of(1))


def test_only_what_is_wanted_is_fetched() -> None:
    """And nothing more when more is wanted of what is there."""
    content = sample(files=FILES, blocks=1)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    Remote(node, torrent, content)
    for file in (4, 0):
        with node.engine.turn:
            choose_file(node.engine, torrent, file, Priority.NORMAL)
        node.settle()
    wanted = {*torrent.worth.pieces_of(4), *torrent.worth.pieces_of(0)}
    assert set(torrent.pieces.complete.search(1)) == wanted
    assert torrent.totals.downloaded == sum(content.geometry.length_of(piece) for piece in wanted)
    node.want(torrent, [Priority.NORMAL] * len(FILES))
    node.settle()
    assert on_disk(torrent.opened(), content) == content.content


def test_a_subscriber_that_never_reads_holds_nothing_up_and_finds_the_present_state() -> None:
    """W06: events of a piece replace each other; the rest is bounded."""
    content = sample(pieces=200, blocks=1)
    node = Node(Clock())
    lazy = node.feeds.subscribe(50)
    torrent = node.add(content)
    node.settle()
    Remote(node, torrent, content)
    node.settle()
    assert torrent.signals.complete.is_set
    assert len(lazy) == 50
    assert lazy.dropped > 100


@pytest.mark.parametrize("what", ["files", "file", "reader"])
def test_a_change_of_very_many_pieces_is_followed_in_slices(what: str) -> None:
    """W01, W47: 350,000 pieces; no turn brings more than a slice of the order up to date."""
    content = huge()
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    node.make_order(torrent)
    most = brought = 0
    refresh = torrent.pieces.refresh

    def counted(piece: int) -> None:
        nonlocal brought
        brought += 1
        refresh(piece)

    torrent.pieces.refresh = counted  # type: ignore[method-assign]  # counts the work
    if what == "files":
        node.want(torrent, [Priority.NORMAL])
    else:
        with node.engine.turn:
            if what == "file":
                choose_file(node.engine, torrent, 0, Priority.NORMAL)
            else:
                read_ahead(node.engine, torrent, "reader", range(4096), 0)
    while True:
        most, brought = max(most, brought), 0
        if not node.step():
            break
    assert most <= 4096 + 2
    assert len(torrent.pieces.order) == (4096 if what == "reader" else 350_000)


def test_a_reader_that_moves_on_costs_what_it_moved() -> None:
    """Not its whole window, each time."""
    content = sample(pieces=3000, blocks=1)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    with node.engine.turn:
        read_ahead(node.engine, torrent, "reader", range(2000), 0)
    weighed: list[int] = []
    of = torrent.worth.of

    def counted(piece: int) -> Priority:
        weighed.append(piece)
        return of(piece)

    torrent.worth.of = counted  # type: ignore[method-assign]  # counts the work
    with node.engine.turn:
        read_ahead(node.engine, torrent, "reader", range(1, 2001), 1)
    assert len(weighed) <= 4
    assert torrent.pieces.worth[0] == Priority.NONE
    assert torrent.pieces.worth[1] == Priority.NOW
    assert torrent.pieces.worth[2000] == Priority.READAHEAD
