"""Whom the DHT and the local network are asked for, and when: the schedule in virtual time."""

from __future__ import annotations

import pytest

from anabranch.bencode import decode, encode
from anabranch.engine import closing, events, seeking, wanting
from anabranch.engine.state import Policy, TorrentState
from anabranch.metainfo import Magnet, Metainfo
from anabranch.model import Address, InfoHash, Priority
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run
from engine.samples import Sample, changed, modern, sample

CONTENT = sample(pieces=9, blocks=1)
PRIVATE = changed(CONTENT, private=1)
FOUND = Address("192.0.2.7", 7007)


class Search:
    """A search that is under way."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self, now: float) -> None:
        self.cancelled = True


def world(content: Sample = CONTENT, config: dict[str, bool] | None = None) -> tuple[Clock, Node, TorrentState]:
    clock = Clock()
    node = Node(clock, dial_rate=0.0, drop_mutually_complete_peers=False, **config or {})  # type: ignore[arg-type]  # fields
    torrent = node.add(content)
    node.settle()
    return clock, node, torrent


def take(node: Node) -> list[TorrentState]:
    with node.engine.turn:
        return seeking.take(node.engine, node.engine.clock())


def end(node: Node, torrent: TorrentState, answered: int = 8) -> None:
    with node.engine.turn:
        seeking.ended(node.engine, torrent, answered)


def named(node: Node) -> list[InfoHash]:
    with node.engine.turn:
        return seeking.name(node.engine, node.engine.clock())


def test_a_torrent_is_searched_for_at_once_and_then_every_five_minutes_while_it_lacks_something() -> None:
    """The windows of the fork; from the beginning of one search to that of the next."""
    clock, node, torrent = world()
    assert take(node) == [torrent]
    assert take(node) == []
    clock.now += 7
    end(node, torrent)
    clock.now += seeking.WINDOW - 8
    assert take(node) == []
    clock.now += 1
    assert take(node) == [torrent]


def test_a_seed_is_announced_every_fifteen_minutes() -> None:
    """Nodes keep what they are told for half an hour."""
    clock, node, torrent = world()
    Remote(node, torrent, CONTENT)
    run(clock, node, 2)
    assert torrent.pieces.is_seed
    assert take(node) == [torrent]
    end(node, torrent)
    clock.now += seeking.SEEDING - 1
    assert take(node) == []
    clock.now += 1
    assert take(node) == [torrent]


def test_what_nobody_answered_is_tried_again_after_a_pause_that_grows() -> None:
    """A flaw of the Go engine: it began anew at once, again and again. An answer ends it; no pause exceeds a window."""
    clock, node, torrent = world()
    for pause in (10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0):
        assert take(node) == [torrent]
        end(node, torrent, answered=0)
        clock.now += pause - 1
        assert take(node) == []
        clock.now += 1
    assert take(node) == [torrent]
    end(node, torrent)
    clock.now += seeking.WINDOW
    assert take(node) == [torrent]
    end(node, torrent, answered=0)
    clock.now += 10.0
    assert take(node) == [torrent]


def test_who_begins_to_want_connections_again_waits_a_little_and_the_first_time_not_at_all() -> None:
    """0 to 50 ms, so that a thousand that are woken together do not all ask at once (W31)."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0)
    torrents = [node.add(sample(pieces=2, blocks=1, seed=number)) for number in range(40)]
    node.settle()
    assert node.engine.due.seekers.dht.deadline() <= clock.now
    for torrent in torrents:
        with node.engine.turn:
            wanting.allow_download(node.engine, torrent, False)
    run(clock, node, 1)
    assert not len(node.engine.due.seekers.dht)
    for torrent in torrents:
        with node.engine.turn:
            wanting.allow_download(node.engine, torrent, True)
            seeking.look(node.engine, torrent)
    due = sorted(at for at, _ in node.engine.due.seekers.dht._heap)[-40:]
    assert clock.now <= due[0] <= due[-1] <= clock.now + seeking.JITTER
    assert len({round(at, 4) for at in due}) > 20


