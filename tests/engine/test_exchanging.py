"""Piece hashes from peers and for peers: who is asked, who is believed, and what a flood of requests costs."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.engine import exchanging
from anabranch.engine.failing import fail
from anabranch.engine.stage import Learning, Live
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet, Metainfo, Wanted, compose
from anabranch.model import BLOCK_SIZE, StorageFailed
from anabranch.wire import Hashes, HashReject, HashRequest
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run, until
from engine.samples import Sample, modern, on_disk, sample
from engine.truth import check

Answer = Callable[[bytes | None], bytes | None]
LENGTHS = (400_000, 100_000, 5, 200_000)  # three files of several pieces
SMALL = (400_000, 100_000)


def never(right: bytes | None) -> bytes | None:
    return None


def wrong(right: bytes | None) -> bytes | None:
    return bytes(len(right or b""))


def complete(torrent: TorrentState, content: Sample) -> bool:
    return torrent.signals.complete.is_set and on_disk(torrent.opened(), content) == content.content


def learner() -> tuple[Node, Clock, TorrentState]:
    """A node that has just been given a torrent without its piece hashes."""
    node = Node(clock := Clock())
    torrent = node.add(modern("v2", LENGTHS, layers=False))
    node.settle()
    return node, clock, torrent


def test_a_torrent_of_v2_alone_waits_for_its_hashes() -> None:
    """Nothing could be verified: it is not opened, and asks nobody for blocks, until all are known."""
    content = modern("v2", LENGTHS)
    node, clock, torrent = learner()
    assert isinstance(torrent.stage, Learning)
    assert torrent.signals.got_info.is_set
    slow = Teacher(node, torrent, content, hashes=never)
    run(clock, node, 3)
    assert isinstance(torrent.stage, Learning)
    assert not slow.asked
    assert len(slow.asked_hashes) == 3
    Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 20)
    assert torrent.metainfo.layers == content.metainfo.layers
    assert Metainfo.parse(torrent.metainfo.raw).layers == content.metainfo.layers
    check(node)


def test_several_peers_are_asked_at_once() -> None:
    """Each for a few of what is missing, none for the same."""
    content = modern("v2", tuple(40_000 + number for number in range(2 * exchanging.MOST_ASKED + 2)))
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    teachers = [Teacher(node, torrent, content, hashes=never) for _ in range(3)]
    run(clock, node, 1)
    asked = [asked.root for teacher in teachers for asked in teacher.asked_hashes]
    assert len(asked) == len(set(asked)) == 2 * exchanging.MOST_ASKED + 2
    assert max(len(teacher.asked_hashes) for teacher in teachers) == exchanging.MOST_ASKED


def test_a_file_of_thousands_of_pieces_is_asked_for_in_stretches() -> None:
    """512 hashes each, every answer proven by itself."""
    content = modern("v2", (1100 * BLOCK_SIZE,), BLOCK_SIZE)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    teacher = Teacher(node, torrent, content)
    until(clock, node, lambda: isinstance(torrent.stage, Live), 10)
    assert [(asked.index, asked.length) for asked in teacher.asked_hashes] == [(0, 512), (512, 512), (1024, 128)]
    assert torrent.metainfo.layers == content.metainfo.layers


def test_requests_for_many_files_are_made_a_few_at_a_time() -> None:
    """Not one for each of 20,000 files within a turn; and each of them is asked for once."""
    lengths = tuple(20_000 + number for number in range(1200))
    content = modern("v2", lengths, BLOCK_SIZE)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    teacher = Teacher(node, torrent, content, hashes=never)
    run(clock, node, 1)
    exchange = torrent.exchange
    assert exchange is not None
    assert exchange.layers.requests == exchange.layers.missing == len(lengths)
    assert len(exchange.queue) < len(lengths) - exchanging.MOST_ASKED
    teacher.hashes = lambda right: right
    for asked in teacher.asked_hashes:
        teacher.give_hashes(asked)
    teacher.send()
    until(clock, node, lambda: isinstance(torrent.stage, Live), 10)
    assert exchange.layers.missing == 0
    assert len(teacher.asked_hashes) == len(lengths)


@pytest.mark.parametrize("unhelpful", [never, wrong, None])
def test_who_does_not_help_is_passed_over(unhelpful: Answer | None) -> None:
    """Silence and a reject cost it a rest, wrong hashes the connection; somebody else is asked meanwhile."""
    content = modern("v2", LENGTHS)
    node, clock, torrent = learner()
    bad = Teacher(node, torrent, content, hashes=unhelpful or never)
    if unhelpful is None:
        bad.give_hashes = bad.refuse_hashes  # type: ignore[method-assign]  # it rejects all
    run(clock, node, 2)
    assert bool(bad.link.closed) == (unhelpful is wrong)
    asked = len(bad.asked_hashes)
    run(clock, node, 3)
    assert len(bad.asked_hashes) == asked
    good = Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 10)
    assert not good.link.closed or good.link.closed == "both have everything"
    if unhelpful is not wrong:
        assert bad.link.closed in ("", "both have everything")


def test_who_refused_is_asked_again_after_a_rest() -> None:
    """It may have the hashes later; but not each second."""
    content = modern("v2", LENGTHS)
    node, clock, torrent = learner()
    bad = Teacher(node, torrent, content)
    bad.give_hashes = bad.refuse_hashes  # type: ignore[method-assign]  # it rejects all
    run(clock, node, 25)
    assert len(bad.asked_hashes) <= 4
    del bad.give_hashes
    until(clock, node, lambda: complete(torrent, content), 20)


def test_an_answer_that_comes_late_is_as_good() -> None:
    """It proves itself, whoever has been asked since; then it is not asked for again."""
    content = modern("v2", SMALL)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    slow = Teacher(node, torrent, content, hashes=never)
    run(clock, node, int(exchanging.PATIENCE) + 3)
    other = Teacher(node, torrent, content, hashes=never)
    run(clock, node, 1)
    assert len(slow.asked_hashes) == len(other.asked_hashes) == 2
    slow.hashes = lambda right: right
    for asked in slow.asked_hashes:
        slow.give_hashes(asked)
    slow.send()
    until(clock, node, lambda: complete(torrent, content), 3)
    other.hashes = lambda right: right
    for asked in other.asked_hashes:
        other.give_hashes(asked)
    other.send()
    run(clock, node, 1)
    assert other.link.closed in ("", "both have everything")


def test_however_many_keep_silent_an_honest_peer_has_its_turn() -> None:
    """Who disappointed longest ago comes first, and who never did before all."""
    content = modern("v2", SMALL)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    for _ in range(20):
        Teacher(node, torrent, content, hashes=never)
    Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 20 * int(exchanging.PATIENCE) + 30)


def test_who_leaves_is_replaced_at_once_and_forgotten() -> None:
    """What it was asked for is asked of others, and nothing is kept of it."""
    content = modern("v2", LENGTHS)
    node, clock, torrent = learner()
    for _ in range(5):
        gone = Teacher(node, torrent, content, hashes=never)
        run(clock, node, 7)
        gone.leave()
    exchange = torrent.exchange
    assert exchange is not None
    assert not exchange.resting
    assert not exchange.asked
    Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 3)


def hashes(content: Sample, **changes: object) -> Hashes:
    """The right answer to the first request for the first file's hashes, but for some words of it."""
    torrent = Node(Clock()).prepare(modern("v2", LENGTHS, layers=False))
    assert torrent.layers is not None
    wanted = torrent.layers.wanted()[0]._asdict()
    wanted["index"] = wanted.pop("first")
    said = content.metainfo.layers[wanted["root"]]
    said += bytes(32 * (wanted["length"] - len(said) // 32))
    return Hashes(**(wanted | {"hashes": said} | changes))


LIES: dict[str, Callable[[Sample], Hashes]] = {
    "an unknown root": lambda content: hashes(content, root=bytes(32)),
    "a file of one piece": lambda content: hashes(content, root=content.metainfo.info.files[2].root),
    "an index out of range": lambda content: hashes(content, index=1 << 31),
    "an index between": lambda content: hashes(content, index=1),
    "another layer": lambda content: hashes(content, base_layer=9),
    "proof layers": lambda content: hashes(content, proof_layers=1),
    "too few": lambda content: hashes(content, hashes=bytes(32)),
    "too many": lambda content: hashes(content, hashes=bytes(32 * 512)),
    "none": lambda content: hashes(content, hashes=b""),
    "wrong ones": lambda content: hashes(content, hashes=bytes(32 * hashes(content).length)),
}


@pytest.mark.parametrize("lie", LIES)
def test_wrong_words_about_hashes_end_that_connection_only(lie: str) -> None:
    """W14: an unknown root, an index out of range, proof layers, a file without layers, hashes nobody asked for.

    The flaw: one message with an unknown root, or an index beyond the pieces, ended the program.
    """
    content = modern("v2", LENGTHS)
    node, clock, torrent = learner()
    good = Teacher(node, torrent, content, hashes=never)
    liar = Remote(node, torrent, content, v2=True, tells=False)
    node.settle()
    said = LIES[lie](content)
    words = HashRequest(said.root, said.base_layer, said.index, said.length, said.proof_layers)
    liar.talk.hashes(words, said.hashes)
    liar.send()
    node.settle()
    assert liar.link.closed
    assert not good.link.closed
    assert torrent.layers is not None
    assert not torrent.layers.known()
    good.hashes = lambda right: right
    until(clock, node, lambda: complete(torrent, content), 60)


@given(st.builds(Hashes, st.binary(min_size=32, max_size=32), *[st.integers(0, 2**32 - 1)] * 4, st.just(bytes(64))))
@settings(max_examples=60, deadline=None)
def test_any_words_about_hashes_are_taken_or_blamed(said: Hashes) -> None:
    """W14, also by a torrent that has all its hashes, and by one that has none."""
    for content in (modern("v2", SMALL), modern("hybrid", SMALL, layers=False), sample(pieces=2, blocks=1)):
        node = Node(Clock())
        torrent = node.add(content)
        node.settle()
        remote = Remote(node, torrent, content, v2=True)
        words = HashRequest(said.root, said.base_layer, said.index, said.length, said.proof_layers)
        remote.talk.hashes(words, said.hashes)
        remote.talk.hash_reject(words)
        remote.talk.hash_request(words)
        remote.send()
        node.settle()
        check(node)
        assert not torrent.signals.closed.is_set


def test_a_hybrid_downloads_at_once_and_gets_its_hashes_on_the_way() -> None:
    """Its v1 hashes verify it; the others are asked for beside, and are in its metainfo then."""
    content = modern("hybrid", LENGTHS)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet(v1=content.metainfo.info.v1))
    teacher = Teacher(node, torrent, content, rate=1, hashes=never)
    run(clock, node, 3)
    assert torrent.pieces.complete_count
    assert torrent.layers is not None
    assert not torrent.layers.complete
    teacher.hashes = lambda right: right
    until(clock, node, lambda: complete(torrent, content), 120)
    assert torrent.metainfo.layers == Metainfo.parse(torrent.metainfo.raw).layers == content.metainfo.layers


def test_a_peer_with_nothing_else_to_give_stays_until_the_hashes_came() -> None:
    """Both have everything, but for hashes that we lack: it is asked for them before the two part."""
    content = modern("hybrid", SMALL)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    teacher = Teacher(node, torrent, content, hashes=never)
    until(clock, node, lambda: complete(torrent, content), 10)
    assert not teacher.link.closed
    teacher.hashes = lambda right: right
    for asked in teacher.asked_hashes:
        teacher.give_hashes(asked)
    teacher.send()
    run(clock, node, 2)
    assert torrent.layers is not None
    assert torrent.layers.complete
    assert "everything" in teacher.link.closed


def test_a_peer_that_gives_neither_blocks_nor_hashes_goes() -> None:
    """Who keeps silent about hashes is not kept for them."""
    content = modern("hybrid", SMALL)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    teacher = Teacher(node, torrent, content, hashes=never)
    until(clock, node, lambda: complete(torrent, content), 10)
    run(clock, node, 10)
    assert teacher.link.closed == "both have everything"


def test_what_a_file_said_beside_its_info_is_still_said_when_the_hashes_came() -> None:
    """Comment, author, date and trackers stay in the metainfo."""
    content = modern("v2", SMALL)
    raw, tracker = content.metainfo.info.raw, "udp://t.example:1"
    bare = Metainfo.parse(compose(raw, trackers=[[tracker]], comment="hi", created_by="me", creation_date=5))
    node = Node(clock := Clock())
    torrent = node.add(Sample(bare, content.content))
    Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 10)
    again = Metainfo.parse(torrent.metainfo.raw)
    assert (again.comment, again.created_by, again.creation_date) == ("hi", "me", 5)
    assert again.trackers == ((tracker,),)


