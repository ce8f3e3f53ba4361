"""The client's nodes of the DHT and what is asked by them, from threads and tasks, among real nodes on loopback."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anabranch.api import Announcing, Client, Closed, DhtFault, InfoHash, InputRefused, Metainfo, Misused, create
from dht_nodes import Nodes, dht_nodes
from loops import Run
from ours import address_of, make_client, until
from threads import held, on_engine
from trees import make_file

HASH = InfoHash.parse("159ecfca2671791d88186a7f89e6cb1aa64fb29b")
HOST = "127.7.4.99"
PATIENCE = 20


@pytest.fixture(scope="module")
def others() -> Iterator[Nodes]:
    with dht_nodes(6, "127.7.4") as opened:
        yield opened


@pytest.fixture(scope="module")
def entered(others: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client that knows all of the others."""
    place = tmp_path_factory.mktemp("entered")
    with make_client(place, HOST, dht_bootstrap=(others.entry,), disable_lsd=True) as client:
        until(lambda: client.dht.nodes >= len(others.addresses))
        yield client


def test_an_idle_client_is_a_node(others: Nodes, entered: Client) -> None:
    """It has no torrent, and answers; its port is the one where it listens."""
    pong = others.call(lambda node: node.ping(address_of(entered)))
    [summary] = entered.dht.stats().nodes
    assert (pong.id, summary.address) == (summary.id, address_of(entered))
    assert summary.good == entered.dht.nodes == len(others.addresses)


def test_peers_are_announced_and_found(others: Nodes, entered: Client) -> None:
    """From a thread; others find us then."""
    looked = entered.dht.get_peers(HASH, announce=Announcing(4321, implied=False)).wait(PATIENCE)
    assert looked.stored >= 1
    found = others.call(lambda node: node.get_peers(HASH, scrape=True))
    assert [(one.host, one.port) for one in found.peers] == [(HOST, 4321)]
    assert found.leechers == 1
    assert entered.dht.get_peers(str(HASH)).wait(PATIENCE).target == HASH


def test_values_are_kept_and_found(entered: Client) -> None:
    """BEP 44: by their hash, or by the key of who signed them."""
    plain = entered.dht.item({b"a": [1, b"two"]})
    assert entered.dht.put(plain).wait(PATIENCE).stored >= 1
    assert entered.dht.get(plain.target).wait(PATIENCE).item == plain
    key = os.urandom(32)
    signed = entered.dht.item(b"first", key, salt=b"news")
    assert entered.dht.put(signed).wait(PATIENCE).stored >= 1
    newer = entered.dht.item(b"second", key, salt=b"news", sequence=2)
    assert entered.dht.put(newer, cas=1).wait(PATIENCE).stored >= 1
    assert entered.dht.get(key=signed.key, salt=b"news").wait(PATIENCE).item == newer
    assert entered.dht.get(os.urandom(20)).wait(PATIENCE).item is None


def test_nodes_are_asked_one_by_one(others: Nodes, entered: Client) -> None:
    """Whether they are there, what they have, and who is near to what."""
    host, port = others.addresses[1]
    pong = entered.dht.ping(host, port).wait(PATIENCE)
    assert (pong.address, pong.external) == (others.addresses[1], HOST)
    assert entered.dht.sample(host, port).wait(PATIENCE).total >= 0
    assert len(entered.dht.find_node(bytes(20)).wait(PATIENCE).closest) >= 5


def test_a_question_is_awaited_in_any_loop(run: Run[Any], others: Nodes, entered: Client) -> None:
    """Several at once, and failures, too."""

    async def ask() -> None:
        pings = [entered.dht.ping(*address) for address in others.addresses]
        assert [(await one).address for one in pings] == others.addresses
        with pytest.raises(DhtFault, match=r"127\.7\.4\.250"):
            await entered.dht.ping("127.7.4.250", 9)
        gone = entered.dht.ping("127.7.4.250", 9)
        gone.cancel()
        with pytest.raises(Closed):
            await gone
        assert gone.done

    run(ask())


