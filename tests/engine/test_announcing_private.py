"""A private torrent that was known by a link, whose trackers anybody can have written, and then by its own file."""

from __future__ import annotations

import pytest

from anabranch.engine import adding, announcing
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet
from anabranch.model import Address
from anabranch.tracker import Event
from engine.clocks import Clock
from engine.remotes import Teacher
from engine.rig import Node
from engine.samples import Sample, changed
from engine.test_announcing_lists import add, choose, order
from engine.trackers import ONE, PLAIN, THREE, TWO, due, farewells, only, told, tracked

PRIVATE = changed(PLAIN, private=1)
STRANGER = Address("192.0.2.50", 6881)


def linked(content: Sample) -> tuple[Node, TorrentState]:
    """A torrent by a link that names the tracker ONE, which told of somebody."""
    node = Node(Clock(), dial_rate=0.0)
    torrent = node.learn(Magnet(v1=content.metainfo.info.v1, trackers=(ONE,)))
    node.settle()
    told(node, only(node), peers=(STRANGER,))
    return node, torrent


def give(node: Node, torrent: TorrentState, content: Sample, *tiers: list[str]) -> None:
    """The user adds the .torrent file."""
    with node.engine.turn:
        adding.enrich(node.engine, torrent, tracked(*tiers, content=content, private=content is PRIVATE).metainfo)


def test_the_file_of_a_private_torrent_takes_the_place_of_its_link() -> None:
    """BEP 27: the link's tracker hears that we go, its peers are forgotten; what the user named stays."""
    node, torrent = linked(PRIVATE)
    add(node, torrent, [THREE])
    give(node, torrent, PRIVATE, [TWO])
    assert [said.event for said in farewells(node)] == [Event.STOPPED]
    assert torrent.swarm.candidates.get(STRANGER) is None
    node.settle()
    assert torrent.metainfo.info.private
    assert order(node, torrent) == [[TWO], [THREE]]
    assert torrent.metainfo.trackers == ((TWO,), (THREE,)) == torrent.swarm.trackers.chosen
    assert only(node).tracker.url == TWO


def test_what_a_peer_taught_meanwhile_does_not_bring_the_link_s_tracker_back() -> None:
    """The metadata was being read when the file came."""
    node, torrent = linked(PRIVATE)
    node.disk.held = True
    Teacher(node, torrent, PRIVATE, pieces=[])
    node.settle()
    give(node, torrent, PRIVATE, [TWO])
    node.disk.held = False
    node.settle()
    assert torrent.pieces.learned
    assert order(node, torrent) == [[TWO]]


def test_a_file_without_trackers_and_metadata_from_peers_leave_the_link_s() -> None:
    """There are no others."""
    for by_file in (True, False):
        node, torrent = linked(PRIVATE)
        if by_file:
            give(node, torrent, PRIVATE)
        else:
            Teacher(node, torrent, PRIVATE, pieces=[])
        node.settle()
        assert torrent.metainfo.info.private
        assert order(node, torrent) == [[ONE]]
        assert farewells(node) == []


def test_a_public_torrent_has_both() -> None:
    """Those of its file first, once it has been read."""
    node, torrent = linked(PLAIN)
    give(node, torrent, PLAIN, [TWO])
    node.settle()
    assert torrent.metainfo.trackers == ((TWO,), (ONE,))
    assert torrent.swarm.candidates.get(STRANGER) is not None


@pytest.mark.parametrize("content", [PLAIN, PRIVATE], ids=["public", "private"])
def test_a_file_brings_its_trackers_although_the_user_has_added_some(content: Sample) -> None:
    """Adding is no choice against others. Having these and no others is."""
    node, torrent = linked(content)
    add(node, torrent, [THREE])
    give(node, torrent, content, [TWO])
    node.settle()
    assert {TWO, THREE} <= {url for tier in torrent.metainfo.trackers for url in tier}
    assert torrent.swarm.trackers.trusted == {THREE}
    node, torrent = linked(content)
    choose(node, torrent, [THREE])
    give(node, torrent, content, [TWO])
    node.settle()
    give(node, torrent, content, [TWO])
    assert order(node, torrent) == [[THREE]]
    assert [one.tracker.url for one in due(node)] == [THREE]
    with node.engine.turn:
        announcing.add(node.engine, torrent, [(ONE,)])
    assert torrent.metainfo.trackers == ((THREE,), (ONE,))


def test_a_link_adds_nothing_to_a_private_torrent_that_is_here() -> None:
    """Anybody can write one: neither trackers nor web seeds, which would hear what is fetched, and by whom."""
    node = Node(Clock())
    torrent = node.add(tracked([ONE]))
    node.settle()
    link = Magnet(v1=PLAIN.metainfo.info.v1, trackers=(TWO,), webseeds=("http://stranger.example/",))
    with node.engine.turn:
        adding.enrich(node.engine, torrent, link)
    assert torrent.metainfo.trackers == ((ONE,),)
    assert list(torrent.swarm.webseeds.sources) == []