def test_blocks_wake_nobody() -> None:
    """W31: 2,000 torrents wait while others' blocks come: the schedule is touched as often as wishes change.

    A flaw of the fork: each block woke every one of them.
    """
    clock = Clock()
    node = Node(clock, dial_rate=0.0)
    for number in range(2000):
        node.prepare(CONTENT, source=Magnet(v1=InfoHash(number.to_bytes(20))), policy=Policy())
    node.settle()
    busy = node.add(sample(pieces=2000, blocks=1))
    node.settle()
    seekers = node.engine.due.seekers
    for _ in range(3000):  # searches have had their turn
        for torrent in take(node):
            end(node, torrent)
        clock.now += 0.1
        if seekers.dht.deadline() > clock.now:
            break
    drawn = seekers.dht._drawn
    Remote(node, busy, sample(pieces=2000, blocks=1))
    node.settle()
    assert busy.pieces.complete_count == 2000
    assert seekers.dht._drawn - drawn <= 1
    assert len(seekers.dht) == 2001


def test_waiting_torrents_cost_nothing() -> None:
    """W31: what a second costs does not depend on how many wait: nobody is looked at before its time."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0)
    for number in range(2000):
        node.add(sample(pieces=1, blocks=1, seed=number), want=None)
    node.settle()
    run(clock, node, 2)
    assert not node.engine.due.lively
    seekers = node.engine.due.seekers
    before = seekers.dht._drawn
    run(clock, node, 20)
    assert seekers.dht._drawn == before


def test_searches_keep_a_pace_and_a_bound() -> None:
    """However many torrents are due: ten a second, 32 under way; all have their turn in the end."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0, disable_lsd=True)
    for number in range(100):
        node.add(sample(pieces=2, blocks=1, seed=number))
    node.settle()
    first = take(node)
    assert len(first) == 10
    clock.now += 1
    assert len(take(node)) == 10
    clock.now += 10
    assert len(take(node)) == 10
    clock.now += 10
    assert len(take(node)) == seeking.AT_ONCE - 30
    clock.now += 10
    assert take(node) == []
    assert seeking.deadline(node.engine, clock.now) > clock.now + 100
    assert seeking.deadline(node.engine, clock.now, nodes=False) > clock.now + 100
    seen = set(node.engine.due.seekers.under_way)
    for torrent in list(seen):
        end(node, torrent)
    for _ in range(20):
        for torrent in take(node):
            seen.add(torrent)
            end(node, torrent)
        clock.now += 1
    assert len(seen) == 100


