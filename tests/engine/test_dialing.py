"""Whom to dial."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anabranch.engine import dialing
from anabranch.engine.candidates import Candidates, half_open_limit
from anabranch.engine.state import TorrentState
from anabranch.engine.wanting import allow_download, allow_upload
from anabranch.model import Address, Priority
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node
from engine.samples import Held, modern, sample

CONTENT = sample(pieces=4, blocks=1)


def hungry(node: Node, candidates: int, *, seed: int = 0, most: int = 50) -> TorrentState:
    """A torrent that lacks everything and knows so many addresses."""
    torrent = node.add(sample(pieces=4, blocks=1, seed=seed))
    node.settle()
    torrent.policy.most_connections = most
    for number in range(candidates):
        torrent.swarm.candidates.add(Address(f"10.5.{seed}.{number % 250 + 1}", 6881 + number // 250), "user")
    with node.engine.turn:
        node.engine.due.lively.add(torrent)
    return torrent


def dialed(node: Node, now: float | None = None) -> list[dialing.Dial]:
    with node.engine.turn:
        return dialing.choose(node.engine, node.engine.clock() if now is None else now)


def test_dials_keep_to_the_rate() -> None:
    """Ten a second after a burst of ten."""
    node = Node(Clock())
    hungry(node, 100)
    assert len(dialed(node, 1000.0)) == 10
    assert len(dialed(node, 1000.5)) == 5
    assert len(dialed(node, 1001.5)) == 10


def test_dials_under_way_keep_to_the_torrent_s_budget() -> None:
    """The half-open table: a torrent of four connections has two dials under way."""
    node = Node(Clock())
    torrent = hungry(node, 100, most=4)
    assert len(dialed(node)) == 2
    assert dialed(node, 2000.0) == []
    for candidate in list(torrent.swarm.candidates._known.values())[:2]:
        with node.engine.turn:
            dialing.ended(node.engine, torrent, candidate)
    assert len(dialed(node, 2000.0)) == 2


def test_dials_under_way_keep_to_the_client_s_budget() -> None:
    """W37: over all torrents; a paused one takes nothing of it."""
    node = Node(Clock(), total_half_open_connections=7, dial_rate=1000)
    node.engine.limits.dials.set_rate(1000.0, 1000.0, 1000.0)
    paused = hungry(node, 50, seed=1, most=0)
    hungry(node, 50, seed=2, most=4)
    hungry(node, 50, seed=3)
    dials = dialed(node, 1010.0)
    assert len(dials) == 7
    assert paused not in [dial.torrent for dial in dials]


def test_the_banned_are_never_dialed() -> None:
    """They are forgotten."""
    node = Node(Clock())
    torrent = hungry(node, 3)
    node.engine.banned.add("10.5.0.2")
    assert {dial.candidate.address.host for dial in dialed(node)} == {"10.5.0.1", "10.5.0.3"}
    assert len(torrent.swarm.candidates) == 2


def test_torrents_take_turns() -> None:
    """Ten dials a second for twenty torrents: each dials in its turn, however many candidates the others have."""
    node = Node(Clock())
    torrents = [hungry(node, 60, seed=seed) for seed in range(20)]
    first, second = dialed(node, 1000.0), dialed(node, 1001.0)
    assert len({dial.torrent for dial in (*first, *second)}) == len(torrents)
    with node.engine.turn:
        for torrent in torrents:
            if torrent is not torrents[3]:
                node.engine.due.lively.leave(torrent)
    assert [dial.torrent for dial in dialed(node, 1002.0)] == [torrents[3]] * 10


def test_dials_keep_to_the_room_that_the_client_has_for_connections() -> None:
    """Descriptors are for the disk, too."""
    node = Node(Clock())
    hungry(node, 50)
    with node.engine.turn:
        assert dialing.choose(node.engine, 1000.0, room=0) == []
        assert len(dialing.choose(node.engine, 1000.0, room=3)) == 3


def test_a_paused_torrent_among_hundreds_leaves_the_whole_budget_to_the_active_one() -> None:
    """W37: 500 paused and one that is active, which gets the share that it would have alone."""
    node = Node(clock := Clock())
    torrents = [hungry(node, 2, seed=seed, most=0) for seed in range(1, 501)]
    active = hungry(node, 120)
    node.engine.limits.dials.set_rate(1000.0, 1000.0, 1000.0)
    clock.now = 1010.0
    dials: list[dialing.Dial] = []
    for _ in range(3):  # it is asked again until it says that it looked at all
        dials += dialed(node)
        node.settle()
    assert len(dials) == half_open_limit(50, 0, 120) == 25
    assert {dial.torrent for dial in dials} == {active}
    assert not any(torrent.swarm.dialing for torrent in torrents)


class Counted(Candidates):
    """Counts how often anybody asks whether one is due."""

    asked = 0

    def due(self, now: float, seeds_too: bool) -> bool:
        Counted.asked += 1
        return super().due(now, seeds_too)


def test_the_end_of_a_dial_looks_at_its_own_torrent_alone() -> None:
    """Not at the hundreds of others that have nobody to dial now."""
    node = Node(clock := Clock(), total_half_open_connections=1000)
    node.engine.limits.dials.set_rate(1000.0, 1000.0, 1000.0)
    torrents = [hungry(node, 0, seed=seed) for seed in range(1, 201)]
    for number, torrent in enumerate(torrents):
        torrent.swarm.candidates = Counted()
        torrent.swarm.candidates.add(Address("10.6.0.1", 1 + number), "tracker")
        with node.engine.turn:
            node.engine.due.lively.add(torrent)
    clock.now = 1010.0
    dials = dialed(node)
    assert len(dials) == 200
    assert dialed(node) == []
    Counted.asked = 0
    with node.engine.turn:
        dialing.ended(node.engine, dials[7].torrent, dials[7].candidate)
    assert dialed(node) == []
    assert Counted.asked <= 2


def test_full_torrents_are_looked_at_a_few_at_a_time() -> None:
    """To see whether a peer may give way costs a look at each: hundreds of full torrents are spread over many turns."""
    node = Node(Clock())
    torrents = [hungry(node, 0, seed=seed, most=30) for seed in range(1, 61)]
    for torrent in torrents:
        for _ in range(30):
            Remote(node, torrent, CONTENT, pieces=[])
        torrent.swarm.candidates = Counted()
        torrent.swarm.candidates.add(Address("10.6.0.1", 1), "tracker")
        with node.engine.turn:
            node.engine.due.lively.add(torrent)
    Counted.asked, asked = 0, []
    for _ in range(10):
        assert dialed(node) == []
        asked.append(Counted.asked)
    assert asked[0] == 17
    assert asked[-1] == 60


def test_a_dial_that_was_refused_for_a_connection_which_is_there_is_no_failure() -> None:
    """The peer is known by where it says that it listens; it may have hung up before it said who it is."""
    node = Node(Clock())
    torrent = hungry(node, 1)
    [dial] = dialed(node)
    remote = Remote(node, torrent, CONTENT, pieces=[], host=dial.candidate.address.host)
    remote.talk.send_extended_handshake(replace(remote.introduction(), port=dial.candidate.address.port))
    remote.send()
    node.settle()
    with node.engine.turn:
        dialing.ended(node.engine, torrent, dial.candidate, misunderstood=True)
    assert dial.candidate.engaged
    assert dialed(node, 2000.0) == []
    remote.leave()
    assert not dial.candidate.engaged


def test_ourselves_are_never_dialed() -> None:
    """Neither where we listen, nor where our own peer id once answered."""
    node = Node(Clock())
    torrent = hungry(node, 4)
    node.loop.ourselves.listen([Address("10.5.0.2", 6881)])
    node.loop.ourselves.learn(Address("10.5.0.3", 6881))
    assert {dial.candidate.address.host for dial in dialed(node)} == {"10.5.0.1", "10.5.0.4"}
    assert len(torrent.swarm.candidates) == 2


def test_a_dial_that_found_a_peer_which_is_there_already_is_no_failure() -> None:
    """The candidate is that peer's from then on, and not dialed again while it is there."""
    node = Node(Clock())
    torrent = hungry(node, 1)
    [dial] = dialed(node)
    Remote(node, torrent, CONTENT, pieces=[], candidate=dial.candidate)
    with node.engine.turn:
        dialing.ended(node.engine, torrent, dial.candidate)
    assert torrent.swarm.dialing == 0
    assert dial.candidate.engaged
    assert dialed(node, 2000.0) == []


