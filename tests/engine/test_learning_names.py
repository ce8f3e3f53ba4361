"""Torrents that learn, and what users tell of them meanwhile: other links to the same, more trackers."""

from __future__ import annotations

import pytest

from anabranch.engine import adding
from anabranch.engine.announce_list import with_trackers
from anabranch.engine.stage import Failed, Learning, Live
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet, Metainfo
from engine.clocks import Clock
from engine.remotes import Teacher
from engine.rig import Node, run
from engine.samples import modern

LENGTHS = (100_000, 0, 40_000, 5, 65_536)


def urls(torrent: TorrentState) -> list[set[str]]:
    """The trackers that are asked, by each name of the torrent."""
    return [{tracker.url for tracker in tiers.every()} for tiers in torrent.swarm.trackers]


@pytest.mark.parametrize("busy", [True, False], ids=["both are being read", "one"])
def test_of_two_links_to_one_torrent_what_the_one_learns_the_other_has(busy: bool) -> None:
    """The one that gives way leaves what it knows: the other may have no peer that could tell it."""
    content = modern("hybrid", LENGTHS)
    info = content.metainfo.info
    node = Node(clock := Clock())
    one, other = node.learn(Magnet(v1=info.v1)), node.learn(Magnet(v2=info.v2), want=False)
    node.disk.held = True
    Teacher(node, one, content, name=one.info_hash)
    if busy:
        Teacher(node, other, content, name=other.info_hash)
    run(clock, node, 2)
    node.disk.held = False
    run(clock, node, 3)
    assert isinstance(one.stage, Failed)
    assert isinstance(other.stage, Live)
    assert other.metainfo.info == info
    assert other.signals.got_info.is_set
    assert not any(other.worth.of_file)
    assert all(node.engine.directory.get(name) is other for name in info.swarm_hashes)


@pytest.mark.parametrize("by", ["link", "file"])
def test_trackers_that_are_added_while_the_info_is_read_are_asked_by_every_name(by: str) -> None:
    """The torrent's second name, which the info brings, is announced to them as well."""
    content = modern("hybrid", LENGTHS)
    info = content.metainfo.info
    node = Node(clock := Clock())
    torrent = node.learn(Magnet(v1=info.v1, trackers=("http://a.example/",)))
    node.disk.held = True
    Teacher(node, torrent, content, name=torrent.info_hash)
    run(clock, node, 2)
    node.disk.held = False
    assert node.disk.run_one()  # it is judged, and then read
    node.disk.held = True
    assert isinstance(torrent.stage, Learning)
    assert torrent.stage.reading
    more = Magnet(v1=info.v1, trackers=("http://a.example/", "http://b.example/"))
    source: Magnet | Metainfo = more
    if by == "file":
        source = with_trackers(content.metainfo, [("http://a.example/", "http://b.example/")])
    with node.engine.turn:
        adding.enrich(node.engine, torrent, source)
    node.disk.held = False
    run(clock, node, 3)
    assert isinstance(torrent.stage, Live)
    assert [tiers.name for tiers in torrent.swarm.trackers] == list(info.swarm_hashes)
    assert urls(torrent) == [{"http://a.example/", "http://b.example/"}] * 2
