"""The network thread, as others see it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import trees
from anabranch.api import Client, Torrent, create
from anabranch.engine import TorrentState, ticking
from anabranch.engine.engine import Engine
from ours import KIB, address_of, make_client, until


def test_a_thread_that_gets_the_number_of_the_one_that_ended_is_not_taken_for_it(tmp_path: Path) -> None:
    """The system gives a thread's number to the next one: a second close(), from a new thread, is no misuse."""
    clients: list[Client] = []
    for _ in range(3):
        with make_client(tmp_path, "127.0.7.3") as client:
            clients.append(client)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda number: clients[number % 3].close(), range(24)))


def has_one_connection(torrent: Torrent) -> bool:
    """And nobody left to dial."""
    swarm = torrent._state.swarm
    return len(swarm.peers) == 1 and not swarm.dialing and not swarm.candidates.waiting()


def are_the_two_ends(torrents: Sequence[Torrent]) -> bool:
    """Each has one connection, and it is the same: for a moment both may have the one that they dialed themselves."""
    settled = all(map(has_one_connection, torrents))
    return settled and sorted(peer.outgoing for torrent in torrents for peer in torrent.peers()) == [False, True]


def test_two_that_dial_each_other_at_once_end_with_one_connection(tmp_path: Path) -> None:
    """Whichever is through first at either end; and neither has anybody left to dial."""
    for attempt in range(3):
        place = tmp_path / str(attempt)
        data = create(trees.make_file(place / "some.bin", 100_000), piece_length=16 * KIB)
        with make_client(place / "a", "127.0.7.21") as one, make_client(place / "b", "127.0.7.22") as other:
            torrents = [client.add(data) for client in (one, other)]
            for torrent in torrents:
                assert torrent.checked.wait(10)
                torrent.download_all()
            for torrent, peer in zip(torrents, (other, one), strict=True):
                torrent.add_peers([address_of(peer)])
            until(partial(are_the_two_ends, torrents))


def test_a_mistake_in_one_torrent_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each second is a bulkhead for each torrent: the others, and what all share, are looked after all the same."""
    tick, tick_client = ticking.tick, ticking.tick_client
    seen: dict[TorrentState, int] = {}
    ticks: list[float] = []

    def counting(engine: Engine, torrent: TorrentState, now: float) -> None:
        if torrent not in seen:
            seen[torrent] = len(seen)
        if len(seen) < 3 and seen[torrent] == 0:
            raise RuntimeError("a mistake of ours")
        tick(engine, torrent, now)

    def client_too(engine: Engine) -> None:
        ticks.append(1.0)
        tick_client(engine)

    monkeypatch.setattr(ticking, "tick", counting)
    monkeypatch.setattr(ticking, "tick_client", client_too)
    with make_client(tmp_path, "127.0.7.24") as client:
        for number in range(3):
            magnet = f"magnet:?xt=urn:btih:{number:040x}"
            client.add(magnet).add_peers([("127.0.7.25", 1)])
        until(lambda: len(seen) == 3 and ticks)
    assert "action failed action=" in caplog.text


def test_who_turns_out_to_be_ourselves_is_not_dialed_again(tmp_path: Path) -> None:
    """A router's outside leads back to us: nobody knows before the peer id comes."""
    data = create(trees.make_file(tmp_path / "some.bin", 100_000), piece_length=16 * KIB)
    with make_client(tmp_path, "127.0.7.23") as client:
        torrent = client.add(data)
        assert torrent.checked.wait(10)
        torrent.download_all()
        torrent.add_peers([address_of(client)])
        swarm, ourselves = torrent._state.swarm, torrent._core.network.ourselves
        until(lambda: not len(swarm.candidates))
        ourselves.listen([])
        torrent.add_peers([address_of(client)])
        until(lambda: address_of(client) in ourselves)
        assert not swarm.peers