# Answering.


def server(content: Sample) -> tuple[Node, Clock, TorrentState]:
    node = Node(clock := Clock())
    return node, clock, node.seed(content)


def request(content: Sample, **changes: int | bytes) -> HashRequest:
    """A request that can be answered, but for some words of it."""
    file = content.metainfo.info.files[0]
    words: dict[str, int | bytes] = {"root": file.root, "base_layer": 1, "index": 0, "length": 8, "proof_layers": 0}
    return HashRequest(**(words | changes))  # type: ignore[arg-type]  # each word has its type


def test_what_is_known_is_told_with_its_proof() -> None:
    """The hashes of pieces, and of all layers above them."""
    content = modern("v2", LENGTHS)
    node, _, torrent = server(content)
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    asked = [request(content), request(content, base_layer=2, length=4, proof_layers=1), request(content, index=8)]
    for one in asked:
        remote.talk.hash_request(one)
    remote.send()
    node.settle()
    told = [event for event in remote.heard if isinstance(event, Hashes)]
    assert torrent.layers is not None
    assert [one.hashes for one in told] == [
        torrent.layers.answer(one.root, one.base_layer, one.index, one.length, one.proof_layers) for one in asked
    ]
    assert not remote.said(HashReject)


def test_who_asks_for_all_there_is_is_refused_nothing() -> None:
    """A torrent of many files takes a request for each: nobody is kept waiting minutes for them, or sent away."""
    content = modern("v2", tuple(20_000 + number for number in range(1200)), BLOCK_SIZE)
    node, _, torrent = server(content)
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    files = content.metainfo.info.files
    for first in range(0, len(files), exchanging.MOST_ASKED):
        for file in files[first : first + exchanging.MOST_ASKED]:
            remote.talk.hash_request(request(content, root=file.root, base_layer=0, length=2))
        remote.send()
        node.settle()
    assert not remote.said(HashReject)
    assert len([event for event in remote.heard if isinstance(event, Hashes)]) == len(files)


