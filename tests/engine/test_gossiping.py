"""Peer exchange between engines and scripted peers: who is told of whom, and who is heard."""

from __future__ import annotations

from itertools import count

from anabranch.discovery import PEX, PexMessage, PexPeer
from anabranch.engine import events, gossiping
from anabranch.engine.candidates import Candidate
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet
from anabranch.model import Address
from anabranch.wire import ExtendedMessage, OurExtensions
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Node, run
from engine.samples import Sample, changed, sample

CONTENT = sample(pieces=9, blocks=1)
PRIVATE = changed(CONTENT, private=1)
TOLD = Address("192.0.2.7", 7007)
_PORTS = count(3001)


class Gossip(Remote):
    """A peer that takes peer exchange and says where it listens."""

    port: int | None = None

    def introduction(self) -> OurExtensions:
        if self.port is None:
            self.port = next(_PORTS)
        return OurExtensions(names={PEX: 9}, version="gossip", reqq=500, port=self.port)

    def told(self) -> list[PexMessage]:
        """What it was told of others."""
        said = [one for one in self.heard if isinstance(one, ExtendedMessage) and one.name == PEX]
        return [PexMessage.parse(one.payload) for one in said]

    def tell(self, *addresses: Address) -> None:
        self.talk.send_extended(PEX, PexMessage(tuple(map(PexPeer, addresses)), ()).payload())
        self.send()


def world(content: Sample = CONTENT, **config: bool) -> tuple[Clock, Node, TorrentState]:
    clock = Clock()
    node = Node(clock, dial_rate=0.0, drop_mutually_complete_peers=False, **config)  # type: ignore[arg-type]  # Config's fields
    torrent = node.add(content)
    node.settle()
    return clock, node, torrent


def test_peers_are_told_of_each_other_where_they_can_be_dialed() -> None:
    """Whom we dialed by that address, who called by the port it says it listens at; at once, and not of themselves."""
    clock, node, torrent = world()
    called = Gossip(node, torrent, CONTENT)
    dialed = Gossip(node, torrent, CONTENT, candidate=Candidate(Address("192.0.2.1", 1), {"tracker"}))
    silent = Remote(node, torrent, CONTENT)  # nobody knows where it listens
    node.settle()
    run(clock, node, 61)
    known = called.peer.address._replace(port=called.port or 0)
    told_called = {one.address: one for said in called.told() for one in said.added}
    told_dialed = {one.address: one for said in dialed.told() for one in said.added}
    assert set(told_called) == {dialed.peer.address}
    assert set(told_dialed) == {known}
    assert told_called[dialed.peer.address].reachable
    assert not told_dialed[known].reachable
    assert told_dialed[known].seed
    assert not any(isinstance(one, ExtendedMessage) for one in silent.heard)


def test_the_first_message_comes_at_once_and_others_a_minute_later() -> None:
    """Whoever comes in between is told of in the next one."""
    clock, node, torrent = world()
    first = Gossip(node, torrent, CONTENT)
    second = Gossip(node, torrent, CONTENT)
    node.settle()
    assert [len(said.added) for said in second.told()] == [1]
    assert first.told() == []
    run(clock, node, 11)
    assert [len(said.added) for said in first.told()] == [1]
    Gossip(node, torrent, CONTENT)
    run(clock, node, 45)
    assert [len(said.added) for said in first.told()] == [1]
    run(clock, node, 16)
    assert [len(said.added) for said in first.told()] == [1, 1]


def test_who_is_told_of_becomes_a_candidate() -> None:
    """And is told to subscribers; ourselves and the banned are not."""
    _, node, torrent = world()
    us, banned = Address("192.0.2.8", 42069), Address("192.0.2.9", 1)
    node.engine.network.ourselves.learn(us)
    node.engine.banned.add(banned.host)
    teller = Gossip(node, torrent, CONTENT)
    node.settle()
    node.told()
    teller.tell(TOLD, us, banned)
    node.settle()
    candidate = torrent.swarm.candidates.get(TOLD)
    assert candidate is not None
    assert candidate.sources == {"pex"}
    assert torrent.swarm.candidates.get(us) is None
    assert torrent.swarm.candidates.get(banned) is None
    assert events.PeersFound(torrent.info_hash, "pex", 3, 1) in node.told()


def test_a_torrent_hears_of_peers_once_a_minute_whoever_tells() -> None:
    """A hundred peers that tell fifty addresses each fill no list; what had to wait is not lost, as it is told once."""
    clock, node, torrent = world()
    one, two = Gossip(node, torrent, CONTENT), Gossip(node, torrent, CONTENT)
    node.settle()
    one.tell(TOLD)
    two.tell(Address("192.0.2.8", 1))
    run(clock, node, gossiping.REST - 2)
    assert torrent.swarm.candidates.get(TOLD) is not None
    assert torrent.swarm.candidates.get(Address("192.0.2.8", 1)) is None
    run(clock, node, 3)
    assert torrent.swarm.candidates.get(Address("192.0.2.8", 1)) is not None


def test_what_waits_to_be_taken_is_bounded() -> None:
    """A hundred a minute, five hundred that wait: the rest of a flood is dropped."""
    clock, node, torrent = world()
    tellers = [Gossip(node, torrent, CONTENT) for _ in range(12)]
    node.settle()
    before = len(torrent.swarm.candidates)
    for number, teller in enumerate(tellers):
        teller.tell(*(Address(f"198.51.100.{number}", port) for port in range(1, 101)))
    node.settle()
    assert len(torrent.swarm.candidates) - before == 100
    assert sum(map(len, torrent.swarm.seeking.hearsay.values())) == 500
    run(clock, node, gossiping.REST + 1)
    assert len(torrent.swarm.candidates) - before == 200


