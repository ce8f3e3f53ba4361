"""Who joins a swarm and who leaves it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import pytest

from anabranch.engine import dialing, events, membership
from anabranch.engine.ourselves import Ourselves
from anabranch.engine.stage import Live
from anabranch.engine.state import Peer
from anabranch.engine.wanting import set_max_connections
from anabranch.engine.worst import Newcomer, gives_way
from anabranch.model import Address, PeerFault
from anabranch.wire import Handshake, HaveAll, HaveNone, PeerHas
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Nobody, Node, NodeLink, connect, run, settle
from engine.samples import Held, PlainStorage, modern, sample
from engine.truth import check

CONTENT = sample(pieces=9, blocks=1)
ADDRESS = Address("10.3.3.3", 6881)


def theirs(peer_id: bytes = b"-XX0000-abcdefghijkl") -> Handshake:
    return Handshake.ours(CONTENT.info_hash, peer_id)


def test_nobody_joins_a_torrent_that_is_not_live() -> None:
    """While it is opened, checked, failed or closed there is nothing to say."""
    node = Node(Clock())
    torrent = node.add(CONTENT, PlainStorage())
    with pytest.raises(PeerFault, match="not live"):
        node.join(torrent, Nobody(), ADDRESS, theirs())
    node.settle()
    assert isinstance(torrent.stage, Live)
    node.join(torrent, Nobody(), ADDRESS, theirs())
    node.drop(torrent)
    with pytest.raises(PeerFault, match="not live"):
        node.join(torrent, Nobody(), ADDRESS._replace(port=1), theirs())


def test_ourselves_the_banned_and_those_who_are_there_are_refused() -> None:
    """With the reason in words."""
    node = Node(Clock())
    torrent = node.add(CONTENT)
    node.settle()
    with pytest.raises(PeerFault, match="ourselves"):
        node.join(torrent, Nobody(), ADDRESS, theirs(node.engine.peer_id))
    node.join(torrent, Nobody(), ADDRESS, theirs())
    with pytest.raises(PeerFault, match="connected already"):
        node.join(torrent, Nobody(), ADDRESS, theirs(b"-XX0000-another.one."))
    with pytest.raises(PeerFault, match="connected to this peer already"):
        node.join(torrent, Nobody(), ADDRESS._replace(port=5), theirs())
    node.engine.banned.add("10.4.4.4")
    with pytest.raises(PeerFault, match="banned"):
        node.join(torrent, Nobody(), Address("10.4.4.4", 1), theirs(b"-XX0000-somebody.els"))


def test_two_that_dial_each_other_keep_the_same_one_of_both_connections() -> None:
    """The one that the greater peer id dialed; else both might close the other's."""
    clock = Clock()
    for number, other in ((1, 2), (2, 1)):
        node = Node(clock, number)
        torrent = node.add(CONTENT)
        node.settle()
        peer_id = Node(clock, other).engine.peer_id
        candidates = torrent.swarm.candidates
        candidates.add(ADDRESS, "user")
        came = node.join(torrent, Nobody(), ADDRESS._replace(port=50_000), theirs(peer_id))
        candidate = candidates.get(ADDRESS)
        assert candidate is not None
        if number > other:
            node.join(torrent, Nobody(), ADDRESS, theirs(peer_id), candidate)
            node.settle()
            assert came.closed == "connected twice"
        else:
            with pytest.raises(PeerFault, match="connected to this peer already"):
                node.join(torrent, Nobody(), ADDRESS, theirs(peer_id), candidate)
            node.settle()
            assert not came.closed
        assert len(torrent.swarm.peers) == 1


