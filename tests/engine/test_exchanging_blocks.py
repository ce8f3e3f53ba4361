"""Hashes of blocks for peers: read from the disk, within reason."""

from __future__ import annotations

import pytest

from anabranch.bencode import encode
from anabranch.engine.stage import Failed
from anabranch.engine.state import Policy, TorrentState
from anabranch.metainfo import Metainfo, PieceLayers, leaves_of
from anabranch.model import BLOCK_SIZE
from anabranch.storage import Completion
from anabranch.wire import Hashes, HashReject, HashRequest
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import PlainStorage, Sample, modern
from metainfo.v2 import content as bytes_of
from metainfo.v2 import file, plain_layers, root_and_layer, v2

PIECE = 8 * BLOCK_SIZE
LONG = (3 * PIECE + 5, PIECE - 7, 5, 2 * PIECE)


def server(content: Sample) -> tuple[Node, Clock, TorrentState]:
    node = Node(clock := Clock())
    return node, clock, node.seed(content)


def request(content: Sample, base_layer: int, length: int) -> HashRequest:
    """For the hashes of the first file, from its first on."""
    return HashRequest(content.metainfo.info.files[0].root, base_layer, 0, length, 0)


def blocks_of(content: Sample, *, base_layer: int = 0) -> HashRequest:
    """For the hashes of the first piece's blocks."""
    return request(content, base_layer, PIECE // BLOCK_SIZE >> base_layer)


@pytest.mark.parametrize("kind", ["v2", "hybrid"])
def test_hashes_of_blocks_are_told_out_of_the_blocks(kind: str) -> None:
    """Those of each piece, with proof up to the root if it is wanted; and of all layers up to the pieces'."""
    content = modern(kind, LONG, PIECE)
    node, _, torrent = server(content)
    asker = PieceLayers(content.metainfo.info, content.metainfo.layers)
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    wanted = [(piece, one) for piece in range(content.geometry.piece_count) for one in asker.leaves_wanted(piece)]
    for _, one in wanted:
        remote.talk.hash_request(HashRequest(*one))
    first = content.metainfo.info.files[0]
    tall = [
        HashRequest(first.root, 0, 8, 8, 4),
        HashRequest(first.root, 1, 4, 4, 3),
        HashRequest(first.root, 0, 0, 32, 0),
    ]
    for said in tall:
        remote.talk.hash_request(said)
    remote.send()
    node.settle()
    told = {(one.root, one.base_layer, one.index, one.length): one for one in remote.heard if isinstance(one, Hashes)}
    assert not remote.said(HashReject)
    for piece, one in wanted:
        data = memoryview(content.of_piece(piece))[: asker.content_of(piece)]
        got = asker.leaves_in(
            piece, one, told[one[:4]].hashes if one[:4] != (first.root, 0, 8, 8) else told[one[:4]].hashes[:256]
        )
        assert got == b"".join(leaves_of(data))
    layers = plain_layers(content.content[: first.length])
    assert told[first.root, 0, 8, 8].hashes == b"".join([*layers[0][8:16], layers[3][0], layers[4][1]])
    assert told[first.root, 1, 4, 4].hashes == b"".join([*layers[1][4:8], layers[3][0], layers[4][1]])
    assert told[first.root, 0, 0, 32].hashes == b"".join(layers[0])


def test_blocks_are_read_for_several_who_ask_once() -> None:
    """What was read last is remembered for a while."""
    content = modern("v2", LONG, PIECE)
    node = Node(Clock())
    home = PlainStorage()
    home.hold(content, range(content.geometry.piece_count), Completion.COMPLETE)
    torrent = node.add(content, home)
    node.settle()
    remotes = [Remote(node, torrent, content, pieces=[], v2=True) for _ in range(6)]
    before = home.faults.calls["read"]
    for base_layer in (0, 1, 2):
        for remote in remotes:
            remote.talk.hash_request(blocks_of(content, base_layer=base_layer))
            remote.send()
    node.settle()
    assert [remote.said(Hashes) for remote in remotes] == [3] * 6
    assert home.faults.calls["read"] - before == 1
    for remote in remotes:
        remote.leave()
    assert torrent.exchange is not None
    assert torrent.exchange.answers is not None
    assert not torrent.exchange.answers.recent


def test_who_has_blocks_read_again_and_again_is_refused() -> None:
    """It costs us 8 MiB of reading to say 16 KiB: each peer has a burst and then a trickle, and all together too."""
    piece = 512 * BLOCK_SIZE
    content = modern("v2", (9 * piece,), piece)
    node, clock, torrent = server(content)
    remotes = [Remote(node, torrent, content, pieces=[], v2=True) for _ in range(2)]
    first = content.metainfo.info.files[0]

    def ask(remote: Remote) -> tuple[int, int]:
        before = remote.said(Hashes), remote.said(HashReject)
        for number in range(9):
            remote.talk.hash_request(HashRequest(first.root, 0, 512 * number, 512, 0))
        remote.send()
        node.settle()
        return remote.said(Hashes) - before[0], remote.said(HashReject) - before[1]

    assert ask(remotes[0]) == (8, 1)
    assert ask(remotes[0]) == (4, 5)  # those that are remembered
    assert ask(remotes[1]) == (4, 5)
    run(clock, node, 1)
    assert sum(ask(remotes[0])[:1]) <= 5
    assert sum(ask(remotes[1])[:1]) >= 4
    assert not remotes[0].link.closed


@pytest.mark.parametrize("why", ["incomplete", "not served", "changed", "unreadable", "no layers"])
def test_hashes_of_blocks_that_cannot_be_told_are_refused(why: str) -> None:
    """A piece that is not here, a torrent that gives nothing, a disk that has other bytes or does not let us read."""
    content = modern("hybrid" if why == "no layers" else "v2", LONG, PIECE, layers=why != "no layers")
    node = Node(Clock())
    home = PlainStorage()
    home.hold(content, range(why == "incomplete", content.geometry.piece_count), Completion.COMPLETE)
    torrent = node.add(content, home, policy=Policy(upload=why != "not served"))
    node.settle()
    if why == "changed":
        home.data[0][5] ^= 1
    if why == "unreadable":
        home.faults.always.add("read")
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    remote.talk.hash_request(blocks_of(content))
    remote.send()
    node.settle()
    assert (remote.said(Hashes), remote.said(HashReject)) == (0, 1)
    assert isinstance(torrent.stage, Failed) == (why == "unreadable")
    assert not remote.link.closed


def test_any_of_several_files_that_are_the_same_is_read() -> None:
    """The first of them is not here, the second is."""
    content = same_twice()
    node = Node(Clock())
    home = PlainStorage()
    home.hold(content, [1], Completion.COMPLETE)
    torrent = node.add(content, home)
    node.settle()
    remote = Remote(node, torrent, content, pieces=[], v2=True)
    remote.talk.hash_request(blocks_of(content))
    remote.send()
    node.settle()
    assert (remote.said(Hashes), remote.said(HashReject)) == (1, 0)


def same_twice() -> Sample:
    """Two files of one piece with the same bytes."""
    data = bytes_of("same", PIECE)
    root, _ = root_and_layer(data, PIECE)
    info, _ = v2([], PIECE, file_tree={"a": file(PIECE, root), "b": file(PIECE, root)})
    return Sample(Metainfo.parse(encode({b"info": info})), data + data)


def test_upper_layers_are_worked_out_once_whoever_asks() -> None:
    """By one worker at a time for a torrent: the others find them there."""
    content = modern("v2", LONG, PIECE)
    node, _, torrent = server(content)
    node.cold.held = True
    remotes = [Remote(node, torrent, content, pieces=[], v2=True) for _ in range(5)]
    for remote in remotes:
        for _ in range(3):
            remote.talk.hash_request(request(content, 3, 2))
        remote.send()
    node.settle()
    assert len(node.cold.waiting) == 1
    remotes[0].leave()
    node.cold.held = False
    node.settle()
    assert [remote.said(Hashes) for remote in remotes[1:]] == [3] * 4
    assert remotes[0].peer.profile.answering == 0
