"""Torrents of which only the name is known: what they learn, from whom, and what happens to them meanwhile."""

from __future__ import annotations

from hashlib import sha1
from math import inf
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.bencode import encode
from anabranch.engine import events, learning, reading
from anabranch.engine.checking import want_check
from anabranch.engine.stage import Dropped, Failed, Learning, Live
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet, MetainfoError
from anabranch.model import BLOCK_SIZE, Address, Closed, InfoHash, InputRefused, PeerFault, all_pieces, no_pieces
from anabranch.wire import Handshake, Have, MetadataData, MetadataRequest, write_metadata
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Nobody, Node, connect, run, settle, until
from engine.samples import Held, PlainStorage, Sample, changed, modern, on_disk, sample
from engine.truth import check

LENGTHS = (100_000, 0, 40_000, 5, 65_536)
KINDS = ("v1", "v2", "hybrid")


def links(content: Sample) -> list[Magnet]:
    """Every link that names the torrent."""
    info = content.metainfo.info
    found = [Magnet.of(content.metainfo)]
    if info.v1 is not None and info.v2 is not None:
        found += [Magnet(v1=info.v1), Magnet(v2=info.v2)]
    return found


def complete(torrent: TorrentState, content: Sample) -> bool:
    return torrent.signals.complete.is_set and on_disk(torrent.opened(), content) == content.content


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fast", [True, False])
def test_a_link_ends_in_a_complete_download_from_one_peer(kind: str, fast: bool) -> None:
    """Whatever name it is known by: info, piece hashes where they are needed, then all of the content."""
    content = modern(kind, LENGTHS)
    for link in links(content):
        node = Node(clock := Clock())
        torrent = node.learn(link)
        assert not torrent.pieces.is_seed
        assert torrent.metainfo.info.name
        Teacher(node, torrent, content, fast=fast, name=link.swarm_hashes[0])
        until(clock, node, lambda: complete(torrent, content), 20)  # noqa: B023 - called at once
        assert torrent.info_hash == link.swarm_hashes[0]
        assert torrent.metainfo.info == content.metainfo.info
        assert torrent.signals.got_info.is_set
        assert sum(isinstance(event, events.GotInfo) for event in node.told()) == 1
        check(node)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_is_learned_from_an_engine_that_seeds(kind: str) -> None:
    """Both sides are ours: what one asks the other answers."""
    content = modern(kind, (300_000, 70_000), layers=True)
    nodes = [Node(clock := Clock(), 1), Node(clock, 2)]
    torrents = [nodes[0].seed(content), nodes[1].learn(Magnet.of(content.metainfo))]
    connect(nodes[0], torrents[0], nodes[1], torrents[1])
    until(clock, nodes, lambda: complete(torrents[1], content), 30)
    assert torrents[1].metainfo.layers == content.metainfo.layers


def test_one_honest_peer_is_found_among_many_liars() -> None:
    """Wrong bytes, wrong sizes up to 2 GB, silence, refusal: none keeps the torrent from learning, none is believed."""
    content = changed(modern("hybrid", LENGTHS), filler=b"x" * 100_000)
    raw = content.metainfo.info.raw
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    liars = [
        Teacher(node, torrent, content, raw=bytes(len(raw))),
        Teacher(node, torrent, content, raw=raw[:-1] + b"x"),
        Teacher(node, torrent, content, size=2**31 - 1),
        Teacher(node, torrent, content, size=16 * 1024 * 1024),
        Teacher(node, torrent, content, size=1),
        Teacher(node, torrent, content, raw=b"le", size=2),
        Teacher(node, torrent, content, silent=True),
        Teacher(node, torrent, content, rejects=True),
        Teacher(node, torrent, content, tells_info=False),
    ]
    run(clock, node, 5)
    honest = Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 600)
    assert not honest.link.closed or honest.link.closed == "both have everything"
    assert not liars[2].asked_info
    assert liars[4].link.closed == "sent wrong metadata"


