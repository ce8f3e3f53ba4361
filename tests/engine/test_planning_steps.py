"""What lies between a plan and what is asked: much may have changed by then. And who takes over what comes late."""

from __future__ import annotations

from bitarray import bitarray

from anabranch.engine import claiming, convicting, failing, fetching, planning, webseeding
from anabranch.model import BLOCK_SIZE, Priority, StorageFailed, TorrentError
from anabranch.picker import Run
from anabranch.webseed import Request, Source, State
from engine.claims import BLOCKS, ONE, TWO, Case
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run, until
from engine.samples import sample
from engine.web_world import Server, Web, check


def reserve(case: Case, piece: int = 0, old: Request | None = None) -> None:
    web = case.node.engine.due.web
    with case.node.engine.turn:
        web.torrents[case.torrent] = None
        planning._Reserve(case.node.engine, case.chosen(piece), old).take()
    check(case.node)


def test_nothing_is_reserved_at_a_web_seed_that_was_suspended_meanwhile() -> None:
    """It would keep blocks from others for a minute."""
    case = Case()
    case.seeds[0].convict(case.clock(), "for the test")
    reserve(case)
    assert not len(case.node.engine.due.web.requests)
    case.clock.now += 61
    reserve(case)
    assert len(case.node.engine.due.web.requests) == 1


def test_nothing_is_reserved_for_a_torrent_that_has_gone_meanwhile() -> None:
    """Its web seeds may be another's by then."""
    case = Case()
    with case.node.engine.turn:
        webseeding.remove(case.node.engine, case.torrent, ONE)
    reserve(case)
    case.node.drop(case.torrent)
    case.node.settle()
    reserve(case)
    assert not len(case.node.engine.due.web.requests)


def test_what_ended_or_failed_meanwhile_is_not_replaced() -> None:
    """A rest would be cut short by that."""
    case = Case()
    old = case.claimed()
    with case.node.engine.turn:
        assert case.node.engine.due.web.requests.take(old.seed) is old.request
        case.node.engine.due.web.requests.rest(old.request, case.clock() + 5)
        claiming.give_back(case.node.engine, old)
    reserve(case, 20, old.request)
    assert old.request.state is State.RESTING
    assert len(case.node.engine.due.web.requests) == 1


def test_what_waits_for_a_suspended_web_seed_is_not_begun() -> None:
    """Until it may be asked again."""
    case = Case()
    fetch = case.claimed()
    case.seeds[0].pause(case.clock() + 5)
    for state in (State.RESERVED, State.STARTING):
        with case.node.engine.turn:
            planning.pump(case.node.engine, fetch.seed.host)
        assert fetch.request.state is state
        case.clock.now += 6


def test_nothing_new_is_asked_for_while_the_storage_learns_what_is_wanted() -> None:
    """It would lie where it does not belong."""
    case = Case()
    with case.node.engine.turn:
        assert planning.candidates(case.node.engine, case.torrent, case.clock())
        case.torrent.disk.selecting = True
        assert not planning.candidates(case.node.engine, case.torrent, case.clock())


def test_what_a_begun_piece_lacks_is_a_candidate_and_peers_are_told_of() -> None:
    """The planner prefers what no peer owes."""
    case = Case()
    case.begin(0, Run(0, 1))
    with case.node.engine.turn:
        [one, _] = planning.candidates(case.node.engine, case.torrent, case.clock())
    assert one.asked
    assert one.partial
    assert (one.start, one.priority) == (BLOCK_SIZE, Priority.NORMAL)


def test_a_wrong_piece_ends_what_its_sender_is_asked_for_and_plans_anew() -> None:
    """Nothing more of it is believed; what rests keeps its place, as after any failure."""
    case = Case()
    fetch = case.claimed()
    case.reading(fetch)
    with case.node.engine.turn:
        convicting.wrong_piece(case.node.engine, case.torrent, ONE, 3)
    assert fetch.request.state is State.ENDED
    assert case.node.engine.due.web.why == "bad piece"
    check(case.node)
    case.clock.now += 61
    case.reading(fetch := case.claimed())
    with case.node.engine.turn:
        fetching.broken(case.node.engine, fetch, TorrentError("broken"))
        convicting.wrong_piece(case.node.engine, case.torrent, ONE, 4)
        convicting.wrong_piece(case.node.engine, case.torrent, "http://gone.test/", 4)
    assert fetch.request.state is State.RESTING


def test_web_seeds_that_are_added_while_the_disk_fails_are_asked_afterwards() -> None:
    """Known at once, made when the torrent is live."""
    case = Case()
    with case.node.engine.turn:
        failing.fail(case.node.engine, case.torrent, StorageFailed("/data", "no space"))
        webseeding.add(case.node.engine, case.torrent, [Source("http://three.test/content")])
    assert "http://three.test/content" not in case.torrent.swarm.webseeds
    case.node.engine.due.web.planning = False
    web = Web(case.node)
    web.contents[case.content.info_hash] = case.content
    web.servers = {url: Server(rate=1e3) for url in (ONE, TWO, "http://three.test/content")}
    until(case.clock, case.node, lambda: "http://three.test/content" in case.torrent.swarm.webseeds, 60)


def test_a_web_seed_that_never_answers_costs_seconds() -> None:
    """Another that is idle looks every second whether anything stalls."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=10, blocks=BLOCKS)
    torrent = node.add(content)
    node.settle()
    Web(node).add(torrent, content, {ONE: Server(delay=1e9), TWO: Server(delay=0.0)})
    assert until(clock, node, lambda: torrent.pieces.is_seed) < 9
    check(node)


def test_an_idle_web_seed_takes_over_what_a_peer_owes_for_long() -> None:
    """Everything was asked of a peer that says nothing."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=3, blocks=BLOCKS)
    torrent = node.add(content)
    node.settle()
    remote = Remote(node, torrent, content, rate=0)
    run(clock, node, 1)
    assert not torrent.pieces.free().any()
    Web(node).add(torrent, content, {ONE: Server()})
    assert until(clock, node, lambda: torrent.pieces.is_seed) < 12
    assert remote.sent == 0
    check(node)


def test_what_a_web_seed_lacks_is_never_asked_of_it() -> None:
    """Two halves at two web seeds: all comes, and no request is in vain."""
    clock = Clock()
    node, content = Node(clock), sample(pieces=20, blocks=BLOCKS)
    torrent = node.add(content)
    node.settle()
    one, two = Server(rate=1e5), Server(rate=1e6)
    seeds = Web(node).add(torrent, content, {ONE: one, TWO: two})
    seeds[0].lacks = bitarray("0" * 10 + "1" * 10, endian="big")
    seeds[1].lacks = bitarray("1" * 10 + "0" * 10, endian="big")
    until(clock, node, lambda: torrent.pieces.is_seed)
    assert one.sent == two.sent == len(content.content) // 2
    assert len(one.asked) + len(two.asked) <= 4


def test_web_seeds_are_known_by_their_source() -> None:
    """The same URL said twice is one web seed."""
    case = Case()
    with case.node.engine.turn:
        assert not webseeding.add(case.node.engine, case.torrent, [Source(ONE), Source(f" {ONE}\n")])
