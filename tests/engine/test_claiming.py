"""What is kept for a web seed is asked of nobody else, and is given back when it is not to come."""

from __future__ import annotations

import pytest

from anabranch.engine import claiming, planning, wanting, webseeding
from anabranch.model import BLOCK_SIZE, Priority, no_pieces
from anabranch.picker import Run
from anabranch.webseed import Candidate, Key, Source, State
from engine.claims import ONE, PIECE, TWO, Case
from engine.rig import run
from engine.samples import modern
from engine.web_world import Server, Web, check

# What is claimed.


def test_what_is_kept_for_a_web_seed_is_in_nobody_s_order() -> None:
    """A peer that has all is asked for the pieces before and behind, and not for those."""
    case = Case()
    fetch = case.claimed(10)
    case.node.make_order(case.torrent)
    assert list(fetch.lent) == list(range(10, 40))
    assert case.free == set(range(10))
    assert not any(case.torrent.pieces.requestable(piece) for piece in range(10, 40))
    assert set(case.torrent.pieces.order.members.search(1)) == set(range(10))
    with case.node.engine.turn:
        claiming.give_back(case.node.engine, fetch)
        claiming.give_back(case.node.engine, fetch)  # twice does nothing
    assert set(case.torrent.pieces.order.members.search(1)) == set(range(40))
    assert not case.torrent.pieces.lent.any()


def test_a_run_ends_at_what_is_not_free() -> None:
    """A piece that is begun, complete, being hashed, not wanted, not there, or for which there is no room."""
    for hinder in ("begun", "complete", "busy", "unwanted", "lacked", "no room"):
        case, within = Case(), None
        table = case.torrent.pieces
        match hinder:
            case "begun":
                case.begin(7)
            case "complete":
                table.set_complete(7, True)
            case "busy":
                table.busy.add(7)
            case "unwanted":
                table.set_worth(7, Priority.NONE)
            case "lacked":
                lacks = case.seeds[0].lacks = no_pieces(40)
                lacks[7] = True
            case _:
                within = ~no_pieces(40)
                within[7] = False
        fetch = case.claim(3, within=within)
        assert fetch is not None, hinder
        assert list(fetch.lent) == [3, 4, 5, 6], hinder
        assert (fetch.request.begin, fetch.request.end) == (3 * PIECE, 7 * PIECE), hinder


def test_a_run_ends_with_its_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is free behind it."""
    monkeypatch.setattr("anabranch.webseed.slices.SLICE_SIZE", 8 * PIECE)
    case = Case()
    with case.node.engine.turn:
        chosen = Candidate(Key(ONE, case.content.info_hash, 1), case.seeds[0], 10 * PIECE, Priority.NORMAL)
        fetch = claiming.claim(case.node.engine, case.torrent, chosen, None)
    assert fetch is not None
    assert list(fetch.lent) == list(range(10, 16))
    assert fetch.request.end == 16 * PIECE


def test_the_last_piece_is_as_long_as_it_is() -> None:
    """No byte behind the torrent's end is asked for."""
    case = Case(cut=5000)
    assert case.claimed().request.end == len(case.content.content) == 40 * PIECE - 5000


def test_of_a_begun_piece_the_first_hole_is_claimed() -> None:
    """And what follows it only where the hole reaches to the end: a request has no holes."""
    case = Case()
    case.begin(3, Run(0, 1), Run(2, 1))
    fetch = case.claimed(3)
    assert (fetch.opened is not None, fetch.stop, list(fetch.lent)) == (True, 2, [])
    assert (fetch.request.begin, fetch.request.end) == (3 * PIECE + BLOCK_SIZE, 3 * PIECE + 2 * BLOCK_SIZE)
    case.begin(8, Run(0, 2))
    behind = case.claimed(8, seed=1)
    assert (behind.stop, list(behind.lent)) == (4, list(range(9, 40)))
    assert (behind.request.begin, behind.request.end) == (8 * PIECE + 2 * BLOCK_SIZE, 40 * PIECE)
    for one in (fetch, behind):
        with case.node.engine.turn:
            claiming.cancel(case.node.engine, one.request, "for the test")
    check(case.node)
    assert case.torrent.pieces.begun[3].free_count == 2
    assert case.torrent.pieces.begun[8].free_count == 2