def test_who_leaves_in_the_middle_is_replaced() -> None:
    """What it gave is kept, what it owes is asked of others."""
    content = changed(sample(pieces=4, blocks=1), filler=b"x" * 100_000)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    first = Teacher(node, torrent, content)
    first.give_info = lambda piece: Teacher.give_info(first, piece) if piece < 2 else None  # type: ignore[method-assign]  # it falls silent
    node.settle()
    first.leave()
    second = Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 20)
    assert not {0, 1} & set(second.asked_info)


def test_who_lied_is_forgotten_when_it_leaves() -> None:
    """A liar that comes back again and again leaves nothing behind."""
    content = sample(pieces=2, blocks=1)
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    for _ in range(20):
        liar = Teacher(node, torrent, content, raw=bytes(len(content.metainfo.info.raw)))
        node.settle()
        assert liar.link.closed == "sent wrong metadata"
    assert isinstance(torrent.stage, Learning)
    assert torrent.stage.fetch is not None
    assert not torrent.stage.fetch.convicted
    assert not torrent.stage.fetch.wasted


TELLS: dict[str, set[int]] = {"all": set(range(8)), "bitfield": set(range(8)), "haves": {1, 3}, "nothing": set()}


def tell(remote: Remote, how: str) -> None:
    """Say in one of these ways what it has."""
    if how == "haves":
        for piece in sorted(TELLS[how]):
            remote.talk.have(piece)
    elif how != "nothing":
        remote.talk.send_pieces(all_pieces(8), complete=how == "all")
    remote.send()


@pytest.mark.parametrize("how", TELLS)
@pytest.mark.parametrize("fast", [True, False])
def test_what_was_told_of_pieces_before_they_are_known_counts_afterwards(how: str, fast: bool) -> None:
    """A peer that came early is asked for exactly what it has, and is told what we have."""
    content = sample(pieces=8, blocks=2)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo), Held(content, [0, 1]))
    early = Remote(node, torrent, content, tells=False, fast=fast)
    tell(early, how)
    node.settle()
    assert not torrent.pieces.geometry.piece_count
    Teacher(node, torrent, content, pieces=[])
    run(clock, node, 5)
    assert set(torrent.pieces.complete.search(1)) == {0, 1} | TELLS[how]
    assert {event.piece for event in early.heard if isinstance(event, Have)} >= {0, 1}
    check(node)


@pytest.mark.parametrize("lie", ["bitfield", "have"])
def test_who_told_of_pieces_that_are_none_is_let_go_when_that_is_known(lie: str) -> None:
    """The measures show who could not have said the truth; nobody else is harmed."""
    content = sample(pieces=8, blocks=1)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    liar = Remote(node, torrent, content, tells=False)
    if lie == "have":
        liar.talk.have(8)
    else:
        liar.talk.send_pieces(no_pieces(80) | all_pieces(80), complete=False)
    liar.send()
    node.settle()
    teacher = Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 20)
    assert "8 pieces" in liar.link.closed or "piece 8 of 8" in liar.link.closed
    assert not teacher.link.closed or teacher.link.closed == "both have everything"


def test_who_leaves_before_it_is_told_the_measures_leaves_nothing_behind() -> None:
    """It went between the moment the info was read and the one in which it would have been heard."""
    content = sample(pieces=8, blocks=1)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    early = Remote(node, torrent, content)
    node.disk.held = True
    Teacher(node, torrent, content, pieces=[0])
    node.settle()
    node.disk.held = False
    while not torrent.pieces.learned:
        assert node.step()
    early.leave()
    run(clock, node, 3)
    assert torrent.pieces.seeds == 0
    check(node)


def test_nothing_is_wanted_unless_somebody_says_so() -> None:
    """The info is learned, and nothing more happens until files are chosen."""
    content = modern("v1", LENGTHS)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo), want=False)
    Teacher(node, torrent, content)
    run(clock, node, 5)
    assert torrent.signals.got_info.is_set
    assert isinstance(torrent.stage, Live)
    assert not torrent.totals.downloaded
    with node.engine.turn:
        assert not learning.want_when_known(torrent)