@pytest.mark.parametrize(("v6", "host"), [(False, "10.5.0.1"), (True, "2001:db8::1")])
def test_a_family_that_is_left_out_is_not_dialed(v6: bool, host: str) -> None:
    """Whoever told the address; it is forgotten."""
    node = Node(Clock(), disable_ipv4=v6, disable_ipv6=not v6)
    torrent = hungry(node, 1)
    torrent.swarm.candidates.add(Address("2001:db8::1", 6881), "user")
    assert [dial.candidate.address.host for dial in dialed(node)] == [host]
    assert len(torrent.swarm.candidates) == 1


def test_nobody_is_dialed_twice_at_a_time() -> None:
    """Neither while the dial is under way nor while connected."""
    node = Node(Clock())
    torrent = hungry(node, 3)
    assert len(dialed(node)) == 3
    assert dialed(node, 2000.0) == []
    assert torrent.swarm.dialing == 3


def test_the_more_wait_the_shorter_a_dial_may_take() -> None:
    """20 seconds for a few, down to 3 for hundreds."""
    for count, timeout in [(3, 20.0), (25, 10.0), (50, 20 / 3), (400, 3.0)]:
        node = Node(Clock())
        hungry(node, count)
        assert dialed(node)[0].timeout == pytest.approx(timeout)