def test_what_was_just_added_goes_before_those_that_are_due() -> None:
    """Somebody waits for it, while hundreds that an earlier run left have their first turn."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0)
    for number in range(50):
        node.add(sample(pieces=2, blocks=1, seed=number))
    node.settle()
    assert len(take(node)) == 10
    clock.now += 1
    newest = node.add(CONTENT)
    node.settle()
    assert take(node)[0] is newest
    end(node, newest)
    clock.now += 1
    assert newest not in take(node)


def test_a_full_torrent_asks_nobody_and_a_place_that_comes_free_does_not_hurry() -> None:
    """It has no use for more: the next search is where it would have been."""
    clock, node, torrent = world()
    with node.engine.turn:
        wanting.set_max_connections(node.engine, torrent, 1)
    assert take(node) == [torrent]
    end(node, torrent)
    one = Remote(node, torrent, CONTENT, pieces=[])
    run(clock, node, 2)
    assert not len(node.engine.due.seekers.dht)
    one.leave()
    run(clock, node, 2)
    assert len(node.engine.due.seekers.dht) == 1
    assert take(node) == []
    clock.now = torrent.swarm.seeking.searched_at + seeking.WINDOW + seeking.JITTER
    assert take(node) == [torrent]


def test_a_torrent_that_is_full_when_its_time_comes_is_named_again_once_there_is_room() -> None:
    """Also where it was full between two looks only, so that nobody noticed but the schedule."""
    clock, node, torrent = world(config={"disable_dht": True})
    assert named(node) == [torrent.info_hash]
    with node.engine.turn:
        wanting.set_max_connections(node.engine, torrent, 1)
    one = Remote(node, torrent, CONTENT, pieces=[])
    clock.now += seeking.LOCALLY
    assert named(node) == []
    one.leave()
    run(clock, node, 2)
    assert named(node) == [torrent.info_hash]


@pytest.mark.parametrize("settings", [{"disable_tcp": True}, {"dial_peers": False, "accept_peers": False}])
def test_where_nobody_can_be_met_nobody_is_looked_for(settings: dict[str, bool]) -> None:
    """The fork searched when it had something to dial or to accept by. Whoever may only be called announces itself."""
    _, node, _ = world(config=settings)
    assert take(node) == []
    assert named(node) == []
    _, node, torrent = world(config={"dial_peers": False})
    assert take(node) == [torrent]


@pytest.mark.parametrize(
    ("setting", "dht", "local"),
    [("disable_dht", False, True), ("dht_announce", False, True), ("disable_lsd", True, False)],
)
def test_what_is_switched_off_is_not_asked(setting: str, dht: bool, local: bool) -> None:
    """Each for itself."""
    _, node, torrent = world(config={setting: setting != "dht_announce"})
    assert take(node) == ([torrent] if dht else [])
    assert named(node) == ([torrent.info_hash] if local else [])


def test_a_private_torrent_is_never_looked_for() -> None:
    """W32, whatever happens to it: no search, no name in the local network, nothing that is found is taken."""
    clock, node, torrent = world(PRIVATE)
    for _ in range(3):
        assert take(node) == []
        assert named(node) == []
        run(clock, node, 2)
        clock.now += seeking.SEEDING
    with node.engine.turn:
        for source in ("dht", "lsd"):
            seeking.named(node.engine, torrent.info_hash, FOUND, source)
            seeking.found(node.engine, torrent, [FOUND], source)
    assert torrent.swarm.candidates.get(FOUND) is None


def test_nodes_that_a_private_torrent_names_are_not_asked() -> None:
    """A flaw of the fork: they were. Those of a public one are, twenty at most."""
    nodes = [["198.51.100.1", 6881], ["node.example", 6882], *([f"198.51.100.{n}", 1] for n in range(2, 40))]
    told: list[tuple[str, int]] = []
    for private in (0, 1):
        node = Node(Clock(), dial_rate=0.0)
        node.engine.due.seekers.add_node = lambda host, port: told.append((host, port))
        said = decode(changed(CONTENT, private=private).metainfo.raw)
        assert isinstance(said, dict)
        node.add(Sample(Metainfo.parse(encode(said | {b"nodes": nodes})), CONTENT.content))
        node.settle()
        assert len(told) == 20
    assert told[:2] == [("198.51.100.1", 6881), ("node.example", 6882)]


def test_a_link_that_turns_out_private_is_looked_for_no_more() -> None:
    """W32: what is under way ends, appointments are gone, and it is said what was forgotten."""
    _, node, torrent = linked()
    assert take(node) == [torrent]
    search = Search()
    with node.engine.turn:
        seeking.begun(node.engine, torrent, [search])
        seeking.found(node.engine, torrent, [FOUND], "dht")
    assert torrent.swarm.candidates.get(FOUND) is not None
    Teacher(node, torrent, PRIVATE)
    node.settle()
    assert torrent.metainfo.info.private
    assert search.cancelled
    assert torrent.swarm.candidates.get(FOUND) is None
    assert events.TurnedPrivate(torrent.info_hash, 1, 0) in node.told()
    end(node, torrent)
    assert not len(node.engine.due.seekers.dht)
    assert not len(node.engine.due.seekers.local)


def test_a_search_that_begins_when_the_metadata_has_just_come_is_ended() -> None:
    """Between the choice and the question there may be another turn."""
    _, node, torrent = linked()
    assert take(node) == [torrent]
    Teacher(node, torrent, PRIVATE)
    node.settle()
    search = Search()
    with node.engine.turn:
        seeking.begun(node.engine, torrent, [search])
    node.settle()
    assert search.cancelled


def test_a_link_is_taken_for_private_where_the_user_wants_that() -> None:
    """assume_private: nobody but its trackers is asked before the metadata says that it is public; then all are."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0, assume_private=True)
    torrent = node.learn(Magnet.of(CONTENT.metainfo))
    node.settle()
    run(clock, node, 3)
    assert take(node) == []
    assert named(node) == []
    with node.engine.turn:
        seeking.found(node.engine, torrent, [FOUND], "dht")
    assert torrent.swarm.candidates.get(FOUND) is None
    Teacher(node, torrent, CONTENT)
    node.settle()
    assert not torrent.metainfo.info.private
    assert take(node) == [torrent]
    assert named(node) == [torrent.info_hash]


