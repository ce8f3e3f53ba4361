"""Peers found without a tracker, by our own clients over loopback: the DHT, peer exchange, and who is not let in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import trees
from anabranch.api import Address, Client, InputRefused, Magnet, Metainfo, Torrent, create, events
from anabranch.bencode import decode, encode
from ours import KIB, address_of, finished, make_client, until

PING = encode({b"t": b"aa", b"y": b"q", b"q": b"ping", b"a": {b"id": b"abcdefghij0123456789"}})


def dht_nodes(client: Client) -> int:
    """How many nodes its DHT node knows that answered."""
    dht = client._core.network.discoverer.dht
    assert dht is not None

    async def count() -> int:
        return dht.nodes

    return asyncio.run_coroutine_threadsafe(count(), client._core.network.loop).result(5)


def udp_port(client: Client) -> int:
    datagrams = client._core.network.discoverer.datagrams
    return datagrams[False].address.port


def pinged(host: str, port: int) -> Mapping[bytes, object]:
    """What a DHT node there answers to a ping."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.7.99", 0))
        sock.settimeout(1)
        sock.sendto(PING, (host, port))
        while True:
            said = decode(sock.recv(2048))
            assert isinstance(said, dict)
            if said[b"y"] != b"q":  # it asks whether we are a node
                return said


@contextmanager
def clients(place: Path, *hosts: str, **settings: object) -> Iterator[list[Client]]:
    """Clients that know of each other's DHT nodes by the first of them."""
    with ExitStack() as stack:
        made: list[Client] = []
        for host in hosts:
            known = (f"{hosts[0]}:{udp_port(made[0])}",) if made else ()
            made.append(stack.enter_context(make_client(place / host, host, **{"dht_bootstrap": known, **settings})))
        yield made


def content(place: Path, **options: object) -> bytes:
    return create(trees.make_file(place / "some.bin", 300_000), piece_length=16 * KIB, **options)  # type: ignore[arg-type]  # create()'s own


def seeding(client: Client, torrent: bytes, place: Path) -> Torrent:
    added = client.add(torrent, data_dir=place)
    assert added.checked.wait(20)
    return added


@pytest.mark.parametrize(
    "settings",
    [{}, {"disable_utp": True}, {"accept_peers": False}, {"disable_tcp": True, "disable_utp": True}],
    ids=["plain", "without uTP", "accepting nobody", "without TCP"],
)
def test_the_dht_answers_on_an_idle_client(tmp_path: Path, settings: dict[str, bool]) -> None:
    """W33: no torrent, nobody who wants peers, nobody accepted: the node answers and finds others all the same.

    A flaw of the fork: what kept peers out dropped the DHT's datagrams as well.
    """
    with clients(tmp_path, "127.0.7.71", "127.0.7.72", **settings) as (one, other):
        until(lambda: dht_nodes(one) and dht_nodes(other))
        said = pinged("127.0.7.72", udp_port(other))
        assert said[b"y"] == b"r"
        assert said[b"t"] == b"aa"


def test_where_the_dht_is_off_nothing_answers(tmp_path: Path) -> None:
    """The socket is there for uTP, and takes no notice."""
    with make_client(tmp_path, "127.0.7.73", disable_dht=True) as client:
        assert client._core.network.discoverer.dht is None
        with pytest.raises(TimeoutError):
            pinged("127.0.7.73", udp_port(client))


def test_a_magnet_with_nothing_but_the_dht_is_downloaded(tmp_path: Path) -> None:
    """Two that know a third node: one announces, the other looks, connects, learns and fetches."""
    torrent = content(tmp_path)
    with clients(tmp_path, "127.0.7.71", "127.0.7.72", "127.0.7.73", disable_pex=True) as (_, seed, leech):
        until(lambda: dht_nodes(seed) and dht_nodes(leech))
        info_hash = seeding(seed, torrent, tmp_path).info_hash
        until(lambda: leech.dht.get_peers(info_hash).wait(5).peers)  # else it is the seed that finds the other
        feed = leech.events(events.PeersFound)
        found = leech.add(str(Magnet(v1=Metainfo.parse(torrent).info.v1)))
        found.download_all()
        finished(found)
        assert {one.source for one in [feed.get(5)]} == {"dht"}
        assert (tmp_path / "127.0.7.73" / "data" / "some.bin").read_bytes() == (tmp_path / "some.bin").read_bytes()