def test_torrents_without_use_for_peers_do_not_dial() -> None:
    """Enough connections; nothing wanted and nothing to give; both directions forbidden; not live; dialing off."""
    node = Node(Clock())
    torrent = hungry(node, 5, most=2)
    for _ in range(2):
        Remote(node, torrent, CONTENT, pieces=[])
    node.settle()
    assert not dialing.wants_peers(node.engine, torrent)
    node = Node(Clock())
    torrent = hungry(node, 5)
    node.want(torrent, [Priority.NONE])
    node.settle()
    assert not dialing.wants_peers(node.engine, torrent)
    node.want(torrent, [Priority.NORMAL])
    node.settle()
    assert dialing.wants_peers(node.engine, torrent)
    with node.engine.turn:
        allow_download(node.engine, torrent, False)
        allow_upload(node.engine, torrent, False)
    assert not dialing.wants_peers(node.engine, torrent)
    node = Node(Clock(), dial_peers=False)
    hungry(node, 5)
    assert dialed(node) == []


def test_a_seed_dials_those_who_are_not_seeds() -> None:
    """It has something to give, and only to them."""
    node = Node(Clock())
    torrent = node.add(CONTENT, Held(CONTENT))
    node.settle()
    for number in (1, 2):
        torrent.swarm.candidates.add(Address(f"10.5.0.{number}", 1), "user")
    first = torrent.swarm.candidates.get(Address("10.5.0.1", 1))
    assert first is not None
    first.seed = True
    with node.engine.turn:
        node.engine.due.lively.add(torrent)
    assert [dial.candidate.address.host for dial in dialed(node)] == ["10.5.0.2"]
    quiet = Node(Clock(), seed=False)
    torrent = quiet.add(CONTENT, Held(CONTENT))
    quiet.settle()
    assert not dialing.wants_peers(quiet.engine, torrent)


