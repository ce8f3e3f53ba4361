"""Giving the info dictionary away: to all who ask within reason, and to nobody what is private."""

from __future__ import annotations

import pytest

from anabranch.bencode import encode
from anabranch.engine.chatter import BURST, UNKNOWN_PIECES
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import choose_file
from anabranch.metainfo import Magnet
from anabranch.model import Priority
from anabranch.wire import (
    METADATA,
    METADATA_PIECE,
    Event,
    ExtendedMessage,
    MetadataData,
    MetadataReject,
    MetadataRequest,
    OurExtensions,
    read_metadata,
    write_metadata,
)
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run, until
from engine.samples import Sample, changed, modern, sample
from engine.truth import check


class Asker(Remote):
    """Asks for the info dictionary."""

    def introduction(self) -> OurExtensions:
        return OurExtensions(names={METADATA: 5}, version="asker", reqq=500)

    def ask_info(self, *pieces: int) -> None:
        for piece in pieces:
            self.talk.send_extended(METADATA, write_metadata(MetadataRequest(piece)))
        self.send()

    def told(self) -> list[MetadataData | MetadataReject]:
        """What the node answered."""
        return [answer for event in self.heard if (answer := _answer(event)) is not None]


def _answer(event: Event) -> MetadataData | MetadataReject | None:
    answer = read_metadata(event.payload) if isinstance(event, ExtendedMessage) else None
    return answer if isinstance(answer, MetadataData | MetadataReject) else None


def seeding(content: Sample) -> tuple[Node, Clock, TorrentState, Asker]:
    """A node that has the torrent, and somebody who asks it."""
    node = Node(clock := Clock())
    torrent = node.seed(content)
    asker = Asker(node, torrent, content, pieces=[])
    node.settle()
    return node, clock, torrent, asker


def long_info() -> Sample:
    """A torrent whose info dictionary has four pieces."""
    return changed(sample(pieces=4, blocks=1), filler=b"x" * 3 * METADATA_PIECE)


def test_who_asks_gets_the_info_dictionary_piece_by_piece() -> None:
    """And is told its length beforehand; behind the end there is nothing."""
    content = long_info()
    raw = content.metainfo.info.raw
    node, _, _, asker = seeding(content)
    assert asker.talk.peer_extensions.metadata_size == len(raw)
    asker.ask_info(0, 1, 2, 3, 4, 2**31 - 1)
    node.settle()
    told = asker.told()
    assert b"".join(one.payload for one in told if isinstance(one, MetadataData)) == raw
    assert [one.piece for one in told if isinstance(one, MetadataReject)] == [4, 2**31 - 1]


def test_a_flood_of_requests_is_refused_and_hurts_nobody() -> None:
    """W45: a few times the whole, then a word of refusal each; what we want of that peer goes on."""
    content = long_info()
    node = Node(clock := Clock())
    torrent = node.add(content)
    node.settle()
    asker = Asker(node, torrent, content, rate=2)
    node.settle()
    for _ in range(100):
        asker.ask_info(*[0, 1, 2, 3] * 10)
        node.settle()
    given = sum(isinstance(one, MetadataData) for one in asker.told())
    assert given == 3 * 4
    assert sum(isinstance(one, MetadataReject) for one in asker.told()) == 4000 - given
    until(clock, node, lambda: torrent.signals.complete.is_set, 60)
    assert asker.link.closed in ("", "both have everything")
    check(node)


def test_who_does_not_read_is_given_little() -> None:
    """W45: what waits for it is bounded, also where it may have much more."""
    content = changed(sample(pieces=4, blocks=1), filler=b"x" * 300 * METADATA_PIECE)
    node, _, _, asker = seeding(content)
    asker.link.blocked = True
    for _ in range(20):
        asker.ask_info(*range(300))
        node.settle()
    assert asker.peer.talk.pending < 64 * METADATA_PIECE + 20 * 300 * 60
    asker.link.blocked = False
    asker.link.flush()
    node.settle()
    assert sum(isinstance(one, MetadataData) for one in asker.told()) < 64


def test_who_leaves_much_unread_is_asked_for_blocks_once_it_reads() -> None:
    """W04: 64 KiB and more wait for it when a file becomes wanted. The Go engine looked at what waits first and never
    asked it again; made to ask, it ended the program where the requests did not fit behind that."""
    content = changed(sample(files=(16384, 600 * 16384), blocks=8), filler=b"x" * 30 * METADATA_PIECE)
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    asker = Asker(node, torrent, content)
    asker.talk.unchoke()
    asker.send()
    node.settle()
    asker.link.blocked = True
    asker.ask_info(*range(30))
    node.settle()
    assert asker.peer.talk.pending > 128 * 1024
    with node.turn:
        choose_file(node.engine, torrent, 1, Priority.NORMAL)
    node.settle()
    assert asker.peer.talk.outstanding
    assert not asker.asked
    asker.link.blocked = False
    asker.link.flush()
    node.settle(lambda: check(node))
    assert torrent.signals.complete.is_set