def test_peers_tell_each_other_of_their_dht_nodes(tmp_path: Path) -> None:
    """PORT: two that know nobody, and meet for a torrent, are in one DHT then. Not for a private one (W32)."""
    for private in (True, False):
        place = tmp_path / str(private)
        torrent = content(place, private=private)
        with clients(place, "127.0.7.74", "127.0.7.75", dht_bootstrap=()) as (seed, leech):
            seeding(seed, torrent, place)
            added = leech.add(torrent)
            added.add_peers([address_of(seed)])
            added.download_all()
            finished(added)
            if private:
                assert [dht_nodes(seed), dht_nodes(leech)] == [0, 0]
            else:
                until(lambda: dht_nodes(seed) and dht_nodes(leech))


def test_a_third_peer_is_found_by_peer_exchange_alone(tmp_path: Path) -> None:
    """Who knows one of two hears of the other from it."""
    torrent = content(tmp_path)
    hosts = "127.0.7.76", "127.0.7.77", "127.0.7.78"
    with clients(tmp_path, *hosts, disable_dht=True, drop_mutually_complete_peers=False) as (middle, seed, leech):
        seeding(seed, torrent, tmp_path)
        here = middle.add(torrent, upload=False)  # it gives nothing but addresses
        here.download_all()
        here.add_peers([address_of(seed)])
        finished(here)
        feed = leech.events(events.PeersFound)
        added = leech.add(torrent)
        added.download_all()
        added.add_peers([address_of(middle)])
        finished(added)
        assert feed.get(5) == events.PeersFound(added.info_hash, "pex", 1, 1)


def test_nodes_are_known_in_the_next_run(tmp_path: Path) -> None:
    """With the same id, and without anybody who would tell of them."""
    with clients(tmp_path, "127.0.7.71", "127.0.7.72") as (one, _):
        until(lambda: dht_nodes(one))
        with make_client(tmp_path / "again", "127.0.7.79", dht_bootstrap=(f"127.0.7.71:{udp_port(one)}",)) as first:
            until(lambda: dht_nodes(first))
            ids = pinged("127.0.7.79", udp_port(first))[b"r"]
        with make_client(tmp_path / "again", "127.0.7.79", dht_bootstrap=()) as second:
            until(lambda: dht_nodes(second))
            assert pinged("127.0.7.79", udp_port(second))[b"r"] == ids


def test_queries_are_shown_to_the_user_who_may_have_them_ignored(tmp_path: Path) -> None:
    """The Go engine's DHTOnQuery. A hook that fails costs nobody an answer."""
    seen: list[tuple[str, Address]] = []

    def look(method: str, address: Address) -> bool:
        seen.append((method, address))
        if len(seen) > 1:
            raise ValueError("mine")
        return False

    with make_client(tmp_path, "127.0.7.71", dht_on_query=look) as client:
        with pytest.raises(TimeoutError):
            pinged("127.0.7.71", udp_port(client))
        assert pinged("127.0.7.71", udp_port(client))[b"y"] == b"r"
    assert [(method, address.host) for method, address in seen] == [("ping", "127.0.7.99")] * 2


def test_who_is_blocked_is_neither_dialed_nor_let_in_and_leaves(tmp_path: Path) -> None:
    """By anybody's list of addresses, from one moment to the next; and back again."""
    torrent = content(tmp_path)
    with clients(tmp_path, "127.0.7.76", "127.0.7.77", disable_dht=True) as (seed, leech):
        here = seeding(seed, torrent, tmp_path)
        added = leech.add(torrent)
        added.checked.wait(20)
        leech.set_rates(0, None)
        added.download_all()
        leech.set_blocklist(["127.0.7.0/26", "127.0.7.77"])
        added.add_peers([address_of(seed)])
        until(added.peers)
        leech.set_blocklist(["127.0.7.70-127.0.7.80"])
        until(lambda: not added.peers())
        here.add_peers([address_of(leech)])
        added.add_peers([address_of(seed)])
        leech.set_rates(None, None)
        assert not added.complete.wait(0.5)
        leech.set_blocklist(None)
        added.add_peers([address_of(seed)])
        finished(added)
        with pytest.raises(InputRefused, match="line 1"):
            leech.set_blocklist(["nobody"])
        assert not leech.stats().banned