def test_the_hole_at_the_end_of_a_short_piece_ends_with_it() -> None:
    """The last block is shorter than others."""
    case = Case(cut=5000)
    case.begin(39, Run(0, 2))
    assert case.claimed(39).request.end == len(case.content.content)


def test_nothing_is_claimed_where_nothing_is_free() -> None:
    """And nothing is booked then."""
    case = Case()
    case.begin(3, Run(0, 4))
    case.torrent.pieces.set_complete(4, True)
    for piece in (3, 4):
        assert case.claim(piece) is None
    lacks = case.seeds[0].lacks = no_pieces(40)
    lacks[5] = True
    assert case.claim(5) is None
    within = ~no_pieces(40)
    within[6] = False
    assert case.claim(6, within=within) is None
    case.begin(7, Run(0, 1))
    lacks[7] = True
    assert case.claim(7) is None
    assert not len(case.node.engine.due.web.requests)
    assert len(case.free) == 38


def test_a_replacement_has_what_the_old_one_had() -> None:
    """It may begin in the middle of it, and what is before that is free for others; no key is held by two."""
    case = Case()
    old = case.claimed(0)
    new = case.claim(20, old=old)
    assert new is not None
    assert old.request.state is State.ENDED
    assert list(new.lent) == list(range(20, 40))
    assert case.free == set(range(20))
    assert case.node.engine.due.web.requests.get(new.request.key) is new.request


def test_where_a_replacement_finds_nothing_the_old_one_ends() -> None:
    """It is not wanted any more; all of it is free."""
    case = Case()
    old = case.claimed(0)
    case.begin(30, Run(0, 4))
    assert case.claim(30, old=old) is None
    assert old.request.state is State.ENDED
    assert case.free == set(range(40)) - {30}
    assert old not in case.torrent.swarm.webseeds.fetches


def test_no_bytes_between_files_are_claimed() -> None:
    """W13: a run over v2 files goes by its pieces; it begins and ends with content."""
    case = Case(content=modern("v2", (50_000, 20_000, 3 * BLOCK_SIZE, 1), piece_length=PIECE))
    fetch = case.claimed(0)
    assert fetch.request.end == 3 * PIECE + 1
    case.reading(fetch)
    offsets = [fetch.at]
    with case.node.engine.turn:
        while claiming.open_next(fetch, case.clock()) is not None:
            offsets.append(fetch.at)
    assert offsets == [case.content.geometry.offset_of(piece) for piece in range(4)]


def test_many_pieces_that_are_given_back_find_their_way_into_the_order() -> None:
    """In slices, since thousands may be; what is lent counts at once."""
    case = Case(pieces=200, blocks=1)
    fetch = case.claimed()
    case.node.make_order(case.torrent)
    with case.node.engine.turn:
        claiming.cancel(case.node.engine, fetch.request, "for the test")
    assert not case.torrent.pieces.lent.any()
    case.node.settle()
    assert case.torrent.pieces.order.members.all()


# Going on.


def test_a_piece_that_is_not_wanted_any_more_ends_the_run() -> None:
    """It is given back with the rest."""
    case = Case()
    fetch = case.claimed(0)
    case.reading(fetch)
    with case.node.engine.turn:
        case.torrent.pieces.set_worth(1, Priority.NONE)
        assert claiming.open_next(fetch, case.clock()) is None
    check(case.node)
    with case.node.engine.turn:
        claiming.give_back(case.node.engine, fetch)
    assert not case.torrent.pieces.lent.any()
    assert 1 not in case.torrent.pieces.begun


