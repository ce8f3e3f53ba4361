"""What a seed suggests to those that it serves."""

from __future__ import annotations

from anabranch.engine.state import Policy, Suggestions, TorrentState
from anabranch.engine.suggesting import AHEAD
from anabranch.model import BLOCK_SIZE, all_pieces
from anabranch.wire import AllowedFast, Suggest
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import Sample, sample

AT_A_TIME = AHEAD // (4 * BLOCK_SIZE)  # pieces of four blocks


def seeding(pieces: int = 40, *, super_seed: bool = False, alone: bool = False) -> tuple[Node, TorrentState, Sample]:
    content = sample(pieces=pieces, blocks=4)
    node = Node(Clock())
    torrent = node.seed(content)
    torrent.policy = Policy(super_seed=super_seed)
    if not alone:  # two have come once
        torrent.swarm.suggestions = Suggestions(all_pieces(pieces))
    return node, torrent, content


def suggested(remote: Remote) -> list[int]:
    return [event.piece for event in remote.heard if isinstance(event, Suggest)]


def served(node: Node, torrent: TorrentState, content: Sample, *, pieces: list[int], fast: bool = True) -> Remote:
    """One that is interested, and so unchoked."""
    remote = Remote(node, torrent, content, pieces=pieces, fast=fast)
    remote.talk.interested()
    node.settle()
    return remote


def test_no_two_are_suggested_the_same() -> None:
    """What they ask of us first is then twice as much as if they had drawn the same."""
    node, torrent, content = seeding()
    remotes = [served(node, torrent, content, pieces=[]) for _ in range(5)]
    assert [len(suggested(remote)) for remote in remotes] == [AT_A_TIME] * 5
    assert len(set().union(*map(suggested, remotes))) == 5 * AT_A_TIME


def test_the_only_one_is_suggested_nothing_before_another_comes() -> None:
    """It collides with nobody. From then on both are told, and who cannot follow does not count."""
    node, torrent, content = seeding(alone=True)
    first = served(node, torrent, content, pieces=[])
    served(node, torrent, content, pieces=[], fast=False)
    assert suggested(first) == []
    second = served(node, torrent, content, pieces=[])
    assert len({*suggested(first), *suggested(second)}) == 2 * AT_A_TIME


def test_what_somebody_has_is_not_suggested() -> None:
    """It can be had there. When that is all, there are no suggestions any more."""
    node, torrent, content = seeding(pieces=6)
    served(node, torrent, content, pieces=[0, 1, 2])
    second = served(node, torrent, content, pieces=[3, 4])
    assert suggested(second) == []
    node, torrent, content = seeding(pieces=6)
    Remote(node, torrent, content, pieces=[0, 1, 2, 4, 5])
    node.settle()
    assert suggested(served(node, torrent, content, pieces=[])) == [3]


def test_who_asks_for_what_it_was_suggested_is_suggested_another_piece() -> None:
    """So it always knows of as many."""
    node, torrent, content = seeding()
    remote = served(node, torrent, content, pieces=[])
    first = suggested(remote)
    remote.ask(first[0], 0, BLOCK_SIZE)
    node.settle()
    assert len(set(suggested(remote))) == AT_A_TIME + 1
    remote.ask(first[0], BLOCK_SIZE, BLOCK_SIZE)
    node.settle()
    assert len(suggested(remote)) == AT_A_TIME + 1, "it is the same piece"


def test_what_one_asks_for_is_not_suggested_to_others() -> None:
    """Whether or not it was suggested to the one."""
    node, torrent, content = seeding(pieces=AT_A_TIME + 2)
    remote = served(node, torrent, content, pieces=[])
    [other, last] = set(range(AT_A_TIME + 2)) - set(suggested(remote))
    remote.ask(other, 0, BLOCK_SIZE)
    node.settle()
    assert suggested(served(node, torrent, content, pieces=[])) == [last]


def test_what_one_leaves_without_asking_is_suggested_to_others() -> None:
    """Else it would be drawn by lot."""
    node, torrent, content = seeding(pieces=AT_A_TIME)
    first = served(node, torrent, content, pieces=[])
    taken = suggested(first)[0]
    first.ask(taken, 0, BLOCK_SIZE)
    node.settle()
    first.leave()
    node.settle()
    assert set(suggested(served(node, torrent, content, pieces=[]))) == set(range(AT_A_TIME)) - {taken}


def test_who_knows_no_suggestions_is_sent_none() -> None:
    """They are of the fast extension. Nor is a seed, nor who is super-seeded."""
    node, torrent, content = seeding()
    assert suggested(served(node, torrent, content, pieces=[], fast=False)) == []
    assert suggested(served(node, torrent, content, pieces=[*range(40)])) == []
    node, torrent, content = seeding(super_seed=True)
    assert suggested(served(node, torrent, content, pieces=[])) == []


def test_a_young_swarm_is_allowed_nothing_that_nobody_has() -> None:
    """The same ten pieces for a whole neighbourhood would be sent to each of it by the line that all wait for."""
    node, torrent, content = seeding()
    served(node, torrent, content, pieces=[7])
    late = Remote(node, torrent, content, pieces=[])
    node.settle()
    assert {event.piece for event in late.heard if isinstance(event, AllowedFast)} <= {7}