@pytest.mark.parametrize(("ranges", "files"), [(((2, 2),), {2}), (((0, 1), (4, 99)), {0, 1, 4}), (((50, 60),), set())])
def test_a_link_selects_files_by_their_places(ranges: tuple[tuple[int, int], ...], files: set[int]) -> None:
    """BEP 53; places that no file has select none."""
    content = modern("v2", LENGTHS)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet(v2=content.metainfo.info.v2, select=ranges))
    Teacher(node, torrent, content)
    run(clock, node, 5)
    assert {index for index, worth in enumerate(torrent.worth.of_file) if worth} == files
    wanted = {piece for index in files for piece in torrent.worth.pieces_of(index)}
    assert set(torrent.pieces.complete.search(1)) == wanted
    assert torrent.signals.complete.is_set == bool(files)


@pytest.mark.parametrize("moment", ["at once", "asking", "reading", "waits for hashes", "opening"])
def test_a_torrent_may_be_dropped_at_any_moment_of_its_learning(moment: str) -> None:
    """It ends as every other; who waits for its info hears of it."""
    content = modern("v2", LENGTHS)
    home = PlainStorage()
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo), home)
    if moment != "at once":
        node.disk.held = moment == "reading"
        silent = moment == "asking"
        Teacher(
            node, torrent, content, silent=silent, hashes=lambda right: None if moment == "waits for hashes" else right
        )
        if moment == "opening":
            while isinstance(torrent.stage, Learning):
                assert node.step()
        else:
            node.settle()
    node.drop(torrent)
    node.disk.held = False
    node.settle()
    assert isinstance(torrent.stage, Dropped)
    assert torrent.signals.closed.is_set
    assert home.opened == 0
    assert not node.engine.directory.find(content.metainfo.info.swarm_hashes)
    assert not torrent.swarm.peers
    if moment in ("at once", "asking", "reading"):
        with pytest.raises(Closed):
            torrent.signals.got_info.wait(0)
    else:
        assert torrent.signals.got_info.is_set
    with pytest.raises(Closed):
        torrent.signals.complete.wait(0)


def test_the_torrent_file_ends_the_search_for_peers_that_know() -> None:
    """The user adds the .torrent of a torrent that is learning: it goes on with that, peers and wishes stay."""
    content = modern("hybrid", LENGTHS)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet(v1=content.metainfo.info.v1))
    Remote(node, torrent, content)
    node.settle()
    with node.engine.turn:
        learning.take_metainfo(node.engine, torrent, content.metainfo)
    until(clock, node, lambda: complete(torrent, content), 10)
    assert torrent.metainfo == content.metainfo
    assert torrent.metainfo.layers == content.metainfo.layers


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
def test_the_torrent_file_ends_the_search_for_piece_hashes(kind: str) -> None:
    """Its layers are as good as those of peers, whatever is under way with these."""
    content = modern(kind, (400_000, 100_000))
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    Teacher(node, torrent, content, hashes=lambda right: None)
    node.settle()
    assert torrent.signals.got_info.is_set
    assert torrent.layers is not None
    assert not torrent.layers.complete
    with node.engine.turn:
        learning.take_metainfo(node.engine, torrent, content.metainfo)
    until(clock, node, lambda: complete(torrent, content), 10)
    assert torrent.layers.complete
    assert torrent.metainfo.layers == content.metainfo.layers
    assert modern(kind, (400_000, 100_000)).metainfo.parse(torrent.metainfo.raw).layers == content.metainfo.layers


def test_the_file_and_the_peers_may_both_tell_at_once() -> None:
    """Whichever is read first begins the torrent; the other gives what was missing."""
    content = modern("v2", (400_000, 100_000))
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    Teacher(node, torrent, content, hashes=lambda right: None)
    node.disk.held = True
    node.settle()
    with node.engine.turn:
        learning.take_metainfo(node.engine, torrent, content.metainfo)
    node.disk.held = False
    until(clock, node, lambda: complete(torrent, content), 10)
    assert sum(isinstance(event, events.GotInfo) for event in node.told()) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_torrent_is_found_by_every_name_that_it_has(kind: str) -> None:
    """By those of its link at first, and by those of its info once that is known."""
    content = modern(kind, LENGTHS)
    for link in links(content):
        node = Node(Clock())
        torrent = node.learn(link)
        assert all(node.engine.directory.get(name) is torrent for name in link.swarm_hashes)
        Teacher(node, torrent, content, name=link.swarm_hashes[0])
        node.settle()
        for other in links(content):
            assert node.engine.directory.find(other.swarm_hashes) is torrent


