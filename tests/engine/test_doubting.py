"""Wrong blocks of a v2 piece: found by the hashes of its blocks, and only they are fetched again."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from random import Random

import pytest

from anabranch.engine import doubting, events
from anabranch.engine.failing import fail
from anabranch.engine.state import TorrentState
from anabranch.model import BLOCK_SIZE, StorageFailed
from anabranch.wire import HashRequest
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run, until
from engine.samples import PlainStorage, Sample, changed, modern, on_disk
from engine.truth import check

PIECE = 8 * BLOCK_SIZE
LIAR = "10.9.0.66"
Answer = Callable[[bytes | None], bytes | None]


def never(right: bytes | None) -> bytes | None:
    return None


def one_piece(kind: str = "v2", length: int = PIECE) -> Sample:
    return modern(kind, (length,), PIECE)


def downloader(content: Sample, **more: object) -> tuple[Node, Clock, TorrentState, PlainStorage]:
    node = Node(clock := Clock(), **more)  # type: ignore[arg-type]  # the options of a node
    home = PlainStorage()
    torrent = node.add(content, home)
    node.settle()
    return node, clock, torrent, home


def mixed(node: Node, torrent: TorrentState, content: Sample, wrong: set[int], share: int = 4) -> Remote:
    """A liar gives the first *share* blocks of piece 0, some wrong, and stops."""
    liar = Remote(node, torrent, content, rate=0, host=LIAR, spoil=lambda _, begin: begin // BLOCK_SIZE in wrong)
    node.settle()
    liar.serve(share)
    liar.send()
    node.settle()
    while liar.asked:
        liar.withdraw(1)
    liar.send()
    return liar


def whole(torrent: TorrentState, content: Sample) -> bool:
    return torrent.signals.complete.is_set and on_disk(torrent.opened(), content) == content.content


def well(node: Node, torrent: TorrentState, content: Sample) -> bool:
    check(node)
    return whole(torrent, content)


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
@pytest.mark.parametrize("length", [PIECE, PIECE - 5, PIECE - 2 * BLOCK_SIZE - 7, 5 * PIECE])
def test_only_the_wrong_blocks_are_asked_for_again_and_only_who_sent_them_is_banned(kind: str, length: int) -> None:
    """Of a liar's three good blocks and one bad one, three are kept. Files of one piece, of several, with padding."""
    content = one_piece(kind, length)
    node, clock, torrent, _ = downloader(content)
    bad = -1

    def spoil(piece: int, begin: int) -> bool:
        nonlocal bad
        bad = piece if bad < 0 else bad
        return (piece, begin) == (bad, BLOCK_SIZE)

    liar = Remote(node, torrent, content, rate=0, host=LIAR, spoil=spoil)
    node.settle()
    liar.serve(4)
    while liar.asked:
        liar.withdraw(1)
    liar.send()
    node.settle()
    good = [Teacher(node, torrent, content, host=f"10.9.0.{number}") for number in range(1, 4)]
    until(clock, node, lambda: whole(torrent, content), 20)
    check(node)
    assert node.engine.banned == {LIAR}
    blocks = sum(map(content.geometry.blocks_of, range(content.geometry.piece_count)))
    assert liar.sent + sum(teacher.sent for teacher in good) == blocks + 1
    assert torrent.totals.corrupt == BLOCK_SIZE
    assert torrent.totals.downloaded - torrent.totals.corrupt == content.geometry.content
    assert [event.piece for event in node.told() if isinstance(event, events.PieceFailed)] == [bad]


def test_who_sent_all_of_a_wrong_piece_is_banned_before_anybody_tells() -> None:
    """There is nobody else; and its good blocks are kept nevertheless."""
    content = one_piece()
    node, clock, torrent, _ = downloader(content)
    good = Teacher(node, torrent, content, unchokes=False, hashes=never)
    Remote(node, torrent, content, host=LIAR, spoil=lambda _, begin: begin == 3 * BLOCK_SIZE)
    node.settle()
    assert node.engine.banned == {LIAR}
    assert torrent.holding.finishing
    good.hashes = lambda right: right
    good.give_hashes(good.asked_hashes[0])
    good.talk.unchoke()
    good.send()
    until(clock, node, lambda: well(node, torrent, content), 5)
    assert good.sent == 1
    assert len([event for event in node.told() if isinstance(event, events.PeerBanned)]) == 1


