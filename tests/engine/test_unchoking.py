"""Who is served, as it plays out in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from anabranch.engine.choking import OPTIMISTIC_EVERY, RECHOKE_EVERY, SLOTS, TURNS
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import allow_upload
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.wire import Choked, Unchoke
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
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


def takes(node: Node, remotes: list[Remote], blocks: int = 1) -> Callable[[], None]:
    """Each second, who is unchoked asks for this many blocks; the first ones more than the others."""

    def take() -> None:
        for remote in unchoked(remotes):
            for block in range(blocks):
                remote.ask(block % 4, block // 4 * BLOCK_SIZE, BLOCK_SIZE)
        node.settle()

    return take


def rotation(clock: Clock, node: Node, torrent: TorrentState, remotes: list[Remote], seconds: int) -> list[Remote]:
    """Who held the optimistic slot, second by second."""
    holders: list[Remote] = []

    def note() -> None:
        open_ones = unchoked(remotes)
        assert len(open_ones) == SLOTS + 1
        holders.append(next(one for one in remotes if one.peer is torrent.swarm.slots.optimistic))
        assert not holders[-1].talk.peer_choking

    run(clock, node, RECHOKE_EVERY + 1)
    run(clock, node, seconds, note)
    return holders


@pytest.mark.parametrize("kind", ["seeding", "paused", "nothing wanted"])
def test_the_optimistic_slot_changes_hands_every_thirty_seconds(kind: str) -> None:
    """W30: while seeding, and while nothing is requested; one at a time, the one before is choked again."""
    content = sample(pieces=4, blocks=2)
    node = Node(clock := Clock())
    if kind == "seeding":
        torrent = node.seed(content)
    else:
        torrent = node.add(content, Held(content, [0, 1]), want=None if kind == "nothing wanted" else Priority.NORMAL)
        node.settle()
        torrent.policy.download = kind != "paused"
    remotes = leeches(node, torrent, content, SLOTS + 6)
    holders = rotation(clock, node, torrent, remotes, 400)
    changes = [place for place in range(1, 400) if holders[place] is not holders[place - 1]]
    gaps = [later - earlier for earlier, later in pairwise(changes)]
    assert max(gaps) <= OPTIMISTIC_EVERY + 2
    # A holder that wins a turn among the regular slots makes room for another one before its time is over.
    assert min(gaps) >= RECHOKE_EVERY - 1
    assert len(set(holders)) >= 4


def test_the_optimistic_slot_is_kept_for_thirty_seconds_and_lost_then() -> None:
    """W30: where nobody wins another slot: 30 seconds each, and never the same one again at once."""
    content = sample(pieces=64, blocks=16)
    node = Node(clock := Clock())
    torrent = node.add(content, Held(content, [0]))
    node.settle()
    givers = [Remote(node, torrent, content, pieces=range(1, 60), rate=0.2) for _ in range(SLOTS)]
    for remote in givers:
        remote.talk.interested()
        remote.send()
    takers = leeches(node, torrent, content, 6)
    holders = rotation(clock, node, torrent, givers + takers, 100)
    changes = [place for place in range(1, 100) if holders[place] is not holders[place - 1]]
    assert all(abs(later - earlier - OPTIMISTIC_EVERY) <= 1 for earlier, later in pairwise(changes))
    assert len(changes) >= 3
    assert set(holders) <= set(takers)
    assert OPTIMISTIC_EVERY == 30


@pytest.mark.parametrize("paused", [False, True])
def test_a_hundred_that_want_data_all_get_some_in_bounded_time(paused: bool) -> None:
    """While we take nothing: the fastest keep most slots, and everybody has a turn of a round within 84 / 4 rounds."""
    content = sample(pieces=4, blocks=16)
    node = Node(clock := Clock())
    torrent = node.add(content, Held(content, range(3) if paused else None))
    node.settle()
    torrent.policy.download = not paused
    torrent.policy.most_connections = 200
    remotes = leeches(node, torrent, content, 100)
    fast, slow = remotes[: SLOTS - TURNS], remotes[SLOTS - TURNS :]
    rounds = Counter[int]()

    def take() -> None:
        takes(node, fast, 4)()
        takes(node, slow)()
        for number, remote in enumerate(remotes):
            rounds[number] += not remote.talk.peer_choking

    seconds = (100 - SLOTS) / TURNS * (RECHOKE_EVERY + 1) + 2 * RECHOKE_EVERY
    run(clock, node, seconds, take)
    assert all(remote.peer.flow.up.total > 0 for remote in remotes)
    assert min(rounds[number] for number in range(len(fast))) >= seconds - 1  # the fast ones were never choked
    assert max(rounds[number] for number in range(len(fast), 100)) < seconds / 2


def test_who_gives_most_is_served_while_we_download() -> None:
    """Tit for tat."""
    content = sample(pieces=64, blocks=16)
    node = Node(clock := Clock())
    torrent = node.add(content, Held(content, [0]))
    node.settle()
    givers = [Remote(node, torrent, content, pieces=range(1, 60), rate=1) for _ in range(SLOTS)]
    for remote in givers:
        remote.talk.interested()
        remote.send()
    takers = leeches(node, torrent, content, 6)
    run(clock, node, 2 * RECHOKE_EVERY + 1)
    assert unchoked(givers) == givers
    assert len(unchoked(takers)) == 1


def with_credit() -> tuple[Node, Clock, list[Remote], Remote]:
    """All slots are taken by those that give more; one more peer has what we want."""
    content = sample(pieces=64, blocks=16)
    node = Node(clock := Clock())
    torrent = node.add(content, Held(content, range(8)))
    node.settle()
    givers = [Remote(node, torrent, content, pieces=range(8, 60), rate=1) for _ in range(SLOTS)]
    for remote in givers:
        remote.talk.interested()
        remote.send()
    run(clock, node, RECHOKE_EVERY + 1)
    poor = Remote(node, torrent, content, pieces=range(8, 63), rate=0)
    other = leeches(node, torrent, content, 1)[0]
    torrent.swarm.slots.optimistic, torrent.swarm.slots.optimistic_until = other.peer, clock.now + 1000
    poor.talk.interested()
    poor.send()
    node.settle()
    return node, clock, givers, poor


def test_who_has_no_slot_and_something_for_us_gets_a_little_on_credit() -> None:
    """100 KiB more than it gave; the block that goes beyond is the last one, and what else it asked for is rejected."""
    node, clock, givers, poor = with_credit()
    assert poor.peer.serving.on_credit
    assert not poor.talk.peer_choking
    for block in range(32):
        poor.ask(block // 16, block % 16 * BLOCK_SIZE, BLOCK_SIZE)
    node.settle()
    assert poor.peer.flow.up.total == 7 * BLOCK_SIZE  # 100 KiB are 6.25 blocks
    assert poor.talk.peer_choking
    assert list(poor.answers().values()).count(None) == 25
    run(clock, node, 2 * RECHOKE_EVERY)
    assert poor.talk.peer_choking
    poor.serve(2)  # what it gives, it may take
    poor.send()
    run(clock, node, RECHOKE_EVERY + 1)
    assert not poor.talk.peer_choking
    assert unchoked(givers) == givers


def test_credit_is_for_those_that_have_what_we_want() -> None:
    """Who has nothing for us waits for a slot; so does everybody while we seed."""
    content = sample(pieces=4, blocks=2)
    for pieces in (range(4), [0]):
        node = Node(Clock())
        torrent = node.add(content, Held(content, pieces))
        node.settle()
        leeches(node, torrent, content, SLOTS)
        late = Remote(node, torrent, content, pieces=[0])
        late.talk.interested()
        late.send()
        node.settle()
        assert late.talk.peer_choking


def test_a_slot_that_is_freed_takes_no_turn_from_the_others() -> None:
    """Peers that come and go, or change their minds, must not shorten everybody's turn."""
    content = sample(pieces=4, blocks=2)
    node = Node(clock := Clock())
    torrent = node.seed(content)
    remotes = leeches(node, torrent, content, SLOTS + 10)
    run(clock, node, RECHOKE_EVERY + 1)
    served = unchoked(remotes)
    coward = next(one for one in served if one.peer is not torrent.swarm.slots.optimistic)
    coward.talk.not_interested()
    coward.send()
    run(clock, node, 1)
    assert coward.talk.peer_choking
    assert [one for one in unchoked(remotes) if one in served] == [one for one in served if one is not coward]
    assert len(unchoked(remotes)) == len(served)