def test_of_two_connections_to_a_peer_the_candidate_stays_with_the_one_that_is_kept() -> None:
    """So that it is not dialed again while the peer is there, and may be when that is lost."""
    clock = Clock()
    for number, other in ((1, 2), (2, 1)):
        for dialed_first in (True, False):
            node = Node(clock, number)
            torrent = node.add(CONTENT)
            node.settle()
            them = theirs(Node(clock, other).engine.peer_id)
            torrent.swarm.candidates.add(ADDRESS, "user")
            candidate = torrent.swarm.candidates.get(ADDRESS)
            assert candidate is not None
            torrent.swarm.candidates.engage(candidate, clock.now)
            torrent.swarm.dialing = 1
            for dials in (dialed_first, not dialed_first):
                try:
                    node.join(
                        torrent,
                        Nobody(),
                        ADDRESS if dials else ADDRESS._replace(port=50_000),
                        them,
                        candidate if dials else None,
                    )
                    torrent.swarm.dialing -= dials
                except PeerFault:
                    if dials:
                        with node.engine.turn:
                            dialing.ended(node.engine, torrent, candidate)
                node.settle()
            [peer] = torrent.swarm.peers.values()
            assert peer.outgoing == (number > other)
            assert peer.candidate is candidate
            assert candidate.engaged
            assert torrent.swarm.dialing == candidate.failures == 0
            with node.engine.turn:
                assert dialing.choose(node.engine, 2000.0) == []
            peer.link.close("closed by the peer")
            assert not candidate.engaged


def test_two_clients_of_one_peer_id_at_two_addresses_are_two_peers() -> None:
    """A copied configuration, or one client with an IPv4 and an IPv6 address: nobody knows."""
    node = Node(Clock())
    torrent = node.add(CONTENT)
    node.settle()
    node.join(torrent, Nobody(), ADDRESS, theirs())
    node.join(torrent, Nobody(), ADDRESS._replace(host="10.3.3.4"), theirs())
    node.join(torrent, Nobody(), ADDRESS._replace(port=7), theirs(b"-XX0000-another.one."))
    assert len(torrent.swarm.peers) == 3


def test_where_our_own_peer_id_answers_a_dial_we_never_dial_again() -> None:
    """In no torrent; a caller with our peer id tells nothing about an address."""
    node = Node(Clock())
    torrent = node.add(CONTENT)
    node.settle()
    torrent.swarm.candidates.add(ADDRESS, "tracker")
    candidate = torrent.swarm.candidates.get(ADDRESS)
    ourselves = node.loop.ourselves
    for dialed in (None, candidate):
        with pytest.raises(PeerFault, match="that is ourselves"):
            node.join(torrent, Nobody(), ADDRESS, theirs(node.engine.peer_id), dialed)
        assert (ADDRESS in ourselves) == (dialed is candidate)


def test_a_newcomer_takes_the_place_of_a_peer_that_is_of_no_use() -> None:
    """Where there are enough: an idle one that is there for a while."""
    node = Node(clock := Clock())
    torrent = node.seed(CONTENT)
    torrent.policy.most_connections = 2
    idle, interested = (Remote(node, torrent, CONTENT, pieces=[]) for _ in range(2))
    interested.talk.interested()
    interested.send()
    with pytest.raises(PeerFault, match="enough"):
        Remote(node, torrent, CONTENT, pieces=[])
    run(clock, node, 15)
    newcomer = Remote(node, torrent, CONTENT, pieces=[])
    node.settle()
    assert idle.link.closed == "others wait to be let in"
    assert not interested.link.closed
    assert not newcomer.link.closed
    assert len(torrent.swarm.peers) == 2
    with pytest.raises(PeerFault, match="enough"):
        Remote(node, torrent, CONTENT, pieces=[])
    check(node)


def test_no_more_join_than_are_allowed_and_with_fewer_the_least_useful_end() -> None:
    """0 keeps a torrent to itself."""
    content = sample(pieces=20, blocks=4)
    node = Node(clock := Clock())
    torrent = node.add(content)
    torrent.policy.most_connections = 4
    node.settle()
    useless = [Remote(node, torrent, content, pieces=[]) for _ in range(3)]
    useful = Remote(node, torrent, content, rate=1)
    with pytest.raises(PeerFault, match="enough"):
        Remote(node, torrent, content)
    run(clock, node, 5)
    with node.engine.turn:
        set_max_connections(node.engine, torrent, 1)
    node.settle()
    assert [bool(remote.link.closed) for remote in (*useless, useful)] == [True, True, True, False]
    with node.engine.turn:
        set_max_connections(node.engine, torrent, 0)
    node.settle()
    assert useful.link.closed
    check(node)