def test_peers_that_know_v1_alone_are_not_asked() -> None:
    """Of a hybrid: they would break off over a message that they do not know."""
    content = one_piece("hybrid")
    node, _, torrent, _ = downloader(content)
    mixed(node, torrent, content, {1})
    old = Remote(node, torrent, content, rate=0)
    new = Teacher(node, torrent, content, unchokes=False, hashes=never)
    node.settle()
    old.serve(4)
    old.send()
    node.settle()
    assert torrent.holding.finishing
    assert new.asked_hashes
    assert not old.said(HashRequest)


def test_a_good_piece_costs_no_word() -> None:
    """Hashes of blocks are asked for where a piece failed, and nowhere else."""
    content = one_piece(length=5 * PIECE)
    node, clock, torrent, _ = downloader(content)
    teacher = Teacher(node, torrent, content)
    until(clock, node, lambda: whole(torrent, content), 20)
    assert not teacher.asked_hashes


def test_blocks_of_a_piece_whose_hashes_are_known_are_judged_at_once() -> None:
    """Another liar spoils what is fetched again: nobody has to be asked a second time."""
    content = one_piece()
    node, clock, torrent, _ = downloader(content)
    mixed(node, torrent, content, {0, 1})
    teacher = Teacher(node, torrent, content, rate=0)
    node.settle()
    while teacher.asked:
        teacher.serve(1)
    teacher.send()
    node.settle(lambda: check(node))
    assert node.engine.banned == {LIAR}
    assert len(teacher.asked_hashes) == 1
    while teacher.asked:
        teacher.withdraw(1)
    teacher.send()
    second = Remote(node, torrent, content, rate=0, host="10.9.0.67", spoil=lambda piece, begin: True)
    run(clock, node, 2)
    second.serve(2)
    second.send()
    node.settle()
    assert node.engine.banned == {LIAR, "10.9.0.67"}
    assert len(teacher.asked_hashes) == 1
    Remote(node, torrent, content)
    until(clock, node, lambda: whole(torrent, content), 20)
    exchange = torrent.exchange
    assert exchange is not None
    assert not exchange.doubts.known


def wrong(right: bytes | None) -> bytes | None:
    return bytes(len(right or b""))


def short(right: bytes | None) -> bytes | None:
    return (right or b"")[:-32]


@pytest.mark.parametrize("answer", [never, wrong, short, None])
def test_where_nobody_tells_all_of_the_piece_is_fetched_again(answer: Answer | None) -> None:
    """Silence ends after a while, a reject at once, a lie ends the connection; the guilty are found when it passes."""
    content = one_piece()
    node, clock, torrent, _ = downloader(content)
    mixed(node, torrent, content, {2})
    useless = [Teacher(node, torrent, content, rate=100, hashes=answer or never) for _ in range(3)]
    for teacher in useless:
        if answer is None:
            teacher.give_hashes = teacher.refuse_hashes  # type: ignore[method-assign]  # it rejects all
    good = Remote(node, torrent, content, rate=100)
    until(clock, node, lambda: well(node, torrent, content), 60)
    assert torrent.totals.corrupt == PIECE
    assert node.engine.banned == {LIAR}
    assert not good.link.closed or good.link.closed == "both have everything"
    for teacher in useless:
        lied = answer in (wrong, short) and teacher.asked_hashes
        assert ("hashes" in teacher.link.closed) == bool(lied)


