"""What a private torrent may not use."""

from __future__ import annotations

import pytest

from anabranch.engine.membership import our_greeting
from anabranch.engine.privacy import DISCOVERIES, discovery_allowed
from anabranch.metainfo import Magnet
from anabranch.model import Address, InfoHash, PeerFault
from anabranch.wire import Handshake, Port
from engine.clocks import Clock
from engine.remotes import Remote, Teacher
from engine.rig import Nobody, Node
from engine.samples import changed, sample
from engine.truth import check

CONTENT = sample(pieces=9, blocks=1)
SOURCES = ("user", "incoming", "magnet", "tracker", "lsd", "dht", "pex")
PRIVATE = changed(CONTENT, private=1)


def test_a_private_torrent_has_its_peers_from_trackers_and_people() -> None:
    """BEP 27. A public one, and one that is not known yet, have them from everywhere."""
    node = Node(Clock())
    public, private = node.add(CONTENT), node.add(PRIVATE)
    unknown = node.learn(Magnet(v1=InfoHash(bytes(20))))
    for source in SOURCES:
        assert discovery_allowed(private, source) == (source not in {"dht", "pex", "lsd", "magnet"})
        assert discovery_allowed(public, source)
        assert discovery_allowed(unknown, source)


def test_a_link_that_turns_out_private_forgets_whom_no_tracker_told_of() -> None:
    """Who is connected leaves, who waits is dialed no more, and a dial that is under way leads to nothing.

    A flaw of the fork: whom the DHT and peers told of before was kept, and dialed.
    """
    node = Node(Clock())
    torrent = node.learn(Magnet.of(PRIVATE.metainfo))
    candidates = torrent.swarm.candidates
    remotes = {}
    for number, source in enumerate(SOURCES):
        for port in (1, 2, 3):
            address = Address(f"10.8.0.{number + 1}", port)
            candidates.add(address, source)
            candidate = candidates.get(address)
            assert candidate is not None
            if port < 3:
                candidates.engage(candidate, 0.0)
            if port == 1:
                remotes[source] = Remote(node, torrent, PRIVATE, pieces=[], candidate=candidate)
    under_way = [candidates.get(Address(f"10.8.0.{number + 1}", 2)) for number in range(len(SOURCES))]
    Teacher(node, torrent, PRIVATE)
    node.settle()
    assert torrent.metainfo.info.private
    gone = {source for source, remote in remotes.items() if remote.link.closed}
    assert gone == DISCOVERIES
    assert all("private" in remotes[source].link.closed for source in gone)
    assert {address.host for address in candidates._known} == {"10.8.0.1", "10.8.0.2", "10.8.0.4"}
    for source, candidate in zip(SOURCES, under_way, strict=True):
        assert candidate is not None
        them = Handshake.ours(PRIVATE.info_hash, f"-XX0000-{source:12}".encode())
        if source in DISCOVERIES:
            with pytest.raises(PeerFault, match="private"):
                node.join(torrent, Nobody(), candidate.address, them, candidate)
        else:
            node.join(torrent, Nobody(), candidate.address, them, candidate)
    check(node)


def test_peers_of_a_private_torrent_are_not_told_of_our_dht_node_and_theirs_is_not_asked() -> None:
    """W32, flaws of the fork: the bit and the message PORT went out, and who sent it was pinged."""
    node = Node(Clock())
    asked: list[tuple[str, int]] = []
    seekers = node.engine.due.seekers
    seekers.port, seekers.add_node = 6881, lambda host, port: asked.append((host, port))
    for content, public in ((PRIVATE, False), (CONTENT, True)):
        torrent = node.add(content)
        node.settle()
        remote = Remote(node, torrent, content, dht=True)
        remote.talk.send_port(7007)
        remote.send()
        node.settle()
        assert our_greeting(node.engine, torrent, content.info_hash)[0].dht == public
        assert (Port(6881) in remote.heard) == public
        assert asked == ([(remote.peer.address.host, 7007)] if public else [])