def test_what_is_given_back_is_what_has_not_come() -> None:
    """Blocks that were there stay; those that a peer was asked for are not free by that."""
    case = Case()
    progress = case.begin(3, Run(0, 1))
    fetch = case.claimed(3)
    assert (fetch.stop, progress.free_count) == (4, 0)
    with case.node.engine.turn:
        progress.gain(Run(1, 1), fetch.seed, case.clock())
        fetch.at += BLOCK_SIZE + 100  # and the beginning of another
        case.node.loop.fetches[fetch] = None
        claiming.cancel(case.node.engine, fetch.request, "for the test")
    check(case.node)
    assert progress.free_run(4, 4) == Run(2, 2)
    assert not case.node.loop.fetches, "what is under way on the network is cut"


# Readers.


def test_what_a_reader_waits_for_behind_others_is_freed() -> None:
    """With all that follows; where a reader waits for the front of a run, that is left alone."""
    case = Case()
    fetch = case.claimed()
    table = case.torrent.pieces
    with case.node.engine.turn:
        wanting.read_ahead(case.node.engine, case.torrent, object(), range(5), 0)
        claiming.cut_for_readers(fetch)
    assert list(fetch.lent) == list(range(40))
    with case.node.engine.turn:
        wanting.read_ahead(case.node.engine, case.torrent, object(), range(20, 25), 20)
        claiming.cut_for_readers(fetch)
    assert list(fetch.lent) == list(range(20))
    assert fetch.request.end == 20 * PIECE
    assert case.free == set(range(20, 40))
    assert not table.lent[20:].any()
    check(case.node)


# Planning.


def test_nothing_is_planned_for_torrents_that_need_nothing() -> None:
    """Without web seeds, complete, or not live: thousands of these cost nothing."""
    case = Case()
    web = case.node.engine.due.web
    web.torrents.clear()

    def planned() -> bool:
        with case.node.engine.turn:
            claiming.plan_soon(case.node.engine, case.torrent, "for the test")
        made = bool(web.why)
        web.why = ""
        web.torrents.clear()
        return made

    assert planned()
    seeds = dict(case.torrent.swarm.webseeds)
    case.torrent.swarm.webseeds.clear()
    assert not planned()
    case.torrent.swarm.webseeds.update(seeds)
    with case.node.engine.turn:
        for piece in range(40):
            case.torrent.pieces.set_worth(piece, Priority.NONE)
    assert not planned()


def test_the_first_reason_to_plan_is_kept() -> None:
    """Whatever else happens until it was looked at."""
    case = Case()
    web = case.node.engine.due.web
    with case.node.engine.turn:
        claiming.plan_soon(case.node.engine, case.torrent, "first")
        claiming.plan_soon(case.node.engine, case.torrent, "second")
    assert web.why == "first"
    assert len(case.node.loop.calls) == 1


def test_what_is_not_wanted_any_more_is_not_begun() -> None:
    """It waited in the queue, and is looked at again."""
    case = Case()
    fetch = case.claimed()
    with case.node.engine.turn:
        for piece in range(40):
            case.torrent.pieces.set_worth(piece, Priority.NONE)
        planning.pump(case.node.engine, fetch.seed.host)
    assert fetch.request.state is State.ENDED
    assert fetch not in case.node.loop.fetches
    check(case.node)


def test_a_torrent_is_fetched_whatever_is_done_to_its_web_seeds() -> None:
    """Given back, removed, added again: what is kept comes free, and all comes in the end."""
    case = Case()
    case.node.engine.due.web.planning = False
    web = Web(case.node)
    web.contents[case.content.info_hash] = case.content
    web.servers = {ONE: Server(rate=3e5), TWO: Server(rate=3e5)}
    for second in range(60):
        with case.node.engine.turn:
            url = (ONE, TWO)[second % 2]
            webseeding.remove(case.node.engine, case.torrent, url)
            webseeding.remove(case.node.engine, case.torrent, url)
            webseeding.add(case.node.engine, case.torrent, [Source(url)])
        run(case.clock, case.node, 1, lambda: check(case.node))
        if case.torrent.pieces.is_seed:
            break
    assert case.torrent.pieces.is_seed