def test_who_keeps_silent_is_waited_for_a_while_only() -> None:
    """Then its memory is given back, and who was silent is not asked again at once; it may answer late."""
    content = one_piece()
    node, clock, torrent, _ = downloader(content)
    mixed(node, torrent, content, {2})
    silent = Teacher(node, torrent, content, hashes=never)
    node.settle()
    assert set(torrent.holding.finishing) == {0}
    assert len(silent.asked_hashes) == 1
    assert node.engine.pool.lent == PIECE
    run(clock, node, int(doubting.PATIENCE) + 1, lambda: check(node))
    assert whole(torrent, content)
    assert len(silent.asked_hashes) == 1
    assert node.engine.pool.lent == 0
    silent.hashes = lambda right: right
    silent.give_hashes(silent.asked_hashes[0])
    silent.send()
    node.settle()
    assert silent.link.closed in ("", "both have everything")


def test_others_are_asked_where_some_refuse_or_leave() -> None:
    """Two at a time, those last who sent blocks of the piece; who does not have it, never."""
    content = one_piece(length=5 * PIECE)
    node, clock, torrent, _ = downloader(content)
    liar = Teacher(node, torrent, content, rate=0, host=LIAR, pieces=[0], spoil=lambda _, begin: begin == 0)
    node.settle()
    liar.serve(7)
    liar.send()
    node.settle()
    while liar.asked:
        liar.withdraw(1)
    liar.send()
    lacking = Teacher(node, torrent, content, pieces=[1], unchokes=False)
    refusing = Teacher(node, torrent, content, unchokes=False)
    refusing.give_hashes = refusing.refuse_hashes  # type: ignore[method-assign]  # it rejects all
    leaving = Teacher(node, torrent, content, unchokes=False, hashes=never)
    knowing = Teacher(node, torrent, content, unchokes=False, hashes=never)
    last = Remote(node, torrent, content, pieces=[0])
    until(clock, node, lambda: bool(torrent.holding.finishing) and bool(knowing.asked_hashes), 10)
    leaving.leave()
    last.leave()
    assert torrent.exchange is not None
    assert 0 in torrent.exchange.doubts.open
    assert LIAR not in node.engine.banned
    knowing.hashes = lambda right: right
    knowing.give_hashes(knowing.asked_hashes[0])
    knowing.send()
    run(clock, node, 1)
    assert node.engine.banned == {LIAR}
    assert len(refusing.asked_hashes) == 1
    assert not lacking.asked_hashes
    Remote(node, torrent, content)
    until(clock, node, lambda: whole(torrent, content), 20)


@pytest.mark.parametrize("pool", [4 * PIECE, 2 * PIECE, BLOCK_SIZE])
@pytest.mark.parametrize("kind", ["v2", "hybrid"])
@pytest.mark.parametrize("seed", range(3))
def test_liars_and_honest_peers_among_each_other(kind: str, pool: int, seed: int) -> None:
    """Whole pieces in memory, stretches on disk, memory that is short: right data, and nobody innocent is banned."""
    content = modern(kind, (3 * PIECE + 5, 100_000, PIECE, 7, 2 * PIECE), PIECE)
    draw = Random(seed)
    node, clock, torrent, home = downloader(content, number=seed, pool=pool)
    for number in range(2):
        lies = Random(f"{seed} {number}")
        answer = draw.choice([never, wrong, lambda right: right])
        Teacher(
            node,
            torrent,
            content,
            rate=5,
            host=f"10.9.6.{number}",
            hashes=answer,
            spoil=lambda piece, begin, lies=lies: lies.random() < 0.2,
        )
    for number in range(2):
        Teacher(node, torrent, content, rate=4, host=f"10.9.1.{number}")
    until(clock, node, lambda: well(node, torrent, content), 200)
    assert all(host.startswith("10.9.6.") for host in node.engine.banned)
    assert {piece: len(data) for piece, data in home.data.items()} == {
        piece: content.geometry.length_of(piece) for piece in range(content.geometry.piece_count)
    }
    assert not torrent.holding.finishing
    node.drop(torrent)
    node.settle()
    assert node.engine.pool.lent == 0