def test_who_tells_of_very_many_keeps_nobody_from_being_heard() -> None:
    """It may invent a hundred with each message: one address of each that tells is taken by turns, and room is made."""
    clock, node, torrent = world()
    liars = [Gossip(node, torrent, CONTENT) for _ in range(6)]
    honest = Gossip(node, torrent, CONTENT)
    node.settle()
    for number, liar in enumerate(liars):
        liar.tell(*(Address(f"198.51.100.{number}", port) for port in range(1, 101)))
    node.settle()
    told = [Address("192.0.2.7", port) for port in range(1, 11)]
    honest.tell(*told)
    node.settle()
    assert sum(map(len, torrent.swarm.seeking.hearsay.values())) == 500
    run(clock, node, gossiping.REST + 1)
    assert all(torrent.swarm.candidates.get(one) is not None for one in told)


def test_two_of_one_address_are_gone_when_both_are() -> None:
    """A client that is connected twice is still there when it is connected once."""
    clock, node, torrent = world()
    for _ in range(30):
        Gossip(node, torrent, CONTENT)
    place = Address("192.0.2.77", 77)
    twins = [Gossip(node, torrent, CONTENT, host=place.host, tells=False) for _ in range(2)]
    for twin in twins:
        twin.port = place.port
        twin.talk.send_extended_handshake(twin.introduction())
        twin.send()
    node.settle()
    listener = Gossip(node, torrent, CONTENT)
    node.settle()
    assert list(torrent.swarm.seeking.enrolled.values()).count(place) == 2
    twins[0].leave()
    run(clock, node, 61)
    assert not any(place in said.dropped for said in listener.told())
    assert any(one.address == place for said in listener.told() for one in said.added)


def test_who_tells_too_often_leaves() -> None:
    """Closer than 45 seconds: the connection ends, as with the Go engine."""
    clock, node, torrent = world()
    teller = Gossip(node, torrent, CONTENT)
    node.settle()
    teller.tell(TOLD)
    run(clock, node, 44)
    assert not teller.link.closed
    teller.tell(TOLD)
    node.settle()
    assert "peer exchange" in teller.link.closed


def test_who_leaves_is_told_of_once_there_are_many() -> None:
    """In small swarms those who left are still worth a dial."""
    clock, node, torrent = world()
    peers = [Gossip(node, torrent, CONTENT) for _ in range(30)]
    run(clock, node, 61)
    gone = peers[3].peer.address._replace(port=peers[3].port or 0)
    peers[3].leave()
    run(clock, node, 61)
    assert any(gone in said.dropped for said in peers[5].told())
    assert peers[3].peer not in torrent.swarm.seeking.enrolled


def test_a_private_torrent_names_no_peer_exchange_and_takes_none() -> None:
    """W32, a flaw of the fork: it was named. Nor is it told in answer to somebody who sends it unasked."""
    clock, node, torrent = world(PRIVATE)
    one, two = Gossip(node, torrent, PRIVATE), Gossip(node, torrent, PRIVATE)
    node.settle()
    assert PEX not in one.talk.peer_extensions.ids
    one.tell(TOLD)
    run(clock, node, 61)
    assert not one.told()
    assert not two.told()
    assert torrent.swarm.candidates.get(TOLD) is None
    assert torrent.swarm.seeking.gossip is None


def test_where_peer_exchange_is_switched_off_nobody_hears_of_it() -> None:
    """disable_pex, for public torrents."""
    _, node, torrent = world(disable_pex=True)
    one = Gossip(node, torrent, CONTENT)
    Gossip(node, torrent, CONTENT)
    node.settle()
    assert PEX not in one.talk.peer_extensions.ids
    assert not one.told()


def test_a_link_that_turns_out_private_takes_peer_exchange_back() -> None:
    """W32: it was named before the metadata came; who stays is told so (a flaw: nobody was), and not heard."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0, drop_mutually_complete_peers=False)
    torrent = node.learn(Magnet.of(PRIVATE.metainfo))
    node.settle()
    stays, other = (Gossip(node, torrent, PRIVATE, tells=False) for _ in range(2))
    for one in (stays, other):
        one.talk.send_extended_handshake(one.introduction())
        one.send()
    node.settle()
    assert PEX in stays.talk.peer_extensions.ids
    before = len(other.told()) + len(stays.told())
    Teacher(node, torrent, PRIVATE)
    node.settle()
    assert torrent.metainfo.info.private
    assert PEX not in stays.talk.peer_extensions.ids
    assert not stays.link.closed
    stays.tell(TOLD)
    run(clock, node, 70)
    assert torrent.swarm.candidates.get(TOLD) is None
    assert len(other.told()) + len(stays.told()) == before
    assert not torrent.swarm.seeking.enrolled


def test_who_was_here_before_a_link_turned_out_to_be_public_takes_part_from_then_on() -> None:
    """assume_private: peers introduce themselves once, and did so when nobody was to be told of them."""
    clock = Clock()
    node = Node(clock, dial_rate=0.0, drop_mutually_complete_peers=False, assume_private=True)
    torrent = node.learn(Magnet.of(CONTENT.metainfo))
    node.settle()
    one, other = (Gossip(node, torrent, CONTENT, pieces=[]) for _ in range(2))
    node.settle()
    assert not torrent.swarm.seeking.enrolled
    Teacher(node, torrent, CONTENT)
    node.settle()
    run(clock, node, 61)
    told = {peer.address for said in one.told() for peer in said.added}
    assert other.peer.address._replace(port=other.port or 0) in told