def test_two_links_that_turn_out_to_be_one_torrent_become_one() -> None:
    """Two torrents never write the same files: the one that sees it first says so and gives way."""
    content = modern("hybrid", LENGTHS)
    info = content.metainfo.info
    node = Node(clock := Clock())
    one, other = node.learn(Magnet(v1=info.v1)), node.learn(Magnet(v2=info.v2))
    for torrent in (one, other):
        Teacher(node, torrent, content, name=torrent.info_hash)
    until(
        clock, node, lambda: complete(one, content) if isinstance(other.stage, Failed) else complete(other, content), 20
    )
    failed, whole = (one, other) if isinstance(one.stage, Failed) else (other, one)
    assert isinstance(failed.stage, Failed)
    assert "here already" in str(failed.stage.error)
    assert node.engine.directory.get(info.swarm_hashes[0]) is node.engine.directory.get(info.swarm_hashes[1]) is whole
    with pytest.raises(InputRefused):
        failed.signals.got_info.wait(0)
    node.drop(failed)
    node.settle()
    assert node.engine.directory.find(info.swarm_hashes) is whole


def test_that_a_torrent_is_private_is_learned() -> None:
    """BEP 27: the flag is in the info dictionary."""
    content = changed(sample(pieces=2, blocks=1), private=1)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    assert not torrent.metainfo.info.private
    Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 10)
    assert torrent.metainfo.info.private


USELESS = {
    "no dictionary": b"le",
    "no bencoding": b"d4:name",
    "nothing in it": b"de",
    "a negative length": encode({"length": -1, "name": "x", "piece length": 16384, "pieces": bytes(20)}),
    "too few hashes": encode({"length": 40000, "name": "x", "piece length": 16384, "pieces": bytes(20)}),
    "more behind it": encode({"length": 1, "name": "x", "piece length": 16384, "pieces": bytes(20)})
    + b"8:announce3:x:y",
}


@pytest.mark.parametrize("raw", USELESS.values(), ids=USELESS.keys())
def test_info_of_which_no_torrent_can_be_made_ends_it_for_good(raw: bytes) -> None:
    """The hash is right, so no other peer has anything better: one word to the user, and no further try."""
    node = Node(clock := Clock())
    torrent = node.learn(Magnet(v1=InfoHash(sha1(raw).digest())))
    teacher = Teacher(node, torrent, sample(), raw=raw, name=torrent.info_hash)
    run(clock, node, 60)
    assert isinstance(torrent.stage, Failed)
    assert isinstance(torrent.stage.error, MetainfoError)
    assert torrent.stage.retry_at == inf
    told = [event for event in node.told() if isinstance(event, events.Failed)]
    assert [(event.final, event.error) for event in told] == [(True, torrent.stage.error)]
    assert teacher.link.closed == "the torrent cannot be used"
    assert teacher.asked_info == [0]
    with pytest.raises(MetainfoError):
        torrent.signals.got_info.wait(0)
    with pytest.raises(PeerFault):
        Teacher(node, torrent, sample(), raw=raw, name=torrent.info_hash)
    node.drop(torrent)
    node.settle()
    assert torrent.signals.closed.is_set


def test_to_verify_what_is_not_known_yet_is_no_wish() -> None:
    """There is nothing to hash; it is hashed when it is opened anyhow, and nobody is told that it was."""
    content = sample(pieces=4, blocks=1)
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo), Held(content))
    with node.engine.turn:
        want_check(node.engine, torrent, all_pieces(0))
    Teacher(node, torrent, content)
    assert not torrent.signals.checked.is_set
    until(clock, node, lambda: complete(torrent, content), 10)
    assert torrent.signals.checked.is_set