def test_who_wants_nothing_is_not_served_beside_those_who_do() -> None:
    """Else one unchoke would do for ever: no round of choking looks at those that say they want nothing."""
    content = sample(pieces=4, blocks=2)
    node = Node(clock := Clock())
    torrent = node.seed(content)
    sly = Remote(node, torrent, content, pieces=[], fast=False)
    for say in (sly.talk.interested, sly.talk.not_interested):
        say()
        sly.send()
        node.settle()
    remotes = leeches(node, torrent, content, SLOTS + 3)
    sly.ask(0, 0, BLOCK_SIZE)
    run(clock, node, 2)
    assert not sly.peer.flow.up.total
    sly.talk.interested()
    sly.send()
    node.settle()
    assert len(unchoked([sly, *remotes])) <= SLOTS + 1


def test_who_wavers_costs_one_look() -> None:
    """However often it does, in what is taken in at once: a look at one may be a look at all."""
    content = sample(pieces=4, blocks=2)
    node = Node(Clock())
    torrent = node.seed(content)
    remote = Remote(node, torrent, content, pieces=[])
    for _ in range(500):
        remote.talk.interested()
        remote.talk.not_interested()
    remote.talk.interested()
    remote.send()
    node.settle()
    assert not remote.talk.peer_choking
    assert 1 <= sum(isinstance(event, Choked | Unchoke) for event in remote.heard) <= 50


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
