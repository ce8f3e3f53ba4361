"""The check of the request order: silent whatever legal state a torrent is in, and not deaf."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from anabranch.engine import consistency
from anabranch.engine.complaints_io import complain
from anabranch.engine.consistency import Difference, differences, look
from anabranch.engine.stage import Checking, Failed, Learning
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import allow_download
from anabranch.metainfo import Magnet
from anabranch.model import Priority
from anabranch.picker import Standing
from anabranch.storage import Completion
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run
from engine.samples import Faults, PlainStorage, modern, sample
from engine.spaces import Space, Tenancy
from engine.truth import check

PIECES = 40
CONTENT = sample(pieces=PIECES, blocks=2)


def downloading(node: Node, home: PlainStorage | None = None) -> TorrentState:
    """Some pieces are complete, some begun, some are being hashed, and peers come and go."""
    torrent = node.add(CONTENT, home or PlainStorage())
    node.settle()
    for pieces in (range(30), range(20, PIECES)):
        remote = Remote(node, torrent, CONTENT, pieces=pieces, rate=0)
        node.settle()
        remote.serve(7)
        remote.send()
    node.settle()
    node.disk.held = True
    remote.serve(4)
    remote.send()
    node.settle()
    return torrent


def plain(node: Node) -> TorrentState:
    return downloading(node)


def not_allowed(node: Node) -> TorrentState:
    torrent = downloading(node)
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
    node.settle()
    return torrent


def bounded(node: Node) -> TorrentState:
    torrent = downloading(node, Tenancy(Space(1 << 18)))
    assert torrent.pieces.ordering.shared is not None
    return torrent


def without_layers(node: Node) -> TorrentState:
    content = sample(files=(100_000, 20_000), blocks=2)
    torrent = node.learn(Magnet.of(content.metainfo))
    node.settle()
    assert isinstance(torrent.stage, Learning)
    return torrent


def v2_without_layers(node: Node) -> TorrentState:
    content = modern("v2", (100_000, 20_000))
    torrent = node.add(modern("v2", (100_000, 20_000), layers=False))
    node.settle()
    Teacher(node, torrent, content, hashes=lambda right: None)
    node.settle()
    assert isinstance(torrent.stage, Learning)
    assert not torrent.pieces.known.any()
    return torrent


def hybrid_without_layers(node: Node) -> TorrentState:
    content = modern("hybrid", (100_000, 20_000))
    torrent = node.add(modern("hybrid", (100_000, 20_000), layers=False))
    node.settle()
    Teacher(node, torrent, content, hashes=lambda right: None, rate=0.001)
    node.settle()
    assert torrent.pieces.ordered
    assert torrent.pieces.begun
    return torrent


def swept(node: Node) -> TorrentState:
    torrent = downloading(node)
    node.slices.thickness = 3
    node.want(torrent, [Priority.HIGH])
    assert torrent.worth.sweeps
    return torrent


def without_an_order(node: Node) -> TorrentState:
    torrent = node.add(CONTENT, PlainStorage())
    node.settle()
    assert not torrent.pieces.ordered
    return torrent


def failed(node: Node) -> TorrentState:
    home = PlainStorage(faults := Faults())
    torrent = downloading(node, home)
    faults.always.add("write")
    node.disk.held = False
    node.settle()
    assert isinstance(torrent.stage, Failed)
    return torrent


def checking(node: Node) -> TorrentState:
    home = PlainStorage()
    home.hold(CONTENT, range(PIECES), Completion.UNKNOWN)
    torrent = node.add(CONTENT, home)
    while not isinstance(torrent.stage, Checking):
        node.step()
    return torrent


def selecting(node: Node) -> TorrentState:
    torrent = downloading(node)
    torrent.disk.selecting = True
    return torrent


def closing(node: Node) -> TorrentState:
    torrent = downloading(node)
    node.drop(torrent)
    return torrent


@pytest.mark.parametrize(
    "made",
    [
        plain,
        not_allowed,
        bounded,
        without_layers,
        v2_without_layers,
        hybrid_without_layers,
        swept,
        without_an_order,
        failed,
        checking,
        selecting,
        closing,
    ],
)
def test_in_no_legal_state_there_is_anything_to_say(made: Callable[[Node], TorrentState]) -> None:
    """W02: other engines ended the program where downloading is not allowed, or where hashes are missing."""
    node = Node(Clock(), debug=True)
    torrent = made(node)
    every = range(torrent.pieces.geometry.piece_count)
    assert differences(torrent, every) == []
    with node.engine.turn:
        assert look(node.engine, torrent) == []
    while node.step():
        assert differences(torrent, every) == []


@pytest.mark.parametrize("made", [plain, bounded])
@pytest.mark.parametrize("broken", ["gone", "left behind", "misplaced"])
def test_an_order_that_is_wrong_is_found_and_told_to_the_log(
    made: Callable[[Node], TorrentState], broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With both sides; the torrent goes on."""
    node = Node(clock := Clock(), debug=True)
    torrent = made(node)
    table = torrent.pieces
    piece = next(one for one in range(PIECES) if table.requestable(one))
    right, wrong = table.standing(piece), Standing(Priority.HIGH, True, 77)
    match broken:
        case "gone":
            table.order.delete(piece)
            due = Difference(piece, None, right)
        case "misplaced":
            table.order.update(piece, wrong)
            due = Difference(piece, wrong, right)
        case _:
            piece = next(one for one in range(PIECES) if not table.requestable(one))
            right = table.standing(piece)
            if table.ordering.askable is not None:
                table.ordering.askable[piece] = True
                due = Difference(piece, right, right)
            else:
                table.order.add(piece, wrong)
                due = Difference(piece, wrong, None)
    assert differences(torrent, range(PIECES)) == [due]
    node.disk.held = False
    if broken != "gone":
        for _ in range(20):  # by samples
            with node.engine.turn:
                look(node.engine, torrent)
        assert f"piece {piece}: held as {due.held}, due as {due.due}" in caplog.text
    run(clock, node, 1)


def test_the_check_costs_nothing_where_nobody_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """W02: it runs with Config.debug only, once a second, and looks at some pieces, however many there are."""
    looked: list[int] = []
    compare = consistency.differences

    def counted(torrent: TorrentState, pieces: list[int]) -> list[Difference]:
        looked.append(len(pieces))
        return compare(torrent, pieces)

    monkeypatch.setattr(consistency, "differences", counted)
    content = sample(pieces=500, blocks=1)
    for debug, times in ((False, 0), (True, 3)):
        node = Node(clock := Clock(), debug=debug)
        torrent = node.add(content)
        node.settle()
        Remote(node, torrent, content, rate=3)
        run(clock, node, 3, partial(check, node))
        assert len(looked) == times
    assert max(looked) <= consistency.SAMPLE + 16


def test_the_log_gets_the_first_of_many(caplog: pytest.LogCaptureFixture) -> None:
    """One line, however much is wrong."""
    complain(CONTENT.info_hash, [f"piece {one}" for one in range(100)])
    [line] = caplog.messages
    assert "count=100" in line
    assert "piece 7'" in line
    assert "piece 8'" not in line
