"""Who is served, as it plays out in time."""

from __future__ import annotations

from itertools import pairwise

from anabranch.engine.choking import OPTIMISTIC_EVERY, RECHOKE_EVERY, SLOTS
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import allow_upload
from anabranch.model import BLOCK_SIZE
from engine.remotes import Remote
from engine.rig import Clock, Node, run
from engine.samples import Held, Sample, sample


def leeches(node: Node, torrent: TorrentState, content: Sample, count: int) -> list[Remote]:
    remotes = [Remote(node, torrent, content, pieces=[]) for _ in range(count)]
    for remote in remotes:
        remote.talk.interested()
        remote.send()
    node.settle()
    return remotes


def unchoked(remotes: list[Remote]) -> list[Remote]:
    return [remote for remote in remotes if not remote.talk.peer_choking]


def test_as_long_as_there_are_slots_nobody_waits() -> None:
    """An interested peer is unchoked at once; those that lost interest take no slot from it."""
    content = sample(pieces=4, blocks=2)
    node = Node(Clock())
    torrent = node.seed(content)
    first = leeches(node, torrent, content, SLOTS)
    assert unchoked(first) == first
    for remote in first:
        remote.talk.not_interested()
        remote.send()
    node.settle()
    second = leeches(node, torrent, content, SLOTS)
    assert unchoked(second) == second
    assert not unchoked(leeches(node, torrent, content, 3))


def test_the_optimistic_slot_changes_hands_every_thirty_seconds_while_seeding() -> None:
    """W30: one at a time, the one before is choked again, and in time each has its turn."""
    content = sample(pieces=4, blocks=2)
    node = Node(clock := Clock())
    torrent = node.seed(content)
    remotes = leeches(node, torrent, content, SLOTS + 4)
    holders: list[Remote] = []

    def take() -> None:
        for remote in remotes[:SLOTS]:  # the regular slots are theirs by what they take
            remote.ask(0, 0, BLOCK_SIZE)
        node.settle()

    run(clock, node, RECHOKE_EVERY + 1, take)
    for _ in range(40):
        run(clock, node, OPTIMISTIC_EVERY / 3, take)
        open_ones = unchoked(remotes)
        assert len(open_ones) == SLOTS + 1
        assert torrent.swarm.optimistic is not None
        holders.append(next(one for one in remotes if one.peer is torrent.swarm.optimistic))
    changes = [place for place in range(1, 40) if holders[place] is not holders[place - 1]]
    assert all(later - earlier >= 3 for earlier, later in pairwise(changes))
    assert len(set(holders)) >= 3


def test_who_gives_most_is_served_while_we_download() -> None:
    """Tit for tat."""
    content = sample(pieces=64, blocks=2)
    node = Node(clock := Clock())
    torrent = node.add(content, Held(content, [0]))
    node.settle()
    givers = [Remote(node, torrent, content, pieces=range(1, 60), rate=1) for _ in range(SLOTS)]
    for remote in givers:
        remote.talk.interested()
        remote.send()
    takers = leeches(node, torrent, content, 6)
    run(clock, node, 2 * RECHOKE_EVERY + 1)
    assert set(unchoked(givers)) >= set(givers[:0])
    assert len(unchoked(givers)) == SLOTS
    assert len(unchoked(takers)) == 1


def test_nobody_is_served_who_may_not_be() -> None:
    """Uploading forbidden for the torrent, for the client, or seeding switched off and nothing missing."""
    content = sample(pieces=4, blocks=2)
    clock = Clock()
    for node in (Node(clock, no_upload=True), Node(clock, seed=False)):
        remotes = leeches(node, node.seed(content), content, 2)
        run(clock, node, 11)
        assert not unchoked(remotes)
    node = Node(clock := Clock())
    torrent = node.seed(content)
    remotes = leeches(node, torrent, content, 2)
    with node.engine.turn:
        allow_upload(node.engine, torrent, False)
    node.settle()
    assert not unchoked(remotes)
    with node.engine.turn:
        allow_upload(node.engine, torrent, True)
    node.settle()
    assert unchoked(remotes) == remotes


def test_a_slot_that_is_freed_is_given_within_a_second() -> None:
    """The next in line need not wait for the round."""
    content = sample(pieces=4, blocks=2)
    node = Node(clock := Clock())
    torrent = node.seed(content)
    remotes = leeches(node, torrent, content, SLOTS + 3)
    run(clock, node, RECHOKE_EVERY + 1)
    waiting = [remote for remote in remotes if remote.talk.peer_choking]
    assert len(waiting) == 2
    for remote in unchoked(remotes)[:4]:
        remote.leave()
    run(clock, node, 1)
    assert unchoked(waiting) == waiting
