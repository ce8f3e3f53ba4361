"""By which hashes torrents are found."""

from __future__ import annotations

import pytest

from anabranch.crypto import obfuscated
from anabranch.engine.directory import Directory, names_of
from anabranch.engine.state import TorrentState
from anabranch.metainfo import Magnet
from anabranch.model import InfoHash, InfoHashV2
from engine.clocks import Clock
from engine.rig import Node
from engine.samples import sample

FIRST, SECOND = InfoHash(b"1" * 20), InfoHash(b"2" * 20)
LONG = InfoHashV2(b"2" * 32)


def named(magnet: Magnet) -> TorrentState:
    """A torrent of which no more is known than its names."""
    return Node(Clock()).prepare(sample(pieces=1, blocks=1), source=magnet)


def found(directory: Directory, name: InfoHash) -> TorrentState | None:
    """By the hash, and by what an encrypted caller says instead: both know the same."""
    torrent = directory.get(name)
    assert directory.find([InfoHash(b"0" * 20), name]) is torrent
    assert directory.find_secret(obfuscated(name)) == (None if torrent is None else name)
    return torrent


def test_a_torrent_is_found_by_each_of_its_names_for_as_long_as_it_is_here() -> None:
    """A hybrid has two."""
    node = Node(Clock())
    torrent = node.prepare(sample(pieces=1, blocks=1), source=Magnet(v1=FIRST, v2=LONG))
    node.settle()
    assert {FIRST, SECOND} <= set(names_of(torrent))
    for name in names_of(torrent):
        assert found(node.engine.directory, name) is torrent
    node.drop(torrent)
    for name in names_of(torrent):
        assert found(node.engine.directory, name) is None


@pytest.mark.parametrize("leaves", [0, 1])
def test_two_torrents_that_share_a_name_do_not_take_it_from_each_other(leaves: int) -> None:
    """Both were added by a name of their own, and turned out to be one: who came first is meant, then the other."""
    directory = Directory()
    one, other = torrents = [named(Magnet(v1=FIRST)), named(Magnet(v1=FIRST, v2=LONG))]
    for torrent in torrents:
        directory.add(torrent)
    assert found(directory, FIRST) is one
    assert found(directory, SECOND) is other
    directory.remove(torrents[leaves])
    assert found(directory, FIRST) is torrents[1 - leaves]
    assert found(directory, SECOND) is (other if leaves == 0 else None)
    directory.remove(torrents[leaves])  # twice is once
    directory.remove(torrents[1 - leaves])
    assert found(directory, FIRST) is found(directory, SECOND) is None
    assert not directory._by_hash
    assert not directory._by_secret
