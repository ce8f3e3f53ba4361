"""The whole engine in virtual time: swarms, and torrents to which everything happens at once."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from anabranch.engine.checking import queue_check
from anabranch.engine.stage import Live
from anabranch.engine.wanting import allow_download, choose_pieces
from anabranch.model import PeerFault, Priority, all_pieces
from engine.clocks import Clock
from engine.remotes import Deaf, Refuser, Remote, Spoil
from engine.rig import Node, connect, run, settle, until
from engine.samples import Faults, GroupedStorage, Held, PlainStorage, on_disk, sample
from engine.truth import check


@pytest.mark.parametrize("seed", range(3))
def test_a_swarm_shares_what_one_seed_gave(seed: int) -> None:
    """Four that lack everything, one seed: all complete, and most came from each other."""
    content = sample(pieces=40, blocks=2)
    clock = Clock()
    nodes = [Node(clock, 10 * seed + number + 1) for number in range(5)]
    torrents = [nodes[0].seed(content), *(node.add(content) for node in nodes[1:])]
    for node in nodes:
        node.line = node.allowance = 64 * 1024
    settle(*nodes)
    for one, other in combinations(range(5), 2):
        connect(nodes[one], torrents[one], nodes[other], torrents[other])
    until(clock, nodes, lambda: all(torrent.signals.complete.is_set for torrent in torrents), 120)
    for node, torrent in zip(nodes, torrents, strict=True):
        check(node)
        assert on_disk(torrent.opened(), content) == content.content
    assert torrents[0].totals.uploaded < 3 * content.geometry.total


def test_two_halves_make_a_whole_of_each_other() -> None:
    """Both directions at once on one connection; then neither has any use for the other, and they part."""
    content = sample(pieces=12, blocks=3, cut=100)
    clock = Clock()
    nodes = [Node(clock, 1), Node(clock, 2)]
    torrents = [node.add(content, Held(content, range(part, 12, 2))) for part, node in enumerate(nodes)]
    settle(*nodes)
    near, back = connect(nodes[0], torrents[0], nodes[1], torrents[1])
    settle(*nodes)
    assert all(torrent.signals.complete.is_set for torrent in torrents)
    assert [torrent.totals.downloaded for torrent in torrents] == [
        sum(content.geometry.length_of(piece) for piece in range(12) if piece % 2 != part) for part in (0, 1)
    ]
    run(clock, nodes, 2)
    assert near.closed
    assert back.closed


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_the_books_are_right_and_in_the_end_everything_is_there(seed: int) -> None:
    """Peers of all kinds come and go, priorities change, the disk fails, checks run: the truth holds at each step."""
    draw = Random(seed)
    clock = Clock()
    node = Node(clock, seed, pool=draw.choice([1 << 20, 1 << 20, 64 << 20]))
    content = sample(
        pieces=draw.randint(1, 12), blocks=draw.choice([1, 2, 5, 8, 16, 40]), cut=draw.choice([0, 1, 16000])
    )
    faults = Faults()
    torrent = node.add(content, draw.choice([PlainStorage, GroupedStorage])(faults))
    node.settle(lambda: check(node))
    remotes: list[Remote] = []
    for step in range(150):
        live = [remote for remote in remotes if not remote.link.closed]
        if not live or (len(live) < 8 and draw.random() < 0.15):
            have = range(content.geometry.piece_count)
            try:
                remotes.append(
                    draw.choice([Remote, Remote, Remote, Deaf, Refuser])(
                        node,
                        torrent,
                        content,
                        draw.choice([None, draw.sample(have, draw.randint(0, len(have)))]),
                        rate=draw.choice([None, 0.1, 1, 10, 50]),
                        fast=draw.random() < 0.7,
                        spoil=sometimes(seed + step, draw.choice([0, 0, 0, 0.05])),
                    )
                )
            except PeerFault:
                assert not isinstance(torrent.stage, Live)
        else:
            something_happens(draw, node, draw.choice(live), faults, clock)
        node.settle(lambda: check(node))
    node.disk.held = False
    faults.forgive()
    with node.engine.turn:
        allow_download(node.engine, torrent, True)
    node.want(torrent, [Priority.NORMAL])
    until(clock, node, lambda: isinstance(torrent.stage, Live), 120)
    Remote(node, torrent, content, host="10.200.0.1")
    until(clock, node, lambda: torrent.signals.complete.is_set, 300)
    check(node)
    assert on_disk(torrent.opened(), content) == content.content
    node.drop(torrent)
    node.settle()
    assert torrent.signals.closed.is_set
    assert node.engine.pool.lent == 0


def sometimes(seed: int, often: float) -> Spoil:
    draw = Random(seed)
    return lambda piece, begin: draw.random() < often


def something_happens(draw: Random, node: Node, remote: Remote, faults: Faults, clock: Clock) -> None:
    torrent = remote.peer.torrent
    count = torrent.pieces.geometry.piece_count
    match draw.randrange(12):
        case 0:
            remote.leave()
        case 1 if remote.talk.am_choking:
            remote.talk.unchoke()
        case 1:
            remote.talk.choke()
            remote.withdraw(len(remote.asked))
        case 2:
            remote.withdraw(draw.randint(0, len(remote.asked)))
        case 3:
            draw.shuffle(remote.asked)
        case 4:
            node.want(torrent, [draw.choice(list(Priority))])
        case 5:
            first = draw.randrange(count)
            with node.engine.turn:
                pieces = range(first, draw.randint(first, count))
                choose_pieces(node.engine, torrent, pieces, draw.choice(list(Priority)))
        case 6:
            with node.engine.turn:
                allow_download(node.engine, torrent, draw.random() < 0.8)
        case 7:
            kind = draw.choice(["write", "write", "write", "read", "record"])
            faults.at(kind, faults.calls[kind] + draw.randint(1, 4))
        case 8 if draw.random() < 0.3:
            node.loop.post(queue_check, node.engine, torrent, all_pieces(count))
        case 9:
            node.disk.held = not node.disk.held
        case 10:
            remote.talk.have(draw.randrange(count))
        case _:
            run(clock, node, draw.choice([1, 1, 1, 5, 31]), lambda: check(node))
    remote.send()