def test_a_piece_on_disk_keeps_its_good_blocks_there() -> None:
    """Large pieces are written before they are hashed: no memory waits for the answer, and little is written over."""
    content = one_piece(length=2 * PIECE)
    node, clock, torrent, home = downloader(content, pool=2 * BLOCK_SIZE)
    assert torrent.holding.stretch_blocks == 1
    liar = Remote(node, torrent, content, rate=0, host=LIAR, spoil=lambda _, begin: begin == BLOCK_SIZE)
    for _ in range(5):
        run(clock, node, 1)
        liar.serve(1)
        liar.send()
        node.settle()
    liar.serve(len(liar.asked))
    good = Teacher(node, torrent, content, hashes=never)
    until(clock, node, lambda: bool(torrent.holding.finishing) and bool(good.asked_hashes), 20)
    piece = next(iter(torrent.holding.finishing))
    assert not [key for key in torrent.holding.buffers if key[0] == piece]
    before = home.faults.calls["write"], good.sent
    good.hashes = lambda right: right
    good.give_hashes(good.asked_hashes[0])
    good.send()
    until(clock, node, lambda: well(node, torrent, content), 20)
    assert node.engine.banned == {LIAR}
    assert home.faults.calls["write"] - before[0] <= 1 + good.sent - before[1]
    assert torrent.totals.corrupt <= 2 * BLOCK_SIZE


@pytest.mark.parametrize("way", ["drop", "forget", "fail"])
def test_a_torrent_that_ends_or_fails_does_not_wait_for_hashes(way: str) -> None:
    """Nothing is kept of the doubt, and the memory comes back."""
    content = one_piece()
    node, clock, torrent, _ = downloader(content)
    mixed(node, torrent, content, {2})
    Teacher(node, torrent, content, hashes=never)
    node.settle()
    assert torrent.holding.finishing
    if way == "fail":
        node.loop.run(fail, node.engine, torrent, StorageFailed("/data", "No space left on device"))
        run(clock, node, int(doubting.PATIENCE) + 1)
    else:
        node.drop(torrent, forget=way == "forget")
        run(clock, node, 1)
        assert torrent.signals.closed.is_set
    assert not torrent.holding.finishing
    assert node.engine.pool.lent == 0


def test_wrong_padding_of_a_hybrid_is_not_the_contents_fault() -> None:
    """All its blocks have their v2 hashes: the piece is fetched again as a whole, and passes."""
    content = modern("hybrid", (PIECE + 3 * BLOCK_SIZE, PIECE), PIECE)
    node, clock, torrent, _ = downloader(content)
    liar = Remote(node, torrent, content, [1], rate=0, host=LIAR, spoil=lambda _, begin: begin == 5 * BLOCK_SIZE)
    node.settle()
    liar.serve(8)
    liar.send()
    node.settle()
    good = Teacher(node, torrent, content)
    until(clock, node, lambda: well(node, torrent, content), 20)
    assert good.sent == 24
    assert node.engine.banned == {LIAR}


def test_a_hybrid_whose_sides_contradict_each_other_fails_for_good() -> None:
    """What has its v1 hash and not the other is no peer's fault: nobody is asked and nobody is banned."""
    right = changed(modern("hybrid", (PIECE,), PIECE), pieces=sha1(bytes(PIECE)).digest())
    broken = Sample(right.metainfo, bytes(PIECE))
    node, clock, torrent, _ = downloader(broken)
    peer = Teacher(node, torrent, broken)
    run(clock, node, 3)
    assert not node.engine.banned
    assert not peer.asked_hashes
    assert [event for event in node.told() if isinstance(event, events.Failed) and event.final]


def test_pieces_of_more_than_512_blocks_are_asked_for_in_parts() -> None:
    """BEP 52 has nobody ask for more at once; each part is proven by itself."""
    piece = 1024 * BLOCK_SIZE
    content = modern("v2", (600 * BLOCK_SIZE + 5, 20), piece)
    node, clock, torrent, _ = downloader(content)
    Remote(node, torrent, content, [0], rate=50, host=LIAR, spoil=lambda _, begin: begin == 0)
    good = Teacher(node, torrent, content, rate=50)
    until(clock, node, lambda: whole(torrent, content), 60)
    if good.asked_hashes:
        assert sorted((one.index, one.length, one.proof_layers) for one in good.asked_hashes) == [
            (0, 512, 9),
            (512, 512, 9),
        ]
        assert torrent.totals.corrupt == BLOCK_SIZE