@pytest.mark.parametrize(
    ("pieces", "fast", "said"),
    [
        (range(9), True, HaveAll),
        (range(9), False, PeerHas),
        ([2, 8], True, PeerHas),
        ([], True, HaveNone),
        ([], False, None),
    ],
)
def test_we_introduce_ourselves_with_what_we_have(pieces: range, fast: bool, said: type | None) -> None:
    """In the shortest way that the peer understands; then the extended handshake."""
    node = Node(Clock())
    torrent = node.add(CONTENT, Held(CONTENT, pieces), want=None)
    node.settle()
    remote = Remote(node, torrent, CONTENT, pieces=[], fast=fast)
    node.settle()
    kinds = [type(event) for event in remote.heard]
    assert kinds[0] is (said or type(remote.heard[-1]))
    told = remote.talk.peer_extensions
    assert told.version == node.engine.config.identity.extended_version
    assert told.port == 42069
    assert told.yourip == remote.peer.address.host
    assert told.upload_only == (len(pieces) == 9)


def test_who_wants_nothing_any_more_says_so() -> None:
    """BEP 21: when everything wanted is there, in another extended handshake that leaves the rest as it was."""
    node = Node(Clock())
    torrent = node.add(CONTENT)
    node.settle()
    remote = Remote(node, torrent, CONTENT)
    other = Remote(node, torrent, CONTENT, pieces=[])
    node.settle()
    assert torrent.signals.complete.is_set
    assert other.talk.peer_extensions.upload_only
    assert remote.talk.peer_extensions.port == 42069


def test_arrivals_and_losses_are_told() -> None:
    """With the reason."""
    node = Node(Clock())
    torrent = node.add(CONTENT)
    node.settle()
    remote = Remote(node, torrent, CONTENT)
    node.settle()
    remote.leave()
    told = node.told()
    [joined] = [event for event in told if isinstance(event, events.PeerConnected)]
    [lost] = [event for event in told if isinstance(event, events.PeerLost)]
    assert joined.peer == lost.peer == remote.peer.address
    assert lost.reason == "closed by the peer"


def test_leaving_twice_is_leaving_once() -> None:
    """Whoever comes first: the socket, the drop, the ban."""
    node = Node(Clock())
    torrent = node.add(CONTENT)
    node.settle()
    remote = Remote(node, torrent, CONTENT)
    node.settle()
    for _ in range(2):
        remote.link.close("again")
    check(node)
    assert torrent.pieces.seeds == 0


@pytest.mark.parametrize(
    ("by_v2_name", "obfuscated", "asked"),
    [(True, True, True), (True, False, True), (False, False, True), (False, True, False)],
)
def test_hash_messages_go_to_whom_they_are_understood_by(by_v2_name: bool, obfuscated: bool, asked: bool) -> None:
    """libtorrent 2.1.1 says in its handshake that it knows them, and hangs up where it was met thus."""
    node = Node(Clock())
    torrent = node.add(modern("hybrid", (100_000,)))
    node.settle()
    names = torrent.metainfo.info.swarm_hashes
    them = Handshake.ours(names[by_v2_name], b"-XX0000-abcdefghijkl", v2=True)
    met = membership.Met(Address("10.4.4.9", 1), them, None, None, obfuscated=obfuscated)
    with node.engine.turn:
        peer = membership.join(node.engine, torrent, NodeLink(node, Nobody()), met, None)
    assert peer.profile.v2 is asked


def test_a_seed_leaves_a_seed() -> None:
    """Neither can have anything from the other; unless the configuration keeps them."""
    for drops in (True, False):
        clock = Clock()
        nodes = [Node(clock, number, drop_mutually_complete_peers=drops) for number in (1, 2)]
        torrents = [node.seed(CONTENT) for node in nodes]
        near, back = connect(nodes[0], torrents[0], nodes[1], torrents[1])
        settle(*nodes)
        run(clock, nodes, 2)
        assert bool(near.closed) == bool(back.closed) == drops


def test_a_candidate_that_served_us_may_come_back_soon() -> None:
    """One that was of no use waits longer each time."""
    node = Node(clock := Clock())
    torrent = node.add(CONTENT)
    node.settle()
    torrent.swarm.candidates.add(ADDRESS, "user")
    candidate = torrent.swarm.candidates.get(ADDRESS)
    assert candidate is not None
    candidate.failures = 3
    candidate.engaged = True
    remote = Remote(node, torrent, CONTENT, candidate=candidate)
    node.settle()
    assert torrent.pieces.is_seed
    assert candidate.seed
    run(clock, node, 2)
    assert remote.link.closed
    assert candidate.failures == 0
    assert not candidate.engaged


