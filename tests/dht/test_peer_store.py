"""Who has announced himself at our node."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch.dht import peer_store
from anabranch.dht.blooms import Bloom
from anabranch.dht.contacts import pack_address
from anabranch.dht.peer_store import (
    EXPIRY,
    FILTERS_LIFE,
    MOST_ENTRIES,
    PER_HOST,
    PER_NETWORK,
    PER_TORRENT,
    SAMPLE,
    SAMPLE_LIFE,
    PeerStore,
)
from anabranch.model import Address

HASH = b"h" * 20
OTHER = b"o" * 20


def empty() -> PeerStore:
    return PeerStore(Random(1).randbytes)


def named(number: int) -> bytes:
    """The info hash of that number."""
    return number.to_bytes(20, "big")


def peer(number: int, port: int = 6881) -> Address:
    """A peer in a network of its own."""
    return Address(f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.9", port)


def test_who_announced_himself_is_told_to_who_asks() -> None:
    store = empty()
    v6 = Address("2a00::1", 1)
    assert store.announce(HASH, peer(1), False, 0.0)
    assert store.announce(OTHER, v6, True, 0.0)
    assert store.get(HASH, 1.0, most=10) == [bytes([20, 0, 1, 9, 6881 >> 8, 6881 & 255])]
    assert store.get(OTHER, 1.0, most=10) == [pack_address(v6)]
    assert store.get(b"x" * 20, 1.0, most=10) == []
    assert (len(store), store.torrents) == (2, 2)


def test_a_peer_is_told_once_however_often_it_announces_itself() -> None:
    store = empty()
    for now in range(3):
        store.announce(HASH, peer(1), False, float(now))
    assert len(store.get(HASH, 3.0, most=10)) == len(store) == 1


def test_peers_are_forgotten_half_an_hour_after_their_last_announce() -> None:
    store = empty()
    store.announce(HASH, peer(1), False, 0.0)
    store.announce(HASH, peer(2), False, 0.0)
    store.announce(HASH, peer(1), False, EXPIRY / 2)
    assert len(store.get(HASH, EXPIRY - 1, most=10)) == 2
    assert store.get(HASH, EXPIRY, most=10) == [pack_address(peer(1))]
    store.tick(2 * EXPIRY)
    assert (len(store), store.torrents) == (0, 0)
    assert store.blooms(HASH, 2 * EXPIRY) is None


def test_every_peer_has_the_same_chance_to_be_told() -> None:
    store = empty()
    for number in range(50):
        store.announce(HASH, peer(number), False, 0.0)
    told: Counter[bytes] = Counter()
    for _ in range(1000):
        some = store.get(HASH, 1.0, most=10)
        assert len(set(some)) == 10
        told.update(some)
    assert len(told) == 50
    assert all(130 < count < 280 for count in told.values())  # 200 each; the store's chance is the test's own


def test_who_has_everything_is_not_told_to_who_has_it_too() -> None:
    """BEP 33, noseed. Peers become seeds by telling so."""
    store = empty()
    store.announce(HASH, peer(1), True, 0.0)
    store.announce(HASH, peer(2), False, 0.0)
    assert store.get(HASH, 1.0, most=10, noseed=True) == [pack_address(peer(2))]
    store.announce(HASH, peer(2), True, 1.0)
    assert store.get(HASH, 1.0, most=10, noseed=True) == []
    assert len(store.get(HASH, 1.0, most=10)) == 2


def test_scrapes_count_hosts_seeds_apart() -> None:
    """BEP 33. Filters are kept for a minute: making them is dear."""
    store = empty()
    for number in range(30):
        store.announce(HASH, peer(number), number < 10, 0.0)
    store.announce(HASH, peer(20, port=7), False, 0.0)
    filters = store.blooms(HASH, 1.0)
    assert filters is not None
    seeds, leechers = map(Bloom, filters)
    assert round(seeds.estimate()) == 10
    assert round(leechers.estimate()) == 20
    assert peer(3).host in seeds
    store.announce(HASH, peer(99), False, 2.0)
    assert store.blooms(HASH, FILTERS_LIFE) == filters
    assert store.blooms(HASH, 1.0 + FILTERS_LIFE) != filters


def test_few_torrents_are_sampled_whole() -> None:
    """BEP 51."""
    store = empty()
    assert store.sample(0.0) == (b"", 0, 0)
    for number in range(SAMPLE):
        store.announce(named(number), peer(number), False, 0.0)
    hashes, total, interval = store.sample(1.0)
    assert sorted(hashes[at : at + 20] for at in range(0, 400, 20)) == [named(number) for number in range(SAMPLE)]
    assert (total, interval) == (SAMPLE, 0)


def test_of_many_torrents_the_same_sample_is_told_until_its_time_is_over() -> None:
    """BEP 51: asking again and again is of no use. What is forgotten meanwhile is not told."""
    store = empty()
    for number in range(200):
        store.announce(named(number), peer(number), False, 0.0)
    hashes, total, interval = store.sample(0.0)
    assert (len(hashes), total, interval) == (20 * SAMPLE, 200, SAMPLE_LIFE)
    assert store.sample(10.0) == (hashes, 200, SAMPLE_LIFE - 10)
    for number in range(3, 200):
        store.announce(named(number), peer(number), False, EXPIRY / 2)
    told, total, _ = store.sample(EXPIRY)
    assert total == 197
    assert {told[at : at + 20] for at in range(0, len(told), 20)} <= {named(number) for number in range(3, 200)}
    for number in range(3, 200):
        store.announce(named(number), peer(number), False, SAMPLE_LIFE - 1)
    assert store.sample(SAMPLE_LIFE)[0] != hashes


def test_one_host_has_few_places_in_a_torrent() -> None:
    """Some stand behind one address; its latest are kept. Of IPv6 a /64 is one host."""
    store = empty()
    for port in range(1, 100):
        assert store.announce(HASH, peer(1, port), False, 0.0)
        assert store.announce(OTHER, Address(f"2a00::{port:x}", 1), False, 0.0)
    ports = {int.from_bytes(told[4:], "big") for told in store.get(HASH, 1.0, most=100)}
    assert ports == set(range(100 - PER_HOST, 100))
    assert len(store.get(OTHER, 1.0, most=100)) == PER_HOST


def test_in_local_networks_hosts_may_have_as_many_places_as_they_want() -> None:
    """Whoever is there was let in there, and whole swarms on one machine are tried out."""
    store = empty()
    for port in range(1, 101):
        store.announce(HASH, Address("127.0.0.1", port), False, 0.0)
    assert len(store.get(HASH, 1.0, most=200)) == 100
    for number in range(2 * PER_NETWORK):
        assert store.announce(named(number), Address("192.168.1.2", 6881), False, 0.0)


def test_a_torrent_keeps_its_latest_peers() -> None:
    store = empty()
    for number in range(PER_TORRENT + 10):
        store.announce(HASH, peer(number), False, number / 100)
    told = set(store.get(HASH, 6.0, most=PER_TORRENT + 10))
    assert told == {pack_address(peer(number)) for number in range(10, PER_TORRENT + 10)}


def test_the_full_store_gives_up_who_was_silent_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_store, "MOST_ENTRIES", 3)
    store = empty()
    for number in range(3):
        store.announce(named(number), peer(number), False, 0.0)
    store.announce(named(0), peer(0), False, 1.0)
    store.announce(named(3), peer(3), False, 1.0)
    assert [number for number in range(4) if store.get(named(number), 1.0, most=1)] == [0, 2, 3]


def test_a_flood_of_announces_from_one_network_leaves_the_others_where_they_are() -> None:
    """All the addresses of a /24, each with another torrent every time: it has its share, and no more."""
    store = empty()
    for number in range(100):
        store.announce(HASH, peer(number), False, 0.0)
    taken = sum(
        store.announce(named(number), Address(f"66.66.66.{number % 256}", 1 + number % 60000), False, 1.0)
        for number in range(20_000)
    )
    assert taken == PER_NETWORK
    assert len(store) == 100 + PER_NETWORK
    assert len(store.get(HASH, 2.0, most=200)) == 100
    assert len(store._shares) <= 2 * len(store)
    assert not store.announce(named(1 << 30), Address("66.66.66.1", 1), False, 2.0)
    assert store.announce(named(1 << 30), Address("66.66.66.1", 1), False, 1.0 + EXPIRY)


def test_a_flood_of_announces_from_everywhere_fills_the_store_and_no_more() -> None:
    store = empty()
    for number in range(MOST_ENTRIES + 5000):
        store.announce(named(number), peer(number), False, number / 1000)
    assert (len(store), store.torrents) == (MOST_ENTRIES, MOST_ENTRIES)
    assert len(store._shares) == 2 * MOST_ENTRIES


ANNOUNCES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 12), st.booleans(), st.floats(0, 900)), max_size=60
)


@given(ANNOUNCES)
@settings(max_examples=60)
def test_the_store_is_what_a_plain_list_of_announces_says(announces: list[tuple[int, int, int, bool, float]]) -> None:
    """Times, places and shares fit together, whatever comes in whatever order."""
    store = empty()
    now = 0.0
    heard: dict[tuple[int, Address], tuple[float, bool]] = {}
    for torrent, host, port, seed, pause in announces:
        now += pause
        store.announce(named(torrent), peer(host, port), seed, now)
        heard.pop((torrent, peer(host, port)), None)
        heard = {entry: what for entry, what in heard.items() if now - what[0] < EXPIRY}
        heard[torrent, peer(host, port)] = now, seed
        of_host = [entry for entry in heard if entry[0] == torrent and entry[1].host == peer(host).host]
        for entry in of_host[:-PER_HOST]:
            del heard[entry]
    for torrent in range(4):
        there = {pack_address(address): seed for (of, address), (_, seed) in heard.items() if of == torrent}
        assert set(store.get(named(torrent), now, most=1000)) == set(there)
        assert len(store.get(named(torrent), now, most=1000, noseed=True)) == list(there.values()).count(False)
    assert len(store) == len(heard)
    store.tick(now + EXPIRY + 1)
    assert (len(store), store.torrents, len(store._shares)) == (0, 0, 0)