def test_a_learning_torrent_serves_nothing_and_reads_nothing() -> None:
    """There is no content yet: a read ends at once, requests are passed over."""
    content = sample(pieces=4, blocks=1)
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo), Held(content))
    remote = Remote(node, torrent, content)
    remote.talk.interested()
    remote.ask(0, 0, BLOCK_SIZE)
    node.settle()
    assert not remote.answers()
    assert not remote.link.closed
    assert not reading.wait_for(node, torrent, 0, 0, False).length


WORDS = st.one_of(
    st.builds(lambda kind, body: (5, kind, body), st.integers(0, 25), st.binary(max_size=60)),
    st.builds(
        lambda number, payload: (20, number, payload),
        st.integers(0, 4),
        st.one_of(
            st.binary(max_size=40),
            st.builds(lambda piece: write_metadata(MetadataRequest(piece)), st.integers(0, 9)),
            st.builds(
                lambda piece, size, data: write_metadata(MetadataData(piece, size, data)),
                st.integers(0, 3),
                st.integers(1, 40_000),
                st.binary(max_size=30),
            ),
            st.builds(lambda size: encode({"m": {"ut_metadata": 3}, "metadata_size": size}), st.integers(-1, 40_000)),
        ),
    ),
)


@given(st.lists(WORDS, max_size=12), st.sampled_from(KINDS), st.integers(0, 12))
@settings(max_examples=120, deadline=None)
def test_whatever_a_peer_says_to_a_learning_torrent_at_most_its_connection_ends(
    words: list[tuple[int, int, bytes]], kind: str, when: int
) -> None:
    """Any legal and illegal messages in any order, before and behind the moment in which the info comes."""
    content = modern(kind, (70_000, 20_000))
    node = Node(clock := Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    node.settle()
    link = node.join(
        torrent, Nobody(), Address("10.9.9.9", 9), Handshake.ours(content.info_hash, b"-XX0000-123456789012")
    )
    for place, (first, second, body) in enumerate(words):
        if place == when:
            Teacher(node, torrent, content)
        payload = bytes([second]) + body if first == 5 else bytes([20, second]) + body
        link.inbox += len(payload).to_bytes(4, "big") + payload
        node.settle()
        check(node)
    Teacher(node, torrent, content)
    until(clock, node, lambda: complete(torrent, content), 60)


@pytest.mark.parametrize("seed", range(6))
def test_a_crowd_that_lies_comes_and_goes_keeps_nobody_from_learning(seed: int) -> None:
    """Peers of all kinds, engines among them that learn as well: in the end all have everything."""
    draw = Random(seed)
    content = changed(modern(draw.choice(KINDS), (200_000, 33_000, 1)), filler=draw.randbytes(draw.choice([0, 50_000])))
    raw = content.metainfo.info.raw
    nodes = [Node(clock := Clock(), 1), *(Node(clock, number) for number in (2, 3))]
    torrents = [nodes[0].seed(content), *(node.learn(Magnet.of(content.metainfo)) for node in nodes[1:])]
    for node, torrent in zip(nodes[1:], torrents[1:], strict=True):
        for _ in range(draw.randint(1, 6)):
            spoilt = bytearray(raw)
            spoilt[draw.randrange(len(raw))] ^= 1
            Teacher(
                node,
                torrent,
                content,
                pieces=[],
                raw=draw.choice([raw, bytes(spoilt), bytes(spoilt)]),
                size=draw.choice([None, None, 50_000, 2**31 - 1]),
                silent=draw.random() < 0.3,
                rejects=draw.random() < 0.3,
                hashes=draw.choice([lambda right: right, lambda right: None, lambda right: bytes(len(right or b""))]),
            )
    settle(*nodes)
    connect(nodes[0], torrents[0], nodes[1], torrents[1])
    connect(nodes[1], torrents[1], nodes[2], torrents[2])
    until(clock, nodes, lambda: all(complete(torrent, content) for torrent in torrents), 600)
    for node in nodes:
        check(node)
        assert not node.turn.slow