def test_a_failed_dial_waits_before_the_next() -> None:
    """Two seconds, then four ..."""
    node = Node(clock := Clock())
    torrent = hungry(node, 1)
    for pause in (2, 4, 8, 16):
        [dial] = dialed(node)
        with node.engine.turn:
            dialing.ended(node.engine, torrent, dial.candidate)
        assert dialed(node, clock.now + pause - 0.1) == []
        clock.now += pause


def test_who_did_not_understand_is_dialed_again_at_once_the_other_way() -> None:
    """In clear first, then obfuscated, or the other way round. That is no failure; when both ways fail, it is one."""
    for encryption, first in [("allow", False), ("prefer", True)]:
        node = Node(Clock(), encryption=encryption)
        torrent = hungry(node, 1)
        for obfuscated in (first, not first):
            [dial] = dialed(node)
            assert dial.obfuscated is obfuscated
            assert dial.candidate.failures == 0
            with node.engine.turn:
                dialing.ended(node.engine, torrent, dial.candidate, misunderstood=True)
        assert dialed(node) == []
        assert (dial.candidate.failures, dial.candidate.way) == (1, 0)


def test_those_who_hang_up_at_once_are_not_dialed_faster_than_others() -> None:
    """A tracker that names many ports of one server could else have thousands of dials a second made to it."""
    node = Node(Clock())
    torrent = hungry(node, 400)
    dials, now = 0, 1000.0
    for _ in range(100):
        for dial in dialed(node, now):
            dials += 1
            with node.engine.turn:
                dialing.ended(node.engine, torrent, dial.candidate, misunderstood=True)
        now += 0.01
    assert 2 * 10 < dials <= 2 * 20  # ten candidates at first and ten in the second, each in two ways


def test_of_a_hybrid_both_names_are_tried() -> None:
    """A peer that has a link to one of them only does not know the other. The name that it was added by comes first."""
    content = modern("hybrid", (100_000,))
    first, second = content.metainfo.info.swarm_hashes
    node = Node(Clock())
    torrent = node.add(content)
    node.settle()
    torrent.swarm.candidates.add(Address("10.0.0.1", 1), "tracker")
    with node.engine.turn:
        node.engine.due.lively.add(torrent)
    tried = []
    while dials := dialed(node):
        [dial] = dials
        tried.append((dial.name, dial.obfuscated))
        with node.engine.turn:
            dialing.ended(node.engine, torrent, dial.candidate, misunderstood=True)
    assert tried == [(first, True), (first, False), (second, True), (second, False)]
    assert dial.candidate.failures == 1


@pytest.mark.parametrize("encryption", ["off", "require"])
def test_who_knows_one_way_only_dials_no_other(encryption: str) -> None:
    """Who does not understand it has failed."""
    node = Node(Clock(), encryption=encryption)
    torrent = hungry(node, 1)
    [dial] = dialed(node)
    assert dial.obfuscated is (encryption == "require")
    with node.engine.turn:
        dialing.ended(node.engine, torrent, dial.candidate, misunderstood=True)
    assert dialed(node) == []
    assert (dial.candidate.failures, dial.candidate.way) == (1, 0)


def test_the_way_that_was_understood_is_the_first_of_the_next_dial() -> None:
    """Until it fails: the peer may be another program by then."""
    node = Node(clock := Clock(), encryption="prefer")
    torrent = hungry(node, 1)
    [dial] = dialed(node)
    with node.engine.turn:
        dialing.ended(node.engine, torrent, dial.candidate, misunderstood=True)
    [dial] = dialed(node)
    remote = Remote(node, torrent, CONTENT, pieces=[], candidate=dial.candidate)
    torrent.swarm.dialing -= 1
    remote.leave()
    node.settle()
    clock.now += 60
    [dial] = dialed(node)
    assert not dial.obfuscated
    with node.engine.turn:
        dialing.ended(node.engine, torrent, dial.candidate)
    clock.now += 60
    [dial] = dialed(node)
    assert dial.obfuscated
