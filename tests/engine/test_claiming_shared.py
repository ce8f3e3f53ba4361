"""What a web seed is asked for comes free for peers and other web seeds that would wait for it, and no more often."""

from __future__ import annotations

import pytest

from anabranch.engine import asking, claiming
from anabranch.engine.fetches import Fetch
from anabranch.model import BLOCK_SIZE, no_pieces
from anabranch.picker import Run
from anabranch.webseed import State
from engine.claims import BLOCKS, PIECE, Case
from engine.remotes import Remote
from engine.web_world import check

# Giving way to peers.


def peer(case: Case, pieces: range | None = None, rate: float | None = 0) -> Remote:
    remote = Remote(case.node, case.torrent, case.content, pieces, rate=rate)
    case.node.settle()
    return remote


def give_way(case: Case, remote: Remote, room: int = 1000) -> bool:
    with case.node.engine.turn:
        gave = claiming.give_way(case.node.engine, remote.peer, room, case.clock())
    check(case.node)
    return gave


def test_a_peer_takes_from_the_end_of_a_run() -> None:
    """Half of what is left, where both give as much; what is taken is free for it at once."""
    case = Case()
    fetch = case.claimed()
    case.reading(fetch, 16.0)
    remote = peer(case, range(0))
    remote.peer.has.setall(True)
    assert give_way(case, remote)
    assert fetch.lent.start == 1
    taken = 40 - fetch.lent.stop
    assert taken == 1  # it has to show first what it can do
    assert fetch.request.end == fetch.lent.stop * PIECE
    assert case.free == set(range(fetch.lent.stop, 40))


