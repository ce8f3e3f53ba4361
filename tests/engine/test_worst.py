"""Which peer gives way."""

from __future__ import annotations

from anabranch.engine.state import TorrentState
from anabranch.engine.worst import Newcomer, gives_way, worst_first
from anabranch.model import BLOCK_SIZE, Address
from engine.clocks import Clock
from engine.remotes import Remote
from engine.rig import Node, run
from engine.samples import Held, sample

CONTENT = sample(pieces=9, blocks=1)
BAD, GOOD = "203.0.113.66", "192.0.2.1"


def seeding() -> tuple[Node, Clock, TorrentState]:
    node = Node(clock := Clock())
    torrent = node.add(CONTENT, Held(CONTENT))
    node.settle()
    return node, clock, torrent


def chosen(
    node: Node, torrent: TorrentState, host: str = GOOD, *, outgoing: bool = False, fetching: bool = False
) -> Address | None:
    newcomer = Newcomer(host, outgoing=outgoing, chosen=fetching)
    peer = gives_way(torrent.swarm.peers.values(), newcomer, node.engine.clock(), node.loop.ourselves)
    return peer.address if peer is not None else None


def test_a_peer_that_is_neither_interested_nor_interesting_gives_way() -> None:
    """The one that is there longest; not before it had the time to become so."""
    node, clock, torrent = seeding()
    assert chosen(node, torrent) is None
    idle = [Remote(node, torrent, CONTENT, pieces=[]) for _ in range(2)]
    asking = Remote(node, torrent, CONTENT, pieces=[])
    asking.talk.interested()
    asking.send()
    run(clock, node, 5)
    assert chosen(node, torrent) is None
    run(clock, node, 6)
    assert chosen(node, torrent) == idle[0].peer.address
    for remote in idle:
        remote.leave()
    assert chosen(node, torrent) is None


def test_one_address_does_not_hold_all_places() -> None:
    """Who is interested and asks for nothing gives way to a newcomer from elsewhere, if it is one of a crowd."""
    node, clock, torrent = seeding()
    remotes = [Remote(node, torrent, CONTENT, pieces=[], host=BAD) for _ in range(6)]
    other = Remote(node, torrent, CONTENT, pieces=[])
    for remote in (*remotes, other):
        remote.talk.interested()
        remote.send()
    run(clock, node, 4)
    assert chosen(node, torrent) == remotes[0].peer.address
    assert chosen(node, torrent, BAD) is None
    for remote in remotes[3:]:
        remote.leave()
    assert chosen(node, torrent) is None


def test_who_moves_blocks_stays_whatever_its_address() -> None:
    """Downloads and uploads, those under way and those of the last minute."""
    node, clock, torrent = seeding()
    remotes = [Remote(node, torrent, CONTENT, pieces=[], host=BAD) for _ in range(5)]
    active = remotes[0]
    active.talk.interested()
    active.send()
    node.settle()
    active.ask(0, 0, 16384)
    node.settle()
    run(clock, node, 3)
    assert active.answers()
    assert chosen(node, torrent) == remotes[1].peer.address


def test_who_gave_a_block_lately_stays() -> None:
    """Even when nothing is asked of it now."""
    node = Node(clock := Clock())
    torrent = node.add(CONTENT)
    node.settle()
    remote = Remote(node, torrent, CONTENT, pieces=[0])
    run(clock, node, 50)
    assert remote.sent == 1
    assert chosen(node, torrent) is None
    run(clock, node, 15)
    assert chosen(node, torrent) == remote.peer.address


def test_whom_the_user_gave_goes_last() -> None:
    """It was wished for."""
    node, clock, torrent = seeding()
    torrent.swarm.candidates.add(Address("10.9.9.9", 1), "user")
    candidate = torrent.swarm.candidates.get(Address("10.9.9.9", 1))
    given_by_user = Remote(node, torrent, CONTENT, pieces=[], candidate=candidate)
    run(clock, node, 5)
    other = Remote(node, torrent, CONTENT, pieces=[])
    run(clock, node, 20)
    assert chosen(node, torrent) == other.peer.address
    other.leave()
    assert chosen(node, torrent) == given_by_user.peer.address


def dialed(node: Node, torrent: TorrentState, host: str = "", source: str = "tracker") -> Remote:
    """A peer that we dialed, which has nothing."""
    address = Address("10.250.0.1", 1 + len(torrent.swarm.candidates))
    torrent.swarm.candidates.add(address, source)
    candidate = torrent.swarm.candidates.get(address)
    return Remote(node, torrent, CONTENT, pieces=[], candidate=candidate, host=host)


def came(node: Node, torrent: TorrentState, host: str = "") -> Remote:
    """A peer that came by itself, and has nothing."""
    return Remote(node, torrent, CONTENT, pieces=[], host=host)


def interested(remote: Remote) -> Remote:
    remote.talk.interested()
    remote.send()
    return remote


def order(node: Node, torrent: TorrentState, remotes: list[Remote]) -> list[int]:
    """In which order they go, by their places in the list."""
    places = {remote.peer.address: place for place, remote in enumerate(remotes)}
    ranked = worst_first(torrent.swarm.peers.values(), node.engine.clock(), node.loop.ourselves)
    return [places[peer.address] for peer in ranked]