REFUSED: dict[str, dict[str, int | bytes]] = {
    "an unknown root": {"root": sha256(b"").digest()},
    "more than there are": {"length": 32},
    "no power of two": {"length": 3},
    "none": {"length": 0},
    "between": {"index": 4},
    "behind the end": {"index": 1 << 20},
    "above the root": {"base_layer": 30},
    "proof above the root": {"proof_layers": 9},
    "very many": {"length": 1 << 31},
    "blocks behind the end": {"base_layer": 0, "index": 32},
    "blocks and no power of two": {"base_layer": 0, "length": 6},
    "blocks between": {"base_layer": 0, "length": 4, "index": 2},
    "blocks and very many": {"base_layer": 0, "length": 1 << 31},
    "blocks above the root": {"base_layer": 0, "length": 64},
    "blocks with proof above the root": {"base_layer": 0, "length": 2, "proof_layers": 5},
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_told_is_refused(words: dict[str, int | bytes]) -> None:
    """The connection goes on."""
    content = modern("v2", LENGTHS)
    node, _, torrent = server(content)
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    remote.talk.hash_request(request(content, **words))
    remote.talk.hash_request(request(content))
    remote.send()
    node.settle()
    assert (remote.said(HashReject), remote.said(Hashes)) == (1, 1)
    assert not remote.link.closed


@pytest.mark.parametrize("why", ["v1", "no hashes", "learning", "failed"])
def test_who_has_no_hashes_to_give_refuses(why: str) -> None:
    """A v1 torrent, one that lacks the file's, one that is not live."""
    content = modern("v2", LENGTHS)
    node = Node(Clock())
    if why == "learning":
        torrent = node.learn(Magnet.of(content.metainfo))
    else:
        torrent = node.add(modern("v1" if why == "v1" else "hybrid", LENGTHS, layers=why == "failed"))
    node.settle()
    remote = Remote(node, torrent, content, v2=True, tells=False)
    if why == "failed":
        node.loop.run(fail, node.engine, torrent, StorageFailed("/data", "No space left on device"))
    remote.talk.hash_request(request(content))
    remote.send()
    node.settle()
    assert remote.said(HashReject) == 1
    assert not remote.link.closed


def test_a_flood_of_requests_is_answered_within_reason() -> None:
    """10,000 at once: no more than a burst is worked out, few at a time, the others are refused at once."""
    content = modern("v2", LENGTHS)
    node, clock, torrent = server(content)
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    remote.link.blocked = True  # and it does not even read
    node.cold.held = True
    for _ in range(10_000):
        remote.talk.hash_request(request(content))
    remote.send()
    node.settle()
    assert len(node.cold.waiting) == 1
    assert remote.peer.profile.answering == 8192
    node.cold.held = False
    node.settle()
    assert remote.peer.profile.answering == 0
    assert remote.peer.talk.pending < 10_000 * 60 + 16 * 400
    remote.link.blocked = False
    remote.link.flush()
    node.settle()
    assert remote.said(Hashes) + remote.said(HashReject) == 10_000
    assert remote.said(Hashes) <= 16
    run(clock, node, 5)
    remote.talk.hash_request(request(content))
    remote.send()
    node.settle()
    assert remote.said(Hashes) > 0
    assert not node.turn.slow


def test_many_requests_over_time_are_rationed() -> None:
    """A burst for who learns a torrent of many files, then some each second."""
    content = modern("v2", LENGTHS)
    node, clock, torrent = server(content)
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    for _ in range(100):
        for _ in range(15):
            remote.talk.hash_request(request(content))
        remote.send()
        node.settle()
    assert 1024 <= remote.said(Hashes) <= 1100
    before = remote.said(Hashes)
    run(clock, node, 10)
    for _ in range(100):
        for _ in range(15):
            remote.talk.hash_request(request(content))
        remote.send()
        node.settle()
    assert 500 <= remote.said(Hashes) - before <= 700


def test_an_answer_for_who_has_gone_is_lost() -> None:
    """The worker is still at it when the peer leaves, and when the torrent is dropped."""
    content = modern("v2", LENGTHS)
    node, _, torrent = server(content)
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    node.cold.held = True
    remote.talk.hash_request(request(content))
    remote.send()
    node.settle()
    remote.leave()
    node.drop(torrent)
    node.cold.held = False
    node.settle()
    assert torrent.signals.closed.is_set


def test_wanted_and_hash_request_have_their_words_in_the_same_order() -> None:
    """One is made of the other by place."""
    assert [name for name in Wanted._fields if name != "first"] == [
        name for name in HashRequest.__dataclass_fields__ if name != "index"
    ]