def test_of_what_has_not_begun_a_peer_takes_all_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits in the queue, and the peer would wait with it."""
    case = Case()
    fetch = case.claimed()
    remote = peer(case, range(0))
    remote.peer.has.setall(True)
    monkeypatch.setattr(type(remote.peer.window), "pace", lambda *_: 100.0)
    assert give_way(case, remote, room=80)
    assert list(fetch.lent) == list(range(20))
    assert give_way(case, remote)
    assert not fetch.lent
    assert fetch.request.end == fetch.request.begin == fetch.at
    assert not give_way(case, remote)


def test_a_peer_takes_only_what_it_has() -> None:
    """Of the run whose end it has; and no further than it has all."""
    case = Case()
    fetch = case.claimed()
    assert not give_way(case, peer(case, range(39)))
    remote = peer(case, range(0))
    for piece in (37, 39):
        remote.peer.has[piece] = True
    assert give_way(case, remote)
    assert list(fetch.lent) == list(range(39))
    assert not give_way(case, remote)


def test_what_comes_at_once_stays_with_the_web_seed() -> None:
    """A fifth of a second: it is on its way, and to cut it off would not keep it from coming."""
    case = Case(pieces=4)
    fetch = case.claimed()
    case.reading(fetch, 100.0)
    remote = peer(case, range(0))
    remote.peer.has.setall(True)
    assert not give_way(case, remote)
    assert list(fetch.lent) == [1, 2, 3]


def test_a_peer_takes_from_a_faster_one_if_it_has_nothing_of_the_slower() -> None:
    """Better than nothing: it would be idle."""
    case = Case(pieces=80)
    fast = case.claimed(0)
    with case.node.engine.turn:
        claiming._take_tail(case.torrent, fast, 40 * BLOCKS, lambda _: True)
    slow = case.claimed(40, seed=1)
    case.reading(slow, 2.0)
    case.reading(fast, 20.0)
    remote = peer(case, range(0))
    remote.peer.has[39] = True
    assert give_way(case, remote)
    assert (fast.lent.stop, slow.lent.stop) == (39, 80)


def test_a_peer_takes_from_who_will_need_longest() -> None:
    """Of two web seeds the slower one gives way."""
    case = Case(pieces=80)
    fast = case.claimed(0)
    with case.node.engine.turn:
        claiming._take_tail(case.torrent, fast, 40 * BLOCKS, lambda _: True)
    slow = case.claimed(40, seed=1)
    case.reading(slow, 2.0)
    case.reading(fast, 100.0)
    remote = peer(case, range(0))
    remote.peer.has.setall(True)
    assert give_way(case, remote)
    assert fast.lent.stop == 40
    assert slow.lent.stop == 79


def test_a_peer_that_is_asked_for_what_it_took_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """asking.ask() goes by it: a peer that finds nothing free is asked in the same turn."""
    case = Case()
    case.claimed()
    remote = peer(case)
    assert remote.asked
    assert {piece for piece, _, _ in remote.asked} == {39}
    with case.node.engine.turn:
        asking.ask(case.node.engine, remote.peer, case.clock())
    check(case.node)


# Sharing among web seeds.


def share(case: Case, fetch: Fetch, seed: int = 1) -> bool:
    with case.node.engine.turn:
        freed = claiming.share_with(case.node.engine, case.torrent, fetch, case.seeds[seed], case.clock())
    check(case.node)
    return freed


def test_an_idle_web_seed_gets_half_of_what_is_left() -> None:
    """From the end, where the other will need more than two seconds."""
    case = Case()
    fetch = case.claimed()
    case.reading(fetch, 16.0)
    assert share(case, fetch)
    assert 19 <= fetch.lent.stop <= 21
    quick = Case(pieces=8)
    fetch = quick.claimed()
    quick.reading(fetch, 16.1)
    assert not share(quick, fetch)


def test_an_idle_web_seed_gets_only_what_it_has() -> None:
    """What it lacks stays where it is."""
    case = Case()
    lacks = case.seeds[1].lacks = no_pieces(40)
    lacks[38] = True
    fetch = case.claimed()
    case.reading(fetch, 16.0)
    assert share(case, fetch)
    assert list(fetch.lent) == list(range(1, 39))
    assert not share(case, fetch)


def test_the_piece_that_comes_next_is_not_passed_to_and_fro() -> None:
    """Of a single reserved piece nothing is given away; with a piece that is coming, all behind it may be."""
    case = Case(pieces=1)
    assert not share(case, case.claimed())
    case = Case(pieces=2)
    fetch = case.claimed()
    case.reading(fetch, 1.0)
    assert share(case, fetch)
    assert (fetch.opened is not None, list(fetch.lent)) == (True, [])


def test_who_stalls_gives_up_all_of_it() -> None:
    """Two seconds without anything, or five where nothing has come yet; before that, nothing changes hands."""
    for came, seconds in ((False, 5.0), (True, 2.0)):
        case = Case()
        fetch = case.claimed()
        case.reading(fetch)
        if came:
            fetch.gain = case.clock()
        case.clock.now += seconds - 0.1
        assert not share(case, fetch)
        case.clock.now += 0.2
        assert share(case, fetch)
        assert fetch.request.reason == "stalled"
        assert case.free == set(range(40))


def test_of_a_single_piece_that_would_take_long_half_is_given_up() -> None:
    """More than five seconds; with more pieces behind it, those are shared first."""
    case = Case(pieces=1, blocks=40)
    fetch = case.claimed()
    case.reading(fetch, 8.1)
    assert not share(case, fetch)
    fetch = (case := Case(pieces=1, blocks=40)).claimed()
    case.reading(fetch, 7.5)
    assert share(case, fetch)
    assert fetch.request.state is State.READING
    assert fetch.opened is not None
    assert fetch.opened.free_run(40, 40) == Run(20, 20)
    assert (fetch.stop, fetch.request.end) == (20, 20 * BLOCK_SIZE)
    assert not share(case, fetch), "it comes in time now"
    fetch = (case := Case(pieces=2, blocks=40)).claimed()
    case.reading(fetch, 7.5)
    assert share(case, fetch)
    assert (fetch.stop, list(fetch.lent)) == (40, [])


def test_blocks_that_hardly_come_are_given_up_to_who_is_faster() -> None:
    """A server that drips; but two that do would pass a block to and fro for ever."""
    for its_pace, late in ((0.05, False), (1e6, True)):
        case = Case(pieces=1)
        fetch = case.claimed()
        case.reading(fetch, 0.05)
        case.seeds[1].pace = its_pace * BLOCK_SIZE
        assert share(case, fetch) == late
        assert (fetch.request.state is State.ENDED) == late


def test_how_fast_a_web_seed_was_is_known_when_it_is_idle() -> None:
    """By the request that ended last."""
    case = Case()
    fetch = case.claimed()
    case.reading(fetch, 16.0)
    with case.node.engine.turn:
        claiming.give_back(case.node.engine, fetch)
    assert 12 < case.seeds[0].pace / BLOCK_SIZE < 20


def test_who_says_nothing_is_taken_for_slow() -> None:
    """As slow as the silence is long; what came before does not count for ever."""
    case = Case()
    fetch = case.claimed()
    case.reading(fetch, 16.0)
    assert 12 < claiming.pace(fetch, case.clock()) < 20
    case.clock.now += 2.0
    assert claiming.pace(fetch, case.clock()) == 0.5


def test_who_cannot_give_it_takes_nothing_from_anybody() -> None:
    """Else a piece that one of two has would be asked of that one again and again, and never come."""
    for pace_of_it, passed in ((7.5, 0.0), (0.05, 0.0), (0.0, 6.0)):
        case = Case(pieces=1, blocks=40)
        lacks = case.seeds[1].lacks = no_pieces(1)
        lacks[0] = True
        fetch = case.claimed()
        case.reading(fetch, pace_of_it)
        case.clock.now += passed
        assert not share(case, fetch)
        assert fetch.request.state is State.READING
        assert fetch.stop == 40


def test_two_web_seeds_that_wait_never_pass_the_last_pieces_to_and_fro() -> None:
    """Each helps the other in turn, for as often as they like: that comes to an end, and soon."""
    for pieces in (1, 2, 3, 5, 40):
        case = Case(pieces=pieces)
        fetch, seed, changes = case.claimed(), 0, 0
        while share(case, fetch, 1 - seed) and changes < 100:
            changes += 1
            seed = 1 - seed
            free = sorted(case.free)
            fetch = case.claimed(free[0], seed)
            case.node.engine.due.web.requests.check()
            if len(case.node.engine.due.web.requests) == 2:
                break
        assert changes <= 1


def test_of_what_has_come_to_its_end_nothing_is_taken() -> None:
    """The last piece of the torrent is through, and the request is about to end."""
    case = Case()
    fetch = case.claimed(39)
    with case.node.engine.turn:
        assert claiming.open_next(fetch, case.clock.now) is not None
        assert claiming.open_next(fetch, case.clock.now) is None
        case.seeds[1].lacks = no_pieces(40)
        assert not claiming.share_with(case.node.engine, case.torrent, fetch, case.seeds[1], case.clock.now)