# The same peer again.


def test_a_peer_that_hung_up_and_comes_again_is_let_in() -> None:
    """aria2 fetches the metadata by one connection and the content by the next; we may not have seen the first one's
    end yet, and it would never try again. Neither a full torrent keeps it out, nor the direction, nor the address."""
    for again in (ADDRESS._replace(port=5), ADDRESS):
        for most in (50, 1):
            for we_dialed in (False, True):
                node = Node(Clock(), 9)
                torrent = node.add(CONTENT)
                node.settle()
                torrent.policy.most_connections = most
                torrent.swarm.candidates.add(ADDRESS, "user")
                candidate = torrent.swarm.candidates.get(ADDRESS)
                assert candidate is not None
                them = theirs(b"-AA0000-a lesser id.")
                first = node.join(torrent, Nobody(), ADDRESS, them, candidate if we_dialed else None)
                with pytest.raises(PeerFault, match=r"already|enough"):
                    node.join(torrent, Nobody(), again, them)
                first.hung_up = True
                second = node.join(torrent, Nobody(), again, them)
                assert list(torrent.swarm.peers.values()) == [second.peer]
                node.settle()
                assert first.closed == "closed by the peer"
                assert not second.closed
                assert (second.peer.candidate is candidate) == we_dialed
                lost = [event for event in node.told() if isinstance(event, events.PeerLost)]
                assert [event.reason for event in lost] == ["closed by the peer"]
                check(node)


def test_a_peer_that_comes_again_takes_the_place_of_a_connection_on_which_nothing_moves() -> None:
    """The word that it ended may be lost. One on which blocks move stays, and one that is new."""
    node = Node(clock := Clock())
    torrent = node.seed(CONTENT)
    first = node.join(torrent, Nobody(), ADDRESS, theirs())
    again = ADDRESS._replace(port=5)
    run(clock, node, 9)
    with pytest.raises(PeerFault, match="connected to this peer already"):
        node.join(torrent, Nobody(), again, theirs())
    run(clock, node, 2)
    first.peer.flow.last_block = clock.now
    with pytest.raises(PeerFault, match="connected to this peer already"):
        node.join(torrent, Nobody(), again, theirs())
    run(clock, node, 61)
    second = node.join(torrent, Nobody(), again, theirs())
    node.settle()
    assert first.closed == "connected twice"
    assert list(torrent.swarm.peers.values()) == [second.peer]


@pytest.mark.parametrize("order", sorted(set(permutations("AABB"))))
@pytest.mark.parametrize("greater", [1, 2])
def test_two_that_dial_each_other_at_once_end_with_one_connection(order: tuple[str, ...], greater: int) -> None:
    """In whatever order they get to know of both: who is called joins first, the caller when the answer is there."""
    clock = Clock()
    nodes = {"A": Node(clock, greater), "B": Node(clock, 3 - greater)}
    torrents = {name: node.add(CONTENT) for name, node in nodes.items()}
    hosts = {"A": "10.7.0.1", "B": "10.7.0.2"}
    candidates = {}
    for name, other in (("A", "B"), ("B", "A")):
        nodes[name].settle()
        swarm = torrents[name].swarm
        swarm.candidates.add(Address(hosts[other], 42069), "user")
        candidate = candidates[name] = swarm.candidates.get(Address(hosts[other], 42069))
        assert candidate is not None
        swarm.candidates.engage(candidate, clock.now)
        swarm.dialing = nodes[name].engine.due.half_open = 1
    links: dict[str, list[NodeLink]] = {"A": [], "B": []}  # by caller: the called end, then its own
    for caller in order:
        called = "B" if caller == "A" else "A"
        here, there = (called, caller) if not links[caller] else (caller, called)
        if here == caller and links[caller][0].closed:
            refused = True  # it hears no answer but the end
        else:
            met = Handshake.ours(CONTENT.info_hash, nodes[there].engine.peer_id)
            address = Address(hosts[there], 42069 if here == caller else 50_000)
            try:
                link = nodes[here].join(
                    torrents[here], Nobody(), address, met, candidates[here] if here == caller else None
                )
                links[caller].append(link)
                refused = False
                if here == caller:
                    link.reaches(links[caller][0])
                    links[caller][0].reaches(link)
            except PeerFault:
                refused = True
                if here == caller:
                    links[caller][0].hang_up()
                else:
                    links[caller].append(closed_link(nodes[here]))
        if here == caller:
            torrents[caller].swarm.dialing -= 1
            if refused:
                torrents[caller].swarm.dialing += 1
                candidate = candidates[caller]
                assert candidate is not None
                with nodes[caller].engine.turn:
                    dialing.ended(nodes[caller].engine, torrents[caller], candidate)
        settle(*nodes.values())
    settle(*nodes.values())
    winner = "A" if greater == 2 else "B"
    for name, torrent in torrents.items():
        [peer] = torrent.swarm.peers.values()
        assert peer.outgoing == (name == winner)
        assert torrent.swarm.dialing == 0