def test_a_hybrid_is_named_by_both_its_names() -> None:
    """BEP 52: some know it by the one and some by the other."""
    content = modern("hybrid", (100_000,))
    _, node, torrent = world(content)
    assert set(named(node)) == set(torrent.metainfo.info.swarm_hashes)


def test_the_local_network_is_told_every_five_minutes_at_a_pace() -> None:
    """BEP 14; Transmission hears ten in a second."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0)
    for number in range(20):
        node.add(sample(pieces=2, blocks=1, seed=number))
    node.settle()
    heard: list[InfoHash] = []
    for _ in range(4):
        said = named(node)
        assert len(said) <= 8
        heard += said
        clock.now += 1
    assert len(set(heard)) == len(heard) == 20
    clock.now += seeking.LOCALLY - 5
    assert named(node) == []
    clock.now += 2
    assert named(node)


def test_who_is_found_becomes_a_candidate_and_is_told() -> None:
    """Ourselves and the banned are not taken, and nothing is for a torrent that is closed."""
    _, node, torrent = world()
    us, banned = Address("192.0.2.8", 42069), Address("192.0.2.9", 1)
    node.engine.network.ourselves.learn(us)
    node.engine.banned.add(banned.host)
    node.told()
    with node.engine.turn:
        seeking.found(node.engine, torrent, [FOUND, us, banned], "dht")
        seeking.named(node.engine, torrent.info_hash, Address("192.0.2.10", 1), "lsd")
        seeking.named(node.engine, bytes(20), FOUND, "lsd")
    told = [one for one in node.told() if isinstance(one, events.PeersFound)]
    assert [(one.source, one.peers, one.new) for one in told] == [("dht", 3, 1), ("lsd", 1, 1)]
    assert torrent.swarm.candidates.get(us) is None
    assert torrent.swarm.candidates.get(banned) is None
    with node.engine.turn:
        closing.begin(node.engine, torrent, forget=True)
        seeking.found(node.engine, torrent, [Address("192.0.2.11", 1)], "dht")
    assert torrent.swarm.candidates.get(Address("192.0.2.11", 1)) is None


def test_a_torrent_that_leaves_is_looked_for_no_more() -> None:
    """What is under way ends."""
    _, node, torrent = world()
    assert take(node) == [torrent]
    search = Search()
    with node.engine.turn:
        seeking.begun(node.engine, torrent, [search])
        closing.begin(node.engine, torrent, forget=True)
    node.settle()
    assert search.cancelled
    end(node, torrent)
    assert not len(node.engine.due.seekers.dht)
    assert not node.engine.due.seekers.under_way


@pytest.mark.parametrize("known_first", [0, 1])
def test_two_links_that_turn_out_to_be_one_private_torrent_are_both_looked_for_no_more(known_first: int) -> None:
    """W32: the one that gives way never learns of it, and yet its search is for a private torrent."""
    content = changed(modern("hybrid", (100_000,)), private=1)
    info = content.metainfo.info
    node = Node(Clock(), dial_rate=0.0)
    torrents = [node.learn(Magnet(v1=info.v1)), node.learn(Magnet(v2=info.v2))]
    node.settle()
    assert set(take(node)) == set(torrents)
    searches = [Search(), Search()]
    with node.engine.turn:
        for torrent, search in zip(torrents, searches, strict=True):
            seeking.begun(node.engine, torrent, [search])
    first = torrents[known_first]
    Teacher(node, first, content, name=first.info_hash)
    node.settle()
    assert all(search.cancelled for search in searches)
    for torrent in torrents:
        end(node, torrent)
    assert take(node) == []
    assert not len(node.engine.due.seekers.dht)
    assert not len(node.engine.due.seekers.local)


def test_nothing_wanted_and_nothing_here_is_no_reason_to_look() -> None:
    """A torrent of which no file was chosen, and which has nothing to give."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0)
    torrent = node.add(CONTENT, want=None)
    node.settle()
    run(clock, node, 2)
    assert take(node) == []
    node.want(torrent, [Priority.NORMAL] * len(CONTENT.metainfo.info.files))
    run(clock, node, 2)
    assert take(node) == [torrent]


def linked() -> tuple[Clock, Node, TorrentState]:
    clock = Clock()
    node = Node(clock, dial_rate=0.0)
    torrent = node.learn(Magnet.of(PRIVATE.metainfo))
    node.settle()
    node.told()
    return clock, node, torrent
