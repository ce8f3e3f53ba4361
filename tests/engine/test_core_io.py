"""The engine put together, with real sockets and files: what tests in virtual time cannot see of it."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, Metainfo, Torrent, create
from anabranch.bencode import encode
from anabranch.metainfo import Magnet
from anabranch.model import Closed, InfoHash, InputRefused, StorageFailed
from anabranch.storage import SessionStore
from ours import KIB, address_of, finished, make_client, until
from small_servers import HttpServer, http_reply


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


def test_the_trackers_of_a_link_are_asked_in_every_run(tmp_path: Path) -> None:
    """Also when all that it names is known from an earlier one, with other trackers."""
    raw = hybrid(tmp_path)
    info = Metainfo.parse(raw).info
    with make_client(tmp_path, "127.0.7.2") as client:
        assert client.add(raw).checked.wait(30)
    reply = http_reply(encode({"interval": 1800, "peers": b""}))
    with HttpServer(lambda _: reply) as tracker, make_client(tmp_path, "127.0.7.2") as client:
        torrent = client.add(Magnet(v1=info.v1, trackers=(f"{tracker.url}/announce",)))
        assert not torrent.magnet_only
        until(lambda: tracker.targets)


def test_a_torrent_that_is_remembered_twice_is_restored_once(tmp_path: Path) -> None:
    """By a link to one of its names that was never learned, and by all of it."""
    raw = hybrid(tmp_path)
    info = Metainfo.parse(raw).info
    with make_client(tmp_path, "127.0.7.2") as client:
        client.add(Magnet(v2=info.v2))
    with make_client(tmp_path, "127.0.7.2", state_dir=tmp_path / "other") as client:
        assert client.add(raw).checked.wait(30)
    other, store = SessionStore(tmp_path / "other"), SessionStore(tmp_path / "state")
    [key] = other.torrents()
    whole = other.load(key)
    assert whole is not None
    store.save(key, whole)
    assert len(store.torrents()) == 2
    other.close()
    store.close()
    with make_client(tmp_path, "127.0.7.2") as client:
        restored = client.restore()
        assert restored == client.torrents
        assert len(restored) == 1


def test_a_name_that_nobody_answers_for_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what peers wait for nor the end: the threads that look names up have nothing else to do."""
    asked, answered = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> None:
        asked.set()
        answered.wait(30)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = make_client(tmp_path, "127.0.7.2")
    peers = tuple((f"peer-{number}.example", 1) for number in range(8))
    for number in range(8):
        client.add(Magnet(v1=InfoHash(bytes([number]) * 20), peers=peers))
    assert asked.wait(30)
    served = threading.Event()
    client._core.engine.workshop.cold.submit(lambda: None, lambda _: served.set(), lambda _: None)
    assert served.wait(30)
    assert not answered.is_set()
    assert client.close()
    answered.set()


@pytest.mark.parametrize("encryption", ["off", "prefer", "require"])
def test_who_knows_a_torrent_by_its_other_name_only_is_dialed_by_that(tmp_path: Path, encryption: str) -> None:
    """Somebody with a v2 link has never heard of the v1 name; that it cannot dial us must not keep it from us."""
    raw = hybrid(tmp_path / "seed")
    settings = {"encryption": encryption, "state_dir": None}
    with (
        make_client(tmp_path / "seed", "127.0.7.2", accept_peers=False, **settings) as seeder,
        make_client(tmp_path / "leech", "127.0.7.3", **settings) as client,
    ):
        torrent = client.add(Magnet(v2=Metainfo.parse(raw).info.v2))
        torrent.download_all()
        seed = seeder.add(raw)
        assert seed.checked.wait(30)
        seed.add_peers([address_of(client)])
        finished(torrent, 20)


def test_two_clients_that_share_what_is_remembered_are_two_nodes_of_the_dht(tmp_path: Path) -> None:
    """With one id they would be deaf to each other. The first one goes on with the id of the run before."""
    shared: dict[str, object] = {"state_dir": tmp_path / "state", "dht_bootstrap": ()}

    def its_id(client: Client) -> bytes:
        return client.dht.stats().nodes[0].id

    with make_client(tmp_path, "127.0.7.64", **shared) as client:
        before = its_id(client)
    with (
        make_client(tmp_path / "1", "127.0.7.64", **shared) as first,
        make_client(tmp_path / "2", "127.0.7.65", **shared) as second,
    ):
        assert its_id(first) == before != its_id(second)
        second.dht.add_node(*address_of(first))
        until(lambda: first.dht.nodes and second.dht.nodes)
    with make_client(tmp_path, "127.0.7.64", disable_dht=True, **shared):
        pass  # it leaves alone what it does not use
    with make_client(tmp_path, "127.0.7.64", **shared) as client:
        assert its_id(client) == before


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors by /proc")
def test_a_client_that_gets_too_few_descriptors_says_so_and_keeps_none(tmp_path: Path) -> None:
    """Wherever they run out: the error is one of ours, and what was opened is closed at once."""
    import resource  # not there on Windows

    place = Path("/proc/self/fd")
    make_client(tmp_path, "127.0.0.1").close()  # what is opened once for all of the process
    before, (soft, hard) = len(list(place.iterdir())), resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = 0
    for more in range(16):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + more, hard))
        try:
            make_client(tmp_path, "127.0.0.1").close()
        except (InputRefused, StorageFailed):
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(list(place.iterdir())) <= before
    assert refused