def test_a_full_torrent_ranks_its_peers_seldom_however_many_knock(monkeypatch: pytest.MonkeyPatch) -> None:
    """To knock is cheap, and to look at 500 peers takes milliseconds: callers must not keep us at that."""
    node = Node(clock := Clock())
    torrent = node.add(CONTENT, Held(CONTENT))
    node.settle()
    idle = [Remote(node, torrent, CONTENT, pieces=[]) for _ in range(5)]
    torrent.policy.most_connections = 5
    looks: list[str] = []

    def counted(peers: Iterable[Peer], newcomer: Newcomer, now: float, ours: Ourselves) -> Peer | None:
        looks.append(newcomer.host)
        return gives_way(peers, newcomer, now, ours)

    monkeypatch.setattr(membership, "gives_way", counted)
    callers = [Address(f"203.0.{number % 50}.{number % 250}", 1) for number in range(3000)]
    assert {membership.refuse(node.engine, torrent, caller) for caller in callers} == {"enough connections"}
    assert len(looks) == 50  # one for each network
    callers = [Address(f"198.{number // 250}.{number % 250}.1", 1) for number in range(3000)]
    assert {membership.refuse(node.engine, torrent, caller) for caller in callers} == {"enough connections"}
    assert len(looks) <= 1000
    idle[0].link.hung_up = True
    assert not membership.refuse(node.engine, torrent, Address(idle[0].peer.address.host, 2))
    clock.now += 11
    assert not membership.refuse(node.engine, torrent, callers[0])
    node.join(torrent, Nobody(), callers[0], theirs())
    assert len(torrent.swarm.peers) == 5


def test_who_was_let_knock_and_finds_no_place_any_more_does_not_join() -> None:
    """What was found for its network a moment ago was taken by another one."""
    node = Node(clock := Clock())
    torrent = node.add(CONTENT, Held(CONTENT))
    node.settle()
    idle = Remote(node, torrent, CONTENT, pieces=[])
    torrent.policy.most_connections = 1
    clock.now += 11
    near, next_door = Address("203.0.113.1", 1), Address("203.0.113.2", 1)
    assert not membership.refuse(node.engine, torrent, near)
    assert not membership.refuse(node.engine, torrent, next_door)
    node.join(torrent, Nobody(), near, theirs())
    node.settle()
    assert idle.link.closed
    with pytest.raises(PeerFault, match="enough connections"):
        node.join(torrent, Nobody(), next_door, theirs(b"-XX0000-another.one."))
    assert membership.refuse(node.engine, torrent, next_door)
    assert list(torrent.swarm.peers) == [near]


def closed_link(node: Node) -> NodeLink:
    """The end of a connection that was refused."""
    link = NodeLink(node, Nobody())
    link.closed = "refused"
    return link


@pytest.mark.parametrize("most", [None, "5", 2.5])
def test_a_number_of_connections_that_is_none_is_refused_to_the_caller(most: object) -> None:
    """What is wrong must not be found out by the network thread; less than none is none."""
    content = sample()
    node = Node(Clock())
    torrent = node.seed(content)
    with node.engine.turn, pytest.raises(TypeError):
        set_max_connections(node.engine, torrent, most)  # type: ignore[arg-type]  # what a program without types may do
    assert torrent.policy.most_connections == 50
    with node.engine.turn:
        set_max_connections(node.engine, torrent, -1)
    node.settle()
    assert torrent.policy.most_connections == 0