def test_after_a_while_there_is_more() -> None:
    """A peer that lost what it had may ask again a minute later."""
    content = long_info()
    node, clock, _, asker = seeding(content)
    asker.ask_info(*[0, 1, 2, 3] * 5)
    run(clock, node, 60)
    before = len([one for one in asker.told() if isinstance(one, MetadataData)])
    asker.ask_info(0, 1, 2, 3)
    node.settle()
    assert len([one for one in asker.told() if isinstance(one, MetadataData)]) == before + 4


def test_who_learns_itself_refuses_until_it_knows() -> None:
    """All requests are rejected; once the info is there its length is told, and it is given."""
    content = long_info()
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    asker = Asker(node, torrent, content, pieces=[])
    node.settle()
    asker.ask_info(0, 1)
    node.settle()
    assert asker.told() == [MetadataReject(0), MetadataReject(1)]
    assert asker.talk.peer_extensions.metadata_size is None
    Teacher(node, torrent, content)
    node.settle()
    assert asker.talk.peer_extensions.metadata_size == len(content.metainfo.info.raw)
    asker.ask_info(0)
    node.settle()
    assert isinstance(asker.told()[-1], MetadataData)


@pytest.mark.parametrize("learned", [True, False])
def test_the_info_of_a_private_torrent_is_not_given_away(learned: bool) -> None:
    """As with libtorrent 2.1.1: it is not offered, and who asks all the same hears nothing."""
    content = changed(sample(pieces=2, blocks=1), private=1)
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo)) if learned else node.seed(content)
    asker = Asker(node, torrent, content, pieces=[])
    node.settle()
    if learned:
        Teacher(node, torrent, content)
        node.settle()
        assert torrent.pieces.learned
    asker.ask_info(0)
    node.settle()
    assert asker.told() == []
    assert asker.talk.peer_extensions.metadata_size is None
    assert (METADATA in asker.talk.peer_extensions.ids) == learned
    assert not asker.link.closed


@pytest.mark.parametrize(
    "payload",
    [b"", b"i1e", encode({"msg_type": 0}), encode({"msg_type": 1, "piece": 0}), encode({"msg_type": -1, "piece": 0})],
)
def test_a_message_that_is_none_ends_the_connection(payload: bytes) -> None:
    """The torrent goes on."""
    node, _, torrent, asker = seeding(sample(pieces=2, blocks=1))
    asker.talk.send_extended(METADATA, payload)
    asker.send()
    node.settle()
    assert METADATA in asker.link.closed
    assert not torrent.swarm.peers


def test_data_and_kinds_that_nobody_waits_for_are_passed_over() -> None:
    """Too late, or of a later protocol."""
    content = modern("v2", (100_000,))
    node, _, _, asker = seeding(content)
    for message in (MetadataData(0, 5, b"hello"), MetadataReject(3)):
        asker.talk.send_extended(METADATA, write_metadata(message))
    asker.talk.send_extended(METADATA, encode({"msg_type": 9, "piece": 0}))
    asker.send()
    node.settle()
    assert not asker.link.closed
    assert asker.told() == []


@pytest.mark.parametrize("asked", [True, False])
def test_data_that_was_asked_for_does_not_count_as_chatter(asked: bool) -> None:
    """What nobody asked for does, also while the torrent learns: else it could come without end."""
    content = long_info()
    node = Node(Clock())
    torrent = node.learn(Magnet.of(content.metainfo))
    teacher = Teacher(node, torrent, content, silent=True, tells_info=asked)
    node.settle()
    chatter, now = teacher.peer.profile.chatter, node.engine.clock()
    assert chatter.heard(BURST + 18 * UNKNOWN_PIECES, 0, now) == 0.0  # that was all that it may say at once
    for piece in range(3):
        part = teacher.raw[piece * METADATA_PIECE : (piece + 1) * METADATA_PIECE]
        teacher.talk.send_extended(METADATA, write_metadata(MetadataData(piece, len(teacher.raw), part)))
    teacher.send()
    node.settle()
    assert bool(teacher.asked_info) == asked
    assert (chatter.heard(3 * METADATA_PIECE, 0, now) == 0.0) == asked
