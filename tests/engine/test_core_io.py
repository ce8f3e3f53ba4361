"""The engine put together, with real sockets and files: what tests in virtual time cannot see of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import trees
from anabranch.api import Client, Metainfo, Torrent, create
from anabranch.metainfo import Magnet
from anabranch.model import Closed
from ours import KIB, address_of, finished, make_client


def hybrid(place: Path) -> bytes:
    """A hybrid torrent of two files below *place*/data."""
    trees.make_file(place / "data" / "both" / "a.bin", 300_000, seed=1)
    trees.make_file(place / "data" / "both" / "b.bin", 100_001, seed=2)
    return create(place / "data" / "both", piece_length=32 * KIB, version="hybrid")


def downloaded(client: Client, source: Magnet, seeder: Client) -> Torrent:
    torrent = client.add(source)
    torrent.download_all()
    torrent.add_peers([address_of(seeder)])
    finished(torrent)
    return torrent


@pytest.mark.parametrize("by", ["v1", "v2", "both"])
def test_a_hybrid_keeps_the_name_it_was_added_by(by: str, tmp_path: Path) -> None:
    """Its state is found in every later run, by whatever it is added: link or file, by one name or the other."""
    raw = hybrid(tmp_path / "seed")
    info = Metainfo.parse(raw).info
    link = Magnet(v1=None if by == "v2" else info.v1, v2=None if by == "v1" else info.v2)
    with make_client(tmp_path / "seed", "127.0.7.2") as seeder:
        assert seeder.add(raw).checked.wait(30)
        with make_client(tmp_path / "leech", "127.0.7.3") as client:
            torrent = downloaded(client, link, seeder)
            assert torrent.info_hash == link.swarm_hashes[0]
            for source in (raw, Magnet(v1=info.v1), Magnet(v2=info.v2), Magnet(v1=info.v1, v2=info.v2)):
                assert client.add(source) == torrent
            assert client.torrents == [torrent]
    with make_client(tmp_path / "leech", "127.0.7.3") as client:
        (torrent,) = client.restore()
        assert torrent.info_hash == link.swarm_hashes[0]
        assert torrent.complete.wait(10)
    for source in (link, raw):
        with make_client(tmp_path / "leech", "127.0.7.3") as client:
            torrent = client.add(source)
            assert torrent.info_hash == link.swarm_hashes[0]
            assert torrent.complete.wait(10)
            assert torrent.cached_stats().downloaded >= info.geometry.content


def test_the_other_name_of_a_torrent_that_is_being_closed_waits_for_its_end(tmp_path: Path) -> None:
    """It was dropped by one name and is added by the other: two never write the same files."""
    raw = hybrid(tmp_path)
    info = Metainfo.parse(raw).info
    with make_client(tmp_path, "127.0.7.2") as client:
        for _ in range(5):
            torrent = client.add(raw)
            closed = torrent.drop()
            client.add(Magnet(v2=info.v2)).drop()
            assert closed.is_set or closed.wait(10)
            again = client.add(Magnet(v1=info.v1))
            assert closed.is_set
            again.drop().wait(10)


def test_a_client_that_closes_lets_go_who_waits_for_info(tmp_path: Path) -> None:
    """Nobody waits for ever for what no peer will bring."""
    info = Metainfo.parse(hybrid(tmp_path)).info
    client = make_client(tmp_path, "127.0.7.2")
    torrent = client.add(Magnet(v1=info.v1))
    assert not torrent.got_info.wait(0)
    assert client.close()
    with pytest.raises(Closed):
        torrent.got_info.wait(10)


def test_the_peers_of_a_link_are_dialed_in_every_run(tmp_path: Path) -> None:
    """Also when the torrent is known from an earlier one, and when it is there already."""
    raw = hybrid(tmp_path / "seed")
    with make_client(tmp_path / "seed", "127.0.7.2") as seeder:
        assert seeder.add(raw).checked.wait(30)
        at = address_of(seeder)
        with make_client(tmp_path / "leech", "127.0.7.3") as client:
            torrent = client.add(Magnet.of(Metainfo.parse(raw)))
            torrent.add_peers([at])
            assert torrent.got_info.wait(30)
        link = Magnet(v1=Metainfo.parse(raw).info.v1, peers=((at.host, at.port),))
        with make_client(tmp_path / "leech", "127.0.7.3") as client:
            torrent = client.add(link)
            assert not torrent.magnet_only
            torrent.download_all()
            finished(torrent)