def test_the_worst_comes_first() -> None:
    """Direction, then use, then the last help, then age; the busy later, and those of the user last of all."""
    node, clock, torrent = seeding()
    remotes = [dialed(node, torrent, source="user")]
    remotes.append(came(node, torrent))  # busy
    for make in (dialed, interested_dialed, came, interested_came):
        clock.now += 1
        remotes += [make(node, torrent) for _ in range(2)]
    remotes += [came(node, torrent) for _ in range(2)]
    node.settle()
    now = clock.now = clock.now + 500
    remotes[1].peer.flow.last_block = now - 1
    remotes[4].peer.flow.last_block = now - 100
    remotes[5].peer.flow.last_block = now - 200
    remotes[8].peer.flow.last_block = now - 100
    # More came than were dialed: they go first, the useless first of them.
    assert order(node, torrent, remotes) == [6, 7, 10, 11, 9, 8, 2, 3, 5, 4, 1, 0]


def interested_dialed(node: Node, torrent: TorrentState) -> Remote:
    return interested(dialed(node, torrent))


def interested_came(node: Node, torrent: TorrentState) -> Remote:
    return interested(came(node, torrent))


def test_of_equals_the_lowest_canonical_priority_goes() -> None:
    """BEP 40: both ends of a connection rank it the same."""
    node, clock, torrent = seeding()
    node.loop.ourselves.are_at("198.51.100.7")
    remotes = [came(node, torrent, host=f"192.{number}.0.1") for number in range(8)]
    node.settle()
    clock.now += 20
    ranked = worst_first(torrent.swarm.peers.values(), clock.now, node.loop.ourselves)
    priorities = [node.loop.ourselves.priority(peer.address) for peer in ranked]
    assert priorities == sorted(priorities)
    assert len(set(priorities)) == len(remotes)


def test_who_sends_what_nobody_asked_for_goes_whatever_else_it_does() -> None:
    """Six blocks, and more than what was of use; copies that we asked for in the end game do not count."""
    node, clock, torrent = seeding()
    remote = came(node, torrent)
    node.settle()
    flow = remote.peer.flow
    flow.last_block = clock.now
    for unasked, wasted, down, goes in (
        (6, 6, 6, True),
        (5, 5, 5, False),
        (6, 6, 12, False),
        (6, 6, 11, True),
        (0, 50, 60, False),
    ):
        flow.unasked, flow.wasted, flow.down.total = unasked * BLOCK_SIZE, wasted * BLOCK_SIZE, down * BLOCK_SIZE
        assert (chosen(node, torrent) is not None) == goes


def test_one_of_the_worse_half_goes_after_a_minute_though_it_is_of_use() -> None:
    """So that newcomers have a chance with a seeder that everybody waits for. Those of the better half stay."""
    node, clock, torrent = seeding()
    remotes = [interested_came(node, torrent) for _ in range(4)]
    run(clock, node, 59)
    for remote in remotes[1:]:
        remote.peer.flow.last_block = clock.now - 61  # it gave once
    assert chosen(node, torrent) is None
    run(clock, node, 2)
    assert chosen(node, torrent) == remotes[0].peer.address
    for remote in remotes[:2]:
        remote.leave()
    for _ in range(2):
        interested_came(node, torrent)
    node.settle()
    clock.now += 3
    assert chosen(node, torrent) is None


def test_directions_are_kept_in_balance() -> None:
    """Where two more came than were dialed, one of those goes for whom we want to dial; and the other way round."""
    for many, few in ((interested_came, interested_dialed), (interested_dialed, interested_came)):
        node, clock, torrent = seeding()
        remotes = [many(node, torrent), many(node, torrent), few(node, torrent)]
        run(clock, node, 11)
        to_dial = many is interested_came
        assert chosen(node, torrent, outgoing=to_dial) is None
        extra = many(node, torrent)
        node.settle()
        assert chosen(node, torrent, outgoing=to_dial) == remotes[0].peer.address
        assert chosen(node, torrent, outgoing=not to_dial) is None
        extra.leave()
        assert chosen(node, torrent, outgoing=to_dial) is None


def test_one_network_does_not_hold_all_places() -> None:
    """A /24 of public addresses is one; private addresses are people of one house, each for itself."""
    for hosts, crowded in (("203.0.113.{}", True), ("10.0.0.{}", False), ("192.168.7.{}", False)):
        node, clock, torrent = seeding()
        remotes = [interested(came(node, torrent, host=hosts.format(number + 1))) for number in range(6)]
        run(clock, node, 4)
        assert (chosen(node, torrent) == remotes[0].peer.address) == crowded
        assert chosen(node, torrent, hosts.format(99)) is None


def test_who_took_a_block_lately_stays() -> None:
    """What we give counts as what we get."""
    node, clock, torrent = seeding()
    remote = interested_came(node, torrent)
    node.settle()
    remote.ask(0, 0, BLOCK_SIZE)
    node.settle()
    remote.talk.not_interested()
    remote.send()
    run(clock, node, 55)
    assert chosen(node, torrent) is None
    run(clock, node, 10)
    assert chosen(node, torrent) == remote.peer.address