def test_waiting_has_an_end(entered: Client) -> None:
    """The question goes on, until nobody wants it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.7.4.200", 0))
        question = entered.dht.ping(*mute.getsockname())
        with pytest.raises(TimeoutError):
            question.wait(0.01)
        assert not question.done
        question.cancel()
        with pytest.raises(Closed):
            question.wait(PATIENCE)


def test_the_engine_does_not_wait_for_itself(others: Nodes, entered: Client) -> None:
    """Neither on its own thread nor with its turn; there the numbers are to be had all the same."""
    question = entered.dht.ping(*others.addresses[0])
    with pytest.raises(Misused):
        on_engine(entered, lambda: question.wait(PATIENCE))
    with entered._core.turn, pytest.raises(Misused):
        question.wait(PATIENCE)
    question.wait(PATIENCE)
    assert on_engine(entered, lambda: entered.dht.nodes) == entered.dht.nodes


def test_nodes_are_asked_while_somebody_has_the_turn(others: Nodes, entered: Client) -> None:
    """They have nothing to do with it, nor has who asks us. A flaw of the fork: it took its lock for each datagram."""
    with held(entered):
        assert others.call(lambda node: node.ping(address_of(entered))).external
        assert entered.dht.ping(*others.addresses[0]).wait(PATIENCE).external == HOST


def test_a_node_that_the_user_names_is_an_entry(others: Nodes, tmp_path: Path) -> None:
    """By its name, too."""
    with make_client(tmp_path, "127.7.4.98", dht_bootstrap=(), disable_lsd=True) as client:
        assert not client.dht.ready(0.0).wait(PATIENCE)
        with pytest.raises(DhtFault, match="no node"):
            client.dht.get_peers(HASH).wait(PATIENCE)
        client.dht.add_node(*others.addresses[0])
        assert client.dht.ready(PATIENCE).wait()
        until(lambda: client.dht.nodes)


def test_a_private_torrent_is_not_asked_for(entered: Client, tmp_path: Path) -> None:
    """BEP 27; the Go engine's call for announcing to the DHT was not guarded (a flaw). Not by either name."""
    make_file(tmp_path / "data", 40_000)
    metainfo = Metainfo.parse(create(tmp_path / "data", version="hybrid", private=True))
    torrent = entered.add(metainfo, data_dir=tmp_path)
    for name in metainfo.info.swarm_hashes:
        for announce in (None, Announcing(7)):
            with pytest.raises(InputRefused, match="data is private"):
                entered.dht.get_peers(name, announce=announce)
    torrent.drop()


def test_what_cannot_be_asked_is_refused(entered: Client) -> None:
    """In the caller's thread, before anybody is asked."""
    dht = entered.dht
    for ask in (
        lambda: dht.get_peers("12"),
        lambda: dht.get_peers(b"12"),
        lambda: dht.get(),
        lambda: dht.get(bytes(20), key=bytes(32)),
        lambda: dht.get(key=bytes(31)),
        lambda: dht.get(bytes(19)),
        lambda: dht.find_node(bytes(21)),
        lambda: dht.sample("127.0.0.1", 9, bytes(21)),
        lambda: dht.add_node("127.0.0.1", 0),
        lambda: dht.item(bytes(1000)),
        lambda: dht.item(b"x", bytes(5)),
    ):
        with pytest.raises(InputRefused):
            ask()


def test_without_the_dht_there_is_none(tmp_path: Path) -> None:
    """Nothing is known, and nothing can be asked."""
    with make_client(tmp_path, HOST, disable_dht=True) as client:
        assert (client.dht.nodes, client.dht.stats().nodes) == (0, ())
        client.dht.add_node("127.0.0.1", 9)
        with pytest.raises(DhtFault, match="switched off"):
            client.dht.ping("127.0.0.1", 9).wait(PATIENCE)


def test_nobody_waits_for_a_client_that_is_closed(others: Nodes, tmp_path: Path) -> None:
    """Neither who asked before, nor who asks after."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.7.4.201", 0))
        client = make_client(tmp_path, "127.7.4.97", dht_bootstrap=(), disable_lsd=True)
        before = client.dht.ping(*mute.getsockname())
        client.close()
        with pytest.raises((Closed, DhtFault)):
            before.wait(PATIENCE)
    with pytest.raises(Closed):
        client.dht.ping(*others.addresses[0])
    client.dht.add_node(*others.addresses[0])
    assert (client.dht.nodes, client.dht.stats().nodes) == (0, ())
