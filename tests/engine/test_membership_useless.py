"""Who wants nothing any more (BEP 21): what is said of it, and who leaves because of it."""

from __future__ import annotations

from typing import Any

from anabranch.engine.state import TorrentState
from anabranch.model import BLOCK_SIZE, Priority
from anabranch.wire import ExtendedHandshake, OurExtensions
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Held, Sample, sample

Half = tuple[Node, TorrentState, Sample]
BOTH = (Priority.NORMAL, Priority.NORMAL)
USELESS_FOR = 60.0  # seconds, as the docstrings say


def test_who_wants_something_again_says_so() -> None:
    """BEP 21: more was chosen, or a piece was lost; once each time, and only to those that were told otherwise."""
    content = sample(pieces=8, blocks=1, files=(4 * BLOCK_SIZE, 4 * BLOCK_SIZE))
    node = Node(Clock())
    torrent = node.add(content, want=None)
    node.settle()
    node.want(torrent, [Priority.NORMAL, Priority.NONE])
    Remote(node, torrent, content, pieces=range(4))
    node.settle()
    other = Remote(node, torrent, content, pieces=[])
    node.settle()
    assert other.talk.peer_extensions.upload_only
    heard = other.said(ExtendedHandshake)
    node.want(torrent, [Priority.NORMAL, Priority.NORMAL])
    node.settle()
    assert not other.talk.peer_extensions.upload_only
    node.want(torrent, [Priority.NORMAL, Priority.HIGH])
    node.settle()
    assert other.said(ExtendedHandshake) == heard + 1
    Remote(node, torrent, content)
    node.settle()
    assert other.talk.peer_extensions.upload_only


class PartialSeed(Remote):
    """Has some pieces and says that it wants no more (BEP 21)."""

    def introduction(self) -> OurExtensions:
        return OurExtensions(names={}, version="partial seed", reqq=500, upload_only=True)


def half(clock: Clock, want: tuple[Priority, ...] = (Priority.NORMAL, Priority.NONE), **config: Any) -> Half:
    """The first of two files is here already, and *want* is what is wanted."""
    content = sample(pieces=8, blocks=1, files=(4 * BLOCK_SIZE, 4 * BLOCK_SIZE))
    node = Node(clock, **config)
    torrent = node.add(content, Held(content, range(4)), want=None)
    node.settle()
    node.want(torrent, list(want))
    node.settle()
    return node, torrent, content


def test_two_that_want_nothing_part_after_a_minute() -> None:
    """A partial seed or a seed, and we who have what we want; not at once: more may be chosen soon."""
    node, torrent, content = half(clock := Clock())
    seed, partial = Remote(node, torrent, content), PartialSeed(node, torrent, content, pieces=[0, 1])
    run(clock, node, USELESS_FOR - 2)
    assert not seed.link.closed
    assert not partial.link.closed
    run(clock, node, 5)
    assert {str(seed.link.closed), str(partial.link.closed)} == {"of no use to each other"}


def test_a_partial_seed_that_has_nothing_for_us_goes_after_a_minute() -> None:
    """It holds a place and never gets more."""
    node, torrent, content = half(clock := Clock(), BOTH)
    partial = PartialSeed(node, torrent, content, pieces=[0, 1])
    leech = Remote(node, torrent, content, pieces=[0, 1])
    run(clock, node, USELESS_FOR + 3)
    assert partial.link.closed
    assert not leech.link.closed


def test_who_is_of_use_or_may_become_so_stays() -> None:
    """It has what we want, wants what we have, shows pieces one by one, shows none, or we may want more soon."""
    node, torrent, content = half(clock := Clock(), BOTH)
    useful = PartialSeed(node, torrent, content, pieces=[0, 5], rate=0)
    wanting = PartialSeed(node, torrent, content, pieces=[0])
    wanting.talk.interested()
    wanting.send()
    showing = PartialSeed(node, torrent, content, pieces=[0])
    showing.talk.have(1)
    showing.send()
    hiding = PartialSeed(node, torrent, content, pieces=[])
    run(clock, node, USELESS_FOR + 30)
    assert [one.link.closed for one in (useful, wanting, showing, hiding)] == [""] * 4
    paused, torrent, content = half(clock := Clock(), BOTH)
    torrent.policy.download = False
    partial = PartialSeed(paused, torrent, content, pieces=[0, 5])
    idle, torrent, content = half(clock, (Priority.NONE, Priority.NONE))
    seed = Remote(idle, torrent, content)
    run(clock, [paused, idle], 2 * USELESS_FOR)
    assert not partial.link.closed
    assert not seed.link.closed


def test_the_minute_begins_anew_when_either_was_of_use() -> None:
    """More is chosen, fetched, and then a minute passes again."""
    node, torrent, content = half(clock := Clock())
    seed = Remote(node, torrent, content)
    run(clock, node, USELESS_FOR - 5)
    node.want(torrent, list(BOTH))
    node.settle()
    assert torrent.pieces.is_seed
    node.want(torrent, [Priority.NORMAL, Priority.NONE])
    with node.engine.turn:
        torrent.pieces.set_complete(7, False)
    run(clock, node, USELESS_FOR - 5)
    assert not seed.link.closed
    run(clock, node, 10)
    assert seed.link.closed


def test_nobody_goes_where_the_user_wants_all_to_stay() -> None:
    """drop_mutually_complete_peers is off."""
    node, torrent, content = half(clock := Clock(), drop_mutually_complete_peers=False)
    seed, partial = Remote(node, torrent, content), PartialSeed(node, torrent, content, pieces=[0, 1])
    run(clock, node, 2 * USELESS_FOR)
    assert not seed.link.closed
    assert not partial.link.closed


def test_the_minute_begins_anew_when_the_peer_wanted_something() -> None:
    """Even if it took nothing."""
    node, torrent, content = half(clock := Clock())
    partial = PartialSeed(node, torrent, content, pieces=[0, 1])
    run(clock, node, USELESS_FOR - 10)
    partial.talk.interested()
    partial.send()
    run(clock, node, 20)
    partial.talk.not_interested()
    partial.send()
    run(clock, node, USELESS_FOR - 10)
    assert not partial.link.closed
    run(clock, node, 15)
    assert partial.link.closed
